"""Whatever else comes in at the port ends in one log line and disturbs nobody."""

import random
import signal
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack

import psutil
import pytest
from own_valkey import OwnValkey
from serving import IMEI, STREAM, BareDevice, ServerProcess

from teltonika.codecs import (
    AVL_CODECS,
    AvlRecord,
    consecutive_imeis,
    crc16_ibm,
    encode_imei,
    encode_packet,
)

StartServer = Callable[..., ServerProcess]
GHOST = "356307042441021"
PACKET, NEXT_PACKET = (
    encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(ms, 0, 0, 0, 0, 0, 0, 0)]) for ms in (0, 1000)
)


def framed(data: bytes) -> bytes:
    """A data field with a right length and a right CRC, whatever stands in it."""
    return struct.pack(">II", 0, len(data)) + data + crc16_ibm(data).to_bytes(4)


HANDSHAKE = encode_imei(GHOST)
BEFORE_HANDSHAKE = {
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100f1010000ed0303") + random.Random(1).randbytes(200),
    "an IMEI length of 65,535": b"\xff\xff" + b"1" * 200,
    "an IMEI with a letter": b"\x00\x0f35630704244101X",
    "an IMEI of other digits": b"\x00\x0f" + "٣".encode() * 7 + b"1",
    "random bytes": b"\x80" + random.Random(2).randbytes(5000),
    "half a handshake": HANDSHAKE[:9],
    "a packet without a handshake": PACKET,
}
AFTER_HANDSHAKE = {
    "a broken preamble": HANDSHAKE + b"\x00\x00\x01\x00" + PACKET[4:],
    "a length of 4 GB": HANDSHAKE + b"\x00\x00\x00\x00\xff\xff\xff\xff",
    "a length of 0": HANDSHAKE + bytes(12),
    "half a packet": HANDSHAKE + PACKET[:30],
    "a second number of data that differs": HANDSHAKE + framed(PACKET[8:-5] + b"\x02"),
    "255 records announced, one there": HANDSHAKE + framed(b"\x08\xff" + PACKET[10:-4]),
    "fewer IO elements than their total says": HANDSHAKE
    + framed(b"\x08\x01" + bytes(24) + b"\x00\x05" + bytes(4) + b"\x01"),
    "more IO elements than bytes": HANDSHAKE
    + framed(b"\x08\x01" + bytes(24) + b"\x00\xff\xff" + bytes(10) + b"\x01"),
    "NX lengths past the end": HANDSHAKE
    + framed(b"\x8e\x01" + bytes(24) + bytes(2) + b"\x00\x01" + bytes(8) + b"\x00\x01\x01\x81"
             b"\xff\xff" + b"\x01"),
    "an unknown codec": HANDSHAKE + framed(b"\x07\x00\x00"),
}  # fmt: skip


@pytest.mark.parametrize("name", [*BEFORE_HANDSHAKE, *AFTER_HANDSHAKE])
def test_garbage_ends_in_one_line_and_disturbs_no_other_device(
    server: ServerProcess, name: str
) -> None:
    garbage = (BEFORE_HANDSHAKE | AFTER_HANDSHAKE)[name]
    with BareDevice(server.port) as device:
        device.send(PACKET)
        assert device.acknowledged() == 1
        with BareDevice(server.port, imei=None) as ghost:
            ghost.send(garbage)
            if name.startswith("half"):
                ghost.socket.shutdown(socket.SHUT_WR)
            answered = ghost.receive(1 if name in AFTER_HANDSHAKE else 0)
            assert ghost.closed_by_server()
        assert answered == (b"\x01" if name in AFTER_HANDSHAKE else b"")
        device.send(NEXT_PACKET)
        assert device.acknowledged() == 1
    assert server.redis.xlen(STREAM) == 2
    assert server.stop() == 0
    told = [line for line in server.log() if line.get("imei") != IMEI and "peer" in line]
    told = [line for line in told if line["event"] != "device_connected"]
    assert len(told) == 1, told
    assert told[0]["level"] == "warning"
    assert told[0]["event"] == ("unknown_codec" if "codec" in name else "protocol_violation")
    assert "Traceback" not in (server.data_dir / "stderr.log").read_text()


def test_a_handshake_has_a_time_limit_however_slowly_its_bytes_come(
    start_server: StartServer,
) -> None:
    server = start_server("--handshake-timeout", "1")
    start = time.monotonic()
    with BareDevice(server.port, imei=None) as device:
        device.socket.settimeout(0.2)
        with pytest.raises(OSError, match=r"reset|Broken pipe|closed"):
            for byte in HANDSHAKE[:-1] * 10:
                device.send(bytes((byte,)))
                try:
                    if device.socket.recv(1) == b"":
                        raise ConnectionResetError("closed by the server")
                except TimeoutError:
                    pass
    assert time.monotonic() - start < 20
    assert len(server.logged("handshake_timeout")) == 1


def test_a_silent_device_is_closed_after_the_idle_limit(start_server: StartServer) -> None:
    server = start_server("--idle-timeout", "1", "--handshake-timeout", "100")
    with BareDevice(server.port) as device:
        assert device.closed_by_server()
    assert server.logged("device_disconnected")[0]["reason"] == "idle timeout"


def test_a_packet_over_the_limit_is_refused_and_one_under_it_taken(
    start_server: StartServer,
) -> None:
    server = start_server("--max-packet-size", str(len(PACKET)))
    with BareDevice(server.port) as device:
        device.send(PACKET)
        assert device.acknowledged() == 1
        device.send(encode_packet(AVL_CODECS.by_name("8E"), [AvlRecord(0, 0, 0, 0, 0, 0, 0, 0)]))
        assert device.closed_by_server()
    assert server.logged("protocol_violation")[0]["code"] == "packet_too_large"


def flood(device: BareDevice) -> int:
    """Send packets until the server reads no more; how many bytes that were."""
    device.socket.settimeout(0.5)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 100_000_000:
            sent += device.socket.send(PACKET * 1000)
    device.socket.settimeout(30)
    return sent


def test_a_device_that_floods_and_never_reads_is_slowed_down(server: ServerProcess) -> None:
    with BareDevice(server.port) as flooding, BareDevice(server.port, GHOST) as device:
        flood(flooding)
        device.send(PACKET)
        assert device.acknowledged() == 1
        assert server.redis.xlen(STREAM) > 1


def test_one_device_s_unconfirmed_packets_are_bounded(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    valkey.start().close()
    server = start_server(redis_url=valkey.url)
    with BareDevice(server.port) as flooding, BareDevice(server.port, GHOST) as device:
        valkey.signal(signal.SIGSTOP)
        before = resident_bytes(server)
        flood(flooding)
        assert resident_bytes(server) - before < 30_000_000
        device.send(PACKET)
        valkey.signal(signal.SIGCONT)
        assert device.acknowledged() == 1


def test_all_devices_unconfirmed_packets_are_bounded_however_late_they_come(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    """Each is far below its own limit, and the last come when the limit of all is reached."""
    valkey.start().close()
    server = start_server("--max-unconfirmed-bytes", "65536", redis_url=valkey.url)
    with ExitStack() as stack:
        imeis = consecutive_imeis("356307042440007", 8)
        early, *others = [stack.enter_context(BareDevice(server.port, imei)) for imei in imeis]
        valkey.signal(signal.SIGSTOP)
        for device in (early, *others):
            device.send(PACKET * 200)
        server.wait_for_log("backpressure")
        late = stack.enter_context(BareDevice(server.port, imei=None))
        before = resident_bytes(server)
        late.send(encode_imei(GHOST))
        assert late.silent_for(0.5)
        flood(late)
        assert resident_bytes(server) - before < 30_000_000
        valkey.signal(signal.SIGCONT)
        assert early.acknowledged() == 1
        assert late.receive(1) == b"\x01"
        assert late.acknowledged() == 1


def resident_bytes(server: ServerProcess) -> int:
    return int(psutil.Process(server.process.pid).memory_info().rss)


def test_a_device_that_waits_for_its_ack_is_not_idle(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    valkey.start().close()
    server = start_server("--idle-timeout", "1", redis_url=valkey.url)
    with BareDevice(server.port) as device:
        valkey.signal(signal.SIGSTOP)
        device.send(PACKET)
        assert device.silent_for(3)
        valkey.signal(signal.SIGCONT)
        assert device.acknowledged() == 1
