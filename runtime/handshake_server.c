/* The handshake, server's side. Each client is heard by a thread (or a process) of its own, so a slow or silent one
 * keeps nobody waiting. Whatever fails is told to the client in words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handshake.h"

/* What the client asks for, within what this server gives. */
static int decide(const char *name, uint64_t asked, uint64_t given, uint64_t usual, uint64_t limit, size_t *ret_value)
{
	const uint64_t most = given ? given : limit;

	if (asked > most)
		return vmrpc__fail(EMSGSIZE, "%s=%llu is more than this server gives: at most %llu%s", name,
				   (unsigned long long)asked, (unsigned long long)most,
				   given ? "; its owner can serve with a larger one" : "");
	*ret_value = asked ? asked : given ? given : usual;
	return 0;
}

static int hear_hello(struct vmrpc__session *session, struct vmrpc__hello *hello, int64_t deadline)
{
	union vmrpc__message message;
	int r = vmrpc__expect(session, &message, VMRPC__HELLO, sizeof message.hello, deadline);

	if (r < 0)
		return r;
	*hello = message.hello;
	hello->service[sizeof hello->service - 1] = 0;
	if (hello->magic != VMRPC__MAGIC || hello->protocol != VMRPC__PROTOCOL)
		return vmrpc__fail(EPROTONOSUPPORT,
				   "the client speaks protocol %u, this server %u: use the same vmrpc on both sides",
				   hello->protocol, VMRPC__PROTOCOL);
	if (hello->n_methods > UINT16_MAX || hello->n_callbacks > UINT16_MAX)
		return vmrpc__fail(EPROTO, "%u methods and %u callbacks are more than possible", hello->n_methods,
				   hello->n_callbacks);
	r = vmrpc__server_find(session, hello->service, &session->service);
	if (r < 0)
		return r;
	session->conn->service = session->service;
	if (hello->major != session->service->major)
		return vmrpc__fail(EPROTONOSUPPORT, "the client wants %s version %u, this server has version %u.%u",
				   hello->service, hello->major, session->service->major, session->service->minor);
	return 0;
}

static int make_region(struct vmrpc__session *session, const struct vmrpc__hello *hello)
{
	const struct vmrpc__options *options = session->options;
	struct vmrpc__region *region = &session->region;
	size_t heap = 0, stack = 0, channels = 0;
	bool any = options->map_any || hello->flags & VMRPC__HELLO_MAP_ANY;
	int r;

	r = decide("heap", hello->heap_size, options->heap, VMRPC__HEAP_DEFAULT, VMRPC__HEAP_LIMIT, &heap);
	if (r == 0)
		r = decide("stack", hello->stack_size, options->stack, VMRPC__STACK_DEFAULT, VMRPC__STACK_LIMIT,
			   &stack);
	if (r == 0)
		r = decide("channels", hello->n_channels, options->channels, VMRPC__CHANNELS_DEFAULT,
			   VMRPC__CHANNELS_LIMIT, &channels);
	if (r == 0)
		r = vmrpc__layout_plan(&session->layout, (uint32_t)channels, stack, heap);
	if (r < 0)
		return r;
	atomic_store(&region->size, session->layout.size);
	region->reserved = session->layout.reserved;
	r = session->link->backend->region_create(session->link, region);
	if (r < 0)
		return r;
	r = -EEXIST;
	for (unsigned try = 0; r == -EEXIST && try < 4 && !any; try++)
		r = vmrpc__region_map(region, VMRPC__PLACE_GOOD + try);
	if (r == -EEXIST)
		r = vmrpc__region_map(region, 0);
	if (r < 0) {
		/* Without room for heaps to come, then. */
		region->reserved = session->layout.reserved = session->layout.size;
		r = vmrpc__region_map(region, 0);
	}
	if (r < 0)
		return r;
	memcpy(region->base, &session->layout, sizeof session->layout);
	return 0;
}

/* Moves our mapping to address, if that is free. */
static bool move_to(struct vmrpc__session *session, uint64_t address)
{
	struct vmrpc__region *region = &session->region;
	struct vmrpc__region moved = *region;

	if (!vmrpc__region_may_lie_at(region, address, session->trust) || vmrpc__region_map(&moved, address) < 0)
		return false;
	vmrpc__region_unmap(region);
	region->base = moved.base;
	return true;
}

static int place(struct vmrpc__session *session, const struct vmrpc__hello *hello, int64_t deadline)
{
	struct vmrpc__region *region = &session->region;
	struct vmrpc__region_message message = {
		.kind = VMRPC__REGION,
		.flags = session->trust ? VMRPC__HELLO_TRUST : 0,
		.size = region->size,
		.reserved = region->reserved,
		.address = (uintptr_t)region->base,
	};
	bool any = session->options->map_any || hello->flags & VMRPC__HELLO_MAP_ANY;
	int r;

	message.flags |= any ? VMRPC__HELLO_MAP_ANY : 0;
	vmrpc__cpus(message.cpus);
	session->may_spin = vmrpc__may_spin(message.cpus, hello->cpus);
	r = session->link->backend->region_offer(session->link, region, &message, sizeof message);
	message.kind = VMRPC__PLACE;
	for (int round = 0; r == 0; round++) {
		union vmrpc__message placed;
		uint64_t client;

		r = vmrpc__expect(session, &placed, VMRPC__PLACED, sizeof placed.region, deadline);
		if (r < 0)
			break;
		client = placed.region.address;
		message.flags = any || round >= VMRPC__PLACE_ROUNDS ? VMRPC__PLACE_FINAL : 0;
		if (client != message.address && !message.flags && !move_to(session, client))
			/* Not there either: somewhere else that is likely to be free at both. */
			for (unsigned try = 0; try < 4; try++) {
				struct vmrpc__region moved = *region;

				if (vmrpc__region_map(&moved, VMRPC__PLACE_GOOD + (unsigned)round + 1 + try) == 0) {
					vmrpc__region_unmap(region);
					region->base = moved.base;
					break;
				}
			}
		message.address = (uintptr_t)region->base;
		session->offset = (ptrdiff_t)(message.address - client);
		r = vmrpc__send(session, &message, sizeof message, deadline);
		if (r == 0 && (client == message.address || message.flags))
			return 0;
	}
	return r;
}

struct by_hash { /* a digest, or the hash of a name */
	uint64_t hash;
	uint32_t index;
};

static int compare_hashes(const void *a, const void *b)
{
	uint64_t x = ((const struct by_hash *)a)->hash, y = ((const struct by_hash *)b)->hash;

	return x < y ? -1 : x > y;
}

static const struct by_hash *find_hash(const struct by_hash *sorted, uint32_t n, uint64_t hash)
{
	struct by_hash key = {.hash = hash};

	return bsearch(&key, sorted, n, sizeof *sorted, compare_hashes);
}

/* Hears n methods (or callbacks) of the client and finds for each our index in methods, UINT32_MAX for none. */
static int match_methods(struct vmrpc__session *session, const struct vmrpc_method *methods, uint32_t n_own, uint32_t n,
			 uint32_t flags, uint32_t *ret_own, int64_t deadline)
{
	struct by_hash *digests = calloc(2 * (size_t)n_own + 1, sizeof *digests), *names = digests + n_own;
	uint32_t done = 0;
	int r = 0;

	if (!digests)
		return vmrpc__fail(ENOMEM, "no memory for a client");
	for (uint32_t i = 0; i < n_own; i++) {
		digests[i] = (struct by_hash){methods[i].digest, i};
		names[i] = (struct by_hash){vmrpc__hash_name(methods[i].name), i};
	}
	qsort(digests, n_own, sizeof *digests, compare_hashes);
	qsort(names, n_own, sizeof *names, compare_hashes);
	while (done < n && r == 0) {
		union vmrpc__message message;
		struct vmrpc__methods_message *offer = &message.methods;

		r = vmrpc__expect(session, &message, VMRPC__METHODS, sizeof message.methods, deadline);
		if (r < 0)
			break;
		if (offer->first != done || offer->flags != flags || offer->n == 0 ||
		    offer->n > VMRPC__METHODS_PER_MESSAGE || offer->n > n - done) {
			r = vmrpc__fail(EPROTO, "methods were offered out of order");
			break;
		}
		for (uint32_t i = 0; i < offer->n; i++) {
			const struct by_hash *found = find_hash(digests, n_own, offer->entries[i].digest);
			int error = found ? 0 : ENOSYS;

			/* Same name, other digest: the signature or a layout has changed. */
			if (!found && find_hash(names, n_own, offer->entries[i].name))
				error = EPROTONOSUPPORT;
			ret_own[done + i] = found ? found->index : UINT32_MAX;
			offer->entries[i].name = (uint64_t)error;
		}
		done += offer->n;
		offer->kind = VMRPC__METHODS_OK;
		r = vmrpc__send(session, offer, sizeof *offer, deadline);
	}
	free(digests);
	return r;
}

static int learn_methods(struct vmrpc__session *session, const struct vmrpc__hello *hello, int64_t deadline)
{
	const struct vmrpc_service *service = session->service;
	uint32_t *own = calloc(hello->n_methods + hello->n_callbacks + 1, sizeof *own);
	int r;

	session->methods = calloc(hello->n_methods + 1, sizeof *session->methods);
	session->callbacks = calloc(service->n_callbacks + 1, sizeof *session->callbacks);
	if (!own || !session->methods || !session->callbacks) {
		free(own);
		return vmrpc__fail(ENOMEM, "no memory for a client");
	}
	memset(session->callbacks, 0xff, service->n_callbacks * sizeof *session->callbacks);
	r = match_methods(session, service->methods, service->n_methods, hello->n_methods, 0, own, deadline);
	for (uint32_t i = 0; r == 0 && i < hello->n_methods; i++)
		session->methods[i] = own[i] == UINT32_MAX ? NULL : &service->methods[own[i]];
	session->n_methods = hello->n_methods;
	if (r == 0)
		r = match_methods(session, service->callbacks, service->n_callbacks, hello->n_callbacks,
				  VMRPC__HELLO_CALLBACKS, own, deadline);
	for (uint32_t i = 0; r == 0 && i < hello->n_callbacks; i++)
		if (own[i] != UINT32_MAX)
			session->callbacks[own[i]] = i;
	free(own);
	return r;
}

/* Until the client is ready it may ask what methods look like here. */
static int answer_until_ready(struct vmrpc__session *session, int64_t deadline)
{
	const struct vmrpc_service *service = session->service;

	for (unsigned n = 0;; n++) {
		union vmrpc__message message;
		struct vmrpc__layout_message *layout = &message.layout;
		int r = vmrpc__hear(session, &message, deadline);

		if (r < 0)
			return r;
		if ((size_t)r != sizeof *layout || message.kind != VMRPC__LAYOUT || n == VMRPC__LAYOUTS)
			return vmrpc__check(&message, r, VMRPC__READY, sizeof message.ready);
		memset(layout->text, 0, sizeof layout->text);
		for (uint32_t i = 0; i < service->n_methods; i++)
			if (vmrpc__hash_name(service->methods[i].name) == layout->name && service->methods[i].layout)
				snprintf(layout->text, sizeof layout->text, "%s", service->methods[i].layout);
		r = vmrpc__send(session, layout, sizeof *layout, deadline);
		if (r < 0)
			return r;
	}
}

int vmrpc__handshake_server(struct vmrpc__session *session, int64_t deadline)
{
	struct vmrpc__hello hello;
	int r = hear_hello(session, &hello, deadline);

	if (r == 0) {
		session->trust = session->options->trust >= 0 ? session->options->trust : session->link->same_user;
		session->peer_trusts = hello.flags & VMRPC__HELLO_TRUST;
		r = make_region(session, &hello);
	}
	if (r == 0)
		r = place(session, &hello, deadline);
	if (r == 0 && session->options->lock) /* not before: what is mapped elsewhere anew is not locked there */
		r = vmrpc__region_lock(&session->region);
	if (r == 0)
		r = learn_methods(session, &hello, deadline);
	if (r == 0)
		r = vmrpc__session_begin(session);
	if (r == 0)
		r = answer_until_ready(session, deadline);
	if (r < 0 && r != -EPIPE) {
		struct vmrpc__ready_message refused = {.kind = VMRPC__REFUSED, .error = (uint32_t)-r};

		snprintf(refused.text, sizeof refused.text, "%s", vmrpc_error_message());
		session->link->backend->send(session->link, &refused, sizeof refused, vmrpc__deadline(100));
	}
	return r;
}
