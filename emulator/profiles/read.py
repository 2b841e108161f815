"""Profiles from TOML files: those that come with the package, and the user's own."""

import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

from teltonika.codecs import AVL_CODECS, AvlCodec
from teltonika.codecs.io_catalog import IoCatalog, IoType, io_catalog
from teltonika.emulator.profiles.driven import CHANGES, DRIVEN, EVENTS
from teltonika.emulator.profiles.pace import Pace, Paces
from teltonika.emulator.profiles.places import line_of
from teltonika.emulator.profiles.profile import Element, Profile
from teltonika.emulator.unit import VERSION_FIELDS

_STATES = ("moving", "stopped", "roaming")
MAX_SIZE = 1_000_000
"""Bytes of a file."""
_TOP = ("model", "codecs", "getver", "elements", "values", "sending", *_STATES, "buffer")
_PACE = ("record_period_s", "send_period_s")
_BUFFER = ("size", "order")
_ORDERS = {"oldest first": False, "newest first": True}
_SENDING = ("ack_timeout_s", "connect_timeout_s", "reconnect_s", "records_per_packet")


class ProfileError(Exception):
    """The file is no profile. The sentence names file, line and field."""


def built_in_profiles() -> list[str]:
    """Their names, in order."""
    folder = files("teltonika.emulator.profiles").joinpath("models")
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir())


def read_profile(name: str) -> Profile:
    """One of `built_in_profiles`, or the path of a TOML file. Raises ProfileError."""
    if name.lower() in built_in_profiles():
        file = files("teltonika.emulator.profiles").joinpath("models", f"{name.lower()}.toml")
        return _Reader(name.lower(), file.read_text("utf-8")).profile()
    path = Path(name)
    if path.suffix.lower() != ".toml":
        raise ProfileError(
            f"{name!r} is none of {', '.join(built_in_profiles())}, and no TOML file"
        )
    try:
        with path.open("rb") as opened:
            content = opened.read(MAX_SIZE + 1)
        if len(content) > MAX_SIZE:
            raise ProfileError(f"{path}: more than {MAX_SIZE} bytes; that is no profile")
        return _Reader(str(path), content.decode()).profile()
    except OSError as error:
        raise ProfileError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ProfileError(f"{path}: expected text") from error


class _Reader:
    """One file, and where in it something is wrong."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text
        try:
            self._raw = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ProfileError(f"{name}: {error}") from error

    def profile(self) -> Profile:
        self._check_keys("", self._raw, _TOP)
        for key in ("model", "codecs", "getver", "elements"):
            if key not in self._raw:
                self._fail("", key, "is missing")
        catalog = io_catalog()
        model = self._raw["model"]
        if model not in catalog.models:
            self._fail(
                "", "model", f"{model!r} is not in the IO dictionary{_near(model, catalog.models)}"
            )
        codecs = self._codecs()
        elements = self._elements(catalog, model, codecs)
        sending = self._table("sending")
        self._check_keys("sending", sending, _SENDING)
        return Profile(
            name=Path(self._name).stem,
            model=model,
            codecs=codecs,
            elements=elements,
            event_ids=_event_ids(catalog, model, elements),
            getver=self._getver(),
            ack_timeout_s=self._number("sending", "ack_timeout_s", 30, 1, 86_400),
            connect_timeout_s=self._number("sending", "connect_timeout_s", 10, 0.1, 86_400),
            reconnect_s=self._number("sending", "reconnect_s", 0.25, 0.01, 86_400),
            records_per_packet=int(self._number("sending", "records_per_packet", 1, 1, 255)),
            paces=self._paces(),
        )

    def _paces(self) -> Paces | None:
        if not any(name in self._raw for name in (*_STATES, "buffer")):
            return None
        for state in ("moving", "stopped"):
            if state not in self._raw:
                self._fail("", state, "is missing: periods are said for both moving and stopped")
        moving = self._pace("moving")
        buffer = self._table("buffer")
        self._check_keys("buffer", buffer, _BUFFER)
        order = buffer.get("order", "oldest first")
        if not isinstance(order, str) or order not in _ORDERS:
            self._fail("buffer", "order", f"expected one of {', '.join(_ORDERS)}, found {order!r}")
        return Paces(
            moving=moving,
            stopped=self._pace("stopped"),
            roaming=self._pace("roaming") if "roaming" in self._raw else moving,
            buffer_size=int(self._number("buffer", "size", 10_000, 1, 1_000_000)),
            newest_first=_ORDERS[order],
        )

    def _pace(self, state: str) -> Pace:
        table = self._table(state)
        self._check_keys(state, table, _PACE)
        for key in _PACE:
            if key not in table:
                self._fail(state, key, "is missing")
        return Pace(*(self._number(state, key, 0, 1, 604_800) for key in _PACE))

    def _codecs(self) -> tuple[AvlCodec, ...]:
        names = self._raw["codecs"]
        if not isinstance(names, list) or not names:
            self._fail("", "codecs", "expected a list such as ['8E', '8']")
        try:
            return tuple(AVL_CODECS.by_name(str(name)) for name in names)
        except ValueError as error:
            self._fail("", "codecs", str(error))

    def _elements(
        self, catalog: IoCatalog, model: str, codecs: tuple[AvlCodec, ...]
    ) -> tuple[Element, ...]:
        names = self._raw["elements"]
        if not isinstance(names, list):
            self._fail("", "elements", "expected a list of names and ids")
        values = self._table("values")
        elements: dict[int, Element] = {}
        for wanted in names:
            row = (
                catalog.by_id(wanted, model)
                if isinstance(wanted, int)
                else catalog.by_name(str(wanted), model)
            )
            if row is None:
                near = _near(str(wanted), catalog.names(model))
                self._fail("", "elements", f"{model} has no IO element {wanted!r}{near}")
            if row.width is None:
                self._fail("", "elements", f"{row.name} has no fixed width")
            if row.id in elements:
                self._fail("", "elements", f"{row.name} stands there twice")
            if row.id > 255 and any(codec.name == "8" for codec in codecs):
                self._fail("", "codecs", f"codec 8 cannot carry {row.name}: its id is {row.id}")
            low, high, driven = 0, 0, DRIVEN.get(row.name)
            if row.name in values:
                signed = row.type is IoType.SIGNED
                low, high = self._range(row.name, values.pop(row.name), row.width, signed=signed)
                driven = None
            elif driven is None:
                self._fail("", "elements", f"say under [values] what {row.name} is")
            elements[row.id] = Element(row.id, row.width, driven, low, high)
        for name in values:
            self._fail("values", name, "is not among the elements" + _near(name, map(str, names)))
        return tuple(sorted(elements.values(), key=lambda element: element.width))

    def _range(self, name: str, value: object, width: int, *, signed: bool) -> tuple[int, int]:
        ends = value if isinstance(value, list) else [value, value]
        numbers = [end for end in ends if isinstance(end, int) and not isinstance(end, bool)]
        if len(ends) != 2 or len(numbers) != 2 or numbers[0] > numbers[1]:
            self._fail("values", name, f"expected a number, or two such as [0, 9], found {value!r}")
        bits = 8 * width
        least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        if numbers[0] < least or numbers[1] > most:
            self._fail("values", name, f"expected {least} to {most}, found {value!r}")
        return numbers[0], numbers[1]

    def _getver(self) -> str:
        answer = self._raw["getver"]
        try:
            str(answer).format_map(dict.fromkeys(VERSION_FIELDS, ""))
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            self._fail(
                "", "getver", f"the names in braces are {', '.join(VERSION_FIELDS)}: {error}"
            )
        if not isinstance(answer, str) or not answer.isascii():
            self._fail("", "getver", "expected ASCII text")
        return answer

    def _table(self, name: str) -> dict[str, object]:
        table = self._raw.get(name, {})
        if not isinstance(table, dict):
            self._fail("", name, "expected a table")
        return dict(table)

    def _number(self, table: str, key: str, default: float, least: float, most: float) -> float:
        value = self._table(table).get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._fail(table, key, f"expected a number, found {value!r}")
        if not least <= value <= most:
            self._fail(table, key, f"expected {least:g} to {most:g}, found {value!r}")
        return value

    def _check_keys(self, table: str, raw: dict[str, object], known: tuple[str, ...]) -> None:
        for key in raw:
            if key not in known:
                self._fail(table, key, "is no field of a profile" + _near(key, known))

    def _fail(self, table: str, key: str, what: str) -> NoReturn:
        place = f"[{table}] {key}" if table else key
        line = line_of(self._text, table, key)
        raise ProfileError(f"{self._name}, line {line}: {place}: {what}")


def _event_ids(catalog: IoCatalog, model: str, elements: tuple[Element, ...]) -> dict[int, int]:
    ids = {}
    for name, io_id in EVENTS.items():
        row = catalog.by_id(io_id, model)
        if row is not None and row.name == name:
            ids[io_id] = io_id
    for element in sorted(elements, key=lambda element: element.io_id):
        if element.driven in CHANGES:
            ids.setdefault(element.driven, element.io_id)
    return ids


def _near(word: str, words: Iterable[str]) -> str:
    near = get_close_matches(str(word), list(words), 1)
    return f"; did you mean {near[0]!r}?" if near else ""
