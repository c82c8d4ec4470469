#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""iolane-vmm's command line, help and manual; guests of it are tests/lab's."""

import os
import re
import unittest

import programs
from programs import IOLANE, VMM, Outcomes, Sandbox, run

FAILED, USAGE = 1, 2


class Vmm(Outcomes):
    def test_wrong_command_lines(self):
        for arguments, sentence in (
                ([], "give --kernel=FILE"),
                (["--kernel"], "--kernel=FILE"),
                (["vmlinux"], "name a kernel with --kernel"),
                (["--kernel=a", "--memory=1M"], "--memory must be at least 16M"),
                (["--kernel=a", "--memory=17M"], "steps of 2M"),
                (["--kernel=a", "--memory=much"], "--memory"),
                (["--kernel=a", "--cpus=0"], "--cpus must be from 1 to 254"),
                (["--kernel=a", "--cpus=255"], "--cpus must be from 1 to 254"),
                (["--kernel=a", "--blk=b", "--blk=b"], "b is given twice"),
                (["--kernel=a", *(f"--net={number}" for number in range(32))], "room for 31"),
                (["--kernel=a", "--hugepage"], "did you mean --hugepages?")):
            self.bad(run([VMM, *arguments]), USAGE, sentence)

    def test_files_that_are_none(self):
        with Sandbox() as box:
            empty = box.image("empty", 0)
            for arguments, sentence in (
                    (["--kernel=/nonexistent/vmlinux"], "/nonexistent/vmlinux: No such file"),
                    ([f"--kernel={box.path}"], "is not a file"),
                    ([f"--kernel={empty}"], "is empty"),
                    ([f"--kernel={VMM}", f"--initrd={empty}"], "initrd")):
                self.bad(run([VMM, *arguments]), FAILED, sentence)
                # It is all the same with nothing to talk to.
                self.assertEqual(run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", VMM, *arguments]).returncode, FAILED)

    def test_help_fits_a_screen(self):
        out = self.good(run([VMM, "--help"])).splitlines()
        beside = os.environ | {"PATH": f"{os.path.dirname(VMM)}:{os.environ['PATH']}"}
        self.assertLessEqual(len(out), 40)
        self.assertLessEqual(max(map(len, out)), 90)
        self.assertEqual(self.good(run([IOLANE, "vmm", "--help"], env=beside)).splitlines(), out)
        self.assertRegex(self.good(run([VMM, "--version"])), r"^iolane-vmm \d+\.\d+\.\d+\n$")

    def test_the_manual_page_names_every_option(self):
        told = set(re.findall(r"--[a-z][a-z-]+", self.good(run([VMM, "--help"]))))
        self.assertGreater(len(told), 12)
        self.assertEqual(told - programs.documented_options("iolane-vmm"), set())

    def test_completion(self):
        lines = {
            "iolane-vmm --mem": "--memory=",
            "iolane vmm --no": "--no-reboot",
            "iolane vmm --kernel=/dev/nul": "/dev/null",
        }
        self.assertEqual(programs.completions(lines), lines)


if __name__ == "__main__":
    unittest.main()
