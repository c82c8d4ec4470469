#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The lab is what it says it is: with each IOMMU, by plain shell, what other tests rely on."""

from machine import BRIDGE, EDU, GROUPED, IGB, NIC, NVME, Machine, check, main

REMAPPED = "Enabled IRQ remapping"


def remaps(machine):
    return machine.run(f"dmesg | grep '{REMAPPED}'")[0] == 0


def alone(machine, address):
    members = machine.group(address)
    check(members == [address], f"the group of {address} is {members}")


def check_vfio(machine):
    """What VFIO shows of a device that it was given; the second interface is in one kernel only."""
    machine.bind(EDU, "vfio-pci")
    number = machine.sh(f"basename $(readlink /sys/bus/pci/devices/{EDU}/iommu_group)")
    machine.sh(f"test -c /dev/vfio/vfio && test -c /dev/vfio/{number}")
    if machine.kernel == "lab":
        machine.sh("test -c /dev/iommu && test -c /dev/vfio/devices/vfio0")
    else:
        machine.sh("test ! -e /dev/iommu && test ! -e /dev/vfio/devices")


def check_moves(machine):
    """Programs, files and statuses get in and out."""
    status, output = machine.run("echo out; echo err >&2; exit 7")
    check((status, output) == (7, "out\nerr"), f"got {status}, {output!r}")
    check("Usage: iolane" in machine.sh("iolane --help"), "iolane does not run in the machine")
    machine.put(__file__, "/tmp/copy")
    with open(__file__, "rb") as source:
        check(machine.get("/tmp/copy") == source.read(), "a file changed on its way in and out")
    check(b"MemTotal" in machine.get("/proc/meminfo"), "no file of /proc comes out")


def check_in_use(machine):
    """The disk can be mounted and the NIC can have the default route."""
    machine.sh("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt && grep /mnt /proc/mounts")
    name = machine.netdev(NIC)
    machine.sh(f"ip address add 192.0.2.1/24 dev {name} && ip link set {name} up")
    machine.sh("ip route add default via 192.0.2.2")
    check(f"dev {name}" in machine.sh("ip route show default"), "there is no default route")


def intel(args):
    with Machine(args, programs=["iolane"]) as machine:
        check(remaps(machine), "interrupts are not remapped")
        check_moves(machine)
        check_in_use(machine)
        for address in (EDU, "0000:00:03.0", IGB, NVME):
            alone(machine, address)
        for address in GROUPED:
            members = machine.group(address)
            check(members == [BRIDGE, *GROUPED], f"the group of {address} is {members}")
        drivers = [machine.driver(address) for address in (EDU, IGB, NVME)]
        check(drivers == [None, "igb", "nvme"], f"the drivers are {drivers}")
        for physical, count in ((IGB, 7), (NVME, 4)):
            functions = machine.make_vfs(physical, count)
            check(len(functions) == count, f"{physical} made {functions}")
            for function in functions:
                alone(machine, function)
                check(machine.driver(function) is None, f"{function} was bound by itself")
        check_vfio(machine)
        machine.bind("0000:01:10.0", "igbvf")
        machine.netdev("0000:01:10.0")


def intel_without_remapping(args):
    with Machine(args, remap=False, devices=["edu"]) as machine:
        check(not remaps(machine), "interrupts are remapped")
        alone(machine, EDU)
        check_vfio(machine)


def virtio(args):
    with Machine(args, iommu="virtio", devices=["edu", "igb"]) as machine:
        check(not remaps(machine), "interrupts are remapped")
        alone(machine, IGB)
        # This IOMMU takes a device in when a driver asks for it.
        check(not machine.group(EDU), f"{EDU} has a group before its driver")
        check_vfio(machine)
        alone(machine, EDU)


def none(args):
    with Machine(args, iommu="none", devices=["edu"]) as machine:
        check(not machine.sh("ls /sys/kernel/iommu_groups"), "there are groups without an IOMMU")
        machine.run("modprobe vfio-pci")
        folder = f"/sys/bus/pci/devices/{EDU}"
        machine.sh(f"echo vfio-pci > {folder}/driver_override")
        machine.refuses(f"echo {EDU} > /sys/bus/pci/drivers/vfio-pci/bind")
        check(machine.driver(EDU) is None, "VFIO took a device that no IOMMU guards")


def test(args):
    for part in (intel, intel_without_remapping, virtio, none):
        part(args)
        print(f"{part.__name__}: as it should be", flush=True)


main(test)
