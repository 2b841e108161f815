"""AVL records of a car that drives: what a tracker in it would have recorded.

IO ids, widths and units are those of Teltonika's AVL ID tables ("FMB120 Teltonika Data Sending
Parameters ID"). All ids used fit one byte, so codec 8 can carry them too.
"""

from math import degrees
from random import Random

from teltonika.codecs import AvlRecord, GenerationType, IoElements, Priority
from teltonika.emulator.driving_events import DrivingEvent, DrivingWatch
from teltonika.emulator.geofence import Geofence
from teltonika.emulator.gnss import without_fix
from teltonika.emulator.io_layout import IoLayout
from teltonika.emulator.mover import Mover
from teltonika.emulator.outputs import DigitalOutput
from teltonika.emulator.vehicle import Vehicle

IGNITION = 239
MOVEMENT = 240
GSM_SIGNAL = 21  # 1 to 5
GNSS_STATUS = 69  # 1: on, with a fix; 2: on, without one
SPEED = 24  # km/h
SLEEP_MODE = 200  # 0: a device that records every few seconds does not sleep
EXTERNAL_VOLTAGE = 66  # mV
BATTERY_VOLTAGE = 67  # mV
GNSS_PDOP = 181  # tenths
GNSS_HDOP = 182  # tenths
ACTIVE_GSM_OPERATOR = 241  # MCC and MNC in decimal
TOTAL_ODOMETER = 16  # m
TRIP_ODOMETER = 199  # m
DIGITAL_OUTPUT_1 = 179
DIGITAL_OUTPUT_2 = 180
DIGITAL_INPUT_1 = 1  # 1: the panic button is pressed
TOWING = 246  # 1: it moves without ignition
UNPLUG = 252  # 1: the vehicle's battery is not connected

_COUNTS = (7, 5, 3, 0)  # of elements with 1-, 2-, 4- and 8-byte values
_OPERATOR = 24602


class Drive:
    """An endless iterator of records, ``period_s`` apart, the first at ``start_ms``.

    ``rng`` decides everything that is left to chance: one seeded alike gives the same records.
    ``period_s`` is 0.001 or more, so that timestamps grow strictly. With ``generation_type`` the
    records say why they were made, as codec 16 wants; without, they suit codecs 8 and 8E. The
    records show ``outputs`` as they are when each is made; without, they are off.

    ``mover`` is what the tracker is in; without, a `Vehicle` that ``rng`` drives, too.

    A change of ignition or movement since the record before makes a record an event: priority
    high, and the IO id that changed as event IO id. So do harsh driving, going faster than
    ``speed_limit_kmh`` or no longer, crossing the border of ``geofence``, and what the methods
    do. A record has one event: of several the others wait for the next records. What an event is
    about stands among the IO elements of its record, and nowhere else, but that a tracker without
    its battery and one that is towed say so in all records.

    With ``layout`` records have the elements of a profile, and no events that its model does not
    know; else they are those of an FMB120.

    Without a GNSS fix a record repeats the place of the last one that had it.
    """

    __slots__ = (
        "_generation_type",
        "_gsm_signal",
        "_has_fix",
        "_ignition",
        "_index",
        "_last_fix",
        "_layout",
        "_movement",
        "_outputs",
        "_pending",
        "_period_s",
        "_rng",
        "_satellites",
        "_start_ms",
        "_towed",
        "_towing",
        "_unplugged",
        "_untripped_m",
        "_watch",
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
        mover: Mover | None = None,
        speed_limit_kmh: float | None = None,
        geofence: Geofence | None = None,
        layout: IoLayout | None = None,
    ) -> None:
        self.vehicle = mover or Vehicle(rng)
        self._rng = rng
        self._layout = layout
        self._start_ms = start_ms
        self._period_s = period_s
        self._generation_type = generation_type
        self._outputs = outputs or (DigitalOutput(), DigitalOutput())
        self._index = 0
        self._ignition = False
        self._movement = False
        self._towed = False
        self._towing = False
        self._untripped_m = 0.0  # of the vehicle's trip, driven while it was towed
        self._unplugged = False
        self._pending: dict[int, DrivingEvent] = {}  # by IO id: what waits for a record
        self._watch = DrivingWatch(self.vehicle, speed_limit_kmh=speed_limit_kmh, geofence=geofence)
        self._gsm_signal = rng.randint(3, 5)
        self._satellites = rng.randint(9, 15)
        self._has_fix = True
        self._last_fix: AvlRecord | None = None

    def __iter__(self) -> "Drive":
        return self

    @property
    def next_timestamp_ms(self) -> int:
        """Of the record that comes next."""
        return self._start_ms + round(self._index * self._period_s * 1000)

    def unplug(self) -> None:
        """The vehicle's battery is disconnected: an event, and an external voltage of 0."""
        self._plug(unplugged=True)

    def plug(self) -> None:
        """The vehicle's battery is connected again."""
        self._plug(unplugged=False)

    def tow(self) -> None:
        """The ignition is off from the next record on, whatever moves the vehicle."""
        self._towed = True

    def end_tow(self) -> None:
        """The ignition is that of the vehicle again."""
        self._towed = False

    def lose_gnss(self) -> None:
        """Satellites are out of sight: records have no fix until `find_gnss`."""
        self._has_fix = False

    def find_gnss(self) -> None:
        """There is a fix again."""
        self._has_fix = True

    def explain(self, *, generation_type: bool) -> None:
        """Say from the next record on, or no longer, why records were made."""
        self._generation_type = generation_type

    def panic(self) -> None:
        """The panic button on digital input 1 is pressed: the next record has priority panic."""
        self._happened(DrivingEvent(DIGITAL_INPUT_1, ((DIGITAL_INPUT_1, 1),), Priority.PANIC))

    def _plug(self, *, unplugged: bool) -> None:
        if unplugged != self._unplugged:
            self._unplugged = unplugged
            self._happened(DrivingEvent(UNPLUG, ((UNPLUG, int(unplugged)),)))

    def _happened(self, event: DrivingEvent) -> None:
        """Let ``event`` wait for a record, if the model knows such an event."""
        if self._knows(event.io_id):
            self._pending[event.io_id] = event

    def _knows(self, io_id: int) -> bool:
        """Whether the model makes events of this element."""
        return self._layout is None or io_id in self._layout.event_ids

    def __next__(self) -> AvlRecord:
        vehicle = self.vehicle
        if self._index:
            self._move_on()
        timestamp_ms = self.next_timestamp_ms
        self._index += 1

        event = self._event()
        event_io_id = event.io_id if event else 0
        if event and self._layout is not None:
            event_io_id = self._layout.event_ids[event_io_id]
        reason = None
        if self._generation_type:
            reason = event.generation_type if event else GenerationType.PERIODICAL
        speed = round(vehicle.speed * 3.6)
        record = AvlRecord(
            timestamp_ms,
            event.priority if event else Priority.LOW,
            round(vehicle.longitude * 1e7),
            round(vehicle.latitude * 1e7),
            round(vehicle.altitude_m),
            round(degrees(vehicle.heading)) % 360,
            self._satellites,
            speed,
            event_io_id,
            reason,
            self._io(speed, event.elements if event else ()),
        )
        if self._has_fix:
            self._last_fix = record
            return record
        return without_fix(record, self._last_fix)

    def _move_on(self) -> None:
        vehicle = self.vehicle
        trip_m = vehicle.trip_m
        vehicle.drive(self._period_s)
        if vehicle.trip_m < trip_m:
            self._untripped_m = 0.0
        elif self._towed:
            self._untripped_m += vehicle.trip_m - trip_m
        for event in self._watch.look(vehicle, self._period_s):
            self._happened(event)

    def _event(self) -> DrivingEvent | None:
        """Panic, then a change of ignition or else of movement, then what waits, as it came."""
        ignition = self.vehicle.ignition and not self._towed
        movement = self.vehicle.speed > 0
        changed = None
        if movement != self._movement and self._knows(MOVEMENT):
            changed = DrivingEvent(MOVEMENT)
        if ignition != self._ignition and self._knows(IGNITION):
            changed = DrivingEvent(IGNITION)
        self._ignition, self._movement = ignition, movement
        towing = movement and not ignition
        if towing != self._towing:
            self._towing = towing
            self._happened(DrivingEvent(TOWING, ((TOWING, int(towing)),)))
        if not self._pending:
            return changed
        panic = self._pending.pop(DIGITAL_INPUT_1, None)
        if panic and changed:
            self._pending[changed.io_id] = changed
        if panic or changed:
            return panic or changed
        return self._pending.pop(next(iter(self._pending)))

    def _more(self, event_elements: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
        """Ids and values of one-byte elements besides those that every record has."""
        if not (event_elements or self._towing or self._unplugged):
            return ()
        states = {TOWING: int(self._towing), UNPLUG: int(self._unplugged)}
        elements = {io_id: value for io_id, value in states.items() if value}
        elements.update(event_elements)
        return tuple(number for element in elements.items() for number in element)

    def _io(self, speed: int, event_elements: tuple[tuple[int, int], ...]) -> IoElements:
        vehicle, random = self.vehicle, self._rng.random
        if random() < 0.05:
            self._gsm_signal = min(5, max(1, self._gsm_signal + self._rng.choice((-1, 1))))
        if random() < 0.1:
            self._satellites = min(18, max(7, self._satellites + self._rng.choice((-1, 1))))
        hdop = 22 - self._satellites  # the more satellites, the better the fix
        alternator = 14_100 if self._ignition else 12_600
        external_voltage = alternator - 60 + int(120 * random())
        counts, more = _COUNTS, self._more(event_elements)
        if more:
            counts = (_COUNTS[0] + len(more) // 2, *_COUNTS[1:])
        pairs = (
            *(IGNITION, int(self._ignition)),
            *(MOVEMENT, int(self._movement)),
            *(GSM_SIGNAL, self._gsm_signal),
            *(SLEEP_MODE, 0),
            *(GNSS_STATUS, 1 if self._has_fix else 2),
            *(DIGITAL_OUTPUT_1, self._outputs[0].level),
            *(DIGITAL_OUTPUT_2, self._outputs[1].level),
            *more,
            *(EXTERNAL_VOLTAGE, 0 if self._unplugged else external_voltage),
            *(BATTERY_VOLTAGE, 4_050 + int(40 * random())),
            *(SPEED, speed if self._has_fix else 0),
            *(GNSS_PDOP, hdop + 6),
            *(GNSS_HDOP, hdop),
            *(ACTIVE_GSM_OPERATOR, _OPERATOR),
            *(TOTAL_ODOMETER, int(vehicle.odometer_m)),
            *(TRIP_ODOMETER, int(vehicle.trip_m - self._untripped_m)),
        )
        if self._layout is None:
            return IoElements(counts, pairs)
        known = dict(zip(pairs[::2], pairs[1::2], strict=True))
        return self._layout.arrange(known, dict(zip(more[::2], more[1::2], strict=True)))
