/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boot entries: the Boot Loader Specification's type 1 files
 * (\loader\entries\*.conf) and their order; entry_list.h has those of all volumes
 * together. Pure functions over text in memory.
 *
 * A broken entry stays in the list with its error: booting it says what is
 * wrong, and a mistake in one entry does not take the others away.
 */
#ifndef BOOT_ENTRY_H
#define BOOT_ENTRY_H

#include "boot/text.h"

#define ENTRY_MAX_INITRDS 8
#define ENTRY_MAX_MODULES 16
#define ENTRY_MAX_ACPI 32
#define ENTRY_PATH_MAX 256
#define ENTRY_STRING_MAX 512
/* The id of the entry that needs no file. */
#define ENTRY_SELF_TEST "self-test"
#define ENTRY_NO_TRIES UINT32_MAX
/* What such an entry does; the menu and the error say it. */
#define ENTRY_EFI_PROGRAM "starts an EFI program, which cannot run under Umbra"

/* Key "module": a file for a multiboot kernel and the string that it gets with it. */
struct entry_module {
	char path[ENTRY_PATH_MAX];
	char string[ENTRY_STRING_MAX];
};

/* A part of a file; size 0: the whole of it. */
struct entry_piece {
	uint64_t offset, size;
};

struct boot_entry {
	char id[128]; /* the file's name, with .conf; behind it @ and a number for a profile of a UKI */
	char title[160]; /* as written, or made from the id; behind it the disk, if it is another one */
	char version[96], machine_id[64], sort_key[96];
	char kernel[ENTRY_PATH_MAX]; /* key "linux" or "multiboot"; a path in UTF-8 with slashes or backslashes */
	bool multiboot; /* it was "multiboot" */
	bool force;     /* load over memory that the firmware reserves */
	bool self_test; /* key "self-test": the guest is Umbra's own (selftest.h) */
	bool built_in;  /* no file has it: the self-test that is offered where there is no other */
	char initrd[ENTRY_MAX_INITRDS][ENTRY_PATH_MAX];
	uint32_t initrd_count;
	struct entry_piece kernel_piece, initrd_piece; /* of a unified kernel image (uki.h) */
	uint32_t profile;                              /* its number, 0 is the main one */
	struct entry_module module[ENTRY_MAX_MODULES];
	uint32_t module_count;
	char acpi[ENTRY_MAX_ACPI][ENTRY_PATH_MAX]; /* key "acpi": files of ACPI tables */
	uint32_t acpi_count;
	char symbols[ENTRY_PATH_MAX]; /* key "symbols": the kernel's, for the monitor; empty: none */
	uint32_t volume;              /* where it and its files are (entry_list.h) */
	char where[48]; /* the same for the user, such as "disk 2, partition 1"; empty: Umbra's own */
	uint32_t tries_left, tries_done; /* the counters in the file's name, ENTRY_NO_TRIES without */
	bool other_architecture; /* the entry is not for x64: broken, and nobody's mistake */
	bool efi_program;        /* it starts one and has no kernel: the same */
	bool broken;             /* then error says why */
	struct boot_error error;
	bool options_edited; /* the command line is not the entry's own any more */
	char umbra[512];     /* the lines "umbra", joined by blanks */
	char options[4096]; /* the words behind the multiboot path and the lines "options", joined by blanks */
};

/*
 * Reads one entry. file is the name without a folder (for the id and the
 * messages). Returns false and marks the entry broken on an unknown key, a key
 * without value, a second kernel, two files in one line, something too long, no
 * kernel, an initrd for a multiboot kernel, a module for Linux or files for the self-test. One that has an EFI
 * program instead of a kernel or is for another architecture is broken and foreign. Keys of GRUB's
 * (grub_*, id) are passed over.
 */
bool entry_parse(struct boot_entry *entry, const char *file, const char *text, size_t size);

/* An entry of other loaders or machines alone, which no mistake has made broken. */
bool entry_is_foreign(const struct boot_entry *entry);

/* The length of an id without its .conf or .efi, boot counters and number of a profile. */
size_t entry_stem_length(const char *id);

/* Reads the counters "+LEFT" or "+LEFT-DONE" at the end of the file's name; parsers call it once. */
void entry_count_tries(struct boot_entry *entry);

/*
 * The menu's order as the specification defines it: entries without tries left
 * last; those with a sort-key first (by sort-key, machine-id, then newest version
 * first), the others after them by file name, newest first; of one name the one
 * with more tries left, then with fewer tries done. Returns <0, 0, >0.
 */
int entry_compare(const struct boot_entry *a, const struct boot_entry *b);

/* Sorts an array of pointers with entry_compare. */
void entry_sort(struct boot_entry **entries, uint32_t count);

#endif
