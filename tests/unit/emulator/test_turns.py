"""What a server sends is worked off in turns, and nothing is read meanwhile."""

import asyncio

import pytest

from teltonika.emulator.turns import TURN_BYTES, TurnProtocol


class Line(asyncio.Transport):
    """A transport that knows whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = True
        self.closing = False

    def pause_reading(self) -> None:
        assert not self.closing
        self.reads = False

    def resume_reading(self) -> None:
        assert not self.closing
        self.reads = True

    def is_closing(self) -> bool:
        return self.closing


class Turns(TurnProtocol):
    def __init__(self) -> None:
        super().__init__()
        self.taken: list[bytes] = []
        self.line = Line()
        self.connection_made(self.line)

    def take_turn(self, data: bytes) -> None:
        self.taken.append(data)


async def next_turn() -> None:
    await asyncio.sleep(0)


async def until_read(turns: Turns) -> None:
    while not turns.line.reads:
        await next_turn()


async def test_what_fits_a_turn_is_handed_over_at_once() -> None:
    turns = Turns()
    turns.data_received(bytes(TURN_BYTES))
    assert [len(data) for data in turns.taken] == [TURN_BYTES]
    assert turns.line.reads


async def test_the_rest_waits_for_the_next_turns_and_nothing_is_read_meanwhile() -> None:
    turns = Turns()
    data = bytes(range(256)) * (TURN_BYTES // 64)  # four turns
    turns.data_received(data + b"end")
    for number in range(1, 5):
        assert len(turns.taken) == number
        assert not turns.line.reads
        await next_turn()
    assert turns.line.reads
    assert b"".join(turns.taken) == data + b"end"
    assert max(map(len, turns.taken)) == TURN_BYTES


async def test_others_have_their_turn_between() -> None:
    turns = Turns()
    seen: list[int] = []
    turns.data_received(bytes(10 * TURN_BYTES))
    for _ in range(3):
        asyncio.get_running_loop().call_soon(lambda: seen.append(len(turns.taken)))
        await next_turn()
    assert seen == [2, 3, 4]
    await until_read(turns)


async def test_what_comes_in_spite_of_the_pause_keeps_its_place() -> None:
    turns = Turns()
    turns.data_received(b"a" * 2 * TURN_BYTES)
    turns.data_received(b"b")
    await until_read(turns)
    assert b"".join(turns.taken) == b"a" * 2 * TURN_BYTES + b"b"


async def test_nothing_is_taken_while_it_takes_no_more() -> None:
    turns = Turns()
    turns.data_received(b"a" * 3 * TURN_BYTES)
    turns.stop_taking()
    turns.data_received(b"b")
    for _ in range(3):
        await next_turn()
    assert len(turns.taken) == 1
    turns.go_on_taking()
    assert not turns.line.reads
    await until_read(turns)
    assert b"".join(turns.taken) == b"a" * 3 * TURN_BYTES + b"b"


async def test_a_stop_with_nothing_held_only_stops_reading() -> None:
    turns = Turns()
    turns.stop_taking()
    assert not turns.line.reads
    turns.go_on_taking()
    assert turns.line.reads


async def test_after_the_end_nothing_is_handed_over() -> None:
    turns = Turns()
    turns.data_received(bytes(3 * TURN_BYTES))
    turns.line.closing = True
    turns.connection_lost(None)
    for _ in range(3):
        await next_turn()
    assert len(turns.taken) == 1


async def test_a_connection_that_is_being_closed_is_not_paused() -> None:
    turns = Turns()
    turns.line.closing = True
    turns.data_received(bytes(2 * TURN_BYTES))
    await next_turn()
    assert len(turns.taken) == 2


async def test_a_subclass_must_take_its_turns() -> None:
    protocol = TurnProtocol()
    protocol.connection_made(Line())
    with pytest.raises(NotImplementedError):
        protocol.data_received(b"x")
