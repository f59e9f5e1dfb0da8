/* What the files of the server share. */
#ifndef VMRPC_SERVE_H
#define VMRPC_SERVE_H

#include "internal.h"

/* Something the server's epoll watches: first member of each. */
struct vmrpc__source {
	void (*ready)(struct vmrpc_server *server, struct vmrpc__source *source, uint32_t events);
};

struct vmrpc__endpoint { /* an address, and the services offered there */
	struct vmrpc__source source;
	struct vmrpc__address address;
	struct vmrpc__listener *listener;
	const struct vmrpc_service **services;
	unsigned n_services;
	bool paused; /* not accepting for now */
	struct vmrpc__endpoint *next;
};

struct vmrpc__client { /* somebody connected: heard by a thread at first, then served */
	struct vmrpc__source source;
	struct vmrpc conn;
	struct vmrpc_server *server;
	struct vmrpc__endpoint *endpoint;
	int64_t since;	 /* when it connected */
	bool served;	 /* the handshake is over */
	bool hurried;	 /* hung up on before that, to make room */
	bool over;	 /* dead; its threads may still run */
	bool scan_again; /* a channel could not be opened yet */
	struct vmrpc__client *next;
};

struct vmrpc__child { /* isolate=fork: the process that serves one client */
	struct vmrpc__source source;
	int fd; /* its end hangs up when it dies, ours tells it that we did */
	pid_t pid;
	struct vmrpc__child *next;
};

struct vmrpc_server {
	int epoll_fd, stop_fd, timer_fd;
	_Atomic bool stopping;
	struct vmrpc__source stop, timer;
	struct vmrpc__endpoint *endpoints;
	struct vmrpc__child *children;

	pthread_mutex_t lock; /* of all below */
	pthread_cond_t heard; /* n_hearing fell */
	unsigned n_hearing;   /* handshakes under way */
	struct vmrpc__client *clients;
	struct vmrpc_stats past;
	int64_t timer_ns; /* until the next look after the dead; 0: none is due */
};

int vmrpc__server_watch(struct vmrpc_server *server, int fd, struct vmrpc__source *source);
/* Makes the timer look after dead clients and paused endpoints soon. */
void vmrpc__server_soon(struct vmrpc_server *server);
/* Takes a client in: its handshake, in the calling thread, and on success its place among those served. */
struct vmrpc__client *vmrpc__client_new(struct vmrpc_server *server, struct vmrpc__endpoint *endpoint,
					struct vmrpc__link *link);
int vmrpc__client_hear(struct vmrpc__client *client);
void vmrpc__client_free(struct vmrpc__client *client);

/* isolate.c: serves the client behind link in a process of its own. Takes the link. */
int vmrpc__isolate(struct vmrpc_server *server, struct vmrpc__endpoint *endpoint, struct vmrpc__link *link);
void vmrpc__children_end(struct vmrpc_server *server);
void vmrpc__signals_forget(void); /* serve_signals.c: in such a process */

#endif
