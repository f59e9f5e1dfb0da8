/* A folder for sockets of its own, servers as child processes, and connections to them, for tests.
 * VMRPC_TEST_MAP=any in the environment makes both sides see the region at different addresses. */
#ifndef WORLD_H
#define WORLD_H

#include <dirent.h>
#include <errno.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <vmrpc/error.h>
#include <vmrpc/server.h>
#include <vmrpc/stats.h>
#include <vmrpc/vmrpc.h>

#include "lab.h"
#include "test.h"

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

/* Percent of the usual number of rounds, from VMRPC_TEST_SCALE. */
static inline unsigned world_scaled(unsigned n)
{
	const char *scale = getenv("VMRPC_TEST_SCALE");
	unsigned long percent = scale ? strtoul(scale, NULL, 10) : 100;

	n = (unsigned)(n * percent / 100);
	return n ? n : 1;
}

/* Makes the folder, and XDG_RUNTIME_DIR point there. */
static inline void world_begin(void)
{
	static char folder[] = "/tmp/vmrpc-test-XXXXXX";

	CHECK(mkdtemp(folder));
	setenv("XDG_RUNTIME_DIR", folder, 1);
}

/* How many files lie in the sockets' folder. */
static inline unsigned world_sockets(void)
{
	char path[256];
	unsigned n = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof path, "%s/vmrpc", getenv("XDG_RUNTIME_DIR"));
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return n;
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
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		int r;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		r = vmrpc_serve(service, address);
		if (r < 0)
			fprintf(stderr, "server at %s: %s\n", address, vmrpc_error_message());
		exit(r < 0);
	}
	return pid;
}

static inline pid_t world_serve(const char *address)
{
	return world_serve_service(&lab_server_service, address);
}

/* Stops it in order. */
static inline void world_stop(pid_t server)
{
	int status;

	CHECK_EQ(kill(server, SIGTERM), 0);
	CHECK_EQ(waitpid(server, &status, 0), server);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		TEST_FAIL("the server ended with status 0x%x", status);
}

/* address, with timeout= and what VMRPC_TEST_MAP asks for. */
static inline struct vmrpc *world_connect(const char *address)
{
	const char *map = getenv("VMRPC_TEST_MAP");
	struct vmrpc *conn = NULL;
	char full[256];

	snprintf(full, sizeof full, "%s%c%s%s%s", address, strchr(address, '?') ? '&' : '?',
		 strstr(address, "timeout=") ? "" : "timeout=20s&", map ? "map=" : "", map ? map : "");
	CHECK_OK(vmrpc_connect(&conn, &lab_service, full));
	if (map && strcmp(map, "any") == 0)
		CHECK(vmrpc_offset(conn) != 0);
	return conn;
}

#endif
