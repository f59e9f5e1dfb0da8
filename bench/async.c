/* How much faster calls are that nobody waits for, and how often a sleeping server is woken for a batch of them. */
#include <stdatomic.h>

#include <vmrpc/stats.h>

#include "bench.h"
#include "reference.h"
#include "service.h"

/* ---- a bare ring ----------------------------------------------------------------------------------------- */

#define CELLS 256u

struct cell {
	_Alignas(64) _Atomic uint32_t lap;
	uint64_t value;
};

/* Cells that the client fills; a cell is full when it holds its own number plus one. */
static struct ring {
	struct cell cells[CELLS];
	_Alignas(128) _Atomic uint32_t done; /* told every 32 */
} * ring;

/* Child: takes as many calls as the line says, then has served the line's turn. */
static void serve_ring(struct reference *line)
{
	static uint32_t next;
	uint64_t sum = 0;

	for (uint32_t end = next + line->n; next != end;) {
		struct cell *cell = &ring->cells[next % CELLS];

		while (atomic_load_explicit(&cell->lap, memory_order_acquire) != next + 1)
			reference_pause();
		sum += cell->value;
		if (++next % 32 == 0)
			atomic_store_explicit(&ring->done, next, memory_order_release);
	}
	line->result = sum;
	atomic_store_explicit(&ring->done, next, memory_order_release);
}

static void run_ring(void *arg, unsigned n)
{
	static uint32_t next, done;
	struct reference *line = arg;
	uint32_t turn = reference_poll_begin(line);

	line->n = n;
	atomic_store_explicit(&line->turn, turn + 1, memory_order_release);
	for (unsigned i = 0; i < n; i++, next++) {
		struct cell *cell = &ring->cells[next % CELLS];

		while (next - done >= CELLS) {
			done = atomic_load_explicit(&ring->done, memory_order_acquire);
			if (next - done >= CELLS)
				reference_pause();
		}
		cell->value = i;
		atomic_store_explicit(&cell->lap, next + 1, memory_order_release);
	}
	while (atomic_load_explicit(&line->turn, memory_order_acquire) != turn + 2)
		reference_pause();
	reference_poll_end(line);
}

/* ---- calls ----------------------------------------------------------------------------------------------- */

static void run_sync(void *conn, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (service_null(conn) < 0)
			bench_fail("service_null", EIO);
}

static void run_async(void *conn, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (service_note(conn, i) < 0)
			bench_fail("service_note", EIO);
	if (service_flush(conn) < 0)
		bench_fail("service_flush", EIO);
}

static void rates(void)
{
	struct reference *line;
	struct vmrpc *conn;

	ring = reference_memory(sizeof *ring);
	line = reference_poll_start(bench.cpus[1], serve_ring);
	conn = service_connect("async", "");

	struct bench_case cases[] = {
		{.name = "polled: null call", .run = run_sync, .arg = conn},
		{.name = "polled: asynchronous call, one flush at the end", .run = run_async, .arg = conn},
		{.name = "polled: bare ring of 64-byte cells", .run = run_ring, .arg = line},
	};

	bench_compare(cases, 3);
	bench_target("rate of asynchronous calls / rate of null calls", bench_ratio(&cases[0], &cases[1]), ">=", 6);
	if (!bench.targets)
		bench_figure("the same for the bare ring", "x", bench_ratio(&cases[0], &cases[2]));
	vmrpc_close(conn);
}

/* ---- wake-ups -------------------------------------------------------------------------------------------- */

/* The server sleeps at once; each batch is made while it does. */
static void wakes(const char *server, const char *where)
{
	struct vmrpc *conn = service_connect(server, "?spin=0");
	double worst = 0;
	char name[96];

	for (unsigned batch = 1; batch <= 256; batch *= 4) {
		const unsigned n = bench.quick ? 50 : 400;
		struct bench_series series = {0};

		for (unsigned i = 0; i < n; i++) {
			struct vmrpc_stats before, after;

			bench_rest(BENCH_SETTLE_NS);
			if (vmrpc_get_stats(conn, &before) < 0)
				bench_fail("vmrpc_get_stats", EIO);
			run_async(conn, batch);
			if (vmrpc_get_stats(conn, &after) < 0)
				bench_fail("vmrpc_get_stats", EIO);
			bench_add(&series, (double)(after.wakes - before.wakes));
		}
		snprintf(name, sizeof name, "%s: wake-ups, %u calls and a flush", where, batch);
		bench_print(name, "", &series);
		/* Not the worst of all: a client that was interrupted before its flush finds the server asleep again.
		 */
		if (bench_quantile(&series, 0.9) > worst)
			worst = bench_quantile(&series, 0.9);
		free(series.values);
	}
	snprintf(name, sizeof name, "wake-ups by a batch of 1 to 256, %s (9 in 10)", where);
	bench_target(name, worst, "<=", 1.0);
	vmrpc_close(conn);
}

int main(int argc, char **argv)
{
	bench_begin(argc, argv, "async", "how fast are calls that nobody waits for?");
	bench_pin(0);
	service_start("async", bench.cpus[1], "");
	service_start("asleep", bench.cpus[1], "?spin=0");
	service_start("beside", bench.cpus[0], "?spin=0");
	if (bench.n_cpus > 1) {
		rates();
		wakes("asleep", "two processors");
	} else {
		bench_not_here("rate of asynchronous calls / rate of null calls", "needs two processors");
		bench_not_here("wake-ups by a batch, two processors", "needs two processors");
	}
	wakes("beside", "one processor");
	return bench_end();
}
