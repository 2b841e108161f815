"""What `teltonika decode pcap --export-hex` writes, for `teltonika decode --file` to read."""

from pathlib import Path
from types import TracebackType
from typing import Self

from teltonika.codecs.captures import CapturedFinding
from teltonika.codecs.findings import FoundAck, FoundError, FoundHandshakeAnswer, FoundPing


class HexExport:
    """The handshakes, packets and datagrams of a capture, in hex, one a line.

    All in one file; or, into a directory, each session's in ``session-NUMBER-IMEI.hex``. A file of
    that name that was there is written over. Whatever it does may raise OSError.
    """

    def __init__(self, path: Path) -> None:
        self._directory = path if path.is_dir() else None
        self._file = None if path.is_dir() else path.open("w", encoding="ascii")
        self._paths: dict[int, Path] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, found: CapturedFinding) -> None:
        """Write it, if it can be read without what stands around it."""
        content = found.content
        if isinstance(content, FoundAck | FoundHandshakeAnswer | FoundPing) or (
            isinstance(content, FoundError) and (content.transport == "udp" or not found.data)
        ):
            return
        line = found.data.hex() + "\n"
        if self._file is not None:
            self._file.write(line)
        elif self._directory is not None:
            number = found.session.number
            mode = "a" if number in self._paths else "w"
            name = f"session-{number}-{found.imei or 'unknown'}.hex"
            path = self._paths.setdefault(number, self._directory / name)
            with path.open(mode, encoding="ascii") as file:  # one for each device would be many
                file.write(line)

    def end(self, session: int) -> None:
        """Nothing more of a session will come."""
        self._paths.pop(session, None)
