"""What an emulated device is told, each with its default."""

import msgspec

from teltonika.codecs import AVL_CODECS, AvlCodec
from teltonika.codecs.transport import Transport
from teltonika.emulator.answers import AnswerFault
from teltonika.emulator.faults.plan import FaultPlan
from teltonika.emulator.geofence import Geofence
from teltonika.emulator.profiles.pace import Paces
from teltonika.emulator.profiles.profile import Profile
from teltonika.emulator.routes import Route
from teltonika.emulator.tls import TlsSettings
from teltonika.emulator.vehicle import VILNIUS

ACK_TIMEOUT_S = {Transport.TCP: 10.0, Transport.UDP: 1.0}
"""Over TCP lost segments are TCP's own affair, and no answer means that the server is stuck; over
UDP it means a lost datagram, which goes again after as long as TCP's first time-out (RFC 6298)."""
_YEAR_S = 31_536_000
_MIN_PERIOD_S = 0.001  # timestamps count milliseconds, and each record has its own


class EmulatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing of it changes while the device runs; devices of a fleet share one."""

    host: str = "127.0.0.1"
    port: int = 5027
    transport: Transport = Transport.TCP
    tls: TlsSettings | None = None
    """None speaks plain TCP, or UDP, over which there is no other."""

    codec: AvlCodec = AVL_CODECS.by_name("8E")
    records: int = 10
    """How many in all; 0 is for ever."""
    records_per_packet: int = 1
    """1 to 255."""
    interval_s: float = 1.0
    """Between packets; 0 sends the next as soon as the last was acknowledged."""
    seed: int = 0
    start_ms: int | None = None
    """Timestamp of the first record; None takes it from the clock (`first_timestamp_ms`)."""

    route: Route | None = None
    """None drives on roads that nobody drew."""
    center: tuple[float, float] = VILNIUS
    """Where those are: latitude (-80 to 80) and longitude, in degrees."""
    speed_limit_kmh: float | None = None
    """Above it a device reports over-speeding; None is no limit."""
    geofence: Geofence | None = None
    """Whose border, crossed, makes an event."""

    profile: Profile | None = None
    """What the tracker is; its codec and its time-outs are settings of their own. None is an FMB120
    with the elements that every record is known for."""
    paces: Paces | None = None
    """When it records and sends, in place of ``interval_s``."""
    roaming: bool = False
    """Whether it is abroad, where it may have a pace of its own."""
    faults: FaultPlan = FaultPlan()
    """What goes wrong on purpose."""

    ack_timeout_s: float | None = None
    """How long an answer may take, to the IMEI as to a packet (`answer_timeout_s`). Devices are set
    to 5 to 120; None is what suits the transport."""
    connect_timeout_s: float = 10.0
    """For the TCP connection; the TLS handshake may take as long again. Over UDP only the server's
    name takes time."""
    give_up_after_s: float = 60.0
    """How long a device tries to deliver without getting anywhere."""
    first_retry_s: float = 0.25
    """Before the first reconnect; twice as long before each further one, until an ACK comes."""
    max_retry_s: float = 15.0
    """Where that doubling ends."""

    answer_delay_s: float = 0.0
    """Between a command and its answer. What the command does, it does at once."""
    answer_fault: AnswerFault = AnswerFault.NONE
    restart_after_s: float = 3.0
    """From the command to restart until the device connects again."""

    @property
    def answer_timeout_s(self) -> float:
        """After how long no answer is expected any more: ``ack_timeout_s``, or by transport."""
        if self.ack_timeout_s is not None:
            return self.ack_timeout_s
        return ACK_TIMEOUT_S[self.transport]

    @property
    def period_s(self) -> float:
        """Between records: they share the interval evenly; with an interval of 0 it is 1 s.

        With ``paces`` it is how often the tracker looks whether there is something to record.
        """
        if self.interval_s == 0 or self.paces is not None:
            return 1.0
        return max(_MIN_PERIOD_S, self.interval_s / self.records_per_packet)

    def first_timestamp_ms(self, now_ms: int) -> int:
        """The timestamp of the first record of a run that begins at ``now_ms``.

        With an interval a packet goes out at the moment of its last record. With an interval of 0
        the device plays back a past that ends now: all of its records, or, for ever, a year.
        """
        if self.start_ms is not None:
            return self.start_ms
        if self.paces is not None:
            return now_ms
        if self.interval_s == 0:
            past_s = self.period_s * (self.records or _YEAR_S)
        else:
            past_s = self.period_s * (self.records_per_packet - 1)
        return now_ms - round(past_s * 1000)
