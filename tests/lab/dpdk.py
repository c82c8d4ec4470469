# SPDX-License-Identifier: BSD-3-Clause
"""iolane-net in the lab's machine."""

import glob
import os
import shutil

from machine import Missing, check, harness, initramfs, wait_for

DRIVERS = ["net_e1000", "net_tap", "net_virtio", "mempool_ring"]
DPDK = "/host/dpdk"


def copy_dpdk(args, machine):
    """iolane-net and the drivers it needs of DPDK's, with all their libraries."""
    folder = os.path.join(machine.share, os.path.basename(DPDK))
    os.makedirs(folder)
    program = harness.find_built(args.build, "iolane-net")
    drivers = [path for name in DRIVERS for path in glob.glob(f"/usr/lib/*/dpdk/pmds-*/librte_{name}.so")]
    if len(drivers) != len(DRIVERS):
        raise Missing(f"of DPDK's drivers {', '.join(DRIVERS)} there are {drivers}")
    for source in (program, *drivers):
        shutil.copy(source, folder)
        for path, library in initramfs.libraries(source):
            shutil.copy(library, os.path.join(folder, os.path.basename(path)))
    # DPDK loads nothing out of folders that others may write to.
    machine.sh("chmod go-w / && mkdir -p /var/run")


def start_net(machine, name, options):
    """Starts it with two ports, and waits for them. Gives its pid."""
    drivers = " ".join(f"-d {DPDK}/librte_{driver}.so" for driver in DRIVERS)
    eal = f"--file-prefix={name} {drivers}"
    command = f"LD_LIBRARY_PATH={DPDK} {DPDK}/iolane-net --mode=patch {options} -- {eal}"
    pid = machine.sh(f"{command} > /tmp/{name}.log 2>&1 & echo $!")

    def ready():
        log = machine.sh(f"cat /tmp/{name}.log")
        check(machine.run(f"test -d /proc/{pid}")[0] == 0, f"{name} has ended:\n{log}")
        return log.count("serving a guest") + log.count(": uplink ") == 2
    wait_for(f"{name} to have both of its ports", ready)
    return pid
