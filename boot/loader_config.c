/* SPDX-License-Identifier: BSD-2-Clause */
/* The parser of loader.conf; see loader_config.h. */
#include "boot/loader_config.h"
#include "boot/lines.h"
#include "lib/types.h"

#define LOADER_CONF "/loader/loader.conf"
#define TIMEOUT_MAX 3600u

void loader_config_init(struct loader_config *config)
{
	*config = (struct loader_config){.timeout = 0};
}

/* Keys of systemd-boot that may stand in a shared loader.conf and change nothing here. */
static bool is_foreign_key(struct text_span key)
{
	static const char *const names[] = {
		"console-mode",
		"auto-entries",
		"auto-firmware",
		"auto-reboot",
		"auto-poweroff",
		"beep",
		"secure-boot-enroll",
		"secure-boot-enroll-action",
		"secure-boot-enroll-timeout-sec",
		"reboot-for-bitlocker",
		"reboot-on-error",
		"random-seed-mode",
		"log-level",
		"preferred",
	};
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (text_span_equal(key, names[i]))
			return true;
	return false;
}

static bool parse_timeout(struct loader_config *config, struct text_span value)
{
	uint64_t v;

	config->disabled = text_span_equal(value, "menu-disabled");
	if (text_span_equal(value, "menu-force"))
		config->timeout = LOADER_WAIT_FOREVER;
	else if (text_span_equal(value, "menu-hidden") || config->disabled)
		config->timeout = 0;
	else if (text_parse_u64(value, &v) && v <= TIMEOUT_MAX)
		config->timeout = (uint32_t)v;
	else
		return false;
	return true;
}

static bool is_one_of(struct text_span value, const char *const *words, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (text_span_equal_any_case(value, words[i]))
			return true;
	return false;
}

/* Systemd's words. */
static bool parse_editor(struct loader_config *config, struct text_span value)
{
	static const char *const yes[] = {"1", "yes", "y", "true", "t", "on"};
	static const char *const no[] = {"0", "no", "n", "false", "f", "off"};

	config->no_editor = is_one_of(value, no, ARRAY_SIZE(no));
	return config->no_editor || is_one_of(value, yes, ARRAY_SIZE(yes));
}

/* Takes one line; false with the error set when it says nothing known. */
static bool take_line(struct loader_config *config, const struct key_line *line,
		      struct boot_error *error)
{
	struct text_span value = line->value;

	if (text_span_equal(line->key, "default"))
		return text_copy(config->default_pattern, sizeof(config->default_pattern), value) ||
		       boot_error_set(error,
				      LOADER_CONF " line %u: the pattern is too long;"
						  " shorten it",
				      line->number);
	if (text_span_equal(line->key, "timeout"))
		return parse_timeout(config, value) ||
		       boot_error_set(error,
				      LOADER_CONF " line %u: timeout \"%.*s\" is neither a"
						  " number of seconds up to %u nor menu-force,"
						  " menu-hidden or menu-disabled; correct it",
				      line->number, (int)value.length, value.at, TIMEOUT_MAX);
	if (text_span_equal(line->key, "editor"))
		return parse_editor(config, value) ||
		       boot_error_set(error,
				      LOADER_CONF
				      " line %u: editor \"%.*s\" is neither yes nor no; correct it",
				      line->number, (int)value.length, value.at);
	return is_foreign_key(line->key) ||
	       boot_error_set(error,
			      LOADER_CONF " line %u: unknown key \"%.*s\"; correct or"
					  " remove the line",
			      line->number, (int)line->key.length, line->key.at);
}

bool loader_config_parse(struct loader_config *config, const char *text, size_t size,
			 struct boot_error *error)
{
	struct text_span rest = lines_of(text, size);
	struct key_line line = {.number = 0};

	loader_config_init(config);
	while (lines_next_key(&rest, &line))
		if (!take_line(config, &line, error))
			return false;
	return true;
}
