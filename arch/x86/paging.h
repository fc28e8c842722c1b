/* SPDX-License-Identifier: BSD-2-Clause */
/* What memory.c asks of this CPU; apart, so that the host tests can answer instead. */
#ifndef ARCH_X86_PAGING_H
#define ARCH_X86_PAGING_H

#include "lib/types.h"

/* Where the firmware left the local APIC. */
u64 paging_apic_page(void);

bool paging_has_1g(void);

/* Gives this CPU the hypervisor's page tables and control registers. */
void paging_enter(hpa_t root);

/* Drops this CPU's stale translations of the hypervisor's own addresses. */
void paging_flush(void);
void paging_flush_page(u64 va);

#endif
