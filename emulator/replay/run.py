"""Scripts played, at the pace of the capture or one after another."""

import asyncio
from collections.abc import Sequence
from time import perf_counter

from teltonika.emulator.replay.play import TcpLine, UdpLine
from teltonika.emulator.replay.results import ReplayResult, SessionResult
from teltonika.emulator.replay.script import Script
from teltonika.emulator.replay.settings import ReplaySettings


class ReplayObserver:
    """Is told what happens, and does nothing about it. Subclasses show it."""

    def started(self, script: Script) -> None:
        """A session begins."""

    def ended(self, result: SessionResult) -> None:
        """A session is over."""


class Replay:
    """Plays sessions against one server."""

    def __init__(
        self,
        scripts: Sequence[Script],
        settings: ReplaySettings,
        observer: ReplayObserver | None = None,
    ) -> None:
        self._scripts = scripts
        self._settings = settings
        self._observer = observer or ReplayObserver()
        self._result = ReplayResult()

    async def run(self) -> ReplayResult:
        """Play all: each session as far behind the first as in the capture, at the pace that is
        asked for; or, where each goes as fast as it is answered, one after another."""
        began = perf_counter()
        if self._settings.speed is None:
            for script in self._scripts:
                await self._play(script)
        elif self._scripts:
            first = min(script.started for script in self._scripts)
            async with asyncio.TaskGroup() as group:
                for script in self._scripts:
                    group.create_task(
                        self._play_after(script, (script.started - first) / self._settings.speed)
                    )
        self._result.duration_s = round(perf_counter() - began, 3)
        self._result.ok = not self._result.failed
        return self._result

    async def _play_after(self, script: Script, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await self._play(script)

    async def _play(self, script: Script) -> None:
        self._observer.started(script)
        line = (UdpLine if script.transport == "udp" else TcpLine)(script, self._settings)
        result = await line.play()
        self._result.count(result)
        self._observer.ended(result)
