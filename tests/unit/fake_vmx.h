/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fake VMX CPU for the host tests: a VMCS in which every field exists, with
 * the field's width enforced, capability MSRs, and a record of INVVPID.
 */
#ifndef TESTS_UNIT_FAKE_VMX_H
#define TESTS_UNIT_FAKE_VMX_H

#include "vmx/insn.h"
#include "vmx/vmx.h"

/* All fields 0, no capability, no flushes. */
void fake_vmx_reset(void);

extern struct vmx_capability fake_capability;
extern struct vmx_controls fake_controls;
extern u64 fake_efer;

#define FAKE_FLUSHES_MAX 128
struct fake_flush {
	enum vmx_invvpid type;
	u16 vpid;
	gva_t gva;
};
extern struct fake_flush fake_flushes[FAKE_FLUSHES_MAX];
extern u32 fake_flush_count;

/* Capability MSRs of CPUs; read_msr for vmx_capability_read(). */
enum fake_model { FAKE_ZERO, FAKE_ONES, FAKE_PENRYN, FAKE_SKYLAKE_X, FAKE_MODELS };
void fake_vmx_model(enum fake_model model);
int fake_vmx_read_msr(u32 msr, u64 *value);

/* A VMCS that passes every check: 64-bit guest, flat segments, on fake_capability. */
void fake_vmx_good_state(void);

#endif
