/* Calls of every shape between two processes: frames of all sizes, wherever they lie, and what comes back. */
#include "lab_frames.h"
#include "world.h"

TEST(scalars_pass)
{
	struct world world = world_open("", "");
	int64_t result;

	CHECK_OK(lab_null(world.conn));
	for (int64_t i = 0; i < 1000; i++) {
		CHECK_OK(lab_add(world.conn, i, INT64_C(1) << 40, &result));
		CHECK_EQ(result, i + (INT64_C(1) << 40));
	}
	CHECK_OK(lab_six(world.conn, 1, 2, 3, 4, 5, 6, &result));
	CHECK_EQ(result, 1 + 4 + 9 + 16 + 25 + 36);
	world_close(&world);
}

/* Too large for the cell, and too large for the spill area as well. */
TEST(large_frames_pass)
{
	struct world world = world_open("", "");
	static struct lab_big big, big_result;
	static struct lab_huge huge, huge_result;
	struct vmrpc_stats before, after;

	CHECK_OK(lab_null(world.conn));
	CHECK_EQ(vmrpc_get_stats(world.conn, &before), 0);
	for (uint64_t round = 0; round < 20; round++) {
		for (size_t i = 0; i < LAB_BIG_WORDS; i++)
			big.words[i] = round << 32 | i;
		CHECK_OK(lab_big(world.conn, &big, &big_result));
		for (size_t i = 0; i < LAB_BIG_WORDS; i++)
			CHECK_EQ(big_result.words[i], big.words[i] + 1);
		for (size_t i = 0; i < sizeof huge.words / sizeof huge.words[0]; i++)
			huge.words[i] = round << 33 | i;
		CHECK_OK(lab_huge(world.conn, &huge, &huge_result));
		for (size_t i = 0; i < sizeof huge.words / sizeof huge.words[0]; i++)
			CHECK_EQ(huge_result.words[i], huge.words[i] + 1);
	}
	CHECK_EQ(vmrpc_get_stats(world.conn, &after), 0);
	CHECK_EQ(after.bytes_in_use, before.bytes_in_use); /* what huge frames took from the heap is back */
	world_close(&world);
}

static struct vmrpc *hook_conn;

/* Each level has a large frame out while the next is built. */
static int64_t nested_big(int64_t depth)
{
	struct lab_big in, out;
	int64_t sum = 0;

	for (size_t i = 0; i < LAB_BIG_WORDS; i++)
		in.words[i] = (uint64_t)depth;
	CHECK_OK(lab_big(hook_conn, &in, &out));
	if (depth > 0)
		CHECK_OK(lab_call_hook(hook_conn, depth, &sum));
	for (size_t i = 0; i < LAB_BIG_WORDS; i++)
		CHECK_EQ(out.words[i], depth + 1);
	return sum + (int64_t)out.words[0];
}

static int64_t hook_big(int64_t depth)
{
	return nested_big(depth - 1);
}

TEST(large_frames_nest)
{
	struct world world = world_open("", "");

	hook_conn = world.conn;
	lab_hook = hook_big;
	CHECK_EQ(nested_big(6), 7 + 6 + 5 + 4 + 3 + 2 + 1);
	world_close(&world);
}

/* With no heap left there is nowhere to copy a huge frame to: one that the caller built in the region still goes. */
TEST(frames_in_the_heap_stay_where_they_are)
{
	struct world world = world_open("", "heap=1M");
	static struct lab_huge in, out;
	struct lab_frame_huge *frame = vmrpc_malloc(world.conn, sizeof *frame);
	void *block, *last = NULL;

	CHECK(frame);
	for (size_t size = 64 << 10; size >= 16; size /= 2)
		while ((block = vmrpc_malloc(world.conn, size))) {
			*(void **)block = last;
			last = block;
		}
	CHECK_EQ(errno, ENOMEM);
	CHECK_FAILS(lab_huge(world.conn, &in, &out), ENOMEM, "heap=");
	memset(frame, 0, sizeof *frame);
	for (size_t i = 0; i < sizeof frame->in.words / sizeof frame->in.words[0]; i++)
		frame->in.words[i] = i;
	CHECK_OK(vmrpc_stub_call(world.conn, &lab_service, LAB_HUGE, frame));
	for (size_t i = 0; i < sizeof frame->in.words / sizeof frame->in.words[0]; i++) {
		CHECK_EQ(frame->in.words[i], i);
		CHECK_EQ(frame->result.words[i], i + 1);
	}
	while ((block = last)) {
		last = *(void **)block;
		vmrpc_free(block);
	}
	CHECK_OK(lab_huge(world.conn, &in, &out));
	vmrpc_free(frame);
	world_close(&world);
}

struct on_stack {
	struct vmrpc *conn;
	int64_t sum;
};

static void *call_from_the_stack(void *arg)
{
	struct on_stack *on_stack = arg;
	struct lab_frame_big big;
	struct lab_frame_add add = {40, 2, 0};
	int64_t numbers[] = {1, 2, 3, 4};

	for (size_t i = 0; i < LAB_BIG_WORDS; i++)
		big.in.words[i] = i;
	memset(&big.result, 0, sizeof big.result);
	CHECK_OK(vmrpc_stub_call(on_stack->conn, &lab_service, LAB_BIG, &big));
	for (size_t i = 0; i < LAB_BIG_WORDS; i++)
		CHECK_EQ(big.result.words[i], i + 1);
	CHECK_OK(vmrpc_stub_call(on_stack->conn, &lab_service, LAB_ADD, &add));
	CHECK_EQ(add.result, 42);
	CHECK_OK(lab_sum(on_stack->conn, numbers, 4, &on_stack->sum));
	return NULL;
}

TEST(frames_on_the_stack_stay_where_they_are)
{
	struct world world = world_open("", "");
	struct on_stack on_stack = {world.conn, 0};

	CHECK_OK(vmrpc_stack_call(world.conn, call_from_the_stack, &on_stack, NULL));
	CHECK_EQ(on_stack.sum, 10);
	world_close(&world);
}

/* Whatever a method fails with arrives, the result is left alone, and the words name the method. */
TEST(failures_arrive)
{
	struct world world = world_open("", "");
	int64_t result = 77;

	for (int error = 1; error < 134; error++)
		CHECK_FAILS(lab_fail(world.conn, error), error, "lab_fail");
	CHECK_FAILS(lab_fail(world.conn, 4095), 4095, "lab_fail");
	CHECK_FAILS(lab_fail(world.conn, 5000), EPROTO, "lab_fail"); /* no errno */
	CHECK_FAILS(lab_fail(world.conn, -1), EPROTO, "lab_fail");
	lab_hook = NULL;
	CHECK_FAILS(lab_call_hook(world.conn, 1, &result), ENOSYS, "lab_call_hook");
	CHECK_EQ(result, 77);
	CHECK_OK(lab_null(world.conn));
	world_close(&world);
}

/* What a method itself fails with must not be taken for a failure of the connection. */
TEST(failures_of_methods_are_no_failures_of_the_connection)
{
	struct world world = world_open("", "");
	struct vmrpc_stats before, after;
	int64_t tid, again;

	CHECK_OK(lab_tid(world.conn, &tid));
	CHECK_EQ(vmrpc_get_stats(world.conn, &before), 0);
	CHECK_FAILS(lab_fail(world.conn, EPIPE), EPIPE, "Broken pipe");
	CHECK(!strstr(vmrpc_error_message(), "died"));
	CHECK_FAILS(lab_fail(world.conn, ETIMEDOUT), ETIMEDOUT, "timed out");
	CHECK(!strstr(vmrpc_error_message(), "no answer"));
	CHECK_FAILS(lab_fail(world.conn, EAGAIN), EAGAIN, "temporarily unavailable");
	CHECK(!strstr(vmrpc_error_message(), "thread"));
	CHECK_OK(lab_tid(world.conn, &again));
	CHECK_EQ(again, tid); /* the same channel */
	CHECK_EQ(vmrpc_get_stats(world.conn, &after), 0);
	CHECK_EQ(after.calls, before.calls + 4);
	CHECK_EQ(after.reconnects, 0);
	world_close(&world);
}

TEST(calls_are_counted_on_both_sides)
{
	struct world world = world_open("", "");
	struct vmrpc_stats client, server;
	int64_t result;

	for (int i = 0; i < 10; i++)
		CHECK_OK(lab_null(world.conn));
	for (int i = 0; i < 5; i++)
		CHECK_OK(lab_note(world.conn, i));
	lab_hook = labs;
	for (int i = 0; i < 3; i++)
		CHECK_OK(lab_call_hook(world.conn, i, &result));
	CHECK_OK(lab_server_stats(world.conn, &server));
	CHECK_EQ(vmrpc_get_stats(world.conn, &client), 0);
	CHECK_EQ(client.calls, 14);
	CHECK_EQ(server.calls, 14); /* this one included */
	CHECK_EQ(client.async_calls, 5);
	CHECK_EQ(server.async_calls, 5);
	CHECK_EQ(client.callbacks, 3);
	CHECK_EQ(server.callbacks, 3);
	CHECK_EQ(client.channels, 1);
	CHECK_EQ(server.channels, 1);
	CHECK_EQ(client.heap_size, 64 << 20);
	CHECK_EQ(server.heap_size, 64 << 20);
	CHECK_EQ(client.reconnects, 0);
	world_close(&world);
}

/* Neither vmrpc_connect() nor an address is needed. */
TEST(a_service_finds_its_server_by_its_name)
{
	pid_t server;
	struct vmrpc *conn;
	int64_t pid;

	world_begin();
	unsetenv("VMRPC_LAB");
	CHECK_FAILS(lab_null(NULL), ENOENT, "vmrpc/lab");
	server = world_serve(NULL);
	EVENTUALLY(lab_null(NULL) == 0);
	CHECK_OK(lab_pid(NULL, &pid));
	CHECK_EQ(pid, server);
	/* Once there is a connection of the service, it is that one. */
	conn = lab_service.binding->conn;
	CHECK(conn);
	vmrpc_close(conn);
	CHECK(!lab_service.binding->conn);
	world_stop(server);
	world_end();
}

TEST(a_service_finds_its_server_through_the_environment)
{
	pid_t server, other;
	struct vmrpc *conn;
	int64_t pid;

	world_begin();
	setenv("VMRPC_LAB", "local:elsewhere?timeout=20s", 1);
	server = world_serve(NULL); /* it looks there too */
	other = world_serve("local:lab");
	CHECK_OK(lab_pid(NULL, &pid));
	CHECK_EQ(pid, server);
	/* A connection made by hand is not taken for it while there is one, and afterwards it is. */
	conn = world_connect("local:lab");
	CHECK_OK(lab_pid(NULL, &pid));
	CHECK_EQ(pid, server);
	vmrpc_close(lab_service.binding->conn);
	CHECK_OK(lab_pid(NULL, &pid));
	CHECK_EQ(pid, other);
	vmrpc_close(conn);
	world_stop(server);
	world_stop(other);
	world_end();
}

TEST(two_servers_serve_one_thread)
{
	struct vmrpc *conn[2];
	pid_t server[2];
	int64_t result;

	world_begin();
	server[0] = world_serve("local:one");
	server[1] = world_serve("local:two");
	conn[0] = world_connect("local:one");
	conn[1] = world_connect("local:two");
	for (int64_t i = 1; i <= 500; i++)
		for (int k = 0; k < 2; k++) {
			CHECK_OK(lab_pid(conn[k], &result));
			CHECK_EQ(result, server[k]);
			CHECK_OK(lab_note(conn[k], i));
			CHECK_OK(lab_thread_counter(conn[k], &result));
			CHECK_EQ(result, i);
		}
	for (int k = 0; k < 2; k++) {
		int64_t n, in_order;

		CHECK_OK(lab_notes(conn[k], &n, &in_order));
		CHECK_EQ(n, 500);
		CHECK_EQ(in_order, 1);
	}
	vmrpc_close(conn[0]);
	CHECK_OK(lab_pid(conn[1], &result));
	CHECK_EQ(result, server[1]);
	/* The place of the closed one is taken by the next. */
	conn[0] = world_connect("local:one");
	CHECK_OK(lab_pid(conn[0], &result));
	CHECK_EQ(result, server[0]);
	vmrpc_close(conn[0]);
	vmrpc_close(conn[1]);
	world_stop(server[0]);
	world_stop(server[1]);
	world_end();
}

/* Every way of waiting, on both sides. */
TEST(calls_pass_however_the_sides_wait)
{
	static const char *const spins[] = {"spin=0", "spin=1", "spin=200us", "spin=1s"};

	for (int server = 0; server < 4; server++)
		for (int client = 0; client < 4; client++) {
			struct vmrpc *conn;
			char address[64];
			int64_t result;
			pid_t pid;

			world_begin();
			snprintf(address, sizeof address, "local:lab?%s", spins[server]);
			pid = world_serve(address);
			snprintf(address, sizeof address, "local:lab?%s", spins[client]);
			conn = world_connect(address);
			for (int64_t i = 0; i < 300; i++) {
				CHECK_OK(lab_add(conn, i, 1, &result));
				CHECK_EQ(result, i + 1);
			}
			vmrpc_close(conn);
			world_stop(pid);
			world_end();
		}
}

TEST_MAIN()
