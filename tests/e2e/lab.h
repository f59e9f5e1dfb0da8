/* lab: the service that the end-to-end tests call. Its stubs and thunks are written by hand, as vmrpcgen would
 * write them. Pointers in frames are the client's; thunks convert them with vmrpc_offset(). */
#ifndef LAB_H
#define LAB_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vmrpc/stats.h>
#include <vmrpc/stub.h>
#include <vmrpc/vmrpc.h>

#define LAB_BIG_WORDS 500 /* frames of 4000 and 8000 bytes: too large for the cell */

struct lab_big {
	uint64_t words[LAB_BIG_WORDS];
};

struct lab_huge { /* too large for the spill area as well */
	uint64_t words[2000];
};

/* Each returns what vmrpc_stub_call() did, with its result in *ret_result. conn NULL: the service's own. */
int lab_null(struct vmrpc *conn);
int lab_add(struct vmrpc *conn, int64_t a, int64_t b, int64_t *ret_result);
int lab_six(struct vmrpc *conn, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f, int64_t *ret_result);
/* Sums n numbers in the region. */
int lab_sum(struct vmrpc *conn, const int64_t *numbers, size_t n, int64_t *ret_result);
/* Adds one to each word. */
int lab_big(struct vmrpc *conn, const struct lab_big *in, struct lab_big *ret_result);
int lab_huge(struct vmrpc *conn, const struct lab_huge *in, struct lab_huge *ret_result);
/* Asynchronous: appends to the channel's notes; fails when value is negative, with that errno. */
int lab_note(struct vmrpc *conn, int64_t value);
/* How many notes, and whether each was one more than the last. Clears them. */
int lab_notes(struct vmrpc *conn, int64_t *ret_n, int64_t *ret_in_order);
int lab_flush(struct vmrpc *conn);
/* n > 0: calls back on_countdown(n), which is to call lab_countdown(n - 1) again; the depth reached comes back. */
int lab_countdown(struct vmrpc *conn, int64_t n, int64_t *ret_result);
/* A block that the server allocates, filled with byte. */
int lab_make(struct vmrpc *conn, size_t size, int byte, void **ret_block);
/* The server frees it, whoever allocated it. */
int lab_unmake(struct vmrpc *conn, void *block);
int lab_sleep(struct vmrpc *conn, int64_t ms);
/* May be repeated: tells how often this server process has run it. Sleeps first. */
int lab_idempotent(struct vmrpc *conn, int64_t ms, int64_t *ret_pid);
int lab_crash(struct vmrpc *conn);
int lab_pid(struct vmrpc *conn, int64_t *ret_pid);
/* Counts the calls of this thread at the server, in a variable of that thread. */
int lab_thread_counter(struct vmrpc *conn, int64_t *ret_count);
/* Runs on the caller's RPC stack where it may. ret_where: the client's address of a local of the callee. Hands that
 * local, holding value, to the callback on_local, which is to double it; returns it. */
int lab_on_stack(struct vmrpc *conn, int64_t value, int64_t *ret_result, void **ret_where);
/* Runs there too, and overwrites the words between the caller's frames and its own. */
int lab_smash(struct vmrpc *conn);
/* Fails with error (a positive errno). */
int lab_fail(struct vmrpc *conn, int64_t error);
/* Calls the callback on_slow(ms) with a time-out of 50 ms; the error it got. on_slow runs lab_hook(ms) where one is
 * set, else sleeps. */
int lab_slow_callback(struct vmrpc *conn, int64_t ms, int64_t *ret_error);
/* The server calls back on_hook(value), which is lab_hook(value), and hands on its result, or its failure. */
int lab_call_hook(struct vmrpc *conn, int64_t value, int64_t *ret_result);
/* The server thread that serves the caller. */
int lab_tid(struct vmrpc *conn, int64_t *ret_tid);
/* Asynchronous: as lab_note, after sleeping for us microseconds. */
int lab_note_slowly(struct vmrpc *conn, int64_t value, int64_t us);
/* Asynchronous, but its frame is too large for the ring: notes value. */
int lab_note_big(struct vmrpc *conn, int64_t value);
/* Asynchronous: notes what lab_hook(value) at the client returns. */
int lab_note_hook(struct vmrpc *conn, int64_t value);
/* The server sets n bytes from block on. */
int lab_fill(struct vmrpc *conn, void *block, size_t n, int byte);
/* The server's counters of this connection. */
int lab_server_stats(struct vmrpc *conn, struct vmrpc_stats *ret_stats);
/* Runs on the caller's RPC stack where it may: fills n bytes of locals with byte; the client's address of the first. */
int lab_dirty(struct vmrpc *conn, size_t n, int byte, unsigned char **ret_where);
/* Sets *word, in the region, to 1, and waits until it is 2. */
int lab_meet(struct vmrpc *conn, _Atomic int *word);
/* Whether the server sees the one number it is given at the address the client sees it at. */
int lab_same_address(struct vmrpc *conn, const void *pointer, int64_t *ret_same);
/* Stops its server process (vmrpc_serve_stop()), asynchronously. */
int lab_stop_serving(struct vmrpc *conn);

/* This thread's answer to lab_call_hook: a negative one fails. */
extern _Thread_local int64_t (*lab_hook)(int64_t value);
/* This thread's answer to lab_on_stack, instead of doubling the local. */
extern _Thread_local void (*lab_local_hook)(int64_t *local);

extern const struct vmrpc_service lab_service;	      /* client's: callbacks filled in */
extern const struct vmrpc_service lab_server_service; /* server's: methods filled in */

/* Same names, but lab_add has another layout, most methods do not exist, and the others come in another order. */
extern const struct vmrpc_service lab_changed_service;
/* Another service, with one method: lab_null. */
extern const struct vmrpc_service lab_other_service;
/* The client's view of it, with the method that calls it. */
extern const struct vmrpc_service lab_other_client_service;
int lab_other_null(struct vmrpc *conn);

#endif
