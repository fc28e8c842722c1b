/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and chooses boot entries; see choose.h. */
#include "boot/choose.h"
#include "boot/console.h"
#include "boot/entry_list.h"
#include "boot/loader_config.h"
#include "boot/memory.h"
#include "boot/menu.h"
#include "boot/selftest.h"
#include "boot/uki.h"
#include "boot/volumes.h"
#include "lib/printf.h"
#include "lib/types.h"

#define TEXT_MAX (64ull << 10)
#define LOADER_CONF "/loader/loader.conf"
#define NAME_MAX 48

struct choice {
	struct boot_volume *volume;  /* the own one */
	struct boot_volume other;    /* one of the others, open while it is read */
	struct boot_volume *reading; /* whose entries are read */
	struct boot_error *error;
	struct loader_config config;
	struct entry_list list;
	struct other_volumes others; /* number n is volume[n - 1] of them */
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
	struct boot_entry *entry = entry_list_next(&choice->list);
	struct boot_error error;
	char path[ENTRY_PATH_MAX + sizeof(CHOOSE_FOLDER)], *text = NULL;
	uint64_t size;

	if (!entry)
		return false;
	snprintf(path, sizeof(path), "%s/%s", CHOOSE_FOLDER, name);
	if (EFI_ERROR(file_load(choice->reading, path, TEXT_MAX, &text, &size, &error))) {
		entry_parse(entry, name, "", 0);
		entry->error = error;
	} else {
		entry_parse(entry, name, text, size);
		memory_free(text);
	}
	entry_list_keep(&choice->list);
	return true;
}

/* A section's text in new memory; a missing one and one that is too long for us are empty. */
static struct text_span read_text(struct boot_file *file, const struct entry_piece *piece)
{
	struct boot_error error;
	char *text = piece->size && piece->size <= UKI_TEXT_MAX ? memory_alloc(piece->size) : NULL;

	if (text && !file_read(file, piece->offset, text, piece->size, &error)) {
		memory_free(text);
		text = NULL;
	}
	return (struct text_span){text, text ? (size_t)piece->size : 0};
}

static void read_uki(struct choice *choice, struct boot_entry *entry, struct boot_file *file,
		     const char *name)
{
	static uint8_t head[UKI_HEAD_BYTES];
	size_t size = (size_t)MIN(file->size, sizeof(head));
	struct boot_error error;
	struct text_span cmdline, osrel;
	enum uki_result result;
	struct uki uki;

	if (!file_read(file, 0, head, size, &error))
		return;
	result = uki_parse(&uki, head, size, file->size, &error);
	if (result == UKI_OTHER)
		return;
	if (result == UKI_BROKEN)
		uki = (struct uki){.kernel = {0, 0}};
	cmdline = read_text(file, &uki.cmdline);
	osrel = read_text(file, &uki.osrel);
	uki_entry(entry, name, &uki, cmdline, osrel);
	memory_free((void *)cmdline.at);
	memory_free((void *)osrel.at);
	if (result == UKI_BROKEN || uki.cmdline.size > UKI_TEXT_MAX) {
		entry->broken = true;
		boot_error_set(&entry->error, UKI_FOLDER "/%s: %s", name,
			       result == UKI_BROKEN ? error.text :
						      "its command line is too long; shorten it");
	}
	entry_list_keep(&choice->list);
}

/* Called for each *.efi; what is no unified kernel image is no entry. */
static bool add_uki(void *context, const char *name)
{
	struct choice *choice = context;
	struct boot_entry *entry = entry_list_next(&choice->list);
	char path[ENTRY_PATH_MAX + sizeof(UKI_FOLDER)];
	struct boot_error error;
	struct boot_file file;

	if (!entry)
		return false;
	snprintf(path, sizeof(path), UKI_FOLDER "/%s", name);
	if (!EFI_ERROR(file_open(&file, choice->reading, path, &error))) {
		read_uki(choice, entry, &file, name);
		file_close(&file);
	}
	return true;
}

static bool list_volume(struct choice *choice, struct boot_error *error)
{
	return volume_list(choice->reading, CHOOSE_FOLDER, ".conf", add_entry, choice, error) &&
	       volume_list(choice->reading, UKI_FOLDER, ".efi", add_uki, choice, error);
}

static EFI_STATUS read_own(struct choice *choice)
{
	choice->list.storage = memory_alloc(ENTRY_LIST_MAX * sizeof(struct boot_entry));
	if (!choice->list.storage) {
		boot_error_set(choice->error, "not enough memory for the boot entries; add memory");
		return EFI_LOAD_ERROR;
	}
	choice->reading = choice->volume;
	if (!list_volume(choice, choice->error))
		return EFI_LOAD_ERROR;
	entry_list_end_volume(&choice->list, ENTRY_LIST_OWN_VOLUME, "");
	return EFI_SUCCESS;
}

/* Whatever is wrong with it, it does not end the boot: another one may be good. */
static void read_other(struct choice *choice, uint32_t number)
{
	const struct other_volume *other = &choice->others.volume[number - 1];
	struct boot_error error;
	char name[NAME_MAX];
	EFI_STATUS status = volume_open_device(&choice->other, other->device);

	volumes_name(other, name, sizeof(name));
	if (EFI_ERROR(status)) {
		if (status != EFI_NO_MEDIA)
			console_print("umbra: %s: its file system cannot be read (EFI status %llx);"
				      " passed over\n",
				      name, (unsigned long long)status);
		return;
	}
	choice->reading = &choice->other;
	if (!list_volume(choice, &error))
		console_print("umbra: %s: %s\n", name, error.text);
	entry_list_end_volume(&choice->list, number, name);
	volume_close(choice->reading);
}

static EFI_STATUS read_entries(struct choice *choice)
{
	EFI_STATUS status = read_own(choice);
	uint32_t i;

	if (EFI_ERROR(status))
		return status;
	if (entry_list_needs_others(&choice->list, choice->config.timeout)) {
		volumes_find(&choice->others, choice->volume->device);
		for (i = 1; i <= choice->others.count; i++)
			read_other(choice, i);
	}
	if (!entry_list_own_decides(&choice->list))
		entry_list_put_self_test(&choice->list);
	return EFI_SUCCESS;
}

/* By loader.conf and the menu; NULL when the user left it. */
static struct boot_entry *take_entry(struct choice *choice)
{
	const struct entry_list *list = &choice->list;
	const char *pattern = choice->config.default_pattern;
	bool matched, own = entry_list_own_decides(list);
	uint32_t configured = choice->config.timeout, at, timeout;

	at = entry_list_default(list, pattern, &matched);
	timeout = entry_list_timeout(list, configured);
	if (selftest_has_ended() && list->entries[at]->built_in)
		timeout = LOADER_WAIT_FOREVER;
	if (!own)
		console_print("umbra: no entry for Umbra on the volume that it was started from;"
			      " these are there\n");
	if (!matched && pattern[0])
		console_print("umbra: no entry for Umbra matches default \"%s\" of " LOADER_CONF
			      "; taking the first\n",
			      pattern);
	at = menu_choose(list->entries, list->count, at, timeout, !own);
	return at < list->count ? list->entries[at] : NULL;
}

/* The volume becomes the entry's, where its files are. */
static EFI_STATUS change_volume(struct choice *choice, const struct boot_entry *entry)
{
	const struct other_volume *other;
	char name[NAME_MAX];
	EFI_STATUS status;

	if (entry->volume == ENTRY_LIST_OWN_VOLUME)
		return EFI_SUCCESS;
	other = &choice->others.volume[entry->volume - 1];
	volume_close(choice->volume);
	status = volume_open_device(choice->volume, other->device);
	if (!EFI_ERROR(status))
		return EFI_SUCCESS;
	volumes_name(other, name, sizeof(name));
	boot_error_set(choice->error, "%s is not there any more (EFI status %llx); attach it again",
		       name, (unsigned long long)status);
	return EFI_LOAD_ERROR;
}

EFI_STATUS choose(const struct boot_entry **entry, struct boot_volume *volume,
		  struct boot_error *error)
{
	static struct choice choice;
	EFI_STATUS status;

	choice = (struct choice){.volume = volume, .error = error};
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
	return change_volume(&choice, *entry);
}
