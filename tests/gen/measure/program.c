/* Was linked with libmeasure.so.3, and never again: with "secret" or "half" it calls what the service lacks. */
#include <stdio.h>
#include <string.h>

#include "measure.h"

int old_area(int width, int height);
struct size old_double(struct size size);
double old_half(double a);
int measure_secret(void);

__asm__(".symver old_area, measure_area@MEASURE_1");
__asm__(".symver old_double, measure_double@MEASURE_1");
__asm__(".symver old_half, measure_half@MEASURE_1");

int main(int argc, char **argv)
{
	struct size size = {3, 4}, doubled = measure_double(size), old = old_double(doubled);

	printf("area: %d, in version 1: %d\n", measure_area(size), old_area(3, 4));
	printf("ratio: %g\n", measure_ratio(size));
	printf("doubled: %d %d, by version 1 again: %d %d\n", doubled.width, doubled.height, old.width, old.height);
	printf("plain: %ld\n", measure_plain(6));
	fflush(stdout);
	if (argc > 1 && strcmp(argv[1], "secret") == 0)
		printf("secret: %d\n", measure_secret());
	if (argc > 1 && strcmp(argv[1], "half") == 0)
		printf("half: %g\n", old_half(8));
	return 0;
}
