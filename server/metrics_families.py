"""The metrics: each with its name, what it means and where it is read.

Nothing is kept here: what grows is counted in `Counters` anyway, what rises and falls is asked for
when somebody looks. Labels have few values, all known beforehand or bounded by a setting: no IMEI
and no address is one.
"""

from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from teltonika.codecs import AVL_CODECS, MESSAGE_CODECS
from teltonika.server.command_queue import Reason
from teltonika.server.counters import Counters, Shortage, Unconfirmed
from teltonika.server.histogram import Histogram

PREFIX = "teltonika_"
LOG_LINES_DROPPED = "log_lines_dropped_total"
"""The family that a supervisor of workers has a value of its own in."""


class Build(msgspec.Struct, frozen=True):
    """What runs, and as whom."""

    version: str
    python: str
    instance_id: str
    durability: str


class Queue(StrEnum):
    """Where something waits."""

    PUBLISHER = "publisher"
    IN_FLIGHT = "in_flight"
    DATAGRAMS = "datagrams"
    COMMANDS = "commands"
    REGISTRY = "registry"
    REDIS_WRITER = "redis_writer"


class Vitals(msgspec.Struct, frozen=True):
    """What rises and falls, as it is at one moment."""

    connections: int
    """Open ones."""
    registry_entries: int
    unconfirmed_bytes: int
    oldest_unconfirmed_s: float
    """For how long the oldest of what is unconfirmed has waited; 0 if nothing is."""
    queues: Mapping[Queue, int]
    shortages: Collection[Shortage]
    is_draining: bool


class Seen(msgspec.Struct, frozen=True):
    """All that the metrics are read from."""

    counters: Counters
    vitals: Vitals
    build: Build


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


Labels = tuple[str, ...]
"""A series' label values, in the order of its family's labels."""
Series = Mapping[Labels, float]


SourceT = TypeVar("SourceT")


class Family(msgspec.Struct, Generic[SourceT], frozen=True):
    """One metric and its labels, and how it is read from what there is to see."""

    name: str
    """Without the prefix."""
    kind: Kind
    meaning: str
    read: Callable[[SourceT], Series | Histogram]
    labels: Labels = ()

    @property
    def full_name(self) -> str:
        return PREFIX + self.name


def _counter(name: str, meaning: str, read: Callable[[Counters], float]) -> Family[Seen]:
    return Family(name, Kind.COUNTER, meaning, lambda seen: {(): read(seen.counters)})


def _counters(
    name: str, meaning: str, labels: Labels, read: Callable[[Counters], Series]
) -> Family[Seen]:
    return Family(name, Kind.COUNTER, meaning, lambda seen: read(seen.counters), labels)


def _gauge(name: str, meaning: str, read: Callable[[Vitals], float]) -> Family[Seen]:
    return Family(name, Kind.GAUGE, meaning, lambda seen: {(): read(seen.vitals)})


def _histogram(name: str, meaning: str, read: Callable[[Counters], Histogram]) -> Family[Seen]:
    return Family(name, Kind.HISTOGRAM, meaning, lambda seen: read(seen.counters))


def _handshakes(counters: Counters) -> Series:
    accepted, rejected = counters.handshakes_accepted, counters.handshakes_rejected
    unknown = counters.handshakes_accepted_unknown, counters.handshakes_rejected_unknown
    return {
        ("accepted", "true"): accepted - unknown[0],
        ("accepted", "false"): unknown[0],
        ("rejected", "true"): rejected - unknown[1],
        ("rejected", "false"): unknown[1],
    }


def _frames(counters: Counters) -> Series:
    packets: Series = {(c.name,): counters.packets[c.codec_id] for c in AVL_CODECS}
    messages: Series = {(c.name,): counters.messages[c.codec_id] for c in MESSAGE_CODECS}
    return {**packets, **messages}


def _commands(counters: Counters) -> Series:
    failed: Series = {("failed", str(r)): counters.commands_failed[r] for r in Reason}
    return {("responded", ""): counters.commands_responded, **failed}


def _datagrams(counters: Counters) -> Series:
    return {
        ("taken",): counters.datagrams,
        ("broken",): counters.datagrams_broken,
        ("refused",): counters.datagrams_refused,
        ("repeated",): counters.datagrams_repeated,
        ("dropped",): counters.datagrams_dropped,
    }


def _limits(counters: Counters) -> Series:
    """Each is named as its option is; open files are the system's to limit, maxmemory Redis'."""
    return {
        ("max_connections",): counters.refused_by_max_connections,
        ("max_per_address",): counters.refused_by_max_connections_per_address,
        ("max_handshakes",): counters.waited_for_max_handshakes,
        ("open_files",): counters.descriptor_shortages,
        ("handshake_timeout",): counters.handshake_timeouts,
        ("idle_timeout",): counters.idle_timeouts,
        ("max_packet_size",): counters.packets_too_large,
        ("max_unconfirmed_bytes",): (
            counters.backpressure_pauses[Unconfirmed.ALL] + counters.unfinished_closes
        ),
        ("max_device_bytes",): counters.backpressure_pauses[Unconfirmed.DEVICE],
        ("max_device_rate",): counters.device_rate_pauses,
        ("max_empty_frames",): counters.empty_frame_floods,
        ("stream_max_bytes",): counters.stream_byte_trims,
        ("maxmemory",): counters.storage_shortages[Shortage.MEMORY],
        ("min_free_disk",): counters.storage_shortages[Shortage.DISK],
        ("log_lines_per_peer",): counters.log_lines_left_out,
        ("command_queue_size",): counters.commands_failed[Reason.QUEUE_FULL],
    }


FAMILIES: tuple[Family[Seen], ...] = (
    Family(
        "build_info",
        Kind.GAUGE,
        "Always 1; what runs, and as whom.",
        lambda seen: {msgspec.structs.astuple(seen.build): 1},
        Build.__struct_fields__,
    ),
    # connections
    _gauge("connections_open", "Open TCP connections.", lambda vitals: vitals.connections),
    _counter("connections_total", "TCP connections of devices.", lambda c: c.connections),
    _counter(
        "strangers_total", "TCP connections that ended without an IMEI.", lambda c: c.strangers
    ),
    _counters(
        "handshakes_total",
        "IMEIs that devices said, by result, and whether the device is known: not on an allow-list "
        "is unknown, without a list all are known.",
        ("result", "known"),
        _handshakes,
    ),
    _counter(
        "takeovers_total",
        "Connections that a newer one of the same device ended here.",
        lambda c: c.takeovers,
    ),
    _counter(
        "superseded_connections_total",
        "Connections on which packets came after the device had a newer one to another instance.",
        lambda c: c.superseded_connections,
    ),
    _counter(
        "allow_list_evictions_total",
        "Connections closed because their device was taken off the allow-list.",
        lambda c: c.allow_list_evictions,
    ),
    _counter("tls_failures_total", "TLS handshakes that failed.", lambda c: c.tls_failures),
    _counter(
        "proxy_header_failures_total",
        "Connections without a proper PROXY header.",
        lambda c: c.proxy_header_failures,
    ),
    _gauge(
        "registry_entries",
        "Devices that this instance has in the registry of connections.",
        lambda vitals: vitals.registry_entries,
    ),
    # what devices send
    _counter(
        "received_bytes_total",
        "Bytes from devices, by TCP and UDP, without TLS.",
        lambda c: c.bytes_received,
    ),
    _counter("sent_bytes_total", "Bytes to devices, likewise.", lambda c: c.bytes_sent),
    _counters("frames_total", "Whole, checked frames from devices, by codec.", ("codec",), _frames),
    _counters(
        "records_total",
        "AVL records in them, by codec.",
        ("codec",),
        lambda c: {(codec.name,): c.records[codec.codec_id] for codec in AVL_CODECS},
    ),
    _counter(
        "records_stored_total",
        "Records that were new, and that Redis confirmed.",
        lambda c: c.records_stored,
    ),
    _counter(
        "duplicate_records_total",
        "Records that a device sent again: acknowledged, and not stored again.",
        lambda c: c.records_known,
    ),
    _counters("datagrams_total", "Datagrams, by what became of them.", ("result",), _datagrams),
    _counter(
        "unanswered_datagrams_total",
        "Answers to datagrams that could not be sent.",
        lambda c: c.datagrams_unanswered,
    ),
    _counter("crc_failures_total", "Packets with a wrong CRC.", lambda c: c.crc_failures),
    _counter(
        "unknown_codecs_total",
        "Connections closed for a codec id that is none.",
        lambda c: c.unknown_codecs,
    ),
    _counter(
        "protocol_violations_total",
        "Connections closed for other bytes that are no packet.",
        lambda c: c.violations,
    ),
    _counter(
        "skipped_frames_total",
        "Frames of message codecs whose inside is broken.",
        lambda c: c.frames_skipped,
    ),
    _counter(
        "repeated_io_ids_total",
        "Values that a later value of the same IO id replaced in a record.",
        lambda c: c.repeated_io_ids,
    ),
    # the way to Redis and back
    _histogram(
        "ack_latency_seconds",
        "From reading a packet to writing its ACK; of datagrams to the answer.",
        lambda c: c.ack_latency_s,
    ),
    _histogram(
        "redis_round_trip_seconds",
        "From sending a batch to the confirmation of its last packet.",
        lambda c: c.redis_round_trip_s,
    ),
    _histogram(
        "batch_packets",
        "Packets, and connections to be opened, in a batch to Redis.",
        lambda c: c.batch_packets,
    ),
    _gauge(
        "unconfirmed_bytes",
        "Memory of what was read and is not confirmed by Redis.",
        lambda vitals: vitals.unconfirmed_bytes,
    ),
    _gauge(
        "oldest_unconfirmed_seconds",
        "For how long the oldest of that has waited; 0 if nothing does.",
        lambda vitals: vitals.oldest_unconfirmed_s,
    ),
    _counters(
        "backpressure_pauses_total",
        "How often sockets were not read for too much unconfirmed: of one device, or of all.",
        ("scope",),
        lambda c: {(str(scope),): c.backpressure_pauses[scope] for scope in Unconfirmed},
    ),
    Family(
        "storage_full",
        Kind.GAUGE,
        "1 while nothing is stored or acknowledged because too little is left: of Redis' memory, "
        "or of the embedded Valkey's disk.",
        lambda seen: {(str(one),): one in seen.vitals.shortages for one in Shortage},
        ("of",),
    ),
    _counter(
        "redis_failures_total",
        "How often the connection that records go through failed.",
        lambda c: c.redis_failures,
    ),
    Family(
        "queue_depth",
        Kind.GAUGE,
        "What waits: packets for Redis (publisher), those on their way (in_flight), datagrams for "
        "their confirmation, commands for their ending, changes of the registry, other writes to "
        "Redis.",
        lambda seen: {(str(queue),): depth for queue, depth in seen.vitals.queues.items()},
        ("queue",),
    ),
    # commands
    _counter(
        "commands_received_total",
        "Commands taken from the stream for the first time.",
        lambda c: c.commands_received,
    ),
    _counter(
        "commands_delivered_total",
        "Commands handed to the device's socket.",
        lambda c: c.commands_delivered,
    ),
    _counters(
        "commands_total",
        "Commands that ended, by final status, and the reason of those that failed.",
        ("status", "reason"),
        _commands,
    ),
    _counter(
        "duplicate_commands_total",
        "Entries whose command id was known: dropped.",
        lambda c: c.commands_duplicate,
    ),
    _histogram(
        "command_latency_seconds",
        "From writing a command to its device to the answer.",
        lambda c: c.command_latency_s,
    ),
    _counter("late_answers_total", "Answers after their time-out.", lambda c: c.late_answers),
    _counter(
        "unsolicited_messages_total",
        "Texts that devices sent unasked.",
        lambda c: c.unsolicited_messages,
    ),
    # the instance, and others that died
    _counter(
        "janitor_evictions_total",
        "Registry entries of dead instances that this one removed.",
        lambda c: c.janitor_evictions,
    ),
    _counter(
        "janitor_commands_ended_total",
        "Commands of dead instances that this one ended, as instance_lost.",
        lambda c: c.janitor_commands_ended,
    ),
    _counters("limit_hits_total", "How often a limit bit, by its option.", ("limit",), _limits),
    _counter(
        LOG_LINES_DROPPED,
        "Log lines that could not be written: standard error is full, broken or not read.",
        lambda c: c.log_lines_dropped,
    ),
    _gauge("draining", "1 while the server stops.", lambda vitals: vitals.is_draining),
    _histogram(
        "event_loop_lag_seconds",
        "By how much the event loop came late to what was due, twice a second.",
        lambda c: c.event_loop_lag_s,
    ),
)
