/* SPDX-License-Identifier: BSD-2-Clause */
/* What is to be loaded of an ELF file, 32 or 64 bits, for x86. */
#ifndef BOOT_MULTIBOOT_ELF_H
#define BOOT_MULTIBOOT_ELF_H

#include "boot/multiboot_image.h"

/* Segments, entry and section headers; false with the file's error set. */
bool multiboot_read_elf(struct multiboot_image *image, const struct multiboot_file *k);

#endif
