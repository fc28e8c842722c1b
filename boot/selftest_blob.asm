; SPDX-License-Identifier: BSD-2-Clause
; The self-test's guest image, carried inside the UEFI image. The build gives the
; path: nasm -DSELFTEST='"path"'.
bits 64
default rel

global selftest_image
global selftest_image_end

section .data align=4096
selftest_image:
	incbin SELFTEST
selftest_image_end:

section .note.GNU-stack noalloc noexec nowrite progbits
