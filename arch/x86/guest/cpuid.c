/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUID: the machine's own answers less what the hypervisor does not virtualise
 * and what the boot entry hides. Leaves that never change are computed once.
 * Leaves 0x40000000 and up are the hypervisor's: its name, its counters, its log
 * and its trace, for any program in the guest to read.
 */
#include "arch/x86/guest/cpuid.h"

#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/trace.h"
#include "arch/x86/log.h"
#include "arch/x86/vendor.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/version.h"

enum feature {
	F_1_ECX,
	F_1_EDX,
	F_6_EAX,
	F_6_ECX,
	F_6_EDX,
	F_7_EBX,
	F_7_ECX,
	F_7_EDX,
	F_7_1_EAX,
	F_7_1_EBX,
	F_7_1_ECX,
	F_7_1_EDX,
	F_D_1_EAX,
	F_E1_ECX,
	F_E1_EDX,
	F_E7_EDX,
	F_E8_EBX,
	F_E21_EAX,
	F_E22_EAX,
};
_Static_assert(F_E22_EAX + 1 == CPUID_FEATURES, "state.h");

/* What AMD repeats in leaf 0x80000001 EDX. */
#define EDX1_MIRRORED 0x0183f3ffu

/*
 * The filtered registers: always hidden bits, and the names of the bits in
 * order from bit 0, "-" for a bit without a name.
 */
static const struct {
	u32 leaf, subleaf;
	u8 reg;
	u32 hide;
	const char *names;
} features[CPUID_FEATURES] = {
	[F_1_ECX] = {1, 0, CPUID_ECX,
		     CPUID1_ECX_DTES64 | CPUID1_ECX_DS_CPL | CPUID1_ECX_VMX | CPUID1_ECX_SMX | CPUID1_ECX_SDBG |
			     CPUID1_ECX_PCID,
		     "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm "
		     "- pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand "
		     "hypervisor"},
	[F_1_EDX] = {1, 0, CPUID_EDX, CPUID1_EDX_DS,
		     "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov "
		     "pat pse36 pn clflush - dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe"},
	[F_6_EAX] = {6, 0, CPUID_EAX, CPUID6_EAX_HFI | CPUID6_EAX_THREAD_DIRECTOR,
		     "dtherm ida arat - pln - pts hwp hwp_notify hwp_act_window hwp_epp hwp_pkg_req - - - - - - - hfi"},
	[F_6_ECX] = {6, 0, CPUID_ECX, CPUID6_ECX_CLASSES, "aperfmperf - - epb"},
	[F_6_EDX] = {6, 0, CPUID_EDX, CPUID6_EDX_HFI, ""},
	[F_7_EBX] = {7, 0, CPUID_EBX, CPUID7_EBX_SGX | CPUID7_EBX_INVPCID | CPUID7_EBX_PT,
		     "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a "
		     "avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er "
		     "avx512cd sha_ni avx512bw avx512vl"},
	[F_7_ECX] = {7, 0, CPUID_ECX,
		     CPUID7_ECX_OSPKE | CPUID7_ECX_SHSTK | CPUID7_ECX_TME | CPUID7_ECX_KEY_LOCKER |
			     CPUID7_ECX_BUS_LOCK_DETECT | CPUID7_ECX_ENQCMD | CPUID7_ECX_SGX_LC | CPUID7_ECX_PKS,
		     "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 shstk gfni vaes vpclmulqdq avx512_vnni "
		     "avx512_bitalg tme avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote - "
		     "movdiri movdir64b enqcmd sgx_lc pks"},
	[F_7_EDX] = {7, 0, CPUID_EDX, CPUID7_EDX_UINTR | CPUID7_EDX_PCONFIG | CPUID7_EDX_ARCH_LBR | CPUID7_EDX_IBT,
		     "- - avx512_4vnniw avx512_4fmaps fsrm uintr - - avx512_vp2intersect - md_clear - - - serialize - "
		     "tsxldtrk - pconfig arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 ibrs stibp flush_l1d "
		     "arch_capabilities - ssbd"},
	[F_7_1_EAX] = {7, 1, CPUID_EAX,
		       CPUID7_1_EAX_FRED | CPUID7_1_EAX_NMI_SOURCE | CPUID7_1_EAX_HRESET | CPUID7_1_EAX_LAM |
			       CPUID7_1_EAX_MSRLIST,
		       "- - - - avx_vnni avx512_bf16 - - - - - - - - - - - fred lkgs - - amx_fp16 - avx_ifma - - lam"},
	[F_7_1_EBX] = {7, 1, CPUID_EBX, CPUID7_1_EBX_PBNDKB, ""},
	[F_7_1_ECX] = {7, 1, CPUID_ECX, CPUID7_1_ECX_MSR_IMMEDIATE, ""},
	[F_7_1_EDX] = {7, 1, CPUID_EDX, CPUID7_1_EDX_USER_MSR, ""},
	[F_D_1_EAX] = {CPUID_LEAF_XSAVE, 1, CPUID_EAX, 0, "xsaveopt xsavec xgetbv1 xsaves xfd"},
	[F_E1_ECX] = {CPUID_LEAF_EXT1, 0, CPUID_ECX,
		      CPUIDE1_ECX_SVM | CPUIDE1_ECX_IBS | CPUIDE1_ECX_SKINIT | CPUIDE1_ECX_LWP,
		      "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop "
		      "skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc "
		      "perfctr_llc mwaitx"},
	[F_E1_EDX] = {CPUID_LEAF_EXT1, 0, CPUID_EDX, 0,
		      "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm "
		      "3dnowext 3dnow"},
	[F_E7_EDX] = {CPUID_LEAF_EXT7, 0, CPUID_EDX, 0, "- - - - - - - hw_pstate constant_tsc cpb"},
	[F_E8_EBX] = {CPUID_LEAF_EXT8, 0, CPUID_EBX, CPUIDE8_EBX_INVLPGB | CPUIDE8_EBX_MCOMMIT | CPUIDE8_EBX_BRS,
		      "clzero irperf xsaveerptr - rdpru - - - - wbnoinvd - - ibpb - ibrs stibp - - - - - - - amd_ppin "
		      "ssbd virt_ssbd - cppc"},
	[F_E21_EAX] = {CPUID_LEAF_EXT21, 0, CPUID_EAX,
		       CPUIDE21_EAX_UAI | CPUIDE21_EAX_AUTOIBRS | CPUIDE21_EAX_CPUID_USER_DISABLE |
			       CPUIDE21_EAX_WORKLOAD_CLASSES,
		       ""},
	[F_E22_EAX] = {0x80000022, 0, CPUID_EAX, CPUIDE22_EAX_LBR_V2, ""},
};

static u32 *reg_of(struct cpuid_regs *r, u8 reg)
{
	switch (reg) {
	case CPUID_EAX: return &r->eax;
	case CPUID_EBX: return &r->ebx;
	case CPUID_ECX: return &r->ecx;
	default: return &r->edx;
	}
}

/* The bit that a name of len characters stands for in a list of names, or -1. */
static int find_bit(const char *names, const char *name, u32 len)
{
	for (int bit = 0; *names; bit++) {
		const char *end = names;

		while (*end && *end != ' ')
			end++;
		if ((u32)(end - names) == len && strncmp(names, name, len) == 0)
			return bit;
		names = *end ? end + 1 : end;
	}
	return -1;
}

static void hide_name(struct guest_cpuid *c, const char *name, u32 len)
{
	bool found = false;

	for (u32 i = 0; i < CPUID_FEATURES; i++) {
		int bit = find_bit(features[i].names, name, len);

		if (bit < 0)
			continue;
		c->hide[i] |= BIT(bit);
		found = true;
	}
	if (!found)
		log_warn("cpuid: option \"%.*s\" is not a feature name known here; ignored\n", (int)len, name);
}

/* "-pku,-la57": the minus sign may be left out. */
static void hide_list(struct guest_cpuid *c, const char *list)
{
	while (*list) {
		const char *end = list;

		while (*end && *end != ',' && *end != ' ')
			end++;
		if (*list == '-')
			list++;
		if (end > list)
			hide_name(c, list, end - list);
		list = *end ? end + 1 : end;
	}
}

static void hide_features(const struct guest_cpuid *c, u32 leaf, u32 subleaf, struct cpuid_regs *r)
{
	for (u32 i = 0; i < CPUID_FEATURES; i++)
		if (features[i].leaf == leaf && features[i].subleaf == subleaf)
			*reg_of(r, features[i].reg) &= ~c->hide[i];
	if (leaf == 1)
		r->ecx |= CPUID1_ECX_HYPERVISOR & ~c->hide[F_1_ECX];
	if (leaf == CPUID_LEAF_EXT1 && c->amd)
		r->edx &= ~(c->hide[F_1_EDX] & EDX1_MIRRORED);
}

/* The XSAVE leaf shows the components that the guest may enable, and no others. */
static void filter_xsave(const struct guest_cpuid *c, u32 subleaf, struct cpuid_regs *r)
{
	if (subleaf == 0) {
		r->eax &= (u32)c->xcr0_valid;
		r->edx &= c->xcr0_valid >> 32;
		r->ecx = MIN(r->ecx, c->xsave_bytes);
	} else if (subleaf == 1) {
		r->ecx &= (u32)c->xss_valid;
		r->edx &= c->xss_valid >> 32;
	} else if (subleaf >= 64 || !((c->xcr0_valid | c->xss_valid) & BIT(subleaf))) {
		*r = (struct cpuid_regs){0};
	}
}

/* Leaves of features that are hidden altogether. */
static bool leaf_is_hidden(u32 leaf)
{
	switch (leaf) {
	case 0x12:
	case 0x14:
	case 0x19:
	case 0x1b:
	case 0x1c: /* SGX, trace, Key Locker, PCONFIG, LBR */
	case 0x20:
	case 0x23: /* history reset, counters with PEBS */
	case 0x8000000a:
	case 0x8000001b:
	case 0x8000001c: /* SVM, IBS, LWP */
	case 0x8000001f:
	case 0x80000023: /* SEV, keys */ return true;
	default: return false;
	}
}

static struct cpuid_regs filtered(const struct guest_cpuid *c, u32 leaf, u32 subleaf)
{
	struct cpuid_regs r = hw_cpuid(leaf, subleaf);

	if (leaf_is_hidden(leaf))
		return (struct cpuid_regs){0};
	hide_features(c, leaf, subleaf, &r);
	if (leaf == CPUID_LEAF_XSAVE)
		filter_xsave(c, subleaf, &r);
	if (leaf == 0x80000008)
		r.eax = (r.eax & ~CPUIDE8_EAX_PHYS_BITS) | c->phys_bits;
	return r;
}

/* Where a leaf's answer is kept, or -1. */
static int fixed_slot(u32 leaf, u32 subleaf)
{
	if (leaf < 2)
		return leaf;
	if (leaf == 7)
		return subleaf == 0 ? 2 : -1;
	return leaf >= CPUID_LEAF_EXT && leaf <= CPUID_LEAF_EXT8 ? (int)(leaf - CPUID_LEAF_EXT + 3) : -1;
}

static const u32 fixed_leaves[CPUID_STATIC] = {
	0,          1,          7,          0x80000000, 0x80000001, 0x80000002,
	0x80000003, 0x80000004, 0x80000005, 0x80000006, 0x80000007, 0x80000008,
};

static bool has_bits(const struct guest_cpuid *c, enum feature f, u64 mask)
{
	struct cpuid_regs r = hw_cpuid(features[f].leaf, features[f].subleaf);

	return *reg_of(&r, features[f].reg) & ~c->hide[f] & mask;
}

#define XSS_ALLOWED (BIT(13) | BIT(16)) /* HDC, HWP */

static u64 valid_xcr0(const struct guest_cpuid *c)
{
	struct cpuid_regs d = hw_cpuid(CPUID_LEAF_XSAVE, 0);
	u64 valid = d.eax | (u64)d.edx << 32;

	if (!has_bits(c, F_1_ECX, CPUID1_ECX_AVX))
		valid &= ~(XCR0_AVX | XCR0_AVX512);
	if (!has_bits(c, F_7_EBX, CPUID7_EBX_AVX512F))
		valid &= ~XCR0_AVX512;
	if (!has_bits(c, F_7_EBX, CPUID7_EBX_MPX))
		valid &= ~XCR0_MPX;
	if (!has_bits(c, F_7_EDX, CPUID7_EDX_AMX_TILE))
		valid &= ~XCR0_AMX;
	if (!has_bits(c, F_7_ECX, CPUID7_ECX_PKU))
		valid &= ~XCR0_PKRU;
	return valid & (BITS(9, 0) | XCR0_AMX);
}

#define XSAVE_LEGACY_BYTES 576u

static void init_xsave(struct guest_cpuid *c)
{
	struct cpuid_regs r;

	c->xsave_bytes = XSAVE_LEGACY_BYTES;
	if (hw_cpuid(0, 0).eax < CPUID_LEAF_XSAVE || !has_bits(c, F_1_ECX, CPUID1_ECX_XSAVE))
		return;
	c->xcr0_valid = valid_xcr0(c);
	for (u32 i = 2; i < 63; i++) {
		if (!(c->xcr0_valid & BIT(i)))
			continue;
		r = hw_cpuid(CPUID_LEAF_XSAVE, i);
		c->xsave_bytes = MAX(c->xsave_bytes, r.eax + r.ebx);
	}
	r = hw_cpuid(CPUID_LEAF_XSAVE, 1);
	if (r.eax & ~c->hide[F_D_1_EAX] & CPUIDD_1_EAX_XSAVES)
		c->xss_valid = (r.ecx | (u64)r.edx << 32) & XSS_ALLOWED;
}

void cpuid_init(struct vcpu *vcpu, const char *hide)
{
	struct guest *g = guest_of(vcpu);
	struct guest_cpuid *c = &g->cpuid;
	struct cpuid_regs vendor = hw_cpuid(0, 0);

	c->phys_bits = g->phys_bits;
	c->amd = vendor.ecx == 0x444d4163 /* cAMD */ || vendor.ecx == 0x656e6975 /* uine: Hygon */;
	for (u32 i = 0; i < CPUID_FEATURES; i++)
		c->hide[i] = features[i].hide;
	if (!g->x2apic_offered)
		c->hide[F_1_ECX] |= CPUID1_ECX_X2APIC;
	hide_list(c, hide);
	if (vcpu->vendor->hidden_features)
		hide_list(c, vcpu->vendor->hidden_features());
	init_xsave(c);
	for (u32 i = 0; i < CPUID_STATIC; i++)
		c->fixed[i] = filtered(c, fixed_leaves[i], 0);
}

/* Counters: all exits, exits by kind, the shadow engine's, of the processors, of those that waited for one another. */
static const char *const cpu_counter_names[] = {"cpus",        "cpu_nmis",   "cpu_inits",    "spin_waits",
						"spin_pauses", "spin_ticks", "spin_longest", "longest_exit"};
#define CPU_COUNTERS ARRAY_SIZE(cpu_counter_names)
#define CPU_COUNTER_FIRST (1 + EXIT_KIND_COUNT + SHADOW_STAT_COUNT)
#define COUNTERS ((u32)(CPU_COUNTER_FIRST + CPU_COUNTERS))
#define COUNTER_NAME 64

/* In ticks of the TSC, of any processor: what the vendor's fast path handled is counted by the shadow engine. */
static u64 longest_exit(const struct vcpu *vcpu)
{
	const struct guest_shared *shared = guest_of(vcpu)->shared;
	u64 longest = shadow_stat(guest_of(vcpu)->shadow, SHADOW_STAT_longest);

	for (u32 i = 0; i < shared->processors.count; i++)
		longest = MAX(longest, __atomic_load_n(&shared->vcpu[i]->longest_exit, __ATOMIC_RELAXED));
	return longest;
}

static u64 cpu_counter(const struct vcpu *vcpu, u32 n)
{
	switch (n) {
	case 0: return hw_cpus().owned;
	case 1: return hw_cpus().nmis;
	case 2: return hw_cpus().inits;
	case 3: return spin_counts().waits;
	case 4: return spin_counts().pauses;
	case 5: return spin_counts().ticks;
	case 6: return spin_counts().longest;
	default: return longest_exit(vcpu);
	}
}

/* The counters of each of the guest's processors come first. */
#define OWN_COUNTERS (1 + (u32)EXIT_KIND_COUNT)

static u64 own_counter(const struct vcpu *vcpu, u32 index)
{
	return __atomic_load_n(index ? &vcpu->exit_count[index - 1] : &vcpu->exits, __ATOMIC_RELAXED);
}

/* which: 0: of all processors together, n: of the one with number n - 1. */
static u64 counter_value(const struct vcpu *vcpu, u32 index, u32 which)
{
	const struct guest_shared *shared = guest_of(vcpu)->shared;
	u64 sum = 0;

	if (which > shared->processors.count || (which && index >= OWN_COUNTERS))
		return 0;
	if (which)
		return own_counter(shared->vcpu[which - 1], index);
	if (index < OWN_COUNTERS) {
		for (u32 i = 0; i < shared->processors.count; i++)
			sum += own_counter(shared->vcpu[i], index);
		return sum;
	}
	if (index >= CPU_COUNTER_FIRST)
		return cpu_counter(vcpu, index - CPU_COUNTER_FIRST);
	return shadow_stat(guest_of(vcpu)->shadow, index - 1 - EXIT_KIND_COUNT);
}

#define X(name, text) #name,
static const char *const exit_kind_names[EXIT_KIND_COUNT] = {EXIT_KINDS(X)};
#undef X

static void append(char *out, u32 *at, const char *text)
{
	for (; *text && *at < COUNTER_NAME - 1; text++)
		out[(*at)++] = *text >= 'A' && *text <= 'Z' ? *text - 'A' + 'a' : *text;
}

/* "exits", "exit_page_fault", "shadow_walks" */
static void counter_name(u32 index, char out[COUNTER_NAME])
{
	u32 at = 0;

	memset(out, 0, COUNTER_NAME);
	if (index == 0) {
		append(out, &at, "exits");
	} else if (index <= EXIT_KIND_COUNT) {
		append(out, &at, "exit_");
		append(out, &at, exit_kind_names[index - 1]);
	} else if (index >= CPU_COUNTER_FIRST) {
		append(out, &at, cpu_counter_names[index - CPU_COUNTER_FIRST]);
	} else {
		append(out, &at, "shadow_");
		append(out, &at, shadow_stat_name(index - 1 - EXIT_KIND_COUNT));
	}
}

static struct cpuid_regs counter_name_part(u32 subleaf)
{
	char name[COUNTER_NAME];
	struct cpuid_regs r = {0};

	if (subleaf / 4 >= COUNTERS)
		return r;
	counter_name(subleaf / 4, name);
	memcpy(&r, name + subleaf % 4 * sizeof(r), sizeof(r));
	return r;
}

static struct cpuid_regs hypervisor_leaf(struct vcpu *vcpu, u32 leaf, u32 subleaf)
{
	static const char release[sizeof(struct cpuid_regs)] = VERSION_TEXT;
	struct cpuid_regs r = {0};
	u64 value;

	switch (leaf) {
	case CPUID_HV_BASE:
		r.eax = CPUID_HV_TRACE_FILTER;
		memcpy(&r.ebx, "Umbra Shadow", 12);
		return r;
	case CPUID_HV_VERSION:
		return (struct cpuid_regs){1, COUNTERS, guest_of(vcpu)->shared->processors.count, OWN_COUNTERS};
	case CPUID_HV_RELEASE: memcpy(&r, release, sizeof(r)); return r;
	case CPUID_HV_COUNTER:
		value = (u16)subleaf < COUNTERS ? counter_value(vcpu, (u16)subleaf, subleaf >> 16) : 0;
		return (struct cpuid_regs){.eax = value, .edx = value >> 32};
	case CPUID_HV_COUNTER_NAME: return counter_name_part(subleaf);
	case CPUID_HV_LOG:
		value = log_written();
		return (struct cpuid_regs){.eax = value, .ebx = LOG_RING_SIZE, .edx = value >> 32};
	case CPUID_HV_LOG_TEXT: log_read((u64)subleaf * sizeof(r), (char *)&r, sizeof(r)); return r;
	default: guest_trace_leaf(vcpu, leaf, subleaf, &r); return r;
	}
}

/* Bits that follow the guest's registers. */
static void dynamic_bits(const struct vcpu *vcpu, u32 leaf, u32 subleaf, struct cpuid_regs *r)
{
	if (leaf == 7 && subleaf == 0 && vcpu->cr4 & CR4_PKE)
		r->ecx |= CPUID7_ECX_OSPKE;
	if (leaf != 1 && leaf != CPUID_LEAF_EXT1)
		return;
	if (!(vcpu->apic_base & APIC_BASE_ENABLE) && (leaf == 1 || guest_of(vcpu)->cpuid.amd))
		r->edx &= ~CPUID1_EDX_APIC;
	if (leaf == 1)
		r->ecx = (r->ecx & ~CPUID1_ECX_OSXSAVE) | (vcpu->cr4 & CR4_OSXSAVE ? CPUID1_ECX_OSXSAVE : 0);
}

struct cpuid_regs cpuid_answer(struct vcpu *vcpu, u32 leaf, u32 subleaf)
{
	const struct guest_cpuid *c = &guest_of(vcpu)->cpuid;
	int slot = fixed_slot(leaf, subleaf);
	struct cpuid_regs r;

	if ((leaf & 0xf0000000) == CPUID_HV_BASE)
		return hypervisor_leaf(vcpu, leaf, subleaf);
	r = slot < 0 ? filtered(c, leaf, subleaf) : c->fixed[slot];
	dynamic_bits(vcpu, leaf, subleaf, &r);
	return r;
}

static void set_registers(struct vcpu *vcpu, const struct cpuid_regs *r)
{
	vcpu->gpr[GPR_RAX] = r->eax;
	vcpu->gpr[GPR_RBX] = r->ebx;
	vcpu->gpr[GPR_RCX] = r->ecx;
	vcpu->gpr[GPR_RDX] = r->edx;
}

static NOINLINE void execute_other(struct vcpu *vcpu)
{
	struct cpuid_regs r = cpuid_answer(vcpu, vcpu->gpr[GPR_RAX], vcpu->gpr[GPR_RCX]);

	set_registers(vcpu, &r);
}

/* Leaf 0 is what programs ask for to serialise, besides its answer. */
void cpuid_execute(struct vcpu *vcpu)
{
	if ((u32)vcpu->gpr[GPR_RAX] == 0)
		set_registers(vcpu, &guest_of(vcpu)->cpuid.fixed[0]);
	else
		execute_other(vcpu);
}

bool cpuid_shows(struct vcpu *vcpu, const struct cpuid_bit *bit)
{
	struct cpuid_regs max = cpuid_answer(vcpu, bit->leaf & CPUID_LEAF_EXT, 0), r;

	if (bit->leaf > max.eax)
		return false;
	r = cpuid_answer(vcpu, bit->leaf, bit->subleaf);
	if (bit->bit == CPUID_WHOLE_LEAF)
		return r.eax | r.ebx | r.ecx | r.edx;
	return *reg_of(&r, bit->reg) & BIT(bit->bit);
}

bool cpuid_has(struct vcpu *vcpu, u32 leaf, enum cpuid_reg reg, u32 mask)
{
	struct cpuid_regs max = cpuid_answer(vcpu, leaf & CPUID_LEAF_EXT, 0), r;

	if (leaf > max.eax)
		return false;
	r = cpuid_answer(vcpu, leaf, 0);
	return *reg_of(&r, reg) & mask;
}
