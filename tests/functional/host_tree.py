# SPDX-License-Identifier: BSD-3-Clause
"""A machine's sys, proc and the rest in a folder, as the kernel would show them. As a program it makes a large one:
host_tree.py FUNCTIONS FOLDER."""

import os
import struct
import sys

GROUPS = "sys/kernel/iommu_groups"

INTEL_CPU = """processor\t: 0
vendor_id\t: GenuineIntel
flags\t\t: fpu sse sse2 sse4_2 vmx{more}
"""
AMD_CPU = INTEL_CPU.replace("GenuineIntel", "AuthenticAMD").replace("vmx", "svm")

# VT-d, 10.4.2: bit 59 of cap posts interrupts, bit 3 of ecap remaps them.
INTEL_CAP, INTEL_ECAP = 0x8D2078C106F0466, 0xF020DF

REMAPPED = """           CPU0
  1:          9   IR-IO-APIC    1-edge      i8042
 24:        812   IR-PCI-MSI-0000:02:00.0    0-edge      nvme0q0
"""
NOT_REMAPPED = REMAPPED.replace("IR-", "")

LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max processes             95987                95987                processes
Max locked memory         {memlock}            {memlock}            bytes
"""

# PCIe 6.0, 7.5.3.2
ENDPOINT, ROOT_PORT, UPSTREAM, DOWNSTREAM = 0, 4, 5, 6
# What the kernel wants: source validation, request and completion redirect, upstream forwarding.
ACS = 0x1D

RELEASE = "6.12.95+deb12-amd64"
MODULES = "".join(f"kernel/drivers/{name}.ko.xz:\n" for name in (
    "vfio/vfio", "vfio/pci/vfio-pci", "vfio/vfio_iommu_type1"))


def config(kind, acs=None):
    """Configuration space with a PCIe capability, and ACS as (able, switched on)."""
    space = bytearray(4096)
    space[0x06] = 0x10  # there are capabilities
    space[0x0E] = 1 if kind in (ROOT_PORT, UPSTREAM, DOWNSTREAM) else 0
    space[0x34] = 0x40
    struct.pack_into("<BBH", space, 0x40, 0x10, 0, kind << 4 | 2)
    if acs:
        struct.pack_into("<IHH", space, 0x100, 0x0001000D, *acs)
    return bytes(space)


class Tree:
    """A machine without anything; add() writes files, the others what a kernel shows."""

    def __init__(self, path, cpu=INTEL_CPU, guest=False):
        self.path = path
        os.makedirs(f"{path}/sys/bus/pci/devices")
        self.add("proc/cpuinfo", cpu.format(more=" hypervisor" if guest else ""))
        self.add("proc/cmdline", "root=/dev/sda1 quiet\n")
        self.add("proc/sys/kernel/osrelease", RELEASE + "\n")
        self.add("proc/sys/kernel/io_uring_disabled", "0\n")
        self.add("proc/interrupts", NOT_REMAPPED)
        self.add("proc/devices", "Character devices:\n  1 mem\n")
        self.add("proc/self/limits", LIMITS.format(memlock="8388608"))
        self.add("proc/self/status", "Name:\tcat\nCapEff:\t0000000000000000\n")
        self.add(f"lib/modules/{RELEASE}/modules.dep", MODULES)
        self.add("sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
        for size in (2048, 1048576):
            for name in ("nr_hugepages", "free_hugepages"):
                self.add(f"sys/kernel/mm/hugepages/hugepages-{size}kB/{name}", "0\n")

    def add(self, name, content=""):
        path = f"{self.path}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())

    def remove(self, name):
        os.unlink(f"{self.path}/{name}")

    def link(self, name, target):
        """A link to another place of the tree, relative as sysfs has them."""
        path = f"{self.path}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.makedirs(f"{self.path}/{target}", exist_ok=True)
        os.symlink(os.path.relpath(f"{self.path}/{target}", os.path.dirname(path)), path)

    def function(self, way, ids, pci_class, group=None, driver=None, space=None, **files):
        """A PCI function at the end of its way from the host bridge: "0000:00:1c.0/0000:01:00.0"."""
        address = way.split("/")[-1]
        place = f"sys/devices/pci0000:00/{way}"
        self.add(f"{place}/uevent", f"PCI_CLASS={pci_class:X}\nPCI_ID={ids.upper()}\n"
                 f"PCI_SUBSYS_ID=8086:0001\nPCI_SLOT_NAME={address}\n")
        self.add(f"{place}/config", space or config(ENDPOINT))
        defaults = {"revision": "0x01", "numa_node": "0", "driver_override": "(null)"}
        for name, content in (defaults | files).items():
            self.add(f"{place}/{name}", f"{content}\n")
        self.link(f"sys/bus/pci/devices/{address}", place)
        if driver:
            self.link(f"{place}/driver", f"sys/bus/pci/drivers/{driver}")
        if group is not None:
            self.link(f"{place}/iommu_group", f"{GROUPS}/{group}")
            self.link(f"{GROUPS}/{group}/devices/{address}", place)
            self.add(f"{GROUPS}/{group}/type", "DMA-FQ\n")
            self.add(f"{GROUPS}/{group}/reserved_regions",
                     "0x00000000fee00000 0x00000000feefffff msi\n")
        return place

    def vf(self, pf, index, way, group=None, driver=None):
        place = self.function(way, "8086:10ca", 0x020000, group, driver)
        self.link(f"{place}/physfn", pf)
        self.link(f"{pf}/virtfn{index}", place)

    def netdev(self, place, name):
        self.add(f"{place}/net/{name}/flags", "0x1003\n")
        self.link(f"{place}/net/{name}/device", place)
        self.link(f"sys/class/net/{name}", f"{place}/net/{name}")

    def parameter(self, module, name, value):
        self.add(f"sys/module/{module}/parameters/{name}", f"{value}\n")


def devices(tree, grouped):
    """A NIC with two of seven VFs and a drive, each behind its root port, and what a board has."""
    group = iter(range(20)) if grouped else iter(lambda: None, 0)
    port = config(ROOT_PORT, (ACS, ACS))
    tree.function("0000:00:00.0", "8086:29c0", 0x060000, next(group))
    tree.function("0000:00:01.0", "8086:0c01", 0x060400, next(group), "pcieport", port)
    tree.function("0000:00:02.0", "8086:0c02", 0x060400, next(group), "pcieport", port)
    nic = tree.function("0000:00:01.0/0000:01:00.0", "8086:10c9", 0x020000, next(group), "igb",
                        sriov_totalvfs=7, sriov_numvfs=2)
    tree.netdev(nic, "eth3")
    for index, slot in enumerate(("10.0", "10.2")):
        tree.vf(nic, index, f"0000:00:01.0/0000:01:{slot}", next(group),
                None if index else "vfio-pci")
    drive = tree.function("0000:00:02.0/0000:02:00.0", "1b36:0010", 0x010802, next(group), "nvme",
                          numa_node=1)
    tree.add(f"{drive}/nvme/nvme0/dev", "240:0\n")
    tree.link("sys/class/nvme/nvme0", f"{drive}/nvme/nvme0")
    tree.function("0000:00:1f.3", "8086:2930", 0x0C0500, next(group), numa_node=-1)


def loaded(tree):
    """VFIO, huge pages, KVM and no limits."""
    for module in ("vfio", "vfio_pci", "vfio_iommu_type1"):
        tree.add(f"sys/module/{module}/initstate", "live\n")
    os.makedirs(f"{tree.path}/sys/bus/pci/drivers/vfio-pci", exist_ok=True)
    tree.parameter("vfio_iommu_type1", "allow_unsafe_interrupts", "N")
    tree.add("dev/kvm")
    tree.add("proc/self/limits", LIMITS.format(memlock="unlimited"))
    tree.add("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "1024\n")
    tree.add("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "1000\n")


def intel(path):
    """All is good."""
    tree = Tree(path)
    tree.add("sys/firmware/acpi/tables/DMAR")
    unit = "sys/devices/virtual/iommu/dmar0"
    for name, value in (("cap", INTEL_CAP), ("ecap", INTEL_ECAP)):
        tree.add(f"{unit}/intel-iommu/{name}", f"{value:x}\n")
    tree.link("sys/class/iommu/dmar0", unit)
    tree.add("proc/interrupts", REMAPPED)
    tree.parameter("kvm_intel", "enable_apicv", "Y")
    devices(tree, grouped=True)
    loaded(tree)
    return tree


def off(path):
    """An Intel machine on which somebody turned the IOMMU off."""
    tree = Tree(path)
    tree.add("sys/firmware/acpi/tables/DMAR")
    tree.add("proc/cmdline", "root=/dev/sda1 intel_iommu=off quiet\n")
    tree.add("usr/sbin/update-grub")
    devices(tree, grouped=False)
    return tree


def amd(path):
    """An AMD machine that translates DMA, but leaves interrupts as they are."""
    tree = Tree(path, AMD_CPU)
    tree.add("sys/firmware/acpi/tables/IVRS")
    unit = "sys/devices/virtual/iommu/ivhd0"
    for name, value in (("cap", 0x190B640F), ("features", 0x246577EFA2254AFA)):
        tree.add(f"{unit}/amd-iommu/{name}", f"{value:x}\n")
    tree.link("sys/class/iommu/ivhd0", unit)
    tree.add("proc/cmdline", "root=/dev/sda1 intremap=off\n")
    tree.add("usr/sbin/grubby")
    tree.parameter("kvm_amd", "avic", "N")
    devices(tree, grouped=True)
    loaded(tree)
    return tree


def guest(path):
    """A virtual machine without an IOMMU, modules or nested virtualization."""
    tree = Tree(path, INTEL_CPU.replace(" vmx", "").replace(" sse4_2", ""), guest=True)
    tree.function("0000:00:03.0", "1af4:1041", 0x020000, driver="virtio-pci", numa_node=-1)
    tree.add(f"lib/modules/{RELEASE}/modules.dep", "kernel/fs/ext4/ext4.ko:\n")
    return tree


def large(path, count):
    """NICs with 63 VFs each, behind root ports of their own, until there are so many functions."""
    tree = intel(path)
    made = len(os.listdir(f"{path}/sys/bus/pci/devices"))
    group = 100
    for number in range(1, 256):
        port = f"{number:04x}:00:00.0"
        for index in range(-2, 63):
            if made >= count:
                return tree
            made += 1
            group += 1
            if index == -2:
                tree.function(port, "8086:0c01", 0x060400, group, "pcieport", config(ROOT_PORT, (ACS, ACS)))
            elif index == -1:
                nic = tree.function(f"{port}/{number:04x}:01:00.0", "8086:10c9", 0x020000, group, "igb",
                                    sriov_totalvfs=63, sriov_numvfs=63)
                tree.netdev(nic, f"eth{number + 9}")
            else:
                way = f"{port}/{number:04x}:01:{2 + index // 8:02x}.{index % 8}"
                tree.vf(nic, index, way, group, "vfio-pci" if index % 2 else None)
    return tree


if __name__ == "__main__":
    large(sys.argv[2], int(sys.argv[1]))
