#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""iolane-bench net as its users meet it: through the ports of DPDK's forwarder, on bad input, and with a
back end that takes packets and keeps them, or dies."""

import json
import shutil
import subprocess
import sys
import threading
import time

import programs
from programs import BENCH, SOON, Outcomes, Sandbox, run, until

TESTPMD = "dpdk-testpmd"
FAILED, USAGE = 1, 2
SHORT = ["--runtime=0.3", "--ramp=0.1"]
# For what never comes, however long is waited.
NEVER = ["--wait=0.3"]


def bench(*arguments):
    return run([BENCH, "net", *arguments])


class Forwarder:
    """testpmd with two vhost ports and one thread, which needs neither huge pages nor a NIC."""

    def __init__(self, box, mode, queues=1):
        self.ports = [f"{box.path}/v{i}" for i in range(2)]
        self.log = open(f"{box.path}/testpmd.log", "w+b")
        vdevs = [f"--vdev=net_vhost{i},iface={path},queues={queues}" for i, path in enumerate(self.ports)]
        # It ends when its input does, so that is a pipe that stays open.
        self.process = subprocess.Popen(
            ["stdbuf", "-oL", TESTPMD, "--lcores=0@0-1,1@0-1", "--no-huge", "--no-shconf", "--no-pci", "-m", "128",
             "--log-level=error", *vdevs, "--", "--nb-cores=1", f"--forward-mode={mode}",
             "--no-flush-rx", "--auto-start", "--disable-link-check", "--total-num-mbufs=8192",
             f"--rxq={queues}", f"--txq={queues}"],
            stdin=subprocess.PIPE, stdout=self.log, stderr=self.log)

    def __enter__(self):
        def forwards():
            if self.process.poll() is not None:
                raise AssertionError(f"testpmd ended with {self.process.returncode}: {self.said()}")
            return b"Press enter to exit" in self.said()
        until("testpmd to forward", forwards)
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        if error[0]:
            print(self.said()[-2000:].decode(errors="replace"), file=sys.stderr)
        self.log.close()

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def through(self):
        return [f"--tx={self.ports[0]}", f"--rx={self.ports[1]}"]


class Through(Outcomes):
    def test_text_and_json(self):
        loads = (
            ["--size=64"],
            ["--size=64", "--packed", "--burst=1"],
            ["--size=64", "--ring=32"],
            ["--size=imix", "--ring=256", "--packed"],
            ["--size=1514", "--no-event-idx"],
            ["--size=9000", "--mrg"],
            ["--size=9000", "--packed"],
            ["--size=imix", "--mrg", "--packed", "--burst=256"],
        )
        with Sandbox() as box, Forwarder(box, "io") as forwarder:
            text = self.good(bench(*forwarder.through(), "--histogram", *SHORT))
            for word in ("packets/s", "Gbit/s", "lost", "latency", "back end", "cycles a packet", "busy",
                         "resident", "|#"):
                self.assertIn(word, text)
            times = 0
            for load in loads:
                # Long enough for a time to come by, if the machine is not too busy.
                report = json.loads(self.good(bench(*forwarder.through(), "--json", *load, "--runtime=1",
                                                    "--ramp=0.2")))
                measured, = report["runs"]
                settings = report["manifest"]["settings"]
                size = {"imix": 64 * 7 + 590 * 4 + 1514}.get(settings["size"], settings["size"])
                frames = 12 if settings["size"] == "imix" else 1
                bits = measured["gbit_s"] * 1e9 / measured["pps"] / 8 / (size / frames)
                self.assertAlmostEqual(bits, 1, delta=0.05, msg=load)
                self.assertGreater(measured["backend_cpu"], 0)
                self.assertGreater(measured["cycles"], 0)
                self.assertGreater(measured["load_busy"], 0)
                self.assertLessEqual(measured["load_busy"], 1)
                self.assertLess(measured["loss"], 0.9)
                if "lat_us" in measured:
                    self.assertLessEqual(measured["lat_us"]["p50"], measured["lat_us"]["max"])
                    times += 1
            self.assertGreater(times, 0)

    def test_a_rate_is_kept(self):
        with Sandbox() as box, Forwarder(box, "io") as forwarder:
            for load in (["--rate=2k"], ["--rate=1k", "--size=4000", "--mrg"]):
                report = json.loads(self.good(bench(*forwarder.through(), "--json", *load,
                                                    "--runtime=1", "--ramp=0")))
                measured, = report["runs"]
                rate = report["manifest"]["settings"]["rate"]
                # A machine that is busy elsewhere falls behind; it never runs ahead.
                self.assertLessEqual(measured["pps"], rate * 1.01)
                self.assertGreater(measured["pps"], rate / 4)
                self.assertEqual(measured["loss"], 0)
                self.assertGreater(measured["lat_us"]["mean"], 0)
            # Counted until a packet moves, which at this rate is after half a second.
            report = json.loads(self.good(bench(*forwarder.through(), "--json", "--rate=2", "--runtime=0.1",
                                                "--ramp=0")))
            measured, = report["runs"]
            self.assertGreaterEqual(measured["seconds"], 0.5)
            self.assertGreater(measured["pps"], 0)

    def test_pairs(self):
        with Sandbox() as box, Forwarder(box, "io", queues=3) as forwarder:
            for load in (["--queues=3"], ["--queues=3", "--packed", "--size=imix"], ["--queues=2", "--rate=2k"]):
                report = json.loads(self.good(bench(*forwarder.through(), "--json", *load, *SHORT)))
                measured, = report["runs"]
                self.assertGreater(measured["pps"], 0)
                self.assertLess(measured["loss"], 0.9)
                self.assertEqual(report["manifest"]["settings"]["queues"], int(load[0].split("=")[1]))

    def test_one_end(self):
        with Sandbox() as box, Forwarder(box, "rxonly") as sink:
            for ring in ([], ["--packed"]):
                report = json.loads(self.good(bench(f"--tx={sink.ports[0]}", "--json", *ring, *SHORT)))
                self.one_end(report, True)
            self.bad(bench(f"--rx={sink.ports[0]}", *SHORT, *NEVER), FAILED, "not one packet came")
        with Sandbox() as box, Forwarder(box, "txonly") as source:
            for ring in ([], ["--packed"]):
                report = json.loads(self.good(bench(f"--rx={source.ports[1]}", "--json", *ring, *SHORT)))
                self.one_end(report, False)

    def one_end(self, report, sends):
        measured, = report["runs"]
        settings = report["manifest"]["settings"]
        self.assertEqual([settings["sends"], settings["receives"]], [sends, not sends])
        self.assertGreater(measured["pps"], 0)
        # Frames are of 64 bytes, ours and testpmd's.
        self.assertAlmostEqual(measured["gbit_s"] * 1e9 / measured["pps"] / 8, 64, delta=3)
        self.assertNotIn("loss", measured)
        self.assertNotIn("lat_us", measured)

    def test_the_rate_that_loses_little(self):
        with Sandbox() as box, Forwarder(box, "io") as forwarder:
            report = json.loads(self.good(bench(*forwarder.through(), "--json", "--max-loss=5",
                                                "--runtime=0.2", "--ramp=0.1")))
            measured, = report["runs"]
            self.assertLessEqual(measured["loss"], 0.05)
            self.assertGreater(measured["pps"], 0)
            self.assertEqual(report["manifest"]["settings"]["max_loss"], 0.05)


class LoadOnly(Outcomes):
    def test_all_comes_back(self):
        for load in (["--size=64"], ["--packed", "--burst=7"], ["--queues=3"],
                     ["--queues=2", "--packed", "--size=1518", "--burst=256"],
                     ["--size=9000", "--no-event-idx"], ["--rate=20k"]):
            report = json.loads(self.good(bench("--load-only", "--json", *load, "--runtime=1")))
            measured, = report["runs"]
            self.assertGreater(measured["pps"], 0)
            # A thread that is kept from its CPU may keep a burst for longer than is waited for it.
            self.assertLess(measured["loss"], 0.5)
            self.assertGreater(measured["load_busy"], 0)
            self.assertLessEqual(measured["load_busy"], 1)
            self.assertNotIn("backend_cpu", measured)
            size = report["manifest"]["settings"]["size"]
            self.assertAlmostEqual(measured["gbit_s"] * 1e9 / measured["pps"] / 8 / size, 1, delta=0.01)
        self.assertIn("busy", self.good(bench("--load-only", *SHORT)))


class Bad(Outcomes):
    def test_nothing_arrives(self):
        with Sandbox() as box, Forwarder(box, "rxonly") as forwarder:
            # In so long it takes one, on a busy machine, too.
            self.bad(bench(*forwarder.through(), *SHORT, "--wait=3"), FAILED, "not one of")

    def test_a_back_end_that_dies(self):
        with Sandbox() as box, Forwarder(box, "io") as forwarder:
            killer = threading.Timer(2, forwarder.process.kill)
            killer.start()
            began = time.monotonic()
            self.bad(bench(*forwarder.through(), "--runtime=100"), FAILED, "back end")
            killer.join()
            self.assertLess(time.monotonic() - began, SOON)

    def test_bad_options(self):
        for words, sentence in (
            ([], "--tx=PATH"),
            (["--load-only", "--against=testpmd"], "give one"),
            (["--load-only", "--tx=/x"], "give one"),
            (["--load-only", "--size=imix"], "--load-only"),
            (["--load-only", "--mrg"], "--load-only"),
            (["--against=testpmd", "--backend-pid=1"], "--backend-pid"),
            (["--against=testpmd", "--to-null", "--from-null"], "exclude"),
            (["--against=testpmd", "--to-null", "--zero-loss"], "both ends"),
            (["--against=testpmd", "--from-null", "--rate=1k"], "--rate"),
            (["--against=testpmd", "--from-null", "--size=1515"], "at most"),
            (["--against=testpmd", "--to-null", "--size=9000"], "at most"),
            (["--against=testpmd", "--from-null", "--size=imix"], "one size"),
            (["--tx=/x", "--to-null"], "only --tx"),
            (["--tx=/x", "--max-loss=1"], "both ends"),
            (["--tx=/x", "--queues=0"], "--queues"),
            (["--tx=/x", "--queues=65"], "--queues"),
            (["--compare=x", "--tx=/x"], "--compare"),
            (["--tx=/x", "--rx=/y", "--rounds=0"], "--rounds"),
            (["--tx=/x", "--rx=/x"], "different ports"),
            (["--tx=/x", "--rx=/y", "--size=63"], "--size"),
            (["--tx=/x", "--rx=/y", "--size=9001"], "--size"),
            (["--tx=/x", "--rx=/y", "--burst=0"], "--burst"),
            (["--tx=/x", "--rx=/y", "--burst=257"], "--burst"),
            (["--tx=/x", "--rx=/y", "--ring=16"], "--ring"),
            (["--tx=/x", "--rx=/y", "--ring=100"], "power of two"),
            (["--tx=/x", "--rx=/y", "--ring=64", "--burst=65"], "--burst=65"),
            (["--tx=/x", "--rx=/y", "--rate=0"], "--rate"),
            (["--tx=/x", "--rx=/y", "--rate=5G"], "--rate"),
            (["--tx=/x", "--rx=/y", "--runtime=0"], "--runtime=0"),
            (["--tx=/x", "--rx=/y", "--wait=x"], "--wait"),
            (["--tx=/x", "--rx=/y", "--zero-loss", "--rate=1k"], "--zero-loss"),
            (["--tx=/x", "--rx=/y", "--max-loss=101"], "--max-loss"),
            (["--tx=/x", "--rx=/y", "--pakced"], "did you mean --packed?"),
            (["--tx=/x", "--rx=/y", "word"], "word"),
        ):
            self.bad(bench(*words), USAGE, sentence)

    def test_a_disk_is_no_network(self):
        with Sandbox() as box:
            paths = [f"{box.path}/{i}" for i in range(2)]
            with box.blk(*(word for path in paths
                           for word in ("--disk", f"socket={path},file=null:1G"))) as backend:
                for path in paths:
                    backend.wait_connect(path)
                self.bad(bench(f"--tx={paths[0]}", f"--rx={paths[1]}", *SHORT, *NEVER), FAILED,
                         "took not one packet")


def main():
    if not shutil.which(TESTPMD):
        print(f"not run: {TESTPMD} is not installed (Debian package dpdk-dev)")
        sys.exit(77)
    programs.main()


if __name__ == "__main__":
    main()
