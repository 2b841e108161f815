"""Devices whose frames are told, in hex and in words: those in a set in Redis.

With nobody in the set it costs a session one look at an attribute, and Redis one question a second.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import cast

import msgspec
import structlog

from teltonika.codecs import decode_imei
from teltonika.codecs.errors import FramingError
from teltonika.codecs.frame_cutter import FrameCutter
from teltonika.codecs.handshake import IMEI_FRAME_SIZE
from teltonika.codecs.timestamps import format_timestamp
from teltonika.codecs.transport import Side, Transport
from teltonika.server.deployment import Deployment
from teltonika.server.keys import Keys
from teltonika.server.reconnecting import Reconnecting
from teltonika.server.redis_link import REPLY_TIMEOUT_S, RedisLink, pack_command
from teltonika.server.trace_limits import TraceLimits
from teltonika.server.traced_frame import FramesLeftOut, TraceMessage, tell_frame

log = structlog.get_logger()

REFRESH_S = 1.0
MAX_DEVICES = 100
"""Of more in the set the rest are passed over: this is for looking at one, not at a fleet."""
MAX_WAITING_BYTES = 1_048_576
"""Of messages on their way to Redis; further ones are in the log alone."""
PAGE = 100
"""Messages that are written at once."""


class Tracer:
    """`run` keeps the set and publishes; sessions tell of frames through a `SessionTrace`.

    ``changed`` is called after each reading of the set that brought a change; while Redis is away
    what was read last holds.
    """

    def __init__(
        self,
        redis: Deployment,
        keys: Keys,
        instance_id: str,
        max_packet_size: int,
        changed: Callable[[], None],
    ) -> None:
        self._keys = keys
        self._instance_id = instance_id
        self._changed = changed
        self._limits = TraceLimits()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._unpublished = 0
        self._wake = asyncio.Event()
        self._has_too_many = False
        self._connections = Reconnecting(
            redis,
            keys.traced,
            "traced_devices_not_read",
            lambda: {"devices": len(self.imeis)},
            shortest_pause_s=0.1,
        )
        self.max_packet_size = max_packet_size
        self.imeis: frozenset[str] = frozenset()
        """Who is traced."""

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick())
            group.create_task(self._connections.run(self._work))

    def begin(self, imei: str, peer: str, unfinished: bytes) -> "SessionTrace":
        """A trace of a device that is connected, from its next frame on."""
        return SessionTrace(self, imei, peer, unfinished, awaiting_imei=False)

    def at_handshake(self, unfinished: bytes, data: bytes, peer: str) -> "SessionTrace | None":
        """A trace from the first byte on, once the IMEI is whole in ``unfinished`` and ``data``."""
        beginning = (unfinished + data[:IMEI_FRAME_SIZE])[:IMEI_FRAME_SIZE]
        try:
            imei = decode_imei(beginning)
        except FramingError:
            return None
        if imei not in self.imeis:
            return None
        return SessionTrace(self, imei, peer, unfinished, awaiting_imei=True)

    def tell(
        self,
        sender: Side,
        frame: bytes,
        imei: str,
        peer: str,
        transport: Transport = Transport.TCP,
    ) -> None:
        """Log and publish a frame, or count that it is left out."""
        if not frame or not self._limits.may_tell(imei, len(frame)):
            return
        told = tell_frame(
            sender,
            frame,
            imei=imei,
            peer=peer,
            instance_id=self._instance_id,
            transport=transport,
            max_packet_size=self.max_packet_size,
            now_ms=_now_ms(),
        )
        log.info(
            "frame_received" if sender is Side.DEVICE else "frame_sent",
            imei=imei,
            peer=peer,
            ts=told.ts,
            size=told.size,
            summary=told.summary,
            hex=told.hex,
            **({"cut": True} if told.cut else {}),
        )
        self._publish_later(told)

    def flush(self) -> None:
        """Tell what was left out."""
        for imei, frames in self._limits.turn().items():
            log.warning("frames_left_out", imei=imei, frames=frames)
            self._publish_later(
                FramesLeftOut(
                    ts=format_timestamp(_now_ms()),
                    imei=imei,
                    instance_id=self._instance_id,
                    frames=frames,
                )
            )
        if self._unpublished:
            log.warning("frames_not_published", frames=self._unpublished)
            self._unpublished = 0

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.flush()

    def _publish_later(self, message: TraceMessage) -> None:
        channel = self._keys.traced_frames(message.imei)
        packed = pack_command("PUBLISH", channel, msgspec.json.encode(message))
        if self._waiting_bytes + len(packed) > MAX_WAITING_BYTES:
            self._unpublished += 1
            return
        self._waiting.append(packed)
        self._waiting_bytes += len(packed)
        self._wake.set()

    async def _work(self, link: RedisLink) -> None:
        now = asyncio.get_running_loop().time
        while True:
            next_reading = now() + REFRESH_S
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                await self._read(link)
            self._connections.succeeded()
            while now() < next_reading:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(next_reading):
                        await self._wake.wait()
                await self._publish(link)

    async def _publish(self, link: RedisLink) -> None:
        self._wake.clear()
        while self._waiting:
            count = min(len(self._waiting), PAGE)
            packed = list(islice(self._waiting, count))
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                await link.write(packed)
                for _ in range(count):
                    await link.read_reply()
            for _ in range(count):
                self._waiting_bytes -= len(self._waiting.popleft())

    async def _read(self, link: RedisLink) -> None:
        imeis: set[str] = set()
        cursor = b"0"
        while len(imeis) <= MAX_DEVICES:
            reply = await link.execute("SSCAN", self._keys.traced, cursor, "COUNT", MAX_DEVICES)
            cursor, page = cast("tuple[bytes, list[bytes]]", reply)
            imeis.update(imei.decode("ascii", "backslashreplace") for imei in page)
            if cursor == b"0":
                break
        has_too_many = len(imeis) > MAX_DEVICES
        if has_too_many and not self._has_too_many:
            log.warning("too_many_traced_devices", key=self._keys.traced, limit=MAX_DEVICES)
        self._has_too_many = has_too_many
        traced = frozenset(sorted(imeis)[:MAX_DEVICES])
        if traced != self.imeis:
            self.imeis = traced
            log.info("traced_devices", devices=len(traced))
            self._changed()


class SessionTrace:
    """One connection of a traced device."""

    def __init__(
        self, tracer: Tracer, imei: str, peer: str, unfinished: bytes, *, awaiting_imei: bool
    ) -> None:
        self._tracer = tracer
        self._imei = imei
        self._peer = peer
        self._cutter = FrameCutter(
            tracer.max_packet_size, unfinished=unfinished, awaiting_imei=awaiting_imei
        )

    def received(self, data: bytes) -> None:
        for frame in self._cutter.receive_data(data):
            self._tell(Side.DEVICE, frame)

    def sent(self, frame: bytes) -> None:
        self._tell(Side.SERVER, frame)

    def ended(self) -> None:
        """The connection is closed: what has come of a frame is all of it."""
        self._tell(Side.DEVICE, self._cutter.rest())

    def _tell(self, sender: Side, frame: bytes) -> None:
        self._tracer.tell(sender, frame, self._imei, self._peer)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
