/* RPC stacks: stack memory inside the region, which the client runs on so that its locals are shared, and
 * which the server may run on, below the client's frames, while the client waits elsewhere.
 *
 * Words: a stack is *entered* (client) or *borrowed* (server) from the thread's native stack, and *left* for
 * the native stack again while a reply is awaited; each of these returns when its function returns, and
 * within a left stack there may be further calls:
 *
 *	native stack                       RPC stack
 *	enter ---------------------------> fn                  high
 *	                                    |                   v
 *	wait for the reply <-------------- leave
 *	  callback: enter ----------------> fn, below the mark
 *	                                                       low, guard page below
 *
 * A struct vmrpc__rpc_stack lies in private memory and belongs to the one thread of its channel; all its addresses
 * are this side's own. Functions return 0 or a negative errno, explained in vmrpc_error_message(). Signal
 * handlers may run at any instant, on whichever stack is current. Pthread cancellation and C++ exceptions unwind
 * through all of it; longjmp may leave leave() for a frame on the RPC stack, not enter() or borrow(). */
#ifndef VMRPC_RPC_STACK_H
#define VMRPC_RPC_STACK_H

#include <stdbool.h>
#include <stddef.h>

#define VMRPC__RPC_STACK_ROOM ((size_t)16 * 1024) /* with less than this left, nothing is started on a stack */

struct vmrpc__rpc_stack {
	unsigned char *low, *high; /* one page below low is inaccessible */
	unsigned char *mark;	   /* set_mark(): the peer's frames reach down to here, or NULL */
	unsigned char *left;	   /* within leave(): where this side's own frames end; what a call tells its peer */
	unsigned char *native;	   /* while entered or borrowed: where the native stack was left */
	const void *native_low;	   /* its bounds; known to AddressSanitizer only */
	size_t native_size;
};

/* Takes [low, low + size), whole pages, and makes the page below low inaccessible. */
int vmrpc__rpc_stack_init(struct vmrpc__rpc_stack *stack, unsigned char *low, size_t size);

/* Makes the guard page ordinary memory again. Harmless on a zeroed struct, and when repeated. */
void vmrpc__rpc_stack_fini(struct vmrpc__rpc_stack *stack);

bool vmrpc__rpc_stack_contains(const struct vmrpc__rpc_stack *stack, const void *pointer);

/* Runs fn(arg) on the stack and stores its result in *ret_result (may be NULL): from the top, or below whatever is
 * lower of the mark and where leave() left it. A thread that is on the stack already simply calls fn.
 * -ENOTSUP where shadow stacks are on; -EFAULT for a mark outside the stack; -ENOMEM without room below it. */
int vmrpc__rpc_stack_enter(struct vmrpc__rpc_stack *stack, void *(*fn)(void *arg), void *arg, void **ret_result);

/* Runs fn(arg) on the native stack, below the point where enter() or borrow() left it, then returns to the RPC
 * stack. Within fn, stack->left is the lowest address of the RPC stack that this side uses. Simply calls fn when
 * not on the RPC stack (stack->left is then what it was). Cannot fail: always 0. */
int vmrpc__rpc_stack_leave(struct vmrpc__rpc_stack *stack, void *(*fn)(void *arg), void *arg);

/* Says how far down the stack is in use by the peer, as the peer says: checked when it is used. NULL: not at all.
 * Whoever sets it restores the earlier stack->mark. */
void vmrpc__rpc_stack_set_mark(struct vmrpc__rpc_stack *stack, void *lowest_in_use);

/* Server: runs fn(arg) on the stack below the client's frames, which end at below, and comes back by a path that is
 * in private memory. -EFAULT when below is outside the stack or above frames of our own, -ENOMEM without room: fn
 * has not run. -ENOTSUP where shadow stacks are on. -EPROTO when, after fn, the canaries or the way back on the
 * shared stack have changed: fn has run, what it made must not be believed. */
int vmrpc__rpc_stack_borrow(struct vmrpc__rpc_stack *stack, void *below, void *(*fn)(void *arg), void *arg);

/* Clears all that borrow() at the same below left behind: from low up to below, less the red zone of the CPU's ABI,
 * which is the client's. Pages nobody has touched stay untouched. Not to be called while on the stack. */
void vmrpc__rpc_stack_wipe(struct vmrpc__rpc_stack *stack, void *below);

/* Makes the whole stack read-only for this process, or writable again. Not to be called while on the stack. */
int vmrpc__rpc_stack_protect(struct vmrpc__rpc_stack *stack, bool readonly);

#endif
