/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine's interrupts: pins that are there from the start, and messages. The kernel takes all routes in one table, so
 * one is kept here, and is handed over only when what an eventfd delivers really changes.
 */
#include "vmm-glue/kvm.h"

#include "base/error.h"

#include <inttypes.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define IOAPIC_PINS 24u
#define PIC_PINS    8u
#define PIN_ROUTES  (IOAPIC_PINS + 2 * PIC_PINS)
/* The first GSI that is no pin. */
#define MSI_GSI     IOAPIC_PINS
#define FIRST_ROOM  16u
#define PCI_PIN_GSI 16u

static uint32_t gsi_of(uint32_t id)
{
	return MSI_GSI + id;
}

static void pin_routes(struct kvm_irq_routing *table)
{
	for (uint32_t gsi = 0; gsi < IOAPIC_PINS; gsi++)
		table->entries[table->nr++] = (struct kvm_irq_routing_entry){
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = gsi },
		};
	for (uint32_t gsi = 0; gsi < 2 * PIC_PINS; gsi++)
		table->entries[table->nr++] = (struct kvm_irq_routing_entry){
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = gsi < PIC_PINS ? KVM_IRQCHIP_PIC_MASTER
								 : KVM_IRQCHIP_PIC_SLAVE,
				       .pin = gsi % PIC_PINS },
		};
}

/* Hand the table over. A negative errno without a sentence, and then the kernel has the one before. */
static int commit(struct iol_kvm *kvm)
{
	struct kvm_irq_routing *table = kvm->table;

	table->nr = PIN_ROUTES;
	for (uint32_t id = 0; id < kvm->num_routes; id++) {
		const struct kvm_route *route = &kvm->routes[id];

		if (route->fd < 0 && !route->known)
			continue;
		table->entries[table->nr++] = (struct kvm_irq_routing_entry){
			.gsi = gsi_of(id),
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = { .address_lo = (uint32_t)route->msg.addr,
				   .address_hi = (uint32_t)(route->msg.addr >> 32),
				   .data = route->msg.data },
		};
	}
	return ioctl(kvm->vm_fd, KVM_SET_GSI_ROUTING, table) < 0 ? -errno : 0;
}

static int grow(struct iol_kvm *kvm)
{
	unsigned int room = kvm->num_routes ? 2 * kvm->num_routes : FIRST_ROOM;
	struct kvm_irq_routing *table;
	struct kvm_route *routes;

	if (room > kvm->routes_max)
		room = kvm->routes_max;
	if (room == kvm->num_routes)
		return iol_fail(ENOSPC,
				"the guest has %u messages for interrupts, and KVM has no room for "
				"another: give its devices fewer vectors",
				room);
	table = realloc(kvm->table,
			sizeof(*table) + (PIN_ROUTES + room) * sizeof(table->entries[0]));
	if (table)
		kvm->table = table;
	routes = reallocarray(kvm->routes, room, sizeof(*routes));
	if (routes)
		kvm->routes = routes;
	if (!table || !routes)
		return iol_fail(ENOMEM, "out of memory for routes of interrupts");
	while (kvm->num_routes < room)
		routes[kvm->num_routes++] = (struct kvm_route){ .fd = -1 };
	return 0;
}

int kvm_irq_start(struct iol_kvm *kvm)
{
	int max = ioctl(kvm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING);
	int rc;

	/* As many as there are entries, and as GSIs. */
	kvm->routes_max = max > (int)PIN_ROUTES ? (unsigned int)max - PIN_ROUTES : 0;
	rc = grow(kvm);
	if (rc < 0)
		return rc;
	memset(kvm->table, 0, sizeof(*kvm->table));
	pin_routes(kvm->table);
	rc = commit(kvm);
	if (rc < 0)
		return iol_fail(ENOTSUP,
				"KVM does not route interrupts of this machine: %s; it needs KVM's "
				"own interrupt controllers (KVM_CREATE_IRQCHIP)",
				strerror(-rc));
	return 0;
}

static bool same(const struct iol_msi_message *a, const struct iol_msi_message *b)
{
	return a->addr == b->addr && a->data == b->data;
}

/* Have a route deliver a message. The guest chose it, so one that is refused must not stay: it would spoil the whole table. */
static int set_message(struct iol_kvm *kvm, struct kvm_route *route,
		       const struct iol_msi_message *msg)
{
	struct iol_msi_message before = route->msg;
	int rc;

	if (route->known && same(&route->msg, msg))
		return 0;
	route->msg = *msg;
	rc = commit(kvm);
	if (rc < 0) {
		route->msg = before;
		return iol_fail(-rc,
				"KVM does not deliver message 0x%" PRIx32 " to address 0x%" PRIx64
				": %s",
				msg->data, msg->addr, strerror(-rc));
	}
	route->known = true;
	return 0;
}

static int set_irqfd(const struct iol_kvm *kvm, uint32_t gsi, int fd, int resample, uint32_t flags)
{
	struct kvm_irqfd cmd = {
		.fd = (uint32_t)fd,
		.gsi = gsi,
		.flags = flags | (resample < 0 ? 0u : KVM_IRQFD_FLAG_RESAMPLE),
		.resamplefd = resample < 0 ? 0u : (uint32_t)resample,
	};

	return ioctl(kvm->vm_fd, KVM_IRQFD, &cmd) < 0 ? -errno : 0;
}

int iol_kvm_irqfd(struct iol_kvm *kvm, uint32_t gsi, int fd, int resample)
{
	int rc = set_irqfd(kvm, gsi, fd, resample, 0);

	if (rc < 0)
		return iol_fail(-rc, "cannot have an eventfd signal interrupt %" PRIu32 ": %s", gsi,
				rc == -EBUSY ? "it signals one already" : strerror(-rc));
	return 0;
}

void iol_kvm_irqfd_remove(struct iol_kvm *kvm, uint32_t gsi, int fd)
{
	set_irqfd(kvm, gsi, fd, -1, KVM_IRQFD_FLAG_DEASSIGN);
}

/* The place of a free route, best one along which the kernel delivers the message still; num_routes if there is none. */
static uint32_t free_route(const struct iol_kvm *kvm, const struct iol_msi_message *msg)
{
	uint32_t any = kvm->num_routes;

	for (uint32_t id = 0; id < kvm->num_routes; id++) {
		const struct kvm_route *route = &kvm->routes[id];

		if (route->fd >= 0)
			continue;
		if (route->known && same(&route->msg, msg))
			return id;
		if (any == kvm->num_routes)
			any = id;
	}
	return any;
}

static int add_route(struct iol_kvm *kvm, int fd, const struct iol_msi_message *msg, uint32_t *id)
{
	uint32_t at = free_route(kvm, msg);
	int rc = at == kvm->num_routes ? grow(kvm) : 0;

	if (rc < 0)
		return rc;
	kvm->routes[at].fd = fd;
	rc = set_message(kvm, &kvm->routes[at], msg);
	if (!rc)
		rc = iol_kvm_irqfd(kvm, gsi_of(at), fd, -1);
	if (rc < 0)
		kvm->routes[at].fd = -1;
	else
		*id = at;
	return rc;
}

int kvm_msi_add(void *vm, int fd, const struct iol_msi_message *msg, uint32_t *id)
{
	struct iol_kvm *kvm = vm;
	int rc;

	pthread_mutex_lock(&kvm->lock);
	rc = add_route(kvm, fd, msg, id);
	pthread_mutex_unlock(&kvm->lock);
	return rc;
}

static struct kvm_route *route_of(struct iol_kvm *kvm, uint32_t id)
{
	return id < kvm->num_routes && kvm->routes[id].fd >= 0 ? &kvm->routes[id] : NULL;
}

int kvm_msi_set(void *vm, uint32_t id, const struct iol_msi_message *msg)
{
	struct iol_kvm *kvm = vm;
	struct kvm_route *route;
	int rc;

	pthread_mutex_lock(&kvm->lock);
	route = route_of(kvm, id);
	rc = route ? set_message(kvm, route, msg)
		   : iol_fail(EINVAL, "the machine has no message %" PRIu32, id);
	pthread_mutex_unlock(&kvm->lock);
	return rc;
}

void kvm_msi_remove(void *vm, uint32_t id)
{
	struct iol_kvm *kvm = vm;
	struct kvm_route *route;

	pthread_mutex_lock(&kvm->lock);
	route = route_of(kvm, id);
	if (route) {
		iol_kvm_irqfd_remove(kvm, gsi_of(id), route->fd);
		/* The kernel keeps the route, along which nothing is sent: it may be wanted again soon. */
		route->fd = -1;
	}
	pthread_mutex_unlock(&kvm->lock);
}

uint32_t iol_kvm_pin(unsigned int slot, unsigned int pin)
{
	return PCI_PIN_GSI + (slot + pin) % (IOAPIC_PINS - PCI_PIN_GSI);
}

int kvm_intx_add(void *vm, unsigned int slot, unsigned int pin, int fd, int resample)
{
	return iol_kvm_irqfd(vm, iol_kvm_pin(slot, pin), fd, resample);
}

void kvm_intx_remove(void *vm, unsigned int slot, unsigned int pin, int fd)
{
	iol_kvm_irqfd_remove(vm, iol_kvm_pin(slot, pin), fd);
}
