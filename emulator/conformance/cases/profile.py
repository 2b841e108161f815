"""What a device of one model sends: the codecs and the IO elements of its profile."""

from collections.abc import Awaitable, Callable
from itertools import islice

from teltonika.codecs import MAX_PACKET_SIZE, AvlCodec, AvlRecord, encode_packet
from teltonika.emulator.assemble import assemble_device
from teltonika.emulator.conformance.bench import Bench
from teltonika.emulator.conformance.case import Case, Group
from teltonika.emulator.conformance.packets import START_MS
from teltonika.emulator.profiles import Profile
from teltonika.emulator.settings import EmulatorSettings

_SOURCE = "The server answers 4 bytes: the number of AVL records it accepted, as uint32."


def profile_group(profile: Profile) -> Group:
    """Two cases for each codec of ``profile``: one record, and as many as a packet holds."""
    return Group(
        "profile",
        tuple(
            Case(
                name=f"profile-{profile.name}-codec{codec.name.lower()}-{name}",
                expects=f"{what} of a driving {profile.model} in codec {codec.name} acknowledged",
                source=_SOURCE,
                run=_acknowledged(profile, codec, most),
            )
            for codec in profile.codecs
            for name, what, most in (("one", "one record", 1), ("full", "a full packet", 255))
        ),
    )


def _acknowledged(
    profile: Profile, codec: AvlCodec, most: int
) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        settings = EmulatorSettings(profile=profile, codec=codec, start_ms=START_MS, records=0)
        drive = assemble_device(bench.imei, settings, START_MS).records
        records = _that_fit(codec, list(islice(drive, most)))
        async with bench.accepted() as device:
            await device.send(encode_packet(codec, records))
            await device.expect_ack(len(records))

    return run


def _that_fit(codec: AvlCodec, records: list[AvlRecord]) -> tuple[AvlRecord, ...]:
    while len(encode_packet(codec, tuple(records))) > MAX_PACKET_SIZE:
        records = records[: len(records) * 9 // 10]
    return tuple(records)
