/* SPDX-License-Identifier: BSD-2-Clause */
/* See umbractl_read.h. A record is read by four CPUIDs; one that its ring has lost meanwhile reads as zeroes. */
#include "tools/umbractl_read.h"

#define PARTS (sizeof(struct trace_record) / sizeof(struct regs))

static struct source {
	uint64_t next;
	bool there; /* record is the next one */
	struct trace_record record;
} sources[CPUS_MAX];
static uint32_t cpus, count;
static uint64_t lost;

static uint64_t written(uint32_t cpu)
{
	struct regs r = cpuid(LEAF_TRACE, cpu);

	return (uint64_t)r.d << 32 | r.a;
}

bool read_begin(bool oldest)
{
	cpus = cpuid(LEAF_INFO, 0).c;
	cpus = cpus < CPUS_MAX ? cpus : CPUS_MAX;
	count = cpuid(LEAF_TRACE, 0).b;
	for (uint32_t i = 0; i < cpus; i++) {
		uint64_t end = written(i);

		sources[i].there = false;
		sources[i].next = !oldest ? end : end < count ? 0 : end - count + 1;
	}
	return count;
}

uint64_t read_lost(void)
{
	return lost;
}

static void read_record(uint32_t cpu, uint64_t n, struct trace_record *out)
{
	struct regs part[PARTS];

	for (uint32_t i = 0; i < PARTS; i++)
		part[i] = cpuid_with(LEAF_TRACE_RECORD, (uint32_t)n * PARTS + i, cpu);
	__builtin_memcpy(out, part, sizeof(*out));
}

/* The source's next record that is still there. */
static void refill(uint32_t cpu)
{
	struct source *s = &sources[cpu];
	uint64_t end = written(cpu);

	while (!s->there && s->next < end) {
		if (end - s->next >= count) {
			lost += end - s->next - count + 1;
			s->next = end - count + 1;
		}
		read_record(cpu, s->next, &s->record);
		end = written(cpu);
		s->there = end - s->next < count && s->record.time && s->record.kind < TRACE_KIND_COUNT;
		s->next += s->there;
		if (!s->there && end - s->next < count) { /* it went while it was read */
			s->next++;
			lost++;
		}
	}
}

bool read_next(struct trace_record *record)
{
	struct source *oldest = NULL;

	for (uint32_t i = 0; i < cpus; i++) {
		if (!sources[i].there)
			refill(i);
		if (sources[i].there && (!oldest || sources[i].record.time < oldest->record.time))
			oldest = &sources[i];
	}
	if (!oldest)
		return false;
	*record = oldest->record;
	oldest->there = false;
	return true;
}

bool read_is_wanted(const struct trace_record *r, const struct wanted *w)
{
	return (w->kinds & 1u << r->kind) && r->address >= w->first && r->address <= w->last &&
	       (w->cpu == ~0u || w->cpu == r->cpu) && (!w->cr3 || !((w->cr3 ^ r->cr3) >> 12));
}

const char *read_kind(uint32_t kind)
{
#define X(name, word, text) word,
	static const char *const words[] = {TRACE_KINDS(X)};
#undef X

	return kind < TRACE_KIND_COUNT ? words[kind] : "?";
}

void read_exit_name(uint32_t kind, char name[NAME_BYTES])
{
	counter_name(kind + 1, name); /* "exit_page_fault" */
	for (uint32_t i = 0; i + 5 < NAME_BYTES; i++)
		name[i] = name[i + 5];
}

static void put_pair(struct line *line, const char *before, uint64_t v)
{
	put(line, before);
	put_hex(line, v, 1);
}

static void put_change(struct line *line, const struct trace_record *r)
{
	put_pair(line, " ", r->old);
	put_pair(line, " -> ", r->new);
}

static void put_table(struct line *line, const struct trace_record *r)
{
	put(line, " level ");
	put_number(line, r->level, 0);
	put_pair(line,
		 r->detail & TRACE_ENTRY_DIRECT && r->kind != TRACE_A_SET && r->kind != TRACE_D_SET ? " frame " :
												      " entry ",
		 r->where);
}

static void put_what(struct line *line, const struct trace_record *r)
{
	static const char *const flushes[] = {"all", "tag", "page"};
	static const char *const results[] = {"fixed", "inject", "emulate", "retry"};
	char name[NAME_BYTES];

	switch (r->kind) {
	case TRACE_EXIT:
		read_exit_name(r->detail, name);
		put(line, " ");
		put(line, name);
		put_pair(line, " raw ", r->where);
		put_pair(line, " info ", r->old);
		put_pair(line, " ", r->new);
		put(line, " ticks ");
		put_number(line, r->cycles, 0);
		return;
	case TRACE_WALK:
		put_pair(line, " error ", r->old);
		put_pair(line, " leaf ", r->new);
		put(line, " ");
		put(line, r->detail < 4 ? results[r->detail] : "?");
		put_table(line, r);
		return;
	case TRACE_FLUSH:
		put(line, " ");
		put(line, r->detail < 3 ? flushes[r->detail] : "?");
		put_pair(line, " tag ", r->where);
		return;
	case TRACE_KICK: put_pair(line, " cpu ", r->where); return;
	case TRACE_INJECT:
		put_pair(line, " vector ", r->detail);
		put_pair(line, " error ", r->where);
		return;
	case TRACE_CR:
		put(line, r->detail == TRACE_CR_EFER ? " efer" : " cr");
		if (r->detail != TRACE_CR_EFER)
			put_number(line, r->detail, 0);
		put_change(line, r);
		return;
	case TRACE_MSR:
		put_pair(line, " msr ", r->where);
		put_pair(line, " = ", r->new);
		return;
	case TRACE_UNSYNC:
	case TRACE_SYNC:
	case TRACE_ZAP:
	case TRACE_RECLAIM: put_table(line, r); return;
	default: put_change(line, r); put_table(line, r);
	}
}

/* Time in seconds, processor, kind, address; then what the kind has; then where the guest was. */
void read_print(const struct trace_record *r)
{
	uint32_t ticks = cpuid(LEAF_TRACE_FILTER, 0).c, rest, micro;
	struct line line = {.at = 0};
	uint64_t seconds = divide(divide(r->time, ticks ? ticks : 1, &rest), 1000000, &micro);

	put_number(&line, seconds, 5);
	put(&line, ".");
	for (uint32_t left = 100000; left > 1 && micro < left; left /= 10)
		put(&line, "0");
	put_number(&line, micro, 0);
	put(&line, " cpu");
	put_number(&line, r->cpu, 0);
	put(&line, " ");
	put(&line, read_kind(r->kind));
	put_to_column(&line, 27);
	put(&line, " ");
	put_hex(&line, r->address, 16);
	put_what(&line, r);
	put_pair(&line, " rip ", r->rip);
	put_pair(&line, " cr3 ", r->cr3);
	put_end(&line);
}
