/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints a VMCB by field names, for guest_stop(). */
#include "lib/log.h"
#include "svm/segments.h"
#include "svm/svm.h"

/* Every field that we set or the CPU reports; X(field). */
/* clang-format off */
#define DUMP_FIELDS(X) \
	X(exit_code) X(exit_info1) X(exit_info2) X(exit_int_info) X(event_inj) X(next_rip) \
	X(interrupt_shadow) X(asid) X(tlb_control) X(clean) X(iopm_base) X(msrpm_base) \
	X(tsc_offset) X(virtual_interrupt) X(np_enable) X(insn_len) \
	X(cpl) X(efer) X(cr0) X(cr2) X(cr3) X(cr4) X(dr6) X(dr7) X(rflags) X(rip) X(rsp) X(rax) \
	X(star) X(lstar) X(cstar) X(sfmask) X(kernel_gs_base) X(sysenter_cs) X(sysenter_esp) \
	X(sysenter_eip) X(dbgctl)
/* clang-format on */

struct dump_value {
	const char *name;
	u64 value;
};

static void dump_values(const struct dump_value *values, u32 count)
{
	for (u32 i = 0; i < count; i += 2) {
		if (i + 1 < count)
			log_error("  %-18s %016lx  %-18s %016lx\n", values[i].name, (unsigned long)values[i].value,
				  values[i + 1].name, (unsigned long)values[i + 1].value);
		else
			log_error("  %-18s %016lx\n", values[i].name, (unsigned long)values[i].value);
	}
}

static void dump_segments(struct vmcb *vmcb)
{
	static const char *const names[SEG_COUNT] = {
		"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr", "gdtr", "idtr",
	};

	for (u32 i = 0; i < SEG_COUNT; i++) {
		const struct vmcb_segment *s = svm_segment_of(vmcb, (enum segment_name)i);

		log_error("  %-4s selector %04x attributes %03x limit %08x base %016lx\n", names[i], s->selector,
			  s->attributes, s->limit, (unsigned long)s->base);
	}
}

static void dump_intercepts(const struct vmcb *vmcb)
{
#define X(exit, code) {#exit, code},
	static const struct dump_value list[] = {SVM_EXITS(X)};
#undef X

	log_error("  intercepts:");
	for (u32 i = 0; i < ARRAY_SIZE(list); i++) {
		u64 code = list[i].value;

		if (code / 32 < SVM_INTERCEPT_WORDS && (vmcb->intercept[code / 32] >> code % 32 & 1))
			log_error(" %s", list[i].name);
	}
	log_error("\n");
}

void svm_dump(const struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);
#define X(field) {#field, vmcb->field},
	const struct dump_value values[] = {DUMP_FIELDS(X)};
#undef X

	log_error("VMCB, exit %s:\n", svm_exit_name(vmcb->exit_code));
	dump_values(values, ARRAY_SIZE(values));
	dump_segments(vmcb);
	dump_intercepts(vmcb);
}
