/* What a call that does nothing costs: polled beside the bare one-line ping-pong, sleeping beside the bare futex.
 * Six arguments and a result beside nothing. */
#include "bench.h"
#include "reference.h"
#include "service.h"

static void call_null(void *conn, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (service_null(conn) < 0)
			bench_fail("service_null", EIO);
}

static void call_six(void *conn, unsigned n)
{
	for (int64_t i = 0; i < n; i++) {
		int64_t sum;

		if (service_six(conn, i, 2, 3, 4, 5, 6, &sum) < 0 || sum != i + 20)
			bench_fail("service_six", EIO);
	}
}

/* On two processors: default options. */
static void polled(void)
{
	struct reference *line = reference_poll_start(bench.cpus[1], NULL);
	struct vmrpc *conn = service_connect("polled", "");
	struct bench_case cases[] = {
		{.name = "polled: bare ping-pong in one line", .run = reference_poll_run, .arg = line},
		{.name = "polled: null call", .run = call_null, .arg = conn},
		{.name = "polled: six int64 and a result", .run = call_six, .arg = conn},
	};

	bench_compare(cases, 3);
	bench_target("polled null call / bare one-line ping-pong", bench_ratio(&cases[1], &cases[0]), "<=", 1.15);
	bench_target("six int64 and a result / null call", bench_ratio(&cases[2], &cases[1]), "<=", 1.10);
	vmrpc_close(conn);
}

/* Both sides give up at once and sleep. Pinned to two processors, or both to one. */
static void sleeping(int cpu, const char *server, const char *options, const char *where)
{
	struct reference *line = reference_futex_start(bench.cpus[cpu]);
	struct reference *socket = reference_socket_start(bench.cpus[cpu]);
	struct vmrpc *conn = service_connect(server, options);
	char names[4][96];
	struct bench_case cases[] = {
		{.name = names[0], .unit = "us", .scale = 1e-3, .run = reference_futex_run, .arg = line},
		{.name = names[1], .unit = "us", .scale = 1e-3, .run = call_null, .arg = conn},
		{.name = names[2], .unit = "us", .scale = 1e-3, .run = reference_socket_run, .arg = socket},
	};

	snprintf(names[0], sizeof names[0], "%s: bare futex ping-pong", where);
	snprintf(names[1], sizeof names[1], "%s: null call", where);
	snprintf(names[2], sizeof names[2], "%s: one byte over a Unix socket", where);
	snprintf(names[3], sizeof names[3], "%s null call / bare futex ping-pong", where);
	bench_compare(cases, 3);
	bench_target(names[3], bench_ratio(&cases[1], &cases[0]), "<=", 1.15);
	vmrpc_close(conn);
}

int main(int argc, char **argv)
{
	bench_begin(argc, argv, "null_call", "what does a call that does nothing cost?");
	bench_pin(0);
	if (bench.n_cpus > 1) {
		service_start("polled", bench.cpus[1], "");
		service_start("asleep", bench.cpus[1], "?spin=0");
	}
	service_start("beside", bench.cpus[0], "");
	service_start("beside0", bench.cpus[0], "?spin=0");
	if (bench.n_cpus > 1) {
		polled();
		sleeping(1, "asleep", "?spin=0", "sleeping, two processors");
	} else {
		bench_not_here("polled null call / bare one-line ping-pong", "needs two processors");
		bench_not_here("six int64 and a result / null call", "needs two processors");
		bench_not_here("sleeping, two processors null call / bare futex ping-pong", "needs two processors");
	}
	sleeping(0, "beside0", "?spin=0", "sleeping, one processor");
	sleeping(0, "beside", "", "default options, one processor");
	return bench_end();
}
