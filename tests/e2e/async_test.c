/* Calls that do not wait: their order, where their failures surface, a full ring, and what wakes the server. */
#include <pthread.h>

#include "world.h"

static void check_notes(struct vmrpc *conn, int64_t expected)
{
	int64_t n, in_order;

	CHECK_OK(lab_notes(conn, &n, &in_order));
	CHECK_EQ(n, expected);
	CHECK_EQ(in_order, 1);
}

static struct vmrpc_stats stats_of(struct vmrpc *conn)
{
	struct vmrpc_stats stats;

	CHECK_EQ(vmrpc_get_stats(conn, &stats), 0);
	return stats;
}

TEST(calls_run_in_order)
{
	struct world world = world_open("", "");

	for (int64_t i = 0; i < 20000; i++)
		CHECK_OK(lab_note(world.conn, i));
	check_notes(world.conn, 20000);
	world_close(&world);
}

TEST(waiting_calls_keep_their_place)
{
	struct world world = world_open("", "");
	int64_t result;

	for (int64_t round = 0; round < 200; round++) {
		for (int64_t i = 0; i < round % 7; i++)
			CHECK_OK(lab_note(world.conn, i));
		CHECK_OK(lab_add(world.conn, round, 1, &result));
		CHECK_EQ(result, round + 1);
		for (int64_t i = 0; i < round % 5; i++)
			CHECK_OK(lab_note(world.conn, round % 7 + i));
		check_notes(world.conn, round % 7 + round % 5);
	}
	world_close(&world);
}

/* A frame that no cell of the ring holds is waited for, and keeps its place all the same. */
TEST(large_frames_keep_their_place)
{
	struct world world = world_open("", "");

	for (int64_t i = 0; i < 300; i++)
		CHECK_OK(i % 10 == 3 ? lab_note_big(world.conn, i) : lab_note(world.conn, i));
	check_notes(world.conn, 300);
	world_close(&world);
}

/* The first failure stops the next waiting call, once; that call has not run. */
TEST(failures_surface_at_the_next_waiting_call)
{
	struct world world = world_open("", "");
	int64_t count, n, in_order;

	CHECK_OK(lab_thread_counter(world.conn, &count));
	CHECK_EQ(count, 1);
	CHECK_OK(lab_note(world.conn, 0));
	CHECK_OK(lab_note(world.conn, -ENOTTY));
	CHECK_OK(lab_note(world.conn, -EXDEV));
	CHECK_OK(lab_note(world.conn, 1)); /* those behind it do run */
	count = 99;
	CHECK_FAILS(lab_thread_counter(world.conn, &count), ENOTTY, "earlier asynchronous call failed");
	CHECK_EQ(count, 99);
	CHECK_OK(lab_thread_counter(world.conn, &count));
	CHECK_EQ(count, 2);
	CHECK_OK(lab_notes(world.conn, &n, &in_order));
	CHECK_EQ(n, 2);
	CHECK_EQ(in_order, 1);
	/* Whatever it failed with: also what else a broken connection would be. */
	CHECK_OK(lab_note(world.conn, -EPIPE));
	CHECK_FAILS(lab_null(world.conn), EPIPE, "earlier asynchronous call failed");
	CHECK_OK(lab_note(world.conn, -ETIMEDOUT));
	CHECK_FAILS(lab_null(world.conn), ETIMEDOUT, "earlier asynchronous call failed");
	CHECK_OK(lab_null(world.conn));
	world_close(&world);
}

TEST(failures_surface_at_a_flush)
{
	struct world world = world_open("", "");
	struct vmrpc_stats server;

	CHECK_OK(lab_flush(world.conn)); /* of nothing */
	CHECK_OK(lab_note(world.conn, -ENOTTY));
	CHECK_FAILS(lab_flush(world.conn), ENOTTY, "earlier asynchronous call failed");
	CHECK_OK(lab_flush(world.conn));
	for (int64_t i = 0; i < 10; i++)
		CHECK_OK(lab_note_slowly(world.conn, i, 1000));
	CHECK_OK(lab_flush(world.conn));
	check_notes(world.conn, 10);
	CHECK_OK(lab_server_stats(world.conn, &server));
	CHECK_EQ(server.async_calls, 11);
	world_close(&world);
}

static void *note_in_vain(void *arg)
{
	CHECK_OK(lab_note(arg, -ENOTTY));
	CHECK_FAILS(lab_null(arg), ENOTTY, "earlier");
	return NULL;
}

TEST(failures_stay_in_their_thread)
{
	struct world world = world_open("", "");
	pthread_t thread;

	CHECK_OK(lab_note(world.conn, 0));
	CHECK_EQ(pthread_create(&thread, NULL, note_in_vain, world.conn), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	check_notes(world.conn, 1);
	world_close(&world);
}

/* More than the ring holds, to a server that is slower than we are. */
TEST(a_full_ring_waits)
{
	struct world world = world_open("", "");

	CHECK_OK(lab_note_slowly(world.conn, 0, 50000));
	for (int64_t i = 1; i < 3000; i++)
		CHECK_OK(i % 300 ? lab_note(world.conn, i) : lab_note_slowly(world.conn, i, 2000));
	check_notes(world.conn, 3000);
	world_close(&world);
}

TEST(a_full_ring_waits_asleep)
{
	struct world world = world_open("spin=0", "spin=0");
	struct vmrpc_stats before, after;

	CHECK_OK(lab_null(world.conn));
	before = stats_of(world.conn);
	CHECK_OK(lab_note_slowly(world.conn, 0, 100000));
	for (int64_t i = 1; i < 1000; i++)
		CHECK_OK(lab_note(world.conn, i));
	after = stats_of(world.conn);
	CHECK(after.sleeps > before.sleeps);
	check_notes(world.conn, 1000);
	world_close(&world);
}

/* A ring that stays full is no reason to wait for ever. */
TEST(a_full_ring_times_out)
{
	struct world world = world_open("", "");
	struct vmrpc *conn = world_connect("local:lab?timeout=100");
	int64_t n = 0;
	int r = 0;

	while (r == 0) {
		r = lab_note_slowly(conn, n, n ? 0 : 700000);
		n += r == 0;
	}
	CHECK_EQ(r, -ETIMEDOUT);
	CHECK(n == 256 ||
	      n == 257); /* the ring's cells; the first is still under way, in its cell or already out of it */
	CHECK(strstr(vmrpc_error_message(), "no answer in time"));
	vmrpc_close(conn);
	world_close(&world);
}

/* Whether a thread of the server sleeps in the kernel. */
static bool sleeps(pid_t pid, int64_t tid)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
	file = fopen(path, "r");
	if (!file)
		return false;
	if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(file);
	return state == 'S';
}

/* Asleep, the server is woken by the first call of a batch and finds the rest by itself. */
TEST(a_batch_wakes_the_server_once)
{
	struct world world = world_open("spin=0", "spin=0");
	struct vmrpc_stats before, after, server;

	CHECK_OK(lab_null(world.conn));
	for (int round = 0; round < 20; round++) {
		int64_t tid;

		CHECK_OK(lab_tid(world.conn, &tid));
		EVENTUALLY(sleeps(world.server, tid));
		before = stats_of(world.conn);
		/* The first keeps the server busy while the others are posted. */
		CHECK_OK(lab_note_slowly(world.conn, 0, 20000));
		for (int64_t i = 1; i < 200; i++)
			CHECK_OK(lab_note(world.conn, i));
		after = stats_of(world.conn);
		CHECK_EQ(after.wakes - before.wakes, 1);
		check_notes(world.conn, 200);
	}
	CHECK_OK(lab_server_stats(world.conn, &server));
	CHECK(server.sleeps > 0);
	world_close(&world);
}

/* What a thread has posted is run, though the thread ends: its goodbye comes behind. */
struct leaver {
	struct vmrpc *conn;
	int64_t *block;
};

static void *post_and_leave(void *arg)
{
	struct leaver *leaver = arg;

	CHECK_OK(lab_note_slowly(leaver->conn, 0, 50000));
	for (int64_t i = 1; i < 100; i++)
		CHECK_OK(lab_note(leaver->conn, i));
	return NULL;
}

TEST(calls_of_a_thread_that_ends_are_run)
{
	struct world world = world_open("", "");
	struct leaver leaver = {world.conn, NULL};
	struct vmrpc_stats server;
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, post_and_leave, &leaver), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	do /* it ran them on a thread of its own */
		CHECK_OK(lab_server_stats(world.conn, &server));
	while (server.channels > 1);
	CHECK_EQ(server.async_calls, 100);
	world_close(&world);
}

static void *post_one(void *arg)
{
	CHECK_OK(lab_note(arg, 0));
	return NULL;
}

/* Gone before the server has looked: it opens their channels, runs the call and closes them. */
TEST(threads_that_only_post_give_their_channels_back)
{
	struct world world = world_open("", "channels=2");
	struct vmrpc_stats server;
	pthread_t thread;

	for (int i = 0; i < 100; i++) {
		CHECK_EQ(pthread_create(&thread, NULL, post_one, world.conn), 0);
		CHECK_EQ(pthread_join(thread, NULL), 0);
	}
	do
		CHECK_OK(lab_server_stats(world.conn, &server));
	while (server.channels > 1);
	CHECK_EQ(server.async_calls, 100);
	world_close(&world);
}

TEST(calls_before_a_close_are_run)
{
	struct vmrpc_server *server;
	struct vmrpc_stats stats;
	struct vmrpc *conn;
	pid_t client;
	int status;

	for (int round = 0; round < 5; round++) {
		if (round == 0)
			world_begin();
		CHECK_OK(vmrpc_server_new(&server));
		CHECK_OK(vmrpc_server_add(server, &lab_server_service, "local:lab"));
		EVENTUALLY(world_others_sleep());
		fflush(NULL);
		client = fork();
		if (client == 0) {
			CHECK_OK(vmrpc_connect(&conn, &lab_service, "local:lab"));
			if (round % 2)
				CHECK_OK(lab_null(conn));
			CHECK_OK(lab_note_slowly(conn, 0, 20000));
			for (int64_t i = 1; i < 250; i++)
				CHECK_OK(lab_note(conn, i));
			vmrpc_close(conn);
			_exit(0);
		}
		do {
			CHECK_OK(vmrpc_server_dispatch(server, 10));
			CHECK_OK(vmrpc_server_stats(server, &stats));
		} while (waitpid(client, &status, WNOHANG) == 0 || stats.clients || stats.channels);
		CHECK_EQ(status, 0);
		EVENTUALLY(vmrpc_server_dispatch(server, 0) == 0 && vmrpc_server_stats(server, &stats) == 0 &&
			   stats.async_calls == 250);
		vmrpc_server_free(server);
	}
	world_end();
}

/* Nobody knows which of them ran: the next call says so, and flush too. */
TEST(a_server_s_death_is_a_failure_of_calls_on_their_way)
{
	struct world world = world_open("", "");
	int status;

	for (int round = 0; round < 2; round++) {
		CHECK_OK(lab_null(world.conn));
		CHECK_OK(lab_note_slowly(world.conn, 0, 10000000));
		CHECK_OK(lab_note(world.conn, 1));
		CHECK_EQ(kill(world.server, SIGKILL), 0);
		CHECK_EQ(world_wait(world.server, &status, 0), world.server);
		world.server = world_serve("local:lab");
		/* Until its death is noticed calls may still be posted, to nobody. */
		EVENTUALLY(stats_of(world.conn).channels == 0);
		CHECK_FAILS(round ? lab_flush(world.conn) : lab_null(world.conn), EPIPE, "earlier asynchronous");
		check_notes(world.conn, 0);
		CHECK_OK(lab_flush(world.conn));
	}
	/* And when all had run, it is none. */
	CHECK_OK(lab_note(world.conn, 0));
	CHECK_OK(lab_flush(world.conn));
	CHECK_EQ(kill(world.server, SIGKILL), 0);
	CHECK_EQ(world_wait(world.server, &status, 0), world.server);
	world.server = world_serve("local:lab");
	EVENTUALLY(stats_of(world.conn).channels == 0);
	CHECK_OK(lab_null(world.conn));
	world_close(&world);
}

static void *post_much(void *arg)
{
	const int64_t n = world_scaled(5000);

	for (int64_t i = 0; i < n; i++)
		CHECK_OK(lab_note(arg, i));
	check_notes(arg, n);
	return NULL;
}

TEST(many_threads_post)
{
	struct world world = world_open("", "");
	pthread_t threads[8];

	for (int i = 0; i < 8; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, post_much, world.conn), 0);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	world_close(&world);
}

TEST_MAIN()
