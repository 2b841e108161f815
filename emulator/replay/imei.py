"""Another IMEI in what a device sent, and a right CRC under it again."""

from collections.abc import Iterable

from teltonika.codecs import consecutive_imeis, crc16_ibm, parse_imei
from teltonika.codecs.captures import CapturedSession
from teltonika.codecs.framing import CRC_SIZE, HEADER_SIZE
from teltonika.codecs.handshake import IMEI_FRAME_SIZE, encode_imei
from teltonika.emulator.replay.stream import cut_device_stream

_UDP_IMEI = slice(8, 23)
_PACKED_IMEI_AT = {0x0E: 7, 0x0F: 11}
"""By codec, in the data field: behind codec id, quantity, type and size, and codec 15's time."""
_PACKED_SIZE = 8


def assign_imeis(sessions: Iterable[CapturedSession], first: str) -> dict[str, str]:
    """A new IMEI for each one in the capture, in the order in which they appear.

    A single device gets ``first`` as it is; of several each gets one with a right Luhn digit.
    Raises ValueError if ``first`` is no IMEI, or its numbers are at an end.
    """
    found = dict.fromkeys(session.imei for session in sessions if session.imei is not None)
    new = [parse_imei(first)] if len(found) <= 1 else consecutive_imeis(first, len(found))
    return dict(zip(found, new, strict=False))


def rewrite_stream(stream: bytes, old: str, new: str) -> bytes:
    """A device's TCP stream with ``new`` wherever it calls itself ``old``.

    That is the handshake, and the IMEI of codecs 14 and 15. A CRC that was right is right again,
    one that was wrong stays as wrong. Nothing else changes, and no length does.
    """
    written = bytearray(stream)
    if stream[:IMEI_FRAME_SIZE] == encode_imei(old):
        written[:IMEI_FRAME_SIZE] = encode_imei(new)
    packed_old, packed_new = (bytes.fromhex(f"0{imei}") for imei in (old, new))
    for message in cut_device_stream(stream):
        packet = stream[message.start : message.end]
        imei_at = _PACKED_IMEI_AT.get(message.codec_id or 0)
        if imei_at is None:
            continue
        field = slice(HEADER_SIZE + imei_at, HEADER_SIZE + imei_at + _PACKED_SIZE)
        if packet[field] != packed_old or field.stop > len(packet) - CRC_SIZE:
            continue
        wrong_by = int.from_bytes(packet[-CRC_SIZE:]) ^ crc16_ibm(packet[HEADER_SIZE:-CRC_SIZE])
        data = packet[HEADER_SIZE : field.start] + packed_new + packet[field.stop : -CRC_SIZE]
        crc = crc16_ibm(data) ^ wrong_by
        written[message.start : message.end] = packet[:HEADER_SIZE] + data + crc.to_bytes(4)
    return bytes(written)


def rewrite_datagram(datagram: bytes, old: str, new: str) -> bytes:
    """A device's datagram with ``new`` in its header, where ``old`` stands there."""
    if datagram[_UDP_IMEI] != old.encode("ascii"):
        return datagram
    return datagram[: _UDP_IMEI.start] + new.encode("ascii") + datagram[_UDP_IMEI.stop :]
