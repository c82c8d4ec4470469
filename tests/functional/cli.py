#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The command lines of iolane-blk and iolane: every option, every bad input with its exit status
and sentence, signals, and what is printed for people and machines."""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import unittest

import programs
from programs import BLK, IOLANE, Sandbox, run

FAILED, USAGE = 1, 2

# Arguments of a good disk; {d} is the test's folder.
GOOD = ["--socket-path={d}/s", "--blk-file={d}/image"]
DIRECT = GOOD + ["--direct"]

# Wrong command lines: arguments, exit status, a part of the one sentence.
BAD = [
    ([], USAGE, "no disk to serve: give --socket-path=PATH and --blk-file=FILE"),
    (["--blk-file={d}/image"], USAGE, "the disk has no socket: add --socket-path=PATH"),
    (["--socket-path={d}/s"], USAGE, "the disk has no image: add --blk-file=FILE"),
    (["--socket-path", "{d}/s", "--blk-file"], USAGE, "--blk-file needs a value"),
    (["--socket-path=", "--blk-file=x"], USAGE, "--socket-path needs a value"),
    (["{d}/image"], USAGE, "unexpected argument"),
    (GOOD + ["--read-olny"], USAGE, "unknown option --read-olny: did you mean --read-only?"),
    (GOOD + ["--numqueues=2"], USAGE, "did you mean --num-queues?"),
    (GOOD + ["--nothing-like-it"], USAGE, "unknown option --nothing-like-it"),
    (GOOD + ["-x"], USAGE, "unknown option -x"),
    (GOOD + ["--read-only=on"], USAGE, "--read-only takes no value"),
    (GOOD + ["--direct", "--direct"], USAGE, "--direct is given twice"),
    # values
    (GOOD + ["--num-queues=0"], USAGE, "--num-queues must be from 1 to 64, not 0"),
    (GOOD + ["--num-queues=65"], USAGE, "--num-queues must be from 1 to 64, not 65"),
    (GOOD + ["--num-queues=-1"], USAGE, "--num-queues must be a whole number"),
    (GOOD + ["--num-queues=two"], USAGE, "--num-queues must be a whole number"),
    (GOOD + ["--threads=0"], USAGE, "--threads must be from 1 to 64"),
    (GOOD + ["--threads=65"], USAGE, "--threads must be from 1 to 64"),
    (GOOD + ["--poll-us=1000001"], USAGE, "--poll-us must be from 0 to 1000000"),
    (GOOD + ["--block-size=1024"], USAGE, "--block-size must be 512 or 4096, not \"1024\""),
    (GOOD + ["--block-size=0"], USAGE, "--block-size must be 512 or 4096"),
    (GOOD + ["--cache=unsafe"], USAGE, "--cache must be writeback, writethrough or none"),
    (GOOD + ["--engine=aio"], USAGE, "--engine must be auto, io_uring or pool"),
    (GOOD + ["--serial=123456789012345678901"], USAGE, "is 21 bytes long: at most 20 fit"),
    (GOOD + ["--serial=\u00e4"], USAGE, "--serial must be printable ASCII"),
    (GOOD + ["--name=a/b"], USAGE, "--name must be at most 64 letters"),
    (GOOD + ["--name=-a"], USAGE, "--name must be at most 64 letters"),
    (GOOD + ["--name=" + 65 * "a"], USAGE, "--name must be at most 64 letters"),
    (GOOD + ["--lock-timeout=0"], USAGE, "--lock-timeout must be from 1ms to 3600s"),
    (GOOD + ["--stop-timeout=soon"], USAGE, "--stop-timeout must be a time such as 30s"),
    (GOOD + ["--socket-mode=0888"], USAGE, "--socket-mode must be octal permission bits"),
    (GOOD + ["--socket-mode=7777"], USAGE, "--socket-mode must be octal permission bits"),
    (GOOD + ["--socket-mode=0444"], USAGE, "lets nobody connect"),
    (["--socket-path={d}/" + 120 * "s", "--blk-file=x"], USAGE, "a socket's path has at most 107"),
    (GOOD + ["--control=/" + 120 * "c"], USAGE, "a socket's path has at most 107"),
    (["--fd=0", "--blk-file=x"], USAGE, "--fd must be from 3"),
    (["--fd=x", "--blk-file=x"], USAGE, "--fd must be a whole number"),
    (["--fd=999", "--blk-file=x"], USAGE, "--fd 999 is no Unix stream socket"),
    # what excludes each other
    (["--iopoll"] + GOOD, USAGE, "--iopoll works only past the host's page cache: add --direct"),
    (["--fixed-buffers"] + GOOD, USAGE, "--fixed-buffers works only past the host's page cache"),
    (["--engine=pool", "--iopoll"] + DIRECT, USAGE, "--iopoll needs io_uring"),
    (["--engine=pool", "--fixed-buffers"] + DIRECT, USAGE, "--fixed-buffers needs io_uring"),
    (["--engine=pool", "--sqpoll"] + GOOD, USAGE, "--sqpoll needs io_uring"),
    (GOOD + ["--client", "--socket-mode=0660"], USAGE, "--socket-mode is for a socket that this"),
    (GOOD + ["--disk=socket={d}/t,file=null:1M"], USAGE, "and --disk exclude each other"),
    (["--disk=socket={d}/t,file=null:1M", "--read-only"], USAGE, "write read-only=on into --disk"),
    (["--disk=socket={d}/t,file=null:1M", "--serial=x"], USAGE, "write serial=... into --disk"),
    (GOOD + ["--control={d}/s"], USAGE, "the disk and --control have the same socket"),
    # --disk
    (["--disk"], USAGE, "--disk needs a value"),
    (["--disk=file=x"], USAGE, "--disk number 1: the disk has no socket: add socket=PATH"),
    (["--disk=socket={d}/s"], USAGE, "--disk number 1: the disk has no image: add file=FILE"),
    (["--disk=socket={d}/s,file=x,sreial=y"], USAGE, "unknown disk setting sreial: did you mean"),
    (["--disk=socket={d}/s,file=x,file=y"], USAGE, "file is given twice"),
    (["--disk=socket={d}/s,file=x,=y"], USAGE, "write KEY=VALUE"),
    (["--disk=socket={d}/s,file=x,read-only=maybe"], USAGE, "read-only must be on or off"),
    (["--disk=socket={d}/s,file=x,queues=65"], USAGE, "queues must be from 1 to 64"),
    (["--disk=socket={d}/s,file=x,iopoll=on"], USAGE, "iopoll=on works only past"),
    (["--disk=socket={d}/s,file=x,cache=none,direct=off"], USAGE, "exclude each other"),
    (["--disk=socket={d}/s,file=null:1M"] * 2, USAGE, "two disks have the socket"),
    (["--disk=name=a,socket={d}/s,file=null:1M", "--disk=name=a,socket={d}/t,file=null:1M"],
     USAGE, "two disks have the name a"),
    # the machine says no
    (["--socket-path={d}/s", "--blk-file={d}/none"], FAILED, "{d}/none"),
    (["--socket-path={d}/s", "--blk-file={d}"], FAILED, "director"),
    (["--socket-path={d}/s", "--blk-file={d}/odd"], FAILED, "multiple"),
    (["--socket-path={d}/s", "--blk-file={d}/odd4k", "--block-size=4096"], FAILED, "multiple"),
    (["--socket-path={d}/s", "--blk-file=null:much"], FAILED, "must be a whole number"),
    (["--socket-path={d}/no/s", "--blk-file={d}/image"], FAILED, "{d}/no/s"),
    (["--socket-path={d}/image", "--blk-file={d}/image"], FAILED, "{d}/image"),
    (GOOD + ["--control={d}/image"], FAILED, "{d}/image exists and is no socket"),
    (GOOD + ["--control={d}/no/c"], FAILED, "cannot make the socket {d}/no/c"),
]

# Good ones, each of which must come to listen: every option is here.
GOOD_LINES = [
    GOOD,
    ["--socket-path", "{d}/s", "--blk-file", "{d}/image"],
    GOOD + ["--read-only"],
    GOOD + ["--num-queues=1", "--threads=2"],
    GOOD + ["--block-size=512"],
    GOOD + ["--block-size=4k"],
    GOOD + ["--serial=12345678901234567890", "--name=vm-1.data_a"],
    GOOD + ["--cache=writeback"],
    GOOD + ["--cache=writethrough", "--poll-us=0"],
    GOOD + ["--engine=pool", "--poll-us=1000000"],
    GOOD + ["--engine=auto", "--verbose"],
    GOOD + ["--sqpoll"],
    GOOD + ["--lock-timeout=5", "--stop-timeout=500ms"],
    GOOD + ["--socket-mode=0600", "--control={d}/c"],
    ["--socket-path={d}/s", "--blk-file=null:1T"],
    ["--disk", "socket={d}/s,file={d}/image,read-only=on,queues=4,block-size=4096,serial=x"],
    ["--disk=socket={d}/s,file=null:1M,cache=writethrough,lock-timeout=1s,stop-timeout=1s",
     "--disk=socket={d}/t,file={d}/comma,,image,name=second,client=off,read-only,direct=no"],
]


def filled(arguments, folder):
    return [text.replace("{d}", folder) for text in arguments]


class BadInput(unittest.TestCase):
    def test_every_bad_command_line(self):
        with Sandbox() as box:
            box.image("image", 1 << 20)
            box.image("odd", 1000)
            box.image("odd4k", 4096 + 512)
            for arguments, status, sentence in BAD:
                with self.subTest(arguments=arguments):
                    result = run([BLK, *filled(arguments, box.path)])
                    self.assertEqual(result.returncode, status, result.stderr)
                    self.assertEqual(result.stdout, "")
                    # What a disk or a thread logged before may stand above; the reason is last.
                    last = result.stderr.splitlines()[-1]
                    self.assertIn(sentence.replace("{d}", box.path), last)
                    self.assertTrue(last.startswith("iolane-blk: "), last)
                    if status == USAGE:
                        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
                        self.assertIn("(try iolane-blk --help)", last)
            self.assertEqual(sorted(os.listdir(box.path)), ["image", "odd", "odd4k"])

    def test_no_permission(self):
        with Sandbox() as box:
            box.image("image", 1 << 20)
            os.chmod(box.path, 0o755)
            os.chmod(f"{box.path}/image", 0o400 if os.geteuid() else 0o600)
            result = programs.run_as_nobody(BLK, f"--socket-path={box.path}/s",
                                            f"--blk-file={box.path}/image")
            self.assertEqual(result.returncode, FAILED, result.stderr)
            self.assertIn("ermission", result.stderr)
            self.assertIn("/image", result.stderr)
            os.chmod(box.path, 0o555)
            result = programs.run_as_nobody(BLK, f"--socket-path={box.path}/s",
                                            "--blk-file=null:1M")
            os.chmod(box.path, 0o755)
            self.assertEqual(result.returncode, FAILED, result.stderr)
            self.assertIn("ermission", result.stderr)
            self.assertIn("/s", result.stderr)

    def test_the_fd_must_be_a_unix_stream_socket(self):
        with open(os.devnull, "rb") as null, socket.socket(socket.AF_INET) as inet, \
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
            for other in (null, inet, datagrams):
                number = other.fileno()
                result = run([BLK, f"--fd={number}", "--blk-file=null:1M"], pass_fds=[number])
                self.assertEqual(result.returncode, USAGE)
                self.assertIn(f"--fd {number} is no Unix stream socket", result.stderr)

    def test_fd_excludes_a_path(self):
        here, there = socket.socketpair()
        with here, there:
            number = there.fileno()
            for more, sentence in ((["--socket-path=/x"], "--socket-path and --fd exclude"),
                                   (["--client"], "--client connects to a path"),
                                   (["--socket-mode=0600"], "--socket-mode is for a socket")):
                result = run([BLK, f"--fd={number}", "--blk-file=null:1M", *more],
                             pass_fds=[number])
                self.assertEqual(result.returncode, USAGE)
                self.assertIn(sentence, result.stderr)
            disk = f"--disk=fd={number},file=null:1M"
            result = run([BLK, disk, disk], pass_fds=[number])
            self.assertEqual(result.returncode, USAGE)
            self.assertIn(f"two disks have fd {number}", result.stderr)


class Printed(unittest.TestCase):
    def test_capabilities(self):
        for arguments in ([], ["--nonsense", "--blk-file=/none", "more"]):
            result = run([BLK, "--print-capabilities", *arguments])
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertEqual(json.loads(result.stdout),
                             {"type": "block", "features": ["read-only", "blk-file"]})
        result = run([BLK, "--blk-file=/none", "--print-capabilities"])
        self.assertEqual(json.loads(result.stdout)["type"], "block")

    def test_help_fits_a_screen(self):
        for arguments in ([BLK], [IOLANE], [IOLANE, "blk"], *([IOLANE, "blk", verb]
                          for verb in ("add", "del", "list", "resize", "stats"))):
            result = run([*arguments, "--help"])
            self.assertEqual((result.returncode, result.stderr), (0, ""), arguments)
            lines = result.stdout.splitlines()
            self.assertLessEqual(len(lines), 40, arguments)
            self.assertLessEqual(max(map(len, lines)), 90, arguments)
            self.assertTrue(lines[0].startswith("Usage: "), arguments)
        self.assertEqual(run([BLK, "-h"]).stdout, run([BLK, "--help"]).stdout)

    def test_version(self):
        for program, name in ((BLK, "iolane-blk"), (IOLANE, "iolane")):
            for option in ("--version", "-V"):
                result = run([program, option])
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertRegex(result.stdout, rf"^{name} \d+\.\d+\.\d+\n$")

    def test_a_full_standard_output_is_an_error(self):
        for arguments in ([BLK, "--help"], [BLK, "--version"], [BLK, "--print-capabilities"],
                          [IOLANE, "--help"]):
            with open("/dev/full", "wb") as full:
                result = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True,
                                        timeout=programs.SOON, check=False)
            self.assertEqual(result.returncode, FAILED)
            self.assertIn("cannot write to standard output", result.stderr)


class Siblings(unittest.TestCase):
    """What "iolane NAME" starts: iolane-NAME beside it, else in PATH."""

    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.__exit__)
        for folder in ("beside", "path"):
            os.mkdir(f"{self.box.path}/{folder}")
        self.iolane = f"{self.box.path}/beside/iolane"
        shutil.copy(IOLANE, self.iolane)

    def program(self, where, name):
        path = f"{self.box.path}/{where}/iolane-{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nprintf "%s|" {where} "$@"\nexit 7\n')
        os.chmod(path, 0o755)

    def iolane_says(self, *arguments):
        path = f"{self.box.path}/path:{os.environ['PATH']}"
        return run([self.iolane, *arguments], env={**os.environ, "PATH": path})

    def test_found_beside_it_then_in_path(self):
        self.program("path", "bench")
        self.assertEqual(self.iolane_says("bench", "blk", "--x=1 2").stdout, "path|blk|--x=1 2|")
        self.program("beside", "bench")
        result = self.iolane_says("bench", "blk")
        self.assertEqual((result.stdout, result.returncode), ("beside|blk|", 7))
        self.assertEqual(self.iolane_says("help", "bench").stdout, "beside|--help|")

    def test_blk_with_options(self):
        self.program("beside", "blk")
        for arguments in (["--socket-path=s", "--blk-file", "list"], ["--control=c"], ["-V"]):
            self.assertEqual(self.iolane_says("blk", *arguments).stdout,
                             "|".join(["beside", *arguments, ""]))

    def test_a_program_of_somebody_else(self):
        self.program("path", "more")
        self.assertEqual(self.iolane_says("more", "x").stdout, "path|x|")

    def test_what_cannot_be_started(self):
        for arguments, status, sentence in (
                ([], USAGE, "say what to do"),
                (["--nothing"], USAGE, "unknown option --nothing"),
                (["bnech"], USAGE, "unknown command bnech: did you mean bench?"),
                (["../evil"], USAGE, "unknown command ../evil"),
                (["bench"], FAILED, "cannot find iolane-bench beside"),
                (["blk"], USAGE, "iolane blk needs a verb"),
                (["blk", "--direct"], FAILED, "cannot find iolane-blk beside"),
                (["blk", "lst"], USAGE, "did you mean list?"),
                (["help", "blk", "lst"], USAGE, "did you mean list?"),
                (["help", "nothing"], USAGE, "unknown command nothing")):
            with self.subTest(arguments=arguments):
                result = run([self.iolane, *arguments], env={"PATH": f"{self.box.path}/path"})
                self.assertEqual((result.returncode, result.stdout), (status, ""))
                self.assertEqual(len(result.stderr.splitlines()), 1)
                self.assertIn(sentence, result.stderr)

    def test_one_that_may_not_be_executed(self):
        self.program("beside", "bench")
        os.chmod(f"{self.box.path}/beside/iolane-bench", 0o644)
        result = self.iolane_says("bench")
        self.assertEqual(result.returncode, FAILED)
        self.assertIn("cannot start iolane-bench: Permission denied", result.stderr)


class Documents(unittest.TestCase):
    def test_the_description_for_managers(self):
        # docs/interop/vhost-user.json, VhostUserBackend.
        with open(os.environ["IOLANE_BLK_DESCRIPTION"], encoding="utf-8") as file:
            description = json.load(file)
        self.assertEqual(sorted(description), ["binary", "description", "tags", "type"])
        self.assertEqual(description["type"], "block")
        self.assertTrue(description["binary"].startswith("/"))
        self.assertTrue(description["binary"].endswith("/iolane-blk"))

    def test_manual_pages_name_every_option(self):
        for name, programs_of_page in (
                ("iolane-blk", [[BLK]]),
                ("iolane", [*([IOLANE, "blk", verb]
                              for verb in ("add", "del", "list", "resize", "stats")),
                            *([IOLANE, verb] for verb in ("bind", "unbind", "undo"))])):
            documented = programs.documented_options(name)
            for program in programs_of_page:
                for option in programs.help_options(run([*program, "--help"]).stdout):
                    self.assertIn(option, documented, name)

    def test_completion(self):
        lines = {
            "iolane b": "bind blk bench",
            "iolane un": "unbind undo",
            "iolane bind --w": "--with-group",
            "iolane undo --d": "--dry-run",
            "iolane blk re": "resize",
            "iolane blk --read": "--read-only",
            "iolane blk del --fo": "--force",
            "iolane blk stats --w": "--watch",
            "iolane help blk a": "add",
            "iolane-blk --c": "--cache= --client --control=",
            "iolane-blk --cache=w": "writeback writethrough",
            "iolane-blk --engine ": "auto io_uring pool",
            "iolane-blk --socket-path=/dev/nul": "/dev/null",
        }
        self.assertEqual(programs.completions(lines), lines)


class Serving(unittest.TestCase):
    def test_every_good_command_line(self):
        for arguments in GOOD_LINES:
            with self.subTest(arguments=arguments), Sandbox() as box:
                box.image("image", 1 << 20)
                box.image("comma,image", 1 << 20)
                with box.blk(*filled(arguments, box.path)) as blk:
                    blk.connect(f"{box.path}/s").close()
                    self.assertEqual(blk.stop(), 0, blk.log())
                    self.assertIn("ended cleanly", blk.log().splitlines()[-1])
                self.assertEqual(sorted(os.listdir(box.path)), ["comma,image", "image"])

    def test_past_the_page_cache(self):
        for arguments in (["--direct"], ["--cache=none"], ["--direct", "--iopoll"],
                          ["--direct", "--cache=writethrough"], ["--cache=none", "--fixed-buffers"]):
            with self.subTest(arguments=arguments), Sandbox() as box:
                image = box.image("image", 1 << 20)
                try:
                    os.close(os.open(image, os.O_RDONLY | os.O_DIRECT))
                except OSError:
                    self.skipTest("the file system under /tmp knows no O_DIRECT")
                with box.blk(*filled(GOOD, box.path), *arguments) as blk:
                    blk.connect(f"{box.path}/s").close()
                    self.assertEqual(blk.stop(), 0, blk.log())

    def test_every_option_is_tried(self):
        tried = " ".join(word for line, *_ in [(line,) for line in GOOD_LINES] + BAD
                         for word in line) + " --print-capabilities --version --help"
        tried += " ".join(("--fd=", "--client", "--direct"))
        for option in programs.help_options(run([BLK, "--help"]).stdout):
            self.assertIn(option, tried)

    def test_log_names_the_disk(self):
        with Sandbox() as box:
            box.image("image", 3 << 20)
            with box.blk(*filled(GOOD, box.path), "--num-queues=1", "--name=vm1") as blk:
                blk.wait_log(f"iolane-blk: vm1: serving {box.path}/image (3 MiB, 1 queue, ")
                blk.wait_log(f" on {box.path}/s\n")

    def test_signals_end_it_cleanly(self):
        for number, word in ((signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")):
            with Sandbox() as box, box.blk(f"--socket-path={box.path}/s",
                                           "--blk-file=null:1M") as blk:
                with blk.connect(f"{box.path}/s"):
                    self.assertEqual(blk.stop(number), 0)
                self.assertTrue(blk.log().endswith(f"ended cleanly: {word}\n"))
                self.assertFalse(os.path.exists(f"{box.path}/s"))

    @unittest.skipUnless(programs.BENCH, "iolane-bench was not built")
    def test_no_lock_keeps_it_from_ending(self):
        with Sandbox() as box:
            # Somebody who does not share writing, as QEMU's lock bytes say it.
            with open(box.image("image", 1 << 20), "r+b") as holder:
                shared_base, perm_write = 200, 1
                fcntl.fcntl(holder, fcntl.F_OFD_SETLK,
                            struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET,
                                        shared_base + perm_write, 1, 0))
                with box.blk(f"--socket-path={box.path}/s", f"--blk-file={box.path}/image",
                             "--num-queues=1", "--lock-timeout=3600s") as blk:
                    blk.wait_connect(f"{box.path}/s")
                    with subprocess.Popen([programs.BENCH, "blk", f"--socket={box.path}/s"],
                                          stdout=subprocess.DEVNULL,
                                          stderr=subprocess.DEVNULL) as guest:
                        try:
                            blk.wait_log("waiting up to 3600000 ms for the lock")
                            self.assertEqual(blk.stop(), 0)
                        finally:
                            guest.kill()

    def test_stale_socket_is_replaced_live_one_refused(self):
        with Sandbox() as box:
            for option in ("--socket-path", "--control"):
                path = f"{box.path}/s" if option == "--socket-path" else f"{box.path}/c"
                arguments = [f"{option}={path}"]
                if option == "--socket-path":
                    arguments += ["--blk-file=null:1M"]
                with socket.socket(socket.AF_UNIX) as dead:
                    dead.bind(path)
                with box.blk(*arguments) as blk:
                    blk.wait_connect(path)
                    result = run([BLK, *arguments])
                    self.assertEqual(result.returncode, FAILED, result.stderr)
                    self.assertIn(path, result.stderr.splitlines()[-1])
                    # The one that had it has it still.
                    blk.connect(path).close()
                    self.assertEqual(blk.stop(), 0)

    def test_socket_mode(self):
        with Sandbox() as box, box.blk(f"--socket-path={box.path}/s", "--blk-file=null:1M",
                                       "--socket-mode=0620",
                                       f"--control={box.path}/c") as blk:
            blk.wait_connect(f"{box.path}/c")
            self.assertEqual(stat.S_IMODE(os.stat(f"{box.path}/s").st_mode), 0o620)
            self.assertEqual(stat.S_IMODE(os.stat(f"{box.path}/c").st_mode), 0o600)

    def test_fd_ends_with_its_front_end(self):
        here, there = socket.socketpair()
        with Sandbox() as box, here:
            with box.blk(f"--fd={there.fileno()}", "--blk-file=null:1M", fds=[there.fileno()]) as blk:
                there.close()
                blk.wait_log("serving null:1M")
                # VHOST_USER_GET_FEATURES: flags 1 is the protocol's version.
                here.sendall((1).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes(4))
                here.settimeout(programs.SOON)
                self.assertEqual(int.from_bytes(here.recv(4), "little"), 1)
                here.close()
                self.assertEqual(blk.wait(), 0)
                self.assertIn("ended cleanly: no front end is left", blk.log())

    def test_fd_may_listen(self):
        with Sandbox() as box, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{box.path}/s")
            listener.listen()
            with box.blk(f"--fd={listener.fileno()}", "--blk-file=null:1M",
                         fds=[listener.fileno()]) as blk:
                blk.wait_log("serving null:1M")
                for _ in range(2):
                    programs.get_features(blk.connect(f"{box.path}/s"))
                self.assertEqual(blk.stop(), 0)

    def test_client_connects_when_the_front_end_comes(self):
        with Sandbox() as box:
            path = f"{box.path}/s"
            with box.blk(f"--socket-path={path}", "--client", "--blk-file=null:1M") as blk:
                blk.wait_log("serving null:1M")
                with socket.socket(socket.AF_UNIX) as listener:
                    listener.bind(path)
                    listener.listen()
                    listener.settimeout(programs.SOON)
                    for _ in range(2):
                        connection, _ = listener.accept()
                        programs.get_features(connection)
                self.assertEqual(blk.stop(), 0, blk.log())

    def test_an_ordinary_user_may_run_it(self):
        with Sandbox() as box:
            box.image("image", 1 << 20)
            user = {}
            if os.geteuid() == 0:
                os.chown(box.path, 65534, 65534)
                os.chown(f"{box.path}/image", 65534, 65534)
                user = {"user": 65534, "group": 65534, "extra_groups": []}
            with box.blk(*filled(GOOD, box.path), f"--control={box.path}/c", **user) as blk:
                blk.wait_connect(f"{box.path}/c")
                blk.connect(f"{box.path}/s").close()
                status = programs.read_file(f"/proc/{blk.pid}/status")
                self.assertNotIn("Uid:\t0\t", status)
                # Its own user and root may steer it.
                self.assertEqual(run([IOLANE, "blk", "list", f"--control={box.path}/c"]).returncode,
                                 0)
                self.assertEqual(blk.stop(), 0)

    def test_one_disk_takes_little_memory(self):
        with open(BLK, "rb") as file:
            if b"__asan_init" in (program := file.read()) or b"__tsan_init" in program:
                self.skipTest("a sanitizer takes more than the program")
        with Sandbox() as box:
            box.image("image", 1 << 30)
            with box.blk(*filled(GOOD, box.path), f"--control={box.path}/c") as blk:
                blk.wait_connect(f"{box.path}/c")
                run([IOLANE, "blk", "stats", f"--control={box.path}/c"])
                status = programs.read_file(f"/proc/{blk.pid}/status")
                self.assertLess(int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]), 16 << 10)

    def test_image_that_grew_is_seen_on_sighup(self):
        with Sandbox() as box:
            box.image("image", 1 << 20)
            with box.blk(*filled(GOOD, box.path), f"--control={box.path}/c") as blk:
                blk.wait_connect(f"{box.path}/c")
                blk.kill(signal.SIGHUP)
                blk.wait_log("disk0: the size is still 1 MiB")
                os.truncate(f"{box.path}/image", 5 << 20)
                blk.kill(signal.SIGHUP)
                programs.until("the new size to be listed", lambda: json.loads(
                    run([IOLANE, "blk", "list", "--json", f"--control={box.path}/c"]).stdout)[0]
                               ["capacity"] == 5 << 20)
                # One that shrank is no reason to end.
                os.truncate(f"{box.path}/image", 1000)
                blk.kill(signal.SIGHUP)
                blk.wait_log("shrank")
                self.assertEqual(blk.stop(), 0)

    def test_one_disk_that_fails_ends_all(self):
        with Sandbox() as box:
            result = run([BLK, f"--disk=socket={box.path}/a,file=null:1M",
                          f"--disk=socket={box.path}/b,file={box.path}/none"])
            self.assertEqual(result.returncode, FAILED)
            self.assertIn("/none", result.stderr)
            self.assertEqual(os.listdir(box.path), [])


if __name__ == "__main__":
    programs.main()
