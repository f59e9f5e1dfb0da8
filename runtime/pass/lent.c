/* Which memory of the region the peer may have us look at: heaps, RPC stacks, spill areas; never the control page,
 * doorplates, cells, rings or guard pages. */
#include "pass.h"

static uint64_t lent_spill(const struct vmrpc__session *session, uint64_t within)
{
	const uint64_t place = within % sizeof(struct vmrpc__channel_block);
	const uint64_t first = offsetof(struct vmrpc__channel_block, client_spill);

	(void)session;
	return place >= first ? sizeof(struct vmrpc__channel_block) - place : 0;
}

uint64_t vmrpc__lent(const struct vmrpc__session *session, uint64_t offset)
{
	const struct vmrpc__control *layout = &session->layout;
	/* Relaxed: it only grows. */
	const uint64_t size = atomic_load_explicit(&session->region.size, memory_order_relaxed);
	const uint64_t stride = VMRPC__PAGE + layout->stack_size;
	const uint64_t stacks_end = layout->stacks + layout->n_channels * stride;

	if (offset >= size)
		return 0;
	if (offset >= stacks_end)
		return size - offset; /* heaps are last */
	if (offset >= layout->stacks) {
		const uint64_t within = (offset - layout->stacks) % stride;

		return within >= VMRPC__PAGE ? stride - within : 0;
	}
	if (offset >= layout->channels &&
	    offset < layout->channels + layout->n_channels * sizeof(struct vmrpc__channel_block))
		return lent_spill(session, offset - layout->channels);
	return 0;
}
