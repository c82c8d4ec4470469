#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest moves between QEMUs, its disks' backends and back, under load."""

import checks
import harness
from harness import Backend, Disk, check, wait_for


def destination(lab, name, disks):
    """New backends on the same images, and a QEMU that waits for the guest."""
    copies = []
    for disk in disks:
        backend = Backend(lab, f"{disk.name}-{name}", disk.backend.image, **disk.backend.options)
        copies.append(Disk(backend, **disk.given))
    guest = lab.guest(name, copies, incoming=True)
    return guest, copies


def migrate(lab, source, target):
    uri = f"unix:{lab.path('migration')}"
    limits = {"max-bandwidth": 1 << 30, "downtime-limit": 5000}
    source.qmp("migrate-set-parameters", **limits)
    target.qmp("migrate-incoming", uri=uri)
    source.qmp("migrate", uri=uri)

    def completed():
        status = source.qmp("query-migrate")
        check(status["status"] != "failed", f"the migration failed: {status.get('error-desc')}")
        return status["status"] == "completed"

    wait_for("the migration to complete", completed, 120)
    wait_for("the guest to run", lambda: target.qmp("query-status")["status"] == "running")


def test(lab):
    disks = [
        lab.disk("split"),
        lab.disk("packed", properties=lab.packed()),
    ]
    guest = lab.guest("first", disks)
    loads = [checks.Stress(guest, guest.device(disk), "--threads=8") for disk in disks]
    lab.step("booted, loads run")
    for name in ("second", "third"):
        target, disks = destination(lab, name, disks)
        migrate(lab, guest, target)
        # The source is still there, its disks suspended: the images are the destination's now.
        for load in loads:
            load.guest = target
            load.progress()
        guest.quit()
        for disk in guest.disks:
            disk.backend.kill(harness.signal.SIGTERM)
        for load in loads:
            load.progress()
        lab.step(f"the guest runs on the {name} QEMU, the loads go on")
        guest = target
    for load in loads:
        lab.step(load.stop())
    for disk in disks:
        guest.sh(f"guestio zero /dev/{guest.device(disk)} --discard")
        checks.file_system(guest, guest.device(disk), 2)
    guest.reboot()
    for disk in disks:
        checks.verify_files(guest, guest.device(disk))
    lab.step("file systems are right, also after a reboot")


harness.main(test)
