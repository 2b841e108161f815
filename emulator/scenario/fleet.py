"""A fleet that goes through a scenario."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from random import Random

from teltonika.emulator.emulated_device import EmulatedDevice
from teltonika.emulator.fleet import Fleet
from teltonika.emulator.link import DeviceLink
from teltonika.emulator.recording import Recorder
from teltonika.emulator.scenario.ask import ask
from teltonika.emulator.scenario.expectations import Asked, Verdict
from teltonika.emulator.scenario.file import Scenario
from teltonika.emulator.scenario.step import ENDS, Step, Verb
from teltonika.emulator.scenario.verbs import do, end
from teltonika.emulator.settings import EmulatorSettings


class ScenarioFleet(Fleet):
    """Runs like a `Fleet`, and does the scenario's steps to its devices.

    It stops after ``duration`` seconds, or, with None, after the last step; in both cases once
    commands that were asked for have their answers, and everything that was due then is
    acknowledged, which it waits for as long as a device tries.
    Raises ValueError where a step names a device that is not there, or where conditions leave
    open when the end comes.
    """

    may_inject = True

    def __init__(
        self,
        scenario: Scenario,
        imeis: Sequence[str],
        settings: EmulatorSettings,
        *,
        ramp: float = 0.0,
        duration: float | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        super().__init__(imeis, settings, ramp=ramp, recorder=recorder)
        if duration is None and scenario.has_conditions:
            raise ValueError("a step waits for a condition: say with a duration when the end comes")
        self._scenario = scenario
        self._settings = settings
        self._duration = duration
        self._asked: list[Asked] = []
        self._changed = asyncio.Event()
        self._steps: asyncio.TaskGroup | None = None
        rng = Random(f"{settings.seed}/scenario")  # noqa: S311 - who takes part
        self._timed: list[tuple[Step, list[DeviceLink]]] = []
        self._waiting: list[tuple[Step, dict[str, DeviceLink]]] = []
        for number, step in enumerate(scenario.steps, start=1):
            try:
                step.check_transport(settings.transport)
                links = [self._links[place] for place in step.chosen(len(imeis), rng)]
            except ValueError as error:
                raise ValueError(f"step {number}: {error}") from error
            if step.when is None:
                self._timed.append((step, links))
            else:
                self._waiting.append((step, {link.device.imei: link for link in links}))

    async def run(self) -> None:
        """Until every device is done. Raises what a device's link raises."""
        async with asyncio.TaskGroup() as group:
            ending = group.create_task(self._go_through())
            await super().run()
            ending.cancel()

    def verdicts(self) -> list[Verdict]:
        """What became of the expectations, once the run has ended."""
        verdicts = list(self._scenario.expect.judge(self.counts(), self._asked))
        for step, links in self._waiting:
            if links:
                condition = " and ".join(f"{name} is {n}" for name, n in (step.when or {}).items())
                saw = f"never for {len(links)} devices: {', '.join(list(links)[:5])}"
                verdicts.append(Verdict(f"{step.do.value} once {condition}", passed=False, saw=saw))
        return verdicts

    async def _go_through(self) -> None:
        async with asyncio.TaskGroup() as self._asking:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._duration), asyncio.TaskGroup() as self._steps:
                    for step, links in self._timed:
                        self._steps.create_task(self._do_at(step, links))
                    if self._duration is not None:
                        await asyncio.Event().wait()
            self._steps = None
        with suppress(TimeoutError):  # the expectations tell
            async with asyncio.timeout(self._settings.give_up_after_s):
                behind = self._links
                while behind := [link for link in behind if not link.caught_up]:
                    self._changed.clear()
                    await self._changed.wait()
        self.stop()

    async def _do_at(self, step: Step, links: Sequence[DeviceLink]) -> None:
        await asyncio.sleep(step.at or 0.0)
        await self._do(step, links)

    async def _do(self, step: Step, links: Sequence[DeviceLink]) -> None:
        if step.do is Verb.ASK:
            self._asking.create_task(self._ask(step, links))
            return
        for link in links:
            do(step, link)
        if step.for_s is None:
            return
        await asyncio.sleep(step.for_s)
        if step.do in ENDS:
            for link in links:
                end(ENDS[step.do], link)

    async def _ask(self, step: Step, links: Sequence[DeviceLink]) -> None:
        self._asked += await ask(step.run or [], [link.device.imei for link in links])

    def _look_at(self, device: EmulatedDevice) -> None:
        """Something was counted: its steps may have come."""
        self._changed.set()
        if self._steps is None:
            return
        for step, links in self._waiting:
            if device.imei in links and all(
                getattr(device.report, name) >= least for name, least in (step.when or {}).items()
            ):
                self._steps.create_task(self._do(step, [links.pop(device.imei)]))

    # -- links call these ------------------------------------------------------------------

    def connected(self, device: EmulatedDevice) -> None:
        super().connected(device)
        self._look_at(device)

    def acknowledged(self, device: EmulatedDevice, packet: bytes, latency_s: float) -> None:
        super().acknowledged(device, packet, latency_s)
        self._look_at(device)

    def ack_refused(self, device: EmulatedDevice, expected: int, found: int) -> None:
        super().ack_refused(device, expected, found)
        self._look_at(device)

    def command_executed(self, device: EmulatedDevice, text: str) -> None:
        super().command_executed(device, text)
        self._look_at(device)

    def disconnected(self, device: EmulatedDevice, reason: str, retry_in_s: float) -> None:
        super().disconnected(device, reason, retry_in_s)
        self._look_at(device)
