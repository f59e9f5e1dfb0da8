/* Serves the interface of 2,000 functions at the address in its argument. */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#include <vmrpc/error.h>

#include "many.rpc.h"

int main(int argc, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc == 2 && vmrpc_serve(&many_service, argv[1]) == 0)
		return 0;
	fprintf(stderr, "%s: %s\n", argv[0], vmrpc_error_message());
	return 1;
}
