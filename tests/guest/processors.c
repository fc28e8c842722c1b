/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tries to get another processor to run its code: fills the memory below 640 KiB with jumps to code that counts, makes
 * the real-mode vector of NMI count too, and sends INIT, SIPI, NMI and fixed interrupts in every way that a
 * command register and an I/O APIC know, and by stores where a device's store is a message. Bare, they all run
 * (options: cpus=N); under the hypervisor none does but those of the guest's own (mine=N).
 */
/* adversarial: 35 */
#include "tests/guest/lib/pin.h"

#define APIC 0xfee00000ull
enum { APIC_ID = 0x20, APIC_LDR = 0xd0, APIC_SVR = 0xf0, APIC_ICR_LOW = 0x300, APIC_ICR_HIGH = 0x310 };
#define ICR_LOGICAL 0x800u
#define ICR_ASSERT 0x4000u
#define ICR_PENDING 0x1000u
#define ICR_ALL 0x80000u
#define ICR_OTHERS 0xc0000u
enum { FIXED = 0x000, LOWEST = 0x100, NMI = 0x400, INIT = 0x500, STARTUP = 0x600 };
#define VECTOR 0x40u

/* A device's store there is a message to the processor with that APIC ID; in QEMU a processor's own is too. */
#define MESSAGE(id) (APIC | (u64)(id) << 12)

#define LOW_BASE 0x1000u
#define LOW_END 0xa0000u
#define CODE 0x8000u    /* also what a SIPI of 8 starts */
#define STARTED 0x8100u /* a word for each APIC ID */
#define GOT_NMI 0x8140u /* likewise */
#define NMI_CODE 0x8200u
#define LATE 0xffffu /* until the pin's line rises: 55 ms */
#define IDS 16u      /* APIC IDs tried one by one */

static u32 own;
static u32 mine; /* the APIC IDs below this one are the guest's own: they may run */

static volatile u32 *apic(u32 offset)
{
	return (volatile u32 *)(APIC + offset);
}

#define PATIENCE 400u /* of wait(): some 20 s */
#define BRIEFLY 20u

/* Some 50 ms: another processor may need its turn of the emulator. */
static void wait(void)
{
	for (u32 i = 0; i < 60000; i++)
		inb(0x80);
}

static void send(u32 destination, u32 command)
{
	while (*apic(APIC_ICR_LOW) & ICR_PENDING)
		asm volatile("pause");
	*apic(APIC_ICR_HIGH) = destination << 24;
	*apic(APIC_ICR_LOW) = command | ICR_ASSERT;
}

static void put(u64 at, const char *bytes, u32 count)
{
	for (u32 i = 0; i < count; i++)
		((volatile u8 *)at)[i] = (u8)bytes[i];
}
#define PUT(at, bytes) put(at, bytes, sizeof(bytes) - 1)

/* By processors that are not the guest's. */
static u32 counted(u64 at)
{
	u32 sum = 0;

	for (u32 id = mine; id < IDS; id++)
		sum += ((volatile u16 *)at)[id];
	return sum;
}

/* RAM below 640 KiB, all of it but what holds the code: a far jump to the code wherever somebody begins. */
static void fill_low_memory(void)
{
	for (u32 i = 0; i < boot.e820_count; i++) {
		const struct e820_entry *e = &boot.e820[i];

		for (u64 at = MAX(e->base, LOW_BASE); e->type == E820_RAM && at < MIN(e->base + e->size, LOW_END);
		     at += 16)
			if (at < CODE || at >= CODE + PAGE_SIZE)
				PUT(at, "\xea\x00\x00\x00\x08\xcc\xcc\xcc\xea\x00\x00\x00\x08\xcc\xcc\xcc");
	}
}

static void lay_out(void)
{
	volatile u64 vectors = 0;

	fill_low_memory();
	/* mov eax, 1; cpuid; shr ebx, 24; add bx, bx; lock inc word [cs:bx + 0x100]; cli; hlt; again */
	PUT(CODE, "\x66\xb8\x01\0\0\0\x0f\xa2\x66\xc1\xeb\x18\x01\xdb\xf0\x2e\xff\x87\x00\x01\xfa\xf4\xeb\xfd");
	/* pushad; the same with 0x140; popad; iret */
	PUT(NMI_CODE,
	    "\x66\x60\x66\xb8\x01\0\0\0\x0f\xa2\x66\xc1\xeb\x18\x01\xdb\xf0\x2e\xff\x87\x40\x01\x66\x61\xcf");
	for (u32 i = 0; i < 2 * IDS; i++)
		((volatile u16 *)(u64)STARTED)[i] = ((volatile u16 *)(u64)GOT_NMI)[i] = 0;
	PUT(vectors + 4 * 2, "\x00\x02\x00\x08"); /* the vector of NMI: 0x800:0x200 */
}

/* Each message to everybody else at once, to each by its ID, and to all logical addresses. */
static void by_command_register(void)
{
	static const u32 commands[] = {INIT, STARTUP | CODE >> 12, STARTUP | CODE >> 12,
				       NMI,  FIXED | VECTOR,       LOWEST | VECTOR};

	for (u32 i = 0; i < ARRAY_SIZE(commands); i++) {
		send(0, commands[i] | ICR_OTHERS);
		wait();
	}
	for (u32 id = 0; id < IDS; id++)
		for (u32 i = 0; id != own && i < ARRAY_SIZE(commands); i++) {
			send(id, commands[i]);
			if (i < 4)
				wait();
		}
	for (u32 i = 0; i < 4; i++) {
		send(0xff & ~(*apic(APIC_LDR) >> 24), commands[i] | ICR_LOGICAL);
		wait();
	}
}

/* At least one. */
static void by_pin(u32 id, u32 mode)
{
	bool sent;

	do {
		sent = pin_try(id, mode, LATE);
		for (u32 i = 0; i < BRIEFLY; i++)
			wait();
	} while (!sent);
}

/* An NMI by the pin, and no other is sent before the hypervisor has counted it: two may be one. False: it has not. */
static bool nmi_finds_hypervisor(u32 id)
{
	u64 before = umbra_counter("cpu_nmis");
	bool sent = false;

	while (!sent && umbra_counter("cpu_nmis") == before && !counted(GOT_NMI)) {
		sent = pin_try(id, NMI, LATE);
		for (u32 i = 0;
		     i < (sent ? PATIENCE : BRIEFLY) && umbra_counter("cpu_nmis") == before && !counted(GOT_NMI);
		     i++)
			wait();
	}
	return umbra_counter("cpu_nmis") > before;
}

/* Or on VMX. */
static bool runs_on_svm(void)
{
	return cpuid(0, 0).b == 0x68747541; /* "Auth" of AuthenticAMD */
}

static void store_message(u32 id, u32 command)
{
	*(volatile u32 *)MESSAGE(id) = command | ICR_ASSERT;
	wait();
}

static void check_nothing_ran(const char *what)
{
	check(!counted(STARTED) && !counted(GOT_NMI), what, "%u starts, %u NMIs", counted(STARTED),
	      counted(GOT_NMI));
}

/* When no more of them come: a busy machine lets a processor wait. */
static u32 counted_at_last(u64 at)
{
	u32 before, now = counted(at);

	do {
		before = now;
		for (u32 i = 0; i < BRIEFLY; i++)
			wait();
		now = counted(at);
	} while (now != before);
	return now;
}

static void run_bare(u32 others)
{
	u32 started = counted_at_last(STARTED), nmis = counted_at_last(GOT_NMI), came = 0;

	check(started >= others && others, "bare, each of the others runs the code that INIT and SIPI start",
	      "%u starts of %u", started, others);
	check(nmis >= others, "bare, each of them gets an NMI", "%u", nmis);
	for (u32 id = 0; id <= others; id++) {
		if (id == own)
			continue;
		store_message(id, NMI);
		for (u32 i = 0; i < PATIENCE && counted(GOT_NMI) == nmis; i++)
			wait();
		came += counted(GOT_NMI) == nmis + 1;
		nmis = counted(GOT_NMI);
	}
	check(came == others, "bare, each gets one by a store of this processor", "%u", came);
}

/* Of those with APIC IDs up to others, the first that the hypervisor could take are with it; NMIs to the rest find nobody. */
static u32 with_hypervisor(void)
{
	return (u32)umbra_counter("cpus") - 1;
}

static void try_pins(u32 others)
{
	u32 taken = with_hypervisor(), found = 0;

	for (u32 id = mine; id <= others; id++)
		if (id != own) {
			if (id <= taken) {
				found += nmi_finds_hypervisor(id);
				found += nmi_finds_hypervisor(id);
			} else {
				by_pin(id, NMI);
				by_pin(id, NMI);
			}
			by_pin(id, FIXED | VECTOR);
		}
	wait();
	check_nothing_ran("nor by an NMI or an interrupt through the I/O APIC");
	check(found == 2 * (taken + 1 - mine), "each of those NMIs found the hypervisor on its processor", "%u",
	      found);
}

/* To every APIC ID that such a store can name, and to the others an INIT first, so that an NMI would find them after one. */
static void try_stores(u32 others)
{
	static const u32 commands[] = {INIT, STARTUP | CODE >> 12, NMI, NMI};
	u64 nmis = umbra_counter("cpu_nmis"), inits = umbra_counter("cpu_inits");
	u32 found = 0, read = ~0u;

	for (u32 i = 0; i < ARRAY_SIZE(commands); i++)
		for (u32 id = 1; id < 256; id++) {
			if (id <= others && id != own)
				store_message(id, commands[i]);
			else if (id != own)
				*(volatile u32 *)MESSAGE(id) = commands[i] | ICR_ASSERT;
			read &= *(volatile u32 *)MESSAGE(id);
		}
	wait();
	check_nothing_ran("nor by stores where those of devices are messages");
	check(umbra_counter("cpu_nmis") == nmis && umbra_counter("cpu_inits") == inits && read == ~0u,
	      "which reach nobody, and what is read there is all-ones", "%lu NMIs, %lu INITs, %x",
	      umbra_counter("cpu_nmis") - nmis, umbra_counter("cpu_inits") - inits, read);
	for (u32 id = mine; id <= with_hypervisor(); id++)
		found += id != own && nmi_finds_hypervisor(id);
	check(found == with_hypervisor() + 1 - mine, "so that all are where they were", "%u", found);
}

/*
 * An INIT by the pin is blocked (VMX) or an exception of the hypervisor's (VM_CR.R_INIT), or, on QEMU, takes the
 * processor away, after which NMIs would have it run the guest's code: docs/several-cpus.md. That this code runs tells that the
 * INIT was one, and so that the command register was tried on a processor that a SIPI would start.
 */
static void try_init_by_pin(u32 others)
{
	u32 last = with_hypervisor();
	u64 inits = umbra_counter("cpu_inits");
	bool found;

	for (u32 id = mine; id <= others; id++)
		if (id != own)
			by_pin(id, INIT);
	by_command_register();
	check_nothing_ran("nor by messages of the command register after an INIT through the I/O APIC");
	PUT(NMI_CODE + 22, "\xfa\xf4\xeb\xfd"); /* cli; hlt; again: it does not go on elsewhere */
	by_pin(last, NMI);                      /* with the first one QEMU's processor takes the INIT */
	found = nmi_finds_hypervisor(last);
	if (runs_on_svm() && umbra_counter("cpu_inits") == inits)
		check(!found && counted(GOT_NMI) == 1, "the INIT took the processor away: QEMU's defect",
		      "%u NMIs", counted(GOT_NMI));
	else
		check(found && !counted(GOT_NMI), "the INIT left the processor with the hypervisor", "%u NMIs",
		      counted(GOT_NMI));
}

void run_tests(void)
{
	u32 others = (u32)option("cpus", 1) - 1;

	mine = (u32)option("mine", 1);
	outb(0x21, 0xff); /* the PIC is masked: the timer's line goes to the I/O APIC alone */
	outb(0xa1, 0xff);
	*apic(APIC_SVR) = 0x1ff;
	*apic(APIC_LDR) = 0x01000000;
	own = *apic(APIC_ID) >> 24;
	lay_out();
	by_command_register();
	if (!under_umbra()) {
		run_bare(others);
		return;
	}
	check_nothing_ran("no other processor runs by a message of the command register");
	try_pins(others);
	try_stores(others);
	try_init_by_pin(others);
}
