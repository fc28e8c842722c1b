; SPDX-License-Identifier: BSD-2-Clause
; Where boot/ enters the core: 64-bit mode, interrupts off, rdi = hpa of struct
; boot_info (see boot/boot_info.h). Takes the boot CPU's own stack and goes to C.
%include "asm_offsets.inc"

default rel
bits 64

extern core_main
extern percpu_boot_stacks
global core_entry

section .text

core_entry:
	cli
	cld
	lea	rsp, [percpu_boot_stacks + STACKS_MAIN + STACK_MAIN_SIZE]
	xor	ebp, ebp		; the end of every backtrace
	call	core_main
.stop:	hlt
	jmp	.stop
