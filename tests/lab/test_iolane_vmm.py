#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""iolane-vmm in the lab: what cannot be is refused with one sentence, and leaves nothing behind. Its guests boot, reset and
power off; one programs MSI-X and lets a device write where it must not; one is Debian's, with a VF, a disk and a NIC."""

import gzip
import os
import zlib
from shlex import quote

import inner
from dpdk import copy_dpdk, start_net
from inner import Inner
from machine import EDU, GROUPED, IGB, Failure, Machine, check, harness, lab_kernel, main


def unpack(image):
    """The vmlinux in a bzImage that is packed with gzip."""
    with open(image, "rb") as file:
        data = file.read()
    start = -1
    while (start := data.find(gzip.compress(b"")[:3], start + 1)) >= 0:
        try:
            unpacked = zlib.decompressobj(31).decompress(data[start:])
        except zlib.error:
            continue
        if unpacked.startswith(b"\x7fELF"):
            return unpacked
    raise Failure(f"there is no vmlinux in {image}")


def start(machine, kernel, options, words=""):
    initrd = kernel.replace("vmlinux", "lab")
    return Inner(machine, f"iolane-vmm --kernel=/host/{kernel} --initrd=/host/{initrd}.initrd "
                          f"--cmdline={quote(f'{inner.WORDS} {words}')} {options}")


def wrong(machine):
    """What is refused without a device."""
    machine.sh("head -c 100000 /host/lab > /tmp/short; head -c 4096 /dev/zero > /tmp/zeroes; : > /tmp/empty; "
               "head -c 3000 /host/vmlinux > /tmp/shortelf; mkdir -p /tmp/folder")
    long = "x" * 4000
    good = "--kernel=/host/lab"
    for options, status, *words in [
        ("", 2, "--kernel=FILE"),
        (f"{good} --memory=1M", 2, "16M"),
        (f"{good} --cpus=255", 2, "254"),
        (f"{good} --vfio=a --vfio=a", 2, "twice"),
        ("--kernel=/none", 1, "/none", "No such file"),
        ("--kernel=/tmp/empty", 1, "/tmp/empty is empty"),
        ("--kernel=/tmp/folder", 1, "not a file"),
        ("--kernel=/tmp/zeroes", 1, "neither a bzImage nor an ELF"),
        ("--kernel=/tmp/short", 1, "cut short"),
        ("--kernel=/tmp/shortelf", 1, "cut short"),
        ("--kernel=/bin/busybox", 1, "no PVH entry"),
        (f"{good} --initrd=/none", 1, "initrd /none"),
        (f"{good} --initrd=/host/vmlinux --memory=32M", 1, "--memory"),
        (f"{good} --cmdline={long}", 1, "command line", "4000"),
        (f"{good} --memory=64T", 1, "more than this host has"),
        (f"{good} --hugepages", 1, "huge"),
        (f"{good} --vfio=0000:00:1e.0", 1, "0000:00:1e.0"),
        (f"{good} --vfio={IGB}", 1, f"iolane bind {IGB}"),
        (f"{good} --blk=/none", 1, "/none"),
        (f"{good} --net=/tmp/zeroes", 1, "/tmp/zeroes"),
    ]:
        got, said = machine.run(f"iolane-vmm {options} < /dev/null")
        check(got == status and said.count("\n") == 0 and all(word in said for word in words),
              f"iolane-vmm {options[:200]}: {got}, and not {status} with {words}\n{said}")
    machine.sh("mv /dev/kvm /dev/kvm-away")
    got, said = machine.run(f"iolane-vmm {good}")
    check(got == 1 and "/dev/kvm" in said, f"without KVM: {got} {said}")
    machine.sh("mv /dev/kvm-away /dev/kvm")


def group(machine):
    """A function whose group is not VFIO's as a whole."""
    machine.bind(GROUPED[0], "vfio-pci")
    machine.bind(GROUPED[1], "uio_pci_generic")
    got, said = machine.run(f"iolane-vmm --kernel=/host/lab --vfio={GROUPED[0]}")
    check(got == 1 and said.count("\n") == 0 and GROUPED[0] in said and "group" in said, f"{got} {said}")
    drivers = [machine.driver(address) for address in GROUPED]
    check(drivers == ["vfio-pci", "uio_pci_generic"], f"there are {drivers}")


# Where the guest with these devices has no memory; edu reaches it.
STRAY = 0xc345000


def take(guest, address):
    """A function for the guest's own user space."""
    folder = f"/sys/bus/pci/devices/{address}"
    guest.sh(f"echo vfio-pci > {folder}/driver_override; echo {address} > {folder}/driver/unbind; "
             f"echo {address} > /sys/bus/pci/drivers_probe; readlink {folder}/driver")


def programs(machine, vf):
    """A vmlinux. Its user space programs the functions' interrupts, resets them, and writes where it has no memory;
    then it resets itself. Another, in huge pages, ends as its VMM is told to."""
    machine.sh(f"iolane bind {vf} {EDU}; dmesg -c > /dev/null")
    # Functions are in the order of the options.
    guest = start(machine, "vmlinux", f"--memory=128M --cpus=2 --vfio={vf} --vfio={EDU} --no-reboot",
                  "vfio.enable_unsafe_noiommu_mode=1")
    for address, probes in (("0000:00:01.0", "vf storm"), ("0000:00:02.0", f"msi intx stray:{STRAY:#x}")):
        take(guest, address)
        print(guest.sh(f"vfioprobe --unsafe noiommu {address} {probes}"))
    log = machine.sh("dmesg")
    check(f"[DMA Write NO_PASID] Request device [{EDU[5:]}] fault addr {STRAY:#x}" in log,
          f"no fault at what is not the guest's:\n{log}")
    guest.send("reboot -f")
    guest.end(3)
    machine.sh(f"iolane unbind {vf} {EDU}")
    machine.sh("echo 64 > /proc/sys/vm/nr_hugepages")
    guest = start(machine, "vmlinux", "--memory=128M --hugepages")
    left = machine.sh("sed -n 's/^HugePages_Free: *//p' /proc/meminfo")
    check(int(left) < 64, f"{left} of 64 huge pages are free")
    machine.sh(f"kill {guest.pid}")
    guest.end()
    machine.sh("echo 0 > /proc/sys/vm/nr_hugepages")


def devices(machine, kernel, vf):
    """A VF, a disk and a NIC; the back end dies and comes back; the guest resets, and powers off."""
    machine.sh(f"iolane vf set {IGB}/vf0 mac=02:00:00:00:00:05; iolane bind {IGB}/vf0")
    before = machine.sh(f"readlink /sys/bus/pci/devices/{vf}/driver; iolane vf list")
    machine.sh(f"head -c {inner.SIZE} /dev/urandom > {inner.DISK}")
    disk = inner.start_disk(machine)
    # Huge pages, but too few for an uplink's packets.
    machine.sh("echo 3 > /proc/sys/vm/nr_hugepages")
    net = start_net(machine, "net", "--port socket=/tmp/net.sock --uplink=net_tap0,iface=tap")
    machine.sh("grep -q 'less than 128 MiB of huge pages are free' /tmp/net.log && echo 0 > /proc/sys/vm/nr_hugepages")
    inner.make_ends(machine)
    guest = start(machine, kernel, f"--memory=256M --cpus=2 --vfio={IGB}/vf0 --blk=/tmp/disk.sock --net=/tmp/net.sock")
    check(guest.sh("nproc") == "2", "not two processors")
    taken, said = machine.run(f"iolane-vmm --kernel=/host/{kernel} --vfio={IGB}/vf0")
    check(taken == 1 and vf in said and "\n" not in said, f"a VF of two guests: {taken} {said}")

    name = inner.up_vf(guest)
    inner.up_nic(guest)
    for net_ends, vf_name in ((inner.VF_NET, name), (inner.NIC_NET, None)):
        inner.pings(guest, net_ends[0])
        inner.carry(machine, guest, net_ends, vf_name)
    inner.moved(guest, name)
    inner.reset(guest, name)
    disk = inner.restarted(machine, guest, disk)

    guest.send("reboot -f")
    guest.ready()
    inner.up_vf(guest)
    inner.up_nic(guest)
    for far, _ in (inner.VF_NET, inner.NIC_NET):
        inner.pings(guest, far)
    guest.send("poweroff -f")
    guest.end()
    after = machine.sh(f"readlink /sys/bus/pci/devices/{vf}/driver; iolane vf list")
    check(after == before, f"the guest leaves\n{after}\nand not\n{before}")
    machine.sh(f"kill {disk} {net}; iolane unbind {vf}; echo 0 > /sys/bus/pci/devices/{IGB}/sriov_numvfs")


def test(args):
    ours = ["iolane", "iolane-vmm", "iolane-blk"]
    with Machine(args, programs=ours, devices=("edu", "igb", "nvme", "group"), memory="1536M", guests=True) as machine:
        inner.copy_kernel(args, machine, "lab", [harness.find_built(args.build, "vfioprobe")])
        inner.copy_kernel(args, machine, "debian")
        with open(os.path.join(machine.share, "vmlinux"), "wb") as file:
            file.write(unpack(lab_kernel()))
        wrong(machine)
        group(machine)
        vf = machine.make_vfs(IGB, 2)[0]
        programs(machine, vf)
        copy_dpdk(args, machine)
        devices(machine, "debian", vf)


main(test)
