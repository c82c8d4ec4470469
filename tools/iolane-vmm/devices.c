/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices.h"

#include "base/error.h"

#include <linux/virtio_ids.h>

/* The address space that all functions passed through share. */
static int open_context(struct machine *m)
{
	int rc = 0;

	if (!m->host)
		rc = iol_host_new(NULL, &m->host);
	if (!rc && !m->ctx)
		rc = iol_context_new(m->host, NULL, &m->ctx);
	return rc;
}

static int open_vfio(struct machine *m, const char *name, unsigned int slot)
{
	struct iol_passthrough_spec spec = {
		.ops = &iol_kvm_vm_ops,
		.vm = m->glue,
		.slot = slot,
	};
	int rc = open_context(m);

	if (!rc)
		rc = iol_pci_find(m->host, name, &spec.device.addr);
	if (rc < 0)
		return rc;
	spec.ctx = m->ctx;
	return iol_passthrough_new(&spec, &m->pci.fn[slot]);
}

static int open_virtio(struct machine *m, uint16_t type, const char *path, unsigned int slot)
{
	const struct iol_virtio_spec spec = {
		.type = type,
		.path = path,
		.cpus = m->opts->cpus,
		.memory = m->memory,
		.ops = &iol_kvm_vm_ops,
		.vm = m->glue,
		.slot = slot,
	};

	return iol_virtio_new(&spec, &m->pci.fn[slot]);
}

static int open_one(struct machine *m, const struct device *device, unsigned int slot)
{
	switch (device->kind) {
	case DEVICE_VFIO:
		return open_vfio(m, device->name, slot);
	case DEVICE_BLK:
		return open_virtio(m, VIRTIO_ID_BLOCK, device->name, slot);
	default:
		return open_virtio(m, VIRTIO_ID_NET, device->name, slot);
	}
}

int devices_open(struct machine *m)
{
	static const char *const options[] = { "--vfio", "--blk", "--net" };
	unsigned int i;
	int rc;

	for (i = 0; i < m->opts->num_devices; i++) {
		const struct device *device = &m->opts->devices[i];

		rc = open_one(m, device, i + 1);
		if (rc < 0)
			return iol_fail_more(rc, "%s=%s", options[device->kind], device->name);
	}
	/* Type1 takes memory only when there is a device. */
	return m->ctx ? iol_guest_memory_attach(m->memory, &iol_context_memory, m->ctx) : 0;
}

void devices_close(struct machine *m)
{
	unsigned int slot;

	for (slot = 0; slot < PCI_SLOTS; slot++) {
		if (m->pci.fn[slot])
			pci_host_remove(&m->pci, slot);
	}
	if (m->ctx) {
		iol_guest_memory_detach(m->memory, m->ctx);
		iol_context_destroy(&m->ctx);
	}
	if (m->host)
		iol_host_destroy(&m->host);
}
