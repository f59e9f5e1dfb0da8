/* The frames of lab's methods and callbacks, and their numbers. */
#ifndef LAB_FRAMES_H
#define LAB_FRAMES_H

#include "lab.h"

enum {
	LAB_NULL,
	LAB_ADD,
	LAB_SIX,
	LAB_SUM,
	LAB_BIG,
	LAB_HUGE,
	LAB_NOTE,
	LAB_NOTES,
	LAB_COUNTDOWN,
	LAB_MAKE,
	LAB_UNMAKE,
	LAB_SLEEP,
	LAB_IDEMPOTENT,
	LAB_CRASH,
	LAB_PID,
	LAB_THREAD_COUNTER,
	LAB_ON_STACK,
	LAB_SMASH,
	LAB_FAIL,
	LAB_SLOW_CALLBACK,
	LAB_CALL_HOOK,
	LAB_TID,
	LAB_NOTE_SLOWLY,
	LAB_NOTE_BIG,
	LAB_NOTE_HOOK,
	LAB_FILL,
	LAB_SERVER_STATS,
	LAB_DIRTY,
	LAB_SAME_ADDRESS,
	LAB_STOP_SERVING,
	LAB_MEET,
	LAB_N_METHODS,
};

enum {
	LAB_ON_COUNTDOWN,
	LAB_ON_LOCAL,
	LAB_ON_SLOW,
	LAB_ON_HOOK,
	LAB_N_CALLBACKS,
};

struct lab_frame_add {
	int64_t a, b;
	int64_t result;
};

struct lab_frame_six {
	int64_t a, b, c, d, e, f;
	int64_t result;
};

struct lab_frame_sum {
	const int64_t *numbers;
	uint64_t n;
	int64_t result;
};

struct lab_frame_big {
	struct lab_big in;
	struct lab_big result;
};

struct lab_frame_huge {
	struct lab_huge in;
	struct lab_huge result;
};

struct lab_frame_one { /* one argument, no result */
	int64_t value;
};

struct lab_frame_notes {
	int64_t n, in_order;
};

struct lab_frame_countdown {
	int64_t n;
	int64_t result;
};

struct lab_frame_make {
	uint64_t size, byte;
	void *result;
};

struct lab_frame_unmake {
	void *block;
};

struct lab_frame_result { /* no argument */
	int64_t result;
};

struct lab_frame_on_stack {
	int64_t value;
	int64_t result;
	void *where;
};

struct lab_frame_local {
	int64_t *local;
};

struct lab_frame_note_slowly {
	int64_t value, us;
};

struct lab_frame_note_big {
	int64_t value;
	uint64_t rest[7]; /* one word more than a cell holds */
};

struct lab_frame_fill {
	void *block;
	uint64_t n, byte;
};

struct lab_frame_stats {
	struct vmrpc_stats result;
};

struct lab_frame_dirty {
	uint64_t n, byte;
	unsigned char *where;
};

struct lab_frame_same_address {
	const void *pointer;
	uint64_t number; /* the pointer once more, which nobody translates */
	int64_t result;
};

#define LAB_RESULT(type, member) sizeof(struct type), offsetof(struct type, member)
#define LAB_NO_RESULT(type)	 sizeof(struct type), sizeof(struct type)

/* X(number, name, sizes, flags, timeout, thunk) */
#define LAB_METHODS(X)                                                                                                \
	X(LAB_NULL, "lab_null", 0, 0, 0, 0, serve_null)                                                               \
	X(LAB_ADD, "lab_add", LAB_RESULT(lab_frame_add, result), 0, 0, serve_add)                                     \
	X(LAB_SIX, "lab_six", LAB_RESULT(lab_frame_six, result), 0, 0, serve_six)                                     \
	X(LAB_SUM, "lab_sum", LAB_RESULT(lab_frame_sum, result), 0, 0, serve_sum)                                     \
	X(LAB_BIG, "lab_big", LAB_RESULT(lab_frame_big, result), 0, 0, serve_big)                                     \
	X(LAB_HUGE, "lab_huge", LAB_RESULT(lab_frame_huge, result), 0, 0, serve_huge)                                 \
	X(LAB_NOTE, "lab_note", LAB_NO_RESULT(lab_frame_one), VMRPC_METHOD_ASYNC, 0, serve_note)                      \
	X(LAB_NOTES, "lab_notes", LAB_RESULT(lab_frame_notes, n), 0, 0, serve_notes)                                  \
	X(LAB_COUNTDOWN, "lab_countdown", LAB_RESULT(lab_frame_countdown, result), 0, 0, serve_countdown)             \
	X(LAB_MAKE, "lab_make", LAB_RESULT(lab_frame_make, result), 0, 0, serve_make)                                 \
	X(LAB_UNMAKE, "lab_unmake", LAB_NO_RESULT(lab_frame_unmake), 0, 0, serve_unmake)                              \
	X(LAB_SLEEP, "lab_sleep", LAB_NO_RESULT(lab_frame_one), 0, 0, serve_sleep)                                    \
	X(LAB_IDEMPOTENT, "lab_idempotent", LAB_RESULT(lab_frame_countdown, result), VMRPC_METHOD_IDEMPOTENT, 0,      \
	  serve_idempotent)                                                                                           \
	X(LAB_CRASH, "lab_crash", 0, 0, 0, 0, serve_crash)                                                            \
	X(LAB_PID, "lab_pid", LAB_RESULT(lab_frame_result, result), 0, 0, serve_pid)                                  \
	X(LAB_THREAD_COUNTER, "lab_thread_counter", LAB_RESULT(lab_frame_result, result), 0, 0, serve_counter)        \
	X(LAB_ON_STACK, "lab_on_stack", LAB_RESULT(lab_frame_on_stack, result), VMRPC_METHOD_SHARED_STACK, 0,         \
	  serve_on_stack)                                                                                             \
	X(LAB_SMASH, "lab_smash", 0, 0, VMRPC_METHOD_SHARED_STACK, 0, serve_smash)                                    \
	X(LAB_FAIL, "lab_fail", LAB_NO_RESULT(lab_frame_one), 0, 0, serve_fail)                                       \
	X(LAB_SLOW_CALLBACK, "lab_slow_callback", LAB_RESULT(lab_frame_countdown, result), 0, 0, serve_slow_callback) \
	X(LAB_CALL_HOOK, "lab_call_hook", LAB_RESULT(lab_frame_countdown, result), 0, 0, serve_call_hook)             \
	X(LAB_TID, "lab_tid", LAB_RESULT(lab_frame_result, result), 0, 0, serve_tid)                                  \
	X(LAB_NOTE_SLOWLY, "lab_note_slowly", LAB_NO_RESULT(lab_frame_note_slowly), VMRPC_METHOD_ASYNC, 0,            \
	  serve_note_slowly)                                                                                          \
	X(LAB_NOTE_BIG, "lab_note_big", LAB_NO_RESULT(lab_frame_note_big), VMRPC_METHOD_ASYNC, 0, serve_note)         \
	X(LAB_NOTE_HOOK, "lab_note_hook", LAB_NO_RESULT(lab_frame_one), VMRPC_METHOD_ASYNC, 0, serve_note_hook)       \
	X(LAB_FILL, "lab_fill", LAB_NO_RESULT(lab_frame_fill), 0, 0, serve_fill)                                      \
	X(LAB_SERVER_STATS, "lab_server_stats", LAB_RESULT(lab_frame_stats, result), 0, 0, serve_stats)               \
	X(LAB_DIRTY, "lab_dirty", LAB_RESULT(lab_frame_dirty, where), VMRPC_METHOD_SHARED_STACK, 0, serve_dirty)      \
	X(LAB_SAME_ADDRESS, "lab_same_address", LAB_RESULT(lab_frame_same_address, result), 0, 0, serve_same_address) \
	X(LAB_STOP_SERVING, "lab_stop_serving", 0, 0, VMRPC_METHOD_ASYNC, 0, serve_stop_serving)                      \
	X(LAB_MEET, "lab_meet", LAB_NO_RESULT(lab_frame_unmake), 0, 0, serve_meet)

#define LAB_CALLBACKS(X)                                                                                     \
	X(LAB_ON_COUNTDOWN, "on_countdown", LAB_RESULT(lab_frame_countdown, result), 0, 0, answer_countdown) \
	X(LAB_ON_LOCAL, "on_local", LAB_NO_RESULT(lab_frame_local), 0, 0, answer_local)                      \
	X(LAB_ON_SLOW, "on_slow", LAB_NO_RESULT(lab_frame_one), 0, 50, answer_slow)                          \
	X(LAB_ON_HOOK, "on_hook", LAB_RESULT(lab_frame_countdown, result), 0, 0, answer_hook)

/* Digests are made up: name and sizes tell methods apart well enough here. */
#define LAB_DIGEST(number, size)	   (UINT64_C(0x1ab0000000000000) + ((uint64_t)(number) << 32) + (size))
#define LAB_METHOD(number, name, sizes...) LAB_METHOD_(number, name, sizes)
#define LAB_METHOD_(number, title, size, result, set, timeout, thunk) \
	[number] = {.name = title,                                    \
		    .digest = LAB_DIGEST(number, size),               \
		    .frame_size = size,                               \
		    .result_offset = result,                          \
		    .flags = set,                                     \
		    .timeout_ms = timeout,                            \
		    .serve = LAB_THUNK(thunk)},

_Static_assert(sizeof(struct lab_frame_note_big) > 56, "a frame that no cell of the ring holds");
_Static_assert(sizeof(struct lab_frame_six) == 56, "six scalars and a result fill the cell");

#endif
