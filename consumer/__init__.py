"""The other end of the telemetry stream: records, batch by batch, for a group of consumers."""

from teltonika.consumer.batch import Batch
from teltonika.consumer.consumer import Begin, TelemetryConsumer
from teltonika.consumer.record import Record, RejectedEntry
from teltonika.server.errors import RedisUnavailableError

__all__ = [
    "Batch",
    "Begin",
    "Record",
    "RedisUnavailableError",
    "RejectedEntry",
    "TelemetryConsumer",
]
