"""From a device's bytes to the stream, and back to the acknowledgement."""

import base64
import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from samples import sample
from serving import IMEI, STREAM, BareDevice, ServerProcess

from teltonika.codecs import (
    AVL_CODECS,
    AvlRecord,
    IoElement,
    IoElements,
    crc16_ibm,
    encode_imei,
    encode_packet,
)

CODEC8 = AVL_CODECS.by_name("8")
CODEC8E = AVL_CODECS.by_name("8E")
CODEC16 = AVL_CODECS.by_name("16")
StartServer = Callable[..., ServerProcess]


def record(number: int = 0, *elements: IoElement, **fields: Any) -> AvlRecord:
    values: dict[str, Any] = {
        "timestamp_ms": 1_560_161_086_000 + 1000 * number,
        "priority": 1,
        "longitude_e7": 253_030_400,
        "latitude_e7": -547_147_300,
        "altitude": -4,
        "angle": 77,
        "satellites": 7,
        "speed": 51,
        "event_io_id": 239,
        "io": IoElements.of(elements),
    }
    return AvlRecord(**values | fields)


def test_an_entry_has_the_fields_of_the_contract(server: ServerProcess) -> None:
    elements = (IoElement(21, 3, 1), IoElement(66, 24079, 2), IoElement(78, 2**53 - 1, 8))
    with BareDevice(server.port) as device:
        device.send(encode_packet(CODEC8, [record(0, *elements)]))
        assert device.acknowledged() == 1
    (entry,) = server.entries()
    payload = json.loads(entry.pop("payload"))
    assert entry == {"ts": "2019-06-10T10:04:46.000Z", "device_id": IMEI, "codec": "8"}
    assert payload == {
        "device_id": IMEI,
        "timestamp": "2019-06-10T10:04:46.000Z",
        "latitude": -54.71473,
        "longitude": 25.30304,
        "altitude": -4,
        "angle": 77,
        "speed": 51,
        "satellites": 7,
        "priority": 1,
        "event_io_id": 239,
        "attributes": {"21": 3, "66": 24079, "78": 9007199254740991},
    }


def test_values_that_json_readers_would_spoil_are_wrapped(server: ServerProcess) -> None:
    elements = (
        IoElement(78, 2**53, 8),
        IoElement(79, 2**64 - 1, 8),
        IoElement.variable(385, b"\x00\xffbeacon"),
        IoElement.variable(386, b""),
    )
    with BareDevice(server.port) as device:
        device.send(encode_packet(CODEC8E, [record(0, *elements)]))
        assert device.acknowledged() == 1
    (payload,) = server.payloads()
    assert payload["attributes"] == {
        "78": {"__bigint": "9007199254740992"},
        "79": {"__bigint": "18446744073709551615"},
        "385": {"__buffer_b64": base64.b64encode(b"\x00\xffbeacon").decode()},
        "386": {"__buffer_b64": ""},
    }


def test_the_generation_type_stands_in_codec_16_entries_only(server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        device.send(encode_packet(CODEC16, [record(0, generation_type=0)]))
        device.send(encode_packet(CODEC8E, [record(1)]))
        assert [device.acknowledged(), device.acknowledged()] == [1, 1]
    codec16, codec8e = server.payloads()
    assert codec16["generation_type"] == 0
    assert "generation_type" not in codec8e
    assert [entry["codec"] for entry in server.entries()] == ["16", "8E"]


def test_of_an_io_id_that_stands_twice_the_last_value_wins_and_is_counted(
    server: ServerProcess,
) -> None:
    elements = (IoElement(21, 1, 1), IoElement(21, 2, 1), IoElement(21, 3, 2))
    with BareDevice(server.port) as device:
        device.send(encode_packet(CODEC8, [record(0, *elements)]))
        assert device.acknowledged() == 1
    assert server.payloads()[0]["attributes"] == {"21": 3}
    server.stop()
    assert server.logged("stopped")[0]["repeated_io_ids"] == 2


def test_records_stand_on_the_stream_in_the_packets_order(server: ServerProcess) -> None:
    packets = [
        encode_packet(CODEC8, [record(3 * number + place) for place in range(3)])
        for number in range(40)
    ]
    with BareDevice(server.port) as device:
        device.send(b"".join(packets))
        assert [device.acknowledged() for _ in packets] == [3] * len(packets)
    seconds = [payload["timestamp"][14:19] for payload in server.payloads()]
    assert seconds == sorted(seconds)
    assert len(set(seconds)) == 120


@pytest.mark.parametrize("count", [0, 1, 255])
def test_the_ack_is_the_number_of_records(server: ServerProcess, count: int) -> None:
    with BareDevice(server.port) as device:
        device.send(encode_packet(CODEC8, [record(number) for number in range(count)]))
        assert device.acknowledged() == count
    assert server.redis.xlen(STREAM) == count


def test_a_packet_may_come_with_the_imei_and_byte_by_byte(server: ServerProcess) -> None:
    first, second = (encode_packet(CODEC8, [record(number)]) for number in (1, 2))
    with BareDevice(server.port, imei=None) as device:
        device.send(encode_imei(IMEI) + first)
        assert device.receive(5) == b"\x01\x00\x00\x00\x01"
        for byte in second:
            device.send(bytes((byte,)))
        assert device.acknowledged() == 1
    assert server.redis.xlen(STREAM) == 2


def test_pings_are_not_answered(server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        device.send(b"\xff" + encode_packet(CODEC8, [record()]) + b"\xff\xff")
        assert device.acknowledged() == 1
        device.send(encode_packet(CODEC8, [record(1), record(2)]))
        assert device.acknowledged() == 2


def test_no_ack_is_sent_before_redis_has_confirmed(server: ServerProcess) -> None:
    valkey = server.valkey_pid
    with BareDevice(server.port) as device:
        try:
            os.kill(valkey, signal.SIGSTOP)
            device.send(encode_packet(CODEC8, [record()]))
            assert device.silent_for(0.5)
        finally:
            os.kill(valkey, signal.SIGCONT)
        assert device.acknowledged() == 1
    assert server.redis.xlen(STREAM) == 1


def test_a_wrong_crc_gets_no_ack_and_the_next_packet_does(server: ServerProcess) -> None:
    good = encode_packet(CODEC8, [record(1), record(2)])
    bad = bytearray(encode_packet(CODEC8, [record()]))
    bad[20] ^= 1
    with BareDevice(server.port) as device:
        device.send(bytes(bad))
        device.send(good)
        assert device.acknowledged() == 2
    assert server.redis.xlen(STREAM) == 2
    (line,) = server.logged("crc_failed")
    assert line["imei"] == IMEI
    assert line["level"] == "warning"
    assert "CRC mismatch at byte" in line["error"]


def test_an_unknown_codec_is_named_and_the_connection_closed(server: ServerProcess) -> None:
    packet = bytearray(encode_packet(CODEC8, []))
    packet[8] = 0x99
    data = bytes(packet[8:11])
    with BareDevice(server.port) as device:
        device.send(bytes(packet[:11]) + crc16_ibm(data).to_bytes(4))
        assert device.closed_by_server()
    (line,) = server.logged("unknown_codec")
    assert (line["codec_id"], line["level"], line["imei"]) == ("0x99", "warning", IMEI)


def test_what_was_acknowledged_before_a_violation_stays(server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        device.send(encode_packet(CODEC8, [record()]) + b"garbage")
        assert device.acknowledged() == 1
        assert device.closed_by_server()
    assert server.redis.xlen(STREAM) == 1


def test_a_device_that_closes_its_half_still_gets_its_ack(server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        device.send(encode_packet(CODEC8, [record()]))
        device.socket.shutdown(1)
        assert device.acknowledged() == 1
        assert device.closed_by_server()


def test_a_newer_connection_takes_over_and_the_older_ones_end_disturbs_nothing(
    server: ServerProcess,
) -> None:
    with BareDevice(server.port) as older, BareDevice(server.port) as newer:
        assert older.closed_by_server()
        with BareDevice(server.port, "356307042441021"):
            newer.send(encode_packet(CODEC8, [record()]))
            assert newer.acknowledged() == 1
        with BareDevice(server.port) as newest:
            assert newer.closed_by_server()
            newest.send(encode_packet(CODEC8, [record(1)]))
            assert newest.acknowledged() == 1
    lines = server.logged("device_disconnected", at_least=2)
    reasons = [line["reason"] for line in lines]
    assert reasons.count("taken over by a newer connection") == 2


def test_the_stream_is_trimmed_to_about_its_limit(start_server: StartServer) -> None:
    trimmed = start_server("--stream-maxlen", "500", data_dir="trimmed")
    unlimited = start_server("--stream-maxlen", "0", data_dir="unlimited")
    for server in (trimmed, unlimited):
        with BareDevice(server.port) as device:
            for number in range(10):
                device.send(encode_packet(CODEC8, [record(number)] * 200))
                assert device.acknowledged() == 200
    assert 500 <= trimmed.redis.xlen(STREAM) < 700
    assert unlimited.redis.xlen(STREAM) == 2000


def test_luhn_is_reported_and_enforced_only_when_asked(start_server: StartServer) -> None:
    wrong = "356307042441014"
    lenient = start_server(data_dir="lenient")
    with BareDevice(lenient.port, wrong):
        pass
    assert lenient.logged("device_connected")[0]["luhn_valid"] is False
    strict = start_server("--require-luhn", data_dir="strict")
    with BareDevice(strict.port, imei=None) as device:
        device.send(encode_imei(wrong) + encode_packet(CODEC8, [record()]))
        assert device.receive(100) == b"\x00"
    with BareDevice(strict.port):
        pass
    assert strict.redis.xlen(STREAM) == 0


def test_texts_of_codecs_13_and_15_are_messages_and_get_no_ack(server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        device.send(sample("codec13-corrected").data + sample("codec15-hello").data)
        device.send(encode_packet(CODEC8, [record(), record(1)]))
        assert device.acknowledged() == 2
    stream, entries = f"{STREAM}:messages", []
    while len(entries) < 2:
        ((_, more),) = server.redis.xread({stream: entries[-1][0] if entries else 0}, block=30_000)
        entries += more
    assert [fields for _, fields in entries] == [
        {
            "ts": "1975-08-03T05:37:36.000Z",
            "device_id": IMEI,
            "codec": "13",
            "text": "getinfo",
            "hex": b"getinfo".hex(),
        },
        {
            "ts": "2023-11-08T10:40:36.000Z",
            "device_id": IMEI,
            "codec": "15",
            "text": "Hello!\n",
            "hex": b"Hello!\n".hex(),
        },
    ]
