/* What the files of the runtime share.
 *
 * conn (struct vmrpc)      what the user holds; survives its server: a new session takes the place of a dead one
 * session                  one client process bound to one server through one region; both sides have one
 * channel                  one client thread's lane in a session, and at the server the thread that serves it
 * turn                     whose go it is on a channel's cell: see wire.h
 * thread                   what this library knows of a thread of this process
 *
 * Locks, in the order they may be taken: conn->lock, registry lock, session->lock. None is held while a call is out
 * or while user code runs. */
#ifndef VMRPC_INTERNAL_H
#define VMRPC_INTERNAL_H

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vmrpc/error.h>
#include <vmrpc/server.h>
#include <vmrpc/stack.h>
#include <vmrpc/stats.h>
#include <vmrpc/stub.h>
#include <vmrpc/vmrpc.h>

#include "backend/backend.h"
#include "heap.h"
#include "options.h"
#include "rpc_stack.h"
#include "wire.h"

#define vmrpc__likely(x)   __builtin_expect(!!(x), 1)
#define vmrpc__unlikely(x) __builtin_expect(!!(x), 0)

#ifdef VMRPC_HAVE_SDT
#include <sys/sdt.h>
#define VMRPC__PROBE2(name, a, b) DTRACE_PROBE2(vmrpc, name, a, b)
#else
#define VMRPC__PROBE2(name, a, b) ((void)(a), (void)(b))
#endif

/* ThreadSanitizer sees what our threads do, but not what the peer does in between, such as handing a block that one of
 * them used to another. What we tell the peer of a session comes before what we hear from it. */
#if defined(__SANITIZE_THREAD__)
#define VMRPC__WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VMRPC__WITH_TSAN 1
#endif
#endif
#ifdef VMRPC__WITH_TSAN
#include <sanitizer/tsan_interface.h>
#define VMRPC__TELLS(session)	  __tsan_release((session)->arena)
#define VMRPC__HEARS(session)	  __tsan_acquire((session)->arena)
#define VMRPC__HEARS_FREES(arena) __tsan_acquire(arena)
#else
#define VMRPC__TELLS(session)	  ((void)(session))
#define VMRPC__HEARS(session)	  ((void)(session))
#define VMRPC__HEARS_FREES(arena) ((void)(arena))
#endif

/* ---- error.c --------------------------------------------------------------------------------------------- */

/* Stores this thread's error message and returns -error. */
int vmrpc__fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, putting words before the message there is. */
int vmrpc__fail_because(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
void vmrpc__error_reset(void);
/* Hands a failure to the handler; the default one prints it, with what could be done about it, and aborts. */
void vmrpc__failed(const struct vmrpc_failure *failure, const char *advice);

/* ---- region.c -------------------------------------------------------------------------------------------- */

struct vmrpc__region {
	unsigned char *base; /* NULL while not mapped */
	_Atomic size_t size; /* bytes that exist; grows only */
	size_t reserved;     /* bytes of address space */
	int fd;
	bool locked;
};

/* Lays a region out, or refuses sizes that make no sense. */
int vmrpc__layout_plan(struct vmrpc__control *ret_layout, uint32_t n_channels, size_t stack_size, size_t heap_size);
/* Checks a control page the peer wrote (a private copy of it). */
int vmrpc__layout_check(const struct vmrpc__control *layout, size_t region_size, size_t region_reserved);
/* Maps region->fd at address, or where the kernel likes when that is 0, or at a place both sides are likely to have
 * free when it is VMRPC__PLACE_GOOD + n (the n-th try). -EEXIST when address is taken, without a message. */
int vmrpc__region_map(struct vmrpc__region *region, uintptr_t address);
#define VMRPC__PLACE_GOOD ((uintptr_t)1)
/* Whether to try and map it where the peer says: never where null pointers lead, and at the word of a peer that is not
 * trusted only at places that are good for it: not in the way of stacks, and not to try out what is mapped here. */
bool vmrpc__region_may_lie_at(const struct vmrpc__region *region, uint64_t address, bool trust);
void vmrpc__region_unmap(struct vmrpc__region *region);
int vmrpc__region_lock(struct vmrpc__region *region);
/* Whether these bytes exist, beyond the control page. */
bool vmrpc__region_holds(const struct vmrpc__region *region, uint64_t offset, uint64_t size, size_t alignment);

/* ---- session.c ------------------------------------------------------------------------------------------- */

enum vmrpc__side { VMRPC__CLIENT, VMRPC__SERVER };

struct vmrpc__counters { /* written by one thread, read by any */
	_Atomic uint64_t calls, async_calls, callbacks, wakes, sleeps;
};

struct vmrpc__heap_range { /* server: a heap added by vmrpc_heap_setup */
	struct vmrpc__session *session;
	size_t offset, size; /* client's half; the server's half follows */
	bool open;	     /* the server allocates from its half */
	bool dropping, client_dropped, server_empty;
	struct vmrpc__heap_range *next;
};

struct vmrpc__session {
	enum vmrpc__side side;
	bool trust; /* we believe the peer */
	bool peer_trusts;
	bool may_spin;	   /* the two sides can run at the same time */
	bool registered;   /* in the list of sessions */
	bool inherited;	   /* of the parent of this fork child: only its memory may be looked at */
	_Atomic int ended; /* 0, or the negative errno every call gets from now on */
	_Atomic unsigned refs;
	struct vmrpc *conn;
	const struct vmrpc_service *service;
	const struct vmrpc__options *options;
	struct vmrpc__link *link;
	struct vmrpc__region region;
	ptrdiff_t offset; /* the server's address of the region less the client's */
	struct vmrpc__control layout;
	struct vmrpc__arena *arena;

	/* Server: what the client's numbers mean. */
	const struct vmrpc_method **methods; /* NULL where refused */
	uint32_t n_methods;
	uint32_t *callbacks; /* our callback's number at the client, or UINT32_MAX */
	/* Client: why the server refuses a method: a positive errno, or 0. */
	uint8_t *verdicts;
	/* And what the first of those look like there that differ. */
	struct {
		uint32_t method;
		char *text;
	} layouts[VMRPC__LAYOUTS];

	pthread_mutex_t lock; /* of all below */
	pthread_cond_t threads_gone;
	struct vmrpc__channel **channels; /* layout.n_channels of them */
	uint32_t *generations;		  /* of the doorplates */
	uint32_t n_open;
	uint32_t n_threads;			/* server: running */
	uint32_t start_tries;			/* server: in vain */
	struct vmrpc__counters past;		/* of closed channels */
	struct vmrpc__heap_range *heaps;	/* by offset */
	struct vmrpc__handles *_Atomic handles; /* server: pass/handles.c */
	struct vmrpc__left *left;		/* client: pass/left.c */
	uint64_t serial;			/* of this session among all of this process */
	uint64_t secret;			/* what identities of results are mixed with */
	struct vmrpc__session *next; /* client: sessions of a conn that died with blocks in use; server: all */
	struct vmrpc__session *registry_next, **registry_link;
	struct vmrpc__session *watch_next; /* client: monitor.c */
	bool watched, tended;
};

int vmrpc__session_new(struct vmrpc__session **ret_session, enum vmrpc__side side, struct vmrpc *conn);
/* Sets up arena and channels on a mapped region whose layout is known. */
int vmrpc__session_begin(struct vmrpc__session *session);
/* No call gets through from now on; everyone who waits is told. First error wins. Any thread. */
void vmrpc__session_end(struct vmrpc__session *session, int error);
/* Wakes the threads of this process that wait in the session, so that they look at ended. True if any may still be. */
bool vmrpc__session_kick(struct vmrpc__session *session);
void vmrpc__session_ref(struct vmrpc__session *session);
void vmrpc__session_unref(struct vmrpc__session *session);
struct vmrpc__channel_block *vmrpc__session_block(const struct vmrpc__session *session, uint32_t index);
struct vmrpc__doorplate *vmrpc__session_doorplate(const struct vmrpc__session *session, uint32_t index);

/* Whether the peer may have us look at these bytes, none of which lies in the guard page of an RPC stack. */
bool vmrpc__session_holds(const struct vmrpc__session *session, uint64_t offset, uint64_t size, size_t alignment);

/* All sessions of this process, for addresses and forks. Locked by vmrpc__registry_lock. */
extern pthread_mutex_t vmrpc__registry_lock;
void vmrpc__registry_add(struct vmrpc__session *session);
void vmrpc__registry_remove(struct vmrpc__session *session);
void vmrpc__registry_forget(void); /* in a fork child */

/* ---- channel.c ------------------------------------------------------------------------------------------- */

struct vmrpc__patience {	     /* how long to poll before sleeping: wait.c; times are in pauses */
	uint32_t quick, quick_max;   /* the first look, inline */
	uint32_t budget, budget_max; /* the second */
	bool pointless;		     /* the peer is on our processor */
	uint32_t failures;	     /* in a row */
	uint32_t countdown;	     /* waits until the whole budget is tried again */
};

struct vmrpc__channel {
	/* Touched by each call. */
	_Alignas(VMRPC__LINE) struct vmrpc__cell *cell;
	struct vmrpc__session *session;
	struct vmrpc *conn;
	uint32_t turn;		/* last one published or received */
	_Atomic uint32_t depth; /* messages being served or waited for by the thread */
	uint32_t heard;		/* head of the last message from the peer */
	uint32_t cpu;		/* where this thread was last seen, as it stands in a head */
	struct vmrpc__cell *ring;
	uint32_t ring_next;   /* client: cell to fill; server: cell to take */
	uint32_t ring_done;   /* client: calls known done; server: last published */
	_Atomic bool closing; /* server: the client is done with this channel */
	bool owed;	      /* a call timed out: its reply is still to come, the turn is not ours */
	bool earlier;	      /* the last failure was that of an earlier, asynchronous call */
	bool guarded;	      /* client: the RPC stack is read-only now */
	bool unwaited;	      /* server: asynchronous calls were run since the last wait */
	bool smashed;	      /* server: a method overran the client's RPC stack */
	bool unattended;      /* server: an asynchronous call is being run, whose caller does not wait */
	struct vmrpc__patience patience;
	struct vmrpc__counters counters;

	/* The rest. */
	uint32_t index, generation;
	uint64_t posted_at;   /* client: counters.calls plus one when it last posted a call; 0: never */
	int async_error;      /* server: first failure of an asynchronous call not yet reported */
	unsigned char *spill; /* our spill area */
	size_t spill_used;
	struct vmrpc__channel_block *block;
	struct vmrpc__doorplate *doorplate;
	struct vmrpc__rpc_stack stack;
	bool stack_ready;
	uint32_t stack_calls; /* client: vmrpc_stack_call()s the thread is in */
	bool close_later;     /* client: when the last of those returns */
};

/* Client: the calling thread's channel of conn, opened if need be, on a living session (reconnects). */
int vmrpc__channel_get(struct vmrpc__channel **ret_channel, struct vmrpc *conn);
/* Client: ends a channel; of its own thread, or of any once the session has ended or no one can call. */
void vmrpc__channel_close(struct vmrpc__channel *channel);
/* Client: after a time-out. The channel is closed for when the server is done; the thread's next call opens another. */
void vmrpc__channel_abandon(struct vmrpc__channel *channel);
/* In a fork child: frees what the parent's threads had of an inherited session. */
void vmrpc__channels_forget(struct vmrpc__session *session);
int vmrpc__channel_stack(struct vmrpc__channel *channel);
/* Makes this process's thread that waits on the channel look up. */
void vmrpc__channel_kick(struct vmrpc__channel *channel);
/* Server: looks at all doorplates, starts and stops threads. -EAGAIN: call again soon. */
int vmrpc__channels_scan(struct vmrpc__session *session);

/* ---- wait.c ---------------------------------------------------------------------------------------------- */

int64_t vmrpc__now(void);
int64_t vmrpc__deadline(int64_t timeout_ms); /* negative: forever */

void vmrpc__patience_begin(struct vmrpc__channel *channel);

/* Waits for the peer's next message. 0: it is there, and channel->turn is its. 1: a call is in the ring (server).
 * Else -EPIPE, -EPROTO (the session's end), -ETIMEDOUT, -ESHUTDOWN (server: channel closing), -EAGAIN (client: the
 * server could not open the channel). timeout in ms, negative: none. */
int vmrpc__wait_slowly(struct vmrpc__channel *channel, int64_t timeout_ms);
/* Client: waits until the ring has room. */
int vmrpc__wait_for_room(struct vmrpc__channel *channel, int64_t timeout_ms);
void vmrpc__wake(struct vmrpc__channel *channel, _Atomic uint32_t *word);
/* Whether the processors given (ours and the peer's) are more than one. */
bool vmrpc__may_spin(const uint64_t *mine, const uint64_t *peers);
void vmrpc__cpus(uint64_t *ret_cpus);

/* ---- call.c ---------------------------------------------------------------------------------------------- */

/* Makes one waiting call on the channel, as either side, serving what the peer calls meanwhile. */
int vmrpc__call(struct vmrpc__channel *channel, uint32_t kind, uint32_t number, const struct vmrpc_method *method,
		void *frame, int64_t timeout_ms);
/* Client: tells the server's thread, without waiting, that there will be no more calls. */
void vmrpc__say_bye(struct vmrpc__channel *channel);
/* Server: serves messages until the channel ends. */
void vmrpc__serve_channel(struct vmrpc__channel *channel);
extern const struct vmrpc_method vmrpc__system_methods[];
/* Runs a method on a private frame, with all that its tables say. */
int vmrpc__run(struct vmrpc__channel *channel, const struct vmrpc_method *method, void *frame);

/* ---- async.c --------------------------------------------------------------------------------------------- */

int vmrpc__post(struct vmrpc__channel *channel, uint32_t number, const struct vmrpc_method *method, const void *frame,
		int64_t timeout_ms);
/* Server: whether the ring holds a call. */
static inline bool vmrpc__ring_ready(const struct vmrpc__channel *channel)
{
	/* Acquire: the cell's words, written before its state (vmrpc__post). Seq-cst for vmrpc__wait_slowly's sake. */
	return atomic_load_explicit(&channel->ring[channel->ring_next % VMRPC__RING_CELLS].state,
				    memory_order_seq_cst) == channel->ring_next + 1;
}
/* Server: runs all calls in the ring. */
int vmrpc__ring_drain(struct vmrpc__channel *channel);
/* Server: runs what a client left in the ring that said goodbye, even though the session may have ended since. */
void vmrpc__ring_finish(struct vmrpc__channel *channel);

/* ---- pass/: what happens to pointers and handles in a frame ------------------------------------------------------ */

struct vmrpc__thread;

/* Client: vmrpc__call and vmrpc__post for methods whose frames hold more than bits. A failure that happens here leaves
 * its message and sets refused in vmrpc__self. */
int vmrpc__pass_call(struct vmrpc__channel *channel, uint32_t number, const struct vmrpc_method *method, void *frame,
		     int64_t timeout_ms);
int vmrpc__pass_post(struct vmrpc__channel *channel, uint32_t number, const struct vmrpc_method *method, void *frame,
		     int64_t timeout_ms);
/* Server: makes frame what the method wants, calls run(arg), and makes what it gave back ready to travel. */
int vmrpc__pass_serve(struct vmrpc__channel *channel, const struct vmrpc_method *method, void *frame,
		      int (*run)(void *arg), void *arg);
/* Server: closes what a client that is gone left open. */
void vmrpc__handles_free(struct vmrpc__session *session);
/* Client: forgets what calls left behind that timed out. */
void vmrpc__left_free(struct vmrpc__session *session);
/* Client: frees what results of this thread, or handles of this connection, took. */
void vmrpc__borrowed_free(struct vmrpc__thread *thread);
void vmrpc__objects_free(struct vmrpc *conn);

/* ---- system.c: calls of the runtime itself ------------------------------------------------------------------ */

int vmrpc__system_serve(struct vmrpc__channel *channel, uint32_t number, uint64_t *words);

/* ---- handshake.c ----------------------------------------------------------------------------------------- */

int vmrpc__handshake_client(struct vmrpc__session *session, int64_t deadline);
int vmrpc__handshake_server(struct vmrpc__session *session, int64_t deadline);

/* ---- connection.c ---------------------------------------------------------------------------------------- */

struct vmrpc {
	enum vmrpc__side side;
	uint32_t id; /* place in every thread's table of channels */
	const struct vmrpc_service *service;
	struct vmrpc__address address;
	struct vmrpc__session *_Atomic session; /* NULL: none now */
	pthread_mutex_t lock;			/* of connecting anew */
	_Atomic unsigned allocating;		/* threads that look for its arena */
	struct vmrpc_stats past;		/* of sessions that are gone */
	struct vmrpc__session *old;		/* dead ones whose memory is still in use, by next */
	_Atomic uint64_t reconnects;
	struct vmrpc_heap *heaps;
	struct vmrpc__objects *objects; /* that stand for handles: pass/keep.c */
	pthread_mutex_t objects_lock;
	struct vmrpc *next;
};

struct vmrpc_heap { /* heap_setup.c */
	struct vmrpc *conn;
	struct vmrpc__session *session;
	size_t offset, size; /* of the client's half; the server's half follows */
	bool destroyed;	     /* our half is given back; the server's may have blocks we hold */
	struct vmrpc_heap *next;
};

int vmrpc__service_check(const struct vmrpc_service *service);
void vmrpc__heaps_free(struct vmrpc *conn);
/* A living session of conn, with a reference for the caller. */
int vmrpc__connection_session(struct vmrpc *conn, struct vmrpc__session **ret_session);
void vmrpc__forks_watch(void);
/* The service's own connection, opened if need be. */
int vmrpc__connection_of(const struct vmrpc_service *service, struct vmrpc **ret_conn);

/* ---- stats.c --------------------------------------------------------------------------------------------- */

/* Adds what the session has counted. */
void vmrpc__stats_add(struct vmrpc__session *session, struct vmrpc_stats *stats);

/* ---- monitor.c: the client's thread that watches servers -------------------------------------------------------- */

int vmrpc__monitor_add(struct vmrpc__session *session);
void vmrpc__monitor_remove(struct vmrpc__session *session);
void vmrpc__monitor_forget(void); /* in a fork child */

/* ---- serve.c --------------------------------------------------------------------------------------------- */

/* The service that a client asks for by name, among those offered where it came in; or a refusal. */
int vmrpc__server_find(struct vmrpc__session *session, const char *name, const struct vmrpc_service **ret_service);

/* ---- thread.c -------------------------------------------------------------------------------------------- */

struct vmrpc__thread {
	struct vmrpc__channel *_Atomic *channels; /* by conn->id */
	uint32_t n_channels;
	struct vmrpc__channel *serving; /* whose call this thread serves */
	struct vmrpc__thread *next, **link;
	uintptr_t stack_low; /* of its native stack; 0: not looked up yet */
	bool lost;	     /* its last call that failed got no answer: not the method failed, but the connection */
	bool refused;	     /* its last call failed on this side, and why has been said */
	struct vmrpc__borrowed *borrowed; /* results that live until the next call: pass/keep.c */
	char message[1024];
};

extern _Thread_local struct vmrpc__thread *vmrpc__self __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* This thread's, made if need be; NULL when there is no memory. */
struct vmrpc__thread *vmrpc__thread_get(void);
/* Remembers the channel for conn->id. */
int vmrpc__thread_set_channel(struct vmrpc__thread *thread, uint32_t id, struct vmrpc__channel *channel);
/* Takes conn->id's channel out of every thread's table and closes it. */
void vmrpc__threads_drop(uint32_t id);
/* Around a fork: no other thread is in the middle of the list. */
void vmrpc__threads_lock(void);
void vmrpc__threads_unlock(void);
/* In a fork child: there is only this thread, and it has no channels. */
void vmrpc__threads_forget(void);

#endif
