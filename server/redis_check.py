"""Whether a Redis that was named has all keys, and keeps what is promised of it.

One that is wrong from the start is a mistake to tell, not one to wait for. One that still loads its
data is waited for.
"""

import asyncio

import structlog
from redis.exceptions import BusyLoadingError, MovedError, RedisError

from teltonika.server.config import ServerSettings
from teltonika.server.deployment import Deployment, Place
from teltonika.server.durability import Durability, Promise, check_durability
from teltonika.server.errors import RedisUnavailableError
from teltonika.server.redis_link import RedisLink, open_link
from teltonika.server.redis_url import redacted_url
from teltonika.server.refusals import in_words, node_of
from teltonika.server.shard_record import check_shards

log = structlog.get_logger()

CHECK_TIMEOUT_S = 10.0
LOADING_PAUSE_S = 0.5

KeyGroups = tuple[tuple[str, ...], ...]
"""Those in one group are used in one call."""


async def check_redis(
    redis: Deployment, settings: ServerSettings, instance_id: str
) -> tuple[str, Promise]:
    """The URL of one of its servers, and what all of them promise.

    Raises RedisUnavailableError, or what else is wrong.
    """
    is_loading = False
    while True:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                checked = await _check(redis, settings, instance_id)
            await check_shards(redis, settings.keys, reshard=settings.reshard)
        except BusyLoadingError as error:
            if not is_loading:
                log.warning(
                    "redis_is_loading", redis=redacted_url(redis.url.text), error=str(error)
                )
            is_loading = True
        except (RedisError, OSError) as error:
            raise RedisUnavailableError(
                f"cannot use the Redis at {redacted_url(redis.url.text)}: "
                f"{in_words(error, CHECK_TIMEOUT_S)}"
            ) from error
        else:
            return checked
        await asyncio.sleep(LOADING_PAUSE_S)


async def places_of(redis: Deployment, keys: KeyGroups) -> dict[Place, KeyGroups]:
    """Each server, and what it has of the keys. Raises RedisError or OSError."""
    places: dict[Place, KeyGroups] = {}
    for names in keys:
        place = await redis.locate(names[0])
        places[place] = (*places.get(place, ()), names)
    return places


async def check_keys(link: RedisLink, url: str, keys: KeyGroups) -> None:
    """Whether this server has all keys; a node of a cluster may not."""
    for names in keys:
        try:
            await link.execute("EXISTS", *names)
        except MovedError as error:
            raise RedisUnavailableError(
                f"the Redis at {redacted_url(url)} is one node of a cluster, and slot "
                f"{error.slot_id}, which {names[0]} is in, belongs to {node_of(error)}: name the "
                "cluster, with redis+cluster:// in place of redis://"
            ) from None


async def _check(
    redis: Deployment, settings: ServerSettings, instance_id: str
) -> tuple[str, Promise]:
    promises = []
    places = await places_of(redis, settings.keys.together(instance_id))
    for place, keys in places.items():
        async with open_link(place) as link:
            await check_keys(link, place.url, keys)
            promises.append(await check_durability(link, settings.durability, settings.replicas))
    weakest = min(promises, key=lambda promise: list(Durability).index(promise.durability))
    return next(iter(places)).url, weakest
