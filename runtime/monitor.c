/* The client's thread that watches its servers: the one way to learn of a death while polling or asleep.
 * There is one for the whole process while it has connections; it sleeps unless something happens. */
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"

#define RECHECK_MS 20 /* until every waiter of a dead session has looked up */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t thread;
static int epoll_fd = -1, stop_fd = -1;
static struct vmrpc__session *watched; /* by watch_next */
static unsigned n_watched;

/* Kicks the waiters of dead sessions. lock is held. True if there may be more to do. */
static bool tend_the_dead(void)
{
	bool more = false;

	for (struct vmrpc__session *session = watched; session; session = session->watch_next)
		if (atomic_load_explicit(&session->ended, memory_order_relaxed) && session->tended) {
			session->tended = vmrpc__session_kick(session);
			more = more || session->tended;
		}
	return more;
}

static void *monitor(void *arg)
{
	const int epoll = (int)(intptr_t)arg;
	int timeout = -1;

	for (;;) {
		struct epoll_event events[16];
		int n = epoll_wait(epoll, events, 16, timeout);

		pthread_mutex_lock(&lock);
		for (int i = 0; i < n; i++) {
			struct vmrpc__session *session = watched;

			if (!events[i].data.ptr) {
				pthread_mutex_unlock(&lock);
				return NULL;
			}
			while (session && session != events[i].data.ptr) /* it may have been removed meanwhile */
				session = session->watch_next;
			if (!session)
				continue;
			if (!(events[i].events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) &&
			    session->link->backend->rung(session->link) == 0)
				continue;
			epoll_ctl(epoll, EPOLL_CTL_DEL, session->link->backend->fd(session->link), NULL);
			vmrpc__session_end(session, -EPIPE);
			session->tended = true;
		}
		timeout = tend_the_dead() ? RECHECK_MS : -1;
		pthread_mutex_unlock(&lock);
	}
}

/* lock is held. */
static int start(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	sigset_t all, old;
	int r;

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (epoll_fd < 0 || stop_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, stop_fd, &event) < 0) {
		r = vmrpc__fail(errno, "could not watch the server: %s", strerror(errno));
		goto out;
	}
	/* Signals are for the program's own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, NULL, monitor, (void *)(intptr_t)epoll_fd);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == 0)
		return 0;
	r = vmrpc__fail(r, "could not start the thread that watches the server: %s", strerror(r));
out:
	if (epoll_fd >= 0)
		close(epoll_fd);
	if (stop_fd >= 0)
		close(stop_fd);
	epoll_fd = stop_fd = -1;
	return r;
}

int vmrpc__monitor_add(struct vmrpc__session *session)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = session};
	int r = 0;

	pthread_mutex_lock(&lock);
	if (n_watched == 0)
		r = start();
	if (r == 0) {
		session->watch_next = watched;
		watched = session;
		n_watched++;
		session->watched = true;
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, session->link->backend->fd(session->link), &event) < 0)
			r = vmrpc__fail(errno, "could not watch the server: %s", strerror(errno));
	}
	pthread_mutex_unlock(&lock);
	if (r < 0)
		vmrpc__monitor_remove(session);
	return r;
}

void vmrpc__monitor_remove(struct vmrpc__session *session)
{
	struct vmrpc__session **link = &watched;
	bool stop = false;

	pthread_mutex_lock(&lock);
	if (session->watched) {
		while (*link != session)
			link = &(*link)->watch_next;
		*link = session->watch_next;
		session->watched = false;
		if (session->link)
			epoll_ctl(epoll_fd, EPOLL_CTL_DEL, session->link->backend->fd(session->link), NULL);
		stop = --n_watched == 0;
	}
	if (stop) {
		pthread_t ending = thread;
		int fds[] = {epoll_fd, stop_fd};

		epoll_fd = stop_fd = -1;
		eventfd_write(fds[1], 1);
		pthread_mutex_unlock(&lock);
		pthread_join(ending, NULL);
		close(fds[0]);
		close(fds[1]);
		return;
	}
	pthread_mutex_unlock(&lock);
}

void vmrpc__monitor_forget(void)
{
	/* The thread stayed in the parent; the sessions are no longer of interest. */
	for (struct vmrpc__session *session = watched; session; session = session->watch_next)
		session->watched = false;
	watched = NULL;
	n_watched = 0;
	if (epoll_fd >= 0)
		close(epoll_fd);
	if (stop_fd >= 0)
		close(stop_fd);
	epoll_fd = stop_fd = -1;
	pthread_mutex_init(&lock, NULL);
}
