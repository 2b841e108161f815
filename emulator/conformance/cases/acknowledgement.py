"""What an ACK says, when it comes, and when none may come."""

from teltonika.emulator.conformance.bench import Bench
from teltonika.emulator.conformance.case import Case, Group, Requirement
from teltonika.emulator.conformance.device_socket import Unexpected
from teltonika.emulator.conformance.packets import data_field, framed, packet

ACK = "The server answers 4 bytes: the number of AVL records it accepted, as uint32."
CRC = "CRC-16/IBM (ARC) of codec id .. number of data 2, in the low 2 bytes; the high two are zero"
SENT_AGAIN = (
    "A wrong number, or no answer in time (a device setting, 5 s to 2 min), makes it send the "
    "same records again: on this socket, or, after a reconnect, first thing on the next one."
)
DAMAGED = framed(data_field(packet(count=2)), crc_change=0x0101)
"""Two records: an ACK of it is not taken for that of a packet of one."""


async def value(bench: Bench) -> None:
    async with bench.accepted() as device:
        first = 0
        for count in (1, 2, 3, 25):
            await device.send(packet(first, count))
            await device.expect_ack(count)
            first += count


async def once(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send(packet())
        await device.expect_ack(1)
        await device.expect_silence("behind the ACK of the only packet")


async def not_before_the_end(bench: Bench) -> None:
    async with bench.accepted() as device:
        whole = packet()
        cuts = (10, len(whole) - 4, len(whole) - 1)  # behind the counts, the data, most of the CRC
        for start, end in zip((0, *cuts), cuts, strict=False):
            await device.send(whole[start:end])
            await device.expect_silence(f"when {end} of the packet's {len(whole)} bytes had come")
        await device.send(whole[cuts[-1] :])
        await device.expect_ack(1)


async def _expect_none_accepted(bench: Bench, broken: bytes, what: str) -> None:
    """Send it, and a right packet of one record behind it: an ACK that comes late says which."""
    async with bench.accepted() as device:
        await device.send(broken)
        count = await device.next_accepted(bench.patience.quiet_s)
        if count is None and not device.closed_by_server:
            await device.send(packet(10))
            count = await device.next_accepted()
            count = None if count == 1 else count
        if count is not None:
            raise Unexpected(f"the server acknowledged {what}: the ACK says {count} records")


async def wrong_crc(bench: Bench) -> None:
    await _expect_none_accepted(bench, DAMAGED, "a packet with a wrong CRC")


async def wrong_crc_unanswered(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send(DAMAGED)
        await device.expect_silence("as an answer to a packet with a wrong CRC")


async def wrong_high_crc(bench: Bench) -> None:
    damaged = framed(data_field(packet(count=2)), crc_change=0x0100_0000)
    await _expect_none_accepted(bench, damaged, "a packet whose CRC has high bytes")


async def counts_differ(bench: Bench) -> None:
    differing = framed(data_field(packet(count=2))[:-1] + b"\x03")
    await _expect_none_accepted(bench, differing, "a packet whose two counts differ")


async def right_after_wrong_crc(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send(DAMAGED)
        await device.next_accepted(bench.patience.quiet_s)  # another case says whether it may
        await device.send(packet(count=2))
        if await device.next_accepted() is not None:
            return
        if not device.closed_by_server:
            raise Unexpected("no ACK of the packet, and the connection is still open")
    async with bench.accepted() as device:
        await device.send(packet(count=2))
        await device.expect_ack(2)


async def resent(bench: Bench) -> None:
    async with bench.accepted() as device:
        for _ in range(2):
            await device.send(packet(count=2))
            await device.expect_ack(2)


async def resent_on_the_next(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send(packet(count=2))
        await device.expect_ack(2)
    async with bench.accepted() as device:
        await device.send(packet(count=2))
        await device.expect_ack(2)


GROUP = Group(
    "acknowledgement",
    (
        Case(
            name="ack-value",
            expects="ACKs of 1, 2, 3 and 25 for packets of so many records, big-endian",
            source=ACK,
            run=value,
        ),
        Case(
            name="ack-once",
            expects="one ACK of four bytes for a packet, and nothing behind it",
            source=ACK,
            run=once,
        ),
        Case(
            name="ack-not-before-the-end",
            expects="nothing while a packet is not all there, then its ACK",
            source="one read taken for one packet",
            run=not_before_the_end,
        ),
        Case(
            name="ack-wrong-crc",
            expects="no ACK that accepts records of a packet with a wrong CRC",
            source=CRC,
            run=wrong_crc,
        ),
        Case(
            name="ack-wrong-high-crc",
            expects="no ACK of a packet whose CRC is right in its low two bytes only",
            source="the high CRC bytes ignored",
            run=wrong_high_crc,
        ),
        Case(
            name="ack-counts-differ",
            expects="no ACK of a packet whose second count is not its first",
            source="must equal the first",
            run=counts_differ,
        ),
        Case(
            name="ack-right-after-wrong-crc",
            expects="what came with a wrong CRC is acknowledged when it is sent again, whole: on "
            "this connection, or if the server closed it, on the next",
            source=SENT_AGAIN,
            run=right_after_wrong_crc,
        ),
        Case(
            name="ack-resent",
            expects="a packet that is sent again on the same connection is acknowledged again",
            source=SENT_AGAIN,
            run=resent,
        ),
        Case(
            name="ack-resent-on-the-next-connection",
            expects="a packet that is sent again after a reconnect is acknowledged again",
            source=SENT_AGAIN,
            run=resent_on_the_next,
        ),
        Case(
            name="ack-wrong-crc-unanswered",
            requirement=Requirement.RECOMMENDED,
            expects="not even an ACK of no records for a packet with a wrong CRC",
            source=SENT_AGAIN,
            run=wrong_crc_unanswered,
        ),
    ),
)
