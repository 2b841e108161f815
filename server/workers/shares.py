"""What of the whole server's settings is a worker's."""

import msgspec

from teltonika.server.config import ServerSettings


def instance_ids(base: str, workers: int) -> tuple[str, ...]:
    """The workers' ids: the same at each start, so that each finds its commands again."""
    return tuple(f"{base}-{number}" for number in range(1, workers + 1))


def settings_of_worker(
    settings: ServerSettings,
    instance_id: str,
    *,
    redis_url: str,
    port: int,
    udp_port: int | None,
) -> ServerSettings:
    """Limits of the whole server are split; those of one device or packet are not."""
    workers = settings.workers
    return msgspec.structs.replace(
        settings,
        workers=1,
        shares_ports=True,
        instance_id=instance_id,
        redis_url=redis_url,
        supervisor_directory=settings.embedded_directory,
        port=port,
        udp_port=udp_port,
        metrics_port=None,
        max_connections=share(settings.max_connections, workers),
        max_connections_per_address=share(settings.max_connections_per_address, workers),
        max_handshakes=share(settings.max_handshakes, workers),
        log_lines_per_peer=share(settings.log_lines_per_peer, workers),
        max_unconfirmed_total_bytes=share(settings.max_unconfirmed_total_bytes, workers),
    )


def share(whole: int, workers: int) -> int:
    """Of each worker; 0 stays 0, which is no limit."""
    return -(-whole // workers)
