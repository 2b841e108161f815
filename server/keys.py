"""The names of everything the server keeps in Redis: CONTRACT, section 1."""

import msgspec

from teltonika.codecs.crc import crc16_ibm
from teltonika.server.errors import WrongShardsError

TELEMETRY_STREAM = "telemetry:teltonika"
MAX_SHARDS = 1_024


class ShardKeys(msgspec.Struct, frozen=True):
    """One shard of the telemetry: a stream, and what stands in its slot with it."""

    telemetry: str
    """Stream: an entry for each AVL record."""

    @property
    def dedupe(self) -> str:
        """Hash: IMEI to the digests of its last records."""
        return f"{_tagged(self.telemetry)}:dedupe"

    @property
    def dedupe_swept(self) -> str:
        """String: the day on which devices not seen for long were forgotten last."""
        return f"{self.dedupe}:swept"


class Keys(msgspec.Struct, frozen=True):
    """All names, each behind ``prefix``.

    What one script touches carries one hash tag, so that it stands in one slot of a Redis Cluster.
    A prefix that has a tag itself, such as ``{fleet}:``, puts all of them into one slot.
    """

    prefix: str = ""
    telemetry_stream: str = TELEMETRY_STREAM
    stream_shards: int = 1

    @property
    def shards(self) -> "tuple[ShardKeys, ...]":
        """Where telemetry is: each device's in one shard, see `shard_of`."""
        if self.stream_shards == 1:
            return (ShardKeys(self._telemetry),)
        return tuple(ShardKeys(f"{self._telemetry}:{{{k}}}") for k in range(self.stream_shards))

    def with_shards(self, number: int) -> "Keys":
        """The same with so many of them."""
        return msgspec.structs.replace(self, stream_shards=number)

    def with_recorded_shards(self, recorded: bytes | None) -> "Keys":
        """The same with as many as ``shards_recorded`` holds; None: nobody has recorded any.

        Raises WrongShardsError for what is no number of shards: so many streams would be read.
        """
        if recorded is None:
            return self.with_shards(1)
        is_short = recorded.isdigit() and len(recorded) <= len(str(MAX_SHARDS))
        if not is_short or not 1 <= int(recorded) <= MAX_SHARDS:
            raise WrongShardsError(
                f"{self.shards_recorded}: expected a number of shards, 1 to {MAX_SHARDS}, found "
                f"{recorded[:20]!r}: nobody but a server may write there"
            )
        return self.with_shards(int(recorded))

    def shard_of(self, imei: str) -> int:
        """The place in `shards` of a device."""
        return crc16_ibm(imei.encode()) % self.stream_shards if self.stream_shards > 1 else 0

    @property
    def shards_recorded(self) -> str:
        """String: how many shards the telemetry on this Redis is in."""
        return f"{self._telemetry}:shards"

    @property
    def messages(self) -> str:
        """Stream: text that devices send and no command waits for."""
        return f"{self._telemetry}:messages"

    @property
    def _telemetry(self) -> str:
        return f"{self.prefix}{self.telemetry_stream}"

    @property
    def allowed(self) -> str:
        """Set: the IMEIs of known devices."""
        return f"{self.prefix}devices:allowed"

    @property
    def allowed_changed(self) -> str:
        """Channel: any message on it says that ``allowed`` has changed."""
        return f"{self.allowed}:changed"

    @property
    def traced(self) -> str:
        """Set: the IMEIs of devices whose frames are logged."""
        return f"{self.prefix}devices:traced"

    def traced_frames(self, imei: str) -> str:
        """Channel: those frames as they pass, each as JSON."""
        return f"{self.traced}:frames:{imei}"

    @property
    def registry(self) -> str:
        """Hash: IMEI to the id of the instance that holds its connection."""
        return f"{self.prefix}connections:registry"

    @property
    def connected_since(self) -> str:
        """Hash: IMEI to epoch milliseconds; has the fields that ``registry`` has."""
        return f"{_tagged(self.registry)}:since"

    @property
    def runs(self) -> str:
        """Hash: instance id to the run id of the process that has it, or had it last."""
        return f"{_tagged(self.registry)}:runs"

    def heartbeat(self, instance_id: str) -> str:
        """String, JSON, expires: the instance is alive."""
        return f"{self.prefix}instance:heartbeat:{instance_id}"

    def outbound(self, instance_id: str) -> str:
        """Stream: commands for devices that the instance holds."""
        return f"{self.prefix}commands:outbound:{instance_id}"

    @property
    def responses(self) -> str:
        """Stream: what became of commands."""
        return f"{self.prefix}commands:responses"

    def command(self, command_id: str) -> str:
        """Hash, expires: how far a command has come."""
        return f"{_tagged(self.responses)}:command:{command_id}"

    def together(self, instance_id: str) -> tuple[tuple[str, ...], ...]:
        """All keys that an instance can't do without; those in one tuple are used in one call."""
        return (
            *((shard.telemetry, shard.dedupe) for shard in self.shards),
            (self.shards_recorded,),
            (self.messages,),
            (self.allowed,),
            (self.registry, self.connected_since, self.runs),
            (self.heartbeat(instance_id),),
            (self.outbound(instance_id),),
            (self.responses, self.command("")),
        )


def turn_of(key: str) -> str:
    """String, expires: an instance measures ``key``, or has just done so."""
    return f"{_tagged(key)}:turn"


def _tagged(name: str) -> str:
    """What a key begins with that is to stand in the slot of the key ``name``."""
    _, brace, rest = name.partition("{")
    tag, closing, _ = rest.partition("}")
    return name if brace and tag and closing else f"{{{name}}}"
