/* What a process has in use, as /proc tells: for tests that nothing leaks. */
#ifndef VMRPC_TEST_PROCESS_H
#define VMRPC_TEST_PROCESS_H

#include <dirent.h>

#include "test.h"

struct process_use {
	unsigned threads, descriptors;
	unsigned maps;	   /* lines of its memory map */
	unsigned regions;  /* vmrpc's among them, each counted once */
	unsigned children; /* dead ones too, until somebody waits for them */
	unsigned long resident_kb;
};

static inline unsigned process_count_files(pid_t pid, const char *folder)
{
	char path[64];
	struct dirent *entry;
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, folder);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static inline FILE *process_open(pid_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	return fopen(path, "re");
}

static inline void process_count_maps(pid_t pid, struct process_use *use)
{
	unsigned long inode, known[1024];
	FILE *file = process_open(pid, "maps");
	char line[512];

	if (!file)
		return;
	while (fgets(line, sizeof line, file)) {
		unsigned i = 0;

		use->maps++;
		if (!strstr(line, "memfd:vmrpc") || sscanf(line, "%*s %*s %*s %*s %lu", &inode) != 1)
			continue;
		while (i < use->regions && known[i] != inode)
			i++;
		if (i == use->regions && i < sizeof known / sizeof known[0])
			known[use->regions++] = inode;
	}
	fclose(file);
}

static inline struct process_use process_look(pid_t pid)
{
	struct process_use use = {
		.threads = process_count_files(pid, "task"),
		.descriptors = process_count_files(pid, "fd"),
	};
	char name[40];
	FILE *file;

	process_count_maps(pid, &use);
	file = process_open(pid, "statm");
	if (file) {
		if (fscanf(file, "%*s %lu", &use.resident_kb) == 1)
			use.resident_kb *= (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
		fclose(file);
	}
	snprintf(name, sizeof name, "task/%d/children", (int)pid);
	file = process_open(pid, name);
	if (file) {
		while (fscanf(file, "%*d") != EOF)
			use.children++;
		fclose(file);
	}
	return use;
}

static inline void process_print(const char *what, const struct process_use *use)
{
	fprintf(stderr, "%s: %u threads, %u descriptors, %u maps, %u regions, %u children, %lu KB\n", what,
		use->threads, use->descriptors, use->maps, use->regions, use->children, use->resident_kb);
}

static inline bool process_has_grown(const struct process_use *from, const struct process_use *to, unsigned slack_maps)
{
	return to->threads > from->threads || to->descriptors > from->descriptors || to->regions > from->regions ||
	       to->children > from->children || to->maps > from->maps + slack_maps;
}

/* Waits until the process uses no more than it once did; fails the test if it never does. What a sanitizer or the C
 * library keep for themselves may take slack_maps lines more. */
static inline struct process_use process_settles(pid_t pid, const struct process_use *before, unsigned slack_maps)
{
	const struct timespec tick = {.tv_nsec = 2000000};
	struct process_use use = process_look(pid);

	for (int i = 0; process_has_grown(before, &use, slack_maps); i++) {
		if (i == 10000) {
			process_print("before", before);
			process_print("now   ", &use);
			TEST_FAIL("process %d does not give back what it took", (int)pid);
		}
		nanosleep(&tick, NULL);
		use = process_look(pid);
	}
	return use;
}

/* Sanitizers keep freed memory for a while and have leak checkers of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PROCESS_RESIDENT_TELLS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PROCESS_RESIDENT_TELLS 0
#endif
#endif
#ifndef PROCESS_RESIDENT_TELLS
#define PROCESS_RESIDENT_TELLS 1
#endif

static inline void process_check_resident(const struct process_use *before, const struct process_use *after,
					  unsigned long slack_kb)
{
	if (PROCESS_RESIDENT_TELLS && after->resident_kb > before->resident_kb + slack_kb) {
		process_print("before", before);
		process_print("after ", after);
		TEST_FAIL("memory leaks");
	}
}

#endif
