"""A server on a primary that Sentinels watch."""

import asyncio
import gc
import json
import signal
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sending_fleet import check_each_is_stored_once, sending_fleet
from sentinels import SERVICE, Sentinels
from serving import (
    IMEI,
    STREAM,
    TELTONIKA,
    BareDevice,
    ServerProcess,
    run_teltonika,
    wait_for_statuses,
)
from valkey_node import until

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet
from teltonika.server.deployment import Place, deployment_of
from teltonika.server.keys import Keys
from teltonika.server.reconnecting import Reconnecting
from teltonika.server.redis_link import RedisLink

StartServer = Callable[..., ServerProcess]


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    with Sentinels(tmp_path / "nodes") as sentinels:
        yield sentinels


def test_a_killed_primary_costs_no_record_and_doubles_none(
    sentinels: Sentinels, start_server: StartServer
) -> None:
    old = sentinels.primary
    server = start_server("--durability", "replica", redis_url=sentinels.url)
    assert server.listening["redis"] == f"redis://127.0.0.1:{old.announced}"
    with sending_fleet(server):
        with old.client() as client:
            until(lambda: client.xlen(STREAM) > 200, "the fleet sends")
        with sentinels.replaced(old):
            old.kill()
    with sentinels.primary.client() as client:
        check_each_is_stored_once(fields for _, fields in client.xrange(STREAM))
    check_commands(sentinels.url, server)
    assert server.stop() == 0


def check_commands(url: str, server: ServerProcess) -> None:
    """They find the new primary, too."""
    where = ("--redis", url, "--json")
    with BareDevice(server.port) as device:
        found: list[dict[str, object]] = []

        def is_registered() -> bool:
            lines = run_teltonika("devices", *where).stdout.splitlines()
            found[:] = [json.loads(line) for line in lines]
            return IMEI in [one["imei"] for one in found]

        until(is_registered, "the device is registered")
        with subprocess.Popen(
            [TELTONIKA, "send", IMEI, "getinfo", *where], stdout=subprocess.PIPE, text=True
        ) as sending:
            device.answer(device.command())
            assert sending.stdout is not None
            assert json.loads(sending.stdout.read().splitlines()[-1])["status"] == "responded"
    tail = run_teltonika("tail", "--since", "1h", "--count", "1", *where)
    assert json.loads(tail.stdout)["codec"]


def test_a_sentinel_that_stands_still_is_passed_over(
    sentinels: Sentinels, start_server: StartServer
) -> None:
    primary = f"redis://127.0.0.1:{sentinels.primary.announced}"
    first = sentinels.sentinels[0].process
    assert first is not None
    first.send_signal(signal.SIGSTOP)
    server = start_server(redis_url=sentinels.url)
    assert server.listening["redis"] == primary
    assert run_teltonika("devices", "--redis", sentinels.url).returncode == 0
    assert server.stop() == 0


async def test_a_sentinel_that_is_cut_off_with_an_old_primary_is_not_believed(
    tmp_path: Path,
) -> None:
    """Clients reach both, and they reach the promoted primary and the two that promoted it."""
    with Sentinels(tmp_path / "nodes", gated=True) as sentinels:
        deployment = deployment_of(sentinels.url)
        old = sentinels.primary
        located = await deployment.locate("key")
        assert located == Place(old.tcp_url)
        async with asyncio.TaskGroup() as group:
            replaced = group.create_task(deployment.replaced(located))
            with sentinels.cut_off(old, sentinels.sentinels[0].address):
                await replaced
                until(lambda: sentinels.primary is not old, "most sentinels know")
                assert await deployment.locate("key") == Place(sentinels.primary.tcp_url)


def test_a_primary_that_takes_all_that_is_written_to_it_is_left_once_another_is_promoted(
    tmp_path: Path, start_server: StartServer
) -> None:
    with Sentinels(tmp_path / "nodes", gated=True) as sentinels:
        server = start_server("--heartbeat-interval", "1", redis_url=sentinels.url)
        old = sentinels.primary
        with BareDevice(server.port) as device, sentinels.cut_off(old):
            until(lambda: sentinels.primary is not old, "another is promoted")
            with sentinels.primary.client() as client:
                heartbeat = Keys().heartbeat(server.instance_id)
                client.delete(heartbeat)
                until(lambda: client.exists(heartbeat), "it is written to the new primary")
                device.send(encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(*[0] * 8)]))
                assert device.acknowledged() == 1
                assert client.xlen(STREAM) == 1
        assert server.stop() == 0


def test_whoever_finds_the_promoted_primary_takes_all_others_there(
    tmp_path: Path, start_server: StartServer
) -> None:
    """Commands are read there, too, while the old one, that is cut off, still answers."""
    with Sentinels(tmp_path / "nodes", gated=True) as sentinels:
        server = start_server("--durability", "replica", redis_url=sentinels.url)
        old = sentinels.primary
        with (
            BareDevice(server.port) as device,
            sentinels.cut_off(old, sentinels.sentinels[0].address),
        ):
            until(lambda: sentinels.primary is not old, "another is promoted")
            device.send(encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(*[0] * 8)]))
            assert device.acknowledged() == 1
            with sentinels.primary.client() as client:
                fields = {"command_id": "c1", "imei": IMEI, "payload": "getinfo"}
                client.xadd(server.outbound, fields)
                device.answer(device.command())
                wait_for_statuses(client, "c1")


async def test_who_is_cancelled_while_sentinels_are_asked_is_cancelled(
    sentinels: Sentinels,
) -> None:
    """At whatever moment: before Python 3.12 `asyncio.wait_for`, which redis-py uses, takes no
    notice of it when what it waits for has just been done."""
    deployment = deployment_of(sentinels.url)

    async def work(link: RedisLink) -> None:
        await link.read_reply()

    with warnings.catch_warnings():
        # who is cancelled as redis-py closes a connection leaves that to the collector
        warnings.filterwarnings("ignore", "unclosed", ResourceWarning)
        for turns in range(200):
            working = asyncio.create_task(Reconnecting(deployment, "key", "lost").run(work))
            for _ in range(turns):
                await asyncio.sleep(0)
            working.cancel()
            await asyncio.wait([working], timeout=5)
            assert working.cancelled(), f"after {turns} turns"
        gc.collect()


def test_a_primary_that_the_sentinels_do_not_know_is_told(
    sentinels: Sentinels, tmp_path: Path
) -> None:
    options = ("serve", "--port", "0", "--data-dir", str(tmp_path), "--redis")
    result = run_teltonika(*options, sentinels.url.replace(SERVICE, "other"))
    assert result.returncode == 1
    assert "No master found for 'other'" in result.stderr
    assert "Traceback" not in result.stderr
