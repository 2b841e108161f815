"""A device in a car that drives, put together from settings."""

from random import Random

from teltonika.codecs.transport import Transport
from teltonika.emulator.drive import Drive
from teltonika.emulator.emulated_device import EmulatedDevice
from teltonika.emulator.faults.plan import Fault
from teltonika.emulator.io_layout import IoLayout
from teltonika.emulator.machine import DeviceMachine
from teltonika.emulator.mover import Mover
from teltonika.emulator.record_buffer import RecordBuffer
from teltonika.emulator.settings import EmulatorSettings
from teltonika.emulator.udp_machine import UdpMachine
from teltonika.emulator.unit import FMB120_VERSION, Unit
from teltonika.emulator.vehicle import Vehicle

SERVER_DOMAIN = 2004
SERVER_PORT = 2005
SERVER_PROTOCOL = 2006  # 0 is TCP, 1 UDP


def assemble_device(
    imei: str, settings: EmulatorSettings, now_ms: int, *, number: int = 1
) -> EmulatedDevice:
    """A device that records a drive of its own, chosen by the seed and the IMEI.

    ``number`` counts the devices of a fleet, from 1: each begins elsewhere on ``settings.route``.

    ``now_ms`` is the clock's time (Unix, ms): the device is switched on then. With
    ``settings.start_ms`` the records do not depend on it, and the same IMEI and settings give the
    same bytes. Raises ValueError if ``imei`` is none.
    """
    over_udp = settings.transport is Transport.UDP
    unit = Unit(
        imei,
        now_ms=now_ms,
        parameters={
            SERVER_DOMAIN: settings.host,
            SERVER_PORT: str(settings.port),
            SERVER_PROTOCOL: "1" if over_udp else "0",
        },
        rng=Random(f"{settings.seed}/{imei}/unit"),  # noqa: S311 - numbers on a label
        getver=settings.profile.getver if settings.profile else FMB120_VERSION,
    )
    rng = Random(f"{settings.seed}/{imei}")  # noqa: S311 - a drive is no secret
    drive = Drive(
        rng,
        start_ms=settings.first_timestamp_ms(now_ms),
        period_s=settings.period_s,
        generation_type=settings.codec.has_generation_type,
        outputs=unit.outputs,
        mover=_mover(rng, settings, number),
        speed_limit_kmh=settings.speed_limit_kmh,
        geofence=settings.geofence,
        layout=_layout(imei, settings),
    )
    device = (UdpMachine if over_udp else DeviceMachine)(
        _said_imei(imei, settings),
        settings.codec,
        drive,
        unit=unit,
        records_per_packet=settings.records_per_packet,
        record_count=settings.records or None,
    )
    if settings.paces is not None:
        device.records = RecordBuffer(
            drive, settings.paces, device.report, roaming=settings.roaming
        )
    return device


def _said_imei(imei: str, settings: EmulatorSettings) -> str:
    """``imei``, or, of a device that has this fault, the same with a wrong check digit."""
    chance = settings.faults.chances.get(Fault.NO_LUHN, 0.0)
    rng = Random(f"{settings.seed}/{imei}/luhn")  # noqa: S311 - a fault on purpose
    if rng.random() >= chance:
        return imei
    return f"{imei[:-1]}{(int(imei[-1]) + 1) % 10}"


def _layout(imei: str, settings: EmulatorSettings) -> IoLayout | None:
    if settings.profile is None:
        return None
    rng = Random(f"{settings.seed}/{imei}/io")  # noqa: S311 - values that wander
    return IoLayout(settings.profile, rng)


def _mover(rng: Random, settings: EmulatorSettings, number: int) -> Mover:
    if settings.route is not None:
        return settings.route.traveller(rng, number)
    return Vehicle(rng, settings.center)
