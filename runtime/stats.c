/* Counters: kept by each channel's thread for itself, summed when somebody asks. */
#include <string.h>

#include "internal.h"

static void add_counters(struct vmrpc_stats *stats, const struct vmrpc__counters *counters)
{
	stats->calls += atomic_load_explicit(&counters->calls, memory_order_relaxed);
	stats->async_calls += atomic_load_explicit(&counters->async_calls, memory_order_relaxed);
	stats->callbacks += atomic_load_explicit(&counters->callbacks, memory_order_relaxed);
	stats->wakes += atomic_load_explicit(&counters->wakes, memory_order_relaxed);
	stats->sleeps += atomic_load_explicit(&counters->sleeps, memory_order_relaxed);
}

void vmrpc__stats_add(struct vmrpc__session *session, struct vmrpc_stats *stats)
{
	struct vmrpc__arena_stats arena;

	pthread_mutex_lock(&session->lock);
	add_counters(stats, &session->past);
	for (uint32_t i = 0; session->channels && i < session->layout.n_channels; i++)
		if (session->channels[i])
			add_counters(stats, &session->channels[i]->counters);
	if (!atomic_load(&session->ended))
		stats->channels += session->n_open;
	pthread_mutex_unlock(&session->lock);
	vmrpc__arena_get_stats(session->arena, &arena);
	stats->frees_posted += arena.posted;
	stats->bytes_in_use += arena.in_use;
	stats->heap_size += arena.size;
}

int vmrpc_get_stats(const struct vmrpc *conn, struct vmrpc_stats *ret_stats)
{
	struct vmrpc *mutable_conn = (struct vmrpc *)conn; /* its lock is no part of what it is */
	struct vmrpc_stats stats;

	memset(&stats, 0, sizeof stats);
	if (conn->side == VMRPC__SERVER) {
		vmrpc__stats_add(conn->session, &stats);
	} else {
		pthread_mutex_lock(&mutable_conn->lock);
		stats = conn->past;
		for (struct vmrpc__session *session = conn->old; session; session = session->next)
			vmrpc__stats_add(session, &stats);
		stats.heap_size = stats.channels = 0; /* what dead sessions had does not count */
		if (conn->session)
			vmrpc__stats_add(conn->session, &stats);
		pthread_mutex_unlock(&mutable_conn->lock);
		stats.reconnects = atomic_load_explicit(&conn->reconnects, memory_order_relaxed);
	}
	*ret_stats = stats;
	return 0;
}
