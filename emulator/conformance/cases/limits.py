"""Sizes: what must be taken, and what must not be believed."""

from teltonika.codecs import IoElement, encode_packet
from teltonika.emulator.conformance.bench import Bench
from teltonika.emulator.conformance.case import Case, Group, Requirement
from teltonika.emulator.conformance.device_socket import Unexpected
from teltonika.emulator.conformance.packets import CODEC8, CODEC8E, IGNITION, packet, record

LARGEST = 1_280
BEYOND = 5_000
TRUSTED = "the length field trusted: 4 GB allocated for 8 bytes"


def largest_packet() -> bytes:
    """One codec 8 record of 138 IO elements."""
    elements = [IoElement(id_, 10**9 + id_, 8) for id_ in range(1, 138)]
    made = encode_packet(CODEC8, [record(0, [*elements, IGNITION])])
    assert len(made) == LARGEST
    return made


def packet_with_nx(size: int) -> bytes:
    """A codec 8 Extended packet of one record and ``size`` bytes in all."""
    empty = len(encode_packet(CODEC8E, [record(0, [IGNITION, IoElement.variable(10_829, b"")])]))
    filling = IoElement.variable(10_829, b"\x55" * (size - empty))
    return encode_packet(CODEC8E, [record(0, [IGNITION, filling])])


async def largest(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send(largest_packet())
        await device.expect_ack(1)


async def beyond(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send(packet_with_nx(BEYOND))
        await device.expect_ack(1)


async def four_gb(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send(b"\x00\x00\x00\x00\xff\xff\xff\xff" + b"\x08\x01" + bytes(200))
        await device.expect_silence("as an answer to the start of a packet of 4 GB")
        async with bench.accepted(bench.neighbour_imei) as neighbour:
            await neighbour.send(packet())
            await neighbour.expect_ack(1)


async def four_gb_closed(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send(b"\x00\x00\x00\x00\xff\xff\xff\xff" + b"\x08\x01" + bytes(200))
        if not await device.closed():
            raise Unexpected("the connection is still open")


async def garbage(bench: Bench) -> None:
    async with bench.accepted() as device, bench.accepted(bench.neighbour_imei) as neighbour:
        await device.send(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
        await device.expect_silence("as an answer to an HTTP request")
        await neighbour.send(packet())
        await neighbour.expect_ack(1)


GROUP = Group(
    "limits",
    (
        Case(
            name="limits-largest-packet",
            expects=f"a packet of {LARGEST:,} bytes is acknowledged",
            source="a packet is 1,280 bytes at most",
            run=largest,
        ),
        Case(
            name="limits-length-of-4-gb",
            expects="a length of 4 GB is not acknowledged and disturbs no other device",
            source=TRUSTED,
            run=four_gb,
        ),
        Case(
            name="limits-beyond-the-largest",
            requirement=Requirement.RECOMMENDED,
            expects=f"a packet of {BEYOND:,} bytes is acknowledged",
            source="Devices with long BLE or camera data exceed them: take a limit from settings, "
            "not from this line.",
            run=beyond,
        ),
        Case(
            name="limits-length-of-4-gb-closed",
            requirement=Requirement.RECOMMENDED,
            expects="a length of 4 GB ends the connection: nothing behind it can be read",
            source=TRUSTED,
            run=four_gb_closed,
        ),
        Case(
            name="limits-garbage",
            requirement=Requirement.RECOMMENDED,
            expects="what is no packet is not answered and disturbs no other device",
            source="| preamble | 4 | zeros |",
            run=garbage,
        ),
    ),
)
