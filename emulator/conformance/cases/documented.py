"""The packets of Teltonika's documentation, byte by byte as they are printed there."""

from collections.abc import Awaitable, Callable

from teltonika.emulator.conformance import samples
from teltonika.emulator.conformance.bench import Bench
from teltonika.emulator.conformance.case import Case, Group


def acknowledged(sample: bytes, count: int) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        async with bench.accepted() as device:
            await device.send(sample)
            await device.expect_ack(count)

    return run


_SAMPLES = {
    "codec8-one": ("codec 8, one record of five IO elements", samples.CODEC8_1, 1),
    "codec8-three-elements": ("codec 8, one record of three IO elements", samples.CODEC8_2, 1),
    "codec8-two-records": ("codec 8, two records", samples.CODEC8_3, 2),
    "codec8e": ("codec 8 Extended, one record, all four widths", samples.CODEC8E, 1),
    "codec16": ("codec 16, two records", samples.CODEC16, 2),
}

GROUP = Group(
    "samples",
    tuple(
        Case(
            name=f"sample-{name}",
            expects=f"the documented packet is acknowledged with {count}: {what}",
            source="The server answers 4 bytes: the number of AVL records it accepted, as uint32.",
            run=acknowledged(sample, count),
        )
        for name, (what, sample, count) in _SAMPLES.items()
    ),
)
