/* A small test runner. Each TEST runs in a process of its own, with a time-out:
 *
 *	#include "test.h"
 *
 *	TEST(adding_works)
 *	{
 *		CHECK(add(1, 2) > 0);
 *		CHECK_EQ(add(1, 2), 3);
 *	}
 *
 *	TEST_MAIN()
 *
 * Arguments: names of the tests to run; none: all. Exit status: 0, 1 when one failed, 77 when all were skipped. */
#ifndef VMRPC_TEST_H
#define VMRPC_TEST_H

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEST_SKIPPED 77

#ifdef __SANITIZE_THREAD__
#define TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#endif
#ifdef TEST_TSAN
/* Tests fork while other threads run, servers and clients alike, and the children start threads of their own. They do
 * so only after fork() and without the locks of those others, which ThreadSanitizer can't know. And at its end each
 * process waits, a second unless told, for races of threads that still run; there is a process for each test. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0:atexit_sleep_ms=50";
}
#endif

#ifndef TEST_TIMEOUT
#define TEST_TIMEOUT 60 /* seconds */
#endif

struct test {
	const char *name;
	void (*run)(void);
	struct test *next;
};

static struct test *test_list, **test_last = &test_list;

#define TEST(test_name)                                                     \
	static void test_name(void);                                        \
	__attribute__((constructor)) static void test_name##_register(void) \
	{                                                                   \
		static struct test test = {#test_name, test_name, NULL};    \
                                                                            \
		*test_last = &test;                                         \
		test_last = &test.next;                                     \
	}                                                                   \
	static void test_name(void)

#define TEST_FAIL(...)                                          \
	do {                                                    \
		fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
		fprintf(stderr, __VA_ARGS__);                   \
		fputc('\n', stderr);                            \
		fflush(NULL);                                   \
		_exit(1);                                       \
	} while (0)

#define TEST_SKIP(...)                        \
	do {                                  \
		fprintf(stderr, "skipped: "); \
		fprintf(stderr, __VA_ARGS__); \
		fputc('\n', stderr);          \
		fflush(NULL);                 \
		_exit(TEST_SKIPPED);          \
	} while (0)

#define CHECK(condition)                                      \
	do {                                                  \
		if (!(condition))                             \
			TEST_FAIL("%s is false", #condition); \
	} while (0)

/* Of integers, up to 64 bits. */
#define CHECK_EQ(actual, expected)                                                                              \
	do {                                                                                                    \
		intmax_t test_actual = (intmax_t)(actual), test_expected = (intmax_t)(expected);                \
                                                                                                                \
		if (test_actual != test_expected)                                                               \
			TEST_FAIL("%s is %" PRIdMAX " (0x%" PRIxMAX "), not %s, %" PRIdMAX " (0x%" PRIxMAX ")", \
				  #actual, test_actual, (uintmax_t)test_actual, #expected, test_expected,       \
				  (uintmax_t)test_expected);                                                    \
	} while (0)

#define CHECK_STR(actual, expected)                                                                          \
	do {                                                                                                 \
		const char *test_actual = (actual), *test_expected = (expected);                             \
                                                                                                             \
		if (!test_actual || strcmp(test_actual, test_expected))                                      \
			TEST_FAIL("%s is \"%s\", not \"%s\"", #actual, test_actual ? test_actual : "(null)", \
				  test_expected);                                                            \
	} while (0)

/* Runs one test in a child and returns its exit status; a signal counts as 1. */
static inline int test_run(const struct test *test)
{
	const struct timespec tick = {.tv_nsec = 1000 * 1000};
	struct timespec now, end;
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child < 0) {
		perror("fork");
		return 1;
	}
	if (!child) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a runner that is killed leaves nothing running */
		test->run();
		exit(0);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += TEST_TIMEOUT;
	while (waitpid(child, &status, WNOHANG) == 0) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec > end.tv_nsec)) {
			fprintf(stderr, "%s: no end after %d s\n", test->name, TEST_TIMEOUT);
			kill(-child, SIGKILL);
			kill(child, SIGKILL);
			waitpid(child, &status, 0);
			return 1;
		}
		nanosleep(&tick, NULL);
	}
	kill(-child, SIGKILL); /* what the test left running */
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "%s: ended by signal %d (%s)\n", test->name, WTERMSIG(status), strsignal(WTERMSIG(status)));
	return 1;
}

static inline int test_main(int argc, char **argv)
{
	unsigned n_run = 0, n_failed = 0, n_skipped = 0;
	const struct test *test;
	int status, i;

	for (test = test_list; test; test = test->next) {
		for (i = 1; i < argc && strcmp(argv[i], test->name); i++)
			;
		if (argc > 1 && i == argc)
			continue;
		status = test_run(test);
		n_run++;
		n_skipped += status == TEST_SKIPPED;
		n_failed += status && status != TEST_SKIPPED;
		printf("%-7s %s\n", !status ? "ok" : status == TEST_SKIPPED ? "skipped" : "FAILED", test->name);
	}
	if (!n_run) {
		fprintf(stderr, "no such test\n");
		return 1;
	}
	return n_failed ? 1 : n_skipped == n_run ? TEST_SKIPPED : 0;
}

#define TEST_MAIN()                           \
	int main(int argc, char **argv)       \
	{                                     \
		return test_main(argc, argv); \
	}

#endif
