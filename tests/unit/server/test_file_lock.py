"""The kernel's lock on a file: alone, between processes, and waited for."""

import asyncio
import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from teltonika.server.file_lock import FileLock

HOLD = """
import sys
from pathlib import Path
from teltonika.server.file_lock import FileLock

lock = FileLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
lock.write("held by a child")
print("written", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which has the lock until it ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["True\n", "written\n"]
        yield process
        process.kill()


def is_free(path: Path) -> bool:
    lock = FileLock(path)
    acquired = lock.acquire()
    lock.release()
    return acquired


def test_one_has_it_until_released(path: Path) -> None:
    lock = FileLock(path)
    assert lock.acquire()
    assert not is_free(path)
    lock.release()
    assert is_free(path)


def test_whoever_failed_to_get_it_gets_it_later(path: Path) -> None:
    first, second = FileLock(path), FileLock(path)
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()


def test_releasing_what_is_not_held_does_nothing(path: Path) -> None:
    lock = FileLock(path)
    lock.release()
    lock.acquire()
    lock.release()
    lock.release()


def test_only_this_user_may_open_the_file(path: Path) -> None:
    assert is_free(path)
    assert path.stat().st_mode & 0o077 == 0


def test_the_last_note_is_read_whole_however_long_the_one_before_it(path: Path) -> None:
    lock = FileLock(path)
    lock.acquire()
    lock.write("a long note of the first holder")
    lock.write("short")
    assert FileLock(path).read() == "short"
    lock.release()


def test_a_file_that_cannot_be_opened_is_an_error_and_not_a_lock_that_is_taken(
    tmp_path: Path,
) -> None:
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "missing" / "lock").acquire()


def test_another_process_has_it_until_it_dies(path: Path, holder: subprocess.Popen[str]) -> None:
    assert not is_free(path)
    assert FileLock(path).read() == "held by a child"
    holder.kill()
    holder.wait()
    assert is_free(path)


def test_a_child_that_is_handed_the_file_has_it_too(path: Path) -> None:
    lock = FileLock(path)
    lock.acquire()
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock.fileno(),)
    ) as child:
        lock.release()
        assert not is_free(path)
        child.communicate(b"\n")
    assert is_free(path)


def test_a_child_that_is_not_handed_it_has_it_not(path: Path) -> None:
    lock = FileLock(path)
    lock.acquire()
    with subprocess.Popen(
        [sys.executable, "-c", "print(input('started'))"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.read(7) == b"started"
        lock.release()
        assert is_free(path)
        child.communicate(b"\n")


async def test_waiting_ends_with_the_lock_once_its_holder_dies(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    lock = FileLock(path)
    waiting = asyncio.create_task(lock.wait())
    await asyncio.sleep(0)  # it has begun
    assert not waiting.done()
    holder.kill()
    await waiting
    assert not is_free(path)
    lock.release()
    assert is_free(path)


async def test_waiting_for_a_free_lock_takes_it_and_shares_it_with_nobody(path: Path) -> None:
    lock = FileLock(path)
    await lock.wait()
    with path.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    lock.release()


async def test_whoever_gave_up_waiting_keeps_it_from_nobody(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    impatient = FileLock(path)
    waiting = asyncio.create_task(impatient.wait())
    await asyncio.sleep(0)  # it has begun
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    impatient.release()
    holder.kill()
    other = FileLock(path)
    await other.wait()
    assert not is_free(path)
    other.release()
