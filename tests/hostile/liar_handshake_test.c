/* Servers that lie, stop and fall silent while a client connects. */
#define TEST_TIMEOUT 300

#include <fcntl.h>
#include <sys/mman.h>

#include "stage.h"

enum offered {
	FD_NONE,
	FD_SEALLESS,
	FD_SHORT,
	FD_EMPTY,
	FD_EMPTY_AS_SAID,
	FD_READ_ONLY,
	FD_NO_MEMORY, /* an ordinary file's */
	FD_PIPE,
	FD_FOLDER,
	FD_ZEROS, /* a device */
	FD_WRITE_SEALED,
	FD_FUTURE_WRITE_SEALED,
	N_FDS,
};

static bool offer_wrong_memory(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	char path[64];
	int fds[2], fd = -1;

	(void)size;
	if (step != RAW_REGION)
		return true;
	switch (*(const enum offered *)arg) {
	case FD_NONE:
		break;
	case FD_SEALLESS:
	case FD_SHORT:
	case FD_EMPTY:
	case FD_EMPTY_AS_SAID:
		fd = memfd_create("liar", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (*(const enum offered *)arg == FD_EMPTY_AS_SAID)
			message->region.size = 0;
		else if (*(const enum offered *)arg != FD_EMPTY)
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
	case FD_FOLDER:
		fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		break;
	case FD_ZEROS:
		fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
		break;
	case FD_WRITE_SEALED:
	case FD_FUTURE_WRITE_SEALED:
		fd = memfd_create("liar", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		CHECK_EQ(ftruncate(fd, (off_t)raw->size), 0);
		CHECK_EQ(pwrite(fd, raw->base, VMRPC__PAGE, 0), VMRPC__PAGE);
		CHECK_EQ(fcntl(fd, F_ADD_SEALS,
			       F_SEAL_SHRINK | (*(const enum offered *)arg == FD_WRITE_SEALED ? F_SEAL_WRITE
											      : F_SEAL_FUTURE_WRITE)),
			 0);
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

/* Refuses, at some moment, with junk for words and for an error. */
struct refusal {
	enum raw_step step;
	uint32_t error;
};

static bool refuse(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	const struct refusal *refusal = arg;

	(void)raw;
	if (step != refusal->step)
		return true;
	message->ready.kind = VMRPC__REFUSED;
	message->ready.error = refusal->error;
	for (unsigned i = 0; i < sizeof message->ready.text; i++)
		message->ready.text[i] = (char)(i % 255 + 1); /* with an escape in it, and no end */
	*size = sizeof message->ready;
	return true;
}

TEST(refusals_of_junk)
{
	static const uint32_t errors[] = {0, EACCES, 4095, 4096, 0x80000000, UINT32_MAX};
	struct stage stage = stage_begin();

	for (enum raw_step step = RAW_REGION; step <= RAW_SERVER_READY; step++)
		for (unsigned i = 0; i < sizeof errors / sizeof errors[0]; i++) {
			struct refusal refusal = {step, errors[i]};

			stage_accept(&stage);
			raw_answer_handshake(&stage.raw, refuse, &refusal);
			raw_close(&stage.raw);
			CHECK_EQ(hear(&stage), errors[i] > 0 && errors[i] < 4096 ? -(int64_t)errors[i] : -EPROTO);
		}
	stage_end(&stage);
}

/* Never content with where the client has the region; the places it names are wild. */
static bool move_on_and_on(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	const uint64_t here =
		(uintptr_t)&move_on_and_on / VMRPC__PAGE * VMRPC__PAGE; /* at the client too: it was forked */
	const uint64_t wild[] = {0,
				 1,
				 VMRPC__PAGE,
				 UINT64_C(0x10000), /* the lowest there is */
				 UINT64_C(1) << 31, /* half a pointer leads there */
				 UINT64_C(1) << 32,
				 here,
				 here + 1,
				 (uintptr_t)&wild / VMRPC__PAGE * VMRPC__PAGE, /* a stack */
				 UINT64_C(0x7ffffffff000),
				 UINT64_C(0xffff800000000000),
				 UINT64_MAX,
				 UINT64_MAX - VMRPC__PAGE + 1,
				 UINT64_C(0x4fffffffe000)}; /* the end of a good range */
	const unsigned n_wild = sizeof wild / sizeof wild[0];
	unsigned *next = arg;

	if (step != RAW_PLACE)
		return true;
	for (unsigned rounds = 0;; rounds++) {
		union raw_message placed;
		int received;

		CHECK(rounds < 100);
		message->region.flags = 0;
		message->region.address = wild[(*next)++ % n_wild];
		raw_send(raw, message, *size);
		received = raw_recv(raw, &placed, sizeof placed, RAW_PATIENCE_MS);
		CHECK(received >= 0);
		if (received == 0)
			return false; /* the client has had enough */
		CHECK_EQ(placed.kind, VMRPC__PLACED);
		CHECK(placed.region.address >= UINT64_C(1) << 32);
	}
}

TEST(places_without_end)
{
	struct stage stage = stage_begin();

	for (int trusting = 0; trusting < 2; trusting++) {
		unsigned next = 0;

		stage_trust(&stage, trusting);
		for (unsigned i = 0; i < 14; i++) {
			next = i;
			stage_accept(&stage);
			CHECK_EQ(raw_answer_handshake(&stage.raw, move_on_and_on, &next), -EPIPE);
			raw_close(&stage.raw);
			CHECK_EQ(hear(&stage), -EPROTO);
		}
		stage_connect(&stage);
		CHECK_EQ(serve_add(&stage), 42);
	}
	stage_end(&stage);
}

/* Descriptors that nobody asked for. */
static bool add_descriptors(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	(void)arg;
	raw_send_descriptors(raw, message, *size, step == RAW_REGION ? raw->memory : -1);
	*size = 0;
	return true;
}

static bool add_a_byte(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	(void)message;
	(void)size;
	if (step == *(const enum raw_step *)arg)
		raw_send_descriptors(raw, "", 1, raw->memory);
	return true;
}

TEST(descriptors_in_plenty)
{
	struct stage stage = stage_begin();
	int64_t n_fds;

	stage_connect(&stage);
	n_fds = ask(&stage, 'f');
	for (unsigned i = 0; i < 3; i++) {
		ask(&stage, 'x');
		stage_accept(&stage);
		CHECK_EQ(raw_answer_handshake(&stage.raw, add_descriptors, NULL), 0);
		CHECK_EQ(hear(&stage), 0);
		for (unsigned k = 0; k < 200; k++) /* the socket is for rings now */
			raw_send_descriptors(&stage.raw, "junk", 4, -1);
		CHECK_EQ(serve_add(&stage), 42);
		CHECK_EQ(ask(&stage, 'f'), n_fds);
	}
	ask(&stage, 'x');
	for (enum raw_step step = RAW_REGION; step <= RAW_SERVER_READY; step++)
		check_no_connection(&stage, add_a_byte, &step, "a byte with descriptors before message", step);
	stage_connect(&stage);
	CHECK_EQ(ask(&stage, 'f'), n_fds);
	stage_end(&stage);
}

TEST_MAIN()
