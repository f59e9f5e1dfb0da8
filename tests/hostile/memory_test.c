/* Clients that lie in the rest of the region: doorplates, the ring of calls that do not wait, free rings, added heaps;
 * and that change everything all the time. */
#define TEST_TIMEOUT 300

#include <fcntl.h>
#include <sys/mman.h>

#include "../e2e/workload.h"
#include "heap.h"
#include "scene.h"

static struct raw attacker(void)
{
	struct raw raw;

	CHECK_EQ(raw_open(&raw, "lab", NULL, NULL), 0);
	raw_open_channel(&raw, 0);
	return raw;
}

static void check_served(struct raw *raw, uint32_t channel)
{
	uint64_t words[VMRPC__CELL_WORDS] = {20, 22};

	CHECK_EQ(raw_call(raw, channel, VMRPC__CALL, LAB_ADD, words, NULL), 0);
	CHECK_EQ(words[2], 42);
}

/* ---- doorplates ---------------------------------------------------------------------------------------------- */

TEST(all_channels_open)
{
	struct scene scene = scene_begin("");
	struct raw raw = attacker();

	for (uint32_t channel = 1; channel < raw.layout.n_channels; channel++)
		raw_open_channel(&raw, channel);
	for (uint32_t channel = 0; channel < raw.layout.n_channels; channel++)
		check_served(&raw, channel);
	EVENTUALLY(process_look(scene.server.pid).threads <= scene.quiet.threads + raw.layout.n_channels);
	scene_check(&scene);
	raw_close(&raw);
	scene_end(&scene);
}

/* Opened anew without having been closed or used: the thread of before makes room for another. */
TEST(doorplates_skip_a_turn)
{
	struct scene scene = scene_begin("");
	struct raw raw = attacker();

	for (unsigned i = 0; i < 20; i++) {
		int64_t give_up = world_ms() + RAW_PATIENCE_MS;

		raw_open_channel(&raw, 0);
		while (atomic_load(&raw_doorplate(&raw, 0)->server) != raw.generations[0] * 2 + 1) {
			CHECK(world_ms() < give_up);
			raw_ring(&raw);
			poll(NULL, 0, 1);
		}
	}
	check_served(&raw, 0);
	raw_close(&raw);
	scene_end(&scene);
}

TEST(doorplates_in_a_storm)
{
	struct scene scene = scene_begin("");
	struct raw raw = attacker();
	uint64_t random = workload_seed();

	for (unsigned i = 0; i < world_scaled(20000); i++) {
		uint32_t channel = workload_random(&random, raw.layout.n_channels);

		atomic_store(&raw_doorplate(&raw, channel)->client, workload_random(&random, UINT32_MAX));
		if (i % 8 == 0)
			raw_ring(&raw);
		if (i % 1000 == 0) {
			/* Each channel has one thread at a time; others are about to end. */
			EVENTUALLY(process_look(scene.server.pid).threads <=
				   scene.quiet.threads + raw.layout.n_channels);
			scene_check(&scene);
		}
	}
	/* A channel that was used so ill is as good as new once the server has let go of it. */
	for (uint32_t channel = 0; channel < raw.layout.n_channels; channel++)
		atomic_store(&raw_doorplate(&raw, channel)->client, 0);
	raw_ring(&raw);
	process_settles(scene.server.pid,
			&(struct process_use){.threads = scene.quiet.threads,
					      .descriptors = scene.quiet.descriptors + 2,
					      .regions = scene.quiet.regions + 1,
					      .maps = UINT32_MAX / 2},
			0);
	raw.generations[5] = atomic_load(&raw_doorplate(&raw, 5)->server) / 2 + 100;
	raw_open_channel(&raw, 5);
	check_served(&raw, 5);
	raw_close(&raw);
	scene_end(&scene);
}

/* ---- calls that do not wait ---------------------------------------------------------------------------------- */

static void post(struct raw *raw, uint32_t *next, uint32_t head, uint64_t word)
{
	struct vmrpc__cell *cell = &raw_block(raw, 0)->ring[*next % VMRPC__RING_CELLS];

	atomic_store(&cell->words[0], word);
	atomic_store(&cell->head, head);
	atomic_store(&cell->state, ++*next);
}

/* What the next waiting call reports of earlier ones. */
static int earlier_error(struct raw *raw)
{
	uint32_t head = 0;
	int r = raw_call(raw, 0, VMRPC__CALL, LAB_NULL, NULL, &head);

	CHECK(!r == !(head >> 16 & VMRPC__EARLIER));
	return r;
}

TEST(junk_in_the_ring)
{
	struct scene scene = scene_begin("");
	struct raw raw = attacker();
	uint32_t next = 0;

	check_served(&raw, 0);
	post(&raw, &next, RAW_HEAD(VMRPC__CALL, LAB_ADD), 1); /* not one of those */
	CHECK_EQ(earlier_error(&raw), -EPROTO);
	post(&raw, &next, RAW_HEAD(VMRPC__CALL, LAB_BIG), 1);
	CHECK_EQ(earlier_error(&raw), -EPROTO);
	post(&raw, &next, RAW_HEAD(VMRPC__CALL, 0xffff), 1);
	CHECK_EQ(earlier_error(&raw), -ENOSYS);
	for (uint32_t kind = 0; kind <= VMRPC__KIND; kind++)
		if (kind != VMRPC__CALL) {
			post(&raw, &next, RAW_HEAD(kind, LAB_NOTE), 1);
			CHECK_EQ(earlier_error(&raw), -EPROTO);
		}
	post(&raw, &next, RAW_HEAD(VMRPC__CALL | VMRPC__SPILLED, LAB_NOTE), 1);
	CHECK_EQ(earlier_error(&raw), -EPROTO);
	post(&raw, &next, RAW_HEAD(VMRPC__CALL | VMRPC__ON_STACK, LAB_NOTE), 1);
	CHECK_EQ(earlier_error(&raw), -EPROTO);
	/* States that are nobody's turn are not looked at; progress is the server's to write, not to read. */
	for (unsigned i = 1; i < VMRPC__RING_CELLS; i++)
		atomic_store(&raw_block(&raw, 0)->ring[(next + i) % VMRPC__RING_CELLS].state, next + i * 77 + 2);
	atomic_store(&raw_block(&raw, 0)->progress.done, UINT32_MAX);
	post(&raw, &next, RAW_HEAD(VMRPC__CALL, LAB_NOTE), 1);
	CHECK_EQ(earlier_error(&raw), 0);
	check_served(&raw, 0);
	raw_close(&raw);
	scene_end(&scene);
}

/* Fills the ring for ever, whatever the server says of its progress, and hangs up in the midst of it. */
TEST(a_ring_that_is_never_empty)
{
	struct scene scene = scene_begin("");

	for (unsigned round = 0; round < 3; round++) {
		struct raw raw = attacker();
		const int64_t end = world_ms() + 300;
		uint32_t next = 0;

		check_served(&raw, 0);
		while (world_ms() < end)
			for (unsigned i = 0; i < 1000; i++)
				post(&raw, &next, RAW_HEAD(VMRPC__CALL, LAB_NOTE), next);
		scene_check(&scene);
		raw_close(&raw);
	}
	scene_end(&scene);
}

/* ---- heaps --------------------------------------------------------------------------------------------------- */

static int heap_add(struct raw *raw, uint64_t size, uint64_t *ret_offset)
{
	uint64_t words[VMRPC__CELL_WORDS] = {size};
	int r = raw_call(raw, 0, VMRPC__SYSTEM, VMRPC__SYSTEM_HEAP_ADD, words, NULL);

	if (ret_offset)
		*ret_offset = words[1];
	return r;
}

static int heap_open(struct raw *raw, uint64_t offset)
{
	uint64_t words[VMRPC__CELL_WORDS] = {offset};

	return raw_call(raw, 0, VMRPC__SYSTEM, VMRPC__SYSTEM_HEAP_OPEN, words, NULL);
}

static int heap_drop(struct raw *raw, uint64_t offset)
{
	uint64_t words[VMRPC__CELL_WORDS] = {offset};

	return raw_call(raw, 0, VMRPC__SYSTEM, VMRPC__SYSTEM_HEAP_DROP, words, NULL);
}

TEST(heaps_added_and_dropped)
{
	static const uint64_t sizes[] = {0,
					 1,
					 4096,
					 VMRPC__HEAP_GRANULE - 1,
					 VMRPC__HEAP_GRANULE + 1,
					 UINT64_MAX,
					 UINT64_MAX - VMRPC__HEAP_GRANULE + 1,
					 UINT64_C(1) << 63,
					 (UINT64_C(64) << 30) + VMRPC__HEAP_GRANULE};
	struct scene scene = scene_begin("");
	struct raw raw = attacker();
	const uint64_t wild[] = {0,
				 1,
				 VMRPC__PAGE,
				 raw.layout.client_heap.offset,
				 raw.layout.server_heap.offset,
				 raw.size,
				 raw.reserved,
				 UINT64_MAX,
				 UINT64_C(1) << 63};
	uint64_t offset, other;

	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		CHECK_EQ(heap_add(&raw, sizes[i], NULL), -EINVAL);
	CHECK_EQ(heap_add(&raw, UINT64_C(64) << 30, NULL), -ENOMEM); /* more than is reserved */
	for (unsigned i = 0; i < sizeof wild / sizeof wild[0]; i++) {
		CHECK_EQ(heap_drop(&raw, wild[i]), -EINVAL);
		CHECK_EQ(heap_open(&raw, wild[i]), -EINVAL);
	}
	CHECK_EQ(heap_add(&raw, VMRPC__HEAP_GRANULE, &offset), 0);
	CHECK_EQ(heap_add(&raw, VMRPC__HEAP_GRANULE, &other), 0);
	CHECK(other >= offset + 2 * VMRPC__HEAP_GRANULE || offset >= other + 2 * VMRPC__HEAP_GRANULE);
	CHECK_EQ(heap_drop(&raw, offset + VMRPC__HEAP_GRANULE), -EINVAL); /* the server's half */
	CHECK_EQ(heap_open(&raw, offset), 0);
	CHECK_EQ(heap_open(&raw, offset), -EINVAL); /* twice */
	CHECK_EQ(heap_drop(&raw, offset), 0);
	CHECK_EQ(heap_drop(&raw, offset), -EINVAL); /* twice */
	CHECK_EQ(heap_drop(&raw, other), 0);	    /* never opened */
	CHECK_EQ(heap_open(&raw, other), -EINVAL);
	for (unsigned i = 0; i < world_scaled(2000); i++)
		CHECK_EQ(heap_add(&raw, VMRPC__HEAP_GRANULE, NULL), 0);
	scene_check(&scene);
	check_served(&raw, 0);
	raw_close(&raw);
	scene_end(&scene);
}

/* A block of the server's: its offset. */
static uint64_t server_block(struct raw *raw)
{
	uint64_t words[VMRPC__CELL_WORDS] = {100, 'x'};

	CHECK_EQ(raw_call(raw, 0, VMRPC__CALL, LAB_MAKE, words, NULL), 0);
	return words[2] - (uintptr_t)raw->base;
}

static struct vmrpc__free_ring *free_ring(struct raw *raw)
{
	return (struct vmrpc__free_ring *)(void *)(raw->base + raw->layout.posts_to_server);
}

/* Says that a block was freed. */
static void post_free(struct raw *raw, uint32_t *tail, uint64_t offset)
{
	atomic_store(&free_ring(raw)->slots[*tail % VMRPC__FREE_SLOTS], offset);
	atomic_store(&free_ring(raw)->tail, ++*tail);
}

/* The server looks at what was freed before it sleeps, if it has not had reason to before. */
static void check_found_out(struct raw *raw)
{
	raw_publish(raw, 0, RAW_HEAD(VMRPC__CALL, LAB_NULL), NULL);
	CHECK(raw_is_hung_up(raw, RAW_PATIENCE_MS));
	raw_close(raw);
}

TEST(frees_that_lie)
{
	struct scene scene = scene_begin("");
	struct raw raw = attacker();
	const uint64_t own = raw.layout.client_heap.offset, block = server_block(&raw);
	const uint64_t wild[] = {
		0,	    1,	      VMRPC__PAGE,  own,	own + 4096,	   block + 1,	 block + 16,
		block - 16, raw.size, raw.reserved, UINT64_MAX, UINT64_C(1) << 63, -raw.address, raw.size - 16};
	uint32_t tail;

	raw_close(&raw);
	for (unsigned i = 0; i < sizeof wild / sizeof wild[0]; i++) {
		raw = attacker();
		tail = 0;
		post_free(&raw, &tail, server_block(&raw)); /* true */
		post_free(&raw, &tail, wild[i]);
		check_found_out(&raw);
		puppet_ask(&scene.server, 'c');
	}
	/* Twice the same. */
	raw = attacker();
	tail = 0;
	post_free(&raw, &tail, server_block(&raw));
	post_free(&raw, &tail, atomic_load(&free_ring(&raw)->slots[0]));
	check_found_out(&raw);
	/* More than the ring holds. */
	for (unsigned i = 0; i < 3; i++) {
		raw = attacker();
		check_served(&raw, 0);
		atomic_store(&free_ring(&raw)->tail, i == 0 ? VMRPC__FREE_SLOTS + 1 : i == 1 ? UINT32_MAX : 1u << 31);
		check_found_out(&raw);
	}
	scene_end(&scene);
}

/* Has the server free blocks that are none, and takes none of them back. */
TEST(frees_that_are_never_taken)
{
	const size_t size = 16 * VMRPC__PAGE, posts = 1000000;
	struct vmrpc__free_ring *ring = calloc(1, sizeof *ring);
	struct vmrpc__arena_stats stats;
	struct vmrpc__arena *arena;
	unsigned char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(ring && base != MAP_FAILED);
	CHECK_OK(vmrpc__arena_new(&arena, (struct vmrpc *)(void *)ring, base, size, NULL, ring));
	CHECK_OK(vmrpc__arena_add(arena, 0, size, false));
	for (size_t i = 0; i < posts; i++)
		vmrpc_free(base + 4096);
	vmrpc__arena_get_stats(arena, &stats);
	CHECK(stats.waiting > 0);
	CHECK(stats.waiting <= 2 * size / 16); /* a block has 16 bytes at least */
	vmrpc__arena_free(arena);
	munmap(base, size);
	free(ring);
}

/* ---- the memory itself --------------------------------------------------------------------------------------- */

TEST(memory_changes_its_size)
{
	struct scene scene = scene_begin("");
	struct raw raw = attacker();
	uint64_t offset;

	CHECK_EQ(ftruncate(raw.memory, VMRPC__PAGE), -1);
	CHECK_EQ(ftruncate(raw.memory, 0), -1);
	CHECK_EQ(fcntl(raw.memory, F_ADD_SEALS, F_SEAL_GROW), -1);
	CHECK_EQ(fallocate(raw.memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)raw.size), 0);
	CHECK_EQ(ftruncate(raw.memory, (off_t)1 << 40), 0);
	raw_close_channel(&raw, 0);
	CHECK(raw_await_closed(&raw, 0));
	raw.generations[1] = 10;
	raw_open_channel(&raw, 1);
	check_served(&raw, 1);
	raw.generations[0] = 10;
	raw_open_channel(&raw, 0);
	check_served(&raw, 0);
	CHECK_EQ(heap_add(&raw, VMRPC__HEAP_GRANULE, &offset), 0);
	CHECK(offset + 2 * VMRPC__HEAP_GRANULE <= raw.reserved);
	raw_close(&raw);
	scene_end(&scene);
}

/* ---- everything at once -------------------------------------------------------------------------------------- */

struct flipper {
	struct raw *raw;
	uint64_t random;
	_Atomic bool stop;
};

/* Changes words that the server looks at, as fast as it can. */
static void *flip(void *arg)
{
	struct flipper *flipper = arg;
	const struct raw *raw = flipper->raw;
	struct vmrpc__channel_block *block = raw_block(raw, 0);
	const struct {
		void *at;
		uint32_t n; /* words */
	} targets[] = {
		{&block->cell, 16},
		{&block->cell.head, 1},
		{&block->cell.words[0], 6},
		{&block->progress, 1},
		{block->ring, sizeof block->ring / 4},
		{block->ring, 16},
		{block->client_spill, 2 * VMRPC__SPILL_SIZE / 4},
		{raw_doorplate(raw, 0), 8},
		{raw->base + raw->layout.posts_to_server, sizeof(struct vmrpc__free_ring) / 4},
		{raw->base, 32},
		{raw->base + raw->layout.server_heap.offset, 4096},
	};

	while (!atomic_load(&flipper->stop)) {
		uint32_t target = workload_random(&flipper->random, sizeof targets / sizeof targets[0]);
		_Atomic uint32_t *words = targets[target].at;
		uint32_t bits = workload_random(&flipper->random, 4) ? 1u << workload_random(&flipper->random, 32)
								     : workload_random(&flipper->random, UINT32_MAX);

		atomic_fetch_xor(&words[workload_random(&flipper->random, targets[target].n)], bits);
	}
	return NULL;
}

/* Methods that take no pointers: what those do with wild ones is theirs. */
static const struct {
	uint32_t number, flags;
	uint64_t words[3];
} calls[] = {
	{LAB_NULL, 0, {0}},
	{LAB_ADD, 0, {1, 2}},
	{LAB_COUNTDOWN, 0, {1}},
	{LAB_MAKE, 0, {64, 'x'}},
	{LAB_NOTES, 0, {0}},
	{LAB_BIG, VMRPC__SPILLED, {0, sizeof(struct lab_frame_big)}},
	{LAB_ON_STACK, VMRPC__SPILLED | VMRPC__ON_STACK, {0, sizeof(struct lab_frame_on_stack)}},
};

static void call_while_flipping(struct raw *raw, uint64_t *random)
{
	const uint64_t spill = (uint64_t)((unsigned char *)raw_block(raw, 0)->client_spill - raw->base);

	for (unsigned i = 0; i < 200; i++) {
		uint32_t which = workload_random(random, sizeof calls / sizeof calls[0]), head;
		uint64_t words[VMRPC__CELL_WORDS];

		memcpy(words, calls[which].words, sizeof calls[which].words);
		if (calls[which].flags & VMRPC__SPILLED) {
			words[0] = spill;
			words[2] = raw->layout.stacks + VMRPC__PAGE + raw->layout.stack_size;
		}
		raw_publish(raw, 0, RAW_HEAD(VMRPC__CALL | calls[which].flags, calls[which].number), words);
		if (raw_await(raw, 0, &head, 2) == -EPIPE)
			return;
		if ((head >> 16 & VMRPC__KIND) == VMRPC__CALL)
			raw_publish(raw, 0, RAW_HEAD(VMRPC__REPLY, 0), NULL);
	}
}

TEST(words_that_change_all_the_time)
{
	/* Not trusted: a shared stack is no place for a method when the client changes it. */
	struct scene scene = scene_begin("&trust=no");
	uint64_t random = workload_seed();

	for (unsigned i = 0; i < world_scaled(150); i++) {
		struct raw raw = attacker();
		struct flipper flipper = {.raw = &raw, .random = random + 2 * i};
		pthread_t thread;

		CHECK_EQ(pthread_create(&thread, NULL, flip, &flipper), 0);
		call_while_flipping(&raw, &random);
		atomic_store(&flipper.stop, true);
		CHECK_EQ(pthread_join(thread, NULL), 0);
		raw_close(&raw);
		if (i % 16 == 0)
			scene_check(&scene);
	}
	scene_end(&scene);
}

TEST_MAIN()
