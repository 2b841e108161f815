"""A real Valkey for each test that asks for one."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from teltonika.server.embedded import EmbeddedValkey


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    """It runs, and keeps its data in the test's own directory."""
    valkey = EmbeddedValkey(tmp_path)
    await valkey.start()
    yield valkey
    await valkey.stop()


@pytest.fixture
def client(valkey: EmbeddedValkey) -> Iterator[redis.Redis]:
    """A second way into that Valkey. It blocks: while it waits, nothing of ours runs."""
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client
