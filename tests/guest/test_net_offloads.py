#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Guests that took different offloads talk: what one leaves to do and the other can't take is done
on the way, and what both can is left as it is."""

import harness
import traffic
from basis import check
from network import Nic, Switch

AMOUNT = 3 << 20
# Device properties, by what they let the guest leave to the device, and the device to the guest.
SEND_CSUM = ("csum",)
SEND_TSO = ("host_tso4", "host_tso6", "host_ecn", "host_ufo", "host_uso")
TAKE_CSUM = ("guest_csum",)
TAKE_TSO = ("guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo", "guest_uso4", "guest_uso6")


class Kind:
    """A NIC with some of the offloads. send and take are what is left: "", "csum" or "tso"."""

    def __init__(self, name, send, take, port=None, **properties):
        self.name = name
        self.send = send
        self.take = take
        self.port = port or {}
        self.properties = properties
        off = ()
        if not self.port:
            off += SEND_TSO if send != "tso" else ()
            off += SEND_CSUM if not send else ()
            off += TAKE_TSO if take != "tso" else ()
            off += TAKE_CSUM if not take else ()
        self.properties |= {word: False for word in off}


KINDS = (
    Kind("every", "tso", "tso", packed=True),
    Kind("none", "", ""),
    Kind("csum", "csum", "csum"),
    Kind("sends", "tso", "", packed=True),
    Kind("takes", "", "tso"),
    # Without merging, each receive buffer holds the longest segment that may come.
    Kind("big", "tso", "tso", mrg_rxbuf=False),
    Kind("noneport", "", "", {"offloads": "off"}, packed=True),
)


def move(guest, nic):
    """Data both ways by every protocol."""
    for address in (nic.v4, nic.v6):
        traffic.both_ways(guest, address, AMOUNT)
        traffic.datagrams(guest, address, 1400, 5)


class Growth:
    """How far a port's counters go while the with-block runs."""

    def __init__(self, switch, port):
        self.switch = switch
        self.port = port
        self.counts = {}

    def __enter__(self):
        self.before = self.switch.stats(self.port)
        return self

    def __exit__(self, kind, *_):
        if not kind:
            after = self.switch.stats(self.port)
            self.counts = {k: after[k] - self.before[k] for k in ("checksums", "segmented")}
            drops = {k: n - self.before["drops"][k] for k, n in after["drops"].items()}
            # A guest whose buffers are all full loses frames on any network.
            bad = {k: n for k, n in drops.items() if n and k != "no_buffers"}
            check(not bad, f"{self.port.name} dropped {bad}")


def check_seen(what, seen, left):
    """Frames that arrived have been left what may be, and nothing else."""
    tells = f"{what}: {seen.counts}"
    check(seen.frames and not seen.missed, tells)
    check((seen.partial > 0) == (left != ""), f"partial checksums at {tells}")
    check((seen.unsegmented > 0) == (left == "tso"), f"unsegmented frames at {tells}")
    check((seen.longest > 1500) == (left == "tso"), f"frames longer than the MTU at {tells}")


def less(one, other):
    """The lesser of two sets of offloads."""
    order = ("", "csum", "tso")
    return min(one, other, key=order.index)


def meet(switch, full, partner, nics, kind, send="tso"):
    """One guest leaves to the device what send says, the other is of the kind."""
    with (
        Growth(switch, nics[1].port) as there,
        Growth(switch, nics[0].port) as back,
        traffic.Watch(partner, nics[1]) as seen,
        traffic.Watch(full, nics[0]) as seen_back,
    ):
        move(full, nics[1])
    check_seen(f"{kind.name}, from {send or 'nothing'}", seen, less(send, kind.take))
    check_seen(f"{kind.name}, back", seen_back, kind.send)
    # Work is done for the receiver just where he can't do it himself.
    cut = send == "tso" and kind.take != "tso"
    check((there.counts["segmented"] > 0) == cut, f"{kind.name}: {there.counts}")
    if kind.take or not send:
        check(cut or not there.counts["checksums"], f"{kind.name}: {there.counts}")
    else:
        check(there.counts["checksums"] > 0, f"{kind.name}: {there.counts}")
    check(not any(back.counts.values()), f"{kind.name} back: {back.counts}")
    return f"{there.counts}, seen {seen.counts}"


def test(lab):
    switch = Switch(lab)
    nic = Nic(switch.port("full"), 99, 1)
    others = [
        Nic(switch.port(kind.name, **kind.port), number, 2, **kind.properties)
        for number, kind in enumerate(KINDS, 1)
    ]
    switch.start()
    full, partner = traffic.start_guests(lab, ("a", [nic], {}), ("b", others, {}))
    for number in range(1, len(KINDS) + 1):
        full.sh(
            f"ip addr add 10.0.{number}.1/24 dev {nic.interface}"
            f" && ip -6 addr add fd00:{number}::1/64 dev {nic.interface}"
        )
    lab.step("booted")
    for kind, other in zip(KINDS, others):
        told = meet(switch, full, partner, (nic, other), kind)
        lab.step(f"{kind.name}: {told}")
    # The sender with fewer; generic segmentation would make the same frames as the device.
    steps = (("csum", "tx_tcp_segmentation", "tx_tcp6_segmentation"), ("", "tx_checksum_ip_generic"))
    for send, *off in steps:
        traffic.offloads(full, nic, **{word: False for word in off})
        for kind, other in zip(KINDS[:2], others):
            told = meet(switch, full, partner, (nic, other), kind, send)
            lab.step(f"{kind.name}, from a sender of {send or 'nothing'}: {told}")


harness.main(test, "iolane-net")
