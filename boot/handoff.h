/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last instructions of boot/: what must lie at fixed addresses is copied
 * there, then into the hypervisor, or straight into the guest. They run from a
 * page of HV_IMAGE, which nothing is copied over:
 *
 *   | handoff_code | struct handoff | struct handoff_copy[] |
 */
#ifndef BOOT_HANDOFF_H
#define BOOT_HANDOFF_H

#include <stddef.h>
#include <stdint.h>

#define HANDOFF_COPIES_MAX 64
/* Of the page, for the code */
#define HANDOFF_CODE_BYTES 1024

/* bytes from one address to another, then zero bytes of zeros behind them. */
struct handoff_copy {
	uint64_t from, to, bytes, zero;
};
_Static_assert(sizeof(struct handoff_copy) == 32, "handoff.asm");

/* Addresses are physical; cr3 maps all of them, and this, at their own. */
struct handoff {
	uint64_t cr3, stack;
	uint64_t copies, copy_count;
	uint64_t core_entry; /* virtual; 0: start the guest */
	uint64_t info;       /* struct boot_info, for the core in rdi */
	uint64_t guest; /* struct boot_guest_state; the page must be below 4 GiB for a 32-bit one */
};
_Static_assert(sizeof(struct handoff) == 56, "handoff.asm");

struct handoff_page {
	uint8_t code[HANDOFF_CODE_BYTES];
	struct handoff handoff;
	struct handoff_copy copies[HANDOFF_COPIES_MAX];
};
_Static_assert(sizeof(struct handoff_page) <= 4096, "one page");

/* Position independent; to be copied to handoff_page.code. */
extern const char handoff_code[], handoff_code_end[];

/*
 * Turns interrupts off, takes cr3 and stack, and jumps to the copied code, which
 * enters the core with rdi = info, or loads the guest's GDT, an empty IDT and
 * everything else that the guest's state says.
 */
__attribute__((noreturn)) void handoff_start(const struct handoff *handoff, const void *code);

#endif
