"""What supervisor and worker say to each other."""

from enum import StrEnum
from pathlib import Path

import msgspec

from teltonika.server.config import ServerSettings
from teltonika.server.histogram import Histogram
from teltonika.server.logs import LogFormat, LogLevel
from teltonika.server.metrics_families import Labels


class Question(StrEnum):
    """What a worker is asked when somebody looks at the supervisor's port."""

    METRICS = "metrics"
    HEALTH = "health"
    READINESS = "readiness"


# -- to a worker -------------------------------------------------------------------------------


class Setup(msgspec.Struct, frozen=True, tag=True):
    """The first that a worker is told. By a socket: a URL may have a password."""

    number: int
    """From 1."""
    settings: ServerSettings
    log_format: LogFormat
    log_level: LogLevel


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Drain, and end."""


class Reload(msgspec.Struct, frozen=True, tag=True):
    """Read the certificates again."""


class Ask(msgspec.Struct, frozen=True, tag=True):
    question: Question


ToWorker = Setup | Stop | Reload | Ask


# -- from a worker -----------------------------------------------------------------------------


class Accepts(msgspec.Struct, frozen=True, tag=True):
    """Devices can connect."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It ends, and why: a sentence for the operator."""

    error: str
    superseded: bool
    """Another process has its instance id."""


class Reading(msgspec.Struct, frozen=True):
    """One metric as a worker has it."""

    family: str
    found: Histogram | tuple[tuple[Labels, float], ...]


class Answer(msgspec.Struct, frozen=True, tag=True):
    question: Question
    readings: tuple[Reading, ...] = ()
    complaints: tuple[str, ...] = ()
    """About its health or readiness: none if nothing is wrong."""


FromWorker = Accepts | Failed | Answer


def encode(message: ToWorker | FromWorker) -> bytes:
    return _ENCODER.encode(message)


def decode_to_worker(data: bytes) -> ToWorker:
    """Raises msgspec.DecodeError."""
    return _TO_WORKER.decode(data)


def decode_from_worker(data: bytes) -> FromWorker:
    """Raises msgspec.DecodeError."""
    return _FROM_WORKER.decode(data)


def _plain(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError


def _special(kind: type, value: object) -> Path:
    if issubclass(kind, Path) and isinstance(value, str):
        return Path(value)
    raise NotImplementedError


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)
_TO_WORKER: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker, dec_hook=_special)
_FROM_WORKER: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
