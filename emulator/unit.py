"""The tracker in the car, beside the records it makes: what a command can ask for or change."""

from collections.abc import Callable, Mapping
from random import Random

from teltonika.codecs import AvlRecord
from teltonika.emulator.outputs import DigitalOutput

VERSION_FIELDS = ("imei", "init", "uptime_s", "mac")
FMB120_VERSION = (
    "Ver:03.27.07_00 GPS:AXN_5.10_3333 Hw:FMB120 Mod:15 IMEI:{imei} Init:{init} "
    "Uptime:{uptime_s} MAC:{mac} SPC:1(0) AXL:0 OBD:0 BL:1.6 BT:4"
)

MAX_PARAMETERS = 10_000
"""More than any model has."""

Answers = Mapping[str, str] | Callable[[str], str | None]
"""From the text of a command to that of its answer; an empty one is not sent.

Where there is none, the device does and answers what it would without them.
"""


class Unit:
    """One device's memory, outputs and numbers. It has no clock: `tick` says what time it is.

    ``now_ms`` is when it starts (Unix, ms); ``parameters`` maps ids to what it is configured with;
    ``rng`` chooses the numbers that were given to it: SIM card, MAC, the GSM cell it is in.
    """

    __slots__ = (
        "answers",
        "cell_id",
        "getver",
        "iccid",
        "imei",
        "lac",
        "last_record",
        "mac",
        "now_ms",
        "outputs",
        "parameters",
        "started_ms",
    )

    def __init__(
        self,
        imei: str,
        *,
        now_ms: int = 0,
        parameters: Mapping[int, str] | None = None,
        rng: Random | None = None,
        getver: str = FMB120_VERSION,
    ) -> None:
        rng = rng or Random(imei)  # noqa: S311 - not to be secret, but the same again
        self.imei = imei
        self.answers: Answers = {}
        """In place of the device's."""
        self.getver = getver
        """The answer to that command; `VERSION_FIELDS` in braces."""
        self.now_ms = now_ms
        """Unix, ms: the time of the last `tick`."""
        self.started_ms = now_ms
        """Unix, ms: when it was switched on, or started again."""
        self.outputs = (DigitalOutput(), DigitalOutput())
        """DOUT1 and DOUT2, for as long as the unit exists: whoever makes records reads them."""
        self.parameters = dict(parameters or {})
        """Parameter id to value; they outlast a restart."""
        self.last_record = AvlRecord(now_ms, 0, 0, 0, 0, 0, 0, 0)
        """The record that was made last; before there is one, none with a fix."""
        self.iccid = f"8937002{rng.randrange(10**12):012}"
        """19 digits."""
        self.mac = f"60BDD0{rng.randrange(1 << 24):06X}"
        self.lac = rng.randint(1, 65_533)
        self.cell_id = rng.randint(1, 65_535)

    def own_answer(self, command: str) -> str | None:
        """The one of ``answers``; None where the device's stands."""
        answers = self.answers
        return answers.get(command) if isinstance(answers, Mapping) else answers(command)

    def set_parameter(self, id_: int, value: str) -> None:
        """Configure it; past `MAX_PARAMETERS` different ones nothing more is kept."""
        if id_ in self.parameters or len(self.parameters) < MAX_PARAMETERS:
            self.parameters[id_] = value

    @property
    def uptime_s(self) -> int:
        """Since it was switched on, or started again."""
        return max(0, self.now_ms - self.started_ms) // 1000

    def tick(self, now_ms: int) -> None:
        """It is ``now_ms`` (Unix, ms)."""
        self.now_ms = now_ms
        for output in self.outputs:
            output.tick(now_ms)

    def restart(self) -> None:
        """Start again: the uptime begins at 0, the outputs are off, the parameters stay."""
        self.started_ms = self.now_ms
        for output in self.outputs:
            output.switch_off()
