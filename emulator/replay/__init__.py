"""Captured sessions played again, the device's side of them, against any server."""

from teltonika.emulator.replay.imei import assign_imeis
from teltonika.emulator.replay.results import Difference, ReplayResult, SessionResult
from teltonika.emulator.replay.run import Replay, ReplayObserver
from teltonika.emulator.replay.script import NotReplayableError, Script, make_script
from teltonika.emulator.replay.settings import ReplaySettings

__all__ = [
    "Difference",
    "NotReplayableError",
    "Replay",
    "ReplayObserver",
    "ReplayResult",
    "ReplaySettings",
    "Script",
    "SessionResult",
    "assign_imeis",
    "make_script",
]
