"""Draws docs/demo.svg, the README's picture: `python docs/make_picture.py`."""

import io
import re
import tempfile
from pathlib import Path

from rich.console import Console

from teltonika.cli.demo import run_demo
from teltonika.cli.demo_view import LiveView
from teltonika.cli.event_loop import run
from teltonika.server.logs import LogFormat, LogLevel, configure_logs

PICTURE = Path(__file__).with_name("demo.svg")


def main() -> None:
    configure_logs(LogFormat.CONSOLE, LogLevel.ERROR)
    view = LiveView()
    with tempfile.TemporaryDirectory() as directory:
        run(run_demo(devices=3, seconds=30, directory=Path(directory), view=view))
    console = Console(record=True, width=88, file=io.StringIO())
    console.print(view)
    svg = console.export_svg(title="teltonika demo")
    # Whoever opens the picture has a monospace font; it fetches none from elsewhere.
    PICTURE.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL))


if __name__ == "__main__":
    main()
