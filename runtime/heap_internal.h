/* What the files of the RPC heap share.
 *
 *   heap_cache.c   vmrpc_malloc, vmrpc_free: this thread's ready blocks; no locks, no atomic read-modify-writes
 *   heap_large.c   the same for large blocks
 *   heap.c         the arena: ranges come and go, blocks one by one
 *   heap_slabs.c   blocks of the size classes
 *   heap_pages.c   spans of whole pages
 *   heap_posts.c   the rings by which each side frees the other's blocks
 *   heap_registry.c  the arenas of this process
 *   heap_check.c   is it all still true?
 *
 * Two records say which blocks exist. A slab's free_blocks is the arena's, under its lock. The marks, one byte for
 * each granule of the region, say the same to the fast path, without a lock: a block's mark belongs to whoever
 * holds the block. Should the peer, or the program, free a block behind its holder's back, the two may come to
 * differ for that block: it may then be handed out twice or not at all, but every step below is written so
 * that nothing else changes. Marks are never unmapped before the arena is.
 *
 * Locks: registry, then one arena's. */
#ifndef VMRPC_HEAP_INTERNAL_H
#define VMRPC_HEAP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "heap.h"
#include "internal.h"

#define VMRPC__GRANULE_SHIFT 4
#define VMRPC__GRANULE	     ((size_t)1 << VMRPC__GRANULE_SHIFT)
#define VMRPC__PAGE_SHIFT    12
_Static_assert(1 << VMRPC__PAGE_SHIFT == VMRPC__PAGE, "one page size");

/* ---- marks: what begins at a granule ---------------------------------------------------------------------- */

enum {
	VMRPC__MARK_NONE = 0,	   /* nothing, or a free block */
	VMRPC__MARK_READY = 0x40,  /* plus its class: a block in a thread's cache */
	VMRPC__MARK_IN_USE = 0x80, /* plus its class, or VMRPC__CLASS_LARGE */
};
typedef _Atomic uint8_t vmrpc__mark;

/* Relaxed: a mark changes hands with its block, and whatever hands over a pointer (the program, the arena's lock, a
 * call, a post) orders it. Atomic only for frees that should not happen, which race with the rightful holder. */
static inline uint8_t vmrpc__mark_get(const vmrpc__mark *mark)
{
	return atomic_load_explicit(mark, memory_order_relaxed);
}

static inline void vmrpc__mark_set(vmrpc__mark *mark, unsigned value)
{
	atomic_store_explicit(mark, (uint8_t)value, memory_order_relaxed);
}

/* ---- size classes: granule by granule up to 128 bytes, then four to each doubling ------------------------------ */

#define VMRPC__SMALL_MAX   ((size_t)32768)
#define VMRPC__N_CLASSES   40u
#define VMRPC__CLASS_LARGE 0x3fu /* in marks only */

/* For sizes up to VMRPC__SMALL_MAX. */
static inline unsigned vmrpc__class_of(size_t size)
{
	unsigned last = ((unsigned)size - (size != 0)) >> VMRPC__GRANULE_SHIFT; /* of its granules */
	unsigned log;

	if (last < 8)
		return last;
	log = 31u - (unsigned)__builtin_clz(last);
	return 4 * log - 4 + ((last >> (log - 2)) & 3);
}

static inline uint32_t vmrpc__class_size(unsigned class)
{
	unsigned log = class / 4 + 1;

	if (class < 8)
		return (class + 1) << VMRPC__GRANULE_SHIFT;
	return ((4 + class % 4 + 1) << (log - 2)) << VMRPC__GRANULE_SHIFT;
}

/* ---- pages ---------------------------------------------------------------------------------------------- */

struct vmrpc__arena_range {
	size_t first, n; /* pages */
	bool own;
	bool retired;  /* its free spans are in no bin, its slabs in no list */
	size_t n_free; /* pages in free spans */
	void (*empty)(void *arg);
	void *arg;
	struct vmrpc__arena_range *next;
};

enum vmrpc__span_kind { VMRPC__SPAN_UNUSED, VMRPC__SPAN_FREE, VMRPC__SPAN_LARGE, VMRPC__SPAN_SLAB };

#define VMRPC__SLAB_BLOCKS 1024u

/* The descriptors are never given back before the arena is, so that a stale one in the page map can be looked at. */
struct vmrpc__span {
	struct vmrpc__span *next, *previous; /* in a bin of free spans, or a list of slabs with free blocks */
	struct vmrpc__arena_range *range;
	size_t first, n; /* pages */
	uint8_t kind;
	uint8_t class;
	bool listed; /* slab: in its class's list */
	uint16_t n_blocks, n_free;
	uint32_t block_size, reciprocal; /* of slabs; 2^32 / block_size rounded up */
	uint64_t free_blocks[VMRPC__SLAB_BLOCKS / 64];
};

/* Bins of free spans: one for each size below 64 pages, then eight to each doubling. */
#define VMRPC__N_PAGE_BINS (64 + 8 * 46)

struct vmrpc__arena {
	struct vmrpc *conn;
	unsigned char *base;
	size_t reserved;
	vmrpc__mark *marks;	    /* one for each granule of the region; written for own ranges only */
	struct vmrpc__span **pages; /* each page's span: all pages of a slab, first and last of a free span, first of a
				       large block; other entries are stale */
	_Atomic uint32_t
		*large_pages; /* how many the large block has that begins at a page, else 0; read without the lock */
	unsigned generation;  /* of processes: forks since the first */
	struct vmrpc__arena *next; /* in the registry */

	pthread_mutex_t lock; /* of all below */
	struct vmrpc__arena_range *ranges;
	struct vmrpc__arena_range *emptied; /* forgotten; their callbacks are due once the lock is released */
	struct vmrpc__span *bins[VMRPC__N_PAGE_BINS];
	uint64_t bins_filled[(VMRPC__N_PAGE_BINS + 63) / 64];
	struct vmrpc__span *slabs[VMRPC__N_CLASSES]; /* that have free blocks */
	struct vmrpc__span *unused_spans;	     /* by next */
	struct vmrpc__span_chunk *chunks;
	size_t in_use, size;
	size_t n_spans;	     /* that describe something */
	unsigned n_retiring; /* own ranges that are retired and not empty */
	bool orphan;
	struct vmrpc__cache *caches; /* of all threads */

	struct {
		struct vmrpc__free_ring *ring;
		uint32_t head; /* ours; the one in the ring is for the peer to see */
		uint32_t slot; /* the one head stands for */
		uint64_t taken, lies;
		bool lied; /* since the last vmrpc__arena_drain() */
	} inbox;
	struct {
		struct vmrpc__free_ring *ring;
		uint32_t tail, slot;
		uint64_t posted;
		uint64_t *waiting; /* offsets that did not fit, oldest first from first_waiting */
		size_t first_waiting, n_waiting, room;
	} outbox;

	size_t until_check; /* slow-path operations, in debug builds */
};

static inline size_t vmrpc__page_of(size_t offset)
{
	return offset >> VMRPC__PAGE_SHIFT;
}

static inline vmrpc__mark *vmrpc__mark_at(const struct vmrpc__arena *arena, size_t offset)
{
	return &arena->marks[offset >> VMRPC__GRANULE_SHIFT];
}

/* ---- heap_pages.c: all under the arena's lock ------------------------------------------------------------------ */

/* -ENOMEM. The range's pages become one free span. */
int vmrpc__pages_add(struct vmrpc__arena *arena, struct vmrpc__arena_range *range);
/* A span of n pages of no kind yet, or NULL. */
struct vmrpc__span *vmrpc__pages_take(struct vmrpc__arena *arena, size_t n);
/* Frees the span, together with its free neighbours. Its range is forgotten if that was a retired one's last. */
void vmrpc__pages_give(struct vmrpc__arena *arena, struct vmrpc__span *span);
/* Takes the range's free spans and slabs out of bins and lists; forgets it if it is empty. */
void vmrpc__pages_retire(struct vmrpc__arena *arena, struct vmrpc__arena_range *range);
void vmrpc__pages_forget_all(struct vmrpc__arena *arena);
unsigned vmrpc__page_bin(size_t n);
void vmrpc__span_link(struct vmrpc__span **list, struct vmrpc__span *span);
void vmrpc__span_unlink(struct vmrpc__span **list, struct vmrpc__span *span);

/* ---- heap_slabs.c: likewise ------------------------------------------------------------------------------------ */

/* Takes up to want free blocks, marks them with mark plus class, and returns how many. */
unsigned vmrpc__blocks_take(struct vmrpc__arena *arena, unsigned class, void **ret_blocks, unsigned want,
			    unsigned mark);
/* Frees a block that carries the mark given, or fails with -EINVAL and does nothing. offset is inside the region. */
int vmrpc__block_give(struct vmrpc__arena *arena, size_t offset, unsigned mark);
/* The block's number in the slab, or -1 when none begins there. */
int vmrpc__slab_index(const struct vmrpc__span *slab, size_t offset);

/* ---- heap_posts.c: likewise ------------------------------------------------------------------------------------- */

int vmrpc__inbox_take(struct vmrpc__arena *arena);
/* Never fails but for want of private memory: -ENOMEM. */
int vmrpc__outbox_post(struct vmrpc__arena *arena, size_t offset);
void vmrpc__outbox_retry(struct vmrpc__arena *arena);

/* ---- heap.c ------------------------------------------------------------------------------------------------------ */

/* Locks and does what is due: takes posts, posts what waits. */
void vmrpc__arena_lock(struct vmrpc__arena *arena);
/* Checks, in debug builds; unlocks; tells those whose ranges are empty now. */
void vmrpc__arena_unlock(struct vmrpc__arena *arena);
/* The same in two steps, for a caller who holds another lock. */
struct vmrpc__arena_range *vmrpc__arena_unlock_first(struct vmrpc__arena *arena);
void vmrpc__ranges_emptied(struct vmrpc__arena_range *emptied);

struct vmrpc__arena_range *vmrpc__range_of(struct vmrpc__arena *arena, size_t offset);
/* A large block, or a single small one, under the lock. */
void *vmrpc__arena_take(struct vmrpc__arena *arena, size_t size);
/* Sets the error message and errno; returns NULL. Without the lock. */
void *vmrpc__arena_full(struct vmrpc__arena *arena, size_t size);

/* ---- heap_cache.c ---------------------------------------------------------------------------------------------- */

#define VMRPC__CACHE_DEPTH	 64u		    /* blocks of a class at most */
#define VMRPC__CACHE_BYTES	 ((size_t)64 << 10) /* of a class at most; less in small heaps */
#define VMRPC__CACHE_LARGE	 4u
#define VMRPC__CACHE_LARGE_BYTES ((size_t)4 << 20) /* in all at most; less in small heaps */

struct vmrpc__cache {
	/* What the fast paths read. Set under the arena's lock, by other threads too; relaxed, as a thread that may use
	 * a connection or block has come by it in a way that orders whatever was done to its cache before. */
	_Atomic(struct vmrpc *) conn; /* vmrpc_malloc() finds us by it; VMRPC__NOBODY: it had better look closer */
	_Atomic size_t n_granules;    /* of the region; 0: vmrpc_free() had better look closer */
	uintptr_t base;
	vmrpc__mark *marks;
	struct {
		uint32_t n, capacity;
	} bins[VMRPC__N_CLASSES];

	/* Large ones, oldest first. */
	struct {
		void *block;
		size_t pages;
	} large[VMRPC__CACHE_LARGE];
	unsigned n_large;
	size_t large_pages, large_room; /* pages, in all */

	/* Written by arena_free with release, read with acquire: who sees NULL may free the cache. */
	_Atomic(struct vmrpc__arena *) arena;
	_Atomic(struct vmrpc *) key; /* what conn is when all is well; VMRPC__NOBODY with an orphan */
	size_t reserved;
	struct vmrpc__cache *next_of_thread;
	struct vmrpc__cache *next_of_arena, *previous_of_arena; /* under the arena's lock */
	void *blocks[][VMRPC__CACHE_DEPTH];
};

#define VMRPC__NOBODY ((struct vmrpc *)-1)

/* These under the arena's lock. Gives back what this thread's cache of it holds: */
void vmrpc__cache_flush_own(struct vmrpc__arena *arena);
/* Makes all its caches look closer at the next malloc or free, and at every free as long as blocks may not stay: */
void vmrpc__caches_alert(struct vmrpc__arena *arena);
/* Ends that when they may: */
void vmrpc__caches_calm(struct vmrpc__arena *arena);
/* Parts the arena from all its caches; under the registry's lock, the arena's threads being still: */
void vmrpc__caches_detach(struct vmrpc__arena *arena);
/* This thread's cache of the arena, or NULL. */
const struct vmrpc__cache *vmrpc__cache_own(const struct vmrpc__arena *arena);

/* ---- heap_large.c: large blocks in this thread's cache ------------------------------------------------------- */

/* A ready block of as many pages, or NULL. */
void *vmrpc__large_pop(struct vmrpc__cache *cache, size_t size);
/* Keeps a block whose mark says in use, or returns false and does nothing. */
bool vmrpc__large_push(struct vmrpc__cache *cache, struct vmrpc__arena *arena, size_t offset);
/* Under the arena's lock: gives the n oldest back. */
void vmrpc__large_flush(struct vmrpc__cache *cache, struct vmrpc__arena *arena, unsigned n);

/* ---- heap_registry.c: the arenas of this process --------------------------------------------------------------- */

void vmrpc__registry_of_arenas_add(struct vmrpc__arena *arena);
/* Also detaches all caches. */
void vmrpc__registry_of_arenas_remove(struct vmrpc__arena *arena);
/* The arena whose region the address lies in, or NULL. */
struct vmrpc__arena *vmrpc__registry_of_arenas_find(const void *pointer);
/* Between these no arena is removed. */
void vmrpc__registry_of_arenas_hold(void);
void vmrpc__registry_of_arenas_let_go(void);
/* In a fork child: the arenas there are now are the parent's. */
void vmrpc__registry_of_arenas_forget(void);
unsigned vmrpc__process_generation(void);

/* ---- heap_check.c ------------------------------------------------------------------------------------------------ */

/* What is wrong, or NULL; under the arena's lock. */
const char *vmrpc__arena_find_fault(struct vmrpc__arena *arena);

#endif
