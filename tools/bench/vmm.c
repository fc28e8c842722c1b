/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small KVM monitor, for `make bench PEER=kvm` only: /init of the outer system.
 * It loads KVM with npt=0 and boots a bzImage at its 64-bit entry with 1 GiB of
 * memory (huge pages behind it), KVM's own interrupt controllers and timer, and
 * a serial port. The guest has as many processors as the outer system, each a thread
 * that stays on one of those; KVM itself starts them by INIT and SIPI. It ends when the
 * guest resets, and powers the machine off.
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEMORY_SIZE (1024ul << 20)
#define HUGE_PAGE (2ul << 20)

/* Where things lie in the guest's low memory. */
#define GDT_AT 0x1000
#define PML4_AT 0x2000
#define PDPT_AT 0x3000
#define PD_AT 0x4000 /* four: 4 GiB */
#define PARAMS_AT 0x10000
#define COMMAND_LINE_AT 0x20000
#define LOW_END 0x9fc00
#define ACPI_AT 0xe0000 /* outside of the guest's RAM */
#define HIGH_START 0x100000

#define SELECTOR_CS 0x10
#define SELECTOR_DS 0x18
#define ENTRY_64 0x200 /* Documentation/arch/x86/boot.rst, "64-bit boot protocol" */

#define CR0_START 0x80050033ul /* PG AM WP NE ET MP PE */
#define CR4_PAE 0x20
#define EFER_LONG 0x500 /* LMA LME */

#define SERIAL_PORT 0x3f8
#define SERIAL_IRQ 4
enum { UART_DATA, UART_IER, UART_IIR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCRATCH, UART_PORTS };
#define IER_THRE 0x02
#define IIR_NONE 0x01
#define IIR_THRE 0x02
#define LCR_DLAB 0x80
#define LSR_IDLE 0x60
#define MSR_LINES 0xb0 /* DCD DSR CTS */

#define CPUID_MAX 128
#define CPUS_MAX 16

struct vcpu {
	int fd;
	struct kvm_run *run; /* what KVM shares with us about it */
	pthread_t thread;
};

static unsigned char *memory;
static int vm;
static struct vcpu vcpus[CPUS_MAX];
static unsigned cpu_count;
static pthread_mutex_t uart_lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
	uint8_t ports[UART_PORTS];
	uint8_t divisor[2];
	int empty_pending; /* the "transmitter empty" interrupt is due */
} uart;

__attribute__((noreturn)) static void finish(void)
{
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
	int error = errno;
	va_list args;

	va_start(args, format);
	printf("\n@bench {\"error\":\"vmm: ");
	vprintf(format, args);
	printf(": %s\"}\n", strerror(error));
	va_end(args);
	finish();
}

/* --- the outer system --- */

static void prepare_system(void)
{
	mkdir("/dev", 0755);
	mkdir("/sys", 0755);
	if (mount("dev", "/dev", "devtmpfs", 0, NULL) || mount("sys", "/sys", "sysfs", 0, NULL))
		_exit(1);
	for (int fd = 0; fd < 3; fd++) {
		close(fd);
		if (open("/dev/console", O_RDWR) != fd)
			_exit(1);
	}
}

/* /etc/modules: the files in load order, as tools/mkinitramfs writes it. */
static void load_modules(void)
{
	FILE *list = fopen("/etc/modules", "r");
	char path[256];

	if (!list)
		fail("/etc/modules");
	while (fgets(path, sizeof(path), list)) {
		int fd;

		path[strcspn(path, "\n")] = '\0';
		fd = open(path, O_RDONLY);
		if (fd < 0 || syscall(SYS_finit_module, fd, strstr(path, "kvm_amd") ? "npt=0" : "", 0))
			fail("%s", path);
		close(fd);
	}
	fclose(list);
}

static void count_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		fail("the processors");
	cpu_count = (unsigned)CPU_COUNT(&set);
	if (cpu_count > CPUS_MAX) {
		errno = E2BIG;
		fail("%u processors", cpu_count);
	}
}

/* So that what this thread executes is that processor's, whatever the others do. */
static void stay_on(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail("processor %u", cpu);
}

/* --- the guest's memory --- */

static size_t load_file(const char *path, size_t skip, unsigned char *to, size_t space)
{
	int fd = open(path, O_RDONLY);
	size_t size = 0;
	ssize_t got;

	if (fd < 0 || lseek(fd, (off_t)skip, SEEK_SET) < 0)
		fail("%s", path);
	while (size < space && (got = read(fd, to + size, space - size)) > 0)
		size += (size_t)got;
	close(fd);
	return size;
}

static void make_memory(void)
{
	unsigned char *map = mmap(NULL, MEMORY_SIZE + HUGE_PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (map == MAP_FAILED)
		fail("the guest's memory");
	memory = map + (-(uintptr_t)map & (HUGE_PAGE - 1));
	if (madvise(memory, MEMORY_SIZE, MADV_HUGEPAGE))
		fail("huge pages");
	/* All of it now, so that the host's own faults are not measured. */
	for (size_t at = 0; at < MEMORY_SIZE; at += 4096)
		memory[at] = 0;
}

/* Identity mapping of 4 GiB in pages of 2 MiB: present, writable. */
static void make_tables(void)
{
	uint64_t *pml4 = (uint64_t *)(memory + PML4_AT), *pdpt = (uint64_t *)(memory + PDPT_AT);
	uint64_t *pd = (uint64_t *)(memory + PD_AT);

	pml4[0] = PDPT_AT | 3;
	for (unsigned i = 0; i < 4; i++)
		pdpt[i] = (PD_AT + i * 0x1000ul) | 3;
	for (uint64_t i = 0; i < 4 * 512; i++)
		pd[i] = i * HUGE_PAGE | 0x83;
}

static void add_range(struct boot_params *params, uint64_t start, uint64_t end)
{
	params->e820_table[params->e820_entries++] =
		(struct boot_e820_entry){.addr = start, .size = end - start, .type = 1};
}

/*
 * ACPI tables, just enough for the guest to find its processors and interrupt controllers
 * and so to use the local APIC's timer: RSDP, XSDT, MADT (ACPI 6.4, 5.2.5, 5.2.8, 5.2.12).
 */
struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision, creator, creator_revision;
} __attribute__((packed));

struct acpi_tables {
	struct {
		char signature[8];
		uint8_t checksum;
		char oem[6];
		uint8_t revision;
		uint32_t rsdt, length;
		uint64_t xsdt;
		uint8_t extended_checksum, reserved[3];
	} __attribute__((packed)) rsdp;
	struct {
		struct acpi_header header;
		uint64_t madt;
	} __attribute__((packed)) xsdt;
	struct {
		struct acpi_header header;
		uint32_t lapic_address, flags;
		struct {
			uint8_t type, length, id, reserved;
			uint32_t address, gsi;
		} __attribute__((packed)) ioapic;
		struct {
			uint8_t type, length, processor, id;
			uint32_t flags;
		} __attribute__((packed)) lapics[CPUS_MAX]; /* the table ends behind the last there is */
	} __attribute__((packed)) madt;
} __attribute__((packed));

static uint8_t checksum(const void *table, size_t size)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += ((const uint8_t *)table)[i];
	return (uint8_t)-sum;
}

static void finish_table(struct acpi_header *header, const char *signature, size_t size, uint8_t revision)
{
	memcpy(header->signature, signature, 4);
	memcpy(header->oem, "UMBRA ", 6);
	memcpy(header->oem_table, "BENCH   ", 8);
	header->length = (uint32_t)size;
	header->revision = revision;
	header->checksum = checksum(header, size);
}

static void make_acpi_tables(void)
{
	struct acpi_tables *t = (struct acpi_tables *)(memory + ACPI_AT);

	t->madt.lapic_address = 0xfee00000;
	t->madt.flags = 1; /* PC-AT's PICs too */
	for (unsigned i = 0; i < cpu_count; i++) {
		t->madt.lapics[i].length = sizeof(t->madt.lapics[i]);
		t->madt.lapics[i].processor = (uint8_t)i;
		t->madt.lapics[i].id = (uint8_t)i;
		t->madt.lapics[i].flags = 1; /* enabled */
	}
	t->madt.ioapic.type = 1;
	t->madt.ioapic.length = sizeof(t->madt.ioapic);
	t->madt.ioapic.address = 0xfec00000;
	finish_table(&t->madt.header, "APIC", sizeof(t->madt) - (CPUS_MAX - cpu_count) * sizeof(t->madt.lapics[0]),
		     4);
	t->xsdt.madt = ACPI_AT + offsetof(struct acpi_tables, madt);
	finish_table(&t->xsdt.header, "XSDT", sizeof(t->xsdt), 1);
	memcpy(t->rsdp.signature, "RSD PTR ", 8);
	memcpy(t->rsdp.oem, "UMBRA ", 6);
	t->rsdp.revision = 2;
	t->rsdp.length = sizeof(t->rsdp);
	t->rsdp.xsdt = ACPI_AT + offsetof(struct acpi_tables, xsdt);
	t->rsdp.checksum = checksum(&t->rsdp, 20);
	t->rsdp.extended_checksum = checksum(&t->rsdp, sizeof(t->rsdp));
}

/* Returns the entry point. */
static uint64_t load_kernel(const char *kernel, const char *initrd, const char *command_line)
{
	struct boot_params *params = (struct boot_params *)(memory + PARAMS_AT);
	unsigned char head[4096];
	const struct setup_header *from = (const struct setup_header *)(head + 0x1f1);
	uint64_t load, initrd_at;
	struct stat status;

	if (load_file(kernel, 0, head, sizeof(head)) != sizeof(head) || from->header != 0x53726448 ||
	    !(from->xloadflags & XLF_KERNEL_64))
		fail("%s is no 64-bit kernel", kernel);
	memset(params, 0, sizeof(*params));
	params->hdr = *from;
	load = from->pref_address;
	load_file(kernel, (from->setup_sects + 1) * 512ul, memory + load, MEMORY_SIZE - load);
	if (stat(initrd, &status))
		fail("%s", initrd);
	initrd_at = (MEMORY_SIZE - (uint64_t)status.st_size) & ~(HUGE_PAGE - 1);
	params->hdr.ramdisk_size = (uint32_t)load_file(initrd, 0, memory + initrd_at, (size_t)status.st_size);
	params->hdr.ramdisk_image = (uint32_t)initrd_at;
	params->hdr.type_of_loader = 0xff;
	params->hdr.cmd_line_ptr = COMMAND_LINE_AT;
	params->acpi_rsdp_addr = ACPI_AT;
	memory[COMMAND_LINE_AT + load_file(command_line, 0, memory + COMMAND_LINE_AT, 2047)] = '\0';
	add_range(params, 0, LOW_END);
	add_range(params, HIGH_START, MEMORY_SIZE);
	return load + ENTRY_64;
}

/* --- the virtual machine --- */

static int kvm_call(int fd, const char *name, unsigned long request, unsigned long argument)
{
	int result = ioctl(fd, request, argument);

	if (result < 0)
		fail("%s", name);
	return result;
}

#define KVM_CALL(fd, request, argument) kvm_call(fd, #request, request, (unsigned long)(argument))

/* Bits of an APIC ID that tell the processors of the one package apart. */
static unsigned id_bits(void)
{
	unsigned bits = 0;

	while (1u << bits < cpu_count)
		bits++;
	return bits;
}

/* Where CPUID tells which processor it is (APM volume 3, appendix E): each is a core of one package, with one thread. */
static void place_cpu(struct kvm_cpuid_entry2 *e, unsigned id)
{
	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0x0000ffff) | cpu_count << 16 | id << 24;
		e->ecx |= 1u << 31;                                                /* there is a hypervisor */
		e->edx = (e->edx & ~(1u << 28)) | (uint32_t)(cpu_count > 1) << 28; /* HTT */
		break;
	case 0xb: /* index 0: threads of a core, 1: cores of the package */
		e->eax = e->index == 1 ? id_bits() : 0;
		e->ebx = e->index == 0 ? 1 : e->index == 1 ? cpu_count : 0;
		e->ecx = e->index | (e->index < 2 ? (e->index + 1) << 8 : 0);
		e->edx = id;
		break;
	case 0x80000001: e->ecx = (e->ecx & ~2u) | (uint32_t)(cpu_count > 1) << 1; break; /* CmpLegacy */
	case 0x80000008: e->ecx = (e->ecx & 0xffff0000) | id_bits() << 12 | (cpu_count - 1); break;
	case 0x8000001e:
		e->eax = e->ebx = id;
		e->ecx = 0;
		break;
	}
}

/* The entry of leaf 0xb for the package's cores, which KVM leaves to us. */
static void add_cores(struct kvm_cpuid2 *c)
{
	int threads = 0, cores = 0;

	for (unsigned i = 0; i < c->nent; i++) {
		threads |= c->entries[i].function == 0xb && c->entries[i].index == 0;
		cores |= c->entries[i].function == 0xb && c->entries[i].index == 1;
	}
	if (threads && !cores && c->nent < CPUID_MAX)
		c->entries[c->nent++] = (struct kvm_cpuid_entry2){
			.function = 0xb, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX};
}

/* What KVM can do, as processor `id` tells it. */
static void set_cpuid(int kvm, unsigned id)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + CPUID_MAX * sizeof(c->entries[0]));

	c->nent = CPUID_MAX;
	KVM_CALL(kvm, KVM_GET_SUPPORTED_CPUID, c);
	add_cores(c);
	for (unsigned i = 0; i < c->nent; i++)
		place_cpu(&c->entries[i], id);
	KVM_CALL(vcpus[id].fd, KVM_SET_CPUID2, c);
	free(c);
}

/* Of the first processor: the others wait for their INIT and SIPI. */
static void set_registers(uint64_t entry)
{
	int vcpu = vcpus[0].fd;
	uint64_t *gdt = (uint64_t *)(memory + GDT_AT);
	struct kvm_regs regs = {.rip = entry, .rsi = PARAMS_AT, .rflags = 2};
	struct kvm_segment code = {
		.limit = 0xffffffff,
		.selector = SELECTOR_CS,
		.type = 11,
		.present = 1,
		.s = 1,
		.l = 1,
		.g = 1,
	};
	struct kvm_segment data = {
		.limit = 0xffffffff,
		.selector = SELECTOR_DS,
		.type = 3,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1,
	};
	struct kvm_sregs s;

	gdt[SELECTOR_CS / 8] = 0x00af9b000000ffff;
	gdt[SELECTOR_DS / 8] = 0x00cf93000000ffff;
	KVM_CALL(vcpu, KVM_GET_SREGS, &s);
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.gdt = (struct kvm_dtable){.base = GDT_AT, .limit = SELECTOR_DS + 7};
	s.cr0 = CR0_START;
	s.cr3 = PML4_AT;
	s.cr4 = CR4_PAE;
	s.efer = EFER_LONG;
	KVM_CALL(vcpu, KVM_SET_SREGS, &s);
	KVM_CALL(vcpu, KVM_SET_REGS, &regs);
}

static void make_cpu(int kvm, unsigned id)
{
	struct vcpu *vcpu = &vcpus[id];

	vcpu->fd = KVM_CALL(vm, KVM_CREATE_VCPU, id);
	set_cpuid(kvm, id);
	vcpu->run = mmap(NULL, (size_t)KVM_CALL(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
			 MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		fail("kvm_run");
}

static void make_machine(void)
{
	int kvm = open("/dev/kvm", O_RDWR);
	struct kvm_userspace_memory_region region = {
		.memory_size = MEMORY_SIZE,
		.userspace_addr = (uintptr_t)memory,
	};
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};

	if (kvm < 0)
		fail("/dev/kvm");
	vm = KVM_CALL(kvm, KVM_CREATE_VM, 0);
	KVM_CALL(vm, KVM_SET_TSS_ADDR, 0xfffbd000);
	KVM_CALL(vm, KVM_CREATE_IRQCHIP, 0);
	KVM_CALL(vm, KVM_CREATE_PIT2, &pit);
	KVM_CALL(vm, KVM_SET_USER_MEMORY_REGION, &region);
	for (unsigned id = 0; id < cpu_count; id++)
		make_cpu(kvm, id);
}

/* --- the serial port: output, with the interrupt that Linux's driver waits for --- */

static void interrupt(void)
{
	struct kvm_irq_level level = {.irq = SERIAL_IRQ, .level = 1};

	uart.empty_pending = 1;
	KVM_CALL(vm, KVM_IRQ_LINE, &level);
	level.level = 0;
	KVM_CALL(vm, KVM_IRQ_LINE, &level);
}

static void uart_write(unsigned port, uint8_t value)
{
	if (port <= UART_IER && uart.ports[UART_LCR] & LCR_DLAB) {
		uart.divisor[port] = value;
		return;
	}
	if (port == UART_DATA) {
		if (write(1, &value, 1) != 1)
			fail("the console");
	} else if (port != UART_IIR && port != UART_LSR && port != UART_MSR) {
		uart.ports[port] = value;
	}
	if (port <= UART_IER && uart.ports[UART_IER] & IER_THRE)
		interrupt();
}

static uint8_t uart_read(unsigned port)
{
	if (port <= UART_IER && uart.ports[UART_LCR] & LCR_DLAB)
		return uart.divisor[port];
	switch (port) {
	case UART_DATA: return 0;
	case UART_IIR:
		if (!uart.empty_pending)
			return IIR_NONE;
		uart.empty_pending = 0;
		return IIR_THRE;
	case UART_LSR: return LSR_IDLE;
	case UART_MSR: return MSR_LINES;
	default: return uart.ports[port];
	}
}

/* With the lock held. Every other port is nobody's: reads give ones. */
static void handle_io(struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned port = run->io.port - SERIAL_PORT;
	size_t size = (size_t)run->io.size * run->io.count;

	if (port >= UART_PORTS) {
		if (run->io.direction == KVM_EXIT_IO_IN)
			memset(data, 0xff, size);
		return;
	}
	for (size_t i = 0; i < size; i++)
		if (run->io.direction == KVM_EXIT_IO_IN)
			data[i] = uart_read(port);
		else
			uart_write(port, data[i]);
}

/* Until the guest resets, whichever processor does it. */
static void run_cpu(const struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	for (;;) {
		/* EAGAIN: INIT or SIPI has come */
		if (ioctl(vcpu->fd, KVM_RUN, 0) < 0) {
			if (errno != EINTR && errno != EAGAIN)
				fail("KVM_RUN");
			continue;
		}
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			pthread_mutex_lock(&uart_lock);
			handle_io(run);
			pthread_mutex_unlock(&uart_lock);
			break;
		case KVM_EXIT_MMIO:
			if (!run->mmio.is_write)
				memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
			break;
		case KVM_EXIT_INTR: break;
		case KVM_EXIT_SHUTDOWN: return;
		default: errno = 0; fail("exit reason %u", run->exit_reason);
		}
	}
}

static void *cpu_main(void *id)
{
	stay_on((unsigned)(uintptr_t)id);
	run_cpu(&vcpus[(uintptr_t)id]);
	finish();
}

int main(void)
{
	prepare_system();
	load_modules();
	count_cpus();
	stay_on(0);
	make_memory();
	make_tables();
	make_acpi_tables();
	make_machine();
	set_registers(load_kernel("/guest/vmlinuz", "/guest/initrd", "/guest/cmdline"));
	for (uintptr_t id = 1; id < cpu_count; id++)
		if (pthread_create(&vcpus[id].thread, NULL, cpu_main, (void *)id))
			fail("processor %u", (unsigned)id);
	cpu_main((void *)0);
}
