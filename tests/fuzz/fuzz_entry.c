/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boot entries, loader.conf and the key "umbra": any file is taken or refused
 * with one line of text; what is taken holds strings that end.
 */
#include <stdlib.h>
#include <string.h>

#include "boot/entry_list.h"
#include "boot/loader_config.h"
#include "boot/options.h"
#include "tests/fuzz/fuzz.h"

void fuzz_setup(void) {}

static void check_string(const char *s, size_t size)
{
	if (!memchr(s, 0, size))
		abort();
}

static void check_error(const struct boot_error *error)
{
	check_string(error->text, sizeof(error->text));
	if (!error->text[0] || strchr(error->text, '\n'))
		abort();
}

static void check_entry(const struct boot_entry *e)
{
	check_string(e->id, sizeof(e->id));
	check_string(e->title, sizeof(e->title));
	check_string(e->version, sizeof(e->version));
	check_string(e->machine_id, sizeof(e->machine_id));
	check_string(e->sort_key, sizeof(e->sort_key));
	check_string(e->kernel, sizeof(e->kernel));
	check_string(e->umbra, sizeof(e->umbra));
	check_string(e->options, sizeof(e->options));
	if (e->initrd_count > ENTRY_MAX_INITRDS || e->module_count > ENTRY_MAX_MODULES ||
	    e->acpi_count > ENTRY_MAX_ACPI)
		abort();
	for (u32 i = 0; i < e->acpi_count; i++)
		check_string(e->acpi[i], sizeof(e->acpi[i]));
	for (u32 i = 0; i < e->initrd_count; i++)
		check_string(e->initrd[i], sizeof(e->initrd[i]));
	for (u32 i = 0; i < e->module_count; i++) {
		check_string(e->module[i].path, sizeof(e->module[i].path));
		check_string(e->module[i].string, sizeof(e->module[i].string));
	}
	if (e->broken)
		check_error(&e->error);
}

/* A volume with one half of the text and another with the other. */
static void try_list(const u8 *text, size_t size)
{
	struct entry_list list = {.storage = calloc(ENTRY_LIST_MAX, sizeof(struct boot_entry))};
	char pattern[96];
	bool matched;

	for (u32 i = 0; i < 2; i++) {
		entry_parse(entry_list_next(&list), i ? "two.conf" : "one.conf",
			    (const char *)text + (i ? size / 2 : 0), i ? size - size / 2 : size / 2);
		entry_list_keep(&list);
		entry_list_end_volume(&list, i, "disk 2, partition 1");
	}
	for (u32 i = 0; i < list.count; i++)
		check_entry(list.entries[i]);
	if (list.count) {
		memcpy(pattern, list.entries[0]->version, sizeof(pattern));
		if (entry_list_default(&list, pattern, &matched) >= list.count)
			abort();
	}
	free(list.storage);
}

static void try_entry(const u8 *text, size_t size)
{
	static struct boot_entry entry, other;
	struct boot_entry *list[2] = {&entry, &other};

	memset(&entry, 0xa5, sizeof(entry));
	entry_parse(&entry, "fuzz.conf", (const char *)text, size);
	check_entry(&entry);
	memset(&other, 0xa5, sizeof(other));
	entry_parse(&other, "other.conf", (const char *)text, size / 2);
	check_entry(&other);
	if ((entry_compare(&entry, &other) > 0) != (entry_compare(&other, &entry) < 0))
		abort();
	entry_sort(list, 2);
	try_list(text, size);
}

static void try_config(const u8 *text, size_t size)
{
	struct loader_config config;
	struct boot_error error = {""};

	loader_config_init(&config);
	if (!loader_config_parse(&config, (const char *)text, size, &error))
		check_error(&error);
	check_string(config.default_pattern, sizeof(config.default_pattern));
	(void)text_glob(config.default_pattern, "debian-6.1.conf");
}

static void try_options(const u8 *text, size_t size)
{
	struct umbra_options options;
	struct boot_error error = {""};
	char *line = calloc(1, size + 1);

	for (size_t i = 0; i < size; i++) /* it comes from one line of an entry */
		line[i] = text[i] == '\n' ? ' ' : (char)text[i];
	options_init(&options);
	if (!options_parse(&options, line, true, &error))
		check_error(&error);
	free(line);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = {data, size};
	u32 kind = fuzz_take(&in, 1);
	u8 *text = fuzz_rest(&in);

	switch (kind % 3) {
	case 0: try_entry(text, in.left); break;
	case 1: try_config(text, in.left); break;
	case 2: try_options(text, in.left); break;
	}
	free(text);
	return 0;
}

u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX])
{
	static const char *const seeds[] = {
		("\3title Debian\nversion 6.1.0-56\nmachine-id 4098b3f648d74c13b1f04ccfba7798e8\nsort-key debian\n"
		 "architecture x64\nlinux /vmlinuz\ninitrd /a\ninitrd \\b\noptions root=/dev/sda1 ro\numbra pool=32M bare\n"),
		"\3linux /vmlinuz\nacpi /a.aml  /b.aml\nacpi \\c\n",
		"\3multiboot /kernel one two\nmodule /m string\noptions more\n",
		"\1default debian-*\ntimeout 5\n",
		"\1timeout menu-force\n",
		"\2pool=32M debug cpus=4 serial=0x3f8,115200 bare",
	};

	if (n >= ARRAY_SIZE(seeds))
		return 0;
	strcpy((char *)out, seeds[n]);
	return (u32)strlen(seeds[n]);
}
