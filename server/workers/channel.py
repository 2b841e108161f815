"""Messages between two processes of this server, on a pair of connected sockets.

Each is preceded by its length. When a process ends, however it does, the other reads the end of
the stream: that is how a worker learns that its supervisor is gone.
"""

import asyncio
import contextlib
import socket
import struct

_LENGTH = struct.Struct("!I")
MAX_MESSAGE_BYTES = 1 << 22


class Channel:
    """One end; `over` opens it on the running event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> "Channel":
        """Takes the socket over."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    async def receive(self) -> bytes | None:
        """The next message; None once the other end is closed, or says what is none."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > MAX_MESSAGE_BYTES:
                return None
            return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            return None

    def send(self, message: bytes) -> None:
        """It goes out when the other end reads, which the caller sees by the answer."""
        if not self._writer.is_closing():
            self._writer.write(_LENGTH.pack(len(message)) + message)

    async def close(self) -> None:
        """Send what is left to be sent, if the other end is still there; then close."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


def receive_first(end: socket.socket) -> bytes | None:
    """The first message, by a blocking socket and before there is an event loop."""
    header = _receive_exactly(end, _LENGTH.size)
    if header is None:
        return None
    (length,) = _LENGTH.unpack(header)
    return None if length > MAX_MESSAGE_BYTES else _receive_exactly(end, length)


def _receive_exactly(end: socket.socket, size: int) -> bytes | None:
    received = b""
    while len(received) < size:
        more = end.recv(size - len(received))
        if not more:
            return None
        received += more
    return received
