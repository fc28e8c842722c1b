/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's ELF file and its two blocks of memory:
 *
 *   HV_IMAGE  | load segments | boot_info | ranges | page tables | handoff | stack | heap |
 *   HV_POOL   | 2 MiB aligned, one block                                                  |
 *
 * Both are hidden from the guest, in mode bare too. HV_IMAGE is as high as possible below
 * 4 GiB: the handoff to a 32-bit guest runs there, and the core's heap holds what the
 * processor finds by 32-bit addresses. The pool may lie anywhere (boot/plan.h). Hidden as well is
 * the start-up page, one of kind HV_IMAGE below 576 KiB, where a processor that is woken begins, and the guest's symbols, if there are any.
 */
#ifndef BOOT_CORE_H
#define BOOT_CORE_H

#include "boot/handoff.h"
#include "boot/memory.h"
#include "boot/page_tables.h"
#include "boot/ranges.h"

#define CORE_HIDDEN 4

struct hv_memory {
	uint64_t reserve_base, reserve_size; /* HV_IMAGE */
	uint64_t pool_base, pool_size;       /* HV_POOL */
	uint64_t image_size;                 /* the load segments, from reserve_base on */
	uint64_t entry;                      /* virtual address of core_entry */
	struct boot_info *info;
	struct boot_range *ranges;
	uint32_t ranges_max;
	uint64_t tables, table_pages;
	struct handoff_page *handoff;
	uint64_t stack_top;
	uint64_t heap;                       /* BOOT_HEAP_BYTES */
	struct physical physical;            /* what the tables map */
	uint64_t startup_page;               /* 0: none was free */
	uint64_t symbols_base, symbols_size; /* boot/symbols.h; size 0: none */
	uint32_t hidden_count;
	struct map_hidden hidden[CORE_HIDDEN];
};

/* Sizes and the ELF file checked; nothing allocated yet. pool_bytes 0: the default. */
bool core_plan(struct hv_memory *hv, uint64_t pool_bytes, const struct firmware_map *fw,
	       const struct physical *physical, struct boot_error *error);

/* Claims both blocks, and the start-up page if it can be had. */
bool core_reserve(struct hv_memory *hv, struct boot_error *error);

/* Claims a block for the guest's symbols, behind core_reserve(); NULL: there is none. */
void *core_reserve_symbols(struct hv_memory *hv, uint64_t bytes);

/* Copies the segments in and builds the first page tables. Returns CR3. */
uint64_t core_load(struct hv_memory *hv);

#endif
