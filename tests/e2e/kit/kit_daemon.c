/* Serves kit at the address in its argument. */
#include <stdio.h>
#include <sys/prctl.h>

#include <signal.h>

#include <vmrpc/error.h>

#include "kit.rpc.h"

int main(int argc, char **argv)
{
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = argc == 2 ? vmrpc_serve(&kit_service, argv[1]) : -1;
	if (r < 0)
		fprintf(stderr, "kit_daemon: %s\n", vmrpc_error_message());
	return r < 0;
}
