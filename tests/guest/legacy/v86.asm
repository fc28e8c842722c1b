; SPDX-License-Identifier: BSD-2-Clause
; Virtual-8086 mode with paging on: faults and privileged instructions come to the kernel, with the frame that
; belongs to them; the APIC is mapped at linear 0x9000; linear 0xa000 is absent at first.
%include "tests/guest/legacy/image.inc"

PRESENT_USER equ 7
FRAME_ERROR equ 0		; of an exception with an error code from virtual-8086 mode
FRAME_EIP equ 4
FRAME_FLAGS equ 12
VM equ 1 << 17

run_tests:
	call	turn_paging_on
	mov	esi, code_start
	mov	edi, code_end
	call	to_low
	mov	dword [hook], from_v86
	mov	[saved_esp], esp
	push	dword 0			; GS, FS, DS, ES
	push	dword 0
	push	dword 0
	push	dword 0
	push	dword 0			; SS, ESP
	push	dword 0x5000
	push	dword VM | 2
	push	dword LOW >> 4		; CS, EIP
	push	dword 0
	iret
ended:	mov	esp, [saved_esp]
	mov	dword [hook], 0
	CHECK	"CPUID in virtual-8086 mode", [NOTES], [cpu_word]
	CHECK	"APIC read", [NOTES + 4], [apic_version]
	CHECK	"string from the APIC", [NOTES + 8], [apic_version]
	CHECK	"APIC written", [NOTES + 12], 0x30
	CHECK	"APIC pushed and popped", [NOTES + 16], [apic_version]
	CHECK	"a page fault, once", [faults], 1
	CHECK	"its error code", [fault_error], 4
	CHECK	"its address", [fault_address], 0xa123
	CHECK	"general protection for INT, CLI, MOV CR0, RDMSR, HLT", [violations], 6
	CHECK	"their frames are of virtual-8086 mode", [strange_frames], 0
	ret

turn_paging_on:
	mov	edi, directory		; 4 MiB pages, all 4 GiB, for the user
	mov	eax, 0x80 | PRESENT_USER
	mov	ecx, 1024
.large:	stosd
	add	eax, 0x400000
	loop	.large
	mov	edi, table
	mov	eax, PRESENT_USER
	mov	ecx, 1024
.small:	stosd
	add	eax, 4096
	loop	.small
	mov	dword [directory], table + PRESENT_USER
	mov	dword [table + 9 * 4], APIC + PRESENT_USER
	mov	dword [table + 10 * 4], 0
	mov	eax, cr4
	or	eax, 0x10		; PSE
	mov	cr4, eax
	mov	eax, directory
	mov	cr3, eax
	mov	eax, cr0
	or	eax, 0x80010000		; PG, WP
	mov	cr0, eax
	ret

from_v86:
	test	dword [esp + FRAME_FLAGS], VM
	jnz	.good
	inc	dword [strange_frames]
.good:	cmp	dword [vector], 14
	je	.fault
	cmp	dword [vector], 13
	jne	exception.plain
	inc	dword [violations]
	mov	eax, [esp + FRAME_EIP]
	movzx	ecx, byte [eax + LOW]
	cmp	cl, 0xcd		; INT: the second one is the last
	jne	.skip
	cmp	byte [eax + LOW + 1], 0xff
	je	ended
.skip:	movzx	ecx, byte [lengths + eax - (privileged - code_start)]
	add	[esp + FRAME_EIP], ecx
	add	esp, 4
	iret
.fault:	inc	dword [faults]
	mov	eax, [esp + FRAME_ERROR]
	mov	[fault_error], eax
	mov	eax, cr2
	mov	[fault_address], eax
	mov	dword [table + 10 * 4], 0xa000 + PRESENT_USER
	invlpg	[eax]
	add	esp, 4
	iret

section .data
faults:	dd 0
fault_error: dd 0
fault_address: dd 0
violations: dd 0
strange_frames: dd 0
; of the instructions at privileged, by their offset: INT, CLI, MOV, RDMSR, HLT
lengths: db 2, 0, 1, 3, 0, 0, 2, 0, 1
section .bss
alignb 4096
directory: resb 4096
table:	resb 4096
section .text

code_start:
bits 16
	xor	eax, eax
	cpuid
	mov	[NOTES], ebx
	mov	eax, [0x9030]
	mov	[NOTES + 4], eax
	mov	si, 0x9030
	mov	di, NOTES + 8
	movsd
	mov	dword [0x9080], 0x30
	mov	eax, [0x9080]
	mov	[NOTES + 12], eax
	mov	dword [0x9080], 0
	push	dword [0x9030]
	pop	dword [NOTES + 16]
	mov	al, [0xa123]
privileged:
	int	0x21
	cli
	mov	eax, cr0
	rdmsr
	hlt
	int	0xff
code_end:
