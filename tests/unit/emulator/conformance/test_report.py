"""Results for machines: objects, counts, and a JUnit file that reads back."""

import asyncio
from pathlib import Path
from xml.etree import ElementTree

import pytest
from broken_servers import LittleServer

from teltonika.emulator.conformance import (
    Bench,
    Case,
    CaseResult,
    Exchange,
    Group,
    Needs,
    Outcome,
    Patience,
    Requirement,
    Speaker,
    Target,
    Unexpected,
    run_case,
    run_cases,
    summarise,
    write_junit,
)


async def passes(bench: Bench) -> None:
    async with bench.accepted():
        pass


async def fails(bench: Bench) -> None:
    async with bench.accepted():
        raise Unexpected("it said <nonsense> & \x00")


async def hangs(bench: Bench) -> None:
    await asyncio.Event().wait()


class Impatient(Patience, frozen=True):
    @property
    def case_s(self) -> float:
        return 0.1


def case(name: str, run, **more) -> Case:
    return Case(name=name, expects="something", source="It says so.", run=run, **more)


GROUPS = (
    Group("one", (case("right", passes), case("wrong", fails))),
    Group(
        "two",
        (
            case("odd", fails, requirement=Requirement.RECOMMENDED),
            case("datagrams", passes, needs=Needs.UDP_PORT),
            case("unknown", passes, needs=Needs.UNKNOWN_IMEI),
        ),
    ),
)


async def results() -> list[CaseResult]:
    async with LittleServer() as server:
        target = Target(host="127.0.0.1", port=server.port)
        return [result async for result in run_cases(GROUPS, target)]


async def test_a_required_case_fails_and_a_recommended_one_warns() -> None:
    outcomes = {result.case.name: result.outcome for result in await results()}
    assert outcomes == {
        "right": Outcome.PASSED,
        "wrong": Outcome.FAILED,
        "odd": Outcome.WARNED,
        "datagrams": Outcome.SKIPPED,
        "unknown": Outcome.SKIPPED,
    }


async def test_the_summary_counts_and_only_a_failure_spoils_it() -> None:
    found = await results()
    summary = summarise("here:1", found)
    counts = (summary.passed, summary.failed, summary.warned, summary.skipped)
    assert (summary.cases, counts) == (5, (1, 1, 1, 2))
    assert not summary.conforms
    assert summarise("here:1", [r for r in found if r.outcome is not Outcome.FAILED]).conforms


async def test_what_was_skipped_says_what_it_needs() -> None:
    saw = {result.case.name: result.saw for result in await results()}
    assert saw["datagrams"].startswith("needs --udp-port")
    assert saw["unknown"].startswith("needs --unknown-imei")


async def test_a_case_has_a_time_limit() -> None:
    target = Target(host="127.0.0.1", port=1, patience=Impatient())
    result = await run_case(case("slow", hangs), "one", target)
    assert (result.outcome, result.saw) == (Outcome.FAILED, "the case was not over after 0.1 s")


async def test_an_error_of_a_case_itself_is_not_put_on_the_server() -> None:
    async def breaks(bench: Bench) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run_case(case("broken", breaks), "one", Target(host="127.0.0.1", port=1))


async def test_an_object_has_the_sentence_and_every_byte() -> None:
    (right, *_) = await results()
    told = right.as_object()
    assert told["kind"] == "case"
    assert (told["name"], told["group"], told["outcome"]) == ("right", "one", "passed")
    assert (told["expects"], told["source"]) == ("something", "It says so.")
    exchanges = told["exchanges"]
    assert isinstance(exchanges, list)
    said = [(e["from"], e.get("hex") or e["note"]) for e in exchanges]
    imei = b"\x00\x0f" + right.imei.encode()
    assert said == [("device", imei.hex()), ("server", "01"), ("device", "closes")]


async def test_the_junit_file_reads_back_and_its_counts_agree(tmp_path: Path) -> None:
    file = tmp_path / "out.xml"
    write_junit(file, "here:1", await results())
    root = ElementTree.parse(file).getroot()
    assert root.tag == "testsuites"
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "0",
        "skipped": "2",
    }
    for suite in root.findall("testsuite"):
        cases = suite.findall("testcase")
        for attribute, tag in (("failures", "failure"), ("skipped", "skipped")):
            counted = sum(test.find(tag) is not None for test in cases)
            assert suite.get(attribute) == str(counted)
        assert suite.get("tests") == str(len(cases))
        assert all(test.get("name") and test.get("classname") for test in cases)
        assert all(float(test.get("time", "")) >= 0 for test in cases)
    failure = root.find(".//testcase[@name='wrong']/failure")
    assert failure is not None
    assert failure.get("message") == "it said <nonsense> & \ufffd"
    assert "why: It says so." in (failure.text or "")
    odd = root.find(".//testcase[@name='odd']")
    assert odd is not None
    assert odd.find("failure") is None
    assert "warning: it said" in odd.findtext("system-err", "")


def test_a_long_write_is_shown_without_its_middle() -> None:
    shown = Exchange(0.5, 2, Speaker.DEVICE, bytes(5000) + b"\xee").shown
    assert shown.endswith("ee (5,001 bytes)")
    assert len(shown) < 400
    assert Exchange(0.5, 2, Speaker.SERVER, b"\x01").shown == "01"
