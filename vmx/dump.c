/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints a VMCS by field names, for guest_stop(). */
#include "lib/log.h"
#include "vmx/vmx.h"

struct dump_field {
	const char *name;
	u32 field;
};

/* Two fields a line; fields that this CPU does not have are left out. */
static void dump_fields(const char *title, const struct dump_field *fields, u32 count)
{
	u32 column = 0;
	u64 value;

	log_error("VMCS, %s:\n", title);
	for (u32 i = 0; i < count; i++) {
		if (vmcs_try_read(fields[i].field, &value))
			continue;
		log_error("  %-24s %016llx%s", fields[i].name, (unsigned long long)value, column ? "\n" : "");
		column ^= 1;
	}
	if (column)
		log_error("\n");
}

static void dump_words(const struct vmx_vcpu *vmx)
{
	for (u32 w = 0; w < VMX_CONTROL_WORDS; w++) {
		log_error("  %ss:", vmx_control_word_name((enum vmx_control_word)w));
		for (u32 bit = 0; bit < 32; bit++) {
			const char *name = vmx_control_name((enum vmx_control_word)w, bit);

			if (vmx->word[w] & BIT(bit) && name[0] != '?')
				log_error(" %s", name);
		}
		log_error("\n");
	}
}

void vmx_dump(const struct vcpu *vcpu)
{
#define X(name, encoding) {#name, encoding},
	static const struct dump_field exit[] = {VMCS_FIELDS_EXIT(X)};
	static const struct dump_field guest[] = {VMCS_FIELDS_GUEST(X)};
	static const struct dump_field control[] = {VMCS_FIELDS_CONTROL(X)};
	static const struct dump_field host[] = {VMCS_FIELDS_HOST(X)};
#undef X

	log_error("exit %s\n", vmx_exit_name(vcpu->exit.raw));
	dump_fields("exit information", exit, ARRAY_SIZE(exit));
	dump_fields("guest state", guest, ARRAY_SIZE(guest));
	dump_fields("controls", control, ARRAY_SIZE(control));
	dump_words(vmx_of(vcpu));
	dump_fields("host state", host, ARRAY_SIZE(host));
}
