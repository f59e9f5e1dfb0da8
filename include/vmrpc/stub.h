/* What stubs and dispatch tables use: those vmrpcgen writes, and those written by hand.
 *
 * A method's arguments and result travel in one C struct, its frame. The client's stub fills a frame and
 * makes one call; the server's thunk takes a frame and makes one call. Frames of up to 56 bytes pass
 * through the channel's cache line. Sizes of frames are multiples of 8 and every byte is initialised. */
#ifndef VMRPC_STUB_H
#define VMRPC_STUB_H

#include <stdint.h>

#include <vmrpc/describe.h>
#include <vmrpc/vmrpc.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VMRPC_STUB_ABI 2u /* of the structs below; checked when a service is first used */

/* Unpacks frame, calls the function, packs its result into frame. Returns 0 or a negative errno, which
 * the caller gets instead of a result. frame is private to this side. */
typedef int vmrpc_thunk(void *frame);

enum {
	VMRPC_METHOD_ASYNC = 1 << 0,	    /* the caller does not wait; no result */
	VMRPC_METHOD_IDEMPOTENT = 1 << 1,   /* may be repeated on a new server when the old one died in it */
	VMRPC_METHOD_SHARED_STACK = 1 << 2, /* runs on the caller's RPC stack where both sides trust */
};

struct vmrpc_method {
	const char *name;
	uint64_t digest;	/* over name, signature and every layout it reaches */
	uint32_t frame_size;	/* multiple of 8, at most VMRPC_FRAME_MAX */
	uint32_t result_offset; /* bytes of the frame from here on (multiple of 8) travel back */
	uint32_t flags;		/* VMRPC_METHOD_* */
	uint32_t timeout_ms;	/* of one call; 0: the connection's */
	vmrpc_thunk *serve;	/* NULL on the side that calls */

	/* Of methods that vmrpcgen describes: */
	const struct vmrpc_type *frame; /* parameters in their order, then the result, then errno */
	const uint16_t *passes; /* those fields of it that are more than their bits, in the order to look at them */
	uint32_t n_passes;
	uint32_t n_params;
	const int64_t *success; /* whether outs were written; NULL: always */
	const char *layout;	/* what the digest stands for, in words */
};

#define VMRPC_FRAME_MAX (64u * 1024)

/* The connection stubs of a service use when they are given none. Zero-initialised, one per service. */
struct vmrpc_binding {
	struct vmrpc *conn;
};

struct vmrpc_service {
	uint32_t abi; /* VMRPC_STUB_ABI */
	const char *name;
	uint32_t major, minor;
	const struct vmrpc_method *methods; /* client to server; fewer than 65536 */
	uint32_t n_methods;
	const struct vmrpc_method *callbacks; /* server to client, while the client waits; serve is set at the client */
	uint32_t n_callbacks;
	struct vmrpc_binding *binding;
};

/* Calls methods[index]: on conn, or, where conn is NULL, on the service's own connection, which is opened
 * if need be. Returns 0 with the result in frame, or a negative errno with frame untouched. A method with
 * VMRPC_METHOD_ASYNC returns once it is on its way. */
VMRPC_PUBLIC int vmrpc_stub_call(struct vmrpc *conn, const struct vmrpc_service *service, uint32_t index, void *frame);

/* Waits until the peer has run all asynchronous calls of this thread, and reports the first that failed. */
VMRPC_PUBLIC int vmrpc_stub_flush(struct vmrpc *conn, const struct vmrpc_service *service);

/* At the server, inside a thunk: calls callbacks[index] at the client whose call this thread serves. */
VMRPC_PUBLIC int vmrpc_stub_callback(const struct vmrpc_service *service, uint32_t index, void *frame);

/* Hands a failure to the process's failure handler (error.h). */
VMRPC_PUBLIC void vmrpc_stub_failed(const struct vmrpc_service *service, uint32_t index, int error);

/* The failure of methods[index], which is left out of the service: -ENOSYS, with a message. */
VMRPC_PUBLIC int vmrpc_stub_skipped(const struct vmrpc_service *service, uint32_t index);

/* The same for a symbol of a replaced library that the service does not carry. Does not return, even where the handler
 * does. */
VMRPC_PUBLIC void vmrpc_stub_missing(const struct vmrpc_service *service, const char *library, const char *symbol);

#ifdef __cplusplus
}
#endif
#endif
