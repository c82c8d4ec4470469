/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A NIC with 256 VFs planned and applied, on a machine of files and a kernel that answers as rtnetlink does: how often it is
 * asked, and what is made of answers that can't be given, are lost or are cut short. Requests are seen where they leave libmnl's
 * hands.
 */
#include "base/own.h"
#include "sriov/apply.h"
#include "sriov/attr.h"
#include "tests/unit/host_tree.h"
#include "vfio/host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>

#define NIC    "sys/devices/netdevsim0"
#define NUMVFS NIC "/sriov_numvfs"
#define VFS    256
/* What a socket takes by default (net.core.rmem_default). */
#define SOCKET_ROOM 212992u
/* All of a VF but statistics, as the kernel puts it together. */
#define VF_ROOM 512u

/**
 * struct kernel - What answers.
 * @num_vfs: as sysfs says. @vfs: what they were given.
 * @fails: how it fails to list VFs; 0: it does not. @cut: lists end in the midst.
 * @lists: how often VFs were asked for; @looks: an interface without them; @sets: how many settings came.
 * @answer: what waits in the socket, of @len bytes; @lost: that more came than there was room for.
 */
static struct kernel {
	unsigned int num_vfs;
	struct iol_vf_net *vfs;
	int fails;
	bool cut, lost;
	unsigned int lists, looks, sets;
	uint8_t *answer;
	size_t len, room;
} kernel;

ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *nl, const void *buf, size_t len);
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags);
ssize_t __wrap_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from,
			socklen_t *from_len);
int __wrap_fsync(int fd);

/* The journal's place is a tmpfs, where this costs nothing; here it may be on a disk. */
int __wrap_fsync(int fd)
{
	return 0;
}

static struct nlmsghdr *begin(const struct nlmsghdr *request, uint16_t type, size_t room)
{
	struct nlmsghdr *msg;

	kernel.room = kernel.len + room;
	kernel.answer = realloc(kernel.answer, kernel.room);
	assert_non_null(kernel.answer);
	memset(kernel.answer + kernel.len, 0, room);
	msg = mnl_nlmsg_put_header(kernel.answer + kernel.len);
	msg->nlmsg_type = type;
	msg->nlmsg_seq = request->nlmsg_seq;
	return msg;
}

/* What no longer fits into the socket is lost, and then that is all that it tells. */
static void end(const struct nlmsghdr *msg)
{
	if (kernel.len && kernel.len > SOCKET_ROOM)
		kernel.lost = true;
	else
		kernel.len += msg->nlmsg_len;
	assert_true(kernel.len <= kernel.room);
}

static void put_error(const struct nlmsghdr *request, int err)
{
	struct nlmsghdr *msg = begin(request, NLMSG_ERROR, 64);
	struct nlmsgerr *error = mnl_nlmsg_put_extra_header(msg, sizeof(*error));

	error->error = -err;
	end(msg);
}

static void put_vf(struct nlmsghdr *msg, uint32_t vf)
{
	const struct iol_vf_net *net = &kernel.vfs[vf];
	struct ifla_vf_mac mac = { .vf = vf };
	const struct ifla_vf_vlan_info vlan = {
		vf, net->vlan, net->qos, htons(net->vlan_proto ? net->vlan_proto : ETH_P_8021Q)
	};
	const struct ifla_vf_rate rate = { vf, net->min_rate, net->max_rate };
	const struct ifla_vf_spoofchk spoofchk = { vf, net->spoofchk };
	const struct ifla_vf_trust trust = { vf, net->trust };
	const struct ifla_vf_link_state link = { vf, net->link };
	struct nlattr *entry = mnl_attr_nest_start(msg, IFLA_VF_INFO), *list;

	memcpy(mac.mac, net->mac, sizeof(net->mac));
	mnl_attr_put(msg, IFLA_VF_MAC, sizeof(mac), &mac);
	mnl_attr_put(msg, IFLA_VF_RATE, sizeof(rate), &rate);
	mnl_attr_put(msg, IFLA_VF_SPOOFCHK, sizeof(spoofchk), &spoofchk);
	mnl_attr_put(msg, IFLA_VF_LINK_STATE, sizeof(link), &link);
	mnl_attr_put(msg, IFLA_VF_TRUST, sizeof(trust), &trust);
	list = mnl_attr_nest_start(msg, IFLA_VF_VLAN_LIST);
	mnl_attr_put(msg, IFLA_VF_VLAN_INFO, sizeof(vlan), &vlan);
	mnl_attr_nest_end(msg, list);
	mnl_attr_nest_end(msg, entry);
}

/* As in rtnl_fill_ifinfo(): the list's length has 16 bits, and overflows. */
static void put_link(const struct nlmsghdr *request, bool with_vfs)
{
	struct nlmsghdr *msg = begin(request, RTM_NEWLINK, 512 + (size_t)VF_ROOM * kernel.num_vfs);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(msg, sizeof(*info));
	struct nlattr *list;
	uint32_t vf;

	info->ifi_index = 7;
	info->ifi_type = ARPHRD_ETHER;
	info->ifi_flags = IFF_UP | IFF_LOWER_UP;
	mnl_attr_put_strz(msg, IFLA_IFNAME, "eth0");
	if (with_vfs) {
		mnl_attr_put_u32(msg, IFLA_NUM_VF, kernel.num_vfs);
		list = mnl_attr_nest_start(msg, IFLA_VFINFO_LIST);
		for (vf = 0; vf < kernel.num_vfs; vf++)
			put_vf(msg, vf);
		mnl_attr_nest_end(msg, list);
	}
	if (kernel.cut)
		msg->nlmsg_len = NLMSG_ALIGN(msg->nlmsg_len / 2);
	end(msg);
}

static struct attrs attrs_of(const struct nlmsghdr *request)
{
	return (struct attrs){ mnl_nlmsg_get_payload_offset(request, sizeof(struct ifinfomsg)),
			       mnl_nlmsg_get_payload_len(request) - sizeof(struct ifinfomsg) };
}

static uint32_t mask_of(const struct nlmsghdr *request)
{
	struct attrs attrs = attrs_of(request);
	struct attr attr;
	uint32_t mask = 0;

	while (iol_attr_next(&attrs, &attr) > 0) {
		if (attr.type == IFLA_EXT_MASK)
			assert_true(iol_attr_copy(&attr, &mask, sizeof(mask)));
	}
	return mask;
}

/* All begin with the number of the VF. */
static void take(const struct attr *attr)
{
	const void *data = attr->data;
	const struct ifla_vf_vlan *vlan = data;
	const struct ifla_vf_mac *mac = data;
	const struct ifla_vf_rate *rate = data;
	const struct ifla_vf_spoofchk *word = data;
	struct iol_vf_net *net;

	assert_true(word->vf < kernel.num_vfs);
	net = &kernel.vfs[word->vf];
	switch (attr->type) {
	case IFLA_VF_MAC:
		memcpy(net->mac, mac->mac, sizeof(net->mac));
		break;
	case IFLA_VF_VLAN:
		net->vlan = (uint16_t)vlan->vlan;
		net->qos = (uint8_t)vlan->qos;
		break;
	case IFLA_VF_RATE:
		net->min_rate = rate->min_tx_rate;
		net->max_rate = rate->max_tx_rate;
		break;
	case IFLA_VF_SPOOFCHK:
		net->spoofchk = word->setting;
		break;
	case IFLA_VF_TRUST:
		net->trust = word->setting;
		break;
	default:
		fail_msg("setting %u", attr->type);
	}
	kernel.sets++;
}

static void take_all(const struct nlmsghdr *request)
{
	struct attrs lists = attrs_of(request), entries, attrs;
	struct attr list, entry, attr;

	while (iol_attr_next(&lists, &list) > 0) {
		assert_int_equal(list.type, IFLA_VFINFO_LIST);
		for (entries = iol_attr_nested(&list); iol_attr_next(&entries, &entry) > 0;)
			for (attrs = iol_attr_nested(&entry); iol_attr_next(&attrs, &attr) > 0;)
				take(&attr);
	}
}

ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *nl, const void *buf, size_t len)
{
	const struct nlmsghdr *request = buf;
	bool acked = request->nlmsg_flags & NLM_F_ACK;
	bool with_vfs;

	kernel.len = 0;
	switch (request->nlmsg_type) {
	case RTM_GETLINK:
		with_vfs = mask_of(request) & RTEXT_FILTER_VF;
		*(with_vfs ? &kernel.lists : &kernel.looks) += 1;
		if (with_vfs && kernel.fails) {
			put_error(request, kernel.fails);
			return (ssize_t)len;
		}
		put_link(request, with_vfs);
		break;
	case RTM_SETLINK:
		take_all(request);
		break;
	default:
		fail_msg("request %u", request->nlmsg_type);
	}
	if (acked)
		put_error(request, 0);
	return (ssize_t)len;
}

ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags)
{
	assert_int_equal(flags, MSG_PEEK | MSG_TRUNC);
	if (kernel.lost) {
		errno = ENOBUFS;
		return -1;
	}
	/* A test that waits for what never comes shall not wait. */
	assert_true(kernel.len);
	return (ssize_t)((const struct nlmsghdr *)(const void *)kernel.answer)->nlmsg_len;
}

/* One message a time, as the kernel sends them; what does not fit is cut off. */
ssize_t __wrap_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from,
			socklen_t *from_len)
{
	const struct nlmsghdr *msg = (const void *)kernel.answer;
	size_t all = msg->nlmsg_len, n = all < len ? all : len;
	struct sockaddr_nl kernel_addr = { .nl_family = AF_NETLINK };

	memcpy(from, &kernel_addr, sizeof(kernel_addr));
	*from_len = sizeof(kernel_addr);
	memcpy(buf, kernel.answer, n);
	kernel.len -= all;
	memmove(kernel.answer, kernel.answer + all, kernel.len);
	return (ssize_t)n;
}

struct env {
	struct host_tree tree;
	struct iol_want_vf vf[VFS];
	struct iol_want_pf pf;
	struct iol_state state;
	struct iol_change_opts opts;
	char dir[64];
	unsigned int warnings;
};

static void count_warning(void *opaque, enum iol_log_level level, const char *line)
{
	struct env *e = opaque;

	e->warnings += level == IOL_LOG_WARNING && strstr(line, "too much for one answer");
}

static void want(struct iol_want_vf *vf, unsigned int i)
{
	*vf = (struct iol_want_vf){ .first = i, .last = i, .queues = -1, .interrupts = -1 };
	vf->net = (struct iol_vf_net){
		.has = 1u << IOL_VF_MAC | 1u << IOL_VF_VLAN | 1u << IOL_VF_SPOOFCHK |
		       1u << IOL_VF_TRUST | 1u << IOL_VF_RATE,
		.mac = { 2, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i },
		.vlan = (uint16_t)(1 + i),
		.vlan_proto = ETH_P_8021Q,
		.qos = i % 8,
		.spoofchk = true,
		.trust = true,
		.min_rate = 1 + i,
		.max_rate = 1000 + i,
	};
}

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	unsigned int i;

	assert_non_null(e);
	kernel = (struct kernel){ .num_vfs = VFS };
	kernel.vfs = calloc(UINT16_MAX, sizeof(*kernel.vfs));
	assert_non_null(kernel.vfs);
	tree_make(&e->tree);
	tree_add(&e->tree,
		 NUMVFS " = %u\n" NIC "/subsystem -> ../../bus/netdevsim\n" NIC
			"/driver -> ../../bus/netdevsim/drivers/netdevsim\n"
			"sys/bus/netdevsim/devices/netdevsim0 -> "
			"../../../devices/netdevsim0\n" NIC
			"/net/eth0/device -> ../../../netdevsim0\n"
			"sys/class/net/eth0 -> ../../devices/netdevsim0/net/eth0\n"
			"proc/sys/kernel/random/boot_id = 1-2-3\n",
		 VFS);
	e->tree.host->live = true;
	snprintf(e->dir, sizeof(e->dir), "%s/run", e->tree.path);
	e->opts.state_dir = e->dir;
	assert_int_equal(iol_pf_find(e->tree.host, "eth0", &e->pf.pf), 0);
	e->pf.vfs = -1;
	e->pf.vf = e->vf;
	e->pf.num_vf = VFS;
	e->state = (struct iol_state){ &e->pf, 1 };
	for (i = 0; i < VFS; i++)
		want(&e->vf[i], i);
	iol_log_set(count_warning, e, IOL_LOG_WARNING);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	iol_log_set(NULL, NULL, IOL_LOG_ERROR);
	tree_remove(&e->tree);
	free(e);
	free(kernel.vfs);
	free(kernel.answer);
	return 0;
}

/* How often VFs were asked for since the last time. */
static unsigned int lists(void)
{
	unsigned int n = kernel.lists;

	kernel.lists = 0;
	return n;
}

static int planned(struct env *e)
{
	int rc;

	e->opts.dry_run = true;
	rc = iol_apply(e->tree.host, &e->state, &e->opts);
	e->opts.dry_run = false;
	return rc;
}

static void expect_set(const struct env *e)
{
	unsigned int i;

	for (i = 0; i < VFS; i++) {
		const struct iol_vf_net *is = &kernel.vfs[i], *want = &e->vf[i].net;

		assert_memory_equal(is->mac, want->mac, sizeof(is->mac));
		assert_int_equal(is->vlan, want->vlan);
		assert_int_equal(is->qos, want->qos);
		assert_int_equal(is->min_rate, want->min_rate);
		assert_int_equal(is->max_rate, want->max_rate);
		assert_true(is->spoofchk && is->trust);
	}
}

/* One list to plan by, one to read back what was set; a request a setting. */
static void test_asked_once(void **state)
{
	struct env *e = *state;

	assert_int_equal(planned(e), 5 * VFS);
	assert_int_equal(lists(), 1);
	assert_int_equal(kernel.sets, 0);
	assert_int_equal(iol_apply(e->tree.host, &e->state, &e->opts), 5 * VFS);
	assert_int_equal(lists(), 2);
	assert_int_equal(kernel.sets, 5 * VFS);
	expect_set(e);
	assert_int_equal(planned(e), 0);
	assert_int_equal(lists(), 1);
	/* Whether it is up, in each of the three. */
	assert_true(kernel.looks <= 3);
	assert_int_equal(iol_apply_undo(e->tree.host, &e->opts), 5 * VFS);
	assert_int_equal(lists(), 1);
	assert_int_equal(kernel.vfs[VFS - 1].vlan, 0);
	assert_int_equal(e->warnings, 0);
}

/* VFs that come with the change are not asked about before. */
static void test_new(void **state)
{
	struct env *e = *state;

	/* What another owner left, and nobody says anything of. */
	kernel.vfs[VFS - 1] = (struct iol_vf_net){ .vlan = 5, .qos = 3, .trust = true };
	e->pf.num_vf = VFS - 1;
	/* As long as what is written over it. */
	tree_add(&e->tree, NUMVFS " = 000");
	assert_int_equal(iol_pf_find(e->tree.host, "eth0", &e->pf.pf), 0);
	e->pf.vfs = VFS;
	assert_int_equal(planned(e), 5 * (VFS - 1) + 1);
	assert_int_equal(lists(), 0);
	assert_int_equal(iol_apply(e->tree.host, &e->state, &e->opts), 5 * (VFS - 1) + 1);
	assert_int_equal(lists(), 2);
	assert_int_equal(kernel.vfs[VFS - 1].vlan | kernel.vfs[VFS - 1].qos, 0);
	assert_false(kernel.vfs[VFS - 1].trust);
	kernel.vfs[VFS - 1] = e->vf[VFS - 1].net;
	expect_set(e);
}

/* All that there may be are more than a socket has room for beside anything else. */
static void test_large(void **state)
{
	struct env *e = *state;
	struct iol_vf_net *list;
	unsigned int i;

	kernel.num_vfs = UINT16_MAX;
	for (i = 0; i < UINT16_MAX; i++)
		kernel.vfs[i].vlan = (uint16_t)(i % 4095);
	assert_int_equal(iol_vf_net_list(e->tree.host, &e->pf.pf, &list), UINT16_MAX);
	for (i = 0; i < UINT16_MAX; i++)
		assert_int_equal(list[i].vlan, i % 4095);
	free(list);
}

/* Then nothing is known of the VFs, which is said; they can be set all the same, and undone are left alone. */
static void test_no_list(void **state)
{
	static const int fails[] = { EMSGSIZE, ENOBUFS };
	struct env *e = *state;
	struct iol_vf_net *list;
	size_t i;

	for (i = 0; i < sizeof(fails) / sizeof(fails[0]); i++) {
		kernel.fails = fails[i];
		assert_int_equal(iol_vf_net_list(e->tree.host, &e->pf.pf, &list), VFS);
		assert_int_equal(list[0].has | list[VFS - 1].has, 0);
		free(list);
		assert_int_equal(e->warnings, 1);
		lists();
		kernel.sets = 0;
		assert_int_equal(iol_apply(e->tree.host, &e->state, &e->opts), 5 * VFS);
		assert_int_equal(lists(), 2);
		assert_int_equal(kernel.sets, 5 * VFS);
		expect_set(e);
		e->warnings = 0;
	}
	kernel.fails = EACCES;
	assert_int_equal(iol_vf_net_list(e->tree.host, &e->pf.pf, &list), -EACCES);
	assert_null(list);
}

/* What is not whole is not believed, and nothing is changed by it. */
static void test_cut_short(void **state)
{
	struct env *e = *state;

	kernel.cut = true;
	assert_int_equal(iol_apply(e->tree.host, &e->state, &e->opts), -EPROTO);
	assert_non_null(strstr(iol_error(), "eth0"));
	assert_non_null(strstr(iol_error(), "not understood"));
	assert_int_equal(kernel.sets, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_asked_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_short, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
