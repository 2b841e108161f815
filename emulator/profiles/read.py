"""Profiles from TOML files: those that come with the package, and the user's own."""

import re
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import NoReturn

from teltonika.codecs import AVL_CODECS, AvlCodec
from teltonika.codecs.io_catalog import IoCatalog, IoDescription, IoType, io_catalog
from teltonika.codecs.records import FIXED_WIDTHS
from teltonika.emulator.profiles.driven import CHANGES, DRIVEN, EVENTS
from teltonika.emulator.profiles.pace import Pace, Paces
from teltonika.emulator.profiles.places import Place, line_of
from teltonika.emulator.profiles.profile import Element, Profile
from teltonika.emulator.unit import VERSION_FIELDS

_MOST_SHOWN = 80
"""Characters of a wrong value."""
_VARIABLE = "variable"
_MOST_CONTENT = 1_200
"""Bytes of a value of variable width: the dictionary knows none with more."""
_LAST = 9
"""Where elements of variable width stand among those of 1 to 8 bytes."""
_STATES = ("moving", "stopped", "roaming")
MAX_SIZE = 1_000_000
"""Bytes of a file."""
_TOP = ("model", "codecs", "getver", "elements", "widths", "values", "sending", *_STATES, "buffer")
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
        except (ValueError, RecursionError) as error:  # a number of too many digits, too
            raise ProfileError(f"{name}: {error}") from error

    def profile(self) -> Profile:
        self._check_keys("", self._raw, _TOP)
        for key in ("model", "codecs", "getver", "elements"):
            if key not in self._raw:
                self._fail("", key, "is missing")
        catalog = io_catalog()
        model = self._raw["model"]
        if not isinstance(model, str) or model not in catalog.models:
            near = _near(model, catalog.models)
            self._fail("", "model", f"{_shown(model)} is not in the IO dictionary{near}")
        codecs = self._codecs()
        elements = self._elements(catalog, model, codecs)
        sending = self._table("sending")
        self._check_keys("sending", sending, _SENDING)
        profile = Profile(
            name=Path(self._name).stem,
            model=model,
            codecs=codecs,
            elements=elements,
            event_ids=_event_ids(catalog, model, elements),
            getver=self._getver(),
            ack_timeout_s=self._number("sending", "ack_timeout_s", 30, 1, 86_400),
            connect_timeout_s=self._number("sending", "connect_timeout_s", 10, 0.1, 86_400),
            reconnect_s=self._number("sending", "reconnect_s", 0.25, 0.01, 86_400),
            records_per_packet=self._count("sending", "records_per_packet", 1, 255),
            paces=self._paces(),
        )
        if profile.records_per_packet > profile.records_that_fit:
            what = f"of these elements at most {profile.records_that_fit} fit a packet"
            self._fail("sending", "records_per_packet", what)
        return profile

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
            self._fail(
                "buffer", "order", f"expected one of {', '.join(_ORDERS)}, found {_shown(order)}"
            )
        return Paces(
            moving=moving,
            stopped=self._pace("stopped"),
            roaming=self._pace("roaming") if "roaming" in self._raw else moving,
            buffer_size=self._count("buffer", "size", 10_000, 1_000_000),
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
        widths = self._widths(catalog, model)
        values = self._by_id("values", catalog, model)
        elements: dict[int, Element] = {}
        for index, wanted in enumerate(names):
            row = self._row(catalog, model, wanted, index)
            if row.id in elements:
                self._fail("", "elements", f"{row.name} stands there twice", index)
            width = widths.get(row.id, row.width)
            if width is None and row.id not in widths:
                what = f"{row.name} has no fixed width: say one under [widths]"
                self._fail("", "elements", what, index)
            for codec in codecs:
                self._check_carries(codec, row, width)
            if row.id in values:
                elements[row.id] = self._said(row, width, *values[row.id])
            elif width is None or row.name not in DRIVEN:
                self._fail("", "elements", f"say under [values] what {row.name} is", index)
            else:
                elements[row.id] = Element(row.id, width, DRIVEN[row.name])
        for table in ("widths", "values"):
            self._check_among(elements, table, self._by_id(table, catalog, model))
        return tuple(sorted(elements.values(), key=lambda element: element.width or _LAST))

    def _widths(self, catalog: IoCatalog, model: str) -> dict[int, int | None]:
        """By IO id, of those that are another than in the dictionary; None is a variable one."""
        widths: dict[int, int | None] = {}
        for io_id, (key, width) in self._by_id("widths", catalog, model).items():
            if width == _VARIABLE:
                widths[io_id] = None
            elif isinstance(width, int) and width in FIXED_WIDTHS and width is not True:
                widths[io_id] = width
            else:
                expected = f"{', '.join(map(str, FIXED_WIDTHS))} or {_VARIABLE!r}"
                self._fail("widths", key, f"expected {expected}, found {_shown(width)}")
        return widths

    def _said(self, row: IoDescription, width: int | None, key: str, value: object) -> Element:
        """The element of ``row`` with what stands under ``key`` of the values."""
        if width is None:
            return Element(row.id, None, None, content=self._content(key, value, row.type))
        low, high = self._range(key, value, width, signed=row.type is IoType.SIGNED)
        return Element(row.id, width, None, low, high)

    def _content(self, key: str, value: object, type_: IoType) -> bytes:
        """Of an element of variable width."""
        is_text = type_ is IoType.ASCII
        expected = "ASCII text" if is_text else "hex digits"
        if not isinstance(value, str):
            self._fail("values", key, f"expected {expected}, found {_shown(value)}")
        try:
            content = value.encode("ascii") if is_text else bytes.fromhex(value)
        except ValueError:
            self._fail("values", key, f"expected {expected}, found {_shown(value)}")
        if len(content) > _MOST_CONTENT:
            what = f"expected at most {_MOST_CONTENT} bytes, found {len(content)}"
            self._fail("values", key, what)
        return content

    def _row(self, catalog: IoCatalog, model: str, wanted: object, index: int) -> IoDescription:
        """What ``elements[index]`` is."""
        if isinstance(wanted, str):
            row = catalog.by_name(wanted, model)
        elif isinstance(wanted, int) and not isinstance(wanted, bool):
            row = catalog.by_id(wanted, model)
        else:
            self._fail("", "elements", f"expected names and ids, found {_shown(wanted)}", index)
        if row is None:
            near = _near(wanted, catalog.names(model))
            self._fail("", "elements", f"{model} has no IO element {_shown(wanted)}{near}", index)
        return row

    def _by_id(self, table: str, catalog: IoCatalog, model: str) -> dict[int, tuple[str, object]]:
        """The IO ids that the keys of a table are or name, each to its key and value."""
        found: dict[int, tuple[str, object]] = {}
        for key, value in self._table(table).items():
            by_id = re.fullmatch("[0-9]{1,5}", key) is not None
            row = catalog.by_id(int(key), model) if by_id else catalog.by_name(key, model)
            if row is None:
                self._not_an_element(table, key)
            if row.id in found:
                self._fail(table, key, "stands there twice")
            found[row.id] = key, value
        return found

    def _check_carries(self, codec: AvlCodec, row: IoDescription, width: int | None) -> None:
        what = f"codec {codec.name} cannot carry {row.name}"
        if row.id > 255 and codec.name == "8":
            self._fail("", "codecs", f"{what}: its id is {row.id}")
        if width is None and not codec.has_variable_length:
            self._fail("", "codecs", f"{what}: its width is variable")

    def _check_among(
        self, elements: dict[int, Element], table: str, said: dict[int, tuple[str, object]]
    ) -> None:
        for io_id, (key, _) in said.items():
            if io_id not in elements:
                self._not_an_element(table, key)

    def _not_an_element(self, table: str, key: str) -> NoReturn:
        near = _near(key, [name for name in self._raw["elements"] if isinstance(name, str)])
        self._fail(table, key, f"is not among the elements{near}")

    def _range(self, name: str, value: object, width: int, *, signed: bool) -> tuple[int, int]:
        ends = value if isinstance(value, list) else [value, value]
        numbers = [end for end in ends if isinstance(end, int) and not isinstance(end, bool)]
        if len(ends) != 2 or len(numbers) != 2 or numbers[0] > numbers[1]:
            self._fail(
                "values", name, f"expected a number, or two such as [0, 9], found {_shown(value)}"
            )
        bits = 8 * width
        least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        if numbers[0] < least or numbers[1] > most:
            self._fail("values", name, f"expected {least} to {most}, found {_shown(value)}")
        return numbers[0], numbers[1]

    def _getver(self) -> str:
        answer = self._raw["getver"]
        if not isinstance(answer, str) or not (answer.isascii() and answer.isprintable()):
            self._fail("", "getver", "expected printable ASCII text")
        names = ", ".join(VERSION_FIELDS)
        try:
            fields = list(Formatter().parse(answer))
        except ValueError as error:
            self._fail("", "getver", f"the names in braces are {names}: {error}")
        for _, name, width, conversion in fields:
            if name is not None and name not in VERSION_FIELDS:
                self._fail("", "getver", f"the names in braces are {names}, not {_shown(name)}")
            if width or conversion:
                self._fail("", "getver", f"expected nothing but a name in the braces of {name}")
        return answer

    def _table(self, name: str) -> dict[str, object]:
        table = self._raw.get(name, {})
        if not isinstance(table, dict):
            self._fail("", name, "expected a table")
        return dict(table)

    def _number(self, table: str, key: str, default: float, least: float, most: float) -> float:
        value = self._table(table).get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._fail(table, key, f"expected a number, found {_shown(value)}")
        if not least <= value <= most:
            self._fail(table, key, f"expected {least:g} to {most:g}, found {_shown(value)}")
        return value

    def _count(self, table: str, key: str, default: int, most: int) -> int:
        """A whole number from 1 on."""
        value = self._table(table).get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            self._fail(table, key, f"expected a whole number, found {_shown(value)}")
        if not 1 <= value <= most:
            self._fail(table, key, f"expected 1 to {most}, found {_shown(value)}")
        return value

    def _check_keys(self, table: str, raw: dict[str, object], known: tuple[str, ...]) -> None:
        for key in raw:
            if key not in known:
                self._fail(table, key, "is no field of a profile" + _near(key, known))

    def _fail(self, table: str, key: str, what: str, index: int | None = None) -> NoReturn:
        """``index``: of the item, where only that of a list is wrong."""
        shown = key if key.isprintable() else _shown(key)
        field = f"[{table}] {shown}" if table else shown
        place: Place = (table, key) if table else (key,)
        line = line_of(self._text, place if index is None else (*place, index))
        raise ProfileError(f"{self._name}, line {line}: {field}: {what}")


def _event_ids(catalog: IoCatalog, model: str, elements: tuple[Element, ...]) -> dict[int, int]:
    ids = {}
    for name, io_id in EVENTS.items():
        row = catalog.by_id(io_id, model)
        if row is not None and row.name == name:
            ids[io_id] = io_id
    for element in sorted(elements, key=lambda element: element.io_id):
        if element.driven in CHANGES:
            ids.setdefault(element.driven, element.io_id)
        if element.width is None:
            ids.pop(element.io_id, None)
    return ids


def _near(word: object, words: Iterable[str]) -> str:
    near = get_close_matches(word, list(words), 1) if isinstance(word, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def _shown(value: object) -> str:
    """``value`` as it can stand in a sentence."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of too many digits"
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."
