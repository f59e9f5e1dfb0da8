/* What frames cost that do not fit the cell: beside a bare ping-pong that copies as many bytes into shared memory on
 * one side and out of it on the other. */
#include "bench.h"
#include "reference.h"
#include "service.h"

static unsigned char *shared;

struct call {
	struct vmrpc *conn;
	unsigned which;
	struct reference *line;
	unsigned char frame[8192];
};

static void serve_copy(struct reference *line)
{
	static unsigned char private[8192];

	memcpy(private, shared, line->n);
	__asm__ volatile("" : : "r"(private) : "memory");
}

static void run_bare(void *arg, unsigned n)
{
	struct call *call = arg;
	const uint32_t size = service_frame_size(call->which);
	uint32_t turn = reference_poll_begin(call->line);

	call->line->n = size;
	for (unsigned i = 0; i < n; i++) {
		call->frame[i % size]++;
		memcpy(shared, call->frame, size);
		reference_poll_call(call->line, &turn);
	}
	reference_poll_end(call->line);
}

static void run_call(void *arg, unsigned n)
{
	struct call *call = arg;
	const uint32_t size = service_frame_size(call->which);

	for (unsigned i = 0; i < n; i++) {
		call->frame[i % size]++;
		if (service_frame(call->conn, call->which, call->frame) < 0)
			bench_fail("service_frame", EIO);
	}
}

int main(int argc, char **argv)
{
	struct call call = {0};

	bench_begin(argc, argv, "frames", "what do large frames cost?");
	if (bench.n_cpus < 2) {
		bench_say("needs two processors");
		return bench_end();
	}
	bench_pin(0);
	service_start("frames", bench.cpus[1], "");
	shared = reference_memory(8192);
	call.line = reference_poll_start(bench.cpus[1], serve_copy);
	call.conn = service_connect("frames", "");
	for (call.which = 0; call.which < SERVICE_FRAMES; call.which++) {
		char names[3][96];
		struct bench_case cases[] = {
			{.name = names[0], .run = run_bare, .arg = &call},
			{.name = names[1], .run = run_call, .arg = &call},
		};

		snprintf(names[0], sizeof names[0], "%u bytes: bare ping-pong, memcpy in and out",
			 service_frame_size(call.which));
		snprintf(names[1], sizeof names[1], "%u bytes: call", service_frame_size(call.which));
		snprintf(names[2], sizeof names[2], "%u bytes: call / bare", service_frame_size(call.which));
		bench_compare(cases, 2);
		if (!bench.targets)
			bench_figure(names[2], "x", bench_ratio(&cases[1], &cases[0]));
	}
	vmrpc_close(call.conn);
	return bench_end();
}
