/* SPDX-License-Identifier: BSD-2-Clause */
/* How wide a physical address is: MAXPHYADDR without the bits that name an encryption key. */
#ifndef ARCH_X86_GUEST_PHYSBITS_H
#define ARCH_X86_GUEST_PHYSBITS_H

#include "lib/types.h"

struct physbits {
	u32 width; /* of what CPUID leaf 0x80000008 says */
	u32 keys;  /* the uppermost of these, which choose a key and no memory */
};

/* Of this processor, as the firmware has set it. */
struct physbits physbits_read(void);

/*
 * Width for the guest, its page tables and the map of its memory: no address that it can
 * name has a key bit, since those are reserved bits to it. Entries of the shadow have addresses of
 * that map alone, and none that is to fault by a reserved bit, so what the hardware itself takes for reserved is of no
 * concern: with TME-MK, bits from MAXPHYADDR on; with AMD's memory encryption also the bits between the reduced
 * width and MAXPHYADDR, but the C-bit.
 */
u32 physbits_usable(void);

#endif
