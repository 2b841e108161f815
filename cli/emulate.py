"""`teltonika emulate`: one emulated device against a server, or many."""

import asyncio
import math
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from teltonika.cli.emulate_fault import FaultOption, fault_plan
from teltonika.cli.emulate_fleet import (
    DEFAULT_IMEI,
    CountOption,
    DurationOption,
    ImeiFileOption,
    ProcessesOption,
    RampOption,
    fleet_imeis,
    parse_ramp,
    run_fleet,
)
from teltonika.cli.emulate_profile import (
    ProfileOption,
    RoamingOption,
    codec_from,
    paces_from,
    profile_from,
    records_per_packet_from,
)
from teltonika.cli.emulate_record import RecordOption, recording
from teltonika.cli.emulate_route import (
    CenterOption,
    GeofenceOption,
    RouteLoopOption,
    RouteOffsetOption,
    RouteOption,
    RouteReverseOption,
    RouteSpeedOption,
    SpeedLimitOption,
    parse_center,
    parse_geofence,
    route_from,
)
from teltonika.cli.emulate_scenario import (
    JunitOption,
    ScenarioOption,
    check_junit,
    scenario_from,
)
from teltonika.cli.emulate_tls import (
    TlsCaOption,
    TlsCertOption,
    TlsInsecureOption,
    TlsKeyOption,
    TlsOption,
    TlsServerNameOption,
    tls_settings,
)
from teltonika.cli.emulate_transport import TransportOption, check_transport, target_line
from teltonika.cli.emulate_view import LiveView, LogView, told_faults
from teltonika.cli.errors import FAILED, USAGE, fail
from teltonika.cli.event_loop import run
from teltonika.cli.numbers import a_number
from teltonika.cli.output import print_json
from teltonika.emulator import (
    ACK_TIMEOUT_S,
    AnswerFault,
    DeviceLink,
    DeviceReport,
    EmulatorSettings,
    FaultyLink,
    Transport,
    assemble_device,
)

DEFAULTS = EmulatorSettings()
MAX_SECONDS = 86_400.0


def emulate(
    imei: Annotated[
        str | None,
        typer.Option(help="15 digits: who the device says it is.", show_default=DEFAULT_IMEI),
    ] = None,
    host: Annotated[str, typer.Option(help="The server's address.")] = DEFAULTS.host,
    port: Annotated[int, typer.Option(help="The server's port.", min=1, max=65535)] = DEFAULTS.port,
    transport: TransportOption = DEFAULTS.transport,
    profile: ProfileOption = None,
    codec: Annotated[
        str | None,
        typer.Option(
            help="8, 8E or 16.", show_default=f"{DEFAULTS.codec.name}, or that of the profile"
        ),
    ] = None,
    records: Annotated[
        int | None,
        typer.Option(
            help="How many AVL records to send, each device; 0 sends until Ctrl-C.",
            min=0,
            show_default=f"{DEFAULTS.records}; with --duration 0",
        ),
    ] = None,
    records_per_packet: Annotated[
        int | None,
        typer.Option(
            help="AVL records in one packet.",
            min=1,
            max=255,
            show_default=f"{DEFAULTS.records_per_packet}, or that of the profile",
        ),
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option(
            callback=a_number,
            help="Seconds between packets; their records share them evenly. 0 sends as fast as "
            "it is acknowledged, records that are one second apart.",
            min=0,
            max=MAX_SECONDS,
            show_default=f"{DEFAULTS.interval_s:g}, or the periods of the profile",
        ),
    ] = None,
    roaming: RoamingOption = False,
    seed: Annotated[int, typer.Option(help="Another seed is another drive.")] = DEFAULTS.seed,
    start_time: Annotated[
        str | None,
        typer.Option(
            help="The first record's time, ISO 8601, UTC unless it says otherwise: with it the "
            "same options send the same bytes.",
            show_default="from the clock",
        ),
    ] = None,
    ack_timeout: Annotated[
        float | None,
        typer.Option(
            callback=a_number,
            help="Seconds to wait for an answer before reconnecting, or, over UDP, sending again.",
            min=0.01,
            max=MAX_SECONDS,
            show_default=f"{ACK_TIMEOUT_S[Transport.TCP]:g}, over UDP "
            f"{ACK_TIMEOUT_S[Transport.UDP]:g}, or that of the profile",
        ),
    ] = None,
    give_up_after: Annotated[
        float,
        typer.Option(
            callback=a_number,
            help="Seconds to go on trying without an acknowledgement.",
            min=0.01,
            max=MAX_SECONDS,
        ),
    ] = DEFAULTS.give_up_after_s,
    answer_delay: Annotated[
        float,
        typer.Option(
            callback=a_number,
            help="Seconds between a command and its answer.",
            min=0,
            max=MAX_SECONDS,
        ),
    ] = DEFAULTS.answer_delay_s,
    answer_fault: Annotated[
        AnswerFault,
        typer.Option(
            help="What is wrong with the answers to commands: nothing, they are withheld, each "
            "comes in pieces, or each comes twice."
        ),
    ] = DEFAULTS.answer_fault,
    restart_after: Annotated[
        float,
        typer.Option(
            callback=a_number,
            help="Seconds from the command cpureset until the device is back.",
            min=0,
            max=MAX_SECONDS,
        ),
    ] = DEFAULTS.restart_after_s,
    route: RouteOption = None,
    route_loop: RouteLoopOption = False,
    route_reverse: RouteReverseOption = False,
    route_offset: RouteOffsetOption = None,
    route_speed: RouteSpeedOption = None,
    center: CenterOption = None,
    speed_limit: SpeedLimitOption = None,
    geofence: GeofenceOption = None,
    tls: TlsOption = False,
    tls_ca: TlsCaOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    tls_server_name: TlsServerNameOption = None,
    tls_insecure: TlsInsecureOption = False,
    count: CountOption = 1,
    imei_file: ImeiFileOption = None,
    ramp: RampOption = "0",
    duration: DurationOption = None,
    processes: ProcessesOption = 1,
    fault: FaultOption = None,
    record: RecordOption = None,
    scenario: ScenarioOption = None,
    junit: JunitOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as one object.")] = False,
) -> None:
    """Be a device, or a fleet: connect, drive, send AVL records and wait for each acknowledgement.

    What is not acknowledged is sent again: the same bytes, on the same
    connection or the next one. Over TCP commands are answered as a device would
    (getinfo, getgps, setdigout, ...). Ctrl-C waits for the packet in flight; a
    second one does not. Exits with 1 if a record was never acknowledged.
    """
    tracker = profile_from(profile)
    avl_codec = codec_from(codec, tracker)
    imeis = fleet_imeis(imei, count, imei_file)
    ramp_per_s = parse_ramp(ramp)
    check_junit(junit, scenario)
    told = None if scenario is None else scenario_from(scenario)
    if records is None:
        records = DEFAULTS.records if duration is None and told is None else 0
    if not _can_be_looked_up(host):
        fail(f"--host: {host!r} is no host name and no address", USAGE)
    settings = EmulatorSettings(
        host=host,
        port=port,
        transport=transport,
        tls=tls_settings(
            tls=tls,
            ca=tls_ca,
            cert=tls_cert,
            key=tls_key,
            server_name=tls_server_name,
            insecure=tls_insecure,
        ),
        codec=avl_codec,
        records=records,
        records_per_packet=records_per_packet_from(records_per_packet, tracker),
        interval_s=DEFAULTS.interval_s if interval is None else interval,
        seed=seed,
        start_ms=None if start_time is None else _parse_start_time(start_time),
        route=route_from(
            route,
            loop=route_loop,
            reverse=route_reverse,
            offset=route_offset,
            speed_kmh=route_speed,
            center=center,
        ),
        center=parse_center(center),
        speed_limit_kmh=speed_limit,
        geofence=parse_geofence(geofence),
        profile=tracker,
        paces=paces_from(tracker, interval, roaming=roaming),
        roaming=roaming,
        faults=fault_plan(fault),
        ack_timeout_s=ack_timeout or (tracker.ack_timeout_s if tracker else None),
        connect_timeout_s=tracker.connect_timeout_s if tracker else DEFAULTS.connect_timeout_s,
        first_retry_s=tracker.reconnect_s if tracker else DEFAULTS.first_retry_s,
        max_retry_s=max(DEFAULTS.max_retry_s, tracker.reconnect_s if tracker else 0.0),
        give_up_after_s=give_up_after,
        answer_delay_s=answer_delay,
        answer_fault=answer_fault,
        restart_after_s=restart_after,
    )
    check_transport(settings)
    line = target_line(settings)
    if len(imeis) > 1 or told is not None:
        run_fleet(
            imeis,
            settings,
            ramp=ramp_per_s,
            duration=duration,
            processes=processes,
            json=json,
            target=line,
            record=record,
            scenario=told,
            junit=junit,
        )
        return
    device = assemble_device(imeis[0], settings, time.time_ns() // 1_000_000)
    view = LiveView(line) if sys.stderr.isatty() and not json else LogView(line)
    with recording(record) as recorder, view:
        rng = Random(seed)  # noqa: S311 - lengths of pauses
        link = (FaultyLink if settings.faults else DeviceLink)(
            device, settings, rng, view, recorder
        )
        if tls_insecure:
            view.unverified()
        run(_run_until_signal(link, view, duration))

    report = device.report
    if json:
        print_json(report)
    else:
        _print_table(report, f"{host}:{port}")
    if report.gave_up:
        fail(f"gave up: nothing was acknowledged for {give_up_after:g} s", FAILED)
    if report.corrupt_acknowledged:
        fail(f"{report.corrupt_acknowledged} broken packets were acknowledged", FAILED)
    if not report.complete:
        missing = report.records_sent - report.records_acknowledged
        fail(f"{missing} of {report.records_sent} records were never acknowledged", FAILED)


async def _run_until_signal(link: DeviceLink, view: LogView, duration: float | None) -> None:
    """Run to the end; the first SIGINT or SIGTERM ends it well, the second at once."""
    loop = asyncio.get_running_loop()
    cut = asyncio.timeout(None)

    def on_signal() -> None:
        if link.stopping:
            if not cut.expired():
                cut.reschedule(loop.time())
            return
        view.stopping()
        link.stop()

    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, on_signal)
    if duration is not None:
        loop.call_later(duration, link.stop)
    try:
        with suppress(TimeoutError):
            async with cut:
                await link.run()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _can_be_looked_up(host: str) -> bool:
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def _parse_start_time(text: str) -> int:
    """ISO 8601 to milliseconds since 1970."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"--start-time: {text!r} is no time such as 2026-01-31T08:00:00Z", USAGE)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    timestamp_ms = math.floor(moment.timestamp() * 1000)
    if timestamp_ms < 0:
        fail(f"--start-time: {text!r} is before 1970, where AVL timestamps begin", USAGE)
    return timestamp_ms


def _print_table(report: DeviceReport, target: str) -> None:
    table = Table(title=f"{report.imei} to {target}", title_justify="left")
    table.add_column("")
    table.add_column("records", justify="right")
    table.add_column("packets", justify="right")
    for name, of_records, of_packets in (
        ("sent", report.records_sent, report.packets_sent),
        ("acknowledged", report.records_acknowledged, report.packets_acknowledged),
        ("sent again", report.records_resent, report.packets_resent),
    ):
        table.add_row(name, f"{of_records:,}", f"{of_packets:,}")
    Console().print(table)
    typer.echo(
        f"{report.duration_s:.1f} s; an ACK took {report.ack_latency_mean_s * 1000:.1f} ms on "
        f"average, {report.ack_latency_max_s * 1000:.1f} ms at most"
    )
    if report.commands_received:
        typer.echo(
            f"commands received: {report.commands_received}, executed: "
            f"{report.commands_executed}; answers sent: {report.answers}"
        )
    troubles = [
        f"{name}: {count}"
        for name, count in (
            ("reconnects", max(0, report.connections - 1)),
            ("IMEI rejected", report.rejections),
            ("IMEI unanswered", report.handshake_failures),
            ("wrong ACKs", report.wrong_acks),
            ("packets without an ACK in time", report.ack_timeouts),
            ("commands for another IMEI", report.nacks),
            ("broken frames", report.broken_frames),
            ("floods", report.floods),
            ("answers dropped", report.answers_dropped),
            ("restarts", report.restarts),
            ("records deleted by command", report.records_deleted),
            ("records overwritten in the buffer", report.records_overwritten),
            ("broken packets acknowledged", report.corrupt_acknowledged),
        )
        if count
    ]
    if troubles:
        typer.echo("; ".join(troubles))
    if report.faults:
        typer.echo("on purpose: " + told_faults(report.faults))
