/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What comes between an exit and the next entry. The shadow is audited every so
 * many exits when asked to, and by the oracle of mm/witness/ more often.
 */
#include "arch/x86/guest/run.h"

#include "arch/x86/debug_hooks.h"
#include "arch/x86/guest/create.h"
#include "arch/x86/guest/execution.h"
#include "arch/x86/guest/exits.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/reset.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/stop.h"
#include "lib/log.h"
#include "mm/shadow.h"
#include "mm/witness/witness.h"

/* The oracle costs little: it looks more often than everything is compared. */
#define LOOKS_PER_AUDIT 16u

static void audit(struct guest *g, struct vcpu *vcpu)
{
	u32 mismatches;

	vcpu->next_audit = vcpu->exits + (g->audit_interval + LOOKS_PER_AUDIT - 1) / LOOKS_PER_AUDIT;
	if (vcpu->exits < g->next_whole_audit)
		return;
	g->next_whole_audit = vcpu->exits + g->audit_interval;
	mismatches = shadow_audit(vcpu->mmu);
	if (mismatches)
		panic("shadow audit after %llu exits: %u mismatches", (unsigned long long)vcpu->exits, mismatches);
}

/* --- the oracle of debug builds (mm/witness/) ------------------------------------------ */
static void witness(struct guest *g, struct vcpu *vcpu, gva_t gva, bool flushed)
{
	struct witness_report report;

	if (!witness_check(vcpu->mmu, gva, flushed, &report)) {
		witness_print(&report);
		panic("the shadow of %llx after %llu exits: %s", (unsigned long long)gva,
		      (unsigned long long)vcpu->exits, witness_verdict_text(report.verdict));
	}
	if (report.verdict != WITNESS_ABSENT)
		shadow_stat_add(g->shadow, SHADOW_STAT_witnessed, 1);
	if (report.verdict == WITNESS_STALE)
		shadow_stat_add(g->shadow, SHADOW_STAT_witnessed_stale, 1);
}

/* The event at hand was by this exit, which did nothing to guest memory behind it. */
static bool flushed_now(const struct vcpu *vcpu, enum noted_event event)
{
	u32 kind = vcpu_last_exit(vcpu)->kind;

	return vcpu->noted.exit == vcpu->exits && vcpu->noted.event == event &&
	       (kind == EXIT_CR_READ || kind == EXIT_CR_WRITE || kind == EXIT_INVLPG);
}

/* Where the guest is, and what the last exits were about: the shadow against the guest's tables. */
static void witness_recent(struct guest *g, struct vcpu *vcpu)
{
	const struct vcpu_noted *n = &vcpu->noted;
	bool all, page;

	if (!vcpu->exits) /* the first entry */
		return;
	/* With several processors another one may have changed what was flushed. */
	all = !vcpu->several && flushed_now(vcpu, NOTED_FLUSH_ALL);
	page = !vcpu->several && flushed_now(vcpu, NOTED_FLUSH_PAGE);
	witness(g, vcpu, vcpu_last_exit(vcpu)->rip, all);
	for (u64 i = n->count > NOTED_MAX ? n->count - NOTED_MAX : 0; i < n->count; i++)
		witness(g, vcpu, n->gva[i % NOTED_MAX], all || (page && i + 1 == n->count));
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
	bool audited = unlikely(vcpu->exits >= vcpu->next_audit);

	if (audited)
		audit(g, vcpu);
	load_root(g, vcpu);
	if (UMBRA_DEBUG_ENABLED && audited)
		witness_recent(g, vcpu);
}

static NORETURN void stop_foreign_root(struct vcpu *vcpu)
{
	guest_stop(vcpu,
		   "the processor holds %llx in CR3, not the shadow's root %llx: the guest made a hardware task "
		   "switch, which this processor does without the exit asked for (docs/hardware.md)",
		   (unsigned long long)vcpu->vendor->hardware_root(vcpu).v, (unsigned long long)vcpu->root.v);
}

/* It waits here: to halt in the guest again it would be fetched once more, and its code and tables may be gone (kexec). */
static bool halt_lasts(const struct vcpu *vcpu)
{
	return vcpu->vendor->halt_lasts && vcpu->vendor->halt_lasts(vcpu);
}

void guest_messages(struct vcpu *vcpu)
{
	struct processors *all = &guest_of(vcpu)->shared->processors;

	while (vcpu->several) {
		bool runs = reset_take(vcpu, all);

		if (hw_was_kicked()) { /* meanwhile: the kick is gone, its reason may be new */
			if (unlikely(debug_hooks))
				debug_hooks->look(vcpu);
			continue;
		}
		if (runs && !halt_lasts(vcpu))
			return;
		hw_wait(vcpu->vendor);
	}
}

void guest_exit(struct vcpu *vcpu)
{
	u64 begun = __builtin_ia32_rdtsc(), ticks;

	if (!guest_root_is_ours(vcpu))
		stop_foreign_root(vcpu);
	if (unlikely(vcpu->several))
		processors_announce_look(&guest_of(vcpu)->shared->processors, vcpu->id);
	if (unlikely(vcpu->execution == EXECUTION_VIRTUAL_8086)) {
		execution_exit(vcpu);
	} else {
		vcpu->breakpoints_hit = 0;
		exit_dispatch(vcpu);
	}
	if (unlikely(vcpu->stepped))
		debug_hooks->leaving(vcpu);
	ticks = __builtin_ia32_rdtsc() - begun; /* what follows may wait for a message, or be an audit */
	if (unlikely(ticks > vcpu->longest_exit))
		__atomic_store_n(&vcpu->longest_exit, ticks, __ATOMIC_RELAXED);
	if (unlikely(vcpu->several))
		guest_messages(vcpu);
	if (guest_entry_due(vcpu))
		guest_prepare_entry(vcpu);
}

NORETURN void guest_run(struct vcpu *vcpu)
{
	guest_prepare_entry(vcpu);
	vcpu->vendor->run(vcpu);
}

/* An INIT is what takes a processor from the firmware, as far as the guest can tell. */
void guest_run_other(struct vcpu *vcpu)
{
	struct processors *all = &guest_of(vcpu)->shared->processors;
	struct processor_event event;

	if (!processors_take(all, vcpu->id, &event) || !event.reset)
		return;
	if (vcpu->vendor->cpu_deafen) /* what comes from here on is behind the last look, or an exit of the first entry */
		vcpu->vendor->cpu_deafen();
	if (guest_start_other(vcpu))
		panic("guest: CPU %u cannot be set up", vcpu->id);
	hw_runs_guest();
	reset_do(vcpu, all, &event);
	guest_messages(vcpu);
	guest_run(vcpu);
}
