/* SPDX-License-Identifier: BSD-2-Clause */
/* umbractl stat: the counters that rise, refreshed in place and sorted, as kvm_stat shows KVM's. */
#include "tools/umbractl.h"

#define COUNTERS_MAX 128u
#define SHOWN_CPUS 8u /* columns that a terminal has room for */
#define LINES 22u

static struct {
	char name[NAME_BYTES];
	uint64_t value, rise; /* of all processors; in the last interval */
	uint64_t cpu_value[CPUS_MAX], cpu_rise[CPUS_MAX];
} counters[COUNTERS_MAX];
static uint32_t count, own, cpus;

static struct {
	bool once, json, each;
	uint32_t seconds;
} options = {.seconds = 1};

static void begin(void)
{
	struct regs info = cpuid(LEAF_INFO, 0);

	count = info.b < COUNTERS_MAX ? info.b : COUNTERS_MAX;
	own = info.d < count ? info.d : count;
	cpus = info.c < CPUS_MAX ? info.c : CPUS_MAX;
	for (uint32_t i = 0; i < count; i++)
		counter_name(i, counters[i].name);
}

static void sample(void)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t value = counter_value(i, 0);

		counters[i].rise = value - counters[i].value;
		counters[i].value = value;
		for (uint32_t cpu = 0; i < own && cpu < cpus; cpu++) {
			value = counter_value(i, cpu + 1);
			counters[i].cpu_rise[cpu] = value - counters[i].cpu_value[cpu];
			counters[i].cpu_value[cpu] = value;
		}
	}
}

/* The indexes by rise, then by value; what is equal stays in its order. */
static void sort(uint32_t order[COUNTERS_MAX])
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = i;

		for (; at; at--) {
			uint32_t before = order[at - 1];

			if (counters[before].rise > counters[i].rise ||
			    (counters[before].rise == counters[i].rise &&
			     counters[before].value >= counters[i].value))
				break;
			order[at] = before;
		}
		order[at] = i;
	}
}

static uint64_t per_second(uint64_t rise)
{
	uint32_t rest;

	return divide(rise, options.seconds, &rest);
}

static void show_heading(uint32_t columns)
{
	struct line line = {.at = 0};

	put(&line, "event");
	put_to_column(&line, 32);
	put(&line, "           total         /s");
	for (uint32_t cpu = 0; cpu < columns; cpu++) {
		put(&line, "     cpu");
		put_number(&line, cpu, 0);
	}
	put_end(&line);
}

static void show_text(void)
{
	uint32_t order[COUNTERS_MAX], columns = options.each ? (cpus < SHOWN_CPUS ? cpus : SHOWN_CPUS) : 0;
	struct line line = {.at = 0};

	sort(order);
	if (!options.once)
		print("\033[H\033[J"); /* home, and clear to the end */
	show_heading(columns);
	for (uint32_t i = 0; i < count && (options.once || i < LINES); i++) {
		uint32_t at = order[i];

		if (!counters[at].value)
			continue;
		put(&line, counters[at].name);
		put_to_column(&line, 32);
		put_number(&line, counters[at].value, 16);
		put_number(&line, per_second(counters[at].rise), 11);
		for (uint32_t cpu = 0; at < own && cpu < columns; cpu++)
			put_number(&line, per_second(counters[at].cpu_rise[cpu]), 9);
		put_end(&line);
	}
}

static void put_json(struct line *line, const char *key, uint64_t value)
{
	put(line, key);
	put_number(line, value, 0);
}

static void show_json(void)
{
	struct line line = {.at = 0};

	put_json(&line, "{\"seconds\": ", options.seconds);
	put_json(&line, ", \"cpus\": ", cpus);
	put(&line, ", \"counters\": {");
	for (uint32_t i = 0; i < count; i++) {
		put(&line, i ? ", \"" : "\"");
		put(&line, counters[i].name);
		put_json(&line, "\": {\"total\": ", counters[i].value);
		put_json(&line, ", \"rise\": ", counters[i].rise);
		for (uint32_t cpu = 0; i < own && cpu < cpus; cpu++) {
			put_json(&line, cpu ? ", " : ", \"cpu_rise\": [", counters[i].cpu_rise[cpu]);
			if (line.at > sizeof(line.text) / 2) {
				write_all(line.text, line.at);
				line.at = 0;
			}
		}
		put(&line, i < own && cpus ? "]}" : "}");
		write_all(line.text, line.at);
		line.at = 0;
	}
	put(&line, "}}");
	put_end(&line);
}

static bool parse(long argc, char **argv)
{
	const char *end;
	uint64_t value;

	for (long i = 2; i < argc; i++) {
		if (equal(argv[i], "--once"))
			options.once = true;
		else if (equal(argv[i], "--json"))
			options.json = true;
		else if (equal(argv[i], "--cpus"))
			options.each = true;
		else if (equal(argv[i], "-i") && ++i < argc && parse_number(argv[i], &value, &end) && !*end &&
			 value && value <= 3600)
			options.seconds = (uint32_t)value;
		else
			return false;
	}
	return true;
}

int stat_main(long argc, char **argv)
{
	if (!parse(argc, argv)) {
		print_to(STDERR, "usage: umbractl stat [--once] [--json] [--cpus] [-i SECONDS]\n"
				 "  --once: one interval, then the end; --json: a line for each interval\n"
				 "  --cpus: the first eight processors beside the sum\n");
		return 2;
	}
	begin();
	sample();
	do {
		sleep_ms(options.seconds * 1000);
		sample();
		if (options.json)
			show_json();
		else
			show_text();
	} while (!options.once);
	return 0;
}
