; SPDX-License-Identifier: BSD-2-Clause
; The halts of a CPU that waits for a kick, or for that or an interrupt. In a file of its own: what handles an NMI knows where it is.
bits 64
default rel
section .text

; void kick_wait_for(const bool *byte). The handler of an NMI makes whoever it finds in it begin anew.
global kick_wait_for
global kick_wait_end
kick_wait_for:
	cmp	byte [rdi], 0
	jne	kick_wait_end
	hlt
	jmp	kick_wait_for
kick_wait_end:
	ret

; void interrupt_wait_for(const bool *byte). Behind the halt interrupts are off if one was taken (isr.asm), which then is the only
; one. The handler of an NMI makes whoever it finds before that begin anew, with interrupts off.
global interrupt_wait_for
global interrupt_wait_end
interrupt_wait_for:
	cmp	byte [rdi], 0
	jne	interrupt_wait_end
	sti
	hlt
interrupt_wait_end:
	cli
	ret

section .note.GNU-stack noalloc noexec nowrite progbits
