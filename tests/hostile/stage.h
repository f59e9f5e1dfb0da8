/* What every lying server happens on: a client, told to trust it or not, that does as it is told in a process of its
 * own. The test is the liar. Whatever comes, the client gets an error in time, with words, and does not crash. */
#ifndef STAGE_H
#define STAGE_H

#include "../e2e/lab_frames.h"
#include "../e2e/workload.h"
#include "internal.h"
#include "puppet.h"
#include "raw.h"

#define TIMEOUT_MS 300 /* of the client's calls */

/* What the client does is told by one letter; it answers with the result. */
static struct vmrpc *conn;
static const char *trust;

static inline int do_nothing(void *frame)
{
	(void)frame;
	return 0;
}

/* Lab, but for callbacks that would follow a wild pointer, or sleep for a wild time: that is theirs to check. And the
 * frame of one of them does not fit the cell. */
#define LARGE_CALLBACK	    LAB_ON_HOOK
#define LARGE_CALLBACK_SIZE 1024
static struct vmrpc_method careful_callbacks[LAB_N_CALLBACKS];
static struct vmrpc_service careful_lab;

static inline int64_t connect_to_liar(const char *address)
{
	char full[128];

	careful_lab = lab_service;
	memcpy(careful_callbacks, lab_service.callbacks, sizeof careful_callbacks);
	for (unsigned i = 0; i < LAB_N_CALLBACKS; i++)
		if (i != LAB_ON_COUNTDOWN)
			careful_callbacks[i].serve = do_nothing;
	careful_callbacks[LARGE_CALLBACK].frame_size = LARGE_CALLBACK_SIZE;
	careful_lab.callbacks = careful_callbacks;
	snprintf(full, sizeof full, "%s?timeout=%dms&heap=1M&trust=%s", address, TIMEOUT_MS, trust);
	return vmrpc_connect(&conn, &careful_lab, full);
}

static inline void *call_on_stack(void *arg)
{
	int64_t *ret_result = arg, result;
	void *where;

	*ret_result = lab_on_stack(conn, 1, &result, &where);
	return NULL;
}

static inline void *add_elsewhere(void *arg)
{
	int64_t *ret_result = arg, result;
	int r = lab_add(conn, 20, 22, &result);

	CHECK(r == 0 || vmrpc_error_message()[0]);
	*ret_result = r < 0 ? r : result;
	return NULL;
}

/* Takes all the heap there is, and gives it back. The number of blocks. */
static inline int64_t use_the_heap(void)
{
	enum { N_BLOCKS = 4096 };
	static unsigned char *blocks[N_BLOCKS];
	struct vmrpc *known;
	const char *why;
	int64_t n;

	for (n = 0; n < N_BLOCKS && (blocks[n] = vmrpc_malloc(conn, 1000)); n++)
		memset(blocks[n], (int)n, 1000);
	for (int64_t i = 0; i < n; i++) {
		CHECK_EQ(blocks[i][0], i & 0xff); /* it is nobody else's */
		CHECK_EQ(blocks[i][999], i & 0xff);
	}
	for (int64_t i = 0; i < n; i++)
		vmrpc_free(blocks[i]);
	if (!vmrpc__arena_is_valid(vmrpc__arena_of(conn, &known), &why))
		TEST_FAIL("the heap's invariants are broken: %s", why);
	vmrpc__arena_done(conn);
	return n;
}

static inline int64_t free_blocks_of_server(void)
{
	const struct vmrpc__session *session = atomic_load(&conn->session);

	for (unsigned i = 0; i < 5000; i++)
		vmrpc_free(session->region.base + session->layout.server_heap.offset + 4096);
	return 0;
}

static inline int64_t do_as_told(char what, const char *address)
{
	static char *kept;
	struct lab_big big = {{1}}, big_result;
	struct vmrpc_heap *heap;
	int64_t result = 0, count;
	pthread_t thread;
	int r;

	switch (what) {
	case 'c':
		return connect_to_liar(address);
	case 'a':
		r = lab_add(conn, 20, 22, &result);
		return r < 0 ? r : result;
	case 'b':
		return lab_big(conn, &big, &big_result);
	case 'd':
		return lab_countdown(conn, 2, &result);
	case 'n':
		for (r = count = 0; r == 0 && count < 1000; count++)
			r = lab_note(conn, count);
		return r;
	case 'h':
		r = vmrpc_heap_setup(&heap, conn, VMRPC__HEAP_GRANULE);
		if (r == 0) { /* it must really be there */
			for (int i = 0; i < 1000; i++) {
				char *block = vmrpc_malloc(conn, 1000);

				if (block)
					memset(block, 1, 1000);
			}
			vmrpc_heap_destroy(heap);
		}
		return r;
	case 'H': /* and keeps it */
		return vmrpc_heap_setup(&heap, conn, VMRPC__HEAP_GRANULE);
	case 'k': /* a block of its own: its place */
		kept = vmrpc_malloc(conn, 1000);
		CHECK(kept);
		return kept - (char *)atomic_load(&conn->session)->region.base;
	case 'm':
		return use_the_heap();
	case 'o':
		return free_blocks_of_server();
	case 't': /* in a thread, and so a channel, of its own */
		CHECK_EQ(pthread_create(&thread, NULL, add_elsewhere, &result), 0);
		CHECK_EQ(pthread_join(thread, NULL), 0);
		return result;
	case 'f':
		return world_fds(getpid());
	case 's':
		r = vmrpc_stack_call(conn, call_on_stack, &result, NULL);
		return r < 0 ? r : result;
	case 'x':
		vmrpc_close(conn);
		return 0;
	default:
		return 0;
	}
}

static inline void be_client(int fd, const char *address)
{
	char what = 0;

	while (what != 'e') {
		int64_t start = world_ms(), result;

		CHECK_EQ(recv(fd, &what, 1, 0), 1);
		start = world_ms();
		result = do_as_told(what, address);
		if (result < 0 && what != 't') {
			CHECK(vmrpc_error_message()[0]);
			for (const char *c = vmrpc_error_message(); *c; c++)
				CHECK((unsigned char)*c >= ' ' && *c != 127); /* fit for a terminal */
		}
		if (world_ms() - start > 20 * TIMEOUT_MS + 10000) /* a handshake has ten seconds */
			TEST_FAIL("'%c' took %" PRId64 " ms", what, world_ms() - start);
		puppet_answer(fd, result);
	}
	_exit(0); /* a sanitizer's leak check has nothing to say of a connection left open */
}

struct stage {
	int listener;
	struct puppet client;
	struct raw raw;
};

static inline struct stage stage_begin(void)
{
	struct stage stage;

	world_begin();
	trust = "no";
	stage.listener = raw_listen("liar");
	CHECK(stage.listener >= 0);
	stage.client = puppet_start(be_client, "local:liar");
	raw_init(&stage.raw);
	return stage;
}

static inline void tell(const struct stage *stage, char what)
{
	CHECK_EQ(send(stage->client.fd, &what, 1, MSG_NOSIGNAL), 1);
}

static inline int64_t hear(const struct stage *stage)
{
	struct pollfd pollfd = {.fd = stage->client.fd, .events = POLLIN};
	int64_t result;

	if (poll(&pollfd, 1, PUPPET_MS) != 1)
		TEST_FAIL("the client hangs");
	if (recv(stage->client.fd, &result, sizeof result, 0) != sizeof result) {
		int status = 0;

		waitpid(stage->client.pid, &status, 0);
		TEST_FAIL("the client died, with status 0x%x", status);
	}
	return result;
}

static inline int64_t ask(const struct stage *stage, char what)
{
	tell(stage, what);
	return hear(stage);
}

static inline void drop_waiting(const struct stage *stage)
{
	struct pollfd pollfd = {.fd = stage->listener, .events = POLLIN};

	while (poll(&pollfd, 1, 0) > 0)
		close(accept(stage->listener, NULL, NULL));
}

/* For a client that may be connecting anew, or whatever: it must be alive. */
static inline void stage_replace_client(struct stage *stage)
{
	int status;

	if (waitpid(stage->client.pid, &status, WNOHANG))
		TEST_FAIL("the client died, with status 0x%x", status);
	kill(stage->client.pid, SIGKILL);
	CHECK_EQ(waitpid(stage->client.pid, &status, 0), stage->client.pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		TEST_FAIL("the client died, with status 0x%x", status);
	close(stage->client.fd);
	raw_close(&stage->raw);
	drop_waiting(stage);
	stage->client = puppet_start(be_client, "local:liar");
}

/* From now on with a client that trusts, or does not. */
static inline void stage_trust(struct stage *stage, bool trusting)
{
	trust = trusting ? "yes" : "no";
	stage_replace_client(stage);
}

static inline void stage_end(struct stage *stage)
{
	char path[128];

	puppet_end(&stage->client);
	raw_close(&stage->raw);
	close(stage->listener);
	raw_path(path, sizeof path, "liar");
	unlink(path);
	world_end();
}

/* The client connects. What waits from earlier tries of it is not meant. */
static inline void stage_accept(struct stage *stage)
{
	raw_close(&stage->raw);
	drop_waiting(stage);
	tell(stage, 'c');
	CHECK_EQ(raw_accept(&stage->raw, stage->listener), 0);
}

/* It gets through. */
static inline void stage_connect(struct stage *stage)
{
	stage_accept(stage);
	CHECK_EQ(raw_answer_handshake(&stage->raw, NULL, NULL), 0);
	CHECK_EQ(hear(stage), 0);
}

/* The request that the client has made on channel 0: its head. */
static inline uint32_t take_request(struct stage *stage)
{
	uint32_t head;

	CHECK_EQ(raw_await(&stage->raw, 0, &head, RAW_PATIENCE_MS), 0);
	return head;
}

#endif
