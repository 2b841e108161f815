"""What `--fault` takes, and what is drawn from it."""

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
    assert source.draw(132.0) == frozenset()


def test_no_luhn_is_drawn_for_each_device() -> None:
    imei = "356307042441013"
    right = assemble_device(imei, EmulatorSettings(), 0)
    wrong = assemble_device(imei, EmulatorSettings(faults=parse_faults(["no-luhn=1"])), 0)
    assert right.imei == imei
    assert wrong.imei == wrong.report.imei == "356307042441014"


def test_what_is_broken_comes_once_and_alone() -> None:
    """So that it is plain which packet an answer is for."""
    plan = parse_faults(["crc=1,duplicate=1,coalesce=1,split=1"])
    line = FaultLine(plan, Random(1), DeviceReport(imei=""))
    assert line.draw(0.0) == {Fault.CRC, Fault.SPLIT}


def test_a_packet_that_is_sent_again_has_no_fault_of_several() -> None:
    plan = parse_faults(["duplicate=1,coalesce=1,clock=1,twin=1,storm=1,rst=1"])
    line = FaultLine(plan, Random(1), DeviceReport(imei=""))
    assert line.draw(0.0, again=True) == {Fault.RESET}
    assert line.draw(0.0) == {Fault.STORM}
