/* SPDX-License-Identifier: BSD-2-Clause */
/* Boot Loader Specification type 1 entries and loader.conf; see entry.h. */
#include "boot/entry.h"
#include "boot/lines.h"
#include "lib/string.h"
#include "lib/types.h"

#define ENTRIES_FOLDER "/loader/entries/"

/* What a line's key asks for. */
enum key_action {
	KEY_COPY,   /* the value replaces the field */
	KEY_APPEND, /* the value is joined to the field with a blank */
	KEY_KERNEL,
	KEY_MULTIBOOT, /* a path and the command line */
	KEY_MODULE,    /* a path and a string */
	KEY_INITRD,
	KEY_ACPI, /* paths */
	KEY_FLAG, /* takes no value */
	KEY_ARCHITECTURE,
	KEY_EFI,
	KEY_IGNORE, /* defined by the specification, without meaning for a hypervisor */
};

struct key {
	const char *name;
	enum key_action action;
	size_t offset, size;
};

#define FIELD(member) offsetof(struct boot_entry, member), sizeof(((struct boot_entry *)0)->member)

static const char too_long[] = "has a value that is too long; shorten it";

static const struct key keys[] = {
	{"title", KEY_COPY, FIELD(title)},
	{"version", KEY_COPY, FIELD(version)},
	{"machine-id", KEY_COPY, FIELD(machine_id)},
	{"sort-key", KEY_COPY, FIELD(sort_key)},
	{"linux", KEY_KERNEL, 0, 0},
	{"initrd", KEY_INITRD, 0, 0},
	{"multiboot", KEY_MULTIBOOT, 0, 0},
	{"module", KEY_MODULE, 0, 0},
	{"acpi", KEY_ACPI, 0, 0},
	{"symbols", KEY_COPY, FIELD(symbols)},
	{"force", KEY_FLAG, FIELD(force)},
	{"self-test", KEY_FLAG, FIELD(self_test)},
	{"options", KEY_APPEND, FIELD(options)},
	{"umbra", KEY_APPEND, FIELD(umbra)},
	{"architecture", KEY_ARCHITECTURE, 0, 0},
	{"efi", KEY_EFI, 0, 0},
	{"uki", KEY_EFI, 0, 0},
	{"uki-url", KEY_EFI, 0, 0},
	{"profile", KEY_IGNORE, 0, 0},
	{"extra", KEY_IGNORE, 0, 0},
	{"devicetree", KEY_IGNORE, 0, 0},
	{"devicetree-overlay", KEY_IGNORE, 0, 0},
};

static const struct key *find_key(struct text_span name)
{
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (text_span_equal(name, keys[i].name))
			return &keys[i];
	return NULL;
}

/* Keys that GRUB adds to the specification's; they change nothing here. */
static bool is_foreign_key(struct text_span name)
{
	static const char grub[] = "grub_";

	return text_span_equal(name, "id") ||
	       (name.length >= sizeof(grub) - 1 && memcmp(name.at, grub, sizeof(grub) - 1) == 0);
}

static bool store_module(struct entry_module *module, struct text_span value)
{
	struct text_span path = {value.at, 0};

	text_next_word(&value, &path);
	return text_copy(module->path, sizeof(module->path), path) &&
	       text_copy(module->string, sizeof(module->string), text_trim(value));
}

/* The path goes to field, the rest of the line to the command line. */
static bool store_multiboot(struct boot_entry *entry, struct text_span value)
{
	struct text_span path = {value.at, 0};

	entry->multiboot = true;
	text_next_word(&value, &path);
	value = text_trim(value);
	return text_copy(entry->kernel, sizeof(entry->kernel), path) &&
	       (!value.length || text_append_word(entry->options, sizeof(entry->options), value));
}

/* A blank and a separator: no name on a FAT file system ends in a blank. */
static bool names_two_files(struct text_span path)
{
	size_t i;

	for (i = 1; i < path.length; i++)
		if (text_is_blank(path.at[i - 1]) && (path.at[i] == '/' || path.at[i] == '\\'))
			return true;
	return false;
}

static const char *store_kernel(struct boot_entry *entry, const struct key *key,
				struct text_span value)
{
	if (entry->kernel[0])
		return "names a second kernel; keep one";
	if (key->action == KEY_MULTIBOOT)
		return store_multiboot(entry, value) ? NULL : too_long;
	if (names_two_files(value))
		return "names two files; keep one";
	return text_copy(entry->kernel, sizeof(entry->kernel), value) ? NULL : too_long;
}

static const char *store_initrd(struct boot_entry *entry, struct text_span value)
{
	if (entry->initrd_count == ENTRY_MAX_INITRDS)
		return "is given more than 8 times; concatenate the files";
	if (names_two_files(value))
		return "names two files; write a line for each";
	return text_copy(entry->initrd[entry->initrd_count++], ENTRY_PATH_MAX, value) ? NULL :
											too_long;
}

static const char *store_acpi(struct boot_entry *entry, struct text_span value)
{
	struct text_span path;

	while (text_next_word(&value, &path)) {
		if (entry->acpi_count == ENTRY_MAX_ACPI)
			return "names more than 32 files; put the tables together";
		if (!text_copy(entry->acpi[entry->acpi_count++], ENTRY_PATH_MAX, path))
			return too_long;
	}
	return NULL;
}

/* Stores one line's value; NULL, or what is wrong with it. */
static const char *store_value(struct boot_entry *entry, const struct key *key, struct text_span value)
{
	char *field = (char *)entry + key->offset;
	bool fits = true;

	switch (key->action) {
	case KEY_KERNEL:
	case KEY_MULTIBOOT: return store_kernel(entry, key, value);
	case KEY_MODULE:
		if (entry->module_count == ENTRY_MAX_MODULES)
			return "is given more than 16 times; put the files together";
		fits = store_module(&entry->module[entry->module_count++], value);
		break;
	case KEY_FLAG:
		if (value.length)
			return "takes no value; remove it";
		*(bool *)field = true;
		break;
	case KEY_COPY: fits = text_copy(field, key->size, value); break;
	case KEY_APPEND: fits = text_append_word(field, key->size, value); break;
	case KEY_INITRD: return store_initrd(entry, value);
	case KEY_ACPI: return store_acpi(entry, value);
	case KEY_ARCHITECTURE:
		entry->other_architecture = !text_span_equal_any_case(value, "x64");
		break;
	case KEY_EFI: entry->efi_program = true; break;
	case KEY_IGNORE: break;
	}
	return fits ? NULL : too_long;
}

/* What the lines say together. */
static bool check_kernel(struct boot_entry *entry)
{
	const char *wrong = NULL;

	if (entry->other_architecture)
		wrong = "is for another architecture; Umbra boots x64 alone";
	else if (entry->self_test && (entry->kernel[0] || entry->initrd_count || entry->module_count))
		wrong = "has \"self-test\" and a kernel, an initrd or a module; keep one";
	else if (entry->self_test)
		return true;
	else if (entry->efi_program && !entry->kernel[0])
		wrong = ENTRY_EFI_PROGRAM "; choose another entry";
	else if (!entry->kernel[0])
		wrong = "has no line \"linux\" or \"multiboot\"; add one with the kernel's path";
	else if (entry->multiboot && entry->initrd_count)
		wrong = "has \"initrd\" for a multiboot kernel; write \"module\"";
	else if (!entry->multiboot && entry->module_count)
		wrong = "has \"module\" for a Linux kernel; write \"initrd\"";
	return !wrong || boot_error_set(&entry->error, "%s%s %s", ENTRIES_FOLDER, entry->id, wrong);
}

static bool may_be_empty(const struct key *key)
{
	return key->action == KEY_APPEND || key->action == KEY_FLAG;
}

static bool parse_lines(struct boot_entry *entry, struct text_span text)
{
	struct key_line line = {.number = 0};
	const struct key *key;
	const char *wrong;

	while (lines_next_key(&text, &line)) {
		key = find_key(line.key);
		if (!key && is_foreign_key(line.key))
			continue;
		if (!key)
			return boot_error_set(
				&entry->error,
				"%s%s line %u: unknown key \"%.*s\"; correct or remove the line",
				ENTRIES_FOLDER, entry->id, line.number, (int)line.key.length,
				line.key.at);
		wrong = line.value.length || may_be_empty(key) ?
				store_value(entry, key, line.value) :
				"has no value; write one or remove the line";
		if (wrong)
			return boot_error_set(&entry->error, "%s%s line %u: key \"%s\" %s",
					      ENTRIES_FOLDER, entry->id, line.number, key->name,
					      wrong);
	}
	return check_kernel(entry);
}

bool entry_is_foreign(const struct boot_entry *entry)
{
	return entry->efi_program || entry->other_architecture;
}

/* The number that ends before *end, which then is before it; false without a digit. */
static bool number_before(const char *text, size_t *end, uint32_t *number)
{
	size_t at = *end;
	uint64_t value;

	while (at && text[at - 1] >= '0' && text[at - 1] <= '9')
		at--;
	if (!text_parse_u64((struct text_span){text + at, *end - at}, &value) || value >= UINT32_MAX)
		return false;
	*end = at;
	*number = (uint32_t)value;
	return true;
}

/* The specification's boot counting: NAME+LEFT or NAME+LEFT-DONE. Returns the length of NAME. */
static size_t split_tries(const char *id, size_t length, uint32_t *left, uint32_t *done)
{
	size_t end = length;

	*left = ENTRY_NO_TRIES;
	*done = 0;
	if (!number_before(id, &end, left))
		return length;
	if (end && id[end - 1] == '-') {
		*done = *left;
		end--;
		if (!number_before(id, &end, left))
			end = 0;
	}
	if (end > 1 && id[end - 1] == '+')
		return end - 1;
	*left = ENTRY_NO_TRIES;
	*done = 0;
	return length;
}

/* Without the @NUMBER of a profile. */
static size_t length_of_file(const char *id)
{
	size_t n = strlen(id), end = n;
	uint32_t number;

	if (number_before(id, &end, &number) && end > 5 && id[end - 1] == '@' &&
	    text_span_equal_any_case((struct text_span){id + end - 5, 4}, ".efi"))
		n = end - 1;
	return n;
}

static size_t length_without_suffix(const char *id)
{
	size_t n = length_of_file(id);

	if (n > 5 && text_span_equal_any_case((struct text_span){id + n - 5, 5}, ".conf"))
		n -= 5;
	else if (n > 4 && text_span_equal_any_case((struct text_span){id + n - 4, 4}, ".efi"))
		n -= 4;
	return n;
}

size_t entry_stem_length(const char *id)
{
	uint32_t left, done;

	return split_tries(id, length_without_suffix(id), &left, &done);
}

void entry_count_tries(struct boot_entry *entry)
{
	split_tries(entry->id, length_without_suffix(entry->id), &entry->tries_left,
		    &entry->tries_done);
}

bool entry_parse(struct boot_entry *entry, const char *file, const char *text, size_t size)
{
	struct text_span name = {file, strlen(file)};

	*entry = (struct boot_entry){.tries_left = ENTRY_NO_TRIES};
	if (!text_copy(entry->id, sizeof(entry->id), name)) {
		entry->broken = true;
		return boot_error_set(&entry->error, "%s%s: the file's name is too long; rename it",
				      ENTRIES_FOLDER, entry->id);
	}
	entry->broken = !parse_lines(entry, lines_of(text, size));
	entry->efi_program = entry->efi_program && !entry->kernel[0];
	entry_count_tries(entry);
	if (!entry->title[0])
		text_copy(entry->title, sizeof(entry->title),
			  (struct text_span){entry->id, entry_stem_length(entry->id)});
	return !entry->broken;
}
