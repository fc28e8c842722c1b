; SPDX-License-Identifier: BSD-2-Clause
; void svm_loop(struct vcpu *vcpu): into the guest and out again, for ever.
; VMRUN and #VMEXIT swap RAX, RSP, RIP and RFLAGS themselves (APM vol. 2 section
; 15.5.1). GIF is 0 in the hypervisor, so nothing can interrupt it.
;
; The fast path runs with the guest's FS, GS, TR, LDTR and syscall MSRs still in
; the CPU: VMSAVE and VMLOAD are for the exits that it leaves to svm_slow_path().
; Until then this_cpu() is not to be used and an exception has no stack of its own.
%include "arch/x86/gpr.inc"

bits 64
extern svm_slow_path
global svm_loop
global svm_enter

section .text

svm_loop:
	push	rdi			; vcpu, for good
	jmp	.enter

.again:					; RBP and R12 to R15 are the guest's
	mov	rdi, [rsp]
	mov	rax, [rdi + VCPU_CONTROL]
	load	rbx, VCPU_RBX
	for_each_scratch_gpr load
	load	rdi, VCPU_RDI
	vmrun
	push	rdi
	mov	rdi, [rsp + 8]		; vcpu
	store	rbx, VCPU_RBX
	for_each_scratch_gpr store
	pop	qword [rdi + VCPU_RDI]
	call	[rdi + VCPU_FAST_PATH]
	test	al, al
	jnz	.again

	mov	rdi, [rsp]
	for_each_kept_gpr store
	mov	rax, [rdi + VCPU_CONTROL]
	vmsave
	mov	rax, [rdi + VCPU_HOST]
	vmload
	xor	ebp, ebp		; a backtrace ends here
	call	svm_slow_path
.enter:
	mov	rdi, [rsp]
	mov	rax, [rdi + VCPU_CONTROL]
	vmload
	for_each_kept_gpr load
	jmp	.again

; void svm_enter(struct vcpu *vcpu): into the guest and back once.
svm_enter:
	push	rbp
	push	rbx
	push	r12
	push	r13
	push	r14
	push	r15
	push	rdi			; vcpu
	mov	rax, [rdi + VCPU_CONTROL]
	vmload
	for_each_gpr load
	load	rdi, VCPU_RDI
	vmrun
	push	rdi
	mov	rdi, [rsp + 8]		; vcpu
	for_each_gpr store
	pop	qword [rdi + VCPU_RDI]
	mov	rax, [rdi + VCPU_CONTROL]
	vmsave
	mov	rax, [rdi + VCPU_HOST]
	vmload
	add	rsp, 8
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbx
	pop	rbp
	ret
