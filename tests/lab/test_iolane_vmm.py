#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""iolane-vmm in the lab: what cannot be is refused with one sentence, and leaves nothing behind. With --guests,
guests on nested KVM boot, reset and power off, and one drives a VF, a disk and a NIC that are really there. Those
are run by hand: QEMU's emulation of nested virtualization makes some boots hang, this VMM's and QEMU's own."""

import gzip
import os
import re
import shutil
import sys
import zlib
from shlex import quote

from dpdk import copy_dpdk, start_net
from machine import HERE, IGB, Failure, Machine, check, harness, initramfs, lab_kernel, main, wait_for

MODULES = ["virtio_pci", "virtio_blk", "virtio_net", "igbvf"]
BOOT = 400
SIZE = 4 << 20


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


class Inner:
    """A guest in the machine, and the shell in it."""

    def __init__(self, machine, kernel, initrd, options):
        self.machine = machine
        self.next_id = 0
        self.output = os.path.join(machine.share, "console")
        self.seen = 0
        machine.run("rm -f /tmp/keys /host/console; mkfifo /tmp/keys")
        # A writer that stays keeps the guest's input from ending.
        self.keys = machine.sh("sleep 100000 > /tmp/keys & echo $!")
        words = "console=ttyS0 quiet panic=-1 rdinit=/bin/inner"
        command = f"iolane-vmm --kernel=/host/{kernel} --initrd=/host/{initrd} --cmdline={quote(words)} {options}"
        # Its status is in a file when it has ended.
        self.pid = machine.sh(f"(rm -f /tmp/status; {command} < /tmp/keys > /host/console 2> /tmp/vmm.log; "
                              "echo $? > /tmp/status) > /dev/null 2>&1 & "
                              "until pidof iolane-vmm; do sleep 0.1; done | tail -n 1").split()[-1]
        self.ready()

    def text(self):
        with open(self.output, encoding="utf-8", errors="replace") as file:
            return file.read()[self.seen:].replace("\r", "")

    def await_text(self, what, pattern, seconds):
        """Waits for what the guest prints; it is then behind us."""
        def found():
            text = self.text()
            match = re.search(pattern, text)
            ended = not match and self.machine.run("cat /tmp/status")[0] == 0
            if ended:
                raise Failure(f"iolane-vmm has ended before {what}: {self.log()}\n{text}")
            return match and (text, match)
        try:
            text, match = wait_for(what, found, seconds)
        except Failure as err:
            raise Failure(f"{err}\nThe guest said:\n{self.text()[-2000:]}\n{self.log()}") from err
        self.seen += len(text[:match.end()])
        return text[:match.start()], match

    def log(self):
        return self.machine.run("cat /tmp/vmm.log")[1]

    def ready(self):
        self.await_text("the guest to be up", r"@ready\n", BOOT)

    def send(self, command):
        self.next_id += 1
        self.machine.sh(f"printf '%s\\n' {quote(f'{self.next_id} {command}')} > /tmp/keys")

    def run(self, command):
        self.send(command)
        text, match = self.await_text(command, rf"\n@{self.next_id} (\d+)\n", 120)
        return int(match.group(1)), text.strip()

    def sh(self, command):
        status, text = self.run(command)
        check(status == 0, f"in the inner guest: {command}\n  gave status {status}: {text}")
        return text

    def end(self, wanted=0):
        """Waits for iolane-vmm to end."""
        wait_for("iolane-vmm to end", lambda: self.machine.run("cat /tmp/status")[0] == 0, 60)
        status = self.machine.sh("cat /tmp/status")
        check(status == str(wanted), f"iolane-vmm ended with {status}: {self.log()}\n{self.text()}")
        self.machine.run(f"kill {self.keys}")


def wrong(machine):
    """What is refused without a device."""
    machine.sh("head -c 100000 /host/bzImage > /tmp/short; head -c 4096 /dev/zero > /tmp/zeroes; : > /tmp/empty; "
               "head -c 3000 /host/vmlinux > /tmp/shortelf; mkdir -p /tmp/folder")
    long = "x" * 4000
    good = "--kernel=/host/bzImage"
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


def pvh(machine):
    """A vmlinux, its resets, and who ends it."""
    guest = Inner(machine, "vmlinux", "initrd", "--memory=128M --no-reboot")
    check(guest.sh("nproc") == "1", "not one processor")
    guest.send("reboot -f")
    guest.end(3)
    guest = Inner(machine, "vmlinux", "initrd", "--memory=128M")
    machine.sh(f"kill {guest.pid}")
    guest.end()


def start_disk(machine):
    return machine.sh("iolane-blk --socket-path=/tmp/disk.sock --blk-file=/tmp/disk.img > /tmp/blk.log 2>&1 & echo $!")


def carry(machine, guest, name, far):
    """A file from the guest's disk to the machine by one NIC, with what it must be."""
    machine.sh(f"nc -l -p 9 > /tmp/{name} & echo $! > /tmp/nc")
    wait_for("nc to listen", lambda: machine.run("netstat -ltn | grep -q ':9 '")[0] == 0)
    guest.sh(f"dd if=/dev/vda bs=64k iflag=direct 2>/dev/null | nc -w 60 {far} 9")
    wait_for("nc to end", lambda: machine.run("test -d /proc/$(cat /tmp/nc)")[0] != 0)
    machine.sh(f"cmp /tmp/disk.img /tmp/{name}")


def devices(args, machine, kernel, initrd):
    """A VF, a disk and a NIC; the back end dies and comes back; the guest resets, and powers off."""
    pf = machine.netdev(IGB)
    vf = machine.make_vfs(IGB, 2)[0]
    machine.sh(f"ip addr add 10.0.0.1/24 dev {pf}; iolane vf set {IGB}/vf0 mac=02:00:00:00:00:05")
    machine.sh(f"iolane bind {IGB}/vf0")
    before = machine.sh(f"readlink /sys/bus/pci/devices/{vf}/driver; iolane vf list")
    machine.sh(f"head -c {SIZE} /dev/urandom > /tmp/disk.img")
    disk = start_disk(machine)
    net = start_net(machine, "net", "--port socket=/tmp/net.sock --uplink=net_tap0,iface=tap")
    machine.sh("ip addr add 10.1.0.1/24 dev tap && ip link set tap up")
    options = f"--memory=256M --cpus=2 --vfio={IGB}/vf0 --blk=/tmp/disk.sock --net=/tmp/net.sock"
    guest = Inner(machine, kernel, initrd, options)
    check(guest.sh("nproc") == "2", "not two processors")
    taken, said = machine.run(f"iolane-vmm --kernel=/host/{kernel} --vfio={IGB}/vf0")
    check(taken == 1 and vf in said and "\n" not in said, f"a VF of two guests: {taken} {said}")

    up(guest)
    guest.sh("ping -c 3 -w 60 10.0.0.1 && ping -c 3 -w 60 10.1.0.1")
    carry(machine, guest, "by-vf", "10.0.0.1")
    carry(machine, guest, "by-net", "10.1.0.1")

    machine.sh(f"kill -9 {disk}")
    guest.send("dd if=/dev/vda bs=64k iflag=direct 2>/dev/null | sha256sum")
    disk = start_disk(machine)
    text, _ = guest.await_text("the disk to come back", rf"\n@{guest.next_id} 0\n", 120)
    check(text.split()[0] == machine.sh("sha256sum /tmp/disk.img").split()[0], f"read: {text}")

    guest.send("reboot -f")
    guest.ready()
    up(guest)
    guest.sh("ping -c 1 -w 60 10.0.0.1 && ping -c 1 -w 60 10.1.0.1")
    guest.send("poweroff -f")
    guest.end()
    after = machine.sh(f"readlink /sys/bus/pci/devices/{vf}/driver; iolane vf list")
    check(after == before, f"the guest leaves\n{after}\nand not\n{before}")
    machine.sh(f"kill {disk} {net}; iolane unbind {vf}; echo 0 > /sys/bus/pci/devices/{IGB}/sriov_numvfs")


def up(guest):
    guest.sh("ip addr add 10.0.0.2/24 dev eth0 && ip link set eth0 up && "
             "ip addr add 10.1.0.2/24 dev eth1 && ip link set eth1 up")


def test(args, guests):
    programs = ["iolane", "iolane-vmm", "iolane-blk"]
    rate = harness.subprocess.check_output([harness.find_built(args.build, "tscrate")], text=True).strip()
    with Machine(args, programs=programs, devices=("igb",), memory="1536M", threads="multi",
                 append=f"tsc_early_khz={rate}") as machine:
        cache = os.path.join(args.build, "tests/lab/cache")
        inner = os.path.join(HERE, "inner")
        shutil.copy(lab_kernel(), os.path.join(machine.share, "bzImage"))
        with open(os.path.join(machine.share, "vmlinux"), "wb") as file:
            file.write(unpack(lab_kernel()))
        shutil.copy(initramfs.build_initramfs(cache, initramfs.Contents([inner])),
                    os.path.join(machine.share, "initrd"))
        wrong(machine)
        if guests:
            pvh(machine)
            copy_dpdk(args, machine)
            devices(args, machine, "bzImage", "initrd")


WITH_GUESTS = "--guests" in sys.argv
if WITH_GUESTS:
    sys.argv.remove("--guests")
main(lambda args: test(args, WITH_GUESTS))
