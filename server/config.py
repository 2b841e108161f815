"""The server's settings, each with its default."""

from pathlib import Path

import msgspec
import platformdirs

from teltonika.codecs import MAX_PACKET_SIZE
from teltonika.server.authority import Authority
from teltonika.server.durability import Durability
from teltonika.server.keys import TELEMETRY_STREAM, Keys
from teltonika.server.machine_memory import memory_limit

SUBDIRECTORY = "valkey"
"""The folder of the embedded Valkey in the data directory."""


def default_data_dir() -> Path:
    """The platform's place for a user's data, such as ``~/.local/share/teltonika``."""
    return Path(platformdirs.user_data_dir("teltonika", appauthor=False))


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance is told at its start; nothing of it changes while it runs."""

    host: str = "0.0.0.0"  # noqa: S104 - devices come from outside
    port: int = 5027
    """0 takes any free port."""
    udp_port: int | None = None
    """For datagrams, on the same addresses; None takes none, and 0 any free port."""
    workers: int = 1
    """Processes that share the ports; with more than one each is an instance of its own."""
    shares_ports: bool = False
    """This is such a process: others of the same server listen on the ports, too."""

    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    """For metrics and health, by HTTP; None serves none, and 0 takes any free port."""

    redis_url: str | None = None
    """None starts the embedded Valkey in ``data_dir``."""
    data_dir: Path = msgspec.field(default_factory=default_data_dir)
    instance_id: str | None = None
    """None makes one from the host's name and keeps it in ``data_dir``."""

    key_prefix: str = ""
    """In front of every key."""
    telemetry_stream: str = TELEMETRY_STREAM
    stream_shards: int = 1
    """Streams that telemetry is in: a device's in one of them, by its IMEI."""
    reshard: bool = False
    """Whether the number of shards may be another one than before."""
    stream_maxlen: int = 1_000_000
    """Entries each stream is trimmed to, roughly; 0 never trims."""
    stream_max_bytes: int | None = None
    """Memory of all streams together that devices fill, beside ``stream_maxlen``: whichever is
    reached first; 0 is no limit. None: see `stored_bytes`."""
    min_free_disk_bytes: int | None = None
    """With less on its disk the embedded Valkey is given nothing more to store. None: 512 MiB, or
    5 % of the disk if that is less."""
    supervisor_directory: Path | None = None
    """Of a worker: where the embedded Valkey of its supervisor has its files, if there is one."""

    authority: Authority = Authority.ALLOW_ALL
    strict: bool = False
    """Turn unknown devices away; else they are only told of in the log."""
    authority_refresh_s: float = 60.0

    durability: Durability | None = None
    """What must have happened before an ACK; None is the best that the Redis is set up for."""
    replicas: int = 1
    """How many replicas must have a record, with durability ``replica``."""

    dedupe_days: int = 30
    """A device without a new record for so many days is forgotten: what it sends is new then."""

    heartbeat_interval_s: float = 30.0
    heartbeat_ttl_s: int = 90
    """An instance without a heartbeat for so long is dead to the others."""
    janitor_interval_s: float = 60.0

    command_timeout_s: float = 30.0
    """How long an answer is waited for, where the command does not say."""
    command_queue_size: int = 32
    """Commands that may wait for one device, behind the one that is with it."""
    command_quarantine_s: float = 2.0
    """After a time-out: how long a late answer keeps the next command back."""
    command_memory_s: int = 86_400
    """How long command ids are remembered, so that none is executed twice."""
    reconnect_grace_s: float = 10.0
    """How long commands that were accepted wait for a device that has lost its connection."""

    tls_cert: Path | None = None
    """PEM: the server's certificate, and those up to its CA. With it every connection is TLS."""
    tls_key: Path | None = None
    """PEM; None: it stands in ``tls_cert``, too."""
    tls_client_ca: Path | None = None
    """PEM: who must have signed each device's certificate; None asks for none."""
    proxy_protocol: bool = False
    """Each connection begins with a PROXY header, and who sends it is a balancer of ours."""

    max_connections: int = 50_000
    """0: as many as there are file descriptors."""
    max_connections_per_address: int = 10_000
    """0 is no limit. Mobile operators put whole fleets behind one address."""
    max_handshakes: int = 1_000
    """Under way before a session, TLS or a balancer's header; 0 is no limit."""
    log_lines_per_peer: int = 120
    """A minute, for each address; 0 is no limit."""
    handshake_timeout_s: float = 10.0
    idle_timeout_s: float = 3_900.0
    """The longest usual period of a parked device is an hour; this is a little more."""
    drain_timeout_s: float = 10.0
    max_packet_size: int = MAX_PACKET_SIZE
    """Bytes of a whole packet."""
    require_luhn: bool = False
    """Reject an IMEI whose check digit is wrong."""

    max_unconfirmed_session_bytes: int = 262_144
    """Memory for one device's unconfirmed packets; past it its socket is not read."""
    max_unconfirmed_total_bytes: int = 67_108_864
    """The same for all devices together; past it no socket is read. As much may be unfinished, of
    packets over 2 KiB; past that connections are closed whose packet grows."""
    max_device_rate: int = 1_048_576
    """Bytes a second of one device, and sixteen times as many at once; past it its socket is read
    more slowly, and its datagrams are dropped. 0 is no limit."""
    max_empty_frames: int = 1_200
    """A minute, on one connection: pings, wrong CRCs, frames that are skipped, packets of no
    records, empty texts. Past it the connection is closed. 0 is no limit."""

    @property
    def embedded_directory(self) -> Path | None:
        """Where the embedded Valkey has its files; None if another Redis is named."""
        if self.redis_url is None:
            return self.data_dir / SUBDIRECTORY
        return self.supervisor_directory

    @property
    def stored_bytes(self) -> int:
        """``stream_max_bytes``, or its default: a quarter of the memory that this process may use,
        where the Valkey is embedded, and else no limit, which is 0."""
        if self.stream_max_bytes is not None:
            return self.stream_max_bytes
        return 0 if self.embedded_directory is None else memory_limit() // 4

    @property
    def keys(self) -> Keys:
        return Keys(self.key_prefix, self.telemetry_stream, self.stream_shards)
