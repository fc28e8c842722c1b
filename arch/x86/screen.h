/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text on the firmware's framebuffer, for what must be read when there is no
 * serial line: panic and guest_stop. It stays silent until the first byte, so
 * the guest's screen is left alone.
 */
#ifndef ARCH_X86_SCREEN_H
#define ARCH_X86_SCREEN_H

#include "boot/boot_info.h"

/* fb->base must be mapped in the direct map (memory_map_device). Size 0: no screen. */
void screen_init(const struct boot_framebuffer *fb);

void screen_put(char c);

/* No more output: the framebuffer cannot be trusted. */
void screen_off(void);

#endif
