"""What `--fault` takes, and what is drawn from it."""

from itertools import pairwise
from math import inf
from random import Random

import pytest

from teltonika.emulator import DeviceReport, EmulatorSettings, assemble_device
from teltonika.emulator.faults import Fault, FaultLine, FaultPlan, parse_faults
from teltonika.emulator.faults.source import FaultSource


def test_names_come_with_probabilities_and_moments() -> None:
    plan = parse_faults(["crc=0.01,split=1", "rst@30s, cut@2.5"])
    assert plan.chances == {Fault.CRC: 0.01, Fault.SPLIT: 1.0}
    assert plan.moments == ((2.5, Fault.CUT), (30.0, Fault.RESET))
    assert plan
    assert not FaultPlan()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("crc", "'crc' is neither such as"),
        ("", "'' is neither such as"),
        ("crc=x", "neither such as"),
        ("crc=1.5", "a probability is 0 to 1"),
        ("crc=-1", "neither such as"),
        ("crx=0.1", "'crx' is none of split, coalesce"),
        ("no-luhn@3", "no-luhn has no moment"),
    ],
)
def test_what_is_no_fault_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_faults([text])


def test_the_same_seed_draws_the_same() -> None:
    plan = parse_faults(["crc=0.3,split=0.5"])

    def draws(seed: int) -> list[frozenset[Fault]]:
        source = FaultSource(plan, Random(seed))
        return [source.draw(0.0) for _ in range(200)]

    assert draws(1) == draws(1) != draws(2)
    assert 40 <= sum(Fault.CRC in drawn for drawn in draws(1)) <= 80


def test_a_moment_strikes_once_and_an_injection_at_once() -> None:
    source = FaultSource(parse_faults(["rst@30"]), Random(1))
    source.began_s = 100.0
    assert source.draw(129.9) == frozenset()
    source.inject(Fault.CUT)
    assert source.draw(131.0) == {Fault.RESET, Fault.CUT}
    source.struck(frozenset((Fault.RESET, Fault.CUT)))
    assert source.draw(132.0) == frozenset()


def test_what_must_strike_waits_until_it_has() -> None:
    source = FaultSource(parse_faults(["rst@5,rst@6"]), Random(1))
    for _ in range(2):
        assert source.draw(7.0) == {Fault.RESET}
        source.struck(frozenset((Fault.CRC,)))
        assert source.draw(7.0) == {Fault.RESET}
        source.struck(frozenset((Fault.CRC, Fault.RESET)))
    assert source.draw(8.0) == frozenset()


def test_no_luhn_is_drawn_for_each_device() -> None:
    imei = "356307042441013"
    right = assemble_device(imei, EmulatorSettings(), 0)
    wrong = assemble_device(imei, EmulatorSettings(faults=parse_faults(["no-luhn=1"])), 0)
    assert right.imei == imei
    assert wrong.imei == wrong.report.imei == "356307042441014"


def struck(line: FaultLine, now_s: float, *, again: bool = False) -> set[Fault]:
    """What a packet has that is due and written now."""
    faults = line.draw(now_s, again=again)
    if Fault.STORM not in faults:
        line.strike(faults, bytes(20), now_s)
    return set(faults)


def line_with(plan: FaultPlan) -> FaultLine:
    return FaultLine(plan, Random(1), DeviceReport(imei=""))


def test_a_moment_waits_for_a_packet_that_can_have_the_fault() -> None:
    line = line_with(parse_faults(["twin@5"]))
    assert struck(line, 6.0, again=True) == set()
    assert struck(line, 7.0) == {Fault.TWIN}
    assert struck(line, 8.0) == set()


def test_what_is_split_is_written_in_tiny_segments_with_pauses() -> None:
    line, packet = line_with(FaultPlan()), bytes(range(256))
    line.strike(frozenset({Fault.SPLIT}), packet, now_s=5.0)
    written = []
    while line.due_s < inf:
        written.append((line.due_s, line.pop()))
    assert b"".join(segment for _, segment in written) == packet
    assert {len(segment) for _, segment in written} == {8}
    assert written[0][0] == 5.0
    assert min(later - earlier for (earlier, _), (later, _) in pairwise(written)) > 0.001


def test_what_a_storm_comes_instead_of_follows_it() -> None:
    line = line_with(parse_faults(["storm@5,rst@5"]))
    assert struck(line, 5.0) == {Fault.STORM}
    assert struck(line, 5.0) == {Fault.RESET}
    assert struck(line, 5.0) == set()


def test_what_cannot_come_together_comes_one_after_the_other() -> None:
    line = line_with(FaultPlan())
    for fault in (Fault.CRC, Fault.DUPLICATE, Fault.CUT, Fault.RESET, Fault.HALF_OPEN):
        line.inject(fault)
    assert struck(line, 0.0) == {Fault.CRC, Fault.CUT}
    assert struck(line, 0.0, again=True) == {Fault.RESET}
    assert struck(line, 0.0) == {Fault.DUPLICATE, Fault.HALF_OPEN}
    assert struck(line, 0.0) == set()


def test_only_what_strikes_is_counted() -> None:
    report = DeviceReport(imei="")
    line = FaultLine(parse_faults(["cut=1,rst=1"]), Random(1), report)
    line.draw(0.0)
    assert report.faults == {}
    struck(line, 0.0)
    assert report.faults == {"cut": 1}


def test_what_is_broken_comes_once_and_alone() -> None:
    """So that it is plain which packet an answer is for."""
    line = line_with(parse_faults(["crc=1,duplicate=1,coalesce=1,split=1"]))
    assert line.draw(0.0) == {Fault.CRC, Fault.SPLIT}


def test_a_packet_that_is_sent_again_has_no_fault_of_several() -> None:
    line = line_with(parse_faults(["duplicate=1,coalesce=1,clock=1,twin=1,storm=1,rst=1"]))
    assert line.draw(0.0, again=True) == {Fault.RESET}
    assert line.draw(0.0) == {Fault.STORM}
