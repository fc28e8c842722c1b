/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands about the shadow page tables. */
#include "debug/command.h"

#include "debug/console.h"
#include "debug/walk.h"
#include "mm/shadow.h"

static void walk(struct monitor *m, const struct words *w)
{
	u64 gva;

	if (command_address(m, w, 1, &gva))
		walk_show(m->cpu, gva);
}

static void count_here(struct vcpu *vcpu, void *arg)
{
	shadow_count_pages(vcpu->mmu, arg);
}

static void shadow(struct monitor *m, const struct words *w)
{
	struct shadow_census c;
	const struct vcpu *vcpu;

	if (!stop_on(m->cpu, count_here, &c)) {
		console_printf("it has no shadow\n");
		return;
	}
	console_printf("pool: %u pages of 4 KiB, %u free, %u of lists\n", c.pages, c.free, c.lists);
	for (u32 level = GPT_LEVELS_MAX; level; level--)
		if (c.tables[level] + c.direct[level])
			console_printf("level %u: %u shadows of tables, %u of parts of large pages\n", level,
				       c.tables[level], c.direct[level]);
	console_printf("of these: %u unsync (%u set aside), %u of tables in device memory, %u roots in use\n",
		       c.unsync, c.dormant, c.foreign, c.pinned);
	console_printf("entries present: %u\n", c.entries);
	for (u32 i = 0; (vcpu = stop_cpu(i)); i++)
		if (stop_is_running(vcpu))
			console_printf("CPU %u: root %llx for cr3 %llx\n", i, (unsigned long long)vcpu->root.v,
				       (unsigned long long)vcpu->cr3);
}

static void audit_here(struct vcpu *vcpu, void *arg)
{
	u32 *mismatches = arg;

	*mismatches = shadow_audit(vcpu->mmu);
}

static void audit(struct monitor *m, const struct words *w)
{
	u32 mismatches;

	if (stop_on(m->cpu, audit_here, &mismatches))
		console_printf("audit: %u mismatches%s\n", mismatches, mismatches ? "; the log has them" : "");
}

const struct command commands_shadow[] = {
	{"walk", "ADDRESS", "the guest's page tables and the shadow, level by level", walk},
	{"shadow", "", "the shadow's pages, pool and roots", shadow},
	{"audit", "", "checks every invariant of the shadow", audit},
	{NULL, NULL, NULL, NULL},
};
