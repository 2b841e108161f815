"""Who the device is, and the server's one byte."""

from teltonika.codecs import encode_imei
from teltonika.emulator.conformance.bench import Bench
from teltonika.emulator.conformance.case import Case, Group, Needs, Requirement
from teltonika.emulator.conformance.device_socket import Unexpected
from teltonika.emulator.conformance.packets import one_by_one, packet

NO_BOUNDARIES = "TCP keeps no boundaries: one read can hold half a packet or three."
ONE_BYTE = "The server answers one byte: `01` accept, `00` reject."


async def accepted(bench: Bench) -> None:
    async with bench.accepted() as device:
        await device.expect_silence("behind the one byte that answers the IMEI")


async def split(bench: Bench) -> None:
    async with bench.connected() as device:
        *most, last = one_by_one(encode_imei(bench.imei))
        await device.send_in_pieces(*most)
        await device.expect_silence("before the IMEI's last digit had come")
        await device.send(last)
        await device.expect_accepted()


async def coalesced(bench: Bench) -> None:
    async with bench.connected() as device:
        await device.send(encode_imei(bench.imei) + packet())
        await device.expect_accepted()
        await device.expect_ack(1)


async def same_imei_twice(bench: Bench) -> None:
    async with bench.accepted(), bench.accepted() as newer:
        await newer.send(packet())
        await newer.expect_ack(1)


async def older_closes(bench: Bench) -> None:
    async with bench.accepted() as older, bench.accepted() as newer:
        older.close()
        await newer.expect_silence("when the device's older connection had closed")
        await newer.send(packet())
        await newer.expect_ack(1)


async def unknown(bench: Bench) -> None:
    assert bench.target.unknown_imei is not None
    async with bench.connected() as device:
        await device.send(encode_imei(bench.target.unknown_imei))
        await device.expect_rejected()


async def no_digits(bench: Bench) -> None:
    async with bench.connected() as device:
        await device.send(b"\x00\x0f" + b"NOT-AN-IMEI-AT.")
        try:
            await device.expect_accepted()
        except Unexpected:
            return
        raise Unexpected("the server accepted 15 characters that are no digits")


GROUP = Group(
    "handshake",
    (
        Case(
            name="handshake-accepted",
            expects="the IMEI is answered with the one byte 01",
            source=ONE_BYTE,
            run=accepted,
        ),
        Case(
            name="handshake-split",
            expects="an IMEI that comes in pieces of one byte is accepted, and not before its end",
            source=NO_BOUNDARIES,
            run=split,
        ),
        Case(
            name="handshake-coalesced",
            expects="IMEI and first packet in one segment: 01, then the ACK",
            source="bytes after the IMEI in the same read thrown away",
            run=coalesced,
        ),
        Case(
            name="handshake-same-imei-twice",
            expects="a second connection of a device is served while the first still stands",
            source="The same IMEI can come on a second socket while the first still looks open.",
            run=same_imei_twice,
        ),
        Case(
            name="handshake-older-closes",
            expects="a device's newer connection goes on being served when the older one closes",
            source="the old socket's close deregistering the new one",
            run=older_closes,
        ),
        Case(
            name="handshake-unknown-imei",
            expects="an IMEI that the server does not take is answered with the byte 00",
            source=ONE_BYTE,
            run=unknown,
            needs=Needs.UNKNOWN_IMEI,
        ),
        Case(
            name="handshake-no-digits",
            requirement=Requirement.RECOMMENDED,
            expects="15 characters that are no digits are not accepted",
            source="a 2-byte length (`00 0F`), then that many ASCII digits",
            run=no_digits,
        ),
    ),
)
