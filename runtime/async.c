/* Calls that do not wait: the client fills the cells of a ring, the server takes them in order.
 *
 * A cell is full when its state is its own number plus one. The server says how far it has come in batches;
 * the client looks only when the ring seems full. A server that sleeps on its call cell is woken by the first
 * call of a batch, and finds the rest by itself. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define PROGRESS_EVERY (VMRPC__RING_CELLS / 2) /* calls between two words to a client that fills the ring */

static void add(_Atomic uint64_t *counter)
{
	/* Only this thread writes it. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

int vmrpc__post(struct vmrpc__channel *channel, uint32_t number, const struct vmrpc_method *method, const void *frame,
		int64_t timeout_ms)
{
	struct vmrpc__cell *cell = &channel->ring[channel->ring_next % VMRPC__RING_CELLS];
	const uint64_t *words = frame;
	uint32_t state;

	if (vmrpc__unlikely(channel->ring_next - channel->ring_done >= VMRPC__RING_CELLS)) {
		int r = vmrpc__wait_for_room(channel, timeout_ms);

		if (r < 0)
			return r;
	}
	VMRPC__PROBE2(post, channel->conn, number);
	for (uint32_t i = 0; i < method->frame_size / 8; i++)
		atomic_store_explicit(&cell->words[i], words[i], memory_order_relaxed);
	atomic_store_explicit(&cell->head, number | VMRPC__CALL << 16, memory_order_relaxed);
	/* Release: the words, for the server's acquire (vmrpc__ring_ready). Seq-cst, and an exchange: before the load
	 * of the sleep bit below. The server sets the bit, then looks at the ring (wait.c, sleep_on). */
	atomic_exchange_explicit(&cell->state, ++channel->ring_next, memory_order_seq_cst);
	add(&channel->counters.async_calls);
	channel->posted_at = atomic_load_explicit(&channel->counters.calls, memory_order_relaxed) + 1;
	state = atomic_load_explicit(&channel->cell->state, memory_order_seq_cst);
	if (vmrpc__unlikely(state & VMRPC__SLEEP) && VMRPC__TURN_OF(state) == channel->turn &&
	    atomic_compare_exchange_strong(&channel->cell->state, &state, state & ~VMRPC__SLEEP))
		vmrpc__wake(channel, &channel->cell->state);
	return 0;
}

static void say_progress(struct vmrpc__channel *channel)
{
	_Atomic uint32_t *done = &channel->block->progress.done;

	/* Release: we are done with the cells the client may fill again. Seq-cst: its sleep bit. */
	if (atomic_exchange_explicit(done, channel->ring_next * VMRPC__TURN, memory_order_seq_cst) & VMRPC__SLEEP)
		vmrpc__wake(channel, done);
	channel->ring_done = channel->ring_next;
}

/* Takes one call out of its cell, once, and runs it. */
static int run_one(struct vmrpc__channel *channel)
{
	struct vmrpc__session *session = channel->session;
	struct vmrpc__cell *cell = &channel->ring[channel->ring_next % VMRPC__RING_CELLS];
	uint32_t head = atomic_load_explicit(&cell->head, memory_order_relaxed), number = head & 0xffff;
	const struct vmrpc_method *method = number < session->n_methods ? session->methods[number] : NULL;
	_Alignas(16) uint64_t words[VMRPC__CELL_WORDS];
	bool outer = channel->unattended;
	int status;

	channel->ring_next++;
	VMRPC__HEARS(session);
	if (head >> 16 != VMRPC__CALL)
		return -EPROTO;
	if (!method || !method->serve)
		return -ENOSYS;
	if (!(method->flags & VMRPC_METHOD_ASYNC) || method->frame_size > sizeof words)
		return -EPROTO;
	for (uint32_t i = 0; i < method->frame_size / 8; i++)
		words[i] = atomic_load_explicit(&cell->words[i], memory_order_relaxed);
	add(&channel->counters.async_calls);
	channel->unattended = true;
	status = vmrpc__run(channel, method, words);
	channel->unattended = outer;
	return status;
}

int vmrpc__ring_drain(struct vmrpc__channel *channel)
{
	const uint32_t depth = atomic_load_explicit(&channel->depth, memory_order_relaxed);

	atomic_store_explicit(&channel->depth, depth + 1, memory_order_relaxed);
	while (vmrpc__ring_ready(channel)) {
		int status = run_one(channel);

		if (status < 0 && !channel->async_error)
			channel->async_error = status;
		if (channel->ring_next - channel->ring_done >= PROGRESS_EVERY)
			say_progress(channel);
		if (vmrpc__unlikely(atomic_load_explicit(&channel->session->ended, memory_order_relaxed)))
			break;
	}
	if (channel->ring_next != channel->ring_done)
		say_progress(channel);
	channel->unwaited = true;
	atomic_store_explicit(&channel->depth, depth, memory_order_relaxed);
	return atomic_load_explicit(&channel->session->ended, memory_order_relaxed);
}

void vmrpc__ring_finish(struct vmrpc__channel *channel)
{
	/* It has ended: no more will come than the ring holds now. */
	for (unsigned i = 0; i < VMRPC__RING_CELLS && vmrpc__ring_ready(channel); i++)
		run_one(channel);
}
