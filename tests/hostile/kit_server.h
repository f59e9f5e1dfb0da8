/* A server of kit, as a process of its own, at the address local:kit in a folder of its own. */
#ifndef KIT_SERVER_H
#define KIT_SERVER_H

#include "../e2e/world.h"
#include "kit.rpc.h"

static const char *kit_daemon; /* its program */

static inline pid_t kit_serve(const char *options)
{
	char address[128];
	pid_t pid;

	world_begin();
	snprintf(address, sizeof address, "local:kit?heap=1M&%s", options);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		execl(kit_daemon, kit_daemon, address, (char *)NULL);
		perror(kit_daemon);
		_exit(1);
	}
	CHECK(pid > 0);
	return pid;
}

static inline void kit_stop(pid_t server)
{
	int status;

	CHECK_EQ(kill(server, SIGTERM), 0);
	CHECK_EQ(waitpid(server, &status, 0), server);
	if (status)
		TEST_FAIL("the server ended with status 0x%x", status);
	world_end();
}

/* For the program's name before those of tests. */
#define KIT_TEST_MAIN()                                                           \
	int main(int argc, char **argv)                                           \
	{                                                                         \
		if (argc < 2) {                                                   \
			fprintf(stderr, "usage: %s SERVER [TEST...]\n", argv[0]); \
			return 2;                                                 \
		}                                                                 \
		kit_daemon = argv[1];                                             \
		return test_main(argc - 1, argv + 1);                             \
	}

#endif
