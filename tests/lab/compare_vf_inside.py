# SPDX-License-Identifier: BSD-3-Clause
"""What compare_vf.py runs in the machine: calls|script|uncached PF NETDEV COUNT ROUNDS, and the figures in JSON come out."""

import json
import os
import resource
import subprocess
import sys
import time

GROUP, PF, NETDEV, COUNT, ROUNDS = *sys.argv[1:5], int(sys.argv[5])
FOLDER = f"/sys/bus/pci/devices/{PF}"
WARM_UP = 2
SCRIPT = "/tmp/make-vfs"
# As people write it: one call of ip for all settings of a VF.
SCRIPT_TEXT = f"""set -e
echo 0 > {FOLDER}/sriov_drivers_autoprobe
echo {COUNT} > {FOLDER}/sriov_numvfs
until [ "$(cat /sys/class/net/{NETDEV}/carrier)" = 1 ]; do sleep 0.01; done
for i in $(seq 0 $(({COUNT} - 1))); do
	spoofchk=off
	[ $((i % 2)) = 0 ] || spoofchk=on
	ip link set {NETDEV} vf $i mac 02:00:00:00:00:0$i vlan $((100 + i)) qos $i spoofchk $spoofchk \\
		trust on max_tx_rate $((100 * (i + 1)))
done
for vf in {FOLDER}/virtfn*; do
	driverctl --nosave set-override "$(basename "$(readlink "$vf")")" vfio-pci
done
echo 1 > {FOLDER}/sriov_drivers_autoprobe
"""


def in_initramfs():
    """The root of the machine's first process, out of the folder that is ours."""
    os.chroot("/proc/1/root")
    os.chdir("/")


def here():
    """All are started in the same way."""


OURS = (in_initramfs, ["/bin/iolane", "apply", "/host/state.yaml"])
BARE = (in_initramfs, ["/bin/vfbare", PF, NETDEV, COUNT])

# Name, where it runs, what it is: the first is iolane.
if GROUP == "calls":
    TOOLS = [("iolane apply", *OURS), ("bare calls", *BARE)]
else:
    # Where the share keeps nothing, iolane is where the lab has it.
    ours = OURS if GROUP == "uncached" else (here, ["iolane", "apply", "/state.yaml"])
    TOOLS = [
        ("iolane apply, with udevd", *ours),
        ("bare calls, with udevd", *BARE),
        ("ip and driverctl, with udevd", here, ["sh", SCRIPT]),
    ]


def started(command, root):
    return subprocess.run(command, preexec_fn=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, text=True, check=False)


def processor():
    """What processes that ended have used of it, the kernel's work for them counted, in ms."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def settle():
    """The one's events are not to be the other's load."""
    if GROUP != "calls":
        subprocess.run(["udevadm", "settle"], check=True)


def put(file, text):
    with open(f"{FOLDER}/{file}", "w", encoding="ascii") as out:
        out.write(text)


def wait_carrier():
    """The NIC resets itself when VFs go, as when they come."""
    while True:
        with open(f"/sys/class/net/{NETDEV}/carrier", encoding="ascii") as carrier:
            if carrier.read().strip() == "1":
                return
        time.sleep(0.1)


def run(command, root):
    settle()
    before, used = time.perf_counter(), processor()
    done = started(command, root)
    took = {"wall": (time.perf_counter() - before) * 1000, "processor": processor() - used}
    same = started(["/bin/iolane", "drift", "/host/state.yaml"], in_initramfs)
    if done.returncode or same.returncode:
        sys.exit(f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{same.stdout}")
    settle()
    # There may be nothing to undo.
    started(["/bin/iolane", "undo"], in_initramfs)
    put("sriov_numvfs", "0")
    put("sriov_drivers_autoprobe", "1")
    wait_carrier()
    return took


def main():
    os.environ |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_IGNORE_CHROOT": "1"}
    with open(SCRIPT, "w", encoding="ascii") as script:
        script.write(SCRIPT_TEXT)
    figures = {name: {"wall": [], "processor": []} for name, *_ in TOOLS}
    for number in range(WARM_UP + ROUNDS):
        for name, root, command in TOOLS if number % 2 else reversed(TOOLS):
            took = run(command, root)
            for what, ms in took.items():
                if number >= WARM_UP:
                    figures[name][what].append(ms)
    json.dump(figures, sys.stdout)


main()
