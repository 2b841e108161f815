"""A server that breaks one rule is caught by the cases made for it, and by no others."""

import asyncio

import pytest
from broken_servers import LittleServer, Rule

from teltonika.emulator.conformance import (
    SUITE,
    CaseResult,
    Outcome,
    Patience,
    Requirement,
    Target,
    run_case,
)

UNKNOWN_IMEI = "359999999999996"
PATIENCE = Patience(answer_s=3.0, quiet_s=0.45, idle_s=1.4, slow_s=0.28)
REQUIRED = {
    case.name for group in SUITE for case in group.cases if case.requirement is Requirement.REQUIRED
}
UDP = {name for name in REQUIRED if name.startswith("udp-")}
TCP = REQUIRED - UDP
SESSIONS = TCP - {"handshake-unknown-imei"}
"""Cases that need an open session, as good as all."""
SAMPLES = {name for name in TCP if name.startswith("sample-")}
COMMANDS = {name for name in TCP if name.startswith("commands-")}
CODEC8E = {"sample-codec8e", "records-zero-io-codec8e", "records-all-widths-codec8e"} | {
    "records-nx",
    "records-300-elements",
}
CODEC16 = {"sample-codec16", "records-zero-io-codec16", "records-codec16-mixed-widths"}
RESENT = {"ack-resent", "ack-resent-on-the-next-connection"}
WRONG_CRC = {"ack-wrong-crc", "ack-wrong-high-crc"}
PINGS = {"framing-ping", "framing-ping-in-segment"}
SEVERAL = {"framing-several-in-a-segment", "framing-ping-in-segment", "commands-in-mid-telemetry"}
FRAGMENTS = {"framing-one-byte-fragments", "framing-one-and-a-half", "patience-slow-device"}

CAUGHT_BY: dict[Rule, set[str]] = {
    Rule.IMEI_IN_ONE_READ: {"handshake-split"},
    Rule.DROPS_WHAT_FOLLOWS_IMEI: {"handshake-coalesced"},
    Rule.ONE_CONNECTION_A_DEVICE: {"handshake-same-imei-twice", "handshake-older-closes"},
    Rule.OLD_CLOSE_ENDS_NEW: {"handshake-older-closes"},
    Rule.ACCEPTS_UNKNOWN: {"handshake-unknown-imei"},
    Rule.CLOSES_ON_UNKNOWN: {"handshake-unknown-imei"},
    Rule.ACKS_BEFORE_THE_END: {"ack-not-before-the-end"},
    Rule.ACKS_BEHIND_HEADER: {"ack-not-before-the-end"},
    Rule.ACKS_WRONG_CRC: WRONG_CRC,
    Rule.ACKS_WRONG_CRC_WITH_ONE: WRONG_CRC,
    Rule.DEAF_AFTER_WRONG_CRC: {"ack-right-after-wrong-crc"},
    Rule.IGNORES_HIGH_CRC: {"ack-wrong-high-crc"},
    Rule.IGNORES_SECOND_COUNT: {"ack-counts-differ"},
    Rule.NO_ACK_FOR_RESENT: RESENT,
    Rule.NO_RECORDS_IN_RESENT: RESENT,
    Rule.NOTHING_NEW_ON_THE_NEXT: {"ack-resent-on-the-next-connection"},
    Rule.ANSWERS_PINGS: PINGS,
    Rule.CLOSES_ON_PINGS: PINGS,
    Rule.NO_255: {"records-255"},
    Rule.NO_ZERO_IO: {name for name in TCP if name.startswith("records-zero-io")},
    Rule.NO_NX: {"records-nx"},
    Rule.CODEC16_LIKE_8E: CODEC16,
    Rule.NO_CODEC16: CODEC16,
    Rule.NO_CODEC8E: CODEC8E,
    Rule.EVENT_ID_MUST_BE_THERE: {"records-event-id-elsewhere"},
    Rule.NO_64_BITS: {"records-64-bits"},
    Rule.ONE_BYTE_OF_N: {"records-300-elements"},
    Rule.NO_FIX_IS_ERROR: {"records-no-fix", *SAMPLES},
    Rule.NO_NEGATIVES: {"records-south-west"},
    Rule.NO_PRIORITY: {"records-priorities", *SAMPLES} - {"sample-codec16"},
    Rule.NARROW_VALUES: {
        *(name for name in TCP if name.startswith("records-all-widths")),
        *("records-codec16-mixed-widths", "records-64-bits", "limits-largest-packet"),
        *("sample-codec8-one", "sample-codec8e"),
    },
    Rule.ACKS_COMMAND_FRAMES: COMMANDS,
    Rule.CLOSES_ON_CODEC13: {"commands-codec13-not-acknowledged"},
    Rule.CLOSES_ON_CODEC15: {"commands-codec15-not-acknowledged"},
    Rule.IMPATIENT: {"patience-idle-device"},
    Rule.OLDER_IS_ERROR: {"patience-buffered-records"},
    Rule.KEEPS_HALF_A_PACKET: {"patience-vanishes-in-mid-packet"},
    Rule.LENGTH_STOPS_ALL: {"limits-length-of-4-gb"},
    Rule.UDP_OTHER_PACKET_ID: UDP,
    Rule.UDP_ACKS_IN_FOUR_BYTES: UDP,
    Rule.UDP_NO_ANSWER_TO_RESENT: {"udp-resent"},
}
"""A rule and the required cases that must fail: these, and these only."""

CAUGHT_BY_MORE: dict[Rule, tuple[set[str], set[str], str]] = {
    Rule.REJECTS_ALL: (
        {"handshake-accepted"},
        SESSIONS,
        "every case begins with a handshake",
    ),
    Rule.ANSWERS_IMEI_IN_FOUR_BYTES: (
        {"handshake-accepted"},
        TCP,
        "every case begins with a handshake",
    ),
    Rule.GREETS_BEHIND_IMEI: (
        {"handshake-accepted"},
        TCP,
        "the byte too many shifts every ACK",
    ),
    Rule.ACCEPTS_HALF_AN_IMEI: (
        {"handshake-split"},
        {"handshake-unknown-imei"},
        "who accepts half an IMEI cannot know it yet",
    ),
    Rule.ACKS_ONE_MORE: ({"ack-value"}, SESSIONS, "every ACK is wrong"),
    Rule.ACKS_LITTLE_ENDIAN: ({"ack-value"}, SESSIONS, "every ACK is wrong"),
    Rule.ACKS_IN_ONE_BYTE: ({"ack-value"}, SESSIONS, "there is no whole ACK"),
    Rule.ACKS_PACKETS: (
        {"ack-value", "records-255", "sample-codec8-two-records", "sample-codec16"},
        SESSIONS - {"sample-codec8-one", "framing-ping", "patience-buffered-records"},
        "the ACK of every packet of several records is wrong",
    ),
    Rule.ACKS_TWICE: (
        {"ack-once"},
        SESSIONS - {"handshake-accepted", "sample-codec8-one", "framing-ping"},
        "the second ACK of a packet stands where that of the next is looked for",
    ),
    Rule.ONE_PACKET_A_READ: (
        {"framing-several-in-a-segment"},
        {*SEVERAL, "framing-one-and-a-half"},
        "each of them sends more than one packet at once",
    ),
    Rule.ONE_ACK_A_READ: (
        {"framing-several-in-a-segment"},
        SEVERAL,
        "each of them sends more than one packet at once",
    ),
    Rule.READ_IS_PACKET: (
        {"framing-one-byte-fragments", "framing-one-and-a-half"},
        {*FRAGMENTS, "ack-not-before-the-end", "commands-split"},
        "each of them sends a packet in pieces",
    ),
    Rule.IMPATIENT_IN_PACKETS: (
        {"patience-slow-device"},
        {"ack-not-before-the-end"},
        "it takes its time, too",
    ),
    Rule.CLOSES_ON_CODEC12: (
        {"commands-codec12-not-acknowledged"},
        {"commands-in-mid-telemetry", "commands-split"},
        "their frame is one of codec 12",
    ),
    Rule.SMALL_BUFFER: (
        {"limits-largest-packet"},
        {"records-255"},
        "255 records are larger still",
    ),
    Rule.UDP_NO_AVL_PACKET_ID: (
        {"udp-ids-and-counts", "udp-codec8"},
        UDP,
        "every answer has an AVL packet id",
    ),
}
"""A rule, the cases that must fail, others that may, and the reason."""

WARNED_OF: dict[Rule, set[str]] = {
    Rule.ACCEPTS_LETTERS: {"handshake-no-digits"},
    Rule.ACKS_WRONG_CRC_WITH_ZERO: {"ack-wrong-crc-unanswered"},
    Rule.CLOSES_ON_WRONG_CRC: set(),
    Rule.CLOSES_ON_CODEC14: {"commands-codec14-unasked", "commands-codec14-nack-unasked"},
    Rule.DOCUMENTED_SIZES: {"limits-beyond-the-largest"},
    Rule.WAITS_FOR_4_GB: {"limits-length-of-4-gb-closed"},
    Rule.UDP_ACKS_BROKEN: {"udp-counts-differ"},
}
"""What a server may do: no required case fails, and these recommended ones warn."""


async def run_against(rule: Rule | None) -> list[CaseResult]:
    """All cases at once, each against a little server of its own."""

    async def one(number: int) -> CaseResult:
        group, case = numbered[number]
        async with LittleServer(rule, UNKNOWN_IMEI) as server:
            target = Target(
                host="127.0.0.1",
                port=server.port,
                udp_port=server.udp_port,
                unknown_imei=UNKNOWN_IMEI,
                patience=PATIENCE,
            )
            return await run_case(case, group.name, target)

    numbered = [(group, case) for group in SUITE for case in group.cases]
    return await asyncio.gather(*(one(number) for number in range(len(numbered))))


def named(results: list[CaseResult], outcome: Outcome) -> set[str]:
    return {result.case.name for result in results if result.outcome is outcome}


async def test_a_right_server_passes_every_case() -> None:
    results = await run_against(None)
    assert [(result.case.name, result.saw) for result in results if result.saw] == []
    assert named(results, Outcome.PASSED) >= REQUIRED


@pytest.mark.parametrize("rule", CAUGHT_BY, ids=lambda rule: rule.name.lower())
async def test_a_broken_rule_is_caught_by_its_cases_and_by_no_others(rule: Rule) -> None:
    results = await run_against(rule)
    assert named(results, Outcome.FAILED) == CAUGHT_BY[rule]


@pytest.mark.parametrize("rule", CAUGHT_BY_MORE, ids=lambda rule: rule.name.lower())
async def test_a_rule_that_much_rests_on_is_caught_by_its_case_and_those_that_rest_on_it(
    rule: Rule,
) -> None:
    made_for_it, may_fail, _reason = CAUGHT_BY_MORE[rule]
    failed = named(await run_against(rule), Outcome.FAILED)
    assert made_for_it <= failed <= made_for_it | may_fail


@pytest.mark.parametrize("rule", WARNED_OF, ids=lambda rule: rule.name.lower())
async def test_what_servers_may_do_fails_no_required_case(rule: Rule) -> None:
    results = await run_against(rule)
    assert named(results, Outcome.FAILED) == set()
    assert named(results, Outcome.WARNED) == WARNED_OF[rule]


def test_every_rule_has_its_case_and_every_required_case_a_rule() -> None:
    assert {*CAUGHT_BY, *CAUGHT_BY_MORE, *WARNED_OF} == set(Rule)
    made = set().union(*CAUGHT_BY.values(), *(made for made, _, _ in CAUGHT_BY_MORE.values()))
    assert REQUIRED - made == set()
