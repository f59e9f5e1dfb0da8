/* calc: a small library. With vmrpc it can live in another process; without, this header is like any other. */
#ifndef CALC_H
#define CALC_H

#include <vmrpc/annotate.h>

VMRPC_SERVICE(calc, 1, 0);

#ifdef __cplusplus
extern "C" {
#endif

struct point {
	double x, y;
};

/* The greatest common divisor; 0 when both are 0. */
unsigned long calc_gcd(unsigned long a, unsigned long b);

/* The point halfway. */
struct point calc_middle(struct point a, struct point b);

/* The square root, or -1 with errno EDOM. A call that fails returns -1 too. */
double calc_sqrt(double x) VMRPC_ERRNO VMRPC_ON_FAIL(-1);

/* Adds to a total without waiting. */
void calc_add(double x) VMRPC_ASYNC;

/* All that was added. */
double calc_total(void);

#ifdef __cplusplus
}
#endif
#endif
