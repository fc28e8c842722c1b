/* SPDX-License-Identifier: BSD-2-Clause */
/* See show.h. */
#include "debug/show.h"

#include "arch/x86/cpu.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/vendor.h"
#include "debug/console.h"
#include "debug/format.h"
#include "debug/names.h"
#include "debug/stop.h"
#include "debug/target.h"

#define BITS_TEXT 160u

static const char *const segment_names[SEG_COUNT] = {
	[SEG_ES] = "es", [SEG_CS] = "cs",     [SEG_SS] = "ss", [SEG_DS] = "ds",     [SEG_FS] = "fs",
	[SEG_GS] = "gs", [SEG_LDTR] = "ldtr", [SEG_TR] = "tr", [SEG_GDTR] = "gdtr", [SEG_IDTR] = "idtr",
};

static unsigned long long wide(u64 value)
{
	return value;
}

static bool get(struct vcpu *vcpu, struct target_state *state)
{
	if (!target_get(vcpu, state))
		return true;
	console_printf("CPU %u %s: it has no registers\n", vcpu->id, show_state(vcpu));
	return false;
}

const char *show_state(const struct vcpu *vcpu)
{
	const struct processors *all = &guest_of(vcpu)->shared->processors;

	switch (processors_state(all, vcpu->id)) {
	case PROCESSOR_OFF: return "is off";
	case PROCESSOR_WAITS: return "waits for a start-up message";
	default: return stop_is_running(vcpu) ? "is stopped" : "did not stop";
	}
}

void show_where(struct vcpu *vcpu)
{
	struct target_state state;
	char flags[BITS_TEXT], name[NAMES_TEXT];

	if (!get(vcpu, &state))
		return;
	format_bits(flags, sizeof(flags), state.reg[TARGET_RFLAGS] & ~RFLAGS_FIXED, format_rflags);
	names_describe(state.reg[TARGET_RIP], "  at ", name);
	console_printf("rip %016llx  rsp %016llx  cpl %u  %u-bit  %s%s\n", wide(state.reg[TARGET_RIP]),
		       wide(state.reg[TARGET_RSP]), state.cpl, state.code_bits, flags, name);
}

static void show_segment(const struct target_state *state, u32 which)
{
	const struct segment *s = &state->segment[which];

	if (which == SEG_GDTR || which == SEG_IDTR)
		console_printf("%-4s      base %016llx limit %08x\n", segment_names[which], wide(s->base), s->limit);
	else
		console_printf("%-4s %04x base %016llx limit %08x %05x%s\n", segment_names[which], s->selector,
			       wide(s->base), s->limit, s->attributes,
			       s->attributes & SEG_ATTR_UNUSABLE ? " unusable" : "");
}

void show_registers(struct vcpu *vcpu)
{
	struct target_state state;

	if (!get(vcpu, &state))
		return;
	for (u32 i = 0; i < GPR_COUNT; i++)
		console_printf("%-3s %016llx%s", target_register_name((enum target_register)i), wide(state.reg[i]),
			       i % 3 == 2 || i + 1 == GPR_COUNT ? "\n" : "  ");
	show_where(vcpu);
	for (u32 i = 0; i < SEG_COUNT; i++)
		show_segment(&state, i);
	console_printf("kernel_gs_base %016llx\n", wide(state.reg[TARGET_KERNEL_GS_BASE]));
}

static void show_bits(const char *name, u64 value, const struct bit_name *names)
{
	char text[BITS_TEXT];

	format_bits(text, sizeof(text), value, names);
	console_printf("%-4s %016llx %s\n", name, wide(value), text);
}

void show_control(struct vcpu *vcpu)
{
	struct target_state s;

	if (!get(vcpu, &s))
		return;
	show_bits("cr0", s.reg[TARGET_CR0], format_cr0);
	console_printf("cr2  %016llx\n", wide(s.reg[TARGET_CR2]));
	console_printf("cr3  %016llx\n", wide(s.reg[TARGET_CR3]));
	show_bits("cr4", s.reg[TARGET_CR4], format_cr4);
	console_printf("cr8  %016llx\n", wide(s.reg[TARGET_CR8]));
	show_bits("efer", s.reg[TARGET_EFER], format_efer);
	for (u32 i = 0; i < 4; i++)
		console_printf("dr%u  %016llx%s", i, wide(s.reg[TARGET_DR0 + i]), i % 2 ? "\n" : "  ");
	show_bits("dr6", s.reg[TARGET_DR6] & ~DR6_RESET, format_dr6);
	console_printf("dr7  %016llx\n", wide(s.reg[TARGET_DR7]));
}

#define X(name, text) text,
static const char *const kind_text[EXIT_KIND_COUNT] = {EXIT_KINDS(X)};
#undef X

void show_exits(const struct vcpu *vcpu, u32 most)
{
	u64 count = MIN(MIN(vcpu->exits, (u64)EXIT_RING), (u64)most);
	char name[NAMES_TEXT];

	console_printf("CPU %u: %llu exits, the last %u:\n", vcpu->id, wide(vcpu->exits), (u32)count);
	for (u64 i = vcpu->exits - count; i != vcpu->exits && !console_is_over(); i++) {
		const struct exit_record *r = &vcpu->ring[i % EXIT_RING];

		console_printf("  %-24s rip %016llx raw %x info %llx %llx%s\n",
			       r->kind < EXIT_KIND_COUNT ? kind_text[r->kind] : "?", wide(r->rip), r->raw,
			       wide(r->info1), wide(r->info2), names_describe(r->rip, "  ", name));
	}
}

#define BRANCHES 4u

/* SDM vol. 3 section 17.13, APM vol. 2 section 13.1.1.6: the last branch and the last interrupt, of this processor's own. */
static void read_branches(struct vcpu *vcpu, void *arg)
{
	u64 *value = arg;

	for (u32 i = 0; i < BRANCHES; i++)
		if (rdmsr_safe(0x1db + i, &value[i]))
			value[i] = ~0ull;
}

void show_branches(struct vcpu *vcpu)
{
	static const char *const where[BRANCHES] = {"last branch from", "last branch to", "last interrupt from",
						    "last interrupt to"};
	char name[NAMES_TEXT];
	u64 value[BRANCHES];

	if (!stop_on(vcpu, read_branches, value))
		return;
	for (u32 i = 0; i < BRANCHES; i++) {
		if (value[i] == ~0ull)
			console_printf("%-19s none: this processor has not the register\n", where[i]);
		else
			console_printf("%-19s %016llx%s\n", where[i], wide(value[i]),
				       names_describe(value[i], "  ", name));
	}
}
