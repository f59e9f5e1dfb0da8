/* The serving side, call by call: what a method gets to see of what a client that is not trusted passes, and what
 * other clients' threads can do to it meanwhile. The methods are the tests' own, on tables written by hand. */
#include <sys/mman.h>

#include "pass/pass.h"
#include "test.h"

#define HEAP_SIZE (1 << 20)

static struct vmrpc__session session;
static struct vmrpc__channel channel;
static struct vmrpc conn;
static uint64_t heap; /* offset of memory the client may pass */

static void begin(void)
{
	CHECK_EQ(vmrpc__layout_plan(&session.layout, 2, 64 << 10, HEAP_SIZE), 0);
	session.side = VMRPC__SERVER;
	session.conn = &conn;
	session.offset = 0x1000; /* the client sees it elsewhere */
	session.secret = 12345;
	session.region.base =
		mmap(NULL, session.layout.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(session.region.base != MAP_FAILED);
	atomic_store(&session.region.size, session.layout.size);
	channel.session = &session;
	channel.spill = vmrpc__session_block(&session, 0)->server_spill;
	heap = session.layout.client_heap.offset;
}

static void *at(uint64_t offset)
{
	return session.region.base + offset;
}

static uint64_t word_at(uint64_t offset)
{
	return vmrpc__to_word(&session, at(offset));
}

/* ---- methods of up to three parameters and a result, all of 8 bytes -----------------------------------------------
 */

static const struct vmrpc_type a_word = {.kind = VMRPC_TYPE_UNSIGNED, .size = 8};
static struct vmrpc_field fields[4];
static struct vmrpc_type frame_type = {.fields = fields};
static struct vmrpc_method method = {.frame = &frame_type};
static uint16_t passes[4];
static uint64_t frame[4];

static void declare(uint32_t n_params, const struct vmrpc_pass *first, const struct vmrpc_pass *second,
		    const struct vmrpc_pass *result)
{
	const struct vmrpc_pass *all[4] = {first, second};

	all[n_params] = result;
	method.n_params = n_params;
	method.n_passes = 0;
	frame_type.n_fields = n_params + 1;
	method.frame_size = 8 * frame_type.n_fields;
	method.passes = passes;
	for (uint32_t i = 0; i <= n_params; i++) {
		fields[i] = (struct vmrpc_field){.name = "x", .type = &a_word, .offset = 8 * i, .pass = all[i]};
		if (all[i])
			passes[method.n_passes++] = (uint16_t)i;
	}
}

static int serve(int (*run)(void *arg), uint64_t a, uint64_t b)
{
	memcpy(frame, (uint64_t[]){a, b, 0, 0}, sizeof frame);
	return vmrpc__pass_serve(&channel, &method, frame, run, NULL);
}

static unsigned n_runs;

static int just_run(void *arg)
{
	(void)arg;
	n_runs++;
	return 0;
}

/* ---- memory -------------------------------------------------------------------------------------------------------
 */

static const struct vmrpc_pass string = {.kind = VMRPC_PASS_DATA,
					 .direction = VMRPC_GOES_IN | VMRPC_GOES_OUT,
					 .extent = VMRPC_EXTENT_STRING,
					 .flags = VMRPC_PASS_SNAPSHOT | VMRPC_PASS_NONNULL,
					 .size = 1,
					 .align = 1};

static int look_at_string(void *arg)
{
	(void)arg;
	strcpy(at(heap), "OTHER!!");
	CHECK_STR((const char *)(uintptr_t)frame[0], "hello"); /* nobody changes it any more */
	memcpy((char *)(uintptr_t)frame[0], "HE", 2);
	frame[1] = frame[0] + 1; /* the result */
	return just_run(arg);
}

TEST(methods_work_on_copies_of_strings)
{
	static const struct vmrpc_pass into = {.kind = VMRPC_PASS_INTO};

	begin();
	declare(1, &string, NULL, &into);
	strcpy(at(heap), "hello");
	CHECK_EQ(serve(look_at_string, word_at(heap), 0), 0);
	CHECK_EQ(frame[1], word_at(heap + 1));
	CHECK_STR((const char *)at(heap), "HEllo"); /* with its zero, and no more */
	CHECK_EQ(((char *)at(heap))[6], '!');
	CHECK_EQ(serve(just_run, 0, 0), -EINVAL);
	CHECK_EQ(n_runs, 1);
}

#define LONG 8192 /* string, so that much can happen while it is copied */
static _Atomic bool stop;

static void *toggle_terminator(void *arg)
{
	for (unsigned i = 0; !atomic_load_explicit(&stop, memory_order_relaxed); i++)
		__atomic_store_n((char *)arg, i % 2 ? 0 : 'x', __ATOMIC_RELAXED);
	return NULL;
}

static int measure_string(void *arg)
{
	if (strnlen((const char *)(uintptr_t)frame[0], LONG) > LONG - 1)
		TEST_FAIL("a string has lost its end on the way");
	return just_run(arg);
}

TEST(terminators_that_go_while_strings_are_copied)
{
	static const int64_t max[] = {VMRPC_DO(CONST), LONG + 1, VMRPC_DO(END)};
	struct vmrpc_pass string_max = string;
	unsigned seen[2] = {0};
	pthread_t thread;
	char *end;

#ifdef TEST_TSAN
	TEST_SKIP("the race is the test");
#endif
	string_max.extent = VMRPC_EXTENT_STRING_MAX;
	string_max.before = max;
	begin();
	end = at(session.layout.size);
	memset(end - LONG, 'x', LONG - 1); /* it ends there or nowhere */
	CHECK_EQ(pthread_create(&thread, NULL, toggle_terminator, end - 1), 0);
	/* Until both have been seen often: where processors are few, the other thread seldom runs. */
	for (unsigned i = 0; i < 5000000 && (i < 20000 || seen[0] < 1000 || seen[1] < 1000); i++) {
		int r;

		declare(1, i % 2 ? &string : &string_max, NULL, NULL);
		r = serve(measure_string, word_at(session.layout.size - LONG), 0);
		CHECK(r == 0 || r == -EFAULT);
		seen[r == 0]++;
	}
	atomic_store(&stop, true);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

static int change_without_telling(void *arg)
{
	memset((char *)(uintptr_t)frame[0], 'x', 4);
	return just_run(arg);
}

TEST(what_goes_in_only_does_not_come_out)
{
	static const struct vmrpc_pass in = {.kind = VMRPC_PASS_DATA,
					     .direction = VMRPC_GOES_IN,
					     .flags = VMRPC_PASS_SNAPSHOT,
					     .size = 4,
					     .align = 4};
	static const struct vmrpc_pass copy = {
		.kind = VMRPC_PASS_DATA, .direction = VMRPC_GOES_IN, .flags = VMRPC_PASS_COPY, .size = 4, .align = 4};

	begin();
	for (int trust = 0; trust < 2; trust++) {
		session.trust = trust;
		declare(1, trust ? &copy : &in, NULL, NULL); /* whatever the trust */
		memcpy(at(heap), "abcd", 4);
		CHECK_EQ(serve(change_without_telling, word_at(heap), 0), 0);
		CHECK(memcmp(at(heap), "abcd", 4) == 0);
	}
}

/* A failure that the method tells of leaves the outs alone. */
TEST(outs_of_what_has_failed)
{
	static const int64_t never[] = {VMRPC_DO(CONST), 0, VMRPC_DO(END)};

	begin();
	declare(1, &string, NULL, NULL);
	method.success = never;
	memcpy(at(heap), "abcde", 6);
	CHECK_EQ(serve(change_without_telling, word_at(heap), 0), 0);
	CHECK_STR((const char *)at(heap), "abcde");
}

/* Nothing may lie right behind the last byte: but there it may lie. */
TEST(nothing_at_the_end)
{
	static const int64_t length[] = {VMRPC_CODE(FIELD, 8, 1, 8), VMRPC_DO(END)};
	static const struct vmrpc_pass bytes = {.kind = VMRPC_PASS_DATA,
						.direction = VMRPC_GOES_IN,
						.extent = VMRPC_EXTENT_SIZE,
						.size = 1,
						.align = 1,
						.before = length};

	begin();
	declare(2, &bytes, NULL, NULL);
	CHECK_EQ(serve(just_run, word_at(session.layout.size), 0), 0);
	CHECK_EQ(serve(just_run, word_at(session.layout.size), 1), -EFAULT);
	CHECK_EQ(serve(just_run, word_at(session.layout.size + 1), 0), -EFAULT);
	CHECK_EQ(serve(just_run, word_at(session.layout.stacks), 0), -EFAULT);
	CHECK_EQ(serve(just_run, word_at(session.layout.channels), 0), -EFAULT);
	CHECK_EQ(n_runs, 1);
}

TEST(pointers_into_others)
{
	static const struct vmrpc_pass into = {.kind = VMRPC_PASS_INTO};
	static const struct vmrpc_pass maybe = {.kind = VMRPC_PASS_DATA,
						.direction = VMRPC_GOES_IN,
						.extent = VMRPC_EXTENT_STRING,
						.flags = VMRPC_PASS_SNAPSHOT,
						.size = 1};

	begin();
	declare(2, &maybe, &into, NULL);
	strcpy(at(heap), "hello");
	CHECK_EQ(serve(just_run, word_at(heap), word_at(heap + 2)), 0);
	CHECK_EQ(frame[1] - frame[0], 2); /* in the copy */
	CHECK_EQ(serve(just_run, word_at(heap), word_at(heap + 6)), 0);
	CHECK_EQ(serve(just_run, word_at(heap), word_at(heap + 7)), -EFAULT);
	CHECK_EQ(serve(just_run, word_at(heap), word_at(heap - 1)), -EFAULT);
	CHECK_EQ(serve(just_run, word_at(heap), UINT64_MAX), -EFAULT);
	CHECK_EQ(serve(just_run, 0, word_at(heap)), -EFAULT);
	CHECK_EQ(serve(just_run, 0, 1), -EFAULT);
	CHECK_EQ(serve(just_run, 0, vmrpc__to_word(&session, NULL)), -EFAULT); /* what is NULL here */
	CHECK_EQ(serve(just_run, 0, 0), 0);
}

/* ---- results -------------------------------------------------------------------------------------------------------
 */

static char own[64] = "of the server";
static uint64_t returned; /* by the method */

static int return_it(void *arg)
{
	frame[method.n_params] = returned;
	return just_run(arg);
}

TEST(results_in_memory_of_the_servers)
{
	static const struct vmrpc_pass into = {.kind = VMRPC_PASS_INTO}, shared = {.kind = VMRPC_PASS_SHARED};
	static const struct vmrpc_pass constant = {.kind = VMRPC_PASS_DATA,
						   .direction = VMRPC_GOES_OUT,
						   .extent = VMRPC_EXTENT_STRING,
						   .lifetime = VMRPC_LIVES_FOR_EVER,
						   .size = 1};
	struct vmrpc__copied copied, again;
	uint64_t word;

	begin();
	returned = (uint64_t)(uintptr_t)own;
	declare(1, NULL, NULL, &into);
	CHECK_EQ(serve(return_it, 0, 0), -EFAULT);
	declare(1, NULL, NULL, &shared);
	CHECK_EQ(serve(return_it, 0, 0), -EFAULT);
	declare(1, NULL, NULL, &constant);
	for (channel.spill_used = 0; channel.spill_used < 48; channel.spill_used += 8) { /* in a callback */
		CHECK_EQ(serve(return_it, 0, 0), 0);
		word = frame[1];
		CHECK(word & VMRPC__COPIED);
		word &= ~VMRPC__COPIED;
		CHECK_EQ(word % 16, 0);
		CHECK(at(word) >= (void *)(channel.spill + channel.spill_used));
		memcpy(&copied, at(word), sizeof copied);
		CHECK_EQ(copied.size, strlen(own) + 1);
		CHECK_STR((const char *)at(word) + sizeof copied, own);
	}
	/* What identifies it tells nothing of where it lies. */
	CHECK(copied.identity != 0);
	CHECK((copied.identity ^ (uintptr_t)own) >> 48 || (copied.identity ^ (uintptr_t)own) << 16);
	session.secret++;
	CHECK_EQ(serve(return_it, 0, 0), 0);
	memcpy(&again, at(frame[1] & ~VMRPC__COPIED), sizeof again);
	CHECK(again.identity != copied.identity);
	CHECK(again.identity != (uintptr_t)own && copied.identity != (uintptr_t)own);
	returned = (uint64_t)(uintptr_t)at(heap);
	CHECK_EQ(serve(return_it, 0, 0), 0);
	CHECK_EQ(frame[1], word_at(heap));
	returned = 0;
	CHECK_EQ(serve(return_it, 0, 0), 0);
	CHECK_EQ(frame[1], 0);
}

/* ---- handles -------------------------------------------------------------------------------------------------------
 */

static const struct vmrpc_handle_type type = {.name = "thing"};
static const struct vmrpc_pass thing = {.kind = VMRPC_PASS_HANDLE, .handle = &type};
static const struct vmrpc_pass closing = {.kind = VMRPC_PASS_HANDLE, .handle = &type, .flags = VMRPC_PASS_CLOSES};
static const struct vmrpc_pass thing_there = {.kind = VMRPC_PASS_HANDLE, .handle = &type, .flags = VMRPC_PASS_NONNULL};
static char things[16];
static uint64_t words[4];

static uint64_t put(void *object)
{
	uint64_t word = 0;

	CHECK_EQ(vmrpc__handle_put(&session, &thing, object, 0, &word), 0);
	return word;
}

/* What another thread's call that closes it would be told. */
static int try_to_close(uint64_t word)
{
	void *object;
	int r = vmrpc__handle_get(&session, &type, word, &object);

	if (r < 0)
		return r;
	r = vmrpc__handle_close(&session, word);
	if (r == 0)
		vmrpc__handle_closed(&session, word, false);
	vmrpc__handle_done(&session, word);
	return r;
}

static int others_close(void *arg)
{
	CHECK_EQ(try_to_close(words[0]), *(const int *)arg);
	return just_run(NULL);
}

static int serve_while_others_close(uint64_t a, uint64_t b, int expected)
{
	memcpy(frame, (uint64_t[]){a, b, 0, 0}, sizeof frame);
	return vmrpc__pass_serve(&channel, &method, frame, others_close, &expected);
}

TEST(handles_are_in_use_while_the_method_runs)
{
	static const struct vmrpc_pass array = {
		.kind = VMRPC_PASS_DATA, .direction = VMRPC_GOES_IN, .size = 24, .align = 8, .each = &thing};
	static const struct vmrpc_pass full_array = {
		.kind = VMRPC_PASS_DATA, .direction = VMRPC_GOES_IN, .size = 24, .align = 8, .each = &thing_there};
	uint64_t *elements;

	begin();
	elements = at(heap);
	words[0] = put(things);
	words[1] = put(things + 1);
	declare(1, &thing, NULL, NULL);
	CHECK_EQ(serve_while_others_close(words[0], 0, -EBUSY), 0);
	CHECK_EQ(try_to_close(words[0]), 0); /* and not any longer */
	declare(1, &closing, NULL, NULL);
	CHECK_EQ(serve_while_others_close(words[0], 0, -EBADF), 0);
	CHECK_EQ(try_to_close(words[0]), -EBADF); /* it is gone */
	CHECK_EQ(serve(just_run, words[0], 0), -EBADF);
	words[0] = put(things);
	declare(1, &array, NULL, NULL);
	memcpy(elements, (uint64_t[]){words[1], 0, words[0]}, 24);
	CHECK_EQ(serve_while_others_close(word_at(heap), 0, -EBUSY), 0);
	CHECK_EQ(try_to_close(words[0]), 0);
	CHECK_EQ(try_to_close(words[1]), 0);
	declare(1, &full_array, NULL, NULL);
	CHECK_EQ(serve(just_run, word_at(heap), 0), -EINVAL);
	elements[1] = 12345;
	CHECK_EQ(serve(just_run, word_at(heap), 0), -EBADF); /* half way */
	CHECK_EQ(try_to_close(words[1]), 0);
	/* Refused because another uses it. */
	declare(2, &thing, &closing, NULL);
	CHECK_EQ(serve(just_run, words[0], words[0]), -EBUSY);
	CHECK_EQ(try_to_close(words[0]), 0);
	/* And because of another parameter. */
	declare(2, &closing, &thing, NULL);
	CHECK_EQ(serve(just_run, words[0], words[0]), -EBADF);
	CHECK_EQ(try_to_close(words[0]), 0);
	declare(1, &thing_there, NULL, NULL);
	CHECK_EQ(serve(just_run, 0, 0), -EINVAL);
	vmrpc__handles_free(&session);
}

TEST(a_new_object_where_the_closed_one_was)
{
	begin();
	words[0] = put(things);
	declare(1, &closing, NULL, &thing);
	returned = (uint64_t)(uintptr_t)things;
	CHECK_EQ(serve(return_it, words[0], 0), 0);
	CHECK(frame[1] != words[0]);
	CHECK_EQ(try_to_close(words[0]), -EBADF);
	CHECK_EQ(try_to_close(frame[1]), 0);
	vmrpc__handles_free(&session);
}

/* Closed only where the method says so; it stays the same handle else. */
TEST(closed_on_condition)
{
	static const int64_t result[] = {VMRPC_CODE(FIELD, 8, 1, 8), VMRPC_DO(NOT), VMRPC_DO(END)};
	static const struct vmrpc_pass closing_if_null = {
		.kind = VMRPC_PASS_HANDLE, .handle = &type, .flags = VMRPC_PASS_CLOSES, .condition = result};

	begin();
	words[0] = put(things);
	declare(1, &closing_if_null, NULL, &thing);
	returned = (uint64_t)(uintptr_t)things;
	CHECK_EQ(serve(return_it, words[0], 0), 0);
	CHECK_EQ(frame[1], words[0]);
	CHECK_EQ(try_to_close(words[0]), 0);
	returned = 0;
	CHECK_EQ(serve(return_it, words[0], 0), 0);
	CHECK_EQ(try_to_close(words[0]), -EBADF);
	vmrpc__handles_free(&session);
}

/* Elements that the method did not set are none, whatever the client left there. */
TEST(arrays_of_handles_come_out)
{
	static const struct vmrpc_pass out = {
		.kind = VMRPC_PASS_DATA, .direction = VMRPC_GOES_OUT, .size = 16, .align = 8, .each = &thing};
	uint64_t *elements;

	begin();
	elements = at(heap);
	elements[0] = elements[1] = (uint64_t)(uintptr_t)things;
	declare(1, &out, NULL, NULL);
	CHECK_EQ(serve(just_run, word_at(heap), 0), 0);
	CHECK_EQ(elements[0], 0);
	CHECK_EQ(elements[1], 0);
	vmrpc__handles_free(&session);
}

TEST_MAIN()
