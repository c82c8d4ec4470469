/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernel says of VFs: good, too long for a netlink attribute, cut short and false. */
#include "base/error.h"
#include "base/own.h"
#include "sriov/link.h"
#include "sriov/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A message that is put together; nests' lengths overflow as the kernel's do. */
struct msg {
	uint8_t *data;
	size_t len, room;
};

static void put_bytes(struct msg *m, const void *bytes, size_t len)
{
	if (m->len + len > m->room) {
		m->room = 2 * (m->room + len);
		m->data = realloc(m->data, m->room);
		assert_non_null(m->data);
	}
	memcpy(m->data + m->len, bytes, len);
	m->len += len;
}

static size_t open_nest(struct msg *m, uint16_t type)
{
	const struct nlattr head = { .nla_type = type };

	put_bytes(m, &head, sizeof(head));
	return m->len - sizeof(head);
}

static void set_length(struct msg *m, size_t nest, size_t len)
{
	const uint16_t lower = (uint16_t)len;

	memcpy(m->data + nest, &lower, sizeof(lower));
}

static void close_nest(struct msg *m, size_t nest)
{
	set_length(m, nest, m->len - nest);
}

static void put(struct msg *m, uint16_t type, const void *data, size_t len)
{
	static const uint8_t padding[3];
	size_t nest = open_nest(m, type);

	put_bytes(m, data, len);
	close_nest(m, nest);
	put_bytes(m, padding, NLA_ALIGN(len) - len);
}

static void put_pair(struct msg *m, uint16_t type, uint32_t vf, uint32_t value)
{
	const uint32_t pair[] = { vf, value };

	put(m, type, pair, sizeof(pair));
}

/* All that a kernel says of a VF, in its order; 196 bytes, or 296. */
static void put_vf(struct msg *m, uint32_t vf, bool stats)
{
	const struct ifla_vf_mac mac = { vf, { 2, 0, 0, 0, (uint8_t)(vf >> 8), (uint8_t)vf } };
	const struct ifla_vf_vlan vlan = { vf, 1 + vf % 4094, vf % 8 };
	const struct ifla_vf_vlan_info info = { vf, 1 + vf % 4094, vf % 8, htons(ETH_P_8021AD) };
	const struct ifla_vf_rate rate = { vf, vf, 2 * vf };
	const struct ifla_vf_broadcast broadcast = { { 0xff } };
	size_t entry = open_nest(m, IFLA_VF_INFO), nest;
	uint16_t i;

	put(m, IFLA_VF_MAC, &mac, sizeof(mac));
	put(m, IFLA_VF_BROADCAST, &broadcast, sizeof(broadcast));
	put(m, IFLA_VF_VLAN, &vlan, sizeof(vlan));
	put(m, IFLA_VF_RATE, &rate, sizeof(rate));
	put_pair(m, IFLA_VF_TX_RATE, vf, 2 * vf);
	put_pair(m, IFLA_VF_SPOOFCHK, vf, 1);
	put_pair(m, IFLA_VF_LINK_STATE, vf, IFLA_VF_LINK_STATE_DISABLE);
	put_pair(m, IFLA_VF_RSS_QUERY_EN, vf, UINT32_MAX);
	put_pair(m, IFLA_VF_TRUST, vf, 0);
	nest = open_nest(m, IFLA_VF_VLAN_LIST);
	put(m, IFLA_VF_VLAN_INFO, &info, sizeof(info));
	close_nest(m, nest);
	nest = open_nest(m, IFLA_VF_STATS);
	for (i = IFLA_VF_STATS_RX_PACKETS; stats && i <= IFLA_VF_STATS_MAX; i++) {
		const uint64_t count = 1000ull * vf + i;

		if (i != IFLA_VF_STATS_PAD)
			put(m, i, &count, sizeof(count));
	}
	if (stats)
		close_nest(m, nest);
	else
		m->len = nest;
	close_nest(m, entry);
}

static void begin(struct msg *m, uint16_t type)
{
	const struct ifinfomsg info = { .ifi_index = 3, .ifi_type = type, .ifi_flags = 1 };

	*m = (struct msg){ 0 };
	put_bytes(m, &info, sizeof(info));
	put(m, IFLA_IFNAME, "eth0", 5);
}

static void put_count(struct msg *m, uint32_t count)
{
	put(m, IFLA_NUM_VF, &count, sizeof(count));
}

static void end(struct msg *m)
{
	put(m, IFLA_PARENT_DEV_NAME, "0000:01:00.0", 13);
}

/* VFs from @first on, of so many that there are. */
static void put_list(struct msg *m, uint32_t count, uint32_t first, uint32_t listed, bool stats)
{
	size_t list;

	put_count(m, count);
	list = open_nest(m, IFLA_VFINFO_LIST);
	while (listed--)
		put_vf(m, first++, stats);
	close_nest(m, list);
	end(m);
}

/* In memory of its very size, so that a sanitizer sees a byte too far. */
static int parse(struct msg *m, size_t len, struct link *link)
{
	uint8_t *exact = malloc(len ? len : 1);
	int rc;

	assert_non_null(exact);
	memcpy(exact, m->data, len);
	rc = iol_link_parse(exact, len, link);
	free(exact);
	return rc;
}

static void check_vf(const struct link *link, uint32_t vf, bool stats)
{
	const struct iol_vf_net *net = &link->vfs[vf].net;
	const struct iol_vf_stats *s = &link->vfs[vf].stats;

	assert_int_equal(net->has, ((1u << IOL_VF_SETTINGS) - 1) & ~(1u << IOL_VF_RSS_QUERY));
	assert_int_equal(net->mac[0], 2);
	assert_int_equal(net->mac[4] << 8 | net->mac[5], vf);
	assert_int_equal(net->vlan, 1 + vf % 4094);
	assert_int_equal(net->qos, vf % 8);
	assert_int_equal(net->vlan_proto, ETH_P_8021AD);
	assert_true(net->spoofchk);
	assert_false(net->trust);
	assert_int_equal(net->link, IOL_VF_LINK_DISABLE);
	assert_int_equal(net->min_rate, vf);
	assert_int_equal(net->max_rate, 2 * vf);
	assert_int_equal(link->vfs[vf].counted, stats);
	assert_int_equal(s->rx_packets, stats ? 1000 * vf : 0);
	assert_int_equal(s->tx_dropped, stats ? 1000 * vf + IFLA_VF_STATS_TX_DROPPED : 0);
}

/* The list's length overflows from 335 VFs on, with statistics from 222 on, and again and again. */
static void test_counts(void **state)
{
	static const uint32_t counts[] = {
		0, 1, 7, 221, 222, 256, 334, 335, 400, 669, 2000, 65535
	};
	struct link link;
	struct msg m;
	uint32_t vf;
	size_t i;

	for (i = 0; i < 2 * sizeof(counts) / sizeof(counts[0]); i++) {
		uint32_t count = counts[i / 2];

		begin(&m, ARPHRD_ETHER);
		put_list(&m, count, 0, count, i % 2);
		assert_int_equal(parse(&m, m.len, &link), 0);
		assert_int_equal(link.num_vfs, count);
		assert_int_equal(link.index, 3);
		assert_int_equal(link.flags, 1);
		assert_string_equal(link.parent, "0000:01:00.0");
		for (vf = 0; vf < count; vf++)
			check_vf(&link, vf, i % 2);
		iol_link_clear(&link);
		free(m.data);
	}
}

/* A driver may know nothing of some, or of all. */
static void test_not_told(void **state)
{
	struct link link;
	struct msg m;

	begin(&m, ARPHRD_ETHER);
	put_list(&m, 500, 40, 400, false);
	assert_int_equal(parse(&m, m.len, &link), 0);
	assert_int_equal(link.num_vfs, 500);
	assert_false(link.vfs[39].told);
	assert_int_equal(link.vfs[39].net.has, 0);
	check_vf(&link, 40, false);
	check_vf(&link, 439, false);
	assert_false(link.vfs[440].told);
	iol_link_clear(&link);
	free(m.data);

	begin(&m, ARPHRD_ETHER);
	put_count(&m, 2);
	end(&m);
	assert_int_equal(parse(&m, m.len, &link), 0);
	assert_int_equal(link.num_vfs, 2);
	assert_false(link.vfs[0].told);
	iol_link_clear(&link);
	free(m.data);
}

/* One VF of two, made by hand. */
static void test_values(void **state)
{
	static const struct {
		uint16_t type;
		uint32_t value;
		unsigned int has;
	} rows[] = {
		{ IFLA_VF_SPOOFCHK, UINT32_MAX, 0 },
		{ IFLA_VF_SPOOFCHK, 0, 1u << IOL_VF_SPOOFCHK },
		{ IFLA_VF_TRUST, 4, 1u << IOL_VF_TRUST },
		{ IFLA_VF_RSS_QUERY_EN, 1, 1u << IOL_VF_RSS_QUERY },
		{ IFLA_VF_LINK_STATE, 2, 1u << IOL_VF_LINK },
		{ IFLA_VF_LINK_STATE, 3, 0 },
		{ IFLA_VF_MAX + 1, 0, 0 },
	};
	size_t i, list, entry;
	struct link link;
	struct msg m;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct ifla_vf_mac mac = { 1, { 2 } };

		begin(&m, ARPHRD_INFINIBAND);
		put_count(&m, 2);
		list = open_nest(&m, IFLA_VFINFO_LIST | NLA_F_NESTED);
		entry = open_nest(&m, IFLA_VF_INFO | NLA_F_NESTED);
		put(&m, IFLA_VF_MAC, &mac, sizeof(mac));
		put_pair(&m, rows[i].type, 1, rows[i].value);
		close_nest(&m, entry);
		close_nest(&m, list);
		assert_int_equal(parse(&m, m.len, &link), 0);
		assert_true(link.vfs[1].told);
		/* An address of InfiniBand is no MAC. */
		assert_int_equal(link.vfs[1].net.has, rows[i].has);
		iol_link_clear(&link);
		free(m.data);
	}
}

static void put_vlans(struct msg *m, const struct ifla_vf_vlan *vlan,
		      const struct ifla_vf_vlan_info *info, unsigned int count)
{
	size_t list, entry, nest;

	begin(m, ARPHRD_ETHER);
	put_count(m, 1);
	list = open_nest(m, IFLA_VFINFO_LIST);
	entry = open_nest(m, IFLA_VF_INFO);
	put(m, IFLA_VF_VLAN, vlan, sizeof(*vlan));
	if (count) {
		nest = open_nest(m, IFLA_VF_VLAN_LIST);
		while (count--)
			put(m, IFLA_VF_VLAN_INFO, info, sizeof(*info));
		close_nest(m, nest);
	}
	close_nest(m, entry);
	close_nest(m, list);
}

static void test_vlans(void **state)
{
	const struct ifla_vf_vlan plain = { 0, 5, 1 }, wrong = { 0, 4096, 0 };
	const struct ifla_vf_vlan_info info = { 0, 6, 2, htons(ETH_P_8021Q) };
	const struct ifla_vf_vlan_info none = { 0, 0, 0, 0 };
	const struct ifla_vf_vlan_info priority = { 0, 0, 3, htons(ETH_P_8021AD) };
	const struct ifla_vf_vlan_info odd = { 0, 6, 2, htons(ETH_P_IP) };
	const struct {
		const struct ifla_vf_vlan *vlan;
		const struct ifla_vf_vlan_info *info;
		unsigned int count;
		const char *expected; /* NULL: not known */
	} rows[] = {
		{ &plain, NULL, 0, "5 qos 1" }, /* before Linux 4.9 */
		{ &wrong, NULL, 0, NULL },      { &plain, &info, 1, "6 qos 2" },
		{ &plain, &info, 2, NULL },     { &plain, &odd, 1, NULL },
		{ &plain, &none, 1, "0" },      { &plain, &priority, 1, "0 qos 3 802.1ad" },
	};
	char text[IOL_VF_VALUE_MAX];
	struct link link;
	struct msg m;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put_vlans(&m, rows[i].vlan, rows[i].info, rows[i].count);
		assert_int_equal(parse(&m, m.len, &link), 0);
		assert_int_equal(link.vfs[0].net.has, rows[i].expected ? 1u << IOL_VF_VLAN : 0);
		if (rows[i].expected)
			assert_string_equal(iol_vf_setting_format(IOL_VF_VLAN, &link.vfs[0].net,
								  text),
					    rows[i].expected);
		iol_link_clear(&link);
		free(m.data);
	}
}

static void refused(struct msg *m, size_t len)
{
	struct link link;

	iol_set_error(EIO, "%s", "nothing");
	assert_int_equal(parse(m, len, &link), -EPROTO);
	assert_non_null(strstr(iol_error(), "not understood"));
	iol_link_clear(&link);
}

/* Cut anywhere, a message is not understood, or says less. */
static void test_cut(void **state)
{
	struct link link;
	struct msg m;
	size_t len;
	int rc;

	begin(&m, ARPHRD_ETHER);
	put_list(&m, 3, 0, 3, true);
	for (len = 0; len < m.len; len++) {
		rc = parse(&m, len, &link);
		assert_true(rc == 0 || rc == -EPROTO);
		iol_link_clear(&link);
	}
	free(m.data);

	/* In the midst of a list whose length overflowed. */
	begin(&m, ARPHRD_ETHER);
	put_list(&m, 400, 0, 400, false);
	refused(&m, m.len - 40 * 196);
	refused(&m, m.len - 40 * 196 - 10);
	free(m.data);
}

/* Lists that are not what they say. */
static void test_false_lists(void **state)
{
	struct msg m;
	size_t list, entry;

	/* More than there are, and one twice. */
	begin(&m, ARPHRD_ETHER);
	put_list(&m, 2, 0, 3, false);
	refused(&m, m.len);
	free(m.data);
	begin(&m, ARPHRD_ETHER);
	put_list(&m, 3, 2, 2, false);
	refused(&m, m.len);
	free(m.data);
	begin(&m, ARPHRD_ETHER);
	put_count(&m, 3);
	list = open_nest(&m, IFLA_VFINFO_LIST);
	put_vf(&m, 1, false);
	put_vf(&m, 1, false);
	close_nest(&m, list);
	refused(&m, m.len);

	/* A length that is neither right nor overflowed. */
	set_length(&m, list, m.len - list - 196);
	refused(&m, m.len);
	set_length(&m, list, 0);
	refused(&m, m.len);
	free(m.data);

	/* No number of VFs before it, two, and too many. */
	begin(&m, ARPHRD_ETHER);
	list = open_nest(&m, IFLA_VFINFO_LIST);
	put_vf(&m, 0, false);
	close_nest(&m, list);
	refused(&m, m.len);
	free(m.data);
	begin(&m, ARPHRD_ETHER);
	put_count(&m, 1);
	put_count(&m, 1);
	refused(&m, m.len);
	free(m.data);
	begin(&m, ARPHRD_ETHER);
	put_count(&m, LINK_VFS_MAX + 1);
	refused(&m, m.len);
	free(m.data);

	/* Two lists. */
	begin(&m, ARPHRD_ETHER);
	put_list(&m, 1, 0, 1, false);
	list = open_nest(&m, IFLA_VFINFO_LIST);
	close_nest(&m, list);
	refused(&m, m.len);
	free(m.data);

	/* A VF without a number, of two numbers, and with a setting cut short. */
	begin(&m, ARPHRD_ETHER);
	put_count(&m, 2);
	list = open_nest(&m, IFLA_VFINFO_LIST);
	entry = open_nest(&m, IFLA_VF_INFO);
	close_nest(&m, entry);
	close_nest(&m, list);
	refused(&m, m.len);
	put_pair(&m, IFLA_VF_TRUST, 0, 1);
	close_nest(&m, entry);
	close_nest(&m, list);
	put_pair(&m, IFLA_VF_SPOOFCHK, 1, 1);
	close_nest(&m, entry);
	close_nest(&m, list);
	refused(&m, m.len);
	free(m.data);
	begin(&m, ARPHRD_ETHER);
	put_count(&m, 2);
	list = open_nest(&m, IFLA_VFINFO_LIST);
	entry = open_nest(&m, IFLA_VF_INFO);
	put(&m, IFLA_VF_MAC, &(uint32_t[]){ 0, 2 }, 8);
	close_nest(&m, entry);
	close_nest(&m, list);
	refused(&m, m.len);
	free(m.data);
}

/* The running kernel has this interface; its VFs it has not. */
static void test_kernel(void **state)
{
	struct iol_pf pf = { .name = "lo", .netdev = "lo" };
	_cleanup_rtnl_ struct rtnl rtnl;
	struct iol_vf_net value = { 0 }, *list = NULL;
	struct iol_host *host;
	int rc;

	assert_int_equal(iol_host_new(NULL, &host), 0);
	assert_int_equal(iol_rtnl_open(&rtnl, host), 0);
	rc = iol_rtnl_is_up(&rtnl, "lo");
	assert_true(rc == 0 || rc == 1);
	assert_int_equal(iol_rtnl_is_up(&rtnl, "nosuch0"), -ENODEV);
	assert_non_null(strstr(iol_error(), "nosuch0"));
	assert_int_equal(iol_rtnl_is_up(&rtnl, "much-too-long-a-name"), -ENODEV);
	assert_int_equal(iol_rtnl_vfs(&rtnl, &pf, &list), 0);
	assert_null(list);
	/* Whoever may not, and whoever may: lo has no such setting. */
	rc = iol_rtnl_vf_set(&rtnl, &pf, 0, IOL_VF_TRUST, &value);
	assert_true(rc == -EPERM || rc == -EOPNOTSUPP);
	assert_non_null(strstr(iol_error(), "lo/vf0 can't be given trust off"));
	pf.netdev[0] = '\0';
	assert_int_equal(iol_vf_net_list(host, &pf, &list), -EOPNOTSUPP);
	assert_non_null(strstr(iol_error(), "no network interface"));
	iol_host_destroy(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts), cmocka_unit_test(test_not_told),
		cmocka_unit_test(test_values), cmocka_unit_test(test_vlans),
		cmocka_unit_test(test_cut),    cmocka_unit_test(test_false_lists),
		cmocka_unit_test(test_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
