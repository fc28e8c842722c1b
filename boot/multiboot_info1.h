/* SPDX-License-Identifier: BSD-2-Clause */
/* The information of version 1, for multiboot_info.c. */
#ifndef BOOT_MULTIBOOT_INFO1_H
#define BOOT_MULTIBOOT_INFO1_H

#include "boot/multiboot_write.h"

void multiboot_info1(struct writer *w, const struct multiboot_inputs *in);

#endif
