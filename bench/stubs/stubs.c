/* Do generated stubs cost anything, those of an interface of 2,000 functions? Beside hand-written ones of a service of
 * a few; and what it takes to generate them, beside libclang's own reading of the header. */
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <vmrpc/error.h>

#include "bench.h"
#include "child.h"
#include "many.rpc.h"
#include "service.h"

extern char **environ;

static struct vmrpc *by_hand;

static void run_by_hand(void *arg, unsigned n)
{
	int64_t sum;

	(void)arg;
	for (unsigned i = 0; i < n; i++)
		if (service_six(by_hand, 1, 2, 3, 4, 5, i, &sum) < 0)
			bench_fail("service_six", EIO);
}

static void run_generated(void *arg, unsigned n)
{
	(void)arg;
	for (unsigned i = 0; i < n; i++)
		if (many_1996(1, 2, 3, 4, 5, i) != 15 + i)
			bench_fail("many_1996", EIO);
}

static void run_buffer(void *arg, unsigned n)
{
	const struct many_point *points = arg;

	for (unsigned i = 0; i < n; i++)
		if (many_1997(points, 4) != 4)
			bench_fail("many_1997", EIO);
}

static void run_string(void *arg, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (many_1998(arg) != 's')
			bench_fail("many_1998", EIO);
}

static void run_out(void *arg, unsigned n)
{
	struct many_point *point = arg;

	for (unsigned i = 0; i < n; i++)
		if (many_1999(point) != 0)
			bench_fail("many_1999", EIO);
}

/* Runs a program with its output thrown away. */
static void run_program(void *arg, unsigned n)
{
	char **words = arg;

	for (unsigned i = 0; i < n; i++) {
		posix_spawn_file_actions_t actions;
		pid_t pid;
		int status;

		posix_spawn_file_actions_init(&actions);
		posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
		if (posix_spawn(&pid, words[0], &actions, NULL, words, environ) != 0 ||
		    waitpid(pid, &status, 0) != pid || status != 0)
			bench_fail(words[0], EIO);
		posix_spawn_file_actions_destroy(&actions);
	}
}

static void start_many(void)
{
	if (child_fork(bench.cpus[1]) == 0) {
		execl(BENCH_SERVER, BENCH_SERVER, "local:many", (char *)NULL);
		_exit(2);
	}
}

int main(int argc, char **argv)
{
	static const struct many_point ordinary[4] = {{1, 0}, {2, 0}, {3, 0}, {4, 0}};
	static struct many_point out;
	static char string[] = "some string of about forty characters....";
	char *generate[] = {BENCH_GENERATOR, "-o", BENCH_FOLDER, BENCH_HEADER, "--", "-I" BENCH_INCLUDE, NULL};
	char *parse[] = {BENCH_CLANG, BENCH_HEADER, "-xc", "-DVMRPC_GENERATOR", "-I" BENCH_INCLUDE, NULL};
	struct bench_case programs[] = {
		{.name = "vmrpcgen, 2,000 functions",
		 .unit = "ms",
		 .scale = 1e-6,
		 .run = run_program,
		 .arg = generate,
		 .batch = 1},
		{.name = "libclang reading them",
		 .unit = "ms",
		 .scale = 1e-6,
		 .run = run_program,
		 .arg = parse,
		 .batch = 1},
	};
	struct bench_case calls[] = {
		{.name = "six scalars: stub written by hand", .run = run_by_hand},
		{.name = "six scalars: generated, one of 2,000", .run = run_generated},
		{.name = "four structs in, from ordinary memory", .run = run_buffer, .arg = (void *)ordinary},
		{.name = "a string in, from ordinary memory", .run = run_string, .arg = string},
		{.name = "one struct out, into ordinary memory", .run = run_out, .arg = &out},
	};
	struct vmrpc *conn;

	bench_begin(argc, argv, "stubs", "do generated stubs cost anything?");
	bench_compare_rounds(programs, 2, bench.quick ? 5 : 15);
	bench_target("seconds beyond libclang's own reading, 2,000 functions",
		     (bench_median(&programs[0].series) - bench_median(&programs[1].series)) / 1e3, "<=", 2);
	if (bench.n_cpus < 2) {
		bench_say("calls need two processors");
		return bench_end();
	}
	bench_pin(0);
	service_start("stubs", bench.cpus[1], "");
	start_many();
	by_hand = service_connect("stubs", "");
	if (vmrpc_connect(&conn, &many_service, "local:many?timeout=10s") < 0)
		bench_fail(vmrpc_error_message(), EIO);
	bench_compare(calls, 5);
	bench_target("six scalars: generated stub / one by hand", bench_ratio(&calls[1], &calls[0]), "<=", 1.05);
	vmrpc_close(conn);
	vmrpc_close(by_hand);
	return bench_end();
}
