"""Carries out what the devices' command queues want: writes, statuses, timers."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import msgspec

from teltonika.codecs import CommandMessage
from teltonika.server.command import Command, CommandRef
from teltonika.server.command_ledger import CommandLedger
from teltonika.server.command_queue import (
    CommandQueue,
    Effect,
    End,
    Prepare,
    State,
    Unasked,
    Write,
)
from teltonika.server.config import ServerSettings
from teltonika.server.counters import Counters
from teltonika.server.peer_log import PeerLog
from teltonika.server.session import Session
from teltonika.server.steps import step

LOGGED_BYTES = 200
"""So much of a text that a device sends stands in the log."""
MESSAGE_BYTES = 512
"""Memory that a message takes until it is stored, beside its text."""


class MessageSource(Protocol):
    """Where a message came from: a session, or a datagram."""

    @property
    def imei(self) -> str | None:
        """Of the device; it is known by then."""

    def hold(self, size: int) -> None:
        """So many bytes more of it wait to be stored."""

    def let_go(self, size: int) -> None:
        """So many do not any more."""

    def say(self, level: int, event: str, **fields: object) -> None:
        """Log something that it is the cause of."""


class CommandDispatcher:
    """The queues of all devices that have commands; a device without costs nothing.

    ``sessions`` are the open connections by IMEI, kept by the listener, which also says when one
    comes, goes, or brings a message.
    """

    def __init__(
        self,
        sessions: Mapping[str, Session],
        ledger: CommandLedger,
        settings: ServerSettings,
        instance_id: str,
        peer_log: PeerLog,
        counters: Counters,
    ) -> None:
        self._sessions = sessions
        self._ledger = ledger
        self._settings = settings
        self._instance_id = instance_id
        self._peer_log = peer_log
        self._counters = counters
        self._queues: dict[str, CommandQueue] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._held: set[str] = set()
        self._written_at: dict[str, float] = {}  # by entry id, of those that may be answered
        self._settled: Callable[[str], None] = lambda _: None
        self._loop = asyncio.get_running_loop()

    @property
    def unfinished(self) -> int:
        """Commands that were added and have not ended."""
        return len(self._held)

    def holds(self, entry_id: str) -> bool:
        """Whether the command in that entry of this instance's stream has not ended yet."""
        return entry_id in self._held

    def add(self, command: Command, *, wait_for_device: bool) -> None:
        """Queue a command that was claimed and found to be queued."""
        self._held.add(command.ref.entry.id)
        imei = command.ref.imei
        queue = self._queues.get(imei)
        if queue is None:
            queue = self._queues[imei] = CommandQueue(
                connected=imei in self._sessions,
                size=self._settings.command_queue_size,
                quarantine_s=self._settings.command_quarantine_s,
                reconnect_grace_s=self._settings.reconnect_grace_s,
            )
        now = self._loop.time()
        self._do(imei, queue.add(command, now, _now_ms(), wait_for_device=wait_for_device))

    def connected(self, imei: str, *, again: bool) -> None:
        """A device has a connection; ``again``: it takes over from one that is still open."""
        queue = self._queues.get(imei)
        if queue is None:
            return
        if again:
            self._do(imei, queue.disconnected(self._loop.time()))
        self._do(imei, queue.connected(_now_ms()))

    def disconnected(self, imei: str) -> None:
        """A device has no connection any more."""
        queue = self._queues.get(imei)
        if queue is not None:
            self._do(imei, queue.disconnected(self._loop.time()))

    def received(self, session: Session, message: CommandMessage) -> None:
        """A device sent a message in a command codec."""
        step("answered")
        assert session.imei is not None
        self._counters.messages[message.codec_id] += 1
        queue = self._queues.get(session.imei)
        if queue is None or self._sessions.get(session.imei) is not session:
            self.unasked(session, message)
        else:
            self._do(session.imei, queue.received(message, _now_ms()))

    def unasked(
        self, source: MessageSource, message: CommandMessage, *, late: bool = False
    ) -> None:
        """Store a message that no command waits for, or none any more: ``late``."""
        if late:
            self._counters.late_answers += 1
        else:
            self._counters.unsolicited_messages += 1
        event = "late_answer" if late else "unsolicited_message"
        beginning = msgspec.structs.replace(message, content=message.content[:LOGGED_BYTES])
        source.say(logging.INFO, event, text=beginning.text)
        assert source.imei is not None
        size = MESSAGE_BYTES + 3 * len(message.content)  # as text, and as hex
        source.hold(size)
        self._ledger.unasked(source.imei, message, partial(source.let_go, size))

    def say(self, level: int, ref: CommandRef, event: str, **fields: object) -> None:
        """Log something that a command is the cause of.

        All who publish on its stream share the lines that one peer may cause.
        """
        names = {"command_id": ref.command_id, "imei": ref.imei}
        self._peer_log.say(level, ref.entry.stream, event, **names, **fields)

    def stop(self, settled: Callable[[str], None]) -> None:
        """The server stops: commands end that were not written.

        ``settled`` is called with the IMEI of each device that has answered later.
        """
        self._settled = settled
        for imei, queue in list(self._queues.items()):
            self._do(imei, queue.stop())

    def awaits_answer(self, imei: str | None) -> bool:
        """Whether a command was written to the device, and its answer may still come."""
        queue = self._queues.get(imei or "")
        return queue is not None and queue.state is State.AWAITING

    def abandon(self) -> int:
        """No answer is waited for any more; how many were."""
        effects = {imei: queue.abandon() for imei, queue in self._queues.items()}
        for imei, ends in effects.items():
            self._do(imei, ends)
        return sum(map(len, effects.values()))

    def _do(self, imei: str, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Prepare(command):
                    self._ledger.prepare(command.ref, partial(self._prepared, command.ref))
                case Write(command):
                    self._write(command)
                case End():
                    self._end(effect)
                case Unasked(message, late):
                    self.unasked(self._sessions[imei], message, late=late)
        self._settle(imei)

    def _prepared(self, ref: CommandRef, may_be_written: bool) -> None:
        step("prepared")
        imei = ref.imei
        queue = self._queues[imei]
        if may_be_written:
            self._do(imei, queue.permitted(self._loop.time(), _now_ms()))
        else:
            self._held.discard(ref.entry.id)  # if nobody ends it, a rescan finds it again
            self._do(imei, queue.refused(_now_ms()))

    def _write(self, command: Command) -> None:
        self._sessions[command.ref.imei].send_command(command.message)
        step("written")
        self._written_at[command.ref.entry.id] = self._loop.time()
        self._counters.commands_delivered += 1
        self._ledger.deliver(command.ref, self._instance_id)

    def _end(self, end: End) -> None:
        ref = end.command.ref
        done = partial(self._held.discard, ref.entry.id)
        written_at = self._written_at.pop(ref.entry.id, None)
        if end.answer is not None:
            self._counters.commands_responded += 1
            if written_at is not None:
                self._counters.command_latency_s.observe(self._loop.time() - written_at)
            self._ledger.respond(ref, self._instance_id, end.answer, done)
            return
        assert end.reason is not None
        self._counters.commands_failed[end.reason] += 1
        self.say(logging.INFO, ref, "command_failed", reason=end.reason)
        self._ledger.fail(ref, self._instance_id, end.reason, end.detail, done)

    def _settle(self, imei: str) -> None:
        """The device's timer for its next deadline; its queue goes when it is empty."""
        timer = self._timers.pop(imei, None)
        if timer is not None:
            timer.cancel()
        queue = self._queues.get(imei)
        if queue is None:
            return
        if queue.empty:
            del self._queues[imei]
            self._settled(imei)
        elif queue.deadline is not None:
            self._timers[imei] = self._loop.call_at(queue.deadline, self._tick, imei)

    def _tick(self, imei: str) -> None:
        # a loop's timers may run a clock tick early
        now = max(self._loop.time(), self._queues[imei].deadline or 0.0)
        self._do(imei, self._queues[imei].tick(now, _now_ms()))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
