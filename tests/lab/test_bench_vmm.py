#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""iolane-bench vmm measures guests that KVM runs, and counts their exits by cause."""

import json

from machine import Machine, check, main

BENCH = "iolane-bench vmm"
GUEST = "--until='tiny guest is up'"
CAUSES = {"io": "io_exits", "mmio": "mmio_exits", "quiet": None}


def measured(machine, options):
    return json.loads(machine.sh(f"{BENCH} --json {options}"))


def refusals(machine):
    """What the bench says when something is not there."""
    for options, sentence in (
            (f"--compare='tinyvmm io' {GUEST} --exits=1", "mount -t debugfs"),
            ("--compare='tinyvmm none'", "the VMM ended before its guest's first instruction"),
            ("--compare=/bin/none", "cannot run /bin/none"),
    ):
        output = machine.refuses(f"{BENCH} {options}")
        check(sentence in output and output.count("\n") == 0, f"{options}: {output}")


def exits(machine):
    """A guest that writes to ports, one that writes to no memory, one that does neither."""
    compare = " ".join(f"--compare='tinyvmm {kind}'" for kind in CAUSES)
    report = measured(machine, f"{compare} {GUEST} --exits=0.2 --rounds=2")
    runs = report["runs"]
    check([run["round"] for run in runs] == [1, 1, 1, 2, 2, 2], f"rounds: {runs}")
    for run, (kind, cause) in zip(runs, [*CAUSES.items()] * 2, strict=True):
        check(0 < run["first_ms"] and 0 < run["up_ms"], f"{kind} took no time: {run}")
        # Newer kernels put one of their own into a VMM.
        check(run["threads"] in (1, 2), f"{kind} has threads: {run}")
        # The guest's own memory is shared, and not among it.
        check(0 < run["rss_kib"] < 16384, f"{kind} has memory: {run}")
        counted = run["exits_s"]
        check(0 < counted["exits"], f"{kind} never exits: {run}")
        for name in CAUSES.values():
            if name:
                check((counted[name] > 0) == (name == cause), f"{kind}: {name} in {run}")
        # Nobody sends the quiet one a signal; the bench does nothing to it, either.
        check((counted["to_user"] > 0) == (cause is not None), f"{kind}: exits to the VMM in {run}")
    check(len(report["ratios"]) == 2 and len(report["ratio"]["rounds"]) == 2, f"ratios: {report}")


def gone(machine):
    """All that was started has been killed."""
    status, output = machine.run("pidof tinyvmm")
    check(status == 1, f"left behind: {output}")
    folders = machine.sh("ls -d /sys/kernel/debug/kvm/*-* 2>/dev/null || true")
    check(folders == "", f"VMs left behind: {folders}")


def test(args):
    with Machine(args, programs=["iolane-bench", "tinyvmm"], devices=()) as machine:
        machine.run("modprobe kvm_amd")
        refusals(machine)
        machine.sh("mount -t debugfs debugfs /sys/kernel/debug")
        exits(machine)
        text = machine.sh(f"{BENCH} --compare='tinyvmm quiet' {GUEST} --rounds=1 --exits=0.1")
        check("request_irq_exits" in text and "first instruction, ms" in text, text)
        gone(machine)


main(test)
