"""One server's own place on disk."""

import os
import socket
from pathlib import Path

import pytest

from teltonika.server.data_dir import DataDirectory
from teltonika.server.errors import DataDirectoryBusyError, ServerError


def test_it_is_made_with_its_parents_and_for_this_user_only(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "new" / "data") as directory:
        assert directory.path.stat().st_mode & 0o077 == 0


def test_it_belongs_to_one_server_at_a_time_and_names_that_ones_pid(tmp_path: Path) -> None:
    with DataDirectory(tmp_path):
        with pytest.raises(DataDirectoryBusyError) as caught, DataDirectory(tmp_path):
            pass
        assert f"{tmp_path} is in use by another server (pid {os.getpid()})" in str(caught.value)
        assert "--data-dir" in str(caught.value)


def test_it_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with DataDirectory(tmp_path):
            pass


def test_a_place_that_cannot_be_a_directory_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "data"):
        with (
            pytest.raises(ServerError, match=f"cannot use the data directory {path}: "),
            DataDirectory(path),
        ):
            pass


def test_an_instance_id_is_made_once_and_kept(tmp_path: Path) -> None:
    made = DataDirectory(tmp_path).instance_id()
    assert DataDirectory(tmp_path).instance_id() == made


def test_an_empty_file_is_no_instance_id(tmp_path: Path) -> None:
    (tmp_path / "instance-id").write_text("\n")
    made = DataDirectory(tmp_path).instance_id()
    assert made
    assert DataDirectory(tmp_path).instance_id() == made


def test_two_servers_on_one_host_have_different_ids(tmp_path: Path) -> None:
    ids = set()
    for name in ("a", "b"):
        with DataDirectory(tmp_path / name) as directory:
            ids.add(directory.instance_id())
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("gate-7.example.org", "gate-7.example.org"),
        ("my host_{7}:é", "my-host-7-"),
        ("", "host"),
    ],
)
def test_an_instance_id_is_the_hosts_name_without_what_a_redis_key_should_not_have(
    host: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    said, _, random = DataDirectory(tmp_path).instance_id().rpartition("-")
    assert said == name
    assert len(bytes.fromhex(random)) == 4


@pytest.mark.parametrize("kept", ["ga\x1b[2Jte", "g" * 129, "ga\x85te", "ga\u202ete", "a\nb"])
def test_an_id_that_is_not_fit_for_keys_and_logs_is_refused(tmp_path: Path, kept: str) -> None:
    (tmp_path / "instance-id").write_text(kept)
    with DataDirectory(tmp_path) as directory, pytest.raises(ServerError) as failure:
        directory.instance_id()
    assert f"the instance id in {tmp_path / 'instance-id'}: expected" in str(failure.value)
    assert str(failure.value).isprintable()


@pytest.mark.parametrize("kept", ["gate", "lkw-münchen", "gate:1", "g" * 128])
def test_an_id_that_somebody_has_written_is_kept(tmp_path: Path, kept: str) -> None:
    (tmp_path / "instance-id").write_text(f"{kept}\n")
    with DataDirectory(tmp_path) as directory:
        assert directory.instance_id() == kept
