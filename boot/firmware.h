/* SPDX-License-Identifier: BSD-2-Clause */
/* What the firmware does beside booting: its set-up, restart, power-off; a variable of ours. */
#ifndef BOOT_FIRMWARE_H
#define BOOT_FIRMWARE_H

#include "boot/text.h"

/* Restarts into the firmware's set-up; comes back, with error set, where it offers none. */
void firmware_setup(struct boot_error *error);

/* Come back, with error set, where the firmware cannot. */
void firmware_restart(struct boot_error *error);
void firmware_power_off(struct boot_error *error);

/* Secure Boot is on; whether the firmware has it at all. */
bool firmware_secure_boot(bool *there);

/* The name of the entry that was booted last, "" if none was noted; and notes one. */
void firmware_read_saved(char *id, size_t size);
void firmware_save(const char *id);

#endif
