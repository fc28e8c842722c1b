/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between a MOV from CR3 and the MOV to CR3 that belongs to it, operating systems
 * do little: nothing at all for a flush, an AND or OR for page-table isolation.
 * Done at once, that saves an exit.
 */
#ifndef ARCH_X86_GUEST_CR3_PAIR_H
#define ARCH_X86_GUEST_CR3_PAIR_H

#include "lib/types.h"

/*
 * 64-bit code behind a MOV from CR3 to register gpr: do only AND, OR, BTS and BTR with a
 * constant on all 64 bits of gpr, NOPs and short jumps forward lie between it and a MOV
 * to CR3 from gpr? Returns the offset behind that MOV, with the register's value and
 * the flags as they are there, or 0: it is not so. Reads room bytes of code at most.
 */
u32 cr3_pair_length(const u8 *code, u32 room, u32 gpr, u64 *value, u64 *flags);

#endif
