# SPDX-License-Identifier: BSD-3-Clause
"""What the network tests do inside guests: set NICs up, move checked data, look at frames."""

from basis import Failure, check, wait_for
from load import Load

MODULES = ["virtio_net", "8021q"]
PROGRAMS = ["guestnet"]


def fields(text):
    """The numbers of a line such as "sent=3 back=3"."""
    words = (word.split("=") for word in text.split() if "=" in word)
    return {key: int(value) for key, value in words}


def start_guests(lab, *guests):
    """Starts guests, given as (name, NICs, options), side by side; then their NICs and servers."""
    lab.add_to_guests(MODULES, PROGRAMS)
    started = [
        lab.guest(name, [], nics=nics, wait=False, memory="256M", **options)
        for name, nics, options in guests
    ]
    for guest in started:
        guest.wait_ready()
        for nic in guest.nics:
            bring_up(guest, nic)
        serve(guest)
    return started


def bring_up(guest, nic):
    """The NIC gets its name, MTU and addresses."""
    name = nic.interface
    guest.sh(
        f"old=$(ls /sys/bus/pci/devices/{nic.folder}/virtio*/net) && ip link set $old name {name}"
        # Duplicates are not looked for, as that takes a second; addresses are answered for on
        # the interface that has them only.
        f" && echo 0 > /proc/sys/net/ipv6/conf/{name}/accept_dad"
        f" && echo 1 > /proc/sys/net/ipv4/conf/{name}/arp_ignore"
        f" && ip link set {name} mtu {nic.mtu} up"
        f" && ip addr add {nic.v4}/24 dev {name} && ip -6 addr add {nic.v6}/64 dev {name}"
    )
    wait_carrier(guest, nic)


def rebind(guest, nic):
    """The driver gives the device up, and takes it again from reset."""
    guest.sh(
        f"device=$(basename $(ls -d /sys/bus/pci/devices/{nic.folder}/virtio*))"
        " && cd /sys/bus/virtio/drivers/virtio_net && echo $device > unbind && echo $device > bind"
    )
    bring_up(guest, nic)


def serve(guest):
    """The server of streams and datagrams that the other guests' programs talk to."""
    guest.sh("guestnet serve :: < /dev/null > /run/serve 2>&1 &")
    wait_for("the server to listen", lambda: guest.run("netstat -tln | grep -q ':7 '")[0] == 0)


def has_carrier(guest, nic):
    return guest.sh(f"cat /sys/class/net/{nic.interface}/carrier") == "1"


def wait_carrier(guest, nic, up=True):
    wait_for(
        f"the link of {nic.name} to be {'up' if up else 'down'}",
        lambda: has_carrier(guest, nic) == up,
    )


def reach(guest, address):
    """The address answers; a load on the way, or a neighbour to be found first, may cost some."""
    tries = "for i in $(seq 60); do"
    guest.sh(f"{tries} ping -c 1 -W 1 {address} > /dev/null && exit 0; done; exit 1")


def ping(guest, address, size=56, count=3):
    """Every answer comes."""
    reach(guest, address)
    text = guest.sh(f"ping -c {count} -s {size} -i 0.1 -W 20 {address}")
    check(f"{count} packets received" in text, f"in {guest.name}: ping {address}: {text}")


def no_ping(guest, address):
    guest.refuses(f"ping -c 2 -i 0.2 -W 1 {address}")


def stream(guest, verb, address, size, threads=1, seed=1):
    """A checked stream; gives MB/s."""
    command = f"guestnet {verb} {address} --bytes={size} --threads={threads} --seed={seed}"
    result = fields(guest.sh(command))
    check(result["bytes"] == size * threads, f"{command} moved {result['bytes']} bytes")
    return result["mb_s"]


def both_ways(guest, address, size, threads=1):
    """Streams there and back; gives the rates."""
    return [stream(guest, verb, address, size, threads) for verb in ("send", "receive")]


def datagrams(guest, address, size, count=20):
    guest.sh(f"guestnet datagrams {address} --size={size} --count={count}")


def counters(guest, nic):
    """The driver's counters and the interface's, which are called rx_errors and the like."""
    folder = f"/sys/class/net/{nic.interface}/statistics"
    text = guest.sh(
        f"guestnet counters {nic.interface}; cd {folder}"
        " && for name in *; do echo $name=$(cat $name); done"
    )
    return fields(text)


def check_no_errors(guest, nic):
    found = counters(guest, nic)
    bad = {key: n for key, n in found.items() if n and key.split("_")[-1] in ("errors", "drops")}
    check(not bad, f"{nic.name} counted {bad}")


def offloads(guest, nic, **wanted):
    """Sets features, named with underscores, such as tx_tcp_segmentation=False; gives all."""
    words = (f"{name.replace('_', '-')}={'on' if on else 'off'}" for name, on in wanted.items())
    lines = guest.sh(f"guestnet offloads {nic.interface} {' '.join(words)}").split("\n")
    return {key.replace("-", "_"): value == "on" for key, value in (l.split("=") for l in lines)}


class Watch:
    """Looks at the frames that the NIC receives while the with-block runs; then has counts."""

    def __init__(self, guest, nic):
        self.guest = guest
        self.nic = nic
        self.file = f"/run/watch-{nic.interface}"
        self.counts = {}

    def __enter__(self):
        offloads(self.guest, self.nic, rx_gro=False)
        command = f"guestnet watch {self.nic.interface} > {self.file} 2>&1"
        self.pid = self.guest.sh(f"{command} < /dev/null & echo $!")
        index = self.guest.sh(f"cat /sys/class/net/{self.nic.interface}/ifindex")
        listens = f"awk '$5 == {index} {{ found = 1 }} END {{ exit !found }}' /proc/net/packet"
        wait_for("the watch to begin", lambda: self.guest.run(listens)[0] == 0)
        return self

    def __exit__(self, kind, *_):
        if kind:
            return
        self.guest.sh(f"kill {self.pid}")
        text = wait_for("the watch to end", lambda: self.guest.sh(f"cat {self.file}"))
        self.counts = fields(text)
        check("frames" in self.counts, f"the watch of {self.nic.name}: {text}")
        check(not self.counts["wrong"], f"{self.nic.name} received wrong checksums: {text}")

    def __getattr__(self, name):
        return self.counts[name]


class Traffic(Load):
    """Streams and datagrams."""

    def __init__(self, guest, address, threads=2):
        super().__init__(guest, f"traffic to {address}", f"guestnet traffic {address} --threads={threads}")

    def counts(self):
        return fields(self.said()) or {"slowest": 0, "back": 0}

    def further(self, chunks=4, echoes=10):
        before = self.counts()

        def is_further():
            now = self.counts()
            return (
                now["slowest"] >= before["slowest"] + (chunks << 18)
                and now["back"] >= before["back"] + echoes
            )

        return is_further
