/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boot entries, loader.conf, the key "umbra" and the judgement of the CPU: what
 * is accepted, in which order, and that every mistake gives one line that names
 * what is wrong. check.c is included, since no library of the build carries it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/check.c"
#include "boot/entry_list.h"
#include "boot/loader_config.h"
#include "boot/options.h"
#include "lib/trace_record.h"

static struct boot_entry entry;
static struct boot_error error;

/* The text in a block of its own size, so that a read beyond it is caught. */
static bool parse(const char *file, const char *text)
{
	size_t size = strlen(text);
	char *copy = malloc(size ? size : 1);
	bool good;

	memcpy(copy, text, size);
	memset(&entry, 0xa5, sizeof(entry));
	good = entry_parse(&entry, file, copy, size);
	free(copy);
	return good;
}

static void assert_error_has(const struct boot_error *e, const char *part)
{
	if (!strstr(e->text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, e->text);
	assert_null(strchr(e->text, '\n'));
}

static void every_key_of_a_full_entry_is_read(void **state)
{
	assert_true(parse("debian-6.1.conf", "# comment\n"
					     "title\t Debian GNU/Linux  12 \r\n"
					     "version 6.1.0-56\n"
					     "machine-id 4098b3f648d74c13b1f04ccfba7798e8\n"
					     "sort-key debian\n"
					     "\n"
					     "architecture X64\n"
					     "linux /vmlinuz\n"
					     "initrd \\initrd one.gz\n"
					     "initrd /two\n"
					     "options root=/dev/sda1 ro\n"
					     "  options   console=ttyS0  \n"
					     "umbra pool=32M\n"
					     "umbra bare\n"
					     "devicetree /x.dtb\n"
					     "efi /ignored.efi"));
	assert_string_equal(entry.id, "debian-6.1.conf");
	assert_string_equal(entry.title, "Debian GNU/Linux  12");
	assert_string_equal(entry.version, "6.1.0-56");
	assert_string_equal(entry.machine_id, "4098b3f648d74c13b1f04ccfba7798e8");
	assert_string_equal(entry.sort_key, "debian");
	assert_string_equal(entry.kernel, "/vmlinuz");
	assert_int_equal(entry.initrd_count, 2);
	assert_string_equal(entry.initrd[0], "\\initrd one.gz");
	assert_string_equal(entry.initrd[1], "/two");
	assert_string_equal(entry.options, "root=/dev/sda1 ro console=ttyS0");
	assert_string_equal(entry.umbra, "pool=32M bare");
	assert_false(entry.other_architecture);
	assert_false(entry.broken);
}

static void acpi_takes_several_files_in_several_lines(void **state)
{
	char many[9 * (ENTRY_MAX_ACPI + 1) + 20] = "linux /k\nacpi",
					     longer[ENTRY_PATH_MAX + 30] = "linux /k\nacpi /";

	assert_true(parse("a.conf", "linux /k\nacpi /dsdt.aml  \\acpi\\ssdt.aml\t\nacpi /madt.aml\n"));
	assert_int_equal(entry.acpi_count, 3);
	assert_string_equal(entry.acpi[0], "/dsdt.aml");
	assert_string_equal(entry.acpi[1], "\\acpi\\ssdt.aml");
	assert_string_equal(entry.acpi[2], "/madt.aml");
	assert_true(parse("a.conf", "multiboot /k\nacpi /a\nsymbols /boot/System map\n"));
	assert_string_equal(entry.symbols, "/boot/System map");
	assert_false(parse("a.conf", "linux /k\nacpi\n"));
	assert_error_has(&entry.error, "a.conf line 2: key \"acpi\" has no value");
	for (uint32_t i = 0; i < ENTRY_MAX_ACPI; i++)
		strcat(many, " /a");
	assert_true(parse("a.conf", many));
	assert_int_equal(entry.acpi_count, ENTRY_MAX_ACPI);
	strcat(many, "\nacpi /a");
	assert_false(parse("a.conf", many));
	assert_error_has(&entry.error, "more than 32 files");
	memset(longer + strlen(longer), 'x', ENTRY_PATH_MAX - 1);
	assert_false(parse("a.conf", longer));
	assert_error_has(&entry.error, "too long");
}

static void a_missing_title_is_made_from_the_file_name(void **state)
{
	assert_true(parse("one.CONF", "\xef\xbb\xbflinux /k"));
	assert_string_equal(entry.title, "one");
	assert_string_equal(entry.kernel, "/k");
}

static void empty_options_are_allowed(void **state)
{
	assert_true(parse("a.conf", "linux /k\noptions\numbra   \n"));
	assert_string_equal(entry.options, "");
}

static void an_unknown_key_is_named_with_file_and_line(void **state)
{
	assert_false(parse("a.conf", "title x\r\n\r\n# c\r\nlinus /vmlinuz\r\nlinux /k\r\n"));
	assert_true(entry.broken);
	assert_error_has(&entry.error, "a.conf line 4");
	assert_error_has(&entry.error, "\"linus\"");
	assert_false(parse("a.conf", "Linux /k\n"));
	assert_false(parse("a.conf", "linu /k\n"));
	assert_false(parse("a.conf", "linuxx /k\n"));
}

static void mistakes_in_an_entry_are_explained(void **state)
{
	assert_false(parse("a.conf", "title x\n"));
	assert_error_has(&entry.error, "no line \"linux\"");
	assert_false(parse("a.conf", ""));
	assert_false(parse("a.conf", "linux\n"));
	assert_error_has(&entry.error, "a.conf line 1: key \"linux\" has no value");
	assert_false(parse("a.conf", "linux /a\nlinux /b\n"));
	assert_error_has(&entry.error, "line 2: key \"linux\" names a second kernel");
	assert_false(parse("a.conf", "linux /a\ninitrd 1\ninitrd 2\ninitrd 3\ninitrd 4\ninitrd 5\n"
				     "initrd 6\ninitrd 7\ninitrd 8\ninitrd 9\n"));
	assert_error_has(&entry.error, "line 10");
	assert_int_equal(entry.initrd_count, ENTRY_MAX_INITRDS);
}

static void keys_of_other_loaders_are_passed_over(void **state)
{
	assert_true(parse("a.conf", "title Example Linux\nversion 6.1\nlinux /kernel\ninitrd /initrd0.img\n"
				    "options console=ttyS0\nid 7\ngrub_users $grub_users\ngrub_arg --unrestricted\n"
				    "grub_class example\ngrub_hotkey\n"));
	assert_string_equal(entry.options, "console=ttyS0");
	assert_false(parse("a.conf", "linux /k\ngrub x\n"));
	assert_false(parse("a.conf", "linux /k\nids x\n"));
}

static void a_line_names_one_file(void **state)
{
	assert_true(parse("a.conf", "linux /my kernel/k\ninitrd /one gz\ninitrd /two\n"));
	assert_string_equal(entry.kernel, "/my kernel/k");
	assert_int_equal(entry.initrd_count, 2);
	assert_false(parse("a.conf", "linux /k\ninitrd /one /two\n"));
	assert_error_has(&entry.error, "a.conf line 2: key \"initrd\" names two files; write a line for each");
	assert_false(parse("a.conf", "linux /k\ninitrd /one\t\\two\n"));
	assert_false(parse("a.conf", "linux /k /l\n"));
	assert_error_has(&entry.error, "line 1: key \"linux\" names two files; keep one");
}

static void utf8_is_kept_as_it_is(void **state)
{
	assert_true(parse("gr\u00fcn.conf",
			  "title Gr\u00f6\u00dfe\nlinux /gr\u00f6\u00dfe/kernel\ninitrd /\U0001f600\n"));
	assert_string_equal(entry.id, "gr\u00fcn.conf");
	assert_string_equal(entry.title, "Gr\u00f6\u00dfe");
	assert_string_equal(entry.kernel, "/gr\u00f6\u00dfe/kernel");
	assert_string_equal(entry.initrd[0], "/\U0001f600");
}

static void multiboot_entries_have_modules_and_command_line(void **state)
{
	assert_true(parse("mb.conf", "multiboot /kernel.elf one two=2 \nmodule /a first  string\noptions three\n"
				     "module \\b\nforce\n"));
	assert_true(entry.multiboot);
	assert_true(entry.force);
	assert_string_equal(entry.kernel, "/kernel.elf");
	assert_string_equal(entry.options, "one two=2 three");
	assert_int_equal(entry.module_count, 2);
	assert_string_equal(entry.module[0].path, "/a");
	assert_string_equal(entry.module[0].string, "first  string");
	assert_string_equal(entry.module[1].path, "\\b");
	assert_string_equal(entry.module[1].string, "");
	assert_true(parse("mb.conf", "multiboot /k\n"));
	assert_string_equal(entry.options, "");
	assert_false(entry.force);
	assert_true(parse("a.conf", "linux /k\n"));
	assert_false(entry.multiboot);
}

static void mistakes_in_multiboot_entries_are_explained(void **state)
{
	char text[1024];
	int i;

	assert_false(parse("a.conf", "multiboot /a\nlinux /b\n"));
	assert_error_has(&entry.error, "line 2: key \"linux\" names a second kernel");
	assert_false(parse("a.conf", "linux /b\nmultiboot /a\n"));
	assert_false(parse("a.conf", "multiboot /a\ninitrd /b\n"));
	assert_error_has(&entry.error, "write \"module\"");
	assert_false(parse("a.conf", "linux /a\nmodule /b\n"));
	assert_error_has(&entry.error, "write \"initrd\"");
	assert_false(parse("a.conf", "multiboot\n"));
	assert_false(parse("a.conf", "multiboot /a\nmodule\n"));
	assert_false(parse("a.conf", "multiboot /a\nforce yes\n"));
	assert_error_has(&entry.error, "line 2: key \"force\" takes no value");
	strcpy(text, "multiboot /k\n");
	for (i = 0; i <= ENTRY_MAX_MODULES; i++)
		strcat(text, "module /m\n");
	assert_false(parse("a.conf", text));
	assert_error_has(&entry.error, "line 18");
}

static void self_test_needs_no_file_and_takes_none(void **state)
{
	assert_true(parse("a.conf", "title T\nself-test\noptions page=1\numbra cpus=1\n"));
	assert_true(entry.self_test && !entry.built_in);
	assert_string_equal(entry.options, "page=1");
	assert_string_equal(entry.umbra, "cpus=1");
	assert_false(parse("a.conf", "self-test\nlinux /k\n"));
	assert_error_has(&entry.error, "has \"self-test\" and a kernel, an initrd or a module; keep one");
	assert_false(parse("a.conf", "self-test\ninitrd /i\n"));
	assert_false(parse("a.conf", "module /m\nself-test\n"));
	assert_false(parse("a.conf", "self-test yes\n"));
}

static void what_is_too_long_is_refused(void **state)
{
	char text[8192], name[200];

	strcpy(text, "linux /");
	memset(text + 7, 'x', ENTRY_PATH_MAX);
	strcpy(text + 7 + ENTRY_PATH_MAX, "\n");
	assert_false(parse("a.conf", text));
	assert_error_has(&entry.error, "too long");
	strcpy(text, "linux /k\noptions ");
	memset(text + 17, 'y', 4096);
	text[17 + 4096] = '\0';
	assert_false(parse("a.conf", text));
	text[17 + 4095] = '\0';
	assert_true(parse("a.conf", text));
	assert_int_equal(strlen(entry.options), 4095);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_false(parse(name, "linux /k"));
	assert_error_has(&entry.error, "name is too long");
}

static void an_efi_program_is_named_and_does_not_hide_a_mistake(void **state)
{
	assert_false(parse("a.conf", "title x\nefi /EFI/umbra/umbra.efi\noptions y\n"));
	assert_true(entry.efi_program && entry.broken);
	assert_error_has(&entry.error, "a.conf starts an EFI program, which cannot run under Umbra");
	assert_false(parse("a.conf", "uki /EFI/Linux/x.efi\n"));
	assert_true(entry.efi_program);
	assert_true(parse("a.conf", "efi /x.efi\nlinux /k\n"));
	assert_false(entry.efi_program);
	assert_false(parse("a.conf", "efi /x.efi\nlinux /k\ncolour blue\n"));
	assert_false(entry.efi_program);
	assert_error_has(&entry.error, "colour");
	assert_false(parse("a.conf", "title x\n"));
	assert_false(entry.efi_program);
}

static void too_many_lines_of_a_key_are_refused(void **state)
{
	char text[600] = "linux /k\n";
	int i;

	for (i = 0; i < ENTRY_MAX_INITRDS; i++)
		strcat(text, "initrd /i\n");
	assert_true(parse("a.conf", text));
	strcat(text, "initrd /i\n");
	assert_false(parse("a.conf", text));
	assert_error_has(&entry.error, "line 10: key \"initrd\" is given more than 8 times; concatenate the files");
	strcpy(text, "multiboot /k\n");
	for (i = 0; i < ENTRY_MAX_MODULES; i++)
		strcat(text, "module /m\n");
	assert_true(parse("a.conf", text));
	strcat(text, "module /m\n");
	assert_false(parse("a.conf", text));
	assert_error_has(&entry.error,
			 "line 18: key \"module\" is given more than 16 times; put the files together");
}

static void another_architecture_is_marked(void **state)
{
	assert_false(parse("a.conf", "linux /k\narchitecture aa64\n"));
	assert_true(entry.other_architecture && entry.broken && entry_is_foreign(&entry));
	assert_error_has(&entry.error, "a.conf is for another architecture; Umbra boots x64 alone");
	assert_true(parse("a.conf", "linux /k\narchitecture X64\n"));
	assert_false(entry_is_foreign(&entry));
}

static void loader_conf_gives_default_and_timeout(void **state)
{
	struct loader_config config;
	const char *text = "timeout 5\n#x\ndefault debian-*\nconsole-mode max\neditor no\n";

	assert_true(loader_config_parse(&config, text, strlen(text), &error));
	assert_int_equal(config.timeout, 5);
	assert_string_equal(config.default_pattern, "debian-*");
	assert_true(loader_config_parse(&config, "", 0, &error));
	assert_int_equal(config.timeout, 0);
	assert_false(config.disabled || config.no_editor);
	text = "timeout menu-force";
	assert_true(loader_config_parse(&config, text, strlen(text), &error));
	assert_int_equal(config.timeout, LOADER_WAIT_FOREVER);
	text = "timeout menu-hidden\neditor yes\ndefault @saved\n";
	assert_true(loader_config_parse(&config, text, strlen(text), &error));
	assert_true(!config.timeout && !config.disabled && !config.no_editor);
	assert_string_equal(config.default_pattern, LOADER_SAVED);
	text = "timeout menu-disabled\neditor off\n";
	assert_true(loader_config_parse(&config, text, strlen(text), &error));
	assert_true(!config.timeout && config.disabled && config.no_editor);
	text = "timeout menu-disabled\ntimeout 3\n";
	assert_true(loader_config_parse(&config, text, strlen(text), &error));
	assert_true(config.timeout == 3 && !config.disabled);
}

static void mistakes_in_loader_conf_are_explained(void **state)
{
	struct loader_config config;
	const char *text = "timeout 5\ndefalt x\n";
	char pattern[200];

	assert_false(loader_config_parse(&config, text, strlen(text), &error));
	assert_error_has(&error, "loader.conf line 2: unknown key \"defalt\"");
	text = "timeout soon\n";
	assert_false(loader_config_parse(&config, text, strlen(text), &error));
	assert_error_has(&error, "\"soon\"");
	text = "#\neditor perhaps\n";
	assert_false(loader_config_parse(&config, text, strlen(text), &error));
	assert_error_has(&error, "loader.conf line 2: editor \"perhaps\" is neither yes nor no");
	text = "timeout 99999999999\n";
	assert_false(loader_config_parse(&config, text, strlen(text), &error));
	text = "timeout\n";
	assert_false(loader_config_parse(&config, text, strlen(text), &error));
	snprintf(pattern, sizeof(pattern), "default %0128d\n", 1);
	assert_false(loader_config_parse(&config, pattern, strlen(pattern), &error));
	assert_error_has(&error, "line 1: the pattern is too long; shorten it");
}

static void globs_match_as_the_shell_does(void **state)
{
	assert_true(text_glob("*", ""));
	assert_true(text_glob("", ""));
	assert_false(text_glob("", "a"));
	assert_true(text_glob("deb*.conf", "debian-6.CONF"));
	assert_true(text_glob("*a*b*c", "xxaxxabxbxc"));
	assert_false(text_glob("*a*b*c", "xxaxxabxbxcd"));
	assert_true(text_glob("a?c", "abc"));
	assert_false(text_glob("a?c", "ac"));
	assert_true(text_glob("[a-cx]1", "B1"));
	assert_false(text_glob("[!a-c]1", "b1"));
	assert_true(text_glob("[]]x", "]x"));
	assert_true(text_glob("[abc", "[abc"));
	assert_true(text_glob("a\\*", "a*"));
	assert_false(text_glob("a\\*", "ab"));
	assert_false(text_glob("a*", ""));
}

static void make(struct boot_entry *e, const char *id, const char *sort_key, const char *machine, const char *version)
{
	memset(e, 0, sizeof(*e));
	strcpy(e->id, id);
	strcpy(e->sort_key, sort_key);
	strcpy(e->machine_id, machine);
	strcpy(e->version, version);
	e->tries_left = ENTRY_NO_TRIES;
}

static void the_menu_is_ordered_as_the_specification_says(void **state)
{
	static struct boot_entry e[7];
	struct boot_entry *p[7];
	static const char *const wanted[] = {
		"e", "c", "d", "b", "linux-6.10.conf", "linux-6.9.conf", "linux-6.9~rc1.conf"};
	uint32_t i;

	make(&e[0], "linux-6.9~rc1.conf", "", "", "");
	make(&e[1], "linux-6.9.conf", "", "", "");
	make(&e[2], "linux-6.10.conf", "", "", "");
	make(&e[3], "b", "debian", "2", "9");
	make(&e[4], "c", "debian", "1", "6.1.10");
	make(&e[5], "d", "debian", "1", "6.1.9");
	make(&e[6], "e", "arch", "9", "1");
	for (i = 0; i < 7; i++)
		p[i] = &e[i];
	entry_sort(p, 7);
	for (i = 0; i < 7; i++)
		assert_string_equal(p[i]->id, wanted[i]);
}

static void the_default_is_found_with_and_without_conf(void **state)
{
	static struct boot_entry e[3];
	struct entry_list p = {.entries = {&e[0], &e[1], &e[2]}, .count = 3, .own = 3};
	bool matched;

	make(&e[0], "first.conf", "", "", "");
	make(&e[1], "second.conf", "", "", "");
	make(&e[2], "second-b.conf", "", "", "");
	assert_int_equal(entry_list_default(&p, "", &matched), 0);
	assert_int_equal(entry_list_default(&p, "second.conf", &matched), 1);
	assert_int_equal(entry_list_default(&p, "second", &matched), 1);
	assert_int_equal(entry_list_default(&p, "second-*", &matched), 2);
	assert_int_equal(entry_list_default(&p, "SECOND*", &matched), 1);
	assert_int_equal(entry_list_default(&p, "second", &matched), 1);
	assert_true(matched);
	assert_int_equal(entry_list_default(&p, "third", &matched), 0);
	assert_false(matched);
}

/* Each string is older than the next; the list is that of the version format specification. */
static void versions_are_ordered(void **state)
{
	static const char *const order[] = {
		"~rc1",  "",        "122.1",     "123~rc1-1", "123",     "123-a",  "123-a.1",
		"123-1", "123-1.1", "123^post1", "123.a-1",   "123.1-1", "123a-1", "124-1",
	};
	size_t i, j, n = sizeof(order) / sizeof(order[0]);

	for (i = 0; i < n; i++) {
		for (j = 0; j < n; j++) {
			int c = text_compare_versions(order[i], order[j]);

			if ((c < 0) != (i < j) || (c > 0) != (i > j))
				fail_msg("%s against %s: %d", order[i], order[j], c);
		}
	}
	assert_int_equal(text_compare_versions("1.01", "1.1"), 0);
	assert_int_equal(text_compare_versions("1_0", "1+0"), 0);
	assert_true(text_compare_versions("6.1.0-100", "6.1.0-99") > 0);
}

static struct umbra_options options;

static void umbra_options_have_defaults(void **state)
{
	assert_true(options_parse(&options, "", true, &error));
	assert_int_equal(options.serial.kind, SERIAL_AUTO);
	assert_int_equal(options.serial.baud, 0);
	assert_int_equal(options.hv.log_level, 2);
	assert_int_equal(options.hv.pool_bytes, 0);
	assert_int_equal(options.hv.shadow_bytes, 0);
	assert_int_equal(options.hv.audit_interval, 0);
	assert_string_equal(options.hv.cpuid_hide, "");
	assert_false(options.bare);
}

static void umbra_options_are_read(void **state)
{
	const char *line = "serial=ttyS1,9600 pool=64M  shadow=3072K loglevel=debug"
			   " cpuid=-pku,-la57 audit=1000 cpuid=-sse4_1 cpus=256 bare";

	assert_true(options_parse(&options, line, true, &error));
	assert_int_equal(options.serial.uart.base, 0x2f8);
	assert_int_equal(options.serial.baud, 9600);
	assert_int_equal(options.hv.pool_bytes, 64 << 20);
	assert_int_equal(options.hv.shadow_bytes, 3 << 20);
	assert_int_equal(options.hv.log_level, 3);
	assert_int_equal(options.hv.audit_interval, 1000);
	assert_int_equal(options.hv.cpus, 256);
	assert_string_equal(options.hv.cpuid_hide, "-pku,-la57,-sse4_1");
	assert_string_equal(options.hv.raw, line);
	assert_true(options.bare);
	assert_true(options_parse(&options, "serial=0x2e8", true, &error));
	assert_int_equal(options.serial.uart.base, 0x2e8);
	assert_int_equal(options.serial.baud, 0);
	assert_true(options_parse(&options, "serial=none", true, &error));
	assert_int_equal(options.serial.kind, SERIAL_NONE);
	assert_true(options_parse(&options, "pool=0x1000000 shadow=1g", true, &error));
	assert_int_equal(options.hv.pool_bytes, 16 << 20);
	assert_int_equal(options.hv.cpus, 0);
}

static void options_of_the_monitor_are_read(void **state)
{
	assert_true(options_parse(&options, "", true, &error));
	assert_int_equal(options.hv.debug.monitor, BOOT_MONITOR_OFF);
	assert_int_equal(options.hv.debug.death, BOOT_DEATH_USUAL);
	assert_int_equal(options.hv.debug.escape, 1);
	assert_true(options_parse(&options, "monitor=ttyS1,9600 death=monitor escape=b", true, &error));
	assert_int_equal(options.hv.debug.monitor, BOOT_MONITOR_PORT);
	assert_int_equal(options.hv.debug.port.base, 0x2f8);
	assert_int_equal(options.hv.debug.port.baud, 9600);
	assert_int_equal(options.hv.debug.death, BOOT_DEATH_MONITOR);
	assert_int_equal(options.hv.debug.escape, 2);
	assert_true(options_parse(&options, "monitor=shared death=reboot", true, &error));
	assert_int_equal(options.hv.debug.monitor, BOOT_MONITOR_SHARED);
	assert_int_equal(options.hv.debug.death, BOOT_DEATH_REBOOT);
	assert_false(options.hv.debug.panic);
	assert_true(options_parse(&options, "panic=watch", true, &error));
	assert_true(options.hv.debug.panic);
	assert_true(options_parse(&options, "panic=watch panic=off", true, &error));
	assert_false(options.hv.debug.panic);
	assert_true(options_parse(&options, "monitor=ttyS1 monitor=off", true, &error));
	assert_int_equal(options.hv.debug.monitor, BOOT_MONITOR_OFF);
}

static void a_port_is_gdbs_or_the_monitors(void **state)
{
	assert_true(options_parse(&options, "gdb=ttyS1,9600", true, &error));
	assert_int_equal(options.hv.debug.monitor, BOOT_MONITOR_PORT);
	assert_int_equal(options.hv.debug.gdb, 1);
	assert_int_equal(options.hv.debug.port.base, 0x2f8);
	assert_int_equal(options.hv.debug.port.baud, 9600);
	assert_true(options_parse(&options, "monitor=ttyS1", true, &error));
	assert_int_equal(options.hv.debug.gdb, 0);
	assert_false(options_parse(&options, "gdb=ttyS1 monitor=ttyS2", true, &error));
	assert_false(options_parse(&options, "monitor=ttyS1 gdb=ttyS2", true, &error));
	assert_false(options_parse(&options, "monitor=shared gdb=ttyS2", true, &error));
}

static void wrong_umbra_options_are_named(void **state)
{
	static const char *const wrong[] = {
		"serial=",
		"serial",
		"serial=ttyS4",
		"serial=ttyS0,",
		"serial=ttyS0,7000",
		"serial=ttyS0,0",
		"serial=0x3f8,115200x",
		"serial=0",
		"serial=0x10000",
		"pool=",
		"pool=1M",
		"pool=x",
		"pool=99999999T",
		"pool=16MM",
		"shadow=0",
		"shadow=4K",
		"shadow=255K",
		"loglevel=loud",
		"loglevel",
		"cpuid=",
		"cpuid=pku",
		"cpuid=-",
		"cpuid=-a,",
		"cpuid=-a,,-b",
		"cpuid=-A",
		"audit=",
		"audit=-1",
		"audit=4294967296",
		"cpus=",
		"cpus=0",
		"cpus=257",
		"cpus=65537",
		"cpus=4,",
		"sipi=",
		"sipi=1",
		"sipi=Protected",
		"sipi=protected,",
		"sipi=protecte",
		"sipi=reality",
		"sipi=long",
		"flushcheck=",
		"flushcheck=yes",
		"trace=",
		"trace",
		"trace=fills",
		"trace=fill,,walk",
		"trace=size=4K", /* of nothing */
		"trace=fill,size=",
		"trace=fill,size=4095",
		"trace=fill,size=65M",
		"trace=fill,guest=1",
		"sipi",
		"monitor=",
		"monitor=auto",
		"gdb=",
		"gdb=shared",
		"gdb=off",
		"gdb=mmio:0xfe000000",
		"monitor=pci",
		"monitor=mmio:0xfe000000",
		"monitor=ttyS4",
		"monitor=shared,9600",
		"escape=A",
		"escape=ab",
		"death=",
		"death=never",
		"panic=",
		"panic=yes",
		"bare=1",
		"colour=red",
		"=",
		"Bare",
	};
	char line[64];
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(line, sizeof(line), "audit=5 %s", wrong[i]);
		if (options_parse(&options, line, true, &error))
			fail_msg("%s was accepted", wrong[i]);
		assert_error_has(&error, wrong[i]);
	}
	assert_false(options_parse(&options, "frob", true, &error));
	assert_error_has(&error, "unknown umbra option \"frob\"");
}

static void least_pool_and_shadow_are_taken(void **state)
{
	assert_true(options_parse(&options, "pool=2M shadow=256K", true, &error));
	assert_int_equal(options.hv.pool_bytes, 2 << 20);
	assert_int_equal(options.hv.shadow_bytes, 256 << 10);
}

static void kinds_of_the_trace_and_its_size_are_taken(void **state)
{
	assert_true(options_parse(&options, "audit=0", true, &error));
	assert_true(!options.hv.trace_kinds && !options.hv.trace_bytes && !options.hv.trace_changes);
	assert_true(options_parse(&options, "trace=exit,a,d,size=1M", true, &error));
	assert_int_equal(options.hv.trace_kinds, 1u << TRACE_EXIT | 1u << TRACE_A_SET | 1u << TRACE_D_SET);
	assert_int_equal(options.hv.trace_bytes, 1 << 20);
	assert_false(options.hv.trace_changes);
	assert_int_equal(options.hv.flush_check, BOOT_FLUSH_CHECK_OFF);
	assert_true(options_parse(&options, "flushcheck=strict", true, &error));
	assert_int_equal(options.hv.flush_check, BOOT_FLUSH_CHECK_STRICT);
	assert_true(options_parse(&options, "flushcheck=on", true, &error));
	assert_int_equal(options.hv.flush_check, BOOT_FLUSH_CHECK_ON);
	assert_true(options_parse(&options, "trace=guest", true, &error));
	assert_true(options.hv.trace_changes && !options.hv.trace_kinds);
	assert_int_equal(options.hv.trace_bytes, OPTIONS_TRACE_DEFAULT);
	assert_true(options_parse(&options, "trace=all", true, &error));
	assert_int_equal(options.hv.trace_kinds, TRACE_ALL);
	assert_true(options_parse(&options, "trace=flight,msr", true, &error));
	assert_int_equal(options.hv.trace_kinds, TRACE_FLIGHT | 1u << TRACE_MSR);
}

static void audits_are_for_debug_builds(void **state)
{
	assert_false(options_parse(&options, "audit=1000", false, &error));
	assert_error_has(&error, "DEBUG=1");
	assert_true(options_parse(&options, "audit=0", false, &error));
	assert_true(options_parse(&options, "audit=1000", true, &error));
}

static void long_umbra_options_are_refused(void **state)
{
	char line[1024] = "cpuid=-";

	memset(line + 7, 'a', 300);
	line[307] = '\0';
	assert_false(options_parse(&options, line, true, &error));
	memset(line, ' ', 1000);
	line[1000] = '\0';
	assert_false(options_parse(&options, line, true, &error));
	assert_error_has(&error, "longer than 511");
}

static void numbers_and_sizes_do_not_overflow(void **state)
{
	uint64_t v;

	assert_true(text_parse_u64((struct text_span){"18446744073709551615", 20}, &v));
	assert_true(v == UINT64_MAX);
	assert_false(text_parse_u64((struct text_span){"18446744073709551616", 20}, &v));
	assert_true(text_parse_u64((struct text_span){"0xffffffffffffffff", 18}, &v));
	assert_false(text_parse_u64((struct text_span){"0x10000000000000000", 19}, &v));
	assert_false(text_parse_u64((struct text_span){"0x", 2}, &v));
	assert_false(text_parse_u64((struct text_span){"", 0}, &v));
	assert_true(text_parse_size((struct text_span){"16383P", 5}, &v));
	assert_int_equal(v, 16383);
	assert_true(text_parse_size((struct text_span){"16777215T", 9}, &v));
	assert_false(text_parse_size((struct text_span){"16777216T", 9}, &v));
	assert_false(text_parse_size((struct text_span){"M", 1}, &v));
}

static void a_cpu_with_svm_is_accepted(void **state)
{
	struct cpu_facts facts = {.nx = true, .svm = true};

	assert_true(check_cpu(&facts, false, &error));
}

static void a_cpu_without_virtualisation_is_refused(void **state)
{
	struct cpu_facts facts = {.nx = true};

	assert_false(check_cpu(&facts, false, &error));
	assert_error_has(&error, "neither SVM nor VMX");
	assert_true(check_cpu(&facts, true, &error));
}

static void svm_locked_off_is_refused(void **state)
{
	struct cpu_facts facts = {.nx = true, .svm = true, .vm_cr = 0x18};

	assert_false(check_cpu(&facts, false, &error));
	assert_error_has(&error, "VM_CR.SVMDIS");
	facts.svm_key = true;
	assert_false(check_cpu(&facts, false, &error));
	assert_error_has(&error, "with a key");
	facts.vm_cr = 0x8;
	assert_true(check_cpu(&facts, false, &error));
}

static void vmx_locked_off_is_refused(void **state)
{
	struct cpu_facts facts = {.nx = true, .vmx = true, .feature_control = 1};

	assert_false(check_cpu(&facts, false, &error));
	assert_error_has(&error, "IA32_FEATURE_CONTROL");
	facts.feature_control = 3; /* inside SMX only */
	assert_false(check_cpu(&facts, false, &error));
	assert_error_has(&error, "IA32_FEATURE_CONTROL");
}

static void vmx_itself_is_not_mistaken_for_locked(void **state)
{
	static const uint64_t open[] = {0, 4, 5};
	size_t i;

	for (i = 0; i < 3; i++) {
		struct cpu_facts facts = {.nx = true, .vmx = true, .feature_control = open[i]};

		if (!check_cpu(&facts, false, &error))
			assert_null(strstr(error.text, "locked"));
	}
}

static void a_cpu_without_no_execute_pages_is_refused(void **state)
{
	struct cpu_facts facts = {.svm = true};

	assert_false(check_cpu(&facts, false, &error));
	assert_error_has(&error, "NX");
	assert_true(check_cpu(&facts, true, &error));
	facts = (struct cpu_facts){.vmx = true};
	assert_false(check_cpu(&facts, false, &error));
	assert_error_has(&error, "NX");
}

static void xd_disable_is_asked_for_where_it_exists(void **state)
{
	struct cpuid_result intel = {13, 0x756e6547, 0x6c65746e, 0x49656e69}; /* "GenuineIntel" */
	struct cpuid_result amd = {13, 0x68747541, 0x444d4163, 0x69746e65};

	assert_true(is_intel(&intel));
	assert_false(is_intel(&amd));
	assert_false(has_xd_disable(0x00000695)); /* Pentium M, model 9 */
	assert_true(has_xd_disable(0x000006d8));  /* Pentium M, model 0Dh */
	assert_true(has_xd_disable(0x00050654));  /* Skylake-X, family 6 model 55h */
	assert_true(has_xd_disable(0x000106a5));  /* Nehalem, family 6 model 1Ah */
	assert_false(has_xd_disable(0x00000543)); /* Pentium */
	assert_true(has_xd_disable(0x00000f43));  /* Pentium 4 */
}

static void too_little_memory_is_refused(void **state)
{
	struct memory_needs needs = {16 << 20, 1 << 20, 10 << 20};

	assert_true(check_memory(81ull << 20, &needs, &error));
	assert_false(check_memory((81ull << 20) - 1, &needs, &error));
	assert_error_has(&error, "not enough memory");
	needs.pool_bytes = UINT64_MAX;
	assert_false(check_memory(UINT64_MAX / 2, &needs, &error));
	needs = (struct memory_needs){16 << 20, 1 << 20, 100 << 20};
	assert_true(check_memory(117ull << 20, &needs, &error));
	assert_false(check_memory(116ull << 20, &needs, &error));
	/* reading the CPU needs ring 0: only that it is there */
	assert_non_null(check_read_cpu);
}

/* Random bytes, and random pieces of real entries: no crash, and an error has a text. */
static void random_text_is_survived(void **state)
{
	static const char *const pieces[] = {"linux",        "initrd",   "options", "umbra", "title", " ",
					     "\n",           "\r\n",     "\t",      "#",     "/k",    "x=y",
					     "\xef\xbb\xbf", "sort-key", "\\",      "\xff"};
	char text[512];
	unsigned int round;

	srand(1);
	for (round = 0; round < 20000; round++) {
		size_t n = 0, wanted = (size_t)rand() % 400;

		while (n < wanted) {
			const char *piece = pieces[rand() % 16];

			if (rand() % 8 == 0)
				text[n++] = (char)(rand() % 255 + 1);
			strcpy(text + n, piece);
			n += strlen(piece);
		}
		text[n] = '\0';
		if (!parse("r.conf", text))
			assert_true(entry.broken && entry.error.text[0]);
		else if (!options_parse(&options, entry.umbra, true, &error))
			assert_true(error.text[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_of_a_full_entry_is_read),
		cmocka_unit_test(self_test_needs_no_file_and_takes_none),
		cmocka_unit_test(acpi_takes_several_files_in_several_lines),
		cmocka_unit_test(a_missing_title_is_made_from_the_file_name),
		cmocka_unit_test(empty_options_are_allowed),
		cmocka_unit_test(an_unknown_key_is_named_with_file_and_line),
		cmocka_unit_test(mistakes_in_an_entry_are_explained),
		cmocka_unit_test(keys_of_other_loaders_are_passed_over),
		cmocka_unit_test(a_line_names_one_file),
		cmocka_unit_test(utf8_is_kept_as_it_is),
		cmocka_unit_test(multiboot_entries_have_modules_and_command_line),
		cmocka_unit_test(mistakes_in_multiboot_entries_are_explained),
		cmocka_unit_test(what_is_too_long_is_refused),
		cmocka_unit_test(an_efi_program_is_named_and_does_not_hide_a_mistake),
		cmocka_unit_test(another_architecture_is_marked),
		cmocka_unit_test(too_many_lines_of_a_key_are_refused),
		cmocka_unit_test(loader_conf_gives_default_and_timeout),
		cmocka_unit_test(mistakes_in_loader_conf_are_explained),
		cmocka_unit_test(globs_match_as_the_shell_does),
		cmocka_unit_test(the_menu_is_ordered_as_the_specification_says),
		cmocka_unit_test(the_default_is_found_with_and_without_conf),
		cmocka_unit_test(versions_are_ordered),
		cmocka_unit_test(umbra_options_have_defaults),
		cmocka_unit_test(umbra_options_are_read),
		cmocka_unit_test(options_of_the_monitor_are_read),
		cmocka_unit_test(a_port_is_gdbs_or_the_monitors),
		cmocka_unit_test(wrong_umbra_options_are_named),
		cmocka_unit_test(least_pool_and_shadow_are_taken),
		cmocka_unit_test(kinds_of_the_trace_and_its_size_are_taken),
		cmocka_unit_test(audits_are_for_debug_builds),
		cmocka_unit_test(long_umbra_options_are_refused),
		cmocka_unit_test(numbers_and_sizes_do_not_overflow),
		cmocka_unit_test(a_cpu_with_svm_is_accepted),
		cmocka_unit_test(a_cpu_without_virtualisation_is_refused),
		cmocka_unit_test(svm_locked_off_is_refused),
		cmocka_unit_test(vmx_locked_off_is_refused),
		cmocka_unit_test(vmx_itself_is_not_mistaken_for_locked),
		cmocka_unit_test(a_cpu_without_no_execute_pages_is_refused),
		cmocka_unit_test(xd_disable_is_asked_for_where_it_exists),
		cmocka_unit_test(too_little_memory_is_refused),
		cmocka_unit_test(random_text_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
