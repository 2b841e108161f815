"""One device's queue: each reason, and whose turn comes when."""

import msgspec
import pytest

from teltonika.codecs import COMMAND_CODECS, CommandMessage, MessageType
from teltonika.server.command import Command, CommandRef, Entry
from teltonika.server.command_queue import (
    CommandQueue,
    End,
    Prepare,
    Reason,
    State,
    Unasked,
    Write,
)

IMEI = "356307042441013"
OTHER_IMEI = "356307042441021"
CODEC12, CODEC14 = (COMMAND_CODECS.by_name(name) for name in ("12", "14"))
ANSWER = CommandMessage(CODEC12.codec_id, MessageType.RESPONSE, b"RTC:2026")


def command(name: str, codec: str = "12", expires_ms: int | None = None) -> Command:
    """A command whose answer is waited for five seconds."""
    ref = CommandRef(Entry("commands", f"{name}-0"), name, IMEI, codec)
    return Command(ref, "getinfo", 5.0, expires_ms)


A, B, C = (command(name) for name in "ABC")
A14 = command("A", "14")


def queue(*, connected: bool = True, size: int = 2) -> CommandQueue:
    return CommandQueue(connected=connected, size=size, quarantine_s=2.0, reconnect_grace_s=10.0)


def awaiting(first: Command, *others: Command) -> CommandQueue:
    """``first`` was written at second 0, the others wait."""
    waiting = queue()
    assert waiting.add(first, 0.0, 0) == [Prepare(first)]
    assert waiting.permitted(0.0, 0) == [Write(first)]
    for other in others:
        assert waiting.add(other, 0.0, 0) == []
    return waiting


def timed_out(first: Command, *others: Command) -> CommandQueue:
    """``first`` was written at second 0 and not answered until second 5."""
    quarantined = awaiting(first, *others)
    quarantined.tick(5.0, 0)
    assert quarantined.state is State.QUARANTINE
    return quarantined


def failed(command: Command, reason: Reason, detail: str = "") -> End:
    return End(command, reason=reason, detail=detail)


def test_an_answer_ends_the_command_and_the_next_ones_turn_comes() -> None:
    assert awaiting(A, B).received(ANSWER, 0) == [End(A, answer=ANSWER), Prepare(B)]


def test_commands_take_turns_in_the_order_they_came() -> None:
    device = awaiting(A, B, C)
    for done, after in ((A, B), (B, C)):
        assert device.received(ANSWER, 0) == [End(done, answer=ANSWER), Prepare(after)]
        assert device.permitted(0.0, 0) == [Write(after)]
    assert device.received(ANSWER, 0) == [End(C, answer=ANSWER)]
    assert device.empty


def test_nothing_is_written_before_that_is_stored() -> None:
    device = queue()
    assert device.add(A, 0.0, 0) == [Prepare(A)]
    assert device.received(ANSWER, 0) == [Unasked(ANSWER)]
    assert device.tick(99.0, 0) == []
    assert device.state is State.PREPARING


def test_a_command_that_is_another_runs_is_neither_written_nor_ended() -> None:
    device = queue()
    device.add(A, 0.0, 0)
    device.add(B, 0.0, 0)
    assert device.refused(0) == [Prepare(B)]
    assert device.permitted(0.0, 0) == [Write(B)]


def test_not_connected_if_the_device_is_not_there() -> None:
    device = queue(connected=False)
    assert device.add(A, 0.0, 0) == [failed(A, Reason.NOT_CONNECTED)]
    assert device.empty


def test_a_command_that_may_wait_for_its_device_is_prepared_when_it_comes() -> None:
    device = queue(connected=False)
    assert device.add(A, 0.0, 0, wait_for_device=True) == []
    assert device.deadline == 10.0
    assert device.connected(0) == [Prepare(A)]
    assert device.deadline is None


def test_not_connected_if_the_device_does_not_come_in_time() -> None:
    device = queue(connected=False)
    device.add(A, 0.0, 0, wait_for_device=True)
    device.add(B, 9.0, 0, wait_for_device=True)
    assert device.tick(9.9, 0) == []
    assert device.tick(10.0, 0) == [
        failed(A, Reason.NOT_CONNECTED),
        failed(B, Reason.NOT_CONNECTED),
    ]


def test_queue_full_behind_the_one_that_is_with_the_device() -> None:
    device = awaiting(A, B, C)
    late = command("D")
    end = failed(late, Reason.QUEUE_FULL, "2 commands wait for this device")
    assert device.add(late, 0.0, 0) == [end]
    assert device.received(ANSWER, 0) == [End(A, answer=ANSWER), Prepare(B)]
    assert device.add(late, 0.0, 0) == []


def test_expired_at_its_turn() -> None:
    soon = command("B", expires_ms=1_000)
    device = awaiting(A, soon, C)
    effects = device.received(ANSWER, now_ms=1_000)
    assert effects == [End(A, answer=ANSWER), failed(soon, Reason.EXPIRED), Prepare(C)]


def test_expired_while_it_was_stored_that_it_is_to_be_written() -> None:
    soon = command("A", expires_ms=1_000)
    device = queue()
    assert device.add(soon, 0.0, 999) == [Prepare(soon)]
    device.add(B, 0.0, 999)
    assert device.permitted(0.0, 1_000) == [failed(soon, Reason.EXPIRED), Prepare(B)]


def test_a_command_is_written_up_to_its_last_millisecond() -> None:
    soon = command("A", expires_ms=1_000)
    device = queue()
    device.add(soon, 0.0, 999)
    assert device.permitted(0.0, 999) == [Write(soon)]


def test_timeout_and_then_a_quarantine_before_the_next_turn() -> None:
    device = awaiting(A, B)
    assert device.deadline == 5.0
    assert device.tick(4.9, 0) == []
    assert device.tick(5.0, 0) == [failed(A, Reason.TIMEOUT, "no answer in 5 s")]
    assert device.deadline == 7.0
    assert device.tick(6.9, 0) == []
    assert device.tick(7.0, 0) == [Prepare(B)]


def test_a_late_answer_is_nobodys_and_ends_the_quarantine() -> None:
    device = timed_out(A, B)
    assert device.received(ANSWER, 0) == [Unasked(ANSWER, late=True), Prepare(B)]
    assert device.received(ANSWER, 0) == [Unasked(ANSWER)]


def test_a_message_that_is_no_answer_does_not_end_the_quarantine() -> None:
    device = timed_out(A14, B)
    assert device.received(ANSWER, 0) == [Unasked(ANSWER)]
    assert device.state is State.QUARANTINE


def test_disconnected_while_the_answer_is_awaited() -> None:
    device = awaiting(A, B)
    detail = "the connection closed before the answer came"
    assert device.disconnected(1.0) == [failed(A, Reason.DISCONNECTED, detail)]
    assert device.connected(0) == [Prepare(B)]


def test_the_quarantine_ends_with_the_connection() -> None:
    device = timed_out(A, B)
    assert device.disconnected(5.5) == []
    assert device.connected(0) == [Prepare(B)]


def test_what_waits_when_the_connection_goes_waits_a_while_for_the_next() -> None:
    device = awaiting(A, B)
    device.disconnected(1.0)
    assert device.deadline == 11.0
    assert device.tick(11.0, 0) == [failed(B, Reason.NOT_CONNECTED)]
    assert device.empty


def test_what_was_about_to_be_written_when_the_connection_went_is_the_next_in_turn() -> None:
    device = queue()
    device.add(A, 0.0, 0)
    device.add(B, 0.0, 0)
    device.disconnected(1.0)
    assert device.permitted(2.0, 0) == []
    assert device.connected(0) == [Prepare(A)]
    assert device.permitted(3.0, 0) == [Write(A)]


def test_a_device_that_does_not_come_back_gets_nothing_that_was_about_to_be_written() -> None:
    device = queue()
    device.add(A, 0.0, 0)
    device.disconnected(1.0)
    assert device.permitted(2.0, 0) == []
    assert device.tick(12.0, 0) == [failed(A, Reason.NOT_CONNECTED)]


def test_nack_with_the_imei_that_the_device_says_it_has() -> None:
    nack = CommandMessage(CODEC14.codec_id, MessageType.NACK, b"", OTHER_IMEI)
    end = failed(A14, Reason.NACK, f"the device says it is {OTHER_IMEI}")
    assert awaiting(A14, B).received(nack, 0) == [end, Prepare(B)]


def test_a_codec_14_answer_carries_the_imei_that_was_asked() -> None:
    device = awaiting(A14)
    answer = CODEC14.answer(A14.message, b"RTC:2026")
    stranger = msgspec.structs.replace(answer, imei=OTHER_IMEI)
    assert device.received(stranger, 0) == [Unasked(stranger)]
    assert device.received(answer, 0) == [End(A14, answer=answer)]


@pytest.mark.parametrize(
    "message",
    [
        CODEC14.answer(A14.message, b"another codec's"),
        CommandMessage(CODEC14.codec_id, MessageType.NACK, b"", IMEI),
        CommandMessage(CODEC12.codec_id, MessageType.COMMAND, b"no answer at all"),
    ],
)
def test_a_message_that_cannot_be_the_answer_ends_nothing(message: CommandMessage) -> None:
    device = awaiting(A)
    assert device.received(message, 0) == [Unasked(message)]
    assert device.state is State.AWAITING


def test_a_message_that_nobody_waits_for_is_unasked() -> None:
    assert queue().received(ANSWER, 0) == [Unasked(ANSWER)]


def test_shutdown_of_what_is_awaited_and_what_waits() -> None:
    device = awaiting(A, B, C)
    assert device.stop() == [failed(one, Reason.SHUTDOWN) for one in (B, C)]
    assert device.state is State.AWAITING
    assert device.abandon() == [failed(A, Reason.SHUTDOWN)]
    assert device.empty
    assert device.deadline is None
    assert device.abandon() == []


def test_after_a_shutdown_the_answer_that_is_awaited_still_counts() -> None:
    device = awaiting(A, B)
    device.stop()
    assert device.received(ANSWER, 0) == [End(A, answer=ANSWER)]
    assert device.empty


def test_after_a_shutdown_a_time_out_has_no_quarantine() -> None:
    device = awaiting(A)
    device.stop()
    (end,) = device.tick(A.timeout_s, 0)
    assert isinstance(end, End)
    assert end.reason is Reason.TIMEOUT
    assert device.empty


def test_shutdown_of_what_was_about_to_be_written() -> None:
    device = queue()
    device.add(A, 0.0, 0)
    device.add(B, 0.0, 0)
    assert device.stop() == [failed(B, Reason.SHUTDOWN)]
    assert not device.empty
    assert device.permitted(0.0, 0) == [failed(A, Reason.SHUTDOWN)]
    assert device.empty


def test_shutdown_of_what_comes_after_it() -> None:
    device = queue(connected=False)
    device.stop()
    assert device.add(A, 0.0, 0, wait_for_device=True) == [failed(A, Reason.SHUTDOWN)]


def test_after_a_time_out_a_shutdown_ends_the_quarantine() -> None:
    device = timed_out(A)
    assert device.stop() == []
    assert device.empty


def test_word_that_nobody_waits_for_is_a_bug() -> None:
    with pytest.raises(RuntimeError, match="IDLE cannot leave PREPARING"):
        queue().permitted(0.0, 0)
    with pytest.raises(RuntimeError, match="AWAITING cannot leave PREPARING"):
        awaiting(A).refused(0)
