"""`teltonika serve --metrics`: each family there and moving, bounded, and no way to hold it up."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import datagrams
import pytest
from own_valkey import OwnValkey
from scraping import ask, scrape
from serving import (
    IMEI,
    BareDatagrams,
    BareDevice,
    ServerProcess,
    run_teltonika,
)

from teltonika.codecs import (
    AVL_CODECS,
    COMMAND_CODECS,
    AvlRecord,
    CommandMessage,
    IoElement,
    IoElements,
    encode_message,
    encode_packet,
)
from teltonika.codecs.framing import encode_frame
from teltonika.server.metrics_families import FAMILIES, Kind
from teltonika.server.metrics_port import MAX_CONNECTIONS, MAX_REQUEST_BYTES

StartServer = Callable[..., ServerProcess]
METRICS = ("--metrics", "127.0.0.1:0")


@pytest.fixture
def metered(start_server: StartServer) -> ServerProcess:
    return start_server(*METRICS, "--udp-port", "0")


def packet(number: int, codec: str = "8E") -> bytes:
    record = AvlRecord(number, 0, 0, 0, 0, 0, 0, 0, generation_type=1 if codec == "16" else None)
    return encode_packet(AVL_CODECS.by_name(codec), [record])


def emulate(server: ServerProcess, *options: str) -> None:
    common = ("--port", str(server.port), "--interval", "0")
    result = run_teltonika("emulate", *common, *options)
    assert result.returncode == 0, result.stderr


def test_without_the_option_nothing_is_served_and_the_line_does_not_name_it(
    server: ServerProcess,
) -> None:
    assert "metrics" not in server.listening


def test_every_family_is_there_and_typed(metered: ServerProcess) -> None:
    page = scrape(metered)
    for family in FAMILIES:
        name = family.full_name.removesuffix("_total" if family.kind is Kind.COUNTER else "")
        metric = page.families[name]
        assert (metric.type, metric.documentation) == (str(family.kind), family.meaning)
        for sample in metric.samples:
            assert sample.labels.keys() - {"le"} == set(family.labels)
    ours = {name for name in page.families if name.startswith("teltonika_")}
    assert len(ours) == len(FAMILIES)
    assert page.value("process_open_fds") > 0


def test_under_load_everything_that_a_device_causes_moves(metered: ServerProcess) -> None:
    before = scrape(metered)
    emulate(metered, "--imei", IMEI, "--records", "200", "--records-per-packet", "10")
    page = scrape(metered)
    assert before.total("teltonika_records_total") == 0
    assert page.value("teltonika_records_total", codec="8E") == 200
    assert page.value("teltonika_frames_total", codec="8E") == 20
    assert page.value("teltonika_records_stored_total") == 200
    assert page.value("teltonika_connections_total") == 1
    assert page.value("teltonika_handshakes_total", result="accepted", known="true") == 1
    assert page.value("teltonika_ack_latency_seconds_count") == 20
    assert 0 <= page.value("teltonika_ack_latency_seconds_sum") < 20
    assert page.value("teltonika_redis_round_trip_seconds_sum") > 0
    assert 0 < page.value("teltonika_batch_packets_count") <= 21
    assert page.value("teltonika_batch_packets_sum") == 21  # and the connection
    assert page.value("teltonika_received_bytes_total") > 200 * 30
    assert page.value("teltonika_sent_bytes_total") == 1 + 20 * 4
    for queue in ("publisher", "in_flight", "datagrams", "commands"):
        assert page.value("teltonika_queue_depth", queue=queue) == 0
    assert page.value("teltonika_unconfirmed_bytes") == 0
    assert page.value("teltonika_oldest_unconfirmed_seconds") == 0


@pytest.mark.parametrize("codec", ["8", "8E", "16"])
def test_frames_and_records_are_counted_by_codec(codec: str, metered: ServerProcess) -> None:
    with BareDevice(metered.port) as device:
        for _ in range(2):
            device.send(packet(1, codec))
            assert device.acknowledged() == 1
        page = scrape(metered)
        assert page.value("teltonika_connections_open") == 1
        assert page.value("teltonika_registry_entries") == 1
    for name in ("frames", "records"):
        assert page.value(f"teltonika_{name}_total", codec=codec) == 2
        assert page.total(f"teltonika_{name}_total") == 2
    assert page.value("teltonika_duplicate_records_total") == 1


def test_who_has_not_said_an_imei_is_connected_and_in_no_registry(metered: ServerProcess) -> None:
    with BareDevice(metered.port, imei=None), BareDevice(metered.port):
        page = scrape(metered)
    assert page.value("teltonika_connections_open") == 2
    assert page.value("teltonika_registry_entries") == 1
    assert page.total("teltonika_handshakes_total") == 1


def test_what_is_broken_is_counted_as_what_it_is(metered: ServerProcess) -> None:
    broken = packet(1)[:-1] + b"\xff"
    unknown = encode_frame(b"\x07" + bytes(20))
    with BareDevice(metered.port) as device:
        device.send(broken + packet(2))
        assert device.acknowledged() == 1
        device.send(unknown)
        assert device.closed_by_server()
    with BareDevice(metered.port) as device:
        device.send(bytes(4) + b"\xff\xff\xff\xff")
        assert device.closed_by_server()
    with BareDatagrams(metered.udp_port) as device:
        device.send(b"no datagram")
        device.send(datagrams.datagram(datagrams.records(1, 2)))
        assert device.answer()
    page = scrape(metered)
    assert page.value("teltonika_crc_failures_total") == 1
    assert page.value("teltonika_unknown_codecs_total") == 1
    assert page.value("teltonika_protocol_violations_total") == 1
    assert page.value("teltonika_limit_hits_total", limit="max_packet_size") == 1
    assert page.value("teltonika_datagrams_total", result="taken") == 1
    assert page.value("teltonika_datagrams_total", result="broken") == 1
    assert page.value("teltonika_ack_latency_seconds_count") == 2  # one of each transport


def test_commands_are_counted_by_status_and_reason(metered: ServerProcess) -> None:
    with BareDevice(metered.port) as device:
        metered.publish("answered")
        device.answer(device.command())
        assert metered.ending("answered") == ("responded", None)
        metered.publish("late", timeout_s="0.1")
        late: CommandMessage = device.command()
        assert metered.ending("late") == ("failed", "timeout")
        device.answer(late)
        metered.publish("nobody", imei="356307042441021")
        assert metered.ending("nobody") == ("failed", "not_connected")
        metered.publish("answered")
        metered.publish("last")
        device.answer(device.command())
        assert metered.ending("last") == ("responded", None)
        page = scrape(metered)
    assert page.value("teltonika_commands_total", status="responded", reason="") == 2
    assert page.value("teltonika_commands_total", status="failed", reason="timeout") == 1
    assert page.value("teltonika_commands_total", status="failed", reason="not_connected") == 1
    assert page.total("teltonika_commands_total") == 4
    assert page.value("teltonika_commands_received_total") == 4
    assert page.value("teltonika_commands_delivered_total") == 3
    assert page.value("teltonika_duplicate_commands_total") == 1
    assert page.value("teltonika_command_latency_seconds_count") == 2
    assert page.value("teltonika_late_answers_total") == 1
    assert page.value("teltonika_frames_total", codec="12") == 3


def test_what_else_devices_do_is_counted(metered: ServerProcess) -> None:
    text = COMMAND_CODECS.by_name("12").answer(
        COMMAND_CODECS.by_name("12").command("getver", IMEI), b"unasked"
    )
    io = IoElements.of([IoElement(1, 1, 1), IoElement(1, 2, 1)])
    twice = AvlRecord(1, 0, 0, 0, 0, 0, 0, 0, io=io)
    with BareDevice(metered.port) as older, BareDevice(metered.port) as device:
        assert older.closed_by_server()
        device.send(encode_message(text))
        device.send(encode_frame(b"\x0c\x01\x06\x00\x00\xff\xff\x01"))
        device.send(encode_packet(AVL_CODECS.by_name("8E"), [twice]))
        assert device.acknowledged() == 1
        page = scrape(metered)
    assert page.value("teltonika_takeovers_total") == 1
    assert page.value("teltonika_unsolicited_messages_total") == 1
    assert page.value("teltonika_skipped_frames_total") == 1
    assert page.value("teltonika_repeated_io_ids_total") == 1


def test_devices_that_are_not_on_the_list_are_told_apart(start_server: StartServer) -> None:
    server = start_server(*METRICS, "--authority", "allow-list")
    server.redis.sadd("devices:allowed", "356307042441021")
    server.redis.publish("devices:allowed:changed", "")
    with BareDevice(server.port):
        page = scrape(server)
    assert page.value("teltonika_handshakes_total", result="accepted", known="false") == 1
    assert page.total("teltonika_handshakes_total") == 1


def test_too_much_unconfirmed_is_counted_by_whose_it_is(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    valkey.start().close()
    server = start_server(*METRICS, "--max-device-bytes", "4096", redis_url=valkey.url)
    with BareDevice(server.port) as device:
        valkey.kill()
        for number in range(1, 31):
            device.send(packet(number))
        page = scrape(server)
        while not page.total("teltonika_backpressure_pauses_total"):
            page = scrape(server)
        assert page.value("teltonika_backpressure_pauses_total", scope="device") == 1
        assert page.value("teltonika_limit_hits_total", limit="max_device_bytes") == 1
        assert page.value("teltonika_backpressure_pauses_total", scope="all") == 0
        valkey.start().close()
        for _ in range(30):
            assert device.acknowledged() == 1


def test_the_event_loop_is_watched(metered: ServerProcess) -> None:
    while not scrape(metered).value("teltonika_event_loop_lag_seconds_count"):
        pass


def test_a_limit_that_bites_is_named(start_server: StartServer) -> None:
    server = start_server(*METRICS, "--max-connections", "1", "--handshake-timeout", "0.2")
    with (
        BareDevice(server.port, imei=None) as silent,
        BareDevice(server.port, imei=None) as refused,
    ):
        assert refused.closed_by_server()
        assert silent.closed_by_server()
    page = scrape(server)
    assert page.value("teltonika_limit_hits_total", limit="max_connections") == 1
    assert page.value("teltonika_limit_hits_total", limit="handshake_timeout") == 1


def test_the_log_and_the_metrics_tell_the_same(metered: ServerProcess) -> None:
    emulate(metered, "--imei", IMEI, "--records", "7")
    page = scrape(metered)
    metered.stop()
    (line,) = metered.logged("stopped")
    assert line["records"] == line["records_8E"] == page.total("teltonika_records_total") == 7
    assert line["packets"] == line["packets_8E"] == page.value("teltonika_frames_total", codec="8E")


def test_what_redis_has_not_confirmed_is_seen_and_for_how_long(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    valkey.start().close()
    server = start_server(*METRICS, redis_url=valkey.url)
    with BareDevice(server.port) as device:
        valkey.kill()
        device.send(packet(1))
        server.wait_for_log("redis_unavailable")
        page = scrape(server)
        depth = page.value("teltonika_queue_depth", queue="publisher")
        assert depth + page.value("teltonika_queue_depth", queue="in_flight") == 1
        assert page.value("teltonika_unconfirmed_bytes") > 0
        assert page.value("teltonika_oldest_unconfirmed_seconds") > 0
        assert page.value("teltonika_redis_failures_total") > 0
        valkey.start().close()
        assert device.acknowledged() == 1
    while scrape(server).value("teltonika_oldest_unconfirmed_seconds"):
        pass
    assert scrape(server).value("teltonika_ack_latency_seconds_sum") > 0


def test_fifty_devices_add_no_series(metered: ServerProcess) -> None:
    emulate(metered, "--imei", IMEI, "--records", "1")
    before = scrape(metered)
    emulate(metered, "--imei", "356307042442003", "--count", "50", "--records", "2")
    after = scrape(metered)
    assert after.value("teltonika_connections_total") == 51
    assert after.series == before.series
    assert IMEI not in after.page
    assert "3563070424" not in after.page


def test_openmetrics_is_given_to_who_asks_for_it(metered: ServerProcess) -> None:
    accept = "application/openmetrics-text;version=1.0.0"
    status, page = ask(metered, "/metrics", Accept=accept)
    assert status == 200
    assert page.endswith("# EOF\n")
    assert "# EOF" not in scrape(metered).page


# -- the port itself ---------------------------------------------------------------------------


class Bare:
    """A socket to the port for metrics."""

    def __init__(self, server: ServerProcess) -> None:
        host, port = server.listening["metrics"].split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)

    def __enter__(self) -> "Bare":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def says(self, request: bytes) -> bytes:
        """All that the server answers until it closes."""
        self.socket.sendall(request)
        return self.rest()

    def rest(self) -> bytes:
        answer = b""
        try:
            while more := self.socket.recv(65_536):
                answer += more
        except ConnectionResetError:
            pass
        return answer


def test_only_three_paths_are_there_and_only_to_be_read(metered: ServerProcess) -> None:
    assert ask(metered, "/")[0] == 404
    assert ask(metered, "/metrics/x")[0] == 404
    assert ask(metered, "/metrics?name[]=x")[0] == 200
    for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS"):
        with Bare(metered) as client:
            answer = client.says(method + b" /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
        assert b"Allow: GET, HEAD\r\n" in answer
    with Bare(metered) as client:
        answer = client.says(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Length: 3\r\n" in answer


def test_hostile_requests_are_refused_and_the_server_goes_on(metered: ServerProcess) -> None:
    for request, status in (
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 2 * MAX_REQUEST_BYTES, b"431"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * MAX_REQUEST_BYTES, b"431"),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"", b""),
    ):
        with Bare(metered) as client:
            if not request:
                client.socket.shutdown(socket.SHUT_WR)
            try:
                answer = client.says(request)
            except ConnectionError:  # it was closed before all was sent
                continue
        assert not answer or answer.split(b" ")[1] == status
    assert ask(metered, "/healthz") == (200, "ok\n")
    assert "Traceback" not in metered.log_text()


def test_a_request_has_a_greatest_length(metered: ServerProcess) -> None:
    start = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "
    end = b"\r\n\r\n"
    with Bare(metered) as client:
        fits = client.says(start + b"a" * (MAX_REQUEST_BYTES - len(start + end)) + end)
    assert fits.startswith(b"HTTP/1.1 200 OK\r\n")
    with Bare(metered) as client:
        too_long = client.says(start + b"a" * (MAX_REQUEST_BYTES + 1 - len(start)))
    assert too_long.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


def test_who_says_nothing_does_not_keep_others_from_their_answer(metered: ServerProcess) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(Bare(metered)) for _ in range(3 * MAX_CONNECTIONS)]
        for one in silent[-MAX_CONNECTIONS:]:
            one.socket.send(b"GET /met")
        assert scrape(metered).value("teltonika_connections_open") == 0
        assert silent[0].rest() == b""  # the oldest had to go
        with BareDevice(metered.port) as device:
            device.send(packet(1))
            assert device.acknowledged() == 1
    assert "Traceback" not in metered.log_text()


def test_who_is_too_slow_is_closed(metered: ServerProcess) -> None:
    with Bare(metered) as slow:
        slow.socket.send(b"GET /metrics HTTP/1.1\r\n")
        assert slow.rest() == b""


# -- how it is asked for -----------------------------------------------------------------------


@pytest.mark.parametrize("address", ["0", ":0"])
def test_a_port_alone_is_on_loopback(address: str, start_server: StartServer) -> None:
    server = start_server("--metrics", address)
    assert server.listening["metrics"].startswith("127.0.0.1:")
    assert ask(server, "/healthz") == (200, "ok\n")


@pytest.mark.parametrize("address", ["", ":", "x", "1.2.3.4:", "127.0.0.1:65536", "127.0.0.1:-1"])
def test_an_address_that_is_none_is_wrong_usage(address: str) -> None:
    result = run_teltonika("serve", "--metrics", address)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"teltonika: --metrics: {address!r} is no address such as ")


def test_a_port_that_is_taken_is_said_in_one_sentence(
    metered: ServerProcess, tmp_path: Path
) -> None:
    address = metered.listening["metrics"]
    other = ("--port", "0", "--data-dir", str(tmp_path / "other"), "--log-level", "error")
    result = run_teltonika("serve", "--metrics", address, *other)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"teltonika: cannot listen on {address}: ")
