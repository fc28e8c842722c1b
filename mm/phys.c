/* SPDX-License-Identifier: BSD-2-Clause */
/* The offset between host-physical addresses and pointers; see mm/phys.h. */
#include "mm/phys.h"

u64 phys_map_offset;
