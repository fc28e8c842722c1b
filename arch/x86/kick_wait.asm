; SPDX-License-Identifier: BSD-2-Clause
; The halt of a CPU that waits for a kick. In a file of its own: what handles an NMI knows where it is.
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

section .note.GNU-stack noalloc noexec nowrite progbits
