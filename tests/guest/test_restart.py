#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Backends are killed and started again under load; the guest notices nothing and loses nothing."""

import random
import signal
import time

import checks
import harness
from load import progress, stop

# What ends the backends in each round, and how long they stay away.
ROUNDS = [
    (signal.SIGKILL, 0.0),
    (signal.SIGKILL, 0.5),
    (signal.SIGTERM, 0.0),
    (signal.SIGKILL, 0.1),
    (signal.SIGKILL, 1.0),
]


def end(backend, how):
    """Ends a backend, by SIGKILL in the midst of as many requests as the guest has sent.

    A disk this fast is idle most of the time that a slow guest looks at it. So the backend is
    stopped first, until all of the guest's threads wait for it, and goes on for a moment only.
    """
    if how == signal.SIGKILL:
        backend.process.child.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        backend.process.child.send_signal(signal.SIGCONT)
        time.sleep(random.uniform(0, 0.0005))
    backend.kill(how)


def test(lab):
    lab.check_direct()
    disks = [
        lab.disk("split", threads=2),
        lab.disk("packed", properties=lab.packed()),
        lab.disk("split-direct", direct=True, properties={"event_idx": False}),
        lab.disk("packed-direct", direct=True, properties=lab.packed()),
        lab.disk("pool", engine="pool", properties=lab.packed(indirect_desc=False)),
    ]
    guest = lab.guest("guest", disks)
    loads = [checks.Stress(guest, guest.device(disk), "--threads=4") for disk in disks]
    progress(loads)
    lab.step("booted, loads run")
    for number, (how, pause) in enumerate(ROUNDS, 1):
        for disk in disks:
            end(disk.backend, how)
        time.sleep(pause)
        for disk in disks:
            disk.backend.start()
        progress(loads)
        lab.step(f"round {number}: all loads go on after {how.name} and {pause} s")
    for disk, said in zip(disks, stop(loads)):
        lab.step(f"{disk.name}: {said}")
    for disk in disks:
        guest.sh(f"guestio zero /dev/{guest.device(disk)} --discard")
        checks.file_system(guest, guest.device(disk), 2)
    lab.step("file systems are right afterwards")


harness.main(test)
