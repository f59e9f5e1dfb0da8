/* A folder for sockets of its own, servers as child processes, and connections to them, for tests.
 * VMRPC_TEST_MAP=any in the environment makes both sides see the region at different addresses. */
#ifndef WORLD_H
#define WORLD_H

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <vmrpc/error.h>
#include <vmrpc/server.h>
#include <vmrpc/stack.h>
#include <vmrpc/stats.h>
#include <vmrpc/vmrpc.h>

#include "lab.h"
#include "test.h"

#if defined(__has_feature)
#define WORLD_FEATURE(feature) __has_feature(feature)
#else
#define WORLD_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || WORLD_FEATURE(address_sanitizer)
#define WORLD_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) || WORLD_FEATURE(thread_sanitizer)
#define WORLD_TSAN 1
#endif

#define CHECK_OK(call)                                                                            \
	do {                                                                                      \
		int test_r = (call);                                                              \
                                                                                                  \
		if (test_r < 0)                                                                   \
			TEST_FAIL("%s: %s: %s", #call, strerror(-test_r), vmrpc_error_message()); \
	} while (0)

/* The call must fail with this (positive) errno and a message that contains the words. */
#define CHECK_FAILS(call, expected_errno, words)                                                                   \
	do {                                                                                                       \
		int test_r = (call);                                                                               \
                                                                                                                   \
		if (test_r != -(expected_errno))                                                                   \
			TEST_FAIL("%s is %d (%s), not -%s: %s", #call, test_r, strerror(test_r < 0 ? -test_r : 0), \
				  #expected_errno, vmrpc_error_message());                                         \
		if (!strstr(vmrpc_error_message(), words))                                                         \
			TEST_FAIL("%s: \"%s\" does not say \"%s\"", #call, vmrpc_error_message(), words);          \
	} while (0)

static inline int64_t world_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for what other threads or processes bring about. Generous: only what never happens fails. */
#define EVENTUALLY(condition)                                                          \
	do {                                                                           \
		int64_t test_end = world_ms() + 30000;                                 \
                                                                                       \
		while (!(condition)) {                                                 \
			if (world_ms() > test_end)                                     \
				TEST_FAIL("%s is still false after 30 s", #condition); \
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);       \
		}                                                                      \
	} while (0)

static inline unsigned world_entries(const char *folder)
{
	unsigned n = 0;
	struct dirent *entry;
	DIR *dir = opendir(folder);

	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return n;
}

/* Threads of a process, and descriptors it has open. */
static inline unsigned world_threads(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	return world_entries(path);
}

static inline unsigned world_fds(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	return world_entries(path) - (pid == getpid()); /* less the folder's own */
}

/* How many regions a process has mapped. Other than mappings these are not cut into pieces by guard pages. */
static inline unsigned world_regions(pid_t pid)
{
	char path[64], line[512];
	unsigned n = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	file = fopen(path, "r");
	CHECK(file);
	while (fgets(line, sizeof line, file)) {
		unsigned long long offset = 0;

		/* address perms offset dev inode name: a region begins where its file does */
		if (strstr(line, "/memfd:vmrpc") && sscanf(line, "%*s %*s %llx", &offset) == 1 && offset == 0)
			n++;
	}
	fclose(file);
	return n;
}

/* Percent of the usual number of rounds, from VMRPC_TEST_SCALE. */
static inline unsigned world_scaled(unsigned n)
{
	const char *scale = getenv("VMRPC_TEST_SCALE");
	unsigned long percent = scale ? strtoul(scale, NULL, 10) : 100;

	n = (unsigned)(n * percent / 100);
	return n ? n : 1;
}

/* Whether this is QEMU's user mode, which leaves out a few things: such as this one. */
static inline bool world_emulated(void)
{
	int value;

	return prctl(PR_GET_CHILD_SUBREAPER, &value) < 0;
}

/* For tests that fork while they have threads, and whose children make threads in turn: by connecting. */
static inline void world_needs_threads_in_children(void)
{
#ifdef WORLD_TSAN
	TEST_SKIP("ThreadSanitizer dies of threads made in a fork child that its parent had, too (\"dup thread\")");
#endif
	if (world_emulated())
		TEST_SKIP("QEMU's user mode dies of threads made in the child of a process that had some");
}

/* To be waited for before a fork: a child that is forked while another thread starts, or does anything else in
 * AddressSanitizer's allocator, finds that locked for ever. */
static inline bool world_others_sleep(void)
{
	bool sleep = true;
#ifdef WORLD_ASAN
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;

	CHECK(dir);
	while ((entry = readdir(dir))) {
		char path[320], state = 'S';
		FILE *file;

		if (*entry->d_name == '.' || atoi(entry->d_name) == getpid())
			continue;
		snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name);
		file = fopen(path, "r");
		if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
			state = 'S'; /* it has ended */
		if (file)
			fclose(file);
		sleep = sleep && state == 'S';
	}
	closedir(dir);
#endif
	return sleep;
}

/* ---- servers ------------------------------------------------------------------------------------------------ */

/* Servers are the children of a helper that was forked before there were any threads. A child that is forked while
 * others run finds their locks locked for ever: AddressSanitizer's allocator, QEMU's user mode. */
struct world_request {
	pid_t await; /* not 0: waitpid(await, flags); else start a server */
	int flags;
	const struct vmrpc_service *service;
	bool by_name; /* address is NULL */
	char address[256], folder[256], environment[256];
};

struct world_answer {
	pid_t pid;
	int status;
};

static int world_helper = -1; /* our end of a socket to it */

static inline _Noreturn void world_be_server(const struct world_request *request, pid_t helper)
{
	const char *address = request->by_name ? NULL : request->address;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != helper)
		_exit(1);
	setenv("XDG_RUNTIME_DIR", request->folder, 1);
	if (*request->environment)
		setenv("VMRPC_LAB", request->environment, 1);
	r = vmrpc_serve(request->service, address);
	if (r < 0)
		fprintf(stderr, "server at %s: %s\n", address ? address : "its own address", vmrpc_error_message());
	exit(r < 0);
}

static inline _Noreturn void world_help(int fd)
{
	pid_t self = getpid();
	struct world_request request;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (recv(fd, &request, sizeof request, 0) == sizeof request) {
		struct world_answer answer = {0};

		if (request.await)
			answer.pid = waitpid(request.await, &answer.status, request.flags);
		else if ((answer.pid = fork()) == 0) {
			close(fd);
			world_be_server(&request, self);
		}
		send(fd, &answer, sizeof answer, 0);
	}
	_exit(0);
}

static inline void world_start_helper(void)
{
	int pair[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fflush(NULL);
	if (fork() == 0) {
		close(pair[0]);
		world_help(pair[1]);
	}
	close(pair[1]);
	world_helper = pair[0];
}

static inline struct world_answer world_ask(const struct world_request *request)
{
	struct world_answer answer;

	CHECK_EQ(send(world_helper, request, sizeof *request, 0), sizeof *request);
	CHECK_EQ(recv(world_helper, &answer, sizeof answer, 0), sizeof answer);
	return answer;
}

/* As waitpid(): for servers. */
static inline pid_t world_wait(pid_t server, int *ret_status, int flags)
{
	const struct world_request request = {.await = server, .flags = flags};
	struct world_answer answer = world_ask(&request);

	*ret_status = answer.status;
	return answer.pid;
}

static inline void *world_do_nothing(void *arg)
{
	return arg;
}

/* Makes the folder, and XDG_RUNTIME_DIR point there. */
static inline void world_begin(void)
{
	char folder[] = "/tmp/vmrpc-test-XXXXXX";

	CHECK(mkdtemp(folder));
	setenv("XDG_RUNTIME_DIR", folder, 1);
	if (world_helper < 0)
		world_start_helper();
#ifdef WORLD_TSAN
	/* ThreadSanitizer's own thread comes with the first of the program's. Let it be counted from the start. */
	pthread_t first;

	CHECK_EQ(pthread_create(&first, NULL, world_do_nothing, NULL), 0);
	CHECK_EQ(pthread_join(first, NULL), 0);
#endif
}

/* How many files lie in the sockets' folder. */
static inline unsigned world_sockets(void)
{
	char path[256];

	snprintf(path, sizeof path, "%s/vmrpc", getenv("XDG_RUNTIME_DIR"));
	return world_entries(path);
}

/* The folder must be empty: nobody may leave anything behind. */
static inline void world_end(void)
{
	char path[256];

	CHECK_EQ(world_sockets(), 0);
	snprintf(path, sizeof path, "%s/vmrpc", getenv("XDG_RUNTIME_DIR"));
	rmdir(path);
	CHECK_EQ(rmdir(getenv("XDG_RUNTIME_DIR")), 0);
}

/* Starts a server of service in a child process; it is up when the first connection with a timeout gets through. */
static inline pid_t world_serve_service(const struct vmrpc_service *service, const char *address)
{
	struct world_request request = {.service = service, .by_name = !address};
	const char *environment = getenv("VMRPC_LAB");
	pid_t pid;

	snprintf(request.address, sizeof request.address, "%s", address ? address : "");
	snprintf(request.folder, sizeof request.folder, "%s", getenv("XDG_RUNTIME_DIR"));
	snprintf(request.environment, sizeof request.environment, "%s", environment ? environment : "");
	pid = world_ask(&request).pid;
	CHECK(pid > 0);
	return pid;
}

static inline pid_t world_serve(const char *address)
{
	return world_serve_service(&lab_server_service, address);
}

/* Stops all its threads where they are, until SIGCONT. */
static inline void world_freeze(pid_t server)
{
	int status;

	CHECK_EQ(kill(server, SIGSTOP), 0);
	CHECK_EQ(world_wait(server, &status, WUNTRACED), server);
	CHECK(WIFSTOPPED(status));
}

/* Stops it in order. */
static inline void world_stop(pid_t server)
{
	int status;

	CHECK_EQ(kill(server, SIGTERM), 0);
	CHECK_EQ(world_wait(server, &status, 0), server);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		TEST_FAIL("the server ended with status 0x%x", status);
}

/* address, with timeout= and what VMRPC_TEST_MAP asks for. */
static inline struct vmrpc *world_connect(const char *address)
{
	const char *map = getenv("VMRPC_TEST_MAP");
	struct vmrpc *conn = NULL;
	char full[512];

	snprintf(full, sizeof full, "%s%c%s%s%s", address, strchr(address, '?') ? '&' : '?',
		 strstr(address, "timeout=") ? "" : "timeout=20s&", map ? "map=" : "", map ? map : "");
	CHECK_OK(vmrpc_connect(&conn, &lab_service, full));
	if (map && strcmp(map, "any") == 0)
		CHECK(vmrpc_offset(conn) != 0);
	return conn;
}

/* The usual world: a server, a connection to it; and that closing it leaves nothing of it behind in this process. */
struct world {
	pid_t server;
	struct vmrpc *conn;
	unsigned n_threads,
		n_fds; /* of this process before it connected; a server without channels has as many threads */
};

/* Options as they stand in an address, "" for none. */
static inline struct world world_open(const char *server_options, const char *client_options)
{
	struct world world = {0};
	char address[256];

	world_begin();
	snprintf(address, sizeof address, "local:lab?%s", server_options);
	world.server = world_serve(address);
	world.n_threads = world_threads(getpid());
	world.n_fds = world_fds(getpid());
	snprintf(address, sizeof address, "local:lab?%s", client_options);
	world.conn = world_connect(address);
	return world;
}

static inline void world_close(struct world *world)
{
	vmrpc_close(world->conn);
	EVENTUALLY(world_threads(getpid()) == world->n_threads);
	CHECK_EQ(world_fds(getpid()), world->n_fds);
	CHECK_EQ(world_regions(getpid()), 0);
	world_stop(world->server);
	world_end();
}

#endif
