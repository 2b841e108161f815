"""Packets as TCP delivers them: in pieces, several at once, with pings between."""

from teltonika.codecs import encode_packet
from teltonika.emulator.conformance.bench import Bench
from teltonika.emulator.conformance.case import Case, Group, Requirement
from teltonika.emulator.conformance.cases.handshake import NO_BOUNDARIES
from teltonika.emulator.conformance.packets import (
    CODEC8E,
    CODEC16,
    PING,
    one_by_one,
    packet,
    periodical,
    record,
)

PINGS = (
    "Between packets a device can send single `FF` bytes (a network ping). They are not answered."
)


async def one_byte(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send_in_pieces(*one_by_one(packet()))
        await device.expect_ack(1)


async def several(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send(packet(0, 1) + packet(1, 2) + packet(3, 3))
        await device.expect_ack(1, 2, 3)


async def one_and_a_half(bench: Bench) -> None:
    async with bench.accepted() as device:
        second = packet(1, 2)
        await device.send(packet() + second[:20])
        await device.expect_ack(1)
        await device.send(second[20:])
        await device.expect_ack(2)


async def ping(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send(PING)
        await device.expect_silence("as an answer to a ping")
        await device.send(packet())
        await device.expect_ack(1)


async def ping_in_segment(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send(packet() + PING + packet(1) + PING * 2 + packet(2))
        await device.expect_ack(1, 1, 1)


async def mixed_codecs(bench: Bench) -> None:
    async with bench.accepted() as device:
        for sent in (
            packet(),
            encode_packet(CODEC8E, [record(1)]),
            encode_packet(CODEC16, [periodical(2)]),
        ):
            await device.send(sent)
            await device.expect_ack(1)


GROUP = Group(
    "framing",
    (
        Case(
            name="framing-one-byte-fragments",
            expects="a packet that comes in pieces of one byte is acknowledged",
            source=NO_BOUNDARIES,
            run=one_byte,
        ),
        Case(
            name="framing-several-in-a-segment",
            expects="three packets in one segment get three ACKs, in their order",
            source=NO_BOUNDARIES,
            run=several,
        ),
        Case(
            name="framing-one-and-a-half",
            expects="of one and a half packets the one is acknowledged, then, with its rest, the "
            "other",
            source=NO_BOUNDARIES,
            run=one_and_a_half,
        ),
        Case(
            name="framing-ping",
            expects="a ping gets no answer, and the packet behind it its ACK",
            source=PINGS,
            run=ping,
        ),
        Case(
            name="framing-ping-in-segment",
            expects="pings in one segment with packets disturb none of their ACKs",
            source="`FF` pings taken for a broken preamble",
            run=ping_in_segment,
        ),
        Case(
            name="framing-mixed-codecs",
            requirement=Requirement.RECOMMENDED,
            expects="packets of codec 8, 8 Extended and 16 are acknowledged on one connection",
            source="`08`, `8E`, `10`, `0C`, `0D`, `0E`, `0F`",
            run=mixed_codecs,
        ),
    ),
)
