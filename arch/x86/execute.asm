; SPDX-License-Identifier: BSD-2-Clause
; u64 execute_enter(struct execute *e): the guest's general registers but RSP and its
; arithmetic flags, one instruction and the RET behind it, and back. If the instruction
; faults, the trap handler goes on at execute_faulted with the vector in RAX.
%include "asm_offsets.inc"

bits 64
default rel
global execute_enter
global execute_faulted

section .text

%macro for_each_gpr 1
	%1 rax, 0
	%1 rcx, 1
	%1 rdx, 2
	%1 rbx, 3
	%1 rbp, 5
	%1 rsi, 6
	%1 r8, 8
	%1 r9, 9
	%1 r10, 10
	%1 r11, 11
	%1 r12, 12
	%1 r13, 13
	%1 r14, 14
	%1 r15, 15
%endmacro

%macro load 2
	mov	%1, [rdi + EXECUTE_GPR + 8 * %2]
%endmacro

%macro store 2
	mov	[rdi + EXECUTE_GPR + 8 * %2], %1
%endmacro

execute_enter:
	push	rbp
	push	rbx
	push	r12
	push	r13
	push	r14
	push	r15
	push	rdi			; e
	push	qword [rdi + EXECUTE_AT]
	push	qword [rdi + EXECUTE_FLAGS]
	popfq
	for_each_gpr load		; moves keep the flags
	load	rdi, 7
	call	[rsp]
	pushfq
	push	rdi
	mov	rdi, [rsp + 24]		; e
	for_each_gpr store
	pop	qword [rdi + EXECUTE_GPR + 8 * 7]
	pop	qword [rdi + EXECUTE_FLAGS]
	mov	eax, EXECUTE_NO_FAULT
	add	rsp, 16			; at, e
	jmp	restore

execute_faulted:
	add	rsp, 24			; where the RET would go, at, e
restore:
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbx
	pop	rbp
	cld
	ret

section .note.GNU-stack noalloc noexec nowrite progbits
