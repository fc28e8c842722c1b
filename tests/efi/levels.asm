; SPDX-License-Identifier: BSD-2-Clause
; void five_levels(void *copy, u64 root): takes root, which has the firmware's own root as its entry 0, as the root of
; five levels of page tables (SDM vol. 3 section 2.5). Runs as a copy below 4 GiB, from five_levels_start to
; five_levels_end; root is below 4 GiB too. All registers that a caller keeps are kept.
bits 64
default rel

CR0_PG equ 1 << 31
CR4_PGE equ 1 << 7
CR4_LA57 equ 1 << 12
CODE_32 equ 8
DATA equ 16
CODE_64 equ 24

section .text

global five_levels_start, five_levels_end
five_levels_start:
	pushfq
	cli
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	sgdt [firmware_gdt]
	mov [firmware_cs], cs
	mov [firmware_ss], ss
	mov [firmware_ds], ds
	mov [firmware_rsp], rsp
	lea rax, [gdt]
	mov [gdt_operand + 2], rax
	lgdt [gdt_operand]
	mov rax, cr4
	and eax, ~CR4_PGE
	mov cr4, rax
	lea rdi, [five_levels_start]
	lea rax, [.code_32]
	push CODE_32
	push rax
	retfq
bits 32
.code_32:
	mov eax, DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	lea esp, [edi + stack_end - five_levels_start]
	mov eax, cr0
	and eax, ~CR0_PG
	mov cr0, eax
	mov eax, cr4
	or eax, CR4_LA57
	mov cr4, eax
	mov cr3, esi
	mov eax, cr0
	or eax, CR0_PG
	mov cr0, eax
	lea eax, [edi + .code_64 - five_levels_start]
	push dword CODE_64
	push eax
	retf
bits 64
.code_64:
	lgdt [firmware_gdt]
	mov ds, [firmware_ds]
	mov es, [firmware_ds]
	mov ss, [firmware_ss]
	mov rsp, [firmware_rsp]
	movzx eax, word [firmware_cs]
	push rax
	lea rax, [.done]
	push rax
	retfq
.done:
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	popfq
	ret

align 8, db 0
gdt:	dq 0
	dq 0x00cf9b000000ffff
	dq 0x00cf93000000ffff
	dq 0x00af9b000000ffff
gdt_operand:
	dw $ - gdt - 1
	dq 0
firmware_gdt:
	dw 0
	dq 0
firmware_cs: dw 0
firmware_ss: dw 0
firmware_ds: dw 0
firmware_rsp: dq 0
	times 64 db 0
stack_end:
five_levels_end:

section .note.GNU-stack noalloc noexec nowrite progbits
