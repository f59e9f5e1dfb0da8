/* Servers: names they claim, loops they run in, whom they let in, and processes of their own for each client. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "world.h"

static const char *socket_path(void)
{
	static char path[100];

	snprintf(path, sizeof path, "%s/vmrpc/lab", getenv("XDG_RUNTIME_DIR"));
	return path;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Whether a process is there and not just waiting to be buried. */
static bool alive(pid_t pid)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file)
		return false;
	if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 'X';
	fclose(file);
	return state != 'Z' && state != 'X';
}

/* ---- names ----------------------------------------------------------------------------------------------- */

TEST(a_name_is_served_once)
{
	struct world world = world_open("", "");
	struct vmrpc_server *server;
	char words[64];
	unsigned n_fds;

	n_fds = world_fds(getpid());
	CHECK_OK(vmrpc_server_new(&server));
	snprintf(words, sizeof words, "by process %d", (int)world.server);
	CHECK_FAILS(vmrpc_server_add(server, &lab_server_service, "local:lab"), EADDRINUSE, words);
	CHECK_FAILS(vmrpc_serve(&lab_server_service, "local:lab"), EADDRINUSE, "served already");
	vmrpc_server_free(server);
	CHECK_EQ(world_fds(getpid()), n_fds);
	CHECK_OK(lab_null(world.conn)); /* and the first serves on */
	CHECK(exists(socket_path()));
	world_close(&world);
}

TEST(a_dead_server_s_socket_is_replaced)
{
	pid_t server;
	struct vmrpc *conn;
	int64_t pid;
	int status;

	world_begin();
	server = world_serve("local:lab");
	conn = world_connect("local:lab");
	CHECK_EQ(kill(server, SIGKILL), 0);
	CHECK_EQ(world_wait(server, &status, 0), server);
	vmrpc_close(conn);
	CHECK(exists(socket_path()));
	server = world_serve("local:lab");
	conn = world_connect("local:lab");
	CHECK_OK(lab_pid(conn, &pid));
	CHECK_EQ(pid, server);
	vmrpc_close(conn);
	world_stop(server);
	CHECK(!exists(socket_path()));
	world_end();
}

/* What is no socket is not ours to remove. */
TEST(a_file_is_not_replaced)
{
	struct vmrpc_server *server;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char folder[128];
	int fd;

	world_begin();
	snprintf(folder, sizeof folder, "%s/vmrpc", getenv("XDG_RUNTIME_DIR"));
	CHECK_EQ(mkdir(folder, 0700), 0);
	fd = open(socket_path(), O_CREAT | O_WRONLY, 0600);
	CHECK(fd >= 0);
	close(fd);
	CHECK_OK(vmrpc_server_new(&server));
	CHECK_FAILS(vmrpc_server_add(server, &lab_server_service, "local:lab"), EEXIST, "is no socket");
	CHECK(exists(socket_path()));
	unlink(socket_path());
	/* Nor is a socket on which something else listens. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path());
	CHECK_EQ(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	CHECK_EQ(listen(fd, 1), 0);
	CHECK(vmrpc_server_add(server, &lab_server_service, "local:lab") < 0);
	CHECK(exists(socket_path()));
	close(fd);
	unlink(socket_path());
	CHECK_OK(vmrpc_server_add(server, &lab_server_service, "local:lab"));
	vmrpc_server_free(server);
	world_end();
}

/* Of many that start at once, one gets the name. */
TEST(one_of_many_gets_the_name)
{
	enum { N = 8 };
	pid_t servers[N];
	unsigned n_serving = 0, n_refused = 0;
	struct vmrpc *conn;
	int64_t winner;
	int go[2];

	world_begin();
	CHECK_EQ(pipe(go), 0);
	fflush(NULL);
	for (int i = 0; i < N; i++) {
		servers[i] = fork();
		if (servers[i] == 0) {
			char byte;

			close(go[1]);
			CHECK_EQ(read(go[0], &byte, 1), 0);
			_exit(-vmrpc_serve(&lab_server_service, "local:lab"));
		}
	}
	close(go[0]);
	close(go[1]);
	conn = world_connect("local:lab");
	CHECK_OK(lab_pid(conn, &winner));
	for (int i = 0; i < N; i++) {
		int status;

		if (servers[i] == winner) {
			n_serving++;
			continue;
		}
		CHECK_EQ(waitpid(servers[i], &status, 0), servers[i]);
		CHECK_EQ(WEXITSTATUS(status), EADDRINUSE);
		n_refused++;
	}
	CHECK_EQ(n_serving, 1);
	CHECK_EQ(n_refused, N - 1);
	vmrpc_close(conn);
	CHECK_EQ(kill((pid_t)winner, SIGTERM), 0);
	CHECK_EQ(waitpid((pid_t)winner, &(int){0}, 0), winner);
	world_end();
}

TEST(paths_are_addresses_too)
{
	char path[128], address[160];
	struct vmrpc *conn;
	pid_t server;

	world_begin();
	snprintf(path, sizeof path, "%s/own.sock", getenv("XDG_RUNTIME_DIR"));
	snprintf(address, sizeof address, "local:%s", path);
	server = world_serve(address);
	conn = world_connect(address);
	CHECK_OK(lab_null(conn));
	CHECK(exists(path));
	vmrpc_close(conn);
	world_stop(server);
	CHECK(!exists(path));
	world_end();
}

/* ---- loops ----------------------------------------------------------------------------------------------- */

TEST(a_server_runs_in_an_event_loop)
{
	struct vmrpc_server *server;
	struct vmrpc_stats stats;
	unsigned n_waits = 0;
	struct pollfd watched = {.events = POLLIN};
	unsigned n_fds;
	pid_t client;
	int status;

	world_begin();
	n_fds = world_fds(getpid());
	CHECK_OK(vmrpc_server_new(&server));
	CHECK_OK(vmrpc_server_add(server, &lab_server_service, "local:lab"));
	watched.fd = vmrpc_server_fd(server);
	CHECK_EQ(poll(&watched, 1, 0), 0); /* nothing to do */
	CHECK_EQ(vmrpc_server_dispatch(server, 0), 0);
	fflush(NULL);
	client = fork();
	if (client == 0) {
		struct vmrpc *conn = world_connect("local:lab");
		int64_t result;

		for (int64_t i = 0; i < 1000; i++) {
			CHECK_OK(lab_add(conn, i, i, &result));
			CHECK_EQ(result, 2 * i);
		}
		vmrpc_close(conn);
		_exit(0);
	}
	while (waitpid(client, &status, WNOHANG) == 0) {
		if (poll(&watched, 1, 5) > 0) {
			CHECK_EQ(vmrpc_server_dispatch(server, 0), 0);
			n_waits++;
		}
		CHECK(n_waits < 1000); /* not busy: calls do not pass through here */
	}
	CHECK_EQ(status, 0);
	do
		CHECK_EQ(vmrpc_server_dispatch(server, 10), 0);
	while (vmrpc_server_stats(server, &stats) == 0 && stats.clients);
	CHECK_EQ(stats.calls, 1000); /* of the one that has gone */
	vmrpc_server_free(server);
	EVENTUALLY(world_fds(getpid()) == n_fds);
	world_end();
}

static void *stop_soon(void *arg)
{
	usleep(20000);
	vmrpc_server_stop(arg);
	return NULL;
}

TEST(a_server_is_stopped_from_another_thread)
{
	struct vmrpc_server *server;
	pthread_t thread;
	int r;

	world_begin();
	CHECK_OK(vmrpc_server_new(&server));
	CHECK_OK(vmrpc_server_add(server, &lab_server_service, "local:lab"));
	CHECK_EQ(pthread_create(&thread, NULL, stop_soon, server), 0);
	do
		r = vmrpc_server_dispatch(server, -1);
	while (r == 0);
	CHECK_EQ(r, -ESHUTDOWN);
	CHECK_EQ(vmrpc_server_dispatch(server, -1), -ESHUTDOWN); /* and stays so */
	CHECK_EQ(pthread_join(thread, NULL), 0);
	vmrpc_server_free(server);
	vmrpc_server_free(NULL);
	world_end();
}

TEST(a_method_stops_its_server)
{
	struct world world = world_open("", "");
	int status;

	CHECK_OK(lab_stop_serving(world.conn));
	CHECK_EQ(world_wait(world.server, &status, 0), world.server);
	CHECK_EQ(status, 0);
	CHECK_EQ(world_sockets(), 0);
	world.server = world_serve("local:lab");
	EVENTUALLY(lab_null(world.conn) == 0);
	world_close(&world);
}

/* Stopping waits for methods that run; their callers hear that it is over. */
struct meeting {
	struct vmrpc *conn;
	_Atomic int *word; /* 1: the method runs; 2: it may end */
	int r;
};

static void *meet(void *arg)
{
	struct meeting *meeting = arg;

	meeting->r = lab_meet(meeting->conn, meeting->word);
	return NULL;
}

static void *part_soon(void *arg)
{
	usleep(300000);
	*((struct meeting *)arg)->word = 2;
	return NULL;
}

TEST(stopping_waits_for_methods_that_run)
{
	struct world world = world_open("", "");
	struct meeting meeting = {.conn = world.conn, .word = vmrpc_malloc(world.conn, sizeof(int))};
	pthread_t caller, other;

	*meeting.word = 0;
	CHECK_EQ(pthread_create(&caller, NULL, meet, &meeting), 0);
	EVENTUALLY(*meeting.word == 1);
	CHECK_EQ(pthread_create(&other, NULL, part_soon, &meeting), 0);
	world_stop(world.server);
	CHECK_EQ(*meeting.word, 2);
	CHECK_EQ(pthread_join(caller, NULL), 0);
	CHECK_EQ(pthread_join(other, NULL), 0);
	CHECK_EQ(meeting.r, -EPIPE);
	vmrpc_free((void *)meeting.word);
	world.server = world_serve("local:lab");
	CHECK_OK(lab_null(world.conn));
	world_close(&world);
}

/* Freed without ever having run, with a client in its queue. */
TEST(a_server_may_go_at_any_time)
{
	struct vmrpc_server *server;
	unsigned n_fds;
	pid_t client;
	int status;

	world_begin();
	n_fds = world_fds(getpid());
	fflush(NULL);
	client = fork(); /* first: it would inherit the listening socket */
	if (client == 0) {
		struct vmrpc *conn;
		int r;

		EVENTUALLY(exists(socket_path()));
		do
			r = vmrpc_connect(&conn, &lab_service, "local:lab");
		while (r == -ECONNREFUSED); /* it is there, but does not listen yet */
		_exit(-r);
	}
	CHECK_OK(vmrpc_server_new(&server));
	CHECK_OK(vmrpc_server_add(server, &lab_server_service, "local:lab"));
	EVENTUALLY(poll(&(struct pollfd){.fd = vmrpc_server_fd(server), .events = POLLIN}, 1, 0) == 1);
	vmrpc_server_free(server);
	CHECK_EQ(waitpid(client, &status, 0), client);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), EPIPE);
	EVENTUALLY(world_fds(getpid()) == n_fds);
	world_end();
}

/* ---- services -------------------------------------------------------------------------------------------- */

static void *dispatch(void *arg)
{
	while (vmrpc_server_dispatch(arg, -1) == 0)
		;
	return NULL;
}

/* Also: client and server in one process. */
TEST(one_address_offers_several_services)
{
	struct vmrpc_server *server;
	struct vmrpc *lab, *other, *elsewhere, *conn;
	unsigned n_threads, n_fds;
	pthread_t thread;
	int64_t result;

	world_begin();
	n_threads = world_threads(getpid());
	n_fds = world_fds(getpid());
	CHECK_OK(vmrpc_server_new(&server));
	CHECK_OK(vmrpc_server_add(server, &lab_server_service, "local:both"));
	CHECK_OK(vmrpc_server_add(server, &lab_other_service, "local:both"));
	CHECK_OK(vmrpc_server_add(server, &lab_other_service, "local:single"));
	CHECK_EQ(pthread_create(&thread, NULL, dispatch, server), 0);
	CHECK_OK(vmrpc_connect(&lab, &lab_service, "local:both"));
	CHECK_OK(vmrpc_connect(&other, &lab_other_client_service, "local:both"));
	CHECK_OK(vmrpc_connect(&elsewhere, &lab_other_client_service, "local:single"));
	CHECK_FAILS(vmrpc_connect(&conn, &lab_service, "local:single"), ENOENT, "there are: other");
	CHECK_OK(lab_add(lab, 1, 2, &result));
	CHECK_EQ(result, 3);
	CHECK_OK(lab_countdown(lab, 10, &result));
	CHECK_EQ(result, 10);
	CHECK_OK(lab_other_null(other));
	CHECK_OK(lab_other_null(elsewhere));
	CHECK(vmrpc_offset(lab) != 0); /* one process can't see it twice at one address */
	vmrpc_close(lab);
	vmrpc_close(other);
	vmrpc_close(elsewhere);
	vmrpc_server_stop(server);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	vmrpc_server_free(server);
	EVENTUALLY(world_threads(getpid()) == n_threads);
	CHECK_EQ(world_fds(getpid()), n_fds);
	CHECK_EQ(world_regions(getpid()), 0);
	world_end();
}

/* The server goes first, in the same process. */
TEST(client_and_server_share_a_process)
{
	struct vmrpc_server *server;
	struct vmrpc *conn;
	pthread_t thread;
	unsigned n_fds;
	void *block;
	int64_t sum;

	world_begin();
	n_fds = world_fds(getpid());
	for (int round = 0; round < 5; round++) {
		CHECK_OK(vmrpc_server_new(&server));
		CHECK_OK(vmrpc_server_add(server, &lab_server_service, "local:lab"));
		CHECK_EQ(pthread_create(&thread, NULL, dispatch, server), 0);
		CHECK_OK(vmrpc_connect(&conn, &lab_service, "local:lab"));
		CHECK_OK(lab_make(conn, 64, 0, &block));
		*(int64_t *)block = 5;
		CHECK_OK(lab_sum(conn, block, 1, &sum));
		CHECK_EQ(sum, 5);
		vmrpc_free(block);
		CHECK((block = vmrpc_malloc(NULL, 64)));
		CHECK_OK(lab_unmake(conn, block));
		vmrpc_server_stop(server);
		CHECK_EQ(pthread_join(thread, NULL), 0);
		vmrpc_server_free(server);
		CHECK(lab_null(conn) < 0);
		vmrpc_close(conn);
	}
	/* The last thread of a freed server may still be on its way out. */
	EVENTUALLY(world_regions(getpid()) == 0);
	EVENTUALLY(world_fds(getpid()) == n_fds);
	world_end();
}

/* ---- isolate=fork ---------------------------------------------------------------------------------------- */

static unsigned count_children(pid_t parent)
{
	char path[64];
	unsigned n = 0;
	int child;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
	file = fopen(path, "r");
	if (!file)
		return 0;
	while (fscanf(file, "%d", &child) == 1)
		n++;
	fclose(file);
	return n;
}

TEST(an_isolated_method_s_crash_is_its_own_client_s)
{
	struct world world = world_open("isolate=fork", "");
	struct vmrpc *other = world_connect("local:lab");
	int64_t pids[2], pid;

	CHECK_OK(lab_pid(world.conn, &pids[0]));
	CHECK_OK(lab_pid(other, &pids[1]));
	CHECK(pids[0] != world.server && pids[1] != world.server && pids[0] != pids[1]);
	for (int round = 0; round < 3; round++) {
		CHECK_FAILS(lab_crash(world.conn), EPIPE, "the peer died");
		CHECK_OK(lab_pid(other, &pid));
		CHECK_EQ(pid, pids[1]);
		CHECK_OK(lab_pid(world.conn, &pid)); /* a new process for the next */
		CHECK(pid != pids[0]);
		CHECK(alive((pid_t)pid));
	}
	EVENTUALLY(count_children(world.server) == 2); /* zombies are children, too */
	vmrpc_close(other);
	EVENTUALLY(count_children(world.server) == 1);
	CHECK_OK(lab_null(world.conn));
	world_close(&world);
}

TEST(isolated_services_end_with_the_server)
{
	struct world world = world_open("isolate=fork", "");
	int64_t child;
	int status;

	CHECK_OK(lab_pid(world.conn, &child));
	world_stop(world.server);
	CHECK(!alive((pid_t)child));
	world.server = world_serve("local:lab?isolate=fork");
	EVENTUALLY(lab_pid(world.conn, &child) == 0);
	/* Also when it has no time to tell them. */
	CHECK_EQ(kill(world.server, SIGKILL), 0);
	CHECK_EQ(world_wait(world.server, &status, 0), world.server);
	EVENTUALLY(!alive((pid_t)child));
	world.server = world_serve("local:lab?isolate=fork");
	EVENTUALLY(lab_null(world.conn) == 0);
	world_close(&world);
}

TEST(isolated_services_end_with_their_client)
{
	struct world world;
	unsigned n_fds;

	if (world_emulated())
		world_needs_threads_in_children();
	world = world_open("isolate=fork", "");
	n_fds = world_fds(world.server);
	for (int round = 0; round < 3; round++) {
		pid_t client;

		EVENTUALLY(world_others_sleep());
		fflush(NULL);
		client = fork();
		if (client == 0) {
			struct vmrpc *conn = world_connect("local:lab");

			CHECK_OK(lab_null(conn));
			CHECK_OK(lab_note_slowly(conn, 0, 300000));
			raise(SIGKILL);
		}
		CHECK_EQ(waitpid(client, NULL, 0), client);
		EVENTUALLY(count_children(world.server) == 1);
		EVENTUALLY(world_fds(world.server) == n_fds);
	}
	CHECK_OK(lab_null(world.conn));
	world_close(&world);
}

/* Calls, callbacks, heap and stack work as in one process. */
TEST(isolated_services_do_everything)
{
	struct world world = world_open("isolate=fork", "");
	struct vmrpc_heap *heap;
	int64_t result;
	void *block;

	CHECK_OK(lab_countdown(world.conn, 50, &result));
	CHECK_EQ(result, 50);
	CHECK_OK(lab_make(world.conn, 5000, 1, &block));
	vmrpc_free(block);
	CHECK_OK(vmrpc_heap_setup(&heap, world.conn, 1 << 20));
	vmrpc_heap_destroy(heap);
	for (int64_t i = 0; i < 1000; i++)
		CHECK_OK(lab_note(world.conn, i));
	CHECK_OK(lab_flush(world.conn));
	world_close(&world);
}

/* ---- who is let in --------------------------------------------------------------------------------------- */

enum { STRANGER = 54321 };

static char *local_of_method;

static void look_at_local(int64_t *local)
{
	local_of_method = (char *)local;
}

static void *call_from_the_stack(void *arg)
{
	char own, *at = &own;
	int64_t result;
	void *where;

	CHECK_OK(lab_on_stack(arg, 1, &result, &where));
	__asm__("" : "+r"(at));
	return at;
}

/* Whether methods run on the caller's stack: where the server trusts it. */
static bool is_trusted(struct vmrpc *conn)
{
	void *own;

	lab_local_hook = look_at_local;
	CHECK_OK(vmrpc_stack_call(conn, call_from_the_stack, conn, &own));
	CHECK(local_of_method);
	return (uintptr_t)own - (uintptr_t)local_of_method < 64 << 10;
}

/* Connects as another user. 0, or the errno; the message must have the words. */
static int connect_as_stranger(const char *address, const char *words)
{
	pid_t client;
	int status;

	fflush(NULL);
	client = fork();
	CHECK(client >= 0);
	if (client == 0) {
		struct vmrpc *conn;
		int64_t result;
		int r;

		CHECK_EQ(setgid(STRANGER), 0);
		CHECK_EQ(setuid(STRANGER), 0);
		r = vmrpc_connect(&conn, &lab_service, address);
		if (r < 0 && !strstr(vmrpc_error_message(), words))
			TEST_FAIL("\"%s\" does not say \"%s\"", vmrpc_error_message(), words);
		if (r == 0) {
			CHECK_OK(lab_add(conn, 1, 2, &result));
			CHECK_EQ(result, 3);
			CHECK_OK(lab_countdown(conn, 5, &result));
			CHECK(!is_trusted(conn));
			vmrpc_close(conn);
		}
		_exit(-r);
	}
	CHECK_EQ(waitpid(client, &status, 0), client);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static pid_t serve_to_strangers(const char *options, char *ret_address, size_t size)
{
	char address[160];
	struct vmrpc *conn;
	pid_t server;

	if (getuid() != 0)
		TEST_SKIP("only root can become another user");
	world_begin();
	CHECK_EQ(chmod(getenv("XDG_RUNTIME_DIR"), 0755), 0);
	snprintf(ret_address, size, "local:%s/sock", getenv("XDG_RUNTIME_DIR"));
	snprintf(address, sizeof address, "%s?%s", ret_address, options);
	server = world_serve(address);
	conn = world_connect(ret_address); /* it is there, and its own user gets in */
	CHECK(is_trusted(conn));
	vmrpc_close(conn);
	return server;
}

TEST(strangers_are_kept_out)
{
	char address[128];
	pid_t server = serve_to_strangers("", address, sizeof address);

	CHECK_EQ(connect_as_stranger(address, "allow=54321"), EACCES);
	world_stop(server);
	world_end();
}

/* The socket lets everybody through then, the server does not. Each of them is told, however early. */
TEST(strangers_are_refused_where_others_are_allowed)
{
	char address[128];
	pid_t server = serve_to_strangers("allow=54322", address, sizeof address);

	for (int i = 0; i < 30; i++)
		CHECK_EQ(connect_as_stranger(address, "allow=54321"), EACCES);
	world_stop(server);
	world_end();
}

TEST(strangers_who_are_allowed_come_in)
{
	char address[128];
	pid_t server = serve_to_strangers("allow=54320,54321", address, sizeof address);

	CHECK_EQ(connect_as_stranger(address, ""), 0);
	world_stop(server);
	world_end();
}

TEST(everybody_may_be_allowed)
{
	char address[128];
	pid_t server = serve_to_strangers("allow=any&isolate=fork", address, sizeof address);

	CHECK_EQ(connect_as_stranger(address, ""), 0);
	world_stop(server);
	world_end();
}

TEST_MAIN()
