/* kill -9 at random instants: of clients, whose server must serve on and keep nothing of theirs; and of servers, whose
 * client must reach the next one and keep nothing either. VMRPC_TEST_SEED repeats a run, as far as two schedulers
 * allow. The test's own process has one thread and no connection, so that it can fork. */
#define TEST_TIMEOUT 600

#include "checked_server.h"
#include "process.h"
#include "workload.h"

#define ADDRESS	  "local:kill"
#define N_WORKERS 3
/* Arenas of the C library's malloc; whatever QEMU likes to keep. */
#define SLACK_MAPS (world_emulated() ? UINT32_MAX / 2 : 100)
#define SLACK_KB   (24 << 10)
#define BEYOND_US  3000 /* how long after it has connected a victim lives at most */

/* One connection, on which several threads do all there is to do. */
struct crew {
	struct vmrpc *conn;
	_Atomic bool stop;
	struct workload works[N_WORKERS];
	pthread_t threads[N_WORKERS];
};

static void crew_start(struct crew *crew, const char *address, uint64_t seed, bool mortal)
{
	atomic_store(&crew->stop, false);
	crew->conn = world_connect(address);
	for (unsigned i = 0; i < N_WORKERS; i++) {
		crew->works[i] = (struct workload){.address = ADDRESS,
						   .conn = crew->conn,
						   .random = seed + 2 * i,
						   .mortal = mortal,
						   .stop = &crew->stop};
		CHECK_EQ(pthread_create(&crew->threads[i], NULL, workload_run, &crew->works[i]), 0);
	}
}

static void crew_stop(struct crew *crew)
{
	atomic_store(&crew->stop, true);
	for (unsigned i = 0; i < N_WORKERS; i++)
		CHECK_EQ(pthread_join(crew->threads[i], NULL), 0);
	vmrpc_close(crew->conn);
}

/* The next call after a server's death must work, but one that was out, or that found out, may fail. */
static int64_t call_new_server(struct vmrpc *conn)
{
	int64_t pid;
	int r = lab_pid(conn, &pid);

	if (r == -EPIPE)
		r = lab_pid(conn, &pid);
	CHECK_OK(r);
	return pid;
}

static void check_arenas(struct vmrpc *conn)
{
	pthread_mutex_lock(&conn->lock);
	if (conn->session)
		checked_arena(conn->session->arena);
	for (struct vmrpc__session *session = conn->old; session; session = session->next)
		checked_arena(session->arena);
	pthread_mutex_unlock(&conn->lock);
}

/* A client whose crew works from 'g' on till 'q', through the death of any number of servers; 'p' makes one more call
 * and answers who served it; 'c' looks at its heaps. */
static void be_client_of_mortals(int fd, const char *address)
{
	uint64_t seed = workload_seed();
	struct crew crew;
	char what = 0;

	while (what != 'e') {
		int64_t number = 0;

		CHECK_EQ(recv(fd, &what, 1, 0), 1);
		if (what == 'g')
			crew_start(&crew, address, seed += 100, true);
		else if (what == 'q')
			crew_stop(&crew);
		else if (what == 'p')
			number = call_new_server(crew.conn);
		else if (what == 'c')
			check_arenas(crew.conn);
		puppet_answer(fd, number);
	}
}

/* A client among mortal ones: 's' does one thing after the other for a moment. */
static void be_good_client(int fd, const char *address)
{
	struct workload work = {.address = ADDRESS, .conn = world_connect(address), .random = workload_seed()};
	char what = 0;

	while (what != 'e') {
		CHECK_EQ(recv(fd, &what, 1, 0), 1);
		for (int i = 0; i < 3 && what == 's'; i++)
			workload_step(&work);
		if (what == 'e')
			vmrpc_close(work.conn);
		puppet_answer(fd, 0);
	}
}

/* QEMU needs some 100 MB for each region, and keeps them. */
static unsigned rounds_of(unsigned n)
{
	return world_emulated() ? n / 50 : world_scaled(n);
}

/* ---- victims ------------------------------------------------------------------------------------------------- */

static void pass(int64_t us)
{
	struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

	nanosleep(&time, NULL);
}

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* Waits up to us for the process to die by itself, which it must not, then kills it. */
static void kill_after(pid_t pid, int64_t us)
{
	int status;

	pass(us);
	CHECK_EQ(kill(pid, SIGKILL), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		TEST_FAIL("a victim ended before it was killed, with status 0x%x", status);
}

static _Noreturn void be_victim(const char *address, uint64_t seed, int tell_fd)
{
	static struct crew crew;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	crew_start(&crew, address, seed, false);
	if (tell_fd >= 0)
		puppet_answer(tell_fd, 0);
	for (;;)
		pause();
}

static pid_t victim_start(const char *address, uint64_t seed, int tell_fd)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		be_victim(address, seed, tell_fd);
	return pid;
}

/* A server to be killed, which must be a child of ours. */
static pid_t server_start(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		CHECK_OK(vmrpc_serve(&lab_server_service, ADDRESS));
		exit(0);
	}
	return pid;
}

static void server_stop(pid_t server)
{
	int status;

	CHECK_EQ(kill(server, SIGTERM), 0);
	CHECK_EQ(waitpid(server, &status, 0), server);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 0);
}

/* How long a client takes from fork to its first calls, here and now. */
static int64_t measure_opening(const char *address)
{
	int64_t start = now_us(), us, number;
	int pair[2];
	pid_t pid;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	pid = victim_start(address, 1, pair[1]);
	CHECK_EQ(recv(pair[0], &number, sizeof number, 0), sizeof number);
	us = now_us() - start;
	kill_after(pid, 0);
	close(pair[0]);
	close(pair[1]);
	return us;
}

/* A third of the victims die while they connect, the others soon after. */
static int64_t moment(uint64_t *random, int64_t opening_us)
{
	return workload_random(random, 3) == 0 ? workload_random(random, (uint32_t)opening_us + 1)
					       : opening_us + workload_random(random, BEYOND_US);
}

/* ---- the tests ----------------------------------------------------------------------------------------------- */

/* with_client: what the server has in use with one idle client more than without. */
static void kill_clients(const char *server_address, unsigned rounds, struct process_use with_client)
{
	struct process_use quiet, warm, after;
	uint64_t random = workload_seed();
	struct puppet server, client;
	int64_t opening_us;

	world_begin();
	server = puppet_start(checked_server, server_address);
	puppet_ask(&server, 'c');
	quiet = process_look(server.pid);
	quiet.threads += with_client.threads;
	quiet.descriptors += with_client.descriptors;
	quiet.regions += with_client.regions;
	quiet.children += with_client.children;
	client = puppet_start(be_good_client, ADDRESS);
	puppet_ask(&client, 's');
	opening_us = measure_opening(ADDRESS);
	warm = process_settles(server.pid, &quiet, SLACK_MAPS);
	for (unsigned i = 0; i < rounds; i++) {
		kill_after(victim_start(ADDRESS, random, -1), moment(&random, opening_us));
		if (i % 4 == 0)
			puppet_ask(&client, 's');
		if (i % 64 == 0)
			puppet_ask(&server, 'c');
		if (i == rounds / 5)
			warm = process_settles(server.pid, &quiet, SLACK_MAPS);
	}
	puppet_ask(&client, 's');
	puppet_ask(&server, 'c');
	after = process_settles(server.pid, &quiet, SLACK_MAPS);
	if (!world_emulated())
		process_check_resident(&warm, &after, SLACK_KB);
	CHECK_EQ(world_sockets(), 1);
	puppet_end(&client);
	puppet_end(&server);
	world_end();
}

TEST(clients_are_killed)
{
	kill_clients(ADDRESS, rounds_of(1000), (struct process_use){.threads = 1, .descriptors = 2, .regions = 1});
}

TEST(clients_of_an_isolating_server_are_killed)
{
	kill_clients(ADDRESS "?isolate=fork", rounds_of(200), (struct process_use){.descriptors = 1, .children = 1});
}

/* A connection keeps the regions of its last few servers; there is one connection for all, and each worker may have one
 * of its own. */
#define REGIONS_MAX (6 * (1 + N_WORKERS))

TEST(servers_are_killed)
{
	struct process_use quiet, warm, after;
	unsigned rounds = rounds_of(1000);
	uint64_t random = workload_seed();
	int64_t opening_us, start;
	struct puppet client;
	pid_t server;

	world_begin();
	client = puppet_start(be_client_of_mortals, ADDRESS);
	server = server_start();
	puppet_ask(&client, 'g');
	puppet_ask(&client, 'q');
	quiet = process_look(client.pid);
	puppet_ask(&client, 'g');
	kill_after(server, 0);
	start = now_us();
	server = server_start();
	puppet_ask(&client, 'p');
	opening_us = now_us() - start;
	warm = quiet;
	for (unsigned i = 0; i < rounds; i++) {
		int64_t us = moment(&random, opening_us);

		kill_after(server, us);
		server = server_start();
		if (us < opening_us && i + 1 < rounds)
			continue; /* the next dies while clients still connect */
		CHECK_EQ(puppet_ask(&client, 'p'), server);
		if (i % 64 == 0)
			puppet_ask(&client, 'c');
		if (i >= rounds / 5 && warm.resident_kb == quiet.resident_kb) {
			puppet_ask(&client, 'q');
			warm = process_settles(client.pid, &quiet, SLACK_MAPS);
			puppet_ask(&client, 'g');
		}
	}
	/* What dead servers leave goes with the death of later ones, not only with the connection; after a moment in
	 * which somebody might still look at it. */
	for (int64_t give_up = now_us() + PUPPET_MS * 1000; process_look(client.pid).regions > REGIONS_MAX;) {
		if (now_us() > give_up)
			TEST_FAIL("dead servers' regions stay: %u", process_look(client.pid).regions);
		kill_after(server, 300000);
		server = server_start();
		CHECK_EQ(puppet_ask(&client, 'p'), server);
	}
	puppet_ask(&client, 'c');
	puppet_ask(&client, 'q');
	after = process_settles(client.pid, &quiet, SLACK_MAPS);
	if (!world_emulated())
		process_check_resident(&warm, &after, SLACK_KB);
	puppet_end(&client);
	server_stop(server);
	world_end();
}

TEST_MAIN()
