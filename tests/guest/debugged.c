/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest for a debugger (tests/system/gdb_session.py; options: cpus=N): it waits until the debugger sets `released`, then does what
 * there is to stop at, step through and watch, and checks that it has seen nothing of that: its code is as it was linked, flags
 * have no TF, its debug registers are its own. It has passed when the debugger has gone and left it alone.
 */
#include "tests/guest/lib/smp.h"

#define FLAG_TF 0x100ull
#define DR6_CLEAR 0xffff0ff0ull
#define DR7_CLEAR 0x400ull
#define DR7_WATCH_3 (BIT(7) | (0xdull << 28)) /* DR3: writes of 4 bytes */
#define ROUNDS 5u
#define SECRET 0x5ec4e7u

/* What the debugger looks at by name. */
volatile u32 released, second_stop;
volatile u64 watched, second_turns;
u32 counted;
static volatile u32 own;
static u32 own_hits;
static u64 own_dr6, flags_seen;
static bool several;

#define STOP_AT(name) \
	void name(u64 n); \
	__attribute__((noinline)) void name(u64 n) \
	{ \
		asm volatile("" : : "r"(n) : "memory"); \
		counted++; \
	}
STOP_AT(marked)
STOP_AT(place_1)
STOP_AT(place_2)
STOP_AT(place_3)
STOP_AT(place_4)
STOP_AT(place_5)
STOP_AT(place_6)

void change_watched(u64 n);
__attribute__((noinline)) void change_watched(u64 n)
{
	watched = n;
}

/* --- what is stepped through ------------------------------------------------------------ */

extern char own_entry[];
volatile u64 debug_status;
volatile u32 debug_hits;
asm(".pushsection .text, \"ax\"\n"
    "own_entry: push %rax\n"
    "mov %dr6, %rax; mov %rax, debug_status(%rip); incl debug_hits(%rip)\n"
    "mov $0xffff0ff0, %eax; mov %rax, %dr6\n"
    "pop %rax; iretq\n"
    ".popsection");

static void note_debug_exception(struct smp_cpu *cpu, struct smp_frame *frame)
{
	asm volatile("mov %%dr6, %0; mov %1, %%dr6" : "=&r"(debug_status) : "r"(DR6_CLEAR));
	debug_hits++;
}

static void read_nothing(void *unused)
{
	*(volatile u64 *)TEST_VA;
}

/* PUSHF would store the TF of a debugger's step. */
static void look_at_flags(void)
{
	u64 flags;

	asm volatile("pushfq; pop %0" : "=r"(flags));
	flags_seen |= flags;
}

/* A page fault, ring 3 and back by INT 0x80, or, with several processors, an interrupt; an instruction that exits. */
void stepped_through(void);
__attribute__((noinline)) void stepped_through(void)
{
	if (several) {
		asm volatile("int $0x50" : : : "memory");
	} else {
		guarded(read_nothing, NULL);
		look_at_flags();
		access(A_READ, true, TEST_VA + PAGE_SIZE);
	}
	look_at_flags();
	cpuid(0, 0);
	look_at_flags();
}

/* --- its own debug registers -------------------------------------------------------------- */

static u64 read_debug(u32 n)
{
	u64 v;

	switch (n) {
	case 0: asm volatile("mov %%dr0, %0" : "=r"(v)); return v;
	case 1: asm volatile("mov %%dr1, %0" : "=r"(v)); return v;
	case 2: asm volatile("mov %%dr2, %0" : "=r"(v)); return v;
	case 3: asm volatile("mov %%dr3, %0" : "=r"(v)); return v;
	case 6: asm volatile("mov %%dr6, %0" : "=r"(v)); return v;
	default: asm volatile("mov %%dr7, %0" : "=r"(v)); return v;
	}
}

static void set_debug(u64 dr3, u64 dr7)
{
	asm volatile("mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr2"
		     :
		     : "r"(0x1111ull), "r"(0x2222ull), "r"(0x3333ull));
	asm volatile("mov %0, %%dr6; mov %1, %%dr3; mov %2, %%dr7" : : "r"(DR6_CLEAR), "r"(dr3), "r"(dr7));
}

static void check_debug(u64 dr3, u64 dr7, const char *when)
{
	bool same = read_debug(0) == 0x1111 && read_debug(1) == 0x2222 && read_debug(2) == 0x3333 &&
		    read_debug(3) == dr3;

	check(same, when, "%lx %lx %lx %lx", read_debug(0), read_debug(1), read_debug(2), read_debug(3));
	check(read_debug(7) == dr7 && read_debug(6) == DR6_CLEAR, "DR6 and DR7 are its own, too", "%lx %lx",
	      read_debug(6), read_debug(7));
}

static void use_own_watchpoint(void)
{
	set_debug((u64)&own, DR7_CLEAR | DR7_WATCH_3);
	for (u32 i = 0; i < ROUNDS; i++)
		own = i;
	own_hits = debug_hits;
	own_dr6 = debug_status;
	check_debug((u64)&own, DR7_CLEAR | DR7_WATCH_3, "DR0 to DR3 are its own with a watchpoint of its own");
	set_debug(0, DR7_CLEAR);
	check(own_hits == ROUNDS, "its own watchpoint is met each time", "%u", own_hits);
	check(own_dr6 == (DR6_CLEAR | BIT(3)), "and DR6 says so", "%lx", own_dr6);
}

/* --- the rounds ------------------------------------------------------------------------------ */

static u32 sum_of_code(void (*code)(u64 n))
{
	const u8 *byte = (const u8 *)code;
	u32 sum = 0;

	for (u32 i = 0; i < 16; i++)
		sum = sum * 31 + byte[i];
	return sum;
}

static void turn(struct smp_cpu *cpu)
{
	while (!second_stop)
		second_turns++;
}

void wait_for_debugger(void);
__attribute__((noinline)) void wait_for_debugger(void)
{
	while (!released)
		asm volatile("pause" : : : "memory");
}

static void tests(void)
{
	u32 sum = sum_of_code(marked);

	set_debug(0x4444, DR7_CLEAR);
	print("READY\n");
	wait_for_debugger();
	for (u32 i = 0; i < ROUNDS; i++)
		marked(i);
	place_1(1);
	place_2(2);
	place_3(3);
	place_4(4);
	place_5(5);
	place_6(6);
	for (u32 i = 1; i <= ROUNDS; i++)
		change_watched(i);
	check_debug(0x4444, DR7_CLEAR, "DR0 to DR3 are its own while a debugger is there");
	check(sum_of_code(marked) == sum, "its code is as it was", "%x", sum_of_code(marked));
	use_own_watchpoint();
	stepped_through();
	marked(99);
	second_stop = 1;
	check(!several || smp_join(1), "the other processor goes on", "%lu", second_turns);
	check(!(flags_seen & FLAG_TF), "no TF in its flags", "%lx", flags_seen);
	check(counted == ROUNDS + 7, "every call was made once", "%u", counted);
	check(watched == ROUNDS, "what was watched has its value", "%lu", watched);
	finish();
}

static void map_secret(struct space *space)
{
	u32 *secret = alloc_pages(1);

	space_map(space, TEST_VA + PAGE_SIZE, (u64)secret, PTE_P | PTE_W | PTE_U, 1);
	*secret = SECRET;
}

static void tests_of_several(void)
{
	map_secret(&smp_space);
	smp_handle(VEC_DB, note_debug_exception);
	smp_handle(0x50, NULL);
	check(smp_start_all(), "the other processors come up", "%u", smp_count);
	smp_call(1, turn, 0);
	tests();
}

void run_tests(void)
{
	struct space space = space_new();

	several = option("cpus", 1) > 1;
	if (several)
		smp_run(tests_of_several);
	map_secret(&space);
	space_load(&space);
	set_handler(VEC_DB, own_entry);
	tests();
}
