/* Addresses: BACKEND:WHERE?option=value&... */
#ifndef VMRPC_OPTIONS_H
#define VMRPC_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "backend/backend.h"

#define VMRPC__ALLOW_MAX 16

/* What the options say; a member that was not given has the value in brackets. */
struct vmrpc__options {
	size_t heap;	    /* [0] bytes of each side's arena. Client: what it asks for. Server: what it gives at most,
			     * and when not asked */
	size_t stack;	    /* [0] bytes of each RPC stack, likewise */
	uint32_t channels;  /* [0] client threads that may call at a time, likewise */
	int trust;	    /* [-1: as the backend says] whether to believe the peer */
	int64_t timeout_ms; /* [-1] of a call, and of connecting; connect tries once when not given */
	int64_t spin_us;    /* [-1: adaptive] longest time to poll before sleeping */
	bool lock;	    /* [no] keep the region in memory */
	bool map_any;	    /* [same] do not look for one address */
	bool stack_shared;  /* [no] every method runs on the caller's RPC stack where it may */
	bool wipe;	    /* [no] server: clear what it left on the client's RPC stack */
	bool guard;	    /* [no] client: own RPC stack is read-only while a call is out */
	bool isolate_fork;  /* [thread] server: a process per connection */
	uid_t allow[VMRPC__ALLOW_MAX]; /* server: users allowed besides its own */
	unsigned n_allow;
	bool allow_any;
};

#define VMRPC__HEAP_DEFAULT	((size_t)64 << 20)
#define VMRPC__HEAP_LIMIT	((size_t)64 << 30) /* of what a client may ask where the server did not say */
#define VMRPC__STACK_DEFAULT	((size_t)256 << 10)
#define VMRPC__STACK_MIN	((size_t)64 << 10)
#define VMRPC__STACK_LIMIT	((size_t)64 << 20)
#define VMRPC__CHANNELS_DEFAULT 64u
#define VMRPC__CHANNELS_LIMIT	4096u

struct vmrpc__address {
	const struct vmrpc__backend *backend;
	char *text;  /* as given */
	char *where; /* between the colon and the question mark */
	struct vmrpc__options options;
};

/* Parses text; NULL means VMRPC_<SERVICE> from the environment, else local:<service>. */
int vmrpc__address_parse(struct vmrpc__address *ret_address, const char *text, const char *service);

/* Half-built ones are fine, and twice is fine. */
void vmrpc__address_clear(struct vmrpc__address *address);

#endif
