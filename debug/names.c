/* SPDX-License-Identifier: BSD-2-Clause */
/* See names.h. */
#include "debug/names.h"

#include "arch/x86/guest/msr.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/vendor.h"
#include "debug/console.h"
#include "debug/memory.h"
#include "debug/stop.h"
#include "lib/log.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/phys.h"

/* What lies further from the symbol before it is something else. */
#define REACH 0x100000u
/* Kernels are moved by multiples of it at least. */
#define STEP 0x1000u
#define VECTOR_LSTAR 0x100u
#define GATE_64 16u
#define GATE_32 8u
#define AGREE 2u

/* Where Linux has its entries, in its names of today and of before 5.8. */
static const struct {
	u32 vector; /* of the IDT, or VECTOR_LSTAR */
	const char *name[2];
} witnesses[] = {
	{VECTOR_LSTAR, {"entry_SYSCALL_64", "entry_SYSCALL_64"}},
	{VEC_PF, {"asm_exc_page_fault", "page_fault"}},
	{VEC_GP, {"asm_exc_general_protection", "general_protection"}},
	{VEC_UD, {"asm_exc_invalid_op", "invalid_op"}},
	{VEC_BP, {"asm_exc_int3", "int3"}},
};

static struct {
	const struct symbol_map *map;                        /* NULL: there are no symbols */
	const struct symbol *witness[ARRAY_SIZE(witnesses)]; /* NULL: the map has none of that name */
	u64 slide;                                           /* from an address of the map to one of the guest */
	bool located, told;
	u64 told_slide;
} names;

static const struct symbol *find(const char *name)
{
	return symbol_map_find(names.map, name, (u32)strlen(name));
}

void names_init(const struct boot_info *info)
{
	const struct symbol_map *map = info->symbols_size ? phys_to_virt(hpa(info->symbols_base)) : NULL;

	if (!map || !symbol_map_is_good(map, info->symbols_size))
		return;
	names.map = map;
	names.located = true;
	for (u32 i = 0; i < ARRAY_SIZE(witnesses); i++) {
		names.witness[i] = find(witnesses[i].name[0]);
		if (!names.witness[i])
			names.witness[i] = find(witnesses[i].name[1]);
		names.located &= !names.witness[i];
	}
}

u32 names_count(void)
{
	return names.map ? names.map->count : 0;
}

/* --- where the kernel is --------------------------------------------------------------------- */

/* SDM vol. 3 section 6.11 (32-bit gates), section 6.14.1 (64-bit ones). */
static bool read_gate(struct vcpu *vcpu, u32 vector, u64 *handler)
{
	u32 size = vcpu->efer & EFER_LMA ? GATE_64 : GATE_32;
	struct segment idt;
	u16 gate[GATE_64 / 2];

	vcpu->vendor->get_segment(vcpu, SEG_IDTR, &idt);
	if ((vector + 1) * size - 1 > idt.limit ||
	    memory_copy(vcpu, idt.base + vector * size, false, gate, size, false) != size)
		return false;
	*handler = gate[0] | (u64)gate[3] << 16;
	if (size == GATE_64)
		*handler |= (u64)gate[4] << 32 | (u64)gate[5] << 48;
	return *handler;
}

static bool read_entry(struct vcpu *vcpu, u32 vector, u64 *entry)
{
	if (vector != VECTOR_LSTAR)
		return read_gate(vcpu, vector, entry);
	return vcpu->efer & EFER_LMA && !msr_guest_read(vcpu, MSR_LSTAR, entry) && *entry;
}

static u32 count_agreeing(const u64 *slide, u32 count, u64 value)
{
	u32 n = 0;

	for (u32 i = 0; i < count; i++)
		n += slide[i] == value;
	return n;
}

bool names_locate(struct vcpu *vcpu)
{
	u64 slide[ARRAY_SIZE(witnesses)], entry;
	u32 count = 0, known = 0;

	for (u32 i = 0; names.map && i < ARRAY_SIZE(witnesses); i++) {
		if (!names.witness[i])
			continue;
		known++;
		if (read_entry(vcpu, witnesses[i].vector, &entry))
			slide[count++] = entry - names.witness[i]->address;
	}
	if (!known)
		return names.located; /* a guest without them is where its file says */
	names.located = false;
	for (u32 i = 0; i < count && !names.located; i++) {
		names.located = !(slide[i] % STEP) && count_agreeing(slide, count, slide[i]) >= AGREE;
		names.slide = slide[i];
	}
	return names.located;
}

static void locate_here(struct vcpu *vcpu, void *arg)
{
	names_locate(vcpu);
}

void names_tell(void)
{
	bool below = names.slide >> 63;

	if (!names.map)
		console_printf("symbols: none; the boot entry has no line \"symbols\"\n");
	else if (!names.located)
		console_printf("symbols: %u, without a place: the guest's handlers are not the file's (yet)\n",
			       names_count());
	else if (names.slide)
		console_printf("symbols: %u, 0x%llx %s the file's addresses (KASLR)\n", names_count(),
			       (unsigned long long)(below ? -names.slide : names.slide), below ? "below" : "above");
	else
		console_printf("symbols: %u, at the file's addresses\n", names_count());
}

void names_refresh(struct vcpu *vcpu)
{
	if (!names.map)
		return;
	stop_on(vcpu, locate_here, NULL);
	if (names.told && names.told_slide == names.slide)
		return;
	names.told = names.located;
	names.told_slide = names.slide;
	names_tell();
}

/* --- looking up -------------------------------------------------------------------------------- */

static const struct symbol *symbol_at(u64 address, u64 *offset)
{
	const struct symbol *symbol;

	if (!names.map || !names.located)
		return NULL;
	symbol = symbol_map_at(names.map, address - names.slide);
	*offset = symbol ? address - names.slide - symbol->address : 0;
	return *offset < REACH ? symbol : NULL;
}

const char *names_describe(u64 address, const char *before, char out[NAMES_TEXT])
{
	u64 offset;
	const struct symbol *symbol = symbol_at(address, &offset);

	out[0] = '\0';
	if (symbol)
		snprintf(out, NAMES_TEXT, "%s%.64s+0x%llx", before, symbol_map_name(names.map, symbol),
			 (unsigned long long)offset);
	return out;
}

bool names_find(const char *name, u32 length, u64 *value)
{
	const struct symbol *symbol = names.map ? symbol_map_find(names.map, name, length) : NULL;

	if (!symbol || !names.located)
		return false;
	*value = symbol->address + (symbol_moves(names.map, symbol) ? names.slide : 0);
	return true;
}

enum names_kind names_kind_at(u64 address)
{
	u64 offset;
	const struct symbol *symbol = symbol_at(address, &offset);

	if (!symbol)
		return NAMES_NONE;
	return symbol_is_code(symbol) ? NAMES_CODE : NAMES_OTHER;
}
