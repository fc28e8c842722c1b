; SPDX-License-Identifier: BSD-2-Clause
; Other modes than 64-bit for the test images: probes in protected mode with
; 32-bit or PAE paging, single accesses in compatibility mode, and the switch
; between 4-level and 5-level paging. See guest.h; all addresses are below 4 GiB.
default abs

extern gdt

CODE64		equ 0x08
DATA		equ 0x10
USER_DATA	equ 0x1b
TSS64		equ 0x28
CODE32		equ 0x38
USER_CODE32	equ 0x43
TSS32		equ 0x48
LDT		equ 0x50
TSS_BUSY	equ 2
RFLAGS_FIXED	equ 1 << 1
RFLAGS_AC	equ 1 << 18
MSR_EFER	equ 0xc0000080
EFER_LME	equ 1 << 8
EFER_LMA	equ 1 << 10
EFER_NXE	equ 1 << 11
CR0_PG_BIT	equ 31
CR4_LA57_BIT	equ 12
VEC_PF		equ 14
VEC_USER_RETURN	equ 0x80

; struct probe_run; modes.c asserts the offsets of both
struc run
.va		resq 1
.leaf_slot	resq 1
.upper_slot	resq 1
.target		resq 2
.probes		resq 1
.user_base	resq 1
.cr0		resd 1
.cr3		resd 1
.cr4		resd 1
.efer_nxe	resd 1
.narrow		resd 1
.count		resd 1
endstruc

struc probe
.leaf		resq 1
.upper		resq 1
.leaf_after	resq 1
.upper_after	resq 1
.cr2		resq 1
.value		resq 1
.data		resq 2
.error		resd 1
.vector		resd 1
.kind		resb 1
.user		resb 1
.ac		resb 1
.flush		resb 1
.pattern	resd 1
endstruc

; Offsets within the probed page, by kind: guest.h
AT_WRITE	equ 0x30
AT_FRESH	equ 0x48		; a descriptor whose accessed bit is cleared before each probe
KIND_READ	equ 0
FLUSH_PAGE	equ 1
FLUSH_ALL	equ 2
FLUSH_KEEP	equ 3

section .text
bits 64

; void probe_legacy(struct probe_run *): the probes in protected mode.
global probe_legacy
probe_legacy:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	mov	[saved_rsp], rsp
	sidt	[saved_idt]
	mov	rax, cr0
	mov	[saved_cr0], rax
	mov	rax, cr3
	mov	[saved_cr3], rax
	mov	rax, cr4
	mov	[saved_cr4], rax
	mov	[current_run], rdi
	push	qword CODE32
	push	qword legacy
	retfq

bits 32
legacy:
	mov	ebx, [current_run]
	mov	eax, cr0
	btr	eax, CR0_PG_BIT
	mov	cr0, eax
	mov	ecx, MSR_EFER
	rdmsr
	mov	[saved_efer], eax
	and	eax, ~(EFER_LME | EFER_LMA | EFER_NXE)
	or	eax, [ebx + run.efer_nxe]
	wrmsr
	mov	eax, [ebx + run.cr4]
	mov	cr4, eax
	mov	eax, [ebx + run.cr3]
	mov	cr3, eax
	mov	eax, [ebx + run.cr0]
	mov	cr0, eax
	lidt	[idt32_descriptor]
	and	byte [gdt + TSS32 + 5], ~TSS_BUSY
	mov	eax, TSS32
	ltr	ax
	mov	eax, LDT
	lldt	ax
	call	probes
	mov	eax, cr0
	btr	eax, CR0_PG_BIT
	mov	cr0, eax
	mov	eax, [saved_cr4]
	mov	cr4, eax
	mov	eax, [saved_cr3]
	mov	cr3, eax
	mov	ecx, MSR_EFER
	xor	edx, edx
	mov	eax, [saved_efer]
	and	eax, ~EFER_LMA
	wrmsr
	mov	eax, [saved_cr0]
	mov	cr0, eax
	jmp	CODE64:legacy_end

bits 64
legacy_end:
	mov	rsp, [saved_rsp]
	lidt	[saved_idt]
	and	byte [gdt + TSS64 + 5], ~TSS_BUSY
	mov	eax, TSS64
	ltr	ax
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

bits 32
; Every probe of the run in ebx. An exception continues at probe_end.
probes:
	mov	[loop_esp], esp
	mov	eax, [ebx + run.count]
	mov	[left], eax
	mov	esi, [ebx + run.probes]
.next:
	mov	[current_probe], esi
	cmp	byte [esi + probe.flush], FLUSH_KEEP
	je	.stored
	mov	edi, [ebx + run.upper_slot]
	lea	edx, [esi + probe.upper]
	call	store_entry
	mov	edi, [ebx + run.leaf_slot]
	lea	edx, [esi + probe.leaf]
	call	store_entry
.stored:
	mov	edi, [ebx + run.target]
	and	byte [edi + AT_FRESH + 5], ~1
	mov	dword [edi + AT_WRITE], 0
	mov	edi, [ebx + run.target + 8]
	and	byte [edi + AT_FRESH + 5], ~1
	mov	dword [edi + AT_WRITE], 0
	mov	edi, [ebx + run.va]
	movzx	ecx, byte [esi + probe.kind]
	cmp	byte [esi + probe.flush], FLUSH_PAGE
	je	.flush_page
	cmp	byte [esi + probe.flush], FLUSH_ALL
	jne	.flushed
	mov	eax, cr3
	mov	cr3, eax
	jmp	.flushed
.flush_page:
	invlpg	[edi]
.flushed:
	add	edi, [offset_of + ecx * 4]
	cmp	byte [esi + probe.user], 0
	jne	.user
	call	push_flags
	popfd
	jmp	[supervisor_access + ecx * 4]
.user:
	mov	eax, USER_DATA
	mov	ds, ax
	mov	es, ax
	push	eax
	push	dword 0
	call	push_flags
	push	dword USER_CODE32
	mov	eax, [user_access + ecx * 4]
	add	eax, [ebx + run.user_base]
	push	eax
	mov	esi, [esi + probe.pattern]
	iretd

probe_read:
	mov	eax, [edi]
	mov	[esi + probe.value], eax
	jmp	probe_end
probe_write:
	mov	eax, [esi + probe.pattern]
	mov	[edi], eax
	jmp	probe_end
probe_fetch:
	jmp	edi
probe_segment:
	mov	eax, 0x07		; the first descriptor of the LDT
	mov	es, ax
	jmp	probe_end
probe_fresh:
	mov	eax, 0x0f		; the second
	mov	es, ax
probe_end:
	mov	esp, [loop_esp]
	push	dword RFLAGS_FIXED
	popfd
	mov	eax, DATA
	mov	ds, ax
	mov	es, ax
	mov	ebx, [current_run]
	mov	esi, [current_probe]
	mov	edi, [ebx + run.upper_slot]
	lea	edx, [esi + probe.upper_after]
	call	load_entry
	mov	edi, [ebx + run.leaf_slot]
	lea	edx, [esi + probe.leaf_after]
	call	load_entry
	mov	edi, [ebx + run.target]
	mov	eax, [edi + AT_WRITE]
	mov	[esi + probe.data], eax
	mov	edi, [ebx + run.target + 8]
	mov	eax, [edi + AT_WRITE]
	mov	[esi + probe.data + 8], eax
	add	esi, probe_size
	dec	dword [left]
	jnz	probes.next
	ret

; The entry at edi, in its own size, from [edx]; nothing if there is none.
store_entry:
	test	edi, edi
	jz	.end
	cmp	dword [ebx + run.narrow], 0
	jne	.low
	mov	eax, [edx + 4]
	mov	[edi + 4], eax
.low:	mov	eax, [edx]
	mov	[edi], eax
.end:	ret

load_entry:
	test	edi, edi
	jz	.end
	cmp	dword [ebx + run.narrow], 0
	jne	.low
	mov	eax, [edi + 4]
	mov	[edx + 4], eax
.low:	mov	eax, [edi]
	mov	[edx], eax
.end:	ret

; Flags with AC as the probe wants it, left on the stack.
push_flags:
	mov	eax, RFLAGS_FIXED
	cmp	byte [esi + probe.ac], 0
	je	.push
	or	eax, RFLAGS_AC
.push:	xchg	eax, [esp]
	jmp	eax

%macro STUB32 1
align 16
%if %1 == 8 || (%1 >= 10 && %1 <= 14) || %1 == 17
	push	dword %1
%else
	push	dword 0
	push	dword %1
%endif
	jmp	near exception32
%endmacro

align 16
global stubs32
stubs32:
%assign v 0
%rep 32
	STUB32 v
%assign v v + 1
%endrep
	STUB32 VEC_USER_RETURN

exception32:
	cld
	mov	ecx, eax
	mov	eax, DATA
	mov	ds, ax
	mov	esi, [current_probe]
	pop	eax
	pop	edx
	mov	[esi + probe.vector], eax
	mov	[esi + probe.error], edx
	cmp	eax, VEC_PF
	jne	.no_address
	mov	edx, cr2
	mov	[esi + probe.cr2], edx
.no_address:
	cmp	eax, VEC_USER_RETURN
	jne	probe_end
	cmp	byte [esi + probe.kind], KIND_READ
	jne	probe_end
	mov	[esi + probe.value], ecx
	jmp	probe_end

; --- compatibility mode ---------------------------------------------------------
bits 64
; void compat_access(kind, address, pattern): to be run under guarded(); a read gives probed_value.
global compat_access
compat_access:
	mov	ecx, edi
	mov	edi, esi
	mov	esi, edx
	push	qword CODE32
	mov	eax, [compat_code + rcx * 4]
	push	rax
	retfq
bits 32
compat_read:
	mov	eax, [edi]
	mov	[probed_value], eax
	jmp	CODE64:compat_end
compat_write:
	mov	[edi], esi
	jmp	CODE64:compat_end
compat_fetch:
	jmp	edi
compat_segment:
	mov	eax, 0x07
	mov	es, ax
	jmp	CODE64:compat_end
compat_fresh:
	mov	eax, 0x0f
	mov	es, ax
	jmp	CODE64:compat_end
bits 64
compat_end:
	ret

; void enter_user32(rip, address, pattern): 32-bit code in ring 3; ends in INT 0x80.
global enter_user32
enter_user32:
	mov	eax, USER_DATA
	mov	ds, ax
	mov	es, ax
	push	rax
	push	qword 0
	pushfq
	push	qword USER_CODE32
	push	rdi
	mov	edi, esi
	mov	esi, edx
	iretq

; void load_segment(selector): ES; void load_ldt(selector).
global load_segment, load_ldt
load_segment:
	mov	es, edi
	ret
load_ldt:
	lldt	di
	ret

; void switch_levels(cr3): 4-level to 5-level paging or back, by way of paging off.
global switch_levels
switch_levels:
	push	qword CODE32
	push	qword .off
	retfq
bits 32
.off:	mov	eax, cr0
	btr	eax, CR0_PG_BIT
	mov	cr0, eax
	mov	eax, cr4
	btc	eax, CR4_LA57_BIT
	mov	cr4, eax
	mov	cr3, edi
	mov	eax, cr0
	bts	eax, CR0_PG_BIT
	mov	cr0, eax
	jmp	CODE64:.on
bits 64
.on:	ret

; --- ring 3 -------------------------------------------------------------------
section .user progbits alloc exec nowrite
bits 64
global user_load_segment
user_load_segment:
	mov	es, edi
	int	0x80

bits 32
user32_read:
	mov	eax, [edi]
	int	0x80
user32_write:
	mov	[edi], esi
	int	0x80
user32_fetch:
	jmp	edi
user32_segment:
	mov	eax, 0x07
	mov	es, ax
	int	0x80
user32_fresh:
	mov	eax, 0x0f
	mov	es, ax
	int	0x80

; --- by kind of access; guest.h ----------------------------------------------------
extern user_start
section .data
align 8
global user_access
supervisor_access: dd probe_read, probe_write, probe_fetch, probe_segment, probe_fresh
user_access:	dd user32_read, user32_write, user32_fetch, user32_segment, user32_fresh
compat_code:	dd compat_read, compat_write, compat_fetch, compat_segment, compat_fresh
global offset_of
offset_of:	dd 0x20, AT_WRITE, 0, 0x40, AT_FRESH
global idt32_descriptor
idt32_descriptor: times 10 db 0

section .bss
global probed_value
saved_rsp:	resq 1
saved_cr0:	resq 1
saved_cr3:	resq 1
saved_cr4:	resq 1
saved_efer:	resq 1
saved_idt:	resb 16
current_run:	resq 1
current_probe:	resq 1
loop_esp:	resq 1
left:		resq 1
probed_value:	resq 1
