#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Desired states at random, one applied after the other, and all taken back; many VFs; a switch.

What a state makes of the VFs is worked out here, too, and compared with what iolane lists. A failure
prints the seed; IOLANE_SEED=N gives the same states again."""

import json
import os
import random

from machine import IGB, Machine, check, main

SIM, MANY = "netdevsim1", "netdevsim2"
SIM_STATES, IGB_STATES = 95, 5
SIM_VFS, IGB_VFS, START_VFS = 12, 7, 3
# More than fit into the list of the kernel's answer; with all that is said of them, more than into
# a socket, and into a megabyte of the journal.
LIST_VFS, ALL_VFS = 256, 1500

# Runs in the machine, as a word on the wire costs more than iolane does. State after state: made,
# made again, no drift, listed; now and then declared as it is.
RUN = """
state() {
    iolane apply $1.yaml > /tmp/said 2>&1 || return
    iolane apply $1.yaml > /tmp/said 2>&1 && grep -q 'nothing to do' /tmp/said || return
    iolane drift $1.yaml > /tmp/said 2>&1 && grep -q 'nothing to do' /tmp/said || return
    iolane vf list --json > $1.json 2> /tmp/said || return
    case $1 in *0)
        iolane export > /tmp/export.yaml 2> /tmp/said || return
        iolane plan /tmp/export.yaml > /tmp/said 2>&1 && grep -q 'nothing to do' /tmp/said || return
    esac
}
for number in $@; do
    state /host/$number || { echo "state $number:"; cat /tmp/said /host/$number.yaml; exit 1; }
done
"""
# Until there is no change left.
UNDO = """
while iolane undo > /tmp/said 2>&1; do :; done
grep -q 'no change' /tmp/said || { cat /tmp/said; exit 1; }
"""


class Model:
    """What the VFs of a PF are, by the states that were made."""

    def __init__(self, pf, way, most, switches, vfs):
        self.pf, self.way, self.most, self.switches = pf, way, most, switches
        self.mode, self.vfs, self.macs = "legacy", [{} for _ in range(vfs)], 0

    def vlan(self, dice):
        if dice.random() < 0.25:
            return {"vlan": "0"}, "0"
        # Without a VLAN there may still be a tag, for its priority.
        vlan, qos = dice.choice((0, 1, 4094, dice.randint(1, 4094))), dice.randint(0, 7)
        fields = {"vlan": str(vlan), "qos": str(qos)}
        if self.switches and (vlan or qos) and dice.random() < 0.3:
            return {**fields, "vlan_proto": "802.1ad"}, f"{vlan} qos {qos} 802.1ad"
        return fields, f"{vlan} qos {qos}" if qos else str(vlan)

    def rate(self, dice):
        most = dice.randint(1, 65535 if self.switches else 1000)
        least = dice.randint(1, most) if self.switches else 0
        return dice.choice(("0", str(most), f"{least}-{most}" if least else str(most)))

    def settings(self, dice, alone):
        """Fields of the file, and what the VFs of a range are by them."""
        fields, values = {}, {}
        if alone and dice.random() < 0.6:
            self.macs += 1
            values["mac"] = f"02:{self.most:02x}:00:00:{self.macs >> 8:02x}:{self.macs & 255:02x}"
        if dice.random() < 0.5:
            said, value = self.vlan(dice)
            fields.update(said)
            values["vlan"] = value
        switches = ["spoofchk", "trust", *(["rss_query"] if self.switches else [])]
        values.update({name: dice.choice(("on", "off")) for name in switches if dice.random() < 0.5})
        if dice.random() < 0.5:
            values["link"] = dice.choice(("auto", "enable", "disable") if self.switches else ("auto",))
        # netdevsim has no rates in the other mode.
        if self.mode == "legacy" and dice.random() < 0.5:
            values["rate"] = self.rate(dice)
        if dice.random() < 0.4:
            values["label"] = dice.choice(("guests", "storage", "a b", "on", "7")).replace(" ", "-")
        return {**{name: value for name, value in values.items() if name != "vlan"}, **fields}, values

    def ranges(self, dice):
        first, ranges = 0, []
        while first < len(self.vfs):
            last = min(len(self.vfs), first + dice.randint(1, 4)) - 1
            if dice.random() < 0.8:
                ranges.append((first, last))
            first = last + 1
        dice.shuffle(ranges)
        return ranges

    def state(self, dice):
        """The next state, as a file."""
        lines = ["pfs:", f"  - {self.way}"]
        count, mode = len(self.vfs), self.mode
        if dice.random() < 0.7:
            count = dice.choice((0, 1, self.most, dice.randint(0, self.most), len(self.vfs)))
            lines.append(f"    vfs: {count}")
        if dice.random() < 0.4:
            mode = dice.choice(("legacy", "switchdev") if self.switches else ("legacy",))
            lines.append(f"    eswitch: {mode}")
        if (count, mode) != (len(self.vfs), self.mode):
            # netdevsim keeps what VFs were given; the next owner shall not have these.
            self.vfs = [{"vlan": "0", "trust": "off"} for _ in range(count)]
        self.mode = mode
        ranges = self.ranges(dice)
        if ranges:
            lines.append("    vf:")
        for first, last in ranges:
            fields, values = self.settings(dice, first == last)
            lines.append(f"      - index: {first}" + (f"-{last}" if last > first else ""))
            lines += [f"        {name}: {value}" for name, value in fields.items()]
            for index in range(first, last + 1):
                self.vfs[index].update(values)
        return "\n".join(lines) + "\n"

    def expected(self):
        return self.mode, [dict(vf) for vf in self.vfs]

    def compare(self, number, listed, expected):
        mode, vfs = expected
        pf, = (pf for pf in listed if pf["pf"] == self.pf)
        check((pf["eswitch"] or "legacy") == mode, f"state {number}: the switch is {pf['eswitch']}")
        check(len(pf["vfs"]) == len(vfs), f"state {number}: {len(pf['vfs'])} VFs, not {len(vfs)}")
        for vf, wanted in zip(pf["vfs"], vfs):
            found = {name: vf.get(name) for name in wanted}
            check(found == wanted, f"state {number}: {vf['name']} is {found}, not {wanted}")
            check(bool(vf.get("representor")) == (mode == "switchdev"), f"state {number}: {vf}")


class Host:
    def __init__(self, machine):
        self.machine, self.sh = machine, machine.sh
        machine.sh("mkdir -p /tmp && mount -t debugfs debugfs /sys/kernel/debug")
        self.write("run", RUN)
        self.write("undo", UNDO)

    def write(self, name, text):
        with open(os.path.join(self.machine.share, name), "w", encoding="utf-8") as file:
            file.write(text)
        return f"/host/{name}"

    def listed(self, name):
        with open(os.path.join(self.machine.share, name), encoding="utf-8") as file:
            return json.load(file)

    def refused(self, command, *words):
        got, said = self.machine.run(command)
        check(got == 1 and all(word in said for word in words), f"{command}: {got}\n{said}")

    def nothing(self, command):
        said = self.sh(command)
        check("nothing to do" in said, f"{command}: {said}")

    def facts(self):
        """All that states may change, as the kernel and iolane have it."""
        return self.sh("iolane export && iolane vf list --json && grep . /sys/class/net/*/flags; "
                       "ls /run/iolane/labels 2> /dev/null || true")

    def simulated(self, pf, vfs):
        """A NIC of netdevsim that is up: once taken down, it has no carrier any more."""
        self.sh(f"echo '{pf[len('netdevsim'):]} 1' > /sys/bus/netdevsim/new_device")
        self.sh(f"echo {vfs} > /sys/kernel/debug/netdevsim/{pf}/max_vfs")
        name = self.sh(f"ls /sys/bus/netdevsim/devices/{pf}/net")
        self.sh(f"ip link set {name} up")
        return name


def at_random(host, dice):
    models = [(Model(SIM, f"name: {SIM}", SIM_VFS, True, START_VFS), SIM_STATES),
              (Model(IGB, f"address: {IGB}", IGB_VFS, False, 0), IGB_STATES)]
    before, number = host.facts(), 0
    for model, count in models:
        expected = {}
        for number in range(number + 1, number + count + 1):
            host.write(f"{number}.yaml", model.state(dice))
            expected[number] = model.expected()
        host.sh(f"sh /host/run {' '.join(map(str, expected))}", 400)
        for number, wanted in expected.items():
            model.compare(number, host.listed(f"{number}.json"), wanted)
    host.sh("sh /host/undo", 400)
    after = host.facts()
    check(after == before, f"all undone is\n{after}\nand was\n{before}")


def many(host):
    """More VFs than the kernel's list has room for, and than its answer."""
    host.simulated(MANY, ALL_VFS)
    before = host.facts()
    for count in (LIST_VFS, ALL_VFS):
        lines = ["pfs:", f"  - path: /sys/devices/{MANY}", f"    vfs: {count}", "    vf:"]
        for index in range(count):
            lines += [f"      - index: {index}", f"        mac: 02:00:00:00:{index >> 8:02x}:{index & 255:02x}",
                      f"        vlan: {1 + index}", f"        qos: {1 + index % 7}", "        spoofchk: on",
                      "        trust: on", "        link: enable", f"        rate: {1 + index}-65535"]
        path = host.write("many.yaml", "\n".join(lines) + "\n")
        said = host.sh(f"iolane apply {path}")
        check(f"done in {6 * count + 1} steps" in said, f"{count} VFs: {said}")
        host.nothing(f"iolane drift {path}")
        host.sh("iolane vf list --json > /host/many.json")
        vf = next(pf for pf in host.listed("many.json") if pf["pf"] == MANY)["vfs"][count - 1]
        check((vf["vlan"], vf["rate"]) == (f"{count} qos {1 + (count - 1) % 7}", f"{count}-65535"), f"{vf}")
        host.sh(f"iolane vf set {MANY}/vf{count - 1} vlan=0")
        host.refused(f"iolane drift {path}", f"{MANY}/vf{count - 1}: vlan 0 -> {count} qos")
        host.sh("iolane undo && iolane undo")
    check(host.facts() == before, "not all is undone")


def switch(host):
    """The ports of a switch, which come by and with its mode; what is so no longer is drift."""
    before = host.facts()
    path = host.write("switch.yaml", f"pfs:\n  - name: {SIM}\n    vfs: {SIM_VFS}\n    eswitch: switchdev\n"
                      "    vf:\n      - index: 0-3\n        vlan: 7\n        label: guests\n")
    host.refused(f"iolane drift {path}", "eswitch legacy -> switchdev")
    host.sh(f"iolane apply {path}")
    host.nothing(f"iolane drift {path}")
    host.sh("iolane vf list --json > /host/switch.json")
    pf, = (pf for pf in host.listed("switch.json") if pf["pf"] == SIM)
    port = host.sh(f"cat /sys/class/net/{pf['netdev']}/phys_port_name")
    check(port == "p1", f"{pf['netdev']} is taken for the PF's interface, and is {port}")
    ports = [vf["representor"] for vf in pf["vfs"]]
    names = host.sh(f"cd /sys/class/net && for port in {' '.join(ports)}; do cat $port/phys_port_name; done")
    check(names.split() == [f"pf0vf{index}" for index in range(SIM_VFS)], f"{ports} are {names}")
    table = host.sh(f"iolane vf list {ports[0]}")
    check("REPRESENTOR" in table and set(ports) <= set(table.split()), table)
    # Somebody else's doing.
    host.sh(f"devlink dev eswitch set netdevsim/{SIM} mode legacy")
    host.refused(f"iolane drift {path}", f"{SIM}: eswitch legacy -> switchdev")
    host.sh(f"iolane apply {path}")
    host.nothing(f"iolane drift {path}")
    host.sh("iolane undo && iolane undo")
    check(host.facts() == before, f"undone are\n{host.facts()}\nand not\n{before}")


def test(args):
    seed = int(os.environ.get("IOLANE_SEED", random.randrange(1 << 32)))
    try:
        with Machine(args, programs=["iolane", "/usr/sbin/ip", "/usr/sbin/devlink"], devices=["igb"]) as machine:
            host = Host(machine)
            name = host.simulated(SIM, SIM_VFS)
            switch(host)
            # Something to come back to.
            host.sh(f"echo {START_VFS} > /sys/bus/netdevsim/devices/{SIM}/sriov_numvfs")
            # By their paths: busybox has an ip of its own.
            host.sh(f"/bin/ip link set {name} vf 1 vlan 5 qos 3 proto 802.1ad && "
                    f"/bin/ip link set {name} vf 2 min_tx_rate 7 max_tx_rate 700")
            at_random(host, random.Random(seed))
            many(host)
    except Exception:
        print(f"IOLANE_SEED={seed}", flush=True)
        raise


if __name__ == "__main__":
    main(test)
