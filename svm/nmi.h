/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NMIs of a guest with several processors: they exit, since the hypervisor's kicks are among them. SVM as we use it has no
 * virtual NMIs, so what blocks them, from one that was injected to the end of its IRET, is kept in vcpu->nmi_blocked.
 * IRET exits before it is done; then it is stepped over by TF with all exceptions and interrupts intercepted, so that nobody sees that flag.
 * Nothing here does anything for a guest with one processor, whose NMIs are the hardware's affair.
 */
#ifndef SVM_NMI_H
#define SVM_NMI_H

#include "arch/x86/guest/vcpu.h"

/* With vcpu->exit filled: takes the NMIs that wait; an exit that was for NMIs alone becomes EXIT_WINDOW. */
void svm_nmi_exit(struct vcpu *vcpu);

/* Before vcpu->inject goes into the VMCB: an NMI that waits takes its place, or one that cannot go yet leaves it. */
void svm_nmi_entry(struct vcpu *vcpu);

/* The intercepts of NMIs, IRET and exceptions as the state asks for; that of interrupts is in halt.h. */
void svm_nmi_set_intercepts(struct vcpu *vcpu);

#endif
