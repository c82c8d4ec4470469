# SPDX-License-Identifier: BSD-3-Clause
"""What the guest tests share: backends, guests, their consoles and how everything is cleaned up.

A test is a function that takes a Lab. The lab starts backends and guests, waits for them with a
bound, and on every way out ends what it started and removes its folder. A guest boots in a few
seconds, so a test runs all it can in one boot.
"""

import argparse
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import initramfs
from initramfs import Missing

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# Bounds on waits, not expectations: a loaded machine may be many times slower than an idle one.
BOOT_SECONDS = 180
COMMAND_SECONDS = 180
# On one thread, because with one for each guest processor QEMU 10.0 now and then dies or hangs in
# boot on a busy machine ("iotlb_to_section: Assertion"; a processor whose timer never fires).
ACCELERATORS = {"tcg": "tcg,thread=single", "kvm": "kvm"}
STAND_IN = "qemu-storage-daemon"
# What the guest's kernel says when a disk or its driver is in trouble.
COMPLAINTS = (
    r"I/O error|is not a head|Call Trace|blocked for more than|Oops|BUG:|EXT4-fs error"
    r"|virtio.*(broken|timeout|failed)"
)


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
    """A child with its output in a log file."""

    def __init__(self, name, command, log):
        self.name = name
        self.log = log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=die_with_parent,
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
    """Whether some process listens on the socket; a file left over by a dead one does not count."""
    with open("/proc/net/unix") as table:
        for row in table:
            fields = row.split()
            if len(fields) == 8 and fields[7] == path and fields[3] == "00010000":
                return True
    return False


class Backend:
    """One backend process with one disk or, by extra arguments, several."""

    def __init__(self, lab, name, image, **options):
        self.lab = lab
        self.name = name
        self.image = image
        self.options = options
        self.socket = options.pop("socket", None) or lab.path(f"{name}.sock")
        self.client = options.get("client", False)
        self.process = None
        self.start()

    def command(self):
        options = self.options
        if self.lab.stand_in:
            file = f"driver=file,node-name=f,filename={self.image},discard=unmap,locking=off"
            direct = "on" if options.get("direct") else "off"
            read_only = options.get("read_only")
            return [
                self.lab.backend_path,
                "--blockdev",
                f"{file},cache.direct={direct},read-only={'on' if read_only else 'off'}",
                "--export",
                f"type=vhost-user-blk,id=e,node-name=f,addr.type=unix,addr.path={self.socket},"
                f"writable={'off' if read_only else 'on'},num-queues=4",
            ]
        command = [
            self.lab.backend_path,
            f"--socket-path={self.socket}",
            f"--blk-file={self.image}",
            f"--num-queues={options.get('queues', 4)}",
        ]
        for flag in ("direct", "read_only", "client"):
            if options.get(flag):
                command.append("--" + flag.replace("_", "-"))
        for option in ("serial", "threads", "block_size", "control"):
            if options.get(option):
                command.append(f"--{option.replace('_', '-')}={options[option]}")
        return command

    def start(self):
        log = self.lab.path(f"{self.name}.log")
        self.process = self.lab.run(f"backend {self.name}", self.command(), log)
        if not self.client:
            wait_for(f"backend {self.name} to listen", self.ready)

    def ready(self):
        check(
            self.process.alive,
            f"backend {self.name} ended with {self.process.child.returncode} before it listened",
        )
        return listening(self.socket)

    def kill(self, signal_number=signal.SIGKILL):
        return self.process.kill(signal_number)


class Disk:
    """How a guest sees a backend: the properties of its vhost-user-blk-pci."""

    def __init__(self, backend, queues=4, **properties):
        self.backend = backend
        self.name = backend.name
        self.given = {"queues": queues, **properties}
        self.properties = {"num-queues": queues, **properties}
        self.folder = None
        self.port = None

    def chardev(self):
        mode = {"server": True, "wait": False} if self.backend.client else {"server": False}
        return {"path": self.backend.socket, **mode}


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
        self.socket.sendall(data)

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
            time.sleep(0.1)
            self.alive()
            raise Failure(f"the guest's port was closed during: {what}")
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


class Guest:
    """A QEMU with the test's kernel; its init answers commands on the second serial port."""

    ports = 4

    def __init__(
        self,
        lab,
        name,
        disks,
        memory="512M",
        machine=(),
        append="",
        incoming=False,
        on_ports=False,
    ):
        self.lab = lab
        self.name = name
        self.disks = []
        self.requests = 0
        self.next_id = 0
        self.events = []
        self.console = lab.path(f"{name}.console")
        self.free_ports = list(range(self.ports))
        command = [
            lab.qemu,
            *("-M", "q35,memory-backend=mem", "-accel", ACCELERATORS[lab.accel]),
            *("-cpu", "host" if lab.accel == "kvm" else "max", "-smp", "4", "-m", memory),
            *("-object", f"memory-backend-memfd,id=mem,size={memory.split(',')[0]},share=on"),
            *("-nodefaults", "-no-user-config", "-display", "none"),
            *("-serial", f"file:{self.console}"),
            *("-chardev", f"socket,id=port,path={lab.path(name)}.port,server=on,wait=off"),
            *("-serial", "chardev:port"),
            *("-qmp", f"unix:{lab.path(name)}.qmp,server=on,wait=off"),
            *("-kernel", lab.kernel_image, "-initrd", lab.initramfs),
            *("-append", f"console=ttyS0 quiet panic=0 {append}"),
            *machine,
        ]
        for port in range(self.ports):
            place = f"chassis={port},addr=1c.{port},multifunction=on"
            command += ["-device", f"pcie-root-port,id=port{port},{place}"]
        for slot, disk in enumerate(disks, 0x10):
            chardev = {"id": f"c-{disk.name}", **disk.chardev(), **self.reconnect(disk)}
            device = {"id": f"d-{disk.name}", "chardev": f"c-{disk.name}", **disk.properties}
            # Only behind a port is a device PCI Express, which some features need.
            if on_ports:
                device["bus"] = self.take_port(disk)
            else:
                device["addr"] = f"{slot:x}.0"
                disk.folder = f"0000:00:{slot:02x}.0"
            command += ["-chardev", "socket," + to_text(chardev)]
            command += ["-device", f"vhost-user-blk-pci,{to_text(device)}"]
            self.disks.append(disk)
        if incoming:
            command += ["-incoming", "defer"]
        self.process = lab.run(f"QEMU {name}", command, lab.path(f"{name}.log"))
        lab.guests.append(self)
        self.qmp_channel = Channel(lab.path(f"{name}.qmp"), self.check_alive)
        self.qmp_channel.line(time.monotonic() + 30, "QMP's greeting")
        self.qmp("qmp_capabilities")
        self.port = Channel(lab.path(f"{name}.port"), self.check_alive)
        if not incoming:
            self.wait_ready()

    def reconnect(self, disk):
        if disk.backend.client:
            return {}
        return {"reconnect-ms": 200} if self.lab.qemu_version >= (9, 2) else {"reconnect": 1}

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

    def run(self, command, seconds=COMMAND_SECONDS):
        """Runs a shell command; gives (exit status, output)."""
        self.next_id += 1
        self.port.send(f"{self.next_id} {command}\n".encode())
        end = time.monotonic() + seconds
        prefix = f"@{self.next_id} "
        line = self.port.line(end, command).decode(errors="replace")
        check(line.startswith(prefix), f"{self.name} answered {line!r} to: {command}")
        status, length = line[len(prefix) :].split()
        output = self.port.take(int(length), end, command).decode(errors="replace")
        return int(status), output.strip()

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

    def device(self, disk):
        """The disk's name in the guest (vda), found by the PCI slot it was put in."""
        pattern = f"/sys/devices/pci0000:00/{disk.folder}/virtio*/block/*"
        if disk.folder.startswith("0000:00:1c"):
            pattern = pattern.replace("/virtio*", "/*/virtio*")

        def found():
            status, path = self.run(f"ls -d {pattern}")
            return os.path.basename(path) if status == 0 else None

        return wait_for(f"{disk.name} to show in {self.name}", found)

    def reboot(self):
        """The guest's own reboot; QEMU resets the machine and boots the same kernel."""
        self.port.send(b"0 reboot -f\n")
        self.wait_ready()

    def take_port(self, disk):
        disk.port = self.free_ports.pop()
        disk.folder = f"0000:00:1c.{disk.port}"
        return f"port{disk.port}"

    def add(self, disk):
        """Hot-plugs a disk into a free port."""
        port = self.take_port(disk)
        address = {"type": "unix", "data": {"path": disk.backend.socket}}
        backend = {"type": "socket", "data": {"addr": address, "server": False}}
        self.qmp("chardev-add", id=f"c-{disk.name}", backend=backend)
        device = {"id": f"d-{disk.name}", "chardev": f"c-{disk.name}", "bus": port}
        self.qmp("device_add", driver="vhost-user-blk-pci", **device, **disk.properties)
        self.disks.append(disk)

    def remove(self, disk):
        self.unplug(f"d-{disk.name}")
        self.qmp("chardev-remove", id=f"c-{disk.name}")
        self.free_ports.append(disk.port)
        self.disks.remove(disk)

    def check_dmesg(self):
        """The kernel must have had nothing to say against any disk."""
        status, output = self.run(f"dmesg | grep -E '{COMPLAINTS}'")
        check(status == 1, f"the kernel of {self.name} complained:\n{output}")

    def quit(self):
        """Ends QEMU in good order, as a VMM that shuts down does."""
        self.qmp_channel.send(b'{"execute": "quit"}\n')
        try:
            status = self.process.child.wait(60)
        except subprocess.TimeoutExpired as err:
            raise Failure(f"QEMU {self.name} hangs in quit") from err
        check(status == 0, f"QEMU {self.name} ended with {status}")
        self.lab.guests.remove(self)


class Lab:
    """One test's machines: finds what it needs, starts it, and ends and removes all of it."""

    def __init__(self, args):
        self.began = time.monotonic()
        self.guests = []
        self.processes = []
        self.accel = os.environ.get("IOLANE_GUEST_ACCEL", "tcg")
        if self.accel not in ACCELERATORS:
            raise Missing(f"IOLANE_GUEST_ACCEL is {self.accel}: it may be tcg or kvm")
        self.backend_path = args.backend or find_built(args.build, "iolane-blk")
        self.stand_in = os.path.basename(self.backend_path) == STAND_IN
        self.build = args.build
        self.qemu = shutil.which("qemu-system-x86_64")
        if not self.qemu:
            raise Missing("qemu-system-x86_64 is not installed")
        version = subprocess.check_output([self.qemu, "--version"], text=True)
        self.qemu_version = tuple(map(int, re.search(r"(\d+)\.(\d+)", version).groups()))
        guestio = find_built(args.build, "guestio")
        cache = os.path.join(args.build, "tests/guest/cache")
        kernel = args.kernel or fetch_kernel()
        self.kernel_image, self.initramfs = initramfs.build(kernel, guestio, cache)
        self.folder = tempfile.mkdtemp(prefix="iolane-guest-")

    def path(self, name):
        return os.path.join(self.folder, name)

    def step(self, sentence):
        print(f"[{time.monotonic() - self.began:6.1f} s] {sentence}", flush=True)

    def run(self, name, command, log):
        process = Process(name, command, log)
        self.processes.append(process)
        return process

    def image(self, name, size):
        """A sparse image of size bytes; an existing one gets that size."""
        path = self.path(f"{name}.img")
        with open(path, "ab") as image:
            image.truncate(size)
        return path

    def disk(self, name, size=64 << 20, properties=None, **options):
        """An image, its backend and a disk on it, all of one name."""
        backend = Backend(self, name, self.image(name, size), **options)
        return Disk(backend, **(properties or {}))

    def packed(self, **properties):
        """The properties of a disk with packed rings, which the stand-in has not."""
        return properties if self.stand_in else {"packed": True, **properties}

    def guest(self, name, disks, **options):
        return Guest(self, name, disks, **options)

    def check_direct(self):
        """Skips the test where the images' file system has no O_DIRECT (tmpfs before Linux 6.6)."""
        path = self.image("probe", 4096)
        try:
            os.close(os.open(path, os.O_RDWR | os.O_DIRECT))
        except OSError as err:
            reason = f"{self.folder} takes no O_DIRECT: set TMPDIR to a folder on a disk"
            raise Missing(reason) from err

    def finish(self):
        """The end of a test that went well: guests have no complaint, backends end when told."""
        for guest in list(self.guests):
            guest.check_dmesg()
            guest.quit()
        for process in self.processes:
            if process.alive:
                status = process.kill(signal.SIGTERM)
                check(status == 0, f"{process.name} ended with {status} on SIGTERM")

    def diagnose(self):
        """Everything that may tell why: the ends of all logs and consoles."""
        for name in sorted(os.listdir(self.folder)):
            if name.endswith((".log", ".console")):
                text = tail(self.path(name))
                if text.strip():
                    print(f"--- end of {name}\n{text.rstrip()}", flush=True)
        for process in self.processes:
            state = "runs" if process.alive else f"ended with {process.child.returncode}"
            print(f"--- {process.name} (pid {process.child.pid}) {state}", flush=True)

    def close(self):
        for process in self.processes:
            if process.alive:
                process.child.kill()
                process.child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def find_built(build, name):
    """A program in the build folder, wherever its meson.build puts it."""
    for folder, folders, files in os.walk(build):
        folders[:] = sorted(f for f in folders if not f.endswith(".p") and not f.startswith("."))
        path = os.path.join(folder, name)
        if name in files and os.access(path, os.X_OK):
            return path
    raise Missing(f"{name} is not built in {build}")


def fetch_kernel():
    """The folder of the unpacked kernel package, fetched by tools/fetch-kernel if need be."""
    command = os.path.join(ROOT, "tools/fetch-kernel")
    try:
        done = subprocess.run([command], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as err:
        reason = (getattr(err, "stderr", "") or str(err)).strip().split("\n")[-1]
        raise Missing(f"no guest kernel: {reason}") from err
    return done.stdout.strip().split("\n")[-1]


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="the build folder")
    parser.add_argument("--backend", help=f"another backend: a path to iolane-blk or {STAND_IN}")
    parser.add_argument("--kernel", help="folder of an unpacked kernel package")
    return parser


def on_signal(number, _):
    raise SystemExit(128 + number)


def run_in_lab(args, work):
    """Runs work(lab) and gives the exit status: 0 done, 1 failed, 77 when something is missing."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    lab = None
    try:
        lab = Lab(args)
        work(lab)
        return 0
    except Missing as err:
        print(f"skipped: {err}")
        return 77
    except Failure as err:
        print(f"\nFAILED: {err}")
        if lab:
            lab.diagnose()
        return 1
    finally:
        if lab:
            lab.close()


def main(test):
    """The main program of a test."""

    def work(lab):
        test(lab)
        lab.finish()
        lab.step("passed")

    description = sys.modules[test.__module__].__doc__
    sys.exit(run_in_lab(arguments(description).parse_args(), work))
