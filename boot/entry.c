/* SPDX-License-Identifier: BSD-2-Clause */
/* Boot Loader Specification type 1 entries and loader.conf; see entry.h. */
#include "boot/entry.h"
#include "lib/string.h"

#define ENTRIES_FOLDER "/loader/entries/"
#define LOADER_CONF "/loader/loader.conf"
#define TIMEOUT_MAX 3600u

/* What a line's key asks for. */
enum key_action {
	KEY_COPY,      /* the value replaces the field */
	KEY_APPEND,    /* the value is joined to the field with a blank */
	KEY_KERNEL,
	KEY_MULTIBOOT, /* a path and the command line */
	KEY_MODULE,    /* a path and a string */
	KEY_INITRD,
	KEY_FLAG,      /* takes no value */
	KEY_ARCHITECTURE,
	KEY_IGNORE,    /* defined by the specification, without meaning for a hypervisor */
};

struct key {
	const char *name;
	enum key_action action;
	size_t offset, size;
};

#define FIELD(member) offsetof(struct boot_entry, member), sizeof(((struct boot_entry *)0)->member)

static const struct key keys[] = {
	{"title", KEY_COPY, FIELD(title)},
	{"version", KEY_COPY, FIELD(version)},
	{"machine-id", KEY_COPY, FIELD(machine_id)},
	{"sort-key", KEY_COPY, FIELD(sort_key)},
	{"linux", KEY_KERNEL, FIELD(kernel)},
	{"initrd", KEY_INITRD, 0, 0},
	{"multiboot", KEY_MULTIBOOT, FIELD(kernel)},
	{"module", KEY_MODULE, 0, 0},
	{"force", KEY_FLAG, FIELD(force)},
	{"options", KEY_APPEND, FIELD(options)},
	{"umbra", KEY_APPEND, FIELD(umbra)},
	{"architecture", KEY_ARCHITECTURE, 0, 0},
	{"efi", KEY_IGNORE, 0, 0},
	{"uki", KEY_IGNORE, 0, 0},
	{"uki-url", KEY_IGNORE, 0, 0},
	{"profile", KEY_IGNORE, 0, 0},
	{"extra", KEY_IGNORE, 0, 0},
	{"devicetree", KEY_IGNORE, 0, 0},
	{"devicetree-overlay", KEY_IGNORE, 0, 0},
};

/* A line split into its key and its value; number counts from 1. */
struct line {
	struct text_span key, value;
	uint32_t number;
};

/* Finds the next line that is neither empty nor a comment; false at the end. */
static bool next_key_line(struct text_span *text, struct line *line)
{
	struct text_span raw;

	while (text_next_line(text, &raw)) {
		line->number++;
		line->value = raw;
		if (!text_next_word(&line->value, &line->key) || line->key.at[0] == '#')
			continue;
		line->value = text_trim(line->value);
		return true;
	}
	return false;
}

/* Some editors begin a file with a UTF-8 byte order mark. */
static struct text_span skip_byte_order_mark(struct text_span text)
{
	static const char mark[] = "\xef\xbb\xbf";
	size_t i;

	for (i = 0; i < 3; i++)
		if (i >= text.length || text.at[i] != mark[i])
			return text;
	return (struct text_span){text.at + 3, text.length - 3};
}

static const struct key *find_key(struct text_span name)
{
	uint32_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (text_span_equal(name, keys[i].name))
			return &keys[i];
	return NULL;
}

static bool equal_ignoring_case(struct text_span span, const char *s)
{
	size_t i;

	for (i = 0; i < span.length; i++)
		if (!s[i] || text_lower(span.at[i]) != text_lower(s[i]))
			return false;
	return s[i] == '\0';
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

/* Stores one line's value; NULL, or what is wrong with it. */
static const char *store_value(struct boot_entry *entry, const struct key *key,
			       struct text_span value)
{
	char *field = (char *)entry + key->offset;
	bool fits = true;

	switch (key->action) {
	case KEY_KERNEL:
	case KEY_MULTIBOOT:
		if (entry->kernel[0])
			return "names a second kernel; keep one";
		fits = key->action == KEY_KERNEL ? text_copy(field, key->size, value) :
			store_multiboot(entry, value);
		break;
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
	case KEY_COPY:
		fits = text_copy(field, key->size, value);
		break;
	case KEY_APPEND:
		fits = text_append_word(field, key->size, value);
		break;
	case KEY_INITRD:
		if (entry->initrd_count == ENTRY_MAX_INITRDS)
			return "is given more than 8 times; concatenate the files";
		fits = text_copy(entry->initrd[entry->initrd_count++], ENTRY_PATH_MAX, value);
		break;
	case KEY_ARCHITECTURE:
		entry->other_architecture = !equal_ignoring_case(value, "x64");
		break;
	case KEY_IGNORE:
		break;
	}
	return fits ? NULL : "has a value that is too long; shorten it";
}

/* What the lines say together. */
static bool check_kernel(struct boot_entry *entry)
{
	const char *wrong = NULL;

	if (!entry->kernel[0])
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
	struct line line = {.number = 0};
	const struct key *key;
	const char *wrong;

	while (next_key_line(&text, &line)) {
		key = find_key(line.key);
		if (!key)
			return boot_error_set(&entry->error,
				"%s%s line %u: unknown key \"%.*s\"; correct or remove the line",
				ENTRIES_FOLDER, entry->id, line.number,
				(int)line.key.length, line.key.at);
		wrong = line.value.length || may_be_empty(key) ?
			store_value(entry, key, line.value) :
			"has no value; write one or remove the line";
		if (wrong)
			return boot_error_set(&entry->error, "%s%s line %u: key \"%s\" %s",
					      ENTRIES_FOLDER, entry->id, line.number,
					      key->name, wrong);
	}
	return check_kernel(entry);
}

/* The length of an id without its .conf. */
static size_t stem_length(const char *id)
{
	size_t n = strlen(id);

	if (n > 5 && equal_ignoring_case((struct text_span){id + n - 5, 5}, ".conf"))
		n -= 5;
	return n;
}

bool entry_parse(struct boot_entry *entry, const char *file, const char *text, size_t size)
{
	struct text_span name = {file, strlen(file)};

	*entry = (struct boot_entry){.initrd_count = 0};
	if (!text_copy(entry->id, sizeof(entry->id), name)) {
		entry->broken = true;
		return boot_error_set(&entry->error,
				      "%s%s: the file's name is too long; rename it",
				      ENTRIES_FOLDER, entry->id);
	}
	entry->broken = !parse_lines(entry, skip_byte_order_mark((struct text_span){text, size}));
	if (!entry->title[0])
		text_copy(entry->title, sizeof(entry->title),
			  (struct text_span){entry->id, stem_length(entry->id)});
	return !entry->broken;
}

void loader_config_init(struct loader_config *config)
{
	*config = (struct loader_config){.timeout = 0};
}

/* Keys of systemd-boot that may stand in a shared loader.conf and change nothing here. */
static bool is_foreign_loader_key(struct text_span key)
{
	static const char *const names[] = {
		"console-mode", "editor", "auto-entries", "auto-firmware", "auto-reboot",
		"auto-poweroff", "beep", "secure-boot-enroll", "secure-boot-enroll-action",
		"secure-boot-enroll-timeout-sec", "reboot-for-bitlocker",
		"reboot-on-error", "random-seed-mode", "log-level", "preferred",
	};
	uint32_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (text_span_equal(key, names[i]))
			return true;
	return false;
}

static bool parse_timeout(struct text_span value, uint32_t *seconds)
{
	uint64_t v;

	if (text_span_equal(value, "menu-force"))
		*seconds = LOADER_WAIT_FOREVER;
	else if (text_span_equal(value, "menu-hidden") || text_span_equal(value, "menu-disabled"))
		*seconds = 0;
	else if (text_parse_u64(value, &v) && v <= TIMEOUT_MAX)
		*seconds = (uint32_t)v;
	else
		return false;
	return true;
}

bool loader_config_parse(struct loader_config *config, const char *text, size_t size,
			 struct boot_error *error)
{
	struct text_span rest = skip_byte_order_mark((struct text_span){text, size});
	struct line line = {.number = 0};

	loader_config_init(config);
	while (next_key_line(&rest, &line)) {
		if (text_span_equal(line.key, "default")) {
			if (!text_copy(config->default_pattern, sizeof(config->default_pattern),
				       line.value))
				return boot_error_set(error,
					LOADER_CONF " line %u: the pattern is too long; shorten it",
					line.number);
		} else if (text_span_equal(line.key, "timeout")) {
			if (!parse_timeout(line.value, &config->timeout))
				return boot_error_set(error, LOADER_CONF
					" line %u: timeout \"%.*s\" is not a number of seconds"
					" up to %u; correct it", line.number,
					(int)line.value.length, line.value.at, TIMEOUT_MAX);
		} else if (!is_foreign_loader_key(line.key)) {
			return boot_error_set(error, LOADER_CONF
				" line %u: unknown key \"%.*s\"; correct or remove the line",
				line.number, (int)line.key.length, line.key.at);
		}
	}
	return true;
}

int entry_compare(const struct boot_entry *a, const struct boot_entry *b)
{
	int order;

	if (!a->sort_key[0] != !b->sort_key[0])
		return a->sort_key[0] ? -1 : 1;
	if (a->sort_key[0]) {
		order = strcmp(a->sort_key, b->sort_key);
		if (!order)
			order = strcmp(a->machine_id, b->machine_id);
		if (!order)
			order = text_compare_versions(b->version, a->version);
		if (order)
			return order;
	}
	order = text_compare_versions(b->id, a->id);
	return order ? order : strcmp(a->id, b->id);
}

void entry_sort(struct boot_entry **entries, uint32_t count)
{
	uint32_t i, j;

	for (i = 1; i < count; i++) {
		struct boot_entry *entry = entries[i];

		for (j = i; j > 0 && entry_compare(entry, entries[j - 1]) < 0; j--)
			entries[j] = entries[j - 1];
		entries[j] = entry;
	}
}

uint32_t entry_find_default(struct boot_entry *const *entries, uint32_t count, const char *pattern)
{
	char stem[sizeof(entries[0]->id)];
	uint32_t i;

	for (i = 0; i < count; i++) {
		const char *id = entries[i]->id;

		text_copy(stem, sizeof(stem), (struct text_span){id, stem_length(id)});
		if (!pattern[0] || text_glob(pattern, id) || text_glob(pattern, stem))
			return i;
	}
	return count;
}
