/* The RPC heap between two processes: who allocates, who frees, what it costs, and heaps that come and go. */
#include <pthread.h>

#include "world.h"

static struct vmrpc_stats stats_of(struct vmrpc *conn)
{
	struct vmrpc_stats stats;

	CHECK_EQ(vmrpc_get_stats(conn, &stats), 0);
	return stats;
}

static struct vmrpc_stats server_stats(struct vmrpc *conn)
{
	struct vmrpc_stats stats;

	CHECK_OK(lab_server_stats(conn, &stats));
	return stats;
}

static bool holds(const unsigned char *block, size_t n, int byte)
{
	for (size_t i = 0; i < n; i++)
		if (block[i] != byte)
			return false;
	return true;
}

/* The same memory, at the same address unless told otherwise: also in builds with sanitizers. */
TEST(both_sides_see_the_heap_at_one_address)
{
	const char *map = getenv("VMRPC_TEST_MAP");
	bool any = map && strcmp(map, "any") == 0;
	struct world world = world_open("", "");
	int64_t *numbers = vmrpc_malloc(world.conn, 1000 * sizeof *numbers);
	int64_t sum, same;

	CHECK(numbers);
	if (any)
		CHECK(vmrpc_offset(world.conn) != 0);
	else
		CHECK_EQ(vmrpc_offset(world.conn), 0);
	for (int64_t i = 0; i < 1000; i++)
		numbers[i] = i;
	CHECK_OK(lab_sum(world.conn, numbers, 1000, &sum));
	CHECK_EQ(sum, 499500);
	CHECK_OK(lab_same_address(world.conn, numbers, &same));
	CHECK_EQ(same, !any);
	CHECK_OK(lab_fill(world.conn, numbers, 1000 * sizeof *numbers, 0x5a));
	CHECK(holds((unsigned char *)numbers, 1000 * sizeof *numbers, 0x5a));
	vmrpc_free(numbers);
	world_close(&world);
}

/* Many connections at a time find a place for both as well. */
TEST(many_connections_find_one_address)
{
	struct world world = world_open("", "");
	struct vmrpc *conns[10];
	const char *map = getenv("VMRPC_TEST_MAP");

	for (int i = 0; i < 10; i++) {
		conns[i] = world_connect("local:lab");
		if (!map || strcmp(map, "same") == 0)
			CHECK_EQ(vmrpc_offset(conns[i]), 0);
		CHECK_OK(lab_null(conns[i]));
	}
	for (int i = 0; i < 10; i++)
		vmrpc_close(conns[i]);
	world_close(&world);
}

TEST(either_side_says_any)
{
	struct world world = world_open("map=any", "");
	int64_t sum, *number = vmrpc_malloc(world.conn, sizeof *number);

	CHECK(vmrpc_offset(world.conn) != 0);
	*number = 7;
	CHECK_OK(lab_sum(world.conn, number, 1, &sum));
	CHECK_EQ(sum, 7);
	world_close(&world);
}

TEST(blocks_are_aligned)
{
	struct world world = world_open("", "");
	static void *blocks[400];

	for (size_t i = 0; i < 400; i++) {
		blocks[i] = vmrpc_malloc(world.conn, i < 300 ? i : i * 1000);
		CHECK(blocks[i]);
		CHECK_EQ((uintptr_t)blocks[i] % 16, 0);
		memset(blocks[i], (int)i, i < 300 ? i : i * 1000);
	}
	for (size_t i = 0; i < 400; i++) {
		CHECK(holds(blocks[i], i < 300 ? i : i * 1000, (int)(i & 0xff)));
		vmrpc_free(blocks[i]);
	}
	for (size_t size = 1; size < 100000; size = size * 2 + 1) {
		void *block;

		CHECK_OK(lab_make(world.conn, size, 3, &block));
		CHECK_EQ((uintptr_t)block % 16, 0);
		CHECK(holds(block, size, 3));
		vmrpc_free(block);
	}
	vmrpc_free(NULL);
	world_close(&world);
}

TEST(each_side_frees_the_other_s_blocks)
{
	struct world world = world_open("", "");
	struct vmrpc_stats client = stats_of(world.conn), server = server_stats(world.conn), now;
	const unsigned n = 3000; /* more than one ring of posts holds */
	static void *blocks[3000];

	/* The server's, freed here. */
	for (unsigned i = 0; i < n; i++) {
		CHECK_OK(lab_make(world.conn, 100 + i % 500, (int)(i & 0xff), &blocks[i]));
		CHECK(holds(blocks[i], 100 + i % 500, (int)(i & 0xff)));
	}
	now = server_stats(world.conn);
	CHECK(now.bytes_in_use - server.bytes_in_use >= n * 100);
	CHECK_EQ(stats_of(world.conn).bytes_in_use, client.bytes_in_use);
	for (unsigned i = 0; i < n; i++)
		vmrpc_free(blocks[i]);
	CHECK_EQ(stats_of(world.conn).frees_posted - client.frees_posted, n);
	/* What did not fit the ring follows when there is room. */
	for (int i = 0; i < 100 && (now = server_stats(world.conn)).bytes_in_use > server.bytes_in_use + (64 << 10);
	     i++) {
		void *block;

		CHECK_OK(lab_make(world.conn, 16, 0, &block));
		vmrpc_free(block);
	}
	CHECK(now.bytes_in_use <= server.bytes_in_use + (64 << 10)); /* but for what its cache keeps ready */

	/* Ours, freed there. */
	for (unsigned i = 0; i < n; i++)
		CHECK((blocks[i] = vmrpc_malloc(world.conn, 100 + i % 500)));
	CHECK(stats_of(world.conn).bytes_in_use - client.bytes_in_use >= n * 100);
	for (unsigned i = 0; i < n; i++)
		CHECK_OK(lab_unmake(world.conn, blocks[i]));
	CHECK_EQ(server_stats(world.conn).frees_posted - server.frees_posted, n);
	for (int i = 0; i < 100 && stats_of(world.conn).bytes_in_use > client.bytes_in_use + (64 << 10); i++)
		CHECK_OK(lab_unmake(world.conn, vmrpc_malloc(world.conn, 16)));
	CHECK(stats_of(world.conn).bytes_in_use <= client.bytes_in_use + (64 << 10));
	world_close(&world);
}

/* Fills the heap with blocks of this size and less, and returns them as a list. */
static void *fill_heap(struct vmrpc *conn, size_t size, size_t *ret_bytes)
{
	void *last = NULL, *block;

	*ret_bytes = 0;
	for (; size >= 16; size /= 2)
		while ((block = vmrpc_malloc(conn, size))) {
			*(void **)block = last;
			last = block;
			*ret_bytes += size;
		}
	CHECK_EQ(errno, ENOMEM);
	CHECK(strstr(vmrpc_error_message(), "heap="));
	return last;
}

static void free_list(void *last)
{
	while (last) {
		void *block = last;

		last = *(void **)block;
		vmrpc_free(block);
	}
}

TEST(a_full_heap_recovers)
{
	struct world world = world_open("", "heap=2M");
	size_t bytes;
	void *last, *block;

	for (int round = 0; round < 5; round++) {
		last = fill_heap(world.conn, round ? 512u << round * 2 : 1 << 20, &bytes);
		CHECK(bytes > 2 << 19);
		CHECK(stats_of(world.conn).bytes_in_use <= 2 << 20);
		CHECK_OK(lab_null(world.conn)); /* calls need none */
		/* The server's half is its own. */
		CHECK_OK(lab_make(world.conn, 1000, 1, &block));
		vmrpc_free(block);
		free_list(last);
		CHECK(stats_of(world.conn).bytes_in_use < 256 << 10);
		CHECK((block = vmrpc_malloc(world.conn, 1 << 20)));
		vmrpc_free(block);
	}
	world_close(&world);
}

TEST(a_full_heap_of_the_server_recovers)
{
	struct world world = world_open("", "heap=1M");
	static void *blocks[1000];
	unsigned n = 0;
	void *block;
	int r;

	while ((r = lab_make(world.conn, 10000, 1, &block)) == 0) {
		CHECK(n < 1000);
		blocks[n++] = block;
	}
	CHECK_EQ(r, -ENOMEM);
	CHECK(n > 50);
	while (n)
		vmrpc_free(blocks[--n]);
	for (int i = 0; i < 50; i++) {
		CHECK_OK(lab_make(world.conn, 10000, 1, &block));
		blocks[i] = block;
	}
	for (int i = 0; i < 50; i++)
		vmrpc_free(blocks[i]);
	world_close(&world);
}

TEST(sizes_that_cannot_be)
{
	struct world world = world_open("", "heap=1M");
	struct vmrpc_heap *heap;
	void *block;

	errno = 0;
	CHECK(!vmrpc_malloc(world.conn, SIZE_MAX));
	CHECK_EQ(errno, ENOMEM);
	errno = 0;
	CHECK(!vmrpc_malloc(world.conn, SIZE_MAX - 4096));
	CHECK_EQ(errno, ENOMEM);
	errno = 0;
	CHECK(!vmrpc_malloc(world.conn, 3 << 20));
	CHECK_EQ(errno, ENOMEM);
	block = vmrpc_malloc(world.conn, 0); /* as malloc(0): something to free */
	CHECK(block);
	vmrpc_free(block);
	CHECK_FAILS(vmrpc_heap_setup(&heap, world.conn, 0), EINVAL, "1 byte");
	CHECK_FAILS(vmrpc_heap_setup(&heap, world.conn, SIZE_MAX), EINVAL, "64G");
	CHECK_FAILS(vmrpc_heap_setup(&heap, world.conn, (size_t)60 << 30), ENOMEM, "no room");
	CHECK_OK(lab_null(world.conn));
	world_close(&world);
}

TEST(heaps_are_added_to_a_live_connection)
{
	struct world world = world_open("", "heap=1M");
	struct vmrpc_heap *heap = NULL;
	int64_t *numbers, sum;
	void *block;

	CHECK(!vmrpc_malloc(world.conn, 8 << 20));
	CHECK_OK(lab_null(world.conn));
	CHECK_EQ(lab_make(world.conn, 8 << 20, 1, &block), -ENOMEM);
	CHECK_OK(vmrpc_heap_setup(&heap, world.conn, 10 << 20));
	CHECK(stats_of(world.conn).heap_size >= 11 << 20);
	CHECK(server_stats(world.conn).heap_size >= 11 << 20);
	numbers = vmrpc_malloc(world.conn, 8 << 20);
	CHECK(numbers);
	for (int64_t i = 0; i < 1 << 20; i++)
		numbers[i] = i;
	CHECK_OK(lab_sum(world.conn, numbers, 1 << 20, &sum));
	CHECK_EQ(sum, (INT64_C(1) << 19) * ((1 << 20) - 1));
	CHECK_OK(lab_make(world.conn, 8 << 20, 9, &block));
	CHECK(holds(block, 8 << 20, 9));
	vmrpc_free(block);
	vmrpc_free(numbers);
	vmrpc_heap_destroy(heap);
	vmrpc_heap_destroy(NULL);
	CHECK_EQ(stats_of(world.conn).heap_size, 1 << 20);
	CHECK_EQ(server_stats(world.conn).heap_size, 1 << 20);
	CHECK(!vmrpc_malloc(world.conn, 8 << 20));
	world_close(&world);
}

/* Again and again at one place: were it not given back, the 16G of address space would run out. */
TEST(the_place_of_a_heap_is_used_again)
{
	struct world world = world_open("", "heap=1M");

	for (int i = 0; i < 60; i++) {
		struct vmrpc_heap *heap = NULL;
		unsigned char *block;

		CHECK_OK(vmrpc_heap_setup(&heap, world.conn, (size_t)1 << 30));
		block = vmrpc_malloc(world.conn, 900 << 20);
		CHECK(block);
		CHECK(block[100 << 20] == 0); /* and clean */
		block[100 << 20] = 1;
		block[899 << 20] = 1;
		vmrpc_free(block);
		vmrpc_heap_destroy(heap);
	}
	CHECK_EQ(stats_of(world.conn).heap_size, 1 << 20);
	world_close(&world);
}

/* A heap goes once its last block is freed, whoever holds that. */
TEST(a_heap_lives_as_long_as_its_blocks)
{
	struct world world = world_open("", "heap=1M");
	struct vmrpc_heap *heap = NULL, *next = NULL;
	int64_t *ours, sum;
	void *theirs;

	CHECK_OK(vmrpc_heap_setup(&heap, world.conn, 10 << 20));
	CHECK((ours = vmrpc_malloc(world.conn, 4 << 20)));
	CHECK_OK(lab_make(world.conn, 4 << 20, 7, &theirs));
	vmrpc_heap_destroy(heap);
	CHECK(!vmrpc_malloc(world.conn, 4 << 20)); /* nothing new in it */
	ours[0] = 20;
	ours[(4 << 20) / 8 - 1] = 3;
	CHECK_OK(lab_sum(world.conn, ours + (4 << 20) / 8 - 1, 1, &sum));
	CHECK_EQ(sum, 3);
	CHECK(holds(theirs, 4 << 20, 7));
	/* Another one does not take its place. */
	CHECK_OK(vmrpc_heap_setup(&next, world.conn, 10 << 20));
	CHECK_OK(lab_sum(world.conn, ours, 1, &sum));
	CHECK_EQ(sum, 20);
	CHECK(holds(theirs, 4 << 20, 7));
	CHECK_OK(lab_unmake(world.conn, ours)); /* freed by the server */
	EVENTUALLY(stats_of(world.conn).heap_size == 11 << 20);
	CHECK(holds(theirs, 4 << 20, 7));
	vmrpc_free(theirs);
	EVENTUALLY(server_stats(world.conn).heap_size == 11 << 20);
	vmrpc_heap_destroy(next);
	EVENTUALLY(server_stats(world.conn).heap_size == 1 << 20);
	world_close(&world);
}

static int64_t hook_malloc(int64_t value)
{
	int64_t *block = vmrpc_malloc(NULL, 16);
	int64_t sum;

	/* Though there are two connections: it is the one whose call is being served. */
	CHECK(block);
	*block = value;
	CHECK_OK(lab_sum(vmrpc_current(), block, 1, &sum));
	vmrpc_free(block);
	return sum;
}

TEST(malloc_without_a_connection)
{
	struct vmrpc *other;
	struct world world;
	int64_t result;
	void *block;

	errno = 0;
	CHECK(!vmrpc_malloc(NULL, 16));
	CHECK_EQ(errno, EINVAL);
	CHECK(strstr(vmrpc_error_message(), "no connection"));
	world = world_open("", "");
	CHECK((block = vmrpc_malloc(NULL, 16))); /* the only one */
	vmrpc_free(block);
	other = world_connect("local:lab");
	errno = 0;
	CHECK(!vmrpc_malloc(NULL, 16));
	CHECK_EQ(errno, EINVAL);
	CHECK(strstr(vmrpc_error_message(), "several connections"));
	lab_hook = hook_malloc;
	CHECK_OK(lab_call_hook(other, 31, &result));
	CHECK_EQ(result, 31);
	CHECK_OK(lab_call_hook(world.conn, 32, &result));
	CHECK_EQ(result, 32);
	vmrpc_close(other);
	CHECK((block = vmrpc_malloc(NULL, 16)));
	vmrpc_free(block);
	world_close(&world);
}

/* Threads allocate, fill, have the server check, and free each other's and the server's blocks. */
static void *churn(void *arg)
{
	struct vmrpc *conn = arg;
	unsigned seed = (unsigned)(uintptr_t)&seed;
	void *kept[32] = {0};

	for (unsigned i = 0; i < world_scaled(1500); i++) {
		unsigned k = (unsigned)rand_r(&seed) % 32, what = (unsigned)rand_r(&seed) % 4;
		size_t size = (unsigned)rand_r(&seed) % 8 ? (unsigned)rand_r(&seed) % 600 + 8
							  : (unsigned)rand_r(&seed) % 60000 + 8;

		if (kept[k] && what < 2)
			vmrpc_free(kept[k]);
		else if (kept[k])
			CHECK_OK(lab_unmake(conn, kept[k]));
		if (what % 2) {
			int64_t sum;

			CHECK((kept[k] = vmrpc_malloc(conn, size)));
			*(int64_t *)kept[k] = i;
			CHECK_OK(lab_sum(conn, kept[k], 1, &sum));
			CHECK_EQ(sum, i);
		} else {
			CHECK_OK(lab_make(conn, size, (int)(i & 0xff), &kept[k]));
			CHECK(holds(kept[k], size, (int)(i & 0xff)));
		}
	}
	for (unsigned k = 0; k < 32; k++)
		vmrpc_free(kept[k]);
	return NULL;
}

TEST(many_threads_share_the_heap)
{
	struct world world = world_open("", "");
	pthread_t threads[6];

	for (int i = 0; i < 6; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, churn, world.conn), 0);
	for (int i = 0; i < 6; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	world_close(&world);
}

/* Blocks of a connection whose server has died stay readable until they are freed. */
TEST(blocks_outlive_their_server)
{
	struct world world = world_open("", "");
	unsigned char *ours = vmrpc_malloc(world.conn, 5000);
	void *theirs;
	int status;

	memset(ours, 3, 5000);
	CHECK_OK(lab_make(world.conn, 5000, 4, &theirs));
	CHECK_EQ(kill(world.server, SIGKILL), 0);
	CHECK_EQ(waitpid(world.server, &status, 0), world.server);
	world.server = world_serve("local:lab");
	EVENTUALLY(stats_of(world.conn).channels == 0);
	CHECK_OK(lab_null(world.conn));
	CHECK_EQ(stats_of(world.conn).reconnects, 1);
	CHECK_EQ(world_regions(getpid()), 2);
	CHECK(holds(ours, 5000, 3));
	CHECK(holds(theirs, 5000, 4));
	vmrpc_free(theirs);
	vmrpc_free(ours);
	/* The memory of a few dead servers is kept, for what they allocated; not more. */
	for (unsigned death = 2; death <= 10; death++) {
		CHECK_EQ(kill(world.server, SIGKILL), 0);
		CHECK_EQ(waitpid(world.server, &status, 0), world.server);
		world.server = world_serve("local:lab");
		EVENTUALLY(stats_of(world.conn).channels == 0);
		CHECK_OK(lab_null(world.conn));
		CHECK_EQ(stats_of(world.conn).reconnects, death);
		vmrpc_free(vmrpc_malloc(world.conn, 100));
	}
	CHECK(world_regions(getpid()) <= 6);
	world_close(&world);
}

TEST_MAIN()
