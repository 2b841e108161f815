"""Many devices for tests, that do what they are told together."""

import asyncio
from types import TracebackType
from typing import Self

from teltonika.codecs import consecutive_imeis
from teltonika.emulator.device import DEFAULT_IMEI, Device
from teltonika.emulator.tls import TlsSettings
from teltonika.emulator.unit import Answers


class DeviceFleet:
    """``async with DeviceFleet(50, port=5027) as fleet: await fleet.send(10)``.

    ``count`` devices with ``imei`` and the IMEIs that follow it; the other arguments are those of
    each `Device`. What goes wrong with any of them is raised, as an ExceptionGroup.
    """

    def __init__(
        self,
        count: int,
        imei: str = DEFAULT_IMEI,
        *,
        host: str = "127.0.0.1",
        port: int = 5027,
        codec: str = "8E",
        records_per_packet: int = 1,
        seed: int = 0,
        timeout_s: float = 10.0,
        tls: TlsSettings | None = None,
        answers: Answers | None = None,
    ) -> None:
        self.devices = [
            Device(
                one,
                host=host,
                port=port,
                codec=codec,
                records_per_packet=records_per_packet,
                seed=seed,
                timeout_s=timeout_s,
                tls=tls,
                answers=answers,
            )
            for one in consecutive_imeis(imei, count)
        ]

    @property
    def acked(self) -> int:
        """Records of all devices that the server acknowledged."""
        return sum(device.acked for device in self.devices)

    @property
    def sent(self) -> int:
        """Records that all devices sent, each counted once."""
        return sum(device.sent for device in self.devices)

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.TaskGroup() as group:
                for device in self.devices:
                    group.create_task(device.connect())
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def send(self, records: int) -> None:
        """Each device sends so many records of its drive; returns when all are acknowledged."""
        async with asyncio.TaskGroup() as group:
            for device in self.devices:
                group.create_task(device.send(records))

    async def close(self) -> None:
        """End all connections."""
        async with asyncio.TaskGroup() as group:
            for device in self.devices:
                group.create_task(device.close())
