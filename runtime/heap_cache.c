/* vmrpc_malloc and vmrpc_free: each thread's ready blocks, found through one thread-local pointer.
 *
 * A cache belongs to its thread, which alone looks into its bins, and to its arena, which may tell it to look
 * closer (arena_retire, arena_orphan) or that it is gone (arena_free). Only its thread frees it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "heap_internal.h"

#define CACHE_SIZE (sizeof(struct vmrpc__cache) + VMRPC__N_CLASSES * VMRPC__CACHE_DEPTH * sizeof(void *))

/* Stands in for the cache of a thread that has none, so that the fast paths need not ask. */
static struct vmrpc__cache nobody = {.conn = VMRPC__NOBODY};

static _Thread_local struct vmrpc__cache *current = &nobody;
static _Thread_local struct vmrpc__cache *mine; /* all of this thread's, by next_of_thread */

static void *malloc_slowly(struct vmrpc *conn, size_t size) __attribute__((noinline));
static void free_slowly(void *pointer) __attribute__((noinline));

void *vmrpc_malloc(struct vmrpc *conn, size_t size)
{
	struct vmrpc__cache *cache = current;

	if (vmrpc__likely(atomic_load_explicit(&cache->conn, memory_order_relaxed) == conn &&
			  size <= VMRPC__SMALL_MAX)) {
		unsigned class = vmrpc__class_of(size);
		uint32_t n = cache->bins[class].n;

		if (vmrpc__likely(n > 0)) {
			void *block = cache->blocks[class][n - 1];

			cache->bins[class].n = n - 1;
			vmrpc__mark_set(&cache->marks[((uintptr_t)block - cache->base) >> VMRPC__GRANULE_SHIFT],
					VMRPC__MARK_IN_USE + class);
			return block;
		}
	}
	return malloc_slowly(conn, size);
}

void vmrpc_free(void *pointer)
{
	struct vmrpc__cache *cache = current;
	size_t offset = (uintptr_t)pointer - cache->base;
	/* Rotated, so that an offset within a granule is huge. */
	size_t granule = offset >> VMRPC__GRANULE_SHIFT | offset << (8 * sizeof offset - VMRPC__GRANULE_SHIFT);

	if (vmrpc__likely(granule < atomic_load_explicit(&cache->n_granules, memory_order_relaxed))) {
		unsigned class = vmrpc__mark_get(&cache->marks[granule]) - (unsigned)VMRPC__MARK_IN_USE;

		if (vmrpc__likely(class < VMRPC__N_CLASSES)) {
			uint32_t n = cache->bins[class].n;

			if (vmrpc__likely(n < cache->bins[class].capacity)) {
				vmrpc__mark_set(&cache->marks[granule], VMRPC__MARK_READY + class);
				cache->blocks[class][n] = pointer;
				cache->bins[class].n = n + 1;
				return;
			}
		}
	}
	free_slowly(pointer);
}

/* ---- giving back ------------------------------------------------------------------------------------------------- */

/* Gives back the blocks that have lain longest, under the arena's lock. */
static void bin_flush(struct vmrpc__cache *cache, struct vmrpc__arena *arena, unsigned class, uint32_t n)
{
	void **blocks = cache->blocks[class];

	/* One that is no longer ready was freed behind our back, and is not ours to give. */
	for (uint32_t i = 0; i < n; i++)
		(void)vmrpc__block_give(arena, (uintptr_t)blocks[i] - cache->base, VMRPC__MARK_READY);
	cache->bins[class].n -= n;
	memmove(blocks, blocks + n, cache->bins[class].n * sizeof *blocks);
}

static void cache_flush(struct vmrpc__cache *cache, struct vmrpc__arena *arena)
{
	for (unsigned class = 0; class < VMRPC__N_CLASSES; class ++)
		bin_flush(cache, arena, class, cache->bins[class].n);
	vmrpc__large_flush(cache, arena, cache->n_large);
}

static struct vmrpc__arena *cache_arena(const struct vmrpc__cache *cache)
{
	/* Acquire: all that vmrpc__caches_detach() did to the cache before it was freed by us. */
	return atomic_load_explicit(&cache->arena, memory_order_acquire);
}

static struct vmrpc *cache_key(const struct vmrpc__cache *cache)
{
	/* Relaxed: as conn. */
	return atomic_load_explicit(&cache->key, memory_order_relaxed);
}

static struct vmrpc__cache *cache_find(const struct vmrpc__arena *arena)
{
	for (struct vmrpc__cache *cache = mine; cache; cache = cache->next_of_thread)
		if (cache_arena(cache) == arena)
			return cache;
	return NULL;
}

const struct vmrpc__cache *vmrpc__cache_own(const struct vmrpc__arena *arena)
{
	return cache_find(arena);
}

void vmrpc__cache_flush_own(struct vmrpc__arena *arena)
{
	struct vmrpc__cache *cache = cache_find(arena);

	if (cache)
		cache_flush(cache, arena);
}

/* ---- between cache and arena --------------------------------------------------------------------------------- */

static bool is_orphan(struct vmrpc__arena *arena)
{
	bool orphan;

	pthread_mutex_lock(&arena->lock);
	orphan = arena->orphan;
	pthread_mutex_unlock(&arena->lock);
	return orphan;
}

static bool blocks_may_stay(const struct vmrpc__arena *arena)
{
	return !arena->orphan && arena->n_retiring == 0;
}

void vmrpc__caches_alert(struct vmrpc__arena *arena)
{
	for (struct vmrpc__cache *cache = arena->caches; cache; cache = cache->next_of_arena) {
		atomic_store_explicit(&cache->conn, VMRPC__NOBODY, memory_order_relaxed);
		atomic_store_explicit(&cache->n_granules, 0, memory_order_relaxed);
		if (arena->orphan)
			atomic_store_explicit(&cache->key, VMRPC__NOBODY, memory_order_relaxed);
	}
}

void vmrpc__caches_calm(struct vmrpc__arena *arena)
{
	if (!blocks_may_stay(arena))
		return;
	for (struct vmrpc__cache *cache = arena->caches; cache; cache = cache->next_of_arena)
		atomic_store_explicit(&cache->n_granules, arena->reserved >> VMRPC__GRANULE_SHIFT,
				      memory_order_relaxed);
}

/* The closer look: gives back what may be of a retired range. */
static void cache_look_closer(struct vmrpc__cache *cache, struct vmrpc__arena *arena)
{
	vmrpc__arena_lock(arena);
	cache_flush(cache, arena);
	atomic_store_explicit(&cache->conn, cache_key(cache), memory_order_relaxed);
	vmrpc__arena_unlock(arena);
}

static void cache_attach(struct vmrpc__cache *cache, struct vmrpc__arena *arena, struct vmrpc *key)
{
	vmrpc__arena_lock(arena);
	for (unsigned class = 0; class < VMRPC__N_CLASSES; class ++) {
		size_t share = arena->size / 512 < VMRPC__CACHE_BYTES ? arena->size / 512 : VMRPC__CACHE_BYTES;
		size_t fit = share / vmrpc__class_size(class);

		cache->bins[class].capacity = fit < VMRPC__CACHE_DEPTH ? (uint32_t)fit : VMRPC__CACHE_DEPTH;
	}
	cache->large_room = arena->size / 64 < VMRPC__CACHE_LARGE_BYTES ? arena->size / 64 : VMRPC__CACHE_LARGE_BYTES;
	cache->large_room >>= VMRPC__PAGE_SHIFT;
	atomic_init(&cache->key, arena->orphan ? VMRPC__NOBODY : key);
	atomic_init(&cache->conn, cache_key(cache));
	atomic_init(&cache->n_granules, blocks_may_stay(arena) ? arena->reserved >> VMRPC__GRANULE_SHIFT : 0);
	cache->next_of_arena = arena->caches;
	if (arena->caches)
		arena->caches->previous_of_arena = cache;
	arena->caches = cache;
	vmrpc__arena_unlock(arena);
}

/* This thread's cache of the arena, made if need be; NULL when that can't be: the arena then does without. */
static struct vmrpc__cache *cache_get(struct vmrpc__arena *arena, struct vmrpc *key)
{
	struct vmrpc__cache *cache = cache_find(arena);

	if (cache)
		return cache;
	if (vmrpc__thread_register() < 0)
		return NULL;
	cache = mmap(NULL, CACHE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (cache == MAP_FAILED)
		return NULL;
	cache->base = (uintptr_t)arena->base;
	cache->marks = arena->marks;
	cache->reserved = arena->reserved;
	atomic_init(&cache->arena, arena);
	cache_attach(cache, arena, key);
	cache->next_of_thread = mine;
	mine = cache;
	return cache;
}

static void cache_free(struct vmrpc__cache **link)
{
	struct vmrpc__cache *cache = *link;

	*link = cache->next_of_thread;
	if (current == cache)
		current = &nobody;
	munmap(cache, CACHE_SIZE);
}

/* Flushes a cache and takes it off its arena's list. Under the registry's lock, so that the arena stays. */
static struct vmrpc__arena_range *cache_part(struct vmrpc__cache *cache)
{
	struct vmrpc__arena *arena = cache_arena(cache);

	if (!arena)
		return NULL;
	vmrpc__arena_lock(arena);
	cache_flush(cache, arena);
	if (cache->previous_of_arena)
		cache->previous_of_arena->next_of_arena = cache->next_of_arena;
	else
		arena->caches = cache->next_of_arena;
	if (cache->next_of_arena)
		cache->next_of_arena->previous_of_arena = cache->previous_of_arena;
	return vmrpc__arena_unlock_first(arena);
}

/* Takes a cache from its arena, if that is still there, and frees it. */
static void cache_end(struct vmrpc__cache **link)
{
	struct vmrpc__arena_range *emptied;

	vmrpc__registry_of_arenas_hold();
	emptied = cache_part(*link);
	vmrpc__registry_of_arenas_let_go();
	vmrpc__ranges_emptied(emptied);
	cache_free(link);
}

/* Frees caches whose arenas are gone or orphaned. */
static void bury_the_dead(void)
{
	struct vmrpc__cache **link = &mine;

	while (*link) {
		if (cache_arena(*link) && cache_key(*link) != VMRPC__NOBODY)
			link = &(*link)->next_of_thread;
		else
			cache_end(link);
	}
}

/* ---- the slow paths ------------------------------------------------------------------------------------------ */

static void cache_refill(struct vmrpc__cache *cache, struct vmrpc__arena *arena, unsigned class)
{
	uint32_t want = cache->bins[class].capacity > 1 ? cache->bins[class].capacity / 2 : 1;
	void **blocks = cache->blocks[class];
	uint32_t n;

	vmrpc__arena_lock(arena);
	n = vmrpc__blocks_take(arena, class, blocks, want, VMRPC__MARK_READY);
	if (n == 0) {
		cache_flush(cache, arena);
		n = vmrpc__blocks_take(arena, class, blocks, 1, VMRPC__MARK_READY);
	}
	cache->bins[class].n = n;
	for (uint32_t i = 0; i < n / 2; i++) { /* lowest addresses are handed out first */
		void *block = blocks[i];

		blocks[i] = blocks[n - 1 - i];
		blocks[n - 1 - i] = block;
	}
	vmrpc__arena_unlock(arena);
}

static void *malloc_slowly(struct vmrpc *conn, size_t size)
{
	struct vmrpc__cache *cache = NULL;
	struct vmrpc__arena *arena;
	unsigned class;
	void *block;

	if (atomic_load_explicit(&current->conn, memory_order_relaxed) == conn && size > VMRPC__SMALL_MAX) {
		block = vmrpc__large_pop(current, size);
		if (block)
			return block;
	}
	bury_the_dead();
	for (struct vmrpc__cache *each = mine; each && conn && !cache; each = each->next_of_thread)
		if (cache_key(each) == conn)
			cache = each;
	if (!cache) {
		struct vmrpc *key = NULL;

		arena = vmrpc__arena_of(conn, &key);
		if (!arena)
			return NULL;
		cache = cache_get(arena, key);
		if (!cache) {
			block = vmrpc__arena_malloc(arena, size);
			vmrpc__arena_done(key);
			return block;
		}
		vmrpc__arena_done(key); /* our cache holds it from here on */
	}
	arena = cache_arena(cache);
	current = cache;
	if (atomic_load_explicit(&cache->conn, memory_order_relaxed) == VMRPC__NOBODY)
		cache_look_closer(cache, arena);
	if (size > VMRPC__SMALL_MAX) {
		block = vmrpc__large_pop(cache, size);
		return block ? block : vmrpc__arena_malloc(arena, size);
	}

	class = vmrpc__class_of(size);
	if (cache->bins[class].n == 0)
		cache_refill(cache, arena, class);
	if (cache->bins[class].n == 0)
		return vmrpc__arena_full(arena, size);
	block = cache->blocks[class][--cache->bins[class].n];
	vmrpc__mark_set(vmrpc__mark_at(arena, (uintptr_t)block - cache->base), VMRPC__MARK_IN_USE + class);
	return block;
}

/* The program frees what is not a block: it is told, and nothing happens. */
static void refuse(const void *pointer, const char *why)
{
	vmrpc__fail(EINVAL, "vmrpc_free(%p): %s", pointer, why);
	errno = EINVAL;
#ifdef VMRPC_CHECK_INVARIANTS
	assert(!"vmrpc_free() of something that is no block in use");
#endif
}

/* Frees a block of an own range by way of the cache, or past it where it may not stay or does not fit. */
static int free_own(struct vmrpc__cache *cache, struct vmrpc__arena *arena, size_t offset)
{
	unsigned class = vmrpc__mark_get(vmrpc__mark_at(arena, offset)) - (unsigned)VMRPC__MARK_IN_USE;

	if (class >= VMRPC__N_CLASSES || !cache || cache->bins[class].capacity == 0 || !blocks_may_stay(arena))
		return vmrpc__block_give(arena, offset, VMRPC__MARK_IN_USE);
	if (cache->bins[class].n >= cache->bins[class].capacity)
		bin_flush(cache, arena, class, (cache->bins[class].capacity + 1) / 2);
	vmrpc__mark_set(vmrpc__mark_at(arena, offset), VMRPC__MARK_READY + class);
	cache->blocks[class][cache->bins[class].n++] = arena->base + offset;
	return 0;
}

static void free_slowly(void *pointer)
{
	struct vmrpc__cache *cache;
	struct vmrpc__arena *arena;
	struct vmrpc__arena_range *range;
	size_t offset;
	int error = -EINVAL;

	if (!pointer)
		return;
	cache = current;
	offset = (uintptr_t)pointer - cache->base;
	if (offset >> VMRPC__GRANULE_SHIFT < atomic_load_explicit(&cache->n_granules, memory_order_relaxed) &&
	    offset % VMRPC__PAGE == 0 &&
	    vmrpc__mark_get(&cache->marks[offset >> VMRPC__GRANULE_SHIFT]) == VMRPC__MARK_IN_USE + VMRPC__CLASS_LARGE &&
	    vmrpc__large_push(cache, cache_arena(cache), offset))
		return;
	bury_the_dead();
	cache = current;
	if ((uintptr_t)pointer - cache->base >= cache->reserved)
		for (cache = mine; cache; cache = cache->next_of_thread)
			if ((uintptr_t)pointer - cache->base < cache->reserved)
				break;
	if (cache) {
		arena = cache_arena(cache);
	} else {
		arena = vmrpc__registry_of_arenas_find(pointer);
		if (!arena) {
			refuse(pointer, "it is in no heap of a connection that is open");
			return;
		}
		if (!is_orphan(arena))
			cache = cache_get(arena, arena->conn);
	}
	if (cache) {
		current = cache;
		if (atomic_load_explicit(&cache->conn, memory_order_relaxed) == VMRPC__NOBODY)
			cache_look_closer(cache, arena);
	}

	offset = (size_t)((uintptr_t)pointer - (uintptr_t)arena->base);
	vmrpc__arena_lock(arena);
	range = vmrpc__range_of(arena, offset);
	if (range && offset % VMRPC__GRANULE == 0)
		error = range->own ? free_own(cache, arena, offset) : vmrpc__outbox_post(arena, offset);
	vmrpc__arena_unlock(arena);
	if (error == -ENOMEM) {
		vmrpc__fail(ENOMEM, "no memory to remember that the peer's block %p was freed: it is lost", pointer);
		errno = ENOMEM;
	} else if (error < 0) {
		refuse(pointer, "it is not the start of a block in use: freed twice, or never allocated");
	}
}

/* ---- ends ---------------------------------------------------------------------------------------------------- */

void vmrpc__caches_detach(struct vmrpc__arena *arena)
{
	struct vmrpc__cache *next;

	for (struct vmrpc__cache *cache = arena->caches; cache; cache = next) {
		next = cache->next_of_arena;
		atomic_store_explicit(&cache->conn, VMRPC__NOBODY, memory_order_relaxed);
		atomic_store_explicit(&cache->n_granules, 0, memory_order_relaxed);
		/* Release: our last touch of the cache. Its thread may free it as soon as cache_arena() sees this. */
		atomic_store_explicit(&cache->arena, NULL, memory_order_release);
	}
	arena->caches = NULL;
}

void vmrpc__caches_release(void)
{
	while (mine)
		cache_end(&mine);
}

void vmrpc__caches_forget(void)
{
	while (mine)
		cache_free(&mine);
	vmrpc__registry_of_arenas_forget();
}
