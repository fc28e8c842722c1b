/* SPDX-License-Identifier: BSD-2-Clause */
/* See stop.h. */
#include "arch/x86/guest/stop.h"

#include "arch/x86/debug_hooks.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/log.h"
#include "arch/x86/vendor.h"
#include "lib/printf.h"

#define X(name, text) text,
static const char *const kind_text[EXIT_KIND_COUNT] = {EXIT_KINDS(X)};
#undef X

static void dump_ring(const struct vcpu *vcpu)
{
	u64 count = MIN(vcpu->exits, EXIT_RING);

	log_error("the last %u exits, oldest first:\n", (u32)count);
	for (u64 i = vcpu->exits - count; i != vcpu->exits; i++) {
		const struct exit_record *r = &vcpu->ring[i % EXIT_RING];

		log_error("  %-24s rip %016llx raw %x info %llx %llx\n",
			  r->kind < EXIT_KIND_COUNT ? kind_text[r->kind] : "?", (unsigned long long)r->rip, r->raw,
			  (unsigned long long)r->info1, (unsigned long long)r->info2);
	}
}

NORETURN void guest_stop(struct vcpu *vcpu, const char *format, ...)
{
	char message[256];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	if (debug_hooks)
		debug_hooks->died(vcpu, message, false);
	hw_stop_others();
	log_take_console();
	log_error("guest stopped: %s\n", message);
	log_error("CPU %u: rip %016llx after %llu exits\n", vcpu->id, (unsigned long long)vcpu->rip,
		  (unsigned long long)vcpu->exits);
	vcpu->vendor->dump(vcpu);
	dump_ring(vcpu);
	vcpu->vendor->cpu_disable(); /* SMIs go through again: GIF was 0 */
	log_error("the guest has stopped; reset the machine or switch it off\n");
	hw_stop();
}

static void dump_registers(const struct vcpu *vcpu)
{
	struct segment cs, idtr;

	vcpu->vendor->get_segment(vcpu, SEG_CS, &cs);
	vcpu->vendor->get_segment(vcpu, SEG_IDTR, &idtr);
	log_error("guest: cs %04x base %llx rflags %llx rsp %llx idt %llx limit %x\n", cs.selector,
		  (unsigned long long)cs.base, (unsigned long long)vcpu->rflags,
		  (unsigned long long)vcpu->gpr[GPR_RSP], (unsigned long long)idtr.base, idtr.limit);
	log_error("guest: cr0 %llx cr3 %llx cr4 %llx efer %llx\n", (unsigned long long)vcpu->cr0,
		  (unsigned long long)vcpu->cr3, (unsigned long long)vcpu->cr4, (unsigned long long)vcpu->efer);
}

NORETURN void guest_shutdown(struct vcpu *vcpu)
{
	if (debug_hooks)
		debug_hooks->died(vcpu, "triple fault", true);
	dump_registers(vcpu);
	log_error("guest: triple fault at rip %llx, cr2 %llx on CPU %u; resetting the machine\n",
		  (unsigned long long)vcpu->rip, (unsigned long long)vcpu->cr2, vcpu->id);
	hw_reset();
}
