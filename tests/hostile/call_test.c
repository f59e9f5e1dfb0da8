/* Clients that lie in their calls: turns, kinds, numbers, frames, stack pointers, callbacks. */
#define TEST_TIMEOUT 300

#include "scene.h"

/* Connects and opens channel 0. */
static struct raw attacker(uint32_t hello_flags)
{
	struct raw raw;

	CHECK_EQ(raw_connect(&raw, "lab"), 0);
	raw.service_flags = hello_flags;
	CHECK_EQ(raw_handshake(&raw, NULL, NULL), 0);
	raw_open_channel(&raw, 0);
	return raw;
}

static void check_served(struct raw *raw, uint32_t channel)
{
	uint64_t words[VMRPC__CELL_WORDS] = {20, 22};

	CHECK_EQ(raw_call(raw, channel, VMRPC__CALL, LAB_ADD, words, NULL), 0);
	CHECK_EQ(words[2], 42);
}

static void check_ended(struct raw *raw)
{
	CHECK(raw_is_hung_up(raw, RAW_PATIENCE_MS));
	raw_close(raw);
}

TEST(turns_out_of_order)
{
	static const uint32_t steps[] = {8, 12, 4000, 0x80000000, (uint32_t)-4, (uint32_t)-8};
	struct scene scene = scene_begin("");

	for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++)
		for (unsigned calls = 0; calls < 2; calls++) {
			struct raw raw = attacker(0);

			if (calls)
				check_served(&raw, 0);
			raw_publish_turn(&raw, 0, RAW_HEAD(VMRPC__CALL, LAB_NULL), NULL, raw.turns[0] + steps[i]);
			check_ended(&raw);
		}
	scene_end(&scene);
}

/* The bits below the turn are each side's to set for itself. */
TEST(low_bits_of_the_state)
{
	struct scene scene = scene_begin("");
	struct raw raw = attacker(0);
	_Atomic uint32_t *state = &raw_block(&raw, 0)->cell.state;

	for (unsigned i = 0; i < 1000; i++) {
		atomic_fetch_xor(state, VMRPC__SLEEP);
		atomic_fetch_or(state, VMRPC__KICK);
		check_served(&raw, 0);
	}
	raw_close(&raw);
	scene_end(&scene);
}

TEST(kinds_out_of_place)
{
	static const uint32_t kinds[] = {0, VMRPC__REPLY, 5, 6, 7};
	struct scene scene = scene_begin("");
	struct raw raw;

	for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		raw = attacker(0);
		check_served(&raw, 0);
		raw_publish(&raw, 0, RAW_HEAD(kinds[i], LAB_NULL), NULL);
		check_ended(&raw);
	}
	/* In the middle of a callback, too, but for a reply. */
	for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		uint64_t words[VMRPC__CELL_WORDS] = {2};
		uint32_t head;

		if (kinds[i] == VMRPC__REPLY)
			continue;
		raw = attacker(0);
		CHECK_EQ(raw_call(&raw, 0, VMRPC__CALL, LAB_COUNTDOWN, words, &head), -EPROTO);
		CHECK_EQ(head >> 16 & VMRPC__KIND, VMRPC__CALL);
		raw_publish(&raw, 0, RAW_HEAD(kinds[i], 0), NULL);
		check_ended(&raw);
	}
	scene_end(&scene);
}

TEST(goodbyes_at_odd_times)
{
	struct scene scene = scene_begin("");
	struct raw raw = attacker(0);
	uint64_t words[VMRPC__CELL_WORDS] = {2};
	uint32_t head;

	/* Before any call; and again, and with a call behind it, when nobody hears. */
	raw_publish(&raw, 0, RAW_HEAD(VMRPC__BYE, 0), NULL);
	CHECK(raw_await_closed(&raw, 0));
	raw_publish(&raw, 0, RAW_HEAD(VMRPC__BYE, 0), NULL);
	raw_publish(&raw, 0, RAW_HEAD(VMRPC__CALL, LAB_NULL), NULL);
	raw_open_channel(&raw, 0);
	check_served(&raw, 0);
	/* In a callback. */
	CHECK_EQ(raw_call(&raw, 0, VMRPC__CALL, LAB_COUNTDOWN, words, &head), -EPROTO);
	raw_publish(&raw, 0, RAW_HEAD(VMRPC__BYE, 0), NULL);
	CHECK(raw_await_closed(&raw, 0));
	raw_open_channel(&raw, 0);
	check_served(&raw, 0);
	raw_close(&raw);
	scene_end(&scene);
}

TEST(wild_numbers)
{
	static const uint32_t numbers[] = {LAB_N_METHODS, LAB_N_METHODS + 1, 0x7fff, 0x8000, 0xffff};
	struct scene scene = scene_begin("");
	struct raw raw = attacker(0);

	for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		uint64_t words[VMRPC__CELL_WORDS] = {1};

		CHECK_EQ(raw_call(&raw, 0, VMRPC__CALL, numbers[i], NULL, NULL), -ENOSYS);
		CHECK_EQ(raw_call(&raw, 0, VMRPC__CALL | VMRPC__SPILLED, numbers[i], words, NULL), -ENOSYS);
		CHECK_EQ(raw_call(&raw, 0, VMRPC__SYSTEM, numbers[i], words, NULL), -ENOSYS);
	}
	CHECK_EQ(raw_call(&raw, 0, VMRPC__SYSTEM, 0, NULL, NULL), -ENOSYS);
	check_served(&raw, 0);
	raw_close(&raw);
	scene_end(&scene);
}

/* A call of lab_big with its frame at offset. */
static int call_big(struct raw *raw, uint64_t offset, uint64_t size, uint32_t flags)
{
	uint64_t words[VMRPC__CELL_WORDS] = {offset, size};

	return raw_call(raw, 0, VMRPC__CALL | VMRPC__SPILLED | flags, LAB_BIG, words, NULL);
}

TEST(frames_elsewhere)
{
	const uint64_t size = sizeof(struct lab_frame_big);
	struct scene scene = scene_begin("");
	struct raw raw = attacker(0);
	const uint64_t spill = (uint64_t)((unsigned char *)raw_block(&raw, 0)->client_spill - raw.base);
	struct lab_frame_big *frame = (struct lab_frame_big *)(void *)(raw.base + spill);
	const struct {
		uint64_t offset, size;
	} wrong[] = {
		{0, size}, /* the control page */
		{8, size},
		{VMRPC__PAGE - 8, size},
		{spill + 4, size}, /* misaligned */
		{spill + 1, size},
		{raw.size - size + 8, size}, /* over the end */
		{raw.size - 8, size},
		{raw.size, size},
		{raw.reserved - size, size}, /* no memory there yet */
		{raw.reserved, size},
		{UINT64_C(1) << 47, size},
		{UINT64_C(1) << 63, size},
		{UINT64_MAX - 7, size}, /* wraps */
		{UINT64_MAX - size + 1, size},
		{-raw.address, size}, /* its null page */
		{spill, 0},	      /* another size than the method's */
		{spill, 8},
		{spill, size - 8},
		{spill, size + 8},
		{spill, UINT64_MAX},
		{spill, size + (UINT64_C(1) << 32)},
	};

	frame->in.words[3] = 41;
	CHECK_EQ(call_big(&raw, spill, size, 0), 0);
	CHECK_EQ(frame->result.words[3], 42);
	CHECK_EQ(call_big(&raw, raw.size - size, size, 0), 0); /* the very end */
	for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		int r = call_big(&raw, wrong[i].offset, wrong[i].size, 0);

		if (r != -EPROTO)
			TEST_FAIL("a frame of %" PRIu64 " bytes at %" PRIu64 " is met with %d", wrong[i].size,
				  wrong[i].offset, r);
	}
	/* One that should be elsewhere, and one that may be anywhere. */
	CHECK_EQ(raw_call(&raw, 0, VMRPC__CALL, LAB_BIG, NULL, NULL), -EPROTO);
	check_served(&raw, 0);
	raw_close(&raw);
	scene_end(&scene);
}

/* lab_on_stack on the client's stack, whose frames end at pointer; answers the callback. */
static int call_on_stack(struct raw *raw, uint64_t pointer)
{
	const uint64_t spill = (uint64_t)((unsigned char *)raw_block(raw, 0)->client_spill - raw->base);
	uint64_t words[VMRPC__CELL_WORDS] = {spill, sizeof(struct lab_frame_on_stack), pointer};
	uint32_t head;
	int r = raw_call(raw, 0, VMRPC__CALL | VMRPC__SPILLED | VMRPC__ON_STACK, LAB_ON_STACK, words, &head);

	if (r == -EPROTO && (head >> 16 & VMRPC__KIND) == VMRPC__CALL)
		r = raw_call(raw, 0, VMRPC__REPLY, 0, NULL, NULL);
	return r;
}

static void wild_stack_pointers(const char *options, uint32_t hello_flags, bool shared)
{
	struct scene scene = scene_begin(options);
	struct raw raw = attacker(hello_flags);
	const uint64_t low = raw.layout.stacks + VMRPC__PAGE, high = low + raw.layout.stack_size;
	const uint64_t pointers[] = {
		0,
		1,
		VMRPC__PAGE,
		raw.layout.stacks, /* the guard page */
		raw.layout.stacks + 8,
		low, /* no room */
		low + 1,
		low + 1024,
		high + 1,
		high + VMRPC__PAGE + 4096, /* another channel's */
		raw.size - 8,
		raw.size,
		raw.reserved,
		UINT64_MAX,
		UINT64_MAX - 4095,
		UINT64_C(1) << 63,
		-raw.address,
	};

	CHECK_EQ(call_on_stack(&raw, high - 256), 0);
	if (shared) { /* it has a guard page at the server from now on */
		const uint64_t size = sizeof(struct lab_frame_big);

		CHECK_EQ(call_big(&raw, raw.layout.stacks, size, 0), -EPROTO);
		CHECK_EQ(call_big(&raw, raw.layout.stacks - 8, size, 0), -EPROTO);
		CHECK_EQ(call_big(&raw, low - 8, size, 0), -EPROTO);
		CHECK_EQ(call_big(&raw, high - 8, size, 0), -EPROTO);
		CHECK_EQ(call_big(&raw, low, size, 0), 0);
		CHECK_EQ(call_big(&raw, high - size, size, 0), 0);
	}
	raw_close(&raw);
	for (unsigned i = 0; i < sizeof pointers / sizeof pointers[0]; i++) {
		int r;

		raw = attacker(hello_flags);
		r = call_on_stack(&raw, pointers[i]);
		if (shared ? r >= 0 : r != 0)
			TEST_FAIL("stack pointer %" PRIx64 " is met with %d", pointers[i], r);
		raw_close(&raw);
	}
	scene_end(&scene);
}

TEST(stack_pointers_of_a_trusted_client)
{
	wild_stack_pointers("&trust=yes&wipe=yes", VMRPC__HELLO_TRUST, true);
}

/* Its stack pointer is not looked at. */
TEST(stack_pointers_of_a_client_that_is_not_trusted)
{
	wild_stack_pointers("&trust=no", VMRPC__HELLO_TRUST, false);
}

TEST(stack_pointers_of_a_client_that_does_not_trust)
{
	wild_stack_pointers("&trust=yes", 0, false);
}

TEST(answers_to_callbacks)
{
	static const struct {
		int16_t status;
		int reported;
	} answers[] = {{5, -EPROTO}, {0x7fff, -EPROTO}, {-4096, -EPROTO}, {INT16_MIN, -EPROTO}, {-EIO, -EIO}};
	struct scene scene = scene_begin("");
	struct raw raw = attacker(0);

	for (unsigned i = 0; i < sizeof answers / sizeof answers[0]; i++) {
		uint64_t words[VMRPC__CELL_WORDS] = {1};
		uint32_t head;

		CHECK_EQ(raw_call(&raw, 0, VMRPC__CALL, LAB_COUNTDOWN, words, &head), -EPROTO);
		CHECK_EQ(head >> 16 & VMRPC__KIND, VMRPC__CALL);
		CHECK_EQ(raw_call(&raw, 0, VMRPC__REPLY | VMRPC__SPILLED | VMRPC__ON_STACK, (uint16_t)answers[i].status,
				  NULL, NULL),
			 answers[i].reported);
		check_served(&raw, 0);
	}
	raw_close(&raw);
	scene_end(&scene);
}

/* Calls from within callbacks until the server's stack runs short, then a hang-up from the depths. */
TEST(nesting_without_end)
{
	struct scene scene = scene_begin("");
	struct raw raw = attacker(0);
	unsigned depth = 0;
	int r;

	for (;; depth++) {
		uint64_t words[VMRPC__CELL_WORDS] = {2};
		uint32_t head;

		r = raw_call(&raw, 0, VMRPC__CALL, LAB_COUNTDOWN, words, &head);
		if (r != -EPROTO || (head >> 16 & VMRPC__KIND) != VMRPC__CALL)
			break;
		CHECK(depth < 1000000);
	}
	CHECK_EQ(r, -ELOOP);
	CHECK(depth > 100);
	CHECK_EQ(raw_call(&raw, 0, VMRPC__REPLY, 0, NULL, NULL), 0); /* one level up */
	raw_close(&raw);
	scene_end(&scene);
}

/* With calls out in many channels, and in callbacks. */
TEST(hanging_up_with_calls_out)
{
	struct scene scene = scene_begin("");

	for (unsigned i = 0; i < world_scaled(20); i++) {
		struct raw raw = attacker(0);

		for (uint32_t channel = 1; channel < 16; channel++) {
			uint64_t words[VMRPC__CELL_WORDS] = {channel % 2 ? 50 : 2};

			raw_open_channel(&raw, channel);
			raw_publish(&raw, channel, RAW_HEAD(VMRPC__CALL, channel % 2 ? LAB_SLEEP : LAB_COUNTDOWN),
				    words);
		}
		if (i % 2)
			check_served(&raw, 0);
		raw_close(&raw);
	}
	scene_end(&scene);
}

TEST_MAIN()
