/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices that a guest shall have: from the command line to their description, with what stands in the way. */
#include "vm.h"

#include "base/error.h"
#include "tools/common/prog.h"
#include "tools/common/settings.h"
#include "vfio/host.h"

#include <iolane/sriov.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static struct vm_wishes wishes;

struct vm_wishes *vm_wishes(void)
{
	return &wishes;
}

void vm_note(void *ctx, const char *sentence)
{
	iol_log(IOL_LOG_WARNING, "%s", sentence);
}

/* ---- the command line ---- */

static const char *const kinds[] = {
	[IOL_VMM_VF] = "vf",
	[IOL_VMM_BLK] = "blk",
	[IOL_VMM_NET] = "net",
};

static int set_id(void *id, const char *what, const char *value)
{
	if (!*value || strlen(value) >= sizeof(((struct vm_wish *)NULL)->id))
		return iol_fail(EINVAL, "\"%s\" can't be an id: it is %s", value,
				*value ? "too long" : "empty");
	strcpy(id, value);
	return 0;
}

static int set_queues(void *queues, const char *what, const char *value)
{
	return opt_uint(what, value, 1, 256, queues);
}

static int set_mac(void *mac, const char *what, const char *value)
{
	unsigned int b[6];
	char end;

	if (sscanf(value, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &end) != 6 ||
	    strlen(value) != 17 || b[0] & 1)
		return iol_fail(EINVAL,
				"%s must be six bytes as in 02:00:00:00:00:01, of one station, "
				"not \"%s\"",
				what, value);
	memcpy(mac, value, 18);
	return 0;
}

#define FIELD(field) offsetof(struct vm_wish, field)
#define ROWS(table)  (sizeof(table) / sizeof((table)[0]))

/* clang-format off */
#define ID_KEY { "id", NULL, "NAME", set_id, FIELD(id) }
#define SOCKET_KEYS                                                                              \
	ID_KEY,                                                                                  \
	{ "queues",  NULL, "N",      set_queues,     FIELD(device.queues) },                     \
	{ "packed",  NULL, NULL,     setting_bool,   FIELD(device.packed) },                     \
	{ "listen",  NULL, NULL,     setting_bool,   FIELD(device.listen) },                     \
	{ "control", NULL, "SOCKET", setting_string, FIELD(control) }

static const struct setting vf_keys[] = {
	ID_KEY,
	{ "standby", NULL, "ID",     setting_string, FIELD(standby) },
};
static const struct setting blk_keys[] = { SOCKET_KEYS };
static const struct setting net_keys[] = {
	SOCKET_KEYS,
	{ "mac",     NULL, "ADDRESS", set_mac,       FIELD(mac) },
};
/* clang-format on */

static const struct settings keys[] = {
	[IOL_VMM_VF] = { vf_keys, ROWS(vf_keys), "function" },
	[IOL_VMM_BLK] = { blk_keys, ROWS(blk_keys), "disk" },
	[IOL_VMM_NET] = { net_keys, ROWS(net_keys), "NIC" },
};

/* The name comes first, and may hold what looks like a key. */
static int set_name(struct vm_wish *w, char **list)
{
	char *key, *value;
	int rc = opt_keyval(list, &key, &value);

	if (rc <= 0 || !*key)
		return rc < 0 ? rc
			      : iol_fail(EINVAL, "--%s needs a %s", kinds[w->device.kind],
					 w->device.kind == IOL_VMM_VF ? "device" : "socket");
	if (value)
		value[-1] = '=';
	w->name = key;
	return 0;
}

/* Back ends and VMMs have other working folders. */
static int make_absolute(struct vm_wish *w)
{
	_cleanup_free_ char *cwd = *w->name != '/' ? getcwd(NULL, 0) : strdup("");
	int n = cwd ? snprintf(w->where, sizeof(w->where), "%s%s%s", cwd, *cwd ? "/" : "", w->name)
		    : -1;

	/* As long as a socket's path can be. */
	if (n < 0 || n > 107)
		return iol_fail(ENAMETOOLONG, "%s is no path that a socket can have", w->name);
	return 0;
}

static int add_wish(enum iol_vmm_kind kind, const char *value)
{
	struct vm_wish *w = &wishes.wish[wishes.num];
	unsigned int i, number = 0;
	char *list, option[192];
	uint64_t seen = 0;
	int rc;

	if (wishes.num == VM_WISHES_MAX)
		return iol_fail(EINVAL, "a guest has at most %d devices here", VM_WISHES_MAX);
	for (i = 0; i < wishes.num; i++)
		number += wishes.wish[i].device.kind == kind;
	w->text = list = strdup(value);
	if (!list)
		return iol_fail(ENOMEM, "no memory for the devices");
	wishes.num++;
	w->device = (struct iol_vmm_device){ .kind = kind, .id = w->id, .where = w->where };
	snprintf(w->id, sizeof(w->id), "%s%u", kinds[kind], number);
	rc = set_name(w, &list);
	if (rc < 0)
		return rc;
	snprintf(option, sizeof(option), "--%s=%s with", kinds[kind], w->name);
	rc = settings_parse(&keys[kind], w, &seen, option, list);
	w->id_said = settings_seen(&keys[kind], seen, "id");
	w->packed_said = settings_seen(&keys[kind], seen, "packed");
	w->device.standby = w->standby;
	return rc < 0 || kind == IOL_VMM_VF ? rc : make_absolute(w);
}

int vm_device_option(int id, const char *value)
{
	switch (id) {
	case VM_VF:
		return add_wish(IOL_VMM_VF, value);
	case VM_BLK:
		return add_wish(IOL_VMM_BLK, value);
	case VM_NET:
		return add_wish(IOL_VMM_NET, value);
	default: /* VM_ASK */
		wishes.ask = true;
		return 0;
	}
}

/* ---- functions ---- */

/* The VF with a label, if there is but one. */
static int find_label(const struct iol_host *host, const char *label, struct iol_pci_addr *addr)
{
	_cleanup_free_ struct iol_pf *pfs = NULL;
	int i, n = iol_pf_list(host, &pfs), found = 0;
	unsigned int vf;

	for (i = 0; i < n; i++) {
		_cleanup_free_ char(*labels)[IOL_NAME_MAX] = NULL;

		if (!pfs[i].is_pci ||
		    iol_vf_labels(host, &pfs[i], NULL, pfs[i].enabled, &labels) < 0)
			continue;
		for (vf = 0; vf < pfs[i].enabled; vf++) {
			if (!strcmp(labels[vf], label) && !iol_vf_addr(host, &pfs[i], vf, addr))
				found++;
		}
	}
	if (found > 1)
		return iol_fail(EINVAL,
				"%d VFs have the label %s: say which, or take what iolane lease %s "
				"hands out",
				found, label, label);
	return found;
}

static int find_function(const struct iol_host *host, const char *name, struct iol_pci_addr *addr)
{
	char why[IOL_ERROR_MAX];
	int rc = iol_pci_find(host, name, addr), labelled;

	if (!rc)
		return 0;
	snprintf(why, sizeof(why), "%s", iol_error());
	labelled = find_label(host, name, addr);
	if (labelled)
		return labelled < 0 ? labelled : 0;
	return iol_fail(-rc, "%s", why);
}

/* Whether a node is there, and ours; of a copy its owner and mode say nothing of us. */
static bool can_open(const struct iol_host *host, const char *path)
{
	return host->live ? !faccessat(host->root_fd, path, R_OK | W_OK, AT_EACCESS)
			  : iol_host_exists(host, "%s", path);
}

/* The node of a function itself, where the kernel has such; empty where not. */
static void own_node(const struct iol_host *host, const char *addr, char *path, size_t len)
{
	unsigned int i;

	path[0] = '\0';
	/* Numbers are given out from 0 on. */
	for (i = 0; i < 4096 && !*path; i++) {
		if (iol_host_exists(host, "sys/bus/pci/devices/%s/vfio-dev/vfio%u", addr, i))
			snprintf(path, len, "dev/vfio/devices/vfio%u", i);
	}
}

static int check_nodes(const struct iol_host *host, struct vm_wish *w,
		       const struct iol_pci_info *info)
{
	char own[64], group[64];

	own_node(host, w->where, own, sizeof(own));
	w->device.iommufd = *own && can_open(host, own) && can_open(host, "dev/iommu");
	snprintf(group, sizeof(group), "dev/vfio/%d", info->iommu_group);
	if (w->device.iommufd || (can_open(host, group) && can_open(host, "dev/vfio/vfio")))
		return 0;
	if (!iol_host_exists(host, "%s", group))
		return iol_fail(ENODEV,
				"%s has no node /%s: iolane unbind %s and iolane bind %s make one",
				w->name, group, w->name, w->name);
	return iol_fail(EACCES,
			"you may not open /%s of %s: iolane bind %s --user=$USER gives it "
			"to you",
			group, w->name, w->name);
}

static int check_group(const struct iol_host *host, const struct vm_wish *w,
		       const struct iol_pci_info *info)
{
	_cleanup_free_ struct iol_group_member *members = NULL;
	char addr[IOL_PCI_ADDR_MAX];
	int i, n;

	if (info->iommu_group < 0)
		return iol_fail(ENODEV,
				"%s has no IOMMU group, so its DMA could go anywhere: iolane check "
				"says what to mend",
				w->name);
	n = iol_group_members(host, info->iommu_group, &members);
	for (i = 0; i < n; i++) {
		if (members[i].state == IOL_MEMBER_BLOCKS)
			return iol_fail(EBUSY,
					"%s of the IOMMU group of %s is with the driver %s: iolane "
					"bind %s --with-group takes all of it",
					iol_pci_addr_format(&members[i].pci.addr, addr), w->name,
					members[i].pci.driver, w->name);
	}
	return n < 0 ? n : 0;
}

static int check_uses(const struct iol_host *host, const struct vm_wish *w,
		      const struct iol_pci_addr *addr)
{
	_cleanup_free_ struct iol_use *uses = NULL;
	int i, n = iol_pci_uses(host, addr, &uses);

	for (i = 0; i < n; i++) {
		if (uses[i].kind == IOL_USE_PROCESS)
			return iol_fail(EBUSY, "%s is in use: %s; a device is one guest's", w->name,
					uses[i].what);
	}
	return n < 0 ? n : 0;
}

static int check_function(const struct iol_host *host, struct vm_wish *w)
{
	struct iol_pci_info info;
	struct iol_pci_addr addr;
	int rc = find_function(host, w->name, &addr);

	if (!rc)
		rc = iol_pci_info(host, &addr, &info);
	if (rc)
		return rc;
	iol_pci_addr_format(&addr, w->where);
	/* Drivers of a vendor's own are called so, too: mlx5_vfio_pci. */
	if (!strstr(info.driver, "vfio")) {
		/* What somebody has leased stays as it is. */
		rc = iol_vf_refuse_leased(host, &addr, NULL);
		if (rc)
			return rc;
		return iol_fail(EBUSY, "%s is %s%s: iolane bind %s takes it for a guest", w->name,
				info.driver[0] ? "with the driver " : "without a driver",
				info.driver, w->name);
	}
	rc = check_group(host, w, &info);
	if (!rc)
		rc = check_uses(host, w, &addr);
	return rc ? rc : check_nodes(host, w, &info);
}

/* ---- all ---- */

/* Without one of its own, a NIC has an address that is its socket's and this machine's, and stays so. */
static void derive_mac(const struct iol_host *host, struct vm_wish *w)
{
	uint64_t hash = 0xcbf29ce484222325;
	char text[192], machine[64];
	const char *s;

	if (iol_host_read(host, machine, sizeof(machine), "etc/machine-id") < 0)
		machine[0] = '\0';
	snprintf(text, sizeof(text), "%s%s", machine, w->where);
	for (s = text; *s; s++)
		hash = (hash ^ (unsigned char)*s) * 0x100000001b3;
	snprintf(w->mac, sizeof(w->mac), "52:54:00:%02x:%02x:%02x",
		 (unsigned int)(hash >> 48 & 0xff), (unsigned int)(hash >> 40 & 0xff),
		 (unsigned int)(hash >> 32 & 0xff));
}

static int check_twice(unsigned int number)
{
	const struct vm_wish *w = &wishes.wish[number];
	unsigned int i;

	for (i = 0; i < number; i++) {
		const struct vm_wish *other = &wishes.wish[i];

		if (!strcmp(other->id, w->id))
			return iol_fail(EINVAL, "two devices have the id %s: give one another",
					w->id);
		if (*w->where && !strcmp(other->where, w->where))
			return iol_fail(EINVAL, "%s is given twice: leave one out", w->name);
	}
	return 0;
}

/* The address that a VF has by its PF; -ENOENT: none. */
static int vf_mac(const struct iol_host *host, const struct vm_wish *w, char mac[18])
{
	_cleanup_free_ struct iol_vf_net *nets = NULL;
	char buf[IOL_VF_VALUE_MAX], name[IOL_PCI_ADDR_MAX];
	static const uint8_t none[6];
	struct iol_pci_addr addr;
	struct iol_pci_info info;
	struct iol_pf pf;

	if (iol_pci_addr_parse(w->where, &addr) || iol_pci_info(host, &addr, &info) ||
	    !info.is_vf || iol_pf_find(host, iol_pci_addr_format(&info.pf, name), &pf) ||
	    iol_vf_net_list(host, &pf, &nets) <= (int)info.vf_index ||
	    !(nets[info.vf_index].has & 1u << IOL_VF_MAC) ||
	    !memcmp(nets[info.vf_index].mac, none, sizeof(none)))
		return iol_fail(ENOENT,
				"%s has no address that its standby could have, too: iolane vf set "
				"%s mac=02:…",
				w->name, w->name);
	snprintf(mac, 18, "%s", iol_vf_setting_format(IOL_VF_MAC, &nets[info.vf_index], buf));
	return 0;
}

/* The NIC that stands by for a function gets its address; where both are said they are the same. */
static int pair_up(const struct iol_host *host, struct vm_wish *vf, struct vm_wish *nic)
{
	char mac[18];
	int rc = vf_mac(host, vf, mac);

	nic->device.stands_by = true;
	if (rc < 0)
		return rc;
	if (*nic->mac && strcasecmp(nic->mac, mac) != 0)
		return iol_fail(EINVAL,
				"%s has the address %s, and %s, which stands by for it, %s: the "
				"guest takes them for a pair by their address",
				vf->name, mac, nic->name, nic->mac);
	strcpy(nic->mac, mac);
	return 0;
}

static int check_pairs(const struct iol_host *host, bool force)
{
	int status = PROG_OK;
	unsigned int i, k;

	for (i = 0; i < wishes.num; i++) {
		struct vm_wish *vf = &wishes.wish[i];

		for (k = 0; vf->device.standby && k < wishes.num; k++) {
			struct vm_wish *nic = &wishes.wish[k];

			if (nic->device.kind != IOL_VMM_NET ||
			    strcmp(nic->id, vf->device.standby) != 0 || !pair_up(host, vf, nic))
				continue;
			if (force)
				vm_note(NULL, iol_error());
			else
				status = prog_fail();
		}
	}
	return status;
}

int vm_devices_check(const struct iol_host *host, unsigned int cpus, bool force)
{
	int status = PROG_OK;
	unsigned int i;

	for (i = 0; i < wishes.num; i++) {
		struct vm_wish *w = &wishes.wish[i];
		int rc = w->device.kind == IOL_VMM_VF ? check_function(host, w)
						      : vm_check_socket(w, cpus, wishes.ask);

		if (rc < 0 && force && *w->where)
			vm_note(NULL, iol_error());
		else if (rc < 0)
			status = prog_fail();
		/* Nobody can have these. */
		if (check_twice(i) < 0)
			status = prog_fail();
	}
	if (status == PROG_OK)
		status = check_pairs(host, force);
	for (i = 0; i < wishes.num; i++) {
		struct vm_wish *w = &wishes.wish[i];

		if (w->device.kind == IOL_VMM_NET && !*w->mac)
			derive_mac(host, w);
		w->device.mac = *w->mac ? w->mac : NULL;
	}
	return status;
}
