/* Whether all that is said twice about an arena agrees. */
#include <string.h>

#include "heap_internal.h"

struct totals {
	size_t in_use, size, free_pages, spans;
	unsigned free_spans, listed_slabs; /* that bins and lists should hold */
	unsigned retiring;
};

/* Once the peer has freed something, it may have been what this side was about to free itself (heap_internal.h). */
static bool marks_are_reliable(const struct vmrpc__arena *arena)
{
	return arena->inbox.taken == 0;
}

static bool bit(const struct vmrpc__span *slab, unsigned index)
{
	return slab->free_blocks[index / 64] >> index % 64 & 1;
}

static const char *check_blocks(struct vmrpc__arena *arena, const struct vmrpc__span *slab)
{
	size_t offset = slab->first << VMRPC__PAGE_SHIFT;
	size_t end = offset + (slab->n << VMRPC__PAGE_SHIFT);
	unsigned n_free = 0;

	for (unsigned i = 0; i < VMRPC__SLAB_BLOCKS / 64; i++) {
		unsigned from_here = slab->n_blocks > 64 * i ? slab->n_blocks - 64 * i : 0;

		if (from_here < 64 && slab->free_blocks[i] >> from_here != 0)
			return "a block beyond the slab is free";
		n_free += (unsigned)__builtin_popcountll(slab->free_blocks[i]);
	}
	if (n_free != slab->n_free)
		return "a slab has miscounted its free blocks";
	for (size_t at = offset; at < end && marks_are_reliable(arena); at += VMRPC__GRANULE) {
		unsigned mark = vmrpc__mark_get(vmrpc__mark_at(arena, at));
		int index = vmrpc__slab_index(slab, at);
		bool taken = index >= 0 && !bit(slab, (unsigned)index);

		if (!taken && mark != VMRPC__MARK_NONE)
			return index < 0 ? "something is marked inside a block" : "a free block is marked";
		if (taken && mark != VMRPC__MARK_READY + (unsigned)slab->class &&
		    mark != VMRPC__MARK_IN_USE + (unsigned)slab->class)
			return "a taken block is marked wrong";
	}
	return NULL;
}

static const char *check_slab(struct vmrpc__arena *arena, const struct vmrpc__span *slab, struct totals *totals)
{
	for (size_t page = slab->first; page < slab->first + slab->n; page++)
		if (arena->pages[page] != slab)
			return "a page of a slab is not in the map";
	if (slab->class >= VMRPC__N_CLASSES || slab->block_size != vmrpc__class_size(slab->class))
		return "a slab's class and block size differ";
	if ((size_t)slab->n_blocks * slab->block_size > slab->n << VMRPC__PAGE_SHIFT)
		return "a slab is larger than its span";
	if (slab->n_free == slab->n_blocks)
		return "an empty slab was kept";
	if (slab->listed != (slab->n_free > 0 && !slab->range->retired))
		return "a slab with free blocks is not listed, or one without is";
	totals->listed_slabs += slab->listed;
	totals->in_use += (size_t)(slab->n_blocks - slab->n_free) * slab->block_size;
	return check_blocks(arena, slab);
}

static const char *check_range(struct vmrpc__arena *arena, const struct vmrpc__arena_range *range,
			       struct totals *totals)
{
	const struct vmrpc__span *span;
	size_t n_free = 0, end = range->first + range->n;
	bool after_free = false;
	const char *why;
	unsigned mark;

	for (size_t page = range->first; page < end; page += span->n) {
		span = arena->pages[page];
		if (!span || span->first != page || span->n == 0 || span->n > end - page || span->range != range)
			return "a range is not covered by spans";
		totals->spans++;
		switch (span->kind) {
		case VMRPC__SPAN_FREE:
			if (after_free)
				return "neighbours are free and were not joined";
			if (arena->pages[page + span->n - 1] != span)
				return "the last page of a free span is not in the map";
			n_free += span->n;
			totals->free_spans += !range->retired;
			break;
		case VMRPC__SPAN_LARGE:
			totals->in_use += span->n << VMRPC__PAGE_SHIFT;
			mark = vmrpc__mark_get(vmrpc__mark_at(arena, page << VMRPC__PAGE_SHIFT));
			if (marks_are_reliable(arena) && mark != VMRPC__MARK_IN_USE + VMRPC__CLASS_LARGE &&
			    mark != VMRPC__MARK_READY + VMRPC__CLASS_LARGE)
				return "a large block is not marked";
			if (atomic_load_explicit(&arena->large_pages[page], memory_order_relaxed) != span->n)
				return "a large block's pages are not what its span says";
			break;
		case VMRPC__SPAN_SLAB:
			why = check_slab(arena, span, totals);
			if (why)
				return why;
			break;
		default:
			return "a span of no kind is in a range";
		}
		after_free = span->kind == VMRPC__SPAN_FREE;
	}
	if (n_free != range->n_free)
		return "a range has miscounted its free pages";
	if (range->retired && n_free == range->n)
		return "an empty retired range was kept";
	return NULL;
}

static const char *check_lists(struct vmrpc__arena *arena, const struct totals *totals)
{
	unsigned n_free = 0, n_slabs = 0;

	for (unsigned i = 0; i < VMRPC__N_PAGE_BINS; i++) {
		if ((arena->bins[i] != NULL) != (arena->bins_filled[i / 64] >> i % 64 & 1))
			return "a bin is filled and its bit not set, or the other way round";
		for (const struct vmrpc__span *span = arena->bins[i]; span; span = span->next, n_free++) {
			if (span->kind != VMRPC__SPAN_FREE || vmrpc__page_bin(span->n) != i || span->range->retired)
				return "a span is in the wrong bin";
			if (n_free > totals->free_spans || (span->next && span->next->previous != span))
				return "a bin's list is broken";
		}
	}
	for (unsigned class = 0; class < VMRPC__N_CLASSES; class ++)
		for (const struct vmrpc__span *slab = arena->slabs[class]; slab; slab = slab->next, n_slabs++) {
			if (slab->kind != VMRPC__SPAN_SLAB || slab->class != class || !slab->listed)
				return "a slab is in the wrong list";
			if (n_slabs > totals->listed_slabs || (slab->next && slab->next->previous != slab))
				return "a list of slabs is broken";
		}
	if (n_free != totals->free_spans)
		return "a free span is in no bin";
	if (n_slabs != totals->listed_slabs)
		return "a slab with free blocks is in no list";
	return NULL;
}

static const char *check_own_large(struct vmrpc__arena *arena, const struct vmrpc__cache *cache)
{
	size_t pages = 0;

	if (cache->n_large > VMRPC__CACHE_LARGE)
		return "a cache has too many large blocks";
	for (unsigned i = 0; i < cache->n_large; i++) {
		size_t offset = (uintptr_t)cache->large[i].block - cache->base;
		const struct vmrpc__span *span = arena->pages[vmrpc__page_of(offset)];

		pages += cache->large[i].pages;
		if (!marks_are_reliable(arena))
			continue;
		if (!span || span->kind != VMRPC__SPAN_LARGE || span->n != cache->large[i].pages)
			return "a cache holds what is no large block";
		if (vmrpc__mark_get(vmrpc__mark_at(arena, offset)) != VMRPC__MARK_READY + VMRPC__CLASS_LARGE)
			return "a large block in a cache is not marked ready";
	}
	if (pages != cache->large_pages || pages > cache->large_room)
		return "a cache has miscounted its large blocks";
	return NULL;
}

static const char *check_own_cache(struct vmrpc__arena *arena)
{
	const struct vmrpc__cache *cache = vmrpc__cache_own(arena);

	for (unsigned class = 0; cache && class < VMRPC__N_CLASSES; class ++) {
		uint32_t n = cache->bins[class].n, capacity = cache->bins[class].capacity;

		if (n > VMRPC__CACHE_DEPTH || n > (capacity ? capacity : 1))
			return "a cache is too full";
		for (uint32_t i = 0; i < n && marks_are_reliable(arena); i++) {
			size_t offset = (uintptr_t)cache->blocks[class][i] - cache->base;
			const struct vmrpc__span *slab = arena->pages[vmrpc__page_of(offset)];
			int index = slab && slab->kind == VMRPC__SPAN_SLAB ? vmrpc__slab_index(slab, offset) : -1;

			if (index < 0 || slab->class != class || bit(slab, (unsigned)index))
				return "a cache holds what is no block of its class";
			if (vmrpc__mark_get(vmrpc__mark_at(arena, offset)) != VMRPC__MARK_READY + class)
				return "a block in a cache is not marked ready";
		}
	}
	return cache ? check_own_large(arena, cache) : NULL;
}

static const char *check_caches(struct vmrpc__arena *arena)
{
	bool stay = !arena->orphan && arena->n_retiring == 0;
	const struct vmrpc__cache *previous = NULL;

	for (const struct vmrpc__cache *cache = arena->caches; cache; previous = cache, cache = cache->next_of_arena) {
		/* Relaxed: written under the lock we hold. */
		size_t n_granules = atomic_load_explicit(&cache->n_granules, memory_order_relaxed);

		if (cache->previous_of_arena != previous)
			return "the list of caches is broken";
		if (n_granules != (stay ? arena->reserved >> VMRPC__GRANULE_SHIFT : 0))
			return "a cache takes blocks when it should not, or the other way round";
	}
	return check_own_cache(arena);
}

const char *vmrpc__arena_find_fault(struct vmrpc__arena *arena)
{
	struct totals totals = {0};
	const char *why;

	for (const struct vmrpc__arena_range *range = arena->ranges; range; range = range->next) {
		if (!range->own)
			continue;
		why = check_range(arena, range, &totals);
		if (why)
			return why;
		totals.size += range->n << VMRPC__PAGE_SHIFT;
		totals.retiring += range->retired;
	}
	if (totals.in_use != arena->in_use)
		return "in_use is not the sum of what is in use";
	if (totals.size != arena->size)
		return "size is not the sum of the ranges";
	if (totals.spans != arena->n_spans)
		return "span descriptors are lost";
	if (totals.retiring != arena->n_retiring)
		return "retired ranges were miscounted";
	if (arena->inbox.slot >= VMRPC__FREE_SLOTS || arena->outbox.slot >= VMRPC__FREE_SLOTS ||
	    arena->outbox.first_waiting + arena->outbox.n_waiting > arena->outbox.room)
		return "a ring's place is outside the ring";
	why = check_lists(arena, &totals);
	return why ? why : check_caches(arena);
}

bool vmrpc__arena_is_valid(struct vmrpc__arena *arena, const char **ret_why)
{
	const char *why;

	pthread_mutex_lock(&arena->lock);
	why = vmrpc__arena_find_fault(arena);
	pthread_mutex_unlock(&arena->lock);
	if (why)
		*ret_why = why;
	return why == NULL;
}
