# SPDX-License-Identifier: BSD-3-Clause
"""A guest of a VMM that runs in the lab's machine, on nested KVM, and what every such guest must be able to do.

The machine is one that was made with guests=True."""

import os
import re
import shutil
from shlex import quote

from machine import HERE, IGB, Failure, check, harness, initramfs, lab_kernel, wait_for

INIT = os.path.join(HERE, "inner.sh")
WORDS = "console=ttyS0 quiet panic=-1 no_timer_check rdinit=/bin/inner.sh"
MODULES = ["virtio_pci", "virtio_blk", "virtio_net", "igbvf"]
READY = "@ready\n"
# A guest in an emulated machine is slow by itself, and crawls where others want the processor.
BOOT_SECONDS = 400
COMMAND_SECONDS = 180
DISK = "/tmp/disk.img"
SIZE = 512 << 10
# Of the two networks, by the VF and by the NIC, the machine's end and the guest's.
VF_NET = ("10.0.0.1", "10.0.0.2")
NIC_NET = ("10.1.0.1", "10.1.0.2")


def copy_kernel(args, machine, kernel, programs=()):
    """A kernel and an initramfs for guests, /host/KERNEL and /host/KERNEL.initrd: KERNEL is as of machines."""
    cache = os.path.join(args.build, "tests/lab/cache")
    if kernel == "lab":
        image, contents = lab_kernel(), initramfs.Contents([INIT, *programs])
    else:
        folder = harness.fetch_kernel("--lab")
        image = os.path.join(folder, "boot", f"vmlinuz-{initramfs.kernel_version(folder)}")
        contents = initramfs.Contents([INIT, *programs], folder, MODULES)
    shutil.copy(image, os.path.join(machine.share, kernel))
    shutil.copy(initramfs.build_initramfs(cache, contents), os.path.join(machine.share, f"{kernel}.initrd"))


class Inner:
    """The guest, and the shell in it: the command is a VMM with the guest's serial port as its terminal."""

    def __init__(self, machine, command):
        self.machine = machine
        self.next_id = 0
        self.seen = 0
        # All that is waited for is seen from outside, so that looking takes nothing from the guest.
        self.output, self.status = (os.path.join(machine.share, name) for name in ("inner", "status"))
        machine.run("rm -f /tmp/keys /host/inner /host/status; mkfifo /tmp/keys")
        # A writer that stays keeps the guest's input from ending.
        self.keys = machine.sh("sleep 100000 > /tmp/keys & echo $!")
        self.pid = machine.sh(f"({command} < /tmp/keys > /host/inner 2> /tmp/vmm.log & echo $! > /tmp/pid; "
                              "wait $!; echo $? > /host/status.new; mv /host/status.new /host/status) "
                              "> /dev/null 2>&1 & until test -s /tmp/pid; do sleep 0.1; done; cat /tmp/pid; rm /tmp/pid")
        self.ready()

    def text(self):
        try:
            with open(self.output, encoding="utf-8", errors="replace") as file:
                return file.read()[self.seen:].replace("\r", "")
        except FileNotFoundError:
            return ""

    def await_text(self, what, pattern, seconds):
        """Waits for what the guest prints; it is then behind us. Gives what was before it, and the match."""
        def found():
            self.machine.check_alive()
            # In this order: what it said before it ended counts.
            ended = os.path.exists(self.status)
            text = self.text()
            match = re.search(pattern, text)
            if match:
                return text, match
            check(READY not in text, f"the guest has reset before {what}")
            if ended:
                raise Failure(f"the VMM has ended with {self.exit_status()} before {what}")
            return None
        try:
            text, match = wait_for(what, found, seconds)
        except Failure as err:
            raise Failure(f"{err}\nThe guest said:\n{self.text()[-2000:]}\n{self.log()}") from err
        self.seen += len(text[:match.end()])
        return text[:match.start()], match

    def log(self):
        return self.machine.run("cat /tmp/vmm.log")[1] if self.machine.process.alive else ""

    def ready(self):
        self.await_text("the guest to be up", READY, BOOT_SECONDS)

    def send(self, command):
        self.next_id += 1
        self.machine.sh(f"printf '%s\\n' {quote(f'{self.next_id} {command}')} > /tmp/keys")

    def answer(self, what):
        text, match = self.await_text(what, rf"\n@{self.next_id} (\d+)\n", COMMAND_SECONDS)
        return int(match.group(1)), text.strip()

    def run(self, command):
        self.send(command)
        return self.answer(command)

    def sh(self, command):
        status, text = self.run(command)
        check(status == 0, f"in the inner guest: {command}\n  gave status {status}: {text}")
        return text

    def exit_status(self):
        with open(self.status, encoding="utf-8") as file:
            return int(file.read())

    def end(self, wanted=0):
        """Waits for the VMM to end."""
        wait_for("the VMM to end", lambda: os.path.exists(self.status), 100)
        status = self.exit_status()
        check(status == wanted, f"the VMM ended with {status}: {self.log()}\n{self.text()}")
        self.machine.run(f"kill {self.keys}")


# Networks

def make_ends(machine):
    """The machine's ends: the PF, and the tap of an iolane-net that serves /tmp/net.sock."""
    machine.sh(f"ip addr add {VF_NET[0]}/24 dev {machine.netdev(IGB)}")
    machine.sh(f"ip addr add {NIC_NET[0]}/24 dev tap && ip link set tap up")


def wait_carrier(guest, name):
    guest.sh(f"until grep -q 1 /sys/class/net/{name}/carrier; do sleep 0.2; done")


def up(guest, folder, address):
    """An address for the one network device in a folder of the guest, once it is there. Gives its name."""
    name = guest.sh(f"until ls {folder}/net/*/address; do sleep 0.2; done 2>/dev/null").split("/")[-2]
    guest.sh(f"ip addr replace {address}/24 dev {name} && ip link set {name} up")
    wait_carrier(guest, name)
    return name


def up_vf(guest):
    return up(guest, "/sys/bus/pci/drivers/igbvf/*", VF_NET[1])


def up_nic(guest):
    return up(guest, "/sys/bus/virtio/drivers/virtio_net/*", NIC_NET[1])


def pings(guest, far, count=3):
    """One after the other, once the way is found: all are answered."""
    guest.sh(f"until ping -q -c 1 -W 5 {far}; do :; done")
    said = guest.sh(f"ping -A -q -c {count} -w 100 {far}")
    check(f"{count} packets received" in said, said)


def carry(machine, guest, net, vf=None):
    """A file from the guest's disk to the machine by one of the networks.

    vf is the VF's name where it is by that. While much is sent, the emulated one's interrupts for what it has sent may
    end for good, with a guest of QEMU's as well, until the interface has been down: then there is another go."""
    for attempt in range(4):
        machine.sh("rm -f /tmp/got; nc -l -p 9 -e sh -c 'cat > /tmp/got' > /dev/null 2>&1 < /dev/null & "
                   "echo $! > /tmp/nc; until netstat -ltn | grep -q ':9 '; do sleep 0.1; done")
        status, said = guest.run(f"dd if=/dev/vda bs=64k iflag=direct 2>/dev/null | timeout 30 nc {net[0]} 9")
        if not status or not vf:
            break
        print(f"{vf} does not send any more, the {attempt + 1}. time")
        guest.sh(f"ip link set {vf} down && ip link set {vf} up")
        wait_carrier(guest, vf)
        machine.sh("kill $(cat /tmp/nc)")
    check(not status, f"the file is not sent: {said}")
    wait_for("nc to end", lambda: machine.run("test -e /proc/$(cat /tmp/nc)/exe")[0] != 0)
    machine.sh(f"cmp {DISK} /tmp/got")


# What a guest's driver does to a function

def moved(guest, name):
    """The interrupts of a NIC go from processor to processor while it works: each time the guest masks a vector,
    programs it, and unmasks it."""
    numbers = guest.sh(f"sed -n 's/^ *\\([0-9]*\\):.* {name}[^ ]*$/\\1/p' /proc/interrupts").split()
    check(len(numbers) == 3, f"{name} has the interrupts {numbers}")
    files = " ".join(f"/proc/irq/{number}/smp_affinity" for number in numbers)
    guest.sh(f"(while :; do for mask in 1 2; do for file in {files}; do echo $mask > $file; done; done; done) "
             "> /dev/null 2>&1 & echo $! > /tmp/moving")
    pings(guest, VF_NET[0], 200)
    guest.sh("kill $(cat /tmp/moving)")
    counts = guest.sh(f"grep ' {name}-rx' /proc/interrupts").split()[1:3]
    check(all(int(count) > 0 for count in counts), f"{name} has interrupted {counts} times")


def reset(guest, name):
    """The guest resets the function, and goes on with it."""
    folder = guest.sh(f"readlink -f /sys/class/net/{name}/device")
    check("flr" in guest.sh(f"cat {folder}/reset_method"), "the guest's function has no FLR")
    # That is igbvf's own, wherever it is used: it resets with the interface up, and works again once that was down.
    guest.sh(f"echo 1 > {folder}/reset && ip link set {name} down")
    up_vf(guest)
    pings(guest, VF_NET[0])


# A disk

def start_disk(machine):
    return machine.sh(f"iolane-blk --socket-path=/tmp/disk.sock --blk-file={DISK} > /tmp/blk.log 2>&1 & echo $!")


def restarted(machine, guest, pid):
    """The back end dies while the guest reads, and comes back; gives its new pid."""
    machine.sh(f"kill -9 {pid}")
    guest.send("dd if=/dev/vda bs=64k iflag=direct 2>/dev/null | sha256sum")
    pid = start_disk(machine)
    status, text = guest.answer("the disk to come back")
    wanted = machine.sh(f"sha256sum {DISK}").split()[0]
    check(status == 0 and text.split()[0] == wanted, f"read: {text}, and not {wanted}")
    return pid
