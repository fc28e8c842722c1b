; SPDX-License-Identifier: BSD-2-Clause
; u32 vmx_enter(struct vcpu *vcpu, bool resume, u64 host_rsp_field)
; rdi = vcpu, esi = 0 for VMLAUNCH, else VMRESUME, rdx = encoding of the field
; HOST_RSP. Entry and exit swap RSP, RIP, RFLAGS and all that the VMCS holds
; (SDM vol. 3 sections 26.3.2 and 27.5); the general registers are swapped here.
; Returns enum vmx_status: 0 after an exit, 1 or 2 if the entry failed early.
; vmx_exit is what the field HOST_RIP holds.
%include "asm_offsets.inc"

bits 64
global vmx_enter
global vmx_exit

%macro for_each_gpr 1
	%1 rax, VCPU_RAX
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

vmx_enter:
	push	rbp
	push	rbx
	push	r12
	push	r13
	push	r14
	push	r15
	push	rdi			; vcpu
	vmwrite	rdx, rsp
	jbe	.failed			; CF or ZF
	test	esi, esi		; the moves below keep the flags
	for_each_gpr load
	load	rdi, VCPU_RDI
	jnz	.resume
	vmlaunch
	jmp	.failed
.resume:
	vmresume
.failed:
	mov	eax, 1			; CF: VMfailInvalid
	jc	vmx_return
	mov	eax, 2			; ZF: VMfailValid
	jmp	vmx_return

vmx_exit:
	push	rdi
	mov	rdi, [rsp + 8]		; vcpu
	for_each_gpr store
	pop	qword [rdi + VCPU_RDI]
	xor	eax, eax

vmx_return:
	add	rsp, 8
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbx
	pop	rbp
	ret
