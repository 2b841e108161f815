"""Named moments in a command's life.

Nothing happens at them, unless somebody replaces `on_step`: tests do, to kill the server there.
"""

from collections.abc import Callable


def _nothing(_: str) -> None:
    pass


on_step: Callable[[str], None] = _nothing


def step(name: str) -> None:
    """The command in hand has come to the moment ``name``."""
    on_step(name)
