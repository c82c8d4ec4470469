#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The control socket of iolane-blk, with the verbs of "iolane blk" and with hostile clients."""

import json
import os
import resource
import signal
import socket
import time
import unittest

import programs
from programs import IOLANE, Sandbox, receive_all, run

FAILED, USAGE = 1, 2
REQUEST_MAX = 65536
CLIENTS = 16
CLIENT_S = 10


class Control(programs.Steering):
    """An iolane-blk with one null disk."""

    group = "blk"

    def setUp(self):
        super().setUp()
        self.blk = self.box.blk(f"--control={self.path}",
                                f"--disk=name=zero,socket={self.box.path}/zero,file=null:1M")
        self.steer(self.blk)

    def assert_served(self):
        """It lives, answers at once, and has its disk."""
        self.blk.check_alive()
        reply = self.ask_one({"cmd": "list"})
        self.assertTrue(reply["ok"])
        self.assertIn("zero", [disk["name"] for disk in reply["result"]])


class Verbs(Control):
    def test_list(self):
        disk, = self.verb_json("list")
        self.assertEqual(disk, {
            "name": "zero", "file": "null:1M", "socket": f"{self.box.path}/zero", "client": False,
            "connected": False, "capacity": 1 << 20, "read_only": False, "direct": False,
            "queues": 64, "queues_running": 0})
        head, row = self.verb("list").splitlines()
        self.assertEqual(head.split(), "NAME SIZE MODE QUEUES FRONT END SOCKET FILE".split())
        self.assertEqual(row.split(), ["zero", "1", "MiB", "rw", "0", "of", "64", "none",
                                       f"{self.box.path}/zero", "null:1M"])

    def test_add_and_del(self):
        self.box.image("image,x", 2 << 20)
        # Relative paths are the client's.
        said = self.verb("add", "socket=one,file=image,,x,read-only=on,queues=2",
                         cwd=self.box.path)
        self.assertEqual(said, f"disk0 serves {self.box.path}/image,x on {self.box.path}/one\n")
        programs.get_features(self.blk.connect(f"{self.box.path}/one"))
        self.assertEqual(self.verb_json("add", f"socket={self.box.path}/two,file=null:1G")["name"],
                         "disk1")
        disks = {disk["name"]: disk for disk in self.verb_json("list")}
        self.assertEqual(list(disks), ["zero", "disk0", "disk1"])
        self.assertEqual((disks["disk0"]["read_only"], disks["disk0"]["queues"],
                          disks["disk0"]["capacity"]), (True, 2, 2 << 20))

        self.assertEqual(self.verb("del", "disk0"), "disk0 is no longer served\n")
        self.assertFalse(os.path.exists(f"{self.box.path}/one"))
        self.assertEqual(self.verb_json("del", "zero")["name"], "zero")
        # Free names are used again, and the last disk may go.
        self.assertEqual(self.verb_json("add", f"socket={self.box.path}/1,file=null:1M")["name"],
                         "disk0")
        self.verb("del", "disk0")
        self.verb("del", "disk1")
        self.assertEqual(self.verb("list"), "no disks\n")
        self.assertEqual(self.verb_json("list"), [])
        self.blk.check_alive()

    def test_add_refuses(self):
        d = self.box.path
        for settings, status, sentence in (
                ("socket=a", FAILED, "the disk has no image: add file=FILE"),
                ("file=null:1M", FAILED, "the disk has no socket: add socket=PATH"),
                ("socket=a,file=null:1M,queus=2", FAILED, "did you mean queues?"),
                ("socket=a,file=null:1M,queues=0", FAILED, "queues must be from 1 to 64"),
                ("socket=a,file=none", FAILED, f"{d}/none"),
                ("socket=a,file", FAILED, "file needs a value: file=FILE"),
                ("socket=a,file=null:1M,name", FAILED, "name needs a value"),
                (f"socket={d}/zero,file=null:1M", FAILED, "disk zero has the socket"),
                ("name=zero,socket=a,file=null:1M", FAILED, "there is a disk zero already"),
                ("fd=3,file=null:1M", FAILED, "fd cannot be given here"),
                ("socket=a,socket=b,file=null:1M", USAGE, "socket is given twice"),
                ("socket=a,=b", USAGE, "write KEY=VALUE")):
            with self.subTest(settings=settings):
                self.assertIn(sentence, self.verb("add", settings, status=status, cwd=d))
        self.assertEqual(len(self.verb_json("list")), 1)
        self.assertEqual(sorted(os.listdir(d)), ["c", "zero"])

    def test_del_of_a_connected_disk_needs_force(self):
        with self.blk.connect(f"{self.box.path}/zero") as front_end:
            programs.until("the connection to be seen",
                           lambda: self.verb_json("list")[0]["connected"])
            self.assertIn("connected", self.verb("list").splitlines()[1])
            self.assertIn("a front end is connected", self.verb("del", "zero", status=FAILED))
            self.assertEqual(len(self.verb_json("list")), 1)
            self.verb("del", "zero", "--force")
            self.assertEqual(receive_all(front_end), b"")
        self.assertEqual(self.verb_json("list"), [])

    def test_resize(self):
        path = self.box.image("image", 1 << 20)
        self.verb("add", f"name=vm,socket={self.box.path}/vm,file={path}")
        self.assertEqual(self.verb("resize", "vm"), "vm still has 1 MiB\n")
        os.truncate(path, 3 << 20)
        self.assertEqual(self.verb("resize", "vm"), "vm now has 3 MiB\n")
        result = self.verb_json("resize", "vm", "5M")
        self.assertEqual((result["changed"], result["capacity"]), (True, 5 << 20))
        self.assertEqual(os.stat(path).st_size, 5 << 20)
        self.assertFalse(self.verb_json("resize", "vm", "5M")["changed"])
        self.assertIn("shrink", self.verb("resize", "vm", "1M", status=FAILED))
        self.assertEqual(os.stat(path).st_size, 5 << 20)
        self.assertIn("a null disk keeps the size", self.verb("resize", "zero", "9G", status=FAILED))
        for size, sentence in (("0", "SIZE must be above 0"), ("x", "SIZE must be a whole number"),
                               ("9E", "SIZE must be above 0 and below 8 EiB")):
            self.assertIn(sentence, self.verb("resize", "vm", size, status=USAGE))

    def test_resize_says_when_the_guest_cannot_be_told(self):
        path = self.box.image("image", 1 << 20)
        self.verb("add", f"name=vm,socket={self.box.path}/vm,file={path}")
        # A front end that has negotiated nothing has no channel to hear it by.
        with self.blk.connect(f"{self.box.path}/vm"):
            programs.until("the connection to be seen",
                           lambda: self.verb_json("list")[1]["connected"])
            result = run([IOLANE, "blk", "resize", "vm", "2M", f"--control={self.path}"])
            self.assertEqual((result.returncode, result.stdout), (0, "vm now has 2 MiB\n"))
            self.assertIn("iolane: warning: ", result.stderr)
            result = self.verb_json("resize", "vm", "3M")
            self.assertEqual((result["changed"], result["capacity"]), (True, 3 << 20))
            self.assertIn("can't be told", result["warning"])

    def test_stats(self):
        stats = self.verb_json("stats")
        self.assertEqual(sorted(stats), ["disks", "engine", "threads", "time_ns"])
        self.assertIn(stats["engine"], ("io_uring", "pool"))
        self.assertEqual([disk["name"] for disk in stats["disks"]], ["zero"])
        thread, = stats["threads"]
        self.assertEqual(sorted(thread), ["index", "sleeps", "syscalls", "turns", "useful",
                                          "useful_ratio"])
        self.verb("add", f"name=more,socket={self.box.path}/more,file=null:1M")
        self.assertEqual(len(self.verb_json("stats")["disks"]), 2)
        self.assertEqual([disk["name"] for disk in self.verb_json("stats", "more")["disks"]],
                         ["more"])
        self.assertIn("THREAD", self.verb("stats", "zero"))

    @unittest.skipUnless(programs.BENCH, "iolane-bench is not built")
    def test_stats_count_what_was_done(self):
        with programs.started([programs.BENCH, "blk", f"--socket={self.box.path}/zero",
                               "--rw=randrw", "--bs=4k", "--iodepth=4", "--queues=2", "--ramp=0",
                               "--runtime=60"]) as bench:
            def both_queues_worked():
                queues = self.verb_json("stats", "zero")["disks"][0]["queues"]
                return len(queues) == 2 and all(
                    queue["ops"].get(op, {"requests": 0})["requests"] > 100
                    for queue in queues for op in ("read", "write"))
            programs.until("requests on both queues", both_queues_worked)
            disk, = self.verb_json("list")
            self.assertEqual((disk["connected"], disk["queues_running"]), (True, 2))
            rows = self.verb("stats").splitlines()
            self.assertEqual(rows[0].split()[:6],
                             "DISK QUEUE THREAD OPERATION REQUESTS BYTES".split())
            self.assertEqual([row.split()[:4] for row in rows[1:5]],
                             [["zero", q, "0", op] for q in "01" for op in ("read", "write")])
            bench.kill()
        programs.until("the queues to stop",
                       lambda: self.verb_json("list")[0]["queues_running"] == 0)
        stats = self.verb_json("stats")
        for queue in stats["disks"][0]["queues"]:
            self.assertIsNone(queue["thread"])
            for op in queue["ops"].values():
                latency = op["lat_us"]
                self.assertEqual(op["errors"], 0)
                self.assertLess(0, latency["p50"])
                self.assertLessEqual(latency["p50"], latency["p99"])
                self.assertLessEqual(latency["p99"], latency["p999"])
                self.assertLessEqual(latency["p999"], latency["max"])
                self.assertLess(latency["mean"], latency["max"])
            self.assertEqual(queue["ops"]["read"]["bytes"],
                             4096 * queue["ops"]["read"]["requests"])
        thread, = stats["threads"]
        self.assertLess(0, thread["useful"])
        self.assertLessEqual(thread["useful"], thread["turns"])
        self.assertAlmostEqual(thread["useful_ratio"], thread["useful"] / thread["turns"])
        # Nothing is counted any more, and a disk that comes under the same name starts at zero.
        self.assertEqual(self.verb_json("stats")["disks"], stats["disks"])
        self.verb("del", "zero")
        self.verb("add", f"name=zero,socket={self.box.path}/zero,file=null:1M")
        self.assertEqual(self.verb_json("stats")["disks"], [{"name": "zero", "queues": []}])

    def test_stats_are_watched_until_the_end(self):
        arguments = [IOLANE, "blk", "stats", "--watch=100ms", "--json", f"--control={self.path}"]
        with programs.started(arguments) as watch:
            first = json.loads(watch.stdout.readline())
            second = json.loads(watch.stdout.readline())
            self.assertGreater(second["time_ns"], first["time_ns"])
            self.assertEqual(self.blk.stop(), 0)
            self.assertEqual(watch.wait(timeout=programs.SOON), FAILED)

    def test_options_may_stand_before_the_verb(self):
        result = run([IOLANE, "blk", "--json", "--control", self.path, "stats", "zero"])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(json.loads(result.stdout)["disks"][0]["name"], "zero")

    def test_wrong_command_lines(self):
        for arguments, status, sentence in (
                (["lits"], USAGE, "did you mean list?"),
                (["list", "more"], USAGE, "unexpected argument \"more\""),
                (["list", "--force"], USAGE, "unknown option --force"),
                (["del"], USAGE, "iolane blk del needs the NAME of a disk"),
                (["add"], USAGE, "iolane blk add needs socket=PATH,file=FILE"),
                (["resize"], USAGE, "iolane blk resize needs the NAME of a disk"),
                (["del", "a", "b"], USAGE, "unexpected argument \"b\""),
                (["stats", "--watch=0"], USAGE, "--watch must be from 1ms"),
                (["list", "--timeout=never"], USAGE, "--timeout must be a time"),
                (["del", "nobody"], FAILED, "no disk has the name \"nobody\""),
                (["stats", "nobody"], FAILED, "no disk has the name"),
                (["resize", "nobody"], FAILED, "no disk has the name")):
            with self.subTest(arguments=arguments):
                self.assertIn(sentence, self.verb(*arguments, status=status))

    def test_nobody_listens(self):
        for path in (f"{self.box.path}/none", f"{self.box.path}/dead"):
            if path.endswith("dead"):
                with socket.socket(socket.AF_UNIX) as dead:
                    dead.bind(path)
            result = run([IOLANE, "blk", "list", f"--control={path}"])
            self.assertEqual(result.returncode, FAILED)
            self.assertIn(f"nothing listens on {path}: start iolane-blk with --control={path}",
                          result.stderr)
        result = run([IOLANE, "blk", "list", "--control=/" + 150 * "x"])
        self.assertEqual(result.returncode, FAILED)
        self.assertIn("a socket's path has at most 107", result.stderr)

    def test_the_default_path(self):
        os.symlink(self.path, f"{self.box.path}/iolane-blk.sock")
        result = run([IOLANE, "blk", "list"],
                     env={**os.environ, "XDG_RUNTIME_DIR": self.box.path})
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_a_silent_server_is_given_up(self):
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(f"{self.box.path}/silent")
            silent.listen()
            result = run([IOLANE, "blk", "list", "--timeout=200ms",
                          f"--control={self.box.path}/silent"])
            self.assertEqual(result.returncode, FAILED)
            self.assertIn("no answer", result.stderr)

    def test_only_its_own_user_may_steer(self):
        if os.geteuid():
            self.skipTest("only root can be somebody else")
        os.chmod(self.box.path, 0o755)
        for mode, sentence in ((0o600, "no permission to connect"), (0o666, "without an answer")):
            os.chmod(self.path, mode)
            result = programs.run_as_nobody(IOLANE, "blk", "list", f"--control={self.path}")
            self.assertEqual(result.returncode, FAILED)
            self.assertIn(sentence, result.stderr)
        self.assert_served()


class Hostile(Control):
    def test_what_is_no_request(self):
        for line, sentence in (
                (b"", "not a line of JSON"),
                (b"hello", "not a line of JSON"),
                (b"\x00\xff\xfe\x01", "not a line of JSON"),
                (b'{"cmd":"list"', "not a line of JSON"),
                (b'{"cmd":"list"} x', "not a line of JSON"),
                (b'{"cmd":"\xff"}', "not a line of JSON"),
                (b"[" * 60000, "not a line of JSON"),
                (b'{"a":' * 10000, "not a line of JSON"),
                (b"[]", "not a JSON object"),
                (b'"list"', "not a JSON object"),
                (b"{}", 'lacks "cmd"'),
                (b'{"cmd":1}', '"cmd" must be a string'),
                (b'{"cmd":null}', '"cmd" must be a string'),
                (b'{"cmd":"li\\u0000st"}', "zero byte"),
                (b'{"cmd":"lits"}', "did you mean list?"),
                (b'{"cmd":"quit"}', "unknown command quit"),
                (b'{"cmd":"%s"}' % (b"x" * 65000), "unknown command"),
                (b'{"cmd":"%s%n%s%n"}', "unknown command"),
                (b'{"cmd":"add"}', 'lacks "disk"'),
                (b'{"cmd":"add","disk":"zero"}', 'lacks "disk"'),
                (b'{"cmd":"add","disk":{}}', "no socket"),
                (b'{"cmd":"add","disk":{"queues":4}}', '"queues" must be a string'),
                (b'{"cmd":"add","disk":{"queues":false}}', '"queues" must be a string'),
                (b'{"cmd":"add","disk":{"queues":true}}', 'queues needs a value'),
                (b'{"cmd":"add","disk":{"fd":"3","file":"null:1M"}}', "fd cannot be given here"),
                (b'{"cmd":"add","disk":{"socket":"s","file":"null:1M"}}',
                 "socket must be an absolute path"),
                (b'{"cmd":"add","disk":{"socket":"/tmp/s","file":"x"}}',
                 "file must be an absolute path"),
                (b'{"cmd":"add","disk":{"":""}}', "unknown disk setting"),
                (b'{"cmd":"del"}', 'lacks "name"'),
                (b'{"cmd":"del","name":["zero"]}', '"name" must be a string'),
                (b'{"cmd":"resize","name":"zero","size":-1}', '"size" must be a number'),
                (b'{"cmd":"resize","name":"zero","size":"1M"}', '"size" must be a number'),
                (b'{"cmd":"resize","name":"zero","size":1e3}', '"size" must be a number'),
                (b'{"cmd":"stats","name":1}', '"name" must be a string')):
            with self.subTest(line=line[:40]):
                self.assert_refused(line, sentence)
        self.assert_served()

    def test_a_connection_goes_on_after_a_refusal(self):
        replies = self.ask(b"garbage\n", b'{"cmd":"list"}\n', b"\n", b'{"cmd":"list"}\n')
        self.assertEqual([json.loads(reply)["ok"] for reply in replies],
                         [False, True, False, True])

    def test_a_line_that_is_too_long(self):
        # The longest that is taken, and one byte more.
        request = b'{"cmd":"list"'
        request += b" " * (REQUEST_MAX - len(request) - 2) + b"}\n"
        reply, = self.ask(request)
        self.assertTrue(json.loads(reply)["ok"])
        with self.blk.connect(self.path) as connection:
            connection.sendall(b"x" * REQUEST_MAX)
            reply = json.loads(receive_all(connection))
            self.assertIn("longer than 64 KiB", reply["error"])
        with self.blk.connect(self.path) as connection:
            with self.assertRaises((BrokenPipeError, ConnectionResetError)):
                for _ in range(1000):
                    connection.sendall(b"x" * REQUEST_MAX)
        self.assert_served()

    def test_half_a_line_holds_nobody_up(self):
        with self.blk.connect(self.path) as half, self.blk.connect(self.path) as silent:
            half.sendall(b'{"cmd":')
            self.assert_served()
            half.sendall(b'"list"}\n')
            self.assertTrue(json.loads(half.recv(1 << 16))["ok"])
            silent.shutdown(socket.SHUT_WR)
            self.assertEqual(receive_all(silent), b"")
        self.assert_served()

    def test_one_that_says_nothing_is_closed(self):
        with self.blk.connect(self.path) as silent, self.blk.connect(self.path) as slow:
            slow.sendall(b"{")
            self.assertEqual(receive_all(silent), b"")
            self.assertEqual(receive_all(slow), b"")
        self.assert_served()

    def test_one_that_asked_in_time_is_answered_late(self):
        with self.blk.connect(self.path) as early:
            self.assert_served()
            # As when the end of a disk waits for its storage.
            self.blk.process.send_signal(signal.SIGSTOP)
            early.sendall(b'{"cmd":"list"}\n')
            time.sleep(CLIENT_S + 0.5)
            self.blk.process.send_signal(signal.SIGCONT)
            self.assertTrue(json.loads(early.recv(1 << 16))["ok"])
        self.assert_served()

    def test_one_byte_at_a_time(self):
        with self.blk.connect(self.path) as connection:
            for byte in b'{"cmd":"list"}\n':
                connection.sendall(bytes([byte]))
            self.assertTrue(json.loads(connection.recv(1 << 16))["ok"])

    def test_answers_that_nobody_reads(self):
        with self.blk.connect(self.path) as deaf:
            deaf.setblocking(False)
            sent = 0
            quiet_since = time.monotonic()
            # It stops reading when its answers don't get away, so this ends.
            while time.monotonic() - quiet_since < 0.5:
                try:
                    sent += deaf.send(b'{"cmd":"list"}\n' * 1000)
                    quiet_since = time.monotonic()
                except BlockingIOError:
                    time.sleep(0.01)
                self.assertLess(sent, 256 << 20)
            self.assert_served()
            # Read at last, and all that was taken is answered.
            deaf.settimeout(programs.SOON)
            self.assertTrue(deaf.recv(1 << 16).startswith(b'{"ok":true'))
        self.assert_served()

    def test_more_clients_than_there_are_places(self):
        connections = []
        try:
            for _ in range(5 * CLIENTS):
                connections.append(self.blk.connect(self.path))
            self.assert_served()
            # The newest are there, the oldest had to go.
            connections[-1].sendall(b'{"cmd":"list"}\n')
            self.assertTrue(json.loads(connections[-1].recv(1 << 16))["ok"])
            self.assertEqual(receive_all(connections[0]), b"")
        finally:
            for connection in connections:
                connection.close()
        self.assert_served()

    def test_clients_that_leave_at_once(self):
        for _ in range(200):
            with self.blk.connect(self.path) as connection:
                connection.sendall(b'{"cmd":"stats"}\n{"cmd":"li')
        self.assert_served()

    def test_it_ends_with_clients_connected(self):
        with self.blk.connect(self.path) as half, self.blk.connect(self.path) as silent:
            half.sendall(b"{")
            self.assert_served()
            self.assertEqual(self.blk.stop(signal.SIGTERM), 0)
            self.assertEqual(receive_all(half) + receive_all(silent), b"")
        self.assertEqual(os.listdir(self.box.path), [])


class WithoutDescriptors(unittest.TestCase):
    def test_it_waits_until_there_are_some_again(self):
        with Sandbox() as box:
            path = f"{box.path}/c"
            limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
            with box.blk(f"--control={path}", preexec_fn=limit) as blk:
                blk.wait_connect(path)
                connections = [blk.connect(path) for _ in range(CLIENTS - 1)]
                blk.wait_log("control: cannot accept a client: Too many open files")
                # Were it to spin, it would say so thousands of times until it is asked again.
                time.sleep(0.5)
                self.assertLess(blk.log().count("cannot accept"), 100)
                for connection in connections:
                    connection.close()
                result = run([IOLANE, "blk", "list", f"--control={path}"])
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual(blk.stop(), 0)


class WithoutDisks(unittest.TestCase):
    def test_disks_may_come_later(self):
        with Sandbox() as box, box.blk(f"--control={box.path}/c") as blk:
            blk.wait_connect(f"{box.path}/c")
            for verb in (["list"], ["add", f"socket={box.path}/s,file=null:1M"], ["del", "disk0"]):
                result = run([IOLANE, "blk", *verb, f"--control={box.path}/c"])
                self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(blk.stop(), 0)

    def test_a_path_that_another_took_over_stays(self):
        with Sandbox() as box:
            path = f"{box.path}/c"
            with box.blk(f"--control={path}") as blk:
                blk.wait_connect(path)
                os.unlink(path)
                with socket.socket(socket.AF_UNIX) as other:
                    other.bind(path)
                    self.assertEqual(blk.stop(), 0)
                    self.assertTrue(os.path.exists(path))


if __name__ == "__main__":
    programs.main()
