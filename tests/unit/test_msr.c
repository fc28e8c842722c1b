/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RDMSR and WRMSR over a fake processor that has every register and a CPUID with every bit:
 * each register of all ranges against its row of the table, and the table against what it
 * promises. The processor itself notes what reaches it and no row allows, in any test.
 */
#include "tests/unit/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/create.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/msr.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/log.h"
#include "arch/x86/memory.h"
#include "vmx/capability.h"
#include "vmx/vmcs.h"
#include "tests/unit/no_runs.h"

#define PHYS_BITS 40
#define FEATURE_CONTROL 0x3au
#define DEBUGCTL 0x1d9u
#define XSS 0xda0u
#define X2APIC_LAST 0x8ffu

/* --- the fake processor --------------------------------------------------------------- */
static struct {
	bool amd, x2apic;
	bool bare;                   /* CPUID has no feature bit at all */
	bool lacks_all;              /* no register exists */
	struct cpuid_bit only_lacks; /* this bit of CPUID is 0 */
} cpu;

/* Registers by index, and of all others one. */
#define RANGE 0x2000u
static const u32 range_base[] = {0, 0x40000000, 0x4b560000, 0xc0000000, 0xc0010000};
#define RANGES ARRAY_SIZE(range_base)
static u64 registers[RANGES * RANGE + 1];
static u32 dirty[256], dirties, writes;
static char refused[128]; /* what reached the processor against the table; "" if nothing did */

static u64 *register_of(u32 msr)
{
	for (u32 i = 0; i < RANGES; i++)
		if (msr - range_base[i] < RANGE)
			return &registers[i * RANGE + (msr - range_base[i])];
	return &registers[RANGES * RANGE];
}

/* As the firmware left it: a value of its own for every register. */
static u64 start_value(u32 msr)
{
	u64 base = 0xfee00000ull | APIC_BASE_ENABLE | APIC_BASE_BSP;

	switch (msr) {
	case MSR_APIC_BASE: return base | (cpu.x2apic ? APIC_BASE_X2APIC : 0);
	case MSR_MTRRCAP: return 0xd08 | BIT(11) | BIT(12) | BIT(15);
	case MSR_MTRR_DEF_TYPE: return 0xc06;
	case DEBUGCTL:
	case XSS: return 0;
	default: return msr * 0x9e3779b97f4a7c15ull;
	}
}

static bool row_allows(u32 msr, u64 old, u64 value)
{
	const struct msr_row *row = msr_row_of(msr);

	if (!row)
		return false;
	switch (msr) {
	case DEBUGCTL: return !(value & ~BITS(1, 0));
	case XSS: return !(value & ~(BIT(13) | BIT(16)));
	/* the mode alone, where the firmware left it in x2APIC mode */
	case MSR_APIC_BASE: return cpu.x2apic && !((old ^ value) & ~(APIC_BASE_ENABLE | APIC_BASE_X2APIC));
	case MSR_X2APIC_ICR: return (value >> 8 & 7) <= 1 || ((value >> 8 & 7) == 4 && (value >> 18 & 3) == 1);
	default: return row->class == MSR_PASSED || (row->class == MSR_MASKED && !((old ^ value) & ~row->write));
	}
}

int hw_msr_read(u32 msr, u64 *value)
{
	*value = 0;
	if (cpu.lacks_all)
		return -EFAULT;
	*value = *register_of(msr);
	return 0;
}

int hw_msr_write(u32 msr, u64 value)
{
	u64 *reg = register_of(msr);

	writes++;
	if (!row_allows(msr, *reg, value) && !refused[0])
		snprintf(refused, sizeof(refused), "MSR %x: %llx written over %llx", msr,
			 (unsigned long long)value, (unsigned long long)*reg);
	if (cpu.lacks_all)
		return -EFAULT;
	if (dirties < ARRAY_SIZE(dirty))
		dirty[dirties++] = msr;
	*reg = value;
	return 0;
}

struct cpuid_regs hw_cpuid(u32 leaf, u32 subleaf)
{
	u32 bits = cpu.bare ? 0 : ~0u;
	struct cpuid_regs r = {bits, bits, bits, bits}, *at = &r;
	u32 *out[] = {&at->eax, &at->ebx, &at->ecx, &at->edx};

	if (leaf == cpu.only_lacks.leaf && leaf && subleaf == cpu.only_lacks.subleaf)
		*out[cpu.only_lacks.reg] &= ~BIT(cpu.only_lacks.bit);
	switch (leaf) {
	case 0:
		return cpu.amd ? (struct cpuid_regs){0x28, 0x68747541, 0x444d4163, 0x69746e65} :
				 (struct cpuid_regs){0x28, 0x756e6547, 0x6c65746e, 0x49656e69};
	case 0xd:
		if (subleaf == 0)
			return (struct cpuid_regs){0x602e7, 0x240, 0x3000, 0};
		return subleaf == 1 ? r : (struct cpuid_regs){0x40, 0x240 + 0x40 * subleaf, 0, 0};
	case 0x80000000: return (struct cpuid_regs){.eax = 0x80000028};
	case 0x80000008: r.eax = 0x3034; return r;
	default: return r;
	}
}

int hw_xsetbv(u32 index, u64 value)
{
	return 0;
}
void hw_wbinvd(void) {}
u32 hw_read_pkru(void)
{
	return 0;
}
u64 hw_read_cr8(void)
{
	return 0;
}
u32 hw_in(u16 port, u32 size)
{
	return 0;
}
void hw_out(u16 port, u32 size, u32 value) {}
u64 hw_mmio_read(hpa_t at, u32 size)
{
	return 0;
}
void hw_mmio_write(hpa_t at, u32 size, u64 value) {}
u32 hw_apic_read(hpa_t page, u32 offset)
{
	return 0;
}
void hw_apic_write(hpa_t page, u32 offset, u32 value) {}
NORETURN void hw_reset(void)
{
	panic("machine reset");
}
struct hw_cpus hw_cpus(void)
{
	return (struct hw_cpus){.owned = 4, .nmis = 2, .inits = 1};
}
bool hw_stop_asked(void)
{
	return false;
}

NORETURN void hw_stop(void)
{
	panic("guest stopped");
}
void hw_kick_again(void) {}
void hw_drop_interrupts(const struct vendor *v) {}

void hw_kick(u32 cpu_id) {}
void hw_kick_to_flush(u32 cpu_id) {}
void hw_wait(const struct vendor *v)
{
	panic("it waits for a kick");
}
void hw_runs_guest(void) {}
void hw_write_dr(u32 n, u64 value) {}
void hw_stop_others(void) {}

/* --- the backend and the engine ---------------------------------------------------------- */
static u8 passed[RANGES * RANGE + 1];
static u32 passed_count;

static int vcpu_alloc(struct vcpu *v)
{
	return 0;
}
static int vcpu_init(struct vcpu *v)
{
	return 0;
}
static void update_control(struct vcpu *v) {}
static void set_intercepts(struct vcpu *v, u32 mask) {}
static void set_msr_intercept(struct vcpu *v, u32 msr, bool read, bool write)
{
	u8 *p = &passed[register_of(msr) - registers];

	assert_true(!read && !write && !*p);
	*p = 1;
	passed_count++;
}
static void set_io_intercept(struct vcpu *v, u16 port, bool on) {}
static void get_segment(const struct vcpu *v, enum segment_name which, struct segment *out)
{
	*out = (struct segment){.limit = ~0u, .attributes = 0xa09b};
}
static void set_segment(struct vcpu *v, enum segment_name which, const struct segment *in) {}
static bool get_msr(const struct vcpu *v, u32 msr, u64 *value)
{
	return false;
}
static bool set_msr(struct vcpu *v, u32 msr, u64 value)
{
	return false;
}
static const char *exit_name(u64 raw)
{
	return "?";
}
static hpa_t hardware_root(const struct vcpu *v)
{
	return v->root;
}
static void dump(const struct vcpu *v) {}

static char hidden[64];
static const char *hidden_features(void)
{
	return hidden;
}

static u64 get_dr7(const struct vcpu *v)
{
	return DR7_RESET;
}
u64 hw_read_dr(u32 n)
{
	return 0;
}

static const struct vendor vendor = {
	.name = "fake",
	.hidden_features = hidden_features,
	.get_dr7 = get_dr7,
	.vcpu_alloc = vcpu_alloc,
	.vcpu_init = vcpu_init,
	.update_control = update_control,
	.set_intercepts = set_intercepts,
	.set_msr_intercept = set_msr_intercept,
	.set_io_intercept = set_io_intercept,
	.get_segment = get_segment,
	.set_segment = set_segment,
	.hardware_root = hardware_root,
	.dump = dump,
	.get_msr = get_msr,
	.set_msr = set_msr,
	.exit_name = exit_name,
};

static u8 some_page[PAGE_SIZE] ALIGNED(PAGE_SIZE);
void *memory_alloc(u32 order)
{
	assert_int_equal(order, 0);
	return some_page;
}
/* Handed out from the start again for each guest. */
#define TAKEN_PAGES 32
static u32 taken;
void *memory_take(u32 pages)
{
	static u8 pool[TAKEN_PAGES * PAGE_SIZE] ALIGNED(PAGE_SIZE);
	u8 *at = pool + taken * PAGE_SIZE;

	if (taken + pages > TAKEN_PAGES)
		return NULL;
	taken += pages;
	memset(at, 0, pages * PAGE_SIZE);
	return at;
}
struct region_map *memory_regions(void)
{
	return NULL;
}
void log_take_console(void) {}
u64 log_written(void)
{
	return 0;
}
void log_read(u64 at, char *to, u32 bytes) {}

struct shadow_mmu *shadow_mmu_create(struct shadow *s, const struct shadow_ops *ops, void *v, hpa_t low_pdpt)
{
	return (struct shadow_mmu *)some_page;
}
void shadow_set_paging(struct shadow_mmu *mmu, const struct shadow_paging *p, bool flush) {}
bool shadow_set_cr3(struct shadow_mmu *mmu, u64 cr3)
{
	return true;
}
const u8 *shadow_peek_code(struct shadow_mmu *mmu, gva_t gva)
{
	return NULL;
}
void shadow_drop_all(struct shadow *s) {}
void shadow_invlpg(struct shadow_mmu *mmu, gva_t gva) {}
u64 shadow_stat(const struct shadow *s, enum shadow_stat which)
{
	return 0;
}
const char *shadow_stat_name(enum shadow_stat which)
{
	return "stat";
}
u32 shadow_audit(struct shadow_mmu *mmu)
{
	return 0;
}
hpa_t shadow_prepare_entry(struct shadow_mmu *mmu, u32 *tag)
{
	*tag = 1;
	return hpa(0x1000);
}
enum shadow_result shadow_handle_fault(struct shadow_mmu *mmu, gva_t gva, u32 error, u32 cpl, u64 rflags,
				       struct shadow_fault *fault)
{
	return SHADOW_FIXED;
}
enum gpt_status shadow_translate(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access, struct gpt_walk *walk)
{
	return GPT_OK;
}
int shadow_read_guest(struct shadow_mmu *mmu, gva_t gva, void *buf, u32 len, struct gpt_access access,
		      gva_t *fault_gva, u32 *error)
{
	return 0;
}
void shadow_drop_write(struct shadow_mmu *mmu) {}
bool shadow_find_ram(struct shadow_mmu *mmu, gfn_t gfn, struct shadow_ram *ram)
{
	return false;
}
void shadow_write_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram, u32 offset, const void *buf, u32 len)
{
}
int shadow_find_hidden(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access, gva_t *fault_gva, u32 *error)
{
	return -EIO;
}
int shadow_write_guest(struct shadow_mmu *mmu, gva_t gva, const void *buf, u32 len, struct gpt_access access,
		       gva_t *fault_gva, u32 *error)
{
	return 0;
}

int shadow_exchange_guest(struct shadow_mmu *mmu, gva_t gva, const void *expected, const void *value, u32 len,
			  struct gpt_access access, gva_t *fault_gva, u32 *error)
{
	return shadow_write_guest(mmu, gva, value, len, access, fault_gva, error);
}
u64 gpt_read_entry(const struct gpt_context *ctx, gfn_t table, u32 index)
{
	return 0;
}

static struct vcpu vcpu;
static const struct boot_guest_state start = {
	.mode = BOOT_GUEST_LONG64, .rip = 0x100000, .cr3 = 0x5000, .cs = 0x10, .ds = 0x18};

static void fill_registers(void)
{
	for (u32 i = 0; i < RANGES; i++)
		for (u32 n = 0; n < RANGE; n++)
			registers[i * RANGE + n] = start_value(range_base[i] + n);
}

static void make_guest(void)
{
	static struct guest_config config;

	config = (struct guest_config){
		.vendor = &vendor, .start = &start, .cpuid_hide = "", .host_phys_bits = PHYS_BITS};

	vcpu = (struct vcpu){0};
	memset(passed, 0, sizeof(passed));
	passed_count = writes = dirties = 0;
	refused[0] = 0;
	host_log_quiet = true;
	taken = 0;
	assert_int_equal(guest_create(&vcpu, &config, 0), 0);
	assert_int_equal(guest_start(&vcpu), 0);
}

static void create(void)
{
	fill_registers();
	make_guest();
}

static void create_on(bool amd, bool x2apic)
{
	memset(&cpu, 0, sizeof(cpu));
	cpu.amd = amd;
	cpu.x2apic = x2apic;
	create();
}

static bool in_x2apic_range(u32 msr)
{
	return msr >= MSR_X2APIC_BASE && msr <= X2APIC_LAST;
}

/* --- the table -------------------------------------------------------------------------------- */
static void rows_are_in_order_and_whole(void **state)
{
	for (u32 i = 0; i < msr_rows; i++) {
		const struct msr_row *r = &msr_table[i];
		bool ok = r->first <= r->last && (!i || msr_table[i - 1].last < r->first) &&
			  r->class < MSR_CLASSES && r->name[0] && r->why[0] && r->manual[0] &&
			  (r->class == MSR_MASKED) == (r->write != 0) && !(r->write & (r->zero | r->one)) &&
			  !(r->zero & r->one) && (r->class != MSR_PASSED || !(r->zero | r->one));

		for (u32 n = 0; n < MSR_ANNOUNCED_MAX; n++)
			ok = ok && r->announced[n].bit <= CPUID_WHOLE_LEAF && r->announced[n].reg <= CPUID_EDX;
		if (!ok)
			fail_msg("row %x..%x", r->first, r->last);
	}
}

/* By looking at all rows in turn, around each edge. */
static void every_index_finds_its_row(void **state)
{
	for (u32 i = 0; i < msr_rows; i++)
		for (u32 edge = 0; edge < 2; edge++)
			for (u32 off = 0; off < 5; off++) {
				u32 msr = (edge ? msr_table[i].last : msr_table[i].first) + off - 2;
				const struct msr_row *want = NULL;

				for (u32 n = 0; n < msr_rows; n++)
					if (msr >= msr_table[n].first && msr <= msr_table[n].last)
						want = &msr_table[n];
				if (msr_row_of(msr) != want)
					fail_msg("MSR %x", msr);
			}
	assert_null(msr_row_of(0));
	assert_null(msr_row_of(~0u));
}

/* A processor with every bit of CPUID: what the guest sees of those that announce what it does not get. */
static void no_cpuid_bit_announces_an_absent_register(void **state)
{
	for (u32 amd = 0; amd < 2; amd++) {
		create_on(amd, true);
		for (u32 i = 0; i < msr_rows; i++)
			for (u32 n = 0; msr_table[i].class == MSR_ABSENT && n < MSR_ANNOUNCED_MAX; n++)
				if (msr_table[i].announced[n].leaf && cpuid_shows(&vcpu, &msr_table[i].announced[n]))
					fail_msg("%s: leaf %x subleaf %u reg %u bit %u", msr_table[i].name,
						 msr_table[i].announced[n].leaf, msr_table[i].announced[n].subleaf,
						 msr_table[i].announced[n].reg, msr_table[i].announced[n].bit);
	}
}

/* adversarial: 36 */
static void registers_that_take_addresses_are_closed(void **state)
{
	static const u32 list[] = {
		0x9b,       0x9e,       0x150,      0x1f2,           0x1f3,
		0x1f4,      0x1f5,      0x2a0,      0x2c2,           0x2f4,
		0x3f1,      0x3f4,      0x3f5,      0x560,           0x561,
		0x570,      0x600,      0x982,      0x983,           0x984,
		0x1400,     0x17d0,     0x17d1,     0x40000000,      0x40000001,
		0x4b564d00, 0x4b564d01, 0xc0000106, 0xc0010010,      0xc0010016,
		0xc0010019, 0xc001001a, 0xc001001d, 0xc0010020,      0xc0010058,
		0xc0010111, 0xc0010112, 0xc0010113, 0xc0010114,      0xc0010117,
		0xc0010130, 0xc0010132, 0xc001103a, FEATURE_CONTROL, 0x79,
	};
	u64 value;

	for (u32 variant = 0; variant < 4; variant++) {
		create_on(variant & 1, variant & 2);
		for (u32 i = 0; i < ARRAY_SIZE(list); i++) {
			u64 before = *register_of(list[i]);

			(void)!msr_guest_read(&vcpu, list[i], &value);
			(void)!msr_guest_write(&vcpu, list[i], 0x12345001);
			(void)!msr_guest_write(&vcpu, list[i], ~0ull);
			if (writes || *register_of(list[i]) != before)
				fail_msg("MSR %x", list[i]);
		}
	}
}

/* --- every register ---------------------------------------------------------------------------- */
static const u64 patterns[] = {0,
			       1,
			       ~0ull,
			       0x5a5a5a5a5a5a5a5aull,
			       0xaaaaaaaaaaaaaaaaull,
			       0x12345678f001ull,
			       0x0606060606060606ull,
			       BIT(63),
			       0xd01,
			       0xff};

static bool is_emulated(u32 msr)
{
	const struct msr_row *row = msr_row_of(msr);

	return row && row->class == MSR_EMULATED;
}

static bool is_refused(u32 msr, u64 value)
{
	bool address = msr == MSR_FS_BASE || msr == MSR_GS_BASE ||
		       (!cpu.amd && (msr == MSR_SYSENTER_ESP || msr == MSR_SYSENTER_EIP));

	return address && !address_is_canonical(value, false);
}

/* What the guest gets of a register that no code of its own stands for. */
static void check_one(u32 msr, u64 pattern)
{
	const struct msr_row *row = msr_row_of(msr);
	u64 old = *register_of(msr), value = 0, zero = row ? row->zero : 0, one = row ? row->one : 0;
	u32 class = row ? row->class : (u32)MSR_IGNORED, before = writes;
	bool there = class != MSR_ABSENT && (!in_x2apic_range(msr) || cpu.x2apic);
	bool ok = (msr_guest_read(&vcpu, msr, &value) == 0) == there && (!there || value == ((old & ~zero) | one));
	int err = msr_guest_write(&vcpu, msr, pattern);
	u64 now = *register_of(msr);

	if (!there || class == MSR_READ_ONLY)
		ok = ok && err == -EFAULT && now == old && writes == before;
	else if (class == MSR_PASSED)
		ok = ok && (is_refused(msr, pattern) ? err == -EFAULT && now == old : !err && now == pattern);
	else if (class == MSR_MASKED)
		ok = ok && !err && now == ((old & ~row->write) | (pattern & row->write));
	else
		ok = ok && !err && now == old && writes == before;
	if (!ok)
		fail_msg("MSR %x (class %u) pattern %llx: %llx became %llx", msr, class,
			 (unsigned long long)pattern, (unsigned long long)old, (unsigned long long)now);
	*register_of(msr) = start_value(msr);
}

/* adversarial: 31 */
static void every_register_is_what_its_row_says(void **state)
{
	for (u32 variant = 0; variant < 4; variant++) {
		create_on(variant & 1, variant & 2);
		for (u32 r = 0; r < RANGES; r++)
			for (u32 n = 0; n < RANGE; n++)
				for (u32 p = 0; p < ARRAY_SIZE(patterns) && !is_emulated(range_base[r] + n); p++)
					check_one(range_base[r] + n, patterns[p]);
		check_one(0x80000000, 1);
		check_one(0xffffffff, 1);
		assert_string_equal(refused, "");
	}
}

static void emulated_registers_let_nothing_else_through(void **state)
{
	u64 value;

	for (u32 variant = 0; variant < 4; variant++) {
		create_on(variant & 1, variant & 2);
		for (u32 i = 0; i < msr_rows; i++)
			for (u32 msr = msr_table[i].first;
			     msr_table[i].class == MSR_EMULATED && msr <= msr_table[i].last; msr++)
				for (u32 p = 0; p < ARRAY_SIZE(patterns); p++) {
					(void)!msr_guest_write(&vcpu, msr, patterns[p]);
					(void)!msr_guest_read(&vcpu, msr, &value);
				}
		assert_string_equal(refused, "");
		assert_true(vcpu.efer & EFER_LMA && !(vcpu.efer & EFER_SVME));
	}
}

/* A VM entry would refuse them where the backend holds the register, without the processor having been asked. */
static void addresses_that_are_not_canonical_are_refused(void **state)
{
	static const u32 msrs[] = {MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_FS_BASE, MSR_GS_BASE};
	u64 value;

	for (u32 amd = 0; amd < 2; amd++) {
		create_on(amd, false);
		for (u32 i = 0; i < ARRAY_SIZE(msrs); i++) {
			bool any = amd && msrs[i] < MSR_EFER; /* APM vol. 2 section 6.1.2 */

			assert_int_equal(msr_guest_write(&vcpu, msrs[i], 0xffff800000000000), 0);
			assert_int_equal(msr_guest_write(&vcpu, msrs[i], BIT(63)), any ? 0 : -EFAULT);
			assert_int_equal(msr_guest_write(&vcpu, msrs[i], BIT(47)), any ? 0 : -EFAULT);
			vcpu.cr4 |= CR4_LA57;
			assert_int_equal(msr_guest_write(&vcpu, msrs[i], BIT(47)), 0);
			vcpu.cr4 &= ~CR4_LA57;
			assert_int_equal(msr_guest_read(&vcpu, msrs[i], &value), 0);
		}
	}
}

static void what_the_processor_lacks_the_guest_lacks(void **state)
{
	u64 value;

	for (u32 amd = 0; amd < 2; amd++) {
		create_on(amd, false);
		cpu.lacks_all = true;
		for (u32 r = 0; r < RANGES; r++)
			for (u32 n = 0; n < RANGE; n++) {
				u32 msr = range_base[r] + n;

				if (is_emulated(msr))
					continue;
				if (msr_guest_read(&vcpu, msr, &value) != -EFAULT ||
				    msr_guest_write(&vcpu, msr, 1) != -EFAULT)
					fail_msg("MSR %x", msr);
			}
	}
}

/* A register goes with the CPUID bit that announces it. */
static void registers_of_features_not_shown_are_absent(void **state)
{
	u64 value;

	memset(&cpu, 0, sizeof(cpu));
	cpu.bare = true;
	create();
	for (u32 i = 0; i < msr_rows; i++) {
		const struct msr_row *r = &msr_table[i];

		for (u32 msr = r->first; r->announced[0].leaf && msr <= r->last; msr++)
			if (msr_guest_read(&vcpu, msr, &value) != -EFAULT ||
			    msr_guest_write(&vcpu, msr, 0) != -EFAULT)
				fail_msg("MSR %x", msr);
	}
	assert_int_equal(writes, 0);
	create_on(false, false);
	assert_int_equal(msr_guest_read(&vcpu, 0x6e0, &value), 0);
	cpu.only_lacks = (struct cpuid_bit){1, 0, CPUID_ECX, 24};
	create();
	assert_int_equal(msr_guest_read(&vcpu, 0x6e0, &value), -EFAULT);
	assert_false(passed[0x6e0]);
}

static void no_exit_for_passed_registers_alone(void **state)
{
	for (u32 variant = 0; variant < 4; variant++) {
		u32 count = 0;

		create_on(variant & 1, variant & 2);
		for (u32 i = 0; i < msr_rows; i++) {
			const struct msr_row *r = &msr_table[i];

			for (u32 msr = r->first; msr <= r->last; msr++) {
				bool want = r->class == MSR_PASSED && (!in_x2apic_range(msr) || cpu.x2apic);

				if (passed[register_of(msr) - registers] != want)
					fail_msg("MSR %x", msr);
				count += want;
			}
		}
		assert_int_equal(passed_count, count);
	}
}

static void each_ignored_register_is_logged_once(void **state)
{
	struct guest *g;

	create_on(true, false);
	g = guest_of(&vcpu);
	for (u32 i = 0; i < 3; i++)
		assert_int_equal(msr_guest_write(&vcpu, 0xc0010058, i), 0);
	assert_true(g->shared->msr_ignored == 3 && g->shared->msr_logged[0] == 0xc0010058 &&
		    !g->shared->msr_logged[1]);
	for (u32 i = 0; i < 100; i++)
		assert_int_equal(msr_guest_write(&vcpu, 0x1d00 + i, 0), 0);
	assert_true(g->shared->msr_ignored == 103 &&
		    g->shared->msr_logged[MSR_LOGGED_MAX - 1] == 0x1d00 + MSR_LOGGED_MAX - 2);
	/* What changes nothing is no news. */
	assert_int_equal(msr_guest_write(&vcpu, 0xc0010111, start_value(0xc0010111)), 0);
	assert_int_equal(g->shared->msr_ignored, 103);
}

static void facts_are_shown_without_what_is_hidden(void **state)
{
	u64 value;

	create_on(false, false);
	assert_int_equal(msr_guest_read(&vcpu, 0x1a0, &value), 0);
	assert_true((value & BITS(12, 11)) == BITS(12, 11));
	*register_of(0x345) = *register_of(0xcf) = ~0ull;
	assert_int_equal(msr_guest_read(&vcpu, 0x345, &value), 0);
	assert_true(!(value & (BITS(11, 6) | BIT(14) | BIT(16))) && (value & BIT(13)));
	assert_int_equal(msr_guest_read(&vcpu, 0xcf, &value), 0);
	assert_true(value == BIT(5));
	assert_int_equal(msr_guest_read(&vcpu, MSR_MTRRCAP, &value), 0);
	assert_true(value == 0x508);
	assert_int_equal(msr_guest_read(&vcpu, FEATURE_CONTROL, &value), 0);
	assert_true(value == 1);
	assert_int_equal(msr_guest_read(&vcpu, MSR_MTRR_PHYSMASK0, &value), 0);
	assert_false(value >> PHYS_BITS);
	create_on(true, false);
	*register_of(MSR_SYSCFG) = ~0ull;
	assert_int_equal(msr_guest_read(&vcpu, MSR_SYSCFG, &value), 0);
	assert_true(value == ~(u64)BITS(26, 23));
}

/* --- the width of addresses --- */
/* adversarial: 37 */
static void the_guest_is_told_the_usable_width(void **state)
{
	for (u32 amd = 0; amd < 2; amd++) {
		create_on(amd, false);
		assert_int_equal(cpuid_answer(&vcpu, 0x80000008, 0).eax, 0x3000 | PHYS_BITS);
		assert_int_equal(cr_write_cr3(&vcpu, BIT(PHYS_BITS)), -EINVAL);
		assert_int_equal(cr_write_cr3(&vcpu, BIT(PHYS_BITS - 1)), 0);
	}
}

/* What the backend cannot give a guest: bit and MSRs are gone, and those of all other features are not. */
static void features_that_the_backend_lacks_are_hidden_with_their_msrs(void **state)
{
	static const struct {
		u32 control, leaf, subleaf;
		enum cpuid_reg reg;
		u32 bit, msr;
	} rows[] = {
		{SECONDARY_RDTSCP, 0x80000001, 0, CPUID_EDX, CPUIDE1_EDX_RDTSCP, 0xc0000103},
		{SECONDARY_RDTSCP, 7, 0, CPUID_ECX, CPUID7_ECX_RDPID, 0xc0000103},
		{SECONDARY_XSAVES, 0xd, 1, CPUID_EAX, CPUIDD_1_EAX_XSAVES, XSS},
		{SECONDARY_USER_WAIT, 7, 0, CPUID_ECX, CPUID7_ECX_WAITPKG, 0xe1},
	};
	static const u32 controls[] = {0, SECONDARY_RDTSCP, SECONDARY_XSAVES, SECONDARY_USER_WAIT};

	for (u32 lack = 0; lack < ARRAY_SIZE(controls); lack++) {
		vmx_hidden_features(controls[lack], hidden, sizeof(hidden));
		create_on(false, false);
		for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
			bool gone = rows[i].control == controls[lack];
			struct cpuid_regs r = cpuid_answer(&vcpu, rows[i].leaf, rows[i].subleaf);
			const u32 *reg[] = {[CPUID_EAX] = &r.eax, [CPUID_ECX] = &r.ecx, [CPUID_EDX] = &r.edx};
			u64 value;

			assert_int_equal(!(*reg[rows[i].reg] & rows[i].bit), gone);
			assert_int_equal(msr_guest_read(&vcpu, rows[i].msr, &value) != 0, gone);
			assert_int_equal(msr_guest_write(&vcpu, rows[i].msr, 0) != 0, gone);
			assert_false(gone && passed[register_of(rows[i].msr) - registers]);
		}
		if (controls[lack] == SECONDARY_XSAVES)
			assert_int_equal(cpuid_answer(&vcpu, 0xd, 1).ecx | cpuid_answer(&vcpu, 0xd, 13).eax, 0);
	}
	hidden[0] = '\0';
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_in_order_and_whole),
		cmocka_unit_test(every_index_finds_its_row),
		cmocka_unit_test(no_cpuid_bit_announces_an_absent_register),
		cmocka_unit_test(registers_that_take_addresses_are_closed),
		cmocka_unit_test(every_register_is_what_its_row_says),
		cmocka_unit_test(emulated_registers_let_nothing_else_through),
		cmocka_unit_test(addresses_that_are_not_canonical_are_refused),
		cmocka_unit_test(what_the_processor_lacks_the_guest_lacks),
		cmocka_unit_test(registers_of_features_not_shown_are_absent),
		cmocka_unit_test(no_exit_for_passed_registers_alone),
		cmocka_unit_test(each_ignored_register_is_logged_once),
		cmocka_unit_test(facts_are_shown_without_what_is_hidden),
		cmocka_unit_test(the_guest_is_told_the_usable_width),
		cmocka_unit_test(features_that_the_backend_lacks_are_hidden_with_their_msrs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
