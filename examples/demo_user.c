/* A user of textstat. It does not know where the library is. */
#include "demo_user.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "textstat/textstat.h"

#define ROUNDS 201

static const char *const text[] = {
	"It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness,",
	"it was the epoch of belief, it was the epoch of incredulity, it was the season of Light,",
	"it was the season of Darkness, it was the spring of hope, it was the winter of despair",
};

void demo_use(char *ret_found, size_t size)
{
	char top[16];
	long count;
	int last = 0;

	textstat_clear();
	for (size_t i = 0; i < sizeof text / sizeof text[0]; i++)
		last = textstat_add(text[i]);
	count = textstat_top(top, sizeof top);
	snprintf(ret_found, size, "%ld words, %d of them in the last line; \"%s\" %ld times, \"times\" %ld times",
		 textstat_total(), last, top, count, textstat_count("times"));
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double demo_median(void (*run)(void *arg, unsigned n), void *arg, unsigned n)
{
	double times[ROUNDS];

	run(arg, n);
	for (int i = 0; i < ROUNDS; i++) {
		double start = now();

		run(arg, n);
		times[i] = (now() - start) / n;
	}
	qsort(times, ROUNDS, sizeof times[0], order);
	return times[ROUNDS / 2];
}

static void call(void *arg, unsigned n)
{
	(void)arg;
	for (unsigned i = 0; i < n; i++)
		textstat_total();
}

double demo_cost(void)
{
	/* As many as take a moment, wherever the library is. */
	double one = demo_median(call, NULL, 4);

	return demo_median(call, NULL, one > 10000 ? 20 : one > 1000 ? 200 : 2000);
}
