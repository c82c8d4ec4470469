/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define demand(good)                                                                               \
	do {                                                                                       \
		if (!(good)) {                                                                     \
			fprintf(stderr, "%s:%d: the machine was promised: %s\n", __FILE__,         \
				__LINE__, #good);                                                  \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int msi_add(void *vm, int fd, const struct iol_msi_message *msg, uint32_t *id)
{
	struct machine *m = vm;

	demand(is_open(fd));
	if (m->no_routes)
		return -ENOSPC;
	for (uint32_t i = 0; i < MACHINE_ROUTES; i++)
		demand(m->routes[i].fd != fd);
	for (uint32_t i = 0; i < MACHINE_ROUTES; i++) {
		if (m->routes[i].fd >= 0)
			continue;
		m->routes[i] = (struct machine_route){ .fd = fd, .msg = *msg };
		m->num_routes++;
		*id = i;
		return 0;
	}
	return -ENOSPC;
}

static struct machine_route *route_of(struct machine *m, uint32_t id)
{
	demand(id < MACHINE_ROUTES && m->routes[id].fd >= 0 && is_open(m->routes[id].fd));
	return &m->routes[id];
}

static int msi_set(void *vm, uint32_t id, const struct iol_msi_message *msg)
{
	struct machine *m = vm;

	route_of(m, id)->msg = *msg;
	return m->no_routes ? -ENOSPC : 0;
}

static void msi_remove(void *vm, uint32_t id)
{
	struct machine *m = vm;

	route_of(m, id)->fd = -1;
	m->num_routes--;
}

static int intx_add(void *vm, unsigned int slot, unsigned int pin, int fd, int resample)
{
	struct machine *m = vm;

	demand(m->intx_fd < 0 && is_open(fd) && is_open(resample) && pin < 4);
	if (m->no_routes)
		return -ENOSPC;
	m->intx_fd = fd;
	m->resample = resample;
	m->pin = pin;
	return 0;
}

static void intx_remove(void *vm, unsigned int slot, unsigned int pin, int fd)
{
	struct machine *m = vm;

	demand(m->intx_fd == fd && m->pin == pin && is_open(fd));
	m->intx_fd = m->resample = -1;
	m->line = false;
}

static bool overlap(const struct machine_map *a, uint64_t gpa, uint64_t size)
{
	return a->size && gpa < a->gpa + a->size && a->gpa < gpa + size;
}

static int map(void *vm, uint64_t gpa, uint64_t size, void *host, bool readonly)
{
	struct machine *m = vm;
	struct machine_map *free = NULL;

	demand(size && !((gpa | size | (uintptr_t)host) % MACHINE_PAGE) && gpa + size - 1 >= gpa);
	if (m->no_maps)
		return -ENOSPC;
	for (unsigned int i = 0; i < MACHINE_MAPS; i++) {
		/* Two functions, or two BARs, at one place: a guest can do that. */
		if (overlap(&m->maps[i], gpa, size))
			return -EEXIST;
		if (!m->maps[i].size)
			free = &m->maps[i];
	}
	if (!free)
		return -ENOSPC;
	*free = (struct machine_map){ gpa, size, host, readonly };
	m->num_maps++;
	return 0;
}

static void unmap(void *vm, uint64_t gpa, uint64_t size)
{
	struct machine *m = vm;

	for (unsigned int i = 0; i < MACHINE_MAPS; i++) {
		if (m->maps[i].gpa != gpa || m->maps[i].size != size)
			continue;
		m->maps[i].size = 0;
		m->num_maps--;
		return;
	}
	demand(!"to unmap what is mapped");
}

static bool same_bell(const struct iol_doorbell *a, const struct iol_doorbell *b)
{
	return a->gpa == b->gpa && a->len == b->len && a->match == b->match &&
	       (!a->match || a->value == b->value);
}

static int doorbell_add(void *vm, const struct iol_doorbell *bell)
{
	struct machine *m = vm;

	demand(is_open(bell->fd));
	if (m->no_bells)
		return -ENOSPC;
	for (unsigned int i = 0; i < m->num_bells; i++)
		if (same_bell(&m->bells[i], bell))
			return -EEXIST;
	if (m->num_bells == MACHINE_BELLS)
		return -ENOSPC;
	m->bells[m->num_bells++] = *bell;
	return 0;
}

static void doorbell_remove(void *vm, const struct iol_doorbell *bell)
{
	struct machine *m = vm;

	for (unsigned int i = 0; i < m->num_bells; i++) {
		if (!same_bell(&m->bells[i], bell) || m->bells[i].fd != bell->fd)
			continue;
		m->bells[i] = m->bells[--m->num_bells];
		return;
	}
	demand(!"to remove a doorbell that is there");
}

static int vfio_add(void *vm, int fd)
{
	struct machine *m = vm;

	demand(is_open(fd));
	if (m->num_told == MACHINE_TOLD)
		return -ENOSPC;
	m->told[m->num_told++] = fd;
	return 0;
}

static void vfio_remove(void *vm, int fd)
{
	struct machine *m = vm;

	for (unsigned int i = 0; i < m->num_told; i++) {
		if (m->told[i] != fd)
			continue;
		m->told[i] = m->told[--m->num_told];
		return;
	}
	demand(!"to remove a descriptor that is known");
}

const struct iol_vm_ops machine_ops = {
	.msi_add = msi_add,
	.msi_set = msi_set,
	.msi_remove = msi_remove,
	.intx_add = intx_add,
	.intx_remove = intx_remove,
	.map = map,
	.unmap = unmap,
	.doorbell_add = doorbell_add,
	.doorbell_remove = doorbell_remove,
	.vfio_add = vfio_add,
	.vfio_remove = vfio_remove,
};

void machine_begin(struct machine *m)
{
	memset(m, 0, sizeof(*m));
	for (unsigned int i = 0; i < MACHINE_ROUTES; i++)
		m->routes[i].fd = -1;
	m->intx_fd = m->resample = -1;
}

static bool take(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	eventfd_t came;

	return poll(&p, 1, 0) == 1 && !eventfd_read(fd, &came);
}

unsigned int machine_run(struct machine *m)
{
	unsigned int came = 0;

	for (unsigned int i = 0; i < MACHINE_ROUTES; i++) {
		struct machine_route *r = &m->routes[i];

		if (r->fd < 0 || !take(r->fd))
			continue;
		r->came++;
		m->last = r->msg;
		came++;
	}
	m->came += came;
	if (m->intx_fd >= 0 && take(m->intx_fd) && !m->line) {
		m->line = true;
		m->raised++;
	}
	return came;
}

void machine_end_of_interrupt(struct machine *m)
{
	if (!m->line)
		return;
	m->line = false;
	eventfd_write(m->resample, 1);
}

void *machine_at(struct machine *m, uint64_t gpa)
{
	for (unsigned int i = 0; i < MACHINE_MAPS; i++)
		if (overlap(&m->maps[i], gpa, 1))
			return (char *)m->maps[i].host + (gpa - m->maps[i].gpa);
	return NULL;
}

void machine_end(struct machine *m)
{
	demand(!m->num_routes);
	demand(!m->num_maps);
	demand(!m->num_bells);
	demand(!m->num_told);
	demand(m->intx_fd < 0);
}
