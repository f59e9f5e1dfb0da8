/* The RPC heap of two sides that free each other's blocks; and of one whose peer lies. */
#include "heap_world.h"

#define MB ((size_t)1 << 20)

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN
#endif
#endif

/* What side frees when it is handed a block that the other side sees at block. */
static void *as_seen_by(const struct side *side, const struct side *other, const void *block)
{
	return side->base + offset_in(other, block);
}

/* The calling thread is of this side, even where both see the region at one address. */
static void be(struct side *side)
{
	void *block;

	CHECK(block = vmrpc_malloc(&side->conn, 16));
	vmrpc_free(block);
}

/* ---- honest peers ------------------------------------------------------------------------------------------------ */

enum { N_SIDE_THREADS = 2, QUEUE = 512 };

struct parcel {
	size_t offset, size;
	uint32_t seed;
};

struct queue { /* of blocks that one side has made for the other */
	pthread_mutex_t lock;
	struct parcel parcels[QUEUE];
	unsigned n;
	unsigned n_makers;
};

struct worker {
	struct side *side;
	struct queue *out, *in;
	uint64_t random;
	long steps;
};

static bool queue_put(struct queue *queue, const struct parcel *parcel)
{
	bool fits;

	pthread_mutex_lock(&queue->lock);
	fits = queue->n < QUEUE;
	if (fits)
		queue->parcels[queue->n++] = *parcel;
	pthread_mutex_unlock(&queue->lock);
	return fits;
}

/* False when nothing more will come. */
static bool queue_take(struct queue *queue, struct parcel *ret_parcel)
{
	bool more;

	pthread_mutex_lock(&queue->lock);
	more = queue->n > 0 || queue->n_makers > 0;
	ret_parcel->size = SIZE_MAX;
	if (queue->n > 0)
		*ret_parcel = queue->parcels[--queue->n];
	pthread_mutex_unlock(&queue->lock);
	return more;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct parcel mine, theirs;
	long steps = worker->steps;
	bool more = true;
	void *block;

	be(worker->side);
	while (steps > 0 || more) {
		if (steps-- > 0) {
			mine.size = random_size(&worker->random, 100000);
			mine.seed = random_next(&worker->random);
			block = vmrpc_malloc(&worker->side->conn, mine.size);
			CHECK(block || errno == ENOMEM);
			if (block) {
				pattern_write(block, mine.size, mine.seed);
				mine.offset = offset_in(worker->side, block);
				if (random_next(&worker->random) % 4 == 0 || !queue_put(worker->out, &mine)) {
					pattern_check(block, mine.size, mine.seed);
					vmrpc_free(block);
				}
			}
		}
		if (steps == 0) {
			pthread_mutex_lock(&worker->out->lock);
			worker->out->n_makers--;
			pthread_mutex_unlock(&worker->out->lock);
		}
		more = queue_take(worker->in, &theirs);
		if (theirs.size != SIZE_MAX) {
			pattern_check(worker->side->base + theirs.offset, theirs.size, theirs.seed);
			vmrpc_free(worker->side->base + theirs.offset);
		}
	}
	return NULL;
}

static void both_sides_free(bool same_address)
{
	static struct queue to_a = {.lock = PTHREAD_MUTEX_INITIALIZER, .n_makers = N_SIDE_THREADS};
	static struct queue to_b = {.lock = PTHREAD_MUTEX_INITIALIZER, .n_makers = N_SIDE_THREADS};
	struct worker workers[2 * N_SIDE_THREADS];
	pthread_t threads[2 * N_SIDE_THREADS];
	struct world world;

	world_begin(&world, 16 * MB, 16 * MB, same_address);
	for (unsigned i = 0; i < 2 * N_SIDE_THREADS; i++) {
		workers[i] = i % 2 ? (struct worker){&world.a, &to_b, &to_a, i, scaled(20000)}
				   : (struct worker){&world.b, &to_a, &to_b, i, scaled(20000)};
		CHECK_EQ(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < 2 * N_SIDE_THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	for (unsigned i = 0; i < 10; i++) { /* what waits for room in a ring */
		stats_of(&world.a);
		stats_of(&world.b);
	}
	CHECK(stats_of(&world.a).posted > 0);
	CHECK(stats_of(&world.b).posted > 0);
	CHECK_EQ(stats_of(&world.a).lies, 0);
	CHECK_EQ(stats_of(&world.b).lies, 0);
	check_all_free(&world.a);
	check_all_free(&world.b);
	CHECK_EQ(vmrpc__arena_drain(world.a.arena), 0);
	CHECK_EQ(vmrpc__arena_drain(world.b.arena), 0);
	world_end(&world);
}

TEST(sides_at_one_address_free_each_others_blocks)
{
	both_sides_free(true);
}

TEST(sides_at_two_addresses_free_each_others_blocks)
{
#ifdef UNDER_TSAN
	TEST_SKIP("TSan takes the ring's words at two addresses for different words");
#endif
	both_sides_free(false);
}

TEST(a_block_of_the_peers_comes_home)
{
	struct world world;
	void *blocks[10];

	world_begin(&world, MB, MB, false);
	for (unsigned i = 0; i < 10; i++)
		CHECK(blocks[i] = vmrpc__arena_malloc(world.b.arena, i * 5000));
	be(&world.a);
	for (unsigned i = 0; i < 10; i++)
		vmrpc_free(as_seen_by(&world.a, &world.b, blocks[i]));
	CHECK_EQ(vmrpc__arena_drain(world.b.arena), 10);
	CHECK_EQ(vmrpc__arena_drain(world.b.arena), 0);
	CHECK_EQ(stats_of(&world.a).posted, 10);
	check_all_free(&world.b);
}

TEST(a_full_heap_takes_what_the_peer_has_freed)
{
	struct world world;
	void *all, *small;

	world_begin(&world, MB, MB, false);
	CHECK(all = vmrpc_malloc(&world.a.conn, MB));
	be(&world.b);
	for (unsigned i = 0; i < 100; i++) {
		CHECK(!vmrpc_malloc(&world.a.conn, MB));
		CHECK(!vmrpc_malloc(&world.a.conn, 16));
		vmrpc_free(as_seen_by(&world.b, &world.a, all));
		CHECK(small = vmrpc_malloc(&world.a.conn, 16)); /* by a cache's refill */
		vmrpc_free(small);
		CHECK(all = vmrpc_malloc(&world.a.conn, MB));
	}
}

/* A side that only frees drains as well. */
TEST(a_side_that_only_frees_takes_posts_too)
{
	struct world world;
	void *blocks[1000], *posted;

	world_begin(&world, 16 * MB, MB, false);
	CHECK(posted = vmrpc_malloc(&world.a.conn, 100000));
	for (unsigned i = 0; i < 1000; i++)
		CHECK(blocks[i] = vmrpc_malloc(&world.a.conn, 64));
	vmrpc_free(as_seen_by(&world.b, &world.a, posted));
	CHECK_EQ(atomic_load(&world.a.inbox->head), 0);
	for (unsigned i = 0; i < 200; i++)
		vmrpc_free(blocks[i]);
	CHECK_EQ(atomic_load(&world.a.inbox->head), 1);
}

TEST(a_full_ring_loses_nothing)
{
	enum { N = 5000 };
	static void *blocks[N];
	struct world world;
	uint64_t taken = 0;

	world_begin(&world, 16 * MB, MB, false);
	for (unsigned i = 0; i < N; i++)
		CHECK(blocks[i] = vmrpc__arena_malloc(world.a.arena, 16 + i % 500));
	be(&world.b);
	for (unsigned i = 0; i < N; i++)
		vmrpc_free(as_seen_by(&world.b, &world.a, blocks[i]));
	CHECK_EQ(stats_of(&world.b).posted, N);
	CHECK_EQ(stats_of(&world.b).waiting, N - VMRPC__FREE_SLOTS);
	for (unsigned i = 0; i < N / VMRPC__FREE_SLOTS + 1; i++) {
		int n = vmrpc__arena_drain(world.a.arena);

		CHECK(n > 0);
		taken += (uint64_t)n;
		CHECK_EQ(vmrpc__arena_drain(world.b.arena), 0); /* posts what waits */
		CHECK_VALID(&world.b);
	}
	CHECK_EQ(taken, N);
	CHECK_EQ(stats_of(&world.b).waiting, 0);
	check_all_free(&world.a);
}

/* In and out at one pace, so that the list of what waits moves on through its room. */
TEST(a_ring_that_stays_full_loses_nothing)
{
	enum { N = 20000 };
	static void *blocks[N];
	struct world world;

	world_begin(&world, 16 * MB, MB, false);
	be(&world.b);
	for (unsigned i = 0; i < N; i++)
		CHECK(blocks[i] = vmrpc__arena_malloc(world.a.arena, 16));
	for (unsigned i = 0; i < N; i++) {
		vmrpc_free(as_seen_by(&world.b, &world.a, blocks[i]));
		if (i >= 2500 && i % 1000 == 0)
			CHECK_EQ(vmrpc__arena_drain(world.a.arena), VMRPC__FREE_SLOTS);
	}
	while (stats_of(&world.b).waiting > 0) /* asking posts, too */
		CHECK(vmrpc__arena_drain(world.a.arena) > 0);
	check_all_free(&world.a);
}

TEST(the_rings_counts_may_wrap)
{
	struct world world;
	struct vmrpc__arena *from, *to;

	world_begin(&world, MB, MB, false);
	from = world.b.arena;
	to = world.a.arena;
	from->outbox.tail = to->inbox.head = UINT32_MAX - 700;
	atomic_store(&world.a.inbox->tail, UINT32_MAX - 700);
	atomic_store(&world.a.inbox->head, UINT32_MAX - 700);
	from->outbox.slot = to->inbox.slot = 500;
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < 333; i++) {
			void *block;

			CHECK(block = vmrpc__arena_malloc(to, 16));
			vmrpc_free(as_seen_by(&world.b, &world.a, block));
		}
		CHECK(vmrpc__arena_drain(to) >= 0);
	}
	CHECK_EQ(stats_of(&world.b).waiting, 0);
	CHECK_EQ(stats_of(&world.a).lies, 0);
	check_all_free(&world.a);
}

static void count(void *arg)
{
	++*(int *)arg;
}

TEST(the_peer_may_free_the_last_block_of_a_retired_range)
{
	struct world world;
	void *block;
	int emptied = 0;

	world_begin(&world, MB, MB, false);
	CHECK(block = vmrpc_malloc(&world.a.conn, 100));
	vmrpc__arena_retire(world.a.arena, world.a.offset, count, &emptied);
	be(&world.b);
	vmrpc_free(as_seen_by(&world.b, &world.a, block));
	CHECK_EQ(emptied, 0);
	CHECK_EQ(stats_of(&world.a).in_use, 0);
	CHECK_EQ(emptied, 0); /* that may have been called under locks */
	CHECK_EQ(vmrpc__arena_drain(world.a.arena), 0);
	CHECK_EQ(emptied, 1);
	CHECK_EQ(stats_of(&world.a).size, 0);
}

TEST(a_forgotten_range_of_the_peers_is_no_memory_to_free)
{
	struct world world;
	void *block;

	world_begin(&world, MB, MB, false);
	CHECK(block = vmrpc_malloc(&world.a.conn, 100));
	vmrpc__arena_retire(world.b.arena, world.a.offset, NULL, NULL);
	be(&world.b);
	CHECK_REFUSED(vmrpc_free(as_seen_by(&world.b, &world.a, block)));
	CHECK_EQ(atomic_load(&world.a.inbox->tail), 0);
}

/* ---- lies -------------------------------------------------------------------------------------------------------- */

static void lie(struct side *side, uint64_t offset)
{
	uint32_t tail = atomic_load(&side->inbox->tail);

	atomic_store(&side->inbox->slots[tail % VMRPC__FREE_SLOTS], offset);
	atomic_store(&side->inbox->tail, tail + 1);
}

TEST(wrong_posts_are_noticed_and_change_nothing)
{
	struct world world;
	void *small, *cached, *large, *medium, *freed;
	size_t in_use;

	world_begin(&world, 8 * MB, MB, false);
	CHECK(small = vmrpc_malloc(&world.a.conn, 48));
	CHECK(medium = vmrpc_malloc(&world.a.conn, 5000));
	CHECK(large = vmrpc_malloc(&world.a.conn, 100000));
	CHECK(cached = vmrpc_malloc(&world.a.conn, 48));
	CHECK(freed = vmrpc_malloc(&world.a.conn, 100000));
	vmrpc_free(cached);
	vmrpc_free(freed);
	pattern_write(small, 48, 1);
	pattern_write(medium, 5000, 2);
	pattern_write(large, 100000, 3);
	in_use = stats_of(&world.a).in_use;

	const uint64_t lies[] = {
		0,
		UINT64_MAX,
		UINT64_MAX - 15,
		(uint64_t)INT64_MAX + 1,
		offset_in(&world.a, small) + ((uint64_t)1 << 32),
		offset_in(&world.a, small) + ((uint64_t)1 << 60),
		offset_in(&world.a, small) + 1,
		offset_in(&world.a, small) + 8,
		offset_in(&world.a, small) + 16,
		offset_in(&world.a, medium) + 4096,
		offset_in(&world.a, large) + 8,
		offset_in(&world.a, large) + 16,
		offset_in(&world.a, large) + 4096,
		offset_in(&world.a, cached),
		offset_in(&world.a, freed),
		world.a.offset + world.a.size - 16,
		world.a.offset + world.a.size, /* the peer's own */
		world.b.offset + world.b.size - 16,
		world.size,
		world.size - 1,
	};
	for (unsigned i = 0; i < sizeof lies / sizeof *lies; i++) {
		last_message[0] = 0;
		lie(&world.a, lies[i]);
		CHECK_EQ(vmrpc__arena_drain(world.a.arena), -EPROTO);
		CHECK(last_message[0] != 0);
		CHECK_EQ(vmrpc__arena_drain(world.a.arena), 0);
		CHECK_EQ(stats_of(&world.a).lies, i + 1);
		CHECK_EQ(stats_of(&world.a).in_use, in_use);
		CHECK_VALID(&world.a);
	}

	/* A lie found on the way is told of later, and does not hide the truth beside it. */
	lie(&world.a, offset_in(&world.a, medium));
	lie(&world.a, offset_in(&world.a, medium));
	lie(&world.a, offset_in(&world.a, large));
	CHECK(freed = vmrpc_malloc(&world.a.conn, 200000));
	vmrpc_free(freed);
	CHECK_EQ(vmrpc__arena_drain(world.a.arena), -EPROTO);
	CHECK_REFUSED(vmrpc_free(medium));
	CHECK_REFUSED(vmrpc_free(large));
	pattern_check(small, 48, 1);
	vmrpc_free(small);
	check_all_free(&world.a);
}

/* The peer frees a block while this side frees it, too, and both find it in use: what the side writes last is played
 * here by hand. The block may be lost, or handed out twice; all else must stay right. */
TEST(a_block_freed_behind_its_holders_back_harms_no_other)
{
	struct world world;
	void *block, *others[2000];
	vmrpc__mark *mark;
	unsigned class = vmrpc__class_of(48);

	world_begin(&world, MB, MB, false);
	for (unsigned held = 0; held < 2; held++) {
		CHECK(others[0] = vmrpc__arena_malloc(world.a.arena, 48));
		pattern_write(others[0], 48, 5);
		CHECK(block = vmrpc__arena_malloc(world.a.arena, 48));
		mark = vmrpc__mark_at(world.a.arena, offset_in(&world.a, block));
		lie(&world.a, offset_in(&world.a, block));
		CHECK_EQ(vmrpc__arena_drain(world.a.arena), 1);
		vmrpc__mark_set(mark, VMRPC__MARK_IN_USE + class);
		CHECK_VALID(&world.a);
		for (unsigned i = 1; i < 2000 && held; i++) {
			CHECK(others[i] = vmrpc_malloc(&world.a.conn, 48));
			CHECK(others[i] != block); /* it is still held */
		}
		vmrpc_free(block);
		for (unsigned i = 1; i < 2000 && held; i++)
			vmrpc_free(others[i]);
		vmrpc__caches_release();
		CHECK_EQ(stats_of(&world.a).in_use, 48); /* it was counted once */
		CHECK_VALID(&world.a);
		pattern_check(others[0], 48, 5);
		vmrpc_free(others[0]);
		check_all_free(&world.a);
	}

	/* Its slab is gone, and the place cut into blocks of another size. */
	CHECK(block = vmrpc__arena_malloc(world.a.arena, 48));
	mark = vmrpc__mark_at(world.a.arena, offset_in(&world.a, block));
	lie(&world.a, offset_in(&world.a, block));
	CHECK_EQ(vmrpc__arena_drain(world.a.arena), 1);
	CHECK(others[0] = vmrpc__arena_malloc(world.a.arena, 96));
	CHECK(others[0] == block);
	CHECK(others[1] = vmrpc__arena_malloc(world.a.arena, 96));
	vmrpc__mark_set(mark, VMRPC__MARK_IN_USE + class);
	CHECK_EQ(vmrpc__arena_release(world.a.arena, offset_in(&world.a, block)), -EINVAL);
	vmrpc__mark_set(mark, VMRPC__MARK_IN_USE + vmrpc__class_of(96));
	vmrpc_free(others[0]);
	vmrpc_free(others[1]);
	check_all_free(&world.a);
}

TEST(a_wild_tail_is_noticed_and_nothing_taken)
{
	static const uint32_t jumps[] = {VMRPC__FREE_SLOTS + 1, 2 * VMRPC__FREE_SLOTS, UINT32_MAX, (uint32_t)1 << 31};
	struct world world;
	void *block, *other;

	world_begin(&world, MB, MB, false);
	CHECK(block = vmrpc_malloc(&world.a.conn, 100));
	for (unsigned i = 0; i < VMRPC__FREE_SLOTS; i++)
		atomic_store(&world.a.inbox->slots[i], offset_in(&world.a, block));
	for (unsigned i = 0; i < sizeof jumps / sizeof *jumps; i++) {
		atomic_store(&world.a.inbox->tail, jumps[i]);
		CHECK_EQ(vmrpc__arena_drain(world.a.arena), -EPROTO);
		CHECK_EQ(atomic_load(&world.a.inbox->head), 0);
		CHECK(other = vmrpc_malloc(&world.a.conn, 100));
		vmrpc_free(other);
		CHECK_VALID(&world.a);
	}
	/* Once it makes sense again it is believed again, as far as it goes. */
	atomic_store(&world.a.inbox->tail, 1);
	CHECK_EQ(vmrpc__arena_drain(world.a.arena), 1);
	CHECK_EQ(atomic_load(&world.a.inbox->head), 1);
	check_all_free(&world.a);

	/* All the slots name one block. */
	CHECK(block = vmrpc_malloc(&world.a.conn, 100000));
	for (unsigned i = 0; i < VMRPC__FREE_SLOTS; i++)
		atomic_store(&world.a.inbox->slots[i], offset_in(&world.a, block));
	atomic_store(&world.a.inbox->tail, 1 + VMRPC__FREE_SLOTS);
	CHECK_EQ(vmrpc__arena_drain(world.a.arena), -EPROTO);
	CHECK_EQ(stats_of(&world.a).in_use, 0);
	check_all_free(&world.a);
}

TEST(a_wild_head_loses_nothing_of_ours)
{
	static const uint32_t heads[] = {1, 5000, UINT32_MAX - VMRPC__FREE_SLOTS, UINT32_MAX / 2};
	struct world world;
	void *block;

	world_begin(&world, MB, MB, false);
	for (unsigned i = 0; i < sizeof heads / sizeof *heads; i++) {
		atomic_store(&world.b.inbox->head, heads[i]);
		CHECK(block = vmrpc__arena_malloc(world.b.arena, 100));
		be(&world.a);
		vmrpc_free(as_seen_by(&world.a, &world.b, block));
		CHECK_VALID(&world.a);
	}
	CHECK(stats_of(&world.a).waiting > 0); /* the ring seemed full: beyond its end is not empty */
	check_all_free(&world.a);
}

/* Debug builds stop a program that frees what is not its own, and here the peer makes it so. */
#if !defined(VMRPC_CHECK_INVARIANTS) || defined(NDEBUG)
/* A peer that changes the ring as fast as it can, naming blocks that live. Any of them may be lost to it, and be handed
 * out twice: that is memory it can write anyway. The tables must stay what they are. */
struct liar {
	struct world *world;
	_Atomic bool stop;
};

static void *lie_without_end(void *arg)
{
	struct liar *liar = arg;
	struct side *side = &liar->world->a;
	uint64_t random = 99;
	uint32_t tail = 0;

	while (!atomic_load(&liar->stop)) {
		for (unsigned i = 0; i < 8; i++) {
			uint64_t offset = side->offset + random_next(&random) % (256 * 1024) / 16 * 16;

			if (random_next(&random) % 8 == 0)
				offset = random_next(&random);
			atomic_store_explicit(&side->inbox->slots[random_next(&random) % VMRPC__FREE_SLOTS], offset,
					      memory_order_relaxed);
		}
		tail = random_next(&random) % 4 == 0 ? random_next(&random)
						     : atomic_load(&side->inbox->head) + random_next(&random) % 64;
		atomic_store(&side->inbox->tail, tail);
		atomic_store(&liar->world->b.inbox->head, random_next(&random));
	}
	return NULL;
}

static void *be_lied_to(void *arg)
{
	struct side *side = arg;
	uint64_t random = (uintptr_t)&random;
	unsigned char *blocks[200] = {NULL};

	for (long i = 0; i < scaled(100000); i++) {
		unsigned slot = random_next(&random) % 200;
		size_t size = random_size(&random, 40000);

		if (blocks[slot])
			vmrpc_free(blocks[slot]); /* an error, if the peer was faster */
		blocks[slot] = vmrpc_malloc(&side->conn, size);
		if (blocks[slot]) {
			CHECK(offset_in(side, blocks[slot]) >= side->offset);
			CHECK(offset_in(side, blocks[slot]) + size <= side->offset + side->size);
			CHECK_EQ((uintptr_t)blocks[slot] % 16, 0);
		}
		if (i % 1000 == 0)
			CHECK_VALID(side);
	}
	for (unsigned i = 0; i < 200; i++)
		vmrpc_free(blocks[i]);
	return NULL;
}

TEST(a_racing_liar_harms_no_table)
{
	struct world world;
	struct liar liar = {.world = &world};
	pthread_t threads[3];

	world_begin(&world, 4 * MB, 4 * MB, false);
	CHECK_EQ(pthread_create(&threads[0], NULL, lie_without_end, &liar), 0);
	for (unsigned i = 1; i < 3; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, be_lied_to, &world.a), 0);
	for (unsigned i = 1; i < 3; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	atomic_store(&liar.stop, true);
	CHECK_EQ(pthread_join(threads[0], NULL), 0);
	CHECK_EQ(vmrpc__arena_drain(world.a.arena), -EPROTO);
	CHECK(stats_of(&world.a).lies > 0);
	CHECK_VALID(&world.a);
	world_end(&world);
}

#endif

TEST_MAIN()
