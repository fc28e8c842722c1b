; SPDX-License-Identifier: BSD-2-Clause
; Real mode and back, for system.c: code that is copied to a page below 64 KiB, and the way there.
default abs

CODE64		equ 0x08
DATA		equ 0x10
CODE32		equ 0x18
CODE16		equ 0x20
DATA16		equ 0x28
MSR_EFER	equ 0xc0000080
EFER_LME_BIT	equ 8
CR0_PG_BIT	equ 31
STACK		equ 0xdf0	; in the page
NOTES		equ 0xe00	; system.c knows it
NOTE_CR0	equ NOTES
NOTE_CPUID	equ NOTES + 4
NOTE_SOFT	equ NOTES + 8
NOTE_DIVIDED	equ NOTES + 12
NOTE_COPIED	equ NOTES + 16
NOTE_WRAPPED	equ NOTES + 20
NOTE_FLAGS	equ NOTES + 24
SOURCE		equ 0xd00
TARGET		equ 0xd40
VECTOR		equ 0x60

section .text
bits 64

; void real_run(u64 page)
global real_run
real_run:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	mov	[saved_rsp], rsp
	sgdt	[saved_gdt]
	sidt	[saved_idt]
	mov	rax, cr0
	mov	[saved_cr0], rax
	mov	rax, cr3
	mov	[saved_cr3], rax
	mov	rax, cr4
	mov	[saved_cr4], rax
	mov	eax, edi		; the bases of the 16-bit segments
	mov	[real_gdt + CODE16 + 2], ax
	mov	[real_gdt + DATA16 + 2], ax
	shr	eax, 16
	mov	[real_gdt + CODE16 + 4], al
	mov	[real_gdt + DATA16 + 4], al
	lgdt	[real_gdt_pointer]
	push	qword CODE32
	push	qword .protected
	retfq
bits 32
.protected:
	mov	eax, DATA
	mov	ds, eax
	mov	ss, eax
	mov	eax, cr0
	btr	eax, CR0_PG_BIT
	mov	cr0, eax
	mov	ecx, MSR_EFER
	rdmsr
	mov	[saved_efer], eax
	btr	eax, EFER_LME_BIT
	wrmsr
	xor	eax, eax
	mov	cr4, eax
	lidt	[real_idt_pointer]
	mov	eax, DATA16
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	mov	fs, eax
	mov	gs, eax
	jmp	CODE16:0

; --- back, from real mode ---
back:	mov	eax, DATA
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	mov	eax, [saved_cr4]
	mov	cr4, eax
	mov	eax, [saved_cr3]
	mov	cr3, eax
	mov	ecx, MSR_EFER
	xor	edx, edx
	mov	eax, [saved_efer]
	btr	eax, 10			; LMA
	wrmsr
	mov	eax, [saved_cr0]
	mov	cr0, eax
	jmp	CODE64:.long
bits 64
.long:	lgdt	[saved_gdt]
	lidt	[saved_idt]
	mov	rsp, [saved_rsp]
	mov	eax, DATA
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

; --- the copy: addresses are offsets in the page, whose segment is written to real_segment ---
%define AT(label) ((label) - real_code)
bits 16
global real_code, real_code_end, real_segment
real_code:
	mov	eax, cr0
	and	al, 0xfe
	mov	cr0, eax
	db	0xea			; JMP FAR to what follows, in real mode
	dw	AT(real_mode)
real_segment:
	dw	0
real_mode:
	mov	ax, cs
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	sp, STACK
	mov	fs, ax
	xor	ax, ax
	mov	gs, ax
	mov	word [gs:4 * VECTOR], AT(soft)
	mov	[gs:4 * VECTOR + 2], cs
	mov	word [gs:0], AT(divided)
	mov	[gs:2], cs
	mov	eax, cr0
	mov	[NOTE_CR0], eax
	mov	eax, 0x40000000
	cpuid
	mov	[NOTE_CPUID], ebx
	int	VECTOR
	int	VECTOR
	int	VECTOR
	xor	bx, bx
	mov	ax, 1
	div	bl
	div	bl
	mov	dword [SOURCE], 0x12345678
	mov	si, SOURCE
	mov	di, TARGET
	mov	cx, 4
	cld
	rep movsb
	mov	eax, [TARGET]
	mov	[NOTE_COPIED], eax
	mov	ax, cs			; the same byte by another segment
	sub	ax, 0x10
	mov	gs, ax
	mov	ax, [gs:SOURCE + 0x100]
	mov	[NOTE_WRAPPED], ax
	xor	ax, ax			; ZF, PF
	stc
	mov	al, 0x55
	push	ax
	popf
	pushf
	pop	word [NOTE_FLAGS]
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	jmp	dword CODE32:back

soft:	inc	word [cs:NOTE_SOFT]
	iret
divided:
	inc	word [cs:NOTE_DIVIDED]
	push	bp
	mov	bp, sp
	add	word [bp + 2], 2	; behind DIV BL
	pop	bp
	iret
real_code_end:

section .data
align 8
real_gdt:
	dq	0
	dq	0x00af9b000000ffff
	dq	0x00cf93000000ffff
	dq	0x00cf9b000000ffff
	dq	0x00009b000000ffff	; 16-bit, 64 KiB; the base is written above
	dq	0x000093000000ffff
real_gdt_end:
real_gdt_pointer:
	dw	real_gdt_end - real_gdt - 1
	dq	real_gdt
real_idt_pointer:
	dw	0x3ff
	dd	0

section .bss
saved_rsp:	resq 1
saved_cr0:	resq 1
saved_cr3:	resq 1
saved_cr4:	resq 1
saved_efer:	resq 1
saved_gdt:	resb 16
saved_idt:	resb 16
