"""HOST:PORT, and what is none."""

import pytest

from teltonika.cli.addresses import split_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5027", ("127.0.0.1", 5027)),
        ("gate.example:1", ("gate.example", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_host_and_port_are_told_apart(text: str, address: tuple[str, int]) -> None:
    assert split_address(text, lowest_port=0) == address


@pytest.mark.parametrize(
    "text",
    ["", ":", "5027", "x:", ":1", "x:65536", "x:-1", "x:1.0", "x:٣", "x:" + "9" * 5000, "x:0"],
)
def test_what_is_no_address_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no address such as 127\.0\.0\.1:5027"):
        split_address(text, lowest_port=1)
