/* SPDX-License-Identifier: BSD-2-Clause */
/* The menu's order and the default entry; see entry.h. */
#include "boot/entry.h"
#include "lib/string.h"

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

		text_copy(stem, sizeof(stem), (struct text_span){id, entry_stem_length(id)});
		if (!pattern[0] || text_glob(pattern, id) || text_glob(pattern, stem))
			return i;
	}
	return count;
}
