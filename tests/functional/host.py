#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The verbs of iolane that look at a host: list, show and check, on copies of machines' files and on
the machine that this runs on."""

import json
import os
import re
import shutil
import subprocess
import unittest

import host_tree
import programs
from programs import IOLANE, Sandbox, run

FAILED, USAGE = 1, 2
VERBS = ("list", "show", "check")
NIC, DRIVE, SMBUS = "0000:01:00.0", "0000:02:00.0", "0000:00:1f.3"
VFS = ["0000:01:10.0", "0000:01:10.2"]

# Wrong command lines: arguments, a part of the one sentence.
BAD = [
    (["list", "all"], "unexpected argument \"all\": leave it out"),
    (["list", "--al"], "unknown option --al: did you mean --all?"),
    (["list", "--all=yes"], "--all takes no value"),
    (["list", "--driver"], "--driver needs a value: --driver=NAME"),
    (["list", "--class=nte"], "unknown class nte: did you mean net?"),
    (["list", "--class=nothing-like-it"], "unknown class nothing-like-it"),
    (["list", "--numa=x"], "--numa must be a whole number"),
    (["list", "--numa=-1"], "--numa must be a whole number"),
    (["list", "--numa=9999"], "--numa must be from 0 to 1023"),
    (["list", "--free", "--free"], "--free is given twice"),
    (["list", "--root"], "--root needs a value: --root=DIR"),
    (["list", "--control=x"], "unknown option --control"),
    (["show"], "iolane show needs a device: an address, eth3, nvme0 or eth3/vf2"),
    (["show", "eth3", "eth4"], "unexpected argument \"eth4\""),
    (["show", "0000:00:99.0"], "0000:00:99.0 is no PCI address"),
    (["show", "a/b"], "'a/b' is no name of a PCI function"),
    (["show", ""], "is no name of a PCI function"),
    (["check", "now"], "unexpected argument \"now\""),
    (["check", "--jsno"], "unknown option --jsno: did you mean --json?"),
    (["chek"], "unknown command chek: did you mean check?"),
]


def states(report):
    return {check["check"]: check["state"] for check in report["checks"]}


class Looking(programs.Outcomes):
    """Each test may make machines, and look at them."""

    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.__exit__)
        self.tree = None

    def machine(self, make):
        self.tree = make(f"{self.box.path}/{make.__name__}")
        return self.tree

    def look(self, *arguments, **more):
        return run([IOLANE, *arguments, f"--root={self.tree.path}"], **more)

    def look_json(self, *arguments, status=0):
        result = self.look(*arguments, "--json")
        self.assertEqual(result.returncode, status, result.stderr)
        return json.loads(result.stdout)

    def found(self, key, status=0):
        """What one check says of the machine."""
        check, = [c for c in self.look_json("check", status=status)["checks"] if c["check"] == key]
        return check


class CommandLines(Looking):
    def test_bad_ones(self):
        self.machine(host_tree.intel)
        for arguments, sentence in BAD:
            with self.subTest(arguments=arguments):
                self.bad(run([IOLANE, *arguments]), USAGE, sentence)

    def test_roots_that_hold_no_machine(self):
        os.mkdir(f"{self.box.path}/empty")
        for verb in (["list"], ["show", "eth3"], ["check"]):
            for root, sentence in (("none", "No such file or directory"),
                                   ("empty", "holds no sys folder"),
                                   (os.path.basename(__file__), "")):
                with self.subTest(verb=verb, root=root):
                    self.bad(run([IOLANE, *verb, f"--root={self.box.path}/{root}"]), USAGE, sentence)

    def test_a_root_that_may_not_be_read(self):
        self.machine(host_tree.intel)
        os.chmod(self.tree.path, 0o700)
        os.chmod(self.box.path, 0o700)
        if os.geteuid():
            os.chmod(self.tree.path, 0)
        result = programs.run_as_nobody(IOLANE, "list", f"--root={self.tree.path}")
        self.bad(result, USAGE, "Permission denied")

    def test_devices_that_are_not_there(self):
        self.machine(host_tree.intel)
        for name, sentence in (("0000:05:00.0", "there is no PCI function 0000:05:00.0 here"),
                               ("eth9", "there is no network interface eth9 here"),
                               ("nvme9", "there is no NVMe controller nvme9 here"),
                               ("eth3/vf2", "has no VF 2: there are 2 now"),
                               ("nvme0/vf0", "can have no VFs")):
            with self.subTest(name=name):
                self.bad(self.look("show", name), FAILED, sentence)

    def test_output_that_cannot_be_written(self):
        self.machine(host_tree.intel)
        for arguments in (["list"], ["show", "eth3"], ["check"], ["check", "--json"]):
            with self.subTest(arguments=arguments), open("/dev/full", "wb") as full:
                result = subprocess.run([IOLANE, *arguments, f"--root={self.tree.path}"],
                                        stdout=full, stderr=subprocess.PIPE, text=True, check=False)
                self.assertEqual(result.returncode, FAILED)
                self.assertIn("cannot write to standard output", result.stderr)

    def test_help_and_manual_page(self):
        documented = programs.documented_options("iolane")
        for verb in VERBS:
            text = self.good(run([IOLANE, verb, "--help"]))
            self.assertEqual(text, self.good(run([IOLANE, "help", verb])))
            self.assertTrue(text.startswith(f"Usage: iolane {verb} "), text)
            self.assertLessEqual(max(map(len, text.splitlines())), 80)
            self.assertIn("--root", options := programs.help_options(text))
            self.assertLessEqual(options, documented)

    def test_completion(self):
        lines = {
            "iolane li": "list",
            "iolane che": "check",
            "iolane list --f": "--free",
            "iolane list --class=s": "storage serial",
            "iolane show --r": "--root=",
            "iolane help sh": "show",
        }
        self.assertEqual(programs.completions(lines), lines)


class Lists(Looking):
    def setUp(self):
        super().setUp()
        self.machine(host_tree.intel)

    def addresses(self, *arguments):
        return [device["address"] for device in self.look_json("list", *arguments)]

    def test_what_a_person_would_pass_through(self):
        self.assertEqual(self.addresses(), [NIC, *VFS, DRIVE])

    def test_everything(self):
        everything = self.addresses("--all")
        self.assertEqual(everything, sorted(everything))
        self.assertEqual(everything, sorted(os.listdir(f"{self.tree.path}/sys/bus/pci/devices")))

    def test_filters(self):
        for arguments, wanted in (
                (["--driver=nvme"], [DRIVE]),
                (["--driver=vfio-pci"], VFS[:1]),
                (["--driver=none"], VFS[1:]),
                (["--driver=none", "--class=storage"], []),
                (["--class=net"], [NIC, *VFS]),
                (["--class=storage"], [DRIVE]),
                (["--class=bridge"], ["0000:00:00.0", "0000:00:01.0", "0000:00:02.0"]),
                (["--class=other"], []),
                (["--class=other", "--all"], [SMBUS]),
                (["--numa=1"], [DRIVE]),
                (["--numa=0", "--class=net"], [NIC, *VFS]),
                (["--numa=7"], []),
                (["--vfs"], [NIC, *VFS])):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.addresses(*arguments), wanted)
                text = self.good(self.look("list", *arguments))
                if wanted:
                    self.assertEqual([line.split()[0] for line in text.splitlines()[1:]], wanted)
                else:
                    self.assertEqual(text, "no such devices (--all lists everything)\n")

    def test_free_ones(self):
        self.tree.add("proc/net/route",
                      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\t"
                      "Window\tIRTT\n"
                      "eth3\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")
        self.assertEqual(self.addresses("--free"), [*VFS, DRIVE])
        nic, = [d for d in self.look_json("list") if d["address"] == NIC]
        self.assertEqual(nic["uses"][0]["kind"], "route")
        self.assertTrue(nic["uses"][0]["harmful"])
        self.assertIn(" route ", self.good(self.look("list", "--class=net")))
        verdict = self.look_json("show", "eth3")["verdict"]
        self.assertEqual(verdict["passthrough"], "no")
        self.assertIn("default route", verdict["sentence"])

    def test_text_and_json_agree(self):
        text = self.good(self.look("list")).splitlines()
        heads = ["ADDRESS", "NAME", "CLASS", "DRIVER", "GROUP", "NUMA", "VFS", "USED BY", "DEVICE"]
        starts = [text[0].index(head) for head in heads] + [None]
        self.assertEqual(text[0].split(), " ".join(heads).split())
        devices = self.look_json("list")
        self.assertEqual(len(text) - 1, len(devices))
        for line, device in zip(text[1:], devices):
            cells = [line[a:b].strip() for a, b in zip(starts, starts[1:])]
            vfs = f"{device['vfs']} of {device['vfs_max']}" if device["vfs_max"] else "-"
            self.assertEqual(cells[:7], [
                device["address"], device["name"] or "-", device["class"], device["driver"] or "-",
                str(device["iommu_group"]), str(device["numa_node"]), vfs])

    def test_names(self):
        names = {d["address"]: d["name"] for d in self.look_json("list")}
        self.assertEqual(names, {NIC: "eth3", VFS[0]: "eth3/vf0", VFS[1]: "eth3/vf1",
                                 DRIVE: "nvme0"})
        # What is listed is what may be said.
        for address, name in names.items():
            self.assertEqual(self.look_json("show", name)["address"], address)

    def test_companions(self):
        self.tree.function("0000:00:02.0/0000:02:00.1", "1b36:0010", 0x010802, 6, "nvme")
        by_address = {d["address"]: d for d in self.look_json("list")}
        group = by_address["0000:02:00.1"]["iommu_group"]
        self.assertEqual(by_address[DRIVE]["iommu_group"], group)
        self.assertEqual(by_address[DRIVE]["companions"], 1)
        self.assertEqual(by_address[NIC]["companions"], 0)
        self.assertIn(f" {group} +1 ", self.good(self.look("list")))

    def test_vendors_and_devices_by_name_or_by_number(self):
        nic, *_ = self.look_json("list")
        label = self.good(self.look("list")).splitlines()[1]
        if nic["vendor_name"]:
            self.assertEqual(nic["vendor_name"], "Intel Corporation")
            self.assertIn("82576", nic["device_name"])
            self.assertTrue(label.endswith(f"{nic['device_name']}, {nic['vendor_name']}"))
        else:
            self.assertTrue(label.endswith("8086:10c9"))

    def test_names_that_a_terminal_would_obey(self):
        self.tree.netdev("sys/devices/pci0000:00/0000:00:02.0/0000:02:00.0", "a\033[2Jb")
        for arguments in (["list"], ["show", DRIVE]):
            self.assertNotIn("\033", self.good(self.look(*arguments)))

    def test_a_terminal(self):
        lines = programs.at_terminal([IOLANE, "list", f"--root={self.tree.path}"], 80)
        self.assertTrue(lines[0].startswith("ADDRESS"))
        self.assertEqual(len(lines), 5, lines)
        self.assertLessEqual(max(map(len, lines)), 80)

    def test_a_machine_without_pci(self):
        shutil.rmtree(f"{self.tree.path}/sys/bus")
        self.assertEqual(self.good(self.look("list")), "no PCI devices\n")
        self.assertEqual(self.look_json("list"), [])


class Shows(Looking):
    def test_everything_about_one(self):
        self.machine(host_tree.intel)
        nic = self.look_json("show", "eth3")
        listed, = [d for d in self.look_json("list") if d["address"] == NIC]
        self.assertEqual({key: nic[key] for key in listed}, listed)
        self.assertEqual([vf["address"] for vf in nic["vf_list"]], VFS)
        self.assertEqual(nic["group"]["number"], nic["iommu_group"])
        self.assertEqual([m["address"] for m in nic["group"]["members"]], [NIC])
        self.assertEqual(nic["group"]["type"], "DMA-FQ")
        self.assertEqual([(r["first"], r["last"], r["kind"]) for r in nic["group"]["reserved"]],
                         [("0xfee00000", "0xfeefffff", "msi")])
        self.assertEqual([hop["address"] for hop in nic["path"]], [NIC, "0000:00:01.0"])
        self.assertEqual([hop["missing"] for hop in nic["path"]], [[], []])
        self.assertEqual([unit["name"] for unit in nic["iommu"]["units"]], ["dmar0"])
        self.assertTrue(nic["iommu"]["interrupts_remapped"])
        self.assertEqual(nic["verdict"], {"passthrough": "yes", "obstacles": [],
                                          "sentence": "can be passed through"})
        text = self.good(self.look("show", "eth3"))
        for part in (NIC, *VFS, "driver      igb", "dmar0", "2 of 7", "0xfee00000 to 0xfeefffff",
                     "root port, ACS as it should be", "yes: can be passed through"):
            self.assertIn(part, text)

    def test_a_vf(self):
        self.machine(host_tree.intel)
        vf = self.look_json("show", "eth3/vf1")
        self.assertEqual((vf["address"], vf["pf"], vf["vf_index"]), (VFS[1], NIC, 1))
        self.assertIn(f"{NIC}, as its VF 1", self.good(self.look("show", VFS[1])))

    def test_acs_bits_that_are_missing(self):
        tree = self.machine(host_tree.intel)
        place = "sys/devices/pci0000:00/0000:00:01.0"
        for acs, capable, missing in (((0x1C, 0x10), True, 2), (None, False, 4)):
            tree.add(f"{place}/config", host_tree.config(host_tree.ROOT_PORT, acs))
            port = self.look_json("show", "eth3")["path"][1]
            self.assertEqual([bit["capable"] for bit in port["missing"]], [capable] * missing)
            text = self.good(self.look("show", "eth3"))
            for bit in port["missing"]:
                word = "switched off" if capable else "lacking"
                self.assertIn(f"{bit['bit']} is {word}: {bit['meaning']}", text)

    def test_verdicts(self):
        tree = self.machine(host_tree.intel)
        def verdict(name):
            shown = self.look_json("show", name)["verdict"]
            text = " ".join(self.good(self.look("show", name)).split())
            self.assertIn(f"{shown['passthrough']}: {shown['sentence']}", text)
            return shown
        self.assertEqual(verdict("nvme0")["passthrough"], "yes")
        bridge = verdict("0000:00:01.0")
        self.assertEqual(bridge["passthrough"], "no")
        self.assertIn("it is a bridge", bridge["sentence"])
        # Another function in its group.
        tree.function("0000:00:02.0/0000:02:00.1", "1b36:0010", 0x010802, 6, "nvme")
        group = verdict("nvme0")
        self.assertEqual((group["passthrough"], group["obstacles"]), ("with-group", []))
        self.assertIn("0000:02:00.1 goes with it", group["sentence"])
        # The firmware's own memory.
        tree.add("sys/kernel/iommu_groups/6/reserved_regions",
                 "0x00000000000e0000 0x00000000000fffff direct\n")
        direct = verdict("nvme0")
        self.assertEqual(direct["passthrough"], "no")
        self.assertIn("direct mapping", direct["sentence"])
        self.assertIn("RMRR", direct["obstacles"][0]["todo"])

        # None of its IOMMUs knows it.
        tree.function("0000:00:03.0", "1af4:1041", 0x020000)
        alone = verdict("0000:00:03.0")
        self.assertEqual(alone["passthrough"], "no")
        self.assertIn("no IOMMU covers it", alone["sentence"])

    def test_verdicts_of_whole_machines(self):
        for make, sentence in ((host_tree.off, "has no IOMMU group"),
                               (host_tree.amd, "interrupts are not remapped")):
            self.machine(make)
            verdict = self.look_json("show", DRIVE)["verdict"]
            self.assertEqual(verdict["passthrough"], "no")
            self.assertIn(sentence, verdict["sentence"])
            self.assertIn("iolane check", verdict["obstacles"][0]["todo"])


ALL = ("iommu", "groups", "translation", "remapping", "posted", "acs", "reserved", "vfio", "iommufd",
       "unsafe", "lockdown", "kvm", "memlock", "hugepages", "io_uring", "dpdk")


class Checks(Looking):
    def check(self, make, status, **others):
        """The machine's states are good but for the others; those that are None are silent."""
        self.machine(make)
        report = self.look_json("check", status=status)
        wanted = {key: others.get(key, "good") for key in ALL}
        self.assertEqual(states(report), {k: v for k, v in wanted.items() if v})
        self.assertEqual(report["passthrough"], not status)
        self.text_agrees(report, status)
        return {check["check"]: check for check in report["checks"]}

    def text_agrees(self, report, status):
        result = self.look("check")
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertNotIn("\033", result.stdout)
        lines = []
        for check in report["checks"]:
            self.assertTrue(check["found"] and check["where"], check)
            lines.append(f"{check['state']:9}{check['name']}: {check['found']} ({check['where']})")
            if check["mend"]:
                lines.append(f"{'':9}{check['mend']}")
            # What is bad can be mended, what is good needs not be.
            self.assertEqual(bool(check["mend"]), check["state"] == "bad" or
                             check["state"] == "warning" and bool(check["mend"]), check)
        self.assertEqual(result.stdout.splitlines()[:-2], lines)
        self.assertIn("would not work" if status else "would work", result.stdout.splitlines()[-1])

    def test_all_is_good(self):
        self.check(host_tree.intel, 0)

    def test_the_iommu_is_off(self):
        said = self.check(host_tree.off, FAILED, iommu="bad", groups="bad", translation=None,
                          remapping="bad", posted=None, acs=None, reserved=None, vfio="warning",
                          kvm="warning", memlock="warning", hugepages="warning")
        self.assertIn("intel_iommu=off turned it off", said["iommu"]["found"])
        self.assertEqual(said["iommu"]["where"], "/proc/cmdline")
        mend = said["iommu"]["mend"]
        self.assertTrue(mend.endswith(" /etc/default/grub && update-grub && reboot"), mend)
        # It does what it says.
        self.tree.add("etc/default/grub", 'GRUB_CMDLINE_LINUX="xiommu=off intel_iommu=off quiet"\n')
        run(["sh", "-c", mend.split(" && ")[0].replace("/etc", f"{self.tree.path}/etc")])
        self.assertEqual(programs.read_file(f"{self.tree.path}/etc/default/grub"),
                         'GRUB_CMDLINE_LINUX="xiommu=off quiet"\n')
        self.assertEqual(said["kvm"]["mend"], "modprobe kvm_intel")
        self.assertTrue(said["vfio"]["mend"].startswith("modprobe vfio-pci && "))
        self.assertIn("/etc/security/limits.d/", said["memlock"]["mend"])
        self.assertIn("vm.nr_hugepages", said["hugepages"]["mend"])

    def test_amd_without_remapping(self):
        said = self.check(host_tree.amd, FAILED, remapping="bad", posted="warning")
        self.assertEqual(said["remapping"]["mend"],
                         "grubby --update-kernel=ALL --remove-args=intremap=off && reboot")
        self.assertEqual(said["remapping"]["where"], "/proc/interrupts")

    def test_a_virtual_machine_without_anything(self):
        said = self.check(host_tree.guest, FAILED, iommu="bad", groups="bad", translation=None,
                          remapping="bad", posted=None, acs=None, reserved=None, vfio="bad",
                          kvm="warning", memlock="warning", hugepages="warning", dpdk="warning")
        self.assertIn("-device intel-iommu,intremap=on", said["iommu"]["mend"])
        self.assertIn(f"kernel {host_tree.RELEASE} has no vfio", said["vfio"]["found"])
        self.assertIn("-cpu host", said["kvm"]["mend"])

    def test_colour_is_for_terminals(self):
        self.machine(host_tree.off)
        line = [IOLANE, "check", f"--root={self.tree.path}"]
        coloured = programs.at_terminal(line, 80, TERM="xterm")
        self.assertTrue(coloured[0].startswith("\033[1;31mbad\033[0m      IOMMU: "))
        for more in ({"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}):
            plain = programs.at_terminal(line, 80, **more)
            self.assertEqual(plain, [re.sub("\033.*?m", "", text) for text in coloured])
        # What is there to be copied stays on a line, the rest is broken to fit.
        mend = self.found("iommu", FAILED)["mend"]
        self.assertIn(" " * 9 + mend, plain)
        mends = [check["mend"] for check in self.look_json("check", status=FAILED)["checks"]]
        self.assertLessEqual(max(len(text) for text in plain if text.strip() not in mends), 80)

    def test_lines_for_boot_loaders(self):
        tree = self.machine(host_tree.off)
        tree.add("proc/cmdline", "quiet\n")
        for file, line in (
                ("usr/sbin/update-grub", "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&intel_iommu=on /' "
                 "/etc/default/grub && update-grub && reboot"),
                ("etc/default/grub", "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&intel_iommu=on /' "
                 "/etc/default/grub && grub-mkconfig -o /boot/grub/grub.cfg && reboot"),
                ("usr/sbin/grubby", "grubby --update-kernel=ALL --args=intel_iommu=on && reboot"),
                ("etc/kernel/cmdline", "sed -i 's/$/ intel_iommu=on/' /etc/kernel/cmdline && "
                 "kernel-install add $(uname -r) /boot/vmlinuz-$(uname -r) && reboot"),
                (None, "intel_iommu=on has to be on the kernel's command line in the boot loader, "
                 "and reboot")):
            with self.subTest(file=file):
                if os.path.exists(f"{tree.path}/usr/sbin/update-grub"):
                    tree.remove("usr/sbin/update-grub")
                if file:
                    tree.add(file)
                self.assertEqual(self.found("iommu", FAILED)["mend"], line)
                if file:
                    tree.remove(file)

    def test_single_facts(self):
        for what, key, state, sentence, status in (
                (lambda t: t.parameter("vfio_iommu_type1", "allow_unsafe_interrupts", "Y"),
                 "unsafe", "warning", "could forge interrupts", 0),
                (lambda t: t.parameter("vfio", "enable_unsafe_noiommu_mode", "Y"),
                 "unsafe", "warning", "without an IOMMU", 0),
                (lambda t: t.add("sys/kernel/security/lockdown", "none [integrity] x\n"),
                 "lockdown", "warning", "locked down", 0),
                (lambda t: t.add("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-"
                                 "00e098032b8c", b"\6\0\0\0\1"),
                 "lockdown", "good", "with secure boot", 0),
                (lambda t: t.add("proc/sys/kernel/io_uring_disabled", "2\n"),
                 "io_uring", "warning", "nobody may use it", 0),
                (lambda t: t.add("proc/sys/kernel/io_uring_disabled", "1\n"),
                 "io_uring", "warning", "only privileged", 0),
                (lambda t: t.parameter("kvm_intel", "enable_apicv", "N"),
                 "posted", "warning", "told not to use them", 0),
                (lambda t: t.remove("sys/module/kvm_intel/parameters/enable_apicv"),
                 "posted", "warning", "not known before its module", 0),
                (lambda t: t.remove("dev/kvm"), "kvm", "warning", "emulated", 0),
                (lambda t: t.remove("sys/module/vfio_iommu_type1/initstate") or shutil.rmtree(
                    f"{t.path}/sys/module/vfio_iommu_type1"),
                 "vfio", "warning", "vfio_iommu_type1 is there, but not loaded", 0),
                (lambda t: t.add("sys/class/misc/iommu/dev", "10:1\n"),
                 "iommufd", "good", "no device nodes", 0),
                (lambda t: t.add(f"lib/modules/{host_tree.RELEASE}/modules.dep",
                                 "kernel/drivers/iommu/iommufd/iommufd.ko.zst: x\n"),
                 "iommufd", "warning", "not loaded", 0),
                (lambda t: t.add("proc/devices", "511 vfio-dev\n") or
                 t.add("sys/class/misc/iommu/dev", "10:1\n"),
                 "iommufd", "good", "both", 0),
                (lambda t: t.add("proc/self/status", "CapEff:\t0000000000004000\n") or
                 t.add("proc/self/limits", host_tree.LIMITS.format(memlock="8388608")),
                 "memlock", "good", "for others 8 MiB", 0),
                (lambda t: t.add("proc/self/limits", host_tree.LIMITS.format(memlock="8388608")),
                 "memlock", "warning", "you may lock 8 MiB", 0),
                (lambda t: [t.add(f"sys/kernel/iommu_groups/{n}/type", "identity\n")
                            for n in range(8)],
                 "translation", "good", "goes around the IOMMU", 0),
                (lambda t: t.add("sys/kernel/iommu_groups/6/type", "identity\n"),
                 "translation", "good", "1 are not (identity)", 0),
                (lambda t: t.add("sys/kernel/iommu_groups/6/reserved_regions",
                                 "0x00000000000e0000 0x00000000000fffff direct\n"),
                 "reserved", "warning", f"can't be taken: {DRIVE}", 0),
                (lambda t: t.function("0000:00:02.0/0000:02:00.1", "1b36:0010", 0x010802, 6),
                 "acs", "warning", "2 devices share groups", 0),
                (lambda t: t.function("0000:00:02.0/0000:02:00.1", "1b36:0010", 0x010802),
                 "groups", "warning", "1 of 5 devices have none", 0)):
            with self.subTest(key=key, sentence=sentence), Sandbox() as box:
                self.tree = host_tree.intel(f"{box.path}/m")
                self.assertEqual(self.found(key)["state"], "good")
                what(self.tree)
                said = self.found(key, status)
                self.assertEqual(said["state"], state)
                self.assertIn(sentence, said["found"])

    def test_files_that_are_nonsense(self):
        tree = self.machine(host_tree.intel)
        for name in ("proc/cpuinfo", "proc/interrupts", "proc/self/limits", "proc/devices",
                     "proc/sys/kernel/osrelease", "proc/sys/kernel/io_uring_disabled",
                     "sys/kernel/security/lockdown", f"sys/bus/pci/devices/{NIC}/config",
                     "sys/kernel/iommu_groups/6/reserved_regions",
                     "sys/kernel/iommu_groups/6/type",
                     "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
                     "sys/class/iommu/dmar0/intel-iommu/ecap",
                     f"sys/bus/pci/devices/{NIC}/uevent"):
            with open(f"{tree.path}/{name}", "rb") as file:
                before = file.read()
            for nonsense in (b"", b"\0" * 5000, b"\xff\n" * 3000, b"9" * 5000, b"-1\n", b"../..\n"):
                tree.add(name, nonsense)
                for verb in (["list", "--all"], ["show", DRIVE], ["check"]):
                    with self.subTest(name=name, nonsense=nonsense[:8], verb=verb):
                        result = self.look(*verb, "--json", errors="replace")
                        self.assertIn(result.returncode, (0, FAILED), result.stderr)
                        self.assertLessEqual(result.stderr.count("\n"), 1, result.stderr)
                        if not result.stderr:
                            json.loads(result.stdout)
            tree.add(name, before)


class ThisMachine(programs.Outcomes):
    """Whatever it is that this runs on."""

    def test_list(self):
        devices = json.loads(self.good(run([IOLANE, "list", "--all", "--json"])))
        self.assertEqual([d["address"] for d in devices],
                         sorted(os.listdir("/sys/bus/pci/devices"))
                         if os.path.isdir("/sys/bus/pci/devices") else [])

    def test_show(self):
        for device in json.loads(self.good(run([IOLANE, "list", "--all", "--json"]))):
            shown = json.loads(self.good(run([IOLANE, "show", device["address"], "--json"])))
            self.assertEqual(shown["driver"], device["driver"])

    def test_check(self):
        for as_user in (run, lambda line: programs.run_as_nobody(*line)):
            result = as_user([IOLANE, "check", "--json"])
            report = json.loads(result.stdout)
            bad = "bad" in states(report).values()
            self.assertEqual((result.returncode, report["passthrough"]), (int(bad), not bad))
            self.assertEqual(result.stderr, "")
        groups = "/sys/kernel/iommu_groups"
        there = os.path.isdir(groups) and bool(os.listdir(groups))
        self.assertEqual(states(report)["groups"] != "bad", there)


if __name__ == "__main__":
    programs.main()
