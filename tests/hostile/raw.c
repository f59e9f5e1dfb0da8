/* See raw.h. */
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../e2e/lab_frames.h"

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the socket ---------------------------------------------------------------------------------------------- */

void raw_path(char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s/vmrpc/%s", getenv("XDG_RUNTIME_DIR"), name);
}

void raw_init(struct raw *raw)
{
	memset(raw, 0, sizeof *raw);
	raw->socket = raw->memory = -1;
}

void raw_close(struct raw *raw)
{
	if (raw->base)
		munmap(raw->base, raw->reserved);
	if (raw->memory >= 0)
		close(raw->memory);
	if (raw->socket >= 0)
		close(raw->socket);
	raw->base = NULL;
	raw->socket = raw->memory = -1;
}

static int new_socket(struct sockaddr_un *address, const char *name)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	raw_path(address->sun_path, sizeof address->sun_path, name);
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

int raw_connect(struct raw *raw, const char *name)
{
	const int64_t give_up = now_ms() + RAW_PATIENCE_MS;
	struct sockaddr_un address;

	raw_init(raw);
	raw->socket = new_socket(&address, name);
	while (connect(raw->socket, (struct sockaddr *)&address, sizeof address) < 0) {
		if ((errno != ENOENT && errno != ECONNREFUSED && errno != EAGAIN) || now_ms() > give_up)
			return -errno;
		poll(NULL, 0, 1);
	}
	return 0;
}

bool raw_send(struct raw *raw, const void *message, size_t size)
{
	return send(raw->socket, message, size, MSG_NOSIGNAL) == (ssize_t)size;
}

void raw_send_descriptors(struct raw *raw, const void *message, size_t size, int first)
{
	const int fds[] = {first < 0 ? raw->socket : first, 0, 1, 2, raw->socket, raw->socket};
	union {
		char bytes[CMSG_SPACE(sizeof fds)];
		struct cmsghdr align;
	} control = {0};
	struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = size};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = sizeof control.bytes};

	CMSG_FIRSTHDR(&header)->cmsg_level = SOL_SOCKET;
	CMSG_FIRSTHDR(&header)->cmsg_type = SCM_RIGHTS;
	CMSG_FIRSTHDR(&header)->cmsg_len = CMSG_LEN(sizeof fds);
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), fds, sizeof fds);
	sendmsg(raw->socket, &header, MSG_NOSIGNAL);
}

static bool readable(const struct raw *raw, int ms)
{
	struct pollfd pollfd = {.fd = raw->socket, .events = POLLIN};

	return poll(&pollfd, 1, ms) > 0;
}

int raw_recv(struct raw *raw, void *message, size_t capacity, int ms)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = {.iov_base = message, .iov_len = capacity};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = sizeof control.bytes};
	ssize_t size;

	if (!readable(raw, ms))
		return -1;
	size = recvmsg(raw->socket, &header, MSG_CMSG_CLOEXEC);
	if (size < 0) /* reset: our last message was never read; the peer's last words may still be there */
		size = recvmsg(raw->socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (size > 0 && header.msg_controllen >= CMSG_LEN(sizeof(int))) {
		if (raw->memory >= 0)
			close(raw->memory);
		memcpy(&raw->memory, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(int));
	}
	return size < 0 ? 0 : (int)size;
}

bool raw_is_hung_up(struct raw *raw, int ms)
{
	const int64_t give_up = now_ms() + ms;
	union raw_message message;
	int64_t left;

	while ((left = give_up - now_ms()) > 0)
		if (raw_recv(raw, &message, sizeof message, (int)left) == 0)
			return true;
	return false;
}

/* Sends a message as the test wants it. False when it wants to hang up. */
static bool send_twisted(struct raw *raw, enum raw_step step, union raw_message *message, size_t size)
{
	if (raw->twist && !raw->twist(raw, step, message, &size, raw->arg)) {
		shutdown(raw->socket, SHUT_RDWR);
		return false;
	}
	if (size)
		raw_send(raw, message, size);
	return true;
}

/* Waits for a message of this kind and size. */
static int expect(struct raw *raw, union raw_message *message, uint32_t kind, size_t size)
{
	int received;

	memset(message, 0, sizeof *message);
	received = raw_recv(raw, message, sizeof *message, RAW_PATIENCE_MS);
	if (received <= 0)
		return received < 0 ? -ETIMEDOUT : -EPIPE;
	if (message->kind == VMRPC__REFUSED && received == sizeof message->ready) {
		memcpy(raw->refusal, message->ready.text, sizeof raw->refusal);
		return -(int)message->ready.error;
	}
	return message->kind == kind && (size_t)received == size ? 0 : -EPROTO;
}

/* ---- as a client --------------------------------------------------------------------------------------------- */

static uint64_t hash_name(const char *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
	return hash;
}

static int map_region(struct raw *raw, const struct vmrpc__region_message *offer)
{
	void *base;

	raw->size = offer->size;
	raw->reserved = offer->reserved;
	raw->address = offer->address;
	base = mmap(NULL, raw->reserved, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, raw->memory, 0);
	if (base == MAP_FAILED)
		return -errno;
	raw->base = base;
	memcpy(&raw->layout, raw->base, sizeof raw->layout);
	return 0;
}

static int say_placed(struct raw *raw)
{
	union raw_message message, reply;
	int r;

	do {
		memset(&message, 0, sizeof message);
		message.region = (struct vmrpc__region_message){
			.kind = VMRPC__PLACED,
			.size = raw->size,
			.reserved = raw->reserved,
			.address = (uintptr_t)raw->base,
		};
		if (!send_twisted(raw, RAW_PLACED, &message, sizeof message.region))
			return -EPIPE;
		r = expect(raw, &reply, VMRPC__PLACE, sizeof reply.region);
		if (r < 0)
			return r;
		raw->address = reply.region.address;
	} while (raw->address != message.region.address && !(reply.region.flags & VMRPC__PLACE_FINAL));
	return 0;
}

static int say_methods(struct raw *raw, enum raw_step step, const struct vmrpc_method *methods, uint32_t n,
		       uint32_t flags)
{
	union raw_message message = {.methods = {.kind = VMRPC__METHODS, .flags = flags, .n = n}}, reply;

	for (uint32_t i = 0; i < n; i++)
		message.methods.entries[i] =
			(struct vmrpc__method_entry){methods[i].digest, hash_name(methods[i].name)};
	if (!send_twisted(raw, step, &message, sizeof message.methods))
		return -EPIPE;
	return expect(raw, &reply, VMRPC__METHODS_OK, sizeof reply.methods);
}

int raw_handshake(struct raw *raw, raw_twist *twist, void *arg)
{
	union raw_message message = {0};
	int r;
	const struct vmrpc_service *service = raw->service ? raw->service : &lab_service;

	raw->twist = twist;
	raw->arg = arg;
	message.hello = (struct vmrpc__hello){
		.kind = VMRPC__HELLO,
		.protocol = VMRPC__PROTOCOL,
		.magic = VMRPC__MAGIC,
		.flags = VMRPC__HELLO_MAP_ANY | raw->service_flags,
		.major = service->major,
		.n_methods = service->n_methods,
		.n_callbacks = service->n_callbacks,
		.heap_size = 1 << 20,
	};
	snprintf(message.hello.service, sizeof message.hello.service, "%s", service->name);
	memset(message.hello.cpus, 0xff, sizeof message.hello.cpus);
	if (!send_twisted(raw, RAW_HELLO, &message, sizeof message.hello))
		return -EPIPE;
	r = expect(raw, &message, VMRPC__REGION, sizeof message.region);
	if (r == 0)
		r = map_region(raw, &message.region);
	if (r == 0)
		r = say_placed(raw);
	if (r == 0)
		r = say_methods(raw, RAW_METHODS, service->methods, service->n_methods, 0);
	if (r == 0 && service->n_callbacks)
		r = say_methods(raw, RAW_CALLBACKS, service->callbacks, service->n_callbacks, VMRPC__HELLO_CALLBACKS);
	if (r < 0)
		return r;
	memset(&message, 0, sizeof message);
	message.kind = VMRPC__READY;
	if (!send_twisted(raw, RAW_READY, &message, sizeof message.ready))
		return -EPIPE;
	return expect(raw, &message, VMRPC__READY, sizeof message.ready);
}

int raw_open(struct raw *raw, const char *name, raw_twist *twist, void *arg)
{
	int r = raw_connect(raw, name);

	return r < 0 ? r : raw_handshake(raw, twist, arg);
}

struct vmrpc__channel_block *raw_block(const struct raw *raw, uint32_t channel)
{
	return (struct vmrpc__channel_block *)(void *)(raw->base + raw->layout.channels) + channel;
}

struct vmrpc__doorplate *raw_doorplate(const struct raw *raw, uint32_t channel)
{
	return (struct vmrpc__doorplate *)(void *)(raw->base + raw->layout.doorplates) + channel;
}

void raw_ring(struct raw *raw)
{
	send(raw->socket, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void raw_open_channel(struct raw *raw, uint32_t channel)
{
	raw->turns[channel] = 0;
	atomic_store(&raw_block(raw, channel)->cell.state, 0);
	atomic_store(&raw_doorplate(raw, channel)->client, ++raw->generations[channel] * 2 + 1);
	raw_ring(raw);
}

void raw_close_channel(struct raw *raw, uint32_t channel)
{
	atomic_store(&raw_doorplate(raw, channel)->client, raw->generations[channel] * 2);
	raw_ring(raw);
}

bool raw_await_closed(struct raw *raw, uint32_t channel)
{
	const int64_t give_up = now_ms() + RAW_PATIENCE_MS;

	while (atomic_load(&raw_doorplate(raw, channel)->server) != raw->generations[channel] * 2) {
		if (now_ms() > give_up)
			return false;
		poll(NULL, 0, 1);
	}
	return true;
}

static void wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void raw_publish_turn(struct raw *raw, uint32_t channel, uint32_t head, const uint64_t *words, uint32_t turn)
{
	struct vmrpc__cell *cell = &raw_block(raw, channel)->cell;

	for (unsigned i = 0; words && i < VMRPC__CELL_WORDS; i++)
		atomic_store_explicit(&cell->words[i], words[i], memory_order_relaxed);
	atomic_store_explicit(&cell->head, head, memory_order_relaxed);
	atomic_exchange(&cell->state, turn);
	wake(&cell->state);
}

void raw_publish(struct raw *raw, uint32_t channel, uint32_t head, const uint64_t *words)
{
	raw->turns[channel] += VMRPC__TURN;
	raw_publish_turn(raw, channel, head, words, raw->turns[channel]);
}

int raw_await(struct raw *raw, uint32_t channel, uint32_t *ret_head, int ms)
{
	struct vmrpc__cell *cell = &raw_block(raw, channel)->cell;
	const uint32_t expected = raw->turns[channel] + VMRPC__TURN;
	const int64_t give_up = now_ms() + ms;

	while (VMRPC__TURN_OF(atomic_load(&cell->state)) != expected) {
		char byte;

		if (recv(raw->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
			return -EPIPE;
		if (now_ms() > give_up)
			return -ETIMEDOUT;
		poll(NULL, 0, 0);
	}
	raw->turns[channel] = expected;
	*ret_head = atomic_load(&cell->head);
	return 0;
}

int raw_call(struct raw *raw, uint32_t channel, uint32_t flags, uint32_t number, uint64_t *words, uint32_t *ret_head)
{
	struct vmrpc__cell *cell = &raw_block(raw, channel)->cell;
	uint32_t head;
	int r;

	raw_publish(raw, channel, RAW_HEAD(flags, number), words);
	r = raw_await(raw, channel, &head, RAW_PATIENCE_MS);
	if (r < 0)
		return r;
	for (unsigned i = 0; words && i < VMRPC__CELL_WORDS; i++)
		words[i] = atomic_load(&cell->words[i]);
	if (ret_head)
		*ret_head = head;
	return (head >> 16 & VMRPC__KIND) == VMRPC__REPLY ? (int16_t)(head & 0xffff) : -EPROTO;
}

/* ---- as a server --------------------------------------------------------------------------------------------- */

int raw_listen(const char *name)
{
	char folder[128];
	struct sockaddr_un address;
	int fd = new_socket(&address, name);

	snprintf(folder, sizeof folder, "%s/vmrpc", getenv("XDG_RUNTIME_DIR"));
	mkdir(folder, 0700);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 16) < 0)
		return -errno;
	return fd;
}

int raw_accept(struct raw *raw, int listener)
{
	struct pollfd pollfd = {.fd = listener, .events = POLLIN};

	raw_init(raw);
	if (poll(&pollfd, 1, RAW_PATIENCE_MS) != 1)
		return -ETIMEDOUT;
	raw->socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return raw->socket < 0 ? -errno : 0;
}

#define N_CHANNELS 4u
#define STACK_SIZE (64u << 10)
#define HEAP_SIZE  (1u << 20)

static uint64_t pages(uint64_t size)
{
	return (size + VMRPC__PAGE - 1) / VMRPC__PAGE * VMRPC__PAGE;
}

static void plan(struct vmrpc__control *layout)
{
	uint64_t offset = VMRPC__PAGE;

	*layout = (struct vmrpc__control){.magic = VMRPC__MAGIC,
					  .protocol = VMRPC__PROTOCOL,
					  .n_channels = N_CHANNELS,
					  .stack_size = STACK_SIZE,
					  .doorplates = offset};
	offset += pages(N_CHANNELS * sizeof(struct vmrpc__doorplate));
	layout->channels = offset;
	offset += N_CHANNELS * sizeof(struct vmrpc__channel_block);
	layout->posts_to_server = offset;
	offset += pages(sizeof(struct vmrpc__free_ring));
	layout->posts_to_client = offset;
	offset += pages(sizeof(struct vmrpc__free_ring));
	layout->stacks = offset;
	offset += N_CHANNELS * (VMRPC__PAGE + STACK_SIZE);
	layout->client_heap = (struct vmrpc__range){offset, HEAP_SIZE};
	layout->server_heap = (struct vmrpc__range){offset + HEAP_SIZE, HEAP_SIZE};
	layout->size = offset + 2 * HEAP_SIZE;
	layout->reserved = 16 * layout->size;
}

/* As a message that carries the region's descriptor. */
static void send_region(struct raw *raw, const void *message, size_t size)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = size};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = sizeof control.bytes};

	CMSG_FIRSTHDR(&header)->cmsg_level = SOL_SOCKET;
	CMSG_FIRSTHDR(&header)->cmsg_type = SCM_RIGHTS;
	CMSG_FIRSTHDR(&header)->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), &raw->memory, sizeof(int));
	if (raw->memory < 0)
		header.msg_control = NULL, header.msg_controllen = 0;
	sendmsg(raw->socket, &header, MSG_NOSIGNAL);
}

static int make_region(struct raw *raw)
{
	void *base;

	plan(&raw->layout);
	raw->size = raw->layout.size;
	raw->reserved = raw->layout.reserved;
	raw->memory = memfd_create("vmrpc", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (raw->memory < 0 || ftruncate(raw->memory, (off_t)raw->size) < 0 ||
	    fcntl(raw->memory, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return -errno;
	base = mmap(NULL, raw->reserved, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, raw->memory, 0);
	if (base == MAP_FAILED)
		return -errno;
	raw->base = base;
	memcpy(raw->base, &raw->layout, sizeof raw->layout);
	return 0;
}

static int answer_placed(struct raw *raw)
{
	union raw_message placed, message;
	int r = expect(raw, &placed, VMRPC__PLACED, sizeof placed.region);

	if (r < 0)
		return r;
	memset(&message, 0, sizeof message);
	message.region = (struct vmrpc__region_message){
		.kind = VMRPC__PLACE, .flags = VMRPC__PLACE_FINAL, .address = (uintptr_t)raw->base};
	raw->address = placed.region.address;
	return send_twisted(raw, RAW_PLACE, &message, sizeof message.region) ? 0 : -EPIPE;
}

static int answer_methods(struct raw *raw, enum raw_step step)
{
	union raw_message message;
	int r = expect(raw, &message, VMRPC__METHODS, sizeof message.methods);

	if (r < 0)
		return r;
	message.kind = VMRPC__METHODS_OK;
	for (unsigned i = 0; i < VMRPC__METHODS_PER_MESSAGE; i++)
		message.methods.entries[i].name = 0;
	return send_twisted(raw, step, &message, sizeof message.methods) ? 0 : -EPIPE;
}

int raw_answer_handshake(struct raw *raw, raw_twist *twist, void *arg)
{
	union raw_message message;
	size_t size = sizeof message.region;
	int r;

	raw->twist = twist;
	raw->arg = arg;
	r = expect(raw, &message, VMRPC__HELLO, sizeof message.hello);
	raw->n_callbacks = message.hello.n_callbacks;
	if (r == 0)
		r = make_region(raw);
	if (r < 0)
		return r;
	memset(&message, 0, sizeof message);
	message.region = (struct vmrpc__region_message){
		.kind = VMRPC__REGION, .size = raw->size, .reserved = raw->reserved, .address = (uintptr_t)raw->base};
	if (twist && !twist(raw, RAW_REGION, &message, &size, arg)) {
		shutdown(raw->socket, SHUT_RDWR);
		return -EPIPE;
	}
	if (size)
		send_region(raw, &message, size);
	r = answer_placed(raw);
	if (r == 0)
		r = answer_methods(raw, RAW_METHODS_OK);
	if (r == 0 && raw->n_callbacks)
		r = answer_methods(raw, RAW_CALLBACKS_OK);
	if (r == 0)
		r = expect(raw, &message, VMRPC__READY, sizeof message.ready);
	if (r < 0)
		return r;
	memset(&message, 0, sizeof message);
	message.kind = VMRPC__READY;
	return send_twisted(raw, RAW_SERVER_READY, &message, sizeof message.ready) ? 0 : -EPIPE;
}
