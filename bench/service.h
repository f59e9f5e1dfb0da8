/* The service that the benchmarks call, with hand-written stubs, and how they start and reach its servers.
 * Each stub returns what vmrpc_stub_call() did; conn is never NULL. */
#ifndef BENCH_SERVICE_H
#define BENCH_SERVICE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vmrpc/vmrpc.h>

#define SERVICE_FRAMES 5 /* frames of 64, 256, 1024, 4096 and 8192 bytes */

static inline uint32_t service_frame_size(unsigned which)
{
	static const uint32_t sizes[SERVICE_FRAMES] = {64, 256, 1024, 4096, 8192};

	return sizes[which];
}

int service_null(struct vmrpc *conn);
/* a + b + c + d + e + f */
int service_six(struct vmrpc *conn, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f, int64_t *ret_sum);
/* Asynchronous: adds value to what service_noted() returns and clears. */
int service_note(struct vmrpc *conn, int64_t value);
int service_noted(struct vmrpc *conn, int64_t *ret_sum);
int service_flush(struct vmrpc *conn);
/* A frame of service_frame_size(which) bytes that goes there; nothing comes back. */
int service_frame(struct vmrpc *conn, unsigned which, void *frame);
/* Sums words that lie in the region. */
int service_sum(struct vmrpc *conn, const uint64_t *words, size_t n, uint64_t *ret_sum);
/* Doubles a number that lies in the region. */
int service_double(struct vmrpc *conn, int64_t *number);
/* The same, run on the caller's RPC stack. */
int service_double_on_stack(struct vmrpc *conn, int64_t *number);

/* What service_sum() does, for the caller's own use. */
uint64_t service_sum_here(const uint64_t *words, size_t n);

/* Starts a server in a child process pinned to bench.cpus[cpu]; options begin with "?" or are "". Before the first
 * connection of this process. Its process id. */
pid_t service_start(const char *name, int cpu, const char *options);
/* A connection to it, one call made. */
struct vmrpc *service_connect(const char *name, const char *options);
/* For a vmrpc_connect() of one's own. */
const struct vmrpc_service *service_itself(void);
/* Its address, valid until the next of these calls. */
const char *service_address(const char *name, const char *options);

#endif
