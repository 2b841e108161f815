"""One device's TCP connection: bytes in to the publisher, acknowledgements out."""

import asyncio
import logging
import os
from collections.abc import Callable
from enum import IntFlag
from functools import partial
from typing import TYPE_CHECKING, cast

from teltonika.codecs import (
    AvlPacket,
    AvlPacketReceived,
    CommandMessage,
    CommandResponseReceived,
    ConnectionState,
    CrcFailed,
    DecodeFailure,
    ErrorCode,
    FrameSkipped,
    ImeiReceived,
    PingReceived,
    ProtocolViolation,
    ServerConnection,
    ServerEvent,
)
from teltonika.server.addresses import Peer
from teltonika.server.allowance import Allowance
from teltonika.server.counters import Unconfirmed
from teltonika.server.publisher import Publisher
from teltonika.server.trace import SessionTrace
from teltonika.server.turns import TURN_EVENTS

if TYPE_CHECKING:
    from teltonika.server.listener import Listener


class Pause(IntFlag):
    """Why a session's socket is not read. Each reason is taken back on its own."""

    OWN_BYTES = 1
    """This device has too much unconfirmed."""
    ALL_BYTES = 2
    """All devices of its shard together have."""
    PEER_READS_NOT = 4
    """The device does not read its acknowledgements."""
    ENDING = 8
    """Nothing more is wanted: what was read is being stored, then the connection closes."""
    TURN = 16
    """More was read than one turn allows: what is left waits for its next one."""
    RATE = 32
    """The device sends faster than any device can."""
    FLOOD = 64
    """It has sent too much that brings nothing, and is closed in a moment."""


TURN_BYTES = 16_384
"""What one connection may have worked off in one turn of the event loop; as many frames as `Turns`
allows."""
SMALL_PACKET_BYTES = 2_048
"""Unfinished packets of this size are not counted: documented ones have 1,280 bytes at most."""
ALWAYS_BYTES = 16_384
"""So much of one device may always be unconfirmed, however much there is of all."""
MAX_UNREAD_BYTES = 64
"""Of ACKs and commands that the kernel does not take, because the device does not read them."""
SHORTEST_SLOWDOWN_S = 0.05
FLOOD_PAUSE_S = 5.0
"""For so long a connection that floods is not read before it is closed: it would come again."""

_STOPS_WORK = Pause.OWN_BYTES | Pause.ALL_BYTES | Pause.PEER_READS_NOT
"""Reasons not to work off what was read already, either."""
_OURS = Pause.ALL_BYTES | Pause.TURN | Pause.RATE
"""Reasons for a device's silence that are the server's."""


class Session(asyncio.Protocol):
    """The I/O around one `ServerConnection`: no task, no reader, one object a connection."""

    __slots__ = (
        "_awaited",
        "_bytes_allowed",
        "_connection",
        "_device_closed",
        "_empty_allowed",
        "_end_is_logged",
        "_heard",
        "_held",
        "_listener",
        "_luhn_valid",
        "_more_is_read",
        "_pauses",
        "_timer",
        "_transport",
        "_unconfirmed_bytes",
        "_unfinished_bytes",
        "_waits_for_turn",
        "_was_slowed_down",
        "connection",
        "ended",
        "imei",
        "last_activity",
        "peer",
        "publisher",
        "records",
        "trace",
    )

    def __init__(self, listener: "Listener", peer: Peer) -> None:
        self._listener = listener
        self.peer = peer
        self._connection = ServerConnection(max_packet_size=listener.settings.max_packet_size)
        self._transport: asyncio.Transport | None = None
        self._pauses = Pause(0)
        self._unconfirmed_bytes = 0
        self._awaited = 0  # confirmations of Redis: of this connection itself, and of packets
        self._end_is_logged = False
        self._heard = False
        self._held = b""  # was read, and is not worked off
        self._more_is_read = False  # and the connection has it
        self._unfinished_bytes = 0  # of a large packet that is not all there
        self._waits_for_turn = False
        self._device_closed = False
        self._empty_allowed: Allowance | None = None
        self._bytes_allowed: Allowance | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._was_slowed_down = False
        self._luhn_valid = False
        self.ended = False
        """The socket is closed: a confirmation can't be passed on any more."""
        self.imei: str | None = None
        self.connection = b""
        """Eight bytes that no other connection has, once the IMEI came."""
        self.publisher: Publisher | None = None
        """Where the device's packets go, once the IMEI came."""
        self.last_activity = 0.0
        """When bytes came last, on the loop's clock; until the IMEI came: when it connected."""
        self.records = 0
        """AVL records received."""
        self.trace: SessionTrace | None = None
        """Where every frame is told to, while the device is traced."""

    # -- asyncio calls these ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.last_activity = self._listener.now()
        self._listener.session_opened(self)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        listener = self._listener
        listener.counters.bytes_received += len(data)
        if self.imei is not None:  # the handshake's time limit is for the whole of it
            self.last_activity = now = listener.now()
            if self._bytes_allowed is not None and (
                seconds := self._bytes_allowed.use(len(data), now)
            ):
                self._slow_down(seconds)
        if self._has_held or self._is_paused(_STOPS_WORK):
            self._held += data  # it was read before the pause took hold
            self._hold_rest()
        elif self._unfinished_bytes + len(data) > TURN_BYTES:
            # A large packet takes up to 30 ms; those of many may be finished at the same moment.
            self._held = data
            self._hold_rest()
        else:
            self._work_off(data, listener.turns.most_events)

    def take_turn(self) -> None:
        """Go on with what was read before, if that is not to wait again."""
        self._waits_for_turn = False
        if self.ended or self._is_paused(_STOPS_WORK):
            return
        held, self._held = self._held, b""
        try:
            self._work_off(held, TURN_EVENTS)
        except Exception:
            self.abort("an error of the server's")
            raise
        if not self._has_held:
            if self._device_closed:
                self._closed_by_device()
            self._close_if_done()

    def eof_received(self) -> bool:
        self._device_closed = True
        if not self._has_held:
            self._closed_by_device()
        # keep our half open: acknowledgements may still be due; TLS knows no half
        return self._transport is None or self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._held, self._more_is_read = b"", False
        self._listener.unfinished_bytes -= self._unfinished_bytes
        if self._timer is not None:
            self._timer.cancel()
        if self.trace is not None:
            self.trace.ended()
        self._log_end("connection lost" if exc is None else f"connection lost: {exc}")
        self._listener.session_closed(self)

    def pause_writing(self) -> None:
        self.pause(Pause.PEER_READS_NOT)

    def resume_writing(self) -> None:
        self.resume(Pause.PEER_READS_NOT)

    # -- the publisher and the listener call these -----------------------------------------

    @property
    def opened(self) -> bool:
        """Whether there is a connection, or was one."""
        return self._transport is not None

    def current(self) -> None:
        """Redis knows that this is the device's newest connection: let it send.

        Not before: what came on a connection that Redis does not know of could be stored here and,
        after the device has gone there, by another instance.
        """
        self._awaited -= 1
        if self.ended or self._is_paused(Pause.FLOOD):
            return
        self._accepted()
        assert self._transport is not None
        self._transport.set_write_buffer_limits(high=MAX_UNREAD_BYTES)
        self._connection.accept()
        self._flush()
        if not self._is_paused(Pause.ENDING):
            self._listener.session_identified(self)
        self._close_if_done()

    def confirmed(self, record_count: int, size: int, read_at: float) -> None:
        """Redis has a packet of this session, the oldest that is unconfirmed: acknowledge it."""
        self._awaited -= 1
        self._no_more_held(size)
        if self.ended:
            return
        listener = self._listener
        self.last_activity = now = listener.now()  # until now it was the device that waited
        self._connection.acknowledge(record_count)
        self._flush()
        listener.counters.ack_latency_s.observe(now - read_at)
        self._close_if_done()

    def superseded(self) -> None:
        """Redis knows of a newer connection of this device: its packets are stored from there."""
        if self.ended:
            return
        self._listener.counters.superseded_connections += 1
        self.abort("the device has a newer connection")

    def hold(self, size: int) -> None:
        """So many bytes more of this device wait to be stored, and not by the publisher."""
        assert self.publisher is not None
        self.publisher.hold(size)
        self._hold(size)

    def let_go(self, size: int) -> None:
        """So many do not any more."""
        assert self.publisher is not None
        self.publisher.let_go(size)
        self._no_more_held(size)

    def send_command(self, message: CommandMessage) -> None:
        """Hand a command to the socket, as one whole frame."""
        self._connection.send_command(message)
        self._flush()

    def traced_devices_changed(self) -> None:
        """Begin to trace, or end it, if this device is one of them."""
        tracer = self._listener.tracer
        if self.imei is None or self.imei not in tracer.imeis:
            self.trace = None
        elif self.trace is None and not self.ended:
            unfinished = self._connection.unfinished
            self.trace = tracer.begin(self.imei, str(self.peer), unfinished)

    @property
    def known(self) -> bool | None:
        """Whether the device is on the allow-list; None where there is no list."""
        return self._listener.admission.knows(self.imei)

    def say(self, level: int, event: str, **fields: object) -> None:
        """Log something that this device is the cause of."""
        names = {"peer": str(self.peer)}
        if self.imei is not None:
            names["imei"] = self.imei
        self._listener.peer_log.say(level, self.peer.host, event, **names, **fields)

    @property
    def waits_for_us(self) -> bool:
        """Whether the device's silence is the server's doing."""
        return self._awaited > 0 or self._is_paused(_OURS)

    def pause(self, reason: Pause) -> None:
        if self._transport is None or self.ended:
            return
        self._pauses |= reason
        self._transport.pause_reading()

    def stop_reading(self) -> None:
        """Pause again what is paused."""
        if self._transport is not None and self._pauses and not self.ended:
            self._transport.pause_reading()

    def resume(self, reason: Pause) -> None:
        if self._transport is None or self.ended or not self._is_paused(reason):
            return
        self._pauses &= ~reason
        if reason is Pause.ALL_BYTES:
            self.last_activity = self._listener.now()  # until now it was the device that waited
        if not self._pauses:
            self._transport.resume_reading()
        if self._has_held:
            self._wait_for_turn()

    def end(self, reason: str) -> None:
        """Read no more; close once everything that was read is acknowledged."""
        self._log_end(reason)
        self._listener.session_unusable(self)
        self.pause(Pause.ENDING)
        self._close_if_done()

    def abort(self, reason: str) -> None:
        """Close now, whatever is unconfirmed: the device keeps it and sends it again."""
        self._log_end(reason)
        self._listener.session_unusable(self)
        if self._transport is not None and not self.ended:
            self.ended = True
            self._transport.abort()

    # --------------------------------------------------------------------------------------

    def _work_off(self, data: bytes, most: int) -> None:
        """What one turn allows of ``data``, and ``most`` frames; the rest is held."""
        if self._pauses and self._wants_nothing:
            return
        piece = b"" if self._more_is_read else data[:TURN_BYTES]  # no copy, if it is all
        self._held = data[len(piece) :]
        if self.trace is not None or self.imei is None:
            self._trace(piece)
        if self.imei is None:  # with the IMEI it may turn out that what comes after it must wait
            self._handle(self._connection.receive_data(piece, 1))
            piece = b""
        if not self._is_paused(_STOPS_WORK):
            events = self._connection.receive_data(piece, most)
            self._handle(events)
            if len(events) > 1:
                self._listener.turns.spend(len(events))
        self._more_is_read = self._connection.has_more
        unfinished = self._connection.unfinished_size
        if unfinished > SMALL_PACKET_BYTES or self._unfinished_bytes:
            self._count_unfinished(unfinished)
        if self._pauses and self._wants_nothing:
            self._held, self._more_is_read = b"", False
            self._close_if_done()
        elif self._has_held:
            self._hold_rest()
        elif self._pauses:
            self.resume(Pause.TURN)

    def _count_unfinished(self, size: int) -> None:
        """Close where all large packets that are not all there have too much memory together."""
        listener = self._listener
        counted = 0 if self._more_is_read or size <= SMALL_PACKET_BYTES else size
        listener.unfinished_bytes += counted - self._unfinished_bytes
        self._unfinished_bytes = counted
        if counted and listener.unfinished_bytes > listener.settings.max_unconfirmed_total_bytes:
            listener.counters.unfinished_closes += 1
            self.say(logging.WARNING, "too_much_unfinished", bytes=listener.unfinished_bytes)
            self._end_is_logged = True
            self.abort("too much is unfinished")

    def _trace(self, piece: bytes) -> None:
        if self.trace is None and self._listener.tracer.imeis:
            begin = self._listener.tracer.at_handshake
            self.trace = begin(self._connection.unfinished, piece, str(self.peer))
        if self.trace is not None:
            self.trace.received(piece)

    @property
    def _wants_nothing(self) -> bool:
        """Whether what still comes means nothing."""
        is_closed = self._connection.state is ConnectionState.CLOSED
        return self.ended or is_closed or self._is_paused(Pause.FLOOD)

    @property
    def _has_held(self) -> bool:
        """Whether something was read that is not worked off."""
        return self._more_is_read or bool(self._held)

    def _hold_rest(self) -> None:
        self.pause(Pause.TURN)
        self._wait_for_turn()

    def _wait_for_turn(self) -> None:
        """Unless it does already, or has to wait for something else first."""
        if not self._waits_for_turn and not self._is_paused(_STOPS_WORK):
            self._waits_for_turn = True
            self._listener.turns.wait(self)

    def _closed_by_device(self) -> None:
        self._handle(self._connection.receive_eof())
        self.end("closed by device")

    def _slow_down(self, seconds: float) -> None:
        """Read on when what was read would have come at the rate that is allowed."""
        if self._timer is not None:
            return
        listener = self._listener
        listener.counters.device_rate_pauses += 1
        if not self._was_slowed_down:
            self._was_slowed_down = True
            limit = listener.settings.max_device_rate
            self.say(logging.WARNING, "device_slowed_down", bytes_per_second=limit)
        self.pause(Pause.RATE)
        self._call_later(max(seconds, SHORTEST_SLOWDOWN_S), self._speed_up)

    def _speed_up(self) -> None:
        self._timer = None
        self.resume(Pause.RATE)

    def _call_later(self, seconds: float, do: Callable[[], None]) -> None:
        """In place of what was to be done later until now, if anything was."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, do)

    def _handle(self, events: list[ServerEvent]) -> None:
        for event in events:
            match event:
                case AvlPacketReceived(packet) if packet.records:
                    self._received(packet)
                case _:
                    if (empty := _empty_frames(event)) and self._is_flood(empty):
                        return
                    if not self._handle_other(event):
                        return

    def _handle_other(self, event: ServerEvent) -> bool:
        """What brings no records; whether what follows in the same read counts."""
        counters = self._listener.counters
        match event:
            case AvlPacketReceived(packet):
                self._received(packet)
            case ImeiReceived(imei, luhn_valid):
                return self._handshake(imei, luhn_valid=luhn_valid)
            case CommandResponseReceived(message):
                self._listener.commands.received(self, message)
            case CrcFailed(error):
                counters.crc_failures += 1
                self.say(logging.WARNING, "crc_failed", error=error.message)
            case FrameSkipped(error):
                counters.frames_skipped += 1
                self.say(logging.INFO, "frame_skipped", reason=error.message)
            case ProtocolViolation(error):
                self._violated(error)
        return True

    def _received(self, packet: AvlPacket) -> None:
        counters = self._listener.counters
        records = len(packet.records)
        counters.packets[packet.codec_id] += 1
        counters.records[packet.codec_id] += records
        self.records += records
        self._submit(packet)

    def _violated(self, error: DecodeFailure) -> None:
        counters = self._listener.counters
        if error.code is ErrorCode.UNKNOWN_CODEC:
            counters.unknown_codecs += 1
            self.say(logging.WARNING, "unknown_codec", codec_id=f"0x{error.found:02X}")
        else:
            counters.violations += 1
            counters.packets_too_large += error.code is ErrorCode.PACKET_TOO_LARGE
            code = str(error.code)
            self.say(logging.WARNING, "protocol_violation", code=code, error=error.message)
        self._end_is_logged = True
        self.end(error.message)

    def _handshake(self, imei: str, *, luhn_valid: bool) -> bool:
        """Reject, or ask Redis to know of it; whether what follows in the same read counts."""
        listener = self._listener
        self.imei = imei
        self._luhn_valid = luhn_valid
        self.last_activity = listener.now()
        reason = listener.admission.refusal(imei)
        if reason is not None:
            self._reject(reason)
            return False
        self.connection = os.urandom(8)
        self._bytes_allowed = listener.device_bytes.of(imei)
        self._awaited += 1
        self.publisher = listener.publishers.of(imei)
        self.publisher.open(self, imei, self.last_activity)
        if self.publisher.is_full:
            self.pause(Pause.ALL_BYTES)
        return True

    def _accepted(self) -> None:
        listener = self._listener
        listener.counters.handshakes_accepted += 1
        listener.counters.handshakes_accepted_unknown += self.known is False
        self.last_activity = listener.now()
        labels = {} if self.known is None else {"known": self.known}
        self.say(logging.INFO, "device_connected", luhn_valid=self._luhn_valid, **labels)

    def _reject(self, reason: str) -> None:
        self._listener.counters.handshakes_rejected += 1
        self._listener.counters.handshakes_rejected_unknown += self.known is False
        self._connection.reject()
        self._flush()
        self.end(f"rejected: {reason}")

    def _is_flood(self, empty_frames: int) -> bool:
        """Count frames that bring nothing; close, if no device sends so many of them."""
        listener = self._listener
        limit = listener.settings.max_empty_frames
        if not limit:
            return False
        if self._empty_allowed is None:
            self._empty_allowed = Allowance(limit / 60, limit)
        if not self._empty_allowed.use(empty_frames, listener.now()):
            return False
        listener.counters.empty_frame_floods += 1
        self.say(logging.WARNING, "too_many_empty_frames", limit=limit, records=self.records)
        self._end_is_logged = True
        listener.session_unusable(self)
        self.pause(Pause.FLOOD)
        self._call_later(FLOOD_PAUSE_S, partial(self.abort, "too many empty frames"))
        return True

    def _submit(self, packet: AvlPacket) -> None:
        assert self.imei is not None
        assert self.publisher is not None
        if not packet.records and not self._awaited:  # there is nothing to store, or to wait for
            self._connection.acknowledge(0)
            self._flush()
            return
        self._awaited += 1
        self._hold(self.publisher.submit(self, self.imei, packet, self.last_activity))

    def _hold(self, size: int) -> None:
        self._unconfirmed_bytes += size
        assert self.publisher is not None
        unconfirmed = self._unconfirmed_bytes
        if (
            unconfirmed > self._listener.settings.max_unconfirmed_session_bytes
            or (unconfirmed > ALWAYS_BYTES and unconfirmed > self.publisher.largest_share)
        ) and not self._is_paused(Pause.OWN_BYTES):
            self._listener.counters.backpressure_pauses[Unconfirmed.DEVICE] += 1
            self.pause(Pause.OWN_BYTES)

    def _no_more_held(self, size: int) -> None:
        self._unconfirmed_bytes -= size
        if self._unconfirmed_bytes <= self._listener.settings.max_unconfirmed_session_bytes // 4:
            self.resume(Pause.OWN_BYTES)

    def _is_paused(self, reasons: Pause) -> bool:
        return bool(self._pauses) and bool(self._pauses & reasons)  # a flag's operators are slow

    def _flush(self) -> None:
        """The one place that writes to the socket: always whole frames."""
        if self._transport is not None:
            data = self._connection.data_to_send()
            if self.trace is not None:
                self.trace.sent(data)
            self._transport.write(data)
            self._listener.counters.bytes_sent += len(data)

    def _close_if_done(self) -> None:
        if not self._is_paused(Pause.ENDING) or self._awaited:
            return
        # what is held behind these may never be worked off, and nobody was told that it was taken
        if not self._has_held or self._is_paused(Pause.ALL_BYTES | Pause.PEER_READS_NOT):
            assert self._transport is not None
            self._transport.close()

    def _log_end(self, reason: str) -> None:
        """Each connection's end is told once; of one that never said anything only at debug."""
        if self._end_is_logged:
            return
        self._end_is_logged = True
        level = logging.INFO if self._heard else logging.DEBUG
        self.say(level, "device_disconnected", reason=reason, records=self.records)


def _empty_frames(event: ServerEvent) -> int:
    """How many frames were in it that bring neither records nor text."""
    match event:
        case AvlPacketReceived(packet):
            return 0 if packet.records else 1
        case CommandResponseReceived(message):
            return 0 if message.content else 1
        case PingReceived(count):
            return count
        case CrcFailed() | FrameSkipped():
            return 1
        case _:
            return 0
