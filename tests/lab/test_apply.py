#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Virtual functions declared, made, looked at, leased and taken back, by iolane itself."""

import json
import os

from machine import IGB, NVME, Machine, check, main

STATE = f"""pfs:
  - address: {IGB}
    vfs: 4
    vf:
      - index: 0-2
        driver: vfio-pci
        vlan: 100
        qos: 3
        spoofchk: on
        label: guests
      - index: 3
        mac: 02:00:00:00:00:03
        driver: igbvf
  - address: {NVME}
    vfs: 1
    vf:
      - index: 0
        queues: 2
        interrupts: 1
        driver: vfio-pci
"""
# A change of the file, and what is said of it.
WRONG = [
    ("vlan: 100", "vlan: 4095", ":7: ", "1 to 4094"),
    ("vfs: 4", "vfs: 8", ":3: ", "7 at most"),
    ("vfs: 4", "vsf: 4", ":3: ", "vfs, eswitch"),
    ("index: 3", "index: 2", ":11: ", "overlap"),
    ("index: 0-2", "index: 0-2\n        mac: 02:00:00:00:00:01", ":6: ", "several VFs"),
    ("02:00:00:00:00:03", "02:00:00:00:03", ":12: ", "six bytes"),
]


class Host:
    def __init__(self, machine):
        self.machine = machine

    def write(self, name, text):
        with open(os.path.join(self.machine.share, name), "w", encoding="utf-8") as file:
            file.write(text)
        return f"/host/{name}"

    def sh(self, command):
        return self.machine.sh(command)

    def refused(self, command, *words, status=1):
        got, said = self.machine.run(command)
        check(got == status and all(word in said for word in words), f"{command}: {got}\n{said}")

    def vfs(self):
        """Of each VF what iolane says, but not what a VF's driver chooses at random, by name."""
        pfs = json.loads(self.sh("iolane vf list --json"))
        return {vf["name"]: {**vf, "netdev": None} for pf in pfs for vf in pf["vfs"]}

    def facts(self):
        """All that a change of VFs may touch."""
        files = " ".join(f"/sys/bus/pci/devices/{pf}/sriov_{file}" for pf in (IGB, NVME)
                         for file in ("numvfs", "drivers_autoprobe"))
        return self.sh(f"cat {files}"), self.vfs()


def wrong(host):
    before = host.facts()
    for old, new, *words in WRONG:
        path = host.write("wrong.yaml", STATE.replace(old, new, 1))
        host.refused(f"iolane apply {path}", path, *words)
    check(host.facts() == before, "a file that was refused changed something")


def applied(host, path):
    vfs = host.vfs()
    check(len(vfs) == 5, f"other VFs: {vfs}")
    for vf in vfs.values():
        if vf.get("label") == "guests":
            check((vf["driver"], vf["vlan"], vf["spoofchk"]) == ("vfio-pci", "100 qos 3", "on"), f"{vf}")
        elif "mac" in vf:
            check((vf["driver"], vf["mac"]) == ("igbvf", "02:00:00:00:00:03"), f"{vf}")
        else:
            check((vf["driver"], vf["online"], vf["queues"]) == ("vfio-pci", True, 2), f"{vf}")
    check("nothing to do" in host.sh(f"iolane apply {path}"), "a second time there is something to do")
    check("nothing to do" in host.sh(f"iolane drift {path}"), "there is drift")
    # What it is like can be declared, and is then no change.
    host.sh("iolane export > /tmp/export.yaml")
    check("nothing to do" in host.sh("iolane plan /tmp/export.yaml"), "the export is of something else")


def lease_at_once(host):
    """Of twice as many callers as there are VFs each gets another, or is told."""
    callers = range(6)
    each = " ".join(map(str, callers))
    start = f"for n in {each}; do iolane lease guests --for=caller$n > /tmp/lease$n 2>&1 & done; wait"
    for _ in range(5):
        host.sh(start)
        said = [host.sh(f"cat /tmp/lease{number}") for number in callers]
        got = [line.split()[0] for line in said if "no VF of guests is free" not in line]
        check(len(got) == 3 and len(set(got)) == 3, f"callers at once: {said}")
        host.sh(" && ".join(f"iolane release {vf}" for vf in got))


def leases(host):
    got = [host.sh(f"iolane lease guests --for=vm{number}").split()[0] for number in range(3)]
    check(len(set(got)) == 3, f"leased twice: {got}")
    host.refused("iolane lease guests", "no VF of guests is free")
    holders = [vf["leased_to"] for vf in host.vfs().values() if vf["label"] == "guests"]
    check(sorted(holders) == ["vm0", "vm1", "vm2"], f"they are leased to {holders}")
    host.refused(f"iolane vf create {IGB} 2", "leased to vm0")
    # Whoever had it leaves nothing of his to the next.
    host.sh(f"iolane vf set {got[1]} vlan=7")
    host.sh(f"iolane release {got[1]}")
    vf, = (vf for vf in host.vfs().values() if vf["address"] == "0000:01:10.2")
    check(vf["vlan"] == "100 qos 3", f"a setting stays: {vf}")
    host.refused(f"iolane release {got[1]}", "nobody has leased")
    check(host.sh("iolane lease guests").split()[0] == got[1], "it is not free again")
    for vf in got:
        host.sh(f"iolane release {vf}")
    # That a setting was changed under the lease is still in the journal.
    host.sh("iolane undo")


def test(args):
    with Machine(args, programs=["iolane"], devices=("igb", "nvme")) as machine:
        host = Host(machine)
        wrong(host)
        before = host.facts()
        path = host.write("state.yaml", STATE)
        host.refused(f"iolane drift {path}", "vfs 0 -> 4")
        check(host.facts() == before, "looking for drift changes something")
        host.sh(f"iolane apply {path}")
        applied(host, path)
        host.refused(f"iolane vf set {IGB}/vf1 vlan=200 link=enable", "link enable", "igb has no such setting",
                     "all is as it was before")
        check("nothing to do" in host.sh(f"iolane drift {path}"), "what was refused was not taken back")
        whole = host.facts()
        lease_at_once(host)
        leases(host)
        host.refused(f"iolane drift {path} --json", status=0)
        # Fewer VFs, and back: with drivers, settings and labels.
        host.sh(f"iolane vf destroy {IGB}")
        check(len(host.vfs()) == 1, "VFs are left")
        host.sh("iolane undo")
        check(host.facts() == whole, f"undo leaves\n{host.facts()}\nnot\n{whole}")
        host.sh("iolane undo")
        check(host.facts() == before, f"undo leaves\n{host.facts()}\nnot\n{before}")
        host.refused("iolane undo", "no change")


if __name__ == "__main__":
    main(test)
