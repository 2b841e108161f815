"""In each turn of the loop one of those that wait has a turn."""

import asyncio

from teltonika.server.turns import FIRST_TURNS_EVENTS, TURN_EVENTS, Turns


class Connection:
    """Has so many turns' work left."""

    def __init__(self, turns: Turns, name: str, left: int, taken: list[str]) -> None:
        self._turns = turns
        self._name = name
        self._left = left
        self._taken = taken

    def take_turn(self) -> None:
        self._taken.append(self._name)
        self._left -= 1
        if self._left:
            self._turns.wait(self)


async def test_those_that_wait_take_turns_and_so_does_everybody_else() -> None:
    turns, taken = Turns(), list[str]()
    turns.wait(Connection(turns, "a", 3, taken))
    turns.wait(Connection(turns, "b", 2, taken))
    assert not taken
    while len(turns):
        before = len(taken)
        await asyncio.sleep(0)
        assert len(taken) - before <= 1
    assert taken == ["a", "b", "a", "b", "a"]


async def test_a_turn_that_fails_holds_up_no_other() -> None:
    class Broken:
        def take_turn(self) -> None:
            raise RuntimeError("a bug")

    turns, taken = Turns(), list[str]()
    told: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    turns.wait(Broken())
    turns.wait(Connection(turns, "a", 1, taken))
    while len(turns):
        await asyncio.sleep(0)
    assert taken == ["a"]
    assert len(told) == 1


async def test_first_turns_of_many_have_less_until_the_loop_turns() -> None:
    turns = Turns()
    assert turns.most_events == TURN_EVENTS
    for _ in range(FIRST_TURNS_EVENTS // TURN_EVENTS):
        turns.spend(TURN_EVENTS)
    assert turns.most_events == 1
    await asyncio.sleep(0)
    assert turns.most_events == TURN_EVENTS
