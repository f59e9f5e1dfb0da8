/* RPC stacks between two processes: the caller's locals at the server, the callee's at the caller, and what protects
 * them from each other. */
#include <pthread.h>
#include <setjmp.h>

#include "lab_frames.h"
#include "world.h"

/* Within vmrpc_stack_call(). */
struct visit {
	struct vmrpc *conn;
	char *high, *low; /* addresses of locals along the way */
	int64_t result;
	void *where;
	int r;
};

static char *address_of(void *local)
{
	__asm__("" : "+r"(local)); /* kept beyond its life, on purpose */
	return local;
}

static bool in_a_region(const void *pointer)
{
	char line[512];
	bool found = false;
	FILE *file = fopen("/proc/self/maps", "r");

	CHECK(file);
	while (fgets(line, sizeof line, file)) {
		unsigned long low, high;

		if (sscanf(line, "%lx-%lx", &low, &high) == 2 && (uintptr_t)pointer >= low && (uintptr_t)pointer < high)
			found = strstr(line, "/memfd:vmrpc");
	}
	fclose(file);
	return found;
}

static void *pass_locals(void *arg)
{
	struct visit *visit = arg;
	int64_t numbers[] = {1, 2, 3, 4, 5}, sum;
	unsigned char bytes[100] = {0};

	CHECK(in_a_region(numbers));
	CHECK_OK(lab_sum(visit->conn, numbers, 5, &sum));
	CHECK_EQ(sum, 15);
	CHECK_OK(lab_fill(visit->conn, bytes, sizeof bytes, 0x77));
	for (size_t i = 0; i < sizeof bytes; i++)
		CHECK_EQ(bytes[i], 0x77);
	return visit;
}

TEST(locals_are_handed_over_as_they_are)
{
	struct world world = world_open("", "");
	struct visit visit = {.conn = world.conn};
	void *result = NULL;

	CHECK(!in_a_region(&visit));
	CHECK_OK(vmrpc_stack_call(world.conn, pass_locals, &visit, &result));
	CHECK(result == &visit);
	CHECK_OK(vmrpc_stack_call(world.conn, pass_locals, &visit, NULL));
	CHECK_FAILS(vmrpc_stack_call(NULL, pass_locals, &visit, NULL), EINVAL, "connection");
	world_close(&world);
}

static void *visit_again(void *arg)
{
	struct visit *visit = arg;
	char local;

	visit->low = address_of(&local);
	return NULL;
}

static void *visit_twice(void *arg)
{
	struct visit *visit = arg;
	char local;

	visit->high = address_of(&local);
	CHECK_OK(vmrpc_stack_call(visit->conn, visit_again, visit, NULL));
	return NULL;
}

/* On the stack already, it is an ordinary call. */
TEST(stack_calls_nest)
{
	struct world world = world_open("", "");
	struct visit visit = {.conn = world.conn};

	CHECK_OK(vmrpc_stack_call(world.conn, visit_twice, &visit, NULL));
	CHECK(visit.low < visit.high);
	CHECK(visit.high - visit.low < 16 << 10);
	CHECK(in_a_region(visit.low));
	world_close(&world);
}

static char *local_low; /* where the callee's local was, in callbacks */
static bool local_shared;

static void look_at_local(int64_t *local)
{
	local_low = (char *)local;
	local_shared = in_a_region(local);
	if (local_shared)
		*local += 1000;
}

static void *call_on_stack(void *arg)
{
	struct visit *visit = arg;
	char local;

	visit->high = address_of(&local);
	visit->r = lab_on_stack(visit->conn, 21, &visit->result, &visit->where);
	return NULL;
}

/* The callee's local lies on the caller's stack, below the caller's frames, and the callback gets its address. */
static void check_shared(struct vmrpc *conn)
{
	struct visit visit = {.conn = conn};

	lab_local_hook = look_at_local;
	local_low = NULL;
	CHECK_OK(vmrpc_stack_call(conn, call_on_stack, &visit, NULL));
	CHECK_EQ(visit.r, 0);
	CHECK_EQ(visit.result, 1021);
	CHECK(visit.where == local_low);
	CHECK(local_shared);
	CHECK(local_low < visit.high);
	CHECK(visit.high - local_low < 64 << 10);
}

/* Where either side does not trust, the method's locals are its own business. */
static void check_private(struct vmrpc *conn)
{
	struct visit visit = {.conn = conn};

	lab_local_hook = look_at_local;
	CHECK_OK(vmrpc_stack_call(conn, call_on_stack, &visit, NULL));
	CHECK_EQ(visit.r, 0);
	CHECK_EQ(visit.result, 21);
	CHECK(!local_shared);
}

TEST(methods_run_on_the_caller_s_stack)
{
	struct world world = world_open("", "");
	struct visit visit = {.conn = world.conn};

	for (int i = 0; i < 3; i++)
		check_shared(world.conn);
	/* Not when the caller is elsewhere. */
	local_shared = false;
	call_on_stack(&visit);
	CHECK_EQ(visit.r, 0);
	CHECK(!local_shared);
	world_close(&world);
}

TEST(a_server_without_trust_runs_methods_on_its_own_stack)
{
	struct world world = world_open("trust=no", "");

	check_private(world.conn);
	world_close(&world);
}

TEST(a_client_without_trust_keeps_its_stack)
{
	struct world world = world_open("", "trust=no&stack=shared");

	check_private(world.conn);
	world_close(&world);
}

static struct vmrpc *hook_conn;
static char *hook_low;

static int64_t hook_where(int64_t value)
{
	struct visit visit = {.conn = hook_conn};

	CHECK_OK(vmrpc_stack_call(hook_conn, visit_again, &visit, NULL));
	hook_low = visit.low;
	return value;
}

static void *call_hook(void *arg)
{
	struct visit *visit = arg;
	char local;

	visit->high = address_of(&local);
	CHECK_OK(lab_call_hook(visit->conn, 8, &visit->result));
	return NULL;
}

/* In a callback the client's next stay on the stack begins below the server's frames, where there are any:
 * lab_call_hook is not marked, so it runs there only with stack=shared. */
TEST(stays_in_callbacks_begin_below)
{
	struct world world = world_open("", "");
	struct visit visit = {.conn = world.conn};
	struct vmrpc *shared = world_connect("local:lab?stack=shared");
	ptrdiff_t depth, depth_shared;

	lab_hook = hook_where;
	hook_conn = world.conn;
	CHECK_OK(vmrpc_stack_call(world.conn, call_hook, &visit, NULL));
	CHECK_EQ(visit.result, 8);
	CHECK(hook_low < visit.high);
	depth = visit.high - hook_low;
	hook_conn = visit.conn = shared;
	CHECK_OK(vmrpc_stack_call(shared, call_hook, &visit, NULL));
	CHECK(hook_low < visit.high);
	depth_shared = visit.high - hook_low;
	CHECK(depth_shared > depth); /* by the server's frames */
	vmrpc_close(shared);
	world_close(&world);
}

/* Callee, callback, callee again ... all on one stack, each local where it belongs. */
static int nest_depth;

static void nest(int64_t *local);

static void *call_nested(void *arg)
{
	struct visit *visit = arg;
	int64_t own = 5;

	visit->r = lab_on_stack(visit->conn, 100 + nest_depth, &visit->result, &visit->where);
	CHECK_EQ(own, 5);
	__asm__ volatile("" : : "r"(&own) : "memory");
	return NULL;
}

static void nest(int64_t *local)
{
	int64_t before = *local;
	struct visit visit = {.conn = hook_conn};

	CHECK_EQ(before, 100 + nest_depth);
	if (nest_depth < 6) {
		nest_depth++;
		CHECK_OK(vmrpc_stack_call(hook_conn, call_nested, &visit, NULL));
		nest_depth--;
		CHECK_EQ(visit.r, 0);
		CHECK_EQ(visit.result, 100 + nest_depth + 1 + 1000);
		CHECK((char *)visit.where < (char *)local);
	}
	CHECK_EQ(*local, before);
	*local += 1000;
}

TEST(shared_stacks_nest)
{
	struct world world = world_open("", "stack=1M");
	struct visit visit = {.conn = world.conn};

	hook_conn = world.conn;
	lab_local_hook = nest;
	CHECK_OK(vmrpc_stack_call(world.conn, call_nested, &visit, NULL));
	CHECK_EQ(visit.r, 0);
	CHECK_EQ(visit.result, 1100);
	world_close(&world);
}

/* Deeper than the stack reaches: said, and survived. */
static int deep_r;

static void nest_deep(int64_t *local)
{
	struct visit visit = {.conn = hook_conn};
	int r = vmrpc_stack_call(hook_conn, call_on_stack, &visit, NULL);

	*local += 1;
	if (r < 0 || visit.r < 0)
		deep_r = r < 0 ? r : visit.r;
}

TEST(a_full_stack_is_an_error)
{
	struct world world = world_open("", "stack=64K");

	hook_conn = world.conn;
	lab_local_hook = nest_deep;
	for (int i = 0; i < 3; i++) {
		struct visit visit = {.conn = world.conn};

		deep_r = 0;
		CHECK_OK(vmrpc_stack_call(world.conn, call_on_stack, &visit, NULL));
		CHECK_EQ(visit.r, 0);
		CHECK_EQ(visit.result, 22);
		CHECK(deep_r == -ENOMEM || deep_r == -ELOOP);
	}
	world_close(&world);
}

struct dirty {
	struct vmrpc *conn;
	unsigned char *where;
	bool wiped;
};

enum { DIRTY_SIZE = 8192, DIRTY_BYTE = 0xd1 };

static void *call_dirty(void *arg)
{
	struct dirty *dirty = arg;

	CHECK_OK(lab_dirty(dirty->conn, DIRTY_SIZE, DIRTY_BYTE, &dirty->where));
	return NULL;
}

/* How much of what the method left is still there. */
static __attribute__((no_sanitize("address"))) unsigned count_dirt(const struct dirty *dirty)
{
	unsigned n = 0;

	for (const volatile unsigned char *byte = dirty->where; byte < dirty->where + DIRTY_SIZE; byte++)
		n += *byte == DIRTY_BYTE;
	return n;
}

TEST(wipe_leaves_nothing)
{
	struct world world = world_open("wipe=yes", "");
	struct dirty dirty = {.conn = world.conn};

	for (int i = 0; i < 3; i++) {
		CHECK_OK(vmrpc_stack_call(world.conn, call_dirty, &dirty, NULL));
		CHECK(in_a_region(dirty.where));
		CHECK_EQ(count_dirt(&dirty), 0);
	}
	world_close(&world);
}

/* So that the one above shows something. */
TEST(without_wipe_something_is_left)
{
	struct world world = world_open("", "");
	struct dirty dirty = {.conn = world.conn};

	CHECK_OK(vmrpc_stack_call(world.conn, call_dirty, &dirty, NULL));
	CHECK(in_a_region(dirty.where));
	CHECK(count_dirt(&dirty) > DIRTY_SIZE / 2);
	world_close(&world);
}

/* guard=yes: while the call is out, nobody at the client writes to the stack. */
static char *guarded_byte;
static sigjmp_buf faulted;

static void on_fault(int number)
{
	siglongjmp(faulted, number);
}

/* Whether writing to the caller's frame faults now. */
static int64_t hook_write(int64_t value)
{
	(void)value;
	*(volatile char *)guarded_byte = 42; /* in a callback it does not */
	return 1;
}

struct writer {
	pthread_t thread;
	struct vmrpc *conn;
	char *byte;
	_Atomic int *word; /* see lab_meet */
	bool fault;
};

/* While the call is out. */
static void *write_meanwhile(void *arg)
{
	struct writer *writer = arg;

	while (*writer->word != 1)
		usleep(100);
	signal(SIGSEGV, on_fault);
	if (sigsetjmp(faulted, 1) == 0)
		*(volatile char *)writer->byte = 7;
	else
		writer->fault = true;
	signal(SIGSEGV, SIG_DFL);
	*writer->word = 2;
	return NULL;
}

static void *call_guarded(void *arg)
{
	struct writer *writer = arg;
	int64_t result;
	char byte = 1;

	guarded_byte = writer->byte = address_of(&byte);
	lab_hook = hook_write;
	CHECK_OK(lab_call_hook(writer->conn, 1, &result));
	CHECK_EQ(*(volatile char *)writer->byte, 42);
	*writer->word = 0;
	CHECK_EQ(pthread_create(&writer->thread, NULL, write_meanwhile, writer), 0);
	CHECK_OK(lab_meet(writer->conn, writer->word));
	CHECK_EQ(pthread_join(writer->thread, NULL), 0);
	CHECK_EQ(*(volatile char *)writer->byte, writer->fault ? 42 : 7);
	*(volatile char *)writer->byte = 9; /* afterwards it is our own again */
	return NULL;
}

static bool write_faults(struct vmrpc *conn)
{
	struct writer writer = {.conn = conn, .word = vmrpc_malloc(conn, sizeof *writer.word)};

	CHECK_OK(vmrpc_stack_call(conn, call_guarded, &writer, NULL));
	vmrpc_free((void *)writer.word);
	return writer.fault;
}

TEST(guard_catches_writes_during_a_call)
{
	struct world world = world_open("", "guard=yes");
	struct vmrpc *unguarded = world_connect("local:lab");
	struct vmrpc *shared = world_connect("local:lab?guard=yes&stack=shared");

	for (int i = 0; i < 3; i++)
		CHECK(write_faults(world.conn));
	CHECK(write_faults(shared));
	CHECK(!write_faults(unguarded));
	check_shared(world.conn); /* the server writes where it may */
	check_shared(shared);
	vmrpc_close(unguarded);
	vmrpc_close(shared);
	world_close(&world);
}

/* The guard goes with the call also when that fails. */
static void *time_out_guarded(void *arg)
{
	struct visit *visit = arg;
	volatile int64_t local = 1;

	CHECK_EQ(lab_sleep(visit->conn, 1500), -ETIMEDOUT);
	local++;
	CHECK_EQ(local, 2);
	CHECK_OK(lab_null(visit->conn)); /* on another channel, while still on the stack of this one */
	CHECK_OK(vmrpc_stack_call(visit->conn, pass_locals, visit, NULL));
	return NULL;
}

TEST(a_call_from_the_stack_may_time_out)
{
	struct world world = world_open("", "guard=yes&timeout=500");
	struct visit visit = {.conn = world.conn};
	struct vmrpc_stats stats;

	CHECK_OK(vmrpc_stack_call(world.conn, time_out_guarded, &visit, NULL));
	CHECK_OK(vmrpc_stack_call(world.conn, pass_locals, &visit, NULL));
	CHECK_EQ(vmrpc_get_stats(world.conn, &stats), 0);
	CHECK_EQ(stats.channels, 1);
	world_close(&world);
}

/* A server that dies takes neither the caller nor its stack along. */
static void *crash_on_stack(void *arg)
{
	struct visit *visit = arg;
	volatile int64_t local = 1;

	visit->r = lab_crash(visit->conn);
	local++;
	CHECK_EQ(local, 2);
	return NULL;
}

TEST(a_server_may_die_during_a_call_from_the_stack)
{
	struct world world = world_open("", "guard=yes&stack=shared");
	struct visit visit = {.conn = world.conn};
	int status;

	CHECK_OK(vmrpc_stack_call(world.conn, crash_on_stack, &visit, NULL));
	CHECK_EQ(visit.r, -EPIPE);
	CHECK_EQ(waitpid(world.server, &status, 0), world.server);
	world.server = world_serve("local:lab");
	check_shared(world.conn);
	world_close(&world);
}

static void *call_smash(void *arg)
{
	struct visit *visit = arg;

	visit->r = lab_smash(visit->conn);
	return NULL;
}

/* The server notices, ends that connection and serves on. */
TEST(an_overrun_stack_ends_the_connection)
{
	struct world world = world_open("", "");
	struct vmrpc *other = world_connect("local:lab");
	struct vmrpc_stats stats;

	for (int i = 1; i <= 3; i++) {
		struct visit visit = {.conn = world.conn};

		CHECK_OK(lab_null(other));
		CHECK_OK(vmrpc_stack_call(world.conn, call_smash, &visit, NULL));
		CHECK_EQ(visit.r, -EPROTO);
		EVENTUALLY(vmrpc_get_stats(world.conn, &stats) == 0 && stats.channels == 0);
		CHECK_OK(lab_null(world.conn)); /* on a new one */
		CHECK_EQ(vmrpc_get_stats(world.conn, &stats), 0);
		CHECK_EQ(stats.reconnects, i);
	}
	CHECK_OK(lab_null(other));
	CHECK_EQ(vmrpc_get_stats(other, &stats), 0);
	CHECK_EQ(stats.reconnects, 0);
	vmrpc_close(other);
	world_close(&world);
}

TEST_MAIN()
