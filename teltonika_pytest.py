"""Fixtures for tests of a tracking back end; pytest finds them wherever teltonika is installed.

It stands outside of the packages for pytest's sake: pytest takes the modules at the top of what is
installed for the plugin's own, and would take our `codecs` for the standard library's. Every run
of pytest imports this file, so that it imports the rest only when a test wants it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from teltonika.emulator import Device, DeviceFleet
    from teltonika.emulator.server_process import ServerProcess


@pytest.fixture
def teltonika_device() -> type[Device]:
    """An emulated device: ``async with teltonika_device(port=5027) as device: …``."""
    from teltonika.emulator import Device  # noqa: PLC0415

    return Device


@pytest.fixture
def teltonika_fleet() -> type[DeviceFleet]:
    """Many of them: ``async with teltonika_fleet(50, port=5027) as fleet: …``."""
    from teltonika.emulator import DeviceFleet  # noqa: PLC0415

    return DeviceFleet


@pytest.fixture
def teltonika_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """The real ingest server on free ports, TCP and UDP, with an embedded Valkey, for this test
    alone."""
    from teltonika.emulator.server_process import running_server  # noqa: PLC0415

    with running_server(tmp_path, "--udp-port", "0") as server:
        yield server
