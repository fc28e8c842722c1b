; SPDX-License-Identifier: BSD-2-Clause
; The way out of a check that an exception or an interrupt has ended. Attempts do not nest.
bits 64
default abs

CR0_KEPT	equ 0x80010033		; PG, WP, NE, ET, MP, PE

section .text

; int attempt(void (*fn)(void)): 0, or 1 if abandon() ended it.
global attempt
attempt:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	mov	rax, cr3
	mov	[saved_cr3], rax
	mov	rax, cr4
	mov	[saved_cr4], rax
	mov	[saved_rsp], rsp
	sub	rsp, 8
	call	rdi
	mov	rsp, [saved_rsp]
	xor	eax, eax
restore:
	cli
	cld
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

; void abandon(void): in 64-bit mode with the number of levels that attempt() found.
global abandon
abandon:
	mov	rax, [saved_cr3]
	mov	cr3, rax
	mov	rax, [saved_cr4]
	mov	cr4, rax
	mov	rax, CR0_KEPT
	mov	cr0, rax
	mov	rsp, [saved_rsp]
	mov	ax, 0x10
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	eax, 1
	jmp	restore

section .bss
saved_rsp:	resq 1
saved_cr3:	resq 1
saved_cr4:	resq 1
