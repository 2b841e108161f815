"""A Valkey that takes its time to load what it has, and says so to whoever asks."""

import redis
from own_valkey import OwnValkey


def slow_load(microseconds_a_key: int) -> tuple[str, ...]:
    """It answers now and then meanwhile."""
    often = ("--loading-process-events-interval-bytes", "1024")
    return ("--key-load-delay", str(microseconds_a_key), *often)


def start_with_much_to_load(valkey: OwnValkey) -> redis.Redis:
    """It has a dump of a thousand keys: unlike a log, that is loaded with pauses."""
    client = valkey.start()
    with client.pipeline() as pipeline:
        for number in range(1_000):
            pipeline.set(f"key-{number}", number)
        pipeline.execute()
    client.bgrewriteaof()
    while True:
        state = client.info("persistence")
        if not (state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"]):
            return client


def answers_loading(client: redis.Redis) -> bool:
    try:
        client.get("key")
    except redis.BusyLoadingError:
        return True
    except redis.ConnectionError:
        return False
    raise AssertionError("it has loaded already")
