; SPDX-License-Identifier: BSD-2-Clause
; Real mode and back: software interrupts, exceptions, single steps, CPUID and RDMSR there, the APIC through a
; segment that kept its 4 GiB limit, strings, timer interrupts by the PIC.
%include "tests/guest/legacy/image.inc"

EFER equ 0xc0000080
NOTE_CR0 equ NOTES
NOTE_CPU equ NOTES + 4
NOTE_EFER equ NOTES + 8
NOTE_VERSION equ NOTES + 12
NOTE_TPR equ NOTES + 16
NOTE_MOVS equ NOTES + 20
NOTE_SOFT equ NOTES + 24
NOTE_DIVIDE equ NOTES + 28
NOTE_STEPS equ NOTES + 32
NOTE_TICKS equ NOTES + 36
NOTE_COPY equ NOTES + 40
NOTE_WRAP equ NOTES + 44
COPY equ 0x5800

run_tests:
	mov	esi, real_start
	mov	edi, real_end
	call	to_low
	mov	[saved_esp], esp
	lidt	[real_idt]
	jmp	SEL_CODE16:LOW
back:	mov	ax, SEL_DATA
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	fs, ax
	mov	gs, ax
	mov	esp, [saved_esp]
	lidt	[idt_pointer]
	CHECK	"CR0.PE and CR0.PG read as clear in real mode", [NOTE_CR0], 0
	CHECK	"CPUID in real mode", [NOTE_CPU], [cpu_word]
	CHECK	"EFER in real mode", [NOTE_EFER], 0
	CHECK	"APIC read in unreal mode", [NOTE_VERSION], [apic_version]
	CHECK	"APIC written in unreal mode", [NOTE_TPR], 0x50
	CHECK	"string from the APIC in unreal mode", [NOTE_MOVS], [apic_version]
	CHECK	"INT n in real mode", [NOTE_SOFT], 1
	CHECK	"divide error in real mode", [NOTE_DIVIDE], 1
	CHECK	"single steps in real mode, one of them over CPUID", [NOTE_STEPS], 8
	CHECK	"REP MOVSB in real mode", [NOTE_COPY], 0
	CHECK	"stack and addresses wrap at 64 KiB", [NOTE_WRAP], 0x5678
	mov	eax, [NOTE_TICKS]
	cmp	eax, 3
	jb	.few
	mov	eax, 3
.few:	CHECK	"timer interrupts in real mode", eax, 3
	smsw	eax
	and	eax, 1
	CHECK	"LMSW enters protected mode", eax, 1
	ret

section .data
real_idt: dw 0x3ff
	dd 0
section .text

real_start:
bits 16
%define AT(x) (x - real_start + LOW)
%macro SET_VECTOR 2
	mov	word [%1 * 4], AT(%2)
	mov	word [%1 * 4 + 2], 0
%endmacro
	mov	ax, SEL_DATA16
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	ax, SEL_DATA
	mov	fs, ax
	mov	gs, ax
	mov	eax, cr0
	and	al, 0xfe
	mov	cr0, eax
	jmp	0:AT(.real)
.real:	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	sp, 0x5000
	mov	eax, cr0
	and	eax, 0x80000001
	mov	[NOTE_CR0], eax
	SET_VECTOR 0, on_divide
	SET_VECTOR 1, on_step
	SET_VECTOR 0x60, on_soft
	SET_VECTOR 0x70, on_tick
	int	0x60
	mov	ax, 1
	xor	dx, dx
	xor	cx, cx
	div	cx
	xor	eax, eax
	cpuid
	mov	[NOTE_CPU], ebx
	mov	ecx, EFER
	rdmsr
	mov	[NOTE_EFER], eax
	wrmsr
	mov	eax, [fs:dword APIC + 0x30]
	mov	[NOTE_VERSION], eax
	mov	dword [fs:dword APIC + 0x80], 0x50
	mov	eax, [fs:dword APIC + 0x80]
	mov	[NOTE_TPR], eax
	mov	dword [fs:dword APIC + 0x80], 0
	mov	esi, APIC + 0x30
	mov	edi, NOTE_MOVS
	fs a32 movsd
	call	steps
	call	strings
	call	ticks
	o32 lgdt [AT(.gdt)]
	smsw	ax
	or	al, 1
	lmsw	ax
	jmp	dword SEL_CODE:back
.gdt:	dw gdt_pointer - gdt - 1
	dd gdt

; POPF sets TF: a step behind each of the eight that follow, the last of which clears it
steps:	pushf
	pop	ax
	mov	dx, ax
	or	ah, 1
	push	dx
	push	ax
	popf
	nop
	xor	ax, ax
	cpuid
	nop
	nop
	xor	dx, dx
	mov	bp, sp
	popf
	ret

strings:
	mov	cx, 64
	mov	si, LOW
	mov	di, COPY
	rep	movsb
	mov	cx, 64
	mov	si, LOW
	mov	di, COPY
	repe	cmpsb
	setne	[NOTE_COPY]
	mov	bx, 0xfff0
	mov	word [NOTE_WRAP + 0x20], 0x5678
	mov	si, NOTE_WRAP + 0x30
	mov	ax, [bx + si]
	mov	[NOTE_WRAP], ax
	ret

ticks:	mov	al, 0x11		; both PICs; the first at vector 0x70, the timer alone
	out	0x20, al
	mov	al, 0x70
	out	0x21, al
	mov	al, 4
	out	0x21, al
	mov	al, 1
	out	0x21, al
	mov	al, 0xfe
	out	0x21, al
	mov	al, 0xff
	out	0xa1, al
	mov	al, 0x34
	out	0x43, al
	mov	al, 0
	out	0x40, al
	mov	al, 0x10
	out	0x40, al
	mov	dword [fs:dword APIC + 0xf0], 0x1ff
	mov	dword [fs:dword APIC + 0x350], 0x700
	sti
.wait:	hlt
	cmp	dword [NOTE_TICKS], 3
	jb	.wait
	cli
	ret

on_divide:
	push	bp
	mov	bp, sp
	add	word [bp + 2], 2	; behind the DIV
	inc	dword [NOTE_DIVIDE]
	pop	bp
	iret
on_step:
	inc	dword [NOTE_STEPS]
	iret
on_soft:
	inc	dword [NOTE_SOFT]
	iret
on_tick:
	push	ax
	inc	dword [NOTE_TICKS]
	mov	al, 0x20
	out	0x20, al
	pop	ax
	iret
real_end:
