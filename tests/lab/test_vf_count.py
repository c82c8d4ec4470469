#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""How many VFs there are, who keeps them from going, and what an NVMe controller gives them."""

from machine import IGB, NVME, Machine, check, main, wait_for

PROBE = "vfprobe_count"
IGB_VFS = [f"0000:01:{0x10 + i // 4:02x}.{i % 4 * 2}" for i in range(7)]
NVME_VFS = [f"0000:02:00.{i}" for i in range(1, 5)]


class Host:
    def __init__(self, machine):
        self.machine = machine
        self.sh, self.run = machine.sh, machine.run

    def probe(self, words):
        return self.sh(f"{PROBE} {words}")

    def facts(self, pf):
        line = self.probe(f"show {pf}").split()
        return {"name": line[0], **dict(word.split("=", 1) for word in line[1:])}

    def expect(self, pf, **wanted):
        facts = self.facts(pf)
        found = {name: facts[name] for name in wanted}
        check(found == wanted, f"{pf} is {found}, not {wanted}")

    def vfs(self, address):
        each = "for link in virtfn*; do readlink $link; done || true"
        return sorted(self.sh(f"cd /sys/bus/pci/devices/{address}; {each}").split())

    def refused(self, words, *sentences):
        """Fails with a sentence of these parts, and the VFs are as before."""
        before = self.vfs(IGB) + self.vfs(NVME)
        status, output = self.run(f"{PROBE} {words}")
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
    bars = "16384,0,0,16384,0,0"
    host.expect(netdev, name=IGB, driver="igb", netdev=netdev, total="7", enabled="0", bars=bars)
    host.expect(IGB, offset="128", stride="2", device="10ca", autoprobe="1", node="-1", ari="1")
    way = host.sh(f"readlink /sys/bus/pci/devices/{IGB}")
    check(host.probe(f"path {way}") == IGB, f"by {way}")
    check(host.probe("path pci0000:00/04.0/00.0") == IGB, "by its slot")
    check(host.probe("serial nvme lab") == NVME, "by its serial number")
    host.refused("serial igb lab", "serial number lab")
    names = [line.split()[0] for line in host.probe("list").splitlines()]
    check(names == [IGB, NVME], f"the PFs are {names}")


def counts(host):
    """Any number after any other, without a driver that takes the VFs."""
    host.probe(f"autoprobe {IGB} 0")
    host.expect(IGB, autoprobe="0")
    for number in (1, 2, 3, 4, 5, 6, 7, 7, 2, 0, 0, 3):
        found = host.probe(f"count {IGB} {number}").split()
        check(found == IGB_VFS[:number], f"{number} VFs are {found}")
        check(host.vfs(IGB) == [f"../{vf}" for vf in found], f"{number} VFs are {host.vfs(IGB)}")
        check(not any(host.machine.driver(vf) for vf in found), "a driver took a VF")
    host.refused(f"count {IGB} 8", "7 VFs at most", "not 8")
    host.refused("show 0000:01:10.2", "itself a VF, number 1 of 0000:01:00.0")


def held(host):
    """By a process, through VFIO."""
    host.machine.bind(IGB_VFS[1], "vfio-pci")
    if host.machine.kernel == "debian":
        host.sh("modprobe vfio_iommu_type1")
    pid, log = host.start(f"vfioprobe auto {IGB_VFS[1]} request")
    wait_for("the VF to be held", lambda: host.run(f"grep waiting {log}")[0] == 0)
    for number in (0, 2, 7):
        host.refused(
            f"count {IGB} {number}", f"its VF 1 ({IGB_VFS[1]}) is in use: vfioprobe (pid {pid}) has"
        )
    host.probe(f"count {IGB} 3")
    host.end(pid)


def network(host):
    """By the host's own network, and by that of another namespace."""
    host.sh(f"ip link set {host.machine.netdev(IGB)} up")
    host.machine.bind(IGB_VFS[2], "igbvf")
    netdev = host.machine.netdev(IGB_VFS[2])
    host.sh(f"ip addr add 10.9.0.1/24 dev {netdev}")
    host.probe(f"count {IGB} 3")
    host.sh(f"ip link set {netdev} up")
    host.refused(f"count {IGB} 0", f"{netdev} is up and has the address 10.9.0.1")
    host.sh(f"ip addr flush dev {netdev}")
    host.run("modprobe bridge")
    host.sh(f"ip link add br0 type bridge && ip link set {netdev} master br0")
    host.refused(f"count {IGB} 0", f"br0 stands on {netdev}")
    host.sh(f"ip link set {netdev} nomaster && ip link del br0")
    pid, _ = host.start("unshare -n sleep 1000")
    own = host.sh("readlink /proc/self/ns/net")
    wait_for("the namespace", lambda: host.sh(f"readlink /proc/{pid}/ns/net") != own)
    host.sh(f"ip link set {netdev} netns {pid}")
    host.refused(f"count {IGB} 0", f"VF 2 ({IGB_VFS[2]})", "another network namespace")
    host.end(pid)
    folder = f"/sys/bus/pci/devices/{IGB_VFS[2]}/net"
    wait_for("the interface to come back", lambda: host.sh(f"ls {folder}"))
    host.probe(f"count {IGB} 0")
    host.probe(f"autoprobe {IGB} 1")


def nvme(host):
    """Online with queues and an interrupt, and used by the host's driver."""
    host.expect("nvme0", name=NVME, nvme="nvme0", total="4", enabled="0")
    host.probe(f"autoprobe {NVME} 0")
    found = host.probe(f"count {NVME} 4").split()
    check(found == NVME_VFS, f"the VFs are {found}")
    host.refused(f"nvme {IGB}", "no NVMe controller")
    host.refused(f"nvme-set {NVME} 0 1 1 online", "two queues")
    host.refused(f"nvme-set {NVME} 4 2 1 online", "has no VF 4: it can have 4")
    host.refused(
        f"nvme-set {NVME} 0 2 3 online",
        "3 interrupts to VF 0",
        "invalid number of controller resources (NVMe status 4121h)",
        "it has 8 for its VFs, 0 of them assigned to others, and at most 2 for one",
    )
    host.probe(f"nvme-set {NVME} 3 2 1 offline")
    for index in range(4):
        host.probe(f"nvme-set {NVME} {index} 2 1 online")
        host.probe(f"nvme-set {NVME} {index} 2 1 online")
    lines = host.probe(f"nvme {NVME}").splitlines()
    check(lines[0] == "queues 8/8 at most 2, interrupts 4/8 at most 2", f"resources: {lines[0]}")
    check(lines[1:] == [f"{i} queues=2 interrupts=1 online" for i in range(4)], f"VFs: {lines}")
    host.machine.bind(NVME_VFS[2], "nvme")
    folder = f"/sys/bus/pci/devices/{NVME_VFS[2]}/nvme/nvme*"
    wait_for("the VF to be live", lambda: host.run(f"grep -x live {folder}/state")[0] == 0)
    serial = host.sh(f"cat {folder}/serial").strip()
    check(serial == "lab", f"the VF's serial number is {serial}")
    mounted(host)
    host.sh(f"echo {NVME_VFS[2]} > /sys/bus/pci/devices/{NVME_VFS[2]}/driver/unbind")
    host.probe(f"nvme-set {NVME} 0 0 0 offline")
    lines = host.probe(f"nvme {NVME}").splitlines()
    check(lines[1:3] == ["0 queues=0 interrupts=0 offline", "1 queues=2 interrupts=1 online"], f"{lines}")
    host.probe(f"count {NVME} 0")


def mounted(host):
    disk = host.sh("ls -d /dev/nvme*n1 | tail -n 1")
    host.sh(f"mke2fs -q {disk} && mkdir -p /mnt && mount -t ext4 {disk} /mnt")
    host.refused(f"count {NVME} 0", "is in use", "is mounted on /mnt")
    host.sh("umount /mnt")


def simulated(host):
    """A NIC of another bus."""
    host.sh("echo '1 1' > /sys/bus/netdevsim/new_device")
    netdev = host.sh("ls /sys/bus/netdevsim/devices/netdevsim1/net")
    host.expect(netdev, name="netdevsim1", netdev=netdev, driver="netdevsim", enabled="0")
    names = [line.split()[0] for line in host.probe("list").splitlines()]
    check(names == [IGB, NVME, "netdevsim1"], f"the PFs are {names}")
    for number in (3, 1, 4, 0, 2):
        host.probe(f"count netdevsim1 {number}")
        host.expect("netdevsim1", enabled=str(number))
    host.refused("count netdevsim1 5", "Cannot allocate memory")
    host.refused("autoprobe netdevsim1 0", "has no switch")
    host.sh("echo 1 > /sys/bus/netdevsim/del_device")
    host.refused("show netdevsim1", "netdevsim1")


def test(args):
    with Machine(args, programs=[PROBE, "vfioprobe"], devices=("igb", "nvme", "disk")) as machine:
        host = Host(machine)
        finding(host)
        counts(host)
        held(host)
        network(host)
        nvme(host)
        if machine.kernel == "lab":
            simulated(host)


main(test)
