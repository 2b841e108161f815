"""`teltonika serve`: the ingest server."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from teltonika.cli.addresses import split_address
from teltonika.cli.errors import FAILED, USAGE, fail
from teltonika.cli.event_loop import run
from teltonika.cli.numbers import a_number
from teltonika.cli.redis_options import PasswordFileOption, named_redis
from teltonika.cli.serve_limits import (
    HandshakeTimeoutOption,
    IdleTimeoutOption,
    LogLinesPerPeerOption,
    MaxConnectionsOption,
    MaxDeviceBytesOption,
    MaxDeviceRateOption,
    MaxEmptyFramesOption,
    MaxHandshakesOption,
    MaxPacketSizeOption,
    MaxPerAddressOption,
    MaxUnconfirmedBytesOption,
    MinFreeDiskOption,
    StreamMaxBytesOption,
)
from teltonika.cli.serve_until_signal import serve_until_signal
from teltonika.cli.shared_options import with_options_of
from teltonika.codecs import TlsError
from teltonika.server import ServerError, ServerSettings
from teltonika.server.authority import Authority
from teltonika.server.data_dir import check_instance_id
from teltonika.server.durability import Durability
from teltonika.server.errors import InvalidRedisUrlError
from teltonika.server.keys import MAX_SHARDS
from teltonika.server.logs import LogFormat, LogLevel, configure_logs
from teltonika.server.workers.held_ports import CAN_SHARE

DEFAULTS = ServerSettings()
MAX_WORKERS = 128

REDIS = "Redis"
RECORDS = "Records"
DEVICES = "Devices"
ENCRYPTION = "TLS and load balancers"
COMMANDS = "Commands"
INSTANCES = "Instances"
LOGS = "Logs"


def serve_settings(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = DEFAULTS.host,
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT", help="TCP port for devices; 0 takes any free one.", min=0, max=65535
        ),
    ] = DEFAULTS.port,
    udp_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            help="UDP port for devices, beside the TCP port; 0 takes any free one.",
            min=0,
            max=65535,
            show_default="no UDP",
        ),
    ] = DEFAULTS.udp_port,
    workers: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Processes that share the ports, one for each core that devices are to have. Each "
            "is an instance of its own, with the id and -1, -2 and so on; limits of the whole "
            "server are split.",
            min=1,
            max=MAX_WORKERS,
        ),
    ] = DEFAULTS.workers,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Serve metrics for Prometheus and health there, by HTTP: /metrics, /healthz, "
            "/readyz. Without a host on loopback only; port 0 takes any free one.",
            show_default="none",
        ),
    ] = None,
    data_dir: Annotated[
        Path, typer.Option(help="Where the embedded Valkey and the instance id are kept.")
    ] = DEFAULTS.data_dir,
    redis: Annotated[
        str | None,
        typer.Option(
            help="URL of the Redis to write to, such as redis://localhost:6379/0, "
            "redis+sentinel://host:26379,host/NAME or redis+cluster://host:6379,host. "
            "Without it an embedded Valkey is started in the data directory.",
            show_default="embedded",
            rich_help_panel=REDIS,
        ),
    ] = None,
    redis_password_file: PasswordFileOption = None,
    telemetry_stream: Annotated[
        str,
        typer.Option(help="Stream that every AVL record is added to.", rich_help_panel=REDIS),
    ] = DEFAULTS.telemetry_stream,
    key_prefix: Annotated[
        str,
        typer.Option(help="In front of every key.", show_default="none", rich_help_panel=REDIS),
    ] = DEFAULTS.key_prefix,
    stream_shards: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Streams that records are spread over, by IMEI, so that the nodes of a cluster "
            "share the work. All servers need the same number.",
            min=1,
            max=MAX_SHARDS,
            rich_help_panel=REDIS,
        ),
    ] = DEFAULTS.stream_shards,
    reshard: Annotated[
        bool,
        typer.Option(
            "--reshard",
            help="Begin with another number of shards than before; no other server may run.",
            rich_help_panel=REDIS,
        ),
    ] = DEFAULTS.reshard,
    stream_maxlen: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Trim streams to about so many entries; 0 never does.",
            min=0,
            max=2**63 - 1,
            rich_help_panel=REDIS,
        ),
    ] = DEFAULTS.stream_maxlen,
    durability: Annotated[
        Durability | None,
        typer.Option(
            help="Where a record is before its ACK. A Redis that cannot do it is refused.",
            show_default="fsync if the Redis has an append-only file, else memory",
            rich_help_panel=RECORDS,
        ),
    ] = DEFAULTS.durability,
    replicas: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Replicas that must have it, with --durability replica.",
            min=1,
            rich_help_panel=RECORDS,
        ),
    ] = DEFAULTS.replicas,
    dedupe_days: Annotated[
        int,
        typer.Option(
            metavar="DAYS",
            help="Days after which a device without a new record is forgotten.",
            min=1,
            max=36_500,
            rich_help_panel=RECORDS,
        ),
    ] = DEFAULTS.dedupe_days,
    authority: Annotated[
        Authority,
        typer.Option(
            help="Which devices are known: all, or those in the set devices:allowed.",
            rich_help_panel=DEVICES,
        ),
    ] = DEFAULTS.authority,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Turn devices away that are not on the allow-list.",
            rich_help_panel=DEVICES,
        ),
    ] = DEFAULTS.strict,
    authority_refresh: Annotated[
        float,
        typer.Option(
            callback=a_number,
            metavar="SECONDS",
            help="Seconds between readings of the allow-list.",
            min=0.1,
            rich_help_panel=DEVICES,
        ),
    ] = DEFAULTS.authority_refresh_s,
    require_luhn: Annotated[
        bool,
        typer.Option(
            "--require-luhn",
            help="Reject IMEIs whose check digit is wrong.",
            rich_help_panel=DEVICES,
        ),
    ] = DEFAULTS.require_luhn,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            help="PEM file with the server's certificate, and those up to its CA: every "
            "connection is TLS 1.2 or later then. SIGHUP reads all three files again.",
            show_default="no TLS",
            rich_help_panel=ENCRYPTION,
        ),
    ] = DEFAULTS.tls_cert,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            help="PEM file with its private key.",
            show_default="in --tls-cert",
            rich_help_panel=ENCRYPTION,
        ),
    ] = DEFAULTS.tls_key,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(
            help="PEM file with the CAs of which one must have signed each device's certificate.",
            show_default="devices need none",
            rich_help_panel=ENCRYPTION,
        ),
    ] = DEFAULTS.tls_client_ca,
    proxy_protocol: Annotated[
        bool,
        typer.Option(
            "--proxy-protocol",
            help="Every connection begins with a PROXY header, version 1 or 2, of a load "
            "balancer; one without is closed. Let nobody else reach the port.",
            rich_help_panel=ENCRYPTION,
        ),
    ] = DEFAULTS.proxy_protocol,
    command_timeout: Annotated[
        float,
        typer.Option(
            callback=a_number,
            metavar="SECONDS",
            help="Seconds to wait for an answer, unless the command says.",
            min=0.1,
            rich_help_panel=COMMANDS,
        ),
    ] = DEFAULTS.command_timeout_s,
    command_queue_size: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Commands that may wait for one device.",
            min=1,
            rich_help_panel=COMMANDS,
        ),
    ] = DEFAULTS.command_queue_size,
    command_quarantine: Annotated[
        float,
        typer.Option(
            callback=a_number,
            metavar="SECONDS",
            help="After a time-out: seconds in which a late answer keeps the next command back.",
            min=0,
            rich_help_panel=COMMANDS,
        ),
    ] = DEFAULTS.command_quarantine_s,
    command_memory: Annotated[
        int,
        typer.Option(
            metavar="SECONDS",
            help="Seconds for which command ids are remembered.",
            min=1,
            rich_help_panel=COMMANDS,
        ),
    ] = DEFAULTS.command_memory_s,
    reconnect_grace: Annotated[
        float,
        typer.Option(
            callback=a_number,
            metavar="SECONDS",
            help="Seconds for which accepted commands wait for a device that was disconnected.",
            min=0,
            rich_help_panel=COMMANDS,
        ),
    ] = DEFAULTS.reconnect_grace_s,
    instance_id: Annotated[
        str | None,
        typer.Option(
            help="This instance's name in Redis.",
            show_default="made once, kept in the data dir",
            rich_help_panel=INSTANCES,
        ),
    ] = None,
    heartbeat_interval: Annotated[
        float,
        typer.Option(
            callback=a_number,
            metavar="SECONDS",
            help="Seconds between heartbeats.",
            min=0.1,
            rich_help_panel=INSTANCES,
        ),
    ] = DEFAULTS.heartbeat_interval_s,
    heartbeat_ttl: Annotated[
        int,
        typer.Option(
            metavar="SECONDS",
            help="Seconds without a heartbeat until an instance is dead.",
            min=1,
            rich_help_panel=INSTANCES,
        ),
    ] = DEFAULTS.heartbeat_ttl_s,
    janitor_interval: Annotated[
        float,
        typer.Option(
            callback=a_number,
            metavar="SECONDS",
            help="Seconds between looks for dead instances.",
            min=0.1,
            rich_help_panel=INSTANCES,
        ),
    ] = DEFAULTS.janitor_interval_s,
    drain_timeout: Annotated[
        float,
        typer.Option(
            callback=a_number,
            metavar="SECONDS",
            help="Seconds at the end to store and acknowledge what was read, and for devices to "
            "answer the commands that they have.",
            min=0,
            rich_help_panel=INSTANCES,
        ),
    ] = DEFAULTS.drain_timeout_s,
    max_connections: MaxConnectionsOption = DEFAULTS.max_connections,
    max_per_address: MaxPerAddressOption = DEFAULTS.max_connections_per_address,
    max_handshakes: MaxHandshakesOption = DEFAULTS.max_handshakes,
    handshake_timeout: HandshakeTimeoutOption = DEFAULTS.handshake_timeout_s,
    idle_timeout: IdleTimeoutOption = DEFAULTS.idle_timeout_s,
    max_packet_size: MaxPacketSizeOption = DEFAULTS.max_packet_size,
    max_unconfirmed_bytes: MaxUnconfirmedBytesOption = DEFAULTS.max_unconfirmed_total_bytes,
    max_device_bytes: MaxDeviceBytesOption = DEFAULTS.max_unconfirmed_session_bytes,
    max_device_rate: MaxDeviceRateOption = DEFAULTS.max_device_rate,
    max_empty_frames: MaxEmptyFramesOption = DEFAULTS.max_empty_frames,
    stream_max_bytes: StreamMaxBytesOption = DEFAULTS.stream_max_bytes,
    min_free_disk: MinFreeDiskOption = DEFAULTS.min_free_disk_bytes,
    log_lines_per_peer: LogLinesPerPeerOption = DEFAULTS.log_lines_per_peer,
    log_format: Annotated[
        LogFormat, typer.Option(help="Logs go to standard error.", rich_help_panel=LOGS)
    ] = LogFormat.CONSOLE,
    log_level: Annotated[
        LogLevel, typer.Option(help="The least that is logged.", rich_help_panel=LOGS)
    ] = LogLevel.INFO,
) -> ServerSettings:
    """What the options of `serve` say; logs are configured. Ends the command if they disagree."""
    configure_logs(log_format, log_level)
    if not host:
        fail("--host: 0.0.0.0 is every IPv4 address, :: every address", USAGE)
    if strict and authority is not Authority.ALLOW_LIST:
        fail("--strict: there is no list to be on without --authority allow-list", USAGE)
    if instance_id is not None:
        try:
            check_instance_id(instance_id)
        except ValueError as error:
            fail(f"--instance-id: {error}", USAGE)
    if heartbeat_ttl <= heartbeat_interval:
        fail("--heartbeat-ttl: must be longer than --heartbeat-interval", USAGE)
    if tls_cert is None and (tls_key is not None or tls_client_ca is not None):
        fail("--tls-key and --tls-client-ca: there is no TLS without --tls-cert", USAGE)
    if workers > 1 and not CAN_SHARE:
        fail("--workers: processes cannot share a port on this platform (SO_REUSEPORT)", USAGE)
    metrics_host, metrics_port = _metrics_address(metrics)
    return ServerSettings(
        host=host,
        port=port,
        udp_port=udp_port,
        workers=workers,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        redis_url=named_redis(context, redis, redis_password_file),
        data_dir=data_dir,
        instance_id=instance_id,
        telemetry_stream=telemetry_stream,
        key_prefix=key_prefix,
        stream_shards=stream_shards,
        reshard=reshard,
        stream_maxlen=stream_maxlen,
        stream_max_bytes=stream_max_bytes,
        min_free_disk_bytes=min_free_disk,
        authority=authority,
        strict=strict,
        authority_refresh_s=authority_refresh,
        durability=durability,
        replicas=replicas,
        dedupe_days=dedupe_days,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        proxy_protocol=proxy_protocol,
        command_timeout_s=command_timeout,
        command_queue_size=command_queue_size,
        command_quarantine_s=command_quarantine,
        command_memory_s=command_memory,
        reconnect_grace_s=reconnect_grace,
        heartbeat_interval_s=heartbeat_interval,
        heartbeat_ttl_s=heartbeat_ttl,
        janitor_interval_s=janitor_interval,
        drain_timeout_s=drain_timeout,
        max_connections=max_connections,
        max_connections_per_address=max_per_address,
        handshake_timeout_s=handshake_timeout,
        idle_timeout_s=idle_timeout,
        max_packet_size=max_packet_size,
        max_unconfirmed_total_bytes=max_unconfirmed_bytes,
        max_unconfirmed_session_bytes=max_device_bytes,
        max_device_rate=max_device_rate,
        max_empty_frames=max_empty_frames,
        max_handshakes=max_handshakes,
        log_lines_per_peer=log_lines_per_peer,
        require_luhn=require_luhn,
    )


@with_options_of(serve_settings)
def serve(settings: ServerSettings, log_format: LogFormat, log_level: LogLevel) -> None:
    """Take packets from devices, store every record on a Redis stream, then acknowledge.

    Once it accepts connections it prints one line of JSON: ports, Redis URL, instance id, pid.
    SIGTERM and Ctrl-C drain it: what was read is stored and acknowledged first. A second one ends
    it at once.
    """
    try:
        run(serve_until_signal(settings, log_format, log_level))
    except (InvalidRedisUrlError, TlsError) as error:
        fail(str(error), USAGE)
    except ServerError as error:
        fail(str(error), FAILED)
    except asyncio.CancelledError:
        fail("ended at once, by a second signal: devices send again what was not acknowledged")


def _metrics_address(text: str | None) -> tuple[str, int | None]:
    if text is None:
        return DEFAULTS.metrics_host, None
    port = text.removeprefix(":")
    try:
        return split_address(
            f"{DEFAULTS.metrics_host}:{port}" if port.isdigit() else text, lowest_port=0
        )
    except ValueError:
        fail(f"--metrics: {text!r} is no address such as 9527, 127.0.0.1:9527 or [::]:9527", USAGE)
