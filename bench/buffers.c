/* What a buffer costs that lies in the RPC heap: the callee sums it where it is. Beside the caller summing ordinary
 * memory itself, and, freshly written, beside a bare child that sums memory it shares. */
#include "bench.h"
#include "reference.h"
#include "service.h"

struct buffer {
	struct vmrpc *conn;
	struct reference *line;
	uint64_t *words;
	size_t n;
};

static void serve_sum(struct reference *line)
{
	line->result = service_sum_here(line->words, line->n);
}

static void sum_here(void *arg, unsigned n)
{
	const struct buffer *buffer = arg;

	for (unsigned i = 0; i < n; i++) {
		uint64_t sum = service_sum_here(buffer->words, buffer->n);

		__asm__ volatile("" : : "r"(sum));
	}
}

static void sum_there(void *arg, unsigned n)
{
	const struct buffer *buffer = arg;

	for (unsigned i = 0; i < n; i++) {
		uint64_t sum;

		if (service_sum(buffer->conn, buffer->words, buffer->n, &sum) < 0)
			bench_fail("service_sum", EIO);
	}
}

static void null_call(void *arg, unsigned n)
{
	const struct buffer *buffer = arg;

	for (unsigned i = 0; i < n; i++)
		if (service_null(buffer->conn) < 0)
			bench_fail("service_null", EIO);
}

static void write_words(const struct buffer *buffer, uint64_t value)
{
	for (size_t i = 0; i < buffer->n; i++)
		buffer->words[i] = value + i;
}

static void write_and_sum_there(void *arg, unsigned n)
{
	const struct buffer *buffer = arg;

	for (unsigned i = 0; i < n; i++) {
		uint64_t sum;

		write_words(buffer, i);
		if (service_sum(buffer->conn, buffer->words, buffer->n, &sum) < 0)
			bench_fail("service_sum", EIO);
	}
}

static void write_and_sum_bare(void *arg, unsigned n)
{
	const struct buffer *buffer = arg;
	uint32_t turn = reference_poll_begin(buffer->line);

	buffer->line->words = buffer->words;
	buffer->line->n = (uint32_t)buffer->n;
	for (unsigned i = 0; i < n; i++) {
		write_words(buffer, i);
		reference_poll_call(buffer->line, &turn);
	}
	reference_poll_end(buffer->line);
}

static void compare(struct vmrpc *conn, struct reference *line, uint64_t *shared, size_t size, const char *what)
{
	const size_t n = size / sizeof(uint64_t);
	struct buffer here = {.words = malloc(size), .n = n};
	struct buffer there = {.conn = conn, .words = vmrpc_malloc(conn, size), .n = n};
	struct buffer bare = {.line = line, .words = shared, .n = n};
	char names[6][96];
	struct bench_case read[] = {
		{.name = names[0], .unit = "us", .scale = 1e-3, .run = sum_here, .arg = &here},
		{.name = names[1], .unit = "us", .scale = 1e-3, .run = sum_there, .arg = &there},
		{.name = "null call", .unit = "us", .scale = 1e-3, .run = null_call, .arg = &there},
	};
	struct bench_case written[] = {
		{.name = names[2], .unit = "us", .scale = 1e-3, .run = write_and_sum_bare, .arg = &bare},
		{.name = names[3], .unit = "us", .scale = 1e-3, .run = write_and_sum_there, .arg = &there},
	};
	/* A round of the largest takes 10 ms. */
	unsigned rounds = size > 1000000 ? 40 : 200;

	if (bench.quick)
		rounds = rounds / 8 + 5;
	if (!here.words || !there.words)
		bench_fail("no memory for the buffer", ENOMEM);
	write_words(&here, 0);
	write_words(&there, 0);
	snprintf(names[0], sizeof names[0], "%s: summed here, ordinary memory", what);
	snprintf(names[1], sizeof names[1], "%s: summed by the callee, in the heap", what);
	snprintf(names[2], sizeof names[2], "%s, written each time: by a bare child", what);
	snprintf(names[3], sizeof names[3], "%s, written each time: by the callee", what);
	snprintf(names[4], sizeof names[4], "%s: summed by the callee / (here + null call)", what);
	snprintf(names[5], sizeof names[5], "%s, written each time: callee / bare child", what);
	bench_compare_rounds(read, 3, rounds);
	bench_target(names[4], bench_ratio_sum(&read[1], &read[0], &read[2]), "<=", 1.05);
	bench_compare_rounds(written, 2, rounds);
	bench_target(names[5], bench_ratio(&written[1], &written[0]), "<=", 1.05);
	free(here.words);
	vmrpc_free(there.words);
}

int main(int argc, char **argv)
{
	static const struct {
		size_t size;
		const char *what;
	} sizes[] = {{1000, "1 KB"},	{10000, "10 KB"},    {100000, "100 KB"},
		     {1000000, "1 MB"}, {10000000, "10 MB"}, {100000000, "100 MB"}};
	const unsigned n = sizeof sizes / sizeof sizes[0];
	struct reference *line;
	struct vmrpc *conn;
	uint64_t *shared;

	bench_begin(argc, argv, "buffers", "what does a buffer in the RPC heap cost?");
	if (bench.n_cpus < 2) {
		bench_not_here("buffers read by the callee", "needs two processors");
		return bench_end();
	}
	bench_pin(0);
	service_start("buffers", bench.cpus[1], "?heap=256M");
	shared = reference_memory(sizes[n - 1].size);
	line = reference_poll_start(bench.cpus[1], serve_sum);
	conn = service_connect("buffers", "?heap=256M");
	for (unsigned i = 0; i < n; i++)
		compare(conn, line, shared, sizes[i].size, sizes[i].what);
	vmrpc_close(conn);
	return bench_end();
}
