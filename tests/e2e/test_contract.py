"""What a running server writes is what the committed schemas say, and they take what it takes."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from contract import check, validator
from hypothesis import given, settings
from jsonschema import ValidationError
from own_valkey import OwnValkey
from serving import IMEI, MESSAGES, RESPONSES, BareDevice, ServerProcess, wait_for_statuses
from strategies import codecs_and_records

from teltonika.codecs import (
    AVL_CODECS,
    AvlPacket,
    AvlRecord,
    CommandMessage,
    IoElement,
    IoElements,
    MessageType,
    decode_packet,
    encode_message,
    encode_packet,
)
from teltonika.server.streams import packet_arguments

StartServer = Callable[..., ServerProcess]
OTHER = "356307042441021"
REASONS = {
    *("invalid", "not_connected", "queue_full", "expired", "timeout", "disconnected"),
    *("nack", "shutdown", "instance_lost"),
}


def entries(client: Any, stream: str) -> list[dict[str, str]]:
    return [fields for _, fields in client.xrange(stream)]


@pytest.mark.parametrize("codec", ["8", "8E", "16"])
def test_records_of_every_codec(codec: str, server: ServerProcess) -> None:
    wide = [IoElement(78, 2**53 - 1, 8), IoElement(79, 2**53, 8), IoElement(80, 2**64 - 1, 8)]
    variable = [IoElement.variable(385, b"\x00\xff"), IoElement.variable(386, b"")]
    elements = [IoElement(21, 255, 1), *wide, *(variable if codec == "8E" else [])]
    record = AvlRecord(
        *(1_560_161_086_000, 2, -1_800_000_000, 900_000_000, -32_768, 65_535, 255, 65_535, 21),
        generation_type=7 if codec == "16" else None,
        io=IoElements.of(elements),
    )
    never = AvlRecord(2**64 - 1, 255, 2**31 - 1, -(2**31), 32_767, 0, 0, 0, 0)
    if codec == "16":
        never = AvlRecord(2**64 - 1, 255, 2**31 - 1, -(2**31), 32_767, 0, 0, 0, 0, 0)
    with BareDevice(server.port) as device:
        device.send(encode_packet(AVL_CODECS.by_name(codec), [record, never]))
        assert device.acknowledged() == 2
    found = server.entries()
    assert [entry["codec"] for entry in found] == [codec, codec]
    for entry in found:
        check("telemetry", entry)
    assert "__bigint" in found[0]["payload"]
    assert ("__buffer_b64" in found[0]["payload"]) == (codec == "8E")


@settings(max_examples=300)
@given(codecs_and_records())
def test_any_record_has_a_payload_of_the_schema(drawn: tuple[Any, list[AvlRecord]]) -> None:
    codec, records = drawn
    packet = decode_packet(encode_packet(codec, records))
    assert isinstance(packet, AvlPacket)
    arguments, _ = packet_arguments(IMEI, packet, 0, b"8 bytes.")
    for ts, payload in zip(arguments[6::2], arguments[7::2], strict=True):
        assert isinstance(payload, bytes)
        entry = {"ts": ts, "device_id": IMEI, "codec": codec.name, "payload": payload.decode()}
        check("telemetry", entry)


def test_messages_of_every_codec(server: ServerProcess) -> None:
    sent = [
        CommandMessage(12, MessageType.RESPONSE, b"\x00serial\xff"),
        CommandMessage(13, MessageType.RESPONSE, b"text", timestamp_s=2**32 - 1),
        CommandMessage(14, MessageType.RESPONSE, b"", IMEI),
        CommandMessage(15, MessageType.SERIAL, b"port", IMEI, 0),
    ]
    with BareDevice(server.port) as device:
        for message in sent:
            device.send(encode_message(message))
        found: list[dict[str, str]] = []
        after = "0"
        while len(found) < len(sent):
            ((_, page),) = server.redis.xread({MESSAGES: after}, block=30_000)
            after = page[-1][0]
            found += [fields for _, fields in page]
    for entry in found:
        check("message", entry)
    assert [entry["codec"] for entry in found] == ["12", "13", "14", "15"]


def test_commands_and_every_status_and_reason(valkey: OwnValkey, start_server: StartServer) -> None:
    client = valkey.start()
    options = ("--instance-id", "gate", "--command-queue-size", "1", "--command-quarantine", "0")
    first = start_server(*options, redis_url=valkey.url)
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    valid = {
        "answered": {"codec": "12", "expires_at": soon, "timeout_s": "20.5"},
        "refused": {"codec": "14"},
        "too-late": {"expires_at": "1000"},
        "slow": {"timeout_s": "0.2"},
        "left": {},
    }
    for command_id, more in valid.items():
        check("command", {"command_id": command_id, "imei": IMEI, "payload": "getver", **more})
    with BareDevice(first.port) as device:
        first.publish("answered", **valid["answered"])
        device.answer(device.command(), b"Ver:1\xff")
        first.publish("refused", **valid["refused"])
        device.command()
        device.send(encode_message(CommandMessage(14, MessageType.NACK, b"", OTHER)))
        first.publish("too-late", **valid["too-late"])
        first.statuses("answered", "refused", "too-late")
        first.publish("slow", **valid["slow"])
        device.command()
        first.statuses("slow")
        first.publish("left")
        device.command()
    first.statuses("left")
    first.publish("gone", imei=OTHER)
    first.publish("wrong", imei="12", codec="x")
    first.publish("", payload="")
    first.statuses("gone", "wrong", "")
    with BareDevice(first.port) as device:
        first.publish("lost")
        device.command()
        first.kill()
    second = start_server(*options, redis_url=valkey.url)
    with BareDevice(second.port) as device:
        second.statuses("lost")
        for name in ("holding", "stopped", "crowded"):
            second.publish(name)
        second.all_taken()
        device.command()
        second.statuses("crowded")
        check("heartbeat", json.loads(client.get("instance:heartbeat:gate")))
        second.process.terminate()
        wait_for_statuses(client, "stopped")
        device.send(encode_message(CommandMessage(12, MessageType.RESPONSE, b"done")))
        assert second.process.wait(timeout=30) == 0
    found = entries(client, RESPONSES)
    for status in found:
        check("response", status)
    assert {status["status"] for status in found} == {"delivered", "responded", "failed"}
    assert {status["reason"] for status in found if "reason" in status} == REASONS
    client.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": ""},
        {"payload": "x" * 161},
        {"payload": "gét"},
        {"imei": "12"},
        {"codec": "13"},
        {"timeout_s": "-1"},
        {"command_id": ""},
        {"command_id": "x" * 257},
    ],
)
def test_what_the_server_calls_invalid_the_schema_does(
    fields: dict[str, str], server: ServerProcess
) -> None:
    command = {"command_id": "c1", "imei": IMEI, "payload": "getver"} | fields
    server.publish(**command)
    ((_, page),) = server.redis.xread({RESPONSES: "0"}, block=30_000)
    assert page[0][1]["reason"] == "invalid"
    with pytest.raises(ValidationError):
        validator("command").validate(command)
