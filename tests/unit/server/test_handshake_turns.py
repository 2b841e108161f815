"""Whose handshake may go on, where there are too many."""

import asyncio

import pytest

from teltonika.server.background import background
from teltonika.server.counters import Counters
from teltonika.server.handshake_turns import HandshakeTurns


class Handshake:
    """One that goes on until it is let go."""

    def __init__(self, turns: HandshakeTurns, address: str | None) -> None:
        self._turns = turns
        self._address = address
        self.is_under_way = False
        self.ended = asyncio.Event()

    async def run(self) -> None:
        async with self._turns.turn(self._address):
            self.is_under_way = True
            await self.ended.wait()
        self.is_under_way = False


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def counters() -> Counters:
    return Counters()


async def test_one_address_has_a_quarter_and_keeps_no_other_out(counters: Counters) -> None:
    turns = HandshakeTurns(8, counters)
    hostile = [Handshake(turns, "127.0.0.1") for _ in range(20)]
    honest = Handshake(turns, "127.0.0.2")
    async with background(*(one.run() for one in hostile), honest.run()):
        await settled()
        assert sum(one.is_under_way for one in hostile) == 2
        assert honest.is_under_way
        assert counters.waited_for_max_handshakes == 18


async def test_those_that_wait_take_turns_by_address(counters: Counters) -> None:
    turns = HandshakeTurns(4, counters)
    first = [Handshake(turns, f"127.0.0.{number}") for number in range(4)]
    many = [Handshake(turns, "127.0.1.1") for _ in range(3)]
    other = Handshake(turns, "127.0.1.2")
    async with background(*(one.run() for one in (*first, *many, other))):
        await settled()
        assert all(one.is_under_way for one in first)
        for one in first[:2]:
            one.ended.set()
        await settled()
        assert [one.is_under_way for one in (*many, other)] == [True, False, False, True]


async def test_one_that_gives_up_leaves_its_place(counters: Counters) -> None:
    turns = HandshakeTurns(1, counters)
    first, second, third = (Handshake(turns, f"127.0.0.{number}") for number in range(3))
    async with background(first.run(), third_after(second, third)):
        for _ in range(3):
            await settled()
        first.ended.set()
        await settled()
        assert third.is_under_way
        assert not second.is_under_way


async def third_after(second: Handshake, third: Handshake) -> None:
    """Waits behind one that waits, and gives up."""
    async with background(second.run()):
        await settled()
    await third.run()


async def test_no_limit_and_a_balancer_without_a_part(counters: Counters) -> None:
    unlimited = HandshakeTurns(0, counters)
    balancer = HandshakeTurns(4, counters)
    many = [Handshake(unlimited, "127.0.0.1") for _ in range(50)]
    heads = [Handshake(balancer, None) for _ in range(5)]
    async with background(*(one.run() for one in (*many, *heads))):
        await settled()
        assert all(one.is_under_way for one in many)
        assert [one.is_under_way for one in heads] == [True] * 4 + [False]


async def test_thousands_that_give_up_at_once_leave_the_turn_to_the_next(
    counters: Counters,
) -> None:
    turns = HandshakeTurns(1, counters)
    first, last = Handshake(turns, "127.0.0.1"), Handshake(turns, "127.0.0.2")
    many = [Handshake(turns, f"10.0.0.{number}") for number in range(3000)]
    async with background(first.run()):
        await settled()
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(one.run()) for one in many]
            await settled()
            async with background(last.run()):
                await settled()
                first.ended.set()  # it runs before those that are cancelled after it
                for task in waiting:
                    task.cancel()
                await settled()
                assert last.is_under_way
