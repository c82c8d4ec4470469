# SPDX-License-Identifier: BSD-3-Clause
"""What compare_bind.py runs in the machine: DEVICE DRIVER ROUNDS tree|initramfs, and the figures in JSON come out."""

import json
import os
import subprocess
import sys
import time

DEVICE, DRIVER, ROUNDS, PLACE = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
FOLDER = f"/sys/bus/pci/devices/{DEVICE}"
WARM_UP = 2
# Without a chroot() of its own, which would want a fork(): by the loader that it has there.
MEMORY = "/proc/1/root"
IOLANE = {
    "tree": ["iolane"],
    "initramfs": [f"{MEMORY}/lib64/ld-linux-x86-64.so.2", "--library-path",
                  f"{MEMORY}/lib/x86_64-linux-gnu", f"{MEMORY}/bin/iolane"],
}[PLACE]


# Name, what binds and what unbinds.
TOOLS = [
    ("iolane", [*IOLANE, "bind", DEVICE], [*IOLANE, "unbind", DEVICE]),
    ("driverctl --nosave", ["driverctl", "--nosave", "set-override", DEVICE, "vfio-pci"],
     ["driverctl", "--nosave", "unset-override", DEVICE]),
    ("dpdk-devbind.py", ["dpdk-devbind.py", "--bind=vfio-pci", DEVICE],
     ["dpdk-devbind.py", f"--bind={DRIVER}", DEVICE]),
    ("iolane --persist", [*IOLANE, "bind", "--persist", DEVICE],
     [*IOLANE, "unbind", DEVICE]),
    ("driverctl", ["driverctl", "set-override", DEVICE, "vfio-pci"],
     ["driverctl", "unset-override", DEVICE]),
]
# It knows of what DPDK has drivers for only.
if DRIVER == "none":
    TOOLS = [tool for tool in TOOLS if not tool[0].startswith("dpdk")]


def settle():
    """The one's events are not to be the other's load."""
    subprocess.run(["udevadm", "settle"], check=True)


def run(command, driver):
    settle()
    start = time.perf_counter()
    # Started by vfork(): a fork() of this program would be a part of what each is seen to take.
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, text=True, check=False)
    took = time.perf_counter() - start
    link = f"{FOLDER}/driver"
    found = os.path.basename(os.path.realpath(link)) if os.path.islink(link) else "none"
    # driverctl calls it a failure that nothing takes the device then.
    if found != driver or (done.returncode and driver != "none"):
        sys.exit(f"{' '.join(command)}: {done.returncode}, the driver is {found}\n{done.stdout}")
    return took * 1000


def main():
    os.environ |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_IGNORE_CHROOT": "1"}
    figures = {name: {"bind": [], "unbind": []} for name, *_ in TOOLS}
    # What all of them wait for before they have done anything.
    nothing = figures["a program that does nothing"] = {"bind": []}
    for number in range(WARM_UP + ROUNDS):
        for name, bind, unbind in TOOLS:
            for verb, command, driver in (("bind", bind, "vfio-pci"), ("unbind", unbind, DRIVER)):
                took = run(command, driver)
                if number >= WARM_UP:
                    figures[name][verb].append(took)
        took = run(["true"], DRIVER)
        if number >= WARM_UP:
            nothing["bind"].append(took)
    json.dump(figures, sys.stdout)


main()
