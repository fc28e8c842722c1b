/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hardware task switches over a fake vendor and flat guest memory: what is saved,
 * what is loaded, the busy and nested flags of JMP, CALL, IRET and gates, 16- and
 * 32-bit task-state segments, and every exception of SDM vol. 3 table 7-1 with the
 * task in which it comes.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/emulate_stack.h"
#include "arch/x86/guest/stop.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/task.h"
#include "arch/x86/vendor.h"
#include "tests/unit/no_runs.h"

/* --- the fake machine ---------------------------------------------------------------- */

#define MEMORY 0x8000u
#define GDT 0x1000u
#define LDT 0x1800u
#define OLD_TSS 0x2000u
#define NEW_TSS 0x3000u
#define NARROW_TSS 0x4000u
#define STACK 0x6000u

enum {
	SEL_CODE = 0x08,
	SEL_DATA = 0x10,
	SEL_OLD = 0x18,
	SEL_NEW = 0x20,
	SEL_NARROW = 0x28,
	SEL_LDT = 0x30,
	SEL_CODE3 = 0x38,
	SEL_DATA3 = 0x40,
	SEL_CONFORMING = 0x48,
	SEL_EXEC_ONLY = 0x50,
	SEL_BAD = 0x58,
	SEL_OLD_NARROW = 0x60,
	SEL_END = 0x68,
};

static u8 memory[MEMORY];
static struct segment segment[SEG_COUNT];
static u64 dr7;
static struct vcpu vcpu;
static struct guest guest;
static u64 new_cr3;
static int cr3_result;
static u32 cr3_writes, updates, pushes, push_size;
static u64 pushed;
static gva_t no_write; /* a page that cannot be written */
static bool shut_down;

static void get_segment(const struct vcpu *v, enum segment_name which, struct segment *out)
{
	*out = segment[which];
}
static void set_segment(struct vcpu *v, enum segment_name which, const struct segment *in)
{
	segment[which] = *in;
}
static void update_control(struct vcpu *v)
{
	updates++;
}
static u64 get_dr7(const struct vcpu *v)
{
	return dr7;
}
static void set_dr7(struct vcpu *v, u64 value)
{
	dr7 = value;
}
static u64 debugctl;
static bool get_msr(const struct vcpu *v, u32 msr, u64 *value)
{
	*value = debugctl;
	return msr == MSR_DEBUGCTL;
}
static bool set_msr(struct vcpu *v, u32 msr, u64 value)
{
	debugctl = msr == MSR_DEBUGCTL ? value : debugctl;
	return msr == MSR_DEBUGCTL;
}
u64 hw_read_dr(u32 n)
{
	return 0;
}
void hw_write_dr(u32 n, u64 value) {}
/* IA32_DEBUGCTL is the backend's. */
int hw_msr_read(u32 msr, u64 *value)
{
	return -EFAULT;
}
int hw_msr_write(u32 msr, u64 value)
{
	return -EFAULT;
}
static const struct vendor vendor = {
	.get_segment = get_segment,
	.set_segment = set_segment,
	.update_control = update_control,
	.get_dr7 = get_dr7,
	.set_dr7 = set_dr7,
	.get_msr = get_msr,
	.set_msr = set_msr,
};

static int access_memory(gva_t gva, u32 len, bool write, gva_t *fault_gva, u32 *error)
{
	if (gva + len <= MEMORY && !(write && no_write && (gva & PAGE_MASK) == no_write))
		return 0;
	*fault_gva = gva;
	*error = write ? 2 : 0;
	return -EFAULT;
}
int shadow_read_guest(struct shadow_mmu *mmu, gva_t gva, void *buf, u32 len, struct gpt_access access,
		      gva_t *fault_gva, u32 *error)
{
	int err = access_memory(gva, len, false, fault_gva, error);

	assert_true(access.implicit && !access.user && !access.write);
	if (!err)
		memcpy(buf, memory + gva, len);
	return err;
}
int shadow_write_guest(struct shadow_mmu *mmu, gva_t gva, const void *buf, u32 len, struct gpt_access access,
		       gva_t *fault_gva, u32 *error)
{
	int err = access_memory(gva, len, true, fault_gva, error);

	assert_true(access.implicit && !access.user && access.write);
	if (!err)
		memcpy(memory + gva, buf, len);
	return err;
}

int shadow_exchange_guest(struct shadow_mmu *mmu, gva_t gva, const void *expected, const void *value, u32 len,
			  struct gpt_access access, gva_t *fault_gva, u32 *error)
{
	return shadow_write_guest(mmu, gva, value, len, access, fault_gva, error);
}
bool shadow_find_ram(struct shadow_mmu *mmu, gfn_t gfn, struct shadow_ram *ram)
{
	return false;
}
void shadow_push_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram, u32 end, const u64 *values, u32 size,
		     u32 count)
{
	fail();
}

enum gpt_status shadow_translate(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access, struct gpt_walk *walk)
{
	gva_t ignored;

	return access_memory(gva, 1, access.write, &ignored, &walk->error) ? GPT_FAULT : GPT_OK;
}
int cr_write_cr3(struct vcpu *v, u64 value)
{
	cr3_writes++;
	new_cr3 = value;
	return cr3_result;
}
int emu_push_value(struct emu *e, u32 size, u64 value)
{
	pushes++;
	push_size = size;
	pushed = value;
	return 0;
}
u32 insn_code_bits(const struct vcpu *v)
{
	return 32;
}
int insn_fetch(struct vcpu *v, struct insn *insn)
{
	insn->len = 7;
	return 0;
}
NORETURN void guest_shutdown(struct vcpu *v)
{
	shut_down = true;
	panic("shutdown");
}

static void put_descriptor(u32 selector, u64 base, u32 limit, u32 attributes)
{
	u64 raw = (limit & 0xffff) | (base & 0xffffff) << 16 | (u64)(attributes & 0xff) << 40 |
		  (u64)(limit >> 16 & 0xf) << 48 | (u64)(attributes >> 12 & 0xf) << 52 | base >> 24 << 56;

	memcpy(memory + GDT + selector, &raw, sizeof(raw));
}

static u8 access_byte(u32 selector)
{
	return memory[GDT + (selector & ~7u) + 5];
}
static u32 word(u32 at)
{
	u32 v;
	memcpy(&v, memory + at, 4);
	return v;
}
static u16 half(u32 at)
{
	u16 v;
	memcpy(&v, memory + at, 2);
	return v;
}
static void put(u32 at, u32 v)
{
	memcpy(memory + at, &v, 4);
}
static void put16(u32 at, u16 v)
{
	memcpy(memory + at, &v, 2);
}

static void fill_new_tss(void)
{
	put(NEW_TSS + 0x1c, 0x7000); /* CR3 */
	put(NEW_TSS + 0x20, 0x1234); /* EIP */
	put(NEW_TSS + 0x24, RFLAGS_FIXED | RFLAGS_IF);
	for (u32 i = 0; i < 8; i++)
		put(NEW_TSS + 0x28 + 4 * i, 0xa0000000 + i);
	for (u32 i = 0; i < 6; i++)
		put(NEW_TSS + 0x48 + 4 * i, i == SEG_CS ? SEL_CODE : SEL_DATA);
	put(NEW_TSS + 0x60, SEL_LDT);
	put16(NARROW_TSS + 0xe, 0x5678);
	put16(NARROW_TSS + 0x10, RFLAGS_FIXED);
	for (u32 i = 0; i < 8; i++)
		put16(NARROW_TSS + 0x12 + 2 * i, (u16)(0xb0 + i));
	for (u32 i = 0; i < 4; i++)
		put16(NARROW_TSS + 0x22 + 2 * i, i == SEG_CS ? SEL_CODE : SEL_DATA);
}

static int fresh(void **state)
{
	memset(memory, 0, sizeof(memory));
	put_descriptor(SEL_CODE, 0, 0xfffff, 0xc09b);
	put_descriptor(SEL_DATA, 0, 0xfffff, 0xc092); /* not accessed yet */
	put_descriptor(SEL_OLD, OLD_TSS, 0x67, 0x8b);
	put_descriptor(SEL_NEW, NEW_TSS, 0x67, 0x89);
	put_descriptor(SEL_NARROW, NARROW_TSS, 0x2b, 0x81);
	put_descriptor(SEL_LDT, LDT, 0x17, 0x82);
	put_descriptor(SEL_CODE3, 0, 0xfffff, 0xc0fb);
	put_descriptor(SEL_DATA3, 0, 0xfffff, 0xc0f3);
	put_descriptor(SEL_CONFORMING, 0, 0xfffff, 0xc09f);
	put_descriptor(SEL_EXEC_ONLY, 0, 0xfffff, 0xc099);
	put_descriptor(SEL_OLD_NARROW, OLD_TSS, 0x2b, 0x83);
	fill_new_tss();
	memset(segment, 0, sizeof(segment));
	for (u32 i = 0; i < 6; i++)
		segment[i] = (struct segment){.selector = (u16)(0x100 + i), .attributes = 0xc093, .limit = ~0u};
	segment[SEG_TR] = (struct segment){.selector = SEL_OLD, .base = OLD_TSS, .limit = 0x67, .attributes = 0x8b};
	segment[SEG_GDTR] = (struct segment){.base = GDT, .limit = SEL_END - 1};
	vcpu = (struct vcpu){
		.vendor = &vendor,
		.guest = &guest,
		.rip = 0x400,
		.rflags = RFLAGS_FIXED | RFLAGS_AC,
		.cr0 = CR0_PE | CR0_PG,
		.exit = {.kind = EXIT_TASK_SWITCH, .task_selector = SEL_NEW, .insn_len = 7},
	};
	for (u32 i = 0; i < 8; i++)
		vcpu.gpr[i] = 0xc0000000 + i;
	dr7 = 0x7ff;
	cr3_result = 0;
	cr3_writes = updates = pushes = 0;
	no_write = 0;
	shut_down = false;
	return 0;
}

static void switch_by(enum task_source source)
{
	vcpu.exit.task_source = source;
	task_handle_switch(&vcpu);
}

static void by_gate(u8 type, u8 vector, bool has_error, u32 error)
{
	vcpu.exit.insn_len = 0;
	vcpu.exit.interrupted =
		(struct vcpu_event){.type = type, .vector = vector, .has_error = has_error, .error = error};
	switch_by(TASK_GATE);
}

/* --- tests: the switch itself -------------------------------------------------------------- */

static void check_saved(u32 eip, u32 eflags)
{
	assert_int_equal(word(OLD_TSS + 0x20), eip);
	assert_int_equal(word(OLD_TSS + 0x24), eflags);
	for (u32 i = 0; i < 8; i++)
		assert_int_equal(word(OLD_TSS + 0x28 + 4 * i), 0xc0000000 + i);
	for (u32 i = 0; i < 6; i++)
		assert_int_equal(word(OLD_TSS + 0x48 + 4 * i), 0x100 + i);
	for (u32 i = 0; i < 0x20; i++) /* and nothing else */
		assert_int_equal(memory[OLD_TSS + i], 0);
	assert_int_equal(word(OLD_TSS + 0x60), 0);
}

static void check_loaded(u64 rflags)
{
	assert_true(vcpu.rip == 0x1234 && vcpu.rflags == rflags && vcpu.cpl == 0);
	for (u32 i = 0; i < 8; i++)
		assert_int_equal(vcpu.gpr[i], 0xa0000000 + i);
	for (u32 i = 0; i < 6; i++) {
		assert_int_equal(segment[i].selector, i == SEG_CS ? SEL_CODE : SEL_DATA);
		assert_int_equal(segment[i].attributes, i == SEG_CS ? 0xc09b : 0xc093);
		assert_int_equal(segment[i].limit, ~0u);
	}
	assert_true(segment[SEG_LDTR].selector == SEL_LDT && segment[SEG_LDTR].base == LDT &&
		    segment[SEG_LDTR].limit == 0x17);
	assert_true(segment[SEG_TR].selector == SEL_NEW && segment[SEG_TR].base == NEW_TSS &&
		    segment[SEG_TR].attributes == 0x8b);
	assert_true(vcpu.cr0 & CR0_TS && updates > 0);
	assert_int_equal(dr7, 0x7ff & ~0x155u);
	assert_int_equal(access_byte(SEL_DATA) & 1, 1);
	assert_true(cr3_writes == 1 && new_cr3 == 0x7000);
	assert_int_equal(vcpu.inject.type, EVENT_NONE);
}

static void jmp_frees_the_old_task(void **state)
{
	switch_by(TASK_JUMP);
	check_saved(0x407, RFLAGS_FIXED | RFLAGS_AC);
	check_loaded(RFLAGS_FIXED | RFLAGS_IF);
	assert_true(access_byte(SEL_OLD) == 0x89 && access_byte(SEL_NEW) == 0x8b);
	assert_int_equal(half(NEW_TSS), 0);
}

static void call_nests(void **state)
{
	switch_by(TASK_CALL);
	check_saved(0x407, RFLAGS_FIXED | RFLAGS_AC);
	check_loaded(RFLAGS_FIXED | RFLAGS_IF | RFLAGS_NT);
	assert_true(access_byte(SEL_OLD) == 0x8b && access_byte(SEL_NEW) == 0x8b);
	assert_int_equal(half(NEW_TSS), SEL_OLD);
}

static void iret_goes_back(void **state)
{
	put_descriptor(SEL_NEW, NEW_TSS, 0x67, 0x8b);
	put16(NEW_TSS, 0x4444);
	vcpu.rflags |= RFLAGS_NT;
	vcpu.nmi_blocked = true;
	switch_by(TASK_IRET);
	check_saved(0x407, RFLAGS_FIXED | RFLAGS_AC); /* NT is gone */
	check_loaded(RFLAGS_FIXED | RFLAGS_IF);
	assert_true(access_byte(SEL_OLD) == 0x89 && access_byte(SEL_NEW) == 0x8b);
	assert_int_equal(half(NEW_TSS), 0x4444);
	assert_false(vcpu.nmi_blocked);
}

static void a_fault_through_a_gate_pushes_its_error_code(void **state)
{
	vcpu.exit.task_rf = true;
	by_gate(EVENT_EXCEPTION, VEC_DF, true, 0);
	check_saved(0x400, RFLAGS_FIXED | RFLAGS_AC | RFLAGS_RF);
	check_loaded(RFLAGS_FIXED | RFLAGS_IF | RFLAGS_NT);
	assert_true(pushes == 1 && push_size == 4 && pushed == 0);
	assert_int_equal(vcpu.exit.interrupted.type, EVENT_NONE);
}

static void interrupts_return_where_they_came_and_software_ones_behind(void **state)
{
	by_gate(EVENT_INTERRUPT, 0x30, false, 0);
	check_saved(0x400, RFLAGS_FIXED | RFLAGS_AC);
	assert_int_equal(pushes, 0);
	fresh(NULL);
	by_gate(EVENT_SOFT_INTERRUPT, 0x30, false, 0); /* its length is decoded */
	check_saved(0x407, RFLAGS_FIXED | RFLAGS_AC);
	fresh(NULL);
	by_gate(EVENT_NMI, VEC_NMI, false, 0);
	assert_true(vcpu.nmi_blocked);
}

static void a_16_bit_task_has_16_bit_state(void **state)
{
	vcpu.exit.task_selector = SEL_NARROW;
	switch_by(TASK_CALL);
	check_saved(0x407, RFLAGS_FIXED | RFLAGS_AC);
	assert_true(vcpu.rip == 0x5678 && vcpu.gpr[3] == 0xffff00b3 && cr3_writes == 0);
	assert_true(segment[SEG_FS].attributes & SEG_ATTR_UNUSABLE && segment[SEG_GS].attributes & SEG_ATTR_UNUSABLE);
	assert_int_equal(half(NARROW_TSS), SEL_OLD);
	assert_int_equal(access_byte(SEL_NARROW), 0x83);
	/* and from there back to a 32-bit one */
	segment[SEG_TR] =
		(struct segment){.selector = SEL_OLD_NARROW, .base = OLD_TSS, .limit = 0x2b, .attributes = 0x83};
	memset(memory + OLD_TSS, 0, 0x68);
	vcpu.exit.task_selector = SEL_NEW;
	vcpu.inject.type = EVENT_NONE;
	switch_by(TASK_JUMP);
	assert_true(half(OLD_TSS + 0xe) == 0x567f && half(OLD_TSS + 0x12 + 2 * 3) == 0xb3 &&
		    half(OLD_TSS + 0x24) == SEL_CODE);
	assert_true(half(OLD_TSS + 0x2a) == 0 && half(OLD_TSS + 0x2c) == 0);
	assert_int_equal(access_byte(SEL_OLD_NARROW), 0x81);
}

static void with_paging_off_cr3_stays(void **state)
{
	vcpu.cr0 = CR0_PE;
	switch_by(TASK_JUMP);
	assert_int_equal(cr3_writes, 0);
	assert_int_equal(vcpu.rip, 0x1234);
}

static void the_trap_flag_of_a_task_is_a_debug_exception_in_it(void **state)
{
	put16(NEW_TSS + 0x64, 1);
	dr7 = DR7_GD | 0x400;
	debugctl = DEBUGCTL_LBR | DEBUGCTL_BTF | BIT(6);
	switch_by(TASK_JUMP);
	assert_int_equal(dr7, 0x400);
	assert_int_equal(debugctl, BIT(6));
	debugctl = 0;
	assert_true(vcpu.inject.type == EVENT_EXCEPTION && vcpu.inject.vector == VEC_DB && vcpu.dr6_set == DR6_BT);
	assert_int_equal(vcpu.rip, 0x1234);
}

static void a_virtual_8086_task_has_segments_by_their_selectors(void **state)
{
	put(NEW_TSS + 0x24, RFLAGS_FIXED | RFLAGS_VM);
	put(NEW_TSS + 0x48 + 4 * SEG_CS, 0xf000);
	switch_by(TASK_CALL);
	assert_int_equal(vcpu.cpl, 3);
	assert_true(segment[SEG_CS].base == 0xf0000 && segment[SEG_CS].limit == 0xffff &&
		    segment[SEG_CS].attributes == 0xf3);
	assert_true(segment[SEG_GS].base == SEL_DATA << 4 && segment[SEG_GS].attributes == 0xf3);
	/* Also if its LDT faults before the segments' turn comes: an entry needs them so. */
	fresh(NULL);
	put(NEW_TSS + 0x24, RFLAGS_FIXED | RFLAGS_VM);
	put(NEW_TSS + 0x60, SEL_DATA);
	switch_by(TASK_CALL);
	assert_int_equal(vcpu.inject.vector, VEC_TS);
	for (u32 i = 0; i < 6; i++)
		assert_true(segment[i].base == (u64)segment[i].selector << 4 && segment[i].attributes == 0xf3);
}

static void a_user_task(void **state)
{
	put(NEW_TSS + 0x48 + 4 * SEG_CS, SEL_CODE3 | 3);
	put(NEW_TSS + 0x48 + 4 * SEG_SS, SEL_DATA3 | 3);
	for (u32 i = SEG_DS; i < 6; i++)
		put(NEW_TSS + 0x48 + 4 * i, SEL_DATA3 | 3);
	put(NEW_TSS + 0x48 + 4 * SEG_ES, 0);
	switch_by(TASK_JUMP);
	assert_true(vcpu.cpl == 3 && vcpu.inject.type == EVENT_NONE &&
		    segment[SEG_ES].attributes & SEG_ATTR_UNUSABLE);
}

/* --- tests: what goes wrong ---------------------------------------------------------------- */

static void expect(u8 vector, u32 error)
{
	assert_true(vcpu.inject.type == EVENT_EXCEPTION);
	assert_int_equal(vcpu.inject.vector, vector);
	assert_int_equal(vcpu.inject.error, error);
}

/* Nothing of the switch has happened. */
static void expect_old(u8 vector, u32 error)
{
	expect(vector, error);
	assert_true(vcpu.rip == 0x400 && vcpu.gpr[0] == 0xc0000000 && segment[SEG_TR].selector == SEL_OLD);
	assert_int_equal(word(OLD_TSS + 0x20), 0);
	assert_true(access_byte(SEL_OLD) == 0x8b && !(vcpu.cr0 & CR0_TS));
}

static void a_descriptor_that_cannot_be_the_new_task(void **state)
{
	static const struct {
		u16 selector;
		u32 attributes, limit;
		u8 source, vector;
	} bad[] = {
		{0, 0x89, 0x67, TASK_JUMP, VEC_GP},           {SEL_END, 0x89, 0x67, TASK_JUMP, VEC_GP},
		{SEL_NEW | 4, 0x89, 0x67, TASK_CALL, VEC_GP}, {SEL_NEW | 4, 0x8b, 0x67, TASK_IRET, VEC_TS},
		{SEL_NEW, 0x8b, 0x67, TASK_JUMP, VEC_GP},     {SEL_NEW, 0x8b, 0x67, TASK_CALL, VEC_GP},
		{SEL_NEW, 0x89, 0x67, TASK_IRET, VEC_TS},     {SEL_NEW, 0x93, 0x67, TASK_JUMP, VEC_GP},
		{SEL_NEW, 0x82, 0x67, TASK_JUMP, VEC_GP},     {SEL_NEW, 0x8c, 0x67, TASK_CALL, VEC_GP},
		{SEL_NEW, 0x09, 0x67, TASK_JUMP, VEC_NP},     {SEL_NEW, 0x89, 0x66, TASK_JUMP, VEC_TS},
		{SEL_NEW, 0x81, 0x2a, TASK_CALL, VEC_TS},
	};

	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		fresh(NULL);
		put_descriptor(SEL_NEW, NEW_TSS, bad[i].limit, bad[i].attributes);
		vcpu.exit.task_selector = bad[i].selector;
		switch_by(bad[i].source);
		expect_old(bad[i].vector, bad[i].selector & ~3u);
	}
}

static void memory_that_cannot_be_written_faults_in_the_old_task(void **state)
{
	static const struct {
		gva_t page, fault;
		u8 source;
	} bad[] = {
		{OLD_TSS, OLD_TSS + 0x20, TASK_JUMP},
		{NEW_TSS, NEW_TSS, TASK_CALL},
		{GDT, GDT + SEL_OLD, TASK_JUMP},
		{GDT, GDT + SEL_NEW, TASK_CALL},
	};

	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		fresh(NULL);
		no_write = bad[i].page;
		switch_by(bad[i].source);
		expect_old(VEC_PF, 2);
		assert_int_equal(vcpu.cr2, bad[i].fault);
	}
	fresh(NULL);
	put_descriptor(SEL_NEW, MEMORY - 0x10, 0x67, 0x89); /* its end is not there */
	switch_by(TASK_JUMP);
	expect_old(VEC_PF, 0);
}

/* Table 7-1: the field of the new TSS, its value, the exception in the new task. */
static void segments_that_cannot_be_loaded_fault_in_the_new_task(void **state)
{
	static const struct {
		u32 field;
		u16 value;
		u32 attributes;
		u8 vector;
	} bad[] = {
		{0x60, SEL_DATA, 0, VEC_TS},
		{0x60, SEL_LDT | 4, 0, VEC_TS},
		{0x60, SEL_END, 0, VEC_TS},
		{0x60, SEL_BAD, 0x02, VEC_TS},
		{0x4c, 0, 0, VEC_TS},
		{0x4c, SEL_DATA, 0, VEC_TS},
		{0x4c, SEL_CODE3, 0, VEC_TS},
		{0x4c, SEL_BAD, 0xc01b, VEC_NP},
		{0x4c, SEL_END, 0, VEC_TS},
		{0x4c, SEL_LDT, 0, VEC_TS},
		{0x50, 0, 0, VEC_TS},
		{0x50, SEL_CODE, 0, VEC_TS},
		{0x50, SEL_DATA | 3, 0, VEC_TS},
		{0x50, SEL_DATA3, 0, VEC_TS},
		{0x50, SEL_BAD, 0xc013, VEC_SS},
		{0x50, SEL_BAD, 0xc091, VEC_TS},
		{0x54, SEL_EXEC_ONLY, 0, VEC_TS},
		{0x54, SEL_LDT, 0, VEC_TS},
		{0x54, SEL_BAD, 0xc013, VEC_NP},
		{0x48, SEL_DATA | 3, 0, VEC_TS},
		{0x58, SEL_END, 0, VEC_TS},
		{0x5c, SEL_BAD, 0, VEC_TS},
	};

	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		fresh(NULL);
		put_descriptor(SEL_BAD, 0, 0xfffff, bad[i].attributes);
		put(NEW_TSS + bad[i].field, bad[i].value);
		switch_by(TASK_JUMP);
		expect(bad[i].vector, bad[i].value & ~3u);
		assert_true(vcpu.rip == 0x1234 && segment[SEG_TR].selector == SEL_NEW && vcpu.gpr[0] == 0xa0000000);
		check_saved(0x407, RFLAGS_FIXED | RFLAGS_AC);
		/* fit for an entry: code that may run, a stack of its privilege */
		assert_true(segment[SEG_CS].attributes & BIT(3) && segment[SEG_CS].attributes & BIT(7));
		assert_int_equal(segment[SEG_SS].selector & 3, segment[SEG_CS].selector & 3);
	}
}

static void what_table_7_1_allows_is_loaded(void **state)
{
	static const struct {
		u32 field;
		u16 value;
	} good[] = {
		{0x4c, SEL_CONFORMING}, {0x54, SEL_CONFORMING}, {0x54, 0}, {0x54, 3}, {0x58, SEL_CODE}, {0x60, 0},
		{0x48, SEL_DATA3},
	};

	for (u32 i = 0; i < ARRAY_SIZE(good); i++) {
		fresh(NULL);
		put(NEW_TSS + good[i].field, good[i].value);
		switch_by(TASK_JUMP);
		assert_int_equal(vcpu.inject.type, EVENT_NONE);
	}
}

static void an_external_event_marks_the_error_code(void **state)
{
	put(NEW_TSS + 0x54, SEL_END);
	by_gate(EVENT_INTERRUPT, 0x30, false, 0);
	expect(VEC_TS, SEL_END | 1);
	fresh(NULL);
	put(NEW_TSS + 0x54, SEL_END);
	by_gate(EVENT_EXCEPTION, VEC_GP, true, 0); /* contributory twice */
	expect(VEC_DF, 0);
	fresh(NULL);
	put(NEW_TSS + 0x54, SEL_END);
	assert_panics(by_gate(EVENT_EXCEPTION, VEC_DF, true, 0));
	assert_true(shut_down);
}

static void eip_beyond_cs_and_bad_pdptes_are_the_new_tasks_faults(void **state)
{
	put_descriptor(SEL_CODE, 0, 0x1000, 0x409b);
	switch_by(TASK_JUMP);
	expect(VEC_GP, 0);
	assert_int_equal(vcpu.rip, 0x1234);
	fresh(NULL);
	cr3_result = -EINVAL;
	switch_by(TASK_JUMP);
	expect(VEC_GP, 0);
	assert_int_equal(vcpu.rip, 0x1234);
}

static void long_mode_has_none(void **state)
{
	vcpu.efer = EFER_LMA;
	switch_by(TASK_JUMP);
	expect_old(VEC_GP, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(jmp_frees_the_old_task, fresh),
		cmocka_unit_test_setup(call_nests, fresh),
		cmocka_unit_test_setup(iret_goes_back, fresh),
		cmocka_unit_test_setup(a_fault_through_a_gate_pushes_its_error_code, fresh),
		cmocka_unit_test_setup(interrupts_return_where_they_came_and_software_ones_behind, fresh),
		cmocka_unit_test_setup(a_16_bit_task_has_16_bit_state, fresh),
		cmocka_unit_test_setup(with_paging_off_cr3_stays, fresh),
		cmocka_unit_test_setup(the_trap_flag_of_a_task_is_a_debug_exception_in_it, fresh),
		cmocka_unit_test_setup(a_virtual_8086_task_has_segments_by_their_selectors, fresh),
		cmocka_unit_test_setup(a_user_task, fresh),
		cmocka_unit_test_setup(a_descriptor_that_cannot_be_the_new_task, fresh),
		cmocka_unit_test_setup(memory_that_cannot_be_written_faults_in_the_old_task, fresh),
		cmocka_unit_test_setup(segments_that_cannot_be_loaded_fault_in_the_new_task, fresh),
		cmocka_unit_test_setup(what_table_7_1_allows_is_loaded, fresh),
		cmocka_unit_test_setup(an_external_event_marks_the_error_code, fresh),
		cmocka_unit_test_setup(eip_beyond_cs_and_bad_pdptes_are_the_new_tasks_faults, fresh),
		cmocka_unit_test_setup(long_mode_has_none, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
