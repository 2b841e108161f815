"""Devices that take their time, vanish, or have much to say."""

import asyncio
from itertools import pairwise

from teltonika.codecs import encode_imei
from teltonika.emulator.conformance.bench import Bench
from teltonika.emulator.conformance.case import Case, Group, Requirement
from teltonika.emulator.conformance.cases.handshake import NO_BOUNDARIES
from teltonika.emulator.conformance.packets import packet

BUFFERED = (
    "After an outage a device sends everything it buffered, oldest or newest first by its "
    "setting, as fast as it is acknowledged."
)
FLOOD = 60
"""Packets."""


async def slow(bench: Bench) -> None:
    async with bench.accepted() as device:
        whole = packet()
        cuts = (0, 3, 6, 9, 30, len(whole) - 2, len(whole))
        pieces = [whole[start:end] for start, end in pairwise(cuts)]
        await device.send_in_pieces(*pieces, pause_s=bench.patience.slow_s)
        await device.expect_ack(1)


async def idle(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send(packet())
        await device.expect_ack(1)
        await asyncio.sleep(bench.patience.idle_s)
        await device.send(packet(1))
        await device.expect_ack(1)


async def idle_before_imei(bench: Bench) -> None:
    async with bench.connected() as device:
        await asyncio.sleep(bench.patience.idle_s)
        await device.send(encode_imei(bench.imei))
        await device.expect_accepted()


async def vanishes(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send(packet(count=2)[:30])
    async with bench.accepted() as device:
        await device.send(packet(count=2))
        await device.expect_ack(2)


async def flood(bench: Bench) -> None:
    async with bench.accepted() as device:
        for number in reversed(range(FLOOD)):
            await device.send(packet(number))
            await device.expect_ack(1)


GROUP = Group(
    "patience",
    (
        Case(
            name="patience-slow-device",
            expects="a packet that comes in pieces, with pauses between them, is acknowledged",
            source=NO_BOUNDARIES,
            run=slow,
        ),
        Case(
            name="patience-idle-device",
            expects="a device that said nothing for two seconds is still served",
            source="Commands (codec 12, 14) may come from the server at any moment after the "
            "handshake.",
            run=idle,
        ),
        Case(
            name="patience-vanishes-in-mid-packet",
            expects="a packet whose first half came on a connection that ended is acknowledged "
            "when it comes whole on the next",
            source="on this socket, or, after a reconnect, first thing on the next one",
            run=vanishes,
        ),
        Case(
            name="patience-buffered-records",
            expects=f"{FLOOD} packets, newest first, each sent when the one before is "
            "acknowledged, all get their ACKs",
            source=BUFFERED,
            run=flood,
        ),
        Case(
            name="patience-idle-before-imei",
            requirement=Requirement.RECOMMENDED,
            expects="an IMEI that comes two seconds after the connection is accepted",
            source="The device connects and sends its IMEI",
            run=idle_before_imei,
        ),
    ),
)
