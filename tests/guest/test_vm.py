#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""iolane vm: a guest that QEMU starts by exactly what "vm args" prints uses its disk and its NIC; another of each is plugged
in, used and taken out; what fails leaves nothing behind."""

import json
import shlex
import subprocess

import checks
import harness
import traffic
from basis import check, wait_for
from emulator import ACCELERATORS
from guest import Guest
from harness import find_built
from network import Nic, Switch

CPUS = 2


def emulated(arguments):
    """The arguments with an emulated processor. A machine's KVM may not be good enough for Linux: there are
    hosts that are guests themselves, where it ends at instructions that it does not know."""
    words = list(arguments)
    if "kvm" in words:
        at = words.index("kvm") - 1
        check(words[at:at + 4] == ["-accel", "kvm", "-cpu", "host"], f"another processor: {words}")
        del words[at:at + 4]
    return [*words, "-accel", ACCELERATORS["tcg"], "-cpu", "max"]


class Handed(Guest):
    """A guest of which QEMU is told by the user's part and by what iolane prints."""

    def __init__(self, lab, name, arguments):
        super(Guest, self).__init__(name)
        self.lab = lab
        self.disks, self.nics, self.requests = [], [], 0
        self.console = lab.path(f"{name}.console")
        self.qmp_path = lab.path(f"{name}.vm")
        if lab.accel == "tcg":
            arguments = emulated(arguments)
        command = [
            lab.qemu,
            *arguments,
            *("-nodefaults", "-no-user-config", "-display", "none"),
            *("-serial", f"file:{self.console}"),
            *self.channels(lab.path(name)),
            # The tests' monitor is one, and a monitor talks to one at a time.
            *("-qmp", f"unix:{self.qmp_path},server=on,wait=off"),
            *("-kernel", lab.kernel_image, "-initrd", lab.initramfs),
            *("-append", "console=ttyS0 quiet panic=0 no_timer_check"),
        ]
        self.process = lab.run(f"QEMU {name}", command, lab.path(f"{name}.log"))
        lab.guests.append(self)
        self.connect(lab.path(name))

    def facts(self):
        """All that plugging in could leave: devices, netdevs, chardevs, objects."""
        def of(command, *keys, **arguments):
            # They come in no order.
            return sorted(tuple(o[key] for key in keys) for o in self.qmp(command, **arguments))

        return {
            "peripheral": of("qom-list", "name", "type", path="/machine/peripheral"),
            "objects": of("qom-list", "name", "type", path="/objects"),
            "network": self.qmp("human-monitor-command", **{"command-line": "info network"}),
            "chardevs": of("query-chardev", "label", "filename"),
            "memory": of("query-memdev", "id", "size"),
        }


def iolane(lab, *arguments):
    command = [find_built(lab.build, "iolane"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def refused(lab, sentence, *arguments):
    done = iolane(lab, *arguments)
    check(done.returncode == 1 and sentence in done.stderr and not done.stdout,
          f"{arguments} gave {done.returncode}, and not \"{sentence}\":\n{done.stdout}{done.stderr}")


def printed(lab, *options):
    """The arguments, by both of the forms in which they are printed."""
    command = ("vm", "args", "--memory=256M", f"--cpus={CPUS}", *options)
    done = iolane(lab, *command)
    check(done.returncode == 0, f"vm args: {done.stderr}")
    words = shlex.split(done.stdout.replace("\\\n", ""))
    check(words == json.loads(iolane(lab, *command, "--json").stdout), f"JSON differs from {words}")
    return words


def disk_of(guest, serial):
    """The name of the disk with a serial, once it is there."""
    found = f"grep -l '^{serial}$' /sys/block/vd*/serial"
    return wait_for(serial, lambda: guest.run(found)[1]).split("/")[3]


def nic_of(guest, mac):
    """The name of the NIC with an address, once it is there."""
    found = f"grep -l '^{mac}$' /sys/class/net/*/address"
    return wait_for(mac, lambda: guest.run(found)[1]).split("/")[4]


def converse(guest, one, other):
    """The second NIC answers the first, from a network of its own, so that no packet has another way."""
    pid = guest.sh("unshare -n sleep 1000 > /dev/null 2>&1 & echo $!")
    own = guest.sh("readlink /proc/self/ns/net")
    wait_for("a namespace", lambda: guest.sh(f"readlink /proc/{pid}/ns/net") != own)
    names = [nic_of(guest, nic.mac) for nic in (one, other)]
    guest.sh(f"ip addr replace {one.v4}/24 dev {names[0]} && ip link set {names[0]} up")
    guest.sh(f"ip link set {names[1]} netns {pid} && nsenter -t {pid} -n sh -c "
             f"'ip addr add {other.v4}/24 dev {names[1]} && ip link set {names[1]} up'")
    traffic.ping(guest, other.v4)
    # The NIC comes back out of it.
    guest.sh(f"kill {pid}")
    nic_of(guest, other.mac)


def plug(lab, guest, disk, nics):
    """In, used, and out."""
    before = guest.facts()
    qmp = f"--qmp={guest.qmp_path}"
    nic = nics[1]
    lab.iolane("vm", "attach", qmp, f"--blk={disk.socket},control={disk.backend.options['control']}")
    lab.iolane("vm", "attach", qmp, f"--net={nic.port.socket},control={nic.backend.control},mac={nic.mac},id=more")
    refused(lab, "has a guest already", "vm", "attach", qmp, f"--blk={disk.socket}")
    features = guest.sh(f"cat /sys/block/{disk_of(guest, disk.name)}/device/features")
    check(features[34] == "1", f"{disk.name} has no packed ring: {features}")
    checks.file_system(guest, disk_of(guest, disk.name), 1)
    converse(guest, *nics)
    lab.step("a disk and a NIC were plugged in: there is a file system, and the NICs talk")
    for name in ("blk1", "more"):
        said = lab.iolane("vm", "detach", qmp, name)
        check(f"{name} is gone from the guest" in said, said)
    guest.refuses(f"grep {disk.name} /sys/block/vd*/serial")
    after = guest.facts()
    check(after == before, f"there was {before}\nand now is {after}")
    lab.step("what was plugged in is gone, and nothing of it is left")


def doctor(lab, guest):
    """All is well, but for what this machine lacks; what only a driver that runs shows is shown."""
    said = json.loads(lab.iolane("vm", "doctor", f"--qmp={guest.qmp_path}", "--json"))
    states = {found["check"]: found["state"] for found in said["checks"]}
    for name in ("status", "shared", "ports", "blk0/connection", "blk0/reconnect", "blk0/queues", "blk0/rings",
                 "blk0/changes", "blk0/restart", "net0/connection", "net0/queues", "net0/rings"):
        check(states.get(name) == "good", f"{name} is {states.get(name)}: {said}")
    lab.step("the doctor finds nothing")


def failures(lab, guest, disk):
    """What can't be plugged in leaves QEMU as it was."""
    before = guest.facts()
    qmp = f"--qmp={guest.qmp_path}"
    attach = ("vm", "attach", qmp)
    refused(lab, "there is no socket", *attach, f"--blk={lab.path('none')}")
    refused(lab, "already", *attach, f"--blk={disk.socket},id=blk0")
    refused(lab, "no free PCIe port", *attach, f"--blk={disk.socket}", "--bus=iolane-port0")
    # QEMU itself refuses these when all but the device is made.
    refused(lab, "QEMU refused device_add", *attach, f"--blk={disk.socket},queues=256", "--force")
    refused(lab, "QEMU refused", *attach, "--vf=0000:00:00.0", "--force")
    refused(lab, "the guest has no device nothing", "vm", "detach", qmp, "nothing")
    check(guest.facts() == before, f"there was {before}\nand now is {guest.facts()}")
    # It has connected, and gone.
    wait_for("the back end to be free", lambda: not json.loads(
        lab.iolane("blk", "list", "--json", f"--control={disk.backend.options['control']}"))[0]["connected"])
    lab.step("failures left nothing")


def not_listening(lab, guest, disk):
    """A guest that stands still keeps a device until it runs; then nothing is left of it."""
    before = guest.facts()
    qmp = f"--qmp={guest.qmp_path}"
    guest.qmp("stop")
    said = lab.iolane("vm", "attach", qmp, f"--blk={disk.socket},control={disk.backend.options['control']}")
    check("does not run" in said, said)
    refused(lab, "while it is \"paused\"", "vm", "detach", qmp, "blk1", "--timeout=1s")
    guest.qmp("cont")
    lab.iolane("vm", "detach", qmp, "blk1")
    check(guest.facts() == before, f"there was {before}\nand now is {guest.facts()}")
    lab.step("a guest that does not run is told from one that does")


def test(lab):
    switch = Switch(lab, name="switch")
    # The lab's back end is the disks'.
    blk, lab.backend_path = lab.backend_path, find_built(lab.build, "iolane-net")
    ports = [switch.port(name, queues=CPUS) for name in ("one", "two")]
    switch.start()
    lab.backend_path = blk
    disks = [lab.disk(name, serial=name, control=lab.path(f"{name}.control")) for name in ("first", "second")]
    nics = [Nic(port, 1, host) for host, port in enumerate(ports, 1)]
    lab.add_to_guests(["virtio_net"])
    words = [
        f"--blk={disks[0].socket},control={disks[0].backend.options['control']}",
        f"--net={ports[0].socket},mac={nics[0].mac},control={switch.control}",
    ]
    arguments = printed(lab, *words)
    check(f"num-queues={CPUS}" in " ".join(arguments) and "packed=on" in " ".join(arguments),
          f"neither queues nor packed rings: {arguments}")
    guest = Handed(lab, "guest", arguments)
    guest.wait_ready()
    lab.step("booted by what was printed")
    refused(lab, "has a guest already", "vm", "args", *words)
    checks.file_system(guest, disk_of(guest, "first"), 1)
    doctor(lab, guest)
    plug(lab, guest, disks[1], nics)
    failures(lab, guest, disks[1])
    not_listening(lab, guest, disks[1])


harness.main(test)
