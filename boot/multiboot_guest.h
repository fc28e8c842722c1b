/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A multiboot guest. The kernel's file stays in memory as it is; its segments
 * are copied out of it at the handoff, to addresses that the firmware may be
 * using until then. Modules are loaded whole, at page boundaries. The rest is
 * one block of guest RAM:
 *
 *   | GDT + stack | EFI map | E820 | information |
 */
#ifndef BOOT_MULTIBOOT_GUEST_H
#define BOOT_MULTIBOOT_GUEST_H

#include "boot/core.h"
#include "boot/entry.h"
#include "boot/file.h"
#include "boot/handoff.h"
#include "boot/multiboot_info.h"

struct multiboot_guest {
	const struct boot_entry *entry;
	struct boot_file kernel_file, module_files[ENTRY_MAX_MODULES];
	struct multiboot_image image;
	struct multiboot_module modules[ENTRY_MAX_MODULES];
	uint8_t *file;                 /* the kernel's */
	struct linux_screen_info screen;
	uint64_t block_base, block_size;
	uint64_t descriptor_page;      /* GDT at its start, stack at its end */
	void *efi_map;
	uint32_t efi_map_max;
	struct e820_entry *e820;
	uint32_t e820_max;
	uint8_t *info;
	uint32_t info_max;
};

/* The counterparts of linux_*(), see linux.h; open reads the kernel's file into memory. */
bool multiboot_open(struct multiboot_guest *guest, struct boot_volume *volume,
		    const struct boot_entry *entry, struct boot_error *error);
void multiboot_close(struct multiboot_guest *guest);
uint64_t multiboot_bytes(const struct multiboot_guest *guest);
bool multiboot_claim(struct multiboot_guest *guest, const struct boot_range *ranges,
		     uint32_t count, struct boot_error *error);
bool multiboot_load(struct multiboot_guest *guest, const struct firmware_map *fw,
		    const struct linux_screen_info *screen, struct boot_error *error);
bool multiboot_set_maps(struct multiboot_guest *guest, const struct boot_range *ranges,
			uint32_t count, const struct firmware_map *fw,
			const struct map_hole *holes, uint32_t hole_count,
			struct boot_error *error);
/* Writes a copy per segment: at most MULTIBOOT_SEGMENTS_MAX. */
uint32_t multiboot_copies(const struct multiboot_guest *guest, struct handoff_copy *copies);
void multiboot_state(const struct multiboot_guest *guest, struct boot_guest_state *state);

#endif
