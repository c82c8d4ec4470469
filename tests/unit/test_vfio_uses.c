/* SPDX-License-Identifier: BSD-3-Clause */
/* What functions are in use for, in machines of a few files. */
#include "base/own.h"
#include "tests/unit/host_tree.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

struct want {
	enum iol_use_kind kind;
	bool harmful;
	const char *what;
};

/* The uses of a function are these, in this order. */
static void check_uses(struct host_tree *tree, const char *name, const struct want *wants,
		       size_t count)
{
	struct iol_pci_addr addr = tree_addr(name);
	struct iol_use *uses;
	size_t i;
	int n;

	n = iol_pci_uses(tree->host, &addr, &uses);
	for (i = 0; i < count && (int)i < n; i++) {
		assert_string_equal(uses[i].what, wants[i].what);
		assert_int_equal(uses[i].kind, wants[i].kind);
		assert_int_equal(uses[i].harmful, wants[i].harmful);
		assert_true(iol_pci_addr_equal(&uses[i].addr, &addr));
	}
	assert_int_equal(n, count);
	assert_int_equal(!uses, !count);
	free(uses);
}

#define CHECK(tree, name, ...)                                                                     \
	do {                                                                                       \
		static const struct want wants_[] = { __VA_ARGS__ };                               \
		check_uses(tree, name, wants_, sizeof(wants_) / sizeof(*wants_));                  \
	} while (0)

#define NOTHING(tree, name) check_uses(tree, name, NULL, 0)

/* ---- network ---- */

static void add_nic(struct host_tree *tree, const char *where, const char *netdev)
{
	tree_function(tree, where, "8086:10C9", "20000", "igb", 1);
	tree_add(tree,
		 "sys/devices/pci0000:00/%s/net/%s/flags = 0x1003\n"
		 "sys/class/net/%s -> ../../devices/pci0000:00/%s/net/%s\n",
		 where, netdev, netdev, where, netdev);
}

/* An interface that stands on others. */
static void add_virtual(struct host_tree *tree, const char *name, const char *lower)
{
	tree_add(tree,
		 "sys/devices/virtual/net/%s/flags = 0x1003\n"
		 "sys/devices/virtual/net/%s/lower_%s -> ../%s\n"
		 "sys/class/net/%s -> ../../devices/virtual/net/%s\n",
		 name, name, lower, lower, name, name);
}

#define ROUTES                                                                                     \
	"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
#define TRIE(address)                                                                              \
	"Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n"              \
	"     |-- " address "\n        /32 host LOCAL\n     |-- 192.0.2.255\n"                     \
	"        /32 link BROADCAST\n"

static void add_file(struct host_tree *tree, const char *path, const char *text)
{
	tree_bytes(tree, path, text, strlen(text));
}

static void test_idle_nic(void **state)
{
	struct host_tree *tree = *state;

	add_nic(tree, "0000:00:03.0", "eth0");
	NOTHING(tree, "00:03.0");
	/* No function at all. */
	NOTHING(tree, "00:09.0");
}

static void test_routes(void **state)
{
	struct host_tree *tree = *state;

	add_nic(tree, "0000:00:03.0", "eth0");
	add_nic(tree, "0000:00:04.0", "eth1");
	add_nic(tree, "0000:00:05.0", "eth2");
	add_file(tree, "proc/net/route",
		 ROUTES "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
			"eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
			"eth1\t00000000\t00000000\t0000\t0\t0\t0\t00000000\t0\t0\t0\n"
			"eth1\t0000000A\t010200C0\t0003\t0\t0\t0\t000000FF\t0\t0\t0\n");
	add_file(tree, "proc/net/ipv6_route",
		 "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
		 "fe800000000000000000000000000001 00000400 00000002 00000000 00000003     eth2\n"
		 "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
		 "00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n"
		 "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 "
		 "00000000000000000000000000000000 00000100 00000002 00000000 00000001     eth1\n");
	add_file(tree, "proc/net/fib_trie", TRIE("192.0.2.2"));
	CHECK(tree, "00:03.0",
	      { IOL_USE_ROUTE, true, "eth0 carries the default route (via 192.0.2.1)" },
	      { IOL_USE_ADDRESS, false, "eth0 is up and has the address 192.0.2.2" });
	NOTHING(tree, "00:04.0");
	CHECK(tree, "00:05.0",
	      { IOL_USE_ROUTE, true, "eth2 carries the default route (via fe80::1)" });
}

/* An interface that is down has no address that counts; link-local ones never do. */
static void test_addresses(void **state)
{
	struct host_tree *tree = *state;

	add_nic(tree, "0000:00:03.0", "eth0");
	add_file(tree, "proc/net/if_inet6",
		 "fd000000000000000000000000000002 04 40 00 82     eth0\n"
		 "00000000000000000000000000000001 01 80 10 80       lo\n"
		 "fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n");
	CHECK(tree, "00:03.0",
	      { IOL_USE_ADDRESS, false, "eth0 is up and has the address fd00::2" });
	tree_add(tree, "sys/devices/pci0000:00/0000:00:03.0/net/eth0/flags = 0x1002");
	NOTHING(tree, "00:03.0");
}

static void test_sessions(void **state)
{
	struct host_tree *tree = *state;

	add_nic(tree, "0000:00:03.0", "eth0");
	add_nic(tree, "0000:00:04.0", "eth1");
	add_file(tree, "proc/net/route",
		 ROUTES "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n");
	add_file(tree, "proc/net/fib_trie", TRIE("192.0.2.2"));
	add_file(tree, "proc/net/if_inet6",
		 "fd000000000000000000000000000002 04 40 00 82     eth1\n");
	/* A listener, a session, one that is closing, and one of another service. */
	add_file(tree, "proc/net/tcp",
		 "  sl  local_address rem_address   st tx_queue rx_queue\n"
		 "   0: 00000000:0016 00000000:0000 0A 00000000:00000000\n"
		 "   1: 020200C0:0016 090200C0:D431 01 00000000:00000000\n"
		 "   2: 020200C0:0016 080200C0:D432 06 00000000:00000000\n"
		 "   3: 020200C0:0017 070200C0:D433 01 00000000:00000000\n");
	CHECK(tree, "00:03.0",
	      { IOL_USE_SSH, true, "an SSH session from 192.0.2.9 comes in by eth0 (192.0.2.2)" },
	      { IOL_USE_ADDRESS, false, "eth0 is up and has the address 192.0.2.2" });
	CHECK(tree, "00:04.0",
	      { IOL_USE_ADDRESS, false, "eth1 is up and has the address fd00::2" });

	/* IPv6, and IPv4 in its clothes. */
	add_file(tree, "proc/net/tcp", "");
	add_file(tree, "proc/net/tcp6",
		 "   0: 000000FD000000000000000002000000:0016 "
		 "000000FD000000000000000009000000:D431 01 0:0\n"
		 "   1: 0000000000000000FFFF0000020200C0:0016 "
		 "0000000000000000FFFF0000090200C0:D431 01 0:0\n");
	CHECK(tree, "00:03.0",
	      { IOL_USE_SSH, true, "an SSH session from 192.0.2.9 comes in by eth0 (192.0.2.2)" },
	      { IOL_USE_ADDRESS, false, "eth0 is up and has the address 192.0.2.2" });
	CHECK(tree, "00:04.0",
	      { IOL_USE_SSH, true, "an SSH session from fd00::9 comes in by eth1 (fd00::2)" },
	      { IOL_USE_ADDRESS, false, "eth1 is up and has the address fd00::2" });
}

/* A VLAN on a bridge on a bond of two; and they stand in a circle, as no kernel would have it. */
static void test_stacked_interfaces(void **state)
{
	struct host_tree *tree = *state;

	add_nic(tree, "0000:00:03.0", "eth0");
	add_nic(tree, "0000:00:04.0", "eth1");
	add_virtual(tree, "bond0", "eth0");
	/* Told by the port alone. */
	tree_add(tree, "sys/class/net/eth1/master -> ../../../../virtual/net/bond0");
	add_virtual(tree, "br0", "bond0");
	add_virtual(tree, "br0.7", "br0");
	add_virtual(tree, "bond0", "br0.7");
	add_file(tree, "proc/net/route",
		 ROUTES "br0.7\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
			"br0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n");
	add_file(tree, "proc/net/fib_trie", TRIE("192.0.2.2"));
	add_file(tree, "proc/net/tcp", "   1: 020200C0:0016 090200C0:D431 01 00000000:00000000\n");
	CHECK(tree, "00:03.0",
	      { IOL_USE_ROUTE, true,
		"br0.7, which stands on eth0, carries the default route (via 192.0.2.1)" },
	      { IOL_USE_SSH, true,
		"an SSH session from 192.0.2.9 comes in by br0, which stands on eth0, "
		"(192.0.2.2)" },
	      { IOL_USE_MASTER, true, "bond0 stands on eth0" },
	      { IOL_USE_MASTER, true, "br0 stands on eth0" },
	      { IOL_USE_MASTER, true, "br0.7 stands on eth0" },
	      { IOL_USE_ADDRESS, false,
		"br0, which stands on eth0, is up and has the address 192.0.2.2" });
	CHECK(tree, "00:04.0",
	      { IOL_USE_ROUTE, true,
		"br0.7, which stands on eth1, carries the default route (via 192.0.2.1)" },
	      { IOL_USE_SSH, true,
		"an SSH session from 192.0.2.9 comes in by br0, which stands on eth1, "
		"(192.0.2.2)" },
	      { IOL_USE_MASTER, true, "bond0 stands on eth1" },
	      { IOL_USE_MASTER, true, "br0 stands on eth1" },
	      { IOL_USE_MASTER, true, "br0.7 stands on eth1" },
	      { IOL_USE_ADDRESS, false,
		"br0, which stands on eth1, is up and has the address 192.0.2.2" });
}

/* What another namespace has shows by its absence. */
static void test_namespaces(void **state)
{
	struct host_tree *tree = *state;

	tree_function(tree, "0000:00:03.0", "8086:10C9", "20000", "igb", 1);
	tree_function(tree, "0000:00:04.0", "1AF4:1041", "20000", "virtio-pci", 2);
	tree_add(tree, "sys/bus/pci/devices/0000:00:04.0/virtio0/\n");
	NOTHING(tree, "00:03.0");
	NOTHING(tree, "00:04.0");
	tree_add(tree, "sys/bus/pci/devices/0000:00:03.0/net/\n"
		       "sys/bus/pci/devices/0000:00:04.0/virtio0/net/\n");
	CHECK(tree, "00:03.0",
	      { IOL_USE_NETNS, true,
		"an interface of it is in another network namespace, as containers have" });
	CHECK(tree, "00:04.0",
	      { IOL_USE_NETNS, true,
		"an interface of it is in another network namespace, as containers have" });
	tree_add(tree, "sys/bus/pci/devices/0000:00:03.0/net/eth0/\n");
	NOTHING(tree, "00:03.0");
}

/* A USB adapter goes with the controller that it is plugged into. */
static void test_usb_adapter(void **state)
{
	struct host_tree *tree = *state;

	tree_function(tree, "0000:00:14.0", "8086:A36D", "C0330", "xhci_hcd", 1);
	tree_add(tree, "sys/class/net/usb0 -> "
		       "../../devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/net/usb0");
	add_file(tree, "proc/net/route",
		 ROUTES "usb0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n");
	CHECK(tree, "00:14.0", { IOL_USE_ROUTE, true, "usb0 carries the default route" });
}

/* ---- disks ---- */

static void add_drive(struct host_tree *tree, const char *name, unsigned int number)
{
	char disk[128];

	snprintf(disk, sizeof(disk), "devices/pci0000:00/%s/nvme/nvme%u/nvme%un1", name, number,
		 number);
	tree_function(tree, name, "1B36:0010", "10802", "nvme", 6);
	tree_add(tree,
		 "sys/%s/dev = 259:%u\n"
		 "sys/%s/nvme%un1p1/dev = 259:%u\n"
		 "sys/class/block/nvme%un1 -> ../../%s\n"
		 "sys/class/block/nvme%un1p1 -> ../../%s/nvme%un1p1\n",
		 disk, 8 * number, disk, number, 8 * number + 1, number, disk, number, disk,
		 number);
}

static void test_mounts(void **state)
{
	struct host_tree *tree = *state;

	add_drive(tree, "0000:00:03.0", 0);
	add_drive(tree, "0000:00:04.0", 1);
	add_drive(tree, "0000:00:05.0", 2);
	add_file(tree, "proc/self/mountinfo",
		 "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
		 "27 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
		 "28 27 259:1 /x /srv/a\\040b rw - ext4 /dev/root rw\n"
		 /* btrfs has no number of a device. */
		 "29 27 0:40 / /home rw - btrfs /dev/nvme1n1 rw\n"
		 "30 27 259:99 / /dev/nvme2n1 rw - ext4 /dev/sda1 rw\n"
		 "31 27 0:41 / /mnt rw - nfs server:/dev/nvme2n1 rw\n");
	add_file(tree, "proc/swaps",
		 "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
		 "/dev/nvme1n1p1                          partition\t8388604\t0\t-2\n"
		 "/srv/swapfile                           file\t8388604\t0\t-3\n");
	CHECK(tree, "00:03.0", { IOL_USE_MOUNT, true, "nvme0n1p1 is mounted on / and 1 more" });
	CHECK(tree, "00:04.0", { IOL_USE_MOUNT, true, "nvme1n1 is mounted on /home" },
	      { IOL_USE_SWAP, true, "nvme1n1p1 is swapped to" });
	NOTHING(tree, "00:05.0");
	tree_add(tree, "sys/fs/btrfs/8e6c/devices/nvme2n1/");
	CHECK(tree, "00:05.0",
	      { IOL_USE_MOUNT, true, "nvme2n1 is part of a mounted btrfs (8e6c)" });
}

/* Control characters of a mount point stay out of what is told. */
static void test_mount_point_escapes(void **state)
{
	struct host_tree *tree = *state;

	add_drive(tree, "0000:00:03.0", 0);
	add_file(tree, "proc/self/mountinfo",
		 "27 1 259:1 / /a\x1b[2J\\012b\\ rw - ext4 /dev/root rw\n");
	CHECK(tree, "00:03.0", { IOL_USE_MOUNT, true, "nvme0n1p1 is mounted on /a?[2J?b\\" });
}

static void test_stacked_disks(void **state)
{
	struct host_tree *tree = *state;

	add_drive(tree, "0000:00:03.0", 0);
	/* LVM on RAID, and RAID on LVM, as no kernel would have it. */
	tree_add(tree, "sys/class/block/nvme0n1p1/holders/md0 -> ../../../md0\n"
		       "sys/class/block/md0/holders/dm-0 -> ../../../dm-0\n"
		       "sys/class/block/md0/dev = 9:0\n"
		       "sys/class/block/dm-0/holders/md0 -> ../../../md0\n"
		       "sys/class/block/dm-0/dm/name = vg-root\n"
		       "sys/class/block/dm-0/dev = 253:0\n");
	CHECK(tree, "00:03.0", { IOL_USE_STACK, true, "dm-0 (vg-root) stands on nvme0n1p1" },
	      { IOL_USE_STACK, true, "md0 stands on nvme0n1p1" });
	add_file(tree, "proc/self/mountinfo",
		 "27 1 253:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw\n");
	add_file(tree, "proc/swaps", "/dev/mapper/vg-root partition 1 0 -2\n");
	CHECK(tree, "00:03.0",
	      { IOL_USE_MOUNT, true, "dm-0 (vg-root), which stands on nvme0n1p1, is mounted on /" },
	      { IOL_USE_SWAP, true, "dm-0 (vg-root), which stands on nvme0n1p1, is swapped to" },
	      { IOL_USE_STACK, true, "dm-0 (vg-root) stands on nvme0n1p1" },
	      { IOL_USE_STACK, true, "md0 stands on nvme0n1p1" });
}

/* A namespace of two controllers is in use by both. */
static void test_shared_namespace(void **state)
{
	struct host_tree *tree = *state;

	tree_function(tree, "0000:00:03.0", "1B36:0010", "10802", "nvme", 6);
	tree_function(tree, "0000:00:04.0", "1B36:0010", "10802", "nvme", 7);
	tree_add(tree, "sys/class/nvme/nvme0 -> ../../devices/pci0000:00/0000:00:03.0/nvme/nvme0\n"
		       "sys/class/nvme/nvme1 -> ../../devices/pci0000:00/0000:00:04.0/nvme/nvme1\n"
		       "sys/class/nvme-subsystem/nvme-subsys0/nvme0 -> ../a\n"
		       "sys/class/nvme-subsystem/nvme-subsys0/nvme1 -> ../b\n"
		       "sys/class/nvme-subsystem/nvme-subsys0/nvme0n1/\n"
		       "sys/class/block/nvme0n1 -> "
		       "../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1\n");
	add_file(tree, "proc/self/mountinfo", "27 1 259:1 / /x rw - xfs /dev/nvme0n1 rw\n");
	CHECK(tree, "00:03.0", { IOL_USE_MOUNT, true, "nvme0n1 is mounted on /x" });
	CHECK(tree, "00:04.0", { IOL_USE_MOUNT, true, "nvme0n1 is mounted on /x" });
}

/* ---- the rest ---- */

static void test_console(void **state)
{
	struct host_tree *tree = *state;

	tree_function(tree, "0000:00:02.0", "1234:1111", "30000", "bochs-drm", 5);
	tree_function(tree, "0000:00:04.0", "1234:1111", "30000", "vfio-pci", 5);
	tree_function(tree, "0000:00:05.0", "1B36:0002", "70002", "serial", 5);
	tree_add(tree, "sys/bus/pci/devices/0000:00:02.0/boot_vga = 1\n"
		       "sys/bus/pci/devices/0000:00:04.0/boot_vga = 1\n"
		       "sys/class/tty/console/active = tty0 ttyS4 .. /\n"
		       "sys/class/tty/tty0 -> ../../devices/virtual/tty/tty0\n"
		       "sys/class/tty/ttyS4 -> "
		       "../../devices/pci0000:00/0000:00:05.0/0000:00:05.0:0/tty/ttyS4\n");
	CHECK(tree, "00:02.0",
	      { IOL_USE_CONSOLE, true, "it is the display of the console (boot_vga)" });
	NOTHING(tree, "00:04.0");
	CHECK(tree, "00:05.0", { IOL_USE_CONSOLE, true, "ttyS4 is a console of the kernel" });
}

static void test_processes(void **state)
{
	struct iol_pci_addr addr = tree_addr("00:03.0");
	struct host_tree *tree = *state;
	struct iol_use *uses;

	tree_function(tree, "0000:00:03.0", "8086:10C9", "20000", "vfio-pci", 12);
	tree_function(tree, "0000:00:04.0", "8086:10C9", "20000", "vfio-pci", 13);
	tree_function(tree, "0000:00:05.0", "8086:10C9", "20000", "igb", 14);
	tree_add(tree, "sys/class/vfio-dev/\n"
		       "sys/bus/pci/devices/0000:00:04.0/vfio-dev/vfio7/\n"
		       "proc/100/comm = qemu-system-x86\n"
		       "proc/100/fd/0 -> /dev/null\n"
		       "proc/100/fd/3 -> /dev/vfio/vfio\n"
		       "proc/100/fd/4 -> /dev/vfio/12\n"
		       "proc/100/fd/5 -> /dev/vfio/12\n"
		       "proc/200/comm = a\x1b]0;b\n"
		       "proc/200/fd/9 -> /dev/vfio/devices/vfio7\n"
		       "proc/200/fd/10 -> /dev/vfio/14\n"
		       "proc/300/fd/1 -> /dev/vfio/13x\n"
		       "proc/bus/fd/1 -> /dev/vfio/12\n"
		       "proc/99999999999/fd/1 -> /dev/vfio/12\n");
	CHECK(tree, "00:03.0",
	      { IOL_USE_PROCESS, true, "qemu-system-x86 (pid 100) has /dev/vfio/12 open" });
	CHECK(tree, "00:04.0",
	      { IOL_USE_PROCESS, true, "a?]0;b (pid 200) has /dev/vfio/devices/vfio7 open" });
	NOTHING(tree, "00:05.0");
	assert_int_equal(iol_pci_uses(tree->host, &addr, &uses), 1);
	assert_int_equal(uses->pid, 100);
	free(uses);
}

/* Descriptors of devices have no name; the kernel may say which device it is. */
static void test_nameless_descriptors(void **state)
{
	struct host_tree *tree = *state;

	tree_function(tree, "0000:00:03.0", "8086:10C9", "20000", "vfio-pci", 12);
	tree_function(tree, "0000:00:04.0", "8086:10C9", "20000", "vfio-pci", 13);
	tree_add(tree, "proc/100/comm = vmm\n"
		       "proc/100/fd/7 -> anon_inode:[vfio-device]\n"
		       "proc/100/fdinfo/7 = pos:\t0\n"
		       "proc/200/comm = other\n"
		       "proc/200/fd/7 -> anon_inode:[vfio-device]\n");
	/* In use? Nothing says so. */
	NOTHING(tree, "00:03.0");
	add_file(tree, "proc/interrupts",
		 "           CPU0\n"
		 " 24:        812   IR-PCI-MSIX-0000:00:03.0    0-edge      nvme0q0\n"
		 " 25:          1   IR-PCI-MSIX-0000:00:04.0    0-edge      "
		 "vfio-msix[0](0000:00:04.0)\n");
	NOTHING(tree, "00:03.0");
	CHECK(tree, "00:04.0",
	      { IOL_USE_PROCESS, true, "it is in use, by one of: vmm (pid 100), other (pid 200)" });
	/* A group's node explains a device. */
	tree_add(tree, "proc/200/fd/6 -> /dev/vfio/99\n");
	CHECK(tree, "00:04.0",
	      { IOL_USE_PROCESS, true, "it is in use, it seems by vmm (pid 100)" });
	tree_add(tree, "proc/100/fd/6 -> /dev/vfio/98\n");
	CHECK(tree, "00:04.0",
	      { IOL_USE_PROCESS, true, "it is in use, by one of: vmm (pid 100), other (pid 200)" });
	/* Who asks has other devices, and knows of those. */
	tree_add(tree, "proc/self -> 200\n");
	CHECK(tree, "00:04.0",
	      { IOL_USE_PROCESS, true, "it is in use, it seems by vmm (pid 100)" });
	tree_add(tree, "proc/100/fd/7 -> /dev/null\n");
	CHECK(tree, "00:04.0",
	      { IOL_USE_PROCESS, true, "it is in use by somebody whom /proc does not show" });
	/* But what it has open, or has been handed, is in use. */
	tree_add(tree, "proc/200/fd/6 -> /dev/null\n");
	CHECK(tree, "00:04.0",
	      { IOL_USE_PROCESS, true, "it is in use, it seems by other (pid 200)" });
	tree_add(tree, "proc/200/fd/6 -> /dev/vfio/13\n");
	CHECK(tree, "00:04.0", { IOL_USE_PROCESS, true, "other (pid 200) has /dev/vfio/13 open" });
	tree_add(tree, "proc/200/fd/6 -> /dev/vfio/99\n"
		       "proc/100/fd/7 -> anon_inode:[vfio-device]\n");
	/* Since Linux 6.18. */
	add_file(tree, "proc/100/fdinfo/7",
		 "pos:\t0\nvfio-device-syspath: /sys/devices/pci0000:00/0000:00:04.0\n");
	CHECK(tree, "00:04.0", { IOL_USE_PROCESS, true, "vmm (pid 100) has it open" });
	add_file(tree, "proc/100/fdinfo/7", "vfio-device-syspath: /sys/devices/pci0000:00\n");
	add_file(tree, "proc/200/fdinfo/7", "vfio-device-syspath: /sys/devices/0000:00:05.0\n");
	CHECK(tree, "00:04.0",
	      { IOL_USE_PROCESS, true, "it is in use by somebody whom /proc does not show" });
}

/* A mapping keeps a device open when the descriptor is closed. */
static void test_mapped_devices(void **state)
{
	struct host_tree *tree = *state;

	tree_function(tree, "0000:00:03.0", "8086:10C9", "20000", "vfio-pci", 12);
	tree_function(tree, "0000:00:04.0", "8086:10C9", "20000", "vfio-pci", 13);
	add_file(tree, "proc/interrupts",
		 " 25:  1  IR-PCI-MSIX-0000:00:04.0  0-edge  vfio-msi[0](0000:00:03.0)\n"
		 " 9:  1  IO-APIC  9-fasteoi  vfio-intx(0000:00:04.0), uhci\n");
	tree_add(tree, "sys/class/vfio-dev/\n"
		       "sys/bus/pci/devices/0000:00:04.0/vfio-dev/vfio7/\n"
		       "proc/100/comm = a\n"
		       "proc/200/comm = b\n");
	add_file(tree, "proc/100/maps",
		 "7f00-7f01 rw-s 10000000000 00:0f 1076    anon_inode:[vfio-device]\n");
	add_file(tree, "proc/200/maps",
		 "7f00-7f01 r--p 0 00:0f 1    /lib/x\n"
		 "7f00-7f01 rw-s 10000000000 00:06 99      /dev/vfio/devices/vfio7\n");
	CHECK(tree, "00:03.0", { IOL_USE_PROCESS, true, "it is in use, it seems by a (pid 100)" });
	CHECK(tree, "00:04.0",
	      { IOL_USE_PROCESS, true, "b (pid 200) has /dev/vfio/devices/vfio7 mapped" });
}

/* What VFs are used for, their PF is used for. */
static void test_vfs(void **state)
{
	struct host_tree *tree = *state;
	struct iol_use *uses;

	tree_function(tree, "0000:01:00.0", "8086:10C9", "20000", "igb", 1);
	tree_function(tree, "0000:01:10.0", "8086:10CA", "20000", "vfio-pci", 2);
	tree_function(tree, "0000:01:10.2", "8086:10CA", "20000", "igbvf", 3);
	tree_function(tree, "0000:01:10.4", "8086:10CA", "20000", NULL, 4);
	tree_add(tree, "sys/bus/pci/devices/0000:01:00.0/sriov_totalvfs = 7\n"
		       "sys/bus/pci/devices/0000:01:00.0/sriov_numvfs = 3\n"
		       "sys/bus/pci/devices/0000:01:00.0/virtfn0 -> ../0000:01:10.0\n"
		       "sys/bus/pci/devices/0000:01:00.0/virtfn1 -> ../0000:01:10.2\n"
		       "sys/bus/pci/devices/0000:01:00.0/virtfn2 -> ../0000:01:10.4\n"
		       "sys/bus/pci/devices/0000:01:10.0/physfn -> ../0000:01:00.0\n"
		       "sys/bus/pci/devices/0000:01:10.2/physfn -> ../0000:01:00.0\n"
		       "sys/bus/pci/devices/0000:01:10.4/physfn -> ../0000:01:00.0\n"
		       "proc/100/comm = vmm\n"
		       "proc/100/fd/4 -> /dev/vfio/2\n");
	CHECK(tree, "01:00.0",
	      { IOL_USE_VFS, true,
		"its VF 0 (0000:01:10.0) is in use: vmm (pid 100) has /dev/vfio/2 open" },
	      { IOL_USE_VFS, false, "its VF 1 (0000:01:10.2) has the driver igbvf" });
	NOTHING(tree, "01:10.4");

	/* All at once, by address. */
	assert_int_equal(iol_pci_uses_all(tree->host, &uses), 3);
	assert_int_equal(uses[0].addr.dev, 0);
	assert_int_equal(uses[1].addr.dev, 0);
	assert_int_equal(uses[2].addr.dev, 0x10);
	assert_int_equal(uses[2].kind, IOL_USE_PROCESS);
	free(uses);
}

/* What an interface's PF would take along, and who can't be asked whether he agrees. */
static void test_elsewhere(void **state)
{
	struct host_tree *tree = *state;

	tree_function(tree, "0000:01:00.0", "8086:10C9", "20000", "igb", 1);
	tree_function(tree, "0000:01:10.0", "8086:10CA", "20000", "igbvf", 2);
	tree_function(tree, "0000:00:03.0", "1AF4:1041", "20000", "virtio-pci", 3);
	tree_function(tree, "0000:00:04.0", "8086:10C9", "20000", "uio_pci_generic", 4);
	tree_function(tree, "0000:00:05.0", "8086:10C9", "20000", NULL, 5);
	add_nic(tree, "0000:00:06.0", "eth0");
	tree_add(tree, "sys/bus/pci/devices/0000:01:00.0/sriov_totalvfs = 7\n"
		       "sys/bus/pci/devices/0000:01:00.0/sriov_numvfs = 1\n"
		       "sys/bus/pci/devices/0000:01:00.0/virtfn0 -> ../0000:01:10.0\n"
		       "sys/bus/pci/devices/0000:01:10.0/physfn -> ../0000:01:00.0\n"
		       "sys/bus/pci/devices/0000:01:10.0/net/\n"
		       "sys/bus/pci/devices/0000:00:03.0/virtio0/net/\n");
	CHECK(tree, "01:10.0",
	      { IOL_USE_NETNS, true,
		"an interface of it is in another network namespace, as containers have" });
	CHECK(tree, "01:00.0",
	      { IOL_USE_VFS, true,
		"its VF 0 (0000:01:10.0) is in use: an interface of it is in another network "
		"namespace, as containers have" });
	CHECK(tree, "00:03.0",
	      { IOL_USE_NETNS, true,
		"an interface of it is in another network namespace, as containers have" });
	NOTHING(tree, "00:04.0");
	NOTHING(tree, "00:05.0");
	NOTHING(tree, "00:06.0");
}

/* Files of other machines, or of none. */
static void test_malformed(void **state)
{
	struct host_tree *tree = *state;

	add_nic(tree, "0000:00:03.0", "eth0");
	add_drive(tree, "0000:00:04.0", 0);
	tree_add(tree, "proc/net/route = eth0 zz zz 0003 0 0 0 zz\n"
		       "proc/net/ipv6_route = 00000000000000000000000000000000 00\n"
		       "proc/net/if_inet6 = fd00 04 40 00 82 eth0\nproc/net/tcp = ::::\n"
		       "proc/net/tcp6 =  0: 00:0016 00:0 01\nproc/net/fib_trie = |--\n"
		       "proc/self/mountinfo = 1 2 259:7 - - -\nproc/swaps = /\n"
		       "sys/class/block/nvme0n1/dev = 99999999999999:1\n"
		       "sys/class/block/nvme0n1p1/holders -> holders\n"
		       "sys/class/net/eth0/master -> master\n"
		       "sys/class/block/x -> ../nvme-subsystem/\n"
		       "sys/class/block/y -> ../nvme-subsystem/../../../../..\n"
		       "sys/class/tty/console/active =  \n");
	tree_add(tree, "proc/net/fib_trie =         /32 host LOCAL");
	CHECK(tree, "00:03.0", { IOL_USE_MASTER, true, "master stands on eth0" });
	NOTHING(tree, "00:04.0");
}

#define IN_TREE(f) cmocka_unit_test_setup_teardown(f, tree_setup, tree_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_TREE(test_idle_nic),
		IN_TREE(test_routes),
		IN_TREE(test_addresses),
		IN_TREE(test_sessions),
		IN_TREE(test_stacked_interfaces),
		IN_TREE(test_namespaces),
		IN_TREE(test_usb_adapter),
		IN_TREE(test_mounts),
		IN_TREE(test_mount_point_escapes),
		IN_TREE(test_stacked_disks),
		IN_TREE(test_shared_namespace),
		IN_TREE(test_console),
		IN_TREE(test_processes),
		IN_TREE(test_nameless_descriptors),
		IN_TREE(test_mapped_devices),
		IN_TREE(test_vfs),
		IN_TREE(test_elsewhere),
		IN_TREE(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
