"""Writes reference.md: settings of `serve`, events of its log: `python docs/make_reference.py`.

The settings are those of the command line itself; which events there are is read in the server's code,
and what each means stands here.
"""

import ast
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from teltonika.cli.serve import serve

HERE = Path(__file__).parent
SERVER = HERE.parent / "server"
PAGE = HERE / "reference.md"

MEANINGS = {
    "accepting_again": "There are file descriptors again; what was said by `cannot_accept` is over.",
    "allow_list": "The list of known devices was read; how many are on it.",
    "allow_list_not_read": "Redis does not give the list; the last one goes on to be used.",
    "backpressure": "More is read than Redis has confirmed, up to the bound in all: no socket is read "
    "until a quarter is left. Look at Redis and its disk.",
    "cannot_accept": "No file descriptors or socket buffers for one connection more; told once. Raise "
    "`ulimit -n`, or spread the devices.",
    "certificates_not_reloaded": "After SIGHUP: the new files are wrong, and the old ones go on.",
    "certificates_reloaded": "After SIGHUP: new connections get the new certificate.",
    "command_duplicate": "A command id that was there before: not executed, no status.",
    "command_failed": "A command ended without an answer; `reason` says why.",
    "command_stream_unavailable": "Redis does not give the commands of this instance; it is tried again.",
    "connection_failed": "An error of ours with one connection, which was closed. Please report it.",
    "connection_lost": "The peer was gone before its session began.",
    "connection_refused": "Over `--max-connections` or `--max-per-address`; `limit` says which.",
    "crc_failed": "A packet whose CRC is wrong; it is not acknowledged, and the device sends it again.",
    "datagram_answered": "Records of a datagram are safe, and its answer is out.",
    "datagram_broken": "What came by UDP is no datagram of a device.",
    "datagram_of_unknown_device": "By UDP, from a device that is not on the allow-list.",
    "datagram_refused": "By UDP, from a device that may not send.",
    "dedupe_swept": "Once a day: devices that were silent for `--dedupe-days` are forgotten.",
    "device_connected": "A device said its IMEI and was accepted.",
    "device_disconnected": "Its connection ended; `reason` says how, `records` how many came on it.",
    "drain_timeout": "Not all was confirmed within `--drain-timeout`: devices keep it and send it again.",
    "draining": "SIGTERM or SIGINT came: nothing more is taken in, what was read is stored.",
    "frame_skipped": "A message (codecs 12 to 15) whose inside is broken.",
    "handshake_timeout": "A connection that did not say its IMEI, or its PROXY or TLS part, in time.",
    "instance_lost": "Another instance is dead: its devices are taken out of the registry, its commands "
    "ended.",
    "listening": "Connections are accepted; the same as the line on standard output.",
    "log_lines_left_out": "A peer caused more lines than `--log-lines-per-peer`; how many are missing.",
    "max_connections_lowered": "The system gives fewer file descriptors than `--max-connections`.",
    "protocol_violation": "A device says what is no packet; its connection is closed.",
    "proxy_header_failed": "A connection that does not begin with the balancer's header.",
    "redis_config_unknown": "Redis does not tell its settings (managed ones do not): name a "
    "`--durability`.",
    "redis_connected": "Redis is there again after failures; `waiting` packets are written first.",
    "redis_connections_not_ended": "Connections to Redis that were lost could not be ended there.",
    "redis_is_loading": "Redis still loads its data; it is waited for.",
    "redis_is_weak": "Redis cannot keep what an ACK promises, and why.",
    "redis_refused": "Redis refuses a command and always will, such as a key of another type.",
    "redis_unavailable": "Telemetry cannot be written; nothing is acknowledged until it can.",
    "redis_writer_unavailable": "The same of the registry, statuses and heartbeat.",
    "statuses_not_written": "At the end: statuses of commands that Redis did not take in time; another "
    "instance's janitor ends them.",
    "stopped": "The end, with all that was counted.",
    "superseded": "Another process has this `--instance-id`: this one ends.",
    "tls_failed": "A TLS handshake that failed, and why.",
    "unknown_codec": "A packet of a codec that is not read here; the connection is closed.",
    "valkey": "What the embedded Valkey says, line by line.",
    "valkey_died": "The embedded Valkey ended by itself; it is started again.",
    "valkey_killed": "It did not end in time when it was asked to.",
    "valkey_not_started": "It could not be started; `said` has its last lines.",
    "valkey_ready": "It has loaded its data.",
    "valkey_restarted": "It is there again; what was not confirmed is written again.",
    "valkey_survivor": "One of a server that was killed: it is ended first.",
}
_LOGGED = {"debug", "info", "warning", "error", "exception"}
_SAID_SECOND = {"say", "_say", "_refused", "Reconnecting"}
"""Their event is the second argument, or, of `_say`, the third."""


_EVERY_COMMAND_HAS = {"help", "install_completion", "show_completion"}


def events() -> dict[str, set[str]]:
    """Each event that the code logs, with the files that do."""
    found: dict[str, set[str]] = {}
    for file in sorted(SERVER.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                for event in _events_of(node):
                    found.setdefault(event, set()).add(file.name)
    found["listening"] = {"app.py"}  # logged from its fields
    return found


def _events_of(call: ast.Call) -> Iterator[str]:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in _LOGGED:
        candidates = call.args[:1]
    elif name in _SAID_SECOND:
        candidates = call.args[1:3]
    else:
        return
    for argument in candidates:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            yield argument.value


def page() -> str:
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "# Settings and log events\n"
    yield "This page is made from the code (`docs/make_reference.py`).\n"
    yield "## Settings of `teltonika serve`\n"
    yield "Each is an option and an environment variable; the option wins.\n"
    yield "| option | variable | default | |"
    yield "| --- | --- | --- | --- |"
    app = typer.Typer()
    app.command()(serve)
    for option in typer.main.get_command(app).params:
        if option.param_type_name == "option" and option.name not in _EVERY_COMMAND_HAS:
            yield _setting(option)
    yield "\n## Log events\n"
    yield (
        "On standard error, one a line; as JSON with `--log-format json`, where `event` has these "
        "names. Peers that cause too many lines are cut short.\n"
    )
    yield "| event | what it means |"
    yield "| --- | --- |"
    for event in sorted(events()):
        yield f"| `{event}` | {MEANINGS[event]} |"
    yield ""


def _setting(option: Any) -> str:  # of the click that typer has within
    name = max(option.opts, key=len)
    variable = "TELTONIKA_" + name.removeprefix("--").replace("-", "_").upper()
    shown = option.show_default
    default = shown if isinstance(shown, str) else option.default
    if isinstance(default, Enum):
        default = default.value
    if default is None or default == "":
        default = "none"
    if isinstance(default, bool):
        default = "on" if default else "off"
    elif isinstance(default, int | float):
        default = f"{default:,.10g}"
    text = " ".join((option.help or "").split()).replace("|", "\\|")
    return f"| `{name}` | `{variable}` | {str(default).replace(str(Path.home()), '~')} | {text} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
