/* What vmrpc_malloc and vmrpc_free cost beside the C library's malloc and free: the same loops, the same sizes, both
 * called through shared libraries. */
#include "bench.h"
#include "service.h"

#define LIVE 512 /* blocks in use at a time in the mixed pattern */

struct allocator {
	struct vmrpc *conn; /* NULL: the C library's */
	size_t size;	    /* 0: mixed */
	void *blocks[LIVE];
};

/* What a loop needs: the compiler may not know that these are malloc and free. */
static inline void *allocate(const struct allocator *allocator, size_t size)
{
	void *block = allocator->conn ? vmrpc_malloc(allocator->conn, size) : malloc(size);

	__asm__ volatile("" : "+r"(block) : : "memory");
	return block;
}

static inline void release(const struct allocator *allocator, void *block)
{
	__asm__ volatile("" : "+r"(block) : : "memory");
	if (allocator->conn)
		vmrpc_free(block);
	else
		free(block);
}

/* Allocates, writes the first word, frees. */
static void pairs(void *arg, unsigned n)
{
	const struct allocator *allocator = arg;

	for (unsigned i = 0; i < n; i++) {
		uint64_t *block = allocate(allocator, allocator->size);

		*block = i;
		release(allocator, block);
	}
}

/* Frees a block chosen at random out of many and allocates another of random size, 16 to 1024, small ones more often.
 */
static void mixed(void *arg, unsigned n)
{
	struct allocator *allocator = arg;
	uint32_t random = 1;

	for (unsigned i = 0; i < n; i++) {
		unsigned which;
		uint64_t *block;

		random = random * 1664525u + 1013904223u;
		which = random >> 16 & (LIVE - 1);
		release(allocator, allocator->blocks[which]);
		block = allocate(allocator, (size_t)16 << (random >> 28 & 3) << (random >> 30) | (random >> 8 & 15));
		*block = i;
		allocator->blocks[which] = block;
	}
}

/* Sixteen blocks, then all of them freed. */
static void bursts(void *arg, unsigned n)
{
	const struct allocator *allocator = arg;
	uint64_t *blocks[16];

	for (unsigned i = 0; i < n; i += 16) {
		for (unsigned j = 0; j < 16; j++) {
			blocks[j] = allocate(allocator, allocator->size);
			*blocks[j] = i;
		}
		for (unsigned j = 0; j < 16; j++)
			release(allocator, blocks[j]);
	}
}

static void compare(struct vmrpc *conn, const char *what, void (*run)(void *arg, unsigned n), size_t size)
{
	struct allocator theirs = {.size = size}, ours = {.conn = conn, .size = size};
	char names[3][96];
	struct bench_case cases[] = {
		{.name = names[0], .run = run, .arg = &theirs},
		{.name = names[1], .run = run, .arg = &ours},
	};

	snprintf(names[0], sizeof names[0], "%s: malloc + free", what);
	snprintf(names[1], sizeof names[1], "%s: vmrpc_malloc + vmrpc_free", what);
	snprintf(names[2], sizeof names[2], "vmrpc_malloc + vmrpc_free / malloc + free, %s", what);
	bench_compare(cases, 2);
	bench_target(names[2], bench_ratio(&cases[1], &cases[0]), "<=", 1.0);
	for (unsigned i = 0; i < LIVE; i++) {
		release(&theirs, theirs.blocks[i]);
		release(&ours, ours.blocks[i]);
	}
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = {16, 64, 256, 1024};
	struct vmrpc *conn;
	char what[32];

	bench_begin(argc, argv, "heap_pair", "what does a block of the RPC heap cost, beside one of the C library's?");
	bench_pin(0);
	service_start("heap", bench.cpus[1], "");
	conn = service_connect("heap", "");
	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		snprintf(what, sizeof what, "%zu bytes", sizes[i]);
		compare(conn, what, pairs, sizes[i]);
	}
	compare(conn, "16 times 64 bytes", bursts, 64);
	compare(conn, "mixed", mixed, 0);
	vmrpc_close(conn);
	return bench_end();
}
