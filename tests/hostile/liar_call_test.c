/* Servers that lie in their answers and callbacks, or give none: turns, kinds, numbers, frames, stack pointers. */
#define TEST_TIMEOUT 300

#include "stage.h"

TEST(answers_out_of_order)
{
	static const uint32_t steps[] = {8, 400, 0x80000000, (uint32_t)-4};

	struct stage stage = stage_begin();

	for (int trusting = 0; trusting < 2; trusting++) {
		stage_trust(&stage, trusting);

		for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
			stage_connect(&stage);
			tell(&stage, 'a');
			take_request(&stage);
			raw_publish_turn(&stage.raw, 0, RAW_HEAD(VMRPC__REPLY, 0), NULL, stage.raw.turns[0] + steps[i]);
			CHECK_EQ(hear(&stage), -EPROTO);
			CHECK(raw_is_hung_up(&stage.raw, RAW_PATIENCE_MS));
			ask(&stage, 'x');
		}
	}
	stage_end(&stage);
}

TEST(answers_of_no_kind)
{
	static const uint32_t kinds[] = {0, VMRPC__SYSTEM, VMRPC__BYE, 5, 6, 7};
	struct stage stage = stage_begin();

	for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		stage_connect(&stage);
		tell(&stage, 'a');
		take_request(&stage);
		raw_publish(&stage.raw, 0, RAW_HEAD(kinds[i], 0), NULL);
		CHECK_EQ(hear(&stage), -EPROTO);
		CHECK(raw_is_hung_up(&stage.raw, RAW_PATIENCE_MS));
		ask(&stage, 'x');
	}
	stage_end(&stage);
}

/* In the middle of a callback, too, where the client waits for the answer to a call of its own. */
TEST(answers_of_no_kind_to_nested_calls)
{
	static const uint32_t kinds[] = {0, VMRPC__SYSTEM, VMRPC__BYE, 7};
	struct stage stage = stage_begin();

	for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		stage_connect(&stage);
		tell(&stage, 'd');
		take_request(&stage);
		raw_publish(&stage.raw, 0, RAW_HEAD(VMRPC__CALL, LAB_ON_COUNTDOWN), (uint64_t[VMRPC__CELL_WORDS]){2});
		CHECK_EQ(take_request(&stage) >> 16 & VMRPC__KIND, VMRPC__CALL);
		raw_publish(&stage.raw, 0, RAW_HEAD(kinds[i], 0), NULL);
		CHECK_EQ(hear(&stage), -EPROTO);
		CHECK(raw_is_hung_up(&stage.raw, RAW_PATIENCE_MS));
		ask(&stage, 'x');
	}
	stage_end(&stage);
}

TEST(statuses_that_are_none)
{
	static const struct {
		int16_t status;
		int reported;
	} answers[] = {{1, -EPROTO},
		       {0x7fff, -EPROTO},
		       {-4096, -EPROTO},
		       {INT16_MIN, -EPROTO},
		       {-EIO, -EIO},
		       {-EPIPE, -EPIPE},
		       {-ETIMEDOUT, -ETIMEDOUT},
		       {-EAGAIN, -EAGAIN},
		       {-EPROTONOSUPPORT, -EPROTONOSUPPORT}};
	struct stage stage = stage_begin();
	uint64_t words[VMRPC__CELL_WORDS] = {0, 0, 42};

	stage_connect(&stage);
	for (unsigned i = 0; i < 2 * sizeof answers / sizeof answers[0]; i++) {
		const uint32_t flags = i % 2 ? VMRPC__EARLIER | VMRPC__SPILLED | VMRPC__ON_STACK : 0;

		tell(&stage, 'a');
		take_request(&stage);
		raw_publish(&stage.raw, 0, RAW_HEAD(VMRPC__REPLY | flags, (uint16_t)answers[i / 2].status), NULL);
		CHECK_EQ(hear(&stage), answers[i / 2].reported);
	}
	tell(&stage, 'a'); /* and all is well between them */
	take_request(&stage);
	raw_publish(&stage.raw, 0, RAW_HEAD(VMRPC__REPLY, 0), words);
	CHECK_EQ(hear(&stage), 42);
	stage_end(&stage);
}

/* Calls back with this, and expects this status; then answers. */
static void call_back(struct stage *stage, uint32_t flags, uint32_t number, const uint64_t *words, int status)
{
	uint32_t head;

	raw_publish(&stage->raw, 0, RAW_HEAD(flags, number), words);
	CHECK_EQ(raw_await(&stage->raw, 0, &head, RAW_PATIENCE_MS), 0);
	CHECK_EQ(head >> 16 & VMRPC__KIND, VMRPC__REPLY);
	if ((int16_t)(head & 0xffff) != status)
		TEST_FAIL("callback %u with flags %x is answered with %d, not %d", number, flags,
			  (int16_t)(head & 0xffff), status);
}

TEST(wild_callbacks)
{
	static const uint32_t numbers[] = {LAB_N_CALLBACKS, LAB_N_CALLBACKS + 1, 0x7fff, 0xffff};
	struct stage stage = stage_begin();
	uint64_t words[VMRPC__CELL_WORDS] = {0, 0, 42};
	uint64_t wild[12][2], n = 0;

	stage_connect(&stage);
	tell(&stage, 'a');
	take_request(&stage);
	for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		call_back(&stage, VMRPC__CALL, numbers[i], words, -ENOSYS);
		call_back(&stage, VMRPC__CALL | VMRPC__SPILLED, numbers[i], words, -ENOSYS);
		call_back(&stage, VMRPC__CALL | VMRPC__ON_STACK, numbers[i], words, -ENOSYS);
	}
	wild[n][0] = 0, wild[n++][1] = 8;
	wild[n][0] = 8, wild[n++][1] = 8;
	wild[n][0] = stage.raw.size, wild[n++][1] = 8;
	wild[n][0] = stage.raw.size - 4, wild[n++][1] = 8;
	wild[n][0] = stage.raw.size - 8, wild[n++][1] = 16;
	wild[n][0] = stage.raw.reserved, wild[n++][1] = 8;
	wild[n][0] = stage.raw.reserved - 8, wild[n++][1] = 8; /* no memory there */
	wild[n][0] = UINT64_MAX, wild[n++][1] = 8;
	wild[n][0] = UINT64_MAX - 7, wild[n++][1] = 8;
	wild[n][0] = -stage.raw.address, wild[n++][1] = 8;
	wild[n][0] = stage.raw.layout.client_heap.offset, wild[n++][1] = UINT64_MAX;
	wild[n][0] = stage.raw.layout.client_heap.offset + 1, wild[n++][1] = 8;
	for (unsigned i = 0; i < n; i++)
		call_back(&stage, VMRPC__CALL | VMRPC__SPILLED, LAB_ON_SLOW,
			  (uint64_t[VMRPC__CELL_WORDS]){wild[i][0], wild[i][1]}, -EPROTO);
	raw_publish(&stage.raw, 0, RAW_HEAD(VMRPC__REPLY, 0), words);
	CHECK_EQ(hear(&stage), 42);
	stage_end(&stage);
}

/* Of a callback whose frame does not fit the cell. */
TEST(large_frames_of_callbacks)
{
	struct stage stage = stage_begin();
	uint64_t words[VMRPC__CELL_WORDS] = {0, 0, 42}, wild[12][2], n = 0, heap, size = LARGE_CALLBACK_SIZE;

	stage_connect(&stage);
	heap = stage.raw.layout.server_heap.offset;
	tell(&stage, 'a');
	take_request(&stage);
	call_back(&stage, VMRPC__CALL, LARGE_CALLBACK, words, -EPROTO); /* in the cell */
	wild[n][0] = heap, wild[n++][1] = 0;
	wild[n][0] = heap, wild[n++][1] = 8;
	wild[n][0] = heap, wild[n++][1] = size - 8;
	wild[n][0] = heap, wild[n++][1] = size + 8;
	wild[n][0] = heap, wild[n++][1] = size + (UINT64_C(1) << 32);
	wild[n][0] = heap + 4, wild[n++][1] = size;
	wild[n][0] = VMRPC__PAGE - 8, wild[n++][1] = size;
	wild[n][0] = stage.raw.size - size + 8, wild[n++][1] = size;
	wild[n][0] = UINT64_MAX - size + 1, wild[n++][1] = size;
	wild[n][0] = -stage.raw.address, wild[n++][1] = size;
	for (unsigned i = 0; i < n; i++)
		call_back(&stage, VMRPC__CALL | VMRPC__SPILLED, LARGE_CALLBACK,
			  (uint64_t[VMRPC__CELL_WORDS]){wild[i][0], wild[i][1]}, -EPROTO);
	call_back(&stage, VMRPC__CALL | VMRPC__SPILLED, LARGE_CALLBACK,
		  (uint64_t[VMRPC__CELL_WORDS]){stage.raw.size - size, size}, 0); /* the very end */
	raw_publish(&stage.raw, 0, RAW_HEAD(VMRPC__REPLY, 0), words);
	CHECK_EQ(hear(&stage), 42);
	stage_end(&stage);
}

/* The client is on its RPC stack, which has a guard page at the client; the server says where that stack is in use. */
TEST(callbacks_on_the_stack)
{
	struct stage stage = stage_begin();

	for (int trusting = 0; trusting < 2; trusting++) {
		stage_trust(&stage, trusting);
		const struct vmrpc__control *layout = &stage.raw.layout;

		stage_connect(&stage);
		tell(&stage, 's');
		take_request(&stage);
		for (unsigned i = 0; i < 20; i++) {
			const uint64_t low = layout->stacks + VMRPC__PAGE, high = low + layout->stack_size;
			const uint64_t pointers[] = {0,		 1,	   low, low - 8, high, high + 8, stage.raw.size,
						     UINT64_MAX, low + 100};
			uint64_t words[VMRPC__CELL_WORDS] = {0, 8, pointers[i % 9]};

			words[0] = i % 2 ? low - VMRPC__PAGE : low - 8; /* a frame in the guard page */
			if (i % 2)
				words[1] = 8;
			call_back(&stage, VMRPC__CALL | VMRPC__SPILLED | VMRPC__ON_STACK, LAB_ON_SLOW, words, -EPROTO);
			words[0] = layout->client_heap.offset; /* a good one: the callback runs */
			memset(stage.raw.base + words[0], 0, 8);
			call_back(&stage, VMRPC__CALL | VMRPC__SPILLED | VMRPC__ON_STACK, LAB_ON_SLOW, words, 0);
		}
		raw_publish(&stage.raw, 0, RAW_HEAD(VMRPC__REPLY, 0), NULL);
		CHECK_EQ(hear(&stage), 0);
	}
	stage_end(&stage);
}

/* The callback calls again, and its call is answered with a callback, and so on. */
TEST(nesting_without_end)
{
	struct stage stage = stage_begin();
	uint64_t words[VMRPC__CELL_WORDS] = {2};
	uint32_t head = 0;

	stage_connect(&stage);
	tell(&stage, 'd');
	take_request(&stage);
	for (unsigned depth = 0; (head >> 16 & VMRPC__KIND) != VMRPC__REPLY; depth++) {
		CHECK(depth < 1000000);
		raw_publish(&stage.raw, 0, RAW_HEAD(VMRPC__CALL, LAB_ON_COUNTDOWN), words);
		head = take_request(&stage);
	}
	CHECK_EQ((int16_t)(head & 0xffff), -ELOOP);
	raw_close(&stage.raw);
	CHECK_EQ(hear(&stage), -EPIPE);
	stage_end(&stage);
}

/* ---- time ---------------------------------------------------------------------------------------------------- */

TEST(silence_ends_in_a_time_out)
{
	struct stage stage = stage_begin();

	stage_connect(&stage);
	CHECK_EQ(ask(&stage, 'a'), -ETIMEDOUT);
	CHECK_EQ(ask(&stage, 'b'), -ETIMEDOUT);
	CHECK_EQ(ask(&stage, 'n'), -ETIMEDOUT); /* the ring has no room */
	CHECK_EQ(ask(&stage, 's'), -ETIMEDOUT);
	CHECK_EQ(ask(&stage, 'h'), -ETIMEDOUT);
	CHECK_EQ(ask(&stage, 'a'), -EMFILE); /* each gave up its channel */
	ask(&stage, 'x');
	stage_end(&stage);
}

struct fidget {
	_Atomic uint32_t *word;
	_Atomic bool stop;
};

static void *fidget(void *arg)
{
	struct fidget *fidget = arg;

	while (!atomic_load(&fidget->stop))
		atomic_fetch_xor(fidget->word, VMRPC__KICK | VMRPC__SLEEP);
	return NULL;
}

/* The low bits of what the client waits on change all the time, so that it never sleeps for long. */
TEST(fidgeting_does_not_stop_the_clock)
{
	struct stage stage = stage_begin();

	for (int ring = 0; ring < 2; ring++) {
		struct fidget fidgeting = {0};
		pthread_t thread;

		stage_connect(&stage);
		fidgeting.word =
			ring ? &raw_block(&stage.raw, 0)->progress.done : &raw_block(&stage.raw, 0)->cell.state;
		tell(&stage, ring ? 'n' : 'a');
		if (!ring)
			take_request(&stage);
		CHECK_EQ(pthread_create(&thread, NULL, fidget, &fidgeting), 0);
		CHECK_EQ(hear(&stage), -ETIMEDOUT);
		atomic_store(&fidgeting.stop, true);
		CHECK_EQ(pthread_join(thread, NULL), 0);
		ask(&stage, 'x');
	}
	stage_end(&stage);
}

/* Callbacks without end, so that there is always something new. */
TEST(callbacks_do_not_stop_the_clock)
{
	struct stage stage = stage_begin();
	uint64_t words[VMRPC__CELL_WORDS] = {0};
	const int64_t give_up = world_ms() + 20 * TIMEOUT_MS + 5000;
	struct pollfd pollfd;
	uint32_t head;

	stage_connect(&stage);
	tell(&stage, 'a');
	take_request(&stage);
	pollfd = (struct pollfd){.fd = stage.client.fd, .events = POLLIN};
	while (poll(&pollfd, 1, 0) == 0) {
		if (world_ms() > give_up)
			TEST_FAIL("the client waits on and on");
		raw_publish(&stage.raw, 0, RAW_HEAD(VMRPC__CALL, LAB_ON_SLOW), words);
		while (poll(&pollfd, 1, 0) == 0 && raw_await(&stage.raw, 0, &head, 1) < 0)
			;
	}
	CHECK_EQ(hear(&stage), -ETIMEDOUT);
	stage_end(&stage);
}

TEST(turned_away)
{
	struct stage stage = stage_begin();

	for (unsigned i = 0; i < 4; i++) {
		stage_connect(&stage);
		tell(&stage, i % 2 ? 'b' : 'a');
		take_request(&stage);
		atomic_store(&raw_doorplate(&stage.raw, 0)->server, 2);
		raw_publish_turn(&stage.raw, 0, 0, NULL, stage.raw.turns[0] | VMRPC__KICK);
		CHECK_EQ(hear(&stage), -EAGAIN);
		ask(&stage, 'x');
	}
	stage_end(&stage);
}

TEST_MAIN()
