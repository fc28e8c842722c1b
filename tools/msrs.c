/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints docs/msrs.md from the table of arch/x86/guest/msr_table.c: `make docs-msrs`. */
#include "arch/x86/guest/msr_table.h"

#include <stdio.h>

static const char intro[] =
	"# Model-specific registers\n"
	"\n"
	"What RDMSR and WRMSR of the guest do, register by register. This page is written by `make docs-msrs` from\n"
	"`arch/x86/guest/msr_table.c`, which the hypervisor itself goes by; `make unit` compares the two.\n"
	"\n"
	"| class | read | write |\n"
	"|---|---|---|\n"
	"| passed | the hardware's, without an exit | the hardware's, without an exit |\n"
	"| read only | the hardware's | #GP |\n"
	"| masked | the hardware's | changes the bits named, the others stay as they are |\n"
	"| emulated | by code of its own in `arch/x86/guest/msr.c` | likewise |\n"
	"| absent | #GP | #GP |\n"
	"| ignored | the hardware's | dropped; the log names the register once |\n"
	"\n"
	"**A register that is not listed is ignored**: it reads as the hardware has it (#GP where the hardware raises it), and no\n"
	"write reaches it. *CPUID* names the bits that announce a register. Those of an absent one are hidden from the guest;\n"
	"any other is absent as well where the guest is shown none of its bits. The hardware has the last word on everything that\n"
	"is passed on to it: a register it lacks, or a value it refuses, is #GP.\n"
	"\n"
	"| MSR | name | class | why | CPUID | described in |\n"
	"|---|---|---|---|---|---|\n";

static const char *const classes[MSR_CLASSES] = {
	[MSR_PASSED] = "passed",     [MSR_READ_ONLY] = "read only", [MSR_MASKED] = "masked",
	[MSR_EMULATED] = "emulated", [MSR_ABSENT] = "absent",       [MSR_IGNORED] = "ignored",
};

/* "bits 29:24, 1" */
static void print_bits(u64 mask)
{
	const char *separator = mask & (mask - 1) ? "bits " : "bit ";

	for (int high = 63; high >= 0; high--) {
		int low = high;

		if (!(mask & BIT(high)))
			continue;
		while (low && mask & BIT(low - 1))
			low--;
		printf(high == low ? "%s%d" : "%s%d:%d", separator, high, low);
		separator = ", ";
		high = low;
	}
}

static void print_class(const struct msr_row *row)
{
	printf("%s", classes[row->class]);
	if (row->class == MSR_MASKED) {
		printf(": ");
		if (row->write == ~0ull)
			printf("all bits");
		else
			print_bits(row->write);
	}
	if (row->zero) {
		printf("; reads 0: ");
		print_bits(row->zero);
	}
	if (row->one) {
		printf("; reads 1: ");
		print_bits(row->one);
	}
}

static void print_announced(const struct msr_row *row)
{
	static const char *const registers[] = {"EAX", "EBX", "ECX", "EDX"};

	for (u32 i = 0; i < MSR_ANNOUNCED_MAX && row->announced[i].leaf; i++) {
		const struct cpuid_bit *c = &row->announced[i];

		printf(i ? ", " : "");
		if (c->bit == CPUID_WHOLE_LEAF)
			printf("leaf %#x", c->leaf);
		else if (c->subleaf)
			printf("%#x.%u.%s[%u]", c->leaf, c->subleaf, registers[c->reg], c->bit);
		else
			printf("%#x.%s[%u]", c->leaf, registers[c->reg], c->bit);
	}
}

int main(void)
{
	printf("%s", intro);
	for (u32 i = 0; i < msr_rows; i++) {
		const struct msr_row *row = &msr_table[i];

		printf("| %#x", row->first);
		if (row->last != row->first)
			printf(" to %#x", row->last);
		printf(" | %s | ", row->name);
		print_class(row);
		printf(" | %s | ", row->why);
		print_announced(row);
		printf(" | %s |\n", row->manual);
	}
	return 0;
}
