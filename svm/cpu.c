/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SVM on one CPU: is it there, what can it do, turning it on and off (APM vol. 2
 * sections 15.3 and 15.4). From svm_cpu_enable() on GIF is 0 in the hypervisor:
 * interrupts, NMIs and INITs wait until VMRUN and so reach the guest.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/cpuid_bits.h"
#include "arch/x86/memory.h"
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "lib/printf.h"
#include "mm/phys.h"
#include "svm/insn.h"
#include "svm/svm.h"

struct svm_features svm_found;

/* QEMU's own processor calls itself "TCGTCGTCGTCG". */
static bool is_tcg(void)
{
	struct cpuid_regs r = cpuid(CPUID_LEAF_HYPERVISOR, 0);

	return r.ebx == 0x54474354 && r.ecx == 0x43544743 && r.edx == 0x47435447;
}

static void find_features(void)
{
	struct cpuid_regs r = cpuid(CPUID_LEAF_SVM, 0);

	svm_found.asids = r.ebx;
	svm_found.assists.next_rip = r.edx & CPUID_SVM_EDX_NRIP;
	svm_found.assists.decode = r.edx & CPUID_SVM_EDX_DECODE;
	svm_found.clean_bits = r.edx & CPUID_SVM_EDX_CLEAN;
	svm_found.flush_by_asid = r.edx & CPUID_SVM_EDX_FLUSH_BY_ASID;
	svm_found.repeats_interrupts = svm_found.int3_as_int = is_tcg();
	svm_found.a20_fixed = true; /* until one CPU says no */
	svm_found.invpcid = cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & CPUID7_EBX_INVPCID);
}

const char *svm_unsupported(void)
{
	u64 vm_cr;

	if (cpuid(CPUID_LEAF_EXT, 0).eax < CPUID_LEAF_SVM || !(cpuid(CPUID_LEAF_EXT1, 0).ecx & CPUIDE1_ECX_SVM))
		return "this CPU has no AMD SVM: use a CPU with SVM, or turn it on in the firmware setup";
	if (!rdmsr_safe(MSR_VM_CR, &vm_cr) && (vm_cr & VM_CR_SVMDIS))
		return "the firmware has locked AMD SVM off: turn on SVM (virtualization) in the firmware setup";
	if (cpuid(CPUID_LEAF_SVM, 0).ebx < 2)
		return "this CPU's SVM has no ASID for a guest: Umbra cannot run on it";
	find_features();
	return NULL;
}

void svm_describe(char *buf, u32 size)
{
	snprintf(buf, size, "%u ASIDs%s%s%s%s", svm_found.asids,
		 svm_found.assists.next_rip ? ", NRIP save" : ", no NRIP save",
		 svm_found.assists.decode ? ", decode assists" : ", no decode assists",
		 svm_found.flush_by_asid ? ", flush by ASID" : ", no flush by ASID",
		 svm_found.clean_bits ? ", clean bits" : ", no clean bits");
}

u32 svm_tags(void)
{
	return MIN(svm_found.asids - 1, SVM_TAGS_MAX);
}

static void log_capability(void)
{
	struct cpuid_regs r = cpuid(CPUID_LEAF_SVM, 0);
	u64 vm_cr = 0, hsave = 0;
	bool has_vm_cr = !rdmsr_safe(MSR_VM_CR, &vm_cr), has_hsave = !rdmsr_safe(MSR_VM_HSAVE_PA, &hsave);

	log_debug("SVM: CPUID 8000000a: revision %08x, %u ASIDs, features %08x\n", r.eax, r.ebx, r.edx);
	log_debug("SVM: VM_CR %llx%s, VM_HSAVE_PA %llx%s, EFER %llx\n", (unsigned long long)vm_cr,
		  has_vm_cr ? "" : " (no such MSR)", (unsigned long long)hsave, has_hsave ? "" : " (no such MSR)",
		  (unsigned long long)rdmsr(MSR_EFER));
}

void *svm_cpu_alloc(void)
{
	struct svm_cpu *cpu = memory_take(1);
	void *host_vmcb = memory_take(1), *host_save = memory_take(1);

	if (!cpu || !host_vmcb || !host_save)
		return NULL;
	cpu->host_vmcb = virt_to_phys(host_vmcb);
	cpu->host_save = virt_to_phys(host_save);
	return cpu;
}

/* APM vol. 2 section 15.30.1. It does not stick where it does nothing: QEMU's TCG has no VM_CR. */
static void fix_a20(void)
{
	u64 vm_cr;

	if (rdmsr_safe(MSR_VM_CR, &vm_cr) || wrmsr_safe(MSR_VM_CR, vm_cr | VM_CR_DIS_A20M) ||
	    rdmsr_safe(MSR_VM_CR, &vm_cr) || !(vm_cr & VM_CR_DIS_A20M))
		svm_found.a20_fixed = false;
}

bool svm_a20_fixed(void)
{
	return svm_found.a20_fixed;
}

int svm_cpu_enable(void)
{
	struct svm_cpu *cpu = this_cpu()->backend;

	if (wrmsr_safe(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME)) {
		this_cpu()->trouble = "EFER.SVME cannot be set";
		return -EIO;
	}
	wrmsr(MSR_VM_HSAVE_PA, cpu->host_save.v);
	insn_clgi();
	insn_vmsave(cpu->host_vmcb);
	fix_a20();
	if (this_cpu() == &percpu_boot)
		log_capability();
	return 0;
}

/* With GIF set an INIT would take this CPU away: where there is VM_CR it is an exception (APM vol. 2 section 15.30.1). */
void svm_cpu_listen(void)
{
	u64 vm_cr;

	if (!rdmsr_safe(MSR_VM_CR, &vm_cr) && wrmsr_safe(MSR_VM_CR, vm_cr | VM_CR_R_INIT))
		this_cpu()->trouble = "an INIT cannot be kept off";
	insn_stgi();
}

void svm_cpu_deafen(void)
{
	insn_clgi();
}

void svm_cpu_disable(void)
{
	if (!(rdmsr(MSR_EFER) & EFER_SVME))
		return;
	insn_stgi();
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
}
