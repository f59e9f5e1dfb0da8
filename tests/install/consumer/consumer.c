/* A whole program on an installed vmrpc: starts a server, calls it, stops it. C11 and C++17. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmrpc/error.h>
#include <vmrpc/server.h>
#include <vmrpc/stack.h>
#include <vmrpc/stats.h>
#include <vmrpc/stub.h>
#include <vmrpc/vmrpc.h>

struct twice_frame {
	int64_t number;
	int64_t result;
};

static int serve_twice(void *frame)
{
	struct twice_frame *twice = (struct twice_frame *)frame;

	twice->result = 2 * twice->number;
	return 0;
}

static const struct vmrpc_method methods[] = {
	{"twice", 0x7477696365ull, sizeof(struct twice_frame), sizeof(int64_t), 0, 0, serve_twice, NULL, NULL, 0, 0,
	 NULL, NULL},
};
static struct vmrpc_binding binding;
static const struct vmrpc_service service = {VMRPC_STUB_ABI, "consumer", 1, 0, methods, 1, NULL, 0, &binding};

static int fail(const char *what, int error)
{
	fprintf(stderr, "%s: %d: %s\n", what, error, vmrpc_error_message());
	return 1;
}

static int call(struct vmrpc *conn)
{
	struct twice_frame frame = {21, 0};
	struct vmrpc_stats stats;
	void *memory;
	int r;

	r = vmrpc_stub_call(conn, &service, 0, &frame);
	if (r < 0 || frame.result != 42)
		return fail("call", r);
	memory = vmrpc_malloc(conn, 100);
	if (!memory)
		return fail("malloc", 0);
	vmrpc_free(memory);
	r = vmrpc_get_stats(conn, &stats);
	if (r < 0 || stats.calls < 1)
		return fail("stats", r);
	return 0;
}

int main(void)
{
	struct vmrpc *conn = NULL;
	pid_t server;
	int r, status;

	server = fork();
	if (server < 0)
		return fail("fork", 0);
	if (server == 0) {
		r = vmrpc_serve(&service, "local:consumer");
		_exit(r < 0 ? fail("serve", r) : 0);
	}

	r = vmrpc_connect(&conn, &service, "local:consumer?timeout=20s");
	status = r < 0 ? fail("connect", r) : call(conn);
	vmrpc_close(conn);

	kill(server, SIGTERM);
	if (waitpid(server, &r, 0) != server || !WIFEXITED(r) || WEXITSTATUS(r) != 0)
		return fail("the server did not end well", r);
	return status;
}
