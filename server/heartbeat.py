"""That this instance lives, and that it is the one process that has its id."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, NamedTuple, cast

import msgspec
from msgspec import Meta

from teltonika.codecs.timestamps import format_timestamp
from teltonika.server.connection_registry import ConnectionRegistry
from teltonika.server.entry_fields import Timestamp
from teltonika.server.errors import RedisRefusedError, SupersededError
from teltonika.server.keys import Keys
from teltonika.server.redis_writer import RedisWriter
from teltonika.server.scripts import BEAT, END_HEARTBEAT


class Beat(msgspec.Struct, frozen=True):
    """The heartbeat's value, as JSON."""

    run_id: Annotated[str, Meta(description="Another at each start.")]
    host: Annotated[str, Meta(description="The machine's name.")]
    pid: Annotated[int, Meta(ge=0, description="The process.")]
    started_at: Annotated[Timestamp, Meta(description="When it was started.")]
    port: Annotated[int, Meta(ge=0, le=65_535, description="The TCP port for devices.")]
    sessions: Annotated[int, Meta(ge=0, description="Open connections that have said their IMEI.")]
    ttl_s: Annotated[
        int,
        Meta(
            ge=0,
            le=2**31 - 1,
            description="How long the key lives after a beat: the rest says how old it is.",
        ),
    ] = 0
    short_of: Annotated[
        list[str],
        Meta(description="`memory`, `disk`: too little is left, and nothing is stored meanwhile."),
    ] = []


class State(NamedTuple):
    """What a heartbeat says about the instance."""

    port: int
    sessions: int
    short_of: Sequence[str]


class Heartbeat:
    """Of one run of an instance: `take_over` once, then `run`, then `end`."""

    def __init__(
        self,
        writer: RedisWriter,
        keys: Keys,
        registry: ConnectionRegistry,
        instance_id: str,
        run_id: str,
        *,
        interval_s: float,
        ttl_s: int,
        started_ms: int,
        state: Callable[[], State],
    ) -> None:
        self._writer = writer
        self._keys = keys
        self._key = keys.heartbeat(instance_id)
        self._outbound = keys.outbound(instance_id)
        self._registry = registry
        self._instance_id = instance_id
        self._run_id = run_id
        self._interval_s = interval_s
        self._ttl_s = ttl_s
        self._started_at = format_timestamp(started_ms)
        self._state = state

    async def take_over(self) -> int:
        """This run has the id from now on, whoever had it: the newer wins.

        Returns when that was, in epoch milliseconds by the clock that dates commands.
        Raises RedisRefusedError.
        """
        await self._writer.call("HSET", self._keys.runs, self._instance_id, self._run_id)
        await self._writer.call("SET", self._key, self._value(), "EX", self._ttl_s)
        seconds, microseconds = cast(
            "list[bytes]", await self._writer.call("TIME", at=self._outbound)
        )
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def run(self) -> None:
        """Beat, and mend what Redis has lost, until cancelled.

        Raises SupersededError when another process has taken the id over.
        """
        while True:
            # the other may be gone again by now, and its heartbeat with it
            if not (await _unless_refused(self._registry.restore()) and await self._beat()):
                raise SupersededError(
                    f"another process has taken over the instance id {self._instance_id}: this one "
                    "stops. Two servers at a time need an --instance-id each"
                )
            await asyncio.sleep(self._interval_s)

    async def end(self) -> None:
        """The instance stops."""
        with contextlib.suppress(RedisRefusedError):  # no heartbeat, as it should be
            await self._writer.call_script(END_HEARTBEAT, (self._key,), self._run_id)

    async def _beat(self) -> bool:
        return await _unless_refused(
            self._writer.call_script(BEAT, (self._key,), self._run_id, self._value(), self._ttl_s)
        )

    def _value(self) -> bytes:
        state = self._state()
        return msgspec.json.encode(
            Beat(
                self._run_id,
                socket.gethostname(),
                os.getpid(),
                self._started_at,
                state.port,
                state.sessions,
                self._ttl_s,
                list(state.short_of),
            )
        )


async def _unless_refused(answer: Awaitable[object]) -> bool:
    """Whether the id is ours still. Where Redis refuses to tell it is; the next beat asks again."""
    try:
        return bool(await answer)
    except RedisRefusedError:
        return True
