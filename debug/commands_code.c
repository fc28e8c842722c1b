/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands about the guest's code: instructions and names. */
#include "debug/command.h"

#include "debug/console.h"
#include "debug/disassemble.h"
#include "debug/names.h"
#include "debug/target.h"
#include "lib/printf.h"

#define INSNS 8u
#define INSNS_MOST 0x1000u
#define BYTES_SHOWN 10u

static void symbols(struct monitor *m, const struct words *w)
{
	char name[NAMES_TEXT];
	u64 address;

	if (w->count < 2) {
		names_tell();
		return;
	}
	if (command_address(m, w, 1, &address))
		console_printf("%016llx%s\n", (unsigned long long)address, names_describe(address, "  ", name));
}

static void show_line(u64 at, const u8 *bytes, u32 count, const char *text, u64 names)
{
	char shown[2 * BYTES_SHOWN + 2] = "", name[NAMES_TEXT];

	for (u32 i = 0; i < MIN(count, BYTES_SHOWN); i++)
		snprintf(shown + 2 * i, sizeof(shown) - 2 * i, "%02x", bytes[i]);
	console_printf("%016llx  %-20s%s %s%s\n", (unsigned long long)at, shown, count > BYTES_SHOWN ? "+" : " ",
		       text, names ? names_describe(names, "  ; ", name) : "");
}

/* The bytes of one instruction; 0: nothing can be read there. */
static u32 show_instruction(struct vcpu *vcpu, u64 at, u32 bits)
{
	char text[DISASSEMBLE_TEXT];
	u8 bytes[INSN_MAX];
	u32 got = target_read(vcpu, at, bytes, sizeof(bytes));
	struct insn insn;
	u64 names;

	if (!got || insn_decode(&insn, bytes, got, bits)) {
		show_line(at, bytes, MIN(got, 1u), got ? "(none)" : "not readable", 0);
		return MIN(got, 1u);
	}
	names = disassemble(&insn, at, bits, text);
	show_line(at, bytes, insn.len, text, names);
	return insn.len;
}

static void dis(struct monitor *m, const struct words *w)
{
	struct target_state state;
	char name[NAMES_TEXT];
	u64 at, count;
	u32 length = 1;

	if (target_get(m->cpu, &state)) {
		console_printf("it has no registers\n");
		return;
	}
	at = state.reg[TARGET_RIP] + (state.code_bits == 64 ? 0 : state.segment[SEG_CS].base);
	if (!command_number(m, w, 1, at, &at) || !command_number(m, w, 2, INSNS, &count))
		return;
	if (names_describe(at, "", name)[0])
		console_printf("%s:\n", name);
	count = MIN(count, (u64)INSNS_MOST);
	for (u64 i = 0; i < count && length && !console_is_over(); i++) {
		length = show_instruction(m->cpu, at, state.code_bits);
		at += length;
	}
}

const struct command commands_code[] = {
	{"dis", "[ADDRESS [N]]", "N instructions, of code of the size that the processor is at", dis},
	{"symbols", "[ADDRESS]", "how many there are, where the kernel lies; an address and its name", symbols},
	{NULL, NULL, NULL, NULL},
};
