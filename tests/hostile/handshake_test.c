/* Clients that lie, stop and flood while they connect. */
#define TEST_TIMEOUT 300

#include "scene.h"

#define WILD 4 /* values tried in each word */

struct lie {
	enum raw_step step;
	void (*tell)(union raw_message *message, size_t *size);
	int error; /* what it must be refused with */
};

static void lie_magic(union raw_message *m, size_t *size)
{
	(void)size;
	m->hello.magic++;
}

static void lie_protocol(union raw_message *m, size_t *size)
{
	(void)size;
	m->hello.protocol = 99;
}

static void lie_major(union raw_message *m, size_t *size)
{
	(void)size;
	m->hello.major++;
}

static void lie_service(union raw_message *m, size_t *size)
{
	(void)size;
	memset(m->hello.service, 'x', sizeof m->hello.service); /* and no end */
}

static void lie_n_methods(union raw_message *m, size_t *size)
{
	(void)size;
	m->hello.n_methods = UINT32_MAX;
}

static void lie_n_callbacks(union raw_message *m, size_t *size)
{
	(void)size;
	m->hello.n_callbacks = 0x80000000;
}

static void lie_channels(union raw_message *m, size_t *size)
{
	(void)size;
	m->hello.n_channels = UINT32_MAX;
}

static void lie_heap(union raw_message *m, size_t *size)
{
	(void)size;
	m->hello.heap_size = UINT64_MAX;
}

static void lie_heap_almost(union raw_message *m, size_t *size)
{
	(void)size;
	m->hello.heap_size = (UINT64_C(64) << 30) + 1;
}

static void lie_stack(union raw_message *m, size_t *size)
{
	(void)size;
	m->hello.stack_size = UINT64_MAX - 1;
}

static void lie_stack_small(union raw_message *m, size_t *size)
{
	(void)size;
	m->hello.stack_size = 1;
}

static void lie_fewer_methods(union raw_message *m, size_t *size) /* than will be offered */
{
	(void)size;
	m->hello.n_methods--;
}

static void lie_short(union raw_message *m, size_t *size)
{
	(void)m;
	*size -= 1;
}

static void lie_long(union raw_message *m, size_t *size)
{
	(void)m;
	*size += 1;
}

static void lie_longest(union raw_message *m, size_t *size)
{
	(void)m;
	*size = sizeof *m;
}

static void lie_one_byte(union raw_message *m, size_t *size)
{
	(void)m;
	*size = 1;
}

static void lie_kind(union raw_message *m, size_t *size)
{
	(void)size;
	m->kind = 77;
}

static void lie_kind_of_server(union raw_message *m, size_t *size)
{
	(void)size;
	m->kind++; /* each kind of the client's is followed by one of the server's */
}

static void lie_first(union raw_message *m, size_t *size)
{
	(void)size;
	m->methods.first = UINT32_MAX;
}

static void lie_none(union raw_message *m, size_t *size)
{
	(void)size;
	m->methods.n = 0;
}

static void lie_n_wild(union raw_message *m, size_t *size)
{
	(void)size;
	m->methods.n = UINT32_MAX;
}

static void lie_n_more(union raw_message *m, size_t *size)
{
	(void)size;
	m->methods.n++;
}

static void lie_flags(union raw_message *m, size_t *size)
{
	(void)size;
	m->methods.flags ^= VMRPC__HELLO_CALLBACKS;
}

static const struct lie lies[] = {
	{RAW_HELLO, lie_magic, EPROTONOSUPPORT}, {RAW_HELLO, lie_protocol, EPROTONOSUPPORT},
	{RAW_HELLO, lie_major, EPROTONOSUPPORT}, {RAW_HELLO, lie_service, ENOENT},
	{RAW_HELLO, lie_n_methods, EPROTO},	 {RAW_HELLO, lie_n_callbacks, EPROTO},
	{RAW_HELLO, lie_channels, EMSGSIZE},	 {RAW_HELLO, lie_heap, EMSGSIZE},
	{RAW_HELLO, lie_heap_almost, EMSGSIZE},	 {RAW_HELLO, lie_stack, EMSGSIZE},
	{RAW_HELLO, lie_stack_small, EINVAL},	 {RAW_HELLO, lie_fewer_methods, EPROTO},
	{RAW_METHODS, lie_first, EPROTO},	 {RAW_METHODS, lie_none, EPROTO},
	{RAW_METHODS, lie_n_wild, EPROTO},	 {RAW_METHODS, lie_n_more, EPROTO},
	{RAW_METHODS, lie_flags, EPROTO},	 {RAW_CALLBACKS, lie_first, EPROTO},
	{RAW_CALLBACKS, lie_none, EPROTO},	 {RAW_CALLBACKS, lie_n_more, EPROTO},
	{RAW_CALLBACKS, lie_flags, EPROTO},
};

/* These can be told in each message. */
static const struct lie forms[] = {
	{0, lie_short, EPROTO},	   {0, lie_long, EPROTO}, {0, lie_longest, EPROTO},
	{0, lie_one_byte, EPROTO}, {0, lie_kind, EPROTO}, {0, lie_kind_of_server, EPROTO},
};

static bool tell(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	const struct lie *lie = arg;

	(void)raw;
	if (step == lie->step)
		lie->tell(message, size);
	return true;
}

static void check_refused(const struct lie *lie, size_t number)
{
	struct raw raw;
	int r = raw_open(&raw, "lab", tell, (void *)(uintptr_t)lie);

	if (r != -lie->error)
		TEST_FAIL("lie %zu in message %d is met with %d (%s), not %d", number, lie->step, r, raw.refusal,
			  -lie->error);
	CHECK(raw.refusal[0]); /* in words */
	CHECK(raw_is_hung_up(&raw, RAW_PATIENCE_MS));
	raw_close(&raw);
}

TEST(lies_are_refused_in_words)
{
	struct scene scene = scene_begin("");

	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++)
		check_refused(&lies[i], i);
	for (enum raw_step step = RAW_HELLO; step <= RAW_READY; step++)
		for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
			check_refused(&(struct lie){step, forms[i].tell, forms[i].error}, i);
	scene_end(&scene);
}

/* One word of one message. */
struct wild {
	enum raw_step step;
	unsigned word, value;
};

static bool tell_wild(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	static const uint32_t values[WILD] = {0, 1, 0x7fffffff, UINT32_MAX};
	const struct wild *wild = arg;

	(void)raw;
	(void)size;
	if (step == wild->step)
		message->words[wild->word] = values[wild->value];
	return true;
}

TEST(wild_words_do_no_harm)
{
	static const struct {
		enum raw_step step;
		unsigned words;
	} messages[] = {
		{RAW_HELLO, sizeof(struct vmrpc__hello) / 4},
		{RAW_PLACED, 10},
		{RAW_METHODS, 12},
		{RAW_CALLBACKS, 12},
		{RAW_READY, 3},
	};
	struct scene scene = scene_begin("");

	for (unsigned i = 0; i < sizeof messages / sizeof messages[0]; i++)
		for (unsigned word = 0; word < messages[i].words; word++)
			for (unsigned value = 0; value < WILD; value++) {
				struct wild wild = {messages[i].step, word, value};
				uint64_t words[VMRPC__CELL_WORDS] = {20, 22};
				struct raw raw;

				if (raw_open(&raw, "lab", tell_wild, &wild) == 0) { /* it is harmless, then */
					raw_open_channel(&raw, 0);
					if (wild.step == RAW_PLACED || wild.step == RAW_READY) {
						CHECK_EQ(raw_call(&raw, 0, VMRPC__CALL, LAB_ADD, words, NULL), 0);
						CHECK_EQ(words[2], 42);
					}
				}
				raw_close(&raw);
			}
	scene_end(&scene);
}

/* Where the client says the region could lie. */
static bool tell_place(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	(void)raw;
	(void)size;
	if (step == RAW_HELLO)
		message->hello.flags &= ~(uint32_t)VMRPC__HELLO_MAP_ANY;
	if (step == RAW_PLACED)
		message->region.address = *(const uint64_t *)arg;
	return true;
}

/* The lowest address of the server's stack, or of its executable: both are taken. */
static uint64_t address_in_server(const struct scene *scene, const char *what)
{
	FILE *file = process_open(scene->server.pid, "maps");
	unsigned long address = 0;
	char line[512];

	CHECK(file);
	while (!address && fgets(line, sizeof line, file))
		if (strstr(line, what))
			CHECK_EQ(sscanf(line, "%lx", &address), 1);
	fclose(file);
	CHECK(address);
	return address;
}

TEST(places_named_by_a_client)
{
	struct scene scene = scene_begin("&trust=no");
	const uint64_t stack = address_in_server(&scene, "[stack]");
	const uint64_t places[] = {
		1,				    /* misaligned */
		VMRPC__PAGE,			    /* where null pointers lead */
		1 << 16,			    /* the lowest a process may usually map */
		stack,				    /* taken */
		stack - (UINT64_C(32) << 30),	    /* in the way of the stack's growth */
		address_in_server(&scene, "_test"), /* taken by the program */
		UINT64_C(0x7ffffffff000),	    /* the end of user space */
		UINT64_C(0xffff800000000000),	    /* the kernel's */
		UINT64_MAX - VMRPC__PAGE + 1,	    /* wraps */
		UINT64_MAX,
	};

	for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
		uint64_t words[VMRPC__CELL_WORDS] = {20, 22}, place = places[i];
		struct raw raw;

		CHECK_EQ(raw_open(&raw, "lab", tell_place, &place), 0);
		if (raw.address == place)
			TEST_FAIL("the server put the region at %" PRIx64 " because a client said so", place);
		raw_open_channel(&raw, 0);
		CHECK_EQ(raw_call(&raw, 0, VMRPC__CALL, LAB_ADD, words, NULL), 0);
		CHECK_EQ(words[2], 42);
		raw_close(&raw);
	}
	scene_end(&scene);
}

/* Hangs up instead of sending one of the messages, or falls silent there. */
static bool end_at(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	(void)raw;
	(void)message;
	(void)size;
	return step != *(const enum raw_step *)arg;
}

TEST(hanging_up_at_each_step)
{
	struct scene scene = scene_begin("");

	for (unsigned i = 0; i < world_scaled(200); i++) {
		enum raw_step step = (enum raw_step)(i % (RAW_READY + 1));
		struct raw raw;

		CHECK_EQ(raw_open(&raw, "lab", end_at, &step), -EPIPE);
		raw_close(&raw);
	}
	scene_end(&scene);
}

#define N_SILENT 200 /* more than a server hears at a time */

/* Clients that stop half-way keep nobody waiting, however many they are, and are not heard for ever. */
TEST(silence_keeps_nobody_waiting)
{
	struct scene scene = scene_begin("");
	static struct raw silent[N_SILENT];
	int64_t start = world_ms(), connected;

	for (unsigned i = 0; i < N_SILENT; i++)
		CHECK_EQ(raw_connect(&silent[i], "lab"), 0);
	scene_check(&scene);
	connected = world_ms() - start;
	if (connected > 5000)
		TEST_FAIL("a good client had to wait for %" PRId64 " ms", connected);
	for (unsigned i = 0; i < N_SILENT; i++)
		CHECK(raw_is_hung_up(&silent[i], RAW_PATIENCE_MS));
	for (unsigned i = 0; i < N_SILENT; i++)
		raw_close(&silent[i]);
	scene_end(&scene);
}

/* Descriptors that nobody asked for, and bytes without end, in the handshake and after. */
TEST(floods_on_the_socket)
{
	struct scene scene = scene_begin("");
	static char junk[60000];

	for (unsigned i = 0; i < world_scaled(50); i++) {
		struct raw raw;

		CHECK_EQ(raw_connect(&raw, "lab"), 0);
		raw_send_descriptors(&raw, "", 1, -1);
		raw_close(&raw);

		CHECK_EQ(raw_open(&raw, "lab", NULL, NULL), 0);
		raw_send_descriptors(&raw, "", 1, -1);
		for (unsigned n = 0; n < 2000; n++)
			send(raw.socket, junk, n % 100 == 0 ? sizeof junk : 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		raw_open_channel(&raw, 0);
		CHECK_EQ(raw_call(&raw, 0, VMRPC__CALL, LAB_NULL, NULL, NULL), 0);
		raw_close(&raw);
	}
	scene_end(&scene);
}

TEST_MAIN()
