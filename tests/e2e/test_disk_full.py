"""A full disk: what it did not take is not acknowledged, and stands on the stream once later."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from own_valkey import OwnValkey
from serving import BareDevice, ServerProcess
from small_disk import NoSmallDiskError, SmallDisk, small_disk

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet

StartServer = Callable[..., ServerProcess]
MIB = 1 << 20
SENT = 500


def packet(number: int) -> bytes:
    return encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(number, 0, 0, 0, number, 0, 0, 0)])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        with small_disk(tmp_path / "disk", 8 * MIB) as disk:
            yield disk
    except NoSmallDiskError as error:
        pytest.skip(str(error))


@pytest.fixture
def valkey(tmp_path: Path, disk: SmallDisk) -> Iterator[OwnValkey]:
    server = OwnValkey(tmp_path, disk.directory, disk.program)
    yield server
    server.kill()


def test_what_a_full_disk_did_not_take_is_acknowledged_when_it_is_free_again(
    disk: SmallDisk, valkey: OwnValkey, start_server: StartServer
) -> None:
    valkey.start().close()
    server = start_server(redis_url=valkey.url)
    with BareDevice(server.port) as device:
        device.send(packet(0))
        assert device.acknowledged() == 1
        with disk.full():
            device.send(b"".join(map(packet, range(1, SENT))))
            assert valkey.ended(30) == 1  # a Valkey that syncs always gives up
        valkey.start().close()
        for _ in range(1, SENT):
            assert device.acknowledged() == 1
    assert [payload["altitude"] for payload in server.payloads()] == list(range(SENT))


def test_the_disk_is_seen_only_by_those_who_enter_it(tmp_path: Path, disk: SmallDisk) -> None:
    assert disk.used < MIB
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
