/* The handshake, client's side: who are you, here is the memory, at which address, and which of your methods are
 * mine. handshake_server.c answers line by line. What a peer says is checked before use. */
#include "handshake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a: names are told apart, not protected. */
uint64_t vmrpc__hash_name(const char *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
	return hash;
}

static void make_printable(char *text, size_t size)
{
	text[size - 1] = 0;
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
}

/* The peer's refusal becomes this side's error. */
static int refused(struct vmrpc__ready_message *message)
{
	int error = message->error > 0 && message->error < 4096 ? (int)message->error : EPROTO;

	make_printable(message->text, sizeof message->text);
	return vmrpc__fail(error, "refused: %s", message->text);
}

int vmrpc__check(union vmrpc__message *message, int received, uint32_t kind, size_t size)
{
	if ((size_t)received == sizeof message->ready && message->kind == VMRPC__REFUSED)
		return refused(&message->ready);
	if ((size_t)received != size || message->kind != kind)
		return vmrpc__fail(
			EPROTO, "the peer does not speak this protocol (version %u): use the same vmrpc on both sides",
			VMRPC__PROTOCOL);
	return 0;
}

int vmrpc__send(struct vmrpc__session *session, const void *message, size_t size, int64_t deadline)
{
	const struct vmrpc__backend *backend = session->link->backend;
	union vmrpc__message last_words;
	int r = backend->send(session->link, message, size, deadline);

	if (r != -EPIPE || session->side != VMRPC__CLIENT)
		return r;
	/* A server may refuse us before it has heard us out. */
	memset(&last_words, 0, sizeof last_words);
	if (backend->recv(session->link, &last_words, sizeof last_words, 0) == sizeof last_words.ready &&
	    last_words.kind == VMRPC__REFUSED)
		return refused(&last_words.ready);
	return vmrpc__fail(EPIPE, "the server went away while connecting");
}

int vmrpc__hear(struct vmrpc__session *session, union vmrpc__message *message, int64_t deadline)
{
	memset(message, 0, sizeof *message);
	return session->link->backend->recv(session->link, message, sizeof *message, deadline);
}

int vmrpc__expect(struct vmrpc__session *session, union vmrpc__message *message, uint32_t kind, size_t size,
		  int64_t deadline)
{
	int r = vmrpc__hear(session, message, deadline);

	return r < 0 ? r : vmrpc__check(message, r, kind, size);
}

static int say_hello(struct vmrpc__session *session, int64_t deadline)
{
	const struct vmrpc__options *options = session->options;
	struct vmrpc__hello hello = {
		.kind = VMRPC__HELLO,
		.protocol = VMRPC__PROTOCOL,
		.magic = VMRPC__MAGIC,
		.flags = (options->map_any ? VMRPC__HELLO_MAP_ANY : 0) | (session->trust ? VMRPC__HELLO_TRUST : 0),
		.major = session->service->major,
		.minor = session->service->minor,
		.n_methods = session->service->n_methods,
		.n_callbacks = session->service->n_callbacks,
		.n_channels = options->channels,
		.heap_size = options->heap,
		.stack_size = options->stack,
	};

	vmrpc__cpus(hello.cpus);
	snprintf(hello.service, sizeof hello.service, "%s", session->service->name);
	return vmrpc__send(session, &hello, sizeof hello, deadline);
}

/* Tries to map where the server has the region; with map=any, anywhere else. */
static int map_at_client(struct vmrpc__session *session, uint64_t address, bool any)
{
	struct vmrpc__region *region = &session->region;
	int r;

	if (!any && vmrpc__region_may_lie_at(region, address, session->trust)) {
		r = vmrpc__region_map(region, address);
		if (r != -EEXIST)
			return r;
	}
	r = vmrpc__region_map(region, 0);
	if (r == 0 && any && region->base == (unsigned char *)(uintptr_t)address) {
		struct vmrpc__region first = *region; /* by chance the same address: insist */

		r = vmrpc__region_map(region, 0);
		vmrpc__region_unmap(&first);
	}
	return r;
}

static int place_at_client(struct vmrpc__session *session, const struct vmrpc__region_message *offer, int64_t deadline)
{
	const bool any = session->options->map_any || offer->flags & VMRPC__HELLO_MAP_ANY;
	uint64_t server = offer->address;

	for (int round = 0; round < VMRPC__PLACE_ROUNDS + 2; round++) {
		struct vmrpc__region_message placed = {
			.kind = VMRPC__PLACED, .size = offer->size, .reserved = offer->reserved};
		union vmrpc__message reply;
		int r = 0;

		if (!session->region.base)
			r = map_at_client(session, server, any);
		if (r < 0)
			return r;
		placed.address = (uintptr_t)session->region.base;
		r = vmrpc__send(session, &placed, sizeof placed, deadline);
		if (r == 0)
			r = vmrpc__expect(session, &reply, VMRPC__PLACE, sizeof reply.region, deadline);
		if (r < 0)
			return r;
		server = reply.region.address;
		if (server == placed.address || reply.region.flags & VMRPC__PLACE_FINAL) {
			session->offset = (ptrdiff_t)(server - placed.address);
			return 0;
		}
		vmrpc__region_unmap(&session->region);
	}
	return vmrpc__fail(EPROTO, "the server never settled where the region lies");
}

/* Sends digests of methods or callbacks; keeps what the server thinks of them. */
static int offer_methods(struct vmrpc__session *session, const struct vmrpc_method *methods, uint32_t n, uint32_t flags,
			 int64_t deadline)
{
	for (uint32_t first = 0; first < n; first += VMRPC__METHODS_PER_MESSAGE) {
		struct vmrpc__methods_message offer = {.kind = VMRPC__METHODS, .flags = flags, .first = first};
		union vmrpc__message reply;
		int r;

		for (; offer.n < VMRPC__METHODS_PER_MESSAGE && first + offer.n < n; offer.n++)
			offer.entries[offer.n] = (struct vmrpc__method_entry){
				methods[first + offer.n].digest, vmrpc__hash_name(methods[first + offer.n].name)};
		r = vmrpc__send(session, &offer, sizeof offer, deadline);
		if (r == 0)
			r = vmrpc__expect(session, &reply, VMRPC__METHODS_OK, sizeof reply.methods, deadline);
		if (r < 0)
			return r;
		if (reply.methods.first != first || reply.methods.n != offer.n || reply.methods.flags != flags)
			return vmrpc__fail(EPROTO, "the server answered for other methods than were offered");
		for (uint32_t i = 0; i < offer.n && !flags; i++)
			session->verdicts[first + i] = reply.methods.entries[i].name < 256
							       ? (uint8_t)reply.methods.entries[i].name
							       : EPROTONOSUPPORT;
	}
	return 0;
}

/* Asks what methods look like there that have another signature or layout here, for those who will call them. A few
 * will do: whoever sees one understands. */
static int learn_layouts(struct vmrpc__session *session, int64_t deadline)
{
	const struct vmrpc_service *service = session->service;
	unsigned n = 0;

	for (uint32_t i = 0; i < service->n_methods && n < VMRPC__LAYOUTS; i++) {
		struct vmrpc__layout_message question = {.kind = VMRPC__LAYOUT};
		union vmrpc__message reply;
		int r;

		if (session->verdicts[i] != EPROTONOSUPPORT)
			continue;
		question.name = vmrpc__hash_name(service->methods[i].name);
		r = vmrpc__send(session, &question, sizeof question, deadline);
		if (r == 0)
			r = vmrpc__expect(session, &reply, VMRPC__LAYOUT, sizeof reply.layout, deadline);
		if (r < 0)
			return r;
		make_printable(reply.layout.text, sizeof reply.layout.text);
		session->layouts[n].method = i;
		session->layouts[n++].text = strdup(reply.layout.text);
	}
	return 0;
}

static int check_offer(const struct vmrpc__region_message *offer)
{
	if (offer->size < VMRPC__PAGE || offer->size % VMRPC__PAGE || offer->reserved < offer->size ||
	    offer->reserved % VMRPC__PAGE || offer->reserved > UINT64_C(1) << 42)
		return vmrpc__fail(EPROTO, "the server offers a region that makes no sense");
	return 0;
}

int vmrpc__handshake_client(struct vmrpc__session *session, int64_t deadline)
{
	const struct vmrpc_service *service = session->service;
	struct vmrpc__region *region = &session->region;
	const struct vmrpc__ready_message ready = {.kind = VMRPC__READY};
	uint64_t cpus[VMRPC__CPUS / 64];
	union vmrpc__message message;
	int r;

	session->trust = session->options->trust != 0;
	session->verdicts = calloc(service->n_methods + 1, 1);
	if (!session->verdicts)
		return vmrpc__fail(ENOMEM, "no memory for a connection");
	r = say_hello(session, deadline);
	if (r < 0)
		return r;
	memset(&message, 0, sizeof message);
	r = session->link->backend->region_accept(session->link, region, &message, sizeof message, deadline);
	if (r >= 0)
		r = vmrpc__check(&message, r, VMRPC__REGION, sizeof message.region);
	if (r == 0)
		r = check_offer(&message.region);
	if (r < 0)
		return r;
	atomic_store(&region->size, message.region.size);
	region->reserved = message.region.reserved;
	session->peer_trusts = message.region.flags & VMRPC__HELLO_TRUST;
	vmrpc__cpus(cpus);
	session->may_spin = vmrpc__may_spin(cpus, message.region.cpus);
	r = place_at_client(session, &message.region, deadline);
	if (r < 0)
		return r;
	memcpy(&session->layout, region->base, sizeof session->layout);
	r = vmrpc__layout_check(&session->layout, region->size, region->reserved);
	if (r == 0 && session->options->lock)
		r = vmrpc__region_lock(region);
	if (r == 0)
		r = offer_methods(session, service->methods, service->n_methods, 0, deadline);
	if (r == 0)
		r = offer_methods(session, service->callbacks, service->n_callbacks, VMRPC__HELLO_CALLBACKS, deadline);
	if (r == 0)
		r = learn_layouts(session, deadline);
	if (r == 0)
		r = vmrpc__session_begin(session);
	if (r == 0)
		r = vmrpc__send(session, &ready, sizeof ready, deadline);
	if (r == 0)
		r = vmrpc__expect(session, &message, VMRPC__READY, sizeof message.ready, deadline);
	return r;
}
