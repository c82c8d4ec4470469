#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The backend connects to the VMM: it waits for it, outlives it, and may be restarted under it."""

import checks
import harness
from basis import Missing, check
from load import progress


def test(lab):
    if lab.stand_in:
        raise Missing("the stand-in backend cannot connect to a VMM")
    disks = [
        lab.disk("split", client=True),
        lab.disk("packed", client=True, properties=lab.packed()),
    ]
    pids = [disk.backend.process.child.pid for disk in disks]
    guest = lab.guest("first", disks)
    lab.step("booted, both backends had waited for QEMU")
    for disk in disks:
        checks.file_system(guest, guest.device(disk))
    guest.check_dmesg()
    guest.quit()
    check(all(disk.backend.process.alive for disk in disks), "a backend ended with its QEMU")

    for disk in disks:
        # Only where rings run does a backend keep others from the image.
        check(not lab.locked(disk.backend.image), f"{disk.name} is locked without a guest")

    guest = lab.guest("second", disks)
    for disk, pid in zip(disks, pids):
        check(disk.backend.process.child.pid == pid, f"{disk.name} is another process")
        check(lab.locked(disk.backend.image), f"{disk.name} is not locked under its guest")
        checks.verify_files(guest, guest.device(disk))
        guest.sh(f"guestio zero /dev/{guest.device(disk)} --discard")
    lab.step("a second QEMU was served by the same processes; every file is there")

    for disk in disks:
        load = checks.Stress(guest, guest.device(disk))
        progress([load])
        for _ in range(2):
            disk.backend.kill()
            disk.backend.start()
            progress([load])
        lab.step(f"{disk.name}: {load.stop()} over two kills")


harness.main(test)
