"""What became of the cases, for a machine: objects, and a JUnit file."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import msgspec
from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from teltonika.emulator.conformance.case import Case
from teltonika.emulator.conformance.transcript import Exchange
from teltonika.emulator.xml_text import xml_text

SUITE_NAME = "teltonika conform"


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    """A required case's: the run fails."""
    WARNED = "warned"
    """The server did otherwise in a recommended case."""
    SKIPPED = "skipped"


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """One case's end."""

    case: Case
    group: str
    imei: str
    outcome: Outcome
    saw: str = ""
    """What the server did instead, or why the case did not run; empty when it passed."""
    duration_s: float = 0.0
    exchanges: tuple[Exchange, ...] = ()

    @property
    def transcript(self) -> str:
        """A line for each exchange; the middle of long ones is left out."""
        return "\n".join(str(exchange) for exchange in self.exchanges)

    def as_object(self) -> dict[str, object]:
        """For NDJSON; every byte is there."""
        return case_object(self.case, self.group) | {
            "imei": self.imei,
            "outcome": self.outcome,
            "saw": self.saw,
            "duration_s": round(self.duration_s, 3),
            "exchanges": [
                {"at_s": round(exchange.at_s, 4), "connection": exchange.connection}
                | {"from": exchange.speaker}
                | ({"note": exchange.note} if exchange.note else {"hex": exchange.data.hex()})
                for exchange in self.exchanges
            ],
        }


def case_object(case: Case, group: str) -> dict[str, object]:
    """What is known of a case before it runs."""
    return {
        "kind": "case",
        "name": case.name,
        "group": group,
        "requirement": case.requirement,
        "expects": case.expects,
        "source": case.source,
        "needs": case.needs,
    }


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The whole run."""

    kind: str = "summary"
    target: str
    cases: int
    passed: int
    failed: int
    warned: int
    skipped: int
    duration_s: float

    @property
    def conforms(self) -> bool:
        """Whether every required case that ran passed."""
        return self.failed == 0


def summarise(target: str, results: Sequence[CaseResult]) -> Summary:
    counts = Counter(result.outcome for result in results)
    return Summary(
        target=target,
        cases=len(results),
        passed=counts[Outcome.PASSED],
        failed=counts[Outcome.FAILED],
        warned=counts[Outcome.WARNED],
        skipped=counts[Outcome.SKIPPED],
        duration_s=round(sum(result.duration_s for result in results), 3),
    )


def write_junit(path: Path, target: str, results: Sequence[CaseResult]) -> None:
    """A test suite for each group. A warning is a test that passed, its words on standard error:
    JUnit knows no third thing. Raises OSError."""
    document = JUnitXml(SUITE_NAME)
    for name in dict.fromkeys(result.group for result in results):
        suite = TestSuite(name)
        suite.add_property("target", target)
        suite.add_testcases([_test_case(result) for result in results if result.group == name])
        document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    document.write(str(path))


def _test_case(result: CaseResult) -> TestCase:
    case = result.case
    test = TestCase(case.name, f"teltonika.conform.{result.group}", round(result.duration_s, 3))
    saw = xml_text(result.saw)
    if result.outcome is Outcome.FAILED:
        failure = Failure(saw, case.requirement.value)
        failure.text = xml_text(explained(result))
        test.result = [failure]
    elif result.outcome is Outcome.SKIPPED:
        test.result = [Skipped(saw)]
    elif result.outcome is Outcome.WARNED:
        test.system_err = f"warning: {saw}"
    if result.exchanges:
        test.system_out = xml_text(explained(result))
    return test


def explained(result: CaseResult) -> str:
    """What was expected, why, and what was seen."""
    lines = [f"expects: {result.case.expects}", f"why: {result.case.source}"]
    if result.saw:
        lines.append(f"saw: {result.saw}")
    return "\n".join([*lines, result.transcript])
