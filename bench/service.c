/* The benchmarks' service: frames, stubs, thunks, and the servers' processes. */
#include "service.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <vmrpc/error.h>
#include <vmrpc/server.h>
#include <vmrpc/stub.h>

#include "child.h"

enum {
	METHOD_NULL,
	METHOD_SIX,
	METHOD_NOTE,
	METHOD_NOTED,
	METHOD_SUM,
	METHOD_DOUBLE,
	METHOD_DOUBLE_ON_STACK,
	METHOD_FRAME, /* the first of SERVICE_FRAMES */
	N_METHODS = METHOD_FRAME + SERVICE_FRAMES,
};

struct frame_six {
	int64_t a, b, c, d, e, f;
	int64_t result;
};

struct frame_value {
	int64_t value;
};

struct frame_sum {
	const uint64_t *words;
	uint64_t n;
	uint64_t result;
};

struct frame_number {
	int64_t *number;
};

/* ---- server ---------------------------------------------------------------------------------------------- */

static _Thread_local int64_t noted;

static void *ours(const void *pointer)
{
	return (char *)(uintptr_t)pointer + vmrpc_offset(vmrpc_current());
}

static int serve_null(void *frame)
{
	(void)frame;
	return 0;
}

static int serve_six(void *arg)
{
	struct frame_six *frame = arg;

	frame->result = frame->a + frame->b + frame->c + frame->d + frame->e + frame->f;
	return 0;
}

static int serve_note(void *arg)
{
	const struct frame_value *frame = arg;

	noted += frame->value;
	return 0;
}

static int serve_noted(void *arg)
{
	struct frame_value *frame = arg;

	frame->value = noted;
	noted = 0;
	return 0;
}

static int serve_sum(void *arg)
{
	struct frame_sum *frame = arg;

	frame->result = service_sum_here(ours(frame->words), frame->n);
	return 0;
}

static int serve_double(void *arg)
{
	const struct frame_number *frame = arg;
	int64_t *number = ours(frame->number);

	*number *= 2;
	return 0;
}

#define FRAME(size)                                                                                               \
	{                                                                                                         \
		.name = "frame_" #size, .digest = 0xbe0c0000 + (size), .frame_size = size, .result_offset = size, \
		.serve = serve_null                                                                               \
	}

static const struct vmrpc_method methods[N_METHODS] = {
	[METHOD_NULL] = {.name = "null", .digest = 0xbe0c0001, .serve = serve_null},
	[METHOD_SIX] = {.name = "six",
			.digest = 0xbe0c0002,
			.frame_size = sizeof(struct frame_six),
			.result_offset = offsetof(struct frame_six, result),
			.serve = serve_six},
	[METHOD_NOTE] = {.name = "note",
			 .digest = 0xbe0c0003,
			 .frame_size = 8,
			 .result_offset = 8,
			 .flags = VMRPC_METHOD_ASYNC,
			 .serve = serve_note},
	[METHOD_NOTED] = {.name = "noted", .digest = 0xbe0c0004, .frame_size = 8, .serve = serve_noted},
	[METHOD_SUM] = {.name = "sum",
			.digest = 0xbe0c0005,
			.frame_size = sizeof(struct frame_sum),
			.result_offset = offsetof(struct frame_sum, result),
			.serve = serve_sum},
	[METHOD_DOUBLE] =
		{.name = "double", .digest = 0xbe0c0006, .frame_size = 8, .result_offset = 8, .serve = serve_double},
	[METHOD_DOUBLE_ON_STACK] = {.name = "double_on_stack",
				    .digest = 0xbe0c0007,
				    .frame_size = 8,
				    .result_offset = 8,
				    .flags = VMRPC_METHOD_SHARED_STACK,
				    .serve = serve_double},
	[METHOD_FRAME] = FRAME(64),
	FRAME(256),
	FRAME(1024),
	FRAME(4096),
	FRAME(8192),
};

static struct vmrpc_binding binding;

/* One table for both sides: each uses its half. */
static const struct vmrpc_service service = {
	.abi = VMRPC_STUB_ABI,
	.name = "bench",
	.major = 1,
	.methods = methods,
	.n_methods = N_METHODS,
	.binding = &binding,
};

/* ---- stubs ----------------------------------------------------------------------------------------------- */

int service_null(struct vmrpc *conn)
{
	return vmrpc_stub_call(conn, &service, METHOD_NULL, NULL);
}

int service_six(struct vmrpc *conn, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f, int64_t *ret_sum)
{
	struct frame_six frame = {a, b, c, d, e, f, 0};
	int r = vmrpc_stub_call(conn, &service, METHOD_SIX, &frame);

	if (r == 0)
		*ret_sum = frame.result;
	return r;
}

int service_note(struct vmrpc *conn, int64_t value)
{
	struct frame_value frame = {value};

	return vmrpc_stub_call(conn, &service, METHOD_NOTE, &frame);
}

int service_noted(struct vmrpc *conn, int64_t *ret_sum)
{
	struct frame_value frame = {0};
	int r = vmrpc_stub_call(conn, &service, METHOD_NOTED, &frame);

	if (r == 0)
		*ret_sum = frame.value;
	return r;
}

int service_flush(struct vmrpc *conn)
{
	return vmrpc_stub_flush(conn, &service);
}

int service_frame(struct vmrpc *conn, unsigned which, void *frame)
{
	return vmrpc_stub_call(conn, &service, METHOD_FRAME + which, frame);
}

int service_sum(struct vmrpc *conn, const uint64_t *words, size_t n, uint64_t *ret_sum)
{
	struct frame_sum frame = {words, n, 0};
	int r = vmrpc_stub_call(conn, &service, METHOD_SUM, &frame);

	if (r == 0)
		*ret_sum = frame.result;
	return r;
}

int service_double(struct vmrpc *conn, int64_t *number)
{
	struct frame_number frame = {number};

	return vmrpc_stub_call(conn, &service, METHOD_DOUBLE, &frame);
}

int service_double_on_stack(struct vmrpc *conn, int64_t *number)
{
	struct frame_number frame = {number};

	return vmrpc_stub_call(conn, &service, METHOD_DOUBLE_ON_STACK, &frame);
}

__attribute__((noinline)) uint64_t service_sum_here(const uint64_t *words, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += words[i];
	return sum;
}

/* ---- processes ------------------------------------------------------------------------------------------- */

#define SERVERS_MAX 8

static char folder[] = "/tmp/vmrpc-bench-XXXXXX";
static pid_t servers[SERVERS_MAX], starter;
static unsigned n_servers;

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, vmrpc_error_message());
	exit(2);
}

/* At exit: servers take their sockets with them. */
static void stop_all(void)
{
	char path[64];

	if (getpid() != starter)
		return;
	for (unsigned i = 0; i < n_servers; i++)
		kill(servers[i], SIGTERM);
	for (unsigned i = 0; i < n_servers; i++)
		waitpid(servers[i], NULL, 0);
	snprintf(path, sizeof path, "%s/vmrpc", folder);
	rmdir(path);
	rmdir(folder);
}

const struct vmrpc_service *service_itself(void)
{
	return &service;
}

const char *service_address(const char *name, const char *options)
{
	static char address[128];

	snprintf(address, sizeof address, "local:%s%s", name, options);
	return address;
}

pid_t service_start(const char *name, int cpu, const char *options)
{
	pid_t pid;

	if (n_servers == 0) {
		starter = getpid();
		if (!mkdtemp(folder) || setenv("XDG_RUNTIME_DIR", folder, 1) < 0 || atexit(stop_all))
			fail("could not make a folder in /tmp for sockets");
	}
	if (n_servers == SERVERS_MAX)
		abort();
	pid = child_fork(cpu);
	if (pid == 0) {
		if (vmrpc_serve(&service, service_address(name, options)) < 0)
			fprintf(stderr, "server: %s\n", vmrpc_error_message());
		_exit(0);
	}
	servers[n_servers++] = pid;
	return pid;
}

struct vmrpc *service_connect(const char *name, const char *options)
{
	struct vmrpc *conn = NULL;
	char all[64];

	/* The server may be starting. */
	snprintf(all, sizeof all, "?timeout=10s%s%s", *options ? "&" : "", *options ? options + 1 : "");
	if (vmrpc_connect(&conn, &service, service_address(name, all)) < 0)
		fail("could not connect");
	if (service_null(conn) < 0)
		fail("could not call");
	return conn;
}
