/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text on the firmware's framebuffer: the log while there is no guest, and, in other colours, what must be read when there
 * is no serial line: panic and guest_stop. Between the two the screen is the guest's.
 */
#ifndef ARCH_X86_SCREEN_H
#define ARCH_X86_SCREEN_H

#include "boot/boot_info.h"

/* fb->base must be mapped in the direct map (memory_map_device). Size 0: no screen. */
void screen_init(const struct boot_framebuffer *fb);

/* The first byte clears the screen. */
void screen_put(char c);

/* The guest draws from now on: the next byte, if there is one, clears the screen and is of something fatal. */
void screen_release(void);

/* No more output: the framebuffer cannot be trusted. */
void screen_off(void);

#endif
