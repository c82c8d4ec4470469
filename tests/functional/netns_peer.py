# SPDX-License-Identifier: BSD-3-Clause
"""One end of a conversation, run in a network namespace by a test: moves bytes that both ends know, both ways at once
by TCP, or datagrams there and back with pauses between them. It ends with 0 when all was as it must be.

    netns_peer.py serve ADDRESS
    netns_peer.py stream ADDRESS BYTES
    netns_peer.py datagrams ADDRESS NUMBER PAUSE_MS
    netns_peer.py segments INTERFACE NUMBER         print so many TCP segments that come, checked, in hexadecimal
    netns_peer.py checksums INTERFACE               write all that goes out, rather than to leave them to it
    netns_peer.py tagged INTERFACE VLAN ADDRESS     somebody in the VLAN answers an ARP request
    netns_peer.py untagged INTERFACE VLAN ADDRESS   nobody does
"""

import ctypes
import fcntl
import hashlib
import random
import socket
import sys
import struct
import threading
import time

import packets

PORT = 7000
PATIENCE = 60
# Of linux/if_packet.h.
SOL_PACKET, PACKET_AUXDATA, TP_STATUS_VLAN_VALID = 263, 8, 1 << 4
# Of linux/ethtool.h and linux/sockios.h.
ETHTOOL_STXCSUM, SIOCETHTOOL = 0x17, 0x8946


def content(seed, size):
    return random.Random(seed).randbytes(size)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def exchange(connection, size, ours, theirs):
    """Send the bytes of one seed while those of another come."""
    connection.settimeout(PATIENCE)

    def send():
        connection.sendall(content(ours, size))
        connection.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send)
    sender.start()
    digest, got = hashlib.sha256(), 0
    while True:
        more = connection.recv(1 << 20)
        if not more:
            break
        digest.update(more)
        got += len(more)
    sender.join()
    if got != size or digest.digest() != hashlib.sha256(content(theirs, size)).digest():
        sys.exit(f"{got} bytes came, which are not the {size} that were sent")


def echo(datagrams):
    while True:
        text, sender = datagrams.recvfrom(65536)
        datagrams.sendto(text, sender)


def serve(address):
    datagrams = socket.socket(family(address), socket.SOCK_DGRAM)
    datagrams.bind((address, PORT))
    threading.Thread(target=echo, args=(datagrams,), daemon=True).start()
    listener = socket.create_server((address, PORT), family=family(address))
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        with connection:
            size = int.from_bytes(connection.recv(8, socket.MSG_WAITALL), "big")
            exchange(connection, size, 2, 1)
            print("good", flush=True)


def stream(address, size):
    size = int(size)
    connection = socket.create_connection((address, PORT), PATIENCE)
    connection.sendall(size.to_bytes(8, "big"))
    exchange(connection, size, 1, 2)


def datagrams(address, number, pause_ms):
    asker = socket.socket(family(address), socket.SOCK_DGRAM)
    asker.settimeout(PATIENCE)
    asker.connect((address, PORT))
    for i in range(int(number)):
        time.sleep(int(pause_ms) / 1000)
        text = content(i, 1 + i * 37 % 1400)
        asker.send(text)
        if asker.recv(65536) != text:
            sys.exit(f"datagram {i} came back changed")


def segments(interface, number):
    """Their checksums are the sender's business; whoever had to complete them did."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    raw.bind((interface, 0))
    raw.settimeout(PATIENCE)
    print("ready", flush=True)
    left = int(number)
    while left:
        frame = raw.recv(65536)
        kind = int.from_bytes(frame[12:14], "big")
        if kind == packets.IPV4 and frame[23] == socket.IPPROTO_TCP:
            ends, text = frame[26:34], frame[34:]
        elif kind == packets.IPV6 and frame[20] == socket.IPPROTO_TCP:
            ends, text = frame[22:54], frame[54:]
        else:
            continue
        if packets.checksum(ends + struct.pack(">HH", socket.IPPROTO_TCP, len(text)) + text):
            sys.exit(f"a wrong checksum: {frame.hex()}")
        print(frame.hex(), flush=True)
        left -= 1


def checksums(interface):
    """ethtool -K INTERFACE tx off, without ethtool."""
    command = ctypes.create_string_buffer(struct.pack("<II", ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP8x", interface.encode(), ctypes.addressof(command))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)


def ask_vlan(interface, vlan, address, wait):
    """Ask for an address in a VLAN, and then nobody's in none; the tag of the first that answers, or None."""
    ours, wanted = packets.mac("02:00:00:00:00:0a"), socket.inet_aton(address)
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    raw.bind((interface, 0))
    raw.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    raw.settimeout(PATIENCE if wait else 0.5)
    question = packets.arp(1, ours, socket.inet_aton("192.0.2.9"), bytes(6), wanted)
    raw.send(packets.ethernet(b"\xff" * 6, ours, packets.ARP, question, vlan or None))
    while True:
        try:
            frame, extra, _, _ = raw.recvmsg(65536, 256)
        except TimeoutError:
            return None
        if frame[:6] != ours or frame[28:32] != wanted:
            continue
        for level, kind, data in extra:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, tci = struct.unpack_from("<I", data)[0], struct.unpack_from("<H", data, 16)[0]
                return tci if status & TP_STATUS_VLAN_VALID else 0


def tagged(interface, vlan, address):
    got = ask_vlan(interface, int(vlan), address, True)
    if got != int(vlan):
        sys.exit(f"the answer in VLAN {vlan} has the tag {got}")


def untagged(interface, vlan, address):
    got = ask_vlan(interface, int(vlan), address, False)
    if got is not None:
        sys.exit(f"somebody answered in VLAN {vlan}, with the tag {got}")


if __name__ == "__main__":
    {
        "serve": serve, "stream": stream, "datagrams": datagrams, "tagged": tagged,
        "untagged": untagged, "checksums": checksums, "segments": segments,
    }[sys.argv[1]](*sys.argv[2:])
