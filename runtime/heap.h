/* The RPC heap: one side's arena, and the per-thread caches before it.
 *
 * An arena hands out blocks of ranges of the region that belong to this side alone. All its metadata is in
 * private memory: nothing a peer writes can corrupt it, no lock is shared, and a peer's death leaves
 * nothing locked. The peer frees our blocks by posting their offsets to our inbox, which is drained
 * and checked here; we free the peer's blocks through our outbox, which never loses one (what does
 * not fit waits in private memory).
 *
 * Glossary: range: what arena_add gave. slab: a power-of-two piece of a range cut into blocks of one size
 * class. span: whole pages for one large block. cache: one thread's ready blocks of one arena. */
#ifndef VMRPC_HEAP_H
#define VMRPC_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

struct vmrpc__arena;

/* inbox and outbox lie in the region; either may be NULL in tests. base is the region's address on this side. */
int vmrpc__arena_new(struct vmrpc__arena **ret_arena, struct vmrpc *conn, unsigned char *base, size_t reserved,
                     struct vmrpc__free_ring *inbox, struct vmrpc__free_ring *outbox);

/* Detaches every thread's cache and frees the metadata; the blocks are gone. NULL is fine. */
void vmrpc__arena_free(struct vmrpc__arena *arena);

/* Gives the arena a range of whole pages to allocate from (own), or tells it of one of the peer's, whose
 * blocks are freed by posting. */
int vmrpc__arena_add(struct vmrpc__arena *arena, size_t offset, size_t size, bool own);

/* Ends allocation from an own range. When its last block is freed, or at once, empty is called exactly once,
 * without locks held, and the range is forgotten. For the peer's range: forgets it (empty is not called). */
void vmrpc__arena_retire(struct vmrpc__arena *arena, size_t offset, void (*empty)(void *arg), void *arg);

/* Allocates from conn's arena through this thread's cache; vmrpc_malloc and vmrpc_free are these. Here for
 * callers that have an arena and no thread cache. */
void *vmrpc__arena_malloc(struct vmrpc__arena *arena, size_t size);

/* 0, -EINVAL when offset is not the start of a block in use of an own range, as with a post that lies. */
int vmrpc__arena_release(struct vmrpc__arena *arena, size_t offset);

/* Takes what the peer has posted. Returns the number taken, or -EPROTO when the peer lied: a wild index,
 * an offset that is no block in use. The arena is intact all the same. */
int vmrpc__arena_drain(struct vmrpc__arena *arena);

struct vmrpc__arena_stats {
	size_t in_use;  /* bytes handed out, as rounded, thread caches included */
	size_t size;    /* of all own ranges */
	uint64_t posted; /* blocks of the peer we freed */
};
void vmrpc__arena_get_stats(struct vmrpc__arena *arena, struct vmrpc__arena_stats *ret_stats);

/* Checks every invariant under the arena's lock: returns true, or says what is wrong in ret_why. Called after each
 * slow-path operation in debug builds. */
bool vmrpc__arena_is_valid(struct vmrpc__arena *arena, const char **ret_why);

/* Gives back everything this thread's caches hold; at thread exit. */
void vmrpc__caches_release(void);

/* In a fork child: this process's copies of the caches must not be used for the parent's regions. */
void vmrpc__caches_forget(void);

/* Where connection.c comes in: the arena behind conn (NULL: as vmrpc_malloc says), or NULL with errno and the
 * error message set. *ret_conn is what to remember it by. */
struct vmrpc__arena *vmrpc__arena_of(struct vmrpc *conn, struct vmrpc **ret_conn);

/* Makes vmrpc__caches_release() run when this thread ends. */
int vmrpc__thread_register(void);

#endif
