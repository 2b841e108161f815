"""Telemetry on a Redis, as the server's own script writes it, without a server."""

from collections.abc import Iterable
from datetime import datetime
from itertools import count

import redis

from teltonika.codecs import (
    AVL_CODECS,
    AvlPacket,
    AvlRecord,
    IoElement,
    IoElements,
    decode_packet,
    encode_packet,
)
from teltonika.server.keys import Keys
from teltonika.server.scripts import STORE_PACKET
from teltonika.server.streams import packet_arguments

FIRST_MS = 1_560_000_000_000
_packet_numbers = count(1)


def record(number: int) -> AvlRecord:
    io = IoElements.of([IoElement(239, 1, 1), IoElement(66, 12_345, 2)])
    return AvlRecord(
        *(FIRST_MS + 1000 * number, 0, 252_791_870, 546_871_550, 120, 90, 9, 50),
        event_io_id=239,
        io=io,
    )


def write(
    client: redis.Redis,
    imei: str,
    numbers: Iterable[int],
    keys: Keys | None = None,
    maxlen: int = 0,
) -> None:
    """A packet for each 100 of these records."""
    keys = keys or Keys()
    shard = keys.shards[keys.shard_of(imei)]
    left = list(map(record, numbers))
    while left:
        packet = decode_packet(encode_packet(AVL_CODECS.by_name("8"), left[:100]))
        assert isinstance(packet, AvlPacket)
        arguments, _ = packet_arguments(imei, packet, maxlen, b"")
        arguments += (next(_packet_numbers), 0)
        source = STORE_PACKET.source.decode()
        assert client.eval(source, 2, shard.telemetry, shard.dedupe, *arguments) == len(left[:100])
        left = left[100:]


def number_of(timestamp: str) -> int:
    """Of the record that has this timestamp."""
    return round(datetime.fromisoformat(timestamp).timestamp() - FIRST_MS / 1000)
