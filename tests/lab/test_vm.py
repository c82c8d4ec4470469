#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A VF for guests of QEMUs in the machine: one has it plugged in before it starts; one starts by exactly what "iolane vm args"
prints, with a disk and a NIC, and uses all; its VF is taken out, given back to its driver, plugged in again and taken out again.
Nobody else gets it meanwhile."""

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


def by_vf(machine, guest):
    name = inner.up_vf(guest)
    inner.pings(guest, inner.VF_NET[0])
    inner.carry(machine, guest, inner.VF_NET, name)


def started(host, vf, before):
    """By what is printed; the VF goes and comes while the guest runs."""
    machine = host.machine
    devices = f"--vf={VF} --blk=/tmp/disk.sock --net=/tmp/net.sock --ask"
    arguments = iolane(host, f"vm args {devices} --memory=256M --cpus=2")
    check("iommufd=iolane-iommufd" in arguments and "-accel kvm" in arguments, f"vm args says {arguments}")
    boot = f"-serial stdio -kernel /host/debian -initrd /host/debian.initrd -append {shlex.quote(inner.WORDS)}"
    guest = Inner(machine, f"({command(arguments, boot)})")
    has_it(host, guest.pid)
    by_vf(machine, guest)
    inner.up_nic(guest)
    inner.pings(guest, inner.NIC_NET[0])
    inner.carry(machine, guest, inner.NIC_NET)
    given_back(host, before)
    refused(host, f"vm attach --qmp={MONITOR} --vf={VF}", "with the driver igbvf")
    host.sh(f"iolane bind {VF}")
    check(f"vf0: {vf}" in iolane(host, f"vm attach --qmp={MONITOR} --vf={VF}"), "nothing was plugged in")
    has_it(host, guest.pid)
    by_vf(machine, guest)
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
        inner.make_ends(machine)
        started(host, vf, before)
        host.sh(f"kill {disk} {net}")


main(test)
