#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Memory is plugged into a guest and taken out again while its disks are busy."""

import checks
import harness
from basis import check, wait_for
from load import progress, stop

SIZE = 256 << 20
MODULES = 3


def plug(guest, number):
    memory = {"qom-type": "memory-backend-memfd", "size": SIZE, "share": True}
    guest.qmp("object-add", id=f"more{number}", **memory)
    guest.qmp("device_add", driver="pc-dimm", id=f"dimm{number}", memdev=f"more{number}")


def online(guest):
    """Brings new memory online as movable: the kernel then takes user memory from it first.

    True when all of it is there."""
    guest.sh(
        "for m in /sys/devices/system/memory/memory*; do"
        " grep -q offline $m/state && echo online_movable > $m/state; done; true"
    )
    return movable(guest)[0] == MODULES * SIZE


def movable(guest):
    """How many bytes of memory were plugged in, and how many of them are in use."""
    text = guest.sh("awk '/zone/{m=/Movable/} m&&/present/{p=$2} m&&/pages free/{f=$3}"
                    " END{print p, f}' /proc/zoneinfo")
    present, free = map(int, text.split())
    return present * 4096, (present - free) * 4096


def test(lab):
    disks = [lab.disk("split"), lab.disk("packed", properties=lab.packed())]
    guest = lab.guest("guest", disks, memory="512M,slots=4,maxmem=4G")
    first = [checks.Stress(guest, guest.device(disk), "--size=16777216") for disk in disks]
    progress(first)
    lab.step("booted, loads run")
    for number in range(MODULES):
        plug(guest, number)
        progress(first)
    wait_for("the memory to come online", lambda: online(guest))
    lab.step(f"{MODULES} memory modules are in use, the loads go on")

    # These loads' own buffers lie in the new memory, and so does the page cache of the second.
    later = [
        checks.Stress(guest, guest.device(disks[0]), "--offset=33554432 --size=16777216 --seed=2"),
        checks.Stress(guest, guest.device(disks[1]), "--offset=33554432 --size=16777216 --seed=2"
                      " --buffered"),
    ]
    progress(later)
    used = movable(guest)[1]
    check(used > 1 << 20, f"the loads use only {used} bytes of the new memory")

    for number in range(MODULES):
        guest.unplug(f"dimm{number}", 120)
        guest.qmp("object-del", id=f"more{number}")
        progress(first + later)
    lab.step("all modules are out again, the loads go on")
    for said in stop(first + later):
        lab.step(said)


harness.main(test)
