/* SPDX-License-Identifier: BSD-3-Clause */
#include "sriov/devlink.h"
#include "base/error.h"
#include "base/own.h"
#include "sriov/attr.h"
#include "sriov/nl.h"
#include "vfio/grow.h"
#include "vfio/host.h"

#include <errno.h>
#include <linux/devlink.h>
#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>

static const char *const modes[] = {
	[DEVLINK_ESWITCH_MODE_LEGACY] = "legacy",
	[DEVLINK_ESWITCH_MODE_SWITCHDEV] = "switchdev",
};
#define MODES (sizeof(modes) / sizeof(modes[0]))

/* A socket, the family's number, which the kernel gives at boot, and what is asked about. */
struct devlink {
	struct nl nl;
	uint16_t family;
	char bus[IOL_NAME_MAX];
	const char *dev;
};

static void devlink_close(struct devlink *d)
{
	iol_nl_close(&d->nl);
}

#define _cleanup_devlink_ _cleanup_(devlink_close)

static struct attrs attrs_of(const struct nlmsghdr *msg)
{
	size_t len = mnl_nlmsg_get_payload_len(msg);
	const uint8_t *data = mnl_nlmsg_get_payload(msg);

	if (len < GENL_HDRLEN)
		return (struct attrs){ data, 0 };
	return (struct attrs){ data + GENL_HDRLEN, len - GENL_HDRLEN };
}

static struct nlmsghdr *genl_request(struct nl_request *room, uint16_t family, uint8_t command,
				     uint16_t flags)
{
	struct nlmsghdr *request = iol_nl_request(room, family, flags);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(request, sizeof(*genl));

	genl->cmd = command;
	genl->version = 1;
	return request;
}

static struct nlmsghdr *devlink_request(const struct devlink *d, struct nl_request *room,
					uint8_t command, uint16_t flags)
{
	struct nlmsghdr *request = genl_request(room, d->family, command, flags);

	mnl_attr_put_strz(request, DEVLINK_ATTR_BUS_NAME, d->bus);
	mnl_attr_put_strz(request, DEVLINK_ATTR_DEV_NAME, d->dev);
	return request;
}

static int see_family(const struct nlmsghdr *msg, void *opaque)
{
	struct attrs attrs = attrs_of(msg);
	struct devlink *d = opaque;
	struct attr attr;

	while (iol_attr_next(&attrs, &attr) > 0) {
		if (attr.type == CTRL_ATTR_FAMILY_ID)
			iol_attr_copy(&attr, &d->family, sizeof(d->family));
	}
	return 0;
}

/* -EOPNOTSUPP: the kernel has no devlink. */
static int devlink_open(struct devlink *d, const struct iol_host *host, const struct iol_pf *pf)
{
	struct nl_request room;
	struct nlmsghdr *request;
	int rc;

	memset(d, 0, sizeof(*d));
	d->dev = pf->name;
	if (pf->is_pci)
		strcpy(d->bus, "pci");
	else if (iol_host_link(host, d->bus, sizeof(d->bus), "sys/class/net/%s/device/subsystem",
			       pf->netdev) < 0)
		return iol_fail(EOPNOTSUPP, "%s is on no bus that is known", pf->name);
	rc = iol_nl_open(&d->nl, host, NETLINK_GENERIC);
	if (rc)
		return rc;
	request = genl_request(&room, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, NLM_F_ACK);
	mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, DEVLINK_GENL_NAME);
	rc = iol_nl_ask(&d->nl, request, see_family, d);
	if (rc == -ENOENT || (!rc && !d->family))
		return iol_fail(EOPNOTSUPP, "the kernel has no devlink");
	return rc;
}

static int see_mode(const struct nlmsghdr *msg, void *opaque)
{
	struct attrs attrs = attrs_of(msg);
	struct attr attr;
	uint16_t mode;

	while (iol_attr_next(&attrs, &attr) > 0) {
		if (attr.type == DEVLINK_ATTR_ESWITCH_MODE &&
		    iol_attr_copy(&attr, &mode, sizeof(mode)) && mode < MODES)
			strcpy(opaque, modes[mode]);
	}
	return 0;
}

int iol_pf_eswitch(const struct iol_host *host, const struct iol_pf *pf, char mode[IOL_NAME_MAX])
{
	_cleanup_devlink_ struct devlink d = { 0 };
	struct nl_request room;
	int rc;

	mode[0] = '\0';
	rc = devlink_open(&d, host, pf);
	if (!rc)
		rc = iol_nl_ask(&d.nl,
				devlink_request(&d, &room, DEVLINK_CMD_ESWITCH_GET, NLM_F_ACK),
				see_mode, mode);
	/* Most drivers have nothing to do with devlink, or with modes. */
	if (!rc || rc == -EOPNOTSUPP || rc == -ENODEV)
		return 0;
	return iol_fail_more(rc, "the eswitch mode of %s can't be read", pf->name);
}

int iol_devlink_eswitch_set(const struct iol_host *host, const struct iol_pf *pf, const char *mode)
{
	_cleanup_devlink_ struct devlink d = { 0 };
	struct nl_request room;
	struct nlmsghdr *request;
	uint16_t i;
	int rc;

	for (i = 0; i < MODES && strcmp(mode, modes[i]) != 0; i++)
		;
	if (i == MODES)
		return iol_fail(EINVAL, "\"%s\" is no eswitch mode: expected legacy or switchdev",
				mode);
	rc = devlink_open(&d, host, pf);
	if (!rc) {
		request = devlink_request(&d, &room, DEVLINK_CMD_ESWITCH_SET, NLM_F_ACK);
		mnl_attr_put_u16(request, DEVLINK_ATTR_ESWITCH_MODE, i);
		rc = iol_nl_ask(&d.nl, request, NULL, NULL);
	}
	/* A device that devlink does not know. */
	if (rc == -ENODEV || rc == -EOPNOTSUPP)
		return iol_fail(
			EOPNOTSUPP,
			"%s can't be set to eswitch mode %s: the driver %s has no modes (%s%s%s)",
			pf->name, mode, pf->driver, strerror(-rc), d.nl.said[0] ? ": " : "",
			d.nl.said);
	if (rc)
		return iol_fail_more(rc, "%s can't be set to eswitch mode %s", pf->name, mode);
	return 0;
}

struct ports {
	const struct devlink *d;
	struct iol_representor *list;
	size_t count, room;
};

/* One port of any device. Those of a VF of the host's own are wanted: a SmartNIC has other hosts' ports, too. */
static int see_port(const struct nlmsghdr *msg, void *opaque)
{
	struct attrs attrs = attrs_of(msg);
	char bus[IOL_NAME_MAX] = "", dev[IOL_NAME_MAX] = "";
	struct iol_representor port = { 0 };
	struct ports *ports = opaque;
	uint16_t flavour = UINT16_MAX, vf = UINT16_MAX;
	uint8_t external = 0;
	struct attr attr;
	int rc;

	while ((rc = iol_attr_next(&attrs, &attr)) > 0) {
		switch (attr.type) {
		case DEVLINK_ATTR_BUS_NAME:
			iol_attr_text(&attr, bus, sizeof(bus));
			break;
		case DEVLINK_ATTR_DEV_NAME:
			iol_attr_text(&attr, dev, sizeof(dev));
			break;
		case DEVLINK_ATTR_PORT_FLAVOUR:
			iol_attr_copy(&attr, &flavour, sizeof(flavour));
			break;
		case DEVLINK_ATTR_PORT_PCI_VF_NUMBER:
			iol_attr_copy(&attr, &vf, sizeof(vf));
			break;
		case DEVLINK_ATTR_PORT_EXTERNAL:
			iol_attr_copy(&attr, &external, sizeof(external));
			break;
		case DEVLINK_ATTR_PORT_NETDEV_NAME:
			iol_attr_text(&attr, port.netdev, sizeof(port.netdev));
			break;
		default:
			break;
		}
	}
	if (rc)
		return iol_fail(EPROTO, "what the kernel says of a port is not understood");
	if (strcmp(bus, ports->d->bus) != 0 || strcmp(dev, ports->d->dev) != 0 ||
	    flavour != DEVLINK_PORT_FLAVOUR_PCI_VF || vf == UINT16_MAX || external)
		return 0;
	port.index = vf;
	if (!iol_grow(&ports->list, ports->count, &ports->room, sizeof(port)))
		return iol_fail(ENOMEM, "no memory for the representors");
	ports->list[ports->count++] = port;
	return 0;
}

static int by_index(const void *a, const void *b)
{
	const struct iol_representor *x = a, *y = b;

	return (x->index > y->index) - (x->index < y->index);
}

int iol_pf_representors(const struct iol_host *host, const struct iol_pf *pf,
			struct iol_representor **list)
{
	_cleanup_devlink_ struct devlink d = { 0 };
	struct ports ports = { .d = &d };
	struct nl_request room;
	int rc;

	*list = NULL;
	rc = devlink_open(&d, host, pf);
	/* Before Linux 6.5 the kernel tells of all devices whatever is asked. */
	if (!rc)
		rc = iol_nl_ask(&d.nl, devlink_request(&d, &room, DEVLINK_CMD_PORT_GET, NLM_F_DUMP),
				see_port, &ports);
	if (!rc && ports.count) {
		qsort(ports.list, ports.count, sizeof(*ports.list), by_index);
		*list = ports.list;
		return (int)ports.count;
	}
	free(ports.list);
	if (!rc || rc == -EOPNOTSUPP || rc == -ENODEV)
		return 0;
	return iol_fail_more(rc, "the representors of %s can't be listed", pf->name);
}
