#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A VF for guests of QEMUs in the machine: one has it plugged in before it starts; one starts by exactly what "iolane vm args"
prints, with a disk and a NIC that stands by for the VF, and uses all; its VF is taken out, given back to its driver, plugged in
again and taken out again. Nobody else gets it meanwhile."""

import os
import shlex
import shutil

import inner
from dpdk import copy_dpdk, start_net
from inner import Inner
from machine import IGB, Machine, check, initramfs, main, wait_for
from test_apply import Host

QEMU = "/run/qemu"
VF = f"{IGB}/vf0"
MONITOR = "/run/qmp"
# What it loads to start a PC.
FIRMWARE = [
    "/usr/share/seabios/bios-256k.bin",
    *(f"/usr/share/qemu/{name}" for name in ("kvmvapic.bin", "linuxboot_dma.bin")),
]
# Where QEMU and its libraries are found.
ENVIRONMENT = f"PATH={QEMU}:$PATH LD_LIBRARY_PATH={QEMU}"


def copy_qemu(machine):
    """QEMU with its libraries; into memory, as the share has no cache."""
    folder = os.path.join(machine.share, "qemu")
    os.makedirs(folder)
    shutil.copy(machine.qemu, folder)
    for path, library in initramfs.libraries(machine.qemu):
        shutil.copy(library, os.path.join(folder, os.path.basename(path)))
    for path in FIRMWARE:
        shutil.copy(path, folder)
    machine.sh(f"cp -r /host/qemu {QEMU}")


def command(arguments, more):
    """What starts a QEMU by what is printed, and by what is the caller's to say."""
    words = shlex.split(arguments.replace("\\\n", ""))
    own = f"-L {QEMU} -nodefaults -no-user-config -display none -qmp unix:{MONITOR},server=on,wait=off {more}"
    return f"rm -f {MONITOR}; {ENVIRONMENT} exec {QEMU}/qemu-system-x86_64 {shlex.join(words)} {own}"


def start(host, arguments):
    """A QEMU whose guest does not start; gives its process."""
    pid = host.sh(f"({command(arguments, '-S')}) > /run/log 2>&1 & echo $!")

    def ready():
        check(host.machine.run(f"test -d /proc/{pid}")[0] == 0, f"QEMU has ended: {host.sh('cat /run/log')}")
        look = f"iolane vm doctor --qmp={MONITOR} > /dev/null 2> /run/said; ! test -s /run/said"
        return host.machine.run(look)[0] == 0
    wait_for("QEMU", ready, 200)
    return pid


def end(host, pid):
    host.sh(f"kill {pid}")
    wait_for("QEMU to end", lambda: host.machine.run(f"test -e /proc/{pid}/exe")[0], 100)


def iolane(host, words):
    return host.sh(f"{ENVIRONMENT} iolane {words}")


def refused(host, words, *sentences):
    host.refused(f"{ENVIRONMENT} iolane {words}", *sentences)


def has_it(host, pid):
    """A device is one guest's, whoever asks."""
    for words in (f"vm args --vf={VF}", f"vm attach --qmp={MONITOR} --vf={VF}"):
        refused(host, words, "is in use", f"(pid {pid})")
    said = host.sh(f"iolane vm doctor --qmp={MONITOR} || true")
    check("is taken by iommufd" in said and "the host remaps interrupts" in said, said)


def before_it_starts(host, vf):
    pid = start(host, iolane(host, "vm args --memory=256M"))
    said = iolane(host, f"vm attach --qmp={MONITOR} --vf={VF}")
    check(f"vf0: {vf}" in said and "does not run" in said, said)
    has_it(host, pid)
    refused(host, f"vm detach --qmp={MONITOR} vf0 --timeout=1s", "while it is \"prelaunch\"")
    end(host, pid)


def given_back(host, before):
    said = iolane(host, f"vm detach --qmp={MONITOR} vf0 --give-back --timeout=200s")
    check("vf0 is gone from the guest" in said and "is bound to igbvf" in said, said)
    wait_for("its interface", lambda: host.machine.run("ls /sys/bus/pci/drivers/igbvf/*/net")[0] == 0)
    check(host.facts() == before, f"there is\n{host.facts()}\nand not\n{before}")


BRIDGE = "br0"


def make_bridge(machine):
    """One network of the PF, through which frames come from the VF, and of the NIC's tap; it has the PF's address."""
    pf = machine.netdev(IGB)
    machine.sh(f"ip link add {BRIDGE} type bridge && ip link set {BRIDGE} address $(cat /sys/class/net/{pf}/address) up && "
               f"for port in {pf} tap; do ip link set $port master {BRIDGE} up; done && "
               f"ip addr add {inner.VF_NET[0]}/24 dev {BRIDGE}")


def up_pair(guest):
    """The guest's kernel has one interface for NIC and VF."""
    link = guest.sh("until readlink /sys/bus/virtio/drivers/virtio_net/*/net/*/master; do sleep 0.2; done")
    name = os.path.basename(link)
    guest.sh(f"ip addr replace {inner.VF_NET[1]}/24 dev {name} && ip link set {name} up")
    return name


def sent(guest, driver):
    """Bytes that went by the interface of a driver that is one of the pair, which is beside the pair's own."""
    link = guest.sh(f"ls -d {driver}/*/net/*/master")
    return int(guest.sh(f"cat {os.path.dirname(link)}/statistics/tx_bytes"))


def by_vf(machine, guest, pair):
    """The VF is before the NIC while it is there."""
    folder = "/sys/bus/pci/drivers/igbvf"
    name = guest.sh(f"until ls -d {folder}/*/net/*/master; do sleep 0.2; done 2>/dev/null").split("/")[-2]
    inner.wait_carrier(guest, name)
    inner.pings(guest, inner.VF_NET[0])
    inner.carry(machine, guest, inner.VF_NET, name)
    check(sent(guest, folder) > inner.SIZE, f"{pair} has not sent by {name}")


def by_nic(machine, guest, pair):
    folder = "/sys/bus/virtio/drivers/virtio_net"
    before = sent(guest, folder)
    inner.pings(guest, inner.VF_NET[0])
    inner.carry(machine, guest, inner.VF_NET)
    check(sent(guest, folder) - before > inner.SIZE, f"{pair} has not sent by the NIC")


def started(host, vf, before):
    """By what is printed; the VF goes and comes while the guest runs, and the NIC stands by."""
    machine = host.machine
    devices = f"--vf={VF},standby=net0 --blk=/tmp/disk.sock --ask --net=/tmp/net.sock"
    refused(host, f"vm args {devices},mac=02:00:00:00:00:02", "stands by for it", "02:00:00:00:00:01")
    arguments = iolane(host, f"vm args {devices} --memory=256M --cpus=2")
    check("iommufd=iolane-iommufd" in arguments and "-accel kvm" in arguments, f"vm args says {arguments}")
    boot = f"-serial stdio -kernel /host/debian -initrd /host/debian.initrd -append {shlex.quote(inner.WORDS)}"
    guest = Inner(machine, f"({command(arguments, boot)})")
    pair = up_pair(guest)
    by_vf(machine, guest, pair)
    has_it(host, guest.pid)
    given_back(host, before)
    by_nic(machine, guest, pair)
    refused(host, f"vm attach --qmp={MONITOR} --vf={VF}", "with the driver igbvf")
    host.sh(f"iolane bind {VF}")
    attach = f"vm attach --qmp={MONITOR} --vf={VF},standby=net0"
    check(f"vf0: {vf}" in iolane(host, attach), "nothing was plugged in")
    by_vf(machine, guest, pair)
    has_it(host, guest.pid)
    given_back(host, before)
    guest.send("poweroff -f")
    guest.end()


def test(args):
    ours = ["iolane", "iolane-blk"]
    with Machine(args, programs=ours, devices=("igb", "nvme"), memory="2G", guests=True) as machine:
        host = Host(machine)
        copy_qemu(machine)
        copy_dpdk(args, machine)
        inner.copy_kernel(args, machine, "debian")
        vf, _ = machine.make_vfs(IGB, 2)
        # Without an address of its own it would have another with each driver.
        host.sh(f"iolane vf set {VF} mac=02:00:00:00:00:01")
        machine.bind(vf, "igbvf")
        before = host.facts()
        refused(host, f"vm args --vf={VF}", "with the driver igbvf", f"iolane bind {VF}")
        host.sh(f"iolane bind {VF}")
        before_it_starts(host, vf)
        host.sh(f"head -c {inner.SIZE} /dev/urandom > {inner.DISK}")
        disk = inner.start_disk(machine)
        net = start_net(machine, "net", "--port socket=/tmp/net.sock --uplink=net_tap0,iface=tap")
        make_bridge(machine)
        started(host, vf, before)
        host.sh(f"kill {disk} {net}")


main(test)
