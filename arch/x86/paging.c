/* SPDX-License-Identifier: BSD-2-Clause */
/* See paging.h. */
#include "arch/x86/paging.h"

#include "arch/x86/cpu.h"
#include "lib/log.h"

u64 paging_apic_page(void)
{
	return rdmsr(MSR_APIC_BASE) & APIC_BASE_ADDRESS;
}

bool paging_has_1g(void)
{
	return cpu_has_pages_1g();
}

static u64 host_cr4(void)
{
	u64 cr4 = CR4_PAE | CR4_MCE;

	if (cpuid(1, 0).ecx & CPUID1_ECX_XSAVE)
		cr4 |= CR4_OSXSAVE; /* for XSETBV on the guest's behalf */
	if (cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & CPUID7_EBX_SMEP))
		cr4 |= CR4_SMEP;
	if (cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ecx & CPUID7_ECX_PKU))
		cr4 |= CR4_PKE; /* to read the guest's PKRU; our pages are supervisor pages, which it does not concern */
	return cr4;
}

void paging_enter(hpa_t root)
{
	if (!(cpuid(CPUID_LEAF_EXT1, 0).edx & CPUIDE1_EDX_NX))
		panic("this CPU has no no-execute pages, which Umbra needs");
	BUG_ON(read_cr4() & CR4_LA57);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	wbinvd();
	wrmsr(MSR_PAT, PAT_HOST);
	write_cr3(root.v);
	write_cr4(host_cr4() | (read_cr4() & CR4_VMXE)); /* fixed at 1 while VMX is on: vmx/cpu.c turns it off */
	write_cr0((read_cr0() | CR0_WP | CR0_NE) & ~(CR0_CD | CR0_NW | CR0_TS | CR0_EM));
	wbinvd();
}

void paging_flush(void)
{
	write_cr3(read_cr3());
}

void paging_flush_page(u64 va)
{
	invlpg(va);
}
