"""AVL records of a car that drives: what a tracker in it would have recorded.

IO ids, widths and units are those of Teltonika's AVL ID tables ("FMB120 Teltonika Data Sending
Parameters ID"). All ids used fit one byte, so codec 8 can carry them too.
"""

from math import degrees
from random import Random

from teltonika.codecs import AvlRecord, GenerationType, IoElements, Priority
from teltonika.emulator.outputs import DigitalOutput
from teltonika.emulator.vehicle import Vehicle

IGNITION = 239
MOVEMENT = 240
GSM_SIGNAL = 21  # 1 to 5
SLEEP_MODE = 200  # 0: a device that records every few seconds does not sleep
GNSS_STATUS = 69  # 1: on, with a fix
EXTERNAL_VOLTAGE = 66  # mV
BATTERY_VOLTAGE = 67  # mV
SPEED = 24  # km/h
GNSS_PDOP = 181  # tenths
GNSS_HDOP = 182  # tenths
ACTIVE_GSM_OPERATOR = 241  # MCC and MNC in decimal
TOTAL_ODOMETER = 16  # m
TRIP_ODOMETER = 199  # m
DIGITAL_OUTPUT_1 = 179
DIGITAL_OUTPUT_2 = 180

_COUNTS = (7, 5, 3, 0)  # of elements with 1-, 2-, 4- and 8-byte values
_OPERATOR = 24602


class Drive:
    """An endless iterator of records, ``period_s`` apart, the first at ``start_ms``.

    ``rng`` decides everything that is left to chance: one seeded alike gives the same records.
    ``period_s`` is 0.001 or more, so that timestamps grow strictly. With ``generation_type`` the
    records say why they were made, as codec 16 wants; without, they suit codecs 8 and 8E. The
    records show ``outputs`` as they are when each is made; without, they are off.

    A change of ignition or movement since the record before makes a record an event: priority
    high, and the IO id that changed as event IO id.
    """

    __slots__ = (
        "_generation_type",
        "_gsm_signal",
        "_ignition",
        "_index",
        "_movement",
        "_outputs",
        "_period_s",
        "_rng",
        "_satellites",
        "_start_ms",
        "vehicle",
    )

    def __init__(
        self,
        rng: Random,
        *,
        start_ms: int,
        period_s: float,
        generation_type: bool,
        outputs: tuple[DigitalOutput, DigitalOutput] | None = None,
    ) -> None:
        self.vehicle = Vehicle(rng)
        self._rng = rng
        self._start_ms = start_ms
        self._period_s = period_s
        self._generation_type = generation_type
        self._outputs = outputs or (DigitalOutput(), DigitalOutput())
        self._index = 0
        self._ignition = False
        self._movement = False
        self._gsm_signal = rng.randint(3, 5)
        self._satellites = rng.randint(9, 15)

    def __iter__(self) -> "Drive":
        return self

    def __next__(self) -> AvlRecord:
        vehicle = self.vehicle
        if self._index:
            vehicle.drive(self._period_s)
        timestamp_ms = self._start_ms + round(self._index * self._period_s * 1000)
        self._index += 1

        event_io_id = self._event()
        reason = None
        if self._generation_type:
            reason = GenerationType.ON_CHANGE if event_io_id else GenerationType.PERIODICAL
        speed = round(vehicle.speed * 3.6)
        return AvlRecord(
            timestamp_ms,
            Priority.HIGH if event_io_id else Priority.LOW,
            round(vehicle.longitude * 1e7),
            round(vehicle.latitude * 1e7),
            round(vehicle.altitude_m),
            round(degrees(vehicle.heading)) % 360,
            self._satellites,
            speed,
            event_io_id,
            reason,
            self._io(speed),
        )

    def _event(self) -> int:
        """The IO id that changed since the record before, 0 for none; ignition comes first."""
        ignition = self.vehicle.ignition
        movement = self.vehicle.speed > 0
        event_io_id = 0
        if movement != self._movement:
            event_io_id = MOVEMENT
        if ignition != self._ignition:
            event_io_id = IGNITION
        self._ignition, self._movement = ignition, movement
        return event_io_id

    def _io(self, speed: int) -> IoElements:
        vehicle, random = self.vehicle, self._rng.random
        if random() < 0.05:
            self._gsm_signal = min(5, max(1, self._gsm_signal + self._rng.choice((-1, 1))))
        if random() < 0.1:
            self._satellites = min(18, max(7, self._satellites + self._rng.choice((-1, 1))))
        hdop = 22 - self._satellites  # the more satellites, the better the fix
        alternator = 14_100 if self._ignition else 12_600
        pairs = (
            *(IGNITION, int(self._ignition)),
            *(MOVEMENT, int(self._movement)),
            *(GSM_SIGNAL, self._gsm_signal),
            *(SLEEP_MODE, 0),
            *(GNSS_STATUS, 1),
            *(DIGITAL_OUTPUT_1, self._outputs[0].level),
            *(DIGITAL_OUTPUT_2, self._outputs[1].level),
            *(EXTERNAL_VOLTAGE, alternator - 60 + int(120 * random())),
            *(BATTERY_VOLTAGE, 4_050 + int(40 * random())),
            *(SPEED, speed),
            *(GNSS_PDOP, hdop + 6),
            *(GNSS_HDOP, hdop),
            *(ACTIVE_GSM_OPERATOR, _OPERATOR),
            *(TOTAL_ODOMETER, int(vehicle.odometer_m)),
            *(TRIP_ODOMETER, int(vehicle.trip_m)),
        )
        return IoElements(_COUNTS, pairs)
