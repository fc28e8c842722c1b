/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Symbols of the guest's kernel (key "symbols" of the boot entry), and where the kernel lies now: it may have moved itself (KASLR). That is
 * found by what the guest has told the processor: SYSCALL's entry (LSTAR) and handlers in the IDT, compared with the symbols that have
 * to be there; two have to agree. Whatever the guest puts there makes names wrong at most.
 */
#ifndef DEBUG_NAMES_H
#define DEBUG_NAMES_H

#include "arch/x86/guest/vcpu.h"
#include "boot/boot_info.h"
#include "lib/symbol_map.h"

#define NAMES_TEXT 96u

/* Once, before the guest runs. */
void names_init(const struct boot_info *info);

/* How many there are; 0: none, and no function below finds any. */
u32 names_count(void);

/* Looks where the kernel is; on the processor of vcpu, without a lock. True: that is known now. */
bool names_locate(struct vcpu *vcpu);

/* The same in a session, with a line on the console if it is another place than before. */
void names_refresh(struct vcpu *vcpu);

/* One line on the console: how many, from where. */
void names_tell(void);

/* "before" and "name+0x12", or "" if no symbol is less than 1 MiB below the address. Returns out. */
const char *names_describe(u64 address, const char *before, char out[NAMES_TEXT]);

/* The address of the symbol of that name, where it is now; false: there is none, or nobody knows where the kernel is. */
bool names_find(const char *name, u32 length, u64 *value);

/* What the symbol at or below the address is of; NAMES_NONE: names_describe() has none. */
enum names_kind { NAMES_NONE, NAMES_CODE, NAMES_OTHER };
enum names_kind names_kind_at(u64 address);

#endif
