# SPDX-License-Identifier: BSD-3-Clause
"""Checks that several guest tests make on a disk."""

from basis import Failure, check, wait_for

# The virtio feature bit of each property of QEMU's device, and whether QEMU sets it unasked.
FEATURES = {
    "indirect_desc": (28, True),
    "event_idx": (29, True),
    "iommu_platform": (33, False),
    "packed": (34, False),
}


def features(guest, disk):
    """The driver took exactly the ring features the disk was given."""
    bits = guest.sh(f"cat /sys/class/block/{guest.device(disk)}/device/features")
    for name, (bit, default) in FEATURES.items():
        wanted = disk.properties.get(name, default)
        check((bits[bit] == "1") == wanted, f"{disk.name}: {name} is not {wanted} in {bits}")


def raw(guest, name):
    """Stamped data over the whole disk; zeroes and discards in its middle."""
    disk = f"/dev/{name}"
    guest.sh(f"guestio fill {disk} --generation=3")
    guest.sh(f"guestio verify {disk} --generation=3")
    for offset, how in ((1 << 20, ""), (3 << 20, "--punch"), (5 << 20, "--discard")):
        guest.sh(f"guestio zero {disk} --offset={offset} --size=1048576 {how}")
        guest.sh(f"guestio blank {disk} --offset={offset} --size=1048576")
    guest.sh(f"guestio blank {disk} --buffered --offset=1048576 --size=1048576")
    guest.refuses(f"guestio verify {disk} --generation=3")


def file_system(guest, name, megabytes=8):
    """mkfs, mount, write, fsync, umount; then the checksums after a mount that has no cache."""
    guest.sh(f"mkfs.ext4 -q -F /dev/{name}")
    guest.sh(f"mkdir -p /mnt/{name} && mount -t ext4 /dev/{name} /mnt/{name}")
    guest.sh(
        f"cd /mnt/{name} && dd if=/dev/urandom of=big bs=1M count={megabytes} conv=fsync"
        " && mkdir many && for i in $(seq 40); do head -c 5000 /dev/urandom > many/$i; done"
        " && sha256sum big many/* > sums && sync"
    )
    verify_files(guest, name, mounted=True)


def verify_files(guest, name, mounted=False):
    """The checksums file_system() left on the disk, and the file system's own consistency."""
    if mounted:
        guest.sh(f"umount /mnt/{name}")
    guest.sh(f"mkdir -p /mnt/{name} && mount -t ext4 /dev/{name} /mnt/{name}")
    guest.sh(f"cd /mnt/{name} && sha256sum -c sums > /dev/null && test $(wc -l < sums) = 41")
    guest.sh(f"umount /mnt/{name} && e2fsck -fn /dev/{name}")


class Stress:
    """guestio's journalled load on one disk, running in the guest while the host does its worst.

    The disk must be blank when it starts."""

    def __init__(self, guest, name, options=""):
        self.guest = guest
        self.name = name
        self.status = guest.sh(f"mktemp /run/stress-{name}-XXXXXX")
        self.pid = guest.sh(
            f"guestio stress /dev/{name} --status={self.status} {options}"
            " > /dev/null 2>&1 & echo $!"
        )
        self.progress()

    def operations(self):
        status, text = self.guest.run(f"cat {self.status}")
        words = text.split()
        if status or len(words) < 2:
            return 0
        check(words[0] == "running", f"the load on {self.name} ended early: {text}")
        return int(words[1].split("=")[1])

    def progress(self, operations=100, seconds=120):
        """Waits until the load has done that many more; a lost request would stop its thread."""
        goal = self.operations() + operations
        try:
            wait_for("progress", lambda: self.operations() >= goal, seconds)
        except Failure as err:
            raise Failure(f"the load on {self.name}: {err}") from err

    def stop(self, seconds=180):
        """Stops the load; all threads must come back and all data must be what was written last."""
        self.guest.sh(f"kill -TERM {self.pid}")

        def ended():
            text = self.guest.sh(f"cat {self.status}")
            return None if text.startswith("running") else text

        text = wait_for(f"the load on {self.name} to end", ended, seconds)
        check(text.startswith("passed"), f"the load on {self.name}: {text}")
        return text
