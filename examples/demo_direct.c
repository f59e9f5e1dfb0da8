/* The user of textstat, linked with the library: prints what it found and what a call costs. ./demo runs it first. */
#include <stdio.h>

#include "demo_user.h"

int main(void)
{
	char found[200];

	demo_use(found, sizeof found);
	printf("%s\n%.3f\n", found, demo_cost());
	return 0;
}
