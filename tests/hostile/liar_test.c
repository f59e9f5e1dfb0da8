/* Servers that lie: to a client that was told not to trust, and to one that does. Whatever comes, the client gets an
 * error in time, with words, and does not crash. The client is a process of its own; the liar is the test. */
#define TEST_TIMEOUT 300

#include <fcntl.h>
#include <sys/mman.h>

#include <vmrpc/stack.h>

#include "../e2e/lab_frames.h"
#include "../e2e/workload.h"
#include "puppet.h"
#include "raw.h"

#define TIMEOUT_MS 300 /* of the client's calls */

/* What the client does is told by one letter; it answers with the result. */
static struct vmrpc *conn;
static const char *trust;

static int do_nothing(void *frame)
{
	(void)frame;
	return 0;
}

/* Lab, but for callbacks that would follow a wild pointer, or sleep for a wild time: that is theirs to check. */
static struct vmrpc_method careful_callbacks[LAB_N_CALLBACKS];
static struct vmrpc_service careful_lab;

static int64_t connect_to_liar(const char *address)
{
	char full[128];

	careful_lab = lab_service;
	memcpy(careful_callbacks, lab_service.callbacks, sizeof careful_callbacks);
	for (unsigned i = 0; i < LAB_N_CALLBACKS; i++)
		if (i != LAB_ON_COUNTDOWN)
			careful_callbacks[i].serve = do_nothing;
	careful_lab.callbacks = careful_callbacks;

	snprintf(full, sizeof full, "%s?timeout=%dms&heap=1M&trust=%s", address, TIMEOUT_MS, trust);
	return vmrpc_connect(&conn, &careful_lab, full);
}

static void *call_on_stack(void *arg)
{
	int64_t *ret_result = arg, result;
	void *where;

	*ret_result = lab_on_stack(conn, 1, &result, &where);
	return NULL;
}

static int64_t do_as_told(char what, const char *address)
{
	struct lab_big big = {{1}}, big_result;
	struct vmrpc_heap *heap;
	int64_t result = 0, count;
	int r;

	switch (what) {
	case 'c':
		return connect_to_liar(address);
	case 'a':
		r = lab_add(conn, 20, 22, &result);
		return r < 0 ? r : result;
	case 'b':
		return lab_big(conn, &big, &big_result);
	case 'd':
		return lab_countdown(conn, 2, &result);
	case 'n':
		for (r = count = 0; r == 0 && count < 1000; count++)
			r = lab_note(conn, count);
		return r;
	case 'h':
		r = vmrpc_heap_setup(&heap, conn, VMRPC__HEAP_GRANULE);
		if (r == 0) { /* it must really be there */
			for (int i = 0; i < 1000; i++) {
				char *block = vmrpc_malloc(conn, 1000);

				if (block)
					memset(block, 1, 1000);
			}
			vmrpc_heap_destroy(heap);
		}
		return r;
	case 's':
		r = vmrpc_stack_call(conn, call_on_stack, &result, NULL);
		return r < 0 ? r : result;
	case 'x':
		vmrpc_close(conn);
		return 0;
	default:
		return 0;
	}
}

static void be_client(int fd, const char *address)
{
	char what = 0;

	while (what != 'e') {
		int64_t start = world_ms(), result;

		CHECK_EQ(recv(fd, &what, 1, 0), 1);
		start = world_ms();
		result = do_as_told(what, address);
		if (result < 0)
			CHECK(vmrpc_error_message()[0]);
		if (world_ms() - start > 20 * TIMEOUT_MS + 10000) /* a handshake has ten seconds */
			TEST_FAIL("'%c' took %" PRId64 " ms", what, world_ms() - start);
		puppet_answer(fd, result);
	}
	_exit(0); /* a sanitizer's leak check has nothing to say of a connection left open */
}

struct stage {
	int listener;
	struct puppet client;
	struct raw raw;
};

static struct stage stage_begin(void)
{
	struct stage stage;

	world_begin();
	trust = "no";
	stage.listener = raw_listen("liar");
	CHECK(stage.listener >= 0);
	stage.client = puppet_start(be_client, "local:liar");
	raw_init(&stage.raw);
	return stage;
}

static void tell(const struct stage *stage, char what)
{
	CHECK_EQ(send(stage->client.fd, &what, 1, MSG_NOSIGNAL), 1);
}

static int64_t hear(const struct stage *stage)
{
	struct pollfd pollfd = {.fd = stage->client.fd, .events = POLLIN};
	int64_t result;

	if (poll(&pollfd, 1, PUPPET_MS) != 1)
		TEST_FAIL("the client hangs");
	if (recv(stage->client.fd, &result, sizeof result, 0) != sizeof result) {
		int status = 0;

		waitpid(stage->client.pid, &status, 0);
		TEST_FAIL("the client died, with status 0x%x", status);
	}
	return result;
}

static int64_t ask(const struct stage *stage, char what)
{
	tell(stage, what);
	return hear(stage);
}

static void drop_waiting(const struct stage *stage)
{
	struct pollfd pollfd = {.fd = stage->listener, .events = POLLIN};

	while (poll(&pollfd, 1, 0) > 0)
		close(accept(stage->listener, NULL, NULL));
}

/* For a client that may be connecting anew, or whatever: it must be alive. */
static void stage_replace_client(struct stage *stage)
{
	int status;

	if (waitpid(stage->client.pid, &status, WNOHANG))
		TEST_FAIL("the client died, with status 0x%x", status);
	kill(stage->client.pid, SIGKILL);
	CHECK_EQ(waitpid(stage->client.pid, &status, 0), stage->client.pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		TEST_FAIL("the client died, with status 0x%x", status);
	close(stage->client.fd);
	raw_close(&stage->raw);
	drop_waiting(stage);
	stage->client = puppet_start(be_client, "local:liar");
}

/* From now on with a client that trusts, or does not. */
static void stage_trust(struct stage *stage, bool trusting)
{
	trust = trusting ? "yes" : "no";
	stage_replace_client(stage);
}

static void stage_end(struct stage *stage)
{
	char path[128];

	puppet_end(&stage->client);
	raw_close(&stage->raw);
	close(stage->listener);
	raw_path(path, sizeof path, "liar");
	unlink(path);
	world_end();
}

/* The client connects. What waits from earlier tries of it is not meant. */
static void stage_accept(struct stage *stage)
{
	raw_close(&stage->raw);
	drop_waiting(stage);
	tell(stage, 'c');
	CHECK_EQ(raw_accept(&stage->raw, stage->listener), 0);
}

/* It gets through. */
static void stage_connect(struct stage *stage)
{
	stage_accept(stage);
	CHECK_EQ(raw_answer_handshake(&stage->raw, NULL, NULL), 0);
	CHECK_EQ(hear(stage), 0);
}

/* The request that the client has made on channel 0: its head. */
static uint32_t take_request(struct stage *stage)
{
	uint32_t head;

	CHECK_EQ(raw_await(&stage->raw, 0, &head, RAW_PATIENCE_MS), 0);
	return head;
}

/* ---- the handshake -------------------------------------------------------------------------------------------------
 */

enum offered {
	FD_NONE,
	FD_SEALLESS,
	FD_SHORT,
	FD_EMPTY,
	FD_READ_ONLY,
	FD_NO_MEMORY, /* an ordinary file's */
	FD_PIPE,
	N_FDS,
};

static bool offer_wrong_memory(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	char path[64];
	int fds[2], fd = -1;

	(void)message;
	(void)size;
	if (step != RAW_REGION)
		return true;
	switch (*(const enum offered *)arg) {
	case FD_NONE:
		break;
	case FD_SEALLESS:
	case FD_SHORT:
	case FD_EMPTY:
		fd = memfd_create("liar", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (*(const enum offered *)arg != FD_EMPTY)
			CHECK_EQ(ftruncate(fd, *(const enum offered *)arg == FD_SHORT ? VMRPC__PAGE : (off_t)raw->size),
				 0);
		if (*(const enum offered *)arg != FD_SEALLESS)
			CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
		else
			CHECK_EQ(pwrite(fd, raw->base, VMRPC__PAGE, 0), VMRPC__PAGE);
		break;
	case FD_READ_ONLY:
		snprintf(path, sizeof path, "/proc/self/fd/%d", raw->memory);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		CHECK(fd >= 0);
		break;
	case FD_NO_MEMORY:
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		break;
	case FD_PIPE:
		CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
		close(fds[1]);
		fd = fds[0];
		break;
	case N_FDS:
		break;
	}
	close(raw->memory);
	raw->memory = fd;
	return true;
}

static void check_no_connection(struct stage *stage, raw_twist *twist, void *arg, const char *what, unsigned number)
{
	int64_t r;

	stage_accept(stage);
	raw_answer_handshake(&stage->raw, twist, arg);
	raw_close(&stage->raw);
	r = hear(stage);
	if (r >= 0)
		TEST_FAIL("the client connects in spite of %s %u", what, number);
}

TEST(wrong_memory)
{
	struct stage stage = stage_begin();

	for (int trusting = 0; trusting < 2; trusting++) {
		stage_trust(&stage, trusting);

		for (enum offered fd = FD_NONE; fd < N_FDS; fd++)
			check_no_connection(&stage, offer_wrong_memory, &fd, "wrong memory", fd);
		stage_connect(&stage); /* and now it does */
	}
	stage_end(&stage);
}

struct wrong_region {
	uint64_t size, reserved; /* added to what is true */
};

static bool offer_wrong_region(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	const struct wrong_region *wrong = arg;

	(void)raw;
	(void)size;
	if (step == RAW_REGION) {
		message->region.size += wrong->size;
		message->region.reserved += wrong->reserved;
	}
	return true;
}

TEST(wrong_sizes_of_the_region)
{
	static const struct wrong_region wrong[] = {
		{1, 0},
		{VMRPC__PAGE, 0},
		{(uint64_t)-VMRPC__PAGE, 0},
		{UINT64_C(1) << 40, 0},
		{UINT64_C(1) << 63, 0},
		{0, 1},
		{0, VMRPC__PAGE},
		{0, UINT64_C(1) << 43},
		{0, UINT64_C(1) << 63},
		{UINT64_C(1) << 41, UINT64_C(1) << 41},
	};
	struct stage stage = stage_begin();

	for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		check_no_connection(&stage, offer_wrong_region, (void *)(uintptr_t)&wrong[i], "wrong sizes", i);
	stage_end(&stage);
}

struct wrong_word {
	unsigned word; /* of 32 bits, of the control page */
	uint32_t value;
};

static bool spoil_control_page(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	const struct wrong_word *wrong = arg;

	(void)message;
	(void)size;
	if (step == RAW_PLACE)
		((_Atomic uint32_t *)(void *)raw->base)[wrong->word] ^= wrong->value;
	return true;
}

TEST(wrong_control_pages)
{
	static const uint32_t values[] = {1, 0x1000, 0x80000000, UINT32_MAX};
	struct stage stage = stage_begin();

	for (unsigned word = 0; word < sizeof(struct vmrpc__control) / 4; word++)
		for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++)
			check_no_connection(&stage, spoil_control_page, &(struct wrong_word){word, values[i]},
					    "a changed word of the control page:", word);
	stage_end(&stage);
}

/* A wild word in any message, or a wrong size, or a hang-up, or silence. */
struct spoiled {
	enum raw_step step;
	unsigned word;
	uint32_t value;
	ptrdiff_t longer;
	bool hang_up;
};

static bool spoil(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	const struct spoiled *spoiled = arg;

	(void)raw;
	if (step != spoiled->step)
		return true;
	if (spoiled->hang_up)
		return false;
	message->words[spoiled->word] ^= spoiled->value;
	*size += (size_t)spoiled->longer;
	return true;
}

/* What lab_add comes to at the client, answered if it is called. */
static int64_t serve_add(struct stage *stage)
{
	const uint64_t words[VMRPC__CELL_WORDS] = {20, 22, 42};
	struct pollfd pollfd = {.fd = stage->client.fd, .events = POLLIN};
	uint32_t head;

	tell(stage, 'a');
	while (poll(&pollfd, 1, 0) == 0)
		if (raw_await(&stage->raw, 0, &head, 1) == 0)
			raw_publish(&stage->raw, 0, RAW_HEAD(VMRPC__REPLY, 0), words);
	return hear(stage);
}

TEST(spoiled_messages)
{
	static const uint32_t values[] = {1, 0x1000, 0x80000000, UINT32_MAX};
	struct stage stage = stage_begin();

	for (enum raw_step step = RAW_REGION; step <= RAW_SERVER_READY; step++) {
		unsigned words = step == RAW_METHODS_OK || step == RAW_CALLBACKS_OK ? 16 : 10;

		for (unsigned word = 0; word < words; word++)
			for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
				struct spoiled spoiled = {.step = step, .word = word, .value = values[i]};
				int64_t r;

				stage_accept(&stage);
				r = raw_answer_handshake(&stage.raw, spoil, &spoiled);
				if (r < 0)
					raw_close(&stage.raw);
				if (hear(&stage) < 0) {
					CHECK(r < 0 || step == RAW_SERVER_READY);
					continue;
				}
				/* No harm done; but a junk verdict on a method is its end. */
				r = serve_add(&stage);
				CHECK(r == 42 || (step == RAW_METHODS_OK && r < 0));
				ask(&stage, 'x');
			}
		check_no_connection(&stage, spoil, &(struct spoiled){.step = step, .longer = 1}, "a longer message",
				    step);
		check_no_connection(&stage, spoil, &(struct spoiled){.step = step, .longer = -1}, "a shorter message",
				    step);
		check_no_connection(&stage, spoil, &(struct spoiled){.step = step, .hang_up = true}, "a hang-up", step);
	}
	stage_end(&stage);
}

static bool omit(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	(void)raw;
	(void)message;
	if (step == *(const enum raw_step *)arg)
		*size = 0;
	return true;
}

TEST(silence_while_connecting)
{
	struct stage stage = stage_begin();

	for (enum raw_step step = RAW_REGION; step <= RAW_SERVER_READY; step++) {
		stage_accept(&stage);
		raw_answer_handshake(&stage.raw, omit, &step);
		CHECK_EQ(hear(&stage), -ETIMEDOUT);
		raw_close(&stage.raw);
	}
	stage_end(&stage);
}

/* ---- calls ----------------------------------------------------------------------------------------------------------
 */

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

/* ---- time -----------------------------------------------------------------------------------------------------------
 */

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

/* ---- heaps ----------------------------------------------------------------------------------------------------------
 */

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

/* ---- everything at once ---------------------------------------------------------------------------------------------
 */

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
