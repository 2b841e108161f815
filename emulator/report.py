"""What became of an emulated device's records, and of the commands to it."""

import msgspec

MAX_COMMAND_TEXTS = 1_000
OTHER_COMMANDS = "other commands"


class DeviceReport(msgspec.Struct, kw_only=True):
    """Counts of one device's run. All grow from zero; times are in seconds."""

    imei: str

    records_sent: int = 0
    """Distinct records: each counts once, however often it was sent."""
    records_acknowledged: int = 0
    """Of those, the ones the server took. Each counts once."""
    records_resent: int = 0
    """Records in the packets that were sent again."""

    packets_sent: int = 0
    """Distinct packets."""
    packets_acknowledged: int = 0
    packets_resent: int = 0
    """Times a packet was sent again."""

    connections: int = 0
    """TCP connections made; over UDP, sockets opened."""
    rejections: int = 0
    """Times the server turned the IMEI away."""
    handshake_failures: int = 0
    """Times the IMEI got no answer in time, or one that is neither yes nor no."""
    wrong_acks: int = 0
    """ACKs of a wrong number, or with no packet in flight."""
    ack_timeouts: int = 0
    """Times a packet got no ACK in time."""

    commands_received: int = 0
    """Whole commands that came, whatever became of them."""
    commands_executed: int = 0
    """Of those, the ones that were known, and so had an effect or an answer."""
    commands: dict[str, int] = msgspec.field(default_factory=dict)
    """The text of each command that was executed, to how often it was; past `MAX_COMMAND_TEXTS`
    different ones the rest together, as `OTHER_COMMANDS`."""
    nacks: int = 0
    """Commands that named another IMEI, and so were not executed."""
    answers: int = 0
    """Answers and nACKs that were written whole. A doubled one is two."""
    answers_dropped: int = 0
    """Answers that were never written because too many waited already."""
    texts: int = 0
    """Texts of codecs 13 and 15 that were written; nothing answers them."""
    broken_frames: int = 0
    """What came in a packet and was no command: a wrong CRC, a wrong size, another codec."""
    floods: int = 0
    """Connections that the device left because the server sent without end what it did not ask
    for."""
    restarts: int = 0
    """Times the device was told to start again."""
    records_deleted: int = 0
    """Records that were due, and by command were never sent. They count nowhere else."""

    records_overwritten: int = 0
    """Records that a full buffer lost before they were sent. They count nowhere else."""
    faults: dict[str, int] = msgspec.field(default_factory=dict)
    """Name of each fault that was done on purpose, to how often it was."""
    corrupt_acknowledged: int = 0
    """Packets that the server acknowledged though the copy that it got was broken on purpose."""

    gave_up: bool = False
    """Whether the run ended because nothing went forward for too long."""
    duration_s: float = 0.0
    ack_latency_mean_s: float = 0.0
    """From the write of a packet to its ACK; 0 while there was none."""
    ack_latency_max_s: float = 0.0

    def count_command(self, text: str) -> None:
        """The device executed the command ``text``."""
        self.commands_executed += 1
        if text not in self.commands and len(self.commands) >= MAX_COMMAND_TEXTS:
            text = OTHER_COMMANDS
        self.commands[text] = self.commands.get(text, 0) + 1

    @property
    def complete(self) -> bool:
        """Whether every record that was sent was acknowledged, none of them by mistake."""
        return (
            not self.gave_up
            and not self.corrupt_acknowledged
            and self.records_acknowledged == self.records_sent
        )
