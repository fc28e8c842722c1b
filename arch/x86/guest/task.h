/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hardware task switches (SDM vol. 3 chapter 7, APM vol. 2 chapter 12), which
 * neither SVM nor VMX does in a guest: the CPU checks the way there and exits.
 */
#ifndef ARCH_X86_GUEST_TASK_H
#define ARCH_X86_GUEST_TASK_H

#include "arch/x86/guest/vcpu.h"

/*
 * EXIT_TASK_SWITCH: does the switch that vcpu->exit describes. A fault before the new task's state is loaded
 * comes in the old task and leaves it as it was, one behind that in the new task. True: the new task runs.
 */
bool task_handle_switch(struct vcpu *vcpu);

#endif
