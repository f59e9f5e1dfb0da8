/* What the two sides of the handshake share. */
#ifndef VMRPC_HANDSHAKE_H
#define VMRPC_HANDSHAKE_H

#include "internal.h"

union vmrpc__message {
	uint32_t kind;
	struct vmrpc__hello hello;
	struct vmrpc__region_message region;
	struct vmrpc__methods_message methods;
	struct vmrpc__layout_message layout;
	struct vmrpc__ready_message ready;
};

uint64_t vmrpc__hash_name(const char *name);
int vmrpc__send(struct vmrpc__session *session, const void *message, size_t size, int64_t deadline);
/* Receives any message: its size, or an error. */
int vmrpc__hear(struct vmrpc__session *session, union vmrpc__message *message, int64_t deadline);
/* Whether it is of this kind and size. */
int vmrpc__check(union vmrpc__message *message, int received, uint32_t kind, size_t size);
/* Receives a message that must be of this kind and size. A refusal becomes this side's error. */
int vmrpc__expect(struct vmrpc__session *session, union vmrpc__message *message, uint32_t kind, size_t size,
		  int64_t deadline);

#endif
