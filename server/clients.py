"""redis-py's ordinary clients for each kind of URL: for what is no matter of speed."""

from typing import Any, TypeAlias, cast

from redis import Redis, RedisCluster, Sentinel
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster
from redis.asyncio import Sentinel as AsyncSentinel
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry

from teltonika.server.redis_url import Kind, parse_redis_url

Client: TypeAlias = "Redis | RedisCluster"
AsyncClient: TypeAlias = "AsyncRedis | AsyncRedisCluster"


class Sentinels(AsyncSentinel):
    """Each is asked once, and all are closed: redis-py loses some when two look at once."""

    def __init__(self, addresses: tuple[tuple[str, int], ...], options: dict[str, Any]) -> None:
        once = {"retry": AsyncRetry(NoBackoff(), 0)}  # there are others to ask
        super().__init__(addresses, sentinel_kwargs=options | once)  # type: ignore[no-untyped-call]
        self._all = tuple(self.sentinels)

    async def aclose(self) -> None:
        for sentinel in self._all:
            await sentinel.aclose()


def blocking_client(url: str, **options: Any) -> Client:
    """A client that finds the server of each key, also after it has moved."""
    parsed = parse_redis_url(url)
    if parsed.kind is Kind.SINGLE:
        return Redis.from_url(url, **options)
    options = parsed.arguments() | options
    if parsed.kind is Kind.CLUSTER:
        nodes = [ClusterNode(*address) for address in parsed.addresses]  # type: ignore[no-untyped-call]
        return RedisCluster(startup_nodes=nodes, **options)
    once = {"retry": Retry(NoBackoff(), 0)}  # there are other Sentinels to ask
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        parsed.addresses, sentinel_kwargs=parsed.sentinel_arguments() | once
    )
    return cast(Redis, sentinels.master_for(parsed.service, **options))  # type: ignore[no-untyped-call]


def async_client(url: str, **options: Any) -> AsyncClient:
    """The same for asyncio; `close_client` closes it."""
    parsed = parse_redis_url(url)
    if parsed.kind is Kind.SINGLE:
        return AsyncRedis.from_url(url, **options)
    options = parsed.arguments() | options
    if parsed.kind is Kind.CLUSTER:
        nodes = [AsyncClusterNode(*address) for address in parsed.addresses]
        return AsyncRedisCluster(startup_nodes=nodes, **options)
    sentinels = Sentinels(parsed.addresses, parsed.sentinel_arguments())
    return cast(AsyncRedis, sentinels.master_for(parsed.service, **options))


async def close_client(client: AsyncClient) -> None:
    """Every connection that a client of `async_client` has: redis-py leaves some open.

    Those to Sentinels, and all of a cluster after a failure.
    """
    await client.aclose()
    if isinstance(client, AsyncRedisCluster):
        for nodes in ("nodes_cache", "startup_nodes"):
            await client.nodes_manager.aclose(nodes)
    elif isinstance(client.connection_pool, SentinelConnectionPool):
        await client.connection_pool.sentinel_manager.aclose()
