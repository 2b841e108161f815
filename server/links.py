"""Connections to a deployment for who asks about many keys: one for each server that has any."""

from teltonika.server.deployment import Deployment, Place
from teltonika.server.redis_link import RedisLink, Reply


class Links:
    """Opened as they are needed; `close` closes all. One question at a time.

    Raises RedisError or OSError from every method, as `RedisLink`; then all are of no more use.
    """

    def __init__(self, redis: Deployment) -> None:
        self._redis = redis
        self._by_lane: dict[int, RedisLink] = {}
        self._by_place: dict[Place, RedisLink] = {}

    async def at(self, key: str) -> RedisLink:
        """The connection to the server that has a key."""
        lane = self._redis.lane(key)
        link = self._by_lane.get(lane)
        if link is None:
            place = await self._redis.locate(key)
            link = self._by_lane[lane] = self._by_place.get(place) or await self._open(place)
        return link

    async def execute(self, name: str, key: str, *more: str | bytes | int) -> Reply:
        """One command and its reply, where its key is."""
        return await (await self.at(key)).execute(name, key, *more)

    async def close(self) -> None:
        for link in self._by_place.values():
            await link.close()

    async def _open(self, place: Place) -> RedisLink:
        link = self._by_place[place] = RedisLink(place)
        await link.connect()
        return link
