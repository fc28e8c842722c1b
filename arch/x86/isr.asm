; SPDX-License-Identifier: BSD-2-Clause
; Exception entry points: push a uniform struct trap_frame (arch/x86/trap_frame.h) and
; call trap_handle(). Vectors on their own stacks are chosen by the IDT's IST.
%include "asm_offsets.inc"

default rel
bits 64

extern trap_handle
global isr_stubs

; The exceptions that push an error code, APM vol. 2 section 8.2.
%define HAS_ERROR(v) ((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17 || (v) == 21 || (v) == 29 || (v) == 30)

section .text

%assign vector 0
%rep 32
isr_ %+ vector:
%if !HAS_ERROR(vector)
	push	0
%endif
	push	vector
	jmp	isr_common
%assign vector vector + 1
%endrep

; The registers in the order of struct trap_frame, from its end.
%macro for_each_gpr 1
	%1 rax
	%1 rcx
	%1 rdx
	%1 rbx
	%1 rbp
	%1 rsi
	%1 rdi
	%1 r8
	%1 r9
	%1 r10
	%1 r11
	%1 r12
	%1 r13
	%1 r14
	%1 r15
%endmacro

%assign gprs 0
%macro save 1
	push	%1
	%assign gprs gprs + 8
%endmacro

isr_common:
	cld
	for_each_gpr save
%if gprs != TRAP_FRAME_GPRS
	%error "isr_common does not push struct trap_frame"
%endif
	mov	rdi, rsp
	mov	rbp, rsp
	and	rsp, -16
	call	trap_handle
	mov	rsp, rbp
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	r11
	pop	r10
	pop	r9
	pop	r8
	pop	rdi
	pop	rsi
	pop	rbp
	pop	rbx
	pop	rdx
	pop	rcx
	pop	rax
	add	rsp, 16			; vector, error
	iretq

section .rodata
align 8
isr_stubs:
%assign vector 0
%rep 32
	dq	isr_ %+ vector
%assign vector vector + 1
%endrep
