#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What passes by VFs that one file declares: blocks of a drive; of a NIC frames within a VLAN, and none across, by the
host's driver and, from user space, by iolane-net, behind which another process is a vhost-user front end.

All VFs, the PF, and a NIC on the same wire have a network namespace and an address of their own, so that
no frame can take another way than the NIC's.
"""

from dpdk import copy_dpdk, start_net
from machine import IGB, NIC, NVME, Machine, check, main, wait_for
from test_apply import Host

VLANS = [100, 100, 200, 200, 0, 300, 100]
# Driven from user space, in the VLAN of the first.
OURS = 6


def mac(index):
    return f"02:00:00:00:00:{index:02x}"


def state():
    text = f"pfs:\n  - address: {IGB}\n    vfs: {len(VLANS)}\n    vf:\n"
    for index, vlan in enumerate(VLANS):
        text += f"""      - index: {index}
        mac: {mac(index)}
        vlan: {vlan}
        qos: {index + 1 if vlan else 0}
        spoofchk: {'on' if index % 2 else 'off'}
        trust: {'off' if index % 2 else 'on'}
        rate: {100 * index}
        driver: {'vfio-pci' if index == OURS else 'igbvf'}
"""
    return text + f"""  - address: {NVME}
    vfs: 2
    vf:
      - index: 1
        queues: 2
        interrupts: 2
        driver: vfio-pci
"""


def declared(host):
    path = host.write("state.yaml", state())
    host.sh(f"iolane apply {path}")
    check("nothing to do" in host.sh(f"iolane drift {path}"), "there is drift")
    *vfs, offline, drive = host.vfs().values()
    got = [[vf[key] for key in ("online", "queues", "interrupts")] for vf in (offline, drive)]
    check(got == [[False, 0, 0], [True, 2, 2]], f"the drive's VFs are {got}")
    for index, (vf, vlan) in enumerate(zip(vfs, VLANS, strict=True)):
        wanted = {
            "mac": mac(index),
            "vlan": f"{vlan} qos {index + 1}" if vlan else "0",
            "spoofchk": "on" if index % 2 else "off",
            "trust": "off" if index % 2 else "on",
            "rate": str(100 * index),
            "driver": "vfio-pci" if index == OURS else "igbvf",
        }
        got = {key: vf.get(key) for key in wanted}
        check(got == wanted, f"VF {index} is {got}, and not {wanted}")
    return [vf["address"] for vf in vfs], drive["address"]


class End:
    """One end of a conversation: an interface in a namespace of its own."""

    def __init__(self, host, name, netdev, vlan, number, pid=None):
        self.host = host
        self.name = name
        self.vlan = vlan
        self.netdev = netdev
        self.address = f"10.0.0.{number}"
        self.pid = pid or self.namespace()
        self.sh(f"ip addr add {self.address}/24 dev {netdev} && ip link set {netdev} up")

    def namespace(self):
        pid = self.host.sh("unshare -n sleep 100000 > /dev/null 2>&1 & echo $!")
        own = self.host.sh("readlink /proc/self/ns/net")
        wait_for("a namespace", lambda: self.host.sh(f"readlink /proc/{pid}/ns/net") != own)
        self.host.sh(f"ip link set {self.netdev} netns {pid}")
        return pid

    def sh(self, command):
        return self.host.sh(f"nsenter -t {self.pid} -n sh -c '{command}'")

    def carrier(self):
        # What sysfs shows is of the namespace that it was mounted in.
        wait_for(f"{self.name}'s carrier", lambda: "LOWER_UP" in self.sh(f"ip link show {self.netdev}"))


def reached(host, ends):
    """Who has an answer of whom, asked all at once."""
    # Whoever shall answer has time for it; the others are asked often enough.
    script = "".join(
        f"(nsenter -t {a.pid} -n ping -c {1 if a.vlan == b.vlan else 3} -W {60 if a.vlan == b.vlan else 1} "
        f"{b.address} > /dev/null 2>&1 && echo {a.name} {b.name}) &\n"
        for a in ends for b in ends if a is not b)
    path = host.write("ask", script + "wait\n")
    return {tuple(line.split()) for line in host.sh(f"sh {path}").splitlines()}


def passes(host, ends):
    wanted = {(a.name, b.name) for a in ends for b in ends if a is not b and a.vlan == b.vlan}
    got = reached(host, ends)
    check(got == wanted, f"missing: {sorted(wanted - got)}, too many: {sorted(got - wanted)}")


def kernels(host, addresses):
    """Those that the kernel's drivers have, of which one's frames leave the NIC and the machine's end of the wire."""
    machine = host.machine
    ends = [End(host, f"vf{index}", machine.netdev(addresses[index]), vlan, 10 + index)
            for index, vlan in enumerate(VLANS) if index != OURS]
    for name, address, vlans in (("pf", IGB, (100, 300)), ("wire", NIC, (200,))):
        netdev = machine.netdev(address)
        for vlan in vlans:
            host.sh(f"ip link add link {netdev} name {netdev}.{vlan} type vlan id {vlan}")
        # The PF stays with who has its VFs.
        ends.append(End(host, name, netdev, 0, 20 + len(ends), 1 if address == IGB else None))
        ends += [End(host, f"{name}.{vlan}", f"{netdev}.{vlan}", vlan, 30 + len(ends) + vlan // 100)
                 for vlan in vlans]
    for end in ends:
        end.carrier()
    passes(host, ends)
    return ends


def end(host, *pids):
    for pid in pids:
        host.sh(f"kill {pid}")
        wait_for(f"process {pid} to end", lambda pid=pid: host.machine.run(f"test -e /proc/{pid}/exe")[0])


def ours(host, ends, address):
    """A VF that iolane-net has, and behind it another process that is a front end, as VMMs are.

    The emulated NIC hands a VF its own broadcasts: a switch that learns would take the guest to be out there."""
    machine = host.machine
    backend = start_net(machine, "backend", f"--port socket=/tmp/port --uplink={address}")
    options = "--uplink=net_virtio_user0,path=/tmp/port --uplink=net_tap0,iface=front"
    front = start_net(machine, "front", options)
    # VFs of this NIC get what is sent to their own address only.
    host.sh(f"ip link set front address {mac(OURS)}")
    passes(host, [*ends, End(host, "front", "front", VLANS[OURS], 90)])
    host.refused(f"iolane vf set {IGB}/vf{OURS} driver=igbvf", f"iolane-net (pid {backend})")
    end(host, front, backend)


def test(args):
    with Machine(args, programs=["iolane", "vfioprobe"], devices=("igb", "nvme", "nic")) as machine:
        host = Host(machine)
        copy_dpdk(args, machine)
        before = host.facts()
        addresses, drive = declared(host)
        # A driver of its own writes to it and reads that back.
        host.sh(f"vfioprobe auto {drive} nvme")
        ends = kernels(host, addresses)
        ours(host, ends, addresses[OURS])
        # Nothing is taken from who has it.
        host.refused("iolane undo", "another network namespace")
        end(host, *(one.pid for one in ends if one.pid != 1))
        back = [f"test -e /sys/bus/pci/devices/{address}/net/*" for address in addresses[:OURS]]
        wait_for("the interfaces to come back", lambda: machine.run(" && ".join(back))[0] == 0)
        host.sh("iolane undo")
        check(host.facts() == before, f"undo leaves\n{host.facts()}\nnot\n{before}")


main(test)
