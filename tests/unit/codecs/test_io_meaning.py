"""What the values of IO elements mean."""

import subprocess
import sys

import pytest

from teltonika.codecs import IoElement, IoElements, IoMeaning, describe, describe_record
from teltonika.codecs.io_catalog import IoDescription, IoType, io_catalog


def meaning(
    io_id: int, value: int | bytes, width: int | None = None, model: str | None = None
) -> IoMeaning:
    found = describe(io_id, value, width, model)
    assert found is not None
    return found


def test_a_value_is_scaled_to_its_unit_without_noise() -> None:
    voltage = meaning(66, 24_079, 2)
    assert (voltage.name, voltage.value, voltage.scaled, voltage.unit) == (
        "External Voltage",
        24_079,
        24.079,
        "V",
    )
    assert voltage.text == "24.079 V"
    for raw in range(65_536):
        assert meaning(66, raw, 2).scaled == float(f"{raw // 1000}.{raw % 1000:03}")


def test_a_value_with_a_whole_multiplier_stays_a_whole_number() -> None:
    assert meaning(16, 22_949_000, 4).scaled == 22_949_000
    assert isinstance(meaning(16, 22_949_000, 4).scaled, int)
    assert meaning(16, 22_949_000, 4).text == "22949000 m"
    assert meaning(10_880, 3, 4).text == "150 mA"


def test_an_enumeration_has_its_label_and_a_value_outside_it_none() -> None:
    assert meaning(239, 1, 1).text == "1 (Ignition On)"
    assert (meaning(69, 3, 1).label, meaning(69, 9, 1).label) == ("GNSS sleep", "")
    assert meaning(69, 9, 1).text == "9"


@pytest.mark.parametrize(
    ("io_id", "raw", "width", "read"),
    [
        (72, 0xFFFF_FFF6, 4, -10),
        (72, 0xFFF6, 2, -10),
        (32, 0x80, 1, -128),
        (32, 0x7F, 1, 127),
        (17, 0xFFC0, 2, -64),
        (12_413, 0xFFFF_FFFF, 4, -1),
        (66, 0xFFFF, 2, 65_535),
    ],
)
def test_a_signed_value_has_its_sign_from_the_width_on_the_wire(
    io_id: int, raw: int, width: int, read: int
) -> None:
    assert meaning(io_id, raw, width).value == read


def test_a_width_that_is_not_the_models_still_has_the_sign() -> None:
    row = io_catalog().by_id(72, "FMB920")
    assert row is not None
    assert row.width == 4
    assert meaning(72, 0xFFF6, 2, "FMB920").value == -10


def test_a_row_called_unsigned_whose_range_begins_below_zero_is_signed() -> None:
    row = io_catalog().by_id(210, "FMB920")
    assert row is not None
    assert (row.type, row.minimum) == (IoType.UNSIGNED, "-4")
    assert meaning(210, 0xFFFE, 2, "FMB920").value == -2


def test_without_a_width_the_sign_is_that_of_the_dictionarys_width() -> None:
    assert meaning(32, 0xFF).value == -1


def test_text_is_text_and_hex_is_hex() -> None:
    assert meaning(256, b"WVWZZZ1KZ\0\0").text == "WVWZZZ1KZ"
    assert meaning(256, b"\xff\xfe").value == "fffe"
    assert meaning(385, b"\x11\xab").value == "11ab"
    assert meaning(451, 0xABC, 8).value == "0000000000000abc"
    assert meaning(66, b"\x5e\x0f").value == "5e0f"


def test_what_a_sensor_says_instead_of_a_temperature_is_no_temperature() -> None:
    broken = meaning(72, 3_000, 4)
    assert (broken.scaled, broken.unit, broken.text) == (3_000, "", "3000 (not connected)")
    assert meaning(73, 2_000, 2, "FMB640").text == "2000 (value read error)"
    assert meaning(72, 215, 4).text == "21.5 °C"


def test_a_sensors_code_that_may_be_a_temperature_is_both() -> None:
    assert meaning(25, 3_000, 2).text == "30.0 °C (or sensor not found)"
    assert meaning(75, 850, 4).text == "85.0 °C (or sensor not ready)"


def test_the_id_of_a_dallas_sensor_is_no_temperature() -> None:
    assert meaning(62, 3_000, 8).text == "3000"


def test_without_a_model_an_id_means_what_most_models_mean() -> None:
    status = meaning(69, 1, 1)
    assert (status.name, status.others) == ("GNSS Status", ("Driver 1 Cumulative Driving Time",))


def test_without_a_model_the_width_on_the_wire_decides_first() -> None:
    driving = meaning(69, 90, 2)
    assert (driving.name, driving.others) == ("Driver 1 Cumulative Driving Time", ("GNSS Status",))
    assert driving.text == "90 min"
    assert meaning(69, 90, 8).name == "GNSS Status"
    assert meaning(500, b"Teltonika").text == "Teltonika"


def test_a_number_without_a_width_is_no_text() -> None:
    assert meaning(500, 5).text == "5 °"


def test_a_model_decides_and_leaves_no_others() -> None:
    driving = meaning(69, 90, 1, "fmb640")
    assert (driving.name, driving.others) == ("Driver 1 Cumulative Driving Time", ())
    assert meaning(72, 215, 2, "FMB640").text == "21.5 °C"
    assert meaning(9, 12_000, 2, "FMB640").text == "12.0 V"
    assert meaning(66, 12_000, 2, "FMB640").text == "12000 mV"


def test_a_unit_is_not_claimed_where_nobody_says_how_a_value_becomes_it() -> None:
    unstated = meaning(10_047, 250, 2, "FMB640")
    assert (unstated.scaled, unstated.unit) == (250, "")


def test_what_the_dictionary_does_not_know_is_none() -> None:
    assert describe(65_000, 1, 1) is None
    assert describe(20_016, 1, 2, "FMB920") is None


def test_an_unknown_model_is_answered_with_the_nearest_names() -> None:
    with pytest.raises(ValueError, match=r"no model 'FMB921'; the nearest names are .*FMB920"):
        describe(66, 1, 2, "FMB921")
    with pytest.raises(ValueError, match=r"no model 'tractor'$"):
        describe(66, 1, 2, "tractor")


def test_the_halves_of_an_iccid_are_joined() -> None:
    record = IoElements.of([IoElement(11, 893_700_218, 8), IoElement(14, 500_686_954, 8)])
    first, second = describe_record(record)
    assert first is not None
    assert second is not None
    assert first.text == "893700218 (ICCID 8937002180500686954)"
    assert (second.value, second.label) == (500_686_954, "ICCID 8937002180500686954")


@pytest.mark.parametrize(("first", "second"), [(0, 0), (2**63, 1), (893_700_218, 10**10)])
def test_what_is_no_iccid_is_not_joined(first: int, second: int) -> None:
    record = [IoElement(11, first, 8), IoElement(14, second, 8), IoElement(65_000, 1, 1)]
    found = describe_record(record)
    assert [None if one is None else one.label for one in found] == ["", "", None]


def test_halves_of_an_iccid_are_numbers() -> None:
    record = [IoElement.variable(11, b"\x89\x37"), IoElement.variable(14, b"\x00\x01")]
    assert [one.label for one in describe_record(record) if one is not None] == ["", ""]


def test_half_an_iccid_is_none() -> None:
    (half,) = describe_record([IoElement(11, 893_700_218, 8)])
    assert half is not None
    assert half.label == ""


def _bounds(row: IoDescription) -> set[int]:
    """The smallest and largest value that the row states, and that the wire can have."""
    width = row.width or 8
    stated = {int(float(bound)) % (1 << 8 * width) for bound in (row.minimum, row.maximum) if bound}
    return stated | {0, (1 << 8 * width) - 1}


def test_every_row_can_be_described_with_the_ends_of_its_range() -> None:
    for row in io_catalog().rows:
        for model in (min(row.models), None):
            for value in _bounds(row):
                found = meaning(row.id, value, row.width, model)
                assert found.text or row.type is IoType.ASCII
                assert model is None or found.name == row.name
            assert meaning(row.id, b"\x00\xff", model=model).value in {"00ff", ""}


def test_every_enumeration_can_be_read() -> None:
    for row in io_catalog().rows:
        for pair in filter(None, row.values.split("; ")):
            value, label = pair.split("=", 1)
            assert meaning(row.id, int(value), row.width, min(row.models)).label == label


def test_who_only_decodes_does_not_load_the_dictionary() -> None:
    program = (
        "import sys, teltonika.codecs\n"
        "from teltonika.codecs.io_catalog import io_catalog\n"
        "assert not {'csv', 'difflib'} & sys.modules.keys()\n"
        "assert io_catalog.cache_info().currsize == 0"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
