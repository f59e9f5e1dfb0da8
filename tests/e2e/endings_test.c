/* Every waiting call ends: servers that are not there, not there yet, stopped, dead, or slow. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "world.h"

static struct vmrpc_stats stats_of(struct vmrpc *conn)
{
	struct vmrpc_stats stats;

	CHECK_EQ(vmrpc_get_stats(conn, &stats), 0);
	return stats;
}

static void kill_server(struct world *world)
{
	int status;

	CHECK_EQ(kill(world->server, SIGKILL), 0);
	CHECK_EQ(world_wait(world->server, &status, 0), world->server);
}

static bool word_is_one(_Atomic int *word)
{
	return *word == 1;
}

TEST(no_server)
{
	struct vmrpc *conn = NULL;
	char path[128];
	int fd;

	world_begin();
	CHECK_FAILS(vmrpc_connect(&conn, &lab_service, "local:lab"), ENOENT, "no server is at");
	CHECK(strstr(vmrpc_error_message(), "vmrpc/lab"));
	CHECK(strstr(vmrpc_error_message(), "timeout="));
	CHECK_FAILS(vmrpc_connect(&conn, &lab_service, "local:/nowhere/at/all"), ENOENT, "/nowhere/at/all");
	/* What a dead server left is no server either. */
	snprintf(path, sizeof path, "%s/vmrpc", getenv("XDG_RUNTIME_DIR"));
	CHECK_EQ(mkdir(path, 0700), 0);
	snprintf(path, sizeof path, "%s/vmrpc/lab", getenv("XDG_RUNTIME_DIR"));
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	CHECK(fd >= 0);
	close(fd);
	CHECK_FAILS(vmrpc_connect(&conn, &lab_service, "local:lab"), ECONNREFUSED, "no server is at");
	CHECK(!conn);
	CHECK_EQ(unlink(path), 0);
	world_end();
}

TEST(connecting_waits_for_a_server_that_is_starting)
{
	struct vmrpc *conn;
	pid_t starter, server;
	int64_t start, pid;
	int status, pair[2];

	world_begin();
	CHECK_EQ(pipe(pair), 0);
	fflush(NULL);
	starter = fork();
	if (starter == 0) {
		usleep(300000);
		server = fork();
		if (server == 0)
			_exit(vmrpc_serve(&lab_server_service, "local:lab"));
		CHECK_EQ(write(pair[1], &server, sizeof server), sizeof server);
		_exit(0);
	}
	start = world_ms();
	CHECK_OK(vmrpc_connect(&conn, &lab_service, "local:lab?timeout=20s"));
	CHECK(world_ms() - start >= 250);
	CHECK_EQ(read(pair[0], &server, sizeof server), sizeof server);
	CHECK_OK(lab_pid(conn, &pid));
	CHECK_EQ(pid, server);
	vmrpc_close(conn);
	CHECK_EQ(waitpid(starter, &status, 0), starter);
	CHECK_EQ(kill(server, SIGTERM), 0);
	EVENTUALLY(world_sockets() == 0);
	world_end();
}

TEST(connecting_gives_up_in_time)
{
	int64_t start = world_ms();
	struct vmrpc *conn;

	world_begin();
	CHECK_FAILS(vmrpc_connect(&conn, &lab_service, "local:lab?timeout=300"), ENOENT, "no server is at");
	CHECK(world_ms() - start >= 290);
	CHECK(world_ms() - start < 10000);
	world_end();
}

/* It accepts, as its socket has a queue, but does not answer. */
TEST(a_stopped_server_does_not_hold_up_connecting)
{
	struct world world = world_open("", "");
	struct vmrpc *conn;
	int64_t start;

	world_freeze(world.server);
	start = world_ms();
	CHECK_FAILS(vmrpc_connect(&conn, &lab_service, "local:lab?timeout=1200"), ETIMEDOUT, "did not answer in time");
	CHECK(world_ms() - start >= 1000);
	CHECK(world_ms() - start < 8000);
	CHECK_EQ(kill(world.server, SIGCONT), 0);
	CHECK_OK(lab_null(world.conn));
	world_close(&world);
}

TEST(a_stopped_server_does_not_hold_up_calls)
{
	struct world world = world_open("", "");
	struct vmrpc *conn = world_connect("local:lab?timeout=1s");
	int64_t start;

	EVENTUALLY(lab_null(conn) == 0);
	world_freeze(world.server);
	start = world_ms();
	CHECK_FAILS(lab_null(conn), ETIMEDOUT, "lab.lab_null: no answer in time");
	CHECK(world_ms() - start >= 490);
	CHECK(world_ms() - start < 8000);
	CHECK_FAILS(lab_null(conn), ETIMEDOUT, "no answer in time"); /* on its next channel */
	CHECK_EQ(kill(world.server, SIGCONT), 0);
	EVENTUALLY(lab_null(conn) == 0);
	vmrpc_close(conn);
	world_close(&world);
}

/* A call that lasts until it is told to end, so that only a time-out can end the wait for it. */
static _Atomic int *begin_slow_call(struct vmrpc *conn)
{
	_Atomic int *word = vmrpc_malloc(conn, sizeof *word);

	CHECK(word);
	*word = 0;
	CHECK_FAILS(lab_meet(conn, word), ETIMEDOUT, "lab.lab_meet: no answer in time");
	return word;
}

/* Puts the threads that each side starts from now on, and this one, on processors of their own: neither polls for a
 * peer on its own. */
static void keep_apart(const struct world *world)
{
	cpu_set_t all, ours, theirs;
	int n = 0;

	CPU_ZERO(&ours);
	CPU_ZERO(&theirs);
	CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, n++ == 0 ? &ours : &theirs);
	if (n < 2)
		return;
	CHECK_EQ(sched_setaffinity(0, sizeof ours, &ours), 0);
	CHECK_EQ(sched_setaffinity(world->server, sizeof theirs, &theirs), 0);
}

/* However the client waits. */
static void time_out(const char *options)
{
	struct world world = world_open("", options);
	int64_t tid, again, start;
	_Atomic int *word;

	keep_apart(&world);
	for (int i = 0; i < 10; i++) /* each learns where the other is */
		CHECK_OK(lab_tid(world.conn, &tid));
	start = world_ms();
	word = begin_slow_call(world.conn);
	CHECK(world_ms() - start >= 990);
	CHECK(world_ms() - start < 9000);
	/* The channel was given up: its late answer belongs to nobody. */
	CHECK_OK(lab_tid(world.conn, &again));
	CHECK(again != tid);
	CHECK_EQ(stats_of(world.conn).channels, 1);
	EVENTUALLY(world_threads(world.server) == world.n_threads + 2);
	/* And is free again when the method has returned: of the server's threads only ours is left. */
	*word = 2;
	EVENTUALLY(world_threads(world.server) == world.n_threads + 1);
	world_close(&world);
}

TEST(a_slow_call_times_out)
{
	time_out("timeout=1s");
}

TEST(a_slow_call_times_out_asleep)
{
	time_out("timeout=1s&spin=0");
}

TEST(a_slow_call_times_out_polling)
{
	time_out("timeout=1s&spin=10s");
}

/* With two channels, one has to be free again before the next can time out. */
TEST(channels_that_timed_out_come_back)
{
	struct world world = world_open("", "timeout=300&channels=2");
	struct vmrpc_stats server;

	for (int i = 0; i < 5; i++) {
		_Atomic int *word = begin_slow_call(world.conn);

		EVENTUALLY(lab_null(world.conn) == 0);
		CHECK_EQ(*word, 1);
		*word = 2;
		EVENTUALLY(lab_server_stats(world.conn, &server) == 0 && server.channels == 1);
		vmrpc_free((void *)word);
	}
	world_close(&world);
}

/* A method that ends while its caller has long been at other things. */
TEST(a_late_answer_disturbs_nobody)
{
	struct world world = world_open("", "timeout=300");
	static struct lab_huge in, out;

	for (uint64_t i = 0; i < 3; i++) {
		_Atomic int *word = begin_slow_call(world.conn);

		for (uint64_t k = 0; k < 100; k++) {
			in.words[1999] = k;
			if (k == 30)
				*word = 2;
			EVENTUALLY(lab_huge(world.conn, &in, &out) == 0);
			CHECK_EQ(out.words[1999], k + 1);
		}
	}
	world_close(&world);
}

TEST(the_next_call_reconnects)
{
	struct world world = world_open("", "");
	int64_t pid;

	for (int i = 1; i <= 10; i++) {
		CHECK_OK(lab_pid(world.conn, &pid));
		CHECK_EQ(pid, world.server);
		kill_server(&world);
		world.server = world_serve("local:lab");
		EVENTUALLY(stats_of(world.conn).channels == 0); /* its death is known */
		CHECK_OK(lab_pid(world.conn, &pid));
		CHECK_EQ(pid, world.server);
		CHECK_EQ(stats_of(world.conn).reconnects, i);
		/* The last few dead ones stay mapped, for pointers into them; no more. */
		CHECK(world_regions(getpid()) <= 1 + 4);
		CHECK(world_fds(getpid()) <= world.n_fds + 4 + 4 * 2);
	}
	CHECK_EQ(stats_of(world.conn).calls, 20);
	world_close(&world);
}

/* What it allocated, and the program may still point to. */
TEST(a_dead_server_s_blocks_can_be_looked_at)
{
	struct world world = world_open("", "");
	unsigned char *block;

	CHECK_OK(lab_make(world.conn, 100, 'x', (void **)&block));
	for (int i = 0; i < 4; i++) {
		kill_server(&world);
		world.server = world_serve("local:lab");
		EVENTUALLY(stats_of(world.conn).channels == 0);
		CHECK_OK(lab_null(world.conn));
		for (int k = 0; k < 100; k++)
			CHECK_EQ(block[k], 'x');
	}
	vmrpc_free(block);
	CHECK_OK(lab_null(world.conn));
	world_close(&world);
}

TEST(a_server_that_stops_in_order_is_a_dead_one)
{
	struct world world = world_open("", "");
	int64_t pid;

	CHECK_OK(lab_null(world.conn));
	world_stop(world.server);
	CHECK_EQ(world_sockets(), 0);
	EVENTUALLY(stats_of(world.conn).channels == 0);
	world.server = world_serve("local:lab");
	CHECK_OK(lab_pid(world.conn, &pid));
	CHECK_EQ(pid, world.server);
	world_close(&world);
}

TEST(without_a_new_server_calls_fail)
{
	struct world world = world_open("", "timeout=200");

	EVENTUALLY(lab_null(world.conn) == 0);
	kill_server(&world);
	EVENTUALLY(stats_of(world.conn).channels == 0);
	CHECK_FAILS(lab_null(world.conn), ECONNREFUSED, "the server is gone");
	CHECK(strstr(vmrpc_error_message(), "no server is at"));
	CHECK_FAILS(lab_note(world.conn, 1), ECONNREFUSED, "the server is gone");
	world.server = world_serve("local:lab");
	EVENTUALLY(lab_null(world.conn) == 0);
	world_close(&world);
}

/* What a thread is in when its server dies. */
struct caller {
	pthread_t thread;
	struct vmrpc *conn;
	_Atomic int *word;
	int r;
	char message[256];
};

static void *call_until_death(void *arg)
{
	struct caller *caller = arg;

	caller->r = lab_meet(caller->conn, caller->word);
	snprintf(caller->message, sizeof caller->message, "%s", vmrpc_error_message());
	return NULL;
}

static void die_in_call(const char *options)
{
	struct world world = world_open("", options);
	struct caller callers[3];
	int64_t start;

	for (int i = 0; i < 3; i++) {
		callers[i] = (struct caller){.conn = world.conn, .word = vmrpc_malloc(world.conn, 64), .r = 1};
		*callers[i].word = 0;
		CHECK_EQ(pthread_create(&callers[i].thread, NULL, call_until_death, &callers[i]), 0);
	}
	for (int i = 0; i < 3; i++)
		EVENTUALLY(word_is_one(callers[i].word));
	start = world_ms();
	kill_server(&world);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(pthread_join(callers[i].thread, NULL), 0);
		CHECK_EQ(callers[i].r, -EPIPE);
		CHECK(strstr(callers[i].message, "lab.lab_meet: the peer died"));
		vmrpc_free((void *)callers[i].word);
	}
	CHECK(world_ms() - start < 8000);
	world.server = world_serve("local:lab");
	CHECK_OK(lab_null(world.conn));
	world_close(&world);
}

TEST(a_call_ends_with_its_server)
{
	die_in_call("");
}

TEST(a_call_ends_with_its_server_asleep)
{
	die_in_call("spin=0");
}

TEST(a_call_ends_with_its_server_polling)
{
	die_in_call("spin=10s");
}

TEST(a_server_may_kill_itself)
{
	struct world world = world_open("", "");
	int status;

	CHECK_FAILS(lab_crash(world.conn), EPIPE, "lab.lab_crash: the peer died");
	CHECK_EQ(world_wait(world.server, &status, 0), world.server);
	world.server = world_serve("local:lab");
	CHECK_OK(lab_null(world.conn));
	world_close(&world);
}

/* A huge frame lies in the heap while its call is out: that must not keep the dead region. */
static void *huge_until_death(void *arg)
{
	struct caller *caller = arg;
	static struct lab_huge in, out;

	do
		caller->r = lab_huge(caller->conn, &in, &out);
	while (caller->r == 0);
	return NULL;
}

TEST(a_dead_server_s_memory_is_given_back)
{
	struct world world = world_open("", "");

	for (int i = 0; i < 10; i++) {
		struct caller caller = {.conn = world.conn};

		CHECK_EQ(pthread_create(&caller.thread, NULL, huge_until_death, &caller), 0);
		EVENTUALLY(stats_of(world.conn).calls > 20);
		world_freeze(world.server); /* in the middle of one, most likely */
		kill_server(&world);
		CHECK_EQ(pthread_join(caller.thread, NULL), 0);
		CHECK(caller.r == -EPIPE || caller.r == -ECONNREFUSED || caller.r == -ENOENT);
		world.server = world_serve("local:lab");
		CHECK_OK(lab_null(world.conn));
		CHECK(world_regions(getpid()) <= 1 + 4);
	}
	world_close(&world);
}

/* Only what may be repeated is. */
struct repeater {
	pthread_t thread;
	struct vmrpc *conn;
	int64_t pid;
	int r;
};

static void *repeat(void *arg)
{
	struct repeater *repeater = arg;

	repeater->r = lab_idempotent(repeater->conn, 1000, &repeater->pid);
	return NULL;
}

TEST(an_idempotent_call_is_repeated_at_the_new_server)
{
	struct world world = world_open("", "");
	struct repeater repeater = {.conn = world.conn};
	struct vmrpc_stats server;

	CHECK_OK(lab_null(world.conn));
	CHECK_EQ(pthread_create(&repeater.thread, NULL, repeat, &repeater), 0);
	do /* until it is being served */
		CHECK_OK(lab_server_stats(world.conn, &server));
	while (server.channels < 2 || server.calls < 3);
	usleep(50000);
	kill_server(&world);
	world.server = world_serve("local:lab");
	CHECK_EQ(pthread_join(repeater.thread, NULL), 0);
	CHECK_EQ(repeater.r, 0);
	CHECK_EQ(repeater.pid, world.server);
	world_close(&world);
}

/* A client that dies leaves nothing at the server, whatever it was in. */
static int64_t hook_die(int64_t value)
{
	(void)value;
	raise(SIGKILL);
	return 0;
}

TEST(a_client_s_death_leaves_nothing_at_the_server)
{
	struct world world;
	unsigned n_fds;

	if (world_emulated()) /* ThreadSanitizer gets by */
		world_needs_threads_in_children();
	world = world_open("", "");
	CHECK_OK(lab_null(world.conn));
	EVENTUALLY(world_threads(world.server) == world.n_threads + 1);
	n_fds = world_fds(world.server);
	for (int what = 0; what < 5; what++) {
		pid_t client;
		int status;

		EVENTUALLY(world_others_sleep());
		fflush(NULL);
		client = fork();
		CHECK(client >= 0);
		if (client == 0) {
			struct vmrpc *conn = world_connect("local:lab");
			struct vmrpc_heap *heap;
			int64_t result;
			void *block;

			CHECK_OK(vmrpc_heap_setup(&heap, conn, 4 << 20));
			CHECK_OK(lab_make(conn, 100000, 1, &block));
			lab_hook = hook_die;
			if (what == 0)
				raise(SIGKILL);
			if (what == 1)
				lab_call_hook(conn, 1, &result);
			for (int64_t i = 0; what == 2 && i < 100; i++)
				CHECK_OK(lab_note_slowly(conn, i, 1000));
			if (what == 3) {
				alarm(1); /* default: death */
				lab_sleep(conn, 2000);
			}
			_exit(0);
		}
		CHECK_EQ(waitpid(client, &status, 0), client);
		EVENTUALLY(world_threads(world.server) == world.n_threads + 1);
		EVENTUALLY(world_fds(world.server) == n_fds);
		EVENTUALLY(world_regions(world.server) == 1);
		CHECK_OK(lab_null(world.conn));
	}
	CHECK_EQ(stats_of(world.conn).reconnects, 0);
	world_close(&world);
}

TEST_MAIN()
