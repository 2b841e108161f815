"""Commands that look at keys which are of another type, or hold what no instance writes."""

import json
from collections.abc import Iterator

import msgspec
import pytest
import redis
from own_valkey import OwnValkey
from serving import IMEI, run_teltonika

from teltonika.server.deployment import deployment_of
from teltonika.server.keys import Keys
from teltonika.server.links import Links
from teltonika.server.overview import OverviewReader

KEYS = Keys()
BEAT = {
    "run_id": "run",
    "host": "h",
    "pid": 1,
    "port": 1,
    "sessions": 1,
    "started_at": "2026-01-31T08:00:00.000Z",
}
BROKEN = {
    "a heartbeat of a wrong type": (KEYS.heartbeat("gate"), "hash"),
    "a heartbeat that is not JSON": (KEYS.heartbeat("gate"), b"\xff"),
    "a heartbeat of other JSON": (KEYS.heartbeat("gate"), b'{"run_id": 7}'),
    "a heartbeat for ever": (
        KEYS.heartbeat("gate"),
        b'{"run_id":"r","host":"h","pid":1,"started_at":"2026-01-31T08:00:00.000Z","port":1,"sessions":0,"ttl_s":1%s}'
        % (b"0" * 400),
    ),
    "the registry": (KEYS.registry, "list"),
    "when they connected": (KEYS.connected_since, "list"),
    "the runs": (KEYS.runs, "list"),
    "commands": (KEYS.outbound("gate"), "hash"),
    "telemetry": (KEYS.shards[0].telemetry, "hash"),
    "the number of shards": (KEYS.shards_recorded, b"many"),
    "the number of shards as a list": (KEYS.shards_recorded, "list"),
}


@pytest.fixture(scope="module")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnValkey]:
    valkey = OwnValkey(tmp_path_factory.mktemp("shared"))
    valkey.start().close()
    yield valkey
    valkey.kill()


@pytest.fixture
def valkey(shared_valkey: OwnValkey) -> OwnValkey:
    """An empty one."""
    with shared_valkey.client() as client:
        client.flushall()
    return shared_valkey


def write(client: redis.Redis) -> None:
    """What there is of two instances with a device each."""
    for name, imei in (("gate", IMEI), ("yard", "356307042441021")):
        client.hset(KEYS.runs, name, "run")
        client.hset(KEYS.registry, imei, name)
        client.hset(KEYS.connected_since, imei, 1_769_846_400_000)
        beat = {
            "run_id": "run",
            "host": "h",
            "pid": 1,
            "started_at": "2026-01-31T08:00:00.000Z",
            "port": 1,
            "sessions": 1,
        }
        client.set(KEYS.heartbeat(name), json.dumps(beat), ex=90)
        client.xadd(KEYS.outbound(name), {"command_id": "c", "imei": imei, "payload": "getver"})
    client.xadd(KEYS.shards[0].telemetry, {"device_id": IMEI, "ts": "x"})


def break_it(client: redis.Redis, key: str, how: str | bytes) -> None:
    client.delete(key)
    if how == "hash":
        client.hset(key, "field", "value")
    elif how == "list":
        client.rpush(key, "value")
    else:
        client.set(key, how)


@pytest.mark.parametrize(("key", "how"), BROKEN.values(), ids=BROKEN)
async def test_top_shows_the_rest_and_names_the_key(
    key: str, how: str | bytes, valkey: OwnValkey
) -> None:
    client = valkey.client()
    write(client)
    break_it(client, key, how)
    links = Links(deployment_of(valkey.url))
    seen = msgspec.to_builtins(await OverviewReader(KEYS).read(links))
    await links.close()
    if key == KEYS.connected_since:  # it does not look there
        assert seen["complaints"] == []
    else:
        (complaint,) = seen["complaints"]
        assert key in complaint
    assert [one["alive"] for one in seen["instances"]] == [True, True]
    assert seen["connections"] == (0 if key == KEYS.registry else 2)
    assert seen["stream_length"] == (0 if key == KEYS.shards[0].telemetry else 1)
    assert seen["commands"] == (1 if key == KEYS.outbound("gate") else 2)
    client.close()


def test_top_as_a_command_shows_the_rest_as_well(valkey: OwnValkey) -> None:
    client = valkey.client()
    write(client)
    break_it(client, KEYS.heartbeat("gate"), "hash")
    result = run_teltonika("top", "--json", "--redis", valkey.url)
    assert (result.returncode, result.stderr) == (0, "")
    assert KEYS.heartbeat("gate") in json.loads(result.stdout)["complaints"][0]
    page = run_teltonika("top", "--once", "--redis", valkey.url)
    assert (page.returncode, page.stderr) == (0, "")
    assert "yard" in page.stdout
    client.close()


@pytest.mark.parametrize(
    "key", [KEYS.connected_since, KEYS.outbound("gate"), KEYS.heartbeat("gate"), KEYS.registry]
)
def test_devices_shows_the_rest_and_names_the_key(key: str, valkey: OwnValkey) -> None:
    client = valkey.client()
    write(client)
    break_it(client, key, "list")
    result = run_teltonika("devices", "--json", "--redis", valkey.url)
    seen = [json.loads(line) for line in result.stdout.splitlines()]
    if key == KEYS.registry:
        assert (result.returncode, seen) == (1, [])
        assert result.stderr.startswith("teltonika: Redis: WRONGTYPE")
    else:
        assert (result.returncode, len(seen)) == (0, 2)
        assert all(one["alive"] for one in seen)
        told = "" if key == KEYS.heartbeat("gate") else f"teltonika: {key}: WRONGTYPE"
        assert result.stderr.startswith(told)
        assert len(result.stderr.splitlines()) == bool(told)
    client.close()


def test_a_moment_that_nobody_has_written_is_not_known(valkey: OwnValkey) -> None:
    client = valkey.client()
    write(client)
    client.hset(KEYS.connected_since, IMEI, "1_0")
    result = run_teltonika("devices", "--json", "--redis", valkey.url)
    seen = {one["imei"]: one for one in map(json.loads, result.stdout.splitlines())}
    assert (result.returncode, result.stderr) == (0, "")
    assert seen[IMEI]["since"] is None
    client.close()


def test_lag_names_the_stream_that_it_cannot_read(valkey: OwnValkey) -> None:
    client = valkey.client()
    client.set(KEYS.shards[0].telemetry, "text")
    result = run_teltonika("lag", "--redis", valkey.url)
    assert result.returncode == 1
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith(f"teltonika: Redis: {KEYS.shards[0].telemetry}: WRONGTYPE")
    client.close()
