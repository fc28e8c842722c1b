/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's own options: the key "umbra" of a boot entry. */
#ifndef BOOT_OPTIONS_H
#define BOOT_OPTIONS_H

#include "boot/boot_info.h"
#include "boot/serial_option.h"

struct umbra_options {
	struct boot_options hv; /* handed to the hypervisor */
	struct serial_option serial;
	bool bare; /* start the guest without the hypervisor */
};

#define OPTIONS_POOL_MIN (2ull << 20)
/* The least that shadow_create() of the hypervisor takes: 64 pages. */
#define OPTIONS_SHADOW_MIN (256ull << 10)

/* Bytes of a processor's ring of the trace. */
#define OPTIONS_TRACE_MIN (4ull << 10)
#define OPTIONS_TRACE_DEFAULT (256ull << 10)
#define OPTIONS_TRACE_MAX (64ull << 20)

/* As many as the hypervisor has numbers for. */
#define OPTIONS_CPUS_MAX 256

/* Whether the image audits: debug builds alone do. */
#ifdef UMBRA_DEBUG
#define OPTIONS_CAN_AUDIT true
#else
#define OPTIONS_CAN_AUDIT false
#endif

/* The defaults: the serial port that is found, level info, default pool, nothing hidden, all processors. */
void options_init(struct umbra_options *options);

/*
 * Reads words separated by blanks: serial=... (serial_option.h),
 * pool=SIZE, shadow=SIZE, loglevel=error|warn|info|debug, cpuid=-NAME[,-NAME],
 * audit=N, cpus=N, trace=KIND[,KIND...][,size=SIZE][,guest], flushcheck=..., monitor=..., gdb=..., escape=LETTER, death=..., bare.
 * False with one clear line in error on anything else, and on
 * audit=N (N > 0) unless can_audit.
 */
bool options_parse(struct umbra_options *options, const char *line, bool can_audit,
		   struct boot_error *error);

#endif
