"""Each fault over UDP, as a server sees it."""

from collections import Counter
from random import Random

import pytest
from tiny_server import Answer
from tiny_udp_server import TinyUdpServer

from teltonika.codecs import AvlRecord
from teltonika.codecs.framing import decode_data
from teltonika.codecs.udp import DatagramAnswer, decode_datagram, encode_answer
from teltonika.emulator import EmulatorSettings, FaultyLink, Transport, assemble_device
from teltonika.emulator.faults import Fault, FaultPlan, parse_faults
from teltonika.emulator.faults.plan import OVER_UDP, check_transport

IMEI = "356307042441013"
START_MS = 1_760_000_000_000


async def run(
    plan: FaultPlan, *inject: Fault, server: TinyUdpServer | None = None, **more: object
) -> tuple[TinyUdpServer, FaultyLink]:
    async with server or TinyUdpServer() as server:
        settings = EmulatorSettings(
            port=server.port,
            transport=Transport.UDP,
            **{
                "records": 3,
                "interval_s": 0.0,
                "start_ms": START_MS,
                "ack_timeout_s": 0.05,
                "give_up_after_s": 5.0,
                "faults": plan,
            }
            | more,
        )
        link = FaultyLink(assemble_device(IMEI, settings, START_MS), settings, Random(1))
        for fault in inject:
            link.inject(fault)
        await link.run()
    return server, link


async def injected(fault: Fault) -> tuple[TinyUdpServer, FaultyLink]:
    server, link = await run(FaultPlan(), fault)
    report = link.device.report
    assert report.complete
    assert report.faults == {fault.value: 1}
    assert len(server.records[IMEI]) == 3
    return server, link


async def test_a_dropped_datagram_comes_only_when_it_is_sent_again() -> None:
    server, link = await injected(Fault.DROP)
    report = link.device.report
    assert len(server.datagrams) == 3
    assert server.stored_already == 0
    assert report.duration_s >= 0.05  # the time-out
    assert (report.ack_timeouts, report.packets_resent, report.connections) == (1, 1, 1)


async def test_a_dropped_answer_brings_the_same_datagram_again() -> None:
    server, link = await injected(Fault.DROP_ACK)
    assert server.datagrams[0] == server.datagrams[1]
    assert len(server.datagrams) == 4
    assert server.stored_already == 1
    assert (link.device.report.ack_timeouts, link.device.report.wrong_acks) == (1, 0)


async def test_a_duplicate_comes_twice_and_waits_for_nothing() -> None:
    server, link = await injected(Fault.DUPLICATE)
    assert server.datagrams[0] == server.datagrams[1]
    assert len(server.datagrams) == 4
    assert server.stored_already == 1
    report = link.device.report
    assert (report.ack_timeouts, report.packets_resent, report.wrong_acks) == (0, 0, 0)


async def test_delay_is_waited_for_and_not_taken_for_a_loss() -> None:
    server, link = await injected(Fault.DELAY)
    assert len(server.datagrams) == 3
    assert link.device.report.ack_timeouts == 0
    assert link.device.report.duration_s >= 0.1


@pytest.mark.parametrize(
    ("fault", "complaint"), [(Fault.LENGTH, "bad_length"), (Fault.COUNTS, "record_count_mismatch")]
)
async def test_a_broken_datagram_comes_right_the_next_time(fault: Fault, complaint: str) -> None:
    server, _ = await injected(fault)
    broken, right = server.datagrams[:2]
    assert server.complaints == [complaint]
    assert len(broken) == len(right)
    assert sum(one != other for one, other in zip(broken, right, strict=True)) in (1, 2)


async def test_garbage_comes_in_front() -> None:
    server, _ = await injected(Fault.GARBAGE)
    broken, right = server.datagrams[:2]
    assert len(server.complaints) == 1
    assert broken.endswith(right)
    assert 1 <= len(broken) - len(right) <= 64


async def test_clock_is_off_and_stays_so_when_the_datagram_comes_again() -> None:
    server, link = await run(parse_faults(["clock=1"]), Fault.DROP_ACK)
    assert link.device.report.complete
    assert server.datagrams[0] == server.datagrams[1]
    year_ms = 31_536_000_000
    assert all(abs(time - START_MS) > 2 * year_ms for time in times(server.records[IMEI]))


def times(records: list[AvlRecord]) -> list[int]:
    return [record.timestamp_ms for record in records]


async def test_no_luhn_is_said_in_each_datagram() -> None:
    server, _ = await run(parse_faults(["no-luhn=1"]))
    assert set(server.records) == {IMEI[:-1] + "4"}


# broken copies that are answered


class Believer(TinyUdpServer):
    """Answers whatever comes as if it were right."""

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.datagrams.append(data)
        self.answer(encode_answer(DatagramAnswer(int.from_bytes(data[2:4]), data[5], 1)), addr)


@pytest.mark.parametrize("fault", [Fault.LENGTH, Fault.COUNTS])
async def test_a_broken_datagram_that_is_acknowledged_is_counted(fault: Fault) -> None:
    _, link = await run(FaultPlan(), fault, server=Believer())
    assert link.device.report.corrupt_acknowledged == 1
    assert not link.device.report.complete


async def test_an_answer_may_be_to_the_right_copy_that_went_before() -> None:
    class Late(Believer):
        """Answers only when something came twice."""

        def answer(self, data: bytes, addr: tuple[str, int]) -> None:
            if len(self.datagrams) != 1:
                super().answer(data, addr)

    _, link = await run(parse_faults(["counts@0.04"]), server=Late())
    report = link.device.report
    assert report.faults == {"counts": 1}
    assert report.packets_resent == 1
    assert report.corrupt_acknowledged == 0


async def test_a_loss_after_a_broken_copy_makes_it_no_better() -> None:
    server = TinyUdpServer()
    _, link = await run(FaultPlan(), server=server)
    line = link._line
    line.strike(frozenset((Fault.COUNTS,)), server.datagrams[0], 0.0)
    assert line.broken
    line.strike(frozenset((Fault.DROP,)), server.datagrams[0], 0.0)
    assert line.broken
    line.strike(frozenset(), server.datagrams[0], 0.0)
    assert not line.broken


# all together


EVERYTHING = "drop=0.1,drop-ack=0.1,duplicate=0.1,length=0.1,counts=0.1,garbage=0.1,clock=0.1"


async def test_whatever_is_lost_each_record_is_stored_once() -> None:
    server, link = await run(parse_faults([EVERYTHING]), records=200, ack_timeout_s=0.02)
    report = link.device.report
    assert report.complete
    assert (report.records_acknowledged, report.corrupt_acknowledged) == (200, 0)
    assert len(server.records[IMEI]) == 200
    assert len(report.faults) == 7


async def test_the_same_seed_sends_the_same_datagrams() -> None:
    async def sent(seed: int) -> tuple[list[bytes], dict[str, int]]:
        plan = parse_faults([EVERYTHING])
        # Long time-outs: on a busy machine a late answer would cost a copy more.
        server, link = await run(plan, records=15, seed=seed, ack_timeout_s=0.3)
        return server.datagrams, link.device.report.faults

    first, again, other = await sent(1), await sent(1), await sent(2)
    assert first == again
    assert first != other


async def test_drops_do_not_change_what_is_sent_in_the_end() -> None:
    calm, _ = await run(FaultPlan(), records=50)
    lossy, _ = await run(parse_faults(["drop=0.2,drop-ack=0.2"]), records=50, ack_timeout_s=0.02)
    assert list(Counter(lossy.datagrams)) == calm.datagrams
    assert lossy.records == calm.records


# what there is over which transport


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_is_of_one_transport_or_of_both(fault: Fault) -> None:
    there = {Transport.UDP: fault in OVER_UDP, Transport.TCP: fault is not Fault.DROP}
    for transport, has in there.items():
        if has:
            check_transport(fault, transport)
        else:
            with pytest.raises(ValueError, match=f"^{fault.value} is for "):
                check_transport(fault, transport)


def test_a_plan_is_looked_at_as_a_whole() -> None:
    for text in ("drop=0.1,rst=0.1", "drop=0.1,cut@3"):
        with pytest.raises(ValueError, match="is for TCP; over UDP there are delay, length"):
            parse_faults([text]).check_transport(Transport.UDP)
    with pytest.raises(ValueError, match="drop is for UDP: TCP itself sends lost segments again"):
        parse_faults(["drop@1"]).check_transport(Transport.TCP)


async def test_losses_on_purpose_come_on_top_of_those_of_the_server() -> None:
    server = TinyUdpServer(*[Answer.SILENCE, Answer.RIGHT, Answer.WRONG] * 5)
    _, link = await run(parse_faults(["drop=0.2"]), server=server, records=20)
    assert link.device.report.complete
    assert [
        decode_data(decode_datagram(one).data).records[0] for one in dict.fromkeys(server.datagrams)
    ] == server.records[IMEI]
