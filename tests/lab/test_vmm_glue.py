#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""vmm-glue on KVM of the lab, with a guest of a few instructions: memory, interrupts, doorbells."""

from machine import Machine, check, main

PROBES = ["memory", "bars", "doorbells", "messages", "pins", "many"]


def test(args):
    with Machine(args, programs=["vmmprobe"], devices=("edu",)) as machine:
        machine.run("modprobe kvm_amd")
        for probe in PROBES:
            status, output = machine.run(f"vmmprobe {probe}", 120)
            check(status == 0, f"vmmprobe {probe}: {status}\n{output}")
            print(output)


if __name__ == "__main__":
    main(test)
