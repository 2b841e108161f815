"""`teltonika serve --workers`: several processes on one port, as one server to whoever runs it."""

import json
import os
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import datagrams
import psutil
import pytest
from certificates import Certificates
from own_valkey import OwnValkey
from scraping import ask, scrape
from serving import (
    REGISTRY,
    TELTONIKA,
    BareDatagrams,
    BareDevice,
    ServerProcess,
    is_running,
    run_teltonika,
    wait_for_statuses,
)

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet

StartServer = Callable[..., ServerProcess]
TWO = ("--workers", "2")
PASSWORD = "open ses@me/?#"


def packet(number: int) -> bytes:
    return encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(number, 0, 0, 0, 0, 0, 0, 0)])


def ids_of(server: ServerProcess) -> list[str]:
    return [f"{server.instance_id}-{number}" for number in (1, 2)]


def pid_of(server: ServerProcess, worker: int) -> int:
    """Of its newest process."""
    lines = server.logged("worker_started", at_least=2)
    started = [line for line in lines if line["worker"] == worker]
    return int(started[-1]["pid"])


def wait_for_line(server: ServerProcess, event: str, **fields: object) -> dict[str, Any]:
    """The first line of the log that has all of that."""
    with subprocess.Popen(
        ["tail", "-n", "+1", "-F", str(server.log_path)], stdout=subprocess.PIPE, text=True
    ) as tail:
        assert tail.stdout is not None
        try:
            for text in tail.stdout:
                line: dict[str, Any] = json.loads(text) if text[0] == "{" else {}
                if line.get("event") == event and fields.items() <= line.items():
                    return line
        finally:
            tail.kill()
    raise AssertionError(event)


@contextmanager
def devices_on(server: ServerProcess, *, at_least: int = 1) -> Iterator[dict[str, list[str]]]:
    """Devices connect until each worker has ``at_least`` so many: the IMEIs, by instance id."""
    with ExitStack() as stack:
        homes: dict[str, list[str]] = {one: [] for one in ids_of(server)}
        for number in range(64):
            imei = f"{350_000_000_000_000 + number}"
            stack.enter_context(BareDevice(server.port, imei))
            while (home := server.redis.hget(REGISTRY, imei)) is None:
                pass
            homes[str(home)].append(imei)
            if all(len(there) >= at_least for there in homes.values()):
                break
        yield homes


def connect_to(server: ServerProcess, instance_id: str, stack: ExitStack) -> tuple[str, BareDevice]:
    """A device that the kernel has given to that worker, and its IMEI."""
    for number in range(64):
        imei = f"{351_000_000_000_000 + number}"
        device = stack.enter_context(BareDevice(server.port, imei))
        while (home := server.redis.hget(REGISTRY, imei)) is None:
            pass
        if home == instance_id:
            return imei, device
        device.socket.close()
    raise AssertionError(instance_id)


def emulating(server: ServerProcess, *options: str) -> subprocess.Popen[str]:
    command = [TELTONIKA, "emulate", "--port", str(server.port), "--imei", "356307042442003"]
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_two_workers_share_the_ports_and_look_like_two_instances(
    start_server: StartServer,
) -> None:
    server = start_server(*TWO, "--udp-port", "0", "--metrics", "0")
    first, second = ids_of(server)
    assert server.listening["workers"] == [first, second]
    assert server.listening["pid"] == server.process.pid
    with devices_on(server) as homes:
        beats = {
            one: json.loads(str(server.redis.get(f"instance:heartbeat:{one}")))
            for one in (first, second)
        }
        assert {one["port"] for one in beats.values()} == {server.port}
        assert [beats[one]["pid"] for one in (first, second)] == [
            pid_of(server, 1),
            pid_of(server, 2),
        ]
        page = scrape(server)
        for number, one in (("1", first), ("2", second)):
            assert page.value("teltonika_connections_open", worker=number) == len(homes[one])
            assert page.value("teltonika_worker_up", worker=number) == 1
            assert page.value("teltonika_worker_restarts_total", worker=number) == 0
            assert page.value("process_open_fds", worker=number) > 0
        assert page.value("teltonika_workers") == 2
        assert page.value("process_open_fds", worker="supervisor") > 0
        assert all(
            dict(labels).get("worker") in ("1", "2", "supervisor")
            for name, labels in page.series
            if name != "teltonika_workers"
        )
        shown = run_teltonika("devices", "--data-dir", str(server.data_dir), "--json")
        told = [json.loads(line) for line in shown.stdout.splitlines()]
        assert Counter(one["instance_id"] for one in told) == {
            one: len(there) for one, there in homes.items()
        }
    with ExitStack() as stack:  # from one source port all datagrams go to one worker
        for number in range(1, 9):
            device = stack.enter_context(BareDatagrams(server.udp_port))
            device.send(datagrams.datagram(datagrams.records(number)))
            assert device.answer()
    assert len(server.entries()) == 8
    assert ask(server, "/readyz") == ask(server, "/healthz") == (200, "ok\n")
    assert server.stop() == 0
    assert server.process.stdout is not None
    assert server.process.stdout.read() == ""
    lines = server.log()
    assert len(lines) == len(server.log_text().splitlines())
    stopped = [line.get("worker") for line in lines if line["event"] == "stopped"]
    assert sorted(stopped[:2]) == [1, 2]
    assert stopped[2:] == [None]


def test_a_worker_that_is_killed_under_load_comes_back_and_every_record_is_there_once(
    start_server: StartServer,
) -> None:
    server = start_server(*TWO, "--reconnect-grace", "0")
    first, _ = ids_of(server)
    with ExitStack() as stack:
        imei, device = connect_to(server, first, stack)
        server.redis.xadd(
            f"commands:outbound:{first}",
            {"command_id": "in flight", "imei": imei, "payload": "getver"},
        )
        device.command()
        load = ("--count", "20", "--records", "100", "--interval", "0.01", "--seed", "1")
        with emulating(server, *load) as fleet:
            while server.redis.xlen("telemetry:teltonika") < 300:
                pass
            killed = pid_of(server, 1)
            os.kill(killed, signal.SIGKILL)
            died = wait_for_line(server, "worker_died", worker=1)
            server.redis.xadd(
                f"commands:outbound:{first}",
                {"command_id": "meanwhile", "imei": "000000000000000", "payload": "getver"},
            )
            output, _ = fleet.communicate(timeout=60)
            assert fleet.returncode == 0, output
    assert (died["pid"], died["signal"]) == (killed, "SIGKILL")
    assert pid_of(server, 1) != killed
    sent = Counter((one["device_id"], one["timestamp"]) for one in server.payloads())
    assert len(sent) == 20 * 100
    assert set(sent.values()) == {1}
    endings = {
        one["command_id"]: (one["instance_id"], one["reason"])
        for one in wait_for_statuses(server.redis, "in flight", "meanwhile")
        if one["status"] == "failed"
    }
    assert endings == {
        "in flight": (first, "instance_lost"),
        "meanwhile": (first, "not_connected"),
    }


def test_sigterm_drains_all_and_what_was_acknowledged_is_stored(
    start_server: StartServer,
) -> None:
    server = start_server(*TWO)
    with ExitStack() as stack:
        devices = [stack.enter_context(BareDevice(server.port, imei)) for imei in imeis(16)]
        os.kill(server.valkey_pid, signal.SIGKILL)
        for device in devices:
            device.send(packet(1))
            assert device.acknowledged() == 1  # by a Valkey that was started again
            device.send(packet(2))
        server.process.terminate()
        acknowledged = sum(gets_ack(device) for device in devices)
    assert server.process.wait(timeout=30) == 0
    stored = sum(line["records_stored"] for line in server.logged("stopped") if "worker" in line)
    assert len(devices) + acknowledged <= stored <= 2 * len(devices)


def gets_ack(device: BareDevice) -> bool:
    """Whether it gets one before the server closes."""
    try:
        return device.receive(4) == b"\0\0\0\1"
    except ConnectionResetError:  # it was sent more than the server had read
        return False


def imeis(count: int) -> list[str]:
    return [f"{352_000_000_000_000 + number}" for number in range(count)]


def test_a_command_is_sent_and_answered_while_the_others_wait_and_a_second_signal_ends_all(
    start_server: StartServer,
) -> None:
    server = start_server(*TWO)
    with ExitStack() as stack:
        imei, device = connect_to(server, ids_of(server)[1], stack)
        sending = subprocess.Popen(
            [TELTONIKA, "send", imei, "getver", "--data-dir", str(server.data_dir)],
            stdout=subprocess.PIPE,
            text=True,
        )
        device.answer(device.command(), b"version 1")
        assert sending.communicate(timeout=30)[0] == "version 1\n"
        server.redis.xadd(
            f"commands:outbound:{ids_of(server)[1]}",
            {"command_id": "unanswered", "imei": imei, "payload": "getver"},
        )
        device.command()  # which keeps its worker draining
        pids = [pid_of(server, 1), pid_of(server, 2)]
        server.process.terminate()
        server.wait_for_log("draining")
        server.process.terminate()
        assert server.process.wait(timeout=30) == 1
        assert device.closed_by_server()
    assert not any(map(is_running, pids))
    assert "ended at once, by a second signal" in server.log_text()
    assert "Traceback" not in server.log_text()


def test_workers_of_a_supervisor_that_is_killed_drain(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server(*TWO, redis_url=valkey.url)
    with devices_on(server):
        workers = [psutil.Process(pid_of(server, number)) for number in (1, 2)]
        second = run_teltonika(
            *("serve", "--port", "0", "--workers", "2", "--redis", valkey.url),
            *("--data-dir", str(server.data_dir)),
        )
        assert second.returncode == 1
        assert "is in use by another server" in second.stderr
        server.kill()
        psutil.wait_procs(workers, timeout=30)
        assert not any(one.is_running() for one in workers)
    assert len(server.logged("supervisor_lost")) == 2
    assert sorted(line["worker"] for line in server.logged("stopped")) == [1, 2]
    assert client.hgetall(REGISTRY) == {}


def test_a_worker_that_hangs_is_seen_and_holds_nobody_up(start_server: StartServer) -> None:
    server = start_server(*TWO, "--metrics", "0")
    hanging = pid_of(server, 1)
    os.kill(hanging, signal.SIGSTOP)
    for _ in range(2):
        page = scrape(server)
        assert page.value("teltonika_worker_up", worker="1") == 0
        assert page.value("teltonika_worker_up", worker="2") == 1
        assert page.value("teltonika_connections_open", worker="2") == 0
        assert ("teltonika_connections_open", frozenset({("worker", "1")})) not in page.series
        assert page.value("teltonika_workers") == 2
    assert ask(server, "/healthz") == (503, "worker 1: it does not answer\n")
    os.kill(hanging, signal.SIGCONT)
    while scrape(server).value("teltonika_worker_up", worker="1") == 0:
        pass
    while ask(server, "/healthz") != (200, "ok\n"):  # it was late once
        pass


def test_it_is_ready_while_one_worker_is_and_says_who_is_not(start_server: StartServer) -> None:
    server = start_server(*TWO, "--metrics", "0")
    hanging = pid_of(server, 2)
    os.kill(hanging, signal.SIGSTOP)
    assert ask(server, "/readyz") == (200, "ok\nworker 2: it does not answer\n")
    os.kill(hanging, signal.SIGKILL)
    wait_for_line(server, "worker_died", worker=2, signal="SIGKILL")
    while ask(server, "/readyz") != (200, "ok\n"):
        pass
    os.kill(pid_of(server, 1), signal.SIGTERM)  # drains this one, and another follows
    wait_for_line(server, "worker_died", worker=1, exit_code=0)
    while ask(server, "/readyz") != (200, "ok\n"):
        pass
    page = scrape(server)
    for worker in ("1", "2"):
        assert page.value("teltonika_worker_restarts_total", worker=worker) == 1


@pytest.mark.parametrize("flags", [(), (socket.SO_REUSEADDR, socket.SO_REUSEPORT)])
def test_a_port_that_somebody_else_has_is_refused(flags: Sequence[int], tmp_path: Path) -> None:
    with socket.socket() as other:
        for flag in flags:
            other.setsockopt(socket.SOL_SOCKET, flag, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = serve_two("--port", str(port), "--data-dir", str(tmp_path))
    assert result.returncode == 1
    assert (
        result.stderr == f"teltonika: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    )


def test_no_second_server_shares_its_ports(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(*TWO, "--udp-port", "0")
    for options in (
        ("--port", str(server.port)),
        ("--port", str(server.port), "--workers", "1"),
        ("--port", "0", "--udp-port", str(server.udp_port)),
    ):
        result = serve_two(*options, "--data-dir", str(tmp_path / "other"))
        assert result.returncode == 1
        assert "Address already in use" in result.stderr.splitlines()[-1]


def serve_two(*options: str) -> subprocess.CompletedProcess[str]:
    first = ("serve", "--host", "127.0.0.1", "--workers", "2", "--log-level", "error")
    return run_teltonika(*first, *options)


@pytest.mark.parametrize(
    ("options", "exit_code", "said"),
    [
        (("--redis", "redis://127.0.0.1:1/0"), 1, "cannot use the Redis at redis://127.0.0.1:1/0"),
        (("--tls-cert", "/nowhere.pem"), 2, "/nowhere.pem"),
        (("--durability", "replica"), 1, "--durability replica needs --redis"),
        (("--metrics", "192.0.2.1:9"), 1, "cannot listen on 192.0.2.1:9"),
    ],
)
def test_wrong_settings_end_it_with_the_sentence_of_a_single_server(
    options: tuple[str, ...], exit_code: int, said: str, tmp_path: Path
) -> None:
    result = serve_two("--port", "0", "--data-dir", str(tmp_path), *options)
    assert result.returncode == exit_code
    (line,) = result.stderr.splitlines()
    assert said in line
    assert result.stdout == ""


def test_another_server_under_a_workers_name_ends_it(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    valkey.start().close()
    quick = ("--heartbeat-interval", "0.2", "--heartbeat-ttl", "1")
    server = start_server(*TWO, *quick, "--instance-id", "gate", redis_url=valkey.url)
    start_server("--instance-id", "gate-2", data_dir="other", redis_url=valkey.url)
    assert server.process.wait(timeout=30) == 1
    last = server.log_text().splitlines()[-1]
    assert last.startswith("teltonika: another process has taken over the instance id gate-2: ")
    assert [line["worker"] for line in server.logged("stopped")] == [1]


def test_a_password_is_on_no_command_line_and_certificates_are_read_again(
    valkey: OwnValkey, start_server: StartServer, tmp_path: Path
) -> None:
    valkey.start("--requirepass", PASSWORD).close()
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    certificates = Certificates(tmp_path / "certificates")
    server = start_server(
        *(*TWO, "--instance-id", "gate", "--redis-password-file", str(file)),
        *("--tls-cert", str(certificates.server_cert)),
        *("--tls-key", str(certificates.server_key)),
        redis_url=valkey.url,
    )
    processes = [psutil.Process(pid_of(server, number)) for number in (1, 2)]
    assert [one.cmdline()[-1] for one in processes] == ["gate-1", "gate-2"]
    told = [
        word
        for one in (psutil.Process(server.process.pid), *processes)
        for word in (*one.cmdline(), *one.environ().values())
    ]
    told += [server.line, server.log_text()]
    for secret in (PASSWORD, "ses@me", "ses%40me"):
        assert not any(secret in one for one in told)
    certificates.renew_server()
    server.process.send_signal(signal.SIGHUP)
    for worker in (1, 2):
        wait_for_line(server, "certificates_reloaded", worker=worker)
