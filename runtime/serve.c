/* Servers: one loop accepts clients, opens their channels and buries the dead. Calls run on threads of their own. */
#include "serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define HEARING_MAX  64	   /* handshakes at a time; more clients wait in the socket's queue */
#define HANDSHAKE_MS 10000 /* for a client that connects but says nothing */
#define HURRY_MS     500   /* for one that does so while others wait to be heard */
#define TIMER_MIN_NS 1000000
#define TIMER_MAX_NS 100000000

int vmrpc__server_watch(struct vmrpc_server *server, int fd, struct vmrpc__source *source)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = source};

	return epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0
		       ? vmrpc__fail(errno, "could not watch a descriptor: %s", strerror(errno))
		       : 0;
}

/* ---- the timer ------------------------------------------------------------------------------------------- */

static void set_timer(struct vmrpc_server *server, int64_t ns)
{
	struct itimerspec spec = {.it_value = {ns / 1000000000, ns % 1000000000}};

	server->timer_ns = ns;
	timerfd_settime(server->timer_fd, 0, &spec, NULL);
}

void vmrpc__server_soon(struct vmrpc_server *server)
{
	pthread_mutex_lock(&server->lock);
	set_timer(server, TIMER_MIN_NS);
	pthread_mutex_unlock(&server->lock);
}

/* Where clients wait to be heard, those that say nothing lose their place. The server's lock is held. */
static void hurry(struct vmrpc_server *server)
{
	const int64_t before = vmrpc__now() - (int64_t)HURRY_MS * 1000000;

	for (struct vmrpc__client *client = server->clients; client; client = client->next)
		if (!client->served && !client->hurried && client->since < before) {
			client->hurried = true;
			client->conn.session->link->backend->hang_up(client->conn.session->link);
		}
}

static void resume_endpoints(struct vmrpc_server *server)
{
	for (struct vmrpc__endpoint *endpoint = server->endpoints; endpoint; endpoint = endpoint->next) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &endpoint->source};

		if (endpoint->paused && server->n_hearing < HEARING_MAX) {
			endpoint->paused = false;
			epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD,
				  endpoint->address.backend->listener_fd(endpoint->listener), &event);
		}
	}
}

static void pause_endpoint(struct vmrpc_server *server, struct vmrpc__endpoint *endpoint)
{
	struct epoll_event event = {.events = 0, .data.ptr = &endpoint->source};

	pthread_mutex_lock(&server->lock);
	endpoint->paused = true;
	epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, endpoint->address.backend->listener_fd(endpoint->listener), &event);
	set_timer(server, TIMER_MIN_NS);
	pthread_mutex_unlock(&server->lock);
}

/* Kicks the threads of dead clients, frees those that have none left, and tries what could not be done before. */
static void timer_ready(struct vmrpc_server *server, struct vmrpc__source *source, uint32_t events)
{
	struct vmrpc__client **link, *done = NULL;
	bool more = false;
	uint64_t count;

	(void)source;
	(void)events;
	if (read(server->timer_fd, &count, sizeof count) < 0)
		return;
	pthread_mutex_lock(&server->lock);
	for (link = &server->clients; *link;) {
		struct vmrpc__client *client = *link;

		if (client->served && !client->over && client->scan_again)
			client->scan_again = vmrpc__channels_scan(client->conn.session) == -EAGAIN;
		more = more || client->scan_again;
		if (!client->over || vmrpc__session_kick(client->conn.session)) {
			more = more || client->over;
			link = &client->next;
			continue;
		}
		*link = client->next;
		client->next = done;
		done = client;
	}
	resume_endpoints(server);
	if (server->n_hearing >= HEARING_MAX)
		hurry(server);
	for (struct vmrpc__endpoint *endpoint = server->endpoints; endpoint; endpoint = endpoint->next)
		more = more || endpoint->paused;
	if (more)
		set_timer(server, server->timer_ns * 2 < TIMER_MAX_NS ? server->timer_ns * 2 : TIMER_MAX_NS);
	else
		server->timer_ns = 0;
	pthread_mutex_unlock(&server->lock);
	while (done) {
		struct vmrpc__client *client = done;

		done = client->next;
		vmrpc__client_free(client);
	}
}

/* ---- clients --------------------------------------------------------------------------------------------- */

/* The client rang (a channel was opened or given up), or died. */
static void client_ready(struct vmrpc_server *server, struct vmrpc__source *source, uint32_t events)
{
	struct vmrpc__client *client = (struct vmrpc__client *)source;
	struct vmrpc__session *session = client->conn.session;
	struct vmrpc__link *link = session->link;

	if (!(events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) && link->backend->rung(link) == 0) {
		if (vmrpc__channels_scan(session) == -EAGAIN) {
			client->scan_again = true;
			vmrpc__server_soon(server);
		}
		return;
	}
	epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, link->backend->fd(link), NULL);
	vmrpc__channels_scan(session); /* what it posted before it went is run, in channels not seen yet too */
	vmrpc__session_end(session, -EPIPE);
	pthread_mutex_lock(&server->lock);
	client->over = true;
	pthread_mutex_unlock(&server->lock);
	vmrpc__server_soon(server);
}

struct vmrpc__client *vmrpc__client_new(struct vmrpc_server *server, struct vmrpc__endpoint *endpoint,
					struct vmrpc__link *link)
{
	struct vmrpc__client *client = calloc(1, sizeof *client);
	struct vmrpc__session *session;

	if (!client)
		return NULL;
	client->source.ready = client_ready;
	client->since = vmrpc__now();
	client->server = server;
	client->endpoint = endpoint;
	client->conn.side = VMRPC__SERVER;
	client->conn.service = endpoint->services[0];
	client->conn.address.options = endpoint->address.options;
	pthread_mutex_init(&client->conn.lock, NULL);
	if (vmrpc__session_new(&session, VMRPC__SERVER, &client->conn) < 0) {
		free(client);
		return NULL;
	}
	session->link = link;
	client->conn.session = session;
	return client;
}

void vmrpc__client_free(struct vmrpc__client *client)
{
	struct vmrpc_stats *past = &client->server->past, stats = {0};
	struct vmrpc__session *session = client->conn.session;

	if (client->served) {
		vmrpc__stats_add(session, &stats);
		pthread_mutex_lock(&client->server->lock);
		past->calls += stats.calls;
		past->async_calls += stats.async_calls;
		past->callbacks += stats.callbacks;
		past->wakes += stats.wakes;
		past->sleeps += stats.sleeps;
		past->frees_posted += stats.frees_posted;
		pthread_mutex_unlock(&client->server->lock);
	}
	vmrpc__session_unref(session);
	pthread_mutex_destroy(&client->conn.lock);
	free(client);
}

int vmrpc__client_hear(struct vmrpc__client *client)
{
	const struct vmrpc__ready_message ready = {.kind = VMRPC__READY};
	struct vmrpc_server *server = client->server;
	struct vmrpc__session *session = client->conn.session;
	int r = vmrpc__handshake_server(session, vmrpc__deadline(HANDSHAKE_MS));

	vmrpc__session_ref(session); /* the loop may bury the client as soon as it watches it */

	pthread_mutex_lock(&server->lock);
	if (r == 0 && atomic_load(&server->stopping))
		r = -ESHUTDOWN;
	if (r == 0) {
		vmrpc__registry_add(session);
		r = vmrpc__server_watch(server, session->link->backend->fd(session->link), &client->source);
	}
	client->served = r == 0;
	pthread_mutex_unlock(&server->lock);
	/* Last, so that the client's first ring is not missed. Its death from here on is the loop's business. */
	if (r == 0)
		session->link->backend->send(session->link, &ready, sizeof ready, vmrpc__deadline(HANDSHAKE_MS));
	vmrpc__session_unref(session);
	return r;
}

static void *hear(void *arg)
{
	struct vmrpc__client *client = arg, **link;
	struct vmrpc_server *server = client->server;
	bool served = vmrpc__client_hear(client) == 0;

	pthread_mutex_lock(&server->lock);
	if (!served) {
		for (link = &server->clients; *link != client; link = &(*link)->next)
			;
		*link = client->next;
	}
	pthread_mutex_unlock(&server->lock);
	if (!served)
		vmrpc__client_free(client);
	pthread_mutex_lock(&server->lock);
	server->n_hearing--;
	resume_endpoints(server);
	pthread_cond_broadcast(&server->heard);
	pthread_mutex_unlock(&server->lock);
	return NULL;
}

/* Hears a new client in a thread of its own. */
static int receive(struct vmrpc_server *server, struct vmrpc__endpoint *endpoint, struct vmrpc__link *link)
{
	struct vmrpc__client *client = vmrpc__client_new(server, endpoint, link), **at;
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (!client) {
		link->backend->close(link);
		return -ENOMEM;
	}
	pthread_mutex_lock(&server->lock);
	client->next = server->clients;
	server->clients = client;
	server->n_hearing++;
	pthread_mutex_unlock(&server->lock);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, hear, client);
	pthread_attr_destroy(&attr);
	if (r == 0)
		return 0;
	pthread_mutex_lock(&server->lock);
	for (at = &server->clients; *at != client; at = &(*at)->next)
		;
	*at = client->next;
	server->n_hearing--;
	pthread_mutex_unlock(&server->lock);
	vmrpc__client_free(client);
	return -r;
}

static bool can_hear(struct vmrpc_server *server)
{
	bool can;

	pthread_mutex_lock(&server->lock);
	can = server->n_hearing < HEARING_MAX;
	pthread_mutex_unlock(&server->lock);
	return can;
}

static void endpoint_ready(struct vmrpc_server *server, struct vmrpc__source *source, uint32_t events)
{
	struct vmrpc__endpoint *endpoint = (struct vmrpc__endpoint *)source;
	struct vmrpc__link *link;
	int r = 0;

	(void)events;
	while (r == 0 && can_hear(server)) {
		r = endpoint->address.backend->accept(endpoint->listener, &link);
		if (r == 0 && endpoint->address.options.isolate_fork)
			r = vmrpc__isolate(server, endpoint, link);
		else if (r == 0)
			r = receive(server, endpoint, link);
	}
	/* Out of descriptors, memory or threads: better later than in a tight loop. */
	if (r != -EAGAIN)
		pause_endpoint(server, endpoint);
}

int vmrpc__server_find(struct vmrpc__session *session, const char *name, const struct vmrpc_service **ret_service)
{
	struct vmrpc__client *client =
		(struct vmrpc__client *)((char *)session->conn - offsetof(struct vmrpc__client, conn));
	const struct vmrpc__endpoint *endpoint = client->endpoint;
	const struct vmrpc_service *found = NULL;
	char known[256] = "";
	size_t used = 0;

	pthread_mutex_lock(&client->server->lock); /* against vmrpc_server_add() */
	for (unsigned i = 0; i < endpoint->n_services && !found; i++) {
		if (strcmp(endpoint->services[i]->name, name) == 0)
			found = endpoint->services[i];
		if (used < sizeof known)
			used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "",
						 endpoint->services[i]->name);
	}
	pthread_mutex_unlock(&client->server->lock);
	if (found) {
		*ret_service = found;
		return 0;
	}
	return vmrpc__fail(ENOENT, "no service called '%s' is offered here; there are: %s", name, known);
}

/* ---- the server ------------------------------------------------------------------------------------------ */

static void stop_ready(struct vmrpc_server *server, struct vmrpc__source *source, uint32_t events)
{
	(void)source;
	(void)events;
	atomic_store(&server->stopping, true);
}

int vmrpc_server_new(struct vmrpc_server **ret_server)
{
	struct vmrpc_server *server = calloc(1, sizeof *server);
	int r;

	if (!server)
		return vmrpc__fail(ENOMEM, "no memory for a server");
	vmrpc__forks_watch();
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->heard, NULL);
	server->stop.ready = stop_ready;
	server->timer.ready = timer_ready;
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (server->epoll_fd < 0 || server->stop_fd < 0 || server->timer_fd < 0)
		r = vmrpc__fail(errno, "could not make a server's descriptors: %s", strerror(errno));
	else
		r = vmrpc__server_watch(server, server->stop_fd, &server->stop);
	if (r == 0)
		r = vmrpc__server_watch(server, server->timer_fd, &server->timer);
	if (r < 0) {
		vmrpc_server_free(server);
		return r;
	}
	*ret_server = server;
	return 0;
}

/* The endpoint at address, made if there is none yet. */
static int find_endpoint(struct vmrpc_server *server, struct vmrpc__address *address,
			 struct vmrpc__endpoint **ret_endpoint)
{
	struct vmrpc__endpoint *endpoint = server->endpoints;
	int r;

	while (endpoint && strcmp(endpoint->address.text, address->text) != 0)
		endpoint = endpoint->next;
	if (endpoint) {
		*ret_endpoint = endpoint;
		return 0;
	}
	endpoint = calloc(1, sizeof *endpoint);
	if (!endpoint)
		return vmrpc__fail(ENOMEM, "no memory for a server");
	endpoint->source.ready = endpoint_ready;
	endpoint->address = *address;
	r = address->backend->listen(&endpoint->listener, &endpoint->address);
	if (r < 0) {
		free(endpoint);
		return r;
	}
	*address = (struct vmrpc__address){0}; /* the endpoint's now */
	pthread_mutex_lock(&server->lock);
	endpoint->next = server->endpoints;
	server->endpoints = endpoint;
	pthread_mutex_unlock(&server->lock);
	*ret_endpoint = endpoint;
	return 0;
}

int vmrpc_server_add(struct vmrpc_server *server, const struct vmrpc_service *service, const char *address)
{
	struct vmrpc__address parsed = {0};
	struct vmrpc__endpoint *endpoint = NULL;
	const struct vmrpc_service **services;
	int r = vmrpc__service_check(service);

	if (r == 0)
		r = vmrpc__address_parse(&parsed, address, service->name);
	if (r == 0)
		r = find_endpoint(server, &parsed, &endpoint);
	vmrpc__address_clear(&parsed);
	if (r < 0)
		return r;
	pthread_mutex_lock(&server->lock);
	services = realloc(endpoint->services, (endpoint->n_services + 1) * sizeof *services);
	if (services) {
		endpoint->services = services;
		services[endpoint->n_services++] = service;
	}
	pthread_mutex_unlock(&server->lock);
	if (!services)
		return vmrpc__fail(ENOMEM, "no memory for a service");
	/* Nobody is accepted before there is a service. */
	return endpoint->n_services > 1
		       ? 0
		       : vmrpc__server_watch(server, endpoint->address.backend->listener_fd(endpoint->listener),
					     &endpoint->source);
}

int vmrpc_server_fd(const struct vmrpc_server *server)
{
	return server->epoll_fd;
}

int vmrpc_server_dispatch(struct vmrpc_server *server, int timeout_ms)
{
	struct epoll_event events[32];
	int n;

	if (atomic_load(&server->stopping))
		return -ESHUTDOWN;
	n = epoll_wait(server->epoll_fd, events, 32, timeout_ms);
	if (n < 0 && errno != EINTR)
		return vmrpc__fail(errno, "could not wait for clients: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		struct vmrpc__source *source = events[i].data.ptr;

		/* The timer may free clients, whose events would come after it: it goes last. */
		if (source != &server->timer)
			source->ready(server, source, events[i].events);
	}
	for (int i = 0; i < n; i++)
		if (events[i].data.ptr == &server->timer)
			timer_ready(server, &server->timer, events[i].events);
	return atomic_load(&server->stopping) ? -ESHUTDOWN : 0;
}

void vmrpc_server_stop(struct vmrpc_server *server)
{
	atomic_store(&server->stopping, true);
	eventfd_write(server->stop_fd, 1);
}

static void free_endpoints(struct vmrpc_server *server)
{
	while (server->endpoints) {
		struct vmrpc__endpoint *endpoint = server->endpoints;

		server->endpoints = endpoint->next;
		if (endpoint->listener)
			endpoint->address.backend->unlisten(endpoint->listener, true);
		vmrpc__address_clear(&endpoint->address);
		free(endpoint->services);
		free(endpoint);
	}
}

/* Waits until no method of the client runs any more. */
static void wait_for_threads(struct vmrpc__session *session)
{
	pthread_mutex_lock(&session->lock);
	while (session->n_threads) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 20000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&session->threads_gone, &session->lock, &until);
		pthread_mutex_unlock(&session->lock);
		vmrpc__session_kick(session);
		pthread_mutex_lock(&session->lock);
	}
	pthread_mutex_unlock(&session->lock);
}

void vmrpc_server_free(struct vmrpc_server *server)
{
	if (!server)
		return;
	atomic_store(&server->stopping, true);
	/* First nobody new, then those half-way in, then those served. */
	pthread_mutex_lock(&server->lock);
	for (struct vmrpc__endpoint *endpoint = server->endpoints; endpoint; endpoint = endpoint->next) {
		endpoint->address.backend->unlisten(endpoint->listener, true);
		endpoint->listener = NULL;
		endpoint->paused = false;
	}
	for (struct vmrpc__client *client = server->clients; client; client = client->next)
		if (!client->served)
			client->conn.session->link->backend->hang_up(client->conn.session->link);
	while (server->n_hearing)
		pthread_cond_wait(&server->heard, &server->lock);
	pthread_mutex_unlock(&server->lock);
	while (server->clients) {
		struct vmrpc__client *client = server->clients;

		server->clients = client->next;
		vmrpc__session_end(client->conn.session, -EPIPE);
		wait_for_threads(client->conn.session);
		vmrpc__client_free(client);
	}
	vmrpc__children_end(server);
	free_endpoints(server);
	for (int i = 0; i < 3; i++) {
		int fd = (int[]){server->epoll_fd, server->stop_fd, server->timer_fd}[i];

		if (fd >= 0)
			close(fd);
	}
	pthread_mutex_destroy(&server->lock);
	pthread_cond_destroy(&server->heard);
	free(server);
}

int vmrpc_server_stats(struct vmrpc_server *server, struct vmrpc_stats *ret_stats)
{
	struct vmrpc_stats stats;

	pthread_mutex_lock(&server->lock);
	stats = server->past;
	for (struct vmrpc__client *client = server->clients; client; client = client->next)
		if (client->served) {
			vmrpc__stats_add(client->conn.session, &stats);
			stats.clients += !client->over;
		}
	for (struct vmrpc__child *child = server->children; child; child = child->next)
		stats.clients++;
	pthread_mutex_unlock(&server->lock);
	*ret_stats = stats;
	return 0;
}
