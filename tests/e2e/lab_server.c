/* lab's server thunks. They do the work themselves: there is no library behind. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <vmrpc/server.h>

#include "arch/arch.h"
#include "internal.h"
#include "lab_frames.h"

static struct vmrpc_binding binding, other_binding;
static _Thread_local int64_t n_notes, last_note, in_order = 1, counter;

/* A client's pointer as ours, and the other way round. */
static void *ours(const void *pointer)
{
	return (char *)(uintptr_t)pointer + vmrpc_offset(vmrpc_current());
}

static void *clients(const void *pointer)
{
	char *theirs = (char *)(uintptr_t)pointer - vmrpc_offset(vmrpc_current());

	__asm__("" : "+r"(theirs)); /* of locals too, on purpose: compilers warn of what they see through */
	return theirs;
}

static void rest(int64_t ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&time, &time) < 0)
		;
}

static int serve_null(void *arg)
{
	(void)arg;
	return 0;
}

static int serve_add(void *arg)
{
	struct lab_frame_add *frame = arg;

	frame->result = frame->a + frame->b;
	return 0;
}

static int serve_six(void *arg)
{
	struct lab_frame_six *frame = arg;

	frame->result = frame->a + 2 * frame->b + 3 * frame->c + 4 * frame->d + 5 * frame->e + 6 * frame->f;
	return 0;
}

static int serve_sum(void *arg)
{
	struct lab_frame_sum *frame = arg;
	const int64_t *numbers = ours(frame->numbers);

	frame->result = 0;
	for (uint64_t i = 0; i < frame->n; i++)
		frame->result += numbers[i];
	return 0;
}

static int serve_big(void *arg)
{
	struct lab_frame_big *frame = arg;

	for (size_t i = 0; i < LAB_BIG_WORDS; i++)
		frame->result.words[i] = frame->in.words[i] + 1;
	return 0;
}

static int serve_huge(void *arg)
{
	struct lab_frame_huge *frame = arg;

	for (size_t i = 0; i < sizeof frame->in.words / sizeof frame->in.words[0]; i++)
		frame->result.words[i] = frame->in.words[i] + 1;
	return 0;
}

static int serve_note(void *arg)
{
	const struct lab_frame_one *frame = arg;

	if (frame->value < 0)
		return (int)frame->value;
	if (n_notes && frame->value != last_note + 1)
		in_order = 0;
	n_notes++;
	last_note = frame->value;
	return 0;
}

static int serve_notes(void *arg)
{
	struct lab_frame_notes *frame = arg;

	frame->n = n_notes;
	frame->in_order = in_order;
	n_notes = 0;
	in_order = 1;
	return 0;
}

static int serve_countdown(void *arg)
{
	struct lab_frame_countdown *frame = arg;
	struct lab_frame_countdown callback = {frame->n, 0};
	int r = 0;

	if (frame->n > 0)
		r = vmrpc_stub_callback(&lab_server_service, LAB_ON_COUNTDOWN, &callback);
	frame->result = callback.result;
	return r;
}

static int serve_make(void *arg)
{
	struct lab_frame_make *frame = arg;
	void *block = vmrpc_malloc(NULL, frame->size);

	if (!block)
		return -ENOMEM;
	memset(block, (int)frame->byte, frame->size);
	frame->result = clients(block);
	return 0;
}

static int serve_unmake(void *arg)
{
	const struct lab_frame_unmake *frame = arg;

	vmrpc_free(ours(frame->block));
	return 0;
}

static int serve_sleep(void *arg)
{
	const struct lab_frame_one *frame = arg;

	rest(frame->value);
	return 0;
}

static int serve_idempotent(void *arg)
{
	struct lab_frame_countdown *frame = arg;

	rest(frame->n);
	frame->result = getpid();
	return 0;
}

static int serve_crash(void *arg)
{
	(void)arg;
	raise(SIGKILL);
	return 0;
}

static int serve_pid(void *arg)
{
	struct lab_frame_result *frame = arg;

	frame->result = getpid();
	return 0;
}

static int serve_counter(void *arg)
{
	struct lab_frame_result *frame = arg;

	frame->result = ++counter;
	return 0;
}

static int serve_on_stack(void *arg)
{
	struct lab_frame_on_stack *frame = arg;
	int64_t local = frame->value;
	struct lab_frame_local callback = {clients(&local)};
	int r = vmrpc_stub_callback(&lab_server_service, LAB_ON_LOCAL, &callback);

	__asm__ volatile("" : : "r"(&local) : "memory"); /* the callback changed it */
	frame->result = local;
	frame->where = clients(&local);
	return r;
}

/* Where those words are only the runtime knows. */
static int serve_smash(void *arg)
{
	struct vmrpc__channel *channel = vmrpc__self->serving;
	uintptr_t callers = (uintptr_t)channel->session->region.base + channel->cell->words[2];
	volatile uint64_t *canaries = (volatile uint64_t *)((callers - VMRPC__RED_ZONE) / 16 * 16) - 8;

	(void)arg;
	for (int i = 0; i < 8; i++)
		canaries[i] = 0x5a5a5a5a5a5a5a5a;
	return 0;
}

static int serve_meet(void *arg)
{
	const struct lab_frame_unmake *frame = arg;
	_Atomic int *word = ours(frame->block);

	*word = 1;
	while (*word != 2)
		usleep(100);
	return 0;
}

static int serve_fail(void *arg)
{
	const struct lab_frame_one *frame = arg;

	return -(int)frame->value;
}

static int serve_slow_callback(void *arg)
{
	struct lab_frame_countdown *frame = arg;
	struct lab_frame_one callback = {frame->n};

	frame->result = vmrpc_stub_callback(&lab_server_service, LAB_ON_SLOW, &callback);
	return 0;
}

static int serve_call_hook(void *arg)
{
	struct lab_frame_countdown *frame = arg, callback = {frame->n, 0};
	int r = vmrpc_stub_callback(&lab_server_service, LAB_ON_HOOK, &callback);

	frame->result = callback.result;
	return r;
}

static int serve_tid(void *arg)
{
	struct lab_frame_result *frame = arg;

	frame->result = gettid();
	return 0;
}

static int serve_note_slowly(void *arg)
{
	const struct lab_frame_note_slowly *frame = arg;
	struct lab_frame_one note = {frame->value};

	usleep((useconds_t)frame->us);
	return serve_note(&note);
}

static int serve_note_hook(void *arg)
{
	const struct lab_frame_one *frame = arg;
	struct lab_frame_countdown callback = {frame->value, 0};
	int r = vmrpc_stub_callback(&lab_server_service, LAB_ON_HOOK, &callback);
	struct lab_frame_one note = {callback.result};

	return r < 0 ? r : serve_note(&note);
}

static int serve_fill(void *arg)
{
	const struct lab_frame_fill *frame = arg;

	memset(ours(frame->block), (int)frame->byte, frame->n);
	return 0;
}

static int serve_stats(void *arg)
{
	struct lab_frame_stats *frame = arg;

	return vmrpc_get_stats(vmrpc_current(), &frame->result);
}

static int serve_dirty(void *arg)
{
	struct lab_frame_dirty *frame = arg;
	unsigned char locals[16 << 10];

	if (frame->n > sizeof locals)
		return -EINVAL;
	memset(locals, (int)frame->byte, frame->n);
	__asm__ volatile("" : : "r"(locals) : "memory"); /* they are to be there, though nobody here reads them */
	frame->where = clients(locals);
	return 0;
}

static int serve_same_address(void *arg)
{
	struct lab_frame_same_address *frame = arg;

	frame->result = (uintptr_t)ours(frame->pointer) == frame->number;
	return 0;
}

static int serve_stop_serving(void *arg)
{
	(void)arg;
	vmrpc_serve_stop();
	return 0;
}

#define LAB_THUNK(thunk) thunk
static const struct vmrpc_method methods[] = {LAB_METHODS(LAB_METHOD)};
static const struct vmrpc_method changed_methods[] = {
	{.name = "lab_add",
	 .digest = 0xadd,
	 .frame_size = sizeof(struct lab_frame_add),
	 .result_offset = 16,
	 .serve = serve_add},
	{.name = "lab_null", .digest = LAB_DIGEST(LAB_NULL, 0), .serve = serve_null},
};
#undef LAB_THUNK
#define LAB_THUNK(thunk) NULL
static const struct vmrpc_method callbacks[] = {LAB_CALLBACKS(LAB_METHOD)};

const struct vmrpc_service lab_server_service = {
	.abi = VMRPC_STUB_ABI,
	.name = "lab",
	.major = 1,
	.methods = methods,
	.n_methods = LAB_N_METHODS,
	.callbacks = callbacks,
	.n_callbacks = LAB_N_CALLBACKS,
	.binding = &binding,
};

static const struct vmrpc_method other_methods[] = {{.name = "lab_other_null", .digest = 0x0707, .serve = serve_null}};

const struct vmrpc_service lab_other_service = {
	.abi = VMRPC_STUB_ABI,
	.name = "other",
	.major = 3,
	.methods = other_methods,
	.n_methods = 1,
	.binding = &other_binding,
};

const struct vmrpc_service lab_changed_service = {
	.abi = VMRPC_STUB_ABI,
	.name = "lab",
	.major = 1,
	.methods = changed_methods,
	.n_methods = sizeof changed_methods / sizeof changed_methods[0],
	.binding = &binding,
};
