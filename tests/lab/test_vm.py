#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A VF for guests of a QEMU in the machine: one starts by exactly what "iolane vm args" prints and answers through the VF; it is
taken out, given back to its driver, plugged in again and taken out again. Nobody else gets it meanwhile."""

import os
import shlex
import shutil

from machine import HERE, IGB, Failure, Machine, check, initramfs, lab_kernel, main, wait_for
from test_apply import Host

QEMU = "/run/qemu"
VF = f"{IGB}/vf0"
MONITOR = "/run/qmp"
# A guest in an emulated machine is slow by itself, and crawls where others want the processor.
SECONDS = 400
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
    contents = initramfs.Contents([os.path.join(HERE, "pingable")])
    shutil.copy(initramfs.build_initramfs(cache, contents), os.path.join(folder, "initrd"))
    machine.sh(f"cp -r /host/qemu {QEMU}")


class Guest:
    """A guest in the machine. Its interfaces answer pings; nothing else is asked of it."""

    def __init__(self, host, arguments):
        self.host = host
        command = [
            *(f"{QEMU}/qemu-system-x86_64", "-L", QEMU, *arguments),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-qmp", f"unix:{MONITOR},server=on,wait=off", "-serial", "file:/run/console"),
            *("-kernel", f"{QEMU}/kernel", "-initrd", f"{QEMU}/initrd"),
            *("-append", "console=ttyS0 quiet panic=-1 no_timer_check rdinit=/bin/pingable"),
        ]
        self.pid = host.sh(f"{ENVIRONMENT} {shlex.join(command)} > /run/log 2>&1 & echo $!")

    def reached(self):
        """By the VF, which is the only NIC that it has."""
        def answers():
            if self.host.machine.run(f"test -d /proc/{self.pid}")[0]:
                log = self.host.machine.run("tail -n 9 /run/log /run/console")[1]
                raise Failure(f"QEMU has ended: {log}")
            # A VF without an address of its own has another each time.
            return self.host.machine.run(f"arp -d {INNER}; ping -c 1 -W 5 {INNER}")[0] == 0
        try:
            wait_for("the guest to answer", answers, SECONDS)
        except Failure:
            print(self.host.machine.run("tail -n 20 /run/log /run/console")[1])
            raise
        said = self.host.sh(f"ping -c 5 -i 0.2 -W 20 {INNER}")
        check("5 packets received" in said, said)


def iolane(host, words):
    return host.sh(f"{ENVIRONMENT} iolane {words}")


def refused(host, words, *sentences):
    host.refused(f"{ENVIRONMENT} iolane {words}", *sentences)


def given_back(host, before):
    said = iolane(host, f"vm detach --qmp={MONITOR} vf0 --give-back --timeout=300s")
    check("vf0 is gone from the guest" in said and "is bound to igbvf" in said, said)
    wait_for("its interface", lambda: host.machine.run("ls /sys/bus/pci/drivers/igbvf/*/net")[0] == 0)
    check(host.facts() == before, f"there is\n{host.facts()}\nand not\n{before}")


def processor_khz():
    """The rate of the time stamp counter, which the machine has of this one's processor. What its kernel measures while others
    want the processor is wrong, and then a guest in it waits for timers that are far off."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        rates = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    return int(1000 * rates[0])


def test(args):
    append = f"tsc_early_khz={processor_khz()}"
    with Machine(args, programs=["iolane"], devices=("igb", "nvme"), memory="2G", append=append) as machine:
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
        guest = Guest(host, arguments)
        guest.reached()
        # A device is one guest's, whoever asks.
        refused(host, f"vm args --vf={VF}", "is in use", f"(pid {guest.pid})")
        refused(host, f"vm attach --qmp={MONITOR} --vf={VF}", "is in use", f"(pid {guest.pid})")
        given_back(host, before)
        refused(host, f"vm attach --qmp={MONITOR} --vf={VF}", "with the driver igbvf")
        host.sh(f"iolane bind {VF}")
        check("vf0: " + vf in iolane(host, f"vm attach --qmp={MONITOR} --vf={VF}"), "nothing was plugged in")
        guest.reached()
        given_back(host, before)
        host.sh(f"kill {guest.pid}")


main(test)
