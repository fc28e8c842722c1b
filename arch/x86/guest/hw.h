/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest's half executes on the hardware on the guest's behalf. Real
 * functions, so that the host tests can put a fake machine underneath.
 */
#ifndef ARCH_X86_GUEST_HW_H
#define ARCH_X86_GUEST_HW_H

#include "arch/x86/cpu.h"
#include "arch/x86/execute.h"
#include "lib/trace.h"
#include "arch/x86/vendor.h"

struct cpuid_regs hw_cpuid(u32 leaf, u32 subleaf);
/* For trace_set_here(): the ring of this CPU's virtual CPU. Also where GS.base is the guest's. */
struct trace_ring *hw_trace_here(struct trace_record *record);
/* 0, or -EFAULT where the hardware raises #GP. */
MUST_CHECK int hw_msr_read(u32 msr, u64 *value);
MUST_CHECK int hw_msr_write(u32 msr, u64 value);
MUST_CHECK int hw_xsetbv(u32 index, u64 value);
void hw_wbinvd(void);
/* The task-priority register of the local APIC. */
u64 hw_read_cr8(void);
/* The guest's DR0 to DR3, which stay in the CPU; where they do, too, DR6. Written: also DR7, which the next entry loads. */
u64 hw_read_dr(u32 n);
void hw_write_dr(u32 n, u64 value);
/* The guest's PKRU, which stays in the CPU. Only on a CPU that has protection keys. */
u32 hw_read_pkru(void);
/* One instruction for the guest, with the vector and x87 state as its control registers allow (execute.h). */
void hw_execute(struct execute *e);
u32 hw_in(u16 port, u32 size);
void hw_out(u16 port, u32 size, u32 value);
/* Device memory that is mapped; 1, 2, 4 or 8 bytes. */
u64 hw_mmio_read(hpa_t at, u32 size);
void hw_mmio_write(hpa_t at, u32 size, u64 value);
/* A register of the local APIC, by the page's address and the offset in it; only in xAPIC mode. */
u32 hw_apic_read(hpa_t page, u32 offset);
void hw_apic_write(hpa_t page, u32 offset, u32 value);
/* Resets the machine: port 0xcf9, then the keyboard controller, then a triple fault. */
NORETURN void hw_reset(void);
NORETURN void hw_stop(void);
/* Does an INIT at this CPU mean that another has panicked? */
bool hw_stop_asked(void);
/*
 * Messages to CPUs of percpu_of(), this one too: it looks at what was asked of it before (docs/several-cpus.md, C1), or it
 * leaves the guest and flushes before it enters again.
 */
void hw_kick(u32 cpu);
void hw_kick_to_flush(u32 cpu);
/* This CPU's APIC was off: a message that came meanwhile comes again. */
void hw_kick_again(void);
/* Was there a kick since the last call? */
bool hw_was_kicked(void);
/* Until there was, which the next hw_was_kicked() says. Outside the guest; interrupts stay off. */
void hw_wait(const struct vendor *vendor);
/* An interrupt that waits is taken for the guest: its vector, or -1. hw_wait_interrupt() halts until there is one, a kick or an NMI. */
int hw_take_interrupt(void);
int hw_wait_interrupt(void);
/* Interrupts that wait, in a local APIC that is on, are taken and forgotten. */
void hw_drop_interrupts(const struct vendor *vendor);
/* NMIs that wait are taken: how many were no kicks so far on this CPU. */
u64 hw_nmis(const struct vendor *vendor);
/* The same of those that were taken already. */
u64 hw_nmi_count(void);
/* This CPU does, from now on. */
void hw_runs_guest(void);
/* All other CPUs, for good. */
void hw_stop_others(void);
/* Processors that the hypervisor owns; NMIs, no kicks, and INITs that reached those of them which run no guest. */
struct hw_cpus {
	u64 owned, nmis, inits;
};
struct hw_cpus hw_cpus(void);

#endif
