# SPDX-License-Identifier: BSD-3-Clause
"""The lab: an emulated machine that has what most machines lack or nobody dares to try things on.

It has an IOMMU with interrupt remapping, an SR-IOV NIC, an SR-IOV NVMe drive, DMA engines and,
as its processor is emulated too, KVM. A test is a function:

    from machine import Machine, main

    def test(args):
        with Machine(args, iommu="intel", programs=["iolane"]) as machine:
            status, output = machine.run("iolane list")
            machine.sh("modprobe vfio-pci")

    main(test)

main() reads --build and --kernel, ends with 77 where something is missing and with 1 on a Failure.
The machine boots when the block is entered. In it: run(command) gives (status, output), sh() is
for what must succeed, refuses() for what must not; programs are taken from the build folder, or by
their paths from this machine, with their libraries, into /bin. put() and get() move files; the
folder machine.share is /host inside.
QEMU is asked by qmp() and unplug(). The end of the block powers the machine off, and checks that
its kernel had nothing to complain of. A failure prints the end of its console.

A boot takes seconds, so a test does all it can in one. What is where, always:

    00:02.0 00:03.0   edu, two DMA engines, each in an IOMMU group of its own
    00:04.0 > 01:00.0 igb, a NIC with up to 7 VFs: 01:10.0, 01:10.2, ...
    00:05.0 > 02:00.0 nvme, a drive with up to 4 VFs: 02:00.1, 02:00.2, ...
    00:06.0 > 03:00.0 a bridge to a conventional bus with two edu, 04:01.0 and 04:02.0: one group
    00:07.0           a virtio disk, to be in use
    00:08.0           a virtio NIC, likewise; on the wire of igb
    00:09.0           the share

With the virtio IOMMU a function is in a group only once it has had a driver.

Two kernels: "debian" is Debian's, with drivers as modules: those of LOADED are in at boot, modprobe
finds those of SPARE. "lab" is the one that IOLANE_LAB_KERNEL names, where all is built in and
iommufd is, too.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "guest"))

import harness  # noqa: E402  (found through the path set above)
import initramfs  # noqa: E402
from basis import Failure, Missing, Process, check, tail, wait_for  # noqa: E402
from emulator import ACCELERATORS, COMMAND_SECONDS, Emulator, to_text  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(HERE))
KERNELS = ("debian", "lab")
IOMMUS = ("intel", "virtio", "none")
DEVICES = ("edu", "igb", "nvme", "group", "disk", "nic")

LOADED = [
    *("virtio_pci", "virtio_blk", "virtio_net", "9p", "9pnet_virtio"),
    # ext4 asks the crypto layer for crc32c by name.
    *("igb", "nvme", "crc32c_generic", "ext4"),
]
SPARE = [
    *("vfio-pci", "vfio_iommu_type1", "igbvf", "kvm", "kvm_amd", "pci_stub"),
    *("bridge", "bonding", "8021q", "dm_mod", "raid1", "loop"),
]
# Without them a machine of that kind does not work at all.
IOMMU_MODULES = {"virtio": ["virtio_iommu"]}

TROUBLE = r"Call Trace|blocked for more than|Oops|BUG:|general protection"
EDU = "0000:00:02.0"
IGB = "0000:01:00.0"
NVME = "0000:02:00.0"
BRIDGE = "0000:03:00.0"
GROUPED = ["0000:04:01.0", "0000:04:02.0"]
DISK = "0000:00:07.0"
NIC = "0000:00:08.0"


def lab_kernel():
    path = os.environ.get("IOLANE_LAB_KERNEL")
    if not path:
        raise Missing("IOLANE_LAB_KERNEL names no kernel image: tools/lab kernel builds one")
    if not os.path.isfile(path):
        raise Missing(f"IOLANE_LAB_KERNEL is {path}, which is no file")
    return path


def root_port(slot):
    """A PCI Express slot; what is put in it is on a bus of its own."""
    place = {"id": f"port{slot}", "chassis": slot, "slot": slot, "addr": f"{slot:x}.0"}
    return ["-device", "pcie-root-port," + to_text(place)]


class Machine(Emulator):
    """See above. iommu is one of IOMMUS; remap=False takes interrupt remapping from Intel's (the
    virtio IOMMU never has it); kernel is one of KERNELS, else what the command line says; devices
    are those of DEVICES to be there; append goes to the kernel's command line; options to QEMU;
    share is a folder to share instead of an empty one; with terminal the console is ours; with guests it
    can run guests itself: see there."""

    def __init__(
        self,
        args,
        name="machine",
        iommu="intel",
        remap=True,
        kernel=None,
        programs=(),
        devices=DEVICES,
        memory="1G",
        append="",
        options=(),
        share=None,
        terminal=False,
        guests=False,
    ):
        super().__init__(name)
        check(iommu in IOMMUS, f"no IOMMU {iommu}: there are {', '.join(IOMMUS)}")
        self.iommu = iommu
        self.remap = remap
        self.devices = devices
        self.kernel = kernel or args.kernel
        self.terminal = terminal
        self.process = None
        self.qemu = shutil.which("qemu-system-x86_64")
        if not self.qemu:
            raise Missing("qemu-system-x86_64 is not installed")
        image, contents = self.kernel_and_contents(args.build, programs)
        self.folder = tempfile.mkdtemp(prefix="iolane-lab-")
        try:
            self.share = share or self.path("share")
            os.makedirs(self.share, exist_ok=True)
            cache = os.path.join(args.build, "tests/lab/cache")
            words = f"console=ttyS0 quiet panic=-1 no_timer_check {append}"
            if iommu == "intel":
                words += " intel_iommu=on"
            accelerator, processors = ACCELERATORS["tcg"], 2
            if guests:
                # On one thread some guests hang in boot; and its KVM must not guess the processor's rate,
                # or the guests' timers are wrong. With two threads their second processor, or the machine
                # itself, met a triple fault every few minutes.
                accelerator, processors = "tcg,thread=multi", 1
                rate = harness.find_built(args.build, "tscrate")
                words += f" tsc_early_khz={subprocess.check_output([rate], text=True).strip()}"
            self.command = [
                self.qemu,
                *("-M", "q35", "-accel", accelerator, "-cpu", "max"),
                *("-smp", str(processors), "-m", memory, "-nodefaults", "-no-user-config", "-no-reboot"),
                *("-display", "none"),
                *("-serial", "mon:stdio" if terminal else f"file:{self.path('console')}"),
                *self.channels(self.path(name)),
                *("-kernel", image, "-initrd", initramfs.build_initramfs(cache, contents)),
                *("-append", words),
                *self.hardware(),
                *options,
            ]
        except BaseException:
            self.remove()
            raise

    def kernel_and_contents(self, build, programs):
        paths = [
            initramfs.find_program(program) if "/" in program else harness.find_built(build, program)
            for program in programs
        ]
        if self.kernel == "lab":
            return lab_kernel(), initramfs.Contents(paths)
        check(self.kernel == "debian", f"no kernel {self.kernel}: there are {', '.join(KERNELS)}")
        folder = harness.fetch_kernel("--lab")
        modules = [*IOMMU_MODULES.get(self.iommu, []), *LOADED]
        contents = initramfs.Contents(paths, folder, modules, SPARE)
        return initramfs.build_image(os.path.join(build, "tests/lab/cache"), folder), contents

    def hardware(self):
        options = []
        if self.iommu == "intel":
            remap = "intremap=on,eim=on" if self.remap else "intremap=off"
            options += ["-device", f"intel-iommu,{remap},caching-mode=on"]
        elif self.iommu == "virtio":
            options += ["-device", "virtio-iommu-pci,addr=1f.7"]
        if "edu" in self.devices:
            options += ["-device", "edu,id=edu0,addr=2.0", "-device", "edu,id=edu1,addr=3.0"]
        if "igb" in self.devices:
            options += [*root_port(4), *self.wire("igb"), "-device", "igb,id=igb,bus=port4,netdev=igb"]
        if "nvme" in self.devices:
            # Interrupts and queues that are not the drive's own are for its VFs.
            flexible = "sriov_max_vfs=4,sriov_vq_flexible=8,sriov_vi_flexible=8"
            amounts = "msix_qsize=13,max_ioqpairs=11"
            options += [
                *root_port(5),
                *("-device", "nvme-subsys,id=subsystem"),
                *("-device", f"nvme,id=nvme,serial=lab,bus=port5,subsys=subsystem,{flexible},{amounts}"),
                *("-drive", f"if=none,id=nvme-data,format=raw,file={self.image('nvme', 64 << 20)}"),
                *("-device", "nvme-ns,drive=nvme-data,bus=nvme,nsid=1,shared=on"),
            ]
        if "group" in self.devices:
            options += [*root_port(6), "-device", "pcie-pci-bridge,id=conventional,bus=port6"]
            for number in (1, 2):
                place = f"bus=conventional,addr={number}.0"
                options += ["-device", f"edu,id=grouped{number},{place}"]
        if "disk" in self.devices:
            options += [
                *("-drive", f"if=none,id=disk,format=raw,file={self.image('disk', 64 << 20)}"),
                *("-device", "virtio-blk-pci,drive=disk,addr=7.0"),
            ]
        if "nic" in self.devices:
            options += [*self.wire("nic"), "-device", "virtio-net-pci,netdev=nic,addr=8.0"]
        share = f"local,id=share,path={self.share},security_model=none"
        options += ["-fsdev", share, "-device", "virtio-9p-pci,fsdev=share,mount_tag=host,addr=9.0"]
        return options

    @staticmethod
    def wire(name):
        """A place on the one wire that all NICs are on, without a way out of the machine."""
        return ["-netdev", f"hubport,id={name},hubid=0"]

    def path(self, name):
        return os.path.join(self.folder, name)

    def image(self, name, size):
        path = self.path(f"{name}.img")
        with open(path, "wb") as image:
            image.truncate(size)
        return path

    # Life

    def __enter__(self):
        try:
            log = self.path("qemu.log")
            self.process = Process(f"QEMU {self.name}", self.command, log, self.terminal)
            self.connect(self.path(self.name))
            self.wait_ready()
            share = "mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 host /host"
            self.sh(f"mkdir /host && {share}")
        except BaseException as err:
            self.__exit__(type(err), err, None)
            raise
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                try:
                    self.finish()
                except Failure:
                    self.diagnose()
                    raise
            elif issubclass(kind, Exception) and not issubclass(kind, Missing):
                self.diagnose()
        finally:
            self.remove()

    def finish(self):
        if self.process.alive:
            status, output = self.run(f"dmesg | grep -E '{TROUBLE}'")
            check(status == 1, f"the kernel of {self.name} complained:\n{output}")
        self.power_off()

    def power_off(self):
        """Ends the machine; whoever expects that it is about to end may also wait for it by this."""
        if self.process.alive:
            self.port.send(b"0 poweroff -f\n")
        try:
            status = self.process.child.wait(60)
        except subprocess.TimeoutExpired as err:
            raise Failure(f"QEMU {self.name} did not end within 60 s of poweroff") from err
        check(status == 0, f"QEMU {self.name} ended with {status}")

    def diagnose(self):
        """What may tell why: the kernel's last lines, if it still answers, and the logs."""
        texts = [("console", tail(self.path("console"))), ("QEMU", tail(self.path("qemu.log")))]
        if self.process and self.process.alive:
            try:
                texts.insert(0, ("dmesg", self.run("dmesg | tail -n 40", 10)[1]))
            except Failure as err:
                texts.insert(0, ("dmesg", str(err)))
        for what, text in texts:
            if text.strip():
                print(f"--- end of {self.name}'s {what}\n{text.rstrip()}", flush=True)

    def remove(self):
        if self.process and self.process.alive:
            self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # What tests do in it

    def put(self, source, target):
        """Copies a file into the machine."""
        name = os.path.basename(source)
        shutil.copy(source, os.path.join(self.share, name))
        self.sh(f"cp -p '/host/{name}' '{target}'")

    def get(self, source):
        """The contents, in bytes, of a file in the machine; /sys and /proc included."""
        self.sh(f"cat '{source}' > /host/got")
        with open(os.path.join(self.share, "got"), "rb") as data:
            return data.read()

    def netdev(self, address):
        """The name of the network device of a PCI function."""
        folder = f"/sys/bus/pci/devices/{address}"
        _, output = self.run(f"ls -d {folder}/net/* {folder}/virtio*/net/* 2>/dev/null")
        check(output and "\n" not in output, f"{address} has not one network device: {output}")
        return os.path.basename(output)

    def driver(self, address):
        """The driver that a PCI function is bound to, or None."""
        status, output = self.run(f"readlink /sys/bus/pci/devices/{address}/driver")
        return os.path.basename(output) if status == 0 else None

    def group(self, address):
        """The members of a PCI function's IOMMU group, itself among them; none where it has none."""
        status, output = self.run(f"ls /sys/bus/pci/devices/{address}/iommu_group/devices")
        return output.split() if status == 0 else []

    def bind(self, address, driver):
        """Plainly moves a PCI function to a driver, past all that iolane would check."""
        folder = f"/sys/bus/pci/devices/{address}"
        self.run(f"modprobe {driver}")
        self.sh(f"echo {driver} > {folder}/driver_override")
        self.run(f"echo {address} > {folder}/driver/unbind")
        self.sh(f"echo {address} > /sys/bus/pci/drivers_probe")
        found = self.driver(address)
        check(found == driver, f"{address} is bound to {found} and not to {driver}")

    def make_vfs(self, address, count):
        """VFs of igb or nvme, not bound to a driver; gives their addresses."""
        folder = f"/sys/bus/pci/devices/{address}"
        self.sh(f"echo 0 > {folder}/sriov_drivers_autoprobe")
        self.sh(f"echo {count} > {folder}/sriov_numvfs")
        if address == IGB:
            # A VF of a NIC that is down finds it "still in reset state".
            name = self.netdev(address)
            self.sh(f"ip link set {name} up")
            carrier = f"cat /sys/class/net/{name}/carrier"
            wait_for(f"{name}'s carrier", lambda: self.run(carrier) == (0, "1"))
        links = self.sh(f"for vf in {folder}/virtfn*; do readlink $vf; done")
        return [os.path.basename(link) for link in links.split()]


def parser(description):
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--build", default=os.path.join(ROOT, "build"), help="the build folder")
    made.add_argument("--kernel", choices=KERNELS, default="debian", help="the machine's kernel")
    return made


def main(test):
    """The main program of a test: test(args) boots the machines it needs."""
    args = parser(sys.modules[test.__module__].__doc__).parse_args()

    sys.exit(harness.run_guarded(lambda: test(args)))
