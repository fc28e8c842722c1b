/* SPDX-License-Identifier: BSD-2-Clause */
/* See format.h. */
#include "debug/format.h"

#include "lib/printf.h"
#include "lib/x86.h"

/* clang-format off */
const struct bit_name format_cr0[] = {
	{CR0_PG, "PG"}, {CR0_CD, "CD"}, {CR0_NW, "NW"}, {CR0_AM, "AM"}, {CR0_WP, "WP"}, {CR0_NE, "NE"}, {CR0_ET, "ET"}, {CR0_TS, "TS"},
	{CR0_EM, "EM"}, {CR0_MP, "MP"}, {CR0_PE, "PE"}, {0, NULL}};
const struct bit_name format_cr4[] = {
	{CR4_PKS, "PKS"}, {CR4_CET, "CET"}, {CR4_PKE, "PKE"}, {CR4_SMAP, "SMAP"}, {CR4_SMEP, "SMEP"}, {CR4_OSXSAVE, "OSXSAVE"},
	{CR4_PCIDE, "PCIDE"}, {CR4_FSGSBASE, "FSGSBASE"}, {CR4_SMXE, "SMXE"}, {CR4_VMXE, "VMXE"}, {CR4_LA57, "LA57"}, {CR4_UMIP, "UMIP"},
	{CR4_OSXMMEXCPT, "OSXMMEXCPT"}, {CR4_OSFXSR, "OSFXSR"}, {CR4_PCE, "PCE"}, {CR4_PGE, "PGE"}, {CR4_MCE, "MCE"}, {CR4_PAE, "PAE"},
	{CR4_PSE, "PSE"}, {CR4_DE, "DE"}, {CR4_TSD, "TSD"}, {CR4_PVI, "PVI"}, {CR4_VME, "VME"}, {0, NULL}};
const struct bit_name format_efer[] = {
	{EFER_TCE, "TCE"}, {EFER_FFXSR, "FFXSR"}, {EFER_LMSLE, "LMSLE"}, {EFER_SVME, "SVME"}, {EFER_NXE, "NXE"}, {EFER_LMA, "LMA"},
	{EFER_LME, "LME"}, {EFER_SCE, "SCE"}, {0, NULL}};
/* SDM vol. 1 section 3.4.3 */
const struct bit_name format_rflags[] = {
	{BIT(21), "ID"}, {RFLAGS_VIP, "VIP"}, {RFLAGS_VIF, "VIF"}, {RFLAGS_AC, "AC"}, {RFLAGS_VM, "VM"}, {RFLAGS_RF, "RF"}, {RFLAGS_NT, "NT"},
	{BIT(13), "IOPL1"}, {BIT(12), "IOPL0"}, {BIT(11), "OF"}, {RFLAGS_DF, "DF"}, {RFLAGS_IF, "IF"}, {RFLAGS_TF, "TF"}, {BIT(7), "SF"},
	{BIT(6), "ZF"}, {BIT(4), "AF"}, {BIT(2), "PF"}, {BIT(0), "CF"}, {0, NULL}};
const struct bit_name format_dr6[] = {
	{DR6_BT, "BT"}, {DR6_BS, "BS"}, {DR6_BD, "BD"}, {BIT(3), "B3"}, {BIT(2), "B2"}, {BIT(1), "B1"}, {BIT(0), "B0"}, {0, NULL}};
/* SDM vol. 3 tables 4-15 to 4-20 */
const struct bit_name format_leaf[] = {
	{PTE_NX, "NX"}, {PTE_G, "G"}, {PTE_PAT_4K, "PAT"}, {PTE_D, "D"}, {PTE_A, "A"}, {PTE_PCD, "PCD"}, {PTE_PWT, "PWT"}, {PTE_U, "U"},
	{PTE_W, "W"}, {PTE_P, "P"}, {0, NULL}};
const struct bit_name format_large[] = {
	{PTE_NX, "NX"}, {PTE_PAT_LARGE, "PAT"}, {PTE_G, "G"}, {PTE_PS, "PS"}, {PTE_D, "D"}, {PTE_A, "A"}, {PTE_PCD, "PCD"}, {PTE_PWT, "PWT"},
	{PTE_U, "U"}, {PTE_W, "W"}, {PTE_P, "P"}, {0, NULL}};
const struct bit_name format_link[] = {
	{PTE_NX, "NX"}, {PTE_A, "A"}, {PTE_PCD, "PCD"}, {PTE_PWT, "PWT"}, {PTE_U, "U"}, {PTE_W, "W"}, {PTE_P, "P"}, {0, NULL}};
/* clang-format on */

void format_bits(char *out, u32 size, u64 value, const struct bit_name *names)
{
	u32 at = 0;

	if (!size)
		return;
	out[0] = '\0';
	for (; names->name; names++) {
		if (!(value & names->bit))
			continue;
		value &= ~names->bit;
		if (at < size)
			at += (u32)snprintf(out + at, size - at, "%s%s", at ? " " : "", names->name);
	}
	if (value && at < size)
		snprintf(out + at, size - at, "%s+%llx", at ? " " : "", (unsigned long long)value);
}

void format_dump(char out[FORMAT_DUMP_SIZE], u64 address, const u8 *bytes, u32 count, u32 got)
{
	u32 at = (u32)snprintf(out, FORMAT_DUMP_SIZE, "%016llx ", (unsigned long long)address);

	for (u32 i = 0; i < FORMAT_DUMP_BYTES; i++) {
		const char *gap = i == FORMAT_DUMP_BYTES / 2 ? "  " : " ";

		if (i < got && i < count)
			at += (u32)snprintf(out + at, FORMAT_DUMP_SIZE - at, "%s%02x", gap, bytes[i]);
		else
			at += (u32)snprintf(out + at, FORMAT_DUMP_SIZE - at, "%s%s", gap, i < count ? "??" : "  ");
	}
	at += (u32)snprintf(out + at, FORMAT_DUMP_SIZE - at, "  |");
	for (u32 i = 0; i < count && i < FORMAT_DUMP_BYTES; i++) {
		char c = i < got ? (char)bytes[i] : '?';

		at += (u32)snprintf(out + at, FORMAT_DUMP_SIZE - at, "%c", c >= ' ' && c < 0x7f ? c : '.');
	}
	snprintf(out + at, FORMAT_DUMP_SIZE - at, "|");
}
