#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""iolane-net with a front end that is not ours: the virtio driver of DPDK, in all its ways to use a ring. Its
testpmd answers pings, which come from a file and whose answers go to another, so that every byte is looked at."""

import itertools
import signal
import sys

import packets
import programs
import testpmd
from packets import ECHO_REPLY, ECHO_REQUEST
from programs import Steering, settled, until
from testpmd import Testpmd

PEER, GUEST = packets.mac("02:00:00:00:00:01"), packets.mac("02:00:00:00:00:02")
# No more than rings have places for, as the file is read faster than any guest works.
# The jumbo ones fit into the guest's ring all together: should it be held up, none is lost.
PINGS, JUMBO_PINGS = 400, 40
RING = 1024
JUMBO = ["--max-pkt-len=9018", "--enable-scatter", "--tx-offloads=0x8000"]


def address(i):
    return bytes((10, 0, i >> 8, i & 0xff))


def ping(i, size, request):
    """Number i of the pings, or the answer to it. Some are in a VLAN."""
    payload = bytes((i * 7 + at * (i | 1)) & 0xff for at in range(size))
    ends = (PEER, GUEST) if request else (GUEST, PEER)
    # By their addresses they are many flows.
    ip_ends = (address(i + 2), address(1)) if request else (address(1), address(i + 2))
    message = packets.echo(ECHO_REQUEST if request else ECHO_REPLY, 7, i, payload)
    return packets.ethernet(ends[1], ends[0], packets.IPV4, packets.ipv4(*ip_ends, 1, message),
                            vlan=5 if i % 8 == 7 else None)


def arp(i, request):
    if request:
        message = packets.arp(1, PEER, address(i), bytes(6), address(1))
        return packets.ethernet(b"\xff" * 6, PEER, packets.ARP, message)
    message = packets.arp(2, GUEST, address(1), PEER, address(i))
    return packets.ethernet(PEER, GUEST, packets.ARP, message)


class Foreign(Steering):
    group = "net"

    def setUp(self):
        super().setUp()
        self.socket = f"{self.box.path}/s"

    def device(self, i=0, path=None, **settings):
        settings = {"queue_size": RING, "mac": "02:00:00:00:00:02"} | settings
        return f"net_virtio_user{i},path={path or self.socket}," + ",".join(
            f"{key}={value}" for key, value in settings.items())

    def front_end(self, name, devices, *arguments):
        return Testpmd(self.box, name, devices, *arguments)

    def serve(self, *ports, mode="switch"):
        server = self.box.net(f"--control={self.path}", f"--mode={mode}",
                              *(f"--port={port}" for port in ports))
        self.steer(server)
        return server

    def port(self, name):
        stats, = [port for port in self.verb_json("stats")["ports"] if port["name"] == name]
        return stats

    def add_file(self):
        """What is in one file comes in, and what goes out is written to another."""
        self.verb("add-port", "name=file,mtu=9000,uplink=net_pcap0"
                  f",,rx_pcap={self.box.path}/in,,tx_pcap={self.box.path}/out")

    def drops(self, port):
        return {reason: n for reason, n in port["drops"].items() if n}

    def wait_link(self, name="guest"):
        until(f"port {name} to have a driver", lambda: [
            port for port in self.verb_json("list")["ports"]
            if port["name"] == name and port["link"]])

    def check_pings(self, guest, sizes, queues=1, lost=(), pings=PINGS):
        """Send pings of all the sizes; every answer must come, and every counter agree."""
        first = [arp(i, True) for i in range(2)], [arp(i, False) for i in range(2)]
        requests = [ping(i, size, True) for i, size in zip(range(pings), itertools.cycle(sizes))]
        replies = [ping(i, size, False) for i, size in zip(range(pings), itertools.cycle(sizes))]
        # What is too large for the guest's buffers does not come to it.
        delivered = [request for request in requests if len(request) not in lost]
        replies = first[1] + [reply for reply in replies if len(reply) not in lost]
        gone = len(requests) - len(delivered)
        requests, delivered = first[0] + requests, first[0] + delivered
        packets.write_pcap(f"{self.box.path}/in", requests)
        before, ours_before = guest.stats(), self.port("guest")
        self.add_file()
        until("all answers", lambda: self.port("file")["out_packets"] >= len(replies))
        file, ours, theirs = self.port("file"), self.port("guest"), guest.stats()
        # Closing it writes the file.
        self.verb("del-port", "file")
        got = packets.read_pcap(f"{self.box.path}/out")
        if queues > 1:
            got, replies = sorted(got), sorted(replies)
        self.assertEqual(len(got), len(replies))
        for one, other in zip(got, replies, strict=True):
            self.assertEqual(one.hex(), other.hex())

        def grown(after, was, name):
            return after[name] - was[name]
        self.assertEqual(file["in_packets"], len(requests))
        self.assertEqual(file["in_bytes"], sum(map(len, requests)))
        self.assertEqual(file["out_bytes"], sum(map(len, replies)))
        self.assertEqual(self.drops(file), {})
        self.assertEqual(grown(ours["drops"], ours_before["drops"], "small_buffer"), gone)
        self.assertEqual(sum(ours["drops"].values()) - sum(ours_before["drops"].values()), gone)
        for direction, theirs_is, frames in (("out", "RX", delivered), ("in", "TX", replies)):
            for what, n in (("packets", len(frames)), ("bytes", sum(map(len, frames)))):
                self.assertEqual(grown(ours, ours_before, f"{direction}_{what}"), n)
                self.assertEqual(grown(theirs, before, f"{theirs_is}-{what}"), n)
        for name in ("RX-missed", "RX-errors", "RX-nombuf", "TX-errors"):
            self.assertEqual(theirs[name], 0, name)
        if queues > 1:
            counts = guest.extended()
            for queue, direction in itertools.product(range(queues), "rt"):
                self.assertGreater(counts[f"{direction}x_q{queue}_good_packets"], 0)

    # ---- one guest ----

    def answer(self, sizes=(0, 1, 18, 56, 600, 1472), queues=1, lost=(), pings=PINGS, arguments=(),
               **settings):
        self.serve(f"socket={self.socket},name=guest,queues={queues}")
        guest = self.front_end("guest", [self.device(queues=queues, **settings)],
                               "--forward-mode=icmpecho", f"--rxq={queues}", f"--txq={queues}",
                               f"--rxd={RING}", f"--txd={RING}", *arguments)
        with guest:
            guest.command("start")
            self.wait_link()
            self.check_pings(guest, sizes, queues, lost, pings)
            self.assertEqual(guest.quit(), 0)
        until("the front end to go", lambda: not self.verb_json("list")["ports"][0]["connected"])

    def test_split(self):
        self.answer(packed_vq=0)

    def test_split_whole_buffers(self):
        """Without merged buffers, and with frames that fit in none."""
        self.answer(packed_vq=0, mrg_rxbuf=0, sizes=(56, 1472, 3000), lost=(3042, 3046))

    def test_split_out_of_order(self):
        self.answer(packed_vq=0, in_order=0, mrg_rxbuf=0)

    def test_split_out_of_order_merged(self):
        self.answer(packed_vq=0, in_order=0, mrg_rxbuf=1)

    def test_split_vector(self):
        """The driver's vector code, which looks at several used elements at once."""
        self.answer(packed_vq=0, in_order=0, mrg_rxbuf=0, vectorized=1)

    def test_packed(self):
        self.answer(packed_vq=1)

    def test_packed_whole_buffers(self):
        self.answer(packed_vq=1, mrg_rxbuf=0, sizes=(56, 1472, 3000), lost=(3042, 3046))

    def test_packed_out_of_order(self):
        self.answer(packed_vq=1, in_order=0, mrg_rxbuf=0)

    def test_packed_out_of_order_merged(self):
        self.answer(packed_vq=1, in_order=0, mrg_rxbuf=1)

    def test_packed_vector(self):
        self.answer(packed_vq=1, in_order=1, mrg_rxbuf=0, vectorized=1)

    def test_small_rings(self):
        """Rings that wrap often. The pings come at once, and so those past the ring are lost."""
        for packed in (0, 1):
            with self.subTest(packed=packed):
                self.wrap(packed)

    def wrap(self, packed):
        path = f"{self.box.path}/w{packed}"
        with self.box.net(f"--control={path}c", f"--socket-path={path}", "--name=guest") as server:
            self.path, kept = f"{path}c", self.path
            server.wait_connect(self.path)
            with self.front_end(f"wrap{packed}",
                              [self.device(path=path, packed_vq=packed, queue_size=32)],
                              "--forward-mode=icmpecho") as guest:
                guest.command("start")
                self.wait_link()
                for turn in range(20):
                    requests = [ping(turn * 20 + i, 64, True) for i in range(20)]
                    packets.write_pcap(f"{self.box.path}/in", requests)
                    self.add_file()
                    until("all answers", lambda: self.port("file")["out_packets"] >= 20)
                    self.verb("del-port", "file")
                    self.assertEqual(packets.read_pcap(f"{self.box.path}/out"),
                                     [ping(turn * 20 + i, 64, False) for i in range(20)])
                self.assertEqual(self.port("guest")["in_packets"], 400)
            self.assertEqual(server.stop(), 0)
            self.path = kept

    def jumbo(self, **settings):
        """Frames over several of the guest's buffers, and from several."""
        self.answer(mrg_rxbuf=1, pings=JUMBO_PINGS, **settings)

    def test_jumbo(self):
        self.jumbo(packed_vq=0, sizes=(56, 1472, 3000, 8900), arguments=JUMBO)

    def test_jumbo_packed(self):
        """The driver sends two to eight pieces by an indirect table, and in packed rings' marks the header there
        as writable, which the specification forbids (virtio 1.3, 2.8.19)."""
        self.jumbo(packed_vq=1, sizes=(56, 600, 3000, 6000, 8900), arguments=[*JUMBO, "--mbuf-size=1152"])

    def test_two_queue_pairs(self):
        self.answer(queues=2, packed_vq=0)

    def test_four_queue_pairs_packed(self):
        self.answer(queues=4, packed_vq=1)

    # ---- the other way round ----

    def come_back(self, **settings):
        """The front end listens; the back end is killed, and another goes on with the same rings."""
        guest = self.front_end("guest", [self.device(server=1, **settings)],
                               "--forward-mode=icmpecho", f"--rxd={RING}", f"--txd={RING}")
        with guest:
            for turn in range(4):
                with self.box.net(f"--control={self.path}",
                                  f"--port=socket={self.socket},name=guest,client=on") as server:
                    server.wait_connect(self.path)
                    if not turn:
                        guest.command("start")
                    self.wait_link()
                    self.check_pings(guest, (56, 600, 1472))
                    if turn < 3:
                        server.stop(signal.SIGKILL)
                    else:
                        # It would die of SIGPIPE at a back end that has just gone.
                        self.assertEqual(guest.quit(), 0)

    def test_killed_split(self):
        self.come_back(packed_vq=0)

    def test_killed_packed(self):
        self.come_back(packed_vq=1)

    # ---- guest to guest ----

    def test_between_guests(self):
        """A split and a packed port, patched: what one sent the other got, but for what it had no room for."""
        paths = [f"{self.box.path}/{i}" for i in range(2)]
        self.serve(*(f"socket={path},name=port{i}" for i, path in enumerate(paths)), mode="patch")
        both = self.front_end("both", [
            self.device(0, paths[0], packed_vq=0), self.device(1, paths[1], packed_vq=1, mrg_rxbuf=0),
        ], "--forward-mode=rxonly")

        def counters():
            return [self.port(f"port{i}") for i in range(2)], [both.stats(i) for i in range(2)]

        def check():
            ours, theirs = settled("what was counted", counters)
            for i in range(2):
                for what in ("packets", "bytes"):
                    self.assertGreater(theirs[i][f"TX-{what}"], 0)
                    self.assertEqual(theirs[i][f"TX-{what}"], ours[i][f"in_{what}"])
                    self.assertEqual(theirs[i][f"RX-{what}"], ours[i][f"out_{what}"])
                dropped = self.drops(ours[i])
                self.assertLessEqual(dropped.keys(), {"no_buffers"})
                self.assertEqual(ours[1 - i]["in_packets"],
                                 ours[i]["out_packets"] + dropped.get("no_buffers", 0))
                self.assertEqual(theirs[i]["RX-nombuf"], 0)
            return ours

        with both:
            self.wait_link("port0")
            self.wait_link("port1")
            both.command("start tx_first 100")
            check()
            both.command("stop")
            # Round and round for a while, then what is on its way is let in.
            both.command("set fwd io")
            both.command("start tx_first 8")
            until("frames to go round",
                  lambda: min(self.port(f"port{i}")["in_packets"] for i in range(2)) > 50000)
            both.command("stop")
            both.command("set fwd rxonly")
            both.command("start")
            check()
            both.command("stop")
            self.assertEqual(both.quit(), 0)


if __name__ == "__main__":
    why = testpmd.missing()
    if why:
        print(f"not run: {why}")
        sys.exit(77)
    programs.main()
