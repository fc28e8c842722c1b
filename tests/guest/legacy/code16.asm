; SPDX-License-Identifier: BSD-2-Clause
; 16-bit code in protected mode: the APIC by every kind of 16-bit address, CPUID, CR0.
%include "tests/guest/legacy/image.inc"

run_tests:
	mov	esi, code_start
	mov	edi, code_end
	call	to_low
	call	SEL_CODE16:LOW
	CHECK	"APIC read by 16-bit code", [NOTES], [apic_version]
	CHECK	"CPUID in 16-bit code", [NOTES + 4], [cpu_word]
	CHECK	"APIC by an address that wraps at 64 KiB", [NOTES + 8], [apic_version]
	CHECK	"string from the APIC with 16-bit addresses", [NOTES + 12], [apic_version]
	CHECK	"OR and AND on the APIC", [NOTES + 16], 0x20
	mov	eax, cr0
	CHECK	"CR0 read and written by 16-bit code", [NOTES + 20], eax
	CHECK	"APIC pushed and popped", [NOTES + 24], [apic_version]
	ret

code_start:
bits 16
	mov	ax, SEL_APIC
	mov	fs, ax
	mov	es, ax
	mov	eax, [es:0x30]
	mov	[NOTES], eax
	xor	eax, eax
	cpuid
	mov	[NOTES + 4], ebx
	mov	bx, 0xfff0
	mov	si, 0x40
	mov	eax, [es:bx + si]
	mov	[NOTES + 8], eax
	push	ds
	pop	es
	mov	si, 0x30
	mov	di, NOTES + 12
	fs movsd
	mov	dword [fs:0x80], 0x10
	or	dword [fs:0x80], 0x20
	and	dword [fs:0x80], 0xffffffef
	mov	eax, [fs:0x80]
	mov	[NOTES + 16], eax
	mov	dword [fs:0x80], 0
	mov	eax, cr0
	mov	[NOTES + 20], eax
	mov	cr0, eax
	push	dword [fs:0x30]
	pop	dword [NOTES + 24]
	push	dword SEL_DATA
	pop	eax
	mov	fs, ax
	o32 retf
code_end:
