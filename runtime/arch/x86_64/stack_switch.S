/* Stack switching for x86-64, System V ABI. What these two promise stands in runtime/arch/arch.h. */

/* void *vmrpc__stack_switch(unsigned char *top, void *(*fn)(void *arg), void *arg, unsigned char **ret_left)
 *                           rdi                 rsi                     rdx        rcx
 *
 * Its frame, on the old stack, which is private:
 *
 *	rsp + 80   (CFA)
 *	      72   return address
 *	      64   rbp                 <- rbp while fn runs: an ordinary frame for whoever walks frame pointers
 *	      56   rbx
 *	      48   r12
 *	      40   r13
 *	      32   r14
 *	      24   r15
 *	      20   x87 control word
 *	      16   mxcsr
 *	       8   top                 the new stack's
 *	       0   outer               <- vmrpc__stack_innermost, *ret_left; 16-aligned
 *
 * On the new stack, which others can write, lies only the return address of fn, at top - 8.
 *
 * When fn has returned, nothing it restored from the new stack may be believed: neither rbp nor rbx nor r12 ... r15.
 * The frame is found through a thread-local variable, which needs none of these. */
	.text
	.p2align 4
	.globl	vmrpc__stack_switch
	.hidden	vmrpc__stack_switch
	.type	vmrpc__stack_switch, @function
	.hidden	vmrpc__stack_innermost
vmrpc__stack_switch:
	.cfi_startproc
	endbr64
	pushq	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	movq	%rsp, %rbp
	.cfi_def_cfa_register %rbp		/* so unwinders find the old stack from the new one */
	pushq	%rbx
	.cfi_offset %rbx, -24
	pushq	%r12
	.cfi_offset %r12, -32
	pushq	%r13
	.cfi_offset %r13, -40
	pushq	%r14
	.cfi_offset %r14, -48
	pushq	%r15
	.cfi_offset %r15, -56
	subq	$8, %rsp
	stmxcsr	(%rsp)
	fnstcw	4(%rsp)
	pushq	%rdi				/* top */
	movq	vmrpc__stack_innermost@gottpoff(%rip), %r8
	pushq	%fs:(%r8)			/* outer */
	movq	%rsp, (%rcx)
	movq	%rsp, %fs:(%r8)			/* a signal handler before this that switches too takes its frame away again */
	movq	%rdi, %rsp
	movq	%rdx, %rdi

	/* A local symbol over both calls, because of gdb: only of a function of this name does it believe that the
	 * caller's frame may lie anywhere. It makes no difference to other debuggers or to unwinders. */
	.type	__morestack, @function
__morestack:
	callq	*%rsi

	.globl	vmrpc__stack_switch_returned
	.hidden	vmrpc__stack_switch_returned
vmrpc__stack_switch_returned:			/* rax is the result */
	movq	vmrpc__stack_innermost@gottpoff(%rip), %rcx
	movq	%fs:(%rcx), %rdx
	cmpq	8(%rdx), %rsp			/* top */
	jne	.Labandoned
.Lfound:
	leaq	64(%rdx), %rbp			/* before rsp, so that unwinding works after each instruction */
	movq	%rdx, %rsp
	popq	%fs:(%rcx)			/* outer */
	.cfi_remember_state

	/* Reloading a control register costs more than asking whether fn has changed it. The stack pointer is one word
	 * higher now than the table says: the word of top is free, below it is private stack. */
	stmxcsr	(%rsp)
	movl	(%rsp), %ecx
	xorl	8(%rsp), %ecx
	testl	$~0x3f, %ecx			/* the low 6 bits are sticky flags, which a function may well raise */
	jnz	.Lmxcsr
.Lmxcsr_kept:
	fnstcw	4(%rsp)
	movzwl	4(%rsp), %ecx
	cmpw	12(%rsp), %cx
	jne	.Lx87
.Lx87_kept:
	addq	$16, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	.cfi_def_cfa %rsp, 8
	.cfi_restore %rbp
	retq

	.cfi_restore_state
.Lmxcsr:
	andl	$0x3f, %ecx			/* flags fn raised, or cleared */
	xorl	%ecx, 8(%rsp)
	ldmxcsr	8(%rsp)
	jmp	.Lmxcsr_kept
.Lx87:
	fldcw	12(%rsp)
	jmp	.Lx87_kept

	/* The innermost frame is not that of the stack we are on: a longjmp or an exception went past it. Ours is
	 * further out. */
.Labandoned:
	movq	(%rdx), %rdx			/* outer */
	testq	%rdx, %rdx
	jz	.Lnone
	cmpq	8(%rdx), %rsp			/* top */
	jne	.Labandoned
	jmp	.Lfound
.Lnone:
	ud2					/* rsp is not what it was: there is nothing to go back to */
	.cfi_endproc
	.size	vmrpc__stack_switch, . - vmrpc__stack_switch

/* void *vmrpc__stack_leave(unsigned char *top, void *(*fn)(void *arg), void *arg, unsigned char **ret_left)
 *                          rdi                 rsi                     rdx        rcx
 *
 * Its frame, on the old stack:
 *
 *	rsp + 16   (CFA)
 *	       8   return address
 *	       0   rbp                 <- rbp while fn runs, *ret_left
 *
 * Its second half comes first, so that __morestack covers the call. */
	.cfi_startproc
	.cfi_def_cfa %rbp, 16
	.cfi_offset %rbp, -16
.Lleave:
	callq	*%rsi
	movq	%rbp, %rsp			/* rbp, kept by fn, comes from a private stack */
	popq	%rbp
	.cfi_def_cfa %rsp, 8
	.cfi_restore %rbp
	retq
	.size	__morestack, . - __morestack

	.globl	vmrpc__stack_leave
	.hidden	vmrpc__stack_leave
	.type	vmrpc__stack_leave, @function
vmrpc__stack_leave:
	endbr64
	pushq	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	movq	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	movq	%rsp, (%rcx)
	movq	%rdi, %rsp
	movq	%rdx, %rdi
	jmp	.Lleave
	.cfi_endproc
	.size	vmrpc__stack_leave, . - vmrpc__stack_leave

#ifdef __CET__
#include <cet.h> /* the note: endbr64 is where it must be; and with shadow stacks on these are not called */
#endif
	.section .note.GNU-stack, "", @progbits
