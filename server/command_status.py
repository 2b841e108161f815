"""What is told about a command on the stream of responses: CONTRACT, section 1."""

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from teltonika.server.command_queue import Reason
from teltonika.server.entry_fields import Hex, Timestamp


class _Status(msgspec.Struct, frozen=True, tag_field="status"):
    command_id: Annotated[str, Meta(description="The command's; empty if it had none.")]
    imei: Annotated[str, Meta(description="The command's, also if it is none.")]
    instance_id: Annotated[str, Meta(description="Of the instance that tells it.")]
    codec: Annotated[str, Meta(description="The command's: `12` or `14`, if it was valid.")]
    ts: Annotated[Timestamp, Meta(description="When it was told.")]


class Delivered(_Status, frozen=True, tag="delivered"):
    """The whole frame was handed to the device's socket. An ending follows."""


class Responded(_Status, frozen=True, tag="responded"):
    """The device answered. This is the command's end."""

    response: Annotated[
        str, Meta(description=r"The answer as text; what is not UTF-8 is written as `\xff`.")
    ]
    response_hex: Annotated[Hex, Meta(description="The answer's bytes.")]


class Failed(_Status, frozen=True, tag="failed"):
    """There is no answer. This is the command's end."""

    reason: Annotated[Reason, Meta(description="Why.")]
    detail: Annotated[str, Meta(description="The same in words; may be empty.")]


CommandStatus: TypeAlias = Delivered | Responded | Failed
