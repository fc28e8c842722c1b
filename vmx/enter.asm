; SPDX-License-Identifier: BSD-2-Clause
; u32 vmx_enter(struct vcpu *vcpu, bool resume, u64 host_rsp_field)
; u32 vmx_enter_shared(struct vcpu *vcpu, bool resume, u64 host_rsp_field, const bool *kicked)
; rdi = vcpu, esi = 0 for VMLAUNCH, else VMRESUME, rdx = encoding of the field
; HOST_RSP. If an NMI comes shortly before the entry, or *kicked is not 0, there is none.
; Entry and exit swap RSP, RIP, RFLAGS and all that the VMCS holds
; (SDM vol. 3 sections 26.3.2 and 27.5); the general registers are swapped here.
; Returns enum vmx_status: 0 after an exit, 1 or 2 if the entry failed early, 3 if there was none.
; vmx_exit is what the field HOST_RIP holds.
%include "arch/x86/gpr.inc"

bits 64
global vmx_enter
global vmx_enter_shared
global vmx_exit
global vmx_entry_begin
global vmx_entry_end
global vmx_entry_back

section .text

%macro begin_entry 0
	push	rbp
	push	rbx
	push	r12
	push	r13
	push	r14
	push	r15
	push	rdi			; vcpu
	cmp	[rdi + VCPU_HOST], rsp	; the VMCS mostly has it already
	je	%%host_known
	mov	[rdi + VCPU_HOST], rsp
	vmwrite	rdx, rsp
	jbe	vmx_failed		; CF or ZF
%%host_known:
%endmacro

vmx_enter_shared:
	begin_entry
	jmp	vmx_entry_check

vmx_enter:
	begin_entry
vmx_entry_begin:			; from here to vmx_entry_end an NMI goes on at vmx_entry_back
	test	esi, esi		; the moves below keep the flags
	load	rax, VCPU_RAX
	for_each_gpr load
	load	rdi, VCPU_RDI
	jnz	vmx_resume
	vmlaunch
	jmp	vmx_failed
vmx_resume:
	vmresume
	jmp	vmx_failed
vmx_entry_check:
	cmp	byte [rcx], 0
	je	vmx_entry_begin
	jmp	vmx_entry_back
vmx_entry_end:

vmx_failed:
	mov	eax, 1			; CF: VMfailInvalid
	jc	vmx_return
	mov	eax, 2			; ZF: VMfailValid
	jmp	vmx_return

vmx_entry_back:				; the guest's registers are all in struct vcpu
	mov	eax, 3
	jmp	vmx_return

vmx_exit:
	push	rdi
	mov	rdi, [rsp + 8]		; vcpu
	store	rax, VCPU_RAX
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
