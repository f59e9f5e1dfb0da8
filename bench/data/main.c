/* What it costs to hand data to a method that looks at all of it: the paper's three kinds, and a list. In the RPC heap
 * between sides that trust each other, the same with regions at two addresses, to a server that does not trust, and
 * from ordinary memory; beside the same function called here. */
#include <vmrpc/error.h>

#include "bench.h"
#include "child.h"
#include "data.rpc.h"
#include "reference.h"

int64_t here_bytes(const unsigned char *bytes, size_t n);
int64_t here_structs(const struct data_fixed *structs, size_t n);
int64_t here_strings(const struct data_var *structs, size_t n);
int64_t here_list(const struct data_node *list);

enum { SAME, MOVED, UNTRUSTED, N_SERVERS };

static struct vmrpc *conns[N_SERVERS];

struct load {		    /* one kind of data of one size, somewhere */
	struct vmrpc *conn; /* NULL: called here */
	size_t n;
	int64_t expected;
	unsigned char *bytes, *copy;
	struct data_fixed *structs;
	struct data_var *strings;
	struct data_node *list;
};

static void check(int r, int64_t is, int64_t expected, const char *what)
{
	if (r < 0)
		bench_fail(vmrpc_error_message(), EIO);
	if (is != expected)
		bench_fail(what, EBADMSG);
}

#define RUN(kind, data)                                                                 \
	static void run_##kind(void *arg, unsigned n)                                   \
	{                                                                               \
		const struct load *load = arg;                                          \
		int64_t sum = 0;                                                        \
                                                                                        \
		for (unsigned i = 0; i < n; i++) {                                      \
			int r = 0;                                                      \
                                                                                        \
			if (load->conn)                                                 \
				r = data_##kind##_rpc(load->conn, data, load->n, &sum); \
			else                                                            \
				sum = here_##kind(data, load->n);                       \
			check(r, sum, load->expected, #kind);                           \
		}                                                                       \
	}
RUN(bytes, load->bytes)
RUN(structs, load->structs)
RUN(strings, load->strings)

static void run_list(void *arg, unsigned n)
{
	const struct load *load = arg;
	int64_t sum = 0;

	for (unsigned i = 0; i < n; i++) {
		int r = 0;

		if (load->conn)
			r = data_list_rpc(load->conn, load->list, &sum);
		else
			sum = here_list(load->list);
		check(r, sum, load->expected, "list");
	}
}

static void run_null(void *arg, unsigned n)
{
	const struct load *load = arg;
	int64_t sum;

	for (unsigned i = 0; i < n; i++)
		check(data_list_rpc(load->conn, NULL, &sum), 0, 0, "null");
}

static void run_copy(void *arg, unsigned n)
{
	struct load *load = arg;

	for (unsigned i = 0; i < n; i++) {
		memcpy(load->copy, load->bytes, load->n);
		__asm__ volatile("" : : "r"(load->copy) : "memory");
	}
}

static void *take(struct vmrpc *conn, size_t size)
{
	void *memory = conn ? vmrpc_malloc(conn, size) : malloc(size);

	if (!memory)
		bench_fail("no memory", ENOMEM);
	return memory;
}

/* Data in the heap of conn, or in ordinary memory; the call goes to. */
static struct load load_new(struct vmrpc *heap, struct vmrpc *to, size_t n)
{
	struct load load = {.conn = to, .n = n};

	load.bytes = take(heap, n);
	load.structs = take(heap, n * sizeof *load.structs);
	load.strings = take(heap, n * sizeof *load.strings);
	for (size_t i = 0; i < n; i++) {
		char *name = take(heap, 16);
		struct data_node *node = take(heap, sizeof *node);

		load.bytes[i] = (unsigned char)i;
		load.structs[i] = (struct data_fixed){(int32_t)i, 0, 1};
		snprintf(name, 16, "string %06zu", i % 1000000);
		load.strings[i] = (struct data_var){1, name};
		*node = (struct data_node){1, load.list};
		load.list = node;
	}
	return load;
}

static void load_free(struct load *load, bool heap)
{
	void (*give)(void *) = heap ? vmrpc_free : free;

	for (size_t i = 0; i < load->n; i++) {
		struct data_node *next = load->list->next;

		give((void *)(uintptr_t)load->strings[i].name);
		give(load->list);
		load->list = next;
	}
	give(load->bytes);
	give(load->structs);
	give(load->strings);
}

static void start(const char *name, const char *server, const char *client, int which)
{
	char address[64];

	snprintf(address, sizeof address, "local:%s?heap=256M%s", name, server);
	if (child_fork(bench.cpus[1]) == 0) {
		execl(BENCH_SERVER, BENCH_SERVER, address, (char *)NULL);
		_exit(2);
	}
	snprintf(address, sizeof address, "local:%s?timeout=10s%s", name, client);
	if (vmrpc_connect(&conns[which], &data_service, address) < 0)
		bench_fail(vmrpc_error_message(), EIO);
}

static void compare(const char *kind, void (*run)(void *arg, unsigned n), size_t n, struct load *loads,
		    unsigned n_loads, double per, const char *unit)
{
	static const char *const situations[] = {"called here", "in the heap", "in the heap, two addresses",
						 "in the heap, no trust", "ordinary memory"};
	struct bench_case cases[6] = {{0}};
	char names[5][96];

	cases[n_loads] = (struct bench_case){.name = "null call", .run = run_null, .arg = &loads[1]};
	for (unsigned i = 0; i < n_loads; i++) {
		snprintf(names[i], sizeof names[i], "%s, %zu: %s", kind, n, situations[i]);
		cases[i] = (struct bench_case){.name = names[i], .run = run, .arg = &loads[i]};
	}
	bench_compare_rounds(cases, n_loads + 1, bench.quick ? 20 : 60);
	if (n < 1000)
		return;
	snprintf(names[0], sizeof names[0], "%s, %zu, in the heap / (called here + null call)", kind, n);
	bench_target(names[0], bench_ratio_sum(&cases[1], &cases[0], &cases[n_loads]), "<=", 1.05);
	if (!per)
		return;
	for (unsigned i = 2; i < 4; i++) {
		snprintf(names[i], sizeof names[i], "%s, %zu, %s: ns more for each %s", kind, n, situations[i] + 13,
			 unit);
		bench_target(names[i], (bench_median(&cases[i].series) - bench_median(&cases[1].series)) / (double)n,
			     "<=", i == 2 ? 3 : per);
	}
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = {100, 10000, 1000000};
	char folder[] = "/tmp/vmrpc-bench-XXXXXX";

	bench_begin(argc, argv, "data", "what does it cost to hand data over?");
	if (bench.n_cpus < 2) {
		bench_say("needs two processors");
		return bench_end();
	}
	if (!mkdtemp(folder))
		bench_fail("mkdtemp", errno);
	setenv("XDG_RUNTIME_DIR", folder, 1);
	bench_pin(0);
	start("same", "", "", SAME);
	start("moved", "&map=any", "&map=any", MOVED);
	start("untrusted", "&trust=no", "", UNTRUSTED);
	for (unsigned s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
		const size_t n = sizes[s];
		struct load loads[5] = {
			load_new(NULL, NULL, n),
			load_new(conns[SAME], conns[SAME], n),
			load_new(conns[MOVED], conns[MOVED], n),
			load_new(conns[UNTRUSTED], conns[UNTRUSTED], n),
			load_new(NULL, conns[SAME], n),
		};
		struct bench_case copy = {.name = "memcpy of the bytes", .run = run_copy, .arg = &loads[0]};

		for (unsigned i = 0; i < 5; i++)
			loads[i].expected = here_bytes(loads[0].bytes, n);
		compare("bytes", run_bytes, n, loads, 5, 0, "");
		loads[0].copy = take(NULL, n);
		bench_compare_rounds(&copy, 1, 20);
		free(loads[0].copy);
		for (unsigned i = 0; i < 5; i++)
			loads[i].expected = here_structs(loads[0].structs, n);
		compare("structs", run_structs, n, loads, 5, 0, "");
		for (unsigned i = 0; i < 5; i++)
			loads[i].expected = here_strings(loads[0].strings, n);
		compare("structs with strings", run_strings, n, loads, 5, 15, "string");
		for (unsigned i = 0; i < 5; i++)
			loads[i].expected = here_list(loads[0].list);
		compare("list", run_list, n, loads, 5, 0, "");
		for (unsigned i = 0; i < 5; i++)
			load_free(&loads[i], i > 0 && i < 4);
	}
	for (unsigned i = 0; i < N_SERVERS; i++)
		vmrpc_close(conns[i]);
	return bench_end();
}
