/* What went wrong, in words; and what happens to a call that has no way to report a failure. */
#ifndef VMRPC_ERROR_H
#define VMRPC_ERROR_H

#include <vmrpc/vmrpc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The last failure of a vmrpc function in this thread: what happened to what, and what to do about it.
 * Never NULL; "" when nothing failed yet. Valid until the next failure in this thread. */
VMRPC_PUBLIC const char *vmrpc_error_message(void);

/* A call that failed and whose function can't say so (no VMRPC_ON_FAIL, not a pointer). */
struct vmrpc_failure {
	const char *service;
	const char *method;
	int error;	     /* negative errno */
	const char *message; /* as vmrpc_error_message() */
};

typedef void vmrpc_failure_handler(const struct vmrpc_failure *failure, void *userdata);

/* Sets what is called then. NULL restores the default, which explains on standard error and aborts.
 * A handler that returns lets the failed call return a zero result. */
VMRPC_PUBLIC void vmrpc_set_failure_handler(vmrpc_failure_handler *handler, void *userdata);

#ifdef __cplusplus
}
#endif
#endif
