/* Sessions: what both sides keep of one client process bound to one server, and how it ends. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "internal.h"

pthread_mutex_t vmrpc__registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vmrpc__session *registry;

void vmrpc__registry_add(struct vmrpc__session *session)
{
	pthread_mutex_lock(&vmrpc__registry_lock);
	session->registry_next = registry;
	session->registry_link = &registry;
	if (registry)
		registry->registry_link = &session->registry_next;
	registry = session;
	session->registered = true;
	pthread_mutex_unlock(&vmrpc__registry_lock);
}

void vmrpc__registry_remove(struct vmrpc__session *session)
{
	pthread_mutex_lock(&vmrpc__registry_lock);
	if (session->registered) {
		*session->registry_link = session->registry_next;
		if (session->registry_next)
			session->registry_next->registry_link = session->registry_link;
		session->registered = false;
	}
	pthread_mutex_unlock(&vmrpc__registry_lock);
}

void vmrpc__registry_forget(void)
{
	/* The peers of these are our parent's. Without our copies of the sockets its death is seen at once. */
	for (struct vmrpc__session *session = registry; session; session = session->registry_next) {
		session->inherited = true;
		session->registered = false;
		atomic_store(&session->ended, -EPIPE);
		if (session->link)
			session->link->backend->close(session->link);
		session->link = NULL;
		pthread_mutex_init(&session->lock, NULL);
	}
	registry = NULL;
	pthread_mutex_init(&vmrpc__registry_lock, NULL);
}

static _Atomic uint64_t serials = 1;

int vmrpc__session_new(struct vmrpc__session **ret_session, enum vmrpc__side side, struct vmrpc *conn)
{
	struct vmrpc__session *session = calloc(1, sizeof *session);

	if (!session)
		return vmrpc__fail(ENOMEM, "no memory for a connection");
	session->side = side;
	session->serial = atomic_fetch_add(&serials, 1);
	if (getrandom(&session->secret, sizeof session->secret, GRND_NONBLOCK) < 0)
		session->secret = (uint64_t)vmrpc__now();
	session->conn = conn;
	session->service = conn->service;
	session->options = &conn->address.options;
	session->region.fd = -1;
	atomic_init(&session->refs, 1);
	pthread_mutex_init(&session->lock, NULL);
	pthread_cond_init(&session->threads_gone, NULL);
	*ret_session = session;
	return 0;
}

int vmrpc__session_begin(struct vmrpc__session *session)
{
	const struct vmrpc__control *layout = &session->layout;
	const bool client = session->side == VMRPC__CLIENT;
	unsigned char *base = session->region.base;
	struct vmrpc__free_ring *to_server = (struct vmrpc__free_ring *)(base + layout->posts_to_server);
	struct vmrpc__free_ring *to_client = (struct vmrpc__free_ring *)(base + layout->posts_to_client);
	int r;

	session->channels = calloc(layout->n_channels, sizeof(struct vmrpc__channel *));
	session->generations = calloc(layout->n_channels, sizeof(uint32_t));
	if (!session->channels || !session->generations)
		return vmrpc__fail(ENOMEM, "no memory for the channels of a connection");
	r = vmrpc__arena_new(&session->arena, session->conn, base, session->region.reserved,
			     client ? to_client : to_server, client ? to_server : to_client);
	if (r == 0)
		r = vmrpc__arena_add(session->arena, layout->client_heap.offset, layout->client_heap.size, client);
	if (r == 0)
		r = vmrpc__arena_add(session->arena, layout->server_heap.offset, layout->server_heap.size, !client);
	return r;
}

struct vmrpc__channel_block *vmrpc__session_block(const struct vmrpc__session *session, uint32_t index)
{
	return (struct vmrpc__channel_block *)(session->region.base + session->layout.channels) + index;
}

struct vmrpc__doorplate *vmrpc__session_doorplate(const struct vmrpc__session *session, uint32_t index)
{
	return (struct vmrpc__doorplate *)(session->region.base + session->layout.doorplates) + index;
}

bool vmrpc__session_holds(const struct vmrpc__session *session, uint64_t offset, uint64_t size, size_t alignment)
{
	const struct vmrpc__control *layout = &session->layout;
	const uint64_t stride = VMRPC__PAGE + layout->stack_size, end = layout->stacks + layout->n_channels * stride;
	uint64_t within;

	if (!vmrpc__region_holds(&session->region, offset, size, alignment))
		return false;
	if (offset + size <= layout->stacks || offset >= end)
		return true;
	if (offset < layout->stacks)
		return false;
	within = (offset - layout->stacks) % stride;
	return within >= VMRPC__PAGE && size <= stride - within;
}

static void kick(struct vmrpc__session *session, _Atomic uint32_t *word)
{
	/* Seq-cst: after ended or closing was set, before the waiter's compare-and-swap (wait.c, sleep_on). */
	atomic_fetch_or(word, VMRPC__KICK);
	session->link->backend->wake(session->link, word);
}

void vmrpc__channel_kick(struct vmrpc__channel *channel)
{
	kick(channel->session, &channel->cell->state);
	if (channel->session->side == VMRPC__CLIENT)
		kick(channel->session, &channel->block->progress.done);
}

bool vmrpc__session_kick(struct vmrpc__session *session)
{
	bool busy = false;

	pthread_mutex_lock(&session->lock);
	for (uint32_t i = 0; session->channels && i < session->layout.n_channels; i++) {
		struct vmrpc__channel *channel = session->channels[i];

		if (!channel)
			continue;
		vmrpc__channel_kick(channel);
		busy = busy || session->side == VMRPC__SERVER ||
		       atomic_load_explicit(&channel->depth, memory_order_relaxed) > 0;
	}
	pthread_mutex_unlock(&session->lock);
	return busy;
}

void vmrpc__session_end(struct vmrpc__session *session, int error)
{
	int alive = 0;

	if (!atomic_compare_exchange_strong(&session->ended, &alive, error))
		return;
	vmrpc__session_kick(session);
	session->link->backend->hang_up(session->link);
}

void vmrpc__session_ref(struct vmrpc__session *session)
{
	/* Relaxed: the caller has one already. */
	atomic_fetch_add_explicit(&session->refs, 1, memory_order_relaxed);
}

void vmrpc__session_unref(struct vmrpc__session *session)
{
	/* Acquire and release: whatever others did with it comes before its end. */
	if (!session || atomic_fetch_sub_explicit(&session->refs, 1, memory_order_acq_rel) > 1)
		return;
	vmrpc__registry_remove(session);
	vmrpc__handles_free(session);
	vmrpc__left_free(session);
	vmrpc__arena_free(session->arena);
	while (session->heaps) {
		struct vmrpc__heap_range *range = session->heaps;

		session->heaps = range->next;
		free(range);
	}
	vmrpc__region_unmap(&session->region);
	if (session->region.fd >= 0)
		close(session->region.fd);
	if (session->link)
		session->link->backend->close(session->link);
	free(session->channels);
	free(session->generations);
	free(session->methods);
	free(session->callbacks);
	free(session->verdicts);
	for (unsigned i = 0; i < VMRPC__LAYOUTS; i++)
		free(session->layouts[i].text);
	pthread_mutex_destroy(&session->lock);
	pthread_cond_destroy(&session->threads_gone);
	free(session);
}
