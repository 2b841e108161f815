"""20,000 times what a server can do wrong to an emulated device: nothing of it stays."""

import gc
import sys
from collections.abc import Callable
from itertools import count

import pytest

from teltonika.codecs import AVL_CODECS, COMMAND_CODECS, AvlRecord, encode_message
from teltonika.codecs.udp import DatagramAnswer, encode_answer
from teltonika.emulator import DeviceMachine, DeviceState, UdpMachine
from teltonika.emulator.replay.stream import ServerStream

IMEI = "356307042441013"
WARM_UP, TIMES = 2_000, 20_000
MOST_BLOCKS = 2_000
"""Of memory, in all: a tenth of one for each time. `sys.getallocatedblocks` counts also what the
collector does not see."""
MOST_OBJECTS = 200

_COMMAND = encode_message(COMMAND_CODECS.by_name("12").command("getver", IMEI))
_UNKNOWN = encode_message(COMMAND_CODECS.by_name("12").command("no command of its", IMEI))
_FOREIGN = encode_message(COMMAND_CODECS.by_name("14").command("getver", "350000000000006"))
_WRONG_CRC = _COMMAND[:-1] + bytes((_COMMAND[-1] ^ 1,))


def frame_with_a_wrong_inside() -> bytes:
    from teltonika.codecs.framing import HEADER_SIZE, encode_frame

    data = bytearray(_COMMAND[HEADER_SIZE:-4])
    data[6] = 200  # of the bytes of the text
    return encode_frame(bytes(data))


class OverTcp:
    """A device that says its IMEI again wherever it left."""

    def __init__(self) -> None:
        records = (AvlRecord(number, 0, 0, 0, 0, 0, 0, 0) for number in count())
        self.device = DeviceMachine(IMEI, AVL_CODECS.by_name("8"), records)

    def hear(self, data: bytes, welcome: bytes = b"\1") -> None:
        device = self.device
        if device.state is DeviceState.CLOSING:
            device.connection_lost()
        if device.state is DeviceState.DISCONNECTED:
            device.connection_made()
            device.data_to_send()
            device.receive_data(welcome)
        device.receive_data(data)
        device.settle()
        while device.data_to_send():
            pass

    def send_and_hear(self, data: bytes) -> None:
        if self.device.state is DeviceState.READY:
            self.device.send_next()
        self.hear(data)


class OverUdp:
    def __init__(self) -> None:
        records = (AvlRecord(number, 0, 0, 0, 0, 0, 0, 0) for number in count())
        self.device = UdpMachine(IMEI, AVL_CODECS.by_name("8"), records)

    def hear(self, data: bytes) -> None:
        device = self.device
        if device.state is DeviceState.CLOSING:
            device.connection_lost()
        if device.state is DeviceState.DISCONNECTED:
            device.connection_made()
        if device.state is DeviceState.READY:
            device.send_next()
        device.receive_data(data)
        while device.data_to_send():
            pass


def tcp(data: bytes) -> Callable[[], Callable[[], object]]:
    def make() -> Callable[[], object]:
        device = OverTcp()
        return lambda: device.hear(data)

    return make


def sending(data: bytes) -> Callable[[], Callable[[], object]]:
    def make() -> Callable[[], object]:
        device = OverTcp()
        return lambda: device.send_and_hear(data)

    return make


def greeted(welcome: bytes) -> Callable[[], Callable[[], object]]:
    def make() -> Callable[[], object]:
        device = OverTcp()
        return lambda: device.hear(b"", welcome)

    return make


def udp(data: bytes) -> Callable[[], Callable[[], object]]:
    def make() -> Callable[[], object]:
        device = OverUdp()
        return lambda: device.hear(data)

    return make


def stream(data: bytes) -> Callable[[], Callable[[], object]]:
    def make() -> Callable[[], object]:
        cut = ServerStream()
        return lambda: cut.receive_data(data)

    return make


WRONG = {
    "an unexpected ACK": tcp(b"\0\0\0\1"),
    "wrong ACKs, and reconnects": sending(b"\0\0\0\7"),
    "ACKs of no records": sending(bytes(4)),
    "a wrong answer to the IMEI": greeted(b"H"),
    "a rejection": greeted(b"\0"),
    "a command with a wrong CRC": tcp(_WRONG_CRC),
    "a command with a wrong inside": tcp(frame_with_a_wrong_inside()),
    "an unknown command": tcp(_UNKNOWN),
    "a command for another device": tcp(_FOREIGN),
    "a command": tcp(_COMMAND),
    "half a command, and the end": tcp(_COMMAND[:20]),
    "random bytes": tcp(b"\x8f\x01\xaa\x17\x00\x00"),
    "UDP: a wrong answer": udp(encode_answer(DatagramAnswer(0, 0, 9))),
    "UDP: a late answer": udp(encode_answer(DatagramAnswer(9, 9, 1))),
    "UDP: no answer at all": udp(b"HTTP/1.1 400"),
    "replay: ACKs": stream(b"\0\0\0\1"),
    "replay: commands with a wrong CRC": stream(_WRONG_CRC),
}


@pytest.mark.parametrize("name", WRONG)
def test_nothing_stays_of_what_a_server_does_wrong(name: str) -> None:
    once = WRONG[name]()
    for _ in range(WARM_UP):
        once()
    blocks, objects = _alive()
    for _ in range(TIMES):
        once()
    more_blocks, more_objects = _alive()
    assert more_blocks - blocks < MOST_BLOCKS
    assert more_objects - objects < MOST_OBJECTS


def _alive() -> tuple[int, int]:
    gc.collect()
    return sys.getallocatedblocks(), len(gc.get_objects())
