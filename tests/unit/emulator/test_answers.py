"""When answers go out, in how many pieces, how often."""

from math import inf

import pytest

from teltonika.emulator import AnswerFault, AnswerQueue
from teltonika.emulator.answers import SPLIT_PAUSE_S, SPLIT_PIECES

FIRST, SECOND = b"the first frame", b"another"


def drained(queue: AnswerQueue) -> list[tuple[float, bytes, bool]]:
    """Due, bytes, and whether the frame goes on behind them, of all that waits."""
    taken = []
    while queue.due_s < inf:
        due = queue.due_s
        taken.append((due, queue.pop(), queue.mid_frame))
    return taken


def test_answers_go_out_whole_in_order_and_after_the_delay() -> None:
    queue = AnswerQueue(2.5, AnswerFault.NONE)
    queue.add(FIRST, 10.0)
    queue.add(SECOND, 11.0)
    assert drained(queue) == [(12.5, FIRST, False), (13.5, SECOND, False)]


def test_withheld_answers_never_go_out() -> None:
    queue = AnswerQueue(0.0, AnswerFault.WITHHOLD)
    queue.add(FIRST, 10.0)
    assert queue.due_s == inf
    with pytest.raises(IndexError):
        queue.pop()


def test_doubled_answers_go_out_twice() -> None:
    queue = AnswerQueue(1.0, AnswerFault.DOUBLE)
    queue.add(FIRST, 10.0)
    assert drained(queue) == [(11.0, FIRST, False)] * 2


def test_split_answers_go_out_in_pieces_and_none_between_anothers() -> None:
    queue = AnswerQueue(1.0, AnswerFault.SPLIT)
    queue.add(FIRST, 10.0)
    queue.add(SECOND, 10.0)
    taken = drained(queue)
    assert len(taken) == 2 * SPLIT_PIECES
    assert b"".join(piece for _, piece, _ in taken) == FIRST + SECOND
    assert all(piece for _, piece, _ in taken)
    assert [goes_on for *_, goes_on in taken] == [*[True] * (SPLIT_PIECES - 1), False] * 2
    dues = [due for due, *_ in taken[:SPLIT_PIECES]]
    assert dues == pytest.approx([11.0 + number * SPLIT_PAUSE_S for number in range(SPLIT_PIECES)])


def test_what_did_not_go_out_on_a_connection_is_lost_with_it() -> None:
    queue = AnswerQueue(0.0, AnswerFault.SPLIT)
    queue.add(FIRST, 10.0)
    queue.pop()
    assert queue.mid_frame
    queue.clear()
    assert not queue.mid_frame
    assert queue.due_s == inf
