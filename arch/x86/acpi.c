/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See acpi.h. The way: root pointer, XSDT or else RSDT, from there the FADT and the
 * SSDTs, from the FADT the DSDT. The sleep states are names in the AML code of the
 * last two, which is not interpreted but searched. The processors are in the MADT.
 */
#include "arch/x86/acpi.h"

#include "lib/log.h"
#include "lib/string.h"

/* Sections 5.2.5.3, 5.2.6 */
#define RSDP_BYTES_1 20u
#define RSDP_BYTES_2 36u
#define HEADER_BYTES 36u
enum { RSDP_REVISION = 15, RSDP_RSDT = 16, RSDP_XSDT = 24 };

#define TABLE_MAX (16u << 20)
#define TABLES_MAX 512u

/* Section 5.2.9 */
enum {
	FADT_DSDT = 40,
	FADT_PM1A_EVT = 56,
	FADT_PM1B_EVT = 60,
	FADT_PM1A_CNT = 64,
	FADT_PM1B_CNT = 68,
	FADT_PM1_EVT_LEN = 88,
	FADT_PM1_CNT_LEN = 89,
	FADT_FLAGS = 112,
	FADT_X_DSDT = 140,
	FADT_X_PM1A_EVT = 148,
	FADT_X_PM1B_EVT = 160,
	FADT_X_PM1A_CNT = 172,
	FADT_X_PM1B_CNT = 184,
	FADT_SLEEP_CONTROL = 244,
	FADT_SLEEP_STATUS = 256,
};
#define FADT_HW_REDUCED BIT(20)

/* Generic address structure, section 5.2.3.2 */
#define GAS_BYTES 12u
enum { GAS_SPACE = 0, GAS_BIT_OFFSET = 2, GAS_ADDRESS = 4 };
enum { SPACE_MEMORY = 0, SPACE_IO = 1 };

struct table {
	const u8 *bytes;
	u32 length;
};

/* One walk over the tables. visit() is called for each that a list names; only its header is known to be readable. */
struct search {
	acpi_map_fn *map;
	void (*visit)(struct search *s, u64 address, const u8 *header);
	struct acpi_sleep *out;
	bool found_fadt;
	struct acpi_cpus *cpus;
	bool found_madt;
	struct acpi_pin *pin;
	u8 irq;
	acpi_edit_fn *edit;
	const struct acpi_cpus *keep;
};

static u64 get(const u8 *p, u32 bytes)
{
	u64 value = 0;

	while (bytes--)
		value = value << 8 | p[bytes];
	return value;
}

static bool sums_to_zero(const u8 *p, u32 bytes)
{
	u8 sum = 0;

	while (bytes--)
		sum += *p++;
	return sum == 0;
}

static bool has_signature(const u8 *p, const char *signature)
{
	return memcmp(p, signature, 4) == 0;
}

/* --- AML: Name(_Sx_, Package() {...}) ------------------------------------------------ */

/* Section 20.2 */
enum {
	AML_ZERO = 0x00,
	AML_ONE = 0x01,
	AML_NAME = 0x08,
	AML_BYTE = 0x0a,
	AML_WORD = 0x0b,
	AML_DWORD = 0x0c,
	AML_QWORD = 0x0e,
	AML_PACKAGE = 0x12,
	AML_ONES = 0xff,
};
#define NAME_BYTES 4u
#define NAME_PREFIX_MAX 4u

struct aml {
	const u8 *at, *end;
};

/* Section 20.2.4: the length counts its own bytes. Narrows the rest to the package. */
static bool enter_package(struct aml *a)
{
	u32 lead, more, length;

	if (a->at == a->end)
		return false;
	lead = *a->at;
	more = lead >> 6;
	if ((u64)(a->end - a->at) < more + 1)
		return false;
	length = more ? (lead & 0xf) | (u32)get(a->at + 1, more) << 4 : lead & 0x3f;
	if (length < more + 1 || length > (u64)(a->end - a->at))
		return false;
	a->end = a->at + length;
	a->at += more + 1;
	return true;
}

/* An integer constant; the low 32 bits of it. */
static bool take_integer(struct aml *a, u32 *value)
{
	u32 bytes;
	u8 op;

	if (a->at == a->end)
		return false;
	op = *a->at++;
	switch (op) {
	case AML_ZERO: *value = 0; return true;
	case AML_ONE: *value = 1; return true;
	case AML_ONES: *value = ~0u; return true;
	case AML_BYTE: bytes = 1; break;
	case AML_WORD: bytes = 2; break;
	case AML_DWORD: bytes = 4; break;
	case AML_QWORD: bytes = 8; break;
	default: return false;
	}
	if ((u64)(a->end - a->at) < bytes)
		return false;
	*value = (u32)get(a->at, bytes);
	a->at += bytes;
	return true;
}

/* Section 7.4.2: PM1a's number, PM1b's. Old firmware has both in one integer, one byte each. */
static bool take_types(struct aml a, u32 *type_a, u32 *type_b)
{
	u32 elements;

	if (a.at == a.end || *a.at++ != AML_PACKAGE || !enter_package(&a) || a.at == a.end)
		return false;
	elements = *a.at++;
	if (!elements || !take_integer(&a, type_a))
		return false;
	if (elements == 1)
		*type_b = *type_a >> 8;
	return elements == 1 || take_integer(&a, type_b);
}

/* Is the name at i of a Name object? It may be written from the root or from a parent on. */
static bool is_named(const u8 *code, u32 i)
{
	for (u32 n = 0; i && n <= NAME_PREFIX_MAX; n++)
		switch (code[--i]) {
		case AML_NAME: return true;
		case '\\':
		case '^': break;
		default: return false;
		}
	return false;
}

static void search_code(const u8 *code, u32 length, struct acpi_sleep *out)
{
	for (u32 i = 1; i + NAME_BYTES <= length; i++) {
		const u8 *name = code + i;
		u32 state = name[2] - (u32)'0', a, b;

		if (name[0] != '_' || name[1] != 'S' || name[3] != '_' || state >= ACPI_SLEEP_STATES ||
		    !is_named(code, i) || !take_types((struct aml){name + NAME_BYTES, code + length}, &a, &b))
			continue;
		out->type_a[state] |= (u8)(1u << (a & 7));
		out->type_b[state] |= (u8)(1u << (b & 7));
	}
}

/* --- tables ---------------------------------------------------------------------------- */

/* The sum is not looked at. */
static bool open_any_table(const struct search *s, u64 address, struct table *out)
{
	const u8 *header = address ? s->map(address, HEADER_BYTES) : NULL;

	if (!header) {
		log_warn("acpi: no table can be read at %llx\n", (unsigned long long)address);
		return false;
	}
	out->length = (u32)get(header + 4, 4);
	out->bytes = out->length >= HEADER_BYTES && out->length <= TABLE_MAX ? s->map(address, out->length) : NULL;
	if (!out->bytes)
		log_warn("acpi: the table at %llx (%u bytes) is not in readable memory: not used\n",
			 (unsigned long long)address, out->length);
	return out->bytes;
}

static bool open_table(const struct search *s, u64 address, struct table *out)
{
	if (!open_any_table(s, address, out))
		return false;
	if (sums_to_zero(out->bytes, out->length))
		return true;
	log_warn("acpi: the table at %llx (%u bytes) is of a wrong checksum: not used\n",
		 (unsigned long long)address, out->length);
	return false;
}

static void search_definitions(const struct search *s, u64 address, const char *signature)
{
	struct table t;

	if (open_table(s, address, &t) && has_signature(t.bytes, signature))
		search_code(t.bytes + HEADER_BYTES, t.length - HEADER_BYTES, s->out);
}

/* A field of the FADT, 0 if the table ends before it. */
static u64 field(const struct table *fadt, u32 offset, u32 bytes)
{
	return fadt->length >= offset + bytes ? get(fadt->bytes + offset, bytes) : 0;
}

static struct acpi_byte at(enum acpi_space space, u64 address, u32 byte)
{
	bool good = address && address + byte >= address && (space == ACPI_MEMORY || address + byte <= 0xffff);

	return good ? (struct acpi_byte){space, address + byte} : (struct acpi_byte){ACPI_NOWHERE, 0};
}

static struct acpi_byte at_port(const struct table *fadt, u32 offset)
{
	return at(ACPI_PORT, field(fadt, offset, 4), 1);
}

static struct acpi_byte at_gas(const struct table *fadt, u32 offset, u32 byte)
{
	u64 address = field(fadt, offset + GAS_ADDRESS, 8);
	u32 space = (u32)field(fadt, offset + GAS_SPACE, 1);

	if (address && (space > SPACE_IO || field(fadt, offset + GAS_BIT_OFFSET, 1))) {
		log_warn("acpi: the register at byte %u of the FADT is of address space %u: not guarded\n", offset,
			 space);
		address = 0;
	}
	return at(space == SPACE_IO ? ACPI_PORT : ACPI_MEMORY, address, byte);
}

static void take_pm1(const struct table *fadt, struct acpi_sleep *out)
{
	if (field(fadt, FADT_PM1_CNT_LEN, 1) >= 2) {
		out->control[ACPI_PM1A] = at_port(fadt, FADT_PM1A_CNT);
		out->control[ACPI_PM1B] = at_port(fadt, FADT_PM1B_CNT);
		out->control[ACPI_X_PM1A] = at_gas(fadt, FADT_X_PM1A_CNT, 1);
		out->control[ACPI_X_PM1B] = at_gas(fadt, FADT_X_PM1B_CNT, 1);
	}
	if (field(fadt, FADT_PM1_EVT_LEN, 1) >= 4) { /* its first half is the status */
		out->status[ACPI_PM1A] = at_port(fadt, FADT_PM1A_EVT);
		out->status[ACPI_PM1B] = at_port(fadt, FADT_PM1B_EVT);
		out->status[ACPI_X_PM1A] = at_gas(fadt, FADT_X_PM1A_EVT, 1);
		out->status[ACPI_X_PM1B] = at_gas(fadt, FADT_X_PM1B_EVT, 1);
	}
}

static void take_fadt(struct search *s, u64 address)
{
	struct table fadt;
	u64 dsdt, x_dsdt;

	if (s->found_fadt || !open_table(s, address, &fadt))
		return;
	s->found_fadt = true;
	/* Hardware-reduced machines have no PM1 registers: the fields are to be ignored, section 4.1. */
	if (!(field(&fadt, FADT_FLAGS, 4) & FADT_HW_REDUCED))
		take_pm1(&fadt, s->out);
	s->out->control[ACPI_REDUCED] = at_gas(&fadt, FADT_SLEEP_CONTROL, 0);
	s->out->status[ACPI_REDUCED] = at_gas(&fadt, FADT_SLEEP_STATUS, 0);
	dsdt = field(&fadt, FADT_DSDT, 4);
	x_dsdt = field(&fadt, FADT_X_DSDT, 8);
	if (x_dsdt)
		search_definitions(s, x_dsdt, "DSDT");
	if (dsdt && dsdt != x_dsdt)
		search_definitions(s, dsdt, "DSDT");
}

static void visit_for_sleep(struct search *s, u64 address, const u8 *header)
{
	if (has_signature(header, "FACP"))
		take_fadt(s, address);
	else if (has_signature(header, "SSDT") || has_signature(header, "PSDT"))
		search_definitions(s, address, has_signature(header, "SSDT") ? "SSDT" : "PSDT");
}

/* Every table that the XSDT (entries of 8 bytes) or the RSDT (4) lists. */
static bool take_list(struct search *s, u64 address, const char *signature, u32 entry)
{
	struct table list;

	if (!address || !open_table(s, address, &list) || !has_signature(list.bytes, signature))
		return false;
	for (u32 i = 0; i < TABLES_MAX && HEADER_BYTES + (i + 1) * entry <= list.length; i++) {
		u64 table = get(list.bytes + HEADER_BYTES + i * entry, entry);
		const u8 *header = table ? s->map(table, HEADER_BYTES) : NULL;

		if (header)
			s->visit(s, table, header);
	}
	return true;
}

static bool is_root(const u8 *p, u32 bytes)
{
	return p && memcmp(p, "RSD PTR ", 8) == 0 && sums_to_zero(p, bytes);
}

/* The addresses of the lists, 0 for one that the root pointer does not give. -ENOENT: there is no root pointer. */
static int find_lists(acpi_map_fn *map, u64 rsdp, u64 *xsdt, u64 *rsdt)
{
	const u8 *root = rsdp ? map(rsdp, RSDP_BYTES_1) : NULL;

	*xsdt = *rsdt = 0;
	if (!rsdp)
		return -ENOENT;
	if (!is_root(root, RSDP_BYTES_1)) {
		log_warn("acpi: no root pointer can be read at %llx\n", (unsigned long long)rsdp);
		return -ENOENT;
	}
	*rsdt = get(root + RSDP_RSDT, 4);
	if (root[RSDP_REVISION] >= 2) {
		const u8 *longer = map(rsdp, RSDP_BYTES_2);

		*xsdt = is_root(longer, RSDP_BYTES_2) ? get(longer + RSDP_XSDT, 8) : 0;
	}
	return 0;
}

/* Visits what the XSDT lists, or else what the RSDT does. */
static int walk_tables(struct search *s, u64 rsdp)
{
	u64 xsdt, rsdt;
	int err = find_lists(s->map, rsdp, &xsdt, &rsdt);

	if (!err && !take_list(s, xsdt, "XSDT", 8))
		take_list(s, rsdt, "RSDT", 4);
	return err;
}

int acpi_find_sleep(acpi_map_fn *map, u64 rsdp, struct acpi_sleep *out)
{
	struct search s = {.map = map, .visit = visit_for_sleep, .out = out};

	*out = (struct acpi_sleep){0};
	if (walk_tables(&s, rsdp))
		return -ENOENT;
	if (s.found_fadt)
		return 0;
	log_warn("acpi: no FADT can be read: the guest's sleep is not guarded\n");
	*out = (struct acpi_sleep){0};
	return -ENOENT;
}

/* --- the MADT: which processors there are ---------------------------------------------- */

/* One of a wrong checksum counts too: Linux says so and uses it (ACPICA's ACPI_CHECKSUM_ABORT is off). */

/* Section 5.2.12; the entries begin behind the local APIC's address and the flags. */
#define MADT_ENTRIES (HEADER_BYTES + 8u)
enum { ENTRY_TYPE = 0, ENTRY_LENGTH = 1, ENTRY_BYTES_MIN = 2 };
enum { TYPE_LAPIC = 0, TYPE_X2APIC = 9 };
#define XAPIC_BROADCAST 0xffu
#define X2APIC_BROADCAST 0xffffffffu
#define TABLE_CHECKSUM 9u
/* Table 5.22 */
#define CPU_ENABLED BIT(0)
#define CPU_ONLINE_CAPABLE BIT(1)

/* An entry of a processor: its ID and the offset of its flags in the table. */
struct madt_cpu {
	u32 apic_id, flags_at;
};

/* The entry at *at, an offset in the table, which moves behind it; NULL at the end, or where an entry's length lies. */
static const u8 *next_entry(const struct table *madt, u32 *at)
{
	u32 start = *at, left = madt->length - start, length;

	if (left < ENTRY_BYTES_MIN)
		return NULL;
	length = madt->bytes[start + ENTRY_LENGTH];
	if (length < ENTRY_BYTES_MIN || length > left)
		return NULL;
	*at = start + length;
	return madt->bytes + start;
}

/* The next processor from *at on, an offset in the table; false at the end, or where an entry's length lies. */
static bool next_cpu(const struct table *madt, u32 *at, struct madt_cpu *cpu)
{
	const u8 *entry;
	u32 start = *at;

	for (; (entry = next_entry(madt, at)); start = *at) {
		u32 length = entry[ENTRY_LENGTH];

		/* Sections 5.2.12.2 and 5.2.12.12 */
		if (entry[ENTRY_TYPE] == TYPE_LAPIC && length >= 8) {
			*cpu = (struct madt_cpu){entry[3], start + 4};
			if (cpu->apic_id != XAPIC_BROADCAST)
				return true;
		} else if (entry[ENTRY_TYPE] == TYPE_X2APIC && length >= 16) {
			*cpu = (struct madt_cpu){(u32)get(entry + 4, 4), start + 8};
			if (cpu->apic_id != X2APIC_BROADCAST)
				return true;
		}
	}
	return false;
}

static bool is_listed(const struct acpi_cpus *cpus, u32 apic_id)
{
	for (u32 i = 0; i < cpus->count; i++)
		if (cpus->apic_id[i] == apic_id)
			return true;
	return false;
}

static void visit_for_cpus(struct search *s, u64 address, const u8 *header)
{
	struct acpi_cpus *cpus = s->cpus;
	u32 at = MADT_ENTRIES;
	struct madt_cpu cpu;
	struct table madt;

	if (s->found_madt || !has_signature(header, "APIC") || !open_any_table(s, address, &madt) ||
	    madt.length < MADT_ENTRIES)
		return;
	s->found_madt = true;
	while (next_cpu(&madt, &at, &cpu)) {
		if (!(get(madt.bytes + cpu.flags_at, 4) & CPU_ENABLED) || is_listed(cpus, cpu.apic_id))
			continue;
		if (cpus->count == ACPI_CPUS_MAX)
			cpus->left_off++;
		else
			cpus->apic_id[cpus->count++] = cpu.apic_id;
	}
}

int acpi_find_cpus(acpi_map_fn *map, u64 rsdp, struct acpi_cpus *out)
{
	struct search s = {.map = map, .visit = visit_for_cpus, .cpus = out};

	*out = (struct acpi_cpus){0};
	if (walk_tables(&s, rsdp))
		return -ENOENT;
	return out->count ? 0 : -ENOENT;
}

/* Clears the flags of the others, one byte of each, and lets the sum of the table stay what it is. */
static void visit_to_hide(struct search *s, u64 address, const u8 *header)
{
	u32 at = MADT_ENTRIES;
	struct madt_cpu cpu;
	struct table madt;
	u8 *bytes;

	if (!has_signature(header, "APIC") || !open_any_table(s, address, &madt) || madt.length < MADT_ENTRIES)
		return;
	bytes = s->edit(address, madt.length);
	while (next_cpu(&madt, &at, &cpu)) {
		u8 flags = madt.bytes[cpu.flags_at], less = flags & (CPU_ENABLED | CPU_ONLINE_CAPABLE);

		if (is_listed(s->keep, cpu.apic_id) || !less)
			continue;
		if (!bytes) {
			log_warn("acpi: the MADT at %llx cannot be changed: the guest sees processors that it "
				 "cannot start\n",
				 (unsigned long long)address);
			return;
		}
		bytes[cpu.flags_at] = flags ^ less;
		bytes[TABLE_CHECKSUM] = (u8)(bytes[TABLE_CHECKSUM] + less);
	}
}

void acpi_hide_cpus(acpi_map_fn *map, acpi_edit_fn *edit, u64 rsdp, const struct acpi_cpus *keep)
{
	struct search s = {.map = map, .visit = visit_to_hide, .edit = edit, .keep = keep};
	u64 xsdt, rsdt;

	if (find_lists(map, rsdp, &xsdt, &rsdt))
		return;
	/* A guest may go by either list, and they may lead to different tables. */
	take_list(&s, xsdt, "XSDT", 8);
	take_list(&s, rsdt, "RSDT", 4);
}

/* --- where an interrupt of the ISA bus arrives ------------------------------------------ */

enum { TYPE_IOAPIC = 1, TYPE_OVERRIDE = 2 };
#define IOAPIC_INPUTS_MOST 240u

/* Its number among all inputs of I/O APICs: that of the interrupt unless there is an override (section 5.2.12.5). */
static u32 global_input(const struct table *madt, u8 irq, u32 *flags)
{
	const u8 *entry;

	*flags = 0;
	for (u32 at = MADT_ENTRIES; (entry = next_entry(madt, &at));) {
		if (entry[ENTRY_TYPE] != TYPE_OVERRIDE || entry[ENTRY_LENGTH] < 10 || entry[3] != irq)
			continue;
		*flags = (u32)get(entry + 8, 2);
		return (u32)get(entry + 4, 4);
	}
	return irq;
}

/* The one with the highest first input that is not above it (section 5.2.12.3). */
static void visit_for_pin(struct search *s, u64 address, const u8 *header)
{
	struct table madt;
	u32 global, first, flags;
	const u8 *entry;

	if (s->found_madt || !has_signature(header, "APIC") || !open_any_table(s, address, &madt) ||
	    madt.length < MADT_ENTRIES)
		return;
	s->found_madt = true;
	global = global_input(&madt, s->irq, &flags);
	for (u32 at = MADT_ENTRIES; (entry = next_entry(&madt, &at));) {
		if (entry[ENTRY_TYPE] != TYPE_IOAPIC || entry[ENTRY_LENGTH] < 12)
			continue;
		first = (u32)get(entry + 8, 4);
		if (first > global || global - first >= IOAPIC_INPUTS_MOST ||
		    (s->pin->ioapic && global - first > s->pin->input))
			continue;
		*s->pin = (struct acpi_pin){get(entry + 4, 4), global - first, flags};
	}
}

int acpi_find_pin(acpi_map_fn *map, u64 rsdp, u8 irq, struct acpi_pin *out)
{
	struct search s = {.map = map, .visit = visit_for_pin, .pin = out, .irq = irq};

	*out = (struct acpi_pin){0};
	return walk_tables(&s, rsdp) || !out->ioapic ? -ENOENT : 0;
}
