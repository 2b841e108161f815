"""Datagrams as tests want them, put together without the codecs' own `encode_datagram`."""

from samples import IMEI

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_imei


def records(*numbers: int) -> bytes:
    """A data field with a record each, known by its altitude."""
    codec = AVL_CODECS.by_name("8")
    return codec.encode_data([AvlRecord(n, 0, 0, 0, n, 0, 0, 0) for n in numbers])


def datagram(data: bytes, packet_id: int = 0xCAFE, avl_id: int = 5, imei: str = IMEI) -> bytes:
    content = packet_id.to_bytes(2) + b"\x01" + bytes((avl_id,)) + encode_imei(imei) + data
    return len(content).to_bytes(2) + content


def answer(accepted: int, packet_id: int = 0xCAFE, avl_id: int = 5) -> bytes:
    return b"\x00\x05" + packet_id.to_bytes(2) + b"\x01" + bytes((avl_id, accepted))
