/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The helper: a program of a few hundred bytes, whole with its ELF header, that
 * needs nothing of the guest's user space. It makes the system calls of the
 * batch in the folder that it is started in (vtrace_job.h), up to the first one
 * that fails, and ends. For the kernel that this is linked into it is data.
 */
#include <asm/unistd.h>

#include "vtrace_job.h"

#define AT		0x400000
#define O_RDWR		2
#define PROT_READ_WRITE	3
#define MAP_SHARED_FIXED	0x11

	.section .rodata, "a"
	.balign	16
	.globl	vtrace_helper
vtrace_helper:
	/* Elf64_Ehdr: 64-bit, little-endian, an executable for x86-64 */
	.byte	0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
	.short	2, 62
	.long	1
	.quad	AT + .Lstart - vtrace_helper
	.quad	.Lsegment - vtrace_helper
	.quad	0
	.long	0
	.short	64, 56, 1, 0, 0, 0
.Lsegment:
	/* Elf64_Phdr: all of it, readable and executable */
	.long	1, 5
	.quad	0, AT, AT
	.quad	vtrace_helper_end - vtrace_helper
	.quad	vtrace_helper_end - vtrace_helper
	.quad	4096

.Lstart:
	/* Files that kernel threads have open: the first one of ours is 0. */
	mov	$__NR_close_range, %eax
	xor	%edi, %edi
	mov	$-1, %esi
	xor	%edx, %edx
	syscall
	mov	$__NR_open, %eax
	lea	.Lbatch(%rip), %rdi
	mov	$O_RDWR, %esi
	xor	%edx, %edx
	syscall
	test	%eax, %eax
	jnz	.Lend
	mov	$__NR_mmap, %eax
	mov	$VTRACE_BATCH_AT, %edi
	mov	$VTRACE_BATCH_BYTES, %esi
	mov	$PROT_READ_WRITE, %edx
	mov	$MAP_SHARED_FIXED, %r10d
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	syscall
	cmp	$VTRACE_BATCH_AT, %rax
	jne	.Lend
	mov	%rax, %rbx
.Lnext:
	mov	(%rbx), %rax
	test	%rax, %rax
	js	.Lend
	mov	8(%rbx), %rdi
	mov	16(%rbx), %rsi
	mov	24(%rbx), %rdx
	mov	32(%rbx), %r10
	mov	40(%rbx), %r8
	mov	48(%rbx), %r9
	syscall
	mov	%rax, 56(%rbx)
	add	$64, %rbx
	test	%rax, %rax
	jns	.Lnext
.Lend:
	mov	$__NR_exit_group, %eax
	xor	%edi, %edi
	syscall
.Lbatch:
	.asciz	VTRACE_BATCH_FILE
	.globl	vtrace_helper_end
vtrace_helper_end:
