/* vmrpc_stack_call: running the program's own code on its RPC stack. */
#include "internal.h"

int vmrpc_stack_call(struct vmrpc *conn, void *(*fn)(void *arg), void *arg, void **ret_result)
{
	struct vmrpc__channel *channel;
	int r;

	if (!conn)
		return vmrpc__fail(EINVAL, "vmrpc_stack_call needs a connection, whose stack to run on");
	r = vmrpc__channel_get(&channel, conn);
	if (r < 0)
		return r;
	r = vmrpc__channel_stack(channel);
	if (r < 0)
		return r;
	channel->stack_calls++;
	r = vmrpc__rpc_stack_enter(&channel->stack, fn, arg, ret_result);
	if (--channel->stack_calls == 0 && channel->close_later) {
		channel->close_later = false;
		vmrpc__channel_close(channel);
	}
	return r;
}
