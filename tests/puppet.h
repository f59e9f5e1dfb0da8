/* Processes that do as they are told, by one letter, and answer with a number. 'e' ends them. */
#ifndef VMRPC_TEST_PUPPET_H
#define VMRPC_TEST_PUPPET_H

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "test.h"

#define PUPPET_MS 30000 /* for what takes a moment unless something hangs */

struct puppet {
	pid_t pid;
	int fd;
};

static inline struct puppet puppet_start(void (*live)(int fd, const char *address), const char *address)
{
	struct puppet puppet;
	int pair[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fflush(NULL);
	puppet.pid = fork();
	CHECK(puppet.pid >= 0);
	if (puppet.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		live(pair[1], address);
		exit(0);
	}
	close(pair[1]);
	puppet.fd = pair[0];
	return puppet;
}

static inline int64_t puppet_ask(const struct puppet *puppet, char what)
{
	struct pollfd pollfd = {.fd = puppet->fd, .events = POLLIN};
	int64_t answer;

	CHECK_EQ(send(puppet->fd, &what, 1, MSG_NOSIGNAL), 1);
	if (poll(&pollfd, 1, PUPPET_MS) != 1)
		TEST_FAIL("process %d hangs when told '%c'", (int)puppet->pid, what);
	if (recv(puppet->fd, &answer, sizeof answer, 0) != sizeof answer)
		TEST_FAIL("process %d died when told '%c'", (int)puppet->pid, what);
	return answer;
}

static inline void puppet_end(const struct puppet *puppet)
{
	int status;

	puppet_ask(puppet, 'e');
	close(puppet->fd);
	CHECK_EQ(waitpid(puppet->pid, &status, 0), puppet->pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 0);
}

static inline void puppet_answer(int fd, int64_t number)
{
	CHECK_EQ(send(fd, &number, sizeof number, MSG_NOSIGNAL), sizeof number);
}

#endif
