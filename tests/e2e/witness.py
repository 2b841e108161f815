"""What the devices of a campaign know, and what the stream says."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from time import monotonic

from serving import STREAM

from teltonika.codecs import AVL_CODECS, AvlPacket, decode_packet, luhn_check_digit
from teltonika.codecs.timestamps import format_timestamp
from teltonika.emulator import (
    DeviceLink,
    DeviceMachine,
    DeviceObserver,
    Drive,
    EmulatorSettings,
    TlsSettings,
    assemble_device,
)
from teltonika.server.clients import Client

DEVICES = 12
FULL_RATE_S = 300.0
"""A longer campaign has its devices send less often: a stream has to be read by each new Valkey,
and most of a campaign's time should not go there."""
SHOWN = 10
Record = tuple[str, str]
"""IMEI and timestamp; a device's records have a timestamp each."""


def imei_of(number: int) -> str:
    digits = f"35630704299{number:03d}"
    return f"{digits}{luhn_check_digit(digits)}"


def interval_of(seconds: float) -> float:
    """Between the packets of a device, in a campaign of this length."""
    return 0.04 * max(1.0, seconds / FULL_RATE_S)


def device_settings(
    number: int, port: int, seed: int, interval_s: float, tls: TlsSettings | None = None
) -> EmulatorSettings:
    codecs = list(AVL_CODECS)
    return EmulatorSettings(
        port=port,
        tls=tls,
        codec=codecs[number % len(codecs)],
        records=0,
        records_per_packet=1 + 5 * (number % 4),
        interval_s=interval_s,
        seed=seed,
        start_ms=1_760_000_000_000,
        ack_timeout_s=3.0,
        give_up_after_s=3_600.0,
        first_retry_s=0.05,
        max_retry_s=0.5,
    )


def records_expected(seconds: float) -> int:
    """By a campaign of this length, if nothing holds it up."""
    settings = [device_settings(number, 1, 0, interval_of(seconds)) for number in range(DEVICES)]
    return sum(round(seconds / (one.interval_s / one.records_per_packet)) for one in settings)


@dataclass
class Acknowledgement:
    imei: str
    first: str
    last: str
    """Timestamps of the packet's records."""
    at_s: float
    """Of the campaign."""
    latency_s: float


class Witness(DeviceObserver):
    """Knows what was acknowledged, and when."""

    def __init__(self) -> None:
        self.records: dict[Record, float] = {}
        """To when they were acknowledged, as `time.monotonic` has it."""
        self._acknowledgements: list[Acknowledgement] = []
        self._began = monotonic()

    def acknowledged(self, device: DeviceMachine, packet: bytes, latency_s: float) -> None:
        decoded = decode_packet(packet)
        assert isinstance(decoded, AvlPacket)
        imei = device.imei
        times = [format_timestamp(record.timestamp_ms) for record in decoded.records]
        now = monotonic()
        self.records |= dict.fromkeys(((imei, time) for time in times), now)
        at_s = now - self._began
        self._acknowledgements.append(Acknowledgement(imei, times[0], times[-1], at_s, latency_s))

    def latencies_s(self, since: int = 0) -> list[float]:
        """Of the ACKs, without the first ``since``."""
        return [one.latency_s for one in self._acknowledgements[since:]]

    def says(self, record: Record) -> str:
        """What the device knows of a record."""
        imei, time = record
        for one in self._acknowledgements:
            if one.imei == imei and one.first <= time <= one.last:
                return (
                    f"acknowledged at {one.at_s:.3f} s, {one.latency_s:.3f} s after it was sent, "
                    f"in the packet of {one.first} to {one.last}"
                )
        return "never acknowledged"


@dataclass
class Comparison:
    sent: int
    acknowledged: int
    stored: int
    lost: int
    doubled: int
    unsent: int
    """Stored and never sent."""
    examples: list[str]
    """The first of those that should not be."""
    lost_at: list[float] = field(default_factory=list)
    """When each that is lost had been acknowledged, as `time.monotonic` has it."""


class WitnessedFleet:
    """Devices that know what they sent; ``running`` has them do it."""

    def __init__(
        self,
        port: int,
        seed: int,
        interval_s: float,
        devices: int = DEVICES,
        tls: TlsSettings | None = None,
    ) -> None:
        self.witness = Witness()
        self._settings = [
            device_settings(number, port, seed, interval_s, tls) for number in range(devices)
        ]
        self.links = [
            DeviceLink(
                assemble_device(imei_of(number), settings, 0),
                settings,
                Random(number),  # lengths of pauses
                self.witness,
            )
            for number, settings in enumerate(self._settings)
        ]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Afterwards each ends once its packet in flight is acknowledged."""
        async with asyncio.TaskGroup() as group:
            for link in self.links:
                group.create_task(link.run())
            yield
            for link in self.links:
                link.stop()

    @property
    def records_sent(self) -> int:
        return sum(link.device.report.records_sent for link in self.links)

    @property
    def records_acknowledged(self) -> int:
        return sum(link.device.report.records_acknowledged for link in self.links)

    def sent(self) -> set[Record]:
        """Every record that a device has sent, as its drive makes them."""
        return {
            record
            for link, settings in zip(self.links, self._settings, strict=True)
            for record in records_of(link, settings)
        }


def compare(
    client: Client, fleet: WitnessedFleet, streams: Sequence[str] = (STREAM,)
) -> Comparison:
    """The streams with the devices' own knowledge."""
    return compare_records(lambda: stored_records(client, streams), fleet)


def compare_records(
    read: Callable[[], Iterable[tuple[str, Record]]], fleet: WitnessedFleet
) -> Comparison:
    """What is stored, entry ids and records, with the devices' own knowledge."""
    witness, sent = fleet.witness, fleet.sent()
    stored = Counter(record for _, record in read())
    lost = sorted(witness.records.keys() - stored.keys())
    doubled = sorted(record for record, count in stored.items() if count > 1)
    unsent = sorted(stored.keys() - sent)
    entries: dict[Record, list[str]] = {record: [] for record in (doubled + unsent)[:SHOWN]}
    for entry, record in read() if entries else ():
        if record in entries:
            entries[record].append(entry)
    examples = [f"lost: {' '.join(one)}: {witness.says(one)}" for one in lost[:SHOWN]]
    for kind, records in (("doubled", doubled), ("never sent", unsent)):
        examples += (
            f"{kind}: {' '.join(one)}: entries {', '.join(entries[one])}: {witness.says(one)}"
            for one in records
            if one in entries
        )
    return Comparison(
        sent=len(sent),
        acknowledged=len(witness.records),
        stored=stored.total(),
        lost=len(lost),
        doubled=sum(count - 1 for count in stored.values()),
        unsent=len(unsent),
        examples=examples,
        lost_at=sorted(witness.records[record] for record in lost),
    )


def records_of(link: DeviceLink, settings: EmulatorSettings) -> list[Record]:
    drive = Drive(
        Random(f"{settings.seed}/{link.device.imei}"),
        start_ms=settings.start_ms or 0,
        period_s=settings.period_s,
        generation_type=settings.codec.name == "16",
    )
    return [
        (link.device.imei, format_timestamp(record.timestamp_ms))
        for record in islice(drive, link.device.report.records_sent)
    ]


def stored_records(
    client: Client, streams: Sequence[str] = (STREAM,)
) -> Iterator[tuple[str, Record]]:
    """Entry ids, and what record each is."""
    for stream in streams:
        after = "-"
        while page := client.xrange(stream, min=after, count=10_000):
            for entry, fields in page:
                yield entry, (fields["device_id"], fields["ts"])
            after = f"({page[-1][0]}"
