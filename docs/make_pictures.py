"""Draws the terminal pictures of the README and the docs: `python docs/make_pictures.py`."""

import io
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text

from teltonika.cli.demo import run_demo
from teltonika.cli.demo_view import LiveView
from teltonika.cli.event_loop import run
from teltonika.server.logs import LogFormat, LogLevel, configure_logs

HERE = Path(__file__).parent
WIDTH = 88
PACKET = (
    "000000000000003608010000016B40D8EA30010000000000000000000000000000000105021503010101425E0F01F1"
    "0000601A014E0000000000000000010000C7CF"
)


def draw(name: str, title: str, content: RenderableType) -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(content)
    svg = console.export_svg(title=title)
    # Whoever opens the picture has a monospace font; it fetches none from elsewhere.
    text = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    (HERE / f"{name}.svg").write_text(text)


def demo(directory: Path) -> RenderableType:
    view = LiveView()
    run(run_demo(devices=3, seconds=30, directory=directory, view=view))
    return view


def said(*command: str) -> Text:
    """What a command prints on a terminal, in its colours."""
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    result = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return Text.from_ansi(result.stdout)


def top(directory: Path) -> Text:
    """Two dozen devices after a few seconds."""
    command = ["teltonika", "serve", "--port", "0", "--data-dir", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        listening = json.loads(server.stdout.readline())
        fleet = ["--count", "24", "--interval", "0.5", "--port", str(listening["port"])]
        with subprocess.Popen(
            ["teltonika", "emulate", *fleet], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as devices:
            said("teltonika", "tail", "--redis", listening["redis"], "--count", "200")
            picture = said("teltonika", "top", "--once", "--redis", listening["redis"])
            devices.terminate()
        server.terminate()
    return picture


def main() -> None:
    configure_logs(LogFormat.CONSOLE, LogLevel.ERROR)
    with tempfile.TemporaryDirectory() as directory:
        draw("demo", "teltonika demo", demo(Path(directory)))
        draw("top", "teltonika top", top(Path(directory) / "top"))
    draw("decode", "teltonika decode hexdump", said("teltonika", "decode", "hexdump", PACKET))


if __name__ == "__main__":
    main()
