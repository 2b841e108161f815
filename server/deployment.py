"""Where the Redis is that a URL names, key by key, at this moment.

For one server that is always the same. Sentinels are asked for the primary, nodes of a cluster for
the one that has the key's slot. What a cluster says holds until something fails there; then whoever
has failed says so, and the next who asks has it looked up.
"""

import asyncio
import contextlib
from typing import Protocol

import msgspec
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, RedisClusterException, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from teltonika.server.redis_url import LOOK_UP_TIMEOUT_S, Kind, RedisUrl, parse_redis_url
from teltonika.server.sentinels import find_primary

LOOK_PERIOD_S = 2.0
"""From one question to the Sentinels to the next."""


class Place(msgspec.Struct, frozen=True):
    """One server, and how to speak to it."""

    url: str
    """As redis-py opens it."""
    asking: bool = False
    """A slot is moving there: each command must say that it knows."""


class Deployment(Protocol):
    """All that one URL names."""

    url: RedisUrl

    async def locate(self, key: str) -> Place:
        """The server that has a key. Raises RedisError or OSError if nobody can say."""

    def failed(self, error: BaseException) -> None:
        """What was tried ended so: the next place may be another."""

    async def replaced(self, place: Place) -> None:
        """Returns when it is known that another server is where that one was."""

    def lane(self, key: str) -> int:
        """Keys of one lane are in one place, always."""


def deployment_of(url: str) -> Deployment:
    """Raises ValueError for a URL that is none, without repeating it."""
    parsed = parse_redis_url(url)
    match parsed.kind:
        case Kind.SENTINEL:
            return SentinelPrimary(parsed)
        case Kind.CLUSTER:
            return Cluster(parsed)
    return OneServer(parsed)


class OneServer:
    """A Redis that stays where it is."""

    def __init__(self, url: RedisUrl) -> None:
        self.url = url
        self._place = Place(url.text)

    async def locate(self, key: str) -> Place:
        return self._place

    def failed(self, error: BaseException) -> None:
        """It is tried again where it was."""

    async def replaced(self, place: Place) -> None:
        await _never()

    def lane(self, key: str) -> int:
        return 0


class SentinelPrimary:
    """A primary whose place a replica can take; Sentinels say which server it is."""

    def __init__(self, url: RedisUrl) -> None:
        self.url = url
        self._primary: Place | None = None
        self._epoch = 0
        self._replaced = asyncio.Event()
        """Of that one."""
        self._looking = asyncio.Lock()

    async def locate(self, key: str) -> Place:
        """Asked for each time: a connection lasts."""
        named = await find_primary(
            self.url.addresses, self.url.service, self.url.sentinel_arguments(), self._epoch
        )
        self._epoch = named.epoch
        place = Place(self.url.at(*named.address))
        if place != self._primary:
            self._primary = place
            self._replaced.set()
            self._replaced = asyncio.Event()
        return place

    def failed(self, error: BaseException) -> None:
        """It is looked up each time."""

    async def replaced(self, place: Place) -> None:
        """Asked for all the time: one that was cut off from the others takes what is written to it,
        and loses it when it comes back. Whoever finds out tells all."""
        while place == self._primary:
            replaced = self._replaced
            try:
                async with asyncio.timeout(LOOK_PERIOD_S):
                    await replaced.wait()
            except TimeoutError:
                await self._look()

    async def _look(self) -> None:
        if self._looking.locked():
            return  # somebody does
        async with self._looking:
            with contextlib.suppress(RedisError, OSError):  # one who cannot be asked says nothing
                await self.locate("")

    def lane(self, key: str) -> int:
        return 0


class Cluster:
    """Nodes that have a part of the slots each, and change that while they run."""

    def __init__(self, url: RedisUrl) -> None:
        self.url = url
        self._known = set(url.addresses)
        """Those that were there when it was asked last."""
        self._by_slot: dict[int, tuple[str, int]] = {}
        self._asked: dict[int, tuple[str, int]] = {}
        """Where a slot is moving to that has lost a key already."""
        self._is_stale = True
        self._looking_up = asyncio.Lock()

    async def locate(self, key: str) -> Place:
        """As the cluster said when it was asked last."""
        slot = self.lane(key)
        if (target := self._asked.pop(slot, None)) is not None:
            return Place(self.url.at(*target), asking=True)
        async with self._looking_up:
            if self._is_stale:
                await self._look_up()
        address = self._by_slot.get(slot)
        if address is None:
            self._is_stale = True
            raise RedisConnectionError(f"no node of the cluster has slot {slot}")
        return Place(self.url.at(*address))

    def failed(self, error: BaseException) -> None:
        """A node that has moved a slot says where to; all else is looked up."""
        match error:
            case MovedError():
                self._by_slot[error.slot_id] = self._named_by(error)
            case AskError():
                self._asked[error.slot_id] = self._named_by(error)
            case _:
                self._is_stale = True

    async def replaced(self, place: Place) -> None:
        """A node that has lost a slot says so itself."""
        await _never()

    def lane(self, key: str) -> int:
        """The slot."""
        return key_slot(key.encode())

    @property
    def primaries(self) -> frozenset[tuple[str, int]]:
        """Those that have slots, as far as `locate` had to find out."""
        return frozenset(self._by_slot.values())

    def _named_by(self, error: AskError) -> tuple[str, int]:
        """A node that does not know its own host names none: its own it is."""
        host, _ = self._by_slot.get(error.slot_id, self.url.addresses[0])
        return error.host or host, int(error.port)

    async def _look_up(self) -> None:
        """The URL's nodes are asked first: of the others one may have left since, and who is asked
        there now may be another cluster."""
        try:
            await self._ask(set(self.url.addresses))
        except RedisConnectionError:
            others = self._known.difference(self.url.addresses)
            if not others:
                raise
            await self._ask(others)
        self._is_stale = False

    async def _ask(self, addresses: set[tuple[str, int]]) -> None:
        """Raises RedisConnectionError if none of them knows a node that has slots."""
        arguments = {**self.url.arguments(), "socket_timeout": LOOK_UP_TIMEOUT_S}
        client = RedisCluster(
            startup_nodes=[ClusterNode(*address) for address in addresses],
            require_full_coverage=False,
            **arguments,
        )
        # not the whole client, which asks for what each command is, and needs the right to
        nodes = client.nodes_manager
        try:
            await nodes.initialize()
        except RedisClusterException as error:
            raise RedisConnectionError(str(error)) from error
        except IndexError as error:  # it takes the first primary without a look
            raise RedisConnectionError("no node of the cluster has slots") from error
        finally:
            await nodes.aclose()
            await nodes.aclose("startup_nodes")
        self._by_slot = {
            slot: (primary.host, int(primary.port))
            for slot, (primary, *_) in nodes.slots_cache.items()
        }
        self._known = {(node.host, int(node.port)) for node in nodes.nodes_cache.values()}


async def _never() -> None:
    await asyncio.Event().wait()
