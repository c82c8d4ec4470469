#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two guests use NICs in every ordinary way: ping, checked streams and datagrams, jumbo frames,
packed rings, several queues, links that go down and up."""

import harness
import traffic
from basis import check
from load import progress
from network import Nic, Switch

JUMBO = 9000
QUEUES = 4
# Both ways together a gigabyte, all of it compared by the receiver.
HALF_GIGABYTE = 512 << 20
# virtio feature bits.
RING_EVENT_IDX = 29
RING_PACKED = 34
MQ = 22


def pair(switch, number, name, queues=1, properties=None, **settings):
    """A NIC for each of two guests, on a VLAN that no other port is in."""
    settings = {} if switch.lab.stand_in else {"vlan": number}
    ports = [switch.port(f"{name}-{end}", queues=queues, **settings) for end in "ab"]
    mtu = JUMBO if name == "jumbo" else 1500
    return [Nic(port, number, host, mtu, **(properties or {})) for host, port in enumerate(ports, 1)]


def check_features(guest, nic):
    """The driver took the ring features that the NIC was given."""
    bits = guest.sh(f"cat /sys/class/net/{nic.interface}/device/features")
    wanted = {
        RING_EVENT_IDX: nic.properties.get("event_idx", True),
        RING_PACKED: nic.properties.get("packed", False),
        MQ: nic.port.queues > 1,
    }
    for bit, on in wanted.items():
        check((bits[bit] == "1") == on, f"{nic.name}: bit {bit} is not {on} in {bits}")


def use(lab, guests, nics):
    """All that any NIC must do."""
    one, other = guests
    for guest, nic in zip(guests, nics):
        check_features(guest, nic)
    for address in (nics[1].v4, nics[1].v6):
        traffic.ping(one, address)
        traffic.ping(one, address, nics[1].mtu - 48)
        traffic.both_ways(one, address, 3 << 20)
        for size in (4, 512, nics[1].mtu - 48):
            traffic.datagrams(one, address, size)
    traffic.both_ways(other, nics[0].v4, 1000003, threads=4)
    for guest, nic in zip(guests, nics):
        traffic.check_no_errors(guest, nic)
    lab.step(f"{nics[0].name}: pings, streams and datagrams are right")


def jumbo(lab, guests, nics):
    """Frames are really as long as the MTU says, and no longer."""
    one, other = guests
    traffic.offloads(one, nics[0], tx_tcp_segmentation=False, tx_generic_segmentation=False)
    with traffic.Watch(other, nics[1]) as seen:
        traffic.stream(one, "send", nics[1].v4, 2 << 20)
        traffic.datagrams(one, nics[1].v4, JUMBO - 28)
    check(seen.longest == JUMBO, f"the longest frame is {seen.longest}: {seen.counts}")
    one.refuses(f"guestnet datagrams {nics[1].v4} --size={JUMBO - 27}")
    lab.step(f"frames of {JUMBO} bytes pass: {seen.counts}")


def queues(lab, guests, nics):
    """Many streams use all queues, in both directions at both ends; then fewer are set."""

    def used(guest, nic, before):
        # A queue that is turned off has no counters.
        after = traffic.counters(guest, nic)
        for number in range(QUEUES):
            for key in (f"rx_queue_{number}_packets", f"tx_queue_{number}_packets"):
                yield key, after.get(key, 0) - before.get(key, 0)

    for guest, nic in zip(guests, nics):
        shown = traffic.fields(guest.sh(f"guestnet channels {nic.interface}"))
        check(shown == {"channels": QUEUES, "most": QUEUES}, f"{nic.name} has {shown}")
    before = [traffic.counters(guest, nic) for guest, nic in zip(guests, nics)]
    traffic.both_ways(guests[0], nics[1].v4, 2 << 20, threads=16)
    traffic.both_ways(guests[0], nics[1].v6, 2 << 20, threads=16)
    for guest, nic, counts in zip(guests, nics, before):
        idle = [key for key, n in used(guest, nic, counts) if not n]
        check(not idle, f"{nic.name} did not use {idle}")
    # The stand-in sends by the queue that a frame came by, whether the receiver has it or not.
    for number in (2, QUEUES) if not lab.stand_in else ():
        guests[0].sh(f"guestnet channels {nics[0].interface} {number}")
        before = traffic.counters(guests[0], nics[0])
        traffic.both_ways(guests[0], nics[1].v4, 1 << 20, threads=8)
        busy = [key for key, n in used(guests[0], nics[0], before) if n > 0]
        check(len(busy) == 2 * number, f"with {number} queue pairs {busy} are used")
    lab.step(f"all {QUEUES} queue pairs are used, and fewer after some were turned off")


def link(lab, guests, nics):
    """QEMU's link of the NIC alone, then of the NIC and its backend, which stops the queues."""
    for name in (f"d-{nics[0].name}", f"n-{nics[0].name}"):
        load = traffic.Traffic(guests[0], nics[1].v4)
        progress([load])
        guests[0].qmp("set_link", name=name, up=False)
        traffic.wait_carrier(guests[0], nics[0], up=False)
        traffic.no_ping(guests[0], nics[1].v4)
        guests[0].qmp("set_link", name=name, up=True)
        traffic.wait_carrier(guests[0], nics[0])
        traffic.reach(guests[0], nics[1].v4)
        progress([load])
        lab.step(f"after the link of {name} was down: {load.stop()}")


def gigabyte(lab, guests, nics):
    rates = traffic.both_ways(guests[0], nics[1].v4, HALF_GIGABYTE)
    lab.step(f"a gigabyte went over TCP as it was, there at {rates[0]} MB/s, back at {rates[1]}")


def test(lab):
    switch = Switch(lab)
    plain = pair(switch, 1, "plain")
    packed = pair(switch, 2, "packed", properties={"packed": True})
    wide = pair(switch, 3, "jumbo", properties={"event_idx": False})
    several = pair(switch, 4, "queues", QUEUES)
    # Where frames are not merged from buffers, each buffer must hold the longest.
    single = pair(switch, 5, "single", properties={"packed": True, "mrg_rxbuf": False})
    nics = [plain, packed, wide, several, single]
    switch.start()
    guests = traffic.start_guests(
        lab,
        ("a", [nic for nic, _ in nics], {}),
        ("b", [nic for _, nic in nics], {}),
    )
    lab.step("booted")
    for each in nics:
        use(lab, guests, each)
    jumbo(lab, guests, wide)
    queues(lab, guests, several)
    link(lab, guests, plain)
    gigabyte(lab, guests, plain)


harness.main(test, "iolane-net")
