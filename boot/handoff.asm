; SPDX-License-Identifier: BSD-2-Clause
; Leaves the UEFI image for good; see handoff.h. Arguments in the order of the
; System V ABI: rdi, rsi, rdx, rcx, r8, r9. Position independent.
bits 64
default rel

CR4_PGE equ 1 << 7

section .text

; New page tables from %1, global translations of the old ones dropped. Uses rax and rbx.
%macro load_cr3 1
	mov rax, cr4
	mov rbx, rax
	and rbx, ~CR4_PGE
	mov cr4, rbx
	mov cr3, %1
	mov cr4, rax
%endmacro

global handoff_core
handoff_core:
	cli
	cld
	load_cr3 rdi
	mov rsp, rcx
	xor ebp, ebp
	mov rdi, rdx
	jmp rsi

global handoff_guest
handoff_guest:
	cli
	cld
	lgdt [r8]
	lidt [empty_idt]
	load_cr3 rdi
	mov rsp, rcx
	; target of the far return, below the new stack top
	movzx eax, r9w
	push rax
	push rsi
	shr r9d, 16
	mov ds, r9d
	mov es, r9d
	mov ss, r9d
	mov fs, r9d
	mov gs, r9d
	mov rsi, rdx
	xor eax, eax
	lldt ax
	xor ebx, ebx
	xor ecx, ecx
	xor edx, edx
	xor edi, edi
	xor ebp, ebp
	xor r8d, r8d
	xor r9d, r9d
	xor r10d, r10d
	xor r11d, r11d
	xor r12d, r12d
	xor r13d, r13d
	xor r14d, r14d
	xor r15d, r15d
	; flags: only the bit that is always set
	push 2
	popfq
	o64 retf

section .data align=16
empty_idt:
	dw 0
	dq 0

section .note.GNU-stack noalloc noexec nowrite progbits
