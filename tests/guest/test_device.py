#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""iolane-blk inside a guest, on the guest's NVMe drives: completions by polling, discard, zeroes,
restart, and a drive that is pulled out. QEMU emulates the drives; the driver is the kernel's own."""

import re

import harness
from basis import Missing, check, wait_for

SIZE = 256 << 20
QUEUES = 4
# What blkfront does: of each four of its blocks the first keeps its data.
START = 32 << 20
BLOCK = 16384
BLOCKS = 256
UNPOLLED = "is not polled for completions"
CONTROL = "--control=/run/control"
# The kernel's complaints that even a drive that was pulled out must not bring.
TROUBLE = r"Call Trace|blocked for more than|Oops|BUG:"


def options(properties):
    return ",".join(f"{key}={value}" for key, value in properties.items())


class Drive:
    """A drive of the guest, and the disk that a backend in the guest makes of it."""

    def __init__(self, lab, name):
        self.name = name
        self.socket = f"/run/{name}.sock"
        self.image = lab.image(name, SIZE)
        backing = {"driver": "raw", "node-name": name, "discard": "unmap"}
        file = {"file.driver": "file", "file.filename": self.image, "file.discard": "unmap"}
        self.machine = ["-blockdev", options({**backing, **file})]

    def serve(self, iopoll=True):
        """What iolane-blk --disk and iolane blk add take."""
        words = f"socket={self.socket},file=/dev/{self.name},name={self.name}"
        return f"{words},queues={QUEUES},direct=on,{'iopoll' if iopoll else 'fixed-buffers'}=on"

    def load(self, guest, depth=16, queues=QUEUES, seconds=1):
        """Reads and writes at random, all checked."""
        amount = f"--queues={queues} --iodepth={depth} --runtime={seconds} --size=16M"
        return guest.sh(f"iolane-bench blk --socket={self.socket} --rw=randrw --verify {amount}")

    def stat(self, guest):
        """Requests that the kernel made of the drive: (reads and writes, discards)."""
        words = list(map(int, guest.sh(f"cat /sys/block/{self.name}/stat").split()))
        return words[0] + words[4], words[11]


class Nvme(Drive):
    def __init__(self, lab, number, block_size):
        super().__init__(lab, f"nvme{number}n1")
        self.number = number
        place = {"id": f"slot{number}", "chassis": 0x10 + number, "addr": f"1b.{number}"}
        self.device = {"id": f"d{number}", "serial": f"serial{number}", "drive": self.name}
        self.device |= {"bus": place["id"]}
        self.device |= {"logical_block_size": block_size, "physical_block_size": block_size}
        self.machine += ["-device", f"pcie-root-port,multifunction=on,{options(place)}"]
        self.machine += ["-device", f"nvme,{options(self.device)}"]

    def interrupts(self, guest):
        """Interrupts that told of completed I/O; queue 0 is the administrator's."""
        lines = guest.sh(f"grep -E 'nvme{self.number}q[1-9]' /proc/interrupts").split("\n")
        return sum(int(n) for line in lines for n in re.findall(r"\d+(?= )", line.split("PCI")[0]))

    def cost(self, guest, **load):
        """(requests, interrupts) of a load."""
        requests, interrupts = self.stat(guest)[0], self.interrupts(guest)
        self.load(guest, **load)
        return self.stat(guest)[0] - requests, self.interrupts(guest) - interrupts


class Backend:
    """iolane-blk in the guest."""

    def __init__(self, guest, name, *disks):
        self.guest = guest
        self.log = f"/run/{name}.log"
        self.status = f"/run/{name}.status"
        words = " ".join(f"--disk {disk}" for disk in disks)
        command = f"iolane-blk --threads=2 {CONTROL} {words}"
        guest.sh(f"({command} > {self.log} 2>&1; echo $? > {self.status}) > /dev/null 2>&1 &")
        wait_for("iolane-blk in the guest", lambda: "control socket" in self.said())

    def said(self):
        text = self.guest.run(f"cat {self.log}")[1]
        ended, status = self.guest.run(f"cat {self.status}")
        check(ended != 0, f"iolane-blk ended with {status}: {text}")
        return text

    def stop(self):
        self.guest.sh("kill -TERM $(pidof iolane-blk)")
        wait_for("iolane-blk to end", lambda: self.guest.run(f"test -s {self.status}")[0] == 0)
        status = self.guest.sh(f"cat {self.status}")
        check(status == "0", f"iolane-blk ended with {status} on SIGTERM")


def polled(lab, guest, drives, other):
    """Completions come without interrupts, and with one each when nobody polls."""
    every = [*drives, other]
    backend = Backend(guest, "polled", *(drive.serve() for drive in every))
    for drive in drives:
        for load in ({}, {"depth": 1, "queues": 1}):
            requests, interrupts = drive.cost(guest, **load)
            sentence = f"{drive.name}, polled: {requests} requests, {interrupts} interrupts"
            check(requests > 100 and interrupts <= requests // 100, sentence)
            lab.step(sentence)
    other.load(guest)
    unpolled = re.findall(rf"(\S+) {UNPOLLED}", backend.said())
    check(unpolled == [f"/dev/{other.name}"], f"not polled are {unpolled}: {backend.said()}")
    lab.step(f"{other.name} has no queues for that, and that is said")
    backend.stop()

    backend = Backend(guest, "interrupts", *(drive.serve(iopoll=False) for drive in drives))
    for drive in drives:
        requests, interrupts = drive.cost(guest, depth=1, queues=1)
        sentence = f"{drive.name}, not polled: {requests} requests, {interrupts} interrupts"
        check(interrupts >= requests // 2, sentence)
        lab.step(sentence)
    backend.stop()


def ranges(lab, guest, drive):
    """Discards and zeroes, in flight on all queues at once, reach the drive and its image."""
    before = drive.stat(guest)[1]
    done = guest.sh(f"blkfront {drive.socket}")
    discards = drive.stat(guest)[1] - before
    check(discards == BLOCKS // 4, f"{drive.name} had {discards} discards: {done}")
    check("secure erase not offered" in done, f"{drive.name} has a secure erase: {done}")
    guest.refuses(f"blkdiscard -s -o {START} -l {BLOCK} /dev/{drive.name}")
    with open(drive.image, "rb") as image:
        image.seek(START)
        for block in range(BLOCKS):
            zero = not any(image.read(BLOCK))
            check(zero == (block % 4 != 0), f"block {block} of {drive.name} is wrong in its image")
    lab.step(f"{drive.name}: {done}; all {discards} and the zeroes are in its image")


def pull_out(lab, guest, backend, drive, neighbour):
    """A drive goes while it is busy: clean errors, the process lives, another drive comes."""
    command = f"iolane-bench blk --socket={drive.socket} --rw=randrw --verify --size=16M"
    before = drive.stat(guest)[0]
    guest.sh(
        f"({command} --queues={QUEUES} --runtime=300 > /run/bench.log 2>&1;"
        " echo $? > /run/bench.status) > /dev/null 2>&1 &"
    )
    wait_for("the load", lambda: drive.stat(guest)[0] > before + 1000)
    guest.unplug(drive.device["id"])
    wait_for("the load to end", lambda: guest.run("test -s /run/bench.status")[0] == 0)
    said = guest.sh("cat /run/bench.log")
    check("IOERR" in said, f"the load had no error on a drive that is gone: {said}")
    check("failed at" in backend.said(), f"no error in the log: {backend.said()}")
    lab.step(f"{drive.name} is gone: {said}")
    neighbour.load(guest)
    guest.refuses(f"test -e /dev/{drive.name}")
    guest.sh(f"iolane blk del {drive.name} {CONTROL}")
    guest.qmp("device_add", driver="nvme", **drive.device)
    wait_for("the drive to come back", lambda: not guest.run(f"test -b /dev/{drive.name}")[0])
    guest.sh(f"iolane blk add {drive.serve()} {CONTROL}")
    requests, interrupts = drive.cost(guest)
    check(interrupts <= requests // 100, f"{interrupts} interrupts for {requests} requests")
    lab.step("the process lives, its other disk works, and so does the drive when it is back")


def test(lab):
    if lab.stand_in:
        raise Missing("only iolane-blk runs inside the guest")
    lab.add_to_guests(
        # Without multipath a drive's own counters are at its name.
        modules=["nvme_core multipath=0", "nvme poll_queues=2"],
        programs=["iolane-blk", "iolane", "iolane-bench", "blkfront"],
    )
    drives = [Nvme(lab, 0, 512), Nvme(lab, 1, 4096)]
    other = Drive(lab, "vda")
    other.machine += ["-device", f"virtio-blk-pci,drive={other.name}"]
    guest = lab.guest("guest", [], machine=sum((d.machine for d in [*drives, other]), []))
    lab.step("booted")
    polled(lab, guest, drives, other)
    for drive in drives:
        command = f"iolane-blk --disk {drive.serve()}"
        done = guest.sh(f"blkfront {drive.socket} {command} 2> /run/{drive.name}.restarts")
        lab.step(f"{drive.name}: {done}")
    backend = Backend(guest, "last", *(drive.serve() for drive in drives))
    for drive in drives:
        ranges(lab, guest, drive)
    guest.check_dmesg()
    pull_out(lab, guest, backend, *drives)
    backend.stop()
    guest.refuses(f"dmesg | grep -E '{TROUBLE}'")
    # The kernel may say that I/O to the lost drive failed; lab.finish() looks for that.
    guest.sh("dmesg -c > /dev/null")


harness.main(test)
