#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest moves between QEMUs with traffic on its NICs; the switch knows where it went, also of NICs
on which nothing is sent."""

import harness
import traffic
from basis import check, wait_for
from load import progress, stop
from network import Nic, Switch

# By the guest's own announcement, or by the RARP that the backend sends in its place.
KINDS = (
    ("announced", {}),
    ("rarp", {"guest_announce": False, "packed": True}),
    ("quiet", {}),
    ("quietrarp", {"guest_announce": False, "packed": True}),
)
LOADED = 2


def check_place(switch, nics):
    """The switch has the NICs' addresses at their ports."""
    for nic in nics:
        wait_for(
            f"{nic.mac} to be at {nic.port.name}",
            lambda: switch.addresses().get((nic.mac, nic.port.settings["vlan"])) == nic.port.name,
        )


def be_quiet(guest, nic):
    """The guest has no reason to send anything: it looks for no neighbour and announces nothing."""
    guest.sh(
        f"echo 1 > /proc/sys/net/ipv6/conf/{nic.interface}/disable_ipv6"
        f" && ip neigh flush dev {nic.interface}"
    )


def test(lab):
    switch = Switch(lab)
    # Each network has three ports: the fixed guest's, and two between which the other moves.
    fixed, here, there = [], [], []
    for number, (name, properties) in enumerate(KINDS, 1):
        ports = [switch.port(f"{name}-{side}", vlan=number) for side in "abc"]
        fixed.append(Nic(ports[0], number, 1, **properties))
        here.append(Nic(ports[1], number, 2, **properties))
        there.append(here[-1].moved(ports[2]))
    switch.start()
    partner, guest = traffic.start_guests(lab, ("fixed", fixed, {}), ("first", here, {}))
    for nic in here:
        traffic.ping(partner, nic.v4)
    check_place(switch, here)
    loads = [traffic.Traffic(partner, nic.v4) for nic in here[:LOADED]]
    own = [traffic.Traffic(guest, nic.v6, threads=1) for nic in fixed[:LOADED]]
    progress(loads + own)
    for nic, other in list(zip(fixed, here))[LOADED:]:
        be_quiet(partner, nic)
        be_quiet(guest, other)
    lab.step("booted, traffic runs")
    for name, nics in (("second", there), ("third", [n.moved(o.port) for n, o in zip(there, here)])):
        target = lab.guest(name, [], nics=nics, memory="256M", incoming=True)
        guest.migrate_to(target)
        for load in own:
            load.guest = target
        # The source is still there, paused.
        check_place(switch, nics)
        progress(loads + own)
        guest.quit()
        progress(loads + own)
        check_place(switch, nics)
        lab.step(f"the guest runs on the {name} QEMU, traffic goes on")
        guest = target
    for said in stop(loads + own):
        lab.step(said)
    for one, other in zip(fixed, here):
        traffic.ping(partner, other.v4)
        traffic.both_ways(guest, one.v4, 2 << 20)
    lab.step("everything is in order afterwards")


harness.main(test, "iolane-net")
