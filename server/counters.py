"""What the server counts while it runs: told in its metrics, and in the last line of its log."""

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from teltonika.codecs import AVL_CODECS, CODECS, MESSAGE_CODECS, AvlCodec, CommandCodec
from teltonika.server.command_queue import Reason
from teltonika.server.histogram import Histogram

LATENCIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
COMMAND_LATENCIES_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


def _latencies() -> Histogram:
    return Histogram(LATENCIES_S)


class Unconfirmed(StrEnum):
    """Whose unconfirmed bytes were too many."""

    DEVICE = "device"
    ALL = "all"


class Shortage(StrEnum):
    """What there is too little of to store anything."""

    MEMORY = "memory"
    DISK = "disk"


class Counters(msgspec.Struct):
    """All start at zero and only grow."""

    connections: int = 0
    refused_by_max_connections: int = 0
    refused_by_max_connections_per_address: int = 0
    strangers: int = 0
    """Connections that ended without an IMEI."""
    waited_for_max_handshakes: int = 0
    descriptor_shortages: int = 0
    """How often nobody could be accepted for want of file descriptors or socket buffers."""
    proxy_header_failures: int = 0
    tls_failures: int = 0
    handshakes_accepted: int = 0
    handshakes_rejected: int = 0
    handshakes_accepted_unknown: int = 0
    """Those of them whose devices are not on the allow-list."""
    handshakes_rejected_unknown: int = 0
    """Likewise."""
    allow_list_evictions: int = 0
    """Connections that were closed because their device was taken off the list."""
    takeovers: int = 0
    superseded_connections: int = 0
    """Connections on which packets came after the device had a newer one, to another instance."""
    datagrams: int = 0
    """Whole, decoded ones of devices that may send."""
    datagrams_broken: int = 0
    datagrams_refused: int = 0
    """Of devices that may not send: the allow-list, or the check digit."""
    datagrams_repeated: int = 0
    """Sent again while the same one waited for its confirmation, which answers both."""
    datagrams_dropped: int = 0
    """For want of room, or because Redis did not confirm them in time: devices send them again."""
    datagrams_unanswered: int = 0
    """Answers that could not be sent."""
    bytes_received: int = 0
    """From devices, by TCP and UDP."""
    bytes_sent: int = 0
    packets: dict[int, int] = msgspec.field(default_factory=lambda: _none_by_codec(AVL_CODECS))
    """Whole, checked, decoded AVL packets, by codec id."""
    messages: dict[int, int] = msgspec.field(default_factory=lambda: _none_by_codec(MESSAGE_CODECS))
    """The same of the codecs of commands and texts."""
    records: dict[int, int] = msgspec.field(default_factory=lambda: _none_by_codec(AVL_CODECS))
    """By codec id."""
    records_stored: int = 0
    """Records that were new, and that Redis confirmed."""
    records_known: int = 0
    """Records that a device sent again, and that were acknowledged without being stored again."""
    crc_failures: int = 0
    unknown_codecs: int = 0
    frames_skipped: int = 0
    """Frames of message codecs whose inside is broken."""
    violations: int = 0
    packets_too_large: int = 0
    """Those of the violations, and of the broken datagrams, that were over the limit."""
    repeated_io_ids: int = 0
    """Values that a later value of the same IO id replaced in ``attributes``."""
    handshake_timeouts: int = 0
    idle_timeouts: int = 0
    backpressure_pauses: Counter[Unconfirmed] = msgspec.field(default_factory=Counter)
    unfinished_closes: int = 0
    """Connections that were closed because large packets that were not all there had too much
    memory together."""
    device_rate_pauses: int = 0
    """How often a device was read more slowly because it sent too fast, or was not heard by UDP."""
    empty_frame_floods: int = 0
    """Connections that were closed, and sources of datagrams that were not heard for a while, for
    too many frames that bring nothing."""
    log_lines_left_out: int = 0
    """Lines that peers caused beyond what each may in a minute."""
    log_lines_dropped: int = 0
    """Lines of the process's log that could not be written, as of when somebody looked last."""
    storage_shortages: Counter[Shortage] = msgspec.field(default_factory=Counter)
    """How often memory or disk became too little to store anything, by which."""
    stream_byte_trims: int = 0
    """How often a stream was trimmed because it had too many bytes."""
    redis_failures: int = 0
    commands_received: int = 0
    """Commands that were taken from the stream for the first time."""
    commands_delivered: int = 0
    commands_responded: int = 0
    commands_failed: Counter[Reason] = msgspec.field(default_factory=Counter)
    commands_duplicate: int = 0
    """Entries whose command id was known."""
    late_answers: int = 0
    unsolicited_messages: int = 0
    janitor_evictions: int = 0
    """Registry entries of dead instances, removed by this one."""
    janitor_commands_ended: int = 0
    ack_latency_s: Histogram = msgspec.field(default_factory=_latencies)
    """From reading a packet to writing its ACK, or a datagram and its answer."""
    redis_round_trip_s: Histogram = msgspec.field(default_factory=_latencies)
    """From sending a batch to the confirmation of its last packet."""
    batch_packets: Histogram = msgspec.field(default_factory=lambda: Histogram(BATCH_SIZES))
    """Packets, and connections to be opened, in a batch to Redis."""
    command_latency_s: Histogram = msgspec.field(
        default_factory=lambda: Histogram(COMMAND_LATENCIES_S)
    )
    """From writing a command to its device to the answer."""
    event_loop_lag_s: Histogram = msgspec.field(default_factory=_latencies)
    """By how much the event loop came late to what was due; watched with metrics only."""

    def as_fields(self) -> Iterator[tuple[str, int]]:
        """For a log line: each count; of what is counted by kind the sum, then each kind."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, dict):
                yield name, sum(value.values())
                for kind, count in sorted(value.items()):
                    if count:
                        yield f"{name}_{_name_of(kind)}", count
            elif not isinstance(value, Histogram):
                yield name, value


def _name_of(kind: str | int) -> str:
    """Of a codec, by its id, or of any other kind."""
    return kind if isinstance(kind, str) else CODECS.by_id(kind).name


def _none_by_codec(codecs: Iterable[AvlCodec | CommandCodec]) -> dict[int, int]:
    """Each has its place from the start: with a `Counter` a packet would pay four times as much."""
    return {codec.codec_id: 0 for codec in codecs}
