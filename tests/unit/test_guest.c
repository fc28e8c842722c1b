/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The neutral half of the virtual CPU over a fake CPU: legality of control
 * registers, MSRs of every index, CPUID, and the rules by which events merge.
 * A fake vendor and a fake shadow engine record what they are told.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/create.h"
#include "arch/x86/guest/emulate.h"
#include "arch/x86/guest/execution.h"
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/exits.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/io.h"
#include "arch/x86/guest/msr.h"
#include "arch/x86/guest/fast_path.h"
#include "arch/x86/guest/run.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/log.h"
#include "arch/x86/memory.h"
#include "lib/spinlock.h"
#include "lib/version.h"
#include "tests/unit/no_runs.h"

#define PHYS_BITS 40
#define APIC 0xfee00000ull

/* --- the fake machine ------------------------------------------------------------ */

static struct vcpu vcpu;
static struct shadow_paging paging;
static bool flushed;
static u32 set_pagings, drops, intercepts, updates;
static struct segment cs;
static u32 tr_type = 0x8b;
static u8 code[16];
static u64 pdpte_source[512];
static u64 written_msrs;
static u32 passed_msrs;

static bool gif, smis_pass; /* as the processor stands behind an exit of SVM; at its end */
static bool vcpu_alloc_fails;
static u32 vcpu_inits, deafens, waits;
static int vcpu_alloc(struct vcpu *v)
{
	return vcpu_alloc_fails ? -ENOMEM : 0;
}
static int vcpu_init(struct vcpu *v)
{
	vcpu_inits++;
	return 0;
}
static void cpu_deafen(void)
{
	deafens++;
	gif = false;
}
static NORETURN void run(struct vcpu *v)
{
	panic("CPU %u runs", v->id);
}
static void set_dr(struct vcpu *v, u64 value) {}
static void wake(struct vcpu *v) {}
static void set_shadow_root(struct vcpu *v, hpa_t root, u32 tag) {}
static void update_control(struct vcpu *v)
{
	updates++;
}
static void set_intercepts(struct vcpu *v, u32 mask)
{
	intercepts = mask;
}
static void set_msr_intercept(struct vcpu *v, u32 msr, bool read, bool write)
{
	passed_msrs++;
}
static void set_io_intercept(struct vcpu *v, u16 port, bool on) {}
static void get_segment(const struct vcpu *v, enum segment_name which, struct segment *out)
{
	*out = (struct segment){.limit = ~0u, .attributes = 0xc093};
	if (which == SEG_CS)
		*out = cs;
	else if (which == SEG_TR)
		out->attributes = tr_type;
}
static void set_segment(struct vcpu *v, enum segment_name which, const struct segment *in)
{
	if (which == SEG_CS)
		cs = *in;
}
static bool get_msr(const struct vcpu *v, u32 msr, u64 *value)
{
	*value = 0;
	return msr == MSR_STAR;
}
static bool set_msr(struct vcpu *v, u32 msr, u64 value)
{
	return msr == MSR_STAR;
}
static u64 get_dr7(const struct vcpu *v)
{
	return DR7_RESET;
}
u64 hw_read_dr(u32 n)
{
	return 0;
}
static const char *exit_name(u64 raw)
{
	return "?";
}
static hpa_t cr3_of_hardware;
static hpa_t hardware_root(const struct vcpu *v)
{
	return cr3_of_hardware;
}
static void dump(const struct vcpu *v) {}
static void cpu_disable(void)
{
	gif = true;
}
static void cpu_listen(void)
{
	gif = true;
}

static const struct vendor vendor = {
	.name = "fake",
	.real_mode = true,
	.cpu_listen = cpu_listen,
	.cpu_deafen = cpu_deafen,
	.run = run,
	.set_shadow_root = set_shadow_root,
	.set_dr6 = set_dr,
	.wake = wake,
	.set_dr7 = set_dr,
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
	.cpu_disable = cpu_disable,
	.get_dr7 = get_dr7,
	.get_msr = get_msr,
	.set_msr = set_msr,
	.exit_name = exit_name,
};

static u8 some_page[PAGE_SIZE] ALIGNED(PAGE_SIZE);
static bool heap_is_empty;
void *memory_alloc(u32 order)
{
	assert_int_equal(order, 0);
	return heap_is_empty ? NULL : some_page;
}
/* Handed out from the start again for each guest. */
#define TAKEN_PAGES 32
static u32 taken, take_fails_at; /* the n-th call, 0: none does */
void *memory_take(u32 pages)
{
	static u8 pool[TAKEN_PAGES * PAGE_SIZE] ALIGNED(PAGE_SIZE);
	u8 *at = pool + taken * PAGE_SIZE;

	if (taken + pages > TAKEN_PAGES || (take_fails_at && !--take_fails_at))
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
	return 0x100000023;
}
/* What cpuid.c asks for, to be seen in the answer. */
void log_read(u64 at, char *to, u32 bytes)
{
	memset(to, 0, bytes);
	memcpy(to, &at, sizeof(at));
	to[bytes - 1] = 'x';
}

struct shadow_mmu *shadow_mmu_create(struct shadow *s, const struct shadow_ops *ops, void *cpu, hpa_t low_pdpt)
{
	return (struct shadow_mmu *)some_page;
}
void shadow_set_paging(struct shadow_mmu *mmu, const struct shadow_paging *p, bool flush)
{
	paging = *p;
	flushed = flush;
	set_pagings++;
}
static u32 repeats;
bool shadow_set_cr3(struct shadow_mmu *mmu, u64 cr3)
{
	if (repeats && repeats--)
		return false;
	paging.cr3 = cr3;
	flushed = true;
	set_pagings++;
	return true;
}
/* Every other time the code must be read by a walk, so both ways of decoding are used. */
static u32 peeks;
const u8 *shadow_peek_code(struct shadow_mmu *mmu, gva_t gva)
{
	return gva != vcpu.rip || peeks++ % 2 ? code + (gva - vcpu.rip) : NULL;
}
void shadow_drop_all(struct shadow *s)
{
	drops++;
}
static gva_t invlpg_gva;
void shadow_invlpg(struct shadow_mmu *mmu, gva_t gva)
{
	invlpg_gva = gva;
}
u64 shadow_stat(const struct shadow *s, enum shadow_stat which)
{
	return 1000 + which;
}
void shadow_stat_add(struct shadow *s, enum shadow_stat which, u64 n) {}
const char *shadow_stat_name(enum shadow_stat which)
{
	return which ? "other" : "walks";
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
static enum shadow_result fault_result;
enum shadow_result shadow_handle_fault(struct shadow_mmu *mmu, gva_t gva, u32 error, u32 cpl, u64 rflags,
				       struct shadow_fault *fault)
{
	fault->error = error;
	return fault_result;
}
enum gpt_status shadow_translate(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access, struct gpt_walk *walk)
{
	walk->gfn = gva >> PAGE_SHIFT;
	return GPT_OK;
}
int shadow_read_guest(struct shadow_mmu *mmu, gva_t gva, void *buf, u32 len, struct gpt_access access,
		      gva_t *fault_gva, u32 *error)
{
	memset(buf, 0, len);
	if (access.fetch)
		memcpy(buf, code, MIN(len, sizeof(code)));
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
void shadow_push_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram, u32 end, const u64 *values, u32 size,
		     u32 count)
{
	fail();
}
bool shadow_exchange_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram, u32 offset, const void *expected,
			 const void *value, u32 len)
{
	fail();
	return false;
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
	return pdpte_source[index];
}

/* A CPU with everything. */
struct cpuid_regs hw_cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid_regs r = {~0u, ~0u, ~0u, ~0u};

	if (leaf == 0)
		r = (struct cpuid_regs){0x20, 0x68747541, 0x444d4163, 0x69746e65};
	if (leaf == 0x80000000)
		r.eax = 0x80000021;
	if (leaf == 0xd && subleaf == 0)
		r = (struct cpuid_regs){0x602e7, 0x240, 0x3000, 0};
	if (leaf == 0xd && subleaf >= 2)
		r = (struct cpuid_regs){0x40, 0x240 + 0x40 * subleaf, 0, 0};
	return r;
}
int hw_msr_read(u32 msr, u64 *value)
{
	*value = msr == MSR_APIC_BASE ? APIC | APIC_BASE_ENABLE | APIC_BASE_BSP : msr == MSR_MTRRCAP ? 8 : 0;
	if (msr == MSR_MTRR_DEF_TYPE)
		*value = 0xc06;
	return msr & 0x4000 ? -EFAULT : 0;
}
int hw_msr_write(u32 msr, u64 value)
{
	written_msrs++;
	assert_true(msr != MSR_EFER && msr != MSR_VM_HSAVE_PA && msr != MSR_PAT && msr != MSR_SYSCFG &&
		    msr != MSR_APIC_BASE && msr != MSR_TOP_MEM && msr != MSR_TOP_MEM2 && msr != 0x79 &&
		    msr != 0xc0010020 && msr != MSR_MTRR_DEF_TYPE && msr != MSR_X2APIC_ICR);
	return msr & 0x4000 ? -EFAULT : 0;
}
static u64 xcr0;
int hw_xsetbv(u32 index, u64 value)
{
	xcr0 = value;
	return 0;
}
static u32 wbinvds;
void hw_wbinvd(void)
{
	wbinvds++;
}
u32 hw_read_pkru(void)
{
	return 0;
}
u64 hw_read_cr8(void)
{
	return 9;
}
u32 hw_in(u16 port, u32 size)
{
	return 0xdeadbeef;
}
static u32 out_value;
void hw_out(u16 port, u32 size, u32 value)
{
	out_value = value;
}
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
static bool stop_asked;
bool hw_stop_asked(void)
{
	return stop_asked;
}

NORETURN void hw_stop(void)
{
	smis_pass = gif;
	panic("guest stopped");
}
void hw_kick_again(void) {}
void hw_drop_interrupts(const struct vendor *v) {}
/* Where the hardware runs real mode nobody comes here. */
void execution_exit(struct vcpu *v)
{
	panic("execution_exit");
}
bool hw_was_kicked(void)
{
	return false;
}

void hw_kick(u32 cpu_id) {}
void hw_kick_to_flush(u32 cpu_id) {}
/* A start-up message comes. */
void hw_wait(const struct vendor *v)
{
	struct processor_set targets;

	waits++;
	assert_int_equal(processors_command(&guest_of(&vcpu)->shared->processors, 0, 0xc0607, &targets),
			 COMMAND_SENT);
}
static u32 guests_run;
void hw_runs_guest(void)
{
	guests_run++;
}
void hw_write_dr(u32 n, u64 value) {}
void hw_stop_others(void) {}

static const struct boot_guest_state start = {
	.mode = BOOT_GUEST_LONG64, .rip = 0x100000, .cr3 = 0x5000, .cs = 0x10, .ds = 0x18};

static void create(const char *hide)
{
	static struct guest_config config;

	config = (struct guest_config){
		.vendor = &vendor, .start = &start, .cpuid_hide = hide, .host_phys_bits = PHYS_BITS};

	vcpu = (struct vcpu){0};
	gif = smis_pass = false;
	taken = 0;
	assert_int_equal(guest_create(&vcpu, &config, 0), 0);
	assert_int_equal(guest_start(&vcpu), 0);
	memset(code, 0x90, sizeof(code));
	set_pagings = drops = updates = 0;
}

/* Flat code outside long mode, paging off. */
static void make_protected32(void)
{
	create("");
	vcpu.cr0 = CR0_PE | CR0_ET;
	vcpu.cr4 = 0;
	vcpu.efer = 0;
	cs.attributes = 0xc09b;
}

/* --- control registers -------------------------------------------------------------- */

static void the_guest_starts_in_long_mode(void **state)
{
	create("");
	assert_true(vcpu.efer & EFER_LMA && vcpu.cr0 & CR0_PG && cs.attributes & SEG_ATTR_L);
	assert_true(paging.cr3 == 0x5000 && paging.phys_bits == PHYS_BITS && paging.pat == PAT_RESET && flushed);
	assert_true(paging.pages_1g);
	assert_int_equal(intercepts, INTERCEPT_CR3_READ | INTERCEPT_INVLPG);
}

static void reads_are_answered_with_the_guests_own_registers(void **state)
{
	static const u8 crs[] = {0, 2, 3, 4, 8};

	create("");
	vcpu.cr2 = 0x123456789a;
	for (u32 i = 0; i < ARRAY_SIZE(crs); i++) {
		const u64 own[] = {[0] = vcpu.cr0, [2] = vcpu.cr2, [3] = vcpu.cr3, [4] = vcpu.cr4, [8] = 9};
		u8 mov[] = {crs[i] == 8 ? 0x44 : 0x40, 0x0f, 0x20, (u8)(0xc0 | crs[i] % 8 << 3)};

		memcpy(code, mov, sizeof(mov));
		vcpu.exit = (struct vcpu_exit){.kind = EXIT_CR_READ};
		vcpu.rip = 0x1000;
		cr_handle_read(&vcpu);
		assert_true(vcpu.gpr[GPR_RAX] == own[crs[i]] && vcpu.rip == 0x1004);
	}
}

static void a_guest_on_tables_of_its_own_is_stopped(void **state)
{
	create("");
	vcpu.root = cr3_of_hardware = hpa(0x9000);
	vcpu.exit = (struct vcpu_exit){.kind = EXIT_INTERRUPT};
	vcpu.mmu = (struct shadow_mmu *)&(struct { struct shadow_mmu_head mmu; }){{.flush_owed = 0}};
	vcpu.next_audit = ~0ull;
	guest_exit(&vcpu);
	cr3_of_hardware = hpa(0xa000);
	host_log_quiet = true;
	assert_panics(guest_exit(&vcpu));
	host_log_quiet = false;
	assert_string_equal(host_panic_message, "guest stopped");
}

/* One of its devices' resets the machine; one that comes with a word from another processor stops this one. */
/* adversarial: 29 */
static void an_init_resets_the_machine_unless_another_processor_panicked(void **state)
{
	create("");
	vcpu.root = cr3_of_hardware = hpa(0x9000);
	vcpu.exit = (struct vcpu_exit){.kind = EXIT_INIT};
	host_log_quiet = true;
	assert_panics(guest_exit(&vcpu));
	assert_string_equal(host_panic_message, "machine reset");
	assert_false(smis_pass);
	stop_asked = true;
	assert_panics(guest_exit(&vcpu));
	stop_asked = false;
	host_log_quiet = false;
	assert_string_equal(host_panic_message, "guest stopped");
	assert_true(smis_pass);
}

/* Behind an exit of SVM, GIF holds them back (APM vol. 2 section 15.17); the firmware waits for all processors at each. */
static void a_stopped_guest_lets_smis_through(void **state)
{
	create("");
	vcpu.root = cr3_of_hardware = hpa(0x9000);
	vcpu.exit = (struct vcpu_exit){.kind = EXIT_UNKNOWN, .raw = 0x1234};
	host_log_quiet = true;
	assert_false(smis_pass);
	assert_panics(guest_exit(&vcpu));
	host_log_quiet = false;
	assert_string_equal(host_panic_message, "guest stopped");
	assert_true(smis_pass);
}

static void illegal_cr0_values_are_refused(void **state)
{
	u64 old;

	create("");
	old = vcpu.cr0;
	assert_int_equal(cr_write_cr0(&vcpu, old | BIT(32)), -EINVAL);
	assert_int_equal(cr_write_cr0(&vcpu, old | CR0_NW), -EINVAL);
	assert_int_equal(cr_write_cr0(&vcpu, old & ~CR0_PE), -EINVAL);
	assert_int_equal(cr_write_cr0(&vcpu, old & ~CR0_PG), -EINVAL); /* in 64-bit code */
	assert_true(vcpu.cr0 == old);
	assert_int_equal(cr_write_cr0(&vcpu, old | CR0_NW | CR0_CD), 0);
	assert_int_equal(cr_write_cr0(&vcpu, old & ~CR0_ET), 0);
	assert_true(vcpu.cr0 & CR0_ET);
}

static void write_protect_change_is_no_flush_but_a_new_role(void **state)
{
	create("");
	assert_int_equal(cr_write_cr0(&vcpu, vcpu.cr0 & ~CR0_WP), 0);
	assert_int_equal(set_pagings, 1);
	assert_false(flushed);
	assert_true(intercepts & INTERCEPT_CR0_READ);
	assert_int_equal(cr_write_cr0(&vcpu, vcpu.cr0 | CR0_WP), 0);
	assert_false(intercepts & INTERCEPT_CR0_READ);
	set_pagings = 0;
	assert_int_equal(cr_write_cr0(&vcpu, vcpu.cr0 | CR0_TS), 0);
	assert_int_equal(set_pagings, 0);
}

static void long_mode_is_entered_and_left_by_the_book(void **state)
{
	make_protected32();
	assert_int_equal(cr_write_cr4(&vcpu, CR4_LA57), 0);
	assert_int_equal(cr_write_cr4(&vcpu, 0), 0);
	assert_int_equal(cr_write_efer(&vcpu, EFER_LME), 0);
	assert_int_equal(cr_write_cr0(&vcpu, vcpu.cr0 | CR0_PG), -EINVAL); /* no PAE */
	assert_int_equal(cr_write_cr4(&vcpu, CR4_PAE), 0);
	cs.attributes |= SEG_ATTR_L;
	assert_int_equal(cr_write_cr0(&vcpu, vcpu.cr0 | CR0_PG), -EINVAL); /* CS.L */
	cs.attributes &= ~SEG_ATTR_L;
	assert_int_equal(cr_write_cr0(&vcpu, vcpu.cr0 | CR0_PG), 0);
	assert_true(vcpu.efer & EFER_LMA && flushed);
	assert_int_equal(cr_write_efer(&vcpu, vcpu.efer & ~EFER_LME), -EINVAL);
	assert_int_equal(cr_write_cr4(&vcpu, 0), -EINVAL);
	assert_int_equal(cr_write_cr0(&vcpu, vcpu.cr0 & ~CR0_PG), 0); /* compatibility mode */
	assert_false(vcpu.efer & EFER_LMA);
	assert_true(vcpu.efer & EFER_LME);
}

static const char *one_alone(void)
{
	return "it has no more";
}
static const char *any_number(void)
{
	return NULL;
}

/* No objection of the vendor's: then as many as the boot entry says, whether or not the hardware has real mode. */
static void the_vendor_may_hold_the_guest_to_one_processor(void **state)
{
	static const char *(*const says[])(void) = {NULL, any_number, one_alone};
	static const u32 wanted[] = {0, 1, 2, 256};

	for (u32 i = 0; i < 2 * 3 * ARRAY_SIZE(wanted); i++) {
		struct vendor v = vendor;
		struct guest_config config = {.vendor = &v};
		u32 w = wanted[i / 6], limit;
		const char *why;

		v.real_mode = i & 1;
		v.one_processor = says[i / 2 % 3];
		limit = guest_processor_limit(&config, w, &why);
		assert_int_equal(limit, v.one_processor == one_alone ? 1 : w ? w : PROCESSORS_MAX);
		/* A line where it changes something. */
		assert_int_equal(!!why, w != 1 && v.one_processor == one_alone);
	}
}

/*
 * SDM vol. 2, MOV to CR0: #GP, and VMX would refuse to enter such a guest (test_vmx_check). The APM has no such rule; nor does
 * either manual without EFER.LME.
 */
static void a_16_bit_task_keeps_paging_off_under_lme(void **state)
{
	static const u32 types[] = {0x81, 0x83, 0x89, 0x8b};

	for (u32 i = 0; i < 2 * 2 * ARRAY_SIZE(types); i++) {
		bool amd = i & 1, lme = i & 2, narrow = !(types[i / 4] & 8);
		u64 old;

		make_protected32();
		assert_int_equal(cr_write_cr4(&vcpu, CR4_PAE), 0);
		assert_int_equal(cr_write_efer(&vcpu, lme ? EFER_LME : 0), 0);
		guest_of(&vcpu)->cpuid.amd = amd;
		tr_type = types[i / 4];
		old = vcpu.cr0;
		assert_int_equal(cr_write_cr0(&vcpu, old | CR0_PG), lme && narrow && !amd ? -EINVAL : 0);
		assert_int_equal(!!(vcpu.cr0 & CR0_PG), !(lme && narrow && !amd));
	}
	tr_type = 0x8b;
}

static void cr4_follows_cpuid(void **state)
{
	/* LA57 is shown, but may not change in long mode. */
	static const u64 hidden[] = {CR4_LA57, CR4_VMXE, CR4_SMXE, CR4_PCIDE, CR4_CET,
				     CR4_PKS,  BIT(15),  BIT(25),  BIT(63)};

	create("-smap");
	for (u32 i = 0; i < ARRAY_SIZE(hidden); i++)
		assert_int_equal(cr_write_cr4(&vcpu, CR4_PAE | hidden[i]), -EINVAL);
	assert_int_equal(cr_write_cr4(&vcpu, CR4_PAE | CR4_SMAP), -EINVAL);
	assert_int_equal(cr_write_cr4(&vcpu, CR4_PAE | CR4_SMEP | CR4_OSXSAVE | CR4_UMIP), 0);
	assert_true(flushed);
	assert_int_equal(cr_write_cr4(&vcpu, vcpu.cr4 | CR4_TSD), 0);
	assert_false(flushed);
	assert_int_equal(cr_write_cr4(&vcpu, vcpu.cr4 | CR4_PGE), 0);
	assert_true(flushed);
	assert_true(cpuid_has(&vcpu, 1, CPUID_ECX, CPUID1_ECX_OSXSAVE));
	create("");
	assert_int_equal(cr_write_cr4(&vcpu, CR4_PAE | CR4_SMAP), 0);
	assert_false(cpuid_has(&vcpu, 1, CPUID_ECX, CPUID1_ECX_OSXSAVE));
	/* OSPKE shows CR4.PKE, in subleaf 0. */
	assert_false(cpuid_has(&vcpu, 7, CPUID_ECX, CPUID7_ECX_OSPKE));
	assert_int_equal(cr_write_cr4(&vcpu, CR4_PAE | CR4_PKE), 0);
	assert_true(cpuid_has(&vcpu, 7, CPUID_ECX, CPUID7_ECX_OSPKE));
	create("-pku");
	assert_int_equal(cr_write_cr4(&vcpu, CR4_PAE | CR4_PKE), -EINVAL);
	assert_false(cpuid_has(&vcpu, 7, CPUID_ECX, CPUID7_ECX_PKU));
}

/* adversarial: 23, 28 */
static void cr3_reserved_bits_are_refused_in_long_mode(void **state)
{
	create("");
	assert_int_equal(cr_write_cr3(&vcpu, BIT(PHYS_BITS)), -EINVAL);
	assert_int_equal(cr_write_cr3(&vcpu, CR3_NO_FLUSH), -EINVAL);
	assert_int_equal(cr_write_cr3(&vcpu, 0x123456fff), 0);
	assert_true(vcpu.cr3 == 0x123456fff && flushed);
}

/* adversarial: 16 */
static void pdptes_load_at_the_right_moments(void **state)
{
	make_protected32();
	assert_int_equal(cr_write_cr4(&vcpu, CR4_PAE), 0);
	assert_int_equal(cr_write_cr3(&vcpu, 0x7060), 0);
	pdpte_source[12] = 0x1001;
	pdpte_source[13] = 0x2 | BIT(63); /* not present: anything goes */
	assert_int_equal(cr_write_cr0(&vcpu, vcpu.cr0 | CR0_PG), 0);
	assert_true(paging.pdpte[0] == 0x1001);
	pdpte_source[12] = 0x3001;
	assert_int_equal(cr_write_cr4(&vcpu, vcpu.cr4 | CR4_TSD), 0);
	assert_true(paging.pdpte[0] == 0x1001);
	assert_int_equal(cr_write_cr3(&vcpu, 0x7060), 0);
	assert_true(paging.pdpte[0] == 0x3001);
	pdpte_source[14] = 1 | BIT(1);
	assert_int_equal(cr_write_cr3(&vcpu, 0x7060), -EINVAL);
	pdpte_source[14] = 1 | BIT(PHYS_BITS);
	assert_int_equal(cr_write_cr4(&vcpu, vcpu.cr4 | CR4_PGE), -EINVAL);
	assert_false(vcpu.cr4 & CR4_PGE);
	memset(pdpte_source, 0, sizeof(pdpte_source));
}

static void efer_keeps_svm_and_reserved_bits_out(void **state)
{
	create("");
	assert_int_equal(cr_write_efer(&vcpu, vcpu.efer | EFER_SVME), -EINVAL);
	assert_int_equal(cr_write_efer(&vcpu, vcpu.efer | BIT(21)), -EINVAL);
	assert_int_equal(cr_write_efer(&vcpu, (vcpu.efer & ~EFER_LMA) | EFER_NXE | EFER_SCE), 0);
	assert_true(vcpu.efer & EFER_LMA && vcpu.efer & EFER_NXE);
	create("-nx");
	assert_int_equal(cr_write_efer(&vcpu, vcpu.efer | EFER_NXE), -EINVAL);
}

static void do_exit(enum exit_kind kind, const char *bytes, u32 len)
{
	memset(code, 0x90, sizeof(code));
	memcpy(code, bytes, len);
	vcpu.inject.type = EVENT_NONE;
	vcpu.exit.kind = kind;
	vcpu.exit.insn_len = 0;
	vcpu.exit.operand_known = false;
	exit_dispatch(&vcpu);
}

/* S27 */
static void a_large_flush_is_executed_again(void **state)
{
	create("");
	assert_int_equal(cr_write_cr3(&vcpu, 0x5000), 0);
	vcpu.gpr[GPR_RCX] = 0x6000;
	repeats = 2;
	for (u32 i = 0; i < 3; i++) {
		u64 rip = vcpu.rip;

		flushed = false;
		do_exit(EXIT_CR_WRITE, "\x0f\x22\xd9", 3); /* MOV CR3, RCX */
		assert_true(vcpu.rip == (i < 2 ? rip : rip + 3) && flushed == (i == 2));
		assert_true(vcpu.cr3 == (i < 2 ? 0x5000 : 0x6000));
	}
}

static void exits_without_decode_assists_are_decoded(void **state)
{
	create("");
	vcpu.gpr[GPR_R9] = 0x9000;
	do_exit(EXIT_CR_WRITE, "\x41\x0f\x22\xd9", 4); /* MOV CR3, R9 */
	assert_true(vcpu.cr3 == 0x9000 && vcpu.rip == 0x100004);
	do_exit(EXIT_CR_READ, "\x0f\x20\xd8", 3); /* MOV RAX, CR3 */
	assert_true(vcpu.gpr[GPR_RAX] == 0x9000 && vcpu.rip == 0x100007);
	vcpu.cr0 |= CR0_TS;
	do_exit(EXIT_CR_WRITE, "\x0f\x06", 2); /* CLTS */
	assert_false(vcpu.cr0 & CR0_TS);
	vcpu.gpr[GPR_RDX] = CR0_TS;
	do_exit(EXIT_CR_WRITE, "\x0f\x01\xf2", 3); /* LMSW DX: PE stays */
	assert_true(vcpu.cr0 & CR0_TS && vcpu.cr0 & CR0_PE && !(vcpu.cr0 & CR0_MP));
	do_exit(EXIT_CR_READ, "\x0f\x01\xe2", 3); /* SMSW EDX */
	assert_true(vcpu.gpr[GPR_RDX] == (u32)vcpu.cr0);
	vcpu.gpr[GPR_RBX] = 0xffff800000001000ull;
	do_exit(EXIT_INVLPG, "\x0f\x01\x7b\x08", 4); /* INVLPG [RBX+8] */
	assert_true(invlpg_gva == 0xffff800000001008ull);
	vcpu.gpr[GPR_RAX] = 0;
	do_exit(EXIT_CR_WRITE, "\x0f\x22\xe0", 3); /* MOV CR4, RAX: PAE off in long mode */
	assert_int_equal(vcpu.inject.vector, VEC_GP);
	do_exit(EXIT_INVD, "\x0f\x08", 2);
	assert_int_equal(wbinvds, 1);
	do_exit(EXIT_VIRT_INSN, "\x0f\x01\xd8", 3);
	assert_int_equal(vcpu.inject.vector, VEC_UD);
}

/* PCID and INVPCID are hidden: every type of INVPCID is #UD, with paging off too. */
/* adversarial: 28 */
static void invpcid_is_undefined_in_every_mode(void **state)
{
	for (u32 paging_on = 0; paging_on < 2; paging_on++) {
		if (paging_on)
			create("");
		else
			make_protected32();
		for (u64 type = 0; type < 5; type++) {
			u64 rip = vcpu.rip;

			vcpu.gpr[GPR_RAX] = type;
			invlpg_gva = 1;
			do_exit(EXIT_INVPCID, "\x66\x0f\x38\x82\x03", 5); /* INVPCID RAX, [RBX] */
			assert_int_equal(vcpu.inject.vector, VEC_UD);
			assert_true(vcpu.rip == rip && invlpg_gva == 1);
		}
	}
}

/* What a backend does before it takes the fast path. */
static void set_code(const char *bytes, u32 len)
{
	memset(code, 0x90, sizeof(code));
	memcpy(code, bytes, len);
	vcpu.code_bits = 64;
	vcpu.exit.insn_len = 0;
	vcpu.exit.operand_known = false;
	peeks = 1; /* the next look finds the code */
}

static void the_fast_path_does_the_same_or_nothing(void **state)
{
	create("");
	vcpu.gpr[GPR_RDI] = 0x9000;
	vcpu.gpr[GPR_R12] = vcpu.gpr[GPR_RBP] = 0xa000;
	set_code("\x0f\x22\xdf", 3); /* MOV CR3, RDI */
	assert_true(fast_path_cr3_write(&vcpu) == 3 && vcpu.cr3 == 0x9000 && flushed);
	set_code("\x0f\x20\xde", 3); /* MOV RSI, CR3 */
	assert_true(fast_path_cr3_read(&vcpu) == 3 && vcpu.gpr[GPR_RSI] == 0x9000);
	vcpu.rflags = 0x8d7;
	vcpu.exit.cr3_pair = true;
	set_code("\x0f\x20\xde\x48\x81\xce\x00\x10\x00\x00\x0f\x22\xde", 13); /* OR RSI, 0x1000; MOV CR3, RSI */
	assert_true(fast_path_cr3_read(&vcpu) == 13 && vcpu.gpr[GPR_RSI] == 0x9000 && vcpu.cr3 == 0x9000 &&
		    vcpu.rflags == 0x6);
	vcpu.cr3 = 0x8000;
	set_code("\x0f\x20\xde\x48\x0f\xba\xee\x3f\x0f\x22\xde", 11); /* BTS RSI, 63: the MOV is a #GP of its own */
	assert_true(fast_path_cr3_read(&vcpu) == 3 && vcpu.gpr[GPR_RSI] == 0x8000 && vcpu.cr3 == 0x8000 &&
		    vcpu.rflags == 0x6);
	vcpu.exit.cr3_pair = false; /* a breakpoint is on */
	set_code("\x0f\x20\xde\x48\x81\xce\x00\x10\x00\x00\x0f\x22\xde", 13);
	assert_true(fast_path_cr3_read(&vcpu) == 3 && vcpu.gpr[GPR_RSI] == 0x8000 && vcpu.cr3 == 0x8000);
	vcpu.cr3 = 0x9000;
	set_code("\x41\x0f\x22\xdc", 4); /* MOV CR3, R12: the backend has it */
	assert_true(fast_path_cr3_write(&vcpu) == 0 && vcpu.cr3 == 0x9000);
	set_code("\x0f\x22\xdd", 3); /* MOV CR3, RBP */
	assert_true(fast_path_cr3_write(&vcpu) == 0 && vcpu.cr3 == 0x9000);
	set_code("\x0f\x22\xe7", 3); /* MOV CR4, RDI */
	assert_int_equal(fast_path_cr3_write(&vcpu), 0);
	set_code("\x3e\x0f\x22\xdf", 4); /* with a prefix */
	assert_int_equal(fast_path_cr3_write(&vcpu), 0);
	vcpu.gpr[GPR_RDI] = BIT(PHYS_BITS); /* #GP: the slow path's business */
	set_code("\x0f\x22\xdf", 3);
	assert_true(fast_path_cr3_write(&vcpu) == 0 && vcpu.cr3 == 0x9000 && vcpu.inject.type == EVENT_NONE);
	vcpu.gpr[GPR_RBX] = 0x7000;
	set_code("\x0f\x01\x3b", 3); /* INVLPG [RBX] */
	assert_true(fast_path_invlpg(&vcpu) == 3 && invlpg_gva == 0x7000);
	invlpg_gva = 0;
	set_code("\x0f\x01\x7b\x08", 4); /* INVLPG [RBX+8] */
	assert_true(fast_path_invlpg(&vcpu) == 0 && invlpg_gva == 0);
	set_code("\x0f\xa2", 2);
	assert_int_equal(fast_path_cpuid_len(shadow_peek_code(vcpu.mmu, vcpu.rip)), 2);
	set_code("\x66\x0f\xa2", 3);
	assert_int_equal(fast_path_cpuid_len(shadow_peek_code(vcpu.mmu, vcpu.rip)), 0);
	assert_true(vcpu.rip == 0x100000);
	set_code("\x0f\x22\xdf", 3);
	vcpu.gpr[GPR_RDI] = 0x5000;
	vcpu.efer &= ~EFER_LMA; /* PAE tables have more to load */
	assert_int_equal(fast_path_cr3_write(&vcpu), 0);
}

static void cpuid_answers_alike_on_registers(void **state)
{
	static const u32 leaves[] = {0, 1, 2, 7, 0xd, 0x40000000, 0x80000000, 0x80000001, 0x8000000a, ~0u};

	create("");
	for (u32 i = 0; i < ARRAY_SIZE(leaves); i++) {
		struct cpuid_regs r = cpuid_answer(&vcpu, leaves[i], 0);

		vcpu.gpr[GPR_RAX] = 0xffffffff00000000ull | leaves[i];
		vcpu.gpr[GPR_RCX] = 0xffffffff00000000ull;
		cpuid_execute(&vcpu);
		assert_true(vcpu.gpr[GPR_RAX] == r.eax && vcpu.gpr[GPR_RBX] == r.ebx &&
			    vcpu.gpr[GPR_RCX] == r.ecx && vcpu.gpr[GPR_RDX] == r.edx);
	}
}

static void an_access_found_to_be_emulated_is_not_looked_up_again(void **state)
{
	create("");
	fault_result = SHADOW_FIXED;
	vcpu.mmio.state = MMIO_FOUND;
	vcpu.mmio.fault = (struct shadow_fault){.gpa = gpa(APIC), .kind = REGION_TRAPPED};
	host_log_quiet = true;
	do_exit(EXIT_PAGE_FAULT, "\x8b\x00", 2); /* MOV EAX, [RAX] */
	host_log_quiet = false;
	assert_true(vcpu.rip == 0x100002 && vcpu.mmio.state == MMIO_NONE);
	do_exit(EXIT_PAGE_FAULT, "\x8b\x00", 2);
	assert_true(vcpu.rip == 0x100002);
}

/* adversarial: 31 */
static void xsetbv_takes_only_legal_combinations(void **state)
{
	static const struct {
		u64 value;
		bool legal;
	} cases[] = {
		{1, true},       {3, true},        {7, true},     {0, false},           {2, false},
		{5, false},      {0xe7, true},     {0x67, false}, {0xe3, false},        {0x207, true},
		{0x60007, true}, {0x20007, false}, {0x1f, false}, {BIT(63) | 1, false},
	};

	create("");
	vcpu.gpr[GPR_RAX] = 7;
	do_exit(EXIT_XSETBV, "\x0f\x01\xd1", 3);
	assert_int_equal(vcpu.inject.vector, VEC_UD);
	assert_int_equal(cr_write_cr4(&vcpu, vcpu.cr4 | CR4_OSXSAVE), 0);
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		xcr0 = 0;
		vcpu.gpr[GPR_RAX] = (u32)cases[i].value;
		vcpu.gpr[GPR_RDX] = cases[i].value >> 32;
		do_exit(EXIT_XSETBV, "\x0f\x01\xd1", 3);
		if ((vcpu.inject.type == EVENT_NONE) != cases[i].legal ||
		    xcr0 != (cases[i].legal ? cases[i].value : 0))
			fail_msg("XCR0 %llx", (unsigned long long)cases[i].value);
	}
	vcpu.cpl = 3;
	do_exit(EXIT_XSETBV, "\x0f\x01\xd1", 3);
	assert_int_equal(vcpu.inject.vector, VEC_GP);
	create("-pku");
	assert_int_equal(cr_write_cr4(&vcpu, vcpu.cr4 | CR4_OSXSAVE), 0);
	vcpu.gpr[GPR_RAX] = 0x207;
	vcpu.gpr[GPR_RDX] = 0;
	do_exit(EXIT_XSETBV, "\x0f\x01\xd1", 3);
	assert_int_equal(vcpu.inject.vector, VEC_GP);
}

/* --- MSRs ---------------------------------------------------------------------------- */

/* adversarial: 31 */
static void every_msr_index_is_survived(void **state)
{
	static const u32 bases[] = {0, 0x40000000, 0xc0000000, 0xc0010000, 0x80000000, 0xffffe000};
	static const u64 values[] = {0, 1, ~0ull, 0x8000000000000000ull, 0x0606060606060606ull};
	u64 value;

	create("");
	host_log_quiet = true;
	for (u32 b = 0; b < ARRAY_SIZE(bases); b++) {
		for (u32 i = 0; i < 0x2000; i++) {
			(void)!msr_guest_read(&vcpu, bases[b] + i, &value);
			for (u32 v = 0; v < ARRAY_SIZE(values); v++)
				(void)!msr_guest_write(&vcpu, bases[b] + i, values[v]);
		}
	}
	host_log_quiet = false;
	assert_true(vcpu.efer & EFER_LMA && !(vcpu.efer & EFER_SVME));
}

static void virtual_msrs_read_as_the_guest_left_them(void **state)
{
	u64 value;

	create("");
	assert_int_equal(msr_guest_write(&vcpu, MSR_PAT, 0x0007040600070401ull), 0);
	assert_true(drops == 1 && paging.pat == 0x0007040600070401ull);
	assert_int_equal(msr_guest_write(&vcpu, MSR_PAT, 0x0007040600070402ull), -EFAULT);
	assert_int_equal(msr_guest_read(&vcpu, MSR_PAT, &value), 0);
	assert_true(value == 0x0007040600070401ull);
	assert_int_equal(msr_guest_read(&vcpu, MSR_VM_CR, &value), 0);
	assert_int_equal(value, 0x18);
	assert_int_equal(msr_guest_read(&vcpu, MSR_VM_HSAVE_PA, &value), -EFAULT);
	assert_int_equal(msr_guest_write(&vcpu, MSR_VM_HSAVE_PA, 0), -EFAULT);
	assert_int_equal(msr_guest_read(&vcpu, MSR_APIC_BASE, &value), 0);
	assert_true(value == (APIC | APIC_BASE_ENABLE | APIC_BASE_BSP));
	host_log_quiet = true;
	written_msrs = 0;
	assert_int_equal(msr_guest_write(&vcpu, MSR_SYSCFG, ~0ull), 0);
	assert_int_equal(msr_guest_write(&vcpu, 0x79, 0), 0);
	assert_int_equal(written_msrs, 0);
	host_log_quiet = false;
}

static void mtrrs_are_the_guests_own_copies(void **state)
{
	u64 value;

	create("");
	assert_int_equal(msr_guest_read(&vcpu, MSR_MTRR_DEF_TYPE, &value), 0);
	assert_int_equal(value, 0xc06);
	assert_int_equal(msr_guest_write(&vcpu, MSR_MTRR_DEF_TYPE, 0xc00), 0);
	assert_int_equal(drops, 1);
	assert_int_equal(msr_guest_write(&vcpu, MSR_MTRR_DEF_TYPE, 0xc02), -EFAULT);
	assert_int_equal(msr_guest_write(&vcpu, MSR_MTRR_DEF_TYPE, 0x1c06), -EFAULT);
	assert_int_equal(msr_guest_write(&vcpu, MSR_MTRR_PHYSBASE0, 0x80000106), -EFAULT);
	assert_int_equal(msr_guest_write(&vcpu, MSR_MTRR_PHYSBASE0, BIT(PHYS_BITS) | 6), -EFAULT);
	assert_int_equal(msr_guest_write(&vcpu, MSR_MTRR_PHYSBASE0 + 2 * 7, 0x80000006), 0);
	assert_int_equal(msr_guest_write(&vcpu, MSR_MTRR_PHYSMASK0, 0x80000800), 0);
	assert_int_equal(msr_guest_write(&vcpu, MSR_MTRR_FIX4K_C0000, 0x0606060606060602ull), -EFAULT);
	assert_int_equal(msr_guest_write(&vcpu, MSR_MTRRCAP, 0), -EFAULT);
}

/* --- CPUID --------------------------------------------------------------------------- */

/* adversarial: 28 */
static void cpuid_hides_what_is_not_virtualised(void **state)
{
	struct cpuid_regs r;

	create("-avx2,rdrand, -no_such_thing");
	r = cpuid_answer(&vcpu, 1, 0);
	assert_true(r.ecx & BIT(31));
	assert_false(r.ecx & (BIT(5) | BIT(17) | BIT(21) | BIT(27) | BIT(30)));
	assert_true(r.edx & BIT(9));
	r = cpuid_answer(&vcpu, 7, 0);
	assert_false(r.ebx & (BIT(5) | BIT(10) | BIT(25)));
	assert_false(r.ecx & (BIT(4) | BIT(7) | BIT(31)));
	assert_false(r.edx & BIT(20));
	assert_false(cpuid_has(&vcpu, 0x80000001, CPUID_ECX, CPUIDE1_ECX_SVM));
	r = cpuid_answer(&vcpu, 0x8000000a, 0);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	r = cpuid_answer(&vcpu, 0xd, 0);
	assert_int_equal(r.eax, 0x602e7);
	vcpu.apic_base &= ~APIC_BASE_ENABLE;
	assert_false(cpuid_has(&vcpu, 1, CPUID_EDX, CPUID1_EDX_APIC));
	assert_false(cpuid_has(&vcpu, 0x80000001, CPUID_EDX, CPUID1_EDX_APIC));
	create("-pku");
	assert_false(cpuid_has(&vcpu, 7, CPUID_ECX, CPUID7_ECX_PKU));
	r = cpuid_answer(&vcpu, 0xd, 0);
	assert_int_equal(r.eax, 0x600e7);
	r = cpuid_answer(&vcpu, 0xd, 9);
	assert_int_equal(r.eax | r.ebx, 0);
}

static void log_is_readable_by_cpuid_from_where_it_is_asked_for(void **state)
{
	struct cpuid_regs r;
	u64 at;

	create("");
	r = cpuid_answer(&vcpu, 0x40000012, 7);
	assert_true(r.eax == 0x23 && r.edx == 1 && r.ebx == LOG_RING_SIZE && r.ecx == 0);
	for (u32 part = 0xffffffff; part; part >>= 3) {
		r = cpuid_answer(&vcpu, 0x40000013, part);
		memcpy(&at, &r, sizeof(at));
		assert_int_equal(at, (u64)part * 16);
		assert_int_equal(((char *)&r)[15], 'x');
	}
	r = cpuid_answer(&vcpu, 0x40000014, 0);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
}

static void counters_are_readable_by_cpuid(void **state)
{
	struct cpuid_regs r;
	char name[64];

	create("");
	vcpu.exits = 0x123456789aull;
	vcpu.exit_count[EXIT_CPUID] = 5;
	r = cpuid_answer(&vcpu, 0x40000000, 0);
	assert_int_equal(r.eax, 0x40000022);
	assert_memory_equal(&r.ebx, "Umbra Shadow", 12);
	r = cpuid_answer(&vcpu, 0x40000001, 0);
	assert_int_equal(r.ebx, 1 + EXIT_KIND_COUNT + SHADOW_STAT_COUNT + 8);
	r = cpuid_answer(&vcpu, 0x40000002, 0);
	strncpy(name, VERSION_TEXT, 16);
	assert_memory_equal(&r, name, 16);
	r = cpuid_answer(&vcpu, 0x40000010, 0);
	assert_true(r.eax == 0x3456789a && r.edx == 0x12);
	r = cpuid_answer(&vcpu, 0x40000010, 1 + EXIT_CPUID);
	assert_int_equal(r.eax, 5);
	r = cpuid_answer(&vcpu, 0x40000010, 1 + EXIT_KIND_COUNT + 3);
	assert_int_equal(r.eax, 1003);
	for (u32 i = 0; i < 4; i++) {
		r = cpuid_answer(&vcpu, 0x40000011, (1 + EXIT_PAGE_FAULT) * 4 + i);
		memcpy(name + 16 * i, &r, 16);
	}
	assert_string_equal(name, "exit_page_fault");
	r = cpuid_answer(&vcpu, 0x40000011, (1 + EXIT_KIND_COUNT) * 4);
	assert_memory_equal(&r, "shadow_walks", 13);
	for (u32 i = 0; i < 3; i++) { /* of the processors */
		r = cpuid_answer(&vcpu, 0x40000010, 1 + EXIT_KIND_COUNT + SHADOW_STAT_COUNT + i);
		assert_int_equal(r.eax, i == 0 ? 4 : i == 1 ? 2 : 1);
	}
	r = cpuid_answer(&vcpu, 0x40000011, (1 + EXIT_KIND_COUNT + SHADOW_STAT_COUNT + 1) * 4);
	assert_memory_equal(&r, "cpu_nmis", 9);
	spin_end(&(struct spin_wait){.pauses = 7}); /* begun at tick 0 */
	for (u32 i = 0; i < 4; i++) {
		r = cpuid_answer(&vcpu, 0x40000010, 1 + EXIT_KIND_COUNT + SHADOW_STAT_COUNT + 3 + i);
		assert_true(i >= 2 ? r.eax || r.edx : r.eax == (i ? 7 : 1));
	}
	r = cpuid_answer(&vcpu, 0x40000011, (1 + EXIT_KIND_COUNT + SHADOW_STAT_COUNT + 4) * 4);
	assert_memory_equal(&r, "spin_pauses", 12);
	vcpu.longest_exit = 123456;
	r = cpuid_answer(&vcpu, 0x40000010, 1 + EXIT_KIND_COUNT + SHADOW_STAT_COUNT + 7);
	assert_int_equal(r.eax, 123456);
	r = cpuid_answer(&vcpu, 0x40000011, (1 + EXIT_KIND_COUNT + SHADOW_STAT_COUNT + 7) * 4);
	assert_memory_equal(&r, "longest_exit", 12);
	r = cpuid_answer(&vcpu, 0x40000010, 1 + EXIT_KIND_COUNT + SHADOW_STAT_COUNT + 8);
	assert_int_equal(r.eax, 0);
	r = cpuid_answer(&vcpu, 0x40000011, ~0u);
	assert_int_equal(r.eax, 0);
	r = cpuid_answer(&vcpu, 0x40000010, ~0u);
	assert_int_equal(r.eax, 0);
}

/* --- events ---------------------------------------------------------------------------- */

static struct vcpu_event event(enum event_type type, u8 vector)
{
	return (struct vcpu_event){.type = type, .vector = vector};
}

/* The second exception during the first: the vector that is delivered. */
static u8 merged(u8 first, u8 second)
{
	vcpu.inject.type = EVENT_NONE;
	vcpu.exit.interrupted = event(EVENT_EXCEPTION, first);
	inject_exception(&vcpu, second, 0x10);
	return vcpu.inject.vector;
}

/* adversarial: 30 */
static void exceptions_merge_as_in_table_6_5(void **state)
{
	static const u8 contributory[] = {VEC_DE, VEC_TS, VEC_NP, VEC_SS, VEC_GP};

	create("");
	host_log_quiet = true;
	for (u32 i = 0; i < ARRAY_SIZE(contributory); i++) {
		for (u32 n = 0; n < ARRAY_SIZE(contributory); n++)
			assert_int_equal(merged(contributory[i], contributory[n]), VEC_DF);
		assert_int_equal(merged(contributory[i], VEC_PF), VEC_PF);
		assert_int_equal(merged(VEC_PF, contributory[i]), VEC_DF);
		assert_int_equal(merged(VEC_UD, contributory[i]), contributory[i]);
		assert_int_equal(merged(contributory[i], VEC_UD), VEC_UD);
		assert_panics(merged(VEC_DF, contributory[i]));
	}
	assert_int_equal(merged(VEC_PF, VEC_PF), VEC_DF);
	assert_true(vcpu.inject.has_error && vcpu.inject.error == 0);
	assert_panics(merged(VEC_DF, VEC_PF));
	host_log_quiet = false;
	assert_int_equal(merged(VEC_DF, VEC_DB), VEC_DB);
}

static void faults_set_the_resume_flag_and_nothing_else_does(void **state)
{
	create("");
	for (u32 vector = 0; vector < 32; vector++) {
		bool fault = vector != VEC_DB && vector != VEC_NMI && vector != VEC_BP && vector != VEC_OF &&
			     vector != VEC_DF && vector != VEC_MC;

		vcpu.rflags = RFLAGS_FIXED;
		assert_int_equal(merged(VEC_UD, (u8)vector), vector);
		assert_int_equal(!!(vcpu.rflags & RFLAGS_RF), fault);
		/* its delivery cut short, and done again */
		vcpu.rflags = RFLAGS_FIXED;
		vcpu.inject.type = EVENT_NONE;
		vcpu.exit.interrupted = event(EVENT_EXCEPTION, (u8)vector);
		inject_finish(&vcpu);
		assert_int_equal(vcpu.inject.vector, vector);
		assert_int_equal(!!(vcpu.rflags & RFLAGS_RF), fault);
	}
	vcpu.rflags = RFLAGS_FIXED;
	vcpu.inject.type = EVENT_NONE;
	vcpu.exit.interrupted = event(EVENT_INTERRUPT, 14);
	inject_finish(&vcpu);
	assert_false(vcpu.rflags & RFLAGS_RF);
}

/* IRET at the end of an NMI handler, and its frame is not in the shadow, or not in the guest's tables either. */
static void nmis_are_blocked_again_if_the_fault_of_an_iret_was_the_shadows(void **state)
{
	static const struct {
		enum shadow_result result;
		bool blocked;
	} cases[] = {{SHADOW_FIXED, true}, {SHADOW_RETRY, true}, {SHADOW_INJECT, false}};

	create("");
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		fault_result = cases[i].result;
		vcpu.nmi_blocked = false; /* as the processor leaves it */
		vcpu.exit.gva = 0x7000;
		vcpu.exit.nmi_unblocked = true;
		do_exit(EXIT_PAGE_FAULT, "", 0);
		assert_int_equal(vcpu.nmi_blocked, cases[i].blocked);
	}
	fault_result = SHADOW_FIXED;
	vcpu.nmi_blocked = vcpu.exit.nmi_unblocked = false;
	do_exit(EXIT_PAGE_FAULT, "", 0);
	assert_false(vcpu.nmi_blocked);
}

/*
 * SDM vol. 3 sections 6.7.1 and 6.15 (#MC): both are the guest's, whatever its IF; a machine check has
 * no error code and waits for nothing; an NMI does not replace what is delivered already.
 */
/* adversarial: 29 */
static void machine_checks_and_nmis_are_the_guests(void **state)
{
	create("");
	vcpu.rflags &= ~(u64)RFLAGS_IF;
	vcpu.exit.interrupted = event(EVENT_NONE, 0);
	do_exit(EXIT_MACHINE_CHECK, "", 0);
	assert_true(vcpu.inject.type == EVENT_EXCEPTION && vcpu.inject.vector == VEC_MC && !vcpu.inject.has_error);
	do_exit(EXIT_NMI, "", 0);
	assert_true(vcpu.inject.type == EVENT_NMI && vcpu.inject.vector == VEC_NMI);
	vcpu.inject = event(EVENT_EXCEPTION, VEC_GP);
	inject_nmi(&vcpu);
	assert_true(vcpu.inject.type == EVENT_EXCEPTION && vcpu.inject.vector == VEC_GP);
}

/* adversarial: 30 */
static void an_interrupted_delivery_is_not_lost(void **state)
{
	create("");
	fault_result = SHADOW_FIXED;
	vcpu.exit.gva = 0x7000;
	vcpu.exit.interrupted = event(EVENT_INTERRUPT, 0xf3);
	do_exit(EXIT_PAGE_FAULT, "", 0);
	assert_true(vcpu.inject.type == EVENT_INTERRUPT && vcpu.inject.vector == 0xf3);
	vcpu.exit.interrupted =
		(struct vcpu_event){.type = EVENT_EXCEPTION, .vector = VEC_PF, .has_error = true, .error = 7};
	do_exit(EXIT_PAGE_FAULT, "", 0);
	assert_true(vcpu.inject.type == EVENT_EXCEPTION && vcpu.inject.error == 7);
	/* INT n runs again by itself. */
	vcpu.exit.interrupted = event(EVENT_SOFT_INTERRUPT, 0x80);
	do_exit(EXIT_PAGE_FAULT, "", 0);
	assert_int_equal(vcpu.inject.type, EVENT_NONE);
	fault_result = SHADOW_INJECT;
	vcpu.exit.error = PF_W;
	do_exit(EXIT_PAGE_FAULT, "", 0);
	assert_true(vcpu.inject.vector == VEC_PF && vcpu.inject.error == PF_W && vcpu.cr2 == 0x7000);
	vcpu.exit.interrupted = event(EVENT_EXCEPTION, VEC_GP);
	do_exit(EXIT_PAGE_FAULT, "", 0);
	assert_int_equal(vcpu.inject.vector, VEC_PF);
	vcpu.exit.interrupted.vector = VEC_PF;
	do_exit(EXIT_PAGE_FAULT, "", 0);
	assert_int_equal(vcpu.inject.vector, VEC_DF);
}

/* --- ports --------------------------------------------------------------------------- */

static u32 port_seen;
static void port_filter(struct vcpu *v, const struct io_access *access, u64 *value)
{
	port_seen = (u32)access->address;
	*value = access->in ? 0x1234abcd : 0x77;
}

/* adversarial: 31 */
static void trapped_ports_reach_their_owner(void **state)
{
	create("");
	assert_int_equal(io_trap(&vcpu, 0x3f8, 8, port_filter), 0);
	vcpu.exit = (struct vcpu_exit){.port = 0x3fd, .io_size = 1, .io_in = true};
	vcpu.gpr[GPR_RAX] = 0x1111111111111111ull;
	do_exit(EXIT_IO, "\xec", 1);
	assert_true(port_seen == 0x3fd && vcpu.gpr[GPR_RAX] == 0x11111111111111cdull);
	vcpu.exit.io_size = 4;
	do_exit(EXIT_IO, "\xed", 1);
	assert_true(vcpu.gpr[GPR_RAX] == 0x1234abcd);
	vcpu.exit = (struct vcpu_exit){.port = 0x400, .io_size = 2};
	do_exit(EXIT_IO, "\x66\xef", 2);
	assert_int_equal(out_value, 0xabcd);
	vcpu.exit =
		(struct vcpu_exit){.port = 0x3f8, .io_size = 1, .io_in = true, .io_string = true, .io_rep = true};
	vcpu.gpr[GPR_RCX] = 2;
	vcpu.gpr[GPR_RDI] = 0x5000;
	vcpu.rip = 0x100000;
	do_exit(EXIT_IO, "\xf3\x6c", 2);
	assert_true(vcpu.rip == 0x100000 && vcpu.gpr[GPR_RCX] == 1 && vcpu.gpr[GPR_RDI] == 0x5001);
	do_exit(EXIT_IO, "\xf3\x6c", 2);
	assert_true(vcpu.rip == 0x100002 && vcpu.gpr[GPR_RCX] == 0);
}

static u32 instead_calls;
static void instead(struct vcpu *v, u16 port, bool in, u8 *byte)
{
	instead_calls++;
	if (in)
		*byte = (u8)(0xa0 + port - 0x2f8);
}

/* Each byte by itself; those beside go to the hardware. */
static void a_port_that_the_guest_has_not_never_reaches_the_hardware(void **state)
{
	create("");
	assert_int_equal(io_trap_instead(&vcpu, 0x2f8, 8, instead), 0);
	vcpu.exit = (struct vcpu_exit){.port = 0x2fd, .io_size = 4, .io_in = true};
	do_exit(EXIT_IO, "\xed", 1);
	assert_int_equal(vcpu.gpr[GPR_RAX], 0xefa7a6a5);
	out_value = 0x55;
	vcpu.exit = (struct vcpu_exit){.port = 0x2f8, .io_size = 2};
	instead_calls = 0;
	do_exit(EXIT_IO, "\x66\xef", 2);
	assert_true(instead_calls == 2 && out_value == 0x55);
}

/* --- further processors ------------------------------------------------------------- */

static struct vcpu *add(u32 cpu, u32 apic_id)
{
	struct vcpu *other = NULL;

	assert_int_equal(guest_add(&vcpu, cpu, apic_id, &other), 0);
	assert_true(other->cpu == cpu && other->vendor == &vendor &&
		    guest_of(other)->shared == guest_of(&vcpu)->shared);
	vcpu_inits = deafens = waits = guests_run = 0;
	return other;
}

static void send(u32 low)
{
	struct processor_set targets;
	u64 to = 1ull << 56;

	assert_int_equal(processors_command(&guest_of(&vcpu)->shared->processors, 0, to | low, &targets),
			 COMMAND_SENT);
	assert_int_equal(targets.word[0], 2);
}

static void each_processor_has_its_place_in_the_table_and_a_root_of_its_own(void **state)
{
	struct vcpu *second, *third;

	create("");
	assert_false(vcpu.several);
	second = add(3, 1);
	third = add(5, 2);
	assert_true(vcpu.id == 0 && second->id == 1 && third->id == 2);
	assert_true(vcpu.several && second->several && third->several);
	assert_ptr_equal(guest_of(&vcpu)->shared->vcpu[0], &vcpu);
	assert_ptr_equal(guest_of(&vcpu)->shared->vcpu[2], third);
	assert_int_equal(guest_of(second)->pdpt.v - guest_of(&vcpu)->pdpt.v, SHADOW_PDPT_BYTES);
	assert_int_equal(guest_of(third)->pdpt.v - guest_of(second)->pdpt.v, SHADOW_PDPT_BYTES);
}

/* adversarial: 29 */
static void what_is_no_init_starts_no_processor_that_is_off(void **state)
{
	struct vcpu *other;

	create("");
	other = add(3, 1);
	guest_run_other(other); /* a kick without a request */
	send(0x400);
	guest_run_other(other);
	send(0x607);
	guest_run_other(other);
	send(0x400);
	send(0x607);
	guest_run_other(other);
	assert_true(vcpu_inits == 0 && deafens == 0 && waits == 0 && guests_run == 0);
	assert_int_equal(processors_state(&guest_of(&vcpu)->shared->processors, 1), PROCESSOR_OFF);
}

/* Whether the start-up message comes in time to be seen with the INIT or not; NMIs wait from the first look on (GIF). */
static void an_init_and_a_startup_message_start_it(void **state)
{
	for (volatile u32 together = 0; together < 2; together++) {
		struct vcpu *other;

		create("");
		other = add(3, 1);
		send(0x500);
		if (together)
			send(0x607);
		assert_panics(guest_run_other(other));
		assert_string_equal(host_panic_message, "CPU 1 runs");
		assert_true(vcpu_inits == 1 && guests_run == 1 && waits == !together);
		assert_int_equal(deafens, 1);
		assert_true(other->rip == 0 && other->cr0 == CR0_ET && cs.selector == 0x700 && cs.base == 0x7000);
		assert_int_equal(processors_state(&guest_of(&vcpu)->shared->processors, 1), PROCESSOR_RUNS);
		assert_int_equal(other->inject.type, EVENT_NONE);
	}
}

/* It waits then, and starts as behind any INIT. Where the hardware keeps an INIT that has exited, the machine is reset. */
/* adversarial: 29 */
static void an_init_of_a_device_resets_one_of_several_processors_alone(void **state)
{
	static struct vendor other_vendor;

	for (volatile u32 once = 0; once < 2; once++) {
		struct vcpu *other;

		create("");
		other = add(3, 1);
		send(0x500);
		send(0x607);
		assert_panics(guest_run_other(other));
		other_vendor = vendor;
		other_vendor.init_exits_once = once;
		other->vendor = &other_vendor;
		other->mmu = (struct shadow_mmu *)&(struct { struct shadow_mmu_head mmu; }){{.flush_owed = 0}};
		other->next_audit = ~0ull;
		other->root = cr3_of_hardware = hpa(0x9000);
		other->rip = 0x1234;
		other->exit = (struct vcpu_exit){.kind = EXIT_INIT};
		waits = 0;
		host_log_quiet = true;
		if (once) {
			guest_exit(other);
			assert_int_equal(waits, 1); /* in which the fake sends a start-up message */
			assert_true(other->rip == 0 && cs.selector == 0x700);
			assert_int_equal(processors_state(&guest_of(&vcpu)->shared->processors, 1), PROCESSOR_RUNS);
			assert_int_equal(processors_state(&guest_of(&vcpu)->shared->processors, 0), PROCESSOR_RUNS);
		} else {
			assert_panics(guest_exit(other));
			assert_string_equal(host_panic_message, "machine reset");
		}
		host_log_quiet = false;
	}
}

static void without_memory_there_are_no_more_processors_and_those_before_are_whole(void **state)
{
	static struct guest_config config = {.vendor = &vendor, .start = &start};
	struct vcpu *other = NULL;

	for (u32 n = 1; n <= 3; n++) { /* what is shared, what is its own, its root */
		vcpu = (struct vcpu){0};
		taken = 0;
		take_fails_at = n;
		heap_is_empty = n == 3;
		assert_int_equal(guest_create(&vcpu, &config, 0), -ENOMEM);
	}
	take_fails_at = heap_is_empty = 0;
	create("");
	for (u32 n = 1; n <= 4; n++) { /* twice memory, the vendor's, a place in the table */
		u32 *count = &guest_of(&vcpu)->shared->processors.count;

		take_fails_at = n <= 2 ? n : 0;
		vcpu_alloc_fails = n == 3;
		*count = n == 4 ? PROCESSORS_MAX : 1;
		assert_int_equal(guest_add(&vcpu, 3, 1, &other), n == 4 ? -ENOSPC : -ENOMEM);
		assert_int_equal(*count, n == 4 ? PROCESSORS_MAX : 1);
		assert_true(!vcpu.several && !other);
		*count = 1;
	}
	assert_int_equal(add(3, 1)->id, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_guest_starts_in_long_mode),
		cmocka_unit_test(the_vendor_may_hold_the_guest_to_one_processor),
		cmocka_unit_test(a_16_bit_task_keeps_paging_off_under_lme),
		cmocka_unit_test(a_stopped_guest_lets_smis_through),
		cmocka_unit_test(reads_are_answered_with_the_guests_own_registers),
		cmocka_unit_test(a_guest_on_tables_of_its_own_is_stopped),
		cmocka_unit_test(an_init_resets_the_machine_unless_another_processor_panicked),
		cmocka_unit_test(illegal_cr0_values_are_refused),
		cmocka_unit_test(write_protect_change_is_no_flush_but_a_new_role),
		cmocka_unit_test(long_mode_is_entered_and_left_by_the_book),
		cmocka_unit_test(cr4_follows_cpuid),
		cmocka_unit_test(cr3_reserved_bits_are_refused_in_long_mode),
		cmocka_unit_test(a_large_flush_is_executed_again),
		cmocka_unit_test(pdptes_load_at_the_right_moments),
		cmocka_unit_test(efer_keeps_svm_and_reserved_bits_out),
		cmocka_unit_test(exits_without_decode_assists_are_decoded),
		cmocka_unit_test(invpcid_is_undefined_in_every_mode),
		cmocka_unit_test(the_fast_path_does_the_same_or_nothing),
		cmocka_unit_test(cpuid_answers_alike_on_registers),
		cmocka_unit_test(an_access_found_to_be_emulated_is_not_looked_up_again),
		cmocka_unit_test(xsetbv_takes_only_legal_combinations),
		cmocka_unit_test(every_msr_index_is_survived),
		cmocka_unit_test(virtual_msrs_read_as_the_guest_left_them),
		cmocka_unit_test(mtrrs_are_the_guests_own_copies),
		cmocka_unit_test(cpuid_hides_what_is_not_virtualised),
		cmocka_unit_test(counters_are_readable_by_cpuid),
		cmocka_unit_test(log_is_readable_by_cpuid_from_where_it_is_asked_for),
		cmocka_unit_test(exceptions_merge_as_in_table_6_5),
		cmocka_unit_test(machine_checks_and_nmis_are_the_guests),
		cmocka_unit_test(faults_set_the_resume_flag_and_nothing_else_does),
		cmocka_unit_test(nmis_are_blocked_again_if_the_fault_of_an_iret_was_the_shadows),
		cmocka_unit_test(an_interrupted_delivery_is_not_lost),
		cmocka_unit_test(trapped_ports_reach_their_owner),
		cmocka_unit_test(a_port_that_the_guest_has_not_never_reaches_the_hardware),
		cmocka_unit_test(each_processor_has_its_place_in_the_table_and_a_root_of_its_own),
		cmocka_unit_test(what_is_no_init_starts_no_processor_that_is_off),
		cmocka_unit_test(an_init_and_a_startup_message_start_it),
		cmocka_unit_test(an_init_of_a_device_resets_one_of_several_processors_alone),
		cmocka_unit_test(without_memory_there_are_no_more_processors_and_those_before_are_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
