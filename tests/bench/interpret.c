/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an interpreted instruction costs, in instructions: `make bench-interpret` runs this under callgrind, which counts what
 * execution_run() executes for each of some loops of real mode, over the shadow engine with paging off. GS has a base that no selector
 * gives, so that all is interpreted.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/execution_run.h"
#include "arch/x86/guest/exits.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/io.h"
#include "arch/x86/guest/msr.h"
#include "arch/x86/guest/page_fault.h"
#include "arch/x86/guest/run.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/stop.h"
#include "lib/log.h"
#include "mm/phys.h"
#include "mm/shadow.h"

#define ARENA_BYTES (64ull << 20)
#define POOL_BASE (48ull << 20)
#define CODE 0x7c00u
#define TURNS 200u
#define COPIES 16u
#define IVT_HANDLER 0x6000u

int main(int argc, char **argv);
void log_printf(enum log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
}
NORETURN void panic(const char *format, ...)
{
	fprintf(stderr, "%s\n", format);
	__builtin_trap();
}

/* --- what these loops do not reach --------------------------------------------------------------- */
NORETURN void guest_stop(struct vcpu *vcpu, const char *format, ...)
{
	(void)vcpu;
	panic(format);
}
NORETURN void guest_shutdown(struct vcpu *vcpu)
{
	(void)vcpu;
	panic("shutdown");
}
int cr_write_cr3(struct vcpu *vcpu, u64 value)
{
	return vcpu && value ? -EINVAL : 0;
}
bool page_fault_handle(struct vcpu *vcpu)
{
	(void)vcpu;
	panic("page fault");
}
void guest_messages(struct vcpu *vcpu)
{
	(void)vcpu;
}
void guest_prepare_entry(struct vcpu *vcpu)
{
	(void)vcpu;
}
bool hw_stop_asked(void)
{
	return false;
}
NORETURN void hw_stop(void)
{
	panic("stop");
}
bool hw_was_kicked(void)
{
	return false;
}
int hw_take_interrupt(void)
{
	return -1;
}
int hw_wait_interrupt(void)
{
	panic("wait");
}
u32 hw_in(u16 port, u32 size)
{
	return port + size;
}
void hw_out(u16 port, u32 size, u32 value)
{
	(void)port, (void)size, (void)value;
}
/* What exits.c has of it. */
void exit_dispatch(struct vcpu *vcpu)
{
	if (vcpu->exit.kind != EXIT_IO)
		panic("exit");
	io_handle(vcpu);
	inject_finish(vcpu);
}
bool cpuid_has(struct vcpu *vcpu, u32 leaf, enum cpuid_reg reg, u32 mask)
{
	return vcpu && leaf && reg && mask;
}
int msr_guest_read(struct vcpu *vcpu, u32 msr, u64 *value)
{
	*value = msr;
	return vcpu ? -EFAULT : 0;
}
u64 apic_read(struct vcpu *vcpu, u32 offset, u32 size)
{
	return vcpu ? offset : size;
}
void apic_write(struct vcpu *vcpu, u32 offset, u32 size, u64 value)
{
	(void)vcpu, (void)offset, (void)size, (void)value;
}
u64 hw_read_dr(u32 n)
{
	return n;
}
void hw_write_dr(u32 n, u64 value)
{
	(void)n, (void)value;
}
int hw_msr_read(u32 msr, u64 *value)
{
	*value = msr;
	return -EFAULT;
}
int hw_msr_write(u32 msr, u64 value)
{
	return msr && value ? -EFAULT : 0;
}
struct cpuid_regs hw_cpuid(u32 leaf, u32 subleaf)
{
	return (struct cpuid_regs){leaf, subleaf, 0, 0};
}
u64 hw_mmio_read(hpa_t at, u32 size)
{
	return at.v + size;
}
void hw_mmio_write(hpa_t at, u32 size, u64 value)
{
	(void)at, (void)size, (void)value;
}
void hw_execute(struct execute *e)
{
	(void)e;
	panic("execute");
}

/* --- the guest --------------------------------------------------------------------------------------- */
static struct segment segments[SEG_COUNT];
static struct guest_shared shared;
static struct guest guest;
static struct vcpu vcpu;

/* As many instructions as of VMX, which reads four fields. */
static void get_segment(const struct vcpu *v, enum segment_name which, struct segment *out)
{
	(void)v;
	*out = segments[which];
}
static void set_segment(struct vcpu *v, enum segment_name which, const struct segment *in)
{
	v->execution = EXECUTION_UNDECIDED;
	segments[which] = *in;
}
static u64 get_dr7(const struct vcpu *v)
{
	(void)v;
	return 0x400;
}
static void look(struct vcpu *v)
{
	(void)v;
}
static const struct vendor vendor = {
	.get_segment = get_segment, .set_segment = set_segment, .get_dr7 = get_dr7, .look = look};

/* The HLT behind a loop: the hardware goes on. */
void hw_wait(const struct vendor *v)
{
	vcpu.execution = v ? EXECUTION_NATIVE : EXECUTION_UNDECIDED;
}

static struct region_map map;
static void no_flush(void *cpu, u32 tag)
{
	(void)cpu;
	(void)tag;
}
static void no_flush_page(void *cpu, u32 tag, gva_t gva)
{
	(void)cpu;
	(void)tag;
	(void)gva;
}
static const struct shadow_ops ops = {.flush = no_flush, .flush_page = no_flush_page};

static void make_guest(void)
{
	struct shadow_config config = {
		.pool = hpa(POOL_BASE + 2 * PAGE_SIZE),
		.pool_bytes = ARENA_BYTES - POOL_BASE - 2 * PAGE_SIZE,
		.ones_page = hpa(POOL_BASE + PAGE_SIZE),
		.host_phys_bits = 40,
		.pages_1g = true,
		.tags = 8,
		.regions = &map,
	};
	const struct shadow_paging paging = {.cr0 = CR0_ET, .pat = PAT_RESET, .phys_bits = 40};
	u32 tag;

	region_init(&map);
	if (region_add(&map, 0, POOL_BASE >> PAGE_SHIFT, 0, REGION_RAM) ||
	    region_add(&map, POOL_BASE >> PAGE_SHIFT, (ARENA_BYTES - POOL_BASE) >> PAGE_SHIFT,
		       POOL_BASE >> PAGE_SHIFT, REGION_HIDDEN))
		panic("regions");
	region_seal(&map);
	vcpu = (struct vcpu){.vendor = &vendor, .guest = &guest, .cr0 = CR0_ET, .rflags = RFLAGS_FIXED, .rip = CODE};
	vcpu.gpr[GPR_RSP] = CODE;
	vcpu.gpr[GPR_RBX] = 0x5000;
	for (u32 i = 0; i < SEG_COUNT; i++)
		segments[i] = (struct segment){.limit = 0xffff, .attributes = 0x93};
	segments[SEG_GS].base = 0x123;
	guest.shared = &shared;
	vcpu.mmu = shadow_mmu_create(shadow_create(&config), &ops, NULL, hpa(POOL_BASE));
	shadow_set_paging(vcpu.mmu, &paging, true);
	shadow_prepare_entry(vcpu.mmu, &tag);
}

static const struct {
	const char *name, *bytes;
	u32 len, count;
} loops[] = {
	{"registers", "\x01\xd8\x40\x89\xc2", 5, 3},          /* ADD AX, BX; INC AX; MOV DX, AX */
	{"loads", "\x8b\x07\x03\x47\x02\x3b\x07", 7, 3},      /* MOV AX, [BX]; ADD AX, [BX+2]; CMP AX, [BX] */
	{"stores", "\x89\x07\x88\x47\x04\xc6\x07\x01", 8, 3}, /* MOV [BX], AX and two more */
	{"stack", "\x50\x5a\x53\x5b", 4, 4},                  /* PUSH AX; POP DX; PUSH BX; POP BX */
	{"branches", "\x74\x00\x75\x00\xeb\x00", 6, 3},
	{"modify", "\x01\x07\xfe\x07\xd1\x27", 6, 3},   /* ADD [BX], AX; INC BYTE [BX]; SHL WORD [BX], 1 */
	{"string", "\xab\xad", 2, 2},                   /* STOSW; LODSW */
	{"flags", "\x9c\x9d", 2, 2},                    /* PUSHF; POPF */
	{"segments", "\x8e\xd9\x8c\xd8\x1e\x07", 6, 4}, /* MOV DS, CX; MOV AX, DS; PUSH DS; POP ES */
	{"locked", "\xf0\x01\x07\x87\x07", 5, 2},       /* LOCK ADD [BX], AX; XCHG [BX], AX */
	{"interrupts", "\xfa\xfc", 2, 2},               /* CLI; CLD */
	{"port", "\xe6\x80\xee", 3, 2},                 /* OUT 80h, AL; OUT DX, AL */
	{"all", "\x60\x61", 2, 2},                      /* PUSHA; POPA */
	{"frame", "\xc8\x02\x00\x04\xc9", 5, 2},        /* ENTER 2, 4; LEAVE */
	{"repeat", "\xb1\x40\xf3\xa4", 4, 65},          /* MOV CL, 64; REP MOVSB: of elements */
	{"table", "\x0f\x01\x17", 3, 1},                /* LGDT [BX] */
	{"event", "\xcc", 1, 2},                        /* INT3; IRET */
	{"int", "\xcd\x62", 2, 2},                      /* INT 62h; IRET */
};

/* callgrind collects inside this one only. */
__attribute__((noipa)) static void measure_interpret(void)
{
	execution_run(&vcpu);
}

/* Prints how many instructions it has executed: the loop's, and HLT. */
int main(int argc, char **argv)
{
	void *arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u32 n = 0, count = 0;
	u8 *code;

	phys_map_offset = (u64)(uintptr_t)arena;
	make_guest();
	while (n < ARRAY_SIZE(loops) - 1 && argc > 1 && strcmp(loops[n].name, argv[1]) != 0)
		n++;
	code = (u8 *)arena + CODE;
	for (u32 i = 0; i < COPIES; i++)
		memcpy(code + i * loops[n].len, loops[n].bytes, loops[n].len);
	code[COPIES * loops[n].len] = 0xf4; /* HLT */
	memcpy((u8 *)arena + 0x62 * 4, &(u32){IVT_HANDLER}, sizeof(u32));
	memcpy((u8 *)arena + VEC_BP * 4, &(u32){IVT_HANDLER}, sizeof(u32));
	((u8 *)arena)[IVT_HANDLER] = 0xcf; /* IRET */
	for (u32 turn = 0; turn < TURNS; turn++) {
		vcpu.rip = CODE;
		vcpu.halted = false;
		vcpu.execution = EXECUTION_INTERPRETED;
		vcpu.gpr[GPR_RDI] = vcpu.gpr[GPR_RSI] = 0x5000;
		measure_interpret();
		count += loops[n].count * COPIES + 1;
	}
	printf("%u\n", count);
	return 0;
}
