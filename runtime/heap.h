/* The RPC heap: one side's arena, and the per-thread caches before it.
 *
 * An arena hands out blocks of ranges of the region that belong to this side alone. All its metadata is in
 * private memory: nothing a peer writes can corrupt it, no lock is shared, and a peer's death leaves
 * nothing locked. The peer frees our blocks by posting their offsets to our inbox, which is drained
 * and checked here; we free the peer's blocks through our outbox, which never loses one (what does
 * not fit waits in private memory).
 *
 * Glossary: range: what arena_add gave. span: whole pages of a range that are free, one large block, or a
 * slab. slab: a span cut into blocks of one size class. cache: one thread's ready blocks of one arena.
 * granule: 16 bytes, what blocks are aligned to. heap_internal.h has the rest. */
#ifndef VMRPC_HEAP_H
#define VMRPC_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

struct vmrpc;
struct vmrpc__arena;

/* inbox and outbox lie in the region; either may be NULL in tests. base is the region's address on this side, a
 * multiple of VMRPC__PAGE; reserved are the bytes from there that blocks and ranges may lie in. */
int vmrpc__arena_new(struct vmrpc__arena **ret_arena, struct vmrpc *conn, unsigned char *base, size_t reserved,
		     struct vmrpc__free_ring *inbox, struct vmrpc__free_ring *outbox);

/* Detaches every thread's cache and frees the metadata; the blocks are gone, and so are empty callbacks that were
 * still to come. No other thread may be using this arena; they may be using others. NULL is fine. */
void vmrpc__arena_free(struct vmrpc__arena *arena);

/* Gives the arena a range of whole pages to allocate from (own), or tells it of one of the peer's, whose
 * blocks are freed by posting. -EINVAL where that makes no sense or overlaps another range, -ENOMEM. */
int vmrpc__arena_add(struct vmrpc__arena *arena, size_t offset, size_t size, bool own);

/* Ends allocation from an own range. When its last block is freed, or at once, empty is called exactly once,
 * without locks held, and the range is forgotten. For the peer's range: forgets it (empty is not called).
 * empty runs in whatever thread frees the last block, or next allocates, frees or drains after the peer's post did;
 * never inside arena_add, arena_get_stats, or the forgetting of a peer's range, which may be called under locks. Blocks
 * that lie ready in another thread's cache come back with that thread's next operation on the arena, or at its end. */
void vmrpc__arena_retire(struct vmrpc__arena *arena, size_t offset, void (*empty)(void *arg), void *arg);

/* For an arena whose peer is dead: vmrpc_malloc() no longer finds it by its conn (and asks vmrpc__arena_of again), what
 * is freed no longer stays in caches, and blocks of the peer's are forgotten instead of posted. */
void vmrpc__arena_orphan(struct vmrpc__arena *arena);

/* Whether no block of it is in use, and no thread's cache knows it: if it is an orphan and no thread is between
 * vmrpc__arena_of and vmrpc__arena_done, it may be freed. Threads let go of an orphan when they next come to a slow
 * path of vmrpc_malloc or vmrpc_free, or end. */
bool vmrpc__arena_is_idle(struct vmrpc__arena *arena);

/* Allocates straight from the arena, for callers that have an arena and no conn to name it by. NULL as
 * vmrpc_malloc(). vmrpc_free() takes these blocks too. */
void *vmrpc__arena_malloc(struct vmrpc__arena *arena, size_t size);

/* Frees straight to the arena: 0, -EINVAL when offset is not the start of a block in use of an own range, as with
 * a post that lies. */
int vmrpc__arena_release(struct vmrpc__arena *arena, size_t offset);

/* Frees what a peer names, a block of either side: 0, or -EINVAL without a message when it is none. */
int vmrpc__arena_give_up(struct vmrpc__arena *arena, size_t offset);

/* Takes what the peer has posted. Returns the number taken, or -EPROTO when the peer lied, now or in a drain that
 * happened inside another call since the last time this was asked: a wild index, an offset that is no
 * block in use. What was true was taken and the arena is intact all the same. */
int vmrpc__arena_drain(struct vmrpc__arena *arena);

/* Posts what had to wait because the outbox was full. Takes nothing, so it calls nobody back; but -EPROTO, too, when
 * the peer was found to lie inside another call. */
int vmrpc__arena_push(struct vmrpc__arena *arena);

struct vmrpc__arena_stats {
	size_t in_use;	  /* bytes handed out, as rounded, thread caches included */
	size_t size;	  /* of all own ranges, retired ones too until they are forgotten */
	uint64_t posted;  /* blocks of the peer we freed */
	uint64_t waiting; /* of these, not yet in the outbox because it was full */
	uint64_t lies;	  /* wrong posts of the peer */
};
/* Takes what the peer has posted first. All 0 in a fork child of the arena's process. */
void vmrpc__arena_get_stats(struct vmrpc__arena *arena, struct vmrpc__arena_stats *ret_stats);

/* Checks every invariant under the arena's lock: returns true, or says what is wrong in ret_why. Called after
 * slow-path operations in debug builds, as often as its cost allows. */
bool vmrpc__arena_is_valid(struct vmrpc__arena *arena, const char **ret_why);

/* Gives back everything this thread's caches hold; at thread exit. */
void vmrpc__caches_release(void);

/* In a fork child: this process's copies of the caches must not be used for the parent's regions. Afterwards the
 * parent's arenas may only be freed; their blocks are unknown to vmrpc_free(). */
void vmrpc__caches_forget(void);

/* Where connection.c comes in: the arena behind conn (NULL: as vmrpc_malloc says), or NULL with errno and the
 * error message set. *ret_conn is what to remember it by. The arena stays until vmrpc__arena_done. */
struct vmrpc__arena *vmrpc__arena_of(struct vmrpc *conn, struct vmrpc **ret_conn);
void vmrpc__arena_done(struct vmrpc *conn);

/* Makes vmrpc__caches_release() run when this thread ends. */
int vmrpc__thread_register(void);

#endif
