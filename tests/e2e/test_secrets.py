"""A password for Redis: from where it may come, and that nobody tells it."""

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from own_valkey import OwnValkey
from serving import BareDevice, ServerProcess, run_teltonika

StartServer = Callable[..., ServerProcess]
PASSWORD = "open ses@me/?#"
ENCODED = "open%20ses%40me%2F%3F%23"


@pytest.fixture
def guarded(valkey: OwnValkey) -> OwnValkey:
    """A Valkey that wants the password."""
    valkey.start("--requirepass", PASSWORD).close()
    return valkey


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    return file


def everything_told(server: ServerProcess) -> str:
    """Log, the line on standard output, and what `ps` shows."""
    return server.log_text() + server.line + " ".join(psutil.Process(server.process.pid).cmdline())


WITH_A_PASSWORD = [
    "redis://user:sesame@127.0.0.1:1/0",
    "redis://127.0.0.1:1/0?password=sesame",
    "redis+cluster://user:sesame@127.0.0.1:1,[::1]:2",
    "redis+sentinel://127.0.0.1:1,[::1]:2/main?sentinel_password=sesame",
]


def test_from_a_file(guarded: OwnValkey, start_server: StartServer, password_file: Path) -> None:
    server = start_server(
        *("--redis-password-file", str(password_file), "--log-level", "debug"),
        redis_url=guarded.url,
    )
    with BareDevice(server.port):
        guarded.kill()
        server.wait_for_log("command_stream_unavailable")
        told = everything_told(server)
    assert PASSWORD not in told
    assert ENCODED not in told
    assert guarded.url in told


def test_from_the_environment(
    guarded: OwnValkey, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = guarded.url.replace("unix://", f"unix://:{ENCODED}@")
    monkeypatch.setenv("TELTONIKA_REDIS", url)
    server = start_server("--instance-id", "gate")
    with BareDevice(server.port):
        told = everything_told(server)
    assert PASSWORD not in told
    assert ENCODED not in told
    assert server.listening["redis"] == guarded.url


def test_a_wrong_one_is_not_told_either(guarded: OwnValkey, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("sesame")
    result = run_teltonika(
        *("serve", "--port", "0", "--instance-id", "a", "--redis", guarded.url),
        *("--redis-password-file", str(tmp_path / "wrong")),
    )
    assert result.returncode == 1
    assert "sesame" not in result.stdout + result.stderr
    assert f"cannot use the Redis at {guarded.url}" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "url",
    WITH_A_PASSWORD,
)
@pytest.mark.parametrize(
    "command", [("serve",), ("devices",), ("send", "356307042441013", "getver")]
)
def test_on_the_command_line_it_is_refused(command: tuple[str, ...], url: str) -> None:
    result = run_teltonika(*command, "--redis", url)
    assert result.returncode == 2
    assert "sesame" not in result.stdout + result.stderr
    assert "--redis-password-file" in result.stderr


@pytest.mark.parametrize(
    "url",
    WITH_A_PASSWORD,
)
def test_a_redis_that_is_not_there_is_named_without_it(url: str) -> None:
    result = run_teltonika(
        *("serve", "--port", "0", "--instance-id", "a"),
        env=os.environ | {"TELTONIKA_REDIS": url},
    )
    devices = run_teltonika("devices", env=os.environ | {"TELTONIKA_REDIS": url})
    for one in (result, devices):
        assert one.returncode == 1
        assert "sesame" not in one.stdout + one.stderr
        assert len(one.stderr.splitlines()) == 1
    assert "127.0.0.1:1" in result.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"", "found 0"), (b"a\nb\n", "found 2"), (b"\xff", "expected text")],
)
def test_a_file_without_a_password_is_wrong_usage(
    content: bytes | None, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    result = run_teltonika(
        *("serve", "--redis", "redis://127.0.0.1:1/0", "--redis-password-file", str(file))
    )
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_without_a_redis_or_beside_another_password_is_wrong_usage(
    password_file: Path,
) -> None:
    alone = run_teltonika("serve", "--redis-password-file", str(password_file))
    assert (alone.returncode, "--redis" in alone.stderr) == (2, True)
    both = run_teltonika(
        *("devices", "--redis-password-file", str(password_file)),
        env=os.environ | {"TELTONIKA_REDIS": "redis://:sesame@127.0.0.1:1/0"},
    )
    assert (both.returncode, "sesame" in both.stderr) == (2, False)


def test_the_commands_beside_the_server_take_it_too(
    guarded: OwnValkey, password_file: Path
) -> None:
    result = run_teltonika(
        *("devices", "--redis", guarded.url, "--redis-password-file", str(password_file), "--json")
    )
    assert (result.returncode, result.stdout) == (0, "")
