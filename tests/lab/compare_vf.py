#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Times how a NIC gets 7 VFs with all settings that igb has and vfio-pci, by iolane and otherwise, in turns.

Not a test: it says how long people wait, start-up counted. First without udevd, against a program that
makes the system calls and nothing else (vfbare.c): what iolane adds to kernel and device. Then with
Debian's udevd, against that and a shell script of ip and driverctl. After each, iolane drift finds that all is as
the file declares, so that all have done the same. Besides what passes, it says how much of a processor
was used, as much of the time is the NIC's, which has no carrier for a while when it gets VFs.

The tree that the latter run from is that of compare_bind.py, as is --uncached.
"""

import os
import statistics
import sys

from compare_bind import compare, prepare, run_inside, start_udev, stop_udev, text, tree_with
from machine import IGB, Machine, parser

INSIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "compare_vf_inside.py")
COUNT = 7


def state():
    """As in vfbare.c and the script."""
    lines = ["pfs:", f"  - address: {IGB}", f"    vfs: {COUNT}", "    vf:"]
    for index in range(COUNT):
        spoofchk = "on" if index % 2 else "off"
        settings = (f"index: {index}", f"mac: 02:00:00:00:00:0{index}", f"vlan: {100 + index}",
                    f"qos: {index}", f"spoofchk: {spoofchk}", "trust: on", f"rate: {100 * (index + 1)}",
                    "driver: vfio-pci")
        lines.append("      - " + "\n        ".join(settings))
    return "\n".join(lines) + "\n"


def measure(args):
    tree = tree_with(args, INSIDE)
    with open(os.path.join(tree, "state.yaml"), "w", encoding="utf-8") as file:
        file.write(state())
    with Machine(args, programs=["iolane", "vfbare"], share=tree, devices=("igb",)) as machine:
        prepare(machine, args.uncached)
        for module in ("vfio-pci", "vfio_iommu_type1", "igbvf"):
            machine.run(f"modprobe {module}")
        # It has a carrier before anything is timed.
        machine.make_vfs(IGB, 1)
        folder = f"/sys/bus/pci/devices/{IGB}"
        machine.sh(f"echo 0 > {folder}/sriov_numvfs && echo 1 > {folder}/sriov_drivers_autoprobe")
        netdev = machine.netdev(IGB)
        figures = {"calls": run_inside(machine, "calls", IGB, netdev, COUNT, args.rounds)}
        start_udev(machine)
        figures["script"] = run_inside(machine, "uncached" if args.uncached else "script", IGB,
                                       machine.netdev(IGB), COUNT, args.script_rounds)
        stop_udev(machine)
    return figures


def show(figures):
    for group in figures.values():
        first, *others = group
        for what, ours in group[first].items():
            print(f"{what}: median (min to max)")
            print(f"  {first + ', ms':36} {text(ours)}")
            for name in others:
                ratios = [b / a for a, b in zip(ours, group[name][what], strict=True)]
                print(f"  {name + ', ms':36} {text(group[name][what])}")
                print(f"  {'  iolane in times of that':36} {text([1 / r for r in ratios], 2)}")
                print(f"  {'  that in times of iolane':36} {text(ratios, 2)}")
    walls = [statistics.median(one["wall"]) for one in figures["script"].values()]
    print(f"added to the bare calls, by medians: iolane {walls[0] - walls[1]:.0f} ms, "
          f"ip and driverctl {walls[2] - walls[1]:.0f} ms")


def main():
    made = parser(__doc__.split("\n", maxsplit=1)[0])
    made.add_argument("--rounds", type=int, default=15, help="against the bare calls")
    made.add_argument("--script-rounds", type=int, default=5, help="against the script")
    return compare(made, measure, show)


sys.exit(main())
