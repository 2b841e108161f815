"""Commands that must outlive a failover, from somebody who knows which of them must."""

import threading
import time
from typing import cast

from commander import Commander
from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry
from serving import RESPONSES
from witness import WitnessedFleet

from teltonika.server.client import TERMINAL, CommandClient, NotConnectedError
from teltonika.server.clients import Client, blocking_client
from teltonika.server.command import CommandEntry
from teltonika.server.entry_fields import as_fields
from teltonika.server.keys import Keys

KEYS = Keys()
AWAY = (RedisError, RedisClusterException)
REPLICAS_WAIT_MS = 1_000
ENDING_S = 150.0
"""After the last command: longer than Redis is waited for, than a command's time-out, and than it
takes until those that were not ended are looked for again."""


class LastingCommander(Commander):
    """Sends each command once, and does not wait for its end before the next one.

    What so many replicas have must end, whatever fails over. Of all else only the publisher knows
    that it may be lost, so it is not sent again: it may be done, too.
    """

    def __init__(self, redis_url: str, fleet: WitnessedFleet, replicas: int) -> None:
        super().__init__(redis_url, fleet)
        self._replicas = replicas
        self._outboxes = threading.local()

    def stop(self) -> None:
        super().stop()
        owed = self._texts.keys() - self._unsure
        after, end = "0", time.monotonic() + ENDING_S
        with blocking_client(self._url, decode_responses=True) as client:
            while owed and time.monotonic() < end:
                reply = client.xread({RESPONSES: after}, block=1_000)
                for _, entries in cast("list[Pages]", reply):
                    for after, status in entries:  # noqa: B007
                        if status["status"] in TERMINAL:
                            owed.discard(status["command_id"])

    def _is_settled(self, client: CommandClient, imei: str, text: str, command_id: str) -> bool:
        """A device that nobody has is told nothing: others are."""
        try:
            instance = client.instance_of(imei)
        except (NotConnectedError, *AWAY):
            return True
        self._texts[command_id] = text
        self._unsure.add(command_id)
        command = CommandEntry(command_id=command_id, imei=imei, payload=text)
        try:
            if self._is_kept(KEYS.outbound(instance), as_fields(command)):
                self._unsure.discard(command_id)
        except AWAY:
            vars(self._outboxes).clear()  # the next client finds out who is a primary now
        return True

    def _is_kept(self, stream: str, fields: dict[str, str]) -> bool:
        """Whether replicas have it: they are asked for on the connection that wrote it."""
        if not hasattr(self._outboxes, "client"):
            once = Retry(NoBackoff(), 0)
            self._outboxes.client = blocking_client(self._url, retry=once)
        with _server_of(self._outboxes.client, stream).pipeline(transaction=False) as pipeline:
            pipeline.xadd(stream, fields)  # type: ignore[arg-type]
            pipeline.execute_command("WAIT", self._replicas, REPLICAS_WAIT_MS)
            _, replicas = pipeline.execute()
        return int(replicas) >= self._replicas


Pages = tuple[str, list[tuple[str, dict[str, str]]]]


def _server_of(client: Client, key: str) -> Redis:
    if isinstance(client, RedisCluster):
        return client.get_redis_connection(client.get_node_from_key(key))
    return client
