#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""How many VFs there are, who keeps them from going, and what an NVMe controller gives them."""

import json

from machine import IGB, NVME, Machine, check, main, wait_for

IGB_VFS = [f"0000:01:{0x10 + i // 4:02x}.{i % 4 * 2}" for i in range(7)]
NVME_VFS = [f"0000:02:00.{i}" for i in range(1, 5)]


class Host:
    def __init__(self, machine):
        self.machine = machine
        self.sh, self.run = machine.sh, machine.run

    def told(self, pf=""):
        return json.loads(self.sh(f"iolane vf list {pf} --json"))

    def expect(self, name, **wanted):
        facts, = self.told(name)
        found = {key: facts.get(key) for key in wanted}
        check(found == wanted, f"{name} is {found}, not {wanted}")

    def pfs(self):
        return [pf["pf"] for pf in self.told()]

    def addresses(self, pf):
        facts, = self.told(pf)
        return [vf["address"] for vf in facts["vfs"]]

    def count(self, pf, number):
        self.sh(f"iolane vf {self.words(pf, number)}")

    @staticmethod
    def words(pf, number):
        return f"create {pf} {number}" if number else f"destroy {pf}"

    def finds(self, address, which):
        """That a PF is what is called so in a file, by what is to be done for it to have a VF."""
        said = self.sh(f"echo 'pfs: [{{{which}, vfs: 1}}]' | iolane plan -")
        step, = (line for line in said.splitlines() if "vfs 0 -> 1" in line)
        check(step.lstrip().startswith(address), f"by {which}: {said}")

    def vfs(self, address):
        each = "for link in virtfn*; do readlink $link; done || true"
        return sorted(self.sh(f"cd /sys/bus/pci/devices/{address}; {each}").split())

    def refused(self, words, *sentences):
        """Fails with a sentence of these parts, and the VFs are as before."""
        before = self.vfs(IGB) + self.vfs(NVME)
        status, output = self.run(f"iolane {words}")
        check(status == 1, f"{words} ended with {status}: {output}")
        for sentence in sentences:
            check(sentence in output, f"{words} did not say '{sentence}': {output}")
        check(self.vfs(IGB) + self.vfs(NVME) == before, f"{words} changed the VFs")

    def start(self, command):
        """Something that runs on; its process and its output."""
        log = "/tmp/log"
        return self.sh(f"mkdir -p /tmp; {command} > {log} 2>&1 & echo $!"), log

    def end(self, pid):
        self.sh(f"kill {pid}; while test -e /proc/{pid}/exe; do sleep 0.1; done")


def finding(host):
    """The NIC by all that it is called, and its facts."""
    netdev = host.machine.netdev(IGB)
    bars = [16384, 0, 0, 16384, 0, 0]
    host.expect(netdev, pf=IGB, driver="igb", netdev=netdev, total=7, enabled=0, vf_bars=bars)
    host.expect(IGB, offset=128, stride=2, vf_device="0x10ca", autoprobe=True, ari=True)
    way = host.sh(f"readlink /sys/bus/pci/devices/{IGB}")
    for which in (f"path: {way}", "path: pci0000:00/04.0/00.0", f"name: {netdev}"):
        host.finds(IGB, which)
    host.finds(NVME, "driver: nvme, serial: lab")
    host.sh("echo 'pfs: [{driver: igb, serial: lab}]' > /tmp/other.yaml")
    host.refused("plan /tmp/other.yaml", "serial number lab")
    check(host.pfs() == [IGB, NVME], f"the PFs are {host.pfs()}")


def counts(host):
    """Any number after any other, without a driver that takes the VFs."""
    host.sh(f"echo 0 > /sys/bus/pci/devices/{IGB}/sriov_drivers_autoprobe")
    host.expect(IGB, autoprobe=False)
    for number in (1, 2, 3, 4, 5, 6, 7, 7, 2, 0, 0, 3):
        host.count(IGB, number)
        found = host.addresses(IGB)
        check(found == IGB_VFS[:number], f"{number} VFs are {found}")
        check(host.vfs(IGB) == [f"../{vf}" for vf in found], f"{number} VFs are {host.vfs(IGB)}")
        check(not any(host.machine.driver(vf) for vf in found), "a driver took a VF")
    host.refused(f"vf create {IGB} 8", "7 at most")
    host.refused("vf list 0000:01:10.2", "itself a VF, number 1 of 0000:01:00.0")


def held(host):
    """By a process, through VFIO."""
    host.machine.bind(IGB_VFS[1], "vfio-pci")
    pid, log = host.start(f"vfioprobe auto {IGB_VFS[1]} request")
    wait_for("the VF to be held", lambda: host.run(f"grep waiting {log}")[0] == 0)
    for number in (0, 2, 7):
        host.refused(
            f"vf {host.words(IGB, number)}", f"its VF 1 ({IGB_VFS[1]}) is in use: vfioprobe (pid {pid}) has"
        )
    host.count(IGB, 3)
    host.end(pid)


def network(host):
    """By the host's own network, and by that of another namespace."""
    host.sh(f"ip link set {host.machine.netdev(IGB)} up")
    host.machine.bind(IGB_VFS[2], "igbvf")
    netdev = host.machine.netdev(IGB_VFS[2])
    host.sh(f"ip addr add 10.9.0.1/24 dev {netdev}")
    host.count(IGB, 3)
    host.sh(f"ip link set {netdev} up")
    host.refused(f"vf destroy {IGB}", f"{netdev} is up and has the address 10.9.0.1")
    host.sh(f"ip addr flush dev {netdev}")
    host.sh(f"ip link add br0 type bridge && ip link set {netdev} master br0")
    host.refused(f"vf destroy {IGB}", f"br0 stands on {netdev}")
    host.sh(f"ip link set {netdev} nomaster && ip link del br0")
    pid, _ = host.start("unshare -n sleep 1000")
    own = host.sh("readlink /proc/self/ns/net")
    wait_for("the namespace", lambda: host.sh(f"readlink /proc/{pid}/ns/net") != own)
    host.sh(f"ip link set {netdev} netns {pid}")
    host.refused(f"vf destroy {IGB}", f"VF 2 ({IGB_VFS[2]})", "another network namespace")
    host.end(pid)
    folder = f"/sys/bus/pci/devices/{IGB_VFS[2]}/net"
    wait_for("the interface to come back", lambda: host.sh(f"ls {folder}"))
    host.count(IGB, 0)
    host.sh(f"echo 1 > /sys/bus/pci/devices/{IGB}/sriov_drivers_autoprobe")


def nvme(host):
    """Online with queues and an interrupt, and used by the host's driver."""
    host.expect("nvme0", pf=NVME, nvme="nvme0", total=4, enabled=0)
    host.sh(f"echo 0 > /sys/bus/pci/devices/{NVME}/sriov_drivers_autoprobe")
    host.count(NVME, 4)
    check(host.addresses(NVME) == NVME_VFS, f"the VFs are {host.addresses(NVME)}")
    host.refused(f"vf set {IGB}/vf0 queues=2", "from 0")
    host.refused(f"vf set {NVME}/vf0 queues=1 interrupts=1", "two queues")
    host.refused(f"vf set {NVME}/vf4 queues=2", "expected from 0 to 3")
    host.refused(
        f"vf set {NVME}/vf0 queues=2 interrupts=3",
        "3 interrupts to VF 0",
        "invalid number of controller resources (NVMe status 4121h)",
        "it has 8 for its VFs, 0 of them assigned to others, and at most 2 for one",
    )
    for index in range(4):
        host.sh(f"iolane vf set {NVME}/vf{index} queues=2 interrupts=1")
    facts, = host.told(NVME)
    got = [[vf[key] for key in ("index", "queues", "interrupts", "online")] for vf in facts["vfs"]]
    check(got == [[index, 2, 1, True] for index in range(4)], f"VFs: {got}")
    host.machine.bind(NVME_VFS[2], "nvme")
    folder = f"/sys/bus/pci/devices/{NVME_VFS[2]}/nvme/nvme*"
    wait_for("the VF to be live", lambda: host.run(f"grep -x live {folder}/state")[0] == 0)
    serial = host.sh(f"cat {folder}/serial").strip()
    check(serial == "lab", f"the VF's serial number is {serial}")
    mounted(host)
    host.sh(f"echo {NVME_VFS[2]} > /sys/bus/pci/devices/{NVME_VFS[2]}/driver/unbind")
    host.count(NVME, 0)


def mounted(host):
    disk = host.sh("ls -d /dev/nvme*n1 | tail -n 1")
    host.sh(f"mke2fs -q {disk} && mkdir -p /mnt && mount -t ext4 {disk} /mnt")
    host.refused(f"vf destroy {NVME}", "is in use", "is mounted on /mnt")
    host.sh("umount /mnt")


def simulated(host):
    """A NIC of another bus."""
    host.sh("echo '1 1' > /sys/bus/netdevsim/new_device")
    netdev = host.sh("ls /sys/bus/netdevsim/devices/netdevsim1/net")
    host.expect(netdev, pf="netdevsim1", netdev=netdev, driver="netdevsim", enabled=0)
    check(host.pfs() == [IGB, NVME, "netdevsim1"], f"the PFs are {host.pfs()}")
    for number in (3, 1, 4, 0, 2):
        host.count("netdevsim1", number)
        host.expect("netdevsim1", enabled=number)
    host.refused("vf create netdevsim1 5", "Cannot allocate memory", "all is as it was before")
    host.expect("netdevsim1", enabled=2)
    host.sh("echo 1 > /sys/bus/netdevsim/del_device")
    host.refused("vf list netdevsim1", "netdevsim1")


def test(args):
    with Machine(args, programs=["iolane", "vfioprobe"], devices=("igb", "nvme", "disk")) as machine:
        host = Host(machine)
        finding(host)
        counts(host)
        held(host)
        network(host)
        nvme(host)
        simulated(host)


main(test)
