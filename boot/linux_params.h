/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of Linux's boot_params ("zero page") that a boot loader fills, with
 * the layout of Documentation/arch/x86/zero-page.rst and boot.rst.
 */
#ifndef BOOT_LINUX_PARAMS_H
#define BOOT_LINUX_PARAMS_H

#include "boot/guest_map.h"

#define LINUX_E820_MAX 128
#define LINUX_VIDEO_TYPE_EFI 0x70
#define LINUX_VIDEO_CAPABILITY_SKIP_QUIRKS (1u << 0) /* the values are the firmware's own */
#define LINUX_VIDEO_CAPABILITY_64BIT_BASE (1u << 1)
#define LINUX_EFI_SIGNATURE_64 0x34364c45u /* "EL64" */
#define LINUX_SETUP_E820_EXT 1u
#define LINUX_SETUP_PCI 3u
#define LINUX_LOADER_OTHER 0xffu
#define LINUX_SECURE_BOOT_OFF 2
#define LINUX_SECURE_BOOT_ON 3

struct linux_screen_info {
	uint8_t text_mode[15];
	uint8_t is_vga;
	uint16_t text_points;
	uint16_t lfb_width, lfb_height, lfb_depth;
	uint32_t lfb_base, lfb_size;
	uint16_t command_line_magic, command_line_offset;
	uint16_t lfb_line_length;
	uint8_t red_size, red_position, green_size, green_position;
	uint8_t blue_size, blue_position, reserved_size, reserved_position;
	uint16_t vesa_segment, vesa_offset;
	uint16_t pages, vesa_attributes;
	uint32_t capabilities;
	uint32_t ext_lfb_base;
	uint8_t reserved[2];
} __attribute__((packed));

struct linux_efi_info {
	uint32_t signature, systab, descriptor_size, descriptor_version;
	uint32_t map, map_size, systab_high, map_high;
} __attribute__((packed));

/* The setup header as far as a loader writes it; the rest is copied from the kernel. */
struct linux_setup_header {
	uint8_t from_kernel1[31]; /* 0x1f1 */
	uint8_t type_of_loader;   /* 0x210 */
	uint8_t loadflags;
	uint16_t setup_move_size;
	uint32_t code32_start;  /* 0x214 */
	uint32_t ramdisk_image; /* 0x218 */
	uint32_t ramdisk_size;
	uint32_t bootsect_kludge;
	uint16_t heap_end;
	uint8_t ext_loader_version, ext_loader_type;
	uint32_t cmdline;         /* 0x228 */
	uint8_t from_kernel2[36]; /* 0x22c */
	uint64_t setup_data;      /* 0x250 */
	uint8_t from_kernel3[56]; /* 0x258 */
} __attribute__((packed));

struct linux_boot_params {
	struct linux_screen_info screen; /* 0x000 */
	uint8_t gap1[0x70 - 0x40];
	uint64_t acpi_rsdp; /* 0x070 */
	uint8_t gap2[0xc0 - 0x78];
	uint32_t ext_ramdisk_image; /* 0x0c0 */
	uint32_t ext_ramdisk_size;
	uint32_t ext_cmdline; /* 0x0c8 */
	uint8_t gap3[0x1c0 - 0xcc];
	struct linux_efi_info efi; /* 0x1c0 */
	uint8_t gap4[0x1e8 - 0x1e0];
	uint8_t e820_count; /* 0x1e8 */
	uint8_t gap5[0x1ec - 0x1e9];
	uint8_t secure_boot; /* 0x1ec */
	uint8_t gap6[0x1f1 - 0x1ed];
	struct linux_setup_header header; /* 0x1f1 */
	uint8_t gap7[0x2d0 - 0x290];
	struct e820_entry e820[LINUX_E820_MAX]; /* 0x2d0 */
	uint8_t gap8[4096 - 0x2d0 - LINUX_E820_MAX * 20];
} __attribute__((packed));

_Static_assert(sizeof(struct linux_screen_info) == 64, "zero-page.rst");
_Static_assert(offsetof(struct linux_screen_info, is_vga) == 0x0f, "zero-page.rst");
_Static_assert(offsetof(struct linux_screen_info, lfb_base) == 0x18, "zero-page.rst");
_Static_assert(offsetof(struct linux_screen_info, lfb_line_length) == 0x24, "zero-page.rst");
_Static_assert(offsetof(struct linux_screen_info, pages) == 0x32, "zero-page.rst");
_Static_assert(offsetof(struct linux_screen_info, ext_lfb_base) == 0x3a, "zero-page.rst");
_Static_assert(sizeof(struct linux_efi_info) == 32, "zero-page.rst");
_Static_assert(offsetof(struct linux_setup_header, type_of_loader) == 0x210 - 0x1f1, "boot.rst");
_Static_assert(offsetof(struct linux_setup_header, cmdline) == 0x228 - 0x1f1, "boot.rst");
_Static_assert(offsetof(struct linux_setup_header, setup_data) == 0x250 - 0x1f1, "boot.rst");
_Static_assert(offsetof(struct linux_boot_params, acpi_rsdp) == 0x70, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, ext_ramdisk_image) == 0xc0, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, efi) == 0x1c0, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, e820_count) == 0x1e8, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, secure_boot) == 0x1ec, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, header) == 0x1f1, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, e820) == 0x2d0, "zero-page.rst");
_Static_assert(sizeof(struct linux_boot_params) == 4096, "zero-page.rst");

#endif
