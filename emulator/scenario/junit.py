"""Verdicts as a JUnit file."""

from collections.abc import Sequence
from pathlib import Path

from teltonika.emulator.scenario.expectations import Verdict
from teltonika.emulator.xml_text import xml_text

SUITE_NAME = "teltonika emulate"


def write_junit(path: Path, name: str, verdicts: Sequence[Verdict], duration_s: float) -> None:
    """One test for each expectation of the scenario ``name``. Raises OSError."""
    from junitparser import Failure, JUnitXml, TestCase, TestSuite  # noqa: PLC0415 - few runs write it

    suite = TestSuite(xml_text(name))
    for verdict in verdicts:
        test = TestCase(verdict.expectation, "teltonika.scenario", 0)
        saw = xml_text(verdict.saw)
        if verdict.passed:
            test.system_out = saw
        else:
            test.result = [Failure(saw, "expectation")]
        suite.add_testcase(test)
    document = JUnitXml(SUITE_NAME)
    document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    suite.time = document.time = round(duration_s, 3)  # of all; none took a part of it
    document.write(str(path))
