/* Calls of the runtime itself, which pass through channels like any other: served here, made by stub.c and
 * heap_setup.c. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Finds room for size bytes behind the first heaps, between those added since, which are listed as they lie. Returns
 * its offset, and where to list it. The session's lock is held. */
static size_t find_room(struct vmrpc__session *session, size_t size, struct vmrpc__heap_range ***ret_link)
{
	struct vmrpc__heap_range **link = &session->heaps;
	size_t offset = session->layout.size;

	while (*link && (*link)->offset - offset < size) {
		offset = (*link)->offset + 2 * (*link)->size;
		link = &(*link)->next;
	}
	*ret_link = link;
	return offset;
}

static int heap_add(struct vmrpc__session *session, uint64_t *words)
{
	struct vmrpc__region *region = &session->region;
	struct vmrpc__heap_range *range = calloc(1, sizeof *range), **link;
	const uint64_t size = words[0];
	int r = 0;

	if (!range)
		return -ENOMEM;
	if (size == 0 || size % VMRPC__HEAP_GRANULE || size > VMRPC__HEAP_LIMIT) {
		free(range);
		return -EINVAL;
	}
	pthread_mutex_lock(&session->lock);
	range->session = session;
	range->size = size;
	range->offset = find_room(session, 2 * size, &link);
	if (range->offset + 2 * size > region->reserved)
		r = -ENOMEM;
	else if (range->offset + 2 * size > region->size)
		r = session->link->backend->region_grow(region, range->offset + 2 * size);
	if (r == 0) {
		if (range->offset + 2 * size > region->size)
			atomic_store_explicit(&region->size, range->offset + 2 * size, memory_order_relaxed);
		range->next = *link;
		*link = range;
	}
	pthread_mutex_unlock(&session->lock);
	if (r < 0) {
		free(range);
		return r;
	}
	words[1] = range->offset;
	words[2] = size;
	words[3] = range->offset + size;
	return vmrpc__arena_add(session->arena, range->offset, size, false);
}

/* Not before the client knows the heap: it could free none of the blocks that other threads of it are given. */
static int heap_open(struct vmrpc__session *session, uint64_t offset)
{
	struct vmrpc__heap_range *range;
	size_t own = 0, size = 0;

	pthread_mutex_lock(&session->lock);
	for (range = session->heaps; range && range->offset != offset; range = range->next)
		;
	if (range && !range->open && !range->dropping) {
		range->open = true;
		own = range->offset + range->size;
		size = range->size;
	}
	pthread_mutex_unlock(&session->lock);
	return own ? vmrpc__arena_add(session->arena, own, size, true) : -EINVAL;
}

/* Gives a range back to the system once neither side has anything in it. The session's lock is held. */
static void forget_if_empty(struct vmrpc__session *session, struct vmrpc__heap_range *range)
{
	struct vmrpc__heap_range **link = &session->heaps;

	if (!range->client_dropped || !range->server_empty)
		return;
	session->link->backend->region_discard(&session->region, range->offset, 2 * range->size);
	while (*link != range)
		link = &(*link)->next;
	*link = range->next;
	free(range);
}

static void server_half_empty(void *arg)
{
	struct vmrpc__heap_range *range = arg;
	struct vmrpc__session *session = range->session;

	pthread_mutex_lock(&session->lock);
	range->server_empty = true;
	forget_if_empty(session, range);
	pthread_mutex_unlock(&session->lock);
}

static int heap_drop(struct vmrpc__session *session, uint64_t offset)
{
	struct vmrpc__heap_range *range;
	bool open = false;

	pthread_mutex_lock(&session->lock);
	for (range = session->heaps; range && (range->offset != offset || range->dropping); range = range->next)
		;
	if (range) {
		range->dropping = true;
		open = range->open;
	}
	pthread_mutex_unlock(&session->lock);
	if (!range)
		return -EINVAL;
	vmrpc__arena_retire(session->arena, range->offset, NULL, NULL);
	pthread_mutex_lock(&session->lock);
	range->client_dropped = true;
	pthread_mutex_unlock(&session->lock);
	if (open)
		vmrpc__arena_retire(session->arena, range->offset + range->size, server_half_empty, range);
	else
		server_half_empty(range);
	return 0;
}

int vmrpc__system_serve(struct vmrpc__channel *channel, uint32_t number, uint64_t *words)
{
	if (channel->session->side != VMRPC__SERVER)
		return -EPROTO;
	switch (number) {
	case VMRPC__SYSTEM_FLUSH:
		return 0; /* the ring was drained before, its failure reported */
	case VMRPC__SYSTEM_HEAP_ADD:
		return heap_add(channel->session, words);
	case VMRPC__SYSTEM_HEAP_DROP:
		return heap_drop(channel->session, words[0]);
	case VMRPC__SYSTEM_HEAP_OPEN:
		return heap_open(channel->session, words[0]);
	default:
		return -ENOSYS;
	}
}
