/* Blocks of the size classes: spans cut into slabs, and which of their blocks are free. */
#include "heap_internal.h"

#define SLAB_MIN_PAGES	4u
#define SLAB_MIN_BLOCKS 8u

static size_t slab_pages(uint32_t block_size)
{
	size_t pages = ((size_t)block_size * SLAB_MIN_BLOCKS + VMRPC__PAGE - 1) >> VMRPC__PAGE_SHIFT;

	return pages < SLAB_MIN_PAGES ? SLAB_MIN_PAGES : pages;
}

static struct vmrpc__span *slab_new(struct vmrpc__arena *arena, unsigned class)
{
	uint32_t block_size = vmrpc__class_size(class);
	size_t least = ((size_t)block_size + VMRPC__PAGE - 1) >> VMRPC__PAGE_SHIFT;
	size_t pages = slab_pages(block_size);
	struct vmrpc__span *slab = vmrpc__pages_take(arena, pages);

	while (!slab && pages > least) { /* nearly full, or in pieces: a smaller one will do */
		pages = pages / 2 > least ? pages / 2 : least;
		slab = vmrpc__pages_take(arena, pages);
	}
	if (!slab)
		return NULL;
	slab->kind = VMRPC__SPAN_SLAB;
	slab->class = (uint8_t) class;
	slab->block_size = block_size;
	slab->reciprocal = (uint32_t)(((1ull << 32) + block_size - 1) / block_size);
	slab->n_blocks = (uint16_t)((pages << VMRPC__PAGE_SHIFT) / block_size);
	slab->n_free = slab->n_blocks;
	for (unsigned i = 0; i < VMRPC__SLAB_BLOCKS / 64; i++) {
		unsigned from_here = slab->n_blocks > 64 * i ? slab->n_blocks - 64 * i : 0;

		slab->free_blocks[i] = from_here >= 64 ? UINT64_MAX : (1ull << from_here) - 1;
	}
	for (size_t page = slab->first; page < slab->first + slab->n; page++)
		arena->pages[page] = slab;
	vmrpc__span_link(&arena->slabs[class], slab);
	slab->listed = true;
	return slab;
}

static void unlist(struct vmrpc__arena *arena, struct vmrpc__span *slab)
{
	vmrpc__span_unlink(&arena->slabs[slab->class], slab);
	slab->listed = false;
}

/* Lowest addresses first. */
static unsigned take_from(struct vmrpc__arena *arena, struct vmrpc__span *slab, void **ret_blocks, unsigned want,
			  unsigned mark)
{
	size_t start = slab->first << VMRPC__PAGE_SHIFT;
	unsigned n = 0;

	for (unsigned i = 0; n < want && 64 * i < slab->n_blocks; i++) {
		while (n < want && slab->free_blocks[i]) {
			unsigned index = 64 * i + (unsigned)__builtin_ctzll(slab->free_blocks[i]);
			size_t offset = start + (size_t)index * slab->block_size;

			slab->free_blocks[i] &= slab->free_blocks[i] - 1;
			slab->n_free--;
			arena->in_use += slab->block_size;
			if (vmrpc__mark_get(vmrpc__mark_at(arena, offset)) != VMRPC__MARK_NONE)
				continue; /* freed behind the back of one who still holds it: theirs */
			vmrpc__mark_set(vmrpc__mark_at(arena, offset), mark + slab->class);
			ret_blocks[n++] = arena->base + offset;
		}
	}
	return n;
}

unsigned vmrpc__blocks_take(struct vmrpc__arena *arena, unsigned class, void **ret_blocks, unsigned want, unsigned mark)
{
	unsigned n = 0;

	while (n < want) {
		struct vmrpc__span *slab = arena->slabs[class];

		if (!slab)
			slab = slab_new(arena, class);
		if (!slab)
			break;
		n += take_from(arena, slab, ret_blocks + n, want - n, mark);
		if (slab->n_free == 0)
			unlist(arena, slab);
	}
	return n;
}

int vmrpc__slab_index(const struct vmrpc__span *slab, size_t offset)
{
	size_t within = offset - (slab->first << VMRPC__PAGE_SHIFT);
	uint64_t index;

	if (within >= (size_t)slab->n_blocks * slab->block_size)
		return -1;
	index = within * slab->reciprocal >> 32; /* exact for multiples of block_size, and others fail the test */
	return index * slab->block_size == within ? (int)index : -1;
}

static int give_small(struct vmrpc__arena *arena, struct vmrpc__span *slab, size_t offset, unsigned class)
{
	int index = slab->kind == VMRPC__SPAN_SLAB && slab->class == class ? vmrpc__slab_index(slab, offset) : -1;
	uint64_t bit;

	if (index < 0)
		return -EINVAL; /* the mark is of a block that once was here */
	vmrpc__mark_set(vmrpc__mark_at(arena, offset), VMRPC__MARK_NONE);
	bit = 1ull << (unsigned)index % 64;
	if (slab->free_blocks[index / 64] & bit)
		return 0; /* was freed behind its holder's back; all the same it is free now */
	slab->free_blocks[index / 64] |= bit;
	slab->n_free++;
	arena->in_use -= slab->block_size;
	if (slab->n_free == slab->n_blocks) {
		if (slab->listed)
			unlist(arena, slab);
		vmrpc__pages_give(arena, slab);
	} else if (!slab->listed && !slab->range->retired) {
		vmrpc__span_link(&arena->slabs[class], slab);
		slab->listed = true;
	}
	return 0;
}

int vmrpc__block_give(struct vmrpc__arena *arena, size_t offset, unsigned mark)
{
	unsigned class = vmrpc__mark_get(vmrpc__mark_at(arena, offset)) - mark;
	struct vmrpc__span *span;

	if (class > VMRPC__CLASS_LARGE)
		return -EINVAL; /* as it is wherever no own range is, too */
	span = arena->pages[vmrpc__page_of(offset)];
	if (class != VMRPC__CLASS_LARGE)
		return give_small(arena, span, offset, class);
	if (span->kind != VMRPC__SPAN_LARGE || span->first << VMRPC__PAGE_SHIFT != offset)
		return -EINVAL;
	vmrpc__mark_set(vmrpc__mark_at(arena, offset), VMRPC__MARK_NONE);
	atomic_store_explicit(&arena->large_pages[span->first], 0, memory_order_relaxed); /* as marks */
	arena->in_use -= span->n << VMRPC__PAGE_SHIFT;
	vmrpc__pages_give(arena, span);
	return 0;
}
