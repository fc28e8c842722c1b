/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest, whatever its image's format: main.c goes through struct guest_format
 * from top to bottom, linux.c and multiboot_guest.c each fill one. Their own
 * structures begin with struct guest. guest.c is what both of them use.
 */
#ifndef BOOT_GUEST_H
#define BOOT_GUEST_H

#include "boot/entry.h"
#include "boot/file.h"
#include "boot/handoff.h"
#include "boot/linux_params.h"
#include "boot/memory.h"
#include "boot/page_tables.h"
#include "boot/ranges.h"

struct guest {
	const struct guest_format *format;
	const struct boot_entry *entry;
	struct boot_file kernel_file;
	uint64_t descriptor_page; /* in guest RAM: GDT at its start, stack at its end */
	void *efi_map;            /* in guest RAM: its EFI memory map */
	uint32_t efi_map_max;     /* descriptors */
};

/* What a guest's place and screen are chosen by. */
struct guest_machine {
	const struct firmware_map *fw;
	struct physical physical; /* what the guest's page tables map, without pages that CPUID may hide */
	struct linux_screen_info screen;
};

/* The maps of one try to leave the firmware. */
struct guest_maps {
	const struct firmware_map *fw;
	const struct boot_range *ranges; /* map_build()'s */
	uint32_t range_count;
	const struct map_hidden *hidden;
	uint32_t hidden_count;
};

struct guest_format {
	/* Opens and checks all files of the entry. */
	bool (*open)(struct guest *guest, struct boot_volume *volume, struct boot_error *error);

	/* Closes whatever open() opened. */
	void (*close)(struct guest *guest);

	/* Bytes of guest RAM that the guest's files need. */
	uint64_t (*bytes)(const struct guest *guest);

	/* Takes the fixed addresses that the image must have, before anything else is placed. */
	bool (*claim)(struct guest *guest, const struct boot_range *ranges, uint32_t count,
		      struct boot_error *error);

	/* Places and reads everything; says on the console where. */
	bool (*load)(struct guest *guest, const struct guest_machine *machine,
		     struct boot_error *error);

	/* What is to be copied at the handoff: at most HANDOFF_COPIES_MAX. Returns the number. */
	uint32_t (*copies)(const struct guest *guest, struct handoff_copy *copies);

	/* The processor's state at the guest's entry. */
	void (*state)(const struct guest *guest, struct boot_guest_state *state);

	/*
	 * Tells the guest its memory. No allocation: it runs between GetMemoryMap()
	 * and ExitBootServices().
	 */
	bool (*set_maps)(struct guest *guest, const struct guest_maps *maps,
			 struct boot_error *error);
};

/*
 * For images that run at a fixed address: false, with the range in the error, if
 * [base, base + bytes) is not free once the firmware is left and the entry does
 * not say "force". Claims what is free of it now.
 */
bool guest_claim_fixed(const struct guest *guest, const struct boot_range *ranges, uint32_t count,
		       uint64_t base, uint64_t bytes, struct boot_error *error);

/* The GDT in the descriptor page: flat segments, code of 32 or 64 bits. */
void guest_fill_gdt(const struct guest *guest, bool code_64);

/* Stack, GDT and selectors of the processor's state. */
void guest_set_segments(const struct guest *guest, struct boot_guest_state *state);

/* Makes the EFI memory map; its size in bytes. False when efi_map_max is not enough. */
bool guest_make_efi_map(const struct guest *guest, const struct guest_maps *maps, uint32_t *bytes);

/* The error when a map outgrew its place; false. */
bool guest_map_grew(struct boot_error *error);

#endif
