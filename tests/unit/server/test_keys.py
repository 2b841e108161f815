"""Names of keys, and in which slot of a cluster they stand."""

from collections import Counter

import pytest
from redis.crc import key_slot

from teltonika.codecs import luhn_check_digit
from teltonika.server.keys import Keys


def slots(*names: str) -> set[int]:
    return {key_slot(name.encode()) for name in names}


def test_one_shard_has_the_stream_s_own_name() -> None:
    (shard,) = Keys().shards
    assert (shard.telemetry, shard.dedupe) == (
        "telemetry:teltonika",
        "{telemetry:teltonika}:dedupe",
    )
    assert Keys().shard_of("356307042441013") == 0


def test_a_shard_is_the_crc_of_the_imei_s_digits() -> None:
    """0xBB3D is the check value of CRC-16/IBM for these nine digits."""
    assert Keys(stream_shards=1_000).shard_of("123456789") == 0xBB3D % 1_000


def test_shards_are_named_by_their_number_in_braces() -> None:
    assert [(shard.telemetry, shard.dedupe) for shard in Keys("eu:", "trips", 2).shards] == [
        ("eu:trips:{0}", "eu:trips:{0}:dedupe"),
        ("eu:trips:{1}", "eu:trips:{1}:dedupe"),
    ]


@pytest.mark.parametrize("shards", [1, 3, 16])
@pytest.mark.parametrize("prefix", ["", "eu:", "{fleet}:"])
def test_what_one_script_touches_is_in_one_slot(prefix: str, shards: int) -> None:
    for names in Keys(prefix, stream_shards=shards).together("gate"):
        assert len(slots(*names)) == 1, names


def test_devices_are_spread_evenly() -> None:
    keys = Keys(stream_shards=8)
    bodies = [f"35630704{number:06}" for number in range(8_000)]
    counts = Counter(keys.shard_of(f"{body}{luhn_check_digit(body)}") for body in bodies)
    assert min(counts[shard] for shard in range(8)) > 750
    assert max(counts.values()) < 1_250
