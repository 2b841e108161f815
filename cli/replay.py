"""`teltonika replay`: the device's side of a capture, against a server."""

from pathlib import Path
from typing import Annotated

import typer

from teltonika.cli.errors import FAILED, USAGE, fail
from teltonika.cli.event_loop import run
from teltonika.cli.numbers import a_number
from teltonika.cli.output import print_json
from teltonika.cli.replay_view import ReplayView, print_session_list, session_line
from teltonika.codecs import parse_imei
from teltonika.codecs.captures import Capture, CaptureError, read_capture
from teltonika.emulator.replay import (
    NotReplayableError,
    Replay,
    ReplaySettings,
    Script,
    assign_imeis,
    make_script,
)

DEFAULTS = ReplaySettings()


def replay(
    file: Annotated[
        Path, typer.Argument(help="A capture: pcap or pcapng, not compressed.", show_default=False)
    ],
    host: Annotated[str, typer.Option(help="The server's address.")] = DEFAULTS.host,
    port: Annotated[
        int, typer.Option(help="The server's TCP port.", min=1, max=65535)
    ] = DEFAULTS.port,
    udp_port: Annotated[
        int | None,
        typer.Option(help="The server's UDP port.", show_default="--port", min=1, max=65535),
    ] = None,
    captured_port: Annotated[
        int | None,
        typer.Option(
            help="The server's port in the capture. Without it, the device is who sends an IMEI.",
            show_default="found out",
            min=1,
            max=65535,
        ),
    ] = None,
    speed: Annotated[
        float,
        typer.Option(
            callback=a_number,
            help="How many times as fast as captured.",
            min=0.001,
            max=1_000_000,
            show_default="1",
        ),
    ] = 1.0,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="No pauses: send as soon as the answers are there, one session after another.",
        ),
    ] = False,
    imei: Annotated[
        str | None,
        typer.Option(
            help="Who the device says it is; the n-th device of the capture takes the n-th IMEI "
            "from there on. CRCs are made anew.",
            show_default="as captured",
        ),
    ] = None,
    session: Annotated[
        list[int] | None,
        typer.Option(
            help="Play this session only, by its number in --list. Can be given several times.",
            show_default="all",
            min=0,
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            callback=a_number,
            help="Seconds that the connection or an answer may take.",
            min=0.01,
            max=86_400,
        ),
    ] = DEFAULTS.timeout_s,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Fail also on unexpected answers, on commands that the capture does not have or "
            "has otherwise, and on another end.",
        ),
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Say what sessions there are, and play none.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print NDJSON: one object a session, then the summary.")
    ] = False,
) -> None:
    """Play the device's side of captured sessions, and compare the answers with those captured.

    TCP and UDP. Handshake bytes and acknowledgements are compared byte by byte.
    Commands that the server sent in the capture are not expected, and those it
    sends now are counted. Exits with 1 if an answer differs or does not come.
    """
    if imei is not None:
        try:
            parse_imei(imei)
        except ValueError as error:
            fail(f"--imei: {error}", USAGE)
    capture = _read(file, captured_port)
    if list_:
        if json:
            for number, each in enumerate(capture.sessions):
                print_json(session_line(number, each))
        else:
            print_session_list(capture)
        return
    chosen = _choose(capture, session, file)
    view = ReplayView(json=json)
    scripts = _scripts(capture, chosen, imei, view)
    if not scripts:
        fail(f"{file}: none of its sessions can be played", FAILED)
    settings = ReplaySettings(
        host=host,
        port=port,
        udp_port=udp_port,
        speed=None if fast else speed,
        timeout_s=timeout,
        strict=strict,
    )
    view.expect(len(scripts))
    with view:
        result = run(Replay(scripts, settings, view).run())
    result.skipped = len(chosen) - len(scripts)
    view.summary(result)
    if not result.ok:
        fail(f"{result.failed} of {result.sessions} sessions were not answered as captured", FAILED)


def _read(file: Path, captured_port: int | None) -> Capture:
    try:
        data = file.read_bytes()
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}", USAGE)
    try:
        capture = read_capture(data, captured_port)
    except CaptureError as error:
        fail(f"{file}: {error}", USAGE)
    if capture.broken_at is not None:
        typer.echo(
            f"teltonika: {file} breaks off at byte {capture.broken_at}: what stands before counts",
            err=True,
        )
    if not capture.sessions:
        fail(
            f"{file}: no device's session in {capture.frames} frames and {capture.others} other "
            "conversations",
            FAILED,
        )
    return capture


def _choose(capture: Capture, wanted: list[int] | None, file: Path) -> list[int]:
    if not wanted:
        return list(range(len(capture.sessions)))
    for number in wanted:
        if number >= len(capture.sessions):
            last = len(capture.sessions) - 1
            fail(f"--session: {file} has sessions 0 to {last}, and no {number}", USAGE)
    return sorted(set(wanted))


def _scripts(
    capture: Capture, chosen: list[int], imei: str | None, view: ReplayView
) -> list[Script]:
    """What can be played of the chosen sessions; the view is told of the others."""
    imeis: dict[str, str] = {}
    if imei is not None:
        try:
            imeis = assign_imeis([capture.sessions[number] for number in chosen], imei)
        except ValueError as error:
            fail(f"--imei: {error}", USAGE)
    scripts = []
    for number in chosen:
        captured = capture.sessions[number]
        try:
            scripts.append(make_script(number, captured, imeis.get(captured.imei or "")))
        except NotReplayableError as error:
            view.skipped(number, str(error))
    return scripts
