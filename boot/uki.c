/* SPDX-License-Identifier: BSD-2-Clause */
/* Sections of a PE file and an entry made from them; see uki.h. */
#include "boot/uki.h"
#include "boot/bytes.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/types.h"

/* Microsoft's PE format: MS-DOS stub, COFF file header, section table. */
#define DOS_PE_OFFSET 0x3cu
#define PE_SIGNATURE 0x00004550u
#define COFF_BYTES 20u
#define COFF_SECTIONS 2u
#define COFF_OPTIONAL_SIZE 16u
#define COFF_MACHINE_X64 0x8664u
#define SECTION_BYTES 40u
#define SECTION_VIRTUAL_SIZE 8u
#define SECTION_RAW_SIZE 16u
#define SECTION_RAW_OFFSET 20u

static bool is_named(const uint8_t *section, const char *name)
{
	return strncmp((const char *)section, name, 8) == 0;
}

/* The raw data is padded to the file's alignment: the virtual size, if smaller, is what was put in. */
static struct entry_piece piece_of(const uint8_t *section)
{
	uint64_t virtual_size = bytes_get_u32(section + SECTION_VIRTUAL_SIZE);
	uint64_t raw_size = bytes_get_u32(section + SECTION_RAW_SIZE);

	return (struct entry_piece){bytes_get_u32(section + SECTION_RAW_OFFSET),
				    MIN(virtual_size, raw_size)};
}

static void take_section(struct uki *uki, const uint8_t *section)
{
	if (is_named(section, ".linux"))
		uki->kernel = piece_of(section);
	else if (is_named(section, ".initrd"))
		uki->initrd = piece_of(section);
	else if (is_named(section, ".cmdline"))
		uki->cmdline = piece_of(section);
	else if (is_named(section, ".osrel"))
		uki->osrel = piece_of(section);
	else if (is_named(section, ".profile"))
		uki->profile = piece_of(section);
}

static bool lies_within(const struct entry_piece *piece, uint64_t file_size)
{
	return piece->size <= file_size && piece->offset <= file_size - piece->size;
}

/* The section table's place in the head; false when this is no PE file for x86-64. */
static bool find_sections(const uint8_t *head, size_t size, size_t *at, uint32_t *count)
{
	uint64_t pe;

	if (size < DOS_PE_OFFSET + 4 || head[0] != 'M' || head[1] != 'Z')
		return false;
	pe = bytes_get_u32(head + DOS_PE_OFFSET);
	if (pe > size || size - pe < 4 + COFF_BYTES || bytes_get_u32(head + pe) != PE_SIGNATURE ||
	    bytes_get(head + pe + 4, 2) != COFF_MACHINE_X64)
		return false;
	*count = (uint32_t)bytes_get(head + pe + 4 + COFF_SECTIONS, 2);
	*at = (size_t)(pe + 4 + COFF_BYTES + bytes_get(head + pe + 4 + COFF_OPTIONAL_SIZE, 2));
	return true;
}

/* Those before the first .profile, then over them those of the profile; how many profiles there are. */
static uint32_t take_sections(struct uki *uki, const uint8_t *sections, uint32_t count,
			      uint32_t profile)
{
	uint32_t begun = 0, i;

	for (i = 0; i < count; i++) {
		const uint8_t *section = sections + (size_t)i * SECTION_BYTES;

		begun += is_named(section, ".profile");
		if (!begun || begun - 1 == profile)
			take_section(uki, section);
	}
	return begun ? begun : 1;
}

enum uki_result uki_parse(struct uki *uki, const uint8_t *head, size_t size, uint64_t file_size,
			  uint32_t profile, struct boot_error *error)
{
	uint32_t count;
	size_t at;

	*uki = (struct uki){.kernel = {0, 0}};
	if (!find_sections(head, size, &at, &count))
		return UKI_OTHER;
	count = at <= size ? (uint32_t)MIN(count, (size - at) / SECTION_BYTES) : 0;
	if (profile >= take_sections(uki, head + at, count, profile) || !uki->kernel.size)
		return UKI_OTHER;
	if (lies_within(&uki->kernel, file_size) && lies_within(&uki->initrd, file_size) &&
	    lies_within(&uki->cmdline, file_size) && lies_within(&uki->osrel, file_size) &&
	    lies_within(&uki->profile, file_size))
		return UKI_GOOD;
	boot_error_set(error, "a section lies beyond the file's end: it is cut off; copy it again");
	return UKI_BROKEN;
}

/* Its value without quotes, if the line is KEY=value with this key. */
static bool take_value(struct text_span line, const char *key, struct text_span *value)
{
	size_t n = strlen(key);

	line = text_trim(line);
	if (line.length <= n || memcmp(line.at, key, n) != 0 || line.at[n] != '=')
		return false;
	*value = (struct text_span){line.at + n + 1, line.length - n - 1};
	if (value->length >= 2 && (value->at[0] == '"' || value->at[0] == '\'') &&
	    value->at[value->length - 1] == value->at[0])
		*value = (struct text_span){value->at + 1, value->length - 2};
	return true;
}

static bool take_osrel(struct boot_entry *entry, struct text_span osrel)
{
	struct text_span line, value;
	bool fits = true;

	while (text_next_line(&osrel, &line)) {
		if (take_value(line, "PRETTY_NAME", &value))
			fits &= text_copy(entry->title, sizeof(entry->title), value);
		else if (take_value(line, "IMAGE_ID", &value) ||
			 (!entry->sort_key[0] && take_value(line, "ID", &value)))
			fits &= text_copy(entry->sort_key, sizeof(entry->sort_key), value);
		else if (take_value(line, "IMAGE_VERSION", &value) ||
			 (!entry->version[0] && take_value(line, "VERSION_ID", &value)))
			fits &= text_copy(entry->version, sizeof(entry->version), value);
	}
	return fits;
}

/* A text ends at its first NUL. */
static struct text_span until_nul(struct text_span text)
{
	size_t n;

	for (n = 0; n < text.length && text.at[n]; n++)
		;
	return (struct text_span){text.at, n};
}

static bool take_cmdline(struct boot_entry *entry, struct text_span cmdline)
{
	struct text_span line;

	while (text_next_line(&cmdline, &line))
		if (text_trim(line).length &&
		    !text_append_word(entry->options, sizeof(entry->options), text_trim(line)))
			return false;
	return true;
}

/* " (TITLE)" of the profile behind the title, else its ID, else its number if it is not the main one. */
static void take_profile(struct boot_entry *entry, struct text_span profile)
{
	struct text_span line, value, id = {NULL, 0}, title = {NULL, 0};
	size_t n = strlen(entry->title);

	while (text_next_line(&profile, &line)) {
		if (take_value(line, "TITLE", &value))
			title = value;
		else if (take_value(line, "ID", &value))
			id = value;
	}
	if (!title.length)
		title = id;
	if (title.length)
		snprintf(entry->title + n, sizeof(entry->title) - n, " (%.*s)", (int)title.length,
			 title.at);
	else if (entry->profile)
		snprintf(entry->title + n, sizeof(entry->title) - n, " (profile %u)", entry->profile);
}

/* The file's name, and for a profile but the main one @ and its number. */
static bool take_name(struct boot_entry *entry, const char *file)
{
	size_t n = strlen(file);

	if (!text_copy(entry->id, sizeof(entry->id), (struct text_span){file, n}))
		return false;
	snprintf(entry->kernel, sizeof(entry->kernel), UKI_FOLDER "/%s", file);
	if (entry->profile)
		n = (size_t)snprintf(entry->id, sizeof(entry->id), "%s@%u", file, entry->profile);
	entry_count_tries(entry);
	return n < sizeof(entry->id);
}

bool uki_entry(struct boot_entry *entry, const char *file, const struct uki *uki, uint32_t profile,
	       const struct uki_texts *texts)
{
	bool fits;

	*entry = (struct boot_entry){.kernel_piece = uki->kernel,
				     .initrd_piece = uki->initrd,
				     .profile = profile,
				     .tries_left = ENTRY_NO_TRIES};
	fits = take_name(entry, file);
	if (uki->initrd.size) {
		memcpy(entry->initrd[0], entry->kernel, sizeof(entry->kernel));
		entry->initrd_count = 1;
	}
	fits &= take_osrel(entry, until_nul(texts->osrel));
	fits &= take_cmdline(entry, until_nul(texts->cmdline));
	if (!entry->title[0])
		text_copy(entry->title, sizeof(entry->title),
			  (struct text_span){entry->id, entry_stem_length(entry->id)});
	take_profile(entry, until_nul(texts->profile));
	entry->broken = !fits;
	return fits || boot_error_set(&entry->error,
				      UKI_FOLDER
				      "/%s: name, command line or os-release is too long; shorten it",
				      entry->id);
}

static bool is_same(const struct entry_piece *a, const struct entry_piece *b)
{
	return a->offset == b->offset && a->size == b->size;
}

static bool has_cmdline(const struct boot_entry *entry, const char *text, uint64_t size)
{
	static struct boot_entry again; /* too large for a small stack */

	again.options[0] = '\0';
	return size <= UKI_TEXT_MAX &&
	       take_cmdline(&again, until_nul((struct text_span){text, (size_t)size})) &&
	       strcmp(again.options, entry->options) == 0;
}

bool uki_is_entry(const struct boot_entry *entry, const uint8_t *file, uint64_t size,
		  struct boot_error *error)
{
	struct uki uki;

	if (uki_parse(&uki, file, (size_t)MIN(size, UKI_HEAD_BYTES), size, entry->profile, error) ==
		    UKI_GOOD &&
	    is_same(&uki.kernel, &entry->kernel_piece) && is_same(&uki.initrd, &entry->initrd_piece) &&
	    has_cmdline(entry, (const char *)file + uki.cmdline.offset, uki.cmdline.size))
		return true;
	return boot_error_set(error, "%s has changed since it was listed; start Umbra again",
			      entry->kernel);
}
