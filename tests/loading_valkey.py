"""A Valkey that takes its time to load what it has, and says so to whoever asks."""

import redis
from own_valkey import OwnValkey, wait_until_refused

KEYS = 10_000
SLOWLY = ("--key-load-delay", "4000", "--loading-process-events-interval-bytes", "1024")
"""It loads for 40 s if nobody hurries it, and answers twice a second meanwhile."""


def start_with_much_to_load(valkey: OwnValkey) -> redis.Redis:
    """It has a dump of many keys: unlike a log, that is loaded with pauses."""
    client = valkey.start()
    with client.pipeline() as pipeline:
        for number in range(KEYS):
            pipeline.set(f"key-{number}", number)
        pipeline.execute()
    client.bgrewriteaof()
    while is_rewriting(client):
        pass
    return client


def load_slowly(valkey: OwnValkey) -> None:
    """It is ended, and has begun to load again."""
    valkey.kill()
    valkey.launch(*SLOWLY)


def is_rewriting(client: redis.Redis) -> bool:
    state = client.info("persistence")
    return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])


def wait_until_refusing(client: redis.Redis) -> None:
    """Return once somebody was told that it loads."""
    wait_until_it_answers(client)
    wait_until_refused(client, "LOADING")


def hurry(client: redis.Redis) -> None:
    """It loads the rest at once."""
    wait_until_it_answers(client)
    client.config_set("key-load-delay", 0)


def wait_until_it_answers(client: redis.Redis) -> None:
    while True:
        try:
            client.info("errorstats")
        except redis.ConnectionError:
            continue
        return
