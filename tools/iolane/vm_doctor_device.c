/* SPDX-License-Identifier: BSD-3-Clause */
/* What the doctor looks at of each device. */
#include "vm_doctor.h"

#include "vfio/host.h"

#include <stdio.h>
#include <string.h>

enum kind { OTHER, BLK, NET, VF };

/* A device of a back end: what virtio and vhost say of it. @status: NULL where QEMU does not tell. */
struct subject {
	struct patient *p;
	const char *path, *id;
	enum kind kind;
	char chardev[64], netdev[64];
	struct json_object *status;
};

static enum kind kind_of(const char *type)
{
	/* There are transitional ones, and those that are not. */
	if (!strncmp(type, "vhost-user-blk-pci", 18))
		return BLK;
	if (!strncmp(type, "virtio-net-pci", 14))
		return NET;
	return !strcmp(type, "vfio-pci") ? VF : OTHER;
}

/* "netdev: index=0,type=vhost-user,vhost-user0 to chardev", a line of what QEMU tells people. */
static bool find_chardev(const char *network, const char *netdev, char *chardev, size_t len)
{
	char start[96];
	const char *line, *to, *end;

	snprintf(start, sizeof(start), "%s: index=0,type=vhost-user,", netdev);
	line = strstr(network, start);
	end = line ? line + strcspn(line, "\r\n") : NULL;
	to = line ? strstr(line, " to ") : NULL;
	if (!to || to > end)
		return false;
	snprintf(chardev, len, "%.*s", (int)(end - to - 4), to + 4);
	return true;
}

static void text_at(struct patient *p, const char *path, const char *property, char *buf,
		    size_t len)
{
	struct json_object *o = patient_get(p, path, property);

	snprintf(buf, len, "%s",
		 json_object_is_type(o, json_type_string) ? json_object_get_string(o) : "");
	json_object_put(o);
}

/* Whether it is a back end's: a NIC may be another's. */
static bool find_subject(struct patient *p, const char *path, const char *id, const char *type,
			 struct subject *s)
{
	*s = (struct subject){ .p = p, .path = path, .id = id, .kind = kind_of(type) };
	if (s->kind == BLK)
		text_at(p, path, "chardev", s->chardev, sizeof(s->chardev));
	if (s->kind != NET)
		return s->kind == BLK;
	text_at(p, path, "netdev", s->netdev, sizeof(s->netdev));
	return *s->netdev && find_chardev(p->network, s->netdev, s->chardev, sizeof(s->chardev));
}

void doctor_count(struct patient *p, const char *path, const char *id, const char *type)
{
	struct subject s;

	if (kind_of(type) == VF)
		p->functions++;
	else if (find_subject(p, path, id, type, &s))
		p->backends++;
}

/* ---- back ends ---- */

static void check_connection(const struct subject *s, struct finding *f)
{
	struct json_object *o = array_find(s->p->chardevs, "label", s->chardev);

	if (!o)
		return;
	if (!strncmp(field_string(o, "filename"), "disconnected:", 13)) {
		finding(f, CHECK_BAD, "query-chardev", "its back end is not connected (chardev %s)",
			s->chardev);
		finding_mend(f, "start the back end again; without reconnect at its -chardev, "
				"restart QEMU, too");
		return;
	}
	finding(f, CHECK_GOOD, "query-chardev", "its back end is connected");
}

/* The argument of an option that names this id; NULL for none. */
static const char *argument_of(const struct patient *p, const char *option, const char *id)
{
	char plain[80], json[80];
	const char *arg = p->cmdline, *end = arg + p->cmdline_len, *next;

	snprintf(plain, sizeof(plain), "id=%s", id);
	snprintf(json, sizeof(json), "\"id\":\"%s\"", id);
	for (; arg && arg < end; arg = next) {
		const char *found;
		size_t len;

		next = arg + strlen(arg) + 1;
		if (strcmp(arg, option) != 0 || next >= end)
			continue;
		found = strstr(next, plain);
		len = strlen(plain);
		if (strstr(next, json) || (found && (!found[len] || found[len] == ',')))
			return next;
	}
	return NULL;
}

/* No command tells of it; of what was plugged in later nobody knows. */
static void check_reconnect(const struct subject *s, struct finding *f)
{
	const char *arg = argument_of(s->p, "-chardev", s->chardev);
	char where[64];

	if (!arg)
		return;
	snprintf(where, sizeof(where), "/proc/%d/cmdline", s->p->pid);
	if (strstr(arg, "server=on") || strstr(arg, "\"server\":true")) {
		finding(f, CHECK_GOOD, where, "QEMU listens for its back end");
	} else if (strstr(arg, "reconnect")) {
		finding(f, CHECK_GOOD, where, "QEMU connects again to a back end that comes back");
	} else {
		finding(f, CHECK_BAD, where,
			"when its back end restarts, the device is dead: QEMU does not connect "
			"again");
		finding_mend(f,
			     "reconnect-ms=500 (QEMU before 9.2: reconnect=1) at -chardev "
			     "socket,id=%s",
			     s->chardev);
	}
}

static void check_queues(const struct subject *s, struct finding *f)
{
	unsigned int queues = (unsigned int)field_count(s->status, "num-vqs");
	const char *what = s->kind == NET ? " pairs of" : "";

	if (!s->status)
		return;
	/* Of a NIC there may be a control queue besides. */
	if (s->kind == NET)
		queues /= 2;
	finding(f, queues < s->p->cpus ? CHECK_WARNING : CHECK_GOOD, "x-query-virtio-status",
		"%u%s queue%s for %u processor%s", queues, what, findings_plural(queues),
		s->p->cpus, findings_plural(s->p->cpus));
	if (queues >= s->p->cpus)
		return;
	if (s->kind == NET)
		finding_mend(f, "queues=%u at -netdev id=%s, mq=on,vectors=%u at -device id=%s",
			     s->p->cpus, s->netdev, 2 * s->p->cpus + 2, s->id);
	else
		finding_mend(f, "num-queues=%u at -device id=%s", s->p->cpus, s->id);
}

/* Whether a list of "NAME: what it is" has a name; older QEMUs have other words in it. */
static bool has(struct json_object *list, const char *name)
{
	size_t i;

	for (i = 0; i < array_length(list); i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(list, i));

		if (text && !strncmp(text, name, strlen(name)))
			return true;
	}
	return false;
}

static void check_rings(const struct subject *s, struct finding *f)
{
	struct json_object *offered = field(field(s->status, "host-features"), "transports");
	struct json_object *taken = field(field(s->status, "guest-features"), "transports");
	static const char packed[] = "VIRTIO_F_RING_PACKED", event[] = "VIRTIO_RING_F_EVENT_IDX";

	if (!s->status)
		return;
	if (!has(offered, event)) {
		finding(f, CHECK_WARNING, "x-query-virtio-status",
			"each request may be a kick and an interrupt: there is no event index");
		finding_mend(f, "event_idx=on at -device id=%s", s->id);
	} else if (!has(offered, packed)) {
		finding(f, CHECK_WARNING, "x-query-virtio-status",
			"rings are split, and not packed");
		finding_mend(f, "packed=on at -device id=%s", s->id);
	} else if (array_length(taken) && !has(taken, packed)) {
		finding(f, CHECK_GOOD, "x-query-virtio-status",
			"rings may be packed, which the guest's driver did not take");
	} else {
		finding(f, CHECK_GOOD, "x-query-virtio-status", "rings may be packed");
	}
}

static void check_protocol(const struct subject *s, const char *feature, const char *old,
			   const char *good, const char *lost, struct finding *f)
{
	struct json_object *features =
		field(field(field(s->status, "vhost-dev"), "protocol-features"), "protocols");

	/* There is none before a driver has started the device. */
	if (s->kind != BLK || !array_length(features))
		return;
	if (has(features, feature) || has(features, old)) {
		finding(f, CHECK_GOOD, "x-query-virtio-status", "%s", good);
		return;
	}
	finding(f, CHECK_WARNING, "x-query-virtio-status", "%s", lost);
	finding_mend(f, "a back end that has %s, as iolane-blk does", feature);
}

static void check_changes(const struct subject *s, struct finding *f)
{
	check_protocol(s, "VHOST_USER_PROTOCOL_F_BACKEND_REQ", "VHOST_USER_PROTOCOL_F_SLAVE_REQ",
		       "the guest learns of a new size",
		       "a new size does not reach the guest: the back end can't tell", f);
}

static void check_restart(const struct subject *s, struct finding *f)
{
	check_protocol(s, "VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD",
		       "VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD",
		       "a restart of the back end loses no request",
		       "a restart of the back end may lose requests that are under way", f);
}

static const struct {
	const char *key, *name;
	void (*run)(const struct subject *s, struct finding *f);
} checks[] = {
	{ "connection", "back end", check_connection },
	{ "reconnect", "reconnection", check_reconnect },
	{ "queues", "queues", check_queues },
	{ "rings", "rings", check_rings },
	{ "changes", "resizing", check_changes },
	{ "restart", "restarts", check_restart },
};

static void add(struct patient *p, const char *id, const char *key, const char *name,
		const struct finding *f)
{
	char keyed[128], named[128];

	snprintf(keyed, sizeof(keyed), "%s/%s", id, key);
	snprintf(named, sizeof(named), "%s: %s", id, name);
	findings_add(&p->findings, keyed, named, f);
}

static void look_at_backend(struct subject *s)
{
	struct json_object *args = json_object_new_object();
	char path[256];
	size_t i;

	snprintf(path, sizeof(path), "%s/virtio-backend", s->path);
	add_text(args, "path", path);
	s->status = patient_ask(s->p, "x-query-virtio-status", args);
	for (i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		struct finding f = { .state = CHECK_SILENT };

		checks[i].run(s, &f);
		add(s->p, s->id, checks[i].key, checks[i].name, &f);
	}
	json_object_put(s->status);
}

/* ---- functions ---- */

static void look_at_function(struct patient *p, const char *path, const char *id)
{
	struct finding f = { .state = CHECK_SILENT };
	char link[128], host[32];

	text_at(p, path, "iommufd", link, sizeof(link));
	text_at(p, path, "host", host, sizeof(host));
	if (*link) {
		finding(&f, CHECK_GOOD, "qom-get", "%s is taken by iommufd", host);
	} else if (iol_host_exists(p->host, "sys/bus/pci/devices/%s/vfio-dev", host) &&
		   iol_host_exists(p->host, "dev/iommu") &&
		   iol_host_exists(p->host, "dev/vfio/devices")) {
		finding(&f, CHECK_WARNING, "qom-get",
			"%s is taken by its group, though this kernel has iommufd", host);
		finding_mend(&f,
			     "-object iommufd,id=iommufd0, and iommufd=iommufd0 at -device id=%s",
			     id);
	} else {
		finding(&f, CHECK_GOOD, "qom-get", "%s is taken by its group", host);
	}
	add(p, id, "iommufd", "iommufd", &f);
}

void doctor_device(struct patient *p, const char *path, const char *id, const char *type)
{
	struct subject s;

	if (kind_of(type) == VF)
		look_at_function(p, path, id);
	else if (find_subject(p, path, id, type, &s))
		look_at_backend(&s);
}
