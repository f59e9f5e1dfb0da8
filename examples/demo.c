/* What ./demo shows: a library used in-process, then the same user of it, not compiled anew, with the library in
 * another process: the same results, and what a call costs, measured here and now. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmrpc/error.h>
#include <vmrpc/vmrpc.h>

#include "demo_user.h"
#include "textstat/textstat_rpc.h"

#define FOUND_MAX 200

static char folder[4096];			  /* of the programs, which lie beside this one */
static char sockets[] = "/tmp/vmrpc-demo-XXXXXX"; /* of the servers */
static int cpus[2], n_cpus;

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "demo: %s: %s\n", what, why);
	exit(1);
}

static void find_folder(void)
{
	ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
	char *slash;

	if (n < 0)
		fail("where am I?", strerror(errno));
	folder[n] = 0;
	slash = strrchr(folder, '/');
	*slash = 0;
}

/* Runs demo_direct, which prints what it found and what a call cost. */
static double use_directly(char *ret_found)
{
	char command[sizeof folder + 32], cost[32];
	FILE *pipe;

	snprintf(command, sizeof command, "'%s/demo_direct'", folder);
	pipe = popen(command, "r");
	if (!pipe || !fgets(ret_found, FOUND_MAX, pipe) || !fgets(cost, sizeof cost, pipe) || pclose(pipe) != 0)
		fail("demo_direct", "it did not run");
	ret_found[strcspn(ret_found, "\n")] = 0;
	return strtod(cost, NULL);
}

/* The calling process runs on one processor from now on. */
static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
}

static void find_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) < 0)
		fail("which processors are there?", strerror(errno));
	for (int cpu = 0; cpu < CPU_SETSIZE && n_cpus < 2; cpu++)
		if (CPU_ISSET(cpu, &set))
			cpus[n_cpus++] = cpu;
}

static pid_t start_server(const char *address, int cpu)
{
	char program[sizeof folder + 32];
	pid_t pid = fork();

	if (pid)
		return pid;
	pin(cpu);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(program, sizeof program, "%s/textstat_server", folder);
	execl(program, program, address, (char *)NULL);
	_exit(1);
}

static void show(const char *where, const char *found, const char *expected)
{
	printf("  %-28s %s\n", where, found);
	if (strcmp(found, expected))
		fail(where, "not the same result");
}

/* Uses the library in a server on processor cpu that polls, or sleeps, as options say. What a call costs. */
static double use_remotely(const char *options, int cpu, const char *expected)
{
	char address[128], found[FOUND_MAX], where[64];
	struct vmrpc *conn = NULL;
	pid_t server;
	double cost;

	snprintf(address, sizeof address, "local:textstat%s", options);
	server = start_server(address, cpu);
	snprintf(address, sizeof address, "local:textstat%s%ctimeout=10s", options, *options ? '&' : '?');
	if (server < 0 || vmrpc_connect(&conn, &textstat_service, address) < 0)
		fail("could not connect", vmrpc_error_message());
	demo_use(found, sizeof found);
	cost = demo_cost();
	vmrpc_close(conn);
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
	if (cpu == cpus[0]) {
		snprintf(where, sizeof where, "library in process %d:", (int)server);
		show(where, found, expected);
	}
	return cost;
}

/* A request and a reply of as many bytes as a small call has. */
static void over_socket(void *arg, unsigned n)
{
	char bytes[16] = {0};

	for (unsigned i = 0; i < n; i++)
		if (write(*(int *)arg, bytes, sizeof bytes) != sizeof bytes ||
		    read(*(int *)arg, bytes, sizeof bytes) != sizeof bytes)
			fail("socket", strerror(errno));
}

static double use_socket(int cpu)
{
	int ends[2];
	pid_t child = -1;
	double cost;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0 || (child = fork()) < 0)
		fail("socket", strerror(errno));
	if (child == 0) {
		char bytes[16];

		pin(cpu);
		close(ends[0]);
		while (read(ends[1], bytes, sizeof bytes) == sizeof bytes &&
		       write(ends[1], bytes, sizeof bytes) == sizeof bytes)
			;
		_exit(0);
	}
	close(ends[1]);
	cost = demo_median(over_socket, &ends[0], 20);
	close(ends[0]);
	waitpid(child, NULL, 0);
	return cost;
}

/* A time, and how many of it go into one of the socket's. */
static void cell(double ns, double socket)
{
	char time[32], ratio[32] = "";

	if (ns < 1000)
		snprintf(time, sizeof time, ns < 10 ? "%.1f ns" : "%.0f ns", ns);
	else
		snprintf(time, sizeof time, "%.1f us", ns / 1000);
	if (ns != socket)
		snprintf(ratio, sizeof ratio, socket / ns < 10 ? "%.1f x" : "%.0f x", socket / ns);
	printf("%12s %9s", time, ratio);
}

int main(void)
{
	char direct[FOUND_MAX], path[64];
	double in_process, polled = 0, asleep[2] = {0}, socket[2] = {0};

	find_folder();
	find_cpus();
	if (!mkdtemp(sockets) || setenv("XDG_RUNTIME_DIR", sockets, 1) < 0)
		fail("could not make a folder for sockets in /tmp", strerror(errno));

	printf("textstat counts words. The same user of it, compiled once:\n");
	pin(cpus[0]);
	in_process = use_directly(direct);
	show("library in this process:", direct, direct);
	for (int i = 0; i < n_cpus; i++) {
		asleep[i] = use_remotely("?spin=0", cpus[i], direct);
		socket[i] = use_socket(cpus[i]);
	}
	if (n_cpus > 1)
		polled = use_remotely("", cpus[1], direct);

	printf("\nWhat a call costs, and how many of them go into one over a socket:\n");
	printf("  %-34s %21s %21s\n", "", n_cpus > 1 ? "two processors" : "", "one processor");
	for (int what = 0; what < 4; what++) {
		static const char *const names[] = {"in-process", "vmrpc, polled", "vmrpc, both sides sleep",
						    "16 bytes over a Unix socket"};

		printf("  %-34s", names[what]);
		for (int i = n_cpus - 1; i >= 0; i--) {
			const double times[] = {in_process, i ? polled : 0, asleep[i], socket[i]};

			if (times[what] > 0)
				cell(times[what], socket[i]);
			else
				printf("%12s %9s", "-", "");
		}
		putchar('\n');
	}

	snprintf(path, sizeof path, "%s/vmrpc", sockets);
	rmdir(path);
	rmdir(sockets);
	return 0;
}
