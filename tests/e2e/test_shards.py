"""Telemetry in several streams: each device in one, by its IMEI."""

import json
from collections.abc import Callable
from itertools import chain

from own_valkey import OwnValkey
from serving import BareDevice, ServerProcess, run_teltonika

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet
from teltonika.server.keys import Keys

StartServer = Callable[..., ServerProcess]
KEYS = Keys(stream_shards=3)
IMEIS = [f"35630704244{number:04}" for number in range(1013, 1043)]


def packet(number: int) -> bytes:
    return encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(1000 * number, 0, 0, 0, 0, 0, 0, 0)])


def send(server: ServerProcess, number: int) -> None:
    for imei in IMEIS:
        with BareDevice(server.port, imei) as device:
            device.send(packet(number))
            assert device.acknowledged() == 1


def on_shards(server: ServerProcess) -> list[list[str]]:
    """The devices of the entries of each."""
    return [
        [fields["device_id"] for _, fields in server.redis.xrange(shard.telemetry)]
        for shard in KEYS.shards
    ]


def test_every_record_stands_once_on_the_shard_of_its_device(start_server: StartServer) -> None:
    server = start_server("--stream-shards", "3")
    send(server, 1)
    send(server, 1)  # again: it is known
    send(server, 2)
    shards = on_shards(server)
    assert sorted(chain(*shards)) == sorted(2 * IMEIS)
    for number, devices in enumerate(shards):
        assert devices
        assert {KEYS.shard_of(imei) for imei in devices} == {number}
    assert server.entries() == []


def test_all_shards_are_followed_and_looked_at(start_server: StartServer) -> None:
    server = start_server("--stream-shards", "3")
    send(server, 1)
    where = ("--data-dir", str(server.data_dir), "--json")
    tail = run_teltonika("tail", "--since", "1h", "--count", str(len(IMEIS)), *where)
    lines = [json.loads(line) for line in tail.stdout.splitlines()]
    assert sorted(line["device_id"] for line in lines) == sorted(IMEIS)
    top = json.loads(run_teltonika("top", *where).stdout)
    assert (top["stream_length"], top["sampled"]) == (len(IMEIS), 1)
    assert top["records_per_s"] == len(IMEIS) / 10


def test_another_number_of_shards_is_refused_and_changes_only_when_told(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    """What a device sends again after the change is known in its new shard."""
    valkey.start().close()
    before = start_server(redis_url=valkey.url, data_dir="before")
    send(before, 1)
    options = ("serve", "--port", "0", "--instance-id", "x", "--redis", valkey.url)
    refused = run_teltonika(*options, "--stream-shards", "3")
    assert refused.returncode == 1
    assert "the telemetry on this Redis is in 1. Start with --stream-shards 1" in refused.stderr
    too_early = run_teltonika(*options, "--stream-shards", "3", "--reshard")
    assert too_early.returncode == 1
    assert f"the instance {before.instance_id} is alive" in too_early.stderr
    assert before.stop() == 0
    shards = ("--stream-shards", "3")
    after = start_server(*shards, "--reshard", redis_url=valkey.url, data_dir="after")
    send(after, 1)
    send(after, 2)
    assert [line["devices"] for line in after.logged("resharded")] == [len(IMEIS)]
    assert len(after.entries()) == len(IMEIS)
    assert sorted(chain(*on_shards(after))) == sorted(IMEIS)
    assert after.stop() == 0
    again = start_server(*shards, redis_url=valkey.url, data_dir="again")
    assert again.logged_so_far("resharded") == []
