; SPDX-License-Identifier: BSD-2-Clause
; The hypervisor's ELF file, carried inside the UEFI image. The build gives the
; path: nasm -DCORE_ELF='"path"'.
bits 64
default rel

global core_elf
global core_elf_end

section .data align=4096
core_elf:
	incbin CORE_ELF
core_elf_end:

section .note.GNU-stack noalloc noexec nowrite progbits
