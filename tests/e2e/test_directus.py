"""docs/directus.md: its scripts as Directus runs them, its program against a Flow's URL."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from contract import check
from serving import IMEI, BareDevice, ServerProcess

PAGE = (Path(__file__).parents[2] / "docs" / "directus.md").read_text()
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no node here")
ROW = {"imei": IMEI, "command": "getinfo", "codec": "12", "expires_at": None}


def block(name: str) -> str:
    match = re.search(
        rf"^```\w+\n(?://|#) {re.escape(name)}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    )
    assert match
    return match[1]


def json_block(after: str) -> dict[str, Any]:
    """The first one behind that text."""
    match = re.search(r"^```json\n(.*?)^```$", PAGE[PAGE.index(after) :], re.MULTILINE | re.DOTALL)
    assert match
    found: dict[str, Any] = json.loads(match[1])
    return found


def run_script(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """What the script returns for a Flow's data."""
    assert NODE is not None
    call = "module.exports(JSON.parse(process.argv[1])).then(r => console.log(JSON.stringify(r)))"
    command = [NODE, "-e", f"{block(name)}\n{call}", json.dumps(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    returned: dict[str, Any] = json.loads(done.stdout)
    return returned


@needs_node
@pytest.mark.parametrize("expires_at", [None, "2026-01-31T08:00:00.000Z"])
def test_the_script_makes_a_command_of_a_row(expires_at: str | None) -> None:
    trigger = {"key": "4e7d", "payload": ROW | {"expires_at": expires_at}}
    entry = run_script("entry.js", {"$trigger": trigger})
    check("command", entry)
    assert entry["command_id"] == "4e7d"
    assert entry.get("expires_at") == expires_at


@needs_node
@pytest.mark.parametrize("name", ["api.js", "app.js"])
def test_the_extension_is_sound(name: str, tmp_path: Path) -> None:
    assert NODE is not None
    file = tmp_path / name.replace(".js", ".mjs")
    file.write_text(block(name))
    subprocess.run([NODE, "--check", str(file)], check=True, timeout=60)


def test_the_entries_on_the_page_are_those_of_the_contract() -> None:
    check("command", json_block("What goes onto the stream"))
    check("response", json_block("Its body is an entry"))
    columns = set(re.findall(r"`(\w+)`", PAGE[: PAGE.index("## The operation")]))
    assert json_block("The payload of `not_connected`").keys() <= columns


@needs_node
def test_the_script_takes_from_a_status_what_the_row_has() -> None:
    body = json_block("Its body is an entry")
    row = run_script("row.js", {"$trigger": {"body": body}})
    assert row == {
        "status": "responded",
        "response": body["response"],
        "response_hex": body["response_hex"],
        "status_at": body["ts"],
    }


@contextmanager
def flow(answers: list[int]) -> Iterator[tuple[str, "Queue[dict[str, str]]"]]:
    """A Flow's trigger that gives these answers, then 200; its URL, and what it took."""
    took: Queue[dict[str, str]] = Queue()

    class Trigger(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            code = answers.pop(0) if answers else 200
            if code == 200:
                took.put(body)
            self.send_response(code)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Trigger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/flows/trigger/4e7d", took
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def forwarder(url: str, server: ServerProcess) -> Iterator[None]:
    environment = os.environ | {"DIRECTUS_FLOW": url, "TELTONIKA_REDIS": server.listening["redis"]}
    command = [sys.executable, "-c", block("forward_statuses.py")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as program:
        try:
            yield
        finally:
            program.kill()


def test_the_program_brings_every_status_in_order_also_past_a_failure_and_a_restart(
    server: ServerProcess,
) -> None:
    with flow([503]) as (url, took), BareDevice(server.port) as device:
        with forwarder(url, server):
            server.publish("c1")
            device.answer(device.command(), b"one")
            first = [took.get(timeout=30) for _ in range(2)]
        server.publish("c2")
        device.answer(device.command(), b"two")
        server.statuses("c2")
        with forwarder(url, server):
            seen = [*first]
            while seen[-1].get("response") != "two":
                seen.append(took.get(timeout=30))
    for status in seen:
        check("response", status)
    told = list(dict.fromkeys((status["command_id"], status["status"]) for status in seen))
    assert told == [
        ("c1", "delivered"),
        ("c1", "responded"),
        ("c2", "delivered"),
        ("c2", "responded"),
    ]
