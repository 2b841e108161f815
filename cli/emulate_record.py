"""How `teltonika emulate` is told to record, and the file that it records to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from teltonika.cli.errors import USAGE, fail
from teltonika.emulator import Recorder

RecordOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Write all that is sent and received to this pcap file: plain bytes, also under TLS. "
        "A file that is there is overwritten.",
        show_default="none",
    ),
]


@contextmanager
def recording(path: Path | None) -> Iterator[Recorder | None]:
    """A recorder to ``path``; None where none is wanted. Ends the command with a sentence where
    the file cannot be written."""
    if path is None:
        yield None
        return
    from teltonika.emulator.pcap_recorder import PcapRecorder  # noqa: PLC0415 - dpkt takes 0.1 s

    try:
        file = path.open("wb")
    except OSError as error:
        fail(f"--record: cannot write {path}: {error.strerror}", USAGE)
    with file:
        yield PcapRecorder(file)
