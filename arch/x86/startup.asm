; SPDX-License-Identifier: BSD-2-Clause
; The start-up page; see arch/x86/startup.h. It runs where it was copied to, so all
; addresses in it are offsets from its begin, and what depends on the place is in
; struct startup, which arch/x86/smp.c fills.
%include "asm_offsets.inc"

global startup_begin
global startup_nmi
global startup_code32
global startup_code64
global startup_data
global startup_end

%define AT(field) (startup_data - startup_begin + (field))

section .rodata
align 16

bits 16
startup_begin:				; CS:0 is the page (SDM vol. 3 section 8.4.3)
	cli
	cld
	mov	ax, cs
	mov	ds, ax
	mov	ss, ax
	mov	sp, STARTUP_STACK	; for the frame of an NMI, which nobody reads
	lidt	[AT(STARTUP_INTERRUPTS)]
startup_nmi:				; no IRET: from the first on, NMIs are blocked
.take:
	cmp	dword [AT(STARTUP_CLOSED)], 0
	jne	.off
	xor	esi, esi
	xchg	esi, [AT(STARTUP_NEXT)]
	test	esi, esi
	jnz	.taken
	pause
	jmp	.take
.off:
	hlt
	jmp	.off
.taken:					; ESI: the stack, in the uppermost 2 GiB
	xor	ebx, ebx
	mov	bx, cs
	shl	ebx, 4			; the page
	lgdt	[AT(STARTUP_GDT_POINTER)]
	mov	eax, cr0
	and	eax, 0xffffffff & ~(CR0_CD | CR0_NW)
	or	eax, CR0_PE
	mov	cr0, eax
	jmp	dword far [AT(STARTUP_CODE32)]

bits 32
startup_code32:
	mov	ax, SEL_DATA
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	eax, CR4_PAE
	mov	cr4, eax
	mov	eax, [ebx + AT(STARTUP_CR3)]
	mov	cr3, eax
	mov	edi, ebx
	mov	eax, CPUID_LEAF_EXT1
	cpuid
	mov	ebx, edi
	test	edx, CPUIDE1_EDX_NX
	jnz	.no_execute
	mov	ecx, MSR_MISC_ENABLE	; the boot processor has it, so firmware has switched it off here
	rdmsr
	and	edx, ~(MISC_ENABLE_XD_DISABLE >> 32) & 0xffffffff
	wrmsr
.no_execute:
	mov	ecx, MSR_EFER
	rdmsr
	or	eax, EFER_LME | EFER_NXE
	wrmsr
	mov	eax, cr0
	or	eax, CR0_PG | CR0_WP
	mov	cr0, eax
	jmp	dword far [ebx + AT(STARTUP_CODE64)]

bits 64
startup_code64:
	mov	ebx, ebx		; the upper halves are not defined
	movsxd	rsp, esi
	mov	rdi, [rsp - 8]		; its struct percpu
	xor	ebp, ebp		; the end of every backtrace
	call	[rbx + AT(STARTUP_ENTRY)]
	ud2

align 8
startup_data:
	times STARTUP_BYTES db 0
startup_end:
