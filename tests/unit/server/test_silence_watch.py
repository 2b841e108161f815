"""Who is looked at when, with no clock but numbers."""

from teltonika.server.counters import Counters
from teltonika.server.silence_watch import LOOKS, SilenceWatch

IMEI = "356307042441013"
HANDSHAKE_TIMEOUT_S, IDLE_TIMEOUT_S = 10.0, 3_900.0
BETWEEN_LOOKS_S = IDLE_TIMEOUT_S / LOOKS


class Connection:
    """One that is looked at, and counts how often."""

    def __init__(self, connected: float, imei: str | None = None) -> None:
        self.imei = imei
        self.last_activity = connected
        self.waits = False
        self.looks = 0
        self.said: list[str] = []
        self.aborted: list[str] = []

    @property
    def waits_for_us(self) -> bool:
        self.looks += 1
        return self.waits

    def say(self, level: int, event: str) -> None:
        self.said.append(event)

    def abort(self, reason: str) -> None:
        self.aborted.append(reason)


class Watch:
    """A `SilenceWatch`, and a second after the other."""

    def __init__(self, *connections: Connection, began: float = 1000.0) -> None:
        self.counters = Counters()
        self.sessions = set(connections)
        self.watch = SilenceWatch(
            self.sessions,
            self.counters,
            handshake_timeout_s=HANDSHAKE_TIMEOUT_S,
            idle_timeout_s=IDLE_TIMEOUT_S,
        )
        for connection in connections:
            self.watch.opened(connection)
        self.now = began

    def pass_seconds(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += 1.0
            self.watch.tick(self.now)

    def close(self, connection: Connection) -> None:
        self.sessions.discard(connection)
        self.watch.closed(connection)


def test_a_handshake_is_timed_to_the_second() -> None:
    connection = Connection(1000.5)
    watch = Watch(connection)
    watch.pass_seconds(HANDSHAKE_TIMEOUT_S)
    assert connection.aborted == []
    watch.pass_seconds(1)
    assert connection.said == ["handshake_timeout"]
    assert connection.aborted == ["handshake timeout"]
    assert watch.counters.handshake_timeouts == 1


def test_a_silent_device_is_closed_at_most_one_look_late() -> None:
    connection = Connection(1000.0, IMEI)
    watch = Watch(connection)
    watch.pass_seconds(IDLE_TIMEOUT_S)
    assert connection.aborted == []
    watch.pass_seconds(BETWEEN_LOOKS_S + 1)
    assert set(connection.aborted) == {"idle timeout"}
    assert watch.counters.idle_timeouts == len(connection.aborted)


def test_a_device_is_looked_at_so_often_and_no_more() -> None:
    connection = Connection(1000.0, IMEI)
    watch = Watch(connection)
    watch.pass_seconds(IDLE_TIMEOUT_S)
    assert connection.looks <= LOOKS


def test_a_device_that_has_just_said_its_imei_is_looked_at_once_more_and_then_like_the_others() -> (
    None
):
    first, connection = Connection(1000.0), Connection(1000.0)
    watch = Watch(first)
    watch.pass_seconds(1)  # the first look is at everybody
    watch.sessions.add(connection)
    watch.watch.opened(connection)
    watch.pass_seconds(1)
    assert connection.looks == 1
    connection.imei = IMEI
    watch.pass_seconds(BETWEEN_LOOKS_S - 5)
    assert connection.looks == 2


def test_who_waits_for_the_server_is_not_silent() -> None:
    connection = Connection(1000.0, IMEI)
    connection.waits = True
    watch = Watch(connection)
    watch.pass_seconds(2 * IDLE_TIMEOUT_S)
    connection.waits = False
    watch.pass_seconds(IDLE_TIMEOUT_S - BETWEEN_LOOKS_S)
    assert connection.aborted == []


def test_a_closed_connection_is_not_kept() -> None:
    connection = Connection(1000.0)
    watch = Watch(connection)
    watch.pass_seconds(1)
    watch.close(connection)
    watch.pass_seconds(HANDSHAKE_TIMEOUT_S + 2)
    assert connection.looks == 1
    assert connection.aborted == []
