"""The two streams of a session cut into what belongs together: messages, and answers to them."""

from collections.abc import Iterator

import msgspec

from teltonika.codecs import AVL_CODECS, MAX_PACKET_SIZE, FramingError, crc16_ibm
from teltonika.codecs.connection import ACK_SIZE, server_message_size
from teltonika.codecs.framing import CRC_SIZE, HEADER_SIZE, PING, packet_size
from teltonika.codecs.handshake import IMEI_DIGITS, IMEI_FRAME_SIZE

_AVL_IDS = AVL_CODECS.ids


class DeviceMessage(msgspec.Struct, frozen=True, gc=False):
    """A handshake, a packet or a ping in what a device sent: where it stands in the stream."""

    start: int
    end: int
    codec_id: int | None
    """None for a handshake or a ping."""
    answered: bool
    """Whether the protocol has the server answer it."""


def cut_device_stream(stream: bytes) -> Iterator[DeviceMessage]:
    """All that is whole in a stream that begins with a handshake, as far as it can be followed."""
    if stream[:2] != IMEI_DIGITS.to_bytes(2) or len(stream) < IMEI_FRAME_SIZE:
        return
    yield DeviceMessage(0, IMEI_FRAME_SIZE, None, answered=True)
    position = IMEI_FRAME_SIZE
    while position < len(stream):
        if stream[position] == PING:
            yield DeviceMessage(position, position + 1, None, answered=False)
            position += 1
            continue
        try:
            size = packet_size(stream, position, MAX_PACKET_SIZE)
        except FramingError:
            return
        if size is None or position + size > len(stream):
            return
        codec_id = stream[position + HEADER_SIZE]
        end = position + size
        data = stream[position + HEADER_SIZE : end - CRC_SIZE]
        right = crc16_ibm(data) == int.from_bytes(stream[end - CRC_SIZE : end])
        yield DeviceMessage(position, end, codec_id, answered=right and codec_id in _AVL_IDS)
        position = end


class ServerMessage(msgspec.Struct, frozen=True, gc=False):
    """What a server sent in one: an answer, or a command."""

    offset: int
    """In the server's stream."""
    data: bytes
    command: bool = False


class ServerStream:
    """A server's bytes, cut as they come: the byte after the IMEI, ACKs, commands.

    An ACK of no records and the preamble of a command are the same four zero bytes. They are held
    until what follows tells; where nothing follows, `settle` does.
    """

    __slots__ = ("_buffer", "_handshake", "_offset")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._offset = 0
        self._handshake = True

    @property
    def undecided(self) -> bool:
        """Whether zero bytes are held that may be an ACK."""
        return ACK_SIZE <= len(self._buffer) <= HEADER_SIZE

    def receive_data(self, data: bytes) -> list[ServerMessage]:
        """What is whole now."""
        buffer = self._buffer
        buffer += data
        messages = []
        position = 0
        if self._handshake and buffer:
            self._handshake = False
            messages.append(self._message(0, 1))
            position = 1
        while (size := server_message_size(buffer, position)) is not None:
            messages.append(self._message(position, size))
            position += size
        self._drop(position)
        return messages

    def settle(self) -> list[ServerMessage]:
        """Nothing more came for a while, or ever will: what is `undecided` was an ACK."""
        if not self.undecided:
            return []
        acknowledged = self._message(0, ACK_SIZE)
        self._drop(ACK_SIZE)
        return [acknowledged, *self.receive_data(b"")]

    def _message(self, position: int, size: int) -> ServerMessage:
        data = bytes(self._buffer[position : position + size])
        return ServerMessage(self._offset + position, data, command=size > ACK_SIZE)

    def _drop(self, size: int) -> None:
        del self._buffer[:size]
        self._offset += size
