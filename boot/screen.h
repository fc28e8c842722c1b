/* SPDX-License-Identifier: BSD-2-Clause */
/* The framebuffer that the firmware's Graphics Output Protocol shows. */
#ifndef BOOT_SCREEN_H
#define BOOT_SCREEN_H

#include "boot/linux_params.h"
#include "boot/uefi.h"

/*
 * Fills Linux's screen_info and, for 32-bit pixels with 8 bits a colour, the
 * hypervisor's description, if it can reach it. Both stay zero without a framebuffer.
 */
void screen_describe(struct linux_screen_info *screen, struct boot_framebuffer *framebuffer);

#endif
