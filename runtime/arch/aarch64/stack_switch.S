/* Stack switching for AArch64, AAPCS64. What these two promise stands in runtime/arch/arch.h. */

/* void *vmrpc__stack_switch(unsigned char *top, void *(*fn)(void *arg), void *arg, unsigned char **ret_left)
 *                           x0                  x1                      x2         x3
 *
 * Its frame, on the old stack, which is private:
 *
 *	sp + 192   (CFA)
 *	     184   top                 the new stack's
 *	     176   outer
 *	     168   (padding)
 *	     160   fpcr
 *	     152   d15
 *	     144   d14
 *	     136   d13
 *	     128   d12
 *	     120   d11
 *	     112   d10
 *	     104   d9
 *	      96   d8
 *	      88   x28
 *	      80   x27
 *	      72   x26
 *	      64   x25
 *	      56   x24
 *	      48   x23
 *	      40   x22
 *	      32   x21
 *	      24   x20
 *	      16   x19
 *	       8   x30                 return address
 *	       0   x29                 <- x29 while fn runs: an ordinary frame record; vmrpc__stack_innermost, *ret_left
 *
 * Nothing of ours lies on the new stack, which others can write.
 *
 * When fn has returned, nothing it restored from the new stack may be believed: neither x19 ... x30 nor d8 ... d15.
 * The frame is found through a thread-local variable, which needs none of these. */
	.text
	.p2align 4
	.globl	vmrpc__stack_switch
	.hidden	vmrpc__stack_switch
	.type	vmrpc__stack_switch, %function
	.hidden	vmrpc__stack_innermost
vmrpc__stack_switch:
	.cfi_startproc
	hint	#34				/* bti c */
	stp	x29, x30, [sp, -192]!
	.cfi_def_cfa_offset 192
	.cfi_offset x29, -192
	.cfi_offset x30, -184
	mov	x29, sp
	.cfi_def_cfa_register x29		/* so unwinders find the old stack from the new one */
	stp	x19, x20, [sp, 16]
	.cfi_offset x19, -176
	.cfi_offset x20, -168
	stp	x21, x22, [sp, 32]
	.cfi_offset x21, -160
	.cfi_offset x22, -152
	stp	x23, x24, [sp, 48]
	.cfi_offset x23, -144
	.cfi_offset x24, -136
	stp	x25, x26, [sp, 64]
	.cfi_offset x25, -128
	.cfi_offset x26, -120
	stp	x27, x28, [sp, 80]
	.cfi_offset x27, -112
	.cfi_offset x28, -104
	stp	d8, d9, [sp, 96]
	.cfi_offset d8, -96
	.cfi_offset d9, -88
	stp	d10, d11, [sp, 112]
	.cfi_offset d10, -80
	.cfi_offset d11, -72
	stp	d12, d13, [sp, 128]
	.cfi_offset d12, -64
	.cfi_offset d13, -56
	stp	d14, d15, [sp, 144]
	.cfi_offset d14, -48
	.cfi_offset d15, -40
	mrs	x4, fpcr
	str	x4, [sp, 160]
	mrs	x5, tpidr_el0
	adrp	x6, :gottprel:vmrpc__stack_innermost
	ldr	x6, [x6, :gottprel_lo12:vmrpc__stack_innermost]
	ldr	x4, [x5, x6]
	stp	x4, x0, [sp, 176]		/* outer, top */
	mov	x4, sp
	str	x4, [x3]
	str	x4, [x5, x6]			/* a signal handler before this that switches too takes its frame away again */
	mov	sp, x0
	mov	x0, x2

	/* A local symbol over both calls, because of gdb: only of a function of this name does it believe that the
	 * caller's frame may lie anywhere. It makes no difference to other debuggers or to unwinders. */
	.type	__morestack, %function
__morestack:
	blr	x1

	.globl	vmrpc__stack_switch_returned
	.hidden	vmrpc__stack_switch_returned
vmrpc__stack_switch_returned:			/* x0 is the result */
	mrs	x5, tpidr_el0
	adrp	x6, :gottprel:vmrpc__stack_innermost
	ldr	x6, [x6, :gottprel_lo12:vmrpc__stack_innermost]
	ldr	x1, [x5, x6]
	mov	x2, sp
	ldp	x3, x4, [x1, 176]		/* outer, top */
	cmp	x4, x2
	b.ne	.Labandoned
.Lfound:
	mov	x29, x1				/* before sp, so that unwinding works after each instruction */
	mov	sp, x1
	str	x3, [x5, x6]

	/* Writing the register costs more than asking whether fn has changed it. Its sticky flags are in another one. */
	ldr	x3, [sp, 160]
	mrs	x4, fpcr
	cmp	x3, x4
	b.ne	.Lfpcr
.Lfpcr_kept:
	ldp	x19, x20, [sp, 16]
	ldp	x21, x22, [sp, 32]
	ldp	x23, x24, [sp, 48]
	ldp	x25, x26, [sp, 64]
	ldp	x27, x28, [sp, 80]
	ldp	d8, d9, [sp, 96]
	ldp	d10, d11, [sp, 112]
	ldp	d12, d13, [sp, 128]
	ldp	d14, d15, [sp, 144]
	.cfi_remember_state
	.cfi_def_cfa_register sp
	ldp	x29, x30, [sp], 192
	.cfi_def_cfa_offset 0
	.cfi_restore x29
	.cfi_restore x30
	ret

	.cfi_restore_state
.Lfpcr:
	msr	fpcr, x3
	b	.Lfpcr_kept

	/* The innermost frame is not that of the stack we are on: a longjmp or an exception went past it. Ours is
	 * further out. */
.Labandoned:
	cbz	x3, .Lnone
	mov	x1, x3
	ldp	x3, x4, [x1, 176]		/* outer, top */
	cmp	x4, x2
	b.ne	.Labandoned
	b	.Lfound
.Lnone:
	brk	#1				/* sp is not what it was: there is nothing to go back to */
	.cfi_endproc
	.size	vmrpc__stack_switch, . - vmrpc__stack_switch

/* void *vmrpc__stack_leave(unsigned char *top, void *(*fn)(void *arg), void *arg, unsigned char **ret_left)
 *                          x0                  x1                      x2         x3
 *
 * Its frame, on the old stack:
 *
 *	sp + 16   (CFA)
 *	      8   x30                 return address
 *	      0   x29                 <- x29 while fn runs, *ret_left
 *
 * Its second half comes first, so that __morestack covers the call. */
	.cfi_startproc
	.cfi_def_cfa x29, 16
	.cfi_offset x29, -16
	.cfi_offset x30, -8
.Lleave:
	blr	x1
	mov	sp, x29				/* x29, kept by fn, comes from a private stack */
	.cfi_def_cfa_register sp
	ldp	x29, x30, [sp], 16
	.cfi_def_cfa_offset 0
	.cfi_restore x29
	.cfi_restore x30
	ret
	.size	__morestack, . - __morestack

	.globl	vmrpc__stack_leave
	.hidden	vmrpc__stack_leave
	.type	vmrpc__stack_leave, %function
vmrpc__stack_leave:
	hint	#34				/* bti c */
	stp	x29, x30, [sp, -16]!
	.cfi_def_cfa_offset 16
	.cfi_offset x29, -16
	.cfi_offset x30, -8
	mov	x29, sp
	.cfi_def_cfa_register x29
	str	x29, [x3]
	mov	sp, x0
	mov	x0, x2
	b	.Lleave
	.cfi_endproc
	.size	vmrpc__stack_leave, . - vmrpc__stack_leave

#ifdef __ARM_FEATURE_BTI_DEFAULT
	.section .note.gnu.property, "a"	/* branch targets are marked: the linker may say so of the whole program */
	.p2align 3
	.word	4				/* size of the name */
	.word	16				/* size of the description */
	.word	5				/* NT_GNU_PROPERTY_TYPE_0 */
	.asciz	"GNU"
	.word	0xc0000000			/* GNU_PROPERTY_AARCH64_FEATURE_1_AND */
	.word	4
	.word	1				/* BTI */
	.word	0
#endif
	.section .note.GNU-stack, "", %progbits
