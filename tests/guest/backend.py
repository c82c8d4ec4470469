# SPDX-License-Identifier: BSD-3-Clause
"""The backend processes under test, and the disks a guest sees of them."""

import os
import signal

import network
from basis import check, listening, wait_for

# QEMU's own backend can stand in for iolane-blk: when both fail a check, the check is at fault.
STAND_IN = "qemu-storage-daemon"
FLAGS = ("direct", "read_only", "client")
SETTINGS = ("serial", "block_size")


def option_name(option):
    return option.replace("_", "-")


class Backend:
    """A backend process that serves one image, on one socket or, for migration, on several.

    Options are iolane-blk's own with underscores: direct, read_only, client, serial, block_size,
    threads, control, engine. The process is started here, and again by start() after kill().
    """

    def __init__(self, lab, name, image, sockets=1, **options):
        self.lab = lab
        self.name = name
        self.image = image
        self.options = options
        self.sockets = [lab.path(f"{name}{i or ''}.sock") for i in range(sockets)]
        self.client = options.get("client", False)
        self.process = None
        self.start()

    def command(self):
        if self.lab.stand_in:
            return self.stand_in_command()
        words = [option_name(flag) for flag in FLAGS if self.options.get(flag)]
        words += [f"{option_name(s)}={self.options[s]}" for s in SETTINGS if s in self.options]
        command = [self.lab.backend_path]
        for option in ("threads", "control", "engine"):
            if option in self.options:
                command.append(f"--{option}={self.options[option]}")
        if len(self.sockets) == 1:
            command += [f"--socket-path={self.sockets[0]}", f"--blk-file={self.image}"]
            command += [f"--name={self.name}", "--num-queues=4", *(f"--{word}" for word in words)]
        else:
            for i, path in enumerate(self.sockets):
                own = [f"socket={path}", f"file={self.image}", f"name={self.name}-{i}"]
                command += ["--disk", ",".join([*own, "queues=4", *words])]
        return command

    def stand_in_command(self):
        direct = "on" if self.options.get("direct") else "off"
        read_only = self.options.get("read_only")
        return [
            self.lab.backend_path,
            "--blockdev",
            f"driver=file,node-name=f,filename={self.image},discard=unmap,locking=off,"
            f"cache.direct={direct},read-only={'on' if read_only else 'off'}",
            "--export",
            f"type=vhost-user-blk,id=e,node-name=f,addr.type=unix,addr.path={self.sockets[0]},"
            f"writable={'off' if read_only else 'on'},num-queues=4",
        ]

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
        return all(listening(path) for path in self.sockets)

    def kill(self, signal_number=signal.SIGKILL):
        return self.process.kill(signal_number)


def is_stand_in(path):
    return os.path.basename(path) in (STAND_IN, network.STAND_IN)


class Disk:
    """How a guest sees a backend: the properties of its vhost-user-blk-pci."""

    def __init__(self, backend, queues=4, socket=0, **properties):
        self.backend = backend
        self.name = backend.name
        self.socket = backend.sockets[socket]
        self.given = {"queues": queues, **properties}
        self.properties = {"num-queues": queues, **properties}
        self.num_queues = queues
        # Where the guest's machine has it, set by the guest.
        self.folder = None
        self.port = None

    def chardev(self):
        mode = {"server": True, "wait": False} if self.backend.client else {"server": False}
        return {"path": self.socket, **mode}
