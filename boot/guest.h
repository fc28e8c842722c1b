/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest, whatever its image's format: main.c calls these in their order,
 * and they call linux_*() or multiboot_*().
 */
#ifndef BOOT_GUEST_H
#define BOOT_GUEST_H

#include "boot/linux.h"
#include "boot/multiboot_guest.h"

struct guest {
	bool multiboot;
	union {
		struct linux_guest linux_guest;
		struct multiboot_guest multiboot_guest;
	};
};

/* Opens and checks all files of the entry. */
bool guest_open(struct guest *guest, struct boot_volume *volume, const struct boot_entry *entry,
		struct boot_error *error);

/* Closes whatever guest_open() opened. */
void guest_close(struct guest *guest);

/* Bytes of guest RAM that the guest's files need. */
uint64_t guest_bytes(const struct guest *guest);

/* Takes the fixed addresses that the image must have, before anything else is placed. */
bool guest_claim(struct guest *guest, const struct firmware_map *fw, struct boot_error *error);

/* Places and reads everything; says on the console where. */
bool guest_load(struct guest *guest, const struct firmware_map *fw, uint64_t extent,
		const struct linux_screen_info *screen, struct boot_error *error);

/* Tells the guest its memory, by the firmware's last map. Allocates nothing. */
bool guest_set_maps(struct guest *guest, const struct boot_range *ranges, uint32_t count,
		    const struct firmware_map *fw, const struct map_hole *holes,
		    uint32_t hole_count, struct boot_error *error);

/* What is to be copied at the handoff: at most HANDOFF_COPIES_MAX. Returns the number. */
uint32_t guest_copies(const struct guest *guest, struct handoff_copy *copies);

/* The processor's state at the guest's entry. */
void guest_state(const struct guest *guest, struct boot_guest_state *state);

/*
 * For images that run at a fixed address: false, with the range in the error, if
 * [base, base + bytes) is not free once the firmware is left and the entry does
 * not say "force". Claims what is free of it now.
 */
bool guest_claim_fixed(const struct boot_entry *entry, const struct boot_range *ranges,
		       uint32_t count, uint64_t base, uint64_t bytes, struct boot_error *error);

/* The ACPI 2.0 root pointer if there is one, else that of ACPI 1.0, else 0. */
uint64_t guest_find_rsdp(void);

#endif
