# SPDX-License-Identifier: BSD-3-Clause
"""A QEMU that runs our initramfs: its QMP socket, and the commands that the init in it takes.

Guests of our back ends and the machines of tests/lab/ both are such."""

import json
import os
import socket
import time

from basis import Failure, check, wait_for

# Bounds on waits, not expectations: a loaded machine may be many times slower than an idle one.
BOOT_SECONDS = 180
COMMAND_SECONDS = 180
# On one thread, because with one for each guest processor QEMU 10.0 now and then dies or hangs in
# boot on a busy machine ("iotlb_to_section: Assertion"; a processor whose timer never fires). The
# price: there x86's locked instructions are plain ones, so the guest's driver has no full barrier and
# now and then misses a kick, or a call misses it (seen with two programs that did nothing else,
# 50 times in a million; never with mfence or more threads). The backend looks again; see
# iol_ring_recall().
ACCELERATORS = {"tcg": "tcg,thread=single", "kvm": "kvm"}


def to_text(properties):
    """QEMU's option syntax for a set of properties."""
    words = {"True": "on", "False": "off"}
    return ",".join(f"{key}={words.get(str(v), v)}" for key, v in properties.items())


class Channel:
    """A unix socket read with a deadline, by line or by length."""

    def __init__(self, path, alive):
        self.socket = socket.socket(socket.AF_UNIX)
        self.alive = alive
        self.data = b""
        wait_for(f"{os.path.basename(path)} to listen", lambda: self.connect(path), 30)

    def connect(self, path):
        self.alive()
        try:
            self.socket.connect(path)
        except OSError:
            return False
        return True

    def send(self, data):
        try:
            self.socket.sendall(data)
        except ConnectionError:
            self.closed(data.decode(errors="replace").strip())

    def closed(self, what):
        """Says why, which is mostly that the other side has just ended."""
        time.sleep(0.1)
        self.alive()
        raise Failure(f"the guest's port was closed during: {what}")

    def more(self, end, what):
        self.alive()
        if time.monotonic() > end:
            raise Failure(f"no answer in time to: {what}")
        self.socket.settimeout(0.5)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self.closed(what)
        self.data += data

    def line(self, end, what):
        while b"\n" not in self.data:
            self.more(end, what)
        line, self.data = self.data.split(b"\n", 1)
        return line

    def take(self, length, end, what):
        while len(self.data) < length:
            self.more(end, what)
        taken, self.data = self.data[:length], self.data[length:]
        return taken


class Emulator:
    """What a QEMU can be asked; who derives from this starts it as self.process and connects."""

    def __init__(self, name):
        self.name = name
        self.next_id = 0
        self.events = []

    @staticmethod
    def channels(path):
        """QEMU's options for the sockets PATH.port and PATH.qmp: the second serial port, and QMP."""
        return [
            *("-chardev", f"socket,id=port,path={path}.port,server=on,wait=off"),
            *("-serial", "chardev:port"),
            *("-qmp", f"unix:{path}.qmp,server=on,wait=off"),
        ]

    def connect(self, path):
        self.qmp_channel = Channel(f"{path}.qmp", self.check_alive)
        self.qmp_channel.line(time.monotonic() + 30, "QMP's greeting")
        self.qmp("qmp_capabilities")
        self.port = Channel(f"{path}.port", self.check_alive)

    def check_alive(self):
        if not self.process.alive:
            raise Failure(f"QEMU {self.name} ended with {self.process.child.returncode}")

    def wait_ready(self):
        """Waits until the guest's init takes commands."""
        end = time.monotonic() + BOOT_SECONDS
        while not self.port.line(end, f"boot of {self.name}").endswith(b"@ready"):
            pass

    # QMP

    def qmp(self, command, **arguments):
        """One QMP command; gives its answer. Events that come meanwhile are kept."""
        request = {"execute": command, "arguments": arguments}
        self.qmp_channel.send(json.dumps(request).encode() + b"\n")
        end = time.monotonic() + 60
        while True:
            answer = json.loads(self.qmp_channel.line(end, command))
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise Failure(f"QMP {command}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def unplug(self, device, seconds=60):
        """Asks the guest to let a device go and waits until QEMU has removed it."""

        def gone():
            self.qmp("query-status")
            for event in self.events:
                if event["event"] == "DEVICE_DELETED" and event["data"].get("device") == device:
                    self.events.remove(event)
                    return True
            return False

        self.qmp("device_del", id=device)
        wait_for(f"{self.name} to let {device} go", gone, seconds)

    # Commands in the guest

    def run_bytes(self, command, seconds=COMMAND_SECONDS):
        """Runs a shell command of one line; gives (exit status, all that it printed)."""
        self.next_id += 1
        self.port.send(f"{self.next_id} {command}\n".encode())
        end = time.monotonic() + seconds
        prefix = f"@{self.next_id} "
        line = self.port.line(end, command).decode(errors="replace")
        check(line.startswith(prefix), f"{self.name} answered {line!r} to: {command}")
        status, length = line[len(prefix) :].split()
        return int(status), self.port.take(int(length), end, command)

    def run(self, command, seconds=COMMAND_SECONDS):
        """Runs a shell command; gives (exit status, output)."""
        status, output = self.run_bytes(command, seconds)
        return status, output.decode(errors="replace").strip()

    def sh(self, command, seconds=COMMAND_SECONDS):
        """Runs a shell command that must succeed; gives its output."""
        status, output = self.run(command, seconds)
        check(status == 0, f"in {self.name}: {command}\n  gave status {status}: {output}")
        return output

    def refuses(self, command):
        """Runs a shell command that must fail; gives its output."""
        status, output = self.run(command)
        check(status != 0, f"in {self.name}: {command}\n  worked, which it must not: {output}")
        return output
