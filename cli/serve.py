"""`teltonika serve`: the ingest server."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from teltonika.cli.errors import FAILED, USAGE, fail
from teltonika.cli.event_loop import run
from teltonika.cli.output import print_json
from teltonika.server import ServerError, ServerSettings
from teltonika.server import serve as run_server
from teltonika.server.authority import Authority
from teltonika.server.durability import Durability
from teltonika.server.errors import InvalidRedisUrlError
from teltonika.server.logs import LogFormat, LogLevel, configure_logs

DEFAULTS = ServerSettings()


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = DEFAULTS.host,
    port: Annotated[
        int, typer.Option(help="TCP port for devices; 0 takes any free one.", min=0, max=65535)
    ] = DEFAULTS.port,
    redis: Annotated[
        str | None,
        typer.Option(
            help="URL of the Redis to write to, such as redis://localhost:6379/0. "
            "Without it an embedded Valkey is started in the data directory.",
            show_default="embedded",
        ),
    ] = None,
    data_dir: Annotated[
        Path, typer.Option(help="Where the embedded Valkey and the instance id are kept.")
    ] = DEFAULTS.data_dir,
    instance_id: Annotated[
        str | None,
        typer.Option(
            help="This instance's name in Redis.", show_default="made once, kept in the data dir"
        ),
    ] = None,
    telemetry_stream: Annotated[
        str, typer.Option(help="Redis stream that every AVL record is added to.")
    ] = DEFAULTS.telemetry_stream,
    key_prefix: Annotated[
        str, typer.Option(help="In front of every key in Redis.", show_default="none")
    ] = DEFAULTS.key_prefix,
    stream_maxlen: Annotated[
        int,
        typer.Option(
            help="Trim streams to about so many entries; 0 never does.", min=0, max=2**63 - 1
        ),
    ] = DEFAULTS.stream_maxlen,
    authority: Annotated[
        Authority,
        typer.Option(help="Which devices are known: all, or those in the set devices:allowed."),
    ] = DEFAULTS.authority,
    strict: Annotated[
        bool, typer.Option("--strict", help="Turn devices away that are not on the allow-list.")
    ] = DEFAULTS.strict,
    authority_refresh: Annotated[
        float, typer.Option(help="Seconds between readings of the allow-list.", min=0.1)
    ] = DEFAULTS.authority_refresh_s,
    durability: Annotated[
        Durability | None,
        typer.Option(
            help="Where a record is before its ACK. A Redis that cannot do it is refused.",
            show_default="fsync if the Redis has an append-only file, else memory",
        ),
    ] = DEFAULTS.durability,
    replicas: Annotated[
        int, typer.Option(help="Replicas that must have it, with --durability replica.", min=1)
    ] = DEFAULTS.replicas,
    dedupe_days: Annotated[
        int,
        typer.Option(
            help="Days after which a device without a new record is forgotten.", min=1, max=36_500
        ),
    ] = DEFAULTS.dedupe_days,
    command_timeout: Annotated[
        float,
        typer.Option(help="Seconds to wait for an answer, unless the command says.", min=0.1),
    ] = DEFAULTS.command_timeout_s,
    command_queue_size: Annotated[
        int, typer.Option(help="Commands that may wait for one device.", min=1)
    ] = DEFAULTS.command_queue_size,
    command_quarantine: Annotated[
        float,
        typer.Option(
            help="After a time-out: seconds in which a late answer keeps the next command back.",
            min=0,
        ),
    ] = DEFAULTS.command_quarantine_s,
    command_memory: Annotated[
        int, typer.Option(help="Seconds for which command ids are remembered.", min=1)
    ] = DEFAULTS.command_memory_s,
    reconnect_grace: Annotated[
        float,
        typer.Option(
            help="Seconds for which accepted commands wait for a device that was disconnected.",
            min=0,
        ),
    ] = DEFAULTS.reconnect_grace_s,
    heartbeat_interval: Annotated[
        float, typer.Option(help="Seconds between heartbeats.", min=0.1)
    ] = DEFAULTS.heartbeat_interval_s,
    heartbeat_ttl: Annotated[
        int, typer.Option(help="Seconds without a heartbeat until an instance is dead.", min=1)
    ] = DEFAULTS.heartbeat_ttl_s,
    janitor_interval: Annotated[
        float, typer.Option(help="Seconds between looks for dead instances.", min=0.1)
    ] = DEFAULTS.janitor_interval_s,
    max_unconfirmed_bytes: Annotated[
        int,
        typer.Option(
            help="Memory for records that were read and that Redis has not confirmed; past it "
            "devices wait.",
            min=65_536,
        ),
    ] = DEFAULTS.max_unconfirmed_total_bytes,
    handshake_timeout: Annotated[
        float, typer.Option(help="Seconds a device has to say its IMEI.", min=0.1)
    ] = DEFAULTS.handshake_timeout_s,
    idle_timeout: Annotated[
        float, typer.Option(help="Seconds of silence before a connection is closed.", min=1)
    ] = DEFAULTS.idle_timeout_s,
    drain_timeout: Annotated[
        float, typer.Option(help="Seconds to store and acknowledge what was read, at the end.")
    ] = DEFAULTS.drain_timeout_s,
    max_packet_size: Annotated[
        int, typer.Option(help="Largest packet that is taken, in bytes.", min=45)
    ] = DEFAULTS.max_packet_size,
    require_luhn: Annotated[
        bool, typer.Option("--require-luhn", help="Reject IMEIs whose check digit is wrong.")
    ] = DEFAULTS.require_luhn,
    log_format: Annotated[LogFormat, typer.Option(help="Logs go to standard error.")] = (
        LogFormat.CONSOLE
    ),
    log_level: Annotated[LogLevel, typer.Option(help="The least that is logged.")] = LogLevel.INFO,
) -> None:
    """Take packets from devices, store every record on a Redis stream, then acknowledge.

    Once it accepts connections it prints one line of JSON: port, Redis URL, instance id, pid.
    SIGTERM and Ctrl-C drain it: what was read is stored and acknowledged first.
    """
    configure_logs(log_format, log_level)
    if not host:
        fail("--host: 0.0.0.0 is every IPv4 address, :: every address", USAGE)
    if strict and authority is not Authority.ALLOW_LIST:
        fail("--strict: there is no list to be on without --authority allow-list", USAGE)
    if heartbeat_ttl <= heartbeat_interval:
        fail("--heartbeat-ttl: must be longer than --heartbeat-interval", USAGE)
    settings = ServerSettings(
        host=host,
        port=port,
        redis_url=redis,
        data_dir=data_dir,
        instance_id=instance_id,
        telemetry_stream=telemetry_stream,
        key_prefix=key_prefix,
        max_unconfirmed_total_bytes=max_unconfirmed_bytes,
        stream_maxlen=stream_maxlen,
        authority=authority,
        strict=strict,
        authority_refresh_s=authority_refresh,
        durability=durability,
        replicas=replicas,
        dedupe_days=dedupe_days,
        command_timeout_s=command_timeout,
        command_queue_size=command_queue_size,
        command_quarantine_s=command_quarantine,
        command_memory_s=command_memory,
        reconnect_grace_s=reconnect_grace,
        heartbeat_interval_s=heartbeat_interval,
        heartbeat_ttl_s=heartbeat_ttl,
        janitor_interval_s=janitor_interval,
        handshake_timeout_s=handshake_timeout,
        idle_timeout_s=idle_timeout,
        drain_timeout_s=drain_timeout,
        max_packet_size=max_packet_size,
        require_luhn=require_luhn,
    )
    try:
        run(_serve_until_signal(settings))
    except InvalidRedisUrlError as error:
        fail(str(error), USAGE)
    except ServerError as error:
        fail(str(error), FAILED)


async def _serve_until_signal(settings: ServerSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await run_server(settings, stop, on_listening=print_json)
