/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The entries of all volumes: which partitions are looked at, the menu's order,
 * what is booted without a word of the user's. Pure functions.
 *
 * The volume that Umbra was started from (number 0) comes first and decides; the
 * others follow it, volume by volume, and each is ordered by the specification.
 */
#ifndef BOOT_ENTRY_LIST_H
#define BOOT_ENTRY_LIST_H

#include "boot/entry.h"

#define ENTRY_LIST_MAX 64
#define ENTRY_LIST_OWN_VOLUME 0u
#define PARTITION_TYPE_BYTES 16

/* Seconds in which the user can stop the self-test, where it is the only entry. */
#define ENTRY_LIST_SECONDS 5u

/* What the firmware knows of a volume's partition. */
enum partition_scheme {
	PARTITION_NOT_TOLD, /* older firmware, or no partition at all */
	PARTITION_MBR,
	PARTITION_GPT,
};

struct entry_list {
	struct boot_entry *storage;                 /* ENTRY_LIST_MAX, the caller's */
	struct boot_entry *entries[ENTRY_LIST_MAX]; /* in the menu's order */
	uint32_t count;
	uint32_t own;   /* the first own of them are the own volume's */
	uint32_t begun; /* where the volume begins that is being read */
};

/*
 * Whether a volume may have boot entries: of a GPT only the EFI system partition
 * and the extended boot loader partition (Boot Loader Specification, "The
 * Partitions"); where there are no such types, any volume the firmware can read.
 * type is the GUID as it lies on the disk, looked at for a GPT alone.
 */
bool partition_may_have_entries(enum partition_scheme scheme,
				const uint8_t type[PARTITION_TYPE_BYTES]);

/* Where the next entry is to be parsed to; NULL when the list is full. */
struct boot_entry *entry_list_next(struct entry_list *list);

/* Keeps what was parsed there. */
void entry_list_keep(struct entry_list *list);

/*
 * A volume's entries are all there: they are sorted; of several with one title each
 * gets its version behind it, or else its machine-id, or else its file's name; and,
 * but for those of the own volume, they are marked by where, such as "disk 2".
 */
void entry_list_end_volume(struct entry_list *list, uint32_t volume, const char *where);

/*
 * The self-test of umbra.efi itself becomes the first of all entries, one of the own
 * volume's. Where the list is full it takes the last one's place.
 */
void entry_list_put_self_test(struct entry_list *list);

/* Whether the own volume has an entry that is for Umbra, be it broken: then the default is among its own. */
bool entry_list_own_decides(const struct entry_list *list);

/*
 * The default's index: where the own volume decides the first of its entries that
 * matches the pattern, else one of the others. Foreign entries (in a loader.conf that
 * systemd-boot reads too, the EFI program may be Umbra itself) are passed over,
 * and on other volumes broken ones. When nothing matches, *matched is false and
 * it is the first that is not passed over, or 0. The built-in self-test, where it is
 * there, is the default without a pattern, or by its own name. The list is not empty.
 */
uint32_t entry_list_default(const struct entry_list *list, const char *pattern, bool *matched);

/*
 * Seconds to count down: loader.conf's; where the own volume does not decide and loader.conf
 * does not say, the menu waits, but for the self-test if there is nothing else.
 */
uint32_t entry_list_timeout(const struct entry_list *list, uint32_t configured);

/* Whether the entry's name, with or without its suffix, without boot counters, matches; "" matches any. */
bool entry_list_matches(const struct boot_entry *entry, const char *pattern);

#endif
