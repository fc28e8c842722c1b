; SPDX-License-Identifier: BSD-2-Clause
; Leaves the UEFI image for good; see handoff.h. Arguments in the order of the
; System V ABI: rdi, rsi. Position independent.
bits 64
default rel

CR0_PE_MP_ET_NE equ 0x33
CR0_PG equ 1 << 31
CR4_PGE equ 1 << 7
CR4_LA57 equ 1 << 12
CR4_PCIDE equ 1 << 17
MSR_EFER equ 0xc0000080

; struct handoff
H_CR3 equ 0
H_STACK equ 8
H_COPIES equ 16
H_COPY_COUNT equ 24
H_CORE_ENTRY equ 32
H_INFO equ 40
H_GUEST equ 48
; struct handoff_copy
C_FROM equ 0
C_TO equ 8
C_BYTES equ 16
C_ZERO equ 24
C_SIZE equ 32
; struct boot_guest_state of boot_info.h
G_MODE equ 0
G_RIP equ 8
G_RSP equ 16
G_RAX equ 24
G_RBX equ 32
G_RCX equ 40
G_RDX equ 48
G_RSI equ 56
G_RDI equ 64
G_RBP equ 72
G_CR3 equ 80
G_GDT_BASE equ 88
G_GDT_LIMIT equ 96
G_CS equ 98
G_DS equ 100
MODE_LONG64 equ 1

section .text

; New page tables from %1, global translations of the old ones dropped. Uses rax, rbx and rdx.
%macro load_cr3 1
	mov rdx, %1
	mov rax, cr4
	mov rbx, rax
	and rbx, ~CR4_PGE
	mov cr4, rbx
	mov cr3, rdx
	mov cr4, rax
%endmacro

global handoff_start
handoff_start:
	cli
	cld
	mov rax, cr4
	test eax, CR4_LA57
	jnz .five_levels
	load_cr3 [rdi + H_CR3]
	mov rsp, [rdi + H_STACK]
	jmp rsi
.five_levels:
	mov rsp, [rdi + H_STACK]
	add rsi, leave_five_levels - handoff_code
	jmp rsi

; From here to handoff_code_end: runs as a copy, rdi = struct handoff.
global handoff_code
handoff_code:
	mov r12, rdi
	mov r13, [r12 + H_COPIES]
	mov r14, [r12 + H_COPY_COUNT]
	xor ebp, ebp
.next:
	test r14, r14
	jz .copied
	mov rsi, [r13 + C_FROM]
	mov rdi, [r13 + C_TO]
	mov rcx, [r13 + C_BYTES]
	rep movsb
	mov rcx, [r13 + C_ZERO]
	xor eax, eax
	rep stosb
	add r13, C_SIZE
	dec r14
	jmp .next
.copied:
	mov rax, [r12 + H_CORE_ENTRY]
	test rax, rax
	jz start_guest
	mov rdi, [r12 + H_INFO]
	jmp rax

; On a firmware's five levels of page tables, which map all memory at its own address; rsi = here. CR4.LA57 changes with
; paging off alone (SDM vol. 3 section 2.5), and that wants 32-bit code: handoff, cr3 and stack are below 4 GiB.
FLAT_CODE_32 equ 8
FLAT_DATA equ 16
FLAT_CODE_64 equ 24
leave_five_levels:
	lea rax, [flat_gdt]
	sub rsp, 16
	mov word [rsp], flat_gdt_end - flat_gdt - 1
	mov [rsp + 2], rax
	lgdt [rsp]
	mov rax, cr4
	and eax, ~(CR4_PGE | CR4_PCIDE)
	mov cr4, rax
	lea rax, [.code_32]
	push FLAT_CODE_32
	push rax
	retfq
bits 32
.code_32:
	mov eax, FLAT_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov eax, cr0
	and eax, ~CR0_PG
	mov cr0, eax
	mov eax, cr4
	and eax, ~CR4_LA57
	mov cr4, eax
	mov eax, [edi + H_CR3]
	mov cr3, eax
	mov eax, cr0
	or eax, CR0_PG
	mov cr0, eax
	lea eax, [esi + .code_64 - leave_five_levels]
	push dword FLAT_CODE_64
	push eax
	retf
bits 64
.code_64:
	mov edi, edi
	mov rsp, [rdi + H_STACK]
	jmp handoff_code

align 8, db 0
flat_gdt:
	dq 0
	dq 0x00cf9b000000ffff
	dq 0x00cf93000000ffff
	dq 0x00af9b000000ffff
flat_gdt_end:

start_guest:
	mov rsi, [r12 + H_GUEST]
	; operand of lgdt
	sub rsp, 16
	mov ax, [rsi + G_GDT_LIMIT]
	mov [rsp], ax
	mov rax, [rsi + G_GDT_BASE]
	mov [rsp + 2], rax
	lgdt [rsp]
	lidt [empty_idt]
	xor eax, eax
	lldt ax
	cmp dword [rsi + G_MODE], MODE_LONG64
	jne start_guest_32

	load_cr3 [rsi + G_CR3]
	mov rsp, [rsi + G_RSP]
	; target of the far return, below the new stack top
	movzx eax, word [rsi + G_CS]
	push rax
	push qword [rsi + G_RIP]
	movzx eax, word [rsi + G_DS]
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov fs, eax
	mov gs, eax
	; flags: only the bit that is always set
	push 2
	popfq
	mov rax, [rsi + G_RAX]
	mov rbx, [rsi + G_RBX]
	mov rcx, [rsi + G_RCX]
	mov rdx, [rsi + G_RDX]
	mov rdi, [rsi + G_RDI]
	mov rbp, [rsi + G_RBP]
	mov rsi, [rsi + G_RSI]
	xor r8d, r8d
	xor r9d, r9d
	xor r10d, r10d
	xor r11d, r11d
	xor r12d, r12d
	xor r13d, r13d
	xor r14d, r14d
	xor r15d, r15d
	o64 retf

; Out of long mode, SDM vol. 3 section 9.8.5.4: compatibility mode, paging off, LME off.
start_guest_32:
	movzx eax, word [rsi + G_CS]
	push rax
	lea rax, [compatibility_mode]
	push rax
	o64 retf

bits 32
compatibility_mode:
	mov eax, cr0
	and eax, ~CR0_PG
	mov cr0, eax
	xor eax, eax
	xor edx, edx
	mov ecx, MSR_EFER
	wrmsr
	mov cr4, eax
	mov cr3, eax
	mov eax, CR0_PE_MP_ET_NE
	mov cr0, eax
	movzx eax, word [esi + G_DS]
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov fs, eax
	mov gs, eax
	mov esp, [esi + G_RSP]
	push dword [esi + G_RIP]
	push dword 2
	popfd
	mov eax, [esi + G_RAX]
	mov ebx, [esi + G_RBX]
	mov ecx, [esi + G_RCX]
	mov edx, [esi + G_RDX]
	mov edi, [esi + G_RDI]
	mov ebp, [esi + G_RBP]
	mov esi, [esi + G_RSI]
	ret

align 16, db 0
empty_idt:
	dw 0
	dq 0
global handoff_code_end
handoff_code_end:
%if handoff_code_end - handoff_code > 1024
%error larger than HANDOFF_CODE_BYTES
%endif

section .note.GNU-stack noalloc noexec nowrite progbits
