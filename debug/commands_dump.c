/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command that sends the stopped guest's registers and memory to tools/umbra-dump. Each frame is sent until the other end says
 * that it is there whole, so that a line that loses or changes bytes makes it slower and nothing else. Pages of zeros are not sent.
 * Hidden memory is not RAM to a guest, and not in it.
 */
#include "debug/command.h"

#include "arch/x86/clock.h"
#include "arch/x86/cpu.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/memory.h"
#include "debug/console.h"
#include "debug/dump_pack.h"
#include "debug/gdb_guest.h"
#include "debug/memory.h"
#include "debug/port.h"
#include "debug/target.h"
#include "lib/string.h"

#define VERSION 1u
/* For an answer. The other end takes less to see that a frame has stopped coming. */
#define ANSWER_US 2000000u
#define TRIES 16u
#define TRIES_FIRST 4u
#define PAYLOAD 8192u
#define CTRL_C_THRICE 0x030303u /* one may be part of an answer */
#define SEARCHED (16ull << 20)
/* Behind the last answer nothing comes any more. */
#define QUIET_US 100000u

struct begin {
	char magic[8]; /* "UMBRADMP" */
	u32 version, cpus;
	u64 first, last; /* the range that was asked for */
	u64 bytes;       /* of RAM in it */
} PACKED;

struct cpu_segment {
	u16 selector, zero;
	u32 attributes, limit, zero2;
	u64 base;
} PACKED;

struct cpu {
	u32 id;
	u8 running, code_bits, cpl, zero;
	u64 reg[TARGET_REGISTER_COUNT];
	struct cpu_segment segment[SEG_COUNT];
} PACKED;

struct page_record {
	u64 address;
	u16 length;
} PACKED;

static struct {
	struct vcpu *cpu;
	u64 first, last; /* guest-physical, both included */
	u32 number;      /* of the next frame */
	u32 again;       /* frames that were sent once more */
	bool over;       /* the other end does not want more, or is not there */
	const char *why;
	u64 pages;
	u32 used;
	u8 payload[PAYLOAD];
} dump;

/* --- frames --------------------------------------------------------------------------------- */

static void relax(void)
{
	if (hw_stop_asked())
		hw_stop();
	cpu_relax();
}

/* 0: none in time. */
static u8 wait_for_answer(void)
{
	u64 end = clock_after(ANSWER_US);
	u32 window = 0;

	while (!clock_passed(end)) {
		int byte = port_get();
		u8 answer;

		if (byte < 0) {
			relax();
			continue;
		}
		answer = dump_take_answer(&window, (u8)byte, dump.number);
		if (window == CTRL_C_THRICE)
			return DUMP_STOP;
		if (answer)
			return answer;
	}
	return 0;
}

static void give_up(const char *why)
{
	dump.over = true;
	dump.why = why;
}

static void send(enum dump_type type, const void *payload, u32 length)
{
	struct dump_header header = dump_make_header(type, dump.number, (u16)length);
	u32 crc = dump_crc(dump_crc(0, &header, sizeof(header)), payload, length);
	u8 answer = 0;

	for (u32 i = 0; i < (dump.number ? TRIES : TRIES_FIRST) && !dump.over && answer != DUMP_GOOD; i++) {
		dump.again += i > 0;
		if (!port_put_bytes((const u8 *)&header, sizeof(header)) || !port_put_bytes(payload, length) ||
		    !port_put_bytes((const u8 *)&crc, sizeof(crc)))
			continue;
		answer = wait_for_answer();
		if (answer == DUMP_STOP)
			give_up("it was stopped");
	}
	if (answer != DUMP_GOOD && !dump.over)
		give_up(dump.number ? "the other end is gone" :
				      "nobody answers; tools/umbra-dump gives this command");
	dump.number++;
}

/* --- what is sent ---------------------------------------------------------------------------- */

/* The part of a region that is wanted; false: none. */
static bool part_of(const struct region *r, u64 *base, u64 *bytes)
{
	u64 begin = MAX(r->base << PAGE_SHIFT, dump.first & PAGE_MASK);
	u64 end = MIN(((r->base + r->pages) << PAGE_SHIFT) - 1, dump.last | ~PAGE_MASK);

	*base = begin;
	*bytes = end - begin + 1;
	return r->kind == REGION_RAM && begin < end;
}

static void send_begin(void)
{
	const struct region_map *map = memory_regions();
	struct begin begin = {"UMBRADMP", VERSION, 0, dump.first, dump.last, 0};
	u64 base, bytes;

	while (stop_cpu(begin.cpus))
		begin.cpus++;
	for (u32 i = 0; i < map->count; i++)
		if (part_of(&map->regions[i], &base, &bytes))
			begin.bytes += bytes;
	send(DUMP_BEGIN, &begin, sizeof(begin));
}

static void send_cpu(struct vcpu *vcpu)
{
	static struct cpu cpu;
	struct target_state state;

	cpu = (struct cpu){.id = vcpu->id};
	if (!target_get(vcpu, &state)) {
		cpu.running = true;
		cpu.code_bits = (u8)state.code_bits;
		cpu.cpl = (u8)state.cpl;
		memcpy(cpu.reg, state.reg, sizeof(cpu.reg));
		for (u32 i = 0; i < SEG_COUNT; i++)
			cpu.segment[i] = (struct cpu_segment){.selector = state.segment[i].selector,
							      .attributes = state.segment[i].attributes,
							      .limit = state.segment[i].limit,
							      .base = state.segment[i].base};
	}
	send(DUMP_CPU, &cpu, sizeof(cpu));
}

static void flush(void)
{
	if (dump.used)
		send(DUMP_PAGES, dump.payload, dump.used);
	dump.used = 0;
}

static void send_page(u64 address, const u8 *page)
{
	static u8 packed[DUMP_PACKED_MAX];
	struct page_record record = {.address = address, .length = (u16)dump_pack(page, packed)};

	if (dump.used + sizeof(record) + record.length > PAYLOAD)
		flush();
	memcpy(dump.payload + dump.used, &record, sizeof(record));
	memcpy(dump.payload + dump.used + sizeof(record), packed, record.length);
	dump.used += (u32)sizeof(record) + record.length;
	dump.pages++;
}

struct search {
	u64 at, end;
	const u8 *page; /* at `at`: not all zeros; NULL: there is none before `at` */
	bool failed;    /* at `at`: no RAM */
};

/* Some MiB at most: a panic elsewhere waits for who is in here. */
static void find_page(struct vcpu *vcpu, void *arg)
{
	struct search *s = arg;
	u64 end = MIN(s->end, s->at + SEARCHED);

	for (s->page = NULL; s->at < end; s->at += PAGE_SIZE) {
		s->page = memory_page(vcpu, s->at);
		s->failed = !s->page;
		if (s->failed || !dump_is_zero(s->page))
			return;
		s->page = NULL;
	}
}

static void send_ram(const struct region *r)
{
	u64 part[2];

	if (!part_of(r, &part[0], &part[1]))
		return;
	send(DUMP_RAM, part, sizeof(part));
	for (struct search s = {part[0], part[0] + part[1], NULL, false}; s.at < s.end && !dump.over;) {
		if (!stop_on(dump.cpu, find_page, &s))
			break;
		if (s.failed)
			send(DUMP_FAILED, &s.at, sizeof(s.at));
		else if (s.page)
			send_page(s.at, s.page);
		s.at += s.failed || s.page ? PAGE_SIZE : 0;
	}
	flush();
}

static void drop_input(void)
{
	u64 end = clock_after(QUIET_US);

	while (!clock_passed(end)) {
		if (port_get() >= 0)
			end = clock_after(QUIET_US);
		relax();
	}
}

static void send_all(void)
{
	const struct region_map *map = memory_regions();
	struct vcpu *vcpu;

	send_begin();
	for (u32 i = 0; !dump.over && (vcpu = stop_cpu(i)); i++)
		send_cpu(vcpu);
	for (u32 i = 0; !dump.over && i < map->count; i++)
		send_ram(&map->regions[i]);
	if (!dump.over)
		send(DUMP_END, &dump.pages, sizeof(dump.pages));
	drop_input();
}

static void run(struct monitor *m, const struct words *w)
{
	u64 first, length;

	if (!command_number(m, w, 1, 0, &first) || !command_number(m, w, 2, ~first, &length))
		return;
	if (gdb_guest_is_attached() || !stop_is_running(m->cpu) || !length) {
		console_printf("it needs the monitor's own session, a processor that runs and a length\n");
		return;
	}
	dump.cpu = m->cpu;
	dump.first = first;
	dump.last = first + length - 1 < first ? ~0ull : first + length - 1;
	dump.number = dump.again = dump.used = 0;
	dump.pages = 0;
	dump.over = false;
	send_all();
	if (dump.over)
		console_printf("\ndump: not complete: %s\n", dump.why);
	else
		console_printf("\ndump: %llu pages in %u frames, %u of them sent again\n",
			       (unsigned long long)dump.pages, dump.number, dump.again);
}

const struct command commands_dump[] = {
	{"dump", "[ADDRESS BYTES]", "registers and guest-physical memory to tools/umbra-dump at the other end", run},
	{NULL, NULL, NULL, NULL},
};
