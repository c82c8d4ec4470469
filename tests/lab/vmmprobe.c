/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs where there is a KVM: vmmprobe PROBE..., or vmmprobe CONTEXT ADDRESS on an edu that is bound to vfio-pci.
 * Exits with 0 when all was as it must be, with 1 when not, and with 77 when there is no KVM.
 */
#include "vmmprobe.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define BAR  0xd0000000u
#define PLUG 0x40000000u
#define BELL 0xd8000000u
/* More eventfds than KVM has routes. */
#define FDS 5000u

static const struct iol_vm_ops *const ops = &iol_kvm_vm_ops;

static int event(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	need(fd >= 0, "no eventfd");
	return fd;
}

static void signal_fd(int fd)
{
	need(!eventfd_write(fd, 1), "no signal");
}

static eventfd_t taken(int fd)
{
	eventfd_t count;

	return eventfd_read(fd, &count) ? 0 : count;
}

/* Regions come and go, and the guest's view with them. */
static void memory(struct tiny *t)
{
	uint32_t value;

	need(!tiny_write(t, TINY_FREE, 7), "memory is not there");
	need(*(uint32_t *)iol_guest_memory_host(t->mem, TINY_FREE, 4) == 7, "it wrote elsewhere");
	need(tiny_write(t, PLUG, 1), "there is memory where there is none");
	for (int i = 0; i < 3; i++) {
		need(!iol_guest_memory_add(t->mem, PLUG, PAGE * 2, -1, 0), "no memory");
		need(!tiny_read(t, PLUG, &value) && !value, "new memory is not empty");
		need(!tiny_write(t, PLUG + PAGE, 3), "new memory is not there");
		need(*(uint32_t *)iol_guest_memory_host(t->mem, PLUG + PAGE, 4) == 3,
		     "it wrote elsewhere");
		need(!iol_guest_memory_remove(t->mem, PLUG), "no removing");
		need(tiny_write(t, PLUG, 1), "memory that is gone is there");
	}
}

/* A BAR that is mapped through, and one that is read-only. */
static void bars(struct tiny *t)
{
	uint32_t *host =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t value;

	need(host != MAP_FAILED, "no memory");
	need(!ops->map(t->kvm, BAR, PAGE, host, false), "no mapping");
	need(ops->map(t->kvm, BAR, PAGE, host, false) == -EEXIST, "two at one place");
	need(!tiny_write(t, BAR + 8, 5) && host[2] == 5, "a write does not reach it");
	ops->unmap(t->kvm, BAR, PAGE);
	need(tiny_write(t, BAR + 8, 6) && host[2] == 5, "it is still there");
	need(!ops->map(t->kvm, BAR, PAGE, host, true), "no mapping");
	need(!tiny_read(t, BAR + 8, &value) && value == 5, "a read does not reach it");
	need(tiny_write(t, BAR + 8, 6) && host[2] == 5, "a write is not trapped");
	ops->unmap(t->kvm, BAR, PAGE);
	munmap(host, PAGE);
}

static void doorbells(struct tiny *t)
{
	struct iol_doorbell any = { .gpa = BELL, .fd = event() };
	struct iol_doorbell one = {
		.gpa = BELL + 4, .len = 4, .match = true, .value = 1, .fd = event()
	};
	struct iol_doorbell two = one;

	two.value = 2;
	two.fd = event();
	need(!ops->doorbell_add(t->kvm, &any) && !ops->doorbell_add(t->kvm, &one) &&
		     !ops->doorbell_add(t->kvm, &two),
	     "no doorbells");
	need(ops->doorbell_add(t->kvm, &one) == -EEXIST, "two at one place");
	need(!tiny_write(t, BELL, 9) && taken(any.fd) == 1, "it does not ring");
	need(!tiny_write(t, BELL + 4, 2) && taken(two.fd) == 1 && !taken(one.fd),
	     "the wrong one rings");
	need(!tiny_write(t, BELL + 4, 1) && taken(one.fd) == 1 && !taken(two.fd),
	     "the wrong one rings");
	need(tiny_write(t, BELL + 4, 3) && !taken(one.fd) && !taken(two.fd),
	     "it rings for any value");
	ops->doorbell_remove(t->kvm, &any);
	ops->doorbell_remove(t->kvm, &one);
	ops->doorbell_remove(t->kvm, &two);
	need(tiny_write(t, BELL, 9) && tiny_write(t, BELL + 4, 1) && !taken(any.fd) &&
		     !taken(one.fd),
	     "it rings when it is gone");
	close(any.fd);
	close(one.fd);
	close(two.fd);
}

/* One comes for a signal: the next of that vector, and none of another. */
static void comes(struct tiny *t, int fd, uint32_t vector)
{
	uint32_t before[TINY_VECTORS];

	for (uint32_t i = 0; i < TINY_VECTORS; i++)
		before[i] = tiny_count(t, TINY_VECTOR + i);
	signal_fd(fd);
	tiny_takes(t, vector, before[vector - TINY_VECTOR] + 1);
	tiny_looks(t);
	for (uint32_t i = 0; i < TINY_VECTORS; i++)
		need(tiny_count(t, TINY_VECTOR + i) == before[i] + (TINY_VECTOR + i == vector),
		     "one comes by vector %u, too", TINY_VECTOR + i);
}

/* Messages change, are taken down and set up again, and no signal is lost but while there is nobody to take it. */
static void messages(struct tiny *t)
{
	struct iol_msi_message msg = { .addr = TINY_MSI, .data = TINY_VECTOR };
	uint32_t id, other;
	int fd = event();

	need(!ops->msi_add(t->kvm, fd, &msg, &id), "no message");
	comes(t, fd, TINY_VECTOR);
	for (uint32_t i = 1; i < TINY_VECTORS; i++) {
		msg.data = TINY_VECTOR + i;
		need(!ops->msi_set(t->kvm, id, &msg) && !ops->msi_set(t->kvm, id, &msg),
		     "no change");
		comes(t, fd, TINY_VECTOR + i);
	}
	msg.data = TINY_VECTOR;
	need(ops->msi_add(t->kvm, fd, &msg, &other) == -EBUSY, "one eventfd for two messages");
	ops->msi_remove(t->kvm, id);
	signal_fd(fd);
	need(taken(fd) == 1, "one is taken that nobody waits for");
	for (int i = 0; i < 2; i++) {
		need(!ops->msi_add(t->kvm, fd, &msg, &id), "no message");
		comes(t, fd, TINY_VECTOR);
		ops->msi_remove(t->kvm, id);
	}
	close(fd);
}

/* A pin of the I/O APIC that goes by @vector. */
static void set_pin(struct tiny *t, uint32_t gsi, uint32_t vector, bool level)
{
	tiny_write(t, 0xfec00000u, 0x11 + 2 * gsi);
	tiny_write(t, 0xfec00010u, 0);
	tiny_write(t, 0xfec00000u, 0x10 + 2 * gsi);
	tiny_write(t, 0xfec00010u, vector | (level ? 1u << 15 : 0));
}

/* The PICs: their vectors from the first on, with an end of interrupts of their own, and only some pins. */
static void set_pics(struct tiny *t, uint8_t master, uint8_t slave)
{
	static const uint8_t words[2][4] = { { 0x11, TINY_VECTOR, 4, 3 },
					     { 0x11, TINY_VECTOR + 8, 2, 3 } };
	static const uint16_t ports[2] = { 0x20, 0xa0 };

	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 4; j++)
			tiny_out(t, ports[i] + !!j, words[i][j]);
	tiny_out(t, 0x21, (uint8_t)~master);
	tiny_out(t, 0xa1, (uint8_t)~slave);
}

static void pulse(struct tiny *t, uint32_t gsi, uint32_t vector)
{
	uint32_t before = tiny_count(t, vector);
	int fd = event();

	need(!iol_kvm_irqfd(t->kvm, gsi, fd, -1), "no pin");
	signal_fd(fd);
	tiny_takes(t, vector, before + 1);
	iol_kvm_irqfd_remove(t->kvm, gsi, fd);
	close(fd);
}

/* Pins: those that are pulsed, and one that two functions hold, each of which is told when the guest is done. */
static void pins(struct tiny *t)
{
	uint32_t gsi = iol_kvm_pin(1, 0), vector = TINY_VECTOR + 1, before;
	int a = event(), b = event(), a_done = event(), b_done = event();

	need(gsi == iol_kvm_pin(0, 1) && gsi >= 16 && gsi < 24, "pins are elsewhere");
	set_pics(t, 1u << 4 | 1u << 2, 1u << 4);
	pulse(t, 4, TINY_VECTOR + 4);
	pulse(t, 12, TINY_VECTOR + 12);
	set_pics(t, 0, 0);
	set_pin(t, 4, TINY_VECTOR, false);
	pulse(t, 4, TINY_VECTOR);

	set_pin(t, gsi, vector, true);
	before = tiny_count(t, vector);
	need(!ops->intx_add(t->kvm, 1, 0, a, a_done) && !ops->intx_add(t->kvm, 0, 1, b, b_done),
	     "no pin for two");
	signal_fd(a);
	tiny_takes(t, vector, before + 1);
	need(probe_signalled(a_done, COMES_MS) && probe_signalled(b_done, COMES_MS),
	     "they are not told that the guest is done");
	ops->intx_remove(t->kvm, 1, 0, a);
	signal_fd(b);
	tiny_takes(t, vector, before + 2);
	need(probe_signalled(b_done, COMES_MS) && !taken(a_done), "the wrong one is told");
	ops->intx_remove(t->kvm, 0, 1, b);
	close(a);
	close(b);
	close(a_done);
	close(b_done);
}

/* As many messages as KVM takes; one more is an error, and those that are there stay. */
static void many(struct tiny *t)
{
	struct iol_msi_message msg = { .addr = TINY_MSI, .data = TINY_VECTOR + 2 };
	uint32_t first, id, n = 0;
	struct rlimit limit = { .rlim_cur = 2 * FDS, .rlim_max = 2 * FDS };
	static int spare[FDS];
	int fd = event(), rc;

	need(!ops->msi_add(t->kvm, fd, &msg, &first), "no message");
	need(!setrlimit(RLIMIT_NOFILE, &limit), "no room for descriptors");
	do {
		need(n < FDS, "it does not end");
		spare[n] = event();
		msg.data = TINY_VECTOR + 3 + n % 8;
		rc = ops->msi_add(t->kvm, spare[n++], &msg, &id);
	} while (!rc);
	printf("%u messages: %s\n", n, iol_error());
	need(rc == -ENOSPC, "it ends by %d", rc);
	comes(t, fd, TINY_VECTOR + 2);
	ops->msi_remove(t->kvm, first);
	need(!ops->msi_add(t->kvm, fd, &msg, &id), "no place is free again");
	close(fd);
	while (n--)
		close(spare[n]);
}

static const struct {
	const char *name;
	void (*run)(struct tiny *t);
} probes[] = {
	{ "memory", memory },     { "bars", bars },          { "doorbells", doorbells },
	{ "messages", messages }, { "pins", pins },          { "many", many },
	{ "dirty", glue_dirty },  { "joined", glue_joined }, { "device", glue_device },
};

static void run(struct tiny *t, const char *name)
{
	struct iol_guest_memory_spec spec = { .size = TINY_SIZE };
	struct iol_guest_memory *mem;

	need(!iol_guest_memory_new(&spec, &mem), "no memory");
	if (!tiny_start(t, mem))
		exit(77);
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		if (strcmp(probes[i].name, name) != 0)
			continue;
		probes[i].run(t);
		printf("%s: as it must be\n", name);
		tiny_end(t);
		iol_guest_memory_destroy(&mem);
		return;
	}
	need(false, "no probe is called %s", name);
}

/* The device of a context, for those probes that want one. */
static void on_device(const char *context, const char *address)
{
	struct iol_context_spec spec = { .kind = strcmp(context, "type1") ? IOL_CONTEXT_IOMMUFD
									  : IOL_CONTEXT_TYPE1 };
	struct iol_vfio_device_spec device = { 0 };
	struct tiny t = { .sys = -1 };
	struct iol_host *host;

	need(!iol_pci_addr_parse(address, &device.addr), "no address");
	need(!iol_host_new(NULL, &host) && !iol_context_new(host, &spec, &t.ctx), "no context");
	need(!iol_vfio_open(t.ctx, &device, &t.dev), "no device");
	t.vfio_fd = iol_vfio_fd(t.dev);
	run(&t, "device");
	iol_vfio_close(&t.dev);
	iol_context_destroy(&t.ctx);
	iol_host_destroy(&host);
}

int main(int argc, char **argv)
{
	unsigned int fds = probe_fds();
	struct tiny t = { 0 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && strchr(argv[2], ':'))
		on_device(argv[1], argv[2]);
	else
		for (int i = 1; i < argc; i++)
			run(&t, argv[i]);
	need(probe_fds() == fds, "%u descriptors, not %u", probe_fds(), fds);
	return 0;
}
