/* SPDX-License-Identifier: BSD-2-Clause */
/* What an entry cannot have under Secure Boot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "boot/secure_boot.h"

static struct boot_entry entry;
static struct umbra_options options;

static int make(void **state)
{
	memset(&entry, 0, sizeof(entry));
	memset(&options, 0, sizeof(options));
	strcpy(entry.kernel, "/kernel");
	return 0;
}

static bool refused_with(const char *text)
{
	struct boot_error error = {0};

	return !secure_boot_allows(&entry, &options, &error) && strstr(error.text, text);
}

static bool allowed(void)
{
	struct boot_error error;

	return secure_boot_allows(&entry, &options, &error);
}

static void a_kernel_has_the_command_line_that_its_entry_says(void **state)
{
	assert_true(allowed());
	entry.options_edited = true;
	assert_true(allowed());
}

static void a_unified_kernel_has_the_one_that_was_signed(void **state)
{
	entry.kernel_piece.size = 1;
	assert_true(allowed());
	entry.options_edited = true;
	assert_true(refused_with("/kernel is part of what was signed"));
}

static void what_has_no_signature_is_refused(void **state)
{
	entry.multiboot = true;
	assert_true(refused_with("/kernel is a multiboot kernel"));
	make(state);
	entry.acpi_count = 1;
	strcpy(entry.acpi[0], "/a.aml");
	assert_true(refused_with("/a.aml is an ACPI table"));
}

static void no_port_leads_into_the_guest(void **state)
{
	options.hv.debug.monitor = BOOT_MONITOR_PORT;
	assert_true(refused_with("monitor= or gdb="));
	options.hv.debug.monitor = BOOT_MONITOR_SHARED;
	assert_true(refused_with("monitor= or gdb="));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_kernel_has_the_command_line_that_its_entry_says, make),
		cmocka_unit_test_setup(a_unified_kernel_has_the_one_that_was_signed, make),
		cmocka_unit_test_setup(what_has_no_signature_is_refused, make),
		cmocka_unit_test_setup(no_port_leads_into_the_guest, make),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
