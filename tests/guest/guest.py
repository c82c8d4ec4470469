# SPDX-License-Identifier: BSD-3-Clause
"""A guest: QEMU, its QMP socket, and the commands its init takes on the second serial port."""

import os
import subprocess

from basis import Failure, check, wait_for
from emulator import ACCELERATORS, COMMAND_SECONDS, Emulator, to_text

# What the guest's kernel says when a disk or its driver is in trouble.
COMPLAINTS = (
    r"I/O error|is not a head|Call Trace|blocked for more than|Oops|BUG:|EXT4-fs error"
    r"|virtio.*(broken|timeout|failed)|NETDEV WATCHDOG|TX timeout|bad gso|hw csum failure"
)

# What to ask a guest whose test failed.
DIAGNOSES = (
    "echo w > /proc/sysrq-trigger; dmesg | grep task: | tail -n 40",
    "grep -o '.*[0-9]' /run/stress-*",
    "grep -E 'CPU|virtio|LOC' /proc/interrupts",
    "grep . /sys/block/vd*/inflight",
    "ifconfig -a; ip neigh; netstat -tan; grep Tcp: /proc/net/snmp",
)


class Guest(Emulator):
    """A QEMU with the test's kernel; its init answers commands on the second serial port.

    Without wait its boot goes on beside what the test does next, until wait_ready()."""

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
        nics=(),
        wait=True,
    ):
        super().__init__(name)
        self.lab = lab
        self.disks = []
        self.nics = list(nics)
        self.requests = 0
        self.console = lab.path(f"{name}.console")
        self.free_ports = list(range(self.ports))
        command = [
            lab.qemu,
            *("-M", "q35,memory-backend=mem", "-accel", ACCELERATORS[lab.accel]),
            *("-cpu", "host" if lab.accel == "kvm" else "max", "-smp", "4", "-m", memory),
            *("-object", f"memory-backend-memfd,id=mem,size={memory.split(',')[0]},share=on"),
            *("-nodefaults", "-no-user-config", "-display", "none"),
            *("-serial", f"file:{self.console}"),
            *self.channels(lab.path(name)),
            *("-kernel", lab.kernel_image, "-initrd", lab.initramfs),
            # An emulated timer that a busy machine holds up is no broken one, which the kernel would panic at.
            *("-append", f"console=ttyS0 quiet panic=0 no_timer_check {append}"),
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
        for slot, nic in enumerate(self.nics, 2):
            if on_ports:
                slot = self.free_ports.pop()
            for option, kind, properties in nic.arguments(slot, on_ports, self.reconnect(nic)):
                command += [option, f"{kind},{to_text(properties)}"]
        if incoming:
            command += ["-incoming", "defer"]
        self.process = lab.run(f"QEMU {name}", command, lab.path(f"{name}.log"))
        lab.guests.append(self)
        self.connect(lab.path(name))
        if wait and not incoming:
            self.wait_ready()

    def reconnect(self, device):
        if device.backend.client:
            return {}
        return {"reconnect-ms": 200} if self.lab.qemu_version >= (9, 2) else {"reconnect": 1}

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
        address = {"type": "unix", "data": {"path": disk.socket}}
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

    def add_nic(self, nic):
        """Hot-plugs a NIC into a free port."""
        place = nic.place(self.free_ports.pop(), True)
        address = {"type": "unix", "data": {"path": nic.port.socket}}
        backend = {"addr": address, "server": False, **self.reconnect(nic)}
        self.qmp("chardev-add", id=f"c-{nic.name}", backend={"type": "socket", "data": backend})
        self.qmp("netdev_add", type="vhost-user", **nic.netdev())
        self.qmp("device_add", driver="virtio-net-pci", **place, **nic.device())
        self.nics.append(nic)

    def remove_nic(self, nic):
        self.unplug(f"d-{nic.name}")
        # The chardev goes with it.
        self.qmp("netdev_del", id=f"n-{nic.name}")
        self.free_ports.append(nic.slot)
        self.nics.remove(nic)

    def migrate_to(self, target):
        """Moves what runs here to a QEMU that was started to take it."""
        uri = f"unix:{self.lab.path('migration')}"
        limits = {"max-bandwidth": 1 << 30, "downtime-limit": 5000}
        self.qmp("migrate-set-parameters", **limits)
        target.qmp("migrate-incoming", uri=uri)
        self.qmp("migrate", uri=uri)

        def completed():
            status = self.qmp("query-migrate")
            check(status["status"] != "failed", f"migration failed: {status.get('error-desc')}")
            return status["status"] == "completed"

        wait_for("the migration to complete", completed, 120)
        wait_for("the guest to run", lambda: target.qmp("query-status")["status"] == "running")

    def check_dmesg(self):
        """The kernel must have had nothing to say against any device."""
        status, output = self.run(f"dmesg | grep -E '{COMPLAINTS}'")
        check(status == 1, f"the kernel of {self.name} complained:\n{output}")

    def ring(self, device, queue):
        """A queue's indices as they stand in guest memory, with the events behind a split ring's."""
        query = {"path": device, "queue": queue}
        at = self.qmp("x-query-virtio-queue-status", **query)
        size = at["vring-num"]
        places = {
            "avail": at["vring-avail"],
            "used_event": at["vring-avail"] + 4 + 2 * size,
            "used": at["vring-used"],
            "avail_event": at["vring-used"] + 4 + 8 * size,
        }
        words = []
        for name, place in places.items():
            line = f"xp /2hx {place:#x}"
            words.append(f"{name} " + self.qmp("human-monitor-command", **{"command-line": line}))
        return " ".join(" ".join(words).split())

    def diagnose(self):
        """What QEMU and the guest's kernel know of the devices' queues, as far as they still answer."""

        def tell(what, question):
            try:
                answer = question()
            except Failure as err:
                answer = err
            print(f"--- {self.name}, {what}: {answer}", flush=True)

        tell("status", lambda: self.qmp("query-status"))
        for device in (*self.disks, *self.nics):
            path = f"/machine/peripheral/d-{device.name}/virtio-backend"
            for queue in range(device.num_queues):
                tell(f"{device.name} queue {queue}", lambda: self.ring(path, queue))
        for command in DIAGNOSES:
            tell(command, lambda: self.run(command, 10)[1])

    def quit(self):
        """Ends QEMU in good order, as a VMM that shuts down does."""
        self.qmp_channel.send(b'{"execute": "quit"}\n')
        try:
            status = self.process.child.wait(60)
        except subprocess.TimeoutExpired as err:
            raise Failure(f"QEMU {self.name} hangs in quit") from err
        check(status == 0, f"QEMU {self.name} ended with {status}")
        self.lab.guests.remove(self)
