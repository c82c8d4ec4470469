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

    def wait_prompt(self, known=0):
        """Wait until it says more than is known and asks for a command; what it said."""
        def asks():
            said = self.said()
            if len(said) > known and said.endswith(PROMPT):
                return said[known:]
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}: {said}")
            return None
        return until(f"{self.name} to take commands", asks)

    def command(self, text):
        """Do something, and return what it said to that."""
        self.wait_prompt()
        known = len(self.said())
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()
        # It repeats the command and may print a prompt before it is done.
        return self.wait_prompt(known + len(text) + 1)

    def stats(self, port=0):
        """Its own counters of a port, such as RX-packets."""
        said = self.command(f"show port stats {port}")
        return {name: int(n) for name, n in re.findall(r"([RT]X-[a-z]+): +(\d+)", said)}

    def extended(self, port=0):
        """The driver's counters of a port, such as rx_q0_good_packets."""
        said = self.command(f"show port xstats {port}")
        return {name: int(n) for name, n in re.findall(r"^(\w+): (\d+)$", said, re.MULTILINE)}

    def quit(self):
        self.wait_prompt()
        self.process.stdin.write(b"quit\n")
        self.process.stdin.flush()
        return self.process.wait(timeout=SOON)
