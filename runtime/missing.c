/* Calls of functions that nobody carries: left out by VMRPC_SKIP, or exported by a replaced library and declared
 * nowhere. */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

int vmrpc_stub_skipped(const struct vmrpc_service *service, uint32_t index)
{
	return vmrpc__fail(
		ENOSYS,
		"%s.%s is left out of the service (VMRPC_SKIP); a function of that name, written by hand, would "
		"take its place",
		service->name, service->methods[index].name);
}

void vmrpc_stub_missing(const struct vmrpc_service *service, const char *library, const char *symbol)
{
	struct vmrpc_failure failure = {.service = service->name, .method = symbol, .error = -ENOSYS};

	vmrpc__fail(ENOSYS, "%s was replaced by the client of a service that does not carry this function", library);
	failure.message = vmrpc_error_message();
	vmrpc__failed(&failure, "Declare it in a header or sidecar of the service, or define it by hand in "
				"CLIENT_SOURCES");
	abort(); /* nobody here knows what it returns */
}
