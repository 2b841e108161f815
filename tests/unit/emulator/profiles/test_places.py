"""In which line of a TOML text something stands."""

import pytest

from teltonika.emulator.profiles.places import line_of

TEXT = '''# a comment with [sending] in it
model = "a = [b]"      # line 2
getver = """
elements = "no"
"""
elements = [
    "Ignition",        # "Speed", line 7
    66, 'Speed',       # line 8
    [1, [
        2]],
]
stopped.record_period_s = 1
"stopped" . 'send_period_s' = 2
buffer = { size = 1, order = "}" }

[ values ]
"PCB Temperature" = [
    1,
    2,
]
"\\u0041 = b" = 1.5
70=1979-05-27 07:32:00
[sending]
ack_timeout_s = 1
ack_timeout = 2
[deep.down]
x = """ "" \\""" ""\"""
y = \'\'\' \\\'\'\'
z = {a.b = {c = [ 0 ]}}
[deep]
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("model",), 2),
        (("getver",), 3),
        (("elements",), 6),
        (("elements", 0), 7),
        (("elements", 1), 8),
        (("elements", 2), 8),
        (("elements", 3), 9),
        (("elements", 3, 1, 0), 10),
        (("elements", 9), 6),
        (("stopped",), 12),
        (("stopped", "record_period_s"), 12),
        (("stopped", "send_period_s"), 13),
        (("stopped", "else"), 12),
        (("buffer", "order"), 14),
        (("values",), 16),
        (("values", "PCB Temperature"), 17),
        (("values", "PCB Temperature", 1), 19),
        (("values", "A = b"), 21),
        (("values", "70"), 22),
        (("sending", "ack_timeout"), 25),
        (("sending", "else"), 23),
        (("deep", "down", "y"), 28),
        (("deep", "down", "z", "a", "b", "c", 0), 29),
        (("deep", "else"), 30),
        (("else",), 1),
        (("else", "else"), 1),
    ],
)
def test_the_line_is_that_of_the_path_or_of_what_it_stands_in(
    path: tuple[str | int, ...], line: int
) -> None:
    assert line_of(TEXT, path) == line
    assert line_of(TEXT.replace("\n", "\r\n"), path) == line


def test_a_line_is_what_toml_calls_one() -> None:
    assert line_of("a = 'x\u2028y'\nb = 1", ("b",)) == 2
