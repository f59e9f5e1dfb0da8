/* A user of textstat, compiled once and linked twice: with the library, and with its stubs. */
#ifndef DEMO_USER_H
#define DEMO_USER_H

#include <stddef.h>

/* Has the library count a text, and writes what it found into ret_found. */
void demo_use(char *ret_found, size_t size);

/* What textstat_total() costs, in nanoseconds. */
double demo_cost(void);

/* The median of the means of many short rounds of n calls. */
double demo_median(void (*run)(void *arg, unsigned n), void *arg, unsigned n);

#endif
