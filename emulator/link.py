"""A device's line to its server: drives a `Device` over real TCP connections, one after another."""

import asyncio
import os
from random import Random
from time import perf_counter

from teltonika.emulator.backoff import Backoff
from teltonika.emulator.device import Device, DeviceState
from teltonika.emulator.events import AckRefused, ImeiAccepted, PacketDelivered
from teltonika.emulator.observer import DeviceObserver
from teltonika.emulator.report import DeviceReport
from teltonika.emulator.settings import EmulatorSettings


class _Wire(asyncio.Protocol):
    """One TCP connection: hands its bytes to the link, and knows whether it still stands."""

    __slots__ = ("_link", "end", "lost")

    def __init__(self, link: "DeviceLink") -> None:
        self._link = link
        self.lost = asyncio.Event()
        self.end = ""
        """How it was lost."""

    def data_received(self, data: bytes) -> None:
        self._link.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end = "the server closed the connection" if exc is None else _describe(exc)
        self.lost.set()
        self._link.wake()


class DeviceLink:
    """Runs one device against one server. Nothing of it runs outside `run`.

    The first packet is due at once, each further one ``interval_s`` after the one before was due.
    What could not go out in time, because the server was slow or away, follows as soon as each
    packet before it is acknowledged: so the records' timestamps and the clock stay together, and
    an outage ends in a flood, as it does with real devices.

    ``rng`` decides the length of pauses only, never a byte that is sent.
    """

    __slots__ = (
        "_answer_due",
        "_backoff",
        "_due",
        "_latency_total_s",
        "_loop",
        "_observer",
        "_patience",
        "_settings",
        "_stopping",
        "_transport",
        "_woken",
        "_written_at",
        "device",
    )

    _loop: asyncio.AbstractEventLoop
    _transport: asyncio.Transport
    _patience: asyncio.Timeout

    def __init__(
        self,
        device: Device,
        settings: EmulatorSettings,
        rng: Random,
        observer: DeviceObserver | None = None,
    ) -> None:
        self.device = device
        self._settings = settings
        self._observer = observer or DeviceObserver()
        self._backoff = Backoff(settings.first_retry_s, settings.max_retry_s, rng)
        self._woken = asyncio.Event()
        self._stopping = False
        self._due = 0.0  # when the next packet is, in the loop's time
        self._answer_due = 0.0  # when what was written last must be answered, in the loop's time
        self._written_at = 0.0  # when that was, by a finer clock: uvloop's has milliseconds
        self._latency_total_s = 0.0

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    async def run(self) -> DeviceReport:
        """Connect, deliver, reconnect, until all is acknowledged or `stop` is asked for.

        Ends as well, with ``gave_up`` in the report, when for ``give_up_after_s`` the device had
        something to deliver, or no connection, and got no ACK. Cancelling closes the connection;
        `Device.report` is complete then too. Raises EncodeError for records that do not fit.
        """
        self._loop = asyncio.get_running_loop()
        started = perf_counter()
        self._due = self._loop.time()
        report = self.device.report
        self._patience = asyncio.timeout(self._settings.give_up_after_s)
        try:
            async with self._patience:
                await self._deliver()
        except TimeoutError:
            if not self._patience.expired():
                raise
            report.gave_up = not self._stopping
        finally:
            report.duration_s = perf_counter() - started
            if report.packets_acknowledged:
                report.ack_latency_mean_s = self._latency_total_s / report.packets_acknowledged
        return report

    def stop(self) -> None:
        """End the run soon: as soon as the packet in flight, if any, is acknowledged.

        That is waited for on the present connection only, ``ack_timeout_s`` at most. To be called
        in `run`'s event loop while `run` runs; a second call does nothing.
        """
        if self._stopping:
            return
        self._stopping = True
        self.device.stop()
        if self.device.state is not DeviceState.AWAITING_ACK and not self._patience.expired():
            self._patience.reschedule(self._loop.time())

    def receive(self, data: bytes) -> None:
        """Bytes from the server."""
        now = perf_counter()
        for event in self.device.receive_data(data):
            match event:
                case ImeiAccepted():
                    self._observer.connected(self.device)
                case PacketDelivered(packet):
                    self._delivered(packet, now - self._written_at)
                case AckRefused(expected, found):
                    self._observer.ack_refused(self.device, expected, found)
        self._write()
        self.wake()

    def wake(self) -> None:
        """Something changed that `run` must look at."""
        self._woken.set()

    async def _deliver(self) -> None:
        while True:
            reason = await self._connect_and_talk()
            if self._stopping or self.device.state is DeviceState.DONE:
                return
            if self._patience.when() is None:
                self._expect_progress()
            delay = self._backoff.next_delay()
            self._observer.disconnected(self.device, reason, delay)
            await asyncio.sleep(delay)

    async def _connect_and_talk(self) -> str:
        """One connection from its beginning to its end; why it ended, or never was."""
        settings = self._settings
        wire = _Wire(self)
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                transport, _ = await self._loop.create_connection(
                    lambda: wire, settings.host, settings.port
                )
        except OSError as error:  # a TimeoutError is one
            return _describe(error)
        self._transport = transport
        self.device.connection_made()
        self._write()
        try:
            await self._talk(wire)
        finally:
            transport.abort()
            self.device.connection_lost()
        await wire.lost.wait()
        return self.device.complaint or wire.end

    async def _talk(self, wire: _Wire) -> None:
        """Do what the device wants until it wants no more of this connection, or that is lost."""
        device = self.device
        while not wire.lost.is_set():
            match device.state:
                case DeviceState.READY:
                    self._patience.reschedule(None)  # nothing is wanted from the server
                    if not await self._woken_before(self._due):
                        self._expect_progress()
                        self._due += self._settings.interval_s
                        device.send_next()
                        self._write()
                case DeviceState.AWAITING_ANSWER | DeviceState.AWAITING_ACK:
                    if not await self._woken_before(self._answer_due):
                        device.answer_timed_out()
                case _:
                    return

    async def _woken_before(self, deadline: float) -> bool:
        """Wait for `wake`, until ``deadline`` in the loop's time at most."""
        if self._loop.time() >= deadline:
            return False
        self._woken.clear()
        try:
            async with asyncio.timeout_at(deadline):
                await self._woken.wait()
        except TimeoutError:
            return self._woken.is_set()  # both may come at once, and an answer counts more
        return True

    def _expect_progress(self) -> None:
        self._patience.reschedule(self._loop.time() + self._settings.give_up_after_s)

    def _delivered(self, packet: bytes, latency_s: float) -> None:
        report = self.device.report
        self._latency_total_s += latency_s
        report.ack_latency_max_s = max(report.ack_latency_max_s, latency_s)
        self._backoff.reset()
        self._observer.acknowledged(self.device, packet, latency_s)

    def _write(self) -> None:
        """Write what the device has queued: the IMEI or a packet. Either wants an answer."""
        data = self.device.data_to_send()
        if data:
            self._written_at = perf_counter()
            self._answer_due = self._loop.time() + self._settings.ack_timeout_s
            self._transport.write(data)


def _describe(error: Exception) -> str:
    """Why there is no connection, in a few words."""
    match error:
        case TimeoutError():
            return "no answer to the connection request"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number).lower()
        case OSError(strerror=str(text)):  # a host name that cannot be resolved: its own numbers
            return text.lower()
        case _:
            return str(error)
