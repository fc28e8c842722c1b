; SPDX-License-Identifier: BSD-2-Clause
; void svm_enter(struct vcpu *vcpu, hpa_t vmcb, hpa_t host_vmcb)
; rdi = vcpu, rsi = vmcb, rdx = host_vmcb. VMRUN and #VMEXIT swap RAX, RSP, RIP
; and RFLAGS themselves (APM vol. 2 section 15.5.1); VMLOAD and VMSAVE the rest.
; GIF is 0 here and after every exit, so nothing can interrupt.
%include "asm_offsets.inc"

bits 64
global svm_enter

%macro for_each_gpr 1
	%1 rbx, VCPU_RBX
	%1 rcx, VCPU_RCX
	%1 rdx, VCPU_RDX
	%1 rsi, VCPU_RSI
	%1 rbp, VCPU_RBP
	%1 r8, VCPU_R8
	%1 r9, VCPU_R9
	%1 r10, VCPU_R10
	%1 r11, VCPU_R11
	%1 r12, VCPU_R12
	%1 r13, VCPU_R13
	%1 r14, VCPU_R14
	%1 r15, VCPU_R15
%endmacro

%macro load 2
	mov	%1, [rdi + %2]
%endmacro

%macro store 2
	mov	[rdi + %2], %1
%endmacro

section .text

svm_enter:
	push	rbp
	push	rbx
	push	r12
	push	r13
	push	r14
	push	r15
	push	rdx			; host_vmcb
	push	rdi			; vcpu
	mov	rax, rsi
	for_each_gpr load
	load	rdi, VCPU_RDI
	vmload
	vmrun
	vmsave				; rax is vmcb again
	push	rdi
	mov	rdi, [rsp + 8]		; vcpu
	for_each_gpr store
	pop	qword [rdi + VCPU_RDI]
	add	rsp, 8
	pop	rax			; host_vmcb
	vmload
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbx
	pop	rbp
	ret
