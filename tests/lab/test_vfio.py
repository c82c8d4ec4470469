#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The library on devices of the lab: DMA, interrupts, reset, migration, and who is refused."""

import json
import os
import re

from machine import EDU, GROUPED, IGB, NVME, Machine, check, main, root_port, wait_for

OTHER = "0000:00:03.0"
CONTEXTS = {"lab": ("iommufd", "type1"), "debian": ("type1",)}
MODULES = {"iommufd": "iommufd", "type1": "vfio_iommu_type1"}
NAMES = {"iommufd": "iommufd", "type1": "type1v2"}
REFUSED = 3
XHCI = "0000:00:0a.0"
TELLER = "0000:05:00.0"
MEDIATED = [f"8f4d9f2a-5a3b-4c52-9d2e-3f0c6b1e770{number}" for number in (1, 2)]
NOBODY = 65534

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


def vf_of_drive(machine):
    """A VF of the drive, which is given queues and interrupts of the PF's, and its share of the namespace."""
    virtual = machine.make_vfs(NVME, 1)[0]
    machine.sh(f"iolane vf set {NVME}/vf0 queues=2 interrupts=2")
    bind(machine, virtual)
    for context in CONTEXTS[machine.kernel]:
        probe(machine, context, virtual, "nvme")
    machine.sh(f"echo 0 > /sys/bus/pci/devices/{NVME}/sriov_numvfs")


def vf_of_nic(machine):
    virtual = machine.make_vfs(IGB, 1)[0]
    bind(machine, virtual)
    for context in CONTEXTS[machine.kernel]:
        probe(machine, context, virtual, "vf")
    machine.sh(f"echo 0 > /sys/bus/pci/devices/{IGB}/sriov_numvfs")


def vf_of_ours(machine):
    """A VF whose PF is VFIO's, too: who has the PF decides who gets it."""
    bind(machine, IGB)
    machine.sh("echo 1 > /sys/module/vfio_pci/parameters/enable_sriov")
    machine.sh(f"echo 1 > /sys/bus/pci/devices/{IGB}/sriov_numvfs")
    bind(machine, os.path.basename(machine.sh(f"readlink /sys/bus/pci/devices/{IGB}/virtfn0")))
    probe(machine, "type1", IGB, "token")
    machine.sh(f"echo 0 > /sys/bus/pci/devices/{IGB}/sriov_numvfs")


def given(machine, context):
    """Somebody opens the nodes for a process that could not."""
    folder = f"/sys/bus/pci/devices/{EDU}"
    if context == "iommufd":
        nodes = "/dev/iommu", "/dev/vfio/devices/" + machine.sh(f"ls {folder}/vfio-dev")
    else:
        group = os.path.basename(machine.sh(f"readlink {folder}/iommu_group"))
        nodes = "/dev/vfio/vfio", f"/dev/vfio/{group}"
    words = f"vfioprobe --uid={NOBODY} --fds=8,9 {context}"
    files = f"8<>{nodes[0]} 9<>{nodes[1]}"
    machine.refuses(f"vfioprobe --uid={NOBODY} {context} {EDU}")
    machine.sh(f"{words} {EDU} dma msi {files}")
    if context == "iommufd":
        said = machine.refuses(f"{words} {NVME} {files}")
        check("is not /dev/vfio/devices/" in said, f"another device's node: {said}")


def mediated(machine):
    types = "/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1"
    for uuid in MEDIATED:
        machine.sh(f"echo {uuid} > {types}/create")
    for context in CONTEXTS[machine.kernel]:
        # As people write them; the kernel's names are small letters.
        probe(machine, context, MEDIATED[0].upper(), "lines", "migrate:" + MEDIATED[1])
        said = refused(machine, context, MEDIATED[0][:-1] + "3")
        check("no mediated device" in said, f"one that there is not: {said}")
        refused(machine, context, MEDIATED[0] + "/../" + MEDIATED[0])


def remapped(args):
    # Many vectors of MSI; and errors that are reported, which igb's are not.
    more = ["-device", "qemu-xhci,msi=on,msix=off,addr=a.0", *root_port(11)]
    more += ["-device", "virtio-rng-pci,id=teller,bus=port11,aer=on"]
    with Machine(args, programs=["vfioprobe", "iolane", "iolane-bench"], options=more) as machine:
        vf_of_drive(machine)
        vf_of_nic(machine)
        if machine.run("test -d /sys/devices/virtual/mtty")[0] == 0:
            mediated(machine)
        for address in (EDU, NVME, XHCI, *GROUPED):
            bind(machine, address)
        for context in CONTEXTS[args.kernel]:
            probe(machine, context, XHCI, "vectors")
            probe(machine, context, GROUPED[0], "bus")
            given(machine, context)
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
        vf_of_ours(machine)
        events(machine, "auto")


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


def in_background(machine, context, address, event, cause):
    """A probe that waits for an event, and what brings it about."""
    log = f"/tmp/{event}"
    machine.sh(f"vfioprobe {context} {address} {event} > {log} 2>&1 & true")
    wait_for("the probe to wait", lambda: "waiting" in machine.sh(f"cat {log}"))
    cause()
    wait_for(f"{event} to be told", lambda: "as it must be" in machine.sh(f"cat {log}"))


def events(machine, context):
    """A device tells of an error; another is unplugged while somebody has it, who is asked for it."""
    inject = {"command-line": "pcie_aer_inject_error teller COMP_TIME"}
    bind(machine, TELLER)
    in_background(machine, context, TELLER, "error", lambda: machine.qmp("human-monitor-command", **inject))
    # QEMU's NVMe drives with VFs do not survive it.
    bind(machine, IGB)
    in_background(machine, context, IGB, "request", lambda: machine.unplug("igb"))


def test(args):
    remapped(args)
    unremapped(args)
    untranslated(args)


if __name__ == "__main__":
    main(test)
