#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A VF for QEMUs in the machine, whose guests do not start: one has it by exactly what "iolane vm args" prints, one has it plugged
in. Nobody else gets it meanwhile, and it can be given back."""

import os
import shlex
import shutil

from machine import IGB, Machine, check, initramfs, main, wait_for
from test_apply import Host

QEMU = "/run/qemu"
VF = f"{IGB}/vf0"
MONITOR = "/run/qmp"
FIRMWARE = ["/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/kvmvapic.bin"]
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


def start(host, arguments):
    """A QEMU whose guest does not start; gives its process."""
    more = f"-L {QEMU} -nodefaults -no-user-config -display none -S -qmp unix:{MONITOR},server=on,wait=off"
    command = f"{QEMU}/qemu-system-x86_64 {shlex.join(arguments)} {more}"
    pid = host.sh(f"rm -f {MONITOR}; {ENVIRONMENT} {command} > /run/log 2>&1 & echo $!")

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
    refused(host, f"vm detach --qmp={MONITOR} vf0 --timeout=1s", "while it is \"prelaunch\"")
    said = host.sh(f"iolane vm doctor --qmp={MONITOR} || true")
    check("is taken by iommufd" in said and "the host remaps interrupts" in said, said)


def test(args):
    with Machine(args, programs=["iolane"], devices=("igb", "nvme"), memory="2G") as machine:
        host = Host(machine)
        copy_qemu(machine)
        vf, _ = machine.make_vfs(IGB, 2)
        # Without an address of its own it would have another with each driver.
        host.sh(f"iolane vf set {VF} mac=02:00:00:00:00:01")
        machine.bind(vf, "igbvf")
        before = host.facts()
        refused(host, f"vm args --vf={VF}", "with the driver igbvf", f"iolane bind {VF}")
        host.sh(f"iolane bind {VF}")
        arguments = shlex.split(iolane(host, f"vm args --vf={VF} --memory=256M").replace("\\\n", ""))
        check("iommufd=iolane-iommufd" in " ".join(arguments), f"vm args says {arguments}")
        pid = start(host, arguments)
        has_it(host, pid)
        end(host, pid)
        pid = start(host, shlex.split(iolane(host, "vm args --memory=256M").replace("\\\n", "")))
        said = iolane(host, f"vm attach --qmp={MONITOR} --vf={VF}")
        check(f"vf0: {vf}" in said and "does not run" in said, said)
        has_it(host, pid)
        end(host, pid)
        # The kernel closes what a dead process had a moment later.
        wait_for("the VF to be given back", lambda: machine.run(f"iolane unbind {VF}")[0] == 0)
        wait_for("its interface", lambda: machine.run("ls /sys/bus/pci/drivers/igbvf/*/net")[0] == 0)
        check(host.facts() == before, f"there is\n{host.facts()}\nand not\n{before}")


main(test)
