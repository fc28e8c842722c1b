/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Return addresses on the stack. Code with frame pointers has a chain of them. Where it has none (Linux's own unwinder goes by tables) the
 * stack is gone through word by word for what is behind a CALL; such a word may be left over from a call that is long done.
 */
#include "debug/command.h"

#include "arch/x86/guest/decode.h"
#include "debug/console.h"
#include "debug/names.h"
#include "debug/target.h"

#define SCANNED 0x4000u /* bytes: a stack of Linux's kernel */
#define LINES_MOST 0x40u
#define CALL_MIN 2u
#define CALL_MAX 7u
#define OPCODE_CALL 0xe8u
#define OPCODE_GROUP5 0xffu /* with /2 it is CALL */
#define GROUP5_CALL 2u
#define NO_FRAME 1u /* not where a word can be */

struct stack {
	struct vcpu *vcpu;
	u32 bits, word; /* of the code; bytes of a word */
	u64 frame;      /* where the next frame's link is, or NO_FRAME */
	u64 rip;
};

static bool read_word(const struct stack *s, u64 at, u64 *value)
{
	*value = 0;
	return target_read(s->vcpu, at, value, s->word) == s->word;
}

/* SDM vol. 2A, CALL: a near one of any form ends there. */
static bool is_behind_call(const struct stack *s, u64 address)
{
	u8 bytes[CALL_MAX];
	struct insn insn;

	if (target_read(s->vcpu, address - CALL_MAX, bytes, CALL_MAX) != CALL_MAX)
		return false;
	for (u32 length = CALL_MIN; length <= CALL_MAX; length++) {
		if (insn_decode(&insn, bytes + CALL_MAX - length, length, s->bits) || insn.len != length ||
		    insn.encoding != INSN_LEGACY || insn.map)
			continue;
		if (insn.opcode == OPCODE_CALL || (insn.opcode == OPCODE_GROUP5 && (insn.reg & 7) == GROUP5_CALL))
			return true;
	}
	return false;
}

/* By its symbol. Where there is none (modules, programs) it must lie as near to the code that runs as code of one program does. */
static bool may_be_code(const struct stack *s, u64 address)
{
	u64 distance = address > s->rip ? address - s->rip : s->rip - address;
	enum names_kind kind = names_kind_at(address - 1);

	return kind == NAMES_CODE || (kind == NAMES_NONE && distance < BIT(30));
}

static void show(const struct stack *s, u32 *frames, u64 at, u64 address)
{
	char name[NAMES_TEXT];

	names_describe(address, "  ", name);
	if (at == s->frame + s->word)
		console_printf("#%-2u %016llx  frame %016llx%s\n", (*frames)++, (unsigned long long)address,
			       (unsigned long long)s->frame, name);
	else
		console_printf("?   %016llx     at %016llx%s\n", (unsigned long long)address,
			       (unsigned long long)at, name);
}

static void scan(struct stack *s, u64 sp)
{
	u32 lines = 0, frames = 1;
	u64 value, next;

	for (u64 at = sp; at - sp < SCANNED && lines < LINES_MOST && !console_is_over(); at += s->word) {
		bool linked = at == s->frame + s->word, found;

		if (!read_word(s, at, &value))
			return;
		found = may_be_code(s, value) && is_behind_call(s, value);
		if (found) {
			show(s, &frames, at, value);
			lines++;
		}
		if (linked)
			s->frame = found && read_word(s, s->frame, &next) && next > s->frame ? next : NO_FRAME;
	}
}

static void bt(struct monitor *m, const struct words *w)
{
	struct target_state state;
	struct stack s = {.vcpu = m->cpu};
	char name[NAMES_TEXT];

	if (target_get(m->cpu, &state)) {
		console_printf("it has no registers\n");
		return;
	}
	s.rip = state.reg[TARGET_RIP];
	s.bits = state.code_bits;
	s.word = s.bits / 8;
	s.frame = state.reg[TARGET_RBP] >= state.reg[TARGET_RSP] ? state.reg[TARGET_RBP] : NO_FRAME;
	console_printf("#0  %016llx%s\n", (unsigned long long)s.rip, names_describe(s.rip, "  ", name));
	if (s.bits == 16)
		return;
	scan(&s, state.reg[TARGET_RSP]);
}

const struct command commands_stack[] = {
	{"bt", "", "return addresses: by frame pointers; with ? what looks like one on the stack", bt},
	{NULL, NULL, NULL, NULL},
};
