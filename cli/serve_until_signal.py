"""A server, of one process or of several, that signals end."""

import asyncio
import os
import signal
import sys

import structlog

from teltonika.cli.output import print_json
from teltonika.cli.standard_streams import queued_output
from teltonika.server import Listening, ServerSettings
from teltonika.server import serve as run_server
from teltonika.server.logs import LogFormat, LogLevel
from teltonika.server.queued_stream import QueuedStream
from teltonika.server.workers import serve_with_workers

log = structlog.get_logger()

# -P: a folder in which somebody starts a server is no place to import from
WORKER_COMMAND = (sys.executable, "-P", "-m", "teltonika.cli.serve_worker")

TO_BE_PRINTED_S = 1.0
"""For the line that says where the server listens; then the log says that it is missing."""


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
    with queued_output() as output:

        def tell(address: Listening) -> None:
            print_json(address)
            loop.call_later(TO_BE_PRINTED_S, _log_what_is_not_printed, output)

        if settings.workers == 1:
            await run_server(settings, stop, on_listening=tell, reload=reload)
        else:
            await serve_with_workers(
                settings, stop, WORKER_COMMAND, log_format, log_level, tell, reload
            )


def _log_what_is_not_printed(output: QueuedStream) -> None:
    if output.lines_dropped:
        log.warning("listening_not_printed", reason=output.drop_reason)
    elif output.is_behind:
        log.warning("listening_not_printed", reason="nobody reads standard output")


def _has_terminal() -> bool:
    try:
        os.close(os.open(os.ctermid(), os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
