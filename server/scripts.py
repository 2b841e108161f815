"""The Lua scripts of this package, each known to Redis by its digest."""

import hashlib
from importlib import resources

import msgspec


class Script(msgspec.Struct, frozen=True):
    """A script's file and source, and what Redis calls it once it is loaded."""

    name: str
    source: bytes
    sha: str

    @classmethod
    def read(cls, name: str) -> "Script":
        source = resources.files("teltonika.server").joinpath(name).read_bytes()
        return cls(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest())


STORE_PACKET = Script.read("store_packet.lua")
"""Keys: the stream, the dedupe hash. Arguments: maxlen (0: never trim), device id, codec, digests,
how many digests to keep behind them, connection (empty for a datagram), then ts and payload of each
record, then the packet's number and that of the unconfirmed one before it. Answers how many records
were new; -1 if the device has a newer connection; -2 if the packet before it is not stored."""

OPEN_CONNECTION = Script.read("open_connection.lua")
"""Keys: the dedupe hash. Arguments: device id, connection."""

COMMAND_STEP = Script.read("command_step.lua")
"""Keys: the responses stream, the command's hash. Arguments: step, entry, owner, maxlen,
then the fields of a status entry. What it answers depends on the step."""

UPDATE_REGISTRY = Script.read("update_registry.lua")
"""Keys: registry, connected since, runs. Arguments: instance id, run id, then operation (``set``,
``restore`` or ``remove``), IMEI and epoch ms of each change. Answers 0 if it is another
run's id."""

EVICT = Script.read("evict.lua")
"""Keys: registry, connected since, runs. Arguments: instance id, the run that is dead, whether it
is to be forgotten (1), then IMEIs. Answers how many entries it removed."""

BEAT = Script.read("beat.lua")
"""Keys: the heartbeat. Arguments: run id, JSON, seconds. Answers 0 if another run has the id."""

END_HEARTBEAT = Script.read("end_heartbeat.lua")
"""Keys: the heartbeat. Arguments: run id."""

FORGET_DEVICES = Script.read("forget_devices.lua")
"""Keys: the dedupe hash. Arguments: the first day to keep, then IMEIs. Answers how many went."""

DELETE_IF_EMPTY = Script.read("delete_if_empty.lua")
"""Keys: a stream. Answers 1 if it was empty, and is gone."""

TRIM_OLDEST = Script.read("trim_oldest.lua")
"""Keys: a stream. Arguments: the bytes that its entries may take; those to which they are brought
if they take more; the bytes that a pending entry takes at most. Answers the bytes they take, how
many went, the bytes that freed; how many entries the group with the most has pending, its name, and
the bytes that all pending entries take at most."""

SCRIPTS = (
    COMMAND_STEP,
    UPDATE_REGISTRY,
    EVICT,
    BEAT,
    END_HEARTBEAT,
    FORGET_DEVICES,
    DELETE_IF_EMPTY,
)
"""What `RedisWriter` runs; `Publisher` and `StorageWatch` load their own."""
