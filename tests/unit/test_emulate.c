/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instruction emulator against Unicorn: random instances of every
 * instruction it executes, in 64- and 32-bit code, with random registers, flags
 * and memory. Registers, defined flags, memory and RIP must come out the same,
 * and a fault must leave all of them as they were. Then what Unicorn cannot
 * tell: hidden and trapped memory, page crossings, instructions not known.
 */
#include "tests/unit/host.h"

#include <stdio.h>
#include <string.h>

#include "arch/x86/guest/alu.h"
#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/emulate.h"
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/fast_path.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/mmio.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/stop.h"
#include "tests/unit/host_execute.h"
#include "tests/unit/unicorn.h"
#include "tests/unit/no_runs.h"

/* Addresses small enough for 16-bit addressing; data in the middle. */
#define CODE 0x1000u
#define DATA 0x4000u
#define DATA_END 0xc000u
#define MEM_END 0x10000u
#define APIC 0xfee00000u
#define HIDDEN 0x20000u
#define DEVICE 0xfed80000u

static u8 memory[MEM_END] ALIGNED(PAGE_SIZE);
static u32 code_bits;
static struct vcpu vcpu;
static struct guest guest;
static struct guest_shared shared;

/* --- the world around the emulator ---------------------------------------------- */

static const struct segment *limited; /* what the segment limited_name is instead */
static enum segment_name limited_name;

static void get_segment(const struct vcpu *v, enum segment_name which, struct segment *out)
{
	if (limited && which == limited_name) {
		*out = *limited;
		return;
	}
	*out = (struct segment){.limit = 0xffffffff, .attributes = 0x93 | SEG_ATTR_DB, .selector = which * 8};
	if (which == SEG_CS && code_bits == 64)
		out->attributes = 0x9b | SEG_ATTR_L;
	if (which == SEG_CS && code_bits == 16)
		out->attributes = 0x9b;
	if (which == SEG_FS)
		out->base = 0x10;
}

static u64 dr[4], dr7, debugctl;
static u64 get_dr7(const struct vcpu *v)
{
	return dr7;
}
static void set_dr7(struct vcpu *v, u64 value)
{
	dr7 = value;
}
u64 hw_read_dr(u32 n)
{
	return dr[n];
}
void hw_write_dr(u32 n, u64 value)
{
	dr[n] = value;
}
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

static const struct vendor vendor = {
	.name = "fake",
	.get_segment = get_segment,
	.get_dr7 = get_dr7,
	.set_dr7 = set_dr7,
	.get_msr = get_msr,
	.set_msr = set_msr,
};

static u32 hidden_writes, apic_accesses, apic_last_offset;
static u32 apic_register[0x400];
static u8 device_page[0x1000];
static u32 device_accesses;
static u32 odd_size[4], odd_offset[4], odd_count; /* accesses to the APIC in other shapes than whole registers */

static gva_t hidden_from, hidden_to; /* pages of memory[] that are hidden as well */

static bool is_hidden(gva_t gva)
{
	return (gva & PAGE_MASK) == HIDDEN || (gva >= hidden_from && gva < hidden_to);
}

static bool present(gva_t gva)
{
	return (gva >= CODE && gva < MEM_END) || (gva & PAGE_MASK) == APIC || is_hidden(gva) ||
	       (gva & PAGE_MASK) == DEVICE;
}

static int access_check(gva_t gva, struct gpt_access access, gva_t *fault_gva, u32 *error)
{
	if ((gva & PAGE_MASK) == APIC || (gva & PAGE_MASK) == DEVICE)
		return -EIO;
	if (present(gva))
		return 0;
	*fault_gva = gva;
	*error = access.write ? PF_W : 0;
	return -EFAULT;
}

static bool code_is_known; /* to the shadow engine */
const u8 *shadow_peek_code(struct shadow_mmu *mmu, gva_t gva)
{
	return code_is_known ? memory + gva : NULL;
}
const u8 *shadow_recall_code(struct shadow_mmu *mmu, gva_t gva)
{
	return shadow_peek_code(mmu, gva);
}
static bool recalls; /* the walk to the APIC's page, as the first of these */
static u32 recalled;
bool shadow_recall_trapped(struct shadow_mmu *mmu, gva_t gva, u32 error, u32 cpl, u64 rflags, gpa_t *at)
{
	recalled += recalls;
	at->v = vcpu.mmio.fault.gpa.v;
	return recalls;
}
int shadow_read_guest(struct shadow_mmu *mmu, gva_t gva, void *buf, u32 len, struct gpt_access access,
		      gva_t *fault_gva, u32 *error)
{
	int err = access_check(gva, access, fault_gva, error);

	assert_true(((gva ^ (gva + len - 1)) & PAGE_MASK) == 0);
	if (err)
		return err;
	if (is_hidden(gva))
		memset(buf, 0xff, len);
	else
		memcpy(buf, memory + gva, len);
	return 0;
}

int shadow_write_guest(struct shadow_mmu *mmu, gva_t gva, const void *buf, u32 len, struct gpt_access access,
		       gva_t *fault_gva, u32 *error)
{
	int err = access_check(gva, access, fault_gva, error);

	assert_true(((gva ^ (gva + len - 1)) & PAGE_MASK) == 0);
	if (err)
		return err;
	if (is_hidden(gva))
		hidden_writes++;
	else
		memcpy(memory + gva, buf, len);
	return 0;
}

int shadow_exchange_guest(struct shadow_mmu *mmu, gva_t gva, const void *expected, const void *value, u32 len,
			  struct gpt_access access, gva_t *fault_gva, u32 *error)
{
	return shadow_write_guest(mmu, gva, value, len, access, fault_gva, error);
}

/* Nothing is known to the emulator. */
bool shadow_find_ram(struct shadow_mmu *mmu, gfn_t gfn, struct shadow_ram *ram)
{
	fail();
	return false;
}
void shadow_write_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram, u32 offset, const void *buf, u32 len)
{
	fail();
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
	int err = access_check(gva, access, fault_gva, error);

	return err || is_hidden(gva) ? err : -EIO;
}

void shadow_drop_write(struct shadow_mmu *mmu)
{
	hidden_writes++;
}

/* Of the XSAVE area, standard and compacted. */
static u32 xsave_bytes[2] = {832, 832};
struct cpuid_regs hw_cpuid(u32 leaf, u32 subleaf)
{
	assert_true(leaf == 0xd && subleaf < 2);
	return (struct cpuid_regs){.ebx = xsave_bytes[subleaf]};
}

enum gpt_status shadow_translate(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access, struct gpt_walk *walk)
{
	walk->gfn = gva >> PAGE_SHIFT;
	walk->error = access.write ? PF_W : 0;
	return present(gva) ? GPT_OK : GPT_FAULT;
}

u32 hw_apic_read(hpa_t page, u32 offset)
{
	assert_int_equal(page.v, APIC);
	apic_accesses++;
	apic_last_offset = offset;
	return apic_register[offset / 4];
}

void hw_apic_write(hpa_t page, u32 offset, u32 value)
{
	assert_int_equal(page.v, APIC);
	apic_accesses++;
	apic_last_offset = offset;
	apic_register[offset / 4] = value;
}

/* The hardware's APIC as MSRs: the mode, and in x2APIC mode ID 5 at logical address 0:0020. */
static struct {
	u64 base, icr;
	u32 icr_writes;
	bool legacy_xapic_disabled;
} hardware;

int hw_msr_read(u32 msr, u64 *value)
{
	bool x2apic = hardware.base & APIC_BASE_X2APIC;

	*value = msr == MSR_APIC_BASE  ? hardware.base :
		 msr == MSR_X2APIC_ID  ? 5 :
		 msr == MSR_X2APIC_LDR ? 0x20 :
					 hardware.icr;
	return msr == MSR_APIC_BASE || x2apic ? 0 : -EFAULT;
}
int hw_msr_write(u32 msr, u64 value)
{
	const u64 both = APIC_BASE_ENABLE | APIC_BASE_X2APIC;

	if (msr == MSR_X2APIC_ICR) {
		hardware.icr = value;
		hardware.icr_writes++;
		return hardware.base & APIC_BASE_X2APIC ? 0 : -EFAULT;
	}
	assert_int_equal(msr, MSR_APIC_BASE);
	/* table 10-5 */
	if ((value & both) == APIC_BASE_X2APIC || (value & both && hardware.base & ~value & APIC_BASE_X2APIC) ||
	    (value & APIC_BASE_X2APIC && !(hardware.base & APIC_BASE_ENABLE)) ||
	    (hardware.legacy_xapic_disabled && hardware.base & ~value & APIC_BASE_X2APIC))
		return -EFAULT;
	hardware.base = value;
	return 0;
}
u32 hw_in(u16 port, u32 size)
{
	return 0;
}
void hw_out(u16 port, u32 size, u32 value) {}

static u8 *odd_access(hpa_t at, u32 size)
{
	u32 offset = at.v & ~PAGE_MASK;

	assert_true(offset + size <= PAGE_SIZE && ((offset & 15) || size != 4));
	odd_size[odd_count % 4] = size;
	odd_offset[odd_count++ % 4] = offset;
	return (u8 *)apic_register + offset;
}

u64 hw_mmio_read(hpa_t at, u32 size)
{
	u64 value = 0;

	if ((at.v & PAGE_MASK) == APIC) {
		memcpy(&value, odd_access(at, size), size);
		return value;
	}
	device_accesses++;
	memcpy(&value, device_page + (at.v - DEVICE), size);
	return value;
}

void hw_mmio_write(hpa_t at, u32 size, u64 value)
{
	if ((at.v & PAGE_MASK) == APIC) {
		memcpy(odd_access(at, size), &value, size);
		return;
	}
	device_accesses++;
	memcpy(device_page + (at.v - DEVICE), &value, size);
}

NORETURN void guest_stop(struct vcpu *v, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	panic("%s", text);
}

void hw_kick_again(void) {}
void hw_drop_interrupts(const struct vendor *v) {}

void hw_kick(u32 cpu)
{
	panic("CPU %u is kicked", cpu);
}

NORETURN void guest_shutdown(struct vcpu *v)
{
	panic("guest shut down");
}

static void reset_vcpu(u32 bits)
{
	code_bits = bits;
	vcpu = (struct vcpu){
		.vendor = &vendor, .guest = &guest, .cr0 = CR0_PE | CR0_PG, .rip = CODE, .rflags = RFLAGS_FIXED};
	memset(&guest, 0, sizeof(guest));
	memset(&shared, 0, sizeof(shared));
	guest.shared = &shared;
	guest.phys_bits = 40;
	if (bits == 64) {
		vcpu.efer = EFER_LME | EFER_LMA;
		vcpu.cr4 = CR4_PAE;
	}
	vcpu.apic_base = APIC | APIC_BASE_ENABLE;
	hidden_writes = apic_accesses = odd_count = 0;
	memset(&hardware, 0, sizeof(hardware));
	hardware.base = vcpu.apic_base;
	dr7 = debugctl = 0;
	memset(dr, 0, sizeof(dr));
}

/* --- instances of instructions --------------------------------------------------- */

struct instance {
	u8 bytes[INSN_MAX];
	u32 len;
	u64 undefined; /* flags that the manual leaves open */
	bool branch, string;
};

static void emit(struct instance *i, u8 byte)
{
	i->bytes[i->len++] = byte;
}

static void emit_number(struct instance *i, u64 value, u32 size)
{
	for (u32 n = 0; n < size; n++)
		emit(i, value >> 8 * n);
}

/* What the prefixes made of the operand size. */
struct form {
	bool op16, w, addr;
	u32 size;
};

static struct form emit_prefixes(struct instance *i, bool with_rex)
{
	struct form f = {0};

	if (host_random_below(4) == 0)
		f.op16 = true, emit(i, 0x66);
	if (host_random_below(8) == 0)
		f.addr = true, emit(i, 0x67);
	if (code_bits == 64 && with_rex && host_random_below(2)) {
		u8 rex = 0x40 | host_random_below(16);

		emit(i, rex);
		f.w = rex & 8;
	}
	f.size = f.w ? 8 : f.op16 ? 2 : 4;
	return f;
}

static u64 random_address(void)
{
	return DATA + 0x1000 + host_random_below(DATA_END - DATA - 0x2000);
}

/* The ModRM of a memory operand near random_address(); sets the registers it is made of. */
static void emit_memory(struct instance *i, struct form f, u8 reg)
{
	bool small = f.addr && code_bits == 32;
	u8 mod = 1 + host_random_below(2), rm = host_random_below(8), rex = 0;

	if (code_bits == 64 && i->len && (i->bytes[0] & 0xf0) == 0x40)
		rex = i->bytes[0];
	for (u32 n = 0; n < i->len; n++)
		if (code_bits == 64 && (i->bytes[n] & 0xf0) == 0x40 && !rex)
			rex = i->bytes[n];
	emit(i, mod << 6 | (reg & 7) << 3 | rm);
	if (!small && rm == 4) {
		u8 sib = host_random();
		u8 index = (sib >> 3 & 7) | (rex & 2 ? 8 : 0), base = (sib & 7) | (rex & 1 ? 8 : 0);

		emit(i, sib);
		vcpu.gpr[base] = random_address();
		if (index != GPR_RSP && index != base)
			vcpu.gpr[index] = host_random_below(0x100);
		else if (index == base)
			vcpu.gpr[base] = random_address() >> ((sib >> 6) + 1);
	} else if (!small) {
		vcpu.gpr[rm | (rex & 1 ? 8 : 0)] = random_address();
	} else {
		static const u8 base[8] = {3, 3, 5, 5, 6, 7, 5, 3}, index[8] = {6, 7, 6, 7};

		if (rm < 4)
			vcpu.gpr[index[rm]] = host_random_below(0x100);
		vcpu.gpr[base[rm]] = random_address();
	}
	emit_number(i, mod == 1 ? host_random() : host_random_below(0x100), mod == 1 ? 1 : small ? 2 : 4);
}

static void alu_forms(struct instance *i)
{
	struct form f = emit_prefixes(i, true);
	u8 op = host_random_below(8) << 3;

	emit(i, op | host_random_below(4));
	emit_memory(i, f, host_random_below(8));
	if (op == 0x08 || op == 0x20 || op == 0x30)
		i->undefined = FLAG_AF;
}

static void alu_immediate(struct instance *i)
{
	struct form f = emit_prefixes(i, true);
	u8 op = host_random_below(2) ? 0x83 : 0x80 + host_random_below(2), reg = host_random_below(8);

	emit(i, op);
	emit_memory(i, f, reg);
	emit_number(i, host_random(), op == 0x81 ? MIN(f.size, 4) : 1);
	if (reg == 1 || reg == 4 || reg == 6)
		i->undefined = FLAG_AF;
}

static void moves(struct instance *i)
{
	static const u8 ops[] = {0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b};
	struct form f = emit_prefixes(i, true);
	u8 op = ops[host_random_below(sizeof(ops))];

	emit(i, op);
	emit_memory(i, f, host_random_below(8));
	if (op < 0x86)
		i->undefined = FLAG_AF;
}

static void move_immediate(struct instance *i)
{
	struct form f = emit_prefixes(i, true);
	bool wide = host_random_below(2);

	emit(i, 0xc6 | wide);
	emit_memory(i, f, 0);
	emit_number(i, host_random(), wide ? MIN(f.size, 4) : 1);
}

static void extensions(struct instance *i)
{
	static const u8 ops[] = {0xb6, 0xb7, 0xbe, 0xbf};
	struct form f = emit_prefixes(i, true);

	if (code_bits == 64 && host_random_below(4) == 0) {
		emit(i, 0x63);
	} else {
		emit(i, 0x0f);
		emit(i, ops[host_random_below(4)]);
	}
	emit_memory(i, f, host_random_below(8));
}

static void absolute(struct instance *i)
{
	struct form f = emit_prefixes(i, true);
	u32 size = code_bits == 64 ? f.addr ? 4 : 8 : f.addr ? 2 : 4;

	emit(i, 0xa0 + host_random_below(4));
	emit_number(i, random_address(), size);
}

static void unary_forms(struct instance *i)
{
	struct form f = emit_prefixes(i, true);
	u8 reg = host_random_below(4), wide = host_random_below(2);

	if (host_random_below(2)) {
		emit(i, 0xf6 | wide);
		emit_memory(i, f, reg);
		if (reg < 2) {
			emit_number(i, host_random(), wide ? MIN(f.size, 4) : 1);
			i->undefined = FLAG_AF;
		}
	} else {
		emit(i, 0xfe | wide);
		emit_memory(i, f, reg & 1);
	}
}

static void shifts(struct instance *i)
{
	struct form f = emit_prefixes(i, true);
	u8 reg = host_random_below(8), wide = host_random_below(2);
	u32 bits = wide ? 8 * f.size : 8, count, kind = host_random_below(3);

	if (reg == 6)
		reg = 4;
	emit(i, (kind == 0 ? 0xd0 : kind == 1 ? 0xd2 : 0xc0) | wide);
	emit_memory(i, f, reg);
	count = host_random_below(bits);
	if (kind == 1)
		vcpu.gpr[GPR_RCX] = (vcpu.gpr[GPR_RCX] & ~0xffull) | count;
	/* CL may be part of the address now: only its flags are uncertain then. */
	if (kind == 2)
		emit(i, count);
	i->undefined = FLAG_AF | FLAG_OF;
	if (kind == 1)
		i->undefined |= FLAG_CF;
}

static void strings(struct instance *i)
{
	static const u8 ops[] = {0xa4, 0xa6, 0xaa, 0xac, 0xae};
	static const u8 reps[] = {0, 0xf2, 0xf3};
	u8 rep = reps[host_random_below(3)];

	vcpu.gpr[GPR_RSI] = random_address();
	vcpu.gpr[GPR_RDI] = random_address();
	vcpu.gpr[GPR_RCX] = host_random_below(40);
	if (host_random_below(2))
		vcpu.rflags |= RFLAGS_DF;
	if (rep)
		emit(i, rep);
	emit_prefixes(i, true);
	emit(i, ops[host_random_below(5)] | host_random_below(2));
	i->string = true;
}

static void stack_forms(struct instance *i)
{
	struct form f;
	bool op16 = host_random_below(4) == 0;

	vcpu.gpr[GPR_RSP] = random_address();
	if (op16)
		emit(i, 0x66);
	if (code_bits == 64 && host_random_below(2))
		emit(i, 0x40 | host_random_below(2));
	f = (struct form){0};
	switch (host_random_below(8)) {
	case 7:
		emit(i, 0xc9);
		vcpu.gpr[GPR_RBP] = random_address();
		break;
	case 0: emit(i, 0x50 + host_random_below(8)); break;
	case 1: emit(i, 0x58 + host_random_below(8)); break;
	case 2:
		emit(i, 0x68);
		emit_number(i, host_random(), op16 ? 2 : 4);
		break;
	case 3:
		emit(i, 0x6a);
		emit(i, host_random());
		break;
	case 4: emit(i, 0x9c); break;
	case 5:
		emit(i, 0xff);
		emit_memory(i, f, 6);
		break;
	case 6:
		emit(i, 0x8f);
		emit_memory(i, f, 0);
		break;
	}
}

static void branches(struct instance *i)
{
	static const u8 target[8] = {0, 0x12};

	i->branch = true;
	vcpu.gpr[GPR_RSP] = random_address() & ~7ull;
	vcpu.gpr[GPR_RBX] = random_address() & ~7ull;
	memcpy(memory + vcpu.gpr[GPR_RSP], target, 8);
	memcpy(memory + vcpu.gpr[GPR_RBX], target, 8);
	switch (host_random_below(4)) {
	case 0:
		emit(i, 0xe8);
		emit_number(i, host_random_below(0x100), 4);
		break;
	case 1: emit(i, 0xc3); break;
	case 2:
		emit(i, 0xc2);
		emit_number(i, host_random_below(0x100), 2);
		break;
	case 3:
		emit(i, 0xff);
		emit(i, host_random_below(2) ? 0x13 : 0x23);
		break;
	}
}

static void bit_forms(struct instance *i)
{
	struct form f = emit_prefixes(i, true);
	u8 op = host_random_below(4) << 3, reg = host_random_below(8);

	emit(i, 0x0f);
	i->undefined = FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF | FLAG_ZF;
	if (host_random_below(2)) {
		emit(i, 0xba);
		emit_memory(i, f, 4 + host_random_below(4));
		emit(i, host_random());
		return;
	}
	for (u32 r = 0; r < GPR_COUNT; r++)
		vcpu.gpr[r] = (s64)host_random_below(0x2000) - 0x1000;
	emit(i, 0xa3 | op);
	emit_memory(i, f, reg);
}

static void exchanges(struct instance *i)
{
	struct form f = emit_prefixes(i, true);
	bool xadd = host_random_below(2);

	emit(i, 0x0f);
	emit(i, (xadd ? 0xc0 : 0xb0) | host_random_below(2));
	emit_memory(i, f, host_random_below(8));
	if (!xadd && host_random_below(2))
		/* If equal, EAX is not written; Unicorn extends it then. */
		vcpu.gpr[GPR_RAX] = memory[DATA] * (f.w ? 0x0101010101010101ull : 0x01010101ull);
}

static void wide_exchange(struct instance *i)
{
	bool w = code_bits == 64 && host_random_below(2);
	u64 at = random_address() & ~15ull;

	if (w)
		emit(i, 0x48);
	emit_number(i, 0x0ec70f, 3); /* CMPXCHG8B [RSI] */
	vcpu.gpr[GPR_RSI] = at;
	if (host_random_below(2)) {
		memcpy(&vcpu.gpr[GPR_RAX], memory + at, w ? 8 : 4);
		memcpy(&vcpu.gpr[GPR_RDX], memory + at + (w ? 8 : 4), w ? 8 : 4);
	}
}

static void translations(struct instance *i)
{
	emit_prefixes(i, true);
	emit(i, 0xd7);
	vcpu.gpr[GPR_RBX] = random_address();
}

static void set_condition(struct instance *i)
{
	struct form f = emit_prefixes(i, true);

	emit(i, 0x0f);
	emit(i, 0x90 + host_random_below(16));
	emit_memory(i, f, host_random_below(8));
}

static void swapped(struct instance *i)
{
	struct form f = emit_prefixes(i, true);

	emit(i, 0x0f);
	if (host_random_below(3) == 0 && !f.op16) {
		emit(i, 0xc3);
	} else {
		emit(i, 0x38);
		emit(i, 0xf0 | host_random_below(2));
	}
	emit_memory(i, f, host_random_below(8));
}

static void (*const generators[])(struct instance *i) = {
	alu_forms,   alu_immediate, moves,         move_immediate, extensions,   absolute,
	unary_forms, shifts,        strings,       stack_forms,    branches,     bit_forms,
	exchanges,   wide_exchange, set_condition, swapped,        translations,
};

/* --- the comparison ----------------------------------------------------------------- */

static const int uc_regs64[GPR_COUNT] = {
	UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX, UC_X86_REG_RSP, UC_X86_REG_RBP,
	UC_X86_REG_RSI, UC_X86_REG_RDI, UC_X86_REG_R8,  UC_X86_REG_R9,  UC_X86_REG_R10, UC_X86_REG_R11,
	UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15,
};
static const int uc_regs32[8] = {
	UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX, UC_X86_REG_EBX,
	UC_X86_REG_ESP, UC_X86_REG_EBP, UC_X86_REG_ESI, UC_X86_REG_EDI,
};

static u32 gpr_count(void)
{
	return code_bits == 64 ? 16 : 8;
}
static int uc_reg(u32 r)
{
	return code_bits == 64 ? uc_regs64[r] : uc_regs32[r];
}

static void random_registers(void)
{
	for (u32 r = 0; r < GPR_COUNT; r++)
		vcpu.gpr[r] = host_random() >> (host_random_below(3) * 24);
	vcpu.rflags |= host_random() & (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF);
}

static void random_memory(void)
{
	u64 kind = host_random_below(3);

	for (u32 at = DATA; at < DATA_END; at++)
		memory[at] = kind == 0 ? host_random() :
			     kind == 1 ? host_random_below(2) :
					 0x7f + host_random_below(2);
}

static void load_unicorn(uc_engine *uc)
{
	u64 value;

	uc_ctl_remove_cache(uc, CODE, CODE + INSN_MAX);
	assert_int_equal(uc_mem_write(uc, CODE, memory + CODE, MEM_END - CODE), UC_ERR_OK);
	for (u32 r = 0; r < gpr_count(); r++) {
		value = code_bits == 64 ? vcpu.gpr[r] : (u32)vcpu.gpr[r];
		vcpu.gpr[r] = value;
		uc_reg_write(uc, uc_reg(r), &value);
	}
	uc_reg_write(uc, UC_X86_REG_EFLAGS, &vcpu.rflags);
}

static void describe(const struct instance *i, char out[128])
{
	u32 at = snprintf(out, 128, "%u-bit ", code_bits);

	for (u32 n = 0; n < i->len; n++)
		at += snprintf(out + at, 128 - at, "%02x ", i->bytes[n]);
}

static void compare_state(uc_engine *uc, const struct instance *i)
{
	static u8 theirs[MEM_END];
	u64 value, flags = 0, mask = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF | RFLAGS_DF;
	char text[128];

	describe(i, text);
	for (u32 r = 0; r < gpr_count(); r++) {
		value = 0;
		uc_reg_read(uc, uc_reg(r), &value);
		if (value != (code_bits == 64 ? vcpu.gpr[r] : (u32)vcpu.gpr[r]))
			fail_msg("%s: register %u is %llx, should be %llx", text, r,
				 (unsigned long long)vcpu.gpr[r], (unsigned long long)value);
	}
	uc_reg_read(uc, UC_X86_REG_EFLAGS, &flags);
	if ((flags ^ vcpu.rflags) & mask & ~i->undefined)
		fail_msg("%s: flags %llx, should be %llx", text, (unsigned long long)vcpu.rflags,
			 (unsigned long long)flags);
	value = 0;
	uc_reg_read(uc, code_bits == 64 ? UC_X86_REG_RIP : UC_X86_REG_EIP, &value);
	if (value != vcpu.rip)
		fail_msg("%s: rip %llx, should be %llx", text, (unsigned long long)vcpu.rip,
			 (unsigned long long)value);
	assert_int_equal(uc_mem_read(uc, CODE, theirs + CODE, MEM_END - CODE), UC_ERR_OK);
	if (memcmp(theirs + CODE, memory + CODE, MEM_END - CODE) == 0)
		return;
	for (u32 at = CODE; at < MEM_END; at++)
		if (theirs[at] != memory[at])
			fail_msg("%s: byte at %x is %02x, should be %02x", text, at, memory[at], theirs[at]);
}

static uc_err their_error;
static const struct shadow_fault no_fault = {.kind = REGION_HIDDEN};

static void emulate_once(void)
{
	vcpu.exit = (struct vcpu_exit){.gva = 0xdead0000};
	vcpu.mmio.fault = no_fault;
	emulate_access(&vcpu);
}

/* Ours: an exception queued and nothing changed. */
static void expect_nothing_done(const struct vcpu *before, const struct instance *i)
{
	char text[128];

	describe(i, text);
	if (vcpu.inject.type != EVENT_EXCEPTION)
		fail_msg("%s: no exception (%s)", text, uc_strerror(their_error));
	if (!i->string &&
	    (memcmp(vcpu.gpr, before->gpr, sizeof(vcpu.gpr)) || vcpu.rflags != (before->rflags | RFLAGS_RF)))
		fail_msg("%s: half done", text);
	assert_int_equal(vcpu.rip, CODE);
}

static void one_instance(uc_engine *uc, u32 which, u32 *faults)
{
	struct instance i = {0};
	struct vcpu before;
	uc_err err;

	reset_vcpu(code_bits);
	random_registers();
	if (host_random_below(64) == 0)
		random_memory();
	generators[which](&i);
	memset(memory + CODE, 0x90, 0x1000);
	memcpy(memory + CODE, i.bytes, i.len);
	load_unicorn(uc);
	before = vcpu;
	err = uc_emu_start(uc, CODE, CODE + i.len, 0, i.string ? 1000 : 1);
	their_error = err;
	emulate_once();
	/* Unicorn has no MOVBE, and refuses REX.R where ModRM extends the opcode. */
	if (err == UC_ERR_INSN_INVALID)
		return;
	if (err != UC_ERR_OK && err != UC_ERR_FETCH_UNMAPPED) {
		expect_nothing_done(&before, &i);
		++*faults;
		return;
	}
	compare_state(uc, &i);
}

#define INSTANCES 3000u

static void compare_with_unicorn(u32 bits)
{
	uc_engine *uc;
	u32 faults = 0;

	code_bits = bits;
	host_random_seed(bits);
	assert_int_equal(uc_open(UC_ARCH_X86, bits == 64 ? UC_MODE_64 : UC_MODE_32, &uc), UC_ERR_OK);
	assert_int_equal(uc_ctl_set_cpu_model(uc, UC_CPU_X86_HASWELL), UC_ERR_OK);
	assert_int_equal(uc_mem_map(uc, CODE, MEM_END - CODE, UC_PROT_ALL), UC_ERR_OK);
	for (u32 n = 0; n < INSTANCES; n++)
		for (u32 which = 0; which < ARRAY_SIZE(generators); which++)
			one_instance(uc, which, &faults);
	printf("%u-bit: %zu instances, %u of them faulted\n", bits, INSTANCES * ARRAY_SIZE(generators), faults);
	uc_close(uc);
}

static void emulation_matches_unicorn_in_64_bit_code(void **state)
{
	compare_with_unicorn(64);
}
static void emulation_matches_unicorn_in_32_bit_code(void **state)
{
	compare_with_unicorn(32);
}

/* --- what only we know ---------------------------------------------------------------- */

/* Runs one instruction given as bytes. */
static void run(const char *bytes, u32 len, gva_t gva, u64 fault_gpa)
{
	memset(memory + CODE, 0x90, 0x1000);
	memcpy(memory + CODE, bytes, len);
	vcpu.rip = CODE;
	vcpu.inject.type = EVENT_NONE;
	vcpu.exit = (struct vcpu_exit){.gva = gva};
	vcpu.mmio.fault = (struct shadow_fault){.gpa = gpa(fault_gpa), .kind = REGION_TRAPPED};
	emulate_access(&vcpu);
}

static void a_32_bit_move_reaches_the_apic_register(void **state)
{
	reset_vcpu(64);
	vcpu.gpr[GPR_RBX] = APIC + 0xb0;
	vcpu.gpr[GPR_RAX] = 0x12345678;
	run("\x89\x03", 2, APIC + 0xb0, APIC + 0xb0);
	assert_int_equal(apic_accesses, 1);
	assert_int_equal(apic_register[0xb0 / 4], 0x12345678);
	assert_int_equal(vcpu.rip, CODE + 2);
	vcpu.gpr[GPR_RCX] = ~0ull;
	run("\x8b\x0b", 2, APIC + 0xb0, APIC + 0xb0);
	assert_int_equal(vcpu.gpr[GPR_RCX], 0x12345678);
	run("\xc7\x03\x00\x00\x00\x00", 6, APIC + 0xb0, APIC + 0xb0);
	assert_int_equal(apic_register[0xb0 / 4], 0);
}

static void other_sizes_on_the_apic_are_survived(void **state)
{
	static const struct {
		const char *bytes;
		u32 len;
	} cases[] = {
		{"\x88\x03", 2},     {"\x66\x89\x03", 3}, {"\x48\x89\x03", 3}, {"\x48\x0f\xc7\x0b", 4},
		{"\xf0\x01\x03", 3}, {"\x0f\x11\x03", 3}, {"\xaa", 1},         {"\xf3\xab", 2},
		{"\x8f\x03", 2},
	};

	host_log_quiet = true;
	for (u32 n = 0; n < ARRAY_SIZE(cases); n++) {
		for (u32 offset = 0; offset < 0x1000; offset += 0x33) {
			reset_vcpu(64);
			vcpu.gpr[GPR_RBX] = vcpu.gpr[GPR_RDI] = APIC + offset;
			vcpu.gpr[GPR_RCX] = 0x40;
			vcpu.gpr[GPR_RSP] = DATA;
			run(cases[n].bytes, cases[n].len, APIC + offset, APIC + offset);
		}
	}
	host_log_quiet = false;
}

/* On QEMU they would be messages of a device: docs/several-cpus.md. */
static void writes_where_the_apic_has_no_register_go_nowhere(void **state)
{
	reset_vcpu(64);
	for (u32 size = 1; size <= 8; size *= 2)
		for (u32 offset = 0; offset < 0x10; offset++) {
			apic_write(&vcpu, offset, size, 0x4500);
			assert_int_equal(apic_register[offset / 4] | apic_accesses | odd_count, 0);
		}
	apic_write(&vcpu, 0x80, 4, 0x50);
	assert_int_equal(apic_register[0x80 / 4], 0x50);
}

/* Messages to it by ID must reach it. */
static void the_apic_id_cannot_be_written(void **state)
{
	reset_vcpu(64);
	apic_register[0x20 / 4] = 0x03000000;
	for (u32 size = 1; size <= 8; size *= 2)
		for (u32 offset = 0x21 - size; offset < 0x30; offset++) {
			apic_write(&vcpu, offset, size, ~0ull);
			assert_int_equal(apic_accesses | odd_count, 0);
		}
	assert_int_equal(apic_read(&vcpu, 0x20, 4), 0x03000000);
	apic_write(&vcpu, 0x30, 4, 1); /* the next one is the hardware's affair */
	assert_int_equal(apic_register[0x30 / 4], 1);
}

/* adversarial: 29 */
static void init_and_startup_are_refused(void **state)
{
	static const struct {
		u32 icr;
		bool passes;
	} cases[] = {
		{0x000040f3, true},  {0x00044041, true},  {0x000c40fd, true},
		{0x00000500, false}, {0x00000699, false}, {0x000c4500, false},
		{0x00000400, false}, {0x00040400, true},  {0x00000200, false},
	};

	host_log_quiet = true;
	for (u32 n = 0; n < ARRAY_SIZE(cases); n++) {
		reset_vcpu(64);
		apic_register[0x300 / 4] = 0;
		apic_register[0x310 / 4] = 0x01000000; /* somebody else */
		vcpu.gpr[GPR_RBX] = APIC + 0x300;
		vcpu.gpr[GPR_RAX] = cases[n].icr;
		run("\x89\x03", 2, APIC + 0x300, APIC + 0x300);
		assert_int_equal(apic_register[0x300 / 4], cases[n].passes ? cases[n].icr : 0);
		assert_int_equal(vcpu.rip, CODE + 2);
	}
	host_log_quiet = false;
}

static void an_nmi_to_this_processor_alone_is_sent(void **state)
{
	static const struct {
		u32 high, low, dfr;
		bool passes;
	} cases[] = {
		{0x03000000, 0x400, ~0u, true},         {0x04000000, 0x400, ~0u, false},
		{0xff000000, 0x400, ~0u, false},        {0x10000000, 0xc00, ~0u, true},
		{0x20000000, 0xc00, ~0u, false},        {0x30000000, 0xc00, ~0u, false},
		{0xff000000, 0xc00, ~0u, false},        {0, 0xc00, ~0u, false},
		{0x12000000, 0xc00, 0x0fffffff, false}, {0x11000000, 0xc00, 0x0fffffff, false},
		{0x00000000, 0x80400, ~0u, false},      {0x03000000, 0xc0400, ~0u, false},
		{0x03000000, 0x500, ~0u, false},
	};

	host_log_quiet = true;
	for (u32 n = 0; n < ARRAY_SIZE(cases); n++) {
		reset_vcpu(64);
		apic_register[0x20 / 4] = 0x03000000;
		apic_register[0xd0 / 4] = 0x10000000;
		apic_register[0xe0 / 4] = cases[n].dfr;
		apic_register[0x300 / 4] = 0;
		apic_register[0x310 / 4] = cases[n].high;
		apic_write(&vcpu, 0x300, 4, cases[n].low);
		/* by the physical address, since others may have the logical one too; it reads back as it was written */
		assert_int_equal(apic_register[0x300 / 4], cases[n].passes ? cases[n].low & ~0x800u : 0);
		assert_int_equal(apic_read(&vcpu, 0x300, 4), cases[n].passes ? cases[n].low : 0);
		assert_int_equal(apic_read(&vcpu, 0x310, 4), cases[n].high);
		apic_write(&vcpu, 0x300, 4, 0x840f3); /* a command that needs no such care */
		assert_int_equal(apic_read(&vcpu, 0x300, 4), 0x840f3);
	}
	host_log_quiet = false;
}

static void start_x2apic(void)
{
	reset_vcpu(64);
	hardware.base = APIC | APIC_BASE_ENABLE | APIC_BASE_X2APIC | APIC_BASE_BSP;
	apic_init(&vcpu);
	assert_true(apic_is_x2apic(&vcpu));
}

/* adversarial: 29 */
static void an_nmi_in_x2apic_mode_goes_to_this_processor_alone(void **state)
{
	static const struct {
		u64 icr;
		bool passes;
		u64 sent;
	} cases[] = {
		{5ull << 32 | 0x400, true, 5ull << 32 | 0x400},
		{6ull << 32 | 0x400, false, 0},
		{0xffffffffull << 32 | 0x400, false, 0},
		{0x20ull << 32 | 0xc00, true, 5ull << 32 | 0x400},
		{0x30ull << 32 | 0xc00, false, 0},    /* two of the cluster */
		{0x10020ull << 32 | 0xc00, false, 0}, /* of another cluster */
		{0xffffffffull << 32 | 0xc00, false, 0},
		{0xc00, false, 0},
		{0x40400, true, 0x40400}, /* self */
		{0x80400, false, 0},
		{0xc0400, false, 0},
		{5ull << 32 | 0x500, false, 0}, /* INIT */
		{5ull << 32 | 0x600, false, 0},
		{5ull << 32 | 0x200, false, 0},
		{7ull << 32 | 0x40f0, true, 7ull << 32 | 0x40f0},
	};
	u64 value;

	host_log_quiet = true;
	for (u32 n = 0; n < ARRAY_SIZE(cases); n++) {
		start_x2apic();
		assert_int_equal(apic_write_x2apic_icr(&vcpu, cases[n].icr), 0);
		assert_int_equal(hardware.icr_writes, cases[n].passes);
		assert_int_equal(hardware.icr, cases[n].sent);
		assert_int_equal(apic_read_x2apic_icr(&vcpu, &value), 0);
		assert_int_equal(value, cases[n].passes ? cases[n].icr : 0);
	}
	host_log_quiet = false;
}

/* What Linux does where interrupts cannot be remapped. */
/* adversarial: 38 */
static void x2apic_mode_is_left_and_entered_in_the_hardware(void **state)
{
	const u64 off = APIC | APIC_BASE_BSP, xapic = off | APIC_BASE_ENABLE, x2apic = xapic | APIC_BASE_X2APIC;
	u64 value;

	start_x2apic();
	assert_int_equal(apic_read(&vcpu, 0x20, 4), ~0ull); /* no page in this mode */
	assert_int_equal(apic_write_base(&vcpu, xapic), -EFAULT);
	assert_int_equal(apic_write_base(&vcpu, off | APIC_BASE_X2APIC), -EFAULT);
	assert_true(hardware.base == x2apic && vcpu.apic_base == x2apic);
	assert_int_equal(apic_write_base(&vcpu, off), 0);
	assert_true(hardware.base == off && vcpu.apic_base == off && !apic_accesses);
	assert_int_equal(apic_write_base(&vcpu, x2apic), -EFAULT); /* only from xAPIC mode */
	assert_int_equal(apic_write_base(&vcpu, xapic & ~APIC_BASE_BSP), 0);
	assert_true(hardware.base == xapic && vcpu.apic_base == xapic && !apic_is_x2apic(&vcpu));
	apic_register[0x20 / 4] = 0x05000000;
	assert_int_equal(apic_read(&vcpu, 0x20, 4), 0x05000000);
	assert_int_equal(apic_write_base(&vcpu, x2apic), 0);
	assert_int_equal(hardware.base, x2apic);
	assert_int_equal(apic_read_x2apic_icr(&vcpu, &value), 0);

	start_x2apic();
	hardware.legacy_xapic_disabled = true;
	assert_int_equal(apic_write_base(&vcpu, off), -EFAULT);
	assert_true(hardware.base == x2apic && vcpu.apic_base == x2apic);
	assert_int_equal(apic_write_base(&vcpu, x2apic), 0);
}

/* Section 10.4.1 leaves them undefined: the hardware is asked in the guest's own way. */
static void odd_accesses_to_the_apic_are_the_hardwares(void **state)
{
	u8 buf[16];

	reset_vcpu(64);
	for (u32 i = 0; i < 0x400; i++)
		apic_register[i] = 0x01010101u * (i & 0xff);
	vcpu.gpr[GPR_RBX] = APIC + 0x84;
	run("\x48\x8b\x03", 3, APIC + 0x84, APIC + 0x84); /* MOV RAX, [RBX] */
	assert_true(odd_count == 1 && odd_size[0] == 8 && odd_offset[0] == 0x84);
	assert_int_equal(vcpu.gpr[GPR_RAX], 0x2222222221212121ull);
	vcpu.gpr[GPR_RBX] = APIC + 0x82;
	run("\x66\x89\x03", 3, APIC + 0x82, APIC + 0x82); /* MOV [RBX], AX */
	assert_true(odd_count == 2 && odd_size[1] == 2 && odd_offset[1] == 0x82 && apic_accesses == 0);
	assert_int_equal(emulate_read(&vcpu, APIC + 0x80, buf, 16), 0);
	assert_true(odd_count == 4 && odd_size[2] == 8 && odd_offset[2] == 0x80 && odd_offset[3] == 0x88);
}

/* QEMU takes any part of the 16 bytes for the command register. */
static void no_odd_write_is_a_command_that_is_refused(void **state)
{
	static const struct {
		u32 offset, size;
		u64 value;
		bool passes;
	} cases[] = {
		{0x300, 8, 0x000c4500, false},
		{0x300, 8, 0x4500ull << 32, false},
		{0x300, 8, 0x000040f0, true},
		{0x304, 4, 0x000c0500, false},
		{0x304, 4, 0x000040f0, true},
		{0x308, 8, 0x400ull << 32, false},
		{0x2fc, 8, 0x4500ull << 32, false},
		{0x30c, 8, 0x40400, false},
		{0x301, 1, 0x05, false},
		{0x300, 2, 0x40f0, false},
		{0x2fe, 4, 0x05000000, false},
		{0x310, 8, 0x0400ull << 32, true},
		{0x2f8, 8, 0x0500ull << 32, true},
		{0x302, 4, 0, false},
	};

	host_log_quiet = true;
	for (u32 n = 0; n < ARRAY_SIZE(cases); n++) {
		reset_vcpu(64);
		apic_write(&vcpu, cases[n].offset, cases[n].size, cases[n].value);
		assert_int_equal(odd_count, cases[n].passes);
		assert_int_equal(apic_accesses, 0);
	}
	host_log_quiet = false;
}

/* --- the fast path of the APIC's page ------------------------------------------------- */

/* One processor of the guest's, or the first of several. */
static void reset_for_fast_path(bool several)
{
	reset_vcpu(64);
	processors_init(&shared.processors, false);
	assert_int_equal(processors_add(&shared.processors, 5, true), 0);
	vcpu.several = several;
	code_is_known = recalls = true;
	recalled = 0;
	for (u32 i = 0; i < GPR_COUNT; i++)
		vcpu.gpr[i] = host_random() << 32 | host_random();
	for (u32 i = 0; i < ARRAY_SIZE(apic_register); i++)
		apic_register[i] = (u32)host_random();
}

/* What exits with a page fault at gva. Returns what the fast path says. */
static u32 fast_apic(bool inside, gva_t gva, u32 error)
{
	vcpu.mmio = (struct mmio_access){.state = MMIO_FOUND,
					 .fault = {.gpa = gpa(APIC + (gva & ~PAGE_MASK)), .kind = REGION_TRAPPED}};
	vcpu.exit = (struct vcpu_exit){.kind = EXIT_PAGE_FAULT, .gva = gva, .error = error};
	return inside ? fast_path_apic_inside(&vcpu, gva, error, 0, vcpu.rflags) : fast_path_apic(&vcpu, gva, error);
}

/* A random instruction, most of them MOVs to or from memory; its registers are set so that it accesses the page. */
static gva_t random_access(struct insn *insn)
{
	static const u8 opcodes[] = {0x89, 0x8b, 0xc7, 0x89, 0x8b, 0xc7, 0x88, 0x87, 0xa1, 0x03};
	u32 offset = host_random_below(4) ? 16 * host_random_below(0x40) : host_random_below(0xff0), at = 0;
	u64 page = APIC, missing;
	u8 *b = memory + CODE;

	for (u32 i = 0; i < INSN_MAX; i++)
		b[i] = host_random();
	if (!host_random_below(8))
		b[at++] = host_random_below(2) ? 0x66 : 0x65;
	if (host_random_below(2))
		b[at++] = 0x40 | host_random_below(host_random_below(4) ? 8 : 16);
	b[at] = opcodes[host_random_below(sizeof(opcodes))];
	if (host_random_below(2)) /* a register and no index, or none */
		b[at + 2] = (b[at + 2] & 0xc7) | 0x20;
	if (!host_random_below(4))
		b[at + 1] = (b[at + 1] & 0x38) | (host_random_below(2) ? 4 : 5);
	if (b[at] == 0xc7 && host_random_below(4))
		b[at + 1] &= 0xc7;
	if (insn_decode(insn, b, INSN_MAX, 64) || !insn->has_mem)
		return 0;
	if (insn->rip_relative || insn->base == INSN_NO_REG)
		page = (u64)(s64)(s32)APIC;
	missing = page + offset - insn_effective_offset(&vcpu, insn);
	if (insn->base != INSN_NO_REG) {
		vcpu.gpr[insn->base] += missing;
	} else {
		u32 disp = (u32)(insn->disp + missing);

		memcpy(b + insn->len - insn->imm_len - 4, &disp, 4);
	}
	return insn_decode(insn, b, INSN_MAX, 64) || insn_effective_offset(&vcpu, insn) != page + offset ?
		       0 :
		       page + offset;
}

/* C3: what makes a request, or is refused with a line, is the emulator's alone. */
static void the_fast_path_moves_what_the_emulator_does_or_nothing(void **state)
{
	u32 taken = 0;

	host_random_seed(35);
	for (u32 n = 0; n < 60000; n++) {
		static u32 before[ARRAY_SIZE(apic_register)], registers[ARRAY_SIZE(apic_register)];
		bool several = n & 1, inside = n & 2;
		struct vcpu fresh, done;
		u32 error, len, accesses;
		struct insn insn;
		gva_t gva;
		u64 icr;

		reset_for_fast_path(several);
		gva = random_access(&insn);
		if (!gva)
			continue;
		vcpu.gpr[insn.reg] ^= !host_random_below(2) || insn.reg == insn.base ? 0 : host_random() & 0xffff;
		error = insn.opcode == 0x8b ? 0 : PF_W;
		if (!host_random_below(16))
			error ^= host_random_below(2) ? PF_W : PF_ID;
		fresh = vcpu;
		memcpy(before, apic_register, sizeof(before));
		len = fast_apic(inside, gva, error);
		assert_true(vcpu.rip == CODE && vcpu.inject.type == EVENT_NONE);
		if (!len) {
			assert_memory_equal(vcpu.gpr, fresh.gpr, sizeof(vcpu.gpr));
			assert_memory_equal(apic_register, before, sizeof(before));
			assert_int_equal(apic_accesses + odd_count, 0);
			continue;
		}
		taken++;
		assert_int_equal(recalled, inside);
		done = vcpu;
		icr = guest.icr;
		accesses = apic_accesses;
		memcpy(registers, apic_register, sizeof(before));
		memcpy(apic_register, before, sizeof(before));
		memcpy(vcpu.gpr, fresh.gpr, sizeof(vcpu.gpr));
		guest.icr = apic_accesses = 0;
		emulate_access(&vcpu);
		assert_true(vcpu.rip == CODE + len && len == insn.len);
		assert_memory_equal(vcpu.gpr, done.gpr, sizeof(vcpu.gpr));
		assert_memory_equal(apic_register, registers, sizeof(before));
		assert_true(guest.icr == icr && apic_accesses == accesses);
		assert_false(shared.processors.cpu[0].requests ||
			     memcmp(shared.logged, (bool[ONCE_COUNT]){0}, ONCE_COUNT));
	}
	assert_true(taken > 6000);
	code_is_known = false;
}

/* Of an instruction that stores EAX to [RBX], or loads it: does the fast path take it? */
static bool takes(const u8 *bytes, u32 offset, u32 value)
{
	bool store = bytes[0] != 0x8b;
	u32 len[2];

	for (u32 inside = 0; inside < 2; inside++) {
		u64 off = vcpu.apic_base;

		reset_for_fast_path(true);
		vcpu.apic_base = off;
		memcpy(memory + CODE, bytes, INSN_FAST_MOVE_BYTES);
		vcpu.gpr[GPR_RBX] = vcpu.gpr[GPR_RBP] = vcpu.gpr[GPR_R12] = APIC + offset;
		vcpu.gpr[GPR_RAX] = value;
		len[inside] = fast_apic(inside, APIC + offset, store ? PF_W : 0);
	}
	assert_int_equal(len[0], len[1]);
	return len[0];
}

static const u8 store[INSN_FAST_MOVE_BYTES] = {0x89, 0x03}, load[INSN_FAST_MOVE_BYTES] = {0x8b, 0x03};

static void messages_and_addresses_are_not_on_the_fast_path(void **state)
{
	reset_vcpu(64);
	for (u32 mode = 0; mode < 8; mode++)
		assert_int_equal(takes(store, 0x300, 0xc4031 | mode << 8), mode <= ICR_LOWEST);
	for (u32 offset = 0; offset < 0x400; offset += 4) {
		bool whole = !(offset & 15),
		     address = offset == 0 || offset == 0x20 || offset == 0xd0 || offset == 0xe0;

		assert_int_equal(takes(store, offset, 0xf0), whole && !address);
		assert_int_equal(takes(load, offset, 0), whole);
	}
	assert_false(takes((const u8[INSN_FAST_MOVE_BYTES]){0x89, 0x45, 0x00}, 0xb0, 0)); /* [RBP], which is not here, */
	assert_false(takes((const u8[INSN_FAST_MOVE_BYTES]){0x41, 0x89, 0x04, 0x24}, 0xb0, 0)); /* nor R12 */
	assert_false(takes((const u8[INSN_FAST_MOVE_BYTES]){0x89, 0x2b}, 0xb0, 0)); /* nor EBP as the source */
	vcpu.apic_base = APIC;                                                      /* off */
	assert_false(takes(store, 0xb0, 0) || takes(load, 0x20, 0));
	vcpu.apic_base = APIC | APIC_BASE_ENABLE | APIC_BASE_X2APIC;
	assert_false(takes(store, 0xb0, 0) || takes(load, 0x20, 0));
	vcpu.apic_base = APIC | APIC_BASE_ENABLE;
	assert_true(takes(store, 0xb0, 0) && takes(load, 0x20, 0));
	code_is_known = false;
}

static void what_is_not_known_is_not_on_the_fast_path(void **state)
{
	reset_for_fast_path(true);
	memcpy(memory + CODE, store, sizeof(store));
	vcpu.gpr[GPR_RBX] = APIC + 0xb0;
	recalls = false;
	assert_int_equal(fast_apic(true, APIC + 0xb0, PF_W), 0);
	assert_int_equal(fast_apic(true, APIC + 0xb0, 0), 0); /* another instruction stood there when it faulted */
	assert_int_equal(fast_apic(false, APIC + 0x80, PF_W), 0);
	vcpu.rip = CODE + PAGE_SIZE - INSN_FAST_MOVE_BYTES + 1; /* it may go on in the next page */
	memcpy(memory + vcpu.rip, store, sizeof(store));
	assert_int_equal(fast_apic(false, APIC + 0xb0, PF_W), 0);
	vcpu.rip--;
	memcpy(memory + vcpu.rip, store, sizeof(store));
	code_is_known = false;
	assert_int_equal(fast_apic(false, APIC + 0xb0, PF_W), 0);
	assert_int_equal(apic_accesses, 0);
	code_is_known = true;
	assert_int_equal(fast_apic(false, APIC + 0xb0, PF_W), 2);
	assert_int_equal(apic_accesses, 1);
	vcpu.mmio.fault.gpa = gpa(DEVICE + 0xb0); /* another page that traps */
	assert_int_equal(fast_path_apic(&vcpu, APIC + 0xb0, PF_W), 0);
	recalls = true;
	assert_int_equal(fast_path_apic_inside(&vcpu, APIC + 0xb0, PF_W, 0, 0), 0);
	assert_int_equal(apic_accesses, 1);
	code_is_known = false;
}

static void a_disabled_apic_reads_all_ones(void **state)
{
	reset_vcpu(64);
	assert_int_equal(apic_write_base(&vcpu, APIC), 0);
	assert_int_equal(apic_register[0xf0 / 4], 0x1ff); /* the hardware's stays on, for its pins */
	apic_accesses = 0;
	vcpu.gpr[GPR_RBX] = APIC + 0x20;
	run("\x8b\x0b", 2, APIC + 0x20, APIC + 0x20);
	assert_int_equal(vcpu.gpr[GPR_RCX], 0xffffffff);
	run("\x89\x0b", 2, APIC + 0x20, APIC + 0x20);
	assert_int_equal(apic_accesses, 0);
	assert_int_equal(apic_write_base(&vcpu, APIC | APIC_BASE_ENABLE), 0);
	assert_int_equal(apic_register[0xf0 / 4], 0xff);
	assert_int_equal(apic_write_base(&vcpu, APIC | APIC_BASE_ENABLE | APIC_BASE_X2APIC), -EFAULT);
	assert_int_equal(apic_write_base(&vcpu, APIC | APIC_BASE_ENABLE | 1), -EFAULT);
	host_log_quiet = true;
	assert_int_equal(apic_write_base(&vcpu, 0xfec00000 | APIC_BASE_ENABLE), 0);
	host_log_quiet = false;
	assert_int_equal(apic_page(&vcpu), APIC);
}

static void hidden_memory_reads_ones_and_drops_writes(void **state)
{
	reset_vcpu(64);
	vcpu.gpr[GPR_RBX] = HIDDEN + 8;
	vcpu.gpr[GPR_RAX] = 1;
	run("\x48\x01\x03", 3, HIDDEN + 8, HIDDEN + 8); /* ADD [RBX], RAX: -1 + 1 */
	assert_true(vcpu.rflags & FLAG_ZF && vcpu.rflags & FLAG_CF);
	assert_int_equal(hidden_writes, 1);
	run("\x48\x87\x03", 3, HIDDEN + 8, HIDDEN + 8); /* XCHG */
	assert_true(vcpu.gpr[GPR_RAX] == ~0ull);
	vcpu.gpr[GPR_RBX] = HIDDEN + 16;
	run("\x0f\x29\x03", 3, HIDDEN + 16, HIDDEN + 16); /* MOVAPS: dropped */
	assert_int_equal(vcpu.rip, CODE + 3);
	assert_int_equal(vcpu.inject.type, EVENT_NONE);
	run("\x0f\xc0\x03\x90", 3, HIDDEN + 8, HIDDEN + 8);
	assert_int_equal(vcpu.rip, CODE + 3);
}

/* A register of 16 bits at offset 4 whose bit 13 cannot be set; the rest of the page is as the device has it. */
static void device_filter(struct vcpu *v, const struct io_access *access, u64 *value)
{
	u8 *byte = io_byte(access, value, true, DEVICE + 5);

	if (byte)
		*byte &= 0xdf;
}

static void start_device(void)
{
	reset_vcpu(64);
	memset(device_page, 0, sizeof(device_page));
	device_accesses = 0;
	assert_int_equal(mmio_trap(&vcpu, gpa(DEVICE), device_filter), 0);
	vcpu.gpr[GPR_RDI] = vcpu.gpr[GPR_RBX] = DEVICE;
	vcpu.gpr[GPR_RAX] = ~0ull;
}

static void a_trapped_page_passes_all_but_what_its_filter_holds_back(void **state)
{
	static const struct {
		const char *bytes;
		u8 len, offset, accesses, at_5;
	} cases[] = {
		{"\x88\x43\x05", 3, 5, 1, 0xdf},  {"\x66\x89\x43\x04", 4, 4, 1, 0xdf},
		{"\x89\x43\x02", 3, 2, 1, 0xdf},  {"\x89\x43\x04", 3, 4, 1, 0xdf},
		{"\x48\x89\x03", 3, 0, 1, 0xdf},  {"\x66\x09\x43\x04", 4, 4, 2, 0xdf},
		{"\x80\x4b\x05\x20", 4, 5, 2, 0}, {"\x48\xab", 2, 0, 1, 0xdf},
		{"\x88\x43\x06", 3, 6, 1, 0},     {"\xc7\x43\x05\xff\xff\xff\xff", 7, 5, 1, 0xdf},
	};

	for (u32 n = 0; n < ARRAY_SIZE(cases); n++) {
		start_device();
		run(cases[n].bytes, cases[n].len, DEVICE + cases[n].offset, DEVICE + cases[n].offset);
		assert_int_equal(vcpu.inject.type, EVENT_NONE);
		assert_int_equal(vcpu.rip, CODE + cases[n].len);
		assert_int_equal(device_accesses, cases[n].accesses);
		assert_int_equal(device_page[5], cases[n].at_5);
	}
	start_device(); /* 16 bytes, read and written in two pieces each */
	vcpu.gpr[GPR_RAX] = vcpu.gpr[GPR_RDX] = 0;
	vcpu.gpr[GPR_RBX] = vcpu.gpr[GPR_RCX] = ~0ull;
	run("\x48\x0f\xc7\x0f", 4, DEVICE, DEVICE);
	assert_int_equal(device_accesses, 4);
	assert_memory_equal(device_page, "\xff\xff\xff\xff\xff\xdf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16);
	start_device();
	memset(device_page + 0xffd, 0x5a, 3);
	run("\x8b\x8b\xfc\x0f\x00\x00", 6, DEVICE + 0xffc, DEVICE + 0xffc);
	assert_true(vcpu.gpr[GPR_RCX] == 0x5a5a5a00);
}

static void movbe_swaps_bytes(void **state)
{
	reset_vcpu(64);
	vcpu.gpr[GPR_RBX] = DATA;
	vcpu.gpr[GPR_RAX] = 0x1122334455667788ull;
	memset(memory + DATA, 0, 8);
	run("\x0f\x38\xf1\x03", 4, 0, HIDDEN);
	assert_memory_equal(memory + DATA, "\x55\x66\x77\x88\0", 5);
	run("\x66\x0f\x38\xf0\x03", 5, 0, HIDDEN);
	assert_true(vcpu.gpr[GPR_RAX] == 0x1122334455665566ull);
	run("\x48\x0f\x38\xf0\x03", 5, 0, HIDDEN);
	assert_true(vcpu.gpr[GPR_RAX] == 0x5566778800000000ull);
}

static void what_is_not_emulated_stops_the_guest_with_its_bytes(void **state)
{
	reset_vcpu(64);
	vcpu.gpr[GPR_RBX] = HIDDEN;
	assert_panics(run("\x64\xd9\x33", 3, HIDDEN, HIDDEN)); /* FNSTENV */
	assert_string_equal(host_panic_message, "instruction 64 d9 33 at 1000, on memory at 20000, is not emulated");
}

/* adversarial: 21 */
static void a_crossing_write_with_a_bad_half_writes_nothing(void **state)
{
	reset_vcpu(64);
	memory[MEM_END - 1] = 0x55;
	vcpu.gpr[GPR_RBX] = MEM_END - 4;
	vcpu.gpr[GPR_RAX] = 0x1111111111111111ull;
	run("\x48\x89\x03", 3, MEM_END - 4, MEM_END - 4);
	assert_int_equal(vcpu.inject.vector, VEC_PF);
	assert_int_equal(vcpu.inject.error, PF_W);
	assert_int_equal(vcpu.cr2, MEM_END);
	assert_int_equal(memory[MEM_END - 1], 0x55);
	assert_int_equal(vcpu.rip, CODE);
}

static void a_repeated_store_faults_at_its_element(void **state)
{
	reset_vcpu(64);
	vcpu.gpr[GPR_RDI] = MEM_END - 16;
	vcpu.gpr[GPR_RCX] = 100;
	run("\xf3\x48\xab", 3, MEM_END - 16, MEM_END - 16);
	assert_int_equal(vcpu.gpr[GPR_RDI], MEM_END);
	assert_int_equal(vcpu.gpr[GPR_RCX], 98);
	assert_int_equal(vcpu.cr2, MEM_END);
	assert_int_equal(vcpu.rip, CODE);
}

static void a_long_repetition_lets_others_in(void **state)
{
	u32 runs = 0;

	reset_vcpu(64);
	vcpu.gpr[GPR_RDI] = HIDDEN;
	vcpu.gpr[GPR_RCX] = 0x1000;
	do {
		run("\xf3\xaa", 2, HIDDEN, HIDDEN);
		runs++;
	} while (vcpu.rip == CODE && runs < 100);
	assert_true(runs >= 2 && runs <= 20);
	assert_int_equal(vcpu.gpr[GPR_RCX], 0);
	assert_int_equal(hidden_writes, 0x1000);
}

static void a_non_canonical_address_is_gp_or_ss(void **state)
{
	reset_vcpu(64);
	vcpu.gpr[GPR_RBX] = 0x800000000000ull;
	vcpu.gpr[GPR_RSP] = 0x800000000000ull;
	run("\x89\x03", 2, 0, HIDDEN);
	assert_int_equal(vcpu.inject.vector, VEC_GP);
	run("\x89\x04\x24", 3, 0, HIDDEN);
	assert_int_equal(vcpu.inject.vector, VEC_SS);
}

/* --- what segments allow ---------------------------------------------------------------- */

/*
 * Forms with an operand at DS:[EBX], SS:[EBP] or another segment by its prefix: behind the opcode stands the reg field. How they
 * access it: r, w (reads and writes count as w), f (CLFLUSH); p and q: they read it, or write it, with the stack pointer's width in 64-bit
 * code, and p pushes too.
 */
struct limited_form {
	const char *opcode;
	char access;
	u8 length, reg;
	u8 size; /* of the operand; 0: 4 bytes, 2 with a 66 prefix or in 16-bit code */
	u8 imm;  /* bytes of it; IMM_SIZED: 4, or 2 as above */
};
#define FORM_I(opcode, access, reg, size, imm) \
	{ \
		opcode, access, sizeof(opcode) - 1, reg, size, imm \
	}
#define FORM(opcode, access, reg, size) FORM_I(opcode, access, reg, size, 0)
#define IMM_SIZED 0xff
static const struct limited_form limited_forms[] = {
	FORM("\x00", 'w', 1, 1),              /* ADD r/m8 */
	FORM("\x01", 'w', 1, 0),              /* ADD */
	FORM("\x03", 'r', 1, 0),              /* ADD r, r/m */
	FORM("\x38", 'r', 1, 1),              /* CMP r/m8 */
	FORM("\x3b", 'r', 1, 0),              /* CMP r, r/m */
	FORM_I("\x81", 'w', 4, 0, IMM_SIZED), /* AND r/m, imm */
	FORM_I("\x81", 'r', 7, 0, IMM_SIZED), /* CMP r/m, imm */
	FORM_I("\x83", 'w', 4, 0, 1),         /* AND r/m, imm8 */
	FORM("\x85", 'r', 1, 0),              /* TEST */
	FORM("\x86", 'w', 1, 1),              /* XCHG r/m8 */
	FORM("\x87", 'w', 1, 0),              /* XCHG */
	FORM("\x88", 'w', 1, 1),              /* MOV r/m8, r */
	FORM("\x89", 'w', 1, 0),              /* MOV r/m, r */
	FORM("\x8a", 'r', 1, 1),              /* MOV r8, r/m */
	FORM("\x8b", 'r', 1, 0),              /* MOV r, r/m */
	FORM("\x8c", 'w', 3, 2),              /* MOV r/m16, DS */
	FORM("\x8f", 'q', 0, 0),              /* POP r/m */
	FORM_I("\xc1", 'w', 4, 0, 1),         /* SHL r/m, imm8 */
	FORM_I("\xc6", 'w', 0, 1, 1),         /* MOV r/m8, imm8 */
	FORM_I("\xc7", 'w', 0, 0, IMM_SIZED), /* MOV r/m, imm */
	FORM("\xd1", 'w', 5, 0),              /* SHR r/m, 1 */
	FORM("\xd3", 'w', 7, 0),              /* SAR r/m, CL */
	FORM("\xf6", 'w', 3, 1),              /* NEG r/m8 */
	FORM("\xf7", 'w', 2, 0),              /* NOT r/m */
	FORM_I("\xf7", 'r', 0, 0, IMM_SIZED), /* TEST r/m, imm */
	FORM("\xfe", 'w', 0, 1),              /* INC r/m8 */
	FORM("\xff", 'w', 1, 0),              /* DEC r/m */
	FORM("\xff", 'p', 2, 0),              /* CALL r/m */
	FORM("\xff", 'j', 4, 0),              /* JMP r/m */
	FORM("\xff", 'p', 6, 0),              /* PUSH r/m */
	FORM("\x0f\x94", 'w', 0, 1),          /* SETE */
	FORM_I("\x0f\xba", 'r', 4, 0, 1),     /* BT r/m, imm8 */
	FORM_I("\x0f\xba", 'w', 5, 0, 1),     /* BTS r/m, imm8 */
	FORM("\x0f\xa3", 'r', 6, 0),          /* BT r/m, r: ESI is 0 */
	FORM("\x0f\xbb", 'w', 6, 0),          /* BTC r/m, r */
	FORM("\x0f\xb0", 'w', 1, 1),          /* CMPXCHG r/m8 */
	FORM("\x0f\xb1", 'w', 1, 0),          /* CMPXCHG */
	FORM("\x0f\xb6", 'r', 1, 1),          /* MOVZX r, r/m8 */
	FORM("\x0f\xbf", 'r', 1, 2),          /* MOVSX r, r/m16 */
	FORM("\x0f\xc0", 'w', 1, 1),          /* XADD r/m8 */
	FORM("\x0f\xc1", 'w', 1, 0),          /* XADD */
	FORM("\x0f\xc3", 'w', 1, 4),          /* MOVNTI */
	FORM("\x0f\xc7", 'w', 1, 8),          /* CMPXCHG8B */
	FORM("\x0f\x38\xf0", 'r', 1, 0),      /* MOVBE r, m */
	FORM("\x0f\x38\xf1", 'w', 1, 0),      /* MOVBE m, r */
	FORM("\x0f\xaf", 'r', 1, 0),          /* IMUL: executed by the CPU, as are the rest but CLFLUSH */
	FORM("\x0f\x10", 'r', 1, 16),         /* MOVUPS xmm, m */
	FORM("\x0f\x11", 'w', 1, 16),         /* MOVUPS m, xmm */
	FORM("\xdd", 'r', 0, 8),              /* FLD m64 */
	FORM("\xdb", 'r', 5, 10),             /* FLD m80 */
	FORM("\xd9", 'r', 5, 2),              /* FLDCW */
	FORM("\xd9", 'w', 7, 2),              /* FNSTCW */
	FORM("\x0f\xae", 'f', 7, 1),          /* CLFLUSH */
};

/* Every byte of the operand must lie in the segment: SDM vol. 3 section 5.3. */
static bool in_segment(const struct segment *s, u64 offset, u32 size)
{
	bool down = !(s->attributes & 8) && s->attributes & 4;
	u64 top = s->attributes & SEG_ATTR_DB ? 0xffffffff : 0xffff;

	for (u64 at = offset; at < offset + size; at++)
		if (down ? at <= s->limit || at > top : at > s->limit)
			return false;
	return true;
}

/* By the sixteen types, SDM vol. 3 table 3-1: is it read, is it written? CLFLUSH: vol. 2. */
static bool type_allows(const struct segment *s, char access)
{
	static const char *const allowed[16] = {"r", "r", "rw", "rw", "r", "r", "rw", "rw",
						"",  "",  "r",  "r",  "",  "",  "r",  "r"};

	if (s->attributes & SEG_ATTR_UNUSABLE)
		return false;
	if (!(vcpu.cr0 & CR0_PE) || access == 'f')
		return true;
	return strchr(allowed[s->attributes & 15], access);
}

#define LIMIT (DATA + 0x7ffu)
static u32 limits_held, limits_passed;

static void fail_segment(const u8 *code, u64 offset, u32 size, char access)
{
	fail_msg("%u-bit code %02x %02x %02x %02x, segment %u of type %x: %u bytes at %llx, %c: event %u, vector %u",
		 code_bits, code[0], code[1], code[2], code[3], limited_name, limited->attributes, size,
		 (unsigned long long)offset, access, vcpu.inject.type, vcpu.inject.vector);
}

static bool is_raised(u8 vector)
{
	return vcpu.inject.type == EVENT_EXCEPTION && vcpu.inject.vector == vector && !vcpu.inject.error;
}

/* The instruction at its offset with the segment as it is: done, or #SS or #GP with nothing changed. */
static void expect_limit(const u8 *code, u32 len, u64 offset, u32 size, char access)
{
	static u8 before[MEM_END];
	bool fits = in_segment(limited, offset, size) && type_allows(limited, access);
	struct vcpu old = vcpu;

	memcpy(before, memory, sizeof(before));
	run((const char *)code, len, 0, HIDDEN);
	if (fits ? vcpu.inject.type != EVENT_NONE : !is_raised(limited_name == SEG_SS ? VEC_SS : VEC_GP))
		fail_segment(code, offset, size, access);
	fits ? limits_passed++ : limits_held++;
	if (fits)
		return;
	assert_memory_equal(vcpu.gpr, old.gpr, sizeof(old.gpr));
	assert_int_equal(vcpu.rip, CODE);
	assert_memory_equal(memory + DATA, before + DATA, MEM_END - DATA);
}

static bool real_mode;

static void ready_vcpu(u32 bits)
{
	reset_vcpu(bits);
	if (real_mode)
		vcpu.cr0 &= ~CR0_PE;
	host_state_reset(&host_guest_state);
	memset(memory + DATA, 0, MEM_END - DATA);
	memory[DATA + 0x800] = 0x7f;
	vcpu.gpr[GPR_RSP] = limited->attributes & 4 ? DATA + 0xc00 : DATA + 0x100;
}

/* Of an operand that the form has in the limited segment; what it does to the stack counts if that is the one. */
static char access_of(const struct limited_form *f)
{
	switch (f->access) {
	case 'p': return limited_name == SEG_SS ? 'w' : 'r';
	case 'q': return 'w';
	case 'j': return 'r';
	default: return f->access;
	}
}

static u32 size_of_form(const struct limited_form *f, u32 bits, bool narrow)
{
	if (bits == 64 && strchr("pqj", f->access))
		return 8;
	return f->size ? f->size : narrow ? 2 : 4;
}

/* The instruction's bytes; plain: by the base register alone, whose segment is the one. */
static u32 build_form(const struct limited_form *f, u32 bits, bool prefix66, bool plain, u8 code[INSN_MAX])
{
	static const u8 prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
	bool narrow = (bits == 16) != prefix66, frame = plain && limited_name == SEG_SS;
	u32 len = 0;

	if (!plain)
		code[len++] = prefixes[limited_name];
	if (prefix66)
		code[len++] = 0x66;
	memcpy(code + len, f->opcode, f->length);
	len += f->length;
	code[len++] = (frame ? 0x40 : 0) | f->reg << 3 | (bits == 16 ? (frame ? 6 : 7) : frame ? 5 : 3);
	if (frame)
		code[len++] = 0;
	for (u32 n = f->imm == IMM_SIZED ? (narrow ? 2 : 4) : f->imm; n; n--)
		code[len++] = 0;
	return len;
}

static void at_limit(const struct limited_form *f, u32 bits, bool prefix66, u64 offset)
{
	u32 size = size_of_form(f, bits, (bits == 16) != prefix66);

	for (u32 plain = 0; plain < 2; plain++) {
		u8 code[INSN_MAX] = {0};
		u32 len;

		if (plain && limited_name != SEG_SS && limited_name != SEG_DS)
			continue;
		ready_vcpu(bits);
		len = build_form(f, bits, prefix66, plain, code);
		vcpu.gpr[plain && limited_name == SEG_SS ? GPR_RBP : GPR_RBX] = offset;
		expect_limit(code, len, offset, size, access_of(f));
	}
}

static void forms_at(u32 bits, u64 offset)
{
	for (u32 f = 0; f < ARRAY_SIZE(limited_forms); f++)
		for (u32 prefix66 = 0; prefix66 < 2; prefix66++)
			if (!prefix66 || !limited_forms[f].size)
				at_limit(&limited_forms[f], bits, prefix66, offset);
}

/* Absolute addresses, strings at each of their operands, XLAT; the segment of a prefix. */
static void others_at(u32 bits, u64 offset)
{
	static const struct {
		u8 op;
		enum segment_name name;
		char access;
	} others[] = {
		{0xa0, SEG_DS, 'r'}, {0xa2, SEG_DS, 'w'}, {0xa4, SEG_DS, 'r'},
		{0xa4, SEG_ES, 'w'}, {0xa6, SEG_DS, 'r'}, {0xa6, SEG_ES, 'r'},
		{0xaa, SEG_ES, 'w'}, {0xac, SEG_DS, 'r'}, {0xae, SEG_ES, 'r'},
	};
	u8 code[INSN_MAX] = {0, 0, offset, offset >> 8, offset >> 16};

	for (u32 n = 0; n < 2 * ARRAY_SIZE(others); n++) {
		u8 op = others[n / 2].op | (n & 1);

		if (others[n / 2].name != limited_name)
			continue;
		ready_vcpu(bits);
		code[0] = 0x3e;
		code[1] = op;
		vcpu.gpr[GPR_RSI] = limited_name == SEG_ES ? DATA + 0x100 : offset;
		vcpu.gpr[GPR_RDI] = limited_name == SEG_ES ? offset : DATA + 0x100;
		expect_limit(code, op <= 0xa3 ? (bits == 16 ? 4 : 6) : 2, offset,
			     op & 1 ? (bits == 16 ? 2 : 4) : 1, others[n / 2].access);
	}
	if (limited_name != SEG_DS)
		return;
	ready_vcpu(bits);
	code[1] = 0xd7;
	vcpu.gpr[GPR_RBX] = offset - 5;
	vcpu.gpr[GPR_RAX] = 5;
	expect_limit(code, 2, offset, 1, 'r');
}

/* Whatever pushes or pops, with what is pushed or popped at the offset. */
static void stack_at(u32 bits, u64 offset)
{
	static const struct {
		char code[8];
		char access;
	} forms[] = {
		{"\x53", 'w'},         {"\x68\0\0\0\0", 'w'}, {"\x6a\0", 'w'},   {"\x9c", 'w'},
		{"\xe8\0\0\0\0", 'w'}, {"\x5b", 'r'},         {"\xc3", 'r'},     {"\xc2\x08\0", 'r'},
		{"\xc9", 'r'},         {"\xff\x33", 'w'},     {"\xff\x13", 'w'}, {"\x8f\x03", 'r'},
	};
	u32 size = bits == 16 ? 2 : 4;

	if (limited_name != SEG_SS)
		return;
	for (u32 n = 0; n < ARRAY_SIZE(forms); n++) {
		u8 code[INSN_MAX] = {0};

		memcpy(code, forms[n].code, 6);
		if (bits == 16 && (code[0] == 0xff || code[0] == 0x8f))
			code[1] |= 4; /* [BX] */
		ready_vcpu(bits);
		vcpu.gpr[GPR_RBX] = DATA + 0x200;
		vcpu.gpr[GPR_RSP] = offset + (forms[n].access == 'w' ? size : 0);
		if (code[0] == 0xc9) {
			vcpu.gpr[GPR_RBP] = offset;
			vcpu.gpr[GPR_RSP] = DATA + 0x40;
		}
		expect_limit(code, 6, offset, size, forms[n].access);
	}
}

static void the_whole_operand_is_within_the_limit(void **state)
{
	static const u32 types[] = {0x93, 0x97};
	static const u32 around[] = {LIMIT, 0xffff};

	limits_held = limits_passed = 0;
	for (u32 n = 0; n < 2 * 2 * 6 * 2 * 2; n++) {
		const struct segment s = {.limit = LIMIT, .attributes = types[n & 1] | (n & 2 ? SEG_ATTR_DB : 0)};
		u32 bits = n & 4 ? 32 : 16, edge = around[n >> 3 & 1];

		limited = &s;
		limited_name = n >> 4;
		if (limited_name == SEG_CS && !(s.attributes & SEG_ATTR_DB) != (bits == 16))
			continue;
		real_mode = limited_name == SEG_CS; /* where CS is data */
		if (real_mode && bits == 32)
			continue;
		for (u32 by = 0; by < 20; by++) {
			u64 offset = edge - 17 + by;

			if (offset > 0xffff && bits == 16)
				continue;
			/* Above 64 KiB there is no memory here. */
			if (offset + 16 > 0xffff && in_segment(&s, offset, 1) && s.attributes & 4 &&
			    s.attributes & SEG_ATTR_DB)
				continue;
			forms_at(bits, offset);
			others_at(bits, offset);
			if (s.attributes & SEG_ATTR_DB ? offset + 4 <= 0xffff : offset + 4 < 0xffff)
				stack_at(bits, offset);
		}
	}
	limited = NULL;
	real_mode = false;
	printf("%u beyond the limit, %u within\n", limits_held, limits_passed);
	assert_true(limits_held > 10000 && limits_passed > 10000);
}

/* Each type, and none, in each segment register, for each form: SDM vol. 3 section 5.4. */
static void the_segments_type_allows_the_access(void **state)
{
	limits_held = limits_passed = 0;
	for (u32 n = 0; n < 17 * 6 * 2 * 2; n++) {
		u32 type = n % 17, bits = n / 17 & 1 ? 32 : 16;
		struct segment s = {.limit = 0xffff, .attributes = 0x90 | type};

		limited_name = n / 34 % 6;
		real_mode = n / 34 >= 6;
		if (type == 16)
			s.attributes = SEG_ATTR_UNUSABLE;
		else if ((type & 0xc) == 4)
			s.limit = DATA - 1;
		if (bits == 32)
			s.attributes |= SEG_ATTR_DB;
		/* Code runs in CS, and without CR0.PE it is 16-bit code. */
		if ((limited_name == SEG_CS && !(type & 8)) || (real_mode && bits == 32))
			continue;
		limited = &s;
		forms_at(bits, DATA + 0x800);
		others_at(bits, DATA + 0x800);
		stack_at(bits, DATA + 0x800);
	}
	limited = NULL;
	real_mode = false;
	printf("%u refused, %u allowed\n", limits_held, limits_passed);
	assert_true(limits_held > 5000 && limits_passed > 5000);
}

/* In 64-bit code neither type nor limit nor a null selector counts, but each byte's address must be canonical (SDM vol. 1 section 3.3.7.1). */
static void in_64_bit_code_each_byte_is_canonical(void **state)
{
	static const u64 edges[] = {0x7fffffffffffull, 0xffff7fffffffffffull};
	const struct segment s = {.attributes = SEG_ATTR_UNUSABLE};
	u32 refused = 0, absent = 0;

	limited = &s;
	for (u32 n = 0; n < ARRAY_SIZE(limited_forms) * 5 * 2 * 20; n++) {
		const struct limited_form *f = &limited_forms[n % ARRAY_SIZE(limited_forms)];
		u32 k = n / ARRAY_SIZE(limited_forms), size = size_of_form(f, 64, false), len;
		u64 offset = edges[k & 1] - 17 + (k >> 1) % 20;
		bool canonical = true;
		u8 code[INSN_MAX] = {0};

		limited_name = (const enum segment_name[]){SEG_DS, SEG_SS, SEG_FS, SEG_GS, SEG_ES}[k / 40];
		if ((limited_name == SEG_ES || limited_name == SEG_DS) && k / 40 && f->access == 'q')
			continue;
		ready_vcpu(64);
		len = build_form(f, 64, false, limited_name == SEG_SS || limited_name == SEG_DS, code);
		vcpu.gpr[limited_name == SEG_SS ? GPR_RBP : GPR_RBX] = offset;
		vcpu.gpr[GPR_RSP] = DATA + 0x100;
		for (u64 at = offset; at != offset + size; at++)
			canonical = canonical && address_is_canonical(at, false);
		run((const char *)code, len, 0, HIDDEN);
		if (canonical ? vcpu.inject.type != EVENT_EXCEPTION || vcpu.inject.vector != VEC_PF :
				!is_raised(limited_name == SEG_SS ? VEC_SS : VEC_GP))
			fail_segment(code, offset, size, f->access);
		canonical ? absent++ : refused++;
	}
	limited = NULL;
	assert_true(refused > 1000 && absent > 1000);
}

/* Near branches: SDM vol. 2, CALL, JMP and RET. Nothing is pushed or popped by one that is refused. */
static void a_branch_beyond_the_code_segment_is_refused(void **state)
{
	static const char branches[][8] = {"\xff\x13", "\xff\x23", "\xc3", "\xc2\x04\0", "\xe8\xfa\x1f\0\0"};
	const struct segment s = {.limit = CODE + 0x1fff, .attributes = 0x9b | SEG_ATTR_DB};

	limited = &s;
	limited_name = SEG_CS;
	for (u32 n = 0; n < 2 * ARRAY_SIZE(branches); n++) {
		bool beyond = n & 1;
		u32 target = CODE + 0x1fff + beyond;
		u8 code[INSN_MAX] = {0};

		memcpy(code, branches[n / 2], 5);
		if (code[0] == 0xe8)
			code[1] += beyond;
		ready_vcpu(32);
		vcpu.gpr[GPR_RBX] = vcpu.gpr[GPR_RSP] = DATA + 0x100;
		memcpy(memory + DATA + 0x100, &target, sizeof(target));
		run((const char *)code, 5, 0, HIDDEN);
		if (beyond ? !is_raised(VEC_GP) || vcpu.rip != CODE || vcpu.gpr[GPR_RSP] != DATA + 0x100 :
			     vcpu.inject.type != EVENT_NONE || vcpu.rip != target)
			fail_segment(code, target, 4, 'j');
	}
	limited = NULL;
}

/* What an instruction cannot write it does not read: a device would notice. */
static void nothing_is_read_that_cannot_be_written(void **state)
{
	static const char forms[][4] = {"\x01\x0b",     "\x87\x0b",     "\xf7\x13",     "\xd1\x23",
					"\x0f\xb1\x0b", "\x0f\xc1\x0b", "\x0f\xc7\x0b", "\x0f\xab\x33"};
	const struct segment s = {.limit = 0xffffffff, .attributes = 0x91 | SEG_ATTR_DB};

	for (u32 n = 0; n < ARRAY_SIZE(forms); n++) {
		limited = &s;
		limited_name = SEG_DS;
		start_device();
		code_bits = 32;
		vcpu.efer = 0;
		vcpu.gpr[GPR_RBX] = DEVICE + 0x10;
		run(forms[n], 3, DEVICE + 0x10, DEVICE + 0x10);
		assert_true(is_raised(VEC_GP));
		assert_int_equal(device_accesses, 0);
	}
	limited = NULL;
}

static void single_stepping_traps_after_the_instruction(void **state)
{
	reset_vcpu(64);
	vcpu.rflags |= RFLAGS_TF;
	vcpu.interrupt_shadow = true;
	vcpu.gpr[GPR_RBX] = HIDDEN;
	run("\x89\x03", 2, HIDDEN, HIDDEN);
	assert_int_equal(vcpu.inject.vector, VEC_DB);
	assert_int_equal(vcpu.dr6_set, DR6_BS);
	assert_false(vcpu.interrupt_shadow);
}

/* --- debug exceptions of emulated instructions -------------------------------------- */

/* Enables breakpoint n: type is R/W (1 writes, 3 both), length is LEN (0 to 3: 1, 2, 8, 4 bytes). */
static void watch(u32 n, u64 at, u32 type, u32 length)
{
	dr[n] = at;
	dr7 |= BIT(2 * n) | (u64)type << (16 + 4 * n) | (u64)length << (18 + 4 * n);
}

static void expect_debug(u64 dr6, u32 len)
{
	assert_int_equal(vcpu.inject.type, dr6 ? EVENT_EXCEPTION : EVENT_NONE);
	assert_int_equal(vcpu.dr6_set, dr6);
	assert_int_equal(vcpu.rip, CODE + len);
	if (dr6)
		assert_int_equal(vcpu.inject.vector, VEC_DB);
	vcpu.dr6_set = 0;
	vcpu.breakpoints_hit = 0;
}

static void a_data_breakpoint_on_an_emulated_access_traps_behind_it(void **state)
{
	static const struct {
		u64 at;
		u32 type, length;
		bool read, write; /* of 4 bytes at HIDDEN + 8 */
	} cases[] = {
		{HIDDEN + 8, 3, 3, true, true},
		{HIDDEN + 8, 1, 3, false, true},
		{HIDDEN + 8, 0, 0, false, false},
		{HIDDEN + 8, 2, 3, false, false},
		{HIDDEN + 11, 3, 0, true, true},
		{HIDDEN + 12, 3, 0, false, false},
		{HIDDEN + 7, 3, 0, false, false},
		{HIDDEN + 10, 3, 1, true, true},
		{HIDDEN + 6, 3, 1, false, false},
		{HIDDEN + 15, 3, 2, true, true},
		{HIDDEN + 7, 3, 2, false, false},
		{HIDDEN + 11, 1, 3, false, true},
		{~0ull << 32 | (HIDDEN + 8), 3, 3, false, false},
	};

	for (u32 n = 0; n < ARRAY_SIZE(cases); n++) {
		reset_vcpu(64);
		watch(n % 4, cases[n].at, cases[n].type, cases[n].length);
		vcpu.gpr[GPR_RBX] = HIDDEN + 8;
		run("\x8b\x03", 2, HIDDEN + 8, HIDDEN + 8);
		expect_debug(cases[n].read ? BIT(n % 4) : 0, 2);
		run("\x89\x03", 2, HIDDEN + 8, HIDDEN + 8);
		expect_debug(cases[n].write ? BIT(n % 4) : 0, 2);
	}
}

static void breakpoints_that_are_off_are_not_met(void **state)
{
	reset_vcpu(64);
	watch(1, HIDDEN, 3, 3);
	vcpu.gpr[GPR_RBX] = HIDDEN;
	dr7 &= ~DR7_ENABLES;
	run("\x8b\x03", 2, HIDDEN, HIDDEN);
	expect_debug(0, 2);
	dr7 |= BIT(3); /* G1 */
	run("\x8b\x03", 2, HIDDEN, HIDDEN);
	expect_debug(BIT(1), 2);
}

static void one_debug_exception_tells_all_that_was_met(void **state)
{
	reset_vcpu(64);
	watch(0, HIDDEN, 3, 3);
	watch(2, HIDDEN, 1, 0);
	watch(3, DATA, 3, 3);
	dr7 |= DR7_GD;
	debugctl = DEBUGCTL_LBR;
	vcpu.rflags |= RFLAGS_TF | RFLAGS_RF;
	vcpu.gpr[GPR_RDI] = HIDDEN;
	vcpu.gpr[GPR_RSI] = DATA;
	run("\xa5", 1, HIDDEN, HIDDEN); /* MOVSD */
	expect_debug(BIT(0) | BIT(2) | BIT(3) | DR6_BS, 1);
	assert_false(vcpu.rflags & RFLAGS_RF);
	assert_false(dr7 & DR7_GD); /* as the processor leaves them when it raises #DB */
	assert_int_equal(debugctl, 0);
}

static void a_fault_drops_the_breakpoints_of_its_instruction(void **state)
{
	reset_vcpu(64);
	watch(0, HIDDEN, 3, 3);
	vcpu.gpr[GPR_RSI] = HIDDEN;
	vcpu.gpr[GPR_RDI] = 0xdead0000;
	run("\xa5", 1, HIDDEN, HIDDEN);
	assert_int_equal(vcpu.inject.vector, VEC_PF);
	assert_int_equal(vcpu.dr6_set, 0);
	assert_true(vcpu.rflags & RFLAGS_RF);
}

static void a_repeated_instruction_traps_behind_the_element(void **state)
{
	reset_vcpu(64);
	watch(0, HIDDEN + 8, 1, 3);
	vcpu.gpr[GPR_RDI] = HIDDEN;
	vcpu.gpr[GPR_RCX] = 4;
	run("\xf3\xab", 2, HIDDEN, HIDDEN); /* REP STOSD */
	expect_debug(BIT(0), 0);
	assert_int_equal(vcpu.gpr[GPR_RCX], 1);
	assert_true(vcpu.rflags & RFLAGS_RF); /* an instruction breakpoint on it is not met again */
	run("\xf3\xab", 2, HIDDEN + 12, HIDDEN + 12);
	expect_debug(0, 2);
	assert_false(vcpu.rflags & RFLAGS_RF);
	vcpu.gpr[GPR_RDI] = HIDDEN + 8;
	vcpu.gpr[GPR_RCX] = 1;
	run("\xf3\xab", 2, HIDDEN + 8, HIDDEN + 8);
	expect_debug(BIT(0), 2); /* the last element */
	vcpu.rflags |= RFLAGS_TF;
	vcpu.gpr[GPR_RDI] = HIDDEN;
	vcpu.gpr[GPR_RCX] = 2;
	run("\xf3\xab", 2, HIDDEN, HIDDEN);
	expect_debug(DR6_BS, 0);
	assert_true(vcpu.rflags & RFLAGS_RF);
}

/* DEBUGCTL.BTF: TF traps behind branches alone. */
static void stepping_by_branches_passes_what_is_none(void **state)
{
	u64 target = CODE + 0x100;

	reset_vcpu(64);
	debugctl = DEBUGCTL_BTF;
	vcpu.rflags |= RFLAGS_TF;
	vcpu.gpr[GPR_RBX] = HIDDEN;
	run("\x89\x03", 2, HIDDEN, HIDDEN);
	expect_debug(0, 2);
	assert_int_equal(debugctl, DEBUGCTL_BTF);
	vcpu.gpr[GPR_RBX] = DATA;
	memcpy(memory + DATA, &target, 8);
	run("\xff\x23", 2, DATA, HIDDEN); /* JMP [RBX] */
	expect_debug(DR6_BS, 0x100);
	assert_int_equal(debugctl, 0);
	debugctl = DEBUGCTL_BTF;
	vcpu.gpr[GPR_RBX] = HIDDEN;
	watch(0, HIDDEN, 1, 3);
	run("\x89\x03", 2, HIDDEN, HIDDEN);
	expect_debug(BIT(0), 2); /* a breakpoint is no step */
}

/* Linear addresses wrap at 4 GiB outside long mode, and only their low half counts. */
static void breakpoints_of_32_bit_code_have_32_bit_addresses(void **state)
{
	reset_vcpu(32);
	watch(0, ~0ull << 32 | HIDDEN, 3, 3);
	vcpu.gpr[GPR_RBX] = HIDDEN;
	run("\x8b\x03", 2, HIDDEN, HIDDEN);
	expect_debug(BIT(0), 2);
}

/* adversarial: 21 */
static void code_that_is_not_there_faults_as_a_fetch(void **state)
{
	reset_vcpu(64);
	vcpu.mmio.fault.gpa = gpa(HIDDEN);
	memory[MEM_END - 1] = 0x89; /* the ModRM is on the next page */
	vcpu.rip = MEM_END - 1;
	emulate_access(&vcpu);
	assert_int_equal(vcpu.inject.vector, VEC_PF);
	assert_int_equal(vcpu.cr2, MEM_END);
}

/* adversarial: 30 */
static void a_delivery_into_hidden_memory_shuts_down(void **state)
{
	reset_vcpu(64);
	vcpu.mmio.fault.gpa = gpa(HIDDEN);
	vcpu.exit.interrupted.type = EVENT_INTERRUPT;
	host_log_quiet = true;
	assert_panics(emulate_access(&vcpu));
	host_log_quiet = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(emulation_matches_unicorn_in_64_bit_code),
		cmocka_unit_test(emulation_matches_unicorn_in_32_bit_code),
		cmocka_unit_test(a_32_bit_move_reaches_the_apic_register),
		cmocka_unit_test(other_sizes_on_the_apic_are_survived),
		cmocka_unit_test(writes_where_the_apic_has_no_register_go_nowhere),
		cmocka_unit_test(the_apic_id_cannot_be_written),
		cmocka_unit_test(init_and_startup_are_refused),
		cmocka_unit_test(an_nmi_to_this_processor_alone_is_sent),
		cmocka_unit_test(an_nmi_in_x2apic_mode_goes_to_this_processor_alone),
		cmocka_unit_test(x2apic_mode_is_left_and_entered_in_the_hardware),
		cmocka_unit_test(odd_accesses_to_the_apic_are_the_hardwares),
		cmocka_unit_test(no_odd_write_is_a_command_that_is_refused),
		cmocka_unit_test(the_fast_path_moves_what_the_emulator_does_or_nothing),
		cmocka_unit_test(messages_and_addresses_are_not_on_the_fast_path),
		cmocka_unit_test(what_is_not_known_is_not_on_the_fast_path),
		cmocka_unit_test(a_disabled_apic_reads_all_ones),
		cmocka_unit_test(hidden_memory_reads_ones_and_drops_writes),
		cmocka_unit_test(a_trapped_page_passes_all_but_what_its_filter_holds_back),
		cmocka_unit_test(movbe_swaps_bytes),
		cmocka_unit_test(what_is_not_emulated_stops_the_guest_with_its_bytes),
		cmocka_unit_test(a_crossing_write_with_a_bad_half_writes_nothing),
		cmocka_unit_test(a_repeated_store_faults_at_its_element),
		cmocka_unit_test(a_long_repetition_lets_others_in),
		cmocka_unit_test(a_non_canonical_address_is_gp_or_ss),
		cmocka_unit_test(the_whole_operand_is_within_the_limit),
		cmocka_unit_test(the_segments_type_allows_the_access),
		cmocka_unit_test(in_64_bit_code_each_byte_is_canonical),
		cmocka_unit_test(a_branch_beyond_the_code_segment_is_refused),
		cmocka_unit_test(nothing_is_read_that_cannot_be_written),
		cmocka_unit_test(single_stepping_traps_after_the_instruction),
		cmocka_unit_test(a_data_breakpoint_on_an_emulated_access_traps_behind_it),
		cmocka_unit_test(breakpoints_that_are_off_are_not_met),
		cmocka_unit_test(one_debug_exception_tells_all_that_was_met),
		cmocka_unit_test(a_fault_drops_the_breakpoints_of_its_instruction),
		cmocka_unit_test(a_repeated_instruction_traps_behind_the_element),
		cmocka_unit_test(stepping_by_branches_passes_what_is_none),
		cmocka_unit_test(breakpoints_of_32_bit_code_have_32_bit_addresses),
		cmocka_unit_test(code_that_is_not_there_faults_as_a_fetch),
		cmocka_unit_test(a_delivery_into_hidden_memory_shuts_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
