; SPDX-License-Identifier: BSD-2-Clause
; Firmware of old, which nobody here wrote: its first module is a video BIOS and its second a system BIOS. They are put where they
; belong, in memory that the chipset shows there in the place of the ROM. The functions of the video BIOS are called in real mode one by
; one, and what each leaves in registers, BIOS data area and video memory is a line of numbers, the bare machine's being what the
; hypervisor's must be. Then the system BIOS is started as by a reset; what it boots says the rest.
%include "tests/guest/legacy/image.inc"

STACK16 equ 0x5000
REGS equ 0x6100			; EAX EBX ECX EDX ESI EDI EBP, ES, FLAGS, number of the interrupt
REGS_DWORDS equ 10
BUFFER equ 0x2000		; ES:DI, ES:BP and ES:DX of a call; 2 KiB
VIDEO_BIOS equ 0xc0000
BIOS_END equ 0x100000
Q35 equ 0x29c08086
I440FX equ 0x12378086
EQUIPMENT equ 0x410
EQUIPMENT_80 equ 0x20
TICKS equ 0x46c
%define AT(x) (x - code_start + LOW)

run_tests:
	mov	eax, [multiboot_info]
	mov	ebx, [eax + 24]
	CHECK	"there are two modules", [eax + 20], 2
	call	show_ram
	mov	esi, [ebx]
	mov	ecx, [ebx + 4]
	sub	ecx, esi
	mov	edi, VIDEO_BIOS
	rep	movsb
	mov	esi, [ebx + 16]
	mov	ecx, [ebx + 20]
	sub	ecx, esi
	mov	edi, BIOS_END
	sub	edi, ecx
	rep	movsb
	movzx	eax, byte [BIOS_END - 16]
	CHECK	"the system BIOS begins with a far jump", eax, 0xea
	mov	eax, [VIDEO_BIOS]
	and	eax, 0xffff
	CHECK	"the video BIOS has its mark", eax, 0xaa55
	mov	esi, code_start
	mov	edi, code_end
	call	to_low
	call	low_memory
	mov	dword [REGS + 36], 0	; its initialisation
	call	call_bios
	mov	eax, [0x10 * 4 + 2]
	and	eax, 0xffff
	CHECK	"it has taken interrupt 10h", eax, VIDEO_BIOS >> 4
	call	all_calls
	mov	esi, .on
	call	print
	mov	edi, AT(reset)
	jmp	to_real
.on:	db "NOTE: the system BIOS starts", 10, 0

; Memory from C0000H to FFFFFH, to be read and written (PAM0 to PAM6).
show_ram:
	mov	eax, 0x80000000
	mov	dx, 0xcf8
	out	dx, eax
	mov	dl, 0xfc
	in	eax, dx
	mov	ecx, 0x59
	cmp	eax, I440FX
	je	.known
	mov	ecx, 0x90
	CHECK	"the chipset is one that is known", eax, Q35
.known:	mov	al, 0x30
.next:	push	eax
	mov	eax, ecx
	and	eax, ~3
	or	eax, 0x80000000
	mov	dx, 0xcf8
	out	dx, eax
	mov	dl, cl
	and	dl, 3
	or	dl, 0xfc
	pop	eax
	out	dx, al
	mov	al, 0x33
	inc	ecx
	test	cl, 7
	jz	.done			; 58H to 5FH, or
	cmp	cl, 0x97		; 90H to 96H
	jne	.next
.done:	ret

low_memory:
	xor	edi, edi
	mov	eax, AT(nothing)
	mov	ecx, 256
	rep	stosd
	xor	eax, eax
	mov	ecx, 64
	rep	stosd
	mov	word [EQUIPMENT], EQUIPMENT_80
	ret

all_calls:
	mov	edi, BUFFER
	mov	ecx, 512
	mov	eax, 0x41424344
.fill:	stosd
	add	eax, 0x01010101
	loop	.fill
	mov	ebx, calls
.next:	push	ebx
	mov	esi, ebx
	add	esi, 4
	mov	edi, REGS
	mov	ecx, REGS_DWORDS
	rep	movsd
	call	call_bios
	pop	ebx
	call	print_call
	add	ebx, 4 + REGS_DWORDS * 4
	cmp	ebx, calls_end
	jb	.next
	ret

print_call:
	mov	esi, .bios
	call	print
	mov	esi, [ebx]
	call	print
	mov	al, ':'
	call	put
	mov	esi, REGS
	mov	ecx, REGS_DWORDS
.word:	lodsd
	call	print_word
	loop	.word
	mov	dword [TICKS], 0
	mov	esi, 0x400
	mov	ecx, 64
	call	print_sum
	mov	esi, BUFFER
	mov	ecx, 512
	call	print_sum
	mov	esi, 0xb8000
	mov	ecx, 0x2000
	call	print_sum
	mov	esi, 0xa0000
	mov	ecx, 0x2000
	call	print_sum
	mov	al, 10
	jmp	put
.bios:	db "bios ", 0

; Of ECX doublewords at ESI.
print_sum:
	xor	edx, edx
.next:	lodsd
	rol	edx, 5
	add	edx, eax
	loop	.next
	mov	eax, edx
print_word:
	push	eax
	mov	al, ' '
	call	put
	pop	eax
	jmp	print_hex

; What REGS asks for.
call_bios:
	mov	[saved_esp], esp
	mov	edi, AT(call16)
to_real:
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
	cld
	ret

section .data
real_idt: dw 0x3ff
	dd 0
section .text

code_start:
bits 16
	mov	bx, SEL_DATA16
	mov	ds, bx
	mov	es, bx
	mov	ss, bx
	mov	fs, bx
	mov	gs, bx
	mov	eax, cr0
	and	al, 0xfe
	mov	cr0, eax
	jmp	0:AT(.real)
.real:	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	fs, ax
	mov	gs, ax
	mov	esp, STACK16
	jmp	di

nothing: iret

reset:	jmp	0xf000:0xfff0

call16:	mov	al, [REGS + 36]
	mov	[AT(.int) + 1], al
	jmp	short .fetch		; what was written is code
.fetch:	mov	eax, [REGS]
	mov	ebx, [REGS + 4]
	mov	ecx, [REGS + 8]
	mov	edx, [REGS + 12]
	mov	esi, [REGS + 16]
	mov	edi, [REGS + 20]
	mov	ebp, [REGS + 24]
	mov	es, [REGS + 28]
	cmp	byte [REGS + 36], 0
	je	.init
.int:	int	0
	jmp	.done
.init:	call	(VIDEO_BIOS >> 4):3
.done:	pushfd
	push	ds
	push	word 0
	pop	ds
	mov	[REGS], eax
	mov	[REGS + 4], ebx
	mov	[REGS + 8], ecx
	mov	[REGS + 12], edx
	mov	[REGS + 16], esi
	mov	[REGS + 20], edi
	mov	[REGS + 24], ebp
	mov	[REGS + 28], es
	pop	word [REGS + 30]	; DS
	pop	dword [REGS + 32]
	cli
	o32 lgdt [AT(gdt16)]
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	jmp	dword SEL_CODE:back
align 4
gdt16:	dw gdt_pointer - gdt - 1
	dd gdt
code_end:
bits 32

; VIDEO name, AX, BX, CX, DX, DI, BP
%macro VIDEO 7
	[section .strings]
%%name:	db %1, 0
	__SECT__
	dd %%name, %2, %3, %4, %5, 0, %6, %7, 0, 0, 0x10
%endmacro
section .data
align 4
calls:
	VIDEO	"mode 3", 0x0003, 0, 0, 0, 0, 0
	VIDEO	"the mode", 0x0f00, 0, 0, 0, 0, 0
	VIDEO	"cursor's shape", 0x0100, 0, 0x0607, 0, 0, 0
	VIDEO	"cursor's place", 0x0200, 0, 0, 0x0510, 0, 0
	VIDEO	"where the cursor is", 0x0300, 0, 0, 0, 0, 0
	VIDEO	"teletype", 0x0e55, 7, 0, 0, 0, 0
	VIDEO	"teletype, backspace", 0x0e08, 7, 0, 0, 0, 0
	VIDEO	"teletype, line feed", 0x0e0a, 7, 0, 0, 0, 0
	VIDEO	"teletype, carriage return", 0x0e0d, 7, 0, 0, 0, 0
	VIDEO	"teletype, bell", 0x0e07, 7, 0, 0, 0, 0
	VIDEO	"character and attribute", 0x0942, 0x1e, 300, 0, 0, 0
	VIDEO	"character alone", 0x0a43, 0, 5, 0, 0, 0
	VIDEO	"character at the cursor", 0x0800, 0, 0, 0, 0, 0
	VIDEO	"a string with attributes", 0x1303, 0, 40, 0x1002, 0, BUFFER
	VIDEO	"a string without", 0x1301, 0x4f, 40, 0x184a, 0, BUFFER
	VIDEO	"scroll up", 0x0603, 0x1700, 0x0204, 0x1440, 0, 0
	VIDEO	"scroll down", 0x0702, 0x2e00, 0x0000, 0x104f, 0, 0
	VIDEO	"clear a window", 0x0600, 0x3000, 0x0a0a, 0x0c20, 0, 0
	VIDEO	"page 1", 0x0501, 0, 0, 0, 0, 0
	VIDEO	"teletype on page 1", 0x0e5a, 0x100, 0, 0, 0, 0
	VIDEO	"page 0", 0x0500, 0, 0, 0, 0, 0
	VIDEO	"a teletype at the end of the screen", 0x0200, 0, 0, 0x184f, 0, 0
	VIDEO	"which scrolls", 0x0e21, 7, 0, 0, 0, 0
	VIDEO	"palette register", 0x1000, 0x0504, 0, 0, 0, 0
	VIDEO	"palette register read", 0x1007, 4, 0, 0, 0, 0
	VIDEO	"all palette registers", 0x1009, 0, 0, BUFFER, 0, 0
	VIDEO	"blinking", 0x1003, 0, 0, 0, 0, 0
	VIDEO	"a colour", 0x1010, 0x21, 0x1122, 0x3300, 0, 0
	VIDEO	"a colour read", 0x1015, 0x21, 0, 0, 0, 0
	VIDEO	"colours read", 0x1017, 0x10, 64, BUFFER, 0, 0
	VIDEO	"colours written", 0x1012, 0x40, 32, BUFFER, 0, 0
	VIDEO	"shades of grey", 0x101b, 0, 64, 0, 0, 0
	VIDEO	"font of 8 lines", 0x1112, 0, 0, 0, 0, 0
	VIDEO	"font of 14 lines", 0x1111, 0, 0, 0, 0, 0
	VIDEO	"font of 16 lines", 0x1114, 0, 0, 0, 0, 0
	VIDEO	"a font of one's own", 0x1100, 0x1000, 16, 0x41, 0, BUFFER
	VIDEO	"where fonts are", 0x1130, 0x0600, 0, 0, 0, 0
	VIDEO	"EGA's memory", 0x1200, 0x10, 0, 0, 0, 0
	VIDEO	"lines of text", 0x1202, 0x30, 0, 0, 0, 0
	VIDEO	"display combination", 0x1a00, 0, 0, 0, 0, 0
	VIDEO	"functionality", 0x1b00, 0, 0, 0, BUFFER, 0
	VIDEO	"size of the state", 0x1c00, 0, 6, 0, 0, 0
	VIDEO	"state saved", 0x1c01, BUFFER, 6, 0, 0, 0
	VIDEO	"state restored", 0x1c02, BUFFER, 6, 0, 0, 0
	VIDEO	"mode 1", 0x0001, 0, 0, 0, 0, 0
	VIDEO	"mode 4", 0x0004, 0, 0, 0, 0, 0
	VIDEO	"a dot in mode 4", 0x0c02, 0, 100, 50, 0, 0
	VIDEO	"a dot read in mode 4", 0x0d00, 0, 100, 50, 0, 0
	VIDEO	"a character in mode 4", 0x0e41, 3, 0, 0, 0, 0
	VIDEO	"mode 12h", 0x0012, 0, 0, 0, 0, 0
	VIDEO	"a dot in mode 12h", 0x0c0b, 0, 17, 3, 0, 0
	VIDEO	"a dot read in mode 12h", 0x0d00, 0, 17, 3, 0, 0
	VIDEO	"characters in mode 12h", 0x0957, 0x0d, 30, 0, 0, 0
	VIDEO	"mode 13h", 0x0013, 0, 0, 0, 0, 0
	VIDEO	"a dot in mode 13h", 0x0c77, 0, 300, 20, 0, 0
	VIDEO	"a dot read in mode 13h", 0x0d00, 0, 300, 20, 0, 0
	VIDEO	"characters in mode 13h", 0x0958, 0x2c, 20, 0, 0, 0
	VIDEO	"VBE's controller", 0x4f00, 0, 0, 0, BUFFER, 0
	VIDEO	"VBE's mode 101h", 0x4f01, 0, 0x101, 0, BUFFER, 0
	VIDEO	"set VBE's mode 101h", 0x4f02, 0x101, 0, 0, 0, 0
	VIDEO	"VBE's mode", 0x4f03, 0, 0, 0, 0, 0
	VIDEO	"VBE's bank", 0x4f05, 0, 0, 2, 0, 0
	VIDEO	"VBE's bank read", 0x4f05, 0x100, 0, 0, 0, 0
	VIDEO	"VBE's line", 0x4f06, 1, 0, 0, 0, 0
	VIDEO	"VBE's first dot", 0x4f07, 1, 0, 0, 0, 0
	VIDEO	"VBE's function that is none", 0x4f77, 0, 0, 0, 0, 0
	VIDEO	"mode 3 again", 0x0003, 0, 0, 0, 0, 0
calls_end:
section .text
