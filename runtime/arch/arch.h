/* What differs from CPU to CPU: a few instructions, and stack_switch.S in the CPU's own folder. */
#ifndef VMRPC_ARCH_H
#define VMRPC_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#define VMRPC__HIDDEN __attribute__((visibility("hidden")))

/* Bytes below the stack pointer that the ABI lets a leaf function use without saying so. */
#if defined(__x86_64__)
#define VMRPC__RED_ZONE 128
#elif defined(__aarch64__)
#define VMRPC__RED_ZONE 0
#else
#error "vmrpc has no stack switch for this CPU: add runtime/arch/<cpu>/ and its part of arch.h"
#endif

/* Both store in *ret_left where they left the old stack: nothing of this thread lies below it there.
 *
 * vmrpc__stack_switch leaves a private stack for one that others can write: runs fn(arg) on the stack that ends at
 * top (a multiple of 16) and returns its result. The way back, the callee-saved registers and the rounding and
 * exception modes of the FPU are kept on the old stack, and found again through vmrpc__stack_innermost.
 *
 * vmrpc__stack_leave goes the other way: top is on a private stack, so what fn restores from there is believed. */
VMRPC__HIDDEN void *vmrpc__stack_switch(unsigned char *top, void *(*fn)(void *arg), void *arg,
					unsigned char **ret_left);
VMRPC__HIDDEN void *vmrpc__stack_leave(unsigned char *top, void *(*fn)(void *arg), void *arg, unsigned char **ret_left);

/* This thread's innermost running vmrpc__stack_switch: its frame on the old stack, which leads to the next outer. */
extern VMRPC__HIDDEN _Thread_local void *vmrpc__stack_innermost __attribute__((tls_model("initial-exec")));

/* Where fn returns to; only its address is of use. */
extern VMRPC__HIDDEN const char vmrpc__stack_switch_returned[];

/* Whether what vmrpc__stack_switch itself put on the new stack, the address fn returned to, is still as it was.
 * True on aarch64, which puts nothing there: fn keeps that address in its own frame. */
static inline bool vmrpc__stack_switch_intact(unsigned char *top)
{
#if defined(__x86_64__)
	const uintptr_t *return_address = (const uintptr_t *)(void *)top - 1;

	/* Relaxed: a peer may be writing it; any value it can be caught at will do. */
	return __atomic_load_n(return_address, __ATOMIC_RELAXED) == (uintptr_t)vmrpc__stack_switch_returned;
#else
	(void)top;
	return true;
#endif
}

static inline unsigned char *vmrpc__stack_pointer(void)
{
	unsigned char *pointer;

#if defined(__x86_64__)
	__asm__ volatile("mov %%rsp, %0" : "=r"(pointer));
#else
	__asm__ volatile("mov %0, sp" : "=r"(pointer));
#endif
	return pointer;
}

/* Tells the CPU that this is a loop which waits for memory to change. */
static inline void vmrpc__pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	__asm__ volatile(
		"isb" ::
			: "memory"); /* "yield" does nothing on most cores; this waits about as long as pause */
#endif
}

/* Whether the CPU keeps return addresses in a shadow stack, which would have to be switched as well. */
static inline bool vmrpc__shadow_stack_active(void)
{
#if defined(__x86_64__)
	uint64_t shadow_stack_pointer = 0;

	__asm__ volatile("rdsspq %0" : "+r"(shadow_stack_pointer)); /* does nothing when off, or on older CPUs */
	return shadow_stack_pointer != 0;
#else
	/* CHKFEAT x16, by its hint number for older assemblers: clears bit 0 when Guarded Control Stacks are on, and
	 * does nothing on older CPUs. */
	register uint64_t features __asm__("x16") = 1;

	__asm__ volatile("hint #40" : "+r"(features));
	return !(features & 1);
#endif
}

#endif
