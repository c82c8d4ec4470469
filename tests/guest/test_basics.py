#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest uses disks in every ordinary way, over rings of every layout, in one boot."""

import signal

import checks
import harness
from basis import check, wait_for
from load import progress

GROWN = 96 << 20
GROWN_MORE = 128 << 20


def use(lab, guest, disk):
    name = guest.device(disk)
    checks.features(guest, disk)
    checks.raw(guest, name)
    guest.sh(f"guestio zero /dev/{name} --discard")
    load = checks.Stress(guest, name, "--threads=8")
    progress([load], operations=300)
    load.stop()
    checks.file_system(guest, name)
    lab.step(f"{disk.name}: data, zeroes, discard, load and file system are right")


def identity(lab, guest, disk):
    """What the device says of itself shows in the guest."""
    name = guest.device(disk)
    check(len(guest.sh(f"ls /sys/block/{name}/mq").split()) == 4, f"{name} has not 4 queues")
    if not lab.stand_in:
        serial = guest.sh(f"cat /sys/block/{name}/serial")
        check(serial == "serial-of-plain", f"the serial of {name} is {serial}")
    for limit in ("discard_max_bytes", "write_zeroes_max_bytes"):
        value = guest.sh(f"cat /sys/block/{name}/queue/{limit}")
        check(int(value) > 0, f"{name} has no {limit}")
    lab.step("queues, serial and limits are right")


def cache_mode(lab, guest, disk):
    """The guest turns the write cache off and on again; it reads the device's own answer."""
    cache = f"/sys/block/{guest.device(disk)}/cache_type"
    if not lab.stand_in:
        before = guest.sh(f"cat {cache}")
        check(before == "write back", f"the cache is {before} at first")
    for mode in ("write through", "write back"):
        guest.sh(f"echo '{mode}' > {cache}")
        after = guest.sh(f"cat {cache}")
        check(after == mode, f"the cache is {after} after asking for {mode}")
        guest.sh(f"guestio fill /dev/{guest.device(disk)} --offset=8388608 --size=1048576")
    lab.step("the write cache turns off and on")


def read_only(lab, guest, disk):
    name = guest.device(disk)
    check(guest.sh(f"blockdev --getro /dev/{name}") == "1", f"{name} is not read-only")
    guest.refuses(f"guestio fill /dev/{name}")
    guest.sh(f"guestio blank /dev/{name}")
    lab.step("a read-only disk reads and refuses writes")


def resize(lab, guest, disk):
    """The image grows under the guest, by the image's file and by the control command."""
    name = guest.device(disk)

    def reached(size):
        wait_for(
            f"{size} bytes to show in the guest",
            lambda: int(guest.sh(f"cat /sys/block/{name}/size")) * 512 == size,
        )
        guest.sh(f"guestio fill /dev/{name} --offset={size - (2 << 20)}")
        guest.sh(f"guestio verify /dev/{name} --offset={size - (2 << 20)}")

    lab.image(disk.name, GROWN)
    disk.backend.process.child.send_signal(signal.SIGHUP)
    reached(GROWN)
    lab.step("the image grew, SIGHUP told the guest")
    lab.iolane("blk", "resize", disk.name, str(GROWN_MORE), f"--control={lab.path('control')}")
    reached(GROWN_MORE)
    lab.step("iolane blk resize grew the image and told the guest")


def reboot(lab, guest, disks):
    guest.reboot()
    for disk in disks:
        checks.verify_files(guest, guest.device(disk))
    lab.step("after a reboot every file is there")


def hot_plug(lab, guest):
    disk = lab.disk("hotplug", properties=lab.packed())
    guest.add(disk)
    checks.features(guest, disk)
    checks.file_system(guest, guest.device(disk))
    guest.remove(disk)
    guest.add(disk)
    checks.verify_files(guest, guest.device(disk))
    lab.step("a disk is plugged in, out and in again")


def test(lab):
    lab.check_direct()
    plain = lab.disk("plain", serial="serial-of-plain", control=lab.path("control"))
    # With the plain disk (split, event_idx, indirect) every pair of settings comes up.
    disks = [
        plain,
        lab.disk("neither", properties={"event_idx": False, "indirect_desc": False}),
        lab.disk("packed-noevent", block_size=4096, properties=lab.packed(event_idx=False)),
        lab.disk("packed-direct", direct=True, properties=lab.packed(indirect_desc=False)),
    ]
    fixed = lab.disk("readonly", read_only=True)
    guest = lab.guest("guest", [*disks, fixed])
    lab.step("booted")
    identity(lab, guest, plain)
    for disk in disks:
        use(lab, guest, disk)
    cache_mode(lab, guest, plain)
    read_only(lab, guest, fixed)
    hot_plug(lab, guest)
    if not lab.stand_in:
        resize(lab, guest, plain)
    reboot(lab, guest, disks[1:])


harness.main(test)
