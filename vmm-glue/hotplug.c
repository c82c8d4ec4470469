/* SPDX-License-Identifier: BSD-3-Clause */
/* Plugging a device into a running QEMU and taking it out, over its monitor. */
#include "vmm-glue/handover.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* How often somebody is told that it is being waited for. */
#define TELL_MS 1000
/* A device that is gone for the guest is closed a moment later. */
#define CLOSE_TRIES    40
#define CLOSE_PAUSE_MS 50

#define _cleanup_json_ _cleanup_(put)

static void put(struct json_object **o)
{
	json_object_put(*o);
}

static struct json_object *named(const char *key, const char *text)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, key, json_object_new_string(text));
	return o;
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;
	const char *text;

	json_object_object_get_ex(o, key, &value);
	text = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
	return text ? text : "";
}

/* The members of an object of QEMU's: an array of { name, type }. */
static int list(struct iol_qmp *q, const char *path, struct json_object **members)
{
	int rc = iol_qmp_call(q, "qom-list", named("path", path), members);

	if (rc || json_object_is_type(*members, json_type_array))
		return rc;
	json_object_put(iol_take_ptr(*members));
	return iol_fail(EPROTO, "what the monitor says of %s is no list", path);
}

/* The first member of a list with this name, or of this type; NULL for none. */
static struct json_object *find(struct json_object *members, const char *key, const char *text)
{
	size_t i;

	for (i = 0; members && i < json_object_array_length(members); i++) {
		struct json_object *o = json_object_array_get_idx(members, i);

		if (!strcmp(text_of(o, key), text))
			return o;
	}
	return NULL;
}

/* A property that is a text, or "" where there is none. Return: 0, or a negative errno of the connection. */
static int get_text(struct iol_qmp *q, const char *path, const char *property, char *buf,
		    size_t len)
{
	_cleanup_json_ struct json_object *value = NULL;
	struct json_object *args = named("path", path);
	const char *text;
	int rc;

	buf[0] = '\0';
	json_object_object_add(args, "property", json_object_new_string(property));
	rc = iol_qmp_call(q, "qom-get", args, &value);
	if (rc)
		return rc == -EREMOTEIO ? 0 : rc;
	text = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
	snprintf(buf, len, "%s", text ? text : "");
	return 0;
}

/* Where QEMU keeps devices: those with an id, and the others. */
static const char *const places[] = { "/machine/peripheral", "/machine/peripheral-anon" };

/* ---- a port to plug into ---- */

static bool is_port(const char *type)
{
	return !strcmp(type, "child<pcie-root-port>") || !strcmp(type, "child<xio3130-downstream>");
}

/* Whether something can be plugged into a port, and by which bus. Return: 1, 0, or a negative errno. */
static int look_at_port(struct iol_qmp *q, const char *path, char bus[64])
{
	_cleanup_json_ struct json_object *members = NULL, *children = NULL, *value = NULL;
	struct json_object *args = named("path", path), *o;
	char at[256];
	size_t i;
	int rc = list(q, path, &members);

	o = find(members, "type", "child<PCIE>");
	if (rc || !o) {
		json_object_put(args);
		return rc;
	}
	snprintf(bus, 64, "%s", text_of(o, "name"));
	json_object_object_add(args, "property", json_object_new_string("hotplug"));
	rc = iol_qmp_call(q, "qom-get", args, &value);
	if (rc && rc != -EREMOTEIO)
		return rc;
	if (!rc && !json_object_get_boolean(value))
		return 0;
	snprintf(at, sizeof(at), "%s/%s", path, bus);
	rc = list(q, at, &children);
	for (i = 0; !rc && i < json_object_array_length(children); i++) {
		if (!strncmp(text_of(json_object_array_get_idx(children, i), "name"), "child[", 6))
			return 0;
	}
	return rc ? rc : 1;
}

/* The port of this name, or the first that is free. Return: 1, 0 when there is none, or a negative errno. */
static int find_port(struct iol_qmp *q, const char *wanted, char bus[64])
{
	size_t i, j;
	int rc = 0;

	for (i = 0; i < 2; i++) {
		_cleanup_json_ struct json_object *members = NULL;

		rc = list(q, places[i], &members);
		for (j = 0; !rc && j < json_object_array_length(members); j++) {
			struct json_object *o = json_object_array_get_idx(members, j);
			char path[192];

			if (!is_port(text_of(o, "type")))
				continue;
			snprintf(path, sizeof(path), "%s/%s", places[i], text_of(o, "name"));
			rc = look_at_port(q, path, bus);
			if (rc > 0 && wanted && strcmp(wanted, bus) != 0)
				rc = 0;
		}
		if (rc)
			return rc;
	}
	return 0;
}

static int choose_port(struct iol_qmp *q, const char *wanted, char bus[64])
{
	int rc = find_port(q, wanted, bus);

	if (rc > 0)
		return 0;
	if (rc < 0)
		return rc;
	if (wanted)
		return iol_fail(ENOSPC,
				"%s is no free PCIe port that devices can be plugged into: leave "
				"it out, and a free one is taken",
				wanted);
	return iol_fail(ENOSPC, "the guest has no free PCIe port: take a device out, or start it "
				"with -device pcie-root-port,id=spare0,chassis=50 (iolane vm args "
				"--ports makes some)");
}

/* ---- what a QEMU knows, by its monitor ---- */

struct known {
	struct iol_qmp *qmp;
	struct json_object *props;
	char type[64];
	int rc; /* of the connection */
};

static bool knows(void *ctx, const char *option, const char *type, const char *property)
{
	struct known *k = ctx;
	bool device = !strcmp(option, "device");
	int rc;

	if (strcmp(k->type, type) != 0) {
		json_object_put(iol_take_ptr(k->props));
		snprintf(k->type, sizeof(k->type), "%s", type);
		rc = iol_qmp_call(k->qmp, device ? "device-list-properties" : "qom-list-properties",
				  named("typename", type), &k->props);
		if (rc && rc != -EREMOTEIO)
			k->rc = rc;
	}
	if (!json_object_is_type(k->props, json_type_array))
		return false;
	return !property || find(k->props, "name", property);
}

/* ---- plugging in ---- */

static struct json_object *chardev_args(struct json_object *props)
{
	struct json_object *o = named("id", text_of(props, "id")), *backend, *data, *addr;

	addr = named("type", "unix");
	json_object_object_add(addr, "data", named("path", text_of(props, "path")));
	data = json_object_new_object();
	json_object_object_add(data, "addr", addr);
	json_object_object_add(data, "server", json_object_new_boolean(false));
	json_object_object_foreach(props, name, value)
	{
		if (strcmp(name, "id") != 0 && strcmp(name, "path") != 0)
			json_object_object_add(data, name, json_object_get(value));
	}
	backend = named("type", "socket");
	json_object_object_add(backend, "data", data);
	json_object_object_add(o, "backend", backend);
	return o;
}

/* The commands that make and remove the parts of each option, and what the first calls the type. */
static const struct {
	const char *option, *add, *type, *remove;
} commands[] = {
	{ "object", "object-add", "qom-type", "object-del" },
	{ "chardev", "chardev-add", NULL, "chardev-remove" },
	{ "netdev", "netdev_add", "type", "netdev_del" },
	{ "device", "device_add", "driver", "device_del" },
};

static size_t command_of(const char *option)
{
	size_t i = 0;

	while (strcmp(commands[i].option, option) != 0)
		i++;
	return i;
}

static int add_part(struct iol_qmp *q, const struct part *part)
{
	size_t i = command_of(part->option);
	struct json_object *args;

	if (!commands[i].type) {
		args = chardev_args(part->props);
	} else {
		args = named(commands[i].type, part->type);
		json_object_object_foreach(part->props, name, value)
		{
			json_object_object_add(args, name, json_object_get(value));
		}
	}
	return iol_qmp_call(q, commands[i].add, args, NULL);
}

/* What is not there is removed already: QEMU takes a netdev's chardev away with it. */
static int remove_named(struct iol_qmp *q, const char *option, const char *id)
{
	int rc = iol_qmp_call(q, commands[command_of(option)].remove, named("id", id), NULL);

	return rc == -EREMOTEIO ? 0 : rc;
}

static int add_parts(struct iol_qmp *q, const struct parts *parts)
{
	char why[IOL_ERROR_MAX];
	unsigned int i;
	int rc = 0, undone = 0;

	for (i = 0; !rc && i < parts->num; i++)
		rc = add_part(q, &parts->part[i]);
	if (!rc)
		return 0;
	snprintf(why, sizeof(why), "%s", iol_error());
	for (i--; i > 0 && !undone; i--)
		undone = remove_named(q, parts->part[i - 1].option,
				      text_of(parts->part[i - 1].props, "id"));
	if (undone || rc != -EREMOTEIO)
		return iol_fail(-rc, "%s; what was made for it may be left in QEMU", why);
	return iol_fail(-rc, "%s", why);
}

/* Whether the guest has an IOMMU, so that its devices are to be behind it. */
static int has_iommu(struct iol_qmp *q, bool *iommu)
{
	size_t i;
	int rc = 0;

	*iommu = false;
	for (i = 0; !rc && i < 2; i++) {
		_cleanup_json_ struct json_object *members = NULL;

		rc = list(q, places[i], &members);
		*iommu |= find(members, "type", "child<intel-iommu>") ||
			  find(members, "type", "child<amd-iommu>") ||
			  find(members, "type", "child<virtio-iommu-pci>");
	}
	return rc;
}

/* The iommufd that the guest has, or one to make. Return: 1 when it is to be made, 0, or a negative errno. */
static int choose_iommufd(struct iol_qmp *q, struct known *k, char id[64])
{
	_cleanup_json_ struct json_object *members = NULL;
	struct json_object *o;
	int rc = list(q, "/objects", &members);

	if (rc)
		return rc;
	o = find(members, "type", "child<iommufd>");
	snprintf(id, 64, "%s", o ? text_of(o, "name") : HANDOVER_IOMMUFD_ATTACHED);
	if (o)
		return 0;
	if (!knows(k, "object", "iommufd", NULL) || !knows(k, "device", "vfio-pci", "iommufd"))
		id[0] = '\0';
	return *id != '\0';
}

static int check_id(struct iol_qmp *q, const char *id)
{
	_cleanup_json_ struct json_object *members = NULL;
	int rc = list(q, places[0], &members);

	if (!rc && find(members, "name", id))
		return iol_fail(EEXIST, "the guest has a device %s already: give another --id", id);
	return rc;
}

static int make_parts(struct iol_qmp *q, const struct iol_vmm_device *d,
		      const struct iol_qemu *qemu, struct parts *parts)
{
	struct known *k = qemu->ctx;
	char iommufd[64] = "";
	bool iommu;
	int rc = has_iommu(q, &iommu);

	if (!rc && d->kind == IOL_VMM_VF && d->iommufd)
		rc = choose_iommufd(q, k, iommufd);
	if (rc < 0)
		return rc;
	if (rc) {
		parts->part[parts->num++] =
			(struct part){ "object", "iommufd", named("id", iommufd) };
	}
	rc = handover_parts(d, *iommufd ? iommufd : NULL, iommu, qemu, parts);
	/* What is said to be unknown may not have been asked. */
	return k->rc ? k->rc : rc;
}

/* A back end reaches what is shared with it only, and QEMU would say nothing. */
static int check_shared(struct iol_qmp *q)
{
	_cleanup_json_ struct json_object *backends = NULL;
	struct json_object *share;
	size_t i, n;
	int rc = iol_qmp_call(q, "query-memdev", NULL, &backends);

	if (rc)
		return rc;
	n = json_object_is_type(backends, json_type_array) ? json_object_array_length(backends) : 0;
	for (i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(backends, i);

		share = NULL;
		json_object_object_get_ex(o, "share", &share);
		if (!json_object_get_boolean(share))
			return iol_fail(ENOTSUP,
					"the guest's memory (%s) is not shared, so no back end can "
					"reach it: start it with -object "
					"memory-backend-memfd,id=mem,size=SIZE,share=on -machine "
					"memory-backend=mem",
					text_of(o, "id"));
	}
	return 0;
}

struct attach {
	struct known known; /* first: it is what the context points to */
	void (*note)(void *ctx, const char *sentence);
	void *ctx;
};

static void pass_note(void *ctx, const char *sentence)
{
	const struct attach *a = ctx;

	if (a->note)
		a->note(a->ctx, sentence);
}

int iol_vm_attach(struct iol_qmp *qmp, const struct iol_vmm_device *device,
		  void (*note)(void *ctx, const char *sentence), void *ctx, char bus[64])
{
	struct attach a = { .known.qmp = qmp, .note = note, .ctx = ctx };
	struct iol_qemu qemu = { iol_qmp_version(qmp), knows, pass_note, &a };
	struct iol_vmm_device d = *device;
	struct parts parts = { 0 };
	char port[64];
	int rc = check_id(qmp, d.id);

	if (!rc && d.kind != IOL_VMM_VF)
		rc = check_shared(qmp);
	if (!rc)
		rc = choose_port(qmp, d.bus, port);
	d.bus = port;
	if (!rc)
		rc = make_parts(qmp, &d, &qemu, &parts);
	if (!rc)
		rc = add_parts(qmp, &parts);
	if (!rc && bus)
		snprintf(bus, 64, "%s", port);
	handover_parts_clear(&parts);
	json_object_put(a.known.props);
	return rc;
}

/* ---- taking out ---- */

/* What belongs to a device. */
struct belongings {
	char chardev[64], netdev[64], iommufd[64];
};

static int look_at_device(struct iol_qmp *q, const char *id, struct iol_vm_detached *d,
			  struct belongings *b)
{
	char path[128], link[128];
	int rc;

	snprintf(path, sizeof(path), "%s/%s", places[0], id);
	rc = get_text(q, path, "chardev", b->chardev, sizeof(b->chardev));
	if (!rc)
		rc = get_text(q, path, "netdev", b->netdev, sizeof(b->netdev));
	if (!rc && *b->netdev && !*b->chardev)
		snprintf(b->chardev, sizeof(b->chardev), "%.40s-chardev", id);
	if (rc || strcmp(d->driver, "vfio-pci") != 0)
		return rc;
	rc = get_text(q, path, "host", d->host, sizeof(d->host));
	if (!rc)
		rc = get_text(q, path, "iommufd", link, sizeof(link));
	if (!rc && !strcmp(link, "/objects/" HANDOVER_IOMMUFD_ATTACHED))
		snprintf(b->iommufd, sizeof(b->iommufd), HANDOVER_IOMMUFD_ATTACHED);
	return rc;
}

/* Objects are in use until the device is closed, and this one for as long as another device is taken by it. */
static int remove_iommufd(struct iol_qmp *q, const char *id)
{
	const struct timespec pause = { 0, CLOSE_PAUSE_MS * (long)IOL_NS_PER_MS };
	unsigned int i;
	int rc = 0;

	for (i = 0; i < CLOSE_TRIES; i++) {
		rc = iol_qmp_call(q, "object-del", named("id", id), NULL);
		if (rc != -EREMOTEIO)
			return rc;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* Whether another device is taken by the same iommufd. Return: 1, 0, or a negative errno. */
static int is_shared(struct iol_qmp *q, const char *id)
{
	_cleanup_json_ struct json_object *members = NULL;
	char path[192], link[128], wanted[96];
	size_t i;
	int rc = list(q, places[0], &members);

	snprintf(wanted, sizeof(wanted), "/objects/%s", id);
	for (i = 0; !rc && i < json_object_array_length(members); i++) {
		struct json_object *o = json_object_array_get_idx(members, i);

		if (strcmp(text_of(o, "type"), "child<vfio-pci>") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", places[0], text_of(o, "name"));
		rc = get_text(q, path, "iommufd", link, sizeof(link));
		if (!rc && !strcmp(link, wanted))
			return 1;
	}
	return rc;
}

static int remove_belongings(struct iol_qmp *q, const struct belongings *b)
{
	int rc = 0;

	if (*b->netdev)
		rc = remove_named(q, "netdev", b->netdev);
	if (!rc && *b->chardev)
		rc = remove_named(q, "chardev", b->chardev);
	if (rc || !*b->iommufd)
		return rc;
	rc = is_shared(q, b->iommufd);
	return rc ? (rc < 0 ? rc : 0) : remove_iommufd(q, b->iommufd);
}

/* A device that went when nobody waited any more may have left something. */
static int remove_leftovers(struct iol_qmp *q, const char *id)
{
	_cleanup_json_ struct json_object *chardevs = NULL;
	struct belongings b = { 0 };
	int rc;

	snprintf(b.chardev, sizeof(b.chardev), "%.40s-chardev", id);
	snprintf(b.netdev, sizeof(b.netdev), "%.40s-netdev", id);
	rc = iol_qmp_call(q, "query-chardev", NULL, &chardevs);
	if (rc)
		return rc;
	if (!json_object_is_type(chardevs, json_type_array) || !find(chardevs, "label", b.chardev))
		return iol_fail(ENODEV, "the guest has no device %s", id);
	return remove_belongings(q, &b);
}

static int ask_to_let_go(struct iol_qmp *q, const char *id)
{
	int rc = iol_qmp_call(q, "device_del", named("id", id), NULL);

	/* Asked before, by somebody who did not wait for it. */
	if (rc == -EREMOTEIO && strstr(iol_error(), "already in the process of unplug"))
		return 0;
	return rc;
}

/* What an event says of the device. Return: 1 when it is gone, 0 when nothing, or -EBUSY. */
static int look_at_event(struct json_object *event, const char *id)
{
	struct json_object *data = NULL;
	const char *name = text_of(event, "event");

	json_object_object_get_ex(event, "data", &data);
	if (strcmp(text_of(data, "device"), id) != 0)
		return 0;
	if (!strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR"))
		return iol_fail(EBUSY,
				"the guest does not let %s go: something there uses it; look at "
				"its kernel's log",
				id);
	return !strcmp(name, "DEVICE_DELETED");
}

static int not_let_go(struct iol_qmp *q, const char *id, unsigned int ms)
{
	_cleanup_json_ struct json_object *status = NULL;
	const char *word;
	int rc = iol_qmp_call(q, "query-status", NULL, &status);

	if (rc)
		return rc;
	word = text_of(status, "status");
	if (strcmp(word, "running") != 0)
		return iol_fail(ETIMEDOUT,
				"the guest can't let %s go while it is \"%s\": let it run, and "
				"detach again",
				id, word);
	return iol_fail(ETIMEDOUT,
			"the guest has not let %s go in %.1f s: it has not started yet, or takes "
			"no part in hot-plug; it may still let go later: detach again then",
			id, ms / 1000.0);
}

static int wait_gone(struct iol_qmp *q, const char *id, const struct iol_vm_detach_opts *opts)
{
	uint64_t start = iol_now(), end = start + opts->timeout_ms * IOL_NS_PER_MS, now;
	int rc;

	while ((now = iol_now()) < end) {
		_cleanup_json_ struct json_object *event = NULL;
		uint64_t left = (end - now) / IOL_NS_PER_MS + 1;

		if (opts->waiting)
			opts->waiting(opts->ctx, (unsigned int)((now - start) / IOL_NS_PER_MS));
		rc = iol_qmp_event(q, left < TELL_MS ? (unsigned int)left : TELL_MS, &event);
		if (rc > 0)
			rc = look_at_event(event, id);
		if (rc)
			return rc < 0 ? rc : 0;
	}
	return not_let_go(q, id, opts->timeout_ms);
}

int iol_vm_detach(struct iol_qmp *qmp, const char *id, const struct iol_vm_detach_opts *opts,
		  struct iol_vm_detached *detached)
{
	_cleanup_json_ struct json_object *members = NULL;
	struct belongings b = { 0 };
	struct json_object *o;
	const char *type;
	int rc = list(qmp, places[0], &members);

	*detached = (struct iol_vm_detached){ 0 };
	if (rc)
		return rc;
	o = find(members, "name", id);
	if (!o)
		return remove_leftovers(qmp, id);
	type = text_of(o, "type");
	if (strncmp(type, "child<", 6) != 0)
		return iol_fail(ENODEV, "the guest has no device %s", id);
	snprintf(detached->driver, sizeof(detached->driver), "%.*s", (int)strcspn(type + 6, ">"),
		 type + 6);
	rc = look_at_device(qmp, id, detached, &b);
	if (!rc)
		rc = ask_to_let_go(qmp, id);
	if (!rc)
		rc = wait_gone(qmp, id, opts);
	return rc ? rc : remove_belongings(qmp, &b);
}
