/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See trace.h. Nothing here is called while the trace is off. On, each virtual CPU has another fast path (vendor->trace),
 * the end of the slow path has a bound that every exit is above (vcpu.exit_looks), and the shadow engine
 * calls other shadow_ops.
 */
#include "arch/x86/guest/trace.h"

#include "arch/x86/guest/state.h"
#include "arch/x86/vendor.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/trace.h"
#include "mm/shadow.h"

static const struct guest_trace_config *asked;

void guest_trace_give(struct vcpu *vcpu, const struct guest_trace_config *config, void *records)
{
	if (config->bytes && !records)
		log_warn("trace: no memory for the ring of CPU %u; give the pool more, or ask for less\n", vcpu->id);
	trace_ring_init(&vcpu->trace, records, config->bytes / sizeof(struct trace_record), vcpu->id);
}

/* --- what the shadow engine asks of the processor -------------------------------------- */
static void flush(void *cpu, u32 tag)
{
	struct vcpu *vcpu = cpu;

	if (trace_on(TRACE_FLUSH))
		trace_emit(&(struct trace_record){
			.kind = TRACE_FLUSH,
			.detail = tag ? TRACE_FLUSH_TAG : TRACE_FLUSH_ALL,
			.where = tag,
		});
	guest_of(vcpu)->ops->flush(cpu, tag);
}

static void flush_page(void *cpu, u32 tag, gva_t gva)
{
	struct vcpu *vcpu = cpu;

	if (trace_on(TRACE_FLUSH))
		trace_emit(&(struct trace_record){
			.kind = TRACE_FLUSH, .detail = TRACE_FLUSH_PAGE, .where = tag, .address = gva});
	guest_of(vcpu)->ops->flush_page(cpu, tag, gva);
}

static void kick(void *cpu)
{
	struct vcpu *vcpu = cpu;

	if (trace_on(TRACE_KICK))
		trace_emit(&(struct trace_record){.kind = TRACE_KICK, .where = vcpu->id});
	guest_of(vcpu)->ops->kick(cpu);
}

static struct shadow_ops traced_ops;

/* --- on and off ------------------------------------------------------------------------- */
static void seen_now(struct vcpu *vcpu)
{
	vcpu->seen = (struct vcpu_seen){vcpu->cr0, vcpu->cr3, vcpu->cr4, vcpu->efer};
}

void guest_trace_apply(struct vcpu *vcpu)
{
	const struct guest *g = guest_of(vcpu);
	bool on = __atomic_load_n(&trace_mask, __ATOMIC_RELAXED) && vcpu->trace.count;

	if (!vcpu->traced)
		seen_now(vcpu);
	__atomic_store_n(&vcpu->traced, on, __ATOMIC_RELAXED);
	__atomic_store_n(&vcpu->exit_looks, on ? -1 : (s64)vcpu->longest_exit, __ATOMIC_RELAXED);
	if (vcpu->vendor->trace)
		vcpu->vendor->trace(vcpu, on);
	if (vcpu->mmu)
		shadow_set_ops(vcpu->mmu, on ? &traced_ops : g->ops);
}

static void apply_all(const struct vcpu *vcpu)
{
	const struct guest *g = guest_of(vcpu);

	for (u32 i = 0; i < g->shared->processors.count; i++)
		guest_trace_apply(g->shared->vcpu[i]);
	shadow_trace(g->shadow, trace_mask);
}

void guest_trace_start(struct vcpu *boot, const struct guest_trace_config *config, trace_here_fn *here)
{
	struct trace_filter filter = {.kinds = config->kinds, .cpu = TRACE_ANY_CPU, .last = ~0ull};

	if (!boot->trace.count)
		return;
	asked = config;
	traced_ops = *guest_of(boot)->ops;
	traced_ops.flush = flush;
	traced_ops.flush_page = flush_page;
	if (traced_ops.kick)
		traced_ops.kick = kick;
	trace_set_here(here);
	trace_set_filter(&filter);
	apply_all(boot);
	log_info("trace: %u records for each CPU, %s\n", boot->trace.count, config->kinds ? "on" : "off");
}

/* --- exits -------------------------------------------------------------------------------- */
static void tell_change(u32 number, u64 old, u64 new, u64 rip)
{
	if (old != new)
		trace_emit(&(struct trace_record){
			.kind = TRACE_CR, .detail = (u8)number, .old = old, .new = new, .address = rip});
}

static void tell_registers(struct vcpu *vcpu, u64 rip)
{
	const struct vcpu_seen seen = vcpu->seen;

	seen_now(vcpu);
	if (!trace_on(TRACE_CR))
		return;
	tell_change(0, seen.cr0, vcpu->cr0, rip);
	tell_change(3, seen.cr3, vcpu->cr3, rip);
	tell_change(4, seen.cr4, vcpu->cr4, rip);
	tell_change(TRACE_CR_EFER, seen.efer, vcpu->efer, rip);
}

static u64 address_of(const struct vcpu *vcpu, const struct exit_record *exit)
{
	if (exit->kind != EXIT_PAGE_FAULT)
		return exit->rip;
	return vcpu->vendor->fault_address_first ? exit->info1 : exit->info2;
}

static void tell_event(const struct vcpu *vcpu, const struct vcpu_event *event, u64 rip)
{
	bool fault = event->type == EVENT_EXCEPTION && event->vector == VEC_PF;
	const struct exit_record *last = vcpu_last_exit(vcpu);

	if (event->type == EVENT_NONE || !trace_on(TRACE_INJECT))
		return;
	trace_emit(&(struct trace_record){
		.kind = TRACE_INJECT,
		.detail = event->vector,
		.level = event->type,
		.where = event->has_error ? event->error : 0,
		.address = fault ? address_of(vcpu, last) : rip,
	});
}

void guest_trace_exit(struct vcpu *vcpu, u64 ticks, const struct vcpu_event *event)
{
	const struct exit_record *exit = vcpu_last_exit(vcpu);

	if (vcpu->trace_asked == vcpu->exits) /* by the guest for the trace: it would be about itself */
		return;
	tell_registers(vcpu, exit->rip);
	if (exit->kind == EXIT_MSR_WRITE && trace_on(TRACE_MSR))
		trace_emit(&(struct trace_record){
			.kind = TRACE_MSR,
			.where = (u32)vcpu->gpr[GPR_RCX],
			.new = vcpu->gpr[GPR_RDX] << 32 | (u32)vcpu->gpr[GPR_RAX],
			.address = exit->rip,
		});
	tell_event(vcpu, event, exit->rip);
	if (trace_on(TRACE_EXIT))
		trace_emit(&(struct trace_record){
			.kind = TRACE_EXIT,
			.detail = (u8)exit->kind,
			.address = address_of(vcpu, exit),
			.old = exit->info1,
			.new = exit->info2,
			.where = exit->raw,
			.cycles = (u32)MIN(ticks, (u64)~0u),
		});
}

/* --- the guest's view ------------------------------------------------------------------------ */
static struct cpuid_regs answer(u64 value)
{
	return (struct cpuid_regs){.eax = (u32)value, .edx = value >> 32};
}

static const struct trace_ring *ring_of(const struct vcpu *vcpu, u32 cpu)
{
	static const struct trace_ring none;
	const struct guest_shared *shared = guest_of(vcpu)->shared;

	return cpu < shared->processors.count ? &shared->vcpu[cpu]->trace : &none;
}

/* The record with these low 30 bits of its number, of those that the ring has; in four parts. Zeroes: it has none. */
static struct cpuid_regs record_part(const struct trace_ring *ring, u32 number, u32 part)
{
	u64 written = __atomic_load_n(&ring->written, __ATOMIC_ACQUIRE);
	u64 n = written - ((written - number) & BITS(29, 0));
	struct trace_record r = {0};
	struct cpuid_regs out;

	if (!trace_read(ring, n, &r))
		memset(&r, 0, sizeof(r));
	memcpy(&out, (const u8 *)&r + part * sizeof(out), sizeof(out));
	return out;
}

static struct cpuid_regs filter_part(u32 what)
{
	struct trace_filter filter;

	trace_get_filter(&filter);
	switch (what) {
	case 0:
		return (struct cpuid_regs){filter.kinds, asked && asked->changes, asked ? asked->ticks_per_us : 0,
					   filter.cpu};
	case 1: return answer(filter.first);
	case 2: return answer(filter.last);
	case 3: return answer(filter.cr3);
	default: return (struct cpuid_regs){0};
	}
}

#define SET_FIRST 0x100u

/* EAX: 1 if it was done. Every value is legal: a range may be empty, and a CPU one that there is not. */
static struct cpuid_regs filter_set(struct vcpu *vcpu, u32 what, u64 value)
{
	struct trace_filter filter;

	trace_get_filter(&filter);
	if (!asked || !asked->changes)
		return (struct cpuid_regs){0};
	switch (what) {
	case 0: filter.kinds = (u32)value & TRACE_ALL; break;
	case 1: filter.first = value; break;
	case 2: filter.last = value; break;
	case 3: filter.cr3 = value; break;
	case 4: filter.cpu = (u32)value; break;
	default: return (struct cpuid_regs){0};
	}
	trace_set_filter(&filter);
	if (what == 0)
		apply_all(vcpu);
	return (struct cpuid_regs){.eax = 1};
}

bool guest_trace_leaf(struct vcpu *vcpu, u32 leaf, u32 subleaf, struct cpuid_regs *r)
{
	const struct trace_ring *ring;
	u32 b = (u32)vcpu->gpr[GPR_RBX];

	switch (leaf) {
	case CPUID_HV_TRACE:
		ring = ring_of(vcpu, subleaf);
		*r = answer(__atomic_load_n(&ring->written, __ATOMIC_ACQUIRE));
		r->ebx = ring->count;
		break;
	case CPUID_HV_TRACE_RECORD: *r = record_part(ring_of(vcpu, b), subleaf / 4, subleaf % 4); break;
	case CPUID_HV_TRACE_FILTER:
		if (subleaf < SET_FIRST)
			*r = filter_part(subleaf);
		else
			*r = filter_set(vcpu, subleaf - SET_FIRST, vcpu->gpr[GPR_RDX] << 32 | b);
		break;
	default: return false;
	}
	vcpu->trace_asked = vcpu->exits;
	return true;
}
