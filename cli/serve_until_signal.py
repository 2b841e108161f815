"""A server, of one process or of several, that signals end."""

import asyncio
import os
import signal
import sys

from teltonika.cli.output import print_json
from teltonika.server import ServerSettings
from teltonika.server import serve as run_server
from teltonika.server.logs import LogFormat, LogLevel
from teltonika.server.workers import serve_with_workers

# -P: a folder in which somebody starts a server is no place to import from
WORKER_COMMAND = (sys.executable, "-P", "-m", "teltonika.cli.serve_worker")


async def serve_until_signal(
    settings: ServerSettings, log_format: LogFormat, log_level: LogLevel
) -> None:
    """The first SIGINT or SIGTERM drains, the second does not; SIGHUP is for certificates.

    A server that has none, and no terminal that could hang up, gets SIGHUP from whoever reloads all
    services alike: it goes on.
    """
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def on_signal() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    if settings.tls_cert is not None or not _has_terminal():
        loop.add_signal_handler(signal.SIGHUP, reload.set)
    if settings.workers == 1:
        await run_server(settings, stop, on_listening=print_json, reload=reload)
    else:
        await serve_with_workers(
            settings, stop, WORKER_COMMAND, log_format, log_level, print_json, reload
        )


def _has_terminal() -> bool:
    try:
        os.close(os.open(os.ctermid(), os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
