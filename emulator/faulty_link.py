"""A device's line on which things go wrong on purpose."""

import asyncio
import struct
from collections.abc import Callable
from math import inf
from random import Random
from socket import SO_LINGER, SOL_SOCKET

from teltonika.codecs import encode_imei
from teltonika.codecs.transport import Transport
from teltonika.emulator.emulated_device import DeviceState, EmulatedDevice
from teltonika.emulator.faults import DatagramFaultLine, Fault, FaultLine
from teltonika.emulator.link import DeviceLink, Wire
from teltonika.emulator.observer import DeviceObserver
from teltonika.emulator.recording import Recorder
from teltonika.emulator.report import DeviceReport
from teltonika.emulator.settings import EmulatorSettings

_NO_LINGER = struct.pack("ii", 1, 0)


class FaultyLink(DeviceLink):
    """Runs like a `DeviceLink`, with the faults of its settings, and those of `inject`.

    What goes wrong is decided by the seed, the IMEI, and how many packets were written.
    """

    __slots__ = ("_drawn", "_line", "_twin_wanted")

    def __init__(
        self,
        device: EmulatedDevice,
        settings: EmulatorSettings,
        rng: Random,
        observer: DeviceObserver | None = None,
        recorder: Recorder | None = None,
        *,
        in_fleet: bool = False,
    ) -> None:
        super().__init__(device, settings, rng, observer, recorder, in_fleet=in_fleet)
        dice = Random(f"{settings.seed}/{device.imei}/faults")  # noqa: S311 - what goes wrong
        line_class = DatagramFaultLine if settings.transport is Transport.UDP else FaultLine
        self._line = line_class(settings.faults, dice, device.report)
        self._drawn: frozenset[Fault] | None = None  # what strikes the packet that comes next
        self._twin_wanted = False

    def inject(self, fault: Fault) -> None:
        """Let the next packet that can have this fault have it."""
        self._line.inject(fault)

    async def run(self) -> DeviceReport:
        self._line.begin(asyncio.get_running_loop().time())
        return await super().run()

    async def _talk(self, wire: Wire) -> None:
        await super()._talk(wire)
        while self._twin_wanted:
            await self._make_twin()
            await super()._talk(wire)

    async def _make_twin(self) -> None:
        """Another connection of the same device, that says its IMEI and nothing else."""
        self._twin_wanted = self._ends_now = False
        try:
            transport = await self._connector.connect(asyncio.Protocol())
        except OSError:
            return  # the device itself will notice
        transport.write(encode_imei(self.device.imei))
        self._connector.abandon(transport)

    def _next_step(self) -> tuple[float, Callable[[], None]] | None:
        if self._line.due_s < inf:
            return self._line.due_s, self._write_pieces
        return super()._next_step()

    def _send_next(self) -> None:
        if self._drawn is None:
            self._drawn = self._line.draw(self._loop.time())
            if self._line.storm_left:
                self._drawn, self._ends_now = None, True
                return
            if Fault.TWIN in self._drawn:
                self._twin_wanted = self._ends_now = True
                return
        super()._send_next()

    def _goes_on_at_once(self, now: float) -> bool:
        return False  # what goes wrong is for `run` to see to

    def _queue_next(self) -> None:
        faults = self._drawn or frozenset()
        sent = self.device.report.packets_sent
        self.device.send_next(
            packets=2 if Fault.COALESCE in faults else 1,
            copies=2 if Fault.DUPLICATE in faults else 1,
            clock_off_ms=self._line.clock_off_ms(faults),
        )
        if self.device.report.packets_sent - sent > 1:
            self._due += self._settings.interval_s
        else:
            self._drawn = faults - {Fault.COALESCE}  # there was no other to come with

    def _accepted(self) -> None:
        super()._accepted()
        if self._line.storm_left:
            self._line.storm_left -= 1
            self._ends_now = self._line.storm_left > 0

    def _delivered(self, packet: bytes, latency_s: float) -> None:
        self.device.report.corrupt_acknowledged += self._line.broken
        super()._delivered(packet, latency_s)

    def _write(self) -> None:
        if self._line.due_s == inf:
            super()._write()

    def _write_frame(self, data: bytes, now: float) -> None:
        if self.device.state is not DeviceState.AWAITING_ACK:
            super()._write_frame(data, now)
            return
        faults = self._line.draw(now, again=True) if self._drawn is None else self._drawn
        self._drawn = None
        if Fault.DROP_ACK in faults:
            self.device.ignore_acks()
        self._expect_answer(now)  # also where nothing is written
        self._line.strike(faults, data, now)
        self._write_pieces()

    def _write_pieces(self) -> None:
        """Write the next part of a packet if it is due, and do after the last what is to end the
        connection. One at a time: of several that are late each comes apart all the same."""
        line, now = self._line, self._loop.time()
        if line.due_s <= now:
            super()._write_frame(line.pop(), now)
        if line.due_s < inf:
            return
        ending, line.ending = line.ending, None
        match ending:
            case Fault.CUT:
                self._transport.close()
            case Fault.RESET:
                sock = self._transport.get_extra_info("socket")
                sock.setsockopt(SOL_SOCKET, SO_LINGER, _NO_LINGER)
                self._transport.abort()
            case Fault.HALF_OPEN:
                self._abandons = self._ends_now = True
                self.wake()
            case _:
                pass

    def _forget_unwritten(self) -> None:
        super()._forget_unwritten()
        self._line.clear()
