/* Error messages, and calls that fail with no way to say so. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static void set_message(const char *format, va_list args, const char *because)
{
	struct vmrpc__thread *thread = vmrpc__thread_get();
	char text[sizeof thread->message];
	int length;

	if (!thread)
		return; /* vmrpc_error_message() then says that memory ran out */
	length = vsnprintf(text, sizeof text, format, args);
	if (because && length >= 0 && (size_t)length < sizeof text)
		snprintf(text + length, sizeof text - (size_t)length, ": %s", because);
	memcpy(thread->message, text, sizeof text);
}

int vmrpc__fail(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_message(format, args, NULL);
	va_end(args);
	return -error;
}

int vmrpc__fail_because(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_message(format, args, vmrpc_error_message());
	va_end(args);
	return -error;
}

void vmrpc__error_reset(void)
{
	if (vmrpc__self)
		vmrpc__self->message[0] = 0;
}

const char *vmrpc_error_message(void)
{
	struct vmrpc__thread *thread = vmrpc__thread_get();

	return thread ? thread->message : "no memory left, not even for a message";
}

static pthread_mutex_t handler_lock = PTHREAD_MUTEX_INITIALIZER;
static vmrpc_failure_handler *current_handler;
static void *current_userdata;

void vmrpc_set_failure_handler(vmrpc_failure_handler *handler, void *userdata)
{
	pthread_mutex_lock(&handler_lock);
	current_handler = handler;
	current_userdata = userdata;
	pthread_mutex_unlock(&handler_lock);
}

void vmrpc__failed(const struct vmrpc_failure *failure, const char *advice)
{
	vmrpc_failure_handler *call;
	void *userdata;

	pthread_mutex_lock(&handler_lock);
	call = current_handler;
	userdata = current_userdata;
	pthread_mutex_unlock(&handler_lock);
	if (call) {
		call(failure, userdata);
		return;
	}
	fprintf(stderr, "vmrpc: the call of %s in service %s failed: %s (%s). %s, or set a failure handler.\n",
		failure->method, failure->service, strerror(-failure->error), failure->message, advice);
	abort();
}

void vmrpc_stub_failed(const struct vmrpc_service *service, uint32_t index, int error)
{
	struct vmrpc_failure failure = {
		.service = service->name,
		.method = index < service->n_methods ? service->methods[index].name : "?",
		.error = error,
		.message = vmrpc_error_message(),
	};
	char advice[512];

	snprintf(advice, sizeof advice,
		 "The function has no way to say so: annotate it with VMRPC_ON_FAIL, call %s_rpc", failure.method);
	vmrpc__failed(&failure, advice);
}
