/* SPDX-License-Identifier: BSD-2-Clause */
/* See arch/x86/guest/flushcheck.h. */
#include "arch/x86/guest/flushcheck.h"

#include "arch/x86/guest/state.h"
#include "arch/x86/vendor.h"
#include "lib/log.h"

/* FS_BASE: of a user's thread it is another one for each, and a kernel leaves it alone until it switches threads. */
void flushcheck_where(void *cpu, struct shadow_where *out)
{
	const struct vcpu *vcpu = cpu;
	struct segment fs;

	vcpu->vendor->get_segment(vcpu, SEG_FS, &fs);
	out->rip = vcpu->exits ? vcpu_last_exit(vcpu)->rip : vcpu->rip;
	out->thread = fs.base;
}

static const char *access_word(const struct shadow_stale *s)
{
	return s->fetch ? "execute" : s->write ? "write" : "read";
}

void flushcheck_tell(void *cpu, const struct shadow_stale *s)
{
	const struct vcpu *vcpu = cpu;
	u64 us = (s->used.tsc - s->changed.tsc) / MAX(guest_of(vcpu)->ticks_per_us, 1u);

	log_warn("flushcheck: %llx %s: its%s entry %llx of level %u was %llx, is %llx\n", (unsigned long long)s->gva,
		 s->proved ? "used stale" : "changed, not flushed, and used", s->global ? " global" : "",
		 (unsigned long long)s->entry.v, s->level, (unsigned long long)s->old, (unsigned long long)s->new);
	log_warn("flushcheck:   changed on CPU %u at rip %llx cr3 %llx; %llu us later a %s by the %s on CPU %u at rip %llx cr3 "
		 "%llx%s\n",
		 s->changed.cpu, (unsigned long long)s->changed.rip, (unsigned long long)s->changed.cr3,
		 (unsigned long long)us, access_word(s), s->user ? "user" : "supervisor", s->used.cpu,
		 (unsigned long long)s->used.rip, (unsigned long long)s->used.cr3,
		 s->used.cpu == s->changed.cpu ? "" : ", which was not told");
}
