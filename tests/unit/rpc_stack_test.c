/* RPC stacks and the stack switch. */
#include <execinfo.h>
#include <fenv.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unwind.h>

#include "../test.h"
#include "arch/arch.h"
#include "internal.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#endif
#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#if defined(WITH_ASAN) || defined(WITH_TSAN)
#define SANITIZED 1
#endif

#define NOINLINE   __attribute__((noinline))
#define PAGE	   VMRPC__PAGE
#define STACK_SIZE ((size_t)64 * PAGE)

#define N_CANARIES 8

/* ---- a stack in shared memory: an ordinary page, the guard page, the stack ----------------------------------- */

struct place {
	int fd;
	unsigned char *base, *low, *high;
	struct vmrpc__rpc_stack stack;
};

static struct place here;

static void make_place(struct place *place)
{
	place->fd = memfd_create("rpc_stack_test", MFD_CLOEXEC);
	CHECK(place->fd >= 0 && ftruncate(place->fd, (off_t)(2 * PAGE + STACK_SIZE)) == 0);
	place->base = mmap(NULL, 2 * PAGE + STACK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, place->fd, 0);
	CHECK(place->base != MAP_FAILED);
	place->low = place->base + 2 * PAGE;
	place->high = place->low + STACK_SIZE;
	CHECK_EQ(vmrpc__rpc_stack_init(&place->stack, place->low, STACK_SIZE), 0);
}

static bool on_stack(void)
{
	unsigned char *pointer = vmrpc__stack_pointer();

	return pointer >= here.low && pointer < here.high;
}

static void *nothing(void *arg)
{
	return arg;
}

/* ---- init, fini, contains ------------------------------------------------------------------------------------ */

TEST(init_refuses_what_cannot_be_a_stack)
{
	struct vmrpc__rpc_stack stack = {0};

	make_place(&here);
	CHECK_EQ(vmrpc__rpc_stack_init(&stack, here.low, 8 * 1024), -EINVAL);
	CHECK_EQ(vmrpc__rpc_stack_init(&stack, here.low, STACK_SIZE + 1), -EINVAL);
	CHECK_EQ(vmrpc__rpc_stack_init(&stack, here.low + 16, STACK_SIZE), -EINVAL);
	CHECK(strstr(vmrpc_error_message(), "whole pages"));
	CHECK(!stack.low);
	munmap(here.base, 2 * PAGE);
	CHECK_EQ(vmrpc__rpc_stack_init(&stack, here.low, STACK_SIZE), -ENOMEM);
	CHECK(strstr(vmrpc_error_message(), "guard page"));
	CHECK(!stack.low);
	vmrpc__rpc_stack_fini(&stack);
}

TEST(fini_gives_the_guard_page_back)
{
	make_place(&here);
	vmrpc__rpc_stack_fini(&here.stack);
	vmrpc__rpc_stack_fini(&here.stack);
	here.low[-1] = 1;
	here.low[-PAGE] = 1;
	CHECK(!here.stack.low);
}

TEST(contains_is_exact)
{
	make_place(&here);
	CHECK(vmrpc__rpc_stack_contains(&here.stack, here.low));
	CHECK(vmrpc__rpc_stack_contains(&here.stack, here.high - 1));
	CHECK(!vmrpc__rpc_stack_contains(&here.stack, here.low - 1));
	CHECK(!vmrpc__rpc_stack_contains(&here.stack, here.high));
	CHECK(!vmrpc__rpc_stack_contains(&here.stack, NULL));
}

/* ---- enter --------------------------------------------------------------------------------------------------- */

static unsigned char *add_pointer;

static void *add_inner(void *arg)
{
	CHECK(vmrpc__stack_pointer() < add_pointer); /* below add's frame, not over it */
	return (char *)arg + 1;
}

static void *add(void *arg)
{
	void *result = NULL;

	add_pointer = vmrpc__stack_pointer();
	CHECK(on_stack());
	CHECK(here.high - add_pointer < 2048); /* from the top */
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, add_inner, arg, &result), 0);
	return result;
}

TEST(enter_runs_the_function_on_the_stack)
{
	char text[2];
	void *result = NULL;

	make_place(&here);
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, add, text, &result), 0);
	CHECK(result == text + 1);
	CHECK(!on_stack());
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, add, text, NULL), 0);
	CHECK(!here.stack.native && !here.stack.left && !vmrpc__stack_innermost);
}

static void *look_at_locals(void *arg)
{
	volatile _Alignas(64) char local[256];
	uintptr_t address = (uintptr_t)local;

	local[7] = 42;
	if (address >= (uintptr_t)here.low && address < (uintptr_t)here.high)
		*(size_t *)arg = address - (uintptr_t)here.base;
	return NULL;
}

TEST(locals_are_shared_memory)
{
	size_t offset = 0;
	char seen = 0;

#ifdef WITH_ASAN
	if (__asan_get_current_fake_stack())
		TEST_SKIP("AddressSanitizer keeps locals elsewhere (detect_stack_use_after_return)");
#endif
	make_place(&here);
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, look_at_locals, &offset, NULL), 0);
	CHECK(offset);
	CHECK_EQ(pread(here.fd, &seen, 1, (off_t)offset + 7), 1);
	CHECK_EQ(seen, 42);
}

/* ---- what the switch keeps ----------------------------------------------------------------------------------- */

/* ruin_registers: a function that returns 42 with every register that it should have kept changed, as if it had
 * restored them from a stack somebody else wrote.
 * switch_and_compare(top, fn, arg, ret_left): puts known values in those registers, calls vmrpc__stack_switch, and
 * returns how many came back different; 1000 more if the result is not 42.
 * entry_stack_pointer: returns the stack pointer a function finds.
 * smash_return_address: overwrites its return address in memory, and returns to the true one (x86-64). */
extern void *ruin_registers(void *arg);
extern long switch_and_compare(unsigned char *top, void *(*fn)(void *), void *arg, unsigned char **ret_left);
extern void *entry_stack_pointer(void *arg);
extern void *smash_return_address(void *arg);

#define FUNCTION(name) ".p2align 4\n.globl " #name "\n.type " #name ", %function\n" #name ":\n"
#if defined(__x86_64__)
__asm__(".text\n" FUNCTION(
	ruin_registers) "	movq $-1, %rbx\n movq $-2, %r12\n movq $-3, %r13\n movq $-4, %r14\n movq $-5, %r15\n "
			"movq $-6, %rbp\n"
			"	movl $42, %eax\n"
			"	ret\n" FUNCTION(
				switch_and_compare) "	pushq %rbx\n pushq %rbp\n pushq %r12\n pushq %r13\n pushq "
						    "%r14\n pushq %r15\n pushq %rax\n"
						    "	movq $11, %rbx\n movq $12, %r12\n movq $13, %r13\n movq $14, "
						    "%r14\n movq $15, %r15\n movq $16, %rbp\n"
						    "	call vmrpc__stack_switch\n"
						    "	xorl %ecx, %ecx\n"
						    "	cmpq $42, %rax\n je 1f\n addq $1000, %rcx\n"
						    "1:	cmpq $11, %rbx\n je 1f\n incq %rcx\n"
						    "1:	cmpq $12, %r12\n je 1f\n incq %rcx\n"
						    "1:	cmpq $13, %r13\n je 1f\n incq %rcx\n"
						    "1:	cmpq $14, %r14\n je 1f\n incq %rcx\n"
						    "1:	cmpq $15, %r15\n je 1f\n incq %rcx\n"
						    "1:	cmpq $16, %rbp\n je 1f\n incq %rcx\n"
						    "1:	movq %rcx, %rax\n"
						    "	popq %rcx\n popq %r15\n popq %r14\n popq %r13\n popq %r12\n "
						    "popq %rbp\n popq %rbx\n"
						    "	ret\n" FUNCTION(
							    entry_stack_pointer) "	leaq 8(%rsp), %rax\n" /* as it
														 was
														 before
														 the
														 call */
										 "	ret\n" FUNCTION(
											 smash_return_address) "	popq %rcx\n"
													       "	movq $-1, -8(%rsp)\n"
													       "	jmpq *%rcx\n");
#else
#define SET(i, value)	    "	mov x" #i ", " #value "\n"
#define SET_D(i, value)	    "	fmov d" #i ", " #value "\n"
#define COMPARE(i, value)   "	cmp x" #i ", " #value "\n cinc x1, x1, ne\n"
#define COMPARE_D(i, value) "	fmov d0, " #value "\n fcmp d" #i ", d0\n cinc x1, x1, ne\n"
__asm__(".text\n" FUNCTION(ruin_registers) SET(19, -1) SET(20, -1) SET(21, -1) SET(22, -1) SET(23, -1) SET(24, -1) SET(
	25, -1) SET(26, -1) SET(27, -1) SET(28, -1) SET(29, -1) SET_D(8, -1.0) SET_D(9, -1.0) SET_D(10, -1.0)
		SET_D(11, -1.0) SET_D(12, -1.0) SET_D(13, -1.0) SET_D(14, -1.0) SET_D(
			15,
			-1.0) "	mov x0, 42\n"
			      "	ret\n" FUNCTION(
				      switch_and_compare) "	stp x29, x30, [sp, -160]!\n stp x19, x20, [sp, 16]\n "
							  "stp x21, x22, [sp, 32]\n stp x23, x24, [sp, 48]\n"
							  "	stp x25, x26, [sp, 64]\n stp x27, x28, [sp, 80]\n stp "
							  "d8, d9, [sp, 96]\n stp d10, d11, [sp, 112]\n"
							  "	stp d12, d13, [sp, 128]\n stp d14, d15, [sp, "
							  "144]\n" SET(19, 19) SET(20, 20) SET(21, 21) SET(22, 22)
								  SET(23, 23) SET(24, 24) SET(25, 25) SET(26, 26) SET(27, 27) SET(28, 28) SET(29, 29) SET_D(8, 8.0) SET_D(
									  9,
									  9.0) SET_D(10,
										     10.0) SET_D(11,
												 11.0) SET_D(12,
													     12.0) SET_D(13,
															 13.0) SET_D(14,
																     14.0)
									  SET_D(15,
										15.0) "	bl vmrpc__stack_switch\n"
										      "	mov x1, 0\n" COMPARE(19, 19) COMPARE(20, 20) COMPARE(21, 21) COMPARE(22, 22) COMPARE(
											      23, 23) COMPARE(24, 24)
											      COMPARE(25,
												      25) COMPARE(26, 26)
												      COMPARE(27,
													      27) COMPARE(28, 28)
													      COMPARE(29,
														      29) COMPARE_D(8,
																    8.0) COMPARE_D(9, 9.0)
														      COMPARE_D(
															      10,
															      10.0) COMPARE_D(11, 11.0)
															      COMPARE_D(
																      12,
																      12.0) COMPARE_D(13, 13.0)
																      COMPARE_D(14, 14.0) COMPARE_D(
																	      15,
																	      15.0) "	cmp x0, 42\n b.eq 1f\n add x1, x1, 1000\n"
																		    "1:	mov x0, x1\n"
																		    "	ldp x19, x20, [sp, 16]\n ldp x21, x22, [sp, 32]\n ldp x23, x24, [sp, 48]\n"
																		    "	ldp x25, x26, [sp, 64]\n ldp x27, x28, [sp, 80]\n ldp d8, d9, [sp, 96]\n ldp d10, d11, [sp, 112]\n"
																		    "	ldp d12, d13, [sp, 128]\n ldp d14, d15, [sp, 144]\n ldp x29, x30, [sp], 160\n"
																		    "	ret\n" FUNCTION(
																			    entry_stack_pointer) "	mov x0, sp\n"
																						 "	ret\n");
#endif

TEST(no_register_restored_from_the_shared_stack_is_believed)
{
	unsigned char *left = NULL;

	make_place(&here);
	CHECK_EQ(switch_and_compare(here.high, ruin_registers, NULL, &left), 0);
	CHECK(left && !vmrpc__rpc_stack_contains(&here.stack, left));
	CHECK(!vmrpc__stack_innermost);
}

struct float_modes {
	int rounding;
	uint32_t sse;
	uint16_t x87;
};

static struct float_modes float_modes(void)
{
	struct float_modes modes = {.rounding = fegetround()};

#if defined(__x86_64__)
	__asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(modes.sse), "=m"(modes.x87));
	modes.sse &= ~0x3fu; /* the modes, without the sticky flags */
#endif
	return modes;
}

static void *change_float_modes(void *arg)
{
	struct float_modes *seen = arg;

	*seen = float_modes();
	fesetround(FE_UPWARD);
	feraiseexcept(FE_DIVBYZERO);
	return NULL;
}

TEST(float_modes_are_kept_and_flags_pass)
{
	struct float_modes before, after, within;

	make_place(&here);
	fesetround(FE_DOWNWARD);
	feclearexcept(FE_ALL_EXCEPT);
	feraiseexcept(FE_OVERFLOW);
	before = float_modes();
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, change_float_modes, &within, NULL), 0);
	after = float_modes();
	CHECK_EQ(within.rounding, FE_DOWNWARD);
	CHECK_EQ(after.rounding, FE_DOWNWARD);
	CHECK_EQ(after.sse, before.sse);
	CHECK_EQ(after.x87, before.x87);
	CHECK(fetestexcept(FE_DIVBYZERO));
	CHECK(fetestexcept(FE_OVERFLOW));
}

TEST(functions_start_aligned_on_either_stack)
{
	unsigned char *left;
	void *pointer = NULL;
	int i;

	make_place(&here);
	pointer = vmrpc__stack_switch(here.high, entry_stack_pointer, NULL, &left);
	CHECK(pointer == here.high);
	CHECK_EQ((uintptr_t)left % 16, 0);
	for (i = 0; i < 64; i++) {
		here.stack.mark = here.high - 512 - i;
		CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, nothing, NULL, &pointer), 0);
#ifndef WITH_ASAN /* which puts a frame of its own in between */
		CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, entry_stack_pointer, NULL, &pointer), 0);
		CHECK_EQ((uintptr_t)pointer % 16, 0);
		CHECK((unsigned char *)pointer <= here.stack.mark - VMRPC__RED_ZONE);
#endif
	}
}

static void *use_aligned_locals(void *arg)
{
	_Alignas(16) volatile char local[16] = {0};
	(void)arg;
#if defined(__x86_64__)
	__asm__ volatile("movaps %%xmm0, %0" : "=m"(local)); /* faults when the compiler was told wrong */
#endif
	CHECK_EQ((uintptr_t)local % 16, 0);
	return NULL;
}

static void *use_aligned_locals_natively(void *arg)
{
	vmrpc__rpc_stack_leave(&here.stack, use_aligned_locals, arg);
	return use_aligned_locals(arg);
}

TEST(aligned_instructions_work)
{
	int i;

	make_place(&here);
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, use_aligned_locals_natively, NULL, NULL), 0);
	for (i = 0; i < 64; i++)
		CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.high - i, use_aligned_locals_natively, NULL), 0);
}

/* ---- guard page ---------------------------------------------------------------------------------------------- */

static int fault_pipe[2];

static void report_fault(int signal_number, siginfo_t *info, void *context)
{
	(void)context;
	if (write(fault_pipe[1], &info->si_addr, sizeof info->si_addr) < 0)
		_exit(3);
	_exit(signal_number == SIGSEGV ? 2 : 3);
}

/* Runs fn(arg) in a child and returns the address it faulted at, NULL if it did not. */
static unsigned char *fault_of(void (*fn)(void))
{
	static _Alignas(64) char signal_stack[256 * 1024];
	struct sigaction action = {.sa_sigaction = report_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	stack_t alternative = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
	unsigned char *address = NULL;
	int status;
	pid_t child;

	CHECK_EQ(pipe(fault_pipe), 0);
	child = fork();
	if (!child) {
		sigaltstack(&alternative, NULL);
		sigaction(SIGSEGV, &action, NULL);
		sigaction(SIGBUS, &action, NULL);
		fn();
		_exit(0);
	}
	close(fault_pipe[1]);
	if (read(fault_pipe[0], &address, sizeof address) != sizeof address)
		address = NULL;
	close(fault_pipe[0]);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == (address ? 2 : 0));
	return address;
}

NOINLINE static int recurse(int depth)
{
	volatile char local[256];

	local[0] = (char)depth;
	local[255] = (char)depth;
	return depth == 1000 * 1000 ? 0 : recurse(depth + 1) + local[0] + local[255];
}

static void *overflow(void *arg)
{
	*(int *)arg = recurse(0);
	return NULL;
}

static void enter_and_overflow(void)
{
	int result;

	vmrpc__rpc_stack_enter(&here.stack, overflow, &result, NULL);
}

TEST(overflow_ends_in_the_guard_page)
{
	unsigned char *address;

#ifdef WITH_ASAN
	if (__asan_get_current_fake_stack())
		TEST_SKIP("AddressSanitizer keeps locals elsewhere (detect_stack_use_after_return)");
#endif
	make_place(&here);
	address = fault_of(enter_and_overflow);
	CHECK(address >= here.low - PAGE && address < here.low);
}

/* ---- leave and nesting --------------------------------------------------------------------------------------- */

static unsigned char *native_pointer, *outer_pointer;

static void *third(void *arg)
{
	(void)arg;
	CHECK(on_stack());
	CHECK(vmrpc__stack_pointer() < here.stack.mark - VMRPC__RED_ZONE);
	return NULL;
}

static void *second_wait(void *arg)
{
	CHECK(!on_stack());
	vmrpc__rpc_stack_set_mark(&here.stack, here.high - 100 * 1024);
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, third, arg, NULL), 0);
	return NULL;
}

static void *second(void *arg)
{
	unsigned char *mark = here.stack.mark, *before = here.stack.left;

	CHECK(on_stack());
	CHECK(vmrpc__stack_pointer() < outer_pointer);
	if (mark)
		CHECK(vmrpc__stack_pointer() < mark - VMRPC__RED_ZONE);
	CHECK_EQ(vmrpc__rpc_stack_leave(&here.stack, second_wait, arg), 0);
	vmrpc__rpc_stack_set_mark(&here.stack, mark);
	CHECK(here.stack.left == before);
	return arg;
}

static void *wait_with_callbacks(void *arg)
{
	unsigned char *pointer = vmrpc__stack_pointer(), *left = here.stack.left;
	void *result = NULL;

	CHECK(!on_stack());
	CHECK(pointer < native_pointer && native_pointer - pointer < 64 * 1024);
	CHECK(left && left <= outer_pointer && outer_pointer - left < 4096);
	/* No mark: below our own frames. */
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, second, arg, &result), 0);
	CHECK(result == arg);
	/* A mark above our own frames is not believed. */
	vmrpc__rpc_stack_set_mark(&here.stack, here.high);
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, second, arg, NULL), 0);
	vmrpc__rpc_stack_set_mark(&here.stack, here.high - 50 * 1024 - 3);
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, second, arg, NULL), 0);
	vmrpc__rpc_stack_set_mark(&here.stack, here.low - 1);
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, second, arg, NULL), -EFAULT);
	vmrpc__rpc_stack_set_mark(&here.stack, here.high + 1);
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, second, arg, NULL), -EFAULT);
	CHECK(strstr(vmrpc_error_message(), "the peer says"));
	vmrpc__rpc_stack_set_mark(&here.stack, here.low + 1000);
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, second, arg, NULL), -ENOMEM);
	CHECK(strstr(vmrpc_error_message(), "stack="));
	vmrpc__rpc_stack_set_mark(&here.stack, here.low);
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, second, arg, NULL), -ENOMEM);
	vmrpc__rpc_stack_set_mark(&here.stack, NULL);
	CHECK(here.stack.left == left);
	/* Not on it: simply called. */
	CHECK_EQ(vmrpc__rpc_stack_leave(&here.stack, nothing, arg), 0);
	CHECK(here.stack.left == left);
	return NULL;
}

static void *outer(void *arg)
{
	volatile char frame[4096];
	size_t i;

	memset((char *)frame, 0x5a, sizeof frame);
	outer_pointer = vmrpc__stack_pointer();
	CHECK_EQ(vmrpc__rpc_stack_leave(&here.stack, wait_with_callbacks, arg), 0);
	CHECK(on_stack());
	CHECK(!here.stack.left);
	for (i = 0; i < sizeof frame; i++)
		CHECK_EQ(frame[i], 0x5a);
	return NULL;
}

TEST(stacks_nest_below_what_is_in_use)
{
	int arg;

	make_place(&here);
	native_pointer = vmrpc__stack_pointer();
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, outer, &arg, NULL), 0);
	CHECK(!here.stack.native && !here.stack.left && !vmrpc__stack_innermost);
}

/* ---- longjmp ------------------------------------------------------------------------------------------------- */

static jmp_buf jump;
static int n_passes;

static void *jump_back(void *arg)
{
	(void)arg;
	longjmp(jump, 1);
}

static void *enter_and_jump_back(void *arg)
{
	vmrpc__rpc_stack_enter(&here.stack, jump_back, arg, NULL);
	return NULL;
}

static void *jumped_to(void *arg)
{
	if (!setjmp(jump))
		vmrpc__rpc_stack_leave(&here.stack, jump_back, arg);
	if (!setjmp(jump))
		vmrpc__rpc_stack_leave(&here.stack, enter_and_jump_back, arg);
	CHECK(on_stack());
	vmrpc__rpc_stack_leave(&here.stack, nothing, arg);
	if (!setjmp(jump))
		vmrpc__rpc_stack_leave(&here.stack, enter_and_jump_back, arg);
	n_passes++;
	return arg;
}

TEST(longjmp_may_skip_leave)
{
	void *result = NULL;
	int arg;

	make_place(&here);
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, jumped_to, &arg, &result), 0);
	CHECK(result == &arg);
	CHECK_EQ(n_passes, 1);
	CHECK(!on_stack() && !here.stack.left && !vmrpc__stack_innermost);
}

/* ---- borrow -------------------------------------------------------------------------------------------------- */

struct borrowed {
	unsigned char *below;
	unsigned char *smash; /* NULL, or the byte to change */
	unsigned char *pointer;
	bool ran;
};

static void *while_borrowed(void *arg)
{
	struct borrowed *borrowed = arg;

	CHECK(on_stack());
	borrowed->ran = true;
	borrowed->pointer = vmrpc__stack_pointer();
	CHECK(borrowed->pointer < borrowed->below - VMRPC__RED_ZONE - N_CANARIES * sizeof(uint64_t));
	if (borrowed->smash)
		__atomic_fetch_xor(borrowed->smash, 1, __ATOMIC_RELAXED);
	return NULL;
}

TEST(borrow_runs_below_the_clients_frames)
{
	struct borrowed borrowed = {0};
	unsigned char *byte;
	int i;

	make_place(&here);
	for (i = 0; i < 40; i++) {
		memset(here.low, 0x77, STACK_SIZE);
		borrowed = (struct borrowed){.below = here.high - 4096 - i};
		CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, borrowed.below, while_borrowed, &borrowed), 0);
		CHECK(borrowed.ran && !on_stack());
		for (byte = borrowed.below - VMRPC__RED_ZONE; byte < here.high; byte++)
			CHECK_EQ(*byte, 0x77);
	}
	CHECK(!here.stack.native && !vmrpc__stack_innermost);
	borrowed.below = here.high;
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.high, while_borrowed, &borrowed), 0);
}

TEST(borrow_checks_where)
{
	struct borrowed borrowed = {0};

	make_place(&here);
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, NULL, while_borrowed, &borrowed), -EFAULT);
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.low - 1, while_borrowed, &borrowed), -EFAULT);
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.high + 1, while_borrowed, &borrowed), -EFAULT);
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, (void *)UINTPTR_MAX, while_borrowed, &borrowed), -EFAULT);
	CHECK(strstr(vmrpc_error_message(), "the peer's frames"));
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.low, while_borrowed, &borrowed), -ENOMEM);
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.low + 16 * 1024, while_borrowed, &borrowed), -ENOMEM);
	CHECK(strstr(vmrpc_error_message(), "stack="));
	CHECK(!borrowed.ran);
}

static void *nested_borrow(void *arg)
{
	struct borrowed *borrowed = arg;

	CHECK(!on_stack());
	CHECK(here.stack.left && here.stack.left <= borrowed->pointer);
	/* Above frames of our own: a lie. */
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.high, while_borrowed, arg), -EFAULT);
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.stack.left + 1, while_borrowed, arg), -EFAULT);
	borrowed->below = here.stack.left;
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, borrowed->below, while_borrowed, arg), 0);
	return NULL;
}

static void *borrow_and_wait(void *arg)
{
	struct borrowed *borrowed = arg;

	borrowed->pointer = vmrpc__stack_pointer();
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.high, while_borrowed, arg), -EFAULT);
	CHECK_EQ(vmrpc__rpc_stack_leave(&here.stack, nested_borrow, arg), 0);
	borrowed->below = vmrpc__stack_pointer() - 1024;
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, borrowed->below, while_borrowed, arg), 0);
	return NULL;
}

TEST(borrows_nest)
{
	struct borrowed borrowed = {0};

	make_place(&here);
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.high, borrow_and_wait, &borrowed), 0);
	CHECK(!here.stack.native && !here.stack.left && !vmrpc__stack_innermost);
}

TEST(changed_canaries_are_noticed)
{
	struct borrowed borrowed = {0};
	uintptr_t end;
	int i;

	make_place(&here);
	borrowed.below = here.high - 1000;
	end = ((uintptr_t)borrowed.below - VMRPC__RED_ZONE) & ~(uintptr_t)15;
	for (i = 1; i <= 64; i++) {
		borrowed.smash = (unsigned char *)end - i;
		CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, borrowed.below, while_borrowed, &borrowed), -EPROTO);
		CHECK(!on_stack());
	}
	CHECK(strstr(vmrpc_error_message(), "overwritten"));
	borrowed.smash = NULL;
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, borrowed.below, while_borrowed, &borrowed), 0);
}

TEST(canaries_differ_from_process_to_process)
{
	struct borrowed borrowed = {0};
	uint64_t *canaries, seen[2][N_CANARIES];
	int i;

	make_place(&here);
	borrowed.below = here.high;
	canaries = (uint64_t *)(void *)(here.high - VMRPC__RED_ZONE - sizeof seen[0]);
	for (i = 0; i < 2; i++) {
		pid_t child = fork();

		if (!child) {
			CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.high, while_borrowed, &borrowed), 0);
			_exit(0);
		}
		CHECK_EQ(waitpid(child, NULL, 0), child);
		memcpy(seen[i], canaries, sizeof seen[i]);
	}
	for (i = 0; i < N_CANARIES; i++)
		CHECK(seen[0][i] && seen[0][i] != seen[1][i]);
	CHECK(seen[0][0] != seen[0][1]);
}

TEST(changed_return_address_is_noticed)
{
#if defined(__x86_64__) && !defined(WITH_ASAN)
	make_place(&here);
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.high, smash_return_address, NULL), -EPROTO);
	CHECK(strstr(vmrpc_error_message(), "return address"));
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.high, nothing, NULL), 0);
#else
	TEST_SKIP("the function called keeps its return address itself");
#endif
}

static _Atomic bool stop_smashing;

static void *smash_canaries(void *arg)
{
	_Atomic unsigned char *canaries = arg;
	size_t i;

	while (!atomic_load(&stop_smashing))
		for (i = 0; i < N_CANARIES * sizeof(uint64_t); i++)
			atomic_fetch_xor_explicit(&canaries[i], 0x55, memory_order_relaxed);
	return NULL;
}

TEST(a_racing_peer_is_noticed_and_survived)
{
	int error, noticed = 0, i;
	pthread_t thread;

	make_place(&here);
	CHECK_EQ(pthread_create(&thread, NULL, smash_canaries, here.high - VMRPC__RED_ZONE - 64), 0);
	for (i = 0; i < 20000 || !noticed; i++) {
		error = vmrpc__rpc_stack_borrow(&here.stack, here.high, nothing, NULL);
		CHECK(!error || error == -EPROTO);
		noticed += error == -EPROTO;
		if (!error)
			sched_yield();
	}
	atomic_store(&stop_smashing, true);
	pthread_join(thread, NULL);
}

/* ---- wiping and write protection -------------------------------------------------------------------------------- */

static size_t pages_in_use(void)
{
	struct stat status;

	CHECK_EQ(fstat(here.fd, &status), 0);
	return (size_t)status.st_blocks * 512 / PAGE;
}

TEST(wipe_clears_what_was_touched_and_nothing_else)
{
	unsigned char *below, *byte;
	size_t pages;

	make_place(&here);
	for (below = here.high; below > here.high - 2 * PAGE; below -= 777) {
		memset(here.high - 5 * PAGE, 0xaa, 5 * PAGE);
		memset(here.low + 7 * PAGE, 0xaa, PAGE);
		*here.low = 0xaa;
		pages = pages_in_use();
		vmrpc__rpc_stack_wipe(&here.stack, below);
		CHECK_EQ(pages_in_use(), pages);
		CHECK_EQ(pages, 7);
		for (byte = below - VMRPC__RED_ZONE; byte < here.high; byte++)
			CHECK_EQ(*byte, 0xaa);
		for (byte = here.high - 5 * PAGE; byte < below - VMRPC__RED_ZONE; byte++)
			CHECK_EQ(*byte, 0);
		for (byte = here.low + 7 * PAGE; byte < here.low + 8 * PAGE; byte++)
			CHECK_EQ(*byte, 0);
		CHECK_EQ(*here.low, 0);
	}
	memset(here.low, 0xaa, STACK_SIZE);
	vmrpc__rpc_stack_wipe(&here.stack, here.high);
	for (byte = here.low; byte < here.high - VMRPC__RED_ZONE; byte++)
		CHECK_EQ(*byte, 0);
	/* Nonsense does nothing. */
	memset(here.low, 0xaa, STACK_SIZE);
	vmrpc__rpc_stack_wipe(&here.stack, NULL);
	vmrpc__rpc_stack_wipe(&here.stack, here.low);
	vmrpc__rpc_stack_wipe(&here.stack, here.high + 1);
	for (byte = here.low; byte < here.high; byte++)
		CHECK_EQ(*byte, 0xaa);
}

TEST(wipe_works_on_stacks_of_many_pages)
{
	size_t size = (size_t)1000 * PAGE, i;
	unsigned char *base = mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct vmrpc__rpc_stack stack;

	CHECK(base != MAP_FAILED);
	CHECK_EQ(vmrpc__rpc_stack_init(&stack, base + PAGE, size), 0);
	for (i = 0; i < size; i += 3 * PAGE)
		stack.low[i] = 1;
	vmrpc__rpc_stack_wipe(&stack, stack.high);
	for (i = 0; i < size; i += 3 * PAGE)
		CHECK_EQ(stack.low[i], 0);
}

static void write_to_protected(void)
{
	if (here.high[-1] != 7 || vmrpc__rpc_stack_protect(&here.stack, true) < 0 || here.high[-1] != 7)
		_exit(4);
	((volatile unsigned char *)here.high)[-1] = 8;
}

static void write_low_to_protected(void)
{
	if (vmrpc__rpc_stack_protect(&here.stack, true) < 0)
		_exit(4);
	*(volatile unsigned char *)here.low = 8;
}

static void write_to_unprotected(void)
{
	if (vmrpc__rpc_stack_protect(&here.stack, true) < 0 || vmrpc__rpc_stack_protect(&here.stack, false) < 0)
		_exit(4);
	((volatile unsigned char *)here.high)[-1] = 7;
	*(volatile unsigned char *)here.low = 8;
}

TEST(protect_catches_writes)
{
	make_place(&here);
	here.high[-1] = 7;
	CHECK(fault_of(write_to_protected) == here.high - 1);
	CHECK(fault_of(write_low_to_protected) == here.low);
	CHECK(!fault_of(write_to_unprotected));
	munmap(here.low, PAGE);
	CHECK_EQ(vmrpc__rpc_stack_protect(&here.stack, true), -ENOMEM);
	CHECK(strstr(vmrpc_error_message(), "read-only"));
}

static void *protect_and_wait(void *arg)
{
	CHECK_EQ(vmrpc__rpc_stack_protect(&here.stack, true), 0);
	CHECK_EQ(vmrpc__rpc_stack_protect(&here.stack, false), 0);
	return arg;
}

static void *wait_protected(void *arg)
{
	vmrpc__rpc_stack_leave(&here.stack, protect_and_wait, arg);
	return arg;
}

TEST(a_stack_that_was_left_can_be_protected)
{
	make_place(&here);
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, wait_protected, NULL, NULL), 0);
}

/* ---- unwinding ----------------------------------------------------------------------------------------------- */

struct walk {
	void *looked_for[4];
	int found[4]; /* how often */
	int frames;
};

static struct walk walk, walk_of_backtrace;

static void see_address(struct walk *seen, uintptr_t address)
{
	void *function = _Unwind_FindEnclosingFunction((void *)address);
	int i;

	for (i = 0; i < 4; i++)
		seen->found[i] += function && function == seen->looked_for[i];
	seen->frames++;
}

static _Unwind_Reason_Code see_frame(struct _Unwind_Context *context, void *arg)
{
	struct walk *seen = arg;
	int exact = 0;
	uintptr_t address = _Unwind_GetIPInfo(context, &exact);

	see_address(seen, address - !exact);
	return seen->frames > 1000 ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static void *walk_here(void *arg)
{
	void *addresses[64];
	int n = backtrace(addresses, 64), i;

	for (i = 0; i < n; i++)
		see_address(&walk_of_backtrace, (uintptr_t)addresses[i] - 1);
	_Unwind_Backtrace(see_frame, &walk);
	return arg;
}

NOINLINE static void *walk_natively(void *arg)
{
	vmrpc__rpc_stack_leave(&here.stack, walk_here, arg);
	__asm__ volatile("");
	return NULL;
}

NOINLINE static void *walk_entered(void *arg)
{
	vmrpc__rpc_stack_leave(&here.stack, walk_natively, arg);
	walk_natively(arg);
	__asm__ volatile("");
	return NULL;
}

NOINLINE static void walk_from(void *arg)
{
	vmrpc__rpc_stack_enter(&here.stack, walk_entered, arg, NULL);
	__asm__ volatile("");
}

TEST(unwinders_find_the_way_through)
{
	int i;

	make_place(&here);
	walk.looked_for[0] = (void *)walk_from;
	walk.looked_for[1] = (void *)walk_entered;
	walk.looked_for[2] = (void *)walk_natively;
	walk.looked_for[3] = (void *)unwinders_find_the_way_through;
	walk_of_backtrace = walk;
	walk_from(NULL);
	for (i = 0; i < 4; i++) {
		CHECK_EQ(walk.found[i], 2); /* once in each of two walks */
		CHECK_EQ(walk_of_backtrace.found[i], 2);
	}
}

/* The two switches alone, called by functions that cannot be unwound without their frame pointer. */
NOINLINE static void *leave_directly(void *arg)
{
	volatile char *block = __builtin_alloca((size_t)here.fd * 16);

	block[0] = 0;
	vmrpc__stack_leave(here.stack.native, walk_here, arg, &here.stack.left);
	__asm__ volatile("");
	return arg;
}

NOINLINE static void switch_directly(void)
{
	volatile char *block = __builtin_alloca((size_t)here.fd * 16);

	block[0] = 0;
	vmrpc__stack_switch(here.high, leave_directly, NULL, &here.stack.native);
	__asm__ volatile("");
}

TEST(unwinders_find_the_way_with_frame_pointers)
{
	make_place(&here);
	walk.looked_for[0] = (void *)leave_directly;
	walk.looked_for[1] = (void *)switch_directly;
	walk.looked_for[2] = (void *)unwinders_find_the_way_with_frame_pointers;
	switch_directly();
	CHECK_EQ(walk.found[0], 1);
	CHECK_EQ(walk.found[1], 1);
	CHECK_EQ(walk.found[2], 1);
}

#if defined(__x86_64__)

/* The trap flag: SIGTRAP after each instruction. The red zone is stepped over. */
#define STEP_ON()                                                                               \
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\t" \
			 "lea 128(%%rsp), %%rsp" ::                                             \
				 : "memory", "cc")
#define STEP_OFF()                                                                                \
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\tandl $~0x100, (%%rsp)\n\tpopfq\n\t" \
			 "lea 128(%%rsp), %%rsp" ::                                               \
				 : "memory", "cc")

/* Every instruction of the switch is stepped through, and the stack unwound at each. */
static unsigned char *code_low, *code_high;
static int n_steps, n_lost;

NOINLINE static void *step_natively(void *arg)
{
	__asm__ volatile("");
	return arg;
}

NOINLINE static void *step_inside(void *arg)
{
	vmrpc__stack_leave(here.stack.native, step_natively, arg, &here.stack.left);
	fesetround(FE_UPWARD); /* so that the slow ways are walked as well */
	__asm__ volatile("");
	return arg;
}

static void on_step(int signal_number, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	unsigned char *address = (unsigned char *)registers[REG_RIP];
	struct walk seen = {.looked_for = {walk.looked_for[0], walk.looked_for[1]}};

	(void)signal_number, (void)info;
	if (address < code_low || address >= code_high)
		return;
	n_steps++;
	if (registers[REG_RBP] != -6) /* of ruin_registers; an unwinder would crash */
		_Unwind_Backtrace(see_frame, &seen);
	if (seen.found[0] != 1 || seen.found[1] != 1)
		n_lost++;
}

NOINLINE static void step_through(void *(*fn)(void *arg))
{
	volatile char *block = __builtin_alloca((size_t)here.fd * 16); /* makes it need its frame pointer */

	block[0] = 0;
	STEP_ON();
	vmrpc__stack_switch(here.high, fn, NULL, &here.stack.native);
	STEP_OFF();
}

TEST(unwinders_find_the_way_from_each_instruction)
{
	struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};

#ifdef SANITIZED
	TEST_SKIP("sanitizers' own code has no unwind tables at each instruction, and may hold signals back");
#endif
	make_place(&here);
	code_low = (unsigned char *)vmrpc__stack_switch;
	code_high = (unsigned char *)vmrpc__stack_leave + 64;
	CHECK(code_low < code_high && code_high - code_low < 1024);
	walk.looked_for[0] = (void *)step_through;
	walk.looked_for[1] = (void *)unwinders_find_the_way_from_each_instruction;
	_Unwind_Backtrace(see_frame, &walk); /* loads what it needs before signals come */
	sigaction(SIGTRAP, &action, NULL);
	step_through(step_inside);
	CHECK(n_steps >= 50);
	CHECK_EQ(n_lost, 0);
	/* With a changed frame pointer it is lost, but only until the frame is found again. */
	step_through(ruin_registers);
	CHECK(n_lost <= 5);
}

/* A CPU with shadow stacks on, as far as the instruction that asks for them goes. */
static greg_t *asked_register(greg_t *registers)
{
	static const int numbers[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				      REG_R8,  REG_R9,	REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
	const unsigned char *code = (const unsigned char *)registers[REG_RIP];

	/* rdsspq: f3 rex.w 0f 1e, and a register as /1 */
	if (code[0] != 0xf3 || (code[1] & 0xfe) != 0x48 || code[2] != 0x0f || code[3] != 0x1e || code[4] >> 3 != 031)
		return NULL;
	return &registers[numbers[(code[1] & 1) << 3 | (code[4] & 7)]];
}

static void pretend_shadow_stack(int signal_number, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs, *answer = asked_register(registers);

	(void)signal_number, (void)info;
	if (answer) {
		*answer = 0x1000;
		registers[REG_RIP] += 5;
	}
}

TEST(shadow_stacks_are_refused)
{
	struct sigaction action = {.sa_sigaction = pretend_shadow_stack, .sa_flags = SA_SIGINFO};
	int entered, borrowed;

#ifdef SANITIZED
	TEST_SKIP("sanitizers may hold signals back");
#endif
	make_place(&here);
	sigaction(SIGTRAP, &action, NULL);
	STEP_ON();
	entered = vmrpc__rpc_stack_enter(&here.stack, nothing, NULL, NULL);
	borrowed = vmrpc__rpc_stack_borrow(&here.stack, here.high, nothing, NULL);
	STEP_OFF();
	CHECK_EQ(entered, -ENOTSUP);
	CHECK_EQ(borrowed, -ENOTSUP);
	CHECK(strstr(vmrpc_error_message(), "shadow stack"));
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, nothing, NULL, NULL), 0);
}
#endif

/* ---- exceptions ---------------------------------------------------------------------------------------------- */

/* As an exception of C++ does: runs what is to be cleaned up on the way, then goes on at jump. */
static _Unwind_Reason_Code catch (int version, _Unwind_Action actions, _Unwind_Exception_Class exception_class,
				  struct _Unwind_Exception *exception, struct _Unwind_Context *context, void *arg)
{
	(void)version, (void)exception_class, (void)exception;
	if (actions & _UA_END_OF_STACK)
		TEST_FAIL("nobody catches");
	if (_Unwind_FindEnclosingFunction((void *)(_Unwind_GetIP(context) - 1)) == arg)
		longjmp(jump, 1);
	return _URC_NO_REASON;
}

static void *throw_to(void *arg)
{
	static struct _Unwind_Exception exception;

	_Unwind_ForcedUnwind(&exception, catch, arg);
	TEST_FAIL("cannot throw");
}

static struct place other;

static void *throw_from_other(void *arg)
{
	vmrpc__rpc_stack_enter(&other.stack, throw_to, arg, NULL);
	return NULL;
}

NOINLINE static void *catch_on_stack(void *arg)
{
	char rest[2048];

	if (!setjmp(jump)) {
		vmrpc__rpc_stack_enter(&other.stack, throw_to, (void *)catch_on_stack, NULL);
		TEST_FAIL("it returned");
	}
	memset(rest, 0x99, sizeof rest); /* over what the other stack's visit left here */
	__asm__ volatile("" ::"r"(rest) : "memory");
	CHECK(on_stack());
	if (!setjmp(jump))
		vmrpc__rpc_stack_leave(&here.stack, throw_from_other, (void *)catch_on_stack);
	CHECK(!here.stack.left && !other.stack.native);
	return arg;
}

#ifdef WITH_ASAN
static void check_stack_is_known(void);
#else
static void check_stack_is_known(void)
{
}
#endif

NOINLINE static void catch_natively(void)
{
	if (!setjmp(jump)) {
		vmrpc__rpc_stack_enter(&here.stack, throw_from_other, (void *)catch_natively, NULL);
		TEST_FAIL("it returned");
	}
	check_stack_is_known();
}

TEST(exceptions_may_pass)
{
	void *result = NULL;
	int arg;

	make_place(&here);
	make_place(&other);
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, catch_on_stack, &arg, &result), 0);
	CHECK(result == &arg);
	CHECK(!here.stack.native && !vmrpc__stack_innermost);
	catch_natively();
	CHECK(!here.stack.native && !other.stack.native && !vmrpc__stack_innermost);
}

/* ---- ends of threads ----------------------------------------------------------------------------------------- */

static int n_cleanups;

static void count_cleanup(void *arg)
{
	n_cleanups++;
	(void)arg;
}

static void *end_thread(void *arg)
{
	if (!arg)
		pthread_exit((void *)1);
	for (;;)
		pause(); /* until cancelled */
	return NULL;
}

static void *end_on_stack(void *arg)
{
	pthread_cleanup_push(count_cleanup, NULL);
	vmrpc__rpc_stack_leave(&here.stack, end_thread, arg);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *thread_that_ends(void *arg)
{
	pthread_cleanup_push(count_cleanup, NULL);
	vmrpc__rpc_stack_enter(&here.stack, end_on_stack, arg, NULL);
	pthread_cleanup_pop(0);
	return NULL;
}

TEST(threads_may_end_on_the_stack)
{
	pthread_t thread;
	void *result;
	int cancel;

#ifdef WITH_ASAN /* so do gcc 12's and clang 14's in a program that ends threads without vmrpc */
	TEST_SKIP("AddressSanitizer, told that a function does not return, trips over its own sigaltstack()");
#endif

	make_place(&here);
	for (cancel = 0; cancel < 2; cancel++) {
		n_cleanups = 0;
		CHECK_EQ(pthread_create(&thread, NULL, thread_that_ends, cancel ? &cancel : NULL), 0);
		if (cancel) {
			usleep(20000);
			pthread_cancel(thread);
		}
		CHECK_EQ(pthread_join(thread, &result), 0);
		CHECK(result == (cancel ? PTHREAD_CANCELED : (void *)1));
		CHECK_EQ(n_cleanups, 2);
		CHECK(!here.stack.native && !here.stack.left); /* it can be used again */
	}
}

/* ---- signals ------------------------------------------------------------------------------------------------- */

static _Atomic uint64_t n_signals, n_signals_on_stack;

static void *in_handler(void *arg)
{
	volatile char local[1024];

	memset((char *)local, 0xee, sizeof local);
	return arg;
}

static void on_alarm(int signal_number)
{
	void *result = NULL;
	int saved = errno;

	n_signals++;
	if (on_stack())
		n_signals_on_stack++;
#ifdef WITH_ASAN /* does not let a handler switch while it interrupts a switch */
	result = in_handler((void *)(uintptr_t)signal_number);
#else /* a handler may itself use another stack */
	CHECK_EQ(vmrpc__rpc_stack_enter(&other.stack, in_handler, (void *)(uintptr_t)signal_number, &result), 0);
#endif
	CHECK_EQ((uintptr_t)result, signal_number);
	errno = saved;
}

static void *count_natively(void *arg)
{
	++*(uint64_t *)arg;
	return NULL;
}

static void *count(void *arg)
{
	volatile uint64_t pattern[16];
	int i;

	for (i = 0; i < 16; i++)
		pattern[i] = *(uint64_t *)arg + (uint64_t)i;
	vmrpc__rpc_stack_leave(&here.stack, count_natively, arg);
#ifdef WITH_TSAN
	free(*(void *volatile *)&(void *){malloc(16)}); /* ThreadSanitizer delivers signals where it intercepts */
#endif
	for (i = 0; i < 16; i++)
		CHECK_EQ(pattern[i], *(uint64_t *)arg - 1 + (uint64_t)i);
	return arg;
}

static _Atomic bool storming;

static void *storm(void *arg)
{
	struct timespec gap = {.tv_nsec = 10 * 1000};
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL); /* the stacks are those of the other thread */
	atomic_store(&storming, true);
	while (!atomic_load(&stop_smashing)) {
		pthread_kill(*(pthread_t *)arg, SIGUSR1);
		nanosleep(&gap, NULL);
	}
	return NULL;
}

TEST(signals_may_come_at_any_instant)
{
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct itimerval interval = {{0, 50}, {0, 50}};
	pthread_t self = pthread_self(), thread;
	uint64_t n = 0, rounds = 1000000, enough = 1000;
	void *result;
	time_t start = time(NULL);

#if defined(SANITIZED) || !defined(__x86_64__)
	rounds /= 10;
	enough /= 10;
#endif
	make_place(&here);
	make_place(&other);
	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	CHECK_EQ(pthread_create(&thread, NULL, storm, &self), 0);
	while (!atomic_load(&storming))
		sched_yield();
	setitimer(ITIMER_REAL, &interval, NULL);
	while ((n < 2 * rounds || n_signals_on_stack < enough) && time(NULL) - start < 40) {
		CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, count, &n, &result), 0);
		CHECK(result == &n);
		CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.high - 333, count, &n), 0);
	}
	atomic_store(&stop_smashing, true);
	pthread_join(thread, NULL);
	memset(&interval, 0, sizeof interval);
	setitimer(ITIMER_REAL, &interval, NULL);
	CHECK(n >= 2 * rounds);
	CHECK(n_signals_on_stack >= enough);
	CHECK(!here.stack.native && !here.stack.left && !vmrpc__stack_innermost);
}

/* ---- sanitizers ---------------------------------------------------------------------------------------------- */

#ifdef WITH_ASAN
static void check_stack_is_known(void)
{
	char name[64];
	void *start;
	size_t size;

	CHECK_STR(__asan_locate_address(vmrpc__stack_pointer(), name, sizeof name, &start, &size), "stack");
}

static void *known_natively(void *arg)
{
	check_stack_is_known();
	return arg;
}

static void *known_on_stack(void *arg)
{
	check_stack_is_known();
	vmrpc__rpc_stack_leave(&here.stack, known_natively, arg);
	check_stack_is_known();
	return arg;
}

static void *enter_again(void *arg)
{
	vmrpc__rpc_stack_enter(&here.stack, known_on_stack, arg, NULL);
	return arg;
}

static void *enter_again_from_other(void *arg)
{
	vmrpc__rpc_stack_enter(&other.stack, enter_again, arg, NULL);
	return arg;
}

static void *known_after_nesting(void *arg)
{
	vmrpc__rpc_stack_leave(&here.stack, enter_again_from_other, arg);
	return known_on_stack(arg);
}

TEST(address_sanitizer_knows_the_stacks)
{
	make_place(&here);
	check_stack_is_known();
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, known_on_stack, NULL, NULL), 0);
	check_stack_is_known();
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.high, known_on_stack, NULL), 0);
	check_stack_is_known();
	make_place(&other);
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, known_after_nesting, NULL, NULL), 0);
	check_stack_is_known();
}

static void *use_much(void *arg)
{
	char local[8192];

	memset(local, 1, sizeof local);
	__asm__ volatile("" ::"r"(local) : "memory");
	return arg;
}

/* Frames that went without returning, by longjmp say, leave their red zones behind. */
TEST(address_sanitizer_forgets_old_frames)
{
	make_place(&here);
	__asan_poison_memory_region(here.low, STACK_SIZE);
	CHECK_EQ(vmrpc__rpc_stack_enter(&here.stack, use_much, NULL, NULL), 0);
	__asan_poison_memory_region(here.low, STACK_SIZE);
	CHECK_EQ(vmrpc__rpc_stack_borrow(&here.stack, here.high, use_much, NULL), 0);
	memset(here.low, 1, PAGE);
	__asan_poison_memory_region(here.low, STACK_SIZE);
	vmrpc__rpc_stack_wipe(&here.stack, here.high);
	CHECK_EQ(*here.low, 0);
}
#endif

TEST_MAIN()
