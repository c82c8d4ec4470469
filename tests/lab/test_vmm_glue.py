#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""vmm-glue on nested KVM, with a guest of a few instructions, a device and a vhost-user back end: memory, interrupts, dirty
pages."""

from machine import EDU, Machine, check, main

PROBES = ["memory", "bars", "doorbells", "messages", "pins", "many", "dirty", "joined"]
CONTEXTS = {"lab": ("iommufd", "type1"), "debian": ("type1",)}


def probe(machine, *words):
    status, output = machine.run("vmmprobe " + " ".join(words), 240)
    check(status == 0, f"vmmprobe {' '.join(words)}: {status}\n{output}")
    print(output)


def test(args):
    with Machine(args, programs=["vmmprobe"], devices=("edu",)) as machine:
        machine.run("modprobe kvm_amd")
        probe(machine, *PROBES)
        machine.bind(EDU, "vfio-pci")
        # busybox's modprobe does not follow the soft dependency that loads it elsewhere.
        if machine.kernel == "debian":
            machine.sh("modprobe vfio_iommu_type1")
        for context in CONTEXTS[args.kernel]:
            probe(machine, context, EDU)


if __name__ == "__main__":
    main(test)
