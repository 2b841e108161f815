"""Commands over real TCP: the answers, what is wrong with them on purpose, and the restart."""

import asyncio
import time
from random import Random
from types import TracebackType
from typing import Any, Self

import pytest

from teltonika.codecs import (
    COMMAND_CODECS,
    AvlPacket,
    AvlPacketReceived,
    CommandMessage,
    CommandResponseReceived,
    ImeiReceived,
    MessageType,
    ServerConnection,
    ServerEvent,
    encode_message,
)
from teltonika.emulator import (
    AnswerFault,
    DeviceLink,
    DeviceMachine,
    DeviceObserver,
    EmulatorSettings,
    assemble_device,
)

IMEI = "356307042441013"
ACCEPTED = b"\x01"
ACK = (2).to_bytes(4)
NO_RECORDS = bytes(4)
NEVER_S = 3_600.0


def command(text: str, codec: str = "12", imei: str = IMEI) -> bytes:
    return encode_message(COMMAND_CODECS.by_name(codec).command(text, imei))


class Peer:
    """The server's end of one connection; a test speaks on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = ServerConnection()
        self._events: list[ServerEvent] = []

    def write(self, *parts: bytes) -> None:
        self._writer.write(b"".join(parts))

    def close(self) -> None:
        self._writer.close()

    async def read(self) -> bytes:
        """What comes next, as it comes; empty at the end."""
        return await self._reader.read(65_536)

    async def event(self) -> ServerEvent | None:
        """What comes next, once it is whole; None for the end."""
        while not self._events:
            data = await self.read()
            if not data:
                assert self._connection.receive_eof() == []
                return None
            self._events = self._connection.receive_data(data)
        return self._events.pop(0)

    async def imei(self) -> str:
        event = await self.event()
        assert isinstance(event, ImeiReceived)
        return event.imei

    async def packet(self) -> AvlPacket:
        event = await self.event()
        assert isinstance(event, AvlPacketReceived)
        return event.packet

    async def answer(self) -> CommandMessage:
        event = await self.event()
        assert isinstance(event, CommandResponseReceived)
        return event.message


class Server:
    """``async with Server() as server``: hands out its connections one by one."""

    async def __aenter__(self) -> Self:
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()
        self._accepted: list[Peer] = []
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for peer in self._accepted:
            peer.close()
        await self._server.wait_closed()

    async def peer(self, answer: bytes = ACCEPTED) -> Peer:
        """The next connection, its IMEI answered."""
        peer = await self._peers.get()
        assert await peer.imei() == IMEI
        peer.write(answer)
        return peer

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._server.is_serving():  # accepted in the moment in which it was closed
            writer.close()
            return
        peer = Peer(reader, writer)
        self._accepted.append(peer)
        self._peers.put_nowait(peer)


class Watch(DeviceObserver):
    """Keeps what it was told of commands and restarts."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.left = asyncio.Event()

    def command_executed(self, device: DeviceMachine, text: str) -> None:
        self.told.append(f"executed {text}")

    def command_ignored(self, device: DeviceMachine, text: str, reason: str) -> None:
        self.told.append(f"ignored {text}: {reason}")

    def disconnected(self, device: DeviceMachine, reason: str, retry_in_s: float) -> None:
        self.told.append(f"{reason}, {retry_in_s:g} s")
        self.left.set()


def link_to(server: Server, watch: Watch | None = None, **changes: Any) -> DeviceLink:
    fields: dict[str, Any] = {
        "records": 0,
        "records_per_packet": 2,
        "interval_s": 0.0,
        "start_ms": 1_760_000_000_000,
        "ack_timeout_s": 30.0,
        "give_up_after_s": 30.0,
        "first_retry_s": 0.01,
        "restart_after_s": 0.01,
    }
    settings = EmulatorSettings(port=server.port, **(fields | changes))
    return DeviceLink(assemble_device(IMEI, settings, 0), settings, Random(0), watch)


@pytest.fixture
def settles_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("teltonika.emulator.link.SETTLE_S", 0.01)


# the ordinary way


async def test_a_command_is_answered_while_a_packet_waits_for_its_ack() -> None:
    async with Server() as server, asyncio.TaskGroup() as group:
        link = link_to(server, records=2)
        running = group.create_task(link.run())
        peer = await server.peer()
        packet = await peer.packet()
        peer.write(command("getgps"))
        answer = await peer.answer()
        peer.write(ACK)
        assert await peer.event() is None
        report = await running
    assert f"Lat:{packet.records[-1].latitude:.5f}" in answer.text
    assert report.complete
    assert (report.commands_received, report.commands_executed, report.answers) == (1, 1, 1)
    assert report.commands == {"getgps": 1}
    assert (report.packets_resent, report.wrong_acks, report.ack_timeouts) == (0, 0, 0)


async def test_uptime_and_clock_are_those_of_the_moment() -> None:
    async with Server() as server, asyncio.TaskGroup() as group:
        before_ms = time.time_ns() // 1_000_000
        link = link_to(server)
        running = group.create_task(link.run())
        peer = await server.peer()
        await peer.packet()
        peer.write(command("getver"))
        await peer.answer()
        assert before_ms <= link.device.unit.now_ms <= time.time_ns() // 1_000_000
        peer.close()
        link.stop()
        await running


async def test_another_devices_command_gets_a_nack_and_an_unknown_one_nothing() -> None:
    watch = Watch()
    async with Server() as server, asyncio.TaskGroup() as group:
        running = group.create_task(link_to(server, watch, records=2).run())
        peer = await server.peer()
        await peer.packet()
        peer.write(command("nonsense"), command("getver", "14", "356307042441021"))
        nack = await peer.answer()
        peer.write(ACK)
        assert await peer.event() is None
        report = await running
    assert (nack.type, nack.imei, nack.content) == (MessageType.NACK, IMEI, b"")
    assert watch.told == [
        "ignored nonsense: it is unknown",
        "ignored getver: it is for another IMEI",
    ]
    assert (report.commands_received, report.commands_executed) == (2, 0)
    assert (report.nacks, report.answers) == (1, 1)


# zero bytes


@pytest.mark.usefixtures("settles_soon")
async def test_an_ack_of_no_records_is_taken_for_one_when_nothing_follows() -> None:
    async with Server() as server, asyncio.TaskGroup() as group:
        running = group.create_task(link_to(server, records=2).run())
        peer = await server.peer()
        packet = await peer.packet()
        peer.write(NO_RECORDS)
        assert await peer.packet() == packet
        peer.write(ACK)
        report = await running
    assert report.complete
    assert (report.wrong_acks, report.packets_resent, report.ack_timeouts) == (1, 1, 0)


@pytest.mark.usefixtures("settles_soon")
async def test_an_unasked_ack_of_no_records_is_not_for_the_packet_that_follows() -> None:
    async with Server() as server, asyncio.TaskGroup() as group:
        running = group.create_task(link_to(server, records=2).run())
        peer = await server.peer(ACCEPTED + NO_RECORDS)
        await peer.packet()
        peer.write(ACK)
        assert await peer.event() is None
        report = await running
    assert report.complete
    assert (report.wrong_acks, report.packets_resent) == (1, 0)


async def test_what_may_follow_zero_bytes_is_waited_for_no_longer_than_an_ack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("teltonika.emulator.link.SETTLE_S", NEVER_S)
    async with Server() as server, asyncio.TaskGroup() as group:
        link = link_to(server, records=2, ack_timeout_s=0.1)
        running = group.create_task(link.run())
        peer = await server.peer()
        packet = await peer.packet()
        peer.write(NO_RECORDS)
        assert await peer.packet() == packet
        peer.write(ACK)
        report = await running
    assert report.wrong_acks == 1


# answers that are late, missing, in pieces, double


async def test_telemetry_goes_on_while_an_answer_waits_for_its_time() -> None:
    async with Server() as server, asyncio.TaskGroup() as group:
        running = group.create_task(link_to(server, records=20, answer_delay_s=NEVER_S).run())
        peer = await server.peer()
        peer.write(command("getver"))
        for _ in range(10):
            await peer.packet()
            peer.write(ACK)
        assert await peer.event() is None
        report = await running
    assert report.complete
    assert (report.commands_executed, report.answers) == (1, 0)


@pytest.mark.parametrize("interval_s", [0.0, NEVER_S])
async def test_a_late_answer_comes_also_when_the_device_waits_for_something_else(
    interval_s: float,
) -> None:
    """For the ACK of its packet, or for the time of the next one."""
    async with Server() as server, asyncio.TaskGroup() as group:
        link = link_to(server, interval_s=interval_s, answer_delay_s=0.01)
        running = group.create_task(link.run())
        peer = await server.peer()
        await peer.packet()
        peer.write(ACK if interval_s else b"", command("getver"))
        assert "Hw:FMB120" in (await peer.answer()).text
        peer.close()
        link.stop()
        report = await running
    assert report.answers == 1


async def test_a_withheld_answer_never_comes_and_the_command_was_executed() -> None:
    async with Server() as server, asyncio.TaskGroup() as group:
        link = link_to(server, records=4, answer_fault=AnswerFault.WITHHOLD)
        running = group.create_task(link.run())
        peer = await server.peer()
        await peer.packet()
        peer.write(command("setdigout 10"), ACK)
        packet = await peer.packet()
        peer.write(ACK)
        assert await peer.event() is None
        report = await running
    assert packet.records[0].io.get(179) == 1
    assert (report.commands_executed, report.answers) == (1, 0)


async def test_a_doubled_answer_comes_twice_and_the_command_was_executed_once() -> None:
    async with Server() as server, asyncio.TaskGroup() as group:
        link = link_to(server, records=2, answer_fault=AnswerFault.DOUBLE)
        running = group.create_task(link.run())
        peer = await server.peer()
        await peer.packet()
        peer.write(command("setdigout 10"))
        assert await peer.answer() == await peer.answer()
        peer.write(ACK)
        assert await peer.event() is None
        report = await running
    assert report.commands == {"setdigout 10": 1}
    assert report.answers == 2


async def test_a_split_answer_is_whole_in_the_end_and_nothing_stands_inside_it() -> None:
    """A packet that is to be sent again while the answer is half out waits for its rest."""
    async with Server() as server, asyncio.TaskGroup() as group:
        link = link_to(server, records=2, answer_fault=AnswerFault.SPLIT)
        running = group.create_task(link.run())
        peer = await server.peer()
        packet = await peer.packet()
        peer.write(command("getver"), (1).to_bytes(4))
        assert "Hw:FMB120" in (await peer.answer()).text
        assert await peer.packet() == packet
        peer.write(ACK)
        assert await peer.event() is None
        report = await running
    assert report.complete
    assert (report.answers, report.packets_resent) == (1, 1)


async def test_between_the_pieces_of_a_split_answer_is_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("teltonika.emulator.answers.SPLIT_PAUSE_S", NEVER_S)
    async with Server() as server, asyncio.TaskGroup() as group:
        link = link_to(server, answer_fault=AnswerFault.SPLIT)
        running = group.create_task(link.run())
        peer = await server.peer()
        await peer.packet()
        peer.write(command("readio 3"), ACK)
        whole_size = len(command("IO ID:3 Value:0"))
        assert len(await peer.read()) == whole_size // 4
        running.cancel()
        assert await peer.read() == b""  # neither its rest nor a packet
    assert (link.device.report.answers, link.device.report.records_sent) == (0, 2)


# restart, deletion


async def test_cpureset_drops_the_connection_and_the_packet_goes_first_on_the_next() -> None:
    watch = Watch()
    async with Server() as server, asyncio.TaskGroup() as group:
        running = group.create_task(link_to(server, watch, records=2, restart_after_s=0.02).run())
        peer = await server.peer()
        packet = await peer.packet()
        peer.write(command("setparam 9:x"), command("cpureset"), command("getver"))
        assert (await peer.answer()).text == "Param ID:9 New Val:x"
        assert await peer.event() is None
        again = await server.peer()
        assert await again.packet() == packet
        again.write(command("getinfo"), command("getparam 9"))
        assert " RST:1 " in (await again.answer()).text
        assert (await again.answer()).text == "Param ID:9 Val:x"
        again.write(ACK)
        report = await running
    assert watch.told == [
        "executed setparam 9:x",
        "executed cpureset",
        "it starts again, as it was told, 0.02 s",
        "executed getinfo",
        "executed getparam 9",
    ]
    assert report.complete
    assert (report.restarts, report.connections, report.packets_resent) == (1, 2, 1)
    assert report.commands["cpureset"] == 1


async def test_a_restart_is_no_reason_to_give_up() -> None:
    async with Server() as server, asyncio.TaskGroup() as group:
        link = link_to(server, records=2, restart_after_s=0.6, give_up_after_s=0.5)
        running = group.create_task(link.run())
        peer = await server.peer()
        await peer.packet()
        peer.write(command("cpureset"))
        again = await server.peer()
        await again.packet()
        again.write(ACK)
        report = await running
    assert report.complete


async def test_stopping_ends_a_restart_at_once() -> None:
    watch = Watch()
    async with Server() as server, asyncio.TaskGroup() as group:
        link = link_to(server, watch, interval_s=NEVER_S, restart_after_s=NEVER_S)
        running = group.create_task(link.run())
        peer = await server.peer()
        await peer.packet()
        peer.write(ACK, command("cpureset"))
        await watch.left.wait()
        link.stop()
        report = await running
    assert report.complete
    assert report.connections == 1


async def test_answers_that_were_not_due_yet_do_not_outlive_the_connection() -> None:
    async with Server() as server, asyncio.TaskGroup() as group:
        running = group.create_task(link_to(server, records=2, answer_delay_s=0.3).run())
        peer = await server.peer()
        packet = await peer.packet()
        peer.write(command("getver"), command("cpureset"))
        assert await peer.event() is None
        again = await server.peer()
        assert await again.packet() == packet
        again.write(command("getimeiccid"))
        assert (await again.answer()).text.startswith("IMEI: ")
        again.write(ACK)
        report = await running
    assert report.answers == 1


async def test_deleterecords_leaves_out_what_is_overdue_and_nothing_else() -> None:
    async with Server() as server, asyncio.TaskGroup() as group:
        started = time.perf_counter()
        running = group.create_task(link_to(server, records=4, interval_s=0.01).run())
        peer = await server.peer()
        first = await peer.packet()
        time.sleep(0.1)  # both ends hang: packets become due
        peer.write(command("deleterecords"), command("deleterecords"), ACK)
        second = await peer.packet()
        due = 2 * (1 + (time.perf_counter() - started) / 0.01)
        peer.write(ACK)
        assert await peer.event() is None
        report = await running
    assert report.complete
    assert report.records_sent == 4
    assert 2 <= report.records_deleted < due
    gap_ms = second.records[0].timestamp_ms - first.records[-1].timestamp_ms
    assert gap_ms == 5 * (1 + report.records_deleted)  # two records in 10 ms


async def test_without_an_interval_nothing_is_overdue() -> None:
    async with Server() as server, asyncio.TaskGroup() as group:
        running = group.create_task(link_to(server, records=4).run())
        peer = await server.peer()
        first = await peer.packet()
        peer.write(command("deleterecords"), ACK)
        second = await peer.packet()
        peer.write(ACK)
        report = await running
    assert report.records_deleted == 0
    assert second.records[0].timestamp_ms - first.records[-1].timestamp_ms == 1000
