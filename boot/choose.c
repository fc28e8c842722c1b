/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and chooses boot entries; see choose.h. */
#include "boot/choose.h"
#include "boot/console.h"
#include "boot/loader_config.h"
#include "boot/memory.h"
#include "boot/menu.h"
#include "lib/printf.h"

#define MAX_ENTRIES 64
#define TEXT_MAX (64ull << 10)
#define LOADER_CONF "/loader/loader.conf"

struct choice {
	struct boot_volume *volume;
	struct boot_error *error;
	struct loader_config config;
	struct boot_entry *storage;              /* MAX_ENTRIES */
	struct boot_entry *entries[MAX_ENTRIES]; /* in the menu's order */
	uint32_t count;
};

/* A missing file is as good as an empty one. */
static EFI_STATUS read_config(struct choice *choice)
{
	char *text = NULL;
	uint64_t size;
	EFI_STATUS status;
	bool good;

	loader_config_init(&choice->config);
	status = file_load(choice->volume, LOADER_CONF, TEXT_MAX, &text, &size, choice->error);
	if (EFI_ERROR(status))
		return status == EFI_NOT_FOUND ? EFI_SUCCESS : EFI_LOAD_ERROR;
	good = loader_config_parse(&choice->config, text, size, choice->error);
	memory_free(text);
	return good ? EFI_SUCCESS : EFI_LOAD_ERROR;
}

/* Called for each *.conf; a file that cannot be read becomes a broken entry. */
static bool add_entry(void *context, const char *name)
{
	struct choice *choice = context;
	struct boot_entry *entry = &choice->storage[choice->count];
	struct boot_error error;
	char path[ENTRY_PATH_MAX + sizeof(CHOOSE_FOLDER)], *text = NULL;
	uint64_t size;

	snprintf(path, sizeof(path), "%s/%s", CHOOSE_FOLDER, name);
	if (EFI_ERROR(file_load(choice->volume, path, TEXT_MAX, &text, &size, &error))) {
		entry_parse(entry, name, "", 0);
		entry->error = error;
	} else {
		entry_parse(entry, name, text, size);
		memory_free(text);
	}
	if (!entry->other_architecture)
		choice->entries[choice->count++] = entry;
	return choice->count < MAX_ENTRIES;
}

static EFI_STATUS read_entries(struct choice *choice)
{
	choice->storage = memory_alloc(MAX_ENTRIES * sizeof(struct boot_entry));
	if (!choice->storage) {
		boot_error_set(choice->error, "not enough memory for the boot entries; add memory");
		return EFI_LOAD_ERROR;
	}
	if (!volume_list(choice->volume, CHOOSE_FOLDER, ".conf", add_entry, choice, choice->error))
		return EFI_LOAD_ERROR;
	if (!choice->count) {
		boot_error_set(choice->error, "no boot entry: " CHOOSE_FOLDER " on the ESP has no"
					      " *.conf file for x64; write one (docs/boot.md)");
		return EFI_NOT_FOUND;
	}
	entry_sort(choice->entries, choice->count);
	return EFI_SUCCESS;
}

/* By loader.conf and the menu; NULL when the user left it. */
static struct boot_entry *take_entry(struct choice *choice)
{
	const char *pattern = choice->config.default_pattern;
	uint32_t count = choice->count, at;

	at = entry_find_default(choice->entries, count, pattern);
	if (at == count) {
		console_print("umbra: no entry matches default \"%s\" of " LOADER_CONF
			      "; taking the first\n",
			      pattern);
		at = 0;
	}
	at = menu_choose(choice->entries, count, at, choice->config.timeout);
	return at < count ? choice->entries[at] : NULL;
}

EFI_STATUS choose(const struct boot_entry **entry, struct boot_volume *volume,
		  struct boot_error *error)
{
	struct choice choice = {.volume = volume, .error = error};
	EFI_STATUS status;

	status = read_config(&choice);
	if (!EFI_ERROR(status))
		status = read_entries(&choice);
	if (EFI_ERROR(status))
		return status;
	*entry = take_entry(&choice);
	if (!*entry) {
		boot_error_set(error, "left at your request; start the image again to boot");
		return EFI_ABORTED;
	}
	if ((*entry)->broken) {
		*error = (*entry)->error;
		return EFI_LOAD_ERROR;
	}
	return EFI_SUCCESS;
}
