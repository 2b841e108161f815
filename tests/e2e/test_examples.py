"""The programs of examples/, against a real PostgreSQL and a real MQTT broker, and killed."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import psycopg
import pytest
import redis
from free_ports import free_port
from own_postgresql import BINARIES, OwnPostgresql
from own_valkey import OwnValkey
from serving import STREAM
from telemetry_writing import number_of, write

EXAMPLES = Path(__file__).parents[2] / "examples"
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
IMEIS = ("356307042441013", "356307042441021")
EACH = 1_500


@contextmanager
def running(script: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """An example as a process; it is killed in the end."""
    command = [sys.executable, str(EXAMPLES / script), *options]
    with subprocess.Popen(command, env=os.environ) as process:
        try:
            yield process
        finally:
            process.kill()


def left_of(client: redis.Redis, group: str) -> tuple[int, int]:
    """Entries that the group has not acknowledged, and such that it has not been given."""
    (state,) = [one for one in client.xinfo_groups(STREAM) if one["name"] == group]
    return state["pending"], state["lag"]


def number(database: psycopg.Connection, question: str) -> int:
    row = database.execute(question).fetchone()
    assert row is not None
    return int(row[0])


IS_LOCKED = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'telemetry'::regclass"
COUNT = "SELECT count(*) FROM telemetry"


@pytest.mark.skipif(BINARIES is None, reason="no PostgreSQL here")
def test_every_record_is_in_the_table_once_though_consumers_are_killed(valkey: OwnValkey) -> None:
    """One before PostgreSQL has committed, one after that and before it has acknowledged."""
    with ExitStack() as stack:
        client = stack.enter_context(valkey.start())
        postgresql = stack.enter_context(closing(OwnPostgresql()))
        database = stack.enter_context(postgresql.client())
        other = stack.enter_context(postgresql.client())

        def consume(name: str) -> Any:
            options = ("--postgresql", postgresql.url, "--consumer", name, "--claim-idle", "0.5")
            return running("to_postgresql.py", "--redis", valkey.url, *options)

        for imei in IMEIS:
            write(client, imei, range(EACH))
        write(client, IMEIS[0], [EACH, EACH + 1])
        with consume("zero"):  # makes the table
            while not number(database, "SELECT count(*) FROM pg_class WHERE relname='telemetry'"):
                pass
        with consume("one") as first:
            with other.transaction():
                other.execute("LOCK TABLE telemetry IN EXCLUSIVE MODE")
                while not number(database, IS_LOCKED):
                    pass
                first.send_signal(signal.SIGKILL)
                first.wait()
            before = number(database, COUNT)
        with consume("two") as second:
            with other.transaction():
                other.execute("LOCK TABLE telemetry IN EXCLUSIVE MODE")
                while not number(database, IS_LOCKED):
                    pass
                client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
            while number(database, COUNT) == before:
                pass
            assert left_of(client, "postgresql")[0] > 0
            second.send_signal(signal.SIGKILL)
            second.wait()
        client.execute_command("CLIENT", "UNPAUSE")
        with consume("three"):
            while left_of(client, "postgresql") != (0, 0):
                pass
        assert number(database, COUNT) == 2 * EACH + 2
        assert number(database, "SELECT count(DISTINCT (imei, ts)) FROM telemetry") == 2 * EACH + 2
        row = database.execute("SELECT imei, speed, payload->'attributes'->'66' FROM telemetry")
        assert row.fetchone() == (IMEIS[0], 50, 12_345)


@contextmanager
def mosquitto(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    assert MOSQUITTO is not None
    port = free_port()
    settings = directory / "mosquitto.conf"
    settings.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nmax_queued_messages 0\n"
    )
    with subprocess.Popen([MOSQUITTO, "-c", str(settings)], stderr=subprocess.DEVNULL) as broker:
        try:
            yield broker, port
        finally:
            broker.send_signal(signal.SIGCONT)
            broker.terminate()


async def connected(port: int) -> aiomqtt.Client:
    while True:
        client = aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5)
        try:
            return await client.__aenter__()
        except aiomqtt.MqttError:
            await asyncio.sleep(0)  # it does not listen yet


@pytest.mark.skipif(MOSQUITTO is None, reason="no mosquitto here")
async def test_nothing_is_acknowledged_that_the_broker_has_not_confirmed(
    valkey: OwnValkey, tmp_path: Path
) -> None:
    with valkey.start() as client, mosquitto(tmp_path) as (broker, port):
        subscriber = await connected(port)
        await subscriber.subscribe("teltonika/+/telemetry", qos=1)
        options = ("--redis", valkey.url, "--broker", "127.0.0.1", "--port", str(port))
        with running("to_mqtt.py", *options) as first:
            write(client, IMEIS[0], range(100))
            while not client.exists(STREAM) or not client.xinfo_groups(STREAM):
                pass
            while left_of(client, "mqtt") != (0, 0):
                pass
            broker.send_signal(signal.SIGSTOP)
            write(client, IMEIS[0], range(100, 600))
            while left_of(client, "mqtt")[0] != 500:
                pass
            for _ in range(4_000):  # a full batch: it has sent them long since
                assert left_of(client, "mqtt")[0] == 500
            first.send_signal(signal.SIGKILL)
            first.wait()
        assert left_of(client, "mqtt")[0] == 500
        broker.send_signal(signal.SIGCONT)
        with running("to_mqtt.py", *options):
            while left_of(client, "mqtt") != (0, 0):
                pass
        seen: dict[int, str] = {}
        async for message in subscriber.messages:
            assert message.topic.value == f"teltonika/{IMEIS[0]}/telemetry"
            assert isinstance(message.payload, bytes)
            payload = json.loads(message.payload)
            assert message.properties is not None
            ((name, entry_id),) = message.properties.UserProperty
            assert name == "entry-id"
            seen.setdefault(number_of(payload["timestamp"]), entry_id)
            if len(seen) == 600:
                break
        assert list(seen) == list(range(600))  # in order, but for what came twice
        assert list(seen.values()) == [entry_id for entry_id, _ in client.xrange(STREAM)]
        await subscriber.__aexit__(None, None, None)
