/* What stubs do besides passing values: failures, hand-written functions, time-outs, calls that do not wait. */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>

#include <vmrpc/error.h>

#include "test.h"
#include "wide.rpc.h"

static char folder[] = "/tmp/vmrpc-gen-XXXXXX";

static void begin(void)
{
	CHECK(mkdtemp(folder));
	setenv("XDG_RUNTIME_DIR", folder, 1);
	unsetenv("VMRPC_WIDE");
}

static pid_t serve(void)
{
	pid_t pid;

	begin();
	setenv("VMRPC_WIDE", "local:wide?timeout=20s", 1);
	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl("/bin/sh", "sh", "-c", "exec " WIDE_SERVER, (char *)NULL); /* perhaps under an emulator */
		_exit(1);
	}
	return pid;
}

static void end(pid_t server)
{
	char path[256];

	if (server) {
		CHECK_EQ(kill(server, SIGTERM), 0);
		CHECK_EQ(waitpid(server, NULL, 0), server);
	}
	snprintf(path, sizeof path, "%s/vmrpc", folder);
	rmdir(path);
	rmdir(folder);
}

/* Takes the stub's place: every stub is a weak symbol. */
int wide_by_hand(int a)
{
	int result = 0;

	CHECK_EQ(wide_by_hand_rpc(NULL, a, &result), 0);
	return result + 1;
}

static struct vmrpc_failure seen;
static unsigned n_seen;

static void remember(const struct vmrpc_failure *failure, void *userdata)
{
	CHECK(userdata == &seen);
	seen = *failure;
	n_seen++;
}

TEST(without_server_on_fail_says_so)
{
	begin();
	errno = 0;
	CHECK_EQ(wide_add(1, 2), -1);
	CHECK(errno == ENOENT || errno == ECONNREFUSED);
	errno = 0;
	wide_settle(); /* nothing was called, so nothing is to be waited for; but the call itself fails */
	CHECK(errno == ENOENT || errno == ECONNREFUSED);
	end(0);
}

TEST(without_on_fail_the_handler_is_called)
{
	struct wide_point point = {1, 2};

	begin();
	vmrpc_set_failure_handler(remember, &seen);
	CHECK_EQ(wide_u64(1, 2), 0);
	CHECK_EQ(n_seen, 1);
	CHECK_STR(seen.service, "wide");
	CHECK_STR(seen.method, "wide_u64");
	CHECK(seen.error == -ENOENT || seen.error == -ECONNREFUSED);
	point = wide_middle(point, point);
	CHECK(point.x == 0 && point.y == 0);
	CHECK_EQ(n_seen, 2);
	wide_set(1);
	CHECK_EQ(n_seen, 3);
	end(0);
}

TEST(rpc_variants_leave_the_result_alone_on_failure)
{
	int result = 77;

	begin();
	CHECK(wide_add_rpc(NULL, 1, 2, &result) < 0);
	CHECK_EQ(result, 77);
	CHECK_EQ(wide_skipped_int_rpc(NULL, 1, &result), -ENOSYS);
	CHECK_EQ(result, 77);
	end(0);
}

TEST(skipped_functions_only_fail)
{
	begin();
	errno = 0;
	CHECK(wide_skipped("%d", 1) == NULL);
	CHECK_EQ(errno, ENOSYS);
	vmrpc_set_failure_handler(remember, &seen);
	CHECK_EQ(wide_skipped_int(5), 0);
	CHECK_EQ(n_seen, 1);
	CHECK_EQ(seen.error, -ENOSYS);
	CHECK_STR(seen.method, "wide_skipped_int");
	CHECK(strstr(vmrpc_error_message(), "wide_skipped_int is left out of the service"));
	end(0);
}

TEST(a_given_connection_is_used)
{
	struct vmrpc *conn;
	pid_t server = serve();
	int result = 0;

	CHECK_EQ(vmrpc_connect(&conn, &wide_service, "local:wide?timeout=20s"), 0);
	CHECK_EQ(wide_add_rpc(conn, 1, 2, &result), 0);
	CHECK_EQ(result, 7);
	CHECK_EQ(wide_add(2, 2), 8);
	vmrpc_close(conn);
	end(server);
}

TEST(functions_by_hand_take_the_stubs_place)
{
	pid_t server = serve();

	CHECK_EQ(wide_by_hand(2), 201);
	end(server);
}

TEST(calls_time_out)
{
	pid_t server = serve();

	CHECK_EQ(wide_sleep(1), 1);
	CHECK_EQ(wide_sleep(400), -7);
	CHECK_EQ(errno, ETIMEDOUT);
	CHECK_EQ(wide_add(1, 1), 4);
	end(server);
}

TEST(skipped_arguments_arrive_as_zero)
{
	pid_t server = serve();
	struct wide_point point = {9, 9};
	int local;

	CHECK_EQ(wide_partly(5, &local, point), 5);
	end(server);
}

TEST_MAIN()
