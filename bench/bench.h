/* What every benchmark needs: its arguments, where it runs, its clock, rounds, statistics, and what it prints.
 *
 * A benchmark is one program that answers one question. It names the cases to compare; bench_compare() runs them
 * in short alternating rounds, so that whatever else the machine does in that second does it to all of them, and
 * a ratio is the median of the ratios of neighbouring rounds. README.md has the reasons.
 *
 *	int main(int argc, char **argv)
 *	{
 *		struct bench_case cases[] = {{.name = "ours", .run = run_ours}, {.name = "theirs", .run = run_theirs}};
 *
 *		bench_begin(argc, argv, "question", "What is asked");
 *		bench_compare(cases, 2);
 *		bench_target("ours / theirs", bench_ratio(&cases[0], &cases[1]), "<=", 1.15);
 *		return bench_end();
 *	}
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BENCH_ROUND_NS	   400000.0 /* of one case in one round: short beside a time slice, long beside the clock */
#define BENCH_SETTLE_NS	   150000   /* before each: whoever polls for the case before has gone to sleep by then */
#define BENCH_ROUNDS	   400
#define BENCH_ROUNDS_QUICK 60

struct bench_series {
	double *values;
	unsigned n;
};

struct bench_case {
	const char *name;
	/* Does what is measured n times, with no system call of its own in between. */
	void (*run)(void *arg, unsigned n);
	void *arg;
	/* What follows may stay zero. */
	const char *unit;	    /* of what is printed: "ns" */
	double scale;		    /* from ns per run to unit: 1 */
	unsigned batch;		    /* runs in a round: as many as take BENCH_ROUND_NS */
	unsigned warm;		    /* runs before each round: an eighth of the batch */
	void (*prepare)(void *arg); /* before each round, not timed */
	struct bench_series series; /* one value a round: the mean of its runs */
};

static struct {
	const char *name;
	bool quick, json, targets, missed;
	int cpus[2]; /* where things are pinned; the same one twice when there is only one */
	int n_cpus;
} bench;

/* ---- clock, processors ----------------------------------------------------------------------------------- */

static inline double bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline void bench_rest(long ns)
{
	struct timespec time = {ns / 1000000000, ns % 1000000000};

	nanosleep(&time, NULL);
}

static inline void bench_fail(const char *what, int error)
{
	fflush(stdout);
	fprintf(stderr, "%s: %s: %s\n", bench.name, what, strerror(error < 0 ? -error : error));
	exit(2);
}

/* The calling thread, and what it starts from now on, runs on cpus[which] only. */
static inline void bench_pin(int which)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(bench.cpus[which], &set);
	if (sched_setaffinity(0, sizeof set, &set) < 0)
		bench_fail("sched_setaffinity", errno);
}

/* ---- statistics ------------------------------------------------------------------------------------------ */

static inline int bench_order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline void bench_add(struct bench_series *series, double value)
{
	if ((series->n & (series->n - 1)) == 0) {
		series->values = realloc(series->values, (series->n ? 2 * series->n : 1) * sizeof(double));
		if (!series->values)
			bench_fail("no memory", ENOMEM);
	}
	series->values[series->n++] = value;
}

/* The value below which this part of all lies. The series may be in any order and stays so. */
static inline double bench_quantile(const struct bench_series *series, double part)
{
	double *sorted = malloc((series->n + 1) * sizeof(double)), value;

	if (!sorted || series->n == 0)
		bench_fail("nothing was measured", EINVAL);
	memcpy(sorted, series->values, series->n * sizeof(double));
	qsort(sorted, series->n, sizeof(double), bench_order);
	value = sorted[(unsigned)(part * (series->n - 1) + 0.5)];
	free(sorted);
	return value;
}

static inline double bench_median(const struct bench_series *series)
{
	return bench_quantile(series, 0.5);
}

/* ---- output ---------------------------------------------------------------------------------------------- */

static inline void bench_begin(int argc, char **argv, const char *name, const char *question)
{
	cpu_set_t set;

	bench.name = name;
	for (int i = 1; i < argc; i++) {
		bench.quick |= strcmp(argv[i], "--quick") == 0;
		bench.json |= strcmp(argv[i], "--json") == 0;
		bench.targets |= strcmp(argv[i], "--targets") == 0;
	}
	if (sched_getaffinity(0, sizeof set, &set) < 0)
		bench_fail("sched_getaffinity", errno);
	for (int cpu = 0; cpu < CPU_SETSIZE && bench.n_cpus < 2; cpu++)
		if (CPU_ISSET(cpu, &set))
			bench.cpus[bench.n_cpus++] = cpu;
	if (bench.n_cpus == 1)
		bench.cpus[1] = bench.cpus[0];
	/* What else runs here disturbs less. Where that is not allowed, more rounds are thrown off the median. */
	(void)setpriority(PRIO_PROCESS, 0, -20);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!bench.json && !bench.targets) {
		printf("%s: %s\n", name, question);
		printf("  %-52s %10s %10s %10s\n", "", "min", "median", "p99");
	}
}

static inline void bench_print(const char *name, const char *unit, const struct bench_series *series)
{
	double min = bench_quantile(series, 0), median = bench_median(series), p99 = bench_quantile(series, 0.99);

	if (bench.json)
		printf("{\"bench\":\"%s\",\"case\":\"%s\",\"unit\":\"%s\",\"min\":%.6g,\"median\":%.6g,\"p99\":%.6g,"
		       "\"n\":%u}\n",
		       bench.name, name, unit, min, median, p99, series->n);
	else if (!bench.targets)
		printf("  %-52s %10.4g %10.4g %10.4g %s\n", name, min, median, p99, unit);
}

/* A figure that is measured once. */
static inline void bench_figure(const char *name, const char *unit, double value)
{
	struct bench_series series = {&value, 1};

	bench_print(name, unit, &series);
}

/* Words for people. */
static inline void bench_say(const char *text)
{
	if (!bench.json && !bench.targets)
		printf("  %s\n", text);
}

/* sign is "<=" or ">=". */
static inline void bench_target(const char *name, double ratio, const char *sign, double target)
{
	bool met = *sign == '<' ? ratio <= target : ratio >= target;

	bench.missed |= !met;
	if (bench.json)
		printf("{\"bench\":\"%s\",\"target\":\"%s\",\"ratio\":%.4g,\"sign\":\"%s\",\"limit\":%.4g,"
		       "\"verdict\":\"%s\"}\n",
		       bench.name, name, ratio, sign, target, met ? "met" : "missed");
	else if (bench.targets)
		printf("%-12s %-60s %7.3f  %s %-6.4g %s\n", bench.name, name, ratio, sign, target,
		       met ? "met" : "missed");
	else
		printf("  target: %s: %.3f (%s %.4g) %s\n", name, ratio, sign, target, met ? "met" : "missed");
}

/* A target that this machine can't show. */
static inline void bench_not_here(const char *name, const char *why)
{
	if (bench.targets && !bench.json)
		printf("%-12s %-60s %7s  %s\n", bench.name, name, "-", why);
	else
		bench_say(why);
}

/* Exit status: 1 when a target was missed and was asked for. */
static inline int bench_end(void)
{
	if (!bench.json && !bench.targets)
		putchar('\n');
	return bench.targets && bench.missed;
}

/* ---- rounds ---------------------------------------------------------------------------------------------- */

static inline double bench_time(const struct bench_case *each, unsigned n)
{
	double start = bench_now();

	each->run(each->arg, n);
	return bench_now() - start;
}

static inline void bench_calibrate(struct bench_case *each)
{
	double best = 1e18;

	each->unit = each->unit ? each->unit : "ns";
	each->scale = each->scale > 0 ? each->scale : 1;
	for (int i = 0; !each->batch && i < 5; i++) {
		unsigned n = 1;
		double time;

		if (each->prepare)
			each->prepare(each->arg);
		each->run(each->arg, 1);
		while ((time = bench_time(each, n)) < BENCH_ROUND_NS / 4 && n < 1u << 30)
			n *= 2;
		best = time / n < best ? time / n : best;
	}
	if (!each->batch)
		each->batch = BENCH_ROUND_NS / best > 1 ? (unsigned)(BENCH_ROUND_NS / best) : 1;
	if (!each->warm)
		each->warm = each->batch / 8 + 1;
}

static inline void bench_round(struct bench_case *each)
{
	if (each->prepare)
		each->prepare(each->arg);
	bench_rest(BENCH_SETTLE_NS);
	each->run(each->arg, each->warm);
	bench_add(&each->series, bench_time(each, each->batch) / each->batch * each->scale);
}

/* Runs the cases in turn, forth and back, for so many rounds, and prints them. */
static inline void bench_compare_rounds(struct bench_case *cases, unsigned n, unsigned rounds)
{
	for (unsigned i = 0; i < n; i++)
		bench_calibrate(&cases[i]);
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned i = 0; i < n; i++)
			bench_round(&cases[round % 2 ? n - 1 - i : i]);
	for (unsigned i = 0; i < n; i++)
		bench_print(cases[i].name, cases[i].unit, &cases[i].series);
}

static inline void bench_compare(struct bench_case *cases, unsigned n)
{
	bench_compare_rounds(cases, n, bench.quick ? BENCH_ROUNDS_QUICK : BENCH_ROUNDS);
}

/* The median over all rounds of a's value by the sum of the others'; c may be NULL. */
static inline double bench_ratio_sum(const struct bench_case *a, const struct bench_case *b, const struct bench_case *c)
{
	struct bench_series ratios = {0};
	double median;

	for (unsigned i = 0; i < a->series.n; i++)
		bench_add(&ratios, a->series.values[i] / (b->series.values[i] + (c ? c->series.values[i] : 0)));
	median = bench_median(&ratios);
	free(ratios.values);
	return median;
}

static inline double bench_ratio(const struct bench_case *a, const struct bench_case *b)
{
	return bench_ratio_sum(a, b, NULL);
}

#endif
