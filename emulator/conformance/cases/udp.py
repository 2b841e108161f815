"""Datagrams: a packet and its answer in each."""

from collections.abc import Awaitable, Callable

from teltonika.codecs import encode_packet
from teltonika.codecs.udp import (
    ENVELOPE_SIZE,
    Datagram,
    DatagramAnswer,
    encode_answer,
    encode_datagram,
)
from teltonika.emulator.conformance import samples
from teltonika.emulator.conformance.bench import Bench
from teltonika.emulator.conformance.case import Case, Group, Needs, Requirement
from teltonika.emulator.conformance.device_socket import Unexpected
from teltonika.emulator.conformance.packets import CODEC8, data_field, record
from teltonika.emulator.conformance.transcript import shown_bytes

ANSWER = (
    "Answer: length `00 05`, packet id (2), not usable byte `01`, AVL packet id (1), number of "
    "accepted records (1)."
)
AGAIN = "Unanswered datagrams are sent again, with the same ids."


def envelope(imei: str, packet_id: int, avl_packet_id: int, data: bytes) -> bytes:
    """The datagram around a data field."""
    return encode_datagram(Datagram(packet_id, avl_packet_id, imei, data))


def answer(packet_id: int, avl_packet_id: int, count: int) -> bytes:
    return encode_answer(DatagramAnswer(packet_id, avl_packet_id, count))


def records(count: int) -> bytes:
    return data_field(encode_packet(CODEC8, [record(number) for number in range(count)]))


def documented(sample: bytes, avl_packet_id: int) -> Callable[[Bench], Awaitable[None]]:
    """The sample under the case's own IMEI."""

    async def run(bench: Bench) -> None:
        data = sample[ENVELOPE_SIZE:]
        async with bench.datagrams() as socket:
            socket.send(envelope(bench.imei, 0xCAFE, avl_packet_id, data))
            await socket.expect_answer(answer(0xCAFE, avl_packet_id, 1))

    return run


async def ids(bench: Bench) -> None:
    async with bench.datagrams() as socket:
        for packet_id, avl_packet_id, count in ((0, 0, 1), (0xFFFF, 0xFF, 2), (0x1234, 0x80, 3)):
            socket.send(envelope(bench.imei, packet_id, avl_packet_id, records(count)))
            await socket.expect_answer(answer(packet_id, avl_packet_id, count))


async def again(bench: Bench) -> None:
    async with bench.datagrams() as socket:
        for _ in range(2):
            socket.send(envelope(bench.imei, 7, 9, records(2)))
            await socket.expect_answer(answer(7, 9, 2))


async def damaged(bench: Bench) -> None:
    async with bench.datagrams() as socket:
        right = records(1)
        socket.send(envelope(bench.imei, 7, 9, right[:1] + b"\x07" + right[2:]))
        found = await socket.answer(bench.patience.quiet_s)
        if found is not None and found[-1:] != b"\x00":
            raise Unexpected(f"the server accepted records: {shown_bytes(found)}")


GROUP = Group(
    "udp",
    (
        *(
            Case(
                name=f"udp-{name}",
                expects=f"the documented {what} datagram is answered with its ids and one record",
                source=ANSWER,
                run=documented(sample, avl_packet_id),
                needs=Needs.UDP_PORT,
            )
            for name, what, sample, avl_packet_id in (
                ("codec8", "codec 8", samples.CODEC8_UDP, 5),
                ("codec8e", "codec 8 Extended", samples.CODEC8E_UDP, 7),
                ("codec16", "codec 16", samples.CODEC16_UDP, 1),
            )
        ),
        Case(
            name="udp-ids-and-counts",
            expects="any packet id and AVL packet id is echoed, with the number of records",
            source=ANSWER,
            run=ids,
            needs=Needs.UDP_PORT,
        ),
        Case(
            name="udp-resent",
            expects="a datagram that is sent again is answered again",
            source=AGAIN,
            run=again,
            needs=Needs.UDP_PORT,
        ),
        Case(
            name="udp-counts-differ",
            requirement=Requirement.RECOMMENDED,
            expects="a datagram whose counts differ accepts no records",
            source="must equal the first",
            run=damaged,
            needs=Needs.UDP_PORT,
        ),
    ),
)
