#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""An apply and an undo that are killed, that fail, that meet others: undone, all is as before."""

import os
import re

from machine import IGB, NVME, Machine, check, main, root_port, wait_for

# A second NIC, behind a port that does not keep functions apart: all of it is in one group.
MIXED = "0000:03:00.0"
OPTIONS = [
    *("-device", root_port(10)[1] + ",disable-acs=on"),
    *Machine.wire("mixed"),
    *("-device", "igb,id=mixed,bus=port10,netdev=mixed"),
]
VF0 = "0000:01:10.0"

# What a step costs is VFs of igb that come and go, so these are last.
FIRST = f"""pfs:
  - address: {NVME}
    vfs: 1
    vf:
      - index: 0
        queues: 2
        interrupts: 1
        driver: vfio-pci
  - address: {IGB}
    vfs: 2
    vf:
      - index: 0
        driver: vfio-pci
        owner: {{ user: op }}
        mac: 02:00:00:00:00:01
        vlan: 100
        qos: 3
        label: guests
"""
# Of the same VFs, and of others.
OTHER = f"""pfs:
  - address: {NVME}
    vf:
      - index: 0
        queues: 2
        interrupts: 2
        driver: vfio-pci
        owner: {{ user: op }}
  - address: {IGB}
    vf:
      - index: 0
        mac: 02:00:00:00:00:02
        vlan: 0
        driver: none
        label: others
      - index: 1
        driver: vfio-pci
        vlan: 0
        qos: 5
        spoofchk: off
        trust: on
        rate: 50
"""
FEWER = f"""pfs:
  - address: {IGB}
    vfs: 1
    vf:
      - index: 0
        vlan: 200
"""
TWO_OF_A_GROUP = f"""pfs:
  - address: {MIXED}
    vfs: 2
    vf:
      - index: 0-1
        driver: vfio-pci
        label: mixed
"""
# Few programs, as each takes its time here.
FACTS = """cd /sys/bus/pci/devices
grep -H . */sriov_numvfs */sriov_drivers_autoprobe */driver_override
stat -c %N */driver */virtfn* */iommu_group */vfio-dev/*
stat -c '%n %u:%g:%a' /dev/vfio/* /dev/vfio/devices/*
for name in NETDEVS; do /bin/ip -d link show dev $name; done
iolane vf list --json
grep -r '' /run/iolane/labels /run/iolane/leases
md5sum /run/iolane/change-*
"""


class Host:
    def __init__(self, machine):
        self.machine = machine
        self.sh, self.run = machine.sh, machine.run
        self.netdevs = [machine.netdev(IGB), machine.netdev(MIXED)]
        self.write("facts", FACTS.replace("NETDEVS", " ".join(self.netdevs)))
        self.first, self.other = self.write("first", FIRST), self.write("other", OTHER)
        self.fewer, self.group = self.write("fewer", FEWER), self.write("group", TWO_OF_A_GROUP)

    def write(self, name, text):
        with open(os.path.join(self.machine.share, name), "w", encoding="utf-8") as file:
            file.write(text)
        return f"/host/{name}"

    def facts(self):
        """All that a change of VFs may touch, a line each."""
        lines = self.sh("sh /host/facts 2> /dev/null; true").splitlines()
        facts, owners, nodes = [], {}, []
        for line in lines:
            # Groups and nodes have other numbers the next time: they are told by whose they are.
            group = re.match(r"'(\S+)/iommu_group' -> '.*/(\d+)'", line)
            own = re.match(r"(\S+)/vfio-dev/(\w+)", line)
            if group:
                owners.setdefault(f"/dev/vfio/{group[2]}", []).append(f"{group[1]}'s group")
            elif own:
                owners[f"/dev/vfio/devices/{own[2]}"] = [own[1]]
            elif line.startswith("/dev/vfio/"):
                node, owner = line.split()
                nodes += [f"node of {name}: {owner}" for name in owners.get(node, [])]
            # So have interfaces of VFs.
            elif not re.match(r' *"(netdev|iommu_group|use)":', line):
                facts.append(line)
        return facts + sorted(nodes)

    def same(self, before, when):
        now = self.facts()
        lost, come = [x for x in before if x not in now], [x for x in now if x not in before]
        check(now == before, f"{when}: instead of {lost} there is {come}")

    def refused(self, command, *words):
        """Fails with one sentence of these words, and nothing has changed."""
        before = self.facts()
        status, said = self.run(command)
        check(status == 1 and "\n" not in said, f"{command} ended with {status}: {said}")
        check(all(word in said for word in words), f"{command} said {said}, not {words}")
        self.same(before, command)

    def cut(self, how, event, words):
        """Whether there was such an event for it to be cut short at."""
        status, said = self.run(f"cutshort {words.replace('HOW', f'{how} {event}')}")
        check(status in ({"kill": 137, "fail": 1}[how], 0), f"{words}, {how} {event}: {said}")
        return status != 0


def killed(host, path, cheap):
    """Each step is killed when it is made; the first, which cost less, are also killed before, and fail."""
    before = host.facts()
    step = 0
    while host.cut("kill", 3 * step + 1, f"apply HOW {path}"):
        if not step:
            host.refused(f"iolane apply {path}", "left in the middle")
            host.refused(f"iolane lease {NVME}", "left in the middle")
        host.sh("iolane undo")
        host.same(before, f"{path}, killed at step {step}, and undo")
        if step < cheap:
            check(host.cut("fail", 3 * step + step % 3, f"apply HOW {path}"), "no failure")
            host.same(before, f"{path}, failed at step {step}")
            host.cut("kill", 3 * step, f"apply HOW {path}")
            host.sh("iolane undo")
            host.same(before, f"{path}, killed before step {step}, and undo")
        step += 1
    check(step > 5, f"{path} is {step} steps")
    # That was the whole of it. Undo, killed at each of its steps, before and after it.
    kills = 0
    while host.cut("kill", kills % 2, "undo HOW"):
        kills += 1
        if kills == 2:
            host.refused(f"iolane apply {path}", "left in the middle")
    check(kills > step, f"{kills} kills in an undo of {step} steps")
    host.same(before, f"undo of {path}, killed {kills} times")
    print(f"{path}: {step} steps", flush=True)


def failed(host):
    """All VFs of one group, and not all of it taken: told at the end only, when they are there."""
    before = host.facts()
    host.refused(f"iolane apply {host.group}", "shares IOMMU group", MIXED, "all is as it was before")
    host.refused("iolane undo", "no change to take back")
    host.same(before, "a change that failed")


def stopped(host, path):
    """An apply that goes no further, at its first step: its number."""
    pid = host.sh(f"cutshort apply stop 0 {path} > /tmp/stopped 2>&1 & echo $!")
    wait_for("a stop", lambda: host.sh(f"cut -d ' ' -f 3 /proc/{pid}/stat") == "T")
    return pid


def together(host):
    """Who comes second is told, or waits and then finds the host as the first has left it."""
    before = host.facts()
    pid = stopped(host, host.first)
    host.refused(f"iolane apply {host.fewer}", "another process has been changing devices for 10 s")
    host.sh(f"kill -9 {pid}")
    host.sh("iolane undo")
    host.same(before, "undo of what was stopped")
    pid = stopped(host, host.first)
    second = host.sh(f"iolane apply {host.fewer} > /tmp/second 2>&1 & echo $!")
    waits = f"ls -l /proc/{second}/fd | grep -q /run/iolane/lock"
    wait_for("one that waits", lambda: host.run(waits)[0] == 0)
    host.sh(f"kill -CONT {pid}; while test -e /proc/{pid} -o -e /proc/{second}; do sleep 0.1; done")
    said = host.sh("cat /tmp/stopped /tmp/second")
    check("iolane undo takes it back" in said, f"they said {said}")
    check(host.sh(f"cat /sys/bus/pci/devices/{IGB}/sriov_numvfs") == "1", "the second did nothing")
    # Back to what the first has made, not to what there was when the second looked.
    host.sh("iolane undo")
    check("nothing to do" in host.sh(f"iolane drift {host.first}"), "the first is not there again")


def leased(host):
    """What somebody has leased stays his: no undo, no destroy, no other driver."""
    vf = f"{IGB}/vf0"
    host.sh(f"iolane lease {vf} --for=vm7")
    host.refused("iolane undo", vf, "leased to vm7")
    host.refused(f"iolane vf destroy {IGB}", vf, "leased to vm7")
    host.refused(f"iolane apply {host.fewer}", vf, "leased to vm7")
    host.refused(f"iolane apply {host.other}", vf, "leased to vm7")
    host.refused(f"iolane bind --driver=igbvf {vf}", vf, "leased to vm7")
    host.refused(f"iolane unbind {VF0}", vf, "leased to vm7")
    # What is done for him while he has it is not.
    before = host.facts()
    host.sh(f"iolane vf set {vf} vlan=7 spoofchk=off && iolane undo")
    host.same(before, "undo of a change to a leased VF")
    # Nor are changes of others, but for those that he has seen.
    host.sh(f"iolane vf set {IGB}/vf1 vlan=7 && iolane undo")
    host.same(before, "undo of a change to another VF")
    host.sh(f"iolane release {vf}")
    host.sh(f"iolane vf set {vf} vlan=7 && iolane lease {vf} --for=vm8")
    host.refused("iolane undo", vf, "leased to vm8")
    host.sh(f"iolane release {vf} && iolane undo")
    # By its address, too.
    host.sh(f"iolane unbind {VF0} && iolane bind {VF0} && iolane lease {vf} --for=vm9")
    host.refused("iolane undo", vf, "leased to vm9")
    host.sh(f"iolane release {vf} && iolane undo && iolane undo")
    pid = host.sh(f"holder fd {VF0}")
    host.refused("iolane undo", "VF 0", f"a-holder (pid {pid})")
    host.sh(f"kill {pid}; while test -e /proc/{pid}; do sleep 0.1; done")


def by_hand(host):
    """VFs that somebody else has made, with a driver that they would not come back to by themselves."""
    folder = f"/sys/bus/pci/devices/{IGB}"
    host.sh(f"/bin/ip link set {host.netdevs[0]} up")
    host.sh(f"echo 1 > {folder}/sriov_drivers_autoprobe && echo 2 > {folder}/sriov_numvfs")
    # Before it has a carrier, VFs are in reset and their driver chooses an address each time.
    carrier = f"cat {folder}/net/*/carrier"
    wait_for("a carrier", lambda: host.run(carrier) == (0, "1"))
    host.sh(f"echo {VF0} > /sys/bus/pci/drivers/igbvf/unbind")
    for autoprobe in (1, 0):
        host.sh(f"echo {autoprobe} > {folder}/sriov_drivers_autoprobe")
        before = host.facts()
        for change in (f"vf set {IGB}/vf1 driver=vfio-pci vlan=9", f"vf destroy {IGB}"):
            host.sh(f"iolane {change} && iolane undo")
            host.same(before, f"{change} and undo, with autoprobe {autoprobe}")


def test(args):
    programs = ["iolane", "cutshort", "holder", "/sbin/ip"]
    with Machine(args, programs=programs, devices=("igb", "nvme"), options=OPTIONS) as machine:
        host = Host(machine)
        host.sh("mkdir -p /etc && echo op:x:1000:100::/:/bin/sh > /etc/passwd")
        # An interface that has been up looks different for ever.
        for name in host.netdevs:
            host.sh(f"/bin/ip link set {name} up && /bin/ip link set {name} down")
        before = host.facts()
        killed(host, host.first, 5)
        failed(host)
        together(host)
        leased(host)
        killed(host, host.other, 99)
        killed(host, host.fewer, 1)
        host.sh("iolane undo")
        host.same(before, "the last undo")
        by_hand(host)


if __name__ == "__main__":
    main(test)
