"""Writes docs/contract/ and the tables of docs/contract.md: `python docs/make_contract.py`.

All of it comes from the types that the server itself writes and reads. With a directory as argument
the files are written there, to be compared.
"""

import re
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
import yaml
from asyncapi import (
    Channel,
    Components,
    Document,
    Host,
    Info,
    JsonSchema,
    License,
    Message,
    Operation,
    Parameter,
    Ref,
)

from teltonika.server.command import CommandEntry
from teltonika.server.command_status import Delivered, Failed, Responded
from teltonika.server.heartbeat import Beat
from teltonika.server.keys import Keys
from teltonika.server.streams import MessageEntry, Payload, TelemetryEntry, WrappedValue

DOCS = Path(__file__).parent
PYPROJECT = DOCS.parent / "pyproject.toml"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
KEYS = Keys()
TELEMETRY = KEYS.shards[0].telemetry


class Kind(NamedTuple):
    """What has a schema file of its own; one of several types if it is a status."""

    name: str
    title: str
    types: tuple[type[msgspec.Struct], ...]


KINDS = (
    Kind("telemetry", f"An entry of {TELEMETRY}", (TelemetryEntry,)),
    Kind("payload", f"The payload of an entry of {TELEMETRY}", (Payload,)),
    Kind("message", f"An entry of {KEYS.messages}", (MessageEntry,)),
    Kind("command", f"An entry of {KEYS.outbound('{instance_id}')}", (CommandEntry,)),
    Kind("response", f"An entry of {KEYS.responses}", (Delivered, Responded, Failed)),
    Kind("heartbeat", f"The value of {KEYS.heartbeat('{instance_id}')}", (Beat,)),
)


def definitions(ref_template: str) -> dict[str, JsonSchema]:
    """The schema of every type by its name."""
    types = [one for kind in KINDS for one in kind.types]
    _, found = msgspec.json.schema_components(types, ref_template=ref_template)
    schemas = cast("dict[str, JsonSchema]", found)
    # msgspec has no words for these two
    schemas[WrappedValue.__name__] |= {"minProperties": 1, "maxProperties": 1}
    payload = properties(schemas[TelemetryEntry.__name__])["payload"]
    payload["contentMediaType"] = "application/json"
    payload["contentSchema"] = {"$ref": ref_template.format(name=Payload.__name__)}
    return schemas


def properties(schema: JsonSchema) -> dict[str, JsonSchema]:
    return cast("dict[str, JsonSchema]", schema["properties"])


def schema_of(kind: Kind) -> JsonSchema:
    """The whole file."""
    schemas = definitions("#/$defs/{name}")
    names = [one.__name__ for one in kind.types]
    if len(names) == 1:
        root = {name: value for name, value in schemas.pop(names[0]).items() if name != "title"}
    else:
        root = {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in names]}
    used = _used(root, schemas)
    more = {"$defs": {name: schemas[name] for name in sorted(used)}} if used else {}
    return {"$schema": DIALECT, "title": kind.title, **root, **more}


def _used(schema: object, schemas: dict[str, JsonSchema]) -> set[str]:
    """The definitions that a schema leads to."""
    found: set[str] = set()
    waiting = [msgspec.json.encode(schema).decode()]
    while waiting:
        for name in re.findall(r'"#/\$defs/(\w+)"', waiting.pop()):
            if name not in found:
                found.add(name)
                waiting.append(msgspec.json.encode(schemas[name]).decode())
    return found


def document() -> Document:
    """The streams, as `teltonika serve` uses them."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    schemas = definitions("#/components/schemas/{name}")
    entries = (TelemetryEntry, MessageEntry, CommandEntry, Delivered, Responded, Failed)
    names = {one: one.__name__.removesuffix("Entry").lower() for one in entries}

    def messages(*types: type[msgspec.Struct]) -> dict[str, Ref]:
        return {names[one]: Ref(f"#/components/messages/{names[one]}") for one in types}

    def operation(
        action: str, channel: str, summary: str, *types: type[msgspec.Struct]
    ) -> Operation:
        at = f"#/channels/{channel}"
        return Operation(
            action, Ref(at), summary, [Ref(f"{at}/messages/{names[one]}") for one in types]
        )

    return Document(
        asyncapi="3.0.0",
        info=Info(
            title="teltonika serve",
            version=project["version"],
            description="Redis streams of the ingest server. Each field of an entry is a text.",
            license=License(project["license"]),
        ),
        default_content_type="application/json",
        servers={
            "redis": Host("localhost:6379", "redis", "Redis 7.2 or later, or Valkey; see --redis.")
        },
        channels={
            "telemetry": Channel(
                TELEMETRY,
                "Telemetry",
                "One entry for each AVL record, in the order in which they came. With "
                f"--stream-shards it is several streams, {TELEMETRY}:{{0}} and so on, each device "
                "in one.",
                messages(TelemetryEntry),
            ),
            "messages": Channel(
                KEYS.messages,
                "Messages",
                "Texts that devices send and no command waits for.",
                messages(MessageEntry),
            ),
            "commands": Channel(
                KEYS.outbound("{instance_id}"),
                "Commands",
                "Commands for the devices of one instance; the hash "
                f"{KEYS.registry} says which instance holds a device.",
                messages(CommandEntry),
                {"instance_id": Parameter("The instance that holds the device's connection.")},
            ),
            "responses": Channel(
                KEYS.responses,
                "Responses",
                "What became of commands: at most one delivered, then responded or failed.",
                messages(Delivered, Responded, Failed),
            ),
        },
        operations={
            "storeRecord": operation("send", "telemetry", "Store an AVL record.", TelemetryEntry),
            "storeMessage": operation("send", "messages", "Store a message.", MessageEntry),
            "takeCommand": operation(
                "receive", "commands", "Take a command, once (group ingest).", CommandEntry
            ),
            "tellStatus": operation(
                "send", "responses", "Tell what became of it.", Delivered, Responded, Failed
            ),
        },
        components=Components(
            {
                names[one]: Message(
                    names[one],
                    one.__name__,
                    (one.__doc__ or "").splitlines()[0],
                    "application/json",
                    Ref(f"#/components/schemas/{one.__name__}"),
                )
                for one in entries
            },
            {name: schemas[name] for name in sorted(schemas) if name != Beat.__name__},
        ),
    )


def table(schema: JsonSchema) -> str:
    """The fields of one type, in Markdown."""
    required = cast("list[str]", schema.get("required", []))
    lines = ["| field | | value |", "| --- | --- | --- |"]
    for name, value in properties(schema).items():
        needed = "" if name in required else "optional"
        lines.append(f"| `{name}` | {needed} | {_described(value)} |")
    return "\n".join(lines) + "\n"


def _described(schema: JsonSchema) -> str:
    text = str(schema.get("description", ""))
    values = cast("list[str]", schema.get("enum", []))
    text += f" `{'`, `'.join(values)}`" if values else ""
    examples = cast("list[str]", schema.get("examples", []))
    text += f" Such as `{'`, `'.join(examples)}`." if examples else ""
    text += f" If absent `{schema['default']}`." if "default" in schema else ""
    return text.strip()


def with_tables(page: str) -> str:
    """The page, with its tables as they are now."""
    schemas = definitions("#/$defs/{name}")

    def fill(match: re.Match[str]) -> str:
        return f"<!-- fields of {match[1]} -->\n{table(schemas[match[1]])}<!-- end -->"

    return re.sub(r"<!-- fields of (\w+) -->\n.*?<!-- end -->", fill, page, flags=re.DOTALL)


def files() -> dict[str, str]:
    """Every file that is made, by its place under docs/."""
    made = {"contract.md": with_tables((DOCS / "contract.md").read_text())}
    for kind in KINDS:
        encoded = msgspec.json.format(msgspec.json.encode(schema_of(kind)), indent=2)
        made[f"contract/{kind.name}.schema.json"] = f"{encoded.decode()}\n"
    builtins = msgspec.to_builtins(document())
    made["contract/asyncapi.yaml"] = "# Made by docs/make_contract.py.\n" + yaml.safe_dump(
        builtins, sort_keys=False, width=100, allow_unicode=True
    )
    return made


def main() -> None:
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
    for name, text in files().items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


if __name__ == "__main__":
    main()
