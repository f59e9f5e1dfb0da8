/* Large blocks that a thread keeps ready: the few it freed last, for who allocates the same size again and again. */
#include <string.h>

#include "heap_internal.h"

void *vmrpc__large_pop(struct vmrpc__cache *cache, size_t size)
{
	size_t pages = size <= PTRDIFF_MAX ? (size + VMRPC__PAGE - 1) >> VMRPC__PAGE_SHIFT : 0;

	for (unsigned i = cache->n_large; i-- > 0;) {
		void *block = cache->large[i].block;

		if (cache->large[i].pages != pages)
			continue;
		cache->n_large--;
		cache->large_pages -= pages;
		memmove(&cache->large[i], &cache->large[i + 1], (cache->n_large - i) * sizeof cache->large[0]);
		vmrpc__mark_set(&cache->marks[((uintptr_t)block - cache->base) >> VMRPC__GRANULE_SHIFT],
				VMRPC__MARK_IN_USE + VMRPC__CLASS_LARGE);
		return block;
	}
	return NULL;
}

void vmrpc__large_flush(struct vmrpc__cache *cache, struct vmrpc__arena *arena, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		(void)vmrpc__block_give(arena, (uintptr_t)cache->large[i].block - cache->base, VMRPC__MARK_READY);
		cache->large_pages -= cache->large[i].pages;
	}
	cache->n_large -= n;
	memmove(&cache->large[0], &cache->large[n], cache->n_large * sizeof cache->large[0]);
}

bool vmrpc__large_push(struct vmrpc__cache *cache, struct vmrpc__arena *arena, size_t offset)
{
	/* Without the lock, and relaxed, as marks: it belongs to who may free the block. Where the peer has freed it
	 * behind our back, it is 0 or what a block that began here had, and so stays within the range. */
	size_t pages = atomic_load_explicit(&arena->large_pages[vmrpc__page_of(offset)], memory_order_relaxed);
	unsigned n_old = 0;

	if (pages == 0 || pages > cache->large_room)
		return false;
	for (size_t left = cache->large_pages; left + pages > cache->large_room; n_old++)
		left -= cache->large[n_old].pages;
	if (n_old == 0 && cache->n_large == VMRPC__CACHE_LARGE)
		n_old = 1;
	if (n_old > 0) {
		vmrpc__arena_lock(arena);
		vmrpc__large_flush(cache, arena, n_old);
		vmrpc__arena_unlock(arena);
	}
	vmrpc__mark_set(vmrpc__mark_at(arena, offset), VMRPC__MARK_READY + VMRPC__CLASS_LARGE);
	cache->large[cache->n_large].block = arena->base + offset;
	cache->large[cache->n_large++].pages = pages;
	cache->large_pages += pages;
	return true;
}
