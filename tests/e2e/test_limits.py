"""What bites when too much comes at once, and that the server gets over it."""

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest
from own_valkey import OwnValkey
from serving import IMEI, STREAM, BareDevice, ServerProcess

from teltonika.codecs import AVL_CODECS, AvlRecord, crc16_ibm, encode_imei, encode_packet

StartServer = Callable[..., ServerProcess]
PACKET = encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(0, 0, 0, 0, 0, 0, 0, 0)])


def imei_of(number: int) -> str:
    return f"35630704{number:07d}"


@contextmanager
def devices(port: int, count: int) -> Iterator[list[BareDevice]]:
    with ExitStack() as stack:
        yield [stack.enter_context(BareDevice(port, imei_of(number))) for number in range(count)]


def stopped(server: ServerProcess) -> dict[str, int]:
    """What the server counted."""
    assert server.stop() == 0
    (line,) = server.logged("stopped")
    return line


def test_one_connection_too_many_is_closed_and_the_next_place_is_free_again(
    start_server: StartServer,
) -> None:
    server = start_server("--max-connections", "5")
    with devices(server.port, 5) as held:
        for _ in range(3):
            with BareDevice(server.port, imei=None) as refused:
                assert refused.closed_by_server()
        held[0].send(PACKET)
        assert held[0].acknowledged() == 1
        held[0].leave()
        with BareDevice(server.port):
            pass
    refusals = server.logged("connection_refused", at_least=3)
    assert {line["limit"] for line in refusals} == {"--max-connections"}
    counted = stopped(server)
    assert counted["refused_by_max_connections"] == len(refusals) == 3
    assert counted["connections"] == 6


def test_one_address_has_a_limit_of_its_own(start_server: StartServer) -> None:
    server = start_server("--max-per-address", "3")
    with devices(server.port, 3) as held:
        with BareDevice(server.port, imei=None) as refused:
            assert refused.closed_by_server()
        with socket.create_connection(
            ("127.0.0.1", server.port), timeout=30, source_address=("127.0.0.2", 0)
        ) as other:
            other.sendall(encode_imei(IMEI))
            assert other.recv(1) == b"\x01"
        held[0].leave()
        with BareDevice(server.port):
            pass
    assert server.logged("connection_refused")[0]["limit"] == "--max-per-address"
    assert stopped(server)["refused_by_max_connections_per_address"] == 1


def test_who_ends_without_an_imei_is_a_stranger(start_server: StartServer) -> None:
    """So the next ones are taken in more slowly."""
    server = start_server("--max-per-address", "1")
    for junk in (b"GET / HTTP/1.1\r\n\r\n", b""):
        with BareDevice(server.port, imei=None) as stranger:
            stranger.send(junk)
            stranger.leave()
    with BareDevice(server.port), BareDevice(server.port, imei=None) as refused:
        assert refused.closed_by_server()
    assert stopped(server)["strangers"] == 3


def test_the_server_raises_its_own_soft_limit(start_server: StartServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        server = start_server()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with devices(server.port, 300) as held:
        held[-1].send(PACKET)
        assert held[-1].acknowledged() == 1
    assert psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_NOFILE) == (hard, hard)


def test_with_few_descriptors_the_limit_for_connections_is_lower(
    start_server: StartServer,
) -> None:
    limited = ("prlimit", "--nofile=164:164", *ServerProcess.PROGRAM)
    server = start_server(program=limited)
    (line,) = server.logged("max_connections_lowered")
    assert line["possible"] == 100
    with devices(server.port, 100) as held:
        with BareDevice(server.port, imei=None) as refused:
            assert refused.closed_by_server()
        held[-1].send(PACKET)
        assert held[-1].acknowledged() == 1
    assert stopped(server)["refused_by_max_connections"] == 1


def test_out_of_descriptors_it_says_so_and_recovers(start_server: StartServer) -> None:
    """Somebody takes them away while it runs: who connects waits, everybody else is served."""
    server = start_server()
    process = psutil.Process(server.process.pid)
    with devices(server.port, 20) as held:
        highest = max(int(one.fd) for one in process.net_connections())
        process.rlimit(psutil.RLIMIT_NOFILE, (highest + 1, 20_000))
        with BareDevice(server.port, imei=None) as waiting:
            waiting.send(encode_imei(IMEI))
            server.wait_for_log("cannot_accept")
            held[0].send(PACKET)
            assert held[0].acknowledged() == 1
            process.rlimit(psutil.RLIMIT_NOFILE, (20_000, 20_000))
            assert waiting.receive(1) == b"\x01"
        server.wait_for_log("accepting_again")
    assert len(server.logged("cannot_accept")) == 1
    assert stopped(server)["descriptor_shortages"] >= 1


def test_a_flood_of_lines_is_cut_short_and_counted(start_server: StartServer) -> None:
    server = start_server("--log-lines-per-peer", "10")
    broken = PACKET[:-1] + bytes((PACKET[-1] ^ 1,))
    with BareDevice(server.port) as device:
        device.send(broken * 500 + PACKET)
        assert device.acknowledged() == 1
    counted = stopped(server)
    assert counted["crc_failures"] == 500
    assert len(server.logged("crc_failed")) == 9  # the tenth line said that it had connected
    (left_out,) = server.logged("log_lines_left_out")
    assert left_out["address"] == "127.0.0.1"
    assert left_out["lines"] == counted["log_lines_left_out"] == 492


def test_text_that_devices_flood_is_held_back_like_records(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    """It goes to Redis another way, and counts for the same limit."""
    client = valkey.start()
    server = start_server("--max-device-bytes", "65536", redis_url=valkey.url)
    data = b"\x0c\x01\x06" + (1000).to_bytes(4) + b"x" * 1000 + b"\x01"
    message = bytes(4) + len(data).to_bytes(4) + data + crc16_ibm(data).to_bytes(4)
    process = psutil.Process(server.process.pid)
    with BareDevice(server.port) as device:
        client.config_set("maxmemory", "1")  # nothing is stored until that is taken back
        before = process.memory_info().rss
        device.socket.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 200_000_000:
                sent += device.socket.send((message * 100)[sent % len(message) :])
        assert process.memory_info().rss - before < 30_000_000
        client.config_set("maxmemory", "0")
        device.socket.settimeout(30)
        device.send(message[sent % len(message) :] * bool(sent % len(message)) + PACKET)
        assert device.acknowledged() == 1
    assert client.xlen(STREAM) == 1
    assert stopped(server)["backpressure_pauses"] >= 1
    client.close()


def test_commands_that_fail_do_not_fill_the_log(start_server: StartServer) -> None:
    server = start_server("--log-lines-per-peer", "5")
    names = [f"failing {number}" for number in range(40)]
    for number, name in enumerate(names):
        imei = IMEI if number % 2 else "no IMEI"  # not connected, or invalid
        server.publish(name, imei=imei)
        server.publish(name, imei=imei)  # a duplicate
    server.statuses(*names)
    server.all_taken()
    assert stopped(server)["commands_duplicate"] == 40
    told = [*server.logged("command_failed"), *server.logged("command_duplicate")]
    assert len(told) == 5
    (left_out,) = server.logged("log_lines_left_out")
    assert (left_out["address"], left_out["lines"]) == (server.outbound, 40 + 40 + 1 - 5)
