/* SPDX-License-Identifier: BSD-2-Clause */
/* Probes in other modes, the part in C: descriptor tables, and probes from long mode; see guest.h. */
#include "tests/guest/lib/guest.h"

#define CODE32 0x38
#define USER_SEGMENT 0x00cff3000000ffffull /* data, DPL 3, accessed */
#define USER_SEGMENT_FRESH (USER_SEGMENT & ~BIT(40))
#define LDT_SELECTOR 0x50
#define AT_CODE 0
#define AT_READ 0x20
#define AT_SEGMENTS 0x40
#define STUBS32 33 /* vectors 0 to 31, and VEC_USER_RETURN */

_Static_assert(__builtin_offsetof(struct probe, cr2) == 32 && __builtin_offsetof(struct probe, error) == 64 &&
		       __builtin_offsetof(struct probe, kind) == 72 && sizeof(struct probe) == 80,
	       "modes.asm knows it");
_Static_assert(__builtin_offsetof(struct probe_run, probes) == 40 &&
		       __builtin_offsetof(struct probe_run, cr0) == 56 &&
		       __builtin_offsetof(struct probe_run, count) == 76,
	       "modes.asm knows it");

struct gate32 {
	u16 offset0, selector;
	u8 zero, type;
	u16 offset1;
} PACKED;
struct descriptor32 {
	u16 limit;
	u32 base;
} PACKED;

static struct gate32 idt32[VEC_USER_RETURN + 1] ALIGNED(16);
static u32 tss32[26] ALIGNED(16);
static u8 stack32[4096] ALIGNED(16);
extern struct descriptor32 idt32_descriptor;
extern char stubs32[], user_load_segment[];
extern const u32 user_access[PROBE_KINDS];
extern u64 probed_value;

void compat_access(u32 kind, u32 address, u32 pattern);
void enter_user32(u64 rip, u32 address, u32 pattern);
void load_segment(u32 selector);
void load_ldt(u32 selector);

static u64 system_descriptor(u64 base, u32 limit, u32 type)
{
	return (limit & 0xffff) | (base & 0xffffff) << 16 | (u64)(0x80 | type) << 40 | (base >> 24 & 0xff) << 56;
}

void probe_init(void)
{
	for (u32 i = 0; i < STUBS32; i++) {
		u32 at = (u32)(uintptr_t)stubs32 + i * 16;

		idt32[i == STUBS32 - 1 ? VEC_USER_RETURN : i] =
			(struct gate32){(u16)at, CODE32, 0, i == STUBS32 - 1 ? 0xee : 0x8e, (u16)(at >> 16)};
	}
	idt32_descriptor = (struct descriptor32){sizeof(idt32) - 1, (u32)(uintptr_t)idt32};
	tss32[1] = (u32)(uintptr_t)(stack32 + sizeof(stack32)); /* ESP0, SS0 */
	tss32[2] = 0x10;
	tss32[25] = sizeof(tss32) << 16;
	gdt[9] = system_descriptor((u64)(uintptr_t)tss32, sizeof(tss32) - 1, 9);
}

void probe_set_ldt(u64 va)
{
	gdt[10] = system_descriptor(va + AT_SEGMENTS, 2 * sizeof(u64) - 1, 2);
	gdt[11] = (va + AT_SEGMENTS) >> 32;
	load_ldt(LDT_SELECTOR);
}

void probe_fill_target(u64 target, u32 value)
{
	store(target + AT_CODE, CODE_RETURN);
	store(target + AT_READ, (u64)value << 32 | value);
	store(target + PROBE_AT_WRITE, 0);
	store(target + AT_SEGMENTS, USER_SEGMENT);
	store(target + AT_SEGMENTS + 8, USER_SEGMENT_FRESH);
}

/* --- probes from long mode --- */
struct probe_call {
	const struct probe *probe;
	u64 address, user_base;
	bool compat;
};

static u64 ac_flag(const struct probe *p)
{
	return p->ac ? RFLAGS_AC : 0;
}

static void set_flags(u64 flags)
{
	asm volatile("push %0; popfq" : : "r"(flags | RFLAGS_FIXED) : "cc", "memory");
}

static u32 segment_selector(const struct probe *p)
{
	return p->kind == PROBE_SEGMENT ? 0x07 : 0x0f;
}

static void supervisor_thunk(void *argument)
{
	const struct probe_call *c = argument;
	const struct probe *p = c->probe;

	set_flags(ac_flag(p));
	if (c->compat) {
		compat_access(p->kind, (u32)c->address, p->pattern);
		return;
	}
	switch (p->kind) {
	case PROBE_READ: probed_value = load(c->address); break;
	case PROBE_WRITE: store(c->address, p->pattern); break;
	case PROBE_FETCH: call_address(c->address); break;
	default: load_segment(segment_selector(p)); break;
	}
}

static void ring3_thunk(void *argument)
{
	static char *const stub[] = {user_read, user_write, user_fetch, user_load_segment, user_load_segment};
	const struct probe_call *c = argument;
	const struct probe *p = c->probe;

	set_flags(ac_flag(p));
	if (c->compat)
		enter_user32((u32)(user_access[p->kind] + c->user_base), (u32)c->address, p->pattern);
	else if (p->kind >= PROBE_SEGMENT)
		enter_user(user_address(stub[p->kind]), 0, segment_selector(p), 0);
	else
		enter_user(user_address(stub[p->kind]), 0, c->address, p->pattern);
}

static void flush_for(const struct probe *p, u64 va)
{
	if (p->flush == FLUSH_PAGE)
		invlpg(va);
	else if (p->flush == FLUSH_ALL)
		flush_tlb();
}

static void probe_once(const struct probe_run *run, struct probe *p, bool compat)
{
	struct probe_call c = {p, run->va + offset_of[p->kind], run->user_base, compat};

	if (run->upper_slot && p->flush != FLUSH_KEEP)
		store(run->upper_slot, p->upper);
	if (p->flush != FLUSH_KEEP)
		store(run->leaf_slot, p->leaf);
	for (u32 i = 0; i < 2; i++) {
		store(run->target[i] + AT_SEGMENTS + 8, USER_SEGMENT_FRESH);
		store(run->target[i] + PROBE_AT_WRITE, 0);
	}
	flush_for(p, run->va);
	probed_value = 0;
	guarded(p->user ? ring3_thunk : supervisor_thunk, &c);
	p->vector = caught.vector;
	p->error = (u32)caught.error;
	p->cr2 = caught.vector == VEC_PF ? caught.cr2 : 0;
	p->value = p->kind != PROBE_READ                       ? 0 :
		   p->user && caught.vector == VEC_USER_RETURN ? caught.rax :
								 probed_value;
	p->leaf_after = load(run->leaf_slot);
	p->upper_after = run->upper_slot ? load(run->upper_slot) : 0;
	for (u32 i = 0; i < 2; i++)
		p->data[i] = load(run->target[i] + PROBE_AT_WRITE);
}

void probe_long(struct probe_run *run, bool compat)
{
	struct probe *p = (struct probe *)run->probes;

	for (u32 i = 0; i < run->count; i++)
		probe_once(run, &p[i], compat);
}
