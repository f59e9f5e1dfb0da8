/* Built from a header in which struct wide_point differs from the server's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <vmrpc/error.h>

#include "wide.rpc.h"

int main(void)
{
	struct wide_point middle = {1, 2};
	int r, sum = 0;

	r = wide_middle_rpc(NULL, middle, middle, &middle);
	printf("middle: %s: %s\n", r == -EPROTONOSUPPORT ? "refused" : strerror(-r), vmrpc_error_message());
	r = wide_add_rpc(NULL, 1, 2, &sum);
	printf("add: %d %d\n", r, sum);
	return 0;
}
