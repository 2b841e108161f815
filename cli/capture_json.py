"""A capture as NDJSON: objects of `decode --json`, with time, session and sender before them."""

import sys

import msgspec

from teltonika.cli.finding_json import write_finding
from teltonika.codecs.captures import CaptureDecoder, CapturedFinding, CaptureEvent, Side, moment
from teltonika.codecs.found_names import with_names


class _Place(msgspec.Struct, frozen=True):
    """Where in a capture something was found."""

    time: str
    session: int
    sender: Side = msgspec.field(name="from")


class JsonObjects:
    """An object for each thing that was said, as it comes; nothing of what else is known."""

    def __init__(self, *, names: bool, model: str | None) -> None:
        self._names = names
        self._model = model

    def show(self, event: CaptureEvent) -> None:
        if isinstance(event, CapturedFinding):
            place = _Place(moment(event.time), event.session.number, event.sender)
            finding = event.finding()
            if self._names:
                finding = with_names(finding, self._model)
            write_finding(place, finding)

    def flush(self) -> None:
        sys.stdout.flush()

    def summary(self, decoder: CaptureDecoder) -> None:
        """Nothing: on standard output stand objects only."""
