/* How two parties find each other, share memory and wake each other. One const ops struct per backend, one
 * file each; nothing outside this folder knows which one is in use.
 *
 * A link is one client process and one server process that have found each other. It carries the messages
 * of the handshake, then falls silent: from there on calls pass through the region, and the link is only
 * rung (the peer should look at its doorplates) and watched (the peer has died). */
#ifndef VMRPC_BACKEND_H
#define VMRPC_BACKEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vmrpc__address;
struct vmrpc__region;
struct vmrpc__backend;

/* First member of every backend's own struct. */
struct vmrpc__link {
	const struct vmrpc__backend *backend;
	bool same_user; /* the peer is a process of our own user: trusted unless told otherwise */
};

struct vmrpc__listener {
	const struct vmrpc__backend *backend;
};

/* Times are absolute, in ns of CLOCK_MONOTONIC; VMRPC__FOREVER has no end. */
#define VMRPC__FOREVER INT64_MAX

/* All return 0 or a negative errno with the thread's error message set, unless said otherwise. */
struct vmrpc__backend {
	const char *name;
	const char *where; /* what may stand behind the colon, for error messages */
	bool shares_cpus;  /* both sides number the processors alike */

	/* Server: claims the address. Refuses one that a living server holds (-EADDRINUSE), replaces what a dead one
	 * left. */
	int (*listen)(struct vmrpc__listener **ret_listener, const struct vmrpc__address *address);
	/* A descriptor readable when accept has something. */
	int (*listener_fd)(const struct vmrpc__listener *listener);
	/* -EAGAIN when nobody waits. Refuses users who are not allowed, by itself, with a message to them. */
	int (*accept)(struct vmrpc__listener *listener, struct vmrpc__link **ret_link);
	/* remove: also takes away what listen put into the file system. Without it only this process's hold
	 * is dropped (fork children). NULL is fine. */
	void (*unlisten)(struct vmrpc__listener *listener, bool remove);

	/* Client: finds the server, once. */
	int (*connect)(struct vmrpc__link **ret_link, const struct vmrpc__address *address);

	/* Handshake messages, whole or not at all. recv returns the size; -EPIPE when the peer is gone. */
	int (*send)(struct vmrpc__link *link, const void *message, size_t size, int64_t deadline);
	int (*recv)(struct vmrpc__link *link, void *ret_message, size_t capacity, int64_t deadline);

	/* Server: makes region->size bytes of zeroed memory that will never shrink, to be given with offer. Does not
	 * map. */
	int (*region_create)(struct vmrpc__link *link, struct vmrpc__region *region);
	/* Server: as send, and hands over the memory. Client: as recv, and takes it. */
	int (*region_offer)(struct vmrpc__link *link, const struct vmrpc__region *region, const void *message,
			    size_t size);
	int (*region_accept)(struct vmrpc__link *link, struct vmrpc__region *region, void *ret_message, size_t capacity,
			     int64_t deadline);
	/* Server: makes bytes up to new_size exist. */
	int (*region_grow)(struct vmrpc__region *region, size_t new_size);
	/* Gives back the pages of a range; its bytes are zero afterwards. Best effort. */
	void (*region_discard)(struct vmrpc__region *region, size_t offset, size_t size);

	/* Sleeps while *word == value, until woken, or the deadline. Returns 0 also when woken for nothing, or
	 * -ETIMEDOUT. No message is set: the caller knows better what it waited for. */
	int (*wait)(struct vmrpc__link *link, _Atomic uint32_t *word, uint32_t value, int64_t deadline);
	/* Wakes the peer, or a thread of this process, that sleeps on word. */
	void (*wake)(struct vmrpc__link *link, _Atomic uint32_t *word);

	/* A descriptor readable when the peer rang or died. */
	int (*fd)(const struct vmrpc__link *link);
	/* Rings the peer. */
	int (*ring)(struct vmrpc__link *link);
	/* Takes all pending rings; 0, or -EPIPE when the peer has died. No message. */
	int (*rung)(struct vmrpc__link *link);
	/* Tells the peer, who sees it as our death. The link may still be waited on and woken. */
	void (*hang_up)(struct vmrpc__link *link);
	void (*close)(struct vmrpc__link *link);
};

extern const struct vmrpc__backend vmrpc__backend_local;

/* The backend called name (of length bytes), or NULL with errno and a message that lists those there are. */
const struct vmrpc__backend *vmrpc__backend_find(const char *name, size_t length);

#endif
