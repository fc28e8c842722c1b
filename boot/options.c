/* SPDX-License-Identifier: BSD-2-Clause */
/* The parser of the key "umbra"; see options.h. */
#include "boot/options.h"
#include "lib/string.h"
#include "lib/trace_record.h"

/* The numbers of enum log_level in the hypervisor. */
enum { LEVEL_ERROR, LEVEL_WARN, LEVEL_INFO, LEVEL_DEBUG };

static const char *const level_names[] = {
	[LEVEL_ERROR] = "error",
	[LEVEL_WARN] = "warn",
	[LEVEL_INFO] = "info",
	[LEVEL_DEBUG] = "debug",
};

void options_init(struct umbra_options *options)
{
	*options = (struct umbra_options){
		.hv = {.log_level = LEVEL_INFO, .debug = {.escape = 1}},
		.serial = {.kind = SERIAL_AUTO},
	};
}

/* Takes the part before separator off span; the rest stays in span (empty if there is none). */
static struct text_span take_until(struct text_span *span, char separator)
{
	struct text_span head = {span->at, 0};

	while (head.length < span->length && span->at[head.length] != separator)
		head.length++;
	span->at += head.length;
	span->length -= head.length;
	if (span->length) {
		span->at++;
		span->length--;
	}
	return head;
}

static bool parse_serial(struct umbra_options *options, struct text_span value)
{
	return serial_option_parse(value, &options->serial);
}

static bool parse_pool(struct umbra_options *options, struct text_span value)
{
	return text_parse_size(value, &options->hv.pool_bytes) &&
	       options->hv.pool_bytes >= OPTIONS_POOL_MIN && options->hv.pool_bytes <= 1ull << 46;
}

static bool parse_shadow(struct umbra_options *options, struct text_span value)
{
	return text_parse_size(value, &options->hv.shadow_bytes) &&
	       options->hv.shadow_bytes >= OPTIONS_SHADOW_MIN;
}

/* The place of the one of count names that the value is. */
static bool parse_name(struct text_span value, const char *const *names, uint32_t count,
		       uint32_t *place)
{
	for (uint32_t i = 0; i < count; i++) {
		if (text_span_equal(value, names[i])) {
			*place = i;
			return true;
		}
	}
	return false;
}

#define PARSE_NAME(value, names, place) \
	parse_name(value, names, sizeof(names) / sizeof((names)[0]), place)

static bool parse_level(struct umbra_options *options, struct text_span value)
{
	return PARSE_NAME(value, level_names, &options->hv.log_level);
}

static bool is_feature_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

/* Each name with its minus sign; the hypervisor knows which names exist. */
static bool parse_cpuid(struct umbra_options *options, struct text_span value)
{
	struct text_span rest = value, name;
	char *list = options->hv.cpuid_hide;
	size_t i, used;

	do {
		name = take_until(&rest, ',');
		if (name.length < 2 || name.at[0] != '-')
			return false;
		for (i = 1; i < name.length; i++)
			if (!is_feature_char(name.at[i]))
				return false;
	} while (rest.length);
	if (value.at[value.length - 1] == ',')
		return false;
	used = strlen(list);
	if (used + 1 + value.length >= sizeof(options->hv.cpuid_hide))
		return false;
	if (used)
		list[used++] = ',';
	return text_copy(list + used, sizeof(options->hv.cpuid_hide) - used, value);
}

static bool parse_audit(struct umbra_options *options, struct text_span value)
{
	uint64_t v;

	if (!text_parse_u64(value, &v) || v > UINT32_MAX)
		return false;
	options->hv.audit_interval = (uint32_t)v;
	return true;
}

static bool parse_cpus(struct umbra_options *options, struct text_span value)
{
	uint64_t v;

	if (!text_parse_u64(value, &v) || v == 0 || v > OPTIONS_CPUS_MAX)
		return false;
	options->hv.cpus = (uint32_t)v;
	return true;
}

static bool parse_sipi(struct umbra_options *options, struct text_span value)
{
	options->hv.sipi_protected = text_span_equal(value, "protected");
	return options->hv.sipi_protected || text_span_equal(value, "real");
}

/* A port on I/O ports: the guest's accesses to no other can be held back. */
static bool parse_debug_port(struct boot_debug *debug, struct text_span value)
{
	struct serial_option port;

	if (!serial_option_parse(value, &port) || port.kind != SERIAL_UART ||
	    port.uart.space != BOOT_UART_PORTS)
		return false;
	debug->monitor = BOOT_MONITOR_PORT;
	debug->port = port.uart;
	debug->port.baud = port.baud;
	return true;
}

/* There is one port for both. */
static bool parse_gdb(struct umbra_options *options, struct text_span value)
{
	struct boot_debug *debug = &options->hv.debug;

	debug->gdb = 1;
	return debug->monitor == BOOT_MONITOR_OFF && parse_debug_port(debug, value);
}

static bool parse_monitor(struct umbra_options *options, struct text_span value)
{
	struct boot_debug *debug = &options->hv.debug;

	if (debug->gdb)
		return false;
	debug->port = (struct boot_uart){.space = BOOT_UART_NONE};
	if (text_span_equal(value, "off") || text_span_equal(value, "shared")) {
		debug->monitor =
			text_span_equal(value, "off") ? BOOT_MONITOR_OFF : BOOT_MONITOR_SHARED;
		return true;
	}
	return parse_debug_port(debug, value);
}

static bool parse_escape(struct umbra_options *options, struct text_span value)
{
	if (value.length != 1 || value.at[0] < 'a' || value.at[0] > 'z')
		return false;
	options->hv.debug.escape = (uint32_t)(value.at[0] - 'a' + 1);
	return true;
}

static bool parse_death(struct umbra_options *options, struct text_span value)
{
	static const char *const names[] = {
		[BOOT_DEATH_USUAL] = "usual",
		[BOOT_DEATH_STOP] = "stop",
		[BOOT_DEATH_REBOOT] = "reboot",
		[BOOT_DEATH_MONITOR] = "monitor",
	};

	return PARSE_NAME(value, names, &options->hv.debug.death);
}

static bool parse_panic(struct umbra_options *options, struct text_span value)
{
	options->hv.debug.panic = text_span_equal(value, "watch");
	return options->hv.debug.panic || text_span_equal(value, "off");
}

static bool parse_flush_check(struct umbra_options *options, struct text_span value)
{
	static const char *const names[] = {
		[BOOT_FLUSH_CHECK_OFF] = "off",
		[BOOT_FLUSH_CHECK_ON] = "on",
		[BOOT_FLUSH_CHECK_STRICT] = "strict",
	};

	return PARSE_NAME(value, names, &options->hv.flush_check);
}

static const struct {
	const char *name;
	uint32_t kinds;
} trace_words[] = {
#define X(name, word, text) {word, 1u << TRACE_##name},
	TRACE_KINDS(X)
#undef X
		{"all", TRACE_ALL},
	{"flight", TRACE_FLIGHT},
};

static bool parse_trace_size(struct umbra_options *options, struct text_span value)
{
	return text_parse_size(value, &options->hv.trace_bytes) &&
	       options->hv.trace_bytes >= OPTIONS_TRACE_MIN &&
	       options->hv.trace_bytes <= OPTIONS_TRACE_MAX;
}

static bool parse_trace_word(struct umbra_options *options, struct text_span word)
{
	struct text_span value = word, name = take_until(&value, '=');
	uint32_t i;

	if (text_span_equal(name, "size"))
		return parse_trace_size(options, value);
	if (text_span_equal(word, "guest")) {
		options->hv.trace_changes = true;
		return true;
	}
	for (i = 0; i < sizeof(trace_words) / sizeof(trace_words[0]); i++) {
		if (text_span_equal(word, trace_words[i].name)) {
			options->hv.trace_kinds |= trace_words[i].kinds;
			return true;
		}
	}
	return false;
}

/* Kinds of records, "size=", and "guest": the guest may change the kinds. */
static bool parse_trace(struct umbra_options *options, struct text_span value)
{
	struct text_span rest = value;

	options->hv.trace_bytes = OPTIONS_TRACE_DEFAULT;
	do {
		if (!parse_trace_word(options, take_until(&rest, ',')))
			return false;
	} while (rest.length);
	return options->hv.trace_kinds || options->hv.trace_changes;
}

static const struct {
	const char *name;
	bool (*parse)(struct umbra_options *options, struct text_span value);
	const char *form;
} known[] = {
	{"serial", parse_serial, SERIAL_OPTION_FORM},
	{"pool", parse_pool, "pool=SIZE such as 32M, at least 2M"},
	{"shadow", parse_shadow, "shadow=SIZE such as 16M, at least 256K"},
	{"loglevel", parse_level, "loglevel=error, warn, info or debug"},
	{"cpuid", parse_cpuid, "cpuid=-NAME,-NAME with names as in /proc/cpuinfo"},
	{"audit", parse_audit, "audit=NUMBER of exits"},
	{"cpus", parse_cpus, "cpus=NUMBER of processors for the guest, 1 to 256"},
	{"sipi", parse_sipi, "sipi=real or protected"},
	{"trace", parse_trace,
	 "trace=KIND,KIND such as exit,fill or all, with size=256K and guest (docs/tracing.md)"},
	{"flushcheck", parse_flush_check, "flushcheck=off, on or strict"},
	{"monitor", parse_monitor,
	 "monitor=off, shared, ttyS0..ttyS3 or an I/O port, then possibly a comma and a baud rate, without gdb="},
	{"gdb", parse_gdb,
	 "gdb=ttyS0..ttyS3 or an I/O port, then possibly a comma and a baud rate, without monitor="},
	{"escape", parse_escape, "escape=LETTER, a to z, which is typed with Ctrl"},
	{"death", parse_death, "death=usual, stop, reboot or monitor"},
	{"panic", parse_panic, "panic=off or watch"},
};

static bool parse_word(struct umbra_options *options, struct text_span word, struct boot_error *error)
{
	struct text_span value = word, name = take_until(&value, '=');
	uint32_t i;

	if (text_span_equal(word, "bare")) {
		options->bare = true;
		return true;
	}
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!text_span_equal(name, known[i].name))
			continue;
		if (value.length && known[i].parse(options, value))
			return true;
		return boot_error_set(error, "bad value in umbra option \"%.*s\"; write %s",
				      (int)word.length, word.at, known[i].form);
	}
	return boot_error_set(error,
			      "unknown umbra option \"%.*s\"; the options are"
			      " serial= pool= shadow= loglevel= cpuid= audit= cpus= sipi="
			      " trace= flushcheck= monitor= gdb= escape= death= panic= bare",
			      (int)word.length, word.at);
}

bool options_parse(struct umbra_options *options, const char *line, bool can_audit,
		   struct boot_error *error)
{
	struct text_span rest = {line, strlen(line)}, word;

	options_init(options);
	if (!text_copy(options->hv.raw, sizeof(options->hv.raw), rest))
		return boot_error_set(error,
				      "the umbra options are longer than %u characters;"
				      " shorten them",
				      BOOT_LOAD_OPTIONS_MAX - 1);
	while (text_next_word(&rest, &word))
		if (!parse_word(options, word, error))
			return false;
	if (options->hv.audit_interval && !can_audit)
		return boot_error_set(error, "this image is a release build, which has no audits;"
					     " leave out audit=, or build with DEBUG=1");
	return true;
}
