/* Bad input: a clear negative errno, words that name what and what to do, and nothing left behind. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "internal.h"
#include "lab_frames.h"
#include "world.h"

/* Connecting fails, and leaves neither descriptors nor threads nor memory behind. */
#define REFUSED(service, address, error, words)                                         \
	do {                                                                            \
		unsigned test_fds = world_fds(getpid());                                \
		unsigned test_threads = world_threads(getpid());                        \
		struct vmrpc *test_conn = (struct vmrpc *)-1;                           \
                                                                                        \
		CHECK_FAILS(vmrpc_connect(&test_conn, service, address), error, words); \
		CHECK(test_conn == (struct vmrpc *)-1);                                 \
		CHECK_EQ(world_fds(getpid()), test_fds);                                \
		CHECK_EQ(world_threads(getpid()), test_threads);                        \
		CHECK_EQ(world_regions(getpid()), 0);                                   \
	} while (0)

/* So does serving. */
#define NOT_SERVED(service, address, error, words)                                          \
	do {                                                                                \
		unsigned test_fds = world_fds(getpid());                                    \
		struct vmrpc_server *test_server;                                           \
                                                                                            \
		CHECK_FAILS(vmrpc_serve(service, address), error, words);                   \
		CHECK_OK(vmrpc_server_new(&test_server));                                   \
		CHECK_FAILS(vmrpc_server_add(test_server, service, address), error, words); \
		vmrpc_server_free(test_server);                                             \
		CHECK_EQ(world_fds(getpid()), test_fds);                                    \
		CHECK_EQ(world_sockets(), 0);                                               \
	} while (0)

static const char *long_name(unsigned n)
{
	static char name[256];

	snprintf(name, sizeof name, "local:%0*d", (int)n, 1);
	return name;
}

TEST(bad_addresses)
{
	world_begin();
	REFUSED(&lab_service, "", EINVAL, "is no address");
	REFUSED(&lab_service, "lab", EINVAL, "local:lab");
	REFUSED(&lab_service, "?timeout=1", EINVAL, "is no address");
	REFUSED(&lab_service, "local?a:b", EINVAL, "is no address");
	REFUSED(&lab_service, ":lab", EPROTONOSUPPORT, "there are: local:");
	REFUSED(&lab_service, "tcp:localhost:80", EPROTONOSUPPORT, "no backend called 'tcp'");
	REFUSED(&lab_service, "loc:lab", EPROTONOSUPPORT, "there are: local:");
	REFUSED(&lab_service, "local:", EINVAL, "needs a name");
	REFUSED(&lab_service, "local:?timeout=1s", EINVAL, "needs a name");
	REFUSED(&lab_service, "local:.", EINVAL, "no name");
	REFUSED(&lab_service, "local:..", EINVAL, "no name");
	REFUSED(&lab_service, long_name(150), ENAMETOOLONG, "choose a shorter one");
	REFUSED(&lab_service, "local:lab?speed=11", EINVAL, "no option 'speed'; there are: heap, stack, channels");
	REFUSED(&lab_service, "local:lab?timeout", EINVAL, "timeout= takes");
	REFUSED(&lab_service, "local:lab?heap=many", EINVAL, "heap= takes a size");
	REFUSED(&lab_service, "local:lab?heap=65G", EINVAL, "at most 64G");
	REFUSED(&lab_service, "local:lab?stack=4K", EINVAL, "at least 64K");
	REFUSED(&lab_service, "local:lab?stack=1G", EINVAL, "at most 64M");
	REFUSED(&lab_service, "local:lab?channels=0", EINVAL, "1 to 4096");
	REFUSED(&lab_service, "local:lab?trust=maybe", EINVAL, "yes or no");
	NOT_SERVED(&lab_server_service, "lab", EINVAL, "is no address");
	NOT_SERVED(&lab_server_service, "tcp:lab", EPROTONOSUPPORT, "there are: local:");
	NOT_SERVED(&lab_server_service, "local:", EINVAL, "needs a name");
	NOT_SERVED(&lab_server_service, "local:..", EINVAL, "no name");
	NOT_SERVED(&lab_server_service, long_name(150), ENAMETOOLONG, "choose a shorter one");
	NOT_SERVED(&lab_server_service, "local:lab?isolate=vm", EINVAL, "fork or thread");
	NOT_SERVED(&lab_server_service, "local:lab?allow=nobody-has-this-name", EINVAL, "there is no user");
	NOT_SERVED(&lab_server_service, "local:/nowhere/at/all", ENOENT, "/nowhere/at");
	world_end();
}

TEST(the_environment_is_checked_too)
{
	char folder[64];

	world_begin();
	snprintf(folder, sizeof folder, "%s", getenv("XDG_RUNTIME_DIR"));
	setenv("VMRPC_LAB", "local:lab?speed=11", 1);
	REFUSED(&lab_service, NULL, EINVAL, "no option 'speed'");
	CHECK_FAILS(lab_null(NULL), EINVAL, "no option 'speed'");
	unsetenv("VMRPC_LAB");
	setenv("XDG_RUNTIME_DIR", "/nowhere", 1);
	NOT_SERVED(&lab_server_service, "local:lab", ENOENT, "XDG_RUNTIME_DIR");
	setenv("XDG_RUNTIME_DIR", folder, 1);
	world_end();
}

TEST(bad_services)
{
	static struct vmrpc_method methods[2];
	struct vmrpc_service service = lab_service;
	struct vmrpc_service server = lab_server_service;

	world_begin();
	service.abi = VMRPC_STUB_ABI + 1;
	REFUSED(&service, "local:lab", EPROTONOSUPPORT, "another libvmrpc");
	server.abi = 0;
	NOT_SERVED(&server, "local:lab", EPROTONOSUPPORT, "another libvmrpc");
	REFUSED(NULL, "local:lab", EPROTONOSUPPORT, "another libvmrpc");
	service = lab_service;
	service.name = "";
	REFUSED(&service, "local:lab", EINVAL, "needs a name");
	service.name = "a_name_of_sixty_four_letters_which_is_one_more_than_there_can_be";
	REFUSED(&service, "local:lab", EINVAL, "up to 63");
	service = lab_service;
	service.binding = NULL;
	REFUSED(&service, "local:lab", EINVAL, "binding");
	service = lab_service;
	service.methods = methods;
	service.n_methods = 2;
	methods[0] = (struct vmrpc_method){.name = "fine"};
	methods[1] = (struct vmrpc_method){.name = "odd", .frame_size = 12};
	REFUSED(&service, "local:lab", EINVAL, "method 1");
	methods[1] = (struct vmrpc_method){.name = "large", .frame_size = VMRPC_FRAME_MAX + 8};
	REFUSED(&service, "local:lab", EINVAL, "method 1");
	methods[1] = (struct vmrpc_method){.name = "behind", .frame_size = 8, .result_offset = 16};
	REFUSED(&service, "local:lab", EINVAL, "method 1");
	methods[1] = (struct vmrpc_method){.name = NULL};
	REFUSED(&service, "local:lab", EINVAL, "method 1");
	service = lab_service;
	service.n_methods = 65536;
	REFUSED(&service, "local:lab", EINVAL, "65536 methods");
	world_end();
}

TEST(another_service_or_version)
{
	struct vmrpc_service service = lab_service;
	pid_t server;
	struct vmrpc *conn;

	world_begin();
	server = world_serve("local:lab");
	conn = world_connect("local:lab");
	vmrpc_close(conn);
	REFUSED(&lab_other_client_service, "local:lab", ENOENT,
		"no service called 'other' is offered here; there are: lab");
	service.major = 2;
	REFUSED(&service, "local:lab", EPROTONOSUPPORT, "wants lab version 2, this server has version 1.");
	service.major = 1;
	service.minor = 7; /* is no reason */
	CHECK_OK(vmrpc_connect(&conn, &service, "local:lab"));
	CHECK_OK(lab_null(conn));
	vmrpc_close(conn);
	world_stop(server);
	world_end();
}

/* What the server does not give. The limits are its owner's. */
TEST(more_than_the_server_gives)
{
	struct vmrpc *conn;
	pid_t server;

	world_begin();
	server = world_serve("local:lab?heap=1M&stack=128K&channels=4");
	conn = world_connect("local:lab?heap=1M&stack=128K&channels=4");
	CHECK_OK(lab_null(conn));
	vmrpc_close(conn);
	REFUSED(&lab_service, "local:lab?heap=2M", EMSGSIZE, "heap=2097152 is more than this server gives");
	REFUSED(&lab_service, "local:lab?stack=256K", EMSGSIZE, "stack=262144 is more than this server gives");
	REFUSED(&lab_service, "local:lab?channels=5", EMSGSIZE, "at most 4");
	world_stop(server);
	world_end();
}

/* One method's layout has changed and most are gone: these are refused, each in words, and the rest works. */
TEST(a_changed_method_is_refused_alone)
{
	struct lab_big big = {{0}};
	struct vmrpc *conn;
	pid_t server;
	int64_t result = 77;

	world_begin();
	server = world_serve_service(&lab_changed_service, "local:lab");
	conn = world_connect("local:lab");
	for (int i = 0; i < 3; i++) {
		CHECK_FAILS(lab_add(conn, 1, 2, &result), EPROTONOSUPPORT,
			    "lab.lab_add has another signature or layout");
		CHECK_FAILS(lab_six(conn, 1, 2, 3, 4, 5, 6, &result), ENOSYS, "lab.lab_six is not offered");
		CHECK_FAILS(lab_big(conn, &big, &big), ENOSYS, "lab.lab_big is not offered");
		CHECK_FAILS(lab_note(conn, 1), ENOSYS, "lab.lab_note is not offered");
		CHECK_OK(lab_null(conn)); /* though its number is another there */
	}
	CHECK_EQ(result, 77);
	vmrpc_close(conn);
	world_stop(server);
	world_end();
}

/* A client without a callback: the server is told, the method fails, the connection lives. */
TEST(a_missing_callback_is_refused_alone)
{
	struct vmrpc_service service = lab_service;
	static struct vmrpc_method callbacks[8];
	struct vmrpc *conn;
	pid_t server;
	int64_t result;

	world_begin();
	server = world_serve("local:lab");
	CHECK(service.n_callbacks <= 8);
	memcpy(callbacks, lab_service.callbacks, service.n_callbacks * sizeof *callbacks);
	callbacks[LAB_ON_COUNTDOWN].digest++;
	service.callbacks = callbacks;
	vmrpc_close(world_connect("local:lab")); /* until it is there */
	CHECK_OK(vmrpc_connect(&conn, &service, "local:lab"));
	CHECK_FAILS(lab_countdown(conn, 1, &result), ENOSYS, "lab_countdown");
	lab_hook = labs;
	CHECK_OK(lab_call_hook(conn, -5, &result));
	CHECK_EQ(result, 5);
	vmrpc_close(conn);
	service.n_callbacks = 0;
	CHECK_OK(vmrpc_connect(&conn, &service, "local:lab"));
	CHECK_FAILS(lab_call_hook(conn, 1, &result), ENOSYS, "lab_call_hook");
	CHECK_OK(lab_null(conn));
	vmrpc_close(conn);
	world_stop(server);
	world_end();
}

/* ---- peers that are none of ours ------------------------------------------------------------------------- */

static int listen_at(int type, struct sockaddr_un *ret_address)
{
	char folder[128];
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(folder, sizeof folder, "%s/vmrpc", getenv("XDG_RUNTIME_DIR"));
	mkdir(folder, 0700);
	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(ret_address->sun_path, sizeof ret_address->sun_path, "%s/vmrpc/lab", getenv("XDG_RUNTIME_DIR"));
	CHECK(fd >= 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)ret_address, sizeof *ret_address), 0);
	CHECK_EQ(listen(fd, 16), 0);
	return fd;
}

TEST(other_things_at_the_address)
{
	struct sockaddr_un address;
	int fd;

	world_begin();
	fd = listen_at(SOCK_STREAM, &address);
	REFUSED(&lab_service, "local:lab", EPROTO, "is no server of vmrpc");
	close(fd);
	unlink(address.sun_path);
	fd = open(address.sun_path, O_CREAT | O_WRONLY, 0600);
	CHECK(fd >= 0);
	close(fd);
	REFUSED(&lab_service, "local:lab", ECONNREFUSED, "no server is at");
	unlink(address.sun_path);
	CHECK_EQ(mkdir(address.sun_path, 0700), 0);
	REFUSED(&lab_service, "local:lab", ECONNREFUSED, "no server is at");
	rmdir(address.sun_path);
	world_end();
}

/* Accepts one client after another and answers each with what answer sends. */
static pid_t serve_junk(void (*answer)(int fd))
{
	struct sockaddr_un address;
	int listener = listen_at(SOCK_SEQPACKET, &address);
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			int fd = accept(listener, NULL, NULL);

			answer(fd);
			close(fd);
		}
	}
	close(listener);
	return pid;
}

static void end_junk(pid_t server)
{
	char path[128];

	CHECK_EQ(kill(server, SIGKILL), 0);
	CHECK_EQ(waitpid(server, NULL, 0), server);
	snprintf(path, sizeof path, "%s/vmrpc/lab", getenv("XDG_RUNTIME_DIR"));
	CHECK_EQ(unlink(path), 0);
}

static void hear(int fd)
{
	char message[8192];

	while (recv(fd, message, sizeof message, 0) < 0 && errno == EINTR)
		;
}

static void send_with_fd(int fd, const void *message, size_t size, int passed)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec part = {(void *)message, size};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = sizeof control.bytes};

	CMSG_FIRSTHDR(&header)->cmsg_level = SOL_SOCKET;
	CMSG_FIRSTHDR(&header)->cmsg_type = SCM_RIGHTS;
	CMSG_FIRSTHDR(&header)->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), &passed, sizeof passed);
	CHECK(sendmsg(fd, &header, MSG_NOSIGNAL) == (ssize_t)size);
}

static void answer_words(int fd)
{
	hear(fd);
	send(fd, "hello", 5, MSG_NOSIGNAL);
	hear(fd);
}

static void answer_nothing(int fd)
{
	hear(fd);
}

static void answer_at_length(int fd)
{
	static char zeros[60000];

	hear(fd);
	send(fd, zeros, sizeof zeros, MSG_NOSIGNAL);
}

static void answer_no_memory(int fd)
{
	struct vmrpc__region_message region = {.kind = VMRPC__REGION, .size = 1 << 20, .reserved = 1 << 20};

	hear(fd);
	send(fd, &region, sizeof region, MSG_NOSIGNAL);
}

static void answer_ordinary_file(int fd)
{
	struct vmrpc__region_message region = {.kind = VMRPC__REGION, .size = 1 << 20, .reserved = 1 << 20};
	FILE *file = tmpfile();

	hear(fd);
	CHECK_EQ(ftruncate(fileno(file), 1 << 20), 0);
	send_with_fd(fd, &region, sizeof region, fileno(file));
	fclose(file);
}

/* Memory of fewer bytes than it says: looking at them would fault. */
static void answer_too_little(int fd)
{
	struct vmrpc__region_message region = {.kind = VMRPC__REGION, .size = 1 << 20, .reserved = 1 << 30};
	int memory = memfd_create("vmrpc", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	char message[8192];

	hear(fd);
	CHECK_EQ(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	send_with_fd(fd, &region, sizeof region, memory);
	close(memory);
	while (recv(fd, message, sizeof message, 0) > 0) { /* as if all was well */
		region.kind = VMRPC__PLACE;
		region.flags = VMRPC__PLACE_FINAL;
		send(fd, &region, sizeof region, MSG_NOSIGNAL);
	}
}

/* The right amount, and zeros in the control page. */
static void answer_blank_memory(int fd)
{
	struct vmrpc__region_message region = {.kind = VMRPC__REGION, .size = 1 << 20, .reserved = 1 << 30};
	int memory = memfd_create("vmrpc", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	char message[8192];

	hear(fd);
	CHECK_EQ(ftruncate(memory, 1 << 20), 0);
	CHECK_EQ(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	send_with_fd(fd, &region, sizeof region, memory);
	close(memory);
	while (recv(fd, message, sizeof message, 0) > 0) {
		region.kind = VMRPC__PLACE;
		region.flags = VMRPC__PLACE_FINAL;
		send(fd, &region, sizeof region, MSG_NOSIGNAL);
	}
}

static void refuse_oddly(int fd)
{
	struct vmrpc__ready_message refused = {.kind = VMRPC__REFUSED, .error = 1000000};

	hear(fd);
	memset(refused.text, '\033', sizeof refused.text); /* no end, and a terminal's commands */
	send(fd, &refused, sizeof refused, MSG_NOSIGNAL);
}

TEST(junk_servers)
{
	static const struct {
		void (*answer)(int fd);
		int error;
		const char *words;
	} junk[] = {
		{answer_words, EPROTO, "does not speak this protocol"},
		{answer_nothing, EPIPE, "went away"},
		{answer_at_length, EPROTO, "longer than any"},
		{answer_no_memory, EPROTO, "gives none"},
		{answer_ordinary_file, EPROTO, "none of vmrpc's"},
		{answer_too_little, EPROTO, "less memory than it says"},
		{answer_blank_memory, EPROTO, "control page"},
		{refuse_oddly, EPROTO, "refused: ????"},
	};

	world_begin();
	for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++) {
		pid_t server = serve_junk(junk[i].answer);

		for (int round = 0; round < 3; round++)
			REFUSED(&lab_service, "local:lab", junk[i].error, junk[i].words);
		end_junk(server);
	}
	world_end();
}

/* Junk clients keep nobody out and leave nothing behind. */
TEST(junk_clients)
{
	struct world world = world_open("", "");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct vmrpc__ready_message refusal;
	unsigned n_fds;
	int silent[10];

	CHECK_OK(lab_null(world.conn));
	EVENTUALLY(world_threads(world.server) == world.n_threads + 1);
	n_fds = world_fds(world.server);
	snprintf(address.sun_path, sizeof address.sun_path, "%s/vmrpc/lab", getenv("XDG_RUNTIME_DIR"));
	for (int i = 0; i < 10; i++) { /* never say a word */
		silent[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		CHECK_EQ(connect(silent[i], (struct sockaddr *)&address, sizeof address), 0);
	}
	for (int what = 0; what < 6; what++) {
		struct vmrpc__hello hello = {.kind = VMRPC__HELLO,
					     .protocol = VMRPC__PROTOCOL,
					     .magic = VMRPC__MAGIC,
					     .major = 1,
					     .service = "lab"};
		size_t size = sizeof hello;
		int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

		switch (what) {
		case 0:
			size = 5;
			break;
		case 1:
			hello.protocol++;
			break;
		case 2:
			hello.magic++;
			break;
		case 3:
			hello.n_methods = UINT32_MAX;
			break;
		case 4:
			memset(hello.service, 'x', sizeof hello.service);
			break;
		case 5:
			hello.heap_size = UINT64_MAX;
			break;
		}
		CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
		CHECK_EQ(send(fd, &hello, size, 0), size);
		memset(&refusal, 0, sizeof refusal);
		CHECK_EQ(recv(fd, &refusal, sizeof refusal, 0), sizeof refusal);
		CHECK_EQ(refusal.kind, VMRPC__REFUSED);
		CHECK(refusal.error > 0 && refusal.error < 4096);
		CHECK(refusal.text[0]);
		CHECK_EQ(recv(fd, &refusal, sizeof refusal, 0), 0); /* and that was all */
		close(fd);
		CHECK_OK(lab_null(world.conn));
		vmrpc_close(world_connect("local:lab"));
	}
	for (int i = 0; i < 10; i++)
		close(silent[i]);
	EVENTUALLY(world_threads(world.server) == world.n_threads + 1);
	EVENTUALLY(world_fds(world.server) == n_fds);
	EVENTUALLY(world_regions(world.server) == 1);
	world_close(&world);
}

/* ---- failures that a function can't return ------------------------------------------------------------------ */

static struct vmrpc_failure seen;
static char seen_message[256];

static void on_failure(const struct vmrpc_failure *failure, void *userdata)
{
	seen = *failure;
	snprintf(seen_message, sizeof seen_message, "%s", failure->message);
	*(int *)userdata += 1;
}

TEST(failures_reach_the_handler)
{
	int n = 0, r;

	world_begin();
	vmrpc_set_failure_handler(on_failure, &n);
	r = lab_null(NULL);
	CHECK_EQ(r, -ENOENT);
	vmrpc_stub_failed(&lab_service, LAB_NULL, r);
	CHECK_EQ(n, 1);
	CHECK_STR(seen.service, "lab");
	CHECK_STR(seen.method, "lab_null");
	CHECK_EQ(seen.error, -ENOENT);
	CHECK(strstr(seen_message, "no server is at"));
	world_end();
}

TEST(without_a_handler_the_process_is_ended)
{
	char output[1024] = "";
	int pair[2], status;
	pid_t child;

	world_begin();
	CHECK_EQ(pipe(pair), 0);
	fflush(NULL);
	child = fork();
	if (child == 0) {
		dup2(pair[1], 2);
		signal(SIGABRT, SIG_DFL);
		vmrpc_stub_failed(&lab_service, LAB_NULL, lab_null(NULL));
		_exit(0);
	}
	close(pair[1]);
	CHECK(read(pair[0], output, sizeof output - 1) > 0);
	close(pair[0]);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	CHECK(strstr(output, "lab_null"));
	CHECK(strstr(output, "no server is at"));
	CHECK(strstr(output, "VMRPC_ON_FAIL"));
	world_end();
}

/* Each thread has its own words. */
static void *fail_otherwise(void *arg)
{
	struct vmrpc *conn;

	(void)arg;
	CHECK_STR(vmrpc_error_message(), "");
	CHECK_EQ(vmrpc_connect(&conn, &lab_service, "tcp:x"), -EPROTONOSUPPORT);
	CHECK(strstr(vmrpc_error_message(), "tcp"));
	return NULL;
}

TEST(messages_belong_to_threads)
{
	struct vmrpc *conn;
	pthread_t thread;

	world_begin();
	CHECK_STR(vmrpc_error_message(), "");
	CHECK_EQ(vmrpc_connect(&conn, &lab_service, "local:lab"), -ENOENT);
	CHECK_EQ(pthread_create(&thread, NULL, fail_otherwise, NULL), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK(strstr(vmrpc_error_message(), "no server is at"));
	vmrpc_close(NULL);
	world_end();
}

TEST_MAIN()
