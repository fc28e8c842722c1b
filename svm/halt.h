/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HLT of a guest with several processors. A kick takes a halted processor out of the guest with RIP behind the HLT, and nothing
 * in the VMCB says whether it still slept; but entered again there it would go on, awake, where on hardware it
 * sleeps: in memory that another kernel may have taken over meanwhile. So HLT exits, and is then executed with
 * interrupts exiting: until one does, the processor sleeps, and whatever else takes it out has it execute the HLT again. With
 * interrupts off it stays out until a message or an NMI comes: its code and tables may be that memory.
 */
#ifndef SVM_HALT_H
#define SVM_HALT_H

#include "arch/x86/guest/vcpu.h"

/* In the fast path: HLT exits; the first interrupt behind it does. The first changes intercepts alone. */
void svm_halt_begin(struct vcpu *vcpu);
/* The interrupt is taken behind the HLT where the shadow of an STI covers that, whether or not the processor held it back. */
void svm_halt_end(struct vcpu *vcpu);

/* Before an entry from the slow path, with vcpu->inject final: back to the HLT, or awake by an event. */
void svm_halt_entry(struct vcpu *vcpu);

/* Behind a slow exit: is it in a HLT with interrupts off, and is there nothing that ends it? vcpu->rflags and rip are valid. */
bool svm_halt_lasts(const struct vcpu *vcpu);

/* The intercepts of HLT and of interrupts as the state asks for. */
void svm_halt_set_intercepts(struct vcpu *vcpu);

#endif
