; SPDX-License-Identifier: BSD-2-Clause
; The other processors of a test image: what a SIPI starts, from real mode to smp_main(),
; the stubs of interrupts that are handled and return, and code for ring 3. See smp.h.
%include "arch/x86/frame.inc"
default abs

extern smp_cpus, smp_main, smp_interrupt

CODE64		equ 0x08
DATA		equ 0x10
MSR_EFER	equ 0xc0000080
EFER_START	equ 1 << 11 | 1 << 8		; NXE, LME
CR0_START	equ 0x80010033			; PG, WP, NE, ET, MP, PE
STACK_SEGMENT	equ 0x7fe			; in the page
NMI_OFFSET	equ 0x600			; smp.h knows it
STACK_TOP	equ 0x8000			; smp.h knows it

; struct smp_start, which lies at that offset of the page
struc start, 0x800
.starts		resd 1
.nmis		resd 1
.park		resd 1
.cr3_load	resd 1
.cr4_load	resd 1
.marker		resd 1
.marker_at	resd 1
.ip		resd 1
.gpr		resd 8
.eflags		resd 1
.selectors	resw 6
.seen		resd 5
.cr		resd 4
.dr		resd 6
.efer		resd 2
.gdt		resb 6
.idt		resb 6
.gdt_load	resb 6
endstruc

section .text

; --- real mode: everything by CS, whose base is the page's; the flags stay until they are saved ---
bits 16
global smp_code, smp_code_end, smp_nmi_code, smp_nmi_code_end
smp_code:
	mov	[cs:start.gpr + 0], eax
	mov	[cs:start.gpr + 4], ecx
	mov	[cs:start.gpr + 8], edx
	mov	[cs:start.gpr + 12], ebx
	mov	[cs:start.gpr + 16], esp
	mov	[cs:start.gpr + 20], ebp
	mov	[cs:start.gpr + 24], esi
	mov	[cs:start.gpr + 28], edi
	mov	[cs:start.selectors + 0], es
	mov	[cs:start.selectors + 2], cs
	mov	[cs:start.selectors + 4], ss
	mov	[cs:start.selectors + 6], ds
	mov	[cs:start.selectors + 8], fs
	mov	[cs:start.selectors + 10], gs
	mov	bx, [cs:start.marker_at]
	mov	eax, [es:bx]
	mov	[cs:start.seen + 0], eax
	mov	eax, [ss:bx]
	mov	[cs:start.seen + 4], eax
	mov	eax, [ds:bx]
	mov	[cs:start.seen + 8], eax
	mov	eax, [fs:bx]
	mov	[cs:start.seen + 12], eax
	mov	eax, [gs:bx]
	mov	[cs:start.seen + 16], eax
	mov	ax, cs
	mov	ss, ax
	mov	sp, STACK_SEGMENT
	pushfd
	pop	dword [cs:start.eflags]
	call	.here
.here:	pop	ax
	sub	ax, .here - smp_code
	movzx	eax, ax
	mov	[cs:start.ip], eax
	mov	eax, cr0
	mov	[cs:start.cr + 0], eax
	mov	eax, cr2
	mov	[cs:start.cr + 4], eax
	mov	eax, cr3
	mov	[cs:start.cr + 8], eax
	mov	eax, cr4
	mov	[cs:start.cr + 12], eax
%assign n 0
%rep 4
	mov	eax, dr%+n
	mov	[cs:start.dr + 4 * n], eax
%assign n n + 1
%endrep
	mov	eax, dr6
	mov	[cs:start.dr + 16], eax
	mov	eax, dr7
	mov	[cs:start.dr + 20], eax
	mov	ecx, MSR_EFER
	rdmsr
	mov	[cs:start.efer + 0], eax
	mov	[cs:start.efer + 4], edx
	o32 sgdt [cs:start.gdt]
	o32 sidt [cs:start.idt]
	lock inc dword [cs:start.starts]
	cmp	dword [cs:start.park], 0
	je	.go_on
.park:	cli
	hlt
	jmp	.park
.go_on:	o32 lgdt [cs:start.gdt_load]
	mov	eax, [cs:start.cr4_load]
	mov	cr4, eax
	mov	eax, [cs:start.cr3_load]
	mov	cr3, eax
	mov	eax, EFER_START
	xor	edx, edx
	wrmsr
	mov	eax, CR0_START
	mov	cr0, eax
	jmp	dword CODE64:smp_entry
smp_code_end:

smp_nmi_code:
	lock inc dword [cs:start.nmis]
	iret
smp_nmi_code_end:

; --- 32-bit protected mode, flat, where the hypervisor starts processors so (sipi=protected) ---
bits 32
global smp_code32, smp_code32_end
smp_code32:
	mov	ebx, strict dword 0	; the page: smp.c writes it there, as there is no stack to ask
	lock inc dword [ebx + start.starts]
	cmp	dword [ebx + start.park], 0
	je	.go_on
.park:	cli
	hlt
	jmp	.park
.go_on:	lgdt	[ebx + start.gdt_load]
	mov	eax, [ebx + start.cr4_load]
	mov	cr4, eax
	mov	eax, [ebx + start.cr3_load]
	mov	cr3, eax
	mov	ecx, MSR_EFER
	mov	eax, EFER_START
	xor	edx, edx
	wrmsr
	mov	eax, CR0_START
	mov	cr0, eax
	jmp	CODE64:smp_entry
smp_code32_end:

; --- 64-bit mode, on the stack of the processor with this APIC ID ---
bits 64
smp_entry:
	mov	eax, DATA
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	mov	eax, 1
	cpuid
	shr	ebx, 24
	mov	rdi, [smp_cpus + rbx * 8]
	lea	rsp, [rdi + STACK_TOP]
	xor	ebp, ebp
	call	smp_main
	hlt

; void smp_on_stack(void (*fn)(void), void *top): on another stack, and back.
global smp_on_stack
smp_on_stack:
	push	rbp
	mov	rbp, rsp
	mov	rsp, rsi
	call	rdi
	mov	rsp, rbp
	pop	rbp
	ret

; --- interrupts that return: a uniform frame (struct smp_frame), then C ---
%macro STUB 1
align 16
%if HAS_ERROR(%1)
	push	qword %1
	times 2 nop
%else
	push	qword 0
	push	qword %1
%endif
	jmp	near smp_common
%endmacro

align 16
global smp_stubs
smp_stubs:
%assign v 0
%rep 256
	STUB v
%assign v v + 1
%endrep

smp_common:
	for_each_gpr save
	cld
	mov	rdi, rsp
	mov	rbp, rsp
	and	rsp, -16
	call	smp_interrupt
	mov	rsp, rbp
	restore_gprs
	add	rsp, 16
	iretq

; --- ring 3 without end: counts at rdi ---
section .user progbits alloc exec nowrite
global smp_user_spin
smp_user_spin:
	lock inc qword [rdi]
	pause
	jmp	smp_user_spin
