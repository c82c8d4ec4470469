/* SPDX-License-Identifier: BSD-3-Clause */
/* Physical functions, in machines of a few files. */
#include "base/own.h"
#include "sriov/pf.h"
#include "tests/unit/host_tree.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>

#define PF "sys/bus/pci/devices/0000:01:00.0"

static void put16(uint8_t *bytes, unsigned int value)
{
	bytes[0] = (uint8_t)value;
	bytes[1] = (uint8_t)(value >> 8);
}

/* A serial number at 0x100, SR-IOV with 8 VFs, 6 of them initial, at 0x140. */
static void add_config(struct host_tree *tree, const char *path, uint8_t serial)
{
	static const uint8_t number[8] = { 0x33, 0x22, 0x11, 0xff, 0xff, 0xc9 };
	uint8_t config[4096] = { 0 };

	put16(config + 0x100, 0x0003);
	put16(config + 0x102, 0x1401);
	memcpy(config + 0x104, number, sizeof(number));
	config[0x104] = serial;
	put16(config + 0x140, 0x0010);
	put16(config + 0x142, 0x0001);
	put16(config + 0x14c, 6);
	put16(config + 0x14e, 8);
	tree_bytes(tree, path, config, sizeof(config));
}

static void add_nic(struct host_tree *tree)
{
	tree_function(tree, "0000:00:04.0", "8086:1901", "60400", "pcieport", 1);
	tree_function(tree, "0000:00:04.0/0000:01:00.0", "8086:10C9", "20000", "igb", 2);
	tree_function(tree, "0000:00:04.0/0000:01:10.0", "8086:10CA", "20000", NULL, 3);
	tree_function(tree, "0000:00:04.0/0000:01:10.2", "8086:10CA", "20000", NULL, 4);
	tree_add(tree, PF "/sriov_totalvfs = 7\n" PF "/sriov_numvfs = 2\n" PF
			  "/sriov_offset = 128\n" PF "/sriov_stride = 2\n" PF
			  "/sriov_vf_device = 10ca\n" PF "/sriov_drivers_autoprobe = 1\n" PF
			  "/ari_enabled = 1\n" PF "/numa_node = 1\n" PF
			  "/virtfn0 -> ../0000:01:10.0\n" PF "/virtfn1 -> ../0000:01:10.2\n"
			  "sys/bus/pci/devices/0000:01:10.0/physfn -> ../0000:01:00.0\n"
			  "sys/bus/pci/devices/0000:01:10.2/physfn -> ../0000:01:00.0\n"
			  "sys/class/net/eth3 -> "
			  "../../devices/pci0000:00/0000:00:04.0/0000:01:00.0/net/eth3\n");
}

/* Seven regions of the function, then those of eight VFs. */
static void add_regions(struct host_tree *tree)
{
	static const char text[] = "0x00000000fe800000 0x00000000fe81ffff 0x0000000000040200\n"
				   "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
				   "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
				   "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
				   "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
				   "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
				   "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
				   "0x0000000700000000 0x000000070001ffff 0x000000000014220c\n"
				   "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
				   "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
				   "0x0000000700020000 0x0000000700027fff 0x000000000014220c\n"
				   "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
				   "0x0000000700030000 0x0000000700030002 0x000000000014220c\n";

	tree_bytes(tree, PF "/resource", text, strlen(text));
	add_config(tree, PF "/config", 0x33);
}

/* One with two interfaces, one whose interface is elsewhere, and one that can have no VFs. */
static void add_others(struct host_tree *tree)
{
	tree_add(tree, "sys/devices/netdevsim1/sriov_numvfs = 3\n"
		       "sys/devices/netdevsim1/subsystem -> ../../bus/netdevsim\n"
		       "sys/devices/netdevsim1/driver -> ../../bus/netdevsim/drivers/netdevsim\n"
		       "sys/devices/netdevsim0/sriov_numvfs = 0\n"
		       "sys/devices/netdevsim0/sriov_totalvfs = 64\n"
		       "sys/devices/netdevsim0/subsystem -> ../../bus/netdevsim\n"
		       "sys/devices/netdevsim2/sriov_numvfs = 0\n"
		       "sys/bus/netdevsim/devices/netdevsim0 -> ../../../devices/netdevsim0\n"
		       "sys/bus/netdevsim/devices/netdevsim1 -> ../../../devices/netdevsim1\n"
		       "sys/bus/netdevsim/devices/netdevsim2 -> ../../../devices/netdevsim2\n"
		       "sys/bus/usb/devices/1-1/net/\n"
		       "sys/devices/netdevsim1/net/eni1np2/device -> ../../../netdevsim1\n"
		       "sys/devices/netdevsim1/net/eni1np1/device -> ../../../netdevsim1\n"
		       "sys/devices/netdevsim0/net/eni0np1/device -> ../../../netdevsim0\n"
		       "sys/class/net/eni1np2 -> ../../devices/netdevsim1/net/eni1np2\n"
		       "sys/class/net/eni1np1 -> ../../devices/netdevsim1/net/eni1np1\n"
		       "sys/class/net/eni0np1 -> ../../devices/netdevsim0/net/eni0np1\n"
		       "sys/class/net/lo -> ../../devices/virtual/net/lo\n"
		       "sys/devices/virtual/net/lo/flags = 0x9\n");
}

static struct iol_pf find(const struct host_tree *tree, const char *name)
{
	struct iol_pf pf;

	if (iol_pf_find(tree->host, name, &pf))
		fail_msg("%s", iol_error());
	return pf;
}

static void test_facts(void **state)
{
	struct host_tree *tree = *state;
	struct iol_pf pf;

	add_nic(tree);
	add_regions(tree);
	pf = find(tree, "eth3");
	assert_string_equal(pf.name, "0000:01:00.0");
	assert_true(pf.is_pci && pf.ari && pf.autoprobe);
	assert_string_equal(pf.driver, "igb");
	assert_string_equal(pf.netdev, "eth3");
	assert_string_equal(pf.nvme, "");
	assert_int_equal(pf.total, 7);
	assert_int_equal(pf.enabled, 2);
	assert_int_equal(pf.initial, 6);
	assert_int_equal(pf.offset, 128);
	assert_int_equal(pf.stride, 2);
	assert_int_equal(pf.vf_device, 0x10ca);
	assert_int_equal(pf.numa_node, 1);
	assert_int_equal(pf.vf_bar[0], 16384);
	assert_int_equal(pf.vf_bar[3], 4096);
	assert_int_equal(pf.vf_bar[1] | pf.vf_bar[2] | pf.vf_bar[4], 0);
	/* Not to be shared by eight. */
	assert_int_equal(pf.vf_bar[5], 0);
	pf = find(tree, "01:00.0");
	assert_string_equal(pf.name, "0000:01:00.0");
}

/* The capability is not for everybody; then a VF tells the sizes, if there is one. */
static void test_unprivileged(void **state)
{
	struct host_tree *tree = *state;
	uint8_t header[64] = { 0 };
	struct iol_pf pf;

	add_nic(tree);
	add_regions(tree);
	tree_bytes(tree, PF "/config", header, sizeof(header));
	pf = find(tree, "eth3");
	assert_int_equal(pf.initial | pf.vf_bar[0], 0);
	tree_add(tree, "sys/bus/pci/devices/0000:01:10.0/resource = "
		       "0x0000000700000000 0x0000000700003fff 0x000000000014220c");
	pf = find(tree, "eth3");
	assert_int_equal(pf.vf_bar[0], 16384);
}

static void refused(const struct host_tree *tree, const char *name, int err, const char *sentence)
{
	struct iol_pf pf;

	assert_int_equal(iol_pf_find(tree->host, name, &pf), -err);
	if (!strstr(iol_error(), sentence))
		fail_msg("%s: %s", name, iol_error());
}

static void test_none(void **state)
{
	struct host_tree *tree = *state;

	add_nic(tree);
	add_others(tree);
	refused(tree, "01:10.2", EOPNOTSUPP,
		"0000:01:10.2 is itself a VF, number 1 of 0000:01:00.0");
	refused(tree, "eth3/vf0", EOPNOTSUPP, "0000:01:10.0 is itself a VF, number 0");
	refused(tree, "00:04.0", EOPNOTSUPP, "can have no VFs");
	refused(tree, "01:00.1", ENODEV, "there is no PCI function");
	refused(tree, "netdevsim7", ENODEV, "no network interface netdevsim7");
	refused(tree, "lo", EINVAL, "lo is no PCI device's");
	refused(tree, "../netdevsim1", EINVAL, "");
	refused(tree, "", EINVAL, "");
}

static void test_others(void **state)
{
	struct host_tree *tree = *state;
	struct iol_pci_addr addr;
	struct iol_pf pf;

	add_others(tree);
	pf = find(tree, "eni1np2");
	assert_string_equal(pf.name, "netdevsim1");
	assert_string_equal(pf.netdev, "eni1np1");
	assert_string_equal(pf.driver, "netdevsim");
	assert_false(pf.is_pci);
	assert_int_equal(pf.total, UINT_MAX);
	assert_int_equal(pf.enabled, 3);
	assert_int_equal(pf.numa_node, -1);
	assert_int_equal(iol_vf_addr(tree->host, &pf, 0, &addr), -EOPNOTSUPP);
	pf = find(tree, "netdevsim0");
	assert_int_equal(pf.total, 64);
	assert_string_equal(pf.netdev, "eni0np1");
	pf = find(tree, "netdevsim2");
	assert_string_equal(pf.netdev, "");
}

/* In switchdev mode a NIC has its VFs' ports, too, whose names may come before its own. */
static void test_representors(void **state)
{
	static const struct {
		const char *port;
		bool representor;
	} rows[] = {
		{ "pf0vf0", true },  { "c1pf0vf10", true }, { "pf1sf88", true }, { "p0", false },
		{ "pf0hpf", false }, { "pf0", false },      { "pf0xf1", false },
	};
	struct host_tree *tree = *state;
	struct iol_pf pf;
	size_t i;

	add_nic(tree);
	add_others(tree);
	tree_add(tree, "sys/class/net/eth10 -> "
		       "../../devices/pci0000:00/0000:00:04.0/0000:01:00.0/net/eth10\n"
		       "sys/devices/netdevsim1/net/eni1n0/device -> ../../../netdevsim1\n"
		       "sys/class/net/eni1n0 -> ../../devices/netdevsim1/net/eni1n0\n");
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		tree_add(tree,
			 "sys/devices/pci0000:00/0000:00:04.0/0000:01:00.0/net/eth10/"
			 "phys_port_name = "
			 "%s\nsys/devices/netdevsim1/net/eni1n0/phys_port_name = %s\n",
			 rows[i].port, rows[i].port);
		pf = find(tree, "0000:01:00.0");
		assert_string_equal(pf.netdev, rows[i].representor ? "eth3" : "eth10");
		pf = find(tree, "netdevsim1");
		assert_string_equal(pf.netdev, rows[i].representor ? "eni1np1" : "eni1n0");
	}
}

static void test_list(void **state)
{
	struct host_tree *tree = *state;
	struct iol_pf *list;

	assert_int_equal(iol_pf_list(tree->host, &list), 0);
	assert_null(list);
	add_others(tree);
	add_nic(tree);
	assert_int_equal(iol_pf_list(tree->host, &list), 3);
	assert_string_equal(list[0].name, "0000:01:00.0");
	assert_string_equal(list[1].name, "netdevsim0");
	assert_string_equal(list[2].name, "netdevsim1");
	free(list);
}

static void test_arithmetic(void **state)
{
	static const struct {
		const char *pf;
		unsigned int offset, stride, index;
		const char *vf; /* NULL: there is no such place */
	} rows[] = {
		{ "0000:01:00.0", 128, 2, 0, "0000:01:10.0" },
		{ "0000:01:00.0", 128, 2, 6, "0000:01:11.4" },
		{ "0000:01:00.1", 128, 2, 1, "0000:01:10.3" },
		{ "0000:02:00.0", 1, 1, 0, "0000:02:00.1" },
		{ "0000:02:00.0", 1, 1, 7, "0000:02:01.0" },
		/* Across buses. */
		{ "0000:03:00.0", 1, 1, 254, "0000:03:1f.7" },
		{ "0000:03:00.0", 1, 1, 255, "0000:04:00.0" },
		{ "0000:03:00.0", 0x100, 8, 33, "0000:05:01.0" },
		{ "10000:03:00.0", 0x180, 1, 0, "10000:04:10.0" },
		{ "0000:fe:00.0", 1, 1, 510, "0000:ff:1f.7" },
		{ "0000:fe:00.0", 1, 1, 511, NULL },
		{ "0000:01:00.0", 65535, 65535, UINT_MAX, NULL },
		/* One needs no stride, two do. */
		{ "0000:01:00.0", 128, 0, 0, "0000:01:10.0" },
		{ "0000:01:00.0", 128, 0, 1, NULL },
		{ "0000:01:00.0", 0, 1, 1, NULL },
	};
	char text[IOL_PCI_ADDR_MAX];
	struct iol_pci_addr addr;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct iol_pf pf = { .offset = rows[i].offset, .stride = rows[i].stride };

		pf.addr = tree_addr(rows[i].pf);
		if (!rows[i].vf) {
			assert_int_equal(iol_vf_addr_at(&pf, rows[i].index, &addr), -ERANGE);
			continue;
		}
		assert_int_equal(iol_vf_addr_at(&pf, rows[i].index, &addr), 0);
		assert_string_equal(iol_pci_addr_format(&addr, text), rows[i].vf);
	}
}

static void test_addr(void **state)
{
	struct host_tree *tree = *state;
	struct iol_pci_addr addr;
	char text[IOL_PCI_ADDR_MAX];
	struct iol_pf pf;

	add_nic(tree);
	pf = find(tree, "eth3");
	assert_int_equal(iol_vf_addr(tree->host, &pf, 1, &addr), 0);
	assert_string_equal(iol_pci_addr_format(&addr, text), "0000:01:10.2");
	assert_int_equal(iol_vf_addr(tree->host, &pf, 2, &addr), -ENODEV);
	assert_non_null(strstr(iol_error(), "has no VF 2: there are 2 now"));
	/* The places move, and the link leads where they were, or nowhere. */
	tree_add(tree, PF "/sriov_stride = 4");
	assert_int_equal(iol_vf_addr(tree->host, &pf, 1, &addr), -EPROTO);
	assert_non_null(strstr(iol_error(), "0000:01:10.2 for the kernel, but 0000:01:10.4"));
	assert_int_equal(iol_vf_addr(tree->host, &pf, 0, &addr), 0);
	tree_add(tree, PF "/sriov_offset = none");
	assert_int_equal(iol_vf_addr(tree->host, &pf, 0, &addr), -EPROTO);
}

static void test_serial(void **state)
{
	struct host_tree *tree = *state;
	struct iol_pf pf;

	add_nic(tree);
	add_regions(tree);
	tree_function(tree, "0000:00:05.0/0000:02:00.0", "1B36:0010", "10802", "nvme", 6);
	tree_add(tree,
		 "sys/bus/pci/devices/0000:02:00.0/sriov_totalvfs = 4\n"
		 "sys/class/nvme/nvme0 -> "
		 "../../devices/pci0000:00/0000:00:05.0/0000:02:00.0/nvme/nvme0\n"
		 "sys/devices/pci0000:00/0000:00:05.0/0000:02:00.0/nvme/nvme0/serial = lab   ");
	assert_int_equal(iol_pf_find_serial(tree->host, "igb", "00-00-C9-ff-ff-11-22-33", &pf), 0);
	assert_string_equal(pf.name, "0000:01:00.0");
	assert_int_equal(iol_pf_find_serial(tree->host, "nvme", "lab", &pf), 0);
	assert_string_equal(pf.name, "0000:02:00.0");
	assert_int_equal(iol_pf_find_serial(tree->host, "nvme", "00-00-c9-ff-ff-11-22-33", &pf),
			 -ENODEV);
	assert_int_equal(iol_pf_find_serial(tree->host, "igb", "", &pf), -ENODEV);
	tree_function(tree, "0000:00:04.0/0000:01:00.1", "8086:10C9", "20000", "igb", 2);
	tree_add(tree, "sys/bus/pci/devices/0000:01:00.1/sriov_totalvfs = 7");
	add_config(tree, "sys/bus/pci/devices/0000:01:00.1/config", 0x33);
	assert_int_equal(iol_pf_find_serial(tree->host, "igb", "00-00-c9-ff-ff-11-22-33", &pf),
			 -ENOTUNIQ);
	assert_non_null(strstr(iol_error(), "0000:01:00.0 and 0000:01:00.1"));
	add_config(tree, "sys/bus/pci/devices/0000:01:00.1/config", 0x34);
	assert_int_equal(iol_pf_find_serial(tree->host, "igb", "00-00-c9-ff-ff-11-22-34", &pf), 0);
	assert_string_equal(pf.name, "0000:01:00.1");
}

static void test_path(void **state)
{
	static const struct {
		const char *path;
		int rc;
	} rows[] = {
		{ "pci0000:00/0000:00:04.0/0000:01:00.0", 0 },
		{ "/sys/devices/pci0000:00/0000:00:04.0/0000:01:00.0", 0 },
		{ "../../../devices/pci0000:00/0000:00:04.0/0000:01:00.0/", 0 },
		{ "pci0000:00/04.0/00.0", 0 },
		/* The bus had another number then. */
		{ "pci0000:00/0000:00:04.0/0000:02:00.0", 0 },
		{ "pci0000:00/04.0/00.1", -ENODEV },
		{ "pci0000:00/04.0", -ENODEV },
		{ "pci0000:01/04.0/00.0", -ENODEV },
		{ "pci0000:00", -EINVAL },
		{ "04.0/00.0", -EINVAL },
		{ "pci0000:00/04.0/net/eth3", -EINVAL },
		{ "pci0000:00/zz.0/00.0", -EINVAL },
		{ "", -EINVAL },
	};
	struct host_tree *tree = *state;
	struct iol_pf pf;
	char path[2000];
	size_t i;

	add_nic(tree);
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(iol_pf_find_path(tree->host, rows[i].path, &pf), rows[i].rc);
		if (!rows[i].rc)
			assert_string_equal(pf.name, "0000:01:00.0");
	}
	memset(path, 0, sizeof(path));
	memset(path, '/', sizeof(path) - 1);
	assert_int_equal(iol_pf_find_path(tree->host, path, &pf), -EINVAL);
	strcpy(path, "pci0000:00");
	for (i = 0; i < 100; i++)
		strcat(path, "/1.0");
	assert_int_equal(iol_pf_find_path(tree->host, path, &pf), -EINVAL);
	strcpy(path, "pci0:0");
	for (i = 0; i < 100; i++)
		strcat(path, "/01.0");
	/* Long, and still one. */
	assert_int_equal(iol_pf_find_path(tree->host, path, &pf), -ENODEV);
	/* Of other buses the path is the name. */
	assert_int_equal(iol_pf_find_path(tree->host, "/sys/devices/netdevsim1", &pf), -EINVAL);
	add_others(tree);
	assert_int_equal(iol_pf_find_path(tree->host, "/sys/devices/netdevsim1", &pf), 0);
	assert_string_equal(pf.name, "netdevsim1");
	assert_int_equal(iol_pf_find_path(tree->host, "../../../devices/netdevsim0", &pf), 0);
	assert_string_equal(pf.name, "netdevsim0");
	assert_int_equal(iol_pf_find_path(tree->host, "/sys/devices/netdevsim", &pf), -EINVAL);
	assert_int_equal(iol_pf_find_path(tree->host, "", &pf), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_facts, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_unprivileged, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_none, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_others, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_representors, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_list, tree_setup, tree_teardown),
		cmocka_unit_test(test_arithmetic),
		cmocka_unit_test_setup_teardown(test_addr, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_serial, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_path, tree_setup, tree_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
