/* What a hundred connections cost that nobody uses: no processor time, and little memory. */
#include <sys/resource.h>

#include "world.h"

enum { N_CONNECTIONS = 100 };

/* Ticks of processor time a process has used. */
static uint64_t ticks(pid_t pid)
{
	unsigned long user = 0, system = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	CHECK(file);
	CHECK_EQ(fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
	fclose(file);
	return user + system;
}

/* Voluntary and other context switches of all its threads: a sleeper makes none. */
static uint64_t switches(pid_t pid)
{
	char path[64];
	uint64_t n = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	CHECK((dir = opendir(path)));
	while ((entry = readdir(dir))) {
		char file_path[512], line[256];
		unsigned long count;
		FILE *file;

		if (*entry->d_name == '.')
			continue;
		snprintf(file_path, sizeof file_path, "%s/%s/status", path, entry->d_name);
		file = fopen(file_path, "r");
		while (file && fgets(line, sizeof line, file))
			if (sscanf(line, "%*[^_]_ctxt_switches: %lu", &count) == 1)
				n += count;
		if (file)
			fclose(file);
	}
	closedir(dir);
	return n;
}

/* KiB of private memory, and of regions, that a process has touched. */
static uint64_t touched(pid_t pid, const char *what)
{
	unsigned long kib, sum = 0;
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	CHECK((file = fopen(path, "r")));
	while (fgets(line, sizeof line, file))
		if (strncmp(line, what, strlen(what)) == 0 && sscanf(line + strlen(what), ": %lu", &kib) == 1)
			sum += kib;
	fclose(file);
	return sum;
}

static struct vmrpc *conns[N_CONNECTIONS];

/* Each has made a call: there is a channel, and a thread at the server. */
static void connect_all(void)
{
	if (world_emulated())
		TEST_SKIP("an emulator's own time and memory cannot be told from ours");
	for (int i = 0; i < N_CONNECTIONS; i++) {
		int64_t result;

		conns[i] = world_connect("local:lab");
		CHECK_OK(lab_add(conns[i], i, 1, &result));
		CHECK_EQ(result, i + 1);
	}
}

/* Whether both sides sleep through a second and a half. */
static bool all_sleep(const struct world *world)
{
	const uint64_t client_ticks = ticks(getpid()), server_ticks = ticks(world->server);
	const uint64_t client_switches = switches(getpid()), server_switches = switches(world->server);
	bool sleep;

	usleep(1500000);
	sleep = ticks(getpid()) - client_ticks <= 1 && ticks(world->server) - server_ticks <= 1;
	/* Ours are of this test's own sleeping. Sanitizers run threads of their own. */
#if !defined(WORLD_ASAN) && !defined(WORLD_TSAN)
	sleep = sleep && switches(getpid()) - client_switches < 50 && switches(world->server) - server_switches < 10;
#else
	(void)client_switches;
	(void)server_switches;
#endif
	return sleep;
}

TEST(idle_connections_use_no_processor)
{
	struct world world = world_open("", "");

	connect_all();
	EVENTUALLY(all_sleep(&world)); /* on a busy machine it may take a while until each has polled its last */
	for (int i = 0; i < N_CONNECTIONS; i++)
		vmrpc_close(conns[i]);
	world_close(&world);
}

TEST(idle_connections_use_little_memory)
{
	uint64_t client, server, regions;
	struct world world;

#if defined(WORLD_ASAN) || defined(WORLD_TSAN)
	TEST_SKIP("a sanitizer's own memory cannot be told from ours");
#endif
	world = world_open("", "");
	CHECK_OK(lab_null(world.conn));
	usleep(100000);
	client = touched(getpid(), "RssAnon");
	server = touched(world.server, "RssAnon");
	regions = touched(getpid(), "RssShmem") > touched(world.server, "RssShmem") ? touched(getpid(), "RssShmem")
										    : touched(world.server, "RssShmem");
	connect_all();
	client = touched(getpid(), "RssAnon") - client;
	server = touched(world.server, "RssAnon") - server;
	regions = (touched(getpid(), "RssShmem") > touched(world.server, "RssShmem")
			   ? touched(getpid(), "RssShmem")
			   : touched(world.server, "RssShmem")) -
		  regions;
	fprintf(stderr, "KiB for each of %d connections: client %.1f, server %.1f, region %.1f\n", N_CONNECTIONS,
		(double)client / N_CONNECTIONS, (double)server / N_CONNECTIONS, (double)regions / N_CONNECTIONS);
	CHECK((client + server + regions) / N_CONNECTIONS < 100);
	for (int i = 0; i < N_CONNECTIONS; i++)
		vmrpc_close(conns[i]);
	world_close(&world);
}

TEST_MAIN()
