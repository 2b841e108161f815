"""Fixtures for tests of a tracking back end; pytest finds them wherever teltonika is installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from teltonika.emulator.device import Device
from teltonika.emulator.device_fleet import DeviceFleet
from teltonika.emulator.server_process import ServerProcess, running_server


@pytest.fixture
def teltonika_device() -> type[Device]:
    """An emulated device: ``async with teltonika_device(port=5027) as device: …``."""
    return Device


@pytest.fixture
def teltonika_fleet() -> type[DeviceFleet]:
    """Many of them: ``async with teltonika_fleet(50, port=5027) as fleet: …``."""
    return DeviceFleet


@pytest.fixture
def teltonika_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """The real ingest server on a free port, with an embedded Valkey, for this test alone."""
    with running_server(tmp_path) as server:
        yield server
