/* Channels: opened by a client thread's first call, closed with the thread; at the server a thread each.
 *
 * The doorplates in the region say which channels are open. The client writes its own and rings; the server's
 * loop scans them, starts a thread for each that has opened and tells those to end whose client has gone.
 * Normally a client says goodbye through the cell and the thread ends by itself. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"

#define SLOT_WAIT_MS 1000 /* how long a client waits for the server to let go of a channel closed before */
#define START_TRIES  50	  /* scans that try to start a thread before its client is told */

static void fill_in(struct vmrpc__channel *channel, struct vmrpc__session *session, uint32_t index, uint32_t generation)
{
	channel->session = session;
	channel->conn = session->conn;
	channel->index = index;
	channel->generation = generation;
	channel->block = vmrpc__session_block(session, index);
	channel->doorplate = vmrpc__session_doorplate(session, index);
	channel->cell = &channel->block->cell;
	channel->ring = channel->block->ring;
	channel->spill = session->side == VMRPC__CLIENT ? channel->block->client_spill : channel->block->server_spill;
	vmrpc__patience_begin(channel);
}

static struct vmrpc__channel *new_channel(void)
{
	struct vmrpc__channel *channel = aligned_alloc(_Alignof(struct vmrpc__channel), sizeof *channel);

	if (channel)
		memset(channel, 0, sizeof *channel);
	return channel;
}

/* Takes the channel out of its session. The session's lock is held. */
static void take_out(struct vmrpc__channel *channel)
{
	struct vmrpc__session *session = channel->session;
	struct vmrpc__counters *past = &session->past, *own = &channel->counters;

	session->channels[channel->index] = NULL;
	session->n_open--;
	past->calls += own->calls;
	past->async_calls += own->async_calls;
	past->callbacks += own->callbacks;
	past->wakes += own->wakes;
	past->sleeps += own->sleeps;
}

static void free_channel(struct vmrpc__channel *channel)
{
	if (channel->stack_ready && !channel->session->inherited)
		vmrpc__rpc_stack_fini(&channel->stack);
	vmrpc__session_unref(channel->session);
	free(channel);
}

int vmrpc__channel_stack(struct vmrpc__channel *channel)
{
	const struct vmrpc__control *layout = &channel->session->layout;
	unsigned char *low = channel->session->region.base + layout->stacks +
			     channel->index * (layout->stack_size + VMRPC__PAGE) + VMRPC__PAGE;
	int r;

	if (channel->stack_ready)
		return 0;
	r = vmrpc__rpc_stack_init(&channel->stack, low, layout->stack_size);
	channel->stack_ready = r == 0;
	return r;
}

/* ---- client ---------------------------------------------------------------------------------------------- */

/* A channel nobody uses, put into the session's table; -EAGAIN while the server has not let go of the last one. */
static int take_slot(struct vmrpc__session *session, struct vmrpc__channel *channel)
{
	int r = -EMFILE;

	pthread_mutex_lock(&session->lock);
	for (uint32_t i = 0; i < session->layout.n_channels; i++) {
		struct vmrpc__doorplate *doorplate = vmrpc__session_doorplate(session, i);

		if (session->channels[i])
			continue;
		/* Acquire: the server's last look at the cell comes before our clearing it. */
		if (atomic_load_explicit(&doorplate->server, memory_order_acquire) != session->generations[i] * 2) {
			r = -EAGAIN;
			continue;
		}
		fill_in(channel, session, i, ++session->generations[i]);
		session->channels[i] = channel;
		session->n_open++;
		r = 0;
		break;
	}
	pthread_mutex_unlock(&session->lock);
	return r;
}

static int open_channel(struct vmrpc__channel **ret_channel, struct vmrpc__session *session)
{
	struct vmrpc__channel *channel = new_channel();
	int64_t deadline = vmrpc__deadline(SLOT_WAIT_MS);
	int r;

	if (!channel)
		return vmrpc__fail(ENOMEM, "no memory for a channel");
	while ((r = take_slot(session, channel)) == -EAGAIN && vmrpc__now() < deadline &&
	       !atomic_load_explicit(&session->ended, memory_order_relaxed))
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	if (r < 0) {
		free(channel);
		if (atomic_load_explicit(&session->ended, memory_order_relaxed))
			return vmrpc__fail(EPIPE, "the server died while it was asked for a channel");
		return vmrpc__fail(EMFILE,
				   "all %u channels of this connection are in use, one by each thread that called; end "
				   "threads that need it no more, or connect with channels=",
				   session->layout.n_channels);
	}
	vmrpc__session_ref(session);
	/* The server is not looking at these until it sees the doorplate. */
	atomic_store_explicit(&channel->cell->state, 0, memory_order_relaxed);
	atomic_store_explicit(&channel->block->progress.done, 0, memory_order_relaxed);
	if (channel->generation > 1)
		for (uint32_t i = 0; i < VMRPC__RING_CELLS; i++)
			atomic_store_explicit(&channel->ring[i].state, 0, memory_order_relaxed);
	/* Release: the cleared cells. */
	atomic_store_explicit(&channel->doorplate->client, channel->generation * 2 + 1, memory_order_release);
	if (session->link->backend->ring(session->link) < 0)
		vmrpc__session_end(session, -EPIPE);
	*ret_channel = channel;
	return 0;
}

/* Whether calls were posted of which no waiting call has learned what became of them. */
static bool has_unknown_posts(const struct vmrpc__channel *channel)
{
	return channel->posted_at == atomic_load_explicit(&channel->counters.calls, memory_order_relaxed) + 1;
}

int vmrpc__channel_get(struct vmrpc__channel **ret_channel, struct vmrpc *conn)
{
	struct vmrpc__thread *thread = vmrpc__thread_get();
	struct vmrpc__channel *channel;
	struct vmrpc__session *session;
	int r;

	if (!thread)
		return vmrpc__fail(ENOMEM, "no memory for what a thread needs to make calls");
	r = vmrpc__connection_session(conn, &session);
	if (r < 0)
		return r;
	channel = conn->id < thread->n_channels ? thread->channels[conn->id] : NULL;
	if (channel && channel->session != session) {
		bool unknown = has_unknown_posts(channel);

		atomic_store_explicit(&thread->channels[conn->id], NULL, memory_order_relaxed);
		vmrpc__channel_close(channel);
		channel = NULL;
		if (unknown) {
			vmrpc__session_unref(session);
			return vmrpc__fail(EPIPE, "the server died, and earlier asynchronous calls of this thread "
						  "perhaps did not run; this one did not, and may be called again");
		}
	}
	if (!channel) {
		r = open_channel(&channel, session);
		if (r == 0)
			r = vmrpc__thread_set_channel(thread, conn->id, channel);
		if (r < 0 && channel)
			vmrpc__channel_close(channel);
	}
	vmrpc__session_unref(session);
	if (r == 0)
		*ret_channel = channel;
	return r;
}

void vmrpc__channel_close(struct vmrpc__channel *channel)
{
	struct vmrpc__session *session = channel->session;

	if (channel->stack_calls || atomic_load_explicit(&channel->depth, memory_order_relaxed) > 0) {
		/* The thread is on its RPC stack, or in a callback that made the connection anew: closed when it leaves
		 * that stack (vmrpc_stack_call), or when the call around the callback fails (call.c, lost). */
		channel->close_later = true;
		return;
	}
	if (session->inherited) {
		free_channel(channel);
		return;
	}
	if (!atomic_load_explicit(&session->ended, memory_order_relaxed)) {
		if (!channel->owed)
			vmrpc__say_bye(channel);
		/* Release: nothing of ours comes after. */
		atomic_store_explicit(&channel->doorplate->client, channel->generation * 2, memory_order_release);
		if (channel->owed)
			session->link->backend->ring(session->link);
	}
	pthread_mutex_lock(&session->lock);
	take_out(channel);
	pthread_mutex_unlock(&session->lock);
	free_channel(channel);
}

void vmrpc__channels_forget(struct vmrpc__session *session)
{
	for (uint32_t i = 0; session->channels && i < session->layout.n_channels; i++) {
		struct vmrpc__channel *channel = session->channels[i];

		session->channels[i] = NULL;
		if (channel)
			free_channel(channel);
	}
}

void vmrpc__channel_abandon(struct vmrpc__channel *channel)
{
	struct vmrpc__thread *thread = vmrpc__thread_get();
	uint32_t id = channel->conn->id;

	channel->owed = true;
	if (atomic_load_explicit(&channel->depth, memory_order_relaxed) > 0)
		return; /* a callback's own call timed out: the calls around it fail in turn, the last closes */
	if (thread && id < thread->n_channels && thread->channels[id] == channel)
		atomic_store_explicit(&thread->channels[id], NULL, memory_order_relaxed);
	vmrpc__channel_close(channel);
}

/* ---- server ---------------------------------------------------------------------------------------------- */

static void *serve_thread(void *arg)
{
	struct vmrpc__channel *channel = arg;
	struct vmrpc__session *session = channel->session;
	struct vmrpc__thread *thread = vmrpc__thread_get();
	_Atomic uint32_t *doorplate = &channel->doorplate->server;
	const uint32_t generation = channel->generation;

	if (thread) {
		thread->serving = channel;
		atomic_store_explicit(doorplate, generation * 2 + 1, memory_order_release);
		vmrpc__serve_channel(channel);
		thread->serving = NULL;
		vmrpc__caches_release();
	}
	pthread_mutex_lock(&session->lock);
	if (session->n_threads == 1 && atomic_load(&session->ended)) {
		/* The client is gone, and nobody serves it any more: here the library's own closers may take their
		 * time. */
		pthread_mutex_unlock(&session->lock);
		vmrpc__handles_free(session);
		pthread_mutex_lock(&session->lock);
	}
	take_out(channel);
	/* Release: from here on the client may clear the cell and use it again. */
	atomic_store_explicit(doorplate, generation * 2, memory_order_release);
	session->n_threads--;
	pthread_cond_broadcast(&session->threads_gone);
	pthread_mutex_unlock(&session->lock);
	free_channel(channel);
	return NULL;
}

/* The session's lock is held. */
static int start_thread(struct vmrpc__session *session, uint32_t index, uint32_t generation, bool open)
{
	struct vmrpc__channel *channel = new_channel();
	pthread_attr_t attr;
	pthread_t id;
	int r;

	if (!channel)
		return -EAGAIN;
	fill_in(channel, session, index, generation);
	atomic_init(&channel->closing, !open);
	vmrpc__session_ref(session);
	session->channels[index] = channel;
	session->n_open++;
	session->n_threads++;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&id, &attr, serve_thread, channel);
	pthread_attr_destroy(&attr);
	if (r == 0)
		return 0;
	session->n_threads--;
	take_out(channel);
	vmrpc__session_unref(session);
	free(channel);
	return -EAGAIN;
}

/* Tells the client that there will be no thread for its channel. */
static void turn_away(struct vmrpc__session *session, uint32_t index, uint32_t generation)
{
	struct vmrpc__channel_block *block = vmrpc__session_block(session, index);

	atomic_store_explicit(&vmrpc__session_doorplate(session, index)->server, generation * 2, memory_order_release);
	atomic_fetch_or(&block->cell.state, VMRPC__KICK);
	session->link->backend->wake(session->link, &block->cell.state);
	/* Or it waits for room in the ring. */
	atomic_fetch_or(&block->progress.done, VMRPC__KICK);
	session->link->backend->wake(session->link, &block->progress.done);
}

int vmrpc__channels_scan(struct vmrpc__session *session)
{
	int r = 0;

	pthread_mutex_lock(&session->lock);
	for (uint32_t i = 0; i < session->layout.n_channels; i++) {
		/* Acquire: the cell the client cleared before it opened. */
		uint32_t word =
			atomic_load_explicit(&vmrpc__session_doorplate(session, i)->client, memory_order_acquire);
		uint32_t generation = word / 2;
		bool open = word % 2;
		struct vmrpc__channel *channel = session->channels[i];

		if (channel) {
			if ((!open || generation != channel->generation) && !atomic_exchange(&channel->closing, true))
				vmrpc__channel_kick(channel);
		} else if (generation != session->generations[i] &&
			   !atomic_load_explicit(&session->ended, memory_order_relaxed)) {
			/* Perhaps closed again already: what was posted meanwhile is still to be run. */
			if (start_thread(session, i, generation, open) == 0) {
				session->generations[i] = generation;
				session->start_tries = 0;
			} else if (++session->start_tries > START_TRIES) {
				session->generations[i] = generation;
				session->start_tries = 0;
				turn_away(session, i, generation);
			} else {
				r = -EAGAIN;
			}
		}
	}
	pthread_mutex_unlock(&session->lock);
	return r;
}
