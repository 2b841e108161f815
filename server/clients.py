"""redis-py's ordinary clients for each kind of URL: for what is no matter of speed."""

from typing import Any, TypeAlias, cast

from redis import Redis, RedisCluster, Sentinel
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster
from redis.asyncio import Sentinel as AsyncSentinel
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.cluster import ClusterNode

from teltonika.server.redis_url import Kind, parse_redis_url

Client: TypeAlias = "Redis | RedisCluster"
AsyncClient: TypeAlias = "AsyncRedis | AsyncRedisCluster"


def blocking_client(url: str, **options: Any) -> Client:
    """A client that finds the server of each key, also after it has moved."""
    parsed = parse_redis_url(url)
    if parsed.kind is Kind.SINGLE:
        return Redis.from_url(url, **options)
    options = parsed.arguments() | options
    if parsed.kind is Kind.CLUSTER:
        nodes = [ClusterNode(*address) for address in parsed.addresses]  # type: ignore[no-untyped-call]
        return RedisCluster(startup_nodes=nodes, **options)
    sentinels = Sentinel(parsed.addresses, sentinel_kwargs=parsed.sentinel_arguments())  # type: ignore[no-untyped-call]
    return cast(Redis, sentinels.master_for(parsed.service, **options))  # type: ignore[no-untyped-call]


def async_client(url: str, **options: Any) -> AsyncClient:
    """The same for asyncio."""
    parsed = parse_redis_url(url)
    if parsed.kind is Kind.SINGLE:
        return AsyncRedis.from_url(url, **options)
    options = parsed.arguments() | options
    if parsed.kind is Kind.CLUSTER:
        nodes = [AsyncClusterNode(*address) for address in parsed.addresses]
        return AsyncRedisCluster(startup_nodes=nodes, **options)
    sentinels = AsyncSentinel(parsed.addresses, sentinel_kwargs=parsed.sentinel_arguments())  # type: ignore[no-untyped-call]
    return cast(AsyncRedis, sentinels.master_for(parsed.service, **options))
