/* A server of lab, as a puppet, that looks at itself. */
#ifndef CHECKED_SERVER_H
#define CHECKED_SERVER_H

#include "puppet.h"
#include "serve.h"
#include "world.h"

static inline void checked_arena(struct vmrpc__arena *arena)
{
	const char *why;

	if (!vmrpc__arena_is_valid(arena, &why))
		TEST_FAIL("the heap's invariants are broken: %s", why);
}

/* On 'c' it checks the heaps of all its clients. */
static inline void checked_server(int fd, const char *address)
{
	struct vmrpc_server *server;
	char what = 0;

	CHECK_OK(vmrpc_server_new(&server));
	CHECK_OK(vmrpc_server_add(server, &lab_server_service, address));
	while (what != 'e') {
		struct pollfd pollfds[] = {{.fd = vmrpc_server_fd(server), .events = POLLIN},
					   {.fd = fd, .events = POLLIN}};

		CHECK(poll(pollfds, 2, -1) > 0);
		CHECK_OK(vmrpc_server_dispatch(server, 0));
		if (!pollfds[1].revents)
			continue;
		CHECK_EQ(recv(fd, &what, 1, 0), 1);
		if (what == 'c') {
			pthread_mutex_lock(&server->lock);
			for (struct vmrpc__client *client = server->clients; client; client = client->next)
				if (client->served)
					checked_arena(client->conn.session->arena);
			pthread_mutex_unlock(&server->lock);
		}
		if (what == 'e')
			vmrpc_server_free(server);
		puppet_answer(fd, 0);
	}
}

#endif
