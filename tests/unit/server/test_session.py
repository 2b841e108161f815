"""A session without a socket, where a real one would take too long."""

import asyncio
from typing import Any, cast

from teltonika.server.addresses import Peer
from teltonika.server.config import ServerSettings
from teltonika.server.counters import Counters
from teltonika.server.session import Pause, Session


class Owner:
    """What a session asks of its listener until the IMEI came; `now` is set by the test."""

    def __init__(self) -> None:
        self.settings = ServerSettings()
        self.counters = Counters()
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def session_opened(self, session: Session) -> None: ...


class Transport(asyncio.Transport):
    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def test_silence_counts_from_when_the_server_reads_again() -> None:
    owner = Owner()
    session = Session(cast(Any, owner), Peer("192.0.2.1", 40_001))
    session.connection_made(Transport())
    session.pause(Pause.ALL_BYTES)
    assert session.waits_for_us
    owner.seconds = 3_899.0
    session.resume(Pause.ALL_BYTES)
    assert not session.waits_for_us
    assert session.last_activity == 3_899.0
