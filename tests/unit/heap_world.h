/* A world for the RPC heap alone: a shared region, one or two sides that allocate in it, and the three functions the
 * heap wants of the rest of the runtime, which is not linked. */
#ifndef VMRPC_HEAP_WORLD_H
#define VMRPC_HEAP_WORLD_H

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "heap_internal.h"
#include "test.h"

#define HEAPS_OFFSET ((size_t)16 * VMRPC__PAGE) /* the two rings come first */

struct side {
	struct vmrpc conn; /* only its address counts */
	unsigned char *base;
	struct vmrpc__arena *arena;
	struct vmrpc__free_ring *inbox;
	size_t offset, size; /* of its heap */
};

struct world {
	size_t size;
	struct side a, b;
};

/* ---- what the heap calls ------------------------------------------------------------------------------------- */

static _Thread_local char last_message[512];
static pthread_key_t thread_end;
static _Atomic(struct side *) sides[8];
static _Atomic(struct side *) the_only_side; /* what conn NULL means */
static _Atomic int threads_cant_register;

int vmrpc__fail(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(last_message, sizeof last_message, format, args);
	va_end(args);
	return -error;
}

struct vmrpc__arena *vmrpc__arena_of(struct vmrpc *conn, struct vmrpc **ret_conn)
{
	struct side *only = atomic_load(&the_only_side);

	if (!conn && only)
		conn = &only->conn;
	for (unsigned i = 0; i < 8; i++) {
		struct side *side = atomic_load(&sides[i]);

		if (side && &side->conn == conn) {
			*ret_conn = conn;
			return side->arena;
		}
	}
	vmrpc__fail(ENOTCONN, "no such connection");
	errno = ENOTCONN;
	return NULL;
}

static void thread_ends(void *arg)
{
	(void)arg;
	vmrpc__caches_release();
}

__attribute__((constructor)) static void make_key(void)
{
	pthread_key_create(&thread_end, thread_ends);
}

void vmrpc__arena_done(struct vmrpc *conn)
{
	(void)conn;
}

int vmrpc__thread_register(void)
{
	if (atomic_load(&threads_cant_register))
		return -ENOMEM;
	return -pthread_setspecific(thread_end, &thread_end);
}

/* ---- worlds --------------------------------------------------------------------------------------------------- */

static inline void side_known(struct side *side, bool known)
{
	for (unsigned i = 0; i < 8; i++) {
		struct side *expected = known ? NULL : side;

		if (atomic_compare_exchange_strong(&sides[i], &expected, known ? side : NULL))
			return;
	}
	TEST_FAIL("too many sides");
}

static inline void side_begin(struct world *world, struct side *side, struct side *peer, unsigned char *base)
{
	bool is_a = side == &world->a;
	struct vmrpc__free_ring *to_a = (void *)base, *to_b = (void *)(base + (size_t)4 * VMRPC__PAGE);

	side->base = base;
	side->inbox = is_a ? to_a : to_b;
	CHECK_EQ(vmrpc__arena_new(&side->arena, &side->conn, base, world->size, side->inbox, is_a ? to_b : to_a), 0);
	if (side->size)
		CHECK_EQ(vmrpc__arena_add(side->arena, side->offset, side->size, true), 0);
	if (peer->size)
		CHECK_EQ(vmrpc__arena_add(side->arena, peer->offset, peer->size, false), 0);
	side_known(side, true);
}

/* Side a with a heap of a_size and side b with one of b_size, at the same address or at different ones. */
static inline void world_begin(struct world *world, size_t a_size, size_t b_size, bool same_address)
{
	int fd = memfd_create("heap", MFD_CLOEXEC);
	unsigned char *base[2];

	memset(world, 0, sizeof *world);
	world->size = HEAPS_OFFSET + a_size + b_size;
	world->a.offset = HEAPS_OFFSET;
	world->a.size = a_size;
	world->b.offset = HEAPS_OFFSET + a_size;
	world->b.size = b_size;
	CHECK(fd >= 0 && ftruncate(fd, (off_t)world->size) == 0);
	for (unsigned i = 0; i < 2; i++) {
		base[i] = mmap(NULL, world->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		CHECK(base[i] != MAP_FAILED);
	}
	close(fd);
	side_begin(world, &world->a, &world->b, base[0]);
	side_begin(world, &world->b, &world->a, base[!same_address]);
	atomic_store(&the_only_side, &world->a);
}

static inline void side_end(struct side *side)
{
	side_known(side, false);
	vmrpc__arena_free(side->arena);
	side->arena = NULL;
}

static inline void world_end(struct world *world)
{
	side_end(&world->a);
	side_end(&world->b);
}

/* ---- what tests ask ------------------------------------------------------------------------------------------- */

static inline struct vmrpc__arena_stats stats_of(struct side *side)
{
	struct vmrpc__arena_stats stats;

	vmrpc__arena_get_stats(side->arena, &stats);
	return stats;
}

static inline void check_valid(struct side *side, const char *file, int line)
{
	const char *why = "";

	if (!vmrpc__arena_is_valid(side->arena, &why))
		TEST_FAIL("at %s:%d the arena is invalid: %s", file, line, why);
}
#define CHECK_VALID(side) check_valid(side, __FILE__, __LINE__)

static inline size_t offset_in(const struct side *side, const void *block)
{
	return (size_t)((const unsigned char *)block - side->base);
}

/* Nothing is in use, and what is free is one piece again. This thread's cache and the inbox count as free. */
static inline void check_all_free(struct side *side)
{
	void *all;

	vmrpc__caches_release();
	CHECK_EQ(stats_of(side).in_use, 0);
	all = vmrpc_malloc(&side->conn, side->size);
	CHECK(all);
	CHECK_EQ(offset_in(side, all), side->offset);
	vmrpc_free(all);
	CHECK_EQ(stats_of(side).in_use, 0);
	CHECK_VALID(side);
}

/* Fills a block with a pattern of its own, or checks it: an overlap shows. */
static inline void pattern_write(void *block, size_t size, uint32_t seed)
{
	unsigned char *bytes = block;

	for (size_t i = 0; i < size; i += size < 4096 ? 1 : 61)
		bytes[i] = (unsigned char)(seed + i * 7);
	if (size)
		bytes[size - 1] = (unsigned char)seed;
}

static inline void pattern_check(const void *block, size_t size, uint32_t seed)
{
	const unsigned char *bytes = block;

	for (size_t i = 0; i + 1 < size; i += size < 4096 ? 1 : 61)
		if (bytes[i] != (unsigned char)(seed + i * 7))
			TEST_FAIL("byte %zu of a block of %zu at %p was overwritten", i, size, block);
	if (size && bytes[size - 1] != (unsigned char)seed)
		TEST_FAIL("the last byte of a block of %zu at %p was overwritten", size, block);
}

static inline uint32_t random_next(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*state >> 33);
}

/* Mostly small, sometimes large. */
static inline size_t random_size(uint64_t *state, size_t max)
{
	unsigned bits = random_next(state) % 18;
	size_t size = random_next(state) % ((size_t)16 << bits);

	return size > max ? size % max : size;
}

static inline long scaled(long n)
{
	const char *scale = getenv("VMRPC_TEST_SCALE");
	long result = scale ? n * atol(scale) / 100 : n;

	return result > 0 ? result : 1;
}

/* The program misuses the heap: debug builds stop it at once, others say so and go on. */
#if defined(VMRPC_CHECK_INVARIANTS) && !defined(NDEBUG)
#define CHECK_REFUSED(statement)                                                     \
	do {                                                                         \
		int refused_status;                                                  \
		pid_t refused_child = fork();                                        \
		if (refused_child == 0) {                                            \
			signal(SIGABRT, SIG_DFL);                                    \
			fclose(stderr);                                              \
			statement;                                                   \
			_exit(0);                                                    \
		}                                                                    \
		CHECK_EQ(waitpid(refused_child, &refused_status, 0), refused_child); \
		CHECK(WIFSIGNALED(refused_status));                                  \
		CHECK_EQ(WTERMSIG(refused_status), SIGABRT);                         \
	} while (0)
#else
#define CHECK_REFUSED(statement)             \
	do {                                 \
		errno = 0;                   \
		last_message[0] = 0;         \
		statement;                   \
		CHECK_EQ(errno, EINVAL);     \
		CHECK(last_message[0] != 0); \
	} while (0)
#endif

#endif
