"""By what a record is known again when a device sends it twice.

A device sends again what it got no ACK for: the same packet, or its records packed anew. So each
record has a digest of its own bytes, and the last digests of each device are kept in Redis, where
the script that stores a packet compares them (``store_packet.lua``).

The digest is a CRC-64: of the records of one device, two that differ within 64 bits in a row never
share one, and any other two with a probability of 2^-64. Nobody gains by a made-up collision but
the loss of a record of their own.
"""

from fastcrc import crc64

from teltonika.codecs import AvlPacket

KEPT_RECORDS = 32
"""Digests kept of the packets before a device's last one, whose own are all kept."""


def packet_digests(packet: AvlPacket) -> bytes:
    """Eight bytes for each record, in the packet's order."""
    return b"".join([crc64.xz(record).to_bytes(8) for record in packet.encoded])
