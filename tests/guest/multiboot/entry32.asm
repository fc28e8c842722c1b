; SPDX-License-Identifier: BSD-2-Clause
; The multiboot test kernels' headers and entry. VERSION is 1 or 2; ADDRESSES=1
; gives the header of version 1 address fields (for a flat file), LONG=1 makes
; the entry go on in 64-bit mode.
%ifndef ADDRESSES
%define ADDRESSES 0
%endif
%ifndef LONG
%define LONG 0
%endif

extern kernel_main, kernel_start, data_end, kernel_end

section .header progbits alloc noexec nowrite align=8
header:
%if VERSION == 1
MAGIC equ 0x1badb002
FLAGS equ 7 | ADDRESSES << 16	; aligned modules, memory, video mode
	dd MAGIC, FLAGS, -(MAGIC + FLAGS)
	dd header, kernel_start, data_end, kernel_end, entry
	dd 0, 1024, 768, 32
%else
MAGIC equ 0xe85250d6
	dd MAGIC, 0, header_end - header, -(MAGIC + (header_end - header))
	dw 1, 0			; information wanted: map, framebuffer, ACPI, EFI
	dd 32
	dd 1, 4, 6, 8, 15, 12
	dw 6, 0			; modules aligned
	dd 8
	dw 5, 1			; framebuffer, optional
	dd 20
	dd 1024, 768, 32, 0
	dw 4242, 1		; something unknown, optional
	dd 8
	dw 0, 0
	dd 8
%endif
header_end:

section .text
bits 32
global entry
entry:
	mov ecx, cr0
	mov [entry_cr0], ecx
	mov esp, stack_top
	pushfd
	pop dword [entry_flags]
	cld
%if LONG
	mov edi, eax
	mov esi, ebx
	; one table of 4 x 1 GiB in 2 MiB pages, identity mapped
	mov dword [pml4], pdpt + 3
	mov ecx, 4
	mov eax, pd + 3
	mov edx, pdpt
.directory:
	mov [edx], eax
	add edx, 8
	add eax, 4096
	loop .directory
	mov ecx, 2048
	mov eax, 0x83
	mov edx, pd
	xor ebx, ebx
.page:	mov [edx], eax
	mov [edx + 4], ebx
	add edx, 8
	add eax, 0x200000
	loop .page
	mov eax, pml4
	mov cr3, eax
	mov eax, 0x20		; PAE
	mov cr4, eax
	mov ecx, 0xc0000080	; EFER.LME
	rdmsr
	or eax, 0x100
	wrmsr
	mov eax, cr0
	or eax, 0x80000000
	mov cr0, eax
	lgdt [gdt_descriptor]
	jmp 0x08:long_mode
bits 64
long_mode:
	mov eax, 0x10
	mov ds, eax
	mov es, eax
	mov ss, eax
	call kernel_main	; edi, esi: magic, information
%else
	push ebx
	push eax
	call kernel_main
%endif
.stop:	hlt
	jmp .stop

section .data
global entry_cr0, entry_flags
entry_cr0: dd 0
entry_flags: dd 0
align 8
gdt:	dq 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_descriptor:
	dw 23
	dd gdt, 0

section .bss
align 4096
%if LONG
pml4:	resb 4096
pdpt:	resb 4096
pd:	resb 4 * 4096
%endif
	resb 16384
stack_top:

section .note.GNU-stack noalloc noexec nowrite progbits
