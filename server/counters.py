"""What the server counts while it runs; logged at its end."""

import msgspec


class Counters(msgspec.Struct):
    """All start at zero and only grow."""

    connections: int = 0
    refused_by_max_connections: int = 0
    refused_by_max_connections_per_address: int = 0
    descriptor_shortages: int = 0
    """How often nobody could be accepted for want of file descriptors or socket buffers."""
    proxy_header_failures: int = 0
    tls_failures: int = 0
    handshakes_accepted: int = 0
    handshakes_rejected: int = 0
    handshakes_unknown: int = 0
    """Devices that are not on the allow-list, rejected or not."""
    allow_list_evictions: int = 0
    """Connections that were closed because their device was taken off the list."""
    takeovers: int = 0
    superseded_connections: int = 0
    """Connections on which packets came after the device had a newer one, to another instance."""
    packets: int = 0
    """Whole, checked, decoded AVL packets."""
    records: int = 0
    records_stored: int = 0
    """Records that were new, and that Redis confirmed."""
    records_known: int = 0
    """Records that a device sent again, and that were acknowledged without being stored again."""
    crc_failures: int = 0
    unknown_codecs: int = 0
    frames_skipped: int = 0
    """Frames of message codecs whose inside is broken."""
    violations: int = 0
    packets_too_large: int = 0
    """Those of the violations that were packets over the limit."""
    repeated_io_ids: int = 0
    """Values that a later value of the same IO id replaced in ``attributes``."""
    handshake_timeouts: int = 0
    idle_timeouts: int = 0
    backpressure_pauses: int = 0
    log_lines_left_out: int = 0
    """Lines that peers caused beyond what each may in a minute."""
    redis_failures: int = 0
    commands_received: int = 0
    """Commands that were taken from the stream for the first time."""
    commands_delivered: int = 0
    commands_responded: int = 0
    commands_failed: int = 0
    commands_duplicate: int = 0
    """Entries whose command id was known."""
    late_answers: int = 0
    unsolicited_messages: int = 0
    janitor_evictions: int = 0
    """Registry entries of dead instances, removed by this one."""
    janitor_commands_ended: int = 0
