"""Behind a load balancer that says with a PROXY header whom it speaks for."""

import socket
import ssl
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from certificates import Certificates
from proxyprotocol.result import ProxyResultIPv4, ProxyResultIPv6, ProxyResultLocal
from proxyprotocol.v2 import ProxyProtocolV2
from serving import IMEI, STREAM, BareDevice, ServerProcess

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_imei, encode_packet

StartServer = Callable[..., ServerProcess]
PACKET = encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(0, 0, 0, 0, 0, 0, 0, 0)])
V2 = ProxyProtocolV2()
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"

TCP4 = b"PROXY TCP4 192.0.2.7 203.0.113.1 40000 5027\r\n"
TCP6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 5027\r\n"
V2_TCP4 = V2.pack(
    ProxyResultIPv4(
        (IPv4Address("192.0.2.7"), 40000),
        (IPv4Address("203.0.113.1"), 5027),
        protocol=socket.SOCK_STREAM,
    )
)
V2_TCP6 = V2.pack(
    ProxyResultIPv6(
        (IPv6Address("2001:db8::7"), 40000),
        (IPv6Address("2001:db8::1"), 5027),
        protocol=socket.SOCK_STREAM,
    )
)
UNKNOWN = b"PROXY UNKNOWN\r\n"
LOCAL = V2.pack(ProxyResultLocal())


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (TCP4, "192.0.2.7:40000"),
        (TCP6, "[2001:db8::7]:40000"),
        (V2_TCP4, "192.0.2.7:40000"),
        (V2_TCP6, "[2001:db8::7]:40000"),
    ],
    ids=["v1 IPv4", "v1 IPv6", "v2 IPv4", "v2 IPv6"],
)
@pytest.mark.parametrize("pieces", [1, 1000], ids=["in one piece", "byte by byte"])
def test_the_peer_is_whom_the_header_names(
    header: bytes, peer: str, pieces: int, start_server: StartServer
) -> None:
    server = start_server("--proxy-protocol")
    everything = header + encode_imei(IMEI) + PACKET
    with BareDevice(server.port, imei=None) as device:
        device.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        size = -(-len(everything) // pieces)
        for start in range(0, len(everything), size):
            device.send(everything[start : start + size])
        assert device.receive(1) == b"\x01"
        assert device.acknowledged() == 1
    assert server.logged("device_connected")[0]["peer"] == peer
    assert server.redis.xlen(STREAM) == 1


@pytest.mark.parametrize("header", [UNKNOWN, LOCAL], ids=["v1 unknown", "v2 local"])
def test_a_balancer_that_names_nobody_is_the_peer_itself(
    header: bytes, start_server: StartServer
) -> None:
    server = start_server("--proxy-protocol")
    with BareDevice(server.port, imei=None) as device:
        device.send(header + encode_imei(IMEI))
        assert device.receive(1) == b"\x01"
    assert server.logged("device_connected")[0]["peer"].startswith("127.0.0.1:")


@pytest.mark.parametrize(
    "header",
    [
        encode_imei(IMEI) + PACKET,
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 192.0.2.7 203.0.113.1 40000\r\n",
        b"PROXY TCP4 192.0.2.7 203.0.113.1 40000 99999\r\n",
        b"PROXY TCP4 2001:db8::7 203.0.113.1 40000 5027\r\n",
        b"PROXY " + b"X" * 200_000,
        SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\x00\x05" + bytes(5),
        SIGNATURE + b"\x21\x11\xff\xff" + bytes(70_000),
        TCP4[:20],
    ],
    ids=[
        "no header",
        "HTTP",
        "a field short",
        "port 99999",
        "IPv6 as IPv4",
        "an endless line",
        "version 3",
        "addresses cut",
        "64 KiB of notes",
        "half a header, and the end",
    ],
)
def test_anything_else_is_closed_in_one_line(header: bytes, start_server: StartServer) -> None:
    server = start_server("--proxy-protocol")
    with BareDevice(server.port, imei=None) as device:
        try:
            device.send(header)
            device.socket.shutdown(socket.SHUT_WR)
        except OSError:  # it was closed before all was sent
            pass
        assert device.closed_by_server()
    server.stop()
    assert server.logged("stopped")[0]["proxy_header_failures"] == 1
    assert len(server.logged("proxy_header_failed")) == 1
    assert "Traceback" not in server.log_text()


def test_a_header_that_never_comes_is_not_waited_for_long(start_server: StartServer) -> None:
    server = start_server("--proxy-protocol", "--handshake-timeout", "0.5")
    with BareDevice(server.port, imei=None) as device:
        device.send(TCP4[:10])
        assert device.closed_by_server()
    assert len(server.logged("handshake_timeout")) == 1


def test_without_the_option_a_header_is_not_guessed(server: ServerProcess) -> None:
    with BareDevice(server.port, imei=None) as device:
        device.send(TCP4 + encode_imei(IMEI))
        assert device.closed_by_server()
    assert server.logged("protocol_violation")[0]["code"] == "imei_length"


def test_limits_and_log_lines_count_for_whom_the_header_names(start_server: StartServer) -> None:
    server = start_server("--proxy-protocol", "--max-per-address", "1")

    def connect(header: bytes) -> BareDevice:
        device = BareDevice(server.port, imei=None)
        device.send(header + encode_imei(IMEI))
        return device

    with connect(TCP4) as first:
        assert first.receive(1) == b"\x01"
        with connect(V2_TCP4) as second, connect(TCP6) as other:
            assert second.closed_by_server()
            assert other.receive(1) == b"\x01"
    assert server.logged("connection_refused")[0]["peer"] == "192.0.2.7:40000"


def test_the_header_stands_before_tls(start_server: StartServer, tmp_path: Path) -> None:
    """In the same segment as the beginning of TLS, as a balancer sends it."""
    certificates = Certificates(tmp_path / "certificates")
    server = start_server(
        *("--proxy-protocol", "--tls-cert", str(certificates.server_cert)),
        *("--tls-key", str(certificates.server_key)),
    )
    context = ssl.create_default_context(cafile=certificates.ca)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with BareDevice(server.port, imei=None) as device:

        def do(step: Callable[[], object]) -> object:
            while True:
                try:
                    result = step()
                except ssl.SSLWantReadError:
                    device.send(outgoing.read())
                    incoming.write(device.socket.recv(65_536))
                else:
                    device.send(outgoing.read())
                    return result

        with pytest.raises(ssl.SSLWantReadError):
            session.do_handshake()
        device.send(TCP4 + outgoing.read())
        do(session.do_handshake)
        do(lambda: session.write(encode_imei(IMEI)))
        assert do(lambda: session.read(1)) == b"\x01"
    assert server.logged("device_connected")[0]["peer"] == "192.0.2.7:40000"
