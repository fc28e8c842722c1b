/* SPDX-License-Identifier: BSD-2-Clause */
/* The smallest program: ends at once. What the process workloads execute. */
asm(".globl _start\n"
    "_start:\n"
    "	xor %edi, %edi\n"
    "	mov $60, %eax\n" /* exit */
    "	syscall\n");
