/* lab's client stubs, and the callbacks it offers to the server. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "lab_frames.h"

static struct vmrpc_binding binding, other_binding;
static _Thread_local struct vmrpc *calling; /* the connection whose countdown is under way */
_Thread_local int64_t (*lab_hook)(int64_t value);
_Thread_local void (*lab_local_hook)(int64_t *local);

/* What the only thread of a fork child does, it takes to be beside the parent's other threads. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:^in_child$\n";
}

static int answer_countdown(void *arg)
{
	struct lab_frame_countdown *frame = arg;
	int64_t depth = 0;
	int r = lab_countdown(calling, frame->n - 1, &depth);

	frame->result = depth + 1;
	return r;
}

static int answer_local(void *arg)
{
	struct lab_frame_local *frame = arg;

	if (lab_local_hook)
		lab_local_hook(frame->local);
	else
		*frame->local *= 2;
	return 0;
}

static int answer_slow(void *arg)
{
	struct lab_frame_one *frame = arg;
	struct timespec time = {frame->value / 1000, frame->value % 1000 * 1000000};

	if (lab_hook)
		return lab_hook(frame->value) < 0 ? -EIO : 0;
	nanosleep(&time, NULL);
	return 0;
}

static int answer_hook(void *arg)
{
	struct lab_frame_countdown *frame = arg;

	if (!lab_hook)
		return -ENOSYS;
	frame->result = lab_hook(frame->n);
	return frame->result < 0 ? (int)frame->result : 0;
}

#define LAB_THUNK(thunk) NULL
static const struct vmrpc_method methods[] = {LAB_METHODS(LAB_METHOD)};
#undef LAB_THUNK
#define LAB_THUNK(thunk) thunk
static const struct vmrpc_method callbacks[] = {LAB_CALLBACKS(LAB_METHOD)};

const struct vmrpc_service lab_service = {
	.abi = VMRPC_STUB_ABI,
	.name = "lab",
	.major = 1,
	.methods = methods,
	.n_methods = LAB_N_METHODS,
	.callbacks = callbacks,
	.n_callbacks = LAB_N_CALLBACKS,
	.binding = &binding,
};

static const struct vmrpc_method other_methods[] = {{.name = "lab_other_null", .digest = 0x0707}};

const struct vmrpc_service lab_other_client_service = {
	.abi = VMRPC_STUB_ABI,
	.name = "other",
	.major = 3,
	.methods = other_methods,
	.n_methods = 1,
	.binding = &other_binding,
};

int lab_other_null(struct vmrpc *conn)
{
	return vmrpc_stub_call(conn, &lab_other_client_service, 0, NULL);
}

int lab_null(struct vmrpc *conn)
{
	return vmrpc_stub_call(conn, &lab_service, LAB_NULL, NULL);
}

int lab_add(struct vmrpc *conn, int64_t a, int64_t b, int64_t *ret_result)
{
	struct lab_frame_add frame = {a, b, 0};
	int r = vmrpc_stub_call(conn, &lab_service, LAB_ADD, &frame);

	if (r == 0)
		*ret_result = frame.result;
	return r;
}

int lab_six(struct vmrpc *conn, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f, int64_t *ret_result)
{
	struct lab_frame_six frame = {a, b, c, d, e, f, 0};
	int r = vmrpc_stub_call(conn, &lab_service, LAB_SIX, &frame);

	if (r == 0)
		*ret_result = frame.result;
	return r;
}

int lab_sum(struct vmrpc *conn, const int64_t *numbers, size_t n, int64_t *ret_result)
{
	struct lab_frame_sum frame = {numbers, n, 0};
	int r = vmrpc_stub_call(conn, &lab_service, LAB_SUM, &frame);

	if (r == 0)
		*ret_result = frame.result;
	return r;
}

int lab_big(struct vmrpc *conn, const struct lab_big *in, struct lab_big *ret_result)
{
	struct lab_frame_big frame;
	int r;

	frame.in = *in;
	memset(&frame.result, 0, sizeof frame.result);
	r = vmrpc_stub_call(conn, &lab_service, LAB_BIG, &frame);
	if (r == 0)
		*ret_result = frame.result;
	return r;
}

int lab_huge(struct vmrpc *conn, const struct lab_huge *in, struct lab_huge *ret_result)
{
	struct lab_frame_huge frame;
	int r;

	frame.in = *in;
	memset(&frame.result, 0, sizeof frame.result);
	r = vmrpc_stub_call(conn, &lab_service, LAB_HUGE, &frame);
	if (r == 0)
		*ret_result = frame.result;
	return r;
}

int lab_note(struct vmrpc *conn, int64_t value)
{
	struct lab_frame_one frame = {value};

	return vmrpc_stub_call(conn, &lab_service, LAB_NOTE, &frame);
}

int lab_notes(struct vmrpc *conn, int64_t *ret_n, int64_t *ret_in_order)
{
	struct lab_frame_notes frame = {0, 0};
	int r = vmrpc_stub_call(conn, &lab_service, LAB_NOTES, &frame);

	if (r == 0) {
		*ret_n = frame.n;
		*ret_in_order = frame.in_order;
	}
	return r;
}

int lab_flush(struct vmrpc *conn)
{
	return vmrpc_stub_flush(conn, &lab_service);
}

int lab_countdown(struct vmrpc *conn, int64_t n, int64_t *ret_result)
{
	struct lab_frame_countdown frame = {n, 0};
	struct vmrpc *outer = calling;
	int r;

	calling = conn;
	r = vmrpc_stub_call(conn, &lab_service, LAB_COUNTDOWN, &frame);
	calling = outer;
	if (r == 0)
		*ret_result = frame.result;
	return r;
}

int lab_make(struct vmrpc *conn, size_t size, int byte, void **ret_block)
{
	struct lab_frame_make frame = {size, (uint64_t)byte, NULL};
	int r = vmrpc_stub_call(conn, &lab_service, LAB_MAKE, &frame);

	if (r == 0)
		*ret_block = frame.result;
	return r;
}

int lab_unmake(struct vmrpc *conn, void *block)
{
	struct lab_frame_unmake frame = {block};

	return vmrpc_stub_call(conn, &lab_service, LAB_UNMAKE, &frame);
}

int lab_sleep(struct vmrpc *conn, int64_t ms)
{
	struct lab_frame_one frame = {ms};

	return vmrpc_stub_call(conn, &lab_service, LAB_SLEEP, &frame);
}

int lab_idempotent(struct vmrpc *conn, int64_t ms, int64_t *ret_pid)
{
	struct lab_frame_countdown frame = {ms, 0};
	int r = vmrpc_stub_call(conn, &lab_service, LAB_IDEMPOTENT, &frame);

	if (r == 0)
		*ret_pid = frame.result;
	return r;
}

int lab_crash(struct vmrpc *conn)
{
	return vmrpc_stub_call(conn, &lab_service, LAB_CRASH, NULL);
}

int lab_pid(struct vmrpc *conn, int64_t *ret_pid)
{
	struct lab_frame_result frame = {0};
	int r = vmrpc_stub_call(conn, &lab_service, LAB_PID, &frame);

	if (r == 0)
		*ret_pid = frame.result;
	return r;
}

int lab_thread_counter(struct vmrpc *conn, int64_t *ret_count)
{
	struct lab_frame_result frame = {0};
	int r = vmrpc_stub_call(conn, &lab_service, LAB_THREAD_COUNTER, &frame);

	if (r == 0)
		*ret_count = frame.result;
	return r;
}

int lab_on_stack(struct vmrpc *conn, int64_t value, int64_t *ret_result, void **ret_where)
{
	struct lab_frame_on_stack frame = {value, 0, NULL};
	int r = vmrpc_stub_call(conn, &lab_service, LAB_ON_STACK, &frame);

	if (r == 0) {
		*ret_result = frame.result;
		*ret_where = frame.where;
	}
	return r;
}

int lab_smash(struct vmrpc *conn)
{
	return vmrpc_stub_call(conn, &lab_service, LAB_SMASH, NULL);
}

int lab_meet(struct vmrpc *conn, _Atomic int *word)
{
	struct lab_frame_unmake frame = {word};

	return vmrpc_stub_call(conn, &lab_service, LAB_MEET, &frame);
}

int lab_fail(struct vmrpc *conn, int64_t error)
{
	struct lab_frame_one frame = {error};

	return vmrpc_stub_call(conn, &lab_service, LAB_FAIL, &frame);
}

int lab_slow_callback(struct vmrpc *conn, int64_t ms, int64_t *ret_error)
{
	struct lab_frame_countdown frame = {ms, 0};
	int r = vmrpc_stub_call(conn, &lab_service, LAB_SLOW_CALLBACK, &frame);

	if (r == 0)
		*ret_error = frame.result;
	return r;
}

int lab_call_hook(struct vmrpc *conn, int64_t value, int64_t *ret_result)
{
	struct lab_frame_countdown frame = {value, 0};
	int r = vmrpc_stub_call(conn, &lab_service, LAB_CALL_HOOK, &frame);

	if (r == 0)
		*ret_result = frame.result;
	return r;
}

int lab_tid(struct vmrpc *conn, int64_t *ret_tid)
{
	struct lab_frame_result frame = {0};
	int r = vmrpc_stub_call(conn, &lab_service, LAB_TID, &frame);

	if (r == 0)
		*ret_tid = frame.result;
	return r;
}

int lab_note_slowly(struct vmrpc *conn, int64_t value, int64_t us)
{
	struct lab_frame_note_slowly frame = {value, us};

	return vmrpc_stub_call(conn, &lab_service, LAB_NOTE_SLOWLY, &frame);
}

int lab_note_big(struct vmrpc *conn, int64_t value)
{
	struct lab_frame_note_big frame = {value, {0}};

	return vmrpc_stub_call(conn, &lab_service, LAB_NOTE_BIG, &frame);
}

int lab_note_hook(struct vmrpc *conn, int64_t value)
{
	struct lab_frame_one frame = {value};

	return vmrpc_stub_call(conn, &lab_service, LAB_NOTE_HOOK, &frame);
}

int lab_fill(struct vmrpc *conn, void *block, size_t n, int byte)
{
	struct lab_frame_fill frame = {block, n, (uint64_t)byte};

	return vmrpc_stub_call(conn, &lab_service, LAB_FILL, &frame);
}

int lab_server_stats(struct vmrpc *conn, struct vmrpc_stats *ret_stats)
{
	struct lab_frame_stats frame;
	int r;

	memset(&frame, 0, sizeof frame);
	r = vmrpc_stub_call(conn, &lab_service, LAB_SERVER_STATS, &frame);
	if (r == 0)
		*ret_stats = frame.result;
	return r;
}

int lab_dirty(struct vmrpc *conn, size_t n, int byte, unsigned char **ret_where)
{
	struct lab_frame_dirty frame = {n, (uint64_t)byte, NULL};
	int r = vmrpc_stub_call(conn, &lab_service, LAB_DIRTY, &frame);

	if (r == 0)
		*ret_where = frame.where;
	return r;
}

int lab_same_address(struct vmrpc *conn, const void *pointer, int64_t *ret_same)
{
	struct lab_frame_same_address frame = {pointer, (uintptr_t)pointer, 0};
	int r = vmrpc_stub_call(conn, &lab_service, LAB_SAME_ADDRESS, &frame);

	if (r == 0)
		*ret_same = frame.result;
	return r;
}

int lab_stop_serving(struct vmrpc *conn)
{
	return vmrpc_stub_call(conn, &lab_service, LAB_STOP_SERVING, NULL);
}
