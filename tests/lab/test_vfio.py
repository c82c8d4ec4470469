#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The library on devices of the lab: DMA, interrupts, and who is refused."""

import re

from machine import Machine, check, main

EDU = "0000:00:02.0"
OTHER = "0000:00:03.0"
CONTEXTS = {"lab": ("iommufd", "type1"), "debian": ("type1",)}
REFUSED = 3


def probe(machine, *words):
    status, output = machine.run("vfioprobe " + " ".join(words))
    check(status == 0, f"vfioprobe {' '.join(words)}: {status}\n{output}")
    return output


def check_faults(machine, context):
    """DMA that is stopped is told by the kernel, with the device and the address."""
    machine.sh("dmesg -c > /dev/null")
    probe(machine, context, EDU, "faults")
    log = machine.sh("dmesg")
    for address in ("0x8000000", "0x9000000"):
        told = re.search(rf"DMAR:.*DMA Write.*{EDU[5:]}.*fault addr {address}\b", log)
        check(told, f"no fault at {address} was logged:\n{log}")


def check_edu(machine, context):
    output = probe(machine, context, EDU, "dma", "msi", "intx", "entries", "cycles")
    name = "type1v2" if context == "type1" else context
    check(f"context {name}," in output, f"another context than {context}:\n{output}")
    check_faults(machine, context)


def check_remapped(args):
    with Machine(args, programs=["vfioprobe"]) as machine:
        machine.bind(EDU, "vfio-pci")
        for context in CONTEXTS[args.kernel]:
            check_edu(machine, context)
        check(f"context {'iommufd' if args.kernel == 'lab' else 'type1v2'}," in
              probe(machine, "auto", EDU), "another context is chosen")
        status, output = machine.run(f"vfioprobe type1 {OTHER}")
        check(status == REFUSED and "iolane bind" in output, f"without a driver: {status}\n{output}")


def main_test(args):
    check_remapped(args)


if __name__ == "__main__":
    main(main_test)
