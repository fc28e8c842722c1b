/* SPDX-License-Identifier: BSD-2-Clause */
/* The checks of CPU and memory; see check.h. */
#include "boot/check.h"
#include "boot/cpu.h"

#define MSR_FEATURE_CONTROL 0x3au
#define MSR_VM_CR 0xc0010114u
/* SDM vol. 4 table 2-2; from family 6 model 0Dh on */
#define MSR_MISC_ENABLE 0x1a0u
#define MISC_ENABLE_XD_DISABLE (1ull << 34)
/* SDM vol. 3 section 23.7 */
#define FEATURE_CONTROL_LOCK (1u << 0)
#define FEATURE_CONTROL_VMX_OUTSIDE_SMX (1u << 2)
/* APM vol. 2 section 15.30.1 */
#define VM_CR_SVMDIS (1u << 4)
#define CPUID_1_ECX_VMX (1u << 5)
#define CPUID_80000001_ECX_SVM (1u << 2)
#define CPUID_80000001_EDX_PAGES_1G (1u << 26)
#define CPUID_80000001_EDX_NX (1u << 20)
#define CPUID_8000000A_EDX_SVML (1u << 2)

#define MIB(bytes) ((unsigned long long)((bytes) + (1u << 20) - 1) >> 20)

/* Which of the two a backend of this build exists for. */
static const bool has_svm_backend = true;
static const bool has_vmx_backend = true;

static bool is_intel(const struct cpuid_result *leaf_0)
{
	return leaf_0->ebx == 0x756e6547 && leaf_0->edx == 0x49656e69 && leaf_0->ecx == 0x6c65746e;
}

/* Does this Intel CPU, by its signature in CPUID(1).EAX, have MISC_ENABLE_XD_DISABLE? */
static bool has_xd_disable(uint32_t signature)
{
	uint32_t family = signature >> 8 & 0xf, model = signature >> 4 & 0xf;

	if (family == 6)
		model |= signature >> 12 & 0xf0;
	return family > 6 || (family == 6 && model >= 0xd);
}

static bool has_nx(void)
{
	return cpuid(0x80000000u).eax >= 0x80000001u &&
	       cpuid(0x80000001u).edx & CPUID_80000001_EDX_NX;
}

bool check_pages_1g(void)
{
	return cpuid(0x80000000u).eax >= 0x80000001u &&
	       cpuid(0x80000001u).edx & CPUID_80000001_EDX_PAGES_1G;
}

void check_enable_nx(void)
{
	struct cpuid_result leaf_0 = cpuid(0);
	uint64_t enable;

	if (has_nx() || !is_intel(&leaf_0) || !has_xd_disable(cpuid(1).eax))
		return;
	enable = read_msr(MSR_MISC_ENABLE);
	if (enable & MISC_ENABLE_XD_DISABLE)
		write_msr(MSR_MISC_ENABLE, enable & ~MISC_ENABLE_XD_DISABLE);
}

void check_read_cpu(struct cpu_facts *facts)
{
	uint32_t max = cpuid(0x80000000u).eax;

	*facts = (struct cpu_facts){.nx = has_nx()};
	facts->vmx = cpuid(1).ecx & CPUID_1_ECX_VMX;
	facts->svm = max >= 0x80000001u && cpuid(0x80000001u).ecx & CPUID_80000001_ECX_SVM;
	if (facts->svm) {
		facts->svm_key =
			max >= 0x8000000au && cpuid(0x8000000au).edx & CPUID_8000000A_EDX_SVML;
		facts->vm_cr = read_msr(MSR_VM_CR);
	}
	if (facts->vmx)
		facts->feature_control = read_msr(MSR_FEATURE_CONTROL);
}

static bool check_svm(const struct cpu_facts *facts, struct boot_error *error)
{
	if (!(facts->vm_cr & VM_CR_SVMDIS))
		return true;
	return boot_error_set(error,
			      "the firmware has locked SVM off (VM_CR.SVMDIS%s);"
			      " switch SVM or virtualisation on in the firmware's setup",
			      facts->svm_key ? ", with a key" : "");
}

static bool check_vmx(const struct cpu_facts *facts, struct boot_error *error)
{
	if ((facts->feature_control & FEATURE_CONTROL_LOCK) &&
	    !(facts->feature_control & FEATURE_CONTROL_VMX_OUTSIDE_SMX))
		return boot_error_set(error, "the firmware has locked VMX off"
					     " (IA32_FEATURE_CONTROL); switch VT-x or virtualisation"
					     " on in the firmware's setup");
	if (!has_vmx_backend)
		return boot_error_set(error, "this CPU offers VMX, and this build of Umbra knows"
					     " only SVM; use an AMD machine");
	return true;
}

/* Whichever the CPU has; a CPU never has both. */
static bool check_virtualisation(const struct cpu_facts *facts, struct boot_error *error)
{
	if (!facts->nx)
		return boot_error_set(error, "this CPU offers no no-execute pages (NX, XD); use a"
					     " machine that does, or switch them on in the firmware's"
					     " setup");
	if (facts->svm && has_svm_backend)
		return check_svm(facts, error);
	if (facts->vmx)
		return check_vmx(facts, error);
	return boot_error_set(error, "this CPU offers neither SVM nor VMX; use a machine that does,"
				     " or switch virtualisation on in the firmware's setup");
}

bool check_cpu(const struct cpu_facts *facts, bool bare, struct boot_error *error)
{
	return bare || check_virtualisation(facts, error);
}

bool check_memory(uint64_t usable, const struct memory_needs *needs, struct boot_error *error)
{
	uint64_t guest = needs->guest_bytes > CHECK_GUEST_MIN ? needs->guest_bytes : CHECK_GUEST_MIN;

	if (usable >= needs->image_bytes && usable - needs->image_bytes >= needs->pool_bytes &&
	    usable - needs->image_bytes - needs->pool_bytes >= guest)
		return true;
	return boot_error_set(error,
			      "not enough memory: %llu MiB free, needed are %llu MiB for the"
			      " pool, %llu MiB for the hypervisor and %llu MiB for the guest;"
			      " add memory or set a smaller pool=",
			      (unsigned long long)usable >> 20, MIB(needs->pool_bytes),
			      MIB(needs->image_bytes), MIB(guest));
}
