"""Which refusals waiting can mend, and how they are told."""

import pytest
from redis.asyncio.connection import DefaultParser
from redis.exceptions import BusyLoadingError, MovedError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from teltonika.server.refusals import can_change, complaint_about, in_words


def parsed(error: str) -> Exception:
    """As redis-py raises it."""
    exception: Exception = DefaultParser.parse_error(error)
    return exception


@pytest.mark.parametrize(
    "error",
    [
        "OOM command not allowed when used memory > 'maxmemory'. script: on @user_script:1.",
        "READONLY You can't write against a read only replica.",
        "LOADING Redis is loading the dataset in memory",
        "NOSCRIPT No matching script. Please use EVAL.",
        "MOVED 3999 127.0.0.1:6381",
        "ASK 3999 127.0.0.1:6381",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "CLUSTERDOWN Hash slot not served",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "NOREPLICAS Not enough good replicas to write.",
        "BUSY Redis is busy running a script.",
        "MISCONF Redis is configured to save RDB snapshots, but it's unable to persist on disk.",
        "NOPERM this user has no permissions to run the 'xadd' command",
        "SOMETHINGNEW that nobody knows yet",
        "ERR Error running script (call to f_0a): @user_script: 4: -OOM command not allowed",
    ],
)
def test_it_may_be_taken_later(error: str) -> None:
    assert can_change(parsed(error))


@pytest.mark.parametrize(
    "error",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "CROSSSLOT Keys in request don't hash to the same slot",
        "ERR wrong number of arguments for 'get' command",
        "ERR user_script:1: Script attempted to access nonexistent global variable 'foo'",
        "ERR Error running script (call to f_0a): @user_script: 4: -WRONGTYPE Operation against",
    ],
)
def test_it_is_refused_for_ever(error: str) -> None:
    assert not can_change(parsed(error))


def test_a_connection_that_fails_can_be_made_again() -> None:
    for error in (
        RedisConnectionError("gone"),
        BusyLoadingError("loading"),
        TimeoutError(),
        OSError(),
    ):
        assert can_change(error)


def test_a_slot_that_moved_is_told_with_its_new_place() -> None:
    error = parsed("MOVED 3999 10.0.0.7:6381")
    assert isinstance(error, MovedError)
    assert "slot 3999 of the Redis Cluster belongs to 10.0.0.7:6381 now" in in_words(error)
    assert "belongs to the same host:6381 now" in in_words(parsed("MOVED 3999 :6381"))


def test_nothing_is_told_without_words() -> None:
    assert in_words(TimeoutError()) == "no answer in time"
    assert in_words(TimeoutError(), 2.5) == "no answer in 2.5 s"
    assert in_words(TimeoutError("Timeout connecting to server"), 2.5).startswith("Timeout")
    assert in_words(OSError()) == "OSError"


def test_a_complaint_names_the_key_that_somebody_must_mend() -> None:
    wrong, full = parsed("WRONGTYPE Operation against a key"), parsed("OOM command not allowed")
    assert isinstance(wrong, ResponseError)
    assert isinstance(full, ResponseError)
    assert complaint_about("devices", wrong).startswith("devices: ")
    with pytest.raises(ResponseError):
        complaint_about("devices", full)
