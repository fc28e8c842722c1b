/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The world around the interpreter, for a program that tests it; included once in a program. Paging is off or flat: a linear
 * address is a place in memory[]; what lies behind that is hidden memory. Segment registers are what the backend would keep.
 * exit_dispatch() here is the ports' real handler, plain control registers, and notes of all else.
 */
#ifndef TESTS_UNIT_INTERPRET_WORLD_H
#define TESTS_UNIT_INTERPRET_WORLD_H

#include "tests/unit/host.h"

#include <stdio.h>
#include <string.h>

#include "arch/x86/guest/alu.h"
#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/exits.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/interpret.h"
#include "arch/x86/guest/io.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/msr.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/stop.h"
#include "tests/unit/host_execute.h"

#define MEM_END 0x120000u

static u8 memory[MEM_END] ALIGNED(PAGE_SIZE);
static struct vcpu vcpu;
static struct guest guest;
static struct guest_shared shared;
static struct segment segments[SEG_COUNT];
static u64 dr[8], dr7;
static u32 last_exit, exits_seen; /* EXIT_*, by exit_dispatch() */
static u32 port_in, port_out, port_number, port_accesses;
static gva_t absent = ~0ull; /* a page that is not present, where paging is said to be on */

/* Where the last instructions wrote: see written_at(). */
#define WRITES_MAX 64u
static struct {
	gva_t at;
	u32 len;
} writes[WRITES_MAX];
static u32 write_count;

/* --- the backend ------------------------------------------------------------------------- */
static void get_segment(const struct vcpu *v, enum segment_name which, struct segment *out)
{
	*out = segments[which];
}
static void set_segment(struct vcpu *v, enum segment_name which, const struct segment *in)
{
	segments[which] = *in;
}
static u64 get_dr7(const struct vcpu *v)
{
	return dr7;
}
static void set_dr7(struct vcpu *v, u64 value)
{
	dr7 = value;
}
static u64 get_dr6(const struct vcpu *v)
{
	return dr[6];
}
static void set_dr6(struct vcpu *v, u64 value)
{
	dr[6] = value;
}
static bool get_msr(const struct vcpu *v, u32 msr, u64 *value)
{
	*value = 0;
	return true;
}
static bool set_msr(struct vcpu *v, u32 msr, u64 value)
{
	return true;
}

static void update_control(struct vcpu *v) {}

static const struct vendor vendor = {
	.name = "fake",
	.update_control = update_control,
	.get_segment = get_segment,
	.set_segment = set_segment,
	.get_dr7 = get_dr7,
	.set_dr7 = set_dr7,
	.get_dr6 = get_dr6,
	.set_dr6 = set_dr6,
	.get_msr = get_msr,
	.set_msr = set_msr,
};

/* --- memory -------------------------------------------------------------------------------- */
static int check_access(gva_t gva, struct gpt_access access, gva_t *fault_gva, u32 *error)
{
	if ((gva & PAGE_MASK) != absent)
		return 0;
	*fault_gva = gva;
	*error = access.write ? PF_W : 0;
	return -EFAULT;
}

int shadow_read_guest(struct shadow_mmu *mmu, gva_t gva, void *buf, u32 len, struct gpt_access access,
		      gva_t *fault_gva, u32 *error)
{
	assert_true(((gva ^ (gva + len - 1)) & PAGE_MASK) == 0);
	if (gva < MEM_END)
		memcpy(buf, memory + gva, len);
	else
		memset(buf, 0xff, len);
	return check_access(gva, access, fault_gva, error);
}

static void note_write(gva_t gva, u32 len)
{
	if (write_count < WRITES_MAX) {
		writes[write_count].at = gva;
		writes[write_count].len = len;
	}
	write_count++;
}

int shadow_write_guest(struct shadow_mmu *mmu, gva_t gva, const void *buf, u32 len, struct gpt_access access,
		       gva_t *fault_gva, u32 *error)
{
	int err = check_access(gva, access, fault_gva, error);

	assert_true(((gva ^ (gva + len - 1)) & PAGE_MASK) == 0);
	if (err || gva >= MEM_END)
		return err;
	memcpy(memory + gva, buf, len);
	note_write(gva, len);
	return 0;
}

static u32 interference; /* so many locked operations find that somebody else was there */
static u32 exchanges;

int shadow_exchange_guest(struct shadow_mmu *mmu, gva_t gva, const void *expected, const void *value, u32 len,
			  struct gpt_access access, gva_t *fault_gva, u32 *error)
{
	exchanges++;
	if (interference) {
		interference--;
		memory[gva]++;
	}
	if (gva < MEM_END && memcmp(memory + gva, expected, len))
		return -EAGAIN;
	return shadow_write_guest(mmu, gva, value, len, access, fault_gva, error);
}

enum gpt_status shadow_translate(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access, struct gpt_walk *walk)
{
	gva_t fault_gva;

	walk->gfn = gva >> PAGE_SHIFT;
	return check_access(gva, access, &fault_gva, &walk->error) ? GPT_FAULT : GPT_OK;
}

static bool ram_in_place = true; /* shadow_find_ram() finds it */
bool shadow_find_ram(struct shadow_mmu *mmu, gfn_t gfn, struct shadow_ram *ram)
{
	gva_t at = gfn << PAGE_SHIFT;

	assert_false(vcpu.cr0 & CR0_PG);
	if (!ram_in_place || at >= MEM_END || at == absent)
		return false;
	*ram = (struct shadow_ram){.at = memory + at, .gfn = gfn};
	return true;
}

void shadow_write_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram, u32 offset, const void *buf, u32 len)
{
	assert_true(ram->at == memory + (ram->gfn << PAGE_SHIFT) && offset + len <= PAGE_SIZE);
	memcpy(ram->at + offset, buf, len);
	note_write((ram->gfn << PAGE_SHIFT) + offset, len);
}

/* Anywhere in the page. */
static u32 opened;
void shadow_open_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram)
{
	assert_int_equal(opened++, 0);
	note_write(ram->gfn << PAGE_SHIFT, PAGE_SIZE);
}
void shadow_close_ram(struct shadow_mmu *mmu)
{
	assert_int_equal(--opened, 0);
}

void shadow_read_ram_slow(const struct shadow_ram *ram, u32 offset, void *buf, u32 len)
{
	memcpy(buf, ram->at + offset, len);
}

void shadow_push_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram, u32 end, const u64 *values, u32 size,
		     u32 count)
{
	for (u32 i = 0; i < count; i++)
		shadow_write_ram(mmu, ram, end -= size, &values[i], size);
}

bool shadow_exchange_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram, u32 offset, const void *expected,
			 const void *value, u32 len)
{
	exchanges++;
	if (interference) {
		interference--;
		ram->at[offset]++;
	}
	if (memcmp(ram->at + offset, expected, len))
		return false;
	shadow_write_ram(mmu, ram, offset, value, len);
	return true;
}

static bool code_in_place = true; /* shadow_find_code() finds it */
const u8 *shadow_find_code(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access)
{
	return gva < MEM_END && (gva & PAGE_MASK) != absent && code_in_place ? memory + gva : NULL;
}

const u8 *shadow_peek_code(struct shadow_mmu *mmu, gva_t gva)
{
	return NULL;
}
int shadow_find_hidden(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access, gva_t *fault_gva, u32 *error)
{
	return gva < MEM_END ? -EIO : check_access(gva, access, fault_gva, error);
}
void shadow_drop_write(struct shadow_mmu *mmu) {}

/* --- the machine ----------------------------------------------------------------------------- */
u64 hw_read_dr(u32 n)
{
	return dr[n];
}
void hw_write_dr(u32 n, u64 value)
{
	dr[n] = value;
}
u32 hw_in(u16 port, u32 size)
{
	port_number = port;
	port_accesses++;
	return port_in;
}
void hw_out(u16 port, u32 size, u32 value)
{
	port_number = port;
	port_accesses++;
	port_out = value;
}
int hw_msr_read(u32 msr, u64 *value)
{
	return -EFAULT;
}
int hw_msr_write(u32 msr, u64 value)
{
	return -EFAULT;
}
struct cpuid_regs hw_cpuid(u32 leaf, u32 subleaf)
{
	return (struct cpuid_regs){.ebx = leaf == CPUID_LEAF_XSAVE ? sizeof(struct host_state) : 0};
}
u64 hw_mmio_read(hpa_t at, u32 size)
{
	return 0;
}
void hw_mmio_write(hpa_t at, u32 size, u64 value) {}
bool cpuid_has(struct vcpu *v, u32 leaf, enum cpuid_reg reg, u32 mask)
{
	return true;
}
int cr_write_cr3(struct vcpu *v, u64 value)
{
	v->cr3 = value;
	return 0;
}
int msr_guest_read(struct vcpu *v, u32 msr, u64 *value)
{
	*value = 0x77;
	return 0;
}
u64 apic_read(struct vcpu *v, u32 offset, u32 size)
{
	return 0;
}
void apic_write(struct vcpu *v, u32 offset, u32 size, u64 value) {}

NORETURN void guest_stop(struct vcpu *v, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	panic("%s", text);
}
NORETURN void guest_shutdown(struct vcpu *v)
{
	panic("guest shut down");
}

/* Control registers without any rule. */
static void control_register(struct vcpu *v, bool write)
{
	u64 *const registers[] = {&v->cr0, NULL, &v->cr2, &v->cr3, &v->cr4};
	const struct vcpu_exit *exit = &v->exit;
	u64 *cr = exit->cr < ARRAY_SIZE(registers) ? registers[exit->cr] : NULL;

	assert_true(exit->operand_known);
	if (exit->clts)
		v->cr0 &= ~CR0_TS;
	else if (exit->lmsw)
		v->cr0 = (v->cr0 & ~0xeull) | (exit->lmsw_value & 0xf);
	else if (!cr)
		inject_ud(v);
	else if (write)
		*cr = (u32)v->gpr[exit->gpr];
	else
		v->gpr[exit->gpr] = (u32)*cr;
	if (v->inject.type == EVENT_NONE)
		insn_skip(v);
}

void exit_dispatch(struct vcpu *v)
{
	exits_seen++;
	last_exit = v->exit.kind;
	v->breakpoints_hit = 0;
	switch (v->exit.kind) {
	case EXIT_IO: io_handle(v); break;
	case EXIT_CR_READ: control_register(v, false); break;
	case EXIT_CR_WRITE: control_register(v, true); break;
	default: insn_skip(v);
	}
}

/* --- states ------------------------------------------------------------------------------------ */
static void set_real(enum segment_name which, u16 selector)
{
	segments[which] =
		(struct segment){.selector = selector, .base = selector * 16u, .limit = 0xffff, .attributes = 0x93};
}

static void set_flat(enum segment_name which, u16 selector, u32 bits)
{
	segments[which] = (struct segment){
		.selector = selector, .limit = ~0u, .attributes = which == SEG_CS ? 0x809b : 0x8093};
	if (bits == 32)
		segments[which].attributes |= SEG_ATTR_DB;
}

/* bits: 0: real mode; else the code and stack of protected mode, with flat segments. */
static void reset_world(u32 bits)
{
	vcpu = (struct vcpu){
		.vendor = &vendor, .guest = &guest, .cr0 = CR0_ET | (bits ? CR0_PE : 0), .rflags = RFLAGS_FIXED};
	memset(&guest, 0, sizeof(guest));
	memset(&shared, 0, sizeof(shared));
	memset(segments, 0, sizeof(segments));
	guest.shared = &shared;
	for (u32 i = 0; i <= SEG_GS; i++)
		if (bits)
			set_flat(i, i == SEG_CS ? 8 : 16, bits);
		else
			set_real(i, 0);
	segments[SEG_IDTR].limit = 0x3ff;
	segments[SEG_LDTR].attributes = SEG_ATTR_UNUSABLE;
	memset(dr, 0, sizeof(dr));
	dr[6] = DR6_RESET;
	dr7 = DR7_RESET;
	last_exit = exits_seen = port_accesses = write_count = 0;
	absent = ~0ull;
}

#endif
