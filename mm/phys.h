/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one place that turns a host-physical address into a pointer. The offset
 * is set once at start: DIRECT_MAP_BASE on the machine, wherever the arena was
 * mapped in the host tests (never 0, so mixing the two crashes there).
 */
#ifndef MM_PHYS_H
#define MM_PHYS_H

#include "lib/types.h"

extern u64 phys_map_offset;

static inline void *phys_to_virt(hpa_t a)
{
	return (void *)(uintptr_t)(a.v + phys_map_offset);
}
static inline hpa_t virt_to_phys(const void *p)
{
	return hpa((u64)(uintptr_t)p - phys_map_offset);
}

#endif
