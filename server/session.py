"""One device's TCP connection: bytes in to the publisher, acknowledgements out."""

import asyncio
import logging
import os
from enum import IntFlag
from typing import TYPE_CHECKING, cast

from teltonika.codecs import (
    AvlPacket,
    AvlPacketReceived,
    CommandMessage,
    CommandResponseReceived,
    CrcFailed,
    ErrorCode,
    FrameSkipped,
    ImeiReceived,
    ProtocolViolation,
    ServerConnection,
    ServerEvent,
)
from teltonika.codecs.handshake import IMEI_FRAME_SIZE
from teltonika.server.addresses import Peer
from teltonika.server.counters import Unconfirmed
from teltonika.server.publisher import Publisher
from teltonika.server.trace import SessionTrace

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


class Session(asyncio.Protocol):
    """The I/O around one `ServerConnection`: no task, no reader, one object a connection."""

    __slots__ = (
        "_awaited",
        "_connection",
        "_end_is_logged",
        "_heard",
        "_held",
        "_listener",
        "_luhn_valid",
        "_pauses",
        "_transport",
        "_unconfirmed_bytes",
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
        self._held = b""
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
        if self.imei is None:
            # with the IMEI it may turn out that what is behind it must wait
            missing = max(1, IMEI_FRAME_SIZE - len(self._connection.unfinished))
            self._received(data[:missing])
            data = data[missing:]
            if not data or self._is_paused(Pause.ENDING):
                return
        self._received(data)

    def _received(self, data: bytes) -> None:
        self._heard = True
        if self._is_paused(Pause.ALL_BYTES):  # it was read before the pause took hold
            self._held += data
            return
        listener = self._listener
        listener.counters.bytes_received += len(data)
        if self.imei is not None:  # the handshake's time limit is for the whole of it
            self.last_activity = listener.now()
        elif listener.tracer.imeis:
            begin = listener.tracer.at_handshake
            self.trace = begin(self._connection.unfinished, data, str(self.peer))
        if self.trace is not None:
            self.trace.received(data)
        self._handle(self._connection.receive_data(data))

    def eof_received(self) -> bool:
        self._handle(self._connection.receive_eof())
        self.end("closed by device")
        # keep our half open: acknowledgements may still be due; TLS knows no half
        return self._transport is None or self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
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
        if self.ended:
            return
        self._accepted()
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
        return self._awaited > 0 or self._is_paused(Pause.ALL_BYTES)

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
        if reason is Pause.ALL_BYTES and self._held:
            held, self._held = self._held, b""
            self.data_received(held)
            self._close_if_done()

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

    def _handle(self, events: list[ServerEvent]) -> None:
        counters = self._listener.counters
        for event in events:
            match event:
                case AvlPacketReceived(packet):
                    records = len(packet.records)
                    counters.packets[packet.codec_id] += 1
                    counters.records[packet.codec_id] += records
                    self.records += records
                    self._submit(packet)
                case ImeiReceived(imei, luhn_valid):
                    if not self._handshake(imei, luhn_valid=luhn_valid):
                        return
                case CommandResponseReceived(message):
                    self._listener.commands.received(self, message)
                case CrcFailed(error):
                    counters.crc_failures += 1
                    self.say(logging.WARNING, "crc_failed", error=error.message)
                case FrameSkipped(error):
                    counters.frames_skipped += 1
                    self.say(logging.INFO, "frame_skipped", reason=error.message)
                case ProtocolViolation(error):
                    if error.code is ErrorCode.UNKNOWN_CODEC:
                        counters.unknown_codecs += 1
                        found = f"0x{error.found:02X}"
                        self.say(logging.WARNING, "unknown_codec", codec_id=found)
                    else:
                        counters.violations += 1
                        counters.packets_too_large += error.code is ErrorCode.PACKET_TOO_LARGE
                        code = str(error.code)
                        self.say(
                            logging.WARNING, "protocol_violation", code=code, error=error.message
                        )
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

    def _submit(self, packet: AvlPacket) -> None:
        assert self.imei is not None
        assert self.publisher is not None
        self._awaited += 1
        self._hold(self.publisher.submit(self, self.imei, packet, self.last_activity))

    def _hold(self, size: int) -> None:
        self._unconfirmed_bytes += size
        if (
            self._unconfirmed_bytes > self._listener.settings.max_unconfirmed_session_bytes
            and not self._is_paused(Pause.OWN_BYTES)
        ):
            self._listener.counters.backpressure_pauses[Unconfirmed.DEVICE] += 1
            self.pause(Pause.OWN_BYTES)

    def _no_more_held(self, size: int) -> None:
        self._unconfirmed_bytes -= size
        if self._unconfirmed_bytes <= self._listener.settings.max_unconfirmed_session_bytes // 4:
            self.resume(Pause.OWN_BYTES)

    def _is_paused(self, reason: Pause) -> bool:
        return bool(self._pauses) and reason in self._pauses  # a flag's own operators are slow

    def _flush(self) -> None:
        """The one place that writes to the socket: always whole frames."""
        if self._transport is not None:
            data = self._connection.data_to_send()
            if self.trace is not None:
                self.trace.sent(data)
            self._transport.write(data)
            self._listener.counters.bytes_sent += len(data)

    def _close_if_done(self) -> None:
        if self._is_paused(Pause.ENDING) and not self._awaited and not self._held:
            assert self._transport is not None
            self._transport.close()

    def _log_end(self, reason: str) -> None:
        """Each connection's end is told once; of one that never said anything only at debug."""
        if self._end_is_logged:
            return
        self._end_is_logged = True
        level = logging.INFO if self._heard else logging.DEBUG
        self.say(level, "device_disconnected", reason=reason, records=self.records)
