"""Every target: its name, the check that must hold for any bytes, and the inputs it starts from.

Nothing here needs atheris: a check is a function of bytes that returns, or raises.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from agreement import check_agreement
from fuzz import data_fields, fields, findings, seeds, sessions
from fuzz.inputs import packet_stream, raw_stream
from samples import HANDSHAKE, IMEI

from teltonika.codecs import CODECS, AvlCodec
from teltonika.codecs.annotate import Form
from teltonika.codecs.framing import encode_frame
from teltonika.codecs.udp import Datagram, encode_datagram


@dataclass(frozen=True)
class Target:
    name: str
    claim: str
    """What is fuzzed, in a line."""
    check: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


def _check_agreement(data: bytes, form: Form) -> None:
    check_agreement(data, form)


def _check_both_readings(data_field: bytes) -> None:
    if len(data_field) >= 3:
        check_agreement(encode_frame(data_field), Form.PACKET)
        check_agreement(encode_datagram(Datagram(1, 1, IMEI, data_field)), Form.DATAGRAM)


TARGETS = {
    target.name: target
    for target in (
        Target(
            "server",
            "a device's bytes as they are, to ServerConnection",
            lambda data: sessions.check_server(raw_stream(data)),
            seeds.raw(seeds.device_streams),
        ),
        Target(
            "server-packets",
            "packets with a right length and CRC, behind a handshake, to ServerConnection",
            lambda data: sessions.check_server(packet_stream(data, HANDSHAKE)),
            seeds.parts,
        ),
        Target(
            "device",
            "a server's bytes as they are, to DeviceConnection",
            lambda data: sessions.check_device(raw_stream(data)),
            seeds.raw(seeds.server_streams),
        ),
        Target(
            "device-packets",
            "packets with a right length and CRC, behind an acceptance, to DeviceConnection",
            lambda data: sessions.check_device(packet_stream(data, seeds.ACCEPTED)),
            seeds.parts,
        ),
        Target("packet", "any bytes to decode_packet", data_fields.check_packet, seeds.packets),
        *(
            Target(
                f"{'avl' if isinstance(codec, AvlCodec) else 'command'}-{codec.name.lower()}",
                f"data fields of codec {codec.name}, alone and in a right packet",
                partial(data_fields.check_data_field, codec),
                partial(seeds.codec_data_fields, codec),
            )
            for codec in CODECS
        ),
        Target(
            "findings",
            "any bytes to find_packets",
            lambda data: findings.check_findings(raw_stream(data)),
            seeds.raw(seeds.everything),
        ),
        Target(
            "findings-packets",
            "packets with a right length and CRC to find_packets",
            lambda data: findings.check_findings(packet_stream(data)),
            seeds.parts,
        ),
        Target(
            "annotation-packet",
            "any bytes to the annotated reading of a packet, beside decode_packet",
            lambda data: _check_agreement(data, Form.PACKET),
            seeds.packets,
        ),
        Target(
            "annotation-data",
            "data fields with a right CRC, and in a datagram, to both readings",
            _check_both_readings,
            seeds.data_fields,
        ),
        Target("hex-text", "any text to parse_hex_text", findings.check_hex_text, seeds.hex_texts),
        Target(
            "dumps",
            "any bytes as xxd, hexdump and od print them",
            findings.check_dumps,
            seeds.dumps,
        ),
        Target(
            "imei", "any bytes as a handshake and as an IMEI", fields.check_imei, seeds.handshakes
        ),
        Target(
            "timestamps",
            "any uint64 to format_timestamp",
            fields.check_timestamps,
            seeds.timestamps,
        ),
    )
}
"""By name, in the order in which they run."""
