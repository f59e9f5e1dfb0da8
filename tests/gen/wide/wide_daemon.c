/* Serves wide until it is told to stop. */
#include <stdio.h>

#include <vmrpc/error.h>

#include "wide.rpc.h"

int main(void)
{
	int r = vmrpc_serve(&wide_service, NULL);

	if (r < 0)
		fprintf(stderr, "wide_daemon: %s\n", vmrpc_error_message());
	return r < 0;
}
