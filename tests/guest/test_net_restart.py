#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The switch is killed and started again with traffic on it; guests are reset: streams go on."""

import random
import signal
import time

import harness
import traffic
from basis import check
from load import progress, stop
from network import Nic, Switch

# What ends the switch in each round, and how long it stays away.
ROUNDS = [
    (signal.SIGKILL, 0.0),
    (signal.SIGKILL, 0.5),
    (signal.SIGTERM, 0.0),
    (signal.SIGKILL, 1.0),
]
KINDS = (
    ("split", 1, {}),
    ("packed", 1, {"packed": True}),
    ("queues", 4, {"packed": True}),
    ("plain", 1, {"event_idx": False, "mrg_rxbuf": False}),
    # All that a driver can leave out, so that a frame is a chain of several descriptors.
    ("bare", 1, {"packed": True, "indirect_desc": False, "event_idx": False, "mrg_rxbuf": False}),
)


def end(switch, how):
    """Ends the switch, by SIGKILL when all queues are full and it has just begun to empty them."""
    if how == signal.SIGKILL:
        switch.process.child.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        switch.process.child.send_signal(signal.SIGCONT)
        time.sleep(random.uniform(0, 0.0005))
    switch.kill(how)


def pair(switch, number, name, queues, properties):
    settings = {} if switch.lab.stand_in else {"vlan": number}
    for host, side in enumerate("ab", 1):
        port = switch.port(f"{name}-{side}", queues=queues, **settings)
        yield Nic(port, number, host, **properties)


def reset(lab, guests, pairs):
    """NICs, and then a whole guest, are reset in the midst of traffic, and come back."""
    loads = [traffic.Traffic(guests[1], nic.v4, threads=1) for nic, _ in pairs]
    progress(loads)
    for load, (nic, other) in zip(loads, pairs):
        traffic.rebind(guests[0], nic)
        traffic.reach(guests[0], other.v4)
        progress([load])
    lab.step("the driver of each NIC let go of it and took it again, traffic goes on")
    for load in loads:
        guests[1].sh(f"kill -KILL {load.pid}")
    guests[0].reboot()
    for nic, other in pairs:
        traffic.bring_up(guests[0], nic)
        traffic.ping(guests[0], other.v4)
    traffic.serve(guests[0])
    for nic, _ in pairs:
        traffic.both_ways(guests[1], nic.v4, 1 << 20)
    lab.step("a guest was reset and is back")


def test(lab):
    switch = Switch(lab)
    pairs = [tuple(pair(switch, number, *kind)) for number, kind in enumerate(KINDS, 1)]
    switch.start()
    guests = traffic.start_guests(
        lab,
        ("a", [nic for nic, _ in pairs], {}),
        ("b", [nic for _, nic in pairs], {}),
    )
    loads = [traffic.Traffic(guests[0], nic.v4) for _, nic in pairs]
    loads += [traffic.Traffic(guests[1], nic.v6, threads=1) for nic, _ in pairs[:2]]
    progress(loads)
    lab.step("booted, traffic runs")
    for number, (how, pause) in enumerate(ROUNDS, 1):
        end(switch, how)
        time.sleep(pause)
        switch.start()
        progress(loads)
        lab.step(f"round {number}: traffic goes on after {how.name} and {pause} s")
    for said in stop(loads):
        lab.step(said)
    for nics in pairs:
        for guest, nic in zip(guests, nics):
            check(traffic.has_carrier(guest, nic), f"{nic.name} has no link")
        traffic.ping(guests[0], nics[1].v6)
        traffic.both_ways(guests[0], nics[1].v6, 2 << 20, threads=nics[1].port.queues)
    lab.step("everything is in order afterwards")
    reset(lab, guests, pairs)


harness.main(test, "iolane-net")
