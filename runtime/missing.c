/* Calls of functions that a replaced library has, and the service that stands in for it has not. */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

void vmrpc_stub_missing(const struct vmrpc_service *service, const char *library, const char *symbol)
{
	struct vmrpc_failure failure = {.service = service->name, .method = symbol, .error = -ENOSYS};

	vmrpc__fail(ENOSYS, "%s was replaced by the client of a service that does not carry this function", library);
	failure.message = vmrpc_error_message();
	vmrpc__failed(&failure, "Declare it in a header or sidecar of the service, or define it by hand in "
				"CLIENT_SOURCES");
	abort(); /* nobody here knows what it returns */
}
