/* Heaps added to a live connection, client's side. Each has two halves, one for either side's arena. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static int system_call(struct vmrpc *conn, struct vmrpc__session **session, uint32_t number, void *frame)
{
	struct vmrpc__channel *channel;
	int r = vmrpc__channel_get(&channel, conn);

	if (r < 0)
		return r;
	if (!*session)
		*session = channel->session;
	else if (channel->session != *session)
		return -EPIPE; /* the server that knew of it has died since */
	return vmrpc__call(channel, VMRPC__SYSTEM, number, &vmrpc__system_methods[number], frame,
			   conn->address.options.timeout_ms);
}

static bool overlap(const struct vmrpc_heap *heap, uint64_t offset, uint64_t end)
{
	return heap->offset < end && offset < heap->offset + 2 * heap->size;
}

/* Checks where the server says the new heap is. The server may reuse the place of a heap that both sides gave up.
 * conn->lock is held. */
static bool plausible(struct vmrpc__session *session, uint64_t size, const uint64_t *words)
{
	const uint64_t offset = words[1], end = offset + 2 * size;

	if (words[2] != size || words[3] != offset + size || offset < session->layout.size || offset % VMRPC__PAGE ||
	    offset > session->region.reserved || end > session->region.reserved)
		return false;
	for (struct vmrpc_heap *heap = session->conn->heaps; heap; heap = heap->next)
		if (heap->session == session && !heap->destroyed && overlap(heap, offset, end))
			return false;
	return true;
}

static void forget(struct vmrpc_heap **link)
{
	struct vmrpc_heap *heap = *link;

	*link = heap->next;
	vmrpc__arena_retire(heap->session->arena, heap->offset + heap->size, NULL, NULL);
	vmrpc__session_unref(heap->session);
	free(heap);
}

/* Adds the new heap's halves to our arena. conn->lock is held. */
static int add_halves(struct vmrpc *conn, struct vmrpc_heap *heap, const uint64_t *words)
{
	struct vmrpc__session *session = heap->session;
	const uint64_t end = words[1] + 2 * heap->size;
	int r;

	if (!plausible(session, heap->size, words))
		return vmrpc__fail(EPROTO, "the server's answer about a new heap makes no sense");
	for (struct vmrpc_heap **link = &conn->heaps; *link;)
		if ((*link)->destroyed && ((*link)->session != session || overlap(*link, words[1], end)))
			forget(link);
		else
			link = &(*link)->next;
	heap->offset = words[1];
	/* The server says that this exists: where it lied, it does now. */
	r = session->link->backend->region_grow(&session->region, end);
	if (r < 0)
		return r;
	if (end > atomic_load_explicit(&session->region.size, memory_order_relaxed))
		atomic_store_explicit(&session->region.size, end, memory_order_relaxed);
	r = vmrpc__arena_add(session->arena, heap->offset, heap->size, true);
	return r < 0 ? r : vmrpc__arena_add(session->arena, heap->offset + heap->size, heap->size, false);
}

int vmrpc_heap_setup(struct vmrpc_heap **ret_heap, struct vmrpc *conn, size_t size)
{
	struct vmrpc_heap *heap;
	uint64_t words[4] = {0};
	int r;

	if (size == 0 || size > VMRPC__HEAP_LIMIT)
		return vmrpc__fail(EINVAL, "a heap of %zu bytes: from 1 byte to %zuG are possible", size,
				   VMRPC__HEAP_LIMIT >> 30);
	heap = calloc(1, sizeof *heap);
	if (!heap)
		return vmrpc__fail(ENOMEM, "no memory for a heap");
	heap->conn = conn;
	heap->size = words[0] = (size + VMRPC__HEAP_GRANULE - 1) / VMRPC__HEAP_GRANULE * VMRPC__HEAP_GRANULE;
	r = system_call(conn, &heap->session, VMRPC__SYSTEM_HEAP_ADD, words);
	if (r == -ENOMEM)
		r = vmrpc__fail(
			ENOMEM,
			"no room for %zuM more of heap in this connection: connect with heap= of what is needed in all",
			size >> 20);
	else if (r < 0)
		r = vmrpc__fail(-r, "could not add %zuM of heap: %s", size >> 20, strerror(-r));
	if (r == 0) {
		pthread_mutex_lock(&conn->lock);
		vmrpc__session_ref(heap->session);
		r = add_halves(conn, heap, words);
		if (r == 0) {
			heap->next = conn->heaps;
			conn->heaps = heap;
		} else {
			vmrpc__session_unref(heap->session);
		}
		pthread_mutex_unlock(&conn->lock);
	}
	if (r < 0) {
		free(heap);
		return r;
	}
	words[0] = heap->offset;
	r = system_call(conn, &heap->session, VMRPC__SYSTEM_HEAP_OPEN, words);
	if (r < 0) {
		vmrpc_heap_destroy(heap);
		return vmrpc__fail(-r, "could not add %zuM of heap: %s", size >> 20, strerror(-r));
	}
	*ret_heap = heap;
	return 0;
}

/* Our half is empty: the server may have it back. Its own half lives on until that is empty too, so the heap stays
 * known, for blocks of the server's that we still hold. */
static void give_back(void *arg)
{
	struct vmrpc_heap *heap = arg;
	struct vmrpc__session *session = heap->session;
	struct vmrpc *conn = heap->conn;
	uint64_t words[1] = {heap->offset};

	vmrpc__session_ref(session);
	pthread_mutex_lock(&conn->lock);
	/* From here on another thread may forget it: the server may use its place again before we have the answer. */
	heap->destroyed = true;
	pthread_mutex_unlock(&conn->lock);
	if (!atomic_load(&session->ended))
		system_call(conn, &session, VMRPC__SYSTEM_HEAP_DROP, words);
	vmrpc__session_unref(session);
}

void vmrpc_heap_destroy(struct vmrpc_heap *heap)
{
	if (heap)
		vmrpc__arena_retire(heap->session->arena, heap->offset, give_back, heap);
}

void vmrpc__heaps_free(struct vmrpc *conn)
{
	while (conn->heaps) {
		struct vmrpc_heap *heap = conn->heaps;

		conn->heaps = heap->next;
		vmrpc__session_unref(heap->session);
		free(heap);
	}
}
