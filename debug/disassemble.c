/* SPDX-License-Identifier: BSD-2-Clause */
/* See disassemble.h. Tables of SDM vol. 2, appendix A.2 and A.3. */
#include "debug/disassemble.h"

#include "lib/printf.h"
#include "lib/string.h"

/* What stands behind the name. E: r/m, G: reg, Z: the register in the opcode, I: immediate, A: AL to RAX, J: a branch's target. */
enum form { NONE, E, EG, GE, EI, GEI, Z, ZI, AI, AZ, I, J, CRE, ECR, E1, ECL, EGI, EGCL, G_E8, G_E16, EMEM };

struct entry {
	u8 map, first, last; /* opcodes */
	u8 form;
	const char *names[8]; /* of each opcode, or, with group set, of each ModRM.reg */
	bool group;
};

#define EIGHT(name) \
	{ \
		name, name, name, name, name, name, name, name \
	}
#define ALU_NAMES \
	{ \
		"add", "or", "adc", "sbb", "and", "sub", "xor", "cmp" \
	}
#define SHIFT_NAMES \
	{ \
		"rol", "ror", "rcl", "rcr", "shl", "shr", NULL, "sar" \
	}
#define BIT_NAMES \
	{ \
		NULL, NULL, NULL, NULL, "bt", "bts", "btr", "btc" \
	}
#define LOW(a) \
	{ \
		a "o", a "no", a "b", a "nb", a "z", a "nz", a "be", a "nbe" \
	}
#define HIGH(a) \
	{ \
		a "s", a "ns", a "p", a "np", a "l", a "nl", a "le", a "nle" \
	}

/* clang-format off */
static const struct entry entries[] = {
	{0, 0x50, 0x57, Z, EIGHT("push"), false}, {0, 0x58, 0x5f, Z, EIGHT("pop"), false},
	{0, 0x68, 0x68, I, {"push"}, false}, {0, 0x69, 0x69, GEI, {"imul"}, false}, {0, 0x6a, 0x6a, I, {"push"}, false},
	{0, 0x6b, 0x6b, GEI, {"imul"}, false}, {0, 0x70, 0x77, J, LOW("j"), false}, {0, 0x78, 0x7f, J, HIGH("j"), false},
	{0, 0x80, 0x81, EI, ALU_NAMES, true}, {0, 0x83, 0x83, EI, ALU_NAMES, true}, {0, 0x84, 0x85, EG, {"test", "test"}, false},
	{0, 0x86, 0x87, EG, {"xchg", "xchg"}, false}, {0, 0x88, 0x89, EG, {"mov", "mov"}, false}, {0, 0x8a, 0x8b, GE, {"mov", "mov"}, false},
	{0, 0x8d, 0x8d, GE, {"lea"}, false}, {0, 0x91, 0x97, AZ, EIGHT("xchg"), false}, {0, 0xa8, 0xa9, AI, {"test", "test"}, false},
	{0, 0xb0, 0xb7, ZI, EIGHT("mov"), false}, {0, 0xb8, 0xbf, ZI, EIGHT("mov"), false}, {0, 0xc0, 0xc1, EI, SHIFT_NAMES, true},
	{0, 0xd0, 0xd1, E1, SHIFT_NAMES, true}, {0, 0xd2, 0xd3, ECL, SHIFT_NAMES, true},
	{0, 0xc2, 0xc2, I, {"ret"}, false}, {0, 0xc3, 0xc3, NONE, {"ret"}, false}, {0, 0xc6, 0xc7, EI, {"mov"}, true},
	{0, 0xc9, 0xc9, NONE, {"leave"}, false}, {0, 0xcc, 0xcc, NONE, {"int3"}, false}, {0, 0xcd, 0xcd, I, {"int"}, false},
	{0, 0xe8, 0xe9, J, {"call", "jmp"}, false}, {0, 0xeb, 0xeb, J, {"jmp"}, false}, {0, 0xf4, 0xf5, NONE, {"hlt", "cmc"}, false},
	{0, 0xf6, 0xf7, EI, {"test"}, true}, {0, 0xf6, 0xf7, E, {NULL, NULL, "not", "neg", "mul", "imul", "div", "idiv"}, true},
	{0, 0xf8, 0xfd, NONE, {"clc", "stc", "cli", "sti", "cld", "std"}, false}, {0, 0xfe, 0xfe, E, {"inc", "dec"}, true},
	{0, 0xff, 0xff, E, {"inc", "dec", "call", NULL, "jmp", NULL, "push"}, true},
	{1, 0x05, 0x06, NONE, {"syscall", "clts"}, false}, {1, 0x08, 0x08, NONE, {"invd"}, false}, {1, 0x0b, 0x0b, NONE, {"ud2"}, false},
	{1, 0x1f, 0x1f, E, {"nop"}, false}, {1, 0x20, 0x20, ECR, {"mov"}, false}, {1, 0x22, 0x22, CRE, {"mov"}, false},
	{1, 0x30, 0x35, NONE, {"wrmsr", "rdtsc", "rdmsr", "rdpmc", "sysenter", "sysexit"}, false},
	{1, 0x40, 0x47, GE, LOW("cmov"), false}, {1, 0x48, 0x4f, GE, HIGH("cmov"), false},
	{1, 0x80, 0x87, J, LOW("j"), false}, {1, 0x88, 0x8f, J, HIGH("j"), false},
	{1, 0x90, 0x97, E, LOW("set"), false}, {1, 0x98, 0x9f, E, HIGH("set"), false},
	{1, 0xa2, 0xa2, NONE, {"cpuid"}, false}, {1, 0xa3, 0xa3, EG, {"bt"}, false}, {1, 0xa4, 0xa4, EGI, {"shld"}, false},
	{1, 0xa5, 0xa5, EGCL, {"shld"}, false}, {1, 0xab, 0xab, EG, {"bts"}, false}, {1, 0xac, 0xac, EGI, {"shrd"}, false},
	{1, 0xad, 0xad, EGCL, {"shrd"}, false}, {1, 0xaf, 0xaf, GE, {"imul"}, false}, {1, 0xb0, 0xb1, EG, {"cmpxchg", "cmpxchg"}, false},
	{1, 0xb3, 0xb3, EG, {"btr"}, false}, {1, 0xb6, 0xb6, G_E8, {"movzx"}, false}, {1, 0xb7, 0xb7, G_E16, {"movzx"}, false},
	{1, 0xba, 0xba, EI, BIT_NAMES, true}, {1, 0xbb, 0xbb, EG, {"btc"}, false}, {1, 0xbe, 0xbe, G_E8, {"movsx"}, false},
	{1, 0xbf, 0xbf, G_E16, {"movsx"}, false}, {1, 0xc0, 0xc1, EG, {"xadd", "xadd"}, false}, {1, 0xc8, 0xcf, Z, EIGHT("bswap"), false},
	{1, 0x01, 0x01, EMEM, {"sgdt", "sidt", "lgdt", "lidt", NULL, NULL, NULL, "invlpg"}, true},
};
/* clang-format on */

/* Opcodes of the one-byte map below 40: add to cmp, in six forms. */
static const struct entry *alu(u8 opcode)
{
	static const struct entry forms[3] = {
		{0, 0, 0, EG, ALU_NAMES, false}, {0, 0, 0, GE, ALU_NAMES, false}, {0, 0, 0, AI, ALU_NAMES, false}};

	return opcode < 0x40 && (opcode & 7) < 6 ? &forms[(opcode & 7) / 2] : NULL;
}

static bool is_simple(const struct insn *insn)
{
	return insn->encoding == INSN_LEGACY && insn->map < 2;
}

static const char *name_in(const struct entry *e, const struct insn *insn)
{
	if (!e->group)
		return e->names[insn->opcode - e->first];
	return e->form == EMEM && !insn->has_mem ? NULL : e->names[insn->reg & 7];
}

static const struct entry *find(const struct insn *insn, const char **name)
{
	const struct entry *e = insn->map ? NULL : alu(insn->opcode);

	*name = e ? e->names[insn->opcode >> 3] : NULL;
	for (u32 i = 0; !*name && i < ARRAY_SIZE(entries); i++) {
		e = &entries[i];
		if (e->map == insn->map && insn->opcode >= e->first && insn->opcode <= e->last)
			*name = name_in(e, insn);
	}
	return *name ? e : NULL;
}

/* Those whose name a prefix or the operand size decides. */
static const char *special_name(const struct insn *insn, u32 bits)
{
	u32 wide = insn->w ? 2 : insn->opsize == 2 ? 0 : 1;
	static const char *const sign[2][3] = {{"cbw", "cwde", "cdqe"}, {"cwd", "cdq", "cqo"}};

	if (insn->map == 1) {
		if (insn->opcode == 0x1e && insn->prefix == 0xf3 && insn->mod == 3 && (insn->reg & 7) == 7)
			return (insn->rm & 7) == 2 ? "endbr64" : (insn->rm & 7) == 3 ? "endbr32" : NULL;
		if (insn->opcode == 0x01 && insn->mod == 3 && (insn->reg & 7) == 7 && !(insn->rm & 7) && bits == 64)
			return "swapgs";
		return NULL;
	}
	if (insn->opcode == 0x90 && !insn->rm)
		return insn->prefix == 0xf3 ? "pause" : "nop";
	if (insn->opcode == 0x98 || insn->opcode == 0x99)
		return sign[insn->opcode & 1][wide];
	return NULL;
}

const char *disassemble_name(const struct insn *insn, u32 bits)
{
	const char *name;

	if (!is_simple(insn))
		return NULL;
	name = special_name(insn, bits);
	if (name)
		return name;
	/* with a prefix that makes another instruction of it; below 40 in another mode some are INC and DEC, which the table lacks */
	if (insn->map == 1 && insn->opcode >= 0xb8 && insn->opcode <= 0xbd && insn->opcode != 0xba &&
	    insn->opcode != 0xbb)
		return NULL;
	return find(insn, &name) ? name : NULL;
}

/* --- operands --------------------------------------------------------------------------------- */

struct text {
	char *out;
	u32 used;
	u32 bits;
	u64 next;  /* where the next instruction is */
	u64 names; /* an address that is named */
};

PRINTF_LIKE(2, 3) static void add(struct text *t, const char *format, ...)
{
	va_list args;

	if (t->used + 1 >= DISASSEMBLE_TEXT)
		return;
	va_start(args, format);
	t->used += (u32)vsnprintf(t->out + t->used, DISASSEMBLE_TEXT - t->used, format, args);
	va_end(args);
}

static void add_register(struct text *t, const struct insn *insn, u32 n, u32 bytes)
{
	static const char *const names[] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
	static const char *const low[] = {"al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"};

	n &= 15;
	if (bytes == 1 && n < 8 && (n < 4 || !insn->rex))
		add(t, "%s", low[n]);
	else if (n >= 8)
		add(t, "r%u%s", n, bytes == 8 ? "" : bytes == 4 ? "d" : bytes == 2 ? "w" : "b");
	else
		add(t, "%s%s%s", bytes == 8 ? "r" : bytes == 4 ? "e" : "", names[n], bytes == 1 ? "l" : "");
}

static void add_memory(struct text *t, const struct insn *insn, u32 bytes)
{
	static const char *const sizes[] = {[1] = "byte ", [2] = "word ", [4] = "dword ", [8] = "qword "};
	static const char *const segments[] = {"es:", "cs:", "ss:", "ds:", "fs:", "gs:"};
	u64 disp = (u64)insn->disp;
	bool any = false;

	add(t, "%s%s[", bytes <= 8 && sizes[bytes] ? sizes[bytes] : "",
	    insn->segment < ARRAY_SIZE(segments) ? segments[insn->segment] : "");
	if (insn->rip_relative) {
		t->names = t->next + disp;
		add(t, "0x%llx]", (unsigned long long)t->names);
		return;
	}
	if (insn->base != INSN_NO_REG) {
		add_register(t, insn, insn->base, insn->addrsize);
		any = true;
	}
	if (insn->index != INSN_NO_REG) {
		add(t, "%s", any ? "+" : "");
		add_register(t, insn, insn->index, insn->addrsize);
		add(t, "*%u", 1u << insn->scale);
		any = true;
	}
	if (any && insn->disp < 0)
		add(t, "-0x%llx]", (unsigned long long)-disp);
	else if (any && !disp)
		add(t, "]");
	else
		add(t, "%s0x%llx]", any ? "+" : "", (unsigned long long)disp);
}

static void add_rm(struct text *t, const struct insn *insn, u32 bytes)
{
	if (insn->has_mem)
		add_memory(t, insn, bytes);
	else
		add_register(t, insn, insn->rm, bytes);
}

static void add_immediate(struct text *t, const struct insn *insn, u32 bytes)
{
	u64 mask = bytes >= 8 ? ~0ull : BIT(8 * bytes) - 1;

	add(t, "0x%llx", (unsigned long long)(insn->imm & mask));
}

static void add_target(struct text *t, const struct insn *insn)
{
	t->names = t->next + insn->imm;
	if (t->bits != 64)
		t->names = (u32)t->names;
	add(t, "0x%llx", (unsigned long long)t->names);
}

/* Operand size of the form: bytes where the opcode is even and has an odd twin; stack and near branches are 8 in 64-bit code. */
static u32 size_of(const struct entry *e, const struct insn *insn, u32 bits)
{
	u8 op = insn->opcode;

	if (insn->map == 0 && (op == 0xff || (op >= 0x50 && op <= 0x5f)) && bits == 64 &&
	    (op != 0xff || (insn->reg & 7) >= 2))
		return insn->opsize == 2 ? 2 : 8;
	if (insn->map == 0 && op >= 0xb0 && op <= 0xbf)
		return op < 0xb8 ? 1 : insn->opsize;
	if (insn->map == 1)
		return e->first >= 0x90 && e->last <= 0x9f  ? 1 :
		       e->last == e->first + 1 && !(op & 1) ? 1 :
							      insn->opsize;
	if (e->form == Z || e->form == AZ || e->form == GEI || op == 0x83 || e->form == NONE)
		return insn->opsize;
	return op & 1 ? insn->opsize : 1;
}

static void add_operands(struct text *t, const struct entry *e, const struct insn *insn)
{
	u32 bytes = size_of(e, insn, t->bits);

	switch ((enum form)e->form) {
	case NONE: return;
	case J: add_target(t, insn); return;
	case I: add_immediate(t, insn, insn->opcode == 0xcd ? 1 : insn->opcode == 0xc2 ? 2 : t->bits / 8); return;
	case EMEM: add_rm(t, insn, 0); return;
	case GE:
	case GEI:
	case G_E8:
	case G_E16:
		add_register(t, insn, insn->reg, bytes);
		add(t, ", ");
		add_rm(t, insn,
		       e->form == G_E8                    ? 1 :
		       e->form == G_E16                   ? 2 :
		       insn->opcode == 0x8d && !insn->map ? 0 :
							    bytes);
		break;
	case Z:
	case ZI: add_register(t, insn, insn->rm, bytes); break;
	case AI:
	case AZ: add_register(t, insn, 0, bytes); break;
	case CRE:
		add(t, "cr%u, ", insn->reg);
		add_register(t, insn, insn->rm, t->bits == 64 ? 8 : 4);
		return;
	case ECR:
		add_register(t, insn, insn->rm, t->bits == 64 ? 8 : 4);
		add(t, ", cr%u", insn->reg);
		return;
	default: add_rm(t, insn, bytes); break;
	}
	if (e->form == EG || e->form == EGI || e->form == EGCL) {
		add(t, ", ");
		add_register(t, insn, insn->reg, bytes);
	}
	if (e->form == AZ) {
		add(t, ", ");
		add_register(t, insn, insn->rm, bytes);
	}
	if (e->form == EI || e->form == GEI || e->form == ZI || e->form == AI || e->form == EGI) {
		add(t, ", ");
		add_immediate(t, insn, insn->imm_len == 1 && (insn->map || (insn->opcode >> 4) == 0xc) ? 1 : bytes);
	}
	if (e->form == E1 || e->form == ECL || e->form == EGCL)
		add(t, e->form == E1 ? ", 1" : ", cl");
}

static void add_prefixes(struct text *t, const struct insn *insn)
{
	if (insn->lock)
		add(t, "lock ");
}

u64 disassemble(const struct insn *insn, u64 address, u32 bits, char out[DISASSEMBLE_TEXT])
{
	static const char *const maps[] = {"", "0f ", "0f 38 ", "0f 3a "};
	struct text t = {.out = out, .bits = bits, .next = address + insn->len};
	const char *name = disassemble_name(insn, bits), *found;
	const struct entry *e;

	out[0] = '\0';
	add_prefixes(&t, insn);
	if (!name) {
		if (insn->encoding == INSN_LEGACY)
			add(&t, "(%s%02x)", insn->map < ARRAY_SIZE(maps) ? maps[insn->map] : "", insn->opcode);
		else
			add(&t, "(%s map %u %02x)",
			    insn->encoding == INSN_VEX  ? "vex" :
			    insn->encoding == INSN_EVEX ? "evex" :
							  "xop",
			    insn->map, insn->opcode);
		if (insn->has_mem) {
			add(&t, " ");
			add_memory(&t, insn, 0);
		}
		return t.names;
	}
	e = special_name(insn, bits) ? NULL : find(insn, &found);
	add(&t, e && e->form != NONE ? "%-6s " : "%s", name);
	if (e)
		add_operands(&t, e, insn);
	return t.names;
}
