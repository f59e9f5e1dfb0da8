/* A program that uses calc. Nothing in it tells where calc is. */
#include <errno.h>
#include <stdio.h>

#include "calc.h"

int main(void)
{
	struct point a = {0, 0}, b = {3, 4}, middle;

	printf("the greatest common divisor of 1071 and 462 is %lu\n", calc_gcd(1071, 462));
	middle = calc_middle(a, b);
	printf("halfway between (0, 0) and (3, 4) is (%g, %g)\n", middle.x, middle.y);
	printf("the square root of 2 is %.10f\n", calc_sqrt(2));
	errno = 0;
	if (calc_sqrt(-1) < 0 && errno == EDOM)
		printf("-1 has no square root\n");
	for (int i = 1; i <= 100; i++)
		calc_add(i);
	printf("1 + 2 + ... + 100 = %g\n", calc_total());
	return 0;
}
