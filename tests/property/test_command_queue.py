"""A device's command queue, whatever happens in whatever order: each command ends once."""

import itertools

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from teltonika.codecs import COMMAND_CODECS, CommandMessage, MessageType
from teltonika.server.command import Command, CommandRef, Entry
from teltonika.server.command_queue import (
    CommandQueue,
    Effect,
    End,
    Prepare,
    Reason,
    State,
    Unasked,
    Write,
)

IMEI = "356307042441013"
OTHER_IMEI = "356307042441021"
SIZE = 2
QUARANTINE_S = 2.0
GRACE_S = 10.0
CODEC12, CODEC14 = (COMMAND_CODECS.by_name(name) for name in ("12", "14"))

MESSAGES = (
    CommandMessage(CODEC12.codec_id, MessageType.RESPONSE, b"twelve"),
    CommandMessage(CODEC12.codec_id, MessageType.COMMAND, b"from a device?"),
    CommandMessage(CODEC14.codec_id, MessageType.RESPONSE, b"fourteen", IMEI),
    CommandMessage(CODEC14.codec_id, MessageType.RESPONSE, b"another's", OTHER_IMEI),
    CommandMessage(CODEC14.codec_id, MessageType.COMMAND, b"from a device?", IMEI),
    CommandMessage(CODEC14.codec_id, MessageType.NACK, b"", OTHER_IMEI),
)
ANSWERS = {"12": [MESSAGES[0]], "14": [MESSAGES[2], MESSAGES[5]]}
"""By codec of the command: what a device says to it."""


class Written(msgspec.Struct, frozen=True):
    """A command that is with the device, or was until its time was over."""

    command: Command
    until: float


ANY = Written(Command(CommandRef(Entry("", ""), "", IMEI, "12"), "", 0.0), 0.0)


class QueueOfADeviceWithAnyLuck(RuleBasedStateMachine):
    """The model is who waits, in order, who is in hand, and what is true of the device."""

    @initialize(connected=st.booleans())
    def start(self, connected: bool) -> None:
        self.queue = CommandQueue(
            connected=connected, size=SIZE, quarantine_s=QUARANTINE_S, reconnect_grace_s=GRACE_S
        )
        self.numbers = itertools.count()
        self.now = 0.0
        self.connected = connected
        self.alone_since: dict[Command, float] = {}  # waits without a connection
        self.stopped = False
        self.waiting: list[Command] = []
        self.preparing: Command | None = None
        self.awaited: Written | None = None
        self.quarantine: Written | None = None
        self.writes: list[Command] = []
        self.ended: list[Command] = []
        self.refusals: list[Command] = []
        self.added: list[Command] = []

    @property
    def now_ms(self) -> int:
        """Another clock than ``now``, which starts anywhere."""
        return 1_000_000 + int(self.now * 1000)

    def expired(self, command: Command) -> bool:
        return command.expires_ms is not None and command.expires_ms <= self.now_ms

    @property
    def empty(self) -> bool:
        return not (self.waiting or self.preparing or self.awaited or self.quarantine)

    # What happens.

    @rule(
        codec=st.sampled_from(["12", "14"]),
        expires_in_ms=st.sampled_from([None, None, -1, 0, 1, 1_500, 20_000]),
        timeout_s=st.sampled_from([0.5, 3.0]),
        wait_for_device=st.booleans(),
        stored_at_once=st.booleans(),
    )
    def add(
        self,
        codec: str,
        expires_in_ms: int | None,
        timeout_s: float,
        wait_for_device: bool,
        stored_at_once: bool,
    ) -> None:
        number = next(self.numbers)
        command = Command(
            CommandRef(Entry("commands", f"{number}-0"), f"c{number}", IMEI, codec),
            "getinfo",
            timeout_s,
            None if expires_in_ms is None else self.now_ms + expires_in_ms,
        )
        full = len(self.waiting) >= SIZE
        self.added.append(command)
        self.waiting.append(command)
        self.alone_since[command] = self.now
        effects = self.queue.add(command, self.now, self.now_ms, wait_for_device=wait_for_device)
        if self.stopped:
            assert self.endings(effects) == [(command, Reason.SHUTDOWN)]
        elif not self.connected and not wait_for_device:
            assert self.endings(effects) == [(command, Reason.NOT_CONNECTED)]
        elif full:
            assert self.endings(effects) == [(command, Reason.QUEUE_FULL)]
        else:
            assert not {Reason.SHUTDOWN, Reason.NOT_CONNECTED, Reason.QUEUE_FULL} & {
                reason for _, reason in self.endings(effects)
            }
        self.check(effects)
        if stored_at_once and self.preparing is not None:
            self.word_comes(permitted=True)

    @precondition(lambda self: self.preparing)
    @rule(permitted=st.sampled_from([True, True, True, False]))
    def word_comes(self, permitted: bool) -> None:
        """What is to be written is stored, or it is another's by now."""
        command = self.preparing
        assert command is not None
        if not permitted:
            self.refusals.append(command)
            self.preparing = None
            self.check(self.queue.refused(self.now_ms))
            return
        effects = self.queue.permitted(self.now, self.now_ms)
        if self.stopped:
            assert self.endings(effects) == [(command, Reason.SHUTDOWN)]
        elif self.expired(command):
            assert self.endings(effects)[0] == (command, Reason.EXPIRED)
        elif self.connected:
            assert effects == [Write(command)]
        else:
            assert effects == []
            self.preparing = None
            self.waiting.insert(0, command)  # its turn comes again
            self.alone_since[command] = self.now
        self.check(effects)

    @precondition(
        lambda self: self.connected and (self.awaited or self.quarantine or not self.waiting)
    )
    @rule(choice=st.sampled_from([0, 0, 0, 1, 1, *MESSAGES]))
    def receive(self, choice: int | CommandMessage) -> None:
        """An answer, in time or late, where there can be one; or any message."""
        awaited, quarantine = self.awaited, self.quarantine
        answers = ANSWERS[(awaited or quarantine or ANY).command.ref.codec]
        message = answers[choice % len(answers)] if isinstance(choice, int) else choice
        effects = self.queue.received(message, self.now_ms)
        if awaited is not None and message in answers:
            end = effects[0]
            assert isinstance(end, End)
            assert end.command == awaited.command
            if message.type is MessageType.NACK:
                assert (end.reason, end.answer) == (Reason.NACK, None)
            else:
                assert (end.reason, end.answer) == (None, message)
        else:
            late = quarantine is not None and message in answers
            assert effects[0] == Unasked(message, late)
            if late:
                self.quarantine = None
        assert not any(isinstance(effect, Unasked) for effect in effects[1:])
        self.check(effects)

    @rule(again=st.booleans())
    def the_connection_changes(self, again: bool) -> None:
        """It comes or goes; ``again``: another takes its place at once."""
        if self.connected:
            self.disconnect()
        else:
            again = True
        if again:
            self.connected = True
            self.check(self.queue.connected(self.now_ms))

    def disconnect(self) -> None:
        awaited = self.awaited
        self.connected = False
        self.alone_since |= dict.fromkeys(self.waiting, self.now)
        self.quarantine = None
        effects = self.queue.disconnected(self.now)
        expected = [(awaited.command, Reason.DISCONNECTED)] if awaited else []
        assert self.endings(effects) == expected
        self.check(effects)

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.5, 1.0, 2.0, 9.0]), told=st.booleans())
    def time_passes(self, seconds: float, told: bool) -> None:
        """So long, or until the deadline. A timer may be late: then the queue is not told."""
        deadline = self.queue.deadline
        if seconds == 0.0 and deadline is not None:
            self.now = max(self.now, deadline)
        self.now += seconds
        if told:
            self.tick()

    def tick(self) -> None:
        awaited, quarantine = self.awaited, self.quarantine
        if quarantine is not None and self.now >= quarantine.until:
            self.quarantine = None
        first = min((self.alone_since[command] for command in self.waiting), default=0.0)
        effects = self.queue.tick(self.now, self.now_ms)
        if self.now < first + GRACE_S:
            assert Reason.NOT_CONNECTED not in {reason for _, reason in self.endings(effects)}
        if awaited is not None and self.now >= awaited.until:
            assert (awaited.command, Reason.TIMEOUT) in self.endings(effects)
        self.check(effects)
        assert self.queue.deadline is None or self.queue.deadline > self.now

    @precondition(lambda self: len(self.added) > 8)
    @rule()
    def stop(self) -> None:
        self.stopped = True
        self.quarantine = None
        effects = self.queue.stop()
        self.check(effects)
        assert {reason for _, reason in self.endings(effects)} <= {Reason.SHUTDOWN}
        assert self.awaited is None or self.awaited.command not in self.ended

    @precondition(lambda self: self.stopped)
    @rule()
    def abandon(self) -> None:
        effects = self.queue.abandon()
        self.check(effects)
        assert {reason for _, reason in self.endings(effects)} <= {Reason.SHUTDOWN}
        assert self.awaited is None

    # What must be true of whatever the queue asks for.

    @staticmethod
    def endings(effects: list[Effect]) -> list[tuple[Command, Reason | None]]:
        return [(effect.command, effect.reason) for effect in effects if isinstance(effect, End)]

    def check(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Prepare(command):
                    self.check_turn(command)
                    assert self.waiting.pop(0) == command, "commands take turns in their order"
                    self.preparing = command
                case Write(command):
                    assert command == self.preparing, "it was not permitted"
                    self.preparing = None
                    self.check_turn(command)
                    assert command not in self.writes
                    self.writes.append(command)
                    self.awaited = Written(command, self.now + command.timeout_s)
                case End():
                    self.check_end(effect)
                    self.ended.append(effect.command)

    def check_turn(self, command: Command) -> None:
        assert self.preparing is None
        assert self.awaited is None
        assert self.quarantine is None
        assert self.connected
        assert not self.stopped
        assert not self.expired(command)

    def check_end(self, end: End) -> None:
        command, reason = end.command, end.reason
        assert command in self.added
        assert command not in self.ended
        assert command not in self.refusals
        if self.awaited is not None and command == self.awaited.command:
            if reason is Reason.TIMEOUT:
                assert self.now >= self.awaited.until
                if not self.stopped:
                    self.quarantine = Written(command, self.now + QUARANTINE_S)
            self.awaited = None
            after_writing = {None, Reason.NACK, Reason.TIMEOUT, Reason.DISCONNECTED}
            assert reason in after_writing or (reason is Reason.SHUTDOWN and self.stopped)
            return
        if command == self.preparing:
            self.preparing = None
            assert reason in {Reason.EXPIRED, Reason.SHUTDOWN}
        else:
            self.waiting.remove(command)
        match reason:
            case Reason.EXPIRED:
                assert self.expired(command)
            case Reason.NOT_CONNECTED:
                assert not self.connected
            case Reason.SHUTDOWN:
                assert self.stopped
            case _:
                assert reason is Reason.QUEUE_FULL

    @invariant()
    def what_was_added_waits_is_in_hand_or_is_over(self) -> None:
        left = [command for command in self.added if command not in self.ended + self.refusals]
        in_hand = [self.preparing, self.awaited.command if self.awaited else None]
        assert left == [command for command in in_hand if command is not None] + self.waiting

    @invariant()
    def the_bound_holds(self) -> None:
        assert len(self.waiting) <= SIZE + 1  # one was in hand, and was put back

    @invariant()
    def the_state_says_what_is_waited_for(self) -> None:
        expected = State.IDLE
        if self.preparing is not None:
            expected = State.PREPARING
        elif self.awaited is not None:
            expected = State.AWAITING
        elif self.quarantine is not None:
            expected = State.QUARANTINE
        assert self.queue.state is expected
        assert self.queue.empty == self.empty

    @invariant()
    def nothing_waits_without_a_reason_and_a_deadline(self) -> None:
        if self.stopped:
            assert self.empty or self.preparing or self.awaited
            assert self.awaited or self.queue.deadline is None
        elif self.waiting and self.connected:
            assert self.preparing or self.awaited or self.quarantine
        written = self.awaited or self.quarantine
        due = [written.until] if written else []
        if self.waiting and not self.connected:
            due += [self.alone_since[command] + GRACE_S for command in self.waiting]
        if due:
            assert self.queue.deadline is not None
            assert self.queue.deadline <= min(due)

    def teardown(self) -> None:
        """The device goes, time passes: nothing is left."""
        if not hasattr(self, "queue"):
            return
        if self.connected:
            self.disconnect()
        while self.preparing is not None or self.queue.deadline is not None:
            if self.preparing is not None:
                self.word_comes(permitted=True)
            else:
                self.time_passes(seconds=0.0, told=True)
        assert self.queue.empty
        assert len(self.ended) + len(self.refusals) == len(self.added)


TestQueueOfADeviceWithAnyLuck = QueueOfADeviceWithAnyLuck.TestCase
TestQueueOfADeviceWithAnyLuck.settings = settings(
    max_examples=300, stateful_step_count=60, deadline=None
)
