"""Several instances on one Redis: registry, heartbeat, take-over, janitor."""

import json
import os
import signal
import socket
from collections.abc import Callable
from datetime import datetime

import pytest
import redis
from own_valkey import OwnValkey
from serving import (
    IMEI,
    REGISTRY,
    BareDevice,
    ServerProcess,
    wait_for_entry,
    wait_for_log_of_any,
    wait_for_statuses,
)

StartServer = Callable[..., ServerProcess]
OTHER = "356307042441021"
QUICK = ("--heartbeat-interval", "0.2", "--heartbeat-ttl", "1", "--janitor-interval", "0.2")


@pytest.fixture
def shared(valkey: OwnValkey) -> redis.Redis:
    return valkey.start()


def test_a_connection_is_registered_while_it_lasts(server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        wait_for_entry(server.redis, IMEI, server.instance_id)
        device.leave()
        wait_for_entry(server.redis, IMEI, None)


def test_an_older_connection_s_end_leaves_the_newer_s_entry(server: ServerProcess) -> None:
    with BareDevice(server.port) as older, BareDevice(server.port):
        assert older.closed_by_server()
        with BareDevice(server.port, OTHER):
            wait_for_entry(server.redis, OTHER, server.instance_id)
        wait_for_entry(server.redis, OTHER, None)
        assert server.redis.hget(REGISTRY, IMEI) == server.instance_id


def test_a_move_to_another_instance_is_not_undone_by_the_first(
    valkey: OwnValkey, shared: redis.Redis, start_server: StartServer
) -> None:
    first, second = (
        start_server("--instance-id", name, data_dir=name, redis_url=valkey.url)
        for name in ("first", "second")
    )
    with BareDevice(first.port) as device:
        wait_for_entry(shared, IMEI, "first")
        first.publish("c1")
        device.command()
        with BareDevice(second.port) as moved:
            wait_for_entry(shared, IMEI, "second")
            device.leave()
            assert first.ending("c1") == ("failed", "disconnected")
            first.all_taken()
            with BareDevice(first.port, OTHER):  # goes the same way, behind it
                wait_for_entry(shared, OTHER, "first")
            assert shared.hget(REGISTRY, IMEI) == "second"
            second.publish("c2")
            moved.answer(moved.command())
            assert second.ending("c2") == ("responded", None)


def test_the_heartbeat_says_who_lives(start_server: StartServer) -> None:
    server = start_server("--heartbeat-interval", "0.2", "--heartbeat-ttl", "50")
    key = f"instance:heartbeat:{server.instance_id}"
    with BareDevice(server.port):
        server.redis.config_set("notify-keyspace-events", "K$")
        with server.redis.pubsub() as beats:
            beats.subscribe(f"__keyspace@0__:{key}")
            while json.loads(server.redis.get(key) or "{}").get("sessions") != 1:
                assert beats.get_message(timeout=30) is not None
        beat = json.loads(server.redis.get(key))
    assert beat["host"] == socket.gethostname()
    assert (beat["pid"], beat["port"]) == (server.process.pid, server.port)
    assert datetime.fromisoformat(beat["started_at"])
    assert 40 < server.redis.ttl(key) <= 50


def test_what_redis_lost_is_whole_again_within_a_heartbeat(
    valkey: OwnValkey, shared: redis.Redis, start_server: StartServer
) -> None:
    server = start_server(*QUICK, redis_url=valkey.url)
    with BareDevice(server.port), BareDevice(server.port, OTHER):
        wait_for_entry(shared, IMEI, server.instance_id)
        wait_for_entry(shared, OTHER, server.instance_id)
        shared.flushall()
        wait_for_entry(shared, IMEI, server.instance_id)
        wait_for_entry(shared, OTHER, server.instance_id)
        server.publish("c1", imei="000000000000000")  # the group is made again, too
        assert server.ending("c1") == ("failed", "not_connected")


def test_a_stop_removes_entries_and_heartbeat(
    valkey: OwnValkey, shared: redis.Redis, start_server: StartServer
) -> None:
    server = start_server(redis_url=valkey.url)
    with BareDevice(server.port), BareDevice(server.port, OTHER):
        wait_for_entry(shared, IMEI, server.instance_id)
        wait_for_entry(shared, OTHER, server.instance_id)
        assert server.stop() == 0
    assert shared.hgetall(REGISTRY) == {}
    assert shared.keys("instance:heartbeat:*") == []


def test_a_run_that_was_killed_leaves_no_device_to_the_one_after_it(
    valkey: OwnValkey, shared: redis.Redis, start_server: StartServer
) -> None:
    """As a worker is started again: with its id, and without the devices that did not come back."""
    options = ("--instance-id", "gate", *QUICK)
    killed = start_server(*options, data_dir="killed", redis_url=valkey.url)
    with BareDevice(killed.port), BareDevice(killed.port, OTHER):
        wait_for_entry(shared, IMEI, "gate")
        wait_for_entry(shared, OTHER, "gate")
        killed.kill()
    again = start_server(*options, data_dir="again", redis_url=valkey.url)
    with BareDevice(again.port, OTHER):
        wait_for_entry(shared, IMEI, None)
        wait_for_entry(shared, OTHER, "gate")


def test_of_two_processes_with_one_id_the_newer_wins(
    valkey: OwnValkey, shared: redis.Redis, start_server: StartServer
) -> None:
    options = ("--instance-id", "gate", *QUICK)
    older = start_server(*options, data_dir="older", redis_url=valkey.url)
    with BareDevice(older.port, OTHER):
        wait_for_entry(shared, OTHER, "gate")
        newer = start_server(*options, data_dir="newer", redis_url=valkey.url)
        assert older.process.wait(timeout=30) == 1
        (said,) = older.logged("superseded")
        assert said["instance_id"] == "gate"
        assert older.log_text().splitlines()[-1].startswith("teltonika: another process has taken")
    with BareDevice(newer.port) as device:
        newer.publish("c1")
        device.answer(device.command())
        assert newer.ending("c1") == ("responded", None)
        wait_for_entry(shared, IMEI, "gate")
    assert json.loads(shared.get("instance:heartbeat:gate"))["pid"] == newer.process.pid
    assert newer.stop() == 0


def test_what_the_newer_registered_survives_the_older_s_end(
    valkey: OwnValkey, shared: redis.Redis, start_server: StartServer
) -> None:
    options = ("--instance-id", "gate")
    older = start_server(*options, data_dir="older", redis_url=valkey.url)
    with BareDevice(older.port) as device:
        wait_for_entry(shared, IMEI, "gate")
        newer = start_server(*options, data_dir="newer", redis_url=valkey.url)
        with BareDevice(newer.port):
            device.leave()  # before the older knows that it is
            assert older.stop() == 0
            assert shared.hget(REGISTRY, IMEI) == "gate"
            assert json.loads(shared.get("instance:heartbeat:gate"))["pid"] == newer.process.pid


def test_the_janitor_ends_what_a_dead_instance_left(
    valkey: OwnValkey, shared: redis.Redis, start_server: StartServer
) -> None:
    lost = start_server("--instance-id", "lost", *QUICK, data_dir="a", redis_url=valkey.url)
    others = [
        start_server("--instance-id", name, *QUICK, data_dir=name, redis_url=valkey.url)
        for name in ("b", "c")
    ]
    with BareDevice(lost.port) as device, BareDevice(lost.port, OTHER):
        wait_for_entry(shared, IMEI, "lost")
        wait_for_entry(shared, OTHER, "lost")
        lost.publish("c1", "was delivered")
        lost.publish("c2", "waits")
        lost.all_taken()
        device.command()
        shared.xread({"commands:responses": "0"}, block=30_000)
        os.kill(lost.process.pid, signal.SIGKILL)
    lost.publish("c3", "came too late")
    with BareDevice(others[0].port, OTHER):
        statuses = wait_for_statuses(shared, "c1", "c2", "c3")
        wait_for_entry(shared, IMEI, None)
        wait_for_entry(shared, OTHER, "b")
    endings = [s for s in statuses if s["status"] != "delivered"]
    assert [(s["command_id"], s["status"], s["reason"]) for s in endings] == [
        (command_id, "failed", "instance_lost") for command_id in ("c1", "c2", "c3")
    ]
    assert {s["instance_id"] for s in endings} == {"lost"}
    with shared.pubsub() as changes:
        changes.subscribe(f"__keyspace@0__:{lost.outbound}")
        while shared.exists(lost.outbound):
            assert changes.get_message(timeout=30) is not None
    wait_for_log_of_any(others, "instance_lost")
    assert set(shared.keys("commands:outbound:*")) == {server.outbound for server in others}


def test_a_stream_of_an_instance_that_never_started_is_left_alone(
    valkey: OwnValkey, shared: redis.Redis, start_server: StartServer
) -> None:
    shared.xadd("commands:outbound:later", {"command_id": "c1", "imei": IMEI, "payload": "getver"})
    lost = start_server("--instance-id", "lost", *QUICK, data_dir="a", redis_url=valkey.url)
    start_server("--instance-id", "b", *QUICK, data_dir="b", redis_url=valkey.url)
    lost.kill()
    lost.publish("c2")
    wait_for_statuses(shared, "c2")  # so the janitor was there
    assert shared.xlen("commands:outbound:later") == 1
