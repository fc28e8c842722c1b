/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and chooses boot entries; see choose.h. */
#include "boot/choose.h"
#include "boot/console.h"
#include "boot/drivers.h"
#include "boot/entry_list.h"
#include "boot/firmware.h"
#include "boot/loader_config.h"
#include "boot/memory.h"
#include "boot/menu.h"
#include "boot/selftest.h"
#include "boot/uki.h"
#include "boot/volumes.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/types.h"

#define TEXT_MAX (64ull << 10)
#define LOADER_CONF "/loader/loader.conf"
#define NAME_MAX 48

struct choice {
	EFI_HANDLE image;
	struct boot_volume *volume;  /* the own one */
	struct boot_volume other;    /* one of the others, open while it is read */
	struct boot_volume *reading; /* whose entries are read */
	struct boot_error *error;
	struct loader_config config;
	char pattern[2 * sizeof(((struct boot_entry *)0)->id)]; /* for the default */
	struct entry_list list;
	struct other_volumes others; /* number n is volume[n - 1] of them */
	uint32_t at;                 /* the entry that was chosen last, at first the default */
	bool menu_wanted;
	bool counts_down;         /* the default is booted if the user does nothing */
	struct boot_error notice; /* what the menu shall say at first */
};

static struct choice choice;

/* A line that ends nothing; the menu, which clears the screen, shows the first one again. */
static void tell(const char *line)
{
	console_print("umbra: %s\n", line);
	if (!choice.notice.text[0])
		boot_error_set(&choice.notice, "%s", line);
}

/* A missing file is as good as an empty one. */
static EFI_STATUS read_config(void)
{
	char *text = NULL;
	uint64_t size;
	EFI_STATUS status;
	bool good;

	loader_config_init(&choice.config);
	status = file_load(choice.volume, LOADER_CONF, TEXT_MAX, &text, &size, choice.error);
	if (EFI_ERROR(status))
		return status == EFI_NOT_FOUND ? EFI_SUCCESS : EFI_LOAD_ERROR;
	good = loader_config_parse(&choice.config, text, size, choice.error);
	memory_free(text);
	return good ? EFI_SUCCESS : EFI_LOAD_ERROR;
}

/* Called for each *.conf; a file that cannot be read becomes a broken entry. */
static bool add_entry(void *context, const char *name)
{
	struct boot_entry *entry = entry_list_next(&choice.list);
	struct boot_error error;
	char path[ENTRY_PATH_MAX + sizeof(CHOOSE_FOLDER)], *text = NULL;
	uint64_t size;

	(void)context;
	if (!entry)
		return false;
	snprintf(path, sizeof(path), "%s/%s", CHOOSE_FOLDER, name);
	if (EFI_ERROR(file_load(choice.reading, path, TEXT_MAX, &text, &size, &error))) {
		entry_parse(entry, name, "", 0);
		entry->error = error;
	} else {
		entry_parse(entry, name, text, size);
		memory_free(text);
	}
	entry_list_keep(&choice.list);
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

static void keep_uki(struct boot_entry *entry, struct boot_file *file, const char *name,
		     const struct uki *uki, uint32_t profile)
{
	struct uki_texts texts = {read_text(file, &uki->cmdline), read_text(file, &uki->osrel),
				  read_text(file, &uki->profile)};

	uki_entry(entry, name, uki, profile, &texts);
	memory_free((void *)texts.cmdline.at);
	memory_free((void *)texts.osrel.at);
	memory_free((void *)texts.profile.at);
	if (uki->cmdline.size > UKI_TEXT_MAX)
		entry->broken = !boot_error_set(
			&entry->error, UKI_FOLDER "/%s: its command line is too long; shorten it",
			name);
	entry_list_keep(&choice.list);
}

/* One profile of the file; false behind the last one. */
static bool read_profile(struct boot_file *file, const char *name, const uint8_t *head, size_t size,
			 uint32_t profile)
{
	struct boot_entry *entry = entry_list_next(&choice.list);
	struct boot_error error;
	enum uki_result result;
	struct uki uki;

	if (!entry)
		return false;
	result = uki_parse(&uki, head, size, file->size, profile, &error);
	if (result == UKI_OTHER)
		return false;
	if (result == UKI_BROKEN)
		uki = (struct uki){.kernel = {0, 0}};
	keep_uki(entry, file, name, &uki, profile);
	if (result == UKI_BROKEN)
		entry->broken =
			!boot_error_set(&entry->error, UKI_FOLDER "/%s: %s", name, error.text);
	return true;
}

/* Called for each *.efi; what is no unified kernel image is no entry. */
static bool add_uki(void *context, const char *name)
{
	static uint8_t head[UKI_HEAD_BYTES];
	char path[ENTRY_PATH_MAX + sizeof(UKI_FOLDER)];
	struct boot_error error;
	struct boot_file file;
	uint32_t profile = 0;
	size_t size;

	(void)context;
	if (!entry_list_next(&choice.list))
		return false;
	snprintf(path, sizeof(path), UKI_FOLDER "/%s", name);
	if (EFI_ERROR(file_open(&file, choice.reading, path, &error)))
		return true;
	size = (size_t)MIN(file.size, sizeof(head));
	if (file_read(&file, 0, head, size, &error))
		while (read_profile(&file, name, head, size, profile))
			profile++;
	file_close(&file);
	return true;
}

static bool list_volume(struct boot_error *error)
{
	return volume_list(choice.reading, CHOOSE_FOLDER, ".conf", add_entry, NULL, error) &&
	       volume_list(choice.reading, UKI_FOLDER, ".efi", add_uki, NULL, error);
}

/* Not of memory_alloc(): the entries outlive an attempt to boot one. */
static EFI_STATUS read_own(void)
{
	choice.list.storage = AllocateZeroPool(ENTRY_LIST_MAX * sizeof(struct boot_entry));
	if (!choice.list.storage) {
		boot_error_set(choice.error, "not enough memory for the boot entries; add memory");
		return EFI_LOAD_ERROR;
	}
	choice.reading = choice.volume;
	if (!list_volume(choice.error))
		return EFI_LOAD_ERROR;
	entry_list_end_volume(&choice.list, ENTRY_LIST_OWN_VOLUME, "");
	return EFI_SUCCESS;
}

/* Whatever is wrong with it, it does not end the boot: another one may be good. */
static void read_other(uint32_t number)
{
	const struct other_volume *other = &choice.others.volume[number - 1];
	char name[NAME_MAX], line[NAME_MAX + BOOT_ERROR_MAX];
	struct boot_error error;
	EFI_STATUS status = volume_open_device(&choice.other, other->device);

	volumes_name(other, name, sizeof(name));
	if (EFI_ERROR(status)) {
		snprintf(line, sizeof(line),
			 "%s: its file system cannot be read (EFI status %llx); passed over", name,
			 (unsigned long long)status);
		if (status != EFI_NO_MEDIA)
			tell(line);
		return;
	}
	choice.reading = &choice.other;
	if (!list_volume(&error)) {
		snprintf(line, sizeof(line), "%s: %s", name, error.text);
		tell(line);
	}
	entry_list_end_volume(&choice.list, number, name);
	volume_close(choice.reading);
}

/* The menu is there with a timeout, where another disk's system would be booted, and where a key is held. */
static void decide_on_menu(void)
{
	const struct loader_config *config = &choice.config;
	bool own = entry_list_own_decides(&choice.list);

	choice.counts_down = config->timeout != LOADER_WAIT_FOREVER;
	choice.menu_wanted = config->timeout || !own;
	if (!choice.menu_wanted && !config->disabled && menu_is_wanted()) {
		choice.menu_wanted = true;
		choice.counts_down = false;
	}
}

static EFI_STATUS read_entries(void)
{
	EFI_STATUS status = read_own();
	uint32_t i;

	if (EFI_ERROR(status))
		return status;
	decide_on_menu();
	if (choice.menu_wanted) {
		drivers_start(choice.image, choice.volume, tell);
		volumes_find(&choice.others, choice.volume->device);
		for (i = 1; i <= choice.others.count; i++)
			read_other(i);
	}
	if (!entry_list_own_decides(&choice.list))
		entry_list_put_self_test(&choice.list);
	return EFI_SUCCESS;
}

/* loader.conf's pattern, or one that matches the entry booted last alone. */
static void read_pattern(void)
{
	char id[sizeof(((struct boot_entry *)0)->id)], *to = choice.pattern;
	const char *from = id;

	memcpy(choice.pattern, choice.config.default_pattern, sizeof(choice.config.default_pattern));
	if (strcmp(choice.pattern, LOADER_SAVED) != 0)
		return;
	for (firmware_read_saved(id, sizeof(id)); *from; from++) {
		if (strchr("*?[\\", *from))
			*to++ = '\\';
		*to++ = *from;
	}
	*to = '\0';
}

static void find_default(void)
{
	char line[BOOT_ERROR_MAX];
	bool matched;

	read_pattern();
	choice.at = entry_list_default(&choice.list, choice.pattern, &matched);
	if (!entry_list_own_decides(&choice.list))
		tell("no entry for Umbra on the volume that it was started from; these are there");
	if (!matched && choice.pattern[0]) {
		snprintf(line, sizeof(line),
			 "no entry for Umbra matches default \"%s\" of " LOADER_CONF
			 "; taking the first",
			 choice.pattern);
		tell(line);
	}
}

EFI_STATUS choose_begin(EFI_HANDLE image, struct boot_volume *own, struct boot_error *error)
{
	EFI_STATUS status;

	choice = (struct choice){.image = image, .volume = own, .error = error};
	status = read_config();
	if (!EFI_ERROR(status))
		status = read_entries();
	if (!EFI_ERROR(status))
		find_default();
	return status;
}

/* 0: none, the user decides. */
static uint32_t seconds_left(void)
{
	uint32_t seconds = entry_list_timeout(&choice.list, choice.config.timeout);

	if (!choice.counts_down || seconds == LOADER_WAIT_FOREVER ||
	    (selftest_has_ended() && choice.list.entries[choice.at]->built_in))
		return 0;
	return seconds;
}

/* The menu, in which failed is said; false when the user left it. */
static bool ask(const struct boot_error *failed)
{
	static struct menu menu;

	menu_init(&menu, choice.list.entries, choice.list.count, choice.at);
	menu.may_edit = !choice.config.no_editor;
	if (failed)
		menu_say(&menu, "error: %s", failed->text);
	else
		menu_say(&menu, "%s", choice.notice.text);
	menu.seconds = seconds_left();
	choice.counts_down = false;
	if (menu_run(&menu) != MENU_BOOT)
		return false;
	choice.at = menu_chosen(&menu);
	return true;
}

static EFI_STATUS open_volume(struct boot_volume *volume, const struct boot_entry *entry,
			      struct boot_error *error)
{
	EFI_HANDLE device = choice.volume->device;
	EFI_STATUS status;

	if (entry->volume != ENTRY_LIST_OWN_VOLUME)
		device = choice.others.volume[entry->volume - 1].device;
	status = volume_open_device(volume, device);
	if (!EFI_ERROR(status))
		return EFI_SUCCESS;
	boot_error_set(error, "%s is not there any more (EFI status %llx); attach it again",
		       entry->where[0] ? entry->where : "the volume that Umbra was started from",
		       (unsigned long long)status);
	return EFI_LOAD_ERROR;
}

EFI_STATUS choose(const struct boot_entry **entry, struct boot_volume *volume,
		  const struct boot_error *failed, struct boot_error *error)
{
	struct boot_error said;

	if (failed)
		said = *failed; /* it may be error */
	if (choice.menu_wanted && !ask(failed ? &said : NULL)) {
		boot_error_set(error, "left at your request; start the image again to boot");
		return EFI_ABORTED;
	}
	*entry = choice.list.entries[choice.at];
	if ((*entry)->broken) {
		*error = (*entry)->error;
		return EFI_LOAD_ERROR;
	}
	if (strcmp(choice.config.default_pattern, LOADER_SAVED) == 0)
		firmware_save((*entry)->id);
	return open_volume(volume, *entry, error);
}

bool choose_has_menu(void)
{
	return choice.menu_wanted;
}

void choose_end(void)
{
	if (choice.list.storage)
		FreePool(choice.list.storage);
	choice.list.storage = NULL;
	choice.menu_wanted = false;
}
