#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The control socket of iolane-net, with the verbs of "iolane net": ports that come and go while others
work, what is shown of them, and requests that are refused."""

import contextlib
import json
import os
import re
import socket
import unittest

import programs
from programs import IOLANE, NET, Sandbox, receive_all, run

FAILED, USAGE = 1, 2

MAC = "52:54:00:12:34:56"
DROPS = ["bad_header", "runt", "in_too_big", "in_vlan", "spoof_mac", "spoof_ip", "storm", "same_port",
         "nowhere", "no_memory", "not_running", "no_buffers", "small_buffer", "out_too_big",
         "not_segmentable", "uplink_full"]


class Control(programs.Steering):
    """An iolane-net with two guests' ports, a and b."""

    group = "net"

    def setUp(self):
        super().setUp()
        self.net = self.box.net(f"--control={self.path}", "--lcores=0",
                                *(f"--port=name={name},socket={self.box.path}/{name}"
                                  for name in "ab"))
        self.steer(self.net)

    def ports(self):
        return {port["name"]: port for port in self.verb_json("list")["ports"]}

    def port_stats(self, name):
        return self.verb_json("stats", name)["ports"][0]

    def load(self, *arguments):
        """Packets from a to b, until it is ended."""
        return programs.started([programs.BENCH, "net", f"--tx={self.box.path}/a",
                                 f"--rx={self.box.path}/b", "--ramp=0", "--runtime=60", *arguments])

    def assert_served(self):
        self.net.check_alive()
        self.assertLessEqual({"a", "b"}, set(self.ports()))


class Verbs(Control):
    def test_list(self):
        listed = self.verb_json("list")
        self.assertEqual(sorted(listed), ["hugepages", "mode", "ports", "threads"])
        self.assertEqual(listed["mode"], "switch")
        self.assertIn(listed["hugepages"], (True, False))
        self.assertEqual(listed["threads"], [{"index": 0, "cpu": 0, "queues": 0}])
        self.assertEqual(listed["ports"][0], {
            "name": "a", "kind": "guest", "socket": f"{self.box.path}/a", "client": False,
            "connected": False, "mac": None, "queues": 64, "threads": [], "antispoof": "off",
            "offloads": True, "link": False, "mtu": 65535, "vlan": 0, "trunk": "all", "storm": 0})
        ports, threads = self.verb("list").split("\n\n")
        head, row, _ = ports.splitlines()
        self.assertEqual(head.split(), "NAME KIND LINK MAC VLAN TRUNK MTU PAIRS THREADS FRONT END "
                                       "SOCKET OR DEVICE".split())
        self.assertEqual(row.split(), ["a", "guest", "down", "-", "0", "all", "65535", "0", "of",
                                       "64", "-", "none", f"{self.box.path}/a"])
        self.assertEqual([line.split() for line in threads.splitlines()],
                         [["THREAD", "CPU", "QUEUES"], ["0", "0", "0"]])

    def test_every_setting_is_shown(self):
        said = self.verb("add-port", f"name=e,socket=e,queues=2,mac={MAC},mtu=1400,vlan=5,"
                         "trunk=7+3-4+4094,antispoof=ip,ip=192.0.2.7,storm=9,offloads=off",
                         cwd=self.box.path)
        # A relative path is the client's.
        self.assertEqual(said, f"e serves a guest on {self.box.path}/e\n")
        self.assertEqual(self.ports()["e"], {
            "name": "e", "kind": "guest", "socket": f"{self.box.path}/e", "client": False,
            "connected": False, "mac": MAC, "queues": 2, "threads": [], "antispoof": "ip",
            "ip": "192.0.2.7", "offloads": False, "link": False, "mtu": 1400, "vlan": 5,
            "trunk": "3-4+7+4094", "storm": 9})
        # A VLAN alone makes an access port, and no VLAN one that has them all.
        self.verb("add-port", f"name=d,socket={self.box.path}/d,vlan=5")
        self.assertEqual((self.ports()["d"]["vlan"], self.ports()["d"]["trunk"]), (5, ""))
        self.assertEqual(self.verb("list").splitlines()[4].split()[3:6], ["-", "5", "-"])

    def test_add_and_del(self):
        self.assertEqual(self.verb("add-port", f"socket={self.box.path}/x"),
                         f"port0 serves a guest on {self.box.path}/x\n")
        programs.get_features(self.net.connect(f"{self.box.path}/x"))
        self.assertEqual(self.verb_json("add-port", f"socket={self.box.path}/y")["name"], "port1")
        self.assertEqual(list(self.ports()), ["a", "b", "port0", "port1"])
        self.assertEqual(self.verb("del-port", "port0", "--force"), "port0 is taken away\n")
        self.assertFalse(os.path.exists(f"{self.box.path}/x"))
        # Free names are used again, and the last port may go.
        self.assertEqual(self.verb_json("add-port", f"socket={self.box.path}/x")["name"], "port0")
        for name in ("a", "b", "port1", "port0"):
            self.assertEqual(self.verb_json("del-port", name)["name"], name)
        listed = self.verb_json("list")
        self.assertEqual((listed["ports"], len(listed["threads"])), ([], 1))
        self.assertEqual(self.verb("list").splitlines()[0], "no ports")
        self.assertEqual(self.verb("stats").splitlines()[0], "no ports")
        self.net.check_alive()

    def test_uplinks_come_and_go(self):
        said = self.verb("add-port", "uplink=net_null0,,size=64,name=up,vlan=7,mtu=1400,storm=3")
        self.assertEqual(said, "up is the uplink net_null0,size=64\n")
        port = self.ports()["up"]
        self.assertEqual(port, {
            "name": "up", "kind": "uplink", "uplink": "net_null0,size=64", "threads": [0],
            "link": True, "mtu": 1400, "vlan": 7, "trunk": "", "storm": 3})
        self.assertEqual(self.verb("list").splitlines()[3].split(),
                         ["up", "uplink", "up", "-", "7", "-", "1400", "-", "0", "-",
                          "net_null0,size=64"])
        self.assertEqual(self.verb_json("list")["threads"][0]["queues"], 1)
        self.assertEqual(self.verb_json("add-port", "uplink=net_null1")["name"], "net_null1")
        for name in ("up", "net_null1"):
            self.verb("del-port", name)
        self.assertEqual(self.verb_json("list")["threads"][0]["queues"], 0)
        # The device can be had again.
        self.verb("add-port", "uplink=net_null0")
        self.assert_served()

    def test_add_refuses(self):
        d = self.box.path
        self.verb("add-port", f"name=m,socket={d}/m,mac={MAC}")
        self.verb("add-port", "uplink=net_null0")
        for settings, status, sentence in (
                ("mac=" + MAC, FAILED, "the port has no socket: add socket=PATH"),
                ("socket=x,queus=2", FAILED, "did you mean queues?"),
                ("socket=x,queues=65", FAILED, "queues must be from 1 to 64"),
                ("socket=x,vlan=4095", FAILED, "vlan must be from 0 to 4094"),
                ("socket=x,antispoof=mac", FAILED, "add mac=ADDRESS"),
                ("socket=no/x", FAILED, f"{d}/no/x"),
                ("socket", FAILED, "socket needs a value: socket=PATH"),
                ("socket=a", FAILED, "port a has the socket"),
                ("name=a,socket=x", FAILED, "there is a port a already"),
                (f"socket=x,mac={MAC}", FAILED, "port m has the address"),
                ("fd=3", FAILED, "fd cannot be given here"),
                ("uplink=net_null0", FAILED, "there is a port net_null0 already"),
                ("uplink=net_null0,name=other", FAILED, "net_null0"),
                ("uplink=net_nothing0", FAILED, "net_nothing0"),
                ("uplink=net_null1,socket=x", FAILED, "socket is for a guest's port"),
                ("socket=x,socket=y", USAGE, "socket is given twice"),
                ("socket=x,=b", USAGE, "write KEY=VALUE")):
            with self.subTest(settings=settings):
                self.assertIn(sentence, self.verb("add-port", settings, status=status, cwd=d))
        self.assertEqual(list(self.ports()), ["a", "b", "m", "net_null0"])
        self.assertEqual(sorted(os.listdir(d)), ["a", "b", "c", "m"])

    def test_del_of_a_connected_port_needs_force(self):
        with self.net.connect(f"{self.box.path}/a") as front_end:
            programs.until("the connection to be seen", lambda: self.ports()["a"]["connected"])
            self.assertIn("connected", self.verb("list").splitlines()[1])
            self.assertIn("a front end is connected", self.verb("del-port", "a", status=FAILED))
            self.assertIn("a", self.ports())
            self.verb("del-port", "a", "--force")
            self.assertEqual(receive_all(front_end), b"")
        self.assertEqual(list(self.ports()), ["b"])

    def test_stats(self):
        stats = self.verb_json("stats")
        self.assertEqual(sorted(stats), ["ports", "threads", "time_ns"])
        self.assertEqual([port["name"] for port in stats["ports"]], ["a", "b"])
        port = stats["ports"][0]
        self.assertEqual(sorted(port), ["checksums", "drops", "in_bytes", "in_multicast",
                                        "in_packets", "missed", "name", "out_bytes", "out_packets",
                                        "segmented"])
        self.assertEqual(port["drops"], {name: 0 for name in DROPS})
        thread, = stats["threads"]
        self.assertEqual(sorted(thread), ["cpu", "index", "queues", "sleeps", "turns", "useful",
                                          "useful_ratio"])
        self.assertEqual([port["name"] for port in self.verb_json("stats", "b")["ports"]], ["b"])
        ports, threads = self.verb("stats").split("\n\n")
        self.assertEqual([line.split() for line in ports.splitlines()],
                         ["PORT IN BYTES OUT BYTES DROPPED".split(), "a 0 0 B 0 0 B -".split(),
                          "b 0 0 B 0 0 B -".split()])
        self.assertEqual(threads.splitlines()[0].split(), "THREAD CPU QUEUES TURNS BUSY SLEEPS".split())
        self.assertEqual(self.verb("addresses"), "no addresses were learned\n")
        self.assertEqual(self.verb_json("addresses"), [])

    def test_drops_have_names(self):
        self.verb("add-port", "uplink=net_null0")
        programs.until("what a null device makes up to be dropped",
                       lambda: self.port_stats("a")["drops"]["not_running"])
        self.assertRegex(self.verb("stats", "a"), r"\d+ not_running\n")
        result = run([IOLANE, "net", "stats", "--watch=soon", f"--control={self.path}"])
        self.assertEqual(result.returncode, USAGE)

    def test_stats_are_watched_until_the_end(self):
        arguments = [IOLANE, "net", "stats", "--watch=100ms", f"--control={self.path}"]
        with programs.started([*arguments, "--json"]) as watch, \
                programs.started(arguments) as for_people:
            first = json.loads(watch.stdout.readline())
            second = json.loads(watch.stdout.readline())
            self.assertGreater(second["time_ns"], first["time_ns"])
            self.assertEqual(for_people.stdout.readline().split(),
                             "PORT IN/S MBIT/S OUT/S MBIT/S DROPPED".split())
            self.assertEqual(self.net.stop(), 0)
            self.assertEqual(watch.wait(timeout=programs.SOON), FAILED)
            self.assertEqual(for_people.wait(timeout=programs.SOON), FAILED)

    def test_wrong_command_lines(self):
        for arguments, status, sentence in (
                (["lits"], USAGE, "unknown verb of iolane net: lits: did you mean list?"),
                (["add"], USAGE, "did you mean add-port?"),
                (["list", "more"], USAGE, "unexpected argument \"more\""),
                (["list", "--force"], USAGE, "unknown option --force"),
                (["add-port"], USAGE, "iolane net add-port needs socket=PATH or uplink=DEVARGS"),
                (["del-port"], USAGE, "iolane net del-port needs the NAME of a port"),
                (["del-port", "nobody"], FAILED, "no port has the name \"nobody\""),
                (["stats", "nobody"], FAILED, "no port has the name")):
            with self.subTest(arguments=arguments):
                self.assertIn(sentence, self.verb(*arguments, status=status))
        result = run([IOLANE, "net", "list", f"--control={self.box.path}/none"])
        self.assertEqual(result.returncode, FAILED)
        self.assertIn(f"nothing listens on {self.box.path}/none: start iolane-net with", result.stderr)

    def test_the_default_path(self):
        os.symlink(self.path, f"{self.box.path}/iolane-net.sock")
        result = run([IOLANE, "net", "list"],
                     env={**os.environ, "XDG_RUNTIME_DIR": self.box.path})
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_names_are_completed(self):
        line = f"iolane net del-port --control={self.path} "
        self.assertEqual(programs.completions([line + "b"])[line + "b"], "")
        line = "iolane net del-port "
        os.symlink(self.path, f"{self.box.path}/iolane-net.sock")
        before = os.environ.get("XDG_RUNTIME_DIR")
        os.environ["XDG_RUNTIME_DIR"] = self.box.path
        try:
            self.assertEqual(programs.completions([line + "b"])[line + "b"], "b")
        finally:
            del os.environ["XDG_RUNTIME_DIR"]
            if before is not None:
                os.environ["XDG_RUNTIME_DIR"] = before

    def test_what_is_no_request(self):
        for line, sentence in (
                (b"hello", "not a line of JSON"),
                (b"[]", "not a JSON object"),
                (b"{}", 'lacks "cmd"'),
                (b'{"cmd":"add"}', "did you mean add-port?"),
                (b'{"cmd":"quit"}', "unknown command quit"),
                (b'{"cmd":"add-port"}', 'lacks "port"'),
                (b'{"cmd":"add-port","port":"a"}', 'lacks "port"'),
                (b'{"cmd":"add-port","port":{}}', "no socket"),
                (b'{"cmd":"add-port","port":{"queues":4}}', '"queues" must be a string'),
                (b'{"cmd":"add-port","port":{"fd":"3"}}', "fd cannot be given here"),
                (b'{"cmd":"add-port","port":{"socket":"s"}}', "socket must be an absolute path"),
                (b'{"cmd":"add-port","port":{"uplink":",x"}}', "names no device"),
                (b'{"cmd":"add-port","port":{"":""}}', "unknown port setting"),
                (b'{"cmd":"del-port"}', 'lacks "name"'),
                (b'{"cmd":"del-port","name":["a"]}', '"name" must be a string'),
                (b'{"cmd":"stats","name":1}', '"name" must be a string')):
            with self.subTest(line=line[:40]):
                self.assert_refused(line, sentence)
        self.assert_served()


@unittest.skipUnless(programs.BENCH, "iolane-bench is not built")
class Traffic(Control):
    def test_it_is_counted_and_shown(self):
        with self.load() as load:
            programs.until("packets at the other end",
                           lambda: self.port_stats("b")["out_packets"] > 1000)
            ports = self.ports()
            for name in "ab":
                self.assertEqual((ports[name]["connected"], ports[name]["link"],
                                  ports[name]["threads"]), (True, True, [0]))
            self.assertEqual(self.verb("list").splitlines()[1].split()[7:11],
                             ["1", "of", "64", "0"])
            self.assertGreater(self.verb_json("list")["threads"][0]["queues"], 0)
            addresses = self.verb_json("addresses")
            self.assertEqual({address["port"] for address in addresses}, {"a", "b"})
            for address in addresses:
                self.assertEqual(sorted(address), ["age_s", "mac", "port", "vlan"])
                self.assertRegex(address["mac"], r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")
                self.assertEqual(address["vlan"], 0)
            head, *rows = self.verb("addresses").splitlines()
            self.assertEqual(head.split(), "ADDRESS VLAN PORT SILENT S".split())
            self.assertEqual(sorted(row.split()[2] for row in rows), ["a", "b"])
            load.kill()
        programs.until("the guests to be gone", lambda: not any(
            port["connected"] or port["threads"] for port in self.ports().values()))
        stats = self.verb_json("stats")
        a, b = stats["ports"]
        self.assertEqual(a["in_bytes"], 64 * a["in_packets"])
        self.assertEqual(a["in_packets"], b["out_packets"] + sum(b["drops"].values()) +
                         sum(a["drops"].values()))
        thread, = stats["threads"]
        self.assertLess(0, thread["useful"])
        self.assertLessEqual(thread["useful"], thread["turns"])
        self.assertAlmostEqual(thread["useful_ratio"], thread["useful"] / thread["turns"])
        # What they were told by is gone with their ports.
        self.verb("del-port", "a")
        self.assertEqual({address["port"] for address in self.verb_json("addresses")}, {"b"})

    def test_ports_come_and_go_beside_it(self):
        with self.load("--rate=1000") as load:
            programs.until("packets at the other end",
                           lambda: self.port_stats("b")["out_packets"] > 10)
            front_ends = self.net.log().count("a front end has connected")
            for number in range(10):
                self.verb("add-port", f"name=x,socket={self.box.path}/x")
                self.verb("add-port", f"name=up,uplink=net_null{number}")
                before = self.port_stats("b")["out_packets"]
                programs.until("more packets",
                               lambda: self.port_stats("b")["out_packets"] > before)
                self.verb("del-port", "x")
                self.verb("del-port", "up")
            self.assertEqual(self.net.log().count("a front end has connected"), front_ends)
            self.assertTrue(self.ports()["a"]["connected"])
            load.kill()


class Cycles(Control):
    def resident(self):
        return int(re.search(r"VmRSS:\s+(\d+) kB", programs.read_file(f"/proc/{self.net.pid}/status"))[1])

    def held(self):
        """Its descriptors, and how many threads it has."""
        fds, kinds = f"/proc/{self.net.pid}/fd", []
        for number in os.listdir(fds):
            # It may just be closed.
            with contextlib.suppress(FileNotFoundError):
                kinds.append(os.readlink(f"{fds}/{number}").split(":")[0])
        return sorted(kinds), len(os.listdir(f"/proc/{self.net.pid}/task"))

    def cycles(self, lines, times, settings, connect):
        def ask(**request):
            lines.write(json.dumps(request) + "\n")
            lines.flush()
            reply = json.loads(lines.readline())
            self.assertTrue(reply["ok"], reply)

        for _ in range(times):
            ask(cmd="add-port", port={"name": "x", **settings})
            if connect:
                with socket.socket(socket.AF_UNIX) as front_end:
                    front_end.connect(settings["socket"])
                    front_end.sendall(b"".join(n.to_bytes(4, "little") for n in (1, 1, 0)))
                    self.assertEqual(len(front_end.recv(20)), 20)
                    ask(cmd="del-port", name="x", force=True)
            else:
                ask(cmd="del-port", name="x")

    def check(self, settings, connect=False):
        with open(NET, "rb") as file:
            sanitized = b"__asan_init" in (program := file.read()) or b"__tsan_init" in program
        with self.net.connect(self.path) as connection, connection.makefile("rw") as lines:
            # The first ones take what is kept for the next.
            self.cycles(lines, 50, settings, connect)
            # A thread that was joined is listed a little longer.
            before = programs.settled("descriptors and threads", self.held)
            resident = self.resident()
            self.cycles(lines, 1000, settings, connect)
            programs.until(f"these to be left: {before}", lambda: self.held() == before)
            # A sanitizer keeps what was freed for a while. A page a cycle would be 4000 kB.
            if not sanitized:
                self.assertLess(self.resident() - resident, 1000)
        self.assert_served()

    def test_a_thousand_guests(self):
        self.check({"socket": f"{self.box.path}/x", "mac": MAC})

    def test_a_thousand_guests_that_were_connected(self):
        self.check({"socket": f"{self.box.path}/x"}, connect=True)

    def test_a_thousand_uplinks(self):
        self.check({"uplink": "net_null0"})


class WithoutPorts(unittest.TestCase):
    def test_ports_may_come_later(self):
        with Sandbox() as box, box.net(f"--control={box.path}/c", "--mode=patch") as net:
            net.wait_connect(f"{box.path}/c")
            for verb in (["list"], ["add-port", f"socket={box.path}/s"], ["del-port", "port0"],
                         ["stats"], ["addresses"]):
                result = run([IOLANE, "net", *verb, f"--control={box.path}/c"])
                self.assertEqual(result.returncode, 0, result.stderr)
            listed = json.loads(run([IOLANE, "net", "list", "--json",
                                     f"--control={box.path}/c"]).stdout)
            self.assertEqual((listed["mode"], listed["threads"]),
                             ("patch", [{"index": 0, "cpu": None, "queues": 0}]))
            self.assertEqual(net.stop(), 0)


if __name__ == "__main__":
    programs.main()
