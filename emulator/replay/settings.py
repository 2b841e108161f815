"""What a replay is told, each with its default."""

import msgspec


class ReplaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing of it changes while the replay runs."""

    host: str = "127.0.0.1"
    port: int = 5027
    udp_port: int | None = None
    """None is the same as for TCP."""
    speed: float | None = 1.0
    """How many times as fast as captured; None sends as soon as the answers are there."""
    timeout_s: float = 10.0
    """How long the connection, an answer or the server's closing may take."""
    strict: bool = False
    """Whether also unexpected answers, other commands, and another end count as failures."""
