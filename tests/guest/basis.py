# SPDX-License-Identifier: BSD-3-Clause
"""The ground the guest tests stand on: failures, bounded waits and child processes."""

import ctypes
import signal
import socket
import subprocess
import time


class Missing(Exception):
    """Something this machine lacks: the tests skip and say this sentence."""


class Failure(Exception):
    """Something the test checks is not so."""


def check(condition, sentence):
    if not condition:
        raise Failure(sentence)


def wait_for(what, condition, seconds=60.0):
    """Polls until condition() gives something true, and gives that back."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.05)


def tail(path, lines=40):
    try:
        with open(path, errors="replace") as log:
            return "".join(log.readlines()[-lines:])
    except OSError:
        return ""


def die_with_parent():
    """In the child: end when the test does, even when it is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Process:
    """A child with its output in a log file, or on our terminal."""

    def __init__(self, name, command, log, terminal=False):
        self.name = name
        self.log = log
        with open(log, "ab") as out:
            streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out}
            self.child = subprocess.Popen(
                command, preexec_fn=die_with_parent, **({} if terminal else streams)
            )

    @property
    def alive(self):
        return self.child.poll() is None

    def kill(self, signal_number=signal.SIGKILL, seconds=30):
        if self.alive:
            self.child.send_signal(signal_number)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired as err:
            self.child.kill()
            self.child.wait()
            raise Failure(f"{self.name} did not end within {seconds} s of the signal") from err


def listening(path):
    """Whether some process listens on the socket; a file left over by a dead one does not count.

    By a connection, as a socket's name in the kernel need not be its file's. It is a front end that
    goes at once."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            return True  # it has callers enough
        except OSError:
            return False
    return True
