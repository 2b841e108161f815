"""The script that stores a packet: known records are not stored again."""

from itertools import count

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teltonika.codecs import AVL_CODECS, AvlPacket, AvlRecord, decode_packet, encode_packet
from teltonika.server.dedupe import KEPT_RECORDS, packet_digests
from teltonika.server.keys import Keys
from teltonika.server.scripts import OPEN_CONNECTION, STORE_PACKET
from teltonika.server.streams import packet_arguments

KEYS = Keys().shards[0]
IMEI, OTHER = "356307042441013", "356307042441021"
CONNECTION, NEWER = b"a socket", b"the next"
DATAGRAM = b""
"""The connection of what comes by UDP."""


def record(number: int) -> AvlRecord:
    return AvlRecord(number, 0, 0, 0, 0, 0, 0, 0)


packet_numbers = count(1)


def store(
    client: redis.Redis,
    *numbers: int,
    imei: str = IMEI,
    connection: bytes = CONNECTION,
    number: int | None = None,
    before: int = 0,
) -> int:
    """How many of these records were new, in a packet behind all others."""
    packet = decode_packet(encode_packet(AVL_CODECS.by_name("8"), list(map(record, numbers))))
    assert isinstance(packet, AvlPacket)
    arguments, _ = packet_arguments(imei, packet, 0, connection)
    keys = (KEYS.telemetry, KEYS.dedupe)
    arguments += (next(packet_numbers) if number is None else number, before)
    new = client.eval(STORE_PACKET.source.decode(), len(keys), *keys, *arguments)
    assert isinstance(new, int)
    return new


def stored(client: redis.Redis, imei: str = IMEI) -> list[int]:
    entries = [fields for _, fields in client.xrange(KEYS.telemetry)]
    return [int(e["ts"][-4:-1]) for e in entries if e["device_id"] == imei]


def test_a_packet_sent_twice_is_stored_once(client: redis.Redis) -> None:
    assert store(client, 1, 2, 3) == 3
    assert store(client, 1, 2, 3) == 0
    assert stored(client) == [1, 2, 3]


def test_of_a_packet_packed_anew_the_new_records_are_stored_in_order(client: redis.Redis) -> None:
    store(client, 1, 2, 3)
    assert store(client, 9, 2, 8, 3, 7) == 3
    assert stored(client) == [1, 2, 3, 9, 8, 7]


def test_equal_records_in_one_packet_came_once_and_are_stored(client: redis.Redis) -> None:
    assert store(client, 1, 1, 1) == 3
    assert store(client, 1, 1, 2) == 1
    assert stored(client) == [1, 1, 1, 2]


def test_each_device_has_a_memory_of_its_own(client: redis.Redis) -> None:
    store(client, 1)
    assert store(client, 1, imei=OTHER) == 1
    assert stored(client, OTHER) == [1]


def test_the_whole_last_packet_and_32_records_before_it_are_known(client: redis.Redis) -> None:
    for number in range(40):
        store(client, number)
    last_packet = range(100, 355)
    store(client, *last_packet)
    assert store(client, *last_packet) == 0
    known = range(40 - KEPT_RECORDS, 40)
    assert store(client, *known) == 0
    assert store(client, 40 - KEPT_RECORDS - 1) == 1


def test_what_is_kept_is_bounded(client: redis.Redis) -> None:
    for start in range(0, 900, 255):
        store(client, *range(start, start + 255))
    kept = client.execute_command("HSTRLEN", KEYS.dedupe, IMEI)
    assert kept == 20 + 8 * (255 + KEPT_RECORDS)


def open_connection(client: redis.Redis, connection: bytes) -> None:
    script = OPEN_CONNECTION.source.decode()
    client.eval(script, 1, KEYS.dedupe, IMEI, connection)


def test_what_comes_late_on_an_older_connection_is_not_stored(client: redis.Redis) -> None:
    """The instance that has it was stopped, and the device sent it again to another."""
    open_connection(client, CONNECTION)
    store(client, 1)
    open_connection(client, NEWER)
    assert store(client, 2, connection=NEWER) == 1
    for start in range(100, 300, 50):  # until 2 is forgotten
        store(client, *range(start, start + 50), connection=NEWER)
    assert store(client, 2) == -1
    assert store(client, connection=CONNECTION) == -1
    assert stored(client).count(2) == 1


def test_a_new_connection_knows_what_the_older_one_brought(client: redis.Redis) -> None:
    open_connection(client, CONNECTION)
    store(client, 1, 2)
    open_connection(client, NEWER)
    assert store(client, 1, 2, 3, connection=NEWER) == 1
    open_connection(client, NEWER)  # asked for again, after a lost reply
    assert store(client, 3, connection=NEWER) == 0


def test_a_packet_is_stored_behind_the_one_before_it_or_not_at_all(client: redis.Redis) -> None:
    open_connection(client, CONNECTION)
    assert store(client, 2, number=8, before=7) == -2
    assert store(client, 1, number=7) == 1
    assert store(client, 2, number=8, before=7) == 1
    assert store(client, number=9, before=8) == 0
    assert store(client, 3, number=10, before=9) == 1
    assert stored(client) == [1, 2, 3]


def test_a_packet_is_known_by_its_number_though_its_digests_are_forgotten(
    client: redis.Redis,
) -> None:
    open_connection(client, CONNECTION)
    for number in range(1, 101):
        store(client, number, number=number)
    open_connection(client, CONNECTION)  # asked for again, after a lost reply
    for number in range(1, 101):
        assert store(client, number, number=number, before=number - 1) == 0
    assert stored(client) == list(range(1, 101))
    open_connection(client, NEWER)
    assert store(client, 101, number=1, connection=NEWER) == 1


def test_where_redis_lost_its_memory_a_connection_goes_on(client: redis.Redis) -> None:
    open_connection(client, CONNECTION)
    client.flushall()
    assert store(client, 1) == 1


def test_a_packet_without_records_changes_nothing(client: redis.Redis) -> None:
    store(client, 1)
    assert store(client) == 0
    assert store(client, 1) == 0


def test_a_datagram_sent_twice_is_stored_once_whatever_its_number(client: redis.Redis) -> None:
    """Each instance, and each start of one, counts from 1."""
    assert store(client, 1, 2, connection=DATAGRAM, number=7) == 2
    assert store(client, 1, 2, connection=DATAGRAM, number=1) == 0
    assert store(client, 2, 3, connection=DATAGRAM, number=1) == 1
    assert stored(client) == [1, 2, 3]


def test_a_datagram_is_stored_whatever_connection_the_device_has(client: redis.Redis) -> None:
    open_connection(client, CONNECTION)
    store(client, 1, number=50)
    assert store(client, 1, 2, connection=DATAGRAM, number=3) == 1
    assert stored(client) == [1, 2]


def test_datagrams_leave_the_check_against_older_connections_as_it_is(client: redis.Redis) -> None:
    open_connection(client, CONNECTION)
    open_connection(client, NEWER)
    assert store(client, 1, connection=DATAGRAM) == 1
    assert store(client, 2, connection=CONNECTION) == -1
    assert store(client, 1, 2, connection=NEWER) == 1


def test_datagrams_leave_the_numbers_of_a_connection_as_they_are(client: redis.Redis) -> None:
    """Were theirs kept, packets with lower ones would be taken for stored, and acknowledged."""
    open_connection(client, CONNECTION)
    store(client, 1, number=7)
    assert store(client, 2, connection=DATAGRAM, number=1_000) == 1
    assert store(client, 4, number=9, before=8) == -2
    assert store(client, 3, number=8, before=7) == 1
    assert store(client, 5, connection=DATAGRAM, number=1) == 1
    assert store(client, number=8) == 0
    assert store(client, 6, number=8) == 0
    assert stored(client) == [1, 2, 3, 5]


def test_after_datagrams_only_a_connection_is_opened_and_knows_what_they_brought(
    client: redis.Redis,
) -> None:
    store(client, 1, 2, connection=DATAGRAM)
    open_connection(client, CONNECTION)
    assert store(client, 2, 3, number=1) == 1
    assert store(client, 1, 2, 3, connection=DATAGRAM) == 0
    assert stored(client) == [1, 2, 3]


def test_where_redis_lost_its_memory_a_datagram_does_not_end_a_connection(
    client: redis.Redis,
) -> None:
    open_connection(client, CONNECTION)
    client.flushall()
    store(client, 1, connection=DATAGRAM)
    assert store(client, 1, 2) == 1
    assert store(client, 3, connection=NEWER) == -1


def test_a_digest_across_two_others_is_no_match(client: redis.Redis) -> None:
    """The value holds ``0000000A B…``: what lies between two digests is not a third."""
    client.hset(KEYS.dedupe, IMEI, b"day!" + CONNECTION + bytes(8) + b"12345678" + b"abcdefgh")
    arguments = [0, IMEI, "8", b"5678abcd", 32, CONNECTION, "ts", "payload", 1, 0]
    keys = (KEYS.telemetry, KEYS.dedupe)
    assert client.eval(STORE_PACKET.source.decode(), 2, *keys, *arguments) == 1
    arguments[3], arguments[-2] = b"abcdefgh", 2
    assert client.eval(STORE_PACKET.source.decode(), 2, *keys, *arguments) == 0


def test_what_is_refused_leaves_no_trace(client: redis.Redis) -> None:
    store(client, 1)
    client.config_set("maxmemory", 1)
    with pytest.raises(redis.ResponseError, match="maxmemory"):
        store(client, 2)
    client.config_set("maxmemory", 0)
    assert store(client, 2) == 1


def test_digests_are_eight_bytes_of_each_record_s_own(client: redis.Redis) -> None:
    packet = decode_packet(encode_packet(AVL_CODECS.by_name("8"), [record(1), record(2)]))
    swapped = decode_packet(encode_packet(AVL_CODECS.by_name("8"), [record(2), record(1)]))
    assert isinstance(packet, AvlPacket)
    assert isinstance(swapped, AvlPacket)
    digests = packet_digests(packet)
    assert len(digests) == 16
    assert digests[:8] != digests[8:]
    assert packet_digests(swapped) == digests[8:] + digests[:8]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 40), max_size=6, unique=True), max_size=12))
def test_whatever_is_sent_again_within_the_window_is_stored_once(
    client: redis.Redis, packets: list[list[int]]
) -> None:
    """41 different records: a model that remembers the last packet and 32 before it."""
    client.flushall()
    known: list[int] = []
    expected: list[int] = []
    for numbers in packets:
        new = [number for number in numbers if number not in known]
        assert store(client, *numbers) == len(new)
        expected += new
        if new:
            known = numbers + known[:KEPT_RECORDS]
    assert stored(client) == expected
