; SPDX-License-Identifier: BSD-2-Clause
; A hardware task switch, HOW: 1 by CALL to a TSS with no page tables in it, 2 by an exception whose gate is a task
; gate (as 32-bit Linux has for #DF), 3 by CALL to a TSS with page tables of the image's own, which map everything.
; With paging off CR3 in the TSS is to be ignored. What a processor does that makes no exit for it,
; the runner judges: the guest must be stopped, with one line.
%include "tests/guest/legacy/image.inc"

run_tests:
	mov	eax, task
	call	prepare_task
%if HOW == 2
	mov	dword [idt + 8 * 8], SEL_TSS2 << 16
	mov	dword [idt + 8 * 8 + 4], 0x8500
	mov	word [idt + 13 * 8 + 4], 0	; #GP's gate is absent: it becomes #DF
	mov	ax, 0x7770
	mov	ds, ax
	ret
%elif HOW == 3
	mov	edi, directory
	mov	eax, 0x87
	xor	edx, edx
	mov	ecx, 2048
.page:	mov	[edi], eax
	mov	[edi + 4], edx
	add	edi, 8
	add	eax, 0x200000
	loop	.page
	mov	edi, pointers
	mov	eax, directory + 1
	mov	ecx, 4
.pdpte:	mov	[edi], eax
	mov	[edi + 4], edx
	add	edi, 8
	add	eax, 4096
	loop	.pdpte
	mov	dword [tss2 + 28], pointers
	mov	dword [tss + 28], pointers
%endif
	call	SEL_TSS2:0
	CHECK	"back from the other task", [tasks], 1
	ret

task:	inc	dword [tasks]
	mov	eax, cr3
	CHECK	"CR3 is as it was: paging is off", eax, 0
%if HOW == 2
	jmp	finish
%endif
	iret
	jmp	task

section .data
tasks:	dd 0
section .bss
alignb 4096
pointers: resb 4096
directory: resb 4 * 4096
