"""Commands: every status and every reason, over real TCP and a real Valkey."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from own_valkey import OwnValkey
from serving import IMEI, MESSAGES, RESPONSES, BareDevice, ServerProcess, wait_for_statuses

from teltonika.codecs import (
    AVL_CODECS,
    COMMAND_CODECS,
    AvlRecord,
    CommandMessage,
    CommandReceived,
    DeviceConnection,
    MessageType,
    PacketAcknowledged,
    encode_message,
    encode_packet,
)

StartServer = Callable[..., ServerProcess]
OTHER = "356307042441021"
RECORD = AvlRecord(0, 0, 0, 0, 0, 0, 0, 0)


def response(content: bytes) -> bytes:
    return encode_message(CommandMessage(12, MessageType.RESPONSE, content))


@pytest.mark.parametrize("codec", ["12", "14"])
def test_a_command_is_delivered_then_answered(codec: str, server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        server.publish("c1", "getinfo", codec=codec)
        command = device.command()
        assert (command.content, command.imei) == (b"getinfo", IMEI if codec == "14" else None)
        assert command.codec_id == COMMAND_CODECS.by_name(codec).codec_id
        device.answer(command, b"INI:2019/7/22 7:22\xff")
        delivered, responded = server.statuses("c1")
    about = {"command_id": "c1", "imei": IMEI, "instance_id": server.instance_id, "codec": codec}
    assert delivered == about | {"status": "delivered", "ts": delivered["ts"]}
    assert responded == about | {
        "status": "responded",
        "ts": responded["ts"],
        "response": "INI:2019/7/22 7:22\\xff",
        "response_hex": b"INI:2019/7/22 7:22\xff".hex(),
    }
    assert datetime.fromisoformat(delivered["ts"]) <= datetime.fromisoformat(responded["ts"])
    assert delivered["ts"].endswith("Z")


def test_what_has_ended_is_gone_from_the_stream(server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        server.publish("c1")
        device.command()
        assert standing(server) == {"c1"}
        assert server.redis.xpending(server.outbound, "ingest")["pending"] == 1
        device.send(response(b"ok"))
        server.statuses("c1")
        server.all_taken()  # an entry goes right behind its status: c1's has gone by now
        assert "c1" not in standing(server)
        assert server.redis.xpending(server.outbound, "ingest")["pending"] <= 1


def standing(server: ServerProcess) -> set[str]:
    """The ids of the commands on the instance's stream."""
    return {fields["command_id"] for _, fields in server.redis.xrange(server.outbound)}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"payload": ""}, "payload: missing"),
        ({"payload": "x" * 161}, "payload: 161 characters"),
        ({"payload": "gét"}, "payload: a device takes ASCII"),
        ({"imei": "12"}, "imei: an IMEI is 15 digits"),
        ({"imei": ""}, "imei: missing"),
        ({"codec": "13"}, "codec: no codec is called '13'"),
        ({"expires_at": "tomorrow"}, "expires_at: expected ISO 8601"),
        ({"timeout_s": "-1"}, "timeout_s: expected seconds"),
        ({"timeout_s": "nan"}, "timeout_s: expected seconds"),
        ({"command_id": ""}, "command_id: missing"),
    ],
)
def test_what_is_invalid_fails_with_its_field(
    fields: dict[str, str], said: str, server: ServerProcess
) -> None:
    command_id = fields.get("command_id", "c1")
    server.publish(**({"command_id": "c1"} | fields))
    (status,) = server.statuses(command_id)
    assert (status["status"], status["reason"]) == ("failed", "invalid")
    assert status["detail"].startswith(said)


def test_a_device_that_is_not_connected_gets_nothing(server: ServerProcess) -> None:
    server.publish("c1")
    assert server.ending("c1") == ("failed", "not_connected")
    with BareDevice(server.port) as device:
        device.leave()
    server.publish("c2")
    assert server.ending("c2") == ("failed", "not_connected")


def test_one_command_at_a_time_and_no_other_device_waits(server: ServerProcess) -> None:
    with BareDevice(server.port) as slow, BareDevice(server.port, OTHER) as quick:
        server.publish("c1", "first")
        server.publish("c2", "second")
        server.publish("o1", "other", imei=OTHER)
        first = slow.command()
        quick.answer(quick.command(), b"other's")
        assert server.ending("o1") == ("responded", None)
        assert slow.silent_for(0.3)
        slow.answer(first, b"to the first")
        second = slow.command()
        assert (first.content, second.content) == (b"first", b"second")
        slow.answer(second, b"to the second")
        responses = {s["command_id"]: s.get("response") for s in server.statuses("c1", "c2")}
    assert responses == {"c1": "to the first", "c2": "to the second"}


def test_the_queue_of_a_device_is_bounded(start_server: StartServer) -> None:
    server = start_server("--command-queue-size", "2")
    with BareDevice(server.port) as device:
        for number in range(5):
            server.publish(f"c{number}", f"command {number}")
        assert server.ending("c3") == server.ending("c4") == ("failed", "queue_full")
        for number in range(3):
            command = device.command()
            assert command.content == f"command {number}".encode()
            device.answer(command)
        assert {server.ending(f"c{number}")[0] for number in range(3)} == {"responded"}


def test_what_has_expired_is_not_written(server: ServerProcess) -> None:
    now = datetime.now(UTC)
    with BareDevice(server.port) as device:
        server.publish("c1", "late already", expires_at=(now - timedelta(seconds=1)).isoformat())
        assert server.ending("c1") == ("failed", "expired")
        server.publish("c2", "slow")
        slow = device.command()
        soon = int(now.timestamp() * 1000) + 1500
        server.publish("c3", "late by then", expires_at=str(soon))
        assert device.silent_for(2.0)
        device.answer(slow)
        assert server.ending("c3") == ("failed", "expired")
        server.publish("c4", "in time", expires_at=(now + timedelta(hours=1)).isoformat())
        assert device.command().content == b"in time"


def test_a_late_answer_is_not_the_next_command_s(start_server: StartServer) -> None:
    server = start_server("--command-quarantine", "60")
    with BareDevice(server.port) as device:
        server.publish("c1", "slow", timeout_s="0.2")
        server.publish("c2", "next")
        device.command()
        assert server.ending("c1") == ("failed", "timeout")
        device.send(response(b"late"))  # and that ends the quarantine
        command = device.command()
        assert command.content == b"next"
        device.answer(command, b"right")
        assert server.statuses("c2")[-1]["response"] == "right"
    assert server.redis.xrange(MESSAGES)[0][1]["text"] == "late"
    assert len(server.logged("late_answer")) == 1


def test_a_quarantine_ends_by_itself(start_server: StartServer) -> None:
    server = start_server("--command-quarantine", "0.2")
    with BareDevice(server.port) as device:
        server.publish("c1", "never answered", timeout_s="0.2")
        server.publish("c2", "next")
        assert device.command().content == b"never answered"
        assert device.command().content == b"next"
        assert server.ending("c1") == ("failed", "timeout")


def test_a_closed_connection_is_disconnected_after_delivered(server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        server.publish("c1", "cpureset")
        device.command()
    assert [s["status"] for s in server.statuses("c1")] == ["delivered", "failed"]
    assert server.ending("c1") == ("failed", "disconnected")


def test_what_waits_behind_it_goes_to_the_next_connection(server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        server.publish("c1", "cpureset")
        server.publish("c2", "getver")
        server.all_taken()
        assert device.command().content == b"cpureset"
    assert server.ending("c1") == ("failed", "disconnected")
    with BareDevice(server.port) as device:
        command = device.command()
        assert command.content == b"getver"
        device.answer(command)
        assert server.ending("c2") == ("responded", None)


def test_what_waits_for_a_device_that_stays_away_fails(start_server: StartServer) -> None:
    server = start_server("--reconnect-grace", "0.3")
    with BareDevice(server.port) as device:
        server.publish("c1", "cpureset")
        server.publish("c2", "getver")
        server.all_taken()
        device.command()
    assert server.ending("c2") == ("failed", "not_connected")


def test_a_takeover_in_mid_command(server: ServerProcess) -> None:
    with BareDevice(server.port) as older:
        server.publish("c1", "slow")
        server.publish("c2", "next")
        server.all_taken()
        older.command()
        with BareDevice(server.port) as newer:
            command = newer.command()
            assert command.content == b"next"
            newer.answer(command)
            assert server.ending("c1") == ("failed", "disconnected")
            assert server.ending("c2") == ("responded", None)
            assert older.closed_by_server()


def test_a_nack_and_answers_that_are_none(server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        server.publish("c1", codec="14")
        device.command()
        device.send(encode_message(CommandMessage(14, MessageType.RESPONSE, b"other's", OTHER)))
        device.send(response(b"serial data"))
        device.send(encode_message(CommandMessage(14, MessageType.NACK, b"", OTHER)))
        status = server.statuses("c1")[-1]
        assert (status["status"], status["reason"]) == ("failed", "nack")
        assert OTHER in status["detail"]
    entries = [fields for _, fields in server.redis.xrange(MESSAGES)]
    assert [(e["codec"], e["text"]) for e in entries] == [("14", "other's"), ("12", "serial data")]


def test_what_nobody_asked_for_goes_to_the_messages(server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        device.send(response(b"\x00serial\xff"))
        device.send(encode_packet(AVL_CODECS.by_name("8"), [RECORD]))
        assert device.acknowledged() == 1  # for the records only
        _, ((entry_id, entry),) = server.redis.xread({MESSAGES: "0"}, block=30_000)[0]
    assert entry_id
    assert entry.keys() == {"ts", "device_id", "codec", "text", "hex"}
    assert (entry["device_id"], entry["codec"]) == (IMEI, "12")
    assert (entry["text"], entry["hex"]) == ("\x00serial\\xff", b"\x00serial\xff".hex())
    assert server.logged("unsolicited_message")[0]["imei"] == IMEI
    assert server.redis.xlen(RESPONSES) == 0


def test_a_second_command_with_the_same_id_is_dropped(server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        server.publish("c1", "once")
        command = device.command()
        server.publish("c1", "twice")
        server.all_taken()
        device.answer(command, b"first")
        assert server.statuses("c1")[-1]["response"] == "first"
        server.publish("c1", "thrice")
        server.publish("c3", "the next one")
        assert device.command().content == b"the next one"
        assert len([s for _, s in server.redis.xrange(RESPONSES) if s["command_id"] == "c1"]) == 2
    assert len(server.logged("command_duplicate", at_least=2)) == 2


def test_a_command_published_before_the_first_start_waits_for_its_device(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    command = {"command_id": "c1", "imei": IMEI, "payload": "getver"}
    client.xadd("commands:outbound:gate-1", command)
    client.xadd("commands:outbound:gate-1", command | {"command_id": "c2", "imei": OTHER})
    server = start_server("--instance-id", "gate-1", "--reconnect-grace", "2", redis_url=valkey.url)
    with BareDevice(server.port) as device:
        device.answer(device.command())
        assert server.ending("c1") == ("responded", None)
    assert server.ending("c2") == ("failed", "not_connected")
    client.close()


def test_statuses_follow_when_redis_is_back(valkey: OwnValkey, start_server: StartServer) -> None:
    valkey.start().close()
    server = start_server(redis_url=valkey.url)
    with BareDevice(server.port) as device:
        server.publish("c1", "first")
        server.publish("c2", "second")
        server.all_taken()
        command = device.command()
        valkey.kill()
        device.answer(command, b"while it was away")
        assert device.silent_for(0.5)  # what cannot be stored is not written
        client = valkey.start()
        device.answer(device.command(), b"later")
        statuses = wait_for_statuses(client, "c1", "c2")
        client.close()
    assert [(s["command_id"], s["status"]) for s in statuses] == [
        ("c1", "delivered"),
        ("c1", "responded"),
        ("c2", "delivered"),
        ("c2", "responded"),
    ]
    assert statuses[1]["response"] == "while it was away"


def test_acks_and_commands_never_interleave(server: ServerProcess) -> None:
    """A device that reads every byte while both come as fast as they can."""
    packet = encode_packet(AVL_CODECS.by_name("8"), [RECORD] * 3)
    connection = DeviceConnection()
    connection.start(IMEI)
    connection.receive_data(b"\x01")
    commands, acks, count = 0, 0, 30
    with BareDevice(server.port) as device:
        for number in range(count):
            server.publish(f"c{number}", "x" * (1 + number % 150))
        device.send(packet)
        while commands < count or acks < 100:
            for event in connection.receive_data(device.receive(1)):
                match event:
                    case PacketAcknowledged(accepted):
                        assert accepted == 3
                        acks += 1
                        device.send(packet)
                    case CommandReceived(message):
                        assert message.content == b"x" * (1 + commands % 150)
                        commands += 1
                        device.answer(message)
                    case _:
                        pytest.fail(f"{event} among the server's bytes")
        server.statuses(*(f"c{number}" for number in range(count)))
