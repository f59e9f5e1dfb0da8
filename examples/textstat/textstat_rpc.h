/* textstat as a service: what its two sides must agree on. Written by hand here; a generator would write the same.
 *
 * Every function has a frame, the struct in which its arguments and its result travel. Text lies in memory that both
 * sides see, and its address, as the client sees it, travels in the frame. */
#ifndef TEXTSTAT_RPC_H
#define TEXTSTAT_RPC_H

#include <stdint.h>

#include <vmrpc/stub.h>

enum {
	TEXTSTAT_ADD,
	TEXTSTAT_TOTAL,
	TEXTSTAT_COUNT,
	TEXTSTAT_TOP,
	TEXTSTAT_CLEAR,
	TEXTSTAT_N_METHODS,
};

struct textstat_add_frame {
	const char *text;
	int64_t result;
};

struct textstat_total_frame {
	int64_t result;
};

struct textstat_count_frame {
	const char *word;
	int64_t result;
};

struct textstat_top_frame {
	char *ret_word;
	uint64_t size;
	int64_t result;
};

/* name, digest (of the signature: made up here), size of the frame, where its result begins, flags, time-out, and at
 * the server what runs it. */
#define TEXTSTAT_RESULT(name) sizeof(struct name##_frame), offsetof(struct name##_frame, result)
#define TEXTSTAT_METHODS(serve)                                                                              \
	{                                                                                                    \
		{"textstat_add", 1, TEXTSTAT_RESULT(textstat_add), 0, 0, serve(textstat_add)},               \
			{"textstat_total", 2, TEXTSTAT_RESULT(textstat_total), 0, 0, serve(textstat_total)}, \
			{"textstat_count", 3, TEXTSTAT_RESULT(textstat_count), 0, 0, serve(textstat_count)}, \
			{"textstat_top", 4, TEXTSTAT_RESULT(textstat_top), 0, 0, serve(textstat_top)},       \
			{"textstat_clear", 5, 0, 0, 0, 0, serve(textstat_clear)},                            \
	}

extern const struct vmrpc_service textstat_service;

#endif
