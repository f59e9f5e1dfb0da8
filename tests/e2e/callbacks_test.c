/* Callbacks: the server calls the client while the client waits, and the other way round, to any depth. */
#include <pthread.h>

#include <vmrpc/stub.h>

#include "world.h"

TEST(callbacks_nest)
{
	struct world world = world_open("", "");
	struct vmrpc_stats stats;
	int64_t depth;

	CHECK_OK(lab_countdown(world.conn, 0, &depth));
	CHECK_EQ(depth, 0);
	CHECK_OK(lab_countdown(world.conn, 1, &depth));
	CHECK_EQ(depth, 1);
	CHECK_OK(lab_countdown(world.conn, 100, &depth));
	CHECK_EQ(depth, 100);
	CHECK_EQ(vmrpc_get_stats(world.conn, &stats), 0);
	CHECK_EQ(stats.callbacks, 101);
	CHECK_EQ(stats.calls, 1 + 2 + 101);
	CHECK_EQ(stats.channels, 1); /* all on one channel */
	world_close(&world);
}

/* Whichever side's stack runs out first says so, and everyone comes back unharmed. */
static void nest_too_deep(struct vmrpc *conn)
{
	int64_t depth = -1;

	CHECK_FAILS(lab_countdown(conn, 1000 * 1000, &depth), ELOOP, "nested so deeply");
	CHECK_EQ(depth, -1);
	CHECK_OK(lab_countdown(conn, 100, &depth));
	CHECK_EQ(depth, 100);
}

static void *nest_in_small_stack(void *arg)
{
	nest_too_deep(arg);
	return NULL;
}

TEST(too_deep_is_an_error)
{
	struct world world = world_open("", "");

	nest_too_deep(world.conn);
	world_close(&world);
}

TEST(too_deep_is_an_error_in_threads_with_small_stacks)
{
	struct world world = world_open("", "");
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	CHECK_EQ(pthread_attr_setstacksize(&attr, 512 << 10), 0);
	CHECK_EQ(pthread_create(&thread, &attr, nest_in_small_stack, world.conn), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	world_close(&world);
}

static int64_t hook_fail(int64_t value)
{
	return -value;
}

TEST(a_callback_s_failure_reaches_the_server)
{
	struct world world = world_open("", "");
	int64_t result = 5;

	lab_hook = hook_fail;
	CHECK_FAILS(lab_call_hook(world.conn, ENOTDIR, &result), ENOTDIR, "lab_call_hook");
	CHECK_FAILS(lab_call_hook(world.conn, EBADMSG, &result), EBADMSG, "lab_call_hook");
	CHECK_EQ(result, 5);
	CHECK_OK(lab_call_hook(world.conn, -3, &result));
	CHECK_EQ(result, 3);
	world_close(&world);
}

static struct vmrpc *hook_conn;
static int64_t hook_now;

static int64_t hook_current(int64_t value)
{
	hook_now = vmrpc_current() == hook_conn;
	return value;
}

TEST(a_callback_knows_its_connection)
{
	struct world world = world_open("", "");
	int64_t result;

	hook_conn = world.conn;
	lab_hook = hook_current;
	CHECK(!vmrpc_current());
	CHECK_OK(lab_call_hook(world.conn, 9, &result));
	CHECK_EQ(result, 9);
	CHECK_EQ(hook_now, 1);
	CHECK(!vmrpc_current());
	world_close(&world);
}

/* A callback may use another connection, whose callbacks may come back to the first. */
static struct vmrpc *hook_conns[2];

static int64_t hook_zigzag(int64_t value)
{
	int64_t result = 0;

	if (value > 0)
		CHECK_OK(lab_call_hook(hook_conns[value % 2], value - 1, &result));
	return result + 1;
}

TEST(callbacks_cross_connections)
{
	pid_t server[2];
	int64_t result;

	world_begin();
	server[0] = world_serve("local:one");
	server[1] = world_serve("local:two");
	hook_conns[0] = world_connect("local:one");
	hook_conns[1] = world_connect("local:two");
	lab_hook = hook_zigzag;
	CHECK_OK(lab_call_hook(hook_conns[0], 40, &result));
	CHECK_EQ(result, 41);
	vmrpc_close(hook_conns[0]);
	vmrpc_close(hook_conns[1]);
	world_stop(server[0]);
	world_stop(server[1]);
	world_end();
}

/* The server goes on without a callback that takes too long; its late answer confuses nobody. */
TEST(a_slow_callback_is_given_up)
{
	struct world world = world_open("", "");
	int64_t error, tid, again, result;

	CHECK_OK(lab_tid(world.conn, &tid));
	/* A quick one comes through; on a busy machine not every time. */
	EVENTUALLY(lab_slow_callback(world.conn, 1, &error) == 0 && error == 0);
	CHECK_OK(lab_slow_callback(world.conn, 300, &error));
	CHECK_EQ(error, -ETIMEDOUT);
	for (int64_t i = 0; i < 20; i++) {
		CHECK_OK(lab_add(world.conn, i, 1, &result));
		CHECK_EQ(result, i + 1);
	}
	CHECK_OK(lab_countdown(world.conn, 5, &result));
	CHECK_EQ(result, 5);
	CHECK_OK(lab_tid(world.conn, &again));
	CHECK_EQ(again, tid); /* all on the same channel */
	world_close(&world);
}

/* The same, with a callback that calls back late: the server serves that before it takes the late answer. */
static int64_t hook_late_calls(int64_t value)
{
	struct timespec time = {0, value * 1000000};
	int64_t result;

	nanosleep(&time, NULL);
	for (int64_t i = 0; i < 3; i++) {
		CHECK_OK(lab_add(hook_conn, 100, i, &result));
		CHECK_EQ(result, 100 + i);
		CHECK_OK(lab_countdown(hook_conn, 4, &result));
		CHECK_EQ(result, 4);
	}
	return 0;
}

TEST(a_slow_callback_may_call)
{
	struct world world = world_open("", "");
	int64_t error, result;

	hook_conn = world.conn;
	lab_hook = hook_late_calls;
	CHECK_OK(lab_slow_callback(world.conn, 200, &error));
	CHECK_EQ(error, -ETIMEDOUT);
	CHECK_OK(lab_add(world.conn, 1, 2, &result));
	CHECK_EQ(result, 3);
	world_close(&world);
}

static int64_t late_calls[2];

static int64_t hook_call_too_long(int64_t value)
{
	int64_t result, start;

	late_calls[0] = lab_sleep(hook_conn, 3000);
	start = world_ms();
	late_calls[1] = lab_add(hook_conn, 1, 2, &result);
	if (world_ms() - start > 700)
		late_calls[1] = 0;
	return value;
}

/* The turn is the server's until it has answered: no call can be made meanwhile, and none waits for nothing. */
TEST(a_callback_whose_call_timed_out_makes_no_more)
{
	struct world world = world_open("", "timeout=1s");
	struct vmrpc_stats stats;
	int64_t result;

	EVENTUALLY(lab_null(world.conn) == 0);
	hook_conn = world.conn;
	lab_hook = hook_call_too_long;
	CHECK_FAILS(lab_call_hook(world.conn, 1, &result), ETIMEDOUT, "no answer in time");
	CHECK_EQ(late_calls[0], -ETIMEDOUT);
	CHECK_EQ(late_calls[1], -ETIMEDOUT);
	EVENTUALLY(lab_null(world.conn) == 0);
	CHECK_OK(vmrpc_get_stats(world.conn, &stats));
	CHECK_EQ(stats.reconnects, 0);
	world_close(&world);
}

static int64_t hook_notes(int64_t value)
{
	for (int64_t i = 1; i <= value; i++)
		CHECK_OK(lab_note(hook_conn, i));
	return 0;
}

static int64_t hook_notes_and_asks(int64_t value)
{
	int64_t n, in_order;

	hook_notes(value);
	CHECK_OK(lab_notes(hook_conn, &n, &in_order));
	CHECK_EQ(n, value);
	CHECK_EQ(in_order, 1);
	return 0;
}

/* The server runs them while it waits for the callback's answer, also more than the ring holds. */
TEST(callbacks_make_calls_that_do_not_wait)
{
	struct world world = world_open("", "");
	int64_t result, n, in_order;

	hook_conn = world.conn;
	lab_hook = hook_notes;
	CHECK_OK(lab_call_hook(world.conn, 1000, &result));
	CHECK_OK(lab_notes(world.conn, &n, &in_order));
	CHECK_EQ(n, 1000);
	CHECK_EQ(in_order, 1);
	lab_hook = hook_notes_and_asks;
	CHECK_OK(lab_call_hook(world.conn, 700, &result));
	world_close(&world);
}

/* Its caller may be anywhere: it is refused even when that happens to wait. */
TEST(calls_that_do_not_wait_cannot_call_back)
{
	struct world world = world_open("", "");
	int64_t n, in_order;

	lab_hook = labs;
	for (int64_t i = 0; i < 20; i++) {
		CHECK_OK(lab_note_hook(world.conn, 1));
		if (i % 2)
			usleep(1000); /* run before the client waits, or while it does */
		CHECK_FAILS(lab_notes(world.conn, &n, &in_order), ENOTSUP, "earlier");
		CHECK_OK(lab_notes(world.conn, &n, &in_order));
		CHECK_EQ(n, 0);
	}
	world_close(&world);
}

static int64_t hook_exit(int64_t value)
{
	(void)value;
	pthread_exit(NULL);
}

static void *call_and_exit_inside(void *arg)
{
	int64_t result;

	lab_hook = hook_exit;
	lab_call_hook(arg, 1, &result);
	TEST_FAIL("the thread has not ended");
}

/* A thread that ends inside a callback takes its channel along, and nobody else's. */
TEST(a_thread_may_end_in_a_callback)
{
	struct world world = world_open("", "");
	int64_t result, tid, again;

	CHECK_OK(lab_tid(world.conn, &tid));
	for (int i = 0; i < 3; i++) {
		pthread_t thread;

		CHECK_EQ(pthread_create(&thread, NULL, call_and_exit_inside, world.conn), 0);
		CHECK_EQ(pthread_join(thread, NULL), 0);
		EVENTUALLY(world_threads(world.server) == world.n_threads + 1);
		CHECK_OK(lab_countdown(world.conn, 3, &result));
		CHECK_EQ(result, 3);
	}
	CHECK_OK(lab_tid(world.conn, &again));
	CHECK_EQ(again, tid);
	world_close(&world);
}

/* Outside of a call there is nobody to call back. */
TEST(only_methods_call_back)
{
	struct lab_frame {
		int64_t n, result;
	} frame = {1, 0};

	CHECK_FAILS(vmrpc_stub_callback(&lab_server_service, 0, &frame), EINVAL, "on_countdown");
}

TEST_MAIN()
