"""What the business side does: find the instance that holds a device, publish, wait for the end.

Blocking, on redis-py's ordinary client: it is for the command line, and an example for others.
"""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.retry import Retry

from teltonika.codecs.timestamps import format_timestamp
from teltonika.server.clients import blocking_client
from teltonika.server.command import CommandEntry
from teltonika.server.entry_fields import as_fields
from teltonika.server.keys import Keys
from teltonika.server.refusals import complaint_about

ANSWER_TIMEOUT_S = 5.0
"""For each answer of Redis, and for a connection to it."""
TERMINAL = ("responded", "failed")
PAGE = 1_000


class NotConnectedError(Exception):
    """No living instance holds the device; the message says why not."""


class ConnectedDevice(msgspec.Struct, frozen=True):
    """A device as the registry has it."""

    imei: str
    instance_id: str
    alive: bool
    """Whether that instance has a heartbeat."""
    since: str | None
    """ISO 8601, UTC."""
    pending_commands: int


class CommandClient:
    """Publishes commands and follows them. Raises redis-py's errors."""

    def __init__(self, redis_url: str, keys: Keys) -> None:
        self._redis = blocking_client(
            redis_url,
            decode_responses=True,
            encoding_errors="backslashreplace",
            protocol=2,
            socket_timeout=ANSWER_TIMEOUT_S,
            socket_connect_timeout=ANSWER_TIMEOUT_S,
            # what does not answer in time is not asked again
            retry=Retry(ExponentialWithJitterBackoff(base=0.1, cap=1), 3, (RedisConnectionError,)),
        )
        self._keys = keys

    def instance_of(self, imei: str) -> str:
        """The id of the instance that holds the device. Raises NotConnectedError."""
        instance_id = cast("str | None", self._redis.hget(self._keys.registry, imei))
        if instance_id is None:
            raise NotConnectedError(f"no instance has a connection of {imei}")
        if not self._redis.exists(self._keys.heartbeat(instance_id)):
            raise NotConnectedError(
                f"the instance {instance_id}, which had the connection of {imei}, is not alive"
            )
        return instance_id

    def send(
        self, instance_id: str, command: CommandEntry, wait_s: float
    ) -> Iterator[dict[str, str]]:
        """Publish a command and yield its statuses (fields of CONTRACT, section 1) as they come.

        Ends after the terminal one, or after ``wait_s`` seconds without it.
        """
        newest = cast("list[Any]", self._redis.xrevrange(self._keys.responses, count=1))
        after = newest[0][0] if newest else "0"
        self._redis.xadd(
            self._keys.outbound(instance_id), cast("dict[Any, Any]", as_fields(command))
        )
        until = time.monotonic() + wait_s
        while (left_s := until - time.monotonic()) > 0:
            block = max(1, int(min(left_s, 1.0) * 1000))
            reply = self._redis.xread({self._keys.responses: after}, block=block)
            for _, entries in cast("list[Any]", reply):
                for entry_id, status in entries:
                    after = entry_id
                    if status.get("command_id") == command.command_id:
                        yield status
                        if status["status"] in TERMINAL:
                            return

    def devices(self, told: Callable[[str], None]) -> Iterator[ConnectedDevice]:
        """Every device in the registry.

        ``told`` is called with a sentence for each key that cannot be read; what it would have
        said is left out.
        """
        is_since_told = False
        alive: dict[str, bool] = {}
        pending: dict[str, dict[str, int]] = {}
        cursor = -1
        while cursor:
            cursor, page = cast(
                "tuple[int, dict[str, str]]",
                self._redis.hscan(self._keys.registry, max(cursor, 0), count=PAGE),
            )
            if not page:
                continue
            try:
                since = cast("list[Any]", self._redis.hmget(self._keys.connected_since, list(page)))
            except ResponseError as error:
                if not is_since_told:
                    told(complaint_about(self._keys.connected_since, error))
                is_since_told, since = True, [None] * len(page)
            for (imei, instance_id), since_ms in zip(page.items(), since, strict=True):
                if instance_id not in alive:
                    alive[instance_id] = bool(self._redis.exists(self._keys.heartbeat(instance_id)))
                    try:
                        pending[instance_id] = self._pending(instance_id)
                    except ResponseError as error:
                        told(complaint_about(self._keys.outbound(instance_id), error))
                        pending[instance_id] = {}
                yield ConnectedDevice(
                    imei,
                    instance_id,
                    alive[instance_id],
                    _moment(since_ms),
                    pending[instance_id].get(imei, 0),
                )

    def _pending(self, instance_id: str) -> dict[str, int]:
        """Commands that have not ended, by IMEI: those that still stand on the stream."""
        counts: dict[str, int] = {}
        after = "-"
        while True:
            stream = self._keys.outbound(instance_id)
            page = cast("list[Any]", self._redis.xrange(stream, min=after, count=PAGE))
            for entry_id, fields in page:
                imei = fields.get("imei", "")
                counts[imei] = counts.get(imei, 0) + 1
                after = f"({entry_id}"
            if len(page) < PAGE:
                return counts


def _moment(epoch_ms: str | None) -> str | None:
    """None for what no instance has written."""
    if epoch_ms is None or not re.fullmatch("[0-9]{1,15}", epoch_ms):
        return None
    return format_timestamp(int(epoch_ms))
