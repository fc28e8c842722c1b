/* SPDX-License-Identifier: BSD-2-Clause */
/* See debug_registers.h. */
#include "arch/x86/guest/debug_registers.h"

#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/vendor.h"

#define REGISTERS 4u
#define ENABLE(n) (BIT(2 * (n)) | BIT(2 * (n) + 1))
#define GLOBAL(n) BIT(2 * (n) + 1)
#define FIELD(n) (0xfull << (16 + 4 * (n)))
#define CAUSES (DR6_BREAKPOINTS | DR6_BD | DR6_BS | DR6_BT)
#define DR6_WRITABLE CAUSES
#define DR7_WRITABLE (BITS(31, 16) | BIT(13) | BITS(9, 0))

/* By the length in bytes: DR7, LENn. */
static const u8 length_codes[] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};

static struct guest_debug *debug_of(const struct vcpu *vcpu)
{
	return &guest_of(vcpu)->debug;
}

/* --- what the processor holds ------------------------------------------------------------------ */
/* DR7 with the guest's breakpoints and ours. General detect is done by the exit of MOV DR. */
static u64 merged_dr7(const struct guest_debug *d)
{
	u64 dr7 = d->dr7 & ~DR7_GD;

	for (u32 n = 0; n < REGISTERS; n++) {
		const struct debug_point *p = &d->point[d->holds[n]];

		if (!(d->ours & BIT(n)))
			continue;
		dr7 = (dr7 & ~FIELD(n)) | GLOBAL(n) | (u64)p->type << (16 + 4 * n) |
		      (u64)length_codes[p->length] << (18 + 4 * n);
	}
	return dr7;
}

/*
 * QEMU's TCG takes a breakpoint to heart when DR7 is written, not when VMRUN loads it, and forgets it as DR7 tells its
 * type: so DR7 is written here, too. Elsewhere the entry and the exit load their own (APM vol. 2 section 15.5, SDM vol. 3 section 26.3.2.1);
 * until then the trap handler takes a hit.
 */
static void load_registers(struct vcpu *vcpu, u64 dr7)
{
	struct guest_debug *d = debug_of(vcpu);

	hw_write_dr(7, d->loaded_dr7);
	hw_write_dr(7, DR7_RESET);
	for (u32 n = 0; n < REGISTERS; n++)
		hw_write_dr(n, d->ours & BIT(n) ? d->point[d->holds[n]].address : d->dr[n]);
	hw_write_dr(7, dr7);
	vcpu->vendor->set_dr7(vcpu, dr7);
	d->loaded_dr7 = dr7;
}

/* A register for each point: one that the guest has not enabled. */
static void place(struct vcpu *vcpu)
{
	struct guest_debug *d = debug_of(vcpu);
	u32 n = 0;

	d->ours = d->missed = 0;
	for (u32 i = 0; i < d->count; i++) {
		while (n < REGISTERS && d->dr7 & ENABLE(n))
			n++;
		if (n == REGISTERS) {
			d->missed |= (u32)BIT(i);
			continue;
		}
		d->holds[n] = (u8)i;
		d->ours |= (u32)BIT(n++);
	}
	load_registers(vcpu, merged_dr7(d));
}

static void take_over(struct vcpu *vcpu)
{
	struct guest_debug *d = debug_of(vcpu);

	for (u32 n = 0; n < REGISTERS; n++)
		d->dr[n] = hw_read_dr(n);
	d->dr7 = d->loaded_dr7 = vcpu->vendor->get_dr7(vcpu);
	d->dr6 = vcpu->vendor->get_dr6(vcpu);
	vcpu->vendor->set_dr6(vcpu, d->dr6 & ~CAUSES);
	d->armed = true;
	if (vcpu->dr6_set) { /* queued already */
		debug_registers_tell(vcpu, vcpu->dr6_set);
		vcpu->dr6_set = 0;
	}
}

static void give_back(struct vcpu *vcpu)
{
	struct guest_debug *d = debug_of(vcpu);

	d->ours = 0;
	load_registers(vcpu, d->dr7);
	d->armed = false;
	vcpu->vendor->set_dr6(vcpu, d->dr6);
}

u32 debug_registers_arm(struct vcpu *vcpu, const struct debug_point *points, u32 count, debug_points_hit_fn *hit)
{
	struct guest_debug *d = debug_of(vcpu);

	d->count = MIN(count, DEBUG_POINTS_MAX);
	d->hit = hit;
	for (u32 i = 0; i < d->count; i++)
		d->point[i] = points[i];
	if (!d->count) {
		if (d->armed)
			give_back(vcpu);
		return 0;
	}
	if (!d->armed)
		take_over(vcpu);
	place(vcpu);
	return d->missed;
}

/* --- debug exceptions ----------------------------------------------------------------------------- */
u64 debug_registers_causes(struct vcpu *vcpu)
{
	u64 dr6 = vcpu->vendor->get_dr6(vcpu), causes = (dr6 & CAUSES) | vcpu->dr6_set;

	vcpu->vendor->set_dr6(vcpu, dr6 & ~CAUSES);
	vcpu->dr6_set = 0;
	return causes;
}

/* A bit of a register that is not enabled says nothing, and the processor may set it (section 17.2.3). */
u64 debug_registers_sort(struct vcpu *vcpu, u64 causes)
{
	struct guest_debug *d = debug_of(vcpu);
	u32 points = 0;

	if (!d->armed)
		return causes;
	for (u32 n = 0; n < REGISTERS; n++) {
		if (!(causes & BIT(n)) || (d->dr7 & ENABLE(n)))
			continue;
		causes &= ~BIT(n);
		if (d->ours & BIT(n))
			points |= (u32)BIT(d->holds[n]);
	}
	if (points)
		d->hit(vcpu, points);
	return causes;
}

void debug_registers_tell(struct vcpu *vcpu, u64 causes)
{
	struct guest_debug *d = debug_of(vcpu);

	if (!d->armed)
		vcpu->dr6_set |= causes;
	else if (causes)
		d->dr6 = (d->dr6 & ~DR6_BREAKPOINTS) | causes;
}

/* --- the guest's view ------------------------------------------------------------------------------- */
u64 debug_register_read(const struct vcpu *vcpu, u32 n)
{
	const struct guest_debug *d = debug_of(vcpu);
	u64 dr6;

	if (n < REGISTERS)
		return d->armed ? d->dr[n] : hw_read_dr(n);
	if (n == 7)
		return d->armed ? d->dr7 : vcpu->vendor->get_dr7(vcpu);
	dr6 = d->armed ? d->dr6 : vcpu->vendor->get_dr6(vcpu);
	return vcpu->dr6_set ? (dr6 & ~DR6_BREAKPOINTS) | vcpu->dr6_set : dr6; /* what is queued is in it */
}

static void write_armed(struct vcpu *vcpu, u32 n, u64 value)
{
	struct guest_debug *d = debug_of(vcpu);

	if (n == 6) {
		d->dr6 = value;
		return;
	}
	if (n == 7)
		d->dr7 = value;
	else
		d->dr[n] = value;
	place(vcpu);
}

void debug_register_write(struct vcpu *vcpu, u32 n, u64 value)
{
	struct guest_debug *d = debug_of(vcpu);

	if (n == 6) {
		value = (value & DR6_WRITABLE) | DR6_RESET;
		vcpu->dr6_set = 0;
	} else if (n == 7) {
		value = (value & DR7_WRITABLE) | DR7_RESET;
	}
	if (d->armed)
		write_armed(vcpu, n, value);
	else if (n == 6)
		vcpu->vendor->set_dr6(vcpu, value);
	else if (n == 7)
		vcpu->vendor->set_dr7(vcpu, value);
	else
		hw_write_dr(n, value);
}
