/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a multiboot kernel is told: the information structure of version 1 with
 * what it points to, or the tags of version 2. Built into one block by a pure
 * function, again for each try to leave the firmware.
 */
#ifndef BOOT_MULTIBOOT_INFO_H
#define BOOT_MULTIBOOT_INFO_H

#include "boot/linux_params.h"
#include "boot/multiboot.h"

#define MULTIBOOT_LOADER_NAME "Umbra"

/* What the kernel finds in EAX. */
#define MULTIBOOT_MAGIC_1 0x2badb002u
#define MULTIBOOT_MAGIC_2 0x36d76289u

struct multiboot_module {
	uint32_t start, end;
	const char *string;
};

struct multiboot_inputs {
	const struct multiboot_image *image;
	const char *cmdline;
	const struct multiboot_module *modules;
	uint32_t module_count;
	const struct e820_entry *e820;           /* the guest's, sorted */
	uint32_t e820_count;
	const struct linux_screen_info *screen;  /* no framebuffer: is_vga is zero */
	const uint8_t *rsdp;                     /* NULL: none */
	uint64_t efi_system_table;
	const void *efi_map;                     /* the guest's */
	uint32_t efi_map_bytes, efi_stride, efi_version;
	const uint8_t *file;                     /* the kernel's file, */
	uint64_t file_address;                   /* which stays in memory there, for its symbols */
};

/*
 * Builds the block for address (8-byte aligned, below 4 GiB; out is where it can
 * be written). Returns its size; 0 if it needs more than max bytes.
 */
uint32_t multiboot_info_build(const struct multiboot_inputs *in, uint8_t *out, uint32_t address,
			      uint32_t max);

/* KiB of RAM from 0 up to the first hole, at most 640. */
uint32_t multiboot_mem_lower(const struct e820_entry *e820, uint32_t count);

/* KiB from 1 MiB up to the first hole that no segment of the image sits in. */
uint32_t multiboot_mem_upper(const struct e820_entry *e820, uint32_t count,
			     const struct multiboot_image *image);

#endif
