"""Which server the Sentinels call the primary.

Each failover has a number, the epoch of its configuration. A Sentinel that is cut off goes on
naming the primary of before: so all are asked at once, and of what they say the latest counts.
"""

import asyncio
from typing import Any, cast

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

Address = tuple[str, int]


class Named(msgspec.Struct, frozen=True):
    """What a Sentinel says of a service."""

    epoch: int
    address: Address
    is_up: bool


async def find_primary(
    addresses: tuple[Address, ...], service: str, options: dict[str, Any], known_epoch: int = 0
) -> Named:
    """The primary, once most of the Sentinels have answered and one of them says it.

    Where most know less than ``known_epoch`` the others are awaited, too: they may know more.
    Raises MasterNotFoundError if none of them names one that is up, and ResponseError if they
    refuse to be asked.
    """
    named: list[Named] = []
    errors: list[Exception] = []
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_ask(address, service, options)) for address in addresses]
        for next_answer in asyncio.as_completed(asked):
            answer = await next_answer
            if isinstance(answer, Exception):
                errors.append(answer)
            elif answer is not None:
                named.append(answer)
            if len(named) > len(addresses) // 2:
                latest = _latest(named)
                if latest is not None and latest.epoch >= known_epoch:
                    break
        for one in asked:
            one.cancel()
    primary = _latest(named)
    if primary is not None:
        return primary
    refused = next((error for error in errors if isinstance(error, ResponseError)), None)
    if refused is not None and not named:
        raise refused
    told = f" : {', '.join(map(str, errors))}" if errors else ""  # as redis-py tells it
    raise MasterNotFoundError(f"No master found for {service!r}{told}")


def _latest(named: list[Named]) -> Named | None:
    """None: it is down, and not replaced yet."""
    epoch = max((one.epoch for one in named), default=0)
    return next((one for one in named if one.is_up and one.epoch == epoch), None)


async def _ask(address: Address, service: str, options: dict[str, Any]) -> Named | Exception | None:
    """None: it does not know the service."""
    host, port = address
    once = Retry(NoBackoff(), 0)  # there are others to ask
    try:
        async with Redis(host=host, port=port, retry=once, **options) as sentinel:
            services = cast("dict[str, dict[str, Any]]", await sentinel.sentinel_masters())
    except (RedisError, OSError) as error:
        return error
    state = services.get(service)
    if state is None:
        return None
    is_up = state["is_master"] and not state["is_sdown"] and not state["is_odown"]
    return Named(state["config-epoch"], (state["ip"], state["port"]), is_up)
