"""redis-py's own clients for the URLs that `--redis` takes: tests ask what the server's do not."""

from urllib.parse import urlsplit

import redis
from redis.cluster import ClusterNode, RedisCluster
from redis.sentinel import Sentinel

Client = redis.Redis | RedisCluster


def client_of(url: str) -> Client:
    """It finds primaries by itself where there are several nodes."""
    parts = urlsplit(url)
    if parts.scheme not in {"redis+cluster", "redis+sentinel"}:
        return redis.Redis.from_url(url, decode_responses=True, socket_timeout=None)
    hosts = [host.rpartition(":") for host in parts.netloc.rpartition("@")[2].split(",")]
    if parts.scheme == "redis+cluster":
        nodes = [ClusterNode(host, int(port)) for host, _, port in hosts]
        return RedisCluster(startup_nodes=nodes, decode_responses=True)
    watchers = [(host, int(port)) for host, _, port in hosts]
    client = Sentinel(watchers).master_for(
        parts.path.strip("/"), decode_responses=True, socket_timeout=None
    )
    assert isinstance(client, redis.Redis)
    return client
