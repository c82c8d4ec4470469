#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Uplinks of iolane-net: DPDK's tap, af_packet, af_xdp, pcap and null devices, with network namespaces at both ends. The
guest is testpmd, which passes on what comes between its virtio port and a tap in a namespace of its own, so that
the kernels' TCP and UDP talk through the switch."""

import itertools
import os
import shutil
import socket
import sys

import packets
import programs
import testpmd
from programs import NET, Outcomes, Sandbox, Steering, run, run_as_nobody, settled, started, until
from testpmd import Testpmd

PEER = f"{os.path.dirname(os.path.abspath(__file__))}/netns_peer.py"
MEGABYTE = 1 << 20
HOST, GUEST = "192.0.2.1", "192.0.2.2"
HOST6, GUEST6 = "2001:db8::1", "2001:db8::2"
# What a frame may be lost by where TCP sends as fast as it can.
CROWDED = {"no_buffers", "uplink_full"}


def ip(*words):
    result = run(["ip", *words])
    if result.returncode:
        raise AssertionError(f"ip {' '.join(words)}: {result.stderr}")
    return result.stdout


def missing():
    """Why these tests can't run here, if they can't."""
    if os.geteuid():
        return "only root makes network namespaces"
    if not shutil.which("ip"):
        return "ip is not installed (Debian package iproute2)"
    if not os.path.exists("/dev/net/tun"):
        return "the kernel has no /dev/net/tun"
    name = f"iolane-try-{os.getpid()}"
    result = run(["ip", "netns", "add", name])
    if result.returncode:
        return f"no network namespace can be made here: {result.stderr.strip()}"
    ip("netns", "del", name)
    return testpmd.missing()


class Namespace:
    """A network namespace; what is in it goes with it."""

    numbers = itertools.count()

    def __init__(self):
        self.name = f"iolane-{os.getpid()}-{next(self.numbers)}"
        ip("netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *words):
        return ip("-n", self.name, *words)

    def prefix(self):
        return ["ip", "netns", "exec", self.name]

    def run(self, *words):
        return run([*self.prefix(), *words])

    def set_up(self, interface, *addresses, mtu=1500):
        self.ip("link", "set", interface, "mtu", str(mtu), "up")
        for address in addresses:
            # An address that is looked for on the link first could not be used at once.
            self.ip("address", "add", address, "dev", interface,
                    *(["nodad"] if ":" in address else []))

    def delete(self):
        ip("netns", "del", self.name)


class Uplinks(Steering):
    group = "net"

    def setUp(self):
        super().setUp()
        self.host, self.guest = Namespace(), Namespace()
        self.addCleanup(self.host.delete)
        self.addCleanup(self.guest.delete)
        self.socket = f"{self.box.path}/s"
        # Names of interfaces are everybody's, until they are moved.
        self.interface = f"il{os.getpid()}u"

    def serve(self, *ports, options=(), **more):
        server = self.box.net(f"--control={self.path}", *options,
                              *(f"--port={port}" for port in ports), **more)
        self.steer(server)
        return server

    def port(self, name):
        return self.verb_json("stats", name)["ports"][0]

    def link(self, name):
        return [port["link"] for port in self.verb_json("list")["ports"] if port["name"] == name][0]

    def start_guest(self, commands=(), mode="io"):
        """A tap in the guest's namespace is the guest's NIC."""
        guest = Testpmd(self.box, "guest", [
            f"net_virtio_user0,path={self.socket},queue_size=1024,mrg_rxbuf=1",
            "net_tap0,iface=eth0",
        ], f"--forward-mode={mode}", "--rxd=1024", "--txd=1024", prefix=self.guest.prefix())
        self.addCleanup(guest.__exit__, None)
        for command in (*commands, "start"):
            guest.command(command)
        until("the guest's link", lambda: self.link("guest"))
        self.guest.set_up("eth0", f"{GUEST}/24", f"{GUEST6}/64")
        return guest

    def add_tap(self, *settings):
        """An uplink by a tap, which is moved to the host's namespace."""
        self.verb("add-port", ",".join([
            f"name=up,uplink=net_tap0,,iface={self.interface},,mac=02:00:00:00:00:0b", *settings]))
        ip("link", "set", self.interface, "netns", self.host.name)
        self.host.set_up(self.interface, f"{HOST}/24", f"{HOST6}/64")

    def peer(self, where, *words):
        result = run([*where.prefix(), sys.executable, PEER, *map(str, words)])
        self.assertEqual(result.returncode, 0, result.stderr)

    def listen(self, address):
        server = started([*self.host.prefix(), sys.executable, PEER, "serve", address])
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.assertEqual(server.stdout.readline(), "ready\n")
        return server

    def talk(self, address=HOST, size=64 * MEGABYTE):
        server = self.listen(address)
        # What a guest sent by itself while the uplink was made is not counted.
        before = {name: self.port(name)["drops"] for name in ("up", "guest")}
        self.peer(self.guest, "stream", address, size)
        self.assertEqual(server.stdout.readline(), "good\n")
        self.peer(self.guest, "datagrams", address, 20, 0)
        for name in ("up", "guest"):
            port = self.port(name)
            self.assertGreater(port["in_bytes"], size)
            self.assertGreater(port["out_bytes"], size)
            self.assertLessEqual({why for why, n in port["drops"].items() if n > before[name][why]},
                                 CROWDED | {"nowhere"})

    # ---- tap ----

    def test_tap(self):
        self.serve(f"socket={self.socket},name=guest")
        self.start_guest()
        self.add_tap()
        self.talk()

    def test_tap_ipv6(self):
        self.serve(f"socket={self.socket},name=guest")
        self.start_guest()
        self.add_tap()
        self.talk(HOST6, 8 * MEGABYTE)

    def test_tap_trunk(self):
        """The guest is in VLAN 5 and knows no tags; what goes to and from the host has them."""
        self.serve(f"socket={self.socket},name=guest,vlan=5")
        self.start_guest()
        self.add_tap("trunk=4-6")
        self.peer(self.host, "tagged", self.interface, 5, GUEST)
        learned = self.verb_json("addresses")
        self.assertIn(("up", 5), {(address["port"], address["vlan"]) for address in learned})
        # Of no other VLAN is there anybody, and of 7 the port takes nothing.
        self.peer(self.host, "untagged", self.interface, 6, GUEST)
        before = self.port("up")["drops"]["in_vlan"]
        self.peer(self.host, "untagged", self.interface, 7, GUEST)
        self.assertEqual(self.port("up")["drops"]["in_vlan"], before + 1)

    def wake(self, poll_us):
        self.serve(f"socket={self.socket},name=guest", options=[f"--poll-us={poll_us}"])
        self.start_guest()
        self.add_tap()
        self.listen(HOST)
        self.peer(self.guest, "datagrams", HOST, 200, 8)
        self.peer(self.guest, "datagrams", HOST, 2, 1500)
        thread, = self.verb_json("stats")["threads"]
        self.assertGreater(thread["sleeps"], 200)

    def test_tap_wakes(self):
        """A thread that sleeps is woken by each frame, as none is sent twice."""
        self.wake(0)

    def test_tap_wakes_after_polling(self):
        self.wake(100)

    def test_tap_segments(self):
        """The guest leaves checksums, and segments of IPv4 and IPv6, to who comes after it."""
        self.serve(f"socket={self.socket},name=guest")
        self.start_guest((
            "port stop all", "port config 0 tx_offload tcp_cksum on",
            "port config 0 tx_offload udp_cksum on", "port config 0 tx_offload tcp_tso on",
            "csum set tcp hw 0", "csum set udp hw 0",
            # Smaller than what the kernel sends, so that there is something to cut.
            "tso set 500 0", "csum mac-swap off 0", "csum mac-swap off 1", "port start all"), mode="csum")
        self.add_tap()
        for address in (HOST, HOST6):
            with self.subTest(address=address):
                before = self.port("up")
                self.talk(address, 4 * MEGABYTE)
                after = self.port("up")
                self.assertGreater(after["segmented"], before["segmented"] + 1000)

    def test_tap_large_segments(self):
        """Segments as large as the uplink's MTU allows, of a frame that is larger."""
        self.serve(f"socket={self.socket},name=guest")
        self.add_tap()
        content = bytes(i % 251 for i in range(8000))
        ends = packets.mac("02:00:00:00:00:0b"), packets.mac("02:00:00:00:00:01")
        hosts = [[socket.inet_pton(family, address) for address in (GUEST, HOST, GUEST6, HOST6)
                  if (family == socket.AF_INET6) == (":" in address)]
                 for family in (socket.AF_INET, socket.AF_INET6)]
        for kind, headers, most, packet in (
            (packets.IPV4, 54, 1460, packets.ipv4(*hosts[0], 6, packets.tcp(content))),
            (packets.IPV6, 74, 1440, packets.ipv6(*hosts[1], 6, packets.tcp(content))),
        ):
            with self.subTest(kind=hex(kind)):
                packets.write_pcap(f"{self.box.path}/in", [packets.ethernet(*ends, kind, packet)])
                server = started([*self.host.prefix(), sys.executable, PEER, "segments",
                                  self.interface, "6"])
                self.addCleanup(server.stdout.close)
                self.addCleanup(server.kill)
                self.assertEqual(server.stdout.readline(), "ready\n")
                # What the guest sends is in a file.
                with Testpmd(self.box, f"guest{kind}", [
                    f"net_virtio_user0,path={self.socket},queue_size=1024",
                    f"net_pcap1,rx_pcap={self.box.path}/in,tx_pcap={self.box.path}/out",
                ], "--forward-mode=csum") as guest:
                    for command in (
                        "port stop all", "port config 0 tx_offload tcp_cksum on",
                        "port config 0 tx_offload tcp_tso on",
                        "port config 0 tx_offload multi_segs on", "csum set tcp hw 0",
                        f"tso set {most} 0", "csum mac-swap off 0", "csum mac-swap off 1",
                        "port start all", "start",
                    ):
                        guest.command(command)
                    frames = [bytes.fromhex(server.stdout.readline()) for _ in range(6)]
                self.assertEqual(server.wait(), 0)
                self.assertEqual([len(frame) - headers for frame in frames],
                                 [most] * 5 + [len(content) - 5 * most])
                self.assertEqual(b"".join(frame[headers:] for frame in frames), content)
        self.assertEqual(self.port("up")["segmented"], 2)

    def test_tap_comes_and_goes(self):
        """What the guest sends is answered whenever there is an uplink, and nothing is left of those that went."""
        self.serve(f"socket={self.socket},name=guest")
        self.start_guest()

        def descriptors():
            return len(os.listdir(f"/proc/{self.server.pid}/fd"))
        known = None
        for turn in range(5):
            self.add_tap()
            if not turn:
                self.listen(HOST)
            self.peer(self.guest, "datagrams", HOST, 5, 0)
            self.verb("del-port", "up")
            self.assertNotIn(self.interface, self.host.ip("link"))
            # DPDK keeps some for the next.
            # The one of a command's connection may outlive the command a little.
            known = known or settled("descriptors", descriptors)
            until(f"{known} descriptors to be left", lambda: descriptors() == known)

    def test_tap_is_deleted(self):
        """By somebody else, while it is in use: others go on, and it can be taken away."""
        self.serve(f"socket={self.socket},name=guest")
        self.start_guest()
        self.add_tap()
        self.listen(HOST)
        self.peer(self.guest, "datagrams", HOST, 5, 0)
        self.host.ip("link", "del", self.interface)
        self.guest.run("busybox", "ping", "-c1", "-W1", HOST)
        self.assertFalse(self.link("up"))
        self.verb("del-port", "up")
        self.add_tap()
        self.peer(self.guest, "datagrams", HOST, 5, 0)

    # ---- interfaces that are there ----

    def veth(self):
        ip("link", "add", self.interface, "type", "veth", "peer", "name", "eth0", "netns",
           self.host.name)
        self.addCleanup(run, ["ip", "link", "del", self.interface])
        ip("link", "set", self.interface, "up")
        self.host.set_up("eth0", f"{HOST}/24", f"{HOST6}/64")
        # Checksums that a kernel leaves to hardware are not in the frames that DPDK's drivers get of a veth pair,
        # and they don't tell. There is no such hardware on the way here, so the kernel is to write them.
        self.peer(self.host, "checksums", "eth0")

    def test_af_packet(self):
        self.serve(f"socket={self.socket},name=guest")
        self.start_guest()
        self.veth()
        self.verb("add-port", f"name=up,uplink=net_af_packet0,,iface={self.interface}")
        self.assertTrue(self.link("up"))
        self.talk(size=16 * MEGABYTE)
        self.verb("del-port", "up")
        self.verb("add-port", f"name=up,uplink=net_af_packet0,,iface={self.interface}")
        self.peer(self.guest, "datagrams", HOST, 5, 0)

    def test_af_packet_goes(self):
        """The interface is deleted while it is in use."""
        self.serve(f"socket={self.socket},name=guest")
        self.start_guest()
        self.veth()
        self.verb("add-port", f"name=up,uplink=net_af_packet0,,iface={self.interface}")
        self.listen(HOST)
        self.peer(self.guest, "datagrams", HOST, 5, 0)
        ip("link", "del", self.interface)
        self.guest.run("busybox", "ping", "-c1", "-W1", HOST)
        self.verb("del-port", "up")
        self.add_tap()
        self.peer(self.guest, "tagged", "eth0", 0, HOST)

    def test_af_xdp(self):
        # The driver keeps what it got of libxdp.
        with open(f"{self.box.path}/leaks", "w", encoding="utf-8") as file:
            file.write("leak:xsk_umem__create\n")
        self.serve(f"socket={self.socket},name=guest", env=os.environ | {
            "LSAN_OPTIONS": f"suppressions={self.box.path}/leaks:print_suppressions=0"})
        self.start_guest()
        self.veth()
        result = run([programs.IOLANE, "net", "add-port", f"--control={self.path}",
                      f"name=up,uplink=net_af_xdp0,,iface={self.interface}"
                      ",,force_copy=1,,busy_budget=0"])
        if result.returncode:
            self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
            self.skipTest(f"no AF_XDP here: {result.stderr.strip()}")
        self.talk(size=16 * MEGABYTE)

    # ---- files, and nothing ----

    def test_files(self):
        """From one file to another, whatever is in between."""
        frames = [packets.ethernet(packets.mac("02:00:00:00:00:02"), packets.mac("02:00:00:00:00:01"),
                                   0x88b5, bytes((i + at) & 0xff for at in range(size)),
                                   vlan=i % 3 or None)
                  for i, size in zip(range(500), itertools.cycle([46, 47, 600, 1500, 4000, 8996]))]
        packets.write_pcap(f"{self.box.path}/in", frames)
        self.serve()
        self.verb("add-port", f"name=to,mtu=9000,uplink=net_pcap0,,tx_pcap={self.box.path}/out")
        self.verb("add-port", f"name=from,mtu=9000,uplink=net_pcap1,,rx_pcap={self.box.path}/in")
        until("all frames", lambda: self.port("to")["out_packets"] >= len(frames))
        self.assertEqual(self.port("from")["in_bytes"], sum(map(len, frames)))
        self.assertEqual(sum(self.port("from")["drops"].values()), 0)
        self.assertEqual(sum(self.port("to")["drops"].values()), 0)
        self.verb("del-port", "to")
        self.assertEqual(packets.read_pcap(f"{self.box.path}/out"), frames)

    def test_null(self):
        """It sends frames without end, and takes all; each is accounted for."""
        self.serve(f"socket={self.socket},name=guest")
        self.verb("add-port", "name=a,uplink=net_null0,,size=128")
        self.verb("add-port", "name=b,uplink=net_null1,,size=1500,,no-rx=1")
        until("frames", lambda: self.port("b")["out_packets"] > 100000)
        self.verb("del-port", "a")
        port = self.port("b")
        self.assertEqual(port["out_bytes"], 128 * port["out_packets"])
        self.assertEqual(port["in_packets"], 0)

    # ---- what can't be ----

    def test_refused(self):
        self.serve()
        self.verb("add-port", "name=null,uplink=net_null0")
        for settings, sentence in (
            ("uplink=net_nonsense0", "net_nonsense0"),
            ("uplink=net_null0,,size=64", "port null has the device"),
            ("uplink=net_null1,,nonsense=1", "net_null1"),
            # A device of another kind.
            ("uplink=crypto_null0", "is no network device"),
            ("uplink=net_af_packet0,,iface=il-nothing", "il-nothing"),
            ("uplink=net_af_packet0", "can't use uplink \"net_af_packet0\""),
            (f"uplink=net_pcap0,,rx_pcap={self.box.path}/none", "none"),
            ("uplink=net_tap0,,iface=a-name-that-is-too-long", "a-name-that-is-too-long"),
            ("mtu=9000,uplink=net_tap0", "takes at most 15"),
            ("uplink=0000:ff:1f.7", "there is no PCI device 0000:ff:1f.7"),
            ("uplink=ff:1f.7", "there is no PCI device 0000:ff:1f.7"),
        ):
            with self.subTest(settings=settings):
                self.assertIn(sentence, self.verb("add-port", f"name=up,{settings}", status=1))
        # None of that touched the other.
        before = self.port("null")["in_packets"]
        until("more frames", lambda: self.port("null")["in_packets"] > before)
        self.assertEqual([port["name"] for port in self.verb_json("list")["ports"]], ["null"])


class Alone(Outcomes):
    def refused(self, result, sentence):
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(sentence, result.stderr.splitlines()[-1])

    def test_a_device_that_another_driver_has(self):
        folder = "/sys/bus/pci/devices"
        for address in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            driver = os.path.basename(os.path.realpath(f"{folder}/{address}/driver"))
            if driver not in testpmd.OURS | {"driver"}:
                break
        else:
            self.skipTest("no PCI device here has a driver")
        with Sandbox() as box:
            self.refused(run([NET, f"--socket-path={box.path}/s", f"--uplink={address}"]),
                         f"{address} has the driver {driver}: bind it to vfio-pci")

    def test_who_may_not(self):
        with Sandbox() as box:
            os.chmod(box.path, 0o777)
            for device in ("net_tap0,iface=il-nobody", "net_af_packet0,iface=lo"):
                self.refused(
                    run_as_nobody(NET, f"--socket-path={box.path}/s", f"--uplink={device}"),
                    "it may need root, or CAP_NET_ADMIN and CAP_NET_RAW")


if __name__ == "__main__":
    why = missing()
    if why:
        print(f"not run: {why}")
        sys.exit(77)
    programs.main()
