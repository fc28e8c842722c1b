/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's physical memory: the buddy allocator over everything usable,
 * the pool carved from it, the guest-physical regions, the hypervisor's own
 * page tables, and pages for the hypervisor's own structures.
 */
#ifndef ARCH_X86_MEMORY_H
#define ARCH_X86_MEMORY_H

#include "arch/x86/percpu.h"
#include "boot/boot_info.h"
#include "lib/types.h"
#include "mm/region.h"

/* Builds all of it from the boot information. Panics if the map makes no sense. */
void memory_init(const struct boot_info *info);

/* 1 << order zeroed, contiguous, hidden pages below 4 GiB; NULL when out of them. For start-up. */
void *memory_alloc(u32 order);

/* Gives pages of memory_alloc() back. */
void memory_free(void *pages, u32 order);

/* Maps device memory at its address in the direct map, uncached. 0 or -errno. */
MUST_CHECK int memory_map_device(hpa_t base, u64 size);

/*
 * bytes of the firmware's memory at base, for reading at start-up, or NULL: not in the boot map as memory, or the
 * hypervisor's own. What the firmware reserves is mapped on the way.
 */
const u8 *memory_of_firmware(u64 base, u32 bytes);

/*
 * The page of device registers at base exits from now on: mapped here, trapped there. Before there is a guest.
 * 0 or -errno: -EINVAL if memory is there.
 */
MUST_CHECK int memory_trap_device(hpa_t base);

/* A page of the image's data: executable and not writable from now on, or, as at the start, the reverse. */
void memory_set_executable(u8 *page, bool executable);

/* As memory_of_firmware(), to be changed: NULL for what the firmware reserves as well. */
u8 *memory_of_firmware_to_edit(u64 base, u32 bytes);

/*
 * Zeroed, contiguous, hidden pages, wherever the pool lies: from the front of the shadow engine's part, before
 * memory_shadow_pool() is asked for it. NULL: half of that would be gone.
 */
void *memory_take(u32 pages);

/* So many pages more for the tables below, from the same place. 0 or -ENOMEM. */
MUST_CHECK int memory_grow_tables(u32 pages);

/* What CPU id has of its own in the map: its stacks, with guard pages, and its window. 0 or -ENOMEM. */
MUST_CHECK int memory_map_cpu(u32 id);

/* The page at its own address, to be executed while a CPU turns paging on; or no longer. 0 or -errno. */
MUST_CHECK int memory_map_startup(hpa_t page, bool on);

/* Gives this CPU the hypervisor's control registers and page tables. */
void memory_enter_cpu(void);

/* The root of those tables, which is below 4 GiB, wherever the others are. */
u32 memory_root(void);

struct region_map *memory_regions(void);

/* The part of the pool left for the shadow engine. */
void memory_shadow_pool(hpa_t *base, u64 *bytes);

#endif
