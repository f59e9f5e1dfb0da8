/* Counters of a connection, as one side sees them. Reading costs a few loads and no system call. */
#ifndef VMRPC_STATS_H
#define VMRPC_STATS_H

#include <stdint.h>

#include <vmrpc/vmrpc.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmrpc_stats {
	uint64_t calls;	       /* waiting calls: made (client) or served (server) */
	uint64_t async_calls;  /* calls that do not wait, likewise */
	uint64_t callbacks;    /* nested calls from server to client: served (client) or made (server) */
	uint64_t wakes;	       /* times this side woke the peer */
	uint64_t sleeps;       /* times this side went to sleep waiting */
	uint64_t frees_posted; /* blocks of the peer that this side freed */
	uint64_t bytes_in_use; /* allocated now from this side's arena, blocks in thread caches included */
	uint64_t heap_size;    /* size of this side's arena, all heaps together */
	uint64_t channels;     /* open now */
	uint64_t reconnects;   /* times the connection was made anew (client) */
	uint64_t clients;      /* connections now open (vmrpc_server_stats) */
};

VMRPC_PUBLIC int vmrpc_get_stats(const struct vmrpc *conn, struct vmrpc_stats *ret_stats);

#ifdef __cplusplus
}
#endif
#endif
