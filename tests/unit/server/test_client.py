"""The business side's client against a real Valkey: who holds a device, and what became of it."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
import redis

from teltonika.server import client as client_module
from teltonika.server.client import CommandClient, ConnectedDevice, NotConnectedError
from teltonika.server.command import CommandEntry
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.entry_fields import as_fields
from teltonika.server.keys import Keys

IMEI = "356307042441013"
OTHER_IMEI = "356307042441021"
KEYS = Keys()
COMMAND = CommandEntry(command_id="c1", imei=IMEI, payload="getinfo")


def tell(client: redis.Redis, command_id: str, status: str) -> None:
    client.xadd(KEYS.responses, {"command_id": command_id, "status": status})


@contextlib.contextmanager
def instance(
    client: redis.Redis, acts: Callable[[dict[str, str]], None]
) -> Iterator[list[dict[str, str]]]:
    """The instance ``here``, which does so with one command; and what it got."""
    got: list[dict[str, str]] = []

    def work() -> None:
        ((_, ((_, command),)),) = client.xread({KEYS.outbound("here"): "0"}, block=30_000)
        got.append(command)
        acts(command)

    thread = threading.Thread(target=work)
    thread.start()
    yield got
    thread.join()


async def test_the_instance_that_holds_a_device(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    client.hset(KEYS.registry, IMEI, "here")
    client.set(KEYS.heartbeat("here"), "{}")
    assert CommandClient(valkey.url, KEYS).instance_of(IMEI) == "here"


async def test_a_device_without_an_entry_is_not_connected(valkey: EmbeddedValkey) -> None:
    with pytest.raises(NotConnectedError, match=f"no instance has a connection of {IMEI}"):
        CommandClient(valkey.url, KEYS).instance_of(IMEI)


async def test_a_device_of_an_instance_without_heartbeat_is_not_connected(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    client.hset(KEYS.registry, IMEI, "here")
    with pytest.raises(NotConnectedError, match=r"the instance here, .* is not alive"):
        CommandClient(valkey.url, KEYS).instance_of(IMEI)


@pytest.mark.parametrize("ending", ["responded", "failed"])
async def test_a_commands_statuses_are_followed_up_to_its_ending(
    ending: str, valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    def act(command: dict[str, str]) -> None:
        for status in ("delivered", ending, "never read"):
            tell(client, "another", "responded")
            tell(client, command["command_id"], status)

    with instance(client, act) as got:
        statuses = list(CommandClient(valkey.url, KEYS).send("here", COMMAND, wait_s=60.0))
    assert [(one["command_id"], one["status"]) for one in statuses] == [
        ("c1", "delivered"),
        ("c1", ending),
    ]
    assert got == [as_fields(COMMAND)]


async def test_statuses_from_before_the_command_are_none_of_it(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    tell(client, "c1", "failed")
    with instance(client, lambda _: tell(client, "c1", "responded")):
        statuses = list(CommandClient(valkey.url, KEYS).send("here", COMMAND, wait_s=60.0))
    assert [one["status"] for one in statuses] == ["responded"]


async def test_it_waits_no_longer_than_it_is_told(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    assert list(CommandClient(valkey.url, KEYS).send("here", COMMAND, wait_s=0.01)) == []
    assert client.xlen(KEYS.outbound("here")) == 1


async def test_devices_with_their_instances_times_and_commands(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PAGE", 2)
    client.hset(KEYS.registry, mapping={IMEI: "here", OTHER_IMEI: "there"})
    client.hset(KEYS.connected_since, IMEI, 1_769_846_400_123)
    client.set(KEYS.heartbeat("here"), "{}")
    for imei in (IMEI, IMEI, "000000000000000", IMEI):
        client.xadd(KEYS.outbound("here"), as_fields(COMMAND) | {"imei": imei})
    client.xadd(KEYS.outbound("here"), {"no": "imei"})
    devices = sorted(CommandClient(valkey.url, KEYS).devices(pytest.fail), key=lambda one: one.imei)
    assert devices == [
        ConnectedDevice(IMEI, "here", True, "2026-01-31T08:00:00.123Z", 3),
        ConnectedDevice(OTHER_IMEI, "there", False, None, 0),
    ]


async def test_no_device(valkey: EmbeddedValkey) -> None:
    assert list(CommandClient(valkey.url, KEYS).devices(pytest.fail)) == []


async def test_a_large_registry_is_told_whole(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PAGE", 10)
    client.config_set("hash-max-listpack-entries", 1)  # HSCAN of a short hash has one page
    imeis = [f"{number:015}" for number in range(200)]
    client.hset(KEYS.registry, mapping=dict.fromkeys(imeis, "here"))
    devices = CommandClient(valkey.url, KEYS).devices(pytest.fail)
    assert sorted(device.imei for device in devices) == imeis


async def test_keys_have_the_prefix(valkey: EmbeddedValkey, client: redis.Redis) -> None:
    client.hset("eu:connections:registry", IMEI, "here")
    client.set("eu:instance:heartbeat:here", "{}")
    prefixed = CommandClient(valkey.url, Keys("eu:"))
    assert prefixed.instance_of(IMEI) == "here"
    assert [device.imei for device in prefixed.devices(pytest.fail)] == [IMEI]
    assert list(prefixed.send("here", COMMAND, wait_s=0.01)) == []
    assert client.xlen("eu:commands:outbound:here") == 1
