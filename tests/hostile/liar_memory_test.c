/* Servers that lie in the rest of the region: doorplates, the progress of calls that do not wait, free rings, added
 * heaps; and that change everything all the time. */
#define TEST_TIMEOUT 300

#include <fcntl.h>

#include "stage.h"

/* ---- doorplates ---------------------------------------------------------------------------------------------- */

/* Answers lab_add, if it comes on this channel, until the client is done. */
static int64_t serve_add(struct stage *stage, uint32_t channel, char what)
{
	const uint64_t words[VMRPC__CELL_WORDS] = {20, 22, 42};
	struct pollfd pollfd = {.fd = stage->client.fd, .events = POLLIN};
	uint32_t head;

	tell(stage, what);
	while (poll(&pollfd, 1, 0) == 0)
		if (raw_await(&stage->raw, channel, &head, 1) == 0)
			raw_publish(&stage->raw, channel, RAW_HEAD(VMRPC__REPLY, 0), words);
	return hear(stage);
}

TEST(doorplates_that_lie)
{
	static const uint32_t wild[] = {1, 3, 100, 0x80000000, UINT32_MAX, UINT32_MAX - 1};
	struct stage stage = stage_begin();

	stage_connect(&stage);
	CHECK_EQ(serve_add(&stage, 0, 'a'), 42);
	for (unsigned i = 0; i < sizeof wild / sizeof wild[0]; i++) {
		for (uint32_t channel = 0; channel < stage.raw.layout.n_channels; channel++)
			atomic_store(&raw_doorplate(&stage.raw, channel)->server, wild[i]);
		CHECK_EQ(serve_add(&stage, 0, 'a'), 42); /* it is open already */
		CHECK_EQ(ask(&stage, 't'), -EMFILE);	 /* the others are never let go of */
	}
	for (uint32_t channel = 0; channel < stage.raw.layout.n_channels; channel++) {
		atomic_store(&raw_doorplate(&stage.raw, channel)->server, 0);
		atomic_store(&raw_doorplate(&stage.raw, channel)->client,
			     UINT32_MAX); /* the client's to write, not to read */
	}
	CHECK_EQ(serve_add(&stage, 1, 't'), 42);
	CHECK_EQ(atomic_load(&raw_doorplate(&stage.raw, 1)->client), 2);
	stage_end(&stage);
}

/* ---- calls that do not wait ---------------------------------------------------------------------------------- */

TEST(progress_that_lies)
{
	static const uint32_t progress[] = {UINT32_MAX, 4 * 100000, 1u << 31, (uint32_t)-4 * 300};
	struct stage stage = stage_begin();

	for (unsigned i = 0; i < sizeof progress / sizeof progress[0]; i++) {
		struct vmrpc__channel_block *block;

		stage_connect(&stage);
		block = raw_block(&stage.raw, 0);
		tell(&stage, 'n');
		while (atomic_load(&block->ring[VMRPC__RING_CELLS - 1].state) != VMRPC__RING_CELLS)
			poll(NULL, 0, 1);
		atomic_store(&block->progress.done, progress[i]);
		CHECK_EQ(hear(&stage), -EPROTO);
		ask(&stage, 'x');
	}
	stage_end(&stage);
}

TEST(heaps_that_are_not_there)
{
	struct stage stage = stage_begin();
	const uint64_t size = VMRPC__HEAP_GRANULE;

	for (unsigned i = 0; i < 12; i++) {
		uint64_t words[VMRPC__CELL_WORDS] = {size}, offset;
		int64_t r;

		stage_connect(&stage);
		offset = stage.raw.size;
		switch (i) {
		case 0: /* the truth, but for the memory */
			break;
		case 1:
			offset += VMRPC__PAGE;
			break;
		case 2:
			offset += 8;
			break;
		case 3:
			offset = 0;
			break;
		case 4:
			offset = stage.raw.layout.client_heap.offset;
			break;
		case 5:
			offset = stage.raw.size - size;
			break;
		case 6:
			offset = stage.raw.reserved - size;
			break;
		case 7:
			offset = stage.raw.reserved;
			break;
		case 8:
			offset = UINT64_MAX - size + 1;
			break;
		case 9:
			offset = UINT64_MAX - VMRPC__PAGE + 1;
			break;
		}
		words[1] = offset;
		words[2] = i == 10 ? 2 * size : size;
		words[3] = i == 11 ? offset : offset + size;
		tell(&stage, 'h');
		take_request(&stage);
		raw_publish(&stage.raw, 0, RAW_HEAD(VMRPC__REPLY, 0), words);
		if (i < 2) {
			CHECK_EQ(take_request(&stage) & 0xffff, VMRPC__SYSTEM_HEAP_OPEN);
			raw_publish(&stage.raw, 0, RAW_HEAD(VMRPC__REPLY, 0), NULL);
		}
		r = hear(&stage);
		if (r != (i < 2 ? 0 : -EPROTO))
			TEST_FAIL("heap %u is met with %" PRId64, i, r);
		raw_close(&stage.raw);
		ask(&stage, 'x');
	}
	stage_end(&stage);
}

/* Where another is. */
TEST(heaps_that_overlap)
{
	static const int64_t away[] = {0,
				       VMRPC__PAGE,
				       VMRPC__HEAP_GRANULE,
				       2 * VMRPC__HEAP_GRANULE - VMRPC__PAGE,
				       -(int64_t)VMRPC__PAGE,
				       -(int64_t)(2 * VMRPC__HEAP_GRANULE - VMRPC__PAGE)};
	struct stage stage = stage_begin();
	const uint64_t size = VMRPC__HEAP_GRANULE;

	stage_connect(&stage);
	for (unsigned i = 0; i <= sizeof away / sizeof away[0]; i++) {
		uint64_t offset = stage.raw.size + 4 * size + (uint64_t)(i ? away[i - 1] : 0);

		tell(&stage, i ? 'h' : 'H');
		take_request(&stage);
		raw_publish(&stage.raw, 0, RAW_HEAD(VMRPC__REPLY, 0),
			    (uint64_t[VMRPC__CELL_WORDS]){size, offset, size, offset + size});
		if (i == 0) {
			CHECK_EQ(take_request(&stage) & 0xffff, VMRPC__SYSTEM_HEAP_OPEN);
			raw_publish(&stage.raw, 0, RAW_HEAD(VMRPC__REPLY, 0), NULL);
		}
		CHECK_EQ(hear(&stage), i ? -EPROTO : 0);
	}
	CHECK_EQ(serve_add(&stage, 0, 'a'), 42);
	stage_end(&stage);
}

/* Says that a block was freed. */
static void post_free(struct raw *raw, uint32_t *tail, uint64_t offset)
{
	struct vmrpc__free_ring *ring = (struct vmrpc__free_ring *)(void *)(raw->base + raw->layout.posts_to_client);

	atomic_store(&ring->slots[*tail % VMRPC__FREE_SLOTS], offset);
	atomic_store(&ring->tail, ++*tail);
}

/* The client takes what was freed when it needs memory, and looks at it before it sleeps. All its blocks but n_lost are
 * still its own. */
static void check_found_out(struct stage *stage, int64_t n_blocks, int64_t n_lost)
{
	CHECK(ask(stage, 'm') >= n_blocks - n_lost);
	CHECK_EQ(ask(stage, 'a'), -EPROTO);
	CHECK(raw_is_hung_up(&stage->raw, RAW_PATIENCE_MS));
	raw_close(&stage->raw);
	ask(stage, 'x');
}

TEST(frees_that_lie)
{
	struct stage stage = stage_begin();
	struct vmrpc__free_ring *ring;
	uint64_t block, again;
	uint32_t tail = 0;
	int64_t n_blocks;

	/* The truth: it has that block again. */
	stage_connect(&stage);
	n_blocks = ask(&stage, 'm');
	CHECK(n_blocks > 100);
	block = (uint64_t)ask(&stage, 'k');
	CHECK_EQ(ask(&stage, 'm'), n_blocks - 1);
	post_free(&stage.raw, &tail, block);
	CHECK_EQ(ask(&stage, 'm'), n_blocks);
	CHECK_EQ(serve_add(&stage, 0, 'a'), 42);
	ask(&stage, 'x');

	for (unsigned i = 0; i < 16; i++) {
		stage_connect(&stage);
		block = (uint64_t)ask(&stage, 'k');
		ask(&stage, 'm');
		again = (uint64_t)ask(&stage, 'k');
		ring = (struct vmrpc__free_ring *)(void *)(stage.raw.base + stage.raw.layout.posts_to_client);
		tail = 0;
		if (i < 13) {
			const uint64_t wild[] = {0,
						 1,
						 VMRPC__PAGE,
						 stage.raw.layout.server_heap.offset,
						 stage.raw.layout.server_heap.offset + 4096,
						 block + 1,
						 block + 16,
						 block - 16,
						 stage.raw.size,
						 stage.raw.reserved,
						 UINT64_MAX,
						 UINT64_C(1) << 63,
						 -stage.raw.address};

			post_free(&stage.raw, &tail, again); /* true */
			post_free(&stage.raw, &tail, wild[i]);
		} else if (i == 13) { /* twice the same */
			post_free(&stage.raw, &tail, block);
			post_free(&stage.raw, &tail, block);
		} else { /* more than the ring holds */
			atomic_store(&ring->tail, i == 14 ? VMRPC__FREE_SLOTS + 1 : UINT32_MAX);
		}
		check_found_out(&stage, n_blocks, 2);
	}
	stage_end(&stage);
}

/* How far the server has come with what the client freed. */
TEST(frees_that_are_taken_wrongly)
{
	static const uint32_t heads[] = {0, 1, VMRPC__FREE_SLOTS, 0x80000000, UINT32_MAX};
	struct stage stage = stage_begin();

	for (unsigned i = 0; i < sizeof heads / sizeof heads[0]; i++) {
		struct vmrpc__free_ring *ring;

		stage_connect(&stage);
		ring = (struct vmrpc__free_ring *)(void *)(stage.raw.base + stage.raw.layout.posts_to_server);
		for (unsigned k = 0; k < 4; k++) {
			atomic_store(&ring->head, heads[i] + k);
			CHECK_EQ(ask(&stage, 'o'), 0);
			CHECK_EQ(serve_add(&stage, 0, 'a'), 42);
		}
		CHECK(ask(&stage, 'm') > 100);
		ask(&stage, 'x');
	}
	stage_end(&stage);
}

/* ---- the memory itself --------------------------------------------------------------------------------------- */

TEST(memory_changes_its_size)
{
	struct stage stage = stage_begin();
	const uint64_t size = VMRPC__HEAP_GRANULE;
	uint64_t offset;

	stage_connect(&stage);
	offset = stage.raw.size;
	CHECK_EQ(serve_add(&stage, 0, 'a'), 42);
	CHECK_EQ(ftruncate(stage.raw.memory, VMRPC__PAGE), -1);
	CHECK_EQ(ftruncate(stage.raw.memory, 0), -1);
	/* What the client has a private copy of may be gone for it. */
	CHECK_EQ(fallocate(stage.raw.memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, VMRPC__PAGE), 0);
	CHECK_EQ(fallocate(stage.raw.memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			   (off_t)stage.raw.layout.client_heap.offset, 2 * (off_t)stage.raw.layout.client_heap.size),
		 0);
	CHECK_EQ(serve_add(&stage, 0, 'a'), 42);
	CHECK(ask(&stage, 'm') > 100);
	CHECK_EQ(ftruncate(stage.raw.memory, (off_t)1 << 40), 0);
	CHECK_EQ(serve_add(&stage, 0, 'a'), 42);
	/* The turn of its cell, too. */
	tell(&stage, 'a');
	take_request(&stage);
	CHECK_EQ(fallocate(stage.raw.memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)stage.raw.size), 0);
	CHECK(hear(&stage) < 0);
	ask(&stage, 'x');

	/* It cannot grow any more, and the server says that it has. */
	stage_connect(&stage);
	CHECK_EQ(fcntl(stage.raw.memory, F_ADD_SEALS, F_SEAL_GROW), 0);
	tell(&stage, 'h');
	take_request(&stage);
	raw_publish(&stage.raw, 0, RAW_HEAD(VMRPC__REPLY, 0),
		    (uint64_t[VMRPC__CELL_WORDS]){size, offset, size, offset + size});
	CHECK_EQ(hear(&stage), -EPERM);
	CHECK_EQ(serve_add(&stage, 0, 'a'), 42);
	stage_end(&stage);
}

/* ---- everything at once -------------------------------------------------------------------------------------- */

struct flipper {
	const struct raw *raw;
	uint64_t random;
	_Atomic bool stop;
};

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
		{&block->cell.state, 1},
		{&block->cell.head, 1},
		{&block->progress, 1},
		{block->ring, 256},
		{block->client_spill, 2 * VMRPC__SPILL_SIZE / 4},
		{raw_doorplate(raw, 0), 8},
		{raw->base + raw->layout.posts_to_client, sizeof(struct vmrpc__free_ring) / 4},
		{raw->base, 32},
		{raw->base + raw->layout.client_heap.offset, 4096},
	};

	while (!atomic_load(&flipper->stop)) {
		uint32_t target = workload_random(&flipper->random, sizeof targets / sizeof targets[0]);
		_Atomic uint32_t *words = targets[target].at;

		atomic_fetch_xor(&words[workload_random(&flipper->random, targets[target].n)],
				 1u << workload_random(&flipper->random, 32));
		if (target == 1) /* or a call would seldom get far */
			poll(NULL, 0, 1);
	}
	return NULL;
}

TEST(words_that_change_all_the_time)
{
	static const char does[] = "abndh";
	struct stage stage = stage_begin();
	uint64_t random = workload_seed();

	for (unsigned i = 0; i < world_scaled(60); i++) {
		struct flipper flipper = {.raw = &stage.raw, .random = random + 2 * i};
		pthread_t thread;

		stage_connect(&stage);
		CHECK_EQ(pthread_create(&thread, NULL, flip, &flipper), 0);
		for (unsigned call = 0; call < 4; call++) {
			struct pollfd pollfd = {.fd = stage.client.fd, .events = POLLIN};
			uint32_t head;

			tell(&stage, does[workload_random(&random, sizeof does - 1)]);
			while (poll(&pollfd, 1, 0) == 0)
				if (raw_await(&stage.raw, 0, &head, 1) == 0)
					raw_publish(&stage.raw, 0,
						    RAW_HEAD(workload_random(&random, 3) ? VMRPC__REPLY : VMRPC__CALL,
							     workload_random(&random, 2)),
						    NULL);
				else if (raw_is_hung_up(&stage.raw, 1))
					break;
			if (poll(&pollfd, 1, 0) == 0)
				break; /* it connects anew, and nobody answers */
			hear(&stage);
		}
		atomic_store(&flipper.stop, true);
		CHECK_EQ(pthread_join(thread, NULL), 0);
		stage_replace_client(&stage);
	}
	stage_end(&stage);
}

TEST_MAIN()
