"""Each fault, as a server sees it on the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import cast

import pytest

from teltonika.codecs import (
    AvlPacketReceived,
    AvlRecord,
    CrcFailed,
    ErrorCode,
    FrameSkipped,
    ImeiReceived,
    ProtocolViolation,
    ServerConnection,
    decode_packet,
)
from teltonika.codecs.framing import CRC_SIZE, HEADER_SIZE, checked_data
from teltonika.emulator import (
    DeviceMachine,
    DeviceObserver,
    EmulatorSettings,
    FaultyLink,
    assemble_device,
)
from teltonika.emulator.emulated_device import FLOOD
from teltonika.emulator.faults import Fault, FaultPlan, parse_faults

IMEI = "356307042441013"
START_MS = 1_760_000_000_000


class Seen(asyncio.Protocol):
    """One connection as the server saw it; answers as a right server does."""

    def __init__(self, connections: list["Seen"]) -> None:
        connections.append(self)
        self.chunks: list[bytes] = []
        self.records: list[AvlRecord] = []
        self.complaints: list[str] = []
        self.error: Exception | None = None
        self.lost = asyncio.Event()
        self._connection = ServerConnection()

    @property
    def imei(self) -> bytes:
        return b"".join(self.chunks)[:17]

    @property
    def packets(self) -> bytes:
        return b"".join(self.chunks)[17:]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.chunks.append(data)
        for event in self._connection.receive_data(data):
            match event:
                case ImeiReceived():
                    self._connection.accept()
                case AvlPacketReceived(packet):
                    self.records += packet.records
                    self._connection.acknowledge(len(packet.records))
                case CrcFailed(error) | FrameSkipped(error):
                    self.complaints.append(error.code)
                case ProtocolViolation(error):
                    self.complaints.append(error.code)
                    self._transport.close()
                case _:
                    pass
        self._transport.write(self._connection.data_to_send())

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.lost.set()


@asynccontextmanager
async def recording_server() -> AsyncIterator[tuple[int, list[Seen]]]:
    connections: list[Seen] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Seen(connections), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], connections
        for seen in connections:
            seen._transport.abort()
            await seen.lost.wait()


async def run(
    plan: FaultPlan, *inject: Fault, records: int = 3, **more: object
) -> tuple[list[Seen], FaultyLink]:
    async with recording_server() as (port, connections):
        settings = EmulatorSettings(
            port=port,
            **{
                "records": records,
                "interval_s": 0.0,
                "start_ms": START_MS,
                "ack_timeout_s": 0.15,
                "first_retry_s": 0.01,
                "give_up_after_s": 5.0,
                "faults": plan,
            }
            | more,
        )
        link = FaultyLink(assemble_device(IMEI, settings, START_MS), settings, Random(1))
        for fault in inject:
            link.inject(fault)
        await link.run()
    assert link.device.report.complete
    return connections, link


async def injected(fault: Fault, **more: object) -> tuple[list[Seen], FaultyLink]:
    connections, link = await run(FaultPlan(), fault, **more)
    assert link.device.report.faults == {fault.value: 1}
    return connections, link


def distinct(connections: list[Seen]) -> list[int]:
    return sorted({record.timestamp_ms for seen in connections for record in seen.records})


async def test_split_comes_in_several_segments() -> None:
    (seen,), _ = await injected(Fault.SPLIT, records=1)
    assert len(seen.chunks) > 3  # of which a busy machine hands some over together


async def test_coalesce_does_not_wait_for_the_ack_of_the_first() -> None:
    (seen,), link = await injected(Fault.COALESCE)
    first = seen.chunks[1]
    size = len(first) // 2
    assert decode_packet(first[:size]).records[0].timestamp_ms == START_MS
    assert decode_packet(first[size:]).records[0].timestamp_ms == START_MS + 1_000
    assert len(seen.records) == link.device.report.records_acknowledged == 3


async def test_delay_and_throttle_take_their_time() -> None:
    loop = asyncio.get_running_loop()
    for fault, least_s in ((Fault.DELAY, 0.1), (Fault.THROTTLE, 0.05)):
        began = loop.time()
        (seen,), _ = await injected(fault, records=1)
        assert loop.time() - began >= least_s
        assert len(seen.records) == 1
    assert len(seen.chunks) >= 3


@pytest.mark.parametrize("fault", [Fault.CRC, Fault.LENGTH, Fault.COUNTS, Fault.GARBAGE])
async def test_what_is_corrupt_is_not_acknowledged_and_comes_right_again(fault: Fault) -> None:
    connections, link = await injected(fault)
    first, second = connections
    assert first.records == []
    assert decode_packet(second.chunks[1]).records[0].timestamp_ms == START_MS
    assert first.packets != second.chunks[1]
    assert len(second.records) == 3
    assert link.device.report.records_resent == 1


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (Fault.CRC, ErrorCode.CRC_MISMATCH),
        (Fault.COUNTS, ErrorCode.RECORD_COUNT_MISMATCH),
        (Fault.GARBAGE, ErrorCode.BAD_PREAMBLE),
    ],
)  # a wrong length may also ask for more bytes than there are
async def test_what_is_corrupt_is_wrong_in_one_way(fault: Fault, complaint: ErrorCode) -> None:
    (first, _), _ = await injected(fault)
    assert first.complaints == [complaint]


async def test_wrong_counts_have_a_right_crc() -> None:
    (first, second), _ = await injected(Fault.COUNTS)
    wrong, right = checked_data(first.packets), checked_data(second.chunks[1])
    assert wrong[:-1] == right[:-1]
    assert wrong[-1] != right[-1]


@pytest.mark.parametrize("fault", [Fault.CRC, Fault.LENGTH])
async def test_wrong_counts_do_not_put_another_fault_right(fault: Fault) -> None:
    (first, second), _ = await run(FaultPlan(), fault, Fault.COUNTS)
    wrong, right = first.packets, second.chunks[1]
    assert wrong[HEADER_SIZE:-CRC_SIZE] != right[HEADER_SIZE:-CRC_SIZE]
    if fault is Fault.CRC:
        assert first.complaints == [ErrorCode.CRC_MISMATCH]
    else:
        assert wrong[:HEADER_SIZE] != right[:HEADER_SIZE]


async def test_duplicate_comes_twice_in_a_row_and_both_acks_are_taken() -> None:
    (seen,), link = await injected(Fault.DUPLICATE)
    size = len(seen.chunks[1]) // 2
    assert seen.chunks[1][:size] == seen.chunks[1][size:]
    assert [record.timestamp_ms - START_MS for record in seen.records] == [0, 0, 1_000, 2_000]
    report = link.device.report
    assert (report.records_acknowledged, report.wrong_acks, report.connections) == (3, 0, 1)


async def test_a_dropped_ack_is_a_packet_sent_again() -> None:
    (first, second), link = await injected(Fault.DROP_ACK)
    assert first.packets == second.chunks[1]
    assert link.device.report.ack_timeouts == 1


async def test_cut_leaves_half_a_packet() -> None:
    (first, second), _ = await injected(Fault.CUT)
    assert first.error is None
    whole = second.chunks[1]
    assert first.packets == whole[: len(whole) // 2]


async def test_rst_resets_the_connection() -> None:
    (first, second), _ = await injected(Fault.RESET)
    assert isinstance(first.error, ConnectionResetError)
    assert distinct([second]) == [START_MS, START_MS + 1_000, START_MS + 2_000]


class _Watch(DeviceObserver):
    """Sets an event once so many packets are delivered."""

    def __init__(self, packets: int) -> None:
        self.delivered = asyncio.Event()
        self._packets = packets

    def acknowledged(self, device: DeviceMachine, packet: bytes, latency_s: float) -> None:
        if device.report.packets_acknowledged == self._packets:
            self.delivered.set()


@asynccontextmanager
async def watched(fault: Fault, packets: int) -> AsyncIterator[list[Seen]]:
    """The connections of a device that still sends, once so many packets are delivered."""
    watch = _Watch(packets)
    async with recording_server() as (port, connections), asyncio.TaskGroup() as group:
        settings = EmulatorSettings(port=port, records=0, interval_s=0.02, start_ms=START_MS)
        device = assemble_device(IMEI, settings, START_MS)
        link = FaultyLink(device, settings, Random(1), watch)
        link.inject(fault)
        group.create_task(link.run())
        await watch.delivered.wait()
        yield connections
        link.stop()
        for seen in connections:
            await seen.lost.wait()


async def test_half_open_says_nothing_more() -> None:
    async with watched(Fault.HALF_OPEN, packets=2) as (first, second):
        assert not first.lost.is_set()
        assert len(first.records) == 1
        assert second.packets.startswith(first.packets)


async def test_a_storm_is_ten_handshakes_without_a_packet() -> None:
    connections, _ = await injected(Fault.STORM)
    storm, last = connections[:-1], connections[-1]
    assert len(storm) == 10
    assert all(seen.packets == b"" for seen in storm)
    assert all(seen.imei == last.imei for seen in storm)
    assert len(last.records) == 3


async def test_a_twin_says_the_same_imei_while_the_first_goes_on() -> None:
    async with watched(Fault.TWIN, packets=3) as (first, twin):
        assert twin.chunks == [first.imei]
        assert len(first.records) == 3
        assert not twin.lost.is_set()


async def test_two_faults_that_no_packet_can_have_strike_one_after_the_other() -> None:
    (first, second), link = await run(FaultPlan(), Fault.CRC, Fault.DUPLICATE)
    assert first.complaints == [ErrorCode.CRC_MISMATCH]
    times = [record.timestamp_ms - START_MS for record in second.records]
    assert times == [0, 1_000, 1_000, 2_000]
    assert link.device.report.faults == {"crc": 1, "duplicate": 1}


async def test_a_packet_that_no_other_follows_is_not_counted_as_coalesced() -> None:
    (seen,), link = await run(parse_faults(["coalesce=1"]))
    assert len(seen.records) == 3
    assert link.device.report.faults == {"coalesce": 1}


async def test_a_wrong_clock_is_years_off() -> None:
    (seen,), _ = await injected(Fault.CLOCK)
    years = [(record.timestamp_ms - START_MS) / 31_536_000_000 for record in seen.records]
    assert abs(years[0]) > 2
    assert years[1:] == [pytest.approx(0, abs=1e-3)] * 2


async def test_a_server_that_acknowledges_what_is_broken_is_told_of() -> None:
    async def believe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(17)
        writer.write(b"\x01")
        while await reader.read(10_000):
            writer.write((1).to_bytes(4))
        writer.close()

    server = await asyncio.start_server(believe, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = EmulatorSettings(port=port, records=3, interval_s=0.0)
    link = FaultyLink(assemble_device(IMEI, settings, START_MS), settings, Random(1))
    link.inject(Fault.CRC)
    async with server:
        report = await link.run()
    assert report.corrupt_acknowledged == 1
    assert not report.complete


async def test_the_same_seed_gives_the_same_bytes() -> None:
    plan = parse_faults(["split=0.2,crc=0.1,garbage=0.1,duplicate=0.2,clock=0.1,cut=0.1"])

    async def sent(seed: int) -> list[bytes]:
        connections, _ = await run(plan, records=30, seed=seed, ack_timeout_s=0.05)
        return [b"".join(seen.chunks) for seen in connections]

    assert await sent(1) == await sent(1) != await sent(2)


async def test_all_at_once_and_nothing_is_lost() -> None:
    names = [
        *("split", "coalesce", "delay", "throttle", "crc", "length", "counts", "garbage"),
        *("duplicate", "drop-ack", "cut", "rst", "half-open", "storm", "twin"),
    ]
    plan = parse_faults(f"{name}=0.03" for name in names)
    connections, link = await run(plan, records=150, ack_timeout_s=0.03)
    assert distinct(connections) == [START_MS + 1_000 * number for number in range(150)]
    assert len(link.device.report.faults) >= 12


async def test_a_device_that_is_flooded_before_it_can_send_gives_up_all_the_same() -> None:
    """It has a packet that is due, and leaves each connection before that is written."""
    talks: list[asyncio.Task[None]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())  # type: ignore[arg-type]
        writer.write(b"\1" + b"\0\0\0\7" * (2 * FLOOD))
        with suppress(OSError):
            await reader.read()
        writer.transport.abort()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server, asyncio.timeout(60):
        settings = EmulatorSettings(
            port=server.sockets[0].getsockname()[1],
            interval_s=0.0,
            first_retry_s=0.01,
            max_retry_s=0.05,
            give_up_after_s=0.5,
        )
        device = assemble_device(IMEI, settings, 0)
        report = await FaultyLink(device, settings, Random(0)).run()
        await asyncio.gather(*talks)
    assert report.gave_up
    assert report.floods > 0
