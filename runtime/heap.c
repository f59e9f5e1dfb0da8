/* The arena: where ranges come and go, and every way into it but the per-thread caches. */
#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap_internal.h"

static size_t marks_size(size_t reserved)
{
	return reserved >> VMRPC__GRANULE_SHIFT;
}

static size_t pages_size(size_t reserved)
{
	return (reserved >> VMRPC__PAGE_SHIFT) * sizeof(struct vmrpc__span *);
}

static size_t large_size(size_t reserved)
{
	return (reserved >> VMRPC__PAGE_SHIFT) * sizeof(uint32_t);
}

/* A table for the whole region, of which no more than what ranges need is ever written, or backed by memory. */
static void *table_map(size_t size)
{
	void *table = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (table == MAP_FAILED)
		return NULL;
	madvise(table, size, MADV_NOHUGEPAGE); /* an idle connection should cost a few pages, not a few huge ones */
	return table;
}

static int table_write(void *table, size_t start, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t from = start / page * page;

	return mprotect((char *)table + from, start + size - from, PROT_READ | PROT_WRITE);
}

int vmrpc__arena_new(struct vmrpc__arena **ret_arena, struct vmrpc *conn, unsigned char *base, size_t reserved,
		     struct vmrpc__free_ring *inbox, struct vmrpc__free_ring *outbox)
{
	struct vmrpc__arena *arena;

	reserved = reserved / VMRPC__PAGE * VMRPC__PAGE;
	if (reserved == 0 || (uintptr_t)base % VMRPC__PAGE != 0 || (uintptr_t)base > UINTPTR_MAX - reserved)
		return vmrpc__fail(EINVAL, "no RPC heap can be kept for %zu bytes at %p", reserved, (void *)base);
	arena = calloc(1, sizeof *arena);
	if (!arena)
		return vmrpc__fail(ENOMEM, "no memory for an RPC heap's tables");
	arena->conn = conn;
	arena->base = base;
	arena->reserved = reserved;
	arena->generation = vmrpc__process_generation();
	arena->inbox.ring = inbox;
	arena->outbox.ring = outbox;
	arena->marks = table_map(marks_size(reserved));
	arena->pages = table_map(pages_size(reserved));
	arena->large_pages = table_map(large_size(reserved));
	if (!arena->marks || !arena->pages || !arena->large_pages || pthread_mutex_init(&arena->lock, NULL) != 0)
		goto fail;
	vmrpc__registry_of_arenas_add(arena);
	*ret_arena = arena;
	return 0;
fail:
	if (arena->marks)
		munmap((void *)arena->marks, marks_size(reserved));
	if (arena->pages)
		munmap(arena->pages, pages_size(reserved));
	if (arena->large_pages)
		munmap((void *)arena->large_pages, large_size(reserved));
	free(arena);
	return vmrpc__fail(ENOMEM, "no address space for the tables of an RPC heap of %zu bytes", reserved);
}

void vmrpc__arena_free(struct vmrpc__arena *arena)
{
	if (!arena)
		return;
	if (arena->generation == vmrpc__process_generation()) {
		vmrpc__registry_of_arenas_remove(arena);
		pthread_mutex_destroy(&arena->lock);
	} /* else it came from the parent of this process, whose threads may have left the lock taken */
	while (arena->ranges) {
		struct vmrpc__arena_range *range = arena->ranges;

		arena->ranges = range->next;
		free(range);
	}
	vmrpc__pages_forget_all(arena);
	munmap((void *)arena->marks, marks_size(arena->reserved));
	munmap(arena->pages, pages_size(arena->reserved));
	munmap((void *)arena->large_pages, large_size(arena->reserved));
	free(arena->outbox.waiting);
	free(arena);
}

static void chores(struct vmrpc__arena *arena)
{
	vmrpc__inbox_take(arena);
	vmrpc__outbox_retry(arena);
}

void vmrpc__arena_lock(struct vmrpc__arena *arena)
{
	pthread_mutex_lock(&arena->lock);
	chores(arena);
}

struct vmrpc__arena_range *vmrpc__arena_unlock_first(struct vmrpc__arena *arena)
{
	struct vmrpc__arena_range *emptied = arena->emptied;

#ifdef VMRPC_CHECK_INVARIANTS
	/* The cost of a check grows with the heap; how often it is made shrinks likewise. */
	if (arena->until_check-- == 0) {
		const char *why = vmrpc__arena_find_fault(arena);

		assert(why == NULL);
		arena->until_check = arena->n_spans / 2;
	}
#endif
	arena->emptied = NULL;
	pthread_mutex_unlock(&arena->lock);
	return emptied;
}

void vmrpc__ranges_emptied(struct vmrpc__arena_range *emptied)
{
	while (emptied) {
		struct vmrpc__arena_range *range = emptied;

		emptied = range->next;
		if (range->empty)
			range->empty(range->arg);
		free(range);
	}
}

void vmrpc__arena_unlock(struct vmrpc__arena *arena)
{
	vmrpc__ranges_emptied(vmrpc__arena_unlock_first(arena));
}

struct vmrpc__arena_range *vmrpc__range_of(struct vmrpc__arena *arena, size_t offset)
{
	for (struct vmrpc__arena_range *range = arena->ranges; range; range = range->next)
		if (vmrpc__page_of(offset) - range->first < range->n)
			return range;
	return NULL;
}

int vmrpc__arena_add(struct vmrpc__arena *arena, size_t offset, size_t size, bool own)
{
	struct vmrpc__arena_range *range;
	int error = -ENOMEM;

	if (offset % VMRPC__PAGE != 0 || size % VMRPC__PAGE != 0 || size == 0 || offset > arena->reserved ||
	    size > arena->reserved - offset)
		return vmrpc__fail(EINVAL, "%zu bytes at offset %zu can't be a heap in a region of %zu", size, offset,
				   arena->reserved);
	range = calloc(1, sizeof *range);
	if (!range)
		return vmrpc__fail(ENOMEM, "no memory for a heap's tables");
	range->first = vmrpc__page_of(offset);
	range->n = vmrpc__page_of(size);
	range->own = own;

	pthread_mutex_lock(&arena->lock);
	for (struct vmrpc__arena_range *other = arena->ranges; other; other = other->next)
		if (range->first < other->first + other->n && other->first < range->first + range->n) {
			error = -EINVAL;
			goto fail;
		}
	if (own) {
		if (table_write((void *)arena->marks, marks_size(offset), marks_size(size)) != 0 ||
		    table_write(arena->pages, pages_size(offset), pages_size(size)) != 0 ||
		    table_write((void *)arena->large_pages, large_size(offset), large_size(size)) != 0 ||
		    vmrpc__pages_add(arena, range) < 0)
			goto fail;
		arena->size += size;
	}
	range->next = arena->ranges;
	arena->ranges = range;
	pthread_mutex_unlock(&arena->lock);
	return 0;
fail:
	pthread_mutex_unlock(&arena->lock);
	free(range);
	return vmrpc__fail(-error,
			   error == -EINVAL ? "%zu bytes at offset %zu lie in another heap"
					    : "no memory for the tables of a heap of %zu bytes at offset %zu",
			   size, offset);
}

void vmrpc__arena_retire(struct vmrpc__arena *arena, size_t offset, void (*empty)(void *arg), void *arg)
{
	struct vmrpc__arena_range **link;
	struct vmrpc__arena_range *range;

	pthread_mutex_lock(&arena->lock);
	for (link = &arena->ranges; (range = *link) != NULL; link = &range->next)
		if (range->first << VMRPC__PAGE_SHIFT == offset)
			break;
	if (range && !range->own) {
		*link = range->next;
		free(range);
		pthread_mutex_unlock(&arena->lock);
		return;
	}
	if (range && !range->retired) {
		chores(arena);
		range->empty = empty;
		range->arg = arg;
		vmrpc__cache_flush_own(arena);
		vmrpc__pages_retire(arena, range);
		if (arena->n_retiring > 0)
			vmrpc__caches_alert(arena);
	}
	vmrpc__arena_unlock(arena);
}

void vmrpc__arena_orphan(struct vmrpc__arena *arena)
{
	vmrpc__arena_lock(arena);
	arena->orphan = true;
	vmrpc__cache_flush_own(arena);
	vmrpc__caches_alert(arena);
	vmrpc__arena_unlock(arena);
}

void *vmrpc__arena_take(struct vmrpc__arena *arena, size_t size)
{
	struct vmrpc__span *span;
	void *block;
	size_t offset;

	if (size <= VMRPC__SMALL_MAX)
		return vmrpc__blocks_take(arena, vmrpc__class_of(size), &block, 1, VMRPC__MARK_IN_USE) ? block : NULL;
	if (size > arena->reserved)
		return NULL;
	span = vmrpc__pages_take(arena, (size + VMRPC__PAGE - 1) >> VMRPC__PAGE_SHIFT);
	if (!span)
		return NULL;
	span->kind = VMRPC__SPAN_LARGE;
	/* Relaxed: as marks. */
	atomic_store_explicit(&arena->large_pages[span->first], span->n <= UINT32_MAX ? (uint32_t)span->n : 0,
			      memory_order_relaxed);
	offset = span->first << VMRPC__PAGE_SHIFT;
	vmrpc__mark_set(vmrpc__mark_at(arena, offset), VMRPC__MARK_IN_USE + VMRPC__CLASS_LARGE);
	arena->in_use += span->n << VMRPC__PAGE_SHIFT;
	return arena->base + offset;
}

void *vmrpc__arena_full(struct vmrpc__arena *arena, size_t size)
{
	struct vmrpc__arena_stats stats;

	vmrpc__arena_get_stats(arena, &stats);
	vmrpc__fail(ENOMEM,
		    "the RPC heap has no %zu bytes in one piece: %zu of its %zu are in use. Free some, open the "
		    "connection with a larger heap= or add memory with vmrpc_heap_setup()",
		    size, stats.in_use, stats.size);
	errno = ENOMEM;
	return NULL;
}

void *vmrpc__arena_malloc(struct vmrpc__arena *arena, size_t size)
{
	void *block;

	vmrpc__arena_lock(arena);
	block = vmrpc__arena_take(arena, size);
	if (!block) {
		vmrpc__cache_flush_own(arena);
		block = vmrpc__arena_take(arena, size);
	}
	vmrpc__arena_unlock(arena);
	return block ? block : vmrpc__arena_full(arena, size);
}

int vmrpc__arena_release(struct vmrpc__arena *arena, size_t offset)
{
	int error = -EINVAL;

	vmrpc__arena_lock(arena);
	if (offset < arena->reserved)
		error = vmrpc__block_give(arena, offset, VMRPC__MARK_IN_USE);
	vmrpc__arena_unlock(arena);
	if (error < 0)
		return vmrpc__fail(-error, "offset %zu is not the start of a block in use", offset);
	return 0;
}

int vmrpc__arena_give_up(struct vmrpc__arena *arena, size_t offset)
{
	struct vmrpc__arena_range *range;
	int error = -EINVAL;

	vmrpc__arena_lock(arena);
	range = offset < arena->reserved && offset % VMRPC__GRANULE == 0 ? vmrpc__range_of(arena, offset) : NULL;
	if (range)
		error = range->own ? vmrpc__block_give(arena, offset, VMRPC__MARK_IN_USE)
				   : vmrpc__outbox_post(arena, offset);
	vmrpc__arena_unlock(arena);
	return error;
}

/* Whether the peer has lied since this was last asked. The lock is held. */
static bool take_lie(struct vmrpc__arena *arena)
{
	bool lied = arena->inbox.lied;

	arena->inbox.lied = false;
	return lied;
}

static int fail_of_lie(void)
{
	return vmrpc__fail(EPROTO, "the peer freed something that is no block in use");
}

int vmrpc__arena_push(struct vmrpc__arena *arena)
{
	bool lied;

	pthread_mutex_lock(&arena->lock);
	vmrpc__outbox_retry(arena);
	lied = take_lie(arena);
	pthread_mutex_unlock(&arena->lock);
	return lied ? fail_of_lie() : 0;
}

bool vmrpc__arena_is_idle(struct vmrpc__arena *arena)
{
	bool idle;

	pthread_mutex_lock(&arena->lock);
	idle = arena->in_use == 0 && !arena->caches;
	pthread_mutex_unlock(&arena->lock);
	return idle;
}

int vmrpc__arena_drain(struct vmrpc__arena *arena)
{
	bool lied;
	int taken;

	pthread_mutex_lock(&arena->lock);
	taken = vmrpc__inbox_take(arena);
	vmrpc__outbox_retry(arena);
	lied = take_lie(arena);
	vmrpc__arena_unlock(arena);
	return lied ? fail_of_lie() : taken;
}

void vmrpc__arena_get_stats(struct vmrpc__arena *arena, struct vmrpc__arena_stats *ret_stats)
{
	*ret_stats = (struct vmrpc__arena_stats){0};
	if (arena->generation != vmrpc__process_generation())
		return; /* the parent's, whose threads may have left the lock taken */
	pthread_mutex_lock(&arena->lock);
	chores(arena);
	ret_stats->in_use = arena->in_use;
	ret_stats->size = arena->size;
	ret_stats->posted = arena->outbox.posted;
	ret_stats->waiting = arena->outbox.n_waiting;
	ret_stats->lies = arena->inbox.lies;
	pthread_mutex_unlock(&arena->lock); /* ranges that are empty now are told of by whoever comes next */
}
