/* Serves calc to other processes. */
#include <stdio.h>
#include <vmrpc/error.h>

#include "calc.rpc.h"

int main(int argc, char **argv)
{
	int r = vmrpc_serve(&calc_service, argc > 1 ? argv[1] : NULL);

	if (r < 0)
		fprintf(stderr, "calcd: %s\n", vmrpc_error_message());
	return r < 0;
}
