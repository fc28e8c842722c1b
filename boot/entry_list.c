/* SPDX-License-Identifier: BSD-2-Clause */
/* The menu's order and the default entry; see entry.h and entry_list.h. */
#include "boot/entry_list.h"
#include "boot/loader_config.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/types.h"

static int compare_names(const struct boot_entry *a, const struct boot_entry *b)
{
	char name_a[sizeof(a->id)], name_b[sizeof(b->id)];
	int order;

	text_copy(name_a, sizeof(name_a), (struct text_span){a->id, entry_stem_length(a->id)});
	text_copy(name_b, sizeof(name_b), (struct text_span){b->id, entry_stem_length(b->id)});
	order = text_compare_versions(name_b, name_a);
	if (!order)
		order = strcmp(name_a, name_b);
	if (!order && a->profile != b->profile)
		order = a->profile < b->profile ? -1 : 1;
	if (!order && a->tries_left != b->tries_left)
		order = a->tries_left > b->tries_left ? -1 : 1;
	if (!order && a->tries_done != b->tries_done)
		order = a->tries_done < b->tries_done ? -1 : 1;
	return order ? order : strcmp(a->id, b->id);
}

int entry_compare(const struct boot_entry *a, const struct boot_entry *b)
{
	int order;

	if (!a->tries_left != !b->tries_left)
		return a->tries_left ? -1 : 1;
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
	return compare_names(a, b);
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

bool partition_may_have_entries(enum partition_scheme scheme,
				const uint8_t type[PARTITION_TYPE_BYTES])
{
	/* c12a7328-f81f-11d2-ba4b-00a0c93ec93b and bc13c2ff-59e6-4262-a352-b275fd6f7172 */
	static const uint8_t types[][PARTITION_TYPE_BYTES] = {
		{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e,
		 0xc9, 0x3b},
		{0xff, 0xc2, 0x13, 0xbc, 0xe6, 0x59, 0x62, 0x42, 0xa3, 0x52, 0xb2, 0x75, 0xfd, 0x6f,
		 0x71, 0x72},
	};

	return scheme != PARTITION_GPT || memcmp(type, types[0], sizeof(types[0])) == 0 ||
	       memcmp(type, types[1], sizeof(types[1])) == 0;
}

struct boot_entry *entry_list_next(struct entry_list *list)
{
	return list->count < ENTRY_LIST_MAX ? &list->storage[list->count] : NULL;
}

void entry_list_keep(struct entry_list *list)
{
	list->entries[list->count] = &list->storage[list->count];
	list->count++;
}

/* Puts " (what)" behind the title, which loses its last characters if it must. */
static void mark(struct boot_entry *entry, const char *what)
{
	size_t room, n = strlen(entry->title);

	if (strlen(what) + sizeof(" ()") > sizeof(entry->title) / 2)
		return;
	room = sizeof(entry->title) - strlen(what) - sizeof(" ()");
	if (n > room)
		for (n = room; n && (entry->title[n] & 0xc0) == 0x80; n--)
			; /* not inside a character of UTF-8 */
	snprintf(entry->title + n, sizeof(entry->title) - n, " (%s)", what);
}

static const char *version_of(const struct boot_entry *entry)
{
	return entry->version;
}

static const char *machine_of(const struct boot_entry *entry)
{
	return entry->machine_id;
}

static const char *name_of(const struct boot_entry *entry)
{
	return entry->id;
}

static bool has_double(const struct entry_list *list, uint32_t at)
{
	uint32_t i;

	for (i = list->begun; i < list->count; i++)
		if (i != at && strcmp(list->entries[i]->title, list->entries[at]->title) == 0)
			return true;
	return false;
}

/* Systemd-boot's way, so that the user finds the same words: version, machine, file. */
static void tell_apart(struct entry_list *list)
{
	static const char *(*const more[])(const struct boot_entry *entry) = {version_of,
									      machine_of, name_of};
	bool doubled[ENTRY_LIST_MAX];
	uint32_t i, k;

	for (k = 0; k < ARRAY_SIZE(more); k++) {
		for (i = list->begun; i < list->count; i++)
			doubled[i] = has_double(list, i);
		for (i = list->begun; i < list->count; i++)
			if (doubled[i] && more[k](list->entries[i])[0])
				mark(list->entries[i], more[k](list->entries[i]));
	}
}

void entry_list_end_volume(struct entry_list *list, uint32_t volume, const char *where)
{
	uint32_t i;

	entry_sort(list->entries + list->begun, list->count - list->begun);
	tell_apart(list);
	for (i = list->begun; i < list->count; i++) {
		struct boot_entry *entry = list->entries[i];

		entry->volume = volume;
		entry->where[0] = '\0';
		if (volume != ENTRY_LIST_OWN_VOLUME) {
			mark(entry, where);
			text_copy(entry->where, sizeof(entry->where),
				  (struct text_span){where, strlen(where)});
		}
	}
	if (volume == ENTRY_LIST_OWN_VOLUME)
		list->own = list->count;
	list->begun = list->count;
}

bool entry_list_matches(const struct boot_entry *entry, const char *pattern)
{
	char name[sizeof(entry->id)];
	size_t stem = entry_stem_length(entry->id), n = strlen(entry->id);

	if (!pattern[0] || text_glob(pattern, entry->id))
		return true;
	text_copy(name, sizeof(name), (struct text_span){entry->id, stem});
	if (text_glob(pattern, name))
		return true;
	while (n > stem && entry->id[n - 1] != '.')
		n--;
	if (n > stem) /* the suffix behind the counters */
		text_copy(name + stem, sizeof(name) - stem,
			  (struct text_span){entry->id + n - 1, strlen(entry->id) - n + 1});
	return text_glob(pattern, name);
}

bool entry_list_own_decides(const struct entry_list *list)
{
	uint32_t i;

	for (i = 0; i < list->own; i++)
		if (!entry_is_foreign(list->entries[i]) && !list->entries[i]->built_in)
			return true;
	return false;
}

void entry_list_put_self_test(struct entry_list *list)
{
	struct boot_entry *entry = entry_list_next(list);
	uint32_t i;

	if (!entry)
		entry = list->entries[--list->count];
	*entry = (struct boot_entry){.id = ENTRY_SELF_TEST,
				     .title = "Self-test",
				     .self_test = true,
				     .built_in = true,
				     .volume = ENTRY_LIST_OWN_VOLUME};
	for (i = list->count++; i > 0; i--)
		list->entries[i] = list->entries[i - 1];
	list->entries[0] = entry;
	list->own++;
}

static bool has_built_in(const struct entry_list *list)
{
	return list->count && list->entries[0]->built_in;
}

static bool has_system(const struct entry_list *list)
{
	uint32_t i;

	for (i = 0; i < list->count; i++)
		if (!entry_is_foreign(list->entries[i]) && !list->entries[i]->built_in)
			return true;
	return false;
}

/* The first that may be the default and matches; end if none. */
static uint32_t find_default(const struct entry_list *list, bool own, const char *pattern)
{
	uint32_t i, end = own ? list->own : list->count;

	for (i = own ? 0 : list->own; i < end; i++) {
		const struct boot_entry *entry = list->entries[i];

		if (!entry_is_foreign(entry) && (own || !entry->broken) &&
		    entry_list_matches(entry, pattern))
			return i;
	}
	return end;
}

uint32_t entry_list_default(const struct entry_list *list, const char *pattern, bool *matched)
{
	bool own = entry_list_own_decides(list);
	uint32_t end = own ? list->own : list->count, at = find_default(list, own, pattern);

	*matched = at < end;
	if (has_built_in(list) &&
	    (!pattern[0] || (!*matched && entry_list_matches(list->entries[0], pattern)))) {
		*matched = true;
		return 0;
	}
	if (!*matched)
		at = find_default(list, own, "");
	return at < end ? at : 0;
}

uint32_t entry_list_timeout(const struct entry_list *list, uint32_t configured)
{
	if (configured || entry_list_own_decides(list))
		return configured;
	return has_system(list) ? LOADER_WAIT_FOREVER : ENTRY_LIST_SECONDS;
}
