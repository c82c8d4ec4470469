/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions, their names and their groups, in machines of a few files. */
#include "base/own.h"
#include "tests/unit/host_tree.h"
#include "vfio/host.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>

/* An SR-IOV NIC with two VFs, an NVMe drive, a display and a USB adapter behind a controller. */
static void add_machine(struct host_tree *tree)
{
	tree_function(tree, "0000:00:01.0", "8086:1901", "60400", "pcieport", 1);
	tree_function(tree, "0000:00:01.0/0000:01:00.0", "8086:10C9", "20000", "igb", 2);
	tree_function(tree, "0000:00:01.0/0000:01:10.0", "8086:10CA", "20000", NULL, 3);
	tree_function(tree, "0000:00:01.0/0000:01:10.2", "8086:10CA", "20000", "vfio-pci", 4);
	tree_function(tree, "0000:00:02.0", "1234:1111", "30000", "bochs-drm", 5);
	tree_function(tree, "0000:00:03.0", "1B36:0010", "10802", "nvme", 6);
	tree_function(tree, "0000:00:14.0", "8086:A36D", "C0330", "xhci_hcd", 7);
	tree_function(tree, "0000:00:05.0", "1AF4:1041", "20000", "virtio-pci", 8);
	tree_add(tree,
		 "sys/bus/pci/devices/0000:01:00.0/sriov_totalvfs = 7\n"
		 "sys/bus/pci/devices/0000:01:00.0/sriov_numvfs = 2\n"
		 "sys/bus/pci/devices/0000:01:00.0/numa_node = 1\n"
		 "sys/bus/pci/devices/0000:01:00.0/virtfn0 -> ../0000:01:10.0\n"
		 "sys/bus/pci/devices/0000:01:00.0/virtfn1 -> ../0000:01:10.2\n"
		 "sys/bus/pci/devices/0000:01:10.0/physfn -> ../0000:01:00.0\n"
		 "sys/bus/pci/devices/0000:01:10.2/physfn -> ../0000:01:00.0\n"
		 "sys/bus/pci/devices/0000:01:10.2/driver_override = vfio-pci\n"
		 "sys/bus/pci/devices/0000:00:02.0/boot_vga = 1\n"
		 "sys/class/net/eth3 -> "
		 "../../devices/pci0000:00/0000:00:01.0/0000:01:00.0/net/eth3\n"
		 "sys/class/net/ens5 -> ../../devices/pci0000:00/0000:00:05.0/virtio0/net/ens5\n"
		 "sys/class/net/lo -> ../../devices/virtual/net/lo\n"
		 "sys/class/net/usb0 -> "
		 "../../devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/net/usb0\n"
		 "sys/class/nvme/nvme0 -> ../../devices/pci0000:00/0000:00:03.0/nvme/nvme0\n"
		 "sys/class/block/nvme0n1 -> "
		 "../../devices/pci0000:00/0000:00:03.0/nvme/nvme0/nvme0n1\n"
		 "sys/class/block/nvme0n1p2 -> "
		 "../../devices/pci0000:00/0000:00:03.0/nvme/nvme0/nvme0n1/nvme0n1p2");
}

static struct iol_pci_info info_of(const struct host_tree *tree, const char *name)
{
	struct iol_pci_addr addr = tree_addr(name);
	struct iol_pci_info info;

	assert_int_equal(iol_pci_info(tree->host, &addr, &info), 0);
	return info;
}

static void test_info(void **state)
{
	struct host_tree *tree = *state;
	struct iol_pci_addr nowhere = tree_addr("0000:99:00.0"), pf = tree_addr("01:00.0");
	struct iol_pci_info info;

	add_machine(tree);
	info = info_of(tree, "01:00.0");
	assert_int_equal(info.vendor, 0x8086);
	assert_int_equal(info.device, 0x10c9);
	assert_int_equal(info.subsystem_vendor, 0x1af4);
	assert_int_equal(info.subsystem_device, 0x1100);
	assert_int_equal(info.class, 0x020000);
	assert_int_equal(info.revision, 3);
	assert_string_equal(info.driver, "igb");
	assert_string_equal(info.driver_override, "");
	assert_string_equal(info.netdev, "eth3");
	assert_string_equal(info.nvme, "");
	assert_int_equal(info.numa_node, 1);
	assert_int_equal(info.iommu_group, 2);
	assert_int_equal(info.vfs, 2);
	assert_int_equal(info.vfs_max, 7);
	assert_false(info.is_vf || info.is_bridge || info.boot_vga);

	info = info_of(tree, "01:10.2");
	assert_true(info.is_vf && iol_pci_addr_equal(&info.pf, &pf));
	assert_int_equal(info.vf_index, 1);
	assert_string_equal(info.driver, "vfio-pci");
	assert_string_equal(info.driver_override, "vfio-pci");
	assert_int_equal(info.numa_node, -1);
	assert_true(info_of(tree, "00:01.0").is_bridge);
	assert_true(info_of(tree, "00:02.0").boot_vga);
	assert_string_equal(info_of(tree, "00:03.0").nvme, "nvme0");
	assert_string_equal(info_of(tree, "00:05.0").netdev, "ens5");
	/* A USB adapter's interface is not the controller's. */
	assert_string_equal(info_of(tree, "00:14.0").netdev, "");

	assert_int_equal(iol_pci_info(tree->host, &nowhere, &info), -ENODEV);
	assert_non_null(strstr(iol_error(), "0000:99:00.0"));
}

static void test_list(void **state)
{
	static const char *const order[] = { "00:01.0", "00:02.0", "00:03.0", "00:05.0",
					     "00:14.0", "01:00.0", "01:10.0", "01:10.2" };
	_cleanup_free_ struct iol_pci_info *list = NULL;
	struct host_tree *tree = *state;
	struct iol_pci_addr addr;
	size_t i;

	add_machine(tree);
	assert_int_equal(iol_pci_list(tree->host, &list), 8);
	for (i = 0; i < 8; i++) {
		addr = tree_addr(order[i]);
		assert_true(iol_pci_addr_equal(&list[i].addr, &addr));
	}
	assert_int_equal(list[6].vf_index, 0);
	assert_int_equal(list[7].vf_index, 1);
}

/* 8 PFs with 63 VFs each. */
static void test_512_functions(void **state)
{
	_cleanup_free_ struct iol_pci_info *list = NULL;
	struct host_tree *tree = *state;
	char where[IOL_PCI_ADDR_MAX];
	unsigned int pf, vf;
	size_t i;

	for (pf = 0; pf < 8; pf++) {
		snprintf(where, sizeof(where), "0000:%02x:00.0", 8 - pf);
		tree_function(tree, where, "15B3:1017", "20000", "mlx5_core", (int)pf);
		tree_add(tree,
			 "sys/bus/pci/devices/%s/sriov_totalvfs = 63\n"
			 "sys/bus/pci/devices/%s/sriov_numvfs = 63\n"
			 "sys/class/net/p%u -> ../../devices/pci0000:00/%s/net/p%u\n",
			 where, where, pf, where, pf);
		for (vf = 0; vf < 63; vf++) {
			snprintf(where, sizeof(where), "0000:%02x:%02x.%u", 8 - pf, 1 + vf / 8,
				 vf % 8);
			tree_function(tree, where, "15B3:1018", "20000", NULL, 100);
			tree_add(tree,
				 "sys/bus/pci/devices/%s/physfn -> ../0000:%02x:00.0\n"
				 "sys/bus/pci/devices/0000:%02x:00.0/virtfn%u -> ../%s",
				 where, 8 - pf, 8 - pf, vf, where);
		}
	}
	assert_int_equal(iol_pci_list(tree->host, &list), 512);
	for (i = 0; i < 512; i++) {
		assert_int_equal(list[i].addr.bus, 1 + i / 64);
		assert_int_equal(list[i].is_vf, i % 64 != 0);
		if (i % 64) {
			assert_int_equal(list[i].vf_index, i % 64 - 1);
			assert_int_equal(list[i].pf.bus, list[i].addr.bus);
		} else {
			assert_int_equal(list[i].vfs, 63);
			assert_int_equal(list[i].netdev[1] - '0', 7 - i / 64);
		}
	}
}

static void test_find(void **state)
{
	static const struct {
		const char *name, *means;
	} rows[] = {
		{ "0000:01:00.0", "01:00.0" }, { "01:00.0", "01:00.0" },
		{ "eth3", "01:00.0" },         { "ens5", "00:05.0" },
		{ "eth3/vf0", "01:10.0" },     { "0000:01:00.0/vf1", "01:10.2" },
		{ "nvme0", "00:03.0" },        { "nvme0n1", "00:03.0" },
		{ "/dev/nvme0n1", "00:03.0" }, { "nvme0n1p2", "00:03.0" },
	};
	struct host_tree *tree = *state;
	struct iol_pci_addr addr, means;
	size_t i;

	add_machine(tree);
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		means = tree_addr(rows[i].means);
		assert_int_equal(iol_pci_find(tree->host, rows[i].name, &addr), 0);
		assert_true(iol_pci_addr_equal(&addr, &means));
	}
}

static void test_find_nothing(void **state)
{
	static const struct {
		const char *name;
		int rc;
		const char *says;
	} rows[] = {
		{ "0000:02:00.0", -ENODEV, "0000:02:00.0" },
		{ "0000:01:00.9", -EINVAL, "no PCI address" },
		{ "0000:01:00.0/vf2", -ENODEV, "there are 2 now" },
		{ "eth3/vf99999999999", -EINVAL, "vf2" },
		{ "eth3/", -EINVAL, "vf2" },
		{ "/", -EINVAL, "vf2" },
		{ "eth3/vf", -EINVAL, "vf2" },
		{ "eth3/vf-1", -EINVAL, "vf2" },
		{ "eth3/vf0/vf0", -EINVAL, "vf2" },
		{ "ens5/vf0", -ENODEV, "can have no VFs" },
		{ "eth4", -ENODEV, "no network interface eth4" },
		{ "lo", -EINVAL, "no PCI device" },
		{ "usb0", -EINVAL, "not its own" },
		{ "nvme7", -ENODEV, "no NVMe controller nvme7" },
		{ "nvme0n9", -ENODEV, "nvme0n9" },
		{ "", -EINVAL, "no name" },
		{ "..", -EINVAL, "no name" },
		{ "a-name-that-is-too-long-for-an-interface", -EINVAL, "no name" },
		{ "/dev/sda", -EINVAL, "no name" },
	};
	struct host_tree *tree = *state;
	struct iol_pci_addr addr;
	size_t i;

	add_machine(tree);
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(iol_pci_find(tree->host, rows[i].name, &addr), rows[i].rc);
		assert_non_null(strstr(iol_error(), rows[i].says));
	}
}

/* The block device of a namespace that may be shared hangs from the subsystem, not from a controller. */
static void test_find_shared_namespace(void **state)
{
	struct host_tree *tree = *state;
	struct iol_pci_addr addr, first;

	add_machine(tree);
	tree_add(tree, "sys/class/block/nvme5n1 -> "
		       "../../devices/virtual/nvme-subsystem/nvme-subsys5/nvme5n1\n"
		       "sys/class/nvme-subsystem/nvme-subsys5/nvme0 -> ../anything\n"
		       "sys/class/nvme-subsystem/nvme-subsys5/nvme5n1/");
	first = tree_addr("00:03.0");
	assert_int_equal(iol_pci_find(tree->host, "nvme5n1", &addr), 0);
	assert_true(iol_pci_addr_equal(&addr, &first));

	tree_add(tree, "sys/class/nvme-subsystem/nvme-subsys5/nvme1 -> ../anything");
	assert_int_equal(iol_pci_find(tree->host, "nvme5n1", &addr), -EINVAL);
	assert_non_null(strstr(iol_error(), "several controllers"));
}

static void test_group(void **state)
{
	static const struct {
		const char *driver, *class;
		enum iol_member_state state;
	} rows[] = {
		{ "pcieport", "60400", IOL_MEMBER_BRIDGE },
		{ NULL, "60400", IOL_MEMBER_BRIDGE },
		{ "lpc_ich", "60100", IOL_MEMBER_BLOCKS },
		{ NULL, "20000", IOL_MEMBER_FREE },
		{ "vfio-pci", "20000", IOL_MEMBER_VFIO },
		{ "mlx5_vfio_pci", "20000", IOL_MEMBER_VFIO },
		{ "pci-stub", "20000", IOL_MEMBER_VFIO },
		{ "igb", "20000", IOL_MEMBER_BLOCKS },
	};
	_cleanup_free_ struct iol_group_member *members = NULL;
	struct host_tree *tree = *state;
	char where[IOL_PCI_ADDR_MAX];
	size_t i;

	for (i = 0; i < 8; i++) {
		snprintf(where, sizeof(where), "0000:00:1f.%zu", i);
		tree_function(tree, where, "8086:1234", rows[i].class, rows[i].driver, 12);
	}
	assert_int_equal(iol_group_members(tree->host, 12, &members), 8);
	for (i = 0; i < 8; i++) {
		assert_int_equal(members[i].pci.addr.fn, i);
		assert_int_equal(members[i].state, rows[i].state);
	}
	iol_freep(&members);
	members = NULL;
	assert_int_equal(iol_group_members(tree->host, 13, &members), -ENOENT);
	assert_null(members);
	assert_non_null(strstr(iol_error(), "intel_iommu=on"));
}

/* What is missing, empty or absurd is as if it were not there. */
static void test_malformed(void **state)
{
	_cleanup_free_ struct iol_pci_info *list = NULL;
	struct host_tree *tree = *state;
	struct iol_pci_info info;
	struct iol_pci_addr addr;

	assert_int_equal(iol_pci_list(tree->host, &list), 0);
	assert_null(list);
	tree_function(tree, "0000:00:01.0", "8086:10C9", "20000", NULL, -1);
	tree_add(tree, "sys/bus/pci/devices/0000:00:01.0/uevent = PCI_ID=XYZW:\n"
		       "sys/bus/pci/devices/0000:00:01.0/revision = 99999999999999999999999999\n"
		       "sys/bus/pci/devices/0000:00:01.0/numa_node = 4294967295\n"
		       "sys/bus/pci/devices/0000:00:01.0/sriov_totalvfs = -1\n"
		       "sys/bus/pci/devices/0000:00:01.0/driver_override =\n"
		       "sys/bus/pci/devices/0000:00:01.0/iommu_group -> ../../7x\n"
		       "sys/bus/pci/devices/0000:00:01.0/physfn -> physfn\n"
		       "sys/bus/pci/devices/not-an-address/uevent = PCI_ID=8086:10C9\n"
		       "sys/bus/pci/devices/0000:00:99.0/uevent = PCI_ID=8086:10C9\n"
		       "sys/bus/pci/devices/0000:00:02.0 -> 0000:00:02.0\n"
		       "sys/class/net/eth0 -> eth0\n"
		       "sys/class/net/eth1 -> ../../devices/0000:00:1.0/net/eth1\n"
		       "sys/class/net/eth2/\n");
	tree_function(tree, "0000:00:04.0", "8086:10C9", "20000", NULL, -1);
	tree_add(tree,
		 "sys/bus/pci/devices/0000:00:04.0/sriov_totalvfs = 65535\n"
		 "sys/bus/pci/devices/0000:00:04.0/sriov_numvfs = 65535\n"
		 "sys/bus/pci/devices/0000:00:04.0/virtfn0 -> ../0000:00:01.0\n"
		 "sys/bus/pci/devices/0000:00:04.0/virtfn1 -> ../0000:00:04.0\n"
		 "sys/bus/pci/devices/0000:00:04.0/iommu_group -> ../../99999999999999999999\n");
	assert_int_equal(iol_pci_list(tree->host, &list), 2);
	assert_int_equal(list[0].vendor, 0);
	iol_pci_details(tree->host, &list[0]);
	assert_int_equal(list[0].revision, 0);
	assert_string_equal(list[0].driver_override, "");
	assert_int_equal(list[0].numa_node, -1);
	assert_int_equal(list[0].vfs_max, 0);
	assert_int_equal(list[0].iommu_group, -1);
	assert_false(list[0].is_vf);
	assert_int_equal(list[1].iommu_group, -1);
	assert_int_equal(list[1].vf_index, 0);
	addr = tree_addr("00:02.0");
	assert_int_equal(iol_pci_info(tree->host, &addr, &info), -ELOOP);
	assert_int_equal(iol_pci_find(tree->host, "eth0", &addr), -EINVAL);
	assert_int_equal(iol_pci_find(tree->host, "eth1", &addr), -EINVAL);
	assert_int_equal(iol_pci_find(tree->host, "eth2", &addr), -EINVAL);
}

/* A pipe in place of a file holds nobody up. */
static void test_pipe(void **state)
{
	struct iol_pci_addr addr = tree_addr("00:01.0");
	struct host_tree *tree = *state;
	struct iol_pci_info info;
	char path[128];

	tree_function(tree, "0000:00:01.0", "8086:10C9", "20000", NULL, -1);
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/0000:00:01.0/uevent", tree->path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(iol_pci_info(tree->host, &addr, &info), -ESPIPE);
}

/* Reads a file through links that lead up, out, in a circle; the first that goes wrong. */
static const char *astray(const struct host_tree *tree)
{
	static const struct {
		const char *path, *text;
	} cases[] = {
		{ "etc/name", "ours" },          { "up/name", "ours" },
		{ "out/name", "ours" },          { "far/name", "ours" },
		{ "dir/./../etc/name", "ours" }, { "../../../etc/name", "ours" },
		{ "chain/name", "ours" },        { "last", "ours" },
		{ "circle/name", NULL },         { "passwd", NULL },
		{ "etc/name/x", NULL },          { "nowhere", NULL },
	};
	char buf[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int n = iol_host_read(tree->host, buf, sizeof(buf), "%s", cases[i].path);

		if (cases[i].text ? n < 0 || strcmp(buf, cases[i].text) != 0 : n >= 0)
			return cases[i].path;
		if (iol_host_exists(tree->host, "%s", cases[i].path) != !!cases[i].text)
			return cases[i].path;
	}
	if (iol_host_target(tree->host, buf, sizeof(buf), "chain") != 6 ||
	    strcmp(buf, "up/.//") != 0)
		return "chain";
	return NULL;
}

/* As on a kernel before 5.6. */
static void forbid_openat2(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ||
	    syscall(SYS_openat2, -1, "", NULL, 0ul) != -1 || errno != ENOSYS)
		_exit(2);
}

static void test_links_stay_inside(void **state)
{
	struct host_tree *tree = *state;
	const char *path;
	int status;
	pid_t pid;

	tree_add(tree, "etc/name = ours\n"
		       "dir/x = 1\n"
		       "up -> ../../../../etc\n"
		       "out -> /etc\n"
		       "dir/sub/far -> ../../../etc\n"
		       "far -> dir/sub/far/../etc\n"
		       "chain -> up/.//\n"
		       "last -> /dir/../out/name\n"
		       "circle -> /circle\n"
		       /* There on this machine, and not in the copy. */
		       "passwd -> /etc/passwd\n");
	path = astray(tree);
	if (path)
		fail_msg("%s leads astray", path);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		forbid_openat2();
		path = astray(tree);
		if (path)
			fprintf(stderr, "%s leads astray by hand\n", path);
		_exit(path ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_no_host(void **state)
{
	struct iol_host *host = NULL;

	assert_int_equal(iol_host_new("/nonexistent/machine", &host), -ENOENT);
	assert_null(host);
	assert_non_null(strstr(iol_error(), "/nonexistent/machine"));
	iol_host_destroy(&host);
}

static void test_addresses(void **state)
{
	struct iol_pci_addr addr = tree_addr("deadbeef:01:1f.7");
	char text[IOL_PCI_ADDR_MAX];

	assert_string_equal(iol_pci_addr_format(&addr, text), "deadbeef:01:1f.7");
	addr = tree_addr("10000:E1:00.0");
	assert_string_equal(iol_pci_addr_format(&addr, text), "10000:e1:00.0");
}

#define IN_TREE(f) cmocka_unit_test_setup_teardown(f, tree_setup, tree_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_TREE(test_info),
		IN_TREE(test_list),
		IN_TREE(test_512_functions),
		IN_TREE(test_find),
		IN_TREE(test_find_nothing),
		IN_TREE(test_find_shared_namespace),
		IN_TREE(test_group),
		IN_TREE(test_malformed),
		IN_TREE(test_pipe),
		IN_TREE(test_links_stay_inside),
		cmocka_unit_test(test_no_host),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
