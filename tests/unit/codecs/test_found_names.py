"""What was found, with names."""

import json
from typing import Any

import msgspec
import pytest
from samples import sample

from teltonika.codecs import (
    AVL_CODECS,
    AvlRecord,
    IoElement,
    IoElements,
    encode_imei,
    encode_packet,
)
from teltonika.codecs.found_names import with_names
from teltonika.codecs.packet_finder import find_packets


def named(data: bytes, model: str | None = None) -> list[dict[str, Any]]:
    """The IO elements of the only record, as the JSON of the command line."""
    (finding,) = find_packets(data)
    packet = json.loads(msgspec.json.encode(with_names(finding, model)))
    (record,) = packet["records"]
    elements: list[dict[str, Any]] = record["io"]
    return elements


def packet(*elements: IoElement) -> bytes:
    record = AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, io=IoElements.of(elements))
    return encode_packet(AVL_CODECS.by_name("8E"), [record])


def test_each_element_gets_name_unit_and_scaled_value_and_a_label_where_there_is_one() -> None:
    voltage, ignition = named(packet(IoElement(239, 1, 1), IoElement(66, 24_079, 2)))[::-1]
    assert voltage == {
        "id": 66,
        "bytes": 2,
        "value": 24_079,
        "name": "External Voltage",
        "unit": "V",
        "scaled": 24.079,
    }
    assert ignition == {
        "id": 239,
        "bytes": 1,
        "value": 1,
        "name": "Ignition",
        "unit": "",
        "scaled": 1,
        "label": "Ignition On",
    }


def test_the_value_stays_as_it_came() -> None:
    cold, vin = named(packet(IoElement(72, 0xFFFF_FFF6, 4), IoElement.variable(256, b"WV1")))
    assert (cold["value"], cold["scaled"], cold["unit"]) == (0xFFFF_FFF6, -1.0, "°C")
    assert (vin["value"], vin["scaled"], vin["unit"]) == ("575631", "WV1", "")


def test_the_halves_of_the_published_packets_iccid_are_joined() -> None:
    labels = {element["id"]: element.get("label") for element in named(sample("codec8e").data)}
    assert labels[11] == labels[14] == "ICCID 8937002180500686954"


def test_the_model_decides_what_an_id_means() -> None:
    status = packet(IoElement(69, 1, 1))
    assert named(status)[0]["name"] == "GNSS Status"
    assert named(status, "FMB640")[0]["name"] == "Driver 1 Cumulative Driving Time"


def test_an_element_that_the_dictionary_does_not_know_stays_as_it_is() -> None:
    assert named(packet(IoElement(65_000, 7, 1))) == [{"id": 65_000, "bytes": 1, "value": 7}]


def test_what_has_no_io_elements_stays_as_it_is() -> None:
    (handshake,) = find_packets(encode_imei("356307042441013"))
    assert with_names(handshake) is handshake


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ValueError, match="no model 'FMB921'"):
        named(packet(IoElement(69, 1, 1)), "FMB921")
