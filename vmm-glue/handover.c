/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts of a device at QEMU, from its description. */
#include "vmm-glue/handover.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* QEMU 9.2 */
#define HAS_RECONNECT_MS 902
#define RECONNECT_MS     500

/* The longest rings that QEMU gives a NIC of a vhost-user back end. */
#define NET_RING 1024

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const char id_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

int handover_check_device(const struct iol_vmm_device *d)
{
	const char *s;

	if (!d->id[0] || !strchr(letters, d->id[0]) || d->id[strspn(d->id, id_chars)] ||
	    strlen(d->id) > 40)
		return iol_fail(EINVAL,
				"\"%s\" can't be an id: take a letter, then at most 39 letters, "
				"digits, \"-\", \"_\" or \".\"",
				d->id);
	for (s = d->where; *s; s++) {
		/* No VMM has a way to write them down that others read. */
		if ((unsigned char)*s < ' ' || *s == '"' || *s == '<' || *s == '&' || *s == '\'')
			return iol_fail(EINVAL,
					"a VMM can't be told of %s: rename it, without quotes and "
					"control characters",
					d->where);
	}
	return 0;
}

int handover_check_pairs(const struct iol_vmm_guest *g)
{
	unsigned int i, k;

	for (i = 0; i < g->num_devices; i++) {
		const struct iol_vmm_device *d = &g->devices[i];

		for (k = 0; d->standby && k < g->num_devices; k++) {
			const struct iol_vmm_device *nic = &g->devices[k];

			if (nic->kind == IOL_VMM_NET && nic->stands_by &&
			    !strcmp(nic->id, d->standby))
				break;
		}
		if (d->standby && k == g->num_devices)
			return iol_fail(EINVAL, "the guest has no NIC %s to stand by for %s",
					d->standby, d->id);
	}
	return 0;
}

void handover_note(const struct iol_qemu *qemu, const char *fmt, ...)
{
	char text[IOL_ERROR_MAX];
	va_list ap;

	if (!qemu->note)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	qemu->note(qemu->ctx, text);
}

bool handover_has_socket(const struct iol_vmm_guest *g)
{
	unsigned int i;

	for (i = 0; i < g->num_devices; i++) {
		if (g->devices[i].kind != IOL_VMM_VF)
			return true;
	}
	return false;
}

void handover_add(struct json_object *array, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_object_array_add(array, json_object_new_string(text));
}

static void set_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static void set_named(struct json_object *o, const char *key, const char *id, const char *what)
{
	char text[64];

	snprintf(text, sizeof(text), "%s-%s", id, what);
	set_text(o, key, text);
}

static void set_number(struct json_object *o, const char *key, unsigned int n)
{
	json_object_object_add(o, key, json_object_new_int64(n));
}

static void set_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

/* What QEMU can do without, and what then is lost. */
static const struct {
	const char *property, *lost;
} optional[] = {
	{ "packed", "rings are split" },
	{ "rx_queue_size", "rings have their usual size" },
	{ "tx_queue_size", "rings have their usual size" },
	{ "ats", "each mapping is asked for when it is needed" },
	{ "romfile", "it may look for a boot ROM" },
};

static const char *what_is_lost(const char *property)
{
	size_t i;

	for (i = 0; i < sizeof(optional) / sizeof(optional[0]); i++) {
		if (!strcmp(optional[i].property, property))
			return optional[i].lost;
	}
	return NULL;
}

/* The first property that this QEMU has not; NULL when it has them all. */
static const char *first_unknown(const struct iol_qemu *qemu, const struct part *part)
{
	json_object_object_foreach(part->props, name, value)
	{
		(void)value;
		/* These two are everybody's. */
		if (strcmp(name, "id") != 0 && strcmp(name, "bus") != 0 &&
		    !qemu->knows(qemu->ctx, part->option, part->type, name))
			return name;
	}
	return NULL;
}

int handover_check(const struct iol_qemu *qemu, struct part *part)
{
	unsigned int major = qemu->version / 100, minor = qemu->version % 100;
	const char *name, *lost;

	/* Only of these does QEMU tell what they know. */
	if (strcmp(part->option, "device") != 0 && strcmp(part->option, "object") != 0)
		return 0;
	if (!qemu->knows(qemu->ctx, part->option, part->type, NULL))
		return iol_fail(ENOTSUP,
				"QEMU %u.%u has no %s %s: install a newer one, or the package of "
				"its modules",
				major, minor, part->option, part->type);
	while ((name = first_unknown(qemu, part))) {
		lost = what_is_lost(name);
		if (!lost)
			return iol_fail(ENOTSUP,
					"%s of QEMU %u.%u has no property %s: install a newer one",
					part->type, major, minor, name);
		handover_note(qemu, "%s of QEMU %u.%u has no property %s, so %s", part->type, major,
			      minor, name, lost);
		json_object_object_del(part->props, name);
	}
	return 0;
}

/* The next part; its properties belong to @parts. */
static struct json_object *next_part(struct parts *parts, const char *option, const char *type)
{
	struct part *part = &parts->part[parts->num++];

	*part = (struct part){ option, type, json_object_new_object() };
	return part->props;
}

static void add_chardev(struct parts *parts, const struct iol_vmm_device *d,
			const struct iol_qemu *qemu)
{
	struct json_object *o = next_part(parts, "chardev", "socket");

	set_named(o, "id", d->id, "chardev");
	set_text(o, "path", d->where);
	if (d->listen) {
		set_bool(o, "server", true);
		set_bool(o, "wait", false);
	} else if (qemu->version >= HAS_RECONNECT_MS) {
		set_number(o, "reconnect-ms", RECONNECT_MS);
	} else {
		set_number(o, "reconnect", 1);
		handover_note(qemu,
			      "QEMU %u.%u counts the time to reconnect in seconds: a back end that "
			      "was restarted is missed up to a second",
			      qemu->version / 100, qemu->version % 100);
	}
}

static struct json_object *add_device(struct parts *parts, const struct iol_vmm_device *d,
				      const char *type)
{
	struct json_object *o = next_part(parts, "device", type);

	set_text(o, "id", d->id);
	if (d->bus)
		set_text(o, "bus", d->bus);
	return o;
}

/* What all virtio devices have. */
static void add_virtio(struct json_object *o, const struct iol_vmm_device *d, bool iommu)
{
	if (d->packed)
		set_bool(o, "packed", true);
	if (iommu) {
		set_bool(o, "iommu_platform", true);
		set_bool(o, "ats", true);
	}
}

static void blk_parts(struct parts *parts, const struct iol_vmm_device *d, bool iommu,
		      const struct iol_qemu *qemu)
{
	struct json_object *o;

	add_chardev(parts, d, qemu);
	o = add_device(parts, d, "vhost-user-blk-pci");
	set_named(o, "chardev", d->id, "chardev");
	set_number(o, "num-queues", d->queues ? d->queues : 1);
	add_virtio(o, d, iommu);
}

static void net_parts(struct parts *parts, const struct iol_vmm_device *d, bool iommu,
		      const struct iol_qemu *qemu)
{
	unsigned int pairs = d->queues ? d->queues : 1;
	struct json_object *o;

	add_chardev(parts, d, qemu);
	o = next_part(parts, "netdev", "vhost-user");
	set_named(o, "id", d->id, "netdev");
	set_named(o, "chardev", d->id, "chardev");
	set_number(o, "queues", pairs);
	o = add_device(parts, d, "virtio-net-pci");
	set_named(o, "netdev", d->id, "netdev");
	if (d->mac)
		set_text(o, "mac", d->mac);
	if (d->stands_by)
		set_bool(o, "failover", true);
	if (pairs > 1) {
		set_bool(o, "mq", true);
		/* One for each queue, the control queue and changes of the configuration. */
		set_number(o, "vectors", 2 * pairs + 2);
	}
	set_number(o, "rx_queue_size", NET_RING);
	set_number(o, "tx_queue_size", NET_RING);
	/* Its file is in a package of its own, and QEMU ends without it. */
	set_text(o, "romfile", "");
	add_virtio(o, d, iommu);
}

static void vf_parts(struct parts *parts, const struct iol_vmm_device *d, const char *iommufd,
		     const struct iol_qemu *qemu)
{
	struct json_object *o = add_device(parts, d, "vfio-pci");

	set_text(o, "host", d->where);
	if (d->standby)
		set_text(o, "failover_pair_id", d->standby);
	if (iommufd)
		set_text(o, "iommufd", iommufd);
}

int handover_parts(const struct iol_vmm_device *d, const char *iommufd, bool iommu,
		   const struct iol_qemu *qemu, struct parts *parts)
{
	unsigned int i;
	int rc = handover_check_device(d);

	if (rc)
		return rc;
	if (d->kind == IOL_VMM_VF)
		vf_parts(parts, d, iommufd, qemu);
	else if (d->kind == IOL_VMM_BLK)
		blk_parts(parts, d, iommu, qemu);
	else
		net_parts(parts, d, iommu, qemu);
	for (i = 0; !rc && i < parts->num; i++)
		rc = handover_check(qemu, &parts->part[i]);
	return rc;
}

void handover_parts_clear(struct parts *parts)
{
	while (parts->num)
		json_object_put(parts->part[--parts->num].props);
}
