/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands about one processor. */
#include "debug/command.h"

#include "debug/console.h"
#include "debug/show.h"
#include "debug/target.h"

static void regs(struct monitor *m, const struct words *w)
{
	show_registers(m->cpu);
}

static void cr(struct monitor *m, const struct words *w)
{
	show_control(m->cpu);
}

static void set(struct monitor *m, const struct words *w)
{
	int reg, err;
	u64 value;

	if (w->count != 3) {
		console_printf("set REGISTER VALUE\n");
		return;
	}
	reg = target_find_register(w->word[1], (u32)__builtin_strlen(w->word[1]));
	if (reg < 0) {
		console_printf("no register: %s\n", w->word[1]);
		return;
	}
	if (!command_number(m, w, 2, 0, &value))
		return;
	err = target_set(m->cpu, (enum target_register)reg, value);
	if (err)
		console_printf("%s is not changed: %s\n", w->word[1],
			       err == -EPERM  ? "it cannot be set here" :
			       err == -EINVAL ? "no such value" :
						"not stopped");
}

static void msr(struct monitor *m, const struct words *w)
{
	u64 index, value;

	if (!command_address(m, w, 1, &index))
		return;
	if (index >> 32 || target_read_msr(m->cpu, (u32)index, &value))
		console_printf("msr %llx: the guest gets #GP\n", (unsigned long long)index);
	else
		console_printf("msr %llx: %016llx\n", (unsigned long long)index, (unsigned long long)value);
}

static void cpu(struct monitor *m, const struct words *w)
{
	struct vcpu *vcpu;
	u64 id;

	if (w->count < 2) {
		for (u32 i = 0; (vcpu = stop_cpu(i)); i++)
			console_printf("%c CPU %u %s, %llu exits\n", vcpu == m->cpu ? '*' : ' ', i,
				       show_state(vcpu), (unsigned long long)vcpu->exits);
		return;
	}
	if (!command_number(m, w, 1, 0, &id))
		return;
	vcpu = id >> 32 ? NULL : stop_cpu((u32)id);
	if (!vcpu) {
		console_printf("no such CPU\n");
		return;
	}
	m->cpu = vcpu;
	show_where(vcpu);
}

static void trace(struct monitor *m, const struct words *w)
{
	const struct vcpu *vcpu;
	u64 most;

	if (!command_number(m, w, 1, 0x10, &most))
		return;
	for (u32 i = 0; (vcpu = stop_cpu(i)); i++)
		if (vcpu->exits)
			show_exits(vcpu, (u32)MIN(most, (u64)EXIT_RING));
}

static void lbr(struct monitor *m, const struct words *w)
{
	show_branches(m->cpu);
}

const struct command commands_cpu[] = {
	{"cpu", "[N]", "all processors; or make it the one that commands are about", cpu},
	{"regs", "", "registers and segments", regs},
	{"cr", "", "control and debug registers", cr},
	{"set", "REGISTER VALUE", "changes a register", set},
	{"msr", "N", "what RDMSR gives the guest", msr},
	{"trace", "[N]", "the last N exits of each processor", trace},
	{"lbr", "", "the last branch and interrupt, where the guest has them recorded", lbr},
	{NULL, NULL, NULL, NULL},
};
