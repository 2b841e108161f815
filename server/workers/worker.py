"""A worker: one instance in a process of its own, that does as its supervisor says.

It drains when the supervisor says so, and as well when that is gone. Ctrl-C and SIGHUP are the
supervisor's to hear; SIGTERM drains this worker alone, and the supervisor starts another.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator

import msgspec
import structlog

from teltonika.codecs import TlsError
from teltonika.server.app import serve
from teltonika.server.background import background
from teltonika.server.errors import ServerError, SupersededError
from teltonika.server.histogram import Histogram
from teltonika.server.logs import configure_logs
from teltonika.server.metrics_families import FAMILIES, Seen
from teltonika.server.sight import Sight
from teltonika.server.workers.channel import Channel, receive_first
from teltonika.server.workers.messages import (
    Accepts,
    Answer,
    Ask,
    Failed,
    Question,
    Reading,
    Reload,
    Setup,
    Stop,
    decode_to_worker,
    encode,
)

log = structlog.get_logger()

Runner = Callable[[Coroutine[None, None, int]], int]
"""Such as `asyncio.run`."""

DONE = 0
FAILED = 1
NOT_A_WORKER = 2


def run_worker(run: Runner) -> int:
    """Be a worker, with the socket to the supervisor as standard input; the exit code."""
    setup = None
    try:
        end = socket.socket(fileno=os.dup(0))
        setup = _setup(receive_first(end))
    except OSError:  # what it is connected to is no socket
        pass
    if setup is None:
        return NOT_A_WORKER
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    structlog.contextvars.bind_contextvars(worker=setup.number)
    configure_logs(setup.log_format, setup.log_level)
    return run(_Worker(setup).run(end))


def _setup(first: bytes | None) -> Setup | None:
    try:
        message = None if first is None else decode_to_worker(first)
    except msgspec.DecodeError:
        return None
    return message if isinstance(message, Setup) else None


class _Worker:
    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._asked: asyncio.Queue[Question] = asyncio.Queue(len(Question))

    async def run(self, end: socket.socket) -> int:
        """Until it has drained, or failed; the exit code."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop.set)
        channel = await Channel.over(end)
        try:
            async with background(self._obey(channel)):
                await serve(
                    self._setup.settings,
                    self._stop,
                    lambda _: channel.send(encode(Accepts())),
                    self._reload,
                    lambda sight: self._answer(channel, sight),
                )
        except (ServerError, TlsError) as error:
            superseded = isinstance(error, SupersededError)
            channel.send(encode(Failed(str(error), superseded)))
            return FAILED
        except Exception:
            log.exception("worker_failed")
            return FAILED
        finally:
            await channel.close()
        return DONE

    async def _obey(self, channel: Channel) -> None:
        while (data := await channel.receive()) is not None:
            match decode_to_worker(data):
                case Stop():
                    self._stop.set()
                case Reload():
                    self._reload.set()
                case Ask(question):
                    # each is asked again only once it is answered: there is room
                    self._asked.put_nowait(question)
        log.error("supervisor_lost", action="draining")
        self._stop.set()

    async def _answer(self, channel: Channel, sight: Sight) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                question = await self._asked.get()
                group.create_task(_answer_one(channel, question, sight))


async def _answer_one(channel: Channel, question: Question, sight: Sight) -> None:
    match question:
        case Question.METRICS:
            answer = Answer(question, readings=tuple(_readings(sight.look())))
        case Question.HEALTH:
            answer = Answer(question, complaints=tuple(sight.watch.complaints()))
        case Question.READINESS:
            answer = Answer(question, complaints=tuple(await sight.readiness.complaints()))
    channel.send(encode(answer))


def _readings(seen: Seen) -> Iterator[Reading]:
    for family in FAMILIES:
        found = family.read(seen)
        yield Reading(
            family.name,
            found
            if isinstance(found, Histogram)
            else tuple((labels, float(value)) for labels, value in found.items()),
        )
