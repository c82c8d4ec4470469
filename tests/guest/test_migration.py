#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest moves between QEMUs, its disks' backends and back, under load."""

import signal

import checks
import harness
from backend import Backend, Disk
from basis import check
from load import progress, stop


def other_processes(lab, name, disks):
    """Disks on the same images by new backend processes, with a second socket each."""
    sockets = 1 if lab.stand_in else 2
    for disk in disks:
        image = disk.backend.image
        backend = Backend(lab, f"{disk.name}-{name}", image, sockets, **disk.backend.options)
        yield Disk(backend, **disk.given)


def other_sockets(lab, name, disks):
    """Disks on the same images by the same backend processes, on their second socket."""
    if lab.stand_in:
        yield from other_processes(lab, name, disks)
    else:
        for disk in disks:
            yield Disk(disk.backend, socket=1, **disk.given)


def check_locked(lab, disk):
    """The destination has the image's lock, now that the source is gone."""
    if not lab.stand_in:
        check(lab.locked(disk.backend.image), f"nobody holds the lock of {disk.backend.image}")


def test(lab):
    disks = [
        lab.disk("split"),
        lab.disk("packed", properties=lab.packed()),
    ]
    guest = lab.guest("first", disks)
    loads = [checks.Stress(guest, guest.device(disk), "--threads=8") for disk in disks]
    progress(loads)
    lab.step("booted, loads run")
    for name, others in (("second", other_processes), ("third", other_sockets)):
        disks = list(others(lab, name, disks))
        target = lab.guest(name, disks, incoming=True)
        guest.migrate_to(target)
        # The source is still there, its disks suspended: the images are the destination's now.
        for load in loads:
            load.guest = target
        progress(loads)
        guest.quit()
        for backend in {disk.backend for disk in guest.disks} - {disk.backend for disk in disks}:
            backend.kill(signal.SIGTERM)
        progress(loads)
        for disk in disks:
            check_locked(lab, disk)
        lab.step(f"the guest runs on the {name} QEMU, the loads go on")
        guest = target
    for said in stop(loads):
        lab.step(said)
    for disk in disks:
        guest.sh(f"guestio zero /dev/{guest.device(disk)} --discard")
        checks.file_system(guest, guest.device(disk), 2)
    guest.reboot()
    for disk in disks:
        checks.verify_files(guest, guest.device(disk))
    lab.step("file systems are right, also after a reboot")


harness.main(test)
