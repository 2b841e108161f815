"""A bar on standard error while a long file is read."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn


@contextmanager
def reading_bar(size: int) -> Iterator[Callable[[int], None]]:
    """A bar for so many bytes; yields what is to be told how many more were read."""
    with Progress(
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    ) as progress:
        task = progress.add_task("decode", total=size)
        yield lambda read: progress.advance(task, read)
