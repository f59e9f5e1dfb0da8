/* vmrpc_serve: a server for programs that do nothing else, which ends in order on SIGINT and SIGTERM. */
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

#include "serve.h"

#define SERVES_MAX 64

/* Of the vmrpc_serve()s that run: descriptor plus one, 0 for none. Read by the signal handler. */
static _Atomic int stop_fds[SERVES_MAX];

void vmrpc_serve_stop(void)
{
	int error = errno;

	for (int i = 0; i < SERVES_MAX; i++) {
		int fd = atomic_load(&stop_fds[i]);

		if (fd)
			eventfd_write(fd - 1, 1);
	}
	errno = error;
}

void vmrpc__signals_forget(void)
{
	for (int i = 0; i < SERVES_MAX; i++)
		atomic_store(&stop_fds[i], 0);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_IGN); /* a terminal's goes to the parent too, whose end is ours */
}

static void on_signal(int number)
{
	(void)number;
	vmrpc_serve_stop();
}

/* Installs our handler unless the program has its own. */
static bool take_signal(int number, struct sigaction *ret_old)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	if (sigaction(number, NULL, ret_old) < 0 || ret_old->sa_flags & SA_SIGINFO || ret_old->sa_handler != SIG_DFL)
		return false;
	return sigaction(number, &action, NULL) == 0;
}

int vmrpc_serve(const struct vmrpc_service *service, const char *address)
{
	struct vmrpc_server *server = NULL;
	struct sigaction old_int, old_term;
	bool took_int, took_term;
	int slot = 0, expected = 0;
	int r = vmrpc_server_new(&server);

	if (r == 0)
		r = vmrpc_server_add(server, service, address);
	if (r < 0) {
		vmrpc_server_free(server);
		return r;
	}
	while (slot < SERVES_MAX && !atomic_compare_exchange_strong(&stop_fds[slot], &expected, server->stop_fd + 1)) {
		expected = 0;
		slot++;
	}
	if (slot == SERVES_MAX) {
		vmrpc_server_free(server);
		return vmrpc__fail(EMFILE,
				   "%d vmrpc_serve() run in this process already: use a struct vmrpc_server instead",
				   SERVES_MAX);
	}
	took_int = take_signal(SIGINT, &old_int);
	took_term = take_signal(SIGTERM, &old_term);
	do
		r = vmrpc_server_dispatch(server, -1);
	while (r == 0);
	if (took_int)
		sigaction(SIGINT, &old_int, NULL);
	if (took_term)
		sigaction(SIGTERM, &old_term, NULL);
	atomic_store(&stop_fds[slot], 0);
	vmrpc_server_free(server);
	return r == -ESHUTDOWN ? 0 : r;
}
