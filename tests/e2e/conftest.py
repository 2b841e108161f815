"""Real servers, each with its own embedded Valkey, in directories of their own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from own_valkey import OwnValkey
from serving import ServerProcess

StartServer = Callable[..., ServerProcess]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers; all of them are ended with the test."""
    with ExitStack() as stack:

        def start(*options: str, data_dir: str = "data", **more: Any) -> ServerProcess:
            server = ServerProcess(tmp_path / data_dir, *options, **more)
            return stack.enter_context(server)

        yield start


@pytest.fixture
def server(start_server: StartServer) -> ServerProcess:
    return start_server()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[OwnValkey]:
    directory = tmp_path / "own"
    directory.mkdir()
    server = OwnValkey(directory)
    yield server
    server.kill()
