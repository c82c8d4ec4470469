#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Disks behind a virtual IOMMU: every address the backend sees is translated by the IOTLB."""

import struct

import checks
import harness
from basis import Failure, check
from load import progress

MACHINE = ("-device", "intel-iommu,intremap=on,device-iotlb=on,caching-mode=on")
ATS_CAPABILITY = 0x000F
SIZE = 16 << 20
BEHIND = {"iommu_platform": True, "ats": True, "disable-legacy": "on"}


def check_ats(guest, name):
    """The driver turned the function's ATS on, so QEMU tells the backend what it unmaps."""
    folder = f"/sys/class/block/{name}/device/.."
    config = bytes.fromhex(guest.sh(f"xxd -p {folder}/config").replace("\n", ""))
    at = 0x100
    while at:
        (header,) = struct.unpack_from("<I", config, at)
        if header & 0xFFFF == ATS_CAPABILITY:
            (control,) = struct.unpack_from("<H", config, at + 6)
            check(control & 0x8000, f"ATS of {name} is off")
            return
        at = header >> 20
    raise Failure(f"{name} has no ATS capability")


def test(lab):
    disks = [
        lab.disk("split", SIZE, properties=BEHIND),
        lab.disk("packed", SIZE, properties=lab.packed(**BEHIND)),
    ]
    # Strict: each mapping is invalidated as soon as its request has completed.
    guest = lab.guest(
        "guest",
        disks,
        machine=MACHINE,
        append="intel_iommu=on iommu.strict=1",
        on_ports=True,
    )
    lab.step("booted")
    for disk in disks:
        name = guest.device(disk)
        checks.features(guest, disk)
        group = guest.sh(f"cat /sys/class/block/{name}/device/../iommu_group/type")
        check(group == "DMA", f"{name} is not behind the IOMMU: its domain is {group}")
        check_ats(guest, name)
        checks.raw(guest, name)
        checks.file_system(guest, name, 2)
        guest.sh(f"guestio zero /dev/{name} --discard")
        lab.step(f"{disk.name}: data, zeroes, discard and file system are right")

    if not lab.stand_in:
        loads = [checks.Stress(guest, guest.device(disk)) for disk in disks]
        progress(loads)
        for disk, load in zip(disks, loads):
            disk.backend.kill()
            disk.backend.start()
            progress([load])
            lab.step(f"{disk.name}: {load.stop()} over a kill, which empties the IOTLB")
    guest.reboot()
    for disk in disks:
        guest.sh(f"guestio zero /dev/{guest.device(disk)} --discard")
        checks.file_system(guest, guest.device(disk), 2)
    lab.step("the same after a reboot")


harness.main(test)
