#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The settings of a NIC's VFs: set, read back, and refused with the reason; its switch's mode.

igb is an emulated NIC, with few settings. Where the kernel has netdevsim, its VFs have all of them,
and there may be as many as overflow the kernel's answer."""

import json
import re

from machine import IGB, Machine, check, main
from test_apply import Host

SETTINGS = ("mac", "vlan", "spoofchk", "trust", "link", "rate", "rss_query")
# Of a VF that nobody has set; a MAC is whatever the driver makes.
FRESH = {"vlan": "0", "spoofchk": "off", "trust": "off", "link": "auto", "rate": "0", "rss_query": "off"}
# The length of a list of more than 334 VFs overflows, with statistics of more than 221.
MANY = 400


def same(what, got, wanted):
    check(got == wanted, f"{what}: {got}, and not {wanted}")


def told(machine, name):
    pf, = json.loads(machine.sh(f"iolane vf list {name} --json"))
    return pf


def listed(machine, name):
    """Settings by index, each as {setting: value}."""
    vfs = told(machine, name)["vfs"]
    same("indices", [vf["index"] for vf in vfs], list(range(len(vfs))))
    return [{key: vf[key] for key in SETTINGS if key in vf} for vf in vfs]


def words(settings):
    """As iolane vf set takes them."""
    for key, value in settings.items():
        if key == "vlan":
            vlan, _, qos = value.partition(" qos ")
            qos, _, proto = qos.partition(" ")
            yield f"vlan={vlan}" + (f" qos={qos}" if qos else "") + (f" vlan_proto={proto}" if proto else "")
        else:
            yield f"{key}={value}"


def set_all(machine, name, index, settings):
    machine.sh(f"iolane vf set {name}/vf{index} {' '.join(words(settings))}")


def by_ip(machine, name):
    """What another reader of the same says: iproute2's lines of the VFs, by index."""
    lines = machine.sh(f"/bin/ip link show {name}").splitlines()
    found = (re.match(r"\s*vf (\d+)\s+(.*)", line) for line in lines)
    return {int(line.group(1)): line.group(2) for line in found if line}


def check_igb(host):
    machine = host.machine
    machine.make_vfs(IGB, 7)
    name = machine.netdev(IGB)
    wanted = []
    for index in range(7):
        settings = {
            "mac": f"02:00:00:00:01:{index:02x}",
            "vlan": f"{100 + index} qos {index}" if index else "100",
            "spoofchk": "off" if index % 2 else "on",
            "trust": "on" if index % 3 else "off",
            "rate": str(100 * (index + 1)),
        }
        set_all(machine, name, index, settings)
        # The kernel says auto for those that have no such setting.
        wanted.append({**settings, "link": "auto"})
    same("igb", listed(machine, name), wanted)
    line = by_ip(machine, name)[2]
    for word in ("02:00:00:00:01:02", "vlan 102, qos 2", "max_tx_rate 300Mbps",
                 "spoof checking on", "trust on"):
        check(word in line, f"ip link does not say '{word}': {line}")
    set_all(machine, name, 0, {"vlan": "0", "rate": "0"})
    same("VLAN and rate", [listed(machine, name)[0][key] for key in ("vlan", "rate")], ["0", "0"])

    asked = f"iolane vf set {name}/vf1"
    host.refused(f"{asked} link=enable", f"{name}/vf1", "link enable",
                 "the driver igb has no such setting", "Operation not supported")
    host.refused(f"{asked} rss_query=on", "the driver igb has no such setting")
    host.refused(f"{asked} rate=10-100", "rate 10-100", "no minimum rate", "Invalid argument")
    host.refused(f"{asked} rate=100000", "rate 100000", "the link has to be up")
    host.refused(f"{asked} vlan=5 qos=1 vlan_proto=802.1ad", "vlan 5 qos 1 802.1ad",
                 "knows no VLANs of this protocol")
    host.refused(f"iolane vf set {name}/vf7 trust=on", "expected from 0 to 6")
    host.refused(f"iolane vf stats {name}", f"all counts of {name}'s VFs are 0", "the driver igb")
    same("igb", listed(machine, name)[1:], wanted[1:])
    same("igb's switch", told(machine, name).get("eswitch"), None)
    path = host.write("switch.yaml", f"pfs: [{{address: {IGB}, eswitch: switchdev}}]")
    host.refused(f"iolane apply {path}", "the driver igb has no modes")
    host.refused("iolane vf list lo", "lo")
    host.refused("iolane vf list eth99", "eth99")


def netdevsim(machine, number, vfs):
    """A NIC of netdevsim with VFs; gives its interface's name."""
    machine.sh("grep -q /sys/kernel/debug /proc/mounts || mount -t debugfs debugfs /sys/kernel/debug")
    machine.sh(f"echo '{number} 1' > /sys/bus/netdevsim/new_device")
    device = f"/sys/bus/netdevsim/devices/netdevsim{number}"
    machine.sh(f"echo {vfs} > /sys/kernel/debug/netdevsim/netdevsim{number}/max_vfs")
    machine.sh(f"echo {vfs} > {device}/sriov_numvfs")
    return machine.sh(f"ls {device}/net")


def check_netdevsim(host):
    machine = host.machine
    name = netdevsim(machine, 1, 4)
    same("fresh VFs", listed(machine, name), 4 * [{"mac": "00:00:00:00:00:00", **FRESH}])
    wanted = [
        {"mac": f"02:00:00:00:02:{index:02x}", "vlan": vlan, "spoofchk": "on", "trust": "on",
         "link": link, "rate": rate, "rss_query": "on"}
        for index, (vlan, link, rate) in enumerate((
            ("1", "enable", "1000"), ("4094 qos 7", "disable", "100-1000"),
            ("200 qos 3 802.1ad", "auto", "10-0"), ("0", "enable", "65535")))
    ]
    for index, settings in enumerate(wanted):
        set_all(machine, name, index, settings)
    same("netdevsim", listed(machine, name), wanted)
    line = by_ip(machine, name)[2]
    for word in ("vlan 200, qos 3, vlan protocol 802.1ad", "min_tx_rate 10Mbps",
                 "query_rss on", "link-state auto"):
        check(word in line, f"ip link does not say '{word}': {line}")
    # And back.
    set_all(machine, name, 2, {"mac": "00:00:00:00:00:00", **FRESH})
    same("vf2", listed(machine, name)[2], {"mac": "00:00:00:00:00:00", **FRESH})
    host.refused(f"iolane vf set {name}/vf4 trust=on", "expected from 0 to 3")
    host.refused(f"iolane vf stats {name}", "the driver netdevsim does not count")
    check_switch(host, name)


def switch(host, name, mode):
    path = host.write("switch.yaml", f"pfs: [{{name: {name}, eswitch: {mode}}}]")
    return f"iolane apply {path}"


def check_switch(host, name):
    machine = host.machine
    same("mode", told(machine, name)["eswitch"], "legacy")
    machine.sh(switch(host, name, "switchdev"))
    pf = told(machine, name)
    same("mode", pf["eswitch"], "switchdev")
    same("VFs", len(pf["vfs"]), 4)
    for vf in pf["vfs"]:
        netdev = vf["representor"]
        same(f"port of {netdev}", machine.sh(f"cat /sys/class/net/{netdev}/phys_port_name"),
             f"pf0vf{vf['index']}")
    host.refused(f"iolane vf set {name}/vf0 rate=10", "rate 10", "the driver netdevsim has no such setting")
    host.refused(switch(host, name, "bridge"), "legacy or switchdev")
    machine.sh(switch(host, name, "legacy"))
    same("mode", told(machine, name)["eswitch"], "legacy")


def check_many(host):
    """More than fit into a list: all are read all the same, in one question."""
    machine = host.machine
    for number, count in ((2, 256), (3, MANY)):
        name = netdevsim(machine, number, count)
        vfs = (0, 1, count // 2, count - 1)
        for index in vfs:
            set_all(machine, name, index, {"mac": f"02:00:00:00:{index >> 8:02x}:{index & 255:02x}",
                                           "vlan": f"{index + 1} qos 5"})
        found = listed(machine, name)
        same("how many", len(found), count)
        fresh = {"mac": "00:00:00:00:00:00", **FRESH}
        for index, settings in enumerate(found):
            mac = f"02:00:00:00:{index >> 8:02x}:{index & 255:02x}"
            wanted = {"mac": mac, "vlan": f"{index + 1} qos 5"} if index in vfs else {}
            same(f"{name}/vf{index}", settings, {**fresh, **wanted})
        # With statistics the answer of 256 overflows, too.
        host.refused(f"iolane vf stats {name}", "the driver netdevsim does not count")
    # What overflows misleads others: or there is nothing here to be better at.
    check(len(by_ip(machine, name)) < MANY, "ip link shows all VFs")


def test(args):
    with Machine(args, devices=["igb"], programs=["iolane", "/sbin/ip"]) as machine:
        host = Host(machine)
        check_igb(host)
        check_netdevsim(host)
        check_many(host)


main(test)
