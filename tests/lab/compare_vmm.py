#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Times iolane-vmm beside QEMU (q35 and microvm) on KVM in the emulated machine, in turns.

Not a test. What iolane-bench vmm tells of guests without devices: the time to the first instruction, until
the guest is up, memory, threads, exits. The same with a VF of a NIC passed through, through which the
guest pings all the while. And what the VF costs before the guest runs, less the time in ioctls, which is the kernel's and the
device's (ioctltime.c): see attach().

The kernel is that of IOLANE_LAB_KERNEL, for the machine and for the guests; QEMU is this machine's, from a
disk in the emulated machine's memory.
"""

import json
import os
import re
import shlex
import shutil
import statistics
import sys
import tempfile

from compare_bind import compare, text
from machine import IGB, Machine, check, harness, initramfs, lab_kernel, parser

QEMU = "qemu-system-x86_64"
DATA = ("/usr/share/qemu", "/usr/share/seabios", "/usr/lib/ipxe/qemu")
SECONDS = 6000
MEMORY = "256M"
UP = "guest is up"
PEER, OURS = "10.9.0.1", "10.9.0.2"
# With a NIC the guest pings all the time, one packet after the other.
INIT = f"""#!/bin/sh
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
if [ -e /sys/class/net/eth0 ]; then
	ip addr add {OURS}/24 dev eth0
	ip link set eth0 up
	until ping -q -c 1 -W 1 {PEER} > /dev/null; do :; done
	ping -q -A {PEER} > /dev/null &
fi
echo {UP}
exec sleep 1000000
"""


def write_guest(out):
    busybox = initramfs.find_program("busybox")
    cpio = initramfs.Cpio(out)
    for name in ("dev", "proc", "sys"):
        cpio.folder(name)
    cpio.entry("dev/console", 0o20600, device=(5, 1))
    cpio.file("bin/busybox", busybox)
    for name in ("sh", "mount", "ip", "ping", "sleep"):
        cpio.link(f"bin/{name}", "busybox")
    cpio.data("init", INIT.encode(), 0o755)
    cpio.close()


def fill(root, build):
    """A folder that all is run from: the VMMs with what they need where it is on this machine, the guest, ioctltime."""
    for name in ("dev", "proc", "sys", "run", "tmp"):
        os.makedirs(f"{root}/{name}")
    files = [("/bin/busybox", initramfs.find_program("busybox")), ("/kernel", lab_kernel()),
             ("/ioctltime.so", harness.find_built(build, "ioctltime.so"))]
    programs = {name: harness.find_built(build, name) for name in ("iolane-bench", "iolane-vmm")}
    for name, program in {**programs, QEMU: initramfs.find_program(QEMU)}.items():
        files += [(f"/usr/bin/{name}", program), *initramfs.libraries(program)]
    for folder in filter(os.path.isdir, DATA):
        files += [(f"{folder}/{name}", os.path.join(folder, name)) for name in os.listdir(folder)
                  if name.endswith((".bin", ".rom"))]
    for place, source in files:
        os.makedirs(os.path.dirname(root + place), exist_ok=True)
        shutil.copy(source, root + place)
    os.symlink("busybox", f"{root}/bin/sh")
    with open(f"{root}/initrd", "wb") as out:
        write_guest(out)


def prepare(machine):
    """The folder on a disk of its own: what is mapped of a file in tmpfs would pass for the guest's memory, and
    opening a file of the share takes long."""
    machine.sh("truncate -s 600M /run/disk && mkfs.ext4 -q /run/disk && mkdir /vmm "
               "&& mount -o loop /run/disk /vmm && cp -r /host/root/. /vmm", 900)
    for name in ("dev", "proc", "sys"):
        machine.sh(f"mount -o bind /{name} /vmm/{name}")
    machine.sh("mount -t debugfs debugfs /vmm/sys/kernel/debug")


def inside(command):
    return f"chroot /vmm /bin/sh -c {shlex.quote(f'PATH=/usr/bin:/bin; export PATH; {command}')}"


def bench(machine, options):
    """One report of iolane-bench vmm."""
    print(f"iolane-bench vmm {options}", file=sys.stderr)
    command = (f"iolane-bench vmm --kernel=/kernel --initrd=/initrd --memory={MEMORY} "
               f"--cmdline='console=ttyS0 quiet' --timeout=600 --json {options}")
    status, output = machine.run(f"{inside(command)} 2> /run/trouble", SECONDS)
    check(status == 0, machine.run("cat /run/trouble")[1])
    return json.loads(output)


def told_times(machine, command, output):
    told = re.search(r"^ioctltime (\d+) (\d+)$", output, re.MULTILINE)
    check(told, f"{command}: {output}\n{machine.run('cat /run/answers')[1]}")
    return [int(ns) / 1e6 for ns in told.groups()]


def start_time(machine, command):
    """(ms to get the VF, ms of them in ioctls) of a VMM that starts with it."""
    _, output = machine.run(inside(f"LD_PRELOAD=/ioctltime.so exec {command} 2>&1"), 100)
    return told_times(machine, command, output)


def plug_time(machine, command, vf):
    """The same of a QEMU that does not start its guest, from when it is told to plug the VF in to when it has."""
    told = [{"execute": "qmp_capabilities"},
            {"arguments": {"driver": "vfio-pci", "id": "vf0", "bus": "free", "host": vf}, "execute": "device_add"}]
    words = " ".join(shlex.quote(json.dumps(line)) for line in told)
    machine.sh("ip link set lo up")
    qemu = f"{command} -S -device pcie-root-port,id=free -qmp tcp:127.0.0.1:4444,server=on,wait=off"
    machine.sh(inside(f"LD_PRELOAD=/ioctltime.so exec {qemu}") + " > /run/plugged 2>&1 & echo $! > /run/pid")
    # The word that begins the time comes last.
    machine.sh("until netstat -ltn | grep -q :4444; do sleep 0.1; done; "
               f"(for line in {words}; do echo \"$line\"; done; sleep 30) | nc 127.0.0.1 4444 > /run/answers & "
               "while test -e /proc/$(cat /run/pid)/exe; do sleep 0.1; done; kill $!; "
               # The kernel closes what a dead process had a moment later.
               "sleep 1", 100)
    return told_times(machine, command, machine.sh("cat /run/plugged"))


def attach(machine, vf, rounds):
    """What the VF costs each VMM before the guest runs: its own ms, and those in ioctls, in each round.

    QEMU does much else between when it starts and when the guest runs, so its are those of plugging in."""
    options = "--against=qemu --show-commands"
    plain, given = bench(machine, options), bench(machine, f"{options} --vfio={vf}")
    ours, theirs = plain
    figures = {name: {"own": [], "ioctls": []} for name in plain}
    for number in range(rounds + 1):
        times = {ours: start_time(machine, given[ours]), theirs: plug_time(machine, plain[theirs], vf)}
        for name, (total, calls) in times.items():
            # The first brings all that is needed into memory.
            if number:
                figures[name]["own"].append(total - calls)
                figures[name]["ioctls"].append(calls)
    return figures


def measure(args):
    with tempfile.TemporaryDirectory(prefix="iolane-vmm-") as share:
        fill(f"{share}/root", args.build)
        with Machine(args, kernel="lab", programs=["iolane"], share=share, devices=("igb",),
                     memory="2G", guests=True) as machine:
            prepare(machine)
            figures = {"plain": bench(machine, "--against=qemu,microvm --exits=2 "
                                      f"--until='{UP}' --rounds={args.rounds}")}
            vf, = machine.make_vfs(IGB, 1)
            machine.sh(f"ip addr add {PEER}/24 dev {machine.netdev(IGB)}")
            machine.sh(f"iolane bind {vf}")
            figures["vf"] = bench(machine, f"--against=qemu --vfio={vf} --exits=5 "
                                  f"--until='{UP}' --rounds={args.vf_rounds}")
            figures["attach"] = attach(machine, vf, args.attach_rounds)
            machine.sh(f"iolane unbind {vf}")
    return figures


def column(report, name, key):
    runs = [run for run in report["runs"] if run["name"] == name]
    return [run["exits_s"][key] if key in run.get("exits_s", {}) else run[key] for run in runs]


def show_report(what, report):
    names = list(report["manifest"]["commands"])
    print(f"{what}: median (min to max)")
    for key in ("first_ms", "up_ms", "rss_kib", "threads", "exits", "io_exits", "mmio_exits", "signal_exits",
                "request_irq_exits", "to_user"):
        print(f"  {key:20} " + "".join(f"{name} {text(column(report, name, key)):34}" for name in names))
    for ratio in report.get("ratios", [report["ratio"]]):
        print(f"  first_ms, {' / '.join(ratio['of'])}: {text(ratio['rounds'], 2)}")
    ours = column(report, names[0], "up_ms")
    for name in names[1:]:
        ratios = [a / b for a, b in zip(ours, column(report, name, "up_ms"), strict=True)]
        print(f"  up_ms, {names[0]} / {name}: {text(ratios, 2)}")


def show_attach(figures):
    print("to get a VF, ms: median (min to max)")
    for name, times in figures.items():
        print(f"  {name:12} own {text(times['own'], 2)}   in ioctls {text(times['ioctls'])}")
    ours, theirs = (times["own"] for times in figures.values())
    print(f"  own, in times of QEMU's by medians: {statistics.median(ours) / statistics.median(theirs):.2f}; "
          f"in rounds: {text([a / b for a, b in zip(ours, theirs, strict=True)], 2)}")


def show(figures):
    show_report("guests without devices", figures["plain"])
    show_report("guests that ping through a VF", figures["vf"])
    show_attach(figures["attach"])


def main():
    made = parser(__doc__.split("\n", maxsplit=1)[0])
    made.add_argument("--rounds", type=int, default=9, help="of guests without devices")
    made.add_argument("--vf-rounds", type=int, default=3, help="of guests with a VF")
    made.add_argument("--attach-rounds", type=int, default=9, help="of the VF's cost")
    return compare(made, measure, show)


sys.exit(main())
