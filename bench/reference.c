/* Bare ping-pongs. See reference.h. */
#include "reference.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "child.h"

#define POLLS_BEFORE_SLEEP 5000 /* some 50 us */

void *reference_memory(size_t size)
{
	int fd = memfd_create("reference", MFD_CLOEXEC);
	void *memory;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
	    (memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED) {
		perror("shared memory");
		exit(2);
	}
	close(fd);
	return memory;
}

static struct reference *new_line(void)
{
	return reference_memory(4096);
}

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* ---- polling --------------------------------------------------------------------------------------------- */

/* Until it is the child's turn; sleeps while no round is on. */
static inline void poll_for_turn(struct reference *line, uint32_t turn)
{
	unsigned left = POLLS_BEFORE_SLEEP;

	while (atomic_load_explicit(&line->turn, memory_order_acquire) != turn + 1) {
		reference_pause();
		if (--left == 0) {
			futex_wait(&line->awake, 0);
			left = POLLS_BEFORE_SLEEP;
		}
	}
}

static void poll_bare(struct reference *line)
{
	for (uint32_t turn = 0;; turn += 2) {
		poll_for_turn(line, turn);
		atomic_store_explicit(&line->turn, turn + 2, memory_order_release);
	}
}

static void poll_and_serve(struct reference *line, void (*serve)(struct reference *line))
{
	for (uint32_t turn = 0;; turn += 2) {
		poll_for_turn(line, turn);
		serve(line);
		atomic_store_explicit(&line->turn, turn + 2, memory_order_release);
	}
}

struct reference *reference_poll_start(int cpu, void (*serve)(struct reference *line))
{
	struct reference *line = new_line();

	if (child_fork(cpu) == 0) {
		if (serve)
			poll_and_serve(line, serve);
		else
			poll_bare(line);
	}
	return line;
}

uint32_t reference_poll_begin(struct reference *line)
{
	atomic_store_explicit(&line->awake, 1, memory_order_seq_cst);
	futex_wake(&line->awake);
	return atomic_load_explicit(&line->turn, memory_order_relaxed);
}

void reference_poll_end(struct reference *line)
{
	atomic_store_explicit(&line->awake, 0, memory_order_seq_cst);
}

void reference_poll_run(void *arg, unsigned n)
{
	struct reference *line = arg;
	uint32_t turn = reference_poll_begin(line);

	for (unsigned i = 0; i < n; i++)
		reference_poll_call(line, &turn);
	reference_poll_end(line);
}

/* ---- sleeping -------------------------------------------------------------------------------------------- */

struct reference *reference_futex_start(int cpu)
{
	struct reference *line = new_line();

	if (child_fork(cpu) == 0)
		for (uint32_t turn = 0;; turn += 2) {
			while (atomic_load_explicit(&line->turn, memory_order_acquire) != turn + 1)
				futex_wait(&line->turn, turn);
			atomic_store_explicit(&line->turn, turn + 2, memory_order_release);
			futex_wake(&line->turn);
		}
	return line;
}

void reference_futex_run(void *arg, unsigned n)
{
	struct reference *line = arg;
	uint32_t turn = atomic_load_explicit(&line->turn, memory_order_relaxed);

	for (unsigned i = 0; i < n; i++, turn += 2) {
		atomic_store_explicit(&line->turn, turn + 1, memory_order_release);
		futex_wake(&line->turn);
		while (atomic_load_explicit(&line->turn, memory_order_acquire) != turn + 2)
			futex_wait(&line->turn, turn + 1);
	}
}

struct reference *reference_socket_start(int cpu)
{
	struct reference *line = new_line();
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) {
		perror("socketpair");
		exit(2);
	}
	line->socket = ends[0];
	if (child_fork(cpu) == 0) {
		char byte;

		while (read(ends[1], &byte, 1) == 1 && write(ends[1], &byte, 1) == 1)
			;
		_exit(0);
	}
	close(ends[1]);
	return line;
}

void reference_socket_run(void *arg, unsigned n)
{
	const struct reference *line = arg;
	char byte = 0;

	for (unsigned i = 0; i < n; i++)
		if (write(line->socket, &byte, 1) != 1 || read(line->socket, &byte, 1) != 1)
			exit(2);
}
