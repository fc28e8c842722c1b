/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Non-maskable interrupts: the I/O APIC turns the timer's line into NMIs, so that
 * they come at any moment: in the guest, in the hypervisor, in the handler, and
 * while the hypervisor is about to deliver something else. Each must be handled
 * once, none inside the handler of another (SDM vol. 3 section 6.7.1).
 */
/* adversarial: 29 */
#include "tests/guest/lib/pin.h"

#define IOAPIC_NMI 0x400u /* delivery mode, edge, not masked */
#define APIC_ID 0xfee00020ull
#define APIC_LDR 0xfee000d0ull
#define APIC_SVR 0xfee000f0ull
#define APIC_ICR_LOW 0xfee00300ull
#define APIC_ICR_HIGH 0xfee00310ull
#define ICR_NMI 0x400u
#define ICR_LOGICAL 0x800u
#define ICR_SELF 0x40000u

#define VEC_NMI 2
#define ROUNDS 40
#define PATIENCE 300000 /* turns of a loop */

static struct {
	volatile u32 count, depth, deepest, early;
	volatile bool again; /* the handler shall start another and wait for it */
	volatile bool send;  /* the handler shall send another to this processor */
} nmi;

/*
 * Where nmi_stack is set, IRET takes its frame from there; just before, the page is taken out of the
 * tables, flushed, and put back as nmi_page: the processor walks to it, or finds nothing.
 */
u64 nmi_stack, nmi_iret_rsp, nmi_page, nmi_pte, nmi_rip;
void nmi_handle(void);
void page_fault_handle(void);
extern char nmi_entry[], nmi_iret[], page_fault_entry[];
asm(".pushsection .text\n"
    "nmi_entry: push %rax; push %rcx; push %rdx; push %rbx; push %rbp; push %rsi; push %rdi\n"
    "push %r8; push %r9; push %r10; push %r11\n"
    "mov 88(%rsp), %rax; mov %rax, nmi_rip(%rip)\n"
    "mov %rsp, %rbp; and $-16, %rsp; cld; call nmi_handle; mov %rbp, %rsp\n"
    "pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rbp; pop %rbx; pop %rdx; pop %rcx; pop %rax\n"
    "cmpq $0, nmi_stack(%rip); jne 1f; iretq\n"
    "1: push %rax; push %rcx; mov nmi_stack(%rip), %rax; mov %rax, nmi_iret_rsp(%rip); movq $0, nmi_stack(%rip)\n"
    "mov 16(%rsp), %rcx; mov %rcx, (%rax); mov 24(%rsp), %rcx; mov %rcx, 8(%rax); mov 32(%rsp), %rcx\n"
    "mov %rcx, 16(%rax); mov 40(%rsp), %rcx; mov %rcx, 24(%rax); mov 48(%rsp), %rcx; mov %rcx, 32(%rax)\n"
    "mov nmi_pte(%rip), %rcx; movq $0, (%rcx); invlpg (%rax); mov nmi_page(%rip), %rax; mov %rax, (%rcx)\n"
    "pop %rcx; pop %rax; mov nmi_iret_rsp(%rip), %rsp\n"
    "nmi_iret: iretq\n"
    "page_fault_entry: push %rax; push %rcx; push %rdx; push %rbx; push %rbp; push %rsi; push %rdi\n"
    "push %r8; push %r9; push %r10; push %r11\n"
    "mov %rsp, %rbp; and $-16, %rsp; cld; call page_fault_handle; mov %rbp, %rsp\n"
    "pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rbp; pop %rbx; pop %rdx; pop %rcx; pop %rax\n"
    "add $8, %rsp; iretq\n"
    ".popsection");

static u32 read32(u64 at)
{
	return *(volatile u32 *)at;
}
static void write32(u64 at, u32 v)
{
	*(volatile u32 *)at = v;
}

static bool is_intel(void)
{
	return cpuid(0, 0).c == 0x6c65746e; /* ntel */
}

/* By destination: the shorthand is not for NMIs everywhere. */
static void send_self(void)
{
	write32(APIC_ICR_HIGH, read32(APIC_ID));
	write32(APIC_ICR_LOW, ICR_NMI);
}

void nmi_handle(void)
{
	u32 before;

	nmi.depth++;
	nmi.count++;
	if (nmi.send) {
		nmi.send = false;
		send_self();
	}
	nmi.deepest = MAX(nmi.deepest, nmi.depth);
	if (nmi.again) {
		nmi.again = false;
		before = nmi.count;
		pin_start(300);
		while (!pin_is_high())
			cpuid(0, 0);
		for (u32 i = 0; i < 100; i++)
			cpuid(0, 0);
		nmi.early += nmi.count - before;
	}
	nmi.depth--;
}

static void forbidden(void *unused)
{
	asm volatile("vmcall");
}
static void spin(void)
{
	asm volatile("pause");
}
static void leave(void)
{
	cpuid(0, 0);
}
static void fault(void)
{
	guarded(forbidden, NULL);
}

/* Until the NMI has come, or the timer is through and it still has not. */
static void await(u32 expected, void (*what)(void))
{
	for (u32 i = 0; i < PATIENCE && nmi.count != expected; i++) {
		what();
		if (i == PATIENCE / 2 && !pin_is_high())
			i = 0; /* an emulator's timer may be late */
	}
}

/* How many of the rounds had their NMI, with what() as the program they interrupt. */
static u32 rounds(void (*what)(void), bool again)
{
	u32 good = 0;

	for (u32 round = 0; round < ROUNDS; round++) {
		u32 expected = nmi.count + 1 + again;

		nmi.again = again;
		pin_start((u16)(200 + 7 * round));
		await(expected, what);
		for (u32 i = 0; i < 50; i++)
			what();
		good += nmi.count == expected;
	}
	return good;
}

/* Whether one NMI comes of a command to this processor. */
static void check_ipi(u32 high, u32 low, const char *name)
{
	u32 before = nmi.count;

	write32(APIC_ICR_HIGH, high);
	write32(APIC_ICR_LOW, low);
	for (u32 i = 0; i < PATIENCE && nmi.count == before; i++)
		spin();
	for (u32 i = 0; i < 50; i++)
		leave();
	check(nmi.count == before + 1, name, "%u came", nmi.count - before);
}

/* --- IRET at the end of an NMI's handler, whose frame is on a page of its own --- */

static u64 good_page;
static u32 faults, in_fault; /* NMIs that came in the handler of IRET's fault */

void page_fault_handle(void)
{
	u32 before = nmi.count;

	faults++;
	send_self();
	for (u32 i = 0; i < 1000 && nmi.count == before; i++)
		leave();
	in_fault = nmi.count - before;
	*(u64 *)(uintptr_t)nmi_pte = good_page;
}

static void nmi_with_frame(u64 stack, u64 page, bool send)
{
	u32 before = nmi.count;

	faults = in_fault = 0;
	nmi_page = page;
	nmi.send = send;
	nmi_stack = stack;
	send_self();
	for (u32 i = 0; i < PATIENCE && nmi.count != before + 2; i++)
		leave();
	for (u32 i = 0; i < 50; i++)
		leave();
	check(nmi.count == before + 2, "both NMIs around an IRET were handled", "%u were", nmi.count - before);
}

/* Intel: an IRET that faults ends the blocking all the same (SDM vol. 3 section 25.3); QEMU: only one that succeeds does. */
static void test_iret(void)
{
	static u8 fault_stack[4096] ALIGNED(16);
	struct space space = space_new();

	good_page = (u64)(uintptr_t)alloc_pages(1) | PTE_P | PTE_W | PTE_A | PTE_D;
	nmi_pte = (u64)(uintptr_t)space_map(&space, TEST_VA, good_page & PTE_ADDR_MASK, good_page & ~PTE_ADDR_MASK,
					    1);
	space_load(&space);
	set_handler(VEC_PF, page_fault_entry);
	set_ist(VEC_PF, 1, (u64)(uintptr_t)(fault_stack + sizeof(fault_stack)));
	nmi_with_frame(TEST_VA + 0x800, good_page, true);
	check(!faults && nmi_rip != (u64)(uintptr_t)nmi_iret,
	      "NMIs stay blocked until IRET is through, though it exits", "%u faults, rip %lx", faults, nmi_rip);
	nmi_with_frame(TEST_VA + 0x800, 0, false);
	check(faults == 1, "an IRET whose frame is absent faults", "%u faults", faults);
	check(in_fault == is_intel(),
	      "an IRET that faults ends the blocking of NMIs, or not, as on the bare processor", "%u NMIs",
	      in_fault);
}

#define ALL(what, again, name) \
	do { \
		u32 good = rounds(what, again); \
		check(good == ROUNDS, name, "%u of %u rounds", good, (u32)ROUNDS); \
	} while (0)

void run_tests(void)
{
	outb(0x21, 0xff); /* the PIC is masked: the line goes to the I/O APIC alone */
	outb(0xa1, 0xff);
	write32(APIC_SVR, 0x1ff);
	pin_start(0xffff); /* the line is low before the pin is opened */
	set_handler(VEC_NMI, nmi_entry);
	write32(APIC_LDR, 0x02000000);
	if (!is_intel()) /* not a valid command there (SDM vol. 3 table 10-3), and Bochs sends none */
		check_ipi(0, ICR_NMI | ICR_SELF, "an NMI that the program sends itself by shorthand arrives once");
	check_ipi(read32(APIC_ID), ICR_NMI, "an NMI to the own APIC ID arrives once");
	check_ipi(read32(APIC_LDR), ICR_NMI | ICR_LOGICAL, "an NMI to the own logical address arrives once");
	pin_open(read32(APIC_ID) >> 24, IOAPIC_NMI);

	ALL(spin, false, "an NMI reaches a program that does not exit, once");
	ALL(leave, false, "an NMI reaches a program that exits all the time, once");
	ALL(fault, false, "an NMI reaches a program that faults all the time, once");
	ALL(leave, true, "an NMI that comes in the handler of another is handled after it, once");
	check(nmi.early == 0 && nmi.deepest == 1, "no NMI came inside the handler of another", "%u did", nmi.early);
	pin_mask();
	test_iret();
	if (under_umbra())
		print("NOTE: %lu exits at an NMI window\n", umbra_counter("exit_window"));
}
