/* RPC stacks: stack memory that both sides see, so that a local variable can be handed over as it is. */
#ifndef VMRPC_STACK_H
#define VMRPC_STACK_H

#include <vmrpc/vmrpc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Runs fn(arg) on the calling thread's RPC stack of conn and returns its result in *ret_result (may be
 * NULL). Locals of fn, and of what it calls, lie in the region. When the thread is on that stack already,
 * fn is simply called. Returns -ENOTSUP where shadow stacks are on. */
VMRPC_PUBLIC int vmrpc_stack_call(struct vmrpc *conn, void *(*fn)(void *arg), void *arg, void **ret_result);

#ifdef __cplusplus
}
#endif
#endif
