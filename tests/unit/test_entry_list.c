/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The entries of several volumes in one list: their order, their marks, which is
 * the default, and which partitions are looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/entry_list.h"
#include "boot/loader_config.h"

#define GOOD "title T\nlinux /k\n"
#define EFI_PROGRAM "title T\nefi /EFI/umbra/umbra.efi\n"

static struct entry_list list;

static int set_up(void **state)
{
	memset(&list, 0, sizeof(list));
	list.storage = malloc(ENTRY_LIST_MAX * sizeof(struct boot_entry));
	memset(list.storage, 0xa5, ENTRY_LIST_MAX * sizeof(struct boot_entry));
	return 0;
}

static int tear_down(void **state)
{
	free(list.storage);
	return 0;
}

static void add(const char *file, const char *text)
{
	struct boot_entry *entry = entry_list_next(&list);

	assert_non_null(entry);
	entry_parse(entry, file, text, strlen(text));
	entry_list_keep(&list);
}

/* The own volume with one entry (NULL: none) and disk 2 with two. */
static void make_two_volumes(const char *own)
{
	if (own)
		add("own.conf", own);
	entry_list_end_volume(&list, ENTRY_LIST_OWN_VOLUME, "");
	add("linux-6.1.conf", GOOD);
	add("linux-6.9.conf", GOOD);
	entry_list_end_volume(&list, 1, "disk 2");
}

static const char *default_of(const char *pattern, bool wanted_match)
{
	bool matched = !wanted_match;
	uint32_t at = entry_list_default(&list, pattern, &matched);

	assert_in_range(at, 0, list.count - 1);
	assert_int_equal(matched, wanted_match);
	return list.entries[at]->id;
}

static void the_own_volume_comes_first_and_each_is_ordered_by_itself(void **state)
{
	static const char *const ids[] = {"b.conf", "a.conf", "d.conf", "c.conf", "z.conf"};
	static const char *const titles[] = {"B", "A", "D (disk 2)", "C (disk 2)", "Z (disk 3, partition 1)"};
	static const uint32_t volumes[] = {0, 0, 1, 1, 3};
	uint32_t i;

	add("a.conf", "title A\nlinux /k\n");
	add("b.conf", "title B\nlinux /k\n");
	entry_list_end_volume(&list, 0, "");
	add("c.conf", "title C\nlinux /k\n");
	add("d.conf", "title D\nlinux /k\n");
	entry_list_end_volume(&list, 1, "disk 2");
	entry_list_end_volume(&list, 2, "disk 3");
	add("z.conf", "title Z\nlinux /k\n");
	entry_list_end_volume(&list, 3, "disk 3, partition 1");
	assert_int_equal(list.count, 5);
	assert_int_equal(list.own, 2);
	for (i = 0; i < 5; i++) {
		assert_string_equal(list.entries[i]->id, ids[i]);
		assert_string_equal(list.entries[i]->title, titles[i]);
		assert_int_equal(list.entries[i]->volume, volumes[i]);
	}
}

static void a_long_title_makes_room_for_the_mark_between_two_characters(void **state)
{
	char text[400] = "linux /k\ntitle ";
	int i;

	for (i = 0; i < 70; i++)
		strcat(text, "\u00f6"); /* 140 bytes */
	strcat(text, "0123456789");
	entry_list_end_volume(&list, 0, "");
	add("a.conf", text);
	strcpy(text, "linux /k\ntitle x");
	for (i = 0; i < 75; i++)
		strcat(text, "\u00f6"); /* one byte further */
	add("b.conf", text);
	entry_list_end_volume(&list, 1, "disk 12, partition 1");
	for (i = 0; i < 2; i++) {
		const char *title = list.entries[i]->title, *at = strstr(title, " (disk 12, partition 1)");

		assert_non_null(at);
		assert_int_equal(strlen(at), sizeof(" (disk 12, partition 1)") - 1);
		assert_in_range(strlen(title), sizeof(list.entries[i]->title) - 3,
				sizeof(list.entries[i]->title) - 1);
		/* two bytes a character, behind the x if there is one */
		assert_int_equal((at - title - (title[0] == 'x')) % 2, 0);
	}
}

static void the_own_default_wins(void **state)
{
	make_two_volumes(GOOD);
	assert_true(entry_list_own_decides(&list));
	assert_string_equal(default_of("", true), "own.conf");
	assert_string_equal(default_of("own", true), "own.conf");
	assert_string_equal(default_of("linux-*", false), "own.conf");
	assert_int_equal(entry_list_timeout(&list, 0), 0);
	assert_int_equal(entry_list_timeout(&list, 7), 7);
}

static void a_broken_own_entry_is_told_of_instead_of_passed_over(void **state)
{
	make_two_volumes("linus /k\n");
	assert_true(entry_list_own_decides(&list));
	assert_string_equal(default_of("", true), "own.conf");
	assert_int_equal(entry_list_timeout(&list, 0), 0);
}

static void without_an_own_entry_the_menu_waits_before_those_of_another_disk(void **state)
{
	make_two_volumes(NULL);
	assert_false(entry_list_own_decides(&list));
	assert_string_equal(default_of("", true), "linux-6.9.conf");
	assert_string_equal(default_of("linux-6.1", true), "linux-6.1.conf");
	assert_string_equal(default_of("x", false), "linux-6.9.conf");
	assert_int_equal(entry_list_timeout(&list, 0), LOADER_WAIT_FOREVER);
	assert_int_equal(entry_list_timeout(&list, 30), 30);
}

/* A loader.conf that makes systemd-boot start Umbra is read by Umbra too. */
static void an_entry_that_starts_an_efi_program_is_never_the_default(void **state)
{
	make_two_volumes(EFI_PROGRAM);
	assert_true(list.entries[0]->efi_program && list.entries[0]->broken);
	assert_string_equal(default_of("own.conf", false), "linux-6.9.conf");
	tear_down(state);
	set_up(state);
	add("umbra.conf", EFI_PROGRAM);
	add("debian.conf", GOOD);
	entry_list_end_volume(&list, 0, "");
	assert_string_equal(list.entries[0]->id, "umbra.conf");
	assert_string_equal(default_of("umbra.conf", false), "debian.conf");
	assert_string_equal(default_of("", true), "debian.conf");
}

static void an_entry_for_another_architecture_is_kept_and_never_the_default(void **state)
{
	add("z.conf", GOOD "architecture aa64\n");
	entry_list_end_volume(&list, 0, "");
	assert_false(entry_list_own_decides(&list));
	add("a.conf", GOOD);
	entry_list_end_volume(&list, 1, "disk 2");
	assert_int_equal(list.count, 2);
	assert_true(list.entries[0]->broken);
	assert_non_null(strstr(list.entries[0]->error.text, "z.conf is for another architecture"));
	assert_string_equal(default_of("", true), "a.conf");
}

static void entries_of_one_title_are_told_apart(void **state)
{
	add("a.conf", "title T\nversion 6.1\nlinux /k\n");
	add("b.conf", "title T\nversion 6.9\nlinux /k\n");
	add("c.conf", "title U\nversion 1\nmachine-id aa\nlinux /k\n");
	add("d.conf", "title U\nversion 1\nmachine-id bb\nlinux /k\n");
	add("e.conf", "title V\nlinux /k\n");
	add("f.conf", "title V\nlinux /k\n");
	add("g.conf", "title W\nversion 1\nlinux /k\n");
	entry_list_end_volume(&list, 0, "");
	add("a.conf", "title W\nlinux /k\n");
	entry_list_end_volume(&list, 1, "disk 2");
	static const char *const titles[] = {"W",          "V (f.conf)", "V (e.conf)", "U (1) (bb)",
					     "U (1) (aa)", "T (6.9)",    "T (6.1)",    "W (disk 2)"};

	for (uint32_t i = 0; i < list.count; i++)
		assert_string_equal(list.entries[i]->title, titles[i]);
	assert_string_equal(list.entries[7]->where, "disk 2");
	assert_string_equal(list.entries[0]->where, "");
}

static void entries_without_tries_left_come_last(void **state)
{
	static const char *const ids[] = {"d+2.conf", "c+1-3.conf", "c+1-4.conf", "a.conf", "e+0-3.conf"};

	add("e+0-3.conf", GOOD);
	add("c+1-4.conf", GOOD);
	add("a.conf", GOOD);
	add("d+2.conf", GOOD);
	add("c+1-3.conf", GOOD);
	entry_list_end_volume(&list, 0, "");
	for (uint32_t i = 0; i < list.count; i++)
		assert_string_equal(list.entries[i]->id, ids[i]);
	assert_string_equal(default_of("", true), "d+2.conf");
	assert_string_equal(default_of("c", true), "c+1-3.conf");
	assert_string_equal(default_of("c.conf", true), "c+1-3.conf");
	assert_string_equal(default_of("c+1-4.conf", true), "c+1-4.conf");
	assert_string_equal(default_of("c.efi", false), "d+2.conf");
}

static void counters_are_read_as_the_specification_writes_them(void **state)
{
	static const struct {
		const char *name;
		uint32_t left, done, stem;
	} cases[] = {
		{"a+3.conf", 3, 0, 1},
		{"a+3-12.conf", 3, 12, 1},
		{"a+0.efi", 0, 0, 1},
		{"a-3.conf", ENTRY_NO_TRIES, 0, 3},
		{"a+.conf", ENTRY_NO_TRIES, 0, 2},
		{"a+3-.conf", ENTRY_NO_TRIES, 0, 4},
		{"a+-3.conf", ENTRY_NO_TRIES, 0, 4},
		{"+3.conf", ENTRY_NO_TRIES, 0, 2},
		{"a+x3.conf", ENTRY_NO_TRIES, 0, 4},
		{"a+99999999999.conf", ENTRY_NO_TRIES, 0, 13},
		{"a+b+4-1.conf", 4, 1, 3},
		{"6.1.0-56.conf", ENTRY_NO_TRIES, 0, 8},
		{"3.conf", ENTRY_NO_TRIES, 0, 1},
	};
	static struct boot_entry entry;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		entry_parse(&entry, cases[i].name, GOOD, sizeof(GOOD) - 1);
		assert_int_equal(entry.tries_left, cases[i].left);
		assert_int_equal(entry.tries_done, cases[i].done);
		assert_int_equal(entry_stem_length(entry.id), cases[i].stem);
	}
}

static void profiles_follow_their_file_in_order(void **state)
{
	for (uint32_t i = 0; i < 3; i++) {
		struct boot_entry *entry = entry_list_next(&list);

		entry_parse(entry, "u.efi", GOOD, sizeof(GOOD) - 1);
		entry->profile = 2 - i;
		if (entry->profile)
			snprintf(entry->id, sizeof(entry->id), "u.efi@%u", entry->profile);
		entry_list_keep(&list);
	}
	entry_list_end_volume(&list, 0, "");
	assert_string_equal(list.entries[0]->id, "u.efi");
	assert_string_equal(list.entries[1]->id, "u.efi@1");
	assert_string_equal(list.entries[2]->id, "u.efi@2");
	assert_string_equal(default_of("u.efi@2", true), "u.efi@2");
}

static void broken_entries_of_other_disks_are_passed_over(void **state)
{
	entry_list_end_volume(&list, 0, "");
	add("b.conf", "\x01\x02 garbage\n");
	add("a.conf", GOOD);
	entry_list_end_volume(&list, 1, "disk 2");
	assert_string_equal(list.entries[0]->id, "b.conf");
	assert_string_equal(default_of("", true), "a.conf");
	assert_string_equal(default_of("b", false), "a.conf");
}

static void where_nothing_can_be_booted_the_first_is_shown(void **state)
{
	entry_list_end_volume(&list, 0, "");
	add("b.conf", "garbage\n");
	add("a.conf", EFI_PROGRAM);
	entry_list_end_volume(&list, 1, "disk 2");
	assert_string_equal(default_of("", false), "b.conf");
	assert_int_equal(entry_list_timeout(&list, 0), LOADER_WAIT_FOREVER);
}

static void the_self_test_is_first_and_the_default_where_nothing_else_is_named(void **state)
{
	make_two_volumes(NULL);
	entry_list_put_self_test(&list);
	assert_string_equal(list.entries[0]->id, "self-test");
	assert_true(list.entries[0]->self_test && list.entries[0]->built_in && !list.entries[0]->broken);
	assert_string_equal(list.entries[1]->id, "linux-6.9.conf");
	assert_false(entry_list_own_decides(&list));
	assert_string_equal(default_of("", true), "self-test");
	assert_string_equal(default_of("self-test", true), "self-test");
	assert_string_equal(default_of("linux-6.1", true), "linux-6.1.conf");
	assert_string_equal(default_of("*", true), "linux-6.9.conf");
	assert_string_equal(default_of("x", false), "linux-6.9.conf");
	assert_int_equal(entry_list_timeout(&list, 0), LOADER_WAIT_FOREVER);
}

static void the_self_test_alone_starts_after_a_while(void **state)
{
	add("umbra.conf", EFI_PROGRAM);
	entry_list_end_volume(&list, 0, "");
	entry_list_put_self_test(&list);
	assert_int_equal(list.count, 2);
	assert_int_equal(list.own, 2);
	assert_string_equal(default_of("", true), "self-test");
	assert_string_equal(default_of("umbra.conf", false), "self-test");
	assert_int_equal(entry_list_timeout(&list, 0), ENTRY_LIST_SECONDS);
	assert_int_equal(entry_list_timeout(&list, 9), 9);
}

static void the_self_test_takes_the_last_place_of_a_full_list(void **state)
{
	char name[20];
	int i;

	entry_list_end_volume(&list, 0, "");
	for (i = 0; i < ENTRY_LIST_MAX; i++) {
		snprintf(name, sizeof(name), "%02d.conf", i);
		add(name, GOOD);
	}
	entry_list_end_volume(&list, 1, "disk 2");
	entry_list_put_self_test(&list);
	assert_int_equal(list.count, ENTRY_LIST_MAX);
	assert_string_equal(list.entries[0]->id, "self-test");
	for (i = 1; i < ENTRY_LIST_MAX; i++)
		assert_true(list.entries[i]->kernel[0]);
}

static void a_full_list_takes_no_more(void **state)
{
	char name[20];
	int i;

	for (i = 0; i < ENTRY_LIST_MAX; i++) {
		snprintf(name, sizeof(name), "%d.conf", i);
		add(name, GOOD);
	}
	assert_null(entry_list_next(&list));
	entry_list_end_volume(&list, 0, "");
	entry_list_end_volume(&list, 1, "disk 2");
	assert_int_equal(list.own, ENTRY_LIST_MAX);
	assert_string_equal(list.entries[0]->title, "T (63.conf)");
}

static void of_a_gpt_the_two_partitions_of_boot_loaders_are_looked_at(void **state)
{
	/* as the specifications write them, and another: Linux's file systems */
	uint8_t esp[] = {0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,
			 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b};
	uint8_t boot[] = {0xff, 0xc2, 0x13, 0xbc, 0xe6, 0x59, 0x62, 0x42,
			  0xa3, 0x52, 0xb2, 0x75, 0xfd, 0x6f, 0x71, 0x72};
	uint8_t data[] = {0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47,
			  0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4};
	uint32_t i;

	assert_true(partition_may_have_entries(PARTITION_GPT, esp));
	assert_true(partition_may_have_entries(PARTITION_GPT, boot));
	assert_false(partition_may_have_entries(PARTITION_GPT, data));
	assert_true(partition_may_have_entries(PARTITION_MBR, data));
	assert_true(partition_may_have_entries(PARTITION_NOT_TOLD, data));
	for (i = 0; i < sizeof(esp); i++) {
		esp[i] ^= 1;
		boot[i] ^= 0x80;
		assert_false(partition_may_have_entries(PARTITION_GPT, esp));
		assert_false(partition_may_have_entries(PARTITION_GPT, boot));
		esp[i] ^= 1;
		boot[i] ^= 0x80;
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_own_volume_comes_first_and_each_is_ordered_by_itself),
		TEST(a_long_title_makes_room_for_the_mark_between_two_characters),
		TEST(the_own_default_wins),
		TEST(a_broken_own_entry_is_told_of_instead_of_passed_over),
		TEST(without_an_own_entry_the_menu_waits_before_those_of_another_disk),
		TEST(an_entry_that_starts_an_efi_program_is_never_the_default),
		TEST(an_entry_for_another_architecture_is_kept_and_never_the_default),
		TEST(entries_of_one_title_are_told_apart),
		TEST(entries_without_tries_left_come_last),
		TEST(counters_are_read_as_the_specification_writes_them),
		TEST(profiles_follow_their_file_in_order),
		TEST(broken_entries_of_other_disks_are_passed_over),
		TEST(where_nothing_can_be_booted_the_first_is_shown),
		TEST(a_full_list_takes_no_more),
		TEST(the_self_test_is_first_and_the_default_where_nothing_else_is_named),
		TEST(the_self_test_alone_starts_after_a_while),
		TEST(the_self_test_takes_the_last_place_of_a_full_list),
		TEST(of_a_gpt_the_two_partitions_of_boot_loaders_are_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
