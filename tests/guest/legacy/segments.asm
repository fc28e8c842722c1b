; SPDX-License-Identifier: BSD-2-Clause
; What segments allow: programs in ring 3 access the local APIC, or RAM beside an access to it, through segments of
; each type and with limits around the operand. Each line has one instruction through one type of segment; each
; word of it is one offset and limit: vector (30: the instruction was done), error code, how far EIP came, ECX, and how far ESP
; moved. The runner compares with a bare processor that checks segments; QEMU's does not.
%include "tests/guest/legacy/image.inc"

SEL_TEST equ 0x43		; DPL 3, as the next two
SEL_USER_CODE equ 0x4b
SEL_USER_DATA equ 0x53
DONE equ 0x30			; the vector by which a program ends
TPR equ APIC + 0x80
TARGET equ 0x40			; where code lies to which a register of 8 bits may lead
VERSION equ APIC + 0x30

; Group: name, programs, their end, types, their end, setup, where the operand lies
struc group
.name	resd 1
.forms	resd 1
.end	resd 1
.types	resd 1
.types_end resd 1
.setup	resd 1
.operand resd 1
endstruc

run_tests:
	mov	esi, gdt
	mov	edi, own_gdt
	mov	ecx, SEL_TEST & ~7
	rep	movsb
	lgdt	[own_gdt_pointer]
	mov	dword [hook], caught
	mov	word [TARGET], 0x30cd		; INT 30
	fninit
	mov	dword [current], groups
.group:	mov	ebx, [current]
	mov	eax, [ebx + group.types]
	mov	[kind], eax
.kind:	mov	ebx, [current]
	mov	eax, [ebx + group.forms]
	mov	[form], eax
.form:	call	run_line
	add	dword [form], 4
	mov	ebx, [current]
	mov	eax, [form]
	cmp	eax, [ebx + group.end]
	jb	.form
	add	dword [kind], 4
	mov	eax, [kind]
	cmp	eax, [ebx + group.types_end]
	jb	.kind
	add	dword [current], group_size
	cmp	dword [current], groups_end
	jb	.group
	mov	dword [hook], 0
	CHECK	"a program ends well, with #SS or with #GP", [strange], 0
	CHECK	"programs were refused and were not", [both], 3
	ret

; One instruction through one type of segment, at each offset with each limit.
run_line:
	mov	ebx, [current]
	mov	esi, [ebx + group.name]
	call	print
	mov	eax, [kind]
	mov	eax, [eax]
	call	print_hex
	mov	al, ' '
	call	put
	mov	eax, [form]
	mov	eax, [eax]
	movzx	ecx, byte [eax]			; the number of bytes that name it
	lea	esi, [eax + 2]
	lea	edx, [esi + ecx]
	mov	[program], edx
	mov	cl, [eax + 1]
	mov	[to_es], cl
	call	print
	mov	dword [pair], pairs
.next:	call	prepare
	call	run_program
	call	tell
	add	dword [pair], 8
	cmp	dword [pair], pairs_end
	jb	.next
	mov	al, 10
	jmp	put

; The segment's descriptor, then the registers by the group.
prepare:
	mov	dword [TPR], TARGET
	mov	dword [buffer], TARGET
	mov	ebx, [current]
	mov	eax, [pair]
	mov	edx, [ebx + group.operand]
	sub	edx, [eax]			; the base
	mov	ecx, [eax + 4]			; the limit
	mov	edi, own_gdt + (SEL_TEST & ~7)
	mov	[edi], cx
	mov	[edi + 2], dx
	shr	edx, 16
	mov	[edi + 4], dl
	mov	[edi + 7], dh
	mov	edx, [kind]
	mov	edx, [edx]
	mov	[edi + 5], dl
	shr	ecx, 16
	or	cl, dh				; D/B
	mov	[edi + 6], cl
	mov	byte [own_gdt + (SEL_USER_CODE & ~7) + 5], 0xfb
	mov	dword [user_ss], SEL_USER_DATA
	mov	dword [user_esp], user_stack_top
	mov	dword [user_es], SEL_USER_DATA
	mov	dword [user_fs], SEL_TEST
	mov	eax, [eax]			; the offset
	jmp	[ebx + group.setup]

; The operand in FS, or in ES where the program says so.
setup_operand:
	mov	[r_ebx], eax
	mov	[r_esi], eax
	mov	dword [r_edi], buffer
	cmp	byte [to_es], 0
	je	no_segment
	mov	dword [r_esi], buffer
	mov	[r_edi], eax
	mov	dword [user_es], SEL_TEST

; Where the type is none: a null selector, and the address that a base of 0 would make of it.
no_segment:
	mov	edx, [kind]
	cmp	byte [edx], 0
	jne	.end
	mov	ebx, [current]
	mov	eax, [ebx + group.operand]
	cmp	byte [to_es], 0
	je	.fs
	mov	dword [user_es], 0
	mov	[r_edi], eax
	ret
.fs:	mov	dword [user_fs], 0
	mov	[r_ebx], eax
	mov	[r_esi], eax
.end:	ret

; The APIC is read, and the other operand is in ES.
setup_second:
	mov	dword [r_esi], VERSION
	mov	[r_edi], eax
	mov	dword [user_es], SEL_TEST
	mov	byte [to_es], 1
	jmp	no_segment

; The APIC is accessed, and the stack is the segment.
setup_stack:
	mov	dword [r_ebx], TPR
	mov	dword [user_fs], SEL_USER_DATA
	mov	dword [user_ss], SEL_TEST
	cmp	byte [to_es], 0			; here: it pushes
	je	.set
	add	eax, 4
.set:	mov	[user_esp], eax
	ret

; The code segment is of that type, and is the operand's.
setup_code:
	mov	dword [user_fs], SEL_USER_DATA
	mov	edx, [kind]
	mov	dl, [edx]
	mov	[own_gdt + (SEL_USER_CODE & ~7) + 5], dl
	mov	dword [r_ebx], TPR
	mov	dword [r_esi], TPR
	mov	dword [r_edi], buffer
	ret

run_program:
	mov	[saved_esp], esp
	push	dword [user_ss]
	push	dword [user_esp]
	push	dword 2
	push	dword SEL_USER_CODE
	push	dword [program]
	mov	es, [user_es]
	mov	fs, [user_fs]
	mov	eax, SEL_USER_DATA
	mov	ds, ax
	mov	eax, 0x10
	mov	ecx, 3
	mov	ebx, [r_ebx]
	mov	esi, [r_esi]
	mov	edi, [r_edi]
	iret

caught:	mov	[r_ecx], ecx
	mov	eax, SEL_DATA
	mov	ds, ax
	mov	es, ax
	mov	fs, ax
	mov	eax, [vector]
	xor	edx, edx
	cmp	eax, 8
	je	.error
	cmp	eax, 17
	je	.error
	cmp	eax, 10
	jb	.eip
	cmp	eax, 14
	ja	.eip
.error:	pop	edx
.eip:	mov	[error], edx
	pop	eax
	sub	eax, [program]
	mov	[eip], eax
	mov	dword [moved], 0
	test	byte [esp], 3			; CS: IRET itself failed?
	jz	.end
	mov	eax, [esp + 8]
	sub	eax, [user_esp]
	mov	[moved], eax
.end:	mov	esp, [saved_esp]
	ret

tell:	mov	al, ' '
	call	put
	mov	eax, [vector]
	call	print_hex
	mov	eax, [error]
	call	.word
	mov	eax, [eip]
	call	.word
	mov	eax, [r_ecx]
	call	.word
	movzx	eax, byte [moved]
	call	.word
	mov	edx, 1
	cmp	dword [vector], DONE
	je	.note
	mov	edx, 2
	cmp	dword [vector], 12
	je	.note
	cmp	dword [vector], 13
	je	.note
	inc	dword [strange]
.note:	or	[both], edx
	ret
.word:	push	eax
	mov	al, '.'
	call	put
	pop	eax
	jmp	print_hex

; FORM name, whether the segment is ES (of the stack: whether it pushes): then the instruction, up to DONE
%macro FORM 2
	db %%text - %%name, %2
%%name:	db %1, 0
%%text:
%endmacro
%macro PROGRAM 3+
%%form:	FORM %1, %2
	%3
	int	DONE
	section .data
	dd	%%form
	section .text
%endmacro

section .data
align 4
operand_forms:
section .text
	PROGRAM "MOV r, m", 0, mov eax, [fs:ebx]
	PROGRAM "MOV m, r", 0, mov [fs:ebx], eax
	PROGRAM "MOV m, imm", 0, mov dword [fs:ebx], 0x20
	PROGRAM "ADD m, r", 0, add [fs:ebx], eax
	PROGRAM "ADD r, m", 0, add eax, [fs:ebx]
	PROGRAM "AND m, imm", 0, and dword [fs:ebx], 0x20
	PROGRAM "CMP m, r", 0, cmp [fs:ebx], eax
	PROGRAM "TEST m, r", 0, test [fs:ebx], eax
	PROGRAM "XCHG", 0, xchg [fs:ebx], eax
	PROGRAM "NOT", 0, not dword [fs:ebx]
	PROGRAM "INC", 0, inc dword [fs:ebx]
	PROGRAM "SHL", 0, shl dword [fs:ebx], 1
	PROGRAM "BT", 0, bt dword [fs:ebx], 3
	PROGRAM "BTS", 0, bts dword [fs:ebx], 3
	PROGRAM "CMPXCHG", 0, cmpxchg [fs:ebx], ecx
	PROGRAM "XADD", 0, xadd [fs:ebx], eax
	PROGRAM "PUSH", 0, push dword [fs:ebx]
	PROGRAM "POP", 0, pop dword [fs:ebx]
	PROGRAM "CALL", 0, call [fs:ebx]
	PROGRAM "JMP", 0, jmp [fs:ebx]
	PROGRAM "IMUL", 0, imul eax, [fs:ebx]
	PROGRAM "CMOVE", 0, cmove eax, [fs:ebx]
	PROGRAM "FILD", 0, fild dword [fs:ebx]
	PROGRAM "FIST", 0, fist dword [fs:ebx]
	PROGRAM "MOVD m, mm", 0, movd [fs:ebx], mm0
	PROGRAM "LODSD", 0, fs lodsd
	PROGRAM "MOVSD from", 0, fs movsd
	PROGRAM "CMPSD from", 0, fs cmpsd
	PROGRAM "MOVSD to", 1, movsd
	PROGRAM "CMPSD to", 1, cmpsd
	PROGRAM "STOSD", 1, stosd
	PROGRAM "SCASD", 1, scasd
section .data
second_forms:
section .text
	PROGRAM "MOVSD from the APIC", 1, movsd
	PROGRAM "CMPSD with the APIC", 1, cmpsd
section .data
stack_forms:
section .text
	PROGRAM "PUSH of the APIC", 1, push dword [ebx]
	PROGRAM "CALL by the APIC", 1, call [ebx]
	PROGRAM "POP to the APIC", 0, pop dword [ebx]
section .data
code_forms:
section .text
	PROGRAM "MOV r, cs:m", 0, mov eax, [cs:ebx]
	PROGRAM "MOV cs:m, r", 0, mov [cs:ebx], eax
	PROGRAM "ADD cs:m, r", 0, add [cs:ebx], eax
	PROGRAM "CMP cs:m, r", 0, cmp [cs:ebx], eax
	PROGRAM "PUSH cs:m", 0, push dword [cs:ebx]
	PROGRAM "POP cs:m", 0, pop dword [cs:ebx]
	PROGRAM "FILD cs:m", 0, fild dword [cs:ebx]
	PROGRAM "MOVSD from cs", 0, cs movsd
	PROGRAM "LODSD from cs", 0, cs lodsd
section .data
forms_end:

; Access byte, and the byte of D/B behind it: data read-only and writable, expanding down, with D/B and without;
; readable code; no segment.
data_types:
	dd 0x40f1, 0x40f3, 0x40f5, 0x00f5, 0x40f7, 0x00f7, 0x40fb, 0
data_types_end:
stack_types:
	dd 0x40f3, 0x00f3, 0x40f7, 0x00f7
stack_types_end:
code_types:
	dd 0xf9, 0xfb, 0xfd, 0xff	; readable in the second and fourth; the last two conforming
code_types_end:
pairs:	dd 0x80, 0x7e, 0x80, 0x7f, 0x80, 0x80, 0x80, 0x82, 0x80, 0x83, 0x80, 0x87
	dd 0xfffc, 0x100, 0xfffd, 0x100, 0xfffd, 0xffff, 0xfffd, 0x10000
pairs_end:
groups:	dd name_operand, operand_forms, second_forms, data_types, data_types_end, setup_operand, TPR
	dd name_second, second_forms, stack_forms, data_types, data_types_end, setup_second, buffer
	dd name_stack, stack_forms, code_forms, stack_types, stack_types_end, setup_stack, buffer
	dd name_code, code_forms, forms_end, code_types, code_types_end, setup_code, buffer
groups_end:
name_operand: db "operand ", 0
name_second: db "second ", 0
name_stack: db "stack ", 0
name_code: db "code ", 0

align 8
own_gdt: times (SEL_TEST & ~7) db 0
	dq 0, 0x00cffb000000ffff, 0x00cff3000000ffff
own_gdt_pointer:
	dw $ - own_gdt - 1
	dd own_gdt
strange: dd 0			; programs that ended in another way
both:	dd 0			; 1: one was done; 2: one was refused
current: dd 0
kind:	dd 0
form:	dd 0
pair:	dd 0
program: dd 0
to_es:	db 0
align 4
user_ss: dd 0
user_esp: dd 0
user_es: dd 0
user_fs: dd 0
r_ebx:	dd 0
r_ecx:	dd 0
r_esi:	dd 0
r_edi:	dd 0
error:	dd 0
eip:	dd 0
moved:	dd 0

section .bss
alignb 16
buffer:	resb 256
	resb 1024
user_stack_top:
	resb 16
section .text
