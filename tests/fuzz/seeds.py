"""Where fuzzing starts: the documented samples and the captures, in each target's own form."""

from collections.abc import Callable, Iterator
from itertools import product

from captures import CAPTURE_NAMES, load_capture
from fuzz.inputs import PING_SEED, bare_seed, head_seed, packet_seed
from samples import HANDSHAKE, IMEI, SAMPLES, SAMPLES_FILE, framed

from teltonika.codecs import (
    AvlCodec,
    AvlRecord,
    CommandCodec,
    CommandMessage,
    EncodeError,
    IoElement,
    IoElements,
    MessageType,
    encode_message,
    encode_packet,
)
from teltonika.codecs.captures import CapturedSession, Payload
from teltonika.codecs.registry import AVL_CODECS

ACCEPTED = b"\x01"
_CUTS = (1, 7, 18, 40)
_OWN_TEXTS = (
    CommandMessage(0x0D, MessageType.RESPONSE, b"", timestamp_s=0),
    CommandMessage(0x0D, MessageType.RESPONSE, b"\xff" * 40, timestamp_s=2**32 - 1),
    CommandMessage(0x0F, MessageType.SERIAL, b"", IMEI, 0),
    CommandMessage(0x0F, MessageType.SERIAL, b"\x00\xff", IMEI, 2**32 - 1),
)


def data_fields() -> Iterator[bytes]:
    """The data field of every documented packet, TCP and UDP, and those of packets of our own."""
    for sample in SAMPLES:
        if sample.transport == "udp":
            yield sample.data_field
        elif len(sample.data) > 20:
            yield sample.data[8:-4]
    for packet in _own_packets():
        yield packet[8:-4]
    for message in _OWN_TEXTS:
        yield encode_message(message)[8:-4]


def codec_data_fields(codec: AvlCodec | CommandCodec) -> Iterator[bytes]:
    """Those of one codec, without the codec id."""
    return (data[1:] for data in data_fields() if data[0] == codec.codec_id)


def packets() -> Iterator[bytes]:
    """Every sample as it is published, defects and all, and the packets of our own."""
    yield from (sample.data for sample in SAMPLES if sample.transport == "tcp")
    yield from _own_packets()


def device_streams() -> Iterator[bytes]:
    """What devices say on a connection, in each capture, and each sample behind a handshake."""
    yield from _said(lambda conversation: conversation.device)
    for packet in packets():
        yield HANDSHAKE + packet + b"\xff" + packet


def server_streams() -> Iterator[bytes]:
    yield from _said(lambda conversation: conversation.server)
    for packet in packets():
        yield ACCEPTED + b"\x00\x00\x00\x01" + packet + b"\x00\x00\x00\x02"
    yield ACCEPTED + bytes(8)
    yield b"\x00"


def raw(streams: Callable[[], Iterator[bytes]]) -> Callable[[], Iterator[bytes]]:
    """``streams`` as inputs of `inputs.raw_stream`: whole, and cut."""

    def inputs() -> Iterator[bytes]:
        for stream in streams():
            yield head_seed() + stream
            yield head_seed(_CUTS) + stream

    return inputs


def parts() -> Iterator[bytes]:
    """Inputs of `inputs.packet_stream`: each data field alone, then all sorts of parts in a row."""
    for data in data_fields():
        yield head_seed(_CUTS) + packet_seed(data)
        yield head_seed() + packet_seed(data) + PING_SEED + packet_seed(data, 1) + packet_seed(data)
        yield (
            head_seed(_CUTS)
            + bare_seed(b"\x00\x00\x00\x01")
            + packet_seed(data)
            + bare_seed(framed(data)[:13])
        )


def everything() -> Iterator[bytes]:
    """Either end's bytes, and datagrams."""
    yield from device_streams()
    yield from server_streams()
    yield from (sample.data for sample in SAMPLES)


def hex_texts() -> Iterator[bytes]:
    """Hex as people paste it, read as either kind of text."""
    for text in _texts():
        yield b"\x00" + text
        yield b"\x01" + text


def _texts() -> Iterator[bytes]:
    for sample in SAMPLES:
        yield sample.data.hex().encode()
        yield sample.data.hex(" ").upper().encode()
        yield ", ".join(f"0x{byte:02x}" for byte in sample.data).encode()
    yield SAMPLES_FILE.read_bytes()[:500]
    yield b"".join(b"\\x%02x" % byte for byte in HANDSHAKE)
    yield b"00000000: 000f 3335 3633  ..3563\n00000006: 3037                 07\n"
    yield (
        b"00000000  ff ff ff ff ff ff ff ff  ff ff ff ff ff ff ff ff  |................|\n"
        b"*\n00000030  00 01                                             |..|\n00000032\n"
    )
    yield b"000000 00 0f 33 35\n000004 36 33\n000006\n"


def dumps() -> Iterator[bytes]:
    for form in range(3):
        for sample in SAMPLES:
            yield bytes((form, 15, 1)) + sample.data
        yield bytes((form, 15, 1)) + bytes(70) + b"\xff"


def handshakes() -> Iterator[bytes]:
    yield HANDSHAKE
    yield from (sample.data for sample in SAMPLES if sample.kind == "imei")
    yield HANDSHAKE[:-1] + b"x"
    yield b"\x00\x10" + HANDSHAKE[2:] + b"0"


def timestamps() -> Iterator[bytes]:
    """Of the samples, and where the calendar turns."""
    for sample in SAMPLES:
        if sample.kind == "avl":
            yield b"".join(record.timestamp_ms.to_bytes(8) for record in sample.records)
    last_of_9999 = 253_402_300_799_999
    for number in (0, 951_782_400_000, 4_107_542_399_999, last_of_9999, 2**63, 2**64 - 1):
        yield number.to_bytes(8) + ((number + 1) % 2**64).to_bytes(8)


def _said(side: Callable[[CapturedSession], list[Payload]]) -> Iterator[bytes]:
    for name in CAPTURE_NAMES:
        for conversation in load_capture(name).conversations:
            yield b"".join(payload.data for payload in side(conversation))


def _own_packets() -> Iterator[bytes]:
    """What no sample shows: no records, no elements, values of variable length, whole ranges."""
    ranges = (2**64 - 1, 255, -(2**31), 2**31 - 1, -4, 359, 255, 65_535, 255)
    fixed = IoElements.of(
        IoElement(number, 256**width - 1, width) for number in (1, 255) for width in (1, 2, 4, 8)
    )
    one = IoElements.of([IoElement.variable(10, b"\x01\x02")])
    mixed = IoElements.of(
        (IoElement.variable(385, b"\x00\xff" * 20), IoElement.variable(10, b""), IoElement(1, 2, 1))
    )
    for codec in AVL_CODECS:
        yield encode_packet(codec, [])
        for io, reason, count in product((IoElements(), fixed, one, mixed), (None, 7), (1, 2)):
            try:
                yield encode_packet(codec, [AvlRecord(*ranges, reason, io)] * count)
            except EncodeError:
                continue  # the codec has no place for it
