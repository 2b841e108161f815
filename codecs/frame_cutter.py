"""A device's TCP stream cut into frames, each with all of its bytes: for who shows them.

`Framer` cuts it too, and keeps of a frame only what is to be decoded.
"""

from teltonika.codecs.errors import FramingError
from teltonika.codecs.framing import MAX_PACKET_SIZE, PING, packet_size, ping_run
from teltonika.codecs.handshake import IMEI_FRAME_SIZE, check_imei_length


class FrameCutter:
    """Handshake, packets and pings as they came, right or wrong, however TCP split them.

    Holds what has no end yet, never more than one packet of ``max_packet_size``.
    """

    def __init__(
        self, max_packet_size: int = MAX_PACKET_SIZE, *, unfinished: bytes, awaiting_imei: bool
    ) -> None:
        """``unfinished`` has come before; whether the handshake is what comes first."""
        self._max_packet_size = max_packet_size
        self._awaiting_imei = awaiting_imei
        self._buffer = bytearray(unfinished)
        self._broken = False

    def receive_data(self, data: bytes) -> list[bytes]:
        """All frames that are whole now; pings in a row are one. Never raises.

        What no frame begins with is one, to the end of what there is, and the last.
        """
        if self._broken:
            return []
        self._buffer += data
        frames: list[bytes] = []
        while (size := self._next_size()) is not None:
            frames.append(bytes(self._buffer[:size]))
            del self._buffer[:size]
        return frames

    def rest(self) -> bytes:
        """What has no end, now that nothing more comes."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _next_size(self) -> int | None:
        """Of the frame that stands first, or None while it is not all there."""
        buffer = self._buffer
        if not buffer:
            return None
        try:
            if self._awaiting_imei:
                if len(buffer) >= 2:
                    check_imei_length(buffer[0] << 8 | buffer[1])
                size: int | None = IMEI_FRAME_SIZE
            elif buffer[0] == PING:
                size = ping_run(buffer, 0)
            else:
                size = packet_size(buffer, 0, self._max_packet_size)
        except FramingError:
            self._broken = True
            size = len(buffer)
        if size is None or size > len(buffer):
            return None
        self._awaiting_imei = False
        return size
