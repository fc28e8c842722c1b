; SPDX-License-Identifier: BSD-2-Clause
; Exception entry points: push a uniform struct trap_frame (arch/x86/trap_frame.h) and
; call trap_handle(). Vectors on their own stacks are chosen by the IDT's IST.
%include "asm_offsets.inc"
%include "arch/x86/frame.inc"

default rel
bits 64

extern trap_handle
global isr_stubs

section .text

%assign vector 0
%rep 33
isr_ %+ vector:
%if !HAS_ERROR(vector)
	push	0
%endif
	push	vector
	jmp	isr_common
%assign vector vector + 1
%endrep

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
	cmp	qword [rsp + TRAP_FRAME_VECTOR], VEC_SX
	je	.without_iret
	restore_gprs
	add	rsp, 16			; vector, error
	iretq

; An INIT, as #SX, may come in the handler of an NMI, which has no other exception. Every IRET ends the blocking of NMIs, whatever
; it returns from (APM vol. 2 section 8.2.3), and the next NMI would begin at the top of the same stack, over the first
; one's frame. So RFLAGS and RIP go onto the interrupted stack, where the end of our frame was, and are taken from there. CS and SS
; are the hypervisor's before and after.
.without_iret:
	mov	rax, [rsp + TRAP_FRAME_RSP]
	mov	rcx, [rsp + TRAP_FRAME_RIP]
	mov	rdx, [rsp + TRAP_FRAME_RFLAGS]
	sub	rax, 16
	mov	[rax + 8], rcx
	mov	[rax], rdx
	mov	[rsp + TRAP_FRAME_VECTOR], rax
	restore_gprs
	pop	rsp
	popfq
	ret

; Interrupts that are taken for the guest (arch/x86/interrupt.h): one, whose vector is noted, and then they are off. The number that a
; stub pushes is less by 128, which makes it one byte.
global isr_taken
align ISR_TAKEN_BYTES
isr_taken:
%assign vector 0
%rep 256
align ISR_TAKEN_BYTES
	push	byte vector - 128
	jmp	near note_interrupt
%assign vector vector + 1
%endrep

note_interrupt:
	add	dword [rsp], 128
	push	rax
	mov	eax, [rsp + 8]
	mov	[gs:PERCPU_INTERRUPT], eax
	pop	rax
	add	rsp, 8
	and	dword [rsp + 16], ~RFLAGS_IF	; RIP, CS, RFLAGS
	iretq

section .rodata
align 8
isr_stubs:
%assign vector 0
%rep 33
	dq	isr_ %+ vector
%assign vector vector + 1
%endrep

section .note.GNU-stack noalloc noexec nowrite progbits
