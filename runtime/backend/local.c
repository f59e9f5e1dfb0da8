/* local: two processes of one machine. They meet at a Unix socket, share a memfd that the server makes and seals
 * against shrinking, and sleep on futexes in it. The socket stays open: its hang-up is the peer's death. */
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../internal.h"
#include "backend.h"

struct local_link {
	struct vmrpc__link link;
	int fd;
};

struct local_listener {
	struct vmrpc__listener listener;
	int fd;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	dev_t device; /* of the socket we made, so that we remove no other */
	ino_t inode;
	const struct vmrpc__options *options;
};

#define BACKLOG		  128
#define DIRECTORY_LOCK_MS 2000
#define CONNECT_QUEUE_MS  5000 /* how long to stand in line for a server that is busy accepting */

static struct local_link *local(const struct vmrpc__link *link)
{
	return (struct local_link *)link;
}

/* ---- where sockets are ----------------------------------------------------------------------------------- */

/* The path for where, in the user's own folder (or the system's, where system is set or there is no other). */
static int socket_path(const char *where, bool system, struct sockaddr_un *ret_address)
{
	const char *own = secure_getenv("XDG_RUNTIME_DIR");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int length;

	if (!*where)
		return vmrpc__fail(
			EINVAL,
			"local: needs a name or a path behind the colon, such as local:calc or local:/run/calc.sock");
	if (strchr(where, '/'))
		length = snprintf(address.sun_path, sizeof address.sun_path, "%s", where);
	else if (strcmp(where, ".") == 0 || strcmp(where, "..") == 0)
		return vmrpc__fail(EINVAL, "local:%s is no name for a service", where);
	else if (own && *own == '/' && !system)
		length = snprintf(address.sun_path, sizeof address.sun_path, "%s/vmrpc/%s", own, where);
	else
		length = snprintf(address.sun_path, sizeof address.sun_path, "/run/vmrpc/%s", where);
	if (length < 0 || (size_t)length >= sizeof address.sun_path)
		return vmrpc__fail(
			ENAMETOOLONG,
			"local:%s makes a socket path of %d bytes, and %zu are possible: choose a shorter one", where,
			length, sizeof address.sun_path - 1);
	*ret_address = address;
	return 0;
}

/* Opens the folder of path, made if it is one of ours, and locks it, so that servers claim names one at a time. */
static int lock_directory(const char *path, bool ours)
{
	char directory[PATH_MAX];
	char *slash;
	int fd;
	int64_t deadline = vmrpc__deadline(DIRECTORY_LOCK_MS);

	snprintf(directory, sizeof directory, "%s", path);
	slash = strrchr(directory, '/');
	slash[slash == directory] = 0;
	if (ours && mkdir(directory, strncmp(directory, "/run/vmrpc", 10) == 0 ? 0755 : 0700) < 0 && errno != EEXIST)
		return vmrpc__fail(
			errno,
			"could not make the folder %s for sockets: %s; set XDG_RUNTIME_DIR to a folder of your "
			"own, or serve at local:/some/path",
			directory, strerror(errno));
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return vmrpc__fail(errno, "could not open the folder %s: %s", directory, strerror(errno));
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK || vmrpc__now() > deadline) {
			int r = vmrpc__fail(
				errno == EWOULDBLOCK ? EBUSY : errno,
				"could not lock the folder %s to claim a name in it: another process holds it",
				directory);
			close(fd);
			return r;
		}
		poll(NULL, 0, 5);
	}
	return fd;
}

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	return fd < 0 ? vmrpc__fail(errno, "could not make a socket: %s", strerror(errno)) : fd;
}

/* ---- server ---------------------------------------------------------------------------------------------- */

/* 0 when nobody serves at address; what a dead server left there is gone then. The folder is locked. */
static int clear_stale(const struct sockaddr_un *address)
{
	struct stat status;
	int fd, r;

	if (lstat(address->sun_path, &status) < 0)
		return errno == ENOENT
			       ? 0
			       : vmrpc__fail(errno, "could not look at %s: %s", address->sun_path, strerror(errno));
	if (!S_ISSOCK(status.st_mode))
		return vmrpc__fail(EEXIST, "%s exists and is no socket: serve elsewhere, or remove it",
				   address->sun_path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vmrpc__fail(errno, "could not make a socket: %s", strerror(errno));
	r = connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? -errno : 0;
	if (r == 0 || r == -EAGAIN) {
		struct ucred peer = {0};
		socklen_t length = sizeof peer;

		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
		r = vmrpc__fail(EADDRINUSE,
				"%s is served already, by process %d: stop that one, or choose another name",
				address->sun_path, (int)peer.pid);
	} else if (r != -ECONNREFUSED && r != -ENOENT) {
		r = vmrpc__fail(-r, "%s is taken by something else: %s", address->sun_path, strerror(-r));
	} else if (unlink(address->sun_path) < 0 && errno != ENOENT) {
		r = vmrpc__fail(errno, "could not remove %s, left by a dead server: %s", address->sun_path,
				strerror(errno));
	} else {
		r = 0;
	}
	close(fd);
	return r;
}

static int local_listen(struct vmrpc__listener **ret_listener, const struct vmrpc__address *where)
{
	struct local_listener *listener = NULL;
	struct sockaddr_un address;
	struct stat status;
	bool others = where->options.allow_any || where->options.n_allow, bound = false;
	int directory, r;

	r = socket_path(where->where, false, &address);
	if (r < 0)
		return r;
	directory = lock_directory(address.sun_path, !strchr(where->where, '/'));
	if (directory < 0)
		return directory;
	r = clear_stale(&address);
	if (r < 0)
		goto out;
	listener = calloc(1, sizeof *listener);
	if (!listener) {
		r = vmrpc__fail(ENOMEM, "no memory for a server");
		goto out;
	}
	listener->listener.backend = &vmrpc__backend_local;
	listener->options = &where->options;
	memcpy(listener->path, address.sun_path, sizeof listener->path);
	listener->fd = r = new_socket();
	if (r < 0)
		goto out;
	bound = bind(listener->fd, (struct sockaddr *)&address, sizeof address) == 0;
	if (!bound || chmod(address.sun_path, others ? 0666 : 0600) < 0 || listen(listener->fd, BACKLOG) < 0 ||
	    stat(address.sun_path, &status) < 0 || fcntl(listener->fd, F_SETFL, O_NONBLOCK) < 0) {
		r = vmrpc__fail(errno, "could not serve at %s: %s", address.sun_path, strerror(errno));
		goto out;
	}
	listener->device = status.st_dev;
	listener->inode = status.st_ino;
	*ret_listener = &listener->listener;
	r = 0;
out:
	if (r < 0) {
		if (bound)
			unlink(address.sun_path);
		if (listener && listener->fd > 0)
			close(listener->fd);
		free(listener);
	}
	close(directory);
	return r;
}

static int local_listener_fd(const struct vmrpc__listener *listener)
{
	return ((const struct local_listener *)listener)->fd;
}

static void local_unlisten(struct vmrpc__listener *base, bool remove)
{
	struct local_listener *listener = (struct local_listener *)base;
	struct stat status;

	if (!listener)
		return;
	if (remove && stat(listener->path, &status) == 0 && status.st_dev == listener->device &&
	    status.st_ino == listener->inode)
		unlink(listener->path);
	close(listener->fd);
	free(listener);
}

static bool allowed(const struct vmrpc__options *options, uid_t uid)
{
	if (options->allow_any || uid == geteuid())
		return true;
	for (unsigned i = 0; i < options->n_allow; i++)
		if (options->allow[i] == uid)
			return true;
	return false;
}

static struct local_link *new_link(int fd)
{
	struct local_link *link = calloc(1, sizeof *link);
	struct ucred peer;
	socklen_t length = sizeof peer;

	if (!link)
		return NULL;
	link->link.backend = &vmrpc__backend_local;
	link->link.same_user = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == geteuid();
	link->fd = fd;
	return link;
}

static int local_accept(struct vmrpc__listener *base, struct vmrpc__link **ret_link)
{
	struct local_listener *listener = (struct local_listener *)base;
	struct local_link *link;
	struct ucred peer;
	socklen_t length = sizeof peer;
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return errno == EAGAIN || errno == ECONNABORTED || errno == EINTR
			       ? -EAGAIN
			       : vmrpc__fail(errno, "could not accept a client: %s", strerror(errno));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 || !allowed(listener->options, peer.uid)) {
		struct vmrpc__ready_message refused = {.kind = VMRPC__REFUSED, .error = EACCES};

		snprintf(refused.text, sizeof refused.text,
			 "user %u may not use this server: its owner can allow that with allow=%u", peer.uid, peer.uid);
		send(fd, &refused, sizeof refused, MSG_NOSIGNAL | MSG_DONTWAIT);
		close(fd);
		return -EAGAIN;
	}
	link = new_link(fd);
	if (!link) {
		close(fd);
		return vmrpc__fail(ENOMEM, "no memory for a client");
	}
	*ret_link = &link->link;
	return 0;
}

/* ---- client ---------------------------------------------------------------------------------------------- */

static int explain_connect(const char *path, int error)
{
	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
		return vmrpc__fail(
			error, "no server is at %s: start it, or give timeout= to wait for one that is starting", path);
	case EAGAIN:
		return vmrpc__fail(EAGAIN, "the server at %s is too busy to take another client", path);
	case EACCES:
		return vmrpc__fail(EACCES, "no permission to reach %s: its owner can allow that with allow=%u", path,
				   geteuid());
	case EPROTOTYPE:
	case ENOTSOCK:
		return vmrpc__fail(EPROTO, "%s is no server of vmrpc", path);
	default:
		return vmrpc__fail(error, "could not reach %s: %s", path, strerror(error));
	}
}

static int local_connect(struct vmrpc__link **ret_link, const struct vmrpc__address *where)
{
	const struct timeval queue = {.tv_sec = CONNECT_QUEUE_MS / 1000};
	struct sockaddr_un address, second;
	struct local_link *link;
	int fd, r;

	r = socket_path(where->where, false, &address);
	if (r < 0)
		return r;
	fd = new_socket();
	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &queue, sizeof queue);
	r = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
	if (r == ENOENT && socket_path(where->where, true, &second) == 0 &&
	    connect(fd, (struct sockaddr *)&second, sizeof second) == 0)
		r = 0;
	if (r || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		close(fd);
		return explain_connect(address.sun_path, r ? r : errno);
	}
	link = new_link(fd);
	if (!link) {
		close(fd);
		return vmrpc__fail(ENOMEM, "no memory for a connection");
	}
	*ret_link = &link->link;
	return 0;
}

/* ---- handshake messages ---------------------------------------------------------------------------------- */

static int wait_ready(int fd, short events, int64_t deadline)
{
	for (;;) {
		struct pollfd pollfd = {.fd = fd, .events = events};
		int64_t left = deadline - vmrpc__now();
		int r;

		if (left <= 0)
			return vmrpc__fail(ETIMEDOUT, "the peer did not answer in time while connecting");
		left = left / 1000000 + 1;
		r = poll(&pollfd, 1, left > INT_MAX ? INT_MAX : (int)left);
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return vmrpc__fail(errno, "could not wait for the peer: %s", strerror(errno));
	}
}

static int peer_gone(void)
{
	return vmrpc__fail(EPIPE, "the peer went away while connecting");
}

static int send_message(struct local_link *link, const void *message, size_t size, int pass_fd, int64_t deadline)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec part = {.iov_base = (void *)message, .iov_len = size};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

	if (pass_fd >= 0) {
		header.msg_control = control.bytes;
		header.msg_controllen = sizeof control.bytes;
		CMSG_FIRSTHDR(&header)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&header)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&header)->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), &pass_fd, sizeof pass_fd);
	}
	for (;;) {
		int r;

		if (sendmsg(link->fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno == EPIPE || errno == ECONNRESET)
			return peer_gone();
		if (errno != EAGAIN && errno != EINTR)
			return vmrpc__fail(errno, "could not send to the peer: %s", strerror(errno));
		r = wait_ready(link->fd, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
}

/* The size of the message, whose descriptor, if any, goes to *ret_fd. */
static int recv_message(struct local_link *link, void *ret_message, size_t capacity, int *ret_fd, int64_t deadline)
{
	bool reset = false;

	for (;;) {
		union {
			char bytes[CMSG_SPACE(4 * sizeof(int))];
			struct cmsghdr align;
		} control;
		struct iovec part = {.iov_base = ret_message, .iov_len = capacity};
		struct msghdr header = {.msg_iov = &part,
					.msg_iovlen = 1,
					.msg_control = control.bytes,
					.msg_controllen = sizeof control.bytes};
		ssize_t size = recvmsg(link->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		int r;

		if (size >= 0) {
			for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
				if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
					continue;
				for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
					int fd;

					memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
					if (ret_fd && *ret_fd < 0)
						*ret_fd = fd;
					else
						close(fd);
				}
			}
			if (size == 0)
				return peer_gone();
			if (header.msg_flags & MSG_TRUNC)
				return vmrpc__fail(EPROTO, "the peer sent a message longer than any of vmrpc's");
			return (int)size;
		}
		/* A peer that closes with our message unread resets the socket, but its last words are still there. */
		if (errno == ECONNRESET && !reset) {
			reset = true;
			continue;
		}
		if (errno == ECONNRESET)
			return peer_gone();
		if (errno != EAGAIN && errno != EINTR)
			return vmrpc__fail(errno, "could not hear from the peer: %s", strerror(errno));
		r = wait_ready(link->fd, POLLIN, deadline);
		if (r < 0)
			return r;
	}
}

static int local_send(struct vmrpc__link *link, const void *message, size_t size, int64_t deadline)
{
	return send_message(local(link), message, size, -1, deadline);
}

static int local_recv(struct vmrpc__link *link, void *ret_message, size_t capacity, int64_t deadline)
{
	return recv_message(local(link), ret_message, capacity, NULL, deadline);
}

/* ---- memory ---------------------------------------------------------------------------------------------- */

static int local_region_create(struct vmrpc__link *link, struct vmrpc__region *region)
{
	size_t size = atomic_load_explicit(&region->size, memory_order_relaxed);
	int fd = memfd_create("vmrpc", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)link;
	if (fd < 0)
		return vmrpc__fail(errno, "could not make shared memory: %s", strerror(errno));
	/* Sealed, so that neither side can make the other's loads fault. */
	if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
		int r = vmrpc__fail(errno, "could not make %zuM of shared memory: %s; lower heap=", size >> 20,
				    strerror(errno));

		close(fd);
		return r;
	}
	region->fd = fd;
	return 0;
}

static int local_region_offer(struct vmrpc__link *link, const struct vmrpc__region *region, const void *message,
			      size_t size)
{
	return send_message(local(link), message, size, region->fd, vmrpc__deadline(1000));
}

static int local_region_accept(struct vmrpc__link *link, struct vmrpc__region *region, void *ret_message,
			       size_t capacity, int64_t deadline)
{
	const struct vmrpc__region_message *offer = ret_message;
	struct stat status;
	int seals, r;

	region->fd = -1;
	r = recv_message(local(link), ret_message, capacity, &region->fd, deadline);
	if (r != (int)sizeof *offer || offer->kind != VMRPC__REGION)
		return r; /* a refusal, perhaps */
	if (region->fd < 0)
		return vmrpc__fail(EPROTO, "the server offers memory and gives none: it is none of vmrpc's");
	seals = fcntl(region->fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return vmrpc__fail(EPROTO, "the server offers memory that it could take away: it is none of vmrpc's");
	if (fstat(region->fd, &status) < 0 || (uint64_t)status.st_size < offer->size)
		return vmrpc__fail(EPROTO, "the server offers less memory than it says: it is none of vmrpc's");
	return r;
}

static int local_region_grow(struct vmrpc__region *region, size_t new_size)
{
	struct stat status;

	/* The client can grow the file as well: what it made exist is then simply there. */
	if (fstat(region->fd, &status) < 0 ||
	    ((uint64_t)status.st_size < new_size && ftruncate(region->fd, (off_t)new_size) < 0))
		return vmrpc__fail(errno, "could not grow shared memory to %zuM: %s", new_size >> 20, strerror(errno));
	return 0;
}

static void local_region_discard(struct vmrpc__region *region, size_t offset, size_t size)
{
	madvise(region->base + offset, size, MADV_REMOVE);
}

/* ---- sleeping -------------------------------------------------------------------------------------------- */

static int local_wait(struct vmrpc__link *link, _Atomic uint32_t *word, uint32_t value, int64_t deadline)
{
	struct timespec until = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};

	(void)link;
	/* Without FUTEX_PRIVATE_FLAG: the word lies in memory of two processes. The deadline is absolute. */
	if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, deadline == VMRPC__FOREVER ? NULL : &until, NULL,
		    FUTEX_BITSET_MATCH_ANY) < 0 &&
	    errno == ETIMEDOUT)
		return -ETIMEDOUT;
	return 0;
}

static void local_wake(struct vmrpc__link *link, _Atomic uint32_t *word)
{
	(void)link;
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* ---- ringing and death ----------------------------------------------------------------------------------- */

static int local_fd(const struct vmrpc__link *link)
{
	return local(link)->fd;
}

static int local_ring(struct vmrpc__link *link)
{
	/* A full queue is fine: the peer has rings to answer that it has not seen yet. */
	if (send(local(link)->fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
		return -EPIPE;
	return 0;
}

static int local_rung(struct vmrpc__link *link)
{
	char byte;

	for (int i = 0; i < 64; i++) { /* a peer that rings without end must not keep us here */
		ssize_t size = recv(local(link)->fd, &byte, 1, MSG_DONTWAIT);

		if (size == 0)
			return -EPIPE;
		if (size < 0 && errno != EINTR)
			return errno == EAGAIN ? 0 : -EPIPE;
	}
	return 0;
}

static void local_hang_up(struct vmrpc__link *link)
{
	shutdown(local(link)->fd, SHUT_RDWR);
}

static void local_close(struct vmrpc__link *link)
{
	if (!link)
		return;
	close(local(link)->fd);
	free(link);
}

const struct vmrpc__backend vmrpc__backend_local = {
	.name = "local",
	.where = "NAME",
	.shares_cpus = true,
	.listen = local_listen,
	.listener_fd = local_listener_fd,
	.accept = local_accept,
	.unlisten = local_unlisten,
	.connect = local_connect,
	.send = local_send,
	.recv = local_recv,
	.region_create = local_region_create,
	.region_offer = local_region_offer,
	.region_accept = local_region_accept,
	.region_grow = local_region_grow,
	.region_discard = local_region_discard,
	.wait = local_wait,
	.wake = local_wake,
	.fd = local_fd,
	.ring = local_ring,
	.rung = local_rung,
	.hang_up = local_hang_up,
	.close = local_close,
};
