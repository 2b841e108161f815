"""A real HAProxy with deploy/haproxy.cfg in front of three instances: TLS outside, PROXY inside."""

import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from haproxy import MISSING
from serving import IMEI, REGISTRY, TELTONIKA, run_teltonika

sys.path.append(str(Path(__file__).parent))

from rolling_restart import INSTANCES, BehindHaproxy, roll

from teltonika.codecs import (
    AVL_CODECS,
    AvlRecord,
    consecutive_imeis,
    encode_imei,
    encode_packet,
)

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
OTHER = "356307042441021"
PACKET = encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(0, 0, 0, 0, 0, 0, 0, 0)])
DEVICES = 9


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[BehindHaproxy]:
    with BehindHaproxy(tmp_path / "behind") as behind:
        yield behind


def connect(behind: BehindHaproxy, imei: str, source: str = "127.0.0.1") -> ssl.SSLSocket:
    """A device whose IMEI is accepted, from an address of its own. Raises OSError if it is not."""
    plain = socket.create_connection(
        ("127.0.0.1", behind.haproxy.port), timeout=30, source_address=(source, 0)
    )
    with ExitStack() as stack:
        stack.callback(plain.close)
        context = ssl.create_default_context(cafile=behind.certificates.ca)
        secure = stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))
        secure.sendall(encode_imei(imei))
        if secure.recv(1) != b"\x01":
            raise ConnectionRefusedError(f"{imei} is not let in")
        stack.pop_all()
    return secure


def test_haproxy_takes_the_configuration_without_a_warning(behind: BehindHaproxy) -> None:
    result = behind.haproxy.check()
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_devices_are_spread_and_each_instance_sees_their_own_addresses(
    behind: BehindHaproxy,
) -> None:
    with ExitStack() as stack:
        peers: dict[str, str] = {}
        for number, imei in enumerate(consecutive_imeis(IMEI, DEVICES)):
            device = stack.enter_context(connect(behind, imei, f"127.0.9.{number + 1}"))
            host, port = device.getsockname()
            peers[imei] = f"{host}:{port}"
        logged: dict[str, str] = {}
        for name, server in behind.servers.items():
            connections = behind.haproxy.connections(name)
            lines = server.logged("device_connected", at_least=connections)
            own = {line["imei"]: line["peer"] for line in lines}
            assert len(own) == connections == DEVICES // len(INSTANCES)
            logged |= own
        assert logged == peers


def test_a_command_finds_its_device_where_it_is_and_where_it_went(behind: BehindHaproxy) -> None:
    device = [TELTONIKA, "emulate", "--imei", IMEI, "--port", str(behind.haproxy.port)]
    device += ["--records", "0", "--tls-ca", str(behind.certificates.ca)]
    with subprocess.Popen(device, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as emulator:
        try:
            for _ in range(2):
                wait_for_entry_anywhere(behind)
                said = run_teltonika("send", IMEI, "getver", "--redis", behind.valkey.url, "--json")
                assert said.returncode == 0, said.stderr
                statuses = [json.loads(line) for line in said.stdout.splitlines()]
                assert [one["status"] for one in statuses] == ["delivered", "responded"]
                holder = statuses[0]["instance_id"]
                behind.restart(holder)
            assert behind.client.hget(REGISTRY, IMEI) != holder
        finally:
            emulator.kill()


def wait_for_entry_anywhere(behind: BehindHaproxy) -> None:
    with behind.client.pubsub() as changes:
        behind.client.config_set("notify-keyspace-events", "Khg")
        changes.subscribe(f"__keyspace@0__:{REGISTRY}")
        while behind.client.hget(REGISTRY, IMEI) is None:
            assert changes.get_message(timeout=30) is not None


def test_a_device_that_speaks_no_tls_reaches_no_instance(behind: BehindHaproxy) -> None:
    with socket.create_connection(("127.0.0.1", behind.haproxy.port), timeout=30) as plain:
        plain.sendall(encode_imei(IMEI))
        assert plain.recv(1) == b""
    assert not any(server.logged_so_far("device_connected") for server in behind.servers.values())


def test_a_drained_instance_gets_no_devices(behind: BehindHaproxy) -> None:
    behind.haproxy.drain("a")
    with ExitStack() as stack:
        for imei in consecutive_imeis(IMEI, 4):
            stack.enter_context(connect(behind, imei))
        assert [behind.haproxy.connections(name) for name in INSTANCES] == [0, 2, 2]


def test_instances_that_are_not_ready_get_no_devices_and_keep_those_they_have(
    behind: BehindHaproxy,
) -> None:
    with connect(behind, IMEI) as device:
        behind.valkey.kill()
        for name in INSTANCES:
            behind.haproxy.wait_until_down(name)
        with pytest.raises(OSError, match=r"not let in|EOF|reset"):
            connect(behind, OTHER)
        device.sendall(PACKET)
        behind.valkey.start().close()
        assert int.from_bytes(device.recv(4)) == 1
        for name in INSTANCES:
            behind.haproxy.wait_until_up(name)
        connect(behind, OTHER).close()


async def test_a_rolling_restart_loses_no_record_and_no_command(tmp_path: Path) -> None:
    told: list[str] = []
    outcome = await roll(tmp_path / "roll", seed=1, devices=12, rounds=1, tell=told.append)
    lines = list(outcome.lines())
    print("\n".join(told + lines))
    assert lines[-1] == "lost 0, doubled 0, commands lost 0"
    assert not outcome.failed
    assert outcome.restarts == len(told) == len(INSTANCES)
    assert outcome.records.acknowledged == outcome.records.stored > 1_000
    commands = outcome.commands
    assert commands.wanted > 100
    # Those that fail before they reach a device are sent again; one that has reached it may not be.
    assert commands.responded == commands.wanted - commands.undecided
    assert commands.undecided <= len(INSTANCES)
