/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The core's way from boot/ to the guest: own stack, segments and vectors, the
 * log, memory, the vendor, the other processors, the shadow engine, the guest.
 */
#include "arch/x86/main.h"

#include "arch/x86/acpi.h"
#include "arch/x86/clock.h"
#include "arch/x86/cpu.h"
#include "arch/x86/debug_hooks.h"
#include "arch/x86/guest/create.h"
#include "arch/x86/guest/run.h"
#include "arch/x86/guest/physbits.h"
#include "arch/x86/guest/selfcheck.h"
#include "arch/x86/guest/flushcheck.h"
#include "arch/x86/guest/trace.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/idt.h"
#include "arch/x86/kick.h"
#include "arch/x86/lapic.h"
#include "arch/x86/log.h"
#include "arch/x86/memory.h"
#include "arch/x86/panic.h"
#include "arch/x86/percpu.h"
#include "arch/x86/screen.h"
#include "arch/x86/serial.h"
#include "arch/x86/smp.h"
#include "arch/x86/symbols.h"
#include "arch/x86/vendor.h"
#include "lib/string.h"
#include "lib/version.h"
#include "mm/phys.h"

/* Of a boot_info that is not what it should be nothing is believed. */
static const struct boot_uart com1 = {.base = 0x3f8, .space = BOOT_UART_PORTS, .stride = 1, .width = 1};

static struct vcpu boot_vcpu;

static void check_boot_info(const struct boot_info *info)
{
	if (info->magic == BOOT_INFO_MAGIC && info->version == BOOT_INFO_VERSION && info->size == sizeof(*info))
		return;
	serial_init(&com1);
	panic("boot_info: magic 0x%x version %u size %u, wanted 0x%x, %u, %lu: the loader and the core "
	      "are of different builds",
	      info->magic, info->version, info->size, BOOT_INFO_MAGIC, BOOT_INFO_VERSION,
	      (unsigned long)sizeof(*info));
}

static void start_log(const struct boot_info *info)
{
	char id[BUILD_ID_TEXT];

	serial_init(&info->uart);
	log_init((enum log_level)info->options.log_level);
	screen_init(&info->framebuffer);
	symbols_build_id(id, sizeof(id));
	log_info("Umbra hypervisor " VERSION_TEXT ", build %s\n", id);
	log_info("options: %.*s\n", BOOT_LOAD_OPTIONS_MAX, info->options.raw[0] ? info->options.raw : "none");
}

/* The firmware is gone: all that is left is to say it. */
static NORETURN void refuse_processor(const struct vendor *vendor, const struct selfcheck *check)
{
	log_take_console();
	log_error("error: %s of %s lets a guest do %s without an exit, so no guest would be isolated: use another "
		  "processor or emulator (docs/hardware.md), or boot with \"umbra bare\"\n",
		  vendor->name, check->cpu, check->missing);
	vendor->cpu_disable();
	log_error("the hypervisor has stopped; reset the machine or switch it off\n");
	cpu_stop();
}

static const struct vendor *start_vendor(bool *task_switches_unseen)
{
	const char *why;
	const struct vendor *vendor = vendor_select(&why);
	struct selfcheck check;
	char features[256];

	if (!vendor)
		panic("%s", why);
	this_cpu()->backend = vendor->cpu_alloc();
	if (!this_cpu()->backend)
		panic("no memory for %s", vendor->name);
	if (vendor->cpu_enable())
		panic("%s cannot be turned on: %s", vendor->name, this_cpu()->trouble);
	if (selfcheck_run(&boot_vcpu, vendor, &check))
		panic("%s cannot run the self-check", vendor->name);
	vendor->describe(features, sizeof(features));
	log_info("%s: %s%s; shadow paging, no %s\n", vendor->name, features, check.words, vendor->nested_paging);
	if (check.missing)
		refuse_processor(vendor, &check);
	*task_switches_unseen = check.task_switches_unseen;
	return vendor;
}

static struct shadow *start_shadow(const struct boot_info *info, const struct vendor *vendor, u32 cpus)
{
	struct shadow_config config = {
		.shadow_limit = info->options.shadow_bytes,
		.host_phys_bits = physbits_usable(),
		.pages_1g = cpu_has_pages_1g(),
		.tags = vendor->tags(),
		.cpus = cpus,
		.regions = memory_regions(),
		.flush_check = (enum shadow_flushes)info->options.flush_check,
		.flush_grace = FLUSHCHECK_GRACE_US * (u64)clock_ticks_per_us(),
	};
	void *ones = memory_alloc(0);
	struct shadow *shadow;

	if (!ones)
		panic("no memory for the shadow engine");
	memset(ones, 0xff, PAGE_SIZE);
	config.ones_page = virt_to_phys(ones);
	memory_shadow_pool(&config.pool, &config.pool_bytes);
	shadow = shadow_create(&config);
	if (!shadow)
		panic("the pool is too small for the guest's memory: %lu KiB are left for the shadow engine; "
		      "set a larger pool with the key umbra of the boot entry",
		      (unsigned long)(config.pool_bytes >> 10));
	return shadow;
}

static void report_keys(void)
{
	struct physbits b = physbits_read();

	if (b.keys)
		log_info("memory encryption: %u of %u address bits name a key; the guest has the other %u\n",
			 b.keys, b.width, b.width - b.keys);
}

/* The pages of sleep registers that lie in memory must be trapped before the shadow engine sees the regions. */
static void trap_sleep_bytes(struct acpi_byte *bytes)
{
	for (u32 i = 0; i < ACPI_SLEEP_BLOCKS; i++) {
		int err = -EINVAL;

		if (bytes[i].space != ACPI_MEMORY)
			continue;
		if (!(bytes[i].address >> physbits_usable()))
			err = memory_trap_device(hpa(bytes[i].address));
		if (!err)
			continue;
		log_warn("acpi: the sleep register at %llx cannot be guarded (error %d)\n",
			 (unsigned long long)bytes[i].address, err);
		bytes[i].space = ACPI_NOWHERE;
	}
}

static void find_sleep(const struct boot_info *info, struct acpi_sleep *sleep)
{
	if (acpi_find_sleep(memory_of_firmware, info->acpi_rsdp, sleep))
		return;
	trap_sleep_bytes(sleep->control);
	trap_sleep_bytes(sleep->status);
}

static void *trace_memory(const struct guest_trace_config *trace)
{
	return trace->bytes ? memory_take((u32)((trace->bytes + PAGE_SIZE - 1) >> PAGE_SHIFT)) : NULL;
}

/* The processors that the guest may start, as far as there is memory for them and the boot entry allows. */
static void give_processors(const struct boot_info *info, const struct guest_config *config,
			    const struct guest_trace_config *trace, struct acpi_cpus *given)
{
	const char *why;
	u32 limit = guest_processor_limit(config, info->options.cpus, &why);

	if (why)
		log_warn("processors: the guest has one alone: %s\n", why);
	*given = (struct acpi_cpus){.count = 1, .apic_id = {percpu_boot.apic_id}};
	for (u32 i = 1; i < PERCPU_MAX && given->count < limit; i++) {
		struct percpu *cpu = percpu_of(i);
		struct vcpu *vcpu;

		if (!cpu || !percpu_is_taken(cpu))
			continue;
		if (guest_add(&boot_vcpu, i, cpu->apic_id, &vcpu)) {
			log_warn("processors: no memory for the guest's from APIC ID %u on\n", cpu->apic_id);
			break;
		}
		guest_trace_give(vcpu, trace, trace_memory(trace));
		__atomic_store_n(&cpu->vcpu, vcpu, __ATOMIC_RELEASE);
		given->apic_id[given->count++] = cpu->apic_id;
	}
	acpi_hide_cpus(memory_of_firmware, memory_of_firmware_to_edit, info->acpi_rsdp, given);
	if (given->count > 1)
		log_info("processors: the guest may use %u\n", given->count);
}

/* From here on a panic elsewhere reaches us by what exits; before it by an NMI, which SVM holds back (GIF is 0). */
static void be_reachable(void)
{
	struct percpu *cpu = this_cpu();

	cpu->vcpu = &boot_vcpu;
	cpu->runs_guest = true;
	__atomic_store_n(&cpu->stop_by_init, !boot_vcpu.several, __ATOMIC_SEQ_CST);
	if (kick_stop_asked())
		cpu_stop();
}

static struct guest_trace_config trace_asked_for(const struct boot_info *info)
{
	return (struct guest_trace_config){
		.kinds = info->options.trace_kinds,
		.changes = info->options.trace_changes,
		.bytes = info->options.trace_bytes,
		.ticks_per_us = clock_ticks_per_us(),
	};
}

static NORETURN void start_guest(const struct boot_info *info)
{
	static struct acpi_cpus given;
	struct acpi_sleep sleep;
	struct guest_config config = {
		.sleep = &sleep,
		.start = &info->guest,
		.cpuid_hide = info->options.cpuid_hide,
		.audit_interval = info->options.audit_interval,
		.sipi_protected = info->options.sipi_protected,
		.host_phys_bits = physbits_usable(),
		.flush_check = info->options.flush_check,
	};
	static struct guest_trace_config trace;
	int err;

	config.vendor = start_vendor(&config.task_switches_unseen);
	find_sleep(info, &sleep);
	clock_init();
	config.ticks_per_us = clock_ticks_per_us();
	trace = trace_asked_for(info);
	if (lapic_present())
		percpu_boot.apic_id = lapic_id();
	err = guest_create(&boot_vcpu, &config, percpu_boot.apic_id); /* the others get what is left */
	if (err)
		panic("no memory for the guest's CPU (error %d)", err);
	smp_take_all(info, config.vendor, guest_run_other);
	debug_start(info, &boot_vcpu);
	guest_trace_give(&boot_vcpu, &trace, trace_memory(&trace));
	give_processors(info, &config, &trace, &given);
	if (debug_hooks && given.count == 1) /* its NMIs exit, if they can */
		boot_vcpu.several = !config.vendor->one_processor || !config.vendor->one_processor();
	config.shadow = start_shadow(info, config.vendor, given.count);
	err = guest_start(&boot_vcpu);
	if (err)
		panic("cannot make the guest's CPU (error %d)", err);
	be_reachable();
	guest_trace_start(&boot_vcpu, &trace, hw_trace_here);
	if (this_cpu()->nmi_count)
		log_warn("%lu NMIs arrived before the guest and were dropped\n",
			 (unsigned long)this_cpu()->nmi_count);
	report_keys();
	log_info("starting the guest at 0x%lx\n", (unsigned long)info->guest.rip);
	log_release_console();
	guest_run(&boot_vcpu);
}

void core_main(u64 boot_info_hpa)
{
	const struct boot_info *info = (const void *)(DIRECT_MAP_BASE + boot_info_hpa);

	phys_map_offset = DIRECT_MAP_BASE;
	percpu_init(&percpu_boot, 0, &percpu_boot_stacks);
	percpu_load(&percpu_boot);
	percpu_publish(&percpu_boot);
	idt_init();
	idt_load();
	percpu_boot.reachable = true; /* nobody else runs before apic_id is known: smp_take_all() */
	check_boot_info(info);
	start_log(info);
	memory_init(info);
	start_guest(info);
}
