/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of model-specific registers; msr_table.h says what the classes mean.
 * What decides a row: a register that hands the processor a physical address, moves memory
 * about or changes what the hypervisor itself runs on is never written; what an
 * operating system must set on its own machine (power, counters, machine checks,
 * mitigations) is. After a change `make docs-msrs` writes docs/msrs.md anew.
 */
#include "arch/x86/guest/msr_table.h"

#define ALL (~0ull)
/* clang-format off */
#define R(from, to, class_, name_, why_, manual_, ...) \
	{.first = from, .last = to, .class = MSR_##class_, .name = name_, .why = why_, .manual = manual_, __VA_ARGS__}
#define R1(msr, ...) R(msr, msr, __VA_ARGS__)
#define C(leaf, subleaf, reg, bit) {leaf, subleaf, CPUID_##reg, bit}
#define LEAF(leaf) {leaf, 0, 0, CPUID_WHOLE_LEAF}
#define ANNOUNCED(...) .announced = {__VA_ARGS__}

/* Where a register is described. */
#define SDM "SDM vol. 4 table 2-2"
#define SDM_MODEL "SDM vol. 4 chapter 2, tables of the models"
#define SDM_VMX "SDM vol. 3 appendix A"
#define APM "APM vol. 2 appendix A"
#define APM_7_9 "APM vol. 2 section 7.9"
#define APM_7_10 "APM vol. 2 section 7.10"
#define APM_9_3 "APM vol. 2 section 9.3"
#define APM_10_2 "APM vol. 2 section 10.2"
#define APM_13_1 "APM vol. 2 section 13.1"
#define APM_13_2 "APM vol. 2 section 13.2"
#define APM_13_3 "APM vol. 2 section 13.3"
#define APM_13_4 "APM vol. 2 section 13.4"
#define APM_SVM "APM vol. 2 section 15.30"
#define APM_SEV "APM vol. 2 sections 15.34 to 15.36"
#define PPR "AMD's processor programming references"

/* Reasons that several rows share. */
#define OWN "the guest's own state, which the hypervisor does not use"
#define COUNTER "counts events; overflows interrupt through the guest's own local APIC"
#define POWER "power and heat of the guest's own machine"
#define TRACE "processor trace writes to physical memory at an address of the guest's"
#define PEBS "the processor writes records to memory on its own"
#define BRANCH "branch records: addresses, no memory is written"
#define BANK "machine-check banks: the guest's kernel looks after errors"
#define SGX_WHY "SGX takes memory out of everyone's hands; hidden"
#define KEYS "memory encryption: another key is another name of the same memory"
#define ROUTING "decides which addresses are RAM and which go to devices: the hypervisor's memory is found by it"
#define CACHE "shares of the cache and memory bandwidth of the guest's own machine"
#define X2APIC "the local APIC is the guest's; only in x2APIC mode"
#define SMM "system-management memory, from which the firmware watches the hypervisor as well"
#define SEV_WHY "encrypted guests and the tables that own all memory; hidden"
#define CHICKEN "named bits that work round an erratum; the others change how the processor works"
#define BELOW "of a hypervisor below this one: takes physical addresses that nobody checks"

#define IBRS C(7, 0, EDX, 26), C(7, 0, EDX, 27), C(7, 0, EDX, 31), C(0x80000008, 0, EBX, 14), \
	C(0x80000008, 0, EBX, 15), C(0x80000008, 0, EBX, 24)
#define CORE_CAPABILITIES_SPLIT_LOCK BIT(5)
/* IA32_PERF_CAPABILITIES: PEBS_TRAP, PEBS_ARCH_REG, PEBS_FMT, PEBS_BASELINE, PEBS_OUTPUT_PT_AVAIL, PEBS_TIMING_INFO */
#define PERF_CAPABILITIES_PEBS (BITS(11, 6) | BIT(14) | BITS(17, 16))
/* Fast strings, thermal monitors 1 and 2, SpeedStep, MONITOR, xTPR messages, turbo */
#define MISC_ENABLE_WRITE (BIT(0) | BIT(3) | BIT(13) | BIT(16) | BIT(18) | BIT(23) | BIT(38))
/* Branch trace storage and PEBS unavailable */
#define MISC_ENABLE_ONE BITS(12, 11)
/* McStatusWrEn, CpbDis, IRPerfEn */
#define HWCR_WRITE (BIT(18) | BIT(25) | BIT(30))
/* MemEncryptionModEn, SecureNestedPagingEn, VMPLEn, HMKEE */
#define SYSCFG_ENCRYPTION BITS(26, 23)

const struct msr_row msr_table[] = {
	R1(0x10, PASSED, "IA32_TIME_STAMP_COUNTER", OWN, SDM),
	R1(0x17, READ_ONLY, "IA32_PLATFORM_ID", "a fact", SDM),
	R1(0x1b, EMULATED, "IA32_APIC_BASE", "the APIC's page must stay where accesses to it are trapped", SDM),
	R1(0x1c, ABSENT, "IA32_USER_MSR_CTL", "MSRs for programs, past the permission maps; hidden", SDM,
	 ANNOUNCED(C(7, 1, EDX, 15))),
	R1(0x2f, ABSENT, "IA32_BARRIER", "lists of MSRs in memory (RDMSRLIST); hidden", SDM,
	 ANNOUNCED(C(7, 1, EAX, 27))),
	R1(0x33, MASKED, "MSR_TEST_CTRL", "detection of split locks", SDM_MODEL, .write = BIT(29),
	 ANNOUNCED(C(7, 0, EDX, 30))),
	R1(0x34, READ_ONLY, "MSR_SMI_COUNT", "a counter", SDM_MODEL),
	R1(0x3a, EMULATED, "IA32_FEATURE_CONTROL", "reads as locked with VMX, SMX and SGX off", SDM),
	R1(0x3b, MASKED, "IA32_TSC_ADJUST", OWN, SDM, .write = ALL, ANNOUNCED(C(7, 0, EBX, 1))),
	R(0x40, 0x47, MASKED, "MSR_LASTBRANCH_n_FROM_IP", BRANCH, SDM_MODEL, .write = ALL),
	R1(0x48, PASSED, "IA32_SPEC_CTRL", "mitigations of speculation are the guest's choice", SDM,
	 ANNOUNCED(IBRS)),
	R1(0x49, PASSED, "IA32_PRED_CMD", "a barrier", SDM,
	 ANNOUNCED(C(7, 0, EDX, 26), C(0x80000008, 0, EBX, 12))),
	R1(0x4e, IGNORED, "IA32_PPIN_CTL", "the firmware's choice whether there is a serial number", SDM),
	R(0x60, 0x67, MASKED, "MSR_LASTBRANCH_n_TO_IP", BRANCH, SDM_MODEL, .write = ALL),
	R1(0x79, EMULATED, "IA32_BIOS_UPDT_TRIG", "microcode is not loaded under the hypervisor; a write is dropped", SDM),
	R1(0x87, ABSENT, "IA32_MKTME_KEYID_PARTITIONING", KEYS, SDM,
	 ANNOUNCED(C(7, 0, ECX, 13), C(7, 0, EDX, 18))),
	R1(0x8b, EMULATED, "IA32_BIOS_SIGN_ID",
	 "the microcode's number, which CPUID has put there at the start; a write is dropped: kernels clear it and execute CPUID", SDM),
	R(0x8c, 0x8f, ABSENT, "IA32_SGXLEPUBKEYHASHn", SGX_WHY, SDM, ANNOUNCED(C(7, 0, ECX, 30), C(7, 0, EBX, 2))),
	R1(0x9b, ABSENT, "IA32_SMM_MONITOR_CTL", "the monitor of system management mode is set up by VMX; hidden", SDM,
	 ANNOUNCED(C(1, 0, ECX, 5))),
	R1(0x9e, ABSENT, "IA32_SMBASE", SMM, SDM),
	R1(0xbd, READ_ONLY, "IA32_XAPIC_DISABLE_STATUS", "a fact: whether the APIC can leave x2APIC mode", SDM,
	 ANNOUNCED(C(7, 0, EDX, 29))),
	R(0xc1, 0xc8, MASKED, "IA32_PMCn", COUNTER, SDM, .write = ALL),
	R1(0xcf, READ_ONLY, "IA32_CORE_CAPABILITIES", "split-lock detection only: in-field scan loads its tests from memory",
	 SDM, .zero = ~CORE_CAPABILITIES_SPLIT_LOCK, ANNOUNCED(C(7, 0, EDX, 30))),
	R1(0xe1, MASKED, "IA32_UMWAIT_CONTROL", OWN, SDM, .write = BITS(31, 2) | BIT(0),
	 ANNOUNCED(C(7, 0, ECX, 5))),
	R(0xe7, 0xe8, PASSED, "IA32_MPERF, IA32_APERF", "counters that a kernel reads at every tick", SDM,
	 ANNOUNCED(C(6, 0, ECX, 0))),
	R1(0xfe, EMULATED, "IA32_MTRRCAP", "the guest's copies; SMRR and PRMRR are not shown", SDM),
	R1(0x10a, READ_ONLY, "IA32_ARCH_CAPABILITIES", "a fact", SDM, ANNOUNCED(C(7, 0, EDX, 29))),
	R1(0x10b, PASSED, "IA32_FLUSH_CMD", "flushes the first-level cache", SDM, ANNOUNCED(C(7, 0, EDX, 28))),
	R1(0x10f, MASKED, "MSR_TSX_FORCE_ABORT", "transactional memory on or off", SDM_MODEL, .write = BITS(2, 0),
	 ANNOUNCED(C(7, 0, EDX, 13))),
	R1(0x122, MASKED, "IA32_TSX_CTRL", "transactional memory on or off", SDM, .write = BITS(1, 0)),
	R1(0x123, MASKED, "IA32_MCU_OPT_CTRL", "mitigations are the guest's choice; locks are not", SDM,
	 .write = BITS(1, 0) | BITS(4, 3)),
	R1(0x140, MASKED, "MSR_MISC_FEATURES_ENABLES", "faulting CPUID, MONITOR in ring 3", SDM_MODEL,
	 .write = BITS(1, 0)),
	R1(0x150, IGNORED, "overclocking mailbox", "commands to the power controller, which no manual lists", SDM_MODEL),
	R(0x174, 0x176, PASSED, "IA32_SYSENTER_CS, ESP, EIP", OWN, SDM),
	R1(0x179, READ_ONLY, "IA32_MCG_CAP", "a fact", SDM),
	R(0x17a, 0x17b, MASKED, "IA32_MCG_STATUS, IA32_MCG_CTL", BANK, SDM, .write = ALL),
	R1(0x17f, MASKED, "MSR_ERROR_CONTROL", "records of corrected errors", SDM_MODEL, .write = BIT(1)),
	R(0x186, 0x18d, MASKED, "IA32_PERFEVTSELn", COUNTER, SDM, .write = ALL),
	R1(0x198, READ_ONLY, "IA32_PERF_STATUS", "a fact", SDM),
	R(0x199, 0x19c, MASKED, "IA32_PERF_CTL, IA32_CLOCK_MODULATION, IA32_THERM_INTERRUPT, IA32_THERM_STATUS", POWER, SDM,
	 .write = ALL),
	R1(0x1a0, MASKED, "IA32_MISC_ENABLE",
	 "what limits CPUID or turns no-execute off stays as it is; branch trace storage and PEBS read as unavailable", SDM,
	 .write = MISC_ENABLE_WRITE, .one = MISC_ENABLE_ONE),
	R1(0x1a2, MASKED, "MSR_TEMPERATURE_TARGET", POWER, SDM_MODEL, .write = BITS(29, 24)),
	R1(0x1a4, MASKED, "MSR_MISC_FEATURE_CONTROL", "prefetchers on or off", SDM_MODEL, .write = BITS(3, 0) | BIT(5)),
	R(0x1a6, 0x1a7, MASKED, "MSR_OFFCORE_RSP_n", "chooses events to count", SDM_MODEL, .write = ALL),
	R1(0x1b0, MASKED, "IA32_ENERGY_PERF_BIAS", POWER, SDM, .write = BITS(3, 0), ANNOUNCED(C(6, 0, ECX, 3))),
	R(0x1b1, 0x1b2, MASKED, "IA32_PACKAGE_THERM_STATUS, _INTERRUPT", POWER, SDM, .write = ALL,
	 ANNOUNCED(C(6, 0, EAX, 6))),
	R(0x1c8, 0x1c9, MASKED, "MSR_LBR_SELECT, MSR_LASTBRANCH_TOS", BRANCH, SDM_MODEL, .write = ALL),
	R(0x1cc, 0x1d4, ABSENT, "IA32_FRED_*", "event delivery that is not virtualised; hidden", SDM,
	 ANNOUNCED(C(7, 1, EAX, 17))),
	R1(0x1d9, EMULATED, "IA32_DEBUGCTL", "LBR and BTF only: trace messages and branch trace storage write to memory", SDM),
	R(0x1db, 0x1de, READ_ONLY, "LastBranchFromIP, ToIP, LastIntFromIP, ToIP", BRANCH, APM_13_1),
	R(0x1f2, 0x1f3, ABSENT, "IA32_SMRR_PHYSBASE, PHYSMASK", SMM, SDM),
	R(0x1f4, 0x1f5, ABSENT, "MSR_PRMRR_PHYS_BASE, MASK", SGX_WHY, SDM_MODEL),
	R1(0x1fc, MASKED, "MSR_POWER_CTL", POWER, SDM_MODEL, .write = BIT(1)),
	R(0x200, 0x23f, EMULATED, "IA32_MTRR_PHYSBASEn, PHYSMASKn", "the guest's copies", SDM),
	R1(0x250, EMULATED, "IA32_MTRR_FIX64K_00000", "the guest's copies", SDM),
	R(0x258, 0x259, EMULATED, "IA32_MTRR_FIX16K_*", "the guest's copies", SDM),
	R(0x268, 0x26f, EMULATED, "IA32_MTRR_FIX4K_*", "the guest's copies", SDM),
	R1(0x277, EMULATED, "IA32_PAT", "the guest's types are put into shadow entries", SDM),
	R(0x280, 0x29f, MASKED, "IA32_MCn_CTL2", BANK, SDM, .write = ALL),
	R1(0x2a0, ABSENT, "MSR_PRMRR_BASE_0", SGX_WHY, SDM_MODEL),
	R(0x2c2, 0x2d9, ABSENT, "in-field scan", "the processor loads its own tests from memory; not shown in IA32_CORE_CAPABILITIES",
	 SDM),
	R1(0x2dc, ABSENT, "IA32_INTEGRITY_STATUS", "as above", SDM),
	R(0x2f4, 0x2f5, ABSENT, "MSR_UNCORE_PRMRR_PHYS_BASE, MASK", SGX_WHY, SDM_MODEL),
	R1(0x2ff, EMULATED, "IA32_MTRR_DEF_TYPE", "the guest's copy", SDM),
	R(0x300, 0x301, ABSENT, "MSR_SGXOWNEREPOCHn", SGX_WHY, SDM_MODEL, ANNOUNCED(C(7, 0, EBX, 2))),
	R(0x309, 0x310, MASKED, "IA32_FIXED_CTRn", COUNTER, SDM, .write = ALL),
	R1(0x329, MASKED, "MSR_PERF_METRICS", COUNTER, SDM_MODEL, .write = ALL),
	R1(0x345, READ_ONLY, "IA32_PERF_CAPABILITIES", "PEBS is not shown", SDM, .zero = PERF_CAPABILITIES_PEBS,
	 ANNOUNCED(C(1, 0, ECX, 15))),
	R1(0x38d, MASKED, "IA32_FIXED_CTR_CTRL", COUNTER, SDM, .write = ALL),
	R1(0x38e, READ_ONLY, "IA32_PERF_GLOBAL_STATUS", "a fact", SDM),
	R(0x38f, 0x391, MASKED, "IA32_PERF_GLOBAL_CTRL, STATUS_RESET, STATUS_SET", COUNTER, SDM, .write = ALL),
	R1(0x392, READ_ONLY, "IA32_PERF_GLOBAL_INUSE", "a fact", SDM),
	R(0x3f1, 0x3f2, ABSENT, "IA32_PEBS_ENABLE, MSR_PEBS_DATA_CFG", PEBS, SDM,
	 ANNOUNCED(C(1, 0, EDX, 21), C(1, 0, ECX, 2))),
	R(0x3f4, 0x3f5, ABSENT, "IA32_PEBS_BASE, IA32_PEBS_INDEX", PEBS, SDM,
	 ANNOUNCED(C(1, 0, EDX, 21), C(1, 0, ECX, 2), LEAF(0x23))),
	R1(0x3f6, ABSENT, "MSR_PEBS_LD_LAT", PEBS, SDM_MODEL, ANNOUNCED(C(1, 0, EDX, 21), C(1, 0, ECX, 2))),
	R1(0x3f7, MASKED, "MSR_PEBS_FRONTEND", "chooses events to count, with PEBS or without", SDM_MODEL, .write = ALL),
	R(0x400, 0x47f, MASKED, "IA32_MCn_CTL, STATUS, ADDR, MISC", BANK, SDM, .write = ALL),
	R(0x480, 0x493, ABSENT, "IA32_VMX_*", "VMX is not virtualised; hidden", SDM_VMX, ANNOUNCED(C(1, 0, ECX, 5))),
	R(0x4c1, 0x4c8, MASKED, "IA32_A_PMCn", COUNTER, SDM, .write = ALL, ANNOUNCED(C(1, 0, ECX, 15))),
	R1(0x4d0, IGNORED, "IA32_MCG_EXT_CTL", "IA32_FEATURE_CONTROL does not offer local machine checks", SDM),
	R1(0x500, ABSENT, "IA32_SGX_SVN_STATUS", SGX_WHY, SDM, ANNOUNCED(C(7, 0, EBX, 2), LEAF(0x12))),
	R(0x560, 0x561, ABSENT, "IA32_RTIT_OUTPUT_BASE, IA32_RTIT_OUTPUT_MASK_PTRS", TRACE, SDM,
	 ANNOUNCED(C(7, 0, EBX, 25), LEAF(0x14))),
	R(0x562, 0x56f, ABSENT, "trace", TRACE, SDM, ANNOUNCED(C(7, 0, EBX, 25), LEAF(0x14))),
	R(0x570, 0x587, ABSENT, "IA32_RTIT_CTL, STATUS, CR3_MATCH, ADDRn", TRACE, SDM,
	 ANNOUNCED(C(7, 0, EBX, 25), LEAF(0x14))),
	R1(0x600, ABSENT, "IA32_DS_AREA", PEBS, SDM,
	 ANNOUNCED(C(1, 0, EDX, 21), C(1, 0, ECX, 2), C(1, 0, ECX, 4))),
	R1(0x610, MASKED, "MSR_PKG_POWER_LIMIT", POWER, SDM_MODEL, .write = ALL),
	R1(0x618, MASKED, "MSR_DRAM_POWER_LIMIT", POWER, SDM_MODEL, .write = ALL),
	R1(0x620, MASKED, "MSR_UNCORE_RATIO_LIMIT", POWER, SDM_MODEL, .write = BITS(14, 8) | BITS(6, 0)),
	R1(0x638, MASKED, "MSR_PP0_POWER_LIMIT", POWER, SDM_MODEL, .write = ALL),
	R1(0x640, MASKED, "MSR_PP1_POWER_LIMIT", POWER, SDM_MODEL, .write = ALL),
	R(0x680, 0x69f, MASKED, "MSR_LASTBRANCH_n_FROM_IP", BRANCH, SDM_MODEL, .write = ALL),
	R(0x6a0, 0x6a8, ABSENT, "IA32_U_CET, IA32_S_CET, IA32_PLn_SSP, IA32_INTERRUPT_SSP_TABLE_ADDR",
	 "control-flow enforcement is not virtualised; hidden", SDM, ANNOUNCED(C(7, 0, ECX, 7), C(7, 0, EDX, 20))),
	R(0x6c0, 0x6df, MASKED, "MSR_LASTBRANCH_n_TO_IP", BRANCH, SDM_MODEL, .write = ALL),
	R1(0x6e0, PASSED, "IA32_TSC_DEADLINE", "the timer of the guest's local APIC", SDM, ANNOUNCED(C(1, 0, ECX, 24))),
	R1(0x6e1, ABSENT, "IA32_PKRS", "supervisor keys would close the hypervisor's pages to itself; hidden", SDM,
	 ANNOUNCED(C(7, 0, ECX, 31))),
	R1(0x770, MASKED, "IA32_PM_ENABLE", POWER, SDM, .write = BIT(0), ANNOUNCED(C(6, 0, EAX, 7))),
	R1(0x771, READ_ONLY, "IA32_HWP_CAPABILITIES", "a fact", SDM, ANNOUNCED(C(6, 0, EAX, 7))),
	R(0x772, 0x777, MASKED, "IA32_HWP_REQUEST_PKG, INTERRUPT, REQUEST, PECI, CTL, STATUS", POWER, SDM, .write = ALL,
	 ANNOUNCED(C(6, 0, EAX, 7))),
	R(0x802, 0x803, READ_ONLY, "x2APIC ID, version", X2APIC, SDM, ANNOUNCED(C(1, 0, ECX, 21))),
	R1(0x808, PASSED, "x2APIC TPR", X2APIC, SDM, ANNOUNCED(C(1, 0, ECX, 21))),
	R1(0x80a, READ_ONLY, "x2APIC PPR", X2APIC, SDM, ANNOUNCED(C(1, 0, ECX, 21))),
	R1(0x80b, PASSED, "x2APIC EOI", X2APIC, SDM, ANNOUNCED(C(1, 0, ECX, 21))),
	R1(0x80d, READ_ONLY, "x2APIC LDR", X2APIC, SDM, ANNOUNCED(C(1, 0, ECX, 21))),
	R1(0x80f, MASKED, "x2APIC SVR", X2APIC, SDM, .write = ALL, ANNOUNCED(C(1, 0, ECX, 21))),
	R(0x810, 0x827, READ_ONLY, "x2APIC ISR, TMR, IRR", X2APIC, SDM, ANNOUNCED(C(1, 0, ECX, 21))),
	R1(0x828, MASKED, "x2APIC ESR", X2APIC, SDM, .write = ALL, ANNOUNCED(C(1, 0, ECX, 21))),
	R1(0x82f, MASKED, "x2APIC LVT CMCI", X2APIC, SDM, .write = ALL, ANNOUNCED(C(1, 0, ECX, 21))),
	R1(0x830, EMULATED, "x2APIC ICR", "a message must not start, reset or stop a processor", SDM,
	 ANNOUNCED(C(1, 0, ECX, 21))),
	R(0x832, 0x837, MASKED, "x2APIC LVT", X2APIC, SDM, .write = ALL, ANNOUNCED(C(1, 0, ECX, 21))),
	R1(0x838, PASSED, "x2APIC initial count", X2APIC, SDM, ANNOUNCED(C(1, 0, ECX, 21))),
	R1(0x839, READ_ONLY, "x2APIC current count", X2APIC, SDM, ANNOUNCED(C(1, 0, ECX, 21))),
	R(0x83e, 0x83f, MASKED, "x2APIC DCR, self IPI", X2APIC, SDM, .write = ALL, ANNOUNCED(C(1, 0, ECX, 21))),
	R(0x840, 0x853, MASKED, "extended x2APIC registers", X2APIC, APM, .write = ALL, ANNOUNCED(C(0x80000001, 0, ECX, 3))),
	R(0x981, 0x984, ABSENT, "IA32_TME_CAPABILITY, ACTIVATE, EXCLUDE_MASK, EXCLUDE_BASE", KEYS, SDM,
	 ANNOUNCED(C(7, 0, ECX, 13), C(7, 0, EDX, 18), LEAF(0x1b), C(7, 1, EBX, 1))),
	R(0x985, 0x98a, ABSENT, "IA32_UINTR_*", "user interrupts are not virtualised; hidden", SDM,
	 ANNOUNCED(C(7, 0, EDX, 5))),
	R(0x990, 0x991, ABSENT, "IA32_COPY_STATUS, IA32_IWKEYBACKUP_STATUS", "Key Locker is not virtualised; hidden", SDM,
	 ANNOUNCED(C(7, 0, ECX, 23), LEAF(0x19))),
	R1(0x9fb, ABSENT, "IA32_TME_CLEAR_SAVED_KEY", KEYS, SDM, ANNOUNCED(C(7, 0, ECX, 13))),
	R1(0xc80, ABSENT, "IA32_DEBUG_INTERFACE", "debugging of the processor from outside; hidden", SDM,
	 ANNOUNCED(C(1, 0, ECX, 11))),
	R(0xc81, 0xc82, MASKED, "IA32_L3_QOS_CFG, IA32_L2_QOS_CFG", CACHE, SDM, .write = BIT(0), ANNOUNCED(C(7, 0, EBX, 15))),
	R1(0xc8d, MASKED, "IA32_QM_EVTSEL", CACHE, SDM, .write = ALL, ANNOUNCED(C(7, 0, EBX, 12))),
	R1(0xc8e, READ_ONLY, "IA32_QM_CTR", CACHE, SDM, ANNOUNCED(C(7, 0, EBX, 12))),
	R1(0xc8f, MASKED, "IA32_PQR_ASSOC", CACHE, SDM, .write = ALL, ANNOUNCED(C(7, 0, EBX, 12), C(7, 0, EBX, 15))),
	R(0xc90, 0xd8f, MASKED, "IA32_L3_MASK_n, IA32_L2_MASK_n, IA32_L2_QOS_EXT_BW_THRTL_n", CACHE, SDM, .write = ALL,
	 ANNOUNCED(C(7, 0, EBX, 15))),
	R1(0xd90, MASKED, "IA32_BNDCFGS", OWN, SDM, .write = ALL, ANNOUNCED(C(7, 0, EBX, 14))),
	R(0xd91, 0xd92, ABSENT, "IA32_COPY_LOCAL_TO_PLATFORM, PLATFORM_TO_LOCAL", "Key Locker is not virtualised; hidden", SDM,
	 ANNOUNCED(C(7, 0, ECX, 23), LEAF(0x19))),
	R1(0xd93, ABSENT, "IA32_PASID", "ENQCMD is not virtualised; hidden", SDM, ANNOUNCED(C(7, 0, ECX, 29))),
	R1(0xda0, EMULATED, "IA32_XSS", "only the state components that CPUID shows", SDM, ANNOUNCED(C(0xd, 1, EAX, 3))),
	R(0xdb0, 0xdb1, MASKED, "IA32_PKG_HDC_CTL, IA32_PM_CTL1", POWER, SDM, .write = BIT(0), ANNOUNCED(C(6, 0, EAX, 13))),
	R(0xdc0, 0xddf, MASKED, "MSR_LBR_INFO_n", BRANCH, SDM_MODEL, .write = ALL),
	R(0x1200, 0x121f, ABSENT, "IA32_LBR_n_INFO", "architectural branch records are saved by XSAVES; hidden", SDM,
	 ANNOUNCED(C(7, 0, EDX, 19), LEAF(0x1c))),
	R(0x1400, 0x1401, ABSENT, "IA32_SEAMRR_PHYS_BASE, MASK", "trust domains take memory out of everyone's hands", SDM),
	R(0x14ce, 0x14cf, ABSENT, "IA32_LBR_CTL, IA32_LBR_DEPTH", "as IA32_LBR_n_INFO", SDM,
	 ANNOUNCED(C(7, 0, EDX, 19), LEAF(0x1c))),
	R(0x1500, 0x151f, ABSENT, "IA32_LBR_n_FROM_IP", "as IA32_LBR_n_INFO", SDM, ANNOUNCED(C(7, 0, EDX, 19), LEAF(0x1c))),
	R(0x1600, 0x161f, ABSENT, "IA32_LBR_n_TO_IP", "as IA32_LBR_n_INFO", SDM, ANNOUNCED(C(7, 0, EDX, 19), LEAF(0x1c))),
	R(0x17d0, 0x17d1, ABSENT, "IA32_HW_FEEDBACK_PTR, IA32_HW_FEEDBACK_CONFIG",
	 "the processor writes a table to physical memory at an address of the guest's", SDM,
	 ANNOUNCED(C(6, 0, EAX, 19), C(6, 0, EAX, 23))),
	R(0x17d2, 0x17d4, ABSENT, "IA32_THREAD_FEEDBACK_CHAR, IA32_HW_FEEDBACK_THREAD_CONFIG", "part of the above", SDM,
	 ANNOUNCED(C(6, 0, EAX, 23))),
	R1(0x17da, ABSENT, "IA32_HRESET_ENABLE", "part of the above", SDM, ANNOUNCED(C(7, 1, EAX, 22), LEAF(0x20))),
	R(0x1900, 0x19ff, ABSENT, "IA32_PMC_GPn_*, IA32_PMC_FXn_*", "the same counters again, with the choice of PEBS; hidden", SDM,
	 ANNOUNCED(LEAF(0x23))),
	R1(0x1b01, MASKED, "IA32_UARCH_MISC_CTL", "data-independent timing", SDM, .write = BIT(0)),
	R(0x40000000, 0x400001ff, ABSENT, "Hyper-V's and Xen's", BELOW, "Hyper-V TLFS appendix; Xen public headers"),
	R(0x4b564d00, 0x4b564dff, ABSENT, "KVM's", BELOW, "Linux Documentation/virt/kvm/x86/msr.rst"),
	R1(0xc0000080, EMULATED, "EFER", "paging depends on it; SVME is not shown", "APM vol. 2 section 3.1.7"),
	R(0xc0000081, 0xc0000084, PASSED, "STAR, LSTAR, CSTAR, SFMASK", OWN, APM),
	R(0xc00000e7, 0xc00000e8, READ_ONLY, "MPERF, APERF (read only)", "counters", APM, ANNOUNCED(C(0x80000007, 0, EDX, 10))),
	R1(0xc00000e9, READ_ONLY, "IRPerfCount", "a counter", APM, ANNOUNCED(C(0x80000008, 0, EBX, 1))),
	R(0xc0000100, 0xc0000102, PASSED, "FS.Base, GS.Base, KernelGSBase", OWN, APM),
	R1(0xc0000103, PASSED, "TSC_AUX", OWN, APM, ANNOUNCED(C(0x80000001, 0, EDX, 27), C(7, 0, ECX, 22))),
	R1(0xc0000104, ABSENT, "TSC Ratio", "SVM is not virtualised; hidden", APM_SVM, ANNOUNCED(LEAF(0x8000000a))),
	R(0xc0000105, 0xc0000106, ABSENT, "LWP_CFG, LWP_CBADDR", "the processor writes records to memory on its own; hidden",
	 APM_13_4, ANNOUNCED(C(0x80000001, 0, ECX, 15), LEAF(0x8000001c))),
	R(0xc000010e, 0xc000010f, ABSENT, "LBR_SELECT, DebugExtnCtl",
	 "branch records that would hold the hypervisor's own; hidden", APM_13_1,
	 ANNOUNCED(C(0x80000022, 0, EAX, 1), C(0x80000008, 0, EBX, 31))),
	R(0xc0000200, 0xc000020f, MASKED, "L3QOS_BW_CONTROL_n", CACHE, PPR, .write = ALL, ANNOUNCED(C(0x80000008, 0, EBX, 6))),
	R(0xc0000280, 0xc000028f, MASKED, "L3QOS_SLOWBW_CONTROL_n", CACHE, PPR, .write = ALL,
	 ANNOUNCED(C(0x80000008, 0, EBX, 6))),
	R1(0xc0000300, READ_ONLY, "PerfCntrGlobalStatus", "a fact", APM_13_2, ANNOUNCED(C(0x80000022, 0, EAX, 0))),
	R(0xc0000301, 0xc0000303, MASKED, "PerfCntrGlobalCtl, StatusClr, StatusSet", COUNTER, APM_13_2, .write = ALL,
	 ANNOUNCED(C(0x80000022, 0, EAX, 0))),
	R(0xc00003fd, 0xc00003ff, MASKED, "L3_QOS_ABMC_CFG, ABMC_DSC, EXT_CFG", CACHE, PPR, .write = ALL,
	 ANNOUNCED(C(0x80000008, 0, EBX, 6))),
	R(0xc0000400, 0xc0000410, MASKED, "QOS_EVT_CFG_n, MC4_MISCn, MCA_INTR_CFG", BANK, PPR, .write = ALL),
	R(0xc0000500, 0xc0000502, ABSENT, "workload classes", "feedback tables; hidden", PPR,
	 ANNOUNCED(C(0x80000021, 0, EAX, 22))),
	R(0xc0002000, 0xc0002fff, MASKED, "MCA_CTL, STATUS, ADDR, MISC, CONFIG, IPID, SYND, DESTAT, DEADDR", BANK, APM_9_3,
	 .write = ALL),
	R(0xc0010000, 0xc0010007, MASKED, "PerfEvtSeln, PerfCtrn", COUNTER, APM_13_2, .write = ALL),
	R1(0xc0010010, IGNORED, "SYSCFG", ROUTING "; memory encryption reads as off", "APM vol. 2 section 3.2.1",
	 .zero = SYSCFG_ENCRYPTION),
	R1(0xc0010015, MASKED, "HWCR", "status registers of machine checks writable, boost off, counter of instructions on",
	 "APM vol. 2 section 3.2", .write = HWCR_WRITE),
	R(0xc0010016, 0xc0010019, IGNORED, "IORRBasen, IORRMaskn", ROUTING, APM_7_9),
	R1(0xc001001a, IGNORED, "TOP_MEM", ROUTING, APM_7_9),
	R1(0xc001001d, IGNORED, "TOP_MEM2", ROUTING, APM_7_9),
	R1(0xc001001f, MASKED, "NB_CFG1", "extended configuration cycles through port 0xcf8", PPR, .write = BIT(46)),
	R1(0xc0010020, EMULATED, "PATCH_LOADER", "microcode is not loaded under the hypervisor; a write is dropped", PPR),
	R(0xc0010044, 0xc001004f, MASKED, "MCn_CTL_MASK", BANK, PPR, .write = ALL),
	R(0xc0010050, 0xc0010056, IGNORED, "SMI_ON_IO_TRAP_n, its control, INT_PENDING_MSG, SMI_TRIG_IO_CYCLE", SMM, PPR),
	R1(0xc0010058, IGNORED, "MmioCfgBaseAddr",
	 "moves the window of PCI configuration space, over any memory: not one that the guest may choose", PPR),
	R1(0xc0010061, READ_ONLY, "PStateCurLim", "a fact", PPR, ANNOUNCED(C(0x80000007, 0, EDX, 7))),
	R1(0xc0010062, MASKED, "PStateCtl", POWER, PPR, .write = BITS(2, 0), ANNOUNCED(C(0x80000007, 0, EDX, 7))),
	R1(0xc0010063, READ_ONLY, "PStateStat", "a fact", PPR, ANNOUNCED(C(0x80000007, 0, EDX, 7))),
	R(0xc0010064, 0xc001006b, IGNORED, "PStateDef", "frequency and voltage, set by the firmware", PPR),
	R(0xc0010111, 0xc0010113, IGNORED, "SMM_BASE, SMM_ADDR, SMM_MASK", SMM, APM_10_2),
	R1(0xc0010114, EMULATED, "VM_CR", "reads as locked with SVM off", APM_SVM),
	R1(0xc0010115, IGNORED, "IGNNE", "a pin of the machine", APM_SVM),
	R1(0xc0010116, ABSENT, "SMM_CTL", SMM, APM_SVM),
	R1(0xc0010117, ABSENT, "VM_HSAVE_PA", "where VMRUN saves the hypervisor's own state", APM_SVM,
	 ANNOUNCED(C(0x80000001, 0, ECX, 2), LEAF(0x8000000a))),
	R1(0xc0010118, EMULATED, "SVM_KEY", "reads as 0, a write is dropped", APM_SVM),
	R1(0xc0010119, ABSENT, "SMM_KEY", SMM, APM),
	R1(0xc001011b, ABSENT, "AVIC doorbell", "interrupts another processor; SVM is hidden", APM, ANNOUNCED(LEAF(0x8000000a))),
	R1(0xc001011e, ABSENT, "VMPAGE_FLUSH", SEV_WHY, APM_SEV, ANNOUNCED(LEAF(0x8000001f))),
	R1(0xc001011f, MASKED, "VIRT_SPEC_CTRL", "mitigations of speculation are the guest's choice", APM, .write = BIT(2),
	 ANNOUNCED(C(0x80000008, 0, EBX, 25))),
	R(0xc0010130, 0xc001013f, ABSENT, "GHCB, SEV_STATUS, RMP_BASE, RMP_END and more", SEV_WHY, APM_SEV,
	 ANNOUNCED(LEAF(0x8000001f))),
	R(0xc0010140, 0xc0010141, READ_ONLY, "OSVW_ID_Length, OSVW Status", "facts", APM, ANNOUNCED(C(0x80000001, 0, ECX, 9))),
	R(0xc0010200, 0xc001020f, MASKED, "PerfEvtSeln, PerfCtrn", COUNTER, APM_13_2, .write = ALL,
	 ANNOUNCED(C(0x80000001, 0, ECX, 23))),
	R(0xc0010230, 0xc001023b, MASKED, "L2I or L3 PerfEvtSeln, PerfCtrn", COUNTER, APM_13_2, .write = ALL,
	 ANNOUNCED(C(0x80000001, 0, ECX, 28))),
	R(0xc0010240, 0xc001025f, MASKED, "NB or DF PerfEvtSeln, PerfCtrn", COUNTER, APM_13_2, .write = ALL,
	 ANNOUNCED(C(0x80000001, 0, ECX, 24))),
	R1(0xc0010280, READ_ONLY, "performance time-stamp counter", "a counter", APM_13_2,
	 ANNOUNCED(C(0x80000001, 0, ECX, 27))),
	R(0xc0010299, 0xc001029b, READ_ONLY, "RAPL unit, energy of core and package", "facts", PPR),
	R1(0xc00102b0, READ_ONLY, "CPPC_CAPABILITY_1", "a fact", PPR, ANNOUNCED(C(0x80000008, 0, EBX, 27))),
	R1(0xc00102b1, MASKED, "CPPC_ENABLE", POWER, PPR, .write = BIT(0), ANNOUNCED(C(0x80000008, 0, EBX, 27))),
	R1(0xc00102b2, READ_ONLY, "CPPC_CAPABILITY_2", "a fact", PPR, ANNOUNCED(C(0x80000008, 0, EBX, 27))),
	R1(0xc00102b3, MASKED, "CPPC_REQUEST", POWER, PPR, .write = BITS(31, 0), ANNOUNCED(C(0x80000008, 0, EBX, 27))),
	R1(0xc00102b4, READ_ONLY, "CPPC_STATUS", "a fact", PPR, ANNOUNCED(C(0x80000008, 0, EBX, 27))),
	R(0xc0010300, 0xc001031f, ABSENT, "LastBranchStackFromIp, ToIp", "branch records that would hold the hypervisor's own; hidden",
	 APM_13_1, ANNOUNCED(C(0x80000022, 0, EAX, 1), C(0x80000008, 0, EBX, 31))),
	R(0xc0010400, 0xc001043f, MASKED, "MCA_CTL_MASK_n", BANK, PPR, .write = ALL),
	R1(0xc0011020, MASKED, "LS_CFG", CHICKEN, PPR, .write = BIT(10) | BIT(33) | BIT(54)),
	R1(0xc0011029, MASKED, "DE_CFG", CHICKEN, PPR, .write = BIT(1) | BIT(9)),
	R1(0xc001102e, MASKED, "BP_CFG", CHICKEN, PPR, .write = BITS(5, 4)),
	R(0xc0011030, 0xc001103d, ABSENT, "IBS_*",
	 "samples name the hypervisor's instructions and physical addresses; hidden", APM_13_3,
	 ANNOUNCED(C(0x80000001, 0, ECX, 10), LEAF(0x8000001b))),
	R1(0xc00110e3, MASKED, "branch prediction", CHICKEN, PPR, .write = BIT(1)),
};
/* clang-format on */
const u32 msr_rows = ARRAY_SIZE(msr_table);
_Static_assert(ARRAY_SIZE(msr_table) <= MSR_ROWS_MAX, "state.h keeps a word for each");

const struct msr_row *msr_row_of(u32 msr)
{
	u32 low = 0, high = ARRAY_SIZE(msr_table);

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (msr > msr_table[middle].last)
			low = middle + 1;
		else
			high = middle;
	}
	return low < ARRAY_SIZE(msr_table) && msr >= msr_table[low].first ? &msr_table[low] : NULL;
}
