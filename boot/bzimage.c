/* SPDX-License-Identifier: BSD-2-Clause */
/* The bzImage check; see bzimage.h. */
#include "boot/bzimage.h"
#include "boot/bytes.h"

#define SECTOR 512u
#define SETUP_SECTS_DEFAULT 4u
#define HEADER_MAGIC 0x53726448u /* "HdrS" */
#define BOOT_FLAG 0xaa55u
#define PROTOCOL_MIN 0x020au /* 2.10: pref_address, init_size */
#define PROTOCOL_XLOADFLAGS 0x020cu
#define LOADFLAG_LOADED_HIGH 0x01u
#define XLF_KERNEL_64 0x0001u
#define XLF_CAN_BE_LOADED_ABOVE_4G 0x0002u
#define PAGE 4096u
#define PARAGRAPH 16u
#define MEMORY_LIMIT (1ull << 46)

/* Offsets in the file, "Details of Header Fields" */
enum {
	SETUP_SECTS = 0x1f1,
	SYSSIZE = 0x1f4,
	BOOT_FLAG_AT = 0x1fe,
	JUMP = 0x200,
	HEADER = 0x202,
	VERSION = 0x206,
	LOADFLAGS = 0x211,
	INITRD_ADDR_MAX = 0x22c,
	KERNEL_ALIGNMENT = 0x230,
	RELOCATABLE_KERNEL = 0x234,
	XLOADFLAGS = 0x236,
	CMDLINE_SIZE = 0x238,
	PREF_ADDRESS = 0x258,
	INIT_SIZE = 0x260,
	HEADER_NEEDED = 0x264,
};

/* Reads the fields; everything is inside the probe, which holds HEADER_NEEDED bytes. */
static void read_fields(struct bzimage *image, const uint8_t *p)
{
	uint32_t sectors = p[SETUP_SECTS] ? p[SETUP_SECTS] : SETUP_SECTS_DEFAULT;

	image->protocol = (uint16_t)bytes_get(p + VERSION, 2);
	image->header_end = HEADER + p[JUMP + 1];
	image->payload_offset = (uint64_t)(sectors + 1) * SECTOR;
	image->payload_size = bytes_get(p + SYSSIZE, 4) * PARAGRAPH;
	image->init_size = (bytes_get(p + INIT_SIZE, 4) + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	image->pref_address = bytes_get(p + PREF_ADDRESS, 8);
	image->alignment = bytes_get(p + KERNEL_ALIGNMENT, 4);
	image->initrd_max = bytes_get(p + INITRD_ADDR_MAX, 4);
	image->cmdline_max = (uint32_t)bytes_get(p + CMDLINE_SIZE, 4);
	image->relocatable = p[RELOCATABLE_KERNEL];
	image->entry_64 = image->above_4g = false;
	if (image->protocol >= PROTOCOL_XLOADFLAGS) {
		uint64_t flags = bytes_get(p + XLOADFLAGS, 2);

		image->entry_64 = flags & XLF_KERNEL_64;
		image->above_4g = image->entry_64 && flags & XLF_CAN_BE_LOADED_ABOVE_4G;
	}
}

static bool is_bzimage(const uint8_t *p, size_t size)
{
	return size >= HEADER_NEEDED && bytes_get(p + BOOT_FLAG_AT, 2) == BOOT_FLAG &&
	       bytes_get(p + HEADER, 4) == HEADER_MAGIC;
}

/* The header contradicts itself: not something a kernel's build makes. */
static bool is_damaged(const struct bzimage *image)
{
	return image->header_end < HEADER_NEEDED || image->header_end > BZIMAGE_HEADER_LIMIT ||
	       image->payload_size <= BZIMAGE_ENTRY_64 || image->init_size < image->payload_size ||
	       image->alignment < PAGE || (image->alignment & (image->alignment - 1)) ||
	       image->pref_address % PAGE || image->pref_address > MEMORY_LIMIT;
}

bool bzimage_check(struct bzimage *image, const uint8_t *probe, size_t probe_size,
		   uint64_t file_size, const char *name, struct boot_error *error)
{
	if (!is_bzimage(probe, probe_size))
		return boot_error_set(error,
				      "%s is not a Linux kernel (no bzImage header);"
				      " give a bzImage in the line \"linux\"",
				      name);
	read_fields(image, probe);
	if (image->protocol < PROTOCOL_MIN)
		return boot_error_set(error,
				      "%s uses boot protocol %u.%u, and 2.10 is needed;"
				      " use Linux 2.6.31 or later",
				      name, image->protocol >> 8, image->protocol & 0xffu);
	if (!(probe[LOADFLAGS] & LOADFLAG_LOADED_HIGH))
		return boot_error_set(error,
				      "%s is a zImage, which runs below 1 MiB;"
				      " use a bzImage",
				      name);
	/* The size is given in paragraphs, rounded up: the last may be a part of one in the file. */
	if (file_size > image->payload_offset &&
	    image->payload_size - PARAGRAPH < file_size - image->payload_offset &&
	    image->payload_size > file_size - image->payload_offset)
		image->payload_size = file_size - image->payload_offset;
	if (is_damaged(image))
		return boot_error_set(error, "%s has a damaged header; copy the kernel again", name);
	if (file_size < image->payload_offset + image->payload_size)
		return boot_error_set(
			error,
			"%s is cut off: it has %llu bytes and its header"
			" asks for %llu; copy the kernel again",
			name, (unsigned long long)file_size,
			(unsigned long long)(image->payload_offset + image->payload_size));
	return true;
}
