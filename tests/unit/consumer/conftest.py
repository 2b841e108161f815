"""A real Valkey for each test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from own_valkey import OwnValkey


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[OwnValkey]:
    server = OwnValkey(tmp_path)
    server.start().close()
    yield server
    server.kill()


@pytest.fixture
def client(valkey: OwnValkey) -> Iterator[redis.Redis]:
    with valkey.client() as client:
        yield client
