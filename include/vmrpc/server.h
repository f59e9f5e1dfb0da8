/* Servers with more to say than vmrpc_serve(): several services, an event loop of one's own, statistics. */
#ifndef VMRPC_SERVER_H
#define VMRPC_SERVER_H

#include <vmrpc/stats.h>
#include <vmrpc/vmrpc.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmrpc_server;

VMRPC_PUBLIC int vmrpc_server_new(struct vmrpc_server **ret_server);

/* Offers service at address; as often as needed. NULL means what it means for vmrpc_connect(). */
VMRPC_PUBLIC int vmrpc_server_add(struct vmrpc_server *server, const struct vmrpc_service *service,
				  const char *address);

/* A descriptor that is readable when vmrpc_server_dispatch() has something to do. */
VMRPC_PUBLIC int vmrpc_server_fd(const struct vmrpc_server *server);

/* Accepts clients, opens their channels and buries the dead; waits up to timeout_ms for something to do
 * (0: not at all, -1: without limit). Calls themselves run on threads of their own. Returns 0, or
 * -ESHUTDOWN after vmrpc_server_stop(). One thread at a time. */
VMRPC_PUBLIC int vmrpc_server_dispatch(struct vmrpc_server *server, int timeout_ms);

/* Makes the present or next dispatch return -ESHUTDOWN. May be called from any thread or signal handler. */
VMRPC_PUBLIC void vmrpc_server_stop(struct vmrpc_server *server);

/* Ends every connection, waits for the methods that still run, and frees the server. NULL is fine. */
VMRPC_PUBLIC void vmrpc_server_free(struct vmrpc_server *server);

/* Sums over all clients, past ones included where that makes sense. */
VMRPC_PUBLIC int vmrpc_server_stats(struct vmrpc_server *server, struct vmrpc_stats *ret_stats);

/* Makes every vmrpc_serve() of this process return. May be called from a signal handler. */
VMRPC_PUBLIC void vmrpc_serve_stop(void);

/* The connection whose call this thread is serving, or NULL. */
VMRPC_PUBLIC struct vmrpc *vmrpc_current(void);

#ifdef __cplusplus
}
#endif
#endif
