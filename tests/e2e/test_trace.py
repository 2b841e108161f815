"""Devices whose frames are told: in the server's log, and live by `teltonika trace`."""

import json
import signal
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from datagrams import datagram, records
from own_valkey import OwnValkey
from samples import HANDSHAKE, PACKET, framed
from serving import (
    IMEI,
    BareDatagrams,
    BareDevice,
    ServerProcess,
    run_teltonika,
    wait_for_entry,
)
from watching import Watcher

from teltonika.codecs import encode_imei

StartServer = Callable[..., ServerProcess]
TRACED = "devices:traced"
OTHER = "356307042441021"
ACK_OF_1 = "00000001"
BROKEN = framed(b"\x08\x01\x00\x01", crc_change=1)


def frames(server: ServerProcess, imei: str = IMEI, *, at_least: int = 0) -> list[tuple[str, str]]:
    """Event and hex of all that was told of a device, once so much was told of all."""
    lines = server.logged("frame_received", "frame_sent", at_least=at_least)
    return [(line["event"], line["hex"]) for line in lines if line["imei"] == imei]


def traced(server: ServerProcess, *imeis: str) -> None:
    """Return once the server knows that these are traced, and no other."""
    before = len(server.logged_so_far("traced_devices"))
    server.redis.delete(TRACED)
    if imeis:
        server.redis.sadd(TRACED, *imeis)
    while [line["devices"] for line in server.logged_so_far("traced_devices")[before:]][-1:] != [
        len(imeis)
    ]:
        pass


def send(device: BareDevice, packet: bytes = PACKET) -> None:
    device.send(packet)
    assert device.acknowledged() == 1


def test_a_device_that_connects_is_told_from_the_first_byte(server: ServerProcess) -> None:
    traced(server, IMEI)
    with BareDevice(server.port, imei=None) as device, BareDevice(server.port, OTHER) as other:
        device.send(HANDSHAKE + PACKET[:30])
        assert device.receive(1) == b"\x01"
        device.send(PACKET[30:] + BROKEN)
        assert device.acknowledged() == 1
        send(other)
        server.publish("c1", "getver")
        command = device.command()
        device.answer(command, b"Ver:1")
        server.ending("c1")
        device.send(PACKET[:10])
        device.socket.shutdown(1)
        assert device.closed_by_server()
    server.wait_for_log("device_disconnected")
    told = frames(server)
    assert told[:2] == [("frame_received", HANDSHAKE.hex()), ("frame_sent", "01")]
    assert ("frame_sent", ACK_OF_1) in told
    assert [data for event, data in told if event == "frame_received"] == [
        HANDSHAKE.hex(),
        PACKET.hex(),
        BROKEN.hex(),
        told[-2][1],
        PACKET[:10].hex(),
    ]
    assert frames(server, OTHER) == []
    lines = server.logged("frame_received")
    assert [line["summary"].split(",")[0].split(":")[0] for line in lines] == [
        f"IMEI {IMEI}",
        "AVL packet",
        "error crc_mismatch",
        "response",
        "error truncated",
    ]
    assert lines[1]["ts"].endswith("Z")
    assert lines[1]["peer"].startswith("127.0.0.1:")
    assert server.logged("frame_sent")[-1]["summary"] == "command, codec 12: getver"


def test_a_device_that_is_connected_is_told_from_its_next_frame(server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        send(device)
        device.send(PACKET[:20])
        send_half = PACKET[20:]
        traced(server, IMEI)
        device.send(send_half)
        assert device.acknowledged() == 1
        told = frames(server, at_least=2)
        assert told == [("frame_received", PACKET.hex()), ("frame_sent", ACK_OF_1)]
        traced(server)
        send(device)
        assert len(frames(server)) == 2


def test_a_device_that_is_turned_away_is_told(start_server: StartServer) -> None:
    server = start_server("--authority", "allow-list", "--strict")
    traced(server, IMEI)
    with BareDevice(server.port, imei=None) as device:
        device.send(encode_imei(IMEI))
        assert device.receive(1) == b"\x00"
    told = frames(server, at_least=2)
    assert told == [("frame_received", HANDSHAKE.hex()), ("frame_sent", "00")]


def test_datagrams_are_told(start_server: StartServer) -> None:
    server = start_server("--udp-port", "0")
    traced(server, IMEI)
    with BareDatagrams(server.udp_port) as device:
        sent = datagram(records(1))
        device.send(sent)
        answer = device.answer()
    told = frames(server, at_least=2)
    assert told == [("frame_received", sent.hex()), ("frame_sent", answer.hex())]


def test_more_than_may_be_told_in_a_second_is_counted(server: ServerProcess) -> None:
    traced(server, IMEI)
    with BareDevice(server.port) as device:
        for _ in range(5):
            device.send(PACKET * 100)
            for _ in range(100):
                assert device.acknowledged() == 1
        server.wait_for_log("frames_left_out")
        send(device)
    server.stop()
    left_out = sum(line["frames"] for line in server.logged("frames_left_out"))
    assert len(frames(server)) + left_out == 2 * 502


def test_with_redis_away_what_was_read_last_holds(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server(redis_url=valkey.url)
    client.sadd(TRACED, IMEI)
    server.wait_for_log("traced_devices")
    with BareDevice(server.port) as device:
        valkey.kill()
        server.wait_for_log("traced_devices_not_read")
        device.send(BROKEN)
        server.wait_for_log("crc_failed")
        assert frames(server)[-1] == ("frame_received", BROKEN.hex())
        client = valkey.start()
        client.delete(TRACED)
        while server.logged_so_far("traced_devices")[-1]["devices"]:
            pass
        send(device)
    assert frames(server)[-1] == ("frame_received", BROKEN.hex())
    client.close()


def trace(server: ServerProcess, *arguments: str) -> Any:
    return run_teltonika("trace", *arguments, "--data-dir", str(server.data_dir))


def test_on_off_and_who_is_traced(server: ServerProcess) -> None:
    assert trace(server).stdout == "No device is traced.\n"
    with BareDevice(server.port):
        wait_for_entry(server.redis, IMEI, server.instance_id)
        on = trace(server, IMEI)
        assert on.stdout == (
            f"{IMEI} is traced: its frames go to the server's log; "
            f"it is connected to {server.instance_id}\n"
        )
        assert "was traced already" in trace(server, IMEI).stdout
        assert "not connected now" in trace(server, OTHER).stdout
        listed = [json.loads(line) for line in trace(server, "--json").stdout.splitlines()]
        assert listed == [
            {"imei": IMEI, "instance_id": server.instance_id},
            {"imei": OTHER, "instance_id": None},
        ]
        assert server.instance_id in trace(server).stdout
    assert trace(server, IMEI, "--off").stdout == f"{IMEI} is traced no more\n"
    assert trace(server, IMEI, "--off").stdout == f"{IMEI} was not traced\n"
    off = json.loads(trace(server, OTHER, "--off", "--json").stdout)
    assert off == {"imei": OTHER, "traced": False, "changed": True, "instance_id": None}
    assert not server.redis.exists(TRACED)


@pytest.fixture
def follower(server: ServerProcess) -> Iterator[Callable[..., Watcher]]:
    """Starts followers that the server knows of."""
    started: list[Watcher] = []

    def start(*options: str) -> Watcher:
        arguments = ("trace", IMEI, "--follow", "--data-dir", str(server.data_dir), *options)
        watcher = Watcher(*arguments)
        started.append(watcher)
        assert "following" in watcher.said()
        server.wait_for_log("traced_devices")
        return watcher

    yield start
    for watcher in started:
        watcher.__exit__(None, None, None)


def test_follow_shows_annotated_frames(
    server: ServerProcess, follower: Callable[..., Watcher]
) -> None:
    watcher = follower()
    with BareDevice(server.port) as device:
        send(device)
        lines = []
        while "ACK of 1 record" not in (line := watcher.line()):
            lines.append(line)
    text = "".join(lines)
    assert f"device > 17 bytes: IMEI {IMEI}" in text
    assert "server < 1 byte: IMEI accepted" in text
    assert "device > 66 bytes: AVL packet, codec 8, 1 record, 2019-06-10T10:04:46.000Z" in text
    assert "External Voltage" in text or "GSM Signal = " in text
    assert "longitude" in text
    code, _, said = watcher.stop()
    assert (code, said) == (0, "")
    assert not server.redis.exists(TRACED)


def test_follow_as_json_and_left_on_if_it_was(
    server: ServerProcess, follower: Callable[..., Watcher]
) -> None:
    server.redis.sadd(TRACED, IMEI)
    watcher = follower("--json")
    for nonsense in ("no frame", "{}", '{"event": "frame_sent", "hex": "x"}'):
        server.redis.publish(f"{TRACED}:frames:{IMEI}", nonsense)
    with BareDevice(server.port) as device:
        send(device)
        told = [json.loads(watcher.line()) for _ in range(4)]
    assert [one["event"] for one in told] == ["frame_received", "frame_sent"] * 2
    assert (
        told[2].items()
        >= {
            "imei": IMEI,
            "instance_id": server.instance_id,
            "transport": "tcp",
            "size": len(PACKET),
            "hex": PACKET.hex(),
            "cut": False,
        }.items()
    )
    assert watcher.stop(signal.SIGTERM)[0] == 0
    assert server.redis.smembers(TRACED) == {IMEI}


def test_a_second_signal_does_not_keep_follow_from_turning_it_off(
    server: ServerProcess, follower: Callable[..., Watcher]
) -> None:
    """`timeout` sends two, and so does an impatient person, while Redis takes its time."""
    watcher = follower()
    process = psutil.Process(watcher.process.pid)
    valkey = psutil.Process(server.valkey_pid)
    valkey.suspend()
    before = len(process.net_connections("unix"))
    watcher.process.send_signal(signal.SIGINT)
    while len(process.net_connections("unix")) == before:
        pass  # it listens no more, and is about to turn it off
    watcher.process.send_signal(signal.SIGINT)
    watcher.process.send_signal(signal.SIGTERM)
    valkey.resume()
    assert watcher.process.wait(timeout=30) == 0
    assert not server.redis.exists(TRACED)


def test_follow_ends_and_turns_off_when_nobody_reads(
    server: ServerProcess, follower: Callable[..., Watcher]
) -> None:
    watcher = follower()
    assert watcher.process.stdout is not None
    watcher.process.stdout.close()
    assert watcher.process.wait(timeout=30) == 0
    assert watcher.said() == ""
    assert not server.redis.exists(TRACED)


def test_of_two_followers_the_first_to_go_leaves_it_on(
    server: ServerProcess, follower: Callable[..., Watcher]
) -> None:
    first, second = follower("--json"), follower("--json")
    code, _, said = first.stop()
    assert (code, "stays traced" in said) == (0, True)
    with BareDevice(server.port):
        assert json.loads(second.line())["hex"] == HANDSHAKE.hex()


def test_follow_ends_when_somebody_turns_it_off(
    server: ServerProcess, follower: Callable[..., Watcher]
) -> None:
    watcher = follower()
    assert trace(server, IMEI, "--off").returncode == 0
    assert watcher.process.wait(timeout=30) == 0
    assert "taken out of devices:traced" in watcher.said()


def test_follow_goes_on_when_redis_is_back(valkey: OwnValkey, start_server: StartServer) -> None:
    client = valkey.start()
    server = start_server(redis_url=valkey.url)
    with Watcher("trace", IMEI, "--follow", "--json", "--redis", valkey.url) as watcher:
        assert "following" in watcher.said()
        server.wait_for_log("traced_devices")
        valkey.kill()
        assert "Redis is away" in watcher.said()
        client = valkey.start()
        while not client.pubsub_numsub(f"{TRACED}:frames:{IMEI}")[0][1]:
            pass
        with BareDevice(server.port) as device:
            send(device)
            assert json.loads(watcher.line())["event"] == "frame_received"
        assert watcher.stop()[0] == 0
    assert not client.exists(TRACED)
    client.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("12",), "15 digits"),
        (("--off",), "for which device?"),
        (("--follow",), "for which device?"),
        ((IMEI, "--off", "--follow"), "one of them at a time"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], said: str, server: ServerProcess) -> None:
    result = trace(server, *arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
