"""One device's commands, one at a time: a state machine without I/O and without a clock.

What happens is told by its methods; each returns what is to be done about it, in order. A command
leaves the queue by `End`, exactly once, or by `refused`: then it is another's to end.

Nothing in an answer names its command. So the next command waits until the one before is settled,
and after a time-out for a quarantine, in which a late answer can still come and be known as that.
"""

from collections import deque
from enum import Enum, StrEnum, auto

import msgspec

from teltonika.codecs import CommandMessage, MessageType
from teltonika.server.command import Command


class Reason(StrEnum):
    """Why a command failed: CONTRACT, section 1."""

    INVALID = "invalid"
    NOT_CONNECTED = "not_connected"
    QUEUE_FULL = "queue_full"
    EXPIRED = "expired"
    TIMEOUT = "timeout"
    DISCONNECTED = "disconnected"
    NACK = "nack"
    SHUTDOWN = "shutdown"
    INSTANCE_LOST = "instance_lost"


class Prepare(msgspec.Struct, frozen=True):
    """Store that the command is about to be written; then say `permitted` or `refused`."""

    command: Command


class Write(msgspec.Struct, frozen=True):
    """Write the command to the device's socket, now."""

    command: Command


class End(msgspec.Struct, frozen=True):
    """The command is over: answered if there is no reason why not."""

    command: Command
    answer: CommandMessage | None = None
    reason: Reason | None = None
    detail: str = ""


class Unasked(msgspec.Struct, frozen=True):
    """No command waits for this message; ``late``: one did, until its time was over."""

    message: CommandMessage
    late: bool = False


Effect = Prepare | Write | End | Unasked


class State(Enum):
    """What the queue waits for before the next command's turn."""

    IDLE = auto()
    """For nothing."""
    PREPARING = auto()
    """For word that what comes next is stored."""
    AWAITING = auto()
    """For the answer."""
    QUARANTINE = auto()
    """For a late answer, or for time to pass."""


class CommandQueue:
    """The commands of one device that this instance has.

    Times are seconds on any one clock. ``deadline`` is when `tick` must be called, at the latest.
    """

    def __init__(
        self, *, connected: bool, size: int, quarantine_s: float, reconnect_grace_s: float
    ) -> None:
        self._connected = connected
        self._size = size
        self._quarantine_s = quarantine_s
        self._reconnect_grace_s = reconnect_grace_s
        self._state = State.IDLE
        self._current: Command | None = None
        self._waiting: deque[Command] = deque()
        self._stopped = False
        self._settles_at: float | None = None  # the answer's time is over, or the quarantine
        self._held_until: float | None = None  # not connected: how long the waiting ones wait on

    @property
    def state(self) -> State:
        return self._state

    @property
    def empty(self) -> bool:
        """Whether nothing would be forgotten with this queue."""
        return self._state is State.IDLE and not self._waiting

    @property
    def deadline(self) -> float | None:
        times = [time for time in (self._settles_at, self._held_until) if time is not None]
        return min(times, default=None)

    def add(
        self, command: Command, now: float, now_ms: int, *, wait_for_device: bool = False
    ) -> list[Effect]:
        """A new command; ``wait_for_device``: it may wait for a device that is not there."""
        if self._stopped:
            return [End(command, reason=Reason.SHUTDOWN)]
        if not self._connected and not wait_for_device:
            return [End(command, reason=Reason.NOT_CONNECTED)]
        if len(self._waiting) >= self._size:
            detail = f"{self._size} commands wait for this device"
            return [End(command, reason=Reason.QUEUE_FULL, detail=detail)]
        self._waiting.append(command)
        if not self._connected and self._held_until is None:
            self._held_until = now + self._reconnect_grace_s
        return self._next(now_ms)

    def permitted(self, now: float, now_ms: int) -> list[Effect]:
        """It is stored that the current command may have been written: it may be, now."""
        command = self._leave(State.PREPARING)
        if self._stopped:
            return [End(command, reason=Reason.SHUTDOWN)]
        if _expired(command, now_ms):
            return [End(command, reason=Reason.EXPIRED), *self._next(now_ms)]
        if not self._connected:
            self._waiting.appendleft(command)
            if self._held_until is None:
                self._held_until = now + self._reconnect_grace_s
            return []
        self._state = State.AWAITING
        self._current = command
        self._settles_at = now + command.timeout_s
        return [Write(command)]

    def refused(self, now_ms: int) -> list[Effect]:
        """The current command is another's by now: it is not to be written, nor ended, here."""
        self._leave(State.PREPARING)
        return self._next(now_ms)

    def received(self, message: CommandMessage, now_ms: int) -> list[Effect]:
        """The device sent a message."""
        current = self._current
        if self._state is State.AWAITING and current is not None and _answers(message, current):
            self._leave(State.AWAITING)
            if message.type is MessageType.NACK:
                detail = f"the device says it is {message.imei}"
                end = End(current, reason=Reason.NACK, detail=detail)
            else:
                end = End(current, answer=message)
            return [end, *self._next(now_ms)]
        if self._state is State.QUARANTINE and current is not None and _answers(message, current):
            self._leave(State.QUARANTINE)
            return [Unasked(message, late=True), *self._next(now_ms)]
        return [Unasked(message)]

    def connected(self, now_ms: int) -> list[Effect]:
        """The device has a connection."""
        self._connected = True
        self._held_until = None
        return self._next(now_ms)

    def disconnected(self, now: float) -> list[Effect]:
        """The device's connection is gone; what was not written waits for the next one a while."""
        self._connected = False
        effects: list[Effect] = []
        if self._state is State.AWAITING:
            detail = "the connection closed before the answer came"
            command = self._leave(State.AWAITING)
            effects.append(End(command, reason=Reason.DISCONNECTED, detail=detail))
        elif self._state is State.QUARANTINE:
            self._leave(State.QUARANTINE)
        if self._waiting:
            self._held_until = now + self._reconnect_grace_s
        return effects

    def tick(self, now: float, now_ms: int) -> list[Effect]:
        """Time has passed."""
        effects: list[Effect] = []
        if self._held_until is not None and now >= self._held_until:
            self._held_until = None
            effects += [End(command, reason=Reason.NOT_CONNECTED) for command in self._waiting]
            self._waiting.clear()
        if self._settles_at is not None and now >= self._settles_at:
            if self._state is State.AWAITING:
                command = self._leave(State.AWAITING)
                detail = f"no answer in {command.timeout_s:g} s"
                effects.append(End(command, reason=Reason.TIMEOUT, detail=detail))
                if self._stopped:
                    return effects
                self._state = State.QUARANTINE
                self._current = command
                self._settles_at = now + self._quarantine_s
            else:
                self._leave(State.QUARANTINE)
                effects += self._next(now_ms)
        return effects

    def stop(self) -> list[Effect]:
        """The server stops: what was not written ends, now or once it is `permitted`."""
        self._stopped = True
        self._held_until = None
        if self._state is State.QUARANTINE:
            self._leave(State.QUARANTINE)
        effects: list[Effect] = [End(command, reason=Reason.SHUTDOWN) for command in self._waiting]
        self._waiting.clear()
        return effects

    def abandon(self) -> list[Effect]:
        """The server has stopped: an answer would come too late."""
        if self._state is not State.AWAITING:
            return []
        return [End(self._leave(State.AWAITING), reason=Reason.SHUTDOWN)]

    def _next(self, now_ms: int) -> list[Effect]:
        """The next command's turn, if it is."""
        effects: list[Effect] = []
        while self._state is State.IDLE and self._connected and self._waiting:
            command = self._waiting.popleft()
            if _expired(command, now_ms):
                effects.append(End(command, reason=Reason.EXPIRED))
                continue
            self._state = State.PREPARING
            self._current = command
            effects.append(Prepare(command))
        return effects

    def _leave(self, state: State) -> Command:
        """The current command, which is so no longer. A state other than ``state`` is a bug."""
        if self._state is not state or self._current is None:
            raise RuntimeError(f"a queue that is {self._state.name} cannot leave {state.name}")
        command = self._current
        self._state = State.IDLE
        self._current = None
        self._settles_at = None
        return command


def _expired(command: Command, now_ms: int) -> bool:
    return command.expires_ms is not None and now_ms >= command.expires_ms


def _answers(message: CommandMessage, command: Command) -> bool:
    """Whether the message can be the command's answer: its codec, and for codec 14 its device."""
    asked = command.message
    if message.codec_id != asked.codec_id or message.type is MessageType.COMMAND:
        return False
    return message.type is MessageType.NACK or message.imei == asked.imei
