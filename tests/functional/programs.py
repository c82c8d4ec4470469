# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of the programs share: where they are, running them, waiting for them."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

# Meson names the programs to the test; see meson.build.
IOLANE = os.environ["IOLANE"]
BLK = os.environ.get("IOLANE_BLK")
NET = os.environ.get("IOLANE_NET")
BENCH = os.environ.get("IOLANE_BENCH")
VMM = os.environ.get("IOLANE_VMM")

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# A bound on what comes at once on any machine, and slowly on a loaded one under a sanitizer.
SOON = 60


def run(arguments, **more):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=SOON, check=False,
                          stdin=subprocess.DEVNULL, **more)


def started(arguments):
    """A program whose output is read while it runs."""
    return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True)


def at_terminal(arguments, columns, **environment):
    """The lines that a program prints at a terminal of so many columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=its,
                          env=os.environ | environment) as process:
        os.close(its)
        text = b""
        try:
            while more := os.read(ours, 1 << 16):
                text += more
        except OSError:  # the other side has gone
            pass
        os.close(ours)
        process.wait(timeout=SOON)
    return text.decode().splitlines()


def run_as_nobody(program, *arguments):
    """As an ordinary user: ourselves, or nobody when we are root. The program may lie
    where nobody can reach it, so it is opened before and run through its descriptor."""
    if os.geteuid():
        return run([program, *arguments])
    number = os.open(program, os.O_RDONLY)
    try:
        return run([f"/proc/self/fd/{number}", *arguments], pass_fds=[number], user=65534,
                   group=65534, extra_groups=[])
    finally:
        os.close(number)


def read_file(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def help_options(text):
    """The long options that a help text explains: the ones that start a line."""
    options = set()
    for line in text.splitlines():
        if re.match(r" +--", line):
            options.update(re.findall(r"(?:^|, ) *(--[a-z-]+)", line.split("   ")[0] + line[:30]))
    return options


def documented_options(page):
    """The long options that a manual page has a place for."""
    return {"--" + word for word in re.findall(r"Fl -([a-z-]+)", read_file(f"{TOP}/docs/man/{page}.1"))}


def completions(lines):
    """What bash would complete each of the command lines to, by the line."""
    script = f"""
        export PATH={":".join(os.path.dirname(path) for path in (IOLANE, BLK, NET, BENCH, VMM) if path)}:$PATH
        compopt() {{ :; }}
        source {TOP}/tools/completion/iolane.bash
        while IFS= read -r COMP_LINE; do
          COMP_POINT=${{#COMP_LINE}}
          _iolane
          echo "${{COMPREPLY[*]}}"
        done"""
    result = subprocess.run(["bash", "-c", script], input="\n".join(lines) + "\n", check=True,
                            capture_output=True, text=True, timeout=SOON)
    return dict(zip(lines, result.stdout.splitlines(), strict=True))


def until(what, condition):
    """Wait until the condition holds; it says what it got."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        got = condition()
        if got:
            return got
        time.sleep(0.01)
    raise AssertionError(f"waited {SOON} s in vain for {what}")


def settled(what, look):
    """What it sees when that has not changed for a tenth of a second."""
    def twice():
        before = look()
        time.sleep(0.1)
        return [before] if before == look() else None
    return until(f"{what} to stay", twice)[0]


def get_features(connection):
    """The shortest exchange a front end has: VHOST_USER_GET_FEATURES; ends the connection."""
    with connection:
        connection.settimeout(SOON)
        connection.sendall(b"".join(n.to_bytes(4, "little") for n in (1, 1, 0)))
        reply = b""
        while len(reply) < 20:
            more = connection.recv(20 - len(reply))
            if not more:
                raise AssertionError("the back end closed the connection")
            reply += more
        return int.from_bytes(reply[12:], "little")


class Backend:
    """A running iolane-blk or iolane-net."""

    def __init__(self, box, program, arguments, fds, more):
        self.name = os.path.basename(program)
        self.log_path = f"{box.path}.log"
        # Nobody may not reach the build tree: open the program before, run its descriptor.
        number = os.open(program, os.O_RDONLY)
        with open(self.log_path, "wb") as log:
            path = f"/proc/self/fd/{number}" if "user" in more else program
            self.process = subprocess.Popen([path, *arguments], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, pass_fds=[number, *fds], **more)
        os.close(number)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        log = self.log()
        os.unlink(self.log_path)
        if error[0]:
            print(log, file=sys.stderr)
        elif "Sanitizer" in log or "runtime error" in log:
            raise AssertionError(log)

    def log(self):
        return read_file(self.log_path)

    def check_alive(self):
        if self.process.poll() is not None:
            raise AssertionError(
                f"{self.name} ended with {self.process.returncode}: {self.log()}")

    def wait_log(self, text):
        def logged():
            found = text in self.log()
            if not found:
                self.check_alive()
            return found
        until(f"the log to say {text!r}", logged)

    def wait_connect(self, path):
        self.connect(path).close()

    def connect(self, path):
        """A connection, as soon as the socket is there and listens and has a place for it."""
        def connected():
            self.check_alive()
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(SOON)
            try:
                connection.connect(path)
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
                connection.close()
                return None
            except OSError:
                connection.close()
                raise
            return connection
        return until(f"{path} to listen", connected)

    def kill(self, number):
        self.process.send_signal(number)

    def wait(self):
        return self.process.wait(timeout=SOON)

    def stop(self, number=signal.SIGTERM):
        self.kill(number)
        return self.wait()


class Outcomes(unittest.TestCase):
    """A program did what it was asked, or said in one sentence why not."""

    def good(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def bad(self, result, status, sentence):
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertIn(sentence, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertEqual(result.stdout, "")

    def documented(self, verbs):
        """Each of iolane's verbs, given by its words, has a help that fits and a place in the manual page, which is returned."""
        documented = documented_options("iolane")
        page = read_file(f"{TOP}/docs/man/iolane.1")
        for verb in verbs:
            with self.subTest(verb=verb):
                text = self.good(run([IOLANE, *verb, "--help"]))
                self.assertEqual(text, self.good(run([IOLANE, "help", *verb])))
                self.assertTrue(text.startswith(f"Usage: iolane {' '.join(verb)}"), text)
                self.assertLessEqual(max(map(len, text.splitlines())), 80)
                self.assertLessEqual(help_options(text), documented)
                self.assertIn(f".It Cm {' '.join(verb)}\n", page)
        return page


class Sandbox:
    """A folder for a test's files and sockets, with a path short enough for a socket's."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="iolane-", dir="/tmp")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)

    def image(self, name, size):
        path = f"{self.path}/{name}"
        with open(path, "wb") as file:
            file.truncate(size)
        return path

    def backend(self, program, *arguments, fds=(), **more):
        return Backend(self, program, arguments, list(fds), more)

    def blk(self, *arguments, **more):
        return self.backend(BLK, *arguments, **more)

    def net(self, *arguments, **more):
        return self.backend(NET, *arguments, **more)


def receive_all(connection):
    """What comes until the other side closes."""
    text = b""
    try:
        while True:
            more = connection.recv(1 << 16)
            if not more:
                return text
            text += more
    except ConnectionResetError:
        return text


class Steering(unittest.TestCase):
    """Each test has a program with a control socket, and the verbs of iolane that speak to it."""

    # Of "iolane GROUP VERB".
    group = None

    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.__exit__)
        self.path = f"{self.box.path}/c"
        self.server = None

    def steer(self, server):
        self.server = server
        self.addCleanup(server.__exit__, None)
        server.wait_connect(self.path)

    def tearDown(self):
        # Whatever it went through, it ends cleanly.
        if self.server and self.server.process.poll() is None:
            self.assertEqual(self.server.stop(), 0, self.server.log())

    def verb(self, *arguments, status=0, **more):
        result = run([IOLANE, self.group, *arguments, f"--control={self.path}"], **more)
        self.assertEqual(result.returncode, status, result.stderr + result.stdout)
        if status:
            self.assertEqual(result.stdout, "")
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
            self.assertTrue(result.stderr.startswith("iolane: "), result.stderr)
            return result.stderr
        return result.stdout

    def verb_json(self, *arguments):
        return json.loads(self.verb(*arguments, "--json"))

    def ask(self, *lines):
        """Send lines as they are; the replies that come until the other side closes."""
        with self.server.connect(self.path) as connection:
            connection.sendall(b"".join(lines))
            connection.shutdown(socket.SHUT_WR)
            return receive_all(connection).splitlines()

    def ask_one(self, request):
        reply, = self.ask(json.dumps(request).encode() + b"\n")
        return json.loads(reply)

    def assert_refused(self, line, sentence):
        reply, = self.ask(line + b"\n")
        reply = json.loads(reply)
        self.assertEqual(sorted(reply), ["error", "ok"])
        self.assertFalse(reply["ok"])
        self.assertIn(sentence, reply["error"])


def main():
    unittest.main(verbosity=1)
