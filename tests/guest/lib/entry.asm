; SPDX-License-Identifier: BSD-2-Clause
; The bzImage header of a test image (Linux x86 boot protocol 2.15, 64-bit entry
; alone), its entry, the interrupt stubs with their recovery, and the few
; instructions that run in ring 3.
bits 64
default rel

extern image_main, exception, image_paragraphs, bss_start, bss_end

SETUP_SECTS	equ 1
INIT_SIZE	equ 0x4000000		; image and scratch memory, guest.h knows it too
CODE64		equ 0x08
USER_DATA	equ 0x1b
USER_CODE	equ 0x23
%ifndef RELOCATABLE
%define RELOCATABLE 1
%endif

section .header progbits alloc noexec nowrite
header:
	times 0x1f1 - ($ - header) db 0
	db SETUP_SECTS
	dw 0				; root_flags
	dd image_paragraphs		; syssize
	times 0x1fe - ($ - header) db 0
	dw 0xaa55
	db 0xeb, header_end - header - 0x202	; jump
	db "HdrS"
	dw 0x020f			; protocol 2.15
	times 0x211 - ($ - header) db 0
	db 1				; loadflags: LOADED_HIGH
	times 0x22c - ($ - header) db 0
	dd 0x7fffffff			; initrd_addr_max
	dd 0x200000			; kernel_alignment
	db RELOCATABLE, 21		; relocatable_kernel, min_alignment
	dw 1				; xloadflags: KERNEL_64
	dd 2047				; cmdline_size
	times 0x258 - ($ - header) db 0
	dq 0x4000000			; pref_address
	dd INIT_SIZE
	dd 0				; handover_offset
	dd 0				; kernel_info_offset
header_end:
	times 0x400 - ($ - header) db 0

section .entry progbits alloc exec nowrite
	hlt				; the 32-bit entry, which nobody uses
	times 0x200 - ($ - $$) db 0xf4

global entry64
entry64:				; rsi = boot_params, flat segments, identity mapped
	cli
	cld
	lea	rax, [entry64]
	mov	rcx, qword .linked	; an absolute address: where this was linked
.linked:
	lea	rdx, [.linked]
	cmp	rcx, rdx
	jne	relocated
	lea	rsp, [stack_top]
	lea	rdi, [bss_start]
	lea	rcx, [bss_end]
	sub	rcx, rdi
	xor	eax, eax
	rep stosb
	mov	rdi, rsi
	xor	ebp, ebp
	call	image_main
.stop:	hlt
	jmp	.stop

; Loaded away from its link address: say so byte by byte and leave.
relocated:
	lea	rsi, [.text]
	mov	dx, 0x3f8
.next:	lodsb
	test	al, al
	jz	.end
	out	dx, al
	jmp	.next
.end:	mov	eax, 0x11
	out	0xf4, eax
	hlt
	jmp	.end
.text:	db "FAIL: the image was not loaded at its preferred address", 10, 0

section .text

; --- exceptions: one stub per vector, a uniform frame, then C ----------------
%macro STUB 1
align 16
%if %1 == 8 || (%1 >= 10 && %1 <= 14) || %1 == 17 || %1 == 21 || %1 == 29 || %1 == 30
	push	qword %1
	times 2 nop
%else
	push	qword 0
	push	qword %1
%endif
	jmp	near interrupt_common
%endmacro

align 16
global stubs
stubs:
%assign v 0
%rep 256
	STUB v
%assign v v + 1
%endrep

; Returns to the last try(): exceptions in tests never resume.
interrupt_common:
	cld
	mov	[fault_rax], rax
	mov	rdi, rsp
	; The frame may lie in a page under test: continue on the runtime's stack.
	mov	rsp, [recovery_rsp]
	sub	rsp, 512
	and	rsp, -16
	call	exception
	; exception() returns only if somebody expects it
	mov	rsp, [recovery_rsp]
	mov	eax, 1
	jmp	unwind

; int try(void (*fn)(void *), void *arg): 0, or 1 if fn ended with an exception
; or with INT 0x80 from ring 3. Tries do not nest.
global try
try:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	pushfq
	mov	[recovery_rsp], rsp
	mov	rax, rdi
	mov	rdi, rsi
	and	rsp, -16
	call	rax
	mov	rsp, [recovery_rsp]
	xor	eax, eax
unwind:
	mov	dx, 0x10		; ring 3 left user selectors, or null ones
	mov	ds, dx
	mov	es, dx
	mov	ss, dx
	popfq
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

; void enter_user(rip, rsp, arg0, arg1): the target gets rdi, rsi; ends in INT 0x80.
global enter_user
enter_user:
	mov	rax, rdi
	push	qword USER_DATA
	push	rsi
	pushfq
	push	qword USER_CODE
	push	rax
	mov	rdi, rdx
	mov	rsi, rcx
	iretq

; Loads the GDT at rdi (a descriptor) and its segments; rsi = TSS selector.
global load_gdt
load_gdt:
	lgdt	[rdi]
	mov	eax, 0x10
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	xor	eax, eax
	mov	fs, ax
	mov	gs, ax
	ltr	si
	pop	rax
	push	qword CODE64
	push	rax
	retfq

; void call_address(address): a supervisor fetch; the target holds INT 0x80 or RET.
global call_address
call_address:
	jmp	rdi

; --- accesses in ring 3; position independent, mapped by space_map_user() ------
section .user progbits alloc exec nowrite
global user_read, user_write, user_fetch, user_return
user_read:
	mov	rax, [rdi]
	int	0x80
user_write:
	mov	[rdi], rsi
	int	0x80
user_fetch:
	jmp	rdi
user_return:
	int	0x80

section .bss
global recovery_rsp, fault_rax, stack_top
fault_rax:	resq 1
recovery_rsp:	resq 1
align 16
	resb 32768
stack_top:
