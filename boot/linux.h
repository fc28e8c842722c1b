/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Linux guest by the 64-bit entry of the Linux x86 boot protocol, or by the
 * 32-bit one where the kernel has no other: opened and checked, loaded into guest
 * RAM, its boot_params finished with the last memory map. What the guest gets
 * beside kernel and initrd is one block of guest RAM:
 *
 *   | boot_params | command line | GDT + stack | page tables | EFI map | E820 rest |
 *
 * A kernel that is not relocatable is read into a place of its own and copied to
 * its address when the firmware is gone, since that may be using the memory there.
 */
#ifndef BOOT_LINUX_H
#define BOOT_LINUX_H

#include "boot/bzimage.h"
#include "boot/core.h"
#include "boot/entry.h"
#include "boot/file.h"
#include "boot/handoff.h"
#include "boot/linux_params.h"

struct linux_guest {
	const struct boot_entry *entry;
	struct boot_file kernel_file;
	struct boot_file initrd_files[ENTRY_MAX_INITRDS];
	struct bzimage image;
	uint64_t kernel_base;          /* where it runs */
	uint64_t staging;              /* where it waits to be copied there; 0: it is there */
	uint64_t initrd_base, initrd_size;
	uint64_t block_base, block_size;
	struct linux_boot_params *params;
	char *cmdline;
	uint64_t descriptor_page;      /* GDT at its start, stack at its end */
	uint64_t tables, table_pages;
	void *efi_map;
	uint32_t efi_map_max;
	struct linux_setup_data *e820_rest;
	uint32_t e820_rest_max;
};

/* Opens kernel and initrds, checks the header and the command line; allocates nothing. */
bool linux_open(struct linux_guest *guest, struct boot_volume *volume,
		const struct boot_entry *entry, struct boot_error *error);

/*
 * Sees that a kernel which is not relocatable can have its address, and keeps
 * other blocks out of it: before anything else is placed.
 */
bool linux_claim(struct linux_guest *guest, const struct boot_range *ranges, uint32_t count,
		 struct boot_error *error);

/* Closes whatever linux_open() opened. */
void linux_close(struct linux_guest *guest);

/* Bytes of guest RAM that linux_load() will need. */
uint64_t linux_bytes(const struct linux_guest *guest);

/* Places and reads kernel and initrds, fills boot_params but for the memory maps. */
bool linux_load(struct linux_guest *guest, const struct firmware_map *fw, uint64_t extent,
		const struct linux_screen_info *screen, struct boot_error *error);

/* What is to be copied at the handoff: returns the number written to copies (0 or 1). */
uint32_t linux_copies(const struct linux_guest *guest, struct handoff_copy *copies);

/*
 * Enters the memory maps, made from the firmware's last one. No allocation: it
 * runs between GetMemoryMap() and ExitBootServices().
 */
bool linux_set_maps(struct linux_guest *guest, const struct boot_range *ranges, uint32_t count,
		    const struct firmware_map *fw, const struct map_hole *holes,
		    uint32_t hole_count, struct boot_error *error);

/* The processor's state at the kernel's entry. */
void linux_state(const struct linux_guest *guest, struct boot_guest_state *state);

#endif
