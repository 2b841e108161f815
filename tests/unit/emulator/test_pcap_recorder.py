"""What is recorded of a device's connections, as independent readers see it."""

import io
import struct
from pathlib import Path
from random import Random

import dpkt
import pytest
from tiny_server import Answer, TinyServer
from tshark import TSHARK, tshark_fields

from teltonika.codecs import encode_imei
from teltonika.codecs.captures import CapturedSession, Closing, Side, read_capture
from teltonika.emulator import DeviceLink, EmulatorSettings, Transport, assemble_device
from teltonika.emulator.pcap_recorder import PcapRecorder

IMEI = "356307042441013"
DEVICE, SERVER = ("198.51.100.7", 40_000), ("192.0.2.10", 5027)
DEVICE_6, SERVER_6 = ("fe80::1%eth0", 40_001), ("2001:db8::2", 5027)
EXPERT_WARNING = 0x600000


def write_conversations(file: io.BytesIO) -> None:
    """Two connections at once, over IPv4 and IPv6, and two more that end otherwise."""
    recorder = PcapRecorder(file, clock=iter(range(1, 1_000)).__next__)
    first = recorder.opened(DEVICE, SERVER)
    second = recorder.opened(DEVICE_6, SERVER_6)
    first.sent(encode_imei(IMEI))
    second.sent(encode_imei(IMEI))
    first.received(b"\x01")
    first.sent(bytes(10_000))
    second.closed(by_server=True, reset=False)
    first.received(bytes(4))
    first.closed(by_server=False, reset=False)
    recorder.opened(DEVICE, SERVER).closed(by_server=True, reset=True)


def test_each_connection_comes_out_as_it_was_told() -> None:
    file = io.BytesIO()
    write_conversations(file)
    first, second = read_capture(file.getvalue()).sessions
    assert b"".join(p.data for p in first.device) == encode_imei(IMEI) + bytes(10_000)
    assert b"".join(p.data for p in first.server) == b"\x01" + bytes(4)
    assert (first.closed_by, first.closing) == (Side.DEVICE, Closing.FIN)
    assert (first.device_address, first.server_address) == (
        "198.51.100.7:40000",
        "192.0.2.10:5027",
    )
    assert (second.device_address, second.closed_by) == ("[fe80::1]:40001", Side.SERVER)
    assert first.missing == second.missing == 0


@pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")
def test_wireshark_has_nothing_to_complain_about(tmp_path: Path) -> None:
    path = tmp_path / "recorded.pcap"
    file = io.BytesIO()
    write_conversations(file)
    path.write_bytes(file.getvalue())
    fields = tshark_fields(
        path,
        "_ws.malformed",
        "_ws.expert.severity",
        "ip.checksum.status",
        "tcp.checksum.status",
        "tcp.analysis.flags",
        "tcp.analysis.reused_ports",
        "tcp.flags.reset",
    )
    assert len(fields) == len(list(dpkt.pcap.Reader(io.BytesIO(file.getvalue()))))
    for malformed, severities, ip_status, tcp_status, analysis, reused, reset in fields:
        assert (malformed, tcp_status, analysis) == ("", "1", reused)
        assert ip_status in ("1", "")  # IPv6 has none
        levels = [int(severity) for severity in severities.split(",") if severity]
        assert all(level < EXPERT_WARNING for level in levels) or reset in ("1", "True")


def test_the_file_can_be_read_after_every_packet(tmp_path: Path) -> None:
    path = tmp_path / "recorded.pcap"
    with path.open("wb") as file:
        connection = PcapRecorder(file).opened(DEVICE, SERVER)
        for count in range(1, 4):
            connection.sent(encode_imei(IMEI))
            capture = read_capture(path.read_bytes())
            assert capture.broken_at is None
            assert len(capture.sessions[0].device) == count


def test_time_never_goes_back_in_the_file() -> None:
    file = io.BytesIO()
    PcapRecorder(file, clock=iter((5.0, 4.0, 5.999_999_9, 5.5, 7.0)).__next__).opened(
        DEVICE, SERVER
    ).sent(b"two")
    times = [time for time, _ in dpkt.pcap.Reader(io.BytesIO(file.getvalue()))]
    assert [float(time) for time in times] == [5.0, 5.0, 6.0, 6.0]


@pytest.mark.parametrize(("device", "server"), [(DEVICE, SERVER), (DEVICE_6, SERVER_6)])
def test_a_datagram_is_one_frame_with_right_lengths_and_checksum(
    device: tuple[str, int], server: tuple[str, int]
) -> None:
    file = io.BytesIO()
    recording = PcapRecorder(file).opened(device, server, Transport.UDP)
    recording.sent(bytes(range(99)))
    recording.received(b"\x00\x05\x00\x01\x01\x01\x03")
    recording.closed(by_server=False, reset=False)
    file.seek(0)
    frames = [dpkt.ethernet.Ethernet(frame) for _, frame in dpkt.pcap.Reader(file)]
    assert [bytes(frame.data.data.data) for frame in frames] == [
        bytes(range(99)),
        b"\x00\x05\x00\x01\x01\x01\x03",
    ]
    for frame in frames:
        datagram = frame.data.data
        assert isinstance(datagram, dpkt.udp.UDP)
        assert datagram.ulen == len(datagram)
        pseudo = frame.data.src + frame.data.dst + struct.pack(">II", len(datagram), 17)
        assert dpkt.dpkt.in_cksum(pseudo + bytes(datagram)) == 0


async def record(server: TinyServer, **changes: float) -> list[CapturedSession]:
    file = io.BytesIO()
    settings = EmulatorSettings(
        port=server.port,
        records=4,
        start_ms=1_760_000_000_000,
        interval_s=0.0,
        first_retry_s=0.01,
        **changes,  # type: ignore[arg-type]
    )
    device = assemble_device(IMEI, settings, 0)
    await DeviceLink(device, settings, Random(0), recorder=PcapRecorder(file)).run()
    return read_capture(file.getvalue()).sessions


async def test_a_link_records_what_it_sends_and_gets() -> None:
    async with TinyServer() as server:
        (session,) = await record(server)
        packets = b"".join(server.packets[0])
    assert b"".join(p.data for p in session.device) == encode_imei(IMEI) + packets
    assert b"".join(p.data for p in session.server) == b"\x01" + 4 * b"\0\0\0\1"
    assert session.server_address == f"127.0.0.1:{server.port}"
    assert (session.closed_by, session.closing) == (Side.DEVICE, Closing.FIN)


async def test_each_of_its_connections_is_one_and_who_closed_it_is_told() -> None:
    async with TinyServer([Answer.RIGHT, Answer.HANG_UP]) as server:
        first, second = await record(server)
    assert (first.closed_by, second.closed_by) == (Side.SERVER, Side.DEVICE)
    assert b"".join(p.data for p in first.server) == b"\x01"
