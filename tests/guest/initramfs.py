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

INIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "init")
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


def module_files(tree):
    """Where a kernel's modules are: their files by their names, None for what is built in."""
    files = {}
    with contextlib.suppress(FileNotFoundError), open(f"{tree}/modules.builtin") as names:
        files.update((module_name(name), None) for name in names)
    for folder, _, names in os.walk(tree):
        for name in names:
            if name.endswith((".ko", ".ko.xz")):
                files[module_name(name)] = os.path.join(folder, name)
    return files


def module_name(path):
    return os.path.basename(path).split(".")[0].replace("-", "_")


def read_module(path):
    opened = lzma.open(path) if path.endswith(".xz") else open(path, "rb")
    with opened as module:
        return module.read()


def module_says(what, path):
    info = re.search(rb"\0%s=([^\0]*)\0" % what.encode(), read_module(path))
    return info.group(1).decode() if info else ""


def module_lines(files, modules):
    """What to load, dependencies first: (file, its parameters) of the modules and all they need.

    A module may be followed by its parameters, as insmod takes them."""
    order = {}

    def visit(name, parameters=""):
        try:
            path = files[name.replace("-", "_")]
        except KeyError as err:
            raise Missing(f"the kernel package lacks the module {name}") from err
        if path is None or path in order:
            return
        for needed in module_says("depends", path).split(","):
            if needed:
                visit(needed)
        order[path] = parameters

    for line in modules:
        visit(*line.split(" ", 1))
    return list(order.items())


class Contents:
    """What goes into an initramfs besides busybox: paths of programs, and modules.

    modules are names of what init loads, each with its parameters if it has any; spare_modules
    are there for modprobe. Without a kernel folder it is for a kernel that needs no modules."""

    def __init__(self, programs=(), kernel=None, modules=(), spare_modules=()):
        self.programs = [*map(find_program, PROGRAMS), *programs]
        self.version = kernel and kernel_version(kernel)
        self.loaded = []
        self.dependencies = {}
        if kernel:
            files = module_files(os.path.join(kernel, "lib/modules", self.version))
            self.loaded = module_lines(files, modules)
            for path, _ in module_lines(files, [*modules, *spare_modules]):
                needed = [needed for needed, _ in module_lines(files, [module_name(path)])]
                self.dependencies[path] = needed[-2::-1]
            for path, needed in self.dependencies.items():
                needed[:0] = self.followers(files, path, needed)

    def followers(self, files, path, needed):
        """What is to be loaded soon after a module that this one needs, as VFIO wants type1.

        Busybox knows only what goes before: so it goes before those that need such a module."""
        names = []
        for other in needed:
            names += module_says("softdep", other).partition("post:")[2].split()
        found = [files.get(name.replace("-", "_")) for name in names]
        return [file for file in found if file in self.dependencies and file not in (path, *needed)]

    def inputs(self):
        """(the files that decide what comes out, the words that do)"""
        words = [f"{os.path.basename(path)} {parameters}" for path, parameters in self.loaded]
        names = map(os.path.basename, self.programs)
        return [*self.programs, *self.dependencies], [str(self.version), *names, *words]

    def write_modules(self, cpio):
        """The modules, the order to load some of them in, and the index that modprobe reads."""
        folder = f"lib/modules/{self.version}"

        def place(path):
            return os.path.basename(path).removesuffix(".xz")

        for path in self.dependencies:
            cpio.data(f"{folder}/{place(path)}", read_module(path), 0o644)
        order = [f"/{folder}/{place(path)} {words}".strip() + "\n" for path, words in self.loaded]
        cpio.text("lib/modules/order", "".join(order))
        if self.dependencies:
            index = [
                f"{place(path)}: {' '.join(map(place, needed))}\n"
                for path, needed in self.dependencies.items()
            ]
            cpio.text(f"{folder}/modules.dep", "".join(index))
            # The kernel asks for modules by this name.
            cpio.link("sbin/modprobe", "/bin/busybox")


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

    def data(self, name, data, mode):
        self.folder(os.path.dirname(name))
        self.entry(name, stat.S_IFREG | mode, data)

    def file(self, name, source, mode=0o755):
        with open(source, "rb") as data:
            self.data(name.lstrip("/"), data.read(), mode)

    def text(self, name, text):
        self.data(name, text.encode(), 0o644)

    def link(self, name, target):
        self.folder(os.path.dirname(name))
        self.entry(name, stat.S_IFLNK | 0o777, target.encode())

    def close(self):
        self.entry("TRAILER!!!", 0)


def write_initramfs(out, busybox, contents):
    cpio = Cpio(out)
    for name in ("dev", "proc", "sys", "run", "tmp", "mnt"):
        cpio.folder(name)
    # The kernel opens the console before init can mount devtmpfs.
    cpio.entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    cpio.file("bin/busybox", busybox)
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    own = {os.path.basename(path) for path in contents.programs}
    for applet in applets.stdout.split():
        if applet != "busybox" and applet not in own:
            cpio.link(f"bin/{applet}", "busybox")
    added = set()
    for program in contents.programs:
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
    contents.write_modules(cpio)
    cpio.file("init", INIT)
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


def build_initramfs(cache, contents):
    """The path of an initramfs with these contents."""
    busybox = find_program("busybox")
    if libraries(busybox):
        raise Missing("busybox is linked dynamically: install busybox-static")
    files, words = contents.inputs()
    return keep(
        cache,
        "initramfs",
        [os.path.abspath(__file__), INIT, busybox, *files],
        lambda out: write_initramfs(out, busybox, contents),
        words,
    )


def build_image(cache, kernel):
    """The path of the kernel image in the folder, in the form that boots fastest."""
    vmlinuz = os.path.join(kernel, "boot", f"vmlinuz-{kernel_version(kernel)}")
    try:
        return keep(cache, "vmlinux", [vmlinuz], lambda out: write_vmlinux(out, vmlinuz))
    except (ValueError, lzma.LZMAError):
        return vmlinuz


def build(kernel, guestio, cache, more_modules=(), more_programs=()):
    """Build what is not there yet; gives (kernel image, initramfs).

    more_modules are names, each with its parameters if it has any; more_programs are paths."""
    contents = Contents([guestio, *more_programs], kernel, [*MODULES, *more_modules])
    return build_image(cache, kernel), build_initramfs(cache, contents)


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
