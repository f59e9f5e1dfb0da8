/* Threads and their channels: each has its own, and at the server a thread of its own. */
#include <pthread.h>

#include "world.h"

/* Calls of one thread, until told to end. Each step is started and awaited by the test. */
struct caller {
	pthread_t thread;
	struct vmrpc *conn;
	int64_t number;
	int r;
};

static void start(struct caller *caller, struct vmrpc *conn, int64_t number, void *(*run)(void *))
{
	*caller = (struct caller){.conn = conn, .number = number};
	CHECK_EQ(pthread_create(&caller->thread, NULL, run, caller), 0);
}

static void join(struct caller *caller)
{
	CHECK_EQ(pthread_join(caller->thread, NULL), 0);
}

static unsigned open_channels(struct vmrpc *conn)
{
	struct vmrpc_stats stats;

	CHECK_EQ(vmrpc_get_stats(conn, &stats), 0);
	return (unsigned)stats.channels;
}

static void *count_up(void *arg)
{
	struct caller *caller = arg;
	int64_t tid, again, count;

	CHECK_OK(lab_tid(caller->conn, &tid));
	for (int64_t i = 1; i <= 200; i++) {
		CHECK_OK(lab_thread_counter(caller->conn, &count));
		CHECK_EQ(count, i);
		if (i % 50 == 0)
			sched_yield();
	}
	CHECK_OK(lab_tid(caller->conn, &again));
	CHECK_EQ(again, tid);
	caller->number = tid;
	return NULL;
}

/* What a library keeps per thread behaves as if it was linked in. */
TEST(each_thread_has_its_own_thread_at_the_server)
{
	struct world world = world_open("", "");
	struct caller callers[4];
	int64_t own;

	CHECK_OK(lab_tid(world.conn, &own));
	for (int i = 0; i < 4; i++)
		start(&callers[i], world.conn, 0, count_up);
	for (int i = 0; i < 4; i++)
		join(&callers[i]);
	for (int i = 0; i < 4; i++)
		CHECK(callers[i].number != own);
	world_close(&world);
}

static void *add_much(void *arg)
{
	struct caller *caller = arg;
	const int64_t n = world_scaled(2000);

	for (int64_t i = 0; i < n; i++) {
		int64_t result;

		CHECK_OK(lab_six(caller->conn, i, caller->number, 0, 0, 0, 1, &result));
		CHECK_EQ(result, i + 2 * caller->number + 6);
		if (i % 100 == 0) {
			struct lab_big in = {{(uint64_t)i}}, out;

			CHECK_OK(lab_big(caller->conn, &in, &out));
			CHECK_EQ(out.words[0], i + 1);
		}
	}
	return NULL;
}

TEST(many_threads_call_at_a_time)
{
	struct world world = world_open("", "");
	struct caller callers[24];
	struct vmrpc_stats stats;

	for (int i = 0; i < 24; i++)
		start(&callers[i], world.conn, i, add_much);
	for (int i = 0; i < 24; i++)
		join(&callers[i]);
	CHECK_EQ(open_channels(world.conn), 0);
	CHECK_EQ(vmrpc_get_stats(world.conn, &stats), 0);
	CHECK_EQ(stats.calls, 24 * (world_scaled(2000) + (world_scaled(2000) + 99) / 100)); /* of threads gone, too */
	world_close(&world);
}

/* Threads that come and go reuse channels; each finds a clean one. */
TEST(threads_come_and_go)
{
	struct world world = world_open("", "channels=3");
	struct caller callers[3];
	const unsigned idle = world.n_threads;

	for (unsigned round = 0; round < world_scaled(30); round++) {
		for (int i = 0; i < 3; i++)
			start(&callers[i], world.conn, 0, count_up);
		for (int i = 0; i < 3; i++)
			join(&callers[i]);
	}
	CHECK_EQ(open_channels(world.conn), 0);
	EVENTUALLY(world_threads(world.server) == idle);
	world_close(&world);
}

static pthread_barrier_t barrier;

static void *call_and_hold(void *arg)
{
	struct caller *caller = arg;

	caller->r = lab_null(caller->conn);
	pthread_barrier_wait(&barrier); /* have called */
	pthread_barrier_wait(&barrier); /* may end */
	return NULL;
}

TEST(a_thread_takes_its_channel_with_it)
{
	struct world world = world_open("", "");
	struct caller callers[3];
	const unsigned idle = world.n_threads;

	pthread_barrier_init(&barrier, NULL, 4);
	for (int i = 0; i < 3; i++)
		start(&callers[i], world.conn, 0, call_and_hold);
	pthread_barrier_wait(&barrier);
	CHECK_EQ(open_channels(world.conn), 3);
	EVENTUALLY(world_threads(world.server) == idle + 3);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 3; i++) {
		join(&callers[i]);
		CHECK_EQ(callers[i].r, 0);
	}
	CHECK_EQ(open_channels(world.conn), 0);
	EVENTUALLY(world_threads(world.server) == idle);
	world_close(&world);
}

TEST(more_threads_than_channels_are_told_so)
{
	struct world world = world_open("", "channels=3");
	struct caller callers[3];

	pthread_barrier_init(&barrier, NULL, 4);
	for (int i = 0; i < 3; i++)
		start(&callers[i], world.conn, 0, call_and_hold);
	pthread_barrier_wait(&barrier);
	CHECK_FAILS(lab_null(world.conn), EMFILE, "channels=");
	CHECK_FAILS(lab_note(world.conn, 1), EMFILE, "all 3 channels");
	CHECK_FAILS(lab_flush(world.conn), EMFILE, "channels=");
	CHECK_FAILS(vmrpc_stack_call(world.conn, NULL, NULL, NULL), EMFILE, "channels=");
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 3; i++) {
		join(&callers[i]);
		CHECK_EQ(callers[i].r, 0);
	}
	CHECK_OK(lab_null(world.conn)); /* and now there is one */
	CHECK_EQ(open_channels(world.conn), 1);
	world_close(&world);
}

/* The server decides in the end, and says so. */
TEST(a_server_limits_channels)
{
	struct world world = world_open("channels=2", "");
	struct caller callers[2];
	struct vmrpc *conn;

	CHECK_FAILS(vmrpc_connect(&conn, &lab_service, "local:lab?channels=3"), EMSGSIZE, "at most 2");
	pthread_barrier_init(&barrier, NULL, 3);
	for (int i = 0; i < 2; i++)
		start(&callers[i], world.conn, 0, call_and_hold);
	pthread_barrier_wait(&barrier);
	CHECK_FAILS(lab_null(world.conn), EMFILE, "all 2 channels");
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 2; i++)
		join(&callers[i]);
	CHECK_OK(lab_null(world.conn));
	world_close(&world);
}

/* Closing takes the channels of all threads, which live on and can use another connection. */
static void *call_twice(void *arg)
{
	struct caller *caller = arg;

	CHECK_OK(lab_null(caller->conn));
	pthread_barrier_wait(&barrier); /* have called */
	pthread_barrier_wait(&barrier); /* the connection was closed, and there is another */
	caller->r = lab_null(NULL);
	return NULL;
}

TEST(close_takes_the_channels_of_all_threads)
{
	struct world world = world_open("", "");
	struct caller callers[5];
	const unsigned idle = world.n_threads;

	pthread_barrier_init(&barrier, NULL, 6);
	for (int i = 0; i < 5; i++)
		start(&callers[i], world.conn, 0, call_twice);
	pthread_barrier_wait(&barrier);
	EVENTUALLY(world_threads(world.server) == idle + 5);
	vmrpc_close(world.conn);
	CHECK_EQ(world_regions(getpid()), 0);
	EVENTUALLY(world_threads(world.server) == idle && world_regions(world.server) == 0);
	world.conn = world_connect("local:lab");
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 5; i++) {
		join(&callers[i]);
		CHECK_EQ(callers[i].r, 0);
	}
	world_close(&world);
}

/* A connection opened by whoever comes first, in many threads at once, is one connection. */
static void *call_unasked(void *arg)
{
	struct caller *caller = arg;

	pthread_barrier_wait(&barrier);
	CHECK_OK(lab_null(NULL));
	caller->r = 0;
	return NULL;
}

TEST(threads_open_the_service_s_connection_together)
{
	struct caller callers[8];
	pid_t server;

	world_begin();
	setenv("VMRPC_LAB", "local:lab?timeout=20s", 1);
	server = world_serve("local:lab");
	pthread_barrier_init(&barrier, NULL, 8);
	for (int i = 0; i < 8; i++)
		start(&callers[i], NULL, 0, call_unasked);
	for (int i = 0; i < 8; i++)
		join(&callers[i]);
	CHECK_EQ(world_regions(getpid()), 1);
	vmrpc_close(lab_service.binding->conn);
	world_stop(server);
	world_end();
}

TEST_MAIN()
