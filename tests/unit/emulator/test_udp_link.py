"""A device over real UDP, against servers that do their work, servers that do not, and none."""

import asyncio
import io
from random import Random

import msgspec
import pytest
from tiny_server import Answer
from tiny_udp_server import TinyUdpServer

from teltonika.codecs import AvlPacket, consecutive_imeis
from teltonika.codecs.captures import read_capture
from teltonika.codecs.framing import decode_data
from teltonika.codecs.udp import decode_datagram
from teltonika.emulator import (
    DeviceLink,
    DeviceObserver,
    EmulatedDevice,
    EmulatorSettings,
    Fleet,
    Transport,
    UdpMachine,
    assemble_device,
)
from teltonika.emulator.assemble import SERVER_PROTOCOL
from teltonika.emulator.pcap_recorder import PcapRecorder

IMEI = "356307042441013"
START_MS = 1_760_000_000_000
RIGHT, WRONG, SILENCE, _ = Answer


def settings_for(server: TinyUdpServer, **changes: object) -> EmulatorSettings:
    return EmulatorSettings(
        port=server.port,
        **{
            "transport": Transport.UDP,
            "records": 6,
            "records_per_packet": 2,
            "start_ms": START_MS,
            "interval_s": 0.0,
            "ack_timeout_s": 30.0,
            "give_up_after_s": 30.0,
            "first_retry_s": 0.01,
            "max_retry_s": 0.05,
        }
        | changes,
    )


class Watch(DeviceObserver):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.trouble = asyncio.Event()

    def connected(self, device: EmulatedDevice) -> None:
        self.told.append("connected")

    def acknowledged(self, device: EmulatedDevice, packet: bytes, latency_s: float) -> None:
        assert 0 < latency_s < 30
        self.told.append("acknowledged")

    def ack_refused(self, device: EmulatedDevice, expected: int, found: int) -> None:
        self.told.append(f"{found} for {expected}")

    def disconnected(self, device: EmulatedDevice, reason: str, retry_in_s: float) -> None:
        self.told.append(reason)
        self.trouble.set()


def link_for(settings: EmulatorSettings, watch: Watch | None = None) -> DeviceLink:
    return DeviceLink(assemble_device(IMEI, settings, START_MS), settings, Random(0), watch)


def times(server: TinyUdpServer, imei: str = IMEI) -> list[int]:
    return [record.timestamp_ms for record in server.records[imei]]


async def test_it_delivers_every_record_in_order_and_ends() -> None:
    watch = Watch()
    async with TinyUdpServer() as server:
        report = await link_for(settings_for(server), watch).run()
    assert times(server) == [START_MS + 1000 * number for number in range(6)]
    assert len(server.datagrams) == 3
    assert report.complete
    assert (report.records_sent, report.packets_acknowledged, report.connections) == (6, 3, 1)
    assert watch.told == ["connected", "acknowledged", "acknowledged", "acknowledged"]
    assert 0 < report.ack_latency_mean_s <= report.ack_latency_max_s


async def test_an_unanswered_datagram_goes_again_and_the_others_wait() -> None:
    watch = Watch()
    async with TinyUdpServer(RIGHT, SILENCE, SILENCE) as server:
        report = await link_for(settings_for(server, ack_timeout_s=0.05), watch).run()
    first, second, again, once_more, last = server.datagrams
    assert second == again == once_more
    assert len({first, second, last}) == 3
    assert (report.ack_timeouts, report.packets_resent, report.connections) == (2, 2, 1)
    assert report.complete
    assert server.stored_already == 4
    assert "connected" in watch.told
    assert len(watch.told) == 4


async def test_a_lost_datagram_is_not_waited_for_as_long_as_an_answer_over_tcp() -> None:
    async with TinyUdpServer(SILENCE) as server:
        settings = settings_for(server, ack_timeout_s=None, give_up_after_s=5.0)
        assert msgspec.structs.replace(settings, transport=Transport.TCP).answer_timeout_s > 5
        report = await link_for(settings).run()
    assert (report.ack_timeouts, report.complete) == (1, True)


async def test_a_datagram_with_a_wrong_answer_goes_again_after_the_time_out() -> None:
    watch = Watch()
    async with TinyUdpServer(WRONG) as server:
        report = await link_for(settings_for(server, ack_timeout_s=0.05), watch).run()
    assert server.datagrams[0] == server.datagrams[1]
    assert len(server.datagrams) == 4
    assert report.complete
    assert (report.wrong_acks, report.ack_timeouts) == (1, 1)
    assert watch.told[0] == "3 for 2"


async def test_a_server_that_never_counts_right_is_not_flooded() -> None:
    async with TinyUdpServer(*[WRONG] * 1000) as server:
        settings = settings_for(server, ack_timeout_s=0.1, give_up_after_s=0.55)
        report = await link_for(settings).run()
    assert report.gave_up
    assert 2 <= len(server.datagrams) <= 7


async def test_a_server_that_comes_late_gets_the_same_datagram() -> None:
    async with TinyUdpServer() as gone:
        port = gone.port
    watch = Watch()
    link = link_for(settings_for(gone), watch)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(link.run())
        await watch.trouble.wait()
        async with TinyUdpServer(port=port) as server:
            report = await running
    assert report.complete
    assert watch.told[0] == "connection refused"
    assert report.connections >= 2
    assert report.packets_resent == report.connections - 1
    assert len(server.datagrams) == 3
    assert times(server) == [START_MS + 1000 * number for number in range(6)]


async def test_where_nobody_listens_it_gives_up() -> None:
    async with TinyUdpServer() as gone:
        pass
    watch = Watch()
    report = await link_for(settings_for(gone, give_up_after_s=0.3), watch).run()
    assert report.gave_up
    assert not report.complete
    assert set(watch.told) == {"connection refused"}
    assert len(watch.told) == report.connections > 2


async def test_a_name_that_nobody_knows_is_tried_again_like_a_refusal() -> None:
    async with TinyUdpServer() as server:
        watch = Watch()
        settings = settings_for(server, host="nobody.invalid", give_up_after_s=0.3)
        report = await link_for(settings, watch).run()
    assert report.gave_up
    assert report.connections == 0
    assert watch.told


async def test_stopped_it_goes_on_sending_the_datagram_that_is_out() -> None:
    async with TinyUdpServer(*[SILENCE] * 3) as server:
        settings = settings_for(server, records=0, ack_timeout_s=0.05)
        link = link_for(settings)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(link.run())
            await server.came.wait()
            link.stop()
            report = await running
    assert len(set(server.datagrams)) == 1
    assert len(server.datagrams) == 4
    assert report.complete
    assert report.records_sent == 2


async def test_stopped_it_gives_a_silent_server_up_in_the_end() -> None:
    async with TinyUdpServer(*[SILENCE] * 1000) as server:
        settings = settings_for(server, records=0, ack_timeout_s=0.05, give_up_after_s=0.3)
        link = link_for(settings)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(link.run())
            await server.came.wait()
            link.stop()
            report = await running
    assert not report.complete
    assert not report.gave_up


class Babbler(TinyUdpServer):
    """Says other things before each answer, and each answer twice."""

    def answer(self, data: bytes, addr: tuple[str, int]) -> None:
        before = bytes((data[2] ^ 1, data[3]))
        for said in (b"", b"\x01", bytes(7), bytes(9000), data[:2] + before + data[4:], data, data):
            super().answer(said, addr)


async def test_it_finds_its_answer_among_others() -> None:
    async with Babbler() as server:
        report = await link_for(settings_for(server)).run()
    assert report.complete
    assert len(server.datagrams) == 3
    assert (report.wrong_acks, report.records_resent) == (0, 0)
    assert report.broken_frames >= 4


async def test_without_a_network_it_sends_nothing_and_later_from_another_port() -> None:
    addresses: set[tuple[str, int]] = set()

    class Server(TinyUdpServer):
        def answer(self, data: bytes, addr: tuple[str, int]) -> None:
            addresses.add(addr)
            super().answer(data, addr)

    async with Server() as server:
        watch = Watch()
        link = link_for(settings_for(server, records=10, interval_s=0.02), watch)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(link.run())
            await server.came.wait()
            link.lose_network(0.1)
            report = await running
    assert report.complete
    assert times(server) == sorted(set(times(server)))
    assert len(server.records[IMEI]) == 10
    assert (report.connections, len(addresses)) == (2, 2)
    assert "it has no network" in watch.told


async def test_the_records_are_those_of_the_device_over_tcp() -> None:
    async with TinyUdpServer() as server:
        settings = settings_for(server)
        await link_for(settings).run()
    tcp = assemble_device(IMEI, settings_for(server, transport=Transport.TCP), START_MS)
    expected = [next(tcp.records) for _ in range(6)]
    packets = [decode_data(decode_datagram(one).data) for one in server.datagrams]
    assert all(isinstance(packet, AvlPacket) for packet in packets)
    assert [record for packet in packets for record in packet.records] == expected


def test_it_is_configured_for_udp() -> None:
    device = assemble_device(IMEI, EmulatorSettings(transport=Transport.UDP), START_MS)
    assert isinstance(device, UdpMachine)
    assert device.unit.parameters[SERVER_PROTOCOL] == "1"
    assert assemble_device(IMEI, EmulatorSettings(), 0).unit.parameters[SERVER_PROTOCOL] == "0"


async def test_a_fleet_of_fifty_delivers_and_one_seed_decides_every_datagram() -> None:
    imeis = consecutive_imeis(IMEI, 50)

    async def run(seed: int) -> dict[str, list[bytes]]:
        async with TinyUdpServer() as server:
            fleet = Fleet(imeis, settings_for(server, seed=seed))
            await fleet.run()
        counts = fleet.counts()
        assert counts.complete
        assert (counts.records_acknowledged, counts.finished, counts.connected) == (300, 50, 0)
        assert counts.most_connected >= 1
        sent: dict[str, list[bytes]] = {}
        for datagram in server.datagrams:
            sent.setdefault(decode_datagram(datagram).imei, []).append(datagram)
        return sent

    first, again, other = await run(1), await run(1), await run(2)
    assert set(first) == set(imeis)
    assert first == again
    assert all(first[imei] != other[imei] for imei in imeis)


async def test_what_it_sends_and_gets_is_recorded() -> None:
    file = io.BytesIO()
    async with TinyUdpServer(RIGHT, SILENCE) as server:
        settings = settings_for(server, ack_timeout_s=0.05)
        device = assemble_device(IMEI, settings, START_MS)
        await DeviceLink(device, settings, Random(0), recorder=PcapRecorder(file)).run()
    (session,) = read_capture(file.getvalue()).sessions
    assert session.transport == "udp"
    assert [payload.data for payload in session.device] == server.datagrams
    assert len(session.server) == 3
    assert session.server_address == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("records_per_packet", [1, 255])
async def test_large_and_small_datagrams_arrive(records_per_packet: int) -> None:
    async with TinyUdpServer() as server:
        settings = settings_for(server, records=510, records_per_packet=records_per_packet)
        report = await link_for(settings).run()
    assert report.complete
    assert len(server.records[IMEI]) == 510
