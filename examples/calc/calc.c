/* The library itself. It knows nothing of vmrpc. */
#include "calc.h"

#include <errno.h>

static double total;

unsigned long calc_gcd(unsigned long a, unsigned long b)
{
	while (b) {
		unsigned long rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

struct point calc_middle(struct point a, struct point b)
{
	return (struct point){(a.x + b.x) / 2, (a.y + b.y) / 2};
}

double calc_sqrt(double x)
{
	double root = x > 1 ? x : 1;

	if (x < 0) {
		errno = EDOM;
		return -1;
	}
	for (int i = 0; i < 100; i++)
		root = (root + x / root) / 2;
	return root;
}

void calc_add(double x)
{
	total += x;
}

double calc_total(void)
{
	return total;
}
