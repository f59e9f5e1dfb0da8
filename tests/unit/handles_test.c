/* Handles: the callee's table of objects that a peer knows by number; and the caller's objects that stand for numbers.
 */
#include "pass/pass.h"
#include "test.h"

static struct vmrpc__session session;

#define N_CLOSED 100
static void *closed[N_CLOSED];
static unsigned n_closed;

static void note_closed(void *object)
{
	CHECK(n_closed < N_CLOSED);
	closed[n_closed++] = object;
}

static void note_closed_specially(void *object)
{
	note_closed((char *)object + 1);
}

static const struct vmrpc_handle_type stack_type = {.name = "stack", .close = note_closed};
static const struct vmrpc_handle_type frame_type = {.name = "frame", .close = note_closed};
static const struct vmrpc_pass a_stack = {.handle = &stack_type}, a_frame = {.handle = &frame_type};
static const struct vmrpc_pass a_borrowed_stack = {.handle = &stack_type, .flags = VMRPC_PASS_BORROWED};

static char things[4096]; /* whose addresses are objects */

static uint64_t put_with(const struct vmrpc_pass *pass, void *object, uint64_t parent)
{
	uint64_t word = 0;

	CHECK_EQ(vmrpc__handle_put(&session, pass, object, parent, &word), 0);
	CHECK(word & VMRPC__HANDLE);
	CHECK(!(word & VMRPC__COPIED));
	return word;
}

static uint64_t put(const struct vmrpc_pass *pass, void *object)
{
	return put_with(pass, object, 0);
}

static int get(const struct vmrpc_handle_type *type, uint64_t word)
{
	void *object = &session;
	int r = vmrpc__handle_get(&session, type, word, &object);

	if (r < 0)
		CHECK(object == &session); /* untouched */
	return r;
}

/* It is there, and is this. */
static void check_is(const struct vmrpc_handle_type *type, uint64_t word, void *object)
{
	void *found = NULL;

	CHECK_EQ(vmrpc__handle_get(&session, type, word, &found), 0);
	CHECK(found == object);
	vmrpc__handle_done(&session, word);
}

static int close_it(const struct vmrpc_handle_type *type, uint64_t word)
{
	int r = get(type, word);

	if (r == 0) {
		r = vmrpc__handle_close(&session, word);
		if (r == 0)
			vmrpc__handle_closed(&session, word, true);
		vmrpc__handle_done(&session, word);
	}
	return r;
}

TEST(numbers_stand_for_objects)
{
	uint64_t a = put(&a_stack, things), b = put(&a_stack, things + 1), frame = put(&a_frame, things);

	CHECK(a != b && a != frame && b != frame);
	CHECK_EQ(put(&a_stack, things), a); /* the same */
	check_is(&stack_type, a, things);
	check_is(&stack_type, b, things + 1);
	check_is(&frame_type, frame, things);
	CHECK_EQ(get(&frame_type, a), -EBADF); /* of another type */
	CHECK_EQ(get(&stack_type, frame), -EBADF);
	vmrpc__handles_free(&session);
	CHECK_EQ(n_closed, 3);
}

TEST(numbers_that_are_none)
{
	const uint64_t a = put(&a_stack, things);

	CHECK_EQ(get(&stack_type, 0), -EBADF);
	CHECK_EQ(get(&stack_type, (uint64_t)(uintptr_t)things), -EBADF);
	for (unsigned bit = 0; bit < 64; bit++)
		CHECK_EQ(get(&stack_type, a ^ UINT64_C(1) << bit), -EBADF);
	CHECK_EQ(get(&stack_type, a + (1 << 4)), -EBADF); /* the next index */
	CHECK_EQ(get(&stack_type, UINT64_MAX), -EBADF);
	CHECK_EQ(vmrpc__handle_close(&session, a + (1 << 4)), -EBADF);
	vmrpc__handle_done(&session, a + (1 << 4));
	vmrpc__handle_closed(&session, 12345, true);
	check_is(&stack_type, a, things);
	vmrpc__handles_free(&session);
}

TEST(a_closed_number_is_never_used_again)
{
	const uint64_t a = put(&a_stack, things);
	uint64_t again = a;

	for (unsigned i = 0; i < 1000; i++) {
		CHECK_EQ(close_it(&stack_type, again), 0);
		CHECK_EQ(get(&stack_type, again), -EBADF);
		CHECK_EQ(close_it(&stack_type, again), -EBADF);
		again = put(&a_stack, things); /* in the same place */
		CHECK(again != a);
		CHECK_EQ(get(&stack_type, a), -EBADF);
		check_is(&stack_type, again, things);
	}
	CHECK_EQ(n_closed, 0); /* that was the method's business */
	vmrpc__handles_free(&session);
	CHECK_EQ(n_closed, 1);
}

/* A connection's numbers mean nothing to the next one. */
TEST(numbers_of_an_earlier_connection)
{
	const uint64_t a = put(&a_stack, things);

	vmrpc__handles_free(&session);
	CHECK_EQ(get(&stack_type, a), -EBADF);
	put(&a_stack, things);
	CHECK_EQ(get(&stack_type, a), -EBADF); /* but for one chance in 2^32 */
	vmrpc__handles_free(&session);
}

TEST(what_is_being_closed_is_nobody_elses)
{
	const uint64_t a = put(&a_stack, things);

	CHECK_EQ(get(&stack_type, a), 0);
	CHECK_EQ(vmrpc__handle_close(&session, a), 0);
	CHECK_EQ(get(&stack_type, a), -EBADF);
	CHECK_EQ(vmrpc__handle_close(&session, a), -EBADF);
	vmrpc__handle_closed(&session, a, false); /* the method left it open */
	vmrpc__handle_done(&session, a);
	check_is(&stack_type, a, things);
	CHECK_EQ(close_it(&stack_type, a), 0);
	vmrpc__handles_free(&session);
}

TEST(what_others_use_is_not_closed)
{
	const uint64_t a = put(&a_stack, things);

	CHECK_EQ(get(&stack_type, a), 0); /* another thread's call */
	CHECK_EQ(close_it(&stack_type, a), -EBUSY);
	CHECK_EQ(get(&stack_type, a), 0); /* a call more is fine */
	vmrpc__handle_done(&session, a);
	CHECK_EQ(close_it(&stack_type, a), -EBUSY);
	vmrpc__handle_done(&session, a);
	CHECK_EQ(close_it(&stack_type, a), 0);
	vmrpc__handles_free(&session);
}

/* Those who trust each other may; afterwards the number is gone for all. */
TEST(with_trust_it_is)
{
	uint64_t a = put(&a_stack, things);

	session.trust = true;
	CHECK_EQ(get(&stack_type, a), 0);
	CHECK_EQ(close_it(&stack_type, a), 0);
	vmrpc__handle_done(&session, a);
	CHECK_EQ(get(&stack_type, a), -EBADF);
	/* One who uses it does not open what another is closing. */
	a = put(&a_stack, things);
	CHECK_EQ(get(&stack_type, a), 0);
	CHECK_EQ(get(&stack_type, a), 0);
	CHECK_EQ(vmrpc__handle_close(&session, a), 0);
	vmrpc__handle_done(&session, a);
	CHECK_EQ(get(&stack_type, a), -EBADF);
	vmrpc__handles_free(&session);
}

/* While one call closes an object, the library may put another in its place, or give out the same once more. */
TEST(new_objects_where_old_ones_are_being_closed)
{
	const uint64_t old = put(&a_stack, things);
	uint64_t new;

	CHECK_EQ(get(&stack_type, old), 0);
	CHECK_EQ(vmrpc__handle_close(&session, old), 0);
	new = put(&a_stack, things);
	CHECK(new != old);
	vmrpc__handle_closed(&session, old, true);
	vmrpc__handle_done(&session, old);
	CHECK_EQ(get(&stack_type, old), -EBADF);
	check_is(&stack_type, new, things);

	CHECK_EQ(get(&stack_type, new), 0);
	CHECK_EQ(vmrpc__handle_close(&session, new), 0);
	CHECK(put(&a_stack, things) != new);
	vmrpc__handle_closed(&session, new, false); /* it was not closed: two numbers for it would outlive each other */
	vmrpc__handle_done(&session, new);
	CHECK_EQ(get(&stack_type, new), -EBADF);
	vmrpc__handles_free(&session);
	CHECK_EQ(n_closed, 1);
}

TEST(children_go_with_their_parents)
{
	const uint64_t stack = put(&a_stack, things), other = put(&a_stack, things + 1);
	uint64_t frames[4], of_other = put_with(&a_frame, things + 10, other), grandchild;

	for (unsigned i = 0; i < 4; i++)
		frames[i] = put_with(&a_frame, things + 20 + i, stack);
	grandchild = put_with(&a_frame, things + 30, frames[2]);
	for (unsigned i = 0; i < 4; i++)
		check_is(&frame_type, frames[i], things + 20 + i);
	/* From the middle, the end and the beginning of its list. */
	CHECK_EQ(close_it(&frame_type, frames[1]), 0);
	CHECK_EQ(close_it(&frame_type, frames[0]), 0);
	CHECK_EQ(close_it(&frame_type, frames[3]), 0);
	frames[0] = put_with(&a_frame, things + 20, stack);
	CHECK_EQ(close_it(&stack_type, stack), 0);
	CHECK_EQ(get(&frame_type, frames[0]), -EBADF);
	CHECK_EQ(get(&frame_type, frames[2]), -EBADF);
	CHECK_EQ(get(&frame_type, grandchild), -EBADF);
	check_is(&frame_type, of_other, things + 10);
	vmrpc__handles_free(&session);
	CHECK_EQ(n_closed, 1); /* the other stack; what it takes along is its own business */
	CHECK(closed[0] == things + 1);
}

TEST(what_children_live_with_is_not_closed_under_them)
{
	const uint64_t stack = put(&a_stack, things);
	const uint64_t frame = put_with(&a_frame, things + 1, stack);
	const uint64_t inner = put_with(&a_frame, things + 2, frame);

	CHECK_EQ(get(&frame_type, inner), 0); /* a call uses it */
	CHECK_EQ(close_it(&stack_type, stack), -EBUSY);
	CHECK_EQ(close_it(&frame_type, frame), -EBUSY);
	vmrpc__handle_done(&session, inner);
	/* And the other way round. */
	CHECK_EQ(get(&stack_type, stack), 0);
	CHECK_EQ(vmrpc__handle_close(&session, stack), 0);
	CHECK_EQ(get(&frame_type, inner), -EBADF);
	vmrpc__handle_closed(&session, stack, false);
	vmrpc__handle_done(&session, stack);
	CHECK_EQ(close_it(&frame_type, inner), 0); /* which leaves none behind in those above */
	CHECK_EQ(close_it(&stack_type, stack), 0);
	vmrpc__handles_free(&session);
}

/* A client can build as deep a tree as it likes. */
TEST(deep_and_wide_families)
{
	enum { N = 100000 };
	char *objects = malloc(N);
	uint64_t first = put(&a_stack, objects), last = first;

	for (unsigned i = 1; i < N; i++)
		last = put_with(&a_stack, objects + i, i % 2 ? last : first);
	check_is(&stack_type, last, objects + N - 1);
	CHECK_EQ(close_it(&stack_type, first), 0);
	CHECK_EQ(get(&stack_type, last), -EBADF);
	first = last = put(&a_stack, objects);
	for (unsigned i = 1; i < N; i++)
		last = put_with(&a_stack, objects + i, last);
	CHECK_EQ(close_it(&stack_type, first), 0);
	CHECK_EQ(get(&stack_type, last), -EBADF);
	vmrpc__handles_free(&session);
	CHECK_EQ(n_closed, 0);
	free(objects);
}

TEST(many)
{
	enum { N = 50000 };
	static uint64_t words[N];
	char *objects = malloc(N);
	uint64_t random = 1;

	for (unsigned i = 0; i < N; i++)
		words[i] = put(&a_borrowed_stack, objects + i);
	for (unsigned round = 0; round < 3 * N; round++) {
		unsigned i;

		random = random * UINT64_C(6364136223846793005) + 1;
		i = (unsigned)(random >> 33) % N;
		check_is(&stack_type, words[i], objects + i);
		CHECK_EQ(put(&a_borrowed_stack, objects + i), words[i]);
		if (round % 3 == 0) {
			uint64_t old = words[i];

			CHECK_EQ(close_it(&stack_type, old), 0);
			words[i] = put(&a_borrowed_stack, objects + i);
			CHECK(words[i] != old);
		}
	}
	for (unsigned i = 0; i < N; i++)
		check_is(&stack_type, words[i], objects + i);
	vmrpc__handles_free(&session);
	CHECK_EQ(n_closed, 0);
	free(objects);
}

TEST(what_a_client_left_is_closed)
{
	const struct vmrpc_pass special = {.handle = &stack_type, .close = note_closed_specially};
	const struct vmrpc_handle_type no_closer = {.name = "none"};
	const struct vmrpc_pass unclosed = {.handle = &no_closer};
	uint64_t parent;

	vmrpc__handles_free(&session); /* nothing is fine */
	put(&a_stack, things);
	parent = put(&special, things + 100);
	put(&a_borrowed_stack, things + 200);
	put_with(&a_frame, things + 300, parent);
	put(&unclosed, things + 400);
	close_it(&stack_type, put(&a_stack, things + 500));
	put(&a_frame, things + 600);
	vmrpc__handles_free(&session);
	CHECK_EQ(n_closed, 3); /* newest first */
	CHECK(closed[0] == things + 600);
	CHECK(closed[1] == things + 101);
	CHECK(closed[2] == things);
	vmrpc__handles_free(&session);
	CHECK_EQ(n_closed, 3);
}

/* ---- at the caller ---------------------------------------------------------------------------------------------- */

TEST(objects_that_stand_for_handles)
{
	enum { N = 20000 };
	static unsigned char *objects[N];
	const struct vmrpc_handle_type type = {.name = "gauge", .object_size = 40};
	struct vmrpc conn = {.objects_lock = PTHREAD_MUTEX_INITIALIZER};

	CHECK_EQ(vmrpc__object_word(&conn, things), 0);
	vmrpc__object_forget(&conn, 1);
	for (uint64_t i = 0; i < N; i++) {
		objects[i] = vmrpc__object_of(&conn, &type, VMRPC__HANDLE | i << 4);
		CHECK(objects[i]);
		CHECK_EQ((uintptr_t)objects[i] % 16, 0);
		for (unsigned byte = 0; byte < 40; byte++)
			CHECK_EQ(objects[i][byte], 0);
		memset(objects[i], 1, 40); /* the caller's to use */
	}
	for (uint64_t round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < N; i++) {
			const bool gone = round && i % 3;

			CHECK_EQ(vmrpc__object_word(&conn, objects[i]), gone ? 0 : VMRPC__HANDLE | i << 4);
			if (!gone)
				CHECK(vmrpc__object_of(&conn, &type, VMRPC__HANDLE | i << 4) == objects[i]);
		}
		for (uint64_t i = 0; i < N && round == 0; i++)
			if (i % 3)
				vmrpc__object_forget(&conn, VMRPC__HANDLE | i << 4);
	}
	CHECK_EQ(vmrpc__object_word(&conn, objects[0] + 1), 0); /* into one is none */
	CHECK_EQ(vmrpc__object_word(&conn, NULL), 0);
	vmrpc__objects_free(&conn);
	CHECK_EQ(vmrpc__object_word(&conn, things), 0);
	vmrpc__objects_free(&conn);
}

TEST_MAIN()
