#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""VLANs by trunk and access ports; ports that come and go while others carry traffic."""

import harness
import traffic
from basis import Failure, check, wait_for
from load import progress
from network import Nic, Switch

AMOUNT = 3 << 20


def subinterface(guest, nic, vlan, *addresses):
    name = f"{nic.interface}.{vlan}"
    guest.sh(
        f"vconfig set_name_type DEV_PLUS_VID_NO_PAD > /dev/null; vconfig add {nic.interface} {vlan}"
        f" && echo 0 > /proc/sys/net/ipv6/conf/{name}/accept_dad"
        f" && echo 1 > /proc/sys/net/ipv4/conf/{name}/arp_ignore && ip link set {name} up"
    )
    for address in addresses:
        add_address(guest, name, address)


def add_address(guest, name, address):
    guest.sh(f"ip addr add {address} dev {name}")


def check_vlans(lab, switch, guests, trunk, limited, ten, twenty):
    """Who is in a VLAN hears it, with or without the tag; nobody else does."""
    one, other = guests
    subinterface(one, trunk, 10, "10.9.10.1/24", "fd09:10::1/64")
    subinterface(one, trunk, 20, "10.9.20.1/24")
    subinterface(one, trunk, 30, "10.9.30.1/24", "fd09:30::1/64")
    for address in ("10.9.10.2/24", "fd09:10::2/64"):
        add_address(other, ten.interface, address)
    add_address(other, twenty.interface, "10.9.20.2/24")
    subinterface(other, limited, 30, "10.9.30.2/24", "fd09:30::2/64")
    # These would be heard if the switch let them; on the first, untagged.
    add_address(other, twenty.interface, "10.9.10.3/24")
    subinterface(other, limited, 10, "10.9.10.4/24")
    subinterface(other, ten, 20, "10.9.20.3/24")
    subinterface(other, twenty, 10, "10.9.10.5/24")
    for address in ("10.9.10.2", "fd09:10::2", "10.9.20.2", "10.9.30.2", "fd09:30::2"):
        traffic.ping(one, address)
        traffic.both_ways(one, address, AMOUNT)
        traffic.datagrams(one, address, 1400)
    # Untagged frames of the trunks are in no VLAN of the access ports.
    traffic.ping(one, limited.v4)
    lab.step("VLANs reach trunk and access ports")
    before = switch.stats(ten.port)["drops"]["in_vlan"]
    for address in ("10.9.10.3", "10.9.10.4", "10.9.10.5", "10.9.20.3", ten.v4, twenty.v4):
        traffic.no_ping(one, address)
    traffic.no_ping(other, "-I 10.9.20.3 10.9.20.1")
    after = switch.stats(ten.port)["drops"]["in_vlan"]
    check(after > before, f"tagged frames into an access port: {before} drops before, {after} now")
    for name in (f"{limited.interface}.10", f"{ten.interface}.20", f"{twenty.interface}.10"):
        heard = other.sh(f"cat /sys/class/net/{name}/statistics/rx_packets")
        check(heard == "0", f"{name} received {heard} frames of a VLAN that its port is not in")
    lab.step("VLANs are kept apart")


def refuses(call, *arguments):
    try:
        call(*arguments)
    except Failure as err:
        return str(err)
    raise Failure(f"{call.__name__} worked, which it must not")


def carrier_changes(guest, nic):
    return guest.sh(f"cat /sys/class/net/{nic.interface}/carrier_changes")


def bring_up(guest, nic):
    """A NIC that was just plugged in is waited for."""
    folder = f"/sys/bus/pci/devices/{nic.folder}/virtio*/net"
    wait_for(f"{nic.name} to show", lambda: guest.run(f"ls {folder}")[0] == 0)
    traffic.bring_up(guest, nic)


def come_and_go(lab, switch, guests, busy):
    """Ports are added for NICs that are plugged in, used, and taken away."""
    load = traffic.Traffic(guests[0], busy[1].v4)
    progress([load])
    changes = [carrier_changes(guest, nic) for guest, nic in zip(guests, busy)]
    for turn in range(2):
        nics = []
        for host, guest in enumerate(guests, 1):
            port = switch.add_port(f"late-{host}", vlan=50, queues=2)
            nics.append(Nic(port, 50, host, packed=bool(turn)))
            guest.add_nic(nics[-1])
            bring_up(guest, nics[-1])
        traffic.ping(guests[0], nics[1].v6)
        traffic.both_ways(guests[0], nics[1].v4, AMOUNT, threads=2)
        refuses(switch.del_port, nics[0].port)
        forced(lab, switch, guests, nics)
        for guest, nic in zip(guests, nics):
            guest.remove_nic(nic)
            wait_for(f"{nic.name} to be free", lambda: not switch.connected(nic.port))
            switch.del_port(nic.port)
        progress([load])
        check(
            [carrier_changes(guest, nic) for guest, nic in zip(guests, busy)] == changes,
            "a link went down while ports came and went",
        )
        lab.step(f"turn {turn}: NICs came and went, the others' traffic goes on")
    lab.step(load.stop())


def forced(lab, switch, guests, nics):
    """A port in use is taken away; the guest's NIC is back when the port is."""
    port = nics[1].port
    switch.del_port(port, "--force")
    traffic.wait_carrier(guests[1], nics[1], up=False)
    traffic.no_ping(guests[0], nics[1].v4)
    switch.add_port(port.name, queues=port.queues, **port.settings)
    nics[1].port = switch.ports[-1]
    traffic.wait_carrier(guests[1], nics[1])
    traffic.ping(guests[0], nics[1].v4)
    traffic.both_ways(guests[0], nics[1].v4, AMOUNT, threads=2)


def test(lab):
    switch = Switch(lab)
    trunk = Nic(switch.port("trunk"), 1, 1)
    limited = Nic(switch.port("limited", vlan=0, trunk="30"), 1, 2, packed=True)
    ten = Nic(switch.port("ten", vlan=10), 2, 2)
    twenty = Nic(switch.port("twenty", vlan=20), 3, 2)
    busy = [Nic(switch.port(f"busy-{side}", vlan=40), 40, host) for host, side in enumerate("ab", 1)]
    switch.start()
    guests = traffic.start_guests(
        lab, ("a", [trunk, busy[0]], {}), ("b", [limited, ten, twenty, busy[1]], {})
    )
    # As if the access ports' networks were on the trunk's untagged VLAN.
    for network in (2, 3):
        add_address(guests[0], trunk.interface, f"10.0.{network}.1/24")
    lab.step("booted")
    check_vlans(lab, switch, guests, trunk, limited, ten, twenty)
    come_and_go(lab, switch, guests, busy)


harness.main(test, "iolane-net")
