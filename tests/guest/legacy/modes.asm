; SPDX-License-Identifier: BSD-2-Clause
; Real mode instruction by instruction: what each leaves in registers, flags, segments and memory, and the exception that it
; raises, as a line of numbers. The bare machine's lines are what the hypervisor's must be. Twice: as it comes, and with a
; segment whose base no selector of real mode gives, which without hardware for real mode means that all is interpreted. Then
; switches of the mode in every order.
%include "tests/guest/legacy/image.inc"

STACK16 equ 0x5000
DATA equ 0x5800			; 64 bytes that each test begins with the same
STATE equ 0x6100		; what a test leaves
VECTOR equ STATE + 60
XIP equ STATE + 64
XCS equ STATE + 68
XFLAGS equ STATE + 72
SUM equ STATE + 76
STATE_DWORDS equ 20
RESUME equ 0x6200		; where an exception goes on
NEXT equ 0x6204
BEGIN equ 0x6208
TOP equ 0x620c			; SS:SP
COUNT equ 0x6210
STEPS equ 0x6214
PASS16 equ 0x6218
LIMITS equ 0x621c
COSTS equ 0x6300		; ticks of the time-stamp counter
PAGES equ 0x30000		; a page directory
RESULTS equ 0x20000

run_tests:
	mov	dword [pass], 0
.pass:	mov	esi, real_start
	mov	edi, real_end
	call	to_low
	mov	[saved_esp], esp
	lidt	[real_idt]
	mov	eax, [pass]
	mov	[PASS16], eax
	mov	ax, SEL_DATA16
	mov	fs, ax
	test	dword [pass], 1
	jz	.go
	mov	ax, SEL_APIC
	mov	fs, ax
.go:	jmp	SEL_CODE16:LOW
back:	mov	ax, SEL_DATA
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	fs, ax
	mov	gs, ax
	mov	esp, [saved_esp]
	lidt	[idt_pointer]
	cmp	dword [pass], 2
	jae	.switched
	call	print_results
	call	print_costs
	jmp	.next
.switched:
	call	check_switches
.next:	inc	dword [pass]
	cmp	dword [pass], 4
	jb	run_tests.pass
	ret

print_results:
	mov	eax, [COUNT]
	mov	edx, names_end
	sub	edx, names
	shr	edx, 2
	CHECK	"every test came to its end", eax, edx
	xor	ebx, ebx
.next:	mov	esi, .real
	call	print
	mov	eax, [pass]
	call	print_hex
	mov	al, ' '
	call	put
	mov	esi, [names + ebx * 4]
	call	print
	mov	al, ':'
	call	put
	imul	edi, ebx, STATE_DWORDS * 4
	add	edi, RESULTS
	mov	ecx, STATE_DWORDS
.word:	mov	al, ' '
	call	put
	mov	eax, [edi]
	call	print_hex
	add	edi, 4
	loop	.word
	mov	al, 10
	call	put
	inc	ebx
	cmp	ebx, [COUNT]
	jb	.next
	ret
.real:	db "real ", 0

; What an instruction costs, for docs/performance.md: a NOTE line, as it differs.
print_costs:
	xor	ebx, ebx
.next:	mov	esi, .note
	call	print
	mov	eax, [pass]
	call	print_hex
	mov	al, ' '
	call	put
	mov	esi, [costs + ebx * 4]
	call	print
	mov	esi, .is
	call	print
	mov	eax, [COSTS + ebx * 4]
	call	print_hex
	mov	al, 10
	call	put
	inc	ebx
	cmp	ebx, (costs_end - costs) / 4
	jb	.next
	ret
.note:	db "NOTE: cost ", 0
.is:	db ": ", 0

%define NOTE(n) NOTES + 4 * (n)
check_switches:
	CHECK	"PE set and cleared without a jump", [NOTE(0)], 0x11
	CHECK	"code between MOV CR0 and the jump: CALL, PUSH, strings", [NOTE(1)], 0x1234
	CHECK	"CS is what it was", [NOTE(2)], 0
	CHECK	"protected 16-bit code by a jump, and back", [NOTE(3)], SEL_CODE16
	CHECK	"its stack holds what real mode has pushed", [NOTE(4)], 0xabcd
	CHECK	"a limit of 4 GiB survives loads in real mode", [NOTE(5)], [apic_version]
	CHECK	"writes beyond 64 KiB arrive", [NOTE(6)], 0x60
	CHECK	"strings with 32-bit addresses beyond 64 KiB", [NOTE(7)], [apic_version]
	CHECK	"the base goes with the load", [NOTE(8)], 0x5a5a
	CHECK	"PE and PG set at once", [NOTE(9)], 0x80000001
	CHECK	"memory by page tables before the jump", [NOTE(10)], 0x77
	CHECK	"paging off, then protected mode off", [NOTE(11)], 0
	CHECK	"LMSW sets PE", [NOTE(12)], 1
	CHECK	"LMSW does not clear it", [NOTE(13)], 1
	CHECK	"segments loaded before the jump", [NOTE(14)], 0x5a5a
	CHECK	"limit of the APIC's segment: an access beyond is refused where the processor checks", [NOTE(15)], [NOTE(16)]
	mov	eax, [NOTE(17)]
	cmp	eax, 5
	jb	.few
	mov	eax, 5
.few:	CHECK	"the timer ends HLT", eax, 5
	CHECK	"an interrupt comes behind the instruction behind STI", [NOTE(18)], 1
	CHECK	"an interrupt comes in a loop", [NOTE(19)], 1
	CHECK	"interrupts that are off wait", [NOTE(20)], 0
	CHECK	"NMIs come, each once", [NOTE(22)], 2
	CHECK	"an NMI waits for the end of the other's handler", [NOTE(23)], 1
	CHECK	"a vector of an exception is an interrupt's too", [NOTE(21)], 2
	ret

section .data
pass:	dd 0
real_idt: dw 0x3ff
	dd 0
section .names progbits alloc noexec nowrite align=4
names:
section .costs progbits alloc noexec nowrite align=4
costs:
section .strings progbits alloc noexec nowrite align=1
section .text

; T name, instruction...: local labels are the test's own.
%assign tests_made 0
%macro T 2-*
	%assign tests_made tests_made + 1
	[section .strings]
%%name:	db %1, 0
	[section .names]
	dd %%name
	__SECT__
test_ %+ tests_made:
	mov	word [cs:RESUME], AT(.end)
	mov	word [cs:BEGIN], AT(.begin)
	call	before
.begin:
	%rep %0 - 1
	%rotate 1
	%1
	%endrep
.end:	mov	word [cs:NEXT], AT(.next)
	jmp	near after
.next:
%endmacro
; QEMU checks neither limits nor what is written to control registers.
%define IF_LIMITS {cmp byte [cs:LIMITS], 0}, {je near .end}
%define AT(x) (x - real_start + LOW)

real_start:
bits 16
	xor	ax, ax
	mov	bx, SEL_DATA16
	mov	ds, bx
	mov	es, bx
	mov	ss, bx
	mov	gs, bx
	mov	eax, cr0
	and	al, 0xfe
	mov	cr0, eax
	jmp	0:AT(.real)
.real:	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	gs, ax
	mov	sp, STACK16
	test	byte [PASS16], 1
	jnz	.odd
	mov	fs, ax
.odd:
	mov	word [TOP], STACK16
	mov	word [TOP + 2], 0
	mov	dword [COUNT], 0
	mov	al, 0xff
	out	0x21, al
	out	0xa1, al
	call	fill_vectors
	mov	word [VECTOR], 0
	mov	word [RESUME], AT(.probed)
	mov	eax, 0x10000
	mov	al, [eax]
.probed:
	mov	sp, STACK16
	cmp	word [VECTOR], 13
	sete	[LIMITS]
	cmp	byte [PASS16], 2
	jae	near switch_tests
	jmp	near tests

fill_vectors:
	xor	di, di
	mov	ax, AT(vectors)
	mov	cx, 0x30
.next:	mov	[di], ax
	mov	word [di + 2], 0
	add	di, 4
	add	ax, 8
	loop	.next
	mov	dword [0x60 * 4], AT(on_soft)
	mov	dword [0x61 * 4], AT(on_flags)
	mov	dword [0x62 * 4], AT(on_nothing)
	ret

align 8
vectors:
%assign n 0
%rep 0x30
align 8
	push	byte n
	jmp	near exception16
%assign n n + 1
%endrep

; The registers go on as the fault has left them.
exception16:
	pop	word [cs:VECTOR]
	pop	word [cs:XIP]
	pop	word [cs:XCS]
	pop	word [cs:XFLAGS]
	jmp	word [cs:RESUME]

on_soft:
	inc	dx
	push	bp
	mov	bp, sp
	mov	ax, [bp + 6]
	pop	bp
	iret
on_flags:
	pushf
	pop	cx
	pop	ax
	pop	bx
	pop	dx
	xor	ax, ax
	push	dx
	push	bx
	push	word AT(.end)
	iret
.end:	jmp	word [cs:RESUME]

; Registers, flags and memory that a test begins with. Its exception, if any, is none yet.
before:	cld
	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	dword [VECTOR], 0xffff
	mov	dword [XIP], 0
	mov	dword [XCS], 0
	mov	dword [XFLAGS], 0
	mov	di, DATA
	mov	cx, 64
	mov	al, 0x11
.fill:	stosb
	add	al, 0x11
	adc	al, 0
	loop	.fill
	mov	eax, 0x11112222
	mov	ebx, 0x33334444
	mov	ecx, 0x55556666
	mov	edx, 0x77778888
	mov	esi, 0x9999a000
	mov	edi, 0xbbbbcc00
	mov	ebp, 0xddddee00
	push	dword 2
	popfd
	ret

after:	mov	[cs:STATE], eax
	mov	[cs:STATE + 4], ebx
	mov	[cs:STATE + 8], ecx
	mov	[cs:STATE + 12], edx
	mov	[cs:STATE + 16], esi
	mov	[cs:STATE + 20], edi
	mov	[cs:STATE + 24], ebp
	mov	[cs:STATE + 28], esp
	mov	[cs:STATE + 32], ds
	mov	[cs:STATE + 36], es
	mov	[cs:STATE + 40], ss
	mov	[cs:STATE + 44], gs
	lss	sp, [cs:TOP]
	pushfd
	pop	dword [cs:STATE + 48]
	push	dword 2
	popfd
	xor	eax, eax
	mov	ds, ax
	mov	es, ax
	mov	gs, ax
	mov	eax, cr0
	and	eax, 0xe005003f
	mov	[STATE + 52], eax
	mov	eax, dr6
	mov	[STATE + 56], eax
	mov	eax, 0x400
	mov	dr7, eax
	mov	eax, 0xffff0ff0
	mov	dr6, eax
	cmp	word [VECTOR], 0xffff
	je	.sum
	mov	ax, [BEGIN]
	sub	[XIP], ax
.sum:	xor	eax, eax
	mov	si, DATA
	mov	cx, 16
.add:	rol	eax, 3
	add	eax, [si]
	add	si, 4
	loop	.add
	mov	[SUM], eax
	imul	edi, [COUNT], STATE_DWORDS * 4
	inc	dword [COUNT]
	mov	ax, RESULTS >> 4
	mov	es, ax
	mov	si, STATE
	mov	cx, STATE_DWORDS
	rep	movsd
	mov	es, cx
	jmp	word [NEXT]

tests:
	T	"MOV and LEA", {mov ax, [DATA + 2]}, {mov [DATA + 4], ax}, {lea bx, [bx + si + 0x1234]}, {mov ecx, [DATA + 8]}, \
		{mov byte [DATA], 0x77}
	T	"32-bit addresses below 64 KiB", {mov eax, DATA}, {mov ebx, [eax + 4]}, {mov [eax + ecx * 0 + 8], ebx}, \
		{lea edi, [eax + ebx * 4 + 0x10]}
	T	"a 32-bit address beyond the limit", {mov eax, 0x10000}, {mov bl, [eax]}
	T	"the address of the last byte", {mov bx, 0xffff}, {mov al, [bx]}
	T	"a word at the last byte", {mov bx, 0xffff}, {mov ax, [bx]}
	T	"a write to a word at the last byte", {mov bx, 0xffff}, {mov [bx], ax}
	T	"a doubleword at fffd", {mov bx, 0xfffd}, {mov eax, [bx]}
	T	"a doubleword at fffc", {mov bx, 0xfffc}, {mov eax, [bx]}, {xor eax, eax}
	T	"a stack word at ffff", {mov sp, 0xffff}, {pop ax}
	T	"a push at SP 0", {mov sp, 0}, {push ax}, {pop bx}
	T	"PUSHA and POPA", {pusha}, {mov bp, sp}, {mov word [bp + 6], 0x4321}, {popa}
	T	"PUSHAD and POPAD", {pushad}, {mov bp, sp}, {mov dword [bp], 0x87654321}, {popad}
	T	"POP to memory at SP", {push word 0x1234}, {pop word [DATA + 6]}, {push dword 0x12345678}, {pop dword [DATA + 8]}
	T	"PUSH SP, POP SP", {push sp}, {pop ax}, {mov bx, sp}, {push word 0x4000}, {pop sp}
	T	"PUSH of immediates", {push byte -3}, {pop ax}, {push word 0x8001}, {pop bx}, {o32 push byte -5}, {pop ecx}
	T	"ENTER and LEAVE", {enter 8, 0}, {mov ax, bp}, {mov bx, sp}, {leave}
	T	"ENTER with levels", {mov bp, 0x5000}, {enter 16, 3}, {mov ax, bp}, {mov bx, sp}, {mov cx, [bp - 2]}, {mov sp, bp}, \
		{pop bp}
	T	"XCHG and XLAT", {xchg ax, bx}, {mov bx, DATA}, {mov al, 5}, {xlatb}, {xchg [DATA + 2], cx}, {lock xchg [DATA + 4], dl}
	T	"CBW, CWD, CWDE, CDQ", {mov al, 0x80}, {cbw}, {cwd}, {mov bx, ax}, {cwde}, {cdq}
	T	"ADD, ADC, SUB, SBB, CMP", {add ax, bx}, {adc cl, dl}, {sub esi, edi}, {sbb [DATA], ax}, {cmp bx, [DATA + 2]}
	T	"AND, OR, XOR, TEST, NOT, NEG", {and ax, [DATA + 2]}, {or bx, cx}, {xor edx, ecx}, {not byte [DATA]}, \
		{neg word [DATA + 2]}, {test cx, cx}, {lahf}, {and ah, 0xef}
	T	"INC and DEC", {stc}, {inc ax}, {dec byte [DATA]}, {inc dword [DATA + 4]}, {dec ecx}
	T	"MUL and IMUL", {mul bl}, {mov si, ax}, {mov ax, -5}, {imul bx}, {imul ecx, ecx, 3}, {imul di, [DATA + 2], -7}, \
		{cmp cx, cx}
	T	"DIV and IDIV", {mov ax, 1000}, {mov bl, 7}, {div bl}, {mov si, ax}, {mov dx, -1}, {mov ax, -1000}, {mov cx, 7}, \
		{idiv cx}, {cmp cx, cx}
	T	"DIV by zero", {xor bx, bx}, {div bx}
	T	"IDIV that overflows", {mov ax, 0x8000}, {mov dx, 0xffff}, {mov bx, -1}, {idiv bx}
	T	"DIV of bytes that overflows", {mov ax, 0x7fff}, {mov bl, 1}, {div bl}
	T	"AAM by zero", {aam 0}
	T	"DAA, DAS, AAA, AAS", {mov al, 0x9b}, {daa}, {mov bl, al}, {mov al, 0x3e}, {sub al, 0x19}, {das}, {mov bh, al}, \
		{mov ax, 0x0b}, {aaa}, {mov cx, ax}, {mov ax, 0x20a}, {aas}, {cmp cx, cx}
	T	"AAM and AAD", {mov ax, 0x3f}, {aam}, {mov bx, ax}, {aad}, {cmp bx, bx}
	T	"SALC", {stc}, {salc}, {mov bl, al}, {clc}, {salc}
	T	"shifts", {shl ax, 3}, {shr bx, 1}, {sar cx, 4}, {mov cl, 33}, {shl edx, cl}, {sar byte [DATA], 1}, {cmp cx, cx}
	T	"rotates", {rol ax, 3}, {ror bx, 5}, {stc}, {rcl cx, 1}, {rcr edx, 9}, {mov cl, 17}, {rcl word [DATA + 2], cl}, \
		{cmp cx, cx}
	T	"SHLD and SHRD", {shld ax, bx, 5}, {mov cl, 9}, {shrd [DATA + 4], edx, cl}, {cmp cx, cx}
	T	"BT, BTS, BTR, BTC", {bt word [DATA], 3}, {setc al}, {mov cx, 70}, {bts [DATA], cx}, {mov edx, -3}, \
		{btr [DATA + 8], edx}, {btc bx, 15}, {cmp cx, cx}
	T	"BSF and BSR", {mov ax, 0x0840}, {bsf bx, ax}, {bsr ecx, eax}, {cmp cx, cx}
	T	"BSWAP, MOVZX, MOVSX", {bswap eax}, {movzx bx, byte [DATA + 3]}, {movsx ecx, word [DATA + 6]}, {movzx edx, cl}
	T	"SETcc and CMOVcc", {cmp ax, bx}, {setb al}, {setg ah}, {sets [DATA]}, {cmovb cx, dx}, {cmovg esi, edi}, \
		{cmova di, [DATA + 2]}
	T	"CMPXCHG and XADD", {mov ax, [DATA]}, {lock cmpxchg [DATA], cx}, {mov bl, 3}, {lock xadd [DATA + 4], bl}, \
		{cmpxchg [DATA + 6], dx}
	T	"CMPXCHG8B", {mov eax, [DATA]}, {mov edx, [DATA + 4]}, {lock cmpxchg8b [DATA]}, {lock cmpxchg8b [DATA + 8]}
	T	"LOCK on a register", {db 0xf0, 0x01, 0xd8}
	T	"LOCK MOV", {db 0xf0, 0x89, 0x07}
	T	"flag instructions", {stc}, {cmc}, {cld}, {std}, {lahf}, {xor ah, 0x81}, {sahf}
	T	"MOVSB", {mov si, DATA}, {mov di, DATA + 16}, {movsb}, {movsw}, {movsd}
	T	"REP MOVSW backward", {std}, {mov si, DATA + 14}, {mov di, DATA + 30}, {mov cx, 5}, {rep movsw}
	T	"REP STOSD and LODS", {mov di, DATA + 4}, {mov eax, 0xabcdef01}, {mov ecx, 3}, {rep stosd}, {mov si, DATA + 2}, {lodsw}
	T	"REPE CMPSB", {mov si, DATA}, {mov di, DATA + 1}, {mov cx, 10}, {repe cmpsb}
	T	"REPNE SCASB", {mov di, DATA}, {mov al, 0x22}, {mov cx, 50}, {repne scasb}
	T	"REP with CX 0", {xor cx, cx}, {mov si, DATA}, {mov di, DATA + 8}, {rep movsb}
	T	"a string over the segment's end", {mov si, DATA}, {mov di, 0xfffe}, {mov cx, 4}, {es rep lodsb}, {mov cx, 0}, \
		{mov di, 0xffff}, {scasb}
	T	"a word string that meets the limit", {mov di, 0xfffb}, {mov si, DATA}, {mov cx, 4}, {rep lodsw}, {mov si, 0xfffb}, \
		{mov cx, 4}, {rep lodsw}
	T	"REP MOVS with 32-bit addresses", {mov esi, DATA}, {mov edi, DATA + 20}, {mov ecx, 4}, {a32 rep movsb}
	T	"a 32-bit string beyond the limit", {mov esi, 0xfffe}, {mov ecx, 8}, {a32 rep lodsb}
	T	"JMP short, near, by register and memory", {jmp short .1}, {.1:}, {jmp near .2}, {.2:}, {mov ax, AT(.3)}, {jmp ax}, \
		{.3:}, {mov word [DATA], AT(.4)}, {jmp [DATA]}, {.4:}
	T	"CALL and RET with operand", {call .1}, {jmp .2}, {.1:}, {push word 1}, {push word 2}, {mov bp, sp}, {mov ax, [bp + 4]}, \
		{sub ax, [cs:BEGIN]}, {pop cx}, {pop cx}, {ret}, {.2:}
	T	"RET n", {push word 9}, {push word 8}, {call .1}, {jmp .2}, {.1:}, {ret 4}, {.2:}
	T	"far CALL, RETF", {call 0:AT(.1)}, {jmp .2}, {.1:}, {mov bp, sp}, {mov bx, [bp + 2]}, {retf}, {.2:}
	T	"far CALL to another segment's name", {call (LOW >> 4):AT(.1) - LOW}, {jmp .2}, {.1:}, {mov ax, cs}, {retf}, {.2:}
	T	"far JMP and CALL through memory", {mov word [DATA], AT(.1)}, {mov word [DATA + 2], 0}, {jmp far [DATA]}, {.1:}, \
		{mov dword [DATA + 4], AT(.2)}, {mov word [DATA + 8], 0}, {o32 call far [DATA + 4]}, {jmp .3}, {.2:}, {o32 retf}, {.3:}
	T	"RETF n", {push word 7}, {push cs}, {push word AT(.1)}, {retf 2}, {.1:}
	T	"LOOP, LOOPE, LOOPNE, JCXZ", {mov cx, 5}, {xor ax, ax}, {.1:}, {inc ax}, {loop .1}, {jcxz .2}, {mov ax, 99}, {.2:}, \
		{mov cx, 4}, {.3:}, {cmp bx, bx}, {loope .3}, {mov ecx, 3}, {.4:}, {cmp ax, bx}, {a32 loopne .4}
	T	"conditional jumps", {xor dx, dx}, {cmp ax, bx}, {jb .1}, {inc dx}, {.1:}, {jo near .2}, {add dx, 2}, {.2:}, {jle .3}, \
		{add dx, 4}, {.3:}, {jnp near .4}, {add dx, 8}, {.4:}, {js .5}, {add dx, 16}, {.5:}
	T	"a 32-bit jump beyond the limit", IF_LIMITS, {db 0x66, 0xe9}, {dd 0x12345}
	T	"a 32-bit RET beyond the limit", IF_LIMITS, {push dword 0x20000}, {o32 ret}
	T	"a 32-bit CALL within", {o32 call dword .1}, {jmp .2}, {.1:}, {o32 ret}, {.2:}
	T	"loads of segment registers", {mov ax, 0x1234}, {mov gs, ax}, {push word 0x2000}, {pop es}, {mov bx, es}, {mov cx, gs}
	T	"LDS, LES, LGS", {mov dword [DATA], 0x3000abcd}, {lgs si, [DATA]}, {les di, [DATA + 2]}, \
		{mov dword [DATA + 8], 0x40001111}, {lds bx, [DATA + 8]}
	T	"LES with a 32-bit offset", {mov word [DATA + 4], 0x2222}, {les edi, [DATA]}
	T	"an override", {mov ax, 0x100}, {mov es, ax}, {mov al, [es:DATA - 0x1000]}, {cs mov bl, [BEGIN]}, {xor bl, bl}, \
		{ss mov cl, [DATA + 3]}
	T	"an address beyond 1 MiB", {mov ax, 0xffff}, {mov gs, ax}, {mov dword [DATA], 0}, {mov ebx, [gs:0x10]}, {xor ebx, ebx}
	T	"MOV to CS", {db 0x8e, 0xc8}
	T	"MOV to a segment register that is none", {db 0x8e, 0xf0}
	T	"PUSH and POP of segments", {mov ax, 0x77}, {mov gs, ax}, {push gs}, {pop es}, {push ds}, {o32 push es}, {pop ecx}, \
		{pop dx}
	T	"POP SS and the instruction behind", {push word 0}, {pop ss}, {mov sp, STACK16 - 8}, {push ax}
	T	"INT 3", {int3}
	T	"INT n", {int 0x20}
	T	"INT 3 of two bytes", {db 0xcd, 3}
	T	"INTO that is taken", {mov al, 0x7f}, {add al, 1}, {into}
	T	"INTO that is not", {xor ax, ax}, {into}, {mov al, 1}
	T	"INT1", {db 0xf1}
	T	"BOUND within", {mov word [DATA], 1}, {mov word [DATA + 2], 9}, {mov ax, 9}, {bound ax, [DATA]}
	T	"BOUND beyond", {mov word [DATA], 1}, {mov word [DATA + 2], 9}, {mov ax, 10}, {bound ax, [DATA]}
	T	"BOUND below, of doublewords", {mov dword [DATA], -5}, {mov dword [DATA + 4], 9}, {mov eax, -6}, {bound eax, [DATA]}
	T	"BOUND of a register", {db 0x62, 0xc0}
	T	"UD2", {ud2}
	T	"an undefined opcode", {db 0x0f, 0xff, 0xc0}
	T	"an instruction of 16 bytes", {times 15 db 0x66}, {nop}
	T	"an instruction of 15 bytes", {times 14 db 0x66}, {nop}
	T	"INT to a handler that returns", {xor dx, dx}, {int 0x60}, {mov bx, dx}
	T	"INT pushes all flags", {mov ax, 0x7ed7}, {push ax}, {popf}, {int 0x61}
	T	"IRET with every flag", {push word 0x7cd7}, {push cs}, {push word AT(.1)}, {iret}, {.1:}, {pushf}, {pop ax}
	T	"IRETD with every flag", {push dword 0x00244cd7}, {push dword 0}, {push dword AT(.1)}, {iretd}, {.1:}, {pushfd}, \
		{pop eax}
	T	"IRETD leaves VM alone", {push dword 0x00020002}, {push dword 0}, {push dword AT(.1)}, {iretd}, {.1:}, {pushfd}, \
		{pop eax}
	T	"IRETD beyond the limit", IF_LIMITS, {push dword 2}, {push dword 0}, {push dword 0x10000}, {iretd}
	T	"PUSHF and POPF of every flag", {mov ax, 0xfed7}, {push ax}, {popf}, {pushf}, {pop bx}
	T	"PUSHFD and POPFD of every flag", {mov eax, 0xffffbcd7}, {push eax}, {popfd}, {pushfd}, {pop ebx}
	T	"POPF clears", {push word 0}, {popf}, {pushf}, {pop ax}
	T	"CLI and STI", {sti}, {pushf}, {pop ax}, {cli}, {pushf}, {pop bx}
	T	"STI, STI, CLI", {sti}, {sti}, {nop}, {cli}
	T	"TF: the first step", {push word 0x0102}, {popf}, {nop}, {nop}
	T	"TF by IRET", {push word 0x0102}, {push cs}, {push word AT(.1)}, {iret}, {.1:}, {nop}, {nop}
	T	"TF over an INT", {push word 0x0102}, {popf}, {int 0x60}, {nop}
	T	"TF over MOV SS", {xor ax, ax}, {push word 0x0102}, {popf}, {mov ss, ax}, {nop}, {nop}
	T	"TF over CLI", {push word 0x0102}, {popf}, {cli}, {nop}
	T	"TF over CPUID", {xor eax, eax}, {push word 0x0102}, {popf}, {cpuid}, {nop}
	T	"TF over REP MOVSB", {mov si, DATA}, {mov di, DATA + 9}, {mov cx, 3}, {push word 0x0102}, {popf}, {rep movsb}, {nop}
	T	"TF and a fault", {push word 0x0102}, {popf}, {ud2}
	T	"TF and PUSHF", {push word 0x0102}, {popf}, {pushf}, {pop ax}
	T	"a breakpoint on data", {mov eax, DATA}, {mov dr0, eax}, {mov eax, 0xd0303}, {mov dr7, eax}, {mov [DATA], cx}, {nop}, \
		{nop}
	T	"DR6 and DR7", {mov eax, 0xffff4ff1}, {mov dr6, eax}, {mov ebx, dr6}, {mov ecx, dr7}, {mov eax, 0x12345678}, {mov dr2, eax}, \
		{mov edx, dr2}
	T	"a breakpoint on code", {mov eax, AT(.1)}, {mov dr1, eax}, {mov eax, 0x40c}, {mov dr7, eax}, {nop}, {.1:}, {mov ax, 1}, \
		{nop}
	T	"a breakpoint on a port", {mov eax, cr4}, {or al, 8}, {mov cr4, eax}, {mov eax, 0x80}, {mov dr0, eax}, {mov eax, 0x20403}, \
		{mov dr7, eax}, {out 0x80, al}, {nop}
	T	"general detect", {mov eax, 0x2400}, {mov dr7, eax}, {mov eax, dr0}
	T	"SMSW", {smsw ax}, {smsw [DATA]}, {smsw ecx}, {and ecx, 0x7fffffff}
	T	"LMSW without PE", {smsw ax}, {or al, 8}, {lmsw ax}, {smsw bx}, {clts}, {smsw cx}
	T	"SGDT and SIDT", {sidt [DATA]}, {mov eax, [DATA + 2]}, {o32 sgdt [DATA + 8]}, {mov bx, [DATA + 8]}
	T	"LIDT", {sidt [DATA]}, {mov word [DATA], 0x3fe}, {o32 lidt [DATA]}, {sidt [DATA + 8]}, {mov ax, [DATA + 8]}, \
		{mov word [DATA], 0x3ff}, {o32 lidt [DATA]}
	T	"LGDT of 24 bits", {o32 sgdt [DATA + 16]}, {mov word [DATA], 0x1234}, {mov dword [DATA + 2], 0x87654321}, {lgdt [DATA]}, \
		{o32 sgdt [DATA + 8]}, {mov eax, [DATA + 10]}, {mov ebx, [DATA + 8]}, {o32 lgdt [DATA + 16]}
	T	"MOV from and to CR0", {mov eax, cr0}, {xor eax, 0x40000000 ^ 0x40000000}, {mov cr0, eax}, {and eax, 0x80000001}
	T	"PG without PE", IF_LIMITS, {mov eax, cr0}, {or eax, 0x80000000}, {mov cr0, eax}
	T	"MOV from and to CR2, CR3, CR4", {mov eax, 0x1234}, {mov cr2, eax}, {mov ebx, cr2}, {mov ecx, cr3}, {mov cr3, ecx}, \
		{mov edx, cr4}, {mov cr4, edx}, {xor edx, edx}
	T	"MOV from CR1", {db 0x0f, 0x20, 0xc8}
	T	"reserved bits of CR4", IF_LIMITS, {mov eax, 0x80000000}, {mov cr4, eax}
	T	"LLDT", {lldt ax}
	T	"LTR", {ltr ax}
	T	"SLDT", {sldt ax}
	T	"STR", {str ax}
	T	"VERR", {verr ax}
	T	"VERW", {verw ax}
	T	"LAR", {lar ax, bx}
	T	"LSL", {lsl ax, bx}
	T	"ARPL", {arpl ax, bx}
	T	"SYSENTER", {sysenter}
	T	"SYSEXIT", {sysexit}
	T	"RDMSR of what is not there", {mov ecx, 0x4fffffff}, {rdmsr}
	T	"RDMSR and WRMSR", {mov ecx, 0x174}, {xor eax, eax}, {xor edx, edx}, {wrmsr}, {rdmsr}
	T	"WRMSR of an address that is not canonical", {mov ecx, 0x176}, {xor eax, eax}, {mov edx, 0x80000000}, {wrmsr}
	T	"CPUID", {xor eax, eax}, {cpuid}
	T	"RDTSC", {rdtsc}, {xor eax, eax}, {xor edx, edx}
	T	"INVLPG, INVD, WBINVD", {invlpg [bx]}, {wbinvd}, {invd}
	T	"IN and OUT", {mov dx, 0x80}, {mov al, 0x5a}, {out dx, al}, {out 0x80, al}, {in al, 0x21}, {mov ah, al}, {mov dx, 0xa1}, \
		{in al, dx}
	T	"INS and OUTS", {mov dx, 0x21}, {mov di, DATA + 3}, {insb}, {mov dx, 0x80}, {mov si, DATA}, {mov cx, 3}, {rep outsb}
	T	"NOP, PAUSE, multi-byte NOP", {nop}, {pause}, {db 0x0f, 0x1f, 0x40, 0x00}, {xchg ax, ax}
	T	"x87", {fninit}, {fld1}, {fadd st0, st0}, {fistp word [DATA + 2]}, {fnstcw [DATA]}, {fnstsw ax}
	T	"FWAIT and FNSAVE", {fninit}, {fwait}, {fld1}, {fst dword [DATA + 4]}, {fstp qword [DATA + 8]}
	call	measure
leave_real:
	o32 lgdt [AT(gdt16)]
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	jmp	dword SEL_CODE:back
align 4
gdt16:	dw gdt_pointer - gdt - 1
	dd gdt

; --- switches of the mode -------------------------------------------------------------------

switch_tests:
	xor	eax, eax
	mov	[NOTE(18)], eax
	; set and cleared without a jump
	o32 lgdt [AT(gdt16)]
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	mov	cx, 0x10
	inc	cx
	mov	[NOTE(0)], cx
	and	al, 0xfe
	mov	cr0, eax
	mov	ax, cs
	mov	[NOTE(2)], ax
	; code before the jump
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	push	word 0x1234
	call	.sub
	pop	ax
	mov	si, NOTE(1)
	mov	di, NOTE(1)
	cld
	stosw
	mov	word [NOTE(4)], 0
	push	word 0xabcd
	jmp	SEL_CODE16:AT(.code16)
.sub:	nop
	ret
.code16:
	mov	[NOTE(3)], cs
	mov	ax, SEL_DATA16
	mov	ss, ax
	pop	word [NOTE(4)]
	mov	ax, SEL_DATA
	mov	gs, ax
	mov	ax, SEL_DATA16
	mov	ds, ax
	mov	es, ax
	mov	eax, cr0
	and	al, 0xfe
	mov	cr0, eax
	jmp	0:AT(.real)
.real:	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	; unreal mode: GS has 4 GiB, before and behind a load
	mov	eax, [gs:dword APIC + 0x30]
	xor	ax, ax
	mov	gs, ax
	mov	eax, [gs:dword APIC + 0x30]
	mov	[NOTE(5)], eax
	mov	dword [gs:dword APIC + 0x80], 0x60
	mov	eax, [gs:dword APIC + 0x80]
	mov	[NOTE(6)], eax
	mov	dword [gs:dword APIC + 0x80], 0
	mov	esi, APIC + 0x30
	mov	edi, NOTE(7)
	gs a32 movsd
	mov	word [DATA], 0x5a5a
	mov	ax, DATA >> 4
	mov	gs, ax
	mov	ax, [gs:0]
	mov	[NOTE(8)], ax
	; paging and protection at once
	mov	ax, PAGES >> 4
	mov	es, ax
	xor	di, di
	mov	eax, 0x83
	mov	cx, 1024
.pages:	stosd
	add	eax, 0x400000
	loop	.pages
	mov	dword [es:4], 0x83	; 4 MiB again at 4 MiB
	xor	ax, ax
	mov	es, ax
	mov	eax, cr4
	or	al, 0x10
	mov	cr4, eax
	mov	eax, PAGES
	mov	cr3, eax
	mov	byte [DATA + 1], 0x77
	mov	ecx, cr0
	mov	eax, ecx
	or	eax, 0x80000001
	mov	cr0, eax
	mov	ax, SEL_DATA
	mov	gs, ax
	mov	al, [gs:dword 0x400000 + DATA + 1]
	movzx	eax, al
	mov	[NOTE(10)], eax
	mov	eax, cr0
	and	eax, 0x80000001
	mov	[NOTE(9)], eax
	mov	eax, cr0
	and	eax, 0x7fffffff
	mov	cr0, eax
	and	al, 0xfe
	mov	cr0, eax
	and	eax, 0x80000001
	mov	[NOTE(11)], eax
	mov	eax, cr4
	and	al, 0xef
	mov	cr4, eax
	; LMSW
	smsw	ax
	or	al, 1
	lmsw	ax
	smsw	ax
	and	ax, 1
	mov	[NOTE(12)], ax
	xor	ax, ax
	lmsw	ax
	smsw	ax
	and	ax, 1
	mov	[NOTE(13)], ax
	mov	ax, SEL_DATA16
	mov	gs, ax
	mov	word [DATA], 0x5a5a
	mov	ax, [gs:DATA]
	mov	[NOTE(14)], ax
	mov	eax, cr0
	and	al, 0xfe
	mov	cr0, eax
	jmp	0:AT(.again)
.again:	xor	ax, ax
	mov	gs, ax
	; a small limit stays too
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	mov	ax, SEL_APIC
	mov	es, ax
	and	eax, 0xffff
	mov	eax, cr0
	and	al, 0xfe
	mov	cr0, eax
	xor	ax, ax
	mov	es, ax
	mov	word [VECTOR], 0
	mov	word [RESUME], AT(.beyond)
	mov	al, [es:0x1000]
.beyond:
	mov	sp, STACK16
	xor	eax, eax
	mov	al, [VECTOR]
	mov	[NOTE(15)], eax
	xor	eax, eax
	cmp	byte [LIMITS], 0
	je	.limits
	mov	al, 13
.limits:
	mov	[NOTE(16)], eax
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	mov	ax, SEL_DATA16
	mov	es, ax
	mov	eax, cr0
	and	al, 0xfe
	mov	cr0, eax
	xor	ax, ax
	mov	es, ax
	call	timer
	call	nmis
	jmp	near leave_real

; The PIC's timer at vector 0x70, then at 8.
timer:	mov	dword [0x70 * 4], AT(on_tick)
	mov	al, 0x70
	call	set_pic
	mov	al, 0x34
	out	0x43, al
	mov	al, 0
	out	0x40, al
	mov	al, 0x10
	out	0x40, al
	mov	dword [NOTE(17)], 0
	sti
.halt:	hlt
	cmp	dword [NOTE(17)], 5
	jb	.halt
	cli
	mov	eax, [NOTE(17)]
	mov	[NOTE(20)], eax
	mov	al, 0x0a		; until one waits
	out	0x20, al
.wait:	in	al, 0x20
	test	al, 1
	jz	.wait
	mov	eax, [NOTE(17)]
	sub	[NOTE(20)], eax
	mov	dx, 0
	mov	bx, AT(.shadow)
	sti
	mov	dx, 1
.shadow:
	nop
	cli
	mov	eax, [NOTE(17)]
	sti
.spin:	cmp	eax, [NOTE(17)]
	je	.spin
	cli
	mov	dword [NOTE(19)], 1
	mov	dword [8 * 4], AT(on_tick8)
	mov	al, 8
	call	set_pic
	mov	dword [NOTE(21)], 0
	sti
.eight:	hlt
	cmp	dword [NOTE(21)], 2
	jb	.eight
	cli
	mov	al, 0xff
	out	0x21, al
	mov	dword [NOTE(21)], 2
	mov	dword [8 * 4], AT(vectors + 8 * 8)
	ret

; NMIs that it sends itself: the second, out of the handler, waits for the IRET.
nmis:	mov	dword [2 * 4], AT(on_nmi)
	xor	eax, eax
	mov	[NOTE(22)], eax
	mov	[NOTE(23)], eax
	call	send_nmi
.wait:	cmp	dword [NOTE(22)], 2
	jb	.wait
	ret
send_nmi:
	mov	eax, [gs:dword APIC + 0x20]
	mov	[gs:dword APIC + 0x310], eax
	mov	dword [gs:dword APIC + 0x300], 0x4400
	ret
on_nmi:	inc	dword [cs:NOTE(22)]
	cmp	dword [cs:NOTE(22)], 1
	jne	.done
	pushad
	call	send_nmi
	mov	cx, 100
.wait:	loop	.wait
	mov	eax, [cs:NOTE(22)]
	mov	[cs:NOTE(23)], eax
	popad
.done:	iret

; AL: vector of the first controller
set_pic:
	mov	ah, al
	mov	al, 0x11
	out	0x20, al
	mov	al, ah
	out	0x21, al
	mov	al, 4
	out	0x21, al
	mov	al, 1
	out	0x21, al
	mov	al, 0xfe
	out	0x21, al
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	mov	ax, SEL_DATA
	mov	gs, ax
	mov	eax, cr0
	and	al, 0xfe
	mov	cr0, eax
	xor	ax, ax
	mov	gs, ax
	mov	dword [gs:dword APIC + 0xf0], 0x1ff
	mov	dword [gs:dword APIC + 0x350], 0x700
	ret

on_tick:
	push	ax
	inc	dword [cs:NOTE(17)]
	push	bp
	mov	bp, sp
	cmp	[bp + 4], bx		; behind STI and the instruction behind it?
	jne	.other
	mov	[cs:NOTE(18)], dl
.other:	pop	bp
	mov	al, 0x20
	out	0x20, al
	pop	ax
	iret
on_tick8:
	push	ax
	inc	dword [cs:NOTE(21)]
	mov	al, 0x20
	out	0x20, al
	pop	ax
	iret

; --- costs -----------------------------------------------------------------------------------

; COST name, instruction...: ticks of 256 times, divided by that; the LOOP is part of it. Not at the end of a page, where fetches take two
%assign costs_made 0
%macro COST 2-*
	[section .strings]
%%name:	db %1, 0
	[section .costs]
	dd %%name
	__SECT__
cost_ %+ costs_made:
	mov	word [RESUME], AT(.none)
.none:	mov	bp, 256
	rdtsc
	mov	[COSTS + 4 * costs_made], eax
	jmp	near .again
	times (128 - (($ - $$) & 127)) & 127 nop
.again:
	%rep %0 - 1
	%rotate 1
	%1
	%endrep
	dec	bp
	jnz	near .again
	rdtsc
	sub	eax, [COSTS + 4 * costs_made]
	shr	eax, 8
	mov	[COSTS + 4 * costs_made], eax
	%assign costs_made costs_made + 1
%endmacro
measure:
	COST	"nothing but DEC and JNZ", {nop}
	COST	"ten MOVs", {mov ax, bx}, {mov ax, bx}, {mov ax, bx}, {mov ax, bx}, {mov ax, bx}, {mov ax, bx}, {mov ax, bx}, \
		{mov ax, bx}, {mov ax, bx}, {mov ax, bx}
	COST	"ten ADDs to memory", {add [DATA], bx}, {add [DATA], bx}, {add [DATA], bx}, {add [DATA], bx}, {add [DATA], bx}, \
		{add [DATA], bx}, {add [DATA], bx}, {add [DATA], bx}, {add [DATA], bx}, {add [DATA], bx}
	COST	"CLI", {cli}
	COST	"PUSHF and POPF", {pushf}, {popf}
	COST	"INT and IRET", {int 0x62}
	COST	"OUT", {out 0x80, al}
	COST	"PUSH and POP", {push ax}, {pop ax}
	COST	"REP MOVSB of 64 bytes", {mov si, DATA}, {mov di, DATA + 64}, {mov cx, 64}, {rep movsb}
	COST	"REP STOSW of 64 words", {mov di, DATA}, {mov cx, 64}, {rep stosw}
	COST	"STOSW and LODSW", {mov si, DATA}, {mov di, DATA}, {stosw}, {lodsw}
	sub	sp, 64	; all in one page
	COST	"PUSHA and POPA", {pusha}, {popa}
	COST	"ENTER with 4 levels and LEAVE", {mov cx, bp}, {mov bp, sp}, {sub sp, 16}, {enter 2, 4}, {leave}, {add sp, 16}, {mov bp, cx}
	COST	"LIDT", {lidt [AT(idt16)]}
	COST	"MOV from CR0", {mov eax, cr0}
	COST	"CPUID", {cpuid}
	add	sp, 64
	ret
idt16:	dw 0x3ff, 0, 0
on_nothing:
	iret
real_end:
bits 32
[section .names]
names_end:
[section .costs]
costs_end:
section .text
