/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What comes between an exit and the next entry. The shadow is audited every so
 * many exits when asked to.
 */
#include "arch/x86/guest/run.h"

#include "arch/x86/guest/exits.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/stop.h"
#include "lib/log.h"
#include "mm/shadow.h"

static void audit(struct guest *g, struct vcpu *vcpu)
{
	u32 mismatches;

	vcpu->next_audit = vcpu->exits + g->audit_interval;
	mismatches = shadow_audit(vcpu->mmu);
	if (mismatches)
		panic("shadow audit after %llu exits: %u mismatches", (unsigned long long)vcpu->exits, mismatches);
}

static void load_root(struct guest *g, struct vcpu *vcpu)
{
	u32 tag;
	hpa_t root = shadow_prepare_entry(vcpu->mmu, &tag);

	if (likely(root.v == vcpu->root.v && tag == g->tag))
		return;
	vcpu->root = root;
	g->tag = tag;
	vcpu->vendor->set_shadow_root(vcpu, root, tag);
}

void guest_prepare_entry(struct vcpu *vcpu)
{
	struct guest *g = guest_of(vcpu);

	if (unlikely(vcpu->exits >= vcpu->next_audit))
		audit(g, vcpu);
	load_root(g, vcpu);
}

static NORETURN void stop_foreign_root(struct vcpu *vcpu)
{
	guest_stop(vcpu,
		   "the processor holds %llx in CR3, not the shadow's root %llx: the guest made a hardware task "
		   "switch, which this processor does without the exit asked for (docs/hardware.md)",
		   (unsigned long long)vcpu->vendor->hardware_root(vcpu).v, (unsigned long long)vcpu->root.v);
}

void guest_exit(struct vcpu *vcpu)
{
	if (!guest_root_is_ours(vcpu))
		stop_foreign_root(vcpu);
	exit_dispatch(vcpu);
	if (guest_entry_due(vcpu))
		guest_prepare_entry(vcpu);
}

NORETURN void guest_run(struct vcpu *vcpu)
{
	guest_prepare_entry(vcpu);
	vcpu->vendor->run(vcpu);
}
