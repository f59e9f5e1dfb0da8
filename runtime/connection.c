/* Connections: opened, made anew after their server's death or in a fork child, and closed. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"

#define HANDSHAKE_MS 10000   /* for a server that accepts but does not answer */
#define ANSWER_MS    1000    /* of these, what it gets at least, whatever timeout= says */
#define KEPT_DEAD    4	     /* sessions of dead servers that stay mapped, for pointers to what the servers allocated */
#define RETRY_NS     2000000 /* between looks for a server that is starting */

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER; /* of the list and of bindings */
static struct vmrpc *list;
static pthread_mutex_t implicit_lock = PTHREAD_MUTEX_INITIALIZER; /* of opening services' own connections */
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* ---- forks ----------------------------------------------------------------------------------------------- */

static void before_fork(void)
{
	pthread_mutex_lock(&list_lock);
	pthread_mutex_lock(&vmrpc__registry_lock);
	vmrpc__threads_lock();
}

static void after_fork(void)
{
	vmrpc__threads_unlock();
	pthread_mutex_unlock(&vmrpc__registry_lock);
	pthread_mutex_unlock(&list_lock);
}

/* The child has the memory, but the connections are its parent's: each is made anew when it is first used. */
static void in_child(void)
{
	pthread_mutex_init(&list_lock, NULL);
	pthread_mutex_init(&implicit_lock, NULL);
	for (struct vmrpc *conn = list; conn; conn = conn->next) {
		pthread_mutex_init(&conn->lock, NULL);
		pthread_mutex_init(&conn->objects_lock, NULL);
	}
	vmrpc__registry_forget();
	vmrpc__threads_forget();
	vmrpc__caches_forget();
	vmrpc__monitor_forget();
}

static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork, in_child);
}

void vmrpc__forks_watch(void)
{
	pthread_once(&fork_once, watch_forks);
}

/* ---- sessions of a connection ---------------------------------------------------------------------------- */

static bool worth_waiting_for(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -EAGAIN || error == -EPIPE;
}

static int open_session(struct vmrpc *conn, struct vmrpc__session **ret_session)
{
	const struct vmrpc__options *options = &conn->address.options;
	const int64_t patience = options->timeout_ms > 0 ? options->timeout_ms : 0;
	const int64_t give_up = vmrpc__deadline(patience);
	/* A server that is there gets a while to answer, however short a time calls are given. */
	const int64_t hear = options->timeout_ms < 0 ? HANDSHAKE_MS : patience > ANSWER_MS ? patience : ANSWER_MS;
	struct vmrpc__session *session;
	int r;

	for (;;) {
		r = vmrpc__session_new(&session, VMRPC__CLIENT, conn);
		if (r < 0)
			return r;
		r = conn->address.backend->connect(&session->link, &conn->address);
		if (r == 0)
			r = vmrpc__handshake_client(session, vmrpc__deadline(hear));
		if (r == 0)
			r = vmrpc__monitor_add(session);
		if (r == 0)
			break;
		vmrpc__session_unref(session);
		if (!worth_waiting_for(r) || vmrpc__now() >= give_up)
			return r;
		nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
	}
	vmrpc__registry_add(session);
	*ret_session = session;
	return 0;
}

/* Lets go of dead sessions in which nobody waits and nothing is allocated any more. What their servers allocated cannot
 * be seen from here, so the last few stay all the same. conn->lock is held. */
static void bury(struct vmrpc *conn)
{
	struct vmrpc__session **link = &conn->old;
	unsigned n = 0;

	while (*link) {
		struct vmrpc__session *session = *link;

		if (session->inherited || n++ < KEPT_DEAD || !vmrpc__arena_is_idle(session->arena) ||
		    atomic_load(&conn->allocating) || vmrpc__session_kick(session)) {
			link = &session->next;
			continue;
		}
		*link = session->next;
		vmrpc__monitor_remove(session);
		vmrpc__stats_add(session, &conn->past);
		vmrpc__session_unref(session);
	}
}

int vmrpc__connection_session(struct vmrpc *conn, struct vmrpc__session **ret_session)
{
	struct vmrpc__session *session, *dead, *orphaned = NULL;
	int r = 0;

	if (conn->side == VMRPC__SERVER)
		return vmrpc__fail(
			EINVAL,
			"this is a server's end of a connection: it serves calls and makes callbacks, no calls");
	pthread_mutex_lock(&conn->lock);
	session = conn->session;
	if (!session || atomic_load(&session->ended)) {
		dead = session;
		r = open_session(conn, &session);
		if (r < 0 && dead)
			vmrpc__fail_because(-r, "the server is gone, and connecting anew failed");
		if (r == 0) {
			atomic_store_explicit(&conn->session, session, memory_order_release);
			if (dead) {
				if (!dead->inherited) {
					orphaned = dead;
					vmrpc__session_ref(orphaned);
				}
				dead->next = conn->old;
				conn->old = dead;
				atomic_fetch_add_explicit(&conn->reconnects, 1, memory_order_relaxed);
				bury(conn);
			}
		}
	}
	if (r == 0) {
		vmrpc__session_ref(session);
		*ret_session = session;
	}
	pthread_mutex_unlock(&conn->lock);
	if (orphaned) {
		/* Without the lock: a heap that becomes empty by it takes that (heap_setup.c). */
		vmrpc__arena_orphan(orphaned->arena);
		vmrpc__session_unref(orphaned);
	}
	return r;
}

/* ---- opening and closing --------------------------------------------------------------------------------- */

static int check_methods(const struct vmrpc_service *service, const struct vmrpc_method *methods, uint32_t n)
{
	if (n > UINT16_MAX)
		return vmrpc__fail(EINVAL, "service %s has %u methods: at most %d are possible", service->name, n,
				   UINT16_MAX);
	for (uint32_t i = 0; i < n; i++)
		if (!methods[i].name || methods[i].frame_size % 8 || methods[i].frame_size > VMRPC_FRAME_MAX ||
		    methods[i].result_offset % 8 || methods[i].result_offset > methods[i].frame_size)
			return vmrpc__fail(
				EINVAL,
				"service %s, method %u: a frame is a multiple of 8 bytes, up to %u, and its results "
				"begin at a multiple of 8 in it",
				service->name, i, VMRPC_FRAME_MAX);
	return 0;
}

int vmrpc__service_check(const struct vmrpc_service *service)
{
	int r;

	if (!service || service->abi != VMRPC_STUB_ABI)
		return vmrpc__fail(
			EPROTONOSUPPORT,
			"the stubs of this service were made for another libvmrpc (ABI %u, this one has %u): generate "
			"them anew",
			service ? service->abi : 0, VMRPC_STUB_ABI);
	if (!service->name || !*service->name || strlen(service->name) >= VMRPC__NAME_MAX || !service->binding)
		return vmrpc__fail(EINVAL, "a service needs a name of up to %d letters, and a binding",
				   VMRPC__NAME_MAX - 1);
	r = check_methods(service, service->methods, service->n_methods);
	return r < 0 ? r : check_methods(service, service->callbacks, service->n_callbacks);
}

/* The smallest number no connection has. list_lock is held. */
static uint32_t free_id(void)
{
	for (uint32_t id = 0;; id++) {
		struct vmrpc *conn = list;

		while (conn && conn->id != id)
			conn = conn->next;
		if (!conn)
			return id;
	}
}

int vmrpc_connect(struct vmrpc **ret_conn, const struct vmrpc_service *service, const char *address)
{
	struct vmrpc__session *session;
	struct vmrpc *conn;
	int r = vmrpc__service_check(service);

	if (r < 0)
		return r;
	vmrpc__forks_watch();
	conn = calloc(1, sizeof *conn);
	if (!conn)
		return vmrpc__fail(ENOMEM, "no memory for a connection");
	conn->side = VMRPC__CLIENT;
	conn->service = service;
	pthread_mutex_init(&conn->lock, NULL);
	pthread_mutex_init(&conn->objects_lock, NULL);
	r = vmrpc__address_parse(&conn->address, address, service->name);
	if (r == 0)
		r = vmrpc__connection_session(conn, &session);
	if (r < 0) {
		vmrpc__address_clear(&conn->address);
		pthread_mutex_destroy(&conn->lock);
		free(conn);
		return r;
	}
	vmrpc__session_unref(session);
	pthread_mutex_lock(&list_lock);
	conn->id = free_id();
	conn->next = list;
	list = conn;
	if (!service->binding->conn)
		__atomic_store_n(&service->binding->conn, conn, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&list_lock);
	*ret_conn = conn;
	return 0;
}

int vmrpc__connection_of(const struct vmrpc_service *service, struct vmrpc **ret_conn)
{
	int r = 0;

	pthread_mutex_lock(&implicit_lock);
	*ret_conn = __atomic_load_n(&service->binding->conn, __ATOMIC_ACQUIRE);
	if (!*ret_conn)
		r = vmrpc_connect(ret_conn, service, NULL);
	pthread_mutex_unlock(&implicit_lock);
	return r;
}

static void take_off_list(struct vmrpc *conn)
{
	struct vmrpc **link = &list;

	pthread_mutex_lock(&list_lock);
	while (*link && *link != conn)
		link = &(*link)->next;
	if (*link)
		*link = conn->next;
	if (conn->service->binding->conn == conn) {
		struct vmrpc *other = list;

		while (other && other->service != conn->service)
			other = other->next;
		__atomic_store_n(&conn->service->binding->conn, other, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&list_lock);
}

void vmrpc_close(struct vmrpc *conn)
{
	struct vmrpc__session *session;

	if (!conn || conn->side == VMRPC__SERVER)
		return;
	vmrpc__threads_drop(conn->id);
	take_off_list(conn); /* and only now may another connection have its id */
	session = conn->session;
	if (session) {
		vmrpc__monitor_remove(session);
		if (session->link)
			vmrpc__session_end(session, -EPIPE);
		if (session->inherited)
			vmrpc__channels_forget(session);
		vmrpc__session_unref(session);
	}
	while (conn->old) {
		session = conn->old;
		conn->old = session->next;
		vmrpc__monitor_remove(session);
		if (session->inherited)
			vmrpc__channels_forget(session);
		vmrpc__session_unref(session);
	}
	vmrpc__heaps_free(conn);
	vmrpc__objects_free(conn);
	vmrpc__address_clear(&conn->address);
	pthread_mutex_destroy(&conn->lock);
	pthread_mutex_destroy(&conn->objects_lock);
	free(conn);
}

ptrdiff_t vmrpc_offset(const struct vmrpc *conn)
{
	const struct vmrpc__session *session = atomic_load_explicit(&conn->session, memory_order_acquire);

	return session ? session->offset : 0;
}

/* ---- for the heap ---------------------------------------------------------------------------------------- */

static struct vmrpc *default_connection(void)
{
	struct vmrpc *conn = vmrpc_current();

	if (conn)
		return conn;
	pthread_mutex_lock(&list_lock);
	conn = list && !list->next ? list : NULL;
	if (!conn)
		vmrpc__fail(EINVAL, list ? "there are several connections: say which one's memory to allocate"
					 : "there is no connection whose memory to allocate");
	pthread_mutex_unlock(&list_lock);
	return conn;
}

struct vmrpc__arena *vmrpc__arena_of(struct vmrpc *conn, struct vmrpc **ret_conn)
{
	struct vmrpc__session *session;
	int r;

	if (!conn)
		conn = default_connection();
	if (!conn) {
		errno = EINVAL;
		return NULL;
	}
	*ret_conn = conn;
	if (conn->side == VMRPC__SERVER)
		return conn->session->arena;
	/* Before the session is looked up, under the lock that bury() holds: it sees this, or we a living session. */
	atomic_fetch_add_explicit(&conn->allocating, 1, memory_order_relaxed);
	r = vmrpc__connection_session(conn, &session);
	if (r < 0) {
		vmrpc__arena_done(conn);
		errno = -r;
		return NULL;
	}
	vmrpc__session_unref(session);
	return session->arena;
}

void vmrpc__arena_done(struct vmrpc *conn)
{
	if (conn->side == VMRPC__CLIENT)
		/* Release: whatever was done with the arena, before bury() frees it. */
		atomic_fetch_sub_explicit(&conn->allocating, 1, memory_order_release);
}
