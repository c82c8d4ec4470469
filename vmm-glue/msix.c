/* SPDX-License-Identifier: BSD-3-Clause */
#include "vmm-glue/msix.h"

#include "base/error.h"
#include "base/event.h"
#include "base/own.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

/* An entry's dwords (PCI 3.0, 6.8.2.6 to 6.8.2.9). */
enum { ENTRY_ADDR, ENTRY_ADDR_HIGH, ENTRY_DATA, ENTRY_CONTROL };

#define CONTROL_MASKED 1u

struct vector {
	struct iol_msi_message msg;
	int fd;
	uint32_t route; /* the machine's, or IOL_NO_ROUTE */
	bool masked, used;
};

struct msix {
	const struct iol_vm_ops *vm_ops;
	void *vm;
	const struct msix_ops *ops;
	void *ctx;
	bool enabled, masked, complained;
	unsigned int num;
	struct vector vectors[];
};

int msix_new(unsigned int vectors, const struct iol_vm_ops *vm_ops, void *vm,
	     const struct msix_ops *ops, void *ctx, struct msix **msix)
{
	static const struct msix_ops none;
	struct msix *m;

	if (!vectors || vectors > MSIX_VECTORS_MAX)
		return iol_fail(EINVAL, "a function has 1 to %u interrupts, not %u",
				MSIX_VECTORS_MAX, vectors);
	m = calloc(1, sizeof(*m) + vectors * sizeof(m->vectors[0]));
	if (!m)
		return iol_fail(ENOMEM, "no memory for %u interrupts", vectors);
	m->vm_ops = vm_ops;
	m->vm = vm;
	m->ops = ops ? ops : &none;
	m->ctx = ctx;
	m->num = vectors;
	for (unsigned int i = 0; i < vectors; i++)
		m->vectors[i] = (struct vector){ .fd = -1, .route = IOL_NO_ROUTE, .masked = true };
	*msix = m;
	return 0;
}

static void unroute(struct msix *m, struct vector *v)
{
	if (v->route == IOL_NO_ROUTE)
		return;
	m->vm_ops->msi_remove(m->vm, v->route);
	v->route = IOL_NO_ROUTE;
}

static void unuse(struct msix *m, unsigned int vector)
{
	struct vector *v = &m->vectors[vector];

	unroute(m, v);
	if (v->used && m->ops->unuse)
		m->ops->unuse(m->ctx, vector);
	v->used = false;
}

void msix_destroy(struct msix **msix)
{
	struct msix *m = iol_take_ptr(*msix);

	if (!m)
		return;
	for (unsigned int i = 0; i < m->num; i++) {
		unuse(m, i);
		iol_close(&m->vectors[i].fd);
	}
	free(m);
}

unsigned int msix_vectors(const struct msix *msix)
{
	return msix->num;
}

bool msix_enabled(const struct msix *msix)
{
	return msix->enabled;
}

int msix_fd(struct msix *msix, unsigned int vector)
{
	struct vector *v;

	if (vector >= msix->num)
		return -1;
	v = &msix->vectors[vector];
	if (v->fd < 0)
		v->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return v->fd;
}

/*
 * KVM delivers what is in an eventfd when it gets it, but leaves it there, and the vector would look pending for ever. So
 * what waits is taken out first, and signalled anew once there is somebody to hear it. A signal between the two may then
 * interrupt twice, which is harmless; none is lost.
 */
static int route(struct msix *m, struct vector *v)
{
	bool waits = iol_event_take(v->fd);
	int rc = m->vm_ops->msi_add(m->vm, v->fd, &v->msg, &v->route);

	if (rc)
		v->route = IOL_NO_ROUTE;
	else if (iol_event_take(v->fd))
		waits = true;
	if (waits)
		iol_event_signal(v->fd);
	return rc;
}

/* Hardware can't refuse either. A guest can bring it about over and over: once is enough. */
static void complain(struct msix *m, unsigned int vector)
{
	if (!m->complained)
		iol_log(IOL_LOG_WARNING, "interrupt %u of a guest's device is silent: %s", vector,
			iol_error());
	m->complained = true;
}

static void start(struct msix *m, unsigned int vector)
{
	struct vector *v = &m->vectors[vector];
	int rc;

	if (v->route != IOL_NO_ROUTE)
		return;
	if (msix_fd(m, vector) < 0)
		rc = iol_fail(errno, "cannot make an eventfd: %s%s", strerror(errno),
			      errno == EMFILE ? " (ulimit -n)" : "");
	else
		rc = route(m, v);
	if (!rc && !v->used && m->ops->use) {
		rc = m->ops->use(m->ctx, vector, v->fd);
		if (rc)
			unroute(m, v);
	}
	if (rc)
		complain(m, vector);
	else
		v->used = true;
}

static void update(struct msix *m, unsigned int vector)
{
	if (m->enabled && !m->masked && !m->vectors[vector].masked)
		start(m, vector);
	else
		unroute(m, &m->vectors[vector]);
}

void msix_control(struct msix *msix, bool enable, bool mask)
{
	if (enable == msix->enabled && mask == msix->masked)
		return;
	msix->enabled = enable;
	msix->masked = mask;
	for (unsigned int i = 0; i < msix->num; i++) {
		if (enable)
			update(msix, i);
		else
			unuse(msix, i);
	}
}

void msix_reset(struct msix *msix)
{
	msix->enabled = msix->masked = false;
	for (unsigned int i = 0; i < msix->num; i++) {
		struct vector *v = &msix->vectors[i];

		unuse(msix, i);
		v->msg = (struct iol_msi_message){ 0 };
		v->masked = true;
		if (v->fd >= 0)
			iol_event_take(v->fd);
	}
}

void msix_program(struct msix *msix, unsigned int vector, const struct iol_msi_message *msg,
		  bool masked)
{
	struct vector *v;
	bool changed;

	if (vector >= msix->num)
		return;
	v = &msix->vectors[vector];
	changed = v->msg.addr != msg->addr || v->msg.data != msg->data;
	v->msg = *msg;
	v->masked = masked;
	if (changed && !masked && v->route != IOL_NO_ROUTE &&
	    msix->vm_ops->msi_set(msix->vm, v->route, msg)) {
		complain(msix, vector);
		unroute(msix, v);
		return;
	}
	update(msix, vector);
}

static bool is_aligned(uint64_t off, unsigned int len)
{
	return (len == 4 || len == 8) && !(off & (len - 1));
}

void msix_table(struct msix *msix, uint64_t off, void *data, unsigned int len, bool write)
{
	uint64_t index = off / MSIX_ENTRY_SIZE;
	unsigned int dword = off % MSIX_ENTRY_SIZE / sizeof(uint32_t);
	struct vector *v;
	uint32_t entry[4];

	if (!write)
		memset(data, 0, len);
	if (!is_aligned(off, len) || index >= msix->num)
		return;
	v = &msix->vectors[index];
	entry[ENTRY_ADDR] = (uint32_t)v->msg.addr;
	entry[ENTRY_ADDR_HIGH] = (uint32_t)(v->msg.addr >> 32);
	entry[ENTRY_DATA] = v->msg.data;
	entry[ENTRY_CONTROL] = v->masked ? CONTROL_MASKED : 0;
	if (!write) {
		memcpy(data, &entry[dword], len);
		return;
	}
	memcpy(&entry[dword], data, len);
	msix_program(msix, (unsigned int)index,
		     &(struct iol_msi_message){
			     .addr = (uint64_t)entry[ENTRY_ADDR_HIGH] << 32 |
				     (entry[ENTRY_ADDR] & ~3u),
			     .data = entry[ENTRY_DATA],
		     },
		     entry[ENTRY_CONTROL] & CONTROL_MASKED);
}

/* Only while nobody hears it is a signal still in the eventfd. */
static bool is_pending(const struct vector *v)
{
	struct pollfd p = { .fd = v->fd, .events = POLLIN };

	return v->fd >= 0 && v->route == IOL_NO_ROUTE && poll(&p, 1, 0) == 1;
}

void msix_pba(struct msix *msix, uint64_t off, void *data, unsigned int len, bool write)
{
	uint64_t bits = 0, first = off * 8;

	if (write)
		return;
	memset(data, 0, len);
	if (!is_aligned(off, len) || off > MSIX_VECTORS_MAX / 8)
		return;
	for (unsigned int i = 0; i < len * 8 && first + i < msix->num; i++)
		if (is_pending(&msix->vectors[first + i]))
			bits |= 1ull << i;
	memcpy(data, &bits, len);
}

void msix_signal(struct msix *msix, unsigned int vector)
{
	int fd = msix_fd(msix, vector);

	if (fd >= 0)
		iol_event_signal(fd);
}
