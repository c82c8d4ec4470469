#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The command line of iolane-net: every option, every bad input with its exit status and sentence,
signals, and what is printed for people and machines."""

import json
import os
import re
import signal
import socket
import stat
import unittest

import programs
from programs import IOLANE, NET, Sandbox, run

FAILED, USAGE = 1, 2

VERBS = ("add-port", "del-port", "list", "stats", "addresses")

# Arguments of a good port; {d} is the test's folder.
GOOD = ["--socket-path={d}/s"]
MAC = "52:54:00:12:34:56"

# Wrong command lines: arguments, exit status, a part of the one sentence.
BAD = [
    ([], USAGE, "no port to serve: give --socket-path=PATH"),
    (["--mtu=1500"], USAGE, "the port has no socket: add --socket-path=PATH"),
    (["--uplink=net_null0", "--mtu=1500"], USAGE, "the port has no socket"),
    (["--socket-path="], USAGE, "--socket-path needs a value"),
    (["{d}/s"], USAGE, "unexpected argument"),
    (GOOD + ["--quees=2"], USAGE, "unknown option --quees: did you mean --queues?"),
    (GOOD + ["--nothing-like-it"], USAGE, "unknown option --nothing-like-it"),
    (GOOD + ["--queues=1", "--queues=1"], USAGE, "--queues is given twice"),
    (GOOD + ["--client=on"], USAGE, "--client takes no value"),
    # values
    (GOOD + ["--queues=0"], USAGE, "--queues must be from 1 to 64, not 0"),
    (GOOD + ["--queues=65"], USAGE, "--queues must be from 1 to 64, not 65"),
    (GOOD + ["--queues=two"], USAGE, "--queues must be a whole number"),
    (GOOD + ["--mtu=67"], USAGE, "--mtu must be from 68 to 65535"),
    (GOOD + ["--mtu=65536"], USAGE, "--mtu must be from 68 to 65535"),
    (GOOD + ["--mac=52:54:00:12:34"], USAGE, "--mac must be an address such as"),
    (GOOD + ["--mac=52:54:00:12:34:5"], USAGE, "--mac must be an address such as"),
    (GOOD + ["--mac=52:54:00:12:34:567"], USAGE, "--mac must be an address such as"),
    (GOOD + ["--mac=52-54-00-12-34-56"], USAGE, "--mac must be an address such as"),
    (GOOD + ["--mac= 2:54:00:12:34:56"], USAGE, "--mac must be an address such as"),
    (GOOD + ["--mac=-2:54:00:12:34:56"], USAGE, "--mac must be an address such as"),
    (GOOD + ["--mac=0x:54:00:12:34:56"], USAGE, "--mac must be an address such as"),
    (GOOD + ["--mac=ff:ff:ff:ff:ff:ff"], USAGE, "is no address of one interface"),
    (GOOD + ["--mac=00:00:00:00:00:00"], USAGE, "is no address of one interface"),
    (GOOD + ["--vlan=4095"], USAGE, "--vlan must be from 0 to 4094"),
    (GOOD + ["--trunk=0"], USAGE, "--trunk must be VLANs from 1 to 4094"),
    (GOOD + ["--trunk=4095"], USAGE, "--trunk must be VLANs from 1 to 4094"),
    (GOOD + ["--trunk=99999999999999999999"], USAGE, "--trunk must be VLANs from 1 to 4094"),
    (GOOD + ["--trunk=10-"], USAGE, "--trunk must be VLANs from 1 to 4094"),
    (GOOD + ["--trunk=10-20+"], USAGE, "--trunk must be VLANs from 1 to 4094"),
    (GOOD + ["--trunk=20-10"], USAGE, "--trunk must be VLANs from 1 to 4094"),
    (GOOD + ["--trunk=10,20"], USAGE, "--trunk must be VLANs from 1 to 4094"),
    (GOOD + ["--antispoof=on"], USAGE, "--antispoof must be off, mac or ip, not \"on\""),
    (GOOD + ["--ip=1.2.3"], USAGE, "--ip must be an IPv4 address such as"),
    (GOOD + ["--ip=0.0.0.0"], USAGE, "--ip must be an IPv4 address such as"),
    (GOOD + ["--storm=-1"], USAGE, "--storm must be a whole number"),
    (GOOD + ["--storm=4294967296"], USAGE, "--storm must be from 0 to 4294967295"),
    (GOOD + ["--offloads=maybe"], USAGE, "--offloads must be on or off, not \"maybe\""),
    (GOOD + ["--name=a/b"], USAGE, "--name must be at most 63 letters"),
    (GOOD + ["--name=" + 64 * "a"], USAGE, "--name must be at most 63 letters"),
    (GOOD + ["--mode=router"], USAGE, "--mode must be switch, bridge-to-uplink or patch"),
    (GOOD + ["--lcores=1-"], USAGE, "--lcores must be a list of CPUs such as"),
    (GOOD + ["--lcores=a"], USAGE, "--lcores must be a list of CPUs such as"),
    (GOOD + ["--poll-us=1000001"], USAGE, "--poll-us must be from 0 to 1000000"),
    (GOOD + ["--poll-us=ever"], USAGE, "--poll-us must be a whole number"),
    (GOOD + ["--age=0"], USAGE, "--age must be from 1 to 1000000"),
    (GOOD + ["--stats-interval=0"], USAGE, "--stats-interval must be from 1ms to 3600s"),
    (GOOD + ["--socket-mode=0888"], USAGE, "--socket-mode must be octal permission bits"),
    (["--socket-path={d}/" + 120 * "s"], USAGE, "a socket's path has at most 107"),
    (GOOD + ["--control=/" + 120 * "c"], USAGE, "a socket's path has at most 107"),
    (["--fd=999"], USAGE, "--fd 999 is no Unix stream socket"),
    (["--uplink"], USAGE, "--uplink needs a value"),
    (["--uplink=,iface=x"], USAGE, "names no device: write it as in net_tap0,iface=tap0"),
    # what needs or excludes each other
    (GOOD + ["--antispoof=mac"], USAGE, "--antispoof=mac needs to know the guest's address: add "
     "--mac=ADDRESS"),
    (GOOD + ["--antispoof=ip", "--mac=" + MAC], USAGE, "add --ip=ADDRESS"),
    (GOOD + ["--ip=192.0.2.7"], USAGE, "--ip says what --antispoof=ip lets pass"),
    (GOOD + ["--client", "--socket-mode=0660"], USAGE, "--socket-mode is for a socket that this"),
    (GOOD + ["--port=socket={d}/t"], USAGE, "and --port exclude each other"),
    (["--port=socket={d}/t", "--client"], USAGE, "write client=on into --port"),
    (["--port=socket={d}/t", "--vlan=3"], USAGE, "write vlan=... into --port"),
    (GOOD + ["--control={d}/s"], USAGE, "the port and --control have the same socket"),
    (["--uplink=net_null0"] * 2, USAGE, "two ports have the name net_null0"),
    # --port
    (["--port"], USAGE, "--port needs a value"),
    (["--port=name=x"], USAGE, "--port name=x: the port has no socket: add socket=PATH"),
    (["--port=socket={d}/s,valn=3"], USAGE, "unknown port setting valn: did you mean vlan?"),
    (["--port=socket={d}/s,vlan=3,vlan=4"], USAGE, "vlan is given twice"),
    (["--port=socket={d}/s,=y"], USAGE, "write KEY=VALUE"),
    (["--port=socket={d}/s,vlan"], USAGE, "vlan needs a value: vlan=N"),
    (["--port=socket={d}/s,trunk"], USAGE, "trunk needs a value: trunk=LIST"),
    (["--port=socket={d}/s,mac"], USAGE, "mac needs a value: mac=ADDRESS"),
    (["--port=socket={d}/s,antispoof=mac"], USAGE, "antispoof=mac needs to know the guest's"),
    (["--port=uplink=net_null0,socket={d}/s"], USAGE, "socket is for a guest's port and not for"),
    (["--port=uplink=net_null0,queues=2"], USAGE, "queues is for a guest's port"),
    (["--port=uplink=net_null0,mac=" + MAC], USAGE, "mac is for a guest's port"),
    (["--port=socket={d}/s"] * 2, USAGE, "two ports have the socket"),
    (["--port=name=a,socket={d}/s", "--port=name=a,socket={d}/t"], USAGE,
     "two ports have the name a"),
    # the machine says no
    (["--socket-path={d}/no/s"], FAILED, "{d}/no/s"),
    (["--socket-path={d}/file"], FAILED, "{d}/file"),
    (GOOD + ["--control={d}/file"], FAILED, "{d}/file exists and is no socket"),
    (GOOD + ["--lcores=1000"], FAILED, "CPU 1000"),
    (GOOD + ["--lcores=0,0"], FAILED, "twice"),
    (GOOD + ["--uplink=net_nothing0"], FAILED, "net_nothing0"),
    (GOOD + ["--uplink=net_pcap0,iface=nonesuch"], FAILED, "net_pcap0,iface=nonesuch"),
    (GOOD + ["--uplink=ffff:ff:1f.6"], FAILED, "ffff:ff:1f.6"),
    (GOOD + ["--", "--no-such-option"], FAILED, "unrecognized option '--no-such-option'"),
    (GOOD + ["--", "-l", "0"], FAILED, "--lcores of iolane-net"),
    (["--port=socket={d}/s,mac=" + MAC, "--port=socket={d}/t,mac=" + MAC], FAILED, MAC),
]

# Good ones, each of which must come to listen: every option is here.
GOOD_LINES = [
    GOOD,
    ["--socket-path", "{d}/s"],
    GOOD + ["--queues=1", "--mac=" + MAC, "--mtu=9000", "--name=vm-1.nic_a"],
    GOOD + ["--vlan=5"],
    GOOD + ["--vlan=5", "--trunk=10-20+30"],
    GOOD + ["--trunk=1+4094", "--offloads=off"],
    GOOD + ["--trunk=all", "--offloads=on"],
    GOOD + ["--antispoof=off", "--storm=0"],
    GOOD + ["--antispoof=mac", "--mac=" + MAC, "--storm=100"],
    GOOD + ["--antispoof=ip", "--mac=" + MAC, "--ip=192.0.2.7"],
    GOOD + ["--mode=switch", "--age=1"],
    GOOD + ["--mode=bridge-to-uplink", "--uplink=net_null0", "--uplink=net_null1,size=64"],
    GOOD + ["--mode=patch", "--poll-us=0", "--stats-interval=100ms"],
    GOOD + ["--lcores=0", "--poll-us=inf", "--verbose"],
    GOOD + ["--socket-mode=0600", "--control={d}/c", "--", "--no-huge", "-m", "64"],
    ["--port", "socket={d}/s,queues=2,mac=" + MAC + ",mtu=1500,vlan=5,trunk=10,antispoof=ip,"
     "ip=192.0.2.7,storm=10,offloads=off,name=first,client=off,socket-mode=0600",
     "--port=socket={d}/t", "--port=uplink=net_null0,,size=64,name=up,vlan=7,trunk=all,mtu=1500,"
     "storm=5,offloads=off"],
]


def filled(arguments, folder):
    return [text.replace("{d}", folder) for text in arguments]


class BadInput(unittest.TestCase):
    def test_every_bad_command_line(self):
        with Sandbox() as box:
            with open(f"{box.path}/file", "wb"):
                pass
            for arguments, status, sentence in BAD:
                with self.subTest(arguments=arguments):
                    result = run([NET, *filled(arguments, box.path)])
                    self.assertEqual(result.returncode, status, result.stderr)
                    self.assertEqual(result.stdout, "")
                    # What was logged before may stand above; the reason is last.
                    lines = result.stderr.splitlines()
                    self.assertIn(sentence.replace("{d}", box.path), lines[-1])
                    for line in lines:
                        self.assertTrue(line.startswith("iolane-net: "), line)
                    if status == USAGE:
                        self.assertEqual(len(lines), 1, result.stderr)
                        self.assertIn("(try iolane-net --help)", lines[-1])
            self.assertEqual(os.listdir(box.path), ["file"])

    def test_no_permission(self):
        with Sandbox() as box:
            os.chmod(box.path, 0o555)
            result = programs.run_as_nobody(NET, f"--socket-path={box.path}/s")
            os.chmod(box.path, 0o755)
            self.assertEqual(result.returncode, FAILED, result.stderr)
            self.assertIn("ermission", result.stderr)
            result = programs.run_as_nobody(NET, "--uplink=net_tap0,iface=iolanetest")
            self.assertEqual(result.returncode, FAILED, result.stderr)
            self.assertIn("CAP_NET_ADMIN", result.stderr.splitlines()[-1])

    def test_the_fd_must_be_a_unix_stream_socket(self):
        with open(os.devnull, "rb") as null:
            result = run([NET, f"--fd={null.fileno()}"], pass_fds=[null.fileno()])
            self.assertEqual(result.returncode, USAGE)
            self.assertIn(f"--fd {null.fileno()} is no Unix stream socket", result.stderr)

    def test_fd_excludes_a_path(self):
        here, there = socket.socketpair()
        with here, there:
            number = there.fileno()
            for more, sentence in ((["--socket-path=/x"], "--socket-path and --fd exclude"),
                                   (["--client"], "--client connects to a path"),
                                   (["--socket-mode=0600"], "--socket-mode is for a socket")):
                result = run([NET, f"--fd={number}", *more], pass_fds=[number])
                self.assertEqual(result.returncode, USAGE)
                self.assertIn(sentence, result.stderr)
            port = f"--port=fd={number}"
            result = run([NET, port, port], pass_fds=[number])
            self.assertEqual(result.returncode, USAGE)
            self.assertIn(f"two ports have fd {number}", result.stderr)


class Printed(unittest.TestCase):
    def test_capabilities(self):
        for arguments in ([], ["--nonsense", "more"]):
            result = run([NET, "--print-capabilities", *arguments])
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertEqual(json.loads(result.stdout), {"type": "net"})

    def test_help_fits_a_screen(self):
        for arguments in ([NET], [IOLANE, "net"], *([IOLANE, "net", verb] for verb in VERBS)):
            result = run([*arguments, "--help"])
            self.assertEqual((result.returncode, result.stderr), (0, ""), arguments)
            lines = result.stdout.splitlines()
            self.assertLessEqual(len(lines), 40, arguments)
            self.assertLessEqual(max(map(len, lines)), 90, arguments)
            self.assertTrue(lines[0].startswith("Usage: "), arguments)
        self.assertEqual(run([NET, "-h"]).stdout, run([NET, "--help"]).stdout)
        self.assertEqual(run([IOLANE, "help", "net", "list"]).stdout,
                         run([IOLANE, "net", "list", "--help"]).stdout)

    def test_version(self):
        for option in ("--version", "-V"):
            result = run([NET, option])
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertRegex(result.stdout, r"^iolane-net \d+\.\d+\.\d+\n$")

    def test_iolane_starts_it(self):
        result = run([IOLANE, "net", "--version"],
                     env={**os.environ, "PATH": os.path.dirname(NET)})
        self.assertEqual(result.stdout, run([NET, "--version"]).stdout)


class Documents(unittest.TestCase):
    def test_the_description_for_managers(self):
        # docs/interop/vhost-user.json, VhostUserBackend.
        with open(os.environ["IOLANE_NET_DESCRIPTION"], encoding="utf-8") as file:
            description = json.load(file)
        self.assertEqual(sorted(description), ["binary", "description", "tags", "type"])
        self.assertEqual(description["type"], "net")
        self.assertTrue(description["binary"].startswith("/"))
        self.assertTrue(description["binary"].endswith("/iolane-net"))

    def test_manual_pages_name_every_option(self):
        for name, of_page in (("iolane-net", [[NET]]),
                              ("iolane", [[IOLANE, "net", verb] for verb in VERBS])):
            documented = programs.documented_options(name)
            for program in of_page:
                for option in programs.help_options(run([*program, "--help"]).stdout):
                    self.assertIn(option, documented, name)

    def test_completion(self):
        lines = {
            "iolane n": "net",
            "iolane net add": "add-port addresses",
            "iolane net --lc": "--lcores=",
            "iolane net del-port --fo": "--force",
            "iolane help net l": "list",
            "iolane-net --s": "--socket-mode= --socket-path= --stats-interval= --storm=",
            "iolane-net --mode=b": "bridge-to-uplink",
            "iolane-net --antispoof ": "off mac ip",
        }
        self.assertEqual(programs.completions(lines), lines)


class Serving(unittest.TestCase):
    def test_every_good_command_line(self):
        for arguments in GOOD_LINES:
            with self.subTest(arguments=arguments), Sandbox() as box:
                with box.net(*filled(arguments, box.path)) as net:
                    programs.get_features(net.connect(f"{box.path}/s"))
                    self.assertEqual(net.stop(), 0, net.log())
                    self.assertIn("ended cleanly", net.log().splitlines()[-1])
                    for line in net.log().splitlines():
                        self.assertTrue(line.startswith("iolane-net: "), line)
                self.assertEqual(os.listdir(box.path), [])

    def test_every_option_is_tried(self):
        tried = " ".join(word for line, *_ in [(line,) for line in GOOD_LINES] + BAD
                         for word in line) + " --print-capabilities --version --help"
        for option in programs.help_options(run([NET, "--help"]).stdout):
            self.assertIn(option, tried)

    def test_log_names_ports_and_threads(self):
        with Sandbox() as box:
            with box.net(f"--socket-path={box.path}/s", "--queues=2", "--mac=" + MAC, "--vlan=5",
                         "--name=vm1", "--uplink=net_null0", "--lcores=0") as net:
                net.wait_log("iolane-net: poll thread 0 on CPU 0\n")
                net.wait_log(f"iolane-net: vm1: serving a guest (2 queue pairs, {MAC}, VLAN 5) on "
                             f"{box.path}/s\n")
                net.wait_log("iolane-net: net_null0: uplink net_null0 (all VLANs)\n")

    def test_log_has_statistics(self):
        with Sandbox() as box:
            with box.net(f"--socket-path={box.path}/s", "--uplink=net_null0",
                         "--stats-interval=100ms") as net:
                net.wait_log("net_null0: in ")
                line = next(line for line in net.log().splitlines() if "net_null0: in " in line)
                self.assertRegex(line, r"in \d+ packets/s [\d.]+ Mbit/s, out \d+ packets/s "
                                       r"[\d.]+ Mbit/s")
                # Nobody is there to take what a null device makes up.
                net.wait_log(" not_running")

    def test_signals_end_it_cleanly(self):
        for number, word in ((signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")):
            with Sandbox() as box, box.net(f"--socket-path={box.path}/s") as net:
                net.wait_connect(f"{box.path}/s")
                # Nothing is to be read again.
                net.kill(signal.SIGHUP)
                with net.connect(f"{box.path}/s"):
                    self.assertEqual(net.stop(number), 0)
                self.assertTrue(net.log().endswith(f"ended cleanly: {word}\n"))
                self.assertFalse(os.path.exists(f"{box.path}/s"))

    def test_stale_socket_is_replaced_live_one_refused(self):
        with Sandbox() as box:
            for path, arguments in ((f"{box.path}/s", [f"--socket-path={box.path}/s"]),
                                    (f"{box.path}/c", [f"--control={box.path}/c"])):
                with socket.socket(socket.AF_UNIX) as dead:
                    dead.bind(path)
                with box.net(*arguments) as net:
                    net.wait_connect(path)
                    result = run([NET, *arguments])
                    self.assertEqual(result.returncode, FAILED, result.stderr)
                    self.assertIn(path, result.stderr.splitlines()[-1])
                    # The one that had it has it still.
                    net.connect(path).close()
                    self.assertEqual(net.stop(), 0)

    def test_socket_mode(self):
        with Sandbox() as box, box.net(f"--socket-path={box.path}/s", "--socket-mode=0620",
                                       f"--control={box.path}/c") as net:
            net.wait_connect(f"{box.path}/c")
            self.assertEqual(stat.S_IMODE(os.stat(f"{box.path}/s").st_mode), 0o620)
            self.assertEqual(stat.S_IMODE(os.stat(f"{box.path}/c").st_mode), 0o600)

    def test_fd_ends_with_its_front_end(self):
        here, there = socket.socketpair()
        with Sandbox() as box, here:
            # An uplink alone is nothing to go on for when there was a guest.
            with box.net(f"--fd={there.fileno()}", "--uplink=net_null0",
                         fds=[there.fileno()]) as net:
                there.close()
                net.wait_log("port0: serving a guest")
                programs.get_features(here)
                self.assertEqual(net.wait(), 0)
                self.assertIn("ended cleanly: no front end is left", net.log())

    def test_client_connects_when_the_front_end_comes(self):
        with Sandbox() as box:
            path = f"{box.path}/s"
            with box.net(f"--socket-path={path}", "--client") as net:
                net.wait_log("as its client")
                with socket.socket(socket.AF_UNIX) as listener:
                    listener.bind(path)
                    listener.listen()
                    listener.settimeout(programs.SOON)
                    for _ in range(2):
                        connection, _ = listener.accept()
                        programs.get_features(connection)
                self.assertEqual(net.stop(), 0, net.log())

    def test_an_ordinary_user_may_run_it(self):
        with Sandbox() as box:
            user = {}
            if os.geteuid() == 0:
                os.chown(box.path, 65534, 65534)
                user = {"user": 65534, "group": 65534, "extra_groups": []}
            with box.net(f"--socket-path={box.path}/s", f"--control={box.path}/c", **user) as net:
                net.wait_connect(f"{box.path}/c")
                programs.get_features(net.connect(f"{box.path}/s"))
                status = programs.read_file(f"/proc/{net.pid}/status")
                self.assertNotIn("Uid:\t0\t", status)
                self.assertEqual(run([IOLANE, "net", "list", f"--control={box.path}/c"]).returncode,
                                 0)
                self.assertEqual(net.stop(), 0)

    def test_one_port_that_fails_ends_all(self):
        with Sandbox() as box:
            result = run([NET, f"--port=socket={box.path}/a", f"--port=socket={box.path}/no/b"])
            self.assertEqual(result.returncode, FAILED)
            self.assertIn("/no/b", result.stderr)
            self.assertEqual(os.listdir(box.path), [])

    def test_uplinks_alone_are_served(self):
        with Sandbox() as box:
            with box.net("--uplink=net_null0", "--uplink=net_null1") as net:
                net.wait_log("net_null1: uplink net_null1")
                self.assertEqual(net.stop(), 0)
                self.assertRegex(net.log(), re.compile("ended cleanly: terminated$", re.MULTILINE))


if __name__ == "__main__":
    programs.main()
