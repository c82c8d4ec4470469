/* SPDX-License-Identifier: BSD-3-Clause */
/* ACS, IOMMUs and reserved regions, in machines of a few files. */
#include "base/own.h"
#include "tests/unit/host_tree.h"
#include "vfio/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>

static void put16(uint8_t *p, unsigned int value)
{
	p[0] = (uint8_t)value;
	p[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *p, uint32_t value)
{
	put16(p, value & 0xffff);
	put16(p + 2, value >> 16);
}

#define CONVENTIONAL (-1)
#define NO_ACS       (-1)

/* A function's configuration space: power management, then PCI Express; AER, then ACS. */
static void make_config(uint8_t config[CONFIG_EXT_SIZE], int type, bool multifunction, int cap,
			int ctrl)
{
	memset(config, 0, CONFIG_EXT_SIZE);
	put16(config + 0x06, 0x10);
	config[0x0e] = multifunction ? 0x80 : 0;
	config[0x34] = 0x40;
	config[0x40] = 0x01;
	if (type == CONVENTIONAL)
		return;
	config[0x41] = 0x70;
	config[0x70] = CAP_PCIE;
	put16(config + 0x72, 2 | (unsigned int)type << 4);
	put32(config + 0x100, 0x14820001);
	put32(config + 0x148, cap == NO_ACS ? 0x00010003 : 0x0001000d);
	if (cap != NO_ACS) {
		put16(config + 0x14c, (unsigned int)cap);
		put16(config + 0x14e, (unsigned int)ctrl);
	}
}

static void add_config(struct host_tree *tree, const char *name, int type, bool multifunction,
		       int cap, int ctrl)
{
	uint8_t config[CONFIG_EXT_SIZE];
	char path[128];

	make_config(config, type, multifunction, cap, ctrl);
	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/config", name);
	tree_bytes(tree, path, config, type == CONVENTIONAL ? CONFIG_SIZE : CONFIG_EXT_SIZE);
}

/* What a function alone at the root would have missing. */
static void test_acs_rules(void **state)
{
	static const struct {
		int type;
		bool multifunction;
		int cap, ctrl;
		unsigned int missing;
	} rows[] = {
		/* Endpoints: alone, then one of several functions. */
		{ 0, false, NO_ACS, 0, 0 },
		{ 0, false, 0x7f, 0, 0 },
		{ 0, true, NO_ACS, 0, IOL_ACS_REQUIRED },
		{ 0, true, 0x00, 0, 0 },
		{ 1, true, 0x0c, 0x04, IOL_ACS_COMPLETION_REDIRECT },
		{ 9, true, 0x0c, 0x0c, 0 },
		/* Root ports and downstream ports. */
		{ 4, false, NO_ACS, 0, IOL_ACS_REQUIRED },
		{ 4, false, 0x5f, 0x1d, 0 },
		{ 4, true, 0x5f, 0x1f, 0 },
		{ 4, false, 0x5f, 0x00, IOL_ACS_REQUIRED },
		{ 6, false, 0x5f, 0x0d, IOL_ACS_UPSTREAM_FORWARDING },
		{ 6, false, 0x0f, 0x0d, 0 },
		/* Upstream ports. */
		{ 5, false, NO_ACS, 0, 0 },
		{ 5, true, NO_ACS, 0, IOL_ACS_REQUIRED },
		/* Conventional functions can't have it. */
		{ CONVENTIONAL, false, NO_ACS, 0, 0 },
		{ CONVENTIONAL, true, NO_ACS, 0, IOL_ACS_REQUIRED },
	};
	struct iol_pci_addr addr = tree_addr("00:1c.0");
	struct host_tree *tree = *state;
	struct iol_acs_hop *hops;
	size_t i;

	tree_function(tree, "0000:00:1c.0", "8086:1234", "20000", NULL, 1);
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		add_config(tree, "0000:00:1c.0", rows[i].type, rows[i].multifunction, rows[i].cap,
			   rows[i].ctrl);
		assert_int_equal(iol_acs_path(tree->host, &addr, &hops), 1);
		assert_true(hops->readable);
		assert_int_equal(hops->type, rows[i].type);
		assert_int_equal(hops->multifunction, rows[i].multifunction);
		assert_int_equal(hops->has_acs, rows[i].cap != NO_ACS);
		assert_int_equal(hops->missing, rows[i].missing);
		if (hops->has_acs) {
			assert_int_equal(hops->cap, rows[i].cap);
			assert_int_equal(hops->ctrl, rows[i].ctrl);
		}
		free(hops);
	}
}

/* Through a switch; then through a bridge to a conventional bus. */
static void test_acs_path(void **state)
{
	static const char *const up[] = { "04:00.0", "03:01.0", "02:00.0", "00:1c.0" };
	struct iol_pci_addr addr = tree_addr("04:00.0"), conventional = tree_addr("06:03.0"), hop;
	struct host_tree *tree = *state;
	struct iol_acs_hop *hops;
	size_t i;

	tree_function(tree, "0000:00:1c.0", "8086:1", "60400", "pcieport", 1);
	tree_function(tree, "0000:00:1c.0/0000:02:00.0", "8086:2", "60400", "pcieport", 1);
	tree_function(tree, "0000:00:1c.0/0000:02:00.0/0000:03:01.0", "8086:3", "60400", "pcieport",
		      1);
	tree_function(tree, "0000:00:1c.0/0000:02:00.0/0000:03:01.0/0000:04:00.0", "8086:4",
		      "20000", NULL, 1);
	add_config(tree, "0000:00:1c.0", 4, true, 0x5f, 0x1d);
	add_config(tree, "0000:02:00.0", 5, false, NO_ACS, 0);
	add_config(tree, "0000:03:01.0", 6, true, NO_ACS, 0);
	add_config(tree, "0000:04:00.0", 0, false, NO_ACS, 0);
	assert_int_equal(iol_acs_path(tree->host, &addr, &hops), 4);
	for (i = 0; i < 4; i++) {
		hop = tree_addr(up[i]);
		assert_true(iol_pci_addr_equal(&hops[i].addr, &hop));
		assert_int_equal(hops[i].missing, i == 1 ? IOL_ACS_REQUIRED : 0);
	}
	free(hops);

	tree_function(tree, "0000:00:1c.0/0000:05:00.0", "8086:5", "60400", NULL, 1);
	tree_function(tree, "0000:00:1c.0/0000:05:00.0/0000:06:03.0", "8086:6", "20000", NULL, 1);
	add_config(tree, "0000:05:00.0", 7, false, NO_ACS, 0);
	add_config(tree, "0000:06:03.0", CONVENTIONAL, false, NO_ACS, 0);
	assert_int_equal(iol_acs_path(tree->host, &conventional, &hops), 3);
	assert_int_equal(hops[0].missing, 0);
	assert_int_equal(hops[1].missing, IOL_ACS_REQUIRED);
	assert_int_equal(hops[2].missing, 0);
	free(hops);
}

/* A root complex within a function (VMD) is a root for those below it. */
static void test_acs_inner_root(void **state)
{
	struct iol_pci_addr addr = tree_addr("10000:01:00.0");
	struct host_tree *tree = *state;
	struct iol_acs_hop *hops;

	tree_add(tree, "sys/bus/pci/devices/10000:01:00.0 -> ../../../devices/pci0000:00/"
		       "0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:01:00.0");
	assert_int_equal(iol_acs_path(tree->host, &addr, &hops), 2);
	assert_int_equal(hops[1].addr.bus, 0xe0);
	free(hops);
}

/* The index of a VF is no matter of multifunction, and without privilege there is nothing to judge. */
static void test_acs_exceptions(void **state)
{
	struct iol_pci_addr addr = tree_addr("00:1c.1"), nowhere = tree_addr("00:1d.0");
	uint8_t config[CONFIG_EXT_SIZE];
	struct host_tree *tree = *state;
	struct iol_acs_hop *hops;

	tree_function(tree, "0000:00:1c.1", "8086:1", "20000", NULL, 1);
	add_config(tree, "0000:00:1c.1", 0, true, NO_ACS, 0);
	tree_add(tree, "sys/bus/pci/devices/0000:00:1c.1/physfn -> ../0000:00:1c.0");
	assert_int_equal(iol_acs_path(tree->host, &addr, &hops), 1);
	assert_false(hops->multifunction);
	assert_int_equal(hops->missing, 0);
	free(hops);

	make_config(config, 4, true, NO_ACS, 0);
	tree_bytes(tree, "sys/bus/pci/devices/0000:00:1c.1/config", config, CONFIG_HEADER);
	assert_int_equal(iol_acs_path(tree->host, &addr, &hops), 1);
	assert_false(hops->readable || hops->has_acs);
	assert_int_equal(hops->type, -1);
	assert_int_equal(hops->missing, 0);
	free(hops);

	tree_bytes(tree, "sys/bus/pci/devices/0000:00:1c.1/config", config, 0);
	assert_int_equal(iol_acs_path(tree->host, &addr, &hops), 1);
	assert_false(hops->readable);
	free(hops);

	assert_int_equal(iol_acs_path(tree->host, &nowhere, &hops), -ENODEV);
	assert_null(hops);
	tree_add(tree, "sys/bus/pci/devices/0000:00:1d.0 -> ../0000:00:1d.1");
	assert_int_equal(iol_acs_path(tree->host, &nowhere, &hops), -EINVAL);
	tree_add(tree, "sys/bus/pci/devices/0000:00:1d.0 -> 0000:00:1d.0x");
	assert_int_equal(iol_acs_path(tree->host, &nowhere, &hops), -EINVAL);
}

static void test_acs_names(void **state)
{
	const char *meaning;
	unsigned int bit;

	for (bit = 1; bit < 0x80; bit <<= 1) {
		meaning = NULL;
		assert_non_null(iol_acs_bit((uint16_t)bit, &meaning));
		assert_non_null(meaning);
	}
	assert_null(iol_acs_bit(0x80, NULL));
	assert_null(iol_acs_bit(0x03, NULL));
	assert_string_equal(iol_acs_bit(IOL_ACS_REQUEST_REDIRECT, NULL), "request redirect");
}

/* Lists that go in circles, point outside, or end in nothing. */
static void test_config_lists(void **state)
{
	uint8_t config[CONFIG_EXT_SIZE];
	size_t len;

	make_config(config, 4, false, 0x5f, 0x1d);
	assert_int_equal(iol_config_cap(config, sizeof(config), CAP_PCIE), 0x70);
	assert_int_equal(iol_config_cap(config, sizeof(config), 0x05), 0);
	assert_int_equal(iol_config_ext_cap(config, sizeof(config), EXT_CAP_ACS), 0x148);
	assert_int_equal(iol_config_ext_cap(config, sizeof(config), 0x0010), 0);
	for (len = 0; len < 0x70 + 4; len++)
		assert_int_equal(iol_config_cap(config, len, CAP_PCIE), 0);
	for (len = 0; len < 0x148 + 8; len++)
		assert_int_equal(iol_config_ext_cap(config, len, EXT_CAP_ACS), 0);
	assert_int_equal(iol_config_pcie_type(config, sizeof(config)), 4);

	config[0x71] = 0x40;
	put32(config + 0x148, 0x10010003);
	assert_int_equal(iol_config_cap(config, sizeof(config), 0x05), 0);
	assert_int_equal(iol_config_ext_cap(config, sizeof(config), EXT_CAP_ACS), 0);
	config[0x71] = 0xfc;
	config[0xfc] = 0x05;
	assert_int_equal(iol_config_cap(config, sizeof(config), 0x05), 0xfc);
	put32(config + 0x148, 0xffc10003);
	put32(config + 0xffc, 0x0001000d);
	assert_int_equal(iol_config_ext_cap(config, sizeof(config), EXT_CAP_ACS), 0);
	config[0x34] = 0x10;
	assert_int_equal(iol_config_cap(config, sizeof(config), CAP_PCIE), 0);
	assert_int_equal(iol_config_pcie_type(config, sizeof(config)), -1);
	/* A status that says there is no list. */
	config[0x34] = 0x40;
	put16(config + 0x06, 0);
	assert_int_equal(iol_config_cap(config, sizeof(config), CAP_PCIE), 0);
	/* A function that has gone reads as ones. */
	memset(config, 0xff, sizeof(config));
	assert_int_equal(iol_config_cap(config, sizeof(config), CAP_PCIE), 0);
	assert_int_equal(iol_config_cap(config, sizeof(config), 0xff), 0);
	assert_int_equal(iol_config_ext_cap(config, sizeof(config), 0xffff), 0);
	assert_int_equal(iol_config_u32(config, sizeof(config), sizeof(config) - 1), UINT32_MAX);
}

static void check_iommu(struct host_tree *tree, const char *name, const char *kind,
			enum iol_known remapping, enum iol_known posted, unsigned int bits,
			uint64_t page_sizes)
{
	struct iol_iommu_info *list;

	assert_int_equal(iol_iommu_list(tree->host, &list), 1);
	assert_string_equal(list->name, name);
	assert_string_equal(list->kind, kind);
	assert_int_equal(list->remapping, remapping);
	assert_int_equal(list->posted, posted);
	assert_int_equal(list->address_bits, bits);
	assert_int_equal(list->page_sizes, page_sizes);
	free(list);
}

static void test_intel(void **state)
{
	struct host_tree *tree = *state;
	struct iol_iommu_info *list;

	/* A server's: 57 bits wide, but four levels of tables; 2 MiB and 1 GiB; posting. */
	tree_add(tree, "sys/class/iommu/dmar0/intel-iommu/cap = 8ed008c40780466\n"
		       "sys/class/iommu/dmar0/intel-iommu/ecap = 60000f050df\n");
	assert_int_equal(iol_iommu_list(tree->host, &list), 1);
	assert_int_equal(list->cap, 0x8ed008c40780466);
	assert_int_equal(list->ecap, 0x60000f050df);
	free(list);
	check_iommu(tree, "dmar0", "intel", IOL_YES, IOL_YES, 48, 0x40201000);
	/* An emulated one without remapping: 39 bits, no posting. */
	tree_add(tree, "sys/class/iommu/dmar0/intel-iommu/cap = d2008c22260206\n"
		       "sys/class/iommu/dmar0/intel-iommu/ecap = f00f42\n");
	check_iommu(tree, "dmar0", "intel", IOL_NO, IOL_NO, 39, 0x40201000);
	/* Nonsense is not believed. */
	tree_add(tree, "sys/class/iommu/dmar0/intel-iommu/cap = fffffffffffffffff\n"
		       "sys/class/iommu/dmar0/intel-iommu/ecap = 12 34\n");
	check_iommu(tree, "dmar0", "intel", IOL_UNKNOWN, IOL_UNKNOWN, 0, 0);
	tree_add(tree, "sys/class/iommu/dmar0/intel-iommu/cap =\n"
		       "sys/class/iommu/dmar0/intel-iommu/ecap -> ecap\n");
	check_iommu(tree, "dmar0", "intel", IOL_UNKNOWN, IOL_UNKNOWN, 0, 0);
}

static void test_amd(void **state)
{
	const uint64_t pages = ~0xfffull & ~(1ull << 39);
	struct host_tree *tree = *state;

	/* One register, and two in both orders. */
	tree_add(tree, "sys/class/iommu/ivhd0/amd-iommu/cap = 190b640f\n"
		       "sys/class/iommu/ivhd0/amd-iommu/features = 58f77ef22294ade\n");
	check_iommu(tree, "ivhd0", "amd", IOL_YES, IOL_YES, 64, pages);
	tree_add(tree, "sys/class/iommu/ivhd0/amd-iommu/features = 1d:25bf732fa2295afe");
	check_iommu(tree, "ivhd0", "amd", IOL_YES, IOL_YES, 64, pages);
	tree_add(tree, "sys/class/iommu/ivhd0/amd-iommu/features = 25bf732fa2295afe:1d");
	check_iommu(tree, "ivhd0", "amd", IOL_YES, IOL_YES, 64, pages);
	/* Without virtual APICs; then without the register; then with nonsense in it. */
	tree_add(tree, "sys/class/iommu/ivhd0/amd-iommu/features = 58f77ef22294a5a:0");
	check_iommu(tree, "ivhd0", "amd", IOL_YES, IOL_NO, 64, pages);
	tree_add(tree, "sys/class/iommu/ivhd0/amd-iommu/cap = 110b640f");
	check_iommu(tree, "ivhd0", "amd", IOL_YES, IOL_UNKNOWN, 0, pages);
	tree_add(tree, "sys/class/iommu/ivhd0/amd-iommu/cap = 190b640f\n"
		       "sys/class/iommu/ivhd0/amd-iommu/features = 1:2:3");
	check_iommu(tree, "ivhd0", "amd", IOL_YES, IOL_UNKNOWN, 0, pages);
	tree_add(tree, "sys/class/iommu/ivhd0/amd-iommu/cap = -1");
	check_iommu(tree, "ivhd0", "amd", IOL_UNKNOWN, IOL_UNKNOWN, 0, 0);
}

static void test_other_iommus(void **state)
{
	struct host_tree *tree = *state;
	struct iol_iommu_info *list;

	assert_int_equal(iol_iommu_list(tree->host, &list), 0);
	assert_null(list);
	tree_add(tree, "sys/class/iommu/virtio3/");
	check_iommu(tree, "virtio3", "virtio", IOL_NO, IOL_NO, 0, 0);
	tree_add(tree, "sys/class/iommu/smmu3.0x000000002b400000/\n"
		       "sys/class/iommu/dmar10/\nsys/class/iommu/dmar9/\n"
		       "sys/class/iommu/fsl-pamu/");
	assert_int_equal(iol_iommu_list(tree->host, &list), 5);
	assert_string_equal(list[0].name, "dmar9");
	assert_string_equal(list[1].name, "dmar10");
	assert_string_equal(list[2].kind, "other");
	assert_string_equal(list[3].kind, "arm-smmu-v3");
	free(list);
}

static void test_remaps(void **state)
{
	static const struct {
		const char *line;
		enum iol_known known;
	} rows[] = {
		{ "  1:   9   0  IO-APIC   1-edge      i8042", IOL_NO },
		{ " 28:   0   3 PCI-MSIX-0000:00:01.0   0-edge  virtio0", IOL_NO },
		{ " 28:   0   3  IR-PCI-MSIX-0000:00:01.0   0-edge  virtio0", IOL_YES },
		{ "  1:   9   0  IR-IO-APIC   1-edge      i8042", IOL_YES },
		{ " 40:   9   0  ITS-MSI 524288 Edge      nvme0q0", IOL_YES },
		/* Anybody may name a device or an action like a chip. */
		{ " 28:   0   3 PCI-MSI 524288-edge  IR-PCI-MSI", IOL_NO },
		{ "NMI:   0   0   Non-maskable interrupts IR-", IOL_UNKNOWN },
		{ " 24:   0   0  DMAR-MSI   0-edge      dmar0", IOL_UNKNOWN },
		{ "", IOL_UNKNOWN },
		{ ":::", IOL_UNKNOWN },
		{ "99999999999999999999", IOL_UNKNOWN },
	};
	struct host_tree *tree = *state;
	const char *where = NULL;
	size_t i;

	assert_int_equal(iol_iommu_remaps(tree->host, &where), IOL_UNKNOWN);
	assert_non_null(where);
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		tree_add(tree, "proc/interrupts = %s", rows[i].line);
		assert_int_equal(iol_iommu_remaps(tree->host, &where), rows[i].known);
		assert_int_equal(iol_iommu_remaps(tree->host, NULL), rows[i].known);
	}
}

static void add_regions(struct host_tree *tree, const char *text)
{
	tree_bytes(tree, "sys/kernel/iommu_groups/5/reserved_regions", text, strlen(text));
}

static void test_reserved(void **state)
{
	static const char *const bad[] = {
		"0xfee00000 0xfeefffff\n",
		"0x0000000000000001 0x0000000000000000 msi\n",
		"0x0000000000000000 0x0000000000000fff secret\n",
		"0xfffffffffffffffff 0xfffffffffffffffff msi\n",
		"fee00000 feefffff msi\n",
		"\x1b[2J\n",
	};
	struct host_tree *tree = *state;
	struct iol_resv_region *regions;
	size_t i;

	assert_int_equal(iol_group_reserved(tree->host, 5, &regions), -ENOENT);
	add_regions(tree, "");
	assert_int_equal(iol_group_reserved(tree->host, 5, &regions), 0);
	assert_null(regions);
	add_regions(tree, "0x00000000000e0000 0x00000000000effff direct\n"
			  "0x0000000079800000 0x00000000799fffff direct-relaxable\n"
			  "0x00000000fee00000 0x00000000feefffff msi\n"
			  "0x000000fd00000000 0xffffffffffffffff reserved\n");
	assert_int_equal(iol_group_reserved(tree->host, 5, &regions), 4);
	assert_int_equal(regions[0].kind, IOL_RESV_DIRECT);
	assert_int_equal(regions[0].first, 0xe0000);
	assert_int_equal(regions[0].last, 0xeffff);
	assert_int_equal(regions[1].kind, IOL_RESV_DIRECT_RELAXABLE);
	assert_int_equal(regions[2].kind, IOL_RESV_MSI);
	assert_int_equal(regions[3].kind, IOL_RESV_RESERVED);
	assert_int_equal(regions[3].last, UINT64_MAX);
	free(regions);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		add_regions(tree, bad[i]);
		assert_int_equal(iol_group_reserved(tree->host, 5, &regions), -EPROTO);
		assert_null(regions);
		assert_null(strchr(iol_error(), '\x1b'));
	}
}

static void test_group_type(void **state)
{
	struct host_tree *tree = *state;
	char type[IOL_NAME_MAX];

	assert_int_equal(iol_group_type(tree->host, 5, type), -ENOENT);
	tree_add(tree, "sys/kernel/iommu_groups/5/devices/");
	assert_int_equal(iol_group_type(tree->host, 5, type), 0);
	assert_string_equal(type, "");
	tree_add(tree, "sys/kernel/iommu_groups/5/type = DMA-FQ");
	assert_int_equal(iol_group_type(tree->host, 5, type), 0);
	assert_string_equal(type, "DMA-FQ");
}

#define IN_TREE(f) cmocka_unit_test_setup_teardown(f, tree_setup, tree_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_TREE(test_acs_rules),
		IN_TREE(test_acs_path),
		IN_TREE(test_acs_inner_root),
		IN_TREE(test_acs_exceptions),
		cmocka_unit_test(test_acs_names),
		cmocka_unit_test(test_config_lists),
		IN_TREE(test_intel),
		IN_TREE(test_amd),
		IN_TREE(test_other_iommus),
		IN_TREE(test_remaps),
		IN_TREE(test_reserved),
		IN_TREE(test_group_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
