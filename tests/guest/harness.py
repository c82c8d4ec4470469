# SPDX-License-Identifier: BSD-3-Clause
"""What the guest tests share: a lab that starts backends and guests and cleans up after them.

A test is a function that takes a Lab. The lab starts backends and guests, waits for them with a
bound, and on every way out ends what it started and removes its folder. A guest boots in a few
seconds, so a test runs all it can in one boot.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import initramfs
import network
from backend import STAND_IN, Backend, Disk, is_stand_in
from basis import Failure, Missing, Process, check, tail
from guest import ACCELERATORS, Guest

HERE = os.path.dirname(os.path.abspath(__file__))
ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ROOT = os.path.dirname(os.path.dirname(HERE))


class Lab:
    """One test's machines: finds what it needs, starts it, and ends and removes all of it."""

    def __init__(self, args, program="iolane-blk"):
        self.began = time.monotonic()
        self.guests = []
        self.processes = []
        self.accel = os.environ.get("IOLANE_GUEST_ACCEL", "tcg")
        if self.accel not in ACCELERATORS:
            raise Missing(f"IOLANE_GUEST_ACCEL is {self.accel}: it may be tcg or kvm")
        self.backend_path = args.backend or find_built(args.build, program)
        self.stand_in = is_stand_in(self.backend_path)
        self.build = args.build
        self.qemu = shutil.which("qemu-system-x86_64")
        if not self.qemu:
            raise Missing("qemu-system-x86_64 is not installed")
        version = subprocess.check_output([self.qemu, "--version"], text=True)
        self.qemu_version = tuple(map(int, re.search(r"(\d+)\.(\d+)", version).groups()))
        self.kernel = args.kernel or fetch_kernel()
        self.kernel_image, self.initramfs = self.build_guest()
        self.folder = tempfile.mkdtemp(prefix="iolane-guest-")

    def build_guest(self, modules=(), programs=()):
        """(kernel image, initramfs); more modules, and programs of the build folder, go in."""
        guestio = find_built(self.build, "guestio")
        cache = os.path.join(self.build, "tests/guest/cache")
        paths = [find_built(self.build, name) for name in programs]
        return initramfs.build(self.kernel, guestio, cache, modules, paths)

    def add_to_guests(self, modules=(), programs=()):
        """Guests that are started from now on have these, too."""
        self.kernel_image, self.initramfs = self.build_guest(modules, programs)

    def path(self, name):
        return os.path.join(self.folder, name)

    def step(self, sentence):
        print(f"[{time.monotonic() - self.began:6.1f} s] {sentence}", flush=True)

    def run(self, name, command, log):
        process = Process(name, command, log)
        self.processes.append(process)
        return process

    def image(self, name, size):
        """A sparse image of size bytes; an existing one gets that size."""
        path = self.path(f"{name}.img")
        with open(path, "ab") as image:
            image.truncate(size)
        return path

    def disk(self, name, size=64 << 20, properties=None, **options):
        """An image, its backend and a disk on it, all of one name."""
        backend = Backend(self, name, self.image(name, size), **options)
        return Disk(backend, **(properties or {}))

    def packed(self, **properties):
        """The properties of a disk with packed rings, which the stand-in has not."""
        return properties if self.stand_in else {"packed": True, **properties}

    def guest(self, name, disks, **options):
        return Guest(self, name, disks, **options)

    def iolane(self, *arguments):
        """Runs the iolane command, which must succeed; gives its output."""
        command = [find_built(self.build, "iolane"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        check(done.returncode == 0, f"{' '.join(command)} gave {done.returncode}: {done.stderr}")
        return done.stdout

    def locked(self, image):
        """Whether QEMU's tools find the image in use by somebody who may write to it."""
        command = ["qemu-io", "-f", "raw", "-c", "length", image]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        check(
            done.returncode == 0 or "lock" in done.stderr,
            f"qemu-io on {image} failed with another reason than a lock: {done.stderr}",
        )
        return done.returncode != 0

    def check_direct(self):
        """Skips the test where the images' file system has no O_DIRECT (tmpfs before Linux 6.6)."""
        path = self.image("probe", 4096)
        try:
            os.close(os.open(path, os.O_RDWR | os.O_DIRECT))
        except OSError as err:
            reason = f"{self.folder} takes no O_DIRECT: set TMPDIR to a folder on a disk"
            raise Missing(reason) from err

    def finish(self):
        """The end of a test that went well: guests have no complaint, backends end when told."""
        for guest in list(self.guests):
            guest.check_dmesg()
            guest.quit()
        for process in self.processes:
            if process.alive:
                status = process.kill(signal.SIGTERM)
                good = (0, -signal.SIGTERM) if self.stand_in else (0,)
                check(status in good, f"{process.name} ended with {status} on SIGTERM")

    def diagnose(self):
        """Everything that may tell why: what processes and guests say, the ends of all logs."""
        for process in self.processes:
            state = "runs" if process.alive else f"ended with {process.child.returncode}"
            print(f"--- {process.name} (pid {process.child.pid}) {state}", flush=True)
        for guest in self.guests:
            guest.diagnose()
        for name in sorted(os.listdir(self.folder)):
            if name.endswith((".log", ".console")):
                text = tail(self.path(name))
                if text.strip():
                    print(f"--- end of {name}\n{text.rstrip()}", flush=True)

    def close(self):
        for process in self.processes:
            if process.alive:
                process.child.kill()
                process.child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def find_built(build, name):
    """A program in the build folder, wherever its meson.build puts it."""
    for folder, folders, files in os.walk(build):
        # What a cache keeps may be a copy of long ago.
        folders[:] = sorted(f for f in folders
                            if f != "cache" and not f.endswith(".p") and not f.startswith("."))
        path = os.path.join(folder, name)
        if name in files and os.access(path, os.X_OK):
            return path
    raise Missing(f"{name} is not built in {build}")


def fetch_kernel(*options):
    """The folder of the unpacked kernel package, fetched by tools/fetch-kernel if need be."""
    command = [os.path.join(ROOT, "tools/fetch-kernel"), *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as err:
        reason = (getattr(err, "stderr", "") or str(err)).strip().split("\n")[-1]
        raise Missing(f"no guest kernel: {reason}") from err
    return done.stdout.strip().split("\n")[-1]


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    stand_ins = f"{STAND_IN} (disks) or {network.STAND_IN} (NICs)"
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="the build folder")
    parser.add_argument("--backend", help=f"another backend: a path to its program, or to {stand_ins}")
    parser.add_argument("--kernel", help="folder of an unpacked kernel package")
    return parser


def on_signal(number, _):
    # Once: a second one must not cut the clean-up short.
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    raise SystemExit(128 + number)


def run_guarded(work):
    """Runs work() and gives the exit status: 0 done, 1 failed, 77 when something is missing."""
    for ending in ENDINGS:
        signal.signal(ending, on_signal)
    try:
        work()
        return 0
    except Missing as err:
        print(f"skipped: {err}")
        return 77
    except Failure as err:
        print(f"\nFAILED: {err}")
        return 1


def run_in_lab(args, work, program="iolane-blk"):
    """Runs work(lab) in a lab of its own, guarded."""

    def in_lab():
        lab = Lab(args, program)
        try:
            work(lab)
        except Missing:
            raise
        except Exception:
            lab.diagnose()
            raise
        finally:
            lab.close()

    return run_guarded(in_lab)


def main(test, program="iolane-blk"):
    """The main program of a test of the backend."""

    def work(lab):
        test(lab)
        lab.finish()
        lab.step("passed")

    description = sys.modules[test.__module__].__doc__
    sys.exit(run_in_lab(arguments(description).parse_args(), work, program))
