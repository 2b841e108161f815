"""One device that hops from instance to instance, a thousand times."""

import json
from collections import Counter, deque
from collections.abc import Callable
from contextlib import ExitStack
from random import Random

import redis
from own_valkey import OwnValkey
from serving import IMEI, REGISTRY, STREAM, BareDevice, ServerProcess, wait_for_entry
from valkey_node import until

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet

StartServer = Callable[..., ServerProcess]
INSTANCES = ("a", "b", "c")
HOPS = 1_000
LINGERING = 3
"""So many old connections stand for a while; what comes on them then must not be stored."""
TOO_LATE_MS = 10_000_000


def packet(*numbers: int) -> bytes:
    records = [AvlRecord(1_000 * number, 0, 0, 0, 0, 0, 0, 0) for number in numbers]
    return encode_packet(AVL_CODECS.by_name("8"), records)


def stored(client: redis.Redis) -> list[int]:
    """Numbers of the records on the stream, in its order."""
    times = [json.loads(fields["payload"])["timestamp"] for _, fields in client.xrange(STREAM)]
    assert all(time.startswith("1970-01-01T") for time in times)
    return [3_600 * int(time[11:13]) + 60 * int(time[14:16]) + int(time[17:19]) for time in times]


def test_the_registry_follows_every_hop_and_every_record_is_stored_once(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    rng = Random(1)
    client = valkey.start()
    servers = [
        start_server("--instance-id", name, data_dir=name, redis_url=valkey.url)
        for name in INSTANCES
    ]
    lingering: deque[BareDevice] = deque()
    hops: Counter[str] = Counter()
    with ExitStack() as stack:
        stack.callback(client.close)
        here = servers[0]
        for number in range(HOPS):
            before = here
            here = rng.choice([server for server in servers if server is not before])
            device = stack.enter_context(BareDevice(here.port))
            # Now and then the last ACK was lost, as it were: the record before comes again.
            numbers = (number - 1, number) if number and rng.random() < 0.3 else (number,)
            device.send(packet(*numbers))
            assert device.acknowledged() == len(numbers)
            until(
                lambda: client.hget(REGISTRY, IMEI) == here.instance_id,  # noqa: B023 - called here
                f"the registry has hop {number}, to {here.instance_id}",
            )
            hops[here.instance_id] += 1
            lingering.append(device)
            if len(lingering) > LINGERING:
                old = lingering.popleft()
                if rng.random() < 0.5:
                    late(old, number)
                old.socket.close()
                assert client.hget(REGISTRY, IMEI) == here.instance_id
        lingering.pop().leave()
        wait_for_entry(client, IMEI, None)
        assert min(hops.values()) > HOPS // 5
        assert stored(client) == list(range(HOPS))


def late(old: BareDevice, number: int) -> None:
    """A packet on a connection that a newer one replaced: it is closed, and not acknowledged."""
    try:
        old.send(packet(TOO_LATE_MS // 1_000 + number))
    except OSError:  # it is closed already
        return
    assert old.closed_by_server()
