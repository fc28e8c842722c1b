/* SPDX-License-Identifier: BSD-2-Clause */
/* What an entry cannot have under Secure Boot; see secure_boot.h. */
#include "boot/secure_boot.h"

bool secure_boot_allows(const struct boot_entry *entry, const struct umbra_options *options,
			struct boot_error *error)
{
	if (entry->multiboot)
		return boot_error_set(error,
				      "Secure Boot is on, and %s is a multiboot kernel, which cannot be"
				      " signed; switch Secure Boot off for it",
				      entry->kernel);
	if (entry->acpi_count)
		return boot_error_set(
			error,
			"Secure Boot is on, and %s is an ACPI table, which cannot be signed;"
			" remove the lines \"acpi\" or switch Secure Boot off",
			entry->acpi[0]);
	if (entry->kernel_piece.size && entry->options_edited)
		return boot_error_set(error,
				      "Secure Boot is on, and the command line of %s is part of what was"
				      " signed; start it unchanged",
				      entry->kernel);
	if (options->hv.debug.monitor != BOOT_MONITOR_OFF)
		return boot_error_set(
			error, "Secure Boot is on, and monitor= or gdb= would give the guest's memory"
			       " to whoever is at the port; leave it out or switch Secure Boot off");
	return true;
}
