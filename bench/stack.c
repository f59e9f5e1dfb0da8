/* What RPC stacks cost: vmrpc_stack_call beside a plain call; a remote call with &local, and one that the server runs
 * on the caller's stack, beside a null call. */
#include <vmrpc/stack.h>

#include "bench.h"
#include "service.h"

struct job {
	struct vmrpc *conn;
	void *(*fn)(void *arg);
	unsigned n;
};

static __attribute__((noinline)) void *nothing(void *arg)
{
	__asm__ volatile("" : "+r"(arg));
	return arg;
}

static void plain(void *arg, unsigned n)
{
	void *(*volatile fn)(void *) = nothing;

	for (unsigned i = 0; i < n; i++)
		fn(arg);
}

static void stack_call(void *arg, unsigned n)
{
	const struct job *job = arg;

	for (unsigned i = 0; i < n; i++)
		if (vmrpc_stack_call(job->conn, nothing, arg, NULL) < 0)
			bench_fail("vmrpc_stack_call", EIO);
}

/* Runs job->fn once on the RPC stack; it does all n. */
static void on_stack(void *arg, unsigned n)
{
	struct job *job = arg;

	job->n = n;
	if (vmrpc_stack_call(job->conn, job->fn, job, NULL) < 0)
		bench_fail("vmrpc_stack_call", EIO);
}

static void null_calls(void *arg, unsigned n)
{
	const struct job *job = arg;

	for (unsigned i = 0; i < n; i++)
		if (service_null(job->conn) < 0)
			bench_fail("service_null", EIO);
}

static void *doubles(void *arg)
{
	const struct job *job = arg;

	for (unsigned i = 0; i < job->n; i++) {
		int64_t local = i;

		if (service_double(job->conn, &local) < 0 || local != 2 * (int64_t)i)
			bench_fail("service_double", EIO);
	}
	return NULL;
}

static void *doubles_on_stack(void *arg)
{
	const struct job *job = arg;

	for (unsigned i = 0; i < job->n; i++) {
		int64_t local = i;

		if (service_double_on_stack(job->conn, &local) < 0 || local != 2 * (int64_t)i)
			bench_fail("service_double_on_stack", EIO);
	}
	return NULL;
}

/* The same with the number in the RPC heap: the line of the number crosses, the frame is in the cell. */
static void doubles_in_heap(void *arg, unsigned n)
{
	const struct job *job = arg;
	int64_t *number = vmrpc_malloc(job->conn, sizeof *number);

	for (unsigned i = 0; i < n; i++) {
		*number = i;
		if (service_double(job->conn, number) < 0 || *number != 2 * (int64_t)i)
			bench_fail("service_double", EIO);
	}
	vmrpc_free(number);
}

int main(int argc, char **argv)
{
	struct job job = {0}, double_job = {0}, on_stack_job = {0};

	bench_begin(argc, argv, "stack", "what do RPC stacks cost?");
	bench_pin(0);
	service_start("stack", bench.cpus[1], "");
	job.conn = double_job.conn = on_stack_job.conn = service_connect("stack", "");
	double_job.fn = doubles;
	on_stack_job.fn = doubles_on_stack;

	struct bench_case here[] = {
		{.name = "call through a function pointer", .run = plain, .arg = &job},
		{.name = "vmrpc_stack_call", .run = stack_call, .arg = &job},
	};
	struct bench_case there[] = {
		{.name = "null call", .run = null_calls, .arg = &job},
		{.name = "call with the address of a number in the heap", .run = doubles_in_heap, .arg = &job},
		{.name = "call with &local, from the RPC stack", .run = on_stack, .arg = &double_job},
		{.name = "the same, run on the caller's RPC stack", .run = on_stack, .arg = &on_stack_job},
	};

	bench_compare(here, 2);
	if (bench.n_cpus > 1) {
		bench_compare(there, 4);
		if (!bench.targets) {
			bench_figure("number in the heap / null call", "x", bench_ratio(&there[1], &there[0]));
			bench_figure("&local / null call", "x", bench_ratio(&there[2], &there[0]));
			bench_figure("run on the caller's stack / null call", "x", bench_ratio(&there[3], &there[0]));
		}
	}
	vmrpc_close(job.conn);
	return bench_end();
}
