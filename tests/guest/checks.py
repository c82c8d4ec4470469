# SPDX-License-Identifier: BSD-3-Clause
"""Checks that several guest tests make on a disk."""

from basis import check
from load import Load

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


class Stress(Load):
    """guestio's journalled load on one disk, which must be blank when it starts."""

    def __init__(self, guest, name, options=""):
        super().__init__(guest, f"the load on {name}", f"guestio stress /dev/{name} {options}")

    def operations(self):
        words = self.said().split()
        return int(words[1].split("=")[1]) if len(words) > 1 else 0

    def further(self, operations=100):
        goal = self.operations() + operations
        return lambda: self.operations() >= goal
