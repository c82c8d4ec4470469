#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""iolane-bench net with back ends that it starts itself, one beside the other."""

import json
import unittest

import programs
from bench_net import FAILED, SHORT, TESTPMD, bench, main
from programs import Outcomes


class Compared(Outcomes):
    def test_rounds(self):
        command = (f"{TESTPMD} --lcores=0@0-1,1@0-1 --no-huge --no-shconf --no-pci -m 128"
                   " --log-level=error --vdev=net_vhost0,iface={tx},queues=1"
                   " --vdev=net_vhost1,iface={rx},queues=1 -- --nb-cores=1 --forward-mode=io"
                   " --no-flush-rx --auto-start --disable-link-check --total-num-mbufs=4096"
                   # With input that is at its end it stays only if it has something to print.
                   " --stats-period=3600")
        words = [f"--compare={command}", f"--compare={command} --burst=64", "--rounds=2", *SHORT]
        report = json.loads(self.good(bench(*words, "--json")))
        self.assertEqual([run["name"] for run in report["runs"]],
                         ["dpdk-testpmd", "dpdk-testpmd #2"] * 2)
        for measured in report["runs"]:
            self.assertGreater(measured["pps"], 0)
            self.assertGreater(measured["start_ms"], 0)
        rates = [measured["pps"] for measured in report["runs"]]
        for got, a, b in zip(report["ratio"]["rounds"], rates[::2], rates[1::2], strict=True):
            self.assertAlmostEqual(got, a / b, delta=got / 100)
        self.assertIn("{rx}", report["manifest"]["commands"]["dpdk-testpmd"])
        text = self.good(bench(*words[1:2], "--rounds=1", *SHORT))
        for word in ("packets/s", "lost %"):
            self.assertIn(word, text)

    def test_commands_that_do_not_work(self):
        self.bad(bench("--compare=true {tx}"), FAILED, "{rx}")
        self.bad(bench("--compare=false {tx} {rx}"), FAILED, "ended before it listened")
        self.bad(bench("--compare=false {rx}", "--to-null"), FAILED, "{tx}")
        self.bad(bench("--against=ovs"), FAILED, "testpmd only")

    @unittest.skipUnless(programs.NET, "iolane-net is not built")
    def test_against(self):
        for words in ([], ["--packed", "--queues=2", "--size=1518"], ["--to-null"], ["--from-null", "--size=1514"]):
            report = json.loads(self.good(bench("--against=testpmd", "--rounds=1", "--json", *words, *SHORT)))
            self.assertEqual([run["name"] for run in report["runs"]], ["iolane-net", "dpdk-testpmd"])
            for measured in report["runs"]:
                self.assertGreater(measured["pps"], 0)
                self.assertGreater(measured["cycles"], 0)
                self.assertEqual("loss" in measured, "--to-null" not in words and "--from-null" not in words)
            a, b = (measured["pps"] for measured in report["runs"])
            self.assertAlmostEqual(report["ratio"]["median"] / (a / b), 1, delta=0.01)

    def test_null_uplinks(self):
        command = (f"{TESTPMD} --lcores=0@0-1,1@0-1 --no-huge --no-shconf --no-pci -m 128 --log-level=error"
                   " --vdev=net_vhost0,iface={%s} --vdev=net_null0,%s -- --nb-cores=1 --forward-mode=io"
                   " --no-flush-rx --auto-start --disable-link-check --total-num-mbufs=4096"
                   " --stats-period=3600")
        for words in ([f"--compare={command % ('tx', 'no-rx=1')}", "--to-null"],
                      [f"--compare={command % ('rx', 'size=200')}", "--from-null"]):
            report = json.loads(self.good(bench(*words, "--rounds=1", "--json", *SHORT)))
            measured, = report["runs"]
            self.assertGreater(measured["pps"], 0)
            self.assertGreater(measured["cycles"], 0)
            self.assertNotIn("loss", measured)
        text = self.good(bench(*words, "--rounds=1", *SHORT))
        self.assertIn("cycles", text)


if __name__ == "__main__":
    main()
