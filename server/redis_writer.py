"""Commands to Redis that must happen, however often connections break: see `RedisLane`.

Those for one key, and for keys that are in one slot with it, happen in their order. What must
outlive a failover has a lane of its own, where that is to be waited for.
"""

import asyncio
from collections.abc import Callable, Iterable

from teltonika.server.deployment import Deployment
from teltonika.server.durability import CONFIRMED, Promise
from teltonika.server.errors import RedisRefusedError
from teltonika.server.redis_lane import Command, RedisLane
from teltonika.server.redis_link import Reply, pack_command
from teltonika.server.scripts import Script

Argument = str | bytes | int


def _nothing(_: object) -> None:
    pass


class RedisWriter:
    """A lane for each place that keys can be in. `run` does the work; the rest only queues."""

    def __init__(
        self, redis: Deployment, scripts: Iterable[Script], promise: Promise = CONFIRMED
    ) -> None:
        """``promise``: for what is lasting."""
        self._redis = redis
        self._scripts = tuple(scripts)
        self._promise = promise
        self._lanes: dict[tuple[int, Promise], RedisLane] = {}
        self._new_lanes: list[RedisLane] = []
        self._has_new = asyncio.Event()

    def submit(
        self,
        done: Callable[[Reply], None],
        *arguments: Argument,
        refused: Callable[[RedisRefusedError], None] = _nothing,
        at: str = "",
    ) -> None:
        """Queue a command; ``done`` is called with its reply.

        Its key is its first argument, or ``at`` where it has none. ``refused`` is called instead if
        Redis refuses it, and will for ever.
        """
        name, *more = arguments
        key = at or str(more[0])
        self._queue(key, Command(str(name), (key,), pack_command(*arguments), done, refused))

    def submit_script(
        self,
        done: Callable[[Reply], None],
        script: Script,
        keys: tuple[str, ...],
        *arguments: Argument,
        refused: Callable[[RedisRefusedError], None] = _nothing,
        lasting: bool = False,
    ) -> None:
        """The same for a script; all of its keys are in one place.

        ``lasting``: it is done when the promise is kept; asked for again, the script writes again.
        """
        packed = pack_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        command = Command(script.name, keys, packed, done, refused)
        self._queue(keys[0], command, self._promise if lasting else CONFIRMED)

    async def call(self, *arguments: Argument, at: str = "") -> Reply:
        """Queue a command and wait for its reply. Raises RedisRefusedError."""
        waiting = _Waiting()
        self.submit(waiting.done, *arguments, refused=waiting.refused, at=at)
        return await waiting.reply

    async def call_script(
        self,
        script: Script,
        keys: tuple[str, ...],
        *arguments: Argument,
        lasting: bool = False,
    ) -> Reply:
        """The same for a script."""
        waiting = _Waiting()
        self.submit_script(
            waiting.done, script, keys, *arguments, refused=waiting.refused, lasting=lasting
        )
        return await waiting.reply

    @property
    def waiting(self) -> int:
        """Commands that have no reply yet."""
        return sum(lane.waiting for lane in self._lanes.values())

    async def idle(self) -> None:
        """Until everything that was queued has its reply."""
        while self.waiting:
            for lane in list(self._lanes.values()):
                await lane.idle()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for lane in self._new_lanes:
                    group.create_task(lane.run())
                self._new_lanes.clear()
                self._has_new.clear()
                await self._has_new.wait()

    def _queue(self, key: str, command: Command, promise: Promise = CONFIRMED) -> None:
        which = self._redis.lane(key), promise
        lane = self._lanes.get(which)
        if lane is None:
            lane = self._lanes[which] = RedisLane(self._redis, key, self._scripts, promise)
            self._new_lanes.append(lane)
            self._has_new.set()
        lane.queue(command)


class _Waiting:
    """A caller that waits for a reply; it may have been cancelled when that comes."""

    def __init__(self) -> None:
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def done(self, reply: Reply) -> None:
        if not self.reply.done():
            self.reply.set_result(reply)

    def refused(self, error: RedisRefusedError) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)
