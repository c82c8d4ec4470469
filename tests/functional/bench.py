#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""iolane-bench as its users meet it: against iolane-blk, beside others and the raw file, on bad
input, interrupted, and with a back end that dies."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

import programs
from programs import BENCH, BLK, Outcomes, Sandbox, run, until

FAILED, USAGE = 1, 2
SHORT = ["--runtime=0.2", "--ramp=0.05"]
NULL = f"{BLK} --socket-path={{socket}} --blk-file=null:1G"


def bench(*arguments):
    return run([BENCH, "blk", *arguments])


class Bench(Outcomes):
    def check_run(self, measured):
        self.assertGreater(measured["iops"], 0)
        self.assertGreater(measured["mib_s"], 0)
        latency = measured["lat_us"]
        self.assertLessEqual(0, latency["p50"])
        self.assertLessEqual(latency["p50"], latency["p99"])
        self.assertLessEqual(latency["p99"], latency["p999"])
        self.assertLessEqual(latency["p999"], latency["max"])
        self.assertGreater(latency["mean"], 0)


class Single(Bench):
    def test_text_and_json(self):
        with Sandbox() as box:
            path = f"{box.path}/s"
            with box.blk(f"--socket-path={path}", f"--blk-file={box.image('i', 16 << 20)}",
                         "--num-queues=4") as backend:
                backend.wait_connect(path)
                text = self.good(bench(f"--socket={path}", "--histogram", "--idle=0.1", *SHORT))
                for word in ("IOPS", "latency", "back end", "idle", "resident", "|#"):
                    self.assertIn(word, text)
                # A file that is only named, and not warmed up, is described all the same.
                out = self.good(bench(f"--socket={path}", f"--blk-file={box.path}/i", "--json", *SHORT))
                self.assertNotIn("page_cache", json.loads(out)["manifest"]["image"])
                for rw in ("randread", "randwrite", "randrw", "read", "write"):
                    out = self.good(bench(f"--socket={path}", "--json", f"--rw={rw}", "--queues=4",
                                          "--iodepth=4", "--bs=8k", "--packed", *SHORT))
                    report = json.loads(out)
                    self.assertEqual(len(report["runs"]), 1)
                    self.check_run(report["runs"][0])
                    manifest = report["manifest"]
                    self.assertEqual(manifest["settings"]["rw"], rw)
                    self.assertEqual(manifest["settings"]["bs"], 8192)
                    self.assertTrue(manifest["settings"]["packed"])
                    for key in ("cpu", "cores", "kernel", "clocksource", "mitigations"):
                        self.assertIn(key, manifest["machine"])
                    self.assertIn(f"--rw={rw}", manifest["argv"])

    def test_idle_disks_of_one_process(self):
        with Sandbox() as box:
            paths = [f"{box.path}/s{number}" for number in range(3)]
            disks = [f"--disk=socket={path},file=null:1G" for path in paths]
            with box.blk(*disks) as backend:
                for path in paths:
                    backend.wait_connect(path)
                out = self.good(bench(*[f"--socket={path}" for path in paths], "--json",
                                      "--runtime=0", "--idle=0.2"))
                measured = json.loads(out)["runs"][0]
                self.assertGreaterEqual(measured["idle_cpu"], 0)
                self.assertGreater(measured["rss_kib"], 0)
                self.assertNotIn("iops", measured)

    def test_verify(self):
        with Sandbox() as box:
            path, image = f"{box.path}/s", box.image("i", 16 << 20)
            with box.blk(f"--socket-path={path}", f"--blk-file={image}",
                         "--num-queues=2") as backend:
                backend.wait_connect(path)
                for more in (["--rw=randrw"], ["--rw=randread", "--calls"],
                             ["--rw=randrw", "--packed", "--calls"], ["--rw=write", "--packed"]):
                    self.good(bench(f"--socket={path}", "--verify", "--queues=2", "--size=4M",
                                    *more, *SHORT))
            # A disk that keeps nothing is found out.
            with box.blk(f"--socket-path={path}", "--blk-file=null:16M") as backend:
                backend.wait_connect(path)
                self.bad(bench(f"--socket={path}", "--verify", *SHORT), FAILED,
                         "the data at byte")

    def test_interrupted(self):
        with Sandbox() as box:
            path = f"{box.path}/s"
            with box.blk(f"--socket-path={path}", "--blk-file=null:1G") as backend:
                backend.wait_connect(path)
                with programs.started([BENCH, "blk", f"--socket={path}", "--json", "--ramp=0",
                                       "--runtime=3600"]) as load:
                    until("the load to run", lambda: cpu_time(load.pid) > 0.3)
                    load.send_signal(signal.SIGINT)
                    out, _ = load.communicate(timeout=programs.SOON)
                    self.assertEqual(load.returncode, 0)
                measured = json.loads(out)["runs"][0]
                self.check_run(measured)
                self.assertGreater(measured["backend_cpu"], 0)
                self.assertGreater(measured["per_core"], measured["iops"] / 2)

    def test_a_back_end_that_dies(self):
        with Sandbox() as box:
            path = f"{box.path}/s"
            with box.blk(f"--socket-path={path}", "--blk-file=null:1G") as backend:
                backend.wait_connect(path)
                with subprocess.Popen([BENCH, "blk", f"--socket={path}", "--runtime=3600"],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      text=True) as load:
                    until("the load to run", lambda: cpu_time(load.pid) > 0.3)
                    backend.stop(signal.SIGKILL)
                    _, error = load.communicate(timeout=programs.SOON)
                    self.assertEqual(load.returncode, FAILED)
                    self.assertIn("the back end closed the connection", error)

    def test_what_the_disk_cannot_do(self):
        with Sandbox() as box:
            path = f"{box.path}/s"
            with box.blk(f"--socket-path={path}", f"--blk-file={box.image('i', 1 << 20)}",
                         "--read-only", "--num-queues=1") as backend:
                backend.wait_connect(path)
                self.bad(bench(f"--socket={path}", "--rw=randwrite"), FAILED, "read-only")
                self.bad(bench(f"--socket={path}", "--queues=2"), FAILED, "smaller --queues")
                self.bad(bench(f"--socket={path}", "--size=2M"), FAILED, "smaller --size")
                self.bad(bench(f"--socket={path}", "--bs=2M"), FAILED, "too few")


class Compare(Bench):
    def test_rounds(self):
        with Sandbox() as box:
            image = box.image("i", 4 << 20)
            out = self.good(bench(f"--compare={NULL}", f"--compare={NULL} --threads=2", "--rounds=3",
                                  "--raw", f"--blk-file={image}", "--json", *SHORT))
        report = json.loads(out)
        names = ["iolane-blk", "iolane-blk #2", "raw io_uring"]
        self.assertEqual([r["name"] for r in report["runs"]], 3 * names)
        self.assertEqual([r["round"] for r in report["runs"]], [1, 1, 1, 2, 2, 2, 3, 3, 3])
        for measured in report["runs"]:
            self.check_run(measured)
        self.assertGreater(report["runs"][0]["start_ms"], 0)
        ratio = report["ratio"]
        self.assertEqual(ratio["of"], names[:2])
        self.assertLessEqual(ratio["min"], ratio["median"])
        self.assertLessEqual(ratio["median"], ratio["max"])
        self.assertEqual(report["ratios"][1]["of"], [names[0], names[2]])
        self.assertIn("{socket}", report["manifest"]["commands"]["iolane-blk"])
        settings = report["manifest"]["settings"]
        self.assertTrue(settings["load_cpus"] and settings["backend_cpus"])
        self.assertIn(report["manifest"]["image"]["page_cache"], ("locked", "warmed"))

    def test_text(self):
        out = self.good(bench(f"--compare={NULL}", f"--compare={NULL}", "--rounds=2", *SHORT))
        self.assertRegex(out, r"A/B: median [0-9.]+, from [0-9.]+ to [0-9.]+")
        self.assertEqual(len(re.findall(r"^ +[12]  .* [0-9.]+$", out, re.M)), 2)

    def test_commands_that_do_not_work(self):
        self.bad(bench("--compare=true"), FAILED, "{socket}")
        self.bad(bench("--compare=/nonexistent/x {socket}"), FAILED, "cannot run /nonexistent/x")
        self.bad(bench(f"--compare={BLK} --socket-path={{socket}}"), FAILED, "has no image")
        self.bad(bench("--raw", "--blk-file=/nonexistent/file"), FAILED, "/nonexistent/file")

    def test_nothing_is_left_behind(self):
        with Sandbox() as box:
            self.good(run(["env", f"TMPDIR={box.path}", BENCH, "blk", f"--compare={NULL}",
                           "--rounds=1", *SHORT]))
            self.assertEqual(os.listdir(box.path), [])
            with programs.started(["env", f"TMPDIR={box.path}", BENCH, "blk", f"--compare={NULL}",
                                   "--runtime=3600"]) as load:
                until("the load to run", lambda: cpu_time(load.pid) > 0.2)
                load.send_signal(signal.SIGTERM)
                load.communicate(timeout=programs.SOON)
                self.assertEqual(load.returncode, FAILED)
            self.assertEqual(os.listdir(box.path), [])


# Programs that call KVM_RUN, on nothing, and say a word; the filter can't tell them from a VMM.
KVM_RUN = 0xAE80
STAND_IN = f"""import fcntl, sys, time
try:
    fcntl.ioctl(0, {KVM_RUN})
except OSError:
    print("the guest is up", flush=True)
time.sleep(int(sys.argv[1]))
"""


class Vmm(Outcomes):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.__exit__)
        with open(f"{self.box.path}/vmm", "w", encoding="ascii") as file:
            file.write(STAND_IN)

    def vmm(self, *arguments):
        return run([BENCH, "vmm", *arguments])

    def stand_in(self, seconds=1000):
        return f"--compare={sys.executable} -S {self.box.path}/vmm {seconds}"

    def test_rounds(self):
        report = json.loads(self.good(self.vmm(self.stand_in(), self.stand_in(), "--rounds=2",
                                               "--until=guest is up", "--json")))
        names = [os.path.basename(sys.executable)]
        names.append(f"{names[0]} #2")
        self.assertEqual([r["name"] for r in report["runs"]], 2 * names)
        self.assertEqual([r["round"] for r in report["runs"]], [1, 1, 2, 2])
        for measured in report["runs"]:
            self.assertGreater(measured["first_ms"], 0)
            self.assertGreater(measured["up_ms"], 0)
            self.assertGreater(measured["rss_kib"], 1000)
            self.assertEqual(measured["threads"], 1)
            self.assertNotIn("exits_s", measured)
        self.assertEqual(report["ratio"]["of"], names)
        self.assertEqual(len(report["ratio"]["rounds"]), 2)
        self.assertEqual(sorted(report["manifest"]["commands"]), names)
        # All of them have been killed.
        self.assertEqual(self.left(), [])

    def left(self):
        processes = [name for name in os.listdir("/proc") if name.isdigit()]
        return [pid for pid in processes if f"{self.box.path}/vmm" in self.command_line(pid).split("\0")]

    @staticmethod
    def command_line(pid):
        try:
            return programs.read_file(f"/proc/{pid}/cmdline")
        except OSError:
            return ""

    def test_text(self):
        out = self.good(self.vmm(self.stand_in(), self.stand_in(), "--rounds=1"))
        self.assertIn("first instruction, ms", out)
        self.assertRegex(out, r"A/B: median [0-9.]+, from [0-9.]+ to [0-9.]+")
        # Nobody asked until when.
        self.assertNotIn("threads", out)

    def test_what_does_not_come(self):
        self.bad(self.vmm("--compare=true"), FAILED, "the VMM ended before its guest's first instruction")
        self.bad(self.vmm(self.stand_in(), "--until=other", "--timeout=2"), FAILED,
                 "2 s went by without its guest's \"other\"")
        self.bad(self.vmm(self.stand_in(0), "--until=other"), FAILED, "it said: the guest is up")
        self.bad(self.vmm("--compare=/nonexistent/x"), FAILED, "cannot run /nonexistent/x")
        # It has no VM, and there may be no debugfs.
        self.bad(self.vmm(self.stand_in(), "--until=up", "--exits=1"), FAILED, "/sys/kernel/debug/kvm")

    def test_interrupted(self):
        with programs.started([BENCH, "vmm", self.stand_in(), "--until=other", "--timeout=3600"]) as bench_run:
            until("a VMM to run", self.left)
            bench_run.send_signal(signal.SIGINT)
            bench_run.communicate(timeout=programs.SOON)
            self.assertEqual(bench_run.returncode, FAILED)
        self.assertEqual(self.left(), [])

    def test_qemu_takes_the_command_lines(self):
        program = shutil.which("qemu-system-x86_64")
        if not program:
            self.skipTest("qemu-system-x86_64 is not installed")
        kernel = f"{self.box.path}/kernel"
        with open(kernel, "wb") as file:
            file.write(KERNEL)
        commands = json.loads(self.good(self.vmm("--against=qemu,microvm", f"--kernel={kernel}", "--memory=64M",
                                                 "--show-commands", "--json")))
        self.assertEqual(list(commands), ["iolane-vmm", "QEMU q35", "QEMU microvm"])
        for name in ("QEMU q35", "QEMU microvm"):
            # There may be no KVM here. The processor stands still.
            line = shlex.split(commands[name].replace("accel=kvm", "accel=tcg").replace("-cpu host", "-cpu max"))
            line += ["-S", "-qmp", f"unix:{self.box.path}/qmp,server=on,wait=off"]
            with self.box.backend(program, *line[1:]) as qemu, qemu.connect(f"{self.box.path}/qmp") as qmp:
                # Answered only by a machine that is complete.
                qmp.sendall(b'{"execute": "qmp_capabilities"} {"execute": "query-status"} {"execute": "quit"}')
                self.assertIn(b'"prelaunch"', programs.receive_all(qmp), qemu.log())
                self.assertEqual(qemu.wait(), 0)


# The least that QEMU takes for a Linux kernel: a header with its version, and a sector.
KERNEL = bytearray(4096)
KERNEL[0x1F1] = 1
KERNEL[0x1FE:0x200] = b"\x55\xaa"
KERNEL[0x202:0x206] = b"HdrS"
KERNEL[0x206:0x208] = (0x20C).to_bytes(2, "little")
KERNEL[0x211] = 1


class Usage(Bench):
    def test_bad_options(self):
        self.bad(bench(), USAGE, "--socket=PATH")
        self.bad(bench("--socket=/x", "--iodpth=3"), USAGE, "did you mean --iodepth?")
        self.bad(bench("--socket=/x", "--rw=maybe"), USAGE, "maybe")
        for arguments, part in (
                ([], "say which device"),
                (["a", "b"], "one device at a time: a, or b"),
                (["a", "--memry=2M"], "did you mean --memory?"),
                (["a", "--memory=3M"], "--memory must be a multiple of 2 MiB"),
                (["a", "--memory=0"], "--memory must be a multiple of 2 MiB"),
                (["a", "--context=noiommu"], "--context must be iommufd or type1"),
                (["a", "--rounds=0"], "--rounds must be from 1"),
                (["a", "--runtime=x"], "--runtime"),
                *([["a", f"--write={place}"], "--write must be a BAR from 0 to 5"]
                  for place in ("0", "6:0", "0:", "0:2", "0:4x", ":4", "x:4"))):
            self.bad(run([BENCH, "vfio", *arguments]), USAGE, part)
        # Devices of this machine, or of none.
        for name in ("0000:00:99.0", "a/b"):
            self.bad(run([BENCH, "vfio", name]), FAILED, name)
        self.bad(run([BENCH, "vmm"]), USAGE, "--against=qemu,microvm")
        self.bad(run([BENCH, "vmm", "--against=qemu", "--krnel=x"]), USAGE, "did you mean --kernel?")
        self.bad(run([BENCH, "blc"]), USAGE, "did you mean blk?")
        self.assertEqual(run([BENCH]).returncode, USAGE)

    def test_help_fits_a_screen(self):
        for arguments in ([BENCH, "--help"], [BENCH, "blk", "--help"], [BENCH, "net", "--help"],
                          [BENCH, "vfio", "--help"], [BENCH, "vmm", "--help"]):
            out = self.good(run(arguments)).splitlines()
            self.assertLessEqual(len(out), 40)
            self.assertLessEqual(max(map(len, out)), 90)
        self.assertRegex(self.good(run([BENCH, "--version"])), r"^iolane-bench \d+\.\d+\.\d+\n$")


class Words(Bench):
    def test_the_manual_page_names_every_option(self):
        documented = programs.documented_options("iolane-bench")
        for verb, least in (("blk", 20), ("net", 13), ("vfio", 7), ("vmm", 15)):
            told = self.good(run([BENCH, verb, "--help"])).split("Exit status")[0]
            options = set(re.findall(r"--[a-z][a-z-]+", told))
            self.assertGreater(len(options), least)
            self.assertEqual(options - documented, set())

    def test_completion(self):
        lines = {
            "iolane-bench b": "blk",
            "iolane-bench blk --iod": "--iodepth=",
            "iolane bench b": "blk",
            "iolane bench blk --verif": "--verify",
            "iolane bench blk --js": "--json",
            "iolane bench n": "net",
            "iolane-bench net --bur": "--burst=",
            "iolane-bench vf": "vfio",
            "iolane bench vf": "vfio",
            "iolane-bench vm": "vmm",
            "iolane bench vm": "vmm",
            "iolane-bench vmm --unt": "--until=",
            "iolane-bench vfio --mem": "--memory=",
            "iolane-bench vfio --context=t": "type1",
        }
        self.assertEqual(programs.completions(lines), lines)


def cpu_time(pid):
    """Seconds of CPU that a process has used, 0 while it is not there."""
    try:
        fields = programs.read_file(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    programs.main()
