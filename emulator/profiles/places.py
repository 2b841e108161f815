"""In which line of a TOML text something stands."""

import re
import tomllib

Place = tuple[str | int, ...]
"""Keys from the outermost table on, and indices in lists."""

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|[\w-]+')
_TEXT = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\]|\\.)*"|\'[^\']*\'', re.DOTALL
)
_PLAIN = re.compile(r"[^,\]}#\n]+")


def line_of(text: str, place: Place) -> int:
    """The line, from 1, of ``place``, or of the innermost around it that there is. ``text`` is TOML
    without mistakes."""
    offsets = _Places(text).offsets
    while place not in offsets:
        place = place[:-1]
    return text.count("\n", 0, offsets[place]) + 1


class _Places:
    """Where each key and each item of a list begins."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.offsets: dict[Place, int] = {(): 0}
        table: Place = ()
        while self._comes(_BLANK):
            if self._text[self._at] == "[":
                self._take(re.compile(r"\[\[?"))
                begin = self._at
                table = self._key(())
                self.offsets[table] = begin
                self._take(re.compile(r"\]\]?"))
            else:
                self._pair(table)

    def _take(self, pattern: re.Pattern[str]) -> str:
        """What matches here; the next is looked for behind it."""
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"no TOML at character {self._at}")
        self._at = match.end()
        return match[0]

    def _comes(self, blank: re.Pattern[str]) -> str:
        """The character that comes behind the blanks; empty at the end."""
        self._take(blank)
        return self._text[self._at : self._at + 1]

    def _key(self, place: Place) -> Place:
        """A key, dotted or not, in the table at ``place``."""
        while True:
            self._take(_SPACE)
            begin = self._at
            key = self._take(_KEY)
            place = (*place, tomllib.loads(f"key = {key}")["key"] if key[0] in "\"'" else key)
            self.offsets.setdefault(place, begin)
            if self._comes(_SPACE) != ".":
                return place
            self._at += 1

    def _pair(self, table: Place) -> None:
        place = self._key(table)
        self._at += 1  # the equals sign
        self._value(place)

    def _value(self, place: Place) -> None:
        match self._comes(_SPACE):
            case "[":
                index = 0
                self._at += 1
                while self._comes(_BLANK) != "]":
                    self.offsets[*place, index] = self._at
                    self._value((*place, index))
                    self._skip_comma()
                    index += 1
                self._at += 1
            case "{":
                self._at += 1
                while self._comes(_BLANK) != "}":
                    self._pair(place)
                    self._skip_comma()
                self._at += 1
            case '"' | "'":
                self._take(_TEXT)
            case _:
                self._take(_PLAIN)

    def _skip_comma(self) -> None:
        if self._comes(_BLANK) == ",":
            self._at += 1
