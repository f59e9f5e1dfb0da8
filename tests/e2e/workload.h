/* Everything a client can do, in random order: for tests that end one side in the midst of it. */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <pthread.h>
#include <stdatomic.h>

#include <vmrpc/stack.h>

#include "world.h"

struct workload {
	const char *address;
	struct vmrpc *conn;
	uint64_t random;
	bool mortal; /* the server may die: calls may fail, and what lies in its region must not be relied on */
	_Atomic bool *stop;
};

/* xorshift64* */
static inline uint32_t workload_random(uint64_t *state, uint32_t below)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t)((*state * UINT64_C(0x2545f4914f6cdd1d)) >> 32) % below;
}

static inline uint64_t workload_seed(void)
{
	const char *given = getenv("VMRPC_TEST_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_MONOTONIC, &now);
	seed = given ? strtoull(given, NULL, 10) : (uint64_t)now.tv_nsec + (uint64_t)getpid() * 1000000000;
	fprintf(stderr, "VMRPC_TEST_SEED=%" PRIu64 "\n", seed);
	return seed * 2 + 1; /* never 0 */
}

/* 0: the call succeeded. Else it failed because the server has died, which must be possible. */
static inline int workload_result(const struct workload *work, int result, const char *what)
{
	static const int deaths[] = {EPIPE, ECONNREFUSED, ENOENT, EAGAIN};

	for (unsigned i = 0; result < 0 && work->mortal && i < sizeof deaths / sizeof deaths[0]; i++)
		if (result == -deaths[i])
			return result;
	if (result < 0)
		TEST_FAIL("%s: %s: %s", what, strerror(-result), vmrpc_error_message());
	return result;
}

#define WORKLOAD_TRY(work, call)                                         \
	do {                                                             \
		int workload_r = workload_result((work), (call), #call); \
                                                                         \
		if (workload_r < 0)                                      \
			return workload_r;                               \
	} while (0)

static inline int workload_scalars(struct workload *work)
{
	int64_t a = workload_random(&work->random, 1000), result;

	WORKLOAD_TRY(work, lab_null(work->conn));
	WORKLOAD_TRY(work, lab_add(work->conn, a, 5, &result));
	CHECK_EQ(result, a + 5);
	WORKLOAD_TRY(work, lab_six(work->conn, a, 1, 1, 1, 1, 1, &result));
	CHECK_EQ(result, a + 20);
	return 0;
}

static inline int workload_async(struct workload *work)
{
	int64_t n = workload_random(&work->random, 600), noted, in_order;

	for (int64_t i = 0; i < n; i++)
		WORKLOAD_TRY(work, lab_note(work->conn, i));
	if (workload_random(&work->random, 2))
		WORKLOAD_TRY(work, lab_flush(work->conn));
	WORKLOAD_TRY(work, lab_notes(work->conn, &noted, &in_order));
	if (!work->mortal) {
		CHECK_EQ(noted, n);
		CHECK_EQ(in_order, 1);
	}
	return 0;
}

static inline int workload_spilled(struct workload *work)
{
	static _Thread_local struct lab_huge huge, huge_result;
	struct lab_big big, result;

	for (unsigned i = 0; i < LAB_BIG_WORDS; i++)
		big.words[i] = i * i;
	WORKLOAD_TRY(work, lab_big(work->conn, &big, &result));
	CHECK_EQ(result.words[LAB_BIG_WORDS - 1], big.words[LAB_BIG_WORDS - 1] + 1);
	huge.words[1999] = 7;
	WORKLOAD_TRY(work, lab_huge(work->conn, &huge, &huge_result));
	CHECK_EQ(huge_result.words[1999], 8);
	return 0;
}

static inline int workload_nested(struct workload *work)
{
	int64_t n = workload_random(&work->random, 5), depth;

	WORKLOAD_TRY(work, lab_countdown(work->conn, n, &depth));
	CHECK_EQ(depth, n);
	return 0;
}

static inline int workload_heap(struct workload *work)
{
	size_t n = 1 + workload_random(&work->random, 5000);
	int64_t *numbers = vmrpc_malloc(work->conn, n * sizeof *numbers), sum;
	char *theirs;

	if (!numbers)
		return workload_result(work, -errno, "vmrpc_malloc");
	for (size_t i = 0; i < n; i++)
		numbers[i] = (int64_t)i;
	if (work->mortal) { /* another server has another region */
		vmrpc_free(numbers);
		return 0;
	}
	WORKLOAD_TRY(work, lab_sum(work->conn, numbers, n, &sum));
	CHECK_EQ(sum, (int64_t)(n * (n - 1) / 2));
	WORKLOAD_TRY(work, lab_unmake(work->conn, numbers));
	WORKLOAD_TRY(work, lab_make(work->conn, n, 'x', (void **)&theirs));
	CHECK_EQ(theirs[n - 1], 'x');
	vmrpc_free(theirs);
	return 0;
}

static inline int workload_more_heap(struct workload *work)
{
	struct vmrpc_heap *heap;
	int r;

	WORKLOAD_TRY(work, vmrpc_heap_setup(&heap, work->conn, (size_t)1 << 20));
	r = workload_heap(work);
	vmrpc_heap_destroy(heap);
	return r;
}

static inline void *workload_on_stack(void *arg)
{
	struct workload *work = arg;
	int64_t result;
	void *where;

	if (!work->mortal) { /* on another server's stack there is no sharing locals */
		CHECK_OK(lab_on_stack(work->conn, 21, &result, &where));
		CHECK_EQ(result, 42);
	}
	return (void *)(intptr_t)workload_spilled(work); /* its frames lie in the region already */
}

static inline int workload_stack(struct workload *work)
{
	void *result = NULL;

	WORKLOAD_TRY(work, vmrpc_stack_call(work->conn, workload_on_stack, work, &result));
	WORKLOAD_TRY(work, (int)(intptr_t)result);
	return 0;
}

static inline void *workload_thread(void *arg)
{
	struct workload work = *(struct workload *)arg;

	(void)(workload_scalars(&work) < 0 || workload_nested(&work) < 0);
	return NULL;
}

static inline int workload_new_thread(struct workload *work)
{
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, workload_thread, work), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	return 0;
}

static inline int workload_new_connection(struct workload *work)
{
	struct workload other = *work;
	char address[256];
	const char *map = getenv("VMRPC_TEST_MAP");
	int r;

	snprintf(address, sizeof address, "%s?timeout=20s&heap=1M%s%s", work->address, map ? "&map=" : "",
		 map ? map : "");
	WORKLOAD_TRY(work, vmrpc_connect(&other.conn, &lab_service, address));
	r = workload_scalars(&other);
	if (r == 0)
		r = workload_heap(&other);
	vmrpc_close(other.conn);
	return r;
}

static inline int workload_step(struct workload *work)
{
	static int (*const steps[])(struct workload * work) = {
		workload_scalars, workload_scalars, workload_async, workload_spilled,	workload_nested,
		workload_heap,	  workload_heap,    workload_stack, workload_more_heap,
	};
	const uint32_t n = sizeof steps / sizeof steps[0];
	uint32_t rare = workload_random(&work->random, 40);

	if (rare == 0)
		return workload_new_connection(work);
	if (rare == 1)
		return workload_new_thread(work);
	return steps[workload_random(&work->random, n)](work);
}

static inline void *workload_run(void *arg)
{
	struct workload work = *(struct workload *)arg;

	while (!atomic_load(work.stop))
		workload_step(&work);
	return NULL;
}

#endif
