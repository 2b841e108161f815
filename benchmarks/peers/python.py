"""codecs-protocol from PyPI, as its user calls it: the decoder of a packet's codec, awaited."""

import asyncio
import importlib.metadata
import time
from datetime import UTC, datetime
from typing import Any

from benchmarks.peers.peer import NotInstalledError, PeerError, Reading, Timed

_NAME = "codecs-protocol"
_CODEC_ID_AT = 8
_GROUPS = ("one_byte_io", "two_byte_io", "four_byte_io", "eight_byte_io")


class CodecsProtocol:
    name = _NAME

    def version(self) -> str:
        try:
            return importlib.metadata.version(_NAME)
        except importlib.metadata.PackageNotFoundError:
            raise NotInstalledError("pip install -e '.[bench]'") from None

    def read(self, packet: bytes) -> list[Reading]:
        decoder = _decoder(packet)
        try:
            response, _ = asyncio.run(decoder(packet.hex()).decode_data())
        except (ArithmeticError, LookupError, ValueError) as error:
            raise PeerError(str(error)) from error
        return [_reading(record) for record in response["records"]]

    def time(self, packets: list[bytes]) -> Timed:
        return asyncio.run(_time(packets))


def _decoder(packet: bytes) -> Any:
    """The library has no types."""
    import codecs_protocol  # noqa: PLC0415 - optional

    decoders = {0x08: codecs_protocol.Codec8, 0x8E: codecs_protocol.Codec8E}
    codec_id = packet[_CODEC_ID_AT]
    if codec_id not in decoders:
        raise PeerError(f"it has no decoder of codec 0x{codec_id:02X}")
    return decoders[codec_id]


async def _time(packets: list[bytes]) -> Timed:
    """In a running event loop, as in a server; the packets are of one codec."""
    decoder = _decoder(packets[0])
    count = 0
    start = time.perf_counter()
    for packet in packets:
        response, _ = await decoder(packet.hex()).decode_data()
        count += len(response["records"])
    return Timed(len(packets), count, time.perf_counter() - start)


def _reading(record: dict[str, Any]) -> Reading:
    io = record["io_data"]
    moment = datetime.strptime(record["timestamp"], "%d.%m.%Y %H:%M:%S").replace(tzinfo=UTC)
    return Reading(
        timestamp_ms=1000 * moment.timestamp(),
        priority=record["priority"],
        longitude=record["longitude"],
        latitude=record["latitude"],
        altitude=record["altitude"],
        angle=record["angle"],
        satellites=record["satellites"],
        speed=record["speed"],
        event_io_id=io["event_id"],
        io={str(pair["id"]): str(pair["value"]) for group in _GROUPS for pair in io[group]},
    )
