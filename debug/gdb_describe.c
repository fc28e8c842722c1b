/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See gdb_describe.h. GDB wants the features org.gnu.gdb.i386.core (general registers, then the x87 unit, in this order)
 * and org.gnu.gdb.i386.linux or none; the system registers stand in a feature of our own and have QEMU's names.
 */
#include "debug/gdb_describe.h"

#include "lib/printf.h"

#define GENERAL_64 24u
#define GENERAL_32 16u
#define X87_STACK 8u
#define X87_CONTROL 8u
#define X87 (X87_STACK + X87_CONTROL)

#define X(id, name) name,
static const char *const names[] = {GDB_GENERAL(X) GDB_SYSTEM(X)};
#undef X
static const char *const x87_names[X87] = {"st0",   "st1",   "st2",  "st3",   "st4",   "st5",   "st6",   "st7",
					   "fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"};
static const char *const names_32[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip"};

/* GDB's orders of the general registers. */
static const u8 order_64[GENERAL_64] = {GDB_RAX, GDB_RBX,    GDB_RCX, GDB_RDX, GDB_RSI, GDB_RDI, GDB_RBP, GDB_RSP,
					GDB_R8,  GDB_R9,     GDB_R10, GDB_R11, GDB_R12, GDB_R13, GDB_R14, GDB_R15,
					GDB_RIP, GDB_RFLAGS, GDB_CS,  GDB_SS,  GDB_DS,  GDB_ES,  GDB_FS,  GDB_GS};
static const u8 order_32[GENERAL_32] = {GDB_RAX, GDB_RCX,    GDB_RDX, GDB_RBX, GDB_RSP, GDB_RBP, GDB_RSI, GDB_RDI,
					GDB_RIP, GDB_RFLAGS, GDB_CS,  GDB_SS,  GDB_DS,  GDB_ES,  GDB_FS,  GDB_GS};

/* Bits with names; SDM vol. 3 sections 2.3, 2.5 and 2.2.1. */
struct flag {
	const char *name;
	u8 from, to;
};
// clang-format off
static const struct flag eflags[] = {
	{"CF", 0, 0}, {"", 1, 1}, {"PF", 2, 2}, {"AF", 4, 4}, {"ZF", 6, 6}, {"SF", 7, 7}, {"TF", 8, 8}, {"IF", 9, 9},
	{"DF", 10, 10}, {"OF", 11, 11}, {"IOPL", 12, 13}, {"NT", 14, 14}, {"RF", 16, 16}, {"VM", 17, 17}, {"AC", 18, 18},
	{"VIF", 19, 19}, {"VIP", 20, 20}, {"ID", 21, 21}, {NULL, 0, 0},
};
static const struct flag cr0[] = {
	{"PE", 0, 0}, {"MP", 1, 1}, {"EM", 2, 2}, {"TS", 3, 3}, {"ET", 4, 4}, {"NE", 5, 5}, {"WP", 16, 16}, {"AM", 18, 18},
	{"NW", 29, 29}, {"CD", 30, 30}, {"PG", 31, 31}, {NULL, 0, 0},
};
static const struct flag cr3[] = {
	{"PCID", 0, 11}, {"PDBR", 12, 63}, {NULL, 0, 0},
};
static const struct flag cr4[] = {
	{"VME", 0, 0}, {"PVI", 1, 1}, {"TSD", 2, 2}, {"DE", 3, 3}, {"PSE", 4, 4}, {"PAE", 5, 5}, {"MCE", 6, 6}, {"PGE", 7, 7},
	{"PCE", 8, 8}, {"OSFXSR", 9, 9}, {"OSXMMEXCPT", 10, 10}, {"UMIP", 11, 11}, {"LA57", 12, 12}, {"VMXE", 13, 13},
	{"SMXE", 14, 14}, {"FSGSBASE", 16, 16}, {"PCIDE", 17, 17}, {"OSXSAVE", 18, 18}, {"SMEP", 20, 20}, {"SMAP", 21, 21},
	{"PKE", 22, 22}, {NULL, 0, 0},
};
static const struct flag efer[] = {
	{"SCE", 0, 0}, {"LME", 8, 8}, {"LMA", 10, 10}, {"NXE", 11, 11}, {"SVME", 12, 12}, {"LMSLE", 13, 13}, {"FFXSR", 14, 14},
	{"TCE", 15, 15}, {NULL, 0, 0},
};
static const struct flags {
	const char *type;
	const struct flag *flag;
	u8 bytes;
} flag_types[] = {
	{"i386_eflags", eflags, 4}, {"x64_cr0", cr0, 8}, {"x64_cr3", cr3, 8}, {"x64_cr4", cr4, 8}, {"x64_efer", efer, 8},
};
// clang-format on

static u32 general_count(u32 bits)
{
	return bits == 64 ? GENERAL_64 : GENERAL_32;
}

u32 gdb_register_count(u32 bits)
{
	return general_count(bits) + X87 + (GDB_REGISTERS - GDB_CS_BASE);
}

static const char *type_of(u8 which)
{
	switch (which) {
	case GDB_RIP: return "code_ptr";
	case GDB_RSP:
	case GDB_RBP: return "data_ptr";
	case GDB_RFLAGS: return "i386_eflags";
	case GDB_CR0: return "x64_cr0";
	case GDB_CR3: return "x64_cr3";
	case GDB_CR4: return "x64_cr4";
	case GDB_EFER: return "x64_efer";
	default: return which <= GDB_R15 ? "long" : "int";
	}
}

struct gdb_register_row gdb_register_row(u32 bits, u32 number)
{
	struct gdb_register_row row = {.which = GDB_REGISTERS, .bits = 32, .type = "int"};
	u32 general = general_count(bits);

	if (number >= general && number < general + X87) {
		row.name = x87_names[number - general];
		if (number - general < X87_STACK) {
			row.bits = 80;
			row.type = "i387_ext";
		}
		return row;
	}
	if (number < general)
		row.which = bits == 64 ? order_64[number] : order_32[number];
	else
		row.which = (u8)(GDB_CS_BASE + number - general - X87);
	row.name = bits != 64 && row.which <= GDB_RIP ? names_32[row.which < GDB_R8 ? row.which : 8] :
							names[row.which];
	row.type = type_of(row.which);
	if (row.which >= GDB_CS_BASE || (bits == 64 && row.which <= GDB_RIP))
		row.bits = 64;
	return row;
}

u32 gdb_register_number(u32 bits, enum gdb_register which)
{
	u32 n = 0;

	while (n + 1 < gdb_register_count(bits) && gdb_register_row(bits, n).which != which)
		n++;
	return n;
}

/* --- the text --------------------------------------------------------------------------------- */
struct writer {
	void (*put)(void *to, char c);
	void *to;
};

static void write(const struct writer *w, const char *format, ...) PRINTF_LIKE(2, 3);
static void write(const struct writer *w, const char *format, ...)
{
	char text[160];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (const char *c = text; *c; c++)
		w->put(w->to, *c);
}

static void write_flags(const struct writer *w, const struct flags *type)
{
	write(w, "<flags id=\"%s\" size=\"%u\">", type->type, type->bytes);
	for (const struct flag *f = type->flag; f->name; f++)
		write(w, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", f->name, f->from, f->to);
	write(w, "</flags>");
}

static void write_registers(const struct writer *w, u32 bits, u32 from, u32 to)
{
	for (u32 n = from; n < to; n++) {
		struct gdb_register_row row = gdb_register_row(bits, n);
		const char *type = row.type;

		if (type[0] == 'l')
			type = row.bits == 64 ? "int64" : "int32";
		write(w, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"%s/>", row.name, row.bits, type,
		      row.which >= GDB_CS_BASE && row.bits == 64 ? " group=\"system\"" : "");
	}
}

void gdb_describe(u32 bits, void (*put)(void *to, char c), void *to)
{
	struct writer w = {put, to};
	u32 core = general_count(bits) + X87;

	write(&w, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>");
	write(&w, "<architecture>%s</architecture>", bits == 64 ? "i386:x86-64" : bits == 32 ? "i386" : "i8086");
	write(&w, "<feature name=\"org.gnu.gdb.i386.core\">");
	write_flags(&w, &flag_types[0]);
	write_registers(&w, bits, 0, core);
	write(&w, "</feature><feature name=\"umbra.i386.system\">");
	for (u32 i = 1; i < ARRAY_SIZE(flag_types); i++)
		write_flags(&w, &flag_types[i]);
	write_registers(&w, bits, core, gdb_register_count(bits));
	write(&w, "</feature></target>");
}
