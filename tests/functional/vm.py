#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The verbs of "iolane vm" as far as no guest has to boot: command lines, what is printed for each VMM, devices that can't be
handed over, and a QEMU whose guest has not started, looked at by the doctor."""

import json
import os
import shlex
import shutil
import socket
import stat
import subprocess
import unittest

import host_tree
import programs
from programs import BLK, IOLANE, NET, Sandbox, run, until

FAILED, USAGE = 1, 2
VERBS = (["vm", "args"], ["vm", "doctor"], ["vm", "attach"], ["vm", "detach"])
QEMU = "qemu-system-x86_64"
VF = "0000:01:10.0"

BAD = [
    (["vm"], "iolane vm needs a verb"),
    (["vm", "arg"], "did you mean args?"),
    (["vm", "args", "--for=xen"], "unknown VMM xen"),
    (["vm", "args", "--for=qemuu"], "did you mean qemu?"),
    (["vm", "args", "--memory=1"], "whole MiB"),
    (["vm", "args", "--memory=0"], "whole MiB"),
    (["vm", "args", "--hugepages=4M"], "2M or 1G"),
    (["vm", "args", "--cpus=0"], "--cpus"),
    (["vm", "args", "--name=a<b"], "can't be the name"),
    (["vm", "args", "--blk=,id=x"], "lacks a name"),
    (["vm", "args", "--vf=,id=x"], "lacks a name"),
    (["vm", "args", "--blk=a,colour=red"], "--blk=a with colour=red: unknown disk setting colour"),
    (["vm", "args", "--blk=a,queue=2"], "did you mean queues?"),
    (["vm", "args", "--blk=a,mac=02:00:00:00:00:01"], "unknown disk setting mac"),
    (["vm", "args", "--vf=a,queues=2"], "unknown function setting queues"),
    (["vm", "args", "--vf=a,standby"], "standby needs a value: standby=ID"),
    (["vm", "args", "--vf=a,id=b,id=c"], "id is given twice"),
    (["vm", "args", "--net=a,queues"], "queues needs a value: queues=N"),
    (["vm", "args", "--net=a,mac=01:00:00:00:00:01"], "of one station"),
    (["vm", "args", "--net=a,mac=02:00"], "six bytes"),
    (["vm", "args", "--net=a,standby=b"], "unknown NIC setting standby"),
    (["vm", "args", "--blk=" + 110 * "a"], "no path that a socket can have"),
    (["vm", "args", "x"], "unexpected argument"),
    (["vm", "args", "--for=libvirt", "--json"], "libvirt takes XML"),
    (["vm", "doctor"], "say which QEMU"),
    (["vm", "attach", "--blk=a"], "say which QEMU"),
    (["vm", "attach", "--qmp=a"], "say one device"),
    (["vm", "attach", "--qmp=a", "--blk=a", "--net=b"], "say one device"),
    (["vm", "detach", "--qmp=a"], "needs the id of a device"),
    (["vm", "detach", "blk0"], "say which QEMU"),
]


class Texts(programs.Outcomes):
    def test_bad_command_lines(self):
        for arguments, sentence in BAD:
            with self.subTest(arguments=arguments):
                self.bad(run([IOLANE, *arguments]), USAGE, sentence)

    def test_help_and_manual_page(self):
        self.documented(VERBS)

    def test_completion(self):
        lines = {
            "iolane vm d": "doctor detach",
            "iolane vm args --for=c": "cloud-hypervisor",
            "iolane vm args --ha": "",
            "iolane vm detach --g": "--give-back",
            "iolane vm attach --q": "--qmp=",
        }
        self.assertEqual(programs.completions(lines), lines)

    def test_monitors_that_are_none(self):
        with Sandbox() as box:
            path = f"{box.path}/qmp"
            for verb in (["doctor"], ["attach", "--blk=a"], ["detach", "x"]):
                self.bad(run([IOLANE, "vm", *verb, f"--qmp={path}"]), FAILED, "cannot connect to QEMU's monitor")
            with socket.socket(socket.AF_UNIX) as silent:
                silent.bind(path)
                silent.listen()
                self.bad(run([IOLANE, "vm", "doctor", f"--qmp={path}", "--timeout=200ms"]), FAILED, "does not greet")


class Copies(programs.Outcomes):
    """Functions of machines of which there are but files."""

    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.__exit__)
        self.tree = host_tree.intel(f"{self.box.path}/m")
        self.tree.add("dev/vfio/vfio")
        self.group = os.path.basename(os.readlink(f"{self.tree.path}/sys/bus/pci/devices/{VF}/iommu_group"))
        self.tree.add(f"dev/vfio/{self.group}")

    def args(self, *arguments, vmm="cloud-hypervisor"):
        return run([IOLANE, "vm", "args", f"--for={vmm}", f"--root={self.tree.path}", *arguments])

    def test_cloud_hypervisor(self):
        text = self.good(self.args("--vf=eth3/vf0", "--memory=512M", "--cpus=3"))
        self.assertEqual(text, "--cpus boot=3 \\\n--memory size=512M \\\n"
                         f"--device path=/sys/bus/pci/devices/{VF}/,id=vf0\n")
        sockets = ["--blk=/tmp/b,queues=2,id=d", "--blk=/tmp/c", "--net=/tmp/n,queues=2,mac=02:00:00:00:00:01"]
        result = self.args("--vf", VF, *sockets, "--hugepages", "--iommu", "--force", "--json")
        self.assertEqual(result.returncode, 0)
        self.assertEqual(json.loads(result.stdout), [
            "--cpus", "boot=1",
            "--memory", "size=1024M,shared=on,hugepages=on,hugepage_size=2M",
            "--device", f"path=/sys/bus/pci/devices/{VF}/,id=vf0,iommu=on",
            "--disk", "vhost_user=on,socket=/tmp/b,num_queues=2,id=d,iommu=on",
            "vhost_user=on,socket=/tmp/c,num_queues=1,id=blk1,iommu=on",
            "--net", "vhost_user=on,socket=/tmp/n,num_queues=4,mac=02:00:00:00:00:01,id=net0,iommu=on"])

    def test_what_stands_in_the_way(self):
        self.bad(self.args("--vf=eth3/vf1"), FAILED, "iolane bind eth3/vf1")
        self.tree.add("run/iolane/leases/0000:01:00.0,vf1", "vm7\n")
        self.bad(self.args("--vf=eth3/vf1"), FAILED, "leased to vm7: iolane release")
        self.tree.remove("run/iolane/leases/0000:01:00.0,vf1")
        self.bad(self.args("--vf=eth3"), FAILED, "with the driver igb")
        self.bad(self.args("--vf=eth3/vf5"), FAILED, "no VF 5")
        self.bad(self.args("--vf=eth3/vf0", f"--vf={VF}"), FAILED, "given twice")
        self.bad(self.args("--vf=eth3/vf0", "--hugepages", "--memory=8G"), FAILED, "pages of 2 MiB are free")
        self.tree.add("proc/self/limits", host_tree.LIMITS.format(memlock="8388608"))
        self.bad(self.args("--vf=eth3/vf0"), FAILED, "you may lock 8 MiB")
        self.good(self.args("--vf=eth3/vf0", "--memory=8M"))
        # Whatever it is, it can be asked for all the same.
        self.assertEqual(self.args("--vf=eth3/vf0", "--force").returncode, 0)
        self.tree.remove(f"dev/vfio/{self.group}")
        self.bad(self.args("--vf=eth3/vf0", "--memory=8M"), FAILED, f"no node /dev/vfio/{self.group}")
        self.bad(self.args("--blk=/tmp/none"), FAILED, "there is no socket /tmp/none")
        self.bad(self.args(f"--blk={self.tree.path}/dev/kvm"), FAILED, "is no socket")

    @unittest.skipUnless(shutil.which("xmllint") and os.path.exists("/usr/share/libvirt/schemas/domain.rng"),
                         "libvirt's schema is not installed")
    def test_libvirt(self):
        """By libvirt's own schema, which the program itself asks."""
        sockets = ["--blk=/tmp/b,queues=2,packed", "--net=/tmp/n,mac=02:00:00:00:00:01", "--net=/tmp/l,listen"]
        for more in ([], ["--iommu"], ["--hugepages", "--cpus=2", "--ports=0", "--name=a b"]):
            result = self.args(f"--vf={VF}", *sockets, "--force", *more, vmm="libvirt")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("<address domain='0x0000' bus='0x01' slot='0x10' function='0x0'/>", result.stdout)
            self.assertIn("<access mode='shared'/>", result.stdout)
            self.assertNotIn("not checked", result.stderr)
        result = self.args(f"--vf={VF},standby=net0", *sockets, "--force", vmm="libvirt")
        self.assertIn("<teaming type='transient' persistent='ua-net0'/>", result.stdout, result.stderr)
        self.assertNotIn("not checked", result.stderr)
        self.bad(self.args(f"--vf={VF},standby=net0", "--force", vmm="libvirt"), FAILED, "no NIC net0 to stand by")
        self.bad(self.args("--blk=/tmp/b,listen", vmm="libvirt"), FAILED, "libvirt listens for no disk")


@unittest.skipUnless(BLK and NET and shutil.which(QEMU), f"{QEMU} or a back end is missing")
class Qemu(programs.Outcomes):
    """With back ends, and a QEMU whose guest does not start."""

    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.__exit__)
        self.disk, self.port, self.qmp = (f"{self.box.path}/{name}" for name in ("d", "n", "q"))
        image = self.box.image("image", 1 << 20)
        self.blk = self.box.blk(f"--socket-path={self.disk}", f"--blk-file={image}", "--num-queues=4",
                                f"--control={self.box.path}/bc")
        self.addCleanup(self.blk.__exit__, None)
        self.blk.wait_connect(f"{self.box.path}/bc")

    def start(self, *arguments):
        command = [QEMU, *arguments, "-nodefaults", "-display", "none", "-S", "-qmp", f"unix:{self.qmp},server=on,wait=off"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def listens():
            self.assertIsNone(process.poll(), command)
            return os.path.exists(self.qmp) and stat.S_ISSOCK(os.stat(self.qmp).st_mode)
        until("QEMU to listen", listens)
        return process

    def doctor(self, status):
        result = run([IOLANE, "vm", "doctor", f"--qmp={self.qmp}", "--json"])
        self.assertEqual(result.returncode, status, result.stderr)
        report = json.loads(result.stdout)
        self.assertEqual(report["good"], not status)
        return {check["check"]: check for check in report["checks"]}

    def test_what_is_printed(self):
        """By the control socket, by asking, and by nobody."""
        start = [IOLANE, "vm", "args", "--memory=64M", "--cpus=3"]
        for more, queues, packed in ((f",control={self.box.path}/bc", 3, True), ("", 1, False), (",queues=2", 2, False),
                                     (f",packed=off,control={self.box.path}/bc", 3, False)):
            text = self.good(run([*start, f"--blk={self.disk}{more}"]))
            self.assertIn(f"num-queues={queues}", text)
            self.assertEqual("packed=on" in text, packed)
        text = self.good(run([*start, f"--blk={self.disk}", "--ask"]))
        self.assertIn("num-queues=3,packed=on", text)
        with Sandbox() as other, other.net(f"--port=socket={self.port},queues=2") as net:
            net.wait_connect(self.port)
            text = self.good(run([*start, f"--net={self.port}", "--ask"]))
            self.assertIn("chardev=net0-chardev,queues=2 ", text)
            result = run([*start, f"--net={self.port},queues=3", "--ask"])
            self.assertIn("has 2 pairs of queues, not 3", result.stderr)
        result = run([*start, f"--blk={self.disk},queues=9,control={self.box.path}/bc"])
        self.assertIn("has 4 queues, not 9", result.stderr)
        with self.blk.connect(self.disk):
            until("the kernel to tell", lambda: "has a guest already" in run([*start, f"--blk={self.disk}"]).stderr)
        self.blk.stop(9)
        result = run([*start, f"--blk={self.disk}"])
        self.assertIn("nobody listens", result.stderr)
        self.assertEqual((result.returncode, result.stdout), (FAILED, ""))
        result = run([IOLANE, "vm", "args", "--qemu=/none"])
        self.assertEqual((result.returncode, result.stdout), (FAILED, ""))
        self.assertIn("cannot start /none", result.stderr)

    def test_a_guest_that_is_well(self):
        text = self.good(run([IOLANE, "vm", "args", "--memory=64M", "--cpus=2", "--ports=1",
                              f"--blk={self.disk},control={self.box.path}/bc"]))
        self.start(*shlex.split(text.replace("\\\n", "")))
        said = self.doctor(0)
        for check in ("shared", "ports", "blk0/connection", "blk0/reconnect", "blk0/queues", "blk0/rings"):
            self.assertEqual(said[check]["state"], "good", said[check])
        self.blk.stop()
        until("QEMU to see it", lambda: self.doctor_says("blk0/connection", "bad"))

    def doctor_says(self, check, state):
        report = json.loads(run([IOLANE, "vm", "doctor", f"--qmp={self.qmp}", "--json"]).stdout)
        return any(c["check"] == check and c["state"] == state for c in report["checks"])

    def test_a_guest_that_is_not(self):
        self.start("-M", "q35", "-m", "64M", "-smp", "2", "-device", "virtio-balloon-pci",
                   "-chardev", f"socket,id=c,path={self.disk}",
                   "-device", "vhost-user-blk-pci,chardev=c,id=d,num-queues=1,event_idx=off")
        said = self.doctor(FAILED)
        for check, state, mend in (
                ("status", "warning", None),
                ("shared", "bad", "-object memory-backend-memfd,id=mem,size=64M,share=on -machine memory-backend=mem"),
                ("balloon", "good", None), ("ports", "warning", "-device pcie-root-port,id=spare0,chassis=50"),
                ("d/connection", "good", None),
                ("d/reconnect", "bad", "reconnect-ms=500 (QEMU before 9.2: reconnect=1) at -chardev socket,id=c"),
                ("d/queues", "warning", "num-queues=2 at -device id=d"),
                ("d/rings", "warning", "event_idx=on at -device id=d")):
            self.assertEqual((said[check]["state"], said[check]["mend"]), (state, mend), check)
        lines = run([IOLANE, "vm", "doctor", f"--qmp={self.qmp}"]).stdout.splitlines()
        self.assertIn("bad      shared memory: ", "\n".join(lines))
        self.assertIn("2 things to mend", lines[-1])
        # Such memory no back end can reach.
        other = Sandbox()
        self.addCleanup(other.__exit__)
        port = other.net(f"--port=socket={self.port}")
        self.addCleanup(port.__exit__, None)
        port.wait_connect(self.port)
        self.bad(run([IOLANE, "vm", "attach", f"--qmp={self.qmp}", f"--net={self.port},queues=1"]), FAILED, "is not shared")


if __name__ == "__main__":
    programs.main()
