"""The table of cases: names, sentences, IMEIs, selection."""

from pathlib import Path

import pytest
from samples import sample

from teltonika.codecs import luhn_valid
from teltonika.emulator.conformance import (
    FIRST_IMEI,
    SUITE,
    numbered_imei,
    samples,
    select_cases,
)

PROTOCOL = Path(__file__).parents[5] / "shared" / "protocol" / "PROTOCOL.md"
CASES = [case for group in SUITE for case in group.cases]


def plain(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.skipif(not PROTOCOL.exists(), reason=f"no {PROTOCOL} beside this checkout")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_rests_on_a_sentence_of_the_protocol_word_by_word(case) -> None:
    assert plain(case.source) in plain(PROTOCOL.read_text())


def test_names_are_those_of_one_case_or_one_group() -> None:
    names = [*(group.name for group in SUITE), *(case.name for case in CASES)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("constant", "name"),
    [
        ("CODEC8_1", "codec8-1"),
        ("CODEC8_2", "codec8-2"),
        ("CODEC8_3", "codec8-3-two-records"),
        ("CODEC8E", "codec8e"),
        ("CODEC16", "codec16"),
        ("CODEC8_UDP", "codec8-udp"),
        ("CODEC8E_UDP", "codec8e-udp"),
        ("CODEC16_UDP", "codec16-udp-corrected"),
        ("GETINFO_RESPONSE", "codec12-getinfo-response"),
        ("CODEC13_TEXT", "codec13-corrected"),
        ("GETVER_RESPONSE", "codec14-getver-ack"),
        ("CODEC14_NACK", "codec14-nack-corrected"),
        ("CODEC15_TEXT", "codec15-hello"),
    ],
)
def test_a_documented_packet_is_the_published_one(constant: str, name: str) -> None:
    assert getattr(samples, constant) == sample(name).data


def test_imeis_are_consecutive_and_each_has_its_luhn_digit() -> None:
    imeis = [numbered_imei(FIRST_IMEI, number) for number in range(150)]
    assert imeis[0] == FIRST_IMEI
    assert all(luhn_valid(imei) for imei in imeis)
    assert [int(imei[:14]) - int(FIRST_IMEI[:14]) for imei in imeis] == list(range(150))
    assert numbered_imei("999999999999994", 1) == "000000000000000"


def test_a_case_and_a_group_are_selected_in_the_order_of_the_suite() -> None:
    chosen = select_cases(["ack-once", "handshake"])
    assert [group.name for group in chosen] == ["handshake", "acknowledgement"]
    assert chosen[0] == SUITE[0]
    assert [case.name for case in chosen[1].cases] == ["ack-once"]
    assert select_cases([]) == SUITE


def test_a_name_that_is_no_case_is_told_with_the_groups_there_are() -> None:
    with pytest.raises(ValueError, match=r"'ack'; .* handshake, samples, acknowledgement"):
        select_cases(["ack"])
