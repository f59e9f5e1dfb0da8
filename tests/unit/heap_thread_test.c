/* The RPC heap of one side, in several threads. */
#include "heap_world.h"

#define MB ((size_t)1 << 20)

static void in_thread(void *(*run)(void *arg), void *arg)
{
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, run, arg), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* ---- stress ----------------------------------------------------------------------------------------------------- */

enum { N_THREADS = 4, N_SLOTS = 400, N_MAILBOXES = 64 };

struct letter { /* a block on its way to another thread */
	void *block;
	size_t size;
	uint32_t seed;
};

static struct letter mailboxes[N_MAILBOXES];
static pthread_mutex_t mailbox_lock = PTHREAD_MUTEX_INITIALIZER;

struct worker {
	struct side *side;
	uint64_t random;
	long steps;
};

static void read_and_free(struct letter *letter)
{
	if (!letter->block)
		return;
	pattern_check(letter->block, letter->size, letter->seed);
	vmrpc_free(letter->block);
	letter->block = NULL;
}

static void *stress(void *arg)
{
	struct worker *worker = arg;
	struct letter slots[N_SLOTS] = {{0}};

	for (long step = 0; step < worker->steps; step++) {
		struct letter *slot = &slots[random_next(&worker->random) % N_SLOTS];

		read_and_free(slot);
		slot->size = random_size(&worker->random, 300000);
		slot->seed = random_next(&worker->random);
		slot->block = random_next(&worker->random) % 16 ? vmrpc_malloc(&worker->side->conn, slot->size)
								: vmrpc_malloc(NULL, slot->size);
		CHECK(slot->block || errno == ENOMEM);
		if (!slot->block)
			continue;
		pattern_write(slot->block, slot->size, slot->seed);
		if (random_next(&worker->random) % 4 == 0) {
			struct letter *mailbox = &mailboxes[random_next(&worker->random) % N_MAILBOXES];
			struct letter theirs;

			pthread_mutex_lock(&mailbox_lock);
			theirs = *mailbox;
			*mailbox = *slot;
			pthread_mutex_unlock(&mailbox_lock);
			*slot = theirs;
		}
	}
	for (unsigned i = 0; i < N_SLOTS; i++)
		read_and_free(&slots[i]);
	return NULL;
}

TEST(threads_do_not_get_in_each_others_way)
{
	struct worker workers[N_THREADS];
	pthread_t threads[N_THREADS];
	struct world world;

	world_begin(&world, 48 * MB, 0, false); /* now and then it is full */
	for (unsigned i = 0; i < N_THREADS; i++) {
		workers[i] = (struct worker){&world.a, i + 1, scaled(30000)};
		CHECK_EQ(pthread_create(&threads[i], NULL, stress, &workers[i]), 0);
	}
	for (unsigned i = 0; i < N_THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	CHECK_VALID(&world.a);
	for (unsigned i = 0; i < N_MAILBOXES; i++)
		read_and_free(&mailboxes[i]);
	check_all_free(&world.a);
	world_end(&world);
}

/* ---- caches ----------------------------------------------------------------------------------------------------- */

static void *allocate_and_free(void *arg)
{
	struct side *side = arg;
	void *blocks[500];

	for (unsigned i = 0; i < 500; i++)
		CHECK(blocks[i] = vmrpc_malloc(&side->conn, i * 10));
	for (unsigned i = 0; i < 500; i++)
		vmrpc_free(blocks[i]);
	CHECK(stats_of(side).in_use > 0);
	return NULL;
}

TEST(a_thread_that_ends_gives_its_cache_back)
{
	struct world world;

	world_begin(&world, 32 * MB, 0, false);
	for (unsigned i = 0; i < 10; i++) {
		in_thread(allocate_and_free, &world.a);
		CHECK_EQ(stats_of(&world.a).in_use, 0);
	}
	check_all_free(&world.a);
}

struct pile {
	struct side *side;
	size_t size;
	void **blocks;
	unsigned n;
	size_t cached; /* in use while nothing was */
};

static void *free_pile(void *arg)
{
	struct pile *pile = arg;
	void *again;

	for (unsigned i = 0; i < pile->n; i++)
		vmrpc_free(pile->blocks[i]);
	pile->cached = stats_of(pile->side).in_use;
	CHECK(again = vmrpc_malloc(&pile->side->conn, pile->size)); /* from the cache of this thread, who freed them */
	CHECK_EQ(stats_of(pile->side).in_use, pile->cached);
	vmrpc_free(again);
	return NULL;
}

TEST(another_thread_may_free_and_hoards_only_so_much)
{
	static const size_t sizes[] = {16, 1000, 8000, 32768};
	static void *blocks[1000];
	struct world world;

	world_begin(&world, 64 * MB, 0, false);
	for (unsigned i = 0; i < 4; i++) {
		struct pile pile = {&world.a, sizes[i], blocks, 1000, 0};

		for (unsigned n = 0; n < 1000; n++)
			CHECK(blocks[n] = vmrpc_malloc(&world.a.conn, sizes[i]));
		vmrpc__caches_release();
		in_thread(free_pile, &pile);
		CHECK(pile.cached > 0);
		CHECK(pile.cached <= VMRPC__CACHE_BYTES);
		CHECK(pile.cached <= VMRPC__CACHE_DEPTH * (sizes[i] + sizes[i] / 4));
		CHECK_EQ(stats_of(&world.a).in_use, 0);
	}
	check_all_free(&world.a);
}

TEST(a_small_heap_is_not_eaten_by_caches)
{
	struct world world;
	void *blocks[16];

	world_begin(&world, MB, 0, false);
	for (size_t size = 16; size <= 32768; size += size / 4) {
		for (unsigned i = 0; i < 16; i++)
			CHECK(blocks[i] = vmrpc_malloc(&world.a.conn, size));
		for (unsigned i = 0; i < 16; i++)
			vmrpc_free(blocks[i]);
		CHECK(stats_of(&world.a).in_use < MB / 8);
	}
}

/* ---- a thread at rest while something happens to the arena --------------------------------------------------- */

struct sleeper {
	struct world *world;
	pthread_barrier_t before, after;
	void *block;
	int what; /* to do when waked */
};

enum { MALLOC, FREE, END, FREE_OTHERS };

static void *sleeper_run(void *arg)
{
	struct sleeper *sleeper = arg;
	struct side *a = &sleeper->world->a, *b = &sleeper->world->b;
	void *ready, *others;

	CHECK(others = vmrpc_malloc(&b->conn, 24));
	CHECK(sleeper->block = vmrpc_malloc(&a->conn, 24));
	CHECK(ready = vmrpc_malloc(&a->conn, 24));
	vmrpc_free(ready);
	pthread_barrier_wait(&sleeper->before);
	pthread_barrier_wait(&sleeper->after);
	if (sleeper->what == MALLOC) {
		CHECK(ready = vmrpc_malloc(&a->conn, 24));
		vmrpc_free(sleeper->block);
		vmrpc_free(ready);
	} else if (sleeper->what == FREE) {
		vmrpc_free(sleeper->block);
	} else if (sleeper->what == FREE_OTHERS) {
		vmrpc_free(others);
		CHECK(others = vmrpc_malloc(&b->conn, 24));
	}
	if (sleeper->what != END)
		pthread_barrier_wait(&sleeper->before);
	vmrpc_free(others);
	if (sleeper->what == END)
		vmrpc_free(sleeper->block);
	return NULL;
}

static void count(void *arg)
{
	++*(int *)arg;
}

TEST(a_retired_range_leaves_other_threads_caches)
{
	for (int what = MALLOC; what <= END; what++) {
		struct sleeper sleeper = {.what = what};
		struct world world;
		pthread_t thread;
		int emptied = 0;

		world_begin(&world, MB, MB, false);
		sleeper.world = &world;
		pthread_barrier_init(&sleeper.before, NULL, 2);
		pthread_barrier_init(&sleeper.after, NULL, 2);
		CHECK_EQ(pthread_create(&thread, NULL, sleeper_run, &sleeper), 0);
		pthread_barrier_wait(&sleeper.before);
		vmrpc__arena_retire(world.a.arena, world.a.offset, count, &emptied);
		CHECK_EQ(vmrpc__arena_add(world.a.arena, 12 * VMRPC__PAGE, 4 * VMRPC__PAGE, true), 0);
		CHECK_EQ(emptied, 0);
		pthread_barrier_wait(&sleeper.after);
		if (what != END) {
			pthread_barrier_wait(&sleeper.before);
			CHECK_EQ(emptied, 1); /* without the thread's having ended */
		}
		CHECK_EQ(pthread_join(thread, NULL), 0);
		CHECK_EQ(emptied, 1);
		CHECK_EQ(stats_of(&world.a).in_use, 0);
		CHECK_VALID(&world.a);
		world_end(&world);
	}
}

TEST(a_connection_may_go_while_threads_have_caches_of_it)
{
	struct sleeper sleeper = {.what = FREE_OTHERS};
	struct vmrpc__arena *fresh;
	struct world world;
	pthread_t thread;
	void *block;

	world_begin(&world, MB, MB, false);
	sleeper.world = &world;
	pthread_barrier_init(&sleeper.before, NULL, 2);
	pthread_barrier_init(&sleeper.after, NULL, 2);
	CHECK_EQ(pthread_create(&thread, NULL, sleeper_run, &sleeper), 0);
	pthread_barrier_wait(&sleeper.before);
	CHECK(block = vmrpc_malloc(&world.a.conn, 24));
	vmrpc_free(block);
	side_known(&world.a, false);
	vmrpc__arena_free(world.a.arena);
	CHECK_REFUSED(vmrpc_free(block));
	errno = 0;
	CHECK(!vmrpc_malloc(&world.a.conn, 24));
	CHECK_EQ(errno, ENOTCONN);
	/* A new connection where the old one was. */
	CHECK_EQ(vmrpc__arena_new(&fresh, &world.a.conn, world.a.base, world.size, NULL, NULL), 0);
	CHECK_EQ(vmrpc__arena_add(fresh, world.a.offset, world.a.size, true), 0);
	world.a.arena = fresh;
	side_known(&world.a, true);
	CHECK_REFUSED(vmrpc_free(block));
	CHECK_REFUSED(vmrpc_free(sleeper.block));
	CHECK(block = vmrpc_malloc(&world.a.conn, 24));
	CHECK(stats_of(&world.a).in_use > 0);
	vmrpc_free(block);
	pthread_barrier_wait(&sleeper.after);
	pthread_barrier_wait(&sleeper.before);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	check_all_free(&world.a);
	check_all_free(&world.b);
	world_end(&world);
}

/* Connections come and go, and so do threads, while one thread works on. */
static _Atomic bool stop;

static void *come_and_go(void *arg)
{
	struct side *lasting = arg;
	struct world world;

	for (long i = 0; i < scaled(60); i++) {
		void *block, *other;

		world_begin(&world, MB, 0, false);
		CHECK(block = vmrpc_malloc(&world.a.conn, 40));
		CHECK(other = vmrpc_malloc(&lasting->conn, 40));
		vmrpc_free(block);
		vmrpc_free(other);
		in_thread(allocate_and_free, lasting);
		world_end(&world);
		CHECK_EQ(munmap(world.a.base, world.size), 0);
		if (world.b.base != world.a.base)
			CHECK_EQ(munmap(world.b.base, world.size), 0);
	}
	atomic_store(&stop, true);
	return NULL;
}

TEST(connections_come_and_go_beside_a_busy_thread)
{
	struct world world;
	pthread_t threads[2];
	void *blocks[100];

	world_begin(&world, 32 * MB, 0, false);
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, come_and_go, &world.a), 0);
	while (!atomic_load(&stop)) {
		for (unsigned i = 0; i < 100; i++) {
			CHECK(blocks[i] = vmrpc_malloc(&world.a.conn, i * 50));
			pattern_write(blocks[i], i * 50, i);
		}
		for (unsigned i = 0; i < 100; i++) {
			pattern_check(blocks[i], i * 50, i);
			vmrpc_free(blocks[i]);
		}
	}
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	check_all_free(&world.a);
	world_end(&world);
}

TEST_MAIN()
