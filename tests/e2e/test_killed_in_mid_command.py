"""The server, killed between any two steps of a command's life, then started again."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from free_ports import free_port
from own_valkey import OwnValkey
from serving import IMEI, TELTONIKA, ServerProcess, wait_for_entry

StartServer = Callable[..., ServerProcess]
KILLED_AT = str(Path(__file__).parents[1] / "killed_at.py")
COMMAND = "setparam 2001:once"

EXPECTED = {
    # step: how the command ends, how often it was executed (None: the kill races the device)
    "read": (("responded", None), 1),
    "claimed": (("responded", None), 1),
    "prepared": (("failed", "instance_lost"), 0),
    "written": (("failed", "instance_lost"), None),
    "delivered": (("failed", "instance_lost"), None),
    "answered": (("failed", "instance_lost"), 1),
    "ended": (("responded", None), 1),
    "released": (("responded", None), 1),
}


@contextmanager
def emulated(port: int, report: dict[str, object]) -> Iterator[None]:
    """A device that goes on reconnecting; ``report`` gets what it says at its end."""
    command = [TELTONIKA, "emulate", "--imei", IMEI, "--port", str(port), "--records", "0"]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as emulator:
        try:
            yield
        finally:
            emulator.send_signal(signal.SIGINT)
            assert emulator.stdout is not None
            report.update(json.loads(emulator.stdout.read()))


def wait_for_new_connection(server: ServerProcess) -> None:
    """The registry's entry may be the killed server's; the heartbeat counts real connections."""
    key = f"instance:heartbeat:{server.instance_id}"
    server.redis.config_set("notify-keyspace-events", "K$")
    with server.redis.pubsub() as beats:
        beats.subscribe(f"__keyspace@0__:{key}")
        while json.loads(server.redis.get(key) or "{}").get("sessions") != 1:
            assert beats.get_message(timeout=30) is not None


@pytest.mark.parametrize("step", EXPECTED)
def test_a_command_ends_once_and_is_executed_at_most_once(
    step: str, valkey: OwnValkey, start_server: StartServer
) -> None:
    valkey.start().close()
    port = free_port()
    options = ("--port", str(port), "--instance-id", "gate", "--heartbeat-interval", "0.2")
    report: dict[str, object] = {}
    killed = start_server(
        *options,
        redis_url=valkey.url,
        program=(sys.executable, KILLED_AT, step, "1"),
    )
    with emulated(port, report):
        wait_for_entry(killed.redis, IMEI, "gate")
        killed.publish("c1", COMMAND)
        assert killed.process.wait(timeout=30) == -signal.SIGKILL
        again = start_server(*options, redis_url=valkey.url)
        ending, executions = EXPECTED[step]
        assert again.ending("c1") == ending
        wait_for_new_connection(again)
        again.publish("c2", "getver")
        assert again.ending("c2") == ("responded", None)
        every = [status for status in again.statuses("c1") if status["status"] != "delivered"]
        assert len(every) == 1
    executed = report["commands"]
    assert isinstance(executed, dict)
    assert executed.get(COMMAND, 0) in ((0, 1) if executions is None else (executions,))
