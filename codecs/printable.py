"""Text of others, made harmless."""


def printable(text: str) -> str:
    r"""``text`` without what a terminal would obey: a control character becomes ``\x1b``."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
