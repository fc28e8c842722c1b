/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a Linux guest gets beside kernel and initrd, one block of guest RAM:
 *
 *   | boot_params | command line | GDT + stack | page tables | EFI map | E820 rest |
 */
#ifndef BOOT_LINUX_SETUP_H
#define BOOT_LINUX_SETUP_H

#include "boot/bzimage.h"
#include "boot/guest.h"

struct linux_guest {
	struct guest guest;
	struct boot_file initrd_files[ENTRY_MAX_INITRDS];
	struct bzimage image;
	uint64_t kernel_base; /* where it runs */
	uint64_t staging;     /* where it waits to be copied there; 0: it is there */
	uint64_t initrd_base, initrd_size;
	struct linux_boot_params *params;
	char *cmdline;
	uint64_t tables, table_pages;
	struct linux_setup_data *e820_rest;
	uint32_t e820_rest_max;
	uint64_t setup_data; /* behind e820_rest: linux_efi.h */
};

/* Places the block and divides it. */
bool linux_setup_place(struct linux_guest *self, const struct guest_machine *machine,
		       struct boot_error *error);

/* Fills boot_params but for the memory maps, command line, GDT and page tables. */
bool linux_setup_fill(struct linux_guest *self, const struct guest_machine *machine,
		      struct boot_error *error);

/* Enters the memory maps, made from the firmware's last one; allocates nothing. */
bool linux_setup_maps(struct linux_guest *self, const struct guest_maps *maps,
		      struct boot_error *error);

#endif
