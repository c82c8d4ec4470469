/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs in the lab's machine, on an interface whose VFs are there:
 *   vfprobe list PF | stats PF | set PF INDEX SETTING VALUE | eswitch PF [MODE] | up PF
 * A line a VF: its index, then SETTING=VALUE for each that is known. Ends with 1 and the sentence when refused.
 */
#include "base/own.h"
#include "sriov/devlink.h"
#include "sriov/rtnl.h"
#include "vfio/host.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <iolane/base.h>
#include <iolane/sriov.h>

#define CARRIER_MS 30000

static int failed(void)
{
	printf("%s\n", iol_error());
	return 1;
}

static void find(const struct iol_host *host, const char *netdev, struct iol_pf *pf)
{
	char bus[IOL_NAME_MAX] = "";
	uint64_t enabled = 0;

	snprintf(pf->netdev, sizeof(pf->netdev), "%s", netdev);
	iol_host_link(host, pf->name, sizeof(pf->name), "sys/class/net/%s/device", netdev);
	iol_host_link(host, bus, sizeof(bus), "sys/class/net/%s/device/subsystem", netdev);
	iol_host_link(host, pf->driver, sizeof(pf->driver), "sys/class/net/%s/device/driver",
		      netdev);
	iol_host_read_u64(host, &enabled, "sys/class/net/%s/device/sriov_numvfs", netdev);
	pf->enabled = (unsigned int)enabled;
	pf->is_pci = !strcmp(bus, "pci");
}

static int list(const struct iol_host *host, const struct iol_pf *pf)
{
	char text[IOL_VF_VALUE_MAX];
	struct iol_vf_net *vfs;
	int count = iol_vf_net_list(host, pf, &vfs), i, s;

	if (count < 0)
		return failed();
	for (i = 0; i < count; i++) {
		printf("%d", i);
		for (s = 0; s < IOL_VF_SETTINGS; s++) {
			if (vfs[i].has & 1u << s)
				printf("|%s=%s", iol_vf_setting_name((enum iol_vf_setting)s),
				       iol_vf_setting_format((enum iol_vf_setting)s, &vfs[i],
							     text));
		}
		printf("\n");
	}
	free(vfs);
	return 0;
}

static int stats(const struct iol_host *host, const struct iol_pf *pf)
{
	struct iol_vf_stats *vfs;
	int count = iol_vf_stats_list(host, pf, &vfs), i;

	if (count < 0)
		return failed();
	for (i = 0; i < count; i++)
		printf("%d rx=%" PRIu64 " tx=%" PRIu64 "\n", i, vfs[i].rx_packets,
		       vfs[i].tx_packets);
	free(vfs);
	return 0;
}

static int set(const struct iol_host *host, const struct iol_pf *pf, char **argv)
{
	_cleanup_rtnl_ struct rtnl rtnl = { 0 };
	struct iol_vf_net value = { 0 };
	int setting = iol_vf_setting_find(argv[1]);

	if (setting < 0 || iol_vf_setting_parse((enum iol_vf_setting)setting, argv[2], &value) ||
	    iol_rtnl_open(&rtnl, host) ||
	    iol_rtnl_vf_set(&rtnl, pf, (unsigned int)strtoul(argv[0], NULL, 10),
			    (enum iol_vf_setting)setting, &value))
		return failed();
	return 0;
}

static int eswitch(const struct iol_host *host, const struct iol_pf *pf, const char *wanted)
{
	struct iol_representor *ports;
	char mode[IOL_NAME_MAX];
	int count, i;

	if (wanted && iol_devlink_eswitch_set(host, pf, wanted))
		return failed();
	if (iol_pf_eswitch(host, pf, mode))
		return failed();
	printf("%s\n", *mode ? mode : "none");
	count = iol_pf_representors(host, pf, &ports);
	if (count < 0)
		return failed();
	for (i = 0; i < count; i++)
		printf("%u %s\n", ports[i].index, ports[i].netdev);
	free(ports);
	return 0;
}

/* Down, up, and up with a carrier. */
static int up(const struct iol_host *host, const struct iol_pf *pf)
{
	_cleanup_rtnl_ struct rtnl rtnl = { 0 };

	if (iol_rtnl_open(&rtnl, host) || iol_rtnl_up(&rtnl, pf->netdev, false) ||
	    iol_rtnl_is_up(&rtnl, pf->netdev))
		return failed();
	if (iol_rtnl_wait_carrier(&rtnl, pf->netdev, 1) != -ETIMEDOUT)
		return failed();
	if (iol_rtnl_up(&rtnl, pf->netdev, true) || iol_rtnl_is_up(&rtnl, pf->netdev) != 1 ||
	    iol_rtnl_wait_carrier(&rtnl, pf->netdev, CARRIER_MS))
		return failed();
	return 0;
}

int main(int argc, char **argv)
{
	struct iol_host *host;
	struct iol_pf pf = { 0 };
	int rc = 2;

	if (argc < 3 || iol_host_new(NULL, &host))
		return 2;
	find(host, argv[2], &pf);
	if (!strcmp(argv[1], "list"))
		rc = list(host, &pf);
	else if (!strcmp(argv[1], "stats"))
		rc = stats(host, &pf);
	else if (!strcmp(argv[1], "set") && argc == 6)
		rc = set(host, &pf, argv + 3);
	else if (!strcmp(argv[1], "eswitch"))
		rc = eswitch(host, &pf, argc > 3 ? argv[3] : NULL);
	else if (!strcmp(argv[1], "up"))
		rc = up(host, &pf);
	iol_host_destroy(&host);
	return rc;
}
