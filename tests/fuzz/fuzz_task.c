/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hardware task switches with any descriptors, task-state segments, events and registers
 * (the world of test_task.c). Whatever comes of it, the guest can be entered: an entry
 * is refused by VMX where CS, SS, TR or RFLAGS make no sense (SDM vol. 3 section 26.3.1.2). And
 * a fault before the commit leaves the old task as it was.
 */
int test_task_main(void);
#define main test_task_main
#include "tests/unit/test_task.c"
#undef main

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

void fuzz_setup(void)
{
	host_log_quiet = true;
}

static void check_entry(void)
{
	const struct segment *cs = &segment[SEG_CS], *ss = &segment[SEG_SS], *tr = &segment[SEG_TR];
	u32 type = cs->attributes & 0xf;

	if (vcpu.rflags & RFLAGS_VM) {
		for (u32 i = 0; i < 6; i++)
			if (segment[i].base != (u64)segment[i].selector << 4 || segment[i].attributes != 0xf3)
				abort();
	} else if (!(type & 8) || cs->attributes & SEG_ATTR_UNUSABLE || !(cs->attributes & BIT(7)) ||
		   (ss->selector & 3) != (cs->selector & 3) || vcpu.cpl != (cs->selector & 3)) {
		abort();
	}
	if ((tr->attributes & 0x17) != 3 || !(tr->attributes & BIT(7)))
		abort();
	if (!(vcpu.rflags & RFLAGS_FIXED) || vcpu.rflags & (BIT(3) | BIT(5) | BIT(15) | BITS(63, 22)))
		abort();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = {data, size};
	static u8 before[MEMORY];
	struct vcpu old;
	u32 pick;

	fresh(NULL);
	pick = (u32)fuzz_take(&in, 1);
	vcpu.cr0 = pick & 1 ? CR0_PE : CR0_PE | CR0_PG;
	cr3_result = pick & 2 ? -EINVAL : 0;
	no_write = pick & 4 ? fuzz_take(&in, 1) % 8 << PAGE_SHIFT : 0;
	vcpu.exit.task_source = pick >> 4 & 3;
	vcpu.exit.task_selector = (u16)fuzz_take(&in, 2);
	vcpu.exit.interrupted = (struct vcpu_event){.type = pick >> 6, .vector = (u8)fuzz_take(&in, 1)};
	while (in.left >= 3) {
		u32 at = (u32)fuzz_take(&in, 2) % MEMORY;

		memory[at] = (u8)fuzz_take(&in, 1);
	}
	memcpy(before, memory, sizeof(before));
	old = vcpu;
	host_panic_expected = true;
	if (!setjmp(host_panic_jump))
		task_handle_switch(&vcpu);
	host_panic_expected = false;
	if (vcpu.cr0 & CR0_TS) /* the switch was made */
		check_entry();
	if (!(vcpu.cr0 & CR0_TS) && !shut_down &&
	    (memcmp(before, memory, sizeof(before)) || memcmp(old.gpr, vcpu.gpr, sizeof(old.gpr)) ||
	     vcpu.rip != old.rip || vcpu.inject.type == EVENT_NONE))
		abort();
	return 0;
}

u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX])
{
	static const u16 selectors[] = {SEL_NEW, SEL_NARROW, SEL_NEW | 4, SEL_LDT};

	if (n >= 16)
		return 0;
	memset(out, 0, 16);
	out[0] = (u8)(n << 4);
	out[1] = (u8)selectors[n & 3];
	out[4] = (NEW_TSS + 0x4c) & 0xff;
	out[5] = (NEW_TSS + 0x4c) >> 8;
	out[6] = SEL_CODE3 | 3;
	return 7;
}
