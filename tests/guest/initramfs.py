#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Build the initramfs and the kernel image that the guest tests boot.

The kernel is a Debian package's, unpacked into a folder (boot/vmlinuz-*, lib/modules/*). The
initramfs holds busybox, mke2fs and e2fsck with their libraries, the modules a virtio disk with ext4
needs, the init script beside this file and the guest program; a test may add modules and programs.
What is built is kept under a name made from its inputs, so a second run costs nothing and a changed
input is never missed.
"""

import argparse
import contextlib
import hashlib
import lzma
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time

from basis import Missing

HERE = os.path.dirname(os.path.abspath(__file__))
# virtio_blk and ext4 are what the tests use; ext4 asks the crypto layer for crc32c by name, which
# modinfo does not count as a dependency.
MODULES = ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4"]
PROGRAMS = ["mke2fs", "e2fsck"]


def kernel_version(kernel):
    """The version of the newest kernel unpacked in the folder."""
    try:
        names = sorted(os.listdir(os.path.join(kernel, "lib/modules")))
    except OSError as err:
        raise Missing(f"no kernel modules in {kernel}: {err.strerror}") from err
    for name in reversed(names):
        if os.path.exists(os.path.join(kernel, "boot", f"vmlinuz-{name}")):
            return name
    raise Missing(f"{kernel} has no boot/vmlinuz-* that matches its lib/modules")


def find_program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Missing(f"the program {name} is not installed")
    return os.path.realpath(path)


def libraries(program):
    """What the dynamic loader maps for the program: (path in the guest, source) of each."""
    # ldd fails on a static program, which is the answer "none".
    text = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return [(p, os.path.realpath(p)) for p in re.findall(r"(/\S+) \(0x", text)]


def module_lines(tree, modules):
    """What to load, dependencies first: (file, its parameters) of the modules and all they need.

    A module may be followed by its parameters, as insmod takes them."""
    files = {}
    for folder, _, names in os.walk(tree):
        for name in names:
            if name.endswith(".ko"):
                files[name[:-3].replace("-", "_")] = os.path.join(folder, name)
    order = {}

    def visit(name, parameters=""):
        path = files.get(name)
        if not path:
            raise Missing(f"the kernel package lacks the module {name}")
        if path in order:
            return
        with open(path, "rb") as module:
            info = re.search(rb"\0depends=([^\0]*)\0", module.read())
        for needed in info.group(1).decode().split(",") if info else []:
            if needed:
                visit(needed.replace("-", "_"))
        order[path] = parameters

    for line in modules:
        visit(*line.split(" ", 1))
    return list(order.items())


class Cpio:
    """A newc archive, written entry by entry; folders come by themselves."""

    def __init__(self, out):
        self.out = out
        self.inode = 0
        self.folders = {""}

    def entry(self, name, mode, data=b"", device=(0, 0)):
        self.inode += 1
        path = name.encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0]
        self.out.write(b"070701" + b"".join(b"%08x" % f for f in fields) + path)
        self.out.write(b"\0" * (-(110 + len(path)) % 4) + data + b"\0" * (-len(data) % 4))

    def folder(self, name):
        if name not in self.folders:
            self.folder(os.path.dirname(name))
            self.folders.add(name)
            self.entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, source, mode=0o755):
        name = name.lstrip("/")
        self.folder(os.path.dirname(name))
        with open(source, "rb") as data:
            self.entry(name, stat.S_IFREG | mode, data.read())

    def text(self, name, text):
        self.folder(os.path.dirname(name))
        self.entry(name, stat.S_IFREG | 0o644, text.encode())

    def link(self, name, target):
        self.folder(os.path.dirname(name))
        self.entry(name, stat.S_IFLNK | 0o777, target.encode())

    def close(self):
        self.entry("TRAILER!!!", 0)


def write_initramfs(out, busybox, programs, modules, init, guestio):
    cpio = Cpio(out)
    for name in ("dev", "proc", "sys", "run", "tmp", "mnt"):
        cpio.folder(name)
    # The kernel opens the console before init can mount devtmpfs.
    cpio.entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    cpio.file("bin/busybox", busybox)
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    own = {os.path.basename(path) for path in programs}
    for applet in applets.stdout.split():
        if applet != "busybox" and applet not in own:
            cpio.link(f"bin/{applet}", "busybox")
    added = set()
    for program in programs:
        cpio.file(f"bin/{os.path.basename(program)}", program)
        for path, source in libraries(program):
            if path not in added:
                added.add(path)
                cpio.file(path, source)
    cpio.link("bin/mkfs.ext4", "mke2fs")
    # Without it mke2fs would make ext4 without a journal and print a warning.
    if os.path.exists("/etc/mke2fs.conf"):
        cpio.file("etc/mke2fs.conf", "/etc/mke2fs.conf", 0o644)
    cpio.link("etc/mtab", "/proc/mounts")
    order = []
    for path, parameters in modules:
        name = f"/lib/modules/{os.path.basename(path)}"
        cpio.file(name, path, 0o644)
        order.append(f"{name} {parameters}".strip() + "\n")
    cpio.text("lib/modules/order", "".join(order))
    cpio.file("bin/guestio", guestio)
    cpio.file("init", init)
    cpio.close()


def write_vmlinux(out, vmlinuz):
    """Unpack the ELF kernel out of a bzImage; QEMU starts it by PVH, which halves the boot."""
    with open(vmlinuz, "rb") as image:
        data = image.read()
    start = data.find(b"\xfd7zXZ\0")
    if start < 0:
        raise ValueError("not packed with xz")
    unpacked = lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(data[start:])
    if unpacked[:4] != b"\x7fELF":
        raise ValueError("no ELF image inside")
    out.write(unpacked)


def forget(cache, name):
    """Removes what no run of the last day has used: inputs that are rebuilt often leave many."""
    for entry in os.scandir(cache):
        # Another test may be about to remove the same.
        with contextlib.suppress(FileNotFoundError):
            if entry.name.startswith(f"{name}-") and entry.stat().st_mtime < time.time() - 86400:
                os.unlink(entry.path)


def keep(cache, name, inputs, write, words=()):
    """The path of cache/name-KEY; write(file) makes it when no run has before.

    KEY is made from the inputs' contents and from words."""
    key = hashlib.sha256("\n".join(words).encode())
    for path in inputs:
        with open(path, "rb") as data:
            key.update(hashlib.sha256(data.read()).digest())
    path = os.path.join(cache, f"{name}-{key.hexdigest()[:16]}")
    if os.path.exists(path):
        os.utime(path)
        return path
    os.makedirs(cache, exist_ok=True)
    forget(cache, name)
    # Tests run side by side may both get here: each writes its own file, the last rename wins.
    fd, temporary = tempfile.mkstemp(dir=cache, prefix=f"{name}-")
    try:
        with os.fdopen(fd, "wb") as out:
            write(out)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def build(kernel, guestio, cache, more_modules=(), more_programs=()):
    """Build what is not there yet; gives (kernel image, initramfs).

    more_modules are names, each with its parameters if it has any; more_programs are paths."""
    version = kernel_version(kernel)
    vmlinuz = os.path.join(kernel, "boot", f"vmlinuz-{version}")
    modules = module_lines(
        os.path.join(kernel, "lib/modules", version), [*MODULES, *more_modules]
    )
    busybox = find_program("busybox")
    if libraries(busybox):
        raise Missing("busybox is linked dynamically: install busybox-static")
    programs = [*map(find_program, PROGRAMS), *more_programs]
    init = os.path.join(HERE, "init")
    inputs = [os.path.abspath(__file__), init, guestio, busybox, *programs]
    inputs += [path for path, _ in modules]
    initramfs = keep(
        cache,
        "initramfs",
        inputs,
        lambda out: write_initramfs(out, busybox, programs, modules, init, guestio),
        words=[parameters for _, parameters in modules],
    )
    try:
        image = keep(cache, "vmlinux", [vmlinuz], lambda out: write_vmlinux(out, vmlinuz))
    except (ValueError, lzma.LZMAError):
        image = vmlinuz
    return image, initramfs


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kernel", required=True, help="folder of the unpacked kernel package")
    parser.add_argument("--guestio", required=True, help="the guest program, linked statically")
    parser.add_argument("--cache", required=True, help="folder that keeps what is built")
    args = parser.parse_args()
    try:
        for path in build(args.kernel, args.guestio, args.cache):
            print(path)
    except Missing as err:
        print(f"initramfs: {err}", file=sys.stderr)
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main())
