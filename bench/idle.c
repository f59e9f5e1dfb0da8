/* What connections cost that do nothing: processor time and touched memory, of both processes, for a hundred. */
#include <dirent.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "bench.h"
#include "service.h"

#define N 100

/* A line such as "VmPTE:	  44 kB" of /proc/PID/status. */
static double status_kb(pid_t pid, const char *field)
{
	char path[64], line[256];
	double value = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	file = fopen(path, "r");
	if (!file)
		bench_fail(path, errno);
	while (fgets(line, sizeof line, file))
		if (strncmp(line, field, strlen(field)) == 0)
			value = strtod(line + strlen(field) + 1, NULL);
	fclose(file);
	return value;
}

/* Pages that exist in the memory that this process got from servers. */
static double shared_kb(void)
{
	DIR *dir = opendir("/proc/self/fd");
	double blocks = 0;
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char path[300], name[64] = "";
		struct stat stat;

		snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
		if (readlink(path, name, sizeof name - 1) > 0 && strncmp(name, "/memfd:", 7) == 0 &&
		    fstat(atoi(entry->d_name), &stat) == 0)
			blocks += (double)stat.st_blocks;
	}
	if (dir)
		closedir(dir);
	return blocks / 2;
}

static double cpu_ns(pid_t pid)
{
	struct timespec time;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &time) < 0)
		bench_fail("clock_getcpuclockid", EINVAL);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int argc, char **argv)
{
	static struct vmrpc *conns[N];
	const double seconds = 5, tick = 1e9 / (double)sysconf(_SC_CLK_TCK);
	double before[2], used[2], memory[5];
	pid_t server;

	bench_begin(argc, argv, "idle", "what do a hundred connections cost that do nothing?");
	server = service_start("idle", bench.cpus[1], "");
	vmrpc_close(service_connect("idle", "")); /* both processes have all that the first one brings */
	memory[0] = status_kb(server, "RssAnon");
	memory[1] = status_kb(getpid(), "RssAnon");
	memory[2] = shared_kb();
	memory[3] = status_kb(server, "VmPTE") + status_kb(getpid(), "VmPTE");
	for (unsigned i = 0; i < N; i++)
		conns[i] = service_connect("idle", "");
	memory[0] = (status_kb(server, "RssAnon") - memory[0]) / N;
	memory[1] = (status_kb(getpid(), "RssAnon") - memory[1]) / N;
	memory[2] = (shared_kb() - memory[2]) / N;
	memory[3] = (status_kb(server, "VmPTE") + status_kb(getpid(), "VmPTE") - memory[3]) / N;
	memory[4] = memory[0] + memory[1] + memory[2];

	bench_rest(200000000); /* each has made its first call and polled for a while after it */
	before[0] = cpu_ns(server);
	before[1] = cpu_ns(getpid());
	bench_rest((long)(seconds * 1e9));
	used[0] = cpu_ns(server) - before[0];
	used[1] = cpu_ns(getpid()) - before[1];

	bench_figure("processor time over 5 s, server", "us", used[0] / 1e3);
	bench_figure("processor time over 5 s, client (this program's own included)", "us", used[1] / 1e3);
	bench_figure("private memory by connection, server", "KB", memory[0]);
	bench_figure("private memory by connection, client", "KB", memory[1]);
	bench_figure("shared memory by connection", "KB", memory[2]);
	bench_figure("page tables by connection, both", "KB", memory[3]);
	bench_target("ticks of processor time over 5 s, 100 connections", (double)(int)((used[0] + used[1]) / tick),
		     "<=", 0);
	bench_target("touched memory by connection, KB", memory[4], "<=", 100);
	for (unsigned i = 0; i < N; i++)
		vmrpc_close(conns[i]);
	return bench_end();
}
