/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtual machine control block, APM vol. 2 appendix B, and the numbers in
 * it. Exit codes below 0xc0 are also the numbers of the intercept bits that
 * cause them: word code / 32, bit code % 32. Hence one list for both.
 */
#ifndef SVM_VMCB_H
#define SVM_VMCB_H

#include "lib/types.h"

/* Exit codes, APM vol. 2 appendix C; X(name, code). CR, DR and exception codes are ranges. */
/* clang-format off */
#define SVM_EXITS(X) \
	X(CR0_READ, 0x000) X(CR3_READ, 0x003) X(CR4_READ, 0x004) X(CR8_READ, 0x008) \
	X(CR0_WRITE, 0x010) X(CR3_WRITE, 0x013) X(CR4_WRITE, 0x014) X(CR8_WRITE, 0x018) \
	X(DR0_READ, 0x020) X(DR6_READ, 0x026) X(DR7_READ, 0x027) \
	X(DR0_WRITE, 0x030) X(DR6_WRITE, 0x036) X(DR7_WRITE, 0x037) \
	X(EXCP_DE, 0x040) X(EXCP_DB, 0x041) X(EXCP_BP, 0x043) X(EXCP_UD, 0x046) X(EXCP_NM, 0x047) \
	X(EXCP_DF, 0x048) X(EXCP_TS, 0x04a) X(EXCP_NP, 0x04b) X(EXCP_SS, 0x04c) X(EXCP_GP, 0x04d) \
	X(EXCP_PF, 0x04e) X(EXCP_MF, 0x050) X(EXCP_AC, 0x051) X(EXCP_MC, 0x052) X(EXCP_XM, 0x053) \
	X(INTR, 0x060) X(NMI, 0x061) X(SMI, 0x062) X(INIT, 0x063) X(VINTR, 0x064) \
	X(CR0_SEL_WRITE, 0x065) X(IDTR_READ, 0x066) X(GDTR_READ, 0x067) X(LDTR_READ, 0x068) \
	X(TR_READ, 0x069) X(IDTR_WRITE, 0x06a) X(GDTR_WRITE, 0x06b) X(LDTR_WRITE, 0x06c) \
	X(TR_WRITE, 0x06d) X(RDTSC, 0x06e) X(RDPMC, 0x06f) X(PUSHF, 0x070) X(POPF, 0x071) \
	X(CPUID, 0x072) X(RSM, 0x073) X(IRET, 0x074) X(SWINT, 0x075) X(INVD, 0x076) X(PAUSE, 0x077) \
	X(HLT, 0x078) X(INVLPG, 0x079) X(INVLPGA, 0x07a) X(IOIO, 0x07b) X(MSR, 0x07c) \
	X(TASK_SWITCH, 0x07d) X(FERR_FREEZE, 0x07e) X(SHUTDOWN, 0x07f) X(VMRUN, 0x080) \
	X(VMMCALL, 0x081) X(VMLOAD, 0x082) X(VMSAVE, 0x083) X(STGI, 0x084) X(CLGI, 0x085) \
	X(SKINIT, 0x086) X(RDTSCP, 0x087) X(ICEBP, 0x088) X(WBINVD, 0x089) X(MONITOR, 0x08a) \
	X(MWAIT, 0x08b) X(MWAIT_ARMED, 0x08c) X(XSETBV, 0x08d) X(RDPRU, 0x08e) \
	X(EFER_WRITE_TRAP, 0x08f) X(CR0_WRITE_TRAP, 0x090) X(CR3_WRITE_TRAP, 0x093) \
	X(CR4_WRITE_TRAP, 0x094) X(INVLPGB, 0x0a0) X(INVLPGB_ILLEGAL, 0x0a1) X(INVPCID, 0x0a2) \
	X(MCOMMIT, 0x0a3) X(TLBSYNC, 0x0a4) X(BUSLOCK, 0x0a5) X(IDLE_HLT, 0x0a6) \
	X(NPF, 0x400) X(AVIC_INCOMPLETE_IPI, 0x401) X(AVIC_NOACCEL, 0x402) X(VMGEXIT, 0x403) \
	X(INVALID, 0xffffffff)
/* clang-format on */

#define X(name, code) SVM_EXIT_##name = code,
enum svm_exit { SVM_EXITS(X) };
#undef X

#define SVM_EXIT_EXCP_FIRST 0x040
#define SVM_EXIT_EXCP_LAST 0x05f
#define SVM_INTERCEPT_WORDS 6

/* VMCB clean bits, APM vol. 2 section 15.15.3; set: the field group is as the CPU left it. */
#define CLEAN_INTERCEPTS BIT(0) /* intercept words, TSC offset, pause filter */
#define CLEAN_PERM_MAPS BIT(1)  /* IOPM_BASE, MSRPM_BASE and their contents */
#define CLEAN_ASID BIT(2)
#define CLEAN_TPR BIT(3)
#define CLEAN_NP BIT(4)
#define CLEAN_CR BIT(5) /* CR0, CR3, CR4, EFER */
#define CLEAN_DR BIT(6)
#define CLEAN_DT BIT(7)  /* GDT, IDT */
#define CLEAN_SEG BIT(8) /* CS, DS, SS, ES, CPL */
#define CLEAN_CR2 BIT(9)
#define CLEAN_ALL BITS(9, 0) /* LBR, AVIC and CET are not used: left unclean */

/* TLB_CONTROL, APM vol. 2 section 15.16.1 */
enum { TLB_KEEP = 0, TLB_FLUSH_ALL = 1, TLB_FLUSH_ASID = 3 };

/* virtual_interrupt, APM vol. 2 section 15.21.4 */
#define V_IRQ BIT(8)
#define V_IGN_TPR BIT(20)
#define V_INTR_VECTOR_SHIFT 32
#define V_INTR_VECTOR BITS(39, 32)

#define VMCB_INTERRUPT_SHADOW BIT(0)

/* EXITINTINFO and EVENTINJ, APM vol. 2 sections 15.7.2 and 15.20 */
#define EVENTINJ_TYPE_SHIFT 8
#define EVENTINJ_TYPE_MASK BITS(10, 8)
#define EVENTINJ_ERROR_VALID BIT(11)
#define EVENTINJ_VALID BIT(31)
#define EVENTINJ_ERROR_SHIFT 32
enum { EVENTINJ_INTR = 0, EVENTINJ_NMI = 2, EVENTINJ_EXCEPTION = 3, EVENTINJ_SOFT = 4 };

/* EXITINFO1 of CR accesses, APM vol. 2 section 15.8.1 (decode assists) */
#define CR_INFO_MOV BIT(63)
#define CR_INFO_GPR BITS(3, 0)

/* EXITINFO1 of IOIO, APM vol. 2 section 15.10.2 */
/* EXITINFO2 of a task switch, APM vol. 2 section 15.14.1; EXITINFO1 has the selector. */
#define TASK_INFO_IRET BIT(36)
#define TASK_INFO_JUMP BIT(38)
#define TASK_INFO_ERROR BIT(44)
#define TASK_INFO_RF BIT(48)

#define IO_INFO_IN BIT(0)
#define IO_INFO_STRING BIT(2)
#define IO_INFO_REP BIT(3)
#define IO_INFO_SIZE_SHIFT 4
#define IO_INFO_SIZE_MASK 7u /* 1, 2 or 4 bytes */
#define IO_INFO_PORT_SHIFT 16

#define VMCB_ATTR_L BIT(9) /* of struct vmcb_segment.attributes */
struct vmcb_segment {
	u16 selector;
	u16 attributes; /* descriptor bits 55:52 and 47:40 packed into 12 bits */
	u32 limit;
	u64 base;
};

struct vmcb {
	/* control area, APM vol. 2 table B-1 */
	u32 intercept[SVM_INTERCEPT_WORDS];
	u8 reserved_018[0x3c - 0x18];
	u16 pause_threshold, pause_count;
	u64 iopm_base, msrpm_base;
	u64 tsc_offset;
	u32 asid;
	u8 tlb_control;
	u8 reserved_05d[3];
	u64 virtual_interrupt; /* V_TPR, V_IRQ, V_GIF, V_INTR_MASKING... */
	u64 interrupt_shadow;
	u64 exit_code, exit_info1, exit_info2, exit_int_info;
	u64 np_enable;
	u64 avic_bar;
	u64 ghcb;
	u64 event_inj;
	u64 nested_cr3;
	u64 lbr_control;
	u32 clean;
	u32 reserved_0c4;
	u64 next_rip;
	u8 insn_len;
	u8 insn_bytes[15];
	u64 avic_backing_page;
	u8 reserved_0e8[0x400 - 0xe8];

	/* state save area, APM vol. 2 table B-2 */
	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	u8 reserved_4a0[0x4cb - 0x4a0];
	u8 cpl;
	u32 reserved_4cc;
	u64 efer;
	u8 reserved_4d8[0x548 - 0x4d8];
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
	u8 reserved_580[0x5d8 - 0x580];
	u64 rsp;
	u64 s_cet, ssp, isst_addr;
	u64 rax;
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 cr2;
	u8 reserved_648[0x668 - 0x648];
	u64 g_pat; /* ignored without nested paging */
	u64 dbgctl, br_from, br_to, last_excp_from, last_excp_to;
	u8 reserved_698[0x6e0 - 0x698];
	u64 spec_ctrl;
	u8 reserved_6e8[0x1000 - 0x6e8];
};

#define VMCB_AT(field, offset) \
	_Static_assert(offsetof(struct vmcb, field) == (offset), "APM vol. 2 appendix B: " #field)
VMCB_AT(pause_threshold, 0x03c);
VMCB_AT(iopm_base, 0x040);
VMCB_AT(msrpm_base, 0x048);
VMCB_AT(tsc_offset, 0x050);
VMCB_AT(asid, 0x058);
VMCB_AT(tlb_control, 0x05c);
VMCB_AT(virtual_interrupt, 0x060);
VMCB_AT(interrupt_shadow, 0x068);
VMCB_AT(exit_code, 0x070);
VMCB_AT(exit_info1, 0x078);
VMCB_AT(exit_info2, 0x080);
VMCB_AT(exit_int_info, 0x088);
VMCB_AT(np_enable, 0x090);
VMCB_AT(event_inj, 0x0a8);
VMCB_AT(nested_cr3, 0x0b0);
VMCB_AT(lbr_control, 0x0b8);
VMCB_AT(clean, 0x0c0);
VMCB_AT(next_rip, 0x0c8);
VMCB_AT(insn_len, 0x0d0);
VMCB_AT(avic_backing_page, 0x0e0);
VMCB_AT(es, 0x400);
VMCB_AT(cs, 0x410);
VMCB_AT(ss, 0x420);
VMCB_AT(ds, 0x430);
VMCB_AT(fs, 0x440);
VMCB_AT(gs, 0x450);
VMCB_AT(gdtr, 0x460);
VMCB_AT(ldtr, 0x470);
VMCB_AT(idtr, 0x480);
VMCB_AT(tr, 0x490);
VMCB_AT(cpl, 0x4cb);
VMCB_AT(efer, 0x4d0);
VMCB_AT(cr4, 0x548);
VMCB_AT(cr3, 0x550);
VMCB_AT(cr0, 0x558);
VMCB_AT(dr7, 0x560);
VMCB_AT(dr6, 0x568);
VMCB_AT(rflags, 0x570);
VMCB_AT(rip, 0x578);
VMCB_AT(rsp, 0x5d8);
VMCB_AT(rax, 0x5f8);
VMCB_AT(star, 0x600);
VMCB_AT(lstar, 0x608);
VMCB_AT(cstar, 0x610);
VMCB_AT(sfmask, 0x618);
VMCB_AT(kernel_gs_base, 0x620);
VMCB_AT(sysenter_cs, 0x628);
VMCB_AT(sysenter_esp, 0x630);
VMCB_AT(sysenter_eip, 0x638);
VMCB_AT(cr2, 0x640);
VMCB_AT(g_pat, 0x668);
VMCB_AT(dbgctl, 0x670);
VMCB_AT(last_excp_to, 0x690);
VMCB_AT(spec_ctrl, 0x6e0);
_Static_assert(sizeof(struct vmcb) == 0x1000, "APM vol. 2 section 15.5.1");
_Static_assert(sizeof(struct vmcb_segment) == 16, "APM vol. 2 table B-2");

#endif
