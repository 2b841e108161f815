"""How much is told in a second."""

from teltonika.server.trace_limits import (
    MAX_BYTES,
    MAX_FRAMES,
    MAX_FRAMES_OF_ONE,
    TraceLimits,
)


def told(limits: TraceLimits, imei: str, frames: int, size: int = 1) -> int:
    return sum(limits.may_tell(imei, size) for _ in range(frames))


def test_one_device_has_its_share_and_the_others_theirs() -> None:
    limits = TraceLimits()
    assert told(limits, "one", MAX_FRAMES_OF_ONE + 7) == MAX_FRAMES_OF_ONE
    assert told(limits, "two", 3) == 3
    assert limits.turn() == {"one": 7}


def test_all_together_have_a_limit_too() -> None:
    limits = TraceLimits()
    devices = [str(number) for number in range(10)]
    assert sum(told(limits, device, MAX_FRAMES_OF_ONE) for device in devices) == MAX_FRAMES
    assert sum(limits.turn().values()) == 10 * MAX_FRAMES_OF_ONE - MAX_FRAMES


def test_large_frames_are_fewer() -> None:
    limits = TraceLimits()
    assert told(limits, "one", 10, MAX_BYTES // 4) == 4


def test_each_second_begins_anew() -> None:
    limits = TraceLimits()
    told(limits, "one", MAX_FRAMES_OF_ONE + 1)
    limits.turn()
    assert limits.turn() == {}
    assert told(limits, "one", MAX_FRAMES_OF_ONE) == MAX_FRAMES_OF_ONE
