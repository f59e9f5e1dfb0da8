/* Spans of whole pages: best fit by bins, coalesced at once when freed.
 *
 * A free span is found by its neighbours through the page map entries of its first and last page. Entries of pages in
 * the middle of spans are left stale, so an entry counts only if the span it names says so too. Spans never
 * reach beyond their range, which must be able to go as a whole. */
#include <string.h>
#include <sys/mman.h>

#include "heap_internal.h"

#define CHUNK_SIZE ((size_t)64 << 10)

struct vmrpc__span_chunk {
	struct vmrpc__span_chunk *next;
	size_t n_used; /* at least once */
	struct vmrpc__span spans[];
};

#define CHUNK_SPANS ((CHUNK_SIZE - sizeof(struct vmrpc__span_chunk)) / sizeof(struct vmrpc__span))

static struct vmrpc__span *span_new(struct vmrpc__arena *arena)
{
	struct vmrpc__span_chunk *chunk = arena->chunks;
	struct vmrpc__span *span = arena->unused_spans;

	if (span) {
		arena->unused_spans = span->next;
	} else {
		if (!chunk || chunk->n_used == CHUNK_SPANS) {
			chunk = mmap(NULL, CHUNK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (chunk == MAP_FAILED)
				return NULL;
			chunk->next = arena->chunks;
			arena->chunks = chunk;
		}
		span = &chunk->spans[chunk->n_used++];
	}
	arena->n_spans++;
	return span;
}

static void span_free(struct vmrpc__arena *arena, struct vmrpc__span *span)
{
	span->kind = VMRPC__SPAN_UNUSED;
	span->next = arena->unused_spans;
	arena->unused_spans = span;
	arena->n_spans--;
}

void vmrpc__pages_forget_all(struct vmrpc__arena *arena)
{
	while (arena->chunks) {
		struct vmrpc__span_chunk *chunk = arena->chunks;

		arena->chunks = chunk->next;
		munmap(chunk, CHUNK_SIZE);
	}
	arena->unused_spans = NULL;
}

void vmrpc__span_link(struct vmrpc__span **list, struct vmrpc__span *span)
{
	span->previous = NULL;
	span->next = *list;
	if (*list)
		(*list)->previous = span;
	*list = span;
}

void vmrpc__span_unlink(struct vmrpc__span **list, struct vmrpc__span *span)
{
	if (span->previous)
		span->previous->next = span->next;
	else
		*list = span->next;
	if (span->next)
		span->next->previous = span->previous;
}

unsigned vmrpc__page_bin(size_t n)
{
	unsigned log;

	if (n < 64)
		return (unsigned)n;
	log = 63u - (unsigned)__builtin_clzll(n);
	return 64 + 8 * (log - 6) + ((n >> (log - 3)) & 7);
}

static void bin_put(struct vmrpc__arena *arena, struct vmrpc__span *span)
{
	unsigned bin = vmrpc__page_bin(span->n);

	vmrpc__span_link(&arena->bins[bin], span);
	arena->bins_filled[bin / 64] |= 1ull << bin % 64;
}

static void bin_remove(struct vmrpc__arena *arena, struct vmrpc__span *span)
{
	unsigned bin = vmrpc__page_bin(span->n);

	vmrpc__span_unlink(&arena->bins[bin], span);
	if (!arena->bins[bin])
		arena->bins_filled[bin / 64] &= ~(1ull << bin % 64);
}

/* Makes the span, whose pages are set, a free one that its neighbours can find. */
static void span_set_free(struct vmrpc__arena *arena, struct vmrpc__span *span)
{
	span->kind = VMRPC__SPAN_FREE;
	arena->pages[span->first] = span;
	arena->pages[span->first + span->n - 1] = span;
	if (!span->range->retired)
		bin_put(arena, span);
}

int vmrpc__pages_add(struct vmrpc__arena *arena, struct vmrpc__arena_range *range)
{
	struct vmrpc__span *span = span_new(arena);

	if (!span)
		return -ENOMEM;
	span->range = range;
	span->first = range->first;
	span->n = range->n;
	range->n_free = range->n;
	span_set_free(arena, span);
	return 0;
}

static struct vmrpc__span *find_in_bin(struct vmrpc__arena *arena, unsigned bin, size_t n, unsigned tries)
{
	for (struct vmrpc__span *span = arena->bins[bin]; span && tries > 0; span = span->next, tries--)
		if (span->n >= n)
			return span;
	return NULL;
}

static struct vmrpc__span *find(struct vmrpc__arena *arena, size_t n)
{
	unsigned own_bin = vmrpc__page_bin(n);
	struct vmrpc__span *span = find_in_bin(arena, own_bin, n, 8);

	if (span)
		return span;
	for (unsigned bin = own_bin + 1; bin < VMRPC__N_PAGE_BINS; bin = (bin / 64 + 1) * 64) {
		uint64_t filled = arena->bins_filled[bin / 64] >> bin % 64;

		if (filled) /* whatever lies in a higher bin is large enough */
			return arena->bins[bin + (unsigned)__builtin_ctzll(filled)];
	}
	return find_in_bin(arena, own_bin, n, UINT32_MAX); /* rather slow than full */
}

struct vmrpc__span *vmrpc__pages_take(struct vmrpc__arena *arena, size_t n)
{
	struct vmrpc__span *span = find(arena, n);
	struct vmrpc__span *rest = NULL;

	if (!span)
		return NULL;
	if (span->n > n) {
		rest = span_new(arena);
		if (!rest)
			return NULL;
	}
	bin_remove(arena, span);
	span->range->n_free -= n;
	if (rest) {
		rest->range = span->range;
		rest->first = span->first + n;
		rest->n = span->n - n;
		span->n = n;
		span_set_free(arena, rest);
	}
	arena->pages[span->first] = span;
	return span;
}

/* Takes a free neighbour in. */
static void absorb(struct vmrpc__arena *arena, struct vmrpc__span *span, struct vmrpc__span *neighbour)
{
	if (!span->range->retired)
		bin_remove(arena, neighbour);
	if (neighbour->first < span->first)
		span->first = neighbour->first;
	span->n += neighbour->n;
	span_free(arena, neighbour);
}

/* A retired range whose last block has gone. */
static void range_forget(struct vmrpc__arena *arena, struct vmrpc__arena_range *range)
{
	struct vmrpc__arena_range **link = &arena->ranges;

	span_free(arena, arena->pages[range->first]);
	while (*link != range)
		link = &(*link)->next;
	*link = range->next;
	range->next = arena->emptied;
	arena->emptied = range;
	arena->size -= range->n << VMRPC__PAGE_SHIFT;
	arena->n_retiring--;
	vmrpc__caches_calm(arena);
}

void vmrpc__pages_give(struct vmrpc__arena *arena, struct vmrpc__span *span)
{
	struct vmrpc__arena_range *range = span->range;
	struct vmrpc__span *neighbour;

	range->n_free += span->n;
	if (span->first > range->first) {
		neighbour = arena->pages[span->first - 1];
		if (neighbour && neighbour->kind == VMRPC__SPAN_FREE && neighbour->first + neighbour->n == span->first)
			absorb(arena, span, neighbour);
	}
	if (span->first + span->n < range->first + range->n) {
		neighbour = arena->pages[span->first + span->n];
		if (neighbour->kind == VMRPC__SPAN_FREE)
			absorb(arena, span, neighbour);
	}
	span_set_free(arena, span);
	if (range->retired && range->n_free == range->n)
		range_forget(arena, range);
}

void vmrpc__pages_retire(struct vmrpc__arena *arena, struct vmrpc__arena_range *range)
{
	struct vmrpc__span *span;

	for (size_t page = range->first; page < range->first + range->n; page += span->n) {
		span = arena->pages[page];
		if (span->kind == VMRPC__SPAN_FREE)
			bin_remove(arena, span);
		if (span->kind == VMRPC__SPAN_SLAB && span->listed) {
			vmrpc__span_unlink(&arena->slabs[span->class], span);
			span->listed = false;
		}
	}
	range->retired = true;
	arena->n_retiring++;
	if (range->n_free == range->n)
		range_forget(arena, range);
}
