"""A device over real TCP, against servers that do their work and servers that do not."""

import asyncio
import socket
import time
from itertools import chain
from random import Random

import pytest
from free_ports import free_port
from tiny_server import Answer, TinyServer

from teltonika.codecs import AVL_CODECS, AvlRecord, EncodeError, IoElement, IoElements
from teltonika.emulator import (
    DeviceLink,
    DeviceMachine,
    DeviceObserver,
    DeviceReport,
    EmulatorSettings,
    assemble_device,
)

IMEI = "356307042441013"
RIGHT, WRONG, SILENCE, HANG_UP = Answer


def settings_for(port: int, **changes: float) -> EmulatorSettings:
    fields: dict[str, float] = {
        "interval_s": 0.0,
        "ack_timeout_s": 30.0,
        "give_up_after_s": 30.0,
        "first_retry_s": 0.01,
        "max_retry_s": 0.05,
    }
    return EmulatorSettings(
        port=port,
        records=6,
        records_per_packet=2,
        start_ms=1_760_000_000_000,
        **(fields | changes),  # type: ignore[arg-type]
    )


def link_for(settings: EmulatorSettings, observer: DeviceObserver | None = None) -> DeviceLink:
    device = assemble_device(IMEI, settings, 0)
    return DeviceLink(device, settings, Random(0), observer)


async def run(server: TinyServer, **changes: float) -> DeviceReport:
    return await link_for(settings_for(server.port, **changes)).run()


class Watch(DeviceObserver):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.packets: list[bytes] = []
        self.latencies: list[float] = []
        self.first_ack = asyncio.Event()
        self.first_trouble = asyncio.Event()

    def connected(self, device: DeviceMachine) -> None:
        self.told.append("connected")

    def acknowledged(self, device: DeviceMachine, packet: bytes, latency_s: float) -> None:
        self.told.append("acknowledged")
        self.packets.append(packet)
        self.latencies.append(latency_s)
        self.first_ack.set()

    def ack_refused(self, device: DeviceMachine, expected: int, found: int) -> None:
        self.told.append(f"{found} for {expected}")

    def disconnected(self, device: DeviceMachine, reason: str, retry_in_s: float) -> None:
        self.told.append(reason)
        self.first_trouble.set()


async def test_it_delivers_every_record_in_order_and_ends() -> None:
    async with TinyServer() as server:
        report = await run(server)
        (received,) = server.connections
    assert received.imei == IMEI
    times = [record.timestamp_ms for record in received.records]
    assert times == [1_760_000_000_000 + 1000 * number for number in range(6)]
    assert report.complete
    assert (report.records_sent, report.records_acknowledged, report.packets_sent) == (6, 6, 3)
    assert (report.records_resent, report.packets_acknowledged, report.connections) == (0, 3, 1)
    assert 0 < report.ack_latency_mean_s <= report.ack_latency_max_s < report.duration_s


async def test_a_packet_without_an_ack_in_time_goes_first_on_the_next_connection() -> None:
    async with TinyServer([RIGHT, RIGHT, SILENCE]) as server:
        report = await run(server, ack_timeout_s=0.1)
        first, second = server.packets
    assert first[1] == second[0]
    assert len(first) == len(second) == 2
    assert report.complete
    assert (report.ack_timeouts, report.packets_resent, report.records_resent) == (1, 1, 2)


async def test_a_packet_with_a_wrong_ack_goes_again_on_the_same_connection() -> None:
    async with TinyServer([RIGHT, WRONG]) as server:
        report = await run(server)
        (packets,) = server.packets
    assert packets[0] == packets[1]
    assert len(set(packets)) == 3
    assert report.complete
    assert (report.wrong_acks, report.connections) == (1, 1)


async def test_a_server_that_counts_wrongly_twice_gets_another_connection() -> None:
    async with TinyServer([RIGHT, WRONG, WRONG]) as server:
        report = await run(server)
        first, second = server.packets
    assert first[0] == first[1] == second[0]
    assert report.complete
    assert (report.wrong_acks, report.packets_resent) == (2, 2)


async def test_a_packet_whose_connection_breaks_inside_it_is_sent_again() -> None:
    async with TinyServer(hang_up_inside=1) as server:
        report = await run(server)
        first, second = server.packets
    assert first == []
    assert len(second) == 3
    assert report.complete
    assert report.packets_resent == 1


async def test_a_server_that_closes_after_each_packet_still_gets_everything() -> None:
    async with TinyServer(*[[RIGHT, HANG_UP]] * 2) as server:
        report = await run(server)
    assert report.complete
    assert (report.connections, report.packets_resent) == (3, 2)


@pytest.mark.parametrize(
    ("answer", "rejections", "failures"), [(WRONG, 1, 0), (SILENCE, 0, 1), (HANG_UP, 0, 0)]
)
async def test_a_device_whose_imei_is_not_accepted_comes_again(
    answer: Answer, rejections: int, failures: int
) -> None:
    async with TinyServer([answer]) as server:
        report = await run(server, ack_timeout_s=0.2)
        assert server.packets[0] == []
    assert report.complete
    assert (report.rejections, report.handshake_failures) == (rejections, failures)


async def test_it_keeps_trying_until_somebody_listens() -> None:
    port = free_port()
    watch = Watch()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(link_for(settings_for(port), watch).run())
        await watch.first_trouble.wait()
        async with TinyServer(port=port):
            report = await running
    assert report.complete
    assert report.connections == 1
    assert watch.told[0] == "connection refused"
    assert watch.told[-4:] == ["connected", *["acknowledged"] * 3]


@pytest.mark.parametrize("script", [[SILENCE], [WRONG], [RIGHT, SILENCE], [RIGHT, WRONG, WRONG]])
async def test_it_gives_up_on_a_server_that_takes_nothing(script: list[Answer]) -> None:
    async with TinyServer(*[script] * 1000) as server:
        report = await run(server, ack_timeout_s=0.05, give_up_after_s=0.3)
    assert report.gave_up
    assert not report.complete
    assert report.records_acknowledged == 0
    assert report.connections > 1
    assert 0.3 <= report.duration_s < 5


async def test_it_gives_up_where_nobody_listens() -> None:
    report = await link_for(settings_for(free_port(), give_up_after_s=0.2)).run()
    assert report.gave_up
    assert report.connections == 0


async def test_it_gives_up_on_a_server_that_went_away_between_two_packets() -> None:
    watch = Watch()
    async with asyncio.TaskGroup() as group:
        async with TinyServer() as server:
            settings = settings_for(server.port, interval_s=60.0, give_up_after_s=0.2)
            running = group.create_task(link_for(settings, watch).run())
            await watch.first_ack.wait()
        report = await running
    assert report.gave_up
    assert (report.records_sent, report.records_acknowledged) == (2, 2)


async def test_it_gives_up_in_the_midst_of_waiting_for_an_ack() -> None:
    async with TinyServer([RIGHT, RIGHT, SILENCE]) as server:
        report = await run(server, give_up_after_s=0.2)
    assert report.gave_up
    assert (report.records_sent, report.records_acknowledged) == (4, 2)


async def test_waiting_for_the_interval_is_no_reason_to_give_up() -> None:
    async with TinyServer() as server:
        report = await run(server, interval_s=0.3, give_up_after_s=0.15)
    assert report.complete
    assert 0.6 <= report.duration_s < 5


async def test_after_an_outage_what_is_due_goes_out_without_waiting() -> None:
    async with TinyServer([RIGHT, SILENCE]) as server:
        report = await run(server, interval_s=0.5, ack_timeout_s=1.0)
    assert report.complete
    # All three were due when the outage of 1 s ended; another interval each makes it 2 s.
    assert 1.0 <= report.duration_s < 1.9


async def test_a_connection_lost_while_waiting_for_the_interval_is_noticed_at_once() -> None:
    watch = Watch()
    async with TinyServer([RIGHT, RIGHT]) as server, asyncio.TaskGroup() as group:
        link = link_for(settings_for(server.port, interval_s=60.0), watch)
        running = group.create_task(link.run())
        await watch.first_ack.wait()
        await server.drop()
        await watch.first_trouble.wait()
        link.stop()
        report = await running
    assert watch.told == ["connected", "acknowledged", "the server closed the connection"]
    assert report.complete


async def test_an_observer_is_told_of_everything_in_order() -> None:
    watch = Watch()
    async with TinyServer([WRONG], [RIGHT, RIGHT, WRONG, RIGHT, HANG_UP]) as server:
        await link_for(settings_for(server.port), watch).run()
        sent = list(dict.fromkeys(chain(*server.packets)))
    assert watch.told == [
        "the server rejected the IMEI",
        "connected",
        "acknowledged",
        "3 for 2",
        "acknowledged",
        "the server closed the connection",
        "connected",
        "acknowledged",
    ]
    assert watch.packets == sent
    assert all(0 < latency < 5 for latency in watch.latencies)


async def test_stopping_waits_for_the_packet_in_flight() -> None:
    class StopsInFlight(Watch):
        def ack_refused(self, device: DeviceMachine, expected: int, found: int) -> None:
            assert device.has_unacknowledged
            link.stop()
            link.stop()

    async with TinyServer([RIGHT, WRONG]) as server:
        link = link_for(settings_for(server.port), StopsInFlight())
        report = await link.run()
    assert report.complete
    assert (report.records_sent, report.records_acknowledged) == (2, 2)


async def test_stopping_waits_no_longer_than_the_ack_may_take() -> None:
    async with TinyServer(*[[RIGHT, SILENCE]] * 9) as server, asyncio.TaskGroup() as group:
        link = link_for(settings_for(server.port, ack_timeout_s=0.2))
        running = group.create_task(link.run())
        await server.packet_came.wait()
        link.stop()
        report = await running
    assert not report.complete
    assert not report.gave_up
    assert (report.records_acknowledged, report.connections) == (0, 1)


async def test_stopping_ends_a_wait_for_the_next_attempt_at_once() -> None:
    watch = Watch()
    async with asyncio.TaskGroup() as group:
        link = link_for(settings_for(free_port(), first_retry_s=60.0, max_retry_s=60.0), watch)
        running = group.create_task(link.run())
        await watch.first_trouble.wait()
        link.stop()
        report = await running
    assert not report.gave_up
    assert report.duration_s < 10


async def test_cancelling_closes_the_connection_and_leaves_a_report() -> None:
    async with TinyServer([RIGHT, RIGHT, SILENCE]) as server:
        link = link_for(settings_for(server.port))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await link.run()
        await server.connections[0].closed.wait()
    report = link.device.report
    assert not report.gave_up
    assert (report.records_sent, report.records_acknowledged) == (4, 2)
    assert report.duration_s >= 0.2
    assert report.ack_latency_max_s > 0


async def test_an_ack_that_comes_at_the_very_moment_of_the_time_out_counts() -> None:
    class Stalling(TinyServer):
        """Behind each answer the event loop hangs, until the device's time-out is over too."""

        def answered(self) -> None:
            time.sleep(0.15)

    async with Stalling() as server:
        report = await run(server, ack_timeout_s=0.1)
    assert report.complete
    assert (report.ack_timeouts, report.handshake_failures, report.connections) == (0, 0, 1)


async def test_an_observers_error_is_not_taken_for_a_time_out() -> None:
    class Broken(DeviceObserver):
        def disconnected(self, device: DeviceMachine, reason: str, retry_in_s: float) -> None:
            raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await link_for(settings_for(free_port()), Broken()).run()


async def test_a_connection_request_without_an_answer_is_given_up() -> None:
    watch = Watch()
    async with TinyServer() as server:
        settings = settings_for(server.port, connect_timeout_s=0.0, give_up_after_s=0.1)
        report = await link_for(settings, watch).run()
    assert report.gave_up
    assert set(watch.told) == {"no answer to the connection request"}


async def test_records_that_fit_no_packet_are_the_callers_mistake() -> None:
    large = IoElements.of([IoElement.variable(1, bytes(65_535))])
    records = iter([AvlRecord(1, 0, 0, 0, 0, 0, 0, 0, io=large)])
    async with TinyServer() as server:
        settings = settings_for(server.port)
        device = DeviceMachine(IMEI, AVL_CODECS.by_name("8E"), records)
        with pytest.raises(EncodeError, match="put fewer into one"):
            await DeviceLink(device, settings, Random(0)).run()


async def test_a_host_name_without_an_address_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    watch = Watch()
    settings = EmulatorSettings(host="no-such-host.invalid", give_up_after_s=0.1)
    report = await link_for(settings, watch).run()
    assert report.gave_up
    assert watch.told[0] == "name or service not known"
