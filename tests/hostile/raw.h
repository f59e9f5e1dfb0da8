/* Either side of a connection, spoken by hand: the handshake's messages and the words in shared memory, with nothing of
 * the runtime but wire.h in between, so that a test can lie in any of them. */
#ifndef RAW_H
#define RAW_H

#include <stdbool.h>
#include <stdint.h>

#include <vmrpc/stub.h>

#include "wire.h"

#define RAW_PATIENCE_MS 20000 /* for an answer that must come */

union raw_message {
	uint32_t kind;
	struct vmrpc__hello hello;
	struct vmrpc__region_message region;
	struct vmrpc__methods_message methods;
	struct vmrpc__ready_message ready;
	uint32_t words[1024];
};

/* The messages of a handshake, in the order in which a side sends them. */
enum raw_step {
	RAW_HELLO, /* client */
	RAW_PLACED,
	RAW_METHODS,
	RAW_CALLBACKS,
	RAW_READY,
	RAW_REGION, /* server */
	RAW_PLACE,
	RAW_METHODS_OK,
	RAW_CALLBACKS_OK,
	RAW_SERVER_READY,
	RAW_N_STEPS,
};

struct raw;

/* Changes a message before it is sent. *size 0: it is not sent. Returns false to hang up instead. */
typedef bool raw_twist(struct raw *raw, enum raw_step step, union raw_message *message, size_t *size, void *arg);

struct raw {
	int socket, memory; /* -1: none */
	unsigned char *base;
	size_t size, reserved;
	uint64_t address;	      /* of the region at the peer */
	struct vmrpc__control layout; /* as it stands in the control page */
	uint32_t turns[4096];	      /* of each channel: last one published or seen */
	uint32_t generations[4096];
	char refusal[512];
	uint32_t service_flags;		     /* in HELLO */
	const struct vmrpc_service *service; /* whose methods it speaks of; NULL: lab's */
	uint32_t n_callbacks;		     /* that the client has said it has */
	raw_twist *twist;
	void *arg;
};

/* ---- the socket ---------------------------------------------------------------------------------------------- */

/* The path of the socket called name. */
void raw_path(char *path, size_t size, const char *name);
void raw_init(struct raw *raw);
/* Half-built ones are fine, and twice is fine. */
void raw_close(struct raw *raw);
int raw_connect(struct raw *raw, const char *name);
bool raw_send(struct raw *raw, const void *message, size_t size);
/* A message with a few descriptors, the first of them first, if it is one. */
void raw_send_descriptors(struct raw *raw, const void *message, size_t size, int first);
/* The size, 0 when the peer has hung up, -1 when nothing came in time. A descriptor that comes along becomes
 * raw->memory. */
int raw_recv(struct raw *raw, void *message, size_t capacity, int ms);
/* Whether the peer hangs up in time; what it sends before is dropped. */
bool raw_is_hung_up(struct raw *raw, int ms);

/* ---- as a client --------------------------------------------------------------------------------------------- */

/* Shakes hands for the service, each message twisted. 0; or -EPIPE when the server hung up, -ETIMEDOUT when it fell
 * silent, or the negative errno of its refusal, whose words are in raw->refusal. */
int raw_handshake(struct raw *raw, raw_twist *twist, void *arg);
/* Connects and shakes hands. */
int raw_open(struct raw *raw, const char *name, raw_twist *twist, void *arg);

struct vmrpc__channel_block *raw_block(const struct raw *raw, uint32_t channel);
struct vmrpc__doorplate *raw_doorplate(const struct raw *raw, uint32_t channel);
/* Opens a channel on the doorplate and rings. */
void raw_open_channel(struct raw *raw, uint32_t channel);
void raw_close_channel(struct raw *raw, uint32_t channel);
/* Waits until the server has let go of it. Opened before, it may never be served. */
bool raw_await_closed(struct raw *raw, uint32_t channel);
void raw_ring(struct raw *raw);

#define RAW_HEAD(flags, number) (((uint32_t)(flags) << 16) | ((uint32_t)(number)&0xffff))

/* Writes a cell and publishes the next turn. */
void raw_publish(struct raw *raw, uint32_t channel, uint32_t head, const uint64_t *words);
/* Publishes this turn instead. */
void raw_publish_turn(struct raw *raw, uint32_t channel, uint32_t head, const uint64_t *words, uint32_t turn);
/* Waits for the peer's next turn: its head in *ret_head. 0, -EPIPE (hung up) or -ETIMEDOUT. */
int raw_await(struct raw *raw, uint32_t channel, uint32_t *ret_head, int ms);
/* Both. The status of the reply, or -EPIPE or -ETIMEDOUT as raw_await(); words are those of the cell afterwards. A
 * message that is no reply is -EPROTO, its head in *ret_head (may be NULL). */
int raw_call(struct raw *raw, uint32_t channel, uint32_t flags, uint32_t number, uint64_t *words, uint32_t *ret_head);

/* ---- as a server --------------------------------------------------------------------------------------------- */

/* Listens as name. */
int raw_listen(const char *name);
int raw_accept(struct raw *raw, int listener);
/* Answers one client's handshake, each message twisted; makes the region as a real server would. 0 or -EPIPE,
 * -ETIMEDOUT, -EPROTO as the client goes. */
int raw_answer_handshake(struct raw *raw, raw_twist *twist, void *arg);

#endif
