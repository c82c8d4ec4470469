#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""NICs behind a virtual IOMMU: every address the switch sees is translated by the IOTLB."""

import harness
import traffic
from basis import check
from network import Nic, Switch

MACHINE = ("-device", "intel-iommu,intremap=on,device-iotlb=on,caching-mode=on")
BEHIND = {"iommu_platform": True, "ats": True, "disable-legacy": "on"}
# Strict: each mapping is invalidated as soon as its buffer came back.
STRICT = {"machine": MACHINE, "append": "intel_iommu=on iommu.strict=1", "on_ports": True}
# virtio feature bits.
ACCESS_PLATFORM = 33
RING_PACKED = 34


def pair(switch, number, name, **properties):
    """A NIC behind the IOMMU for each of two guests, on a VLAN that no other port is in."""
    ports = [switch.port(f"{name}-{end}", vlan=number) for end in "ab"]
    return [Nic(port, number, host, **BEHIND, **properties) for host, port in enumerate(ports, 1)]


def check_behind(guest, nic):
    """The NIC is used by way of the IOMMU."""
    device = f"/sys/class/net/{nic.interface}/device"
    bits = guest.sh(f"cat {device}/features")
    check(bits[ACCESS_PLATFORM] == "1", f"{nic.name} is without ACCESS_PLATFORM: {bits}")
    packed = nic.properties.get("packed", False)
    check((bits[RING_PACKED] == "1") == packed, f"{nic.name}: packed is not {packed} in {bits}")
    group = guest.sh(f"cat {device}/../iommu_group/type")
    check(group == "DMA", f"{nic.name} is not behind the IOMMU: its domain is {group}")


def use(lab, guests, nics):
    """Pings and checked streams both ways. What is lost before its buffer is translated, TCP sends again."""
    one, other = guests
    for address in (nics[1].v4, nics[1].v6):
        traffic.ping(one, address)
        traffic.ping(one, address, nics[1].mtu - 48)
    traffic.both_ways(one, nics[1].v4, 1 << 20)
    traffic.both_ways(other, nics[0].v6, 300007, threads=2)
    traffic.datagrams(one, nics[1].v4, 512)
    for guest, nic in zip(guests, nics):
        traffic.check_no_errors(guest, nic)
    lost = [
        {why: n for why, n in nic.backend.stats(nic.port)["drops"].items() if n} for nic in nics
    ]
    lab.step(f"{nics[0].name}: pings, streams and datagrams are right; dropped: {lost}")


def test(lab):
    switch = Switch(lab)
    split = pair(switch, 1, "split")
    packed = pair(switch, 2, "packed", packed=True)
    switch.start()
    guests = traffic.start_guests(
        lab,
        *((name, [split[i], packed[i]], STRICT) for i, name in enumerate("ab")),
    )
    lab.step("booted")
    for nics in (split, packed):
        for guest, nic in zip(guests, nics):
            check_behind(guest, nic)
        use(lab, guests, nics)


harness.main(test, "iolane-net")
