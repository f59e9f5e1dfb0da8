/* Servers that lie in what they give back: results that lie where they may not, lengths that are too large, strings
 * without end, handles that are none. A client that does not trust them gets -EPROTO, or keeps what it had. */
#define TEST_TIMEOUT 300

#include <sys/mman.h>
#include <wchar.h>

#include "../e2e/world.h"
#include "kit.rpc.h"
#include "puppet.h"
#include "raw.h"

/* ---- the client ------------------------------------------------------------------------------------------------- */

static struct vmrpc *conn;

/* Memory that ends where nobody may look. */
static char *fenced(const void *bytes, size_t size)
{
	static char *memory;

	if (!memory) {
		memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(memory != MAP_FAILED);
		CHECK_EQ(mprotect(memory + 4096, 4096, PROT_NONE), 0);
	}
	memcpy(memory + 4096 - size, bytes, size);
	return memory + 4096 - size;
}

#define OLD "0123456789abcdef" /* what is in the client's buffers before */

static int64_t n_changed(const char *out)
{
	int64_t n = 0;

	for (unsigned i = 0; i < 16; i++)
		n += out[i] != OLD[i];
	return n;
}

static int64_t length_of(int r, const char *string)
{
	return r < 0 ? r : string ? (int64_t)strlen(string) : -ENODATA;
}

/* Uses the result as a program would. */
static int64_t do_as_told(char what)
{
	const struct kit_point *origin;
	static const char *constant;
	const wchar_t *wide;
	struct kit_point *point;
	struct kit_stack *stack = NULL;
	struct kit_gauge *gauge;
	char *text = NULL, *out = fenced(OLD, 16);
	unsigned char *bytes;
	const int numbers[] = {1, 2, 3, 4}, *into;
	int *range, number = 0;
	int64_t sum = 0;
	size_t n = 16;
	long got;
	int r;

	switch (what) {
	case 'c':
		return vmrpc_connect(&conn, &kit_service, "local:liar?timeout=10s&trust=no&map=any");
	case 'C':
		vmrpc_close(conn);
		return vmrpc_connect(&conn, &kit_service, "local:liar?timeout=10s&trust=yes&map=any");
	case 'j':
		r = kit_join_rpc(conn, "hello", "x", &text);
		sum = length_of(r, text);
		free(text);
		return sum;
	case 'n':
		r = kit_color_name_rpc(conn, KIT_RED, &constant);
		return length_of(r, constant);
	case 'q': /* the last constant, once more */
		return (int64_t)strlen(constant);
	case 'w':
		r = kit_wide_name_rpc(conn, KIT_RED, &wide);
		return r < 0 ? r : (int64_t)wcslen(wide);
	case 'd':
		r = kit_describe_rpc(conn, 1, &constant);
		return length_of(r, constant);
	case 'o':
		r = kit_origin_rpc(conn, &origin);
		return r < 0 ? r : (int64_t)(origin->x + origin->y);
	case 'p':
		r = kit_shared_point_rpc(conn, 1, 2, &point);
		return r < 0 ? r : (int64_t)(point->x + point->y);
	case 'r':
		r = kit_range_rpc(conn, 4, &range);
		for (int i = 0; i < 4 && r == 0; i++)
			sum += range[i];
		return r < 0 ? r : sum;
	case 'b':
		r = kit_bytes_rpc(conn, &n, &bytes);
		for (size_t i = 0; r == 0 && bytes && i < n; i++)
			sum += bytes[i];
		if (r == 0)
			free(bytes);
		return r < 0 ? r : sum;
	case 'f':
		r = kit_find_rpc(conn, out = fenced("hello", 6), 'l', &text);
		return r < 0 ? r : text - out;
	case 'a':
		r = kit_address_rpc(conn, numbers, 4, 1, &into);
		return r < 0 ? r : into - numbers;
	case 's':
		r = kit_stack_new_rpc(conn, "s", &stack);
		return r;
	case 'O':
		r = kit_stack_open_rpc(conn, &stack, 1, &number);
		return r;
	case 'g':
		r = kit_gauge_new_rpc(conn, 1, &gauge);
		if (r == 0)
			gauge->value = 1;
		return r;
	case 'k':
		r = kit_pack_rpc(conn, (unsigned char *)out, &n, (const unsigned char *)"aa", 2, &number);
		return r < 0 ? r : n_changed(out);
	case 'R':
		r = kit_read_rpc(conn, out, 16, 1, &got);
		return r < 0 ? r : n_changed(out);
	case 'P':
		r = kit_primes_rpc(conn, (int *)(void *)out, 4, &number);
		return r < 0 ? r : n_changed(out);
	case 'G':
		r = kit_greet_rpc(conn, "x", out, 16);
		return length_of(r, out);
	case 'S':
		r = kit_shout_rpc(conn, out = fenced("hello", 6));
		return length_of(r, out);
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

	(void)address;
	while (what != 'e') {
		int64_t result;

		CHECK_EQ(recv(fd, &what, 1, 0), 1);
		result = do_as_told(what);
		if (result == -EPROTO)
			CHECK(strstr(vmrpc_error_message(), "the peer gave"));
		puppet_answer(fd, result);
	}
	_exit(0);
}

/* ---- the liar -----------------------------------------------------------------------------------------------------
 */

struct stage {
	int listener;
	struct puppet client;
	struct raw raw;
	const struct vmrpc_method *method; /* that the client called last */
	_Alignas(8) unsigned char frame[VMRPC__CELL_WORDS * 8];
};

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
	if (recv(stage->client.fd, &result, sizeof result, 0) != sizeof result)
		TEST_FAIL("the client died of a result of %s", stage->method ? stage->method->name : "none");
	return result;
}

static void let_connect(struct stage *stage, char what)
{
	raw_close(&stage->raw);
	tell(stage, what);
	CHECK_EQ(raw_accept(&stage->raw, stage->listener), 0);
	CHECK_EQ(raw_answer_handshake(&stage->raw, NULL, NULL), 0);
	CHECK_EQ(hear(stage), 0);
}

static struct stage stage_begin(void)
{
	struct stage stage = {0};

	world_begin();
	stage.listener = raw_listen("liar");
	CHECK(stage.listener >= 0);
	stage.client = puppet_start(be_client, "");
	raw_init(&stage.raw);
	let_connect(&stage, 'c');
	return stage;
}

static void stage_end(struct stage *stage)
{
	char path[128];

	raw_close(&stage->raw);
	puppet_end(&stage->client);
	close(stage->listener);
	raw_path(path, sizeof path, "liar");
	unlink(path);
	world_end();
}

static void *field_at(struct stage *stage, const char *name)
{
	for (uint32_t i = 0; i < stage->method->frame->n_fields; i++)
		if (strcmp(stage->method->frame->fields[i].name, name) == 0)
			return stage->frame + stage->method->frame->fields[i].offset;
	TEST_FAIL("%s has no %s", stage->method->name, name);
}

static uint64_t word_of(struct stage *stage, const char *name)
{
	uint64_t word;

	memcpy(&word, field_at(stage, name), 8);
	return word;
}

/* As the client sees it. */
static uint64_t word_at(const struct stage *stage, uint64_t offset)
{
	return stage->raw.address + offset;
}

/* What an argument points to. */
static unsigned char *pointed(struct stage *stage, const char *name)
{
	return stage->raw.base + (word_of(stage, name) - stage->raw.address);
}

/* The client calls. */
static void take_call(struct stage *stage, char what)
{
	struct vmrpc__cell *cell = &raw_block(&stage->raw, 0)->cell;
	uint32_t head;

	tell(stage, what);
	CHECK_EQ(raw_await(&stage->raw, 0, &head, RAW_PATIENCE_MS), 0);
	CHECK_EQ(head >> 16 & (VMRPC__KIND | VMRPC__SPILLED), VMRPC__CALL);
	stage->method = &kit_service.methods[head & 0xffff];
	for (unsigned i = 0; i < VMRPC__CELL_WORDS; i++) {
		const uint64_t word = atomic_load(&cell->words[i]);

		memcpy(stage->frame + 8 * i, &word, 8);
	}
}

static int64_t answer(struct stage *stage, uint64_t result)
{
	uint64_t words[VMRPC__CELL_WORDS];

	if (stage->method->n_params < stage->method->frame->n_fields) {
		const struct vmrpc_field *field = &stage->method->frame->fields[stage->method->n_params];

		memcpy(stage->frame + field->offset, &result,
		       field->pass || field->type->size > 8 ? 8 : field->type->size);
	}
	memcpy(words, stage->frame, sizeof words);
	raw_publish(&stage->raw, 0, RAW_HEAD(VMRPC__REPLY, 0), words);
	return hear(stage);
}

#define ANSWERED(stage, what, result, expected)                                                     \
	do {                                                                                        \
		int64_t test_heard;                                                                 \
                                                                                                    \
		take_call(stage, what);                                                             \
		test_heard = answer(stage, result);                                                 \
		if (test_heard != (expected))                                                       \
			TEST_FAIL("%s with 0x%" PRIx64 " comes to %" PRId64, (stage)->method->name, \
				  (uint64_t)(result), test_heard);                                  \
	} while (0)

static uint64_t heap_of(const struct stage *stage)
{
	return stage->raw.layout.server_heap.offset;
}

#define COPIED (UINT64_C(1) << 63)

/* A copy there, saying this size. */
static uint64_t copy_at(struct stage *stage, uint64_t offset, uint64_t size, const void *bytes, size_t n)
{
	const uint64_t head[] = {size, 42};

	memcpy(stage->raw.base + offset, head, sizeof head);
	memcpy(stage->raw.base + offset + sizeof head, bytes, n);
	return COPIED | offset;
}

TEST(true_results)
{
	struct stage stage = stage_begin();
	const struct kit_point point = {3, 4};
	const uint64_t heap = heap_of(&stage);

	ANSWERED(&stage, 'j', copy_at(&stage, heap, 6, "hello", 6), 5);
	ANSWERED(&stage, 'n', copy_at(&stage, heap, 6, "hello", 6), 5);
	ANSWERED(&stage, 'd', copy_at(&stage, heap, 1, "", 1), 0);
	ANSWERED(&stage, 'j', 0, -ENODATA);
	ANSWERED(&stage, 'o', copy_at(&stage, heap, sizeof point, &point, sizeof point), 7);
	memcpy(stage.raw.base + heap, &point, sizeof point);
	ANSWERED(&stage, 'p', word_at(&stage, heap), 7);
	ANSWERED(&stage, 'o', word_at(&stage, heap), 7);
	memcpy(stage.raw.base + heap, (int[]){1, 2, 3, 4}, 16);
	ANSWERED(&stage, 'r', word_at(&stage, heap), 10);
	memcpy(stage.raw.base + stage.raw.size - 6, "world", 6);
	ANSWERED(&stage, 'j', word_at(&stage, stage.raw.size - 6), 5);
	ANSWERED(&stage, 'n', word_at(&stage, stage.raw.size - 6), 5);
	take_call(&stage, 'b');
	memcpy(pointed(&stage, "n"), (uint64_t[]){3}, 8);
	CHECK_EQ(answer(&stage, copy_at(&stage, heap, 3, "\1\2\3", 3)), 6);
	take_call(&stage, 'f');
	CHECK_EQ(answer(&stage, word_of(&stage, "text") + 2), 2);
	take_call(&stage, 'f');
	CHECK_EQ(answer(&stage, word_of(&stage, "text") + 6), 6); /* right behind */
	take_call(&stage, 'a');
	CHECK_EQ(answer(&stage, word_of(&stage, "a") + 4), 1);
	ANSWERED(&stage, 's', UINT64_C(1) << 62 | 0x10, 0);
	ANSWERED(&stage, 'g', UINT64_C(1) << 62 | 0x10, 0);
	take_call(&stage, 'k');
	memcpy(pointed(&stage, "out_size"), (uint64_t[]){2}, 8);
	memcpy(pointed(&stage, "out"), "XY", 2);
	CHECK_EQ(answer(&stage, 0), 2);
	stage_end(&stage);
}

static const char pointers[] = "jndoprbfa"; /* calls whose results are pointers */

TEST(results_where_none_may_lie)
{
	struct stage stage = stage_begin();
	const struct vmrpc__control *layout = &stage.raw.layout;
	const uint64_t spill = (uint64_t)(raw_block(&stage.raw, 0)->client_spill - stage.raw.base);
	const uint64_t offsets[] = {
		0,
		8,
		VMRPC__PAGE - 8,
		layout->doorplates,
		layout->channels,
		layout->channels + VMRPC__PAGE,
		spill - 8,
		spill + 2 * VMRPC__SPILL_SIZE,
		layout->posts_to_server,
		layout->posts_to_client,
		layout->stacks,
		layout->stacks + VMRPC__PAGE - 8,
		layout->stacks + VMRPC__PAGE + layout->stack_size,
		layout->client_heap.offset - layout->stack_size - 8,
		stage.raw.size,
		stage.raw.size + 8,
		stage.raw.reserved - 8,
		stage.raw.reserved,
		UINT64_C(1) << 47,
		UINT64_MAX - 7,
		-stage.raw.address + 8, /* its null page */
		-stage.raw.address + 4096,
	};
	const uint64_t copies[] = {
		1,
		heap_of(&stage) + 8, /* misaligned */
		heap_of(&stage) + 1,
		stage.raw.size - 8, /* not even its size is there */
		stage.raw.size - 1,
		INT64_MAX,
		INT64_MAX - 15,
		UINT64_C(1) << 62,
	};

	for (const char *what = pointers; *what; what++) {
		for (unsigned i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
			if (!((stage.raw.address + offsets[i]) >> 63))
				ANSWERED(&stage, *what, word_at(&stage, offsets[i]), -EPROTO);
			ANSWERED(&stage, *what, COPIED | offsets[i], -EPROTO);
		}
		for (unsigned i = 0; i < sizeof copies / sizeof copies[0]; i++)
			ANSWERED(&stage, *what, COPIED | copies[i], -EPROTO);
	}
	stage_end(&stage);
}

/* Even one who trusts looks where they lie. */
TEST(results_for_a_client_that_trusts)
{
	struct stage stage = stage_begin();

	let_connect(&stage, 'C');
	for (const char *what = "jndopr"; *what; what++) {
		ANSWERED(&stage, *what, word_at(&stage, 0), -EPROTO);
		ANSWERED(&stage, *what, word_at(&stage, stage.raw.layout.doorplates), -EPROTO);
		ANSWERED(&stage, *what, word_at(&stage, stage.raw.size), -EPROTO);
		ANSWERED(&stage, *what, COPIED | stage.raw.size, -EPROTO);
		ANSWERED(&stage, *what, 8, -EPROTO);
	}
	stage_end(&stage);
}

TEST(results_that_do_not_fit)
{
	struct stage stage = stage_begin();
	const uint64_t heap = heap_of(&stage), size = stage.raw.size, room = size - heap - 16;
	const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 15, INT64_MAX, UINT64_C(1) << 40, room + 1, 0};

	memset(stage.raw.base + size - 64, 'x', 64);
	for (const char *what = "jnd"; *what; what++) {
		for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
			ANSWERED(&stage, *what, copy_at(&stage, heap, sizes[i], "hello", 6), -EPROTO);
		ANSWERED(&stage, *what, word_at(&stage, size - 64), -EPROTO); /* no end */
		/* A copy that has none is given one. */
		ANSWERED(&stage, *what, copy_at(&stage, size - 64, 48, "", 0), 47);
		memset(stage.raw.base + size - 64, 'x', 64);
	}
	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		ANSWERED(&stage, 'o', copy_at(&stage, heap, sizes[i], "", 1), -EPROTO);
	ANSWERED(&stage, 'o', copy_at(&stage, heap, 15, "", 1), -EPROTO);
	ANSWERED(&stage, 'o', copy_at(&stage, heap, 17, "", 1), -EPROTO);
	ANSWERED(&stage, 'o', word_at(&stage, size - 8), -EPROTO);
	ANSWERED(&stage, 'o', word_at(&stage, heap + 4), -EPROTO); /* misaligned */
	ANSWERED(&stage, 'p', word_at(&stage, size - 8), -EPROTO);
	ANSWERED(&stage, 'p', word_at(&stage, heap + 4), -EPROTO);
	ANSWERED(&stage, 'p', copy_at(&stage, heap, 16, OLD, 16), -EPROTO); /* vmrpc_free() could not free that */
	ANSWERED(&stage, 'r', word_at(&stage, size - 12), -EPROTO);
	ANSWERED(&stage, 'r', word_at(&stage, heap + 2), -EPROTO);
	/* What is to stay does not lie where the server can change it. */
	for (const char *what = "nd"; *what; what++) {
		memcpy(stage.raw.base + size - 6, "world", 6);
		ANSWERED(&stage, *what, word_at(&stage, size - 6), 5);
		memset(stage.raw.base + size - 6, 'x', 6);
		tell(&stage, 'q');
		CHECK_EQ(hear(&stage), 5);
	}
	/* Half an element. */
	memcpy(stage.raw.base + heap + 16, L"abc", 16);
	ANSWERED(&stage, 'w', copy_at(&stage, heap, 16, L"abc", 16), 3);
	ANSWERED(&stage, 'w', copy_at(&stage, heap, 15, L"abc", 16), -EPROTO);
	ANSWERED(&stage, 'w', copy_at(&stage, heap, 3, L"", 4), -EPROTO);
	ANSWERED(&stage, 'w', word_at(&stage, heap + 18), -EPROTO);
	/* Lengths that results have by what else came back. */
	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		take_call(&stage, 'b');
		memcpy(pointed(&stage, "n"), &sizes[i], 8);
		CHECK_EQ(answer(&stage, copy_at(&stage, heap, 6, "hello", 6)), -EPROTO);
		take_call(&stage, 'b');
		memcpy(pointed(&stage, "n"), &sizes[i], 8);
		if (sizes[i] && sizes[i] != room + 1)
			CHECK_EQ(answer(&stage, word_at(&stage, heap)), -EPROTO);
		else
			answer(&stage, 0);
	}
	stage_end(&stage);
}

TEST(results_in_the_wrong_argument)
{
	struct stage stage = stage_begin();
	const uint64_t heap = heap_of(&stage);
	static const int64_t away[] = {-1, -8, 7, 100, 4096};

	for (unsigned i = 0; i < sizeof away / sizeof away[0]; i++) {
		take_call(&stage, 'f');
		CHECK_EQ(answer(&stage, word_of(&stage, "text") + (uint64_t)away[i]), -EPROTO);
	}
	take_call(&stage, 'a');
	CHECK_EQ(answer(&stage, word_of(&stage, "a") + 17), -EPROTO);
	ANSWERED(&stage, 'f', word_at(&stage, heap), -EPROTO);
	ANSWERED(&stage, 'a', word_at(&stage, heap), -EPROTO);
	ANSWERED(&stage, 'f', copy_at(&stage, heap, 6, "hello", 6), -EPROTO);
	ANSWERED(&stage, 'a', copy_at(&stage, heap, 0, "", 1), -EPROTO);
	/* The program would free its own argument, or read on behind it. */
	take_call(&stage, 'j');
	CHECK_EQ(answer(&stage, word_of(&stage, "a")), -EPROTO);
	take_call(&stage, 'j');
	CHECK_EQ(answer(&stage, word_of(&stage, "a") + 6), -EPROTO);
	take_call(&stage, 'b');
	CHECK_EQ(answer(&stage, word_of(&stage, "n")), -EPROTO);
	stage_end(&stage);
}

TEST(handles_that_are_none)
{
	static const uint64_t wild[] = {1, 16, 4096, UINT64_MAX, UINT64_C(1) << 63, UINT64_C(3) << 62, INT64_MAX >> 1};
	struct stage stage = stage_begin();

	for (unsigned i = 0; i < sizeof wild / sizeof wild[0]; i++) {
		ANSWERED(&stage, 's', wild[i], -EPROTO);
		ANSWERED(&stage, 'g', wild[i], -EPROTO);
		take_call(&stage, 'O');
		memcpy(pointed(&stage, "ret_stack"), &wild[i], 8);
		CHECK_EQ(answer(&stage, 0), -EPROTO);
	}
	ANSWERED(&stage, 's', word_at(&stage, heap_of(&stage)), -EPROTO);
	stage_end(&stage);
}

TEST(lengths_beyond_the_room)
{
	static const uint64_t wild[] = {17, 4096, UINT64_MAX, UINT64_C(1) << 63, INT64_MAX, UINT64_C(1) << 62};
	struct stage stage = stage_begin();

	for (unsigned i = 0; i < sizeof wild / sizeof wild[0]; i++) {
		take_call(&stage, 'k');
		memset(pointed(&stage, "out"), 'X', 16);
		memcpy(pointed(&stage, "out_size"), &wild[i], 8);
		CHECK_EQ(answer(&stage, 0), 0); /* nothing has changed */
		take_call(&stage, 'R');
		memset(pointed(&stage, "out"), 'X', 16);
		CHECK_EQ(answer(&stage, wild[i]), 0);
		take_call(&stage, 'P');
		memset(pointed(&stage, "out"), 'X', 16);
		CHECK_EQ(answer(&stage, i % 2 ? (uint64_t)INT32_MIN + i : 5 + i), 0);
	}
	take_call(&stage, 'P');
	memset(pointed(&stage, "out"), 'X', 16);
	CHECK_EQ(answer(&stage, 4), 16);
	/* Strings end, whatever comes. */
	take_call(&stage, 'G');
	memset(pointed(&stage, "out"), 'X', 16);
	CHECK_EQ(answer(&stage, 0), 15);
	take_call(&stage, 'S');
	memset(pointed(&stage, "s"), 'X', 6);
	CHECK_EQ(answer(&stage, 0), 5);
	stage_end(&stage);
}

/* ---- while it looks ------------------------------------------------------------------------------------------------
 */

struct racer {
	unsigned char *at;
	uint64_t offset; /* of a copy in there */
	_Atomic bool stop;
};

/* Sizes and terminators come and go. */
static void *race(void *arg)
{
	struct racer *racer = arg;
	_Atomic uint64_t *size = (_Atomic uint64_t *)(void *)racer->at;

	for (unsigned i = 0; !atomic_load(&racer->stop); i++) {
		atomic_store(size, i % 3 ? 32 : i % 2 ? UINT64_MAX : UINT64_C(1) << 30);
		racer->at[16 + 31] = i % 5 ? 0 : 'x';
		racer->at[16 + 15] = i % 2 ? 0 : 'x';
	}
	return NULL;
}

TEST(copies_that_change)
{
	struct stage stage = stage_begin();
	const uint64_t offset = stage.raw.size - 48;
	struct racer racer = {.at = stage.raw.base + offset};
	pthread_t thread;

	memset(racer.at + 16, 'x', 32);
	CHECK_EQ(pthread_create(&thread, NULL, race, &racer), 0);
	for (unsigned i = 0; i < world_scaled(6000); i++) {
		int64_t r;

		take_call(&stage, "jnd"[i % 3]);
		r = answer(&stage, i % 2 ? COPIED | offset : word_at(&stage, offset + 16));
		if (r != -EPROTO && (r < 0 || r > 31))
			TEST_FAIL("%s comes to %" PRId64, stage.method->name, r);
	}
	atomic_store(&racer.stop, true);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	stage_end(&stage);
}

TEST_MAIN()
