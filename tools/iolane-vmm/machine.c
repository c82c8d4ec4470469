/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine.h"

#include "acpi.h"
#include "base/error.h"
#include "base/own.h"
#include "devices.h"
#include "terminal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define NS      1000000000l
#define KICK_NS 10000000l

static void serial_line(void *ctx, bool up)
{
	struct machine *m = ctx;
	struct kvm_irq_level level = { { COM1_GSI }, up };

	/* It can fail only without an interrupt controller. */
	ioctl(m->vm, KVM_IRQ_LINE, &level);
}

static void serial_send(void *ctx, uint8_t byte)
{
	terminal_send(byte);
}

static const struct serial_ops serial_ops = {
	.interrupt = serial_line,
	.send = serial_send,
	.drained = (void (*)(void *))machine_wake,
};

static int failed(const char *what)
{
	return iol_fail(errno, "cannot make a virtual machine: %s: %s", what, strerror(errno));
}

static int open_kvm(struct machine *m)
{
	uint64_t identity = KVM_IDENTITY_ADDR;

	m->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (m->kvm < 0)
		return iol_fail(errno, "cannot open /dev/kvm: %s: %s", strerror(errno),
				errno == ENOENT
					? "load the module kvm_intel or kvm_amd; it needs a "
					  "processor whose virtualization is on"
					: "join the group kvm");
	if (ioctl(m->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return iol_fail(EPROTO, "/dev/kvm is not the KVM that this program knows");
	m->deadline = ioctl(m->kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0);
	if (m->vm < 0)
		return failed("KVM_CREATE_VM");
	/* They mean something on some of Intel's processors, and fail on others' KVM. */
	ioctl(m->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	ioctl(m->vm, KVM_SET_TSS_ADDR, KVM_TSS_ADDR);
	if (ioctl(m->vm, KVM_CREATE_IRQCHIP, 0) < 0)
		return failed("KVM_CREATE_IRQCHIP");
	return iol_kvm_new(m->vm, &m->glue);
}

static int make_memory(struct machine *m)
{
	struct iol_guest_memory_spec spec = {
		.size = m->opts->memory,
		.below_4g = m->opts->memory < RAM_BELOW_4G ? m->opts->memory : RAM_BELOW_4G,
		.hugepages = m->opts->hugepages,
	};
	const struct iol_guest_region *low;
	struct sysinfo info;
	uint64_t most;
	int rc;

	if (!sysinfo(&info)) {
		most = ((uint64_t)info.totalram + info.totalswap) * info.mem_unit;
		if (spec.size > most)
			return iol_fail(ENOMEM,
					"the guest's memory of %" PRIu64
					" MiB is more than this host has, %" PRIu64
					" MiB: give it less --memory",
					spec.size >> 20, most >> 20);
	}
	m->boot.ram_above = spec.size - spec.below_4g;
	rc = pci_host_init(&m->pci, m->boot.ram_above ? ABOVE_4G + m->boot.ram_above : spec.size,
			   m->address_bits);
	if (!rc)
		rc = iol_guest_memory_new(&spec, &m->memory);
	if (rc == -ENOMEM && spec.hugepages)
		return iol_fail(ENOMEM,
				"this host has no %" PRIu64
				" free huge pages of 2 MiB: reserve them "
				"(sysctl vm.nr_hugepages), or leave out --hugepages",
				spec.size >> 21);
	if (!rc)
		rc = iol_guest_memory_attach(m->memory, &iol_kvm_memory, m->glue);
	if (rc < 0)
		return rc;
	low = iol_guest_memory_region(m->memory, 0);
	m->boot.ram = low->host;
	m->boot.ram_size = low->size;
	return 0;
}

static int open_images(struct machine *m)
{
	int rc;

	rc = image_open("kernel", m->opts->kernel, &m->boot.kernel);
	if (!rc && m->opts->initrd)
		rc = image_open("initrd", m->opts->initrd, &m->boot.initrd);
	m->boot.cmdline = m->opts->cmdline;
	return rc;
}

static int open_cpus(struct machine *m, struct kvm_cpuid2 *cpuid)
{
	unsigned int i;
	int rc = 0;

	m->cpus = calloc(m->opts->cpus, sizeof(*m->cpus));
	if (!m->cpus)
		return iol_fail(ENOMEM, "no memory for %u processors", m->opts->cpus);
	for (i = 0; i < m->opts->cpus; i++)
		m->cpus[i].fd = -1;
	for (i = 0; !rc && i < m->opts->cpus; i++)
		rc = cpu_open(m, i, cpuid, &m->cpus[i]);
	return rc;
}

/* Linux with EFI in it does not reset by the register that ACPI names, as there is no EFI here: it goes where firmware begins. */
static void write_reset_vector(uint8_t *ram)
{
	/* clang-format off */
	static const uint8_t code[] = {
		0xba, RESET_PORT & 0xff, RESET_PORT >> 8, /* mov dx, RESET_PORT */
		0xb0, RESET_VALUE,                        /* mov al, RESET_VALUE */
		0xee,                                     /* out dx, al */
		0xf4,                                     /* hlt */
		0xeb, 0xfd,                               /* jmp to it */
	};
	/* clang-format on */

	memcpy(ram + RESET_VECTOR_ADDR, code, sizeof(code));
}

/* What is in memory when the guest starts, and the processors at its first instruction. */
static int load(struct machine *m)
{
	struct acpi_spec acpi = {
		.cpus = m->opts->cpus,
		.slots = m->opts->num_devices + 1,
		.window = m->pci.window,
		.window_size = m->pci.window_end - m->pci.window,
		.pin = iol_kvm_pin,
	};
	struct boot_entry entry = { 0 };
	unsigned int i;
	int rc;

	write_reset_vector(m->boot.ram);
	rc = acpi_write(&acpi, m->boot.ram + ACPI_ADDR, ACPI_ROOM, ACPI_ADDR, &m->boot.rsdp);
	if (!rc)
		rc = boot_load(&m->boot, &entry);
	for (i = 0; !rc && i < m->opts->cpus; i++)
		rc = cpu_reset(&m->cpus[i], &entry);
	return rc;
}

int machine_open(struct machine *m, const struct options *opts)
{
	_cleanup_free_ struct kvm_cpuid2 *cpuid = NULL;
	int rc;

	*m = (struct machine){ .opts = opts, .kvm = -1, .vm = -1, .pause = true };
	m->boot.kernel = m->boot.initrd = IMAGE_NONE;
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->run_lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	serial_init(&m->serial, &serial_ops, m);
	m->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->wake < 0)
		return failed("eventfd");
	rc = open_images(m);
	if (!rc)
		rc = open_kvm(m);
	if (!rc)
		rc = cpuid_supported(m->kvm, &cpuid);
	if (rc < 0)
		return rc;
	m->address_bits = cpuid_address_bits(cpuid);
	rc = make_memory(m);
	if (!rc)
		rc = open_cpus(m, cpuid);
	/* Before devices are taken from anybody: a kernel that is none costs nothing. */
	if (!rc)
		rc = load(m);
	if (!rc)
		rc = devices_open(m);
	if (!rc)
		rc = pci_host_place(&m->pci);
	if (!rc)
		rc = sandbox_new(false, &m->cpu_sandbox);
	return rc < 0 ? rc : sandbox_new(true, &m->main_sandbox);
}

void machine_close(struct machine *m)
{
	unsigned int i;

	devices_close(m);
	sandbox_free(&m->cpu_sandbox);
	sandbox_free(&m->main_sandbox);
	for (i = 0; m->cpus && i < m->opts->cpus; i++)
		cpu_close(&m->cpus[i]);
	free(m->cpus);
	m->cpus = NULL;
	if (m->memory && m->glue)
		iol_guest_memory_detach(m->memory, m->glue);
	iol_guest_memory_destroy(&m->memory);
	if (m->glue)
		iol_kvm_destroy(&m->glue);
	iol_close(&m->vm);
	iol_close(&m->kvm);
	image_close(&m->boot.initrd);
	image_close(&m->boot.kernel);
	iol_close(&m->wake);
}

/* What a PC's firmware leaves of the controllers that KVM has: the I/O APIC masked, the PICs untouched. */
static int reset_irqchips(struct machine *m)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	unsigned int i;

	chip.chip.ioapic.base_address = IOAPIC_ADDR;
	for (i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		chip.chip.ioapic.redirtbl[i].fields.mask = 1;
	if (ioctl(m->vm, KVM_SET_IRQCHIP, &chip) < 0)
		return failed("KVM_SET_IRQCHIP");
	return 0;
}

int machine_reset(struct machine *m)
{
	int rc;

	serial_reset(&m->serial);
	pthread_mutex_lock(&m->lock);
	rc = pci_host_reset(&m->pci);
	pthread_mutex_unlock(&m->lock);
	if (!rc)
		rc = reset_irqchips(m);
	return rc < 0 ? rc : load(m);
}

/* ---- processors' threads ---- */

int machine_start(struct machine *m)
{
	unsigned int i;
	int rc = 0;

	for (i = 0; !rc && i < m->opts->cpus; i++)
		rc = cpu_start(&m->cpus[i]);
	return rc;
}

bool machine_hold(struct machine *m)
{
	bool go;

	pthread_mutex_lock(&m->run_lock);
	m->still++;
	pthread_cond_broadcast(&m->changed);
	while (m->pause && !m->quit)
		pthread_cond_wait(&m->changed, &m->run_lock);
	m->still--;
	go = !m->quit;
	pthread_mutex_unlock(&m->run_lock);
	return go;
}

void machine_pause(struct machine *m)
{
	unsigned int i, started;

	pthread_mutex_lock(&m->run_lock);
	__atomic_store_n(&m->pause, true, __ATOMIC_SEQ_CST);
	do {
		struct timespec again;

		/* A kick right before a processor begins to wait for who reads our output is lost. */
		for (i = started = 0; i < m->opts->cpus; i++) {
			cpu_kick(&m->cpus[i]);
			started += m->cpus[i].started;
		}
		clock_gettime(CLOCK_REALTIME, &again);
		again.tv_nsec += KICK_NS;
		if (again.tv_nsec >= NS) {
			again.tv_nsec -= NS;
			again.tv_sec++;
		}
		if (m->still < started)
			pthread_cond_timedwait(&m->changed, &m->run_lock, &again);
	} while (m->still < started);
	pthread_mutex_unlock(&m->run_lock);
}

void machine_resume(struct machine *m)
{
	pthread_mutex_lock(&m->run_lock);
	__atomic_store_n(&m->pause, false, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->run_lock);
}

void machine_stop(struct machine *m)
{
	unsigned int i;

	machine_pause(m);
	pthread_mutex_lock(&m->run_lock);
	m->quit = true;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->run_lock);
	for (i = 0; i < m->opts->cpus; i++) {
		if (m->cpus[i].started)
			pthread_join(m->cpus[i].thread, NULL);
		m->cpus[i].started = false;
	}
}

void machine_wake(struct machine *m)
{
	/* It is there to be full: then the main thread has not looked yet. */
	eventfd_write(m->wake, 1);
}

void machine_want(struct machine *m, enum machine_want want, const char *why)
{
	pthread_mutex_lock(&m->run_lock);
	if (m->want == MACHINE_RUN) {
		m->want = want;
		snprintf(m->why, sizeof(m->why), "%s", why ? why : "");
	}
	/* Until then no processor goes on. */
	__atomic_store_n(&m->pause, true, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&m->run_lock);
	machine_wake(m);
}

/* ---- what the guest accesses ---- */

static void request(struct machine *m, uint16_t port, uint8_t value)
{
	if ((port == RESET_PORT && (value & 4)) ||
	    (port == KEYBOARD_PORT && value == KEYBOARD_RESET))
		machine_want(m, MACHINE_RESET, NULL);
	if (port == SLEEP_CONTROL_PORT && (value & SLEEP_ENABLE) &&
	    (value >> 2 & 7) == SLEEP_TYPE_OFF)
		machine_want(m, MACHINE_OFF, NULL);
}

void machine_ports(struct machine *m, uint16_t port, uint8_t *data, unsigned int len, bool write)
{
	bool known;

	if (port >= COM1_PORT && port < COM1_PORT + 8 && len == 1) {
		if (write)
			serial_write(&m->serial, port - COM1_PORT, *data);
		else
			*data = serial_read(&m->serial, port - COM1_PORT);
		return;
	}
	if (port == SLEEP_STATUS_PORT && !write) {
		memset(data, 0, len);
		return;
	}
	if (write && len == 1)
		request(m, port, *data);
	pthread_mutex_lock(&m->lock);
	known = pci_host_ports(&m->pci, port, data, len, write);
	pthread_mutex_unlock(&m->lock);
	if (!known && !write)
		memset(data, 0xff, len);
}

void machine_memory(struct machine *m, uint64_t gpa, uint8_t *data, unsigned int len, bool write)
{
	bool known;

	pthread_mutex_lock(&m->lock);
	known = pci_host_memory(&m->pci, gpa, data, len, write);
	pthread_mutex_unlock(&m->lock);
	if (!known && !write)
		memset(data, 0xff, len);
}
