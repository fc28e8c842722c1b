; SPDX-License-Identifier: BSD-2-Clause
; Turns address line A20 off and on again by port 0x92 and by the keyboard controller, with exits and memory
; accesses in between. The image lies where bit 20 is clear. Bare the line may mask addresses; under the
; hypervisor it never does.
%include "tests/guest/legacy/image.inc"

EVEN equ 0x1200000
ODD equ 0x1300000		; EVEN, with bit 20 set

run_tests:
	call	use_port_92
	call	use_output_port
	call	use_commands
	ret

; A while of exits, and of memory whose addresses have bit 20 clear
work:	mov	esi, 100
.exit:	xor	eax, eax
	cpuid
	mov	eax, cr0
	mov	cr0, eax
	mov	ecx, 0x1b
	rdmsr
	dec	esi
	jnz	.exit
	mov	ecx, 64
	mov	edi, 0x2000000
.touch:	mov	eax, [edi]
	add	edi, 0x200000
	loop	.touch
	ret

before:	mov	dword [EVEN], 0x11111111
	mov	dword [ODD], 0x22222222
	ret
; EBX: what was read at ODD while A20 was off. Bare that may be what is at EVEN.
after:	cmp	ebx, 0x11111111
	jne	.whole
	cmp	dword [masking_allowed], 0
	je	.whole
	mov	ebx, 0x22222222
.whole:	ret

use_port_92:
	call	look_for_hypervisor
	call	before
	in	al, 0x92
	and	al, 0xfc
	out	0x92, al
	in	al, 0x92
	mov	[seen], al
	call	work
	mov	ebx, [ODD]
	in	al, 0x92
	and	al, 0xfe
	or	al, 2
	out	0x92, al
	call	after
	CHECK	"port 0x92: memory while A20 is off", ebx, 0x22222222
	CHECK	"port 0x92: memory behind it", [ODD], 0x22222222
	movzx	eax, byte [seen]
	and	eax, 2
	CHECK	"port 0x92: A20 reads as off", eax, 0
	in	al, 0x92
	and	eax, 2
	CHECK	"port 0x92: A20 reads as on", eax, 2
	ret

wait_input:
	in	al, 0x64
	test	al, 2
	jnz	wait_input
	ret
drain:	in	al, 0x64
	test	al, 1
	jz	.done
	in	al, 0x60
	jmp	drain
.done:	ret
; AL: command
command:
	push	eax
	call	wait_input
	pop	eax
	out	0x64, al
	ret
; AL: the output port
read_output:
	call	drain
	mov	al, 0xd0
	call	command
	mov	ecx, 1000000
.wait:	in	al, 0x64
	test	al, 1
	jnz	.there
	loop	.wait
.there:	in	al, 0x60
	ret
; BL: the output port
write_output:
	mov	al, 0xd1
	call	command
	call	wait_input
	mov	al, bl
	out	0x60, al
	ret

use_output_port:
	call	before
	call	read_output
	mov	bl, al
	or	bl, 3			; bit 0 clear is a reset
	mov	[output], bl
	and	bl, 0xfd
	call	write_output
	call	read_output
	mov	[seen], al
	call	work
	mov	edx, [ODD]
	mov	bl, [output]
	call	write_output
	mov	ebx, edx
	call	after
	CHECK	"output port: memory while A20 is off", ebx, 0x22222222
	CHECK	"output port: memory behind it", [ODD], 0x22222222
	movzx	eax, byte [seen]
	and	eax, 3
	CHECK	"output port: A20 reads as off, the reset line as before", eax, 1
	call	read_output
	and	eax, 3
	CHECK	"output port: A20 reads as on", eax, 3
	ret

use_commands:
	call	before
	mov	al, 0xdd
	call	command
	call	work
	mov	edx, [ODD]
	mov	al, 0xdf
	call	command
	call	wait_input
	mov	ebx, edx
	call	after
	CHECK	"commands 0xdd and 0xdf: memory while A20 is off", ebx, 0x22222222
	CHECK	"commands 0xdd and 0xdf: memory behind them", [ODD], 0x22222222
	ret

; Bare, A20 may mask.
look_for_hypervisor:
	mov	eax, 0x40000000
	cpuid
	cmp	ebx, "Umbr"
	setne	[masking_allowed]
	ret

section .data
masking_allowed: dd 0
seen:	db 0
output:	db 0
