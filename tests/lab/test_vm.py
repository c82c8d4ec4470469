#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A VF for guests of a QEMU in the machine: one starts by exactly what "iolane vm args" prints and pings through the VF; it is
taken out, given back to its driver, plugged in again and taken out again. Nobody else gets it meanwhile."""

import os
import shlex
import shutil

from machine import IGB, Machine, check, initramfs, lab_kernel, main, wait_for
from test_apply import Host

QEMU = "/run/qemu"
VF = f"{IGB}/vf0"
MONITOR = "/run/qmp"
OUTER, INNER = "10.0.0.1", "10.0.0.2"
# What it loads to start a PC.
FIRMWARE = ["/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/kvmvapic.bin", "/usr/share/qemu/linuxboot_dma.bin"]
# Where their programs are found.
ENVIRONMENT = f"PATH={QEMU}:$PATH LD_LIBRARY_PATH={QEMU}"


def copy_qemu(args, machine):
    """QEMU with its libraries, and what its guest boots; into memory, as the share has no cache."""
    folder = os.path.join(machine.share, "qemu")
    os.makedirs(folder)
    shutil.copy(machine.qemu, folder)
    for path, library in initramfs.libraries(machine.qemu):
        shutil.copy(library, os.path.join(folder, os.path.basename(path)))
    for path in FIRMWARE:
        shutil.copy(path, folder)
    shutil.copy(lab_kernel(), os.path.join(folder, "kernel"))
    cache = os.path.join(args.build, "tests/lab/cache")
    shutil.copy(initramfs.build_initramfs(cache, initramfs.Contents()), os.path.join(folder, "initrd"))
    machine.sh(f"cp -r /host/qemu {QEMU}")


class Guest:
    """A guest in the machine; its init takes commands by a pipe and answers by another."""

    def __init__(self, host, name, arguments):
        self.host = host
        self.name = name
        self.pipe = f"/run/{name}"
        self.number = 0
        host.sh(f"mkfifo {self.pipe}.in {self.pipe}.out; cat {self.pipe}.out > {self.pipe}.said 2> /dev/null &")
        command = [
            *(f"{QEMU}/qemu-system-x86_64", "-L", QEMU, *arguments),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-qmp", f"unix:{MONITOR},server=on,wait=off"),
            *("-serial", f"file:{self.pipe}.console"),
            *("-chardev", f"pipe,id=port,path={self.pipe}", "-serial", "chardev:port"),
            *("-kernel", f"{QEMU}/kernel", "-initrd", f"{QEMU}/initrd"),
            *("-append", "console=ttyS0 quiet panic=-1 no_timer_check"),
        ]
        self.pid = host.sh(f"{ENVIRONMENT} {shlex.join(command)} > {self.pipe}.log 2>&1 & echo $!")
        self.wait("@ready", 400)

    def wait(self, text, seconds=300):
        def said():
            got = self.host.sh(f"cat {self.pipe}.said")
            alive = self.host.machine.run(f"test -d /proc/{self.pid}")[0] == 0
            check(alive, f"QEMU has ended: {self.host.machine.run(f'tail -n 9 {self.pipe}.log {self.pipe}.console')[1]}")
            return got if text in got else None
        try:
            return wait_for(f"{self.name} to say {text}", said, seconds)
        except Exception:
            print(self.host.machine.run(f"cat {self.pipe}.said; tail -n 30 {self.pipe}.console; cat {self.pipe}.log; cat /host/command; top -b -n 1 | head -20; cat /proc/interrupts")[1])
            raise

    def run(self, command):
        """(exit status, output) of a command of one line."""
        self.number += 1
        path = self.host.write("command", f"{self.number} {command}\n")
        self.host.sh(f"cat {path} > {self.pipe}.in")
        said = self.wait(f"@{self.number} ").rpartition(f"@{self.number} ")[2]
        head, _, output = said.partition("\n")
        return int(head.split()[0]), output

    def sh(self, command):
        status, output = self.run(command)
        check(status == 0, f"in {self.name}: {command} gave {status}: {output}")
        return output


def pings(host, guest):
    """By the VF, which is the only NIC that it has."""
    wait_for("the guest's NIC", lambda: guest.run("ls /sys/bus/pci/drivers/igbvf/*/net/eth0")[0] == 0)
    guest.sh(f"ip addr replace {INNER}/24 dev eth0 && ip link set eth0 up")
    wait_for("its carrier", lambda: guest.run("grep 1 /sys/class/net/eth0/carrier")[0] == 0)
    wait_for("an answer", lambda: guest.run(f"ping -c 1 -W 2 {OUTER}")[0] == 0)
    said = guest.sh(f"ping -c 5 -i 0.2 -W 20 {OUTER}")
    check("5 packets received" in said, said)


def iolane(host, words):
    return host.sh(f"{ENVIRONMENT} iolane {words}")


def refused(host, words, *sentences):
    host.refused(f"{ENVIRONMENT} iolane {words}", *sentences)


def given_back(host, before):
    said = iolane(host, f"vm detach --qmp={MONITOR} vf0 --give-back --timeout=100s")
    check("vf0 is gone from the guest" in said and "is bound to igbvf" in said, said)
    wait_for("its interface", lambda: host.machine.run("ls /sys/bus/pci/drivers/igbvf/*/net")[0] == 0)
    check(host.facts() == before, f"there is\n{host.facts()}\nand not\n{before}")


def test(args):
    with Machine(args, programs=["iolane"], devices=("igb", "nvme"), memory="2G") as machine:
        host = Host(machine)
        copy_qemu(args, machine)
        vf, _ = machine.make_vfs(IGB, 2)
        machine.bind(vf, "igbvf")
        pf = machine.netdev(IGB)
        host.sh(f"ip addr add {OUTER}/24 dev {pf}")
        before = host.facts()
        refused(host, f"vm args --vf={VF}", "with the driver igbvf", f"iolane bind {VF}")
        host.sh(f"iolane bind {VF}")
        arguments = shlex.split(iolane(host, f"vm args --vf={VF} --memory=256M").replace("\\\n", ""))
        text = " ".join(arguments)
        check("-accel kvm" in text and "iommufd=iolane-iommufd" in text, f"vm args says {text}")
        guest = Guest(host, "guest", arguments)
        pings(host, guest)
        # A device is one guest's, whoever asks.
        refused(host, f"vm args --vf={VF}", "is in use", f"(pid {guest.pid})")
        refused(host, f"vm attach --qmp={MONITOR} --vf={VF}", "is in use", f"(pid {guest.pid})")
        given_back(host, before)
        refused(host, f"vm attach --qmp={MONITOR} --vf={VF}", "with the driver igbvf")
        host.sh(f"iolane bind {VF}")
        check("vf0: " + vf in iolane(host, f"vm attach --qmp={MONITOR} --vf={VF}"), "nothing was plugged in")
        pings(host, guest)
        given_back(host, before)
        host.sh(f"kill {guest.pid}")


main(test)
