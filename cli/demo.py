"""`teltonika demo`: a server and a few emulated devices, talking over real TCP, in one terminal."""

import asyncio
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from teltonika.cli.demo_view import DemoView, LineView, LiveView
from teltonika.cli.errors import fail
from teltonika.cli.event_loop import run
from teltonika.cli.numbers import a_number
from teltonika.codecs import AVL_CODECS, luhn_check_digit
from teltonika.emulator import DeviceLink, EmulatorSettings, assemble_device
from teltonika.server import Listening, ServerError, ServerSettings
from teltonika.server import serve as run_server
from teltonika.server.follow import follow
from teltonika.server.keys import Keys
from teltonika.server.logs import LogFormat, LogLevel, configure_logs

FIRST_IMEI = 35630704244101  # without its check digit


def demo(
    devices: Annotated[int, typer.Option(help="Emulated devices.", min=1, max=100)] = 3,
    seconds: Annotated[
        float, typer.Option(callback=a_number, help="How long it runs; 0 runs until Ctrl-C.", min=0)
    ] = 30,
) -> None:
    """See it work: a server with its embedded Valkey and a few emulated devices.

    The devices connect over real TCP, drive, and send a record a second in
    codecs 8, 8E and 16; the records are shown as they land on the Redis
    stream. What it stores goes to a temporary directory and away at the end.
    """
    configure_logs(LogFormat.CONSOLE, LogLevel.ERROR)
    view = LiveView() if LiveView.possible() else LineView()
    try:
        with tempfile.TemporaryDirectory(prefix="teltonika-demo-") as directory:
            run(run_demo(devices, seconds, Path(directory), view))
    except ServerError as error:
        fail(str(error))
    view.print_summary()
    if view.unacknowledged:
        fail(f"{view.unacknowledged} records were never acknowledged")


async def run_demo(devices: int, seconds: float, directory: Path, view: DemoView) -> None:
    """Server and devices in this process, until the time is over or a signal comes."""
    stop_devices, stop_server = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop_devices.set)
    if seconds:
        loop.call_later(seconds, stop_devices.set)

    settings = ServerSettings(host="127.0.0.1", port=0, data_dir=directory)
    listening: asyncio.Future[Listening] = loop.create_future()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_server(settings, stop_server, listening.set_result))
        address = await listening
        with view:
            view.started(address)
            watcher = group.create_task(_watch(address.redis, settings.keys, view))
            await _run_devices(_links(devices, address.port, view), stop_devices)
            await view.all_landed()
        watcher.cancel()
        stop_server.set()


async def _run_devices(links: list[DeviceLink], stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        for link in links:
            group.create_task(link.run())
        await stop.wait()
        for link in links:
            link.stop()


async def _watch(redis_url: str, keys: Keys, view: DemoView) -> None:
    async for payload in follow(redis_url, keys):
        view.landed(payload)


def _links(devices: int, port: int, view: DemoView) -> list[DeviceLink]:
    links = []
    codecs = list(AVL_CODECS)
    for number in range(devices):
        digits = str(FIRST_IMEI + number)
        settings = EmulatorSettings(
            port=port, records=0, codec=codecs[number % len(codecs)], seed=number
        )
        device = assemble_device(
            f"{digits}{luhn_check_digit(digits)}", settings, time.time_ns() // 1_000_000
        )
        view.reports.append(device.report)
        links.append(DeviceLink(device, settings, random.Random(number), view))  # noqa: S311
    return links
