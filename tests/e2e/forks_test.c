/* Processes that fork: a child opens connections of its own and leaves its parent's alone. */
#include <pthread.h>

#include "world.h"

/* Runs the rest in a child; true there. */
static bool in_child(pid_t *ret_child)
{
	EVENTUALLY(world_others_sleep());
	fflush(NULL);
	*ret_child = fork();
	CHECK(*ret_child >= 0);
	return *ret_child == 0;
}

static void join_child(pid_t child)
{
	int status;

	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
}

static struct vmrpc_stats stats_of(struct vmrpc *conn)
{
	struct vmrpc_stats stats;

	CHECK_EQ(vmrpc_get_stats(conn, &stats), 0);
	return stats;
}

TEST(a_child_has_its_own_connection)
{
	struct world world;
	int64_t tid, own, count;
	pid_t child;

	world_needs_threads_in_children();
	world = world_open("", "");
	CHECK_OK(lab_tid(world.conn, &tid));
	CHECK_OK(lab_thread_counter(world.conn, &count));
	for (int round = 0; round < 3; round++) {
		if (in_child(&child)) {
			CHECK_OK(lab_tid(world.conn, &own));
			CHECK(own != tid);
			CHECK_OK(lab_thread_counter(world.conn, &count));
			CHECK_EQ(count, 1);
			vmrpc_close(world.conn);
			CHECK_EQ(world_fds(getpid()), world.n_fds);
			_exit(0);
		}
		/* Meanwhile the parent goes on. */
		for (int i = 0; i < 500; i++) {
			int64_t sum;

			CHECK_OK(lab_add(world.conn, i, 1, &sum));
			CHECK_EQ(sum, i + 1);
		}
		join_child(child);
		CHECK_OK(lab_tid(world.conn, &own));
		CHECK_EQ(own, tid);
		CHECK_EQ(stats_of(world.conn).reconnects, 0);
	}
	EVENTUALLY(world_threads(world.server) == world.n_threads + 1 && world_regions(world.server) == 1);
	world_close(&world);
}

/* It need not use it, close it or even end in order. */
TEST(a_child_that_does_nothing_disturbs_nobody)
{
	struct world world = world_open("", "");
	pid_t child;

	CHECK_OK(lab_null(world.conn));
	for (int how = 0; how < 4; how++) {
		if (in_child(&child)) {
			if (how == 1)
				vmrpc_close(world.conn);
			if (how == 2)
				exit(0);
			if (how == 3)
				pthread_exit(NULL);
			_exit(0);
		}
		join_child(child);
		CHECK_OK(lab_null(world.conn));
		CHECK_EQ(stats_of(world.conn).reconnects, 0);
	}
	world_close(&world);
}

/* The child holds none of the parent's sockets: the server sees the parent die though the child lives. */
TEST(a_parent_s_death_is_seen_though_its_child_lives)
{
	struct world world;
	int64_t child;
	int status, pair[2];
	pid_t parent;

	if (world_emulated()) /* ThreadSanitizer gets by */
		world_needs_threads_in_children();
	world = world_open("", "");
	CHECK_OK(lab_null(world.conn));
	EVENTUALLY(world_threads(world.server) == world.n_threads + 1);
	CHECK_EQ(pipe(pair), 0);
	if (in_child(&parent)) {
		struct vmrpc *conn = world_connect("local:lab");
		pid_t grandchild;

		CHECK_OK(lab_null(conn));
		if (in_child(&grandchild)) {
			pause();
			_exit(0);
		}
		child = grandchild;
		CHECK_EQ(write(pair[1], &child, sizeof child), sizeof child);
		raise(SIGKILL);
	}
	CHECK_EQ(waitpid(parent, &status, 0), parent);
	CHECK_EQ(read(pair[0], &child, sizeof child), sizeof child);
	EVENTUALLY(world_threads(world.server) == world.n_threads + 1 && world_regions(world.server) == 1);
	CHECK_EQ(kill((pid_t)child, SIGKILL), 0);
	close(pair[0]);
	close(pair[1]);
	world_close(&world);
}

/* Memory of the parent's connection stays readable in the child, and its blocks are the parent's to free. */
TEST(a_child_sees_the_parent_s_memory)
{
	struct world world;
	int64_t *block, sum;
	pid_t child;

	world_needs_threads_in_children();
	world = world_open("", "");
	block = vmrpc_malloc(world.conn, 4096);
	CHECK(block);
	CHECK_OK(lab_null(world.conn));
	block[0] = 11;
	if (in_child(&child)) {
		int64_t *own;

		CHECK_EQ(block[0], 11);
		CHECK((own = vmrpc_malloc(world.conn, 4096)));
		CHECK(own != block);
		own[0] = 12;
		CHECK_OK(lab_sum(world.conn, own, 1, &sum));
		CHECK_EQ(sum, 12);
		vmrpc_free(own);
		CHECK_EQ(block[0], 11);
		vmrpc_close(world.conn);
		CHECK_EQ(world_regions(getpid()), 0);
		_exit(0);
	}
	join_child(child);
	CHECK_OK(lab_sum(world.conn, block, 1, &sum));
	CHECK_EQ(sum, 11);
	vmrpc_free(block);
	world_close(&world);
}

/* While other threads are in the middle of calls. */
static _Atomic bool enough;

static void *call_on(void *arg)
{
	for (int64_t i = 0, result; !enough; i++) {
		void *block;

		CHECK_OK(lab_add(arg, i, 5, &result));
		CHECK_EQ(result, i + 5);
		CHECK((block = vmrpc_malloc(arg, 100)));
		vmrpc_free(block);
	}
	return NULL;
}

TEST(a_busy_process_forks)
{
	struct world world;
	pthread_t threads[3];

	world_needs_threads_in_children();
#ifdef WORLD_ASAN
	TEST_SKIP("AddressSanitizer's own allocator may be locked for ever in the child, until gcc 13");
#endif
	world = world_open("", "");
	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, call_on, world.conn), 0);
	for (unsigned round = 0; round < world_scaled(20); round++) {
		int64_t result;
		pid_t child;

		if (in_child(&child)) {
			CHECK_OK(lab_add(world.conn, 1, 2, &result));
			CHECK_EQ(result, 3);
			vmrpc_close(world.conn);
			_exit(0);
		}
		join_child(child);
	}
	enough = true;
	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	CHECK_EQ(stats_of(world.conn).reconnects, 0);
	world_close(&world);
}

/* A method of the server may fork, too; what it leaves behind keeps no client. */
TEST(a_child_of_a_child_has_its_own_connection)
{
	struct world world;
	pid_t child, grandchild;
	int64_t tid, next;

	world_needs_threads_in_children();
	world = world_open("", "");
	CHECK_OK(lab_tid(world.conn, &tid));
	if (in_child(&child)) {
		CHECK_OK(lab_tid(world.conn, &next));
		CHECK(next != tid);
		tid = next;
		if (in_child(&grandchild)) {
			CHECK_OK(lab_tid(world.conn, &next));
			CHECK(next != tid);
			_exit(0);
		}
		join_child(grandchild);
		CHECK_OK(lab_tid(world.conn, &next));
		CHECK_EQ(next, tid);
		_exit(0);
	}
	join_child(child);
	CHECK_OK(lab_tid(world.conn, &next));
	CHECK_EQ(next, tid);
	world_close(&world);
}

TEST_MAIN()
