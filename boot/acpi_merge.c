/* SPDX-License-Identifier: BSD-2-Clause */
/* See acpi_merge.h. What files hold is judged in acpi_set_add(), and not looked at again. */
#include "boot/acpi_merge.h"
#include "boot/bytes.h"
#include "lib/string.h"
#include "lib/types.h"

/* Sections 5.2.5.3 and 5.2.6 */
#define RSDP_BYTES_1 20u
#define RSDP_BYTES_2 36u
enum {
	RSDP_CHECKSUM = 8,
	RSDP_OEM = 9,
	RSDP_REVISION = 15,
	RSDP_RSDT = 16,
	RSDP_LENGTH = 20,
	RSDP_XSDT = 24,
	RSDP_CHECKSUM_2 = 32
};
enum {
	TABLE_LENGTH = 4,
	TABLE_REVISION = 8,
	TABLE_CHECKSUM = 9,
	TABLE_OEM = 10,
	TABLE_OEM_TABLE = 16,
	TABLE_OEM_REVISION = 24,
	TABLE_CREATOR = 28
};
#define OEM_BYTES 6u
#define OEM_TABLE_BYTES 8u

/* Section 5.2.9 */
enum { FADT_FACS = 36, FADT_DSDT = 40, FADT_X_FACS = 132, FADT_X_DSDT = 140 };
#define FADT_BYTES_1 116u
#define FADT_BYTES_X 148u

/* Section 5.2.10: without a checksum */
#define FACS_BYTES 64u
#define FACS_BYTES_MAX 4096u

#define ALIGNMENT 64u
#define BELOW_4G (1ull << 32)
#define ROUND_UP(x, a) (((x) + (a)-1) & ~((uint64_t)(a)-1))

static void put(uint8_t *at, uint64_t value, uint32_t bytes)
{
	for (; bytes--; value >>= 8)
		*at++ = (uint8_t)value;
}

static void seal(uint8_t *p, uint32_t bytes, uint32_t checksum_at)
{
	p[checksum_at] = 0;
	p[checksum_at] = (uint8_t)-acpi_sum(p, bytes);
}

static bool is(const uint8_t *bytes, const char *signature)
{
	return memcmp(bytes, signature, 4) == 0;
}

static uint32_t length_of(const uint8_t *bytes)
{
	return bytes_get_u32(bytes + TABLE_LENGTH);
}

static uint32_t oem_revision(const struct acpi_table *t)
{
	return bytes_get_u32(t->bytes + TABLE_OEM_REVISION);
}

static void put_text(char *to, const uint8_t *from, uint32_t bytes)
{
	uint32_t i;

	for (i = 0; i < bytes; i++)
		to[i] = from[i] > ' ' && from[i] <= '~' ? (char)from[i] : ' ';
	while (i && to[i - 1] == ' ')
		i--;
	to[i] = 0;
}

struct acpi_name acpi_name_of(const struct acpi_table *table)
{
	struct acpi_name name = {""};
	char *at = name.text;

	put_text(at, table->bytes, 4);
	if (is(table->bytes, "FACS"))
		return name;
	at += strlen(at);
	*at++ = '-';
	put_text(at, table->bytes + TABLE_OEM, OEM_BYTES);
	at += strlen(at);
	*at++ = '-';
	put_text(at, table->bytes + TABLE_OEM_TABLE, OEM_TABLE_BYTES);
	return name;
}

static const char *owner_of(const struct acpi_table *table)
{
	return table->file ? table->file : "the firmware";
}

/* --- the firmware's tables ----------------------------------------------------- */

static bool read_table(struct acpi_table *table, acpi_read_fn *read, uint64_t address)
{
	*table = (struct acpi_table){.address = address};
	table->bytes = acpi_read_table(read, address, &table->length);
	return table->bytes;
}

/* The XSDT or else the RSDT, and the bytes of its entries; 0 if neither can be read. */
static uint32_t find_list(struct acpi_table *list, acpi_read_fn *read, uint64_t rsdp)
{
	uint32_t entry_bytes;

	for (entry_bytes = 8; entry_bytes >= 4; entry_bytes -= 4) {
		list->bytes = acpi_read_list(read, rsdp, entry_bytes, &list->length);
		if (list->bytes)
			return entry_bytes;
	}
	return 0;
}

/* A field of the FADT, 0 if it ends before it. */
static uint64_t fadt_field(const struct acpi_table *fadt, uint32_t offset, uint32_t bytes)
{
	return fadt->length >= offset + bytes ? bytes_get(fadt->bytes + offset, bytes) : 0;
}

static bool read_fadt(struct acpi_set *set, acpi_read_fn *read, const struct acpi_table *fadt,
		      struct boot_error *error)
{
	uint64_t dsdt = fadt_field(fadt, FADT_X_DSDT, 8);

	if (!dsdt)
		dsdt = fadt_field(fadt, FADT_DSDT, 4);
	set->firmware_facs = fadt_field(fadt, FADT_FACS, 4);
	set->firmware_x_facs = fadt_field(fadt, FADT_X_FACS, 8);
	if (!dsdt || (read_table(&set->dsdt, read, dsdt) && is(set->dsdt.bytes, "DSDT")))
		return true;
	return boot_error_set(error,
			      "acpi: the firmware's DSDT at 0x%llx cannot be read; remove"
			      " the lines \"acpi\"",
			      (unsigned long long)dsdt);
}

static const struct acpi_table *find_listed(const struct acpi_set *set, const char *signature)
{
	uint32_t i;

	for (i = 0; i < set->count; i++)
		if (is(set->listed[i].bytes, signature))
			return &set->listed[i];
	return NULL;
}

static bool too_many(struct boot_error *error)
{
	return boot_error_set(error,
			      "acpi: more than %u tables in all; name fewer in the"
			      " lines \"acpi\"",
			      ACPI_LISTED_MAX);
}

static bool read_entries(struct acpi_set *set, acpi_read_fn *read, const struct acpi_table *list,
			 uint32_t entry, struct boot_error *error)
{
	uint32_t at;

	for (at = ACPI_HEADER_BYTES; at + entry <= list->length; at += entry) {
		uint64_t address = bytes_get(list->bytes + at, entry);
		struct acpi_table *t;

		if (!address)
			continue;
		if (set->count == ACPI_LISTED_MAX)
			return too_many(error);
		t = &set->listed[set->count++];
		if (!read_table(t, read, address) ||
		    (is(t->bytes, "FACP") && t->length < FADT_BYTES_1))
			return boot_error_set(error,
					      "acpi: the firmware's table at 0x%llx cannot be"
					      " read; remove the lines \"acpi\"",
					      (unsigned long long)address);
	}
	return true;
}

bool acpi_set_read(struct acpi_set *set, acpi_read_fn *read, uint64_t rsdp, struct boot_error *error)
{
	static const char own[] = "    \0\0\0\0\1\0UMBRA UMBRA   \1\0\0\0UMBR\1\0\0";
	const struct acpi_table *fadt;
	struct acpi_table list;
	uint32_t entry;

	*set = (struct acpi_set){.count = 0};
	_Static_assert(sizeof(own) == ACPI_HEADER_BYTES, "with the NUL: section 5.2.6");
	memcpy(set->list_header, own, ACPI_HEADER_BYTES);
	if (!rsdp)
		return true;
	entry = find_list(&list, read, rsdp);
	if (!entry)
		return boot_error_set(error,
				      "acpi: the firmware's list of tables cannot be read; remove"
				      " the lines \"acpi\"");
	memcpy(set->list_header, list.bytes, ACPI_HEADER_BYTES);
	if (!read_entries(set, read, &list, entry, error))
		return false;
	fadt = find_listed(set, "FACP");
	return !fadt || read_fadt(set, read, fadt, error);
}

/* --- the files' tables ----------------------------------------------------------- */

static bool has_signature(const uint8_t *bytes)
{
	uint32_t i;

	for (i = 0; i < 4; i++)
		if (!(bytes[i] >= 'A' && bytes[i] <= 'Z') &&
		    !(bytes[i] >= '0' && bytes[i] <= '9') && bytes[i] != '_')
			return false;
	return true;
}

/* What is wrong with the table itself; NULL: nothing. */
static const char *judge(const struct acpi_table *t)
{
	if (is(t->bytes, "RSDT") || is(t->bytes, "XSDT"))
		return "is a list of tables, which Umbra makes itself; leave it out";
	if (is(t->bytes, "FACS"))
		return t->length < FACS_BYTES || t->length > FACS_BYTES_MAX ?
			       "has a length that no FACS has; make the file again" :
			       NULL;
	if (acpi_sum(t->bytes, t->length))
		return "has a wrong checksum; make the file again";
	if (is(t->bytes, "FACP") && t->length < FADT_BYTES_1)
		return "is shorter than any FADT; make the file again";
	return NULL;
}

/* Kinds of which a system may have several, each with IDs of its own: sections 5.2.11.2 and 5.2.6. */
static bool may_be_many(const uint8_t *bytes)
{
	return is(bytes, "SSDT") || is(bytes, "PSDT") || is(bytes, "UEFI") ||
	       memcmp(bytes, "OEM", 3) == 0;
}

static bool same_ids(const struct acpi_table *a, const struct acpi_table *b)
{
	return memcmp(a->bytes, b->bytes, 4) == 0 &&
	       memcmp(a->bytes + TABLE_OEM, b->bytes + TABLE_OEM, OEM_BYTES + OEM_TABLE_BYTES) == 0;
}

/* Takes the place of an older one with the same IDs. */
static bool replace(struct acpi_table *old, const struct acpi_table *new, struct boot_error *error)
{
	bool of_firmware = !old->file || old->replaces;
	struct acpi_name name = acpi_name_of(new);

	if (!same_ids(old, new))
		return boot_error_set(error,
				      "%s: %s cannot stand beside %s of %s; give it the same OEM"
				      " IDs and a higher OEM revision",
				      new->file, name.text, acpi_name_of(old).text, owner_of(old));
	if (oem_revision(new) <= oem_revision(old))
		return boot_error_set(error,
				      "%s: %s has OEM revision 0x%x and that of %s has 0x%x; give"
				      " it a higher one",
				      new->file, name.text, oem_revision(new), owner_of(old),
				      oem_revision(old));
	*old = *new;
	old->replaces = of_firmware;
	return true;
}

/* The FACS is a place where firmware and system talk, so the firmware's stays. */
static bool add_facs(struct acpi_set *set, const struct acpi_table *new, struct boot_error *error)
{
	if (set->facs.bytes || set->firmware_facs || set->firmware_x_facs)
		return boot_error_set(error,
				      "%s: there is a FACS already, which cannot be replaced;"
				      " remove the file from the line \"acpi\"",
				      new->file);
	set->facs = *new;
	return true;
}

static bool add_table(struct acpi_set *set, const struct acpi_table *new, struct boot_error *error)
{
	uint32_t i;

	if (is(new->bytes, "FACS"))
		return add_facs(set, new, error);
	if (is(new->bytes, "DSDT")) {
		if (set->dsdt.bytes)
			return replace(&set->dsdt, new, error);
		set->dsdt = *new;
		return true;
	}
	for (i = 0; i < set->count; i++) {
		struct acpi_table *old = &set->listed[i];

		if (may_be_many(new->bytes) ? same_ids(old, new) :
					      memcmp(old->bytes, new->bytes, 4) == 0)
			return replace(old, new, error);
	}
	if (set->count == ACPI_LISTED_MAX)
		return too_many(error);
	set->listed[set->count++] = *new;
	return true;
}

bool acpi_set_add(struct acpi_set *set, const char *file, const uint8_t *bytes, uint64_t size,
		  struct boot_error *error)
{
	do {
		struct acpi_table t = {.bytes = bytes, .file = file};
		const char *wrong;

		if (size < ACPI_HEADER_BYTES || !has_signature(bytes) ||
		    length_of(bytes) < ACPI_HEADER_BYTES)
			return boot_error_set(error,
					      "%s holds no ACPI table, or something behind it; name"
					      " a file that iasl has made (.aml)",
					      file);
		t.length = length_of(bytes);
		if (t.length > size || t.length > ACPI_TABLE_MAX)
			return boot_error_set(error,
					      "%s: its %.4s has a length of %u bytes and there are"
					      " %llu; copy or make the file again",
					      file, (const char *)bytes, t.length,
					      (unsigned long long)size);
		wrong = judge(&t);
		if (wrong)
			return boot_error_set(error, "%s: its %.4s %s", file, (const char *)bytes,
					      wrong);
		if (!add_table(set, &t, error))
			return false;
		bytes += t.length;
		size -= t.length;
	} while (size);
	return true;
}

/* --- the result -------------------------------------------------------------------- */

/* A FADT whose pointers are to be set: one of a file, or the way to a file's table. */
static bool fadt_changes(const struct acpi_set *set, const struct acpi_table *t)
{
	return is(t->bytes, "FACP") && (t->file || set->dsdt.file || set->facs.bytes);
}

bool acpi_set_check(const struct acpi_set *set, struct boot_error *error)
{
	const struct acpi_table *fadt = find_listed(set, "FACP");

	if (!fadt && (set->dsdt.file || set->facs.bytes))
		return boot_error_set(error,
				      "%s: neither the firmware nor the lines \"acpi\" have a"
				      " FADT that could name this table; add one",
				      set->dsdt.file ? set->dsdt.file : set->facs.file);
	if (fadt && fadt->file && !set->dsdt.bytes)
		return boot_error_set(error,
				      "%s: neither the firmware nor the lines \"acpi\" have a"
				      " DSDT for this FADT; add one",
				      fadt->file);
	if (fadt && fadt_changes(set, fadt) && !set->dsdt.file && set->dsdt.address >= BELOW_4G &&
	    fadt->length < FADT_BYTES_X)
		return boot_error_set(error,
				      "%s: this FADT is too short for the address of the firmware's"
				      " DSDT; make one of revision 3 or later",
				      owner_of(fadt));
	return true;
}

static uint64_t lists_bytes(const struct acpi_set *set)
{
	return ROUND_UP(RSDP_BYTES_2, ALIGNMENT) +
	       ROUND_UP(ACPI_HEADER_BYTES + set->count * 8u, ALIGNMENT) +
	       ROUND_UP(ACPI_HEADER_BYTES + set->count * 4u, ALIGNMENT);
}

uint64_t acpi_set_bytes(const struct acpi_set *set)
{
	uint64_t bytes = lists_bytes(set);
	uint32_t i;

	for (i = 0; i < set->count; i++)
		if (set->listed[i].file || fadt_changes(set, &set->listed[i]))
			bytes += ROUND_UP(set->listed[i].length, ALIGNMENT);
	if (set->dsdt.file)
		bytes += ROUND_UP(set->dsdt.length, ALIGNMENT);
	return bytes;
}

uint64_t acpi_set_facs_bytes(const struct acpi_set *set)
{
	return set->facs.length;
}

/* Where the next table goes: at the same distance in both. */
struct place {
	uint8_t *to;
	uint64_t address;
};

static uint8_t *write_table(struct place *place, struct acpi_table *table)
{
	uint8_t *to = place->to;
	uint64_t step = ROUND_UP(table->length, ALIGNMENT);

	memcpy(to, table->bytes, table->length);
	table->bytes = to;
	table->address = place->address;
	place->to += step;
	place->address += step;
	return to;
}

/* Where the 64-bit field is not 0 it alone counts; both name the same DSDT for systems that read either. */
static void link_fadt(const struct acpi_set *set, uint8_t *fadt, uint32_t length)
{
	uint64_t dsdt = set->dsdt.address;
	uint64_t facs = set->facs.bytes ? set->facs.address : set->firmware_facs;
	uint64_t x_facs = set->facs.bytes ? 0 : set->firmware_x_facs;

	put(fadt + FADT_DSDT, dsdt < BELOW_4G ? dsdt : 0, 4);
	put(fadt + FADT_FACS, facs, 4);
	if (length >= FADT_BYTES_X) {
		put(fadt + FADT_X_DSDT, dsdt, 8);
		put(fadt + FADT_X_FACS, x_facs, 8);
	}
	seal(fadt, length, TABLE_CHECKSUM);
}

/* A list of the addresses that its entries can hold. Returns where it lies. */
static uint64_t write_list(const struct acpi_set *set, struct place *place, const char *signature,
			   uint32_t entry)
{
	uint64_t address = place->address, step;
	uint8_t *list = place->to;
	uint32_t length = ACPI_HEADER_BYTES, i;

	memcpy(list, set->list_header, ACPI_HEADER_BYTES);
	memcpy(list, signature, 4);
	list[TABLE_REVISION] = 1;
	for (i = 0; i < set->count; i++) {
		if (entry == 4 && set->listed[i].address >= BELOW_4G)
			continue;
		put(list + length, set->listed[i].address, entry);
		length += entry;
	}
	put(list + TABLE_LENGTH, length, 4);
	seal(list, length, TABLE_CHECKSUM);
	step = ROUND_UP(ACPI_HEADER_BYTES + set->count * entry, ALIGNMENT);
	place->to += step;
	place->address += step;
	return address;
}

static void write_root(const struct acpi_set *set, uint8_t *root, struct place *place)
{
	static const char signature[] = "RSD PTR ";

	memcpy(root, signature, sizeof(signature) - 1);
	memcpy(root + RSDP_OEM, set->list_header + TABLE_OEM, OEM_BYTES);
	root[RSDP_REVISION] = 2;
	put(root + RSDP_LENGTH, RSDP_BYTES_2, 4);
	put(root + RSDP_XSDT, write_list(set, place, "XSDT", 8), 8);
	put(root + RSDP_RSDT, write_list(set, place, "RSDT", 4), 4);
	seal(root, RSDP_BYTES_1, RSDP_CHECKSUM);
	seal(root, RSDP_BYTES_2, RSDP_CHECKSUM_2);
}

void acpi_set_write(struct acpi_set *set, uint8_t *to, uint64_t address, uint8_t *facs,
		    uint64_t facs_address)
{
	const uint64_t root_bytes = ROUND_UP(RSDP_BYTES_2, ALIGNMENT);
	struct place tables = {to + lists_bytes(set), address + lists_bytes(set)};
	struct place lists = {to + root_bytes, address + root_bytes};
	uint32_t i;

	if (set->facs.bytes)
		write_table(&(struct place){facs, facs_address}, &set->facs);
	if (set->dsdt.file)
		write_table(&tables, &set->dsdt);
	for (i = 0; i < set->count; i++) {
		struct acpi_table *t = &set->listed[i];

		if (fadt_changes(set, t))
			link_fadt(set, write_table(&tables, t), t->length);
		else if (t->file)
			write_table(&tables, t);
	}
	write_root(set, to, &lists);
}
