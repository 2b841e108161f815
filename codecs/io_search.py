"""Finding IO elements by what a person remembers of them: an id, or words of the name."""

import re

from teltonika.codecs.io_catalog import IoDescription, io_catalog

_MOST_DIGITS = 20
"""Of a number: any id has 5, and leading zeros are no mistake."""


def is_io_id(query: str) -> bool:
    """Whether ``query`` is a number, and no more digits than `int` takes."""
    return query.isascii() and query.isdigit() and len(query) <= _MOST_DIGITS


def search_io(query: str, model: str | None = None) -> list[IoDescription]:
    """The rows of an id, or those whose name has all words of ``query``, in any case and order.

    By id, of one id what most models mean first. With ``model`` only what holds for that.
    """
    catalog = io_catalog()
    words = query.lower().split()
    if is_io_id(query):
        found = list(catalog.meanings(int(query)))
    else:
        found = [row for row in catalog.rows if all(word in row.name.lower() for word in words)]
    wanted = [row for row in found if model is None or model in row.models]
    return sorted(wanted, key=lambda row: (row.id, -len(row.models)))


def near_words(query: str) -> list[str]:
    """Words that names have, nearest to those of ``query`` that none has; "voltge": "voltage"."""
    from difflib import get_close_matches  # noqa: PLC0415 - only where nothing was found

    names = " ".join({row.name.lower() for row in io_catalog().rows})
    known = sorted(set(re.findall(r"\w+", names)))
    unknown = [word for word in query.lower().split() if word not in names]
    return [near for word in unknown for near in get_close_matches(word, known)]
