#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Virtual functions when the host starts: what the unit runs, on PFs that come late, are in use or wrong."""

import json
import os

from machine import IGB, NVME, Machine, check, main, wait_for
from test_apply import Host

IGB_PART = f"""  - address: {IGB}
    vfs: 2
    vf:
      - index: 0
        driver: vfio-pci
        mac: 02:00:00:00:00:01
        label: guests
      - index: 1
        driver: igbvf
        vlan: 100
"""
NVME_PART = """  - path: pci0000:00/05.0/00.0
    vfs: 1
    vf:
      - index: 0
        queues: 2
        interrupts: 1
        driver: vfio-pci
"""
SIM_PART = """  - name: netdevsim1
    vfs: 2
    vf:
      - index: 0-1
        spoofchk: on
"""
FOLDER = f"/sys/bus/pci/devices/{IGB}"
ALONE = "left alone, as "
SAME = "all is so already"


class Boot(Host):
    def file(self, *parts):
        self.sh("mkdir -p /etc/iolane")
        self.write("vf.yaml", "pfs:\n" + "".join(parts))
        self.sh("cp /host/vf.yaml /etc/iolane/vf.yaml")

    def boot(self, status=0, options="", lines=None):
        """What "iolane apply --boot" says of each PF, by its address or name."""
        got, said = self.machine.run(f"iolane apply --boot {options}")
        check(got == status, f"apply --boot ended with {got}:\n{said}")
        said = said.replace("iolane: ", "").splitlines()
        check(lines is None or len(said) == lines, f"not a line a PF: {said}")
        return said

    def undo_all(self):
        while self.machine.run("iolane undo")[0] == 0:
            pass
        self.refused("iolane undo", "no change")
        check(not self.vfs(), f"VFs are left: {self.vfs()}")

    def entries(self):
        return self.sh("ls /run/iolane | grep change-").split()

    def links(self):
        """Of igb: whether it is up, and its addresses."""
        return self.sh(f"ip address show dev {self.machine.netdev(IGB)}")


def said_of(lines, pf):
    found, = (line for line in lines if line.startswith(pf))
    return found


def wrong(host):
    """Nothing of a file that is wrong is brought about, not even what is right of it."""
    host.refused("iolane apply --boot", "cannot open /etc/iolane/vf.yaml")
    host.file(NVME_PART, IGB_PART.replace("vlan: 100", "vlan: 4095"))
    line, = host.boot(status=1)
    check("vf.yaml:18: " in line and "1 to 4094" in line, line)
    check(not host.vfs(), "a wrong file made VFs")


def late(host):
    """igb comes while it is waited for, and is down; NVMe does not wait for it."""
    host.file(IGB_PART, NVME_PART, SIM_PART)
    host.sh(f"ip link set {host.machine.netdev(IGB)} down")
    host.sh(f"echo 1 > {FOLDER}/remove")
    host.sh("(iolane apply --boot; echo $?) > /tmp/boot.log 2>&1 < /dev/null &")
    wait_for("NVMe's VF", lambda: f"{NVME} (nvme0): done" in host.sh("cat /tmp/boot.log"))
    check(IGB not in host.sh("cat /tmp/boot.log"), "igb is done before it is there")
    host.sh("echo 1 > /sys/bus/pci/rescan")
    said = wait_for("the end", lambda: host.sh("tail -n 1 /tmp/boot.log | grep '^[0-9]*$'; cat /tmp/boot.log")
                    if host.machine.run("tail -n 1 /tmp/boot.log | grep '^[0-9]*$'")[0] == 0 else None)
    said = said.splitlines()
    check(said[0] == "0" and len(said) == 5, f"not three PFs, done: {said}")
    check("UP" in host.links().splitlines()[0], "igb is down")
    as_declared(host)


def as_declared(host):
    vfs = host.vfs()
    check(len(vfs) == 5, f"other VFs: {vfs}")
    first, second = (vf for vf in vfs.values() if vf.get("address", "").startswith("0000:01:10."))
    check((first["driver"], first["mac"]) == ("vfio-pci", "02:00:00:00:00:01"), f"{first}")
    check((second["driver"], second["vlan"]) == ("igbvf", "100"), f"{second}")
    check(all(vf["spoofchk"] == "on" for name, vf in vfs.items() if name.startswith("eni")), f"{vfs}")
    check(host.machine.run("iolane drift /etc/iolane/vf.yaml")[0] == 0, "there is drift")


def again(host):
    before = host.entries(), host.facts()
    check(all(SAME in line for line in host.boot(lines=3)), "there is something to do again")
    check((host.entries(), host.facts()) == before, "a second start changes something")


def unfinished(host):
    """Killed in the middle by itself, then by the loss of power."""
    newest = f"/run/iolane/{host.entries()[-1]}"
    end = host.sh(f"tail -n 1 {newest}")
    check(end.startswith("done"), f"the journal ends with {end}")
    host.sh(f"sed -i '$d' {newest}")
    host.refused("iolane apply /etc/iolane/vf.yaml", "left in the middle")
    said = host.boot(lines=4)
    check("left in the middle is taken back" in said[0] and "done" in said_of(said, IGB), f"{said}")
    as_declared(host)
    newest = f"/run/iolane/{host.entries()[-1]}"
    host.sh(f"sed -i '$d' {newest}")
    # Which boot it was is the second word of the first line.
    host.sh("sed -i '1s/ [^ ]*/ 01234567-89ab/' /run/iolane/change-*")
    said = host.boot()
    check(sum(SAME in line for line in said) == 3, f"{said}")
    check(sum("before the host started: forgotten" in line for line in said) == 3, f"{said}")
    host.refused("iolane undo", "no change")


def missing(host):
    host.file("  - name: eth9\n    vfs: 1\n", NVME_PART)
    said = host.boot(status=1, options="--wait=1s", lines=2)
    check("no network interface eth9" in said[1] and "waited 1 s" in said[1], f"{said}")
    check(len(host.vfs()) == 1, "NVMe has no VF")
    host.undo_all()


def there_already(host):
    """As when a driver in the initramfs has made VFs and given them to their driver."""
    host.file(IGB_PART)
    machine = host.machine
    vf0, _ = machine.make_vfs(IGB, 2)
    host.sh(f"echo 1 > {FOLDER}/sriov_drivers_autoprobe")
    for vf in (vf0, "0000:01:10.2"):
        machine.bind(vf, "igbvf")
    name = machine.netdev(vf0)
    host.sh(f"ip address add 10.1.1.1/24 dev {name} && ip link set {name} up")
    line, = host.boot(status=1)
    check(ALONE + name in line and "10.1.1.1" in line, line)
    check(machine.driver(vf0) == "igbvf", "it was taken from who has an address there")
    host.sh(f"ip address del 10.1.1.1/24 dev {name}")
    address = f"cat /sys/bus/pci/devices/{vf0}/net/*/address"
    before = host.sh(address)
    line, = host.boot()
    check("done" in line and machine.driver(vf0) == "vfio-pci", line)
    host.sh("iolane undo")
    check(machine.driver(vf0) == "igbvf" and host.sh(address) == before,
          f"undo does not give it back as it was: {before}, now {host.sh(address)}")
    host.sh(f"echo 0 > {FOLDER}/sriov_numvfs")


def uplink(host):
    """What the host is reached by stays as it is; NVMe gets its VF."""
    host.file(IGB_PART, NVME_PART)
    name = host.machine.netdev(IGB)
    host.sh(f"ip link set {name} up && ip address add 10.2.2.2/24 dev {name} && "
            "ip route add default via 10.2.2.1")
    wait_for("its carrier", lambda: host.sh(f"cat /sys/class/net/{name}/carrier") == "1")
    before = host.links()
    said = host.boot(status=1, lines=2)
    line = said_of(said, f"{IGB} ({name}): ")
    check(f"{ALONE}{name} carries the default route" in line and "vfs 0 -> 2" in line, line)
    check("done" in said_of(said, NVME) and len(host.vfs()) == 1, f"{said}")
    check(host.links() == before, f"{before}\nis now\n{host.links()}")
    # Who asks for it, and not only because the host starts, is told and gets it.
    said = host.sh("iolane plan /etc/iolane/vf.yaml")
    check(f"interrupts: {name} may lose its link for a moment" in said and "default route" in said, said)
    planned = json.loads(host.sh("iolane plan /etc/iolane/vf.yaml --json"))["steps"]
    told = {step["kind"]: step["interrupts"] for step in planned}
    check("default route" in told.pop("vfs") and not any(told.values()), f"{told}")
    progress(host, len(planned))
    plan_of_change(host, name)
    host.undo_all()


def progress(host, steps):
    """The console is the terminal, which has one line; without one there is none."""
    with open(host.machine.path("console"), "rb") as console:
        console.seek(0, os.SEEK_END)
        said = host.sh("iolane apply /etc/iolane/vf.yaml 2> /dev/ttyS0")
        check(said == f"done in {steps} steps; iolane undo takes it back", said)
        shown = wait_for("the console", lambda: console.read())
    lines = [line for line in shown.split(b"\r\x1b[K") if line.startswith(b"step ")]
    check([int(line.split()[1]) for line in lines] == list(range(1, steps + 1)), f"{shown}")
    check(all(f" of {steps}: 0000:".encode() in line for line in lines), f"{shown}")


def plan_of_change(host, name):
    """What a change of VFs that are there would interrupt, and of whom."""
    second = host.machine.netdev("0000:01:10.2")
    host.sh(f"ip link set {second} up && ip address add 10.3.3.3/24 dev {second}")
    host.file(IGB_PART.replace("vlan: 100", "vlan: 200").replace("00:00:01\n", "00:00:02\n"))
    said = host.sh("iolane plan /etc/iolane/vf.yaml")
    check(f"traffic of {second} stops while its VLAN changes; {second} is up and has the address 10.3.3.3" in said
          and "2 steps, 1 of which interrupts something" in said, said)
    host.sh(f"ip address del 10.3.3.3/24 dev {second}")
    said = host.sh(f"iolane vf create {IGB} 3 --dry-run")
    check(f"its 2 VFs go: vf0 (vfio-pci), vf1 (igbvf, {second}); {name} may lose its link" in said
          and "vf0: mac" not in said, said)


def test(args):
    with Machine(args, programs=["iolane"], devices=("igb", "nvme")) as machine:
        host = Boot(machine)
        machine.sh("echo '1 1' > /sys/bus/netdevsim/new_device")
        wrong(host)
        late(host)
        again(host)
        unfinished(host)
        for folder in (FOLDER, f"/sys/bus/pci/devices/{NVME}", "/sys/bus/netdevsim/devices/netdevsim1"):
            machine.sh(f"echo 0 > {folder}/sriov_numvfs")
        missing(host)
        there_already(host)
        uplink(host)


if __name__ == "__main__":
    main(test)
