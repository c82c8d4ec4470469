#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Taking devices from their drivers and giving them back, with a real kernel and real drivers."""

import json
import os

from machine import IGB, NVME, Machine, check, initramfs, main, wait_for

VF0, VF1 = "0000:01:10.0", "0000:01:10.2"
EDU = "0000:00:02.0"
NIC = "0000:00:08.0"
# Two functions with a driver of the host's, beside the two edu without one.
GROUPED = ["0000:04:03.0", "0000:04:04.0"]
VGA = "0000:00:0a.0"
OPTIONS = [["-device", f"VGA,addr={VGA[8:]}"]]
OPTIONS += [f"-device=virtio-rng-pci,bus=conventional,addr={n}.0".split("=", 1) for n in (3, 4)]
WATCHED = [VF0, VF1, EDU, NVME, *GROUPED]


class Host:
    """The machine as these tests look at it."""

    def __init__(self, machine):
        self.machine = machine
        self.sh, self.run, self.refuses = machine.sh, machine.run, machine.refuses

    def state(self, addresses=WATCHED):
        """Driver and driver_override of functions."""
        each = "echo $a,$(basename $(readlink $a/driver || echo none)),$(cat $a/driver_override)"
        lines = self.sh(f"cd /sys/bus/pci/devices; for a in {' '.join(addresses)}; do {each}; done")
        return {line.split(",")[0]: line.split(",")[1:] for line in lines.splitlines()}

    def expect(self, state, when):
        now = self.state(state)
        check(now == state, f"{when}: drivers are {now}, not {state}")

    def drivers(self, driver, *addresses):
        for address in addresses:
            found = self.machine.driver(address)
            check(found == driver, f"{address} is bound to {found}, not to {driver}")

    def refused(self, command, *sentences):
        """The command ends with 1, gives one sentence with these parts, and changes no driver."""
        before = self.state()
        status, output = self.run(command)
        check(status == 1, f"{command} ended with {status}: {output}")
        check("\n" not in output, f"{command} said more than a sentence: {output}")
        for sentence in sentences:
            check(sentence in output, f"{command} did not say '{sentence}': {output}")
        self.expect(before, f"after {command}")

    def owned(self, node):
        """A node belongs to the user of these tests."""
        owner = self.sh(f"stat -c %u:%g:%a {node}")
        check(owner == "1000:100:600", f"{node} has {owner}")

    def end(self, pid):
        """Ends a process; what it had is free when it has gone."""
        self.sh(f"kill {pid}; while test -e /proc/{pid}; do sleep 0.1; done")

    def no_journal(self):
        left = self.sh("ls /run/iolane")
        check(left == "lock", f"the journal holds {left}")


def names(host):
    """Each kind of name, and back to what was before."""
    before = host.state()
    pf = host.machine.netdev(IGB)
    for name, address in [
        (VF0, VF0),
        (VF1.removeprefix("0000:"), VF1),
        (f"{pf}/vf1", VF1),
        (f"{IGB}/vf0", VF0),
        ("nvme0", NVME),
        ("nvme0n1", NVME),
        ("/dev/nvme0n1", NVME),
    ]:
        output = host.sh(f"iolane bind {name}")
        check(output == f"{address} is bound to vfio-pci", f"bind {name} said {output}")
        host.drivers("vfio-pci", address)
        output = host.sh(f"iolane bind {address}")
        check(output == f"{address} is bound to vfio-pci, as before", f"bind again said {output}")
        host.sh(f"iolane unbind {address}")
        host.expect(before, f"bind {name} and unbind")
    host.no_journal()


def without_autoprobe(host):
    """While the kernel gives VFs to no driver of itself, one that was taken from its driver goes back to it, too."""
    switch = f"/sys/bus/pci/devices/{IGB}/sriov_drivers_autoprobe"
    override = f"/sys/bus/pci/devices/{VF0}/driver_override"
    was = host.sh(f"cat {switch}"), host.sh(f"cat {override}")
    host.sh(f"echo 0 > {switch} && echo > {override}")
    before = host.state()
    host.sh(f"iolane bind {VF0}")
    host.drivers("vfio-pci", VF0)
    host.sh(f"iolane unbind {VF0}")
    host.expect(before, "bind and unbind without autoprobe")
    host.sh(f"echo {was[0]} > {switch} && echo {was[1]} > {override}")


def network(host):
    """A network interface by its name: taken, and there again afterwards."""
    nic = host.machine.netdev(NIC)
    host.sh(f"iolane bind {nic}")
    host.drivers("vfio-pci", NIC)
    host.sh(f"iolane unbind {NIC}")
    check(host.machine.netdev(NIC) == nic, f"{nic} did not come back")


def results(host):
    """Steps: shown and not made, in JSON, one by one; statuses."""
    before = host.state()
    output = host.sh(f"iolane bind {VF0} --dry-run")
    check(f"{VF0}: driver igbvf -> none\n" in output, f"--dry-run said {output}")
    host.expect(before, "bind --dry-run")
    result = json.loads(host.sh(f"iolane bind {VF0} {VF1} --json"))
    devices = {device["address"]: device["driver"] for device in result["devices"]}
    check(devices == {VF0: "vfio-pci", VF1: "vfio-pci"}, f"--json said {result}")
    states = {step["state"] for step in result["steps"]}
    check(states == {"done"}, f"--json said {result}")
    output = host.sh(f"iolane unbind {VF0} --dry-run")
    check(f"{VF0}: driver none -> igbvf" in output, f"unbind --dry-run said {output}")
    host.drivers("vfio-pci", VF0)
    # One of two; undo has the other to take back.
    output = host.sh(f"iolane unbind {VF0} -v")
    check(f"{VF0}: driver vfio-pci -> none\n" in output, f"unbind -v said {output}")
    host.drivers("vfio-pci", VF1)
    output = host.sh("iolane undo")
    check(output == f"{VF1} has no driver", f"undo said {output}")
    host.expect(before, "unbind and undo")
    host.refused("iolane undo", "no change to take back")
    host.refused("iolane bind 0000:1f:00.0", "0000:1f:00.0")
    host.refused(f"iolane bind {VF0} --driver=no-such-driver", "cannot load the driver")
    for wrong in ("bind", "unbind", f"undo {VF0}", f"bind {VF0} --user=nobody-here", "bind --fast"):
        status, output = host.run(f"iolane {wrong}")
        check(status == 2, f"iolane {wrong} ended with {status}: {output}")
    output = host.sh(f"iolane unbind {VF0}")
    check(output == f"{VF0} is bound to igbvf, as before", f"unbind of it again said {output}")


def groups(host):
    """A group goes as a whole, but for its bridges."""
    first, second = GROUPED
    group = host.machine.group(first)
    number = host.sh(f"basename $(readlink /sys/bus/pci/devices/{first}/iommu_group)")
    check(second in group and len(group) > 2, f"the group of {first} is {group}")
    before = host.state()
    host.refused(f"iolane bind {first}", f"{first} shares IOMMU group", f"{second} (virtio-pci)")
    output = host.sh(f"iolane bind {first} --with-group")
    check(f"{second} is bound to vfio-pci" in output, f"--with-group said {output}")
    host.drivers("vfio-pci", first, second)
    host.sh("iolane undo")
    host.expect(before, "undo of a group")
    host.sh(f"iolane bind {first} {second} --user=op")
    # The group's node is one for both, and stays with its owner until the last of them goes.
    host.owned(f"/dev/vfio/{number}")
    host.sh(f"iolane unbind {first}")
    host.owned(f"/dev/vfio/{number}")
    host.sh(f"iolane bind {first} --user=op && iolane unbind {second}")
    host.owned(f"/dev/vfio/{number}")
    host.sh(f"iolane unbind {first}")
    host.expect(before, "unbind of a group")
    host.no_journal()
    host.refused("iolane bind 0000:00:04.0", "it is a bridge")


def uses(host):
    """What would cut somebody off is refused."""
    host.refused(f"iolane bind {VGA}", VGA, "display of the console")
    nic = host.machine.netdev(NIC)
    host.sh("mke2fs -q /dev/nvme0n1 && mkdir -p /mnt && mount -t ext4 /dev/nvme0n1 /mnt")
    host.refused("iolane bind nvme0", f"{NVME} keeps its driver", "/mnt", "unmount it first")
    host.sh("umount /mnt && mkswap /dev/nvme0n1 && swapon /dev/nvme0n1")
    host.refused("iolane bind nvme0", "swap")
    host.sh("swapoff /dev/nvme0n1")
    stacks(host)
    host.sh(f"ip link set {nic} up && ip addr add 10.1.0.1/24 dev {nic}")
    host.refused(f"SSH_CONNECTION='10.1.0.9 999 10.1.0.1 22' iolane bind {nic}", "10.1.0.9")
    host.sh(f"ip route add default via 10.1.0.2 dev {nic}")
    host.refused(f"iolane bind {nic}", f"{nic} carries the default route", "10.1.0.2")
    host.sh(f"ip route del default && ip addr flush dev {nic}")
    host.run("modprobe bridge")
    host.sh(f"ip link add br0 type bridge && ip link set {nic} master br0")
    host.refused(f"iolane bind {nic}", "br0", "nomaster")
    host.sh(f"ip link set {nic} nomaster && ip link del br0")
    host.run("modprobe bonding")
    host.sh(f"ip link add bond7 type bond && ip link set {nic} down && ip link set {nic} master bond7")
    host.refused(f"iolane bind {nic}", "bond7", "nomaster")
    host.sh(f"ip link set {nic} nomaster && ip link del bond7")
    pid = host.sh("unshare -n sleep 1000 > /dev/null 2>&1 & echo $!")
    own = host.sh("readlink /proc/self/ns/net")
    wait_for("a network namespace", lambda: host.run(f"readlink /proc/{pid}/ns/net")[1] != own)
    host.sh(f"ip link set {nic} netns {pid}")
    host.refused(f"iolane bind {NIC}", "another network namespace", "netns 1")
    host.end(pid)
    wait_for(nic, lambda: host.run(f"test -e /sys/class/net/{nic}")[0] == 0)
    host.refused(f"iolane bind {IGB}", "2 VFs would go with it")


def stacks(host):
    """What stands on a disk, or has it where nobody sees it."""
    host.run("modprobe dm_mod")
    host.sh("holder dm volume-1 /dev/nvme0n1")
    host.refused("iolane bind nvme0", "volume-1", "stop what stands on it first")
    host.sh("holder dm volume-1")
    host.run("modprobe raid1")
    # The lab's kernel may have been built without it.
    md = host.run("test -e /sys/module/md_mod/parameters/new_array")[0] == 0
    if md or host.machine.kernel == "debian":
        number = host.sh("cat /sys/class/block/nvme0n1/dev")
        host.sh(
            "echo md9 > /sys/module/md_mod/parameters/new_array && cd /sys/block/md9/md && "
            f"echo none > metadata_version && echo raid1 > level && echo {number} > new_dev"
        )
        host.refused("iolane bind nvme0", "md9 stands on nvme0n1", "stop what stands on it first")
        host.sh("echo clear > /sys/block/md9/md/array_state")
    pid = host.sh(
        "mke2fs -q /dev/nvme0n1 > /dev/null && mkfifo /tmp/ready; unshare -m sh -c 'mount -t ext4 /dev/nvme0n1 /mnt && echo > /tmp/ready "
        "&& exec sleep 1000' > /dev/null 2>&1 & cat /tmp/ready > /dev/null; echo $!"
    )
    host.refuses("grep /mnt /proc/self/mountinfo")
    host.refused("iolane bind nvme0", "the kernel has it busy (another mount namespace")
    host.end(pid)


def failures(host):
    """A driver that fails, and a step that fails: all is as before."""
    host.machine.bind(NVME, "vfio-pci")
    before = host.state()
    # nvme takes the drive; edu is none, and says so.
    host.refused(
        f"iolane bind {NVME} {EDU} --driver=nvme",
        f"the driver nvme does not take {EDU}",
        "all is as it was before",
    )
    host.no_journal()
    # What the journal does not know goes to the driver of the kernel's choice, and can be undone.
    host.sh(f"iolane unbind {NVME}")
    host.drivers("nvme", NVME)
    host.sh("iolane undo")
    host.expect(before, "undo of unbind")
    host.sh(f"iolane unbind {NVME} && rm -r /run/iolane")
    before = host.state()
    events = 0
    while True:
        status, output = host.run(f"cutshort bind fail {events} {VF0} {NVME}")
        if status == 0:
            break
        host.expect(before, f"bind that failed at event {events}")
        host.no_journal()
        events += 1
    check(int(output) == events and events >= 15, f"only {events} events: {output}")
    host.sh("iolane undo")
    host.expect(before, "undo")
    return events


def kills(host, events):
    """Killed at each event of bind, unbind and undo; undo puts all back, each time."""
    host.sh("rm -rf /run/iolane")
    before = host.state()
    for event in range(events):
        status, output = host.run(f"cutshort bind kill {event} {VF0} {NVME}")
        check(status == 137, f"killed at event {event}, it ended with {status}: {output}")
        if event < events - 3:
            output = host.refuses(f"iolane bind {VF1}")
            check("left in the middle" in output, f"bind after a kill said {output}")
        verb = "undo" if event % 2 else f"unbind {VF0} {NVME}"
        host.sh(f"iolane {verb}")
        host.expect(before, f"bind, killed at event {event}, and {verb}")
        host.no_journal()
    for verb in (f"unbind kill %u {VF0} {NVME}", "undo kill %u"):
        event = 0
        while True:
            host.sh(f"iolane bind {VF0} {NVME}")
            status, output = host.run("cutshort " + verb % event)
            if status == 0:
                break
            check(status == 137, f"killed at event {event}, it ended with {status}: {output}")
            host.sh("iolane undo")
            host.expect(before, f"{verb}, killed at event {event}, and undo")
            host.no_journal()
            event += 1
        check(int(output) == event and event >= 10, f"only {event} events: {output}")
        host.expect(before, verb)


def holders(host):
    """Who has a device by little more than nothing keeps it, and is named as far as can be."""
    before = host.state()
    host.sh(f"iolane bind {VF0} {VF1}")

    def held(how, address, *words):
        pid = host.sh(f"holder {how} {address}")
        words = [word.replace("PID", f"a-holder (pid {pid})") for word in words]
        host.refused(f"iolane unbind {address}", address, *words)
        host.refused("iolane undo", words[-1])
        return pid

    for how, words in (("fd", "PID"), ("map", "PID"), ("sent", "somebody whom /proc does not show")):
        host.end(held(how, VF0, words))
    first = held("fd", VF0, "PID")
    second = held("map", VF1, f"by one of: a-holder (pid {first}), PID")
    host.end(first)
    host.end(second)
    # Opened after it was looked at: it is not waited for, and stays in the journal as a whole.
    bound = host.state()
    output = host.refuses(f"cutshort unbind open 0 {VF0}")
    check("somebody has opened it meanwhile" in output, f"unbind of what was opened said {output}")
    host.expect(bound, "unbind of what was opened")
    host.sh(f"iolane unbind {VF0} {VF1}")
    host.expect(before, "unbind of what was held")
    host.no_journal()


def owners(host):
    """Nodes for somebody; who has one open keeps the device."""
    node = host.sh(f"basename $(readlink /sys/bus/pci/devices/{VF0}/iommu_group)")
    before = host.state()
    host.sh(f"iolane bind {VF0} --user=op")
    output = host.sh(f"iolane bind {VF0} --user=op")
    check("as before" in output, f"bind --user again said {output}")
    host.owned(f"/dev/vfio/{node}")
    folder = f"/sys/bus/pci/devices/{VF0}/vfio-dev"
    if host.run(f"cat {folder}/*/dev")[0] == 0:
        host.owned(f"/dev/vfio/devices/$(ls {folder})")
        iommu = host.sh("stat -c %u:%g:%a /dev/iommu")
        host.sh(f"iolane bind {VF0} --user=op --iommufd")
        host.owned("/dev/iommu")
        host.sh("iolane undo")
        owner = host.sh("stat -c %u:%g:%a /dev/iommu")
        check(owner == iommu, f"/dev/iommu has {owner} after undo, not {iommu}")
    # It is new when its driver has gone and come again.
    host.sh(f"iolane bind {VF0} --driver=igbvf && iolane undo")
    host.owned(f"/dev/vfio/{node}")
    pid = host.sh(f"sleep 1000 < /dev/vfio/{node} > /dev/null 2>&1 & echo $!")
    for verb in (f"unbind {VF0}", "undo", f"bind {VF0} --driver=igbvf"):
        host.refused(f"iolane {verb}", pid, "sleep")
    host.end(pid)
    host.sh(f"iolane unbind {VF0}")
    host.expect(before, "bind --user and unbind")
    host.no_journal()


def persistent(host):
    """The rule comes and goes."""
    rule = f"/etc/udev/rules.d/70-iolane-{VF0}.rules"
    host.refused(f"iolane bind {VF0} --persist", "/etc/udev/rules.d")
    host.sh("mkdir -p /etc/udev/rules.d")
    host.sh(f"iolane bind {VF0} --persist")
    way = host.sh(f"readlink -f /sys/bus/pci/devices/{VF0}").removeprefix("/sys")
    check(f'DEVPATH=="{way}"' in host.sh(f"cat {rule}"), "the rule is not for the device's path")
    host.sh(f"iolane unbind {VF0}")
    host.refuses(f"ls {rule}")
    host.drivers("igbvf", VF0)
    nodes = host.run("test -e /dev/iommu")[0] == 0
    iommufd = "--iommufd" if nodes else ""
    host.sh(f"iolane bind {VF0} --persist --user=op {iommufd} && rm -r /run/iolane")
    # The VFs come anew, as they do when a host starts: igbvf takes both, and the rule one from it.
    # udev stands on inotify, which the smallest kernels lack.
    folder = f"/sys/bus/pci/devices/{IGB}"
    udev = host.run("test -e /proc/sys/fs/inotify")[0] == 0
    if udev:
        start_udev(host)
        host.sh(f"echo 0 > {folder}/sriov_numvfs && echo 1 > {folder}/sriov_drivers_autoprobe")
        host.sh(f"echo 2 > {folder}/sriov_numvfs && udevadm settle")
        host.drivers("vfio-pci", VF0)
        host.drivers("igbvf", VF1)
        host.owned(f"/dev/vfio/$(basename $(readlink {folder[: -len(IGB)]}{VF0}/iommu_group))")
        if nodes:
            host.owned(f"/dev/vfio/devices/$(ls {folder[: -len(IGB)]}{VF0}/vfio-dev)")
            host.sh("chown 0:0 /dev/iommu && udevadm trigger --settle --action=add /dev/iommu")
            host.owned("/dev/iommu")
    host.sh(f"echo 1 > {folder}/sriov_drivers_autoprobe")
    # Nothing is in the journal: the kernel chooses.
    host.sh(f"iolane unbind {VF0}")
    host.refuses(f"ls {rule}")
    host.drivers("igbvf", VF0)
    # What has just come, or is about to, can be bound by name at once.
    host.sh(f"echo 0 > {folder}/sriov_numvfs && echo 2 > {folder}/sriov_numvfs")
    host.sh(f"iolane bind {IGB}/vf1")
    host.drivers("vfio-pci", VF1)
    if udev:
        host.sh("udevadm settle")
        host.drivers("vfio-pci", VF1)


def start_udev(host):
    program = initramfs.find_program("udevadm")
    for path, source in [*initramfs.libraries(program), ("/bin/systemd-udevd", program)]:
        if host.run(f"test -e {path}")[0] != 0:
            host.sh(f"mkdir -p {os.path.dirname(path)}")
            host.machine.put(source, path)
    host.sh("ln -s systemd-udevd /bin/udevadm")
    host.sh("systemd-udevd --daemon --resolve-names=never && udevadm settle")


def test(args):
    options = [word for option in OPTIONS for word in option]
    with Machine(args, programs=["iolane", "cutshort", "holder"], options=options) as machine:
        host = Host(machine)
        machine.make_vfs(IGB, 2)
        host.sh("mkdir -p /etc && echo op:x:1000:100::/:/bin/sh > /etc/passwd")
        # One with a driver and an override of somebody's, one with neither.
        machine.bind(VF0, "igbvf")
        names(host)
        without_autoprobe(host)
        network(host)
        results(host)
        groups(host)
        uses(host)
        events = failures(host)
        kills(host, events)
        holders(host)
        owners(host)
        persistent(host)


main(test)
