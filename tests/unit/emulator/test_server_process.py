"""A server as a process for tests, where it does not do what it should."""

from pathlib import Path

import pytest

from teltonika.emulator import server_process


def test_a_server_that_neither_listens_nor_ends_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = ("sh", "-c", "echo it waits for Redis >&2; exec sleep 600")
    monkeypatch.setattr(server_process, "_PROGRAM", program)
    monkeypatch.setattr(server_process, "START_S", 1.0, raising=False)
    with (
        pytest.raises(RuntimeError, match=r"did not listen within 1 s:\nit waits for Redis"),
        server_process.running_server(tmp_path),
    ):
        pass
