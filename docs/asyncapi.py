"""An AsyncAPI 3 document as types: what of it `make_contract.py` writes."""

from typing import TypeAlias

import msgspec

JsonSchema: TypeAlias = dict[str, object]


class Ref(msgspec.Struct, frozen=True):
    """Another part of the document."""

    target: str = msgspec.field(name="$ref")


class License(msgspec.Struct, frozen=True):
    name: str


class Info(msgspec.Struct, frozen=True):
    title: str
    version: str
    description: str
    license: License


class Host(msgspec.Struct, frozen=True):
    host: str
    protocol: str
    description: str


class Parameter(msgspec.Struct, frozen=True):
    description: str


class Channel(msgspec.Struct, frozen=True, omit_defaults=True):
    address: str
    title: str
    description: str
    messages: dict[str, Ref]
    parameters: dict[str, Parameter] = {}


class Operation(msgspec.Struct, frozen=True):
    """What `teltonika serve` does on a channel."""

    action: str
    channel: Ref
    summary: str
    messages: list[Ref]


class Message(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    title: str
    summary: str
    content_type: str
    payload: Ref


class Components(msgspec.Struct, frozen=True):
    messages: dict[str, Message]
    schemas: dict[str, JsonSchema]


class Document(msgspec.Struct, frozen=True, rename="camel"):
    asyncapi: str
    info: Info
    default_content_type: str
    servers: dict[str, Host]
    channels: dict[str, Channel]
    operations: dict[str, Operation]
    components: Components
