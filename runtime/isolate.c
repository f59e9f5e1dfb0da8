/* isolate=fork: a process per connection, so that a method that crashes takes only its own client's service along. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve.h"

/* In the child: lets go of all that is the parent's. */
static void drop_parent(struct vmrpc_server *parent, struct vmrpc__endpoint *keep)
{
	for (struct vmrpc__endpoint *endpoint = parent->endpoints; endpoint; endpoint = endpoint->next)
		endpoint->address.backend->unlisten(endpoint->listener, false);
	for (struct vmrpc__child *child = parent->children; child; child = child->next)
		close(child->fd);
	close(parent->epoll_fd);
	close(parent->stop_fd);
	close(parent->timer_fd);
	keep->listener = NULL;
	keep->next = NULL;
}

static void parent_died(struct vmrpc_server *server, struct vmrpc__source *source, uint32_t events)
{
	(void)source;
	(void)events;
	atomic_store(&server->stopping, true);
}

static _Noreturn void serve_one(struct vmrpc_server *parent, struct vmrpc__endpoint *endpoint, struct vmrpc__link *link,
				int parent_fd)
{
	struct vmrpc__source source = {parent_died};
	struct vmrpc_server *server;
	struct vmrpc__client *client;

	drop_parent(parent, endpoint);
	vmrpc__signals_forget();
	if (vmrpc_server_new(&server) < 0 || vmrpc__server_watch(server, parent_fd, &source) < 0)
		_exit(1);
	client = vmrpc__client_new(server, endpoint, link);
	if (!client || vmrpc__client_hear(client) < 0)
		_exit(1);
	server->clients = client;
	/* Not until its threads have ended: nobody waits for methods that still run. */
	while (vmrpc_server_dispatch(server, -1) == 0 && server->clients && !server->clients->over)
		;
	_exit(0);
}

static void remove_child(struct vmrpc_server *server, struct vmrpc__child *child)
{
	struct vmrpc__child **link = &server->children;

	pthread_mutex_lock(&server->lock);
	while (*link != child)
		link = &(*link)->next;
	*link = child->next;
	pthread_mutex_unlock(&server->lock);
	/* A child forked since may still have a copy of it: closing ours would not end the watch. */
	epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, child->fd, NULL);
	close(child->fd);
	free(child);
}

static void child_ready(struct vmrpc_server *server, struct vmrpc__source *source, uint32_t events)
{
	struct vmrpc__child *child = (struct vmrpc__child *)source;

	(void)events; /* children say nothing: it can only have died */
	waitpid(child->pid, NULL, 0);
	remove_child(server, child);
}

int vmrpc__isolate(struct vmrpc_server *server, struct vmrpc__endpoint *endpoint, struct vmrpc__link *link)
{
	struct vmrpc__child *child = calloc(1, sizeof *child);
	int pair[2], r;

	if (!child || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		r = child ? -errno : -ENOMEM;
		goto fail;
	}
	child->source.ready = child_ready;
	child->pid = fork();
	if (child->pid == 0) {
		close(pair[0]);
		free(child);
		serve_one(server, endpoint, link, pair[1]);
	}
	r = child->pid < 0 ? -errno : 0;
	close(pair[1]);
	if (r == 0)
		r = vmrpc__server_watch(server, pair[0], &child->source);
	if (r < 0) {
		close(pair[0]);
		goto fail;
	}
	child->fd = pair[0];
	pthread_mutex_lock(&server->lock);
	child->next = server->children;
	server->children = child;
	pthread_mutex_unlock(&server->lock);
	link->backend->close(link);
	return 0;
fail:
	free(child);
	link->backend->close(link);
	return r;
}

void vmrpc__children_end(struct vmrpc_server *server)
{
	while (server->children) {
		struct vmrpc__child *child = server->children;
		pid_t pid = child->pid;

		remove_child(server, child); /* closes our end: it ends as soon as its loop sees that */
		waitpid(pid, NULL, 0);
	}
}
