"""A publisher for each shard: what one has too much of is not the others' concern."""

from teltonika.server.counters import Counters
from teltonika.server.deployment import deployment_of
from teltonika.server.durability import CONFIRMED
from teltonika.server.keys import Keys
from teltonika.server.publisher import Publisher
from teltonika.server.publishers import Publishers

KEYS = Keys(stream_shards=2)
BOUND = 1_000


def imei_on(shard: int) -> str:
    imeis = (f"3563070424{number:05}" for number in range(1_000))
    return next(imei for imei in imeis if KEYS.shard_of(imei) == shard)


async def test_all_are_full_only_when_each_is() -> None:
    """Until then devices may connect, and datagrams come in: theirs may be the other shard."""
    full: list[Publisher] = []
    drained: list[Publisher] = []
    publishers = Publishers(
        deployment_of("redis://nowhere"),
        KEYS,
        *(0, BOUND, CONFIRMED, Counters()),
        full=full.append,
        drained=drained.append,
    )
    one, other = (publishers.of(imei_on(shard)) for shard in range(2))
    one.hold(BOUND // 2 + 1)
    assert (full, publishers.are_full) == ([one], False)
    other.hold(BOUND // 2 + 1)
    assert (full, publishers.are_full) == ([one, other], True)
    one.let_go(BOUND // 2 + 1)
    assert (drained, publishers.are_full) == ([one], False)
    assert publishers.unconfirmed_bytes == BOUND // 2 + 1
