"""Frames of the command codecs, which are no AVL packets: no ACK is due."""

from collections.abc import Awaitable, Callable

from teltonika.emulator.conformance import samples
from teltonika.emulator.conformance.bench import Bench
from teltonika.emulator.conformance.case import Case, Group, Requirement
from teltonika.emulator.conformance.packets import one_by_one, packet

UNASKED = (
    "A codec 12 type `06` frame can come unasked (serial data passed through): it is data, not an "
    "answer to anything."
)
BETWEEN = "The device answers with a frame of the same codec, between its AVL packets."


def unanswered(frame: bytes) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        async with bench.accepted() as device:
            await device.send(frame)
            await device.expect_silence("as an answer to a frame without AVL records")
            await device.send(packet())
            await device.expect_ack(1)

    return run


async def mid_telemetry(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send(packet() + samples.GETINFO_RESPONSE + packet(1, 2))
        await device.expect_ack(1, 2)
        await device.expect_silence("behind the ACKs of two packets with a frame between them")


async def split(bench: Bench) -> None:
    async with bench.accepted() as device:
        response = samples.GETINFO_RESPONSE
        await device.send_in_pieces(*one_by_one(response[:40]), response[40:])
        await device.expect_silence("as an answer to a frame without AVL records")
        await device.send(packet())
        await device.expect_ack(1)


GROUP = Group(
    "commands",
    (
        Case(
            name="commands-codec12-not-acknowledged",
            expects="a codec 12 frame gets no ACK, and the packet behind it does",
            source=UNASKED,
            run=unanswered(samples.GETINFO_RESPONSE),
        ),
        Case(
            name="commands-codec13-not-acknowledged",
            expects="a codec 13 frame gets no ACK, and the packet behind it does",
            source="| 13 `0D` | device → server only | `06` | timestamp (4, seconds), text |",
            run=unanswered(samples.CODEC13_TEXT),
        ),
        Case(
            name="commands-codec15-not-acknowledged",
            expects="a codec 15 frame gets no ACK, and the packet behind it does",
            source="| 15 `0F` | device → server only (FMX6, RS-232) | `0B` | timestamp (4, "
            "seconds), IMEI (8), text | all |",
            run=unanswered(samples.CODEC15_TEXT),
        ),
        Case(
            name="commands-in-mid-telemetry",
            expects="packet, codec 12 frame and packet in one segment get the ACKs of the packets",
            source=BETWEEN,
            run=mid_telemetry,
        ),
        Case(
            name="commands-split",
            expects="a codec 12 frame in pieces gets no ACK, and the packet behind it does",
            source="TCP keeps no boundaries: one read can hold half a packet or three.",
            run=split,
        ),
        Case(
            name="commands-codec14-unasked",
            requirement=Requirement.RECOMMENDED,
            expects="a codec 14 answer that nobody asked for disturbs nothing",
            source="a late answer to a timed-out command taken for the answer to the next one",
            run=unanswered(samples.GETVER_RESPONSE),
        ),
        Case(
            name="commands-codec14-nack-unasked",
            requirement=Requirement.RECOMMENDED,
            expects="a codec 14 nACK that nobody asked for disturbs nothing",
            source="a late answer to a timed-out command taken for the answer to the next one",
            run=unanswered(samples.CODEC14_NACK),
        ),
    ),
)
