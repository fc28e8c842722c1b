/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's other volumes that may have boot entries, and names for them. */
#ifndef BOOT_VOLUMES_H
#define BOOT_VOLUMES_H

#include "boot/uefi.h"

#define VOLUMES_MAX 32

struct other_volume {
	EFI_HANDLE device;
	uint32_t disk; /* 1 is the disk of the own volume; the others by the firmware's order */
	uint32_t partition; /* its number; 0: the volume is no partition */
};

struct other_volumes {
	struct other_volume volume[VOLUMES_MAX]; /* by disk, then by partition */
	uint32_t count;
};

/*
 * All volumes but the own one that the firmware can read and whose partition's
 * type is not that of something else. Has the firmware start the drivers of the
 * machine's storage controllers first: a fast boot starts only those it needs.
 */
void volumes_find(struct other_volumes *list, EFI_HANDLE own);

/* "disk 2, partition 1" */
void volumes_name(const struct other_volume *volume, char *name, size_t size);

#endif
