/* Serves zlib: zlibd [ADDRESS] */
#include <stdio.h>

#include <vmrpc/error.h>

#include "zlib.rpc.h"

int main(int argc, char **argv)
{
	int r = vmrpc_serve(&zlib_service, argc > 1 ? argv[1] : NULL);

	if (r < 0)
		fprintf(stderr, "zlibd: %s\n", vmrpc_error_message());
	return r < 0;
}
