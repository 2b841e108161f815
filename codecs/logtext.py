"""Hex in the text logs that Traccar and other servers write, with what the line says of it.

Traccar writes ``2024-05-14 08:30:00  INFO: [T4c5a33b6: teltonika < 198.51.100.7] 000f33...``, and
before version 5.9 ``[4C5A33B6: 5027 < 198.51.100.7] HEX: 000f33...``: ``<`` for what it received,
``>`` for what it sent. Others write what they like: any run of hex is looked at.
"""

import re
from collections import OrderedDict

import msgspec

from teltonika.codecs.framing import HEADER_SIZE, PING
from teltonika.codecs.registry import CODECS
from teltonika.codecs.udp import ANSWER_SIZE, begins_datagram, decode_answer

_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_ZONE = r"(?: ?[+-]\d\d:?\d\d|Z)?"
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_TIME = re.compile(
    r"(?<![0-9A-Fa-f])(?:"  # first, so that no digit but the first of hex is looked at further
    rf"\d{{4}}(?:-\d\d-\d\d|/\d\d/\d\d)[T ]{_CLOCK}{_ZONE}"  # ISO 8601, Go
    rf"|\d\d(?:\.\d\d\.|/\d\d/)\d{{4}},? {_CLOCK}"
    rf"|\d\d/{_MONTH}/\d{{4}}:{_CLOCK}{_ZONE}"  # web servers
    rf"|{_MONTH} [ \d]\d {_CLOCK}"  # syslog
    r"|(?:^|(?<=^\[)|(?<=\"ts\":)|(?<=\"time\":)|(?<=\"timestamp\":))"
    r"1\d{9}(?:\d{3}|\.\d{1,9})?(?=[\]\s,}])"  # seconds or milliseconds since 1970
    r")(?!\d)"
)
_TRACCAR = re.compile(r"\[(?P<id>[A-Za-z]?[0-9A-Fa-f]{8}): (?P<what>[^\s\]]+) [<>] [^\s\]]+\]")
_PROTOCOL = re.compile(r"[a-z]\w*")
_MARK = re.compile(
    r"<|>|[\u2190\u2192]|\b(?:rx|tx|recv|received?|sent|send(?:ing)?|reply|response|ack)\b",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"(?:\\x[0-9A-Fa-f]{2})++(?![0-9A-Za-z])"
    r"|(?<![0-9A-Za-z_])(?:0[xX])?[0-9A-Fa-f]{2,}+(?![0-9A-Za-z_])"
)
_SEPARATOR = re.compile(r" |:|-|, ?")
_PREFIX = re.compile(r"0[xX]|\\x")
_CLOSING = " \t\r\n\"'])};,."
_MIN_SIZE = 8
_MAX_CONNECTIONS = 2**16


class LogHex(msgspec.Struct, frozen=True, gc=False):
    """Bytes that a line writes in hex."""

    time: str | None
    """The line's first date and time, as it stands there."""
    data: bytes


class LogReader:
    """Lines in, their hex out: what may be a handshake, a packet or a datagram, or an answer.

    An answer is short: it counts where the line says that something was sent or received, and
    nothing stands behind it. What a line of Traccar's brings counts whatever it is, once its
    connection is known for a Teltonika device's; lines of its other protocols do not count.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()  # Traccar's ids of devices' connections

    def read_line(self, line: str) -> list[LogHex]:
        """The hex in a line. Never raises for what stands in it."""
        found_time = _TIME.search(line)
        time = found_time[0] if found_time else None
        start = found_time.end() if found_time else 0
        traccar = _TRACCAR.search(line, start)
        if traccar is None:
            before = found_time.start() if found_time else 0  # which may stand behind the hex
            runs = _wanted_runs(line, 0, before) + _wanted_runs(line, start, len(line))
            return [LogHex(time, data) for data in runs]
        connection, what = traccar["id"], traccar["what"]
        if _PROTOCOL.fullmatch(what) and what != "teltonika":
            return []
        runs = [data for data, _, _ in _runs(line, traccar.end(), len(line), whole=True)]
        if what == "teltonika" or any(map(_begins_something, runs)):
            self._know(connection)
        return [LogHex(time, data) for data in runs] if connection in self._known else []

    def _know(self, connection: str) -> None:
        if len(self._known) >= _MAX_CONNECTIONS and connection not in self._known:
            self._known.popitem(last=False)
        self._known[connection] = None


def _wanted_runs(line: str, start: int, end: int) -> list[bytes]:
    """Hex in a part of a line of anybody's: what begins something, and answers."""
    marked = _MARK.search(line, start, end)
    return [
        data
        for data, at, behind in _runs(line, start, end)
        if _begins_something(data)
        or (
            marked is not None
            and marked.start() < at
            and _is_answer(data)
            and not line[behind:].strip(_CLOSING)
        )
    ]


def _runs(line: str, start: int, end: int, *, whole: bool = False) -> list[tuple[bytes, int, int]]:
    """Hex from ``start`` to ``end``: bytes, where they begin, and where they end.

    Groups with a separator between them are one run, unless each alone makes more sense.
    """
    runs: list[list[re.Match[str]]] = []
    for token in _TOKEN.finditer(line, start, end):
        if len(_PREFIX.sub("", token[0])) % 2:
            continue
        last = runs[-1][-1] if runs else None
        if last is not None and _SEPARATOR.fullmatch(line, last.end(), token.start()):
            runs[-1].append(token)
        else:
            runs.append([token])
    found: list[tuple[bytes, int, int]] = []
    for tokens in runs:
        data = b"".join(map(_bytes, tokens))
        if whole or len(tokens) == 1 or _begins_something(data):
            found.append((data, tokens[0].start(), tokens[-1].end()))
        else:
            found += [(_bytes(token), token.start(), token.end()) for token in tokens]
    return found


def _bytes(token: re.Match[str]) -> bytes:
    return bytes.fromhex(_PREFIX.sub("", token[0]))


def _begins_something(data: bytes) -> bool:
    """Whether a handshake, a packet or a datagram seems to begin there, maybe behind pings."""
    data = data.lstrip(bytes((PING,)))
    if len(data) < _MIN_SIZE:
        return False
    handshake = data[:2] == b"\x00\x0f" and data[2:_MIN_SIZE].isdigit()
    packet = not any(data[:4]) and len(data) > HEADER_SIZE and data[HEADER_SIZE] in CODECS.ids
    return handshake or packet or begins_datagram(data, 0)


def _is_answer(data: bytes) -> bool:
    if len(data) == ANSWER_SIZE:
        return decode_answer(data) is not None
    return data in (b"\x00", b"\x01") or (len(data) == 4 and not any(data[:3]))
