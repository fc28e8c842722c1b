/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernels by the Multiboot specifications, version 0.6.96 ("1") and 2.0: the
 * header found and read, and what is to be loaded where, from an ELF file of
 * either class or from the header's own address fields. Pure functions over the
 * file in memory. A file with both headers is taken by the newer one.
 */
#ifndef BOOT_MULTIBOOT_H
#define BOOT_MULTIBOOT_H

#include "boot/multiboot_image.h"

/*
 * Reads the kernel. name is used in the message. False with error set when there
 * is no header, when it asks for something that is not offered, or when file
 * and header contradict themselves.
 */
bool multiboot_parse(struct multiboot_image *image, const uint8_t *file, uint64_t size,
		     const char *name, struct boot_error *error);

#endif
