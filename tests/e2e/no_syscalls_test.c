/* Polled calls stay out of the kernel: a tracer sees every system call that any thread of client and server makes, and
 * there is none between two marks that the client sets around a row of calls. */
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "world.h"

#define MARK 0x766d7270 /* a prctl() that nobody knows: where counting begins and ends */

/* The calling process runs on the n-th of its processors from now on. */
static void pin(unsigned n)
{
	static cpu_set_t all;
	cpu_set_t one;
	int cpu = 0;

	if (CPU_COUNT(&all) == 0)
		CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
	for (unsigned left = n + 1; left; cpu++)
		left -= CPU_ISSET(cpu, &all) != 0;
	CPU_ZERO(&one);
	CPU_SET(cpu - 1, &one);
	CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
}

static void calls(struct vmrpc *conn, unsigned n)
{
	static struct lab_big big, result;

	for (unsigned i = 0; i < n; i++) {
		int64_t sum;

		CHECK_OK(lab_null(conn));
		CHECK_OK(lab_six(conn, 1, 2, 3, 4, 5, 6, &sum));
		if (i % 16 == 0) {
			void *block = vmrpc_malloc(conn, 100);

			CHECK_OK(lab_big(conn, &big, &result));
			CHECK_OK(lab_note(conn, i));
			CHECK_OK(lab_flush(conn));
			CHECK(block);
			vmrpc_free(block);
		}
	}
}

/* The traced: client and server, on a processor each. */
static void run_traced(const char *address, unsigned n)
{
	struct vmrpc *conn;
	pid_t server;

	CHECK_EQ(ptrace(PTRACE_TRACEME, 0, NULL, NULL), 0);
	raise(SIGSTOP);
	pin(1); /* what the server comes from is started by world_begin() */
	world_begin();
	server = world_serve(address);
	pin(0);
	conn = world_connect(address);
	calls(conn, 2000);
	prctl(MARK, 0, 0, 0, 0);
	calls(conn, n);
	prctl(MARK, 0, 0, 0, 0);
	vmrpc_close(conn);
	world_stop(server);
	world_end();
}

/* Runs n rounds of calls; how many system calls client and server made meanwhile, and one of them. */
static unsigned count_syscalls(const char *address, unsigned n, int *ret_example)
{
	const int options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_EXITKILL;
	unsigned marks = 0, found = 0;
	int status;
	pid_t client, pid;

	client = fork();
	CHECK(client >= 0);
	if (client == 0) {
		run_traced(address, n);
		_exit(0);
	}
	CHECK_EQ(waitpid(client, &status, 0), client);
	if (!WIFSTOPPED(status) || ptrace(PTRACE_SETOPTIONS, client, NULL, options) < 0)
		TEST_SKIP("processes may not be traced here");
	pid = client;
	for (;;) {
		int signal = WSTOPSIG(status);

		if (signal == (SIGTRAP | 0x80)) {
			struct __ptrace_syscall_info info;

			/* It may have been killed meanwhile; the wait below says so. */
			if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0)
				info.op = PTRACE_SYSCALL_INFO_NONE;
			if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
				if (info.entry.nr == SYS_prctl && info.entry.args[0] == MARK) {
					marks++;
				} else if (marks == 1) {
					*ret_example = (int)info.entry.nr;
					found++;
				}
			}
			signal = 0;
		} else if (status >> 16 || signal == SIGTRAP || signal == SIGSTOP) {
			signal = 0; /* of tracing itself */
		}
		(void)ptrace(PTRACE_SYSCALL, pid, NULL, signal);
		do {
			pid = waitpid(-1, &status, __WALL);
			CHECK(pid > 0);
			if (pid == client && WIFEXITED(status)) {
				CHECK_EQ(WEXITSTATUS(status), 0);
				CHECK_EQ(marks, 2);
				return found;
			}
		} while (!WIFSTOPPED(status));
	}
}

TEST(polled_calls_stay_out_of_the_kernel)
{
	cpu_set_t set;
	unsigned found;
	int example = -1;

	CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
	if (CPU_COUNT(&set) < 2)
		TEST_SKIP("polled calls need two processors");
	/* That the tracer sees what there is: those who sleep for each call make system calls. */
	found = count_syscalls("local:lab?spin=0", 10, &example);
	if (found < 4 * 10)
		TEST_FAIL("only %u system calls in 20 calls whose both sides sleep", found);
	found = count_syscalls("local:lab?spin=1s", world_scaled(20000), &example);
	if (found)
		TEST_FAIL("%u system calls during %u polled calls, number %d among them", found,
			  2 * world_scaled(20000), example);
}

TEST_MAIN()
