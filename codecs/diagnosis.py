"""What most likely happened to bytes that do not decode.

Each guess is proved on the bytes before it is made: with it undone, they decode.
"""

from collections.abc import Callable, Iterator

from fastcrc import crc16

from teltonika.codecs.crc import crc16_ibm
from teltonika.codecs.errors import DecodeError, ErrorCode
from teltonika.codecs.findings import FoundError
from teltonika.codecs.framing import (
    CRC_SIZE,
    HEADER_SIZE,
    decode_data,
    decode_packet,
)
from teltonika.codecs.handshake import IMEI_DIGITS, IMEI_FRAME_SIZE, luhn_valid
from teltonika.codecs.registry import AVL_CODECS
from teltonika.codecs.udp import ENVELOPE_SIZE, begins_datagram, datagram_size

_MIN_DATA_SIZE = 3
_COUNTED_TOO_MUCH = {
    4: "the CRC was counted",
    8: "the preamble and the length field were counted",
    12: "preamble, length field and CRC were counted",
}
_OTHER_CRCS: dict[str, Callable[[bytes], int]] = {
    "CRC-16/MODBUS": crc16.modbus,
    "CRC-16/CCITT-FALSE": crc16.ibm_3740,
    "CRC-16/XMODEM": crc16.xmodem,
    "CRC-16/KERMIT": crc16.kermit,
    "CRC-16/BUYPASS": crc16.umts,
}
"""Those that are taken for CRC-16/IBM (ARC): same width, other polynomial, start or order."""


def likely_cause(data: bytes, error: FoundError, behind: bytes = b"") -> str:
    """A sentence; empty where nothing is likely.

    ``data`` begins where the broken thing begins, of which ``error`` is said, and ``behind`` is
    what stands behind it: see `Found`.
    """
    guesses = _GUESSES_OF_UDP if error.transport == "udp" else _GUESSES
    for guess in guesses:
        cause = guess(data + behind if guess is _wrong_length else data)
        if cause:
            return cause
    if error.transport == "tcp" and error.error == ErrorCode.TRUNCATED:
        return _cut(data)
    return ""


def _datagram(data: bytes) -> str:
    """What was said to be of TCP, and is a datagram."""
    if begins_datagram(data, 0) and _decodes_data(data[ENVELOPE_SIZE : datagram_size(data, 0)]):
        return "this is a UDP datagram, not what is sent over TCP"
    return ""


def _packet(data: bytes) -> str:
    """What was said to be a datagram, and is a packet."""
    if _decodes(data):
        return "this is a packet as it is sent over TCP, not a datagram"
    return ""


def _hex_of_hex(data: bytes) -> str:
    try:
        inner = bytes.fromhex(data.decode("ascii"))
    except ValueError:
        return ""
    if (inner[:2] == b"\x00\x0f" and inner[2:IMEI_FRAME_SIZE].isdigit()) or _decodes(inner):
        return "these bytes are themselves hex digits: the hex was written as hex once more"
    return ""


def _bare_imei(data: bytes) -> str:
    digits = data[:IMEI_DIGITS]
    if len(digits) == IMEI_DIGITS and digits.isdigit() and luhn_valid(digits.decode("ascii")):
        return "this is an IMEI without the two bytes of its length, 000F"
    return ""


def _missing_head(data: bytes) -> str:
    """A packet of which the first bytes were lost."""
    for missing in range(1, 5):
        if _decodes(bytes(missing) + data):
            return f"the preamble is four zero bytes, and {missing} of them {_is(missing)} missing"
    if _decodes_data(data[:-CRC_SIZE]) and _crc_fits(data, 0, len(data) - CRC_SIZE):
        return "this is a packet without preamble and length: from the codec id on"
    if _decodes_data(data):
        return "this is a data field alone: preamble, length and CRC are missing"
    return ""


def _wrong_length(data: bytes) -> str:
    """A packet whose CRC fits another length than it says."""
    if len(data) < HEADER_SIZE + _MIN_DATA_SIZE + CRC_SIZE or any(data[:4]):
        return ""
    declared = int.from_bytes(data[4:HEADER_SIZE])
    for end in _ends_with_right_crc(data):
        length = end - HEADER_SIZE
        if length == declared:
            return ""
        if not _decodes_data(data[HEADER_SIZE:end]):
            continue
        why = _COUNTED_TOO_MUCH.get(declared - length, f"it is off by {declared - length:+d}")
        return (
            f"the CRC fits a data field of {length} bytes where the length says {declared}: {why}"
        )
    return ""


def _wrong_crc(data: bytes) -> str:
    """A whole packet with another CRC."""
    packet = _declared_packet(data)
    if packet is None:
        return ""
    data_field, declared = packet[HEADER_SIZE:-CRC_SIZE], packet[-CRC_SIZE:]
    computed = crc16_ibm(data_field)
    if int.from_bytes(declared) == computed or not _decodes_data(data_field):
        return ""
    low, high = computed.to_bytes(2, "little"), computed.to_bytes(2)
    orders = {
        bytes(2) + low: "its two bytes are swapped",
        low + bytes(2): "its four bytes are written low byte first",
        high + bytes(2): "it stands in the first two of its four bytes, and not in the last",
    }
    if declared in orders:
        return f"the CRC is right, but {orders[declared]}"
    ranges = {
        "the length field and the data": packet[4:-CRC_SIZE],
        "the whole": packet[:-CRC_SIZE],
        "the data without number of data 2": data_field[:-1],
        "the data without the codec id": data_field[1:],
    }
    for what, covered in ranges.items():
        if int.from_bytes(declared) == crc16_ibm(covered):
            return f"the CRC is over {what}: it must be over codec id to number of data 2"
    for name, crc in _OTHER_CRCS.items():
        if int.from_bytes(declared) == crc(data_field):
            return f"the CRC is a {name}: it must be CRC-16/IBM (ARC)"
    return ""


def _other_codec(data: bytes) -> str:
    """A data field that is read with another codec than it has the id of."""
    packet = _declared_packet(data)
    if packet is None or not _crc_fits(packet, HEADER_SIZE, len(packet) - CRC_SIZE):
        return ""
    data_field = packet[HEADER_SIZE:-CRC_SIZE]
    for codec in AVL_CODECS:
        if codec.codec_id == data_field[0]:
            continue
        try:
            codec.decode_data(data_field)
        except DecodeError:
            continue
        return (
            f"with the widths of codec {codec.name} (0x{codec.codec_id:02X}) it decodes: the codec "
            f"id says 0x{data_field[0]:02X}"
        )
    return ""


def _cut(data: bytes) -> str:
    """A packet that ends too soon."""
    if len(data) < HEADER_SIZE or any(data[:4]):
        return ""
    missing = HEADER_SIZE + int.from_bytes(data[4:HEADER_SIZE]) + CRC_SIZE - len(data)
    if missing > 0:
        return f"the packet is cut: it has {missing} byte{'s' * (missing > 1)} fewer than it says"
    return ""


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


_GUESSES: tuple[Callable[[bytes], str], ...] = (
    _datagram,
    _hex_of_hex,
    _bare_imei,
    _wrong_length,
    _wrong_crc,
    _other_codec,
    _missing_head,
)
_GUESSES_OF_UDP: tuple[Callable[[bytes], str], ...] = (
    _packet,
    _hex_of_hex,
    _bare_imei,
    _missing_head,
)


def _declared_packet(data: bytes) -> bytes | None:
    """The packet by its own length; None if it is not all there."""
    if len(data) < HEADER_SIZE + _MIN_DATA_SIZE + CRC_SIZE or any(data[:4]):
        return None
    size = HEADER_SIZE + int.from_bytes(data[4:HEADER_SIZE]) + CRC_SIZE
    return data[:size] if HEADER_SIZE + _MIN_DATA_SIZE + CRC_SIZE <= size <= len(data) else None


def _crc_fits(data: bytes, start: int, end: int) -> bool:
    return data[end : end + CRC_SIZE] == crc16_ibm(data[start:end]).to_bytes(CRC_SIZE)


def _ends_with_right_crc(data: bytes) -> Iterator[int]:
    """Where data fields can end that begin behind the header: four bytes behind are their CRC."""
    for end in range(HEADER_SIZE + _MIN_DATA_SIZE, len(data) - CRC_SIZE + 1):
        if data[end : end + 2] == bytes(2) and _crc_fits(data, HEADER_SIZE, end):
            yield end


def _decodes(packet: bytes) -> bool:
    try:
        decode_packet(packet[: HEADER_SIZE + int.from_bytes(packet[4:HEADER_SIZE]) + CRC_SIZE])
    except DecodeError:
        return False
    return True


def _decodes_data(data: bytes) -> bool:
    if len(data) < _MIN_DATA_SIZE:
        return False
    try:
        decode_data(data)
    except DecodeError:
        return False
    return True
