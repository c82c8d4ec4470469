#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The library on devices of the lab: DMA, interrupts, reset, and who is refused."""

import re

from machine import EDU, IGB, NVME, Machine, check, main, wait_for

OTHER = "0000:00:03.0"
CONTEXTS = {"lab": ("iommufd", "type1"), "debian": ("type1",)}
MODULES = {"iommufd": "iommufd", "type1": "vfio_iommu_type1"}
NAMES = {"iommufd": "iommufd", "type1": "type1v2"}
REFUSED = 3


def bind(machine, address):
    machine.bind(address, "vfio-pci")
    # busybox's modprobe does not follow the soft dependency that loads it elsewhere.
    if machine.kernel == "debian":
        machine.sh("modprobe vfio_iommu_type1")


def probe(machine, *words):
    status, output = machine.run("vfioprobe " + " ".join(words), 120)
    check(status == 0, f"vfioprobe {' '.join(words)}: {status}\n{output}")
    return output


def refused(machine, *words):
    status, output = machine.run("vfioprobe " + " ".join(words))
    check(status == REFUSED, f"vfioprobe {' '.join(words)} is not refused: {status}\n{output}")
    return output


def check_faults(machine, context):
    """DMA that is stopped is told by the kernel, with the device and the address; its data is looked at each time."""
    machine.sh("dmesg -c > /dev/null")

    def logged():
        # The kernel tells of a few faults at a time only, and drops the others.
        probe(machine, context, EDU, "faults")
        log = machine.sh("dmesg")
        told = re.findall(rf"DMAR:.*DMA Write.*{EDU[5:]}.*fault addr (0x[0-9a-f]+)", log)
        return {"0x8000000", "0x9000000"} <= set(told)

    wait_for("faults at both addresses to be logged", logged)


def check_edu(machine, context):
    output = probe(machine, context, EDU, "dma", "msi", "intx", "entries", "cycles", "peer", "sleep",
                   "dirty", "locked")
    name = NAMES[context]
    check(f"context {name}," in output, f"another context than {name}:\n{output}")
    check_faults(machine, context)


def remapped(args):
    with Machine(args, programs=["vfioprobe"]) as machine:
        bind(machine, EDU)
        bind(machine, NVME)
        for context in CONTEXTS[args.kernel]:
            check_edu(machine, context)
            output = probe(machine, context, NVME, "nvme")
            check("resets: flr" in output, f"the drive's reset methods:\n{output}")
            probe(machine, context, NVME, "hot-reset", "nvme")
            said = refused(machine, context, OTHER)
            check("iolane bind" in said, f"a device without a driver: {said}")
        best = NAMES[CONTEXTS[args.kernel][0]]
        check(f"context {best}," in probe(machine, "auto", EDU), f"{best} is not chosen")
        # Root need not have its limit raised; that is so with both contexts.
        machine.sh(f"ulimit -l 64; vfioprobe auto {EDU} dma")
        take_away(machine, "auto")


def unremapped(args):
    """Without interrupt remapping nobody is taken, but by the flag, and then not without the kernel's consent."""
    with Machine(args, remap=False, programs=["vfioprobe"], devices=("edu",)) as machine:
        bind(machine, EDU)
        for context in CONTEXTS[args.kernel]:
            said = refused(machine, context, EDU)
            check("does not remap interrupts" in said, f"the reason: {said}")
            module = MODULES[context]
            option = f"/sys/module/{module}/parameters/allow_unsafe_interrupts"
            said = refused(machine, "--unsafe", context, EDU)
            check(option in said, f"how to allow it: {said}")
            machine.sh(f"echo 1 > {option}")
            said = refused(machine, context, EDU)
            check("does not remap interrupts" in said, f"the reason: {said}")
            said = probe(machine, "--unsafe", context, EDU, "dma", "msi")
            check("not remapped" in said, f"there is no warning: {said}")


def untranslated(args):
    """Without an IOMMU a device is taken by a flag whose name says what that is, and the kernel's consent."""
    with Machine(args, iommu="none", programs=["vfioprobe"]) as machine:
        machine.run("modprobe -a vfio-pci vfio_iommu_type1")
        check("switch the IOMMU on" in refused(machine, "type1", EDU), "no word of the IOMMU")
        option = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
        status, said = machine.run(f"vfioprobe noiommu {EDU}")
        if machine.kernel == "debian":
            check(status and "CONFIG_VFIO_NOIOMMU" in said, f"why it can't be: {said}")
            return
        check(status and option in said, f"how to allow it: {said}")
        machine.sh(f"echo 1 > {option}")
        bind(machine, EDU)
        said = probe(machine, "noiommu", EDU, "msi")
        check("without an IOMMU" in said, f"there is no warning: {said}")
        check("context noiommu," in said, f"another context: {said}")


def take_away(machine, context):
    """A device that is unplugged while somebody has it is asked for."""
    # QEMU's NVMe drives with VFs do not survive it.
    bind(machine, IGB)
    machine.sh(f"vfioprobe {context} {IGB} request > /tmp/request 2>&1 & true")
    wait_for("the probe to wait", lambda: "waiting" in machine.sh("cat /tmp/request"))
    machine.unplug("igb")
    said = machine.sh("cat /tmp/request")
    check("request: as it must be" in said, f"the request: {said}")


def test(args):
    remapped(args)
    unremapped(args)
    untranslated(args)


if __name__ == "__main__":
    main(test)
