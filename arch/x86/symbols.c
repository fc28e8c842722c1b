/* SPDX-License-Identifier: BSD-2-Clause */
/* Looks up the symbol table and the build-id note (ELF gABI, "Note Section"). */
#include "arch/x86/symbols.h"

#include "boot/boot_info.h"
#include "lib/printf.h"

extern const char core_text_start[], core_text_end[];
extern const struct {
	u32 name_size, desc_size, type;
	u8 data[];
} core_build_id_start;
extern const char core_build_id_end[];

/* The last symbol at or below offset; NULL if there is none. */
static const struct ksym *find(u32 offset)
{
	u32 low = 0, high = ksyms_count;

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (ksyms_table[middle].offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &ksyms_table[low - 1] : NULL;
}

void symbols_describe(u64 address, char *buf, u32 size)
{
	const struct ksym *sym = NULL;

	if (address >= (u64)core_text_start && address < (u64)core_text_end)
		sym = find((u32)(address - CORE_VIRT_BASE));
	if (sym)
		snprintf(buf, size, "%s+0x%x", ksyms_names + sym->name,
			 (u32)(address - CORE_VIRT_BASE) - sym->offset);
	else
		snprintf(buf, size, "?");
}

void symbols_build_id(char *buf, u32 size)
{
	const u8 *id = core_build_id_start.data + ALIGN_UP(core_build_id_start.name_size, 4u);
	u32 used = 0;

	buf[0] = 0;
	if (id + core_build_id_start.desc_size > (const u8 *)core_build_id_end)
		return;
	for (u32 i = 0; i < core_build_id_start.desc_size && used + 3 <= size; i++)
		used += (u32)snprintf(buf + used, size - used, "%02x", id[i]);
}
