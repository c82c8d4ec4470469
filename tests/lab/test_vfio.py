#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The library on devices of the lab: DMA, interrupts, reset, and who is refused."""

import json
import re

from machine import EDU, IGB, NVME, Machine, check, main, wait_for

OTHER = "0000:00:03.0"
CONTEXTS = {"lab": ("iommufd", "type1"), "debian": ("type1",)}
MODULES = {"iommufd": "iommufd", "type1": "vfio_iommu_type1"}
NAMES = {"iommufd": "iommufd", "type1": "type1v2"}
REFUSED = 3

# Rows of iolane-bench vfio that devices have, and those whose system calls are a matter of chance.
ROWS = {"map", "unmap", "map-fd", "unmap-fd", "map-4k", "unmap-4k", "map-2m", "unmap-2m", "irq-poll",
        "irq-read", "read", "pread"}
ROWS_OF = {EDU: {"device-irq-poll", "device-irq-read", "write", "pwrite"}, NVME: {"reset"}}
UNCOUNTED = {"irq-read", "device-irq-read"}


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


def check_bench(machine, context, address):
    """The library makes no more system calls than what is made without it, and all that can be is measured."""
    short = f"--context={context} --rounds=1 --runtime=0.001 --memory=4M"
    status, output = machine.run(f"iolane-bench vfio {address} {short} --json 2>&1", 300)
    check(status == 0, f"iolane-bench vfio {address}: {status}\n{output}")
    report = json.loads(output)
    check(report["device"]["context"] == NAMES[context], f"another context: {report['device']}")
    rows = {row["name"]: row for row in report["rows"] if "skipped" not in row}
    check(set(rows) == ROWS | ROWS_OF[address], f"{address} has the rows {', '.join(rows)}:\n{output}")
    for name, row in rows.items():
        ours, bare = row["iolane"], row["bare"]
        check(ours["median"] > 0 and bare["median"] > 0 and row["ratio"]["median"] > 0, f"{name}: {row}")
        check("lat_us" in ours if "irq" in name else "lat_us" not in ours, f"latencies of {name}: {row}")
        if name in UNCOUNTED:
            check("syscalls" not in ours, f"{name} is counted: {row}")
        else:
            check(ours["syscalls"] <= bare["syscalls"], f"{name} takes more system calls: {row}")
    check(rows["map"]["bare"]["syscalls"] == 1 and not rows["read"]["bare"]["syscalls"],
          f"system calls are counted wrongly: {rows}")


def check_bench_text(machine):
    status, output = machine.run(f"iolane-bench vfio {EDU} --rounds=1 --runtime=0.001 --memory=4M", 300)
    check(status == 0 and all(part in output for part in (
        EDU, "map 4 KiB ", "device's interrupt, poll", "p99.9", "reset: not measured")), output)
    status, output = machine.run(f"iolane-bench vfio {OTHER} 2>&1")
    check(status == 1 and f"iolane bind {OTHER}" in output, f"a device without a driver: {output}")


def remapped(args):
    with Machine(args, programs=["vfioprobe", "iolane-bench"]) as machine:
        bind(machine, EDU)
        bind(machine, NVME)
        for context in CONTEXTS[args.kernel]:
            check_edu(machine, context)
            check_bench(machine, context, EDU)
            output = probe(machine, context, NVME, "nvme")
            check("resets: flr" in output, f"the drive's reset methods:\n{output}")
            probe(machine, context, NVME, "hot-reset", "nvme")
            said = refused(machine, context, OTHER)
            check("iolane bind" in said, f"a device without a driver: {said}")
        check_bench(machine, CONTEXTS[args.kernel][0], NVME)
        check_bench_text(machine)
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
