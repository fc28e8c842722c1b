; SPDX-License-Identifier: BSD-2-Clause
; A disk of 360 KiB that a BIOS starts: asks it for what boot code asks for, and prints the answers on the first serial port.
bits 16
org 0x7c00
%define SECTORS 720
%define MORE 6			; sectors of code behind the first
BUFFER equ 0x1000		; a segment
PORT equ 0x3f8

	jmp	0:start
start:	cli
	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	sp, 0x7c00
	sti
	cld
	mov	[drive], dl
	mov	ax, 0x200 + MORE
	mov	bx, 0x7e00
	mov	cx, 2
	mov	dh, 0
	int	0x13
	jc	.stop
	jmp	near go
.stop:	hlt
	jmp	.stop

drive:	db 0

; AL; DS:SI up to a zero; AX
put:	push	dx
	push	ax
	mov	dx, PORT + 5
.wait:	in	al, dx
	test	al, 0x20
	jz	.wait
	pop	ax
	mov	dx, PORT
	out	dx, al
	pop	dx
	ret
print:	push	ax
.next:	lodsb
	test	al, al
	jz	.done
	call	put
	jmp	.next
.done:	pop	ax
	ret
print_ax:
	push	ax
	push	cx
	mov	cx, 4
.next:	rol	ax, 4
	push	ax
	and	al, 15
	cmp	al, 10
	sbb	al, 0x69
	das
	or	al, 0x20
	call	put
	pop	ax
	loop	.next
	pop	cx
	pop	ax
	ret

	times 510 - ($ - $$) db 0
	dw 0xaa55

; SAY name: the registers behind a call, and what the flags say of it
%macro SAY 1
	call	said
	db %1, 0
%endmacro
said:	pushf
	push	bp
	mov	bp, sp
	xchg	si, [bp + 4]
	push	si
	mov	si, .bios
	call	print
	pop	si
	call	print
	xchg	si, [bp + 4]
	push	ax
	mov	al, ':'
	call	put
	pop	ax
	push	ax
	call	.word
	mov	ax, bx
	call	.word
	mov	ax, cx
	call	.word
	mov	ax, dx
	call	.word
	mov	ax, es
	call	.word
	mov	ax, [bp + 2]		; flags
	and	ax, 1
	call	.word
	mov	al, 10
	call	put
	pop	ax
	pop	bp
	popf
	ret
.word:	push	ax
	mov	al, ' '
	call	put
	pop	ax
	jmp	print_ax
.bios:	db "bios ", 0

; BX: the sum of 512 bytes at ES:0
sum:	push	cx
	xor	bx, bx
	xor	si, si
.next:	rol	bx, 3
	add	bx, [es:si]
	add	si, 2
	cmp	si, 512
	jb	.next
	pop	cx
	ret

go:	int	0x11
	SAY	"equipment"
	int	0x12
	SAY	"memory"
	xor	bx, bx
	mov	ah, 0x88
	int	0x15
	SAY	"extended memory"
	mov	ax, 0xe801
	int	0x15
	SAY	"more of it"
	xor	ebx, ebx
.map:	mov	eax, 0xe820
	mov	ecx, 20
	mov	edx, 0x534d4150
	push	word BUFFER
	pop	es
	xor	di, di
	int	0x15
	jc	.mapped
	SAY	"a piece of memory"
	push	ebx
	call	sum20
	SAY	"which is"
	pop	ebx
	test	ebx, ebx
	jnz	.map
.mapped:
	mov	ax, 0x2403		; A20
	int	0x15
	SAY	"A20"
	mov	ah, 0xc0
	int	0x15
	SAY	"configuration"
	mov	ah, 8
	mov	dl, [drive]
	int	0x13
	SAY	"the disk"
	mov	word [block], 0
.read:	mov	ax, [block]
	xor	dx, dx
	mov	bx, 9
	div	bx
	mov	cl, dl
	inc	cl
	xor	dx, dx
	mov	bx, 2
	div	bx
	mov	ch, al
	mov	dh, dl
	mov	dl, [drive]
	push	word BUFFER
	pop	es
	xor	bx, bx
	mov	ax, 0x201
	int	0x13
	call	sum
	SAY	"a sector"
	add	word [block], 19
	cmp	word [block], SECTORS
	jb	.read
	mov	dl, [drive]
	mov	ax, 0x201
	mov	cx, 0x2801		; a cylinder that is none
	mov	dh, 0
	xor	bx, bx
	int	0x13
	mov	bx, 0
	SAY	"no sector"
	mov	ax, 0xb101
	int	0x1a
	SAY	"PCI"
	mov	ax, 0xb109		; 0:0.0, device
	xor	bx, bx
	mov	di, 2
	int	0x1a
	SAY	"a word of configuration space"
	mov	ah, 2
	int	0x1a
	mov	cx, 0
	mov	dx, 0
	SAY	"the clock"
	mov	ah, 0			; it goes on
	int	0x1a
	mov	bx, dx
.tick:	mov	ah, 0
	int	0x1a
	cmp	bx, dx
	je	.tick
	mov	ah, 1
	int	0x16
	mov	dx, 0
	mov	bx, 0
	mov	cx, 0
	SAY	"the keyboard"
	mov	ax, 0x0300
	mov	dx, 3
	int	0x14
	mov	dx, 0
	SAY	"no serial port"
	call	far_memory
	mov	ah, 0x0f
	mov	bx, 0
	int	0x10
	SAY	"the mode of the screen"
	mov	si, ended
	call	print
	mov	al, 0x10
	out	0xf4, al
.stop:	hlt
	jmp	.stop
ended:	db "END: 0 failures", 10, 0
block:	dw 0

sum20:	xor	bx, bx
	xor	si, si
.next:	rol	bx, 3
	add	bx, [es:si]
	add	si, 2
	cmp	si, 20
	jb	.next
	ret

; The BIOS itself goes to protected mode and back for it.
far_memory:
	push	word BUFFER
	pop	es
	mov	di, 512
	mov	si, 0x7c00
	mov	cx, 256
	rep	movsw
	mov	si, up
	call	move
	SAY	"memory above 1 MiB written"
	mov	di, 512
	mov	ax, 0x5555
	mov	cx, 256
	rep	stosw
	mov	si, down
	call	move
	push	es
	mov	ax, BUFFER + 32
	mov	es, ax
	call	sum
	pop	es
	SAY	"and read"
	ret
move:	push	es
	xor	ax, ax
	mov	es, ax
	mov	ah, 0x87
	mov	cx, 256
	int	0x15
	pop	es
	mov	bx, 0
	mov	cx, 0
	ret
%define TARGET 0x300000
%macro SEGMENT_OF 1
	dw 0xffff, (%1) & 0xffff, 0x9300 | ((%1) >> 16), 0
%endmacro
up:	dq 0, 0
	SEGMENT_OF BUFFER * 16 + 512
	SEGMENT_OF TARGET
	dq 0, 0
down:	dq 0, 0
	SEGMENT_OF TARGET
	SEGMENT_OF BUFFER * 16 + 512
	dq 0, 0

	times (MORE + 1) * 512 - ($ - $$) db 0
; Each sector is another one.
%assign n MORE + 1
%rep SECTORS - MORE - 1
	times 256 dw (n * 40503) & 0xffff
%assign n n + 1
%endrep
