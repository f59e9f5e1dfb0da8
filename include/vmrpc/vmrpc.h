/* vmrpc: call a C library that lives in another process or another virtual machine.
 *
 * These eight calls are all an application needs to know. Each returns 0 or a negative errno, or a
 * pointer that is NULL with errno set; outputs are untouched on failure; vmrpc_error_message() in
 * error.h then says in words what happened and what to do. The library never prints and never exits. */
#ifndef VMRPC_VMRPC_H
#define VMRPC_VMRPC_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VMRPC_PUBLIC __attribute__((visibility("default")))

struct vmrpc;	      /* a connection: this process bound to one server */
struct vmrpc_heap;    /* memory added to a connection */
struct vmrpc_service; /* what one annotated header offers; NAME.rpc.h declares NAME_service */

/* Opens a connection. address is "BACKEND:WHERE?option=value&...", or NULL for the address in
 * VMRPC_<SERVICE>, else "local:<service>". */
VMRPC_PUBLIC int vmrpc_connect(struct vmrpc **ret_conn, const struct vmrpc_service *service, const char *address);

/* Serves until SIGINT or SIGTERM arrives or vmrpc_serve_stop() (server.h) is called; then returns 0. */
VMRPC_PUBLIC int vmrpc_serve(const struct vmrpc_service *service, const char *address);

/* Ends a connection and frees all that belongs to it. No thread may be inside a call on it, or use it
 * or its memory afterwards. NULL is fine. */
VMRPC_PUBLIC void vmrpc_close(struct vmrpc *conn);

/* Adds at least size bytes to what vmrpc_malloc can hand out on a live connection. */
VMRPC_PUBLIC int vmrpc_heap_setup(struct vmrpc_heap **ret_heap, struct vmrpc *conn, size_t size);

/* Takes that memory out of use and gives it back as soon as its last block is freed (at once when there
 * is none). NULL is fine. */
VMRPC_PUBLIC void vmrpc_heap_destroy(struct vmrpc_heap *heap);

/* Memory both sides see, aligned to 16 bytes. conn NULL means the call being served, or else the only
 * connection of this process. NULL with errno when the heap is full. */
VMRPC_PUBLIC void *vmrpc_malloc(struct vmrpc *conn, size_t size);

/* Frees what vmrpc_malloc returned, on either side. NULL is fine. */
VMRPC_PUBLIC void vmrpc_free(void *pointer);

/* The server's address of the shared region less the client's: 0 where both see it at one address. */
VMRPC_PUBLIC ptrdiff_t vmrpc_offset(const struct vmrpc *conn);

#ifdef __cplusplus
}
#endif
#endif
