"""A captured session as what is to be done: what is written when, and what must be answered."""

import msgspec

from teltonika.codecs.captures import CapturedSession, Closing, Payload, Side
from teltonika.emulator.replay.imei import rewrite_datagram, rewrite_stream
from teltonika.emulator.replay.stream import ServerMessage, ServerStream, cut_device_stream


class NotReplayableError(ValueError):
    """A session that nothing can be made of; the message says why."""


class Write(msgspec.Struct, frozen=True):
    """One segment or datagram of the device's."""

    at_s: float
    """From the session's beginning."""
    data: bytes
    answers_before: int
    """How many answers the device had when it sent this."""


class Expected(msgspec.Struct, frozen=True):
    """An answer in the capture."""

    offset: int
    """In the server's stream; in UDP the datagram's number."""
    data: bytes
    due_at: int
    """How many of the device's bytes must have been sent for it."""


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """One session, ready to be played."""

    session: int
    """Its index in the capture."""
    transport: str
    imei: str
    captured_imei: str
    started: float
    """Seconds since 1970-01-01 UTC, in the capture."""
    writes: list[Write]
    answers: list[Expected]
    commands: list[bytes]
    """What the server sent in command codecs."""
    closed_by: Side | None
    closing: Closing | None
    closes_at_s: float
    note: str | None = None
    """What of the session is not played, and why."""

    @property
    def size(self) -> int:
        """Bytes that the device sends in all."""
        return sum(len(write.data) for write in self.writes)


class _Heard(msgspec.Struct, frozen=True):
    """A message of the server's, and the frame that completed it."""

    message: ServerMessage
    frame: int


def make_script(number: int, session: CapturedSession, imei: str | None = None) -> Script:
    """Session ``number`` of a capture as a script; its device calls itself ``imei`` if given.

    Where bytes are missing in the capture, what stands before them is played. Raises
    NotReplayableError.
    """
    if session.imei is None:
        raise NotReplayableError(
            "the capture does not show its handshake"
            if session.transport == "tcp"
            else "none of its datagrams has an IMEI"
        )
    device, lost = _up_to_gap(session.device)
    server, _ = _up_to_gap(session.server)
    if lost is not None:
        server = [payload for payload in server if payload.frame < lost.frame]
    own = session.imei
    if session.transport == "udp":
        datagrams = [rewrite_datagram(p.data, own, imei or own) for p in device]
        heard = [_Heard(ServerMessage(n, p.data), p.frame) for n, p in enumerate(server)]
        due: list[int] = []
    else:
        stream = b"".join(payload.data for payload in device)
        due = [message.end for message in cut_device_stream(stream) if message.answered]
        if imei is not None and imei != own:
            stream = rewrite_stream(stream, own, imei)
        datagrams = _cut_like(stream, device)
        heard = _listen(server)
    answers = [each for each in heard if not each.message.command]
    return Script(
        session=number,
        transport=session.transport,
        imei=imei or own,
        captured_imei=own,
        started=session.started,
        writes=[
            Write(
                payload.time - session.started,
                data,
                sum(answer.frame < payload.frame for answer in answers),
            )
            for payload, data in zip(device, datagrams, strict=True)
        ],
        answers=[
            Expected(
                answer.message.offset,
                answer.message.data,
                _due_at(answer, place, due, device),
            )
            for place, answer in enumerate(answers)
        ],
        commands=[each.message.data for each in heard if each.message.command],
        closed_by=session.closed_by if lost is None else None,
        closing=session.closing,
        closes_at_s=(session.closed or session.started) - session.started,
        note=_what_is_missing(session, device, lost),
    )


def _up_to_gap(payloads: list[Payload]) -> tuple[list[Payload], Payload | None]:
    """What stands before the first missing byte, and the payload behind it."""
    for number, payload in enumerate(payloads):
        if payload.gap:
            return payloads[:number], payload
    return payloads, None


def _what_is_missing(
    session: CapturedSession, device: list[Payload], lost: Payload | None
) -> str | None:
    if lost is not None:
        sent = sum(len(payload.data) for payload in device)
        return (
            f"the capture lacks {lost.gap} bytes of the device's behind byte {sent}: "
            "only what stands before them is sent"
        )
    if session.missing:
        return "the capture lacks bytes of the server's: only what stands before them is compared"
    return None


def _listen(payloads: list[Payload]) -> list[_Heard]:
    stream = ServerStream()
    heard: list[_Heard] = []
    for payload in payloads:
        heard += [_Heard(message, payload.frame) for message in stream.receive_data(payload.data)]
    if payloads:
        heard += [_Heard(message, payloads[-1].frame) for message in stream.settle()]
    return heard


def _due_at(answer: _Heard, place: int, due: list[int], device: list[Payload]) -> int:
    """What must have been sent for an answer: the message it stands for, if that can be told,
    else all that the capture has before it."""
    before = sum(len(payload.data) for payload in device if payload.frame < answer.frame)
    return due[place] if place < len(due) and due[place] <= before else before


def _cut_like(stream: bytes, payloads: list[Payload]) -> list[bytes]:
    pieces, position = [], 0
    for payload in payloads:
        pieces.append(stream[position : position + len(payload.data)])
        position += len(payload.data)
    return pieces
