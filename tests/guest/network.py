# SPDX-License-Identifier: BSD-3-Clause
"""The switch under test, its ports, and the NICs that guests see of them."""

import json
import os
import signal

from basis import check, listening, wait_for

# DPDK's own test program can stand in for iolane-net where only pairs of ports are needed (port n
# to port n+1): when both fail a check, the check is at fault.
STAND_IN = "dpdk-testpmd"


class Port:
    """A port of the switch. Settings are iolane-net's own: queues, vlan, trunk, mtu, offloads."""

    def __init__(self, switch, name, queues=1, **settings):
        self.switch = switch
        self.name = name
        self.queues = queues
        self.settings = settings
        self.socket = switch.lab.path(f"{name}.sock")

    def words(self):
        settings = {"socket": self.socket, "name": self.name, "queues": self.queues}
        return ",".join(f"{key}={value}" for key, value in {**settings, **self.settings}.items())


class Switch:
    """An iolane-net process. It is started by start(), and again after kill()."""

    client = False

    def __init__(self, lab, name="net", **options):
        self.lab = lab
        self.name = name
        self.options = options
        self.control = lab.path(f"{name}.control")
        self.ports = []
        self.process = None

    def port(self, name, **settings):
        """A port that start() will make; add_port() makes one at run time."""
        port = Port(self, name, **settings)
        self.ports.append(port)
        return port

    def command(self):
        if self.lab.stand_in:
            return self.stand_in_command()
        options = [f"--{key.replace('_', '-')}={value}" for key, value in self.options.items()]
        ports = [word for port in self.ports for word in ("--port", port.words())]
        return [self.lab.backend_path, f"--control={self.control}", *options, *ports]

    def stand_in_command(self):
        command = [self.lab.backend_path, "--lcores=0@(0-1),1@(0-1)", "--no-huge", "-m", "256"]
        command += ["--no-pci", "--no-shconf"]
        # It sets the number of queues for all.
        queues = max(port.queues for port in self.ports)
        for i, port in enumerate(self.ports):
            command += ["--vdev", f"net_vhost{i},iface={port.socket},queues={queues}"]
        command += ["--", "--nb-cores=1", "--forward-mode=io", "--auto-start"]
        command += ["--total-num-mbufs=16384", "--mbuf-size=9728"]
        return [*command, "--stats-period=60", f"--rxq={queues}", f"--txq={queues}"]

    def start(self):
        if self.lab.stand_in:
            # Its sockets stay behind when it is killed.
            for port in self.ports:
                if os.path.exists(port.socket):
                    os.unlink(port.socket)
        log = self.lab.path(f"{self.name}.log")
        self.process = self.lab.run(f"switch {self.name}", self.command(), log)
        wait_for(f"switch {self.name} to listen", self.ready)

    def ready(self):
        check(
            self.process.alive,
            f"switch {self.name} ended with {self.process.child.returncode} before it listened",
        )
        return all(listening(port.socket) for port in self.ports)

    def kill(self, signal_number=signal.SIGKILL):
        return self.process.kill(signal_number)

    def call(self, verb, *words):
        """iolane net VERB, with the answer's JSON."""
        text = self.lab.iolane("net", verb, *words, "--json", f"--control={self.control}")
        return json.loads(text)

    def add_port(self, name, **settings):
        port = Port(self, name, **settings)
        self.call("add-port", port.words())
        self.ports.append(port)
        return port

    def del_port(self, port, *options):
        self.call("del-port", port.name, *options)
        self.ports.remove(port)

    def connected(self, port):
        """Whether a front end has the port."""
        ports = self.call("list")["ports"]
        return next(entry["connected"] for entry in ports if entry["name"] == port.name)

    def stats(self, port):
        ports = self.call("stats", port.name)["ports"]
        return next(entry for entry in ports if entry["name"] == port.name)

    def addresses(self):
        """What the switch learned: which port each address is at, per VLAN."""
        return {(at["mac"], at["vlan"]): at["port"] for at in self.call("addresses")}


class Nic:
    """How a guest sees a port: a virtio-net-pci, and its addresses on the network of its number.

    Host numbers are the guests'. Properties are those of QEMU's device, with underscores."""

    def __init__(self, port, network, host, mtu=1500, **properties):
        self.port = port
        self.name = port.name
        # What the guest calls it, which a move to another port does not change.
        self.interface = port.name
        self.backend = port.switch
        self.given = (network, host, mtu)
        self.mtu = mtu
        self.mac = f"52:54:00:00:{network:02x}:{host:02x}"
        self.v4 = f"10.0.{network}.{host}"
        self.v6 = f"fd00:{network}::{host}"
        self.properties = properties
        # Queues of the device, with the control queue, which is QEMU's.
        self.num_queues = 2 * port.queues
        # Where the guest's machine has it, set by the guest.
        self.folder = None
        self.slot = None

    def moved(self, port):
        """The same NIC at another port, for the QEMU that a guest moves to."""
        nic = Nic(port, *self.given, **self.properties)
        nic.interface = self.interface
        return nic

    def netdev(self):
        return {"id": f"n-{self.name}", "chardev": f"c-{self.name}", "queues": self.port.queues}

    def device(self):
        device = {"id": f"d-{self.name}", "netdev": f"n-{self.name}", "mac": self.mac}
        if self.port.queues > 1:
            device |= {"mq": True, "vectors": 2 * self.port.queues + 2}
        return {**device, "romfile": "", **self.properties}

    def place(self, slot, on_port):
        """The guest's machine has it in a slot of its own, or behind a PCI Express port."""
        self.slot = slot
        self.folder = f"0000:00:1c.{slot}/0000:*" if on_port else f"0000:00:{slot:02x}.0"
        return {"bus": f"port{slot}"} if on_port else {"addr": f"{slot:x}.0"}

    def arguments(self, slot, on_port, reconnect):
        """What QEMU is told, as option, kind and properties of each part."""
        place = self.place(slot, on_port)
        chardev = {"id": f"c-{self.name}", "path": self.port.socket, **reconnect}
        return [
            ("-chardev", "socket", chardev),
            ("-netdev", "vhost-user", self.netdev()),
            ("-device", "virtio-net-pci", {**self.device(), **place}),
        ]
