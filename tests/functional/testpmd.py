# SPDX-License-Identifier: BSD-3-Clause
"""DPDK's testpmd with ports of its virtio driver (virtio-user), as a front end that is not ours."""

import os
import re
import shutil
import signal
import subprocess
import sys

from programs import SOON, until

TESTPMD = "dpdk-testpmd"
PROMPT = "testpmd> "
# Kernel drivers whose PCI devices DPDK can have.
OURS = {"vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core", "mlx5_core"}


def missing():
    """Why these tests can't run here, if they can't."""
    return None if shutil.which(TESTPMD) else f"{TESTPMD} is not installed (Debian package dpdk-dev)"


class Testpmd:
    """A testpmd that takes commands. It needs neither huge pages nor root for virtio-user ports."""

    def __init__(self, box, name, devices, *arguments, prefix=()):
        self.name = name
        self.path = f"{box.path}/{name}.log"
        with open(self.path, "wb") as log:
            # Each on any CPU, as tests run beside each other.
            cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
            self.process = subprocess.Popen(
                [*prefix, "stdbuf", "-oL", TESTPMD, f"--lcores=0@({cpus}),1@({cpus})", "--no-huge",
                 "--no-shconf", "--no-pci", "--no-telemetry", "-m", "256", "--log-level=error",
                 *(f"--vdev={device}" for device in devices), "--", "-i", "--nb-cores=1",
                 "--total-num-mbufs=8192", "--no-flush-rx", "--disable-link-check", *arguments],
                # A session of its own, so that what we start it through ends with it.
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        if error[0]:
            print(self.said()[-4000:], file=sys.stderr)

    def said(self):
        with open(self.path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_said(self, text, known=0):
        """Wait until it says something after what is known; where that begins, and all it said."""
        def says():
            said = self.said()
            if text in said[known:]:
                return said.index(text, known), said
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}: {said}")
            return None
        return until(f"{self.name} to say {text!r}", says)

    def send(self, command):
        """Have a command begin; where it begins in what it says, as it repeats the command."""
        self.wait_said(PROMPT)
        known = len(self.said())
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        return known

    def command(self, text):
        """Do something, and return what it said to that; events may be told anywhere."""
        begin, _ = self.wait_said(text, self.send(text))
        end, said = self.wait_said(PROMPT, begin)
        return said[begin:end]

    def stats(self, port=0):
        """Its own counters of a port, such as RX-packets."""
        said = self.command(f"show port stats {port}")
        return {name: int(n) for name, n in re.findall(r"([RT]X-[a-z]+): +(\d+)", said)}

    def extended(self, port=0):
        """The driver's counters of a port, such as rx_q0_good_packets."""
        said = self.command(f"show port xstats {port}")
        return {name: int(n) for name, n in re.findall(r"^(\w+): (\d+)$", said, re.MULTILINE)}

    def quit(self):
        self.send("quit")
        return self.process.wait(timeout=SOON)
