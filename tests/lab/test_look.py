#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""iolane list, show and check tell the truth about machines with each IOMMU and with none."""

import json

from machine import BRIDGE, EDU, GROUPED, IGB, NIC, NVME, Machine, check, main


def look(machine, command, status=0):
    """What a verb says in JSON; its exit status has to be as expected, and the text's the same."""
    got, output = machine.run(f"iolane {command} --json 2>&1")
    check(got == status, f"iolane {command} ended with {got}:\n{output}")
    got, text = machine.run(f"iolane {command} 2>&1")
    check(got == status and text, f"iolane {command} ended with {got}:\n{text}")
    return json.loads(output)


def same(what, got, wanted):
    check(got == wanted, f"{what}: {got}, and not {wanted}")


def states(machine, status):
    report = look(machine, "check", status)
    same("passthrough", report["passthrough"], not status)
    return {line["check"]: line["state"] for line in report["checks"]}


def check_states(machine, status, **wanted):
    got = states(machine, status)
    same("checks", {key: got.get(key) for key in wanted}, wanted)


def check_list(machine):
    devices = {device["address"]: device for device in look(machine, "list")}
    for address, driver, kind, name in ((IGB, "igb", "net", machine.netdev(IGB)),
                                        (NVME, "nvme", "storage", "nvme0"),
                                        (EDU, None, "other", None)):
        device = devices[address]
        same(address, [device[key] for key in ("driver", "class", "name", "companions")],
             [driver, kind, name, 0])
    for address in GROUPED:
        same(f"companions of {address}", devices[address]["companions"], 1)
    check(BRIDGE not in devices, f"{BRIDGE} is a bridge, and listed")
    everything = look(machine, "list --all")
    for device in everything:
        # The link's last part is the number.
        _, link = machine.run(f"readlink /sys/bus/pci/devices/{device['address']}/iommu_group")
        group = int(link.split("/")[-1]) if link else None
        same(f"group of {device['address']}", device["iommu_group"], group)
    count = len(machine.sh("ls /sys/bus/pci/devices").split())
    same("all functions", len(everything), count)
    same("VFs", {d["address"]: d["vfs_max"] for d in everything if d["vfs_max"]}, {IGB: 7, NVME: 4})


def check_verdicts(machine):
    def passthrough(name):
        return look(machine, f"show {name}")["verdict"]["passthrough"]
    same("edu", passthrough(EDU), "yes")
    same("a grouped edu", passthrough(GROUPED[0]), "with-group")
    same("a bridge", passthrough(BRIDGE), "no")
    same("the NIC", passthrough(machine.netdev(IGB)), "yes")
    path = [hop["address"] for hop in look(machine, "show nvme0")["path"]]
    same("the way of nvme0", path, [NVME, "0000:00:05.0"])
    members = [member["address"] for member in look(machine, f"show {GROUPED[0]}")["group"]["members"]]
    same("the group", members, [BRIDGE, *GROUPED])


def check_uses(machine):
    machine.sh("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt")
    name = machine.netdev(NIC)
    machine.sh(f"ip address add 192.0.2.1/24 dev {name} && ip link set {name} up")
    machine.sh("ip route add default via 192.0.2.2")
    uses = {d["address"]: [use["kind"] for use in d["uses"]] for d in look(machine, "list")}
    same("uses", [uses[a][:1] for a in ("0000:00:07.0", NIC, EDU)], [["mount"], ["route"], []])
    free = [device["address"] for device in look(machine, "list --free")]
    check(EDU in free and NIC not in free, f"free are {free}")
    same("the NIC's verdict", look(machine, f"show {name}")["verdict"]["passthrough"], "no")


def check_vfs(machine):
    functions = machine.make_vfs(IGB, 2)
    name = machine.netdev(IGB)
    listed = {d["address"]: d["name"] for d in look(machine, "list --vfs --driver=none")}
    same("VFs", listed, {vf: f"{name}/vf{index}" for index, vf in enumerate(functions)})
    shown = look(machine, f"show {name}/vf1")
    same("vf1", [shown["address"], shown["pf"], shown["verdict"]["passthrough"]],
         [functions[1], IGB, "yes"])


def intel(args):
    with Machine(args, programs=["iolane"]) as machine:
        # Debian's kernel has it as a module.
        same("VFIO", states(machine, 0)["vfio"], "good" if machine.kernel == "lab" else "warning")
        machine.bind("0000:00:03.0", "vfio-pci")
        # The machine's modprobe knows no soft dependencies; where it is built in there is none.
        machine.run("modprobe vfio_iommu_type1")
        check_states(machine, 0, iommu="good", groups="good", translation="good", remapping="good",
                     acs="warning", reserved="good", vfio="good", iommufd="good", unsafe="good")
        iommufd, = [c for c in look(machine, "check")["checks"] if c["check"] == "iommufd"]
        check(("both" if machine.kernel == "lab" else "neither") in iommufd["found"], str(iommufd))
        check_list(machine)
        check_verdicts(machine)
        check_vfs(machine)
        check_uses(machine)


def intel_without_remapping(args):
    with Machine(args, remap=False, devices=["edu"], programs=["iolane"]) as machine:
        check_states(machine, 1, iommu="good", groups="good", remapping="bad")
        verdict = look(machine, f"show {EDU}")["verdict"]
        check("not remapped" in verdict["sentence"], str(verdict))


def virtio(args):
    with Machine(args, iommu="virtio", devices=["edu"], programs=["iolane"]) as machine:
        check_states(machine, 1, iommu="good", remapping="bad")


def none(args):
    with Machine(args, iommu="none", devices=["edu"], programs=["iolane"]) as machine:
        check_states(machine, 1, iommu="bad", groups="bad", remapping="bad", acs=None)
        same("edu's group", look(machine, f"show {EDU}")["group"], None)


def test(args):
    for part in (intel, intel_without_remapping, virtio, none):
        part(args)
        print(f"{part.__name__}: as it should be", flush=True)


main(test)
