#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""vmm-glue on nested KVM, with a guest of a few instructions, a device and a vhost-user back end: memory, interrupts, dirty
pages."""

import re

from machine import EDU, Machine, check, main

PROBES = ["memory", "bars", "doorbells", "messages", "pins", "many", "dirty", "joined"]
# Where the device writes what is no longer the guest's (vmmprobe_device.c).
GIVEN_BACK = "0x8201000"
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
        machine.sh("dmesg -c > /dev/null")
        for context in CONTEXTS[args.kernel]:
            probe(machine, context, EDU)
        # The kernel tells of a few faults at a time only, so those of the first context are.
        log = machine.sh("dmesg")
        check(re.search(rf"DMAR:.*DMA Write.*{EDU[5:]}.*fault addr {GIVEN_BACK}", log),
              f"no fault at what was given back:\n{log}")


if __name__ == "__main__":
    main(test)
