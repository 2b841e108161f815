"""One connection after another: what an old one still had on its way is not executed any more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis
import redis.asyncio

from teltonika.server import redis_lane as redis_lane_module
from teltonika.server.background import background
from teltonika.server.deployment import deployment_of
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.reconnecting import Reconnecting
from teltonika.server.redis_link import RedisLink
from teltonika.server.redis_writer import RedisWriter


class SlowNetwork:
    """A way to Valkey on which what was sent can stay for as long as the test wants."""

    def __init__(self, path: Path, target: str) -> None:
        self.url = f"unix://{path}"
        self._path = path
        self._target = target.removeprefix("unix://")
        self._open: list[_Path] = []
        self._slow: list[_Path] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["SlowNetwork"]:
        server = await asyncio.start_unix_server(self._connected, self._path)
        yield self
        server.close()

    def hold(self) -> None:
        """What comes on the connections that stand now stays on its way."""
        self._slow = list(self._open)
        for path in self._slow:
            path.held = b""

    async def deliver(self) -> None:
        """It arrives; returns once Valkey has closed those connections."""
        for path in self._slow:
            path.deliver()
            await path.closed.wait()

    async def _connected(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, forth = await asyncio.open_unix_connection(self._target)
        path = _Path(forth)
        self._open.append(path)
        async with asyncio.TaskGroup() as group:
            group.create_task(path.carry(near))
            with contextlib.suppress(OSError):
                while data := await far.read(65_536):
                    back.write(data)
            path.closed.set()
            back.close()


class _Path:
    """From a client to Valkey."""

    def __init__(self, forth: asyncio.StreamWriter) -> None:
        self.held: bytes | None = None
        self.closed = asyncio.Event()
        self._forth = forth

    async def carry(self, near: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await near.read(65_536):
                if self.held is None:
                    self._forth.write(data)
                else:
                    self.held += data
        if self.held is None:
            self._forth.close()

    def deliver(self) -> None:
        assert self.held is not None
        self._forth.write(self.held)
        self._forth.close()


async def test_what_an_old_connection_brings_late_is_not_executed(
    valkey: EmbeddedValkey,
    client: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = SlowNetwork(tmp_path / "slow.sock", valkey.url)
    writer = RedisWriter(deployment_of(network.url), ())
    async with network.running(), background(writer.run()):
        await writer.call("PING", at="key")
        network.hold()
        monkeypatch.setattr(redis_lane_module, "REPLY_TIMEOUT_S", 0.05)
        assert await writer.call("SET", "key", "older") == b"OK"  # on the next connection
        monkeypatch.undo()
        await writer.call("SET", "key", "newer")
        await network.deliver()
        assert client.get("key") == "newer"


async def test_after_a_restart_of_redis_nobody_is_ended_who_has_the_old_id_now(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    connections = Reconnecting(deployment_of(valkey.url), "any", "lost")
    worked: asyncio.Queue[None] = asyncio.Queue()

    async def work(link: RedisLink) -> None:
        worked.put_nowait(None)
        await link.read_reply()

    stranger = client.client_id()
    connections._last = (b"run_id:of-the-dead", stranger)
    async with background(connections.run(work)):
        await worked.get()
    assert client.client_id() == stranger


async def test_a_redis_that_lets_nobody_end_connections_is_used_all_the_same(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    client.acl_setuser(
        "gate", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-client", "-info"]
    )
    writer = RedisWriter(deployment_of(valkey.url.replace("unix://", "unix://gate:any@")), ())
    async with background(writer.run()):
        assert await writer.call("SET", "key", "value") == b"OK"


async def test_who_is_cancelled_while_a_connection_fails_is_cancelled(
    valkey: EmbeddedValkey,
) -> None:
    """Before Python 3.13 a group of tasks that is ending of a failure takes no notice of it."""
    connections = Reconnecting(deployment_of(valkey.url), "any", "lost")

    async def work(_: RedisLink) -> None:
        asyncio.get_running_loop().call_soon(working.cancel)
        raise redis.ConnectionError("the connection is gone")

    working = asyncio.create_task(connections.run(work))
    await asyncio.wait([working], timeout=5)
    assert working.cancelled()
