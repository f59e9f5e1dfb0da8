/* RPC stacks: where on them to start, what surrounds the switch, and what is checked after it.
 *
 * The switch itself is arch/<cpu>/stack_switch.S. Compiled with -fexceptions, so that unwinding (a cancelled thread, a
 * C++ exception of the caller's function) puts a stack's state back: see end_visit(). */
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "arch/arch.h"
#include "internal.h"
#include "rpc_stack.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_ALIGN ((uintptr_t)16) /* of a stack pointer at a call, on all our CPUs */
#define N_CANARIES  8

_Thread_local void *vmrpc__stack_innermost;

static unsigned char *align_down(unsigned char *pointer, uintptr_t alignment)
{
	return pointer - (uintptr_t)pointer % alignment;
}

bool vmrpc__rpc_stack_contains(const struct vmrpc__rpc_stack *stack, const void *pointer)
{
	return (uintptr_t)pointer - (uintptr_t)stack->low < (uintptr_t)(stack->high - stack->low);
}

static bool running_on(const struct vmrpc__rpc_stack *stack)
{
	return vmrpc__rpc_stack_contains(stack, vmrpc__stack_pointer());
}

int vmrpc__rpc_stack_init(struct vmrpc__rpc_stack *stack, unsigned char *low, size_t size)
{
	long page = sysconf(_SC_PAGESIZE);

	if (size < VMRPC__RPC_STACK_ROOM || size % VMRPC__PAGE || (uintptr_t)low % VMRPC__PAGE)
		return vmrpc__fail(
			EINVAL, "an RPC stack of %zu bytes at %p: it must be whole pages of %d, and %zu bytes at least",
			size, (void *)low, VMRPC__PAGE, VMRPC__RPC_STACK_ROOM);
	if (mprotect(low - VMRPC__PAGE, VMRPC__PAGE, PROT_NONE) < 0)
		return vmrpc__fail(
			errno, "making the guard page of an RPC stack at %p: %s (this system's pages have %ld bytes)",
			(void *)low, strerror(errno), page);
	*stack = (struct vmrpc__rpc_stack){.low = low, .high = low + size};
	return 0;
}

void vmrpc__rpc_stack_fini(struct vmrpc__rpc_stack *stack)
{
	if (stack->low)
		mprotect(stack->low - VMRPC__PAGE, VMRPC__PAGE, PROT_READ | PROT_WRITE);
	*stack = (struct vmrpc__rpc_stack){0};
}

void vmrpc__rpc_stack_set_mark(struct vmrpc__rpc_stack *stack, void *lowest_in_use)
{
	stack->mark = lowest_in_use;
}

/* ---- going there and back ------------------------------------------------------------------------------------ */

typedef void *switch_function(unsigned char *top, void *(*fn)(void *arg), void *arg, unsigned char **ret_left);

/* One stay on another stack. */
struct visit {
	struct vmrpc__rpc_stack *stack;
	struct vmrpc__rpc_stack before; /* how the stack was */
	void *innermost;
#ifdef WITH_ASAN
	void *(*fn)(void *arg);
	void *arg;
	const void *from_low; /* bounds of the stack we came from */
	size_t from_size;
	void *fake_frames; /* AddressSanitizer's, of the stack we came from */
	bool away;
#endif
};

#ifdef WITH_ASAN

/* The first and the last to run on the other stack. AddressSanitizer must not move its frame elsewhere: what it moves
 * frames to ends in here. */
__attribute__((no_sanitize("address"))) static void *run_visit(void *arg)
{
	struct visit *visit = arg;
	void *result;

	__sanitizer_finish_switch_fiber(NULL, &visit->from_low, &visit->from_size);
	if (!vmrpc__rpc_stack_contains(visit->stack, visit->from_low)) {
		visit->stack->native_low = visit->from_low;
		visit->stack->native_size = visit->from_size;
	}
	result = visit->fn(visit->arg);
	__sanitizer_start_switch_fiber(NULL, visit->from_low, visit->from_size);
	return result;
}

static void *go(struct visit *visit, switch_function *switch_stack, unsigned char *top, void *(*fn)(void *arg),
		void *arg, unsigned char **ret_left)
{
	struct vmrpc__rpc_stack *stack = visit->stack;
	bool to_native = switch_stack == vmrpc__stack_leave;
	const void *low = to_native ? stack->native_low : stack->low;
	size_t size = to_native ? stack->native_size : (size_t)(stack->high - stack->low);
	void *result;

	if (!to_native) /* frames that were there, and went without returning, must not be found poisonous */
		__asan_unpoison_memory_region(stack->low, (size_t)(top - stack->low));
	visit->fn = fn;
	visit->arg = arg;
	visit->away = true;
	__sanitizer_start_switch_fiber(&visit->fake_frames, low, size);
	result = switch_stack(top, run_visit, visit, ret_left);
	__sanitizer_finish_switch_fiber(visit->fake_frames, NULL, NULL);
	visit->away = false;
	return result;
}

static void come_home(struct visit *visit)
{
	if (!visit->away)
		return;
	__sanitizer_start_switch_fiber(NULL, visit->from_low, visit->from_size);
	__sanitizer_finish_switch_fiber(visit->fake_frames, NULL, NULL);
}

#else

static void *go(struct visit *visit, switch_function *switch_stack, unsigned char *top, void *(*fn)(void *arg),
		void *arg, unsigned char **ret_left)
{
	(void)visit;
	return switch_stack(top, fn, arg, ret_left);
}

static void come_home(struct visit *visit)
{
	(void)visit;
}

#endif

/* Puts back what the visit changed. Runs when it returns, and when an exception or a thread's end unwinds it. */
static void end_visit(struct visit *visit)
{
	vmrpc__stack_innermost = visit->innermost;
	come_home(visit);
	visit->stack->left = visit->before.left;
	visit->stack->native = visit->before.native;
	visit->stack->native_low = visit->before.native_low;
	visit->stack->native_size = visit->before.native_size;
}

static void *visit(struct vmrpc__rpc_stack *stack, switch_function *switch_stack, unsigned char *top,
		   void *(*fn)(void *arg), void *arg, unsigned char **ret_left)
{
	__attribute__((cleanup(end_visit))) struct visit here = {
		.stack = stack, .before = *stack, .innermost = vmrpc__stack_innermost};

	return go(&here, switch_stack, top, fn, arg, ret_left);
}

static int refuse_shadow_stack(void)
{
	return vmrpc__fail(ENOTSUP, "RPC stacks do not work with shadow stacks, which this program runs with; "
				    "GLIBC_TUNABLES=glibc.cpu.hwcaps=-SHSTK starts it without");
}

static int refuse_shortage(const struct vmrpc__rpc_stack *stack, size_t room)
{
	return vmrpc__fail(ENOMEM,
			   "%zu bytes of an RPC stack of %zu are free, nothing is started with less than %zu; "
			   "option stack= makes it larger",
			   room, (size_t)(stack->high - stack->low), VMRPC__RPC_STACK_ROOM);
}

/* ---- enter and leave: the client ----------------------------------------------------------------------------- */

int vmrpc__rpc_stack_enter(struct vmrpc__rpc_stack *stack, void *(*fn)(void *arg), void *arg, void **ret_result)
{
	unsigned char *lowest = stack->left ? stack->left : stack->high, *top;
	void *result;

	if (running_on(stack)) {
		result = fn(arg);
	} else {
		if (vmrpc__shadow_stack_active())
			return refuse_shadow_stack();
		if (stack->mark) {
			if (stack->mark < stack->low || stack->mark > stack->high)
				return vmrpc__fail(EFAULT,
						   "the peer says it uses the RPC stack from %p; it lies at %p to %p",
						   (void *)stack->mark, (void *)stack->low, (void *)stack->high);
			if (stack->mark < lowest)
				lowest = stack->mark;
		}
		if ((size_t)(lowest - stack->low) < VMRPC__RED_ZONE + STACK_ALIGN + VMRPC__RPC_STACK_ROOM)
			return refuse_shortage(stack, (size_t)(lowest - stack->low));
		top = lowest == stack->high ? lowest : align_down(lowest - VMRPC__RED_ZONE, STACK_ALIGN);
		result = visit(stack, vmrpc__stack_switch, top, fn, arg, &stack->native);
	}
	if (ret_result)
		*ret_result = result;
	return 0;
}

int vmrpc__rpc_stack_leave(struct vmrpc__rpc_stack *stack, void *(*fn)(void *arg), void *arg)
{
	if (running_on(stack))
		visit(stack, vmrpc__stack_leave, align_down(stack->native, STACK_ALIGN), fn, arg, &stack->left);
	else
		fn(arg);
	return 0;
}

/* ---- borrow: the server -------------------------------------------------------------------------------------- */

static _Atomic uint64_t canary_key;

static uint64_t get_canary_key(void)
{
	/* Relaxed: the key is all there is. */
	uint64_t key = atomic_load_explicit(&canary_key, memory_order_relaxed), none = 0;
	struct timespec now;

	if (key)
		return key;
	if (getrandom(&key, sizeof key, GRND_NONBLOCK) != (ssize_t)sizeof key) {
		clock_gettime(CLOCK_MONOTONIC, &now); /* early at boot: hard to guess has to do */
		key = ((uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec ^ (uintptr_t)&now) * 0x9e3779b97f4a7c15;
	}
	key |= 1;
	if (atomic_compare_exchange_strong_explicit(&canary_key, &none, key, memory_order_relaxed,
						    memory_order_relaxed))
		return key;
	return none;
}

static void set_canaries(_Atomic uint64_t *canaries, uint64_t key)
{
	int i;

	for (i = 0; i < N_CANARIES; i++)
		atomic_store_explicit(&canaries[i], key ^ (uintptr_t)&canaries[i], memory_order_relaxed);
}

static bool canaries_intact(const _Atomic uint64_t *canaries, uint64_t key)
{
	uint64_t difference = 0;
	int i;

	/* Relaxed: a peer may be writing them; any value it can be caught at will do. */
	for (i = 0; i < N_CANARIES; i++)
		difference |= atomic_load_explicit(&canaries[i], memory_order_relaxed) ^ key ^ (uintptr_t)&canaries[i];
	return !difference;
}

/* The stack while fn runs, from high to low:
 *
 *	client's frames
 *	below ->
 *	red zone: the client's ABI may use it
 *	canaries, 8 words        what overruns a frame on either side changes them
 *	top ->
 *	fn's frames
 */
int vmrpc__rpc_stack_borrow(struct vmrpc__rpc_stack *stack, void *below, void *(*fn)(void *arg), void *arg)
{
	unsigned char *limit = running_on(stack) ? vmrpc__stack_pointer() : stack->left ? stack->left : stack->high;
	unsigned char *end = below, *top;
	_Atomic uint64_t *canaries;

	if (vmrpc__shadow_stack_active())
		return refuse_shadow_stack();
	if (end < stack->low || end > limit)
		return vmrpc__fail(EFAULT, "the peer's frames on the RPC stack end at %p; free is %p to %p", below,
				   (void *)stack->low, (void *)limit);
	if ((size_t)(end - stack->low) <
	    VMRPC__RED_ZONE + STACK_ALIGN + N_CANARIES * sizeof *canaries + VMRPC__RPC_STACK_ROOM)
		return refuse_shortage(stack, (size_t)(end - stack->low));
	top = align_down(end - VMRPC__RED_ZONE, STACK_ALIGN) - N_CANARIES * sizeof *canaries;
#ifdef WITH_ASAN
	__asan_unpoison_memory_region(top, (size_t)(end - top));
#endif
	canaries = (_Atomic uint64_t *)(void *)top;
	set_canaries(canaries, get_canary_key());
	visit(stack, vmrpc__stack_switch, top, fn, arg, &stack->native);
	if (!canaries_intact(canaries, get_canary_key()))
		return vmrpc__fail(EPROTO,
				   "the words between the two sides' frames on the RPC stack at %p were overwritten",
				   (void *)top);
	if (!vmrpc__stack_switch_intact(top))
		return vmrpc__fail(EPROTO, "the return address on the RPC stack at %p was overwritten", (void *)top);
	return 0;
}

/* ---- wiping and write protection ----------------------------------------------------------------------------- */

void vmrpc__rpc_stack_wipe(struct vmrpc__rpc_stack *stack, void *below)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n_pages, i;
	unsigned char resident[256];
	unsigned char *from = stack->low, *to = below, *end;

	if (to < stack->low + VMRPC__RED_ZONE || to > stack->high)
		return;
	to -= VMRPC__RED_ZONE;
#ifdef WITH_ASAN
	__asan_unpoison_memory_region(from, (size_t)(to - from)); /* frames that went without returning */
#endif
	while (from < to) {
		n_pages = ((size_t)(to - from) + page - 1) / page;
		if (n_pages > sizeof resident)
			n_pages = sizeof resident;
		/* A page nobody has touched is not resident. Nor is one swapped out: lock=yes is against that. */
		if (mincore(from, n_pages * page, resident) < 0)
			memset(resident, 1, n_pages);
		for (i = 0; i < n_pages; i++, from = end) {
			end = from + page < to ? from + page : to;
			if (resident[i] & 1)
				memset(from, 0, (size_t)(end - from));
		}
	}
}

int vmrpc__rpc_stack_protect(struct vmrpc__rpc_stack *stack, bool readonly)
{
	if (mprotect(stack->low, (size_t)(stack->high - stack->low), readonly ? PROT_READ : PROT_READ | PROT_WRITE) < 0)
		return vmrpc__fail(errno, "making the RPC stack at %p %s: %s", (void *)stack->low,
				   readonly ? "read-only" : "writable", strerror(errno));
	return 0;
}
