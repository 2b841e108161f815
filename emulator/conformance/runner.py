"""Runs cases, one after another, each on connections and with IMEIs of its own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from teltonika.emulator.conformance.bench import Bench, Target, numbered_imei
from teltonika.emulator.conformance.case import Case, Group, Needs, Requirement
from teltonika.emulator.conformance.device_socket import Unexpected
from teltonika.emulator.conformance.report import CaseResult, Outcome
from teltonika.emulator.conformance.suite import SUITE

_NUMBERS = {
    case.name: number for number, case in enumerate(case for group in SUITE for case in group.cases)
}
"""A case has the same IMEI whichever others run."""


async def check_listens(target: Target) -> None:
    """Connect once. Raises OSError where nothing listens, or nothing answers in time."""
    async with asyncio.timeout(target.patience.answer_s):
        _, writer = await asyncio.open_connection(target.host, target.port)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def run_cases(groups: Sequence[Group], target: Target) -> AsyncIterator[CaseResult]:
    """Each case's result, as soon as there is one."""
    for group in groups:
        for case in group.cases:
            yield await run_case(case, group.name, target)


async def run_case(case: Case, group: str, target: Target) -> CaseResult:
    number = 2 * _NUMBERS.get(case.name, len(_NUMBERS))
    imei, neighbour = (numbered_imei(target.first_imei, number + offset) for offset in (0, 1))
    if reason := _why_not(case, target):
        return CaseResult(case=case, group=group, imei=imei, outcome=Outcome.SKIPPED, saw=reason)
    bench = Bench(target, imei, neighbour)
    saw = ""
    outcome = Outcome.PASSED
    try:
        async with asyncio.timeout(target.patience.case_s):
            await case.run(bench)
    except Unexpected as unexpected:
        saw = str(unexpected)
    except TimeoutError:
        saw = f"the case was not over after {target.patience.case_s:g} s"
    if saw:
        required = case.requirement is Requirement.REQUIRED
        outcome = Outcome.FAILED if required else Outcome.WARNED
    return CaseResult(
        case=case,
        group=group,
        imei=imei,
        outcome=outcome,
        saw=saw,
        duration_s=bench.transcript.duration_s,
        exchanges=bench.transcript.exchanges,
    )


def _why_not(case: Case, target: Target) -> str:
    """Why a case cannot run against this target; empty if it can."""
    if case.needs is Needs.UDP_PORT and target.udp_port is None:
        return f"needs {case.needs}: the port where the server takes datagrams"
    if case.needs is Needs.UNKNOWN_IMEI and target.unknown_imei is None:
        return f"needs {case.needs}: an IMEI that the server must refuse"
    return ""
