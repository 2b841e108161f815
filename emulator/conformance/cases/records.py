"""What may stand in a packet: its codecs' layouts to their edges."""

from collections.abc import Awaitable, Callable

from teltonika.codecs import AvlCodec, AvlRecord, IoElement, Priority, encode_packet
from teltonika.emulator.conformance.bench import Bench
from teltonika.emulator.conformance.case import Case, Group, Requirement
from teltonika.emulator.conformance.packets import (
    CODEC8,
    CODEC8E,
    CODEC16,
    IGNITION,
    VOLTAGE,
    framed,
    packet,
    periodical,
    record,
)

SEEN = (
    "a record of zero IO elements, a packet of zero records, 255 records, an event id that is not "
    "among the elements"
)
TRAP = "Codec 16 is the trap: ids of 2 bytes, counts of 1."
TOTAL = "N = N1 + N2 + N4 + N8 (+ NX)."
WIDTHS = [
    *(IoElement(id_, 1, 1) for id_ in (239, 240, 21)),
    *(IoElement(id_, 12_640, 2) for id_ in (66, 67)),
    IoElement(16, 2_000_000, 4),
    IoElement(78, 0x0000_0001_BB7A_E401, 8),
]
NO_FIX = {"satellites": 0, "angle": 0, "speed": 0}


def acknowledged(codec: AvlCodec, *records: AvlRecord) -> Callable[[Bench], Awaitable[None]]:
    """The packet of these records is acknowledged, and so is a packet behind it: a server that
    reads past a record's end, or not to it, finds no second."""

    async def run(bench: Bench) -> None:
        async with bench.accepted() as device:
            await device.send(encode_packet(codec, records))
            await device.expect_ack(len(records))
            await device.send(packet(300))
            await device.expect_ack(1)

    return run


async def no_records(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.send(framed(b"\x08\x00\x00"))
        await device.expect_ack(0)
        await device.send(packet())
        await device.expect_ack(1)


GROUP = Group(
    "records",
    (
        Case(
            name="records-255",
            expects="a packet of 255 records is acknowledged with 255",
            source=SEEN,
            run=acknowledged(CODEC8, *(record(number, [IGNITION]) for number in range(255))),
        ),
        *(
            Case(
                name=f"records-zero-io-codec{codec.name.lower()}",
                expects=f"a codec {codec.name} record without IO elements is acknowledged",
                source=SEEN,
                run=acknowledged(codec, made),
            )
            for codec, made in ((CODEC8, record()), (CODEC8E, record()), (CODEC16, periodical()))
        ),
        *(
            Case(
                name=f"records-all-widths-codec{codec.name.lower()}",
                expects=f"codec {codec.name} records with values of 1, 2, 4 and 8 bytes are "
                "acknowledged",
                source=TOTAL,
                run=acknowledged(codec, record(0, WIDTHS), record(1, WIDTHS)),
            )
            for codec in (CODEC8, CODEC8E)
        ),
        Case(
            name="records-64-bits",
            expects="a record with the value 2^64 - 1 is acknowledged",
            source="64-bit values through a JSON reader with 53-bit numbers",
            run=acknowledged(CODEC8, record(0, [IoElement(78, 2**64 - 1, 8)])),
        ),
        Case(
            name="records-codec16-mixed-widths",
            expects="two codec 16 records with all widths, and ids over 255, are acknowledged",
            source=TRAP,
            run=acknowledged(
                CODEC16,
                periodical(0, [*WIDTHS, IoElement(11_700, 3, 1), IoElement(10_009, 4, 4)]),
                periodical(1, WIDTHS),
            ),
        ),
        Case(
            name="records-nx",
            expects="codec 8 Extended with variable-length elements, an empty one among them, is "
            "acknowledged",
            source="codec 16 read with codec 8E's 2-byte counts; NX taken for an error",
            run=acknowledged(
                CODEC8E,
                record(
                    0,
                    [
                        IGNITION,
                        IoElement.variable(10_829, bytes(range(40))),
                        IoElement.variable(11_317, b""),
                        IoElement.variable(256, b"WDB9066331S123456"),
                    ],
                ),
                record(1, [IoElement.variable(10_829, b"\xff" * 300)]),
            ),
        ),
        Case(
            name="records-300-elements",
            expects="a codec 8 Extended record of 300 IO elements is acknowledged: its counts "
            "have two bytes",
            source=TOTAL,
            run=acknowledged(CODEC8E, record(0, [IoElement(id_, 1, 1) for id_ in range(1, 301)])),
        ),
        Case(
            name="records-event-id-elsewhere",
            expects="a record whose event IO id is not among its elements is acknowledged",
            source=SEEN,
            run=acknowledged(CODEC8, record(0, [VOLTAGE], event_io_id=252)),
        ),
        Case(
            name="records-no-fix",
            expects="records without a fix are acknowledged: the last position, and zeros",
            source="Without a fix a device repeats its last known position (or zeros) with "
            "satellites 0, angle 0, speed 0.",
            run=acknowledged(
                CODEC8,
                record(0, [IGNITION], **NO_FIX),
                record(1, [IGNITION], longitude_e7=0, latitude_e7=0, altitude=0, **NO_FIX),
            ),
        ),
        Case(
            name="records-south-west",
            expects="a record of negative longitude and latitude is acknowledged",
            source="signed, degrees × 10^7",
            run=acknowledged(
                CODEC8,
                record(
                    0,
                    [IGNITION],
                    longitude_e7=-583_815_591,
                    latitude_e7=-346_036_844,
                    altitude=-4,
                ),
            ),
        ),
        Case(
            name="records-priorities",
            expects="records of priority high and panic are acknowledged",
            source="0 low, 1 high, 2 panic",
            run=acknowledged(
                CODEC8,
                record(0, [IGNITION], priority=Priority.HIGH),
                record(1, [IGNITION], priority=Priority.PANIC),
            ),
        ),
        Case(
            name="records-none",
            requirement=Requirement.RECOMMENDED,
            expects="a packet of no records is acknowledged with 0, and the next one with 1",
            source=SEEN,
            run=no_records,
        ),
    ),
)
