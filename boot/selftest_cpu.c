/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the bare processor says of itself; see selftest_cpu.h. Of virtualisation each
 * feature that Umbra uses is named as used or missing; those that it never uses (nested
 * paging, EPT) are not.
 */
#include "boot/selftest_cpu.h"
#include "boot/cpu.h"
#include "boot/selftest_text.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/types.h"

#define MSR_BIOS_SIGN_ID 0x8bu
/* SDM vol. 3 appendix A */
#define MSR_VMX_BASIC 0x480u
#define MSR_VMX_PIN 0x481u
#define MSR_VMX_PRIMARY 0x482u
#define MSR_VMX_SECONDARY 0x48bu
#define MSR_VMX_TRUE_PIN 0x48du
#define MSR_VMX_TRUE_PRIMARY 0x48eu
#define VMX_BASIC_TRUE (1ull << 55)
#define LEAF_SVM 0x8000000au

/* A bit of a word, and what it stands for. */
struct feature {
	uint32_t bit;
	const char *name;
};

static void list_features(struct selftest_block *block, const char *what, uint32_t word,
			  const struct feature *f, uint32_t count)
{
	char used[160] = "", missing[160] = "";
	uint32_t i;

	for (i = 0; i < count; i++) {
		char *list = word >> f[i].bit & 1 ? used : missing;

		snprintf(list + strlen(list), sizeof(used) - strlen(list), "%s%s",
			 list[0] ? ", " : "", f[i].name);
	}
	selftest_line(block, "%s used: %s", what, used[0] ? used : "none");
	selftest_line(block, "%s missing: %s", what, missing[0] ? missing : "none");
}

/* APM vol. 3, function 8000_000AH */
static void describe_svm(struct selftest_block *block)
{
	static const struct feature features[] = {
		{3, "NRIP save"}, {5, "clean bits"}, {6, "flush by ASID"}, {7, "decode assists"}};
	struct cpuid_result r = cpuid(LEAF_SVM);

	selftest_line(block, "SVM: revision %u, %u ASIDs, features %08x", r.eax & 0xff, r.ebx, r.edx);
	list_features(block, "SVM", r.edx, features, ARRAY_SIZE(features));
}

static uint32_t allowed(uint32_t msr)
{
	return (uint32_t)(read_msr(msr) >> 32);
}

static void describe_vmx(struct selftest_block *block)
{
	static const struct feature pin[] = {{5, "virtual NMIs"}},
				    primary[] = {{25, "I/O bitmaps"},
						 {28, "MSR bitmaps"},
						 {22, "NMI window"}},
				    secondary[] = {{5, "VPID"},
						   {3, "RDTSCP"},
						   {12, "INVPCID"},
						   {20, "XSAVES"},
						   {26, "user waits"}};
	uint64_t basic = read_msr(MSR_VMX_BASIC);
	bool exact = basic & VMX_BASIC_TRUE;
	uint32_t first = allowed(exact ? MSR_VMX_TRUE_PRIMARY : MSR_VMX_PRIMARY);

	selftest_line(block, "VMX: revision %x, basic %llx", (uint32_t)basic & 0x7fffffff,
		      (unsigned long long)basic);
	list_features(block, "VMX", allowed(exact ? MSR_VMX_TRUE_PIN : MSR_VMX_PIN), pin,
		      ARRAY_SIZE(pin));
	list_features(block, "VMX primary", first, primary, ARRAY_SIZE(primary));
	list_features(block, "VMX secondary", first >> 31 ? allowed(MSR_VMX_SECONDARY) : 0,
		      secondary, ARRAY_SIZE(secondary));
}

static void describe_paging(struct selftest_block *block)
{
	static const struct feature ext[] = {{20, "no-execute"}, {26, "1 GiB pages"}},
				    leaf7b[] = {{7, "SMEP"}, {20, "SMAP"}},
				    leaf7c[] = {{3, "protection keys"}, {16, "5-level"}};
	struct cpuid_result r = cpuid(0x80000001),
			    s = cpuid(0).eax >= 7 ? cpuid(7) : (struct cpuid_result){0};
	char list[160] = "";
	uint32_t i;

	for (i = 0; i < 2; i++) {
		if (r.edx >> ext[i].bit & 1)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), ", %s",
				 ext[i].name);
		if (s.ebx >> leaf7b[i].bit & 1)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), ", %s",
				 leaf7b[i].name);
		if (s.ecx >> leaf7c[i].bit & 1)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), ", %s",
				 leaf7c[i].name);
	}
	selftest_line(block, "paging: %u address bits%s", cpuid(0x80000008).eax & 0xff, list);
}

static uint32_t microcode(bool intel)
{
	if (!intel)
		return (uint32_t)read_msr(MSR_BIOS_SIGN_ID);
	write_msr(MSR_BIOS_SIGN_ID, 0); /* SDM vol. 3 section 9.11.7.1 */
	cpuid(1);
	return (uint32_t)(read_msr(MSR_BIOS_SIGN_ID) >> 32);
}

static void describe_model(struct selftest_block *block)
{
	struct cpuid_result r = cpuid(0), one = cpuid(1);
	uint32_t family = one.eax >> 8 & 15, model = one.eax >> 4 & 15, i;
	char vendor[13], brand[49] = "";
	const char *at = brand;

	memcpy(vendor, &r.ebx, 4);
	memcpy(vendor + 4, &r.edx, 4);
	memcpy(vendor + 8, &r.ecx, 4);
	vendor[12] = '\0';
	if (family == 6 || family == 15)
		model |= one.eax >> 12 & 0xf0;
	if (family == 15)
		family += one.eax >> 20 & 0xff;
	for (i = 0; i < 3 && cpuid(0x80000000).eax >= 0x80000004; i++) {
		r = cpuid(0x80000002 + i);
		memcpy(brand + 16 * i, &r, 16);
	}
	while (*at == ' ')
		at++;
	selftest_line(block, "processor: %s, %s", vendor, *at ? at : "without a name");
	block->machine.emulated = one.ecx >> 31;
	selftest_line(block, "family %xh, model %xh, stepping %u, microcode %x%s", family, model,
		      one.eax & 15, microcode(memcmp(vendor, "GenuineIntel", 12) == 0),
		      one.ecx >> 31 ? ", under another hypervisor" : "");
}

void selftest_describe_cpu(struct selftest_block *block)
{
	describe_model(block);
	describe_paging(block);
	if (cpuid(0x80000000).eax >= LEAF_SVM && cpuid(0x80000001).ecx & 1u << 2)
		describe_svm(block);
	else if (cpuid(1).ecx & 1u << 5)
		describe_vmx(block);
	else
		selftest_line(block, "virtualisation: neither SVM nor VMX");
}
