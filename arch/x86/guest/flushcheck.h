/* SPDX-License-Identifier: BSD-2-Clause */
/* What the flush checker (mm/shadow/flushcheck.h) asks of a processor, and what it says (docs/debugging.md). */
#ifndef ARCH_X86_GUEST_FLUSHCHECK_H
#define ARCH_X86_GUEST_FLUSHCHECK_H

#include "mm/shadow.h"

/* A processor that used what another one has changed, and flushed for itself, may hear of it for so long. */
#define FLUSHCHECK_GRACE_US 1000000u

/* shadow_ops.where and .stale. */
void flushcheck_where(void *cpu, struct shadow_where *out);
void flushcheck_tell(void *cpu, const struct shadow_stale *stale);

#endif
