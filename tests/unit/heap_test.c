/* The RPC heap of one side, in one thread. */
#include "heap_world.h"

#define MB ((size_t)1 << 20)

TEST(blocks_are_aligned_apart_and_not_wasteful)
{
	static const size_t around[] = {16, 64, 128, 160, 1024, 1536, 4096, 16384, 32768, 65536, 1000000};
	struct world world;
	void *blocks[8];

	world_begin(&world, 64 * MB, 0, true);
	for (unsigned i = 0; i < sizeof around / sizeof *around; i++) {
		for (size_t size = around[i] - 2; size <= around[i] + 2; size++) {
			size_t before = stats_of(&world.a).in_use, used;

			for (unsigned n = 0; n < 8; n++) {
				blocks[n] = vmrpc__arena_malloc(world.a.arena, size);
				CHECK(blocks[n]);
				CHECK_EQ((uintptr_t)blocks[n] % 16, 0);
				CHECK(offset_in(&world.a, blocks[n]) >= world.a.offset);
				CHECK(offset_in(&world.a, blocks[n]) + size <= world.a.offset + world.a.size);
				pattern_write(blocks[n], size, n);
			}
			used = (stats_of(&world.a).in_use - before) / 8;
			CHECK(used >= size);
			CHECK(used <= size + 16 || used <= size * 5 / 4 || used - size < VMRPC__PAGE);
			for (unsigned n = 0; n < 8; n++) {
				pattern_check(blocks[n], size, n);
				vmrpc_free(blocks[n]);
			}
			vmrpc__caches_release();
			CHECK_EQ(stats_of(&world.a).in_use, before);
		}
	}
	check_all_free(&world.a);
	world_end(&world);
}

TEST(a_block_of_no_bytes_is_a_block)
{
	struct world world;
	void *first, *second;

	world_begin(&world, MB, 0, true);
	first = vmrpc_malloc(&world.a.conn, 0);
	second = vmrpc_malloc(&world.a.conn, 0);
	CHECK(first && second);
	CHECK(first != second);
	vmrpc_free(first);
	vmrpc_free(second);
	vmrpc_free(NULL);
	check_all_free(&world.a);
}

TEST(sizes_that_can_not_be_are_refused)
{
	static const size_t sizes[] = {SIZE_MAX,
				       SIZE_MAX - 15,
				       SIZE_MAX - 4096,
				       (size_t)PTRDIFF_MAX + 1,
				       (size_t)1 << 48,
				       MB + HEAPS_OFFSET + 1,
				       MB + 1,
				       (size_t)1 << 32,
				       ((size_t)1 << 32) + 16};
	struct world world;

	world_begin(&world, MB, 0, true);
	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		errno = 0;
		last_message[0] = 0;
		CHECK(!vmrpc_malloc(&world.a.conn, sizes[i]));
		CHECK_EQ(errno, ENOMEM);
		CHECK(last_message[0] != 0);
		CHECK(!vmrpc__arena_malloc(world.a.arena, sizes[i]));
	}
	check_all_free(&world.a);
}

TEST(no_conn_means_the_only_one)
{
	struct world world;
	void *block;

	world_begin(&world, MB, MB, false);
	for (unsigned i = 0; i < 3; i++) {
		block = vmrpc_malloc(NULL, 100);
		CHECK(offset_in(&world.a, block) - world.a.offset < world.a.size);
		vmrpc_free(block);
		block = vmrpc_malloc(&world.b.conn, 100);
		CHECK(offset_in(&world.b, block) - world.b.offset < world.b.size);
		vmrpc_free(block);
	}
	the_only_side = NULL;
	errno = 0;
	CHECK(!vmrpc_malloc(NULL, 100));
	CHECK_EQ(errno, ENOTCONN);
}

TEST(a_full_heap_says_so_and_recovers)
{
	enum { MOST = 1 << 18 };
	static void *blocks[MOST];
	static uint32_t sizes[MOST];
	struct world world;
	uint64_t random = 1;
	size_t n;

	world_begin(&world, 8 * MB, 0, true);
	for (unsigned round = 0; round < 4; round++) {
		size_t kept = 0, wanted = 0;

		for (n = 0; n < MOST; n++) {
			sizes[n] = round == 0 ? 64 : round == 1 ? 30000 : (uint32_t)random_size(&random, MB);
			errno = 0;
			blocks[n] = vmrpc_malloc(&world.a.conn, sizes[n]);
			if (!blocks[n])
				break;
			pattern_write(blocks[n], sizes[n], (uint32_t)n);
			wanted += sizes[n];
		}
		CHECK_EQ(errno, n == MOST ? 0 : ENOMEM);
		if (round < 2) {
			CHECK(!vmrpc_malloc(&world.a.conn, sizes[0]));
			CHECK(wanted >= world.a.size / 100 * 90); /* full means full */
		}
		CHECK_VALID(&world.a);
		for (size_t i = 0; i < n; i++) {
			pattern_check(blocks[i], sizes[i], (uint32_t)i);
			if (i % 3 == 0)
				blocks[kept++] = blocks[i];
			else
				vmrpc_free(blocks[i]);
		}
		for (size_t i = 0; i < 100; i++) {
			void *again = vmrpc_malloc(&world.a.conn, sizes[1]);

			CHECK(again);
			vmrpc_free(again);
		}
		while (kept > 0)
			vmrpc_free(blocks[--kept]);
		check_all_free(&world.a);
	}
	world_end(&world);
}

TEST(a_full_heap_takes_back_what_this_thread_has_cached)
{
	struct world world;
	void *blocks[64], *all;

	world_begin(&world, 32 * MB, 0, true);
	for (size_t size = 16; size <= 32768; size *= 2) {
		for (unsigned i = 0; i < 64; i++)
			CHECK(blocks[i] = vmrpc_malloc(&world.a.conn, size));
		for (unsigned i = 0; i < 64; i++)
			vmrpc_free(blocks[i]);
	}
	CHECK(stats_of(&world.a).in_use > 0); /* they lie in the cache, all over the place */
	CHECK(all = vmrpc_malloc(&world.a.conn, world.a.size));
	vmrpc_free(all);
	/* And for small sizes: all pages are slabs of another size, whose blocks are all in the cache. */
	CHECK(all = vmrpc_malloc(&world.a.conn, world.a.size - 4 * VMRPC__PAGE));
	CHECK(blocks[0] = vmrpc_malloc(&world.a.conn, 16));
	vmrpc_free(blocks[0]);
	CHECK(blocks[1] = vmrpc_malloc(&world.a.conn, 8192));
	vmrpc_free(all);
	vmrpc_free(blocks[1]);
	check_all_free(&world.a);
}

TEST(large_blocks_are_kept_ready_but_few)
{
	enum { KEPT = VMRPC__CACHE_LARGE };
	struct world world;
	void *blocks[2 * KEPT], *again;
	size_t page = VMRPC__PAGE;

	world_begin(&world, 64 * MB, 0, false);
	for (unsigned i = 0; i < 2 * KEPT; i++)
		CHECK(blocks[i] = vmrpc_malloc(&world.a.conn, (10 + i) * page));
	for (unsigned i = 0; i < 2 * KEPT; i++) {
		vmrpc_free(blocks[i]);
		CHECK_REFUSED(vmrpc_free(blocks[i]));
		CHECK_VALID(&world.a);
	}
	CHECK_EQ(stats_of(&world.a).in_use, (10 + 4 + 10 + 5 + 10 + 6 + 10 + 7) * page); /* those freed last */
	CHECK_EQ(KEPT, 4);
	for (unsigned i = KEPT; i < 2 * KEPT; i++) {
		CHECK(again = vmrpc_malloc(&world.a.conn, (10 + i) * page - i));
		CHECK(again == blocks[i]);
		CHECK_VALID(&world.a);
	}
	for (unsigned i = KEPT; i < 2 * KEPT; i++)
		vmrpc_free(blocks[i]);
	CHECK(again = vmrpc_malloc(&world.a.conn, MB)); /* as much as may be kept: the others must go */
	vmrpc_free(again);
	CHECK_EQ(stats_of(&world.a).in_use, MB);
	CHECK_VALID(&world.a);
	CHECK(again = vmrpc_malloc(&world.a.conn, 2 * MB)); /* too large to be kept */
	vmrpc_free(again);
	CHECK_EQ(stats_of(&world.a).in_use, MB);
	CHECK(again = vmrpc_malloc(&world.a.conn, 63 * MB + page)); /* full, but for what is kept */
	vmrpc_free(again);
	check_all_free(&world.a);
}

TEST(pieces_become_one_again)
{
	enum { N = 256 };
	struct world world;
	void *blocks[N];
	uint64_t random = 7;

	world_begin(&world, N * 16 * VMRPC__PAGE, 0, true);
	for (unsigned order = 0; order < 4; order++) {
		for (unsigned i = 0; i < N; i++)
			CHECK(blocks[i] = vmrpc_malloc(&world.a.conn, (size_t)16 * VMRPC__PAGE));
		CHECK(!vmrpc_malloc(&world.a.conn, 40000));
		for (unsigned i = N - 1; i > 0 && order == 3; i--) {
			unsigned other = random_next(&random) % (i + 1);
			void *block = blocks[i];

			blocks[i] = blocks[other];
			blocks[other] = block;
		}
		for (unsigned i = 0; i < N; i++) {
			vmrpc_free(blocks[order == 0 ? i : order == 1 ? N - 1 - i : i * 37 % N]);
			CHECK_VALID(&world.a);
		}
		check_all_free(&world.a);
	}
}

TEST(holes_are_found_again)
{
	struct world world;
	void *blocks[100];

	/* Holes of 65 pages among 100 of 64: the bin holds both, and only the search finds the fitting ones. */
	world_begin(&world, (size_t)(10 * 65 + 90 * 64 + 100 * 9) * VMRPC__PAGE, 0, true);
	for (unsigned i = 0; i < 100; i++) {
		CHECK(blocks[i] = vmrpc_malloc(&world.a.conn, (size_t)(i < 10 ? 65 : 64) * VMRPC__PAGE));
		CHECK(vmrpc_malloc(&world.a.conn, 9 * VMRPC__PAGE)); /* keeps them apart */
	}
	CHECK(!vmrpc_malloc(&world.a.conn, 40000));
	for (unsigned i = 0; i < 100; i++)
		vmrpc_free(blocks[i]);
	for (unsigned i = 0; i < 10; i++)
		CHECK(vmrpc_malloc(&world.a.conn, (size_t)65 * VMRPC__PAGE));
	CHECK(!vmrpc_malloc(&world.a.conn, (size_t)65 * VMRPC__PAGE));
	CHECK(vmrpc_malloc(&world.a.conn, (size_t)64 * VMRPC__PAGE));
	CHECK_VALID(&world.a);
}

TEST(frees_that_are_none_are_refused)
{
	struct world world;
	unsigned char *small, *large, *other;
	int local;

	world_begin(&world, 8 * MB, MB, false);
	CHECK(small = vmrpc_malloc(&world.a.conn, 100));
	CHECK(other = vmrpc_malloc(&world.a.conn, 100));
	CHECK(large = vmrpc_malloc(&world.a.conn, 100000));
	pattern_write(other, 100, 1);
	CHECK_REFUSED(vmrpc_free(small + 16));
	CHECK_REFUSED(vmrpc_free(small + 1));
	CHECK_REFUSED(vmrpc_free(small + 8));
	CHECK_REFUSED(vmrpc_free(large + 16));
	CHECK_REFUSED(vmrpc_free(large + VMRPC__PAGE));
	CHECK_REFUSED(vmrpc_free(world.a.base));			   /* in the region, in no heap */
	CHECK_REFUSED(vmrpc_free(world.a.base + world.a.offset + 4 * MB)); /* in a free span */
	CHECK_REFUSED(vmrpc_free(world.a.base + world.a.offset + world.a.size - 16));
	CHECK_REFUSED(vmrpc_free(world.a.base + world.b.offset + 1)); /* the peer's, misaligned */
	CHECK_REFUSED(vmrpc_free(&local));
	CHECK_REFUSED(vmrpc_free((void *)16));
	CHECK_REFUSED(vmrpc_free((void *)UINTPTR_MAX));
	vmrpc_free(small);
	CHECK_REFUSED(vmrpc_free(small)); /* in the cache */
	vmrpc__caches_release();
	CHECK_REFUSED(vmrpc_free(small)); /* in its slab */
	vmrpc_free(large);
	CHECK_REFUSED(vmrpc_free(large));
	pattern_check(other, 100, 1);
	CHECK_VALID(&world.a);
	CHECK(vmrpc__arena_release(world.a.arena, offset_in(&world.a, other) + 16) == -EINVAL);
	CHECK(vmrpc__arena_release(world.a.arena, SIZE_MAX) == -EINVAL);
	CHECK_EQ(vmrpc__arena_release(world.a.arena, offset_in(&world.a, other)), 0);
	CHECK_EQ(vmrpc__arena_release(world.a.arena, offset_in(&world.a, other)), -EINVAL);
	check_all_free(&world.a);
	world_end(&world);
}

TEST(without_thread_caches_all_works_too)
{
	struct world world;
	void *block;

	world_begin(&world, MB, MB, false);
	atomic_store(&threads_cant_register, 1);
	CHECK(block = vmrpc_malloc(&world.a.conn, 100));
	vmrpc_free(block);
	CHECK_EQ(stats_of(&world.a).in_use, 0);
	CHECK_REFUSED(vmrpc_free(block));
	CHECK(block = vmrpc_malloc(&world.b.conn, 100));
	vmrpc_free(world.a.base + offset_in(&world.b, block));
	CHECK_EQ(stats_of(&world.b).in_use, 0);
}

TEST(ranges_that_make_no_sense_are_refused)
{
	struct world world;
	struct vmrpc__arena *arena = NULL;

	world_begin(&world, MB, MB, false);
	CHECK_EQ(vmrpc__arena_add(world.a.arena, world.a.offset, VMRPC__PAGE, true), -EINVAL);
	CHECK_EQ(vmrpc__arena_add(world.a.arena, world.a.offset - VMRPC__PAGE, 2 * VMRPC__PAGE, true), -EINVAL);
	CHECK_EQ(vmrpc__arena_add(world.a.arena, world.b.offset + world.b.size - VMRPC__PAGE, VMRPC__PAGE, true),
		 -EINVAL);
	CHECK_EQ(vmrpc__arena_add(world.a.arena, world.size, VMRPC__PAGE, true), -EINVAL);
	CHECK_EQ(vmrpc__arena_add(world.a.arena, 0, 100, true), -EINVAL);
	CHECK_EQ(vmrpc__arena_add(world.a.arena, 100, VMRPC__PAGE, true), -EINVAL);
	CHECK_EQ(vmrpc__arena_add(world.a.arena, 0, 0, true), -EINVAL);
	CHECK_EQ(vmrpc__arena_add(world.a.arena, VMRPC__PAGE, SIZE_MAX - VMRPC__PAGE + 1, true), -EINVAL);
	CHECK_EQ(vmrpc__arena_new(&arena, NULL, world.a.base + 16, MB, NULL, NULL), -EINVAL);
	CHECK_EQ(vmrpc__arena_new(&arena, NULL, world.a.base, 100, NULL, NULL), -EINVAL);
	CHECK(!arena);
	CHECK_EQ(vmrpc__arena_add(world.a.arena, 12 * VMRPC__PAGE, VMRPC__PAGE, true), 0);
	CHECK_EQ(stats_of(&world.a).size, MB + VMRPC__PAGE);
	CHECK_VALID(&world.a);
	vmrpc__arena_free(NULL);
}

static void count(void *arg)
{
	++*(int *)arg;
}

TEST(a_retired_range_goes_when_its_last_block_does)
{
	struct world world;
	size_t second = HEAPS_OFFSET + 4 * MB;
	void *kept[3], *blocks[1000], *elsewhere;
	int emptied = 0;

	world_begin(&world, 4 * MB, 4 * MB, true);
	vmrpc__arena_retire(world.a.arena, second, count, &emptied); /* the peer's: forgotten */
	CHECK_EQ(emptied, 0);
	CHECK_EQ(vmrpc__arena_add(world.a.arena, second, 4 * MB, true), 0);

	/* Blocks of both ranges. */
	CHECK(elsewhere = vmrpc_malloc(&world.a.conn, 4 * MB));
	if (offset_in(&world.a, elsewhere) != world.a.offset) {
		void *first = vmrpc_malloc(&world.a.conn, 4 * MB);

		CHECK(first);
		vmrpc_free(elsewhere);
		elsewhere = first;
	}
	CHECK(kept[0] = vmrpc_malloc(&world.a.conn, 24));
	CHECK(kept[1] = vmrpc_malloc(&world.a.conn, 3000));
	CHECK(kept[2] = vmrpc_malloc(&world.a.conn, 300000));
	for (unsigned i = 0; i < 1000; i++)
		CHECK(blocks[i] = vmrpc_malloc(&world.a.conn, 24));
	vmrpc_free(elsewhere);
	for (unsigned i = 0; i < 40; i++)
		vmrpc_free(blocks[i]); /* these lie in the cache */
	vmrpc__arena_retire(world.a.arena, second, count, &emptied);
	CHECK_EQ(stats_of(&world.a).size, 8 * MB);
	for (unsigned i = 0; i < 40; i++) {
		CHECK(blocks[i] = vmrpc_malloc(&world.a.conn, 24));
		CHECK(offset_in(&world.a, blocks[i]) < second);
		CHECK(elsewhere = vmrpc_malloc(&world.a.conn, 100000));
		CHECK(offset_in(&world.a, elsewhere) < second);
		vmrpc_free(elsewhere);
	}
	vmrpc_free(kept[2]);
	vmrpc_free(kept[0]);
	for (unsigned i = 0; i < 500; i++)
		vmrpc_free(blocks[i]);
	for (unsigned i = 0; i < 500; i++) {
		CHECK(blocks[i] = vmrpc_malloc(&world.a.conn, 24));
		CHECK(offset_in(&world.a, blocks[i]) < second);
	}
	for (unsigned i = 0; i < 1000; i++)
		vmrpc_free(blocks[i]);
	vmrpc__arena_retire(world.a.arena, second, count, &emptied); /* once is enough */
	CHECK_VALID(&world.a);
	CHECK_EQ(emptied, 0);
	vmrpc_free(kept[1]);
	CHECK_EQ(emptied, 1); /* nothing of it stayed in the cache */
	CHECK_EQ(stats_of(&world.a).size, 4 * MB);
	CHECK_REFUSED(vmrpc_free(kept[1]));
	CHECK_VALID(&world.a);

	/* One with no blocks goes at once; and it can come again. */
	CHECK_EQ(vmrpc__arena_add(world.a.arena, second, MB, true), 0);
	vmrpc__arena_retire(world.a.arena, second, count, &emptied);
	CHECK_EQ(emptied, 2);
	CHECK_EQ(vmrpc__arena_add(world.a.arena, second, 4 * MB, true), 0);
	CHECK(kept[0] = vmrpc_malloc(&world.a.conn, 4 * MB));
	CHECK(kept[1] = vmrpc_malloc(&world.a.conn, 4 * MB));
	vmrpc__arena_retire(world.a.arena, second, count, &emptied);
	CHECK(!vmrpc_malloc(&world.a.conn, 16));
	vmrpc_free(kept[0]);
	vmrpc_free(kept[1]);
	CHECK_EQ(emptied, 3);
	vmrpc__arena_retire(world.a.arena, second, count, &emptied);
	CHECK_EQ(emptied, 3);

	/* Caches are back in use. */
	CHECK(kept[0] = vmrpc_malloc(&world.a.conn, 24));
	vmrpc_free(kept[0]);
	CHECK(stats_of(&world.a).in_use > 0);
	check_all_free(&world.a);
	world_end(&world);
}

TEST(an_orphan_is_found_no_more)
{
	struct world world;
	struct vmrpc__arena *old;
	struct vmrpc__arena_stats stats;
	void *small, *large, *fresh;

	world_begin(&world, 4 * MB, 4 * MB, false);
	CHECK(small = vmrpc_malloc(&world.a.conn, 100));
	CHECK(large = vmrpc_malloc(&world.a.conn, 100000));
	CHECK(fresh = vmrpc_malloc(&world.a.conn, 100));
	old = world.a.arena;
	vmrpc__arena_get_stats(old, &stats);
	vmrpc_free(fresh);
	vmrpc__arena_orphan(old);
	fresh = NULL;
	CHECK(stats.in_use > 4096 + 100000);
	vmrpc__arena_get_stats(old, &stats);
	CHECK(stats.in_use < 4096 + 100000); /* this thread's cache is empty, without its doing anything */
	world.a.arena = world.b.arena;	     /* the next session of the same connection */
	CHECK(fresh = vmrpc_malloc(&world.a.conn, 100));
	CHECK(offset_in(&world.b, fresh) - world.b.offset < world.b.size);
	vmrpc_free(fresh);
	vmrpc_free(world.a.base + world.b.offset); /* its peer's: nobody is told */
	CHECK_EQ(atomic_load(&world.b.inbox->tail), 0);
	vmrpc_free(small);
	CHECK(fresh = vmrpc_malloc(&world.a.conn, 100));
	CHECK(offset_in(&world.b, fresh) - world.b.offset < world.b.size);
	vmrpc_free(large);
	vmrpc__arena_get_stats(old, &stats);
	CHECK_EQ(stats.in_use, 0);
	vmrpc__arena_free(old);
	CHECK_REFUSED(vmrpc_free(small));
}

TEST(a_fork_child_leaves_its_parents_heap_alone)
{
	struct world world, own;
	void *block, *cached;
	int status;
	pid_t child;

	world_begin(&world, MB, MB, false);
	CHECK(block = vmrpc_malloc(&world.a.conn, 100));
	CHECK(cached = vmrpc_malloc(&world.a.conn, 100));
	vmrpc_free(cached);
	pthread_mutex_lock(&world.a.arena->lock); /* as another thread may have */
	child = fork();
	if (child == 0) {
		vmrpc__caches_forget();
		CHECK_EQ(stats_of(&world.a).in_use, 0);
		CHECK_REFUSED(vmrpc_free(block));
		world_end(&world);
		world_begin(&own, MB, MB, false);
		CHECK(block = vmrpc_malloc(&own.a.conn, 100));
		CHECK(offset_in(&own.a, block) < own.size);
		vmrpc_free(block);
		check_all_free(&own.a);
		_exit(0);
	}
	pthread_mutex_unlock(&world.a.arena->lock);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	vmrpc_free(block);
	check_all_free(&world.a);
}

TEST(what_is_said_in_the_region_is_never_believed)
{
	enum { N = 2000 };
	struct world world;
	void *blocks[N];
	uint64_t random = 3;

	world_begin(&world, 16 * MB, MB, false);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < N; i++)
			CHECK(blocks[i] = vmrpc_malloc(&world.a.conn, random_size(&random, 20000)));
		for (unsigned i = 0; i < N; i += 2)
			vmrpc_free(blocks[i]);
		/* All of the heap, free blocks and used ones. */
		for (size_t i = 0; i < world.a.size; i++)
			world.b.base[world.a.offset + i] = (unsigned char)(round * 37 + i);
		for (unsigned i = 1; i < N; i += 2)
			vmrpc_free(blocks[i]);
		CHECK_VALID(&world.a);
	}
	check_all_free(&world.a);
}

/* The check itself: each lie in the tables is found. */
TEST(what_is_invalid_is_called_so)
{
	struct world world;
	struct vmrpc__arena *arena;
	struct vmrpc__span *slab, *free_span;
	struct vmrpc__cache *cache;
	const char *why = NULL;
	void *block, *large;
	vmrpc__mark *mark;

	world_begin(&world, MB, 0, true);
	arena = world.a.arena;
	CHECK(block = vmrpc_malloc(&world.a.conn, 128));
	CHECK(large = vmrpc_malloc(&world.a.conn, 40000));
	slab = arena->pages[vmrpc__page_of(offset_in(&world.a, block))];
	free_span = arena->pages[vmrpc__page_of(world.a.offset + world.a.size) - 1];
	cache = arena->caches;
	mark = vmrpc__mark_at(arena, offset_in(&world.a, block));
	CHECK_EQ(slab->kind, VMRPC__SPAN_SLAB);
	CHECK_EQ(free_span->kind, VMRPC__SPAN_FREE);
	CHECK_VALID(&world.a);
#define CHECK_FAULT(break_it, mend_it)                      \
	do {                                                \
		break_it;                                   \
		CHECK(!vmrpc__arena_is_valid(arena, &why)); \
		CHECK(why);                                 \
		mend_it;                                    \
		CHECK_VALID(&world.a);                      \
	} while (0)
	CHECK_FAULT(arena->in_use++, arena->in_use--);
	CHECK_FAULT(arena->size++, arena->size--);
	CHECK_FAULT(arena->n_spans++, arena->n_spans--);
	CHECK_FAULT(arena->n_retiring++, arena->n_retiring--);
	CHECK_FAULT(arena->inbox.slot = VMRPC__FREE_SLOTS, arena->inbox.slot = 0);
	CHECK_FAULT(arena->ranges->n_free++, arena->ranges->n_free--);
	CHECK_FAULT(slab->n_free++, slab->n_free--);
	CHECK_FAULT(slab->free_blocks[0] ^= 1, slab->free_blocks[0] ^= 1);
	CHECK_FAULT(slab->listed = false, slab->listed = true);
	CHECK_FAULT(slab->class ++, slab->class --);
	CHECK_FAULT(slab->kind = VMRPC__SPAN_LARGE, slab->kind = VMRPC__SPAN_SLAB);
	CHECK_FAULT(free_span->kind = VMRPC__SPAN_LARGE, free_span->kind = VMRPC__SPAN_FREE);
	CHECK_FAULT(free_span->n--, free_span->n++);
	CHECK_FAULT(arena->pages[slab->first + 1] = free_span, arena->pages[slab->first + 1] = slab);
	CHECK_FAULT(arena->bins_filled[0] ^= 2, arena->bins_filled[0] ^= 2);
	CHECK_FAULT(vmrpc__mark_set(mark, VMRPC__MARK_NONE), vmrpc__mark_set(mark, VMRPC__MARK_IN_USE + slab->class));
	CHECK_FAULT(vmrpc__mark_set(mark + 1, VMRPC__MARK_READY), vmrpc__mark_set(mark + 1, VMRPC__MARK_NONE));
	CHECK_FAULT(atomic_store(&cache->n_granules, 0),
		    atomic_store(&cache->n_granules, arena->reserved >> VMRPC__GRANULE_SHIFT));
	mark = vmrpc__mark_at(arena, offset_in(&world.a, cache->blocks[slab->class][0]));
	CHECK_FAULT(vmrpc__mark_set(mark, VMRPC__MARK_IN_USE + slab->class),
		    vmrpc__mark_set(mark, VMRPC__MARK_READY + slab->class));
	CHECK_FAULT(cache->bins[slab->class].n += 64, cache->bins[slab->class].n -= 64);
	mark = vmrpc__mark_at(arena, offset_in(&world.a, large));
	CHECK_FAULT(vmrpc__mark_set(mark, VMRPC__MARK_NONE),
		    vmrpc__mark_set(mark, VMRPC__MARK_IN_USE + VMRPC__CLASS_LARGE));
}

TEST_MAIN()
