#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The verbs of iolane that are about virtual functions, as far as no such function is needed: command
lines, files that are wrong, help, completion, and the unit that runs one of them when the host starts."""

import configparser
import os
import shutil

import host_tree
import programs
from programs import IOLANE, Sandbox, run

FAILED, USAGE = 1, 2
VERBS = (["vf", "list"], ["vf", "create"], ["vf", "set"], ["vf", "stats"], ["vf", "destroy"], ["plan"], ["apply"],
         ["drift"], ["export"], ["lease"], ["release"], ["undo"])
UNIT = f"{os.path.dirname(IOLANE)}/iolane-vf.service"

# Wrong command lines: arguments, a part of the one sentence.
BAD = [
    (["vf"], "iolane vf needs a verb, such as list"),
    (["vf", "lst"], "did you mean list?"),
    (["vf", "list", "eth3", "eth4"], "unexpected argument \"eth4\""),
    (["vf", "create", "eth3"], "needs a PF and how many VFs it shall have"),
    (["vf", "create", "eth3", "0"], "COUNT must be from 1 to 65535"),
    (["vf", "destroy"], "needs a PF"),
    (["vf", "set", "eth3/vf2"], "needs a VF, like eth3/vf2, and settings"),
    (["vf", "set", "eth3", "vlan=1"], "names no VF"),
    (["vf", "set", "eth3/vf2", "vlan"], "expected NAME=VALUE"),
    (["vf", "set", "eth3/vf2", "vlan=4095"], "1 to 4094"),
    (["vf", "set", "eth3/vf2", "colour=red"], "colour"),
    (["plan"], "needs one file"),
    (["apply", "a", "b"], "needs one file"),
    (["apply", "--wait=3s", "a"], "--wait says how long --boot waits"),
    (["apply", "--boot", "--wait=soon", "a"], "--wait"),
    (["apply", "--boot", "--json"], "neither --json nor --dry-run"),
    (["apply", "--boot", "--dry-run"], "neither --json nor --dry-run"),
    (["apply", "--boot", "a", "b"], "one file at most"),
    (["drift"], "needs one file"),
    (["plan", "--boot", "a"], "unknown option --boot"),
    (["lease"], "iolane lease needs a PF or a label"),
    (["release"], "iolane release needs a VF"),
]

# Wrong files: what stands in it, in which line it is wrong, and a part of what is said of it.
WRONG = [
    ("", None, "says nothing"),
    ("pfs:\n  - vfs: 2\n", 2, "told by one of address, name, path"),
    ("pfs:\n  - name: a\n    address: b\n", 2, "told by one of address, name, path"),
    ("pfs:\n  - name: a\n    vfs: many\n", 3, "expected a number from 0 to 65535"),
    ("pfs:\n  - name: a\n    eswitch: on\n", 3, "legacy or switchdev"),
    ("pfs:\n  - name: a\n    color: red\n", 3, "expected one of address"),
    ("pfs:\n  - name: a\n    vfs: 2\n    vf:\n      - index: 0-2\n", 5, "expected from 0 to 1"),
    ("pfs:\n  - name: a\n    vf:\n      - index: 0-2\n      - index: 1\n", 5, "overlap"),
    ("pfs:\n  - name: a\n    vf:\n      - index: 0\n        mac: 1\n", 5, "six bytes"),
    ("pfs:\n  - name: a\n    vf:\n      - index: 0\n        mac: 02:00:00:00:00:01\n"
     "  - name: b\n    vf:\n      - index: 0\n        mac: 02:00:00:00:00:01\n", 9, "several VFs"),
]


class VirtualFunctions(programs.Outcomes):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.__exit__)

    def test_bad_command_lines(self):
        for arguments, sentence in BAD:
            with self.subTest(arguments=arguments):
                self.bad(run([IOLANE, *arguments]), USAGE, sentence)

    def test_wrong_files(self):
        path = f"{self.box.path}/vf.yaml"
        for text, line, sentence in WRONG:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            for verb in (["plan"], ["apply"], ["apply", "--boot"]):
                with self.subTest(text=text, verb=verb):
                    result = run([IOLANE, *verb, path])
                    self.bad(result, FAILED, sentence)
                    if line:
                        self.assertIn(f"{path}:{line}: ", result.stderr)

    def test_half_an_export(self):
        """A copy's settings can't be asked for, and what could be told is not told either."""
        tree = host_tree.intel(self.box.path + "/tree").path
        self.bad(run([IOLANE, "export", f"--root={tree}"]), FAILED, "no kernel to ask")

    def test_leased(self):
        """What somebody has leased is not taken; which is so of a copy's own leases."""
        tree = host_tree.intel(self.box.path + "/tree")
        bind = [IOLANE, "bind", f"--root={tree.path}", "--dry-run"]
        self.good(run([*bind, "eth3/vf1"]))
        tree.add("run/iolane/leases/0000:01:00.0,vf1", "vm7\nchange 3\n")
        self.bad(run([*bind, "0000:01:10.2"]), FAILED, "0000:01:00.0/vf1 stays as it is, as it is leased to vm7: "
                 "iolane release 0000:01:00.0/vf1 first")
        # It is VFIO's already.
        tree.add("run/iolane/leases/0000:01:00.0,vf0", "vm8\n")
        self.assertIn("nothing to do", self.good(run([*bind, "eth3/vf0"])))

    def test_help_and_manual_page(self):
        page = self.documented(VERBS)
        for verb in VERBS:
            self.assertIn("Cm " + " Cm ".join(verb), page)

    def test_completion(self):
        tree = f"--root={host_tree.intel(self.box.path + '/tree').path}"
        open(f"{self.box.path}/vf.yaml", "w", encoding="utf-8").close()
        file = f"{self.box.path}/vf.y"
        settings = "mac= vlan= qos= vlan_proto= spoofchk= trust= link= rate= rss_query= queues= interrupts= driver= label="
        lines = {
            "iolane vf c": "create",
            "iolane vf list --r": "--root=",
            f"iolane vf create {tree} e": "eth3",
            f"iolane vf stats {tree} ": "--help --json --root= 0000:01:00.0 eth3",
            f"iolane vf set {tree} e": "eth3/vf0 eth3/vf1",
            "iolane vf set eth3/vf1 vlan_p": "vlan_proto=",
            "iolane vf set eth3/vf1 ": "--dry-run --help --json --root= --verbose " + settings,
            "iolane vf set eth3/vf1 vlan=1 trust=": "on off",
            "iolane vf set eth3/vf1 link=d": "disable",
            "iolane vf set eth3/vf1 vlan_proto=802.1a": "802.1ad",
            "iolane vf set eth3/vf1 driver=v": "vfio-pci",
            "iolane apply --b": "--boot",
            f"iolane apply --boot {file}": f"{file}aml",
            f"iolane plan {file}": f"{file}aml",
            "iolane lease --f": "--for=",
            f"iolane lease {tree} e": "eth3",
            f"iolane release {tree} eth3/": "eth3/vf0 eth3/vf1",
        }
        self.assertEqual(programs.completions(lines), lines)

    def test_unit(self):
        """Before the network, and systemd finds nothing wrong with it."""
        text = programs.read_file(UNIT)
        unit = configparser.ConfigParser(interpolation=None)
        unit.optionxform = str
        unit.read_string(text)
        command, *arguments = unit["Service"]["ExecStart"].split()
        self.assertEqual((os.path.basename(command), arguments), ("iolane", ["apply", "--boot"]))
        self.assertIn("network-pre.target", unit["Unit"]["Before"].split())
        self.assertIn("network-pre.target", unit["Unit"]["Wants"].split())
        # What it must be ordered before may itself come before sysinit.target.
        self.assertEqual(unit["Unit"]["DefaultDependencies"], "no")
        self.assertIn(unit["Unit"]["ConditionPathExists"], self.good(run([IOLANE, "apply", "--help"])))
        if not shutil.which("systemd-analyze"):
            return
        # Neither the program nor its manual is installed.
        path = f"{self.box.path}/iolane-vf.service"
        lines = [line for line in text.replace(command, IOLANE).splitlines() if not line.startswith("Documentation=")]
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        result = run(["systemd-analyze", "verify", path])
        self.assertEqual((result.returncode, result.stderr), (0, ""))


if __name__ == "__main__":
    programs.main()
