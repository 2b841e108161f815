"""A command as it stands on an outbound stream: CONTRACT, section 1."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from teltonika.codecs import COMMAND_CODECS, CommandMessage, parse_imei
from teltonika.server.entry_fields import Imei

MAX_TEXT_LENGTH = 160
"""Characters of a command that a device takes (Teltonika, "SMS/GPRS Commands")."""
MAX_ID_LENGTH = 256
MAX_TIMEOUT_S = 86_400.0
SECONDS = r"[0-9]+(\.[0-9]+)?"
"""ASCII digits; 1e3, 1_0 and digits of other scripts are not accepted."""


class CommandEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A command, as whoever publishes it writes it."""

    command_id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_ID_LENGTH,
            description="Unique: a second command with the same id is dropped.",
        ),
    ]
    imei: Imei
    payload: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_TEXT_LENGTH,
            pattern=r"^[\x00-\x7F]*$",
            description="The command's text, in ASCII.",
            examples=["getinfo"],
        ),
    ]
    codec: Annotated[
        str,
        Meta(pattern="^(12|14)?$", description="14 names the device and needs newer firmware."),
    ] = "12"
    expires_at: (
        Annotated[
            str,
            Meta(
                description="ISO 8601 or epoch milliseconds: not written to the device after it.",
                examples=["2026-01-31T08:00:00Z", "1769846400000"],
            ),
        ]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    timeout_s: (
        Annotated[
            str,
            Meta(
                pattern=f"^({SECONDS})?$",
                description="Seconds to wait for the answer once it is written: more than 0, at "
                f"most {MAX_TIMEOUT_S:.0f}. Without it the server's own setting holds.",
                examples=["30"],
            ),
        ]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class Entry(NamedTuple):
    """Where a command stands: a stream and its entry's id."""

    stream: str
    id: str

    def __str__(self) -> str:
        return f"{self.stream}/{self.id}"


class CommandRef(msgspec.Struct, frozen=True):
    """What every status of a command says about it, also of one that is not valid."""

    entry: Entry
    command_id: str
    """Empty if it has none."""
    imei: str
    codec: str

    @property
    def key(self) -> str:
        """What it is remembered by: its id, or its place if it has none to be known by."""
        usable = 0 < len(self.command_id) <= MAX_ID_LENGTH
        return self.command_id if usable else f"@{self.entry}"


class Command(msgspec.Struct, frozen=True):
    """A valid command."""

    ref: CommandRef
    text: str
    timeout_s: float
    """How long its answer is waited for, once it is written."""
    expires_ms: int | None = None
    """Epoch milliseconds: it is not written after them."""

    @property
    def message(self) -> CommandMessage:
        return COMMAND_CODECS.by_name(self.ref.codec).command(self.text, self.ref.imei)


class InvalidCommandError(Exception):
    """A field is missing or wrong; the message names it."""


def read_ref(entry: Entry, fields: Mapping[bytes, bytes]) -> CommandRef:
    """Who the entry is, as far as that can be said."""

    def shown(name: bytes, length: int = MAX_ID_LENGTH) -> str:
        return fields.get(name, b"").decode("utf-8", "backslashreplace")[:length]

    command_id = shown(b"command_id", MAX_ID_LENGTH + 1)  # one that is too long stays so
    return CommandRef(entry, command_id, shown(b"imei"), shown(b"codec") or "12")


def read_command(
    ref: CommandRef, fields: Mapping[bytes, bytes], default_timeout_s: float
) -> Command:
    """The command in an entry. Raises InvalidCommandError with a sentence that names the field."""
    texts = {}
    for name in CommandEntry.__struct_fields__:
        value = fields.get(name.encode())
        if value is None:
            continue
        try:
            texts[name] = value.decode()
        except UnicodeDecodeError:
            raise InvalidCommandError(f"{name}: not UTF-8") from None
    for name in ("command_id", "imei", "payload"):
        if not texts.get(name):
            raise InvalidCommandError(f"{name}: missing")
    if len(texts["command_id"]) > MAX_ID_LENGTH:
        raise InvalidCommandError(f"command_id: longer than {MAX_ID_LENGTH} characters")
    try:
        parse_imei(texts["imei"][:40])
    except ValueError as error:
        raise InvalidCommandError(f"imei: {error}") from None
    try:
        COMMAND_CODECS.by_name(ref.codec)
    except ValueError as error:
        raise InvalidCommandError(f"codec: {error}") from None
    text = texts["payload"]
    if not text.isascii():
        raise InvalidCommandError("payload: a device takes ASCII only")
    if len(text) > MAX_TEXT_LENGTH:
        raise InvalidCommandError(
            f"payload: {len(text)} characters; a device takes {MAX_TEXT_LENGTH} at most"
        )
    return Command(
        ref,
        text,
        _read_timeout(texts["timeout_s"]) if texts.get("timeout_s") else default_timeout_s,
        _read_time(texts["expires_at"]) if texts.get("expires_at") else None,
    )


def _read_timeout(text: str) -> float:
    timeout_s = float(text) if re.fullmatch(SECONDS, text) else math.nan
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise InvalidCommandError(
            f"timeout_s: expected seconds, more than 0 and at most {MAX_TIMEOUT_S:.0f}, "
            f"found {text[:40]!r}"
        )
    return timeout_s


def _read_time(text: str) -> int:
    """ISO 8601, UTC unless it says otherwise, or epoch milliseconds."""
    if text.isascii() and text.isdigit() and len(text) <= 15:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidCommandError(
            "expires_at: expected ISO 8601 or epoch milliseconds, such as "
            f"2026-01-31T08:00:00Z, found {text[:40]!r}"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return math.floor(moment.timestamp() * 1000)
