"""Writes reference.md: settings of `serve`, events of its log: `python docs/make_reference.py`.

The settings are those of the command line itself; which events there are is read in the server's
code, and what each means in log-events.toml.
"""

import ast
import tomllib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from teltonika.cli.serve import serve

HERE = Path(__file__).parent
SERVER = HERE.parent / "server"
PAGE = HERE / "reference.md"

MEANINGS = tomllib.loads((HERE / "log-events.toml").read_text(encoding="utf-8"))
_LOGGED = {"debug", "info", "warning", "error", "exception"}
_SAID_SECOND = {"say", "_say", "_refused", "Reconnecting"}
"""Their event is the second argument, or, of `_say`, the third."""


_EVERY_COMMAND_HAS = {"help", "install_completion", "show_completion"}


def events() -> dict[str, set[str]]:
    """Each event that the code logs, with the files that do."""
    found: dict[str, set[str]] = {}
    for file in sorted(SERVER.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                for event in _events_of(node):
                    found.setdefault(event, set()).add(file.name)
    found["listening"] = {"app.py"}  # logged from its fields
    found["listening_not_printed"] = {"serve_until_signal.py"}
    found["log_lines_dropped"] = {"logs.py"}  # rendered, and not logged
    return found


def _events_of(call: ast.Call) -> Iterator[str]:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in _LOGGED and isinstance(function, ast.Attribute):
        candidates = call.args[:1]
    elif name in _SAID_SECOND:
        candidates = call.args[1:3]
    else:
        return
    for argument in candidates:
        either = (
            (argument.body, argument.orelse) if isinstance(argument, ast.IfExp) else (argument,)
        )
        for text in either:
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield text.value


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
