/* Clients that lie about what they pass: addresses, lengths, strings, handles; and that change it while the server
 * looks. What a generated server does with them is the test. It takes nothing that is not the client's to give, writes
 * nowhere else, gives nothing of its own away, and goes on serving others. */
#define TEST_TIMEOUT 300

#include "kit_server.h"
#include "raw.h"

struct stage {
	pid_t server;
	struct raw raw;
	struct vmrpc *good; /* a client that is honest */
	unsigned char *before;
};

/* ---- memory of the attacker's ------------------------------------------------------------------------------------ */

static bool small_region(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	(void)raw, (void)size, (void)arg;
	if (step == RAW_HELLO) {
		message->hello.n_channels = 3;
		message->hello.heap_size = 128 << 10;
		message->hello.stack_size = 64 << 10;
	}
	return true;
}

static void attacker_open(struct raw *raw, raw_twist *twist)
{
	CHECK_EQ(raw_connect(raw, "kit"), 0);
	raw->service = &kit_service;
	CHECK_EQ(raw_handshake(raw, twist, NULL), 0);
	raw_open_channel(raw, 0);
	CHECK_EQ(raw_call(raw, 0, VMRPC__SYSTEM, VMRPC__SYSTEM_FLUSH, NULL, NULL), 0); /* it is open */
}

static struct stage stage_begin(const char *options)
{
	struct stage stage = {.server = kit_serve(options)};

	CHECK_OK(vmrpc_connect(&stage.good, &kit_service, "local:kit?timeout=20s"));
	attacker_open(&stage.raw, small_region);
	stage.before = malloc(stage.raw.size);
	return stage;
}

static void check_served(const struct stage *stage)
{
	const int numbers[] = {1, 2, 3};
	long sum;

	CHECK_OK(kit_sum_rpc(stage->good, numbers, 3, &sum));
	CHECK_EQ(sum, 6);
}

static void stage_end(struct stage *stage)
{
	check_served(stage);
	raw_close(&stage->raw);
	check_served(stage);
	vmrpc_close(stage->good);
	kit_stop(stage->server);
	free(stage->before);
}

/* A pointer, as it travels. */
static uint64_t word_at(const struct raw *raw, uint64_t offset)
{
	return (uint64_t)(uintptr_t)raw->base + offset;
}

static uint64_t spill_offset(const struct raw *raw, uint32_t channel)
{
	return (uint64_t)(raw_block(raw, channel)->client_spill - raw->base);
}

static uint64_t stack_offset(const struct raw *raw, uint32_t channel)
{
	return raw->layout.stacks + channel * (VMRPC__PAGE + raw->layout.stack_size) + VMRPC__PAGE;
}

/* Whether a client may pass these bytes: the rule in other words than the runtime's. */
static bool may_pass(const struct raw *raw, uint64_t offset, uint64_t size)
{
	const uint64_t heaps = raw->layout.client_heap.offset;

	if (offset >= heaps && offset <= raw->size && size <= raw->size - offset)
		return true;
	for (uint32_t i = 0; i < raw->layout.n_channels; i++) {
		const uint64_t starts[] = {spill_offset(raw, i), stack_offset(raw, i)};
		const uint64_t sizes[] = {2 * VMRPC__SPILL_SIZE, raw->layout.stack_size};

		for (unsigned k = 0; k < 2; k++)
			if (offset >= starts[k] && offset - starts[k] <= sizes[k] &&
			    size <= sizes[k] - (offset - starts[k]))
				return true;
	}
	return false;
}

/* ---- calls by the tables ------------------------------------------------------------------------------------- */

struct call {
	struct raw *raw;
	uint32_t channel, number;
	const struct vmrpc_method *method;
	_Alignas(8) unsigned char frame[256];
};

static const struct vmrpc_field *field_of(const struct call *call, const char *name)
{
	for (uint32_t i = 0; i < call->method->frame->n_fields; i++)
		if (strcmp(call->method->frame->fields[i].name, name) == 0)
			return &call->method->frame->fields[i];
	TEST_FAIL("%s has no %s", call->method->name, name);
}

static size_t width_of(const struct vmrpc_field *field)
{
	return field->pass || field->type->size > 8 ? 8 : field->type->size;
}

static void set(struct call *call, const char *name, uint64_t value)
{
	const struct vmrpc_field *field = field_of(call, name);

	memcpy(call->frame + field->offset, &value, width_of(field));
}

static uint64_t get(const struct call *call, const char *name)
{
	const struct vmrpc_field *field = field_of(call, name);
	uint64_t value = 0;

	memcpy(&value, call->frame + field->offset, width_of(field));
	return value;
}

/* Memory in the attacker's heap for argument n of a call. */
static uint64_t own_memory(const struct raw *raw, unsigned n)
{
	return raw->layout.client_heap.offset + 4096 * (n + 1);
}

/* Every number is 1, and so is what every pointer points to, whichever way it is read; but for arrays of handles. */
static struct call call_new(struct raw *raw, const char *name)
{
	struct call call = {.raw = raw};

	while (strcmp(kit_service.methods[call.number].name, name) != 0)
		CHECK(++call.number < kit_service.n_methods);
	call.method = &kit_service.methods[call.number];
	CHECK(call.method->frame_size <= sizeof call.frame);
	for (uint32_t i = 0; i < call.method->n_params; i++) {
		const struct vmrpc_field *field = &call.method->frame->fields[i];
		const uint64_t own = own_memory(raw, i), one = field->pass && field->pass->each ? 0 : 1;

		set(&call, field->name, 1);
		if (!field->pass || field->pass->kind == VMRPC_PASS_HANDLE)
			continue;
		memset(raw->base + own, 0, 4096);
		memcpy(raw->base + own, &one, 8);
		set(&call, field->name, word_at(raw, own));
	}
	return call;
}

/* The status. */
static int run_once(struct call *call)
{
	struct raw *raw = call->raw;
	const uint64_t spill = spill_offset(raw, call->channel);
	uint64_t words[VMRPC__CELL_WORDS] = {0};
	int r;

	if (call->method->frame_size <= sizeof words) {
		memcpy(words, call->frame, call->method->frame_size);
		r = raw_call(raw, call->channel, VMRPC__CALL, call->number, words, NULL);
		if (r == 0)
			memcpy(call->frame, words, call->method->frame_size);
	} else {
		memcpy(raw->base + spill, call->frame, call->method->frame_size);
		words[0] = spill;
		words[1] = call->method->frame_size;
		r = raw_call(raw, call->channel, VMRPC__CALL | VMRPC__SPILLED, call->number, words, NULL);
		if (r == 0)
			memcpy(call->frame, raw->base + spill, call->method->frame_size);
	}
	if (r == -EPIPE || r == -ETIMEDOUT)
		TEST_FAIL("%s has cost the connection: %d", call->method->name, r);
	return r;
}

/* A copy that does not fit the spill area is the caller's to free. */
static void free_copy(struct raw *raw, uint64_t word)
{
	struct vmrpc__free_ring *ring = (struct vmrpc__free_ring *)(void *)(raw->base + raw->layout.posts_to_server);
	const uint64_t offset = word & ~(UINT64_C(1) << 63);
	const uint32_t tail = atomic_load(&ring->tail);

	if (offset == word || offset < raw->layout.server_heap.offset)
		return;
	atomic_store(&ring->slots[tail % VMRPC__FREE_SLOTS], offset);
	atomic_store(&ring->tail, tail + 1);
}

/* The same, leaving nothing open that the server would not close by itself. */
static int run(struct call *call)
{
	int r = run_once(call);

	if (r == 0 && strcmp(call->method->name, "kit_bytes") == 0)
		free_copy(call->raw, get(call, "result"));
	if (r == 0 && strcmp(call->method->name, "kit_stack_open") == 0) {
		struct call end = {.raw = call->raw, .channel = call->channel, .number = call->number};
		uint64_t stack;

		memcpy(&stack, call->raw->base + (get(call, "ret_stack") - word_at(call->raw, 0)), 8);
		while (strcmp(kit_service.methods[end.number].name, "kit_stack_free") != 0)
			end.number++;
		end.method = &kit_service.methods[end.number];
		set(&end, "stack", stack);
		CHECK_EQ(run_once(&end), 0);
	}
	return r;
}

static int run_with(struct raw *raw, const char *method, const char *field, uint64_t value)
{
	struct call call = call_new(raw, method);

	set(&call, field, value);
	return run(&call);
}

/* One call whose status must be this. */
#define REFUSED(raw, method, field, value, error)                                                                \
	do {                                                                                                     \
		int test_status = run_with(raw, method, field, value);                                           \
                                                                                                                 \
		if (test_status != (error))                                                                      \
			TEST_FAIL("%s with %s = 0x%" PRIx64 " is met with %d", method, field, (uint64_t)(value), \
				  test_status);                                                                  \
	} while (0)

/* ---- nothing else changes ------------------------------------------------------------------------------------ */

static void remember(const struct stage *stage)
{
	memcpy(stage->before, stage->raw.base, stage->raw.size);
}

static bool is_servers(const struct raw *raw, uint64_t offset)
{
	const uint64_t block = (uint64_t)((unsigned char *)raw_block(raw, 0) - raw->base);

	return (offset >= block && offset < block + VMRPC__PAGE) || /* the cell it answers in */
	       (offset >= raw->layout.posts_to_server && offset < raw->layout.stacks) ||
	       (offset >= block + offsetof(struct vmrpc__channel_block, server_spill) &&
		offset < block + sizeof(struct vmrpc__channel_block)) ||
	       offset >= raw->layout.server_heap.offset;
}

/* Of what the server does not own, only these bytes may have changed since remember(). */
static void check_unchanged(const struct stage *stage, const char *method, uint64_t from, uint64_t size)
{
	const struct raw *raw = &stage->raw;

	if (memcmp(stage->before, raw->base, raw->size) == 0)
		return;
	for (uint64_t i = 0; i < raw->size; i++)
		if (stage->before[i] != raw->base[i] && i - from >= size && !is_servers(raw, i))
			TEST_FAIL("%s has written to 0x%" PRIx64, method, i);
}

/* ---- addresses ----------------------------------------------------------------------------------------------- */

/* One parameter: bytes size, aligned, as many from the address on. */
static const struct param {
	const char *method, *field;
	uint64_t size, align;
	bool is_out;
} params[] = {
	{"kit_sum", "numbers", 4, 4, 0},
	{"kit_sum_array", "numbers", 4, 4, 0},
	{"kit_sum_three", "numbers", 12, 4, 0},
	{"kit_sum_matrix", "m", 24, 4, 0},
	{"kit_checksum", "data", 1, 1, 0},
	{"kit_iota", "out", 4, 4, 1},
	{"kit_first_only", "out", 4, 4, 1},
	{"kit_upper", "text", 1, 1, 1},
	{"kit_centroid", "in", 16, 8, 0},
	{"kit_centroid", "out", 16, 8, 1},
	{"kit_swap", "a", 4, 4, 1},
	{"kit_is_null", "p", 4, 4, 0},
	{"kit_is_null", "data", 1, 1, 0},
	{"kit_is_there", "data", 1, 1, 0},
	{"kit_sum_pairs", "a", 8, 4, 0},
	{"kit_sum_lengths", "lengths", 4, 4, 0},
	{"kit_sum_chosen", "a", 8, 4, 0},
	{"kit_sum_span", "numbers", 4, 4, 0},
	{"kit_scratch", "work", 1, 1, 1},
	{"kit_in_place", "shared", 4, 4, 1},
	{"kit_move", "point", 16, 8, 1},
	{"kit_address", "a", 4, 4, 0},
	{"kit_pack", "in", 1, 1, 0},
	{"kit_pack", "out_size", 8, 8, 1},
	{"kit_pack", "out", 1, 1, 1},
	{"kit_read", "out", 1, 1, 1},
	{"kit_primes", "out", 4, 4, 1},
	{"kit_greet", "out", 1, 1, 1},
	{"kit_bytes", "n", 8, 8, 1},
	{"kit_stack_open", "ret_stack", 8, 8, 1},
	{"kit_noted", "out", 1, 1, 1},
};

static const struct {
	const char *method, *field;
	uint64_t element;
} strings[] = {
	{"kit_is_null", "s", 1},    {"kit_length", "s", 1},	  {"kit_wide_length", "s", 4},
	{"kit_length_max", "s", 1}, {"kit_shout", "s", 1},	  {"kit_sum_terminated", "numbers", 4},
	{"kit_greet", "name", 1},   {"kit_join", "a", 1},	  {"kit_join", "b", 1},
	{"kit_find", "text", 1},    {"kit_stack_new", "name", 1}, {"kit_note", "text", 1},
};

#define N_OFFSETS 64

/* Around every border there is. */
static unsigned list_borders(const struct raw *raw, uint64_t *offsets)
{
	const struct vmrpc__control *layout = &raw->layout;
	const uint64_t last_stack = stack_offset(raw, layout->n_channels - 1);
	const uint64_t borders[] = {
		0,
		VMRPC__PAGE,
		layout->doorplates,
		layout->channels,
		layout->channels + VMRPC__PAGE, /* the ring */
		spill_offset(raw, 0),
		layout->channels + sizeof(struct vmrpc__channel_block),
		spill_offset(raw, layout->n_channels - 1),
		layout->posts_to_server,
		layout->posts_to_client,
		layout->stacks,
		stack_offset(raw, 0),
		stack_offset(raw, 0) + layout->stack_size,
		stack_offset(raw, 1),
		last_stack,
		layout->client_heap.offset,
		raw->size,
		raw->reserved,
	};
	unsigned n = 0;

	for (unsigned i = 0; i < sizeof borders / sizeof borders[0]; i++) {
		offsets[n++] = borders[i] - 8;
		offsets[n++] = borders[i] - 1;
		offsets[n++] = borders[i];
	}
	CHECK(n <= N_OFFSETS);
	return n;
}

TEST(pointers_around_every_border)
{
	struct stage stage = stage_begin("trust=no");
	uint64_t offsets[N_OFFSETS];
	const unsigned n = list_borders(&stage.raw, offsets);

	for (unsigned p = 0; p < sizeof params / sizeof params[0]; p++)
		for (unsigned i = 0; i < n; i++) {
			const struct param *param = &params[p];
			struct call call = call_new(&stage.raw, param->method);
			const bool fine =
				may_pass(&stage.raw, offsets[i], param->size) && offsets[i] % param->align == 0;
			static const uint64_t one = 1;
			int r;

			if (fine && is_servers(&stage.raw, offsets[i]))
				continue; /* it may, but that cannot be told from what the server does there */
			if (fine && param->size >= 4)
				memcpy(stage.raw.base + offsets[i], &one, param->size < 8 ? param->size : 8);
			set(&call, param->field, word_at(&stage.raw, offsets[i]));
			remember(&stage);
			r = run(&call);
			if (r != (fine ? 0 : -EFAULT))
				TEST_FAIL("%s with %s at 0x%" PRIx64 " is met with %d", param->method, param->field,
					  offsets[i], r);
			if (r < 0)
				check_unchanged(&stage, param->method, 0, 0);
			else if (!param->is_out)
				continue; /* others are outs */
			else if (strcmp(param->method, "kit_swap") && strcmp(param->method, "kit_pack") &&
				 strcmp(param->method, "kit_bytes"))
				check_unchanged(&stage, param->method, offsets[i], param->size);
		}
	stage_end(&stage);
}

TEST(strings_around_every_border)
{
	struct stage stage = stage_begin("trust=no");
	uint64_t offsets[N_OFFSETS];
	const unsigned n = list_borders(&stage.raw, offsets);

	for (unsigned s = 0; s < sizeof strings / sizeof strings[0]; s++)
		for (unsigned i = 0; i < n; i++) {
			const bool fine = may_pass(&stage.raw, offsets[i], strings[s].element) &&
					  offsets[i] % strings[s].element == 0;
			struct call call = call_new(&stage.raw, strings[s].method);
			int r;

			if (fine) /* empty */
				memset(stage.raw.base + offsets[i], 0, strings[s].element);
			set(&call, strings[s].field, word_at(&stage.raw, offsets[i]));
			remember(&stage);
			r = run(&call);
			if (r != (fine ? 0 : -EFAULT))
				TEST_FAIL("%s with %s at 0x%" PRIx64 " is met with %d", strings[s].method,
					  strings[s].field, offsets[i], r);
			if (r < 0)
				check_unchanged(&stage, strings[s].method, 0, 0);
		}
	stage_end(&stage);
}

/* That lie nowhere near the region. */
static void wild_words(struct stage *stage, const char *method, const char *field)
{
	const struct raw *raw = &stage->raw;
	const uint64_t own = word_at(raw, own_memory(raw, 0));
	const uint64_t words[] = {
		1,
		8,
		4096,
		raw->address + own_memory(raw, 0), /* as the server sees it */
		own | UINT64_C(1) << 63,
		own | UINT64_C(1) << 62,
		own | UINT64_C(3) << 62,
		own ^ UINT64_C(1) << 47,
		own + (UINT64_C(1) << 48),
		UINT64_C(1) << 62,
		UINT64_C(1) << 63,
		UINT64_C(3) << 62,
		UINT64_MAX,
		UINT64_MAX - 7,
		UINT64_MAX - 15,
		(uint64_t)INT64_MAX - 7,
		word_at(raw, 0) - 8,
		word_at(raw, 0) - raw->address, /* its null page */
		word_at(raw, raw->reserved),
		(uint64_t)(uintptr_t)stage, /* an address of ours */
	};

	for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
		remember(stage);
		REFUSED(&stage->raw, method, field, words[i], -EFAULT);
		memset(stage->before + own_memory(raw, 0), 0, 8 * 4096);
		memset(raw->base + own_memory(raw, 0), 0, 8 * 4096);
		check_unchanged(stage, method, 0, 0);
	}
}

TEST(wild_pointers)
{
	struct stage stage = stage_begin("trust=no");

	for (unsigned p = 0; p < sizeof params / sizeof params[0]; p++)
		wild_words(&stage, params[p].method, params[p].field);
	for (unsigned s = 0; s < sizeof strings / sizeof strings[0]; s++)
		if (strcmp(strings[s].method, "kit_note")) /* where bit 62 means something */
			wild_words(&stage, strings[s].method, strings[s].field);
	wild_words(&stage, "kit_in_place", "shared");
	wild_words(&stage, "kit_sum_span", "span");
	wild_words(&stage, "kit_until", "from");
	wild_words(&stage, "kit_stacks_sum", "stacks");
	stage_end(&stage);
}

/* It says where it sees the region, and may say anything: what is aligned there need not be aligned here. */
static bool odd_address(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg)
{
	small_region(raw, step, message, size, arg);
	if (step == RAW_PLACED)
		message->region.address = 0x100000000001;
	return true;
}

TEST(a_region_at_an_odd_address)
{
	struct stage stage = stage_begin("trust=no");
	struct raw odd;

	attacker_open(&odd, odd_address);
	for (unsigned i = 0; i < 9; i++)
		REFUSED(&odd, "kit_sum", "numbers", 0x100000000001 + own_memory(&odd, 0) + i, i % 4 ? -EFAULT : 0);
	raw_close(&odd);
	stage_end(&stage);
}

TEST(null_where_something_must_be)
{
	struct stage stage = stage_begin("trust=no");

	REFUSED(&stage.raw, "kit_stack_push", "stack", 0, -EINVAL);
	stage_end(&stage);
}

/* ---- lengths ------------------------------------------------------------------------------------------------- */

TEST(wild_lengths)
{
	static const uint64_t wild[] = {
		UINT64_MAX,	   UINT64_MAX - 3,	    UINT64_C(1) << 63, (UINT64_C(1) << 63) + 1, INT64_MAX,
		INT64_MAX - 7,	   (UINT64_C(1) << 62) + 1, /* times four is four */
		UINT64_C(1) << 62, UINT64_C(1) << 61,	    UINT64_C(1) << 48, UINT64_C(1) << 30,	1 << 20,
	};
	static const struct {
		const char *method, *field;
	} lengths[] = {
		{"kit_sum", "n"},	 {"kit_sum_param", "n"}, {"kit_checksum", "n"},	 {"kit_upper", "n"},
		{"kit_centroid", "n"},	 {"kit_is_there", "n"},	 {"kit_alignment", "n"}, {"kit_scratch", "n"},
		{"kit_greet", "cap"},	 {"kit_pack", "n"},	 {"kit_read", "cap"},	 {"kit_noted", "cap"},
		{"kit_stacks_sum", "n"},
	};
	static const int32_t wild_ints[] = {-1, INT32_MIN, INT32_MIN + 1, INT32_MAX, 1 << 30, 1 << 20};
	static const struct {
		const char *method, *field;
	} int_lengths[] = {{"kit_iota", "n"},	 {"kit_first_only", "n"},  {"kit_sum_chosen", "n"},
			   {"kit_address", "n"}, {"kit_sum_lengths", "n"}, {"kit_primes", "max"},
			   {"kit_note", "n"},	 {"kit_blank", "to"}};
	struct stage stage = stage_begin("trust=no");

	for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
		for (unsigned k = 0; k < sizeof wild / sizeof wild[0]; k++) {
			int r = run_with(&stage.raw, lengths[i].method, lengths[i].field, wild[k]);

			remember(&stage);
			if (r != ((int64_t)wild[k] < 0 ? -EINVAL : -EFAULT) && r != -EMSGSIZE)
				TEST_FAIL("%s with %s = 0x%" PRIx64 " is met with %d", lengths[i].method,
					  lengths[i].field, wild[k], r);
		}
	for (unsigned i = 0; i < sizeof int_lengths / sizeof int_lengths[0]; i++)
		for (unsigned k = 0; k < sizeof wild_ints / sizeof wild_ints[0]; k++)
			REFUSED(&stage.raw, int_lengths[i].method, int_lengths[i].field, (uint64_t)wild_ints[k],
				wild_ints[k] < 0 ? -EINVAL : -EFAULT);
	stage_end(&stage);
}

/* Told by what pointers point to. */
TEST(wild_lengths_behind_pointers)
{
	static const uint64_t wild[] = {UINT64_MAX, UINT64_C(1) << 63, INT64_MAX, UINT64_C(1) << 62, 1 << 20};
	struct stage stage = stage_begin("trust=no");
	struct call call;
	int32_t lengths[] = {INT32_MAX, INT32_MAX, -1};

	for (unsigned i = 0; i < sizeof wild / sizeof wild[0]; i++) {
		call = call_new(&stage.raw, "kit_pack");
		memcpy(stage.raw.base + own_memory(&stage.raw, 1), &wild[i], 8);
		CHECK_EQ(run(&call), (int64_t)wild[i] < 0 ? -EINVAL : -EFAULT);
		call = call_new(&stage.raw, "kit_sum_span");
		memcpy(stage.raw.base + own_memory(&stage.raw, 0), &wild[i], 8);
		CHECK_EQ(run(&call), (int64_t)wild[i] < 0	     ? -EINVAL
				     : wild[i] > (UINT64_C(1) << 60) ? -EMSGSIZE
								     : -EFAULT);
	}
	call = call_new(&stage.raw, "kit_sum_lengths");
	memcpy(stage.raw.base + own_memory(&stage.raw, 0), lengths, sizeof lengths);
	set(&call, "n", 2);
	CHECK_EQ(run(&call), -EFAULT);
	set(&call, "n", 1 << 16); /* more lengths than there are */
	CHECK_EQ(run(&call), -EFAULT);
	lengths[0] = -1;
	memcpy(stage.raw.base + own_memory(&stage.raw, 0), lengths, sizeof lengths);
	set(&call, "n", 1);
	CHECK_EQ(run(&call), -EINVAL);
	stage_end(&stage);
}

TEST(ranges_the_wrong_way_round)
{
	struct stage stage = stage_begin("trust=no");
	struct raw *raw = &stage.raw;
	const uint64_t own = word_at(raw, own_memory(raw, 0)), end = word_at(raw, raw->size);
	static const struct {
		int32_t from, to;
		int status;
	} ranges[] = {{1, 2, 0},
		      {5, 3, -EINVAL},
		      {-1, 3, -EINVAL},
		      {-3, -1, -EINVAL},
		      {0, INT32_MIN, -EINVAL},
		      {INT32_MIN, INT32_MAX, -EINVAL},
		      {0, INT32_MAX, -EFAULT},
		      {INT32_MAX - 1, INT32_MAX, -EFAULT},
		      {3, 3, 0}};
	const struct {
		uint64_t from, to;
		int status;
	} ends[] = {{own, own + 3, 0},
		    {own, own, 0},
		    {own + 1, own, -EINVAL},
		    {own, 0, -EINVAL},
		    {own, 8, -EINVAL},
		    {own, UINT64_MAX, -EINVAL}, /* below zero */
		    {own, INT64_MAX, -EFAULT},
		    {own, end, 0},
		    {own, end + 1, -EFAULT},
		    {end, end, 0},
		    {word_at(raw, raw->layout.doorplates), own, -EFAULT},
		    {word_at(raw, stack_offset(raw, 0)), own, -EFAULT}};

	for (unsigned i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
		struct call call = call_new(raw, "kit_blank");
		uint64_t from = own_memory(raw, 0) + (uint64_t)(int64_t)ranges[i].from;

		set(&call, "from", (uint64_t)ranges[i].from);
		set(&call, "to", (uint64_t)ranges[i].to);
		remember(&stage);
		CHECK_EQ(run(&call), ranges[i].status);
		check_unchanged(&stage, "kit_blank", from,
				ranges[i].status ? 0 : (uint64_t)(ranges[i].to - ranges[i].from));
	}
	for (unsigned i = 0; i < sizeof ends / sizeof ends[0]; i++) {
		struct call call = call_new(raw, "kit_until");

		set(&call, "from", ends[i].from);
		set(&call, "to", ends[i].to);
		CHECK_EQ(run(&call), ends[i].status);
	}
	/* The address of a range may lie outside, its bytes not. */
	for (int32_t i = 0; i < 3; i++) {
		struct call call = call_new(raw, "kit_blank");
		const uint64_t heap = raw->layout.client_heap.offset;

		set(&call, "text", word_at(raw, (i == 2 ? raw->size : heap) - 100));
		set(&call, "from", 100 - (i == 1));
		set(&call, "to", 101);
		remember(&stage);
		CHECK_EQ(run(&call), i ? -EFAULT : 0);
		check_unchanged(&stage, "kit_blank", heap, i ? 0 : 1);
	}
	stage_end(&stage);
}

/* ---- strings ------------------------------------------------------------------------------------------------- */

TEST(strings_without_end)
{
	struct stage stage = stage_begin("trust=no");
	struct raw *raw = &stage.raw;
	const uint64_t ends[] = {raw->size, stack_offset(raw, 0) + raw->layout.stack_size,
				 spill_offset(raw, 0) + 2 * VMRPC__SPILL_SIZE};

	for (unsigned e = 0; e < sizeof ends / sizeof ends[0]; e++)
		for (unsigned s = 0; s < sizeof strings / sizeof strings[0]; s++) {
			struct call call = call_new(raw, strings[s].method);

			memset(raw->base + ends[e] - 64, 'x', 64);
			set(&call, strings[s].field, word_at(raw, ends[e] - 64));
			if (strcmp(strings[s].method, "kit_length_max") == 0)
				set(&call, "max", 65);
			CHECK_EQ(run(&call), -EFAULT);
			memset(raw->base + ends[e] - strings[s].element, 0, strings[s].element);
			CHECK_EQ(run(&call), 0);
		}
	REFUSED(raw, "kit_length_max", "max", UINT64_MAX, -EINVAL);
	stage_end(&stage);
}

/* ---- deeper --------------------------------------------------------------------------------------------- */

static void put(struct raw *raw, uint64_t offset, uint64_t value)
{
	memcpy(raw->base + offset, &value, sizeof value);
}

TEST(lists_that_go_round_in_circles)
{
	struct stage stage = stage_begin("trust=no");
	struct raw *raw = &stage.raw;
	struct call call = call_new(raw, "kit_list_sum");
	const uint64_t list = own_memory(raw, 0);

	put(raw, list + 8, word_at(raw, list)); /* itself */
	CHECK_EQ(run(&call), -EMSGSIZE);
	put(raw, list + 8, word_at(raw, list + 16));
	put(raw, list + 16, 1);
	put(raw, list + 24, word_at(raw, list));
	CHECK_EQ(run(&call), -EMSGSIZE);
	put(raw, list + 24, 0);
	CHECK_EQ(run(&call), 0);
	CHECK_EQ(get(&call, "result"), 2);
	call = call_new(raw, "kit_tour"); /* where they may */
	put(raw, list, 0);
	put(raw, list + 8, word_at(raw, list));
	CHECK_EQ(run(&call), 0);
	CHECK_EQ(get(&call, "result"), 1);
	stage_end(&stage);
}

TEST(wild_pointers_below)
{
	struct stage stage = stage_begin("trust=no");
	struct raw *raw = &stage.raw;
	const uint64_t list = own_memory(raw, 0);
	const uint64_t wild[] = {0,
				 64,
				 raw->layout.channels,
				 stack_offset(raw, 0) - 4096,
				 raw->size,
				 raw->size - 8,
				 UINT64_MAX - raw->size,
				 list + 4,
				 list + 1};
	struct call call = call_new(raw, "kit_list_sum"), rows = call_new(raw, "kit_rows_sum");

	put(raw, list, 1);
	for (unsigned i = 0; i < sizeof wild / sizeof wild[0]; i++) {
		put(raw, list + 8, word_at(raw, wild[i]));
		CHECK_EQ(run(&call), -EFAULT);
	}
	put(raw, list + 8, UINT64_C(1) << 63 | list);
	CHECK_EQ(run(&call), -EFAULT);
	put(raw, list + 8, UINT64_C(1) << 62 | word_at(raw, list));
	CHECK_EQ(run(&call), -EFAULT);

	for (unsigned i = 0; i < sizeof wild / sizeof wild[0]; i++) {
		put(raw, list, 4);
		put(raw, list + 8, word_at(raw, wild[i])); /* numbers, which may lie at any multiple of 4 */
		put(raw, list + 16, 0);
		CHECK_EQ(run(&rows), wild[i] == list + 4 ? 0 : -EFAULT);
	}
	put(raw, list + 8, word_at(raw, list));
	put(raw, list, UINT64_MAX);
	CHECK_EQ(run(&rows), -EINVAL);
	put(raw, list, UINT64_MAX / 4);
	CHECK_EQ(run(&rows), -EMSGSIZE);
	put(raw, list, raw->size);
	CHECK_EQ(run(&rows), -EFAULT);
	put(raw, list, 1);
	memset(raw->base + raw->size - 64, 'x', 64);
	put(raw, list + 16, word_at(raw, raw->size - 64)); /* a name without end */
	CHECK_EQ(run(&rows), -EFAULT);
	stage_end(&stage);
}

/* What of a struct that comes back is no pointer of the server's, though it was full of them meanwhile. */
TEST(pointers_below_come_back_as_they_were)
{
	struct stage stage = stage_begin("trust=no");
	struct raw *raw = &stage.raw;
	struct call call = call_new(raw, "kit_rows_negate");
	const uint64_t row = own_memory(raw, 0), numbers = own_memory(raw, 5);
	uint64_t words[3];

	put(raw, row, 2);
	put(raw, row + 8, word_at(raw, numbers));
	put(raw, row + 16, word_at(raw, numbers + 8));
	put(raw, numbers, UINT64_C(0x700000007));
	put(raw, numbers + 8, 'n');
	CHECK_EQ(run(&call), 0);
	memcpy(words, raw->base + row, sizeof words);
	CHECK_EQ(words[0], 2);
	CHECK_EQ(words[1], word_at(raw, numbers));
	CHECK_EQ(words[2], word_at(raw, numbers + 8));
	CHECK_EQ(*(int *)(void *)(raw->base + numbers), -7);
	CHECK_EQ(raw->base[numbers + 8], 'N');
	stage_end(&stage);
}

/* ---- while it looks ------------------------------------------------------------------------------------------ */

struct racer {
	void *at;
	uint64_t a, b;
	size_t size;
	_Atomic bool stop;
};

static void *race(void *arg)
{
	struct racer *racer = arg;

	while (!atomic_load_explicit(&racer->stop, memory_order_relaxed))
		for (unsigned i = 0; i < 1000; i++) {
			const uint64_t value = i % 2 ? racer->b : racer->a;

			switch (racer->size) {
			case 1:
				__atomic_store_n((uint8_t *)racer->at, (uint8_t)value, __ATOMIC_RELAXED);
				break;
			case 4:
				__atomic_store_n((uint32_t *)racer->at, (uint32_t)value, __ATOMIC_RELAXED);
				break;
			default:
				__atomic_store_n((uint64_t *)racer->at, value, __ATOMIC_RELAXED);
			}
		}
	return NULL;
}

/* Calls while size bytes at an offset are now a, now b. Right behind what would be too much there is nothing: who
 * believes the wrong one crashes. */
static void race_calls(struct stage *stage, struct call *prepared, uint64_t offset, uint64_t a, uint64_t b, size_t size)
{
	struct racer racer = {stage->raw.base + offset, a, b, size, false};
	const int64_t give_up = world_ms() + 10000;
	unsigned served = 0;
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, race, &racer), 0);
	for (unsigned i = 0; i < world_scaled(4000) || (!served && world_ms() < give_up); i++) {
		struct call call = *prepared;
		int r = run(&call);

		if (r != 0 && r != -EFAULT && r != -EINVAL)
			TEST_FAIL("%s is met with %d", call.method->name, r);
		served += r == 0;
		if (r == 0 && strcmp(call.method->name, "kit_length") == 0 && get(&call, "result") > 31)
			TEST_FAIL("a string of 31 is %" PRIu64 " long", get(&call, "result"));
	}
	atomic_store(&racer.stop, true);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK(served > 0);
	check_served(stage);
}

TEST(terminators_that_come_and_go)
{
	struct stage stage = stage_begin("trust=no");
	struct raw *raw = &stage.raw;

	for (unsigned s = 0; s < sizeof strings / sizeof strings[0]; s++) {
		struct call call = call_new(raw, strings[s].method);

		memset(raw->base + raw->size - 32, 'x', 32);
		set(&call, strings[s].field, word_at(raw, raw->size - 32));
		if (strcmp(strings[s].method, "kit_length_max") == 0)
			set(&call, "max", 33);
		race_calls(&stage, &call, raw->size - strings[s].element, 0, 'x', strings[s].element);
	}
	stage_end(&stage);
}

TEST(lengths_that_change)
{
	struct stage stage = stage_begin("trust=no");
	struct raw *raw = &stage.raw;
	struct call call = call_new(raw, "kit_pack");

	/* What goes out is longer than its room, unless the client says otherwise. */
	set(&call, "n", 2000);
	for (unsigned i = 0; i < 2000; i++)
		raw->base[own_memory(raw, 2) + i] = (unsigned char)i;
	set(&call, "out", word_at(raw, raw->size - 16));
	race_calls(&stage, &call, own_memory(raw, 1), 16, 4000, 8);

	call = call_new(raw, "kit_sum_span");
	set(&call, "numbers", word_at(raw, raw->size - 16));
	race_calls(&stage, &call, own_memory(raw, 0), 4, 40000, 8);

	call = call_new(raw, "kit_sum_lengths");
	set(&call, "text", word_at(raw, raw->size - 16));
	race_calls(&stage, &call, own_memory(raw, 0), 16, 40000, 4);
	stage_end(&stage);
}

/* ---- calls that do not wait ---------------------------------------------------------------------------------- */

TEST(staged_blocks_that_are_none)
{
	struct stage stage = stage_begin("trust=no");
	struct raw *raw = &stage.raw, other;
	const uint64_t staged = UINT64_C(1) << 62;
	struct vmrpc__free_ring *posts;
	uint64_t offsets[N_OFFSETS];
	const unsigned n = list_borders(raw, offsets);

	REFUSED(raw, "kit_sum", "numbers", word_at(raw, own_memory(raw, 0)) | staged, -EFAULT); /* it waits */
	for (unsigned i = 0; i < n; i++) {
		const bool fine = may_pass(raw, offsets[i], 1);

		if (fine)
			raw->base[offsets[i]] = 0;
		REFUSED(raw, "kit_note", "text", word_at(raw, offsets[i]) | staged, fine ? 0 : -EFAULT);
		REFUSED(raw, "kit_note", "text", (word_at(raw, offsets[i]) | staged) ^ UINT64_C(1) << 63, -EFAULT);
	}
	/* A block in another client's region is not freed for this one. */
	attacker_open(&other, small_region);
	posts = (struct vmrpc__free_ring *)(void *)(other.base + other.layout.posts_to_client);
	for (uint64_t i = 0; i < 16; i++)
		REFUSED(raw, "kit_note", "text",
			word_at(raw, other.address - raw->address + own_memory(&other, 0) + 16 * i) | staged, -EFAULT);
	CHECK_EQ(atomic_load(&posts->tail), 0);
	/* But its own is: once, whatever else is wrong with the call. */
	posts = (struct vmrpc__free_ring *)(void *)(raw->base + raw->layout.posts_to_client);
	for (unsigned wrong = 0; wrong < 2; wrong++) {
		const uint32_t tail = atomic_load(&posts->tail);
		struct call call = call_new(raw, "kit_note");

		set(&call, "text", wrong ? 8 : word_at(raw, own_memory(raw, 0)));
		set(&call, "numbers", word_at(raw, own_memory(raw, 1) + 4) | staged);
		CHECK_EQ(run(&call), wrong ? -EFAULT : 0);
		CHECK_EQ(atomic_load(&posts->tail), tail + 1);
		CHECK_EQ(atomic_load(&posts->slots[tail % VMRPC__FREE_SLOTS]), own_memory(raw, 1));
	}
	raw_close(&other);
	stage_end(&stage);
}

/* ---- handles ------------------------------------------------------------------------------------------------- */

static uint64_t new_stack(struct raw *raw, uint32_t channel)
{
	struct call call = call_new(raw, "kit_stack_new");

	call.channel = channel;
	CHECK_EQ(run(&call), 0);
	CHECK(get(&call, "result") != 0);
	return get(&call, "result");
}

TEST(handles_that_are_none)
{
	static const char *const users[] = {"kit_stack_push", "kit_stack_pop",		 "kit_stack_name",
					    "kit_stack_self", "kit_stack_drop_if_empty", "kit_stack_top",
					    "kit_stack_free"};
	struct stage stage = stage_begin("trust=no");
	struct raw *raw = &stage.raw, again;
	const uint64_t stack = new_stack(raw, 0), closed = new_stack(raw, 0);
	struct call call = call_new(raw, "kit_gauge_new");
	uint64_t gauge, frame;

	CHECK_EQ(run(&call), 0);
	gauge = get(&call, "result");
	CHECK_EQ(run_with(raw, "kit_stack_free", "stack", closed), 0);
	CHECK_EQ(run_with(raw, "kit_stack_push", "stack", stack), 0);
	call = call_new(raw, "kit_stack_top");
	set(&call, "stack", stack);
	CHECK_EQ(run(&call), 0);
	frame = get(&call, "result");
	for (unsigned i = 0; i < sizeof users / sizeof users[0]; i++) {
		for (unsigned bit = 0; bit < 64; bit++)
			REFUSED(raw, users[i], "stack", stack ^ UINT64_C(1) << bit, -EBADF);
		REFUSED(raw, users[i], "stack", closed, -EBADF);
		REFUSED(raw, users[i], "stack", gauge, -EBADF);
		REFUSED(raw, users[i], "stack", frame, -EBADF);
		REFUSED(raw, users[i], "stack", 1, -EBADF);
		REFUSED(raw, users[i], "stack", UINT64_MAX, -EBADF);
		REFUSED(raw, users[i], "stack", word_at(raw, own_memory(raw, 0)), -EBADF);
		REFUSED(raw, users[i], "stack", raw->address, -EBADF);
	}
	REFUSED(raw, "kit_frame_value", "frame", stack, -EBADF);
	REFUSED(raw, "kit_gauge_value", "gauge", stack, -EBADF);
	REFUSED(raw, "kit_sum", "numbers", stack, -EFAULT);
	/* In an array. */
	call = call_new(raw, "kit_stacks_sum");
	memcpy(raw->base + own_memory(raw, 0), (uint64_t[]){stack, 0, stack}, 24);
	set(&call, "n", 3);
	CHECK_EQ(run(&call), 0);
	CHECK_EQ(get(&call, "result"), 2);
	memcpy(raw->base + own_memory(raw, 0), (uint64_t[]){stack, stack, closed}, 24);
	CHECK_EQ(run(&call), -EBADF);
	CHECK_EQ(run_with(raw, "kit_stack_free", "stack", stack), 0); /* which leaves it in nobody's use */
	REFUSED(raw, "kit_frame_value", "frame", frame, -EBADF);
	/* Of another connection. */
	attacker_open(&again, small_region);
	for (unsigned i = 0; i < 20; i++)
		new_stack(&again, 0);
	REFUSED(&again, "kit_stack_pop", "stack", stack, -EBADF);
	REFUSED(&again, "kit_stack_pop", "stack", new_stack(raw, 0), -EBADF);
	raw_close(&again);
	stage_end(&stage);
}

struct user {
	struct raw *raw;
	uint64_t *_Atomic words;
	_Atomic uint64_t stack, frame;
	_Atomic bool stop;
};

/* Uses what another thread closes: itself, in arrays, by what lives with it. */
static void *use_handles(void *arg)
{
	struct user *user = arg;
	enum { N = 400 };

	for (unsigned i = 0; !atomic_load(&user->stop); i++) {
		static const char *const methods[] = {"kit_stack_push", "kit_stacks_sum", "kit_frame_value"};
		struct call call = call_new(user->raw, methods[i % 3]);
		uint64_t *array = (uint64_t *)(void *)(user->raw->base + own_memory(user->raw, 0));
		int r;

		call.channel = 1;
		if (i % 3 == 1) {
			for (unsigned k = 0; k < N; k++)
				array[k] = atomic_load(&user->stack);
			set(&call, "n", N);
		} else {
			set(&call, i % 3 ? "frame" : "stack", atomic_load(i % 3 ? &user->frame : &user->stack));
		}
		r = run(&call);
		if (r != 0 && r != -EBADF)
			TEST_FAIL("%s is met with %d", methods[i % 3], r);
	}
	return NULL;
}

TEST(handles_that_are_closed_while_in_use)
{
	struct stage stage = stage_begin("trust=no");
	struct user user = {.raw = &stage.raw};
	pthread_t thread;

	raw_open_channel(&stage.raw, 1);
	raw_open_channel(&stage.raw, 2);
	atomic_store(&user.stack, new_stack(&stage.raw, 2));
	atomic_store(&user.frame, 1); /* none yet */
	CHECK_EQ(pthread_create(&thread, NULL, use_handles, &user), 0);
	for (unsigned i = 0; i < world_scaled(3000); i++) {
		struct call call = call_new(&stage.raw, "kit_stack_push");
		const uint64_t stack = atomic_load(&user.stack);
		int r;

		call.channel = 2;
		set(&call, "stack", stack);
		CHECK_EQ(run(&call), 0);
		call = call_new(&stage.raw, "kit_stack_top");
		call.channel = 2;
		set(&call, "stack", stack);
		CHECK_EQ(run(&call), 0);
		atomic_store(&user.frame, get(&call, "result"));
		call = call_new(&stage.raw, "kit_stack_free");
		call.channel = 2;
		set(&call, "stack", stack);
		while ((r = run(&call)) == -EBUSY)
			;
		CHECK_EQ(r, 0);
		atomic_store(&user.stack, new_stack(&stage.raw, 2));
	}
	atomic_store(&user.stop, true);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	stage_end(&stage);
}

/* ---- what comes back ----------------------------------------------------------------------------------------- */

struct mapping {
	uint64_t low, high;
};

/* The server's own memory, as /proc tells it. */
static unsigned server_mappings(pid_t server, struct mapping *mappings, unsigned max)
{
	char path[64], line[512];
	unsigned n = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/maps", (int)server);
	file = fopen(path, "r");
	CHECK(file);
	while (fgets(line, sizeof line, file) && n < max) {
		unsigned long long low, high;
		char perms[5];

		/* A sanitizer's shadow takes so much that chance numbers lie there; nothing points to it. */
		if (!strstr(line, "memfd:vmrpc") && sscanf(line, "%llx-%llx %4s", &low, &high, perms) == 3 &&
		    perms[0] == 'r' && high - low < (1ull << 32))
			mappings[n++] = (struct mapping){low, high};
	}
	fclose(file);
	return n;
}

TEST(nothing_of_the_servers_is_told)
{
	static struct mapping mappings[4096];
	struct stage stage = stage_begin("trust=no");
	struct raw *raw = &stage.raw;
	unsigned n;

	for (uint32_t i = 0; i < kit_service.n_methods; i++) {
		struct call call = call_new(raw, kit_service.methods[i].name);

		for (uint32_t k = 0; k < call.method->n_params; k++) {
			const struct vmrpc_field *field = &call.method->frame->fields[k];

			if (field->pass && field->pass->kind == VMRPC_PASS_HANDLE)
				set(&call, field->name,
				    strstr(field->pass->handle->name, "stack") ? new_stack(raw, 0) : 12345);
		}
		run(&call);
		for (unsigned round = 0; round < 2; round++) { /* that fail half way, too */
			if (call.method->n_params == 0 || !call.method->frame->fields[0].pass)
				break;
			call = call_new(raw, kit_service.methods[i].name);
			set(&call, call.method->frame->fields[call.method->n_params - 1].name, round ? 0xffffff : 7);
			if (call.method->frame->fields[call.method->n_params - 1].pass)
				run(&call);
		}
	}
	n = server_mappings(stage.server, mappings, 4096);
	CHECK(n > 10);
	for (uint64_t offset = 0; offset + 8 <= raw->size; offset += 4) {
		uint64_t word;

		memcpy(&word, raw->base + offset, 8);
		for (unsigned i = 0; word && i < n; i++)
			if (word >= mappings[i].low && word < mappings[i].high)
				TEST_FAIL("an address of the server's, 0x%" PRIx64 ", lies at 0x%" PRIx64, word,
					  offset);
	}
	stage_end(&stage);
}

KIT_TEST_MAIN()
