/* What the hardware and the kernel charge for the same thing: bare ping-pongs with a child process. Nothing here
 * checks, counts or copes with death; nothing is slower than it need be. */
#ifndef BENCH_REFERENCE_H
#define BENCH_REFERENCE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* The first of its cache lines is what two processes share while it counts. Odd turns are for the child. */
struct reference {
	_Alignas(64) _Atomic uint32_t turn;
	uint32_t n;
	uint64_t *words;
	uint64_t result;
	int socket;
	_Alignas(128) _Atomic uint32_t awake; /* a round is on: the child polls */
};

static inline void reference_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb");
#endif
}

/* A child on processor cpu that polls the line. serve may be NULL: the bare ping-pong. */
struct reference *reference_poll_start(int cpu, void (*serve)(struct reference *line));

/* The child polls from here, where the turn of its last answer is returned, to there. Then it sleeps. */
uint32_t reference_poll_begin(struct reference *line);
void reference_poll_end(struct reference *line);

/* One round trip in between. */
static inline void reference_poll_call(struct reference *line, uint32_t *turn)
{
	/* Release and acquire: what the line carries. */
	atomic_store_explicit(&line->turn, *turn + 1, memory_order_release);
	*turn += 2;
	while (atomic_load_explicit(&line->turn, memory_order_acquire) != *turn)
		reference_pause();
}

/* n round trips, all of it. */
void reference_poll_run(void *line, unsigned n);

/* A child that sleeps on a futex for each turn, and n round trips with it. */
struct reference *reference_futex_start(int cpu);
void reference_futex_run(void *line, unsigned n);

/* A child that reads and writes one byte on a Unix socket, and n round trips with it. */
struct reference *reference_socket_start(int cpu);
void reference_socket_run(void *line, unsigned n);

/* Memory that children started later share: anonymous, and made like the region (a memfd). */
void *reference_memory(size_t size);

#endif
