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

/* The digests, of the signatures, are made up here. at_server() is what runs it at the server. */
#define TEXTSTAT_METHOD(method, number, serve_it)                                               \
	{                                                                                       \
		.name = #method, .digest = number, .frame_size = sizeof(struct method##_frame), \
		.result_offset = offsetof(struct method##_frame, result), .serve = serve_it     \
	}
#define TEXTSTAT_METHODS(at_server)                                                               \
	{                                                                                         \
		TEXTSTAT_METHOD(textstat_add, 1, at_server(textstat_add)),                        \
			TEXTSTAT_METHOD(textstat_total, 2, at_server(textstat_total)),            \
			TEXTSTAT_METHOD(textstat_count, 3, at_server(textstat_count)),            \
			TEXTSTAT_METHOD(textstat_top, 4, at_server(textstat_top)),                \
		{                                                                                 \
			.name = "textstat_clear", .digest = 5, .serve = at_server(textstat_clear) \
		}                                                                                 \
	}

extern const struct vmrpc_service textstat_service;

#endif
