/* SPDX-License-Identifier: BSD-2-Clause */
/* See symbol_map.h. A file is gone through twice: to check and count, and to copy. */
#include "lib/symbol_map.h"

#include "lib/hex.h"
#include "lib/string.h"

#define COUNT_MAX (1u << 22)
#define NAMES_MAX (1u << 28)

struct item {
	u64 address;
	const char *name;
	u32 length;
	char type;
	bool skipped;
};

/* Where in the file the reader is. */
struct source {
	const u8 *file;
	u64 size, at;
	u32 line; /* of a text */
	bool elf, wide;
	u64 table, count, names, names_bytes; /* of an ELF file: its symbols and their names */
	u64 sections, section_count, section_bytes;
	const char *fault;
	u32 fault_line;
};

static bool fail(struct source *s, const char *what)
{
	s->fault = what;
	s->fault_line = s->line;
	return false;
}

/* --- text ---------------------------------------------------------------------------------- */

static bool is_end(char c)
{
	return c == '\n' || c == '\r';
}

static bool text_address(struct source *s, const char *line, u64 length, u64 *used, u64 *address)
{
	u64 i;

	*address = 0;
	for (i = 0; i < length && hex_digit(line[i]) >= 0; i++) {
		if (i == 16)
			return fail(s, "an address has more than 16 digits");
		*address = *address << 4 | (u64)hex_digit(line[i]);
	}
	*used = i;
	return i || fail(s, "no address in hexadecimal digits begins the line");
}

static bool is_graph(char c)
{
	return c > ' ' && c < 0x7f;
}

/* "ADDRESS TYPE NAME", and of a module's symbol "\t[MODULE]". */
static bool text_item(struct source *s, const char *line, u64 length, struct item *item)
{
	u64 at, end;

	if (!text_address(s, line, length, &at, &item->address))
		return false;
	if (at + 3 >= length || line[at] != ' ' || !is_graph(line[at + 1]) || line[at + 2] != ' ')
		return fail(s, "behind the address there is not a blank, a letter for the type, a blank and a name");
	item->type = line[at + 1];
	at += 3;
	for (end = at; end < length && is_graph(line[end]);)
		end++;
	if (end == at || end - at > SYMBOL_NAME_MAX || (end < length && line[end] != '\t' && line[end] != ' '))
		return fail(s, "the name is empty, longer than 511 characters or has characters that no name has");
	item->name = line + at;
	item->length = (u32)(end - at);
	item->skipped = end < length || item->type == 'U';
	return true;
}

static bool text_next(struct source *s, struct item *item)
{
	const char *line = (const char *)s->file + s->at;
	u64 length = 0;

	s->line++;
	while (s->at + length < s->size && !is_end(line[length]))
		length++;
	s->at += length;
	if (s->at < s->size && s->file[s->at] == '\r')
		s->at++;
	if (s->at < s->size && s->file[s->at] == '\n')
		s->at++;
	item->skipped = !length;
	return !length || text_item(s, line, length, item);
}

/* --- ELF: System V gABI, chapter 4 -------------------------------------------------------------- */

#define ELF_SYMTAB 2u
#define ELF_STRTAB 3u
#define SHN_ABS 0xfff1u
#define SHF_EXECINSTR 4u
enum { STT_NOTYPE, STT_OBJECT, STT_FUNC };

static u64 number(const struct source *s, u64 at, u32 bytes)
{
	u64 value = 0;

	while (bytes--)
		value = value << 8 | s->file[at + bytes];
	return value;
}

static bool is_inside(const struct source *s, u64 at, u64 bytes)
{
	return at <= s->size && bytes <= s->size - at;
}

/* A word of the machine's size: at a place of a 64-bit file, or of a 32-bit one. */
static u64 word(const struct source *s, u64 base, u32 at64, u32 at32)
{
	return s->wide ? number(s, base + at64, 8) : number(s, base + at32, 4);
}

static u64 section_at(const struct source *s, u64 n)
{
	return s->sections + n * s->section_bytes;
}

static bool elf_names(struct source *s, u64 section)
{
	u64 link = number(s, section + (s->wide ? 40 : 24), 4), names;

	if (link >= s->section_count)
		return fail(s, "its symbol table has no names");
	names = section_at(s, link);
	s->names = word(s, names, 24, 16);
	s->names_bytes = word(s, names, 32, 20);
	if (number(s, names + 4, 4) != ELF_STRTAB || !is_inside(s, s->names, s->names_bytes) || !s->names_bytes ||
	    s->file[s->names + s->names_bytes - 1])
		return fail(s, "its symbol table has no names");
	return true;
}

static bool elf_table(struct source *s, u64 section)
{
	u64 bytes = word(s, section, 32, 20), each = s->wide ? 24 : 16;

	s->table = word(s, section, 24, 16);
	if (word(s, section, 56, 36) != each || !is_inside(s, s->table, bytes))
		return fail(s, "its symbol table is damaged");
	s->count = bytes / each;
	return elf_names(s, section);
}

static bool elf_begin(struct source *s)
{
	u64 header = s->size < 5 || s->file[4] == 2 ? 64 : 52;

	s->wide = header == 64;
	if (s->size < header || s->file[5] != 1)
		return fail(s, "it is cut short, or of another byte order");
	s->sections = word(s, 0, 40, 32);
	s->section_bytes = number(s, s->wide ? 58 : 46, 2);
	s->section_count = number(s, s->wide ? 60 : 48, 2);
	if (s->section_bytes < (s->wide ? 64u : 40u) || s->section_count * s->section_bytes > s->size ||
	    !is_inside(s, s->sections, s->section_count * s->section_bytes))
		return fail(s, "its list of sections is damaged or missing");
	for (u64 i = 0; i < s->section_count; i++)
		if (number(s, section_at(s, i) + 4, 4) == ELF_SYMTAB)
			return elf_table(s, section_at(s, i));
	return fail(s, "it has no symbol table: it was stripped");
}

static bool is_executable(const struct source *s, u64 section)
{
	return section < s->section_count && word(s, section_at(s, section), 8, 8) & SHF_EXECINSTR;
}

static char elf_type(const struct source *s, u32 type, bool global, u64 section)
{
	bool code = type == STT_FUNC || (type == STT_NOTYPE && is_executable(s, section));

	if (section == SHN_ABS)
		return 'A';
	return code ? (global ? 'T' : 't') : global ? 'D' : 'd';
}

static bool elf_next(struct source *s, struct item *item)
{
	u64 entry = s->table + s->at++ * (s->wide ? 24 : 16);
	u64 name = number(s, entry, 4), section = number(s, entry + (s->wide ? 6 : 14), 2);
	u32 info = (u32)number(s, entry + (s->wide ? 4 : 12), 1), length;

	if (name >= s->names_bytes)
		return fail(s, "a symbol's name lies beyond the names");
	item->name = (const char *)s->file + s->names + name;
	length = (u32)strnlen(item->name, SYMBOL_NAME_MAX + 1);
	item->skipped = !length || length > SYMBOL_NAME_MAX || !section || (info & 15) > STT_FUNC;
	item->length = length;
	item->address = word(s, entry, 8, 4);
	item->type = elf_type(s, info & 15, info >> 4, section);
	return true;
}

/* --- either ---------------------------------------------------------------------------------- */

static bool begin(struct source *s, const u8 *file, u64 size)
{
	*s = (struct source){.file = file, .size = size};
	s->elf = size >= 4 && file[0] == 0x7f && !memcmp(file + 1, "ELF", 3);
	return !s->elf || elf_begin(s);
}

/* False: there are no more, or s->fault says what is wrong. */
static bool next(struct source *s, struct item *item)
{
	do {
		if (s->at >= (s->elf ? s->count : s->size) || !(s->elf ? elf_next(s, item) : text_next(s, item)))
			return false;
	} while (item->skipped);
	return true;
}

static u64 bytes_of(u64 count, u64 names)
{
	return sizeof(struct symbol_map) + count * sizeof(struct symbol) + names;
}

u64 symbol_map_measure(const u8 *file, u64 size, struct symbol_fault *fault)
{
	u64 count = 0, names = 0, any = 0;
	struct source s;
	struct item item;

	if (begin(&s, file, size)) {
		for (; next(&s, &item) && count <= COUNT_MAX && names <= NAMES_MAX; count++) {
			names += item.length + 1;
			any |= item.address;
		}
		if (!s.fault && count > COUNT_MAX)
			s.fault = "it has more symbols than 4194304";
		else if (!s.fault && names > NAMES_MAX)
			s.fault = "its names are longer than 256 MiB";
		else if (!s.fault && !count)
			s.fault = "it has no symbols";
		else if (!s.fault && !any)
			s.fault = "all addresses in it are 0: read /proc/kallsyms as root";
	}
	*fault = (struct symbol_fault){s.fault, s.fault_line};
	return s.fault ? 0 : bytes_of(count, names);
}

/* --- the table ---------------------------------------------------------------------------------- */

static u32 rank(const struct symbol *s)
{
	return s->type >= 'a';
}

static bool is_before(const struct symbol *a, const struct symbol *b)
{
	return a->address != b->address ? a->address < b->address : rank(a) < rank(b);
}

/* Lets the one at `at` sink in a heap, whose greatest is the first. */
static void sink(struct symbol *symbol, u32 at, u32 count)
{
	struct symbol moved = symbol[at];

	for (u32 child; (child = 2 * at + 1) < count; at = child) {
		if (child + 1 < count && is_before(&symbol[child], &symbol[child + 1]))
			child++;
		if (!is_before(&moved, &symbol[child]))
			break;
		symbol[at] = symbol[child];
	}
	symbol[at] = moved;
}

static void sort(struct symbol *symbol, u32 count)
{
	for (u32 i = count / 2; i-- > 0;)
		sink(symbol, i, count);
	for (u32 left = count; left-- > 1;) {
		struct symbol greatest = symbol[0];

		symbol[0] = symbol[left];
		symbol[left] = greatest;
		sink(symbol, 0, left);
	}
}

static char *names_of(struct symbol_map *map)
{
	return (char *)&map->symbol[map->count];
}

void symbol_map_build(const u8 *file, u64 size, struct symbol_map *map)
{
	u32 count = 0, used = 0;
	struct source s;
	struct item item;

	begin(&s, file, size);
	while (next(&s, &item))
		map->symbol[count++] = (struct symbol){.address = item.address, .type = item.type};
	*map = (struct symbol_map){.magic = SYMBOL_MAP_MAGIC, .count = count, .code = ~0ull};
	begin(&s, file, size);
	for (u32 i = 0; next(&s, &item); i++) {
		memcpy(names_of(map) + used, item.name, item.length);
		names_of(map)[used + item.length] = '\0';
		map->symbol[i].name = used;
		used += item.length + 1;
		if (symbol_is_code(&map->symbol[i]) && item.address)
			map->code = MIN(map->code, item.address);
	}
	map->names_bytes = used;
	sort(map->symbol, count);
}

bool symbol_map_is_good(const struct symbol_map *map, u64 bytes)
{
	return bytes >= sizeof(*map) && map->magic == SYMBOL_MAP_MAGIC && map->count &&
	       map->count <= COUNT_MAX + 1 && bytes_of(map->count, map->names_bytes) <= bytes;
}

/* --- looking up ----------------------------------------------------------------------------------- */

const char *symbol_map_name(const struct symbol_map *map, const struct symbol *symbol)
{
	return (const char *)&map->symbol[map->count] + symbol->name;
}

bool symbol_moves(const struct symbol_map *map, const struct symbol *symbol)
{
	return symbol->type != 'A' && symbol->type != 'a' && symbol->address >= map->code;
}

bool symbol_is_code(const struct symbol *symbol)
{
	return symbol->type == 'T' || symbol->type == 't' || symbol->type == 'W' || symbol->type == 'w';
}

const struct symbol *symbol_map_at(const struct symbol_map *map, u64 address)
{
	u32 low = 0, high = map->count;

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (map->symbol[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	while (low && !symbol_moves(map, &map->symbol[low - 1]))
		low--;
	if (!low)
		return NULL;
	while (low > 1 && map->symbol[low - 2].address == map->symbol[low - 1].address &&
	       symbol_moves(map, &map->symbol[low - 2]))
		low--;
	return &map->symbol[low - 1];
}

const struct symbol *symbol_map_find(const struct symbol_map *map, const char *name, u32 length)
{
	for (u32 i = 0; i < map->count; i++) {
		const char *own = symbol_map_name(map, &map->symbol[i]);

		if (!strncmp(own, name, length) && !own[length])
			return &map->symbol[i];
	}
	return NULL;
}
