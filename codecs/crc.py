"""CRC-16/IBM, the checksum of a TCP packet's data field."""

from fastcrc import crc16


def crc16_ibm(data: bytes) -> int:
    """CRC-16/IBM (also "ARC") of ``data``: 0..65535.

    Polynomial 0x8005 reflected, initial value 0, no final XOR; the check value of
    ``b"123456789"`` is 0xBB3D (Teltonika Data Sending Protocols, "CRC-16").
    """
    result: int = crc16.arc(data)
    return result
