/* Serves measure, by the original library, until it is told to stop. */
#include <stdio.h>

#include <vmrpc/error.h>

#include "measure.rpc.h"

/* What the service calls measure_area__MEASURE_1 is the library's measure_area@MEASURE_1. */
int old_area(int width, int height);
__asm__(".symver old_area, measure_area@MEASURE_1");

int measure_area__MEASURE_1(int width, int height)
{
	return old_area(width, height);
}

int main(void)
{
	int r = vmrpc_serve(&measure_service, NULL);

	if (r < 0)
		fprintf(stderr, "measured: %s\n", vmrpc_error_message());
	return r < 0;
}
