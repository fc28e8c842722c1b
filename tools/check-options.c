/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check-options release|debug OPTIONS: asks the loader's own parser (boot/options.c) about
 * the hypervisor's options, on the host and before an emulator starts. On what the loader
 * would refuse it prints the loader's line and ends with status 1.
 */
#include <stdio.h>
#include <string.h>

#include "boot/options.h"

int main(int argc, char **argv)
{
	static struct umbra_options options;
	struct boot_error error;

	if (argc != 3) {
		fprintf(stderr, "usage: check-options release|debug OPTIONS\n");
		return 2;
	}
	if (options_parse(&options, argv[2], strcmp(argv[1], "debug") == 0, &error))
		return 0;
	puts(error.text);
	return 1;
}
