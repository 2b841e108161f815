"""A suite of cases for any server that claims to speak Teltonika."""

from teltonika.emulator.conformance.bench import FIRST_IMEI, Bench, Target, numbered_imei
from teltonika.emulator.conformance.case import Case, Group, Needs, Requirement
from teltonika.emulator.conformance.cases.profile import profile_group
from teltonika.emulator.conformance.device_socket import DeviceSocket, Unexpected
from teltonika.emulator.conformance.patience import Patience
from teltonika.emulator.conformance.report import (
    CaseResult,
    Outcome,
    Summary,
    case_object,
    explained,
    summarise,
    write_junit,
)
from teltonika.emulator.conformance.runner import check_listens, run_case, run_cases
from teltonika.emulator.conformance.suite import SUITE, select_cases
from teltonika.emulator.conformance.transcript import Exchange, Speaker, Transcript

__all__ = [
    "FIRST_IMEI",
    "SUITE",
    "Bench",
    "Case",
    "CaseResult",
    "DeviceSocket",
    "Exchange",
    "Group",
    "Needs",
    "Outcome",
    "Patience",
    "Requirement",
    "Speaker",
    "Summary",
    "Target",
    "Transcript",
    "Unexpected",
    "case_object",
    "check_listens",
    "explained",
    "numbered_imei",
    "profile_group",
    "run_case",
    "run_cases",
    "select_cases",
    "summarise",
    "write_junit",
]
