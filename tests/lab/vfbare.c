/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What compare_vf.py measures iolane by: vfbare PF NETDEV COUNT makes VFs, gives each all settings that igb has, in one
 * message a VF, and binds it to vfio-pci. No check and no way back: the least that has to be asked of the kernel.
 */
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail(path);
	close(fd);
}

static void of(char path[256], const char *pf, const char *file)
{
	snprintf(path, 256, "/sys/bus/pci/devices/%s/%s", pf, file);
}

static void settings(struct mnl_socket *nl, int ifindex, unsigned int vf)
{
	struct ifla_vf_mac mac = { .vf = vf, .mac = { 2, 0, 0, 0, 0, (unsigned char)vf } };
	struct ifla_vf_vlan vlan = { .vf = vf, .vlan = 100 + vf, .qos = vf % 8 };
	struct ifla_vf_rate rate = { .vf = vf, .max_tx_rate = 100 * (vf + 1) };
	struct ifla_vf_spoofchk spoofchk = { .vf = vf, .setting = vf % 2 };
	struct ifla_vf_trust trust = { .vf = vf, .setting = 1 };
	char room[8192];
	struct nlmsghdr *request = mnl_nlmsg_put_header(room);
	struct nlattr *list, *one;
	struct ifinfomsg *info;
	ssize_t len;

	request->nlmsg_type = RTM_SETLINK;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	info = mnl_nlmsg_put_extra_header(request, sizeof(*info));
	info->ifi_index = ifindex;
	list = mnl_attr_nest_start(request, IFLA_VFINFO_LIST);
	one = mnl_attr_nest_start(request, IFLA_VF_INFO);
	mnl_attr_put(request, IFLA_VF_MAC, sizeof(mac), &mac);
	mnl_attr_put(request, IFLA_VF_VLAN, sizeof(vlan), &vlan);
	mnl_attr_put(request, IFLA_VF_SPOOFCHK, sizeof(spoofchk), &spoofchk);
	mnl_attr_put(request, IFLA_VF_TRUST, sizeof(trust), &trust);
	mnl_attr_put(request, IFLA_VF_RATE, sizeof(rate), &rate);
	mnl_attr_nest_end(request, one);
	mnl_attr_nest_end(request, list);
	if (mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
		fail("netlink");
	len = mnl_socket_recvfrom(nl, room, sizeof(room));
	if (len < 0 || mnl_cb_run(room, (size_t)len, 0, 0, NULL, NULL) < 0)
		fail("settings");
}

/* igb resets itself for VFs, and takes no rate until it is back. */
static void wait_carrier(const char *netdev)
{
	char path[256], carrier = '0';
	int fd;

	snprintf(path, sizeof(path), "/sys/class/net/%s/carrier", netdev);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail(path);
	while (pread(fd, &carrier, 1, 0) != 1 || carrier != '1')
		usleep(1000);
	close(fd);
}

static void bind_vf(const char *pf, unsigned int vf)
{
	char path[256], file[32], target[256];
	const char *address;
	ssize_t len;

	snprintf(file, sizeof(file), "virtfn%u", vf);
	of(path, pf, file);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		fail(path);
	target[len] = '\0';
	address = strrchr(target, '/') + 1;
	of(path, address, "driver_override");
	put(path, "vfio-pci");
	put("/sys/bus/pci/drivers/vfio-pci/bind", address);
}

int main(int argc, char **argv)
{
	struct mnl_socket *nl = mnl_socket_open(NETLINK_ROUTE);
	unsigned int count = argc == 4 ? (unsigned int)atoi(argv[3]) : 0, i;
	char path[256];

	if (!count || !nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return 2;
	of(path, argv[1], "sriov_drivers_autoprobe");
	put(path, "0");
	of(path, argv[1], "sriov_numvfs");
	put(path, argv[3]);
	wait_carrier(argv[2]);
	for (i = 0; i < count; i++)
		settings(nl, (int)if_nametoindex(argv[2]), i);
	for (i = 0; i < count; i++)
		bind_vf(argv[1], i);
	of(path, argv[1], "sriov_drivers_autoprobe");
	put(path, "1");
	mnl_socket_close(nl);
	return 0;
}
