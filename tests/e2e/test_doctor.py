"""`teltonika doctor`: each thing that a new operator gets wrong, made wrong and found."""

import asyncio
import contextlib
import json
import os
import resource
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jumping_clock
import msgspec
import pytest
from certificates import Certificates
from free_ports import free_port
from loading_valkey import load_slowly, start_with_much_to_load, wait_until_it_answers
from own_valkey import OwnValkey
from serving import IMEI, MESSAGES, STREAM, TELTONIKA, BareDevice, ServerProcess, run_teltonika
from small_disk import NoSmallDiskError, small_disk

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_imei, encode_packet
from teltonika.server import ServerSettings
from teltonika.server.authority import Authority
from teltonika.server.doctor.finding import Finding
from teltonika.server.doctor.redis_server import check_redis
from teltonika.server.doctor.rights import Use, least_rules, right_to, uses

StartServer = Callable[..., ServerProcess]
Findings = dict[str, dict[str, str]]


def doctor(
    *options: str,
    redis: str | None = None,
    program: tuple[str, ...] = (TELTONIKA,),
    port: int = 0,
    **more: Any,
) -> Findings:
    """Each finding by its check."""
    named = () if redis is None else ("--redis", redis, "--instance-id", "gate")
    where = ("--host", "127.0.0.1", "--port", str(port))
    result = subprocess.run(
        [*program, "doctor", "--json", *where, *named, *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,
    )
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines, result.stderr
    failed = any(line["outcome"] == "failure" for line in lines)
    assert result.returncode == int(failed), result.stderr
    for line in lines:
        assert bool(line["advice"]) == (line["outcome"] != "ok"), line
    found = {line["check"]: line for line in lines}
    assert len(found) == len(lines)
    return found


def doctor_of_redis(url: str, settings: ServerSettings) -> Findings:
    """What it finds of the Redis alone, in this process: a twentieth of the time."""
    found: list[Finding] = []
    asyncio.run(check_redis(url, settings, "gate", found.append))
    return {one.check: msgspec.to_builtins(one) for one in found}


def outcome(found: Findings, check: str) -> str:
    return found[check]["outcome"]


@pytest.fixture
def redis_url(valkey: OwnValkey) -> str:
    """Of a Valkey that is as it should be."""
    valkey.start().close()
    return valkey.url


@pytest.fixture(scope="module")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnValkey]:
    """One for all tests that only make users."""
    valkey = OwnValkey(tmp_path_factory.mktemp("shared"))
    valkey.start().close()
    yield valkey
    valkey.kill()


def test_nothing_is_wrong_with_a_redis_that_is_as_it_should_be(redis_url: str) -> None:
    found = doctor(redis=redis_url)
    about_redis = {
        *("redis", "version", "role", "memory", "cluster", "append-only-file"),
        *("eviction", "redis-clock", "rights"),
    }
    assert {outcome(found, check) for check in about_redis} == {"ok"}
    assert found["append-only-file"]["found"] == "appendonly yes, appendfsync always"
    assert outcome(found, "clock") == outcome(found, "port") == "ok"


def test_it_changes_nothing_of_what_a_server_has_written(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server("--instance-id", "gate", redis_url=valkey.url)
    server.publish("waits")
    with BareDevice(server.port) as device:
        device.send(PACKET)
        assert device.acknowledged() == 1
        device.answer(device.command())
        assert server.ending("waits") == ("responded", None)
    server.kill()
    client.persist("instance:heartbeat:gate")
    before = {key: client.dump(key) for key in client.scan_iter()}
    assert "telemetry:teltonika" in before
    found = doctor("--authority", "allow-list", redis=valkey.url)
    assert outcome(found, "rights") == "ok"
    assert {key: client.dump(key) for key in client.scan_iter()} == before
    client.close()


def test_it_changes_nothing(valkey: OwnValkey, tmp_path: Path) -> None:
    client = valkey.start()
    doctor("--data-dir", str(tmp_path / "data"), redis=valkey.url)
    doctor("--data-dir", str(tmp_path / "data"))
    assert client.keys() == []
    assert not (tmp_path / "data").exists()
    client.close()


def test_a_redis_that_is_not_there(tmp_path: Path) -> None:
    found = doctor(redis=f"redis://127.0.0.1:{free_port()}")
    assert outcome(found, "redis") == "failure"
    assert "version" not in found
    assert "port" in found  # the rest is looked at all the same


def test_a_redis_that_stands_still_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = doctor(redis=f"redis://127.0.0.1:{silent.getsockname()[1]}")
    assert outcome(found, "redis") == "failure"
    assert "no answer" in found["redis"]["found"]


def test_a_redis_that_loads_its_data_is_waited_for(valkey: OwnValkey) -> None:
    client = start_with_much_to_load(valkey)
    load_slowly(valkey)
    wait_until_it_answers(client)
    found = doctor(redis=valkey.url)
    assert outcome(found, "redis") == "warning"
    assert "loading its data" in found["redis"]["found"]
    client.close()


def test_settings_that_are_not_told(valkey: OwnValkey) -> None:
    client = valkey.start()
    client.execute_command(
        "ACL SETUSER", "joe", "on", "nopass", "allkeys", "&*", "+@all", "-config"
    )
    found = doctor(redis=of_user(valkey.url, "joe"))
    assert outcome(found, "append-only-file") == outcome(found, "rights") == "warning"
    assert "eviction" not in found
    client.close()


def test_a_password_is_wrong_and_not_told(valkey: OwnValkey) -> None:
    valkey.start("--requirepass", "right").close()
    url = valkey.url.replace("unix://", "unix://:wr0ng@")
    result = run_teltonika("doctor", "--json", env=os.environ | {"TELTONIKA_REDIS": url})
    assert result.returncode == 1
    assert "wr0ng" not in result.stdout + result.stderr
    assert json.loads(result.stdout.splitlines()[0])["outcome"] == "failure"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "warning"),
        (("--durability", "fsync"), "failure"),
        (("--durability", "memory"), "ok"),
    ],
)
@pytest.mark.parametrize("setting", [("appendonly", "no"), ("appendfsync", "no")])
def test_what_is_never_on_disk(
    options: tuple[str, ...], expected: str, setting: tuple[str, str], valkey: OwnValkey
) -> None:
    client = valkey.start()
    client.config_set(*setting)
    found = doctor(*options, redis=valkey.url)
    assert outcome(found, "append-only-file") == expected
    assert " ".join(setting) in found["append-only-file"]["found"]
    client.close()


def test_what_is_evicted_and_a_memory_that_is_nearly_full(valkey: OwnValkey) -> None:
    client = valkey.start()
    client.config_set("maxmemory", "1gb")
    client.config_set("maxmemory-policy", "allkeys-lru")
    found = doctor(redis=valkey.url)
    assert (outcome(found, "eviction"), outcome(found, "memory")) == ("warning", "ok")
    assert outcome(doctor("--durability", "fsync", redis=valkey.url), "eviction") == "failure"
    client.config_set("maxmemory-policy", "noeviction")
    used = int(client.info("memory")["used_memory"])
    client.config_set("maxmemory", used * 10 // 9)
    found = doctor(redis=valkey.url)
    assert (outcome(found, "eviction"), outcome(found, "memory")) == ("ok", "warning")
    client.config_set("maxmemory", used)
    assert outcome(doctor(redis=valkey.url), "memory") == "failure"
    client.close()


def test_a_redis_that_devices_can_fill(valkey: OwnValkey) -> None:
    client = valkey.start()
    found = doctor("--stream-max-bytes", "512MiB", redis=valkey.url)
    assert outcome(found, "memory-limit") == "warning"
    assert "no maxmemory" in found["memory-limit"]["found"]
    client.config_set("maxmemory", "1gb")
    assert outcome(doctor(redis=valkey.url), "memory-limit") == "warning"
    for size, expected in (("512MiB", "ok"), ("1GiB", "warning"), ("2GiB", "warning")):
        found = doctor("--stream-max-bytes", size, redis=valkey.url)
        assert outcome(found, "memory-limit") == expected
    client.close()


def test_a_group_that_never_acknowledges(valkey: OwnValkey) -> None:
    client = valkey.start()
    client.xgroup_create(MESSAGES, "dead", mkstream=True)
    for _ in range(100):
        client.xadd(MESSAGES, {"text": ""})
    client.xreadgroup("dead", "consumer", {MESSAGES: ">"})
    for size, expected in (("8MiB", "ok"), ("1MiB", "warning")):
        found = doctor("--stream-max-bytes", size, redis=valkey.url)
        assert outcome(found, "pending-entries") == expected
    assert "group 'dead' has 100 pending entries" in found["pending-entries"]["found"]
    client.close()


def test_replicas_and_a_replica(valkey: OwnValkey, tmp_path: Path) -> None:
    port = free_port()
    client = valkey.start("--bind", "127.0.0.1", "--port", str(port))
    options = ("--durability", "replica", "--replicas", "1")
    assert outcome(doctor(*options, redis=valkey.url), "replicas") == "failure"
    (tmp_path / "replica").mkdir()
    replica = OwnValkey(tmp_path / "replica")
    follower = replica.start("--replicaof", "127.0.0.1", str(port))
    try:
        while client.info("replication")["connected_slaves"] != 1:
            pass
        assert outcome(doctor(*options, redis=valkey.url), "replicas") == "ok"
        found = doctor(redis=replica.url)
        assert outcome(found, "role") == "failure"
        assert str(port) in found["role"]["found"]
    finally:
        follower.close()
        client.close()
        replica.kill()


def test_a_node_of_a_cluster_without_our_keys(valkey: OwnValkey) -> None:
    ports = ("--port", str(free_port()), "--cluster-port", str(free_port()))
    client = valkey.start("--cluster-enabled", "yes", *ports)
    client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16_383)
    while "'cluster_state': 'ok'" not in str(client.execute_command("CLUSTER INFO")):
        pass
    assert outcome(doctor(redis=valkey.url), "cluster") == "ok"
    client.execute_command("CLUSTER DELSLOTSRANGE", 0, 16_383)
    assert outcome(doctor(redis=valkey.url), "cluster") == "failure"
    client.close()


def of_user(url: str, name: str) -> str:
    return url.replace("unix://", f"unix://{name}@")


PACKET = encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(0, 0, 0, 0, 0, 0, 0, 0)])
ALLOW_LIST = ServerSettings(authority=Authority.ALLOW_LIST, stream_max_bytes=1 << 20)
AS_MUCH = ("--authority", "allow-list", "--stream-max-bytes", "1MiB")


def test_with_just_these_rights_a_server_does_all_its_work(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    client.execute_command("ACL SETUSER", "joe", "on", "nopass", *least_rules(ALLOW_LIST))
    url = of_user(valkey.url, "joe")
    found = doctor(*AS_MUCH, redis=url)
    assert outcome(found, "rights") == "ok", found["rights"]
    server = start_server(
        *(*AS_MUCH, "--instance-id", "gate", "--heartbeat-interval", "0.2"),
        *("--janitor-interval", "0.2", "--heartbeat-ttl", "1"),
        redis_url=url,
    )
    client.hset("{connections:registry}:runs", "dead", "run")
    client.xadd("commands:outbound:dead", {"command_id": "d", "imei": IMEI, "payload": "getver"})
    server.redis.close()
    server.redis = client  # joe may not look
    with BareDevice(server.port) as device:
        device.send(PACKET)
        assert device.acknowledged() == 1
        server.publish("c1")
        device.answer(device.command())
        assert server.ending("c1") == ("responded", None)
        for _ in range(30):
            client.xadd(STREAM, {"payload": "x" * 100_000})
        while client.memory_usage(STREAM, samples=0) > 1 << 20:
            pass
        server.wait_for_log("instance_lost")
    assert server.stop() == 0
    refused = [line for line in server.log() if "permission" in str(line).lower()]
    assert refused == []
    assert client.info("errorstats").get("errorstat_NOPERM") is None


RULES = {
    "ping only": ("allkeys", "allchannels", "+ping"),
    "read only": ("allkeys", "allchannels", "+@read"),
    "read only and the connection's": ("allkeys", "allchannels", "+@read", "+@connection"),
    "all but transactions": ("allkeys", "allchannels", "+@all", "-multi", "-exec", "-discard"),
    "all but what tells of Redis": ("allkeys", "allchannels", "+@all", "-info", "-config", "-ping"),
    "all but waiting for the disk": ("allkeys", "allchannels", "+@all", "-waitaof"),
    "all but scripts": ("allkeys", "allchannels", "+@all", "-@scripting"),
    "all but EXISTS": ("allkeys", "allchannels", "+@all", "-exists"),
    "nothing but keys": ("allkeys", "allchannels"),
    "other keys": ("+@all", "~other:*", "allchannels"),
    "keys to read": ("+@all", "%R~*", "allchannels"),
    "the least": tuple(least_rules(ServerSettings())),
}


OF_A_USED_REDIS = ("read only", "read only and the connection's", "all but scripts", "keys to read")
"""With these rules a server could begin where one has been before."""


@pytest.mark.parametrize(
    ("rules", "recorded"),
    [
        (RULES[name], is_used)
        for is_used, names in ((False, RULES), (True, OF_A_USED_REDIS))
        for name in names
    ],
    ids=[*RULES, *(f"{name}, used" for name in OF_A_USED_REDIS)],
)
def test_doctor_fails_exactly_where_a_server_would_not_work(
    rules: tuple[str, ...], recorded: bool, valkey: OwnValkey, tmp_path: Path
) -> None:
    client = valkey.start()
    if recorded:  # then a server needs to write nothing before it listens
        client.set("telemetry:teltonika:shards", 1)
    client.execute_command("ACL SETUSER", "joe", "on", "nopass", *rules)
    url = of_user(valkey.url, "joe")
    is_failure = "failure" in {
        finding["outcome"]
        for check, finding in doctor_of_redis(url, ServerSettings(redis_url=url)).items()
        if check in ("redis", "rights", "cluster", "stream-shards", "redis-connection")
    }
    assert is_failure is not server_works(url, tmp_path)
    client.close()


WORKS_ON = ("redis_connections_not_ended", "redis_config_unknown", "redis_is_weak")
"""Log events of a server that is not permitted something, and works without."""


def server_works(url: str, directory: Path) -> bool:
    """Whether it starts and acknowledges; else it says that Redis does not permit it."""
    options = ("--redis", url, "--instance-id", "gate", "--log-format", "json")
    with (
        subprocess.Popen(
            [TELTONIKA, "serve", "--host", "127.0.0.1", "--port", "0", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=directory,
            bufsize=0,  # a line that is buffered would not be selected
        ) as process,
        contextlib.ExitStack() as stack,
    ):
        assert process.stderr is not None
        stack.callback(process.kill)
        sources: list[Any] = [process.stderr]
        while True:
            readable, _, _ = select.select(sources, [], [], 60)
            assert readable, "the server neither acknowledges nor says why not"
            if process.stderr not in readable:
                assert sources[1].recv(1) == b"\x01"
                sources[1].setblocking(True)
                return bool(sources[1].recv(4) == b"\0\0\0\1")
            line = process.stderr.readline().decode()
            if '"listening"' in line:
                device = stack.enter_context(BareDevice(json.loads(line)["port"], None))
                device.send(encode_imei(IMEI) + PACKET)
                sources.append(device.socket)
            elif not any(f'"event": "{event}"' in line for event in WORKS_ON) and (
                not line or "permission" in line
            ):
                return False


@pytest.mark.parametrize("use", uses(ALLOW_LIST), ids=lambda use: use.named)
def test_a_right_that_is_missing_is_named(use: Use, shared_valkey: OwnValkey) -> None:
    client = shared_valkey.client()
    right = right_to(use)
    user = f"without-{right}"
    rule = f"-{right}"
    client.execute_command("ACL SETUSER", user, "on", "nopass", "allkeys", "&*", "+@all", rule)
    found = doctor_of_redis(of_user(shared_valkey.url, user), ALLOW_LIST)
    is_needed = any(other.needed for other in uses(ALLOW_LIST) if right_to(other) == right)
    assert outcome(found, "rights") == ("failure" if is_needed else "warning")
    assert use.words[0] in found["rights"]["found"]
    assert f"+{right}" in found["rights"]["advice"]
    client.close()


def test_what_the_advice_says_is_what_is_needed(valkey: OwnValkey) -> None:
    client = valkey.start()
    bare = ("+ping", "resetkeys", "resetchannels")
    client.execute_command("ACL SETUSER", "joe", "on", "nopass", "-@all", *bare)
    outcomes: list[str] = []
    for _ in range(3):  # Redis says first that a command is forbidden, then that its key is
        found = doctor(*AS_MUCH, redis=of_user(valkey.url, "joe"))
        outcomes.append(outcome(found, "rights"))
        rules = found["rights"]["advice"].partition("ACL SETUSER: ")[2].split()
        client.execute_command("ACL SETUSER", "joe", *rules)
    assert outcomes == ["failure", "failure", "ok"]
    client.close()


def test_a_key_that_is_forbidden_is_named(valkey: OwnValkey) -> None:
    missing = ("~commands:outbound:*", "&devices:allowed:changed")
    client = valkey.start()
    client.execute_command(
        *("ACL SETUSER", "joe", "on", "nopass", "resetkeys", "resetchannels", "+@all"),
        *(rule for rule in least_rules(ALLOW_LIST) if rule[0] in "~&" and rule not in missing),
    )
    found = doctor(*AS_MUCH, redis=of_user(valkey.url, "joe"))
    assert outcome(found, "rights") == "failure"
    assert "~commands:outbound:*" in found["rights"]["advice"]
    assert "&devices:allowed:changed" in found["rights"]["advice"]
    assert "~telemetry" not in found["rights"]["advice"]
    client.close()


def test_the_clock_of_redis_and_our_own(redis_url: str, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    program = (sys.executable, str(Path(jumping_clock.__file__)), str(clock))
    jumping_clock.set_clock(clock, 100)
    found = doctor(redis=redis_url, program=program)
    assert (outcome(found, "redis-clock"), outcome(found, "clock")) == ("warning", "ok")
    assert "100.0 s behind" in found["redis-clock"]["found"]
    jumping_clock.set_clock(clock, -1_000_000_000)
    assert outcome(doctor(redis=redis_url, program=program), "clock") == "failure"


def test_a_port_that_is_taken(redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        found = doctor(redis=redis_url, port=other.getsockname()[1])
        assert outcome(found, "port") == "warning"
        assert "who has it answers" in found["port"]["found"]
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        assert outcome(doctor(redis=redis_url, port=silent.getsockname()[1]), "port") == "failure"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        number = str(other.getsockname()[1])
        assert outcome(doctor("--udp-port", number, redis=redis_url), "udp-port") == "warning"


def test_a_port_for_metrics_that_is_taken(redis_url: str) -> None:
    assert "metrics-port" not in doctor(redis=redis_url)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        found = doctor("--metrics", taken, redis=redis_url)["metrics-port"]
    assert found["outcome"] == "warning"
    assert found["found"] == f"{taken} is taken, and who has it answers"
    assert doctor("--metrics", taken, redis=redis_url)["metrics-port"]["outcome"] == "ok"
    elsewhere = doctor("--metrics", "192.0.2.1:9527", redis=redis_url)["metrics-port"]
    assert elsewhere["outcome"] == "failure"
    assert "with --metrics" in elsewhere["advice"]


def test_an_address_that_is_not_ours(redis_url: str) -> None:
    found = doctor("--host", "192.0.2.1", redis=redis_url)
    assert outcome(found, "port") == "failure"
    assert "--host" in found["port"]["advice"]


def test_too_few_open_files(redis_url: str) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    found = doctor("--max-connections", "1000", redis=redis_url, preexec_fn=limit)
    assert outcome(found, "descriptors") == "warning"
    assert "192 connections" in found["descriptors"]["found"]
    found = doctor("--max-connections", "192", redis=redis_url, preexec_fn=limit)
    assert outcome(found, "descriptors") == "ok"


def test_a_certificate(redis_url: str, tmp_path: Path) -> None:
    made = Certificates(tmp_path / "tls", server_names=("gate.example", "192.0.2.7"))
    made.server_key.chmod(0o600)
    pair = ("--tls-cert", str(made.server_cert), "--tls-key", str(made.server_key))
    found = doctor(*pair, "--tls-client-ca", str(made.ca), redis=redis_url)
    checks = ("certificate", "certificate-names", "certificate-expiry", "client-ca-expiry")
    assert {outcome(found, check) for check in checks} == {"ok"}
    assert found["certificate-names"]["found"].endswith("gate.example, 192.0.2.7")
    made.server_key.chmod(0o644)
    assert outcome(doctor(*pair, redis=redis_url), "certificate-key") == "warning"
    foreign = ("--tls-cert", str(made.server_cert), "--tls-key", str(made.client_key))
    found = doctor(*foreign, redis=redis_url)
    assert outcome(found, "certificate") == "failure"
    assert "does not belong to" in found["certificate"]["found"]


def test_without_redis_it_is_about_the_embedded_one(server: ServerProcess) -> None:
    found = doctor("--data-dir", str(server.data_dir), port=server.port)
    assert found["redis"]["found"].startswith("unix://")
    assert outcome(found, "append-only-file") == "ok"
    assert outcome(found, "disk") in ("ok", "warning")
    assert outcome(found, "port") == "warning"  # the server has it
    server.stop()
    found = doctor("--data-dir", str(server.data_dir), port=server.port)
    assert "does not run" in found["redis"]["found"]
    assert outcome(found, "port") == "ok"


def test_the_embedded_one_has_no_replicas(tmp_path: Path) -> None:
    found = doctor("--data-dir", str(tmp_path), "--durability", "replica")
    assert outcome(found, "durability") == "failure"


def test_a_data_directory_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = doctor("--data-dir", str(tmp_path / "file" / "data"))
    assert outcome(found, "data-directory") == "failure"


def test_a_disk_without_room(tmp_path: Path) -> None:
    directory = tmp_path / "disk"
    directory.mkdir()
    try:
        with small_disk(directory, 64 << 20) as disk:
            program = (*disk.program, TELTONIKA)
            found = doctor("--data-dir", str(directory / "data"), program=program)
    except NoSmallDiskError as error:
        pytest.skip(str(error))
    assert outcome(found, "disk") == "failure"


def test_wrong_usage_is_none_of_its_findings() -> None:
    result = run_teltonika("doctor", "--strict")
    assert (result.returncode, result.stdout) == (2, "")


def test_a_person_reads_what_to_do(valkey: OwnValkey) -> None:
    client = valkey.start()
    client.config_set("appendonly", "no")
    result = run_teltonika("doctor", "--redis", valkey.url, "--port", "0")
    assert result.returncode == 0
    assert "warning append-only-file: what is acknowledged may be lost with Redis" in result.stdout
    assert "-> it keeps no append-only file: set appendonly yes" in result.stdout
    assert result.stdout.splitlines()[-1].endswith("to look at.")
    client.close()
