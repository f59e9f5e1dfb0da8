/* How long beginnings take: connecting, the first call, a heap added to a live connection. No targets. */
#include <vmrpc/error.h>

#include "bench.h"
#include "reference.h"
#include "service.h"

#define ROUNDS 200

static void connections(void)
{
	struct bench_series connect = {0}, first = {0}, second = {0}, end = {0};

	for (unsigned i = 0; i < (bench.quick ? ROUNDS / 10 : ROUNDS); i++) {
		double times[5];
		struct vmrpc *conn;

		times[0] = bench_now();
		if (vmrpc_connect(&conn, service_itself(), service_address("setup", "")) < 0)
			bench_fail(vmrpc_error_message(), EIO);
		times[1] = bench_now();
		if (service_null(conn) < 0)
			bench_fail(vmrpc_error_message(), EIO);
		times[2] = bench_now();
		service_null(conn);
		times[3] = bench_now();
		vmrpc_close(conn);
		times[4] = bench_now();
		bench_add(&connect, (times[1] - times[0]) / 1e3);
		bench_add(&first, (times[2] - times[1]) / 1e3);
		bench_add(&second, (times[3] - times[2]) / 1e3);
		bench_add(&end, (times[4] - times[3]) / 1e3);
	}
	bench_print("vmrpc_connect", "us", &connect);
	bench_print("first call of a thread: opens its channel", "us", &first);
	bench_print("second call", "us", &second);
	bench_print("vmrpc_close", "us", &end);
}

static void heaps(struct vmrpc *conn)
{
	static const struct {
		size_t size;
		const char *what;
	} sizes[] = {{1000, "1 KB"},	{10000, "10 KB"},    {100000, "100 KB"},
		     {1000000, "1 MB"}, {10000000, "10 MB"}, {100000000, "100 MB"}};

	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct bench_series setup = {0}, fill = {0}, destroy = {0};
		char name[96];

		for (unsigned round = 0; round < (bench.quick || sizes[i].size > 1000000 ? ROUNDS / 10 : ROUNDS);
		     round++) {
			struct vmrpc_heap *heap;
			double times[4];
			char *block;

			times[0] = bench_now();
			if (vmrpc_heap_setup(&heap, conn, sizes[i].size) < 0)
				bench_fail(vmrpc_error_message(), EIO);
			times[1] = bench_now();
			block = vmrpc_malloc(conn, sizes[i].size);
			if (!block)
				bench_fail(vmrpc_error_message(), ENOMEM);
			memset(block, 1, sizes[i].size);
			times[2] = bench_now();
			vmrpc_free(block);
			times[3] = bench_now();
			vmrpc_heap_destroy(heap);
			bench_add(&setup, (times[1] - times[0]) / 1e3);
			bench_add(&fill, (times[2] - times[1]) / 1e3);
			bench_add(&destroy, (bench_now() - times[3]) / 1e3);
		}
		snprintf(name, sizeof name, "vmrpc_heap_setup, %s", sizes[i].what);
		bench_print(name, "us", &setup);
		snprintf(name, sizeof name, "vmrpc_malloc and memset of all of it, %s", sizes[i].what);
		bench_print(name, "us", &fill);
		snprintf(name, sizeof name, "vmrpc_heap_destroy, %s", sizes[i].what);
		bench_print(name, "us", &destroy);
	}
}

int main(int argc, char **argv)
{
	struct vmrpc *conn;

	bench_begin(argc, argv, "setup", "how long do beginnings take?");
	bench_pin(0);
	service_start("setup", bench.cpus[1], "?heap=1M");
	conn = service_connect("setup", "?heap=1M");
	connections();
	heaps(conn);
	vmrpc_close(conn);
	return bench_end();
}
