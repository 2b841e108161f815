"""URLs, packed commands, and a pipelined connection to a real Valkey."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis
import uvloop
from redis.exceptions import RedisError, ResponseError

from teltonika.server.deployment import Place
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.errors import InvalidRedisUrlError
from teltonika.server.redis_link import RedisLink, check_redis_url, pack_command
from teltonika.server.redis_url import redacted_url


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://user:sesame@host:6379/0", "redis://user@host:6379/0"),
        ("redis://:sesame@host:6379/0", "redis://host:6379/0"),
        ("redis://user:@host", "redis://user@host"),
        ("redis://user:se:sa@me@host/0", "redis://user@host/0"),
        ("rediss://user:sesame@[::1]:6380/2", "rediss://user@[::1]:6380/2"),
        ("unix://user:sesame@/run/redis.sock?db=1", "unix://user@/run/redis.sock?db=1"),
        ("unix://:sesame@/run/redis.sock", "unix:///run/redis.sock"),
        ("unix:///run/redis.sock?password=sesame&db=1", "unix:///run/redis.sock?db=1"),
        ("redis://host?password=sesame", "redis://host"),
    ],
)
def test_a_url_is_told_without_its_password(url: str, told: str) -> None:
    assert redacted_url(url) == told


@pytest.mark.parametrize(
    "url",
    ["redis://localhost", "redis://user@host:6379/0", "unix:///run/redis.sock?db=1"],
)
def test_a_url_without_a_password_is_told_as_it_is(url: str) -> None:
    assert redacted_url(url) == url


@pytest.mark.parametrize(
    "url", ["redis://localhost", "rediss://user:sesame@host:6380/1", "unix:///run/redis.sock"]
)
def test_a_url_that_redis_py_opens_is_right(url: str) -> None:
    assert check_redis_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://user:sesame@localhost",
        "redis://host:port",
        "redis://:a/sesame@host:6379/0",
        "redis://:a#sesame@host:6379/0",
        "redis://user:sesame@[::1",
        "redis://host?sesame=bar",
        "redis://host?retry=1",
    ],
)
def test_any_other_url_is_wrong_and_never_repeated(url: str) -> None:
    with pytest.raises(
        InvalidRedisUrlError, match=r"^not a Redis URL: expected redis://"
    ) as caught:
        check_redis_url(url)
    assert "sesame" not in str(caught.value)


def test_a_command_is_an_array_of_strings_with_their_lengths_in_bytes() -> None:
    packed = pack_command("SET", "é", b"\x00\r\n", 42)
    assert packed == b"*4\r\n$3\r\nSET\r\n$2\r\n\xc3\xa9\r\n$3\r\n\x00\r\n\r\n$2\r\n42\r\n"


@pytest.fixture
async def link(valkey: EmbeddedValkey) -> AsyncIterator[RedisLink]:
    link = RedisLink(Place(valkey.url))
    await link.connect()
    yield link
    await link.close()


async def test_replies_come_in_the_order_of_the_commands(link: RedisLink) -> None:
    commands = [pack_command("ECHO", number) for number in range(100)]
    await link.write(commands[:60])
    await link.write(commands[60:])
    assert [await link.read_reply() for _ in commands] == [b"%d" % n for n in range(100)]


async def test_replies_are_what_redis_said_undecoded_even_if_the_url_asks_for_text(
    valkey: EmbeddedValkey,
) -> None:
    link = RedisLink(Place(f"{valkey.url}?decode_responses=True"))
    await link.connect()
    assert await link.execute("SET", "key", b"\xff\x00") == b"OK"
    assert await link.execute("GET", "key") == b"\xff\x00"
    assert await link.execute("GET", "missing") is None
    assert await link.execute("EXISTS", "key") == 1
    assert await link.execute("MGET", "key", "missing") == [b"\xff\x00", None]
    await link.close()


async def test_an_error_among_replies_leaves_the_link_usable(link: RedisLink) -> None:
    await link.write(
        [
            pack_command("SET", "key", "text"),
            pack_command("INCR", "key"),
            pack_command("NO-SUCH-COMMAND"),
            pack_command("GET", "key"),
        ]
    )
    assert await link.read_reply() == b"OK"
    with pytest.raises(ResponseError, match="not an integer"):
        await link.read_reply()
    with pytest.raises(ResponseError, match="unknown command"):
        await link.read_reply()
    assert await link.read_reply() == b"text"
    assert await link.execute("ECHO", "still here") == b"still here"


async def test_the_urls_password_is_used(valkey: EmbeddedValkey, client: redis.Redis) -> None:
    client.config_set("requirepass", "sesame")
    link = RedisLink(Place(valkey.url.replace("unix://", "unix://:sesame@")))
    await link.connect()
    assert await link.execute("ECHO", "let in") == b"let in"
    await link.close()
    stranger = RedisLink(Place(valkey.url.replace("unix://", "unix://:guess@")))
    with pytest.raises(RedisError, match="password"):
        await stranger.connect()
    await stranger.close()


async def test_a_redis_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    link = RedisLink(Place(f"unix://{tmp_path}/nothing.sock"))
    with pytest.raises((RedisError, OSError)):
        await link.connect()
    await link.close()


async def test_a_redis_that_dies_is_an_error_for_whoever_waits_for_a_reply(
    link: RedisLink, client: redis.Redis
) -> None:
    await link.write([pack_command("BLPOP", "nothing", 0)])
    os.kill(client.info("server")["process_id"], signal.SIGKILL)
    with pytest.raises((RedisError, OSError)):
        await link.read_reply()


async def test_closing_twice_does_nothing_more(link: RedisLink) -> None:
    await link.close()


def test_a_connection_that_redis_has_reset_fails_as_one(tmp_path: Path) -> None:
    """Under uvloop, too, which calls a write to it a mistake of the caller."""
    path = tmp_path / "redis.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def answer_until_the_echo() -> None:
            connection, _ = listening.accept()
            with connection:
                while b"ECHO" not in (data := connection.recv(1_000)):
                    connection.sendall(b"+OK\r\n" * data.count(b"*"))
                # closed with something unread: that is a reset

        async def write_on() -> None:
            link = RedisLink(Place(f"unix://{path}"))
            await link.connect()
            await link.write([pack_command("ECHO", "x"), *[pack_command("PING")] * 1_000])
            await asyncio.to_thread(redis_side.join)
            while True:
                await link.write([pack_command("PING")])
                await asyncio.sleep(0)

        redis_side = threading.Thread(target=answer_until_the_echo)
        redis_side.start()
        with (
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            pytest.raises((OSError, RedisError)),
        ):
            runner.run(write_on())
