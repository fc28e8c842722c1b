/* SPDX-License-Identifier: BSD-2-Clause */
/* The information of version 2, for multiboot_info.c. */
#ifndef BOOT_MULTIBOOT_INFO2_H
#define BOOT_MULTIBOOT_INFO2_H

#include "boot/multiboot_write.h"

void multiboot_info2(struct writer *w, const struct multiboot_inputs *in);

#endif
