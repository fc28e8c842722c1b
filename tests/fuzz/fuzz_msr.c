/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any sequence of RDMSR and WRMSR against the fake processor of test_msr.c, which notes what
 * reaches a register without a row that lets it; and against a model of what the guest must
 * read: nothing but passed and masked rows ever changes in the processor.
 */
int test_msr_main(void);
#define main test_msr_main
#include "tests/unit/test_msr.c"
#undef main

#include "arch/x86/guest/apic.h"
#include "tests/fuzz/fuzz.h"

static u64 before[RANGES * RANGE + 1];

void fuzz_setup(void)
{
	host_log_quiet = true;
	fill_registers();
}

/* A register of some row, at or beside its edges, or any index. */
static u32 pick_register(struct fuzz_input *in)
{
	u32 how = fuzz_take(in, 1), row, offset;

	if (how >= 0xf0)
		return fuzz_take(in, 4);
	row = fuzz_take(in, 1) % msr_rows;
	offset = fuzz_take(in, 1);
	if (how >= 0xe0)
		return msr_table[row].last + 1;
	return msr_table[row].first + offset % (msr_table[row].last - msr_table[row].first + 1);
}

static u64 pick_value(struct fuzz_input *in, u32 msr)
{
	u32 how = fuzz_take(in, 1);
	u64 value = fuzz_take(in, how & 7 ? how & 7 : 8);

	switch (how >> 6) {
	case 0: return value;
	case 1: return value << (how >> 3 & 7) * 8;
	case 2: return *register_of(msr) ^ value << (how >> 3 & 7) * 8;
	default: return *register_of(msr) ^ BIT(value & 63);
	}
}

/* What may have changed in the processor, by the classes alone. */
static bool may_change(u32 msr)
{
	const struct msr_row *row = msr_row_of(msr);

	if (in_x2apic_range(msr) && !apic_is_x2apic(&vcpu))
		return false;
	return row && (row->class == MSR_PASSED || row->class == MSR_MASKED || msr == DEBUGCTL || msr == XSS ||
		       msr == MSR_X2APIC_ICR || (msr == MSR_APIC_BASE && cpu.x2apic));
}

static void check_read(u32 msr)
{
	const struct msr_row *row = msr_row_of(msr);
	u64 value, want = *register_of(msr);
	int err = msr_guest_read(&vcpu, msr, &value);

	if (row && row->class == MSR_ABSENT && err != -EFAULT)
		abort();
	if (err || (row && row->class == MSR_EMULATED))
		return;
	if (value != (row ? (want & ~row->zero) | row->one : want))
		abort();
}

static void step(struct fuzz_input *in)
{
	u32 msr = pick_register(in);
	u64 old = *register_of(msr), value;
	int err;

	check_read(msr);
	value = pick_value(in, msr);
	err = msr_guest_write(&vcpu, msr, value);
	if (*register_of(msr) != old && (err || !may_change(msr)))
		abort();
	check_read(msr);
}

/* All registers as the firmware left them, in less time than filling them takes. */
static void restart(u32 machine)
{
	for (u32 i = 0; i < dirties; i++)
		*register_of(dirty[i]) = start_value(dirty[i]);
	cpu.amd = machine & 1;
	cpu.x2apic = machine & 2;
	*register_of(MSR_APIC_BASE) = start_value(MSR_APIC_BASE);
	make_guest();
}

/* adversarial: 31, 36 */
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = {data, size};
	u32 machine = fuzz_take(&in, 1);

	restart(machine);
	memcpy(before, registers, sizeof(before));
	while (in.left && dirties < ARRAY_SIZE(dirty))
		step(&in);
	if (refused[0])
		abort();
	/* Nothing changed but what was written to. */
	for (u32 i = 0; i < dirties; i++)
		before[register_of(dirty[i]) - registers] = *register_of(dirty[i]);
	if (memcmp(before, registers, sizeof(before)))
		abort();
	return 0;
}

/* Each row written with some value, on each machine. */
u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX])
{
	u32 at = 0;

	if (n >= 16)
		return 0;
	out[at++] = n & 3;
	for (u32 row = 0; row < msr_rows; row++) {
		out[at++] = 0;
		out[at++] = (u8)row;
		out[at++] = (u8)(n * 7);
		out[at++] = (u8)(n >> 2 << 6 | 8 * (n & 7));
		for (u32 i = 0; i < 8; i++)
			out[at++] = (u8)(n * 37 + i * 11 + row);
	}
	return at;
}
