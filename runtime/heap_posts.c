/* Freeing the other side's blocks: one ring each way, one writer and one reader.
 *
 * Of the ring's words each side reads only the other's, and believes nothing: its own count and place in
 * the ring are private. Counts wrap at 2^32, which is no multiple of the slots, so the place is kept beside
 * the count and both sides step them together. */
#include <stdlib.h>
#include <string.h>

#include "heap_internal.h"

static uint32_t next_slot(uint32_t slot)
{
	return slot + 1 == VMRPC__FREE_SLOTS ? 0 : slot + 1;
}

int vmrpc__inbox_take(struct vmrpc__arena *arena)
{
	struct vmrpc__free_ring *ring = arena->inbox.ring;
	uint32_t tail, n;
	int taken = 0;

	if (!ring)
		return 0;
	/* Acquire: the slots up to tail, written before its release in vmrpc__outbox_post(); and all the peer did with
	 * these blocks before it let go of them. */
	tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
	n = tail - arena->inbox.head;
	if (n == 0)
		return 0;
	VMRPC__HEARS_FREES(arena); /* of what another thread of ours was told about */
	if (n > VMRPC__FREE_SLOTS) {
		arena->inbox.lies++;
		arena->inbox.lied = true;
		return 0; /* nothing between head and there means anything */
	}
	for (uint32_t i = 0; i < n; i++) {
		/* Relaxed: ordered by tail. Read once: the peer may change it while we look. */
		uint64_t offset = atomic_load_explicit(&ring->slots[arena->inbox.slot], memory_order_relaxed);

		arena->inbox.slot = next_slot(arena->inbox.slot);
		if (offset < arena->reserved && vmrpc__block_give(arena, offset, VMRPC__MARK_IN_USE) == 0) {
			taken++;
		} else {
			arena->inbox.lies++;
			arena->inbox.lied = true;
		}
	}
	arena->inbox.head = tail;
	arena->inbox.taken += n;
	/* Release: our reads of the slots come before the peer writes them anew, which it does after it has acquired
	 * head in vmrpc__outbox_post(). */
	atomic_store_explicit(&ring->head, tail, memory_order_release);
	return taken;
}

static bool post(struct vmrpc__arena *arena, uint64_t offset)
{
	struct vmrpc__free_ring *ring = arena->outbox.ring;

	/* Acquire: the peer's reads of the slots up to head, before its release in vmrpc__inbox_take(). A head that
	 * lies loses the peer's own blocks, or makes the ring look full. */
	if (!ring || arena->outbox.tail - atomic_load_explicit(&ring->head, memory_order_acquire) >= VMRPC__FREE_SLOTS)
		return false;
	atomic_store_explicit(&ring->slots[arena->outbox.slot], offset, memory_order_relaxed);
	arena->outbox.slot = next_slot(arena->outbox.slot);
	/* Release: the slot, and whatever this side did with the block, before the peer's acquire of tail. */
	atomic_store_explicit(&ring->tail, ++arena->outbox.tail, memory_order_release);
	return true;
}

/* As many blocks as the peer can have at a time. */
static size_t blocks_of_peer(const struct vmrpc__arena *arena)
{
	size_t n = 0;

	for (const struct vmrpc__arena_range *range = arena->ranges; range; range = range->next)
		n += range->own ? 0 : range->n << (VMRPC__PAGE_SHIFT - VMRPC__GRANULE_SHIFT);
	return n;
}

static int wait_for_room(struct vmrpc__arena *arena, uint64_t offset)
{
	size_t end = arena->outbox.first_waiting + arena->outbox.n_waiting;

	if (end == arena->outbox.room && arena->outbox.first_waiting > arena->outbox.room / 2) {
		memmove(arena->outbox.waiting, arena->outbox.waiting + arena->outbox.first_waiting,
			arena->outbox.n_waiting * sizeof *arena->outbox.waiting);
		arena->outbox.first_waiting = 0;
		end = arena->outbox.n_waiting;
	}
	if (end == arena->outbox.room) {
		size_t room = arena->outbox.room ? 2 * arena->outbox.room : 64;
		uint64_t *waiting;

		/* It had us free blocks that were none, and takes nothing back: our memory is not its to use up. */
		if (arena->outbox.room > blocks_of_peer(arena))
			return -ENOMEM;
		waiting = realloc(arena->outbox.waiting, room * sizeof *waiting);
		if (!waiting)
			return -ENOMEM;
		arena->outbox.waiting = waiting;
		arena->outbox.room = room;
	}
	arena->outbox.waiting[end] = offset;
	arena->outbox.n_waiting++;
	return 0;
}

void vmrpc__outbox_retry(struct vmrpc__arena *arena)
{
	while (arena->outbox.n_waiting > 0 && !arena->orphan &&
	       post(arena, arena->outbox.waiting[arena->outbox.first_waiting])) {
		arena->outbox.first_waiting++;
		arena->outbox.n_waiting--;
	}
	if (arena->outbox.n_waiting == 0)
		arena->outbox.first_waiting = 0;
}

int vmrpc__outbox_post(struct vmrpc__arena *arena, size_t offset)
{
	int error = 0;

	if (arena->orphan)
		return 0; /* nobody is there to be told */
	if (!post(arena, offset))
		error = wait_for_room(arena, offset);
	if (error == 0)
		arena->outbox.posted++;
	return error;
}
