# SPDX-License-Identifier: BSD-3-Clause
"""Frames that tests make and look at, and files of them in pcap's format (nanoseconds or not)."""

import struct

ARP, IPV4, IPV6, VLAN = 0x0806, 0x0800, 0x86dd, 0x8100
ECHO_REPLY, ECHO_REQUEST = 0, 8


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ethernet(to, sender, kind, payload, vlan=None):
    tag = b"" if vlan is None else struct.pack(">HH", VLAN, vlan)
    return to + sender + tag + struct.pack(">H", kind) + payload


def ipv4(sender, to, protocol, payload):
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol, 0,
                         sender, to)
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + payload


def ipv6(sender, to, protocol, payload):
    return struct.pack(">IHBB", 0x60000000, len(payload), protocol, 64) + sender + to + payload


def tcp(payload):
    """A TCP segment whose checksum somebody else completes."""
    return struct.pack(">HHIIBBHHH", 1000, 2000, 1, 1, 5 << 4, 0x18, 1000, 0, 0) + payload


def echo(kind, ident, sequence, payload):
    """An ICMP echo message."""
    text = struct.pack(">BBHHH", kind, 0, 0, ident, sequence) + payload
    return text[:2] + struct.pack(">H", checksum(text)) + text[4:]


def arp(operation, sender_mac, sender, to_mac, to):
    return struct.pack(">HHBBH", 1, IPV4, 6, 4, operation) + sender_mac + sender + to_mac + to


def write_pcap(path, frames):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 0x40000, 1))
        for frame in frames:
            file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)


def read_pcap(path):
    with open(path, "rb") as file:
        data = file.read()
    if data[:4] not in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"):
        raise AssertionError(f"{path} is no pcap file: {data[:24]}")
    frames, at = [], 24
    while at < len(data):
        kept, length = struct.unpack_from("<II", data, at + 8)
        if kept != length or at + 16 + kept > len(data):
            raise AssertionError(f"{path} is cut off at {at}")
        frames.append(data[at + 16:at + 16 + kept])
        at += 16 + kept
    return frames
