"""Datagrams to a running server: what lands on the stream, and what is answered."""

import json
import random
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from datagrams import answer, datagram, records
from own_valkey import OwnValkey
from payloads import expected_payload
from samples import Sample, of_kind, sample
from serving import (
    IMEI,
    MESSAGES,
    REGISTRY,
    STREAM,
    BareDatagrams,
    BareDevice,
    ServerProcess,
    run_teltonika,
)

from teltonika.codecs.framing import encode_frame
from teltonika.codecs.timestamps import format_timestamp
from teltonika.server.datagram_intake import GIVEN_UP_AFTER_S, WAITING_BYTES

StartServer = Callable[..., ServerProcess]
OTHER = "356307042441021"
WRONG_LUHN = "356307042441014"
UDP = ("--udp-port", "0")
ALLOWED = "devices:allowed"


@pytest.fixture
def udp_server(start_server: StartServer) -> ServerProcess:
    return start_server(*UDP)


def stored(server: ServerProcess) -> list[int]:
    return [payload["altitude"] for payload in server.payloads()]


def stopped(server: ServerProcess) -> dict[str, int]:
    """What the server counted."""
    assert server.stop() == 0
    assert "Traceback" not in server.log_text()
    (line,) = server.logged("stopped")
    return line


@pytest.mark.parametrize("documented", of_kind("avl", transport="udp"), ids=str)
def test_a_documented_datagram_lands_as_published_and_gets_its_documented_answer(
    documented: Sample, udp_server: ServerProcess
) -> None:
    with BareDatagrams(udp_server.udp_port) as device:
        device.send(documented.data)
        expected = answer(len(documented.records), 0xCAFE, documented.data[5])
        assert device.answer() == expected
        assert len(expected) < len(documented.data)
    imei = documented.expected["imei"]
    published = [
        expected_payload(imei, one | {"timestamp": format_timestamp(one["timestamp_ms"])})
        for one in documented.expected["records"]
    ]
    assert udp_server.payloads() == published
    (codec,) = {entry["codec"] for entry in udp_server.entries()}
    assert codec == documented.expected["codec"]


def test_the_listening_line_names_the_udp_port_where_there_is_one(
    start_server: StartServer,
) -> None:
    fields = {"event", "host", "port", "redis", "instance_id", "pid"}
    without = start_server(data_dir="without")
    assert without.listening.keys() == fields
    server = start_server(*UDP)
    assert server.listening.keys() == fields | {"udp_port"}
    assert server.logged("listening")[0]["udp_port"] == server.udp_port
    again = run_teltonika(
        *("serve", "--host", "127.0.0.1", "--port", "0", "--udp-port", str(server.udp_port)),
        *("--data-dir", str(server.data_dir.parent / "again")),
    )
    assert again.returncode == 1
    assert f"cannot listen on UDP 127.0.0.1:{server.udp_port}: Address already" in again.stderr
    assert "Traceback" not in again.stderr


def test_there_is_no_answer_before_redis_has_confirmed(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server(*UDP, redis_url=valkey.url)
    with BareDatagrams(server.udp_port) as device:
        valkey.signal(signal.SIGSTOP)
        device.send(datagram(records(1)))
        assert device.silent_for(0.5)
        device.send(datagram(records(1)))  # no answer came
        assert device.silent_for(0.5)
        valkey.signal(signal.SIGCONT)
        assert device.answer() == answer(1)
        assert device.silent_for(0.2)
    assert client.xlen(STREAM) == 1
    assert stopped(server)["datagrams_repeated"] == 1
    client.close()


def test_a_resent_datagram_is_answered_again_and_stored_once_by_any_instance(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    valkey.start().close()
    for name in ("a", "b"):
        server = start_server(*UDP, "--instance-id", name, data_dir=name, redis_url=valkey.url)
        for _ in range(2):
            with BareDatagrams(server.udp_port) as device:  # from another port each time
                for _ in range(2):
                    device.send(datagram(records(1, 2)))
                    assert device.answer() == answer(2)
    assert stored(server) == [1, 2]


def test_what_waits_for_redis_here_is_not_stored_after_the_device_went_to_another_instance(
    valkey: OwnValkey, start_server: StartServer, tmp_path: Path
) -> None:
    """Redis is away for one instance only, until the device was not heard of for long."""
    client = valkey.start()
    way = tmp_path / "way.sock"
    way.symlink_to(valkey.socket)
    cut_off = start_server(*UDP, "--instance-id", "a", data_dir="a", redis_url=f"unix://{way}")
    other = start_server(*UDP, "--instance-id", "b", data_dir="b", redis_url=valkey.url)
    way.unlink()
    client.client_kill_filter(_type="normal", skipme=True)
    with BareDatagrams(cut_off.udp_port) as device, BareDatagrams(other.udp_port) as moved:
        device.send(datagram(records(0)))
        for number in range(100):
            moved.send(datagram(records(number), number))
            assert moved.answer() == answer(1, number)
        assert device.silent_for(GIVEN_UP_AFTER_S + 2)
        way.symlink_to(valkey.socket)
        device.send(datagram(records(100)))
        assert device.answer() == answer(1)
    assert stored(other) == list(range(101))
    client.close()


def test_the_same_ids_with_other_content_are_another_datagram(udp_server: ServerProcess) -> None:
    with BareDatagrams(udp_server.udp_port) as device:
        for numbers in ((1, 2), (3,), (3, 4, 1)):
            device.send(datagram(records(*numbers)))
            assert device.answer() == answer(len(numbers))
    assert stored(udp_server) == [1, 2, 3, 4]


def test_what_was_under_way_when_redis_died_is_stored_once_and_answered(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    """More records of one device than digests are kept of: it does not wait for answers."""
    valkey.start().close()
    server = start_server(*UDP, redis_url=valkey.url)
    with BareDatagrams(server.udp_port) as device:
        for number in range(20):
            device.send(datagram(records(*range(40 * number, 40 * number + 40)), number))
        answers = [device.answer()]
        valkey.kill()
        client = valkey.start()
        answers += [device.answer() for _ in range(19)]
    assert answers == [answer(40, number) for number in range(20)]
    assert stored(server) == list(range(800))
    client.close()


def test_a_device_may_use_tcp_and_udp_by_turns_and_neither_disturbs_the_other(
    udp_server: ServerProcess,
) -> None:
    with (
        BareDevice(udp_server.port) as connected,
        BareDatagrams(udp_server.udp_port) as device,
    ):
        for number in range(0, 20, 2):
            connected.send(encode_frame(records(number)))
            assert connected.acknowledged() == 1
            device.send(datagram(records(number, number + 1)))
            assert device.answer() == answer(2)
        assert udp_server.redis.hgetall(REGISTRY) == {IMEI: udp_server.instance_id}
    assert stored(udp_server) == list(range(20))


def test_udp_leaves_the_registry_alone(udp_server: ServerProcess) -> None:
    with BareDatagrams(udp_server.udp_port) as device:
        device.send(datagram(records(1)))
        assert device.answer() == answer(1)
    udp_server.publish("c1")
    assert udp_server.ending("c1") == ("failed", "not_connected")
    assert udp_server.redis.exists(REGISTRY) == 0


def test_strangers_and_wrong_check_digits_get_no_answer(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    client.sadd(ALLOWED, IMEI, WRONG_LUHN)
    options = ("--authority", "allow-list", "--strict", "--require-luhn")
    server = start_server(*UDP, *options, redis_url=valkey.url)
    with BareDatagrams(server.udp_port) as device:
        for imei in (OTHER, WRONG_LUHN):
            device.send(datagram(records(1), imei=imei))
            device.send(datagram(sample("codec13-corrected").data[8:-4], imei=imei))
        device.send(datagram(records(2), packet_id=7))
        assert device.answer() == answer(1, packet_id=7)
        assert device.silent_for(0.2)
    assert stored(server) == [2]
    assert not client.exists(MESSAGES)
    assert client.hkeys("{telemetry:teltonika}:dedupe") == [IMEI]
    lines = server.logged("datagram_refused", at_least=4)
    assert {(line["imei"], line["reason"]) for line in lines} == {
        (OTHER, "not on the allow-list"),
        (WRONG_LUHN, "the IMEI's check digit is wrong"),
    }
    assert stopped(server)["datagrams_refused"] == 4
    client.close()


def test_unknown_devices_are_labelled_where_none_is_turned_away(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    client.sadd(ALLOWED, IMEI)
    server = start_server(*UDP, "--authority", "allow-list", redis_url=valkey.url)
    with BareDatagrams(server.udp_port) as device:
        for imei in (IMEI, OTHER):
            device.send(datagram(records(1), imei=imei))
            assert device.answer() == answer(1)
    (line,) = server.logged("datagram_of_unknown_device")
    assert (line["imei"], line["known"]) == (OTHER, False)
    client.close()


def test_what_is_no_datagram_gets_no_answer_and_the_server_lives(
    start_server: StartServer,
) -> None:
    server = start_server(*UDP, "--max-packet-size", "1000", "--log-lines-per-peer", "5")
    whole = datagram(records(1))
    chance = random.Random(5)
    broken = [
        *(whole[:length] for length in range(len(whole))),
        *(chance.randbytes(chance.randrange(100)) for _ in range(100)),
        whole + b"\x00",
        datagram(records(*range(255))),
        sample("codec16-udp-published").data,
        encode_frame(records(1)),
        answer(1),
    ]
    with BareDatagrams(server.udp_port) as device:
        for one in broken:
            device.send(one)
        assert device.silent_for(0.3)
        device.send(whole)
        assert device.answer() == answer(1)
    counted = stopped(server)
    assert counted["datagrams_broken"] == len(broken)
    assert (counted["packets_too_large"], counted["datagrams"]) == (1, 1)
    assert len(server.logged("datagram_broken")) == 5
    (left_out,) = server.logged("log_lines_left_out")
    assert left_out["lines"] == counted["log_lines_left_out"] >= len(broken) - 5


def test_texts_are_messages_and_get_no_answer(udp_server: ServerProcess) -> None:
    texts = [sample(name).data[8:-4] for name in ("codec13-corrected", "codec15-hello")]
    with BareDatagrams(udp_server.udp_port) as device:
        for text in texts:
            device.send(datagram(text))
        assert device.silent_for(0.3)
        device.send(datagram(records(1)))
        assert device.answer() == answer(1)
    entries: list[tuple[str, dict[str, str]]] = []
    while len(entries) < 2:
        after = entries[-1][0] if entries else "0"
        ((_, more),) = udp_server.redis.xread({MESSAGES: after}, block=30_000)
        entries += more
    fields = [fields for _, fields in entries]
    assert [(f["device_id"], f["codec"], f["text"]) for f in fields] == [
        (IMEI, "13", "getinfo"),
        (IMEI, "15", "Hello!\n"),
    ]


def test_an_answer_to_a_command_is_not_taken_from_a_datagram(udp_server: ServerProcess) -> None:
    """Anyone can name the IMEI in one."""
    forged = sample("codec12-getinfo-response").data[8:-4]
    with BareDevice(udp_server.port) as connected, BareDatagrams(udp_server.udp_port) as device:
        udp_server.publish("c1")
        command = connected.command()
        device.send(datagram(forged))
        assert udp_server.redis.xread({MESSAGES: "0"}, block=30_000)
        connected.answer(command, b"mine")
        assert udp_server.ending("c1") == ("responded", None)
        assert udp_server.statuses("c1")[-1]["response"] == "mine"


def test_what_was_read_before_a_stop_is_stored_and_answered_and_no_more(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server(*UDP, redis_url=valkey.url)
    with BareDatagrams(server.udp_port) as device, BareDatagrams(server.udp_port) as late:
        valkey.signal(signal.SIGSTOP)
        for number in (1, 2):
            device.send(datagram(records(number), number))
        assert device.silent_for(0.5)
        server.process.terminate()
        server.wait_for_log("draining")
        late.send(datagram(records(3), 3))
        assert late.silent_for(0.5)
        valkey.signal(signal.SIGCONT)
        assert [device.answer(), device.answer()] == [answer(1, 1), answer(1, 2)]
        assert server.process.wait(timeout=30) == 0
        with pytest.raises(ConnectionRefusedError):  # on loopback the system tells
            for _ in range(2):
                late.send(datagram(records(3), 3))
                late.answer()
    assert client.xlen(STREAM) == 2
    assert "Traceback" not in server.log_text()
    client.close()


def test_a_stop_waits_no_longer_than_it_may_for_redis(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server(*UDP, "--drain-timeout", "0.5", redis_url=valkey.url)
    with BareDatagrams(server.udp_port) as device:
        valkey.signal(signal.SIGSTOP)
        device.send(datagram(records(1)))
        assert device.silent_for(0.3)
        server.process.terminate()
        assert server.process.wait(timeout=30) == 0
        valkey.signal(signal.SIGCONT)
        with pytest.raises(ConnectionRefusedError):
            device.send(datagram(records(1)))
            device.answer()
    (line,) = server.logged("drain_timeout")
    assert (line["connections"], line["unconfirmed_packets"]) == (0, 1)
    client.close()


def test_a_flood_while_redis_is_away_fills_no_memory_and_ends_with_it(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server(*UDP, "--max-unconfirmed-bytes", "65536", redis_url=valkey.url)
    with BareDatagrams(server.udp_port) as device:
        valkey.signal(signal.SIGSTOP)
        for number in range(2_000):
            device.send(datagram(records(1), imei=f"{number:015d}"))
            if number % 50 == 0:
                assert device.silent_for(0.01)  # let the server read
        valkey.signal(signal.SIGCONT)
        while not device.silent_for(0.2):  # the answers to those that were taken
            pass
        device.send(datagram(records(2), packet_id=9))
        assert device.answer() == answer(1, packet_id=9)
    counted = stopped(server)
    assert counted["datagrams_dropped"] > 1_000
    assert 10 < counted["datagrams"] < 65_536 / WAITING_BYTES
    assert counted["datagrams"] == counted["records_stored"] == client.xlen(STREAM)
    client.close()


def test_one_port_is_open_on_every_address_of_ipv6_too(start_server: StartServer) -> None:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("there is no IPv6 here")
    server = start_server(*UDP, "--host", "::")
    with BareDatagrams(server.udp_port) as device:
        device.send(datagram(records(1)))
        assert device.answer() == answer(1)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
        six.settimeout(30)
        six.connect(("::1", server.udp_port))
        six.send(b"garbage")
        six.send(datagram(records(2)))
        assert six.recv(100) == answer(1)
    assert server.logged("datagram_broken")[0]["peer"].startswith("[::1]:")


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_that_is_none_is_wrong_usage(port: str) -> None:
    result = run_teltonika("serve", "--udp-port", port)
    assert result.returncode == 2
    assert "--udp-port" in result.stderr


def test_an_emulated_device_loses_datagrams_and_answers_and_no_record(
    udp_server: ServerProcess,
) -> None:
    result = run_teltonika(
        *("emulate", "--imei", IMEI, "--transport", "udp", "--port", str(udp_server.udp_port)),
        *("--records", "1000", "--interval", "0", "--ack-timeout", "0.1", "--json"),
        *("--fault", "drop=0.1,drop-ack=0.1"),
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["records_resent"] > 100
    assert report["faults"].keys() == {"drop", "drop-ack"}
    times = [payload["timestamp"] for payload in udp_server.payloads(IMEI)]
    assert len(times) == len(set(times)) == 1000
