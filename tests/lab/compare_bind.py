#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Times bind and unbind of one device by iolane, driverctl and dpdk-devbind.py, in turns.

Not a test: it says how long people wait, start-up counted. The others run from a tree of Debian's
packages that is shared with the emulated machine over 9p, with Debian's udevd; iolane from there,
too. The machine's kernel is Debian's, as the others have it. All have run
before the first round that counts, so that the page cache is warm, and after each the driver is
looked at. With --uncached it is as the lab's machines have it otherwise: the share keeps nothing, so
that each start reads its programs anew, and iolane is in the machine's memory, in the initramfs.

The tree is made by apt and dpkg-deb on a Debian system, without root, and kept in the build folder.
"""

import glob
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

from machine import EDU, IGB, Machine, check, harness, parser

PACKAGES = ["driverctl", "dpdk", "udev", "kmod", "pciutils", "python3", "bash", "coreutils", "grep",
            "sed", "util-linux", "libc-bin", "debianutils", "libjson-c5", "libpci3", "libmnl0",
            "iproute2"]
HERE = os.path.dirname(os.path.abspath(__file__))
INSIDE = os.path.join(HERE, "compare_bind_inside.py")
SECONDS = 3000


def apt(folder, *words):
    """apt as on a system that has nothing, so that all that is needed is downloaded."""
    status = os.path.join(folder, "status")
    os.makedirs(os.path.join(folder, "archives/partial"), exist_ok=True)
    with open(status, "w", encoding="utf-8"):
        pass
    subprocess.run(["apt-get", "-qq", "-y", "-o", f"Dir::State::status={status}",
                    "-o", f"Dir::Cache::archives={folder}/archives", "-o", "Debug::NoLocking=1",
                    *words], check=True)


def merge_usr(tree):
    """/bin and the others are links into /usr, as Debian's installer makes them and packages expect."""
    for name in ("bin", "sbin", "lib", "lib64"):
        place, target = os.path.join(tree, name), os.path.join(tree, "usr", name)
        os.makedirs(target, exist_ok=True)
        if os.path.isdir(place):
            subprocess.run(["cp", "-a", f"{place}/.", target], check=True)
            shutil.rmtree(place)
        os.symlink(f"usr/{name}", place)


def debian_tree(cache):
    """A folder that holds the packages, unpacked and not installed."""
    tree = os.path.join(cache, "debian-tree")
    if os.path.isdir(tree):
        return tree
    os.makedirs(cache, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        print("downloading and unpacking Debian's packages", file=sys.stderr)
        apt(folder, "--no-install-recommends", "--download-only", "install", *PACKAGES)
        whole = os.path.join(folder, "tree")
        os.makedirs(whole)
        for package in sorted(glob.glob(f"{folder}/archives/*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, whole], check=True)
        merge_usr(whole)
        # What an installation would choose among alternatives.
        for name, target in (("which", "which.debianutils"), ("sh", "bash")):
            place = os.path.join(whole, "usr/bin", name)
            if not os.path.lexists(place):
                os.symlink(target, place)
        os.rename(whole, tree)
    return tree


def prepare(machine, uncached):
    """The tree with the machine's own proc, sys, dev, run and modules."""
    # Programs stay in memory once they have run, as on any machine; without cache= 9p keeps nothing.
    cache = "none" if uncached else "loose"
    machine.sh("umount /host && mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,"
               f"cache={cache} host /host")
    for name in ("proc", "sys", "dev", "run", "lib/modules"):
        machine.sh(f"mkdir -p /host/{name} && mount -o bind /{name} /host/{name}")
    # By path, as busybox would take its own.
    machine.sh("chroot /host /usr/sbin/depmod && chroot /host /usr/sbin/ldconfig", 120)


def start_udev(machine):
    """Debian's, at work and with nothing left to do; udevadm does nothing in a chroot unless told."""
    machine.sh("chroot /host /lib/systemd/systemd-udevd --daemon", 60)
    for words in ("trigger --action=add", "settle"):
        machine.sh(f"SYSTEMD_IGNORE_CHROOT=1 chroot /host /usr/bin/udevadm {words}", 600)


def stop_udev(machine):
    machine.run("killall systemd-udevd udevd; sleep 1")


def vf(machine):
    device, = machine.make_vfs(IGB, 1)
    # As most machines have it: a VF's own driver takes it without being told to.
    machine.sh(f"echo 1 > /sys/bus/pci/devices/{IGB}/sriov_drivers_autoprobe")
    machine.sh(f"echo {device} > /sys/bus/pci/drivers_probe")
    check(machine.driver(device) == "igbvf", f"{device} has the driver {machine.driver(device)}")
    return device, "igbvf"


def edu(machine):
    """No driver of the host's takes it: what is timed is the tools, and vfio-pci."""
    return EDU, "none"


# What is bound: a device, and who has it before.
VICTIMS = {"vf": vf, "edu": edu}


def tree_with(args, inside):
    """Debian's tree with iolane and what runs there, as if driverctl had never been."""
    tree = debian_tree(os.path.join(os.path.abspath(args.build), "tests/lab/cache"))
    shutil.copy(harness.find_built(args.build, "iolane"), os.path.join(tree, "usr/bin/iolane"))
    shutil.copy(inside, os.path.join(tree, "compare.py"))
    shutil.rmtree(os.path.join(tree, "etc/driverctl.d"), ignore_errors=True)
    return tree


def run_inside(machine, *words):
    status, _ = machine.run(f"chroot /host python3 /compare.py {' '.join(map(str, words))} "
                            "> /run/figures 2> /run/trouble", SECONDS)
    check(status == 0, machine.run("tail -n 20 /run/trouble")[1])
    return json.loads(machine.get("/run/figures"))


def measure(args):
    tree = tree_with(args, INSIDE)
    with Machine(args, programs=["iolane"], share=tree, devices=("edu", "igb")) as machine:
        prepare(machine, args.uncached)
        start_udev(machine)
        machine.sh("modprobe vfio-pci && modprobe vfio_iommu_type1 && modprobe igbvf")
        figures = run_inside(machine, *VICTIMS[args.device](machine), args.rounds,
                             "initramfs" if args.uncached else "tree")
        stop_udev(machine)
    return figures


def text(values, digits=1):
    return f"{statistics.median(values):8.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


# What is still so after the next boot costs a file more.
LASTING = ("iolane --persist", "driverctl")


def show(figures):
    ours = figures["iolane"]
    for verb in ("bind", "unbind"):
        print(f"{verb + ', ms: median (spread)':42} {'':28} times iolane's")
        for name, times in figures.items():
            if verb not in times:
                continue
            plain = figures["iolane --persist"] if name in LASTING else ours
            ratios = [a / b for a, b in zip(times[verb], plain[verb], strict=True)]
            print(f"  {name:40} {text(times[verb]):28} {text(ratios)}")


def compare(made, measure_all, show_all):
    """What the options in made say: measured, and shown or printed as JSON."""
    made.add_argument("--json", action="store_true")
    made.add_argument("--uncached", action="store_true",
                      help="the others' programs are read from the share at each start")
    args = made.parse_args()
    figures = {}
    status = harness.run_guarded(lambda: figures.update(measure_all(args)))
    if status == 0 and args.json:
        print(json.dumps(figures, indent=1))
    elif status == 0:
        show_all(figures)
    return status


def main():
    made = parser(__doc__.split("\n", maxsplit=1)[0])
    made.add_argument("--device", choices=VICTIMS, default="vf",
                      help="a NIC's VF, whose driver takes most of the time, or edu, which has none")
    made.add_argument("--rounds", type=int, default=9)
    return compare(made, measure, show)


if __name__ == "__main__":
    sys.exit(main())
