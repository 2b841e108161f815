"""One device's TCP connection: bytes in to the publisher, acknowledgements out."""

import asyncio
import os
from enum import IntFlag
from typing import TYPE_CHECKING, cast

import structlog

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

if TYPE_CHECKING:
    from teltonika.server.listener import Listener

log = structlog.get_logger()


class Pause(IntFlag):
    """Why a session's socket is not read. Each reason is taken back on its own."""

    OWN_BYTES = 1
    """This device has too much unconfirmed."""
    ALL_BYTES = 2
    """All devices together have."""
    PEER_READS_NOT = 4
    """The device does not read its acknowledgements."""
    ENDING = 8
    """Nothing more is wanted: what was read is being stored, then the connection closes."""


class Session(asyncio.Protocol):
    """The I/O around one `ServerConnection`: no task, no reader, one object a connection."""

    __slots__ = (
        "_connection",
        "_end_is_logged",
        "_heard",
        "_held",
        "_listener",
        "_pauses",
        "_transport",
        "_unconfirmed_bytes",
        "_unconfirmed_packets",
        "connection",
        "ended",
        "imei",
        "last_activity",
        "peer",
        "records",
    )

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener
        self._connection = ServerConnection(max_packet_size=listener.settings.max_packet_size)
        self._transport: asyncio.Transport | None = None
        self._pauses = Pause(0)
        self._unconfirmed_bytes = 0
        self._unconfirmed_packets = 0
        self._end_is_logged = False
        self._heard = False
        self._held = b""
        self.ended = False
        """The socket is closed: a confirmation can't be passed on any more."""
        self.imei: str | None = None
        self.connection = b""
        """Eight bytes that no other connection has, once the IMEI was accepted."""
        self.peer = ""
        self.last_activity = 0.0
        """When bytes came last, on the loop's clock; until the IMEI came: when it connected."""
        self.records = 0
        """AVL records received."""

    # -- asyncio calls these ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self.peer = f"{address[0]}:{address[1]}" if address else "unknown"
        self.last_activity = self._listener.now()
        self._listener.session_opened(self)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if Pause.ALL_BYTES in self._pauses:  # it was read before the pause took hold
            self._held += data
            return
        if self.imei is not None:  # the handshake's time limit is for the whole of it
            self.last_activity = self._listener.now()
        self._handle(self._connection.receive_data(data))

    def eof_received(self) -> bool:
        self._handle(self._connection.receive_eof())
        self.end("closed by device")
        return True  # keep our half open: acknowledgements may still be due

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._log_end("connection lost" if exc is None else f"connection lost: {exc}")
        self._listener.session_closed(self)

    def pause_writing(self) -> None:
        self.pause(Pause.PEER_READS_NOT)

    def resume_writing(self) -> None:
        self.resume(Pause.PEER_READS_NOT)

    # -- the publisher and the listener call these -----------------------------------------

    def confirmed(self, record_count: int, size: int) -> None:
        """Redis has a packet of this session, the oldest that is unconfirmed: acknowledge it."""
        self._unconfirmed_packets -= 1
        self._unconfirmed_bytes -= size
        if self.ended:
            return
        self.last_activity = self._listener.now()  # until now it was the device that waited
        self._connection.acknowledge(record_count)
        self._flush()
        if self._unconfirmed_bytes <= self._listener.settings.max_unconfirmed_session_bytes // 4:
            self.resume(Pause.OWN_BYTES)
        self._close_if_done()

    def superseded(self) -> None:
        """Redis knows of a newer connection of this device: its packets are stored from there."""
        self._listener.counters.superseded_connections += 1
        self.abort("the device has a newer connection")

    def send_command(self, message: CommandMessage) -> None:
        """Hand a command to the socket, as one whole frame."""
        self._connection.send_command(message)
        self._flush()

    @property
    def waits_for_us(self) -> bool:
        """Whether the device's silence is the server's doing."""
        return self._unconfirmed_packets > 0 or bool(self._pauses & Pause.ALL_BYTES)

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
        if self._transport is None or self.ended or not self._pauses & reason:
            return
        self._pauses &= ~reason
        if not self._pauses:
            self._transport.resume_reading()
        if reason is Pause.ALL_BYTES and self._held:
            held, self._held = self._held, b""
            self.data_received(held)

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
                    counters.packets += 1
                    counters.records += len(packet.records)
                    self.records += len(packet.records)
                    self._submit(packet)
                case ImeiReceived(imei, luhn_valid):
                    if not self._handshake(imei, luhn_valid=luhn_valid):
                        return
                case CommandResponseReceived(message):
                    assert self.imei is not None
                    self._listener.commands.received(self.imei, message)
                case CrcFailed(error):
                    counters.crc_failures += 1
                    log.warning("crc_failed", **self._names(), error=error.message)
                case FrameSkipped(error):
                    counters.frames_skipped += 1
                    log.info("frame_skipped", **self._names(), reason=error.message)
                case ProtocolViolation(error):
                    if error.code is ErrorCode.UNKNOWN_CODEC:
                        counters.unknown_codecs += 1
                        log.warning(
                            "unknown_codec", **self._names(), codec_id=f"0x{error.found:02X}"
                        )
                    else:
                        counters.violations += 1
                        log.warning(
                            "protocol_violation",
                            **self._names(),
                            code=str(error.code),
                            error=error.message,
                        )
                    self._end_is_logged = True
                    self.end(error.message)

    def _handshake(self, imei: str, *, luhn_valid: bool) -> bool:
        """Accept or reject; whether what follows in the same read counts."""
        listener = self._listener
        self.imei = imei
        self.last_activity = listener.now()
        if not luhn_valid and listener.settings.require_luhn:
            self._reject("the IMEI's check digit is wrong")
            return False
        known = listener.is_known(imei)
        if known is False:
            listener.counters.handshakes_unknown += 1
            if listener.settings.strict:
                self._reject("not on the allow-list")
                return False
        listener.counters.handshakes_accepted += 1
        labels = {} if known is None else {"known": known}
        log.info("device_connected", **self._names(), luhn_valid=luhn_valid, **labels)
        self._connection.accept()
        self._flush()
        self.connection = os.urandom(8)
        listener.publisher.open(self, imei)
        listener.session_identified(self)
        return True

    def _reject(self, reason: str) -> None:
        self._listener.counters.handshakes_rejected += 1
        self._connection.reject()
        self._flush()
        self.end(f"rejected: {reason}")

    def _submit(self, packet: AvlPacket) -> None:
        assert self.imei is not None
        self._unconfirmed_packets += 1
        publisher = self._listener.publisher
        self._unconfirmed_bytes += publisher.submit(self, self.imei, packet)
        if self._unconfirmed_bytes > self._listener.settings.max_unconfirmed_session_bytes:
            self._listener.counters.backpressure_pauses += 1
            self.pause(Pause.OWN_BYTES)

    def _flush(self) -> None:
        """The one place that writes to the socket: always whole frames."""
        if self._transport is not None:
            self._transport.write(self._connection.data_to_send())

    def _close_if_done(self) -> None:
        if Pause.ENDING in self._pauses and not self._unconfirmed_packets:
            assert self._transport is not None
            self._transport.close()

    def _log_end(self, reason: str) -> None:
        """Each connection's end is told once; of one that never said anything only at debug."""
        if self._end_is_logged:
            return
        self._end_is_logged = True
        say = log.info if self._heard else log.debug
        say("device_disconnected", **self._names(), reason=reason, records=self.records)

    def _names(self) -> dict[str, str]:
        names = {"peer": self.peer}
        if self.imei is not None:
            names["imei"] = self.imei
        return names
