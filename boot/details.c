/* SPDX-License-Identifier: BSD-2-Clause */
/* An entry's keys and values; see details.h. */
#include "boot/details.h"
#include "boot/utf16.h"
#include "lib/printf.h"
#include "lib/string.h"

#define KEY_COLUMNS 14u

/* Goes through the lines up to the wanted one. */
struct teller {
	uint32_t wanted, line, columns;
	char *to;
	size_t size;
	bool found;
};

/* A key, or blanks in a line that goes on, and as much of the value as there is room for; returns the rest. */
static const char *tell_line(struct teller *teller, const char *key, const char *value)
{
	const char *start = value;
	uint32_t room = teller->columns - KEY_COLUMNS, i;

	for (i = 0; i < room && *value; i++)
		utf8_next(&value);
	if (teller->line++ == teller->wanted) {
		snprintf(teller->to, teller->size, "%-*s%.*s", (int)KEY_COLUMNS, key,
			 (int)(value - start), start);
		teller->found = true;
	}
	return value;
}

static void tell(struct teller *teller, const char *key, const char *value)
{
	if (!value[0])
		return;
	value = tell_line(teller, key, value);
	while (*value)
		value = tell_line(teller, "", value);
}

static void tell_files(struct teller *teller, const struct boot_entry *entry)
{
	uint32_t i;

	tell(teller, entry->multiboot ? "multiboot" : "linux", entry->kernel);
	for (i = 0; i < entry->initrd_count; i++)
		tell(teller, "initrd", entry->initrd[i]);
	for (i = 0; i < entry->module_count; i++) {
		tell(teller, "module", entry->module[i].path);
		tell(teller, "", entry->module[i].string);
	}
	for (i = 0; i < entry->acpi_count; i++)
		tell(teller, "acpi", entry->acpi[i]);
	tell(teller, "symbols", entry->symbols);
}

static void tell_tries(struct teller *teller, const struct boot_entry *entry)
{
	char text[48];

	if (entry->tries_left == ENTRY_NO_TRIES)
		return;
	snprintf(text, sizeof(text), "%u left, %u done", entry->tries_left, entry->tries_done);
	tell(teller, "tries", text);
}

static void tell_all(struct teller *teller, const struct boot_entry *entry)
{
	if (entry->broken)
		tell(teller, "error", entry->error.text);
	tell(teller, "title", entry->title);
	tell(teller, "file", entry->id);
	tell(teller, "on", entry->where[0] ? entry->where : "the volume that Umbra was started from");
	tell(teller, "version", entry->version);
	tell(teller, "machine-id", entry->machine_id);
	tell(teller, "sort-key", entry->sort_key);
	tell_tries(teller, entry);
	tell_files(teller, entry);
	tell(teller, "options", entry->options);
	tell(teller, "umbra", entry->umbra);
	if (entry->force)
		tell(teller, "force", "over memory that the firmware reserves");
}

bool details_line(const struct boot_entry *entry, uint32_t n, uint32_t columns, char *line,
		  size_t size)
{
	struct teller teller = {n, 0, columns, line, size, false};

	line[0] = '\0';
	tell_all(&teller, entry);
	return teller.found;
}

uint32_t details_count(const struct boot_entry *entry, uint32_t columns)
{
	struct teller teller = {UINT32_MAX, 0, columns, NULL, 0, false};

	tell_all(&teller, entry);
	return teller.line;
}
