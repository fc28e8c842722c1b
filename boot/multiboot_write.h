/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What both versions of the multiboot information are made of: the inputs, and
 * a block that is written from its start on.
 */
#ifndef BOOT_MULTIBOOT_WRITE_H
#define BOOT_MULTIBOOT_WRITE_H

#include "boot/linux_params.h"
#include "boot/multiboot_image.h"

#define MULTIBOOT_LOADER_NAME "Umbra"

struct multiboot_module {
	uint32_t start, end;
	const char *string;
};

struct multiboot_inputs {
	const struct multiboot_image *image;
	const char *cmdline;
	const struct multiboot_module *modules;
	uint32_t module_count;
	const struct e820_entry *e820; /* the guest's, sorted */
	uint32_t e820_count;
	const struct linux_screen_info *screen; /* no framebuffer: is_vga is zero */
	const uint8_t *rsdp;                    /* NULL: none */
	uint64_t efi_system_table;
	const void *efi_map; /* the guest's */
	uint32_t efi_map_bytes, efi_stride, efi_version;
	const uint8_t *file;   /* the kernel's file, */
	uint64_t file_address; /* which stays in memory there, for its symbols */
};

/* The block as it grows. full: something did not fit, and nothing is written any more. */
struct writer {
	uint8_t *out;
	uint32_t address, used, max;
	bool full;
};

/* A number of so many bytes, over what is written already or behind it. */
void write_at(struct writer *w, uint32_t at, uint64_t v, uint32_t bytes);
void write_number(struct writer *w, uint64_t v, uint32_t bytes);

void write_bytes(struct writer *w, const void *from, uint32_t bytes);
/* With its NUL. */
void write_string(struct writer *w, const char *s);
/* Up to a multiple. */
void write_zeros_to(struct writer *w, uint32_t multiple);

/* The kernel's address of what is written next. */
uint32_t write_address(const struct writer *w);

/* The kernel's section headers; those not loaded (symbols, strings) point into its file, which stays in memory. */
void write_sections(struct writer *w, const struct multiboot_inputs *in);

/* Position and size of each colour in the framebuffer's pixels. */
void write_colors(struct writer *w, const struct linux_screen_info *s);
uint64_t write_framebuffer_address(const struct linux_screen_info *s);
#define FRAMEBUFFER_RGB 1u

/* Linux's E820 has types that multiboot does not define. */
uint32_t write_map_type(uint32_t e820_type);

/* KiB of RAM from 0 up to the first hole, at most 640. */
uint32_t multiboot_mem_lower(const struct e820_entry *e820, uint32_t count);

/* KiB from 1 MiB up to the first hole that no segment of the image sits in. */
uint32_t multiboot_mem_upper(const struct e820_entry *e820, uint32_t count,
			     const struct multiboot_image *image);

#endif
